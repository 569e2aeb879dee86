"""The study of intervals by distance, on an evaluation that ships; it fits nothing."""

from __future__ import annotations

import numpy as np
import pytest

import sloth_bayes as sb
from studies import distances as study


@pytest.fixture(scope="module")
def found() -> sb.Evaluation:
    return sb.load_evaluation("leaderboard", "strict")


def test_parts_are_those_of_the_evaluation_and_differences_are_paired(found):
    wider = found.frame.assign(width_90=found.frame["width_90"] + 0.02)
    table = study.table(found.frame, wider.sample(frac=1, random_state=0)).set_index("by")
    sums = table.groupby("by")["n"].sum()
    assert (sums.drop("near") == len(found.frame)).all()
    assert sums["near"] == (found.frame["doublings"] < 2).sum()
    own = found.by("doublings")
    rows = table.loc["doublings"].set_index("part")
    np.testing.assert_allclose(rows["covered_90"][own.index], own["cover_90"])
    np.testing.assert_allclose(table["less_width_90"], -2.0)
    np.testing.assert_allclose(table[["less_error", "se_error"]], 0.0, atol=1e-9)
    everything = found.coverage().set_index(["setting", "level"]).loc[("all", 0.9)]
    low, high = table.loc["all", ["low", "high"]]
    assert (low, high) == pytest.approx((everything["lower"], everything["upper"]))


def test_the_trend_is_the_slope_of_least_squares(found):
    rows = found.frame
    slope, error = study.trend(rows, rows["family"].to_numpy(str), replicates=200)
    assert slope == pytest.approx(np.polyfit(rows["doublings"], rows["covered_90"], 1)[0])
    assert 0 < error < 0.1


def test_other_forecasts_are_refused(found):
    with pytest.raises(SystemExit, match="run the same folds"):
        study.table(found.frame, found.frame.iloc[1:])
