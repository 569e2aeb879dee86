"""The verb ``sloth-bayes downstream``: a task outside the leaderboard, from skills."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Names, Prob, command, split, table_with
from .output import PosteriorOutput, cells, print_tables, say


@command
def downstream(
    *,
    scores: Annotated[
        str,
        typer.Argument(),
        "TASK|FILE",
        "A task that ships (HumanEval, EQ-Bench, ...), or a CSV: model, and scores in [0, 1].",
    ],
    hold_out: Annotated[Names, "Models that do not train."] = None,
    model: Annotated[Names, "Models of the posterior to forecast."] = None,
    table: Annotated[Path | None, "FILE", "CSV of leaderboard scores of models it lacks."] = None,
    n_questions: Annotated[float | None, "Questions behind a score (by default 500)."] = None,
    chance: Annotated[float | None, "Score of guessing."] = None,
    shrinkage: Annotated[str, typer.Option(metavar="normal|strong")] = "normal",
    prob: Prob = 0.9,
    output: Annotated[PosteriorOutput, {"as_csv": "The forecasts as CSV."}],
) -> None:
    """Learn a task from a few models' scores and their skills; forecast it for others.

    Example: [bold]sloth-bayes downstream EQ-Bench --model qwen2-72b-instruct[/bold]
    """
    from ..tasks.downstream import downstream as make
    from ..tasks.downstream import load_downstream

    post, seed = output.load(), output.seed
    if scores.endswith(".csv") or "/" in scores:
        given, name = table_with(Path(scores), "model"), Path(scores).stem
    else:
        given, name = load_downstream(scores), scores
        n_questions = given["n_questions"].iloc[0] if n_questions is None else n_questions
        chance = given["chance"].iloc[0] if chance is None else chance
        left = ~given["model"].isin(post.models) & (table is None)
        if left.any():
            say("note", f"not in the posterior: {', '.join(given.loc[left, 'model'])}")
        given = given.loc[~left, ["model", "score"]]
    task = make(
        post, given, name=name,
        n_questions=500 if n_questions is None else n_questions,
        chance=0.0 if chance is None else chance,
        shrinkage=shrinkage, hold_out=split(hold_out), seed=seed,
        table=None if table is None else table_with(table, "model"),
    )  # fmt: skip
    names = split(model)
    frame = task.forecast(names, prob=prob, seed=seed).frame if names else task.frame
    weights, verdict = task.weights(prob=prob), task.diagnostics()
    known = [("", "{role}"), ("score", "{score:.1p}")] if "score" in frame else []
    forecasts = cells(
        frame,
        ("model", "{model}"),
        *known,
        ("forecast", "{median:.1p}"),
        ("interval", "{lower:.1p} to {upper:.1p}"),
    )
    learned = cells(
        weights,
        ("skill", "{skill}"),
        ("mean", "{mean:.2f}"),
        ("interval", "{lower:.2f} to {upper:.2f}"),
    )
    tables = [
        (f"{name}: scores in percent, {frame['prob'].iloc[0]:.0%} interval", *forecasts),
        ("Weights: logits per standard deviation", *learned),
    ]
    meta = {"task": name, "posterior": output.posterior, "ok": verdict.ok, "seed": seed}
    answer = {"downstream": frame, "weights": weights, "meta": meta, "warnings": verdict.messages}
    output.end(
        frame, answer, lambda: print_tables(tables, task.posterior, output.posterior), task.plot,
        verdict.ok, fit=True,
    )  # fmt: skip
