"""One family's own parameters given its scores and one draw of everything else.

Given a draw of the globals, the scores of a family depend on its skills effect ``alpha``
(d numbers), on one residual ``u_j`` a benchmark and, in some specifications or with unknown
inputs, on a few more. All are Gaussian a priori. Two facts make this small:

* ``u_j`` enters benchmark ``j`` alone, so that given the rest it is a one-dimensional
  integral, done by the trapezoidal rule on a grid that follows the likelihood. What is
  integrated over is the *average predictor* of the benchmark's observed models, of which
  the likelihood is a function that does not depend on ``alpha``: it is tabulated once.
* What is left, ``z``, has d dimensions (3 by default), whatever the number of benchmarks.
  Adaptive importance sampling does the rest (:mod:`sloth_bayes.infer.importance`): the proposal
  begins at a Gaussian approximation and is adapted twice. The last weights estimate the
  marginal likelihood; one of the points is kept.

No Markov chain has to be judged, and the marginal likelihood, by which the draw of the
globals is reweighted, comes with it. Everything is a pure function of arrays, vectorised
over draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp, ndtri

from ..infer import importance
from ..law import equations, likelihood
from ..law.terms import TERMS, Effects, effective, of_loss, residuals, skills
from ..support.programs import Program

_NODES = 81  # of the grid of one benchmark
_SEEN = 0.5  # of the distance of two nodes: the narrowest normal that they integrate
_MEANS = 65  # means of its residual at which the integral over that grid is known beforehand
_SPREAD = 6.5  # prior standard deviations that a grid reaches
_POINTS, _ROUNDS = 256, 3  # points of a round; each but the last adapts the proposal
_BLOCK = 120  # draws that one call of the compiled function takes
_AT_ONCE = 20  # draws evaluated side by side
_IN_CACHE = 32_000  # nodes of grids likewise, of one draw, where each point has grids of its own
_FEW = 2000  # scores times draws: such a program runs for less than optimising it takes


class Block(NamedTuple):
    """A coefficient of a term that is drawn for the family, or for each of its models."""

    term: str
    shape: tuple[int, ...]  # (..., d); with the models, or steps, first where each has its own
    common: bool  # whether it adds the same to the skills of all models


class Kind(NamedTuple):
    """What a compiled program depends on."""

    inputs: str
    link: str
    noise: str
    observation: likelihood.Observation
    entries: tuple[Any, ...]  # of the law's registries (Spec.entries)
    blocks: tuple[Block, ...]
    residual: bool
    sizes: tuple[int, ...]  # rows of unknown size
    tokens: tuple[int, ...]  # rows of unknown tokens
    rounded: bool = True  # whether any score is rounded
    edges: bool = True  # whether any score touches 0 or 1


class Draws(NamedTuple):
    """Everything else, one draw an entry of the first axis (left out below)."""

    loading: Any  # (J, d)
    bias: Any  # (J,)
    lower: Any  # (J,)
    upper: Any  # (J,)
    link_shape: Any  # (J,)
    noise_scale: Any  # (J,)
    sampling_fraction: Any  # ()
    shared: dict[str, Any]  # coefficients that all models of the family have, known
    mean: dict[str, Any]  # (...) prior of each block, which broadcasts to its shape
    scale: dict[str, Any]
    residual_mean: Any  # (J,)
    residual_scale: Any  # (J,)
    log_size: Any  # (M,) natural logs
    log_tokens: Any  # (M,)


class Scores(NamedTuple):
    """The scores of a family's models."""

    score: Any  # (M, J)
    observed: Any  # (M, J) 0 or 1
    columns: dict[str, Any]  # (M,) each: what terms read
    reach: dict[str, Any]  # (M, K) of blocks whose coefficients follow from K steps
    inverse_n: Any  # (J,)
    rounding: Any  # (J,)
    centre: Any  # (2,)
    size_prior: Any  # (2,) mean and standard deviation of the log of an unknown size
    tokens_prior: Any  # (2,)


class Grid(NamedTuple):
    """Nodes of each benchmark, dense about the best one and ever wider: ``unit sinh`` apart."""

    nodes: Any  # (J, G)
    log_weight: Any  # (J, G) of the integral
    best: Any  # (J,)
    unit: Any  # (J,)
    step: Any  # (J,) between nodes, before sinh


class Own(NamedTuple):
    """What was drawn for the family, and how well: one entry of the first axis a draw."""

    log_likelihood: Any  # () of its scores, its own parameters integrated out
    effective: Any  # () share of the last points that count
    of: dict[str, Any]  # coefficient of each block
    residual: Any  # (J,)
    log_size: Any  # (M,)
    log_tokens: Any  # (M,)


def condition(kind: Kind, draws: Draws, scores: Scores, seed: int) -> Own:
    """Draw a family's parameters given its scores, for each draw of the rest.

    Parameters
    ----------
    kind
        Static choices.
    draws
        ``(S, ...)`` arrays.
    scores
        The same for all draws. Tables of two families with as many rows, counted in powers
        of two, share one compiled program (if both or neither have scores that are rounded, or that
        touch 0 or 1); where models have effects of their own, which a
        row without scores would add to what is sampled, those with exactly as many. Benchmarks
        without scores, whose residual follows its prior, are left out of the program.
    seed
        Seed of all randomness.

    Returns
    -------
    Own
        ``(S, ...)`` NumPy arrays.
    """
    scored, everything = _scored(scores), draws
    draws, scores = _at(draws, scores, scored)
    models = scores.score.shape[0]
    each = any(TERMS[block.term].of == "model" for block in kind.blocks)
    more = 0 if each else (1 << (models - 1).bit_length()) - models
    scores = scores._replace(
        score=np.pad(scores.score, ((0, more), (0, 0)), constant_values=0.5),
        observed=np.pad(scores.observed, ((0, more), (0, 0))),
        columns={name: np.pad(column, (0, more)) for name, column in scores.columns.items()},
    )
    draws = draws._replace(
        log_size=np.pad(draws.log_size, ((0, 0), (0, more))),
        log_tokens=np.pad(draws.log_tokens, ((0, 0), (0, more))),
    )
    draws, scores = jax.tree.map(lambda a: np.asarray(a, np.float32), (draws, scores))
    rounding, seen = np.broadcast_to(scores.rounding, scores.score.shape), scores.observed > 0
    kind = kind._replace(
        rounded=bool((rounding[seen] > 0).any()),
        edges=bool((np.abs(scores.score - 0.5) + 0.5 * rounding >= 0.5 - 1e-6)[seen].any()),
    )
    _compile(kind, draws, scores)
    points = importance.points(sum(_lengths(kind)), _POINTS)

    count = len(draws.bias)
    # made here, because a program that makes them takes half a second longer to compile
    uniform = np.random.default_rng(seed).random((count, _uniforms(kind, scores)), np.float32)

    def block(rows: np.ndarray) -> Own:
        some = jax.tree.map(lambda a: a[rows], draws)
        return program(kind, uniform[rows], some, scores, points)

    program = _program(kind, draws, scores)
    own = importance.in_blocks(block, count, _BLOCK)
    residual = np.zeros(everything.bias.shape, np.float32)
    if kind.residual:
        noise = np.random.default_rng([seed, 1]).standard_normal(residual.shape, np.float32)
        residual = everything.residual_mean + everything.residual_scale * noise
    residual[:, scored] = own.residual
    return own._replace(
        residual=residual,
        log_size=own.log_size[:, :models],
        log_tokens=own.log_tokens[:, :models],
    )


def _scored(scores: Scores) -> np.ndarray:
    """The benchmarks with scores, and others up to a power of two: programs are compiled for it."""
    count = np.asarray(scores.observed).sum(0)
    some = int((count > 0).sum())
    width = min(1 << max(some - 1, 0).bit_length(), len(count))
    return np.sort(np.argsort(count == 0, kind="stable")[:width])


def _at(draws: Draws, scores: Scores, rows: np.ndarray) -> tuple[Draws, Scores]:
    """The same of some of the benchmarks."""
    of_benchmarks = (
        "bias", "lower", "upper", "link_shape", "noise_scale", "residual_mean", "residual_scale",
    )  # fmt: skip
    shared = {
        name: value[..., rows] if TERMS[name].adds_to == "benchmark" else value
        for name, value in draws.shared.items()
        if name in TERMS
    }
    few = draws._replace(
        loading=draws.loading[:, rows],
        shared=draws.shared | shared,
        **{name: getattr(draws, name)[:, rows] for name in of_benchmarks},
    )
    return few, scores._replace(
        score=scores.score[:, rows],
        observed=scores.observed[:, rows],
        inverse_n=scores.inverse_n[rows],
        rounding=scores.rounding[rows],
    )


def _block(kind: Kind, uniform: Any, draws: Draws, scores: Scores, points: Any) -> Own:
    return jax.lax.map(
        lambda a: _one(kind, a[0], a[1], scores, points),
        (uniform, draws),
        batch_size=_AT_ONCE if _by_mean(kind, scores) else 1,
    )


_programs = {level: Program(_block, level=level, short=True, static=1) for level in (0, 1)}


def _program(kind: Kind, draws: Draws, scores: Scores) -> Program:
    """The program, optimised as far as it is worth it."""
    few = len(draws.bias) * scores.score.size <= _FEW
    return _programs[0 if few and _by_mean(kind, scores) else 1]


def _by_mean(kind: Kind, scores: Scores) -> bool:
    """Whether models differ by the same whatever ``z``: integrals then depend on means alone."""
    alone = len(scores.score) == 1
    latent = bool(kind.sizes or kind.tokens)
    return kind.residual and (alone or not (latent or any(not b.common for b in kind.blocks)))


def _compile(kind: Kind, draws: Draws, scores: Scores) -> None:
    """Compile the program for such arguments."""

    def block(*shape: int) -> Any:
        return jax.ShapeDtypeStruct((_BLOCK, *shape), np.float32)

    points = jax.ShapeDtypeStruct((_POINTS, sum(_lengths(kind)) + importance.TAIL), np.float32)
    of_draws = jax.tree.map(lambda a: block(*a.shape[1:]), draws)
    _program(kind, draws, scores).ready(
        kind, block(_uniforms(kind, scores)), of_draws, scores, points
    )


def _uniforms(kind: Kind, scores: Scores) -> int:
    """Uniform numbers that a draw needs: shifts of points, the pick of one, two a benchmark."""
    shifts = _ROUNDS * (sum(_lengths(kind)) + importance.TAIL)
    return int(shifts + 1 + 2 * scores.score.shape[1])


def _lengths(kind: Kind) -> list[int]:
    """Lengths of the parts of ``z``: blocks, sizes, tokens."""
    blocks = [math.prod(block.shape) for block in kind.blocks]
    return [*blocks, len(kind.sizes), len(kind.tokens)]


def _parts(kind: Kind, z: Any, draws: Draws, scores: Scores) -> tuple[dict[str, Any], Any, Any]:
    """Standardised ``z`` as named quantities: coefficients of blocks, log sizes, log tokens."""
    *blocks, size, tokens = jnp.split(z, np.cumsum(_lengths(kind))[:-1])
    found = {}
    for (name, shape, _), values in zip(kind.blocks, blocks):
        steps = values.reshape(shape)
        own = scores.reach[name] @ steps if name in scores.reach else steps
        found[name] = draws.mean[name] + draws.scale[name] * own

    def filled(known: Any, rows: tuple[int, ...], values: Any, prior: Any) -> Any:
        return known.at[np.array(rows)].set(prior[0] + prior[1] * values) if rows else known

    log_size = filled(draws.log_size, kind.sizes, size, scores.size_prior)
    return found, log_size, filled(draws.log_tokens, kind.tokens, tokens, scores.tokens_prior)


def _predictors(kind: Kind, z: Any, draws: Draws, scores: Scores) -> tuple[Any, Any, Any]:
    """Predictors less the residual: the part of the family (J,), and of its models (M, J).

    Kept apart, because only the second part has to do with how models differ. Last, the average
    of the second over the observed models (J,).
    """
    found, log_size, log_tokens = _parts(kind, z, draws, scores)
    common = [found.pop(block.term) for block in kind.blocks if block.common]
    own = {name: a if TERMS[name].of == "model" else a[None] for name, a in found.items()}
    own |= {name: a[None] for name, a in draws.shared.items() if TERMS[name].of}
    log_size = effective(log_size, draws.shared, scores.columns)
    loss = of_loss(draws.shared)
    inputs = equations.raw_inputs(
        kind.inputs, log_size, log_tokens, scores.centre, jnp, values=loss
    )
    who = Effects(inputs, scores.columns, own)
    eta = skills(draws.shared, who) @ draws.loading.T + draws.bias
    known = residuals(draws.shared, who)
    eta = eta if known is None else eta + known
    count = jnp.maximum(scores.observed.sum(0), 1)
    family = draws.loading @ sum(common, jnp.zeros(draws.loading.shape[1]))
    return family, eta, (scores.observed * eta).sum(0) / count


def _log_likelihood(kind: Kind, eta: Any, draws: Draws, scores: Scores) -> Any:
    """Log likelihood of the scores: ``eta`` (M, J, ...), the result too."""

    def wide(a: Any) -> Any:
        return a.reshape(*a.shape, *(1,) * (eta.ndim - 2))

    fraction = equations.link(kind.link, eta, wide(draws.link_shape), jnp)
    mu = equations.expected(fraction, wide(draws.lower), wide(draws.upper))
    sd = likelihood.noise_sd(
        kind.noise, mu, fraction, wide(draws.noise_scale), draws.sampling_fraction,
        wide(scores.inverse_n), jnp,
    )  # fmt: skip
    rounding = wide(scores.rounding)
    logp = likelihood.log_likelihood(
        wide(scores.score), mu, sd, kind.observation, rounding, jnp,
        rounded=kind.rounded, floor=kind.edges, ceiling=kind.edges,
    )  # fmt: skip
    return jnp.where(wide(scores.observed) > 0, logp, 0.0)


def _inverse_link(kind: Kind, draws: Draws, scores: Scores) -> tuple[Any, Any, Any]:
    """Where each score's predictor would be, and how sharply the score says so, (M, J).

    Last, the same sharpness as a measurement: a score at floor or ceiling says only on
    which side the predictor is.
    """
    raw = (scores.score - draws.lower) / (draws.upper - draws.lower)
    fraction = jnp.clip(raw, 0.02, 0.98)
    eta = equations.inverse_link(kind.link, fraction, draws.link_shape, jnp)

    def of(eta: Any) -> tuple[Any, Any]:
        fraction = equations.link(kind.link, eta, draws.link_shape, jnp)
        return equations.expected(fraction, draws.lower, draws.upper), fraction

    mu, fraction = of(eta)
    slope = (of(eta + 0.05)[0] - of(eta - 0.05)[0]) / 0.1
    sd = likelihood.noise_sd(
        kind.noise, mu, fraction, draws.noise_scale, draws.sampling_fraction, scores.inverse_n, jnp
    )
    information = scores.observed * kind.observation.information * (slope / sd) ** 2
    return eta, information, jnp.where(raw == fraction, information, 0.0)


def _grid(
    kind: Kind, z: Any, eta: Any, information: Any, draws: Draws, scores: Scores, sd: Any
) -> Grid:
    """Nodes of each benchmark's average predictor, and log weights of the integral, (J, G).

    Dense about where the likelihood is, then ever wider, out to `sd` (J,) times a multiple
    around the prior mean.
    """
    family, own, mean = _predictors(kind, z, draws, scores)
    centre = family + mean + draws.residual_mean
    cells = eta - (own - mean)  # where each model's score alone would put the average
    total = information.sum(0)
    both = (information * cells).sum(0) + centre / sd**2
    candidates = jnp.concatenate([cells, (both / (total + 1 / sd**2))[None]])
    # (C, J): the likelihood at each candidate, all models together
    found = jax.vmap(lambda e: _log_likelihood(kind, e + own - mean, draws, scores).sum(0))(
        candidates
    )
    found = found - 0.5 * ((candidates - centre) / sd) ** 2
    best = jnp.take_along_axis(candidates, found.argmax(0)[None], 0)[0]
    unit = 2 / jnp.sqrt(total + 1 / sd**2)
    reach = jnp.arcsinh((jnp.abs(best - centre) + _SPREAD * sd) / unit)
    t = reach[:, None] * jnp.linspace(-1.0, 1.0, _NODES)
    step = 2 * reach / (_NODES - 1)
    weight = unit[:, None] * jnp.cosh(t) * step[:, None]
    return Grid(best[:, None] + unit[:, None] * jnp.sinh(t), jnp.log(weight), best, unit, step)


def _residual_prior(grid: Grid, mean: Any, scale: Any) -> Any:
    """Log density (J, ..., G) of a normal of mean (J, ...) and scale (J,) at the nodes.

    A normal that is narrower than the nodes are apart is as wide as they can see.
    """

    def wide(of: Any) -> Any:
        return of.reshape(len(of), *(1,) * (mean.ndim - 1))

    apart = wide(grid.step) * jnp.hypot(wide(grid.unit), mean - wide(grid.best))
    scale = jnp.maximum(wide(scale), _SEEN * apart)[..., None]
    nodes = grid.nodes.reshape(len(mean), *(1,) * (mean.ndim - 1), -1)
    return -0.5 * ((nodes - mean[..., None]) / scale) ** 2 - jnp.log(scale * math.sqrt(2 * math.pi))


def _integrals(table: Any, grid: Grid, centre: Any, unit: Any, reach: Any, scale: Any) -> Callable:
    """The log integrals (J,) of a table over residuals, as a function of their means (J,).

    Known at means that are dense about the `centre`, and cubic between them.
    """
    end = jnp.arcsinh(reach / unit)[:, None]
    step = 2 * end[:, 0] / (_MEANS - 1)
    means = centre[:, None] + unit[:, None] * jnp.sinh(end * jnp.linspace(-1.0, 1.0, _MEANS))
    value = logsumexp(table[:, None] + _residual_prior(grid, means, scale), axis=-1)
    slope = jnp.gradient(value, axis=-1)

    def at(mean: Any) -> Any:
        place = jnp.arcsinh((mean - centre) / unit) / step + (_MEANS - 1) / 2
        place = jnp.clip(place, 0.0, _MEANS - 1.001)
        left = place.astype(int)
        x = place - left
        ends = jnp.stack([left, left + 1], -1)
        (a, b), (c, d) = (jnp.take_along_axis(of, ends, -1).T for of in (value, slope))
        return (
            (1 + 2 * x) * (1 - x) ** 2 * a + x**2 * (3 - 2 * x) * b
            + x * (1 - x) ** 2 * c + x**2 * (x - 1) * d
        )  # fmt: skip

    return at


def _one(kind: Kind, uniform: Any, draws: Draws, scores: Scores, points: Any) -> Own:
    """The parameters of the family for one draw of the rest."""
    shifts, pick, free, inside = jnp.split(
        uniform, np.cumsum([uniform.size - 1 - 2 * draws.bias.size, 1, draws.bias.size])
    )
    size = sum(_lengths(kind))
    count = scores.observed.sum(0)
    some = count > 0
    eta, edge, information = _inverse_link(kind, draws, scores)

    def whole(z: Any) -> Any:
        family, own, _ = _predictors(kind, z, draws, scores)
        return own + family

    # A Gaussian approximation: scores as Gaussian measurements of their predictors.
    zero = jnp.zeros(size)
    jacobian = jax.jacfwd(whole)(zero)  # (M, J, D)
    off = eta - whole(zero) - draws.residual_mean
    variance = draws.residual_scale**2 if kind.residual else jnp.zeros_like(draws.bias)
    shrink = variance / (1 + variance * information.sum(0))
    along = jnp.einsum("mj,mjd->jd", information, jacobian)
    hessian = (
        jnp.eye(size)
        + jnp.einsum("mj,mjd,mje->de", information, jacobian, jacobian)
        - jnp.einsum("j,jd,je->de", shrink, along, along)
    )
    slope = jnp.einsum("mj,mjd->d", information * off, jacobian)
    slope = slope - (shrink * (information * off).sum(0)) @ along
    covariance = jnp.linalg.inv(hessian)
    mean = covariance @ slope

    averaged = jnp.einsum("mj,mjd->jd", scores.observed, jacobian) / jnp.maximum(count, 1)[:, None]
    sd = jnp.sqrt((averaged**2).sum(-1) + variance + 1e-6)
    grid = _grid(kind, mean, eta, edge, draws, scores, sd)

    def table(z: Any) -> Any:
        """Log likelihood at the nodes, (J, G)."""
        _, own, average = _predictors(kind, z, draws, scores)
        # a lone model is its own average, whatever z
        apart = own - average if len(own) > 1 else jnp.zeros(own.shape)
        return _log_likelihood(kind, grid.nodes + apart[..., None], draws, scores).sum(0)

    latent = bool(kind.sizes or kind.tokens)
    family, _, average = _predictors(kind, zero, draws, scores)
    at_zero = family + average + draws.residual_mean

    def expected(z: Any) -> Any:
        """Mean of the average predictor, (J,)."""
        if not latent:  # linear
            return at_zero + averaged @ z
        family, _, average = _predictors(kind, z, draws, scores)
        return family + average + draws.residual_mean

    by_mean = _by_mean(kind, scores)
    if by_mean:
        known = table(zero)
        centre = expected(mean)
        unit = jnp.sqrt(jnp.einsum("jd,de,je->j", averaged, covariance, averaged) + 1e-6)
        reach = jnp.abs(centre - at_zero) + 9 * sd
        integral = _integrals(
            known + grid.log_weight, grid, centre, unit, reach, draws.residual_scale
        )

    def integrand(z: Any) -> Any:
        """Log likelihood times prior of the residual at the nodes, (J, G)."""
        prior = _residual_prior(grid, expected(z), draws.residual_scale)
        return (known if by_mean else table(z)) + prior

    def log_density(z: Any) -> Any:
        """Log of likelihood times standard normal prior of ``z``, up to a constant."""
        if not kind.residual:
            each = _log_likelihood(kind, whole(z), draws, scores).sum(0)
        elif by_mean:
            each = integral(expected(z))
        else:
            each = logsumexp(integrand(z) + grid.log_weight, axis=-1)
        return jnp.where(some, each, 0.0).sum() - 0.5 * (z**2).sum()

    if size:
        shifts = shifts.reshape(_ROUNDS, -1)
        at_once = None if by_mean else max(1, _IN_CACHE // (_NODES * scores.score.size))
        z, log_w, effective = importance.sample(
            log_density, mean, covariance, points, shifts, at_once
        )
        log_likelihood = logsumexp(log_w) - math.log(_POINTS)
        passed = jnp.cumsum(jnp.exp(log_w - log_w.max()))
        z = z[jnp.minimum((passed < pick * passed[-1]).sum(), _POINTS - 1)]
    else:
        z, effective = zero, jnp.ones(())
        log_likelihood = log_density(z)

    found, log_size, log_tokens = _parts(kind, z, draws, scores)
    residual = jnp.zeros_like(draws.bias)
    if kind.residual:
        noise = ndtri(jnp.clip(free, 1e-6, 1 - 1e-6))
        residual = draws.residual_mean + draws.residual_scale * noise
        drawn = _inverse_cdf(inside, grid.nodes, integrand(z))
        residual = jnp.where(some, drawn - expected(z) + draws.residual_mean, residual)
    return Own(log_likelihood, effective, found, residual, log_size, log_tokens)


def _inverse_cdf(uniform: Any, nodes: Any, log_density: Any) -> Any:
    """Draw from a density that is linear between nodes: one draw a row of ``(J, G)``."""
    density = jnp.exp(log_density - log_density.max(-1, keepdims=True))
    width = jnp.diff(nodes, axis=-1)
    low, high = density[:, :-1], density[:, 1:]
    mass = 0.5 * (low + high) * width
    total = jnp.cumsum(mass, -1)
    target = uniform * total[:, -1]
    cell = jnp.minimum((total < target[:, None]).sum(-1), mass.shape[-1] - 1)[:, None]

    def at(values: Any) -> Any:
        return jnp.take_along_axis(values, cell, -1)[:, 0]

    # solve a t + (b - a) t^2 / 2 = share * (a + b) / 2 for t in [0, 1]
    share = jnp.clip(1 - (at(total) - target) / jnp.maximum(at(mass), 1e-30), 0.0, 1.0)
    a, b = at(low), at(high)
    root = jnp.sqrt(jnp.maximum(a**2 + share * (b**2 - a**2), 0.0))
    t = share * (a + b) / jnp.maximum(a + root, 1e-30)
    return at(nodes) + jnp.clip(t, 0.0, 1.0) * at(width)
