"""Protocols: what a fold hides, proved from its masks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sloth_bayes as sb
from sloth_bayes.evaluate import protocols


@pytest.fixture(scope="module")
def table() -> sb.Leaderboard:
    return sb.load_dataset("open_llm_leaderboard", corrected=False)


@pytest.fixture(scope="module")
def folds(table) -> tuple[sb.Fold, ...]:
    return protocols.published(table)


def test_the_published_folds_are_there(folds):
    """As many folds, and as many test models in each, as the authors' own results."""
    counted = {(f.setting, f.n_observed, f.name) for f in folds}
    errors = sb.evaluation.published_errors()
    assert counted == set(errors[["setting", "n_observed", "fold"]].itertuples(index=False))
    assert len(folds) == 73
    sizes = {f.key: len(f.test) for f in folds}
    assert sizes["lb_v1/1/bloom"] == 4  # bloom-560m is observed; 1b1, 3b, 7b1, 176b are forecast
    assert sum(sizes.values()) == 216


def test_nothing_leaks(table, folds):
    """Of a test lineage only observed models and the protocol's own training rows are seen."""
    frame = table.frame.set_index("model")
    for fold in folds:
        visible = pd.DataFrame(fold.visible(table), index=frame.index)
        assert not visible.loc[list(fold.test)].to_numpy().any()
        assert set(fold.observed).isdisjoint(fold.test)
        lineages = set(frame.loc[list(fold.test), "lineage"])
        relatives = frame.index[frame["lineage"].isin(lineages)]
        allowed = {*fold.observed, *fold.complete}
        seen = set(relatives[visible.loc[relatives].any(axis=1)])
        assert seen <= allowed, fold.key
        # what it may see of a tested family is no larger than the smallest model it forecasts
        for family, rows in frame.loc[list(fold.test)].groupby("family"):
            mine = [m for m in fold.observed if frame.loc[m, "family"] == family]
            assert len(mine) == fold.n_observed
            assert frame.loc[mine, "params_b"].max() <= rows["params_b"].min()


def test_the_loose_rule_hides_the_test_models_alone(table):
    for strict, loose in zip(protocols.published(table), protocols.published(table, "family")):
        assert set(loose.hidden) == set(loose.test) == set(strict.test)
        assert set(loose.hidden) <= set(strict.hidden)
    assert any(
        set(s.hidden) > set(s.test) for s in protocols.published(table)
    )  # otherwise strict would be an empty word


def test_hidden_scores_are_gone_from_the_arrays(table, folds):
    """Not merely unobserved: a bug that ignored the mask would find nothing to read."""
    from sloth_bayes.evaluate.cross_validate import masked
    from sloth_bayes.model.arrays import design

    laid_out = design(table)
    fold = folds[5]
    arrays = masked(laid_out, fold.hidden)
    rows = np.isin(laid_out.models, fold.hidden)[arrays.model_of]
    assert not arrays.observed[arrays.model_of, arrays.benchmark_of][rows].any()
    assert (arrays.score[rows] == 0.5).all()
    others = ~rows
    assert np.array_equal(arrays.score[others], laid_out.arrays.score[others])


def test_groups_of_your_own(table):
    found = protocols.leave_group_out(
        table, {"qwen2": "mine", "opt": "mine", "olmo": "other"}, n_observed=1
    )
    assert [f.name for f in found] == ["mine", "other"]
    mine = found[0]
    families = table.frame.set_index("model")["family"]
    assert set(families[list(mine.test)]) == {"qwen2", "opt"}
    assert {"qwen2-0.5b", "opt-125m"} >= set(mine.observed)
    assert "qwen2-7b-instruct" in mine.hidden  # a relative
    assert set(mine.complete).isdisjoint(mine.hidden)


def test_no_model_observed_is_a_family_never_seen(table):
    (fold,) = protocols.leave_group_out(table, {"opt": "opt"}, n_observed=0)
    assert fold.observed == ()
    assert set(fold.hidden) == set(table.frame.loc[table.frame["lineage"] == "opt", "model"])


def test_a_time_split_trains_on_the_past():
    table = sb.load_dataset("open_llm_leaderboard")
    (fold,) = protocols.time_split(table, "2024-03", n_observed=1)
    released = table.releases
    frame = table.frame.set_index("model")
    start = pd.Period("2024-03", freq="M")
    assert (released[frame.loc[list(fold.test), "family"]] >= start).all()
    visible = frame.index[fold.visible(table).any(axis=1)]
    late = [m for m in visible if released[frame.loc[m, "family"]] >= start]
    assert set(late) <= set(fold.observed)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: protocols.leave_group_out(t, "colour"), ["colour", "lineage"]),
        (lambda t: protocols.leave_group_out(t, {"qwenn2": "a"}), ["qwenn2", "qwen2"]),
        (lambda t: protocols.leave_group_out(t, n_observed=50), ["50"]),
        (lambda t: protocols.leave_group_out(t, n_observed=-1), ["-1"]),
        (lambda t: protocols.leave_group_out(t, benchmarks=["MMLUU"]), ["MMLUU", "MMLU"]),
        (lambda t: protocols.time_split(t, "next year"), ["YYYY-MM", "next year"]),
        (lambda t: protocols.time_split(t, "1999-01"), ["1999-01", "earlier"]),
        (lambda t: protocols.published(t.select(benchmarks=["MMLU"])), ["ARC"]),
        (lambda t: protocols.published(t, "loosely"), ["loosely", "strict"]),
    ],
)
def test_errors_teach(table, call, words):
    with pytest.raises(sb.SlothBayesError) as error:
        call(table)
    for word in words:
        assert word in str(error.value)
