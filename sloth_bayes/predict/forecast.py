"""Forecasts: the scores of models nobody has trained, as distributions.

Held fixed: the candidate's size, tokens and family. Random: every parameter of the
posterior; the family's own effects, from the population, if the family is new; the
model-level effect of the candidate; and, for the score, the observation noise.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import ConvergenceWarning, DataError, ExtrapolationWarning, unknown
from ..law.likelihood import mixture_quantiles
from ..posterior.core import PosteriorDraws
from ..support.checks import check_prob
from ..support.html import shown
from ..support.intervals import quantiles
from ..support.threads import workers
from ..support.types import checked
from ..support.words import listed
from .answer import labelled
from .candidates import (
    completed,
    doublings,
    extrapolation,
    moved,
    never_seen,
    of_another_kind,
    unfounded,
    unread,
)
from .new_effects import Known, effects_of, identity, key_of, rng_of


@dataclasses.dataclass(eq=False, repr=False)
class Forecast:
    """Forecast scores of some candidates.

    Nothing is drawn before it is asked for. Summaries go over blocks of candidates, in
    threads, and keep no draws, so that thousands of candidates fit in little memory. Each is of
    one candidate by itself; what several have in common is in :attr:`draws`.

    Attributes
    ----------
    candidates : pandas.DataFrame
        The models, one a row, with lineage and instruct filled in.
    benchmarks : list of str
        The benchmarks that were asked for.
    prob : float
        Mass of the central interval in :attr:`frame`.
    warnings : list of str
        What to keep in mind: a fit that has not converged, or is a first look; extrapolation;
        families never seen. Attributes of the frames have it too, with the fit's standing.
    """

    posterior: PosteriorDraws
    candidates: pd.DataFrame
    benchmarks: list[str]
    prob: float
    seed: int
    warnings: list[str]

    def __post_init__(self) -> None:
        self._known = Known.of(self.posterior)
        self._blocks = list(self.posterior.blocks(len(self.candidates)))

    def __repr__(self) -> str:
        return (
            f"<sloth_bayes.Forecast: {len(self.candidates)} model(s) x {len(self.benchmarks)} "
            f"benchmark(s), {self.posterior.n_draws} draws, {self.prob:.0%} intervals>"
        )

    def _repr_html_(self) -> str:
        return shown(
            repr(self),
            self.frame.drop(columns=["family", "mean", "sd", "prob"]),
            standing=self.posterior.standing, notes=self.warnings, form="{:#.3g}",
        )  # fmt: skip

    @cached_property
    def draws(self) -> xr.Dataset:
        """All draws: dims chain, draw, model, benchmark.

        ``score`` (posterior predictive, in [0, 1]) and ``expected`` (the expected score
        without observation noise), in single precision: 8 bytes a draw, model and
        benchmark together.
        """
        shape = (len(self.candidates), len(self.benchmarks), self.posterior.n_draws)
        arrays = np.empty((2, *shape), np.float32)

        def fill(block: slice) -> None:
            mu, sd = self._cells(block, alike=False)
            arrays[0][block], arrays[1][block] = list(self._scores(block, mu, sd)), mu

        for _ in _in_threads(fill, self._blocks):
            pass
        labels = {"model": self.candidates["model"].to_numpy(str), "benchmark": self.benchmarks}
        score, expected = np.moveaxis(arrays, -1, 1)
        return labelled(self.posterior, labels, score=score, expected=expected)

    def _cells(self, block: slice, alike: bool) -> tuple[np.ndarray, np.ndarray]:
        """Expected scores and noise scales of some candidates: (model, benchmark, draw)."""
        post, rows = self.posterior, self.candidates.iloc[block]
        cells = post.cells(effects_of(post, rows, self.seed, self._known, alike=alike))
        mu, sd = (array.transpose(1, 2, 0) for array in cells)
        if self.benchmarks == post.benchmarks:
            return mu, sd
        keep = [post.benchmarks.index(b) for b in self.benchmarks]
        return np.ascontiguousarray(mu[:, keep]), np.ascontiguousarray(sd[:, keep])

    def _scores(self, block: slice, mu: np.ndarray, sd: np.ndarray) -> Iterator[np.ndarray]:
        """Scores around those of :meth:`_cells`, of one candidate after another."""
        post = self.posterior
        keep = [post.benchmarks.index(b) for b in self.benchmarks]
        for row, m, s in zip(self.candidates.iloc[block].itertuples(), mu, sd):
            # The noise of all benchmarks is drawn whichever are kept, so that asking for one
            # of them gives the numbers that asking for all gives.
            rng = rng_of(key_of(self.seed, "noise", *identity(row)))
            noise = post.spec.observation.draw(rng, (post.n_draws, len(post.benchmarks)))
            yield np.clip(m + s * noise[:, keep].T, 0.0, 1.0)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The score, tidy: one row per model and benchmark, with its central interval."""
        return self.summary()

    def summary(self, of: str = "score", prob: float | None = None) -> pd.DataFrame:
        """Mean, median, standard deviation and central interval.

        Median and interval of a score are those of the mixture of the draws' densities: what
        quantiles of :attr:`draws` tend to as noise is drawn ever more often at each draw.
        So they follow size and tokens smoothly, and move little with the seed.

        Parameters
        ----------
        of
            ``"score"``: what an evaluation would report, before rounding; ``"expected"``:
            the expected score, without the noise of a single evaluation.
        prob
            Mass of the interval; that of the forecast by default.

        Returns
        -------
        pandas.DataFrame
            model, family, params_b, tokens_t, benchmark, mean, median, sd, lower, upper,
            prob, doublings; scores in [0, 1]. ``doublings`` is how far, in doublings of
            compute, the nearest model of its family in the fit is (NaN: there is none).

        Raises
        ------
        UnknownNameError
            If `of` is neither.
        DataError
            If `prob` is not between 0 and 1.
        """
        statistics, prob = self._statistics(of, prob)
        models = self._models()
        cells = models.merge(pd.DataFrame({"benchmark": self.benchmarks}), how="cross")
        away = cells.pop("doublings")
        return self._told(cells.assign(**statistics, prob=prob, doublings=away))

    def average(
        self,
        weights: Mapping[str, float] | None = None,
        of: str = "score",
        prob: float | None = None,
    ) -> pd.DataFrame:
        """The average score of each model over benchmarks, with its central interval.

        Of draws of all benchmarks together: what they have in common does not average out.

        Parameters
        ----------
        weights
            Weight of each benchmark, those left out having none; they are divided by their sum.
            By default all benchmarks of the forecast count the same.
        of, prob
            As :meth:`summary` takes them.

        Returns
        -------
        pandas.DataFrame
            model, family, params_b, tokens_t, mean, median, sd, lower, upper, prob, doublings;
            one row a model, scores in [0, 1].

        Raises
        ------
        UnknownNameError
            If a weight is that of a benchmark that is not forecast, or `of` is unknown.
        DataError
            If a weight is negative or no number, or all are 0.

        Examples
        --------
        >>> import sloth_bayes as sb
        >>> fc = sb.load("leaderboard").forecast(sb.candidates("qwen2", 60, 7))
        >>> row = fc.average({"MMLU": 2, "HellaSwag": 1}).iloc[0]
        >>> bool(0.7 < row["lower"] < row["median"] < row["upper"] < 0.95)
        True
        """
        each = mean_weights(self.benchmarks, weights)[None].astype(np.float32)
        statistics, prob = self._statistics(of, prob, each)
        models = self._models()
        away = models.pop("doublings")
        return self._told(models.assign(**statistics, prob=prob, doublings=away))

    def _told(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame, whose attributes say what it rests on."""
        frame.attrs.update(fit=self.posterior.standing, warnings=list(self.warnings))
        return frame

    @cached_property
    def doublings(self) -> np.ndarray:
        """Of compute between each candidate and the nearest of its family in the fit, ``(M,)``.

        NaN of a family without one.
        """
        return doublings(self.posterior, self.candidates)

    def _models(self) -> pd.DataFrame:
        """The candidates and how far they are."""
        models = self.candidates[["model", "family", "params_b", "tokens_t"]]
        return models.reset_index(drop=True).assign(doublings=self.doublings)

    def _statistics(
        self, of: str, prob: float | None, weights: np.ndarray | None = None
    ) -> tuple[dict[str, np.ndarray], float]:
        """Summaries of each benchmark or, with weights (1, J), of their sum; and the mass."""
        if of not in ("score", "expected"):
            raise unknown("summary", of, ["score", "expected"])
        prob = check_prob(self.prob if prob is None else prob)
        levels, law = [(1 - prob) / 2, 0.5, (1 + prob) / 2], self.posterior.spec.observation

        def summarise(block: slice) -> np.ndarray:
            cells, found = self._cells(block, alike=weights is None), []
            scores = self._scores(block, *cells) if of == "score" else cells[0]
            for values, mu, sd in zip(scores, *cells):  # one model: fits a cache
                values = values if weights is None else weights @ values
                mean, spread = values.mean(-1, dtype=np.float64), values.std(-1, dtype=np.float64)
                if of == "score" and weights is None:
                    ends = [*mixture_quantiles(mu, sd, law, levels).clip(0.0, 1.0)]
                else:
                    ends = quantiles(values, levels)
                lower, median, upper = ends
                found.append([mean, median, spread, lower, upper])
            return np.array(found).swapaxes(0, 1)

        statistics = np.concatenate(list(_in_threads(summarise, self._blocks)), axis=1)
        columns = ("mean", "median", "sd", "lower", "upper")
        return dict(zip(columns, statistics.reshape(5, -1))), prob

    def quantiles(
        self, levels: Sequence[float], advance: Callable[[int], None] | None = None
    ) -> np.ndarray:
        """Quantiles of the score ``(L, M, J)``, as :attr:`frame` has them, but not clipped.

        For the layers above. `advance` is told how many models are done.
        """

        def integrate(block: slice) -> np.ndarray:
            law, cells = self.posterior.spec.observation, self._cells(block, alike=True)
            found = np.stack(  # one model: fits a cache
                [mixture_quantiles(m, s, law, levels) for m, s in zip(*cells)], axis=1
            )
            if advance is not None:
                advance(found.shape[1])
            return found

        return np.concatenate(list(_in_threads(integrate, self._blocks)), axis=1)

    def at(self, row: int, params_b: np.ndarray) -> Forecast:
        """One of the candidates at other sizes, under its own name. For the layers above."""
        rows = self.candidates.iloc[[row] * len(params_b)].reset_index(drop=True)
        rows = moved(self.posterior, rows, params_b, rows["tokens_t"].to_numpy())
        return Forecast(self.posterior, rows, self.benchmarks, self.prob, self.seed, [])

    def plot(self, benchmarks: list[str] | None = None, **options: Any) -> np.ndarray[Any, Any]:
        """Score against size with its interval; see :func:`sloth_bayes.plots.forecast`.

        Returns
        -------
        numpy.ndarray of matplotlib.axes.Axes
        """
        from ..plots import scores

        return scores.forecast(self, benchmarks=benchmarks, **options)


def at_ceilings(fc: Forecast, frame: pd.DataFrame) -> list[str]:
    """A sentence, if intervals of a summary reach what is most likely a benchmark's ceiling.

    There the law has no room for a better model, and is as sure as it is of the ceiling. For the
    layers above.
    """
    median = dict(zip(fc.posterior.benchmarks, np.median(fc.posterior.merged["upper"], axis=0)))
    there = frame["benchmark"][frame["upper"] >= frame["benchmark"].map(median)].unique()
    if not len(there):
        return []
    named = listed([f"{b} ({100 * median[b]:.1f}%)" for b in there])
    return [
        f"intervals reach the ceiling that the models of the fit suggest on {named}: newer models "
        "may pass it"
    ]


def mean_weights(names: Sequence[str], weights: Mapping[str, float] | None) -> np.ndarray:
    """Weights of a mean over benchmarks ``(J,)``, of sum one; all the same if None.

    Raises
    ------
    UnknownNameError
        If a benchmark is none of them.
    DataError
        If a weight is negative or no number, or none is positive.
    """
    if weights is None:
        return np.full(len(names), 1 / len(names))
    if not isinstance(weights, Mapping):
        raise DataError(f"weights are numbers by benchmark, not {type(weights).__name__}")
    if not weights:
        raise DataError("the weights are empty: give at least one benchmark a weight")
    out = np.zeros(len(names))
    for name, weight in weights.items():
        if name not in names:
            raise unknown("benchmark", name, names)
        if not isinstance(weight, int | float) or not math.isfinite(weight) or weight < 0:
            raise DataError(f"the weight of {name} must be a number of at least 0, not {weight!r}")
        out[names.index(name)] = weight
    if out.sum() == 0:
        raise DataError("all weights are 0: give at least one benchmark a positive weight")
    return out / out.sum()


@checked
def forecast(
    post: PosteriorDraws,
    candidates: pd.DataFrame,
    prob: float = 0.9,
    seed: int = 0,
    *,
    new_family: bool = False,
    benchmarks: str | list[str] | None = None,
) -> Forecast:
    """Forecast the scores of candidates.

    Parameters
    ----------
    post
        The posterior.
    candidates
        One row a model: model, family, params_b (billions), tokens_t (trillions);
        lineage, instruct or kind, and total_params_b are optional (see :func:`candidates`).
        A row that repeats a model of the fit (same name, family, size and tokens) is forecast
        with that model's own effect; any other model draws its effect from the population.
    prob
        Mass of the central interval.
    seed
        Seed of everything that is not in the posterior's draws. A candidate's draws
        depend on the seed and on what the candidate is, not on the other rows.
    new_family
        Accept families the posterior has not seen, drawn from the population of lineages
        (candidates of one new family share its draw). A new family of a known lineage (or
        of its lineage's name) is drawn around that lineage; with its lineage given it is
        accepted without `new_family`.
    benchmarks
        Benchmark or benchmarks to keep; all by default.

    Returns
    -------
    Forecast

    Raises
    ------
    UnknownNameError
        For a family or benchmark that the posterior does not know.
    DataError
        For a missing column, an unknown size or number of tokens, or nonsense numbers.

    Warns
    -----
    ExtrapolationWarning
        If a candidate is larger, or smaller, or trained on more or fewer tokens than any
        model of the fit; the message says by how much. If no model of its kind has a score on
        a benchmark, or its lineage is on leaderboards that share fewer than five models with
        the benchmark's.
    ConvergenceWarning
        If the diagnostics have been computed (a posterior that ships has them) and say
        that the fit has not converged.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> fc = sb.load("leaderboard").forecast(sb.candidates("qwen2", 60, 7), benchmarks="MMLU")
    >>> row = fc.frame.iloc[0]
    >>> bool(0.6 < row["lower"] < row["median"] < row["upper"] < 0.95)
    True
    """
    prob = check_prob(prob)
    rows = completed(post, candidates, new_family)
    benchmarks = [benchmarks] if isinstance(benchmarks, str) else benchmarks
    if benchmarks is not None and not len(benchmarks):
        raise DataError("no benchmark is asked for: leave benchmarks out for all of them")
    for name in benchmarks or []:
        if name not in post.benchmarks:
            raise unknown("benchmark", name, post.benchmarks)
    benchmarks = list(dict.fromkeys(benchmarks or post.benchmarks))

    notes = [*extrapolation(post, rows), *map(str, unfounded(post, rows, benchmarks))]
    for note in notes:
        warnings.warn(note, ExtrapolationWarning, stacklevel=3)
    if post.known_verdict is False:
        warnings.warn(post.cautions[0], ConvergenceWarning, stacklevel=3)
    notes = [*post.cautions, *notes, *of_another_kind(post, rows), *never_seen(post, rows)]
    notes += unread(post, candidates)
    return Forecast(post, rows, benchmarks, prob, seed, notes)


def _in_threads(task: Callable[[slice], Any], blocks: list[slice]) -> Iterator[Any]:
    """Results of a task for each block, in order; NumPy computes outside Python's lock."""
    pool = ThreadPoolExecutor(min(workers(), len(blocks)))
    try:
        yield from pool.map(task, blocks)
    finally:
        pool.shutdown(cancel_futures=True)
