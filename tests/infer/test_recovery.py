"""Are loadings recovered, and do fits agree? The studies of tests/recovery.py and stability.py."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from studies import calibration, recovery, simulation, stability

SMALL = {"warmup": 100, "draws": 100, "steps": 400, "max_tree_depth": 5}


@pytest.mark.slow
def test_truth_is_the_draw_behind_the_table():
    """Its expected scores are near the table's, and its own skills are a rotation of the draw."""
    tables = list(simulation.from_prior(2))
    for table in tables:
        true = recovery.truth_of(table, 2)
        assert true.n_draws == 1
        whole = simulation.prior_of(2).merged["loading"][table.seed]
        assert true.merged["loading"][0] == pytest.approx(whole)
        found = true.skills()
        eta = found.draws["model_skill"].values[0, 0] @ found.draws["loading"].values[0, 0].T
        assert np.linalg.matrix_rank(eta, tol=1e-8) == 2


@pytest.mark.slow
def test_a_table_is_recovered():
    """At least half of its 12 loadings lie in their 90% intervals, from short chains.

    Were they no more than 6 independent ones, proper intervals would miss more than half of them
    with probability 0.001.
    """
    with calibration.one_program():  # that of the coverage study in test_simulation
        results = recovery.study(1, **SMALL)
    assert stats.binom.cdf(2, 6, 0.9) < 0.0015
    assert results["cells"].tolist() == [12]
    assert results["inside_90%"].sum() >= 6
    assert (results["inside_50%"] <= results["inside_90%"]).all()
    assert (results["right_sign"] <= results["certain"]).all()
    assert results["correlation"].between(0.01, 1).all()  # oblique: exactly 0 if orthogonal


@pytest.mark.slow
def test_coverage_of_loadings_over_forty_tables(tmp_path, record_property):
    """85 to 95%, as promised; the standard error over tables is about 0.02."""
    results = recovery.study(40, tmp_path / "recovery.csv")
    summary = recovery.summarise(results)
    record_property("recovery", summary.to_dict())
    print(summary.to_string())
    assert len(results) == 40
    assert 0.85 <= summary["covered 90%"] <= 0.95


@pytest.mark.long
def test_a_study_goes_on_where_it_was_cut_off(tmp_path, monkeypatch):
    seen = []

    def evaluate(table, tables, rotation, **options):
        seen.append(table.seed)
        return {"seed": table.seed, "cells": 12, "pairs": 1, "inside_50%": 6, "width_50%": 0.1,
                "pairs_50%": 1, "inside_90%": 12, "width_90%": 0.2, "pairs_90%": 1, "certain": 4,
                "right_sign": 4, "correlation": 0.3, "congruence": 1.0, "ambiguous": 0.0,
                "r_hat": 1.0, "seconds": 1.0}  # fmt: skip

    monkeypatch.setattr(recovery, "evaluate", evaluate)
    path = tmp_path / "out.csv"
    assert len(recovery.study(2, path)) == 2
    assert len(recovery.study(2, path)) == 2
    assert seen == [0, 1]
    assert recovery.summarise(recovery.study(2, path))["covered 50%"] == 0.5


def test_a_fit_agrees_with_itself_whatever_the_order_of_its_skills(tiny_posterior):
    fit = tiny_posterior.skills()
    turned = fit.rename(fit.names)
    turned.draws = fit.draws.assign(loading=-fit.draws["loading"].isel(skill=[1, 0]))
    found = stability.compare([fit, turned])
    assert found["agree"].all()
    assert found["mean 1"].to_numpy() == pytest.approx(found["mean 2"].to_numpy())


def test_a_certain_loading_of_another_sign_is_found(tiny_posterior):
    fit = tiny_posterior.skills()
    k = int(np.argmax(np.abs(fit.draws["loading"].mean(("chain", "draw")).values).max(0)))
    other = fit.rename(fit.names)
    values = fit.draws["loading"].copy(deep=True)
    size = np.abs(values.mean(("chain", "draw"))[:, k])
    j = int(np.argsort(size.values)[0])  # the least: the column still matches
    values[:, :, j, k] = -np.abs(values[:, :, j, k])
    other.draws = fit.draws.assign(loading=values)
    first = fit.rename(fit.names)
    first.draws = fit.draws.assign(
        loading=np.abs(values).where(values.skill == fit.names[k], values)
    )
    found = stability.compare([first, other])
    row = found[(found["benchmark"] == fit.benchmarks[j]) & (found["skill"] == fit.names[k])]
    assert bool(row["certain"].iloc[0])
    assert not bool(row["agree"].iloc[0])
