"""Adaptive importance sampling of a few dimensions, draw by draw of a posterior.

Student-t proposals begin at a Gaussian approximation and follow the mean and covariance of
the weighted points; the points are randomised quasi-Monte Carlo points. All of it runs inside
compiled programs that take a block of draws (:func:`in_blocks`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri

from ..support import interrupt
from ..support.threads import workers

DF = 6  # of the proposals: a chi-square of 6 is a sum of three exponentials
TAIL = DF // 2  # dimensions of a point that these take


def points(dimension: int, n: int) -> np.ndarray:
    """Points spread evenly in the unit cube, three more dimensions for the tails of a Student-t.

    Multiples of powers of the root of ``g^(D + 1) = g + 1``, as the golden ratio spreads points on
    a line (a Kronecker sequence; Roberts, 2018, *The unreasonable effectiveness of quasirandom
    sequences*). Shifted at random they are as good as Sobol's, and need no SciPy.
    """
    size = dimension + TAIL
    root = 2.0
    for _ in range(50):
        root = (1 + root) ** (1 / (size + 1))
    steps = root ** -np.arange(1.0, size + 1)
    return ((0.5 + np.outer(np.arange(n), steps)) % 1).astype(np.float32)


def in_blocks(of: Callable[[Any], Any], n: int, block: int) -> Any:
    """Apply a compiled function of `block` draws to any number `n` of them: NumPy arrays.

    `of` takes the positions of a block; it is called for the last one as often as fills the last
    block, so that one program serves any number.
    """

    def part(first: int) -> Any:
        return jax.device_get(of(np.minimum(np.arange(first, first + block), n - 1)))

    parts = []
    with ThreadPoolExecutor(workers()) as pool:
        for found in pool.map(part, range(0, n, block)):
            interrupt.check()
            parts.append(found)
    return jax.tree.map(lambda *a: np.concatenate(a)[:n], *parts)


def sample(
    log_density: Callable[[Any], Any],
    mean: Any,
    covariance: Any,
    points: Any,
    shifts: Any,
    at_once: int | None = None,
) -> tuple[Any, Any, Any]:
    """Points of the last round, their log weights, and the share of them that counts.

    Parameters
    ----------
    log_density
        Of one point ``(D,)``; an integral that holds a standard normal density leaves out its
        powers of 2 pi, which the weights leave out too.
    mean, covariance
        ``(D,)`` and ``(D, D)`` of the first proposal.
    points
        ``(K, D + 3)``, of :func:`points`.
    shifts
        ``(R, D + 3)`` uniform numbers, by which points are shifted in each round. Each but the
        last adapts the proposal.
    at_once
        Points whose densities are computed side by side, all by default: what they need together
        should fit into the cache of a core.

    Returns
    -------
    z : (K, D)
    log_w : (K,)
    effective : ()
    """
    n, size = len(points), len(mean)
    constant = math.lgamma((DF + size) / 2) - math.lgamma(DF / 2)
    constant += 0.5 * size * math.log(2 / DF)  # (pi and the 2 pi of the normal cancel)

    def round_of(k: Any, carry: Any) -> Any:
        """Points of a proposal, log weights, and where the next one should be."""
        mean, covariance, *_ = carry
        u = jnp.clip((points + shifts[k]) % 1.0, 1e-6, 1 - 1e-6)
        chi2 = -2 * jnp.log(u[:, size:]).sum(-1)
        noise = ndtri(u[:, :size]) * jnp.sqrt(DF / chi2)[:, None]
        root = jnp.linalg.cholesky(covariance)
        z = mean + noise @ root.T
        log_q = -0.5 * (DF + size) * jnp.log1p((noise**2).sum(-1) / DF)
        log_q = log_q - jnp.log(jnp.diag(root)).sum() + constant
        log_w = jax.lax.map(log_density, z, batch_size=at_once or n) - log_q
        log_w = jnp.where(jnp.isfinite(log_w), log_w, -1e9)
        w = jax.nn.softmax(log_w)
        effective = 1 / (w**2).sum()
        new = w @ z
        spread = jnp.einsum("k,kd,ke->de", w, z - new, z - new)
        # The old covariance counts as 2 D points: a degenerate set must not collapse it.
        old = covariance + jnp.outer(new - mean, new - mean)
        covariance = (effective * spread + 2 * size * old) / (effective + 2 * size)
        return new, covariance, z, log_w

    start = (mean, covariance, jnp.zeros((n, size)), jnp.zeros(n))
    *_, z, log_w = jax.lax.fori_loop(0, len(shifts), round_of, start)
    w = jax.nn.softmax(log_w)
    return z, log_w, 1 / (n * (w**2).sum())
