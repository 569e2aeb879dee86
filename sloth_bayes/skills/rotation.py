"""Rotation of loadings: many matrices at once, in double precision, in NumPy.

Loadings ``A`` (J benchmarks, d uncorrelated skills of unit variance) describe the same scores
as ``L = A inv(T)'`` with skills of correlation ``T'T``, for any invertible ``T`` with columns of
length one. A rotation criterion picks the ``T`` whose ``L`` is the simplest to read. It is
minimised over admissible ``T`` by projected gradients (Jennrich 2001 for orthogonal, 2002 for
oblique rotations), here over a batch: every step is one array operation for all matrices, and
those that have converged leave it. Directions are BFGS's in the coordinates of ``T``: where skills
correlate, plain gradients take ten times as many steps.

Nothing here knows names or posteriors; :mod:`sloth_bayes.skills` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy

from ..errors import DataError, check_known

Criterion = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

METHODS = ("geomin", "quartimin", "oblimin", "promax", "varimax", "target", "none")
OPTIONS: dict[str, dict[str, float]] = {
    "geomin": {"epsilon": 0.01},
    "oblimin": {"gamma": 0.0},
    "promax": {"power": 4.0},
}
STARTS = 64  # random starts of the reference rotation
FAIR = 0.85  # congruence from which two columns count as similar (Lorenzo-Seva, ten Berge 2006)
_TOLERANCE = 1e-6  # length of the projected gradient, relative to the criterion: a matrix is done
_ITERATIONS, _SHORTENINGS = 500, 30


class Rotated(NamedTuple):
    """S rotated matrices."""

    loading: np.ndarray  # (S, J, d) pattern L = A inv(T)'
    transform: np.ndarray  # (S, d, d) T: rotated skills are uncorrelated ones times T
    value: np.ndarray  # (S,) criterion (0 where there is none)
    converged: np.ndarray  # (S,) bool

    @property
    def correlation(self) -> np.ndarray:
        """Correlations of the rotated skills, ``(S, d, d)``."""
        return transposed(self.transform) @ self.transform


class Alignment(NamedTuple):
    """How S matrices were matched to a reference, column by column."""

    order: np.ndarray  # (S, d) column of the matrix that is the reference's k-th
    sign: np.ndarray  # (S, d) 1 or -1: what to multiply that column by
    congruence: np.ndarray  # (S, d) with the reference, after signs: 1 is the same direction
    margin: np.ndarray  # (S,) mean congruence of the best assignment less the second best's


def transposed(x: np.ndarray) -> np.ndarray:
    """Of S matrices, each."""
    return np.swapaxes(x, -1, -2)


# -- criteria: value (S,) and gradient (S, J, d) at L ---------------------------------------


def geomin(loading: np.ndarray, epsilon: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    """Sum over rows of the geometric mean of squared loadings plus `epsilon` (Yates 1987)."""
    squared = loading**2 + epsilon
    mean = np.exp(np.log(squared).mean(-1))
    return mean.sum(-1), (2 / loading.shape[-1]) * mean[..., None] * loading / squared


def oblimin(loading: np.ndarray, gamma: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Covariance of squared loadings between columns; quartimin with `gamma` 0."""
    squared = loading**2
    others = squared.sum(-1, keepdims=True) - squared
    if gamma:
        others = others - gamma * others.mean(-2, keepdims=True)
    return (squared * others).sum((-1, -2)) / 4, loading * others


def varimax(loading: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Less the variance of squared loadings within columns (Kaiser 1958), rows as they are."""
    squared = loading**2
    centred = squared - squared.mean(-2, keepdims=True)
    return -(centred**2).sum((-1, -2)) / 4, -loading * centred


def target(loading: np.ndarray, pattern: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared distance to a pattern (J, d) where it is not NaN (Browne 1972)."""
    off = np.where(np.isnan(pattern), 0.0, loading - np.nan_to_num(pattern))
    return (off**2).sum((-1, -2)) / 2, off


# -- projected gradients --------------------------------------------------------------------


def minimise(
    loading: np.ndarray, criterion: Criterion, oblique: bool, start: np.ndarray
) -> Rotated:
    """Rotate every matrix from its start to a local minimum of the criterion.

    Parameters
    ----------
    loading
        ``(S, J, d)``, of uncorrelated skills.
    criterion
        Value ``(S,)`` and gradient ``(S, J, d)`` at rotated loadings.
    oblique
        Columns of T have length one; else T is orthogonal.
    start
        ``(S, d, d)`` or ``(d, d)``.

    Returns
    -------
    Rotated
    """
    full = np.asarray(loading, np.float64)
    n, _, d = full.shape
    t = np.array(np.broadcast_to(start, (n, d, d)), np.float64)
    value, converged = np.zeros(n), np.zeros(n, bool)
    # Matrices still moving: where they belong, their loadings, state and inverse Hessian.
    here, a, now = np.arange(n), full, _State.at(full, t, criterion, oblique)
    inverse = np.tile(np.eye(d * d), (n, 1, 1))
    inverse *= (0.1 / np.maximum(_norm(now.gradient), 1e-12))[:, None, None]
    moved = np.ones(n, bool)
    least = 1e-6 * (full**2).sum((-1, -2)).mean()  # where a criterion vanishes at its minimum
    for _ in range(_ITERATIONS):
        scale = _TOLERANCE * np.maximum(np.abs(now.value), least)
        steep = _norm(now.gradient) / scale
        stop = (steep <= 1) | ~moved  # nothing improves: at the limit of double precision
        if stop.any():
            t[here[stop]], value[here[stop]] = now.transform[stop], now.value[stop]
            converged[here[stop]] = steep[stop] <= 1e3
            here, a, now, inverse = here[~stop], a[~stop], now.take(~stop), inverse[~stop]
        if not here.size:
            break
        new, moved = _line_search(a, now, inverse, criterion, oblique)
        inverse = _update(inverse, now, new)
        now = new
    t[here], value[here] = now.transform, now.value
    return Rotated(_pattern(full, t, oblique), t, value, converged)


class _State(NamedTuple):
    transform: np.ndarray
    value: np.ndarray
    gradient: np.ndarray  # of the criterion in T, projected on the tangent space

    @classmethod
    def at(cls, a: np.ndarray, t: np.ndarray, criterion: Criterion, oblique: bool) -> _State:
        if oblique:
            inverse = np.linalg.inv(t)
            pattern = a @ transposed(inverse)
            value, slope = criterion(pattern)
            gradient = -transposed(transposed(pattern) @ slope @ inverse)
            gradient = gradient - t * (t * gradient).sum(-2, keepdims=True)
        else:
            value, slope = criterion(a @ t)
            gradient = transposed(a) @ slope
            inner = transposed(t) @ gradient
            gradient = gradient - t @ (inner + transposed(inner)) / 2
        return cls(t, value, gradient)

    def take(self, which: np.ndarray) -> _State:
        return _State(*(x[which] for x in self))


def _line_search(
    a: np.ndarray, now: _State, inverse: np.ndarray, criterion: Criterion, oblique: bool
) -> tuple[_State, np.ndarray]:
    """Shorten the step of each matrix until its criterion falls enough; who has moved."""
    flat = now.gradient.reshape(len(a), -1)
    direction = -(inverse @ flat[..., None])[..., 0]
    slope = (direction * flat).sum(-1)
    direction = direction.reshape(now.gradient.shape)
    new = _State(*(x.copy() for x in now))
    step, left = np.ones(len(a)), np.arange(len(a))
    for _ in range(_SHORTENINGS):
        towards = now.transform[left] + step[left, None, None] * direction[left]
        trial = _State.at(a[left], _retract(towards, oblique), criterion, oblique)
        enough = trial.value <= now.value[left] + 1e-4 * step[left] * slope[left]
        for whole, part in zip(new, trial):
            whole[left[enough]] = part[enough]
        left = left[~enough]
        if not left.size:
            break
        step[left] *= 0.3
    return new, ~np.isin(np.arange(len(a)), left)


def _update(inverse: np.ndarray, old: _State, new: _State) -> np.ndarray:
    """The BFGS update of inverse Hessians (S, d*d, d*d), skipped where curvature is not seen."""
    s = (new.transform - old.transform).reshape(len(inverse), -1)
    y = (new.gradient - old.gradient).reshape(len(inverse), -1)
    curvature = (s * y).sum(-1)
    seen = curvature > 1e-10 * np.sqrt((s**2).sum(-1) * (y**2).sum(-1)) + 1e-300
    rho = (seen / np.where(seen, curvature, 1.0))[:, None, None]
    hy = (inverse @ y[..., None])[..., 0]
    stretch = (1 + rho[:, :, 0] * (y * hy).sum(-1, keepdims=True))[..., None] * rho
    cross, outer = s[:, :, None] * hy[:, None, :], s[:, :, None] * s[:, None, :]
    return np.asarray(inverse + stretch * outer - rho * (cross + transposed(cross)))


def _retract(t: np.ndarray, oblique: bool) -> np.ndarray:
    """The admissible matrix nearest to `t`."""
    if oblique:
        return np.asarray(t / np.sqrt((t**2).sum(-2, keepdims=True)))
    u, _, v = np.linalg.svd(t)
    return np.asarray(u @ v)


def _pattern(a: np.ndarray, t: np.ndarray, oblique: bool) -> np.ndarray:
    return a @ transposed(np.linalg.inv(t)) if oblique else a @ t


def _norm(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt((x**2).sum((-1, -2))))


# -- rotations by name ----------------------------------------------------------------------


def check(method: str, shape: tuple[int, int], pattern: Any = None, **options: float) -> None:
    """Raise a clear error if a rotation of ``(J, d)`` loadings cannot be what is asked for.

    Raises
    ------
    UnknownNameError
        If there is no such rotation, or it has no such option.
    DataError
        If a target is missing, superfluous or of the wrong shape, or an option is out of range.
    """
    check_known("rotation", [method], METHODS)
    known = OPTIONS.get(method, {})
    remedy = f"the rotation {method!r} takes {', '.join(known) or 'no option'}."
    for name, number in options.items():
        check_known("option of a rotation", [name], known, remedy)
        if not np.isfinite(number) or (name != "gamma" and number <= 0):
            raise DataError(f"{name} of {method} must be a positive number, not {number!r}")
    if (method == "target") != (pattern is not None):
        raise DataError(
            "a target rotation needs target=, a benchmark x skill pattern with NaN where anything "
            "goes"
            if method == "target"
            else f"target= is for rotation='target', not {method!r}"
        )
    if pattern is None:
        return
    if np.shape(pattern) != shape:
        raise DataError(
            f"the target has shape {np.shape(pattern)}, the loadings {shape} (benchmarks, skills)"
        )
    if np.isnan(pattern).all() or np.isinf(pattern).any():
        raise DataError("the target must have at least one number, and no infinite one")


def rotate(
    loading: np.ndarray,
    method: str = "geomin",
    start: np.ndarray | None = None,
    pattern: np.ndarray | None = None,
    **options: float,
) -> Rotated:
    """Rotate S matrices of loadings, each from its start.

    Parameters
    ----------
    loading
        ``(S, J, d)`` loadings on uncorrelated skills of unit variance.
    method
        ``"geomin"`` (oblique; `epsilon` 0.01), ``"quartimin"``, ``"oblimin"`` (oblique; `gamma`
        0, which is quartimin), ``"promax"`` (oblique; varimax, then each matrix towards the
        `power`, 4, of its own loadings), ``"varimax"`` (orthogonal, without Kaiser's
        normalisation), ``"target"`` (oblique, towards `pattern`) or ``"none"``.
    start
        ``(S, d, d)`` or ``(d, d)``; the identity by default.
    pattern
        ``(J, d)``, NaN where the target leaves a loading free.
    **options
        ``epsilon``, ``gamma`` or ``power``.

    Returns
    -------
    Rotated
        Local minima: other starts may find others (:func:`reference` tries many).

    Raises
    ------
    UnknownNameError, DataError
        See :func:`check`.

    Examples
    --------
    >>> import numpy as np
    >>> from sloth_bayes.skills.rotation import rotate
    >>> simple = np.array([[2.0, 0], [1, 0], [0, 1], [0, 3]])
    >>> turned = simple @ np.array([[0.8, -0.6], [0.6, 0.8]])
    >>> np.abs(rotate(turned[None], "quartimin").loading[0]).round(3) + 0.0
    array([[2., 0.],
           [1., 0.],
           [0., 1.],
           [0., 3.]])
    """
    a = np.asarray(loading, np.float64)
    check(method, a.shape[1:], pattern, **options)
    identity = np.broadcast_to(np.eye(a.shape[2]), (len(a), a.shape[2], a.shape[2]))
    start = identity if start is None else np.broadcast_to(start, identity.shape)
    if method == "none" or a.shape[2] == 1:
        t = np.array(start if method == "none" else identity)
        return Rotated(_pattern(a, t, True), t, np.zeros(len(a)), np.ones(len(a), bool))
    if method == "promax":
        # varimax is orthogonal: of an oblique start only the nearest rotation is meant
        simple = minimise(a, varimax, False, _retract(start, False))
        return _promax(simple, options.get("power", 4.0))
    options = OPTIONS.get(method, {}) | options
    criteria: dict[str, Criterion] = {
        "geomin": lambda x: geomin(x, **options),
        "quartimin": oblimin,
        "oblimin": lambda x: oblimin(x, **options),
        "varimax": varimax,
        "target": lambda x: target(x, np.asarray(pattern, float)),
    }
    return minimise(a, criteria[method], method != "varimax", start)


def _promax(simple: Rotated, power: float) -> Rotated:
    """Least squares of varimax loadings on their own powers (Hendrickson and White 1964)."""
    v = simple.loading
    vt = transposed(v)
    u = np.linalg.solve(vt @ v, vt @ (v * np.abs(v) ** (power - 1)))
    scale = np.diagonal(np.linalg.inv(transposed(u) @ u), axis1=-2, axis2=-1)
    u = u * np.sqrt(scale)[:, None, :]  # so that skills have unit variance
    t = simple.transform @ transposed(np.linalg.inv(u))
    return Rotated(v @ u, t, simple.value, simple.converged)


class Reference(NamedTuple):
    """The rotation that every draw is compared with."""

    unrotated: np.ndarray  # (J, d) loadings on uncorrelated skills
    loading: np.ndarray  # (J, d) rotated
    transform: np.ndarray  # (d, d)
    optima: np.ndarray  # (n, 2) values of the local minima found, and starts that ended there


def reference(loading: np.ndarray, method: str, seed: int = 0, **arguments: Any) -> Reference:
    """The best of many starts of the rotation of the average solution, ordered and signed.

    The average is of ``A A'`` over draws, which no rotation of the skills changes; its leading d
    eigenvectors, scaled, are loadings on uncorrelated skills. Skills are ordered by the sum of
    squared loadings, largest first, and signed so that their loadings sum to more than 0.

    Parameters
    ----------
    loading
        ``(S, J, d)`` loadings on uncorrelated skills.
    method, **arguments
        As in :func:`rotate`.
    seed
        Of the random starts.
    """
    a = np.asarray(loading, np.float64)
    d = a.shape[2]
    if method == "none":
        average = a.mean(0)
    else:
        gram = np.einsum("sjk,slk->jl", a, a, optimize=True) / len(a)
        values, vectors = np.linalg.eigh(gram)
        average = vectors[:, ::-1][:, :d] * np.sqrt(np.maximum(values[::-1][:d], 0.0))
    many = 1 if method == "none" or d == 1 else STARTS
    rng = np.random.default_rng(seed)
    starts = np.linalg.qr(rng.standard_normal((many, d, d)))[0]
    starts[0] = np.eye(d)
    tried = rotate(np.broadcast_to(average, (many, *average.shape)), method, starts, **arguments)
    best = int(np.argmin(np.where(tried.converged, tried.value, np.inf)))
    pattern, t = tried.loading[best], tried.transform[best]
    if method == "target":  # its columns have their places and signs already
        order, sign = np.arange(d), np.ones(d)
    else:
        order = np.argsort(-(pattern**2).sum(0), kind="stable")
        sign = np.where(pattern.sum(0) < 0, -1.0, 1.0)[order]
    return Reference(average, pattern[:, order] * sign, t[:, order] * sign, _optima(tried))


def _optima(tried: Rotated) -> np.ndarray:
    """Distinct values of the criterion, best first, and how many starts found each."""
    values = np.sort(tried.value[tried.converged])
    if not values.size:
        return np.empty((0, 2))
    new = np.diff(values, prepend=-np.inf) > 1e-4 * np.abs(values[0])
    counts = np.diff(np.append(np.flatnonzero(new), values.size))
    return np.column_stack([values[new], counts])


def follow(
    loading: np.ndarray, method: str, to: Reference, **arguments: Any
) -> tuple[Rotated, Alignment]:
    """Rotate draws from where the reference stands, and match their columns to its.

    Every draw is first turned (orthogonally, which changes no criterion) as near to the
    reference's unrotated loadings as it comes, and starts from the reference's rotation: among
    several local minima it takes the one that continues the reference's.

    Parameters
    ----------
    loading
        ``(S, J, d)`` loadings on uncorrelated skills.
    method, **arguments
        As in :func:`rotate`.
    to
        The reference.
    """
    a = np.asarray(loading, np.float64)
    if method == "none":
        found = rotate(a, method)
    else:
        u, _, v = np.linalg.svd(transposed(a) @ to.unrotated)
        found = rotate(a, method, (u @ v) @ to.transform, **arguments)
    how = align(found.loading, to.loading)
    index, sign = how.order[:, None, :], how.sign[:, None, :]
    loading, transform = (np.take_along_axis(a, index, axis=2) * sign for a in found[:2])
    return found._replace(loading=loading, transform=transform), how


def align(loading: np.ndarray, to: np.ndarray) -> Alignment:
    """Match the columns of S matrices (S, J, d) to those of one (J, d), by order and sign.

    The assignment maximises the sum of absolute congruences (Tucker's: the cosine of two
    columns); the second best is the best that differs in at least one match.

    Examples
    --------
    >>> import numpy as np
    >>> from sloth_bayes.skills.rotation import align
    >>> a = np.array([[1.0, 0], [0, 2], [1, 1]])
    >>> how = align(np.stack([a, -a[:, ::-1]]), a)
    >>> how.order.tolist(), how.sign.tolist()
    ([[0, 1], [1, 0]], [[1.0, 1.0], [-1.0, -1.0]])
    """
    cosine = congruence(loading, to)
    gain = np.abs(cosine)
    order, matched = _assignment(gain)
    sign = np.where(_taken(cosine, order) < 0, -1.0, 1.0)
    return Alignment(order, sign, matched, matched.mean(-1) - _second(gain, order))


def congruence(loading: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Tucker's, ``(S, d, d)``, of each column of one matrix (J, d) with those of S others."""
    size = np.sqrt((loading**2).sum(-2))[:, None, :] * np.sqrt((to**2).sum(0))[:, None]
    cosine = np.einsum("sjk,jl->slk", loading, to, optimize=True)
    return np.asarray(cosine / np.maximum(size, 1e-300))


def _taken(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    return np.take_along_axis(values, order[:, :, None], axis=2)[..., 0]


def _assignment(gain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row the column of the best assignment, and its gain there, ``(S, d)``."""
    order = np.stack([scipy.optimize.linear_sum_assignment(g, maximize=True)[1] for g in gain])
    return order, _taken(gain, order)


def _second(gain: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Mean gain of the best assignment that differs from `order`."""
    n, d = order.shape
    if d == 1:
        return np.zeros(n)
    best = np.full(n, -np.inf)
    for k in range(d):  # it lacks at least one match of the best: forbid each in turn
        barred = gain.copy()
        barred[np.arange(n), k, order[:, k]] = -float(d)
        best = np.maximum(best, _assignment(barred)[1].mean(-1))
    return best
