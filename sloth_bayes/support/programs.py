"""Compiled programs: how XLA is asked for them, and where they are kept for later processes.

Compiling takes longer than most answers. What has been compiled is therefore kept in the user's
cache folder (``$XDG_CACHE_HOME/sloth-bayes/programs``, else ``~/.cache/...``), on processors
only, by what was compiled, with what versions, flags and processor. JAX's settings are not
touched: where JAX itself is told to keep programs (``JAX_COMPILATION_CACHE_DIR``) or not to
(``JAX_ENABLE_COMPILATION_CACHE=0``), nothing is kept here. A folder that cannot be written, a
full disk or a spoilt file cost a compilation and nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
import os
import pickle
import platform
import tempfile
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# The emitters of fusions that came with jaxlib 0.6 take as long as all the rest of compiling
# programs of many small kernels. Programs that run for long run faster with them.
_SHORT: dict[str, Any] = {"xla_cpu_use_fusion_emitters": False}
_LEVEL = "xla_backend_optimization_level"
_MOST = 500_000_000  # bytes in the folder; the programs that were used longest ago go


def options(level: int | None = None, short: bool = False) -> dict[str, Any]:
    """Options for compiling a program, ``compiler_options`` of JAX.

    Parameters
    ----------
    level
        Of LLVM's optimisation, where a program does not run for long enough to be worth all of
        it: 0 compiles in a third of the time and runs three times as long.
    short
        Whether the program runs for tenths of a second, less than compiling it takes.
    """
    wanted = (_SHORT if short else {}) | ({} if level is None else {_LEVEL: level})
    flags = os.environ.get("XLA_FLAGS", "")  # which win
    wanted = {name: value for name, value in wanted.items() if name not in flags}
    if _known(*wanted.items()):
        return wanted
    return {name: value for name, value in wanted.items() if _known((name, value))}


@functools.cache
def _known(*wanted: tuple[str, Any]) -> bool:
    """Whether this XLA has options, which it loses as freely as it gets them."""
    import jax

    try:
        jax.jit(lambda: 0).lower().compile(compiler_options=dict(wanted))
    except (RuntimeError, ValueError, TypeError):
        return False
    return True


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Without Python's search for garbage: tracing makes many objects, and keeps most of them."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


class Program:
    """A function, compiled once for each kind of arguments; threads may ask at once."""

    def __init__(
        self,
        of: Callable[..., Any],
        level: int | None = None,
        short: bool = False,
        static: int = 0,
    ) -> None:
        """`static` counts the first arguments that are no arrays, which programs differ by."""
        self.of, self.level, self.short, self.static = of, level, short, static
        self.compiled: dict[Any, Any] = {}
        self._lock = threading.Lock()

    def ready(self, *args: Any) -> Any:
        """What is called with the arrays; shapes and types are enough for that."""
        import jax

        key = (args[: self.static], *kind_of(args[self.static :]))
        with self._lock:
            if key not in self.compiled:
                jitted = jax.jit(self.of, static_argnums=tuple(range(self.static)))
                with uncollected():
                    self.compiled[key] = compiled(jitted.lower(*args), self.level, self.short)
        return self.compiled[key]

    def __call__(self, *args: Any) -> Any:
        """Call it."""
        return self.ready(*args)(*args[self.static :])


def kind_of(args: Any) -> tuple[Any, ...]:
    """What calls of one program must have in common: structure, shapes, types and precision."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    leaves, structure = jax.tree.flatten(args)
    precision = jax.config.jax_enable_x64
    return (precision, structure, *((np.shape(x), jnp.result_type(x).name) for x in leaves))


def compiled(lowered: Any, level: int | None = None, short: bool = False) -> Any:
    """Compile what JAX has lowered, or take what an earlier process has compiled."""
    chosen = options(level, short)
    path = _place(lowered, chosen)
    found = None if path is None else _read(path)
    if found is None:
        found = lowered.compile(compiler_options=chosen)
        if path is not None:
            _keep(path, found)
    return found


def folder() -> Path:
    """Where programs are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sloth-bayes" / "programs"


def _place(lowered: Any, chosen: dict[str, Any]) -> Path | None:
    """The file of a program; None where none is to be kept."""
    import jax

    config = jax.config
    asked = getattr(config, "jax_compilation_cache_dir", None)
    if asked or not getattr(config, "jax_enable_compilation_cache", True):
        return None
    if jax.default_backend() != "cpu":
        return None
    text = lowered.as_text()
    if "callback" in text:  # it holds the address of a function of this process
        return None
    # The text leaves out arguments that are not used, and the names of what is passed.
    asked_of = repr((lowered.in_tree, lowered.in_avals, lowered.out_tree))
    parts = [text, asked_of, repr(sorted(chosen.items())), *_here()]
    with contextlib.suppress(RuntimeError):  # there is no home
        return folder() / hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return None


@functools.cache
def _here() -> tuple[str, ...]:
    """Versions, flags and processor."""
    import jax

    found = [platform.platform(), platform.machine(), platform.python_version()]
    for name in ("jax", "jaxlib", "sloth-bayes"):
        with contextlib.suppress(PackageNotFoundError):
            found.append(version(name))
    found += [os.environ.get("XLA_FLAGS", ""), str(jax.device_count()), str(os.cpu_count())]
    with contextlib.suppress(OSError):
        rows = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        about = ("vendor_id", "cpu family", "model", "stepping", "flags", "Features", "CPU ")
        found += sorted({row for row in rows if row.startswith(about)})
    return (*found, platform.processor())


def _read(path: Path) -> Any:
    """A program from its file; None if there is none that can be used."""
    from jax.experimental import serialize_executable

    try:
        owner = path.stat().st_uid
        if hasattr(os, "getuid") and owner != os.getuid():
            return None
        content = path.read_bytes()
        if hashlib.sha256(content[32:]).digest() != content[:32]:
            return None
        found = serialize_executable.deserialize_and_load(*pickle.loads(content[32:]))
    except OSError:
        return None
    except Exception:  # of another version of what makes it, in whatever way that shows
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return found


def _keep(path: Path, program: Any) -> None:
    """Write a program's file, whole or not at all."""
    from jax.experimental import serialize_executable

    try:
        content = pickle.dumps(serialize_executable.serialize(program))
    except Exception:  # a program that cannot be kept
        return
    written = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            written = file.name
            file.write(hashlib.sha256(content).digest() + content)
        os.replace(written, path)
        _tidied(path.parent)
    except OSError:
        if written:
            with contextlib.suppress(OSError):
                os.remove(written)


def _tidied(where: Path) -> None:
    """Remove what was used longest ago, if there is too much."""
    files = [(entry.stat(), entry.path) for entry in os.scandir(where)]
    over = sum(stat.st_size for stat, _ in files) - _MOST
    for stat, path in sorted(files, key=lambda pair: pair[0].st_mtime):
        if over <= 0:
            break
        os.remove(path)
        over -= stat.st_size
