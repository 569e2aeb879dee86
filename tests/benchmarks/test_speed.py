"""How long the things that a person waits for take.

Run them with ``pytest tests/benchmarks --benchmark-enable``; otherwise each runs once, as a test.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from conftest import QUICK

import sloth_bayes as sb


@pytest.fixture(scope="module")
def saved(tiny_posterior, tmp_path_factory):
    return tiny_posterior.save(tmp_path_factory.mktemp("speed") / "tiny.nc")


def test_import(benchmark):
    command = [sys.executable, "-c", "import sloth_bayes as sb; sb.load, sb.candidates"]
    done = benchmark.pedantic(subprocess.run, args=(command,), rounds=5)
    assert done is None or done.returncode == 0


def test_load(benchmark, saved):
    post = benchmark(sb.load, saved)
    assert post.n_draws == 400


def test_forecast_one(benchmark, saved):
    post = sb.load(saved)
    fc = benchmark(post.forecast, sb.candidates(family="cedar", params_b=20, tokens_t=6))
    assert len(fc.frame) == 4


def test_forecast_two_hundred(benchmark, saved):
    post = sb.load(saved)
    sizes = np.geomspace(0.5, 40, 200).round(3).tolist()
    frame = sb.candidates(family="cedar", params_b=sizes, tokens_t=6)
    fc = benchmark(post.forecast, frame)
    assert fc.draws.sizes["model"] == 200


def test_svi_once_compiled(benchmark, tiny_spec, tiny_table, tiny_svi):
    post = benchmark.pedantic(tiny_spec.fit, args=(tiny_table,), kwargs=QUICK, rounds=3)
    assert post.n_draws == tiny_svi.n_draws
