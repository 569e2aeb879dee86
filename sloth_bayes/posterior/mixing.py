"""R-hat and effective sample sizes of many quantities at once.

Those of Vehtari, Gelman, Simpson, Carpenter and Buerkner (2021, arXiv 1903.08008), as ArviZ
computes them quantity by quantity, in Python that lets no other thread run: of a joint table's
27,000 quantities that took longer than half of the sampling. Here lags, chains and quantities are
axes of arrays.
"""

from __future__ import annotations

import math

import numpy as np
import scipy

TAIL = (0.11, 0.89)  # quantiles whose draws below them tell of the tails: ArviZ's default


def mixing(x: np.ndarray) -> dict[str, np.ndarray]:
    """How well chains mix: R-hat, effective sample sizes, Monte Carlo standard errors.

    Parameters
    ----------
    x
        Draws ``(Q, chains, draws)``, in double precision. At least four draws a chain.

    Returns
    -------
    dict
        ``r_hat`` (rank-normalised, split, the larger of bulk and folded), ``ess_bulk``,
        ``ess_tail`` and ``mcse`` (of the mean, in the quantity's unit), ``(Q,)`` each; NaN where
        a draw is not finite, and of R-hat of one chain.

    Examples
    --------
    >>> import numpy as np
    >>> from sloth_bayes.posterior.mixing import mixing
    >>> noise = np.random.default_rng(0).normal(size=(1, 4, 1000))
    >>> {name: round(float(value[0]), 2) for name, value in mixing(noise).items()}
    {'r_hat': 1.0, 'ess_bulk': 3926.12, 'ess_tail': 4014.55, 'mcse': 0.02}
    """
    fine = np.isfinite(x).all((1, 2))
    x = np.where(fine[:, None, None], x, 0.0)
    halves = _split(x)
    z = _normal_scores(halves)
    folded = _normal_scores(np.abs(halves - np.median(halves, (1, 2), keepdims=True)))
    low, high = np.quantile(x, TAIL, (1, 2))[..., None, None]
    effective = [effective_draws(_split(x <= end)) for end in (low, high)]
    error = x.std((1, 2), ddof=1) / np.sqrt(effective_draws(halves))
    found = {
        "r_hat": np.fmax(_r_hat(z), _r_hat(folded)) if x.shape[1] > 1 else np.full(len(x), np.nan),
        "ess_bulk": effective_draws(z),
        "ess_tail": np.minimum(*effective),
        "mcse": error,
    }
    return {name: np.where(fine, value, np.nan) for name, value in found.items()}


def effective_draws(x: np.ndarray) -> np.ndarray:
    """Effective sample sizes ``(Q,)`` of means of `x` ``(Q, chains, draws)``.

    By the autocorrelations up to the first pair of lags whose sum is not positive, the sums
    made to fall (Geyer, 1992, *Practical Markov chain Monte Carlo*).
    """
    x = np.asarray(x, float)
    size, draws = x.shape[1] * x.shape[2], x.shape[2]
    mean = x.mean(2, keepdims=True)
    length = scipy.fft.next_fast_len(2 * draws, real=True)
    power = (np.abs(np.fft.rfft(x - mean, length)) ** 2).mean(1)
    covariance = np.fft.irfft(power, length)[:, :draws] / draws  # at each lag, (Q, draws)
    within = covariance[:, 0] * draws / (draws - 1)
    total = covariance[:, 0] + (mean.var((1, 2), ddof=1) if x.shape[1] > 1 else 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = 1 - (within[:, None] - covariance) / total[:, None]
    correlation[:, 0] = 1.0
    last = max(0, math.ceil((draws - 4) / 2))  # pair of lags that is looked at
    even = correlation[:, 0 : 2 * last + 1 : 2]
    pairs = even + correlation[:, 1 : 2 * last + 2 : 2]
    stop = np.where((pairs <= 0).any(1), (pairs <= 0).argmax(1), last)
    falling = np.minimum.accumulate(pairs, 1)
    before = np.where(np.arange(last + 1) < stop[:, None], falling, 0.0).sum(1)
    tau = 2 * before - 1 + np.maximum(even[np.arange(len(x)), stop], 0.0)
    constant = np.ptp(x, (1, 2)) < np.finfo(float).resolution
    return np.where(constant, size, size / np.maximum(tau, 1 / math.log10(size)))


def _split(x: np.ndarray) -> np.ndarray:
    """Halves of chains, as chains; the middle of an odd number of draws is left out."""
    half = x.shape[2] // 2
    return np.concatenate([x[..., :half], x[..., -half:]], 1)


def _normal_scores(x: np.ndarray) -> np.ndarray:
    """Normal quantiles of ranks over all draws of a quantity."""
    rank = scipy.stats.rankdata(x.reshape(len(x), -1), axis=1).reshape(x.shape)
    scores: np.ndarray = scipy.special.ndtri((rank - 0.375) / (x[0].size + 0.25))
    return scores


def _r_hat(x: np.ndarray) -> np.ndarray:
    """R-hat of chains ``(Q, chains, draws)``."""
    draws = x.shape[2]
    between, within = x.mean(2).var(1, ddof=1), x.var(2, ddof=1).mean(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: np.ndarray = np.sqrt(between / within + (draws - 1) / draws)
    return found
