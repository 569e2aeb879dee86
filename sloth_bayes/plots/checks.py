"""Figures of checks: what priors expect of a table, and whether a fit describes its scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.patches import Patch

from ..errors import DataError
from ..posterior.base import merge_chains
from ..posterior.core import PosteriorDraws
from ..support.checks import check_prob
from ..support.intervals import median_and_ends
from .panels import as_written, chosen, drawing, key, legend, outer_labels, plain_rows
from .style import COLOURS, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .given import Surprises

_INNER = 0.5
_ROW = 0.34  # inches
_GRID = 1000  # points of the uniform law


def priors(
    tree: xr.DataTree,
    benchmarks: str | list[str] | None = None,
    ax: Axes | np.ndarray | None = None,
    prob: float = 0.9,
    observed: bool = False,
) -> np.ndarray:
    """What priors expect before data: gains of a doubling, and the best and worst model.

    A thin line is the interval of mass `prob`, a thick one that of 50%, the dot the median.

    Parameters
    ----------
    tree
        What :meth:`sloth_bayes.Sloth.prior_predictive` returns.
    benchmarks
        Benchmarks to draw; all by default.
    ax
        Two axes; a new figure by default.
    prob
        Mass of the outer intervals.
    observed
        Mark the best and worst score of the table as well.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        What a doubling of size, or of tokens, adds to the mean score of the table's models (in
        points), and the scores of the best, the average and the worst model (in percent).

    Raises
    ------
    DataError
        If the tree is another one, or the number of axes is not two.
    UnknownNameError
        If a benchmark is not in it.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> data = sb.load_dataset("open_llm_leaderboard").select(benchmarks=["MMLU", "HellaSwag"])
    >>> tree = sb.Sloth(n_skills=1).prior_predictive(data, draws=50)
    >>> [axis.get_xlabel() for axis in sb.plots.priors(tree)]
    ['change of the mean score (points)', 'score (%)']
    """
    if not isinstance(tree, xr.DataTree) or "prior_predictive" not in tree.children:
        raise DataError(
            "give what spec.prior_predictive(data) returns: a tree with draws of scores"
        )
    prob = check_prob(prob)
    gain = tree["prior"].to_dataset()["gain"]
    names = chosen(benchmarks, [str(name) for name in gain["benchmark"].values], None)
    doubled = {"size": "size", "tokens": "training tokens"}
    shown = [name for name in doubled if float(abs(gain.sel(doubled=name)).max()) > 0]
    lines = {"best model": COLOURS[2], "average model": "#777777", "worst model": COLOURS[3]}
    y = np.arange(len(names))[::-1]
    size = (8.0, 1.35 + _ROW * len(names))
    with drawing(ax, size, 2, sharey=True) as (figure, axes):
        left, right = axes
        for i, name in enumerate(shown):
            values = merge_chains(gain.sel(doubled=name, benchmark=names))
            shift = 0.16 * (len(shown) - 1) - 0.32 * i
            _intervals(left, 100 * values, y + shift, COLOURS[i], prob)
        left.axvline(0, color="#777777", lw=0.8, zorder=1)
        left.set(title="What a doubling changes", xlabel="change of the mean score (points)")
        drawn, seen = (tree[g].to_dataset()["score"] for g in ("prior_predictive", "observed_data"))
        for k, (_, colour) in enumerate(lines.items()):
            rows = [_extremes(drawn, name)[k] for name in names]
            _intervals(right, 100 * np.stack(rows, 1), y + 0.26 - 0.26 * k, colour, prob)
            if observed:
                marks = [100 * _extremes(seen, name)[k][0] for name in names]
                right.plot(marks, y + 0.26 - 0.26 * k, "x", color="black", ms=4, zorder=4)
        right.set(title="What models score", xlabel="score (%)", xlim=(-1, 101))
        left.set_yticks(y, names)
        if figure is None:
            right.set_yticks(y, names)
        plain_rows(left, right)
        handles: list[Any] = [key(doubled[n], COLOURS[i], "o") for i, n in enumerate(shown)]
        handles += [key(name, colour, "o") for name, colour in lines.items()]
        handles.append(Patch(color="#777777", alpha=0.3, lw=0, label=_masses(prob)))
        if observed:
            handles.append(key("in the table", "black", "x", ms=4))
        legend(figure, handles, inside=right)
    return axes


def predictive_check(
    found: PosteriorDraws | Surprises,
    benchmarks: str | list[str] | None = None,
    coverage: bool = False,
    ncols: int | None = None,
) -> np.ndarray:
    """Observed scores against what the fit expects of them, by benchmark: PIT, or coverage.

    Drawn by :func:`arviz_plots.plot_ppc_pit`: the distribution of the PIT (the probability of a
    lower score) less that of the uniform law, which it should follow. A line that rises through
    the middle from below to above says that scores fall nearer to their medians than the
    intervals say, one that falls there that intervals are too narrow, one that stays below that
    scores are higher than expected. What is shaded or marked as suspicious is ArviZ's test, for
    independent scores.

    Parameters
    ----------
    found
        The ``surprises()`` of a posterior: each score is compared with what all the others say
        of it. Or a posterior, in less time: with its replicates, though the fit has seen the
        score, so that intervals look too wide.
    benchmarks
        Benchmarks to draw; by default all that have two scores or more.
    coverage
        Draw how many scores central intervals hold, less how many they should.
    ncols
        Panels in a row; four at most by default.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        One a benchmark, flat.

    Raises
    ------
    UnknownNameError
        If a benchmark is unknown.
    DataError
        If there is none.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> post = sb.load("leaderboard")
    >>> len(sb.plots.predictive_check(post, benchmarks=["MMLU", "GSM8K"]))
    2
    """
    from arviz_plots import plot_ppc_pit

    if isinstance(found, PosteriorDraws):
        title = "In sample: the fit has seen these scores"
        drawn, score = (
            found.replicated()["score"],
            found.tree["observed_data"].to_dataset()["score"],
        )
        of = score["obs_benchmark"].values.astype(str)
        both = drawn.values, score.values
    else:
        title = "Leave-one-out: each score by what the others say of it"
        pit = found.frame["pit"].to_numpy(float)
        of = found.frame["benchmark"].to_numpy(str)
        # a PIT is its own under the uniform law
        uniform = (np.arange(_GRID) + 0.5) / _GRID
        both = np.broadcast_to(uniform[None, :, None], (1, _GRID, pit.size)), pit
    many = pd.Series(of).value_counts(sort=False)
    order = found.benchmarks if isinstance(found, PosteriorDraws) else many.index
    known = [str(name) for name in order if many.get(name, 0) > 1]
    names = chosen(benchmarks, known, ncols)
    ncols = min(ncols or 4, len(names))
    groups = {}
    for group, values in zip(("posterior_predictive", "observed_data"), both):
        dims = ("chain", "draw")[: values.ndim - 1]
        each = {n: ((*dims, f"of {n}"), values[..., of == n]) for n in names}
        groups[group] = xr.Dataset(each, {d: np.arange(k) for d, k in zip(dims, values.shape)})
    figsize = (2.6 * ncols + 0.4, 2.2 * -(-len(names) // ncols) + 0.5)
    with plt.rc_context(STYLE):
        drawing_of = plot_ppc_pit(
            xr.DataTree.from_dict(groups), coverage=coverage, backend="matplotlib",
            visuals={"xlabel": False, "ylabel": False, "ecdf_lines": {"color": COLOURS[0]}},
            col_wrap=ncols, figure_kwargs={"figsize": figsize, "layout": "constrained"},
        )  # fmt: skip
        axes = np.array([drawing_of.viz["plot"][name].item() for name in names], object)
        if coverage:
            labels = "central interval (%)", "share inside, less nominal"
        else:
            labels = "PIT", "ECDF, less uniform"
        outer_labels(axes, ncols, *labels)
        axes[0].figure.suptitle(title, x=0.01, ha="left", fontsize="medium")
        as_written(axes[0].figure)
    return axes


def _extremes(score: xr.DataArray, benchmark: str) -> list[np.ndarray]:
    """Best, mean and worst score on a benchmark, draw by draw where there are draws."""
    here = score[..., score["obs_benchmark"].values.astype(str) == benchmark]
    return [getattr(here, of)("observation").values.ravel() for of in ("max", "mean", "min")]


def _masses(prob: float) -> str:
    return f"{100 * prob:g}% and {100 * _INNER:g}% intervals"


def _intervals(axis: Axes, values: np.ndarray, y: np.ndarray, colour: str, prob: float) -> None:
    """Median and intervals of draws ``(S, rows)``, a line a row."""
    for mass, width in ((prob, 1.0), (min(prob, _INNER), 3.2)):
        middle, low, high = median_and_ends(values, mass)
        axis.hlines(y, low, high, color=colour, lw=width)
    axis.plot(middle, y, "o", color=colour, mec="white", mew=0.6, ms=4.5, zorder=3)
