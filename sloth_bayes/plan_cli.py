"""``sloth-bayes plan``: decisions from a posterior, each a verb.

Options, tables and output are those of the other commands (:mod:`sloth_bayes.cli`).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .errors import DataError
from .track_cli import track

if TYPE_CHECKING:
    import pandas as pd

    from .curves import Answer

plan_app = typer.Typer(rich_markup_mode="rich")

Family = Annotated[
    str | None, typer.Option(help="Family of the model (by default one that nobody has seen).")
]
Families = Annotated[
    list[str] | None, typer.Option(help="Family of the model; repeat for several.")
]
Lineage = Annotated[
    str | None, typer.Option(help="Base family, if the family is new but its base is not.")
]
Instruct = Annotated[
    bool | None,
    typer.Option("--instruct/--base", help="Tuned or base (by default as the family is)."),
]
NewFamily = Annotated[
    bool, typer.Option("--new-family", help="Accept a family that nobody has seen.")
]
Benchmarks = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME[,NAME...]", help="Benchmarks to consider (by default all)."),
]
Of = Annotated[
    str, typer.Option(metavar="NAME", help="A benchmark, average, or a skill (sloth-bayes skills).")
]
Params = Annotated[
    list[str] | None, typer.Option(metavar="B[,B...]", help="Size in billions of parameters.")
]
Tokens = Annotated[
    list[str] | None, typer.Option(metavar="T[,T...]", help="Training tokens in trillions.")
]
TokensPerParam = Annotated[
    float | None, typer.Option(help="Instead of --tokens: tokens for each parameter.")
]
Range = Annotated[
    str | None,
    typer.Option(metavar="LOW:HIGH", help="Sizes to consider, in billions of parameters."),
]
Prob = Annotated[float, typer.Option(help="Mass of the intervals, between 0 and 1.")]
Plot = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Also draw a figure (.png, .pdf, .svg).")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="The table as CSV.")]
PosteriorName = Annotated[
    str,
    typer.Option(
        "--posterior",
        metavar="NAME|FILE",
        help="A posterior that ships, or a file (ends in .nc or has a /).",
    ),
]
Seed = Annotated[int, typer.Option(help="Same seed, same numbers.")]


@plan_app.callback(invoke_without_command=True)
def _plan(ctx: typer.Context) -> None:
    """Decide with the posterior: how large, how to split a budget, what to measure next.

    Example: [bold]sloth-bayes plan size --of MMLU --target 0.7 --tokens 15[/bold]
    """
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


plan_app.command()(track)


@plan_app.command()
def size(
    of: Of,
    target: Annotated[
        float, typer.Option(help="A score from 0 to 1, or standard deviations of a skill.")
    ],
    tokens: Annotated[
        float | None, typer.Option(metavar="T", help="Training tokens in trillions.")
    ] = None,
    tokens_per_param: TokensPerParam = None,
    probability: Annotated[float, typer.Option(help="How sure to be of the target.")] = 0.9,
    noisy: Annotated[
        bool, typer.Option("--noisy", help="Of a single evaluation, not of the expected score.")
    ] = False,
    family: Family = None,
    lineage: Lineage = None,
    instruct: Instruct = None,
    new_family: NewFamily = False,
    sizes: Range = None,
    prob: Prob = 0.9,
    plot: Plot = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    posterior: PosteriorName = "leaderboard",
    seed: Seed = 0,
) -> None:
    """The smallest size that reaches a target, and how sure we are of it.

    Example: [bold]sloth-bayes plan size --of MMLU --target 0.7 --tokens 15 --family yi[/bold]
    """
    post = _begin(posterior, as_json, as_csv, plot)
    found = post.required_size(
        of, target, tokens=tokens, tokens_per_param=tokens_per_param, probability=probability,
        family=family, lineage=lineage, instruct=instruct, new_family=new_family, noisy=noisy,
        sizes=_ends("--sizes", sizes), prob=prob, seed=seed,
    )  # fmt: skip
    row = found.frame.iloc[0]
    held = f"{tokens:g}T tokens" if tokens else f"{tokens_per_param:g} tokens a parameter"
    reach = "a single evaluation of " if noisy else ""
    title = f"{row['family']}, {held}: {reach}{of} of at least {_amount(found, target)}"
    mass = f"{100 * prob:g}%"
    rows = [
        [f"size that reaches it with probability {probability:g}", _billions(row["required_b"])],
        ["size that just reaches it: median", _billions(row["median"])],
        [f"  {mass} interval", f"{_billions(row['lower'])} - {_billions(row['upper'])}"],
        ["probability that any size considered reaches it", _percent(row["p_reachable"])],
        ["probability that the smallest one does", _percent(row["p_smallest"])],
    ]
    _finish(found, posterior, seed, as_json, as_csv, plot, [(title, ["", ""], rows)])


@plan_app.command()
def allocate(
    flops: Annotated[
        list[str] | None, typer.Option(metavar="F[,F...]", help="Budget of training, in FLOPs.")
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[,NAME...]",
            help="Benchmarks, average or skills; NAME=WEIGHT,... is one weighted mean.",
        ),
    ] = None,
    served: Annotated[
        float,
        typer.Option(metavar="T", help="Trillions of tokens to be served, at 2 FLOPs a parameter."),
    ] = 0.0,
    params_range: Annotated[
        str | None,
        typer.Option(metavar="LOW:HIGH", help="Sizes to consider, in billions of parameters."),
    ] = None,
    tokens_range: Annotated[
        str | None, typer.Option(metavar="LOW:HIGH", help="Tokens to consider, in trillions.")
    ] = None,
    beyond: Annotated[bool, typer.Option("--beyond", help="Look beyond the data.")] = False,
    paper: Annotated[
        bool, typer.Option("--paper", help="Table 2 of the Sloth paper beside ours instead.")
    ] = False,
    family: Family = None,
    lineage: Lineage = None,
    instruct: Instruct = None,
    new_family: NewFamily = False,
    prob: Prob = 0.9,
    plot: Plot = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    posterior: PosteriorName = "leaderboard",
    seed: Seed = 0,
) -> None:
    """Size and tokens that a budget is best spent on.

    Example: [bold]sloth-bayes plan allocate --flops 1e23,1e24 --objective MMLU,average[/bold]
    """
    from .cli import _numbers, _split

    post = _begin(posterior, as_json, as_csv, plot)
    if paper:
        given = (flops, objective, params_range, tokens_range, family, plot)
        if served or beyond or any(v is not None for v in given):
            raise DataError(
                "--paper sets budgets, objectives and ranges itself: leave the others out"
            )
        _paper(post, posterior, prob, as_json, as_csv)
        return
    if not flops:
        raise DataError(
            "an allocation needs --flops: sloth-bayes plan allocate --flops 1e24 --objective MMLU"
        )
    if not (math.isfinite(served) and served >= 0):
        raise DataError(f"--served must be at least 0 trillions of tokens, not {served:g}")
    inference = 2 * served * 1e12

    def cost(n: Any, d: Any) -> Any:
        return 6 * n * d + inference * n

    found = post.optimal_allocation(
        _numbers("--flops", flops, "FLOPs"), _goals(_split(objective)),
        cost=cost if served else None, params_range=_ends("--params-range", params_range),
        tokens_range=_ends("--tokens-range", tokens_range), beyond=beyond, family=family,
        lineage=lineage, instruct=instruct, new_family=new_family, prob=prob, seed=seed,
    )  # fmt: skip
    mass = f"{100 * prob:g}%"
    tables: list[Any] = []
    for name, part in found.frame.groupby("objective", sort=False):
        head = ["budget", "size", f"{mass} interval", "tokens", f"{mass} interval", "where",
                "interior", "value", "regret"]  # fmt: skip
        skill = name in found._skills
        rows = [
            [
                f"{r['budget']:.4g}", _billions(r["params_b"]),
                f"{r['size_lower']:.3g} - {r['size_upper']:.3g}", f"{r['tokens_t']:.3g}T",
                f"{r['tokens_lower']:.3g} - {r['tokens_upper']:.3g}",
                r["edge"] + (" *" if r["beyond_data"] else ""), _percent(r["p_interior"]),
                f"{r['value']:.2f}" if skill else f"{100 * r['value']:.1f}",
                f"{r['regret']:.3f}" if skill else f"{100 * r['regret']:.2f}",
            ]
            for r in part.to_dict("records")
        ]  # fmt: skip
        first = part.iloc[0]
        unit = "standard deviations" if skill else "percent"
        title = f"{name} in {unit}, {first['family']}; * beyond the data"
        tables.append((title, head, rows))
        falls = (
            f"size {_percent(first['p_falls_size'])}, tokens {_percent(first['p_falls_tokens'])}"
        )
        tables.append((None, [f"probability that it falls in the range with {falls}"], []))
    _finish(found, posterior, seed, as_json, as_csv, plot, tables)


@plan_app.command()
def saturation(
    of: Of,
    gain: Annotated[
        float, typer.Option(help="In score (0.01 is one point), or standard deviations of a skill.")
    ] = 0.01,
    per: Annotated[str, typer.Option(metavar="size|tokens", help="What is doubled.")] = "size",
    tokens: Annotated[
        float | None, typer.Option(metavar="T", help="Training tokens in trillions, held fixed.")
    ] = None,
    params: Annotated[
        float | None, typer.Option(metavar="B", help="Billions of parameters, where tokens double.")
    ] = None,
    tokens_per_param: TokensPerParam = None,
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="X[,X...]", help="Sizes (or tokens) to ask about."),
    ] = None,
    family: Family = None,
    lineage: Lineage = None,
    instruct: Instruct = None,
    new_family: NewFamily = False,
    within: Annotated[
        str | None, typer.Option(metavar="LOW:HIGH", help="Sizes (or tokens) to consider.")
    ] = None,
    prob: Prob = 0.9,
    plot: Plot = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    posterior: PosteriorName = "leaderboard",
    seed: Seed = 0,
) -> None:
    """Beyond which size (or tokens) does one doubling gain less than an amount?

    Example: [bold]sloth-bayes plan saturation --of HellaSwag --tokens 15 --at 7,70[/bold]
    """
    from .cli import _numbers

    post = _begin(posterior, as_json, as_csv, plot)
    unit = "billions of parameters" if per.endswith("size") else "trillions of tokens"
    found = post.saturation(
        of, gain, per=per, tokens=tokens, params=params, tokens_per_param=tokens_per_param,
        at=_numbers("--at", at, unit) or None, family=family, lineage=lineage, instruct=instruct,
        new_family=new_family, within=_ends("--within", within), prob=prob, seed=seed,
    )  # fmt: skip
    row, mass = found.frame.iloc[0], f"{100 * prob:g}%"
    points = "sd" if found.is_skill else "points"
    factor = 1 if found.is_skill else 100

    def amount(value: float) -> str:
        return f"{value:.3g}{row['unit']}" if math.isfinite(value) else "beyond"

    title = (
        f"{of}, {row['family']}: where a {row['per']} gains less than {factor * gain:g} {points}"
    )
    rows = [
        ["median", amount(row["median"])],
        [f"{mass} interval", f"{amount(row['lower'])} - {amount(row['upper'])}"],
        ["probability: saturated over the whole range", _percent(row["p_throughout"])],
        ["probability: not saturated in the range", _percent(row["p_never"])],
    ]
    tables: list[Any] = [(title, ["", ""], rows)]
    if at:
        head = ["at", "saturated there", f"gain of a doubling ({points})", f"{mass} interval"]
        asked = [
            [
                f"{r['at']:g}{r['unit']}", _percent(r["p_saturated"]),
                f"{factor * r['gain_median']:.2f}",
                f"{factor * r['gain_lower']:.2f} - {factor * r['gain_upper']:.2f}",
            ]
            for r in found.frame.to_dict("records")
        ]  # fmt: skip
        tables.append((None, head, asked))
    _finish(found, posterior, seed, as_json, as_csv, plot, tables)


@plan_app.command()
def compare(
    family: Families = None,
    params: Params = None,
    tokens: Tokens = None,
    lineage: Annotated[list[str] | None, typer.Option(help="Base families, likewise.")] = None,
    new_family: NewFamily = False,
    benchmarks: Benchmarks = None,
    of: Annotated[
        str,
        typer.Option(
            metavar="expected|score",
            help="Which model is better, or which a single evaluation will show as better.",
        ),
    ] = "expected",
    prob: Prob = 0.9,
    plot: Plot = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    posterior: PosteriorName = "leaderboard",
    seed: Seed = 0,
) -> None:
    """Does the first model beat the others? Families, sizes and tokens are lists that pair up.

    Example: [bold]sloth-bayes plan compare --family qwen2,yi --params 72,34 --tokens 7,3[/bold]
    """
    from .cli import _split

    post = _begin(posterior, as_json, as_csv, plot)
    rows = _candidates(family, params, tokens, lineage)
    if len(rows) < 2:
        raise DataError("a comparison needs two models or more: give lists, such as --params 7,70")
    found = post.compare(
        rows.iloc[[0]], rows.iloc[1:], benchmarks=_split(benchmarks) or None, of=of,
        new_family=new_family, prob=prob, seed=seed,
    )  # fmt: skip
    head = ["benchmark", "P(a better)", "gap", f"{100 * prob:g}% interval"]
    tables = []
    for (a, b), part in found.frame.groupby(["a", "b"], sort=False):  # type: ignore[misc]
        cells = [
            [
                r["benchmark"], _percent(r["p_a"]), f"{100 * r['mean']:+.1f}",
                f"{100 * r['lower']:+.1f} to {100 * r['upper']:+.1f}",
            ]
            for r in part.to_dict("records")
        ]  # fmt: skip
        what = "expected score" if of == "expected" else "score"
        tables.append((f"{a} (a) against {b} (b): {what}, gap in points", head, cells))
    _finish(found, posterior, seed, as_json, as_csv, plot, tables)


@plan_app.command("next")
def next_(
    family: Family = None,
    params: Annotated[
        float | None, typer.Option(metavar="B", help="Size of the model to be forecast.")
    ] = None,
    tokens: Annotated[
        float | None, typer.Option(metavar="T", help="Its training tokens, in trillions.")
    ] = None,
    option_params: Annotated[
        list[str] | None,
        typer.Option(metavar="B[,B...]", help="Sizes that could be trained and measured."),
    ] = None,
    option_tokens: Annotated[
        list[str] | None,
        typer.Option(metavar="T[,T...]", help="Their tokens (by default those of the target)."),
    ] = None,
    of: Of = "average",
    benchmarks: Benchmarks = None,
    lineage: Lineage = None,
    instruct: Instruct = None,
    new_family: NewFamily = False,
    top: Annotated[int, typer.Option(min=1, help="Measurements to show.")] = 10,
    prob: Prob = 0.9,
    plot: Plot = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    posterior: PosteriorName = "leaderboard",
    seed: Seed = 0,
) -> None:
    """Which cheap measurement would narrow the forecast of a large model most?

    Example: [bold]sloth-bayes plan next --params 70 --tokens 4 --option-params 0.5,1,3[/bold]
    """
    from .cli import _numbers, _split
    from .curves import NEW_FAMILY
    from .forecast import candidates

    post = _begin(posterior, as_json, as_csv, plot)
    if params is None or tokens is None or not option_params:
        raise DataError(
            "this needs the target's --params and --tokens, and --option-params: sloth-bayes plan "
            "next --params 70 --tokens 4 --option-params 0.5,1,3"
        )
    who: dict[str, Any] = {"family": family or NEW_FAMILY, "lineage": lineage, "instruct": instruct}
    sizes = _numbers("--option-params", option_params, "billions of parameters")
    amounts = _numbers("--option-tokens", option_tokens, "trillions of tokens") or tokens
    found = post.next_evaluation(
        candidates(params_b=params, tokens_t=tokens, **who),
        candidates(params_b=sizes, tokens_t=amounts, **who), of=of,
        benchmarks=_split(benchmarks) or None, new_family=new_family or family is None, prob=prob,
        seed=seed,
    )  # fmt: skip
    now = 100 * found.frame["sd_now"].iloc[0]
    title = f"Forecast of the {found.target}: standard deviation {now:.1f} points now"
    head = ["train", "tokens", "measure", "variance that goes", "sd after", "cost (FLOPs)"]
    rows = [
        [
            _billions(r["params_b"]), f"{r['tokens_t']:g}T", r["benchmark"],
            _percent(r["reduction"]), f"{100 * r['sd_after']:.1f}", f"{r['cost']:.2g}",
        ]
        for r in found.frame.head(top).to_dict("records")
    ]  # fmt: skip
    _finish(found, posterior, seed, as_json, as_csv, plot, [(title, head, rows)])


# -- shared ------------------------------------------------------------------------------


def _begin(name: str, as_json: bool, as_csv: bool, plot: Path | None) -> Any:
    """The posterior, once the options agree."""
    from .cli import _check_figure
    from .posterior import load

    if as_json and as_csv:
        raise DataError("--json and --csv exclude each other: ask for one of them.")
    if plot is not None:
        _check_figure(plot)
    return load(name)


def _finish(
    found: Answer,
    name: str,
    seed: int,
    as_json: bool,
    as_csv: bool,
    plot: Path | None,
    tables: list[Any],
) -> None:
    """Print an answer, as the user wants it."""
    from .cli import _draw, _say

    for message in found.messages:
        _say("warning", message)
    post = found._posterior
    if as_json:
        _json(found.frame, post, name, {"prob": found.prob, "seed": seed}, list(found.messages))
    elif as_csv:
        typer.echo(found.frame.to_csv(index=False), nl=False)
    else:
        _print(tables, post, name)
    if plot is not None:
        _draw(found, plot)  # type: ignore[arg-type]


def _json(
    frame: pd.DataFrame, post: Any, name: str, about: dict[str, Any], messages: list[str]
) -> None:
    from . import __version__
    from .cli import _records

    meta = {
        "posterior": name, "method": post.method, "draws": post.n_draws,
        "data": str(post.attrs["data"]), **about, "version": __version__,
    }  # fmt: skip
    typer.echo(json.dumps({"plan": _records(frame), "meta": meta, "warnings": messages}))


def _print(tables: list[Any], post: Any, name: str) -> None:
    from rich.table import Table

    from .cli import _console

    console = _console()
    for i, (title, head, rows) in enumerate(tables):
        if title:
            if i:
                console.print()
            console.print(title, style="bold")
        if not rows:
            console.print(head[0])
            continue
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_header=any(head))
        for k, column in enumerate(head):
            table.add_column(column, justify="left" if k == 0 else "right")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    sizes = post._tree["posterior"].sizes
    console.print(
        f"\nPosterior {name}: {post.method.upper()}, {sizes['chain']} x {sizes['draw']} draws, "
        f"fitted on {len(post.models)} models of {post.attrs['data']}.",
        style="dim",
    )


def _paper(post: Any, name: str, prob: float, as_json: bool, as_csv: bool) -> None:
    """Table 2 of the paper beside ours."""
    from .allocation import paper_table

    frame = paper_table(post, prob)
    if as_json:
        _json(frame, post, name, {"prob": prob}, [])
        return
    if as_csv:
        typer.echo(frame.to_csv(index=False), nl=False)
        return
    mass = f"{100 * prob:g}%"
    head = ["budget", "paper", "ours", f"{mass} interval of size", "interior", "regret", "paper's"]
    tables = []

    def amount(value: float, points: bool) -> str:
        return f"{100 * value:.1f} points" if points else f"{value:.2f} sd"

    for objective, part in frame.groupby("objective", sort=False):
        skill = part["paper_skill"].iloc[0]
        points = objective in post.benchmarks
        rows = [
            [
                f"{r['budget']:.4g}", f"{r['paper_params_b']:g}B, {r['paper_tokens_t']:g}T",
                f"{r['params_b']:.3g}B, {r['tokens_t']:.3g}T",
                f"{r['size_lower']:.3g} - {r['size_upper']:.3g}", _percent(r["p_interior"]),
                amount(r["regret"], points), amount(r["paper_regret"], points),
            ]
            for r in part.to_dict("records")
        ]  # fmt: skip
        tables.append((f"{objective}; in the paper: {skill}", head, rows))
    _print(tables, post, name)


def _candidates(
    family: list[str] | None,
    params: list[str] | None,
    tokens: list[str] | None,
    lineage: list[str] | None,
) -> pd.DataFrame:
    from .cli import _numbers, _split
    from .forecast import candidates

    flags = {"--family": family, "--params": params, "--tokens": tokens}
    missing = [name for name, value in flags.items() if not value]
    if missing:
        raise DataError(
            f"a comparison needs {' and '.join(missing)}: sloth-bayes plan compare --family "
            "qwen2,yi --params 72,34 --tokens 7,3"
        )
    return candidates(
        _split(family),
        _numbers("--params", params, "billions of parameters"),
        _numbers("--tokens", tokens, "trillions of tokens"),
        lineage=_split(lineage) or None,
    )


def _goals(names: list[str]) -> list[Any]:
    """Objectives by name; where all have a weight, one weighted mean."""
    from .cli import _number

    if not names:
        return ["average"]
    parts = [name.rpartition("=") for name in names]
    weighted = [bool(equals) for _, equals, _ in parts]
    if not any(weighted):
        return list(names)
    if not all(weighted):
        raise DataError("--objective takes names, or NAME=WEIGHT for all of them, not a mixture")
    return [{name.strip(): _number(f"the weight of {name}", w) for name, _, w in parts}]


def _ends(option: str, text: str | None) -> tuple[float, float] | None:
    from .cli import _number

    if text is None:
        return None
    low, colon, high = text.partition(":")
    if not colon:
        raise DataError(f"{option} takes two numbers, such as 0.1:100, not {text!r}")
    return _number(option, low), _number(option, high)


def _amount(found: Answer, value: float) -> str:
    return f"{value:g} sd" if found.is_skill else f"{100 * value:g}%"


def _billions(value: float) -> str:
    return f"{value:.3g}B" if math.isfinite(value) else "not reached"


def _percent(value: float) -> str:
    return f"{100 * value:.0f}%"
