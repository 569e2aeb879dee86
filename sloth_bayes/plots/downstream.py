"""The figure of downstream tasks; also to be had as :meth:`sloth_bayes.Downstream.plot`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D

from ..errors import DataError
from .style import COLOURS, STYLE

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
        The tasks, a row of panels for two of them.
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
    down = -(-len(tasks) // across)
    figure = plt.figure(figsize=(4.9 * across + 0.4, 2.5 * down + 0.7), layout="constrained")
    with plt.rc_context(STYLE):
        grid = figure.subplots(
            down, 2 * across, squeeze=False, gridspec_kw={"width_ratios": [1.25, 1] * across}
        )
        axes = grid.reshape(-1, 2)
        for spare in axes[len(tasks) :].flat:
            figure.delaxes(spare)
        axes = axes[: len(tasks)]
        for (left, right), task in zip(axes, tasks):
            _scores(left, task, held_out)
            _weights(right, task.weights(rotation, prob))
        for left, _ in axes[-across:]:
            left.set_xlabel("forecast (%)")
        for _, right in axes[-across:]:
            right.set_xlabel("weight (logits per SD)")
        handles = [
            Line2D([], [], color=_GREY, marker="o", ls="", ms=4, label="trained on (in sample)"),
            Line2D([], [], color=COLOURS[1], marker="o", ms=5, label="held out"),
            Line2D([], [], color="#555555", lw=1.2, label=f"{prob:.0%} interval"),
            Line2D([], [], color="#555555", lw=0.8, ls="--", label="forecast = score"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return axes


def _scores(axis: Axes, task: Any, held_out: pd.DataFrame | None) -> None:
    frame = task.frame
    train = frame[frame["role"] == "train"]
    out = frame[frame["role"] == "held out"]
    if held_out is not None:
        out = held_out[held_out["task"] == task.name]
        train = train[~train["model"].isin(out["model"])]
    for rows, colour, size, width in ((train, _GREY, 3, 0.6), (out, COLOURS[1], 4, 1.1)):
        x = 100 * rows["median"]
        reach = np.abs(np.stack([x - 100 * rows["lower"], 100 * rows["upper"] - x]))
        axis.errorbar(
            x, 100 * rows["score"], xerr=reach, fmt="o", color=colour, ms=size, lw=width,
            alpha=0.9, zorder=2 if colour == _GREY else 3,
        )  # fmt: skip
    top = 100 * float(max(frame["score"].max(), frame["upper"].max(), *out["upper"], 0.05))
    axis.plot([0, top], [0, top], color="#555555", lw=0.8, ls="--", zorder=1)
    axis.set(title=task.name, ylabel="score (%)", xlim=(-2, top * 1.03), ylim=(-2, top * 1.03))


def _weights(axis: Axes, found: pd.DataFrame) -> None:
    place = np.arange(len(found))[::-1]
    reach = np.abs(np.stack([found["mean"] - found["lower"], found["upper"] - found["mean"]]))
    axis.errorbar(found["mean"], place, xerr=reach, fmt="D", color=COLOURS[0], ms=5, lw=1.6)
    axis.axvline(0, color="#555555", lw=0.8)
    axis.set_yticks(
        place, [s.replace(" + ", " +\n").replace(" fol", "\nfol") for s in found["skill"]]
    )
    axis.set_ylim(-0.6, len(found) - 0.4)
    axis.grid(axis="y", visible=False)
    axis.set_title("weights")
