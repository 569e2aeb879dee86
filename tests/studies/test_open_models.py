"""What the posterior of today's models says of some that were trained and are not in its table."""

from __future__ import annotations

import numpy as np
import pytest

import sloth_bayes as sb


@pytest.fixture(scope="module")
def post() -> sb.Posterior:
    return sb.load("open")


def test_the_model_that_an_earlier_fit_had_ruled_out_is_inside(post):
    """Llama 3.1 405B: 84.9 on MMLU, by the public re-evaluation of ObsScaling."""
    who = sb.candidates(family="llama-3.1", params_b=405, tokens_t=15)
    with pytest.warns(sb.ExtrapolationWarning, match="2.25 times the largest"):
        row = post.forecast(who, benchmarks=["MMLU"]).frame.iloc[0]
    assert row["lower"] < 0.849 < row["upper"]
    assert row["upper"] - row["lower"] < 0.1


def test_the_same_questions_have_one_ceiling_and_letters_a_floor_near_chance(post):
    upper, lower = (post.merged[name] for name in ("upper", "lower"))
    at = post.benchmarks.index
    v1, swallow = at("MMLU"), at("MMLU (Swallow)")
    share = (1 - upper) / (1 - lower)  # files keep eight bits
    np.testing.assert_allclose(share[:, v1], share[:, swallow], atol=0.005)
    for name in ("MMLU", "MMLU-PRO", "GPQA"):
        floor, chance = lower[:, at(name)], post.constant("chance")[at(name)]
        assert np.abs(floor - chance).max() < 0.05
