"""Figures of checks: what is drawn of priors and of fits."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import sloth_bayes as sb
from sloth_bayes.predict.before_data import before_data
from tests.conftest import NAMES


@pytest.fixture(scope="module")
def tree(tiny_prior):
    return before_data(tiny_prior)


def medians(axis) -> list[np.ndarray]:
    return [line.get_xdata() for line in axis.lines if line.get_marker() == "o"]


def test_priors_in_points(tree):
    left, right = sb.plots.priors(tree, observed=True)
    gain = tree["prior"]["gain"]
    for drawn, name in zip(medians(left), ("size", "tokens")):
        wanted = 100 * gain.sel(doubled=name).median(("chain", "draw")).values
        np.testing.assert_allclose(drawn, wanted, atol=1e-4)
    score = tree["prior_predictive"]["score"]
    best = score[..., score["obs_benchmark"].values == "Maths"].max("observation")
    assert medians(right)[0][NAMES.index("Maths")] == pytest.approx(100 * float(best.median()))
    seen = tree["observed_data"]["score"]
    (worst,) = [line.get_xdata() for line in right.lines if line.get_marker() == "x"][2:]
    least = float(seen[seen["obs_benchmark"].values == "Code"].min())
    assert worst[NAMES.index("Code")] == pytest.approx(100 * least)
    assert [t.get_text() for t in left.get_yticklabels()] == NAMES


def test_a_law_without_tokens_has_one_doubling(tree):
    without = tree.copy()
    gain = tree["prior"]["gain"]
    without["prior"] = (
        tree["prior"].to_dataset().assign(gain=gain.where(gain["doubled"] == "size", 0.0))
    )
    left, _ = sb.plots.priors(without, benchmarks="Maths")
    assert len(medians(left)) == 1


def test_priors_that_cannot_be_drawn(tree, tiny_prior):
    with pytest.raises(sb.DataError, match="prior_predictive"):
        sb.plots.priors(tiny_prior.tree)
    with pytest.raises(sb.UnknownNameError):
        sb.plots.priors(tree, benchmarks="Mats")
    _, ax = plt.subplots()
    with pytest.raises(sb.DataError, match="needs 2 axes"):
        sb.plots.priors(tree, ax=ax)


def line(axis) -> np.ndarray:
    """The height of what ArviZ draws, wherever the line has a point."""
    return max((one.get_ydata() for one in axis.lines), key=len)


def test_predictive_check_of_a_posterior_and_of_what_was_left_out(tiny_posterior):
    before = dict(plt.rcParams)
    axes = sb.plots.predictive_check(tiny_posterior, benchmarks=["Code", "Maths"])
    assert [axis.get_title(loc="left") for axis in axes] == ["Code", "Maths"]
    assert len(sb.plots.predictive_check(tiny_posterior, coverage=True)) == len(NAMES)
    assert dict(plt.rcParams) == before

    # all scores far above what the others say of them: no PIT lies below 0.9
    frame = pd.DataFrame({"benchmark": ["Maths"] * 20 + ["Code"], "pit": 0.95})
    found = sb.Surprises(frame, frame, 0.01, ())
    (axis,) = sb.plots.predictive_check(found)  # of one score there is nothing to see
    assert line(axis).min() < -0.8
    with pytest.raises(sb.UnknownNameError):
        sb.plots.predictive_check(found, benchmarks="Code")
