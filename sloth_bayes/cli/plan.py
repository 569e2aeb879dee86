"""Verbs of ``sloth-bayes plan``: decisions from a posterior; ``allocate``, ``track`` are beside."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DataError
from .options import (
    Families,
    Instruct,
    Lineage,
    NewFamily,
    Params,
    Probs,
    Tokens,
    amounts,
    ends,
    numbers,
    sizes,
    split,
    with_groups,
)
from .output import PosteriorOutput, leave, print_tables, records, say
from .request import listed

if TYPE_CHECKING:
    import pandas as pd

    from ..posterior.core import PosteriorDraws
    from ..predict.answer import Answer

Family = Annotated[
    str | None, typer.Option(help="Family of the model (by default one that nobody has seen).")
]
Benchmarks = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME[,NAME...]", help="Benchmarks to consider (by default all)."),
]
Of = Annotated[
    str, typer.Option(metavar="NAME", help="A benchmark, average, or a skill (sloth-bayes skills).")
]
TokensPerParam = Annotated[
    float | None, typer.Option(help="Instead of --tokens: tokens for each parameter.")
]
Range = Annotated[
    str | None,
    typer.Option(metavar="LOW:HIGH", help="Sizes to consider, in billions of parameters."),
]

_COMPARISON = "sloth-bayes plan compare --family qwen2,yi --params 72,34 --tokens 7,3"


@dataclass
class Who:
    """Whose law a plan is for."""

    family: Family = None
    lineage: Lineage = None
    instruct: Instruct = None
    new_family: NewFamily = False


@with_groups
def size(
    *,
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
    who: Who,
    sizes: Range = None,
    prob: Probs = 0.9,
    output: PosteriorOutput,
) -> None:
    """The smallest size that reaches a target, and how sure we are of it.

    Example: [bold]sloth-bayes plan size --of MMLU --target 0.7 --tokens 15 --family yi[/bold]
    """
    post = output.load()
    found = post.required_size(
        of, target, tokens=tokens, tokens_per_param=tokens_per_param, probability=probability,
        noisy=noisy, sizes=ends("--sizes", sizes), prob=prob, seed=output.seed, **vars(who),
    )  # fmt: skip
    row = found.frame.iloc[0]
    held = f"{tokens:g}T tokens" if tokens else f"{tokens_per_param:g} tokens a parameter"
    amount = f"{target:g} sd" if found.is_skill else f"{100 * target:g}%"
    reach = "a single evaluation of " if noisy else ""
    title = f"{row['family']}, {held}: {reach}{of} of at least {amount}"
    mass = f"{100 * prob:g}%"
    rows = [
        [f"size that reaches it with probability {probability:g}", billions(row["required_b"])],
        ["size that just reaches it: median", billions(row["median"])],
        [f"  {mass} interval", f"{billions(row['lower'])} - {billions(row['upper'])}"],
        ["probability that any size considered reaches it", percent(row["p_reachable"])],
        ["probability that the smallest one does", percent(row["p_smallest"])],
    ]
    finish(found, output, [(title, ["", ""], rows)])


@with_groups
def saturation(
    *,
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
    who: Who,
    within: Annotated[
        str | None, typer.Option(metavar="LOW:HIGH", help="Sizes (or tokens) to consider.")
    ] = None,
    prob: Probs = 0.9,
    output: PosteriorOutput,
) -> None:
    """Beyond which size (or tokens) does one doubling gain less than an amount?

    Example: [bold]sloth-bayes plan saturation --of HellaSwag --tokens 15 --at 7,70[/bold]
    """
    post = output.load()
    unit = "billions of parameters" if per.endswith("size") else "trillions of tokens"
    found = post.saturation(
        of, gain, per=per, tokens=tokens, params=params, tokens_per_param=tokens_per_param,
        at=numbers("--at", at, unit) or None, within=ends("--within", within), prob=prob,
        seed=output.seed, **vars(who),
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
        ["probability: saturated over the whole range", percent(row["p_throughout"])],
        ["probability: not saturated in the range", percent(row["p_never"])],
    ]
    tables: list[Any] = [(title, ["", ""], rows)]
    if at:
        head = ["at", "saturated there", f"gain of a doubling ({points})", f"{mass} interval"]
        asked = [
            [
                f"{r['at']:g}{r['unit']}", percent(r["p_saturated"]),
                f"{factor * r['gain_median']:.2f}",
                f"{factor * r['gain_lower']:.2f} - {factor * r['gain_upper']:.2f}",
            ]
            for r in found.frame.to_dict("records")
        ]  # fmt: skip
        tables.append((None, head, asked))
    finish(found, output, tables)


@with_groups
def compare(
    *,
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
    prob: Probs = 0.9,
    output: PosteriorOutput,
) -> None:
    """Does the first model beat the others? Families, sizes and tokens are lists that pair up.

    Example: [bold]sloth-bayes plan compare --family qwen2,yi --params 72,34 --tokens 7,3[/bold]
    """
    post = output.load()
    rows = listed("a comparison", _COMPARISON, family, params, tokens, lineage)
    if len(rows) < 2:
        raise DataError("a comparison needs two models or more: give lists, such as --params 7,70")
    found = post.compare(
        rows.iloc[[0]], rows.iloc[1:], benchmarks=split(benchmarks) or None, of=of,
        new_family=new_family, prob=prob, seed=output.seed,
    )  # fmt: skip
    head = ["benchmark", "P(a better)", "gap", f"{100 * prob:g}% interval"]
    tables = []
    for (a, b), part in found.frame.groupby(["a", "b"], sort=False):  # type: ignore[misc]
        cells = [
            [
                r["benchmark"], percent(r["p_a"]), f"{100 * r['mean']:+.1f}",
                f"{100 * r['lower']:+.1f} to {100 * r['upper']:+.1f}",
            ]
            for r in part.to_dict("records")
        ]  # fmt: skip
        what = "expected score" if of == "expected" else "score"
        tables.append((f"{a} (a) against {b} (b): {what}, gap in points", head, cells))
    finish(found, output, tables)


@with_groups
def next_(
    *,
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
    output: PosteriorOutput,
) -> None:
    """Which cheap measurement would narrow the forecast of a large model most?

    Example: [bold]sloth-bayes plan next --params 70 --tokens 4 --option-params 0.5,1,3[/bold]
    """
    from ..plan.curves import NEW_FAMILY
    from ..predict.candidates import candidates

    post = output.load()
    if params is None or tokens is None or not option_params:
        raise DataError(
            "this needs the target's --params and --tokens, and --option-params: sloth-bayes plan "
            "next --params 70 --tokens 4 --option-params 0.5,1,3"
        )
    who: dict[str, Any] = {"family": family or NEW_FAMILY, "lineage": lineage, "instruct": instruct}
    options: dict[str, Any] = {
        "params_b": sizes("--option-params", option_params),
        "tokens_t": amounts("--option-tokens", option_tokens) or tokens,
    }
    found = post.next_evaluation(
        candidates(params_b=params, tokens_t=tokens, **who), candidates(**options, **who), of=of,
        benchmarks=split(benchmarks) or None, new_family=new_family or family is None,
        seed=output.seed,
    )  # fmt: skip
    now = 100 * found.frame["sd_now"].iloc[0]
    title = f"Forecast of the {found.target}: standard deviation {now:.1f} points now"
    head = ["train", "tokens", "measure", "variance that goes", "sd after", "cost (FLOPs)"]
    rows = [
        [
            billions(r["params_b"]), f"{r['tokens_t']:g}T", r["benchmark"],
            percent(r["reduction"]), f"{100 * r['sd_after']:.1f}", f"{r['cost']:.2g}",
        ]
        for r in found.frame.head(top).to_dict("records")
    ]  # fmt: skip
    finish(found, output, [(title, head, rows)])


# -- shared ------------------------------------------------------------------------------


def finish(found: Answer, output: PosteriorOutput, tables: list[Any]) -> None:
    """Print an answer, as the user wants it."""
    for message in found.messages:
        say("warning", message)
    post = found.posterior
    about = {"prob": found.prob, "seed": output.seed}
    output.show(
        lambda: found.frame,
        lambda: answer(found.frame, post, output.posterior, about, found.messages),
        lambda: print_tables(tables, post, output.posterior),
    )
    output.draw(found.plot)  # type: ignore[attr-defined]  # each kind of answer has its own
    leave(post.known_verdict)


def answer(
    frame: pd.DataFrame,
    post: PosteriorDraws,
    name: str,
    about: dict[str, Any],
    messages: Iterable[str],
) -> dict[str, Any]:
    """An answer, and what it is from."""
    from ..support.version import __version__

    meta = {
        "posterior": name, "method": post.method, "draws": post.n_draws,
        "converged": post.known_verdict, "data": str(post.attrs["data"]), **about,
        "version": __version__,
    }  # fmt: skip
    return {"plan": records(frame), "meta": meta, "warnings": list(messages)}


def billions(value: float) -> str:
    """A size, which may lie beyond all that is considered."""
    return f"{value:.3g}B" if math.isfinite(value) else "not reached"


def percent(value: float) -> str:
    """A probability."""
    return f"{100 * value:.0f}%"
