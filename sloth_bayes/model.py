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
  NUTS once more from early draws (:func:`sloth_bayes.variational.anchor`), so that no
  diagonal entry is near zero, where the sign of a skill would be undecided.
* **Geometry**: data pin the products ``lambda alpha``, so ``lambda`` and ``alpha`` alone
  are a ridge. What is sampled are skills in *anchor units*, ``alpha L'`` (logits along the
  rows of ``Q``), whose prior covariance is proportional to ``L L'``; the remaining rows of
  ``Q lambda`` are sampled as ``K = (Q lambda)_rest L^-1``. The same model, with a round
  posterior.
* **Translation of skills against the bias**: the intercept that is sampled is the
  *average predictor of a benchmark's observed scores*; the bias ``b_j`` follows from it.
  Shifting all families by a constant then changes nothing that the data can see.
* **Location and scale of the trained link**: see :func:`sloth_bayes.law.link`.
* **Effects against their scales**: each effect is centred as far as data inform it
  (:class:`NestedResiduals`), and the lineage layer, which data reach only through the
  families', is integrated out (:func:`nested_log_density`).
* **Floors and ceilings** are normal quantiles of what is sampled: a value near its bound
  has no long tail of logarithms, in which chains stay for hundreds of iterations.
* **Residual against skills**: told apart by their priors: skills move benchmarks jointly,
  residuals one by one.
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

from . import law
from .design import Arrays, Unknown
from .spec import Sloth


class Sizes(NamedTuple):
    """Static sizes of a fit: what a compiled program depends on."""

    models: int
    benchmarks: int
    families: int
    lineages: int
    cells: int  # pairs of family and benchmark with a score
    inputs: int
    skills: int
    # Benchmarks whose scores are rounded, and those whose are not: their indices, and
    # whether they are rounded, any touches 0, any touches 1 (see law.log_likelihood).
    columns: tuple[tuple[tuple[int, ...], tuple[bool, bool, bool]], ...]
    unknown: tuple[int, int] = (0, 0)  # models of unknown size, of unknown tokens


def sizes(spec: Sloth, arrays: Arrays) -> Sizes:
    """Static sizes of a fit of `spec` to `arrays`."""
    models, benchmarks = arrays.score.shape
    rounded, half = arrays.rounding > 0, 0.5 * arrays.rounding
    seen = arrays.observed > 0
    columns = []
    for kind in (False, True):
        which = np.flatnonzero(rounded == kind)
        score, here = arrays.score[:, which], seen[:, which]
        floor = bool(((score - half[which] <= 1e-6) & here).any())
        ceiling = bool(((score + half[which] >= 1 - 1e-6) & here).any())
        if which.size:
            columns.append((tuple(which.tolist()), (kind, floor, ceiling)))
    return Sizes(
        models=models,
        benchmarks=benchmarks,
        families=arrays.members.shape[1],
        lineages=arrays.members.shape[0],
        cells=arrays.cell_family.shape[0],
        inputs=arrays.inputs.shape[1],
        skills=n_skills(spec, benchmarks),
        columns=tuple(columns),
        unknown=(0, 0)
        if arrays.unknown is None
        else (arrays.unknown.size.shape[0], arrays.unknown.tokens.shape[0]),
    )


def n_skills(spec: Sloth, benchmarks: int) -> int:
    """Number of skills: one per benchmark with identity loadings, never more than that."""
    return benchmarks if spec.loadings == "identity" else min(spec.n_skills, benchmarks)


def _normal(name: str, shape: tuple[int, ...]) -> Any:
    return numpyro.sample(name, dist.Normal(0.0, 1.0).expand(shape).to_event(len(shape)))


def _half_normal(name: str, scale: float) -> Any:
    return numpyro.sample(name, dist.HalfNormal(scale))


class MatrixRows(dist.Distribution):
    """Rows ``k = z L^-1`` with standard normal ``z``: `rows` of them, given the triangle."""

    support = dist.constraints.independent(dist.constraints.real, 2)

    def __init__(self, triangle: Any, inverse: Any, rows: int) -> None:
        self.triangle, self.inverse = triangle, inverse
        super().__init__(batch_shape=(), event_shape=(rows, triangle.shape[0]))

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draw rows."""
        return jax.random.normal(key, (*sample_shape, *self.event_shape)) @ self.inverse

    def log_prob(self, value: Any) -> Any:
        """Joint log density of all rows."""
        z = value @ self.triangle
        rows, width = self.event_shape
        log_det = jnp.log(jnp.diag(self.triangle)).sum()
        return -0.5 * (z**2).sum() + rows * (log_det - 0.5 * width * math.log(2 * math.pi))


class Rows(dist.Distribution):
    """Independent normal rows: mean `loc`, covariance ``spread^2 tril tril'``."""

    support = dist.constraints.independent(dist.constraints.real, 2)

    def __init__(self, loc: Any, tril: Any, shape: tuple[int, int], spread: Any = 1.0) -> None:
        self.loc, self.tril = loc, tril
        self.spread = jnp.broadcast_to(spread, (shape[0], 1))
        super().__init__(batch_shape=(), event_shape=shape)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draw rows."""
        noise = jax.random.normal(key, (*sample_shape, *self.event_shape))
        return self.loc + self.spread * (noise @ self.tril.T)

    def log_prob(self, value: Any) -> Any:
        """Joint log density of all rows."""
        # One inverse of a (d, d) triangle, then a matrix product: d is small, rows are many.
        inverse = jax.scipy.linalg.solve_triangular(
            self.tril, jnp.eye(self.tril.shape[0]), lower=True
        )
        z = ((value - self.loc) / self.spread) @ inverse.T
        rows, width = self.event_shape
        log_det = rows * jnp.log(jnp.diag(self.tril)).sum() + width * jnp.log(self.spread).sum()
        return -0.5 * (z**2).sum() - log_det - 0.5 * rows * width * math.log(2 * math.pi)


def sample_loadings(spec: Sloth, n: Sizes, anchor: Any) -> tuple[Any, Any]:
    """Loadings (J, d) per anchor unit, and the triangle (d, d) of anchor units per skill.

    Their product is the loading per unit of skill. Both are identities with identity
    loadings.
    """
    d, scale = n.skills, spec.priors.loading
    if spec.loadings == "identity":
        return jnp.eye(d), jnp.eye(d)
    concentration = 0.5 * jnp.arange(d, 0, -1.0)
    squared = numpyro.sample("loading_diagonal", dist.Gamma(concentration, 0.5).to_event(1))
    below = _normal("loading_below", (d * (d - 1) // 2,)) if d > 1 else jnp.zeros(0)
    triangle = jnp.diag(jnp.sqrt(squared)).at[jnp.tril_indices(d, -1)].set(below)
    top = jnp.eye(d)
    if n.benchmarks > d:
        inverse = jax.scipy.linalg.solve_triangular(triangle, jnp.eye(d), lower=True)
        rest = numpyro.sample("loading_rest", MatrixRows(triangle, inverse, n.benchmarks - d))
        top = jnp.concatenate([top, rest])
    return anchor.T @ top, scale * triangle


def reanchored(
    spec: Sloth, n: Sizes, old: Arrays, new: Arrays, sites: dict[str, Any]
) -> dict[str, Any]:
    """The same draw in the coordinates of other arrays: sample sites for ``new.anchor``.

    Skills are rotated so that loadings on the rows of the new anchor are triangular again.
    """
    with numpyro.handlers.block(), numpyro.handlers.substitute(data=sites):
        loading, unit = sample_loadings(spec, n, jnp.asarray(old.anchor))
    d = n.skills
    turned = jnp.asarray(new.anchor) @ loading @ unit / spec.priors.loading
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
    move = solve(unit, jnp.eye(d), lower=True).T @ back @ (spec.priors.loading * triangle).T
    for name in ("slope_raw", "instruct_raw", "slope_lineage_raw", "model_raw", "family_raw"):
        if name in sites:
            out[name] = sites[name] @ move
    if "slope_family_raw" in sites:
        out["slope_family_raw"] = sites["slope_family_raw"] @ back
    if "family_raw" in sites:
        known = jnp.asarray(old.count).sum(1, keepdims=True) > 0
        out["family_raw"] = jnp.where(known, out["family_raw"], sites["family_raw"])
    return out


def nested_log_density(w: Any, known: Any, share: Any, members: Any) -> Any:
    """Log density of standardised effects ``w`` (F, C) of families nested in lineages.

    ``w_f = v_l + e_f`` with ``v_l ~ Normal(0, share)`` and ``e_f ~ Normal(0, 1 - share)``;
    the lineage part ``v`` is integrated out: it would be a layer of parameters that data
    reach only through another. Effects that are not `known` count as independent standard
    normals. Constants are left out.
    """
    if share is None:
        return -0.5 * (w**2).sum()
    k = members @ known
    mean = members @ (known * w) / jnp.maximum(k, 1.0)
    deviation = known * (w - members.T @ mean)
    own, whole = 1 - share, 1 - share + share * k
    quadratic = (deviation**2).sum() / own + (k * mean**2 / whole).sum()
    log_det = ((k - 1) * jnp.log(own) + jnp.log(whole)).sum()
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

    def __init__(self, tril: Any, known: Any, share: Any, members: Any) -> None:
        self.tril, self.known, self.share, self.members = tril, known, share, members
        # One inverse of a (d, d) triangle, then a matrix product: d is small, rows are many.
        self.inverse = jax.scipy.linalg.solve_triangular(tril, jnp.eye(tril.shape[0]), lower=True)
        super().__init__(batch_shape=(), event_shape=(members.shape[1], tril.shape[0]))

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draw effects; only single draws are needed."""
        w = nested_draw(key, self.share, self.members, self.tril.shape[0])
        return jnp.where(self.known > 0, w @ self.tril.T, w)

    def standardise(self, value: Any) -> Any:
        """Effects of unit variance and no correlation between skills."""
        return jnp.where(self.known > 0, value @ self.inverse.T, value)

    def log_prob(self, value: Any) -> Any:
        """Joint log density, up to a constant."""
        known = jnp.broadcast_to(self.known, self.event_shape)
        density = nested_log_density(self.standardise(value), known, self.share, self.members)
        return density - self.known.sum() * jnp.log(jnp.diag(self.tril)).sum()


class NestedResiduals(dist.Distribution):
    """Family x benchmark residuals, as a vector of those cells that have scores.

    Each is sampled between its own value and its standardised deviation: `spread` is its
    scale to the power of how far data inform it (Papaspiliopoulos, Roberts and Skoeld,
    2003). An effect that data pin down must not be a product of two unknowns: mean-field
    guides then shrink the scale to nothing, and NUTS follows a ridge. One without data
    must not be tied to its scale: that is a funnel.
    """

    support = dist.constraints.real_vector

    def __init__(self, spread: Any, known: Any, share: Any, arrays: Arrays) -> None:
        self.spread, self.known, self.share, self.arrays = spread, known, share, arrays
        super().__init__(batch_shape=(), event_shape=(arrays.cell_family.shape[0],))

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draw residuals; only single draws are needed."""
        a = self.arrays
        w = nested_draw(key, self.share, a.members, self.known.shape[1])
        return jnp.where(self.known > 0, w * self.spread, w)[a.cell_family, a.cell_benchmark]

    def standardise(self, value: Any) -> Any:
        """Residuals (F, J) of unit variance; 0 in cells that have no scores in the table."""
        dense = jnp.concatenate([value, jnp.zeros(1)])[self.arrays.cell_position]
        return jnp.where(self.known > 0, dense / self.spread, dense)

    def log_prob(self, value: Any) -> Any:
        """Joint log density, up to a constant."""
        density = nested_log_density(
            self.standardise(value), self.known, self.share, self.arrays.members
        )
        return density - (self.known * jnp.log(self.spread)).sum()


def _above_zero(loc: Any, scale: float, z: Any) -> Any:
    """Normal(loc, scale) truncated to positive values, from standard normal `z`."""
    above = ndtr(loc / scale) * ndtr(-z)
    return loc - scale * ndtri(jnp.clip(above, 1e-30, 1 - 1e-6))


def _shortfall(mean: float, z: Any) -> Any:
    """Beta(1, 1 / mean - 1), from standard normal `z`."""
    return -jnp.expm1(log_ndtr(-z) / (1 / mean - 1))


def parameters(spec: Sloth, n: Sizes, arrays: Arrays, key: Any = None) -> dict[str, Any]:
    """Sample every parameter, with skills in anchor units (see the module).

    What data reach only through other parameters is integrated out of the density:
    lineage parts of effects, and the effects of families without scores (on a benchmark).
    With a `key` they are drawn, given the rest; without one they are absent, or 0.
    """
    p, d = spec.priors, n.skills
    keys = (None, None) if key is None else jax.random.split(key)
    loading, unit = sample_loadings(spec, n, jnp.asarray(arrays.anchor))
    out: dict[str, Any] = {"loading": loading, "unit": unit}
    x_scale = jnp.array(spec.input_scales)
    seen = (jnp.asarray(arrays.observed).sum(1) > 0).astype(float)  # models with a score

    out["slope"] = numpyro.sample("slope_raw", Rows(0.0, unit, (n.inputs, d), x_scale[:, None]))
    if spec.slopes == "pooled":
        out["slope_scale"] = _half_normal("slope_scale", p.slope_deviation)
        # The interaction deviates in proportion to its own prior scale.
        relative = x_scale / p.doubling
        # One model of a lineage says nothing of a slope, a few say much.
        models = jnp.zeros(n.lineages).at[arrays.lineage_of_model].add(seen)
        more = jnp.clip(models - 1.0, 0.0, None)
        centring = (more / (more + 1.0))[:, None, None]
        spread = jnp.broadcast_to(out["slope_scale"] ** centring, (n.lineages, n.inputs, 1))
        rows = Rows(0.0, unit, (n.lineages * n.inputs, d), spread.reshape(-1, 1))
        raw = numpyro.sample("slope_lineage_raw", rows).reshape(n.lineages, n.inputs, d)
        out["slope_lineage"] = out["slope_scale"] ** (1 - centring) * relative[:, None] * raw
    elif spec.slopes == "family":
        raw = _normal("slope_family_raw", (n.families, n.inputs, d)) @ unit.T
        out["slope_family"] = x_scale[:, None] * raw

    if spec.instruct == "shared":
        out["instruct"] = numpyro.sample("instruct_raw", Rows(0.0, p.instruct * unit, (1, d)))[0]

    def share(name: str) -> Any:
        if spec.intercept != "lineage":
            return None
        a, b = 4 * p.lineage_share, 4 * (1 - p.lineage_share)
        out[name] = numpyro.sample(name, dist.Beta(a, b))
        return out[name]

    if spec.intercept != "shared":
        tril, rho = p.family * unit, share("lineage_share")
        known = (arrays.count.sum(1, keepdims=True) > 0).astype(float)
        prior = NestedSkills(tril, known, rho, arrays.members)
        raw = numpyro.sample("family_raw", prior)
        out["family"] = jnp.where(known > 0, raw, 0.0)
        if key is not None:
            w, wide = prior.standardise(raw), jnp.broadcast_to(known, raw.shape)
            lineage, w = nested_complete(keys[0], w, wide, rho, arrays.members)
            out["family"] = w @ tril.T
            if lineage is not None:
                out["lineage"] = lineage @ tril.T

    if spec.residual != "none":
        overall = _half_normal("residual_scale_overall", p.residual)
        spread = 0.5 * _normal("residual_scale_raw", (n.benchmarks,))
        tau = out["residual_scale"] = overall * jnp.exp(spread)
        rho, known = share("residual_share"), (arrays.count > 0).astype(float)
        told = arrays.count * arrays.information
        centred = NestedResiduals(tau ** (told / (told + 1.0)), known, rho, arrays)
        w = centred.standardise(numpyro.sample("residual_raw", centred))
        out["residual"] = tau * known * w
        if key is not None:
            lineage, w = nested_complete(keys[1], w, known, rho, arrays.members)
            out["residual"] = tau * w
            if lineage is not None:
                out["residual_lineage"] = tau * lineage
        if spec.residual == "curve":
            # Data of many checkpoints pin it down, but a run just begun must not be a funnel.
            out["drift_share"] = _half_normal("drift_share", p.drift)
            raw = _normal("drift_raw", (n.families, n.benchmarks))
            out["drift"] = out["drift_share"] * tau * raw

    if spec.model_effect == "pooled":
        out["model_scale"] = _half_normal("model_scale", p.model_effect)
        scored = arrays.observed.sum(1)
        centring = (scored / (scored + 4.0))[:, None]
        spread = out["model_scale"] ** centring
        raw = numpyro.sample("model_raw", Rows(0.0, unit, (n.models, d), spread))
        out["model_effect"] = out["model_scale"] ** (1 - centring) * raw

    if arrays.unknown is not None:
        out |= unknown_inputs(spec, n, arrays.unknown)

    chance = jnp.asarray(arrays.chance)
    out["level"] = p.level * _normal("level_raw", (n.benchmarks,))
    if spec.lower == "estimated":
        out["lower"] = _above_zero(chance, p.lower, _normal("lower_raw", (n.benchmarks,)))
    else:
        out["lower"] = chance
    if spec.upper == "estimated":
        shortfall = _shortfall(p.ceiling, _normal("ceiling_raw", (n.benchmarks,)))
        out["upper"] = 1 - (1 - out["lower"]) * shortfall
    else:
        out["upper"] = jnp.ones(n.benchmarks)
    out["link_shape"] = jnp.ones(n.benchmarks)
    if law.LINKS[spec.link].trained:
        out["link_shape"] = jnp.exp(p.link_shape * _normal("link_shape_raw", (n.benchmarks,)))

    overall = numpyro.sample("noise_overall", dist.LogNormal(jnp.log(p.noise), 0.7))
    spread = p.noise_spread * _normal("noise_raw", (n.benchmarks,))
    out["noise_scale"] = overall * jnp.exp(spread)
    prior = dist.LogNormal(jnp.log(p.sampling_fraction), 0.5)
    out["sampling_fraction"] = numpyro.sample("sampling_fraction", prior)
    return out


def unknown_inputs(spec: Sloth, n: Sizes, unknown: Unknown) -> dict[str, Any]:
    """Sample what the table does not say, and the inputs of all models with it.

    Standard normal sites, whose prior :class:`~sloth_bayes.design.Unknown` states.

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
        found = mean + sd * _normal("params_raw", (n.unknown[0],))
        size = size.at[unknown.size].set(found)
        out["params_b"] = jnp.exp(found)
    if n.unknown[1]:
        intercept, slope, sd = unknown.of_tokens
        around = intercept + slope * size[unknown.tokens]
        found = around + sd * _normal("tokens_raw", (n.unknown[1],))
        tokens = tokens.at[unknown.tokens].set(found)
        out["tokens_t"] = jnp.exp(found)
    out["inputs"] = law.raw_inputs(spec.inputs, size, tokens, unknown.centre, jnp)
    return out


def assemble(values: dict[str, Any], arrays: Arrays) -> dict[str, Any]:
    """Skills and bias of a draw: the named quantities that every later layer reads.

    Returns
    -------
    dict
        `values`, with ``skill`` (M, d), ``bias`` (J,) and ``predictor`` (M, J) beside them.
    """
    out = dict(values)
    d = values["loading"].shape[1]
    f = arrays.family_of_model
    inputs = values.get("inputs", arrays.inputs)
    families = arrays.members.shape[1]
    family = out.setdefault("family", jnp.zeros((families, d)))

    deviation = None
    if "slope_lineage" in values:
        deviation = values["slope_lineage"][arrays.lineage_of_model]
    elif "slope_family" in values:
        deviation = values["slope_family"][f]
    out["skill"] = law.skills(
        family[f],
        values["slope"],
        inputs,
        slope_deviation=deviation,
        instruct=values.get("instruct"),
        is_instruct=arrays.instruct,
        model_effect=values.get("model_effect"),
    )
    residual = values["residual"][f] if "residual" in values else None
    if "drift" in values:
        residual = residual + values["drift"][f] * inputs[:, law.TOKENS, None]
    predictor = law.predictor(out["skill"], values["loading"], residual, jnp)
    count = jnp.maximum(arrays.observed.sum(0), 1.0)
    out["bias"] = values["level"] - (arrays.observed * predictor).sum(0) / count
    out["predictor"] = predictor + out["bias"]
    return out


def cells(spec: Sloth, values: dict[str, Any], arrays: Arrays) -> tuple[Any, Any]:
    """Expected score and noise scale of every model x benchmark cell, each (M, J)."""
    fraction = law.link(spec.link, values["predictor"], values["link_shape"], jnp)
    mu = law.expected(fraction, values["lower"], values["upper"])
    sd = law.noise_sd(
        spec.noise,
        mu,
        fraction,
        values["noise_scale"],
        values["sampling_fraction"],
        arrays.inverse_n,
        jnp,
    )
    return mu, sd


def model(spec: Sloth, n: Sizes, arrays: Arrays) -> None:
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
    total = jnp.zeros(())
    for indices, (rounded, floor, ceiling) in n.columns:
        j = np.array(indices)
        observed = arrays.observed[:, j]
        logp = law.log_likelihood(
            arrays.score[:, j],
            mu[:, j],
            sd[:, j],
            spec.df,
            jnp.asarray(arrays.rounding)[j],
            jnp,
            rounded=rounded,
            floor=floor,
            ceiling=ceiling,
        )
        # Cells without a score are held at a harmless value: their gradient must be 0, not NaN.
        total = total + (observed * jnp.where(observed > 0, logp, 0.0)).sum()
    numpyro.factor("scores", total)


def sampled(
    spec: Sloth, n: Sizes, arrays: Arrays, sites: dict[str, Any], key: Any = None
) -> dict[str, Any]:
    """The parameters of one draw, from its sample sites (see :func:`parameters`)."""
    with numpyro.handlers.block(), numpyro.handlers.substitute(data=sites):
        return parameters(spec, n, arrays, key)


def draw_cells(
    spec: Sloth, n: Sizes, arrays: Arrays, sites: dict[str, Any], key: Any = None
) -> tuple[Any, Any]:
    """Expected score and noise scale (M, J) of one draw, from its sample sites.

    Of every model, whether or not its scores were observed: that of a hidden one is a
    forecast, since its own effects then follow their priors given everything else.
    """
    return cells(spec, assemble(sampled(spec, n, arrays, sites, key), arrays), arrays)


def draw_values(
    spec: Sloth, n: Sizes, arrays: Arrays, sites: dict[str, Any], key: Any = None
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
