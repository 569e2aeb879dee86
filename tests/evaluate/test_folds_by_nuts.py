"""Folds by NUTS: what says that they converged, what they must not see, what must not matter."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import typer

import sloth_bayes as sb
from sloth_bayes.evaluate import fold as one_fold
from sloth_bayes.evaluate import protocols
from sloth_bayes.evaluate.cross_validate import masked
from sloth_bayes.evaluate.fold import forecast_hidden
from sloth_bayes.model.arrays import design_of
from sloth_bayes.model.loadings import sizes
from tests.conftest import BENCHMARKS

SHORT = {
    "method": "nuts", "steps": 400, "warmup": 50, "draws": 50, "max_tree_depth": 6,
    "progress": False,
}  # fmt: skip
LAW = sb.Sloth(n_skills=1)


@pytest.fixture(scope="module", autouse=True)
def no_refits():
    """Short fits may fail: none is made again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(one_fold, "_REFITS", 0)
        yield


@pytest.fixture(scope="module")
def folds(tiny_table):
    chosen = {"birch": "birch", "cedar": "cedar", "cedar-chat": "cedar"}
    return protocols.leave_group_out(tiny_table, chosen, n_observed=2)


@pytest.fixture(scope="module")
def found(tiny_table, folds) -> sb.Evaluation:
    return sb.cross_validate(LAW, tiny_table, folds, **SHORT)


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
    tiny_table, folds, monkeypatch, good, refits, converged
):
    laid_out = design_of(LAW, tiny_table)
    sampled, lengths = verdicts(*good)
    monkeypatch.setattr(one_fold, "_REFITS", 2)
    monkeypatch.setattr(one_fold, "_sampled", sampled)
    arrays = masked(laid_out, folds[0].hidden)
    n = sizes(LAW, laid_out.arrays)
    mu, _, notes = forecast_hidden(LAW, n, arrays, [0], "nuts")
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
    assert (table["r_hat"] < 1.3).all()  # they are short


@pytest.mark.long
def test_hidden_scores_reach_no_fold(found, tiny_table, folds):
    """What a fold hides is dealt out anew, and forecasts stay as they are, to the last digit."""
    rng = np.random.default_rng(0)
    for fold in folds:
        frame = tiny_table.frame.copy()
        for name in tiny_table.benchmark_names:
            rows = frame["model"].isin(fold.hidden) & frame[name].notna()
            frame.loc[rows, name] = rng.permutation(frame.loc[rows, name])
        dealt = sb.Leaderboard.from_frame(frame, benchmarks=BENCHMARKS, name="tiny")
        again = sb.cross_validate(LAW, dealt, [fold], **SHORT)
        alone = sb.cross_validate(LAW, tiny_table, [fold], **SHORT)
        assert not again.frame["score"].equals(alone.frame["score"])
        for column in ("median", "lower", "upper", "sd", "r_hat", "ess"):
            pd.testing.assert_series_equal(again.frame[column], alone.frame[column])


@pytest.mark.long
def test_chains_by_themselves_forecast_what_lanes_do(tiny_table, folds):
    """The same posterior by another sampler: medians agree within what they are uncertain by."""
    both = [
        sb.cross_validate(LAW, tiny_table, folds[:1], **SHORT | options).frame
        for options in (
            {"warmup": 100, "draws": 400},
            {"chains": 4, "warmup": 200, "draws": 300, "lanes": 0, "starts": 2, "thin": 2},
        )
    ]
    lanes, apart = both
    assert (apart["r_hat"] < 1.05).all()
    gap = (lanes["median"] - apart["median"]).abs()
    assert (gap < 5 * lanes["sd"] / np.sqrt(lanes["ess"].clip(upper=apart["ess"]))).all()
    ratio = (apart["upper"] - apart["lower"]) / (lanes["upper"] - lanes["lower"])
    assert ratio.between(0.75, 1.33).all()


def test_lanes_are_told_what_only_other_chains_have(tiny_table, folds):
    with pytest.raises(sb.SpecError, match="thin is of chains that step by themselves"):
        sb.cross_validate(LAW, tiny_table, folds, **SHORT, thin=2)


@pytest.mark.long
def test_neither_the_executor_nor_the_order_changes_a_number(found, tiny_table, folds):
    with ThreadPoolExecutor(1) as pool:
        again = sb.cross_validate(LAW, tiny_table, folds[::-1], executor=pool, **SHORT)
    key = ["fold", "model", "benchmark"]
    left, right = (e.frame.set_index(key).sort_index() for e in (found, again))
    pd.testing.assert_frame_equal(left, right)


@pytest.mark.long
def test_it_goes_on_where_it_was_cut_off(found, tiny_table, folds, tmp_path):
    first = found.frame["fold"] == found.frame["fold"].iloc[0]
    means = found.means[found.means["fold"] == found.frame["fold"].iloc[0]]
    part = sb.Evaluation(found.frame[first], means, found.about).save(tmp_path / "part")
    again = sb.cross_validate(LAW, tiny_table, folds, out=part, **SHORT)
    pd.testing.assert_frame_equal(again.frame, found.frame, rtol=1e-4, check_dtype=False)
    with pytest.raises(sb.FileFormatError, match="another options"):
        sb.cross_validate(LAW, tiny_table, folds, out=part, **SHORT | {"chains": 4})


def test_the_command_says_which_folds_were_fitted_longer(capsys):
    from sloth_bayes.cli.evaluate import _judged

    about = {"method": "nuts", "options": {"warmup": 100, "draws": 125}}
    rows = {
        "setting": "s", "n_observed": 1, "fold": ["a", "b", "c"], "converged": [1, 1, 0],
        "refits": [0, 1, 2],
    }  # fmt: skip
    found = sb.Evaluation(pd.DataFrame(rows), pd.DataFrame(), about)
    with pytest.raises(typer.Exit):
        _judged(found.not_converged(), found)
    said = capsys.readouterr().err
    assert "1 folds converged in a longer fit, which followed by itself: s/1/b" in said
    assert "1 fits did not converge: s/1/c" in said
    assert "--warmup 200 --draws 250" in said
