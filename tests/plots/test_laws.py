"""The figure of laws compared."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sloth_bayes as sb


def points(axis) -> list[tuple[float, float]]:
    return [
        point
        for line in axis.lines
        if line.get_marker() == "o"
        for point in zip(line.get_xdata(), line.get_ydata())
    ]


def test_differences_with_errors_and_what_has_not_converged():
    table = pd.DataFrame(
        {"difference": [0.0, -0.1, -0.3], "se": [0.0, 0.05, 0.1], "not_converged": [0, 2, 0]},
        index=["best", "$stopped$", "worst"],
    )
    (axis,) = sb.plots.laws(table)
    assert points(axis) == [(0.0, 2), (-0.3, 0), (-0.1, 1)]  # from above; hollow ones last
    hollow = [line for line in axis.lines if line.get_color() == "white"]
    assert [tuple(line.get_xdata()) for line in hollow] == [(-0.1,)]
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels == ["best", "$stopped$, 2 folds not converged", "worst"]
    two, one = (lines.get_segments() for lines in axis.collections)
    np.testing.assert_allclose(two[2][:, 0], [-0.5, -0.1])
    np.testing.assert_allclose(one[2][:, 0], [-0.4, -0.2])
    with pytest.raises(sb.DataError, match="compare_laws"):
        sb.plots.laws(table.drop(columns="se"))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_laws_compared_by_leave_one_out(tiny_posterior, tiny_svi):
    table = sb.compare_laws({"nuts": tiny_posterior, "svi": tiny_svi})
    (axis,) = sb.plots.laws(table)
    x = dict((y, x) for x, y in points(axis))
    assert x[1] == 0
    assert x[0] == pytest.approx(-abs(table["elpd_diff"].iloc[1]))
    assert x[0] < 0
