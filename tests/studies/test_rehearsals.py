"""The study of rehearsals: what it splits and tells. It fits nothing here."""

from __future__ import annotations

import pytest

import sloth_bayes as sb
from studies import rehearsals as study


def test_lineages_are_left_out_once_each_and_wholly():
    data = sb.load_dataset("open_llm_leaderboard")
    folds = study.in_groups(data)
    assert len(folds) == study.GROUPS
    lineage_of = dict(zip(data.frame["model"], data.frame["lineage"]))
    hidden = [{lineage_of[m] for m in fold.test} for fold in folds]
    assert sum(map(len, hidden)) == len(set().union(*hidden))
    for fold in folds:
        assert not set(fold.observed) & set(fold.hidden)
        assert set(fold.test) <= set(fold.hidden)


def test_differences_to_the_first_law_are_paired():
    one = sb.load_evaluation("leaderboard", "nuts")
    worse = sb.Evaluation(one.frame.assign(error=one.frame["error"] + 0.01), one.means, {})
    table = study.beside_the_first({"one": one, "worse": worse}).set_index("law")
    last = table[table["part"] == "all"]
    assert last["+error"].tolist() == pytest.approx([0.0, 1.0])
    assert last["se error"].tolist() == pytest.approx([0.0, 0.0], abs=1e-9)
    assert (last["+crps"] == 0).all()
    assert last.loc["one", "covered_90"] == pytest.approx(100 * one.frame["covered_90"].mean())
