"""Metric: linear coordinates, learned from draws and gradients, in which a posterior is round.

Hierarchies leave ridges that no scale of single parameters follows: of what belongs to one family
among itself, and of shared parameters with those of all families. Blocks of parameters that go
together take up the first, a few directions through all parameters the second. The variational
guide keeps correlations, and NUTS mixes, because both work in such coordinates.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

WIDTH = 32  # parameters of a block: few enough that hundreds of draws tell how they go together
_SPARE = 1.04  # slots for a parameter: groups of many sizes then fit into blocks
_NEAREST = 16  # parameters that one may be grouped with
_CLEAR = 3.5  # standard errors of a correlation that groups two
_ROWS = 1000  # parameters whose correlations are looked at together


class Blocks(NamedTuple):
    """Groups of parameters that are transformed together: a block-diagonal triangular matrix.

    A slot without a parameter goes with no other, and nobody reads it.
    """

    taken: np.ndarray  # (K, W) the parameter in each slot; any where there is none
    place: np.ndarray  # (D,) the slot of each parameter
    factor: np.ndarray  # (K, W, W) lower triangles
    inverse: np.ndarray  # (K, W, W)

    def forward(self, y: Any) -> Any:
        """Parameters (..., D) from coordinates."""
        return self._times(self.factor, y)

    def back(self, x: Any) -> Any:
        """Coordinates (..., D) from parameters."""
        return self._times(self.inverse, x)

    def slopes(self, gradients: Any) -> Any:
        """Gradients (..., D) with respect to coordinates, from those of parameters."""
        return self._times(self.factor.swapaxes(-1, -2), gradients)

    def log_det(self) -> float:
        """Log of the volume of parameters per volume of coordinates."""
        diagonal = np.diagonal(self.factor, axis1=-2, axis2=-1).reshape(-1)[self.place]
        return float(np.log(diagonal, dtype=float).sum())

    def _times(self, matrices: Any, rows: Any) -> Any:
        inside = matrices @ _taken(rows, self.taken)[..., None]
        return _taken(inside.reshape(*rows.shape[:-1], -1), self.place)


class Metric(NamedTuple):
    """A scale of each parameter, blocks of some, stretched directions of all: coordinates ``y``.

    ``x = mean + scale * blocks(y + vectors (stretch * vectors' y))``. The vectors are kept with
    their transpose: a compiled program then goes along the rows of both.
    """

    mean: np.ndarray  # (D,)
    scale: np.ndarray  # (D,)
    vectors: np.ndarray  # (D, k), orthonormal columns
    transposed: np.ndarray  # (k, D)
    stretch: np.ndarray  # (k,)
    blocks: Blocks | None = None

    @classmethod
    def of(
        cls, mean: Any, scale: Any, vectors: Any, stretch: Any, blocks: Blocks | None = None
    ) -> Metric:
        """A metric in single precision."""
        rows = (mean, scale, vectors, np.asarray(vectors).T, stretch)
        mean, scale, vectors, transposed, stretch = (
            np.ascontiguousarray(a, np.float32) for a in rows
        )
        return cls(mean, scale, vectors, transposed, stretch, blocks)

    @classmethod
    def identity(cls, size: int, rank: int = 0, width: int = 1) -> Metric:
        """That of the parameters themselves; of the shapes that :func:`follow_gradients` gives."""
        nothing = np.zeros((size, rank)), np.zeros(rank)
        return cls.of(np.zeros(size), np.ones(size), *nothing, _blocks(size, [], [], width))

    def to_x(self, y: np.ndarray) -> np.ndarray:
        """Parameters (..., D) from coordinates."""
        y = self._stretch(y, self.stretch)
        return self.mean + self.scale * (y if self.blocks is None else self.blocks.forward(y))

    def to_y(self, x: np.ndarray) -> np.ndarray:
        """Coordinates (..., D) from parameters: the inverse of :meth:`to_x`."""
        y = (x - self.mean) / self.scale
        y = y if self.blocks is None else self.blocks.back(y)
        return self._stretch(y, 1 / (1 + self.stretch) - 1)

    def slopes(self, gradients: np.ndarray) -> np.ndarray:
        """Gradients (..., D) with respect to coordinates, from those with respect to parameters."""
        g = gradients * self.scale
        return self._stretch(g if self.blocks is None else self.blocks.slopes(g), self.stretch)

    def log_det(self) -> float:
        """Log of the volume of parameters per volume of coordinates."""
        of_blocks = 0.0 if self.blocks is None else self.blocks.log_det()
        return (
            float(np.log(self.scale, dtype=float).sum() + np.log1p(self.stretch).sum()) + of_blocks
        )

    def _stretch(self, y: np.ndarray, stretch: np.ndarray) -> np.ndarray:
        return y + (y @ self.vectors * stretch) @ self.transposed


def follow_gradients(draws: np.ndarray, gradients: np.ndarray, rank: int, width: int = 1) -> Metric:
    """The metric in which draws, and the gradients there, look like a standard normal's.

    For a normal density with covariance ``S`` the gradients of the potential have
    covariance ``S^-1``, so ``S`` is the geometric mean of the covariance of the draws and
    the inverse covariance of the gradients: exactly so whatever the draws are, which a
    covariance of few draws in many dimensions is not. Each parameter is scaled so; then
    each group of parameters that draws or gradients show to go together; then the directions
    in which draws or gradients vary most are stretched so, up to `rank` (the Fisher divergence
    of Seyboldt, Carlson and Carpenter, arXiv 2603.18845).

    Parameters
    ----------
    draws, gradients
        ``(n, D)`` each: rows from the typical set, and gradients of the potential there.
    rank
        Number of stretched directions; few draws leave the last of them unstretched.
    width
        Parameters of a block; 1 for none.
    """
    x = np.asarray(draws, np.float64)
    centre = x.mean(0)
    x = x - centre
    g = np.nan_to_num(np.asarray(gradients, np.float64))
    g = g - g.mean(0)
    scale = np.sqrt(np.maximum(x.std(0), 1e-8) / np.maximum(g.std(0), 1e-8))
    x, g = x / scale, g * scale
    groups = grouped(x, g, width) if width > 1 else []
    blocks = _blocks(x.shape[1], groups, [_factor(x[:, i], g[:, i]) for i in groups], width)
    if blocks is not None:
        x, g = blocks.back(x), blocks.slopes(g)
    keep, size = min(rank, len(x) - 1), x.shape[1]
    if 2 * keep < size:
        # Half of the directions from each: the long ones show in draws, the stiff in gradients.
        basis = np.linalg.qr(np.concatenate([_longest(rows, keep) for rows in (x, g)], 1))[0]
        x, g = x @ basis, g @ basis
    else:
        basis = np.eye(size)
    ridge = 1e-5 * np.eye(basis.shape[1])
    values, vectors = np.linalg.eigh(_between(*(np.cov(rows.T) + ridge for rows in (x, g))))
    most = np.argsort(-np.abs(np.log(values)))[:rank]
    none = [(0, rank - len(most))]  # as many of few draws: programs are compiled for a shape
    vectors = np.pad(basis @ vectors[:, most], [(0, 0), *none])
    return Metric.of(centre, scale, vectors, np.pad(np.sqrt(values[most]) - 1, none), blocks)


def _longest(rows: np.ndarray, number: int) -> np.ndarray:
    """Directions (D, number) in which `rows` (n, D) vary most."""
    values, vectors = np.linalg.eigh(rows @ rows.T)
    return rows.T @ (vectors[:, -number:] / np.sqrt(np.maximum(values[-number:], 1e-12)))


def _between(of_draws: np.ndarray, of_gradients: np.ndarray) -> np.ndarray:
    """Geometric mean of a covariance and the inverse of another."""
    # It solves S of_gradients S = of_draws, by any root of of_gradients.
    root = np.linalg.cholesky(of_gradients)
    values, vectors = np.linalg.eigh(root.T @ of_draws @ root)
    half = np.linalg.solve(root.T, vectors * np.maximum(values, 1e-12) ** 0.25)
    return half @ half.T


def _factor(x: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Lower triangle (b, b) of a group: covariances, shrunk the more the fewer the draws are."""
    count, size = x.shape
    share = size / (size + 10 * count)
    each = []
    for rows in (x, g):
        found = np.cov(rows.T).reshape(size, size)
        each.append((1 - share) * found + share * np.diag(np.diag(found)) + 1e-5 * np.eye(size))
    return np.linalg.cholesky(_between(*each))


def grouped(x: np.ndarray, g: np.ndarray, width: int) -> list[np.ndarray]:
    """Which parameters go together, by correlations of draws or of gradients (n, D) each.

    The strongest pairs are joined first, groups of at most `width` growing from them.
    """
    count, size = x.shape
    near = min(_NEAREST, size - 1)
    unit = [np.asarray(rows / np.maximum(rows.std(0), 1e-30), np.float32) for rows in (x, g)]
    pairs, strengths = [], []
    for first in range(0, size, _ROWS):
        some = np.arange(first, min(first + _ROWS, size))
        strength = np.maximum(*(np.abs(rows[:, some].T @ rows) / count for rows in unit))
        strength[some - first, some] = 0.0
        other = np.argpartition(-strength, near - 1, 1)[:, :near]
        pairs.append(np.stack([np.repeat(some, near), other.ravel()]))
        strengths.append(np.take_along_axis(strength, other, 1).ravel())
    strength, (one, two) = np.concatenate(strengths), np.concatenate(pairs, 1)
    order = np.argsort(-strength, kind="stable")
    order = order[strength[order] > _CLEAR / math.sqrt(count)]
    group, members = np.arange(size), {k: [k] for k in range(size)}
    for a, b in zip(one[order], two[order]):
        a, b = group[a], group[b]
        if a != b and len(members[a]) + len(members[b]) <= width:
            group[members[b]] = a
            members[a] += members.pop(b)
    return [np.sort(found) for found in members.values() if len(found) > 1]


def _blocks(
    size: int, groups: list[np.ndarray], factors: list[np.ndarray], width: int
) -> Blocks | None:
    """Lay groups out in blocks, as many for any groups; what fits into none goes by itself."""
    if width <= 1:
        return None
    width = min(width, size)
    number = math.ceil(size / width * (_SPARE if size > width else 1))
    taken = np.zeros((number, width), np.int32)
    place = np.full(size, -1, np.int32)
    factor = np.tile(np.eye(width, dtype=np.float32), (number, 1, 1))
    full = np.zeros(number, int)
    for k in sorted(range(len(groups)), key=lambda k: -len(groups[k])):
        group, each = groups[k], factors[k]
        [fits] = np.nonzero(full + len(group) <= width)
        if fits.size:
            into, slots = fits[0], full[fits[0]] + np.arange(len(group))
            taken[into, slots] = group
            place[group] = into * width + slots
            factor[into, slots[:, None], slots] = each
            full[into] += len(group)
    left = np.flatnonzero(place < 0)
    free = np.flatnonzero((np.arange(width) >= full[:, None]).ravel())[: len(left)]
    taken.reshape(-1)[free], place[left] = left, free
    return Blocks(taken, place, factor, np.linalg.inv(factor))


def _taken(rows: Any, at: Any) -> Any:
    """Entries of the last axis; a compiled program need not look whether there are such."""
    if isinstance(rows, np.ndarray):
        return rows[..., at]
    return rows.at[..., at].get(mode="promise_in_bounds")
