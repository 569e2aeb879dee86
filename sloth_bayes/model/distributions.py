"""Distributions of the law's parameters: joint blocks, and effects nested in lineages.

Sites are sampled in coordinates in which the posterior is round; :mod:`sloth_bayes.model.scores`
says which and why.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import log_ndtr, ndtr, ndtri
from scipy.special import betaln, gammaln

from ..law import slopes
from .arrays import Arrays


def standard_normal(name: str, shape: tuple[int, ...]) -> Any:
    """Sample independent standard normals."""
    return numpyro.sample(name, dist.Normal(0.0, 1.0).expand(shape).to_event(len(shape)))


def half_normal(name: str, scale: float) -> Any:
    """Sample a half-normal."""
    return numpyro.sample(name, dist.HalfNormal(scale))


class Triangle(NamedTuple):
    """A lower triangle (d, d) with a positive diagonal, and what densities need of it.

    Both are computed once: each would be a dozen small kernels, with its derivatives.
    """

    tril: Any
    inverse: Any
    log_det: Any

    def times(self, factor: float) -> Triangle:
        """The triangle times a number."""
        log_det = self.log_det + self.tril.shape[0] * math.log(factor)
        return Triangle(factor * self.tril, self.inverse / factor, log_det)

    def dual(self) -> Triangle:
        """The transposed inverse: an upper triangle."""
        return Triangle(self.inverse.T, self.tril.T, -self.log_det)


@jax.custom_jvp
def triangle_inverse(tril: Any) -> Any:
    """Inverse of a lower triangle, whose derivative needs no other."""
    return jax.scipy.linalg.solve_triangular(tril, jnp.eye(tril.shape[0]), lower=True)


@triangle_inverse.defjvp
def _(args: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    inverse = triangle_inverse(*args)
    return inverse, -inverse @ tangents[0] @ inverse


class Rows(dist.Distribution):
    """Independent normal rows: covariance ``spread^2 tril tril'``."""

    support = dist.constraints.independent(dist.constraints.real, 2)

    def __init__(self, triangle: Triangle, shape: tuple[int, int], spread: Any = 1.0) -> None:
        self.triangle = triangle
        self.spread = jnp.broadcast_to(spread, (shape[0], 1))
        super().__init__(batch_shape=(), event_shape=shape)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draw rows."""
        noise = jax.random.normal(key, (*sample_shape, *self.event_shape))
        return self.spread * (noise @ self.triangle.tril.T)

    def log_prob(self, value: Any) -> Any:
        """Joint log density of all rows."""
        z = (value / self.spread) @ self.triangle.inverse.T
        rows, width = self.event_shape
        log_det = rows * self.triangle.log_det + width * jnp.log(self.spread).sum()
        return -0.5 * (z**2).sum() - log_det - 0.5 * rows * width * math.log(2 * math.pi)


class Squares(dist.Gamma):
    """Squares of the triangle's diagonal: chi-squared with ``d, d - 1, ..., 1`` degrees."""

    def __init__(self, d: int) -> None:
        self.half = 0.5 * np.arange(d, 0, -1.0)
        super().__init__(self.half, 0.5)

    def log_prob(self, value: Any) -> Any:
        """Log density of each, its constants computed now rather than by the program."""
        constant = gammaln(self.half) + self.half * math.log(2.0)
        return (self.half - 1) * jnp.log(value) - 0.5 * value - constant


def nested_log_density(w: Any, known: Any, share: Any, members: Any) -> Any:
    """Log density of standardised effects ``w`` (F, C) of families nested in lineages.

    ``w_f = v_l + e_f`` with ``v_l ~ Normal(0, share)`` and ``e_f ~ Normal(0, 1 - share)``;
    the lineage part ``v`` is integrated out: it would be a layer of parameters that data
    reach only through another. Effects that are not `known` count as independent standard
    normals. Constants are left out.
    """
    if share is None:
        return -0.5 * (w**2).sum()
    # In sums of squares rather than deviations from means: less to compute, and 0.001 off at
    # a share of 0.9 (0.03 at 0.999) in single precision.
    k = members @ known
    whole = 1 - share + share * k
    own = known * w
    total = members @ own
    quadratic = ((own**2).sum() - share * (total**2 / whole).sum()) / (1 - share)
    log_det = ((k - 1) * jnp.log1p(-share) + jnp.log(whole)).sum()
    return -0.5 * (quadratic + log_det + ((1 - known) * w**2).sum())


def nested_draw(key: Any, share: Any, members: Any, columns: int) -> Any:
    """Draw standardised effects (F, C) from the prior of :func:`nested_log_density`."""
    here, there = jax.random.split(key)
    own = jax.random.normal(here, (members.shape[1], columns))
    if share is None:
        return own
    common = members.T @ jax.random.normal(there, (members.shape[0], columns))
    return jnp.sqrt(share) * common + jnp.sqrt(1 - share) * own


def nested_complete(key: Any, w: Any, known: Any, share: Any, members: Any) -> tuple[Any, Any]:
    """Draw what :func:`nested_log_density` leaves out, given the known effects.

    Returns
    -------
    lineage, whole
        Lineage parts (L, C), None without lineages, and effects (F, C) with those that
        are not known drawn around their lineage's.
    """
    here, there = jax.random.split(key)
    noise = jax.random.normal(here, w.shape)
    if share is None:
        return None, jnp.where(known > 0, w, noise)
    k = members @ known
    whole = 1 - share + share * k
    lineage = share * (members @ (known * w)) / whole
    lineage = lineage + jnp.sqrt(share * (1 - share) / whole) * jax.random.normal(there, k.shape)
    drawn = members.T @ lineage + jnp.sqrt(1 - share) * noise
    return lineage, jnp.where(known > 0, w, drawn)


class NestedSkills(dist.Distribution):
    """Effects of families on the skills, in anchor units: covariance ``tril tril'``."""

    support = dist.constraints.independent(dist.constraints.real, 2)

    def __init__(self, triangle: Triangle, known: Any, share: Any, members: Any) -> None:
        self.triangle, self.known, self.share, self.members = triangle, known, share, members
        super().__init__(batch_shape=(), event_shape=(members.shape[1], triangle.tril.shape[0]))

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draw effects; only single draws are needed."""
        w = nested_draw(key, self.share, self.members, self.event_shape[1])
        return jnp.where(self.known > 0, w @ self.triangle.tril.T, w)

    def standardise(self, value: Any) -> Any:
        """Effects of unit variance and no correlation between skills."""
        return jnp.where(self.known > 0, value @ self.triangle.inverse.T, value)

    def log_prob(self, value: Any) -> Any:
        """Joint log density, up to a constant."""
        known = jnp.broadcast_to(self.known, self.event_shape)
        density = nested_log_density(self.standardise(value), known, self.share, self.members)
        return density - self.known.sum() * self.triangle.log_det


class NestedResiduals(dist.Distribution):
    """Family x benchmark residuals, as a vector of those cells that have scores.

    Each is sampled between its own value and its standardised deviation: divided by its
    scale to the power of how far data inform it (Papaspiliopoulos, Roberts and Skoeld,
    2003); `log_spread` is the logarithm of that. An effect that data pin down must not be a
    product of two unknowns: mean-field guides then shrink the scale to nothing, and NUTS
    follows a ridge. One without data must not be tied to its scale: that is a funnel.
    """

    support = dist.constraints.real_vector

    def __init__(self, log_spread: Any, known: Any, share: Any, arrays: Arrays) -> None:
        self.log_spread, self.known, self.share, self.arrays = log_spread, known, share, arrays
        super().__init__(batch_shape=(), event_shape=(arrays.cell_family.shape[0],))

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draw residuals; only single draws are needed."""
        a = self.arrays
        w = nested_draw(key, self.share, a.members, self.known.shape[1])
        w = jnp.where(self.known > 0, w * jnp.exp(self.log_spread), w)
        return w[a.cell_family, a.cell_benchmark]

    def standardise(self, value: Any) -> Any:
        """Residuals (F, J) of unit variance; 0 in cells that have no scores in the table."""
        dense = jnp.concatenate([value, jnp.zeros(1)])[self.arrays.cell_position]
        return jnp.where(self.known > 0, dense * jnp.exp(-self.log_spread), dense)

    def log_prob(self, value: Any) -> Any:
        """Joint log density, up to a constant."""
        density = nested_log_density(
            self.standardise(value), self.known, self.share, self.arrays.members
        )
        return density - (self.known * self.log_spread).sum()


@slopes.with_slopes
def above_zero(z: Any, loc: Any, scale: float, xp: Any) -> tuple[Any, slopes.Slopes]:
    """Normal(loc, scale) truncated to positive values, from standard normal `z`."""
    positive = ndtr(loc / scale)
    above = positive * ndtr(-z)
    inside = (above > 1e-30) & (above < 1 - 1e-6)
    q = ndtri(jnp.clip(above, 1e-30, 1 - 1e-6))
    slope = scale * positive * jnp.exp(0.5 * (q**2 - z**2))
    return loc - scale * q, lambda: (jnp.where(inside, slope, 0.0), None, None)


@slopes.with_slopes
def shortfall_of(z: Any, mean: float, xp: Any) -> tuple[Any, slopes.Slopes]:
    """Beta(1, 1 / mean - 1), from standard normal `z`."""
    power = mean / (1 - mean)
    log_above = log_ndtr(-z)
    slope = jnp.exp((power - 1) * log_above - 0.5 * z**2) * power / math.sqrt(2 * math.pi)
    return -jnp.expm1(power * log_above), lambda: (slope, None)


class Share(dist.Beta):
    """Beta, its constants computed now rather than by the program."""

    def log_prob(self, value: Any) -> Any:
        """Log density."""
        a, b = self.concentration1, self.concentration0
        return (a - 1) * jnp.log(value) + (b - 1) * jnp.log1p(-value) - betaln(a, b)
