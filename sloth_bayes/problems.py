"""Which problems are solved: an item-response model of repeated sampling, in NumPyro.

Model ``m`` (of M with counts) solved problem ``i`` in ``c_mi`` of ``n_mi`` samples. With the
skills ``theta_m`` of a posterior (less their mean over the M models):

    b_i     = b + s z_i,                         z_i ~ Logistic(0, 1)     easiness of the problem
    a_i     = 1 + r z_i / sd(z) + q h_i,         h_i ~ Normal(0, 1)       its discrimination
    psi_m   = w . theta_m - g + sigma e_m,       e_m ~ Student-t(4)       ability, of mean 0
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
  lets them. Deviations from the skills are heavy-tailed, like the law's own noise.
* **Location and scale** of abilities: their mean is 0 and that of discriminations 1, so that one
  unit of ability is one unit of log-odds on a typical problem. ``g``, flat, is what the mean
  over M models leaves open.

The likelihood is a difference of log-gammas of up to ``1e9``: double precision is used, in this
fit only.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS

DF = 4.0  # of abilities around what skills say, as of scores
LOGISTIC_SD = math.pi / math.sqrt(3)


class Arrays(NamedTuple):
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


def items(data: Arrays) -> None:
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
    theta = skills(data.skill, data.component, components(data))
    strength = sample("strength", dist.HalfNormal(3.0))  # log-odds per unit of skill
    weight = strength * sample("w", dist.Normal().expand([data.skill.shape[-1]]).to_event(1))
    sigma = sample("sigma", dist.HalfNormal(0.5))
    shift = sample("g", dist.ImproperUniform(dist.constraints.real, (), ()))
    numpyro.deterministic("weight", weight)
    factor("skills", dist.StudentT(DF, theta @ weight - shift, sigma).log_prob(ability).sum())

    eta = jnp.clip(easiness + discrimination * ability[:, None], -25, 25)
    factor("counts", log_likelihood(data.n, data.c, eta, kappa).sum())


def components(data: Arrays) -> Any:
    """Scores of the skills' principal components."""
    k = data.component.shape[0]
    return numpyro.sample("score", dist.Normal().expand([k]).to_event(1))


def skills(mean: Any, component: Any, score: Any) -> Any:
    """Skills ``(..., M, d)`` at scores ``(..., K)`` of their principal components."""
    return mean + (score @ component.reshape(component.shape[0], -1)).reshape(
        *score.shape[:-1], *mean.shape
    )


def contrasts(models: int) -> np.ndarray:
    """``(M - 1, M)`` orthonormal rows, each of sum 0."""
    full = np.linalg.qr(np.column_stack([np.ones(models), np.eye(models)[:, 1:]]))[0]
    return np.ascontiguousarray(full[:, 1:].T)


def sample(
    data: Arrays,
    *,
    chains: int = 4,
    warmup: int = 700,
    draws: int = 1000,
    target_accept: float = 0.8,
    max_tree_depth: int = 8,
    seed: int = 0,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """NUTS, all chains in one compiled program.

    Returns
    -------
    draws, stats : dict
        Arrays ``(chains, draws, ...)``.
    """
    with jax.enable_x64(True):
        kernel = NUTS(items, target_accept_prob=target_accept, max_tree_depth=max_tree_depth)
        mcmc = MCMC(
            kernel, num_warmup=warmup, num_samples=draws, num_chains=chains,
            chain_method="vectorized", progress_bar=False,
        )  # fmt: skip
        key = jax.random.PRNGKey(seed)
        arrays = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), data)
        mcmc.run(key, arrays, extra_fields=("diverging", "energy", "num_steps"))
        found = jax.device_get(mcmc.get_samples(group_by_chain=True))
        stats = jax.device_get(mcmc.get_extra_fields(group_by_chain=True))
    return found, stats
