"""Figures of a paper on the law and its skills (:mod:`sloth_bayes.figures`).

All come from one posterior; most are those of :mod:`sloth_bayes.plots`, laid out for a paper.
"""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from ..api import Posterior
from ..law import equations, terms
from ..plan.curves import FLOPS
from ..plots import skills as skill_plots
from ..plots.panels import plain_ticks
from ..plots.style import COLOURS
from ..support.intervals import summarise
from .layout import key, name_rows, painted, paneled, refit
from .paper_budgets import paper_table
from .sources import LEVEL, Drawing, Sources, certain, needs

_GREY, _DARK, _PALE = "#777777", "#444444", "#c4c4c4"
_ENDS = ("median", "lower", "upper")
_PERCENT = f"{100 * LEVEL:g}%"
_FIGURE_8_AND_9 = ("MMLU-PRO", "BBH")
_SATURATED = 0.01  # a doubling that gains less than a point


# -- skills -----------------------------------------------------------------------------------


def loadings(src: Sources) -> Drawing:
    """Loadings of the benchmarks on the skills (figure 2)."""
    skills = src.skills
    frame = skills.loadings()
    sure = certain(frame["p_positive"])
    tops = "; ".join(
        f"{name}: {part.loc[part['mean'].idxmax(), 'benchmark']} {part['mean'].max():.2f}"
        for name, part in frame.groupby("skill", sort=False)
    )
    caption = (
        f"Loadings of {len(skills.benchmarks)} benchmarks on {len(skills.names)} skills after "
        f"{skills.rotation} rotation, in logits per standard deviation of skill over the models of "
        f"the table; the edges of a cell are the ends of its {_PERCENT} interval, grey numbers "
        f"have no certain sign. The sign of {sure.sum()} of {len(frame)} loadings is certain "
        f"(probability above 0.95). Largest on each skill: {tops}."
    )

    def draw(wide: bool) -> Figure:
        axes = skill_plots.loadings(skills)
        axes[0].figure.axes[-1].yaxis.labelpad = 12  # its two lines, clear of the numbers
        if not wide:
            axes[0].tick_params(axis="x", labelsize=6.5)
            axes[0].tick_params(axis="y", labelsize=7.5)
        return refit(axes, wide, 0.26 * len(skills.benchmarks) + 0.8, extra=0.1)

    return Drawing(frame, caption, draw)


def loadings_intervals(src: Sources) -> Drawing:
    """Loadings with their intervals, a panel a skill (figure 2)."""
    skills = src.skills
    frame = pd.concat([skills.loadings(LEVEL), skills.loadings(0.5)], ignore_index=True)
    width = (frame["upper"] - frame["lower"])[frame["prob"] == LEVEL]
    most = frame.loc[width.idxmax()]
    caption = (
        f"Posterior medians of the loadings with {_PERCENT} (thin) and 50% (thick) intervals; "
        f"filled points have a certain sign (probability above 0.95). Median width of a {_PERCENT} "
        f"interval: {width.median():.2f} logits; widest: {most['benchmark']} on {most['skill']} "
        f"({most['lower']:.2f} to {most['upper']:.2f})."
    )

    def draw(wide: bool) -> Figure:
        height = 0.19 * len(skills.benchmarks) + 0.55
        return refit(skill_plots.loadings_forest(skills), wide, height)

    return Drawing(frame, caption, draw)


def skill_correlations(src: Sources) -> Drawing:
    """Correlations of the skills over the models of the table (section 4.3)."""
    skills = src.skills
    needs(len(skills.names) > 1, "one skill has no correlation")
    frame = skills.correlations()
    listed = "; ".join(
        f"{r.skill} and {r.with_skill} {r.mean:.2f} ({r.lower:.2f} to {r.upper:.2f})"
        for r in frame.itertuples()
    )
    caption = (
        "Posterior densities of the correlations of the skills over the models of the table, with "
        f"medians and {_PERCENT} intervals: {listed}."
    )

    def draw(wide: bool) -> Figure:
        axes = skill_plots.skill_correlations(skills)
        axes[0].set_title("", loc="left")
        axes[0].set_xlabel("correlation over models")
        return refit(axes, wide, 0.55 * len(frame) + 0.9, extra=0)

    return Drawing(frame, caption, draw)


def level_curves(src: Sources) -> Drawing:
    """Level curves of the skills over size and tokens (figure 4)."""
    skills = src.skills
    needs(src.posterior.spec.inputs != "size", "this law has no tokens: there are no level curves")
    models = skills.models().drop_duplicates("model")
    grid = [np.geomspace(models[c].min(), models[c].max(), 25) for c in ("params_b", "tokens_t")]
    surface = skills.surface(*grid).transpose(..., "skill", "params_b", "tokens_t").values
    found = summarise(surface.reshape(-1, *surface.shape[2:]), LEVEL)
    names = ["skill", "params_b", "tokens_t"]
    cells = pd.MultiIndex.from_product([skills.names, *grid], names=names).to_frame(index=False)
    frame = cells.assign(**{column: found[column].ravel() for column in _ENDS}, prob=LEVEL)
    spans = "; ".join(
        f"{n} {g['median'].min():.1f} to {g['median'].max():.1f}"
        for n, g in frame.groupby("skill", sort=False)
    )
    caption = (
        "Level curves of the skills over model size (billions of parameters) and training tokens "
        "(trillions), without the family, in standard deviations over the models of the table; "
        f"bands show where a curve may run ({_PERCENT}), dots are models, hatching has no data. "
        f"Posterior medians over the rectangle of the data span: {spans}."
    )

    return Drawing(
        frame, caption, lambda wide: refit(skill_plots.level_curves(skills), wide, 2.5, 2.1)
    )


def base_and_tuned(src: Sources) -> Drawing:
    """Skills of tuned models against their base models (figure 5)."""
    skills = src.skills
    pairs = skill_plots.model_pairs(skills)
    needs(not pairs.empty, "no lineage has a base and a tuned model of one size")
    models = skills.models().set_index(["model", "skill"])
    place = {m: i for i, m in enumerate(src.posterior.models)}
    values = skills.merged("model_skill")
    gain = values[:, pairs["tuned"].map(place)] - values[:, pairs["base"].map(place)]
    parts = []
    for k, name in enumerate(skills.names):
        part = pairs.assign(skill=name)
        for kind in ("base", "tuned"):
            here = models.loc[[(m, name) for m in pairs[kind]], ["mean", "lower", "upper"]]
            part[[f"{kind}_{column}" for column in here]] = here.to_numpy()
        found = summarise(gain[..., k], LEVEL)
        part["gain"], part["gain_lower"], part["gain_upper"], part["p_gain"] = (
            found[c] for c in ("mean", "lower", "upper", "p_positive")
        )
        parts.append(part.assign(prob=LEVEL))
    frame = pd.concat(parts, ignore_index=True)
    listed = "; ".join(
        f"{n}: up in {(g['p_gain'] > 0.95).sum()} and down in {(g['p_gain'] < 0.05).sum()} "
        f"of {len(g)} pairs, mean gain {g['gain'].mean():.2f}"
        for n, g in frame.groupby("skill", sort=False)
    )
    caption = (
        "Skills of tuned models against their base models of one size, in standard deviations over "
        f"the models of the table, with {_PERCENT} intervals; filled points changed with certainty "
        f"(probability above 0.95). {listed[0].upper()}{listed[1:]}."
    )

    return Drawing(
        frame, caption, lambda wide: refit(skill_plots.base_and_tuned(skills), wide, 2.5, 2.7)
    )


def skills_and_compute(src: Sources) -> Drawing:
    """Skills of families against training compute (ours)."""
    skills = src.skills
    frame = skills.models()
    frame["flops"] = _flops(frame)
    best = frame.loc[frame.groupby("skill", sort=False)["mean"].idxmax()]
    listed = "; ".join(f"{r.skill}: {r.model} ({r.mean:.1f})" for r in best.itertuples())
    caption = (
        "Skills of the models of the table against training compute (6 x parameters x tokens, "
        f"FLOPs), with {_PERCENT} intervals for the families coloured. Highest: {listed}."
    )

    return Drawing(
        frame,
        caption,
        lambda wide: refit(skill_plots.skills_and_compute(skills), wide, 2.3, 2.0, extra=0.5),
    )


def _flops(models: pd.DataFrame) -> pd.Series:
    return FLOPS * models["params_b"] * models["tokens_t"] * 1e21


# -- law and links ----------------------------------------------------------------------------


def inputs(src: Sources) -> Drawing:
    """Scores against size, tokens and compute, with the fitted law (figures 8 and 9)."""
    post = src.posterior
    names = [b for b in _FIGURE_8_AND_9 if b in post.benchmarks]
    names = (names + [b for b in post.benchmarks if b not in names])[:2]
    models = post.constant_data[["family_of_model", "instruct", "params_b", "tokens_t"]]
    models = models.to_dataframe().reset_index().rename(columns={"family_of_model": "family"})
    models = models.astype({"model": str, "family": str, "instruct": bool})
    mu = np.concatenate([post.expected(post.known_effects(), s)[0]
                         for s in post.blocks(len(models))], axis=1)  # fmt: skip
    scores = post.tree["observed_data"].to_dataset().to_dataframe()
    scores = scores.rename(columns={"obs_model": "model", "obs_benchmark": "benchmark"})
    scores = scores[["model", "benchmark", "score"]]
    parts = []
    for name in names:
        found = summarise(mu[..., post.benchmarks.index(name)], LEVEL)
        part = models.assign(benchmark=name, **{c: found[c] for c in _ENDS}, prob=LEVEL)
        parts.append(part.merge(scores, on=["model", "benchmark"]))
    frame = pd.concat(parts, ignore_index=True).rename(columns={"median": "expected"})
    frame["flops"] = _flops(frame)
    needs(not frame.empty, f"no model of this posterior has a score on {' or '.join(names)}")
    shown = _families_to_show(frame)
    listed = []
    for name in names:
        here = frame[frame["benchmark"] == name]
        r = np.corrcoef(np.log(here["flops"]), here["score"])[0, 1]
        off = 100 * (here["score"] - here["expected"]).abs().mean()
        listed.append(
            f"{name}: correlation of score and log compute {r:.2f}, mean distance from the "
            f"fitted law {off:.1f} points ({len(here)} models)"
        )
    caption = (
        "Scores against model size, training tokens and compute. Lines join the expected scores "
        f"of the models of a family under the fitted law, with {_PERCENT} bands; against tokens, "
        "where the models of a family were mostly trained on the same number, bars are its "
        f"intervals. {'; '.join(listed)}."
    )
    labels = {
        "params_b": "parameters (B)", "tokens_t": "tokens (T)", "flops": "compute (FLOPs)",
    }  # fmt: skip

    def legend() -> list[Artist]:
        families = [key(f, c, marker="o", ms=3.2, lw=1.1) for f, c in zip(shown, COLOURS)]
        return [*families, key("others", _PALE, marker=".", ls="")]

    @painted(1.8 * len(names) + 0.6, 1.8 * 3 + 0.6, legend)
    def draw(figure: Figure, wide: bool) -> None:
        shape = (len(names), 3) if wide else (3, len(names))
        axes = figure.subplots(*shape, squeeze=False, sharey="row" if wide else "col")
        for row, name in zip(axes if wide else axes.T, names):
            here = frame[frame["benchmark"] == name]
            row[0].set_title(name)
            for axis, (column, label) in zip(row, labels.items()):
                axis.plot(here[column], 100 * here["score"], ".", color=_PALE, ms=3)
                for family, colour in zip(shown, COLOURS):
                    _family_law(axis, here[here["family"] == family], column, colour)
                axis.set_xscale("log")
                _log_ticks(axis.xaxis, column == "flops")
                axis.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
                axis.set_xlabel(label)
        for axis in axes[:, 0]:
            axis.set_ylabel("score (%)")

    return Drawing(frame, caption, draw)


def _families_to_show(frame: pd.DataFrame) -> list[str]:
    """Families with the most models, base ones first if there are enough."""
    base = frame[~frame["instruct"]]
    base = base if base["family"].nunique() >= 3 else frame
    grouped = base.drop_duplicates("model").groupby("family")["flops"]
    table = grouped.agg(["size", "max"]).sort_values(["size", "max"], ascending=False)
    return [str(f) for f in table.index[:6]]


def _family_law(axis: Axes, rows: pd.DataFrame, column: str, colour: str) -> None:
    rows = rows.sort_values([column, "params_b"])
    x = rows[column].to_numpy()
    low, middle, high = (100 * rows[c].to_numpy() for c in ("lower", "expected", "upper"))
    if column == "tokens_t":
        axis.vlines(x, low, high, color=colour, lw=1.0, alpha=0.5)
    else:
        axis.fill_between(x, low, high, color=colour, alpha=0.18, lw=0)
        axis.plot(x, middle, color=colour, lw=1.1)
    axis.plot(x, 100 * rows["score"], "o", color=colour, ms=3.2, mec="white", mew=0.4, zorder=3)


def _log_ticks(side: Axis, powers: bool) -> None:
    if powers:
        side.set_major_locator(LogLocator(numticks=4))
        side.set_minor_locator(NullLocator())
    else:
        plain_ticks(side)


def links(src: Sources) -> Drawing:
    """Link functions with their bands, benchmark by benchmark (appendix)."""
    post = src.posterior
    of = {k: v for k, v in post.merged.items() if k in ("link_shape", "lower", "upper")}
    who = post.known_effects()
    theta, residual = (total(post.merged, who) for total in (terms.skills, terms.residuals))
    eta = equations.predictor(theta, post.merged["loading"], residual, np)
    middle = np.median(eta, axis=0) + np.median(post.merged["bias"], axis=0)  # (M, J)
    chance = post.constant("chance")
    parts = []
    for j, name in enumerate(post.benchmarks):
        x = np.linspace(middle[:, j].min() - 0.5, middle[:, j].max() + 0.5, 80)
        fraction = equations.link(post.spec.link, x, of["link_shape"][:, [j]], np)
        curve = equations.expected(fraction, of["lower"][:, [j]], of["upper"][:, [j]])
        found = summarise(curve, LEVEL)
        part = pd.DataFrame({"benchmark": name, "predictor": x, **{c: found[c] for c in _ENDS}})
        part["logistic"] = chance[j] + (1 - chance[j]) / (1 + np.exp(-x))
        parts.append(part.assign(prob=LEVEL))
    frame = pd.concat(parts, ignore_index=True)
    uppers = np.median(of["upper"], axis=0)
    n, differs = len(post.benchmarks), certain((of["link_shape"] > 1).mean(0)).sum()
    shape = (
        f"the link differs from a logistic shape with certainty on {differs} of {n} benchmarks"
        if post.spec.link != "logistic"
        else "the link is logistic"
    )
    caption = (
        f"Expected score against the predictor (logits), with {_PERCENT} bands, over the range of "
        "the models of the table (ticks); dashed: the logistic link from chance to 100%. "
        f"Ceilings (posterior medians) lie between {100 * uppers.min():.1f}% "
        f"({post.benchmarks[uppers.argmin()]}) and {100 * uppers.max():.1f}%; {shape}."
    )

    def legend() -> list[Artist]:
        return [
            key("fitted link", COLOURS[0], lw=1.2),
            Patch(color=COLOURS[0], alpha=0.25, lw=0, label=f"{_PERCENT} band"),
            key("logistic from chance", _GREY, lw=0.9, ls="--"),
            key("models", _DARK, marker="|", ls="", ms=4),
        ]

    labels = ("predictor (logits)", "score (%)")

    @paneled(n, 1.4, 1.25, 0.6, labels, legend=legend)
    def draw(axes: np.ndarray, wide: bool) -> None:
        groups = frame.groupby("benchmark", sort=False)
        for axis, (name, part), at in zip(axes, groups, middle.T):
            _band(axis, part["predictor"], 100 * part[["lower", "upper"]], COLOURS[0])
            axis.plot(part["predictor"], 100 * part["logistic"], color=_GREY, lw=0.9, ls="--")
            axis.plot(part["predictor"], 100 * part["median"], color=COLOURS[0], lw=1.2)
            bottom = axis.get_xaxis_transform()
            axis.plot(at, np.full(len(at), 0.02), "|", color=_DARK, ms=4, mew=0.4, transform=bottom)
            axis.set_title(str(name), fontsize=8)
            axis.set(ylim=(0, 100), yticks=[0, 50, 100])
            axis.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
            for label in (axis.xaxis.label, axis.yaxis.label):
                label.set_fontsize(8)

    return Drawing(frame, caption, draw)


def _band(axis: Axes, x: pd.Series, ends: pd.DataFrame, colour: str) -> None:
    axis.fill_between(x, ends["lower"], ends["upper"], color=colour, alpha=0.2, lw=0)


# -- decisions --------------------------------------------------------------------------------


def allocation(src: Sources) -> Drawing:
    """Optimal size and tokens of a budget, beside the paper's (tables 1 and 2)."""
    post = src.posterior
    needs(post.spec.inputs == "translog", "this law cannot tell how to split a budget: its inputs "
          "are not size and tokens with their product")  # fmt: skip
    as_paper = len(src.skills.names) == 3 and "IFEval" in post.benchmarks
    where, paper = "inside the rectangle of the data", ""
    if not as_paper:
        frame = _own_allocation(src)
    else:
        frame = paper_table(post, LEVEL)
        where = "inside the paper's support (0.16 to 72B parameters, 0.18 to 15T tokens)"
        compared = frame[frame["edge"] != "only"]
        # exact ends of the support count as inside
        inside = compared["paper_params_b"].between(
            0.999 * compared["size_lower"], 1.001 * compared["size_upper"]
        )
        paper = (
            f" {inside.sum()} of the paper's {len(compared)} sizes, of budgets that leave a "
            "choice, lie in our intervals (skills in the order of the paper's: "
            f"{', '.join(dict.fromkeys(frame['paper_skill']))})."
        )
    groups = dict(list(frame.groupby("objective", sort=False)))
    middle = {name: part.iloc[len(part) // 2] for name, part in groups.items()}
    listed = "; ".join(
        f"{name} at {r['budget']:.3g} FLOPs: {r['params_b']:.3g}B on {r['tokens_t']:.3g}T "
        f"({_PERCENT} interval of the size {r['size_lower']:.3g} to {r['size_upper']:.3g}B)"
        for name, r in middle.items()
    )
    caption = (
        f"Size that a budget of 6 x parameters x tokens FLOPs is best spent on, {where}: points "
        f"maximise the expected objective, bars are {_PERCENT} intervals of the optimum of each "
        f"draw; tokens take the rest of the budget. {listed}.{paper}"
    )
    sizes = frame[["size_lower", "size_upper", *["paper_params_b"] * as_paper]].to_numpy()
    xlim, ylim = ((0.6 * v.min(), 1.6 * v.max()) for v in (frame["budget"], sizes))

    def legend() -> list[Artist]:
        paper = [key("paper, table 2", "black", marker="x", ls="", ms=4)] * as_paper
        best = key("best expected", _GREY, marker="D", mfc="white", ls="", ms=4.5)
        return [best, key(f"{_PERCENT} interval", _GREY, lw=1.4), *paper]

    labels = ("budget (FLOPs)", "best size (B)")

    @paneled(len(groups), 2.3, 1.95, 0.5, labels, legend=legend, sharex=True, sharey=True)
    def draw(axes: np.ndarray, wide: bool) -> None:
        for axis, (name, part), colour in zip(axes, groups.items(), cycle(COLOURS)):
            x = part["budget"]
            axis.vlines(x, part["size_lower"], part["size_upper"], color=colour, lw=1.4)
            axis.plot(x, part["params_b"], "wD", ms=4.5, mec=colour, mew=1.3, zorder=3)
            if as_paper:
                axis.plot(x, part["paper_params_b"], "kx", ms=4, zorder=4)
            axis.set(xscale="log", yscale="log", xlim=xlim, ylim=ylim)
            axis.set_title(str(name), fontsize=8)
            _log_ticks(axis.xaxis, True)
        _log_ticks(axes[0].yaxis, False)

    return Drawing(frame, caption, draw)


def _own_allocation(src: Sources) -> pd.DataFrame:
    """Budgets over the range of the data, for a posterior that is not the paper's."""
    post = src.posterior
    sizes, tokens = post.extent("params_b"), post.extent("tokens_t")
    low, high = (FLOPS * 1e21 * s * t for s, t in zip(sizes, tokens))
    budgets = [float(f"{b:.3g}") for b in np.geomspace(low, high, 8)[1:-1]]
    goals: list[Any] = [*src.skills.names, "average"]
    box: dict[str, Any] = {"params_range": sizes, "tokens_range": tokens, "skills": src.skills}
    return post.optimal_allocation(budgets, goals, prob=LEVEL, seed=src.seed, **box).frame


def saturation(src: Sources) -> Drawing:
    """What a doubling of size, or of tokens, still adds to each skill (ours)."""
    skills, post = src.skills, src.posterior
    needs(post.spec.inputs == "translog", "the gain of a doubling is the same everywhere in this "
          "law: its skills do not saturate")  # fmt: skip
    typical = np.exp(post.constant("centre"))
    sizes, tokens = (np.geomspace(*post.extent(c), 25).tolist() for c in ("params_b", "tokens_t"))
    frame = pd.concat(
        [
            skills.elasticities([typical[0]] * 25, tokens).query("of == 'size'"),
            skills.elasticities(sizes, [typical[1]] * 25).query("of == 'tokens'"),
        ],
        ignore_index=True,
    )
    kinds = [
        ("size", "tokens_t", "T tokens", "tokens (T)"),
        ("tokens", "params_b", "B", "parameters (B)"),
    ]
    groups = dict(list(frame.groupby(["skill", "of"])))
    listed = []
    for name in skills.names:
        for of, column, unit, _ in kinds:
            part = groups[name, of]
            a, b = part.iloc[0], part.iloc[-1]
            listed.append(
                f"{name}, doubling of {of}: {a['median']:.2f} sd at {a[column]:.2g}{unit}, "
                f"{b['median']:.2f} at {b[column]:.3g}{unit}"
            )
    caption = (
        "What one doubling of size adds to each skill (standard deviations over the models of the "
        "table) at different numbers of training tokens, and what one doubling of tokens adds at "
        f"different sizes, with {_PERCENT} bands; a skill saturates where it adds nothing. "
        f"{'; '.join(listed)}."
    )
    n = len(skills.names)

    @painted(3.9, 1.5 * n + 0.5)
    def draw(figure: Figure, wide: bool) -> None:
        axes = figure.subplots(*((2, n) if wide else (n, 2)), squeeze=False, sharey=True)
        for row, (of, column, _, label) in zip(axes if wide else axes.T, kinds):
            for axis, name, colour in zip(row, skills.names, cycle(COLOURS)):
                part = groups[name, of]
                axis.axhline(0, color=_GREY, lw=0.8)
                _band(axis, part[column], part, colour)
                axis.plot(part[column], part["median"], color=colour)
                axis.set(xscale="log", xlim=part[column].iloc[[0, -1]])
                _log_ticks(axis.xaxis, False)
                axis.set_xlabel(label, fontsize=8)
            for axis in row[: 1 if wide else n]:
                axis.set_ylabel(f"gain of doubling\n{of} (sd)", fontsize=7.5)
        for axis, name in zip(axes[0] if wide else axes[:, 0], skills.names):
            axis.set_title(name, fontsize=8)

    return Drawing(frame, caption, draw)


def saturation_scores(src: Sources) -> Drawing:
    """Beyond which size a doubling gains less than a point, benchmark by benchmark (ours)."""
    post = src.posterior
    family, tokens = _largest_family(post)
    asked: dict[str, Any] = {"tokens": tokens, "family": family, "prob": LEVEL, "seed": src.seed}
    found = [post.saturation(name, _SATURATED, **asked).frame for name in post.benchmarks]
    frame = pd.concat(found, ignore_index=True)
    frame = frame.drop(columns=["at", "p_saturated", "gain_median", "gain_lower", "gain_upper"])
    low, high = post.extent("params_b")
    end = 10 * high
    order = frame.sort_values("median", kind="stable")
    beyond = len(frame) - np.isfinite(frame["median"]).sum()
    first = order.iloc[0]
    caption = (
        f"Size beyond which one more doubling gains less than {100 * _SATURATED:g} point of "
        f"expected score, for family {family} on {tokens:g}T tokens: medians and {_PERCENT} "
        f"intervals; an arrow goes on beyond {end:.4g}B, ten times the largest model of the data "
        f"({high:g}B, dotted). First to saturate: {first['of']}, at {first['median']:.3g}B; "
        f"{beyond} of {len(frame)} benchmarks have a median beyond the range."
    )

    @painted(0.2 * len(order) + 0.95)
    def draw(figure: Figure, wide: bool) -> None:
        axis = figure.subplots()
        for i, row in enumerate(order.itertuples()):
            axis.hlines(i, max(row.lower, low), min(row.upper, end), color=COLOURS[0], lw=1.3)
            if not np.isfinite(row.upper):
                axis.plot(end, i, ">", color=COLOURS[0], ms=4, clip_on=False)
            if np.isfinite(row.median):
                axis.plot(row.median, i, "o", color=COLOURS[0], ms=4, zorder=3)
        axis.axvline(high, color=_GREY, lw=1.0, ls=":")
        axis.set(xscale="log", xlim=(low, end))
        axis.set_xlabel("size of saturation (B)")
        _log_ticks(axis.xaxis, False)
        name_rows([axis], order["of"], 7.5)

    return Drawing(frame, caption, draw)


def _largest_family(post: Posterior) -> tuple[str, float]:
    """The base family trained with the most compute, and its tokens."""
    tokens = post.constant("tokens_t")
    cost = post.constant("params_b") * tokens
    tuned = post.constant("instruct").astype(bool)
    if not tuned.all():
        cost = np.where(tuned, -np.inf, cost)
    at = int(np.nanargmax(cost))
    return str(post.constant("family_of_model")[at]), float(tokens[at])
