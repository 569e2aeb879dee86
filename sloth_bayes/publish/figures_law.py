"""Figures of a paper on the law and its skills (:mod:`sloth_bayes.figures`).

All come from one posterior; most are those of :mod:`sloth_bayes.plots`, laid out for a paper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from ..law import equations
from ..plan.budget import optimal_allocation, paper_table
from ..plan.curves import FLOPS
from ..plots import skills as skill_plots
from ..plots.panels import plain_ticks
from ..plots.style import COLOURS, STYLE
from ..support.intervals import lower_and_upper
from .sources import LEVEL, Drawn, Sources, flat, legend_below, needs, new_figure, number, refit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..api import Posterior

_GREY = "#777777"
_PERCENT = f"{100 * LEVEL:g}%"
_FIGURE_8_AND_9 = ("MMLU-PRO", "BBH")
_SATURATED = 0.01  # a doubling that gains less than a point


# -- skills -----------------------------------------------------------------------------------


def loadings(src: Sources) -> Drawn:
    """Loadings of the benchmarks on the skills (figure 2)."""
    skills = src.skills
    frame = skills.loadings()
    sure = (frame["p_positive"] > 0.95) | (frame["p_positive"] < 0.05)
    tops = "; ".join(
        f"{name}: {part.loc[part['mean'].idxmax(), 'benchmark']} {number(part['mean'].max(), 2)}"
        for name, part in frame.groupby("skill", sort=False)
    )
    caption = (
        f"Loadings of {len(skills.benchmarks)} benchmarks on {len(skills.names)} skills after "
        f"{skills.rotation} rotation, in logits per standard deviation of skill over the models of "
        f"the table; the edges of a cell are the ends of its {_PERCENT} interval, grey numbers "
        f"have no certain sign. The sign of {int(sure.sum())} of {len(frame)} loadings is certain "
        f"(probability above 0.95). Largest on each skill: {tops}. {src.described}"
    )

    def draw(wide: bool) -> Figure:
        rows = len(skills.benchmarks)
        axes = skill_plots.loadings(skills)
        axes[0].figure.axes[-1].yaxis.labelpad = 12  # its two lines, clear of the numbers
        if not wide:
            axes[0].tick_params(axis="x", labelsize=6.5)
            axes[0].tick_params(axis="y", labelsize=7.5)
        return refit(axes, wide, 1, 0.26 * rows + 0.8, extra=0.1)

    return Drawn(frame, caption, draw)


def loadings_intervals(src: Sources) -> Drawn:
    """Loadings with their intervals, a panel a skill (figure 2)."""
    skills = src.skills
    frame = pd.concat([skills.loadings(LEVEL), skills.loadings(0.5)], ignore_index=True)
    widest = frame[frame["prob"] == LEVEL]
    widest = widest.assign(width=widest["upper"] - widest["lower"])
    most = widest.loc[widest["width"].idxmax()]
    caption = (
        f"Posterior medians of the loadings with {_PERCENT} (thin) and 50% (thick) intervals; "
        "filled points have a certain sign (probability above 0.95). Median width of a "
        f"{_PERCENT} interval: {number(widest['width'].median(), 2)} logits; widest: "
        f"{most['benchmark']} on {most['skill']} ({number(most['lower'], 2)} to "
        f"{number(most['upper'], 2)}). {src.described}"
    )

    def draw(wide: bool) -> Figure:
        axes = skill_plots.loadings_forest(skills)
        height = 0.19 * len(skills.benchmarks) + 0.55
        return refit(axes, wide, axes.size if wide else 1, height)

    return Drawn(frame, caption, draw)


def skill_correlations(src: Sources) -> Drawn:
    """Correlations of the skills over the models of the table (section 4.3)."""
    skills = src.skills
    needs(len(skills.names) > 1, "one skill has no correlation")
    frame = skills.correlations()
    listed = "; ".join(
        f"{r.skill} and {r.with_skill} {number(r.mean, 2)} ({number(r.lower, 2)} to "
        f"{number(r.upper, 2)})"
        for r in frame.itertuples()
    )
    caption = (
        "Posterior densities of the correlations of the skills over the models of the table, with "
        f"medians and {_PERCENT} intervals: {listed}. {src.described}"
    )

    def draw(wide: bool) -> Figure:
        axes = skill_plots.skill_correlations(skills)
        axes[0].set_title("", loc="left")
        axes[0].set_xlabel("correlation over models")
        return refit(axes, wide, 1, 0.55 * len(frame) + 0.9, extra=0)

    return Drawn(frame, caption, draw)


def level_curves(src: Sources) -> Drawn:
    """Level curves of the skills over size and tokens (figure 4)."""
    skills = src.skills
    needs(src.posterior.spec.inputs != "size", "this law has no tokens: there are no level curves")
    models = skills.models().drop_duplicates("model")
    ends = {c: (models[c].min(), models[c].max()) for c in ("params_b", "tokens_t")}
    sizes, tokens = (np.geomspace(*ends[c], 25) for c in ends)
    surface = skills.surface(sizes, tokens)
    draws = surface.stack(sample=("chain", "draw")).transpose("sample", ...).values
    low, high = lower_and_upper(draws, LEVEL)
    median = np.median(draws, axis=0)
    grid = np.stack(np.meshgrid(sizes, tokens, indexing="ij"), -1).reshape(-1, 2)
    frame = pd.concat(
        [
            pd.DataFrame(
                {
                    "skill": name, "params_b": grid[:, 0], "tokens_t": grid[:, 1],
                    "median": median[..., k].ravel(), "lower": low[..., k].ravel(),
                    "upper": high[..., k].ravel(), "prob": LEVEL,
                }
            )
            for k, name in enumerate(skills.names)
        ],
        ignore_index=True,
    )  # fmt: skip
    spans = "; ".join(
        f"{n} {number(g['median'].min())} to {number(g['median'].max())}"
        for n, g in frame.groupby("skill", sort=False)
    )
    caption = (
        "Level curves of the skills over model size (billions of parameters) and training tokens "
        "(trillions), without the family, in standard deviations over the models of the table; "
        f"bands show where a curve may run ({_PERCENT}), dots are models, hatching has no data. "
        f"Posterior medians over the rectangle of the data span: {spans}. {src.described}"
    )

    def draw(wide: bool) -> Figure:
        axes = skill_plots.level_curves(skills)
        return refit(axes, wide, axes.size if wide else 1, 2.5 if wide else 2.1)

    return Drawn(frame, caption, draw)


def base_and_tuned(src: Sources) -> Drawn:
    """Skills of tuned models against their base models (figure 5)."""
    skills = src.skills
    pairs = skill_plots.model_pairs(skills)
    needs(not pairs.empty, "no lineage has a base and a tuned model of one size")
    models = skills.models().set_index(["model", "skill"])
    place = {m: i for i, m in enumerate(src.posterior.models)}
    values = skills.merged("model_skill")
    gain = values[:, pairs["tuned"].map(place)] - values[:, pairs["base"].map(place)]
    low, high = lower_and_upper(gain, LEVEL)
    parts = []
    for k, name in enumerate(skills.names):
        part = pairs.assign(skill=name)
        for kind in ("base", "tuned"):
            here = models.loc[[(m, name) for m in pairs[kind]]]
            for column in ("mean", "lower", "upper"):
                part[f"{kind}_{column}"] = here[column].to_numpy()
        part["gain"] = gain[..., k].mean(0)
        part["gain_lower"], part["gain_upper"] = low[:, k], high[:, k]
        part["p_gain"] = (gain[..., k] > 0).mean(0)
        parts.append(part.assign(prob=LEVEL))
    frame = pd.concat(parts, ignore_index=True)
    listed = "; ".join(
        f"{n}: up in {int((g['p_gain'] > 0.95).sum())} and down in "
        f"{int((g['p_gain'] < 0.05).sum())} of {len(g)} pairs, mean gain "
        f"{number(g['gain'].mean(), 2)}"
        for n, g in frame.groupby("skill", sort=False)
    )
    caption = (
        "Skills of tuned models against their base models of one size, in standard deviations over "
        f"the models of the table, with {_PERCENT} intervals; filled points changed with certainty "
        f"(probability above 0.95). {listed[0].upper()}{listed[1:]}. {src.described}"
    )

    def draw(wide: bool) -> Figure:
        axes = skill_plots.base_and_tuned(skills)
        return refit(axes, wide, axes.size if wide else 1, 2.5 if wide else 2.7)

    return Drawn(frame, caption, draw)


def skills_and_compute(src: Sources) -> Drawn:
    """Skills of families against training compute (ours)."""
    skills = src.skills
    frame = skills.models()
    frame["flops"] = FLOPS * frame["params_b"] * frame["tokens_t"] * 1e21
    best = frame.loc[frame.groupby("skill", sort=False)["mean"].idxmax()]
    listed = "; ".join(f"{r.skill}: {r.model} ({number(r.mean)})" for r in best.itertuples())
    caption = (
        "Skills of the models of the table against training compute (6 x parameters x tokens, "
        f"FLOPs), with {_PERCENT} intervals for the families coloured. Highest: {listed}. "
        f"{src.described}"
    )

    def draw(wide: bool) -> Figure:
        axes = skill_plots.skills_and_compute(skills)
        return refit(axes, wide, axes.size if wide else 1, 2.3 if wide else 2.0, extra=0.5)

    return Drawn(frame, caption, draw)


# -- law and links ----------------------------------------------------------------------------


def inputs(src: Sources) -> Drawn:
    """Scores against size, tokens and compute, with the fitted law (figures 8 and 9)."""
    post = src.posterior
    names = [b for b in _FIGURE_8_AND_9 if b in post.benchmarks]
    names = (names + [b for b in post.benchmarks if b not in names])[:2]
    about = post.constant_data
    models = pd.DataFrame(
        {
            "model": post.models,
            "family": about["family_of_model"].values.astype(str),
            "instruct": about["instruct"].values.astype(bool),
            "params_b": about["params_b"].values,
            "tokens_t": about["tokens_t"].values,
        }
    )
    mu = np.concatenate([post.expected(post.known_effects(), s)[0]
                         for s in post.blocks(len(models))], axis=1)  # fmt: skip
    observed = post.tree["observed_data"].to_dataset()
    scores = pd.DataFrame(
        {
            "model": observed["obs_model"].values.astype(str),
            "benchmark": observed["obs_benchmark"].values.astype(str),
            "score": observed["score"].values,
        }
    )
    parts = []
    for name in names:
        j = post.benchmarks.index(name)
        low, high = lower_and_upper(mu[..., j], LEVEL)
        part = models.assign(
            benchmark=name, expected=np.median(mu[..., j], axis=0), lower=low, upper=high,
            prob=LEVEL,
        )  # fmt: skip
        parts.append(part.merge(scores, on=["model", "benchmark"]))
    frame = pd.concat(parts, ignore_index=True)
    frame["flops"] = FLOPS * frame["params_b"] * frame["tokens_t"] * 1e21
    needs(not frame.empty, f"no model of this posterior has a score on {' or '.join(names)}")
    shown = _families_to_show(frame)
    listed = []
    for name in names:
        here = frame[frame["benchmark"] == name]
        r = np.corrcoef(np.log(here["flops"]), here["score"])[0, 1]
        off = 100 * (here["score"] - here["expected"]).abs().mean()
        listed.append(
            f"{name}: correlation of score and log compute {number(r, 2)}, mean distance from the "
            f"fitted law {number(off)} points ({len(here)} models)"
        )
    caption = (
        "Scores against model size, training tokens and compute. Lines join the expected scores "
        f"of the models of a family under the fitted law, with {_PERCENT} bands; against tokens, "
        "where the models of a family were mostly trained on the same number, bars are its "
        f"intervals. {'; '.join(listed)}. {src.described}"
    )
    axes_of = [
        ("params_b", "parameters (B)"), ("tokens_t", "tokens (T)"), ("flops", "compute (FLOPs)"),
    ]  # fmt: skip

    def draw(wide: bool) -> Figure:
        shape = (len(names), 3) if wide else (3, len(names))
        figure = new_figure(wide, 1.8 * shape[0] + 0.6)
        with plt.rc_context(STYLE):
            axes = figure.subplots(*shape, squeeze=False, sharey="row" if wide else "col")
            axes = axes if wide else axes.T
            for i, name in enumerate(names):
                for k, (column, label) in enumerate(axes_of):
                    axis = axes[i, k]
                    here = frame[frame["benchmark"] == name]
                    axis.plot(here[column], 100 * here["score"], ".", color="#c4c4c4", ms=3)
                    for family, colour in zip(shown, COLOURS):
                        _family_law(axis, here[here["family"] == family], column, colour)
                    axis.set_xscale("log")
                    _log_ticks(axis.xaxis, column == "flops")
                    axis.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
                    axis.set_xlabel(label)
                    if k == 0:
                        axis.set_title(name)
                    if (k == 0) if wide else (i == 0):
                        axis.set_ylabel("score (%)")
            handles = [
                Line2D([], [], color=c, marker="o", ms=3.2, lw=1.1, label=f)
                for f, c in zip(shown, COLOURS)
            ]
            handles.append(Line2D([], [], color="#c4c4c4", marker=".", ls="", label="others"))
            legend_below(figure, handles)
        return figure

    return Drawn(frame, caption, draw)


def _families_to_show(frame: pd.DataFrame) -> list[str]:
    """Families with the most models, base ones first if there are enough."""
    base = frame[~frame["instruct"]]
    base = base if base["family"].nunique() >= 3 else frame
    grouped = base.drop_duplicates("model").groupby("family")["flops"]
    table = grouped.agg(["size", "max"]).sort_values(["size", "max"], ascending=False)
    return [str(f) for f in table.index[:6]]


def _family_law(axis, rows: pd.DataFrame, column: str, colour: str) -> None:  # type: ignore[no-untyped-def]
    rows = rows.sort_values([column, "params_b"])
    x = rows[column].to_numpy()
    low, middle, high = (100 * rows[c].to_numpy() for c in ("lower", "expected", "upper"))
    if column == "tokens_t":
        axis.vlines(x, low, high, color=colour, lw=1.0, alpha=0.5)
    else:
        axis.fill_between(x, low, high, color=colour, alpha=0.18, lw=0)
        axis.plot(x, middle, color=colour, lw=1.1)
    axis.plot(
        x, 100 * rows["score"], "o", color=colour, ms=3.2, markeredgecolor="white",
        markeredgewidth=0.4, zorder=3,
    )  # fmt: skip


def _log_ticks(side, powers: bool) -> None:  # type: ignore[no-untyped-def]
    if powers:
        side.set_major_locator(LogLocator(numticks=4))
        side.set_minor_locator(NullLocator())
    else:
        plain_ticks(side)


def links(src: Sources) -> Drawn:
    """Link functions with their bands, benchmark by benchmark (appendix)."""
    post = src.posterior
    of = {k: v for k, v in post.merged.items() if k in ("link_shape", "lower", "upper")}
    who = post.known_effects()
    theta = equations.skills(
        who.family, post.merged["slope"], who.inputs, slope_deviation=who.slope_deviation,
        instruct=post.merged.get("instruct"), is_instruct=who.instruct,
        model_effect=who.model_effect,
    )  # fmt: skip
    eta = equations.predictor(theta, post.merged["loading"], who.residual, np)
    middle = np.median(eta, axis=0) + np.median(post.merged["bias"], axis=0)  # (M, J)
    chance = post.constant("chance")
    parts = []
    for j, name in enumerate(post.benchmarks):
        x = np.linspace(middle[:, j].min() - 0.5, middle[:, j].max() + 0.5, 80)
        fraction = equations.link(post.spec.link, x, of["link_shape"][:, [j]], np)
        curve = equations.expected(fraction, of["lower"][:, [j]], of["upper"][:, [j]])
        low, high = lower_and_upper(curve, LEVEL)
        logistic = chance[j] + (1 - chance[j]) / (1 + np.exp(-x))
        parts.append(
            pd.DataFrame(
                {
                    "benchmark": name, "predictor": x, "median": np.median(curve, axis=0),
                    "lower": low, "upper": high, "logistic": logistic, "prob": LEVEL,
                }
            )
        )  # fmt: skip
    frame = pd.concat(parts, ignore_index=True)
    uppers = np.median(of["upper"], axis=0)
    shapes = of["link_shape"]
    sure = ((shapes > 1).mean(0) > 0.95) | ((shapes < 1).mean(0) > 0.95)
    least = int(uppers.argmin())
    caption = (
        f"Expected score against the predictor (logits), with {_PERCENT} bands, over the range of "
        "the models of the table (ticks); dashed: the logistic link from chance to 100%. "
        f"Ceilings (posterior medians) lie between {number(100 * uppers.min())}% "
        f"({post.benchmarks[least]}) and {number(100 * uppers.max())}%; "
        + (
            f"the link differs from a logistic shape with certainty on {int(sure.sum())} of "
            f"{len(post.benchmarks)} benchmarks. "
            if post.spec.link != "logistic"
            else "the link is logistic. "
        )
        + src.described
    )

    def draw(wide: bool) -> Figure:
        ncols = min(4 if wide else 2, len(post.benchmarks))
        nrows = -(-len(post.benchmarks) // ncols)
        figure = new_figure(wide, (1.4 if wide else 1.25) * nrows + 0.6)
        with plt.rc_context(STYLE):
            axes = figure.subplots(nrows, ncols, squeeze=False)
            for spare in axes.flat[len(post.benchmarks) :]:
                figure.delaxes(spare)
            for j, (axis, (name, part)) in enumerate(
                zip(axes.flat, frame.groupby("benchmark", sort=False))
            ):
                x = part["predictor"]
                axis.fill_between(
                    x, 100 * part["lower"], 100 * part["upper"], color=COLOURS[0], alpha=0.2, lw=0
                )
                axis.plot(x, 100 * part["logistic"], color=_GREY, lw=0.9, ls="--")
                axis.plot(x, 100 * part["median"], color=COLOURS[0], lw=1.2)
                axis.plot(
                    middle[:, j], np.full(len(middle), 0.02), "|", color="#444444", ms=4, mew=0.4,
                    transform=axis.get_xaxis_transform(),
                )  # fmt: skip
                axis.set_title(str(name), fontsize=8)
                axis.set_ylim(0, 100)
                axis.set_yticks([0, 50, 100])
                axis.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
                if j % ncols == 0:
                    axis.set_ylabel("score (%)", fontsize=8)
                if j + ncols >= len(post.benchmarks):
                    axis.set_xlabel("predictor (logits)", fontsize=8)
            handles = [
                Line2D([], [], color=COLOURS[0], lw=1.2, label="fitted link"),
                Patch(color=COLOURS[0], alpha=0.25, lw=0, label=f"{_PERCENT} band"),
                Line2D([], [], color=_GREY, lw=0.9, ls="--", label="logistic from chance"),
                Line2D([], [], color="#444444", marker="|", ls="", ms=4, label="models"),
            ]
            legend_below(figure, handles)
        return figure

    return Drawn(frame, caption, draw)


# -- decisions --------------------------------------------------------------------------------


def allocation(src: Sources) -> Drawn:
    """Optimal size and tokens of a budget, beside the paper's (tables 1 and 2)."""
    post = src.posterior
    needs(post.spec.inputs == "translog", "this law cannot tell how to split a budget: its inputs "
          "are not size and tokens with their product")  # fmt: skip
    as_paper = len(src.skills.names) == 3 and "IFEval" in post.benchmarks
    if as_paper:
        frame = paper_table(post, LEVEL)
        where = "inside the paper's support (0.16 to 72B parameters, 0.18 to 15T tokens)"
    else:
        where = "inside the rectangle of the data"
        frame = _own_allocation(src)
    objectives = list(dict.fromkeys(frame["objective"]))
    listed = []
    for objective in objectives:
        part = frame[frame["objective"] == objective]
        mid = part.iloc[len(part) // 2]
        listed.append(
            f"{objective} at {mid['budget']:.3g} FLOPs: {mid['params_b']:.3g}B on "
            f"{mid['tokens_t']:.3g}T ({_PERCENT} interval of the size {mid['size_lower']:.3g} to "
            f"{mid['size_upper']:.3g}B)"
        )
    paper = ""
    if as_paper:
        compared = frame[frame["edge"] != "only"]
        # exact ends of the support count as inside
        inside = (compared["paper_params_b"] >= 0.999 * compared["size_lower"]) & (
            compared["paper_params_b"] <= 1.001 * compared["size_upper"]
        )
        paper = (
            f"{int(inside.sum())} of the paper's {len(compared)} sizes, of budgets that leave a "
            "choice, lie in our intervals (skills in the order of the paper's: "
            + ", ".join(dict.fromkeys(frame["paper_skill"]))
            + "). "
        )
    caption = (
        f"Size that a budget of 6 x parameters x tokens FLOPs is best spent on, {where}: points "
        f"maximise the expected objective, bars are {_PERCENT} intervals of the optimum of each "
        f"draw; tokens take the rest of the budget. {'; '.join(listed)}. {paper}{src.described}"
    )

    def draw(wide: bool) -> Figure:
        ncols = min(len(objectives), 4 if wide else 2)
        nrows = -(-len(objectives) // ncols)
        columns = ["size_lower", "size_upper", *["paper_params_b"] * as_paper]
        sizes = frame[columns].to_numpy()
        figure = new_figure(wide, (2.3 if wide else 1.95) * nrows + 0.5)
        with plt.rc_context(STYLE):
            axes = figure.subplots(nrows, ncols, squeeze=False, sharex=True, sharey=True)
            for spare in axes.flat[len(objectives) :]:
                figure.delaxes(spare)
            for k, (axis, objective) in enumerate(zip(axes.flat, objectives)):
                part = frame[frame["objective"] == objective]
                colour = COLOURS[k % len(COLOURS)]
                axis.vlines(
                    part["budget"], part["size_lower"], part["size_upper"], color=colour, lw=1.4
                )
                axis.plot(
                    part["budget"], part["params_b"], "D", color="white", ms=4.5, zorder=3,
                    markeredgecolor=colour, markeredgewidth=1.3,
                )  # fmt: skip
                if as_paper:
                    axis.plot(
                        part["budget"], part["paper_params_b"], "x", color="black", ms=4, zorder=4
                    )
                ends = [(0.6 * v.min(), 1.6 * v.max()) for v in (frame["budget"], sizes)]
                axis.set(xscale="log", yscale="log", xlim=ends[0], ylim=ends[1])
                axis.set_title(str(objective), fontsize=8)
                _log_ticks(axis.xaxis, True)
                if k % ncols == 0:
                    axis.set_ylabel("best size (B)")
                if k + ncols >= len(objectives):
                    axis.set_xlabel("budget (FLOPs)")
            _log_ticks(axes[0, 0].yaxis, False)
            handles = [
                Line2D([], [], color=_GREY, marker="D", mfc="white", ls="", ms=4.5,
                       label="best expected"),
                Line2D([], [], color=_GREY, lw=1.4, label=f"{_PERCENT} interval"),
            ]  # fmt: skip
            if as_paper:
                handles.append(
                    Line2D([], [], color="black", marker="x", ls="", ms=4, label="paper, table 2")
                )
            legend_below(figure, handles)
        return figure

    return Drawn(frame, caption, draw)


def _own_allocation(src: Sources) -> pd.DataFrame:
    """Budgets over the range of the data, for a posterior that is not the paper's."""
    post = src.posterior
    sizes, tokens = post.extent("params_b"), post.extent("tokens_t")
    low, high = (FLOPS * 1e21 * s * t for s, t in zip(sizes, tokens))
    budgets = [float(f"{b:.3g}") for b in np.geomspace(low, high, 8)[1:-1]]
    found = optimal_allocation(
        post, budgets, [*src.skills.names, "average"], params_range=sizes, tokens_range=tokens,
        prob=LEVEL, seed=src.seed, skills=src.skills,
    )  # fmt: skip
    return found.frame


def saturation(src: Sources) -> Drawn:
    """What a doubling of size, or of tokens, still adds to each skill (ours)."""
    skills, post = src.skills, src.posterior
    needs(post.spec.inputs == "translog", "the gain of a doubling is the same everywhere in this "
          "law: its skills do not saturate")  # fmt: skip
    typical = np.exp(post.constant("centre"))
    (size_low, size_high), (token_low, token_high) = (
        post.extent(c) for c in ("params_b", "tokens_t")
    )
    tokens = np.geomspace(token_low, token_high, 25)
    sizes = np.geomspace(size_low, size_high, 25)
    over_tokens = skills.elasticities([typical[0]] * 25, tokens.tolist())
    over_sizes = skills.elasticities(sizes.tolist(), [typical[1]] * 25)
    frame = pd.concat(
        [over_tokens[over_tokens["of"] == "size"], over_sizes[over_sizes["of"] == "tokens"]],
        ignore_index=True,
    )
    listed = []
    for name in skills.names:
        for of, column, unit in (("size", "tokens_t", "T tokens"), ("tokens", "params_b", "B")):
            part = frame[(frame["skill"] == name) & (frame["of"] == of)]
            a, b = part.iloc[0], part.iloc[-1]
            listed.append(
                f"{name}, doubling of {of}: {number(a['median'], 2)} sd at {a[column]:.2g}{unit}, "
                f"{number(b['median'], 2)} at {b[column]:.3g}{unit}"
            )
    caption = (
        "What one doubling of size adds to each skill (standard deviations over the models of the "
        "table) at different numbers of training tokens, and what one doubling of tokens adds at "
        f"different sizes, with {_PERCENT} bands; a skill saturates where it adds nothing. "
        f"{'; '.join(listed)}. {src.described}"
    )
    kinds = [("size", "tokens_t", "tokens (T)"), ("tokens", "params_b", "parameters (B)")]

    def draw(wide: bool) -> Figure:
        n = len(skills.names)
        figure = new_figure(wide, 3.9 if wide else 1.5 * n + 0.5)
        with plt.rc_context(STYLE):
            shape = (2, n) if wide else (n, 2)
            axes = figure.subplots(*shape, squeeze=False, sharey=True)
            axes = axes if wide else axes.T
            for i, (of, column, label) in enumerate(kinds):
                for k, name in enumerate(skills.names):
                    axis = axes[i, k]
                    part = frame[(frame["skill"] == name) & (frame["of"] == of)]
                    colour = COLOURS[k % len(COLOURS)]
                    axis.axhline(0, color=_GREY, lw=0.8)
                    axis.fill_between(
                        part[column], part["lower"], part["upper"], color=colour, alpha=0.2, lw=0
                    )
                    axis.plot(part[column], part["median"], color=colour)
                    axis.set_xscale("log")
                    axis.set_xlim(part[column].min(), part[column].max())
                    _log_ticks(axis.xaxis, False)
                    if i == 0:
                        axis.set_title(name, fontsize=8)
                    axis.set_xlabel(label, fontsize=8)
                    if k == 0 or not wide:
                        axis.set_ylabel(f"gain of doubling\n{of} (sd)", fontsize=7.5)
        return figure

    return Drawn(frame, caption, draw)


def saturation_scores(src: Sources) -> Drawn:
    """Beyond which size a doubling gains less than a point, benchmark by benchmark (ours)."""
    post = src.posterior
    family, tokens = _largest_family(post)
    rows = []
    for name in post.benchmarks:
        found = post.saturation(
            name, _SATURATED, tokens=tokens, family=family, prob=LEVEL, seed=src.seed
        )
        rows.append(found.frame.iloc[0])
    frame = pd.DataFrame(rows).reset_index(drop=True)
    frame = frame.drop(columns=["at", "p_saturated", "gain_median", "gain_lower", "gain_upper"])
    low, high = post.extent("params_b")
    end = 10 * high
    order = frame.sort_values("median", kind="stable")
    finite = order[np.isfinite(order["median"])]
    first = order.iloc[0]
    caption = (
        f"Size beyond which one more doubling gains less than {100 * _SATURATED:g} point of "
        f"expected score, for family {family} on {tokens:g}T tokens: medians and {_PERCENT} "
        f"intervals; an arrow goes on beyond {end:.4g}B, ten times the largest model of the data "
        f"({high:g}B, dotted). First to saturate: {first['of']}, at {first['median']:.3g}B; "
        f"{len(frame) - len(finite)} of {len(frame)} benchmarks have a median beyond the range. "
        f"{src.described}"
    )

    def draw(wide: bool) -> Figure:
        figure = new_figure(wide, 0.2 * len(order) + 0.95)
        with plt.rc_context(STYLE):
            axis = figure.subplots()
            for i, row in enumerate(order.itertuples()):
                left, right = max(row.lower, low), min(row.upper, end)
                axis.hlines(i, left, right, color=COLOURS[0], lw=1.3)
                if not np.isfinite(row.upper):
                    axis.plot(end, i, ">", color=COLOURS[0], ms=4, clip_on=False)
                if np.isfinite(row.median):
                    axis.plot(row.median, i, "o", color=COLOURS[0], ms=4, zorder=3)
            axis.axvline(high, color=_GREY, lw=1.0, ls=":")
            axis.set(xscale="log", xlim=(low, end), ylim=(len(order) - 0.4, -0.6))
            axis.set_yticks(range(len(order)), order["of"], fontsize=7.5)
            axis.set_xlabel("size of saturation (B)")
            _log_ticks(axis.xaxis, False)
            flat(axis)
        return figure

    return Drawn(frame, caption, draw)


def _largest_family(post: Posterior) -> tuple[str, float]:
    """The base family trained with the most compute, and its tokens."""
    tokens = post.constant("tokens_t")
    cost = post.constant("params_b") * tokens
    tuned = post.constant("instruct").astype(bool)
    if not tuned.all():
        cost = np.where(tuned, -np.inf, cost)
    at = int(np.nanargmax(cost))
    return str(post.constant("family_of_model")[at]), float(tokens[at])
