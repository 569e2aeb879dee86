"""Laws against each other: on scores that were hidden from all, or by leave-one-out; and stacked.

A law is chosen by how it forecasts what it has not seen. Evaluations of the same folds, one a law
(:func:`sloth_bayes.cross_validate`), are compared cell by cell; posteriors of the same table by
PSIS leave-one-out, which rewards describing the table. Laws that are good at different distances
can be stacked: hierarchical stacking (Yao, Pirs, Vehtari & Gelman, 2021, section 3), with the
doublings of compute beyond what was shown as the one input of the weights.
"""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp, softmax

from ..errors import DataError, SpecError, check_known
from ..posterior.core import PosteriorDraws
from ..support.checks import check_prob
from .evaluation import KEY, Evaluation, clusters

Compared: TypeAlias = "Mapping[str, Evaluation] | Mapping[str, PosteriorDraws]"
_CELL = [*KEY, "model", "benchmark"]
_PARTS = 10  # of the families, to score a stack on what its weights have not seen
_READ = ["family", "log_score", "error", "crps", "interval_score", "covered_90", "width_90"]
_DRAWS = 4000  # of a mixture
_FAR = 15.0  # doublings from which on distance changes nothing


class Drawn(Protocol):
    """A forecast: what :class:`sloth_bayes.Forecast` has."""

    @property
    def frame(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def draws(self) -> xr.Dataset: ...  # noqa: D102


def compare_laws(found: Compared) -> pd.DataFrame:
    """Compare laws that forecast the same hidden scores, or were fitted to the same table.

    Parameters
    ----------
    found
        By name, evaluations of the same folds, or posteriors of the same table. At least two.

    Returns
    -------
    pandas.DataFrame
        One row a law, the best first. Of evaluations: log_score (nats a score; averaged within a
        fold, then over folds and settings), difference (to the best law) and se (its standard
        error, over families); mae, crps, cover_90 and width_90 as in
        :meth:`~sloth_bayes.Evaluation.summary`; r_hat (of the worst fold), not_converged (folds),
        cells. Of posteriors: what :func:`arviz_stats.compare` gives.

    Raises
    ------
    DataError
        If they are not of the same scores, or of different kinds.
    SpecError
        If there are fewer than two.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> strict, loose = (sb.load_evaluation("leaderboard", part) for part in ("strict", "loose"))
    >>> table = sb.compare_laws({"hidden": strict, "twins visible": loose})
    >>> table.index[0], bool(table["difference"].iloc[1] < 0)
    ('twins visible', True)
    """
    evaluations = _checked(found)
    if evaluations is None:
        return _by_loo(found)  # type: ignore[arg-type]
    scores, weight, cluster = _aligned(evaluations)
    best = int(np.argmax(weight @ scores))
    rows = []
    for k, (name, one) in enumerate(evaluations.items()):
        mean, se = _mean(scores[:, k] - scores[:, best], weight, cluster)
        frame, summary = one.frame, one.summary().loc[("all", 0)]
        rows.append(
            {
                "law": name,
                "log_score": float(weight @ scores[:, k]),
                "difference": mean,
                "se": se,
                **summary[["mae", "crps", "cover_90", "width_90"]],
                "r_hat": frame["r_hat"].max() if "r_hat" in frame else np.nan,
                "not_converged": len(one.not_converged()),
                "cells": len(frame),
            }
        )
    table = pd.DataFrame(rows).set_index("law")
    return table.sort_values("log_score", ascending=False, kind="stable")


@dataclasses.dataclass(frozen=True)
class Stack:
    """Laws with weights that depend on the distance: the answer of :func:`stack`.

    Attributes
    ----------
    laws : tuple of str
        Their names.
    coefficients : numpy.ndarray
        ``(K, 2)``: of the log weights, before they are made to add up to one, on 1 and
        ``log2(1 + doublings)``.
    best : str
        The best single law.
    gain, se : float
        By how much the stack beats it (nats a score, on families that its weights were not fitted
        to), and the standard error of that, over families. A stack is worth its trouble where the
        gain exceeds two of them.
    """

    laws: tuple[str, ...]
    coefficients: npt.NDArray[np.float64]
    best: str
    gain: float
    se: float

    def weights(self, doublings: npt.ArrayLike) -> pd.DataFrame:
        """Weights of the laws at distances, in doublings of compute; a row a distance.

        NaN, a family of which nothing was shown, is weighed as 15, and so is what is farther.
        """
        try:
            d = np.atleast_1d(np.asarray(doublings, float))
        except (TypeError, ValueError):
            raise DataError(f"doublings must be numbers, not {doublings!r}") from None
        if d.ndim > 1:
            raise DataError("doublings must be a list of numbers")
        frame = pd.DataFrame(softmax(_inputs(d) @ self.coefficients.T, axis=1), columns=self.laws)
        return frame.set_axis(pd.Index(d, name="doublings"))

    def summary(
        self, forecasts: Mapping[str, Drawn], of: str = "score", prob: float = 0.9
    ) -> pd.DataFrame:
        """Forecasts of the mixture: draws of each law's forecast, in the share of its weight.

        Parameters
        ----------
        forecasts
            Of the same candidates and benchmarks, one a law, by name.
        of, prob
            As :meth:`sloth_bayes.Forecast.summary` takes them.

        Returns
        -------
        pandas.DataFrame
            model, benchmark, mean, median, sd, lower, upper, prob, doublings.

        Raises
        ------
        DataError
            If a law's forecast is missing, or they are not of the same candidates.
        """
        prob = check_prob(prob)
        check_known("forecast", [of], ["expected", "score"])
        if not isinstance(forecasts, Mapping) or set(forecasts) != set(self.laws):
            raise DataError(f"a forecast is needed of each of {', '.join(self.laws)}, by name")
        each = [forecasts[name] for name in self.laws]
        if not all(hasattr(fc, "frame") and hasattr(fc, "draws") for fc in each):
            raise DataError("give forecasts (post.forecast), one of each law")
        first = each[0].frame
        for fc in each[1:]:
            if not fc.frame[["model", "benchmark"]].equals(first[["model", "benchmark"]]):
                raise DataError("the forecasts are not of the same candidates and benchmarks")
            if not np.allclose(fc.frame["doublings"], first["doublings"], equal_nan=True):
                raise DataError(
                    "the laws do not agree on how far the candidates are from what they were "
                    "fitted to: fit them to one table"
                )
        draws = [fc.draws[of].values.reshape(-1, len(first)) for fc in each]
        weights = self.weights(first["doublings"]).to_numpy()
        rows = []
        for i in range(len(first)):
            ends = np.round(np.cumsum(weights[i]) * _DRAWS).astype(int)
            sizes = np.diff(ends, prepend=0)
            mixed = np.concatenate(
                [x[np.linspace(0, len(x) - 1, n).astype(int), i] for x, n in zip(draws, sizes)]
            ).astype(float)
            low, middle, high = np.quantile(mixed, [(1 - prob) / 2, 0.5, (1 + prob) / 2])
            rows.append((mixed.mean(), middle, mixed.std(), low, high, prob))
        told = pd.DataFrame(rows, columns=["mean", "median", "sd", "lower", "upper", "prob"])
        return pd.concat([first[["model", "benchmark"]], told, first["doublings"]], axis=1)


def stack(found: Mapping[str, Evaluation]) -> Stack:
    """Weights of laws by distance, from how well they forecast what was hidden.

    The log weights are linear in ``log2(1 + doublings)``, with standard normal priors on their
    coefficients (so that few scores leave equal weights), and at the mode of the stacked log
    score of all hidden scores, every fold counting once. What it gains is measured on families
    left out of the weights, a tenth at a time.

    Parameters
    ----------
    found
        By name, evaluations of the same folds, which say how far their models are.

    Returns
    -------
    Stack

    Raises
    ------
    DataError
        If they are not of the same scores, or do not say how far their models are.
    SpecError
        If there are fewer than two.

    Examples
    --------
    >>> import numpy as np
    >>> import sloth_bayes as sb
    >>> one = sb.load_evaluation("leaderboard", "strict")
    >>> frame = one.frame.assign(doublings=2.0)
    >>> worse = frame.assign(log_score=frame["log_score"] - 3)
    >>> stacked = sb.stack({name: sb.Evaluation(f, one.means, {}) for name, f in
    ...                     {"law": frame, "worse": worse}.items()})
    >>> stacked.best, bool(stacked.weights(2.0)["law"].iloc[0] > 0.7)
    ('law', True)
    """
    evaluations = _checked(found)
    if evaluations is None:
        raise DataError("a stack is of evaluations (sb.cross_validate), not of posteriors")
    scores, weight, cluster = _aligned(evaluations)
    first = next(iter(evaluations.values()))
    if "doublings" not in first.frame:
        raise DataError(
            "these evaluations do not say how far their models are from those that were shown: run "
            "them again (sb.cross_validate, or sloth-bayes evaluate)"
        )
    frame = first.frame.astype(dict.fromkeys(["setting", "fold"], str))
    x = _inputs(
        pd.to_numeric(frame.set_index(_CELL).sort_index()["doublings"], "coerce").to_numpy()
    )
    best = int(np.argmax(weight @ scores))
    each = np.random.default_rng(0).permutation(cluster.max() + 1) % _PARTS
    stacked = np.empty(len(scores))
    for part in range(_PARTS):
        out = each[cluster] == part
        if out.any():
            fitted = _fitted(scores[~out], x[~out], weight[~out])
            stacked[out] = logsumexp(scores[out] + log_softmax(x[out] @ fitted.T, axis=1), axis=1)
    gain, se = _mean(stacked - scores[:, best], weight, cluster)
    laws = tuple(evaluations)
    return Stack(laws, _fitted(scores, x, weight), laws[best], gain, se)


def _fitted(
    scores: npt.NDArray[np.float64], x: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Coefficients ``(K, 2)`` at the mode."""
    k = scores.shape[1]
    weight = weight * len(weight) / weight.sum()  # as many scores as there are
    best = scores.max(axis=1, keepdims=True)

    def loss(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        b = flat.reshape(k, 2)
        logs = log_softmax(x @ b.T, axis=1)
        total = logsumexp(scores - best + logs, axis=1)
        share = np.exp(scores - best + logs - total[:, None])
        slope = ((share - np.exp(logs)) * weight[:, None]).T @ x
        return 0.5 * float((b**2).sum()) - float(weight @ total), (b - slope).ravel()

    return minimize(loss, np.zeros(2 * k), jac=True, method="L-BFGS-B").x.reshape(k, 2)


def _inputs(doublings: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """``(n, 2)``: 1 and ``log2(1 + doublings)``."""
    far = np.log2(1 + np.clip(np.nan_to_num(doublings, nan=_FAR), 0, _FAR))
    return np.stack([np.ones_like(far), far], axis=1)


def _checked(found: Compared) -> dict[str, Evaluation] | None:
    """The evaluations, or None for posteriors."""
    if not isinstance(found, Mapping) or len({str(name) for name in found}) < 2:
        raise SpecError("give at least two laws, by name: {'a': one, 'b': other}")
    if len({str(name) for name in found}) < len(found):
        raise SpecError("two laws have the same name")
    kinds = {isinstance(one, Evaluation) for one in found.values()}
    if kinds == {True}:
        return {str(name): one for name, one in found.items() if isinstance(one, Evaluation)}
    if kinds == {False} and all(isinstance(one, PosteriorDraws) for one in found.values()):
        return None
    raise DataError(
        "laws are compared by evaluations of the same folds, or by posteriors: not both"
    )


def _aligned(evaluations: Mapping[str, Evaluation]) -> tuple[npt.NDArray[Any], ...]:
    """Log scores ``(cells, K)``, weights that add up to one, and what shares its luck, numbered."""
    frames = []
    for name, one in evaluations.items():
        if missing := [c for c in (*_CELL, *_READ) if c not in one.frame]:
            raise DataError(f"the evaluation of {name} has no column {missing[0]!r}")
        frame = one.frame.astype(dict.fromkeys(["setting", "fold", "family"], str))
        frames.append(frame.set_index(_CELL).sort_index())
        if frames[-1].index.has_duplicates or not frame.size:
            what = "scores cells twice" if frame.size else "has no scores"
            raise DataError(f"the evaluation of {name} {what}")
        if not frames[-1].index.equals(frames[0].index):
            raise DataError("the evaluations do not score the same cells: run the same folds")
    each = {name: pd.to_numeric(f["log_score"], "coerce") for name, f in zip(evaluations, frames)}
    for name, values in each.items():
        if values.isna().any():
            raise DataError(
                f"the forecasts of {name} have no log score: compare laws that have draws"
            )
        if not np.isfinite(values).all():
            raise DataError(f"{name} gives no chance at all to a score that came true")
    cells = frames[0].reset_index()
    settings = cells.groupby(KEY[:2])
    folds = settings["fold"].transform("nunique")
    size = cells.groupby(KEY)["model"].transform("size")
    weight = (1 / (settings.ngroups * folds * size)).to_numpy(float)
    _, cluster = np.unique(clusters(cells), return_inverse=True)
    return np.stack([values.to_numpy(float) for values in each.values()], 1), weight, cluster


def _mean(
    value: npt.NDArray[np.float64],
    weight: npt.NDArray[np.float64],
    cluster: npt.NDArray[np.int64],
) -> tuple[float, float]:
    """A weighted mean, and its standard error, families being drawn."""
    mean = float(weight @ value)
    each = np.bincount(cluster, weight * (value - mean))
    n = len(each)
    error = float(np.sqrt((each**2).sum() * n / (n - 1))) if n > 1 else float("nan")
    return mean, error


def _by_loo(found: Mapping[str, PosteriorDraws]) -> pd.DataFrame:
    from arviz_stats import compare

    tables = {post.attrs.get("data_fingerprint") for post in found.values()}
    if len(tables) > 1:
        raise DataError("the posteriors are not of the same table: fit the laws to one")
    raw = {"round_to": "none"} if "round_to" in inspect.signature(compare).parameters else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # its column warning says it
        try:  # unrounded, as older versions of ArviZ have it
            return compare({str(name): post.data_tree for name, post in found.items()}, **raw)
        except ValueError as error:
            raise DataError(
                f"leave-one-out needs more draws than a thinned posterior has: {error}"
            ) from None
