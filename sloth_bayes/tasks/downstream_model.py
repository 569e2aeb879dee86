"""The score of one task as a monotone function of skills: inference, arrays in, arrays out.

For model ``i`` with whitened skills ``theta_i`` (mean 0, identity covariance over a table)

    eta_i = b + w . theta_i + s e_i          e_i ~ Student-t, 4 degrees of freedom
    p_i   = lower + (1 - lower) * link(eta_i)                           (Richards' link)
    y_i   ~ p_i with the sampling error of N questions; with probability 0.02, anything

    w = tau (z + g e_1), z ~ N(0, 1);  tau ~ half-normal;  s ~ half-normal;  b ~ N(0, 3)
    lower = chance + 0.02 N(0, 1) (0 if there is no chance level)

The spread ``s`` lies inside the link: it vanishes at floor and ceiling, and is widest
where the task is being learned. The ceiling is 1: scores below a task's ceiling say nothing
about it, and a prior about it (half-normal, 0.05) lost scores near 1 in a rehearsal on training
rows (``python -m studies.downstream --rehearse``). The first whitened skill is the direction of
the benchmarks' principal loadings, so that no rotation of the skills changes anything. The
sampling error is taken as uniform, with the variance of a binomial; the Student-t then integrates
out in closed form, and a score at 0 or 1 stands for everything beyond.

For each draw of the skills the mode is found by Adam, and adaptive importance sampling
does the rest (:mod:`sloth_bayes.infer.importance`); everything is vectorised over draws, and
compiled once.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..infer import importance
from ..law import equations
from ..support.programs import Program
from .shrinkage import Shrinkage

DF = 4.0  # of the spread of models about the curve
CONTAMINATION = 0.02  # share of scores that say nothing
_BIAS, _CHANCE, _SHAPE = 3.0, 0.02, 0.5  # prior scales
_OTHERS = 5  # parameters beside the weights
_STEPS, _RATE = 200, 0.1  # of Adam
_POINTS, _ROUNDS = 512, 6  # points of a round; each but the last adapts the proposal
_BLOCK, _AT_ONCE = 100, 25  # draws that one call takes, and that are evaluated side by side


class TaskScores(NamedTuple):
    """What is known of a task: the same for all draws."""

    low: Any  # (N,) interval that each score stands for; -1 or 2 where there is no end
    high: Any  # (N,)
    width: Any  # (N,) of it, within [0, 1]
    middle: Any  # (N,) a value inside, off 0 and 1
    used: Any  # (N,) 0 or 1
    chance: Any  # ()
    prior: Any  # a Shrinkage, of numbers ()


class Curve(NamedTuple):
    """Parameters of a task, one entry of the first axes a draw."""

    weight: Any  # (..., d)
    bias: Any
    spread: Any
    lower: Any
    shape: Any


def scores(y: np.ndarray, questions: float, chance: float, prior: Shrinkage) -> TaskScores:
    """Scores ``(N,)`` in [0, 1] of a task of so many questions."""
    p = (y * questions + 1) / (questions + 2)
    half = np.sqrt(3 * p * (1 - p) / questions)
    low, high = y - half, y + half
    width = np.minimum(high, 1) - np.maximum(low, 0)
    return TaskScores(
        np.where(low <= 0, -1.0, low), np.where(high >= 1, 2.0, high), width, p,
        np.ones(len(y)), np.asarray(chance), prior,
    )  # fmt: skip


def fit(theta: np.ndarray, given: TaskScores, keep: int, seed: int) -> tuple[Curve, np.ndarray]:
    """Draws of a task's parameters, given each draw of the skills.

    Parameters
    ----------
    theta
        ``(S, N, d)`` whitened skills of the models with a score.
    given
        Their scores.
    keep
        Draws to keep for each draw of the skills.
    seed
        Seed of all randomness.

    Returns
    -------
    Curve
        ``(S, keep, ...)`` arrays.
    numpy.ndarray
        ``(S,)`` share of the importance sampler's points that count.
    """
    n = theta.shape[1]
    more = -n % 16  # tasks of about as many models share a program
    theta = np.pad(theta, ((0, 0), (0, more), (0, 0))).astype(np.float32)
    each = [
        np.pad(np.asarray(a, np.float32), (0, more), constant_values=c)
        for a, c in zip(given[:5], (0.4, 0.6, 0.2, 0.5, 0.0))
    ]
    prior = given.prior._make(map(np.float32, given.prior))
    packed = TaskScores(*(*each, np.float32(given.chance), prior))
    points = importance.points(theta.shape[-1] + _OTHERS, _POINTS)

    def block(rows: np.ndarray) -> Any:
        seeded = np.asarray(seed).astype(np.int32), rows.astype(np.int32)
        return _program(keep, seeded, theta[rows], packed, points)

    curve, effective = importance.in_blocks(block, len(theta), _BLOCK)
    return Curve(*curve), effective


def _curve(z: Any, chance: Any, prior: Shrinkage) -> Curve:
    """Parameters from ``z``, ``(..., d + 5)``: standard normal, or logs of half-normal ones."""
    d = z.shape[-1] - _OTHERS
    tau, spread, bias, lower, shape = (z[..., d + i] for i in range(_OTHERS))
    return Curve(
        prior.weights * jnp.exp(tau)[..., None] * (z[..., :d] + prior.general * _first(d)),
        _BIAS * bias,
        prior.spread * jnp.exp(spread) + 1e-3,
        jnp.where(chance > 0, jnp.clip(chance + _CHANCE * lower, 0.0, 0.9), 0.0),
        jnp.exp(jnp.clip(_SHAPE * shape, -1.5, 1.5)),
    )


def _first(d: int) -> np.ndarray:
    """The first whitened skill."""
    return np.eye(d, dtype=np.float32)[0]


def from_prior(rng: np.random.Generator, d: int, chance: float, prior: Shrinkage) -> Curve:
    """A task that was expected, of `d` skills: a :class:`Curve` of one draw ``(1, 1, ...)``."""
    z = rng.standard_normal((1, 1, d + _OTHERS)).astype(np.float32)
    z[..., d : d + 2] = np.log(np.abs(z[..., d : d + 2]))  # of half-normal ones
    return Curve(*map(np.asarray, _curve(z, chance, prior)))


def _log_prior(z: Any) -> Any:
    """Log density of ``z``, up to a constant."""
    logs = z[-_OTHERS : 2 - _OTHERS]
    normal = -0.5 * (z**2).sum() + 0.5 * (logs**2).sum()
    return normal + (logs - 0.5 * jnp.exp(2 * logs)).sum()


def _cdf(z: Any) -> Any:
    """Distribution function of a Student-t with 4 degrees of freedom (exact enough here)."""
    s = z / jnp.sqrt(4.0 + z**2)
    return 0.5 + 0.25 * s * (3.0 - s**2)


def _log_likelihood(curve: Curve, theta: Any, given: TaskScores) -> Any:
    """Log density of all scores together, for one set of parameters."""
    eta = curve.bias + theta @ curve.weight

    def below(end: Any) -> Any:
        fraction = (end - curve.lower) / (1.0 - curve.lower)
        inside = jnp.clip(fraction, 1e-5, 1 - 1e-5)
        at = equations.inverse_link("richards", inside, curve.shape, jnp)
        p = _cdf((at - eta) / curve.spread)
        return jnp.where(fraction >= 1, 1.0, jnp.where(fraction <= 0, 0.0, p))

    density = (below(given.high) - below(given.low)) / given.width
    each = jnp.log((1 - CONTAMINATION) * density + CONTAMINATION)
    return (given.used * each).sum()


def _fit(keep: int, seeded: Any, theta: Any, given: TaskScores, points: Any) -> Any:
    seed, rows = seeded  # a draw's key depends on its position alone
    keys = jax.vmap(functools.partial(jax.random.fold_in, jax.random.PRNGKey(seed)))(rows)
    return jax.lax.map(
        lambda a: _one(keep, a[0], a[1], given, points), (keys, theta), batch_size=_AT_ONCE
    )


_program = Program(_fit, static=1)


def _start(theta: Any, given: TaskScores) -> Any:
    """Where Adam begins: ridge regression of the scores' logits."""
    d = theta.shape[-1]
    floor = jnp.clip((given.middle - given.chance) / (1 - given.chance), 0.01, 0.99)
    logit = jnp.log(floor) - jnp.log1p(-floor)
    x = jnp.concatenate([theta, jnp.ones((len(theta), 1))], 1)
    ridge = jnp.diag(jnp.array([1.0] * d + [0.01]))
    solution = jnp.linalg.solve((x.T * given.used) @ x + ridge, x.T @ (given.used * logit))
    rest = jnp.array([-0.4, -0.4, solution[d] / _BIAS, 0.0, 0.0])
    prior = given.prior
    weight = solution[:d] / (prior.weights * jnp.exp(-0.4)) - prior.general * _first(d)
    return jnp.concatenate([weight, rest])


def _one(keep: int, key: Any, theta: Any, given: TaskScores, points: Any) -> Any:
    """Parameters of the task for one draw of the skills."""
    size = theta.shape[-1] + _OTHERS

    def log_density(z: Any) -> Any:
        return _log_likelihood(_curve(z, given.chance, given.prior), theta, given) + _log_prior(z)

    gradient = jax.grad(log_density)

    adam = optax.adam(optax.linear_schedule(_RATE, 0.0, _STEPS), b2=0.98, eps=1e-6)

    def climb(_: Any, carry: Any) -> Any:
        z, state = carry
        step, state = adam.update(-jnp.nan_to_num(gradient(z)), state)
        return z + step, state

    start = _start(theta, given)
    mode, _ = jax.lax.fori_loop(0, _STEPS, climb, (start, adam.init(start)))
    # by differences of gradients: a second derivative would take long to compile
    step = 0.02 * jnp.eye(size)
    hessian = jax.vmap(lambda h: (gradient(mode - h) - gradient(mode + h)) / 0.04)(step)
    hessian = 0.5 * (hessian + hessian.T)
    hessian = jnp.where(jnp.isfinite(hessian).all(), hessian, jnp.eye(size))
    values, vectors = jnp.linalg.eigh(hessian)
    variance = 1 / jnp.clip(values, 0.7, 1e6)  # no wider than the prior, by and large
    covariance = (vectors * variance) @ vectors.T

    here, pick = jax.random.split(key)
    each = jax.vmap(functools.partial(jax.random.fold_in, here))(jnp.arange(_ROUNDS))
    shifts = jax.vmap(lambda key: jax.random.uniform(key, points.shape[1:]))(each)
    z, log_w, effective = importance.sample(log_density, mode, covariance, points, shifts)
    chosen = jax.random.categorical(pick, log_w, shape=(keep,))
    return _curve(z[chosen], given.chance, given.prior), effective


def predict(
    curve: Curve, theta: np.ndarray, noise: np.ndarray, uniform: np.ndarray, questions: float
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and typical scores of models.

    Parameters
    ----------
    curve
        ``(S, K, ...)``.
    theta
        ``(S, M, d)`` whitened skills.
    noise
        ``(S, K, M)`` standardised Student-t noise.
    uniform
        ``(3, S, K, M)`` uniform numbers: sampling error, whether contaminated, and if so where.

    Returns
    -------
    numpy.ndarray
        ``(S, K, M)`` scores that an evaluation would report.
    numpy.ndarray
        The same without spread and sampling error: the curve itself.
    """

    def wide(a: np.ndarray) -> np.ndarray:
        return np.asarray(a)[..., None]

    eta = wide(curve.bias) + np.einsum("smd,skd->skm", theta, curve.weight)

    def at(eta: np.ndarray) -> np.ndarray:
        fraction = equations.link("richards", eta, wide(curve.shape), np)
        return equations.expected(fraction, wide(curve.lower), 1.0)

    typical = at(eta)
    p = np.clip(at(eta + wide(curve.spread) * noise), 0.0, 1.0)
    half = np.sqrt(3 * p * (1 - p) / questions)
    score = np.clip(p + half * (2 * uniform[0] - 1), 0.0, 1.0)
    return np.where(uniform[1] < CONTAMINATION, uniform[2], score), typical
