"""The verb ``allocate`` of ``sloth-bayes plan``: size and tokens that a budget is best spent on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from ..errors import DataError
from .options import Names, Probs, Span, Strings, command, ends, named, numbers, split
from .output import PosteriorOutput, Section, cells, facts, print_tables, say, warnings_of
from .plan import Range, Who, finish, interval

if TYPE_CHECKING:
    from ..posterior.core import PosteriorDraws

_LOSES = "where runs of several sizes were made, 20 tokens a parameter chose better"


@command
def allocate(
    *,
    flops: Annotated[Strings, "F[,F...]", "Budget of training, in FLOPs."] = None,
    objective: Annotated[
        Names, "Benchmarks, average or skills; NAME=WEIGHT,... is one weighted mean."
    ] = None,
    served: Annotated[
        float, "T", "Trillions of tokens to be served, at 2 FLOPs a parameter."
    ] = 0.0,
    params_range: Range = None,
    tokens_range: Annotated[Span, "Tokens to consider, in trillions."] = None,
    beyond: Annotated[bool, "Look beyond the data."] = False,
    paper: Annotated[bool, "Table 2 of the Sloth paper beside ours instead."] = False,
    who: Who,
    prob: Probs = 0.9,
    output: PosteriorOutput,
) -> None:
    """Size and tokens that a budget is best spent on (experimental).

    Of 30 budgets of a real grid of runs, the best size was inside our 90% interval in 7, and 20
    tokens a parameter chose better.

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
        say("experimental", _LOSES)
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
    say("experimental", _LOSES)
    frame = found.frame.assign(star=found.frame["beyond_data"].map({True: " *", False: ""}))
    tables: list[Section] = []
    for name, part in frame.groupby("objective", sort=False):
        skill = name in found.skill_names
        best = cells(
            part,
            ("budget", "{budget:.4g}"),
            ("size", "{params_b:.3g}B"),
            (interval(prob), "{size_lower:.3g} - {size_upper:.3g}"),
            ("tokens", "{tokens_t:.3g}T"),
            (interval(prob), "{tokens_lower:.3g} - {tokens_upper:.3g}"),
            ("where", "{edge}{star}"),
            ("interior", "{p_interior:.0%}"),
            ("value", "{value:.2f}" if skill else "{value:.1p}"),
            ("regret", "{regret:.3f}" if skill else "{regret:.2p}"),
        )
        first = part.iloc[0]
        unit = "standard deviations" if skill else "percent"
        tables.append((f"{name} in {unit}, {first['family']}; * beyond the data", *best))
        falls = f"size {first['p_falls_size']:.0%}, tokens {first['p_falls_tokens']:.0%}"
        tables.append((None, [f"probability that it falls in the range with {falls}"], []))
    finish(found, output, tables)


def _paper(post: PosteriorDraws, output: PosteriorOutput, prob: float) -> None:
    """Table 2 of the paper beside ours."""
    from ..publish.paper_budgets import paper_table

    frame, name = paper_table(post, prob), output.posterior
    tables: list[Section] = []
    for objective, part in frame.groupby("objective", sort=False):
        amount = ":.1p} points" if objective in post.benchmarks else ":.2f} sd"
        both = cells(
            part,
            ("budget", "{budget:.4g}"),
            ("paper", "{paper_params_b:g}B, {paper_tokens_t:g}T"),
            ("ours", "{params_b:.3g}B, {tokens_t:.3g}T"),
            (f"{interval(prob)} of size", "{size_lower:.3g} - {size_upper:.3g}"),
            ("interior", "{p_interior:.0%}"),
            ("regret", "{regret" + amount),
            ("paper's", "{paper_regret" + amount),
        )
        skill = part["paper_skill"].iloc[0]
        tables.append((f"{objective}; in the paper: {skill}", *both))
    meta = facts("posterior method draws converged data prob version", post, name, prob=prob)
    answer = {"plan": frame, "meta": meta, "warnings": warnings_of(post, name)}
    output.end(
        frame, answer, lambda: print_tables(tables, post, name), converged=post.known_verdict
    )


def _goals(names: list[str]) -> list[Any]:
    """Objectives by name; where all have a weight, one weighted mean."""
    if not names:
        return ["average"]
    if weights := named(names, "the weight of {}"):
        return [weights]
    if any("=" in name for name in names):
        raise DataError("--objective takes names, or NAME=WEIGHT for all of them, not a mixture")
    return list(names)
