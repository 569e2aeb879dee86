"""The verb ``complete``: what a model would score where nobody has evaluated it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConvergenceWarning, DataError
from ..support.checks import check_prob
from .options import Names, PosteriorName, Probs, command, number, split, table_with
from .output import PosteriorOutput, cells, console, facts, plain_table, rests_on, warnings_of

if TYPE_CHECKING:
    import pandas as pd

    from ..predict.completion import Completion

SHIPPED = "frontier"  # the posterior of models without sizes
_META = "posterior method models draws converged data data_fingerprint prob seed version observed"


@dataclass
class CardOutput(PosteriorOutput):
    """The output of a verb that asks a posterior of models without sizes."""

    posterior: PosteriorName = SHIPPED


@command
def complete(
    *,
    scores: Annotated[
        Path | None,
        "FILE",
        "CSV of scores in [0, 1]: benchmark, score; or a row a model and a column a benchmark, "
        "optional: model, family, lineage, kind, date.",
    ] = None,
    model: Annotated[Names, "Models of the posterior to complete, instead."] = None,
    next_: Annotated[
        int, typer.Option("--next", min=0), "How many benchmarks to run next to say."
    ] = 5,
    cost: Annotated[
        Path | None, "FILE", "CSV of what an evaluation costs: benchmark, cost; only these count."
    ] = None,
    top: Annotated[int, typer.Option(min=1), "How many completed scores to print."] = 25,
    prob: Probs = 0.9,
    output: Annotated[CardOutput, {"as_csv": "One CSV row a missing score."}],
) -> None:
    """Complete a score card from a few scores, and say which benchmarks to run next.

    Example: [bold]sloth-bayes complete --scores mine.csv --plot card.png[/bold]
    """
    names = split(model)
    if (scores is None) == (not names):
        raise DataError(
            "say whose card: sloth-bayes complete --scores mine.csv, or --model NAME of the table"
        )
    check_prob(prob)
    given = names if scores is None else _scores(scores)
    prices = None if cost is None else _prices(cost)
    post = output.load()
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        card = post.complete(given, prob=prob, seed=output.seed)  # its messages say so
    models = card.draws["model"].values.tolist()
    runs = {m: card.next_evaluation(next_, cost=prices, model=m) for m in models} if next_ else {}
    notes = warnings_of(card.posterior, output.posterior, card.messages)
    meta = facts(
        _META, card.posterior, output.posterior, prob=prob, seed=output.seed,
        observed=len(card.observed),
    )  # fmt: skip
    answer = {"completed": card.frame, "next": runs, "meta": meta, "warnings": notes}
    output.end(
        card.frame, answer, lambda: _print(card, runs, top, output.posterior), card.plot,
        card.posterior.known_verdict,
    )  # fmt: skip


def _scores(path: Path) -> pd.DataFrame:
    """The cards of a file: tall, or a row a model."""
    table = table_with(path)
    if {"benchmark", "score"} <= set(table):
        about = [c for c in ("model", "family", "lineage", "kind", "date") if c in table]
        if "model" not in table:
            table = table.assign(model="mine")
            about = ["model", *about]
        twice = table.duplicated(["model", "benchmark"])
        for name in table["benchmark"][twice]:
            raise DataError(f"{path}: benchmark {name!r} is there twice")
        wide = table.pivot(index="model", columns="benchmark", values="score")
        return table[about].drop_duplicates("model").merge(wide, on="model")
    return table


def _prices(path: Path) -> dict[str, float]:
    table = table_with(path, "benchmark", "cost")
    return {
        row.benchmark: number(f"{path}: cost of {row.benchmark}", row.cost, "cost")
        for row in table.itertuples()
    }


def _print(card: Completion, runs: dict[str, pd.DataFrame], top: int, name: str) -> None:
    out = console()
    for model in card.draws["model"].values.tolist():
        part = card.frame[card.frame["model"] == model]
        seen = int((card.observed["model"] == model).sum())
        out.print(
            f"{model}: {seen} scores observed, {len(part)} completed, the most certain first "
            "(percent)",
            style="bold",
        )
        columns = cells(
            part.head(top),
            ("benchmark", "{benchmark}"),
            ("median", "{median:.1p}"),
            (f"{100 * card.prob:g}% interval", "{lower:.1p} - {upper:4.1p}"),
            ("P(within 10)", "{p_within:.2f}"),
        )
        out.print(plain_table(*columns, fixed=range(1, 4)))
        if len(part) > top:
            out.print(f"and {len(part) - top} more: --top, --csv", style="dim")
        out.print()
        if model in runs:
            out.print("To run next, each given those before it:", style="bold")
            columns = cells(
                runs[model],
                ("", "{rank}"),
                ("benchmark", "{benchmark}"),
                ("cost", "{cost:g}"),
                ("variance left", "{left:.0%}"),
                ("sd before", "{sd_now:.1p}"),
                ("after", "{sd_after:.1p}"),
            )
            out.print(plain_table(*columns, sides="ll"))
            out.print()
    out.print(rests_on(card.posterior, name), style="dim")
