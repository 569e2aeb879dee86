"""Decisions: exact small cases, agreement with forecasts and with brute force, clear errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sloth_bayes as sb
from sloth_bayes.api import Posterior
from sloth_bayes.plan import budget as allocation
from sloth_bayes.plan import compare as choices
from sloth_bayes.plan import curves, region
from studies import allocation as study
from tests.conftest import NAMES

LLAMA = {"family": "meta-llama-3", "tokens": 15}


@pytest.fixture(scope="module")
def post() -> sb.Posterior:
    return sb.load("leaderboard")


@pytest.fixture(scope="module")
def skills(post) -> sb.Skills:
    return post.skills()


def expected(post, family, size, tokens, name, **options):
    frame = sb.candidates(family, size, tokens)
    draws = post.forecast(frame, **options).draws["expected"].sel(benchmark=name)
    return draws.transpose("chain", "draw", "model").values.reshape(post.n_draws, -1)


# -- curves ------------------------------------------------------------------------------


def test_a_curve_is_what_a_forecast_says(post, skills):
    who = curves.who_of(post, "qwen2")
    size, tokens = np.array([1.0, 70.0]), np.array([7.0, 3.0])
    for name in ("MMLU", "IFEval"):
        found = curves.values(post, who, size, tokens, curves.goal_of(post, name))
        assert found == pytest.approx(expected(post, "qwen2", [1, 70], [7, 3], name), abs=1e-6)
    found = curves.values(post, who, size, tokens, curves.goal_of(post, "reasoning", skills))
    of = skills.of(sb.candidates("qwen2", [1, 70], [7, 3])).sel(skill="reasoning")
    assert found == pytest.approx(of.values.reshape(post.n_draws, 2), abs=1e-6)


def test_a_curve_has_every_effect_there_is(tiny_posterior):
    """Slopes by lineage and a model's own effect, of a family seen and of one never seen."""
    size, tokens = np.exp(tiny_posterior.tree["constant_data"]["centre"].values)
    for family in ("birch-chat", "dogwood"):
        who = curves.who_of(tiny_posterior, family, new_family=True)
        frame = sb.candidates(family, size, tokens, model="planned")
        fc = tiny_posterior.forecast(frame, new_family=True).draws["expected"]
        for j, name in enumerate(NAMES):
            goal = curves.goal_of(tiny_posterior, name)
            at = np.array([size]), np.array([tokens])
            found = curves.values(tiny_posterior, who, *at, goal)[:, 0]
            assert found == pytest.approx(fc.values[:, :, 0, j].ravel(), abs=1e-5)


def test_sizes_of_each_draw_are_those_sizes(post):
    who, goal = curves.who_of(post, None), curves.goal_of(post, {"MMLU": 1, "GSM8K": 3})
    size = np.geomspace(1, 100, post.n_draws)
    found = curves.values(post, who, size[:, None], np.full((1, 1), 2.0), goal)[:, 0]
    common = curves.values(post, who, size[::100], np.full(len(size[::100]), 2.0), goal)
    assert found[::100] == pytest.approx(common[::100].diagonal())


# -- required size -------------------------------------------------------------------------


def test_the_exact_size_just_reaches_the_target(post):
    found = post.required_size("MMLU", 0.7, **LLAMA)
    size = found.draws["size"].values.ravel()
    who, goal = curves.who_of(post, "meta-llama-3"), curves.goal_of(post, "MMLU")
    here = curves.values(post, who, size[:, None], np.full((1, 1), 15.0), goal)
    assert here == pytest.approx(0.7, abs=1e-6)
    row = found.frame.iloc[0]
    assert row["median"] == pytest.approx(np.median(size), rel=0.01)
    assert row["lower"] < row["median"] < row["required_b"] < row["upper"]


def test_the_required_size_reaches_it_as_often_as_asked(post):
    need = post.required_size("GSM8K", 0.6, probability=0.8, **LLAMA).frame["required_b"][0]
    p = [
        (expected(post, "meta-llama-3", need * factor, 15, "GSM8K") >= 0.6).mean()
        for factor in (0.99, 1.0001)
    ]
    assert p[0] < 0.8 <= p[1] + 1e-9


@pytest.mark.filterwarnings("ignore::sloth_bayes.ExtrapolationWarning")
def test_one_evaluation_asks_for_more(post):
    row = post.required_size("MUSR", 0.4, noisy=True, **LLAMA).frame.iloc[0]
    plain = post.required_size("MUSR", 0.4, **LLAMA).frame.iloc[0]
    assert row["required_b"] > plain["required_b"]
    fc = post.forecast(sb.candidates("meta-llama-3", row["required_b"], 15), seed=4)
    share = (fc.draws["score"].sel(benchmark="MUSR") >= 0.4).mean()
    assert float(share) == pytest.approx(0.9, abs=0.03)  # 1,000 draws of either noise


def test_more_tokens_or_a_lower_bar_need_less(post):
    def need(target, probability=0.9, **held):
        found = post.required_size("MMLU", target, probability=probability, **held)
        return found.frame["required_b"][0]

    assert need(0.6, tokens=15) < need(0.7, tokens=15) < need(0.7, tokens=5)
    assert need(0.7, 0.5, tokens=15) < need(0.7, 0.9, tokens=15)
    same = need(0.7, tokens_per_param=100)
    assert need(0.7, tokens=same / 10) == pytest.approx(same, rel=1e-6)


def test_not_reachable_is_an_answer(post):
    found = post.required_size("MMLU", 0.75, sizes=(0.1, 1), **LLAMA)
    row = found.frame.iloc[0]
    assert np.isinf(row[["required_b", "median", "upper"]].to_numpy(float)).all()
    assert row["p_reachable"] == 0
    assert "not reachable within the range" in found.messages[0]
    some = post.required_size("GPQA", 0.6, sizes=(1, 400), **LLAMA)
    row, size = some.frame.iloc[0], some.draws["size"].values
    assert 0 < row["p_reachable"] < 0.9
    assert row["p_reachable"] == pytest.approx(np.isfinite(size).mean())
    assert np.isinf(row["required_b"])


def test_beyond_the_data_is_said(post):
    found = post.required_size("average", 0.65, tokens_per_param=200)
    assert found.frame["beyond_data"][0]
    assert any("beyond the data" in m for m in found.messages)
    assert any("never seen" in m for m in found.messages)


def test_a_curve_that_falls_again_counts_from_its_first_crossing():
    grid = np.array([1.0, 2.0, 4.0, 8.0])
    reached = np.array([[False, True, False, True], [True] * 4, [False] * 4])
    size, start = curves.first_crossing(grid, reached, lambda x: x > 1.5)
    assert size == pytest.approx([1.5, 1.0, np.inf])
    assert start == pytest.approx(1 / 3)


# -- saturation ----------------------------------------------------------------------------


def test_where_it_saturates_a_doubling_gains_just_that(post):
    found = post.saturation("HellaSwag", 0.01, at=[7, 40, 70], **LLAMA)
    point = found.draws["saturation"].values.ravel()
    who, goal = curves.who_of(post, "meta-llama-3"), curves.goal_of(post, "HellaSwag")

    def value(size):
        return curves.values(post, who, size[:, None], np.full((1, 1), 15.0), goal)[:, 0]

    assert value(2 * point) - value(point) == pytest.approx(0.01, abs=1e-6)
    frame = found.frame
    assert frame["p_saturated"].tolist() == [(point <= x).mean() for x in (7, 40, 70)]
    two = expected(post, "meta-llama-3", [70, 140], 15, "HellaSwag")
    assert frame["gain_median"][2] == pytest.approx(np.median(two[:, 1] - two[:, 0]), abs=1e-6)


def test_a_small_gain_near_chance_is_not_saturation(post):
    found = post.saturation("MATH Lvl 5", 0.02, family="meta-llama-3", tokens=15, at=0.1)
    assert found.frame["gain_upper"][0] < 0.02
    assert found.frame["p_saturated"][0] == 0


def test_with_tokens_fixed_a_skill_saturates_throughout_or_never(post, skills):
    found = post.saturation("reasoning", 0.18, tokens=1.5, skills=skills)
    low = post.extent("params_b")[0]
    assert set(found.draws["saturation"].values.ravel()) == {low, np.inf}
    row = found.frame.iloc[0]
    assert row["p_throughout"] + row["p_never"] == pytest.approx(1)
    slope = skills.elasticities(params_b=3, tokens_t=1.5).query(
        "of == 'size' and skill == 'reasoning'"
    )
    assert row["gain_median"] != row["gain_median"]  # nothing was asked about
    asked = post.saturation("reasoning", 0.18, tokens=1.5, at=3, skills=skills).frame
    assert asked["gain_median"][0] == pytest.approx(slope["median"].iloc[0])
    assert any("throughout or never" in m for m in found.messages)


@pytest.mark.filterwarnings("ignore::sloth_bayes.ExtrapolationWarning")
def test_tokens_can_be_doubled_as_well(post):
    found = post.saturation("MMLU", 0.01, per="doubling of tokens", params=7, at=[1, 15])
    two = expected(post, "new family", 7, [15, 30], "MMLU", new_family=True)
    gain = np.median(two[:, 1] - two[:, 0])
    assert found.frame["gain_median"][1] == pytest.approx(gain, abs=1e-6)
    assert found.frame["unit"][0] == "T"


# -- allocation ------------------------------------------------------------------------------

COEFFICIENT = st.floats(-1, 1, allow_subnormal=False).map(lambda x: round(x, 4))


@settings(max_examples=60, deadline=None)
@given(st.tuples(COEFFICIENT, COEFFICIENT, COEFFICIENT), st.floats(-4, 4), st.floats(0.5, 8))
def test_the_closed_form_is_the_best_of_a_grid(b, total, width):
    low, high = -1.0, -1.0 + width
    at, inside = allocation.closed_form(np.array([b]), total, low, high)
    grid = np.linspace(low, high, 4001)

    def value(x):
        return b[0] * x + b[1] * (total - x) + b[2] * x * (total - x)

    assert low <= at[0] <= high
    assert value(at[0]) >= value(grid).max() - 1e-9
    if inside[0]:
        assert b[2] > 0


@pytest.mark.parametrize("goal", ["reasoning", "MMLU", "average", {"MMLU": 2, "IFEval": 1}])
def test_optima_agree_with_a_dense_grid(post, skills, goal):
    found = post.optimal_allocation(3e23, goal, family="qwen2", skills=skills)
    size = found.draws["params_b"].values.ravel()
    low, high = found.curves["params_b"].iloc[[0, -1]]
    grid = np.geomspace(low, high, 601)
    assert grid[1] / grid[0] < 1.01
    who, objective = curves.who_of(post, "qwen2"), curves.goal_of(post, goal, skills)
    dense = curves.values(post, who, grid, 3e23 / 6e21 / grid, objective)
    assert size == pytest.approx(grid[dense.argmax(1)], rel=0.01)


def test_the_budget_is_spent_inside_the_hull(post):
    found = post.optimal_allocation([1e22, 1e24], ["MMLU", "average"])
    draws = found.draws
    spent = 6e21 * draws["params_b"] * draws["tokens_t"]
    assert (spent / draws["budget"]).values == pytest.approx(1, rel=1e-9)
    hull = region.Hull(post)
    assert hull.holds(draws["params_b"].values, draws["tokens_t"].values).all()
    frame = found.frame
    assert not frame["beyond_data"].any()
    total = frame["p_interior"] + frame["p_smallest"] + frame["p_largest"]
    assert total.to_numpy() == pytest.approx(1)
    # The answer loses least on average: moving away loses more
    for (budget, name), line in found.curves.groupby(["budget", "objective"]):
        row = frame[(frame["budget"] == budget) & (frame["objective"] == name)].iloc[0]
        assert row["regret"] <= line["loss"].min() + 1e-4


def test_a_cost_function_and_the_default_agree(post):
    plain = post.optimal_allocation(1e24, ["MMLU", "average"])
    same = post.optimal_allocation(1e24, ["MMLU", "average"], cost=lambda n, d: 6 * n * d)
    columns = ["size_median", "size_lower", "size_upper", "tokens_median", "params_b", "value"]
    assert same.frame[columns].to_numpy() == pytest.approx(
        plain.frame[columns].to_numpy(), rel=5e-3
    )


def test_serving_makes_models_smaller(post):
    def best(served):
        found = post.optimal_allocation(
            1e24, "MMLU", cost=lambda n, d: 6 * n * d + 2 * n * served
        ).frame.iloc[0]
        spent = 6e21 * found["params_b"] * found["tokens_t"] + 2e9 * found["params_b"] * served
        assert spent == pytest.approx(1e24, rel=1e-6)
        return found["size_median"]

    assert best(1e13) < best(2e12) < best(0.0)


def test_beyond_the_data_is_marked(post):
    found = post.optimal_allocation(1e26, "MMLU", beyond=True)
    row = found.frame.iloc[0]
    assert row["beyond_data"]
    assert row["p_beyond"] == 1
    assert "outside the hull" in found.messages[-1]
    with pytest.raises(sb.DataError, match=r"1e\+26 buys no model .*beyond=True"):
        post.optimal_allocation(1e26, "MMLU")


def test_falls_are_those_of_the_slopes(post):
    found = post.optimal_allocation(1e24, ["MMLU", {"MMLU": 1, "BBH": 1e-9}]).frame
    slope = allocation.coefficients(post, curves.who_of(post, None), curves.goal_of(post, "MMLU"))
    centre = post.constant("centre")
    corners = region.Hull(post).corners
    xy = (corners - centre) / np.log(2)
    by_hand = (slope[:, [1]] + slope[:, [2]] * xy[:, 0] < 0).any(1).mean()
    assert found["p_falls_tokens"][0] == pytest.approx(by_hand)
    # The same on a grid of scores, whose points stop short of the corners
    assert found["p_falls_tokens"][1] <= found["p_falls_tokens"][0]
    assert found["p_falls_tokens"][1] == pytest.approx(by_hand, abs=0.25)


def test_an_edge_is_said_to_be_one(post, skills):
    found = post.optimal_allocation(1e22, "knowledge", skills=skills)
    assert found.frame["edge"][0] == "largest"
    assert found.frame["p_interior"][0] < 0.5
    assert "edge of the range" in found.messages[-1]


def test_a_law_of_products_cannot_split_a_budget(post):
    other = Posterior(post.tree, post.spec.replace(inputs="flops"))
    with pytest.raises(sb.DataError, match="cannot tell how to split"):
        other.optimal_allocation(1e24, "MMLU")


def test_the_study_goes_on_where_it_was_cut_off(monkeypatch, tmp_path):
    seen = []

    def evaluate(table, **options):
        seen.append(table)
        row = {"seed": table, "r_hat": 1.0, "seconds": 1.0}
        for name in ("average", "one"):
            row |= {f"true_{name}": 4.0, f"inside_{name}": 1.0, f"median_{name}": 8.0}
            row |= {f"ratio_{name}": 2.0, f"p_interior_{name}": 0.9}
        return row

    class Named(int):
        seed = property(int)

    monkeypatch.setattr(study, "evaluate", evaluate)
    monkeypatch.setattr(study, "tables", lambda n: (Named(k) for k in range(n)))
    path = tmp_path / "out.csv"
    assert len(study.study(2, path)) == 2
    found = study.summarise(study.study(3, path))
    assert seen == [0, 1, 2]
    assert found["in the 90% interval, average"] == 1
    assert found["mean error in doublings, one"] == pytest.approx(1)


@pytest.mark.slow
def test_a_simulated_optimum_is_found():
    """Four tables of the study, whose forty are run as a command."""
    found = study.study(4)
    assert found["inside_average"].sum() >= 3


# -- compare --------------------------------------------------------------------------------

QWEN = {"family": "qwen2", "params_b": 72, "tokens_t": 7}
OTHER = {"family": "yi", "params_b": 34, "tokens_t": 3}


@pytest.mark.parametrize("of", ["expected", "score"])
def test_a_comparison_is_of_the_same_draws(post, of):
    found = post.compare(QWEN, OTHER, of=of)
    both = sb.candidates(["qwen2", "yi"], [72, 34], [7, 3])
    draws = post.forecast(both).draws[of]
    gap = draws.isel(model=0, drop=True) - draws.isel(model=1, drop=True)
    frame = found.frame.set_index("benchmark")
    assert frame.loc["MMLU", "p_a"] == pytest.approx(float((gap.sel(benchmark="MMLU") > 0).mean()))
    assert frame.loc["average", "mean"] == pytest.approx(float(gap.mean()), abs=1e-6)
    assert list(frame.index) == [*post.benchmarks, "average"]
    back = post.compare(OTHER, QWEN, of=of).frame.set_index("benchmark")
    assert back["p_a"].to_numpy() == pytest.approx(1 - frame["p_a"].to_numpy())
    assert back["lower"].to_numpy() == pytest.approx(-frame["upper"].to_numpy())


def test_weights_of_an_average(post):
    """The gap of a weighted mean is the weighted mean of gaps, draw by draw."""
    weights = {"MMLU": 3, "BBH": 1}
    found = post.compare(QWEN, OTHER, benchmarks=["BBH", "MMLU"], weights=weights)
    gap = found.draws["gap"].squeeze("pair")
    one = gap.sel(benchmark="MMLU") * 0.75 + gap.sel(benchmark="BBH") * 0.25
    np.testing.assert_allclose(gap.sel(benchmark="average"), one, rtol=1e-6)
    with pytest.raises(sb.UnknownNameError, match="GSM8K"):
        post.compare(QWEN, OTHER, benchmarks="MMLU", weights={"GSM8K": 1})
    options = sb.candidates("qwen2", [0.5, 7], 7)
    mean = post.next_evaluation(QWEN, options, of=weights, benchmarks=["MMLU"], together=False)
    assert mean.target.startswith("3 MMLU + 1 BBH of ")
    fc = post.forecast(sb.candidates(**QWEN)).average(weights, of="expected")
    assert mean.frame["sd_now"].iloc[0] == pytest.approx(fc["sd"].iloc[0], rel=2e-3)


def test_what_is_shared_cancels(post):
    small, large = ({"family": "nobody", "params_b": s, "tokens_t": 2} for s in (7, 70))
    row = post.compare(large, small, new_family=True, benchmarks="MMLU").frame.iloc[0]
    apart = [expected(post, "nobody", s, 2, "MMLU", new_family=True).std() for s in (7, 70)]
    assert row["p_a"] > 0.99
    assert row["sd"] < np.hypot(*apart)


def test_candidates_come_in_many_forms(post):
    table = sb.candidates(["yi", "qwen1.5"], [34, 72], 3)
    found = post.compare(QWEN, table, benchmarks=["MMLU", "BBH"])
    assert found.frame["b"].tolist() == ["yi-34B-3T"] * 3 + ["qwen1.5-72B-3T"] * 3
    assert found.draws["gap"].sizes["pair"] == 2
    one = post.compare(pd.Series(QWEN), table.drop(columns="model").iloc[[0]], benchmarks=["MMLU"])
    assert one.frame["mean"][0] == pytest.approx(found.frame["mean"][0])


# -- next evaluation --------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
def test_a_linear_gaussian_case_is_exact(noise):
    rng = np.random.default_rng(1)
    t = rng.normal(size=20_000)
    y = t[:, None] + noise * rng.normal(size=(20_000, 3))
    for k in (1, 3):
        share, error = choices.explained(t, y[:, :k])
        exact = k / (k + noise**2)  # of the mean of k measurements
        assert abs(share - exact) < max(4 * error, 0.01)
    nothing, _ = choices.explained(t, rng.normal(size=(20_000, 3)))
    assert nothing < 0.002


def test_replicates_of_the_noise_count_as_one_draw():
    rng = np.random.default_rng(2)
    t = rng.normal(size=4_000)
    y = t[:, None] + rng.normal(size=(8, 4_000, 1))
    share, error = choices.explained(t, y)
    assert abs(share - 0.5) < 4 * error < 0.1


def test_a_curved_relation_is_followed():
    rng = np.random.default_rng(3)
    z = rng.normal(size=20_000)
    y = np.exp(z)[:, None]  # known exactly, but far from linear
    assert choices.explained(z, y)[0] > 0.95
    assert np.corrcoef(z, y[:, 0])[0, 1] ** 2 < 0.6


def test_a_constant_measurement_tells_nothing():
    t = np.random.default_rng(4).normal(size=500)
    assert choices.explained(t, np.zeros((500, 1)))[0] == 0
    assert choices.explained(np.ones(500), t[:, None])[0] == 0


def test_measurements_are_ranked(post):
    options = sb.candidates("mine", [0.5, 3], 4)
    found = post.next_evaluation(
        {"family": "mine", "params_b": 70, "tokens_t": 4}, options, of="GSM8K",
        benchmarks=["GSM8K", "MUSR"], new_family=True,
    )  # fmt: skip
    frame = found.frame
    assert frame["reduction"].is_monotonic_decreasing
    assert len(frame) == 2 * 3
    by = frame.set_index(["params_b", "benchmark"])["reduction"]
    assert by[3, "GSM8K"] > by[0.5, "GSM8K"] > by[0.5, "MUSR"]
    assert by[3, choices.ALL] > by[3, "GSM8K"] - 0.01
    assert frame["cost"].unique() == pytest.approx([6e21 * 3 * 4, 6e21 * 0.5 * 4])
    now = expected(post, "mine", 70, 4, "GSM8K", new_family=True).std(ddof=1)
    assert frame["sd_now"].to_numpy() == pytest.approx(now, rel=1e-5)
    after = now * np.sqrt(1 - frame["reduction"])
    assert frame["sd_after"].to_numpy() == pytest.approx(after.to_numpy(), rel=1e-5)


def test_costs_may_be_given(post):
    target = {"family": "mine", "params_b": 70, "tokens_t": 4}
    options = sb.candidates("mine", [0.5, 3], 4).assign(cost=[2.0, 5.0])
    say = {"new_family": True, "benchmarks": ["MMLU"]}
    assert set(post.next_evaluation(target, options, **say).frame["cost"]) == {2.0, 5.0}
    found = post.next_evaluation(target, options, cost=lambda n, d: n / 1e9, **say)
    assert set(found.frame["cost"]) == {0.5, 3.0}


# -- errors -----------------------------------------------------------------------------------

ERRORS = {
    "above the asymptote": (lambda p: p.required_size("BBH", 0.99, tokens=1), "upper asymptote"),
    "below chance": (lambda p: p.required_size("MMLU", 0.25, tokens=1), "not above chance"),
    "percent": (lambda p: p.required_size("MMLU", 70, tokens=1), r"between 0 and 1 \(0.8 for"),
    "no benchmark": (lambda p: p.required_size("MMLX", 0.7, tokens=1), "did you mean 'MMLU'"),
    "no family": (lambda p: p.required_size("MMLU", 0.7, tokens=1, family="qwen22"), "qwen2"),
    "no tokens": (lambda p: p.required_size("MMLU", 0.7), "tokens_per_param=, and not both"),
    "negative tokens": (lambda p: p.required_size("MMLU", 0.7, tokens=-1), "positive number"),
    "sure": (lambda p: p.required_size("MMLU", 0.7, tokens=1, probability=1), "between 0 and 1"),
    "range": (lambda p: p.required_size("MMLU", 0.7, tokens=1, sizes=(7, 1)), "from a smaller"),
    "noisy skill": (lambda p: p.required_size("reasoning", 1, tokens=1, noisy=True), "no noise"),
    "weights": (lambda p: p.required_size({"MMLU": -1}, 0.7, tokens=1), "at least 0, not -1"),
    "all zero": (lambda p: p.required_size({"MMLU": 0}, 0.7, tokens=1), "all weights are 0"),
    "no gain": (lambda p: p.saturation("MMLU", 0, tokens=1), "gain must be a positive"),
    "huge gain": (lambda p: p.saturation("MMLU", 0.9, tokens=1), "more than the whole range"),
    "held": (lambda p: p.saturation("MMLU", params=7), "moves params: hold tokens"),
    "at": (lambda p: p.saturation("MMLU", tokens=1, at=1e6), "within the range considered"),
    "per": (lambda p: p.saturation("MMLU", per="halving", tokens=1), "kind of doubling"),
    "zero budget": (lambda p: p.optimal_allocation(0, "MMLU"), "budget must be a positive"),
    "tiny budget": (lambda p: p.optimal_allocation(1e10, "MMLU"), "buys no model"),
    "no objective": (lambda p: p.optimal_allocation(1e24, []), "there is no objective"),
    "negative cost": (
        lambda p: p.optimal_allocation(1e24, "MMLU", cost=lambda n, d: -n * d),
        "positive, finite number for each model",
    ),
    "cost of size alone": (
        lambda p: p.optimal_allocation(1e24, "MMLU", cost=lambda n, d: n),
        "must grow with tokens",
    ),
    "two ranges": (
        lambda p: p.optimal_allocation(1e24, "MMLU", beyond=True, params_range=(1, 2)),
        "beyond=True chooses",
    ),
    "itself": (lambda p: p.compare(QWEN, QWEN), "compared with itself"),
    "lacks": (lambda p: p.compare({"family": "yi"}, QWEN), "a lacks 'params_b'"),
    "kind": (lambda p: p.compare(7, QWEN), "a must be a table"),
    "pairs": (
        lambda p: p.compare(sb.candidates("yi", [1, 2], 1), sb.candidates("yi", [3, 4, 5], 1)),
        "must pair up",
    ),
    "two targets": (
        lambda p: p.next_evaluation(sb.candidates("yi", [1, 2], 1), QWEN),
        "must be one model",
    ),
    "price": (
        lambda p: p.next_evaluation(QWEN, sb.candidates("yi", 1, 1).assign(cost=-1)),
        "number of at least 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_nonsense_gets_a_clear_error(post, name):
    ask, words = ERRORS[name]
    with pytest.raises(sb.SlothBayesError, match=words):
        ask(post)
