"""Plans of a law whose families walk: the path is a forecast's, and goes on along a curve."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import sloth_bayes as sb
from sloth_bayes.plan import curves

SIZES = np.array([0.5, 7.0, 40.0, 160.0])  # three of the family, and two doublings on


@pytest.fixture(scope="module")
def post() -> sb.Posterior:
    return sb.load("open")


def test_a_curve_goes_through_the_forecasts_of_its_models(post):
    goal = curves.goal_of(post, "MMLU")
    at = post.constant("family_of_model").astype(str) == "qwen2.5"
    size, tokens = (post.constant(c).astype(float)[at] for c in ("params_b", "tokens_t"))
    found = curves.values(post, curves.who_of(post, "qwen2.5"), size, tokens, goal)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = sb.candidates("qwen2.5", size, tokens, model=np.array(post.models)[at])
        fc = post.forecast(rows, benchmarks="MMLU")
    want = fc.draws["expected"].stack(sample=("chain", "draw")).values.reshape(len(size), -1)
    np.testing.assert_allclose(found, want.T, atol=2e-3)


def test_it_is_less_sure_farther_on(post):
    who = curves.who_of(post, "qwen2.5")
    walk = who.courses["walk"]
    last = walk.at[-curves._REACH - 1]
    spread = [walk.between(np.array([last + d])).std(0).mean() for d in (0.0, 2.0, 8.0)]
    assert spread[0] < spread[1] < spread[2]
    halfway = walk.between(np.array([last + 0.5]))
    ends = walk.between(np.array([last, last + 1.0]))
    np.testing.assert_allclose(halfway[:, 0], ends.mean(1), rtol=1e-6)


def test_gains_are_those_of_the_law_and_not_of_steps(post):
    found = post.saturation("MMLU", 0.01, tokens=15, at=[70, 700], family="qwen2.5")
    assert (found.frame["gain_lower"] >= 0).all()
    assert found.frame["p_saturated"].is_monotonic_increasing


def test_a_new_family_is_dense_unless_it_says(post):
    found = post.required_size("MMLU", 0.5, tokens=15, new_family=True)
    assert np.isfinite(found.frame["median"][0])
