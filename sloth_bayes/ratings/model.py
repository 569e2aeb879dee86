"""Ratings by judges on top of the law of skills, in NumPyro.

The predictor ``eta_mj`` of model ``m`` on skill ``j`` is that of
:mod:`sloth_bayes.model.scores`, with size as its only input (doublings ``x_m`` from the geometric
mean) and the skills of a taxonomy in the place of benchmarks. Added to it are, for kind ``k`` of
model (base, chat, ...):

    f_j(x) = c_j x + sum_i h_ij max(x - knot_i, 0)      c_j ~ N(0, s_c^2),  h_ij ~ N(H_i, s_h^2)
    kappa_kj ~ N(0, s_k^2), of mean 0 over kinds

so that the gain of a doubling may change at each knot, up or down, and be another for each
skill. Judge ``g`` shifts and stretches what it sees:

    eta_mjg = a_g eta_mj - v_g - v_gj                   mean over judges of log a, v: 0

**Means** ``y_mjg`` in [0, 1] (a rating of 1 is 0, one of 5 is 1): the judges of one cell rate
the same answers, so they share what is particular to these. With ``mu = logistic(eta)``

    (y_mj1, ..., y_mjG) ~ multivariate t(df, mu, s_mj^2 1 1' + diag(sigma_gj^2 w^2))

where ``s_mj`` is the noise scale of :func:`sloth_bayes.law.likelihood.noise_sd` and ``w`` its
shape (full in the middle of the range, a tenth at the ends). What judges share is integrated out.

**Single ratings** are counted by model, skill, difficulty ``q`` and judge:

    P(rating > k) = logistic(a_g (eta_mj + e_mj + d_jq) - v_g - v_gj - t_k),   k = 1, ..., 4

with a pooled effect ``e_mj`` of the answers of one model on one skill, and difficulties
``d_jq`` (steps from one level to the next, pooled over skills), thresholds ``t`` of mean 0.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro import handlers

from ..infer.compiled import Target
from ..law import equations, likelihood
from ..law.spec import Spec
from ..model import scores
from ..model.arrays import Arrays
from ..model.loadings import Sizes
from .draws import DIMS, curve

# Prior scales, in logits: set before any fit, from how ratings move (a logit in the middle of
# the scale is one point of 1-5).
CURVE = 0.1  # half-normal scale of what skills differ by in the gain of a doubling
BEND = 0.15  # sd of the change of that gain at a knot, common to all skills
KIND = 0.3  # half-normal scale of kind x skill effects
SEVERITY, SEVERITY_OWN = 0.5, 0.3  # of a judge; half-normal scale of judge x skill effects
STRETCH = 0.2  # sd of a judge's log stretch
JUDGE_NOISE = 0.02  # prior median, in [0, 1]; log sd 0.7 between judges, 0.4 between skills
STEP, STEP_SPREAD, STEP_OWN = -0.2, 0.3, 0.2  # of a level of difficulty
GAP = 1.5  # prior median of the distance of two thresholds, log sd 0.5


class Judged(NamedTuple):
    """What the law of ratings reads besides :class:`~sloth_bayes.model.arrays.Arrays`.

    G judges, M models, J skills, K knots, D difficulties; without means G x M x J is replaced
    by G x 0 x 0, without single ratings C is 0.
    """

    knots: Any  # (K,) doublings from the geometric mean size
    kind: Any  # (M, kinds) one-hot
    rating: Any  # (G, M, J) mean ratings in [0, 1], 0.5 where missing
    rated: Any  # (G, M, J) 0 or 1
    count: Any  # (C, 5) single ratings of a cell
    cell: Any  # (C, 4) its model, skill, difficulty and judge
    weight: Any  # (J, D) share of each difficulty in the ratings of a skill


def standard_normal(name: str, shape: tuple[int, ...]) -> Any:
    """Sample independent standard normals."""
    return numpyro.sample(name, dist.Normal(0.0, 1.0).expand(shape).to_event(len(shape)))


def half_normal(name: str, scale: float) -> Any:
    """Sample a half-normal."""
    return numpyro.sample(name, dist.HalfNormal(scale))


def _centred(x: Any, axis: int = 0) -> Any:
    return x - x.mean(axis, keepdims=True)


def parameters(spec: Spec, n: Sizes, arrays: Arrays, key: Any = None) -> dict[str, Any]:
    """Sample every parameter: those of the law of skills, and what this module adds."""
    judged: Judged = arrays.extra
    out = scores.parameters(spec, n, arrays, key)
    judges, j = judged.rating.shape[0], n.benchmarks
    knots, kinds, levels = judged.knots.shape[0], judged.kind.shape[1], judged.weight.shape[1]

    out["curve_scale"] = half_normal("curve_scale", CURVE)
    out["own_slope"] = out["curve_scale"] * standard_normal("own_slope_raw", (j,))
    shared = BEND * standard_normal("bend_raw", (knots,))
    out["bend"] = shared[:, None] + out["curve_scale"] * standard_normal("own_bend_raw", (knots, j))
    out["kind_scale"] = half_normal("kind_scale", KIND)
    out["kind"] = _centred(out["kind_scale"] * standard_normal("kind_raw", (kinds, j)))

    out["severity_scale"] = half_normal("severity_scale", SEVERITY_OWN)
    own = out["severity_scale"] * standard_normal("severity_own_raw", (judges, j))
    severity = SEVERITY * standard_normal("severity_raw", (judges,))
    out["severity"] = _centred(severity[:, None] + own)
    out["stretch"] = jnp.exp(_centred(STRETCH * standard_normal("stretch_raw", (judges,))))
    if judged.count.shape[0]:
        steps = STEP + STEP_SPREAD * standard_normal("step_raw", (levels - 1,))
        out["step_scale"] = half_normal("step_scale", STEP_OWN)
        steps = steps + out["step_scale"] * standard_normal("step_own_raw", (j, levels - 1))
        level = jnp.concatenate([jnp.zeros((j, 1)), jnp.cumsum(steps, 1)], axis=1)
        out["difficulty"] = level - (judged.weight * level).sum(1, keepdims=True)
        gaps = jnp.exp(math.log(GAP) + 0.5 * standard_normal("gap_raw", (3,)))
        out["threshold"] = _centred(jnp.concatenate([jnp.zeros(1), jnp.cumsum(gaps)]))
        # The own noise of a score, seen through the slope of a logistic in its middle
        scale = 4.0 * out["noise_scale"]
        spread = jnp.broadcast_to(scale**0.9, (n.models, j))  # data inform it: NestedResiduals
        law = dist.Normal(0.0, spread).to_event(2)
        out["answer"] = scale**0.1 * numpyro.sample("answer_raw", law)
    else:
        noise = 0.7 * standard_normal("judge_raw", (judges, 1))
        noise = noise + 0.4 * standard_normal("judge_own_raw", (judges, j))
        out["judge_noise"] = JUDGE_NOISE * jnp.exp(noise)
    return out


def assemble(values: dict[str, Any], arrays: Arrays) -> dict[str, Any]:
    """Predictor (M, J) and bias with the curves and kinds in them; what is identified of effects.

    ``slope`` (J,), ``kind_effect`` (kinds, J) and ``family_effect`` (F, J) are in logits, the
    chat models' common shift being part of the kinds'.
    """
    judged: Judged = arrays.extra
    out = scores.assemble(values, arrays)
    x = out.get("inputs", arrays.inputs)[:, 0]
    added = curve(x, values["own_slope"], values["bend"], judged.knots, jnp)
    added = added + judged.kind @ values["kind"]
    count = jnp.maximum(arrays.observed.sum(0), 1.0)
    middle = (arrays.observed * added).sum(0) / count
    out["predictor"] = out["predictor"] + added - middle
    out["bias"] = out["bias"] - middle
    return out


def mean_cells(spec: Spec, values: dict[str, Any], arrays: Arrays) -> tuple[Any, Any, Any]:
    """Expected mean ratings (G, M, J), their own noise, and the noise that judges share (M, J)."""
    eta, nothing = values["predictor"], jnp.zeros(())
    seen = values["stretch"][:, None, None] * eta - values["severity"][:, None]
    fraction = equations.link(spec.link, seen, 1.0, jnp)
    own = likelihood.noise_sd(
        spec.noise, fraction, fraction, values["judge_noise"][:, None], nothing, nothing, jnp
    )
    middle = equations.link(spec.link, eta, 1.0, jnp)
    scale, sampling = values["noise_scale"], values["sampling_fraction"]
    shared = likelihood.noise_sd(spec.noise, middle, middle, scale, sampling, arrays.inverse_n, jnp)
    return fraction, own, shared


def means_log_density(
    rating: Any, rated: Any, mu: Any, own: Any, shared: Any, df: float, xp: Any
) -> Any:
    """Log density (M, J) of the ratings that the judges of a cell gave, which share a part.

    Multivariate Student-t with scale matrix ``shared^2 1 1' + diag(own^2)``, over the judges
    that rated; 0 where none did. Judges are the first axis.
    """
    count = rated.sum(0)
    precision = rated / own**2
    off = xp.where(rated > 0, rating - mu, 0.0)
    first, second = (precision * off**2).sum(0), (precision * off).sum(0)
    widened = 1.0 + shared**2 * precision.sum(0)
    quadratic = first - shared**2 * second**2 / widened
    log_det = xp.where(rated > 0, 2.0 * xp.log(own), 0.0).sum(0) + xp.log(widened)
    if math.isinf(df):
        return -0.5 * (quadratic + log_det + count * math.log(2 * math.pi))
    # lgamma((df + n) / 2) - lgamma(df / 2), for each number of judges that is possible
    table = xp.asarray(
        [math.lgamma((df + k) / 2) - math.lgamma(df / 2) for k in range(len(rating) + 1)]
    )
    constant = table[count.astype(int)] - 0.5 * count * math.log(df * math.pi)
    return constant - 0.5 * log_det - 0.5 * (df + count) * xp.log1p(quadratic / df)


def rating_probabilities(predictor: Any, threshold: Any, xp: Any) -> Any:
    """Probabilities (..., 5) of single ratings at predictors (...), thresholds (4,)."""
    above = 0.5 * (1.0 + xp.tanh(0.5 * (predictor[..., None] - threshold)))
    one, zero = xp.ones_like(above[..., :1]), xp.zeros_like(above[..., :1])
    return xp.concatenate([one, above], axis=-1) - xp.concatenate([above, zero], axis=-1)


def log_probabilities(predictor: Any, threshold: Any) -> Any:
    """Logs of :func:`rating_probabilities` that keep their digits in the tails."""
    z = predictor[..., None] - threshold
    above, below = jax.nn.log_sigmoid(z), jax.nn.log_sigmoid(-z)
    # P(k) = sigmoid(z_k) sigmoid(-z_k+1) (1 - exp(t_k - t_k+1)) between two thresholds
    between = jnp.log(-jnp.expm1(threshold[:-1] - threshold[1:]))
    middle = above[..., :-1] + below[..., 1:] + between
    return jnp.concatenate([below[..., :1], middle, above[..., -1:]], axis=-1)


def density(spec: Spec, n: Sizes, arrays: Arrays) -> None:
    """The joint density of parameters and ratings; see the module for the mathematics."""
    judged: Judged = arrays.extra
    values = assemble(parameters(spec, n, arrays), arrays)
    if judged.count.shape[0]:
        who, what, level, judge = judged.cell.T
        total = values["predictor"] + values["answer"]
        eta = total[who, what] + values["difficulty"][what, level]
        eta = values["stretch"][judge] * eta - values["severity"][judge, what]
        shown = arrays.observed[who, what][:, None]
        numpyro.factor(
            "counts", (shown * judged.count * log_probabilities(eta, values["threshold"])).sum()
        )
    else:
        mu, own, shared = mean_cells(spec, values, arrays)
        rated = judged.rated * arrays.observed
        logp = means_log_density(judged.rating, rated, mu, own, shared, spec.df, jnp)
        numpyro.factor("means", logp.sum())


def sampled(
    spec: Spec, n: Sizes, arrays: Arrays, sites: dict[str, Any], key: Any = None
) -> dict[str, Any]:
    """The parameters of one draw, from its sample sites."""
    with handlers.block(), handlers.substitute(data=sites):
        return assemble(parameters(spec, n, arrays, key), arrays)


def values(
    spec: Spec, n: Sizes, arrays: Arrays, sites: dict[str, Any], key: Any = None
) -> dict[str, Any]:
    """The identified quantities of one draw, in logits where they are effects."""
    v = sampled(spec, n, arrays, sites, key)
    out = {name: v[name] for name in DIMS if name in v}
    loading = v["loading"]
    out["slope"] = loading @ v["slope"][0] + v["own_slope"]
    shift = loading @ v["instruct"] if "instruct" in v else 0.0
    # Kinds differ by what tuning adds as well: each has the share of tuned models it has.
    judged: Judged = arrays.extra
    tuned = judged.kind.T @ arrays.columns["instruct"] / jnp.maximum(judged.kind.sum(0), 1.0)
    out["kind_effect"] = v["kind"] + tuned[:, None] * shift
    out["loading"] = (loading @ v["unit"])[:, 0]
    out["family_effect"] = v["family_effect"] @ loading.T + v["residual"]
    if "lineage_effect" in v:
        out["lineage_effect"] = v["lineage_effect"] @ loading.T + v["residual_lineage"]
    if "answer" in v:
        out["predictor"] = v["predictor"] + v["answer"]
    return out


def cells(
    spec: Spec, n: Sizes, arrays: Arrays, sites: dict[str, Any], key: Any = None
) -> tuple[Any, Any]:
    """Expected mean rating and noise scale (M, G J) of one draw, of every model and judge."""
    mu, own, shared = mean_cells(spec, sampled(spec, n, arrays, sites, key), arrays)
    sd = jnp.sqrt(own**2 + shared**2)
    return tuple(jnp.moveaxis(v, 0, 1).reshape(v.shape[1], -1) for v in (mu, sd))  # type: ignore[return-value]


TARGET = Target(density, values, cells)
