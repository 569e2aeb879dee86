"""The verb ``track`` of ``sloth-bayes plan``: is a training run on track?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..support.files import read_table
from .options import Names, Prob, Seed, command, split
from .output import Output, cells, console, plain_table

if TYPE_CHECKING:
    from ..runs.tracking import Tracking


@command
def track(
    *,
    file: Annotated[
        Path,
        typer.Argument(),
        "FILE",
        "CSV of checkpoints: run, params_b, tokens_t, final_tokens_t, and scores.",
    ],
    run: Annotated[list[str], "NAME[,NAME...]", "Runs to forecast."],
    until: Annotated[
        float | None, "Use its checkpoints up to this fraction of the schedule only."
    ] = None,
    benchmarks: Annotated[Names, "Score columns (by default all)."] = None,
    since: Annotated[float, "Leave out checkpoints before this fraction of the schedule."] = 0.01,
    prob: Prob = 0.9,
    method: Annotated[str | None, "nuts|svi", "Changes nothing any more, and goes in 0.3."] = None,
    output: Annotated[Output, {"as_csv": "One CSV row a run and benchmark."}],
    seed: Seed = 0,
) -> None:
    """Forecast the final scores of a training run from its checkpoints and finished siblings.

    Example: [bold]sloth-bayes plan track curves.csv --run my-7b --plot track.png[/bold]
    """
    curves = read_table(file)
    from ..runs.tracking import track as make

    found = make(
        curves, split(run), until, benchmarks=split(benchmarks) or None, since=since, prob=prob,
        seed=seed,
    )  # fmt: skip
    said = () if method is None else ("--method changes nothing any more: leave it out",)
    meta = {"runs": list(found.runs), "until": until, "seed": seed}
    answer = {"track": found.frame, "meta": meta, "warnings": said}
    output.end(found.frame, answer, lambda: _print(found), found.plot, fit=True, indent=2)


def _print(found: Tracking) -> None:
    """A table a run, in percent."""
    frame, out = found.frame, console()
    known = [("truth", "{truth:.1p}")] if frame["truth"].notna().any() else []
    for run, rows in frame.groupby("run", sort=False):
        one = rows.iloc[0]
        title = (
            f"{run}: {one.params_b:g}B, {one.tokens_t:.3g}T of {one.final_tokens_t:.3g}T tokens; "
            f"final scores in percent, {one['prob']:.0%} interval"
        )
        table = cells(
            rows,
            ("benchmark", "{benchmark}"),
            ("now", "{last:.1p}"),
            ("final", "{median:.1p}"),
            ("interval", "{lower:.1p} to {upper:.1p}"),
            *known,
        )
        out.print(plain_table(*table, title=title))
