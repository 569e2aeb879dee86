"""Functions whose derivatives are known in closed form, of NumPy and JAX arrays alike."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any  # numpy.ndarray or jax.Array: JAX must not be imported to read draws


Slopes = Callable[[], "tuple[Array | None, ...]"]


def with_slopes(of: Callable[..., tuple[Array, Slopes]]) -> Callable[..., Array]:
    """A function whose derivatives are known in closed form: of NumPy and JAX arrays alike.

    `of` takes arrays and the namespace, and returns the value and a function that gives the
    derivative in each array, None in those that are never differentiated. What JAX derives
    by itself from a formula of many steps is longer, slower to compile and to run, and loses
    digits where the formula has been written to keep them.
    """

    @functools.lru_cache(maxsize=1)
    def in_jax() -> Callable[..., Array]:
        import jax
        import jax.numpy as jnp

        value = jax.custom_jvp(lambda *args: of(*args, jnp)[0])

        @value.defjvp
        def _(args: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
            found, slopes = of(*args, jnp)
            terms = [s * t for s, t in zip(slopes(), tangents) if s is not None]
            return found, functools.reduce(operator.add, terms)

        return value

    @functools.wraps(of)
    def plain(*args: Any) -> Array:
        *arrays, xp = args
        return of(*arrays, xp)[0] if xp is np else in_jax()(*arrays)

    return plain
