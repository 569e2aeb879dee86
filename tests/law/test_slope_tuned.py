"""Slopes of tuned models: what they add, and whether simulated ones are found again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sloth_bayes as sb
from sloth_bayes.law import terms
from sloth_bayes.predict.new_effects import effects_of
from tests.conftest import layout, leaderboard

SPEC = sb.Sloth(n_skills=2, slopes="tuned")


@pytest.fixture(scope="module")
def prior() -> sb.Posterior:
    rng = np.random.default_rng(0)
    return SPEC.prior(leaderboard(rng.uniform(0.3, 0.7, (len(layout()), 4))), draws=400, seed=4)


@pytest.mark.long
@pytest.mark.parametrize("tuned", [False, True])
def test_tuned_models_gain_by_their_own_slope(prior, tuned):
    v = prior.merged
    assert v["slope_tuned"][:, :2].std() == pytest.approx(0.1, rel=0.1)
    assert v["slope_tuned"][:, 2].std() == pytest.approx(0.01, rel=0.15)  # of the interaction
    rows = pd.DataFrame(
        {"model": list("ab"), "family": "mine", "lineage": "mine", "instruct": tuned,
         "params_b": [1.0, 4.0], "tokens_t": 6.0}
    )  # fmt: skip
    who = effects_of(prior, rows, 1)
    gained = np.diff(terms.skills(v, who), axis=1)[:, 0]
    moved = np.diff(who.inputs, axis=0)[0]
    np.testing.assert_allclose(gained, moved @ (v["slope"] + tuned * v["slope_tuned"]), atol=2e-4)


@pytest.mark.slow
def test_a_fit_finds_what_a_doubling_adds_to_tuned_models():
    """In predictors, which no coordinates of skills change; by NUTS."""
    rows = pd.DataFrame(
        [
            {"model": f"f{i:02}-{k}", "family": f"f{i:02}", "lineage": f"f{i:02}",
             "instruct": i % 2 == 1, "params_b": 4.0**k, "tokens_t": 2.0}
            for i in range(40) for k in range(3)
        ]
    )  # fmt: skip
    names = ["Reading", "Maths", "Facts", "Code"]

    def table(scores: np.ndarray) -> sb.Leaderboard:
        columns = pd.DataFrame(scores, columns=names)
        return sb.Leaderboard.from_frame(
            pd.concat([rows, columns], axis=1), benchmarks=[sb.Benchmark(n) for n in names]
        )

    law = SPEC.replace(n_skills=1, intercept="family", inputs="size")
    truth = law.prior(table(np.full((len(rows), 4), 0.5)), draws=20, seed=5)
    drawn = truth.data_tree["posterior_predictive"]["score"].values[0, -1]
    fit = {"chains": 2, "warmup": 200, "draws": 200, "steps": 600, "starts": 1}
    post = law.fit(table(drawn.reshape(len(rows), 4)), progress=False, **fit)
    found, true = (
        np.einsum("sjk,sk->sj", p.merged["loading"], p.merged["slope_tuned"][:, 0])
        for p in (post, truth)
    )
    sd, off = found.std(0), found.mean(0) - true[-1]
    assert (np.abs(off) < 3 * sd).all(), (off, sd)
    assert sd.mean() < 0.5 * true.std(0).mean(), (sd, true.std(0))  # and more than the prior does
