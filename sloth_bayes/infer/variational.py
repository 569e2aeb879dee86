"""Variational inference: starts that find the dominant mode, and a guide that fits it.

Adam climbs the ELBO of normal guides. The loop runs in NumPy around one compiled function,
the potential and its gradient at a few draws, which serves NUTS and the importance weights of
the guide as well: compiling a loop of its own took longer than running it. Two starts share a
call, as many draws as a guide that goes alone has to itself.

1. *Starts* (:func:`starts`) are mean-field in the parameters. The first only chooses the
   coordinates of skills and residuals (:func:`oriented`); the others begin at random points,
   and the ELBO of each says what the modes that were not chosen are worth.
2. The best goes on (:func:`refined`) in linear coordinates learned from its own draws and
   the gradients there (:func:`sloth_bayes.coordinates.follow_gradients`): a guide that is
   independent in them keeps the correlations that matter.
3. If asked to, Hamiltonian trajectories carry its draws on (:func:`moved`), into tails that
   no normal guide reaches.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError
from ..law.spec import Spec
from ..model.arrays import Arrays
from ..support.threads import gather, progress_bar
from .compiled import BATCH, Program
from .metric import Coordinates, follow_gradients, plain

RANK = 512  # directions that learned coordinates stretch
NOT_FINITE = (
    "the optimisation found no finite density: check the table for extreme sizes or tokens, or "
    "narrow the priors"
)
_START_RATE, _REFINE_RATE = 0.06, 0.03  # of Adam, at the first step; a hundredth at the last
_DRAWS = 200  # draws of a guide, at least, from which coordinates are learned
_LEAPS = 8  # leapfrog steps of a trajectory
_STEP, _ACCEPT = 0.15, 0.8  # the first leapfrog step, and the acceptance that later ones aim at
_TICK = 25  # steps between two looks at the progress bar and at Ctrl-C


class Guide(NamedTuple):
    """Normal guide, independent in linear coordinates: mean and log scale there."""

    at: Coordinates
    mean: np.ndarray  # (D,)
    log_scale: np.ndarray  # (D,)

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Parameters (n, D), and the log density (n,) of the guide there."""
        noise = rng.standard_normal((n, self.mean.size))
        y = self.mean + np.exp(self.log_scale) * noise
        x = self.at.rows_to_x(y.astype(np.float32))
        density = -0.5 * (noise**2 + np.log(2 * np.pi)).sum(1)
        return x, density - self.log_scale.sum(dtype=float) - self.at.log_det()


def optimise(
    p: Program,
    arrays: Arrays,
    guides: Sequence[Guide],
    rngs: Sequence[np.random.Generator],
    steps: int,
    rate: float,
    stop: threading.Event | None = None,
    advance: Callable[[int], None] = lambda steps: None,
) -> list[tuple[Guide, np.ndarray]]:
    """Adam on the ELBO: each guide after some steps, and the ELBO (steps,) of each.

    The guides, in the same coordinates and one, two or four of them, share the draws that a
    call of the potential takes.
    """
    at, size, each = guides[0].at, p.size, BATCH // len(guides)
    potential = p.ready("potential", np.zeros((BATCH, size), np.float32), 0, arrays)
    constant = at.log_det() + 0.5 * size * (1 + np.log(2 * np.pi))
    theta = np.stack([(g.mean, g.log_scale) for g in guides], 1).astype(np.float32)
    moment, square, gradient = np.zeros_like(theta), np.zeros_like(theta), np.empty_like(theta)
    elbo = np.full((steps, len(guides)), np.nan)
    for i in range(steps):
        if i % _TICK == 0:
            if stop is not None and stop.is_set():
                break
            advance(BATCH // 2 * min(_TICK, steps - i))
        mean, log_scale = theta
        scale = np.exp(log_scale)
        noise = np.stack([rng.standard_normal((each, size), dtype=np.float32) for rng in rngs])
        rows = (mean[:, None] + scale[:, None] * noise).reshape(BATCH, size)
        value, slope = potential(at.rows_to_x(rows), 0, arrays)
        # One wild draw must not undo the optimisation so far.
        slope = np.nan_to_num(np.asarray(slope), posinf=0.0, neginf=0.0)
        slope = at.slopes(slope).reshape(noise.shape)
        gradient[0] = slope.mean(1)
        gradient[1] = (slope * noise).mean(1) * scale - 1
        energy = np.asarray(value, float).reshape(len(guides), each).mean(1)
        elbo[i] = log_scale.sum(1, dtype=float) + constant - energy
        moment += 0.1 * (gradient - moment)
        square += 0.001 * (gradient**2 - square)
        now = rate * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * i / steps)))
        root = np.sqrt(square / (1 - 0.999 ** (i + 1))) + 1e-8
        theta -= now / (1 - 0.9 ** (i + 1)) * moment / root
    return [(Guide(at, *theta[:, k]), elbo[:, k]) for k in range(len(guides))]


def start(
    p: Program, arrays: Arrays, rngs: Sequence[np.random.Generator], steps: int, **how: Any
) -> list[tuple[Guide, np.ndarray]]:
    """Mean-field optimisations from random points: guide and ELBO of each step of each.

    Two take two draws a step each; a lone one takes four, in half as many steps.
    """
    steps = max(1, steps * len(rngs) // (BATCH // 2))
    at, wide = plain(p.size), np.full(p.size, -2.0)
    guides = [Guide(at, 0.1 * rng.standard_normal(p.size), wide) for rng in rngs]
    return optimise(p, arrays, guides, rngs, steps, _START_RATE, **how)


def refined(
    p: Program, arrays: Arrays, guide: Guide, rng: np.random.Generator, steps: int, rank: int,
    **how: Any,
) -> tuple[Guide, np.ndarray]:  # fmt: skip
    """Go on in coordinates that `guide` teaches: guide and ELBO of each step.

    A quarter of the steps do: the coordinates have done most of the work.
    """
    steps = max(2, steps // 4)
    at = learned(p, arrays, guide, rng, rank)
    mean = at.rows_to_y(guide.at.rows_to_x(guide.mean[None]))[0]
    guides = [Guide(at, mean, np.zeros(p.size))]
    [found] = optimise(p, arrays, guides, [rng], steps, _REFINE_RATE, **how)
    return found


def moved(
    p: Program, arrays: Arrays, guide: Guide, rng: np.random.Generator, x: np.ndarray, moves: int,
    stop: threading.Event | None = None, advance: Callable[[int], None] = lambda steps: None,
) -> tuple[np.ndarray, float]:  # fmt: skip
    """Carry draws `x` (n, D) of a guide on by Hamiltonian trajectories: the draws, acceptance.

    Each draw is the start of a chain of its own, `moves` Metropolis steps long, whose
    distribution comes closer to the posterior with each (short chains from a variational
    start: Hoffman, 2017, *Learning deep latent Gaussian models with Markov chain Monte
    Carlo*). They move in coordinates in which the guide is a standard normal, so that one
    leapfrog step serves all directions; it settles, for all chains together, in the first
    half of the trajectories.
    """
    scale, step, accepted = np.exp(guide.log_scale), _STEP, []

    def potential(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at = guide.at.rows_to_x((guide.mean + scale * z).astype(np.float32))
        value, slope = p.over("potential", at, arrays)
        return value.astype(float), guide.at.slopes(np.nan_to_num(slope)) * scale

    z = (guide.at.rows_to_y(x) - guide.mean) / scale
    value, slope = potential(z)
    for k in range(moves):
        if stop is not None and stop.is_set():
            break
        momentum = rng.standard_normal(z.shape)
        before = value + 0.5 * (momentum**2).sum(1)
        there, new, new_slope = z, value, slope
        length = step * rng.uniform(0.7, 1.3)  # no period is met again and again
        for _ in range(_LEAPS):
            momentum = momentum - 0.5 * length * new_slope
            there = there + length * momentum
            new, new_slope = potential(there)
            momentum = momentum - 0.5 * length * new_slope
        gain = before - new - 0.5 * (momentum**2).sum(1)
        chance = np.exp(np.minimum(np.where(np.isfinite(gain), gain, -np.inf), 0.0))
        taken = rng.uniform(size=len(z)) < chance
        z, slope = (np.where(taken[:, None], *pair) for pair in ((there, z), (new_slope, slope)))
        value = np.where(taken, new, value)
        if k < moves // 2:
            step *= float(np.exp(0.6 * (chance.mean() - _ACCEPT)))
        else:
            accepted.append(chance.mean())
        advance(1)
    x = guide.at.rows_to_x((guide.mean + scale * z).astype(np.float32))
    return x, float(np.mean(accepted)) if accepted else np.nan


def learned(
    p: Program, arrays: Arrays, guide: Guide, rng: np.random.Generator, rank: int
) -> Coordinates:
    """Coordinates from draws of a guide and the gradients there."""
    x, _ = guide.draw(rng, max(_DRAWS, 3 * rank))
    return follow_gradients(x, p.over("potential", x, arrays)[1], rank)


def starts(
    spec: Spec, p: Program, arrays: Arrays, rng: np.random.Generator, number: int, steps: int,
    progress: bool | None,
) -> tuple[Arrays, Guide, list[float]]:  # fmt: skip
    """Choose the coordinates, then the best of several starts: arrays, its guide, all ELBOs."""
    first, *each = rng.spawn(number + 1)
    few = max(1, steps // 2)  # coordinates need no more
    with progress_bar(few + number * steps, "starts", progress) as advance:

        def run(
            stop: threading.Event, rngs: list[np.random.Generator], steps: int = steps
        ) -> list[tuple[Guide, np.ndarray]]:
            return start(p, arrays, rngs, steps, stop=stop, advance=advance)

        [[(guide, _)]] = gather([functools.partial(run, rngs=[first], steps=few)])
        arrays = arrays._replace(**oriented(spec, p, guide, first, arrays))
        pairs = [each[k : k + BATCH // 2] for k in range(0, number, BATCH // 2)]
        several = gather([functools.partial(run, rngs=pair) for pair in pairs])
    found = [one for pair in several for one in pair]
    elbos = [settled(elbo) for _, elbo in found]
    if not np.isfinite(max(elbos)):
        raise DataError(NOT_FINITE)
    return arrays, found[int(np.argmax(elbos))][0], elbos


def settled(elbo: np.ndarray) -> float:
    """Mean ELBO of the last tenth of the steps; minus infinity where it is not finite."""
    value = float(np.mean(elbo[-max(1, len(elbo) // 10) :]))
    return value if np.isfinite(value) else -np.inf


def oriented(
    spec: Spec, p: Program, guide: Guide, rng: np.random.Generator, arrays: Arrays
) -> dict[str, Any]:
    """Fields of the arrays that set the coordinates, from a first approximation.

    Which coordinates are sampled changes no posterior (:mod:`sloth_bayes.model`), only how
    round it is: the anchor of the skills (:func:`anchor`), and how much a score of each
    benchmark tells of a residual, read off how much narrower than its prior the guide is.
    """
    values = p.over("outline", guide.draw(rng, _DRAWS)[0], arrays)
    if not np.isfinite(values["loading"]).all():
        raise DataError(NOT_FINITE)
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
