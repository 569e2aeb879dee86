"""The generative model, in NumPyro.

For model ``m`` of family ``f`` and lineage ``l``, benchmark ``j`` and ``d`` skills
(notation of Maia Polo et al., 2024, section 3):

    x_m     = doublings of size, of tokens, and their product
    alpha_f ~ Normal(a_l, (1 - rho) I_d),                           a_l ~ Normal(0, rho I_d)
    theta_m = alpha_f + delta instruct_m + (beta + beta_l) x_m + eps_m    (beta_l, eps_m: optional)
    u_fj    ~ Normal(v_lj, (1 - rho) tau_j^2),                      v_lj ~ Normal(0, rho tau_j^2)
    eta_mj  = lambda_j . theta_m + u_fj + b_j       (of training curves: + w_fj log2 tokens_m)
    mu_mj   = gamma_j + (upper_j - gamma_j) link_j(eta_mj)
    y_mj    ~ Student-t(df, mu_mj, sigma_mj), clipped to [0, 1] and rounded
    sigma_mj^2 = (own noise)^2 + phi mu_mj (1 - mu_mj) / N_j

Each part of this is a term (:mod:`sloth_bayes.law.terms`), with its prior; the rotation and the
coordinates of skills are settled in :mod:`sloth_bayes.model.loadings`. Shifting all families by a
constant changes nothing that data can see: the intercept that is sampled is the *average
predictor of a benchmark's observed scores*, and the bias ``b_j`` follows from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpyro

from ..errors import SpecError
from ..law import equations, likelihood, terms
from ..law.spec import Spec
from .arrays import Arrays
from .distributions import Score
from .loadings import Sizes, per_skill, sample_loadings
from .sites import Sites


def model(spec: Spec, n: Sizes, arrays: Arrays, score: Any = None) -> None:
    """The joint density of parameters and scores.

    Parameters
    ----------
    spec
        The specification (static).
    n
        Static sizes.
    arrays
        The table; cells with ``observed == 0`` are masked.
    score
        ``(N,)`` scores of the observed cells; drawn where they are not given.
    """
    named = numpyro.deterministic
    values = assemble(parameters(spec, n, arrays), arrays, named)
    mu, sd = scored_cells(spec, values, arrays)
    mu = named("mu", mu)
    rounding = jnp.asarray(arrays.rounding)[arrays.benchmark_of]
    law = Score(spec.observation, mu, sd, rounding, n.touched)
    shown = jnp.asarray(arrays.observed)[arrays.model_of, arrays.benchmark_of] > 0
    with numpyro.plate("observation", arrays.model_of.shape[0]):
        numpyro.sample("score", law.mask(shown), obs=score)


def parameters(spec: Spec, n: Sizes, arrays: Arrays, key: Any = None) -> dict[str, Any]:
    """Sample every parameter, with skills in anchor units (:mod:`sloth_bayes.model.loadings`).

    What data reach only through other parameters is integrated out of the density:
    lineage parts of effects, and the effects of families without scores (on a benchmark).
    With a `key` they are drawn, given the rest; without one they are absent, or 0.
    """
    loading, unit = sample_loadings(spec, n, jnp.asarray(arrays.anchor))
    at = Sites(spec, n, arrays, unit, key)
    for term in terms.of(spec):
        at.values |= term.prior(at)
        if term.adds_to and term.name not in at.values:
            raise SpecError(f"the prior of the term {term.name!r} does not return {term.name!r}")
    return {"loading": loading, "unit": unit.tril, **at.values}


def unnamed(name: str, value: Any) -> Any:
    """A quantity that is no site: outside a model, sites go to whatever model is being traced."""
    return value


def assemble(
    values: dict[str, Any], arrays: Arrays, named: Callable[[str, Any], Any] = unnamed
) -> dict[str, Any]:
    """Skills and bias of a draw: the named quantities that every later layer reads.

    Returns
    -------
    dict
        `values`, with ``skill`` (M, d), ``bias`` (J,) and ``predictor`` (M, J) beside them.
    """
    owners = {"family": arrays.family_of_model, "lineage": arrays.lineage_of_model}
    inputs = values.get("inputs", arrays.inputs)
    who = terms.effects_of_table(values, inputs, arrays.columns, owners)
    theta = named("theta", terms.skills(values, who))
    eta = equations.predictor(theta, values["loading"], terms.residuals(values, who), jnp)
    count = jnp.maximum(arrays.observed.sum(0), 1.0)
    bias = values["level"] - (arrays.observed * eta).sum(0) / count
    eta = named("eta", eta + bias)
    return {**values, "skill": theta, "bias": bias, "predictor": eta}


def cells(spec: Spec, values: dict[str, Any], arrays: Arrays) -> tuple[Any, Any]:
    """Expected score and noise scale of every model x benchmark cell, each (M, J)."""
    eta = values["predictor"]
    return _expected(spec, eta, _of_benchmarks(values, arrays), values["sampling_fraction"])


def scored_cells(spec: Spec, values: dict[str, Any], arrays: Arrays) -> tuple[Any, Any]:
    """The same of the cells that have a score, (N,): most of a joint table's have none."""
    rows = _of_benchmarks(values, arrays)
    of = [row.at[arrays.benchmark_of].get(mode="promise_in_bounds") for row in rows]
    return _expected(spec, of_cells(values["predictor"], arrays), of, values["sampling_fraction"])


def _of_benchmarks(values: dict[str, Any], arrays: Arrays) -> Any:
    """What sets benchmarks apart but for their predictors: (5, J)."""
    rows = [values[name] for name in ("link_shape", "lower", "upper", "noise_scale")]
    return jnp.stack([jnp.broadcast_to(a, arrays.chance.shape) for a in (*rows, arrays.inverse_n)])


def _expected(spec: Spec, eta: Any, of: Any, sampling: Any) -> tuple[Any, Any]:
    """Expected score and noise scale at predictors, of what sets their benchmarks apart."""
    shape, lower, upper, own, inverse_n = of
    fraction = equations.link(spec.link, eta, shape, jnp)
    mu = equations.expected(fraction, lower, upper)
    return mu, likelihood.noise_sd(spec.noise, mu, fraction, own, sampling, inverse_n, jnp)


def of_cells(dense: Any, arrays: Arrays) -> Any:
    """Entries (N,) of `dense` (M, J) that have a score."""
    where = dense.at[arrays.model_of, arrays.benchmark_of]
    # promised, so that its derivative need not add up
    return where.get(unique_indices=True, indices_are_sorted=True, mode="promise_in_bounds")


def density(spec: Spec, n: Sizes, arrays: Arrays) -> None:
    """The model given the table's own scores."""
    model(spec, n, arrays, arrays.score)


def sampled(
    spec: Spec, n: Sizes, arrays: Arrays, sites: dict[str, Any], key: Any = None
) -> dict[str, Any]:
    """The parameters of one draw, from its sample sites (see :func:`parameters`)."""
    with numpyro.handlers.block(), numpyro.handlers.substitute(data=sites):
        return parameters(spec, n, arrays, key)


def draw_cells(
    spec: Spec, n: Sizes, arrays: Arrays, sites: dict[str, Any], key: Any = None
) -> tuple[Any, Any]:
    """Expected score and noise scale (M, J) of one draw, from its sample sites.

    Of every model, whether or not its scores were observed: that of a hidden one is a
    forecast, since its own effects then follow their priors given everything else.
    """
    return cells(spec, assemble(sampled(spec, n, arrays, sites, key), arrays), arrays)


def draw_values(
    spec: Spec, n: Sizes, arrays: Arrays, sites: dict[str, Any], key: Any = None
) -> dict[str, Any]:
    """The named quantities of one draw, per unit of skill, from its sample sites."""
    return per_skill(assemble(sampled(spec, n, arrays, sites, key), arrays))
