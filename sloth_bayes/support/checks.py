"""Checks of numbers that users give, each with an error that says what was meant."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import DataError, SpecError

# The largest that can be meant: files hold no larger seed, and memory no more draws
_MOST = {"seed": 2**63 - 1, "chains": 1000, "draws": 1_000_000}


def whole(name: str, value: Any, least: int = 1) -> int:
    """A whole number of at least `least`, or an error that names it.

    Examples
    --------
    >>> whole("steps", 10)
    10
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise SpecError(f"{name} must be a whole number of at least {least}, not {value!r}")
    if value > _MOST.get(name, value):
        raise SpecError(f"{name} must be at most {_MOST[name]}, not {value}")
    return int(value)


def check_prob(prob: Any, name: str = "prob", meaning: str = "for a 90% interval") -> float:
    """A probability strictly between 0 and 1, or an error that says what 0.9 would mean."""
    if not isinstance(prob, int | float) or not 0 < prob < 1:
        raise DataError(f"{name} must lie between 0 and 1 (0.9 {meaning}), not {prob!r}")
    return float(prob)


def check_text(name: str, what: str) -> None:
    """A name that is text, or an error: it has to be written to files and terminals.

    Examples
    --------
    >>> check_text("qwen2", "family")
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{what} {name!a} holds bytes that are no UTF-8 text: write the name in UTF-8"
        ) from None


def is_number(value: object) -> bool:
    """Whether it is a finite real number, and no truth value."""
    return (
        isinstance(value, int | float | np.integer | np.floating)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


def check_positive(value: Any, name: str, unit: str) -> None:
    """A positive finite number, or an error that says its unit."""
    if not (is_number(value) and value > 0):
        raise DataError(f"{name} must be a positive number ({unit}), not {value!r}")


def check_probability(value: Any, name: str) -> None:
    """A probability strictly between 0 and 1."""
    check_prob(value, name, "to be sure by 90%")


def interval(given: Any, name: str) -> tuple[float, float]:
    """A range given by its ends."""
    try:
        low, high = (float(v) for v in given)
    except (TypeError, ValueError):
        raise DataError(
            f"{name} must be two numbers, smallest and largest, not {given!r}"
        ) from None
    for value in (low, high):
        check_positive(value, f"an end of {name}", "billions of parameters or trillions of tokens")
    if low >= high:
        raise DataError(f"{name} must go from a smaller to a larger value, not {low:g} to {high:g}")
    return low, high
