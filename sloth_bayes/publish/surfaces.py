"""Forecasts at every size and number of tokens, in few numbers.

The quantiles of a model's score are smooth surfaces over the logs of size and tokens. They are
computed at Chebyshev nodes, and so as coefficients of polynomials; the surfaces of all models and
benchmarks resemble each other, so that each is a mean plus weighted parts common to all (principal
components), the weights rounded. What that loses is measured between the nodes.
"""

from __future__ import annotations

import math
import zlib
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.polynomial.chebyshev import chebpts1, chebvander

from ..posterior.core import PosteriorDraws
from ..predict.forecast import Forecast
from ..support.threads import progress_bar

NODES = (17, 11)  # along size, along tokens
_BELOW, _ABOVE = 1.0, 3.0  # doublings beyond the data that are offered
_LEFT_OUT = 0.0005  # of a score, that parts left out may amount to at a node
_STEP = 0.0002  # of a score: what weights are rounded to
_CHECKED = 200  # points at which the loss is measured


class Surfaces(NamedTuple):
    """Quantiles of R rows (a model's on a benchmark): ``mean + weights @ parts``.

    Attributes
    ----------
    span : dict
        Ends, in log2, of ``params_b`` (billions) and ``tokens_t`` (trillions).
    parts : numpy.ndarray
        ``(1 + K, L, *NODES)``: coefficients of Chebyshev polynomials in size and tokens, of the
        mean and then of each part, for L levels.
    weights : numpy.ndarray
        ``(R, K)`` whole numbers.
    error : float
        The largest error, in scores, at points between the nodes.
    checked : int
        How many quantiles it was measured at.
    """

    span: dict[str, tuple[float, float]]
    parts: np.ndarray
    weights: np.ndarray
    error: float
    checked: int

    def at(self, rows: np.ndarray, params_b: np.ndarray, tokens_t: np.ndarray) -> np.ndarray:
        """Quantiles ``(P, L)`` of some rows at P sizes and tokens, one each."""
        x, y = (
            chebvander(_inside(np.log2(values), ends), n - 1)
            for values, ends, n in zip((params_b, tokens_t), self.span.values(), NODES)
        )
        parts = np.einsum("klij,pi,pj->pkl", self.parts, x, y, optimize=True)
        found = parts[:, 0] + np.einsum("pk,pkl->pl", self.weights[rows], parts[:, 1:])
        return np.clip(found, 0.0, 1.0)

    def packed(self) -> bytes:
        """Deflated: the parts (float32), then low and high bytes of the weights, part by part.

        Weights are without sign, 0, -1, 1, -2, ...: most high bytes are 0.
        """
        weights = self.weights.T.astype(np.int32)
        whole = np.where(weights < 0, -2 * weights - 1, 2 * weights).astype("<u2")
        planes = whole.reshape(-1, 1).view(np.uint8).T
        return zlib.compress(self.parts.astype("<f4").tobytes() + planes.tobytes(), 9)


def _inside(log2: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    """Where numbers are between two ends, from -1 to 1."""
    return 2 * (log2 - ends[0]) / (ends[1] - ends[0]) - 1


def _outside(where: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    """The other way round."""
    return np.exp2(ends[0] + (where + 1) / 2 * (ends[1] - ends[0]))


def span_of(post: PosteriorDraws) -> dict[str, tuple[float, float]]:
    """Sizes and tokens that are offered, in log2: some doublings beyond the data."""
    most = {"params_b": 20_000.0, "tokens_t": 100.0}  # beyond them nobody asks
    found = {}
    for column, end in most.items():
        low, high = post.extent(column)
        found[column] = (math.log2(low) - _BELOW, min(math.log2(high) + _ABOVE, math.log2(end)))
    return found


def surfaces(
    post: PosteriorDraws,
    models: pd.DataFrame,
    benchmarks: list[str],
    prob: float,
    seed: int,
    progress: bool | None,
) -> Surfaces:
    """The surfaces of models, a row each as :func:`completed` makes them, on benchmarks.

    Rows are in the order of the models and, within each, of the benchmarks; levels are the lower
    end, the median and the upper end of the central interval of mass `prob`.
    """
    levels = [(1 - prob) / 2, 0.5, (1 + prob) / 2]
    span = span_of(post)
    nodes = [chebpts1(n) for n in NODES]
    size, tokens = (_outside(at, ends) for at, ends in zip(nodes, span.values()))
    rng = np.random.default_rng(seed)
    which = rng.integers(len(models), size=_CHECKED)
    between = [_outside(rng.uniform(-1, 1, _CHECKED), ends) for ends in span.values()]

    every = np.repeat(np.arange(len(models)), size.size * tokens.size)
    grid = [np.tile(a.ravel(), len(models)) for a in np.meshgrid(size, tokens, indexing="ij")]
    place = np.concatenate([every, which])
    rows = models.iloc[place].reset_index(drop=True)
    rows["params_b"], rows["tokens_t"] = (np.append(a, b) for a, b in zip(grid, between))
    forecast = Forecast(post, rows, benchmarks, prob, seed, [])
    with progress_bar(len(rows), "forecasts", progress) as advance:
        found = forecast.quantiles(levels, advance)  # (L, M, J)

    at_nodes = found[:, : every.size].reshape(3, len(models), *NODES, len(benchmarks))
    inverse = [np.linalg.inv(chebvander(at, at.size - 1)) for at in nodes]
    of = np.einsum("ai,lmijb,cj->mblac", inverse[0], at_nodes, inverse[1], optimize=True)
    parts, weights = _parts(of.reshape(len(models) * len(benchmarks), 3, *NODES), nodes)
    made = Surfaces(span, parts, weights, 0.0, 0)
    true = np.clip(found[:, every.size :], 0.0, 1.0)
    row = which[:, None] * len(benchmarks) + np.arange(len(benchmarks))
    again = [made.at(row[:, j], *between).T for j in range(len(benchmarks))]
    error = np.abs(np.stack(again, axis=-1) - true)
    return made._replace(error=float(error.max()), checked=error.size)


def _parts(of: np.ndarray, nodes: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """A mean and parts ``(1 + K, L, ...)`` and weights ``(R, K)`` of surfaces ``(R, L, ...)``."""
    shape = of.shape[1:]
    flat = of.reshape(len(of), -1)
    mean = flat.mean(0)
    _, turn = np.linalg.eigh((flat - mean).T @ (flat - mean))
    turn = turn[:, ::-1].T  # the largest first
    scores = (flat - mean) @ turn.T
    x, y = (chebvander(at, at.size - 1) for at in nodes)
    wide = turn.reshape(-1, *shape)
    at_nodes = np.einsum("klij,ai,bj->klab", wide, x, y, optimize=True).reshape(len(turn), -1)

    few, keep = 0, len(turn)  # parts that do not suffice, and that do
    while keep - few > 1:
        some = (few + keep) // 2
        left = scores[:, some:] @ at_nodes[some:]
        few, keep = (few, some) if np.abs(left).max() < _LEFT_OUT else (some, keep)
    step = _STEP / np.abs(at_nodes[:keep]).max(1)  # a step moves no node by more
    weights = np.round(scores[:, :keep] / step)
    weights = np.clip(weights, -(2**15), 2**15 - 1).astype(np.int16)
    parts = np.concatenate([mean[None], turn[:keep] * step[:, None]])
    return parts.reshape(-1, *shape), weights
