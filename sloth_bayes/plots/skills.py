"""Figures of skills. Each draws on given axes or makes its own figure, and returns the axes.

All are to be had from :mod:`sloth_bayes.plots` too, and from
:meth:`sloth_bayes.skills.tables.Skills.plot`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from scipy.spatial import ConvexHull, QhullError

from ..errors import DataError, unknown
from ..support.frames import listed
from .panels import dots, drawing, key, legend, plain_rows, plain_ticks, ticks_between
from .style import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .given import Skills


FIGURES = (
    "loadings",
    "loadings_forest",
    "level_curves",
    "base_and_tuned",
    "skills_and_compute",
    "skill_correlations",
)
_CERTAIN = 0.95
_STRIP = 0.16  # share of a cell's width that an end of the interval takes
_FLOPS = 6e21  # of a billion parameters and a trillion tokens


def loadings(
    skills: Skills, ax: Axes | np.ndarray | None = None, prob: float | None = None
) -> np.ndarray:
    """Heat map of loadings, with their intervals: what each benchmark needs.

    The middle of a cell has the colour of the mean, its left and right edges those of the ends
    of the interval: a cell of one colour is known well. Loadings whose sign is not certain
    (probability of one sign at most 0.95) are written in grey.

    Parameters
    ----------
    skills
        The skills, :class:`sloth_bayes.skills.tables.Skills`.
    ax
        Axes to draw on; a new figure by default.
    prob
        Mass of the intervals; that of the skills by default.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        One axes.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> len(sb.plots.loadings(sb.load("leaderboard").skills(draws=100)))
    1
    """
    found = skills.loadings(prob)
    names, benchmarks = skills.names, skills.benchmarks
    table = found.pivot(index="benchmark", columns="skill").loc[benchmarks]
    mean, low, high, positive = (
        table[c][names].to_numpy() for c in ("mean", "lower", "upper", "p_positive")
    )
    sure = np.maximum(positive, 1 - positive) > _CERTAIN
    top = float(np.abs(mean).max())
    scale = plt.cm.ScalarMappable(Normalize(-top, top), "PuOr_r")
    edges = np.array([0, _STRIP, 1 - _STRIP, 1])
    written = {"ha": "center", "va": "center", "zorder": 3, "fontsize": 8.5}
    with drawing(ax, (1.35 * len(names) + 1.9, 0.29 * len(benchmarks) + 1.1)) as (_, axes):
        axis = axes[0]
        for (j, k), value in np.ndenumerate(mean):
            faces = scale.to_rgba(np.array([low[j, k], value, high[j, k]]))
            axis.bar(
                k + edges[:-1], 1, np.diff(k + edges), j, align="edge", color=faces, lw=0, zorder=1
            )
            ink = "white" if abs(value) / top > 0.62 else "black" if sure[j, k] else "#777777"
            weight = "bold" if sure[j, k] else "normal"
            axis.text(k + 0.5, j + 0.5, f"{value:.2f}", color=ink, fontweight=weight, **written)
        axis.hlines(range(len(benchmarks) + 1), 0, len(names), color="white", lw=1.6, zorder=2)
        axis.vlines(range(len(names) + 1), 0, len(benchmarks), color="white", lw=4, zorder=2)
        axis.set(xlim=(0, len(names)), ylim=(len(benchmarks), 0))
        axis.grid(False)
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
        axis.set_xticks(np.arange(len(names)) + 0.5, [_two_lines(n) for n in names])
        axis.xaxis.tick_top()
        axis.set_yticks(np.arange(len(benchmarks)) + 0.5, benchmarks)
        bar = axis.figure.colorbar(scale, ax=axis, pad=0.03, fraction=0.06, aspect=30)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0)
        mass = f"{100 * found['prob'].iloc[0]:g}%"
        bar.set_label(f"logits per sd of skill\n(cell edges: {mass} interval)", fontsize=8)
    return axes


def loadings_forest(
    skills: Skills, ax: Axes | np.ndarray | None = None, prob: float | None = None
) -> np.ndarray:
    """Loadings with intervals, a panel a skill.

    Thin lines are intervals of mass `prob`, thick ones of 50%; a filled point has a certain
    sign (probability above 0.95).

    Parameters
    ----------
    skills
        The skills, :class:`sloth_bayes.skills.tables.Skills`.
    ax
        Axes to draw on, one a skill.
    prob
        Mass of the intervals; that of the skills by default.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        One a skill.

    Raises
    ------
    DataError
        If the number of axes is not that of skills.
    """
    outer, inner = skills.loadings(prob), skills.loadings(0.5)
    names, benchmarks = skills.names, skills.benchmarks
    size = (1.1 + 1.95 * len(names), 0.23 * len(benchmarks) + 1.3)
    with drawing(ax, size, len(names), sharey=True) as (figure, axes):
        y = np.arange(len(benchmarks))
        for k, (axis, name) in enumerate(zip(axes, names)):
            wide, narrow = (f[f["skill"] == name] for f in (outer, inner))
            shade = COLOURS[k % len(COLOURS)]
            axis.axvline(0, color="#777777", lw=0.9, zorder=1)
            axis.hlines(y, wide["lower"], wide["upper"], color=shade, lw=1.2)
            axis.hlines(y, narrow["lower"], narrow["upper"], color=shade, lw=3.2)
            dots(axis, wide["median"], y, shade, _sure(wide["p_positive"]), 26)
            axis.set(title=name, xlabel="logits per sd", ylim=(len(benchmarks) - 0.4, -0.6))
            axis.xaxis.set_major_locator(_round_ticks(4))
        axes[0].set_yticks(y, benchmarks)
        plain_rows(*axes)
        grey = "#555555"
        handles = [
            key(f"{100 * outer['prob'].iloc[0]:g}% interval", grey, lw=1.2),
            key("50%", grey, lw=3.2),
            key("sign certain", grey, "o", ms=5),
            key("not", grey, "o", mfc="white", ms=5),
        ]
        legend(figure, handles)
    return axes


def level_curves(
    skills: Skills,
    ax: Axes | np.ndarray | None = None,
    levels: int | Sequence[float] = 5,
    prob: float | None = None,
    points: int = 60,
) -> np.ndarray:
    """Each skill over size and tokens, without the family: level curves, and how sure they are.

    Skills are 0 at the table's typical size and tokens. A line is where the posterior median
    has a level; the band around it is where the level may run (where the probability of being
    above it is neither low nor high). Points are the models of the table; outside their hull,
    hatched, curves rest on the law alone.

    Parameters
    ----------
    skills
        The skills, :class:`sloth_bayes.skills.tables.Skills`.
    ax
        Axes to draw on, one a skill.
    levels
        How many levels, about, or the levels, in standard deviations.
    prob
        Mass of the bands; that of the skills by default.
    points
        Points of the grid in each direction.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        One a skill.

    Raises
    ------
    DataError
        If the number of axes is not that of skills, or the law has no tokens.
    """
    if skills.posterior.spec.inputs == "size":
        raise DataError("this law has no tokens: there are no level curves over size and tokens")
    mass = skills.prob if prob is None else prob
    models = skills.models()
    size, tokens = models["params_b"].to_numpy(), models["tokens_t"].to_numpy()
    x, y = (np.geomspace(v.min() / 1.15, v.max() * 1.15, points) for v in (size, tokens))
    surface = skills.surface(x, y).values
    surface = surface.reshape(-1, *surface.shape[2:])
    outside = _outside_hull(size, tokens, x, y)
    names = skills.names
    with drawing(ax, (0.5 + 2.55 * len(names), 3.1), len(names), sharey=True) as (figure, axes):
        for k, (axis, name) in enumerate(zip(axes, names)):
            shade = COLOURS[k % len(COLOURS)]
            middle = np.median(surface[..., k], axis=0).T
            chosen = _levels_of(levels, middle)
            ends = [(1 - mass) / 2, (1 + mass) / 2]
            for level in chosen:
                above = (surface[..., k] > level).mean(0).T
                axis.contourf(x, y, above, levels=ends, colors=[shade], alpha=0.2, zorder=1)
            if chosen.size:
                lines = axis.contour(x, y, middle, levels=chosen, colors=[shade], zorder=3)
                axis.clabel(lines, fmt="%g", fontsize=8)
            hatch = axis.contourf(x, y, outside, [0.5, 1.5], colors="none", hatches=["////"])
            hatch.set(edgecolor="#c8c8c8", linewidth=0.0, zorder=2)
            axis.plot(size, tokens, ".", color="#444444", ms=3, zorder=4)
            axis.set(title=name, xlabel="parameters (B)", xscale="log", yscale="log")
            axis.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
            for side, values in ((axis.xaxis, x), (axis.yaxis, y)):
                low, high = values[0], values[-1]
                decades = np.ceil(np.log10(high)) - np.floor(np.log10(low))
                plain_ticks(side, ticks_between(low, high, (1,) if decades > 3 else (1, 3)))
            axis.grid(False)
        axes[0].set_ylabel("tokens (T)")
        band = f"where it may run ({100 * mass:g}%)"
        handles = [
            key("level (sd of skill)", "#777777"),
            Patch(color="#777777", alpha=0.25, lw=0, label=band),
            key("models", "#444444", ".", ms=4),
            Patch(facecolor="white", edgecolor="#c8c8c8", hatch="////", lw=0, label="no data"),
        ]
        legend(figure, handles)
    return axes


def base_and_tuned(
    skills: Skills, ax: Axes | np.ndarray | None = None, prob: float | None = None
) -> np.ndarray:
    """Skills of tuned models against their base models, with intervals and the diagonal.

    Pairs are those of :meth:`sloth_bayes.Skills.tuning`, model by model of one
    size. A filled point is a change whose sign is certain (probability above 0.95), which is a
    matter of the difference and not of the two intervals: they move together.

    Parameters
    ----------
    skills
        The skills, :class:`sloth_bayes.skills.tables.Skills`.
    ax
        Axes to draw on, one a skill.
    prob
        Mass of the intervals; that of the skills by default.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        One a skill.

    Raises
    ------
    DataError
        If no lineage has base and tuned models of one size.
    """
    pairs = model_pairs(skills)
    if pairs.empty:
        raise DataError("no lineage has a base and a tuned model of one size: nothing to compare")
    found = skills.models(prob).set_index(["skill", "model"])
    values = skills.merged("model_skill")
    place = {m: i for i, m in enumerate(skills.posterior.models)}
    first, second = (pairs[c].map(place).to_numpy() for c in ("base", "tuned"))
    risen = (values[:, second] > values[:, first]).mean(0)  # (pairs, skills)
    # a colour for each of the six lineages with the most pairs
    shades = dict(zip(pairs["lineage"].value_counts().index[:6], COLOURS))
    others = "#9a9a9a"
    ink = [shades.get(line, others) for line in pairs["lineage"]]
    names = skills.names
    with drawing(ax, (0.5 + 2.5 * len(names), 3.5), len(names)) as (figure, axes):
        for k, (axis, name) in enumerate(zip(axes, names)):
            base, tuned = (found.loc[name].loc[pairs[c]] for c in ("base", "tuned"))
            ends = np.concatenate([base[["lower", "upper"]], tuned[["lower", "upper"]]])
            low, high = ends.min() - 0.15, ends.max() + 0.15
            axis.plot([low, high], [low, high], color="#777777", lw=0.9, zorder=1)
            axis.hlines(tuned["mean"], base["lower"], base["upper"], color=ink, lw=0.8, alpha=0.45)
            axis.vlines(base["mean"], tuned["lower"], tuned["upper"], color=ink, lw=0.8, alpha=0.45)
            dots(axis, base["mean"], tuned["mean"], ink, _sure(risen[:, k]), 20, lw=1.1)
            axis.set(title=name, xlabel="base model (sd)", aspect="equal")
            axis.set(xlim=(low, high), ylim=(low, high))
            for side in (axis.xaxis, axis.yaxis):
                side.set_major_locator(_round_ticks(5))
        axes[0].set_ylabel("tuned model (sd)")
        handles = [key(line, c, "o", ms=4.5) for line, c in shades.items()]
        if len(shades) < pairs["lineage"].nunique():
            handles.append(key("others", others, "o", ms=4.5))
        handles.append(key("sign of change not certain", "#555555", "o", mfc="white", ms=4.5))
        legend(figure, handles)
    return axes


def skills_and_compute(
    skills: Skills,
    families: str | Sequence[str] | None = None,
    ax: Axes | np.ndarray | None = None,
    prob: float | None = None,
) -> np.ndarray:
    """Skills of models against training compute, families joined.

    Parameters
    ----------
    skills
        The skills, :class:`sloth_bayes.skills.tables.Skills`.
    families
        Families to colour, at most seven; by default the three base families with the most
        models, and of the others the three that were trained with the most compute. All others
        are grey.
    ax
        Axes to draw on, one a skill.
    prob
        Mass of the intervals; that of the skills by default.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        One a skill. Compute is 6 x parameters x tokens, in FLOPs.

    Raises
    ------
    UnknownNameError
        If a family is not of the fit.
    DataError
        If there are more than seven families, or the number of axes is not that of skills.
    """
    known = skills.posterior.families
    found = skills.models(prob)
    found["flops"] = _FLOPS * found["params_b"] * found["tokens_t"]
    families = _telling_families(found) if families is None else listed(families)
    for name in families:
        if name not in known:
            raise unknown("family", name, known)
    if len(families) > len(COLOURS):
        raise DataError(f"at most {len(COLOURS)} families can be told apart, not {len(families)}")
    shades = list(zip(families, COLOURS))
    joined: dict[str, Any] = {"ms": 3.6, "lw": 1.1}
    names = skills.names
    with drawing(ax, (0.5 + 2.55 * len(names), 3.3), len(names)) as (figure, axes):
        for axis, name in zip(axes, names):
            here = found[found["skill"] == name]
            axis.plot(here["flops"], here["mean"], ".", color="#c4c4c4", ms=4, zorder=1)
            for family, shade in shades:
                mine = here[here["family"] == family].sort_values("flops")
                axis.vlines(mine["flops"], mine["lower"], mine["upper"], color=shade, lw=1.1)
                axis.plot(mine["flops"], mine["mean"], "o-", color=shade, zorder=3, **joined)
            axis.set(title=name, xlabel="training compute (FLOPs)", xscale="log")
            axis.xaxis.set_major_locator(LogLocator(numticks=5))
            axis.xaxis.set_minor_locator(NullLocator())
            axis.yaxis.set_major_locator(_round_ticks(6))
        axes[0].set_ylabel("skill (sd)")
        handles = [key(family, c, "o", ls="-", **joined) for family, c in shades]
        legend(figure, [*handles, key("others", "#c4c4c4", ".")])
    return axes


def skill_correlations(
    skills: Skills, ax: Axes | np.ndarray | None = None, prob: float | None = None
) -> np.ndarray:
    """Posterior densities of the skills' correlations over the models of the table.

    Parameters
    ----------
    skills
        The skills, :class:`sloth_bayes.skills.tables.Skills`.
    ax
        Axes to draw on.
    prob
        Mass of the intervals; that of the skills by default.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        One axes.

    Raises
    ------
    DataError
        If there is only one skill.
    """
    if len(skills.names) < 2:
        raise DataError("one skill has no correlation")
    found = skills.correlations(prob)
    draws = skills.merged("correlation")
    edges = np.linspace(-1, 1, 101)
    shade = COLOURS[0]
    with drawing(ax, (4.6, 0.55 * len(found) + 0.9)) as (_, axes):
        axis = axes[0]
        for i, row in enumerate(found.itertuples()):
            pair = draws[:, skills.names.index(row.skill), skills.names.index(row.with_skill)]
            density = np.histogram(pair, edges)[0].astype(float)
            density = np.convolve(density, [0.25, 0.5, 0.25], mode="same")
            height = 0.62 * density / max(density.max(), 1e-12)
            middle = (edges[1:] + edges[:-1]) / 2
            axis.fill_between(middle, i - height, i, color=shade, alpha=0.3, lw=0)
            axis.hlines(i + 0.12, row.lower, row.upper, color=shade, lw=1.3)
            axis.plot(row.median, i + 0.12, "o", color=shade, ms=4.5)
        axis.axvline(0, color="#777777", lw=0.9, zorder=1)
        title = f"Skill correlations, {100 * found['prob'].iloc[0]:g}% intervals"
        axis.set(title=title, xlabel="correlation over the models of the table")
        axis.set(xlim=(-1, 1), ylim=(len(found) - 0.55, -0.8))
        axis.set_yticks(range(len(found)), found["skill"] + ",\n" + found["with_skill"])
        plain_rows(axis)
    return axes


# -- shared ---------------------------------------------------------------------------------


def _sure(positive: Any) -> Any:
    """Whether a sign is certain, by the probability that it is positive."""
    return np.maximum(positive, 1 - positive) > _CERTAIN


def _round_ticks(n: int) -> MaxNLocator:
    return MaxNLocator(nbins=n, steps=[1, 2, 5, 10])


def _two_lines(name: str) -> str:
    """A long name broken in two."""
    for gap in (" + ", " "):
        if len(name) > 12 and gap in name:
            first, rest = name.split(gap, 1)
            return f"{first}{' +' if gap == ' + ' else ''}\n{rest}"
    return name


def _levels_of(levels: int | Sequence[float], surface: np.ndarray) -> np.ndarray:
    """Round levels inside the surface."""
    if not isinstance(levels, int):
        return np.asarray(sorted(levels), float)
    ticks = MaxNLocator(nbins=levels + 1, steps=[1, 2, 2.5, 5, 10]).tick_values(
        float(surface.min()), float(surface.max())
    )
    inside: np.ndarray = ticks[(ticks > surface.min()) & (ticks < surface.max())]
    return inside


def _outside_hull(size: np.ndarray, tokens: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 where a point of the grid, ``(y, x)``, lies outside the models' hull in logarithms."""
    seen = np.log(np.column_stack([size, tokens]))
    grid = np.log(np.stack(np.meshgrid(x, y), axis=-1))
    try:
        sides = ConvexHull(seen).equations
    except (QhullError, ValueError):  # models on a line have no hull
        return np.ones(grid.shape[:2])
    off = (grid @ sides[:, :2].T + sides[:, 2]).max(-1)
    return (off > 1e-9).astype(float)


def model_pairs(skills: Skills) -> pd.DataFrame:
    """Base and tuned models of one size: lineage, base, tuned."""
    models = skills.models().drop_duplicates("model")
    rows = []
    for family, base in skills.pairs().items():
        tuned, bases = (models[models["family"] == f] for f in (family, base))
        for row in tuned.itertuples():
            same = bases[np.isclose(bases["params_b"], row.params_b, rtol=0.02)]
            if len(same):
                rows.append((row.lineage, str(same["model"].iloc[0]), row.model))
    return pd.DataFrame(rows, columns=["lineage", "base", "tuned"])


def _telling_families(models: pd.DataFrame) -> list[str]:
    """Base families to show: three with the most models, three with the most compute."""
    base = models[~models["instruct"]].drop_duplicates("model")
    base = models.drop_duplicates("model") if base.empty else base
    grouped = base.groupby("family")["flops"]
    many = list(grouped.size().sort_values(ascending=False, kind="stable").index[:3])
    most = grouped.max().sort_values(ascending=False, kind="stable").index
    return many + [f for f in most if f not in many][:3]
