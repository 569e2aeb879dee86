"""Tables of other libraries and other files are the same table."""

from __future__ import annotations

import datetime

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sloth_bayes as sb
from sloth_bayes.errors import DataError, FileFormatError
from sloth_bayes.support.frames import as_pandas, is_frame
from tests.cli.test_cli import fails, run

FRAME = pd.DataFrame(
    {
        "model": ["a-1b", "a-7b"],
        "family": "a",
        "params_b": [1.0, 7.0],
        "tokens_t": [2.0, None],
        "MMLU": [0.3, 0.5],
        "GSM8K": [None, 0.1],
    }
)


ONE = FRAME.iloc[1:]


def test_model_may_be_the_index():
    data = sb.Leaderboard.from_frame(FRAME)
    assert sb.Leaderboard.from_frame(FRAME.set_index("model")) == data
    assert sb.Leaderboard.from_frame(FRAME.set_index(["model", "family"])) == data
    with pytest.raises(DataError, match="is a DataFrame"):
        sb.Leaderboard.from_frame({"model": ["a"]})


def test_polars_is_read():
    polars = pytest.importorskip("polars")
    data = sb.Leaderboard.from_frame(FRAME)
    theirs = polars.DataFrame(FRAME.astype(object).where(FRAME.notna(), None).to_dict("list"))
    assert sb.Leaderboard.from_frame(theirs) == data
    assert sb.Leaderboard.from_frame(theirs.lazy()) == data
    post = sb.load("leaderboard")
    who = {"model": ["x"], "family": ["qwen2"], "params_b": [7.0], "tokens_t": [7.0]}
    frames = [post.forecast(kind(who)).frame for kind in (pd.DataFrame, polars.DataFrame)]
    pd.testing.assert_frame_equal(*frames)


@pytest.mark.parametrize(("ending", "needs"), [(".parquet", "pyarrow"), (".xlsx", "openpyxl")])
@pytest.mark.parametrize("index", [False, True])
def test_parquet_and_excel_are_read(tmp_path, ending, needs, index):
    pytest.importorskip(needs)
    path = tmp_path / f"table{ending}"
    frame = FRAME.set_index("model") if index else FRAME
    if ending == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_excel(path, index=index)
    assert sb.Leaderboard.from_csv(path) == sb.Leaderboard.from_frame(FRAME)
    assert sb.read_observed(path).used["benchmark"].tolist() == ["MMLU", "MMLU", "GSM8K"]


def test_candidates_of_a_parquet_file(tmp_path):
    pytest.importorskip("pyarrow")
    who = pd.DataFrame(
        {"model": ["x"], "family": ["qwen2"], "lineage": [None], "params_b": [7], "tokens_t": [7.0]}
    )
    outputs = []
    for name in ("who.csv", "who.parquet"):
        path = tmp_path / name
        who.to_csv(path, index=False) if name.endswith("csv") else who.to_parquet(path)
        shown = run("forecast", "--candidates", path)
        assert shown.exit_code == 0, shown.stderr
        outputs.append(shown.stdout)
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("ending", [".parquet", ".xlsx"])
def test_a_broken_binary_table_has_a_sentence(tmp_path, ending):
    path = tmp_path / f"table{ending}"
    path.write_text("no table")
    with pytest.raises(FileFormatError, match=r"needs the package|cannot be read as"):
        sb.Leaderboard.from_csv(path)


@given(value=st.none() | st.integers() | st.text() | st.lists(st.integers()))
def test_what_is_no_table_is_none(value):
    assert not is_frame(value)
    with pytest.raises(DataError):
        as_pandas(value)


def test_one_string_is_one_name():
    data, post = sb.load_dataset("open_llm_leaderboard"), sb.load("leaderboard")
    one = data.select(families="qwen2", benchmarks="MMLU")
    assert one == data.select(families=["qwen2"], benchmarks=["MMLU"])
    assert sb.Leaderboard.from_frame(FRAME, benchmarks="MMLU").benchmark_names == ("MMLU",)
    folds = [sb.protocols.leave_group_out(data, benchmarks=b) for b in ("MMLU", ["MMLU"])]
    assert folds[0] == folds[1]
    who = sb.candidates(family="qwen2", params_b=7, tokens_t=7)
    axes = [sb.plots.forecast(post.forecast(who), benchmarks=b) for b in ("MMLU", ["MMLU"])]
    assert len(axes[0]) == len(axes[1]) == 1
    found = post.skills(draws=50)
    ranks = [found.families(families=f) for f in ("qwen2", ["qwen2"])]
    pd.testing.assert_frame_equal(*ranks)
    with pytest.raises(DataError, match="3 skills, but 1 names"):
        found.rename("maths")
    ratings = sb.load_ratings()
    assert ratings.select(skills="planning").skills == ("planning",)


@pytest.mark.parametrize(
    ("date", "day"),
    [
        ("2024-01-02", "2024-01-02"),
        (20240102, "2024-01-02"),
        (datetime.date(2024, 1, 2), "2024-01-02"),
        (pd.Timestamp("2024-01-02T11:00"), "2024-01-02"),
        (None, None),
    ],
)
def test_dates(date, day):
    found = sb.Leaderboard.from_frame(ONE.assign(date=[date])).frame["date"].item()
    assert found == pd.Timestamp(day) if day else pd.isna(found)


@pytest.mark.parametrize("date", [1704153600, 1704153600.0, "1704153600", 1704153600000, 19724])
def test_a_date_in_seconds_is_refused(date):
    with pytest.raises(DataError, match="write it as year-month-day"):
        sb.Leaderboard.from_frame(ONE.assign(date=[date]))


def test_wide_ratings_say_how_to_melt(tmp_path):
    from tests.table.test_other_harnesses import CASES

    message = fails("ratings", "saturation", "--data", CASES / "26-ratings-wide" / "wide.csv")
    assert "a column a skill (Grounding, Planning)" in message
    assert "table.melt(" in message
    wide = pd.DataFrame({"model": ["a"], "planning": [3.1], "safety": [4.0]})
    with pytest.raises(DataError, match="one row a model, skill and judge is meant"):
        sb.SkillRatings.from_means(wide, wide)
