"""Folds by NUTS: what says that they converged, what they must not see, what must not matter."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

import sloth_bayes as sb
from sloth_bayes.evaluate import fold as one_fold
from sloth_bayes.evaluate import protocols
from sloth_bayes.evaluate.cross_validate import masked
from sloth_bayes.evaluate.fold import forecast_hidden
from sloth_bayes.model.arrays import design_of
from sloth_bayes.model.loadings import sizes
from tests.conftest import BENCHMARKS

SHORT = {
    "method": "nuts", "steps": 600, "warmup": 60, "draws": 60, "max_tree_depth": 7,
    "progress": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def folds(tiny_table):
    chosen = {"birch": "birch", "cedar": "cedar", "cedar-chat": "cedar"}
    return protocols.leave_group_out(tiny_table, chosen, n_observed=2)


@pytest.fixture(scope="module")
def found(tiny_spec, tiny_table, folds) -> sb.Evaluation:
    return sb.cross_validate(tiny_spec, tiny_table, folds, **SHORT)


def verdicts(*good: bool):
    """A stand-in for the fits of a fold: whether each converges, and how long each was."""
    lengths: list[int] = []

    def sampled(p, arrays, rows, rng, o, times):
        lengths.append(times)
        mu = np.full((2, len(rows), 4), 0.1 * len(lengths))
        return mu, mu, {"converged": float(good[len(lengths) - 1]), "r_hat": 1.0}

    return sampled, lengths


@pytest.mark.parametrize(
    ("good", "refits", "converged"),
    [((True,), 0, 1), ((False, True), 1, 1), ((False, False, False), 2, 0)],
)
def test_a_fold_that_has_not_converged_is_fitted_longer_and_says_so(
    tiny_spec, tiny_table, folds, monkeypatch, good, refits, converged
):
    laid_out = design_of(tiny_spec, tiny_table)
    sampled, lengths = verdicts(*good)
    monkeypatch.setattr(one_fold, "_sampled", sampled)
    arrays = masked(laid_out, folds[0].hidden)
    n = sizes(tiny_spec, laid_out.arrays)
    mu, _, notes = forecast_hidden(tiny_spec, n, arrays, [0], "nuts")
    assert lengths == [1, 2, 4][: len(good)]
    assert (notes["refits"], notes["converged"]) == (refits, converged)
    np.testing.assert_allclose(mu, 0.1 * len(good))  # of the last fit


@pytest.mark.long
def test_every_fold_says_whether_it_converged(found, folds):
    each = found.frame.groupby("fold")[["converged", "r_hat", "ess", "diverged", "refits"]]
    assert (each.nunique() == 1).all(axis=None)
    table = each.first()
    assert len(table) == len(folds)
    good = (table["r_hat"] <= one_fold.MOST_R_HAT) & (table["ess"] >= one_fold.LEAST_ESS)
    assert (table["converged"] == good).all()
    assert len(found.not_converged()) == (~good).sum()
    assert table["converged"].all()
    assert (found.frame["error"] < 0.25).all()


@pytest.mark.long
def test_hidden_scores_reach_no_fold(found, tiny_spec, tiny_table, folds):
    """What a fold hides is dealt out anew, and forecasts stay as they are, to the last digit."""
    rng = np.random.default_rng(0)
    for fold in folds:
        frame = tiny_table.frame.copy()
        rows = frame["model"].isin(fold.hidden)
        for name in tiny_table.benchmark_names:
            frame.loc[rows, name] = rng.permutation(frame.loc[rows, name])
        dealt = sb.Leaderboard.from_frame(frame, benchmarks=BENCHMARKS, name="tiny")
        again = sb.cross_validate(tiny_spec, dealt, [fold], **SHORT)
        alone = sb.cross_validate(tiny_spec, tiny_table, [fold], **SHORT)
        assert not again.frame["score"].equals(alone.frame["score"])
        for column in ("median", "lower", "upper", "sd", "r_hat", "ess"):
            pd.testing.assert_series_equal(again.frame[column], alone.frame[column])


@pytest.mark.long
def test_neither_the_executor_nor_the_order_changes_a_number(found, tiny_spec, tiny_table, folds):
    with ThreadPoolExecutor(1) as pool:
        again = sb.cross_validate(tiny_spec, tiny_table, folds[::-1], executor=pool, **SHORT)
    key = ["fold", "model", "benchmark"]
    left, right = (e.frame.set_index(key).sort_index() for e in (found, again))
    pd.testing.assert_frame_equal(left, right)


@pytest.mark.long
def test_it_goes_on_where_it_was_cut_off(found, tiny_spec, tiny_table, folds, tmp_path):
    first = found.frame["fold"] == found.frame["fold"].iloc[0]
    means = found.means[found.means["fold"] == found.frame["fold"].iloc[0]]
    part = sb.Evaluation(found.frame[first], means, found.about).save(tmp_path / "part")
    again = sb.cross_validate(tiny_spec, tiny_table, folds, out=part, **SHORT)
    pd.testing.assert_frame_equal(again.frame, found.frame, rtol=1e-4, check_dtype=False)
    with pytest.raises(sb.FileFormatError, match="another options"):
        sb.cross_validate(tiny_spec, tiny_table, folds, out=part, **SHORT | {"chains": 4})
