"""The Gaussian process of training curves, as functions of arrays.

A curve in logits, of a run that is ``n`` doublings larger than the run to forecast and will see
``m`` doublings more tokens, where ``s`` doublings of its tokens are still to come (``s <= 0``) and
its learning rate has cooled by ``c`` (from 0 at the peak to 1 at zero):

    f(n, m, s, c) = level(n, m) + shape(n, m; s, c) + own_run(s)

    level   ~ A^2 [1 + a_n n n' + a_m m m' + a_0 near + g_1 b b' + g_2 Matern32(|b - b'| / g_3)]
    shape   ~ A^2 [b_1 s s' + b_2 Matern32(|s - s'| / b_3) + b_4 c c'] x
                  [1 + d_n n n' + d_m m m' + d_0 near]
    own_run ~ A^2 [e_1 + e_2 min(|s|, |s'|)], of runs that are the same
    near    = exp(-|n - n'| / h_n - |m - m'| / h_m)
    score   ~ f + noise of one checkpoint

with ``b`` the log of bits per byte on the benchmark's right answers, where they are known: its own
curve is forecast first, in the same way, and takes the place of a score's.

So every sibling's *shape* in the log of tokens is a prior for the run's own, the nearest one's
most of all; shapes change with size and length along a line and from neighbour to neighbour; and
a run keeps its own level, which drifts. The amplitude ``A`` is a benchmark's own; the rest is
shared by all benchmarks and all recipes (:data:`SCORE`,
:data:`LOSS`, :data:`SCORE_GIVEN_LOSS`).

The functions take an array namespace, NumPy's or JAX's: the study that learns them
differentiates through them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

DF = 4.0  # of the forecast's Student-t: how far finals fall from where the process puts them
_EDGE = 0.01  # added to both ends of [0, 1], so that scores of 0 have a logit
_AT_LEAST = 10.0  # checkpoints' worth of faith in the plain spread as a benchmark's amplitude


class Shared(NamedTuple):
    """Parameters that all benchmarks share, as logs."""

    level_size: Any  # a_n, per squared doubling, as all that multiply n n' or m m'
    level_length: Any  # a_m
    level_near: Any  # a_0
    steady: Any  # b_1
    bend: Any  # b_2
    bend_doublings: Any  # b_3
    cooling: Any  # b_4
    shape_size: Any  # d_n
    shape_length: Any  # d_m
    shape_near: Any  # d_0
    own: Any  # e_1
    drift: Any  # e_2
    near_size: Any  # h_n, doublings
    near_length: Any  # h_m
    loss_line: Any  # g_1, per squared standard deviation
    loss_curve: Any  # g_2
    loss_reach: Any  # g_3, standard deviations


PRIOR = Shared(*np.log([0.3, 0.3, 0.1, 0.05, 0.1, 3, 0.3, 0.02, 0.02, 0.1, 0.02, 0.01, 2, 2,
                        0.3, 0.1, 1]))  # fmt: skip
"""Where learning starts, and the mean of its prior."""

PRIOR_SD = Shared(1, 1, 1, 1, 1, 0.5, 1, 1, 1, 1, 1, 1, 0.7, 0.7, 1, 1, 0.5)

# Learned by python -m studies.tracking --learn
SCORE = Shared(
    0.09, -1.05, -2.21, -1.41, -1.88, 1.31, -1.77, -4.06, -3.41,
    -0.96, -4.63, -4.46, 1.22, 0.93, -1.2, 0.66, 0,
)  # fmt: skip
LOSS = Shared(
    -0.97, -1.24, -2.6, -0.79, -1.15, 0.81, -1.97, -2.78, -3.32,
    -3.49, -4.97, -1.87, 1.72, 1.66, -1.2, -2.6, 0,
)  # fmt: skip
SCORE_GIVEN_LOSS = Shared(
    -0.86, -0.97, -2.91, -1.64, -1.28, 1.27, -1.24, -2.22, -3.86,
    -2.6, -5.24, -5.47, 1.7, 0.79, -1.48, -3.52, 0.6,
)  # fmt: skip


class Points(NamedTuple):
    """Checkpoints, ``(N,)`` each, relative to the end of the run to forecast."""

    size: Any  # doublings of parameters
    length: Any  # doublings of final tokens
    seen: Any  # doublings of tokens to the end, 0 or less
    cooled: Any  # 1 - learning rate / peak
    run: Any  # which run, as a number
    loss: Any  # log bits per byte, in standard deviations; 0 where it is not known


def to_logit(score: Any, xp: Any = np) -> Any:
    """Logits of scores; :func:`from_logit` turns them back."""
    return xp.log((score + _EDGE) / (1 - score + _EDGE))


def from_logit(logit: Any) -> np.ndarray:
    """Scores of logits, in [0, 1].

    Examples
    --------
    >>> from_logit(to_logit(np.array([0.0, 0.5]))).round(6).tolist()
    [0.0, 0.5]
    """
    return np.clip((1 + 2 * _EDGE) / (1 + np.exp(-logit)) - _EDGE, 0, 1)


def kernel(shared: Shared, a: Points, b: Points, xp: Any = np) -> Any:
    """Covariance of the curves at two sets of points, ``(N, M)``, for an amplitude of one."""
    p = Shared(*(xp.exp(x) for x in shared))
    size, length, seen, cooled = (x[:, None] * y for x, y in zip(a[:4], b[:4]))
    n, m, s = (xp.abs(x[:, None] - y) for x, y in zip(a[:3], b[:3]))
    near = xp.exp(-n / p.near_size - m / p.near_length)
    far = np.sqrt(3) * s / p.bend_doublings
    far_loss = np.sqrt(3) * xp.abs(a.loss[:, None] - b.loss) / p.loss_reach
    level = 1 + p.loss_line * a.loss[:, None] * b.loss
    level = level + p.loss_curve * (1 + far_loss) * xp.exp(-far_loss)
    level = level + p.level_size * size + p.level_length * length + p.level_near * near
    shape = p.steady * seen + p.bend * (1 + far) * xp.exp(-far) + p.cooling * cooled
    shape = shape * (1 + p.shape_size * size + p.shape_length * length + p.shape_near * near)
    common = (xp.abs(a.seen)[:, None] + xp.abs(b.seen) - s) / 2
    return level + shape + (a.run[:, None] == b.run) * (p.own + p.drift * common)


def forecast(
    shared: Shared, points: Points, y: Any, weight: Any, noise: Any, at: Points, slack: Any,
    xp: Any = np,
) -> tuple[Any, Any]:  # fmt: skip
    """Curves at `at`, given checkpoints of a benchmark.

    Parameters
    ----------
    y
        Logits ``(N,)``.
    weight
        How many checkpoints each is the mean of, ``(N,)``; 0 leaves one out.
    noise
        Standard deviation of one checkpoint, in logits.
    slack
        Standard deviation of ``at.loss``, which is a forecast itself, ``(M,)``.

    Returns
    -------
    mean, sd : array
        In logits, ``(M,)``, of the curve itself: without noise.
    """
    count, ends = (weight > 0).sum(), at.run.size
    at = Points(*(xp.concatenate([x, x, x]) for x in at))
    sides = xp.concatenate([0 * slack, slack, -slack])
    at = at._replace(loss=at.loss + sides)
    mean = (weight * y).sum() / weight.sum()
    rest = xp.where(weight > 0, y - mean, 0.0)
    error = xp.diag(noise**2 / xp.maximum(weight, 1e-9))
    pairs = ((points, points), (points, at), (at, at))
    inner, cross, end = (kernel(shared, *pair, xp) for pair in pairs)
    spread = (rest**2).sum() / count
    scale = xp.maximum(spread, 4 * noise**2)
    for _ in range(3):  # towards the most likely amplitude
        z = xp.linalg.solve(xp.linalg.cholesky(scale * inner + error), rest)
        scale = scale * ((z**2).sum() + _AT_LEAST) / (count + _AT_LEAST)
    root = xp.linalg.cholesky(scale * inner + error)
    z = xp.linalg.solve(root, xp.concatenate([rest[:, None], scale * cross], 1))
    variance = scale * xp.diag(end) - (z[:, 1:] ** 2).sum(0)
    found = mean + z[:, 1:].T @ z[:, 0]
    slope = (found[ends : 2 * ends] - found[2 * ends :]) / 2
    return found[:ends], xp.sqrt(xp.maximum(variance[:ends], 1e-12) + slope**2)


def noise_of(runs: list[tuple[np.ndarray, np.ndarray]], guess: float) -> float:
    """Standard deviation of one checkpoint around its curve.

    Parameters
    ----------
    runs
        Log tokens and values of each run's checkpoints, in order and past the first part of
        the schedule: each checkpoint is compared with the line between its neighbours.
    guess
        What it would be without them, with the weight of ten.
    """
    total, count = 10 * guess**2, 10
    for x, y in runs:
        w = (x[2:] - x[1:-1]) / (x[2:] - x[:-2])
        misfit = y[1:-1] - w * y[:-2] - (1 - w) * y[2:]
        total += float((misfit**2 / (1 + w**2 + (1 - w) ** 2)).sum())
        count += misfit.size
    return float(np.sqrt(total / count))
