"""Evaluation files: what counts as a leaderboard's benchmark, what does not, and in which words."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sloth_bayes as sb
from sloth_bayes.errors import DataError, FileFormatError, SlothBayesError, UnknownNameError
from sloth_bayes.support.shipped import shipped
from sloth_bayes.table.headline import headline
from tests.cli.test_cli import fails, run

REAL = shipped("data") / "raw" / "lm_eval"
TODAY = REAL / "current_format_leaderboard_groups.json"
TASKS = sb.known_tasks()
SUBJECTS = TASKS.loc[TASKS["set"] == "hendrycksTest", "subtask"].tolist()
# reading many small files in one temporary folder is what these tests are for
MANY = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def write(tmp_path):
    """A result file of today's form; `old` makes one of 2023."""
    count = iter(range(10**6))

    def make(results, shots=None, name="lab/mine-1b", old=None, path=None, **content):
        config = {"model": "hf", "model_args": f"pretrained={name}" if name else ""}
        body = {"results": results, "config": config | content.pop("config", {})}
        if shots is not None:
            body["n-shot"] = shots
        if old is not None:
            body["config"]["num_fewshot"] = old
        path = tmp_path / (path or f"results_{next(count)}.json")
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(json.dumps(body | content))
        return path

    return make


def subjects(score=0.5, prefix="hendrycksTest-", key="acc"):
    return {f"{prefix}{s}": {key: score, f"{key}_stderr": 0.01} for s in SUBJECTS}


def scores(found):
    return found.used.set_index("benchmark")["score"].to_dict()


def reasons(found):
    return dict(zip(found.skipped["task"], found.skipped["reason"]))


# -- real files --------------------------------------------------------------------------


def test_todays_real_file():
    path = REAL / "current_format_leaderboard_groups.json"
    found = sb.read_observed(path, params_b=0.4, tokens_t=0.3)
    raw = json.loads(path.read_text())["results"]
    strict = raw["leaderboard_ifeval"]
    assert scores(found) == {
        "IFEval": pytest.approx(
            (strict["prompt_level_strict_acc,none"] + strict["inst_level_strict_acc,none"]) / 2
        ),
        "BBH": raw["leaderboard_bbh"]["acc_norm,none"],
        "MATH Lvl 5": raw["leaderboard_math_hard"]["exact_match,none"],
        "GPQA": raw["leaderboard_gpqa"]["acc_norm,none"],
        "MUSR": raw["leaderboard_musr"]["acc_norm,none"],
        "MMLU-PRO": raw["leaderboard_mmlu_pro"]["acc,none"],
    }
    assert found.used["matches"].all()
    assert found.skipped.empty
    assert found.messages == ()
    table = sb.load_dataset("open_llm_leaderboard").frame
    assert list(found.frame.columns) == [*table.columns[:7], *(b for b in scores(found))]
    row = found.frame.iloc[0]
    assert tuple(row[:6]) == ("small-model", "small-model", "small-model", False, 0.4, 0.3)
    # the same scores as one of the table's models, in another run: its raw scale is ours
    near = table.set_index("model").loc["pythia-410m", list(scores(found))].astype(float)
    assert np.abs(near - row[list(scores(found))].astype(float)).max() < 0.01


@pytest.mark.parametrize(("size", "winogrande"), [("2.8b", 0.594317), ("410m", 0.536701)])
def test_real_zero_shot_files_of_2023(size, winogrande):
    path = REAL / f"{size}_step143000.json"
    with pytest.raises(
        DataError, match=r"ARC \(arc_challenge\) is skipped: evaluated with 0 shots"
    ):
        sb.read_observed(path)
    found = sb.read_observed(path, allow_mismatch=True, family="pythia")
    raw = json.loads(path.read_text())["results"]
    mmlu = np.mean([raw[f"hendrycksTest-{s}"]["acc"] for s in SUBJECTS])
    assert scores(found) == {
        "MMLU": pytest.approx(mmlu),
        "ARC": raw["arc_challenge"]["acc_norm"],
        "Winogrande": pytest.approx(winogrande, abs=1e-6),
    }
    assert not found.used["matches"].any()
    assert found.frame.loc[0, "model"] == f"pythia-v1.1-{size}@step143000"
    assert found.frame.loc[0, "lineage"] == "pythia"
    assert set(found.skipped["kind"]) == {"unrelated"}
    assert len(found.skipped) == 28
    assert any("version 0 of hendrycksTest" in m for m in found.messages)


def test_real_folder_uses_what_it_can():
    found = sb.read_observed(REAL)
    assert list(found.frame["model"]) == ["small-model"]
    assert set(found.skipped["kind"]) == {"unrelated", "mismatch"}


def test_table_of_tasks():
    assert not TASKS["task"].duplicated().any()
    known = {b.name for b in sb.load_dataset("open_llm_leaderboard").benchmarks}
    assert set(TASKS["benchmark"]) == known
    parts = TASKS[TASKS["subtask"] != ""].groupby(["benchmark", "set"])["subtask"].agg(set)
    ours = sb.load_subscores("open_llm_leaderboard").groupby("benchmark")["subtask"].agg(set)
    for (benchmark, _), names in parts.items():
        assert names == ours[benchmark]
    # shots agree with the metadata of the benchmarks
    shots = pd.read_csv(shipped("data") / "open_llm_leaderboard/benchmarks.csv")
    shots = shots.set_index("name")["shots"]
    same = TASKS[TASKS["differs"] == ""]
    assert (same["shots"] == same["benchmark"].map(shots)).all()


# -- shots and metrics -------------------------------------------------------------------


def test_shots_and_metric_task_by_task(write):
    path = write(
        {
            "arc_challenge": {"acc,none": 0.31, "acc_norm,none": 0.35},
            "hellaswag": {"acc,none": 0.4, "acc_norm,none": 0.55},
            "winogrande": {"acc,none": 0.6},
            "truthfulqa_mc2": {"acc,none": 0.4},
            "gsm8k": {"exact_match,strict-match": 0.1, "exact_match,flexible-extract": 0.2},
            "piqa": {"acc,none": 0.7},
        },
        {"arc_challenge": 25, "hellaswag": 0, "truthfulqa_mc2": 0, "gsm8k": 5},
        group_subtasks={"piqa": []},
    )
    found = sb.read_observed(path)
    assert scores(found) == {"ARC": 0.35, "TruthfulQA": 0.4, "GSM8K": 0.1}
    assert reasons(found) == {
        "hellaswag": "evaluated with 0 shots, where the leaderboard has 10",
        "winogrande": "the file does not say with how many shots it was evaluated",
        "piqa": "it is no benchmark of the leaderboards",
    }
    assert set(found.skipped["model"]) == {"mine-1b"}
    # shots that nobody stated are not a mismatch
    allowed = sb.read_observed(path, allow_mismatch=True)
    assert set(scores(allowed)) == {"ARC", "TruthfulQA", "GSM8K", "HellaSwag"}
    assumed = sb.read_observed(path, assume_leaderboard_shots=True)
    assert set(scores(assumed)) == {"ARC", "TruthfulQA", "GSM8K", "Winogrande"}


def test_another_metric_is_a_mismatch(write):
    path = write(
        {"gsm8k": {"exact_match,flexible-extract": 0.2}, "hellaswag": {"acc,none": 0.4}},
        {"gsm8k": 5, "hellaswag": 10},
    )
    with pytest.raises(DataError, match="its metric is exact_match,flexible-extract, where the"):
        sb.read_observed(path)
    found = sb.read_observed(path, allow_mismatch=True)
    assert scores(found) == {"GSM8K": 0.2, "HellaSwag": 0.4}
    assert "its metric is acc, where the leaderboard has acc_norm" in found.used["note"].iloc[0]


def test_no_usable_number(write):
    path = write(
        {"winogrande": {"f1,none": 0.4, "acc_stderr,none": 0.1}, "hellaswag": {"acc_norm": "N/A"}},
        {"winogrande": 5, "hellaswag": 10},
    )
    with pytest.raises(DataError, match=r"no number for acc, only f1.*no number for acc_norm") as e:
        sb.read_observed(path)
    assert "allow_mismatch" not in str(e.value)


@pytest.mark.parametrize(
    "shots",
    [
        {"n-shot": {"leaderboard_mmlu_pro": 0}},
        {"configs": {"leaderboard_mmlu_pro": {"num_fewshot": 0}}},
    ],
)
def test_leaderboard_names_define_their_shots_unless_contradicted(write, shots):
    results = {"leaderboard_mmlu_pro": {"acc,none": 0.3}}
    assert scores(sb.read_observed(write(results))) == {"MMLU-PRO": 0.3}
    with pytest.raises(DataError, match="evaluated with 0 shots, where the leaderboard has 5"):
        sb.read_observed(write(results, **shots))


def test_groups_have_the_shots_of_their_parts(write):
    results = {"leaderboard_bbh": {"acc_norm,none": 0.3}}
    assert scores(sb.read_observed(write(results, {"leaderboard_bbh": 0}))) == {"BBH": 0.3}
    with pytest.raises(DataError, match="evaluated with 0 shots, where the leaderboard has 3"):
        sb.read_observed(write(results, {"leaderboard_bbh_snarks": 0}))


def test_a_part_of_the_questions_is_a_mismatch(write):
    results, shots = {"winogrande": {"acc,none": 0.6}}, {"winogrande": 5}
    counts = {"n-samples": {"winogrande": {"original": 1267, "effective": 100}}}
    for content in ({"config": {"limit": 100}}, counts):
        with pytest.raises(DataError, match="evaluated on"):
            sb.read_observed(write(results, shots, **content))
    whole = {"n-samples": {"winogrande": {"original": 1267, "effective": 1267}}}
    assert scores(sb.read_observed(write(results, shots, config={"limit": 5000}, **whole)))


def test_the_first_leaderboards_own_files(write):
    results = {
        "harness|arc:challenge|25": {"acc": 0.3, "acc_norm": 0.35},
        "harness|truthfulqa:mc|0": {"mc1": 0.2, "mc2": 0.4},
        "harness|hellaswag|0": {"acc_norm": 0.5},
        "all": {"acc": 0.4},
    }
    path = write(results, name=None, config_general={"model_name": "lab/first"})
    found = sb.read_observed(path)
    assert scores(found) == {"ARC": 0.35, "TruthfulQA": 0.4}
    assert found.frame["model"].tolist() == ["first"]
    assert list(reasons(found)) == ["hellaswag"]


# -- averages ----------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["hendrycksTest-", "mmlu_"])
def test_mmlu_is_the_mean_of_57_subjects(write, prefix):
    results = subjects(0.4, prefix)
    results[f"{prefix}anatomy"]["acc"] = 0.97
    results["mmlu"] = {"acc,none": 0.5}
    found = sb.read_observed(write(results, old=5, group_subtasks={"mmlu": [], "mmlu_stem": []}))
    assert scores(found) == {"MMLU": pytest.approx(0.41)}
    assert (found.used["task"] == f"{prefix.rstrip('-_')} (57 tasks)").all()
    if prefix == "mmlu_":
        assert found.skipped.empty  # the group says nothing new


def test_an_incomplete_mmlu_is_skipped(write):
    results = subjects() | {"winogrande": {"acc": 0.6}}
    del results["hendrycksTest-virology"]
    for allow in (False, True):
        found = sb.read_observed(write(results, old=5), allow_mismatch=allow)
        assert scores(found) == {"Winogrande": 0.6}
        assert found.skipped["kind"].tolist() == ["incomplete"]
        assert "56 of its 57 tasks can be used, without virology" in found.messages[0]


def test_a_subject_with_other_shots_spoils_the_average(write):
    shots = {f"mmlu_{s}": 5 for s in SUBJECTS} | {"mmlu_virology": 0}
    path = write(subjects(0.5, "mmlu_"), shots)
    with pytest.raises(DataError, match="without virology"):
        sb.read_observed(path)
    found = sb.read_observed(path, allow_mismatch=True)
    assert scores(found) == {"MMLU": 0.5}
    assert not found.used["matches"].item()


def test_mmlu_group_alone_is_another_average(write):
    path = write({"mmlu": {"acc,none": 0.5}}, {f"mmlu_{s}": 5 for s in SUBJECTS})
    with pytest.raises(DataError, match="averages questions, the leaderboard the 57 subjects"):
        sb.read_observed(path)
    assert scores(sb.read_observed(path, allow_mismatch=True)) == {"MMLU": 0.5}


def test_subtasks_may_lie_in_several_files(write):
    results = subjects(0.25)
    names = list(results)
    write({n: results[n] for n in names[:20]}, old=5, path="runs/a.json")
    folder = write({n: results[n] for n in names[20:]}, old=5, path="runs/deep/b.json").parents[1]
    assert scores(sb.read_observed(folder)) == {"MMLU": 0.25}


@MANY
@given(data=st.data(), benchmark=st.sampled_from(["BBH", "GPQA", "MUSR", "MATH Lvl 5"]))
def test_parts_average_as_the_table_does(write, data, benchmark):
    part = TASKS[(TASKS["benchmark"] == benchmark) & TASKS["task"].str.startswith("leaderboard_")]
    part = part[part["subtask"] != ""]
    values = data.draw(
        st.lists(st.floats(0, 1), min_size=len(part), max_size=len(part)), label="scores"
    )
    keys = [f"{metric.split(' | ')[-1]},none" for metric in part["metric"]]
    results = {t: {k: v} for t, k, v in zip(part["task"], keys, values)}
    # the group's own score, weighted by questions, gives way to its parts
    results[part["set"].iloc[0]] = {keys[0]: 0.123}
    found = sb.read_observed(write(results))
    wanted = headline(benchmark, dict(zip(part["subtask"], values)))
    assert scores(found) == {benchmark: pytest.approx(wanted)}
    assert found.skipped.empty


@MANY
@given(
    order=st.permutations(range(4)),
    values=st.lists(st.floats(0, 1), min_size=4, max_size=4),
)
def test_files_in_any_order_are_one_reading(write, order, values):
    names = ["arc_challenge", "hellaswag", "truthfulqa_mc2", "winogrande"]
    keys = ["acc_norm", "acc_norm", "acc", "acc"]
    paths = [
        write({n: {f"{k},none": v}}, {n: s}, path=f"{n}.json")
        for n, k, v, s in zip(names, keys, values, (25, 10, 0, 5))
    ]
    found = sb.read_observed([paths[i] for i in order])
    assert list(found.frame.iloc[0, 7:]) == [values[i] for i in (0, 1, 3, 2)]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from([*TASKS["task"].sample(12, random_state=1), "acc", "acc,none", "acc_norm",
                         "n-shot", "config", "configs", "limit", "original", "versions",
                         "model_args", "gen_kwargs", "generation_kwargs", "until",
                         "temperature", "pretrained",
                         "quantization_config", "model_num_parameters", "chat_template",
                         "samples"]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@MANY
@given(
    content=st.fixed_dictionaries(
        {"results": json_values},
        optional={
            key: json_values
            for key in ("config", "n-shot", "configs", "versions", "groups", "n-samples", "date",
                        "group_subtasks", "model_name", "chat_template", "system_instruction",
                        "fewshot_as_multiturn", "lm_eval_version", "config_general")
        },
    )
)  # fmt: skip
def test_whatever_a_file_holds_it_is_read_or_refused(tmp_path, content):
    path = tmp_path / "any.json"
    path.write_text(json.dumps(content))
    message = "."
    try:
        found = sb.read_observed(path, model="any", allow_mismatch=True)
        assert found.frame.iloc[:, 7:].stack().between(0, 1).all()
    except SlothBayesError as error:
        message = str(error)
    assert message.endswith(".")
    assert "\n" not in message


@MANY
@given(cut=st.integers(0, len(TODAY.read_text().rstrip()) - 1))
def test_a_file_cut_short_anywhere_is_refused(tmp_path, cut):
    path = tmp_path / "cut.json"
    path.write_text(TODAY.read_text()[:cut])
    with pytest.raises(
        FileFormatError, match=r"cut\.json is no complete JSON file .*: copy it again"
    ):
        sb.read_observed(path)


@MANY
@given(
    header=st.lists(
        st.sampled_from(
            [
                "Model",
                "fullname",
                "Average",
                "ARC",
                "BBH",
                "BBH Raw",
                "GPQA",
                "Type",
                "#Params (B)",
                "family",
                "params_b",
                "tokens_t",
                "eval_name",
                "",
            ]
        ),
        max_size=6,
    ),
    rows=st.lists(
        st.lists(
            st.sampled_from(["", "a", "b/a", "0", "0.3", "41", "-1", "1e999", "é"]), max_size=6
        ),
        max_size=3,
    ),
)
def test_whatever_an_export_holds_it_is_read_or_refused(tmp_path, header, rows):
    path = tmp_path / "any.csv"
    path.write_text("\n".join(",".join(row) for row in [header, *rows]))
    message = "."
    try:
        found = sb.read_observed(path)
        assert found.frame.iloc[:, 7:].stack().between(0, 1).all()
    except SlothBayesError as error:
        message = str(error)
    assert message.endswith((".", "?"))
    assert "\n" not in message


# -- several files and models ------------------------------------------------------------


def test_the_newest_file_wins(write):
    shots = {"winogrande": 5}
    old = write({"winogrande": {"acc,none": 0.5}}, shots, date=1.0)
    new = write({"winogrande": {"acc,none": 0.6}}, shots, date=2.0)
    for paths in ([old, new], [new, old], old.parent):
        found = sb.read_observed(paths)
        assert scores(found) == {"Winogrande": 0.6}
        assert found.skipped["reason"].tolist() == [f"{new} is newer"]


def test_files_that_contradict_each_other(write):
    shots = {"winogrande": 5}
    same = [write({"winogrande": {"acc,none": 0.5}}, shots) for _ in range(2)]
    assert scores(sb.read_observed([*same, same[0]])) == {"Winogrande": 0.5}
    other = write({"winogrande": {"acc,none": 0.6}}, shots)
    with pytest.raises(DataError, match=r"0\.5 in .* and 0\.6 in .*nothing says which is newer"):
        sb.read_observed([same[0], other])
    # what matches beats what does not, however new
    zero = write({"winogrande": {"acc,none": 0.7}}, {"winogrande": 0}, date=9.0)
    found = sb.read_observed([zero, same[0]], allow_mismatch=True)
    assert scores(found) == {"Winogrande": 0.5}


def test_two_tasks_for_one_benchmark(write):
    results = {"truthfulqa_mc2": {"acc,none": 0.4}, "truthfulqa_mc1": {"acc,none": 0.2}}
    path = write(results, dict.fromkeys(results, 0))
    found = sb.read_observed(path)
    assert reasons(found) == {"truthfulqa_mc1": "it is the mc1 metric, the leaderboard's is mc2"}
    found = sb.read_observed(path, allow_mismatch=True)
    assert scores(found) == {"TruthfulQA": 0.4}
    assert reasons(found) == {"truthfulqa_mc1": "TruthfulQA is taken from truthfulqa_mc2"}


def test_models_and_what_is_known_of_them(write):
    results, shots = {"winogrande": {"acc,none": 0.5}}, {"winogrande": 5}
    one = write(results, shots, "lab/mine-1b", config={"model_num_parameters": 1_130_000_000})
    two = write(results, shots, "lab/mine-7b,revision=step9,dtype=float16")
    three = write(results, shots, "other/mine-1b")
    found = sb.read_observed([one, two], family="qwen2-instruct", tokens_t={"mine-1b": 2.0})
    frame = found.frame
    assert frame["model"].tolist() == ["mine-1b", "mine-7b@step9"]
    assert set(frame["family"]) == {"qwen2-instruct"}
    assert set(frame["lineage"]) == {"qwen2"}
    assert frame["instruct"].all()
    np.testing.assert_array_equal(frame["params_b"], [1.13, np.nan])
    np.testing.assert_array_equal(frame["tokens_t"], [2.0, np.nan])
    assert any("mine-1b has 1.13B parameters" in m for m in found.messages)
    assert found.table.families == ("qwen2-instruct",)
    # one short name for two models would mix them
    both = sb.read_observed([one, three], params_b=2)
    assert both.frame["model"].tolist() == ["lab/mine-1b", "other/mine-1b"]
    assert both.frame["params_b"].tolist() == [2.0, 2.0]
    assert both.frame["family"].tolist() == both.frame["model"].tolist()
    named = sb.read_observed(one, model="m", lineage="l", instruct=True, params_b=1.1)
    assert tuple(named.frame.iloc[0, :5]) == ("m", "m", "l", True, 1.1)
    assert named.messages == ()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ("pretrained=/runs/step_10/,dtype=bfloat16", "step_10"),
        ("pretrained=org/base,peft=me/adapter", "adapter"),
        ({"pretrained": "org/base", "revision": "main"}, "base"),
        ("model=gpt-x", "gpt-x"),
    ],
)
def test_model_names(write, arguments, name):
    path = write({"leaderboard_mmlu_pro": {"acc,none": 0.3}}, config={"model_args": arguments})
    assert sb.read_observed(path).frame["model"].tolist() == [name]


def test_results_fit_a_forecast_table(write):
    found = sb.read_observed(write(subjects(), old=5), params_b=1, tokens_t=1)
    data = sb.load_dataset("open_llm_leaderboard").with_rows(found.frame)
    assert len(data) == 189
    assert data.frame.iloc[-1]["MMLU"] == 0.5


# -- what is refused ---------------------------------------------------------------------


def test_foreign_and_broken_files(tmp_path, write):
    good = write({"winogrande": {"acc,none": 0.5}}, {"winogrande": 5}, path="in/good.json")
    whole = good.read_text()
    for text, message in (
        (whole[: len(whole) // 2], "no complete JSON file .it breaks off or goes wrong in line 1"),
        ("", "it is empty"),
        ("[1]", "is not a result file"),
        ('{"results": [1]}', "it has no 'results'"),
        ("[" * 100_000, "nests or counts too far|no complete JSON"),
        ('{"results": {"a": ' + "9" * 5000 + "}}", "nests or counts too far"),
    ):
        bad = tmp_path / "in" / "bad.json"
        bad.write_text(text)
        with pytest.raises(FileFormatError, match=message):
            sb.read_observed(bad)
        found = sb.read_observed(bad.parent)  # others in the folder still count
        assert found.skipped["kind"].tolist() == ["unreadable"]
        assert found.messages[0].startswith(f"{bad} is not read: it ")
    bad.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileFormatError, match="not a UTF-8 text file"):
        sb.read_observed(bad)
    with pytest.raises(FileFormatError, match=r"cannot read .*none\.json: No such file"):
        sb.read_observed(tmp_path / "none.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileFormatError, match="has no result file"):
        sb.read_observed(tmp_path / "empty")
    with pytest.raises(DataError, match="nothing to read"):
        sb.read_observed([])


def test_refusals(write):
    results, shots = {"winogrande": {"acc,none": 0.5}}, {"winogrande": 5}
    good, other = write(results, shots), write(results, shots, "lab/other")
    nameless = write(results, shots, name=None)
    with pytest.raises(DataError, match=r"does not name its model: name it .model= or --model"):
        sb.read_observed(nameless)
    assert sb.read_observed(nameless, model="m").frame["model"].tolist() == ["m"]
    with pytest.raises(DataError, match=r"results of 2 models .* cannot all be 'm'"):
        sb.read_observed([good, other], model="m")
    with pytest.raises(DataError, match="2 names are given for results of one model"):
        sb.read_observed(good, model=["a", "b"])
    with pytest.raises(UnknownNameError, match=r"unknown model 'mine-1'.*'mine-1b'.*in tokens_t"):
        sb.read_observed(good, tokens_t={"mine-1": 3})
    with pytest.raises(DataError, match="params_b of model 'mine-1b' is -1: it must be positive"):
        sb.read_observed(good, params_b=-1)
    with pytest.raises(UnknownNameError, match=r"unknown scale 'percent'.*points, fractions"):
        sb.read_observed(good, scale="percent")
    for score in (1.5, -0.1, 47.2):
        path = write({"winogrande": {"acc,none": score}}, shots)
        with pytest.raises(DataError, match=rf"task 'winogrande' is {score}, outside \[0, 1\]"):
            sb.read_observed(path)


def test_an_error_lists_no_more_than_a_few_reasons(write):
    paths = [write({"winogrande": {"acc,none": 0.5}}, name=f"lab/m{i}") for i in range(9)]
    with pytest.raises(DataError, match="and 5 more reasons; assume_leaderboard_shots=True takes"):
        sb.read_observed(paths)


# -- exports -----------------------------------------------------------------------------


@pytest.fixture
def export(tmp_path):
    def make(**columns):
        path = tmp_path / "export.csv"
        pd.DataFrame(columns).to_csv(path, index=False)
        return path

    return make


def test_export_of_the_first_leaderboard(export):
    path = export(**{
        "T": ["🟢", "💬"], "Model": ["<a href='x'>lab/one-7b</a>", "lab/one-7b-chat"],
        "Type": ["🟢 pretrained", "💬 chat models (RLHF, DPO, IFT, ...)"],
        "Average ⬆️": [55.0, 60.0], "ARC": [53.1, 55.0], "MMLU": [62.5, ""],
        "#Params (B)": [7.24, 0],
    })  # fmt: skip
    found = sb.read_observed(path)
    assert found.frame["model"].tolist() == ["one-7b", "one-7b-chat"]
    assert found.frame["instruct"].tolist() == [False, True]
    np.testing.assert_array_equal(found.frame["params_b"], [7.24, np.nan])
    np.testing.assert_allclose(found.frame["ARC"], [0.531, 0.55])
    np.testing.assert_allclose(found.frame["MMLU"], [0.625, np.nan])
    one = sb.read_observed(path, model="one-7b-chat", family="f", tokens_t=2)
    assert one.frame[["model", "family", "tokens_t"]].values.tolist() == [["one-7b-chat", "f", 2.0]]
    with pytest.raises(UnknownNameError, match=r"unknown model 'one-8b'.*'one-7b'"):
        sb.read_observed(path, model="one-8b")


@pytest.mark.parametrize(
    "columns",
    [
        ("ARC (25-shot)", "TruthfulQA (0-shot)", "MMLU (5-shot)"),
        ("ARC (25-s) ⬆️", "TruthfulQA (MC) (0-s) ⬆️", "MMLU (5-s) ⬆️"),
        ("arc:challenge", "truthfulqa:mc", "hendrycksTest"),
        ("harness|arc:challenge|25", "harness|truthfulqa:mc|0", "harness|hendrycksTest|5"),
        ("ARC", "TruthfulQA MC2", "MMLU"),
    ],
)
def test_the_columns_of_2023(export, columns):
    values = dict(zip(columns, ([45.0], [40.0], [41.0])))
    found = sb.read_observed(export(Model=["lab/a"], Average=[42.0], **values))
    assert scores(found) == {"ARC": 0.45, "TruthfulQA": 0.4, "MMLU": 0.41}
    assert found.messages == ()


def test_a_header_with_other_shots_or_metric_is_not_the_benchmark(export):
    other = {"ARC": [45.0], "HellaSwag (0-shot)": [50.0], "TruthfulQA (MC1)": [30.0]}
    found = sb.read_observed(export(Model=["lab/a"], Average=[42.0], **other))
    assert scores(found) == {"ARC": 0.45}
    assert "evaluated with 0 shots, where the leaderboard has 10" in found.messages[0]
    assert "'TruthfulQA (MC1)' like TruthfulQA" in found.messages[1]


def test_quantised_rows_are_models_of_their_own(export):
    path = export(**{"Model": ["lab/a-7b"] * 3, "Average": [1] * 3, "ARC": [45, 46, 44],
                     "Precision": ["torch.float16", "float32", "4bit"],
                     "#Params (B)": [7, 7, 3.9]})  # fmt: skip
    found = sb.read_observed(path)
    assert found.frame[["model", "ARC"]].values.tolist() == [["a-7b", 0.45], ["a-7b-4bit", 0.44]]
    np.testing.assert_array_equal(found.frame["params_b"], [7, np.nan])
    assert found.used["note"].tolist()[0] == ""
    assert "its weights are quantised (4bit)" in found.used["note"].tolist()[1]
    only = sb.read_observed(path, model="a-7b-4bit")
    assert only.frame["model"].tolist() == ["a-7b-4bit"]


def test_a_model_twice_leaves_the_others(export):
    path = export(Model=["a", "a", "b"], Average=[1] * 3, ARC=[45, 46, 44])
    found = sb.read_observed(path)
    assert found.frame["model"].tolist() == ["b"]
    assert found.skipped["kind"].tolist() == ["ambiguous"]
    names = [f"m{i // 2}" for i in range(20)]
    many = sb.read_observed(export(Model=[*names, "b"], Average=[1] * 21, ARC=list(range(30, 51))))
    assert len(many.messages) == 6
    assert many.messages[-1].endswith("5 more models are there more than once.")
    same = sb.read_observed(export(Model=["a", "a"], Average=[1, 1], ARC=[45, 45]))
    assert scores(same) == {"ARC": 0.45}


@pytest.mark.parametrize(
    ("cells", "advice"),
    [
        (dict(ARC=["45,3"]), "write 45.3, with a decimal point"),
        ({"ARC": [45], "#Params (B)": ["7B"]}, "write 7"),
    ],
)
def test_cells_of_exports_in_other_spellings(export, cells, advice):
    with pytest.raises(DataError, match=advice):
        sb.read_observed(export(Model=["a"], Average=[1], **cells))


V2 = {"fullname": ["lab/a"], "Average ⬆️": [20.0], "IFEval": [40.0], "MATH Lvl 5": [5.0]}


def test_export_of_the_second_leaderboard_rescales_from_chance(export):
    path = export(
        **V2, **{"GPQA": [4.0], "MMLU-PRO": [0.0], "BBH": [20.0], "MUSR": [7.0], "MUSR Raw": [0.41]}
    )
    found = sb.read_observed(path)
    wanted = {"IFEval": 0.4, "MATH Lvl 5": 0.05, "GPQA": 0.25 + 0.75 * 0.04, "MUSR": 0.41}
    assert scores(found) == pytest.approx(wanted)
    assert "column 'BBH Raw'" in reasons(found)["BBH"]
    assert "chance level, 10%, or anything below" in reasons(found)["MMLU-PRO"]


@given(raw=st.floats(0.26, 1), pro=st.floats(0.11, 1))
@MANY
def test_rescaling_is_undone(export, raw, pro):
    points = {"GPQA": 100 * (raw - 0.25) / 0.75, "MMLU-PRO": 100 * (pro - 0.1) / 0.9}
    found = sb.read_observed(export(**V2, **{k: [v] for k, v in points.items()}))
    assert scores(found)["GPQA"] == pytest.approx(raw)
    assert scores(found)["MMLU-PRO"] == pytest.approx(pro)


def test_the_raw_table_that_ships_reads_as_the_tidy_one():
    path = shipped("data") / "raw/open_llm_leaderboard/sloth_data_v2.csv"
    found = sb.read_observed(path, model="qwen2-7b-instruct")
    table = sb.load_dataset("open_llm_leaderboard", corrected=False).frame.set_index("model")
    read, ours = found.frame.iloc[0].dropna(), table.loc["qwen2-7b-instruct"].drop("date").dropna()
    assert read.drop("model").to_dict() == ours.to_dict()


def test_a_table_of_our_own_form(export):
    path = export(model=["a-1b"], family=["a"], params_b=[1.0], tokens_t=[2.0], ARC=[0.3])
    found = sb.read_observed(path)
    assert found.frame[["family", "params_b", "tokens_t", "ARC"]].values.tolist() == [
        ["a", 1.0, 2.0, 0.3]
    ]


def test_units_are_stated_not_guessed(export):
    as_points = export(model=["a"], family=["a"], params_b=[1], tokens_t=[1], ARC=[30.0])
    with pytest.raises(DataError, match="the score 30 is not in fractions, 0 to 1"):
        sb.read_observed(as_points)
    assert scores(sb.read_observed(as_points, scale="points")) == {"ARC": 0.3}
    as_fractions = export(Model=["a"], Average=[0.3], ARC=[0.3])
    with pytest.raises(DataError, match="are in points, 0 to 100, but no score exceeds 1"):
        sb.read_observed(as_fractions)
    assert scores(sb.read_observed(as_fractions, scale="fractions")) == {"ARC": 0.3}
    assert scores(sb.read_observed(as_fractions, scale="points")) == {"ARC": pytest.approx(0.003)}
    with pytest.raises(DataError, match="the score 101 is not in points"):
        sb.read_observed(export(Model=["a"], Average=[0.3], ARC=[101]))
    with pytest.raises(DataError, match="the score -3 is not in points"):
        sb.read_observed(export(Model=["a"], Average=[0.3], ARC=[-3]))


def test_exports_refused(export):
    cases = [
        (dict(Average=[1], ARC=[30]), FileFormatError, "no column with the models' names"),
        (dict(Model=["a"], ARC=[30]), FileFormatError, "no export of the Open LLM Leaderboard"),
        (dict(Model=["a"], Average=[30]), FileFormatError, "has no benchmark of the leaderboards"),
        (dict(Model=[""], Average=[1], ARC=[30]), DataError, "row 1 has no model name"),
        (dict(Model=["a"], Average=[1], ARC=["x"]), DataError, "ARC of model 'a' is 'x', not a nu"),
        (dict(Model=["a", "a"], Average=[1, 1], ARC=[30, 31]), DataError, "rows 1 and 2: keep one"),
        (dict(Model=["a"], Average=[1], ARC=[""]), DataError, "no score can be used"),
    ]
    for columns, error, message in cases:
        with pytest.raises(error, match=message):
            sb.read_observed(export(**columns))
    path = export(Model=["a"], Average=[1], ARC=[30])
    path.write_text("Model,Average,ARC,ARC\na,1,2,3\n")
    with pytest.raises(DataError, match="has 2 columns 'ARC'"):
        sb.read_observed(path)
    twice = export(fullname=["a", "a"], eval_name=["a_f16", "a_b16"], Average=[1, 1], ARC=[30, 31])
    assert scores(sb.read_observed(twice, model="a_b16")) == {"ARC": 0.31}


def test_results_and_exports_of_one_model(write, export):
    results = write({"leaderboard_mmlu_pro": {"acc,none": 0.3}}, name="lab/a")
    found = sb.read_observed([results, export(Model=["lab/a"], Average=[1], ARC=[30])])
    assert len(found.frame) == 1
    assert scores(found) == {"ARC": 0.3, "MMLU-PRO": 0.3}


# -- the command line --------------------------------------------------------------------


def test_data_read(write):
    shown = run("data", "read", TODAY, "--params", 0.4, "--tokens", 0.3)
    assert shown.exit_code == 0
    assert shown.stderr == ""
    title, _, *rows = shown.stdout.splitlines()
    assert title == (
        "small-model: family small-model (new), 0.4B parameters, 0.3T tokens, base; "
        "scores in percent"
    )
    assert rows[0].split()[:3] == ["IFEval", "22.1", "leaderboard_ifeval"]
    path = write(
        {"winogrande": {"acc,none": 0.5}, "hellaswag": {"acc_norm,none": 0.6}},
        {"winogrande": 0},
        "lab/x-1b",
    )
    shown = run("data", "read", path, TODAY, "--params", "x-1b=1.5,small-model=0.4",
                "--allow-mismatch", "--assume-leaderboard-shots", "--family", "pythia")  # fmt: skip
    assert "x-1b: family pythia, 1.5B parameters, unknown tokens, base" in shown.stdout
    assert "Winogrande of x-1b is used although it differs: evaluated with 0" in shown.stderr
    assert [
        line.split()[-1] for line in shown.stdout.splitlines() if line.startswith(("Wino", "Hella"))
    ] == ["yes", "no"]


def test_data_read_for_programs():
    found = sb.read_observed(TODAY, model="m", params_b=1)
    start = ("data", "read", TODAY, "--model", "m", "--params", 1)
    table = pd.read_csv(io.StringIO(run(*start, "--csv").stdout))
    assert sb.Leaderboard.from_frame(table) == found.table
    answer = json.loads(run(*start, "--json").stdout)
    assert list(answer) == ["observed", "used", "skipped", "warnings"]
    assert answer["observed"][0]["tokens_t"] is None
    assert answer["observed"][0]["BBH"] == found.frame["BBH"].item()
    assert [row["benchmark"] for row in answer["used"]] == list(found.used["benchmark"])


def test_data_read_of_bad_input(write, tmp_path):
    zero = REAL / "410m_step143000.json"
    result = run("data", "read", zero)
    assert result.exit_code == 2
    assert result.stdout == ""
    *warned, error = result.stderr.splitlines()
    assert all(line.startswith("sloth-bayes: warning: ") for line in warned)
    assert any("ARC (arc_challenge) is skipped: evaluated with 0" in line for line in warned)
    assert error == (
        "sloth-bayes: error: no score can be used; --allow-mismatch uses other shots, metrics and "
        "settings as they are."
    )
    unknown = run("data", "read", write({"winogrande": {"acc,none": 0.5}}))
    assert unknown.exit_code == 2
    assert "--assume-leaderboard-shots takes the leaderboard's shots as given" in unknown.stderr
    cut = tmp_path / "cut.json"
    cut.write_text(TODAY.read_text()[:300])
    assert "cut.json is no complete JSON file" in fails("data", "read", cut)
    assert "exclude each other" in fails("data", "read", TODAY, "--json", "--csv")
    assert "plain numbers" in fails("data", "read", TODAY, "--params", "1B")
    assert "MODEL=NUMBER" in fails("data", "read", TODAY, "--params", "1,2")
    assert "unknown model 'x'" in fails("data", "read", TODAY, "--tokens", "x=1")
    assert "unknown scale" in fails("data", "read", TODAY, "--scale", "percent")


def test_reading_needs_neither_jax_nor_matplotlib():
    code = (
        f"import sys, sloth_bayes as sb; sb.read_observed({str(TODAY)!r}); "
        "assert not {'jax', 'matplotlib', 'numpyro'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
