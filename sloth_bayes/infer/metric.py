"""Low-rank metric: linear coordinates in which a posterior is nearly round.

Hierarchies leave ridges between shared and local parameters that no scale of single
parameters follows. The variational guide keeps correlations, and NUTS mixes, because both
work in coordinates that :func:`follow_gradients` has learned from draws and gradients.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import solve_triangular


class Metric(NamedTuple):
    """A scale of each parameter and a few stretched directions: coordinates ``y``.

    ``x = mean + scale * (y + vectors (stretch * vectors' y))``. The vectors are kept with
    their transpose: a compiled program then goes along the rows of both.
    """

    mean: np.ndarray  # (D,)
    scale: np.ndarray  # (D,)
    vectors: np.ndarray  # (D, k), orthonormal columns
    transposed: np.ndarray  # (k, D)
    stretch: np.ndarray  # (k,)

    @classmethod
    def of(cls, mean: Any, scale: Any, vectors: Any, stretch: Any) -> Metric:
        """A metric in single precision."""
        arrays = (mean, scale, vectors, np.asarray(vectors).T, stretch)
        return cls(*(np.ascontiguousarray(a, np.float32) for a in arrays))

    @classmethod
    def identity(cls, size: int) -> Metric:
        """That of the parameters themselves."""
        return cls.of(np.zeros(size), np.ones(size), np.zeros((size, 0)), np.zeros(0))

    def to_x(self, y: np.ndarray) -> np.ndarray:
        """Parameters (..., D) from coordinates."""
        return self.mean + self.scale * self._stretch(y, self.stretch)

    def to_y(self, x: np.ndarray) -> np.ndarray:
        """Coordinates (..., D) from parameters: the inverse of :meth:`to_x`."""
        return self._stretch((x - self.mean) / self.scale, 1 / (1 + self.stretch) - 1)

    def slopes(self, gradients: np.ndarray) -> np.ndarray:
        """Gradients (..., D) with respect to coordinates, from those with respect to parameters."""
        return self._stretch(gradients * self.scale, self.stretch)

    def log_det(self) -> float:
        """Log of the volume of parameters per volume of coordinates."""
        return float(np.log(self.scale, dtype=float).sum() + np.log1p(self.stretch).sum())

    def _stretch(self, y: np.ndarray, stretch: np.ndarray) -> np.ndarray:
        return y + (y @ self.vectors * stretch) @ self.transposed


def follow_gradients(draws: np.ndarray, gradients: np.ndarray, rank: int) -> Metric:
    """The metric in which draws, and the gradients there, look like a standard normal's.

    For a normal density with covariance ``S`` the gradients of the potential have
    covariance ``S^-1``, so ``S`` is the geometric mean of the covariance of the draws and
    the inverse covariance of the gradients: exactly so whatever the draws are, which a
    covariance of few draws in many dimensions is not. Each parameter is scaled so; then
    the directions in which draws or gradients vary most are stretched so, up to `rank`
    (the Fisher divergence of Seyboldt, Carlson and Carpenter, arXiv 2603.18845).

    Parameters
    ----------
    draws, gradients
        ``(n, D)`` each: rows from the typical set, and gradients of the potential there.
    rank
        Number of stretched directions; few draws leave the last of them unstretched.
    """
    x = np.asarray(draws, np.float64)
    centre = x.mean(0)
    x = x - centre
    g = np.nan_to_num(np.asarray(gradients, np.float64))
    g = g - g.mean(0)
    scale = np.sqrt(np.maximum(x.std(0), 1e-8) / np.maximum(g.std(0), 1e-8))
    x, g = x / scale, g * scale
    width, size = min(rank, len(x) - 1), x.shape[1]
    if 2 * width < size:
        # Half of the directions from each: the long ones show in draws, the stiff in gradients.
        each = [np.linalg.svd(rows, full_matrices=False)[2][:width] for rows in (x, g)]
        basis = np.linalg.qr(np.concatenate(each).T)[0]
        x, g = x @ basis, g @ basis
    else:
        basis = np.eye(size)
    ridge = 1e-5 * np.eye(basis.shape[1])
    of_draws, of_gradients = (np.cov(rows.T) + ridge for rows in (x, g))
    # Their geometric mean S solves S of_gradients S = of_draws, by any root of of_gradients.
    root = np.linalg.cholesky(of_gradients)
    values, vectors = np.linalg.eigh(root.T @ of_draws @ root)
    half = solve_triangular(root, vectors * np.maximum(values, 1e-12) ** 0.25, lower=True, trans=1)
    values, vectors = np.linalg.eigh(half @ half.T)
    keep = np.argsort(-np.abs(np.log(values)))[:rank]
    none = [(0, rank - len(keep))]  # as many of few draws: programs are compiled for a shape
    vectors = np.pad(basis @ vectors[:, keep], [(0, 0), *none])
    return Metric.of(centre, scale, vectors, np.pad(np.sqrt(values[keep]) - 1, none))
