"""NUTS of many short chains, as lanes of one program.

A table's arrays are small: most of what a gradient costs is the call of each kernel, and eight
chains that step together pay for it once. They share a step size and a metric, so that their
trees end at about the same time, and every iteration of warm-up tells eight times as much of
both. For many fits side by side, each of which needs few draws (the folds of an evaluation); a
single fit has its cores to itself, and runs a chain on each (:mod:`sloth_bayes.infer.nuts`).
"""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from ..model.arrays import Arrays
from ..support import interrupt
from .compiled import Functions
from .metric import follow_gradients
from .nuts import off_turn, with_anchor
from .variational import Guide, Rng, learned

RANK = 64  # directions that the metric stretches; blocks gain nothing on tables of this size
_ROUNDS = (3, 5, 7, 4)  # shares of the rounds of warm-up; the last settles the step
_REANCHOR = 1  # after this round (of those numbered from 0) the anchor is chosen again
_SHORT = 5  # depth of trees while coordinates are about to change
_STEP = 0.1  # the first step size


class StepSize:
    """Dual averaging of the log of a step size (Hoffman and Gelman, 2014, section 3.2)."""

    def __init__(self, first: float, accept: float) -> None:
        self._aim, self._centre, self._lag, self._heard = accept, math.log(first), 0.0, 0
        self._log = self._mean = self._centre

    @property
    def now(self) -> float:
        """The step size to try next."""
        return math.exp(self._log)

    @property
    def settled(self) -> float:
        """The average of those that were tried, the later ones counting more."""
        return math.exp(self._mean)

    def hear(self, accepted: float) -> None:
        """Take the mean acceptance of an iteration's trees into account."""
        self._heard += 1
        self._lag += (self._aim - accepted - self._lag) / (self._heard + 10)
        self._log = self._centre - math.sqrt(self._heard) / 0.05 * self._lag
        self._mean += self._heard**-0.75 * (self._log - self._mean)


def sample(
    f: Functions,
    guide: Guide,
    arrays: Arrays,
    rng: Rng,
    chains: int,
    warmup: int,
    draws: int,
    accept: float,
    deepest: int,
) -> tuple[Arrays, np.ndarray, float]:
    """Rounds of warm-up, then sampling: arrays, draws (chains, draws, D), share that diverged."""
    key = jax.random.PRNGKey(rng.integers(2**31))
    metric = learned(f, arrays, guide, rng, RANK)
    x, _ = guide.draw(rng, chains)
    step, seen, diverged = StepSize(_STEP, accept), 0, 0

    def run(state: Any, length: int, most: int, adapt: bool) -> tuple[Any, np.ndarray]:
        """The last state, and the coordinates (length, chains, D) that were visited."""
        nonlocal seen, diverged
        rest = np.int32(most), *jax.device_put((metric, arrays))
        size = np.float32(off_turn(step.settled, longer=False))
        iterate = f.ready("nuts_lanes", key, *state, size, *rest)
        rows, diverged = [], 0
        for _ in range(length):
            interrupt.check()
            size = np.float32(step.now) if adapt else size
            state, told = iterate(jax.random.fold_in(key, seen), *state, size, *rest)
            accepted, diverging = jax.device_get(told)
            rows.append(np.asarray(state[0]))
            seen += 1
            diverged += int(diverging.sum())
            if adapt:
                step.hear(float(np.nan_to_num(accepted).mean()))
        return state, np.stack(rows)

    *rounds, settle = (max(1, round(warmup * share / sum(_ROUNDS))) for share in _ROUNDS)
    for number, length in enumerate([*rounds, settle]):
        value, slope = f.over("potential", x, arrays)
        state = metric.to_y(x), value, metric.slopes(slope)
        step = StepSize(step.settled, accept)
        if number == len(rounds):
            state, _ = run(state, settle, deepest, adapt=True)
            break
        _, rows = run(state, length, min(_SHORT, deepest), adapt=True)
        late, x = metric.to_x(rows[length // 3 :]).reshape(-1, f.size), metric.to_x(rows[-1])
        if number == _REANCHOR and f.spec.loadings == "free":
            arrays, late, x = with_anchor(f, arrays, late, x)
        slopes = f.over("potential", late, arrays)[1]
        metric = follow_gradients(late, slopes, min(RANK, f.size))
    _, rows = run(state, draws, deepest, adapt=False)
    return arrays, metric.to_x(rows).swapaxes(0, 1), diverged / (chains * draws)
