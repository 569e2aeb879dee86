"""Figures of skill ratings; each makes its own figure or draws on given axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .panels import legend, new_figure, outer_labels, panels, plain_ticks
from .style import COLOURS, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_TICKS = (1, 3, 7, 13, 30, 70)


def _label(skill: str) -> str:
    return skill.replace("_", " ")


def saturation(found: Any, ax: Axes | np.ndarray | None = None) -> np.ndarray:
    """Gain of a doubling along sizes, a panel a skill, and P(saturated) at the sizes asked about.

    Parameters
    ----------
    found
        The answer.
    ax
        Axes, one a skill; a new figure by default.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes

    Raises
    ------
    DataError
        If the number of axes is not that of skills.
    """
    skills = list(dict.fromkeys(found.frame["skill"]))
    columns = min(3, len(skills))
    rows = -(-len(skills) // columns)
    figure = new_figure(ax, (2.6 * columns + 0.4, 1.9 * rows + 0.9))
    gain = found.frame["gain"].iloc[0]
    with plt.rc_context(STYLE):
        axes = panels(figure, ax, len(skills), (rows, columns), sharex=True, sharey=True)
        for axis, skill in zip(axes, skills):
            rows_of = found.curve[found.curve["skill"] == skill]
            axis.fill_between(
                rows_of["params_b"], rows_of["lower"], rows_of["upper"], color=COLOURS[0],
                alpha=0.2, lw=0,
            )  # fmt: skip
            axis.plot(rows_of["params_b"], rows_of["median"], color=COLOURS[0])
            axis.axhline(gain, color=COLOURS[1], ls="--", lw=1)
            asked = found.frame[found.frame["skill"] == skill]
            for row in asked.itertuples():
                axis.annotate(
                    f"{100 * row.p_saturated:.0f}%", (row.at, 0.02), fontsize=7, ha="center",
                    xycoords=("data", "axes fraction"), color="#333333",
                )  # fmt: skip
            axis.set_title(_label(skill))
            axis.set_xscale("log")
            plain_ticks(axis.xaxis, _TICKS)
        across = None if figure is None else columns
        outer_labels(axes, across, "parameters (B)", "points a doubling")
        if figure is not None:
            handles = [
                Line2D([], [], color=COLOURS[0], label="median"),
                Patch(color=COLOURS[0], alpha=0.2, label=f"{100 * found.prob:g}% interval"),
                Line2D([], [], color=COLOURS[1], ls="--", label=f"{gain:g} points"),
                Line2D([], [], ls="", label="below: P(saturated)"),
            ]
            legend(figure, handles)
    return axes


def gaps(found: pd.DataFrame, ax: Axes | np.ndarray | None = None, title: str = "") -> np.ndarray:
    """How far one group of models is behind another on each skill, with intervals.

    Parameters
    ----------
    found
        What :meth:`sloth_bayes.RatingsPosterior.gaps` returned.
    ax
        One axis; a new figure by default.
    title
        Of the panel.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
    """
    rows = found.sort_values("gap")
    figure = new_figure(ax, (5.2, 0.3 * len(rows) + 1.1))
    with plt.rc_context(STYLE):
        (axis,) = axes = panels(figure, ax, 1)
        y = np.arange(len(rows))
        colours = [COLOURS[0] if c else COLOURS[6] for c in rows["certain"]]
        axis.hlines(y, rows["lower"], rows["upper"], color=colours, lw=2)
        axis.scatter(rows["gap"], y, color=colours, s=22, zorder=3)
        axis.axvline(0, color="#555555", lw=0.8)
        axis.set_yticks(y, [_label(s) for s in rows["skill"]])
        axis.set_xlabel("gap (rating points of 1-5)")
        axis.set_title(title)
    return axes


def judges(found: pd.DataFrame, ax: Axes | np.ndarray | None = None) -> np.ndarray:
    """Severity and noise of each judge on each skill, with intervals.

    Parameters
    ----------
    found
        What :meth:`sloth_bayes.RatingsPosterior.judged` returned.
    ax
        Two axes; a new figure by default.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
    """
    skills = list(dict.fromkeys(found["skill"]))[::-1]
    names = list(dict.fromkeys(found["judge"]))
    figure = new_figure(ax, (7.4, 0.32 * len(skills) + 1.3))
    sides = (
        ("severity", "lower", "upper", "severity (points below an average judge)"),
        ("noise", "noise_lower", "noise_upper", "own noise (points)"),
    )
    with plt.rc_context(STYLE):
        axes = panels(figure, ax, 2, sharey=True)
        for axis, (middle, low, high, label) in zip(axes, sides):
            for g, judge in enumerate(names):
                rows = found[found["judge"] == judge].set_index("skill").loc[skills]
                y = np.arange(len(skills)) + 0.16 * (g - (len(names) - 1) / 2)
                colour = COLOURS[g % len(COLOURS)]
                axis.hlines(y, rows[low], rows[high], color=colour, lw=2)
                axis.scatter(rows[middle], y, color=colour, s=20, zorder=3)
            axis.set_xlabel(label)
            axis.set_yticks(np.arange(len(skills)), [_label(s) for s in skills])
        axes[0].axvline(0, color="#555555", lw=0.8)
        axes[1].set_xlim(left=0)
        if figure is not None:
            legend(
                figure,
                [
                    Line2D([], [], color=COLOURS[g % len(COLOURS)], marker="o", label=name)
                    for g, name in enumerate(names)
                ],
            )
    return axes
