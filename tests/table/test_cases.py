"""Small files as people bring them (tests/cases): read right, or refused for the right reason."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

import sloth_bayes as sb
from tests.cli.test_cli import fails, run

CASES = Path(__file__).parents[1] / "cases"


def case(number: int) -> Path:
    return next(CASES.glob(f"{number:02}-*"))


def read(number: int, file: str = "results.json", **options) -> sb.Observed:
    return sb.read_observed(case(number) / file, **options)


def scores(found):
    return {(r.model, r.benchmark): pytest.approx(r.score) for r in found.used.itertuples()}


# -- settings that decide comparability --------------------------------------------------


def test_01_math_is_the_comparison_of_strings_of_2024():
    found = read(1)
    assert scores(found) == {("foo-1b", "MATH Lvl 5"): 0.1}
    assert found.used["metric"].tolist() == ["exact_match_original"]
    assert found.messages == ()


def test_02_gsm8k_of_another_version_has_a_note():
    found = read(2)
    assert scores(found) == {("foo-1b", "GSM8K"): 0.6}
    note = found.used["note"].item()
    assert "version 3 of gsm8k stops at 'Question:'" in note
    assert "higher, by 5.5 points" in note
    assert any(note in message for message in found.messages)


def test_03_a_group_of_cut_parts_is_cut():
    for options in ({}, {"model": "x"}):
        with pytest.raises(sb.DataError, match=r"BBH \(leaderboard_bbh\).*5 of its 250 questions"):
            read(3, **options)
    told = run("data", "read", case(3) / "results.json")
    assert told.exit_code == 2
    assert "BBH (leaderboard_bbh) is skipped: evaluated on 5 of its 250 questions" in told.stderr


def test_06_a_chat_template_on_gsm8k_is_another_quantity():
    with pytest.raises(sb.DataError, match="evaluated with a chat template"):
        read(6)
    found = read(6, allow_mismatch=True)
    assert scores(found) == {("foo-8b-chat", "GSM8K"): 0.2}
    assert not found.used["matches"].item()
    for said in ("chat template", "system prompt", "shots were turns of a chat"):
        assert said in found.used["note"].item()


# -- which model it is -------------------------------------------------------------------


def test_04_an_adapter_is_not_its_base():
    found = read(4, "evals")
    assert scores(found) == {("foo-1b", "ARC"): 0.4, ("my-lora", "ARC"): 0.6}
    assert found.skipped.empty
    with pytest.raises(sb.DataError, match="an adapter or quantised weights make another model"):
        read(4, "evals", model="foo")


def test_21_two_paths_are_one_model_if_the_user_says_so():
    found = read(21, "evals", model="mine-1b")
    assert scores(found) == {("mine-1b", "ARC"): 0.4, ("mine-1b", "HellaSwag"): 0.5}
    assert any("mine-1b joins what is read of ./ckpts/mine-1b" in m for m in found.messages)
    apart = read(21, "evals")
    assert len(apart.frame) == 2
    assert any("if they are one, name it (model= or --model)" in m for m in apart.messages)


# -- sizes -------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["evals", "export.csv"])
def test_08_counts_that_are_no_sizes(file):
    found = read(8, file)
    assert found.frame["params_b"].isna().all()
    mixture = "46.7B is a mixture's total; of active parameters it has likely about 12.7B"
    assert any(mixture in m for m in found.messages)
    assert any("a count of packed weights" in m and "likely 7B" in m for m in found.messages)
    said = read(8, file, params_b={found.frame["model"][0]: 7.0, found.frame["model"][1]: 12.9})
    assert said.frame["params_b"].tolist() == [7.0, 12.9]
    assert not any("likely" in m for m in said.messages if "parameters" in m)


# -- FLASK's official files --------------------------------------------------------------


def test_09_a_question_without_difficulty_is_counted():
    found = sb.read_reviews({"m": case(9) / "review.jsonl"}, case(9) / "set.jsonl")
    assert found.frame[["instance", "difficulty", "rating"]].values.tolist() == [["1", 5, 4]]
    assert found.skipped[["name", "count", "line"]].values.tolist() == [["difficulty '-1'", 1, 2]]


# -- exports -----------------------------------------------------------------------------


def test_11_a_model_in_two_precisions():
    found = read(11, "export.csv")
    assert scores(found) == {
        ("foo-7b", "ARC"): 0.503, ("foo-7b", "HellaSwag"): 0.701,
        ("bar-7b", "ARC"): 0.45, ("bar-7b", "HellaSwag"): 0.6,
    }  # fmt: skip
    assert "acme/foo-7b from bfloat16, not float16" in found.messages[0]
    one = read(11, "export.csv", model="acme/foo-7b")
    assert scores(one)["foo-7b", "ARC"] == 0.503
    other = read(11, "export.csv", model="foo-7b@float16")
    assert scores(other) == {("foo-7b", "ARC"): 0.501, ("foo-7b", "HellaSwag"): 0.702}


def test_12_columns_of_2023():
    found = read(12, "export.csv")
    assert {b: s for (_, b), s in scores(found).items()} == {
        "ARC": 0.501, "HellaSwag": 0.702, "MMLU": 0.45, "TruthfulQA": 0.38,
    }  # fmt: skip
    assert found.used["shots"].tolist() == [5, 25, 10, 0]


# -- units and spellings -----------------------------------------------------------------


def test_16_raw_counts_of_a_forecast():
    start = ("forecast", "--family", "qwen2")
    said = fails(*start, "--params", "72e9", "--tokens", "7e12")
    assert "--params" in said
    assert "unit is billions of parameters; divide by 1e9: write 72" in said
    said = fails(*start, "--params", "72", "--tokens", "7e12")
    assert "--tokens" in said
    assert "unit is trillions of tokens; divide by 1e12: write 7" in said
    assert "if it is in billions, divide by 1000: write 7" in fails(
        *start, "--params", "72", "--tokens", "7000"
    )
    with pytest.raises(sb.DataError, match=r"params_b of candidate .* divide by 1e9: write 72"):
        sb.candidates("qwen2", 72e9, 7)
    with pytest.raises(sb.DataError, match=r"tokens_t of candidate .* billions.*write 7"):
        sb.candidates("qwen2", 72, 7000)


def test_17_tokens_in_billions():
    with pytest.raises(sb.DataError, match=r"tokens_t of model 'a-1b' is 300: .*write 0\.3"):
        sb.Leaderboard.from_csv(case(17) / "t.csv")


def test_sizes_in_millions(tmp_path):
    frame = pd.DataFrame({"model": ["a-70m", "a-1.4b"], "family": "a", "params_b": [70, 1400],
                          "tokens_t": 0.3, "MMLU": [0.3, 0.4]})  # fmt: skip
    with pytest.raises(sb.DataError, match=r"'a-70m' is 70, a thousand times .*: write 0\.07\."):
        sb.Leaderboard.from_frame(frame)
    ours = frame.assign(params_b=frame["params_b"] / 1e3)
    assert sb.Leaderboard.from_frame(ours).frame["params_b"].tolist() == [0.07, 1.4]


def test_raw_counts_of_an_export(tmp_path):
    path = tmp_path / "export.csv"
    path.write_text("Model,Average,ARC,#Params (B)\nlab/a-7b,45,45,7240000000\n")
    said = fails("data", "read", path)
    assert "#Params (B) of model 'lab/a-7b' is 7.24e+09: the unit is billions" in said


@pytest.mark.parametrize(
    ("file", "advice"),
    [
        ("b.csv", "params_b of model 'a' is '7B': write 7."),
        ("t.csv", "tokens_t of model 'a' is '2T': write 2."),
        ("pct.csv", "'45.3%': write 0.453."),
        ("comma.csv", "'0,45': write 0.45, with a decimal point."),
        ("moe.csv", "'8x7B': write the active parameters"),
        ("semi.csv", "separated by ;: use commas"),
        ("tab.tsv", "separated by tabs: use commas"),
    ],
)
def test_18_cells_in_other_spellings(file, advice):
    with pytest.raises(sb.SlothBayesError) as error:
        sb.Leaderboard.from_csv(case(18) / file)
    assert advice in str(error.value)


def test_20_near_named_benchmarks_are_named(tmp_path):
    path = case(20) / "t.csv"
    with pytest.warns(
        sb.DataWarning, match="'ARC-C' like ARC, 'Winograd' like Winogrande, 'gsm8k' "
    ):
        table = sb.Leaderboard.from_csv(path)
    assert table.benchmark_names == ("MMLU",)
    told = run("fit", "--data", path, "--out", tmp_path / "no" / "x.nc").stderr  # fits nothing
    assert "sloth-bayes: warning: 3 columns look like a benchmark of the leaderboards" in told


def test_near_named_benchmarks_of_appended_rows_are_named():
    row = {"model": ["m"], "family": "m", "params_b": 1, "tokens_t": 1, "MMLU": 0.3, "gsm8k": 0.2}
    with pytest.warns(sb.DataWarning, match="a column looks like a benchmark.*'gsm8k' like GSM8K"):
        sb.load_dataset("open_llm_leaderboard").with_rows(pd.DataFrame(row))


def test_nothing_is_said_where_nothing_is_wrong():
    found = read(11, "export.csv", model="bar-7b")
    assert found.messages == ()
    assert math.isclose(found.frame["params_b"].item(), 7)
