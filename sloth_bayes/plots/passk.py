"""The figure of pass@k; also to be had as :meth:`sloth_bayes.PassAtK.plot`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from ..errors import DataError, unknown
from ..table.samples import K, empirical
from .style import COLOURS, STYLE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def pass_at_k(
    found: Any,
    truth: pd.DataFrame | None = None,
    models: list[str] | None = None,
    k: list[int] | None = None,
    ax: Axes | None = None,
) -> np.ndarray:
    """Pass@k against k on log axes: bands of the candidates, points from counts.

    Models with counts are thin grey lines with filled points (the unbiased estimate);
    candidates are coloured, with the band of their forecast, and open points where `truth`
    holds counts that were held out. Compare the paper's figure 7.

    Parameters
    ----------
    found
        What :meth:`sloth_bayes.Posterior.pass_at_k` returned.
    truth
        Counts of candidates that did not enter the fit.
    models
        Models to draw; all by default.
    k
        Numbers of samples, at least two.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        One. The share of problems is in percent.

    Raises
    ------
    UnknownNameError
        If a model is neither in the counts nor among the candidates.
    """
    names = found.models if models is None else list(models)
    for name in names:
        if name not in found.models:
            raise unknown("model", name, found.models)
    tries = list(k or np.unique(np.geomspace(1, max(K), 40).round().astype(int)))
    if len(tries) < 2:
        raise DataError("a curve needs at least two values of k")
    curves, points = found.curve(tries), empirical(found.counts, K)
    held = None if truth is None else empirical(truth, K)
    figure = None
    if ax is None:
        figure = plt.figure(figsize=(6.0, 4.2), layout="constrained")
    with plt.rc_context(STYLE):
        axis = figure.add_subplot() if figure is not None else ax
        assert axis is not None
        ends = []
        ahead = [n for n in names if n in found.candidates]
        colour = dict(zip(ahead, COLOURS))
        for name in names:
            rows, new = curves[curves["model"] == name], name in ahead
            shade = colour.get(name, "#8a8a8a")
            axis.plot(rows["k"], 100 * rows["median"], color=shade, lw=1.8 if new else 0.9,
                      zorder=2 + new)  # fmt: skip
            if new:
                axis.fill_between(rows["k"], 100 * rows["lower"], 100 * rows["upper"],
                                  color=shade, alpha=0.2, lw=0)  # fmt: skip
                seen = None if held is None else held[held["model"] == name]
            else:
                seen = points[points["model"] == name]
            if seen is not None:
                axis.plot(
                    seen["k"], 100 * seen["empirical"], "o", ms=4 if new else 2.5,
                    color=shade, mfc="white" if new else shade, mew=1.0, zorder=4,
                )  # fmt: skip
            ends.append((float(100 * rows["median"].iloc[-1]), name, shade))
        axis.set_xscale("log")
        axis.set_yscale("log")
        low = max(100 * float(curves["median"].min()) / 2, 1e-3)
        axis.set_ylim(low, 115)
        axis.set_xlim(min(tries), max(tries) * 1.05)
        axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axis.set_xlabel("samples k")
        axis.set_ylabel("pass@k (% of problems)")
        _names_at_the_end(axis, ends, max(tries), low)
        grey = "#555555"
        handles: list[Line2D | Patch] = [
            Line2D([], [], color="#8a8a8a", marker="o", ms=3, lw=0.9, label="has counts")
        ]
        if ahead:
            handles.append(
                Patch(color=grey, alpha=0.25, label=f"forecast, {found.prob:.0%} interval")
            )
        if held is not None:
            handles.append(
                Line2D([], [], color=grey, marker="o", ms=4, mfc="white", ls="", label="held out")
            )
        axis.legend(handles=handles, loc="lower right")
    return np.array([axis])


def _names_at_the_end(axis: Axes, ends: list[tuple[float, str, str]], x: float, low: float) -> None:
    """Names right of their curves, pushed apart where curves end together."""
    step, ceiling = np.log(115 / low) / 26, np.log(115)
    places = [np.log(max(y, low)) for y, *_ in sorted(ends)]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + step)
    places[-1] = min(places[-1], ceiling)
    for i in range(len(places) - 2, -1, -1):
        places[i] = min(places[i], places[i + 1] - step)
    for at, (_, name, shade) in zip(places, sorted(ends)):
        axis.annotate(
            name, (x, np.exp(at)), xytext=(6, 0), textcoords="offset points", color=shade,
            fontsize=8, va="center", annotation_clip=False,
        )  # fmt: skip
