"""Fitting: what must not matter does not, what is settled by a seed is, and truth is found."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import sloth_bayes as sb
from sloth_bayes.infer import fit as inference
from sloth_bayes.infer.compiled import functions_of
from sloth_bayes.model.arrays import showing
from sloth_bayes.model.loadings import sizes
from tests.conftest import BENCHMARKS, FIT, NAMES, QUICK, leaderboard


def table_of(frame: pd.DataFrame) -> sb.Leaderboard:
    return sb.Leaderboard.from_frame(frame, benchmarks=BENCHMARKS, name="tiny")


def same_draws(a: sb.Posterior, b: sb.Posterior) -> bool:
    first, second = a.data_tree["posterior"].to_dataset(), b.data_tree["posterior"].to_dataset()
    return bool(first.identical(second))


# -- what does not matter ----------------------------------------------------------------


@pytest.mark.long
def test_order_of_rows_does_not_matter(tiny_spec, tiny_table, tiny_svi):
    shuffled = table_of(tiny_table.frame.sample(frac=1, random_state=0))
    assert shuffled.models != tiny_table.models
    assert same_draws(tiny_spec.fit(shuffled, **QUICK), tiny_svi)


@pytest.mark.long
def test_a_seed_settles_every_number(tiny_spec, tiny_table, tiny_svi):
    assert same_draws(tiny_spec.fit(tiny_table, seed=0, **QUICK), tiny_svi)
    other = tiny_spec.fit(tiny_table, seed=1, **QUICK)
    mine, yours = (p.data_tree["posterior"]["loading"].values for p in (other, tiny_svi))
    assert np.isclose(mine, yours).mean() < 0.05


@pytest.mark.slow
def test_a_seed_settles_nuts_too(tiny_spec, tiny_table):
    short = {**FIT, "warmup": 60, "draws": 20, "max_tree_depth": 5}
    mine, yours, other = (tiny_spec.fit(tiny_table, seed=seed, **short) for seed in (1, 1, 2))
    assert same_draws(mine, yours)
    assert not same_draws(mine, other)


def test_rows_that_cannot_be_used_are_the_same_as_no_rows(tiny_spec, tiny_table, tiny_svi):
    frame = tiny_table.frame
    silent = frame.iloc[[0, 9]].assign(model=["alder-9b", "birch-99b"], **dict.fromkeys(NAMES))
    no_tokens = frame.iloc[[2]].assign(model="alder-x", tokens_t=np.nan)
    post = tiny_spec.fit(table_of(pd.concat([frame, silent, no_tokens])), **QUICK)
    assert same_draws(post, tiny_svi)
    assert "alder-x" in post.attrs["left_out"]
    assert "alder-x" not in post.models
    assert post.attrs["n_scores"] == tiny_table.n_scores


def test_what_stands_in_a_hidden_cell_does_not_matter(tiny_spec, tiny_table):
    """A score that is hidden is not in the likelihood: no value in its place changes a number."""
    arrays = inference.design_of(tiny_spec, tiny_table).arrays
    observed = np.array(arrays.observed)
    observed[:3] = 0
    hidden = showing(arrays, observed)
    gone = observed[arrays.model_of, arrays.benchmark_of] == 0
    f = functions_of(tiny_spec, sizes(tiny_spec, arrays))
    x = np.random.default_rng(0).normal(size=(4, f.size)).astype("f4")
    found = [
        f.over("potential", x, hidden._replace(score=np.where(gone, v, arrays.score).astype("f4")))
        for v in (0.5, 0.013)
    ]
    for first, second in zip(*found, strict=True):
        np.testing.assert_array_equal(first, second)
        assert np.isfinite(first).all()


def test_only_observed_cells_are_in_the_likelihood(tiny_svi, tiny_table):
    data = tiny_svi.data_tree["observed_data"].to_dataset()
    assert data.sizes["observation"] == tiny_table.n_scores
    wide = tiny_table.frame.set_index("model")
    want = [wide.loc[m, b] for m, b in zip(data.obs_model.values, data.obs_benchmark.values)]
    np.testing.assert_array_equal(data["score"], want)


@pytest.mark.long
def test_iterations_between_draws(tiny_spec, tiny_table):
    """Steps of all of them count, and the draws are of the same posterior."""
    options = {"chains": 2, "warmup": 60, "steps": 100, "seed": 3, "progress": False}
    every, third = (
        tiny_spec.fit(tiny_table, draws=draws, thin=thin, **options)
        for draws, thin in ((600, 1), (200, 3))
    )
    assert (every.attrs["thin"], third.attrs["thin"]) == (1, 3)
    stats = third.data_tree["sample_stats"].to_dataset()
    most = 2 ** stats["tree_depth"] - 1
    assert (stats["n_steps"] <= 3 * most).all()
    assert (stats["n_steps"] >= (most + 1) // 2 + 2).all()
    one = sb.candidates(family="alder", params_b=9.0, tokens_t=1.0)
    means = [post.forecast(one).frame["mean"] for post in (every, third)]
    np.testing.assert_allclose(*means, atol=0.03)


# -- every published law is a setting ----------------------------------------------------

SHARED = {"residual": "none", "model_effect": "none", "slopes": "shared"}
FIXED = {"lower": "chance", "upper": "one", "link": "logistic", "noise": "constant"}
ONE_EACH = {"loadings": "identity"}
LAWS = {
    "owen": {**SHARED, **FIXED, **ONE_EACH, "inputs": "flops", "intercept": "shared"},
    "flops, family intercepts": {
        **SHARED, **FIXED, **ONE_EACH, "inputs": "flops", "intercept": "family",
    },
    "ruan": {
        **SHARED, **FIXED, **ONE_EACH, "inputs": "flops", "intercept": "family", "slopes": "family",
        "instruct": "none",
    },
    "size and tokens": {**SHARED, **FIXED, **ONE_EACH, "intercept": "family"},
    "sloth, basic": {**SHARED, **FIXED, "n_skills": 2, "intercept": "shared", "df": math.inf},
    "sloth, full": {**SHARED, "n_skills": 2, "intercept": "family", "df": 8},
    "size only": {
        **SHARED, **FIXED, "inputs": "size", "n_skills": 1, "instruct": "none",
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", LAWS)
def test_a_published_law_is_a_setting(name, tiny_table):
    spec = sb.Sloth(**LAWS[name])
    small = {"steps": 20, "starts": 1, "rank": 2, "draws": 20, "chains": 1, "progress": False}
    post = spec.fit(tiny_table, method="svi", **small)
    tree = post.data_tree
    for group in ("posterior", "log_likelihood", "posterior_predictive"):
        for values in tree[group].to_dataset().data_vars.values():
            assert np.isfinite(values).all()
    posterior = tree["posterior"].to_dataset()
    assert ("residual" in posterior) == (spec.residual == "family")
    if spec.intercept == "shared" and "family_effect" in posterior:
        assert (posterior["family_effect"] == 0).all()
    assert ("slope_family" in posterior) == (spec.slopes == "family")
    assert post.spec == spec
    skills = len(NAMES) if spec.loadings == "identity" else min(spec.n_skills, len(NAMES))
    assert posterior.sizes["skill"] == skills
    if spec.loadings == "identity":
        assert (posterior["loading"] == np.eye(len(NAMES))).all()
    candidate = sb.candidates(family="cedar", params_b=[2, 20], tokens_t=6)
    frame = post.forecast(candidate).frame
    assert frame[["lower", "median", "upper"]].apply(np.isfinite).all(axis=None)


# -- refusals ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "mcmc"}, ["'mcmc'", "nuts, svi"]),
        ({"chains": 0}, ["chains", "at least 1"]),
        ({"draws": 2.5}, ["draws", "whole number"]),
        ({"steps": True}, ["steps", "whole number"]),
        ({"warmup": 3}, ["warmup", "20"]),
        ({"target_accept": 1.0}, ["target_accept", "between 0 and 1"]),
    ],
)
def test_bad_options_are_named(options, words, tiny_spec, tiny_table):
    with pytest.raises(sb.SpecError) as error:
        tiny_spec.fit(tiny_table, **options)
    for word in words:
        assert word in str(error.value)


# -- Ctrl-C ------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.long
def test_ctrl_c_stops_nuts_within_seconds(tmp_path, tiny_table, tiny_posterior):
    """In the sampler, with many draws ahead; compiled programs are in the cache by now."""
    path = tiny_table.to_csv(tmp_path / "tiny.csv")
    program = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parents[2])!r})
        from tests.conftest import BENCHMARKS
        import sloth_bayes as sb
        from sloth_bayes.infer import nuts, variational
        from sloth_bayes.support import threads

        plain = threads.gather
        def noisy(tasks):
            print("tasks", flush=True)
            return plain(tasks)
        nuts.gather = variational.gather = noisy
        data = sb.Leaderboard.from_csv({str(path)!r}, benchmarks=BENCHMARKS)
        spec = sb.Sloth(n_skills=2, slopes="pooled", model_effect="pooled")
        print("begin", flush=True)
        try:
            spec.fit(data, chains=2, warmup=10**5, draws=10**5, steps=600, starts=1,
                     max_tree_depth=7, progress=False)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            sys.exit(130)
    """
    # A background job of a shell ignores SIGINT, and hands that on to what it starts
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout is not None
        seen = 0
        for line in process.stdout:
            seen += line.strip() == "tasks"
            if seen == 3:  # the first start, the others, then the chains
                break
        time.sleep(2)
        assert process.poll() is None, "the chains ended before they could be interrupted"
        process.send_signal(signal.SIGINT)
        since = time.perf_counter()
        out, _ = process.communicate(timeout=60)
        assert "interrupted" in out
        assert process.returncode == 130
        assert time.perf_counter() - since < 15
    finally:
        process.kill()
        process.wait()


# -- truth -------------------------------------------------------------------------------


def test_nuts_finds_the_truth_behind_a_simulated_table(tiny_truth, tiny_posterior):
    """90% intervals of the expected scores of larger, unseen models contain the truth.

    20 cells: five families times four benchmarks. Were all cells independent, 13 or fewer of 20
    would have a probability of 0.0024: 14 are asked for.
    """
    with pytest.warns(sb.ExtrapolationWarning):
        summary = tiny_posterior.forecast(tiny_truth.held_out, prob=0.9).summary(of="expected")
    truth = tiny_truth.expected.ravel()
    inside = (summary["lower"] <= truth) & (truth <= summary["upper"])
    assert stats.binom.cdf(13, 20, 0.9) < 0.0025
    assert inside.sum() >= 14, summary.assign(truth=truth)[~inside]


def test_the_fit_learns_from_the_table(tiny_truth, tiny_posterior, tiny_prior):
    """Medians less than half as far from the truth as the prior's."""
    errors = []
    for post in (tiny_posterior, tiny_prior):
        with pytest.warns(sb.ExtrapolationWarning):
            summary = post.forecast(tiny_truth.held_out).summary(of="expected")
        errors.append(np.abs(summary["median"] - tiny_truth.expected.ravel()).mean())
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.slow
def test_one_family_one_benchmark_and_more_skills_than_that_can_be_fitted():
    rows = pd.DataFrame(
        {
            "model": ["a-1b", "a-3b", "a-7b"],
            "family": "a",
            "params_b": [1.0, 3.0, 7.0],
            "tokens_t": 2.0,
            "MMLU": [0.3, 0.4, 0.5],
        }
    )
    small = {"steps": 20, "starts": 1, "rank": 1, "draws": 20, "chains": 1, "progress": False}
    spec = sb.Sloth(n_skills=3, link="logistic", slopes="shared")
    post = spec.fit(sb.Leaderboard.from_frame(rows), method="svi", **small)
    assert post.data_tree["posterior"].sizes["skill"] == 1
    fc = post.forecast(sb.candidates(family="a", params_b=5, tokens_t=2))
    assert fc.frame["sd"].gt(0).all()


def test_fingerprint_seed_and_versions_are_recorded(tiny_svi, tiny_table):
    attrs = tiny_svi.attrs
    assert attrs["data_fingerprint"] == tiny_table.fingerprint
    assert attrs["seed"] == 0
    assert attrs["method"] == "svi"
    assert "numpyro" in attrs["versions"]
    other = leaderboard(tiny_table.frame[NAMES].to_numpy() * 0.99)
    assert other.fingerprint != attrs["data_fingerprint"]
