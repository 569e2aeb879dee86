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
