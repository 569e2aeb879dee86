"""Figures of decisions. Each draws on given axes or makes its own figure, and returns the axes.

All are to be had from the answers themselves: ``post.required_size(...).plot()``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .panels import legend, new_figure, panels, plain_ticks
from .style import COLOURS, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_GREY = "#777777"
_CLOUD = 300  # draws shown as points
_BUDGETS = ("#E69F00", "#D55E00", "#CC79A7", "#56B4E9", "#0072B2", "#009E73", "#555555")


def required_size(found: Any, ax: Axes | np.ndarray | None = None) -> np.ndarray:
    """What is asked for along sizes, with its target; and the probability of reaching it.

    Parameters
    ----------
    found
        The answer.
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
    factor, unit = _unit(found)
    figure = new_figure(ax, (7.2, 3.3))
    with plt.rc_context(STYLE):
        axes = panels(figure, ax, 2)
        left, right = axes
        _band(left, curve, "params_b", factor)
        left.axhline(factor * row["target"], color=COLOURS[1], lw=1.2, ls="--")
        left.set(title=f"{row['of']}, {row['family']}", ylabel=f"{row['of']} ({unit})")
        right.plot(curve["params_b"], 100 * curve["p_reached"], color=COLOURS[0])
        right.axhline(100 * row["probability"], color=_GREY, lw=0.9, ls=":")
        right.set(title="Is the target reached?", ylabel="probability (%)", ylim=(-3, 103))
        if np.isfinite(row["required_b"]):
            for axis in axes:
                axis.axvline(row["required_b"], color=COLOURS[2], lw=1.2)
            right.plot(
                row["required_b"], 100 * row["probability"], "D", color="white", ms=6, zorder=5,
                markeredgecolor=COLOURS[2], markeredgewidth=1.5,
            )  # fmt: skip
        for axis in axes:
            _log(axis, curve["params_b"])
        _shade(axes, found, "params_b")
        if figure is not None:
            handles = [
                Line2D([], [], color=COLOURS[0], label="median"),
                _patch(f"{100 * found.prob:g}% interval"),
                Line2D([], [], color=COLOURS[1], ls="--", label="target"),
                Line2D([], [], color=_GREY, ls=":", label="probability asked for"),
                Line2D([], [], color=COLOURS[2], label=_size_label(row["required_b"])),
                Patch(color="#eeeeee", label="beyond the data"),
            ]
            legend(figure, handles)
    return axes


def saturation(found: Any, ax: Axes | np.ndarray | None = None) -> np.ndarray:
    """What a doubling gains, and the probability that no more doubling gains as much.

    Parameters
    ----------
    found
        The answer.
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
    factor, unit = _unit(found)
    unit = "points" if factor == 100 else unit
    column, label = (
        ("params_b", "parameters (B)") if row["unit"] == "B" else ("tokens_t", "tokens (T)")
    )
    figure = new_figure(ax, (7.2, 3.3))
    with plt.rc_context(STYLE):
        axes = panels(figure, ax, 2)
        left, right = axes
        _band(left, curve, column, factor)
        left.axhline(factor * row["gain"], color=COLOURS[1], lw=1.2, ls="--")
        left.set(title=f"{row['of']}, {row['family']}", ylabel=f"gain of a {row['per']} ({unit})")
        right.plot(curve[column], 100 * curve["p_saturated"], color=COLOURS[0])
        right.set(title="Is it saturated there?", ylabel="probability (%)", ylim=(-3, 103))
        asked = found.frame.dropna(subset="at")
        right.plot(
            asked["at"], 100 * asked["p_saturated"], "D", color="white", ms=6, zorder=5,
            markeredgecolor=COLOURS[2], markeredgewidth=1.5,
        )  # fmt: skip
        for axis in axes:
            _log(axis, curve[column], label)
        _shade(axes, found, column)
        if figure is not None:
            handles = [
                Line2D([], [], color=COLOURS[0], label="median"),
                _patch(f"{100 * found.prob:g}% interval"),
                Line2D([], [], color=COLOURS[1], ls="--", label="gain asked for"),
            ]
            if len(asked):
                handles.append(
                    Line2D([], [], color=COLOURS[2], marker="D", mfc="white", ls="", label="asked")
                )
            handles.append(Patch(color="#eeeeee", label="beyond the data"))
            legend(figure, handles)
    return axes


def allocation(found: Any, ax: Axes | np.ndarray | None = None) -> np.ndarray:
    """Optima over size and tokens, a panel an objective; with one budget, also what is lost.

    Points are optima of single draws, the diamond maximises the expected objective; lines are
    budgets. The grey outline is the hull of the table's models. Where there is one budget and one
    objective, a second panel shows what is lost, beside the best of the budget, at other sizes.

    Parameters
    ----------
    found
        The answer.
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
    figure = new_figure(ax, (max(3.2 * n + 0.4, 4.2), 3.7))
    rng = np.random.default_rng(0)
    hull = np.vstack([found.hull, found.hull[:1]])
    with plt.rc_context(STYLE):
        axes = panels(figure, ax, n, sharey=len(objectives) > 1)
        for axis, objective in zip(axes, objectives):
            axis.plot(*hull.T, color="#999999", lw=0.9, zorder=1)
            axis.fill(*hull.T, color="#f2f2f2", zorder=0)
            for i, budget in enumerate(budgets):
                colour = _BUDGETS[i % len(_BUDGETS)]
                _one_budget(axis, found, budget, objective, colour, rng)
            axis.set(title=objective, xscale="log", yscale="log", xlabel="parameters (B)")
            for scale in (axis.xaxis, axis.yaxis):
                plain_ticks(scale)
        axes[0].set_ylabel("tokens (T)")
        if with_loss:
            _loss(axes[-1], found)
        if figure is not None:
            handles: list[Any] = [
                Line2D([], [], color=_BUDGETS[i % len(_BUDGETS)], label=f"budget {b:.3g}")
                for i, b in enumerate(budgets)
            ]
            handles += [
                Line2D([], [], color=_GREY, marker=".", ls="", label="optima of draws"),
                Line2D([], [], color=_GREY, marker="D", mfc="white", ls="", label="best expected"),
                Patch(facecolor="#f2f2f2", edgecolor="#999999", label="hull of the data"),
            ]
            legend(figure, handles)
    return axes


def comparison(found: Any, ax: Axes | np.ndarray | None = None) -> np.ndarray:
    """Gaps with intervals, benchmark by benchmark, and the probability that `a` is better.

    Parameters
    ----------
    found
        The answer.
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
    figure = new_figure(ax, (3.9 * len(pairs) + 0.9, 0.25 * len(pairs[0]) + 1.5))
    with plt.rc_context(STYLE):
        axes = panels(figure, ax, len(pairs), sharey=True)
        for axis, rows in zip(axes, pairs):
            y = np.arange(len(rows), dtype=float)
            y[-1] += 0.4  # the average, apart
            sure = (rows["p_a"] > 0.95) | (rows["p_a"] < 0.05)
            axis.axvline(0, color=_GREY, lw=0.9, zorder=1)
            axis.hlines(y, 100 * rows["lower"], 100 * rows["upper"], color=COLOURS[0], lw=1.5)
            axis.scatter(
                100 * rows["median"], y, s=28, zorder=3, linewidths=1.3, edgecolors=COLOURS[0],
                color=[COLOURS[0] if s else "white" for s in sure],
            )  # fmt: skip
            for at, p in zip(y, rows["p_a"]):
                axis.annotate(
                    f"{100 * p:.0f}%", (1.02, at), xycoords=("axes fraction", "data"),
                    va="center", fontsize=8, color="#333333",
                )  # fmt: skip
            axis.annotate(
                "P(a > b)", (1.02, -0.9), xycoords=("axes fraction", "data"), va="center",
                fontsize=8, color="#333333",
            )  # fmt: skip
            first = rows.iloc[0]
            axis.set_title(f"a: {first['a']}\nb: {first['b']}")
            axis.set(xlabel="gap, a less b (points)", ylim=(y[-1] + 0.6, -1.3))
            axis.set_yticks(y, rows["benchmark"])
            axis.grid(axis="y", visible=False)
            axis.tick_params(axis="y", length=0)
        if figure is not None:
            handles = [
                Line2D([], [], color=COLOURS[0], lw=1.5, label=f"{100 * found.prob:g}% interval"),
                Line2D([], [], color=COLOURS[0], marker="o", ls="", ms=5, label="sign certain"),
                Line2D([], [], color=COLOURS[0], marker="o", mfc="white", ls="", ms=5, label="not"),
            ]
            legend(figure, handles)
    return axes


def next_evaluation(found: Any, ax: Axes | np.ndarray | None = None, top: int = 12) -> np.ndarray:
    """The most useful measurements: the share of the target's variance that each takes away.

    Parameters
    ----------
    found
        The answer.
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
    from ..support.checks import check_positive

    check_positive(top, "top", "how many measurements to show")
    rows = found.frame.head(int(top))
    figure = new_figure(ax, (6.4, 0.27 * len(rows) + 1.6))
    models = list(dict.fromkeys(found.frame.sort_values("params_b")["model"]))
    with plt.rc_context(STYLE):
        axes = panels(figure, ax, 1)
        axis = axes[0]
        y = np.arange(len(rows))
        colours = [COLOURS[models.index(m) % len(COLOURS)] for m in rows["model"]]
        axis.barh(y, 100 * rows["reduction"], height=0.7, color=colours)
        for at, row in zip(y, rows.to_dict("records")):
            axis.annotate(
                f"sd {100 * row['sd_now']:.1f} to {100 * row['sd_after']:.1f}",
                (100 * row["reduction"], at), xytext=(4, 0), textcoords="offset points",
                va="center", fontsize=7.5, color="#333333",
            )  # fmt: skip
        axis.set_yticks(y, [f"{r['model']}, {r['benchmark']}" for r in rows.to_dict("records")])
        axis.set(
            ylim=(len(rows) - 0.4, -0.6), xlim=(0, 118), title=f"Forecast: {found.target}",
            xlabel="variance expected to go (%); standard deviations in points",
        )  # fmt: skip
        axis.set_xticks([0, 25, 50, 75, 100])
        axis.grid(axis="y", visible=False)
        axis.tick_params(axis="y", length=0)
        if figure is not None:
            cost = found.frame.drop_duplicates("model").set_index("model")["cost"]
            handles = [
                Patch(color=COLOURS[i % len(COLOURS)], label=f"{m}: cost {cost[m]:.2g}")
                for i, m in enumerate(models)
                if m in set(rows["model"])
            ]
            legend(figure, handles)
    return axes


# -- parts --------------------------------------------------------------------------------


def _unit(found: Any) -> tuple[float, str]:
    """Factor and unit of what is asked about: percent of scores, or sd of a skill."""
    return (1.0, "sd") if found.is_skill else (100.0, "%")


def _band(axis: Axes, curve: Any, column: str, factor: float) -> None:
    axis.fill_between(
        curve[column], factor * curve["lower"], factor * curve["upper"], color=COLOURS[0],
        alpha=0.2, lw=0,
    )  # fmt: skip
    axis.plot(curve[column], factor * curve["median"], color=COLOURS[0])


def _patch(label: str) -> Patch:
    return Patch(color=COLOURS[0], alpha=0.25, lw=0, label=label)


def _size_label(size: float) -> str:
    return f"required: {size:.3g}B" if np.isfinite(size) else "not reachable within the range"


def _log(axis: Axes, values: Any, label: str = "parameters (B)") -> None:
    axis.set(xscale="log", xlim=(values.min(), values.max()), xlabel=label)
    plain_ticks(axis.xaxis)


def _shade(axes: np.ndarray, found: Any, column: str) -> None:
    """What lies beyond the data, behind everything."""

    low, high = found.posterior.extent(column)
    for axis in axes:
        left, right = axis.get_xlim()
        if right > high:
            axis.axvspan(max(high, left), right, color="#eeeeee", lw=0, zorder=0)
        if left < low:
            axis.axvspan(left, min(low, right), color="#eeeeee", lw=0, zorder=0)
        axis.set_xlim(left, right)


def _one_budget(
    axis: Axes, found: Any, budget: float, objective: str, colour: str, rng: Any
) -> None:
    line = found.curves[
        (found.curves["budget"] == budget) & (found.curves["objective"] == objective)
    ]
    axis.plot(line["params_b"], line["tokens_t"], color=colour, lw=1.1, zorder=2)
    here = found.draws.sel(budget=budget, objective=objective)
    size, tokens = here["params_b"].values.ravel(), here["tokens_t"].values.ravel()
    some = rng.choice(size.size, min(_CLOUD, size.size), replace=False)
    spread = np.exp(rng.normal(0, 0.03, (2, some.size)))  # points of a line, told apart
    axis.plot(size[some] * spread[0], tokens[some] * spread[1], ".", color=colour, ms=2, alpha=0.5)
    row = found.frame[
        (found.frame["budget"] == budget) & (found.frame["objective"] == objective)
    ].iloc[0]
    axis.plot(
        row["params_b"], row["tokens_t"], "D", color="white", markeredgecolor=colour, ms=6,
        markeredgewidth=1.6, zorder=5,
    )  # fmt: skip


def _loss(axis: Axes, found: Any) -> None:
    curve, row = found.curves, found.frame.iloc[0]
    factor, unit = _unit(found)
    axis.fill_between(
        curve["params_b"], factor * curve["loss_lower"], factor * curve["loss_upper"],
        color=_BUDGETS[0], alpha=0.25, lw=0,
    )  # fmt: skip
    axis.plot(curve["params_b"], factor * curve["loss"], color=_BUDGETS[0])
    axis.axvline(row["params_b"], color=_GREY, lw=0.9, ls=":")
    unit = "points" if factor == 100 else unit
    axis.set(title="What is lost beside the best", ylabel=f"loss ({unit})", ylim=(0, None))
    _log(axis, curve["params_b"])
