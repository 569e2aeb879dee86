"""The verb ``allocate`` of ``sloth-bayes plan``: size and tokens that a budget is best spent on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DataError
from .options import Probs, ends, number, numbers, split, with_groups
from .output import PosteriorOutput, leave, not_converged, print_tables, say
from .plan import Range, Who, answer, billions, finish, percent

if TYPE_CHECKING:
    from ..posterior.core import PosteriorDraws


@with_groups
def allocate(
    *,
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
    params_range: Range = None,
    tokens_range: Annotated[
        str | None, typer.Option(metavar="LOW:HIGH", help="Tokens to consider, in trillions.")
    ] = None,
    beyond: Annotated[bool, typer.Option("--beyond", help="Look beyond the data.")] = False,
    paper: Annotated[
        bool, typer.Option("--paper", help="Table 2 of the Sloth paper beside ours instead.")
    ] = False,
    who: Who,
    prob: Probs = 0.9,
    output: PosteriorOutput,
) -> None:
    """Size and tokens that a budget is best spent on.

    Example: [bold]sloth-bayes plan allocate --flops 1e23,1e24 --objective MMLU,average[/bold]
    """
    post = output.load()
    if paper:
        given = (flops, objective, params_range, tokens_range, output.plot, *vars(who).values())
        if served or beyond or any(given):
            raise DataError(
                "--paper sets budgets, objectives, ranges and the family itself: leave the "
                "others out"
            )
        _paper(post, output, prob)
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
        numbers("--flops", flops, "FLOPs"), _goals(split(objective)),
        cost=cost if served else None, params_range=ends("--params-range", params_range),
        tokens_range=ends("--tokens-range", tokens_range), beyond=beyond, prob=prob,
        seed=output.seed, **vars(who),
    )  # fmt: skip
    mass = f"{100 * prob:g}%"
    tables: list[Any] = []
    for name, part in found.frame.groupby("objective", sort=False):
        head = ["budget", "size", f"{mass} interval", "tokens", f"{mass} interval", "where",
                "interior", "value", "regret"]  # fmt: skip
        skill = name in found.skill_names
        rows = [
            [
                f"{r['budget']:.4g}", billions(r["params_b"]),
                f"{r['size_lower']:.3g} - {r['size_upper']:.3g}", f"{r['tokens_t']:.3g}T",
                f"{r['tokens_lower']:.3g} - {r['tokens_upper']:.3g}",
                r["edge"] + (" *" if r["beyond_data"] else ""), percent(r["p_interior"]),
                f"{r['value']:.2f}" if skill else f"{100 * r['value']:.1f}",
                f"{r['regret']:.3f}" if skill else f"{100 * r['regret']:.2f}",
            ]
            for r in part.to_dict("records")
        ]  # fmt: skip
        first = part.iloc[0]
        unit = "standard deviations" if skill else "percent"
        title = f"{name} in {unit}, {first['family']}; * beyond the data"
        tables.append((title, head, rows))
        falls = f"size {percent(first['p_falls_size'])}, tokens {percent(first['p_falls_tokens'])}"
        tables.append((None, [f"probability that it falls in the range with {falls}"], []))
    finish(found, output, tables)


def _paper(post: PosteriorDraws, output: PosteriorOutput, prob: float) -> None:
    """Table 2 of the paper beside ours."""
    from ..plan.budget import paper_table

    frame = paper_table(post, prob)
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
                f"{r['size_lower']:.3g} - {r['size_upper']:.3g}", percent(r["p_interior"]),
                amount(r["regret"], points), amount(r["paper_regret"], points),
            ]
            for r in part.to_dict("records")
        ]  # fmt: skip
        tables.append((f"{objective}; in the paper: {skill}", head, rows))
    notes = [not_converged(output.posterior)] if post.known_verdict is False else []
    for note in notes:
        say("warning", note)
    output.show(
        lambda: frame,
        lambda: answer(frame, post, output.posterior, {"prob": prob}, notes),
        lambda: print_tables(tables, post, output.posterior),
    )
    leave(post.known_verdict)


def _goals(names: list[str]) -> list[Any]:
    """Objectives by name; where all have a weight, one weighted mean."""
    if not names:
        return ["average"]
    parts = [name.rpartition("=") for name in names]
    weighted = [bool(equals) for _, equals, _ in parts]
    if not any(weighted):
        return list(names)
    if not all(weighted):
        raise DataError("--objective takes names, or NAME=WEIGHT for all of them, not a mixture")
    return [{name.strip(): number(f"the weight of {name}", w) for name, _, w in parts}]
