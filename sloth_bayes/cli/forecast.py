"""The verb ``forecast``: scores of models that nobody has trained."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from .options import command
from .output import PosteriorOutput, cells, console, facts, plain_table, rests_on
from .request import Files, Request, made

if TYPE_CHECKING:
    import pandas as pd

    from ..posterior.core import PosteriorDraws
    from ..predict.forecast import Forecast

_BAR = 30
_RATIO = "log_total_over_active"  # of a mixture of experts, if the law reads it
_EXAMPLE = "sloth-bayes forecast --family meta-llama-3 --params 405 --tokens 15"
_META = (
    "posterior method models draws converged data data_fingerprint prob of seed version conditioned"
)


@command
def forecast(
    *,
    request: Request,
    of: Annotated[
        str,
        "score|expected",
        "What an evaluation would report, or its expectation, without that noise.",
    ] = "score",
    files: Files,
    output: Annotated[PosteriorOutput, {"as_csv": "One CSV row a model and benchmark."}],
) -> None:
    """Forecast the scores of models that nobody has trained, with intervals.

    Example: [bold]sloth-bayes forecast --family qwen2 --params 72 --tokens 12 --plot a.png[/bold]
    """
    from ..predict.forecast import at_ceilings

    name, seed = output.posterior, output.seed
    fc, notes = made("a forecast", _EXAMPLE, request, files, name, seed)
    frame, post = fc.summary(of=of), fc.posterior
    notes += at_ceilings(fc, frame)
    conditioned = {"conditioned": done} if (done := post.attrs.get("conditioned")) else {}
    meta = facts(_META, post, name, prob=fc.prob, of=of, seed=seed, **conditioned)
    answer = {"forecast": frame, "meta": meta, "warnings": notes}
    output.end(frame, answer, lambda: _print(fc, frame, name, of), fc.plot, post.known_verdict)


def _print(fc: Forecast, frame: pd.DataFrame, name: str, of: str) -> None:
    post, out = fc.posterior, console()
    what = "score" if of == "score" else "expected score"
    labels = max(len(b) for b in fc.benchmarks)
    with_bar = out.width >= labels + _BAR + 32
    unicode = (out.encoding or "").lower().startswith("utf")
    each = len(frame) // len(fc.candidates)
    for i, who in enumerate(fc.candidates.itertuples()):
        kind = {"instruct": "tuned"}.get(who.kind, who.kind)
        new = "" if who.family in post.families else " (new)"
        whole = who.params_b * math.exp(getattr(who, _RATIO, 0.0))  # as said, or as its family
        whole = max(whole, who.total_params_b) if who.total_params_b > 0 else whole
        total = f" of {whole:.4g}B" if whole > 1.0001 * who.params_b else ""
        size = f"{who.params_b:g}B{total} parameters, {who.tokens_t:g}T tokens"
        out.print(f"{who.family}{new}, {size}, {kind}: {what} in percent", style="bold")
        part = frame[i * each : (i + 1) * each]
        fixed = range(2, 4)
        columns = [
            ("benchmark", "{benchmark}"),
            ("median", "{median:.1p}"),
            (f"{100 * fc.prob:g}% interval", "{lower:.1p} - {upper:4.1p}"),
        ]
        if with_bar:
            percent = 100 * part[["lower", "median", "upper"]]
            part = part.assign(bar=[_bar(row, unicode) for row in percent.to_numpy()])
            columns.append((f"0{'50':^{_BAR - 4}}100", "{bar}"))
        for board, rows in _by_leaderboard(post, part):
            head, lines = cells(rows, *columns)
            table = plain_table([board or head[0], *head[1:]], lines, "lrrl", fixed=fixed)
            table.columns[0].min_width = labels
            out.print(table)
        out.print()
    out.print(rests_on(post, name), style="dim")
    if post.attrs.get("conditioned") and post.known_verdict is not False:
        out.print(post.diagnostics().messages[0] + " Below 0.7 is good.", style="dim")


def _by_leaderboard(post: PosteriorDraws, part: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each leaderboard, with its name where there are several."""
    boards = part["benchmark"].map(post.leaderboard_of)
    if boards.nunique() < 2:
        return [("", part)]
    return [(str(board), rows) for board, rows in part.groupby(boards, sort=False)]


def _bar(ends: Iterable[float], unicode: bool) -> str:
    """An interval on an axis from 0 to 100: low, middle and high."""
    line, dot, empty = "━●·" if unicode else "=o."
    first, at, last = (min(_BAR - 1, int(value / 100 * _BAR)) for value in ends)
    bar = empty * first + line * (last - first + 1) + empty * (_BAR - 1 - last)
    return bar[:at] + dot + bar[at + 1 :]
