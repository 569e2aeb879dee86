"""What JAX computes on, asked before any work, and how it compiles for that."""

from __future__ import annotations

import functools
import os
from typing import Any

from ..errors import WorkerError

# What XLA is asked for, where it knows it: the emitters of fusions that came with jaxlib 0.6
# take half as long again to compile programs of many small kernels, which run no faster.
_FASTER: dict[str, Any] = {"xla_cpu_use_fusion_emitters": False}


def check_devices() -> None:
    """An error in one sentence if JAX has nothing to compute on.

    Raises
    ------
    WorkerError
        The platform that ``JAX_PLATFORMS`` asks for is not there.
    """
    import jax

    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        said = str(error).strip().splitlines()
        asked = os.environ.get("JAX_PLATFORMS") or "its default"
        reason = f" ({said[0].rstrip('.')})" if said else ""
        raise WorkerError(
            f"JAX cannot compute on {asked}{reason}: set JAX_PLATFORMS=cpu, or unset it, or "
            "install JAX for that platform."
        ) from None


def compiler(level: int | None = None) -> dict[str, Any]:
    """Options for compiling a program, ``compiler_options`` of JAX.

    Parameters
    ----------
    level
        Of LLVM's optimisation, where a program does not run for long enough to be worth all of
        it: 0 compiles in a third of the time and runs three times as long.
    """
    chosen = {name: value for name, value in _FASTER.items() if _known(name, value)}
    return chosen if level is None else chosen | {"xla_backend_optimization_level": level}


@functools.cache
def _known(name: str, value: Any) -> bool:
    """Whether this XLA has an option, which it loses as freely as it gets it."""
    import jax

    try:
        jax.jit(lambda: 0).lower().compile(compiler_options={name: value})
    except (RuntimeError, ValueError, TypeError):
        return False
    return True
