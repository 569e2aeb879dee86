"""Distributions: joint blocks of parameters, effects nested in lineages, and scores.

Sites are sampled in coordinates in which the posterior is round; :mod:`sloth_bayes.model.loadings`
says which and why.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.scipy.special import log_ndtr, ndtr, ndtri
from scipy.special import betaln, gammaln

from ..law import likelihood, slopes


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
    """Normal vectors (d,) of covariance ``spread^2 tril tril'``, one a `spread`."""

    support = dist.constraints.real_vector
    pytree_data_fields = ("triangle", "spread")

    def __init__(self, triangle: Triangle, spread: Any = 1.0, *, validate_args: Any = None) -> None:
        self.triangle, self.spread = triangle, jnp.asarray(spread)
        width = triangle.tril.shape[0]
        super().__init__(self.spread.shape, (width,), validate_args=validate_args)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draw vectors."""
        noise = jax.random.normal(key, self.shape(sample_shape))
        return self.spread[..., None] * (noise @ self.triangle.tril.T)

    def log_prob(self, value: Any) -> Any:
        """Log density of each vector."""
        z = (value / self.spread[..., None]) @ self.triangle.inverse.T
        width = self.event_shape[0]
        log_det = self.triangle.log_det + width * jnp.log(self.spread)
        return -0.5 * (z**2).sum(-1) - log_det - 0.5 * width * math.log(2 * math.pi)


class Squares(dist.Gamma):
    """Squares of the triangle's diagonal: chi-squared with ``d, d - 1, ..., 1`` degrees."""

    def __init__(self, d: int) -> None:
        self.half = 0.5 * np.arange(d, 0, -1.0)
        super().__init__(self.half, 0.5)

    def log_prob(self, value: Any) -> Any:
        """Log density of each, its constants computed now rather than by the program."""
        constant = gammaln(self.half) + self.half * math.log(2.0)
        return (self.half - 1) * jnp.log(value) - 0.5 * value - constant


class Nesting(NamedTuple):
    """The group of each of E effects: the lineage of a family, say."""

    group: Any  # (E,)
    number: int  # of groups

    def total(self, effects: Any) -> Any:
        """Sums over groups, of effects ``(E, ...)``."""
        zeros = jnp.zeros((self.number, *effects.shape[1:]))
        return zeros.at[self.group].add(effects, mode="promise_in_bounds")

    def each(self, of_groups: Any) -> Any:
        """What the group of each effect has."""
        return of_groups.at[self.group].get(mode="promise_in_bounds")


def nested_log_density(w: Any, known: Any, share: Any, nesting: Nesting) -> Any:
    """Log density of standardised effects ``w``, ``(E, ...)``, nested in groups.

    ``w_f = v_l + e_f`` with ``v_l ~ Normal(0, share)`` and ``e_f ~ Normal(0, 1 - share)``;
    the group's part ``v`` is integrated out: it would be a layer of parameters that data
    reach only through another. Effects that are not `known`, of the same shape or ``(E, 1)``,
    count as independent standard normals.
    """
    constant = 0.5 * w.size * math.log(2 * math.pi)
    if share is None:
        return -0.5 * (w**2).sum() - constant
    # In sums of squares rather than deviations from means: less to compute, and 0.001 off at
    # a share of 0.9 (0.03 at 0.999) in single precision.
    k = nesting.total(known)
    whole = 1 - share + share * k
    own = known * w
    total = nesting.total(own)
    quadratic = ((own**2).sum() - share * (total**2 / whole).sum()) / (1 - share)
    log_det = ((k - 1) * jnp.log1p(-share) + jnp.log(whole)).sum() * (w.size // known.size)
    return -0.5 * (quadratic + log_det + ((1 - known) * w**2).sum()) - constant


def nested_draw(key: Any, share: Any, nesting: Nesting, columns: int) -> Any:
    """Draw standardised effects (E, C) from the prior of :func:`nested_log_density`."""
    here, there = jax.random.split(key)
    own = jax.random.normal(here, (nesting.group.shape[0], columns))
    if share is None:
        return own
    common = nesting.each(jax.random.normal(there, (nesting.number, columns)))
    return jnp.sqrt(share) * common + jnp.sqrt(1 - share) * own


def nested_complete(key: Any, w: Any, known: Any, share: Any, nesting: Nesting) -> tuple[Any, Any]:
    """Draw what :func:`nested_log_density` leaves out, given the known effects.

    Returns
    -------
    group, whole
        Parts of the groups (G, C), None without any, and effects (E, C) with those that
        are not known drawn around their group's.
    """
    here, there = jax.random.split(key)
    noise = jax.random.normal(here, w.shape)
    if share is None:
        return None, jnp.where(known > 0, w, noise)
    k = nesting.total(known)
    whole = 1 - share + share * k
    group = share * nesting.total(known * w) / whole
    group = group + jnp.sqrt(share * (1 - share) / whole) * jax.random.normal(there, k.shape)
    drawn = nesting.each(group) + jnp.sqrt(1 - share) * noise
    return group, jnp.where(known > 0, w, drawn)


def _many(single: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """A method that draws once, made to draw any number."""

    @functools.wraps(single)
    def sample(self: Any, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        if not sample_shape:
            return single(self, key)
        keys = jax.random.split(key, math.prod(sample_shape))
        draws = jax.vmap(lambda key: single(self, key))(keys)
        return draws.reshape(*sample_shape, *draws.shape[1:])

    return sample


class NestedSkills(dist.Distribution):
    """Effects of families on the skills, in anchor units: covariance ``tril tril'``."""

    support = dist.constraints.independent(dist.constraints.real, 2)

    def __init__(self, triangle: Triangle, known: Any, share: Any, lineages: Nesting) -> None:
        self.triangle, self.known, self.share, self.lineages = triangle, known, share, lineages
        super().__init__(batch_shape=(), event_shape=(len(known), triangle.tril.shape[0]))

    @_many
    def sample(self, key: Any) -> Any:
        """Draw effects."""
        w = nested_draw(key, self.share, self.lineages, self.event_shape[1])
        return jnp.where(self.known > 0, w @ self.triangle.tril.T, w)

    def standardise(self, value: Any) -> Any:
        """Effects of unit variance and no correlation between skills."""
        return jnp.where(self.known > 0, value @ self.triangle.inverse.T, value)

    def log_prob(self, value: Any) -> Any:
        """Joint log density."""
        w = self.standardise(value)
        density = nested_log_density(w, self.known, self.share, self.lineages)
        return density - self.known.sum() * self.triangle.log_det


class NestedResiduals(dist.Distribution):
    """Family x benchmark residuals, as a vector of those C cells that have scores.

    Each is sampled between its own value and its standardised deviation: divided by its
    scale to the power of how far data inform it (Papaspiliopoulos, Roberts and Skoeld,
    2003); `log_spread` is the logarithm of that. An effect that data pin down must not be a
    product of two unknowns: mean-field guides then shrink the scale to nothing, and NUTS
    follows a ridge. One without data must not be tied to its scale: that is a funnel.
    """

    support = dist.constraints.real_vector

    def __init__(self, log_spread: Any, known: Any, share: Any, groups: Nesting) -> None:
        self.log_spread, self.known, self.share, self.groups = log_spread, known, share, groups
        super().__init__(batch_shape=(), event_shape=known.shape)

    @_many
    def sample(self, key: Any) -> Any:
        """Draw residuals."""
        return nested_draw(key, self.share, self.groups, 1)[:, 0] * jnp.exp(self.log_spread)

    def log_prob(self, value: Any) -> Any:
        """Joint log density."""
        w = value * jnp.exp(-self.log_spread)
        density = nested_log_density(w, self.known, self.share, self.groups)
        return density - self.log_spread.sum()


@slopes.with_slopes
def above_zero(z: Any, loc: Any, scale: Any, xp: Any) -> tuple[Any, slopes.Slopes]:
    """Normal(loc, scale) truncated to positive values, from standard normal `z`."""
    positive = ndtr(loc / scale)
    above = positive * ndtr(-z)
    inside = (above > 1e-30) & (above < 1 - 1e-6)
    q = ndtri(jnp.clip(above, 1e-30, 1 - 1e-6))
    slope = scale * positive * jnp.exp(0.5 * (q**2 - z**2))
    return loc - scale * q, lambda: (jnp.where(inside, slope, 0.0), None, None)


@slopes.with_slopes
def shortfall_of(z: Any, mean: Any, xp: Any) -> tuple[Any, slopes.Slopes]:
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


class Score(dist.Distribution):
    """Scores: a heavy-tailed measurement of `mu`, clipped to [0, 1] and rounded.

    Its density is relative to Lebesgue measure on (0, 1) plus a unit mass at 0 and at 1 where
    scores are not rounded (`rounding` 0); and to `rounding` times the counting measure on the
    grid of that step where they are. It integrates to one.

    Parameters
    ----------
    observation
        The law of a standardised score (:class:`sloth_bayes.law.likelihood.StudentT`).
    mu, sd
        Its centre before clipping, and its scale.
    rounding
        Step of the scores; 0 where they are not rounded.
    touched
        False promises that no value is rounded, touches 0, or touches 1: less work.
    """

    arg_constraints: ClassVar = {"mu": dist.constraints.real, "sd": dist.constraints.positive}
    support = dist.constraints.unit_interval
    reparametrized_params: ClassVar = ["mu", "sd"]
    pytree_data_fields = ("rounding",)
    pytree_aux_fields = ("observation", "touched")

    def __init__(
        self, observation: likelihood.Observation, mu: Any, sd: Any, rounding: Any = 0.0,
        touched: tuple[bool, bool, bool] = (True, True, True), *, validate_args: Any = None,
    ) -> None:  # fmt: skip
        self.observation, self.touched = observation, touched
        shape = jnp.broadcast_shapes(jnp.shape(mu), jnp.shape(sd), jnp.shape(rounding))
        self.mu, self.sd, self.rounding = (jnp.broadcast_to(a, shape) for a in (mu, sd, rounding))
        super().__init__(shape, validate_args=validate_args)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draw scores as a table would hold them."""
        noise = self.observation.sample(key, self.shape(sample_shape))
        score = jnp.clip(self.mu + self.sd * noise, 0.0, 1.0)
        step = jnp.where(self.rounding > 0, self.rounding, 1.0)
        return jnp.where(self.rounding > 0, jnp.round(score / step) * step, score)

    def log_prob(self, value: Any) -> Any:
        """Log density of each score."""
        promises = dict(zip(("rounded", "floor", "ceiling"), self.touched))
        return likelihood.log_likelihood(
            value, self.mu, self.sd, self.observation, self.rounding, jnp, **promises
        )

    @property
    def mean(self) -> Any:
        """Mean of the clipped score, before it is rounded."""
        low, high = -self.mu / self.sd, (1.0 - self.mu) / self.sd
        below = self.observation.cdf_integral(high, jnp) - self.observation.cdf_integral(low, jnp)
        return 1.0 - self.sd * below
