"""Figures of decisions. Each draws on given axes or makes its own figure, and returns the axes.

All are to be had from the answers themselves: ``post.required_size(...).plot()``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from ..support.checks import check_positive
from .panels import band, diamonds, dots, drawing, key, legend, plain_rows, plain_ticks
from .style import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .given import Answer, CurveAnswer


_GREY = "#777777"
_CLOUD = 300  # draws shown as points
_BUDGETS = ("#E69F00", "#D55E00", "#CC79A7", "#56B4E9", "#0072B2", "#009E73", "#555555")


def required_size(found: CurveAnswer, ax: Axes | np.ndarray | None = None) -> np.ndarray:
    """What is asked for along sizes, with its target; and the probability of reaching it.

    Parameters
    ----------
    found
        The answer, :class:`sloth_bayes.plan.size.RequiredSize`.
    ax
        Two axes; a new figure by default.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        The curve with its interval, and the probability.

    Raises
    ------
    DataError
        If the number of axes is not two.
    """
    row, curve = found.frame.iloc[0], found.curve
    need, probability = row["required_b"], 100 * row["probability"]
    with _curve_and_probability(found, ax, "params_b", "target", row["target"]) as (axes, handles):
        left, right = axes
        left.set(ylabel=f"{row['of']} ({_units(found)[1]})")
        right.plot(curve["params_b"], 100 * curve["p_reached"], color=COLOURS[0])
        right.axhline(probability, color=_GREY, lw=0.9, ls=":")
        right.set(title="Is the target reached?")
        if np.isfinite(need):
            for axis in axes:
                axis.axvline(need, color=COLOURS[2], lw=1.2)
            diamonds(right, need, probability, COLOURS[2])
        reached = (
            f"required: {need:.3g}B" if np.isfinite(need) else "not reachable within the range"
        )
        handles += [key("probability asked for", _GREY, ls=":"), key(reached, COLOURS[2])]
    return axes


def saturation(found: CurveAnswer, ax: Axes | np.ndarray | None = None) -> np.ndarray:
    """What a doubling gains, and the probability that no more doubling gains as much.

    Parameters
    ----------
    found
        The answer, :class:`sloth_bayes.plan.size.Saturation`.
    ax
        Two axes; a new figure by default.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        The gain of a doubling with its interval, and the probability of saturation.

    Raises
    ------
    DataError
        If the number of axes is not two.
    """
    row, curve = found.frame.iloc[0], found.curve
    column = "params_b" if row["unit"] == "B" else "tokens_t"
    with _curve_and_probability(found, ax, column, "gain asked for", row["gain"]) as (
        axes,
        handles,
    ):
        left, right = axes
        left.set(ylabel=f"gain of a {row['per']} ({_units(found)[2]})")
        right.plot(curve[column], 100 * curve["p_saturated"], color=COLOURS[0])
        right.set(title="Is it saturated there?")
        asked = found.frame.dropna(subset="at")
        diamonds(right, asked["at"], 100 * asked["p_saturated"], COLOURS[2])
        if len(asked):
            handles.append(key("asked", COLOURS[2], "D", mfc="white"))
    return axes


def allocation(found: Any, ax: Axes | np.ndarray | None = None) -> np.ndarray:
    """Optima over size and tokens, a panel an objective; with one budget, also what is lost.

    Points are optima of single draws, the diamond maximises the expected objective; lines are
    budgets. The grey outline is the hull of the table's models. Where there is one budget and one
    objective, a second panel shows what is lost, beside the best of the budget, at other sizes.

    Parameters
    ----------
    found
        The answer, :class:`sloth_bayes.plan.budget.Allocation`.
    ax
        Axes, one an objective (two where there is one budget and one objective).

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes

    Raises
    ------
    DataError
        If the number of axes is another.
    """
    objectives = list(dict.fromkeys(found.frame["objective"]))
    budgets = list(dict.fromkeys(found.frame["budget"]))
    with_loss = len(objectives) == len(budgets) == 1 and len(found.curves) > 1
    n = len(objectives) + with_loss
    shades = [_BUDGETS[i % len(_BUDGETS)] for i in range(len(budgets))]
    rng = np.random.default_rng(0)
    hull = np.vstack([found.hull, found.hull[:1]])
    size = (max(3.2 * n + 0.4, 4.2), 3.7)
    with drawing(ax, size, n, sharey=len(objectives) > 1) as (figure, axes):
        for axis, objective in zip(axes, objectives):
            axis.plot(*hull.T, color="#999999", lw=0.9, zorder=1)
            axis.fill(*hull.T, color="#f2f2f2", zorder=0)
            for budget, colour in zip(budgets, shades):
                _one_budget(axis, found, budget, objective, colour, rng)
            axis.set(title=objective, xscale="log", yscale="log", xlabel="parameters (B)")
            for scale in (axis.xaxis, axis.yaxis):
                plain_ticks(scale)
        axes[0].set_ylabel("tokens (T)")
        if with_loss:
            _loss(axes[-1], found)
        handles = [
            *(key(f"budget {b:.3g}", colour) for b, colour in zip(budgets, shades)),
            key("optima of draws", _GREY, "."),
            key("best expected", _GREY, "D", mfc="white"),
            Patch(facecolor="#f2f2f2", edgecolor="#999999", label="hull of the data"),
        ]
        legend(figure, handles)
    return axes


def comparison(found: Answer, ax: Axes | np.ndarray | None = None) -> np.ndarray:
    """Gaps with intervals, benchmark by benchmark, and the probability that `a` is better.

    Parameters
    ----------
    found
        The answer, :class:`sloth_bayes.plan.compare.Comparison`.
    ax
        One axes a pair.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes

    Raises
    ------
    DataError
        If the number of axes is not that of pairs.
    """
    pairs = [rows for _, rows in found.frame.groupby(["a", "b"], sort=False)]
    size = (3.9 * len(pairs) + 0.9, 0.25 * len(pairs[0]) + 1.5)
    blue = COLOURS[0]
    with drawing(ax, size, len(pairs), sharey=True) as (figure, axes):
        for axis, rows in zip(axes, pairs):
            y = np.arange(len(rows), dtype=float)
            y[-1] += 0.4  # the average, apart
            axis.axvline(0, color=_GREY, lw=0.9, zorder=1)
            axis.hlines(y, 100 * rows["lower"], 100 * rows["upper"], color=blue, lw=1.5)
            sure = (rows["p_a"] > 0.95) | (rows["p_a"] < 0.05)
            dots(axis, 100 * rows["median"], y, blue, sure, 28)
            shares = [f"{100 * p:.0f}%" for p in rows["p_a"]]
            for at, text in zip([*y, -0.9], [*shares, "P(a > b)"]):
                axis.annotate(
                    text, (1.02, at), xycoords=("axes fraction", "data"), va="center", fontsize=8,
                    color="#333333",
                )  # fmt: skip
            first = rows.iloc[0]
            axis.set_title(f"a: {first['a']}\nb: {first['b']}")
            axis.set(xlabel="gap, a less b (points)", ylim=(y[-1] + 0.6, -1.3))
            axis.set_yticks(y, rows["benchmark"])
        plain_rows(*axes)
        handles = [
            key(f"{100 * found.prob:g}% interval", blue, lw=1.5),
            key("sign certain", blue, "o", ms=5),
            key("not", blue, "o", mfc="white", ms=5),
        ]
        legend(figure, handles)
    return axes


def next_evaluation(found: Any, ax: Axes | np.ndarray | None = None, top: int = 12) -> np.ndarray:
    """The most useful measurements: the share of the target's variance that each takes away.

    Parameters
    ----------
    found
        The answer, :class:`sloth_bayes.plan.compare.NextEvaluation`.
    ax
        One axes.
    top
        How many to show.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes

    Raises
    ------
    DataError
        If the number of axes is not one, or `top` is not positive.
    """
    check_positive(top, "top", "how many measurements to show")
    rows = found.frame.head(int(top))
    models = found.frame.sort_values("params_b").drop_duplicates("model").set_index("model")
    shades = {m: COLOURS[i % len(COLOURS)] for i, m in enumerate(models.index)}
    with drawing(ax, (6.4, 0.27 * len(rows) + 1.6)) as (figure, axes):
        axis = axes[0]
        y = np.arange(len(rows))
        bars = axis.barh(y, 100 * rows["reduction"], height=0.7, color=rows["model"].map(shades))
        gone = [f"sd {100 * r.sd_now:.1f} to {100 * r.sd_after:.1f}" for r in rows.itertuples()]
        axis.bar_label(bars, gone, padding=4, fontsize=7.5, color="#333333")
        axis.set_yticks(y, rows["model"] + ", " + rows["benchmark"])
        axis.set(title=f"Forecast: {found.target}", xlim=(0, 118), ylim=(len(rows) - 0.4, -0.6))
        axis.set_xlabel("variance expected to go (%); standard deviations in points")
        axis.set_xticks([0, 25, 50, 75, 100])
        plain_rows(axis)
        handles = [
            Patch(color=shades[m], label=f"{m}: cost {cost:.2g}")
            for m, cost in models["cost"].items()
            if m in set(rows["model"])
        ]
        legend(figure, handles)
    return axes


# -- parts --------------------------------------------------------------------------------


def _units(found: Answer) -> tuple[float, str, str]:
    """Factor and unit of what is asked about, and of a difference: of scores, or of a skill."""
    return (1.0, "sd", "sd") if found.is_skill else (100.0, "%", "points")


@contextmanager
def _curve_and_probability(
    found: CurveAnswer, ax: Axes | np.ndarray | None, column: str, asked: str, level: float
) -> Iterator[tuple[np.ndarray, list[Any]]]:
    """Left what is asked about with the level asked for, right a probability; and the legend."""
    row, curve, factor = found.frame.iloc[0], found.curve, _units(found)[0]
    with drawing(ax, (7.2, 3.3), 2) as (figure, axes):
        left, right = axes
        band(left, curve[column], curve, COLOURS[0], factor)
        left.axhline(factor * level, color=COLOURS[1], lw=1.2, ls="--")
        left.set(title=f"{row['of']}, {row['family']}")
        right.set(ylabel="probability (%)", ylim=(-3, 103))
        handles: list[Any] = [
            key("median", COLOURS[0]),
            Patch(color=COLOURS[0], alpha=0.25, lw=0, label=f"{100 * found.prob:g}% interval"),
            key(asked, COLOURS[1], ls="--"),
        ]
        yield axes, handles
        for axis in axes:
            _log(axis, curve[column])
            _beyond(axis, *found.posterior.extent(column))
        legend(figure, [*handles, Patch(color="#eeeeee", label="beyond the data")])


def _log(axis: Axes, values: pd.Series) -> None:
    label = "parameters (B)" if values.name == "params_b" else "tokens (T)"
    axis.set(xscale="log", xlim=(values.min(), values.max()), xlabel=label)
    plain_ticks(axis.xaxis)


def _beyond(axis: Axes, low: float, high: float) -> None:
    """What lies beyond the data, behind everything."""
    left, right = axis.get_xlim()
    if right > high:
        axis.axvspan(max(high, left), right, color="#eeeeee", lw=0, zorder=0)
    if left < low:
        axis.axvspan(left, min(low, right), color="#eeeeee", lw=0, zorder=0)
    axis.set_xlim(left, right)


def _one_budget(
    axis: Axes, found: Any, budget: float, objective: str, colour: str, rng: Any
) -> None:
    line, frame = (
        f[(f["budget"] == budget) & (f["objective"] == objective)]
        for f in (found.curves, found.frame)
    )
    axis.plot(line["params_b"], line["tokens_t"], color=colour, lw=1.1, zorder=2)
    here = found.draws.sel(budget=budget, objective=objective)
    size, tokens = here["params_b"].values.ravel(), here["tokens_t"].values.ravel()
    some = rng.choice(size.size, min(_CLOUD, size.size), replace=False)
    spread = np.exp(rng.normal(0, 0.03, (2, some.size)))  # points of a line, told apart
    axis.plot(size[some] * spread[0], tokens[some] * spread[1], ".", color=colour, ms=2, alpha=0.5)
    diamonds(axis, frame["params_b"], frame["tokens_t"], colour, mew=1.6)


def _loss(axis: Axes, found: Any) -> None:
    curve = found.curves[["params_b", "loss_lower", "loss", "loss_upper"]]
    curve.columns = ["params_b", "lower", "median", "upper"]
    factor, _, unit = _units(found)
    band(axis, curve["params_b"], curve, _BUDGETS[0], factor, alpha=0.25)
    axis.axvline(found.frame["params_b"].iloc[0], color=_GREY, lw=0.9, ls=":")
    axis.set(title="What is lost beside the best", ylabel=f"loss ({unit})", ylim=(0, None))
    _log(axis, curve["params_b"])
