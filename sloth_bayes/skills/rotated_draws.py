"""Skills of every draw: as they were sampled, standardised, rotated and matched to a reference.

Arrays in, arrays out; :func:`labelled` gives the result its names.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from ..errors import DataError, SpecError
from ..law import equations
from ..posterior.core import PosteriorDraws
from . import rotation as rotate


def thinned(post: PosteriorDraws, draws: int | None) -> np.ndarray:
    """Positions of the draws to keep, chains one after another."""
    sizes = post.tree["posterior"].sizes
    chains, each = int(sizes["chain"]), int(sizes["draw"])
    if draws is None:
        return np.arange(chains * each)
    if not 1 <= draws <= chains * each:
        raise DataError(f"cannot keep {draws} of {chains * each} draws")
    inside = np.linspace(0, each - 1, -(-draws // chains)).round().astype(int)
    out: np.ndarray = (np.arange(chains)[:, None] * each + inside).ravel()
    return out


def sampled(post: PosteriorDraws, who: Any) -> np.ndarray:
    """Skills ``(S, M, d)`` in the coordinates of the sampler, in double precision."""
    v = post.merged

    def wide(a: np.ndarray | None) -> np.ndarray | None:
        return None if a is None else a.astype(np.float64)

    out: np.ndarray = equations.skills(
        who.family.astype(np.float64),
        v["slope"].astype(np.float64),
        who.inputs.astype(np.float64),
        slope_deviation=wide(who.slope_deviation),
        instruct=wide(v.get("instruct")),
        is_instruct=who.instruct.astype(np.float64),
        model_effect=wide(who.model_effect),
    )
    return out


def rotated(
    post: PosteriorDraws,
    loading: np.ndarray,
    covariance: np.ndarray,
    method: str,
    given: rotate.Reference | None,
    seed: int,
    pattern: np.ndarray | None,
    options: dict[str, float],
) -> tuple[tuple[np.ndarray, ...], rotate.Reference, rotate.Alignment]:
    """Transform, loadings and correlations of every draw, and how they were matched.

    To `given`, the reference of other skills, or to a new one.
    """
    if method == "none":
        scale = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
        if not (scale > 0).all():
            raise too_flat(post)
        standard = loading * scale[:, None]
        average = standard.mean(0)
        # The sampler's coordinates are the same in all draws: one sign for all of them.
        to = average if given is None else given.loading
        sign = np.where((average * to).sum(0) < 0, -1.0, 1.0)
        if given is None:
            sign = np.where(average.sum(0) < 0, -1.0, 1.0)
            to = average * sign
        standard = standard * sign
        transform = np.eye(loading.shape[2]) * (sign / scale)[:, None]
        how = rotate.align(standard, to)
        fixed = np.arange(loading.shape[2])
        cosine = (standard * to).sum(1) / np.maximum(
            np.sqrt((standard**2).sum(1) * (to**2).sum(0)), 1e-300
        )
        how = how._replace(
            order=np.broadcast_to(fixed, how.order.shape), congruence=cosine,
            sign=np.ones_like(how.sign), margin=np.full(len(loading), np.inf),
        )  # fmt: skip
        phi = sign[:, None] * covariance * sign / (scale[:, :, None] * scale[:, None])
        reference = rotate.Reference(to, to, np.eye(loading.shape[2]), np.empty((0, 2)))
        return (transform, standard, phi, np.ones(len(loading), bool)), reference, how
    values, vectors = np.linalg.eigh(covariance)
    if not (values[:, 0] > 1e-9 * values[:, -1]).all():
        raise too_flat(post)
    root = np.sqrt(values)[:, None]
    back = np.swapaxes(vectors, -1, -2)
    whitened = loading @ (vectors * root @ back)
    arguments: dict[str, Any] = {"pattern": pattern, **options}
    reference = rotate.reference(whitened, method, seed, **arguments) if given is None else given
    found, how = rotate.follow(whitened, method, reference, **arguments)
    transform = (vectors / root @ back) @ found.transform
    return (transform, found.loading, found.correlation, found.converged), reference, how


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
    sampled: np.ndarray,
    loading: np.ndarray,
    centre: np.ndarray,
    transform: np.ndarray,
) -> dict[str, np.ndarray]:
    """Everything else that a change of the skills' coordinates changes."""
    v = post.merged
    tuned = post.family_table()["instruct"].to_numpy(float)
    family = v["family_effect"][kept].astype(np.float64)
    out = {"slope": v["slope"][kept].astype(np.float64) @ transform}
    if "instruct" in v:
        effect = v["instruct"][kept].astype(np.float64)
        family = family + tuned[:, None] * effect[:, None]
        out["instruct"] = (effect[:, None] @ transform)[:, 0]
    out["family_skill"] = (family - centre[:, None]) @ transform
    out["model_skill"] = (sampled - centre[:, None]) @ transform
    out["bias"] = v["bias"][kept] + (loading @ centre[..., None])[..., 0]
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


def labelled(
    post: PosteriorDraws, kept: np.ndarray, tables: dict[str, np.ndarray], names: list[str]
) -> xr.Dataset:
    """The arrays of :data:`DIMS`, with the names of everything."""
    posterior = post.tree["posterior"].to_dataset()
    chains, each = posterior.sizes["chain"], posterior.sizes["draw"]
    coords: dict[str, Any] = {
        "chain": posterior["chain"].values,
        "draw": posterior["draw"].values[np.unique(kept % each)],
        "benchmark": post.benchmarks,
        "skill": names,
        "with_skill": names,
        "model": post.models,
        "family": post.families,
        "input": posterior["input"].values.astype(str),
        "sampled": posterior["skill"].values.astype(str),
    }
    variables = {
        name: (
            ("chain", "draw", *dims),
            tables[name].reshape(chains, -1, *tables[name].shape[1:]),
        )
        for name, dims in DIMS.items()
        if name in tables
    }
    return xr.Dataset(variables, coords=coords)
