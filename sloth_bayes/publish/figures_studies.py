"""Figures of a paper on downstream tasks and test-time compute (:mod:`sloth_bayes.figures`).

Their forecasts are of models held out, so that each comes from a posterior of its own; fits take
minutes. What is drawn are the tables that the studies of the repository wrote, which ship.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from ..plots.style import COLOURS, STYLE
from ..support.shipped import shipped
from ..table.samples import empirical, load_samples
from .sources import Drawn, Sources, flat, legend_below, needs, new_figure, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOWNSTREAM, PASS_AT_K = "python -m studies.downstream", "python -m studies.passk"
_GREY = "#8a8a8a"
_SINGLE = ("HumanEval", "EQ-Bench")  # a handful of scores each: in one panel
_STUDIES = {"12b": "12B held out", "6.9b+12b": "6.9B and 12B held out"}  # of pass@k
_RECIPES = {  # columns of its curves: name, colour, line
    "paper": ("paper's recipe", COLOURS[1], "--"),
    "mean_rate": ("scaled mean rate", COLOURS[2], ":"),
}


def _table(pattern: str, command: str) -> pd.DataFrame:
    """Tables of a study that ship, one below the other."""
    folder = shipped("models") / "leaderboard" / "evaluation"
    paths = sorted(folder.glob(pattern))
    needs(bool(paths), f"the results of its study, {pattern}, are not in {folder}: run {command}")
    return pd.concat([pd.read_csv(p) for p in paths], ignore_index=True)


# -- downstream tasks -------------------------------------------------------------------------


def downstream(src: Sources) -> Drawn:
    """Forecasts of downstream tasks for models that did not train them (figure 6, appendix J)."""
    frame = _table("downstream/forecasts.csv", DOWNSTREAM)
    groups = frame["group"].where(~frame["group"].isin(_SINGLE), ", ".join(_SINGLE))
    panels = list(frame.groupby(groups, sort=False))
    listed = "; ".join(_scored(g, part) for g, part in frame.groupby("group", sort=False))
    caption = (
        "Scores on tasks outside the leaderboard against forecasts for models whose score did not "
        f"train the task: medians and 90% intervals. {listed}. CRPS in points; in brackets that of "
        "PCA regression and of a logistic curve of training FLOPs. For HumanEval and EQ-Bench "
        "Llama 3 70B (base and instruct) was left out of the law as well; elsewhere skills are "
        "those of the shipped posterior. The law of tasks was changed once after a first run on "
        f"BIG-bench, whose coverage is therefore not blind. Written by {DOWNSTREAM} --out DIR."
    )

    def draw(wide: bool) -> Figure:
        ncols = min(len(panels), 4 if wide else 2)
        nrows = -(-len(panels) // ncols)
        figure = new_figure(wide, nrows * (1.95 if wide else 1.85) + 0.45)
        with plt.rc_context(STYLE):
            axes = figure.subplots(nrows, ncols, squeeze=False)
            for spare in axes.flat[len(panels) :]:
                figure.delaxes(spare)
            for i, (axis, (group, part)) in enumerate(zip(axes.flat, panels)):
                _against(axis, part)
                axis.set_title(group, fontsize=8.5)
                if i + ncols >= len(panels):
                    axis.set_xlabel("forecast (%)")
                if i % ncols == 0:
                    axis.set_ylabel("score (%)")
            legend_below(figure, [
                _dot(COLOURS[0], "interval holds the score"), _dot(COLOURS[1], "it does not"),
                Line2D([], [], color="#555555", lw=0.8, ls="--", label="forecast = score"),
            ])  # fmt: skip
        return figure

    return Drawn(frame, caption, draw)


def _scored(group: str, part: pd.DataFrame) -> str:
    """Coverage and CRPS of a group, for the caption."""
    crps = [number(100 * part[c].mean()) for c in ("crps", "crps_pca", "crps_flops")]
    width = number(100 * (part["upper"] - part["lower"]).mean(), 0)
    return (
        f"{group}: {int(part['inside'].sum())} of {len(part)} scores in their intervals, {width} "
        f"points wide on average, CRPS {crps[0]} ({crps[1]}, {crps[2]})"
    )


def _dot(colour: str, label: str) -> Line2D:
    return Line2D([], [], color=colour, marker="o", ms=3.5, lw=0.9, label=label)


def _against(axis: Axes, rows: pd.DataFrame) -> None:
    """Scores against forecasts in percent; many are drawn fainter."""
    few = len(rows) < 10
    for inside, colour in ((True, COLOURS[0]), (False, COLOURS[1])):
        part = rows[rows["inside"] == inside]
        y = 100 * part["score"]
        axis.hlines(
            y, 100 * part["lower"], 100 * part["upper"], color=colour, lw=1.2 if few else 0.5,
            alpha=1 if few else 0.4,
        )  # fmt: skip
        axis.plot(
            100 * part["median"], y, "o", color=colour, ms=4 if few else 2, mew=0, zorder=3,
            alpha=0.9,
        )  # fmt: skip
    if few:
        _named(axis, rows)
    axis.plot([0, 100], [0, 100], color="#555555", lw=0.8, ls="--", zorder=1)
    ticks = [0, 50, 100]
    axis.set(xlim=(-3, 103), ylim=(-3, 103), xticks=ticks, yticks=ticks)


def _named(axis: Axes, rows: pd.DataFrame) -> None:
    """What each interval is of: above the highest, below the others."""
    for i, r in enumerate(rows.sort_values("score", ascending=False).itertuples()):
        kind = "instruct" if str(r.model).endswith("instruct") else "base"
        axis.annotate(
            f"{r.task}, {kind}", (50 * (r.lower + r.upper), 100 * r.score),
            xytext=(0, -4 if i else 4), textcoords="offset points", fontsize=6.5, ha="center",
            va="top" if i else "bottom", zorder=2,
            bbox={"fc": "white", "ec": "none", "pad": 0.3},
        )  # fmt: skip


def downstream_weights(src: Sources) -> Drawn:
    """How much each skill counts for a downstream task (figure 6, appendix J)."""
    frame = _table("downstream/weights-*.csv", DOWNSTREAM)
    order = _tasks(frame)
    frame = frame.set_index("task").loc[order].reset_index()
    skills = list(dict.fromkeys(frame["skill"]))
    sure = frame[(frame["p_positive"] > 0.95) | (frame["p_positive"] < 0.05)]
    first = frame[frame["task"] == order[0]]
    listed = "; ".join(
        f"{r.skill} {number(r.mean, 2)} ({number(r.lower, 2)} to {number(r.upper, 2)})"
        for r in first.itertuples()
    )
    poor = list(dict.fromkeys(frame.loc[~frame["ok"].astype(bool), "task"]))
    doubt = f" Too few of the sampler's points count for {', '.join(poor)}." if poor else ""
    caption = (
        f"Weights of skills in {len(order)} downstream tasks, in logits per standard deviation of "
        "skill: posterior means and 90% intervals; filled points have a certain sign (probability "
        f"above 0.95), {len(sure)} of {len(frame)} have. {order[0]}: {listed}.{doubt} Weights are "
        "relative to skills that correlate, and a task is learned from few models. Written by "
        f"{DOWNSTREAM} --out DIR."
    )

    def draw(wide: bool) -> Figure:
        figure = new_figure(wide, 0.15 * len(order) + 0.75)
        with plt.rc_context(STYLE):
            axes = figure.subplots(1, len(skills), sharex=True, sharey=True, squeeze=False)[0]
            for axis, skill in zip(axes, skills):
                part = frame[frame["skill"] == skill].set_index("task").loc[order]
                at = np.arange(len(order))
                axis.axvline(0, color="#555555", lw=0.7)
                axis.hlines(at, part["lower"], part["upper"], color=COLOURS[0], lw=1.0)
                sign = part["p_positive"].sub(0.5).abs().gt(0.45).to_numpy()
                for some, face in ((sign, COLOURS[0]), (~sign, "white")):
                    axis.plot(
                        part["mean"][some], at[some], "o", ms=3.2, color=face, zorder=3,
                        markeredgecolor=COLOURS[0], markeredgewidth=0.8,
                    )  # fmt: skip
                name = skill if wide else skill.replace(" + ", "\n+ ")
                axis.set_title(name, fontsize=8.5 if wide else 6)
                flat(axis)
            axes[0].set_yticks(range(len(order)), order, fontsize=7 if wide else 5.5)
            axes[0].set_ylim(len(order) - 0.4, -0.6)
            figure.supxlabel("weight (logits per SD of skill)", fontsize=9)
        return figure

    return Drawn(frame, caption, draw)


def _tasks(frame: pd.DataFrame) -> list[str]:
    """Tasks in the order of the paper: HumanEval, its appendix, and what else there is."""
    tasks = list(dict.fromkeys(frame["task"]))
    return [t for t in _SINGLE if t in tasks] + [t for t in tasks if t not in _SINGLE]


# -- test-time compute ------------------------------------------------------------------------


def pass_at_k(src: Sources) -> Drawn:
    """Pass@k of held-out models: observed, forecast, and the paper's recipe (figure 7)."""
    found = _table("passk_curves.csv", PASS_AT_K)
    frame = found[found["held_out"].isin(list(_STUDIES))]
    needs(len(frame) > 0, f"the results have no study {' or '.join(_STUDIES)}")
    panels = list(frame.groupby(["held_out", "model"], sort=False).groups)
    panels.sort(key=lambda p: (list(_STUDIES).index(p[0]), p[1]))
    one = frame.set_index(["held_out", "model"])
    listed = "; ".join(_erred(name, model, one.loc[[(name, model)]]) for name, model in panels)
    seen = load_samples()
    caption = (
        "Share of 128 MATH problems that a model solves in k samples, for Pythia models held out "
        "of the counts and of the leaderboard table (their tuned twins too): median and 90% band "
        "of the forecast, the unbiased estimate from 10,000 samples a problem, and two forecasts "
        "from the same counts and mean skills: the paper's recipe, a logistic regression a "
        "problem, and one success rate for all problems. Mean absolute error in points over "
        f"k = 1, 10, ..., 10,000 of median, recipe and mean rate: {listed}. Grey: the models with "
        f"counts. Written by {PASS_AT_K} --out DIR, which says whether the chains converged."
    )

    def draw(wide: bool) -> Figure:
        ncols = len(panels) if wide else 1
        nrows = -(-len(panels) // ncols)
        figure = new_figure(wide, nrows * (2.1 if wide else 1.75) + 0.7)
        with plt.rc_context(STYLE):
            axes = figure.subplots(nrows, ncols, squeeze=False, sharex=True, sharey=True)
            for axis, (name, model) in zip(axes.flat, panels):
                here = set(one.loc[name].index)
                _curves(axis, one.loc[[(name, model)]], seen[~seen["model"].isin(here)])
                axis.set_title(f"{model}\n{_STUDIES[name]}", fontsize=8)
            for axis in axes[-1]:
                axis.set_xlabel("samples k")
            for axis in axes[:, 0]:
                axis.set_ylabel("pass@k (%)")
            legend_below(figure, _pass_at_k_handles())
        return figure

    return Drawn(frame, caption, draw)


def _erred(name: str, model: str, rows: pd.DataFrame) -> str:
    """Errors and coverage of a curve, for the caption."""
    scored = rows[rows["k"].isin([10**i for i in range(5)])]
    errors = [
        number(100 * (scored[c] - scored["observed"]).abs().mean())
        for c in ("median", "paper", "mean_rate")
    ]
    inside = (rows["lower"] <= rows["observed"]) & (rows["observed"] <= rows["upper"])
    return (
        f"{model}, {_STUDIES[name]}: {', '.join(errors)} ({int(inside.sum())} of "
        f"{len(rows)} points inside the band)"
    )


def _curves(axis: Axes, rows: pd.DataFrame, seen: pd.DataFrame) -> None:
    """One held-out model; `seen` are counts of the others."""
    for _, part in empirical(seen).groupby("model"):
        axis.plot(part["k"], 100 * part["empirical"], color="#c4c4c4", lw=0.7, zorder=1)
    axis.fill_between(
        rows["k"], 100 * rows["lower"], 100 * rows["upper"], color=COLOURS[0], alpha=0.2, lw=0
    )
    axis.plot(rows["k"], 100 * rows["median"], color=COLOURS[0], lw=1.6)
    scored = rows[rows["paper"].notna()]
    for column, (_, colour, line) in _RECIPES.items():
        axis.plot(scored["k"], 100 * scored[column], color=colour, ls=line, lw=1.3)
    axis.plot(
        rows["k"], 100 * rows["observed"], "o", color="black", mfc="white", ms=3, mew=0.8, zorder=4
    )
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set(xlim=(0.9, 11000), ylim=(0.5, 130))
    axis.xaxis.set_major_locator(LogLocator(10, numticks=9))
    axis.yaxis.set_major_locator(FixedLocator([1, 10, 100]))
    for along, text in ((axis.xaxis, "{:,.0f}"), (axis.yaxis, "{:g}")):
        along.set_minor_locator(NullLocator())
        along.set_major_formatter(FuncFormatter(lambda v, _, text=text: text.format(v)))


def _pass_at_k_handles() -> list[Line2D | Patch]:
    lines = [
        Line2D([], [], color=colour, ls=line, lw=1.3, label=label)
        for label, colour, line in _RECIPES.values()
    ]
    return [
        Line2D([], [], color="black", mfc="white", marker="o", ms=3, ls="", label="observed"),
        Line2D([], [], color=COLOURS[0], lw=1.6, label="forecast, median"),
        Patch(color=COLOURS[0], alpha=0.2, label="90% band"),
        *lines,
        Line2D([], [], color="#c4c4c4", lw=0.9, label="models with counts"),
    ]
