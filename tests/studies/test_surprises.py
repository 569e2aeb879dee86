"""The study of surprising scores: what it spoils, counts and looks for; it fits nothing here."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sloth_bayes as sb
from studies import resumed, simulation
from studies import surprises as study


@pytest.fixture(scope="module")
def table() -> sb.Leaderboard:
    return next(simulation.from_prior(1)).data


def stacked(data: sb.Leaderboard) -> pd.Series:
    return data.frame.set_index("model")[list(data.benchmark_names)].stack().dropna()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_errors_are_as_many_and_as_large_as_asked(table, seed):
    spoilt, wrong = study.with_errors(table, 12, seed)
    moved = stacked(spoilt) - stacked(table)
    assert set(moved.index[moved != 0]) == wrong
    assert len(wrong) == 12
    np.testing.assert_allclose(moved[moved != 0].abs(), study.MOVED)
    assert stacked(spoilt).between(0, 1).all()
    assert study.with_errors(table, 12, seed)[1] == wrong


@pytest.mark.long
def test_errors_among_the_flagged_are_counted():
    frame = pd.DataFrame(
        {
            "model": ["a", "b", "c", "d"],
            "benchmark": "x",
            "score": [0.9, 0.5, 0.5, 0.5],
            "lower": 0.4,
            "upper": 0.6,
            "flagged": [True, True, False, False],
            "exact": [True, True, True, False],
        }
    )
    models = pd.DataFrame({"flagged": [True]})
    row = study.counted(sb.Surprises(frame, models, 0.01, ()), {("a", "x"), ("c", "x")})
    assert (row["errors"], row["errors_flagged"], row["flagged"]) == (2, 1, 2)
    assert (row["errors_in_worst_5%"], row["outside_90"], row["rough"]) == (1, 0.25, 1)
    assert "of 2 errors 1 flagged" in study.summary("injected", pd.DataFrame([row]))


@pytest.mark.long
def test_the_failures_looked_for_are_in_the_table_as_published():
    data = stacked(sb.load_dataset("open_models", corrected=False))
    found = study.failures()
    pairs = list(zip(found["model"], found["column"]))
    assert {("sarashina2-70b", "GSM8K (Swallow)"), ("glm-4-9b", "MATH Lvl 5")} <= set(pairs)
    assert ("gemma-2-2b", "IFEval") not in pairs  # another setting, not a failure
    assert data.reindex(pairs).notna().all()


@pytest.mark.long
def test_a_study_goes_on_where_it_was_cut_off(table, tmp_path):
    cells = [study.Cell(0, "ash-1.4b", "one"), study.Cell(0, "ash-1.4b", "two")]
    by, out, asked = ("seed", "model", "benchmark"), tmp_path / "exact.csv", []

    def row(cell: study.Cell) -> dict:
        asked.append(cell)
        return cell._asdict()

    resumed.rows(cells[:1], row, out, str, by)
    both = resumed.rows(cells, row, out, str, by)
    assert asked == cells
    assert len(both) == 2
