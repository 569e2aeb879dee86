"""Verbs of ``sloth-bayes plan``: decisions from a posterior; ``allocate``, ``track`` are beside."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DataError
from .options import (
    Billions,
    Families,
    Kind,
    Lineage,
    Names,
    NewFamily,
    Params,
    Probs,
    Released,
    Span,
    Strings,
    Tokens,
    TokensHeld,
    Total,
    Trillions,
    Tuned,
    amounts,
    command,
    ends,
    named,
    sizes,
    split,
)
from .output import PosteriorOutput, Section, cells, facts, print_tables, warnings_of
from .request import Candidates

if TYPE_CHECKING:
    from ..predict.answer import Answer

Family = Annotated[str | None, "Family of the model (by default one that nobody has seen)."]
Benchmarks = Annotated[Names, "Benchmarks to consider (by default all)."]
Of = Annotated[
    str, "NAME", "A benchmark, average, NAME=WEIGHT,... of a mean, or a skill (sloth-bayes skills)."
]
TokensPerParam = Annotated[float | None, "Instead of --tokens: tokens for each parameter."]
Range = Annotated[Span, "Sizes to consider, in billions of parameters."]

_COMPARISON = "sloth-bayes plan compare --family qwen2,yi --params 72,34 --tokens 7,3"
_META = "posterior method draws converged data prob seed version"


@dataclass
class Who:
    """Whose law a plan is for."""

    family: Family = None
    lineage: Lineage = None
    instruct: Tuned = None
    kind: Kind = None
    new_family: NewFamily = False


@command
def size(
    *,
    of: Of,
    target: Annotated[float, "A score from 0 to 1, or standard deviations of a skill."],
    tokens: TokensHeld = None,
    tokens_per_param: TokensPerParam = None,
    probability: Annotated[float, "How sure to be of the target."] = 0.9,
    noisy: Annotated[bool, "Of a single evaluation, not of the expected score."] = False,
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
        _goal(of), target, tokens=tokens, tokens_per_param=tokens_per_param,
        probability=probability, noisy=noisy, sizes=ends("--sizes", sizes), prob=prob,
        seed=output.seed, **vars(who),
    )  # fmt: skip
    row = found.frame.iloc[0]
    held = f"{tokens:g}T tokens" if tokens else f"{tokens_per_param:g} tokens a parameter"
    amount = f"{target:g} sd" if found.is_skill else f"{100 * target:g}%"
    reach = "a single evaluation of " if noisy else ""
    title = f"{row['family']}, {held}: {reach}{of} of at least {amount}"
    rows = [
        [f"size that reaches it with probability {probability:g}", billions(row["required_b"])],
        ["size that just reaches it: median", billions(row["median"])],
        [f"  {interval(prob)}", f"{billions(row['lower'])} - {billions(row['upper'])}"],
        ["probability that any size considered reaches it", f"{row['p_reachable']:.0%}"],
        ["probability that the smallest one does", f"{row['p_smallest']:.0%}"],
    ]
    finish(found, output, [(title, ["", ""], rows)])


@command
def saturation(
    *,
    of: Of,
    gain: Annotated[float, "In score (0.01 is one point), or standard deviations of a skill."] = (
        0.01
    ),
    per: Annotated[str, "size|tokens", "What is doubled."] = "size",
    tokens: Annotated[float | None, "T", "Training tokens in trillions, held fixed."] = None,
    params: Annotated[float | None, "B", "Billions of parameters, where tokens double."] = None,
    tokens_per_param: TokensPerParam = None,
    at: Annotated[Strings, "X[,X...]", "Sizes (or tokens) to ask about."] = None,
    who: Who,
    within: Annotated[Span, "Sizes (or tokens) to consider."] = None,
    prob: Probs = 0.9,
    output: PosteriorOutput,
) -> None:
    """Beyond which size (or tokens) does one doubling gain less than an amount?

    Example: [bold]sloth-bayes plan saturation --of HellaSwag --tokens 15 --at 7,70[/bold]
    """
    post = output.load()
    read = sizes if per.endswith("size") else amounts
    found = post.saturation(
        _goal(of), gain, per=per, tokens=tokens, params=params, tokens_per_param=tokens_per_param,
        at=read("--at", at) or None, within=ends("--within", within), prob=prob,
        seed=output.seed, **vars(who),
    )  # fmt: skip
    row = found.frame.iloc[0]
    points, form = ("sd", ".2f") if found.is_skill else ("points", ".2p")
    least = gain if found.is_skill else 100 * gain

    def amount(value: float) -> str:
        return f"{value:.3g}{row['unit']}" if math.isfinite(value) else "beyond"

    title = f"{of}, {row['family']}: where a {row['per']} gains less than {least:g} {points}"
    rows = [
        ["median", amount(row["median"])],
        [interval(prob), f"{amount(row['lower'])} - {amount(row['upper'])}"],
        ["probability: saturated over the whole range", f"{row['p_throughout']:.0%}"],
        ["probability: not saturated in the range", f"{row['p_never']:.0%}"],
    ]
    tables: list[Section] = [(title, ["", ""], rows)]
    if at:
        asked = cells(
            found.frame,
            ("at", "{at:g}{unit}"),
            ("saturated there", "{p_saturated:.0%}"),
            (f"gain of a doubling ({points})", f"{{gain_median:{form}}}"),
            (interval(prob), f"{{gain_lower:{form}}} - {{gain_upper:{form}}}"),
        )
        tables.append((None, *asked))
    finish(found, output, tables)


@command
def compare(
    *,
    family: Families = None,
    params: Params = None,
    total: Total = None,
    tokens: Tokens = None,
    lineage: Annotated[Strings, "Base families, likewise."] = None,
    kind: Annotated[Strings, "base|instruct|reasoning", "Kinds, likewise."] = None,
    released: Released = None,
    new_family: NewFamily = False,
    benchmarks: Benchmarks = None,
    weights: Annotated[
        Strings, "NAME=W[,...]", "Weights of benchmarks in the average (all the same by default)."
    ] = None,
    of: Annotated[
        str,
        "expected|score",
        "Which model is better, or which a single evaluation will show as better.",
    ] = "expected",
    prob: Probs = 0.9,
    output: PosteriorOutput,
) -> None:
    """Does the first model beat the others? Families, sizes and tokens are lists that pair up.

    Example: [bold]sloth-bayes plan compare --family qwen2,yi --params 72,34 --tokens 7,3[/bold]
    """
    post = output.load()
    models = Candidates(
        family, params, total, tokens, lineage=lineage, kind=kind, released=released
    )
    rows = models.rows("a comparison", _COMPARISON, crossed=False)
    if len(rows) < 2:
        raise DataError("a comparison needs two models or more: give lists, such as --params 7,70")
    found = post.compare(
        rows.iloc[[0]], rows.iloc[1:], benchmarks=split(benchmarks) or None,
        weights=_weights("--weights", weights), of=of, new_family=new_family, prob=prob,
        seed=output.seed,
    )  # fmt: skip
    what = "expected score" if of == "expected" else "score"
    columns = [
        ("benchmark", "{benchmark}"),
        ("P(a better)", "{p_a:.0%}"),
        ("gap", "{mean:+.1p}"),
        (interval(prob), "{lower:+.1p} to {upper:+.1p}"),
    ]
    tables: list[Section] = [
        (f"{a} (a) against {b} (b): {what}, gap in points", *cells(part, *columns))
        for (a, b), part in found.frame.groupby(["a", "b"], sort=False)  # type: ignore[misc]
    ]
    finish(found, output, tables)


@command
def next_(
    *,
    family: Family = None,
    params: Annotated[float | None, "B", "Size of the model to be forecast."] = None,
    tokens: Annotated[float | None, "T", "Its training tokens, in trillions."] = None,
    option_params: Annotated[Billions, "Sizes that could be trained and measured."] = None,
    option_tokens: Annotated[Trillions, "Their tokens (by default those of the target)."] = None,
    of: Annotated[str, "NAME", "A benchmark, average, or NAME=WEIGHT,... of a mean."] = "average",
    benchmarks: Benchmarks = None,
    lineage: Lineage = None,
    instruct: Tuned = None,
    kind: Kind = None,
    new_family: NewFamily = False,
    top: Annotated[int, typer.Option(min=1), "Measurements to show."] = 10,
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
    who: dict[str, Any] = {
        "family": family or NEW_FAMILY,
        "lineage": lineage,
        "instruct": instruct,
        "kind": kind,
    }
    options: dict[str, Any] = {
        "params_b": sizes("--option-params", option_params),
        "tokens_t": amounts("--option-tokens", option_tokens) or tokens,
    }
    found = post.next_evaluation(
        candidates(params_b=params, tokens_t=tokens, **who), candidates(**options, **who),
        of=_goal(of),
        benchmarks=split(benchmarks) or None, new_family=new_family or family is None,
        seed=output.seed,
    )  # fmt: skip
    now = 100 * found.frame["sd_now"].iloc[0]
    title = f"Forecast of the {found.target}: standard deviation {now:.1f} points now"
    best = cells(
        found.frame.head(top),
        ("train", "{params_b:.3g}B"),
        ("tokens", "{tokens_t:g}T"),
        ("measure", "{benchmark}"),
        ("variance that goes", "{reduction:.0%}"),
        ("sd after", "{sd_after:.1p}"),
        ("cost (FLOPs)", "{cost:.2g}"),
    )
    finish(found, output, [(title, *best)])


def _goal(of: str) -> str | dict[str, float]:
    """A name, or weights of a mean."""
    return (_weights("--of", [of]) or of) if "=" in of else of


def _weights(option: str, values: list[str] | None) -> dict[str, float] | None:
    """NAME=WEIGHT of each benchmark."""
    parts = split(values)
    found = named(parts, "the weight of {}") if parts else None
    if parts and found is None:
        raise DataError(f"{option} takes NAME=WEIGHT for each benchmark, such as MMLU=2,GSM8K=1")
    return found


# -- shared ------------------------------------------------------------------------------


def finish(found: Answer, output: PosteriorOutput, tables: list[Section]) -> None:
    """Print an answer, as the user wants it."""
    post, name = found.posterior, output.posterior
    meta = facts(_META, post, name, prob=found.prob, seed=output.seed)
    answer = {
        "plan": found.frame,
        "meta": meta,
        "warnings": warnings_of(post, name, found.messages),
    }
    plot = found.plot  # type: ignore[attr-defined]  # each kind of answer has its own
    output.end(
        found.frame, answer, lambda: print_tables(tables, post, name), plot, post.known_verdict
    )


def billions(value: float) -> str:
    """A size, which may lie beyond all that is considered."""
    return f"{value:.3g}B" if math.isfinite(value) else "not reached"


def interval(prob: float) -> str:
    """The head of a column of intervals."""
    return f"{100 * prob:g}% interval"
