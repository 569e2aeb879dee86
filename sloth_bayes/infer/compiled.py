"""The functions of one specification and table shape, each compiled once.

Pure functions of one flat parameter vector and the table's arrays, shared by seeds, chains,
starts and folds. The model is traced from :mod:`sloth_bayes.model.scores`, or from the law of
another layer (:class:`Target`).
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
from numpyro.infer.hmc_util import build_tree, velocity_verlet
from numpyro.infer.hmc_util import euclidean_kinetic_energy as kinetic
from numpyro.infer.util import ParamInfo, constrain_fn, potential_energy, unconstrain_fn

from ..law.spec import Spec
from ..model import scores
from ..model.arrays import Arrays
from ..model.loadings import Sizes, reanchored
from ..support import interrupt, programs
from ..support.threads import workers
from .metric import Metric

CHUNK = 25  # NUTS iterations between two looks at the progress bar and at Ctrl-C
BLOCK = 50  # draws that one call of a compiled function of draws takes
BATCH = 4  # draws that one call of the potential takes: a step of variational inference
FOREVER = 1_000_000  # iterations of adaptation of the step size, which its caller ends
# What runs for a fraction of a second is not worth seconds of LLVM's optimisation.
_LEVEL = {"values": 1, "outline": 1}
COMPILING = threading.Lock()  # tracing is not thread-safe in numpyro


class Target(NamedTuple):
    """What is fitted: functions of ``(spec, n, arrays)``, as in :mod:`sloth_bayes.model.scores`.

    Another layer may fit a law of its own with what is here, provided that it samples what
    :func:`sloth_bayes.model.scores.parameters` does, among other things. What else it reads
    is in ``arrays.extra``.
    """

    density: Callable[..., None] = scores.density
    values: Callable[..., dict[str, Any]] = scores.draw_values
    cells: Callable[..., tuple[Any, Any]] = scores.draw_cells


SCORES = Target()


class Functions(NamedTuple):
    """The functions of one specification and table shape.

    ``nuts_init`` and ``nuts_chunk`` run a chain, ``nuts_lanes`` several that step together; the
    others take a block of draws (see :meth:`over`), so that one compiled program serves any number
    of draws, within a bounded memory: ``potential`` and its gradient; ``outline``, the loadings,
    residuals and their scales; ``reanchor``, the same draws in the coordinates of other arrays;
    ``values``, the named quantities; ``cells``, mu and sd of every model, hidden or not.
    """

    spec: Spec
    size: int  # number of parameters D
    jitted: dict[str, Any]
    compiled: dict[Any, Any]

    def ready(self, name: str, *args: Any, place: Any = None) -> Any:
        """A function compiled for arguments like these, once; threads may ask at once.

        `place` is one of :func:`places`: what is compiled for a device runs there alone.
        """
        key = (name, place, *programs.kind_of(args))
        if key not in self.compiled:
            # One at a time: XLA uses all cores by itself, and each needs half a gigabyte.
            with COMPILING, programs.uncollected():
                if key not in self.compiled:
                    args = args if place is None else _shapes_on(place, args)
                    lowered = self.jitted[name].lower(*args)
                    self.compiled[key] = programs.compiled(lowered, _LEVEL.get(name))
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


def functions_of(
    spec: Spec,
    n: Sizes,
    depth: int = 10,
    accept: float = 0.8,
    target: Target = SCORES,
    thin: int = 1,
) -> Functions:
    """Trace the model once and define the functions that ``jit`` compiles at first use."""
    return _functions_of(spec, n, depth, accept, target, thin, spec.entries)


@functools.lru_cache(maxsize=32)
def _functions_of(
    spec: Spec,
    n: Sizes,
    depth: int,
    accept: float,
    target: Target,
    thin: int,
    entries: tuple[Any, ...],
) -> Functions:
    density = functools.partial(target.density, spec, n)
    size, unravel = _flat(unconstrained_sites(spec, n, target))

    def potential_at(x: Any, arrays: Arrays) -> Any:
        return potential_energy(density, (arrays,), {}, unravel(x))

    def sites_at(x: Any, arrays: Arrays) -> dict[str, Any]:
        return constrain_fn(density, (arrays,), {}, unravel(x))

    def over_rows(of: Callable[..., Any]) -> Callable[..., Any]:
        """A function of one draw and its number, for a block of draws from number `first`."""

        @jax.jit
        @functools.wraps(of)
        def block(x: Any, first: Any, *args: Any) -> Any:
            return jax.vmap(lambda x, i: of(x, i, *args))(x, first + jnp.arange(len(x)))

        return block

    def of_sites(of: Callable[..., Any]) -> Callable[..., Any]:
        """A function of one draw's sites and a key of its own, likewise."""
        return over_rows(
            lambda x, i, key, arrays: of(
                spec, n, arrays, sites_at(x, arrays), jax.random.fold_in(key, i)
            )
        )

    @over_rows
    def potential(x: Any, i: Any, arrays: Arrays) -> tuple[Any, Any]:
        return jax.value_and_grad(potential_at)(x, arrays)

    @over_rows
    def outline(x: Any, i: Any, arrays: Arrays) -> dict[str, Any]:
        values = scores.sampled(spec, n, arrays, sites_at(x, arrays))
        out = {name: values[name] for name in ("residual", "residual_scale") if name in values}
        return out | {"loading": values["loading"] @ values["unit"]}

    @over_rows
    def reanchor(x: Any, i: Any, new: Arrays, arrays: Arrays) -> Any:
        sites = reanchored(spec, n, arrays, new, sites_at(x, arrays))
        return ravel_pytree(unconstrain_fn(density, (new,), {}, sites))[0]

    def potential_of(metric: Metric, arrays: Arrays) -> Callable[[Any], Any]:
        @jax.custom_vjp
        def potential(y: Any) -> Any:
            return potential_at(metric.to_x(y), arrays)

        # Derived, the way back would scatter where it can gather.
        def with_slope(y: Any) -> tuple[Any, Any]:
            value, slope = jax.value_and_grad(potential_at)(metric.to_x(y), arrays)
            return value, metric.slopes(slope)

        potential.defvjp(with_slope, lambda slope, of: (of * slope,))
        return potential

    init, sample = hmc.hmc(potential_fn_gen=potential_of, algo="NUTS")

    @jax.jit
    def nuts_init(key: Any, y: Any, value: Any, slope: Any, metric: Metric, arrays: Arrays) -> Any:
        """State of a chain at `y`, where the potential and its gradient are known."""
        state = init(
            ParamInfo(y, value, slope),
            num_warmup=FOREVER,
            step_size=0.1,
            adapt_mass_matrix=False,
            # Warm-up is short of steps, not of directions: long trajectories in coordinates
            # that are about to change are wasted.
            max_tree_depth=(min(depth, 7), depth),
            target_accept_prob=accept,
            model_args=(metric, arrays),
            rng_key=key,
        )
        # NumPyro begins the step size anew after each window in which it adapts a mass
        # matrix, which it does not do here: stay in the last window.
        last = jnp.full_like(state.adapt_state.window_idx, FOREVER)
        return state._replace(adapt_state=state.adapt_state._replace(window_idx=last))

    @jax.jit
    def nuts_chunk(state: Any, metric: Metric, arrays: Arrays) -> Any:
        def iterate(state: Any, _: Any) -> Any:
            state = sample(state, (metric, arrays), {})
            return state, (state.num_steps, state.diverging, state.accept_prob)

        def step(state: Any, _: Any) -> Any:
            state, (steps, diverging, accepted) = jax.lax.scan(iterate, state, None, length=thin)
            return state, (
                metric.to_x(state.z),
                steps.sum(),
                steps.max(),
                diverging.any(),
                state.potential_energy,
                state.energy,
                accepted.mean(),
                state.adapt_state.step_size,
            )

        return jax.lax.scan(step, state, None, length=CHUNK)

    @jax.jit
    def nuts_lanes(
        key: Any,
        y: Any,
        value: Any,
        slope: Any,
        step: Any,
        most: Any,
        metric: Metric,
        arrays: Arrays,
    ) -> tuple[Any, ...]:
        """An iteration of chains that share a step size: their state, and what came of it."""
        _, verlet = velocity_verlet(potential_of(metric, arrays), kinetic)
        mass = jnp.ones(size)

        def lane(key: Any, y: Any, value: Any, slope: Any) -> tuple[Any, ...]:
            of_momentum, of_tree = jax.random.split(key)
            state = hmc.IntegratorState(y, jax.random.normal(of_momentum, y.shape), value, slope)
            tree = build_tree(
                verlet, kinetic, state, mass, step, of_tree, max_tree_depth=(most, depth)
            )
            new = tree.z_proposal, tree.z_proposal_pe, tree.z_proposal_grad
            return new, (tree.sum_accept_probs / tree.num_proposals, tree.diverging)

        out: tuple[Any, ...] = jax.vmap(lane)(jax.random.split(key, len(y)), y, value, slope)
        return out

    named = (potential, outline, reanchor, nuts_init, nuts_chunk, nuts_lanes)
    jitted = {of.__name__: of for of in named}
    jitted |= {"values": of_sites(target.values), "cells": of_sites(target.cells)}
    return Functions(spec, size, jitted, {})


def forget() -> None:
    """Forget what has been traced: another precision was set, say. For studies."""
    _functions_of.cache_clear()


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


def unconstrained_sites(spec: Spec, n: Sizes, target: Target = SCORES) -> dict[str, Any]:
    """Zeros in the shapes of all unconstrained parameters."""
    density = functools.partial(target.density, spec, n)

    def unconstrained(arrays: Arrays) -> dict[str, Any]:
        seeded = handlers.seed(density, jax.random.PRNGKey(0))
        trace = handlers.trace(seeded).get_trace(arrays).items()
        found = {k: v for k, v in trace if v["type"] == "sample" and not v["is_observed"]}
        return unconstrain_fn(density, (arrays,), {}, {k: v["value"] for k, v in found.items()})

    found = jax.eval_shape(unconstrained, jax.tree.unflatten(n.structure, n.shapes))
    return {name: np.zeros(site.shape, np.float32) for name, site in found.items()}
