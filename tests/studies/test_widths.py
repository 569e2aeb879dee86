"""Wider when farther: what holds of the posterior that ships, over all families and benchmarks."""

from __future__ import annotations

import numpy as np
import pytest

import sloth_bayes as sb
from studies import widths as study


@pytest.fixture(scope="module")
def post() -> sb.Posterior:
    return sb.load("open")


@pytest.fixture(scope="module")
def found(post):
    return study.ratios(post, study.larger(post))


def test_steps_are_of_every_family_of_known_size_and_every_benchmark(post, found):
    sized = post.model_table().dropna(subset=["params_b", "tokens_t"])["family"].nunique()
    steps = len(study.TIMES) - 1
    assert (found.groupby("of").size() == steps * sized * len(post.benchmarks)).all()
    assert study.table(found)["pairs"].sum() == len(found)


def test_the_predictor_spreads_no_less_away_from_what_is_known(found):
    """Away from the family, and from the middle of the models that have scores there.

    Nearer to the floor it may: a score there says that the predictor is low, not how low. On the
    way to that middle it may: there the benchmark's line is known best. Of some hundred draws, one
    pair in ten thousand may.
    """
    predictor = found[found["of"] == "predictor"]
    known = predictor[(predictor["way"] >= 0.25) & predictor["away"]]
    assert len(known) > 10_000
    assert (known["spread"] < study.LEAST).sum() <= 1
    assert (known["spread"] >= 0.985).all()
    assert (known["width"] < study.LEAST).mean() < 0.01
    assert (predictor["spread"] >= 0.85).all()
    nearing = predictor[(predictor["way"] >= 0.25) & ~predictor["away"]]
    assert (nearing["spread"] >= 0.95).all()
    assert (nearing["spread"] < study.LEAST).mean() < 0.02


def test_nor_does_an_expected_score_up_to_the_middle(found):
    """From there the link's slope falls, faster than the predictor's width grows."""
    expected = found[found["of"] == "expected score"]
    below = expected[(expected["way"] < 0.5) & expected["away"]]
    assert len(below) > 1_500
    assert (below["spread"] < study.LEAST).sum() <= 1
    assert (below["spread"] >= 0.985).all()
    assert np.median(below["spread"]) > 1.1


def test_a_hundred_times_larger_the_best_score_is_within_reach(post):
    """Of every benchmark on which the best is not all that there is to have."""
    best = study.beyond_the_best(post, study.larger(post))
    there = best["best"] < 1
    assert there.sum() == len(post.benchmarks) - 1
    assert (best["upper"] > best["best"])[there].all()
