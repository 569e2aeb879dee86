"""The score cards of frontier models: what becomes of each column, and what is turned round."""

import shutil

import pandas as pd
import pytest

from sloth_bayes.errors import DataError
from sloth_bayes.support.shipped import shipped
from sloth_bayes.table import frontier
from sloth_bayes.table.leaderboard import load_corrections, load_dataset

FOLDER, RAW = shipped("data") / frontier.NAME, shipped("data") / "raw"


def test_the_shipped_files_are_what_is_built(tmp_path):
    for path in frontier.build(tmp_path, FOLDER, RAW):
        assert path.read_bytes() == (FOLDER / path.name).read_bytes()


def test_percent_become_shares_and_an_error_is_turned_round():
    raw = pd.read_csv(RAW / "benchpress" / "scores_percent.csv").set_index("model")
    frame = load_dataset(frontier.NAME, corrected=False).frame.set_index("model")
    assert frame.loc["gpt-5.5", "gpqa_diamond"] == pytest.approx(
        raw.loc["gpt-5.5", "gpqa_diamond"] / 100
    )
    assert frame.loc["gpt-5.4", "omnidocbench"] == pytest.approx(
        1 - raw.loc["gpt-5.4", "omnidocbench"]
    )
    assert not {"chatbot_arena_elo", "vending_bench_2"} & set(frame)
    assert len(raw.columns) == 133
    assert load_dataset(frontier.NAME).n_scores == 2518


def test_columns_that_run_both_ways_run_one_way_when_corrected():
    frame = load_dataset(frontier.NAME).frame
    for name in ("factscore", "longfact_concepts", "longfact_objects", "omnidocbench_1.5"):
        assert frame[name].min() > 0.6
    assert len(load_corrections(frontier.NAME)) == 32


def test_a_model_has_its_date_line_and_kind():
    row = load_dataset(frontier.NAME).frame.set_index("model").loc["claude-opus-4.7"]
    assert (row["family"], row["lineage"], row["kind"]) == ("Anthropic", "Anthropic", "reasoning")
    assert row["date"] == pd.Timestamp("2026-04-22")
    assert pd.isna(row["params_b"])


@pytest.mark.parametrize(("file", "column"), [("mapping.csv", "model"), ("columns.csv", "column")])
def test_what_no_file_accounts_for_is_refused(tmp_path, file, column):
    for name in ("mapping.csv", "columns.csv"):
        shutil.copy(FOLDER / name, tmp_path / name)
    rows = pd.read_csv(tmp_path / file, dtype="str", keep_default_na=False)
    rows.iloc[1:].to_csv(tmp_path / file, index=False)
    with pytest.raises(DataError, match=rows[column][0]):
        frontier.build(tmp_path, tmp_path, RAW)
