"""The verb ``sloth-bayes downstream``: a task outside the leaderboard, from skills."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import DataError
from ..support.files import read_table
from .options import Prob, split, with_groups
from .output import PosteriorOutput, print_tables, rounded, say

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class _Output(PosteriorOutput):
    as_csv: Annotated[bool, typer.Option("--csv", help="The forecasts as CSV.")] = False


@with_groups
def downstream(
    *,
    scores: Annotated[
        str,
        typer.Argument(
            metavar="TASK|FILE",
            help="A task that ships (HumanEval, EQ-Bench, ...), or a CSV: model, and scores in "
            "[0, 1].",
        ),
    ],
    hold_out: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[,NAME...]", help="Models that do not train."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[,NAME...]", help="Models of the posterior to forecast."),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV of leaderboard scores of models it lacks."),
    ] = None,
    n_questions: Annotated[
        float | None, typer.Option(help="Questions behind a score (by default 500).")
    ] = None,
    chance: Annotated[float | None, typer.Option(help="Score of guessing.")] = None,
    shrinkage: Annotated[str, typer.Option(metavar="normal|strong")] = "normal",
    prob: Prob = 0.9,
    output: _Output,
) -> None:
    """Learn a task from a few models' scores and their skills; forecast it for others.

    Example: [bold]sloth-bayes downstream EQ-Bench --model qwen2-72b-instruct[/bold]
    """
    from ..tasks.downstream import downstream as make
    from ..tasks.downstream import load_downstream

    post, seed = output.load(), output.seed
    name = scores
    if scores.endswith(".csv") or "/" in scores:
        given, name = _read(Path(scores)), Path(scores).stem
        value = None
    else:
        found = load_downstream(scores)
        n_questions = found["n_questions"].iloc[0] if n_questions is None else n_questions
        chance = found["chance"].iloc[0] if chance is None else chance
        left = found[~found["model"].isin(post.models)]["model"].tolist() if table is None else []
        if left:
            say("note", f"not in the posterior: {', '.join(left)}")
        given, value = found[~found["model"].isin(left)], "score"
    if value is not None:
        given = given[["model", value]]
    task = make(
        post, given, name=name, n_questions=n_questions or 500, chance=chance or 0.0,
        shrinkage=shrinkage, hold_out=split(hold_out), seed=seed,
        table=None if table is None else _read(table),
    )  # fmt: skip
    names = split(model)
    frame = task.forecast(names, prob=prob, seed=seed).frame if names else task.frame
    weights, verdict = task.weights(prob=prob), task.diagnostics()
    meta = {"task": name, "posterior": output.posterior, "ok": verdict.ok, "seed": seed}
    tables = [_forecasts(frame, name), _weights(weights)]
    output.show(
        lambda: frame,
        lambda: {
            "downstream": rounded(frame),
            "weights": rounded(weights),
            "meta": meta,
            "warnings": list(verdict.messages),
        },
        lambda: print_tables(tables, task.posterior, output.posterior),
    )
    output.end(verdict.messages, task.plot, verdict.ok)


def _forecasts(frame: pd.DataFrame, name: str) -> tuple[str, list[str], list[list[str]]]:
    known = "score" in frame
    head = ["model", *(["", "score"] if known else []), "forecast", "interval"]
    rows = [
        [
            r.model, *([r.role, f"{100 * r.score:.1f}"] if known else []),
            f"{100 * r.median:.1f}", f"{100 * r.lower:.1f} to {100 * r.upper:.1f}",
        ]
        for r in frame.itertuples()
    ]  # fmt: skip
    return f"{name}: scores in percent, {frame['prob'].iloc[0]:.0%} interval", head, rows


def _weights(frame: pd.DataFrame) -> tuple[str, list[str], list[list[str]]]:
    rows = [
        [r.skill, f"{r.mean:.2f}", f"{r.lower:.2f} to {r.upper:.2f}"] for r in frame.itertuples()
    ]
    return "Weights: logits per standard deviation", ["skill", "mean", "interval"], rows


def _read(path: Path) -> pd.DataFrame:
    frame = read_table(path)
    if "model" not in frame:
        raise DataError(f"{path} lacks the column 'model'")
    return frame
