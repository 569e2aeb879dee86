"""``sloth-bayes plan``: what it prints, and what it says of bad input."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest

import sloth_bayes as sb
from tests.cli.test_cli import fails, run

SIZE = ["plan", "size", "--of", "MMLU", "--target", 0.7, "--tokens", 15, "--family", "yi"]
ALLOCATE = ["plan", "allocate", "--flops", "1e23,1e24", "--objective", "MMLU,average"]
SATURATION = ["plan", "saturation", "--of", "HellaSwag", "--tokens", 15, "--at", "7,70"]
COMPARE = ["plan", "compare", "--family", "qwen2,yi", "--params", "72,34", "--tokens", "7,3"]
NEXT = ["plan", "next", "--params", 70, "--tokens", 4, "--option-params", "0.5,3",
        "--benchmarks", "MMLU,GSM8K"]  # fmt: skip
NOBODY = {"family": "new family", "params_b": 70, "tokens_t": 4}


@pytest.fixture(scope="module")
def answers() -> dict[str, pd.DataFrame]:
    post = sb.load()
    options = sb.candidates(params_b=[0.5, 3], tokens_t=4)
    two = sb.candidates(["qwen2", "yi"], [72, 34], [7, 3])
    return {
        "size": post.required_size("MMLU", 0.7, tokens=15, family="yi").frame,
        "allocate": post.optimal_allocation([1e23, 1e24], ["MMLU", "average"]).frame,
        "saturation": post.saturation("HellaSwag", 0.01, tokens=15, at=[7, 70]).frame,
        "compare": post.compare(two.iloc[0], two.iloc[1]).frame,
        "next": post.next_evaluation(
            NOBODY, options, benchmarks=["MMLU", "GSM8K"], new_family=True
        ).frame,
    }


@pytest.mark.long
@pytest.mark.parametrize("ask", [SIZE, ALLOCATE, SATURATION, COMPARE, NEXT], ids=lambda a: a[1])
def test_json_and_csv_are_the_answer(ask, answers):
    frame = answers[ask[1]]
    answer = json.loads(run(*ask, "--json").stdout)
    assert list(answer) == ["plan", "meta", "warnings"]
    pd.testing.assert_frame_equal(pd.DataFrame(answer["plan"]), frame, check_dtype=False)
    table = pd.read_csv(io.StringIO(run(*ask, "--csv").stdout))
    pd.testing.assert_frame_equal(table, frame, check_dtype=False, rtol=1e-12)
    assert answer["meta"]["posterior"] == "open"


@pytest.mark.long
def test_weights_are_those_of_python():
    post, weights = sb.load(), {"MMLU": 3.0, "BBH": 1.0}
    two = sb.candidates(["qwen2", "yi"], [72, 34], [7, 3])
    found = post.compare(two.iloc[0], two.iloc[1], benchmarks=["MMLU", "BBH"], weights=weights)
    ask = [*COMPARE, "--benchmarks", "MMLU,BBH", "--weights", "MMLU=3,BBH=1", "--csv"]
    table = pd.read_csv(io.StringIO(run(*ask).stdout))
    pd.testing.assert_frame_equal(table, found.frame, check_dtype=False, rtol=1e-12)
    size = post.required_size(weights, 0.6, tokens=15, family="yi").frame
    table = pd.read_csv(io.StringIO(run(*SIZE[:3], "MMLU=3,BBH=1", "--target", 0.6, "--tokens", 15,
                                        "--family", "yi", "--csv").stdout))  # fmt: skip
    assert table["required_b"][0] == pytest.approx(size["required_b"][0])


@pytest.mark.long
def test_tables_for_people(answers):
    text = run(*SIZE).stdout
    assert text.startswith("yi, 15T tokens: MMLU of at least 70%")
    assert f"{answers['size']['required_b'][0]:.3g}B" in text
    text = run(*ALLOCATE).stdout
    assert "MMLU in percent, new family" in text
    assert "1e+24" in text
    assert "interior" in text
    text = run(*SATURATION).stdout
    assert "gains less than 1 points" in text
    assert "70B" in text
    text = run(*COMPARE).stdout
    assert "qwen2-72B-7T (a) against yi-34B-3T (b)" in text
    assert text.count("average") == 1
    text = run(*NEXT, "--top", 2).stdout
    assert "Forecast of the average of new family-70B-4T" in text
    assert sum(line.startswith(("3B", "0.5B")) for line in text.splitlines()) == 2


def test_what_cannot_be_reached_is_said_and_is_no_error():
    result = run(*SIZE, "--sizes", "0.1:1")
    assert result.exit_code == 0
    assert "not reached" in result.stdout
    assert "not reachable within the range" in result.stderr
    assert json.loads(run(*SIZE, "--sizes", "0.1:1", "--json").stdout)["plan"][0]["median"] is None


@pytest.mark.long
def test_weights_and_serving():
    ask = ["plan", "allocate", "--flops", "1e24", "--objective", "MMLU=1,GSM8K=2", "--csv"]
    found = pd.read_csv(io.StringIO(run(*ask, "--served", 2).stdout))
    assert found["objective"].tolist() == ["1 MMLU + 2 GSM8K"]
    plain = pd.read_csv(io.StringIO(run(*ask).stdout))
    assert found["params_b"][0] < plain["params_b"][0]


@pytest.mark.slow
def test_the_table_of_the_paper():
    result = run("plan", "allocate", "--paper")
    assert result.exit_code == 0
    assert "reasoning; in the paper: reasoning" in result.stdout
    assert "30.98B, 0.18T" in result.stdout


@pytest.mark.parametrize("ask", [SIZE, NEXT], ids=lambda a: a[1])
def test_figures(ask, tmp_path):
    path = tmp_path / "figure.png"
    result = run(*ask, "--plot", path)
    assert result.exit_code == 0
    assert path.stat().st_size > 5_000
    assert f"wrote {path}" in result.stderr


def test_help_has_examples():
    for verb in ([], ["size"], ["allocate"], ["saturation"], ["compare"], ["next"]):
        assert "Example: sloth-bayes plan" in run("plan", *verb, "--help").stdout


def test_an_experimental_verb_says_so_and_is_not_in_the_help():
    assert "allocate" not in run("plan", "--help").stdout
    result = run(*ALLOCATE)
    assert result.exit_code == 0
    assert "experimental: " in result.stderr


ERRORS = {
    "unknown benchmark": (["plan", "size", "--of", "MMLX", "--target", 0.7, "--tokens", 1], "MMLU"),
    "above": (["plan", "size", "--of", "BBH", "--target", 0.99, "--tokens", 1], "upper asymptote"),
    "no tokens": (["plan", "size", "--of", "MMLU", "--target", 0.7], "tokens_per_param"),
    "unknown family": ([*SIZE[:-1], "yii"], "did you mean 'yi'"),
    "range": ([*SIZE, "--sizes", "7"], "two numbers, such as 0.1:100"),
    "no budget": (["plan", "allocate"], "needs --flops"),
    "zero budget": (["plan", "allocate", "--flops", "0"], "must be a positive number"),
    "mixture": ([*ALLOCATE[:-1], "MMLU=1,BBH"], "not a mixture"),
    "served": ([*ALLOCATE, "--served", "-1"], "at least 0"),
    "paper": (["plan", "allocate", "--paper", "--flops", "1e24"], "leave the others out"),
    "one model": (["plan", "compare", "--family", "yi", "--params", 7, "--tokens", 1], "two mod"),
    "no family": (["plan", "compare", "--params", "7,70"], "needs --family and --tokens"),
    "no pairs": ([*COMPARE[:5], "7,70,80", *COMPARE[6:]], "3 values and --tokens has 2 values: "),
    "no weights": ([*COMPARE, "--weights", "MMLU,GSM8K=1"], "takes NAME=WEIGHT for each"),
    "of a mixture": ([*NEXT, "--of", "MMLU=1,BBH"], "--of takes NAME=WEIGHT"),
    "odd weight": ([*NEXT, "--of", "MMLU=x,BBH=1"], "the weight of MMLU"),
    "no options": (["plan", "next", "--params", 70, "--tokens", 4], "--option-params"),
    "both": ([*SIZE, "--json", "--csv"], "exclude each other"),
    "figure": ([*SIZE, "--plot", "a.txt"], "a figure ends in"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_bad_input_gets_one_sentence(name):
    ask, words = ERRORS[name]
    assert words in fails(*ask)
