"""Variational inference: starts that find the dominant mode, and a guide that fits it.

Adam climbs the ELBO of normal guides. The loop runs in Python around one compiled function,
the potential and its gradient at a few draws, which serves NUTS and the importance weights of
the guide as well: compiling a loop of its own took longer than running it. Two starts share a
call, as many draws as a guide that goes alone has to itself.

1. *Starts* (:func:`starts`) are mean-field in the parameters. The first only chooses the
   coordinates of skills and residuals (:func:`oriented`); the others begin at random points,
   and the ELBO of each says what the modes that were not chosen are worth.
2. The best goes on (:func:`refined`) in linear coordinates learned from its own draws and
   the gradients there (:func:`sloth_bayes.infer.metric.follow_gradients`): a guide that is
   independent in them keeps the correlations that matter.
3. If asked to, Hamiltonian trajectories carry its draws on (:func:`moved`), into tails that
   no normal guide reaches.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from ..errors import DataError
from ..model.arrays import Arrays
from ..support.threads import gather, progress_bar
from .compiled import BATCH, Functions
from .metric import Metric, follow_gradients

RANK = 512  # directions that learned coordinates stretch
Rng = np.random.Generator
GoOn = Callable[[int], bool]  # told of steps done, it says whether to do more
NOT_FINITE = (
    "the optimisation found no finite density: check the table for extreme sizes or tokens, or "
    "narrow the priors"
)
_START_RATE, _REFINE_RATE = 0.06, 0.03  # of Adam, at the first step; a hundredth at the last
_DRAWS = 200  # draws of a guide, at least, from which coordinates are learned
_LEAPS = 8  # leapfrog steps of a trajectory
_STEP, _ACCEPT = 0.15, 0.8  # the first leapfrog step, and the acceptance that later ones aim at
_ADAM = optax.scale_by_adam()
_TICK = 25  # steps between two looks at the progress bar and at Ctrl-C


class Guide(NamedTuple):
    """Normal guide, independent in the coordinates of a metric: mean and log scale there."""

    metric: Metric
    mean: np.ndarray  # (D,)
    log_scale: np.ndarray  # (D,)

    def draw(self, rng: Rng, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Parameters (n, D), and the log density (n,) of the guide there."""
        noise = rng.standard_normal((n, self.mean.size))
        density = -0.5 * (noise**2 + np.log(2 * np.pi)).sum(1)
        return self.to_x(noise), density - self.log_scale.sum(dtype=float) - self.metric.log_det()

    def to_x(self, z: np.ndarray) -> np.ndarray:
        """Parameters (n, D) where the guide is at standard normal `z`."""
        y = self.mean + np.exp(self.log_scale) * z
        return self.metric.to_x(y.astype(np.float32))


@jax.jit
def _stepped(theta: Any, gradient: Any, state: Any, rate: Any) -> tuple[Any, Any]:
    """A step of Adam: what it optimises, and its state."""
    update, state = _ADAM.update(gradient, state)
    return theta - rate * update, state


def always(steps: int) -> bool:
    """Nobody watches: go on."""
    return True


def optimise(
    f: Functions,
    arrays: Arrays,
    guides: Sequence[Guide],
    rngs: Sequence[Rng],
    steps: int,
    rate: float,
    go_on: GoOn = always,
) -> list[tuple[Guide, np.ndarray]]:
    """Adam on the ELBO: each guide after some steps, and the ELBO (steps,) of each.

    The guides, of the same metric and one, two or four of them, share the draws that a call
    of the potential takes.
    """
    metric, size, each = guides[0].metric, f.size, BATCH // len(guides)
    potential = f.ready("potential", np.zeros((BATCH, size), np.float32), 0, arrays)
    constant = metric.log_det() + 0.5 * size * (1 + np.log(2 * np.pi))
    theta = np.stack([(g.mean, g.log_scale) for g in guides], 1).astype(np.float32)
    schedule = optax.cosine_decay_schedule(rate, steps, alpha=0.01)
    state, rates = _ADAM.init(theta), np.asarray(schedule(np.arange(steps)), np.float32)
    elbo = np.full((steps, len(guides)), np.nan)
    for i in range(steps):
        if i % _TICK == 0 and not go_on(BATCH // 2 * min(_TICK, steps - i)):
            break
        mean, log_scale = np.asarray(theta)
        scale = np.exp(log_scale)
        noise = np.stack([rng.standard_normal((each, size), dtype=np.float32) for rng in rngs])
        rows = (mean[:, None] + scale[:, None] * noise).reshape(BATCH, size)
        value, slope = potential(metric.to_x(rows), 0, arrays)
        # One wild draw must not undo the optimisation so far.
        slope = np.nan_to_num(np.asarray(slope), posinf=0.0, neginf=0.0)
        slope = metric.slopes(slope).reshape(noise.shape)
        gradient = np.stack([slope.mean(1), (slope * noise).mean(1) * scale - 1])
        energy = np.asarray(value, float).reshape(len(guides), each).mean(1)
        elbo[i] = log_scale.sum(1, dtype=float) + constant - energy
        theta, state = _stepped(theta, gradient, state, rates[i])
    theta = np.asarray(theta)
    return [(Guide(metric, *theta[:, k]), elbo[:, k]) for k in range(len(guides))]


def start(
    f: Functions, arrays: Arrays, rngs: Sequence[Rng], steps: int, go_on: GoOn = always
) -> list[tuple[Guide, np.ndarray]]:
    """Mean-field optimisations from random points: guide and ELBO of each step of each.

    Two take two draws a step each; a lone one takes four, in half as many steps.
    """
    steps = max(1, steps * len(rngs) // (BATCH // 2))
    metric, wide = Metric.identity(f.size), np.full(f.size, -2.0)
    guides = [Guide(metric, 0.1 * rng.standard_normal(f.size), wide) for rng in rngs]
    return optimise(f, arrays, guides, rngs, steps, _START_RATE, go_on)


def refined(
    f: Functions,
    arrays: Arrays,
    guide: Guide,
    rng: Rng,
    steps: int,
    rank: int,
    go_on: GoOn = always,
) -> tuple[Guide, np.ndarray]:
    """Go on in the metric that `guide` teaches: guide and ELBO of each step.

    A quarter of the steps do: the metric has done most of the work.
    """
    steps = max(2, steps // 4)
    metric = learned(f, arrays, guide, rng, rank)
    guides = [Guide(metric, metric.to_y(guide.metric.to_x(guide.mean)), np.zeros(f.size))]
    return optimise(f, arrays, guides, [rng], steps, _REFINE_RATE, go_on)[0]


def moved(
    f: Functions,
    arrays: Arrays,
    guide: Guide,
    rng: Rng,
    x: np.ndarray,
    moves: int,
    go_on: GoOn = always,
) -> tuple[np.ndarray, float]:
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
        value, slope = f.over("potential", guide.to_x(z), arrays)
        return value.astype(float), guide.metric.slopes(np.nan_to_num(slope)) * scale

    z = (guide.metric.to_y(x) - guide.mean) / scale
    value, slope = potential(z)
    for k in range(moves):
        momentum = rng.standard_normal(z.shape)
        before = value + 0.5 * (momentum**2).sum(1)
        new, new_value, new_slope = z, value, slope
        length = step * rng.uniform(0.7, 1.3)  # no period is met again and again
        for _ in range(_LEAPS):
            momentum = momentum - 0.5 * length * new_slope
            new = new + length * momentum
            new_value, new_slope = potential(new)
            momentum = momentum - 0.5 * length * new_slope
        gain = before - new_value - 0.5 * (momentum**2).sum(1)
        chance = np.exp(np.minimum(np.where(np.isfinite(gain), gain, -np.inf), 0.0))
        taken = rng.uniform(size=len(z)) < chance
        z, slope = (np.where(taken[:, None], *pair) for pair in ((new, z), (new_slope, slope)))
        value = np.where(taken, new_value, value)
        if k < moves // 2:
            step *= float(np.exp(0.6 * (chance.mean() - _ACCEPT)))
        else:
            accepted.append(chance.mean())
        if not go_on(1):
            break
    return guide.to_x(z), float(np.mean(accepted)) if accepted else np.nan


def to_gain(guide: Guide, x: np.ndarray, slopes: np.ndarray) -> float:
    """Nats of ELBO that a Newton step of the guide's means and scales would still gain.

    At the optimum the potential has, over the guide's draws, no mean slope, and its slope along
    a standardised draw is 1; where it has, and the posterior is as wide as the guide, a step
    gains half the square of the one and a quarter of that of the other. No schedule of the
    learning rate makes that small: a curve of the ELBO that is flat can be one that was stopped.

    Parameters
    ----------
    x, slopes
        Draws ``(n, D)`` of the guide, and gradients of the potential there.
    """
    scale = np.exp(guide.log_scale.astype(float))
    z = (guide.metric.to_y(x) - guide.mean) / scale
    slope = guide.metric.slopes(np.nan_to_num(slopes)) * scale

    def squared(rows: np.ndarray) -> float:
        """Of the mean, less what chance adds."""
        return float((rows.mean(0) ** 2).sum() - rows.var(0, ddof=1).sum() / len(rows))

    along = (slope - z) * z  # of zero mean at the optimum, as z has; and of less variance
    return 0.5 * squared(slope - z) + 0.25 * squared(along)


def learned(
    f: Functions, arrays: Arrays, guide: Guide, rng: Rng, rank: int, width: int = 1
) -> Metric:
    """A metric from draws of a guide and the gradients there."""
    rank = min(rank, f.size)
    x, _ = guide.draw(rng, max(_DRAWS, 3 * rank))
    return follow_gradients(x, f.over("potential", x, arrays)[1], rank, width)


def watched(advance: Callable[[int], None], tasks: Sequence[Callable[..., Any]]) -> list[Any]:
    """Results of tasks side by side that ask ``go_on(steps)``: a bar moves, Ctrl-C stops them."""

    def run(task: Callable[..., Any], stop: threading.Event) -> Any:
        def go_on(steps: int) -> bool:
            advance(steps)
            return not stop.is_set()

        return task(go_on=go_on)

    return gather([functools.partial(run, task) for task in tasks])


def starts(
    f: Functions, arrays: Arrays, rng: Rng, number: int, steps: int, progress: bool | None
) -> tuple[Arrays, Guide, list[float]]:
    """Choose the coordinates, then the best of several starts: arrays, its guide, all ELBOs."""
    first, *each = rng.spawn(number + 1)
    few = max(1, steps // 2)  # coordinates need no more
    with progress_bar(few + number * steps, "starts", progress) as advance:
        [[(guide, _)]] = watched(advance, [functools.partial(start, f, arrays, [first], few)])
        arrays = arrays._replace(**oriented(f, guide, first, arrays))
        pairs = [each[k : k + BATCH // 2] for k in range(0, number, BATCH // 2)]
        several = watched(advance, [functools.partial(start, f, arrays, p, steps) for p in pairs])
    found = [one for pair in several for one in pair]
    elbos = [settled(elbo) for _, elbo in found]
    if not np.isfinite(max(elbos)):
        raise DataError(NOT_FINITE)
    return arrays, found[int(np.argmax(elbos))][0], elbos


def settled(elbo: np.ndarray) -> float:
    """Mean ELBO of the last tenth of the steps; minus infinity where it is not finite."""
    value = float(np.mean(elbo[-max(1, len(elbo) // 10) :]))
    return value if np.isfinite(value) else -np.inf


def oriented(f: Functions, guide: Guide, rng: Rng, arrays: Arrays) -> dict[str, Any]:
    """Fields of the arrays that set the coordinates, from a first approximation.

    Which coordinates are sampled changes no posterior (:mod:`sloth_bayes.model.scores`), only how
    round it is: the anchor of the skills (:func:`anchor`), and how much a score of each
    benchmark tells of a residual, read off how much narrower than its prior the guide is.
    """
    values = f.over("outline", guide.draw(rng, _DRAWS)[0], arrays)
    if not np.isfinite(values["loading"]).all():
        raise DataError(NOT_FINITE)
    found: dict[str, Any] = {}
    if f.spec.loadings == "free":
        found["anchor"] = anchor(values["loading"].mean(0))
    if f.spec.residual != "none":
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
