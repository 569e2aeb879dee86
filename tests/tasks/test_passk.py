"""Pass@k: the estimator exactly, counts that make no sense, curves, and simulated truth."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from typer.testing import CliRunner

import sloth_bayes as sb
from sloth_bayes.cli import app
from sloth_bayes.table.samples import empirical
from sloth_bayes.tasks.passk import Falls, ahead, falls, nearness, pooled, regressions, with_ones
from studies.passk import SCORED, covered, ridge_logistic, simulated

# -- the estimator -----------------------------------------------------------------------


@st.composite
def _counts(draw):
    n = draw(st.integers(1, 3000))
    return n, draw(st.integers(0, n)), draw(st.integers(1, n))


@settings(deadline=None, max_examples=200)
@given(_counts())
def test_the_estimator_is_the_ratio_of_binomial_coefficients(nck):
    n, c, k = nck
    exact = 1 - Fraction(math.comb(n - c, k), math.comb(n, k))
    assert float(sb.unbiased_pass_at_k(n, c, k)) == pytest.approx(float(exact), rel=1e-11)


def test_ten_thousand_samples_neither_overflow_nor_lose_digits():
    assert float(sb.unbiased_pass_at_k(10000, 1, 1)) == pytest.approx(1e-4, rel=1e-12)
    assert float(sb.unbiased_pass_at_k(10000, 1, 7777)) == pytest.approx(0.7777, rel=1e-12)
    n, c, k = 10000, 37, 150
    exact = 1 - Fraction(math.comb(n - c, k), math.comb(n, k))
    assert float(sb.unbiased_pass_at_k(n, c, k)) == pytest.approx(float(exact), rel=1e-11)
    every = sb.unbiased_pass_at_k(n, np.arange(0, n + 1, 50)[:, None], np.arange(1, n + 1, 50))
    assert np.isfinite(every).all()
    assert (np.diff(every, axis=0) >= -1e-13).all()
    assert (np.diff(every, axis=1) >= -1e-13).all()
    assert (every[0] == 0).all()
    assert (every[-1] == 1).all()


@pytest.mark.parametrize(
    ("n", "c", "k", "message"),
    [
        (10, 11, 1, "11 correct of 10 samples: n_correct exceeds n_samples"),
        (10, -1, 1, "cannot be negative"),
        (10, 1, 0, "at least 1, not 0"),
        (10, 1, 11, r"pass@11 cannot be estimated from 10 samples.*Posterior.pass_at_k"),
        (10, 1.5, 1, "n_correct must be whole numbers"),
        (10, "many", 1, "n_correct must be whole numbers, not 'many'"),
    ],
)
def test_counts_that_make_no_sense_are_refused(n, c, k, message):
    with pytest.raises(sb.DataError, match=message):
        sb.unbiased_pass_at_k(n, c, k)


# -- data and what enters -----------------------------------------------------------------


def test_the_counts_that_ship():
    monkeys, grid = sb.load_samples(), sb.load_samples("checkpoints")
    assert monkeys.groupby("model")["problem"].nunique().tolist() == [128] * 7
    assert (monkeys["n_samples"] == 10000).all()
    size = monkeys.groupby("model")["params_b"].first()
    assert size["pythia-70m"] == 0.07
    assert size["pythia-12b"] == 12
    assert grid["params_b"].nunique() == 9
    assert grid["tokens_t"].nunique() == 8
    assert len(set(monkeys["problem"]) & set(grid["problem"])) == 2
    with pytest.raises(sb.UnknownNameError, match="did you mean 'monkeys'"):
        sb.load_samples("monkey")


def test_empirical_curves_exist_up_to_the_number_of_samples_only():
    counts = pd.DataFrame(
        {"model": "m", "problem": [1, 2], "n_samples": [100, 10], "n_correct": [50, 0]}
    )
    found = empirical(counts, [1, 10, 11]).set_index("k")["empirical"]
    assert found[1] == pytest.approx(0.25)
    assert np.isnan(found[11])
    shuffled = empirical(counts[::-1], [1, 10, 11]).set_index("k")["empirical"]
    pd.testing.assert_series_equal(found, shuffled)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_correct": 10001}, "on problem 82: 10001 correct of 10000 samples"),
        ({"n_correct": -1}, "counts cannot be negative"),
        ({"n_samples": 0, "n_correct": 0}, "a pair without samples is left out"),
        ({"n_correct": 0.5}, "must be whole numbers"),
        ({"problem": 142}, "has problem 142 twice"),
    ],
)
def test_tables_that_make_no_sense_name_the_pair(tiny_prior, change, message):
    counts = sb.load_samples().head(3).astype({"n_correct": float})
    for column, value in change.items():
        counts.loc[0, column] = value
    with pytest.raises(sb.DataError, match=message):
        tiny_prior.pass_at_k(counts)


def test_what_is_missing_or_unknown_is_named(tiny_prior):
    counts = sb.load_samples()
    with pytest.raises(sb.DataError, match="lack the column 'n_samples'"):
        tiny_prior.pass_at_k(counts.drop(columns="n_samples"))
    plain = counts[["model", "problem", "n_samples", "n_correct"]]
    other = plain.assign(model=plain["model"].str.replace("pythia-12b", "alder-3b"))
    with pytest.raises(sb.UnknownNameError, match=r"did you mean 'alder-.*family, params_b"):
        tiny_prior.pass_at_k(other[other["model"] == "alder-3b"])
    with pytest.raises(sb.DataError, match=r"1 model\(s\).*at least three"):
        tiny_prior.pass_at_k(counts[counts["model"] == "pythia-12b"])
    known = [f"alder-{s}b" for s in ("0.5", "1", "2")]
    three = pd.concat([plain.head(2).assign(model=m) for m in known])
    again = sb.candidates("alder", 1, 1, model="alder-1b")
    with pytest.raises(sb.DataError, match="'alder-1b' has counts"):
        tiny_prior.pass_at_k(three, again)
    with pytest.raises(sb.DataError, match="k is a number of samples, at least 1"):
        tiny_prior.pass_at_k(three, k=[0])


# -- the regressions ----------------------------------------------------------------------


def _made_counts(models: int, samples: float = 1e4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Skills, samples and expected successes of models on 60 problems of one law."""
    rng = np.random.default_rng(1)
    x = np.linspace(-1.5, 1.5, models)[:, None]
    w = np.column_stack([rng.normal(-5, 2, 60), rng.normal(1, 0.3, 60)])
    n = np.full((models, 60), samples)
    return x, n, n / (1 + np.exp(-with_ones(x) @ w.T))


def test_regressions_recover_what_counts_say_and_the_prior_what_they_do_not():
    x, n, c = _made_counts(6)
    w, prior = pooled(x, n, c)
    told = c.sum(0) > 100
    given = (with_ones(x) @ w.T - np.log(c / (n - c)))[:, told]
    assert told.sum() > 40
    assert np.abs(given).max() < 0.1
    assert prior.mean == pytest.approx([-5, 1], abs=0.7)
    c[:, 0] = 0.0  # a problem that nobody solved
    unsolved = pooled(x, n, c)[0][0]
    assert -16 < unsolved[0] < -9  # rarer than one in 60,000, and not impossible
    assert 0 < unsolved[1] < 2  # stronger models solve more, as everywhere


def test_each_draw_of_skills_has_its_own_regressions():
    x, n, c = _made_counts(6)
    _, prior = pooled(x, n, c)
    both = regressions(np.stack([x, 2 * x]), n, c, prior)
    np.testing.assert_allclose(both[0], regressions(x[None], n, c, prior)[0], atol=1e-3)
    assert np.median(both[1, :, 1] / both[0, :, 1]) == pytest.approx(0.5, abs=0.05)


def test_shifts_are_how_far_models_fall_from_lesser_ones():
    x, n, c = _made_counts(8)
    odds = c[6] / (n[6] - c[6]) * np.exp(0.7)
    c[6] = n[6] * odds / (1 + odds)
    inputs = np.column_stack([np.arange(8.0), np.ones(8)])
    found = falls(x, n, np.round(c), inputs)
    first = np.unique(found.model, return_index=True)[1]  # the second time one more is left out
    shift = found.shift[first]
    assert shift[6, :4] == pytest.approx(np.full(4, 0.7), abs=0.25)
    assert np.abs(shift[[4, 5], :3]).max() < 0.3
    assert np.isnan(shift[:, 5:]).all()  # more samples than there are
    assert np.isnan(falls(x, n, 0 * c, inputs).shift).all()  # none was correct
    again = np.setdiff1d(np.arange(len(found.model)), first)
    again = again[found.model[again] > 2]  # ahead of all that it is forecast from
    assert found.far[again] == pytest.approx(2 * found.far[again - 1])


def test_a_shift_grows_with_the_distance_as_those_of_models_with_counts_do():
    rng = np.random.default_rng(0)
    far = rng.uniform(0.2, 2.0, 400)
    shift = (far * (rng.normal(0, 0.6, 400) - 0.4))[:, None] * np.ones(3)
    shift[:, 2] = np.nan
    found, alike = Falls(np.arange(400), far, shift), np.ones(400)
    mean, sd = ahead(found, alike, 3.0, "grows and bends")
    assert (mean, sd) == pytest.approx((-1.2, 1.8), rel=0.15)
    assert ahead(found, alike, 3.0, "grows") == pytest.approx(
        (0.0, 3 * np.hypot(0.6, 0.4)), rel=0.15
    )
    assert ahead(found, alike, 0.3, "one scale") == ahead(found, alike, 3.0, "one scale")


def test_near_models_count_most_where_there_are_many():
    x = np.arange(20.0)[:, None]
    weight = nearness(x, np.array([0.0]))
    assert weight[0] == 1
    assert weight[5] == pytest.approx(np.exp(-0.5))
    assert (np.diff(weight) <= 0).all()
    np.testing.assert_array_equal(nearness(x[:6], np.array([0.0])), 1)


# -- curves, from draws made by hand ------------------------------------------------------


@pytest.fixture(scope="module")
def made() -> sb.PassAtK:
    """Two models with counts and one forecast, on three problems."""
    rng = np.random.default_rng(0)
    counts = pd.DataFrame(
        {
            "model": ["a"] * 3 + ["b"] * 3, "problem": ["1", "2", "3"] * 2,
            "n_samples": 100000, "n_correct": [100, 1000, 10000, 200, 2000, 20000],
        }
    )  # fmt: skip
    log_odds = np.broadcast_to([-6.0, -4.0, -2.0], (2, 200, 3, 3)).copy()
    log_odds += np.array([-0.3, 0.3, 1.0])[:, None] + 0.1 * rng.normal(size=(2, 200, 3, 1))
    shift = np.zeros((2, 200, 3))
    shift[..., 2] = 0.4 * rng.normal(size=(2, 200))
    coords = {"chain": [0, 1], "draw": np.arange(200), "model": ["a", "b", "c"],
              "problem": ["1", "2", "3"]}  # fmt: skip
    fit = xr.Dataset(
        {"log_odds": (("chain", "draw", "model", "problem"), log_odds),
         "shift": (("chain", "draw", "model"), shift)},
        coords=coords,
    )  # fmt: skip
    return sb.PassAtK(counts, ["a", "b", "c"], fit, 0.4, 0.9, (1, 10, 1000), 0)


def test_curves_rise_with_k_and_hold_the_empirical_ones(made):
    frame = made.frame
    assert frame["forecast"].tolist() == [False] * 6 + [True] * 3
    assert (np.diff(made.draws["pass_at_k"].values, axis=-1) >= 0).all()
    seen = frame[~frame["forecast"]]
    assert ((seen["lower"] <= seen["empirical"]) & (seen["empirical"] <= seen["upper"])).all()
    assert frame.loc[frame["forecast"], "empirical"].isna().all()
    width = (frame["upper"] - frame["lower"]).groupby(frame["model"]).sum()
    assert width["c"] > 5 * width["a"]


def test_an_evaluation_is_noisier_than_what_it_measures(made):
    pure, noisy = (made.curve([10], samples=s).set_index("model") for s in (None, 20))
    assert (noisy["sd"] > pure["sd"]).all()
    np.testing.assert_allclose(noisy["mean"], pure["mean"], atol=0.03)
    assert made.curve([21], samples=20)["median"].isna().all()


def test_new_problems_are_less_certain_than_the_same(made):
    same, new = (made.curve([10], problems=p).set_index("model") for p in ("same", "new"))
    assert (new["sd"] > same["sd"]).all()
    with pytest.raises(sb.UnknownNameError, match="unknown choice of problems 'other'"):
        made.curve([10], problems="other")


def test_samples_to_match(made):
    # b solves each problem twice as often, and second tries at the easy one are partly wasted
    p = np.array([0.001, 0.01, 0.1])
    exact = brentq(lambda k: (1 - (1 - p) ** k).mean() - 2 * p.mean(), 1, 10)
    found = made.samples_to_match("a", "b")
    assert found.frame["median"].item() == pytest.approx(exact, abs=0.02)
    assert made.samples_to_match("b", "a").draws.max() == 1
    np.testing.assert_allclose(made.samples_to_match("a", "a", 7).draws, 7, rtol=1e-6)
    with pytest.raises(sb.UnknownNameError, match="unknown model 'd'"):
        made.samples_to_match("a", "d")


def test_the_figure_has_bands_of_the_forecast_only(made):
    axis = made.plot(k=[1, 10, 100])[0]
    assert len(axis.collections) == 1
    assert axis.get_xscale() == axis.get_yscale() == "log"
    assert {t.get_text() for t in axis.texts} == {"a", "b", "c"}
    with pytest.raises(sb.UnknownNameError, match="unknown model 'z'"):
        made.plot(models=["z"])


def test_the_papers_recipe_recovers_a_logistic_curve():
    x = np.linspace(-2, 2, 6)[:, None]
    truth = 1 / (1 + np.exp(-(x * [1.0, 0.5] - [3.0, 0.0])))
    n = np.full(truth.shape, 1e7)
    found = ridge_logistic(x, n, n * truth, np.array([[3.0]]))
    np.testing.assert_allclose(found[0], 1 / (1 + np.exp(-np.array([0.0, 1.5]))), rtol=1e-3)


# -- the command line ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--k", "0"], "--k: 0 is below 1"),
        (["--k", "ten"], "'ten' is not a whole number"),
        (["--family", "pythia"], "needs --family, --params and --tokens"),
        (["--leave-out", "pythia-12"], "did you mean 'pythia-12b'"),
        (["--family", "mine", "--params", "7,30", "--tokens", "1"], "--new-family"),
        (["--lineage", "pythia"], "needs --family, --params and --tokens"),
        (["--match", "pythia-1b", "pythia-13b"], "unknown model of --match 'pythia-13b'"),
        (["--plot", "p.gif"], "a figure ends in .png"),
        (["--json", "--csv"], "exclude each other"),
        (["nowhere.csv"], "cannot read nowhere.csv"),
    ],
)
def test_bad_input_exits_2_with_one_sentence(arguments, message):
    result = CliRunner().invoke(app, ["passk", *arguments])
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


# -- fits ----------------------------------------------------------------------------------


def test_the_order_of_rows_and_of_candidates_changes_nothing():
    post, (counts, ahead, _) = sb.load("leaderboard"), simulated(0)
    one = post.pass_at_k(counts, ahead, draws=20)
    two = post.pass_at_k(counts.sample(frac=1, random_state=1), ahead[::-1], draws=20)
    key = ["model", "k"]
    pd.testing.assert_frame_equal(
        one.frame.sort_values(key, ignore_index=True), two.frame.sort_values(key, ignore_index=True)
    )
    assert one.diagnostics().ok
    assert "20 draws of skills" in one.diagnostics().messages[0]


@pytest.mark.long
def test_bands_hold_simulated_curves():
    rows = pd.concat([covered(s, draws=100) for s in range(4)])
    assert len(rows) == 4 * 2 * len(SCORED)
    # 8 curves, whose points go together: three standard errors of a share of 0.9
    assert rows["inside"].mean() >= 0.9 - 3 * (0.09 / 8) ** 0.5
