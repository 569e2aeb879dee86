"""The figure of pass@k; also to be had as :meth:`sloth_bayes.tasks.passk.PassAtK.plot`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from ..errors import DataError, unknown
from ..support.frames import listed
from ..table.samples import K, empirical
from .panels import drawing, key
from .style import COLOURS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


_PLAIN = "#8a8a8a"  # models with counts


def pass_at_k(
    found: Any,
    truth: pd.DataFrame | None = None,
    models: str | list[str] | None = None,
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
        What :meth:`sloth_bayes.Posterior.pass_at_k` returned, a
        :class:`sloth_bayes.tasks.passk.PassAtK`.
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
    names = found.models if models is None else listed(models)
    for name in names:
        if name not in found.models:
            raise unknown("model", name, found.models)
    tries = list(k or np.unique(np.geomspace(1, max(K), 40).round().astype(int)))
    if len(tries) < 2:
        raise DataError("a curve needs at least two values of k")
    curves, points = found.curve(tries), empirical(found.counts, K)
    held = None if truth is None else empirical(truth, K)
    colour = dict(zip([n for n in names if n in found.candidates], COLOURS))
    with drawing(ax, (6.0, 4.2)) as (_, axes):
        axis, ends = axes[0], []
        for name in names:
            rows, new = curves[curves["model"] == name], name in found.candidates
            shade = colour.get(name, _PLAIN)
            x, middle = rows["k"], 100 * rows["median"]
            axis.plot(x, middle, color=shade, lw=1.8 if new else 0.9, zorder=2 + new)
            if new:
                low, high = 100 * rows["lower"], 100 * rows["upper"]
                axis.fill_between(x, low, high, color=shade, alpha=0.2, lw=0)
            counted = held if new else points
            if counted is not None:
                seen = counted[counted["model"] == name]
                axis.plot(
                    seen["k"], 100 * seen["empirical"], "o", ms=4 if new else 2.5, color=shade,
                    mfc="white" if new else shade, mew=1.0, zorder=4,
                )  # fmt: skip
            ends.append((float(middle.iloc[-1]), name, shade))
        low = max(100 * float(curves["median"].min()) / 2, 1e-3)
        axis.set(xlabel="samples k", ylabel="pass@k (% of problems)", xscale="log", yscale="log")
        axis.set(xlim=(min(tries), max(tries) * 1.05), ylim=(low, 115))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        _names_at_the_end(axis, ends, max(tries), low)
        grey = "#555555"
        handles: list[Any] = [key("has counts", _PLAIN, "o", ls="-", ms=3, lw=0.9)]
        if colour:
            band = f"forecast, {found.prob:.0%} interval"
            handles.append(Patch(color=grey, alpha=0.25, label=band))
        if held is not None:
            handles.append(key("held out", grey, "o", mfc="white", ms=4))
        axis.legend(handles=handles, loc="lower right")
    return axes


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
