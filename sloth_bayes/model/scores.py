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
    log size_m   ~ Normal(mean, sd of the known ones)                 (where unknown)
    log tokens_m ~ Normal(a + b log size_m, s), a regression of known ones   (where unknown)

How the unidentified directions are settled, and why each choice leaves every forecast
untouched:

* **Scale of skills against loadings**: family effects have unit variance by definition.
* **Rotation and sign of skills**: the priors of ``alpha``, ``delta``, ``beta``, ``beta_l``,
  ``eps`` and of the rows of ``lambda`` are all isotropic over skills, so the posterior
  depends on ``lambda`` only through ``lambda lambda'``. For any orthogonal ``Q`` (J, J),
  the first ``d`` rows of ``Q lambda`` are a lower-triangular matrix ``L`` with a positive
  diagonal, times a rotation. We sample ``L``: its off-diagonal entries are normal and its
  diagonal entries chi with ``d, d - 1, ..., 1`` degrees of freedom, which is exactly the
  law of the triangular factor of a matrix of independent normals (Bartlett's
  decomposition). ``Q``, the *anchor* of the coordinates, is therefore a choice of
  coordinates, not a prior; a fit takes it from a first approximation of ``lambda``, and
  NUTS once more from early draws (:func:`sloth_bayes.infer.variational.anchor`), so that no
  diagonal entry is near zero, where the sign of a skill would be undecided.
* **Geometry**: data pin the products ``lambda alpha``, so ``lambda`` and ``alpha`` alone
  are a ridge. What is sampled are skills in *anchor units*, ``alpha L'`` (logits along the
  rows of ``Q``), whose prior covariance is proportional to ``L L'``; the remaining rows of
  ``Q lambda`` are sampled as ``K = (Q lambda)_rest L^-1``. The same model, with a round
  posterior.
* **Translation of skills against the bias**: the intercept that is sampled is the
  *average predictor of a benchmark's observed scores*; the bias ``b_j`` follows from it.
  Shifting all families by a constant then changes nothing that the data can see.
* **Location and scale of the trained link**: see :func:`sloth_bayes.law.equations.link`.
* **Effects against their scales**: each effect is centred as far as data inform it
  (:class:`~sloth_bayes.model.distributions.NestedResiduals`), and the lineage layer, which
  data reach only through the families', is integrated out
  (:func:`~sloth_bayes.model.distributions.nested_log_density`).
* **Floors and ceilings** are normal quantiles of what is sampled: a value near its bound
  has no long tail of logarithms, in which chains stay for hundreds of iterations.
* **Residual against skills**: told apart by their priors: skills move benchmarks jointly,
  residuals one by one.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from ..law import equations, likelihood
from ..law.spec import Spec
from .arrays import Arrays, Unknown
from .distributions import (
    NestedResiduals,
    NestedSkills,
    Rows,
    Share,
    Squares,
    Triangle,
    above_zero,
    half_normal,
    nested_complete,
    shortfall_of,
    standard_normal,
    triangle_inverse,
)


class Sizes(NamedTuple):
    """Static sizes of a fit: what a compiled program depends on."""

    models: int
    benchmarks: int
    families: int
    lineages: int
    cells: int  # pairs of family and benchmark with a score
    inputs: int
    skills: int
    # Whether any score is rounded, touches 0, touches 1 (see likelihood.log_likelihood).
    touched: tuple[bool, bool, bool]
    unknown: tuple[int, int]  # models of unknown size, of unknown tokens
    shapes: Arrays  # of all arrays, to trace the model without data


def sizes(spec: Spec, arrays: Arrays) -> Sizes:
    """Static sizes of a fit of `spec` to `arrays`."""
    (models, benchmarks), unknown = arrays.score.shape, arrays.unknown
    half, seen = 0.5 * arrays.rounding, arrays.observed > 0
    touched = (
        bool((arrays.rounding > 0).any()),
        bool(((arrays.score - half <= 1e-6) & seen).any()),
        bool(((arrays.score + half >= 1 - 1e-6) & seen).any()),
    )
    return Sizes(
        models=models,
        benchmarks=benchmarks,
        families=arrays.members.shape[1],
        lineages=arrays.members.shape[0],
        cells=arrays.cell_family.shape[0],
        inputs=arrays.inputs.shape[1],
        skills=n_skills(spec, benchmarks),
        touched=touched,
        unknown=(0, 0) if unknown is None else (unknown.size.shape[0], unknown.tokens.shape[0]),
        shapes=jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), arrays),
    )


def n_skills(spec: Spec, benchmarks: int) -> int:
    """Number of skills: one per benchmark with identity loadings, never more than that."""
    return benchmarks if spec.loadings == "identity" else min(spec.n_skills, benchmarks)


def sample_loadings(spec: Spec, n: Sizes, anchor: Any) -> tuple[Any, Triangle]:
    """Loadings (J, d) per anchor unit, and the triangle (d, d) of anchor units per skill.

    Their product is the loading per unit of skill. Both are identities with identity
    loadings.
    """
    d = n.skills
    if spec.loadings == "identity":
        return jnp.eye(d), Triangle(jnp.eye(d), jnp.eye(d), 0.0)
    squared = numpyro.sample("loading_diagonal", Squares(d).to_event(1))
    tril = jnp.eye(d) * jnp.sqrt(squared)
    if d > 1:
        below = standard_normal("loading_below", (d * (d - 1) // 2,))
        tril = tril + (below @ _places(d)).reshape(d, d)
    triangle = Triangle(tril, triangle_inverse(tril), 0.5 * jnp.log(squared).sum())
    top = jnp.eye(d)
    if n.benchmarks > d:
        rest = numpyro.sample("loading_rest", Rows(triangle.dual(), (n.benchmarks - d, d)))
        top = jnp.concatenate([top, rest])
    return anchor.T @ top, triangle.times(spec.priors.loading)


def _places(d: int) -> np.ndarray:
    """Where the entries below the diagonal go, row by row: (d (d - 1) / 2, d^2) 0 or 1."""
    places = np.flatnonzero(np.tri(d, k=-1))
    return np.eye(d * d, dtype=np.float32)[places]


def reanchored(
    spec: Spec, n: Sizes, old: Arrays, new: Arrays, sites: dict[str, Any]
) -> dict[str, Any]:
    """The same draw in the coordinates of other arrays: sample sites for ``new.anchor``.

    Skills are rotated so that loadings on the rows of the new anchor are triangular again.
    """
    with numpyro.handlers.block(), numpyro.handlers.substitute(data=sites):
        loading, unit = sample_loadings(spec, n, jnp.asarray(old.anchor))
    d = n.skills
    turned = jnp.asarray(new.anchor) @ loading @ unit.tril / spec.priors.loading
    orthogonal, upper = jnp.linalg.qr(turned[:d].T)
    sign = jnp.where(jnp.diag(upper) < 0, -1.0, 1.0)
    triangle, back = (upper * sign[:, None]).T, orthogonal * sign
    out = dict(sites)
    out["loading_diagonal"] = jnp.diag(triangle) ** 2
    if d > 1:
        out["loading_below"] = triangle[jnp.tril_indices(d, -1)]
    solve = jax.scipy.linalg.solve_triangular
    if n.benchmarks > d:
        out["loading_rest"] = solve(triangle.T, (turned[d:] @ back).T, lower=False).T
    # Rows are effects times unit'; they become effects, rotated, times the new unit'.
    move = unit.inverse.T @ back @ (spec.priors.loading * triangle).T
    for name in ("slope_raw", "instruct_raw", "slope_lineage_raw", "model_raw", "family_raw"):
        if name in sites:
            out[name] = sites[name] @ move
    if "slope_family_raw" in sites:
        out["slope_family_raw"] = sites["slope_family_raw"] @ back
    if "family_raw" in sites:
        known = jnp.asarray(old.count).sum(1, keepdims=True) > 0
        out["family_raw"] = jnp.where(known, out["family_raw"], sites["family_raw"])
    return out


def parameters(spec: Spec, n: Sizes, arrays: Arrays, key: Any = None) -> dict[str, Any]:
    """Sample every parameter, with skills in anchor units (see the module).

    What data reach only through other parameters is integrated out of the density:
    lineage parts of effects, and the effects of families without scores (on a benchmark).
    With a `key` they are drawn, given the rest; without one they are absent, or 0.
    """
    p, d = spec.priors, n.skills
    keys = (None, None) if key is None else jax.random.split(key)
    loading, unit = sample_loadings(spec, n, jnp.asarray(arrays.anchor))
    out: dict[str, Any] = {"loading": loading, "unit": unit.tril}
    x_scale = np.array(spec.input_scales)
    seen = (jnp.asarray(arrays.observed).sum(1) > 0).astype(float)  # models with a score

    out["slope"] = numpyro.sample("slope_raw", Rows(unit, (n.inputs, d), x_scale[:, None]))
    if spec.slopes == "pooled":
        out["slope_scale"] = half_normal("slope_scale", p.slope_deviation)
        # The interaction deviates in proportion to its own prior scale.
        relative = x_scale / p.doubling
        # One model of a lineage says nothing of a slope, a few say much.
        models = jnp.zeros(n.lineages).at[arrays.lineage_of_model].add(seen)
        more = jnp.clip(models - 1.0, 0.0, None)
        centring = (more / (more + 1.0))[:, None, None]
        spread = jnp.broadcast_to(out["slope_scale"] ** centring, (n.lineages, n.inputs, 1))
        rows = Rows(unit, (n.lineages * n.inputs, d), spread.reshape(-1, 1))
        raw = numpyro.sample("slope_lineage_raw", rows).reshape(n.lineages, n.inputs, d)
        out["slope_lineage"] = out["slope_scale"] ** (1 - centring) * relative[:, None] * raw
    elif spec.slopes == "family":
        raw = standard_normal("slope_family_raw", (n.families, n.inputs, d)) @ unit.tril.T
        out["slope_family"] = x_scale[:, None] * raw

    if spec.instruct == "shared":
        out["instruct"] = numpyro.sample("instruct_raw", Rows(unit.times(p.instruct), (1, d)))[0]

    def share(name: str) -> Any:
        if spec.intercept != "lineage":
            return None
        a, b = 4 * p.lineage_share, 4 * (1 - p.lineage_share)
        out[name] = numpyro.sample(name, Share(a, b))
        return out[name]

    if spec.intercept != "shared":
        triangle, rho = unit.times(p.family), share("lineage_share")
        known = (arrays.count.sum(1, keepdims=True) > 0).astype(float)
        prior = NestedSkills(triangle, known, rho, arrays.members)
        raw = numpyro.sample("family_raw", prior)
        out["family"] = jnp.where(known > 0, raw, 0.0)
        if key is not None:
            w, wide = prior.standardise(raw), jnp.broadcast_to(known, raw.shape)
            lineage, w = nested_complete(keys[0], w, wide, rho, arrays.members)
            out["family"] = w @ triangle.tril.T
            if lineage is not None:
                out["lineage"] = lineage @ triangle.tril.T

    if spec.residual != "none":
        overall = half_normal("residual_scale_overall", p.residual)
        log_tau = jnp.log(overall) + 0.5 * standard_normal("residual_scale_raw", (n.benchmarks,))
        tau = out["residual_scale"] = jnp.exp(log_tau)
        rho, known = share("residual_share"), (arrays.count > 0).astype(float)
        told = arrays.count * arrays.information
        centred = NestedResiduals(told / (told + 1.0) * log_tau, known, rho, arrays)
        w = centred.standardise(numpyro.sample("residual_raw", centred))
        out["residual"] = tau * known * w
        if key is not None:
            lineage, w = nested_complete(keys[1], w, known, rho, arrays.members)
            out["residual"] = tau * w
            if lineage is not None:
                out["residual_lineage"] = tau * lineage
        if spec.residual == "curve":
            # Data of many checkpoints pin it down, but a run just begun must not be a funnel.
            out["drift_share"] = half_normal("drift_share", p.drift)
            raw = standard_normal("drift_raw", (n.families, n.benchmarks))
            out["drift"] = out["drift_share"] * tau * raw

    if spec.model_effect == "pooled":
        out["model_scale"] = half_normal("model_scale", p.model_effect)
        scored = arrays.observed.sum(1)
        centring = (scored / (scored + 4.0))[:, None]
        spread = out["model_scale"] ** centring
        raw = numpyro.sample("model_raw", Rows(unit, (n.models, d), spread))
        out["model_effect"] = out["model_scale"] ** (1 - centring) * raw

    if arrays.unknown is not None:
        out |= unknown_inputs(spec, n, arrays.unknown)

    of_benchmarks = functools.partial(standard_normal, shape=(n.benchmarks,))
    chance = jnp.asarray(arrays.chance)
    out["level"] = p.level * of_benchmarks("level_raw")
    if spec.lower == "estimated":
        out["lower"] = above_zero(of_benchmarks("lower_raw"), chance, p.lower, jnp)
    else:
        out["lower"] = chance
    out["upper"] = out["link_shape"] = jnp.ones(n.benchmarks)
    if spec.upper == "estimated":
        shortfall = shortfall_of(of_benchmarks("ceiling_raw"), p.ceiling, jnp)
        out["upper"] = 1 - (1 - out["lower"]) * shortfall
    if equations.LINKS[spec.link].trained:
        out["link_shape"] = jnp.exp(p.link_shape * of_benchmarks("link_shape_raw"))

    overall = numpyro.sample("noise_overall", dist.LogNormal(math.log(p.noise), 0.7))
    out["noise_scale"] = overall * jnp.exp(p.noise_spread * of_benchmarks("noise_raw"))
    prior = dist.LogNormal(math.log(p.sampling_fraction), 0.5)
    out["sampling_fraction"] = numpyro.sample("sampling_fraction", prior)
    return out


def unknown_inputs(spec: Spec, n: Sizes, unknown: Unknown) -> dict[str, Any]:
    """Sample what the table does not say, and the inputs of all models with it.

    Standard normal sites, whose prior :class:`~sloth_bayes.model.arrays.Unknown` states.

    Returns
    -------
    dict
        ``inputs`` (M, P); ``params_b`` (U,) in billions and ``tokens_t`` (V,) in trillions,
        each where any is unknown.
    """
    out: dict[str, Any] = {}
    size, tokens = jnp.asarray(unknown.log_size), jnp.asarray(unknown.log_tokens)
    if n.unknown[0]:
        mean, sd = unknown.of_size
        found = mean + sd * standard_normal("params_raw", (n.unknown[0],))
        size = size.at[unknown.size].set(found)
        out["params_b"] = jnp.exp(found)
    if n.unknown[1]:
        intercept, slope, sd = unknown.of_tokens
        around = intercept + slope * size[unknown.tokens]
        found = around + sd * standard_normal("tokens_raw", (n.unknown[1],))
        tokens = tokens.at[unknown.tokens].set(found)
        out["tokens_t"] = jnp.exp(found)
    out["inputs"] = equations.raw_inputs(spec.inputs, size, tokens, unknown.centre, jnp)
    return out


def assemble(values: dict[str, Any], arrays: Arrays) -> dict[str, Any]:
    """Skills and bias of a draw: the named quantities that every later layer reads.

    Returns
    -------
    dict
        `values`, with ``skill`` (M, d), ``bias`` (J,) and ``predictor`` (M, J) beside them.
    """
    f, inputs = arrays.family_of_model, values.get("inputs", arrays.inputs)
    nothing = jnp.zeros((arrays.members.shape[1], values["loading"].shape[1]))
    out = {"family": nothing, **values}
    out["skill"] = equations.skills(
        out["family"][f],
        values["slope"],
        inputs,
        slope_deviation=equations.slope_deviation(values, arrays.lineage_of_model, f),
        instruct=values.get("instruct"),
        is_instruct=arrays.instruct,
        model_effect=values.get("model_effect"),
    )
    residual = equations.residuals(values, f, inputs)
    predictor = equations.predictor(out["skill"], values["loading"], residual, jnp)
    count = jnp.maximum(arrays.observed.sum(0), 1.0)
    out["bias"] = values["level"] - (arrays.observed * predictor).sum(0) / count
    out["predictor"] = predictor + out["bias"]
    return out


def cells(spec: Spec, values: dict[str, Any], arrays: Arrays) -> tuple[Any, Any]:
    """Expected score and noise scale of every model x benchmark cell, each (M, J)."""
    fraction = equations.link(spec.link, values["predictor"], values["link_shape"], jnp)
    mu = equations.expected(fraction, values["lower"], values["upper"])
    own, sampling = values["noise_scale"], values["sampling_fraction"]
    sd = likelihood.noise_sd(spec.noise, mu, fraction, own, sampling, arrays.inverse_n, jnp)
    return mu, sd


def model(spec: Spec, n: Sizes, arrays: Arrays) -> None:
    """The joint density of parameters and scores; see the module for the mathematics.

    Parameters
    ----------
    spec
        The specification (static).
    n
        Static sizes.
    arrays
        The data; only cells with ``observed == 1`` enter the likelihood.
    """
    values = assemble(parameters(spec, n, arrays), arrays)
    mu, sd = cells(spec, values, arrays)
    touched = dict(zip(("rounded", "floor", "ceiling"), n.touched))
    logp = likelihood.log_likelihood(arrays.score, mu, sd, spec.df, arrays.rounding, jnp, **touched)
    # Cells without a score are held at a harmless value: their gradient must be 0, not NaN.
    total = jnp.where(arrays.observed > 0, logp, 0.0).sum()
    numpyro.factor("scores", total)


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


def per_skill(values: dict[str, Any]) -> dict[str, Any]:
    """Turn anchor units into units of skill: the same predictor, family effects of unit sd."""
    unit = values["unit"]
    d = unit.shape[0]
    inverse = jax.scipy.linalg.solve_triangular(unit, jnp.eye(d), lower=True)
    # Skills and predictors of every model follow from the rest, and would be most of it.
    out = {k: v for k, v in values.items() if k not in ("unit", "skill", "predictor", "inputs")}
    out["loading"] = values["loading"] @ unit
    for name in ("slope", "slope_lineage", "slope_family", "instruct", "family", "lineage",
                 "model_effect"):  # fmt: skip
        if name in values:
            out[name] = values[name] @ inverse.T
    return out
