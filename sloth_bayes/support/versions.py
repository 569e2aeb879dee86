"""What a bug report has to say of where the program ran."""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from typing import TextIO

from .threads import workers
from .version import __version__

_SET = ("JAX_PLATFORMS", "JAX_ENABLE_X64", "XLA_FLAGS")
_BESIDE = ("arviz", "jaxlib")  # which no requirement names
_OURS = ("dev", "test")  # extras of those who work on the package


def show_versions(file: TextIO | None = None) -> None:
    """Print what a bug report needs: paste it as it is.

    Versions of Python, of the package and of all that it depends on, the system and its cores,
    and what JAX runs on, which imports JAX.

    Parameters
    ----------
    file
        Where to; standard output by default.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> sb.show_versions()  # doctest: +ELLIPSIS, +NORMALIZE_WHITESPACE
    sloth-bayes ...
    Python ...
    system ...
    JAX ...
    """
    lines = {
        "sloth-bayes": __version__,
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": f"{platform.platform()}, {workers()} cores",
        "JAX": _jax(),
    }
    lines |= {name: os.environ[name] for name in _SET if name in os.environ}
    for name, needed in _dependencies().items():
        if (found := _installed(name)) or needed:
            lines[name] = found or "not installed"
    width = max(map(len, lines))
    out = sys.stdout if file is None else file
    for name, value in lines.items():
        print(f"{name:{width}} {value}", file=out)


def _jax() -> str:
    """What JAX runs on, or why it does not."""
    try:
        import jax

        kinds = sorted({device.device_kind for device in jax.devices()})
        bits = jax.dtypes.canonicalize_dtype(float)
        return f"{jax.default_backend()} x{jax.device_count()} ({', '.join(kinds)}), {bits}"
    except Exception as error:  # whatever is wrong with it is what the report is about
        return f"cannot be used: {type(error).__name__}: {error}".splitlines()[0]


def _dependencies() -> dict[str, bool]:
    """Names of what the package can use, by its metadata, and whether it cannot do without."""
    try:
        named = requires("sloth-bayes") or []
    except PackageNotFoundError:  # a checkout that is not installed
        named = []
    names = dict.fromkeys(_BESIDE, False)
    for each in named:
        of = re.search(r"extra == ['\"]([\w-]+)", each)
        found = re.match(r"[\w.-]+", each)
        if found and (of is None or of[1] not in _OURS):
            names[found[0]] = of is None or names.get(found[0], False)
    return dict(sorted(names.items()))


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
