"""Skills of every draw: as they were sampled, standardised, rotated and matched to a reference.

Arrays in, arrays out; :func:`by_name` gives the result its names.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from ..errors import SpecError
from ..law import terms
from ..law.terms import Effects
from ..posterior.base import in_chains
from ..posterior.core import PosteriorDraws
from . import rotation as rotate


def kept_draws(post: PosteriorDraws, draws: int | None) -> np.ndarray:
    """Positions of the draws to keep, chains one after another."""
    sizes = post.tree["posterior"].sizes
    inside = post.thinned(post.n_draws if draws is None else draws)
    return np.add.outer(sizes["draw"] * np.arange(sizes["chain"]), inside).ravel()


def skill_draws(post: PosteriorDraws, who: Effects) -> np.ndarray:
    """Skills ``(S, M, d)`` in the coordinates of the sampler, in double precision."""
    wide = {name: draws.astype(np.float64) for name, draws in post.merged.items()}
    return np.asarray(terms.skills(wide, who.wide()))


class RotatedDraws(NamedTuple):
    """What a rotation makes of S draws, and how well they match the reference."""

    transform: np.ndarray  # (S, d, d) rotated skills are sampled ones times this
    loading: np.ndarray  # (S, J, d)
    correlation: np.ndarray  # (S, d, d)
    converged: np.ndarray  # (S,) bool
    congruence: np.ndarray  # (S, d) of columns with the reference's
    margin: np.ndarray  # (S,) over the second best assignment
    reference: rotate.Reference


def unrotated(
    post: PosteriorDraws,
    loading: np.ndarray,
    covariance: np.ndarray,
    given: rotate.Reference | None,
) -> RotatedDraws:
    """The sampler's own coordinates, standardised; they are the same in all draws."""
    n, _, d = loading.shape
    scale = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    if not (scale > 0).all():
        raise too_flat(post)
    standard = loading * scale[:, None]
    average = standard.mean(0)
    towards = average if given is None else average * given.loading
    sign = np.where(towards.sum(0) < 0, -1.0, 1.0)  # one for all draws
    to = average * sign if given is None else given.loading
    transform = np.eye(d) * (sign / scale)[:, None]
    standard = standard * sign
    return RotatedDraws(
        transform,
        standard,
        rotate.transposed(transform) @ covariance @ transform,
        converged=np.ones(n, bool),
        congruence=np.diagonal(rotate.congruence(standard, to), axis1=-2, axis2=-1),
        margin=np.full(n, np.inf),
        reference=rotate.Reference(to, to, np.eye(d), np.empty((0, 2))),
    )


def rotated(
    post: PosteriorDraws,
    loading: np.ndarray,
    covariance: np.ndarray,
    given: rotate.Reference | None,
    method: str,
    seed: int,
    **arguments: Any,
) -> RotatedDraws:
    """Every draw rotated and matched to `given`, the reference of other skills, or a new one."""
    root, inverse_root = square_roots(post, covariance)
    whitened = loading @ root
    reference = given or rotate.reference(whitened, method, seed, **arguments)
    found, how = rotate.follow(whitened, method, reference, **arguments)
    return RotatedDraws(
        inverse_root @ found.transform, found.loading, found.correlation, found.converged,
        how.congruence, how.margin, reference,
    )  # fmt: skip


def square_roots(post: PosteriorDraws, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric square roots of the skills' covariances ``(S, d, d)``, and their inverses."""
    values, vectors = np.linalg.eigh(covariance)
    if not (values[:, 0] > 1e-9 * values[:, -1]).all():
        raise too_flat(post)
    root, back = np.sqrt(values)[:, None], rotate.transposed(vectors)
    return vectors * root @ back, vectors / root @ back


def too_flat(post: PosteriorDraws) -> SpecError:
    """The error of skills that cannot be told apart."""
    return SpecError(
        f"the skills of this law (inputs={post.spec.inputs!r}, intercept={post.spec.intercept!r}) "
        "vary over the models in fewer directions than there are skills: fit it with a smaller "
        "n_skills"
    )


def in_units(
    post: PosteriorDraws,
    kept: np.ndarray,
    theta: np.ndarray,
    loading: np.ndarray,
    centre: np.ndarray,
    transform: np.ndarray,
) -> dict[str, np.ndarray]:
    """Everything else that a change of the skills' coordinates changes."""
    names = [name for name in ("family_effect", "slope", "instruct") if name in post.merged]
    v = {name: post.merged[name][kept].astype(np.float64) for name in names}
    family = v["family_effect"]
    out = {"slope": v["slope"] @ transform} if "slope" in v else {}
    if "instruct" in v:
        effect = v["instruct"][:, None]
        family = family + post.family_table()[["instruct"]].to_numpy(float) * effect
        out["instruct"] = (effect @ transform)[:, 0]
    out["family_skill"] = (family - centre[:, None]) @ transform
    out["model_skill"] = (theta - centre[:, None]) @ transform
    out["bias"] = post.merged["bias"][kept] + (loading @ centre[..., None])[..., 0]
    return out


DIMS: dict[str, tuple[str, ...]] = {
    "loading": ("benchmark", "skill"),
    "correlation": ("skill", "with_skill"),
    "model_skill": ("model", "skill"),
    "family_skill": ("family", "skill"),
    "slope": ("input", "skill"),
    "instruct": ("skill",),
    "bias": ("benchmark",),
    "centre": ("sampled",),
    "transform": ("sampled", "skill"),
}


def by_name(
    post: PosteriorDraws, kept: np.ndarray, tables: dict[str, np.ndarray], names: list[str]
) -> xr.Dataset:
    """The arrays of :data:`DIMS`, with the names of everything."""
    posterior = post.tree["posterior"].to_dataset()
    return in_chains(
        posterior.isel(draw=np.unique(kept % posterior.sizes["draw"])),
        {name: (dims, tables[name]) for name, dims in DIMS.items() if name in tables},
        benchmark=post.benchmarks,
        skill=names,
        with_skill=names,
        model=post.models,
        family=post.families,
        input=posterior["input"].values.astype(str) if "input" in posterior else [],
        sampled=posterior["skill"].values.astype(str),
    )
