"""Figures of a paper on prediction error, coverage and calibration (:mod:`sloth_bayes.figures`).

All come from the evaluation that ships and from the errors that the authors of the published
laws report, fold by fold. Standard errors resample families, the same in all settings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from ..evaluate.evaluation import LEAST_RELATIVE, load_evaluation
from ..evaluate.scoreboard import BEST_PUBLISHED, BY_BENCHMARK, PARTS
from ..plots import scores
from ..plots.style import COLOURS, STYLE
from .layout import flat, key, legend_below, name_rows, painted, paneled, refit
from .sources import SHORT, Drawing, Sources, mean_and_se, short_method, short_setting

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
_MOST = 15  # points: the end of the scale of heat maps


def errors(src: Sources) -> Drawing:
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
        f"errors (families resampled). Ours: {ours['mae']:.2f} (standard error {ours['se']:.2f}), "
        f"CRPS {last['crps']:.2f}; its 90% intervals cover {100 * last['cover_90']:.1f}% of "
        f"{int(last['cells']):,} scores. Best of {len(order) - 1} published methods: "
        f"{best['method']}, {best['mae']:.2f} ({best['se']:.2f}). Filled points: as their authors "
        "report; hollow: the same law refitted here."
    )
    titles = {"both": "All six settings", "one": "One model observed", "two": "Two observed"}

    @painted(0.155 * len(order) + 1.15, legend=_method_keys)
    def draw(figure: Figure, wide: bool) -> None:
        shown = list(titles) if wide else ["both"]
        axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for axis, n in zip(axes, shown):
            _error_rows(axis, frame[frame["n_observed"] == n], order)
            axis.set_title(titles[n])
            axis.set_xlabel("error (points)" if wide else "mean absolute error (points)")
        _name_methods(axes, order)

    return Drawing(frame, caption, draw)


def relative_errors(src: Sources) -> Drawing:
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
        f"(2024); bars are two standard errors (families resampled). Ours: {ours['mape']:.1f}% "
        f"(standard error {ours['se']:.1f}); best of {len(rivals)} laws refitted here: "
        f"{rivals['method'].iloc[0]}, {rivals['mape'].iloc[0]:.1f}% ({rivals['se'].iloc[0]:.1f}). "
        f"{left_out} of {len(cells):,} scores are below {100 * LEAST_RELATIVE:g}% and left out, "
        "where a relative error means nothing; of what is left, scores of a few percent weigh "
        "most. Of the published fits only errors in points are on record."
    )

    @painted(0.155 * len(order) + 1.0, legend=lambda: _method_keys()[::2])
    def draw(figure: Figure, wide: bool) -> None:
        axis = figure.subplots()
        _error_rows(axis, frame, order, "mape", barred=(OURS, "refitted here"))
        axis.set_xlabel("mean error (% of the score)")
        _name_methods([axis], order)

    return Drawing(frame, caption, draw)


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
        axis.plot(part[of], y, "o", ms=3.8, color=face, mec=colour, mew=0.9, zorder=3)
    axis.set_xlim(left=0)


def _name_methods(axes: Sequence[Axes], order: list[str]) -> None:
    name_rows(axes, [short_method(m) for m in order], 7)
    ours = axes[0].get_yticklabels()[order.index(OURS)]
    ours.set(fontweight="bold", color=COLOURS[0])


def _method_keys() -> list[Line2D]:
    return [
        key("this package", COLOURS[0], marker="o", ms=3.8, lw=1.1),
        key("published", _PUBLISHED, marker="o", ms=3.8, lw=1.1),
        key("refitted here", _REFIT, marker="o", mfc="white", ms=3.8, ls=""),
    ]


def errors_by_setting(src: Sources) -> Drawing:
    """Prediction error setting by setting (figures 12 and 16 to 18)."""
    found = src.methods
    frame = found[found["method"].isin(SELECTED) & (found["setting"] != "all")]
    wide_table = frame[frame["source"] != "refitted here"].pivot_table(
        index="method", columns=["setting", "n_observed"], values="mae"
    )
    lead = sum(wide_table[s].idxmin() == OURS for s in SETTINGS)
    listed = "; ".join(
        f"{short_setting(*s)}: {wide_table.loc[OURS, s]:.2f} against "
        f"{wide_table.drop(OURS)[s].min():.2f}"
        for s in SETTINGS
    )
    caption = (
        "Mean absolute error (points) by leaderboard and number of observed models, with two "
        f"standard errors (families resampled). Of the methods shown ours has the least error in "
        f"{lead} of 6 settings (ours against the best other; {listed}). Filled points are the "
        "authors' numbers, hollow ones refits made here."
    )

    labels = ("error (points)", "")

    @paneled(6, 1.35, 1.35, 0.6, labels, (3, 2), _method_keys, sharey=True, sharex=True)
    def draw(axes: np.ndarray, wide: bool) -> None:
        settings = SETTINGS if wide else [(s, n) for s, _ in SETTINGS[:3] for n in (1, 2)]
        for axis, (setting, n) in zip(axes, settings):
            here = frame[(frame["setting"] == setting) & (frame["n_observed"] == n)]
            _error_rows(axis, here, list(SELECTED))
            title = f"{short_setting(setting)}, {('one', 'two')[n - 1]}" + " observed" * wide
            axis.set_title(title, fontsize=8.5)
        top = (frame["mae"] + 2 * frame["se"].where(frame["source"] != "refitted here")).max()
        axes[0].set_xlim(0, 1.03 * top)
        for row in axes.reshape(-1, 3 if wide else 2):
            _name_methods(list(row), list(SELECTED))

    return Drawing(frame, caption, draw)


def _family_errors(src: Sources, n: int) -> Drawing:
    """Error by test family, one or two models observed (figures 13 to 18)."""
    frame = src.folds
    frame = frame[frame["method"].isin(SELECTED) & (frame["source"] != "refitted here")]
    frame = frame[frame["n_observed"] == n].drop(columns="source")
    frame["setting"] = frame["setting"].map(SHORT)
    table = frame.pivot_table(index=["setting", "fold"], columns="method", values="mae", sort=False)
    table = table[list(SELECTED)]
    setting, fold = table[OURS].idxmax()
    better = int((table[OURS] < table[BEST_PUBLISHED]).sum())
    caption = (
        f"Mean absolute error (points) by test family, {'one model' if n == 1 else 'two models'} "
        f"of it observed, on each leaderboard. Ours is below the best published configuration "
        f"({short_method(BEST_PUBLISHED)}) for {better} of {len(table)} families; its largest "
        f"error is {table[OURS].max():.1f} ({fold}, {setting})."
    )
    tables = {name: table.loc[name] for name in ("v1", "v2", "v1+v2")}
    rows = [len(part) for part in tables.values()]

    @painted(0.155 * max(rows) + 1.75, 0.15 * sum(rows) + 2.3)
    def draw(figure: Figure, wide: bool) -> None:
        shape, ratios = ((1, 3), None) if wide else ((3, 1), rows)
        axes = figure.subplots(*shape, height_ratios=ratios)
        for axis, (name, part) in zip(axes, tables.items()):
            image = _heat(axis, part, 6 if wide else 6.5)
            axis.set_title(f"Leaderboard {name}", fontsize=8.5)
            axis.set_xticks([])
        for axis in axes if wide else axes[-1:]:
            _slanted(axis, [short_method(m) for m in SELECTED], 6.5)
        _bar(figure, image, axes)

    return Drawing(frame, caption, draw)


family_errors_one, family_errors_two = (partial(_family_errors, n=n) for n in (1, 2))


def benchmark_errors(src: Sources) -> Drawing:
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
    means = table.mean()
    worst = frame.loc[frame["mae"].idxmax()]
    caption = (
        "Mean absolute error (points) of our forecasts by test family (all settings in which it "
        f"is tested) and benchmark. Mean over families: {means.min():.1f} on {means.idxmin()}, "
        f"{means.max():.1f} on {means.idxmax()}; the largest is {worst['mae']:.1f} "
        f"({worst['fold']}, {worst['benchmark']}). Blank: not tested."
    )

    @painted(0.165 * len(table) + 1.5)
    def draw(figure: Figure, wide: bool) -> None:
        axis = figure.subplots()
        image = _heat(axis, table, 7 if wide else 5.5)
        _slanted(axis, names, 7.5 if wide else 6.5)
        _bar(figure, image, [axis])

    return Drawing(frame, caption, draw)


def _heat(axis: Axes, table: pd.DataFrame, size: float) -> AxesImage:
    """A heat map of errors with its numbers; above `_MOST` all have one colour."""
    values = table.to_numpy(float)
    image = axis.imshow(values, cmap="cividis_r", vmin=0, vmax=_MOST, aspect="auto")
    for i, j in zip(*np.nonzero(np.isfinite(values))):
        ink = "white" if values[i, j] > 0.55 * _MOST else "black"
        axis.text(
            j, i, f"{values[i, j]:.1f}", ha="center", va="center", fontsize=size, color=ink
        )  # fmt: skip
    axis.set_yticks(range(len(table)), [_fold(str(name)) for name in table.index], fontsize=6.5)
    axis.grid(False)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return image


def _slanted(axis: Axes, names: list[str], size: float) -> None:
    """Names of columns."""
    axis.set_xticks(
        range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=size
    )  # fmt: skip


def _fold(name: str) -> str:
    """A fold by its first family, and how many variants are tested with it."""
    first, *others = name.split("+")
    return f"{first} +{len(others)}" if others else first


def _bar(figure: Figure, image: AxesImage, axes: Sequence[Axes]) -> None:
    bar = figure.colorbar(
        image, ax=axes, location="bottom", fraction=0.03, pad=0.02, aspect=40, extend="max"
    )
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(length=0, labelsize=7)
    bar.set_label("mean absolute error (points)", fontsize=8)


def shared_intercept(src: Sources) -> Drawing:
    """Is one intercept for all families enough? Benchmark by benchmark (figure 3)."""
    rows = src.by_benchmark
    rows = rows[(rows["n_observed"] == 1) & (rows["setting"] == "lb_v1v2")]
    frame = pd.concat(
        [
            mean_and_se(part).iloc[[-1]].assign(method=method, benchmark=benchmark)
            for (method, benchmark), part in rows.groupby(["method", "benchmark"], sort=False)
        ],
        ignore_index=True,
    )[["benchmark", "method", "mae", "se"]]
    paper = pd.DataFrame(PAPER_BY_BENCHMARK, index=list(BY_BENCHMARK)).unstack().rename("published")
    frame = frame.join(paper, on=["benchmark", "method"])
    flops, family, shared = BY_BENCHMARK
    table = frame.pivot(index="benchmark", columns="method", values="mae")
    gap = (table[shared] - table[family]).sort_values()
    order = gap.index.tolist()
    caption = (
        "Mean absolute error (points) by benchmark on both leaderboards together, with one "
        "observed model, of laws with one intercept for all families and with an intercept each "
        "(refitted here) and of this package; bars are two standard errors (families resampled), "
        "crosses the paper's numbers where it gives them. A shared intercept costs least on "
        f"{order[0]} ({gap.iloc[0]:.1f} points against a family intercept) and most on {order[-1]} "
        f"({gap.iloc[-1]:.1f}). Ours has the least error on {(table.idxmin(axis=1) == OURS).sum()} "
        f"of {len(table)} benchmarks."
    )
    kinds = {
        flops: ("FLOPs, shared intercept", COLOURS[1]),
        shared: ("Sloth d=4, shared", COLOURS[4]),
        family: ("Sloth d=3, family", COLOURS[2]),
        OURS: ("this package", COLOURS[0]),
    }

    def legend() -> list[Line2D]:
        ours = [key(*kind, marker="o", ms=3.6, lw=1.1) for kind in kinds.values()]
        return [*ours, key("paper", "black", marker="x", ls="", ms=3.6)]

    @painted(3.0, 5.2, legend)
    def draw(figure: Figure, wide: bool) -> None:
        axis = figure.subplots()
        places = np.arange(len(order), dtype=float)
        for k, (method, (_, colour)) in enumerate(kinds.items()):
            here = frame[frame["method"] == method].set_index("benchmark").loc[order]
            at, mae, ends = places + 0.19 * (k - 1.5), here["mae"], 2 * here["se"]
            (axis.vlines if wide else axis.hlines)(at, mae - ends, mae + ends, color=colour, lw=1.1)
            paper, turn = here["published"], 1 if wide else -1
            axis.plot(*(at, mae)[::turn], "o", color=colour, ms=3.6, zorder=3)
            axis.plot(*(at, paper)[::turn], "kx", ms=3.6, mew=0.9, zorder=4)
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

    return Drawing(frame, caption, draw)


def coverage(src: Sources) -> Drawing:
    """Coverage of intervals, by setting and for the harder splits (ours)."""
    parts = []
    for part in (p for p in PARTS if p != "loose"):
        found = load_evaluation("leaderboard", part)
        parts += [found.coverage(of).assign(part=part, of=of) for of in ("cells", "means")]
    frame = pd.concat(parts, ignore_index=True)
    # single settings: of the published protocol, and of single scores
    detailed = (frame["part"] == "strict") & (frame["of"] == "cells")
    frame = frame[detailed | (frame["setting"] == "all")].reset_index(drop=True)
    labels = [
        (short_setting(r.setting, r.n_observed) if r.part == "strict" else SHORT[r.part])
        + (", averages" if r.of == "means" else "")
        for r in frame.itertuples()
    ]
    frame.insert(0, "what", labels)
    share = 100 * frame.set_index(["what", "level"])["coverage"]
    caption = (
        "Share of scores inside our central intervals, with 95% intervals of a bootstrap over "
        "families; lines are what it should be. All six settings of the published protocol: "
        f"{share['all six', 0.9]:.1f}% in 90% intervals, "
        f"{share['all six', 0.5]:.1f}% in 50% intervals; lineages in turn "
        f"{share['lineages in turn', 0.9]:.1f}% in 90% intervals, families released since "
        f"March 2024 {share['since 2024-03', 0.9]:.1f}%. Averages are those of a model "
        f"over its benchmarks: {share['all six, averages', 0.9]:.1f}% in 90% intervals."
    )
    order = list(dict.fromkeys(frame["what"]))

    @painted(0.17 * len(order) + 0.95)
    def draw(figure: Figure, wide: bool) -> None:
        levels = sorted(frame["level"].unique()) if wide else [0.5, 0.9]
        axes = figure.subplots(1, len(levels), sharey=True)
        for axis, level in zip(axes, levels):
            here = frame[frame["level"] == level]
            y = here["what"].map(order.index)
            axis.axvline(100 * level, color=COLOURS[1], lw=1.1, zorder=1)
            axis.hlines(y, 100 * here["lower"], 100 * here["upper"], color=COLOURS[0], lw=1.2)
            axis.plot(100 * here["coverage"], y, "o", color=COLOURS[0], ms=3.8, zorder=3)
            axis.set_title(f"{100 * level:g}%" + " intervals" * wide)
            axis.set_xlabel("coverage (%)")
        name_rows(axes, order, 7)

    return Drawing(frame, caption, draw)


def calibration(src: Sources) -> Drawing:
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
        f"forecasts (PIT); {100 * (pit < 0.05).mean():.1f}% below the 5% quantile and "
        f"{100 * (pit > 0.95).mean():.1f}% above the 95% quantile, 5% each if calibrated."
    )

    def draw(wide: bool) -> Figure:
        f = found.frame
        settings = [short_setting(s, n) for s, n in zip(f["setting"], f["n_observed"])]
        shown = dataclasses.replace(found, frame=f.assign(setting=settings))
        axes = scores.calibration(shown, by="setting")
        figure = refit(axes, wide, 2.9, 2.75, extra=0.35)
        old = axes[0].get_legend()
        brief = ("95% band, if scores were independent", "95% band (independent)")
        names = [t.get_text().replace(*brief) for t in old.get_texts()]
        old.remove()
        with plt.rc_context(STYLE):
            legend_below(figure, old.legend_handles, names)
        return figure

    return Drawing(frame, caption, draw)
