"""The verb ``evaluate``: forecasts of models that were hidden from the fit."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DataError
from .options import AsJson, Moves, Progress, Seed, Steps, split
from .output import console, leave, plain, plain_table, records, say

if TYPE_CHECKING:
    from ..evaluate.evaluation import Evaluation
    from ..evaluate.scoreboard import Scoreboard
    from ..table.leaderboard import Leaderboard


def evaluate(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="[RECIPE]",
            help="The specification: a recipe that ships, a folder with a spec.toml, or a baseline "
            "(--baselines lists them).",
        ),
    ] = "leaderboard",
    protocol: Annotated[
        str,
        typer.Option(
            metavar="published|lineage|family|YYYY-MM",
            help="The published folds; one fold a lineage or family; or families released since "
            "a month.",
        ),
    ] = "published",
    hide: Annotated[
        str,
        typer.Option(
            metavar="strict|family", help="Hide relatives of the test models, or only the models."
        ),
    ] = "strict",
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--folds", metavar="KEY[,KEY...]", help="Only these folds, such as lb_v1/2/opt."
        ),
    ] = None,
    observed: Annotated[
        int, typer.Option(min=0, help="Models of a test family that stay visible (not published).")
    ] = 1,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="CSV|NAME",
            help="A table (by default the leaderboard: as published for the published folds, else "
            "corrected).",
        ),
    ] = None,
    benchmarks: Annotated[
        list[str] | None, typer.Option(metavar="NAME[,NAME...]", help="Score columns of --data.")
    ] = None,
    method: Annotated[str, typer.Option(metavar="svi|nuts", help="Inference.")] = "svi",
    steps: Steps = None,
    moves: Moves = None,
    draws: Annotated[int | None, typer.Option(help="Draws (of each chain).")] = None,
    warmup: Annotated[int | None, typer.Option(help="Warm-up iterations of a chain.")] = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Keep every forecast here; a run that was interrupted goes on from it.",
        ),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="The scoreboard: strict, twins visible, every lineage, time splits, and all "
            "baselines. Needs --out.",
        ),
    ] = False,
    list_baselines: Annotated[
        bool, typer.Option("--baselines", help="List the baselines and leave.")
    ] = False,
    as_json: AsJson = False,
    progress: Progress = None,
) -> None:
    """Forecast models that were hidden from the fit, and score the forecasts.

    Example: [bold]sloth-bayes evaluate --protocol 2024-03 --out since-2024-03[/bold]
    """
    from ..evaluate import baselines, scoreboard
    from ..evaluate.evaluation import cross_validate
    from ..infer import recipes

    if list_baselines:
        typer.echo("\n".join(baselines.names()))
        return
    asked = {"steps": steps, "moves": moves, "draws": draws, "warmup": warmup}
    options: dict[str, Any] = {k: v for k, v in asked.items() if v is not None}
    if everything:
        if out is None:
            raise DataError("--all writes many files: say where with --out FOLDER.")
        given = {
            "--protocol": protocol != "published", "--hide": hide != "strict", "--folds": only,
            "--observed": observed != 1, "--data": data, "--benchmarks": benchmarks,
        }  # fmt: skip
        if clash := [name for name, value in given.items() if value]:
            raise DataError(f"--all sets tables and protocols itself: leave {clash[0]} out.")
        board = scoreboard.run(
            recipes.load(recipe).spec, out, method=method, seed=seed, progress=progress,
            say=lambda text: say("evaluating", text), **options,
        )  # fmt: skip
        if as_json:
            typer.echo(json.dumps({"scoreboard": records(board.table)}))
        else:
            _print_scoreboard(board)
        _judged([f"{name}: {key}" for name, part in board.parts.items()
                 for key in part.not_converged()], board.parts["strict"])  # fmt: skip
        return
    if recipe in baselines.names() and (options or method != "svi"):
        name = next(iter(options), "method")
        raise DataError(f"--{name} does not go with a baseline, which has its own way to fit.")
    scores = _table(data, protocol, split(benchmarks))
    folds = _folds(scores, protocol, hide, observed, split(only))
    begun = time.perf_counter()
    if recipe in baselines.names():
        found = baselines.evaluate(recipe, scores, folds, seed=seed)
        if out is not None:
            found.save(out)
    else:
        found = cross_validate(
            recipes.load(recipe).spec, scores, folds, method=method, seed=seed, out=out,
            progress=progress, **options,
        )  # fmt: skip
    failed = found.not_converged()
    if as_json:
        summary = records(found.summary().reset_index())
        typer.echo(json.dumps({"summary": summary, "not_converged": failed, "about": found.about}))
    else:
        _print(found)
        say("time", f"{time.perf_counter() - begun:.0f} s")
    _judged(failed, found)


def _judged(failed: list[str], found: Evaluation) -> None:
    """The exit status, and what to do about fits that have not converged."""
    if failed:
        say("warning", f"{len(failed)} fits did not converge: {', '.join(failed[:5])}. Try "
             f"--steps {2 * int(found.about['options']['steps'])}, or more --warmup and "
             "--draws with nuts.")  # fmt: skip
    leave(not failed)


def _table(data: str | None, protocol: str, benchmarks: list[str]) -> Leaderboard:
    from ..table.leaderboard import Leaderboard, datasets, load_dataset

    name = data or "open_llm_leaderboard"
    if name in list(datasets()["name"]):
        table = load_dataset(name, corrected=protocol != "published")
        return table.select(benchmarks=benchmarks) if benchmarks else table
    return Leaderboard.from_csv(name, benchmarks=benchmarks or None)


def _folds(table: Leaderboard, protocol: str, hide: Any, observed: int, only: list[str]) -> Any:
    from ..errors import unknown
    from ..evaluate.protocols import named

    folds = named(table, protocol, hide, observed)
    keys = [fold.key for fold in folds]
    for key in only:
        if key not in keys:
            raise unknown("fold", key, keys)
    return tuple(f for f in folds if not only or f.key in only)


def _print(found: Evaluation) -> None:
    out, table = console(), plain_table()
    table.add_column("setting", no_wrap=True)
    heads = ("observed", "folds", "scores", "MAE", "CRPS", "log score", "in 50%", "in 90%",
             "90% width")  # fmt: skip
    for name in heads:
        table.add_column(name, justify="right", no_wrap=True)
    for (setting, n), row in found.summary().iterrows():  # type: ignore[misc]
        table.add_row(
            str(setting), "" if setting == "all" else str(n), str(int(row["folds"])),
            str(int(row["cells"])), plain(row["mae"], ".2f"), plain(row["crps"], ".2f"),
            plain(row["log_score"], ".2f"), plain(100 * row["cover_50"], ".0f"),
            plain(100 * row["cover_90"], ".0f"), plain(row["width_90"], ".1f"),
        )  # fmt: skip
    out.print(f"{found.about['label']}: forecasts of hidden models", style="bold")
    out.print(table)
    out.print(
        "\nMAE, CRPS and width in percentage points, averaged over folds; log score in nats; "
        "coverage in percent of scores."
    )


def _print_scoreboard(board: Scoreboard) -> None:
    out = console()
    scores = [c for c in board.table.columns if "/" in c or c in ("mean", "crps")]
    head = [c.replace("lb_", "") for c in scores]
    table = plain_table(["method", "by"], head, padding=(0, 1, 0, 0))
    for row in board.table.to_dict("records"):
        table.add_row(row["method"], row["source"], *(plain(row[c], ".2f") for c in scores))
    out.print("Mean absolute error in percentage points", style="bold")
    out.print(table)
    for name, part in board.parts.items():
        out.print(f"\n{name}")
        _print(part)
    out.print("\nOurs less the best single published configuration, points", style="bold")
    out.print(board.differences.round(2).to_string())
