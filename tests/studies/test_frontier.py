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


def test_cells_of_a_model_count_as_one():
    rng = np.random.default_rng(0)
    at = pd.MultiIndex.from_product([range(40), range(10)], names=["model", "benchmark"])
    plain, of_model = rng.gamma(2.0, 2.0, len(at)), np.repeat(rng.normal(0, 1, 40), 10)
    laws = {"a": plain, "b": plain - 1 + of_model}
    cells = pd.concat([at.to_frame(index=False).assign(law=k, crps=v) for k, v in laws.items()])
    gap, error = frontier.excess(cells, "b", "a")
    assert gap == pytest.approx(-1, abs=0.5)
    assert error == pytest.approx(of_model[::10].std() / np.sqrt(40))
