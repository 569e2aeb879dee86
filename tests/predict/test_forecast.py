"""Forecasts: what a candidate's numbers depend on, what they do not, and what is refused."""

from __future__ import annotations

import itertools
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import sloth_bayes as sb
from sloth_bayes.predict.forecast import at_ceilings
from sloth_bayes.support.intervals import quantiles
from tests.conftest import NAMES, QUICK, converged

COLUMNS = [
    *("model", "family", "params_b", "tokens_t", "benchmark"),
    *("mean", "median", "sd", "lower", "upper", "prob", "doublings"),
]


def test_distance_is_in_doublings_of_compute_from_the_nearest_of_the_family(tiny_svi):
    asked = sb.candidates(["alder", "alder", "alder", "stranger"], [8.0, 32.0, 32.0, 1.0],
                          [1.0, 1.0, 4.0, 1.0])  # fmt: skip
    found = tiny_svi.forecast(asked, new_family=True, benchmarks="Maths").frame
    np.testing.assert_allclose(found["doublings"], [0, 2, 4, np.nan])  # the largest: 8B, 1T


def test_an_average_is_that_of_the_draws(tiny_svi):
    with pytest.warns(sb.ExtrapolationWarning):
        fc = tiny_svi.forecast(sb.candidates("cedar", [10.0, 100.0], 6.0))
    draws = fc.draws["score"].stack(s=("chain", "draw")).transpose("s", "model", "benchmark")
    for weights, by in ((None, np.full(4, 0.25)), ({"Maths": 3, "Code": 1}, None)):
        found = fc.average(weights)
        if by is None:
            by = np.array([{"Maths": 0.75, "Code": 0.25}.get(name, 0) for name in fc.benchmarks])
        want = (draws.values * by).sum(-1)
        np.testing.assert_allclose(found["mean"], want.mean(0), rtol=1e-5)
        np.testing.assert_allclose(found["upper"], np.quantile(want, 0.95, 0), rtol=1e-4)
        assert found["model"].tolist() == fc.candidates["model"].tolist()


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"Mathz": 1}, "Maths"),
        ({"Maths": -1}, "at least 0"),
        ({"Maths": 0}, "all weights are 0"),
        ({"Maths": "much"}, "must be a number"),
        ({}, "weights are empty"),
        ([1, 2], "numbers by benchmark"),
    ],
)
def test_weights_that_make_no_sense_are_named(tiny_svi, weights, words):
    fc = tiny_svi.forecast(sb.candidates("cedar", 10.0, 6.0))
    with pytest.raises(sb.SlothBayesError, match=words):
        fc.average(weights)


def values(fc: sb.Forecast, model: str, of: str = "score") -> np.ndarray:
    """Draws of one model, ``(draws, benchmarks)``."""
    draws = fc.draws[of].sel(model=model).transpose("chain", "draw", "benchmark").values
    return draws.reshape(-1, draws.shape[-1])


def spread(post: sb.Posterior, frame: pd.DataFrame, **options) -> float:
    """Mean width of the 90% intervals of the expected scores."""
    summary = post.forecast(frame, **options).summary(of="expected")
    return float((summary["upper"] - summary["lower"]).mean())


@pytest.fixture(scope="module")
def mixed() -> pd.DataFrame:
    """A model of the fit, new sizes of known families, and a family nobody has seen."""
    return pd.concat(
        [
            sb.candidates(family="alder", params_b=4, tokens_t=1, model="alder-4b"),
            sb.candidates(family=["birch", "cedar-chat"], params_b=[8, 20], tokens_t=[2, 6]),
            sb.candidates(family="dogwood", params_b=[5, 9], tokens_t=3),
        ],
        ignore_index=True,
    )


# -- what the numbers depend on ----------------------------------------------------------


def test_neither_the_order_nor_the_other_candidates_matter(tiny_posterior, mixed):
    together = tiny_posterior.forecast(mixed, seed=3, new_family=True)
    backwards = tiny_posterior.forecast(mixed[::-1], seed=3, new_family=True)
    for model in mixed["model"]:
        alone = tiny_posterior.forecast(mixed[mixed["model"] == model], seed=3, new_family=True)
        for of in ("score", "expected"):
            for other in (alone, backwards):
                # matrix products of another shape round differently in the last place
                np.testing.assert_allclose(
                    values(together, model, of), values(other, model, of), atol=1e-6
                )


def test_a_seed_settles_every_number(tiny_posterior, mixed):
    one, same, other = (tiny_posterior.forecast(mixed, seed=s, new_family=True) for s in (0, 0, 1))
    assert one.draws.identical(same.draws)
    pd.testing.assert_frame_equal(one.frame, same.frame)
    assert not np.isclose(one.draws["score"], other.draws["score"]).mean() > 0.5


def test_blocks_of_candidates_do_not_matter(tiny_posterior, mixed, monkeypatch):
    whole = tiny_posterior.forecast(mixed, new_family=True)
    monkeypatch.setattr("sloth_bayes.posterior.core._CELLS", 1)
    split = tiny_posterior.forecast(mixed, new_family=True)
    # matrix products of another shape may round differently in the last place
    np.testing.assert_allclose(split.draws["expected"], whole.draws["expected"], atol=1e-5)
    np.testing.assert_allclose(split.draws["score"], whole.draws["score"], atol=1e-5)


def test_a_subset_of_benchmarks_has_the_same_numbers(tiny_posterior, mixed):
    everything = tiny_posterior.forecast(mixed, new_family=True).draws
    some = tiny_posterior.forecast(mixed, new_family=True, benchmarks=["Code", "Reading"]).draws
    assert list(some["benchmark"].values) == ["Code", "Reading"]
    assert some.equals(everything.sel(benchmark=["Code", "Reading"]))


def test_a_model_of_the_fit_keeps_its_own_effect(tiny_posterior, mixed):
    fc = tiny_posterior.forecast(mixed.iloc[:1])
    seen = tiny_posterior.expected_scores()
    here = (seen["obs_model"] == "alder-4b").values & (seen["obs_benchmark"] == "Facts").values
    fitted = seen.values[..., here].ravel()
    column = NAMES.index("Facts")
    np.testing.assert_allclose(values(fc, "alder-4b", "expected")[:, column], fitted, atol=1e-5)
    stranger = mixed.iloc[:1].assign(model="another")
    other = values(tiny_posterior.forecast(stranger), "another", "expected")[:, column]
    assert other.std() > 0
    assert not np.allclose(other, fitted, atol=1e-4)


# -- families never seen -----------------------------------------------------------------


def test_candidates_of_one_new_family_share_its_draw(tiny_posterior):
    frame = pd.concat(
        [
            sb.candidates(family="dogwood", params_b=[6, 7], tokens_t=2),
            sb.candidates(family="elm", params_b=6, tokens_t=2),
        ]
    )
    fc = tiny_posterior.forecast(frame, new_family=True)
    one, two, other = (values(fc, m, "expected") for m in fc.candidates["model"])
    centre = values(
        tiny_posterior.forecast(sb.candidates(family="birch", params_b=6, tokens_t=2)),
        "birch-6B-2T",
        "expected",
    ).mean(0)
    within = [np.corrcoef(one[:, j] - centre[j], two[:, j])[0, 1] for j in range(4)]
    across = [np.corrcoef(one[:, j] - centre[j], other[:, j])[0, 1] for j in range(4)]
    # What remains within is each model's own effect. Across, the families share parameters
    # (biases, floors, spreads) and so are not independent, but far less alike.
    assert np.mean(across) < 0.5
    assert np.mean(within) > np.mean(across) + 0.3
    assert (one != two).any()


@pytest.mark.slow
def test_without_effects_of_models_a_new_family_is_all_that_its_models_share(tiny_table):
    post = sb.Sloth(n_skills=2).fit(tiny_table, **QUICK)
    frame = sb.candidates(family="dogwood", params_b=[6, 7], tokens_t=2)
    twin = frame.iloc[[0]].assign(model="twin")
    other = sb.candidates(family="elm", params_b=6, tokens_t=2)
    fc = post.forecast(pd.concat([frame, twin, other]), new_family=True)
    one, two, same, third = (values(fc, m, "expected") for m in fc.candidates["model"])
    np.testing.assert_allclose(one, same, rtol=1e-6)
    for j in range(4):
        assert np.corrcoef(one[:, j], two[:, j])[0, 1] > 0.99
        assert np.corrcoef(one[:, j], third[:, j])[0, 1] < 0.5


def test_the_less_is_known_the_wider(tiny_posterior):
    known = sb.candidates(family="cedar", params_b=10, tokens_t=6)
    tuned = sb.candidates(family="cedar-maths", params_b=10, tokens_t=6, lineage="cedar")
    new = sb.candidates(family="dogwood", params_b=10, tokens_t=6)
    widths = [
        spread(tiny_posterior, known),
        spread(tiny_posterior, tuned),
        spread(tiny_posterior, new, new_family=True),
    ]
    assert widths[0] < widths[1] < widths[2]


def test_a_new_variant_of_a_known_lineage_is_accepted_as_it_is(tiny_posterior):
    frame = sb.candidates(
        family="cedar-maths", params_b=10, tokens_t=6, lineage="cedar", instruct=True
    )
    fc = tiny_posterior.forecast(frame)
    assert fc.candidates["lineage"].tolist() == ["cedar"]
    assert fc.candidates["instruct"].tolist() == [True]
    assert any("cedar-maths" in w and "lineage 'cedar'" in w for w in fc.warnings)


@pytest.mark.long
def test_without_family_effects_a_new_family_is_like_any_other(tiny_table):
    spec = sb.Sloth(
        n_skills=1, intercept="shared", residual="none", model_effect="none", slopes="shared"
    )
    post = spec.prior(tiny_table, draws=50)
    frame = sb.candidates(family=[post.families[0], "never seen"], params_b=7, tokens_t=2)
    fc = post.forecast(frame, new_family=True)
    known, unseen = (values(fc, m, "expected") for m in frame["model"])
    np.testing.assert_array_equal(known, unseen)


def test_lineage_and_instruct_are_filled_in(tiny_posterior):
    frame = sb.candidates(family=["cedar-chat", "birch"], params_b=10, tokens_t=[6, 2])
    filled = tiny_posterior.forecast(frame).candidates
    assert filled["lineage"].tolist() == ["cedar", "birch"]
    assert filled["instruct"].tolist() == [True, False]


@pytest.mark.parametrize(
    "lineage", [["cedar", "birch"], pytest.param(["cedar", None], id="cedar, none")]
)
def test_a_new_family_cannot_have_two_lineages(lineage, tiny_posterior):
    frame = pd.DataFrame(
        {
            "model": ["one", "two"], "family": "fir", "lineage": lineage,
            "params_b": 5.0, "tokens_t": 3.0,
        }
    )  # fmt: skip
    with pytest.raises(sb.DataError, match="fir"):
        tiny_posterior.forecast(frame, new_family=True)


# -- what comes out ----------------------------------------------------------------------


def test_frame_and_draws_keep_the_contract(tiny_posterior, mixed):
    fc = tiny_posterior.forecast(mixed, prob=0.8, new_family=True)
    assert list(fc.frame.columns) == COLUMNS
    assert len(fc.frame) == len(mixed) * len(NAMES)
    assert fc.frame["benchmark"].tolist() == NAMES * len(mixed)
    assert fc.frame["model"].tolist() == list(np.repeat(mixed["model"], len(NAMES)))
    assert (fc.frame["prob"] == 0.8).all()
    numbers = fc.frame[["lower", "median", "upper"]].to_numpy()
    assert ((numbers >= 0) & (numbers <= 1)).all()
    assert (np.diff(numbers, axis=1) >= 0).all()
    assert set(fc.draws.data_vars) == {"score", "expected"}
    for array in fc.draws.data_vars.values():
        assert array.dims == ("chain", "draw", "model", "benchmark")
        assert ((array >= 0) & (array <= 1)).all()
    assert fc.draws["model"].values.tolist() == mixed["model"].tolist()


def test_the_frame_summarises_the_draws_with_their_noise_integrated_out():
    post = sb.load("leaderboard")  # without effects of models, so that all have the same draws
    rows = sb.candidates("qwen2", 30, 7, model=[f"drawing {i}" for i in range(100)])
    fc = post.forecast(rows, prob=0.9, benchmarks=["IFEval", "GSM8K"])
    score = fc.draws["score"].stack(s=("chain", "draw")).transpose("model", "benchmark", "s").values
    found = {c: fc.frame[c].to_numpy().reshape(100, 2) for c in ("lower", "median", "upper")}
    often = np.quantile(np.concatenate(score, axis=-1), [0.05, 0.5, 0.95], axis=-1)
    for one, many in zip(found.values(), often):
        np.testing.assert_allclose(one[0], many, atol=0.0015)
        assert (one == one[:1]).all()
    assert (fc.quantiles([0.05, 0.5, 0.95]) == np.stack(list(found.values()))).all()
    for name, want in (("mean", score.mean(-1)), ("sd", score.std(-1))):
        np.testing.assert_allclose(fc.frame[name], want.ravel(), rtol=1e-5)


def test_the_frame_of_a_model_is_that_of_its_draws(tiny_posterior, mixed):
    """Draws of other effects of the same law: of models, and of families."""
    fc = tiny_posterior.forecast(mixed, new_family=True)
    frame = fc.frame.set_index(["model", "benchmark"])
    for model in mixed["model"]:
        draws = values(fc, model)
        below = (draws < frame.loc[model, "median"].to_numpy()).mean(0)
        # scores of a new family lie at both ends, so that medians are known by their ranks only
        assert (np.abs(below - 0.5) < 4 * np.sqrt(0.5 / len(draws))).all()


def test_the_expected_score_is_surer_than_the_score(tiny_posterior, mixed):
    fc = tiny_posterior.forecast(mixed, new_family=True)
    score, expected = fc.summary(), fc.summary(of="expected")
    widths = [(s["upper"] - s["lower"]) for s in (expected, score)]
    assert widths[0].mean() < widths[1].mean()
    # Not cell by cell: clipping narrows a score whose draws reach 0 or 1.
    assert (expected["sd"] ** 2).sum() < (score["sd"] ** 2).sum()
    pd.testing.assert_frame_equal(score, fc.frame)


def test_quantiles_follow_size_smoothly(tiny_posterior):
    rows = sb.candidates("cedar", np.geomspace(4, 16, 30).tolist(), 6.0)
    found = tiny_posterior.forecast(rows)
    one = found.candidates.assign(model="one")
    smooth = sb.Forecast(tiny_posterior, one, found.benchmarks, 0.9, 0, []).quantiles([0.05])
    assert np.abs(np.diff(smooth, 2, axis=1)).max() < 0.002
    assert np.abs(np.diff(found.quantiles([0.05]), 2, axis=1)).max() > 0.01


def test_intervals_are_nested(tiny_posterior, mixed):
    fc = tiny_posterior.forecast(mixed, new_family=True)
    frames = [fc.summary(prob=p) for p in (0.5, 0.8, 0.95)]
    for inner, outer in itertools.pairwise(frames):
        assert (inner["lower"] >= outer["lower"]).all()
        assert (inner["upper"] <= outer["upper"]).all()
    with pytest.raises(sb.UnknownNameError, match="expected"):
        fc.summary(of="expectd")


@given(
    values=arrays(np.float32, (2, 7), elements=st.floats(0, 1, width=32)),
    levels=st.lists(st.floats(0, 1), min_size=1, max_size=6),
    length=st.integers(1, 7),
)
def test_quantiles_are_those_of_numpy(values, levels, length):
    values = values[:, :length].copy()
    wanted = np.quantile(values.astype(float), levels, axis=-1)
    np.testing.assert_allclose(quantiles(values, levels), wanted, atol=1e-12)


def test_nothing_is_drawn_for_expected_scores(monkeypatch):
    post = sb.load("leaderboard")
    rows = sb.candidates("qwen2", [30, 200], 7)
    whole = post.forecast(rows).draws["expected"].values.reshape(-1, 2 * len(post.benchmarks))
    monkeypatch.delattr(post.spec.observation.__class__, "draw")
    expected = post.forecast(rows).summary("expected")
    np.testing.assert_allclose(expected["mean"], whole.mean(0, dtype=float), rtol=1e-6)


@pytest.mark.long
def test_summaries_keep_no_draws(tiny_prior):
    """200 candidates x 4 benchmarks x 4,000 draws: 12.8 MB a copy, of which none is kept."""
    frame = sb.candidates("cedar", params_b=np.geomspace(1, 40, 200).tolist(), tokens_t=6)
    tracemalloc.start()
    try:
        fc = tiny_prior.forecast(frame)
        before = tracemalloc.get_traced_memory()[0]
        assert len(fc.summary("expected")) == len(fc.frame) == 800
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert "draws" not in vars(fc)
    assert kept < 2e6


@pytest.mark.parametrize("prob", [0, 1, 90, -0.1, np.nan, "0.9"])
def test_prob_is_a_probability(prob, tiny_posterior, mixed):
    with pytest.raises(sb.DataError, match=r"between 0 and 1 \(0\.9 for a 90% interval\)"):
        tiny_posterior.forecast(mixed, prob=prob, new_family=True)


def test_a_shuffled_index_and_extra_columns_are_no_matter(tiny_posterior, mixed):
    other = mixed.set_index(pd.Index([7, 7, 7, 1, 0])).assign(note="mine")
    a = tiny_posterior.forecast(other, new_family=True)
    assert a.draws.identical(tiny_posterior.forecast(mixed, new_family=True).draws)
    assert "note" in other
    assert other.index.tolist() == [7, 7, 7, 1, 0]


# -- warnings ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params_b", "tokens_t", "words"),
    [
        (80, 6, ["size 80B is 2 times the largest", "40B"]),
        (0.1, 6, ["size 0.1B is 5 times below the smallest", "0.5B"]),
        (40, 60, ["tokens 60T is 10 times the largest", "6T"]),
        (40, 0.25, ["tokens 0.25T is 4 times below the smallest", "1T"]),
    ],
)
def test_extrapolation_is_announced_with_its_extent(params_b, tokens_t, words, tiny_posterior):
    frame = sb.candidates(family="cedar", params_b=params_b, tokens_t=tokens_t)
    post = converged(tiny_posterior)
    with pytest.warns(sb.ExtrapolationWarning) as recorded:
        fc = post.forecast(frame)
    caught = [w for w in recorded if w.category is sb.ExtrapolationWarning]
    assert len(caught) == 1
    assert caught[0].filename == __file__
    for word in [*words, frame["model"][0]]:
        assert word in str(caught[0].message)
    assert fc.warnings == [str(caught[0].message)]


def test_inside_the_data_there_is_nothing_to_warn_of(tiny_posterior):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fc = converged(tiny_posterior).forecast(
            sb.candidates(family="cedar", params_b=[0.5, 40], tokens_t=[1, 6])
        )
    assert fc.warnings == []


# -- refusals ----------------------------------------------------------------------------


def rows(**changes) -> pd.DataFrame:
    columns = {
        "model": ["one", "two"],
        "family": ["cedar", "birch"],
        "params_b": [5.0, 7.0],
        "tokens_t": [6.0, 2.0],
    } | changes
    return pd.DataFrame({k: v for k, v in columns.items() if v is not None})


@pytest.mark.parametrize(
    ("frame", "error", "words"),
    [
        (rows(family=["ceder", "birch"]), sb.UnknownNameError,
         ["'ceder'", "did you mean 'cedar'", "new_family=True"]),
        (rows(tokens_t=[6.0, np.nan]), sb.DataError, ["tokens_t", "'two'", "missing"]),
        (rows(params_b=[np.nan, 7.0]), sb.DataError, ["params_b", "'one'", "missing"]),
        (rows(params_b=[5.0, -7.0]), sb.DataError, ["params_b", "'two'", "-7", "positive"]),
        (rows(params_b=[0, 7]), sb.DataError, ["params_b", "'one'", "positive"]),
        (rows(tokens_t=[np.inf, 2.0]), sb.DataError, ["tokens_t", "'one'", "finite"]),
        (rows(params_b=["big", 7.0]), sb.DataError, ["params_b", "'one'", "big"]),
        (rows(tokens_t=None), sb.DataError, ["lack", "'tokens_t'"]),
        (rows(family=None), sb.DataError, ["lack", "'family'"]),
        (rows()[:0], sb.DataError, ["empty"]),
        ({"family": "cedar"}, sb.DataError, ["DataFrame"]),
        (rows(lineage=["cedar", "alder"]), sb.DataError, ["'birch'", "'alder'"]),
        pytest.param(
            rows(model=["one", "one"]), sb.DataError, ["'one'"],
        ),
    ],
)  # fmt: skip
def test_a_bad_candidate_is_named(frame, error, words, tiny_posterior):
    with pytest.raises(error) as raised:
        tiny_posterior.forecast(frame)
    for word in words:
        assert word in str(raised.value)


def test_benchmarks_are_one_or_some_but_not_none(tiny_posterior, mixed):
    name = tiny_posterior.benchmarks[1]
    one = tiny_posterior.forecast(mixed, new_family=True, benchmarks=name)
    twice = tiny_posterior.forecast(mixed, new_family=True, benchmarks=[name, name])
    assert one.frame["benchmark"].unique().tolist() == [name]
    pd.testing.assert_frame_equal(one.frame, twice.frame)
    with pytest.raises(sb.DataError, match="no benchmark"):
        tiny_posterior.forecast(mixed, new_family=True, benchmarks=[])


def test_a_posterior_known_not_to_have_converged_warns(tiny_posterior):
    # 400 draws are too few by the package's own bar, and the verdict travels with the draws
    slim = tiny_posterior.slim(100)
    assert slim.known_verdict is False
    with pytest.warns(sb.ConvergenceWarning, match="not converged"):
        slim.forecast(sb.candidates(slim.families[0], params_b=7, tokens_t=2))


def test_unknown_benchmark_has_near_matches(tiny_posterior):
    with pytest.raises(sb.UnknownNameError, match="did you mean 'Maths'"):
        tiny_posterior.forecast(rows(), benchmarks=["Math"])


# -- candidates --------------------------------------------------------------------------


def test_lists_pair_up():
    frame = sb.candidates(family="a", params_b=[1, 7], tokens_t=[2, 15])
    assert frame["model"].tolist() == ["a-1B-2T", "a-7B-15T"]
    assert frame[["params_b", "tokens_t"]].to_numpy().tolist() == [[1, 2], [7, 15]]
    assert sb.candidates(family=["a", "b"], params_b=[3])["params_b"].tolist() == [3, 3]


def test_a_grid_crosses():
    frame = sb.candidates(family=["a", "b"], params_b=[1, 7, 70], tokens_t=[2, 15], grid=True)
    assert len(frame) == 12
    assert not frame.duplicated().any()
    assert frame["model"].is_unique


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"params_b": [1, 2], "tokens_t": [1, 2, 3]}, ["params_b has 2", "tokens_t has 3", "grid"]),
        ({"params_b": []}, ["params_b", "one value"]),
        ({"params_b": [[1, 2]]}, ["params_b", "flat list"]),
        ({"params_b": -1}, ["params_b", "positive"]),
        ({"tokens_t": [1, 0]}, ["tokens_t", "positive"]),
        ({"tokens_t": np.nan}, ["tokens_t", "missing"]),
    ],
)
def test_bad_candidates_are_refused_at_once(options, words):
    with pytest.raises(sb.DataError) as error:
        sb.candidates(family="a", **options)
    for word in words:
        assert word in str(error.value)


def test_intervals_that_reach_a_ceiling_are_said():
    post = sb.load("leaderboard")
    large, small = (
        post.forecast(sb.candidates("meta-llama-3", size, 15), benchmarks=["MMLU", "GPQA"])
        for size in (180, 8)
    )
    top = float(np.median(post.merged["upper"][:, post.benchmarks.index("MMLU")]))
    [said] = at_ceilings(large, large.frame)
    assert f"suggest on MMLU ({100 * top:.1f}%): newer" in said
    assert at_ceilings(small, small.frame) == []
