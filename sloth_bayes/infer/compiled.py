"""The functions of one specification and table shape, each compiled once.

Pure functions of one flat parameter vector and the table's arrays, shared by seeds, chains,
starts and folds. The model is traced from :mod:`sloth_bayes.model`, or from the law of
another layer (:class:`Law`).
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpyro import handlers
from numpyro.infer import hmc
from numpyro.infer.util import ParamInfo, constrain_fn, potential_energy, unconstrain_fn

from ..law.spec import Spec
from ..model import scores as model
from ..model.arrays import Arrays, Unknown
from ..support import interrupt
from ..support.threads import workers
from .metric import Coordinates, stretched

CHUNK = 25  # NUTS iterations between two looks at the progress bar and at Ctrl-C
BLOCK = 50  # draws that one call of a compiled function of draws takes
BATCH = 4  # draws that one call of the potential takes: a step of variational inference
FOREVER = 1_000_000  # iterations of adaptation of the step size, which its caller ends
# What runs for a fraction of a second is not worth seconds of LLVM's optimisation.
_COMPILER = {name: {"xla_backend_optimization_level": 1} for name in ("values", "outline")}
COMPILING = threading.Lock()  # tracing is not thread-safe in numpyro


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
    """The functions of one specification and table shape.

    Those over draws take a block of them (see :meth:`over`), so that one program serves any
    number of draws, within a bounded memory.
    """

    size: int  # number of parameters D
    potential: Callable[..., Any]  # the potential and its gradient, at a pair of draws
    outline: Callable[..., Any]  # loadings, residuals and their scales of draws
    reanchor: Callable[..., Any]  # the same draws in the coordinates of other arrays
    nuts_init: Callable[..., Any]
    nuts_chunk: Callable[..., Any]
    values: Callable[..., Any]  # the named quantities of draws
    cells: Callable[..., Any]  # mu and sd of every model, hidden or not
    compiled: dict[Any, Any]

    def ready(self, name: str, *args: Any, place: Any = None) -> Any:
        """A function compiled for arguments like these, once; threads may ask at once.

        `place` is one of :func:`places`: what is compiled for a device runs there alone.
        """
        leaves, structure = jax.tree.flatten(args)
        key = (name, place, structure, *((np.shape(x), jnp.result_type(x).name) for x in leaves))
        if key not in self.compiled:
            # One at a time: XLA uses all cores by itself, and each needs half a gigabyte.
            with COMPILING:
                if key not in self.compiled:
                    args = args if place is None else _shapes_on(place, args)
                    lowered = getattr(self, name).lower(*args)
                    self.compiled[key] = lowered.compile(compiler_options=_COMPILER.get(name))
        return self.compiled[key]

    def over(self, name: str, x: Any, *args: Any) -> Any:
        """Apply a function of rows to any number of them, block by block: NumPy arrays."""
        x = np.asarray(x, np.float32)
        size = BATCH if name == "potential" else BLOCK
        function = self.ready(name, np.zeros((size, self.size), np.float32), 0, *args)

        def block(first: int) -> Any:
            rows = x[first : first + size]
            full = np.concatenate([rows, np.repeat(rows[-1:], size - len(rows), 0)])
            return jax.tree.map(np.asarray, function(full, first, *args))

        blocks = []
        with ThreadPoolExecutor(workers()) as pool:
            for out in pool.map(block, range(0, len(x), size)):
                interrupt.check()
                blocks.append(out)
        return jax.tree.map(lambda *parts: np.concatenate(parts)[: len(x)], *blocks)


@functools.lru_cache(maxsize=32)
def program(
    spec: Spec, n: model.Sizes, depth: int = 10, accept: float = 0.8, which: Law = SCORES
) -> Program:
    """Trace the model once and define the functions that ``jit`` compiles at first use."""
    law = functools.partial(which.density, spec, n)
    size, unravel = _flat(unconstrained_sites(spec, n, which))

    def potential_at(x: Any, arrays: Arrays) -> Any:
        return potential_energy(law, (arrays,), {}, unravel(x))

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
        return jax.vmap(jax.value_and_grad(potential_at), (0, None))(x, arrays)

    def potential_of(at: Coordinates, arrays: Arrays) -> Callable[[Any], Any]:
        return lambda y: potential_at(at.to_x(y), arrays)

    init, sample = hmc.hmc(potential_fn_gen=potential_of, algo="NUTS")

    @jax.jit
    def nuts_init(key: Any, x: Any, value: Any, slope: Any, at: Coordinates, arrays: Arrays) -> Any:
        """State of a chain at `x`, where the potential and its gradient are known."""
        slope = stretched(at.scale * slope, at.vectors, at.transposed, at.stretch)
        state = init(
            ParamInfo(at.to_y(x), value, slope),
            num_warmup=FOREVER,
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
        last = jnp.full_like(state.adapt_state.window_idx, FOREVER)
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

        return jax.lax.scan(step, state, None, length=CHUNK)

    def over_draws(of: Callable[..., Any]) -> Callable[..., Any]:
        """A function of one draw's sites, for a block of rows of parameters."""

        @jax.jit
        def block(x: Any, first: Any, key: Any, arrays: Arrays) -> Any:
            def one(x: Any, i: Any) -> Any:
                sites = constrain_fn(law, (arrays,), {}, unravel(x))
                return of(spec, n, arrays, sites, jax.random.fold_in(key, i))

            return jax.vmap(one)(x, first + jnp.arange(len(x)))

        return block

    return Program(
        size=size,
        potential=potential,
        outline=outline,
        reanchor=reanchor,
        nuts_init=nuts_init,
        nuts_chunk=nuts_chunk,
        values=over_draws(which.values),
        cells=over_draws(which.cells),
        compiled={},
    )


def places() -> list[Any]:
    """Where chains run, in turn: devices, or ``[None]`` where JAX puts everything by itself.

    Accelerators are used as many as JAX sees, unless ``jax.default_device`` names one.
    Several devices of a processor (``numpyro.set_host_device_count``) are not: threads share
    its cores already, and each would have to compile for itself.
    """
    found = jax.local_devices()
    chosen = getattr(jax.config, "jax_default_device", None)
    return [None] if chosen or len(found) == 1 or found[0].platform == "cpu" else found


def _shapes_on(device: Any, args: Any) -> Any:
    """Stand-ins for arguments that are on a device."""
    sharding = jax.sharding.SingleDeviceSharding(device)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(np.shape(x), jnp.result_type(x), sharding=sharding), args
    )


def _flat(sites: dict[str, Any]) -> tuple[int, Callable[[Any], dict[str, Any]]]:
    """How many numbers the sites hold, and how one vector is taken apart into them."""
    found: list[Any] = []

    def flatten() -> Any:
        flat, unravel = ravel_pytree(sites)
        found.append(unravel)
        return flat

    return jax.eval_shape(flatten).size, found[0]  # shapes alone: nothing is compiled


def unconstrained_sites(spec: Spec, n: model.Sizes, which: Law = SCORES) -> dict[str, Any]:
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
