"""Downstream tasks; also to be had as :meth:`sloth_bayes.tasks.downstream.Downstream.plot`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from .panels import drawing, key, legend
from .style import COLOURS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


_GREY = "#9a9a9a"


def downstream(
    tasks: list[Any],
    held_out: pd.DataFrame | None = None,
    prob: float = 0.9,
    rotation: str = "geomin",
) -> np.ndarray:
    """Scores against forecasts, and weights per skill: a pair of panels a task.

    Parameters
    ----------
    tasks
        The tasks, each a :class:`sloth_bayes.tasks.downstream.Downstream`; a row of panels
        for two of them.
    held_out
        Forecasts to show as held out, with columns task, model, score, median, lower, upper
        (in [0, 1]); by default those models that the task itself holds out.
    prob
        Mass of the intervals.
    rotation
        Skills to show the weights of.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        ``(tasks, 2)``. Scores are in percent, weights in logits per standard deviation.

    Raises
    ------
    DataError
        If there is no task.
    """
    if not tasks:
        raise DataError("there is no task to plot: the list is empty")
    across = min(2, len(tasks))
    size = (4.9 * across + 0.4, 2.5 * -(-len(tasks) // across) + 0.7)
    widths = {"width_ratios": [1.25, 1] * across}
    shape = (2 * len(tasks), 2 * across)
    with drawing(None, size, *shape, gridspec_kw=widths) as (figure, axes):
        axes = axes.reshape(-1, 2)
        for (left, right), task in zip(axes, tasks):
            _scores(left, task, held_out)
            _weights(right, task.weights(rotation, prob))
        for left, right in axes[-across:]:
            left.set_xlabel("forecast (%)")
            right.set_xlabel("weight (logits per SD)")
        handles = [
            key("trained on (in sample)", _GREY, "o", ms=4),
            key("held out", COLOURS[1], "o", ls="-", ms=5),
            key(f"{prob:.0%} interval", "#555555", lw=1.2),
            key("forecast = score", "#555555", lw=0.8, ls="--"),
        ]
        legend(figure, handles, columns=4)
    return axes


def _scores(axis: Axes, task: Any, held_out: pd.DataFrame | None) -> None:
    frame = task.frame
    train = frame[frame["role"] == "train"]
    out = frame[frame["role"] == "held out"]
    if held_out is not None:
        out = held_out[held_out["task"] == task.name]
        train = train[~train["model"].isin(out["model"])]
    for rows, colour, size, width in ((train, _GREY, 3, 0.6), (out, COLOURS[1], 4, 1.1)):
        shown = 100 * rows[["score", "median", "lower", "upper"]]
        _errorbar(
            axis, shown, "median", shown["score"], fmt="o", color=colour, ms=size, lw=width,
            alpha=0.9, zorder=2 if colour == _GREY else 3,
        )  # fmt: skip
    top = 100 * float(max(frame["score"].max(), frame["upper"].max(), *out["upper"], 0.05))
    axis.plot([0, top], [0, top], color="#555555", lw=0.8, ls="--", zorder=1)
    axis.set(title=task.name, ylabel="score (%)", xlim=(-2, top * 1.03), ylim=(-2, top * 1.03))


def _weights(axis: Axes, found: pd.DataFrame) -> None:
    place = np.arange(len(found))[::-1]
    _errorbar(axis, found, "mean", place, fmt="D", color=COLOURS[0], ms=5, lw=1.6)
    axis.axvline(0, color="#555555", lw=0.8)
    names = [s.replace(" + ", " +\n").replace(" fol", "\nfol") for s in found["skill"]]
    axis.set_yticks(place, names)
    axis.set(ylim=(-0.6, len(found) - 0.4), title="weights")
    axis.grid(axis="y", visible=False)


def _errorbar(axis: Axes, rows: pd.DataFrame, x: str, y: Any, **style: Any) -> None:
    """A column of `rows` as x, with its interval."""
    reach = np.abs([rows[x] - rows["lower"], rows["upper"] - rows[x]])
    axis.errorbar(rows[x], y, xerr=reach, **style)
