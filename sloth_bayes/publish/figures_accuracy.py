"""Figures of a paper on prediction error, coverage and calibration (:mod:`sloth_bayes.figures`).

All come from the evaluation that ships and from the errors that the authors of the published
laws report, fold by fold. Standard errors resample families, the same in all settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from ..evaluate.evaluation import LEAST_RELATIVE, load_evaluation
from ..evaluate.scoreboard import BEST_PUBLISHED, BY_BENCHMARK, PARTS
from ..plots import scores
from ..plots.style import COLOURS, STYLE
from .sources import (
    SHORT,
    Drawn,
    Sources,
    flat,
    legend_below,
    mean_and_se,
    new_figure,
    number,
    refit,
    short_method,
    short_setting,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OURS = "sloth_bayes"
SETTINGS = [(s, n) for n in (1, 2) for s in ("lb_v1", "lb_v2", "lb_v1v2")]
# Told apart in panels and heat maps: one of each kind, the better published variant of most
SELECTED = (
    OURS,
    BEST_PUBLISHED,
    "Size+Tokens, family intercept, trained link",
    "PCA+FLOPs d=2 (Ruan)",
    "FLOPs, family intercept, logistic",
    "FLOPs, shared intercept, logistic (Owen)",
)
# Maia Polo et al. (2024), figure 3: errors in points of the methods of BY_BENCHMARK
PAPER_BY_BENCHMARK = {
    "HellaSwag": (5.4, 4.4, 4.8),
    "TruthfulQA": (6.6, 5.0, 5.4),
    "BBH": (5.3, 2.5, 3.8),
    "MATH Lvl 5": (4.8, 1.6, 3.0),
    "GPQA": (2.7, 2.2, 2.2),
}
_PUBLISHED, _REFIT = "#444444", "#9a9a9a"


def errors(src: Sources) -> Drawn:
    """Prediction error of every method, with standard errors (figures 1 and 11)."""
    found = src.methods
    frame = found[found["setting"] == "all"].drop(columns="setting")
    frame["n_observed"] = frame["n_observed"].map({0: "both", 1: "one", 2: "two"})
    whole = frame[frame["n_observed"] == "both"]
    listed = whole[whole["source"] != "refitted here"].sort_values("mae")
    order = listed["method"].tolist()
    frame = frame[frame["method"].isin(order)]
    ours, best = listed[listed["method"] == OURS].iloc[0], listed[listed["method"] != OURS].iloc[0]
    last = src.strict.summary().iloc[-1]
    caption = (
        "Mean absolute error (points) of forecasts of larger models of a family from its one or "
        "two smallest, over the six settings of Maia Polo et al. (2024); bars are two standard "
        "errors (families resampled). Ours: "
        f"{number(ours['mae'], 2)} (standard error {number(ours['se'], 2)}), CRPS "
        f"{number(last['crps'], 2)}; its 90% intervals cover {number(100 * last['cover_90'])}% of "
        f"{int(last['cells']):,} scores. Best of {len(order) - 1} published methods: "
        f"{best['method']}, {number(best['mae'], 2)} ({number(best['se'], 2)}). Filled points: as "
        "their authors report; hollow: the same law refitted here."
    )

    def draw(wide: bool) -> Figure:
        figure = new_figure(wide, 0.155 * len(order) + 1.15)
        with plt.rc_context(STYLE):
            panels = [("both", "All six settings")]
            if wide:
                panels += [("one", "One model observed"), ("two", "Two observed")]
            axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
            for axis, (n, title) in zip(axes, panels):
                here = frame[frame["n_observed"] == n]
                _error_rows(axis, here, order)
                axis.set_title(title)
                axis.set_xlabel("error (points)" if wide else "mean absolute error (points)")
            _names(axes[0], order)
            legend_below(figure, _method_handles())
        return figure

    return Drawn(frame, caption, draw)


def relative_errors(src: Sources) -> Drawn:
    """Error relative to the score, of our forecasts and of laws refitted here (figure 10)."""
    rows = []
    for method, part in src.folds.dropna(subset="mape").groupby("method", sort=False):
        whole = mean_and_se(part, "mape").iloc[[-1]]
        rows.append(whole.assign(method=method, source=part["source"].iloc[0]))
    frame = pd.concat(rows, ignore_index=True).drop(columns=["setting", "n_observed"])
    frame = frame.sort_values("mape", ignore_index=True)
    order = frame["method"].tolist()
    ours, rivals = frame[frame["method"] == OURS].iloc[0], frame[frame["method"] != OURS]
    cells = src.strict.frame
    left_out = int((cells["score"] < LEAST_RELATIVE).sum())
    caption = (
        "Mean absolute error in percent of the score, over the six settings of Maia Polo et al. "
        "(2024); bars are two standard errors (families resampled). Ours: "
        f"{number(ours['mape'])}% (standard error {number(ours['se'])}); best of {len(rivals)} "
        f"laws refitted here: {rivals['method'].iloc[0]}, {number(rivals['mape'].iloc[0])}% "
        f"({number(rivals['se'].iloc[0])}). {left_out} of {len(cells):,} scores are below "
        f"{100 * LEAST_RELATIVE:g}% and left out, where a relative error means nothing; of what is "
        "left, scores of a few percent weigh most. Of the published fits only errors in points "
        "are on record."
    )

    def draw(wide: bool) -> Figure:
        figure = new_figure(wide, 0.155 * len(order) + 1.0)
        with plt.rc_context(STYLE):
            axis = figure.subplots()
            _error_rows(axis, frame, order, "mape", barred=(OURS, "refitted here"))
            axis.set_xlabel("mean error (% of the score)")
            _names(axis, order)
            handles = _method_handles()
            legend_below(figure, [handles[0], handles[2]])
        return figure

    return Drawn(frame, caption, draw)


def _error_rows(
    axis: Axes, rows: pd.DataFrame, order: list[str], of: str = "mae",
    barred: tuple[str, ...] = (OURS, "published"),
) -> None:  # fmt: skip
    """A row a method: error, of some sources with two standard errors either side."""
    place = {m: i for i, m in enumerate(order)}
    for source, colour, face in (
        ("refitted here", _REFIT, "white"),
        ("published", _PUBLISHED, _PUBLISHED),
        (OURS, COLOURS[0], COLOURS[0]),
    ):
        part = rows[rows["source"] == source]
        y = part["method"].map(place).to_numpy(float)
        if source in barred:
            ends = 2 * part["se"]
            axis.hlines(y, part[of] - ends, part[of] + ends, color=colour, lw=1.1)
        axis.plot(
            part[of], y, "o", ms=3.8, color=face, markeredgecolor=colour, markeredgewidth=0.9,
            zorder=3,
        )  # fmt: skip
    axis.set_ylim(len(order) - 0.4, -0.6)
    axis.set_xlim(left=0)
    flat(axis)


def _names(axis: Axes, order: list[str]) -> None:
    axis.set_yticks(range(len(order)), [short_method(m) for m in order])
    for text, method in zip(axis.get_yticklabels(), order):
        text.set_fontsize(7)
        if method == OURS:
            text.set_fontweight("bold")
            text.set_color(COLOURS[0])


def _method_handles() -> list[Line2D]:
    return [
        Line2D([], [], color=COLOURS[0], marker="o", ms=3.8, lw=1.1, label="this package"),
        Line2D([], [], color=_PUBLISHED, marker="o", ms=3.8, lw=1.1, label="published"),
        Line2D([], [], color=_REFIT, marker="o", mfc="white", ms=3.8, ls="", label="refitted here"),
    ]


def errors_by_setting(src: Sources) -> Drawn:
    """Prediction error setting by setting (figures 12 and 16 to 18)."""
    found = src.methods
    keep = found["method"].isin(SELECTED) & (found["setting"] != "all")
    frame = found[keep]
    order = list(SELECTED)
    wide_table = frame[frame["source"] != "refitted here"].pivot_table(
        index="method", columns=["setting", "n_observed"], values="mae"
    )
    lead = sum(wide_table[s].idxmin() == OURS for s in SETTINGS)
    listed = "; ".join(
        f"{short_setting(*s)}: {number(wide_table.loc[OURS, s], 2)} against "
        f"{number(wide_table.drop(OURS)[s].min(), 2)}"
        for s in SETTINGS
    )
    caption = (
        "Mean absolute error (points) by leaderboard and number of observed models, with two "
        f"standard errors (families resampled). Of the methods shown ours has the least error in "
        f"{lead} of 6 settings (ours against the best other; {listed}). Filled points are the "
        "authors' numbers, hollow ones refits made here."
    )

    def draw(wide: bool) -> Figure:
        nrows, ncols = (2, 3) if wide else (3, 2)
        figure = new_figure(wide, 1.35 * nrows + 0.6)
        settings = SETTINGS if wide else [(s, n) for s, _ in SETTINGS[:3] for n in (1, 2)]
        with plt.rc_context(STYLE):
            axes = figure.subplots(nrows, ncols, sharey=True, sharex=True)
            for axis, (setting, n) in zip(axes.flat, settings):
                here = frame[(frame["setting"] == setting) & (frame["n_observed"] == n)]
                _error_rows(axis, here, order)
                many = "one" if n == 1 else "two"
                name = f"{short_setting(setting)}, {many}" + " observed" * wide
                axis.set_title(name, fontsize=8.5)
            top = (frame["mae"] + 2 * frame["se"].where(frame["source"] != "refitted here")).max()
            axes[0, 0].set_xlim(0, 1.03 * top)
            for axis in axes[-1]:
                axis.set_xlabel("error (points)")
            for axis in axes[:, 0]:
                _names(axis, order)
            legend_below(figure, _method_handles())
        return figure

    return Drawn(frame, caption, draw)


def _family_errors(src: Sources, n: int) -> Drawn:
    """Error of a few methods, test family by test family."""
    folds = src.folds
    frame = folds[
        folds["method"].isin(SELECTED)
        & (folds["source"] != "refitted here")
        & (folds["n_observed"] == n)
    ].copy()
    frame["setting"] = frame["setting"].map(SHORT)
    wide_table = frame.pivot_table(
        index=["setting", "fold"], columns="method", values="mae", sort=False
    )
    wide_table = wide_table[list(SELECTED)]
    worst = wide_table[OURS].idxmax()
    better = int((wide_table[OURS] < wide_table[BEST_PUBLISHED]).sum())
    caption = (
        f"Mean absolute error (points) by test family, {'one model' if n == 1 else 'two models'} "
        f"of it observed, on each leaderboard. Ours is below the best published configuration "
        f"({short_method(BEST_PUBLISHED)}) for {better} of {len(wide_table)} families; its "
        f"largest error is {number(wide_table[OURS].max())} ({worst[1]}, {worst[0]})."
    )

    def draw(wide: bool) -> Figure:
        names = ["v1", "v2", "v1+v2"]
        tables = [wide_table.loc[s] for s in names]
        rows = [len(t) for t in tables]
        height = 0.155 * max(rows) + 1.75 if wide else 0.15 * sum(rows) + 2.3
        figure = new_figure(wide, height)
        with plt.rc_context(STYLE):
            ratios = None if wide else rows
            axes = figure.subplots(*((1, 3) if wide else (3, 1)), height_ratios=ratios)
            for i, (axis, name, table) in enumerate(zip(axes, names, tables)):
                image = _heat(axis, table, vmax=15, size=6 if wide else 6.5)
                axis.set_title(f"Leaderboard {name}", fontsize=8.5)
                if wide or i == 2:
                    axis.set_xticks(
                        range(len(SELECTED)), [short_method(m) for m in SELECTED], rotation=45,
                        ha="right", rotation_mode="anchor", fontsize=6.5,
                    )  # fmt: skip
                else:
                    axis.set_xticks([])
            _bar(figure, image, axes, "mean absolute error (points)")
        return figure

    return Drawn(frame.drop(columns="source"), caption, draw)


def family_errors_one(src: Sources) -> Drawn:
    """Error by test family, one model observed (figures 13 to 15)."""
    return _family_errors(src, 1)


def family_errors_two(src: Sources) -> Drawn:
    """Error by test family, two models observed (figures 17 and 18)."""
    return _family_errors(src, 2)


def benchmark_errors(src: Sources) -> Drawn:
    """Our error by test family and benchmark (a heat map)."""
    f = src.strict.frame
    lineage = f["fold"].str.split("+").str[0]
    grouped = f.assign(fold=lineage).groupby(["fold", "benchmark"], sort=False)
    frame = (100 * grouped[["error", "width_90"]].mean()).rename(columns={"error": "mae"})
    frame["cover_90"], frame["cells"] = grouped["covered_90"].mean(), grouped.size()
    frame = frame.reset_index()
    names = list(dict.fromkeys(f["benchmark"]))
    table = frame.pivot(index="fold", columns="benchmark", values="mae")[names]
    table = table.loc[table.mean(axis=1).sort_values().index]
    hardest, easiest = table.mean().idxmax(), table.mean().idxmin()
    worst = frame.loc[frame["mae"].idxmax()]
    caption = (
        "Mean absolute error (points) of our forecasts by test family (all settings in which it "
        f"is tested) and benchmark. Mean over families: {number(table.mean()[easiest])} on "
        f"{easiest}, {number(table.mean()[hardest])} on {hardest}; the largest is "
        f"{number(worst['mae'])} ({worst['fold']}, {worst['benchmark']}). Blank: not tested."
    )

    def draw(wide: bool) -> Figure:
        figure = new_figure(wide, 0.165 * len(table) + 1.5)
        with plt.rc_context(STYLE):
            axis = figure.subplots()
            image = _heat(axis, table, vmax=15, size=7 if wide else 5.5)
            axis.set_xticks(
                range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor",
                fontsize=7.5 if wide else 6.5,
            )  # fmt: skip
            _bar(figure, image, [axis], "mean absolute error (points)")
        return figure

    return Drawn(frame, caption, draw)


def _heat(axis: Axes, table: pd.DataFrame, vmax: float, size: float):  # type: ignore[no-untyped-def]
    """A heat map with its numbers; values above `vmax` have its colour."""
    values = table.to_numpy(float)
    image = axis.imshow(values, cmap="cividis_r", vmin=0, vmax=vmax, aspect="auto")
    for i, j in zip(*np.nonzero(np.isfinite(values))):
        ink = "white" if values[i, j] > 0.55 * vmax else "black"
        axis.text(
            j, i, f"{values[i, j]:.1f}", ha="center", va="center", fontsize=size, color=ink
        )  # fmt: skip
    axis.set_yticks(range(len(table)), [_fold(str(name)) for name in table.index], fontsize=6.5)
    axis.grid(False)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return image


def _fold(name: str) -> str:
    """A fold by its first family, and how many variants are tested with it."""
    first, *others = name.split("+")
    return f"{first} +{len(others)}" if others else first


def _bar(figure: Figure, image, axes, label: str) -> None:  # type: ignore[no-untyped-def]
    bar = figure.colorbar(
        image, ax=axes, location="bottom", fraction=0.03, pad=0.02, aspect=40, extend="max"
    )
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(length=0, labelsize=7)
    bar.set_label(label, fontsize=8)


def shared_intercept(src: Sources) -> Drawn:
    """Is one intercept for all families enough? Benchmark by benchmark (figure 3)."""
    rows = src.by_benchmark
    rows = rows[(rows["n_observed"] == 1) & (rows["setting"] == "lb_v1v2")]
    parts = []
    for (method, benchmark), part in rows.groupby(["method", "benchmark"], sort=False):
        last = mean_and_se(part).iloc[-1]
        parts.append(
            {"benchmark": benchmark, "method": method, "mae": last["mae"], "se": last["se"]}
        )
    frame = pd.DataFrame(parts)
    paper = {
        (b, m): v for b, values in PAPER_BY_BENCHMARK.items() for m, v in zip(BY_BENCHMARK, values)
    }
    frame["published"] = [paper.get(key) for key in zip(frame["benchmark"], frame["method"])]
    flops, family, shared = BY_BENCHMARK
    table = frame.pivot(index="benchmark", columns="method", values="mae")
    order = (table[shared] - table[family]).sort_values().index.tolist()
    gap = (table[shared] - table[family]).loc[order]
    best = table.idxmin(axis=1)
    caption = (
        "Mean absolute error (points) by benchmark on both leaderboards together, with one "
        "observed model, of laws with one intercept for all families and with an intercept each "
        "(refitted here) and of this package; bars are two standard errors (families resampled), "
        "crosses the paper's numbers "
        f"where it gives them. A shared intercept costs least on {order[0]} "
        f"({number(gap.iloc[0])} points against a family intercept) and most on {order[-1]} "
        f"({number(gap.iloc[-1])}). Ours has the least error on {int((best == OURS).sum())} of "
        f"{len(table)} benchmarks."
    )
    kinds = [
        (flops, COLOURS[1], "FLOPs, shared intercept"),
        (shared, COLOURS[4], "Sloth d=4, shared"),
        (family, COLOURS[2], "Sloth d=3, family"),
        (OURS, COLOURS[0], "this package"),
    ]

    def draw(wide: bool) -> Figure:
        figure = new_figure(wide, 3.0 if wide else 5.2)
        with plt.rc_context(STYLE):
            axis = figure.subplots()
            places = np.arange(len(order), dtype=float)
            for k, (method, colour, label) in enumerate(kinds):
                here = frame[frame["method"] == method].set_index("benchmark").loc[order]
                at = places + 0.19 * (k - 1.5)
                ends = 2 * here["se"].to_numpy()
                mae, theirs = here["mae"].to_numpy(), here["published"].to_numpy(float)
                lines = axis.vlines if wide else axis.hlines
                lines(at, mae - ends, mae + ends, color=colour, lw=1.1)
                both = (at, mae) if wide else (mae, at)
                axis.plot(*both, "o", color=colour, ms=3.6, label=label, zorder=3)
                cross = (at, theirs) if wide else (theirs, at)
                axis.plot(*cross, "x", color="black", ms=3.6, mew=0.9, zorder=4)
            if wide:
                axis.set_xticks(places, order, rotation=30, ha="right", rotation_mode="anchor")
                axis.set_ylabel("mean absolute error (points)")
                axis.set_ylim(bottom=0)
                flat(axis, "x")
            else:
                axis.set_yticks(places, order)
                axis.set_xlabel("mean absolute error (points)")
                axis.set_xlim(left=0)
                axis.set_ylim(len(order) - 0.45, -0.55)
                flat(axis)
            handles = [
                Line2D([], [], color=c, marker="o", ms=3.6, lw=1.1, label=name)
                for _, c, name in kinds
            ]
            handles.append(Line2D([], [], color="black", marker="x", ls="", ms=3.6, label="paper"))
            legend_below(figure, handles)
        return figure

    return Drawn(frame, caption, draw)


def coverage(src: Sources) -> Drawn:
    """Coverage of intervals, by setting and for the harder splits (ours)."""
    parts = []
    for part in PARTS:
        if part == "loose":
            continue
        found = load_evaluation("leaderboard", part)
        for of in ("cells", "means"):
            rows = found.coverage(of)
            if part != "strict":
                rows = rows[rows["setting"] == "all"]
            parts.append(rows.assign(part=part, of=of))
    frame = pd.concat(parts, ignore_index=True)
    frame = frame[(frame["of"] == "cells") | (frame["setting"] == "all")].reset_index(drop=True)
    labels = []
    for row in frame.itertuples():
        name = short_setting(row.setting, row.n_observed) if row.part == "strict" else ""
        name = name or SHORT[row.part]
        labels.append(name + (", averages" if row.of == "means" else ""))
    frame.insert(0, "what", labels)
    key = frame.set_index(["what", "level"])["coverage"]
    caption = (
        "Share of scores inside our central intervals, with 95% intervals of a bootstrap over "
        "families; lines are what it should be. All six settings of the published protocol: "
        f"{number(100 * key['all six', 0.9])}% in 90% intervals, "
        f"{number(100 * key['all six', 0.5])}% in 50% intervals; lineages in turn "
        f"{number(100 * key['lineages in turn', 0.9])}% in 90% intervals, families released since "
        f"March 2024 {number(100 * key['since 2024-03', 0.9])}%. Averages are those of a model "
        f"over its benchmarks: {number(100 * key['all six, averages', 0.9])}% in 90% intervals."
    )
    order = list(dict.fromkeys(frame["what"]))

    def draw(wide: bool) -> Figure:
        figure = new_figure(wide, 0.17 * len(order) + 0.95)
        levels = sorted(frame["level"].unique()) if wide else [0.5, 0.9]
        with plt.rc_context(STYLE):
            axes = figure.subplots(1, len(levels), sharey=True)
            for axis, level in zip(axes, levels):
                here = frame[frame["level"] == level]
                y = here["what"].map(order.index)
                axis.axvline(100 * level, color=COLOURS[1], lw=1.1, zorder=1)
                low, high = 100 * here["lower"], 100 * here["upper"]
                axis.hlines(y, low, high, color=COLOURS[0], lw=1.2)
                axis.plot(100 * here["coverage"], y, "o", color=COLOURS[0], ms=3.8, zorder=3)
                axis.set_title(f"{100 * level:g}% intervals" if wide else f"{100 * level:g}%")
                axis.set_xlabel("coverage (%)")
                axis.set_ylim(len(order) - 0.4, -0.6)
                flat(axis)
            axes[0].set_yticks(range(len(order)), order, fontsize=7)
        return figure

    return Drawn(frame, caption, draw)


def calibration(src: Sources) -> Drawn:
    """Calibration curve and PIT histogram (ours)."""
    found = src.strict
    curve = found.calibration()
    pit = found.frame["pit"].dropna().to_numpy(float)
    counts, edges = np.histogram(pit, bins=20, range=(0, 1))
    bins = pd.DataFrame({"what": "PIT", "level": edges[:-1], "observed": counts / pit.size})
    frame = pd.concat([curve.assign(what="calibration"), bins], ignore_index=True)
    outside = (curve["observed"] < curve["lower"]) | (curve["observed"] > curve["upper"])
    caption = (
        "Left: share of scores at or below each forecast quantile, over all settings and by "
        "setting, with a 95% simultaneous band for independent scores (scores of a family share "
        f"its luck, so that a calibrated forecast leaves it more often): {int(outside.sum())} of "
        f"{len(curve)} levels lie outside it. Right: where the {pit.size:,} scores fell in their "
        f"forecasts (PIT); {number(100 * (pit < 0.05).mean())}% below the 5% quantile and "
        f"{number(100 * (pit > 0.95).mean())}% above the 95% quantile, 5% each if calibrated."
    )

    def draw(wide: bool) -> Figure:
        labelled = found.frame.assign(
            setting=[short_setting(s, n) for s, n in zip(
                found.frame["setting"], found.frame["n_observed"])]
        )  # fmt: skip
        shown = type(found)(labelled, found.means, found.about)
        axes = scores.calibration(shown, by="setting")
        figure = refit(axes, wide, 2 if wide else 1, 2.9 if wide else 2.75, extra=0.35)
        old = axes[0].get_legend()
        handles = old.legend_handles
        names = [
            t.get_text().replace("95% band, if scores were independent", "95% band (independent)")
            for t in old.get_texts()
        ]
        old.remove()
        with plt.rc_context(STYLE):
            legend_below(figure, handles, names)
        return figure

    return Drawn(frame, caption, draw)
