"""The verb ``evaluate``: forecasts of models that were hidden from the fit."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import DataError, FileFormatError, check_known
from .options import (
    AsJson,
    Moves,
    Names,
    Progress,
    Seed,
    Steps,
    Strings,
    changed,
    command,
    given,
    split,
    table_of,
)
from .output import Output, cells, console, leave, plain, plain_table, say

if TYPE_CHECKING:
    from ..evaluate.evaluation import Evaluation
    from ..evaluate.protocols import Fold
    from ..evaluate.scoreboard import Scoreboard
    from ..table.leaderboard import Leaderboard


@dataclass
class Setup:
    """Which models are hidden, and from which table."""

    protocol: Annotated[
        str,
        "published|lineage|family|YYYY-MM",
        "The published folds; one fold a lineage or family; or families released since a month.",
    ] = "published"
    hide: Annotated[
        str, "strict|family", "Hide relatives of the test models, or only the models."
    ] = "strict"
    folds: Annotated[Strings, "KEY[,KEY...]", "Only these folds, such as lb_v1/2/opt."] = None
    observed: Annotated[
        int,
        typer.Option(min=0),
        "Models of a test family that stay visible (not published).",
    ] = 1
    data: Annotated[
        str | None,
        "CSV|NAME",
        "A table (by default the leaderboard: as published for the published folds, else "
        "corrected).",
    ] = None
    benchmarks: Annotated[Names, "Score columns of --data."] = None

    def table(self) -> Leaderboard:
        """The table, as the protocol needs it."""
        from ..table.leaderboard import datasets

        name, benchmarks = self.data or "open_llm_leaderboard", split(self.benchmarks)
        if name not in list(datasets()["name"]):
            return table_of(name, benchmarks, file=True)
        return table_of(name, benchmarks, corrected=self.protocol != "published")

    def chosen(self, table: Leaderboard) -> tuple[Fold, ...]:
        """The folds asked for."""
        from ..evaluate.protocols import named

        folds = named(table, self.protocol, self.hide, self.observed)  # type: ignore[arg-type]
        only = split(self.folds)
        check_known("fold", only, [fold.key for fold in folds])
        return tuple(f for f in folds if not only or f.key in only)


@dataclass
class Effort:
    """How to fit, and for how long."""

    method: Annotated[str, "svi|nuts", "Inference."] = "svi"
    steps: Steps = None
    moves: Moves = None
    draws: Annotated[int | None, "Draws (of each chain)."] = None
    warmup: Annotated[int | None, "Warm-up iterations of a chain."] = None
    seed: Seed = 0


@command
def evaluate(
    *,
    recipe: Annotated[
        str,
        typer.Argument(),
        "[RECIPE]",
        "The specification: a recipe that ships, a folder with a spec.toml, or a baseline "
        "(--baselines lists them).",
    ] = "leaderboard",
    setup: Setup,
    effort: Effort,
    out: Annotated[
        Path | None,
        "FOLDER",
        "Keep every forecast here; a run that was interrupted goes on from it.",
    ] = None,
    everything: Annotated[
        bool,
        typer.Option("--all"),
        "The scoreboard: strict, twins visible, every lineage, time splits, and all baselines. "
        "Needs --out.",
    ] = False,
    list_baselines: Annotated[
        bool, typer.Option("--baselines"), "List the baselines and leave."
    ] = False,
    as_json: AsJson = False,
    progress: Progress = None,
) -> None:
    """Forecast models that were hidden from the fit, and score the forecasts.

    Example: [bold]sloth-bayes evaluate --protocol 2024-03 --out since-2024-03[/bold]
    """
    from ..evaluate import baselines, scoreboard
    from ..evaluate.evaluation import CELLS, load_evaluation
    from ..infer import recipes

    shown = Output(as_json=as_json)
    if list_baselines:
        typer.echo("\n".join(baselines.names()))
        return
    options = given(effort)
    if everything:
        if out is None:
            raise DataError("--all writes many files: say where with --out FOLDER.")
        if clash := changed(setup):
            raise DataError(f"--all sets tables and protocols itself: leave --{clash[0]} out.")
        board = scoreboard.run(
            recipes.load(recipe).spec, out, progress=progress,
            say=lambda text: say("evaluating", text), **options,
        )  # fmt: skip
        failed = [f"{k}: {key}" for k, part in board.parts.items() for key in part.not_converged()]
        shown.end(board.table, {"scoreboard": board.table}, lambda: _print_scoreboard(board))
        _judged(failed, board.parts["strict"])
        return
    other = [
        name for name in ("steps", "moves", "draws", "warmup", "method") if name in changed(effort)
    ]
    if recipe in baselines.names() and other:
        raise DataError(f"--{other[0]} does not go with a baseline, which has its own way to fit.")
    scores = setup.table()
    folds = setup.chosen(scores)
    begun = time.perf_counter()
    if recipe in baselines.names():
        if out is not None and (out / CELLS).exists():
            held = load_evaluation(out).about.get("label")
            if held != recipe:
                raise FileFormatError(
                    f"{out} holds an evaluation of {held}: give another folder, or delete it"
                )
        found = baselines.evaluate(recipe, scores, folds, seed=effort.seed)
        if out is not None:
            found.save(out)
    else:
        from ..evaluate.cross_validate import cross_validate  # and JAX

        spec = recipes.load(recipe).spec
        found = cross_validate(spec, scores, folds, out=out, progress=progress, **options)
    failed = found.not_converged()
    summary = found.summary().reset_index()
    answer = {"summary": summary, "not_converged": failed, "about": found.about}
    shown.end(summary, answer, lambda: _print(found))
    if not as_json:
        say("time", f"{time.perf_counter() - begun:.0f} s")
    _judged(failed, found)


def _judged(failed: list[str], found: Evaluation) -> None:
    """The exit status, what was fitted again, and what to do about fits that have not converged."""
    if "refits" in found.frame:
        from ..evaluate.evaluation import folds_of

        again = sorted(set(folds_of(found.frame[found.frame["refits"] > 0])) - set(failed))
        if again:
            say("note", f"{len(again)} folds converged in a longer fit, which followed by itself: "
                f"{', '.join(again[:5])}.")  # fmt: skip
    if failed:
        more = ("warmup", "draws") if found.about["method"] == "nuts" else ("steps",)
        flags = " ".join(f"--{name} {2 * int(found.about['options'][name])}" for name in more)
        say("warning", f"{len(failed)} fits did not converge: {', '.join(failed[:5])}. Try "
            f"{flags}.")  # fmt: skip
    leave(not failed)


def _print(found: Evaluation) -> None:
    out, summary = console(), found.summary().reset_index()
    everything = summary["setting"] == "all"
    table = cells(
        summary.assign(observed=summary["n_observed"].astype(object).mask(everything, "")),
        ("setting", "{setting}"),
        ("observed", "{observed}"),
        ("folds", "{folds:.0f}"),
        ("scores", "{cells:.0f}"),
        ("MAE", "{mae:.2f}"),
        ("CRPS", "{crps:.2f}"),
        ("log score", "{log_score:.2f}"),
        ("in 50%", "{cover_50:.0p}"),
        ("in 90%", "{cover_90:.0p}"),
        ("90% width", "{width_90:.1f}"),
    )
    out.print(f"{found.about['label']}: forecasts of hidden models", style="bold")
    out.print(plain_table(*table, fixed=range(10)))
    out.print(
        "\nMAE, CRPS and width in percentage points, averaged over folds; log score in nats; "
        "coverage in percent of scores."
    )


def _print_scoreboard(board: Scoreboard) -> None:
    out = console()
    scores = [c for c in board.table.columns if "/" in c or c in ("mean", "crps")]
    head = ["method", "by", *(c.replace("lb_", "") for c in scores)]
    rows = [
        [row["method"], row["source"], *(plain(row[c], ".2f") for c in scores)]
        for row in board.table.to_dict("records")
    ]
    out.print("Mean absolute error in percentage points", style="bold")
    out.print(plain_table(head, rows, sides="ll", padding=(0, 1, 0, 0)))
    for name, part in board.parts.items():
        out.print(f"\n{name}")
        _print(part)
    out.print("\nOurs less the best single published configuration, points", style="bold")
    out.print(board.differences.round(2).to_string())
