"""The cost study of tests/scale.py: its tables, its bookkeeping, and one small point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studies import scale


@pytest.mark.parametrize("models", [1, 30, 1000])
def test_families_and_lineages_have_their_sizes(models):
    rows = scale.layout(models)
    assert len(rows) == models
    assert rows["model"].is_unique
    assert rows.groupby("family").size().between(1, 8).all()
    assert rows.groupby("lineage")["family"].nunique().between(1, 3).all()
    assert (rows.groupby("family")["lineage"].nunique() == 1).all()
    assert rows["params_b"].between(0.1, 100).all()


@pytest.mark.slow
def test_a_simulated_table_has_the_size_and_the_holes_asked_for():
    data = scale.simulate(60, 5, skills=2)
    score = data.frame[list(data.benchmark_names)].to_numpy()
    assert score.shape == (60, 5)
    assert 0.08 < np.isnan(score).mean() < 0.17  # 15%, less one a row that is kept
    assert np.isfinite(score).any(0).all()
    assert np.isfinite(score).any(1).all()
    assert len(np.unique(score[np.isfinite(score)])) > 200
    assert data == scale.simulate(60, 5, skills=2)


def test_points_vary_one_factor_at_a_time():
    points = scale.points()
    assert len(points) == len({json.dumps(p, sort_keys=True) for p in points})
    for point in points:
        assert sum(point[k] != v for k, v in scale.CENTRE.items()) <= 1
    assert {"method": "svi", **scale.CENTRE, "models": 10000} in points
    assert {p["method"] for p in scale.points("nuts")} == {"nuts"}
    assert len(scale.points(quick=True)) < len(points)


@pytest.fixture
def pretend(monkeypatch) -> list[dict]:
    """Points that take a second per 10 models, without doing anything."""
    seen: list[dict] = []

    def instead(point, environment, tables):
        seen.append(point)
        assert environment["JAX_ENABLE_COMPILATION_CACHE"] == "0"
        seconds = point["models"] / 10
        return {
            "process_s": seconds, "first_s": seconds, "again_s": seconds / 2, "compile_s": 9.0,
            "warmup_s": 3.0, "s_per_1000_leapfrogs": seconds / 30, "peak_mb": 500.0,
        }  # fmt: skip

    monkeypatch.setattr(scale, "_in_processes", instead)
    return seen


@pytest.mark.long
def test_a_study_goes_on_where_it_was_and_leaves_out_what_takes_too_long(pretend, tmp_path):
    half = scale.study(tmp_path, only="svi")
    assert len(pretend) == len(half) == len(scale.points("svi"))
    cost = scale.study(tmp_path)
    assert len(pretend) == len(cost) - 2
    left_out = cost[cost["status"] == "not run"]
    # 3,000 models: 282 s by the 1,000 that took 100, 9 of them to compile; so 10,000
    assert left_out["models"].tolist() == [3000, 10000]
    assert left_out["predicted_s"].tolist() == [282, 919]
    assert set(left_out["method"]) == {"nuts"}
    assert left_out["first_s"].isna().all()
    pretend.clear()
    pd.testing.assert_frame_equal(scale.study(tmp_path), cost)
    assert not pretend
    more = scale.study(tmp_path, longest=300)
    assert [p["models"] for p in pretend] == [3000]
    assert more["status"].eq("not run").sum() == 1
    scale.plot(cost, tmp_path / "cost.png")
    assert (tmp_path / "cost.png").stat().st_size > 10_000


@pytest.mark.slow
def test_one_point_is_measured_in_processes_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(Path(scale.__file__).parents[1])
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "0")
    point = {"models": 40, "benchmarks": 4, "skills": 1, "draws": 100}
    for method in ("svi", "nuts"):
        found = scale._in_processes({"method": method, **point}, dict(os.environ), tmp_path)
        assert found.get("status", "run") == "run"
        assert found["first_s"] > found["again_s"] > 0
        assert found["compile_s"] > 1
        assert 150 < found["start_mb"] < found["peak_mb"] < 4000
        if method == "nuts":
            assert found["s_per_1000_leapfrogs"] > 0


def test_the_command_explains_itself():
    root = Path(scale.__file__).parents[1]
    command = [sys.executable, "-m", "studies.scale", "--help"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0
    assert "cost.csv" in done.stdout
