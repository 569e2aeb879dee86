"""A score card, observed and completed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .panels import drawing, key, plain_rows
from .style import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .given import Card

_ROW = 0.135  # inches


def card(found: Card, ax: Axes | np.ndarray | None = None, model: str | None = None) -> np.ndarray:
    """Scores of one model by benchmark: points observed, rings completed with their intervals.

    Parameters
    ----------
    found
        What :meth:`sloth_bayes.Posterior.complete` returned.
    ax
        Axes to draw on.
    model
        Whose card; the first by default.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
    """
    model = model or str(found.draws["model"].values[0])
    missing = found.frame[found.frame["model"] == model]
    observed = found.observed[found.observed["model"] == model]
    names = [*missing["benchmark"], *observed["benchmark"]]
    middle = np.array([*missing["median"], *observed["score"]])
    place = np.argsort(np.argsort(middle, kind="stable"))
    unknown, known = place[: len(missing)], place[len(missing) :]
    with drawing(ax, (6.4, 1.1 + _ROW * len(names))) as (_, axes):
        axis = axes[0]
        ends = 100 * missing[["lower", "upper"]].to_numpy().T
        axis.hlines(unknown, *ends, color=COLOURS[0], lw=1.3, alpha=0.45)
        style = {"ms": 3.6, "mec": COLOURS[0], "color": "white"}
        axis.plot(100 * missing["median"], unknown, "o", **style)
        axis.plot(100 * observed["score"], known, "o", ms=4, color=COLOURS[1])
        axis.set_yticks(place, names, fontsize=5.5)
        plain_rows(axis)
        axis.set(xlim=(-1, 101), ylim=(-1, len(names)), xlabel="score (percent)", title=model)
        handles = [
            key("observed", COLOURS[1], "o", ms=4),
            key("completed", "white", "o", mec=COLOURS[0], ms=4),
            key(f"{found.prob:.0%} interval", COLOURS[0], alpha=0.45),
        ]
        axis.legend(handles=handles, loc="lower right")
    return axes
