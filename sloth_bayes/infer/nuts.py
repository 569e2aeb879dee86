"""NUTS: chains that begin at draws of a variational guide, in coordinates they learn.

Hierarchies leave ridges between shared and local parameters that no diagonal mass matrix
follows, so the warm-up goes in rounds, each in linear coordinates learned from draws and
gradients of the last (:func:`sloth_bayes.infer.metric.follow_gradients`). An early round
also chooses the anchor of the skills again, from draws instead of the guide
(:func:`sloth_bayes.model.scores.reanchored`).
"""

from __future__ import annotations

import functools
import itertools
import math
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from ..model.arrays import Arrays
from ..support.threads import gather, progress_bar
from .compiled import CHUNK, FOREVER, Functions, places
from .metric import WIDTH, follow_gradients
from .variational import Guide, Rng, anchor, learned

RANK = 32  # directions that the metric stretches: more would cost each step more than they save
_ROUNDS = (3, 5, 8, 12, 26, 4)  # shares of the rounds of warm-up; the last settles the step
_REANCHOR = 1  # after this round of warm-up (of those numbered from 0) the anchor is chosen again


def sample(
    f: Functions,
    guide: Guide,
    arrays: Arrays,
    rng: Rng,
    chains: int,
    warmup: int,
    draws: int,
    progress: bool | None,
) -> tuple[Arrays, list[np.ndarray]]:
    """Rounds of warm-up, then sampling: arrays of shape (chains, draws, ...)."""
    rank = min(RANK, f.size)
    on = list(itertools.islice(itertools.cycle(places()), chains))  # the device of each chain
    key = jax.random.PRNGKey(rng.integers(2**31))
    metric = learned(f, arrays, guide, rng, rank, WIDTH)
    x, _ = guide.draw(rng, chains)
    *rounds, settle = schedule(warmup)
    with progress_bar(chains * (warmup + draws), "NUTS", progress) as advance:

        def run(state: Any, stop: threading.Event, place: Any, length: int) -> Any:
            """The last state of a chain, and what it gave."""
            state, *given = jax.device_put((state, metric, arrays), place)
            chunk, parts = f.ready("nuts_chunk", state, *given, place=place), []
            for done in range(0, length, CHUNK):
                if stop.is_set():
                    break
                state, out = chunk(state, *given)
                parts.append(jax.device_get(out))
                advance(min(CHUNK, length - done))
            return state, [np.concatenate(column)[:length] for column in zip(*parts)]

        def last(state: Any, stop: threading.Event, place: Any) -> Any:
            state, _ = run(state, stop, place, settle)
            return run(_settled(state), stop, place, draws)

        def each(of: Callable[..., Any], key: Any) -> list[list[np.ndarray]]:
            """What all chains give, each from its row of `x`."""
            value, slope = f.over("potential", x, arrays)
            keys = jax.random.split(key, chains)
            tasks = []
            for place, *row in zip(on, keys, metric.to_y(x), value, metric.slopes(slope)):
                state = f.ready("nuts_init", *row, metric, arrays)(*row, metric, arrays)
                tasks.append(functools.partial(of, state, place=place))
            return [out for _, out in gather(tasks)]

        for number, length in enumerate(rounds):
            key, here = jax.random.split(key)
            found = each(functools.partial(run, length=length), here)
            late = np.concatenate([out[0][length // 3 :] for out in found])
            x = np.stack([out[0][-1] for out in found])
            if number == _REANCHOR and f.spec.loadings == "free":
                arrays, late, x = with_anchor(f, arrays, late, x)
            metric = follow_gradients(late, f.over("potential", late, arrays)[1], rank, WIDTH)
        found = each(last, key)
    return arrays, [np.stack(column) for column in zip(*found)]


def with_anchor(
    f: Functions, arrays: Arrays, late: np.ndarray, x: np.ndarray
) -> tuple[Arrays, np.ndarray, np.ndarray]:
    """Choose the anchor of the skills from draws `late`; these and `x` in the new coordinates.

    The guide's weakest skill may be none of the posterior's: its anchor would make a posterior
    that chains cross in hundreds of iterations.
    """
    loadings = f.over("outline", late, arrays)["loading"].swapaxes(0, 1)
    new = arrays._replace(anchor=anchor(loadings.reshape(len(arrays.anchor), -1)))
    late, x = (f.over("reanchor", rows, new, arrays) for rows in (late, x))
    return new, late, x


def schedule(warmup: int) -> list[int]:
    """Lengths of the rounds of warm-up; the last one only settles the step size."""
    shares = _ROUNDS if warmup >= 200 else _ROUNDS[-3:]
    lengths = [max(1, round(warmup * share / sum(shares))) for share in shares]
    lengths[-1] = max(1, warmup - sum(lengths[:-1]))
    return lengths


def off_turn(step: float, longer: bool = True) -> float:
    """A step size whose trees end where a trajectory turns, near to the one given.

    Where coordinates make the posterior nearly a standard normal, a trajectory returns to
    where it began after a time of 2 pi, and the test for a U-turn, made at ``2^k`` steps,
    misses the turn when ``2^k`` steps take about pi: trees then grow to their limit for
    nothing. A step that is a little too long is made `longer` still, as half as many then do, or
    else shorter.
    """
    turn = math.pi / 2 ** round(math.log2(math.pi / step))
    if longer and turn < step:
        return max(step, 1.25 * turn)
    return 0.93 * turn if 0.93 * turn < step < 1.15 * turn else step


def _settled(state: Any) -> Any:
    """End the adaptation of the step size."""
    step = off_turn(math.exp(state.adapt_state.ss_state[1]))
    adapt_state = state.adapt_state._replace(step_size=jnp.asarray(step, jnp.float32))
    return state._replace(i=jnp.asarray(FOREVER, state.i.dtype), adapt_state=adapt_state)


def sample_stats(found: list[np.ndarray], max_tree_depth: int) -> xr.Dataset:
    """What NUTS reports of each draw, named as ArviZ does."""
    _, n_steps, most, diverging, potential, energy, accept, step_size = found
    depth = np.ceil(np.log2(most + 1)).astype(np.int16)
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
    sizes = dict(zip(("chain", "draw"), energy.shape))
    return xr.Dataset(
        {name: (("chain", "draw"), values) for name, values in named.items()},
        coords={dim: np.arange(size) for dim, size in sizes.items()},
    )
