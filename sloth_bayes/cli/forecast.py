"""The verb ``forecast``: scores of models that nobody has trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Prob, with_groups
from .output import (
    PosteriorOutput,
    console,
    leave,
    plain_table,
    records,
    rests_on,
    say,
    unconverged,
)
from .request import Benchmarks, Candidates, Files, asked, make, said_elsewhere

if TYPE_CHECKING:
    import pandas as pd

    from ..predict.forecast import Forecast

_BAR = 30
_EXAMPLE = "sloth-bayes forecast --family meta-llama-3 --params 405 --tokens 15"


@dataclass
class _Output(PosteriorOutput):
    as_csv: Annotated[bool, typer.Option("--csv", help="One CSV row a model and benchmark.")] = (
        False
    )


@with_groups
def forecast(
    *,
    who: Candidates,
    benchmarks: Benchmarks = None,
    prob: Prob = 0.9,
    of: Annotated[
        str,
        typer.Option(
            metavar="score|expected",
            help="What an evaluation would report, or its expectation, without that noise.",
        ),
    ] = "score",
    files: Files,
    output: _Output,
) -> None:
    """Forecast the scores of models that nobody has trained, with intervals.

    Example: [bold]sloth-bayes forecast --family qwen2 --params 72 --tokens 12 --plot a.png[/bold]
    """
    found, rows = asked("a forecast", _EXAMPLE, who, files)
    post = output.load()
    fitted = post.known_verdict
    with said_elsewhere():  # reported below, as text
        fc = make(post, found, rows, who, benchmarks=benchmarks, prob=prob, seed=output.seed)
    frame = fc.summary(of=of)
    converged = fc.posterior.known_verdict
    notes = [*fc.warnings, *unconverged(fc.posterior, fitted, output.posterior)]
    for note in notes:
        say("warning", note)
    output.show(
        lambda: frame,
        lambda: {
            "forecast": records(frame),
            "meta": _meta(fc, output, of, converged),
            "warnings": notes,
        },
        lambda: _print(fc, frame, output.posterior, of),
    )
    output.draw(fc.plot)
    leave(converged)


def _meta(fc: Forecast, output: _Output, of: str, converged: bool | None) -> dict[str, Any]:
    from ..support.version import __version__

    post = fc.posterior
    return {
        "posterior": output.posterior,
        "method": post.method,
        "models": len(post.models),
        "draws": post.n_draws,
        "converged": converged,
        "data": str(post.attrs["data"]),
        "data_fingerprint": str(post.attrs["data_fingerprint"]),
        "prob": fc.prob,
        "of": of,
        "seed": output.seed,
        "version": __version__,
        **({"conditioned": done} if (done := post.attrs.get("conditioned")) else {}),
    }


def _print(fc: Forecast, frame: pd.DataFrame, name: str, of: str) -> None:
    post, out = fc.posterior, console()
    what = "score" if of == "score" else "expected score"
    labels = max(len(b) for b in fc.benchmarks)
    with_bar = out.width >= labels + _BAR + 32
    unicode = (out.encoding or "").lower().startswith("utf")
    rows = frame.to_dict("records")
    each = len(rows) // len(fc.candidates)
    for i, who in enumerate(fc.candidates.itertuples()):
        kind = "tuned" if who.instruct else "base"
        new = "" if who.family in post.families else " (new)"
        size = f"{who.params_b:g}B parameters, {who.tokens_t:g}T tokens"
        out.print(f"{who.family}{new}, {size}, {kind}: {what} in percent", style="bold")
        table = plain_table(["benchmark"], ["median"])
        table.add_column(f"{100 * fc.prob:g}% interval", justify="right", no_wrap=True)
        if with_bar:
            table.add_column(f"0{'50':^{_BAR - 4}}100", no_wrap=True)
        for row in rows[i * each : (i + 1) * each]:
            low, middle, high = 100 * row["lower"], 100 * row["median"], 100 * row["upper"]
            cells = [row["benchmark"], f"{middle:.1f}", f"{low:.1f} - {high:4.1f}"]
            if with_bar:
                cells.append(_bar(low, middle, high, unicode))
            table.add_row(*cells)
        out.print(table)
        out.print()
    out.print(rests_on(post, name), style="dim")
    if post.attrs.get("conditioned") and post.known_verdict is not False:
        out.print(post.diagnostics().messages[0] + " Below 0.7 is good.", style="dim")


def _bar(low: float, middle: float, high: float, unicode: bool) -> str:
    """An interval on an axis from 0 to 100."""
    line, dot, empty = "━●·" if unicode else "=o."

    def cell(value: float) -> int:
        return min(_BAR - 1, int(value / 100 * _BAR))

    inside = range(cell(low), cell(high) + 1)
    cells = [line if k in inside else empty for k in range(_BAR)]
    cells[cell(middle)] = dot
    return "".join(cells)
