"""The scores around their expected ones: noise, density and draws.

A measurement of the expected score, clipped to [0, 1] and rounded; of NumPy and JAX arrays
alike, as :mod:`sloth_bayes.law.equations`. What the law of a standardised score is, Student-t by
default, only :data:`LIKELIHOODS` and its entries know.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import SpecError
from ..support.intervals import quantiles
from .slopes import Array, Slopes, with_slopes

_UNROUNDED = 1e-6  # step of a score that is not rounded, where one is needed
_FAR = 100.0  # noise scales, beyond which no quantile is looked for
_NEAR, _STEPS = 2e-5, 60  # of Newton's method: the step, in score, that is its last


STUDENT_T_DF: tuple[int, ...] = (2, 3, 4, 5, 6, 8, 10)


# How the benchmark's own noise follows the fraction of the range, relative to its middle.
NOISE: dict[str, Callable[[Array], Array]] = {
    "proportional": lambda fraction: 0.1 + 0.9 * 4.0 * fraction * (1.0 - fraction),
    "constant": lambda fraction: 1.0,
}


def noise_sd(
    kind: str,
    mu: Array,
    fraction: Array,
    noise_scale: Array,
    sampling_fraction: Array,
    inverse_n: Array,
    xp: Any,
) -> Array:
    """Scale of the heavy-tailed observation noise.

    The variance adds the benchmark's own noise to `sampling_fraction` times the binomial
    variance ``mu (1 - mu) / N``. With ``kind="proportional"`` the benchmark's own noise is
    that of the predictor, seen through a logistic slope: full in the middle of the range
    and a tenth of it at floor and ceiling; ``"constant"`` leaves it flat.
    """
    own = noise_scale * NOISE[kind](fraction)
    binomial = xp.clip(mu * (1.0 - mu), 1e-4, None) * inverse_n
    return xp.sqrt(own**2 + sampling_fraction * binomial)


def student_t_logpdf(z: Array, df: float, xp: Any) -> Array:
    """Log density of a standard Student-t (normal if `df` is infinite)."""
    if math.isinf(df):
        return -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
    constant = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
    return constant - (df + 1) / 2 * xp.log1p(z**2 / df)


def student_t_logcdf(z: Array, df: float, xp: Any) -> Array:
    """Log distribution function of a standard Student-t with an integer `df`.

    Near the centre, the finite sums of Abramowitz and Stegun 26.7.3-4; in the left tail,
    where those cancel, the series of the incomplete beta function in ``df / (df + z^2)``
    (26.5.4), below a third there. Both hold in single precision and have gradients in
    `z`, which the incomplete beta function itself lacks in JAX.
    """
    if math.isinf(df):
        from scipy.stats import norm

        if xp is np:
            return norm.logcdf(z)
        from jax.scipy.stats import norm as jax_norm

        return jax_norm.logcdf(z)
    df = int(df)
    if df == 4:
        return _logcdf_4(z, xp)
    border = -1.5 * math.sqrt(df)
    near = xp.where(z < border, border, z)
    cos2 = 1.0 / (1.0 + near**2 / df)
    sin = near / math.sqrt(df) * xp.sqrt(cos2)
    term, total = xp.ones_like(near), xp.zeros_like(near)
    odd = df % 2
    for k in range(df // 2):
        total = total + term
        term = term * cos2 * (2 * k + 1 + odd) / (2 * k + 2 + odd)
    inner = sin * total
    if odd:
        inner = 2 / math.pi * (xp.arctan(near / math.sqrt(df)) + inner * xp.sqrt(cos2))
    centre = xp.log(0.5 + 0.5 * inner)

    half = df / 2
    log_beta = math.lgamma(half) + math.lgamma(0.5) - math.lgamma(half + 0.5)
    far = xp.where(z < border, z, border)
    x = df / (df + far**2)
    coefficient, series = 1.0, xp.ones_like(far)
    power = xp.ones_like(far)
    for k in range(1, 13):
        coefficient *= (k - 0.5) / k
        power = power * x
        series = series + coefficient * half / (half + k) * power
    tail = math.log(0.5) + half * xp.log(x) - math.log(half) - log_beta + xp.log(series)
    return xp.where(z < border, tail, centre)


@with_slopes
def _logcdf_4(z: Array, xp: Any) -> tuple[Array, Slopes]:
    """With 4 degrees: (1 + s)^2 (2 - s) / 4, where s = z / sqrt(4 + z^2)."""
    root = xp.sqrt(4.0 + z**2)
    s = z / root
    one_plus = xp.where(z < 0, 4.0 / (root * (root + xp.abs(z))), 1.0 + s)
    value = 2.0 * xp.log(one_plus) + xp.log(0.25 * (2.0 - s))
    return value, lambda: (48.0 / root**5 / (one_plus**2 * (2.0 - s)),)


@with_slopes
def _log_interval_4(z: Array, half: Array, xp: Any) -> tuple[Array, Slopes]:
    left = -xp.abs(z)
    lower, upper = left - half, left + half
    root_l, root_u = xp.sqrt(4.0 + lower**2), xp.sqrt(4.0 + upper**2)
    a, b = 1.0 / root_u, 1.0 / root_l
    s_l, s_u = lower * b, upper * a
    c_l, c_u = 4.0 * b**2, 4.0 * a**2  # 1 - s^2
    one_side = upper < 0
    # s_u - s_l = (upper root_l - lower root_u) a b, made rational on one side
    crossed = upper * root_l + lower * root_u
    rational = 16.0 * left * half / xp.where(one_side, crossed, 1.0)
    difference = xp.where(one_side, rational, upper * root_l - lower * root_u)
    product = s_u * s_l
    rest = xp.where(
        one_side, (c_l + c_u - c_l * c_u) / (1.0 + xp.where(one_side, product, 0.0)), 1.0 - product
    )
    total = c_l + c_u + rest

    def slopes() -> tuple[Array, ...]:
        # The density is 12 (4 + z^2)^(-5/2), its values at the ends 12 a^5 and 12 b^5; and
        # a^5 - b^5 = (a - b) (a^4 + a^3 b + a^2 b^2 + a b^3 + b^4), where a - b keeps its
        # digits as -4 left half a b / (root_l + root_u).
        powers = a**4 + a * b * (a**2 + a * b + b**2) + b**4
        outward = 192.0 * left * half * powers / ((root_l + root_u) * difference * total)
        along = 48.0 * (a**5 + b**5) / (a * b * difference * total)
        return xp.where(z < 0, -outward, outward), along

    return xp.log(difference * a * b) + xp.log(0.25 * total), slopes


@dataclass(frozen=True)
class Observation:
    """The law of a standardised score, symmetric around 0.

    Functions of arrays take their namespace, so that JAX need not be imported for NumPy's.

    Attributes
    ----------
    df
        Degrees of freedom, where the law has any.
    """

    df: float

    def __post_init__(self) -> None:
        """Refuse degrees of freedom that the law does not take; by default none."""

    def log_density(self, z: Array, xp: Any) -> Array:
        """Log density."""
        raise NotImplementedError

    def log_cdf(self, z: Array, xp: Any) -> Array:
        """Log distribution function, with its digits in the left tail."""
        raise NotImplementedError

    def log_interval(self, z: Array, half: Array, xp: Any) -> Array:
        """Log probability of lying within `half` of `z`."""
        left = -xp.abs(z)  # mirrored into the left tail, where small probabilities keep digits
        log_upper = self.log_cdf(left + half, xp)
        below = xp.clip(self.log_cdf(left - half, xp) - log_upper, None, -1e-6)
        return log_upper + xp.log(-xp.expm1(below))

    @property
    def exact_interval(self) -> bool:
        """Whether a small enough interval gives the density to the last digit."""
        return False

    def cdf_and_density(self, z: Array, xp: Any) -> tuple[Array, Array]:
        """Distribution function and density."""
        return xp.exp(self.log_cdf(z, xp)), xp.exp(self.log_density(z, xp))

    def cdf_integral(self, z: Array, xp: Any) -> Array:
        """Integral of the distribution function from minus infinity to `z`."""
        raise NotImplementedError

    @property
    def information(self) -> float:
        """Fisher information about the location."""
        raise NotImplementedError

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Draws, in single precision."""
        raise NotImplementedError

    def sample(self, key: Any, shape: tuple[int, ...]) -> Array:
        """Draws with a key of JAX."""
        raise NotImplementedError


class StudentT(Observation):
    """Student-t, its degrees of freedom of :data:`STUDENT_T_DF` or infinite."""

    def __post_init__(self) -> None:
        if self.df not in (*STUDENT_T_DF, math.inf):
            known = ", ".join(map(str, STUDENT_T_DF))
            raise SpecError(f"df={self.df:g} is not supported; df takes {known} or infinity")

    def log_density(self, z: Array, xp: Any) -> Array:
        """See :func:`student_t_logpdf`."""
        return student_t_logpdf(z, self.df, xp)

    def log_cdf(self, z: Array, xp: Any) -> Array:
        """See :func:`student_t_logcdf`."""
        return student_t_logcdf(z, self.df, xp)

    def log_interval(self, z: Array, half: Array, xp: Any) -> Array:
        """With 4 degrees, the default, in closed form.

        The distribution function is ``1/2 + 3/4 s - 1/4 s^3`` with ``s = z / sqrt(4 + z^2)``,
        and the difference of two values is a product of factors that each keep their digits in
        the tail.
        """
        if self.df == 4:
            return _log_interval_4(z, half, xp)
        return super().log_interval(z, half, xp)

    @property
    def exact_interval(self) -> bool:
        """With 4 degrees."""
        return self.df == 4

    def cdf_and_density(self, z: Array, xp: Any) -> tuple[Array, Array]:
        """With 4 degrees without logarithms: see :func:`_logcdf_4`."""
        if self.df != 4:
            return super().cdf_and_density(z, xp)
        inverse = 1.0 / xp.sqrt(4.0 + z * z)
        s = z * inverse
        square = inverse * inverse
        return 0.5 + s * (0.75 - 0.25 * s * s), 12.0 * square * square * inverse

    def cdf_integral(self, z: Array, xp: Any) -> Array:
        """``z F(z) + (df + z^2) / (df - 1) f(z)``."""
        density = xp.exp(self.log_density(z, xp))
        spread = 1.0 if math.isinf(self.df) else (self.df + z**2) / (self.df - 1)
        return z * xp.exp(self.log_cdf(z, xp)) + spread * density

    @property
    def information(self) -> float:
        """``(df + 1) / (df + 3)``."""
        return 1.0 if math.isinf(self.df) else (self.df + 1) / (self.df + 3)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """A normal over the root of a gamma."""
        noise = rng.standard_normal(shape, dtype=np.float32)
        if np.isfinite(self.df):
            gamma = rng.standard_gamma(self.df / 2, shape, dtype=np.float32)
            noise /= np.sqrt(gamma * (2 / self.df))
        return noise

    def sample(self, key: Any, shape: tuple[int, ...]) -> Array:
        """JAX's own."""
        import jax

        if math.isinf(self.df):
            return jax.random.normal(key, shape)
        return jax.random.t(key, self.df, shape)


# Laws of a standardised score by name, from their degrees of freedom; one of your own is an
# entry more (docs/extending.md).
LIKELIHOODS: dict[str, Callable[[float], Observation]] = {"student_t": StudentT}


def log_likelihood(
    score: Array,
    mu: Array,
    sd: Array,
    law: Observation,
    rounding: Array,
    xp: Any,
    *,
    rounded: bool = True,
    floor: bool = True,
    ceiling: bool = True,
) -> Array:
    """Log density of a score that measures `mu`, clipped to [0, 1] and rounded.

    A score published to a step `rounding` stands for the interval of half a step either
    side, so its density is the average over that interval; a score whose interval touches
    0 or 1 stands for everything beyond (a Tobit model: scores below chance are ordinary,
    scores below 0 do not exist).

    Parameters
    ----------
    score, mu, sd
        Score, expected score and noise scale, in [0, 1], broadcast together.
    law
        The law of a standardised score.
    rounding
        Step of the published score; 0 where it is not rounded.
    rounded, floor, ceiling
        False promises that no score is rounded, touches 0, or touches 1: the same value
        for less work.
    """
    half = 0.5 * rounding
    z = (score - mu) / sd
    if rounded:
        # A score that is not rounded stands for a small enough interval: its density to the
        # last digit, or at least a gradient that is 0, not NaN.
        step = xp.where(rounding > 0, rounding, _UNROUNDED)
        density = law.log_interval(z, 0.5 * step / sd, xp) - xp.log(step)
    if not (rounded and law.exact_interval):
        exact = law.log_density(z, xp) - xp.log(sd)
        density = xp.where(rounding > 0, density, exact) if rounded else exact
    if floor or ceiling:  # no score touches both: one distribution function serves either
        bottom = score - half <= 1e-9
        beyond = score + half - mu if floor else mu - score + half
        if floor and ceiling:
            beyond = xp.where(bottom, beyond, mu - score + half)
        mass = law.log_cdf(beyond / sd, xp) - xp.log(xp.where(rounding > 0, rounding, 1.0))
        touches = bottom if floor else False
        if ceiling:
            touches = touches | (score + half >= 1 - 1e-9)
        density = xp.where(touches, mass, density)
    return density


def draw_scores(
    mu: np.ndarray, sd: np.ndarray, law: Observation, rng: np.random.Generator
) -> np.ndarray:
    """Scores around expected ones, clipped to [0, 1]."""
    return np.clip(mu + sd * law.draw(rng, mu.shape), 0.0, 1.0)


def mixture_quantiles(
    mu: np.ndarray, sd: np.ndarray, law: Observation, levels: Sequence[float]
) -> np.ndarray:
    """Quantiles of scores around expected ones, over draws and noise alike, before clipping.

    What quantiles of :func:`draw_scores` tend to as noise is drawn ever more often at each draw:
    those of the mixture of the draws' densities, by Newton's method. They follow size and tokens
    smoothly. Clipped to [0, 1] they are those of clipped scores.

    Parameters
    ----------
    mu, sd
        Expected score and noise scale, ``(..., S)``: draws last.
    law
        The law of a standardised score.
    levels
        Probabilities, L of them.

    Returns
    -------
    numpy.ndarray, shape ``(L, ...)``

    Examples
    --------
    >>> mixture_quantiles(np.full(9, 0.5), np.full(9, 0.1), StudentT(4), [0.5, 0.95]).round(3)
    array([0.5  , 0.713])
    """
    precision = 1.0 / sd
    noise = law.draw(np.random.default_rng(0), mu.shape[-1:])
    low, high = (mu - _FAR * sd).min(-1), (mu + _FAR * sd).max(-1)
    return np.stack(
        [
            _mixture_quantile(mu, precision, law, level, start, low, high)
            for level, start in zip(levels, quantiles(mu + sd * noise, list(levels)))
        ]
    )


def _mixture_quantile(
    mu: np.ndarray, precision: np.ndarray, law: Observation, level: float, *where: np.ndarray
) -> np.ndarray:
    """One quantile, from a start between two ends."""
    x, low, high = where
    goes_on = np.ones(x.shape, bool)  # each by itself, whatever stands beside it
    for _ in range(_STEPS):
        cdf, density = law.cdf_and_density((x.astype(mu.dtype)[..., None] - mu) * precision, np)
        miss = cdf.mean(-1, dtype=np.float64) - level
        low, high = np.where(miss < 0, x, low), np.where(miss < 0, high, x)
        following = x - miss / np.maximum((density * precision).mean(-1, dtype=np.float64), 1e-9)
        outside = (following <= low) | (following >= high)
        following = np.where(outside, 0.5 * (low + high), following)
        following = np.where(goes_on, following, x)
        goes_on, x = np.abs(following - x) >= _NEAR, following
        if not goes_on.any():
            break
    return x
