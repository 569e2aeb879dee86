"""The study of rivals: what it calls reached, what its rule says, and a quick run."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from studies import rivals


def test_a_missing_library_is_an_error_that_says_what_to_install():
    with pytest.raises(SystemExit, match=r"no_such_rival is not installed .*sloth-bayes\[rivals\]"):
        rivals.library("no_such_rival")


@pytest.mark.parametrize(
    ("needed", "expected"), [(730, 800), (100, 100), (1000, 1000), (1010, None)]
)
def test_the_goal_is_found_by_bisection(monkeypatch, needed, expected):
    def convergence(post, draws):
        return {"ess_min": 1.0, "reached": draws >= needed}

    monkeypatch.setattr(rivals, "posterior", lambda *given: None)
    monkeypatch.setattr(rivals, "convergence", convergence)
    seconds = np.arange(1.0, 1001.0)
    found = rivals.Found(np.zeros((4, 1000, 2)), seconds, 2 * seconds, None)
    row = rivals.judged(SimpleNamespace(), found)
    assert row.get("goal_draws") == expected
    assert row.get("goal_s") == expected
    assert (row["first_draw_s"], row["end_cpu_s"]) == (1, 2000)


def test_nothing_drawn_is_not_reached():
    found = rivals.Found(np.zeros((4, 0, 2)), np.empty(0), np.empty(0), None)
    assert rivals.judged(SimpleNamespace(), found)["reached"] is False


def test_the_rule():
    table = pd.DataFrame(
        [
            {"rival": "ours", "goal_cpu_s": 150.0},
            {"rival": "ours, no variational start", "goal_cpu_s": 151.0},
            {"rival": "nutpie", "goal_cpu_s": 187.0},
            {"rival": "nutpie, started", "goal_cpu_s": 190.0},
            {"rival": "NumPyro, dense"},
            {"rival": "our guide", "cpu_s": 30.0, "mean": 0.3},
            {"rival": "NumPyro, full normal", "cpu_s": 30.0, "mean": 0.31},
            {"rival": "BlackJAX, Pathfinder", "cpu_s": 31.0, "mean": 0.3},
        ]
    )
    said = {line.split(":")[0]: line for line in rivals.verdicts(table)}
    passes = {name for name, line in said.items() if line.endswith("passes")}
    assert passes == {"nutpie", "BlackJAX, Pathfinder"}
    assert "1.25 times the seconds of ours" in said["nutpie"]
    assert "not reached" in said["NumPyro, dense"]


def test_without_ours_there_is_no_verdict():
    table = pd.DataFrame([{"rival": "nutpie", "goal_cpu_s": 10.0}])
    assert rivals.verdicts(table)[0] == "ours did not reach the goal: the rule says nothing"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ours, no variational start", "NumPyro, diagonal", "our guide"])
def test_a_quick_run(name):
    row = rivals.one(name, 0, time.time(), 60.0, quick=True)
    assert row["peak_mb"] > 100
    json.dumps(row)
    if name in rivals.SAMPLERS:
        assert row["draws"] > 0
        assert 0 < row["first_draw_s"] <= row["end_s"] <= row["seconds"]
        assert row["ess_min"] > 0
    else:
        assert np.isfinite(row["elbo"])
