"""Fitting: from a table to a posterior, by NUTS or variational inference.

A fit is a few pure functions of the parameters and the table's arrays, compiled once per
specification and table shape (:mod:`sloth_bayes.programs`): variational starts find the
dominant mode, and a guide that keeps correlations goes on from there
(:mod:`sloth_bayes.variational`), or NUTS does (:mod:`sloth_bayes.nuts`). Chains and starts
run side by side in threads: no device flag has to be set, and where JAX sees several
accelerators chains take turns on them. What sampling needs is compiled in the background
while the starts run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr
from numpyro import handlers

from ..errors import SpecError
from ..law.spec import Spec
from ..model import scores as model
from ..model.arrays import Arrays, Design, design_of
from ..posterior.core import PosteriorDraws
from ..posterior.label import build
from ..support import interrupt
from ..support.checks import whole
from ..support.threads import gather, progress_bar
from ..table.leaderboard import Leaderboard
from . import nuts, variational
from .compiled import BATCH, BLOCK, COMPILING, SCORES, Law, Program, places, program
from .metric import coordinates
from .variational import RANK

_WEIGHED = 1000  # draws of a guide whose importance weights are kept, for k-hat
_PRIOR_BLOCK = 50  # draws from the prior that one call of a compiled function takes


@interrupt.held()
def fit(
    spec: Spec,
    data: Leaderboard,
    method: str = "nuts",
    *,
    chains: int = 4,
    draws: int = 1500,
    warmup: int = 1000,
    steps: int = 1000,
    starts: int = 4,
    rank: int = RANK,
    moves: int = 0,
    target_accept: float = 0.8,
    max_tree_depth: int = 10,
    seed: int = 0,
    progress: bool | None = None,
    laid_out: Design | None = None,
) -> PosteriorDraws:
    """Fit a specification to a table.

    Parameters
    ----------
    spec
        The specification.
    data
        The table. Rows without size or tokens are left out, and the result's attribute
        ``left_out`` lists them; with ``unknown_inputs="latent"`` they are used.
    method
        ``"nuts"`` (the no-U-turn sampler) or ``"svi"`` (variational inference: seconds
        instead of minutes, intervals somewhat too narrow).
    chains, draws, warmup
        Number of NUTS chains, draws kept per chain and warm-up iterations. With SVI there
        is one chain, of ``chains * draws`` draws.
    steps
        Steps of each variational start; with SVI the best one goes on for a quarter as many,
        of twice the draws.
    starts
        Number of variational starts; the best one is used by either method, and the ELBO
        of each is recorded.
    rank
        Rank of the correlations that the SVI guide keeps.
    moves
        Hamiltonian trajectories by which each draw of the SVI guide is carried on towards
        the posterior (20, say: intervals then are about as wide as those of NUTS, for 160
        gradients a draw; ask for few draws). None by default, because they take longer than
        all else of a fit that is to be quick.
    target_accept, max_tree_depth
        Settings of NUTS.
    seed
        Same seed, same numbers (same versions, machine kind and device count).
    progress
        Show a progress bar on standard error; by default only in a terminal or notebook.
    laid_out
        The table's arrays, if they are more than what it says (training curves).

    Returns
    -------
    Posterior

    Raises
    ------
    SpecError
        If the method is unknown or a count is not positive.
    DataError
        If no row of the table can be used.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> data = sb.load_dataset().select(benchmarks=["MMLU", "HellaSwag"])
    >>> sb.Sloth(n_skills=1).fit(data, method="svi", steps=50, draws=25).n_draws
    100
    """
    laid_out = laid_out or design_of(spec, data)
    found = fit_arrays(
        spec, laid_out.arrays, SCORES, method, chains=chains, draws=draws, warmup=warmup,
        steps=steps, starts=starts, rank=rank, moves=moves, target_accept=target_accept,
        max_tree_depth=max_tree_depth, seed=seed, progress=progress,
    )  # fmt: skip
    attrs: dict[str, Any] = {
        "method": method,
        "seed": seed,
        "starts_elbo": found.elbos,
        "left_out": list(laid_out.left_out),
        **_provenance(data),
    }
    attrs |= (
        {"warmup": warmup, "max_tree_depth": max_tree_depth}
        if method == "nuts"
        else {"steps": steps, "rank": rank, "moves": moves}
    )
    return build(
        spec, laid_out, found.values, chains=found.chains, sample_stats=found.stats, attrs=attrs
    )


class Fitted(NamedTuple):
    """Draws of a law, before they are labelled."""

    values: dict[str, Any]  # named quantities, (chains * draws, ...) each
    stats: xr.Dataset  # of each draw, and of the optimisation
    chains: int
    elbos: list[float]  # of the variational starts


def fit_arrays(
    spec: Spec,
    arrays: Arrays,
    law: Law,
    method: str = "nuts",
    *,
    chains: int,
    draws: int,
    warmup: int,
    steps: int,
    starts: int,
    target_accept: float,
    max_tree_depth: int,
    seed: int,
    rank: int = RANK,
    moves: int = 0,
    progress: bool | None = None,
) -> Fitted:
    """Fit a law to a table's arrays: what :func:`fit` does between the table and the posterior.

    The entry for layers with a law of their own (:mod:`sloth_bayes.ratings` is one): see
    :class:`sloth_bayes.programs.Law` for what a law is. Options and errors are those of
    :func:`fit`.

    Parameters
    ----------
    spec
        The specification, whose parameters the law samples.
    arrays
        The table's arrays, with the law's own in ``arrays.extra``.
    law
        The law.

    Returns
    -------
    Fitted
    """
    if method not in ("nuts", "svi"):
        raise SpecError(f"method={method!r} is not a choice; method takes nuts, svi")
    chains, draws, steps = whole("chains", chains), whole("draws", draws), whole("steps", steps)
    starts, rank, seed = whole("starts", starts), whole("rank", rank), whole("seed", seed, 0)
    max_tree_depth, moves = whole("max_tree_depth", max_tree_depth), whole("moves", moves, 0)
    if moves and method == "nuts":
        raise SpecError("moves carry draws of a variational guide on: they go with method='svi'")
    warmup = whole("warmup", warmup, nuts.LEAST_WARMUP if method == "nuts" else 0)
    if not 0 < target_accept < 1:
        raise SpecError(f"target_accept must lie between 0 and 1, not {target_accept}")

    n = model.sizes(spec, arrays)
    with COMPILING:
        p = program(spec, n, max_tree_depth, target_accept, law)
    arrays = jax.device_put(arrays)
    first, second, third = np.random.default_rng(seed).spawn(3)
    key = jax.random.PRNGKey(third.integers(2**31))
    with _compiling(spec, p, method, arrays):
        arrays, guide, elbos = variational.starts(spec, p, arrays, first, starts, steps, progress)
    if method == "nuts":
        arrays, found = nuts.sample(spec, p, guide, arrays, second, chains, warmup, draws, progress)
        stats = nuts.sample_stats(found, max_tree_depth)
        x = found[0].reshape(chains * draws, -1)
    else:
        x, stats = _svi(p, guide, arrays, second, chains * draws, steps, rank, moves, progress)
        chains = 1
    return Fitted(p.over("values", x, key, arrays), stats, chains, [float(v) for v in elbos])


def _svi(
    p: Program, guide: variational.Guide, arrays: Arrays, rng: np.random.Generator, draws: int,
    steps: int, rank: int, moves: int, progress: bool | None,
) -> tuple[np.ndarray, xr.Dataset]:  # fmt: skip
    """Go on from a start: draws (S, D), the ELBO of each step, log weights of some draws."""
    with progress_bar(max(1, steps // 2), "SVI", progress) as advance:
        refine = functools.partial(
            variational.refined, p, arrays, guide, rng, steps, min(rank, p.size), advance=advance
        )
        [(guide, elbo)] = gather([lambda stop: refine(stop=stop)])
    x, log_density = guide.draw(rng, draws)
    few = x[:_WEIGHED]
    log_weight = -p.over("potential", few, arrays)[0].astype(float) - log_density[: len(few)]
    stats: dict[str, Any] = {
        "elbo": ("step", elbo.astype(np.float32)),
        "log_weight": ("weighed", log_weight),
    }
    if moves:
        with progress_bar(moves, "moves", progress) as advance:
            move = functools.partial(
                variational.moved, p, arrays, guide, rng, x, moves, advance=advance
            )
            [(x, accepted)] = gather([lambda stop: move(stop=stop)])
        stats["acceptance_rate"] = ((), accepted)
    return x, xr.Dataset(stats)


@contextmanager
def _compiling(spec: Spec, p: Program, method: str, arrays: Arrays) -> Iterator[None]:
    """Compile what a fit needs: what its variational starts do not wait for, meanwhile."""

    def work() -> None:
        p.ready("outline", block, 0, arrays)
        p.ready("values", block, 0, key, arrays)
        if method == "nuts":
            rank = min(nuts.RANK, p.size)
            at = coordinates(x, x, np.zeros((p.size, rank)), np.zeros(rank))
            with COMPILING:
                state = jax.eval_shape(p.nuts_init, key, x, x[0], x, at, arrays)
            for place in places():
                p.ready("nuts_chunk", state, at, arrays, place=place)
            if spec.loadings == "free":
                p.ready("reanchor", block, 0, arrays, arrays)

    key, x = jax.random.PRNGKey(0), np.zeros(p.size, np.float32)
    block = np.zeros((BLOCK, p.size), np.float32)
    p.ready("potential", block[:BATCH], 0, arrays)
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        yield
        done.result()


def sample_prior(spec: Spec, data: Leaderboard, draws: int = 1000, seed: int = 0) -> PosteriorDraws:
    """Draw the parameters from their prior; see :meth:`sloth_bayes.Sloth.prior`."""
    draws, seed = whole("draws", draws), whole("seed", seed, 0)
    laid_out = design_of(spec, data)
    arrays = laid_out.arrays
    keys = np.asarray(jax.random.split(jax.random.PRNGKey(seed), draws))
    # Whole blocks, so that one program serves any number of draws.
    keys = np.concatenate([keys, np.repeat(keys[-1:], -draws % _PRIOR_BLOCK, 0)])
    block = _prior_program(spec, model.sizes(spec, arrays))
    with COMPILING:  # the first call traces
        parts = [
            jax.device_get(block(keys[first : first + _PRIOR_BLOCK], arrays))
            for first in range(0, len(keys), _PRIOR_BLOCK)
        ]
    values = jax.tree.map(lambda *rows: np.concatenate(rows)[:draws], *parts)
    attrs = {"method": "prior", "seed": seed, "left_out": list(laid_out.left_out)}
    attrs |= _provenance(data)
    return build(spec, laid_out, values, chains=1, sample_stats=None, attrs=attrs)


@functools.lru_cache(maxsize=32)
def _prior_program(spec: Spec, n: model.Sizes) -> Callable[[Any, Arrays], dict[str, Any]]:
    def one(key: Any, arrays: Arrays) -> dict[str, Any]:
        with handlers.block(), handlers.seed(rng_seed=key):
            values = model.parameters(spec, n, arrays, jax.random.fold_in(key, 1))
        return model.per_skill(model.assemble(values, arrays))

    return jax.jit(jax.vmap(one, (0, None)))


def _provenance(data: Leaderboard) -> dict[str, Any]:
    """What a reader of the file needs to know where it came from."""
    from importlib.metadata import version

    names = ("sloth-bayes", "jax", "numpyro", "numpy")
    return {
        "data": data.name,
        "data_fingerprint": data.fingerprint,
        "versions": {name: version(name) for name in names},
        "backend": f"{jax.default_backend()} x{jax.device_count()}",
    }
