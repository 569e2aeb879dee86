"""Figures of a paper on downstream tasks and test-time compute (:mod:`sloth_bayes.figures`).

Their forecasts are of models held out, so that each comes from a posterior of its own; fits take
minutes. What is drawn are the tables that the studies of the repository wrote, which ship.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from ..plots.style import COLOURS
from ..support.shipped import shipped
from ..table.samples import empirical, load_samples
from .layout import key, name_rows, painted, paneled
from .sources import Drawing, Sources, certain, needs

DOWNSTREAM, PASS_AT_K = "python -m studies.downstream", "python -m studies.passk"
_GREY, _PALE = "#555555", "#c4c4c4"
_SINGLE = ("HumanEval", "EQ-Bench")  # a handful of scores each: in one panel
_STUDIES = {"12b": "12B held out", "6.9b+12b": "6.9B and 12B held out"}  # of pass@k
_RECIPES = {  # columns of its curves: name, colour, line
    "paper": ("paper's recipe", COLOURS[1], "--"),
    "mean_rate": ("scaled mean rate", COLOURS[2], ":"),
}


def _table(pattern: str, command: str) -> pd.DataFrame:
    """Tables of a study that ship, one below the other."""
    folder = shipped("studies")
    paths = sorted(folder.glob(pattern))
    needs(bool(paths), f"the results of its study, {pattern}, are not in {folder}: run {command}")
    return pd.concat([pd.read_csv(p) for p in paths], ignore_index=True)


# -- downstream tasks -------------------------------------------------------------------------


def downstream(src: Sources) -> Drawing:
    """Forecasts of downstream tasks for models that did not train them (figure 6, appendix J)."""
    frame = _table("downstream/forecasts.csv", DOWNSTREAM)
    groups = frame["group"].where(~frame["group"].isin(_SINGLE), ", ".join(_SINGLE))
    listed = "; ".join(_scored(g, part) for g, part in frame.groupby("group", sort=False))
    caption = (
        "Scores on tasks outside the leaderboard against forecasts for models whose score did not "
        f"train the task: medians and 90% intervals. {listed}. CRPS in points; in brackets that of "
        "PCA regression and of a logistic curve of training FLOPs. For HumanEval and EQ-Bench "
        "Llama 3 70B (base and instruct) was left out of the law as well; elsewhere skills are "
        "those of the shipped posterior. The law of tasks was changed once after a first run on "
        f"BIG-bench, whose coverage is therefore not blind. Written by {DOWNSTREAM} --out DIR."
    )

    def legend() -> list[Artist]:
        dot = {"marker": "o", "ms": 3.5, "lw": 0.9}
        return [
            key("interval holds the score", COLOURS[0], **dot),
            key("it does not", COLOURS[1], **dot),
            key("forecast = score", _GREY, lw=0.8, ls="--"),
        ]

    labels = ("forecast (%)", "score (%)")

    @paneled(groups.nunique(), 1.95, 1.85, 0.45, labels, legend=legend)
    def draw(axes: np.ndarray, wide: bool) -> None:
        for axis, (group, part) in zip(axes, frame.groupby(groups, sort=False)):
            _against(axis, part)
            axis.set_title(group, fontsize=8.5)

    return Drawing(frame, caption, draw)


def _scored(group: str, part: pd.DataFrame) -> str:
    """Coverage and CRPS of a group, for the caption."""
    width = 100 * (part["upper"] - part["lower"]).mean()
    ours, pca, flops = (100 * part[c].mean() for c in ("crps", "crps_pca", "crps_flops"))
    return (
        f"{group}: {part['inside'].sum()} of {len(part)} scores in their intervals, {width:.0f} "
        f"points wide on average, CRPS {ours:.1f} ({pca:.1f}, {flops:.1f})"
    )


def _against(axis: Axes, rows: pd.DataFrame) -> None:
    """Scores against forecasts in percent; many are drawn fainter."""
    few = len(rows) < 10
    line: dict[str, Any] = {"lw": 1.2} if few else {"lw": 0.5, "alpha": 0.4}
    for inside, colour in ((True, COLOURS[0]), (False, COLOURS[1])):
        part = rows[rows["inside"] == inside]
        low, middle, high, y = (100 * part[c] for c in ("lower", "median", "upper", "score"))
        axis.hlines(y, low, high, color=colour, **line)
        axis.plot(middle, y, "o", color=colour, ms=4 if few else 2, mew=0, zorder=3, alpha=0.9)
    if few:
        _named(axis, rows)
    axis.plot([0, 100], [0, 100], color=_GREY, lw=0.8, ls="--", zorder=1)
    axis.set(xlim=(-3, 103), ylim=(-3, 103), xticks=[0, 50, 100], yticks=[0, 50, 100])


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


def downstream_weights(src: Sources) -> Drawing:
    """How much each skill counts for a downstream task (figure 6, appendix J)."""
    frame = _table("downstream/weights-*.csv", DOWNSTREAM)
    # HumanEval, the paper's appendix, and what else there is
    order = sorted(dict.fromkeys(frame["task"]), key=lambda t: (*_SINGLE, t).index(t))
    frame = frame.set_index("task").loc[order].reset_index()
    skills = list(dict.fromkeys(frame["skill"]))
    sure = certain(frame["p_positive"])
    first = frame[frame["task"] == order[0]]
    listed = "; ".join(
        f"{r.skill} {r.mean:.2f} ({r.lower:.2f} to {r.upper:.2f})" for r in first.itertuples()
    )
    poor = list(dict.fromkeys(frame.loc[~frame["ok"].astype(bool), "task"]))
    doubt = f" Too few of the sampler's points count for {', '.join(poor)}." if poor else ""
    caption = (
        f"Weights of skills in {len(order)} downstream tasks, in logits per standard deviation of "
        "skill: posterior means and 90% intervals; filled points have a certain sign (probability "
        f"above 0.95), {sure.sum()} of {len(frame)} have. {order[0]}: {listed}.{doubt} Weights are "
        "relative to skills that correlate, and a task is learned from few models. Written by "
        f"{DOWNSTREAM} --out DIR."
    )

    @painted(0.15 * len(order) + 0.75)
    def draw(figure: Figure, wide: bool) -> None:
        axes = figure.subplots(1, len(skills), sharex=True, sharey=True, squeeze=False)[0]
        at = np.arange(len(order))
        for axis, skill in zip(axes, skills):
            part = frame[frame["skill"] == skill].set_index("task").loc[order]
            axis.axvline(0, color=_GREY, lw=0.7)
            axis.hlines(at, part["lower"], part["upper"], color=COLOURS[0], lw=1.0)
            sign = certain(part["p_positive"]).to_numpy()
            for some, face in ((sign, COLOURS[0]), (~sign, "white")):
                dots = part["mean"][some], at[some]
                axis.plot(*dots, "o", ms=3.2, color=face, mec=COLOURS[0], mew=0.8, zorder=3)
            name = skill if wide else skill.replace(" + ", "\n+ ")
            axis.set_title(name, fontsize=8.5 if wide else 6)
        name_rows(axes, order, 7 if wide else 5.5)
        figure.supxlabel("weight (logits per SD of skill)", fontsize=9)

    return Drawing(frame, caption, draw)


# -- test-time compute ------------------------------------------------------------------------


def pass_at_k(src: Sources) -> Drawing:
    """Pass@k of held-out models: observed, forecast, and the paper's recipe (figure 7)."""
    found = _table("passk/passk_curves.csv", PASS_AT_K)
    frame = found[found["held_out"].isin(list(_STUDIES))]
    needs(len(frame) > 0, f"the results have no study {' or '.join(_STUDIES)}")
    curves = list(frame.groupby(["held_out", "model"]))
    listed = "; ".join(_erred(name, model, rows) for (name, model), rows in curves)
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
    n, labels = len(curves), ("samples k", "pass@k (%)")

    @paneled(n, 2.1, 1.75, 0.7, labels, (n, 1), _pass_at_k_keys, sharex=True, sharey=True)
    def draw(axes: np.ndarray, wide: bool) -> None:
        for axis, ((name, model), rows) in zip(axes, curves):
            held = frame.loc[frame["held_out"] == name, "model"]
            _curves(axis, rows, seen[~seen["model"].isin(held)])
            axis.set_title(f"{model}\n{_STUDIES[name]}", fontsize=8)

    return Drawing(frame, caption, draw)


def _erred(name: str, model: str, rows: pd.DataFrame) -> str:
    """Errors and coverage of a curve, for the caption."""
    scored = rows[rows["k"].isin([10**i for i in range(5)])]
    away = scored[["median", "paper", "mean_rate"]].sub(scored["observed"], axis=0).abs().mean()
    inside = rows["observed"].between(rows["lower"], rows["upper"])
    return (
        f"{model}, {_STUDIES[name]}: {', '.join(f'{100 * error:.1f}' for error in away)} "
        f"({inside.sum()} of {len(rows)} points inside the band)"
    )


def _curves(axis: Axes, rows: pd.DataFrame, seen: pd.DataFrame) -> None:
    """One held-out model; `seen` are counts of the others."""
    for _, part in empirical(seen).groupby("model"):
        axis.plot(part["k"], 100 * part["empirical"], color=_PALE, lw=0.7, zorder=1)
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
    axis.set(xscale="log", yscale="log", xlim=(0.9, 11000), ylim=(0.5, 130))
    axis.xaxis.set_major_locator(LogLocator(10, numticks=9))
    axis.yaxis.set_major_locator(FixedLocator([1, 10, 100]))
    for along, text in ((axis.xaxis, "{:,.0f}"), (axis.yaxis, "{:g}")):
        along.set_minor_locator(NullLocator())
        along.set_major_formatter(FuncFormatter(lambda v, _, text=text: text.format(v)))


def _pass_at_k_keys() -> list[Artist]:
    return [
        key("observed", "black", mfc="white", marker="o", ms=3, ls=""),
        key("forecast, median", COLOURS[0], lw=1.6),
        Patch(color=COLOURS[0], alpha=0.2, label="90% band"),
        *(key(label, colour, ls=line, lw=1.3) for label, colour, line in _RECIPES.values()),
        key("models with counts", _PALE, lw=0.9),
    ]
