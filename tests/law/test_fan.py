"""Slopes that fan out: what they add, in a fit's arithmetic, a forecast's and conditioning's."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import sloth_bayes as sb
from sloth_bayes.law import terms
from sloth_bayes.predict.new_effects import effects_of
from tests.conftest import layout, leaderboard

SPEC = sb.Sloth(n_skills=2, slopes="fan")


@pytest.fixture(scope="module")
def prior() -> sb.Posterior:
    rng = np.random.default_rng(0)
    return SPEC.prior(leaderboard(rng.uniform(0.3, 0.7, (len(layout()), 4))), draws=400, seed=4)


@pytest.mark.long
def test_an_efficient_family_gains_by_its_effect(prior):
    v = prior.merged
    assert v["fan"][:, :2].std() == pytest.approx(0.1, rel=0.1)
    assert v["fan"][:, 2].std() == pytest.approx(0.01, rel=0.15)  # of the interaction a tenth
    sizes = [1.0, 4.0]
    rows = pd.DataFrame(
        {"model": list("ab"), "family": "cedar", "lineage": "cedar", "instruct": 0.0,
         "params_b": sizes, "tokens_t": 6.0}
    )  # fmt: skip
    who = effects_of(prior, rows, 1)
    gained = np.diff(terms.skills(v, who), axis=1)[:, 0]
    moved = np.diff(who.inputs, axis=0)[0]
    alpha = v["family_effect"][:, prior.families.index("cedar")]
    want = moved @ v["slope"] + alpha * (v["fan"] @ moved)[:, None]
    np.testing.assert_allclose(gained, want, atol=2e-4)


@pytest.mark.long
def test_slopes_of_tuned_models_go_with_it():
    """Both at once: each adds what it adds by itself."""
    rng = np.random.default_rng(0)
    data = leaderboard(rng.uniform(0.3, 0.7, (len(layout()), 4)))
    post = SPEC.replace(slopes="fan-tuned").prior(data, draws=50, seed=4)
    rows = pd.DataFrame(
        {"model": list("ab"), "family": "cedar", "lineage": "cedar", "instruct": 1.0,
         "params_b": [1.0, 4.0], "tokens_t": 6.0}
    )  # fmt: skip
    v, who = post.merged, effects_of(post, rows, 1)
    gained = np.diff(terms.skills(v, who), axis=1)[:, 0]
    moved = np.diff(who.inputs, axis=0)[0]
    alpha = v["family_effect"][:, post.families.index("cedar")]
    want = moved @ (v["slope"] + v["slope_tuned"]) + alpha * (v["fan"] @ moved)[:, None]
    np.testing.assert_allclose(gained, want, atol=2e-4)


@pytest.mark.slow
def test_conditioning_draws_it_too(prior):
    mine = pd.DataFrame(
        {"model": ["a", "b"], "family": "mine", "params_b": [1.0, 8.0], "tokens_t": 2.0,
         "Reading": [0.45, 0.6], "Maths": [0.2, 0.5]}
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        post = prior.condition(mine, seed=4)
        table = post.forecast(mine[["model", "family", "params_b", "tokens_t"]]).frame
    off = table.set_index(["model", "benchmark"])["median"]
    for row in mine.itertuples():
        assert off[row.model, "Reading"] == pytest.approx(row.Reading, abs=0.1)
        assert off[row.model, "Maths"] == pytest.approx(row.Maths, abs=0.1)
