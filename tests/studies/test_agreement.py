"""The study of conditioning against refits, in miniature: its files, and that it goes on."""

from __future__ import annotations

import warnings

import pandas as pd
import pytest

import sloth_bayes as sb
from studies import agreement


@pytest.mark.slow
@pytest.mark.parametrize("together", [False, True])
def test_the_study_goes_on_where_it_was_cut_off(tiny_table, tmp_path, together):
    fits = []

    def fit(table: sb.Leaderboard) -> sb.Posterior:
        """Draws from the prior in place of a fit: the study's own work is what is tested."""
        fits.append(set(table.frame["lineage"]))
        return sb.Sloth(n_skills=2).prior(table, draws=300)

    families = ["alder", "cedar"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        agreement.study(tiny_table, families[:1], tmp_path / "a", fit, together)
        calls = len(fits)
        assert calls == 2
        assert "alder" not in fits[0]
        assert "alder" in fits[1]
        table = agreement.study(tiny_table, families[:1], tmp_path / "a", fit, together)
    assert len(fits) == calls, "nothing is fitted again"
    assert table["family"].tolist() == ["alder"]
    row = table.iloc[0]
    assert row["larger_models"] == 4
    assert row["observed_scores"] == 4
    assert row["conditioned_width"] < row["never_width"]
    cells = pd.read_csv(tmp_path / "a/cells.csv")
    assert len(cells) == 4 * 4
    assert cells["truth"].notna().sum() == row["scores"] == 15
    assert "conditioned against refit" in agreement.summary(table)


def test_families_are_one_a_lineage_and_have_larger_models():
    data = sb.load_dataset("open_llm_leaderboard")
    families = agreement.chosen(data, 20)
    assert len(set(families)) == 20
    frame = data.frame.drop_duplicates("family").set_index("family")
    assert frame.loc[families, "lineage"].is_unique
    left = agreement.without(data, families)
    assert not set(left.lineages) & set(frame.loc[families, "lineage"])
