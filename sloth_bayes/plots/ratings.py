"""Figures of skill ratings; each makes its own figure or draws on given axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from .panels import band, drawing, key, legend, outer_labels, plain_ticks
from .style import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_TICKS = (1, 3, 7, 13, 30, 70)


def saturation(found: Any, ax: Axes | np.ndarray | None = None) -> np.ndarray:
    """Gain of a doubling along sizes, a panel a skill, and P(saturated) at the sizes asked about.

    Parameters
    ----------
    found
        The answer, :class:`sloth_bayes.ratings.saturation.RatingsSaturation`.
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
    ncols = min(3, len(skills))
    size = (2.6 * ncols + 0.4, 1.9 * -(-len(skills) // ncols) + 0.9)
    gain = found.frame["gain"].iloc[0]
    shared = {"sharex": True, "sharey": True}
    with drawing(ax, size, len(skills), ncols, **shared) as (figure, axes):
        for axis, skill in zip(axes, skills):
            curve, asked = (f[f["skill"] == skill] for f in (found.curve, found.frame))
            band(axis, curve["params_b"], curve, COLOURS[0], factor=1)
            axis.axhline(gain, color=COLOURS[1], ls="--", lw=1)
            for row in asked.itertuples():
                axis.annotate(
                    f"{100 * row.p_saturated:.0f}%", (row.at, 0.02), fontsize=7, ha="center",
                    xycoords=("data", "axes fraction"), color="#333333",
                )  # fmt: skip
            axis.set(title=_label(skill), xscale="log")
            plain_ticks(axis.xaxis, _TICKS)
        columns = None if figure is None else ncols
        outer_labels(axes, columns, "parameters (B)", "points a doubling")
        handles = [
            key("median", COLOURS[0]),
            Patch(color=COLOURS[0], alpha=0.2, label=f"{100 * found.prob:g}% interval"),
            key(f"{gain:g} points", COLOURS[1], ls="--"),
            key("below: P(saturated)", COLOURS[0], ls=""),
        ]
        legend(figure, handles)
    return axes


def gaps(found: pd.DataFrame, ax: Axes | np.ndarray | None = None, title: str = "") -> np.ndarray:
    """How far one group of models is behind another on each skill, with intervals.

    Parameters
    ----------
    found
        What :meth:`sloth_bayes.ratings.posterior.RatingsPosterior.gaps` returned.
    ax
        One axis; a new figure by default.
    title
        Of the panel.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
    """
    rows = found.sort_values("gap")
    with drawing(ax, (5.2, 0.3 * len(rows) + 1.1)) as (_, axes):
        axis = axes[0]
        y = np.arange(len(rows))
        colours = [COLOURS[0] if c else COLOURS[6] for c in rows["certain"]]
        axis.hlines(y, rows["lower"], rows["upper"], color=colours, lw=2)
        axis.scatter(rows["gap"], y, color=colours, s=22, zorder=3)
        axis.axvline(0, color="#555555", lw=0.8)
        axis.set_yticks(y, rows["skill"].map(_label))
        axis.set(xlabel="gap (rating points of 1-5)", title=title)
    return axes


def judges(found: pd.DataFrame, ax: Axes | np.ndarray | None = None) -> np.ndarray:
    """Severity and noise of each judge on each skill, with intervals.

    Parameters
    ----------
    found
        What :meth:`sloth_bayes.ratings.posterior.RatingsPosterior.judged` returned.
    ax
        Two axes; a new figure by default.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
    """
    skills = list(dict.fromkeys(found["skill"]))[::-1]
    names = list(dict.fromkeys(found["judge"]))
    place = np.arange(len(skills))
    sides = (
        ("severity", "lower", "upper", "severity (points below an average judge)"),
        ("noise", "noise_lower", "noise_upper", "own noise (points)"),
    )
    with drawing(ax, (7.4, 0.32 * len(skills) + 1.3), 2, sharey=True) as (figure, axes):
        for axis, (middle, low, high, label) in zip(axes, sides):
            for g, judge in enumerate(names):
                rows = found[found["judge"] == judge].set_index("skill").loc[skills]
                y = place + 0.16 * (g - (len(names) - 1) / 2)
                colour = COLOURS[g % len(COLOURS)]
                axis.hlines(y, rows[low], rows[high], color=colour, lw=2)
                axis.scatter(rows[middle], y, color=colour, s=20, zorder=3)
            axis.set_xlabel(label)
            axis.set_yticks(place, [_label(s) for s in skills])
        axes[0].axvline(0, color="#555555", lw=0.8)
        axes[1].set_xlim(left=0)
        shades = [COLOURS[g % len(COLOURS)] for g in range(len(names))]
        legend(figure, [key(n, c, "o", ls="-") for n, c in zip(names, shades)])
    return axes


def _label(skill: str) -> str:
    return skill.replace("_", " ")
