"""The verb ``sloth-bayes downstream``: a task outside the leaderboard, from skills."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ._files import read_table
from .errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def downstream(
    scores: Annotated[
        str,
        typer.Argument(
            metavar="TASK|FILE",
            help="A task that ships (HumanEval, EQ-Bench, ...), or a CSV: model, and scores in "
            "[0, 1].",
        ),
    ],
    hold_out: Annotated[
        list[str] | None, typer.Option(help="Model that does not train; repeat for several.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Model of the posterior to forecast; repeat.")
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
    prob: Annotated[float, typer.Option(help="Mass of the interval, between 0 and 1.")] = 0.9,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also draw a figure (.png, .pdf, .svg).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="The forecasts as CSV.")] = False,
    posterior: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="A posterior that ships, or a file.")
    ] = "leaderboard",
    seed: Annotated[int, typer.Option(help="Same seed, same numbers.")] = 0,
) -> None:
    """Learn a task from a few models' scores and their skills; forecast it for others.

    Example: [bold]sloth-bayes downstream EQ-Bench --model qwen2-72b-instruct[/bold]
    """
    from .downstream import downstream as make
    from .downstream import load_downstream
    from .plan_cli import _begin, _print

    post = _begin(posterior, as_json, as_csv, plot)
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
            typer.echo(f"sloth-bayes: note: not in the posterior: {', '.join(left)}", err=True)
        given, value = found[~found["model"].isin(left)], "score"
    if value is not None:
        given = given[["model", value]]
    task = make(
        post, given, name=name, n_questions=n_questions or 500, chance=chance or 0.0,
        shrinkage=shrinkage, hold_out=hold_out or (), seed=seed,
        table=None if table is None else _read(table),
    )  # fmt: skip
    frame = task.forecast(model, prob=prob, seed=seed).frame if model else task.frame
    weights, verdict = task.weights(prob=prob), task.diagnostics()
    if as_json:
        records = {k: json.loads(v.to_json(orient="records"))
                   for k, v in (("downstream", frame), ("weights", weights))}  # fmt: skip
        meta = {"task": name, "posterior": posterior, "ok": verdict.ok, "seed": seed}
        typer.echo(json.dumps({**records, "meta": meta, "warnings": list(verdict.messages)}))
    elif as_csv:
        typer.echo(frame.to_csv(index=False), nl=False)
    else:
        _print([_forecasts(frame, name), _weights(weights)], task.posterior, posterior)
    for message in verdict.messages:
        typer.echo(f"sloth-bayes: note: {message}", err=True)
    if plot is not None:
        from .cli import _draw

        _draw(task, plot)  # type: ignore[arg-type]
    if not verdict.ok:
        raise typer.Exit(1)


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
