"""Fitting: from a table to a posterior, by NUTS or variational inference.

A fit is a few pure functions of the parameters and the table's arrays, compiled once per
specification and table shape (:mod:`sloth_bayes.infer.compiled`): variational starts find the
dominant mode, and a guide that keeps correlations goes on from there
(:mod:`sloth_bayes.infer.variational`), or NUTS does (:mod:`sloth_bayes.infer.nuts`). Chains and
starts run side by side in threads: no device flag has to be set, and where JAX sees several
accelerators chains take turns on them. What sampling needs is compiled in the background while
the starts run.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr
from numpyro import handlers

from ..errors import DataWarning
from ..law.spec import Spec
from ..model import loadings, scores
from ..model.arrays import Arrays, Design, design_of
from ..posterior.core import PosteriorDraws
from ..posterior.label import build
from ..support import interrupt
from ..support.checks import whole
from ..support.devices import check_devices
from ..support.programs import Program
from ..support.threads import progress_bar
from ..support.types import checked
from ..table.leaderboard import Leaderboard
from . import nuts, variational
from .compiled import BATCH, BLOCK, COMPILING, SCORES, Functions, Target, functions_of, places
from .metric import WIDTH, Metric
from .settings import RANK, Settings
from .variational import Guide, Rng, moved, refined, to_gain, watched

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
    thin: int = 1,
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
        Number of NUTS chains, draws kept per chain and draws of warm-up. With SVI there
        is one chain, of ``chains * draws`` draws.
    thin
        Iterations of NUTS a draw, the last of which is kept: where trajectories are short, they
        move the slowest quantities further than memory for all of them would allow.
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
    >>> data = sb.load_dataset("open_llm_leaderboard").select(benchmarks=["MMLU", "HellaSwag"])
    >>> sb.Sloth(n_skills=1).fit(data, method="svi", steps=50, draws=25).n_draws
    100
    """
    laid_out = laid_out or design_of(spec, data)
    for note in _thin(spec, laid_out):
        warnings.warn(note, DataWarning, stacklevel=3)
    found = fit_arrays(
        spec,
        laid_out.arrays,
        SCORES,
        progress,
        method=method,
        chains=chains,
        draws=draws,
        warmup=warmup,
        thin=thin,
        steps=steps,
        starts=starts,
        rank=rank,
        moves=moves,
        target_accept=target_accept,
        max_tree_depth=max_tree_depth,
        seed=seed,
    )
    attrs: dict[str, Any] = {"method": method, "seed": seed, "starts_elbo": found.elbos}
    attrs |= _provenance(data, laid_out)
    if method == "nuts":
        attrs |= {"warmup": warmup, "thin": thin, "max_tree_depth": max_tree_depth}
    else:
        attrs |= {"steps": steps, "rank": rank, "moves": moves}
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
    spec: Spec, arrays: Arrays, target: Target, progress: bool | None = None, **options: Any
) -> Fitted:
    """Fit a law to a table's arrays: what :func:`fit` does between the table and the posterior.

    For the layers above that have a law of their own (:mod:`sloth_bayes.ratings` is one): see
    :class:`sloth_bayes.infer.compiled.Target` for what that is.

    Parameters
    ----------
    spec
        The specification, whose parameters the law samples.
    arrays
        The table's arrays, with the law's own in ``arrays.extra``.
    target
        The law.
    progress, **options
        As :func:`fit` takes them, and with its errors.

    Returns
    -------
    Fitted
    """
    o = Settings(**options).checked()
    check_devices()
    n = loadings.sizes(spec, arrays)
    with COMPILING:
        f = functions_of(spec, n, o.max_tree_depth, o.target_accept, target, o.thin)
    arrays = jax.device_put(arrays)
    first, second, third = np.random.default_rng(o.seed).spawn(3)
    key = jax.random.PRNGKey(third.integers(2**31))
    with compiling(f, o.method, arrays):
        arrays, guide, elbos = variational.starts(f, arrays, first, o.starts, o.steps, progress)
    if o.method == "nuts":
        arrays, found = nuts.sample(
            f, guide, arrays, second, o.chains, o.warmup, o.draws, progress=progress
        )
        stats, chains = nuts.sample_stats(found, o.max_tree_depth), o.chains
        x = found[0].reshape(-1, f.size)
    else:
        (x, stats), chains = _svi(f, guide, arrays, second, o, progress), 1
    return Fitted(f.over("values", x, key, arrays), stats, chains, [float(v) for v in elbos])


def _svi(
    f: Functions, guide: Guide, arrays: Arrays, rng: Rng, o: Settings, progress: bool | None
) -> tuple[np.ndarray, xr.Dataset]:
    """Go on from a start: draws (S, D), the ELBO of each step, log weights of some draws."""
    with progress_bar(max(1, o.steps // 2), "SVI", progress) as advance:
        refine = functools.partial(refined, f, arrays, guide, rng, o.steps, o.rank)
        [(guide, elbo)] = watched(advance, [refine])
    x, log_density = guide.draw(rng, o.chains * o.draws)
    few = x[:_WEIGHED]
    value, slope = f.over("potential", few, arrays)
    log_weight = -value.astype(float) - log_density[: len(few)]
    stats: dict[str, Any] = {
        "elbo": ("step", elbo.astype(np.float32)),
        "log_weight": ("weighed", log_weight),
        "to_gain": ((), to_gain(guide, few, slope) if len(few) > 1 else np.nan),
    }
    if o.moves:
        with progress_bar(o.moves, "moves", progress) as advance:
            move = functools.partial(moved, f, arrays, guide, rng, x, o.moves)
            [(x, accepted)] = watched(advance, [move])
        stats["acceptance_rate"] = ((), accepted)
    return x, xr.Dataset(stats)


@contextmanager
def compiling(f: Functions, method: str, arrays: Arrays) -> Iterator[None]:
    """Compile what a fit needs: what its variational starts do not wait for, meanwhile."""

    def work() -> None:
        f.ready("outline", block, 0, arrays)
        f.ready("values", block, 0, key, arrays)
        if method == "nuts":
            rank = min(nuts.RANK, f.size)
            metric = Metric.identity(f.size, rank, WIDTH)
            with COMPILING:
                state = jax.eval_shape(f.jitted["nuts_init"], key, y, y[0], y, metric, arrays)
            for place in places():
                f.ready("nuts_chunk", state, metric, arrays, place=place)
            if f.spec.loadings == "free":
                f.ready("reanchor", block, 0, arrays, arrays)

    key, y = jax.random.PRNGKey(0), np.zeros(f.size, np.float32)
    block = np.zeros((BLOCK, f.size), np.float32)
    f.ready("potential", block[:BATCH], 0, arrays)
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        yield
        done.result()


def model_of(spec: Spec, data: Leaderboard) -> tuple[Callable[..., None], tuple[Any, ...]]:
    """The plain model of a table, and its arguments; see :meth:`sloth_bayes.Sloth.model`."""
    arrays = design_of(spec, data).arrays
    n = loadings.sizes(spec, arrays)
    # scores that are drawn or given may touch what the table's do not
    n = n._replace(touched=(n.touched[0], True, True))
    return functools.partial(scores.model, spec, n), (arrays, arrays.score)


@checked
def sample_prior(spec: Spec, data: Leaderboard, draws: int = 1000, seed: int = 0) -> PosteriorDraws:
    """Draw the parameters from their prior; see :meth:`sloth_bayes.Sloth.prior`."""
    draws, seed = whole("draws", draws), whole("seed", seed, 0)
    check_devices()
    laid_out = design_of(spec, data)
    arrays = laid_out.arrays
    keys = np.asarray(jax.random.split(jax.random.PRNGKey(seed), draws))
    # Whole blocks, so that one program serves any number of draws.
    keys = np.concatenate([keys, np.repeat(keys[-1:], -draws % _PRIOR_BLOCK, 0)])
    block = _prior_program(spec, loadings.sizes(spec, arrays), spec.entries)
    with COMPILING:  # the first call traces
        parts = [
            jax.device_get(block(keys[first : first + _PRIOR_BLOCK], arrays))
            for first in range(0, len(keys), _PRIOR_BLOCK)
        ]
    values = jax.tree.map(lambda *rows: np.concatenate(rows)[:draws], *parts)
    attrs = {"method": "prior", "seed": seed, **_provenance(data, laid_out)}
    return build(spec, laid_out, values, chains=1, sample_stats=None, attrs=attrs)


@functools.lru_cache(maxsize=32)
def _prior_program(
    spec: Spec, n: loadings.Sizes, entries: tuple[Any, ...]
) -> Callable[[Any, Arrays], dict[str, Any]]:
    def one(key: Any, arrays: Arrays) -> dict[str, Any]:
        with handlers.block(), handlers.seed(rng_seed=key):
            values = scores.parameters(spec, n, arrays, jax.random.fold_in(key, 1))
        return loadings.per_skill(scores.assemble(values, arrays))

    # It runs for a fraction of a second, which is not worth a quarter of a minute of LLVM's time.
    return Program(jax.vmap(one, (0, None)), level=0)


def _provenance(data: Leaderboard, laid_out: Design) -> dict[str, Any]:
    """What a reader of the file needs to know where it came from."""
    from importlib.metadata import version

    names = ("sloth-bayes", "jax", "numpyro", "numpy")
    return {
        "left_out": list(laid_out.left_out),
        "data": data.name,
        "data_fingerprint": data.fingerprint,
        "versions": {name: version(name) for name in names},
        "backend": f"{jax.default_backend()} x{jax.device_count()}",
        # JAX_ENABLE_X64 changes the draws
        "precision": str(jax.dtypes.canonicalize_dtype(float)),
    }


def _thin(spec: Spec, laid_out: Design) -> list[str]:
    """What a table is too small for."""
    notes = []
    models, benchmarks = len(laid_out.models), len(laid_out.benchmarks)
    for n, of, what in (
        (models, "model", "slopes and differences between families are those of the prior"),
        (benchmarks, "benchmark", "nothing tells skills apart"),
    ):
        if n == 1:
            notes.append(f"the table has one {of}: {what}")
    if spec.loadings == "free" and spec.n_skills > benchmarks > 1:
        notes.append(
            f"{spec.n_skills} skills are more than {benchmarks} benchmarks can tell apart: "
            f"n_skills={benchmarks} at most"
        )
    return notes
