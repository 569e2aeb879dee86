"""Fitting: variational inference and NUTS over one flat parameter vector.

A fit is a few pure functions of ``(key, arrays)``, compiled once per specification and
table shape and shared by seeds, chains, starts and folds. Chains and starts run side by
side in threads, which XLA lets go of while it computes: no device flag has to be set.

1. *Variational starts*: several mean-field optimisations (Adam on the ELBO). The first
   round only chooses the coordinates of the skills (:func:`anchor`), the second
   finds the dominant mode.
2. *SVI* continues the best start with a guide that keeps some correlations.
3. *NUTS* begins at draws from the best start. Hierarchies leave ridges between shared and
   local parameters that no diagonal mass matrix follows, so the warm-up has pilot rounds
   after which the average curvature at the draws reached so far gives a low-rank linear
   change of coordinates (:func:`follow_curvature`); the last round adapts and samples in
   those. On the table that ships this takes R-hat from above 2 to about 1.02.
"""

from __future__ import annotations

import functools
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
from numpyro.infer.util import constrain_fn, potential_energy, unconstrain_fn
from tqdm.auto import tqdm

from . import _interrupt, model
from .design import Arrays, design
from .errors import DataError, SpecError
from .leaderboard import Leaderboard
from .posterior import Posterior, build
from .spec import Sloth

_CHUNK = 25  # NUTS iterations between two looks at the progress bar and at Ctrl-C
_PILOTS = (100, 200)  # iterations of the pilot rounds
_POINTS = (4, 8)  # draws at which each round measures the curvature
_RANK = 250  # directions that the change of coordinates follows
_NOT_FINITE = (
    "the optimisation found no finite density: check the table for extreme sizes or tokens, or "
    "narrow the priors"
)
_TRACING = threading.Lock()  # tracing is not thread-safe in numpyro
_LARGE = 6000  # parameters beyond which the curvature is not measured


class Coordinates(NamedTuple):
    """Linear coordinates ``y`` of the parameters.

    ``x = mean + scale * (y + vectors (stretch * vectors' y))``.
    """

    mean: Any  # (D,)
    scale: Any  # (D,)
    vectors: Any  # (D, k), orthonormal columns
    stretch: Any  # (k,)

    def to_x(self, y: Any) -> Any:
        """Parameters from coordinates."""
        return self.mean + self.scale * (y + self.vectors @ (self.stretch * (self.vectors.T @ y)))

    def to_y(self, x: Any) -> Any:
        """Coordinates from parameters: the inverse of :meth:`to_x`."""
        y = (x - self.mean) / self.scale
        return y + self.vectors @ ((1 / (1 + self.stretch) - 1) * (self.vectors.T @ y))


class Guide(NamedTuple):
    """Normal guide on the unconstrained vector: mean, log scale, low-rank factor."""

    mean: Any  # (D,)
    log_scale: Any  # (D,)
    factor: Any  # (D, rank): x = mean + scale * e + factor @ e'


class Program(NamedTuple):
    """The compiled functions of one specification and table shape."""

    size: int  # number of parameters D
    start: Callable[..., Any]
    refine: Callable[..., Any]
    draw: Callable[..., Any]
    nuts_init: Callable[..., Any]
    nuts_chunk: Callable[..., Any]
    slopes: Callable[..., Any]  # gradients of the potential at rows of parameters
    values: Callable[[Any, Arrays], dict[str, Any]]
    cells: Callable[[Any, Arrays], tuple[Any, Any]]  # of every model, hidden or not
    log_density: Callable[[Any, Guide, Arrays], Any]
    compiled: dict[Any, Any]

    def ready(self, name: str, *args: Any) -> Any:
        """A function compiled for arguments like these, once; threads may ask at once."""
        leaves, structure = jax.tree.flatten(args)
        shapes = tuple((np.shape(x), jnp.result_type(x).name) for x in leaves)
        key = (name, structure, shapes)
        with _TRACING:
            if key not in self.compiled:
                self.compiled[key] = getattr(self, name).lower(*args).compile()
            return self.compiled[key]


@functools.lru_cache(maxsize=32)
def program(
    spec: Sloth, n: model.Sizes, steps: int, rank: int, warmup: int, depth: int, accept: float
) -> Program:
    """Trace the model once and define the functions that ``jit`` compiles at first use."""
    law = functools.partial(model.model, spec, n)
    flat, unravel = ravel_pytree(unconstrained_sites(spec, n))
    size = flat.size

    def potential(x: Any, arrays: Arrays) -> Any:
        return potential_energy(law, (arrays,), {}, unravel(x))

    def draw(guide: Guide, key: Any, n_draws: int) -> Any:
        key, other = jax.random.split(key)
        noise = jax.random.normal(key, (n_draws, size))
        low = jax.random.normal(other, (n_draws, guide.factor.shape[1]))
        return guide.mean + jnp.exp(guide.log_scale) * noise + low @ guide.factor.T

    def capacitance(guide: Guide) -> Any:
        scaled = guide.factor / jnp.exp(guide.log_scale)[:, None]
        return jnp.eye(guide.factor.shape[1]) + scaled.T @ scaled

    def negative_elbo(guide: Guide, key: Any, arrays: Arrays) -> Any:
        x = draw(guide, key, 2)
        entropy = guide.log_scale.sum() + 0.5 * jnp.linalg.slogdet(capacitance(guide))[1]
        constant = 0.5 * size * (1 + jnp.log(2 * jnp.pi))
        return jax.vmap(potential, (0, None))(x, arrays).mean() - entropy - constant

    def optimise(guide: Guide, key: Any, arrays: Arrays, rate: float) -> tuple[Guide, Any]:
        optimiser = optax.adam(optax.cosine_decay_schedule(rate, steps, alpha=0.01))

        def step(carry: Any, key: Any) -> Any:
            guide, state = carry
            loss, gradient = jax.value_and_grad(negative_elbo)(guide, key, arrays)
            # One wild draw must not undo the optimisation so far.
            gradient = jax.tree.map(lambda g: jnp.nan_to_num(g, posinf=0.0, neginf=0.0), gradient)
            update, state = optimiser.update(gradient, state)
            return (optax.apply_updates(guide, update), state), loss

        carry = (guide, optimiser.init(guide))
        (guide, _), loss = jax.lax.scan(step, carry, jax.random.split(key, steps))
        return guide, loss

    @jax.jit
    def start(key: Any, arrays: Arrays) -> tuple[Guide, Any]:
        here, there = jax.random.split(key)
        mean = 0.1 * jax.random.normal(here, (size,))
        guide = Guide(mean, jnp.full(size, -2.0), jnp.zeros((size, 0)))
        return optimise(guide, there, arrays, 0.02)

    @jax.jit
    def refine(key: Any, guide: Guide, arrays: Arrays) -> tuple[Guide, Any]:
        here, there = jax.random.split(key)
        factor = 0.01 * jax.random.normal(here, (size, rank))
        guide = Guide(guide.mean, guide.log_scale, factor * jnp.exp(guide.log_scale)[:, None])
        return optimise(guide, there, arrays, 0.005)

    def potential_of(at: Coordinates, arrays: Arrays) -> Callable[[Any], Any]:
        return lambda y: potential(at.to_x(y), arrays)

    init, sample = hmc.hmc(potential_fn_gen=potential_of, algo="NUTS")

    @jax.jit
    def nuts_init(key: Any, x: Any, at: Coordinates, arrays: Arrays) -> Any:
        return init(
            at.to_y(x),
            num_warmup=warmup,
            step_size=0.1,
            # Warm-up is short of steps, not of directions: long trajectories in coordinates
            # that are about to change are wasted.
            max_tree_depth=(min(depth, 7), depth),
            target_accept_prob=accept,
            model_args=(at, arrays),
            rng_key=key,
        )

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

    @jax.jit
    def slopes(x: Any, arrays: Arrays) -> Any:
        return jax.lax.map(lambda x: jax.grad(potential)(x, arrays), x, batch_size=100)

    @jax.jit
    def values(x: Any, arrays: Arrays) -> dict[str, Any]:
        def one(x: Any) -> dict[str, Any]:
            constrained = constrain_fn(law, (arrays,), {}, unravel(x))
            return model.draw_values(spec, n, arrays, constrained)

        return jax.lax.map(one, x, batch_size=50)

    @jax.jit
    def cells(x: Any, arrays: Arrays) -> tuple[Any, Any]:
        """Expected score and noise scale (n, M, J) at rows of parameters."""

        def one(x: Any) -> tuple[Any, Any]:
            constrained = constrain_fn(law, (arrays,), {}, unravel(x))
            return model.draw_cells(spec, n, arrays, constrained)

        return jax.lax.map(one, x, batch_size=50)

    @jax.jit
    def log_density(x: Any, guide: Guide, arrays: Arrays) -> tuple[Any, Any]:
        """Log joint density of draws, and log density of the guide there."""
        e = (x - guide.mean) / jnp.exp(guide.log_scale)
        scaled = guide.factor / jnp.exp(guide.log_scale)[:, None]
        projected = jnp.linalg.solve(capacitance(guide), (e @ scaled).T).T
        quadratic = (e**2).sum(-1) - (projected * (e @ scaled)).sum(-1)
        log_q = -0.5 * (quadratic + jnp.linalg.slogdet(capacitance(guide))[1])
        log_q = log_q - guide.log_scale.sum() - 0.5 * size * jnp.log(2 * jnp.pi)
        return -jax.lax.map(lambda x: potential(x, arrays), x, batch_size=50), log_q

    return Program(
        size=size,
        start=start,
        refine=refine,
        draw=jax.jit(draw, static_argnums=2),
        nuts_init=nuts_init,
        nuts_chunk=nuts_chunk,
        slopes=slopes,
        values=values,
        cells=cells,
        log_density=log_density,
        compiled={},
    )


def unconstrained_sites(spec: Sloth, n: model.Sizes) -> dict[str, Any]:
    """Zeros in the shapes of all unconstrained parameters."""
    law, dummy = functools.partial(model.model, spec, n), _dummy(n)

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
        lineage_of_family=np.zeros(f, np.int32),
        score=np.full((m, j), 0.5, np.float32),
        observed=np.zeros((m, j), np.float32),
        chance=np.zeros(j, np.float32),
        inverse_n=np.zeros(j, np.float32),
        rounding=np.zeros(j, np.float32),
        anchor=np.eye(j, dtype=np.float32),
    )


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
) -> Posterior:
    """Fit a specification to a table.

    Parameters
    ----------
    spec
        The specification.
    data
        The table. Rows without size or tokens are left out; the result's attribute
        ``left_out`` lists them.
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

    laid_out = design(data, spec.inputs)
    arrays = laid_out.arrays
    n = model.sizes(spec, arrays)
    p = program(spec, n, steps, rank, warmup, max_tree_depth, target_accept)
    keys = jax.random.split(jax.random.PRNGKey(seed), 4)

    arrays, guide, elbos = _starts(spec, p, arrays, keys[0], starts, steps, progress)
    attrs: dict[str, Any] = {
        "method": method,
        "seed": seed,
        "starts_elbo": [float(v) for v in elbos],
        "left_out": list(laid_out.left_out),
        **_provenance(data),
    }
    if method == "svi":
        with progress_bar(1, "SVI", progress) as advance:
            guide, loss = p.refine(keys[1], guide, arrays)
            x = p.draw(guide, keys[2], chains * draws)
            log_p, log_q = p.log_density(x, guide, arrays)
            advance(1)
        stats = xr.Dataset(
            {
                "elbo": ("step", -np.asarray(loss, np.float32)),
                "log_weight": (("chain", "draw"), np.asarray(log_p - log_q)[None]),
            }
        )
        chains = 1
    else:
        attrs |= {"warmup": warmup, "max_tree_depth": max_tree_depth}
        x, n_steps, diverging, potential, energy, accept, step_size = _nuts(
            p, guide, arrays, keys[3], chains, warmup, draws, progress
        )
        x = x.reshape(chains * draws, -1)
        depth = np.ceil(np.log2(n_steps + 1)).astype(np.int16)
        stats = xr.Dataset(
            {
                name: (("chain", "draw"), values)
                for name, values in {
                    "n_steps": n_steps.astype(np.int32),
                    "tree_depth": depth,
                    "reached_max_tree_depth": depth >= max_tree_depth,
                    "diverging": diverging,
                    "lp": -potential,
                    "energy": energy,
                    "acceptance_rate": accept,
                    "step_size": step_size,
                }.items()
            }
        )
    values = jax.device_get(p.values(x, arrays))
    post = build(spec, laid_out, values, chains=chains, sample_stats=stats, attrs=attrs)
    return post


def _nuts(
    p: Program, guide: Guide, arrays: Arrays, key: Any, chains: int, warmup: int, draws: int,
    progress: bool | None,
) -> list[np.ndarray]:  # fmt: skip
    """Pilot rounds, then warm-up and sampling: arrays of shape (chains, draws, ...)."""
    size = p.size
    follow = size <= _LARGE
    rank = min(_RANK, size)
    at = Coordinates(guide.mean, jnp.exp(guide.log_scale), jnp.zeros((size, rank)), jnp.zeros(rank))
    key, first = jax.random.split(key)
    x = list(p.draw(guide, first, chains))
    rounds = [*(_PILOTS if follow else ()), warmup + draws]
    with progress_bar(chains * sum(rounds), "NUTS", progress) as advance:
        for i, length in enumerate(rounds):
            key, here = jax.random.split(key)
            keys = jax.random.split(here, chains)
            states = [p.nuts_init(k, start, at, arrays) for k, start in zip(keys, x)]
            run = p.ready("nuts_chunk", states[0], at, arrays)

            def chain(
                stop: threading.Event, state: Any, at: Coordinates = at, length: int = length,
                run: Any = run,
            ) -> list[np.ndarray]:  # fmt: skip
                parts = []
                for done in range(0, length, _CHUNK):
                    if stop.is_set():
                        break
                    state, out = run(state, at, arrays)
                    parts.append(jax.device_get(out))
                    advance(min(_CHUNK, length - done))
                return [np.concatenate(column)[:length] for column in zip(*parts)]

            results = _side_by_side([functools.partial(chain, state=s) for s in states])
            if i < len(rounds) - 1:
                late = np.stack([r[0][length // 2 :] for r in results])
                pick = np.linspace(0, late.shape[1] - 1, -(-_POINTS[i] // chains)).astype(int)
                points = late[:, pick].swapaxes(0, 1).reshape(-1, size)[: _POINTS[i]]
                centre = late.mean((0, 1))
                at = follow_curvature(
                    functools.partial(p.slopes, arrays=arrays), points, centre, at
                )
                x = [r[0][-1] for r in results]
    return [np.stack(column)[:, warmup:] for column in zip(*results)]


def follow_curvature(
    slopes: Callable[[Any], Any], points: np.ndarray, centre: np.ndarray, at: Coordinates
) -> Coordinates:
    """Coordinates in which the average curvature at some draws is nearly the identity.

    The Hessian of the potential, by central differences of its gradient a twentieth of a
    scale either way, is averaged over `points`, scaled to a unit diagonal, and its
    eigenvectors furthest from one are stretched. Averaging matters: at a single draw of a
    hierarchical model the Hessian is not even positive.

    Parameters
    ----------
    slopes
        Gradients ``(n, D)`` of the potential at rows ``(n, D)``.
    points
        ``(n, D)`` draws from the typical set.
    centre
        ``(D,)`` new origin.
    at
        Coordinates in use, for their scale and rank.
    """
    scale = np.asarray(at.scale, np.float64)
    size, rank = len(centre), at.stretch.size
    steps = np.diag(0.05 * scale).astype(np.float32)
    hessian = np.zeros((size, size))
    for point in points:
        rows = np.concatenate([point + steps, point - steps]).astype(np.float32)
        gradient = np.asarray(slopes(rows), np.float64)
        hessian += (gradient[:size] - gradient[size:]) / 0.1 / len(points)
    hessian = np.nan_to_num(hessian * scale)
    diagonal = 1 / np.sqrt(np.maximum(np.diag(hessian), 0.05))
    hessian = diagonal[:, None] * (hessian + hessian.T) / 2 * diagonal
    values, vectors = np.linalg.eigh(hessian)
    # A direction with next to no curvature is followed six scales, not to infinity.
    values = np.maximum(values, 0.03)
    keep = np.argsort(-np.abs(np.log(values)))[:rank]
    return Coordinates(
        jnp.asarray(centre, jnp.float32),
        jnp.asarray(scale * diagonal, jnp.float32),
        jnp.asarray(vectors[:, keep], jnp.float32),
        jnp.asarray(values[keep] ** -0.5 - 1, jnp.float32),
    )


def _starts(
    spec: Sloth, p: Program, arrays: Arrays, key: Any, starts: int, steps: int,
    progress: bool | None,
) -> tuple[Arrays, Guide, list[float]]:  # fmt: skip
    """Choose the anchor, then the best of several variational starts."""
    first, *keys = jax.random.split(key, starts + 1)
    free = spec.loadings == "free"
    optimise = p.ready("start", first, arrays)
    with progress_bar(starts + free, "starts", progress) as advance:

        def run(stop: threading.Event, key: Any) -> tuple[Guide, float]:
            guide, loss = jax.block_until_ready(optimise(key, arrays))
            advance(1)
            return guide, -float(np.mean(np.asarray(loss)[-max(1, steps // 10) :]))

        if free:
            guide, _ = run(threading.Event(), first)
            loading = p.values(guide.mean[None], arrays)["loading"][0]
            if not np.isfinite(np.asarray(loading)).all():
                raise DataError(_NOT_FINITE)
            arrays = arrays._replace(anchor=anchor(np.asarray(loading)))
        results = _side_by_side([functools.partial(run, key=k) for k in keys])
    elbos = [elbo if np.isfinite(elbo) else -np.inf for _, elbo in results]
    if not np.isfinite(max(elbos)):
        raise DataError(_NOT_FINITE)
    return arrays, results[int(np.argmax(elbos))][0], elbos


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


def _hidden_program(spec: Sloth, n: model.Sizes, o: dict[str, Any]) -> Program:
    with _TRACING:
        return program(
            spec, n, o["steps"], o.get("rank", 1), o.get("warmup", 20), o.get("max_tree_depth", 10),
            o.get("target_accept", 0.8),
        )  # fmt: skip


def common_anchor(
    spec: Sloth, n: model.Sizes, arrays: Arrays, method: str, seed: int, options: dict[str, Any]
) -> np.ndarray:
    """Coordinates of the skills (:func:`anchor`) from the scores that `arrays` shows."""
    if spec.loadings != "free":
        return np.asarray(arrays.anchor)
    p = _hidden_program(spec, n, hidden_options(method, options))
    key = jax.random.PRNGKey(seed)
    guide, _ = p.ready("start", key, arrays)(key, arrays)
    x = guide.mean[None]
    loading = np.asarray(p.ready("values", x, arrays)(x, arrays)["loading"][0])
    if not np.isfinite(loading).all():
        raise DataError(_NOT_FINITE)
    return anchor(loading)


def forecast_hidden(
    spec: Sloth,
    n: model.Sizes,
    arrays: Arrays,
    rows: list[int],
    method: str = "svi",
    seed: int = 0,
    **options: Any,
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Fit what `arrays` shows and forecast some of its models: one fold.

    Parameters
    ----------
    spec, n
        The specification, and the sizes of the full table (one program for all folds).
    arrays
        The table with the fold's scores hidden, and the anchor.
    rows
        Models to forecast.
    method
        ``"svi"`` or ``"nuts"``.
    seed
        Seed of the fold.
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
    p = _hidden_program(spec, n, o)
    keys = jax.random.split(jax.random.PRNGKey(seed), 3)
    parts, elbos, rising = [], [], []
    starts = o["starts"] if svi else 1
    for k in range(starts):
        first, second, third = (jax.random.fold_in(key, k) for key in keys)
        guide, loss = p.ready("start", first, arrays)(first, arrays)
        if svi:
            guide, loss = p.ready("refine", second, guide, arrays)(second, guide, arrays)
            share = o["draws"] // starts + (k < o["draws"] % starts)
            parts.append(p.draw(guide, third, share))
            tenth = max(1, o["steps"] // 10)
            late = -np.asarray(loss, float)[-2 * tenth :].reshape(2, -1)
            elbos.append(late[1].mean())
            noise = 3 * np.sqrt(late.var(1).sum() / tenth)
            # Half a percent of a nat a score: differences between forecasts are ten times that.
            least = 0.005 * float(np.sum(arrays.observed))
            rising.append(late[1].mean() - late[0].mean() > max(least, noise))
    if svi:
        x = jnp.concatenate(parts)
    else:
        chains = _nuts(
            p, guide, arrays, keys[2], o["chains"], o["warmup"], o["draws"], progress=False
        )
        x = jnp.asarray(chains[0].reshape(-1, p.size))
    mu, sd = (np.asarray(v)[:, rows] for v in p.ready("cells", x, arrays)(x, arrays))
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
        ``(J, d)`` in any rotation.

    Returns
    -------
    numpy.ndarray
        ``(J, J)`` orthogonal matrix, one direction a row.
    """
    left, _, _ = np.linalg.svd(loading, full_matrices=True)
    return np.ascontiguousarray(left.T).astype(np.float32)


def sample_prior(spec: Sloth, data: Leaderboard, draws: int = 1000, seed: int = 0) -> Posterior:
    """Draw the parameters from their prior; see :meth:`sloth_bayes.Sloth.prior`."""
    laid_out = design(data, spec.inputs)
    arrays = laid_out.arrays
    keys = jax.random.split(jax.random.PRNGKey(seed), draws)
    values = jax.device_get(_prior_program(spec, model.sizes(spec, arrays))(keys, arrays))
    attrs = {"method": "prior", "seed": seed, "left_out": list(laid_out.left_out)}
    attrs |= _provenance(data)
    return build(spec, laid_out, values, chains=1, sample_stats=None, attrs=attrs)


@functools.lru_cache(maxsize=32)
def _prior_program(spec: Sloth, n: model.Sizes) -> Callable[[Any, Arrays], dict[str, Any]]:
    def one(key: Any, arrays: Arrays) -> dict[str, Any]:
        with handlers.block(), handlers.seed(rng_seed=key):
            values = model.parameters(spec, n, arrays)
        return model.per_skill(model.assemble(values, arrays))

    return jax.jit(lambda keys, arrays: jax.lax.map(lambda k: one(k, arrays), keys, batch_size=50))


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
