"""Fitting: variational inference and NUTS over one flat parameter vector.

A fit is a few pure functions of ``(key, arrays)``, compiled once per specification and
table shape and shared by seeds, chains, starts and folds. Chains and starts run side by
side in threads, which XLA lets go of while it computes: no device flag has to be set.

1. *Variational starts*: several mean-field optimisations (Adam on the ELBO). The first
   round only chooses the coordinates of skills and residuals (:func:`oriented`), the second
   finds the dominant mode; the ELBO of each says what the others were.
2. *SVI* continues the best start with a guide that keeps some correlations.
3. *NUTS* begins at draws from the best start. Hierarchies leave ridges between shared and
   local parameters that no diagonal mass matrix follows, so the warm-up goes in rounds,
   each in linear coordinates learned from draws and gradients of the last
   (:func:`follow_gradients`). An early round also chooses the anchor of the skills again,
   from draws instead of the guide (:func:`sloth_bayes.model.reanchored`).

What sampling needs is compiled in the background while the starts run.
"""

from __future__ import annotations

import functools
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jax.flatten_util import ravel_pytree
from numpyro import handlers
from numpyro.infer import hmc
from numpyro.infer.util import ParamInfo, constrain_fn, potential_energy, unconstrain_fn
from tqdm.auto import tqdm

from . import _interrupt, model
from .design import Arrays, Design, Unknown, design
from .errors import DataError, SpecError
from .leaderboard import Leaderboard
from .posterior import Posterior, build
from .spec import Sloth

_CHUNK = 25  # NUTS iterations between two looks at the progress bar and at Ctrl-C
_BLOCK = 200  # draws that one call of a compiled function of draws takes
_PRIOR_BLOCK = 50  # likewise, of draws from the prior
_ROUNDS = (3, 5, 8, 12, 20, 10)  # shares of the rounds of warm-up; the last settles the step
_REANCHOR = 1  # after this round of warm-up (of those numbered from 0) the anchor is chosen again
_FOREVER = 1_000_000  # iterations of adaptation, which :func:`_settled` ends
_RANK = 64  # directions that the change of coordinates follows
_NOT_FINITE = (
    "the optimisation found no finite density: check the table for extreme sizes or tokens, or "
    "narrow the priors"
)
# What runs for a fraction of a second is not worth seconds of LLVM's optimisation.
_COMPILER = {"values": {"xla_backend_optimization_level": 1}}
_COMPILING = threading.Lock()  # tracing is not thread-safe in numpyro


class Coordinates(NamedTuple):
    """Linear coordinates ``y`` of the parameters.

    ``x = mean + scale * (y + vectors (stretch * vectors' y))``. The vectors are kept with
    their transpose: each product is then a sum over the long rows of one of them.
    """

    mean: Any  # (D,)
    scale: Any  # (D,)
    vectors: Any  # (D, k), orthonormal columns
    transposed: Any  # (k, D)
    stretch: Any  # (k,)

    def to_x(self, y: Any) -> Any:
        """Parameters from coordinates."""
        return self.mean + self.scale * _stretched(y, self.vectors, self.transposed, self.stretch)

    def to_y(self, x: Any) -> Any:
        """Coordinates from parameters: the inverse of :meth:`to_x`."""
        y = (x - self.mean) / self.scale
        return _stretched(y, self.vectors, self.transposed, 1 / (1 + self.stretch) - 1)


def coordinates(mean: Any, scale: Any, vectors: Any, stretch: Any) -> Coordinates:
    """Coordinates from NumPy arrays, in single precision."""
    arrays = (mean, scale, vectors, np.asarray(vectors).T, stretch)
    return Coordinates(*(jnp.asarray(np.ascontiguousarray(a), jnp.float32) for a in arrays))


@jax.custom_vjp
def _stretched(y: Any, vectors: Any, transposed: Any, stretch: Any) -> Any:
    """``y + vectors (stretch * vectors' y)``: symmetric in y, hence its own derivative."""
    along = stretch * (vectors * y[:, None]).sum(0)
    return y + (transposed * along[:, None]).sum(0)


_stretched.defvjp(
    lambda y, *rest: (_stretched(y, *rest), rest),
    lambda rest, g: (_stretched(g, *rest), *(None,) * 3),
)


class Guide(NamedTuple):
    """Normal guide on the unconstrained vector: mean, log scale, low-rank factor."""

    mean: Any  # (D,)
    log_scale: Any  # (D,)
    factor: Any  # (D, rank): x = mean + scale * e + factor @ e'


class Law(NamedTuple):
    """What is fitted: functions of ``(spec, n, arrays)``, as :mod:`sloth_bayes.model` has them.

    Another layer may fit a law of its own with what is here, provided that it samples what
    :func:`sloth_bayes.model.parameters` does, among other things.
    """

    density: Callable[..., None] = model.model
    values: Callable[..., dict[str, Any]] = model.draw_values
    cells: Callable[..., tuple[Any, Any]] = model.draw_cells
    extra: tuple[Any, ...] = ()  # type and shapes of ``arrays.extra``, where the law reads it


SCORES = Law()


class Program(NamedTuple):
    """The functions of one specification and table shape, each compiled once.

    Those over draws take a block of :data:`_BLOCK` of them (see :meth:`over`), so that one
    program serves any number of draws, within a bounded memory.
    """

    size: int  # number of parameters D
    rank: int
    optimise: Callable[..., Any]
    outline: Callable[..., Any]  # loadings, residuals and their scales of draws
    reanchor: Callable[..., Any]  # the same draws in the coordinates of other arrays
    draw: Callable[..., Any]
    potential: Callable[..., Any]  # the potential and its gradient, at rows of parameters
    nuts_init: Callable[..., Any]
    nuts_chunk: Callable[..., Any]
    values: Callable[..., Any]  # the named quantities of draws, and their potential
    cells: Callable[..., Any]  # mu and sd of every model, hidden or not
    compiled: dict[Any, Any]

    def ready(self, name: str, *args: Any) -> Any:
        """A function compiled for arguments like these, once; threads may ask at once."""
        leaves, structure = jax.tree.flatten(args)
        key = (name, structure, *((np.shape(x), jnp.result_type(x).name) for x in leaves))
        if key not in self.compiled:
            # One at a time: XLA uses all cores by itself, and each needs half a gigabyte.
            with _COMPILING:
                if key not in self.compiled:
                    lowered = getattr(self, name).lower(*args)
                    self.compiled[key] = lowered.compile(compiler_options=_COMPILER.get(name))
        return self.compiled[key]

    def over(self, name: str, x: Any, *args: Any) -> Any:
        """Apply a function of rows to any number of them, block by block: NumPy arrays."""
        x = np.asarray(x, np.float32)
        blocks = []
        for first in range(0, len(x), _BLOCK):
            rows = x[first : first + _BLOCK]
            full = np.concatenate([rows, np.repeat(rows[-1:], _BLOCK - len(rows), 0)])
            out = self.ready(name, full, first, *args)(full, first, *args)
            blocks.append(jax.tree.map(np.asarray, out))
        return jax.tree.map(lambda *parts: np.concatenate(parts)[: len(x)], *blocks)

    def guide(self, key: Any) -> Guide:
        """Where an optimisation begins."""
        mean = 0.1 * jax.random.normal(key, (self.size,))
        return Guide(mean, jnp.full(self.size, -2.0), jnp.zeros((self.size, self.rank)))

    def start(self, key: Any, arrays: Arrays, steps: int) -> tuple[Guide, np.ndarray]:
        """Mean-field optimisation from a random point: guide and ELBO of each step."""
        here, there = jax.random.split(key)
        args = (there, self.guide(here), arrays, steps, 0.02, 0.0)
        guide, loss = self.ready("optimise", *args)(*args)
        return guide, -np.asarray(loss, float)[:steps]

    def refine(
        self, key: Any, guide: Guide, arrays: Arrays, steps: int
    ) -> tuple[Guide, np.ndarray]:
        """Go on with a guide that keeps correlations: guide and ELBO of each step."""
        here, there = jax.random.split(key)
        factor = 0.01 * jax.random.normal(here, guide.factor.shape)
        guide = guide._replace(factor=factor * jnp.exp(guide.log_scale)[:, None])
        args = (there, guide, arrays, steps, 0.005, 1.0)
        guide, loss = self.ready("optimise", *args)(*args)
        return guide, -np.asarray(loss, float)[:steps]


@functools.lru_cache(maxsize=32)
def program(
    spec: Sloth, n: model.Sizes, steps: int, rank: int, depth: int, accept: float,
    which: Law = SCORES,
) -> Program:  # fmt: skip
    """Trace the model once and define the functions that ``jit`` compiles at first use."""
    law = functools.partial(which.density, spec, n)
    flat, unravel = ravel_pytree(unconstrained_sites(spec, n, which))
    size = flat.size

    def potential_at(x: Any, arrays: Arrays) -> Any:
        return potential_energy(law, (arrays,), {}, unravel(x))

    def draw(guide: Guide, key: Any, n_draws: int) -> Any:
        key, other = jax.random.split(key)
        noise = jax.random.normal(key, (n_draws, size))
        low = jax.random.normal(other, (n_draws, rank))
        return guide.mean + jnp.exp(guide.log_scale) * noise + low @ guide.factor.T

    def negative_elbo(guide: Guide, key: Any, arrays: Arrays) -> Any:
        x = draw(guide, key, 2)
        scaled = guide.factor / jnp.exp(guide.log_scale)[:, None]
        log_det = jnp.linalg.slogdet(jnp.eye(rank) + scaled.T @ scaled)[1]
        entropy = guide.log_scale.sum() + 0.5 * log_det + 0.5 * size * (1 + jnp.log(2 * jnp.pi))
        return jax.vmap(potential_at, (0, None))(x, arrays).mean() - entropy

    optimiser = optax.adam(1.0)

    @jax.jit
    def optimise(
        key: Any, guide: Guide, arrays: Arrays, length: Any, rate: Any, low: Any
    ) -> tuple[Guide, Any]:
        """Adam on the ELBO, at most `steps` steps; `low` 0 leaves the guide's factor alone."""

        def step(i: Any, carry: Any) -> Any:
            guide, state, losses = carry
            here = jax.random.fold_in(key, i)
            loss, gradient = jax.value_and_grad(negative_elbo)(guide, here, arrays)
            # One wild draw must not undo the optimisation so far.
            gradient = jax.tree.map(lambda g: jnp.nan_to_num(g, posinf=0.0, neginf=0.0), gradient)
            update, state = optimiser.update(gradient, state)
            now = rate * (0.01 + 0.99 * 0.5 * (1 + jnp.cos(jnp.pi * i / length)))
            update = jax.tree.map(lambda u: now * u, update)
            update = update._replace(factor=low * update.factor)
            return optax.apply_updates(guide, update), state, losses.at[i].set(loss)

        carry = (guide, optimiser.init(guide), jnp.zeros(steps))
        guide, _, losses = jax.lax.fori_loop(0, length, step, carry)
        return guide, losses

    @jax.jit
    def outline(x: Any, first: Any, arrays: Arrays) -> dict[str, Any]:
        def one(x: Any) -> dict[str, Any]:
            sites = constrain_fn(law, (arrays,), {}, unravel(x))
            values = model.sampled(spec, n, arrays, sites)
            out = {name: values[name] for name in ("residual", "residual_scale") if name in values}
            return out | {"loading": values["loading"] @ values["unit"]}

        return jax.vmap(one)(x)

    @jax.jit
    def reanchor(x: Any, first: Any, new: Arrays, arrays: Arrays) -> Any:
        def one(x: Any) -> Any:
            sites = constrain_fn(law, (arrays,), {}, unravel(x))
            sites = model.reanchored(spec, n, arrays, new, sites)
            return ravel_pytree(unconstrain_fn(law, (new,), {}, sites))[0]

        return jax.vmap(one)(x)

    @jax.jit
    def potential(x: Any, first: Any, arrays: Arrays) -> tuple[Any, Any]:
        return jax.lax.map(
            lambda x: jax.value_and_grad(potential_at)(x, arrays), x, batch_size=_BLOCK // 2
        )

    def potential_of(at: Coordinates, arrays: Arrays) -> Callable[[Any], Any]:
        return lambda y: potential_at(at.to_x(y), arrays)

    init, sample = hmc.hmc(potential_fn_gen=potential_of, algo="NUTS")

    @jax.jit
    def nuts_init(key: Any, x: Any, value: Any, slope: Any, at: Coordinates, arrays: Arrays) -> Any:
        """State of a chain at `x`, where the potential and its gradient are known."""
        slope = _stretched(at.scale * slope, at.vectors, at.transposed, at.stretch)
        state = init(
            ParamInfo(at.to_y(x), value, slope),
            num_warmup=_FOREVER,
            step_size=0.1,
            adapt_mass_matrix=False,
            # Warm-up is short of steps, not of directions: long trajectories in coordinates
            # that are about to change are wasted.
            max_tree_depth=(min(depth, 7), depth),
            target_accept_prob=accept,
            model_args=(at, arrays),
            rng_key=key,
        )
        # NumPyro begins the step size anew after each window in which it adapts a mass
        # matrix, which it does not do here: stay in the last window.
        last = jnp.full_like(state.adapt_state.window_idx, _FOREVER)
        return state._replace(adapt_state=state.adapt_state._replace(window_idx=last))

    @jax.jit
    def nuts_chunk(state: Any, at: Coordinates, arrays: Arrays) -> Any:
        def step(state: Any, _: Any) -> Any:
            state = sample(state, (at, arrays), {})
            return state, (
                at.to_x(state.z),
                state.num_steps,
                state.diverging,
                state.potential_energy,
                state.energy,
                state.accept_prob,
                state.adapt_state.step_size,
            )

        return jax.lax.scan(step, state, None, length=_CHUNK)

    def over_draws(of: Callable[..., Any]) -> Callable[..., Any]:
        """A function of one draw and its sites, for a block of rows of parameters."""

        @jax.jit
        def block(x: Any, first: Any, key: Any, arrays: Arrays) -> Any:
            keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(first + jnp.arange(len(x)))

            def one(x: Any, key: Any) -> Any:
                constrained = constrain_fn(law, (arrays,), {}, unravel(x))
                return of(x, constrained, key, arrays)

            return jax.lax.map(lambda row: one(*row), (x, keys), batch_size=_BLOCK // 4)

        return block

    def values(x: Any, sites: dict[str, Any], key: Any, arrays: Arrays) -> dict[str, Any]:
        named = which.values(spec, n, arrays, sites, key)
        return named | {"potential": potential_at(x, arrays)}

    def cells(x: Any, sites: dict[str, Any], key: Any, arrays: Arrays) -> tuple[Any, Any]:
        return which.cells(spec, n, arrays, sites, key)

    return Program(
        size=size,
        rank=rank,
        optimise=optimise,
        outline=outline,
        reanchor=reanchor,
        draw=jax.jit(draw, static_argnums=2),
        potential=potential,
        nuts_init=nuts_init,
        nuts_chunk=nuts_chunk,
        values=over_draws(values),
        cells=over_draws(cells),
        compiled={},
    )


def log_guide(guide: Guide, x: np.ndarray) -> np.ndarray:
    """Log density of a guide at rows of parameters."""
    mean, log_scale, factor = (np.asarray(v, float) for v in guide)
    scale = np.exp(log_scale)
    e, scaled = (x - mean) / scale, factor / scale[:, None]
    capacitance = np.eye(factor.shape[1]) + scaled.T @ scaled
    along = e @ scaled
    quadratic = (e**2).sum(1) - (along * np.linalg.solve(capacitance, along.T).T).sum(1)
    log_det = 2 * log_scale.sum() + np.linalg.slogdet(capacitance)[1]
    return -0.5 * (quadratic + log_det + mean.size * np.log(2 * np.pi))


def unconstrained_sites(spec: Sloth, n: model.Sizes, which: Law = SCORES) -> dict[str, Any]:
    """Zeros in the shapes of all unconstrained parameters."""
    law, dummy = functools.partial(which.density, spec, n), _dummy(n)
    if which.extra:
        kind, *shapes = which.extra
        dummy = dummy._replace(extra=kind(*(np.zeros(s, d) for s, d in shapes)))

    def unconstrained() -> dict[str, Any]:
        seeded = handlers.seed(law, jax.random.PRNGKey(0))
        trace = handlers.trace(seeded).get_trace(dummy)
        sites = {k: v["value"] for k, v in trace.items() if v["type"] == "sample"}
        sites = {k: v for k, v in sites.items() if not trace[k]["is_observed"]}
        return unconstrain_fn(law, (dummy,), {}, sites)

    return {k: np.zeros(v.shape, np.float32) for k, v in jax.eval_shape(unconstrained).items()}


def _dummy(n: model.Sizes) -> Arrays:
    """Arrays of the right shapes, to trace the model without data."""
    m, j, f = n.models, n.benchmarks, n.families
    return Arrays(
        inputs=np.zeros((m, n.inputs), np.float32),
        instruct=np.zeros(m, np.float32),
        family_of_model=np.zeros(m, np.int32),
        lineage_of_model=np.zeros(m, np.int32),
        members=np.ones((n.lineages, f), np.float32),
        score=np.full((m, j), 0.5, np.float32),
        observed=np.zeros((m, j), np.float32),
        count=np.zeros((f, j), np.float32),
        cell_family=np.zeros(n.cells, np.int32),
        cell_benchmark=np.zeros(n.cells, np.int32),
        cell_position=np.zeros((f, j), np.int32),
        chance=np.zeros(j, np.float32),
        inverse_n=np.zeros(j, np.float32),
        rounding=np.zeros(j, np.float32),
        anchor=np.eye(j, dtype=np.float32),
        information=np.ones(j, np.float32),
        unknown=None if n.unknown == (0, 0) else Unknown(
            size=np.zeros(n.unknown[0], np.int32),
            tokens=np.zeros(n.unknown[1], np.int32),
            log_size=np.zeros(m, np.float32),
            log_tokens=np.zeros(m, np.float32),
            of_size=np.ones(2, np.float32),
            of_tokens=np.ones(3, np.float32),
            centre=np.zeros(2, np.float32),
        ),
    )  # fmt: skip


def _laid_out(spec: Sloth, data: Leaderboard) -> Design:
    if spec.unknown_inputs == "latent":
        return design(data, spec.inputs, latent=True)
    return design(data, spec.inputs)


# -- running them ------------------------------------------------------------------------


def _workers() -> int:
    """Processor cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


@contextmanager
def progress_bar(total: int, label: str, progress: bool | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error; by default only where a person can see it."""
    disable = None if progress is None else not progress
    lock = threading.Lock()
    with tqdm(total=total, desc=label, disable=disable, leave=False, mininterval=0.2) as bar:

        def advance(amount: int) -> None:
            with lock:
                bar.update(amount)

        yield advance


def side_by_side(
    tasks: Sequence[Callable[[], Any]], stop: threading.Event | None = None
) -> Iterator[tuple[int, Any]]:
    """Run tasks in threads, as many as there are cores: results as they come, numbered.

    `stop` is set on Ctrl-C or an error, for tasks that look at it; tasks that have not
    begun are dropped.
    """
    stop = stop or threading.Event()
    with ThreadPoolExecutor(min(len(tasks), _workers())) as pool:
        futures = {pool.submit(task): i for i, task in enumerate(tasks)}
        try:
            left = set(futures)
            while left:
                done, left = wait(left, timeout=0.2, return_when=FIRST_COMPLETED)
                _interrupt.check()
                for future in done:
                    yield futures[future], future.result()
        finally:
            stop.set()
            for future in futures:
                future.cancel()


def _side_by_side(tasks: list[Callable[[threading.Event], Any]]) -> list[Any]:
    """Run tasks that look at an event; Ctrl-C stops them between chunks."""
    stop = threading.Event()
    results = dict(side_by_side([functools.partial(task, stop) for task in tasks], stop))
    return [results[i] for i in range(len(tasks))]


@_interrupt.held()
def fit(
    spec: Sloth,
    data: Leaderboard,
    method: str = "nuts",
    *,
    chains: int = 4,
    draws: int = 1000,
    warmup: int = 1000,
    steps: int = 3000,
    starts: int = 4,
    rank: int = 10,
    target_accept: float = 0.8,
    max_tree_depth: int = 10,
    seed: int = 0,
    progress: bool | None = None,
    laid_out: Design | None = None,
) -> Posterior:
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
        Steps of each variational optimisation.
    starts
        Number of variational starts; the best one is used by either method, and the ELBO
        of each is recorded.
    rank
        Rank of the correlations that the SVI guide keeps.
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
    if method not in ("nuts", "svi"):
        raise SpecError(f"method={method!r} is not a choice; method takes nuts, svi")
    counts = {"chains": chains, "draws": draws, "steps": steps, "starts": starts}
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise SpecError(f"{name} must be a whole number of at least 1, not {value!r}")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise SpecError(f"seed must be a whole number of at least 0, not {seed!r}")
    if not 0 < target_accept < 1:
        raise SpecError(f"target_accept must lie between 0 and 1, not {target_accept}")
    if method == "nuts" and warmup < 20:
        raise SpecError(f"warmup must be at least 20 iterations, not {warmup}")

    laid_out = laid_out or _laid_out(spec, data)
    arrays = laid_out.arrays
    n = model.sizes(spec, arrays)
    p = program(spec, n, steps, rank, max_tree_depth, target_accept, SCORES)
    keys = jax.random.split(jax.random.PRNGKey(seed), 5)
    with _compiling(p, method, arrays):
        # NUTS needs a mode, not the best guide of it
        length = steps if method == "svi" else max(1, steps // 2)
        arrays, guide, elbos = _starts(spec, p, arrays, keys[0], starts, length, progress)
    attrs: dict[str, Any] = {
        "method": method,
        "seed": seed,
        "starts_elbo": [float(v) for v in elbos],
        "left_out": list(laid_out.left_out),
        **_provenance(data),
    }
    if method == "svi":
        with progress_bar(1, "SVI", progress) as advance:
            guide, elbo = p.refine(keys[1], guide, arrays, steps)
            x = np.asarray(p.draw(guide, keys[2], chains * draws))
            values = p.over("values", x, keys[4], arrays)
            log_weight = -values.pop("potential") - log_guide(guide, x)
            advance(1)
        stats = xr.Dataset(
            {
                "elbo": ("step", elbo.astype(np.float32)),
                "log_weight": (("chain", "draw"), log_weight[None]),
            }
        )
        chains = 1
    else:
        attrs |= {"warmup": warmup, "max_tree_depth": max_tree_depth}
        arrays, found = _nuts(spec, p, guide, arrays, keys[3], chains, warmup, draws, progress)
        values = p.over("values", found[0].reshape(chains * draws, -1), keys[4], arrays)
        del values["potential"]
        stats = _sample_stats(found, max_tree_depth)
    return build(spec, laid_out, values, chains=chains, sample_stats=stats, attrs=attrs)


def _sample_stats(found: list[np.ndarray], max_tree_depth: int) -> xr.Dataset:
    """What NUTS reports of each draw, named as ArviZ does."""
    _, n_steps, diverging, potential, energy, accept, step_size = found
    depth = np.ceil(np.log2(n_steps + 1)).astype(np.int16)
    named = {
        "n_steps": n_steps.astype(np.int32),
        "tree_depth": depth,
        "reached_max_tree_depth": depth >= max_tree_depth,
        "diverging": diverging,
        "lp": -potential,
        "energy": energy,
        "acceptance_rate": accept,
        "step_size": step_size,
    }
    return xr.Dataset({name: (("chain", "draw"), values) for name, values in named.items()})


@contextmanager
def _compiling(p: Program, method: str, arrays: Arrays) -> Iterator[None]:
    """Compile what a fit needs: what its variational starts do not wait for, meanwhile."""

    def work() -> None:
        p.ready("outline", block, 0, arrays)
        p.ready("values", block, 0, key, arrays)
        if method == "nuts":
            rank = min(_RANK, p.size)
            at = coordinates(x, x, np.zeros((p.size, rank)), np.zeros(rank))
            with _COMPILING:
                state = jax.eval_shape(p.nuts_init, key, x, x[0], x, at, arrays)
            p.ready("nuts_chunk", state, at, arrays)
            p.ready("potential", block, 0, arrays)
            p.ready("reanchor", block, 0, arrays, arrays)

    key, x = jax.random.PRNGKey(0), np.zeros(p.size, np.float32)
    block = np.zeros((_BLOCK, p.size), np.float32)
    guide = p.guide(key)
    p.ready("optimise", key, guide, arrays, 1, 0.0, 0.0)
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        yield
        done.result()


def _nuts(
    spec: Sloth, p: Program, guide: Guide, arrays: Arrays, key: Any, chains: int, warmup: int,
    draws: int, progress: bool | None,
) -> tuple[Arrays, list[np.ndarray]]:  # fmt: skip
    """Rounds of warm-up, then sampling: arrays of shape (chains, draws, ...)."""
    rank = min(_RANK, p.size)
    at = coordinates(guide.mean, np.exp(guide.log_scale), np.zeros((p.size, rank)), np.zeros(rank))
    key, first = jax.random.split(key)
    x = np.asarray(p.draw(guide, first, chains))
    *rounds, settle = _schedule(warmup)
    with progress_bar(chains * (warmup + draws), "NUTS", progress) as advance:

        def run(
            stop: threading.Event, state: Any, at: Coordinates, length: int
        ) -> tuple[Any, list[np.ndarray]]:
            chunk, parts = p.ready("nuts_chunk", state, at, arrays), []
            for done in range(0, length, _CHUNK):
                if stop.is_set():
                    break
                state, out = chunk(state, at, arrays)
                parts.append(jax.device_get(out))
                advance(min(_CHUNK, length - done))
            return state, [np.concatenate(column)[:length] for column in zip(*parts)]

        def chain(stop: threading.Event, state: Any, at: Coordinates) -> list[np.ndarray]:
            state, _ = run(stop, state, at, settle)
            return run(stop, _settled(state), at, draws)[1]

        def states(x: np.ndarray, at: Coordinates, key: Any) -> list[Any]:
            value, slope = p.over("potential", x, arrays)
            rows = zip(jax.random.split(key, chains), x, value, slope)
            return [p.nuts_init(*row, at, arrays) for row in rows]

        for number, length in enumerate(rounds):
            key, here = jax.random.split(key)
            results = _side_by_side(
                [
                    functools.partial(run, state=state, at=at, length=length)
                    for state in states(x, at, here)
                ]
            )
            late = np.concatenate([out[0][length // 3 :] for _, out in results])
            x = np.stack([out[0][-1] for _, out in results])
            if number == _REANCHOR and spec.loadings == "free":
                # The guide's weakest skill may be none of the posterior's: its anchor would
                # make a posterior that chains cross in hundreds of iterations.
                all_loadings = p.over("outline", late, arrays)["loading"].swapaxes(0, 1)
                new = arrays._replace(anchor=anchor(all_loadings.reshape(len(arrays.anchor), -1)))
                late, x = (p.over("reanchor", rows, new, arrays) for rows in (late, x))
                arrays = new
            at = follow_gradients(late, p.over("potential", late, arrays)[1], rank)
        results = _side_by_side(
            [functools.partial(chain, state=state, at=at) for state in states(x, at, key)]
        )
    return arrays, [np.stack(column) for column in zip(*results)]


def _schedule(warmup: int) -> list[int]:
    """Lengths of the rounds of warm-up; the last one only settles the step size."""
    shares = _ROUNDS if warmup >= 200 else _ROUNDS[-3:]
    lengths = [max(1, round(warmup * share / sum(shares))) for share in shares]
    lengths[-1] = max(1, warmup - sum(lengths[:-1]))
    return lengths


def _settled(state: Any) -> Any:
    """End the adaptation of the step size.

    Where coordinates make the posterior nearly a standard normal, a trajectory returns to
    where it began after a time of 2 pi, and the test for a U-turn, made at ``2^k`` steps,
    misses the turn when ``2^k`` steps take about pi: trees then grow to their limit for
    nothing. Such a step is shortened.
    """
    step = math.exp(state.adapt_state.ss_state[1])
    turn = math.pi / 2 ** round(math.log2(math.pi / step))
    if 0.93 * turn < step < 1.15 * turn:
        step = 0.93 * turn
    adapt_state = state.adapt_state._replace(step_size=jnp.asarray(step, jnp.float32))
    return state._replace(i=jnp.asarray(_FOREVER, state.i.dtype), adapt_state=adapt_state)


def follow_gradients(draws: np.ndarray, gradients: np.ndarray, rank: int) -> Coordinates:
    """Coordinates in which draws, and the gradients there, look like a standard normal's.

    For a normal density with covariance ``S`` the gradients of the potential have
    covariance ``S^-1``, so ``S`` is the geometric mean of the covariance of the draws and
    the inverse covariance of the gradients: exactly so whatever the draws are, which a
    covariance of few draws in many dimensions is not. Each parameter is scaled so; then
    the directions in which draws or gradients vary most are stretched so, up to `rank`
    (the Fisher divergence of Seyboldt, Carlson and Carpenter, 2024, arXiv 2603.18845).

    Parameters
    ----------
    draws, gradients
        ``(n, D)`` each: rows from the typical set, and gradients of the potential there.
    rank
        Largest number of stretched directions.
    """
    x = np.asarray(draws, np.float64)
    centre = x.mean(0)
    x = x - centre
    g = np.nan_to_num(np.asarray(gradients, np.float64))
    g = g - g.mean(0)
    scale = np.sqrt(np.maximum(x.std(0), 1e-8) / np.maximum(g.std(0), 1e-8))
    x, g = x / scale, g * scale
    # Half of the directions from each: the long ones show in draws, the stiff in gradients.
    width = min(rank, len(x) - 1)
    basis = np.concatenate([np.linalg.svd(rows, full_matrices=False)[2][:width] for rows in (x, g)])
    basis = np.linalg.qr(basis.T)[0]
    ridge = 1e-5 * np.eye(basis.shape[1])
    of_draws, of_gradients = (np.cov((rows @ basis).T) + ridge for rows in (x, g))
    values, vectors = np.linalg.eigh(of_gradients)
    root, inverse = (vectors * values**power @ vectors.T for power in (0.5, -0.5))
    values, vectors = np.linalg.eigh(root @ of_draws @ root)
    values, vectors = np.linalg.eigh(inverse @ (vectors * np.sqrt(values) @ vectors.T) @ inverse)
    keep = np.argsort(-np.abs(np.log(values)))[:rank]
    return coordinates(centre, scale, basis @ vectors[:, keep], np.sqrt(values[keep]) - 1)


def _starts(
    spec: Sloth, p: Program, arrays: Arrays, key: Any, starts: int, steps: int,
    progress: bool | None,
) -> tuple[Arrays, Guide, list[float]]:  # fmt: skip
    """Choose the coordinates, then the best of several variational starts."""
    first, *keys = jax.random.split(key, starts + 1)
    with progress_bar(starts + 1, "starts", progress) as advance:

        def run(stop: threading.Event, key: Any) -> tuple[Guide, float]:
            guide, elbo = p.start(key, arrays, steps)
            advance(1)
            return guide, float(np.mean(elbo[-max(1, steps // 10) :]))

        guide, _ = run(threading.Event(), first)
        x = p.draw(guide, first, _BLOCK)
        arrays = arrays._replace(**oriented(spec, p, x, arrays))
        results = _side_by_side([functools.partial(run, key=k) for k in keys])
    elbos = [elbo if np.isfinite(elbo) else -np.inf for _, elbo in results]
    if not np.isfinite(max(elbos)):
        raise DataError(_NOT_FINITE)
    return arrays, results[int(np.argmax(elbos))][0], elbos


def oriented(spec: Sloth, p: Program, x: Any, arrays: Arrays) -> dict[str, Any]:
    """Fields of the arrays that set the coordinates, from a first approximation.

    Which coordinates are sampled changes no posterior (:mod:`sloth_bayes.model`), only how
    round it is: the anchor of the skills (:func:`anchor`), and how much a score of each
    benchmark tells of a residual, read off how much narrower than its prior the guide is.
    """
    values = p.over("outline", x, arrays)
    if not np.isfinite(values["loading"]).all():
        raise DataError(_NOT_FINITE)
    found: dict[str, Any] = {}
    if spec.loadings == "free":
        found["anchor"] = anchor(values["loading"].mean(0))
    if spec.residual != "none":
        count = np.asarray(arrays.count)
        left = values["residual"].var(0) / (values["residual_scale"] ** 2).mean(0)
        with np.errstate(divide="ignore"):
            each = (1 / np.clip(left, 0.001, 0.999) - 1) / count
        told = [np.median(column[n > 0]) if n.any() else 1.0 for column, n in zip(each.T, count.T)]
        found["information"] = np.asarray(told, np.float32)
    return found


# -- hidden scores -----------------------------------------------------------------------

_HIDDEN: dict[str, dict[str, Any]] = {
    "svi": {"steps": 2000, "starts": 1, "rank": 10, "draws": 1000},
    "nuts": {
        "steps": 2000, "chains": 2, "warmup": 300, "draws": 500, "target_accept": 0.8,
        "max_tree_depth": 10,
    },
}  # fmt: skip


def hidden_options(method: str, options: dict[str, Any]) -> dict[str, Any]:
    """All options of :func:`forecast_hidden`, or an error that lists them."""
    if method not in _HIDDEN:
        raise SpecError(f"method={method!r} is not a choice; method takes {', '.join(_HIDDEN)}")
    known = _HIDDEN[method]
    for name, value in options.items():
        if name not in known:
            raise SpecError(f"{method} takes {', '.join(known)} here, not {name!r}")
        if isinstance(known[name], int) and (
            isinstance(value, bool) or not isinstance(value, int) or value < 1
        ):
            raise SpecError(f"{name} must be a whole number of at least 1, not {value!r}")
    return known | options


def _hidden_program(spec: Sloth, n: model.Sizes, o: dict[str, Any], which: Law = SCORES) -> Program:
    with _COMPILING:
        return program(
            spec, n, o["steps"], o.get("rank", 1), o.get("max_tree_depth", 10),
            o.get("target_accept", 0.8), which,
        )  # fmt: skip


def common_coordinates(
    spec: Sloth, n: model.Sizes, arrays: Arrays, method: str, seed: int, options: dict[str, Any]
) -> dict[str, np.ndarray]:
    """What :func:`oriented` finds in the scores that `arrays` shows."""
    o = hidden_options(method, options)
    p = _hidden_program(spec, n, o)
    key = jax.random.PRNGKey(seed)
    guide, _ = p.start(key, arrays, o["steps"])
    return oriented(spec, p, p.draw(guide, key, _BLOCK), arrays)


def forecast_hidden(
    spec: Sloth,
    n: model.Sizes,
    arrays: Arrays,
    rows: list[int],
    method: str = "svi",
    seed: int = 0,
    which: Law = SCORES,
    **options: Any,
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Fit what `arrays` shows and forecast some of its models: one fold.

    Parameters
    ----------
    spec, n
        The specification, and the sizes of the full table (one program for all folds).
    arrays
        The table with the fold's scores hidden, and the coordinates.
    rows
        Models to forecast.
    method
        ``"svi"`` or ``"nuts"``.
    seed
        Seed of the fold.
    which
        The law; by default that of scores.
    **options
        ``"svi"``: ``steps`` of each optimisation, ``starts`` (each is refined, and the
        draws are shared out among them: an average over where optimisations end),
        ``rank`` of the guide, ``draws`` in all. ``"nuts"``: ``steps``, ``chains``,
        ``warmup``, ``draws`` of each chain, ``target_accept``, ``max_tree_depth``.

    Returns
    -------
    mu, sd : numpy.ndarray
        ``(S, rows, J)`` expected scores and noise scales.
    notes : dict
        ``converged`` (1 or 0) and ``elbo`` or ``r_hat`` (largest, of the expected scores).

    Raises
    ------
    SpecError
        If the method or an option is unknown.
    DataError
        If no optimisation found a finite density.
    """
    o = hidden_options(method, options)
    svi = method == "svi"
    p = _hidden_program(spec, n, o, which)
    *keys, last = jax.random.split(jax.random.PRNGKey(seed), 4)
    parts, elbos, rising = [], [], []
    starts = o["starts"] if svi else 1
    for k in range(starts):
        first, second, third = (jax.random.fold_in(key, k) for key in keys)
        guide, elbo = p.start(first, arrays, o["steps"])
        if svi:
            guide, elbo = p.refine(second, guide, arrays, o["steps"])
            share = o["draws"] // starts + (k < o["draws"] % starts)
            parts.append(np.asarray(p.draw(guide, third, share)))
            tenth = max(1, o["steps"] // 10)
            late = elbo[-2 * tenth :].reshape(2, -1)
            elbos.append(late[1].mean())
            noise = 3 * np.sqrt(late.var(1).sum() / tenth)
            # Half a percent of a nat a score: differences between forecasts are ten times that.
            least = 0.005 * float(np.sum(arrays.observed))
            rising.append(late[1].mean() - late[0].mean() > max(least, noise))
    if svi:
        x = np.concatenate(parts)
    else:
        arrays, chains = _nuts(
            spec, p, guide, arrays, keys[2], o["chains"], o["warmup"], o["draws"], progress=False
        )
        x = chains[0].reshape(-1, p.size)
    mu, sd = (v[:, rows] for v in p.over("cells", x, last, arrays))
    if not np.isfinite(mu).all():
        raise DataError(_NOT_FINITE)
    if svi:
        return mu, sd, {"converged": float(not any(rising)), "elbo": float(np.mean(elbos))}
    from arviz_stats.base import array_stats

    shaped = mu.reshape(o["chains"], o["draws"], -1)
    r_hat = float(np.nanmax(array_stats.rhat(shaped, chain_axis=0, draw_axis=1)))
    return mu, sd, {"converged": float(r_hat <= 1.05), "r_hat": r_hat}


def anchor(loading: np.ndarray) -> np.ndarray:
    """Coordinates in which to sample the skills, from a first approximation of the loadings.

    The left singular vectors of the loadings: the first ``d`` are the directions, over all
    benchmarks, along which families differ most, so that each skill is anchored on
    everything known about it rather than on one noisy benchmark.

    Parameters
    ----------
    loading
        ``(J, d)`` in any rotation; or those of many draws side by side, ``(J, S d)``.

    Returns
    -------
    numpy.ndarray
        ``(J, J)`` orthogonal matrix, one direction a row.
    """
    left = np.linalg.svd(loading, full_matrices=loading.shape[0] > loading.shape[1])[0]
    return np.ascontiguousarray(left.T).astype(np.float32)


def sample_prior(spec: Sloth, data: Leaderboard, draws: int = 1000, seed: int = 0) -> Posterior:
    """Draw the parameters from their prior; see :meth:`sloth_bayes.Sloth.prior`."""
    laid_out = _laid_out(spec, data)
    arrays = laid_out.arrays
    keys = np.asarray(jax.random.split(jax.random.PRNGKey(seed), draws))
    # Whole blocks, so that one program serves any number of draws.
    keys = np.concatenate([keys, np.repeat(keys[-1:], -draws % _PRIOR_BLOCK, 0)])
    block = _prior_program(spec, model.sizes(spec, arrays))
    parts = [
        jax.device_get(block(keys[first : first + _PRIOR_BLOCK], arrays))
        for first in range(0, len(keys), _PRIOR_BLOCK)
    ]
    values = jax.tree.map(lambda *rows: np.concatenate(rows)[:draws], *parts)
    attrs = {"method": "prior", "seed": seed, "left_out": list(laid_out.left_out)}
    attrs |= _provenance(data)
    return build(spec, laid_out, values, chains=1, sample_stats=None, attrs=attrs)


@functools.lru_cache(maxsize=32)
def _prior_program(spec: Sloth, n: model.Sizes) -> Callable[[Any, Arrays], dict[str, Any]]:
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
