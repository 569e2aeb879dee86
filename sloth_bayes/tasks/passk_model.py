"""Which problems are solved: an item-response model of repeated sampling, in NumPyro.

Model ``m`` (of M with counts) solved problem ``i`` in ``c_mi`` of ``n_mi`` samples. With the
skills ``theta_m`` of a posterior (less their mean over the M models):

    b_i     = b + s z_i,                         z_i ~ Logistic(0, 1)     easiness of the problem
    a_i     = 1 + r z_i / sd(z) + q h_i,         h_i ~ Normal(0, 1)       its discrimination
    psi_m   = w . theta_m - g + sigma e_m,       e_m ~ Student-t(2)       ability, of mean 0
    eta_mi  = b_i + a_i psi_m,                   mu_mi = logistic(eta_mi)
    p_mi    ~ Beta(kappa / (1 - mu_mi), kappa / mu_mi)                    mean mu_mi
    c_mi    ~ Binomial(n_mi, p_mi)

* **Heavy tails across problems.** A logistic law of the log-odds has exponential tails, so
  that ``p`` has density ``p^(1/s - 1)`` near zero, and the coverage of many problems falls
  short of one as ``k^(-1/s)``: the near power law of Schaeffer et al. (2025, arXiv 2502.17578).
* **Overdispersion.** What a model and a problem have in common beyond ability is a beta of
  constant *shape* ``kappa`` towards the nearer end: the spread of ``log p`` is the same for
  hard and easy problems, and the tail towards "never" is the heavy one. With a constant number
  of pseudo-counts instead, hard problems would be predicted to be all or nothing.
* **Skills.** The weights ``w`` are normal and isotropic, so that the rotation of the skills does
  not matter. The draws of the skills enter through their mean and principal components with
  normal scores, and the fit is *joint*: counts may move the skills, as far as their posterior
  lets them. Deviations from the skills are heavy-tailed, so that one model far off the line (70M
  among the Pythias) neither bends it nor widens it for all others.
* **Location and scale** of abilities: their mean is 0 and that of discriminations 1, so that one
  unit of ability is one unit of log-odds on a typical problem. ``g``, flat, is what the mean
  over M models leaves open.

The likelihood is a difference of log-gammas of up to ``1e9``: double precision is used, in this
fit only.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import NUTS
from numpyro.infer.util import initialize_model

# Of abilities around what skills say. Heavier tails than those of scores: models so small that
# they solve next to nothing fall off the line of the others by many times its usual scatter.
DF = 2.0
LOGISTIC_SD = math.pi / math.sqrt(3)
SHARED = ("contrast", "g", "kappa", "level", "own", "score", "sigma", "spread", "strength",
          "trend", "w")  # fmt: skip
STATS = ("diverging", "energy", "num_steps")


class Counts(NamedTuple):
    """Counts of M models on I problems, and what is known of the models' d skills."""

    n: np.ndarray  # (M, I) samples; 0 where there are none
    c: np.ndarray  # (M, I) of them correct
    skill: np.ndarray  # (M, d) mean over draws
    component: np.ndarray  # (K, M, d) principal components of the draws, times their scale


def log_rising(x: Any, n: Any, xp: Any = jnp) -> Any:
    """``log Gamma(x + n) - log Gamma(x)`` for positive `x`, by Stirling's series past 4.

    Few and elementary functions, so that gradients are cheap; absolute error below 1e-7.
    """
    product = 1.0 + n / x
    for j in (1, 2, 3):
        product = product * (1.0 + n / (x + j))
    low, high = x + 4.0, x + n + 4.0

    def tail(y: Any) -> Any:
        v = 1.0 / (y * y)
        return (1 / 12 - v * (1 / 360 - v * (1 / 1260 - v / 1680))) / y

    stirling = (low - 0.5) * xp.log1p(n / low) + n * (xp.log(high) - 1) + tail(high) - tail(low)
    return stirling - xp.log(product)


def shapes(eta: Any, kappa: Any, xp: Any = jnp) -> tuple[Any, Any]:
    """Shapes of the beta law of ``p`` around the logistic of `eta`."""
    return kappa * (1 + xp.exp(eta)), kappa * (1 + xp.exp(-eta))


def log_likelihood(n: Any, c: Any, eta: Any, kappa: Any, xp: Any = jnp) -> Any:
    """Beta-binomial log likelihood of counts, less its binomial coefficient."""
    a, b = shapes(eta, kappa, xp)
    return log_rising(a, c, xp) + log_rising(b, n - c, xp) - log_rising(a + b, n, xp)


def items(data: Counts) -> None:
    """The generative model above; see the module."""
    models, problems = data.n.shape
    sample, factor = numpyro.sample, numpyro.factor
    level = sample("level", dist.Normal(-5.0, 3.0))
    spread = sample("spread", dist.LogNormal(math.log(1.3), 0.5))
    trend = sample("trend", dist.Normal(0.0, 0.3))
    own = sample("own", dist.HalfNormal(0.5))
    kappa = sample("kappa", dist.LogNormal(math.log(1.5), 0.7))
    easiness = sample("easiness", dist.Logistic(level, spread).expand([problems]).to_event(1))
    h = sample("h", dist.Normal().expand([problems]).to_event(1))
    z = (easiness - level) / spread
    discrimination = numpyro.deterministic("discrimination", 1 + trend * z / LOGISTIC_SD + own * h)

    # Counts pin the differences of abilities, so these are sampled themselves.
    contrast = sample(
        "contrast", dist.ImproperUniform(dist.constraints.real_vector, (), (models - 1,))
    )
    ability = numpyro.deterministic("ability", contrast @ contrasts(models))
    normal = dist.Normal().expand([data.component.shape[0]]).to_event(1)
    theta = skills_at(sample("score", normal), data.skill, data.component)
    strength = sample("strength", dist.HalfNormal(3.0))  # log-odds per unit of skill
    weight = strength * sample("w", dist.Normal().expand([data.skill.shape[-1]]).to_event(1))
    sigma = sample("sigma", dist.HalfNormal(0.5))
    shift = sample("g", dist.ImproperUniform(dist.constraints.real, (), ()))
    numpyro.deterministic("weight", weight)
    factor("skills", dist.StudentT(DF, theta @ weight - shift, sigma).log_prob(ability).sum())

    eta = jnp.clip(easiness + discrimination * ability[:, None], -25, 25)
    factor("counts", log_likelihood(data.n, data.c, eta, kappa).sum())


def skills_at(score: Any, mean: Any, component: Any) -> Any:
    """Skills ``(..., M, d)`` at scores ``(..., K)`` of their principal components."""
    flat = score @ component.reshape(component.shape[0], -1)
    return mean + flat.reshape(*score.shape[:-1], *mean.shape)


def contrasts(models: int) -> np.ndarray:
    """``(M - 1, M)`` orthonormal rows, each of sum 0."""
    full = np.linalg.qr(np.column_stack([np.ones(models), np.eye(models)[:, 1:]]))[0]
    return np.ascontiguousarray(full[:, 1:].T)


def sample(
    data: Counts,
    *,
    chains: int = 4,
    warmup: int = 500,
    draws: int = 1000,
    target_accept: float = 0.8,
    max_tree_depth: int = 8,
    seed: int = 0,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """NUTS with a dense metric for what all problems share.

    One program, compiled once for counts of a shape, runs half of the chains at a time; both
    halves run at once where there are two processors.

    Returns
    -------
    draws, stats : dict
        Counts ``(chains, draws, ...)``.
    """
    with jax.enable_x64(True):
        arrays = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), data)
        keys = jax.random.split(jax.random.PRNGKey(seed), chains)
        options = (warmup, draws, target_accept, max_tree_depth)
        parts = np.split(np.asarray(keys), 2 if chains % 2 == 0 else 1)
        program = _compiled(options, arrays, jnp.asarray(parts[0]))
        with ThreadPoolExecutor(len(parts)) as pool:
            found = list(pool.map(lambda k: jax.device_get(program(k, arrays)), parts))
    joined = jax.tree.map(lambda *each: np.concatenate(each), *found)
    return joined


_PROGRAMS: dict[Any, Any] = {}  # by shape and options; a compilation costs as much as a fit


def _compiled(options: tuple[int, int, float, int], data: Counts, keys: Any) -> Any:
    shape = (options, keys.shape, *[a.shape for a in data])
    if shape not in _PROGRAMS:
        program = jax.jit(jax.vmap(partial(_chain, *options), (0, None)))
        _PROGRAMS[shape] = program.lower(keys, data).compile()
    return _PROGRAMS[shape]


def _chain(
    warmup: int, draws: int, target_accept: float, max_tree_depth: int, key: Any, data: Counts
) -> tuple[dict[str, Any], dict[str, Any]]:
    first, second = jax.random.split(key)
    start = initialize_model(
        first, items, model_args=(data,), dynamic_args=True, validate_grad=False
    )
    constrain = start.postprocess_fn(data)
    kernel = NUTS(
        potential_fn=start.potential_fn(data), target_accept_prob=target_accept,
        max_tree_depth=max_tree_depth, dense_mass=[SHARED],
    )  # fmt: skip
    state = kernel.init(second, warmup, start.param_info.z, (), {})

    def step(state: Any, _: None) -> Any:
        state = kernel.sample(state, (), {})
        return state, (state.z, [getattr(state, name) for name in STATS])

    _, (places, stats) = jax.lax.scan(step, state, None, length=warmup + draws)
    kept = jax.tree.map(lambda a: a[warmup:], (places, stats))
    return jax.vmap(constrain)(kept[0]), dict(zip(STATS, kept[1]))
