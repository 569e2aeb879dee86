"""The figure of a tracked run; also to be had as :meth:`sloth_bayes.Tracking.plot`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .panels import chosen, new_figure, outer_labels, panels
from .style import COLOURS, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def tracking(
    found: Any,
    benchmarks: list[str] | None = None,
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
        What :func:`sloth_bayes.track` returned.
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
    names = chosen(benchmarks, found.forecast.benchmarks, ncols)
    width = min(ncols or 3, len(names))
    nrows = -(-len(names) // width)
    figure = new_figure(ax, (2.9 * width + 0.5, 2.1 * nrows + 0.8))
    curves = {run: found.curve(run) for run in found.runs}
    with plt.rc_context(STYLE):
        axes = panels(figure, ax, len(names), (nrows, width))
        for axis, name in zip(axes, names):
            if siblings:
                for run, rows in found.used.groupby("run"):
                    if run not in found.runs:
                        axis.plot(
                            1000 * rows["tokens_t"], 100 * rows[name], color="#b5b5b5", lw=0.8
                        )
            for run, colour in zip(found.runs, COLOURS):
                _draw(axis, found, run, name, curves[run], colour)
            axis.set_title(name)
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
            axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
            axis.xaxis.set_minor_formatter(NullFormatter())
        outer_labels(axes, None if figure is None else width, "tokens seen (B)", "score (%)")
        handles = _legend(found, siblings)
        if figure is not None:
            columns = min(2 * width, len(handles))
            figure.legend(handles=handles, loc="outside lower center", ncols=columns)
        else:
            axes[-1].legend(handles=handles, loc="best", fontsize=7)
    return axes


def _draw(axis, found, run, name, curve, colour) -> None:  # type: ignore[no-untyped-def]
    used, held = (t[t["run"] == run] for t in (found.used, found.held_out))
    rows = curve[curve["benchmark"] == name]
    x = 1000 * rows["tokens_t"]
    axis.fill_between(x, 100 * rows["lower"], 100 * rows["upper"], color=colour, alpha=0.18, lw=0)
    axis.plot(x, 100 * rows["median"], color=colour)
    axis.plot(1000 * used["tokens_t"], 100 * used[name], "o", color=colour, ms=4, zorder=3)
    axis.plot(
        1000 * held["tokens_t"], 100 * held[name], "o", mfc="white", mec=colour, ms=3, mew=0.8,
        zorder=2,
    )  # fmt: skip


def _legend(found: Any, siblings: bool) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=colour, label=run) for run, colour in zip(found.runs, COLOURS)
    ]
    grey = "#555555"
    handles.append(Patch(color=grey, alpha=0.25, label=f"{found.forecast.prob:.0%} interval"))
    handles.append(Line2D([], [], color=grey, marker="o", ls="", ms=4, label="checkpoint used"))
    if len(found.held_out):
        handles.append(
            Line2D([], [], marker="o", ls="", mfc="white", mec=grey, ms=3, label="held out")
        )
    if siblings:
        handles.append(Line2D([], [], color="#b5b5b5", lw=0.8, label="siblings"))
    return handles
