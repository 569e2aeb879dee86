"""Forecasts at every size and number of tokens, in few numbers.

The quantiles of a model's scores are surfaces over the logs of size and tokens. They are smooth,
but for bends at the compute of observed models where families walk away from the law. So they are
polynomials between these, of compute (the log of size times tokens) and of where the size lies
among those that the compute leaves. The surfaces of a model on all benchmarks resemble each other:
they are weighted sums of few parts (a singular value decomposition), in whole numbers. What that
loses is measured at points between the nodes.
"""

from __future__ import annotations

import math
import zlib
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.polynomial.chebyshev import chebpts1, chebvander

from ..law.equations import doublings_of_compute
from ..posterior.core import PosteriorDraws
from ..predict.candidates import moved
from ..predict.forecast import Forecast
from ..support.threads import progress_bar

ACROSS = 11  # nodes among the sizes of one compute
_ALONG = 4, 1.0  # nodes between two bends, and more of them a doubling
_BELOW, _ABOVE = 0.5, 2.0  # doublings beyond the data that are offered
_LEFT_OUT = 0.0015  # of a score, that parts left out may amount to at a node
_STEP = 0.0004  # of a score: what parts are rounded to, and by what a weight moves a node
_MOST = 2**15 - 1  # of a whole number
_CHECKED = 200  # points at which the loss is measured
_APART = 0.02  # doublings between bends, below which they are one


class Surface(NamedTuple):
    """Quantiles of a model's scores: ``(weights * steps) @ parts``.

    Attributes
    ----------
    ends : numpy.ndarray
        ``(B + 1,)`` of the pieces, in doublings of compute.
    counts : list of int
        Nodes along each piece; the parts' columns go piece by piece.
    weights : numpy.ndarray
        ``(J * L, K)`` whole numbers, of J benchmarks and L levels.
    steps : numpy.ndarray
        ``(K,)`` what they are in.
    parts : numpy.ndarray
        ``(K, sum(counts) * ACROSS)`` whole numbers: coefficients of Chebyshev polynomials.
    """

    ends: np.ndarray
    counts: list[int]
    weights: np.ndarray
    steps: np.ndarray
    parts: np.ndarray


class Surfaces(NamedTuple):
    """Those of all models.

    Attributes
    ----------
    span : dict
        Ends, in log2, of ``params_b`` (billions) and ``tokens_t`` (trillions).
    models : list of Surface
        One a model.
    error : float
        The largest error, in scores, at points between the nodes.
    checked : int
        How many quantiles it was measured at.
    """

    span: dict[str, tuple[float, float]]
    models: list[Surface]
    error: float
    checked: int

    def packed(self) -> bytes:
        """Weights and parts of each model, part by part, deflated: low bytes, then high bytes.

        Without sign, as 0, -1, 1, -2, ...: most high bytes are 0.
        """
        each = [array.ravel() for m in self.models for array in (m.weights.T, m.parts)]
        whole = np.concatenate(each).astype(np.int32)
        plain = np.where(whole < 0, -2 * whole - 1, 2 * whole).astype("<u2")
        return zlib.compress(plain.reshape(-1, 1).view(np.uint8).T.tobytes(), 9)


def surfaces(
    post: PosteriorDraws,
    models: pd.DataFrame,
    benchmarks: list[str],
    prob: float,
    seed: int,
    progress: bool | None,
) -> Surfaces:
    """The surfaces of completed candidates on benchmarks, at any size and number of tokens.

    Levels are the lower end, the median and the upper end of the central interval of mass `prob`.
    """
    span = _span(post)
    ends = [_ends(post, family, span) for family in models["family"]]
    counts = [
        [_ALONG[0] + math.ceil(_ALONG[1] * length) for length in np.diff(found)] for found in ends
    ]
    grids = [_nodes(found, along, span) for found, along in zip(ends, counts)]
    rng = np.random.default_rng(seed)
    which = rng.integers(len(models), size=_CHECKED)
    between = [np.exp2(rng.uniform(*span[name], _CHECKED)) for name in span]

    sizes = [grid.shape[1] for grid in grids]
    place = np.concatenate([np.repeat(np.arange(len(models)), sizes), which])
    where = np.concatenate([*grids, between], axis=1)
    rows = moved(post, models.iloc[place].reset_index(drop=True), *where)
    forecast = Forecast(post, rows, benchmarks, prob, seed, [])
    with progress_bar(len(rows), "forecasts", progress) as advance:
        found = forecast.quantiles([(1 - prob) / 2, 0.5, (1 + prob) / 2], advance)  # (L, M, J)
    *each, true = np.split(found.transpose(1, 2, 0), np.cumsum(sizes))  # (nodes, J, L)
    made = [_surface(*parts) for parts in zip(ends, counts, each)]
    again = [_at(made[m], span, *at).reshape(true.shape[1:]) for m, *at in zip(which, *between)]
    error = np.abs(np.clip(again, 0, 1) - np.clip(true, 0, 1))
    return Surfaces(span, made, float(error.max()), error.size)


def _span(post: PosteriorDraws) -> dict[str, tuple[float, float]]:
    """Sizes and tokens that are offered, in log2: some doublings beyond the data."""
    most = {"params_b": 20_000.0, "tokens_t": 100.0}  # beyond them nobody asks
    found = {}
    for column, end in most.items():
        low, high = post.extent(column)
        low, high = (low, high) if math.isfinite(low) else (1.0, 1.0)  # a law without tokens
        found[column] = (math.log2(low) - _BELOW, min(math.log2(high) + _ABOVE, math.log2(end)))
    return found


def _ends(post: PosteriorDraws, family: str, span: dict[str, tuple[float, float]]) -> np.ndarray:
    """Doublings of compute where the surfaces of a family bend, between the first and the last."""
    (small, large), (few, many) = span.values()
    bends = [small + many, large + few]  # where the sizes that a compute leaves change
    if post.spec.walk != "none":
        compute = post.constant("compute").astype(float)
        own = compute[post.constant("family_of_model").astype(str) == family]
        bends += own.tolist() or [float(compute.mean())]
    low, high = small + few, large + many
    inside = [low]
    for bend in np.sort(bends):
        if inside[-1] + _APART < bend < high - _APART:
            inside.append(float(bend))
    return np.round([*inside, high], 6)


def _nodes(ends: np.ndarray, counts: list[int], span: dict[str, tuple[float, float]]) -> np.ndarray:
    """Sizes and tokens ``(2, nodes)`` of a model."""
    compute = np.concatenate(
        [_outside(chebpts1(n), (a, b)) for n, a, b in zip(counts, ends, ends[1:])]
    )
    low, high = _sizes(compute, span)
    size = low[:, None] + (chebpts1(ACROSS) + 1) / 2 * (high - low)[:, None]
    return np.exp2([size.ravel(), (compute[:, None] - size).ravel()])


def _sizes(compute: np.ndarray, span: dict[str, tuple[float, float]]) -> np.ndarray:
    """The smallest and largest size, in log2, of a compute in doublings."""
    (small, large), (few, many) = span.values()
    return np.array([np.maximum(small, compute - many), np.minimum(large, compute - few)])


def _outside(where: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    """From -1 to 1, as a number between two ends."""
    return ends[0] + (where + 1) / 2 * (ends[1] - ends[0])


def _inverse(n: int) -> np.ndarray:
    """Coefficients of Chebyshev polynomials from values at their nodes."""
    return np.linalg.inv(chebvander(chebpts1(n), n - 1))


def _surface(ends: np.ndarray, counts: list[int], values: np.ndarray) -> Surface:
    """The surface of values ``(nodes, J, L)`` at the nodes."""
    wide = values.reshape(len(values), -1).T  # (J L, nodes)
    left, size, right = np.linalg.svd(wide, full_matrices=False)
    few, keep = 0, len(size)  # parts that do not suffice, and that do
    while keep - few > 1:
        some = (few + keep) // 2
        rest = np.abs((left[:, some:] * size[some:]) @ right[some:]).max()
        few, keep = (few, some) if rest < _LEFT_OUT else (some, keep)
    at_nodes = size[:keep, None] * right[:keep]
    first, parts = 0, []
    for n in counts:
        piece = at_nodes[:, first : first + n * ACROSS].reshape(keep, n, ACROSS)
        found = np.einsum("ai,kij,bj->kab", _inverse(n), piece, _inverse(ACROSS))
        parts.append(found.reshape(keep, -1))
        first += n * ACROSS
    coefficients = np.concatenate(parts, axis=1)
    of_parts = np.maximum(_STEP, np.abs(coefficients).max(1) / _MOST)
    of_weights = np.maximum(_STEP / np.abs(at_nodes).max(1), 1 / _MOST)
    steps = np.array([float(f"{step:.3g}") for step in of_parts * of_weights])
    weights = np.round(left[:, :keep] * of_parts / steps)
    numbers = np.round(coefficients / of_parts[:, None])
    return Surface(
        ends,
        counts,
        np.clip(weights, -_MOST, _MOST).astype(np.int16),
        steps,
        numbers.astype(np.int16),
    )


def _at(
    of: Surface, span: dict[str, tuple[float, float]], params_b: float, tokens_t: float
) -> np.ndarray:
    """Quantiles ``(J L,)`` at a size and a number of tokens."""
    compute = doublings_of_compute(params_b, tokens_t)
    piece = int(np.clip(np.searchsorted(of.ends, compute) - 1, 0, len(of.counts) - 1))
    n, first = of.counts[piece], ACROSS * sum(of.counts[:piece])
    along = chebvander(_inside(compute, of.ends[piece : piece + 2]), n - 1)
    across = chebvander(_inside(np.log2(params_b), _sizes(compute, span)), ACROSS - 1)
    parts = of.parts[:, first : first + n * ACROSS] @ np.outer(along, across).ravel()
    found: np.ndarray = (of.weights * of.steps) @ parts
    return found


def _inside(value: float, ends: np.ndarray) -> float:
    """Where a number is between two ends, from -1 to 1."""
    return float(2 * (value - ends[0]) / (ends[1] - ends[0]) - 1)
