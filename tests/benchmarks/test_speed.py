"""How long the things that a person waits for take.

Run them with ``pytest tests/benchmarks --benchmark-enable``; otherwise each runs once, as a test.
``python -m tests.benchmarks.ratios`` compares them with rivals.
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

import sloth_bayes as sb
from sloth_bayes.evaluate import protocols
from sloth_bayes.support.shipped import shipped
from tests.benchmarks.ratios import (
    Ratio,
    Side,
    candidates,
    double_precision_at_once,
    interleaved,
    posterior,
)
from tests.conftest import FIT, QUICK

FOLD_OPTIONS = {"steps": 600, "draws": 200, "progress": False}


@pytest.fixture(scope="module")
def large() -> sb.Posterior:
    """12 benchmarks, 4,000 draws; read once, so that what is measured is the forecast."""
    return posterior(4000)


def test_import(benchmark):
    command = [sys.executable, "-c", "import sloth_bayes as sb; sb.load, sb.candidates"]
    done = benchmark.pedantic(subprocess.run, args=(command,), rounds=5)
    assert done is None or done.returncode == 0


def test_load(benchmark):
    post = benchmark(sb.load, "leaderboard")
    assert post.n_draws == 1500


def test_load_by_xarray(benchmark):
    """The rival of the reader that :func:`sloth_bayes.load` has of its own."""
    path = shipped("models") / "leaderboard" / "posterior.nc"
    tree = benchmark(lambda: xr.open_datatree(path, engine="h5netcdf").load())
    assert tree["posterior"].sizes["chain"] * tree["posterior"].sizes["draw"] == 1500


def test_skills(benchmark, large):
    found = benchmark(large.skills)
    assert len(found.kept) == 4000


def test_forecast_one(benchmark, large):
    frame = candidates(large, 1)
    summary = benchmark(lambda: large.forecast(frame).frame)
    assert len(summary) == 12


def test_forecast_a_thousand_expected(benchmark, large):
    frame = candidates(large, 1000)
    summary = benchmark.pedantic(lambda: large.forecast(frame).summary("expected"), rounds=5)
    assert len(summary) == 12_000
    assert summary["upper"].gt(summary["lower"]).all()


@pytest.mark.slow
def test_forecast_a_thousand_scores(benchmark, large):
    frame = candidates(large, 1000)
    summary = benchmark.pedantic(lambda: large.forecast(frame).frame, rounds=3)
    assert len(summary) == 12_000
    assert summary["upper"].gt(summary["lower"]).all()


@pytest.mark.slow
def test_svi_once_compiled(benchmark, tiny_spec, tiny_table, tiny_svi):
    post = benchmark.pedantic(tiny_spec.fit, args=(tiny_table,), kwargs=QUICK, rounds=3)
    assert post.n_draws == tiny_svi.n_draws


@pytest.mark.slow
def test_nuts_once_compiled(benchmark, tiny_spec, tiny_table, tiny_posterior):
    post = benchmark.pedantic(
        tiny_spec.fit, args=(tiny_table,), kwargs={**FIT, "seed": 1}, rounds=2
    )
    assert post.n_draws == tiny_posterior.n_draws


_FIT = """
import sys, sloth_bayes as sb
data = sb.load_dataset("open_llm_leaderboard").select(benchmarks=["MMLU", "HellaSwag"])
short = {"nuts": {"warmup": 50, "max_tree_depth": 5}, "svi": {}}[sys.argv[1]]
sb.Sloth(n_skills=1).fit(
    data, method=sys.argv[1], steps=200, starts=2, chains=2, draws=50, progress=False, **short
)
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["svi", "nuts"])
def test_fit_with_compilation(benchmark, method):
    """In a process of its own, without a compilation cache."""
    environment = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "0"}
    benchmark.pedantic(
        subprocess.run, args=([sys.executable, "-c", _FIT, method],),
        kwargs={"env": environment, "check": True}, rounds=2,
    )  # fmt: skip


@pytest.mark.slow
def test_cross_validate_once_compiled(benchmark, tiny_spec, tiny_table):
    chosen = {"birch": "birch", "cedar": "cedar", "cedar-chat": "cedar"}
    folds = protocols.leave_group_out(tiny_table, chosen, n_observed=2)
    sb.cross_validate(tiny_spec, tiny_table, folds, **FOLD_OPTIONS)
    found = benchmark.pedantic(
        sb.cross_validate, args=(tiny_spec, tiny_table, folds), kwargs=FOLD_OPTIONS, rounds=3
    )
    assert found.frame["fold"].nunique() == 2


def test_the_rival_of_a_ratio_computes_the_same(large):
    frame = candidates(large, 40)
    mine = large.forecast(frame).summary("expected")[["mean", "lower", "median", "upper"]]
    rival = double_precision_at_once(large, frame).reshape(4, -1).T
    np.testing.assert_allclose(mine.to_numpy(), rival, atol=1e-5)


def test_a_ratio_divides_medians_of_runs_in_turn(monkeypatch):
    ran = []
    clock = iter([0, 8, 8, 10, 10, 14, 14, 17, 17, 117, 117, 119])  # 8, 2, 4, 3, 100, 2
    monkeypatch.setattr("tests.benchmarks.ratios.time.perf_counter", lambda: next(clock))
    sides = Side("slow", lambda: ran.append("slow"), 2.0), Side("fast", lambda: ran.append("fast"))
    row = interleaved(Ratio("a thing", *sides, rounds=3))
    assert ran == ["slow", "fast"] * 4  # once before the clock starts
    assert (row["rival_s"], row["ours_s"], row["ratio"]) == (16, 2, 8)
