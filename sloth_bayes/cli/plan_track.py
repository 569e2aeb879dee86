"""The verb ``track`` of ``sloth-bayes plan``: is a training run on track?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..support.files import read_table
from .options import Prob, Seed, split, with_groups
from .output import Output, console, plain_table, rounded

if TYPE_CHECKING:
    from ..runs.tracking import Tracking


@dataclass
class _Output(Output):
    as_csv: Annotated[bool, typer.Option("--csv", help="One CSV row a run and benchmark.")] = False


@with_groups
def track(
    *,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV of checkpoints: run, params_b, tokens_t, final_tokens_t, and scores.",
        ),
    ],
    run: Annotated[list[str], typer.Option(metavar="NAME[,NAME...]", help="Runs to forecast.")],
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
    prob: Prob = 0.9,
    method: Annotated[
        str, typer.Option(metavar="nuts|svi", help="nuts is exact, svi a first look.")
    ] = "nuts",
    output: _Output,
    seed: Seed = 0,
) -> None:
    """Forecast the final scores of a training run from its checkpoints and finished siblings.

    Example: [bold]sloth-bayes plan track curves.csv --run my-7b --plot track.png[/bold]
    """
    curves = read_table(file)
    from ..runs.tracking import track as make

    found = make(
        curves, split(run), until, benchmarks=split(benchmarks) or None, since=since, prob=prob,
        method=method, seed=seed,
    )  # fmt: skip
    verdict = found.diagnostics()
    meta = {"runs": list(found.runs), "until": until, "converged": verdict.ok, "seed": seed}
    messages = [*verdict.messages]
    output.show(
        lambda: found.frame,
        lambda: {"track": rounded(found.frame), "meta": meta, "warnings": messages},
        lambda: _print(found),
        indent=2,
    )
    output.end(messages, found.plot, verdict.ok)


def _print(found: Tracking) -> None:
    """A table a run, in percent."""
    frame, out = found.frame, console()
    known = frame["truth"].notna().any()
    for run, rows in frame.groupby("run", sort=False):
        one = rows.iloc[0]
        title = (
            f"{run}: {one.params_b:g}B, {one.tokens_t:.3g}T of {one.final_tokens_t:.3g}T tokens; "
            f"final scores in percent, {one['prob']:.0%} interval"
        )
        head = ["now", "final", "interval", *(["truth"] if known else [])]
        table = plain_table(["benchmark"], head, title)
        for row in rows.itertuples():
            cells = [
                row.benchmark, f"{100 * row.last:.1f}", f"{100 * row.median:.1f}",
                f"{100 * row.lower:.1f} to {100 * row.upper:.1f}",
            ]  # fmt: skip
            if known:
                cells.append("-" if row.truth != row.truth else f"{100 * row.truth:.1f}")
            table.add_row(*cells)
        out.print(table)
