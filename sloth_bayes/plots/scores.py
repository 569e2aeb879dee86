"""Figures of scores: forecast along sizes, and where they fell in their forecasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..errors import unknown
from .panels import chosen, diamonds, drawing, key, legend, outer_labels, plain_ticks
from .style import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_CURVE_SIZES = 25
_INNER = 0.5


@dataclass(frozen=True)
class Curve:
    """Candidates that belong on one curve: one family, at one size only once."""

    label: str
    family: str
    colour: str
    sizes: np.ndarray
    levels: np.ndarray  # quantiles of the scores at the sizes: level, size, benchmark
    candidates: np.ndarray  # their sizes
    marks: np.ndarray  # quantiles of their scores: level, candidate, benchmark


def forecast(
    fc: Any,
    benchmarks: str | list[str] | None = None,
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
        The forecast, a :class:`sloth_bayes.predict.forecast.Forecast`.
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
    names = chosen(benchmarks, fc.benchmarks, ncols)
    lines, seen = curves(fc), _observed(fc)
    chances = fc.posterior.constant_data["chance"]
    chance_seen = False
    sizes = [one.sizes for one in lines] + [fc.candidates["params_b"]]
    if observed:
        sizes.append(seen.loc[seen["family"].isin(fc.candidates["family"]), "params_b"])
    low, high = (f(np.concatenate(sizes)) for f in (np.min, np.max))
    margin = max((high / low) ** 0.045, 1.08)
    ncols, size = _layout(len(names), ncols)
    with drawing(ax, size, len(names), ncols) as (figure, axes):
        for axis, name in zip(axes, names):
            j = fc.benchmarks.index(name)
            for one in lines:
                _draw_curve(axis, one, j)
            if observed:
                _draw_observed(axis, fc, lines, seen[seen["benchmark"] == name])
            chance = 100 * float(chances.sel(benchmark=name))
            axis.set(title=name, xscale="log", xlim=(low / margin, high * margin))
            chance_seen |= _finish(axis, chance)
        outer_labels(axes, None if figure is None else ncols, "parameters (B)", "score (%)")
        handles = _legend(fc, lines, observed, chance_seen)
        legend(figure, handles, _legend_columns(handles, size[0]), inside=axes[-1])
        cautions = _cautions(fc)
        if cautions and figure is not None:
            figure.suptitle("\n".join(cautions), color="firebrick", fontsize="small")
        elif cautions:
            axes[0].set_title(
                "; ".join(cautions), color="firebrick", fontsize="x-small", loc="left"
            )
    return axes


def _cautions(fc: Any) -> list[str]:
    """What has to stand on the figure itself: it is passed on without the table."""
    standing, away = fc.posterior.standing, fc.doublings
    said = [standing.upper()] if standing in ("not converged", "first look") else []
    if (away >= 1).any():
        said.append(f"up to {np.nanmax(away):.1f} doublings of compute from the models observed")
    return said


def calibration(
    found: Any, ax: Axes | np.ndarray | None = None, by: str | None = None
) -> np.ndarray:
    """Are the intervals right? Calibration curve with its band, and PIT histogram.

    Parameters
    ----------
    found
        An evaluation with draws (not a baseline), a
        :class:`sloth_bayes.evaluate.evaluation.Evaluation`.
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
    level = 100 * curve["level"]
    u = found.frame["pit"].dropna().to_numpy(float)
    with drawing(ax, (7.2, 3.2), 2) as (_, axes):
        left, right = axes
        low, high = 100 * curve["lower"], 100 * curve["upper"]
        label = "95% band, if scores were independent"
        left.fill_between(level, low, high, color="#cccccc", lw=0, label=label)
        left.plot([0, 100], [0, 100], color="#777777", lw=0.8)
        if by == "setting":
            for i, (name, group) in enumerate(found.frame.groupby("setting", sort=False)):
                pit = group["pit"].dropna().to_numpy(float)
                share = (pit[:, None] <= curve["level"].to_numpy()).mean(0)
                colour = COLOURS[(i + 1) % len(COLOURS)]
                left.plot(level, 100 * share, color=colour, lw=1, label=str(name))
        left.plot(level, 100 * curve["observed"], color=COLOURS[0], label="all scores")
        left.set(title="Calibration", xlim=(0, 100), ylim=(0, 100), aspect="equal")
        left.set(xlabel="Forecast probability (%)", ylabel="Scores at or below (%)")
        left.legend(loc="upper left", fontsize=7)
        bins = 20
        counts, edges = np.histogram(u, bins, (0, 1))
        right.bar(100 * edges[:-1], counts, 100 / bins, align="edge", color=COLOURS[5], ec="white")
        mean, sd = u.size / bins, np.sqrt(u.size * (1 / bins) * (1 - 1 / bins))
        right.axhspan(mean - 1.96 * sd, mean + 1.96 * sd, color="#555555", alpha=0.2, lw=0)
        right.axhline(mean, color="#555555", lw=0.8)
        title = "Where scores fell in their forecasts"
        right.set(xlim=(0, 100), title=title, xlabel="PIT (%)", ylabel="Scores")
    return axes


# -- what a forecast draws ------------------------------------------------------------------


def curves(fc: Any) -> list[Curve]:
    """Candidates of a forecast in curves, in the order in which they appear."""
    found: list[Curve] = []
    of_all = _levels(fc)
    several = fc.candidates.groupby("family")["instruct"].nunique()
    for (family, instruct), rows in fc.candidates.groupby(["family", "instruct"], sort=False):
        kind = (", tuned" if instruct else ", base") if several[family] > 1 else ""
        # One size with several numbers of tokens cannot be one curve over sizes.
        split = (rows.groupby("params_b")["tokens_t"].nunique() > 1).any()
        parts = [p for _, p in rows.groupby("tokens_t", sort=False)] if split else [rows]
        for part in parts:
            part = part.sort_values("params_b", kind="stable")
            own, marks = part["params_b"].to_numpy(float), of_all[:, part.index]
            tokens = part["tokens_t"].unique()
            same = len(tokens) == 1  # else the candidates are joined as they are
            label = f"{family}{kind}" + (f", {tokens[0]:g}T tokens" if same else "")
            sizes, levels = _along(fc, part) if same else (own, marks)
            colour = COLOURS[len(found) % len(COLOURS)]
            found.append(Curve(label, family, colour, sizes, levels, own, marks))
    return found


def _observed(fc: Any) -> pd.DataFrame:
    """Observed scores: obs_model, benchmark, score, family, params_b."""
    scores = fc.posterior.tree["observed_data"].to_dataset()[["score"]].to_dataframe()
    models = fc.posterior.constant_data[["family_of_model", "params_b"]].to_dataframe()
    names = {"obs_benchmark": "benchmark", "family_of_model": "family"}
    return scores.join(models, on="obs_model").rename(columns=names)


def _levels(fc: Any) -> np.ndarray:
    """Quantiles of the scores: level, model, benchmark."""
    masses = (fc.prob, min(fc.prob, _INNER))
    levels = [(1 - p) / 2 for p in masses] + [0.5] + [(1 + p) / 2 for p in masses[::-1]]
    found: np.ndarray = fc.quantiles(levels)
    return found.clip(0.0, 1.0)


def _along(fc: Any, candidates: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Sizes, and quantiles of the scores of the candidates' family there."""
    seen, given = _observed(fc), candidates["params_b"]
    own = seen.loc[seen["family"] == candidates["family"].iloc[0], "params_b"]
    if own.empty:
        own = seen.loc[seen["params_b"] <= given.max(), "params_b"]
    spread = pd.concat([given, own])
    sizes = np.geomspace(min(spread.min(), spread.max() / 8), spread.max(), _CURVE_SIZES)
    return sizes, _levels(fc.at(candidates.index[0], sizes))


def _layout(n: int, ncols: int | None) -> tuple[int, tuple[float, float]]:
    """Panels in a row, of `n`, and the size of their figure."""
    if ncols is None:
        ncols = n if n <= 3 else 4 if n % 4 == 0 or n > 9 else 3 if n > 4 else 2
    ncols = min(ncols, n)
    nrows = -(-n // ncols)
    width = 3.6 if n == 1 else 2.9 if ncols <= 3 else 2.45
    height = 2.9 if n == 1 else 2.5 if nrows == 1 else 2.05
    return ncols, (width * ncols + 0.3, height * nrows + 0.75)


def _draw_curve(axis: Axes, one: Curve, j: int) -> None:
    """The curve with its bands, and the candidates with their intervals."""
    low, inner_low, middle, inner_high, high = 100 * one.levels[:, :, j]
    axis.fill_between(one.sizes, low, high, color=one.colour, alpha=0.16, lw=0)
    axis.fill_between(one.sizes, inner_low, inner_high, color=one.colour, alpha=0.22, lw=0)
    axis.plot(one.sizes, middle, color=one.colour)
    low, _, middle, _, high = 100 * one.marks[:, :, j]
    axis.vlines(one.candidates, low, high, color=one.colour, lw=1.3, zorder=4)
    diamonds(axis, one.candidates, middle, one.colour, ms=5.5)


def _draw_observed(axis: Axes, fc: Any, lines: list[Curve], seen: pd.DataFrame) -> None:
    if any(one.family not in fc.posterior.families for one in lines):
        axis.plot(seen["params_b"], 100 * seen["score"], ".", color="#bbbbbb", ms=3, zorder=1.5)
    # A family may have several curves; its observed models then carry the first one's colour.
    for family, colour in {one.family: one.colour for one in reversed(lines)}.items():
        own = seen[seen["family"] == family]
        axis.plot(
            own["params_b"], 100 * own["score"], "o", color=colour, mec="white", mew=0.6, ms=5.5,
            zorder=3,
        )  # fmt: skip


def _finish(axis: Axes, chance: float) -> bool:
    """Ticks, and the chance level if it is in view (which is returned)."""
    plain_ticks(axis.xaxis)
    axis.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    bottom, top = axis.get_ylim()
    bottom, top = max(bottom, -2.0), min(top, 102.0)
    if top - bottom < 10:
        bottom, top = max(-2.0, bottom - 4), min(102.0, top + 4)
    axis.set_ylim(bottom, top)
    in_view = bottom <= chance <= top
    if in_view:
        axis.axhline(chance, color="#888888", ls=":", lw=1.0, zorder=1)
    return in_view


def _legend_columns(handles: list[Any], width: float) -> int:
    """As many columns as fit in `width` inches; a column is as wide as its longest label."""
    lengths = [len(str(h.get_label())) for h in handles]
    for ncols in range(len(handles), 1, -1):
        # as Matplotlib fills them: longer ones first
        columns = [max(part) for part in np.array_split(lengths, ncols)]
        if sum(0.58 + 0.063 * n for n in columns) <= width:
            return ncols
    return 1


def _legend(fc: Any, lines: list[Curve], observed: bool, chance: bool) -> list[Any]:
    grey = "#777777"
    handles: list[Any] = [key(one.label, one.colour) for one in lines]
    handles.append(key("forecast", grey, "D", ls="-", mfc="white", mew=1.5, ms=5.5, lw=1.3))
    handles.append(Patch(color=grey, alpha=0.2, lw=0, label=f"{100 * fc.prob:g}% interval"))
    if fc.prob > _INNER:
        handles.append(Patch(color=grey, alpha=0.5, lw=0, label=f"{100 * _INNER:g}%"))
    known = [one.family in fc.posterior.families for one in lines]
    if observed and any(known):
        handles.append(key("observed (own tokens)", grey, "o", ms=5))
    if observed and not all(known):
        handles.append(key("all observed models", "#bbbbbb", ".", ms=5))
    if chance:
        handles.append(key("chance", "#888888", ls=":", lw=1.0))
    return handles
