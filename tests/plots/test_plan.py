"""Figures of decisions: what is drawn, and with which units."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

import sloth_bayes as sb


@pytest.fixture(scope="module")
def post() -> sb.Posterior:
    return sb.load("leaderboard")


def labels(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def diamonds(axis):
    return [line.get_xydata() for line in axis.lines if line.get_marker() == "D"]


def test_a_required_size_is_marked(post):
    found = post.required_size("MMLU", 0.7, tokens=15, family="meta-llama-3")
    left, right = found.plot()
    need = found.frame["required_b"][0]
    assert diamonds(right)[0][0] == pytest.approx([need, 90])
    assert left.get_ylabel() == "MMLU (%)"
    assert left.get_xscale() == "log"
    assert f"required: {need:.3g}B" in labels(left.figure)
    curve = left.lines[0].get_ydata()
    assert curve == pytest.approx(100 * found.curve["median"].to_numpy())


def test_a_target_out_of_reach_has_no_mark(post):
    found = post.required_size("MMLU", 0.75, tokens=15, family="yi", sizes=(0.1, 1))
    _, right = found.plot()
    assert not diamonds(right)
    assert "not reachable within the range" in labels(right.figure)


def test_saturation_shows_the_sizes_asked_about(post):
    found = post.saturation("HellaSwag", 0.01, tokens=15, at=[7, 70], family="meta-llama-3")
    left, right = found.plot()
    assert left.get_ylabel() == "gain of a doubling of size (points)"
    assert diamonds(right)[0][:, 0].tolist() == [7, 70]
    skill = post.saturation("reasoning", 0.3, tokens_per_param=200)
    assert skill.plot()[0].get_ylabel() == "gain of a doubling of size (sd)"
    tokens = post.saturation("MMLU", 0.01, per="tokens", params=7)
    assert tokens.plot()[0].get_xlabel() == "tokens (T)"


def test_an_allocation_has_a_panel_an_objective(post):
    found = post.optimal_allocation([1e23, 1e24], ["MMLU", "average"])
    axes = found.plot()
    assert [a.get_title(loc="left") for a in axes] == ["MMLU", "average"]
    for axis, (_, rows) in zip(axes, found.frame.groupby("objective", sort=False)):
        seen = np.concatenate(diamonds(axis))
        assert seen == pytest.approx(rows[["params_b", "tokens_t"]].to_numpy())
    assert "budget 1e+24" in labels(axes[0].figure)


def test_one_budget_shows_what_is_lost_beside_the_best(post):
    found = post.optimal_allocation(1e24, "MMLU")
    axes = found.plot()
    assert axes[1].get_ylabel() == "loss (points)"
    assert axes[1].lines[0].get_ydata() == pytest.approx(100 * found.curves["loss"].to_numpy())


def test_a_comparison_has_a_panel_a_pair(post):
    a = {"family": "qwen2", "params_b": 72, "tokens_t": 7}
    found = post.compare(a, sb.candidates(["yi", "qwen1.5"], [34, 72], 3), benchmarks=["MMLU"])
    axes = found.plot()
    assert len(axes) == 2
    assert axes[1].get_title(loc="left").endswith("b: qwen1.5-72B-3T")
    assert [t.get_text() for t in axes[0].get_yticklabels()] == ["MMLU", "average"]


def test_the_most_useful_measurements_are_bars(post):
    target = {"family": "mine", "params_b": 70, "tokens_t": 4}
    found = post.next_evaluation(
        target, sb.candidates("mine", [0.5, 3], 4), new_family=True, benchmarks=["MMLU", "GSM8K"]
    )
    (axis,) = found.plot(top=4)
    assert [bar.get_width() for bar in axis.patches] == pytest.approx(
        100 * found.frame["reduction"].head(4).to_numpy()
    )
    assert "average of mine-70B-4T" in axis.get_title(loc="left")
    with pytest.raises(sb.DataError, match="top must be a positive"):
        found.plot(top=0)


def test_axes_may_be_given_and_settings_stay(post):
    before = dict(plt.rcParams)
    _, given = plt.subplots(1, 2)
    found = post.required_size("MMLU", 0.7, tokens=15)
    assert found.plot(ax=given)[0] is given[0]
    assert dict(plt.rcParams) == before
    with pytest.raises(sb.DataError, match="2 axes, not 1"):
        found.plot(ax=given[0])
