"""Scores against exact small cases, simulation, and each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sloth_bayes.evaluate import scores
from sloth_bayes.law.likelihood import StudentT


def test_crps_by_hand():
    draws = np.array([[0.0], [0.5], [1.0]])
    # E|X - 0.5| = 1/3; pairs of different draws are 0.5, 0.5 and 1 apart: E|X - X'| / 2 = 1/3
    assert scores.crps(draws, np.array([0.5]))[0] == pytest.approx(0.0)
    # E|X - 1| = 1/2
    assert scores.crps(draws, np.array([1.0]))[0] == pytest.approx(0.5 - 1 / 3)


def test_crps_of_a_normal():
    """The closed form of Gneiting and Raftery (2007)."""
    rng = np.random.default_rng(0)
    y = np.array([-1.0, 0.0, 2.5])
    draws = rng.standard_normal((200_000, 1)) * np.ones(3)
    exact = y * (2 * stats.norm.cdf(y) - 1) + 2 * stats.norm.pdf(y) - 1 / np.sqrt(np.pi)
    assert scores.crps(draws, y) == pytest.approx(exact, abs=0.01)


def test_crps_of_a_point_is_its_error():
    assert scores.crps(np.array([[0.2, 0.9]]), np.array([0.5, 0.5])) == pytest.approx([0.3, 0.4])


@given(st.floats(0, 1), st.floats(0, 1), st.integers(2, 30))
def test_crps_is_never_above_the_mean_error(y, centre, n):
    draws = centre + np.linspace(-0.1, 0.1, n)[:, None]
    value = scores.crps(draws, np.array([y]))[0]
    assert value <= np.abs(draws - y).mean() + 1e-12


def test_log_score_of_one_draw_is_its_density():
    y, mu, sd = np.array([0.4]), np.array([[0.5]]), np.array([[0.1]])
    exact = stats.t(4, 0.5, 0.1).logpdf(0.4)
    found = scores.log_score(y, mu, sd, StudentT(4), np.zeros(1))[0]
    assert found == pytest.approx(exact, abs=1e-6)


def test_an_end_that_rounds_to_the_score_counts_as_inside():
    draws = np.linspace(0.124, 0.2, 1001)[:, None]
    assert not scores.covers(draws, np.array([0.12]), 0.9)[0]
    assert scores.covers(draws, np.array([0.13]), 0.9, 0.01)[0]
    assert not scores.covers(draws, np.array([0.12]), 0.9, 0.01)[0]


def test_interval_score_by_hand():
    lower, upper = np.array([0.2, 0.2]), np.array([0.6, 0.6])
    y = np.array([0.5, 0.7])
    # width 0.4; 0.1 above costs 2 / 0.1 times as much
    assert scores.interval_score(lower, upper, y, 0.9) == pytest.approx([0.4, 2.4])


@pytest.mark.parametrize("step", [0.0, 0.05])
def test_pit_of_a_calibrated_forecast_is_uniform(step):
    rng = np.random.default_rng(1)
    draws, y = rng.normal(0.5, 0.1, (500, 3000)), rng.normal(0.5, 0.1, 3000)
    if step:
        y = np.round(y / step) * step
    u = scores.pit(draws, y, step, rng)
    assert stats.kstest(u, "uniform").pvalue > 0.01
    narrow = scores.pit(0.5 + 0.5 * (draws - 0.5), y, step, rng)
    assert stats.kstest(narrow, "uniform").pvalue < 1e-6


def test_the_band_holds_as_often_as_it_says():
    n, points = 200, 100
    half = scores.calibration_band(n, 0.95, points)
    grid = (np.arange(points) + 0.5) / points
    rng = np.random.default_rng(7)
    u = rng.random((2000, n))
    ecdf = (u[:, :, None] <= grid).mean(1)
    inside = (np.abs(ecdf - grid) <= half + 1e-12).all(1).mean()
    assert abs(inside - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 2000) + 0.01


def test_the_bootstrap_resamples_groups():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(20).astype(str), 50)
    values = np.repeat(rng.normal(size=20), 50)  # one number a group
    se, low, high = scores.bootstrap_interval(values, group)
    assert se == pytest.approx(values[::50].std() / np.sqrt(20), rel=0.1)
    assert low < values.mean() < high
