"""A tracked run; also to be had as :meth:`sloth_bayes.runs.tracking.Tracking.plot`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .panels import band, chosen, drawing, key, legend, outer_labels
from .style import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_SIBLING = "#b5b5b5"


def tracking(
    found: Any,
    benchmarks: str | list[str] | None = None,
    ax: Axes | np.ndarray | None = None,
    siblings: bool = True,
    ncols: int | None = None,
) -> np.ndarray:
    """Score against tokens, one panel a benchmark: checkpoints, band, and held-out truth.

    Filled points entered the fit; open ones were held out. The band is the forecast of what
    an evaluation would report at so many tokens of this schedule, with the forecast's mass;
    its bar at the end is the finished run.

    Parameters
    ----------
    found
        What :func:`sloth_bayes.track` returned, a :class:`sloth_bayes.runs.tracking.Tracking`.
    benchmarks
        Benchmarks to draw; all by default.
    ax
        Axes to draw on, as many as there are benchmarks; a new figure by default.
    siblings
        Show the siblings' curves, in grey.
    ncols
        Panels in a row of a new figure; at most three by default.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        One per benchmark, flat. Scores are in percent, tokens in billions.

    Raises
    ------
    UnknownNameError
        If a benchmark is not in the forecast.
    DataError
        If the number of axes is not that of benchmarks, or `ncols` is not positive.
    """
    names = chosen(benchmarks, found.benchmarks, ncols)
    ncols = min(ncols or 3, len(names))
    size = (2.9 * ncols + 0.5, 2.1 * -(-len(names) // ncols) + 0.8)
    curves = {run: found.curve(run) for run in found.runs}
    others = [rows for run, rows in found.used.groupby("run") if run not in found.runs]
    with drawing(ax, size, len(names), ncols) as (figure, axes):
        for axis, name in zip(axes, names):
            for rows in others if siblings else []:
                axis.plot(
                    1000 * rows["tokens_t"],
                    100 * rows[name],
                    color=_SIBLING,
                    lw=0.8 if len(others) < 10 else 0.4,
                )
            for (run, curve), colour in zip(curves.items(), COLOURS):
                rows = curve[curve["benchmark"] == name]
                band(axis, 1000 * rows["tokens_t"], rows, colour, alpha=0.18)
                used, held = (t[t["run"] == run] for t in (found.used, found.held_out))
                filled = {"color": colour, "ms": 4, "zorder": 3}
                empty = {"mfc": "white", "mec": colour, "ms": 3, "mew": 0.8, "zorder": 2}
                axis.plot(1000 * used["tokens_t"], 100 * used[name], "o", **filled)
                axis.plot(1000 * held["tokens_t"], 100 * held[name], "o", **empty)
            axis.set(title=name, xscale="log")
            low, high = axis.get_xlim()
            axis.xaxis.set_major_locator(
                LogLocator(subs=(1.0, 3.0) if high < 300 * low else (1.0,))
            )
            axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
            axis.xaxis.set_minor_formatter(NullFormatter())
        outer_labels(axes, None if figure is None else ncols, "tokens seen (B)", "score (%)")
        grey = "#555555"
        handles: list[Any] = [key(run, colour) for run, colour in zip(curves, COLOURS)]
        handles += [
            Patch(color=grey, alpha=0.25, label=f"{found.prob:.0%} interval"),
            key("checkpoint used", grey, "o", ms=4),
        ]
        if len(found.held_out):
            handles.append(key("held out", grey, "o", mfc="white", ms=3))
        if siblings:
            handles.append(key("siblings", _SIBLING, lw=0.8))
        legend(figure, handles, min(2 * ncols, len(handles)), inside=axes[-1])
    return axes
