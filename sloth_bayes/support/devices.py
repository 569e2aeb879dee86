"""What JAX computes on, asked before any work."""

from __future__ import annotations

import os

from ..errors import WorkerError


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
