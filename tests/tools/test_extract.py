"""Extracts of dumps keep the rows that the mapping names, cell by cell."""

from __future__ import annotations

import pandas as pd
import pytest

from tools.extract import extract


def test_rows_that_are_named_are_kept_as_they_are(tmp_path):
    dumps, data = tmp_path / "dumps", tmp_path / "data"
    for folder in ("open_llm_leaderboard_2025", "model_facts"):
        (dumps / folder).mkdir(parents=True)
    board = dumps / "open_llm_leaderboard_2025"
    rows = pd.DataFrame({"model_name": ["o/a", "o/b", "o/a"], "score": ["0.10", "1", ""]})
    rows.to_csv(board / "huggingface_v2.csv.gz", index=False)
    rows.rename(columns={"model_name": "fullname"}).to_csv(
        board / "huggingface_v1.csv.gz", index=False
    )
    facts = pd.DataFrame({"Model": ["A ", "B", "C"], "tokens": ["1e12", "2", "3"]})
    for name in ("epoch_language_models.csv", "epoch_params_tokens_2026-05.csv"):
        facts.to_csv(dumps / "model_facts" / name, index=False)
    (data / "open_models").mkdir(parents=True)
    mapping = data / "open_models" / "mapping.csv"
    mapping.write_text("leaderboard_v1,leaderboard_v2,tokens_fact\no/b,o/a,A + C\n")
    v1, v2, one, two = (path.read_text() for path in extract(dumps, data))
    assert v1 == "fullname,score\no/b,1\n"
    assert v2 == "model_name,score\no/a,0.10\no/a,\n"
    assert one == two == "Model,tokens\nA ,1e12\nC,3\n"
    mapping.write_text("leaderboard_v1,leaderboard_v2,tokens_fact\n,o/z,\n")
    with pytest.raises(SystemExit, match="no row o/z"):
        extract(dumps, data)
