"""The verb ``track`` of ``sloth-bayes plan``: is a training run on track?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ._files import read_table
from .errors import DataError, SpecError

if TYPE_CHECKING:
    from .tracking import Tracking


def track(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV of checkpoints: run, params_b, tokens_t, final_tokens_t, and scores.",
        ),
    ],
    run: Annotated[list[str], typer.Option(help="Run to forecast; repeat for several.")],
    until: Annotated[
        float | None,
        typer.Option(help="Use its checkpoints up to this fraction of the schedule only."),
    ] = None,
    benchmarks: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[,NAME...]", help="Score columns (by default all)."),
    ] = None,
    since: Annotated[
        float, typer.Option(help="Leave out checkpoints before this fraction of the schedule.")
    ] = 0.01,
    prob: Annotated[float, typer.Option(help="Mass of the interval, between 0 and 1.")] = 0.9,
    method: Annotated[
        str, typer.Option(metavar="nuts|svi", help="nuts is exact, svi a first look.")
    ] = "nuts",
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also draw a figure (.png, .pdf, .svg).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="One CSV row a run and benchmark.")] = False,
    seed: Annotated[int, typer.Option(help="Same seed, same numbers.")] = 0,
) -> None:
    """Forecast the final scores of a training run from its checkpoints and finished siblings.

    Example: [bold]sloth-bayes plan track curves.csv --run my-7b --plot track.png[/bold]
    """
    if as_json and as_csv:
        raise DataError("--json and --csv exclude each other: ask for one of them.")
    from .cli import _check_figure, _draw

    if plot is not None:
        _check_figure(plot)
    if seed < 0:
        raise SpecError(f"--seed must be a whole number of at least 0, not {seed}")
    curves = read_table(file)
    from .tracking import track as make

    names = [n.strip() for part in benchmarks or [] for n in part.split(",") if n.strip()]
    found = make(
        curves, run, until, benchmarks=names or None, since=since, prob=prob, method=method,
        seed=seed,
    )  # fmt: skip
    verdict = found.diagnostics()
    if as_json:
        records = json.loads(found.frame.to_json(orient="records"))
        meta = {"runs": list(found.runs), "until": until, "converged": verdict.ok, "seed": seed}
        typer.echo(
            json.dumps({"track": records, "meta": meta, "warnings": [*verdict.messages]}, indent=2)
        )
    elif as_csv:
        typer.echo(found.frame.to_csv(index=False), nl=False)
    else:
        _print(found)
    for message in verdict.messages:
        typer.echo(f"sloth-bayes: note: {message}", err=True)
    if plot is not None:
        _draw(found, plot)
    if not verdict.ok:
        raise typer.Exit(1)


def _print(found: Tracking) -> None:
    """A table a run, in percent."""
    from rich.console import Console
    from rich.table import Table

    frame = found.frame
    console = Console(width=None if sys.stdout.isatty() else 100, highlight=False, emoji=False)
    known = frame["truth"].notna().any()
    for run, rows in frame.groupby("run", sort=False):
        one = rows.iloc[0]
        title = (
            f"{run}: {one.params_b:g}B, {one.tokens_t:.3g}T of {one.final_tokens_t:.3g}T tokens; "
            f"final scores in percent, {one['prob']:.0%} interval"
        )
        columns = ["benchmark", "now", "final", "interval", *(["truth"] if known else [])]
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for name in columns:
            table.add_column(name, justify="left" if name == "benchmark" else "right")
        for row in rows.itertuples():
            cells = [
                row.benchmark, f"{100 * row.last:.1f}", f"{100 * row.median:.1f}",
                f"{100 * row.lower:.1f} to {100 * row.upper:.1f}",
            ]  # fmt: skip
            if known:
                cells.append("-" if row.truth != row.truth else f"{100 * row.truth:.1f}")
            table.add_row(*cells)
        console.print(table)
