"""Folds of score cards, and the rule that chooses a law."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sloth_bayes.support.shipped import shipped
from studies import frontier


def test_folds_are_benchpress_s():
    raw = shipped("data") / "raw" / "benchpress"
    table = pd.read_csv(raw / "scores_percent.csv", index_col="model")
    theirs = pd.read_csv(raw / "folds.csv.gz")
    for seed, folds in theirs.groupby("seed"):
        ours = frontier.split(table, int(seed))
        pd.testing.assert_frame_equal(ours.merge(folds), ours)
    fresh = frontier.split(table, 45)
    assert len(fresh.drop_duplicates(["model", "benchmark"])) == table.notna().to_numpy().sum()
    sizes = fresh.groupby(["model", "fold"]).size().unstack()
    assert (np.ptp(sizes.to_numpy(), axis=1) <= 2).all()
    assert len(fresh.merge(theirs[theirs["seed"] == 44])) < len(fresh) / 2


@pytest.fixture
def cells() -> pd.DataFrame:
    """The law of two skills, one that is much better, and others of noise."""
    rng = np.random.default_rng(0)
    at = pd.MultiIndex.from_product([range(40), range(10)], names=["model", "benchmark"])
    plain = rng.gamma(2.0, 2.0, len(at))
    of = {name: plain + rng.normal(0, 0.1, len(at)) for name in frontier.CANDIDATES}
    of["2 skills"] = plain
    of["constant noise"] = of["constant noise"] - 1
    return pd.concat([at.to_frame(index=False).assign(law=k, crps=v) for k, v in of.items()])


def test_changes_that_are_better_go_together(cells):
    assert "constant noise" in frontier.together(cells)
    assert "2 skills" not in frontier.together(cells)
    gap, error = frontier.excess(cells, "constant noise", "2 skills")
    assert gap == pytest.approx(-1, abs=4 * error)
