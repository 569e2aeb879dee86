"""Figures. Every function draws on given axes or makes its own figure, and returns the axes.

No global setting of Matplotlib is touched: :data:`STYLE` holds inside these functions only.
Those on skills live in :mod:`sloth_bayes.skillplots` and are to be had here as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..errors import unknown
from .panels import chosen, new_figure, outer_labels, panels, plain_ticks
from .style import COLOURS, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_CURVE_SIZES = 25
_REPLICATES = 8  # draws of the noise per draw of the posterior: a smooth band from 1,000 draws
_INNER = 0.5


@dataclass(frozen=True)
class _Series:
    """Candidates that belong on one curve: one family, at one size only once."""

    label: str
    family: str
    rows: np.ndarray  # positions in the forecast's candidates, by size
    tokens_t: float | None  # None if the candidates differ in tokens
    colour: str


def forecast(
    fc: Any,
    benchmarks: list[str] | None = None,
    ax: Axes | np.ndarray | None = None,
    observed: bool = True,
    ncols: int | None = None,
) -> np.ndarray:
    """Score against size, one panel a benchmark, with the interval as a band.

    Candidates are diamonds with their interval; the curve is the forecast of their family,
    at their tokens, from the smallest size its family was observed at. Candidates of one
    family that differ in tokens as well as in size are joined as they are. The band has
    the forecast's mass, and a darker one 50%. Observed scores are the published ones: each
    model at its own number of tokens, so they need not lie on a curve. For a family nobody
    has seen, all observed models are shown in grey.

    Parameters
    ----------
    fc
        The forecast.
    benchmarks
        Benchmarks to draw; all of the forecast's by default.
    ax
        Axes to draw on, as many as there are benchmarks; a new figure by default.
    observed
        Show the family's observed models.
    ncols
        Panels in a row of a new figure; at most four by default.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        One per benchmark, flat. Scores are in percent, sizes in billions of parameters.

    Raises
    ------
    UnknownNameError
        If a benchmark is not in the forecast.
    DataError
        If the number of axes is not that of benchmarks, or `ncols` is not positive.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> post = sb.load("leaderboard")
    >>> fc = post.forecast(sb.candidates(family="qwen2", params_b=72, tokens_t=15))
    >>> len(sb.plots.forecast(fc, benchmarks=["MMLU", "GSM8K"]))
    2
    """
    known = fc.benchmarks
    names = chosen(benchmarks, known, ncols)

    series = _series(fc.candidates)
    curves = [_curve(fc, one) for one in series]
    marks = {mass: _quantiles(fc, mass) for mass in {fc.prob, _INNER}}
    sizes = [x for x, _ in curves] + [fc.candidates["params_b"].to_numpy(float)]
    if observed:
        sizes += [_observed(fc, one.family)["params_b"].to_numpy() for one in series]
    low, high = (f(np.concatenate(sizes)) for f in (np.min, np.max))
    margin = max((high / low) ** 0.045, 1.08)
    chances = fc.posterior.constant_data["chance"]
    chance_seen = False

    shape, size = _layout(len(names), ncols)
    figure = new_figure(ax, size)
    with plt.rc_context(STYLE):
        axes = panels(figure, ax, len(names), shape)
        for axis, name in zip(axes, names):
            j = known.index(name)
            for one, curve in zip(series, curves):
                _draw_curve(axis, one, curve, j)
            if observed:
                _draw_observed(axis, fc, series, name)
            for one in series:
                _draw_candidates(axis, fc, one, marks[fc.prob], j)
            chance = float(chances.sel(benchmark=name))
            chance_seen |= _finish(axis, name, (low / margin, high * margin), chance)
        outer_labels(axes, None if figure is None else shape[1], "parameters (B)", "score (%)")
        handles = _legend(fc, series, observed, chance_seen)
        if figure is not None:
            ncols = _legend_columns(handles, figure.get_size_inches()[0])
            figure.legend(handles=handles, loc="outside lower center", ncols=ncols)
        else:
            axes[-1].legend(handles=handles, loc="best", fontsize=7)
    return axes


def calibration(
    found: Any, ax: Axes | np.ndarray | None = None, by: str | None = None
) -> np.ndarray:
    """Are the intervals right? Calibration curve with its band, and PIT histogram.

    Parameters
    ----------
    found
        An evaluation with draws (not a baseline).
    ax
        Two axes to draw on.
    by
        ``"setting"`` draws a curve for each setting as well; the band stays that of all
        scores.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        The curve, and the histogram.

    Raises
    ------
    DataError
        If the evaluation has no draws.
    UnknownNameError
        If `by` is something else.
    """
    if by not in (None, "setting"):
        raise unknown("grouping", str(by), ["setting"])
    curve = found.calibration()
    u = found.frame["pit"].dropna().to_numpy(float)
    figure = new_figure(ax, (7.2, 3.2))
    with plt.rc_context(STYLE):
        left, right = axes = panels(figure, ax, 2)
        level = 100 * curve["level"]
        left.fill_between(
            level, 100 * curve["lower"], 100 * curve["upper"], color="#cccccc", lw=0,
            label="95% band, if scores were independent",
        )  # fmt: skip
        left.plot([0, 100], [0, 100], color="#777777", lw=0.8)
        if by == "setting":
            for i, (name, group) in enumerate(found.frame.groupby("setting", sort=False)):
                pit = group["pit"].dropna().to_numpy(float)
                share = (pit[:, None] <= curve["level"].to_numpy()).mean(0)
                colour = COLOURS[(i + 1) % len(COLOURS)]
                left.plot(level, 100 * share, color=colour, lw=1, label=str(name))
        left.plot(level, 100 * curve["observed"], color=COLOURS[0], label="all scores")
        left.set(
            xlim=(0, 100), ylim=(0, 100), aspect="equal", title="Calibration",
            xlabel="Forecast probability (%)", ylabel="Scores at or below (%)",
        )  # fmt: skip
        left.legend(loc="upper left", fontsize=7)
        bins = 20
        counts, edges = np.histogram(u, bins=bins, range=(0, 1))
        right.bar(
            edges[:-1] * 100, counts, width=100 / bins, align="edge", color=COLOURS[5],
            edgecolor="white",
        )  # fmt: skip
        mean, sd = u.size / bins, np.sqrt(u.size * (1 / bins) * (1 - 1 / bins))
        right.axhspan(mean - 1.96 * sd, mean + 1.96 * sd, color="#555555", alpha=0.2, lw=0)
        right.axhline(mean, color="#555555", lw=0.8)
        right.set(
            xlim=(0, 100), title="Where scores fell in their forecasts",
            xlabel="PIT (%)", ylabel="Scores",
        )  # fmt: skip
    return axes


def _series(candidates: pd.DataFrame) -> list[_Series]:
    """Group candidates into curves, in the order in which they appear."""
    found: list[_Series] = []
    several = candidates.groupby("family", sort=False)["instruct"].nunique()
    for (family, instruct), rows in candidates.groupby(["family", "instruct"], sort=False):
        kind = (", tuned" if instruct else ", base") if several[str(family)] > 1 else ""
        # One size with several numbers of tokens cannot be one curve over sizes.
        split = bool((rows.groupby("params_b")["tokens_t"].nunique() > 1).any())
        parts = [p for _, p in rows.groupby("tokens_t", sort=False)] if split else [rows]
        for part in parts:
            tokens = part["tokens_t"].unique()
            same = float(tokens[0]) if len(tokens) == 1 else None
            found.append(
                _Series(
                    label=f"{family}{kind}" + (f", {same:g}T tokens" if same else ""),
                    family=str(family),
                    rows=part.sort_values("params_b", kind="stable").index.to_numpy(),
                    tokens_t=same,
                    colour=COLOURS[len(found) % len(COLOURS)],
                )
            )
    return found


def _observed(fc: Any, family: str | None = None) -> pd.DataFrame:
    """Observed scores of a family (of all models if None): params_b, benchmark, score."""
    tree = fc.posterior.tree
    constant, data = tree["constant_data"].to_dataset(), tree["observed_data"].to_dataset()
    models = data["obs_model"].values
    frame = pd.DataFrame(
        {
            "family": constant["family_of_model"].sel(model=models).values.astype(str),
            "params_b": constant["params_b"].sel(model=models).values,
            "benchmark": data["obs_benchmark"].values.astype(str),
            "score": data["score"].values,
        }
    )
    return frame if family is None else frame[frame["family"] == family]


def _levels(prob: float) -> list[float]:
    inner = min(prob, _INNER)
    return [(1 - prob) / 2, (1 - inner) / 2, 0.5, (1 + inner) / 2, (1 + prob) / 2]


def _quantiles(fc: Any, prob: float) -> np.ndarray:
    """Quantiles of the candidates' scores: level, model, benchmark."""
    scores = fc.draws["score"].transpose("chain", "draw", "model", "benchmark").values
    return np.quantile(scores.reshape(-1, *scores.shape[2:]), _levels(prob), axis=0)


def _curve(fc: Any, one: _Series) -> tuple[np.ndarray, np.ndarray]:
    """Sizes, and quantiles of the scores there: level, size, benchmark."""
    candidates = fc.candidates.loc[one.rows]
    if one.tokens_t is None:
        return candidates["params_b"].to_numpy(float), _quantiles(fc, fc.prob)[:, one.rows]
    seen = _observed(fc, one.family)["params_b"]
    if seen.empty:
        seen = _observed(fc)["params_b"]
        seen = seen[seen <= candidates["params_b"].max()]
    high = max(candidates["params_b"].max(), seen.max() if len(seen) else 0.0)
    low = min(candidates["params_b"].min(), seen.min() if len(seen) else math.inf, high / 8)
    sizes = np.geomspace(low, high, _CURVE_SIZES)
    first = candidates.iloc[0]
    points = pd.DataFrame({"params_b": np.repeat(sizes, _REPLICATES), "family": one.family})
    points["model"] = [f"curve {i}" for i in range(len(points))]
    points["tokens_t"] = one.tokens_t
    points["lineage"], points["instruct"] = first["lineage"], bool(first["instruct"])
    curve = fc.of(points)
    scores = curve.draws["score"].transpose("chain", "draw", "model", "benchmark").values
    # (draws, size, replicate, benchmark): replicates are further draws of the same thing
    scores = scores.reshape(-1, len(sizes), _REPLICATES, scores.shape[-1])
    levels = np.quantile(scores, _levels(fc.prob), axis=(0, 2))
    for _ in range(2):  # what is left of the Monte Carlo noise; far finer than the curve bends
        levels[:, 1:-1] = levels[:, :-2] / 4 + levels[:, 1:-1] / 2 + levels[:, 2:] / 4
    return sizes, levels


def _layout(n: int, ncols: int | None) -> tuple[tuple[int, int], tuple[float, float]]:
    """Rows and columns of `n` panels, and the size of their figure."""
    if ncols is None:
        ncols = n if n <= 3 else 4 if n % 4 == 0 or n > 9 else 3 if n > 4 else 2
    ncols = min(ncols, n)
    nrows = -(-n // ncols)
    width = 3.6 if n == 1 else 2.9 if ncols <= 3 else 2.45
    height = 2.9 if n == 1 else 2.5 if nrows == 1 else 2.05
    return (nrows, ncols), (width * ncols + 0.3, height * nrows + 0.75)


def _draw_curve(axis: Axes, one: _Series, curve: tuple[np.ndarray, np.ndarray], j: int) -> None:
    sizes, levels = curve
    low, inner_low, middle, inner_high, high = 100 * levels[:, :, j]
    axis.fill_between(sizes, low, high, color=one.colour, alpha=0.16, linewidth=0)
    axis.fill_between(sizes, inner_low, inner_high, color=one.colour, alpha=0.22, linewidth=0)
    axis.plot(sizes, middle, color=one.colour)


def _draw_observed(axis: Axes, fc: Any, series: list[_Series], name: str) -> None:
    known = set(fc.posterior.families)
    if any(one.family not in known for one in series):
        seen = _observed(fc)
        seen = seen[seen["benchmark"] == name]
        axis.plot(seen["params_b"], 100 * seen["score"], ".", color="#bbbbbb", ms=3, zorder=1.5)
    # A family may have several curves; its observed models then carry the first one's colour.
    colour = {one.family: one.colour for one in reversed(series)}
    for family in colour:
        seen = _observed(fc, family)
        seen = seen[seen["benchmark"] == name]
        axis.plot(
            seen["params_b"],
            100 * seen["score"],
            "o",
            color=colour[family],
            markeredgecolor="white",
            markeredgewidth=0.6,
            markersize=5.5,
            zorder=3,
        )


def _draw_candidates(axis: Axes, fc: Any, one: _Series, marks: np.ndarray, j: int) -> None:
    low, _, middle, _, high = 100 * marks[:, one.rows, j]
    sizes = fc.candidates.loc[one.rows, "params_b"].to_numpy(float)
    axis.vlines(sizes, low, high, color=one.colour, linewidth=1.3, zorder=4)
    axis.plot(
        sizes,
        middle,
        "D",
        color="white",
        markeredgecolor=one.colour,
        markeredgewidth=1.5,
        markersize=5.5,
        zorder=5,
    )


def _finish(axis: Axes, name: str, span: tuple[float, float], chance: float) -> bool:
    """Scales, ticks, title, and the chance level if it is in view (which is returned)."""
    axis.set_title(name)
    axis.set_xscale("log")
    axis.set_xlim(*span)
    plain_ticks(axis.xaxis)
    axis.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    bottom, top = axis.get_ylim()
    bottom, top = max(bottom, -2.0), min(top, 102.0)
    if top - bottom < 10:
        bottom, top = max(-2.0, bottom - 4), min(102.0, top + 4)
    axis.set_ylim(bottom, top)
    in_view = bottom <= 100 * chance <= top
    if in_view:
        axis.axhline(100 * chance, color="#888888", linestyle=":", linewidth=1.0, zorder=1)
    return in_view


def _legend_columns(handles: list[Any], width: float) -> int:
    """As many columns as fit in `width` inches; a column is as wide as its longest label."""
    lengths = [len(str(h.get_label())) for h in handles]
    for ncols in range(len(handles), 1, -1):
        deep, longer = divmod(len(lengths), ncols)  # as Matplotlib fills them: longer ones first
        ends = np.cumsum([deep + (i < longer) for i in range(ncols)])
        columns = [max(part) for part in np.split(lengths, ends[:-1])]
        if sum(0.58 + 0.063 * n for n in columns) <= width:
            return ncols
    return 1


def _legend(fc: Any, series: list[_Series], observed: bool, chance: bool) -> list[Any]:
    handles: list[Any] = [Line2D([], [], color=s.colour, label=s.label) for s in series]
    grey = "#777777"
    handles.append(
        Line2D(
            [], [], color=grey, marker="D", markerfacecolor="white", markeredgewidth=1.5,
            markersize=5.5, linewidth=1.3, label="forecast",
        )
    )  # fmt: skip
    handles.append(Patch(color=grey, alpha=0.2, linewidth=0, label=f"{100 * fc.prob:g}% interval"))
    if fc.prob > _INNER:
        handles.append(Patch(color=grey, alpha=0.5, linewidth=0, label=f"{100 * _INNER:g}%"))
    if observed:
        known = [s.family in fc.posterior.families for s in series]
        if any(known):
            label = "observed (own tokens)"
            handles.append(
                Line2D([], [], color=grey, marker="o", linestyle="", markersize=5, label=label)
            )
        if not all(known):
            label = "all observed models"
            handles.append(
                Line2D([], [], color="#bbbbbb", marker=".", linestyle="", markersize=5, label=label)
            )
    if chance:
        dotted = Line2D([], [], color="#888888", linestyle=":", linewidth=1.0, label="chance")
        handles.append(dotted)
    return handles
