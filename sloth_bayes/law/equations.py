"""The law's equations, once, for NumPy and JAX arrays alike.

Functions that need an array namespace take it as ``xp`` (``numpy`` or ``jax.numpy``); all do
nothing but arithmetic, and broadcast. The generative model calls them with JAX arrays,
forecasts with NumPy draws, so that what is fitted is what is forecast.

Notation follows Maia Polo et al. (2024, arXiv 2412.06540), section 3: skills ``theta``,
loadings ``lambda``, lower asymptotes ``gamma``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .slopes import Array, Slopes, with_slopes

INPUTS: dict[str, tuple[str, ...]] = {
    "translog": ("log_size", "log_tokens", "log_size*log_tokens"),
    "loglinear": ("log_size", "log_tokens"),
    "size": ("log_size",),
    "flops": ("log_flops",),
    "loss": ("log_effective_flops",),
    "checkpoint": ("log_size", "log_tokens", "log_size*log_tokens", "unfinished", "early"),
    # neither size nor tokens; what a year adds is a term of its own (law.terms.year)
    "date": (),
    "none": (),
}
# What the loss of Hoffmann et al. is known by, and what is expected of it before any score: their
# exponents of size and of tokens, and the tokens a parameter that are best at the reference point.
LOSS = {"size_exponent": 0.34, "tokens_exponent": 0.28, "balance": 20.0}
TOKENS = 1  # the column of the inputs that counts doublings of tokens, where there is one


def doublings_of_compute(params_b: Array, tokens_t: Array) -> Array:
    """``log2`` of parameters (billions, active ones) times training tokens (trillions)."""
    return np.log2(np.asarray(params_b, float) * np.asarray(tokens_t, float))


def raw_inputs(
    kind: str,
    log_size: Array,
    log_tokens: Array,
    centre: Array,
    xp: Any,
    left: Array = 0.0,
    values: Mapping[str, Array] = LOSS,
) -> Array:
    """Inputs of the law, in doublings from a reference size and number of tokens.

    Parameters
    ----------
    kind
        A key of :data:`INPUTS`.
    log_size, log_tokens
        Natural logs of parameters (billions) and training tokens (trillions), any shape.
    centre
        ``(2,)``: natural logs of the reference size and of the reference tokens.
    left
        Fraction of the learning-rate schedule that a checkpoint has left, below 1; 0 for a
        finished run. Read by ``"checkpoint"`` only.
    values
        Parameters that inputs depend on, by name: of ``"loss"`` those of :data:`LOSS`, each of
        the shape of what comes before the models.

    Returns
    -------
    array, shape ``(*shape, n_inputs)``
        ``log2`` of size and tokens relative to the reference, and their product for the
        translog law (paper, section 3.1); one unit is one doubling. None of a law without size
        and tokens, which may be NaN there. A checkpoint has two more, which vanish at the end of
        the schedule: the fraction left, and a tenth of the square of the doublings that are left.
    """
    if not INPUTS[kind]:
        return xp.zeros((*xp.broadcast_shapes(xp.shape(log_size), xp.shape(log_tokens)), 0))
    size = (log_size - centre[0]) / math.log(2)
    tokens = (log_tokens - centre[1]) / math.log(2)
    columns = {
        "translog": lambda: (size, tokens, size * tokens),
        "loglinear": lambda: (size, tokens),
        "size": lambda: (size,),
        "flops": lambda: (size + tokens,),
        "loss": lambda: (_effective_compute(size, tokens, centre, values, xp),),
        "checkpoint": lambda: (size, tokens, size * tokens, *_offset(left + 0 * size, xp)),
    }[kind]()
    return xp.stack(columns, axis=-1)


def _effective_compute(
    size: Array, tokens: Array, centre: Array, values: Mapping[str, Array], xp: Any
) -> Array:
    """Doublings of compute that, spent on the best size, reach the same loss.

    Of ``A / N^a + B / D^b`` (Hoffmann et al., 2022, arXiv 2203.15556, equation 2, less what no
    model can reach), which falls as ``C^(-ab / (a + b))`` on the best sizes of budgets C. With
    doublings ``x, y`` of size and tokens from the best split of the reference compute,

        -(a + b) / (a b) log2( b / (a + b) 2^(-a x) + a / (a + b) 2^(-b y) ).
    """
    a, b, balance = (xp.asarray(values[name])[..., None] for name in LOSS)
    off = 0.5 * (xp.log(balance / 1e3) - (centre[1] - centre[0])) / math.log(2)
    terms = (
        xp.log(b / (a + b)) - a * math.log(2) * (size + off),
        xp.log(a / (a + b)) - b * math.log(2) * (tokens - off),
    )
    return -(a + b) / (a * b) / math.log(2) * xp.logaddexp(*terms)


def _offset(left: Array, xp: Any) -> tuple[Array, Array]:
    """What sets a checkpoint apart from a finished run of as many tokens."""
    return left, 0.1 * (xp.log1p(-left) / math.log(2)) ** 2


def predictor(theta: Array, loading: Array, residual: Array | None, xp: Any) -> Array:
    """Predictor less its bias, ``(..., M, J)``: loadings times skills, plus residuals.

    `theta` is ``(..., M, d)``, `loading` ``(..., J, d)``, `residual` ``(..., M, J)``.
    """
    if xp is np:  # as below, and the order of the axes in memory is kept
        eta = np.einsum("...mk,...jk->...mj", theta, loading)
    else:
        eta = theta @ xp.swapaxes(loading, -1, -2)
    return eta if residual is None else eta + residual


class Link(NamedTuple):
    """A monotone link and its inverse, of NumPy and JAX arrays alike.

    Attributes
    ----------
    value
        ``value(eta, shape, xp)``: the fraction, in [0, 1], of the range above chance.
    inverse
        ``inverse(fraction, shape, xp)``: the predictor there, `fraction` between 0 and 1.
    trained
        Whether `shape` is a parameter of each benchmark, log-normal around 1; if not it is 1.
    """

    value: Callable[[Array, Array, Any], Array]
    inverse: Callable[[Array, Array, Any], Array]
    trained: bool = False


def _logistic(eta: Array, shape: Array, xp: Any) -> Array:
    return 0.5 * (1.0 + xp.tanh(0.5 * eta))


def _logit(fraction: Array, shape: Array, xp: Any) -> Array:
    return xp.log(fraction) - xp.log1p(-fraction)


@with_slopes
def _richards(eta: Array, shape: Array, xp: Any) -> tuple[Array, Slopes]:
    root = xp.exp(-math.log(2) / shape)
    location = xp.log(root / (1.0 - root))
    scale = 0.5 / (shape * (1.0 - root))
    inner = location + scale * eta
    # logaddexp(0, -inner), whose own implementation is slow in NumPy
    small = xp.exp(-xp.abs(inner))
    softplus = xp.log1p(small) - xp.clip(inner, None, 0.0)
    value = xp.exp(-shape * softplus)

    def slopes() -> tuple[Array, ...]:
        above = shape * xp.where(inner < 0, 1.0, small) / (1.0 + small)  # shape * (1 - logistic)
        moves = math.log(2) / shape**2 / (1.0 - root)  # the location, with the shape
        stretches = root * moves - 1.0 / shape  # log scale, with the shape
        along = moves + stretches * scale * eta
        return value * above * scale, value * (above * along - softplus)

    return value, slopes


def _inverse_richards(fraction: Array, shape: Array, xp: Any) -> Array:
    root = xp.exp(-math.log(2) / shape)
    inner = _logit(fraction ** (1 / shape), shape, xp)
    return (inner - xp.log(root / (1 - root))) * 2 * shape * (1 - root)


# Links by name; one of your own is an entry more (docs/extending.md).
LINKS: dict[str, Link] = {
    "logistic": Link(_logistic, _logit),
    "richards": Link(_richards, _inverse_richards, trained=True),
}


def link(kind: str, eta: Array, shape: Array, xp: Any) -> Array:
    """Monotone link from the predictor to the fraction of the range above chance.

    ``logistic`` ignores `shape`. ``richards`` raises a logistic to the power `shape` and
    re-centres and re-scales the predictor so that the value at 0 is 1/2 and the slope
    there 1/4 whatever the shape: location and scale then belong to the bias and the
    loadings alone, and shape 1 is the logistic link. A shape above 1 leaves the floor
    sharply and nears the ceiling slowly; below 1, the reverse.
    """
    return LINKS[kind].value(eta, shape, xp)


def inverse_link(kind: str, fraction: Array, shape: Array, xp: Any) -> Array:
    """The predictor at which :func:`link` gives `fraction`, strictly between 0 and 1."""
    return LINKS[kind].inverse(fraction, shape, xp)


def expected(fraction: Array, lower: Array, upper: Array) -> Array:
    """Expected score ``mu``: the link's fraction of the way from floor to ceiling."""
    return lower + (upper - lower) * fraction
