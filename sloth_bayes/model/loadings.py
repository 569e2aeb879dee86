"""Loadings, and the coordinates in which skills are sampled.

How the unidentified directions are settled, and why each choice leaves every forecast
untouched:

* **Scale of skills against loadings**: family effects have unit variance by definition.
* **Rotation and sign of skills**: the priors of all effects on skills and of the rows of
  ``lambda`` are isotropic over skills, so the posterior depends on ``lambda`` only through
  ``lambda lambda'``. For any orthogonal ``Q`` (J, J), the first ``d`` rows of ``Q lambda`` are a
  lower-triangular matrix ``L`` with a positive diagonal, times a rotation. We sample ``L``: its
  off-diagonal entries are normal and its diagonal entries chi with ``d, d - 1, ..., 1`` degrees of
  freedom, which is exactly the law of the triangular factor of a matrix of independent normals
  (Bartlett's decomposition). ``Q``, the *anchor* of the coordinates, is therefore a choice of
  coordinates, not a prior; a fit takes it from a first approximation of ``lambda``, and NUTS once
  more from early draws (:func:`sloth_bayes.infer.variational.anchor`), so that no diagonal entry
  is near zero, where the sign of a skill would be undecided.
* **Geometry**: data pin the products ``lambda alpha``, so ``lambda`` and ``alpha`` alone are a
  ridge. What is sampled are skills in *anchor units*, ``alpha L'`` (logits along the rows of
  ``Q``), whose prior covariance is proportional to ``L L'``; the remaining rows of ``Q lambda``
  are sampled as ``K = (Q lambda)_rest L^-1``. The same model, with a round posterior.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from ..law import terms
from ..law.spec import Spec
from .arrays import Arrays
from .distributions import Rows, Squares, Triangle, triangle_inverse


class Sizes(NamedTuple):
    """Static sizes of a fit: what a compiled program depends on."""

    models: int
    benchmarks: int
    families: int
    lineages: int
    cells: int  # pairs of family and benchmark with a score
    groups: int  # pairs of lineage and benchmark with one
    questions: int  # sets of questions
    inputs: int
    skills: int
    # Whether any score is rounded, touches 0, touches 1 (see likelihood.log_likelihood).
    touched: tuple[bool, bool, bool]
    unknown: tuple[int, int]  # models of unknown size, of unknown tokens
    structure: Any  # of the arrays, and their shapes, to trace the model without data
    shapes: tuple[Any, ...]


def sizes(spec: Spec, arrays: Arrays) -> Sizes:
    """Static sizes of a fit of `spec` to `arrays`."""
    (models, benchmarks), unknown = arrays.observed.shape, arrays.unknown
    half = 0.5 * arrays.rounding[arrays.benchmark_of]
    seen = arrays.observed[arrays.model_of, arrays.benchmark_of] > 0
    touched = (
        bool((arrays.rounding > 0).any()),
        bool(((arrays.score - half <= 1e-6) & seen).any()),
        bool(((arrays.score + half >= 1 - 1e-6) & seen).any()),
    )
    leaves, structure = jax.tree.flatten(arrays)
    return Sizes(
        models=models,
        benchmarks=benchmarks,
        families=arrays.lineage_of_family.shape[0],
        lineages=int(arrays.lineage_of_family.max()) + 1,
        cells=arrays.cell_family.shape[0],
        groups=int(arrays.cell_group.max()) + 1,
        questions=int(arrays.questions.max()) + 1,
        inputs=arrays.inputs.shape[1],
        skills=n_skills(spec, benchmarks),
        touched=touched,
        unknown=(0, 0) if unknown is None else (unknown.size.shape[0], unknown.tokens.shape[0]),
        structure=structure,
        shapes=tuple(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in leaves),
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
        with numpyro.plate("below_diagonal", d * (d - 1) // 2):
            below = numpyro.sample("loading_below", dist.Normal(0.0, 1.0))
        tril = tril + (below @ _places(d)).reshape(d, d)
    triangle = Triangle(tril, triangle_inverse(tril), 0.5 * jnp.log(squared).sum())
    top = jnp.eye(d)
    if n.benchmarks > d:
        with numpyro.plate("other_rows", n.benchmarks - d):
            rest = numpyro.sample("loading_rest", Rows(triangle.dual()))
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
    for term in terms.of(spec):
        if term.adds_to == "skill" and term.site in sites:
            out[term.site] = term.turned(sites, move, back)
            if isinstance(term, terms.Nested):  # of families without scores: not in anchor units
                known = jnp.asarray(old.count).sum(1, keepdims=True) > 0
                out[term.site] = jnp.where(known, out[term.site], sites[term.site])
    return out


def per_skill(values: dict[str, Any]) -> dict[str, Any]:
    """Turn anchor units into units of skill: the same predictor, family effects of unit sd."""
    unit = values["unit"]
    d = unit.shape[0]
    inverse = jax.scipy.linalg.solve_triangular(unit, jnp.eye(d), lower=True)
    # Skills and predictors of every model follow from the rest, and would be most of it.
    out = {k: v for k, v in values.items() if k not in ("unit", "skill", "predictor", "inputs")}
    out["loading"] = values["loading"] @ unit
    for name, dims in terms.dims().items():
        if name in values and name != "loading" and "skill" in dims:
            out[name] = values[name] @ inverse.T
    return out
