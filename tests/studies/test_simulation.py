"""Do intervals hold what they promise? The study of tests/simulation.py, small and in full."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import sloth_bayes as sb
from studies import calibration, simulation

SMALL = {"warmup": 100, "draws": 100, "steps": 400, "max_tree_depth": 5}


@pytest.mark.long
def test_every_table_has_one_layout():
    prior, outside = list(simulation.from_prior(2)), list(simulation.from_outside(4))
    assert [t.law for t in outside] == list(simulation.OUTSIDE)
    shapes = set()
    for table in prior + outside:
        scores = table.data.frame[simulation.NAMES].to_numpy()
        assert np.isfinite(scores).sum(0).min() > 30
        assert np.isfinite(scores).any(1).all()
        assert ((table.expected >= 0) & (table.expected <= 1)).all()
        assert table.expected.shape == (len(table.held_out), len(simulation.NAMES))
        assert not set(table.held_out["model"]) & set(table.data.models)
        shapes.add((table.data.models, table.data.families, tuple(map(tuple, np.isnan(scores)))))
    assert len(shapes) == 1
    assert prior[0].data != prior[1].data


def test_simulated_scores_stand_beside_their_own_models():
    """The scores of a table scatter around the expected scores of the draw that made them."""
    for k, table in enumerate(simulation.from_prior(2)):
        expected = simulation.prior_of(2).expected_scores()
        cells = zip(expected["obs_model"].values, expected["obs_benchmark"].values)
        wide = table.data.frame.set_index("model")
        score = [wide.loc[model, benchmark] for model, benchmark in cells]
        assert np.corrcoef(expected.values[0, k], score)[0, 1] > 0.9
        assert abs(np.corrcoef(expected.values[0, 1 - k], score)[0, 1]) < 0.9


@pytest.mark.slow
def test_intervals_cover_the_truth_of_two_tables():
    """At least 70% of the held-out cells of two tables lie in their 90% intervals.

    Cells of a family rise and fall together. Were there no more than 20 independent ones in the
    132, a proper interval would cover 13 or fewer of them (below 70%) with probability 0.0024.
    """
    with calibration.one_program():
        results = simulation.study("prior", 2, **SMALL)
    assert stats.binom.cdf(13, 20, 0.9) < 0.0025
    assert results["cells"].sum() == 132
    assert results["inside_90%"].sum() / results["cells"].sum() > 0.7
    assert (results["width_90%"] < 0.6).all()  # nor do they cover by saying nothing


@pytest.mark.slow
def test_coverage_over_twenty_tables_from_the_prior(tmp_path, record_property):
    """85 to 95% overall: 20 tables, whose coverage differs by 0.1 or so, leave an error of 0.02."""
    results = simulation.study("prior", 20, tmp_path / "prior.csv")
    summary = simulation.summarise(results).iloc[0]
    record_property("coverage", summary.to_dict())
    print(summary.to_string())
    assert len(results) == 20
    assert 0.85 <= summary["covered 90%"] <= 0.95


@pytest.mark.slow
def test_coverage_outside_the_specification_is_reported(tmp_path, record_property):
    """Not promised, but known: no law tried leaves the intervals useless."""
    results = simulation.study("outside", 20, tmp_path / "outside.csv")
    summary = simulation.summarise(results)
    record_property("coverage", summary.to_dict("records"))
    print(summary.to_string())
    assert len(results) == 20
    assert summary["covered 90%"].min() > 0.6


def test_a_study_goes_on_where_it_was_cut_off(tmp_path, monkeypatch):
    seen = []

    def evaluate(table, **options):
        seen.append(table.seed)
        return {"law": table.law, "walk": table.walk, "seed": table.seed, "cells": 4, "mae": 0.0,
                "r_hat": 1.0, "seconds": 1.0, "inside_50%": 2, "inside_90%": 4, "width_50%": 0.1,
                "width_90%": 0.2}  # fmt: skip

    monkeypatch.setattr(simulation, "evaluate", evaluate)
    path = tmp_path / "out.csv"
    assert len(simulation.study("outside", 2, path)) == 2
    assert len(simulation.study("outside", 5, path)) == 5
    assert seen == [0, 1, 2, 3, 4]
    summary = simulation.summarise(simulation.study("outside", 5, path))
    assert summary.set_index("law").loc["outside", "tables"] == 5
    assert (summary["covered 50%"] == 0.5).all()
    assert isinstance(simulation.SPEC, sb.Sloth)
