"""How JAX compiles when tests, doctests and benchmarks run."""

from __future__ import annotations

import os
from importlib.metadata import version

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled programs between fits, runs and subprocesses: most of the time goes there."""
    slow = config.getoption("markexpr") == "slow"
    if not slow and not config.getoption("benchmark_enable", False):
        # Most of it in LLVM, which may take it easy: these programs run for seconds at most.
        flags = "--xla_backend_optimization_level=0"
        if version("jaxlib").startswith("0.10."):  # later ones end the process at what they lack
            flags += " --xla_cpu_use_fusion_emitters=false"  # compiles in half the time
        os.environ.setdefault("XLA_FLAGS", flags)
    os.environ.pop("COLUMNS", None)  # pytest-xdist sets it, and tables would follow
    config.addinivalue_line("markers", "doctest: examples of docstrings (marked by conftest.py)")
    cache = getattr(config, "cache", None)
    if cache is not None:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache.mkdir("jax")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark examples of docstrings, so that they can be chosen beside tests."""
    for item in items:
        if isinstance(item, pytest.DoctestItem):
            item.add_marker("doctest")
