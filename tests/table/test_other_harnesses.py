"""Results of lighteval, HELM, OpenCompass and Inspect: files that their own code has written.

``tests/cases/make`` has the programs that made them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sloth_bayes as sb
from sloth_bayes.errors import DataError, FileFormatError, SlothBayesError
from sloth_bayes.table.elsewhere import other_tasks
from tests.cli.test_cli import fails, run

CASES = Path(__file__).parents[1] / "cases"
SUBJECTS = sb.known_tasks().query("set == 'hendrycksTest'")["subtask"].tolist()


def scores(found):
    return found.used.set_index("benchmark")["score"].to_dict()


def reasons(found):
    return dict(zip(found.skipped["task"], found.skipped["reason"]))


def test_the_map_names_benchmarks_and_settings_that_exist():
    table = other_tasks()
    assert set(table["benchmark"]) <= set(sb.load_dataset("open_llm_leaderboard").benchmark_names)
    shots = sb.known_tasks().query("differs == ''").groupby("benchmark")["shots"].first()
    assert (table["shots"] == table["benchmark"].map(shots)).all()
    assert not table.duplicated(["harness", "task"]).any()
    read = table[table["metric"] != ""].groupby("harness")["benchmark"].nunique()
    assert read["lighteval"] >= 8
    assert read["Inspect"] >= 6
    assert read[["HELM", "OpenCompass"]].min() >= 5


# -- lighteval ---------------------------------------------------------------------------


@pytest.fixture
def lighteval(tmp_path):
    def make(results, **general):
        path = tmp_path / "results.json"
        general = {"model_name": "acme/foo-1b"} | general
        path.write_text(json.dumps({"config_general": general, "results": results}))
        return path

    return make


def test_case_13():
    found = sb.read_observed(CASES / "13-lighteval-results" / "results.json")
    assert scores(found) == {"ARC": 0.35, "TruthfulQA": 0.4}
    assert reasons(found) == {
        "lighteval arc:challenge": "its metric is acc, where the leaderboard has acc_norm",
        "lighteval helm|hellaswag": "its prompt is HELM's, which lists the endings as choices",
    }


def test_todays_lighteval_file():
    path = CASES / "lighteval" / "results_today.json"
    raw = json.loads(path.read_text())["results"]
    found = sb.read_observed(path)
    strict = [raw["ifeval|0"][f"{of}_level_strict_acc"] for of in ("prompt", "inst")]
    assert scores(found) == {
        "IFEval": pytest.approx(sum(strict) / 2),
        "Winogrande": raw["winogrande|5"]["acc"],
        "TruthfulQA": raw["truthfulqa:mc|0"]["truthfulqa_mc2"],
    }
    said = reasons(found)
    assert said["lighteval arc:challenge"].startswith("its metric is acc, where")
    assert "lists the endings as choices" in said["lighteval hellaswag"]
    assert "generates reasoning" in said["lighteval mmlu_pro"]
    allowed = sb.read_observed(path, allow_mismatch=True)
    assert set(scores(allowed)) == set(scores(found)) | {
        "ARC", "HellaSwag", "GSM8K", "MUSR", "MMLU-PRO"
    }  # fmt: skip
    assert "its metric is extractive_match, where the leaderboard has qem" in " ".join(
        allowed.messages
    )


def test_lightevals_older_suites(lighteval):
    found = sb.read_observed(
        lighteval(
            {
                "leaderboard|arc:challenge|25": {"acc": 0.3, "acc_norm": 0.35},
                "leaderboard|hellaswag|10": {"acc_norm": 0.6},
                "leaderboard|winogrande|5": {"acc": 0.7},
                "leaderboard|truthfulqa:mc|0": {"truthfulqa_mc1": 0.2, "truthfulqa_mc2": 0.4},
                "leaderboard|gsm8k|5": {"qem": 0.1},
                "extended|ifeval|0": {
                    "prompt_level_strict_acc": 0.2,
                    "inst_level_strict_acc": 0.4,
                },
                "lighteval|gpqa:mc|0": {"acc": 0.3},
                **{f"leaderboard|mmlu:{s}|5": {"acc": 0.4} for s in SUBJECTS},
                "leaderboard|mmlu:_average|5": {"acc": 0.9},
                "all": {"acc": 0.1},
            }
        )
    )
    assert scores(found) == {
        "MMLU": pytest.approx(0.4),
        "ARC": 0.35,
        "HellaSwag": 0.6,
        "Winogrande": 0.7,
        "TruthfulQA": 0.4,
        "GSM8K": 0.1,
        "IFEval": pytest.approx(0.3),
    }
    assert found.frame["model"].tolist() == ["foo-1b"]
    assert list(reasons(found)) == ["lighteval gpqa:mc"]


def test_lightevals_shots_and_limits_are_mismatches(lighteval):
    results = {"leaderboard|winogrande|0": {"acc": 0.7}}
    with pytest.raises(DataError, match="evaluated with 0 shots, where the leaderboard has 5"):
        sb.read_observed(lighteval(results))
    results = {"leaderboard|winogrande|5": {"acc": 0.7}}
    with pytest.raises(DataError, match=r"a part of its questions \(max_samples 10\)"):
        sb.read_observed(lighteval(results, max_samples=10))


def test_the_leaderboards_own_files_stay_the_harness_s(lighteval):
    path = lighteval({"harness|arc:challenge|25": {"acc_norm": 0.3}}, lighteval_sha="abc")
    assert sb.read_observed(path).used["task"].tolist() == ["arc_challenge"]


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["acc", "acc_norm", "model_name", "revision", "effective_num_docs", "name",
                         "task", "results", "scores", "metrics", "value", "limit", "epochs"]),
        inner, max_size=4,
    ),
    max_leaves=10,
)  # fmt: skip


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    value=json_values, general=json_values, kind=st.sampled_from(["lighteval", "inspect", "helm"])
)
def test_whatever_a_file_holds_it_is_read_or_refused(tmp_path, value, general, kind):
    path = tmp_path / "any.json"
    lighteval = {"results": {"leaderboard|arc:challenge|25": value}, "config_general": general}
    task = {"task": "inspect_evals/arc_challenge", "config": general, "model": "p/m"}
    inspect = {"status": "success", "eval": task, "results": value, "plan": general}
    if kind == "helm":
        path = tmp_path / "stats.json"
        run = {"name": "gsm:model=a_b", "adapter_spec": general, "data_augmenter_spec": general}
        (tmp_path / "run_spec.json").write_text(json.dumps(run))
        stat = {"name": {"name": "final_number_exact_match", "split": "test"}, "mean": value}
        path.write_text(json.dumps([stat, value]))
    else:
        path.write_text(json.dumps(lighteval if kind == "lighteval" else inspect))
    message = "."
    try:
        found = sb.read_observed(path, model="any", allow_mismatch=True)
        assert found.used["score"].between(0, 1).all()
    except SlothBayesError as error:
        message = str(error)
    assert message.endswith(".")


# -- HELM --------------------------------------------------------------------------------


def test_runs_of_helm():
    with pytest.raises(DataError, match="lists the endings as choices"):
        sb.read_observed(CASES / "helm")
    found = sb.read_observed(CASES / "helm", allow_mismatch=True)
    assert set(scores(found)) == {"HellaSwag", "TruthfulQA", "GSM8K"}
    assert found.frame["model"].tolist() == ["model1"]
    notes = found.used.set_index("benchmark")["note"]
    assert "evaluated with 5 shots, where the leaderboard has 10" in notes["HellaSwag"]
    assert "evaluated with" not in notes["GSM8K"]
    kinds = found.skipped.set_index("benchmark")["kind"]
    assert kinds[["MMLU", "MATH Lvl 5"]].tolist() == ["incomplete"] * 2


MATHS = ["algebra", "counting_and_probability", "geometry", "intermediate_algebra",
         "number_theory", "prealgebra", "precalculus"]  # fmt: skip


@pytest.mark.parametrize(
    ("of", "whole", "written", "names"),
    [("mmlu", "MMLU", "anatomy", SUBJECTS), ("math", "MATH Lvl 5", "algebra", MATHS)],
)
def test_parts_of_helm_make_a_benchmark(tmp_path, of, whole, written, names):
    for name in names:
        folder = tmp_path / name
        shutil.copytree(CASES / "helm" / of, folder)
        spec = json.loads((folder / "run_spec.json").read_text())
        spec["name"] = spec["name"].replace(f"subject={written}", f"subject={name}")
        (folder / "run_spec.json").write_text(json.dumps(spec))
    found = sb.read_observed(tmp_path, allow_mismatch=True)
    assert list(scores(found)) == [whole]


def test_helm_of_a_part_of_the_questions_or_a_lone_file(tmp_path):
    folder = tmp_path / "gsm"
    shutil.copytree(CASES / "helm" / "gsm", folder)
    spec = json.loads((folder / "run_spec.json").read_text())
    spec["adapter_spec"]["max_eval_instances"] = 4
    (folder / "run_spec.json").write_text(json.dumps(spec))
    found = sb.read_observed(folder / "stats.json", allow_mismatch=True)
    assert "a part of its questions (max_eval_instances 4)" in found.used["note"].item()
    (folder / "scenario_state.json").write_text("{}")
    with pytest.raises(
        FileFormatError, match=r"file of HELM that is not read: name the stats\.json"
    ):
        sb.read_observed(folder / "scenario_state.json")
    (folder / "run_spec.json").unlink()
    with pytest.raises(FileFormatError, match=r"whose run_spec\.json .* is not beside it"):
        sb.read_observed(folder / "stats.json")


# -- OpenCompass -------------------------------------------------------------------------


def test_a_summary_of_opencompass():
    path = CASES / "opencompass" / "summary_made.csv"
    cells = [line.split(",") for line in path.read_text().splitlines()]
    points = {(row[0], row[2]): float(row[4]) / 100 for row in cells[1:]}
    found = sb.read_observed(path, model="foo-1b")
    strict = [points["IFEval", f"{of}-level-strict-accuracy"] for of in ("Prompt", "Inst")]
    assert scores(found) == {
        "MMLU": pytest.approx(points["mmlu", "naive_average"], abs=1e-4),
        "Winogrande": points["winogrande", "accuracy"],
        "IFEval": pytest.approx(sum(strict) / 2),
    }
    said = reasons(found)
    assert said["OpenCompass ARC-c"] == "evaluated with 0 shots, where the leaderboard has 25"
    assert "evaluated with 4 shots" in said["OpenCompass gsm8k"]
    allowed = sb.read_observed(path, allow_mismatch=True)
    assert allowed.frame["model"].tolist() == ["foo-1b", "foo-7b"]
    assert {"ARC", "HellaSwag", "GSM8K"} < set(allowed.used["benchmark"])


def test_opencompass_prompts_that_nobody_knows(tmp_path):
    path = tmp_path / "summary_1.csv"
    path.write_text(
        "dataset,version,metric,mode,m-1b\n"
        "winogrande,123456,accuracy,ll,50.00\n"
        "mmlu,-,naive_average,gen,40.00\n"
    )
    with pytest.raises(DataError, match="does not say with how many shots"):
        sb.read_observed(path)
    found = sb.read_observed(path, assume_leaderboard_shots=True)
    assert scores(found) == {"Winogrande": 0.5}
    assert reasons(found)["OpenCompass mmlu"].startswith("evaluated with mode gen, where")


def test_other_files_of_opencompass_are_refused_by_name():
    folder = CASES / "opencompass"
    with pytest.raises(FileFormatError, match=r"one task's result of OpenCompass.*summary_\*\.csv"):
        sb.read_observed(folder / "ARC-c.json")
    for text in ("summary_made.txt", "summary_made.md"):
        with pytest.raises(
            FileFormatError, match=r"summary of OpenCompass as text: name the \.csv"
        ):
            sb.read_observed(folder / text)


# -- Inspect -----------------------------------------------------------------------------

LOGS = {
    "mmlu_5_shot": ("MMLU", 5),
    "mmlu_pro": ("MMLU-PRO", 5),
    "gpqa_diamond": ("GPQA", 0),
    "gsm8k": ("GSM8K", 5),
    "math": ("MATH Lvl 5", 4),
    "ifeval": ("IFEval", 0),
    "arc_challenge": ("ARC", 0),
    "hellaswag": ("HellaSwag", 0),
}


@pytest.mark.parametrize("task", LOGS)
def test_logs_of_inspect(task):
    pytest.importorskip("inspect_ai")
    benchmark, shots = LOGS[task]
    path = CASES / "inspect" / f"{task}.eval"
    found = sb.read_observed(path, allow_mismatch=True)
    row = found.used.iloc[0]
    assert (row["benchmark"], row["shots"], row["task"]) == (benchmark, shots, f"Inspect {task}")
    assert 0 < row["score"] < 1
    assert row["matches"] == (task == "ifeval")
    assert found.frame["model"].tolist() == ["model"]


def test_a_log_of_inspect_as_json(tmp_path):
    path = CASES / "inspect" / "gsm8k.json"
    log = json.loads(path.read_text())
    with pytest.raises(DataError, match=r"line ANSWER.*evaluated on 20 of its 1319 questions"):
        sb.read_observed(path)
    found = sb.read_observed(path, allow_mismatch=True)
    value = log["results"]["scores"][0]["metrics"]["accuracy"]["value"]
    assert scores(found) == {"GSM8K": value}

    def changed(**eval_):
        other = tmp_path / "log.json"
        other.write_text(json.dumps(log | {"eval": log["eval"] | eval_}))
        return " ".join(sb.read_observed(other, allow_mismatch=True).messages)

    assert "evaluated with 10 shots" in changed(task_args={}, task_args_passed={})
    assert "a part of its questions (limit 20)" in changed(config={"limit": 20})
    assert "not said to be that of inspect_evals" in changed(
        task="gsm8k", task_registry_name="mine/gsm8k"
    )
    failed = tmp_path / "failed.json"
    failed.write_text(json.dumps(log | {"status": "error"}))
    with pytest.raises(DataError, match=r"has not ended well \(status error\)"):
        sb.read_observed(failed)


def test_settings_of_inspect_that_make_another_benchmark(tmp_path):
    log = json.loads((CASES / "inspect" / "gsm8k.json").read_text())
    scores_ = [{"name": "expression_exact_match", "metrics": {"accuracy": {"value": 0.5}}}]
    body = log | {"results": {"total_samples": 5000, "completed_samples": 5000, "scores": scores_}}
    path = tmp_path / "math.json"
    for levels, said in (([], "levels none, where the leaderboard has 5"), (5, "")):
        task = {"task": "inspect_evals/math", "task_registry_name": "inspect_evals/math"}
        arguments = {"task_args": {"levels": levels, "fewshot": 4}}
        path.write_text(json.dumps(body | {"eval": log["eval"] | task | arguments}))
        found = sb.read_observed(path, allow_mismatch=True)
        assert scores(found) == {"MATH Lvl 5": 0.5}
        assert said in found.used["note"].item()
        assert ("levels" in found.used["note"].item()) == bool(said)


def test_an_eval_file_without_the_package(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    monkeypatch.setitem(sys.modules, "inspect_ai", None)
    message = fails("data", "read", CASES / "inspect" / "ifeval.eval")
    assert "pip install 'sloth-bayes[inspect]'" in message


def test_data_read_of_a_folder_of_inspect():
    pytest.importorskip("inspect_ai")
    shown = run("data", "read", CASES / "inspect", "--model", "tiny-1b", "--params", 1)
    assert shown.exit_code == 0
    assert "IFEval" in shown.stdout
    assert "ARC (Inspect arc_challenge) is skipped" in shown.stderr


# -- files that are none of these ----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("per_instance_stats.json", [{"instance_id": "1"}], "a file of HELM that is not read"),
        (
            "core_scenarios.json",
            [{"title": "", "header": [], "rows": []}],
            "a table that HELM made",
        ),
        (
            "my.json",
            [{"name": {"name": "em", "split": "test"}, "mean": 0.1}],
            "stats of a run of H",
        ),
        ("gsm8k.json", {"accuracy": 50.0}, "one task's result of OpenCompass"),
        ("p.json", {"0": {"origin_prompt": "", "prediction": ""}}, "predictions of OpenCompass"),
        ("logs.json", {"a.eval": {"eval": {}, "status": "success"}}, "lists logs of Inspect"),
        ("eval-set.json", {"eval_set_id": "x"}, "lists logs of Inspect"),
        ("details_gsm8k.parquet", {}, "has lighteval's details"),
        ("other.json", {"a": 1}, "is not a result file of the lm-evaluation-harness"),
        ("empty.json", [], "is not a result file of the lm-evaluation-harness"),
    ],
)
def test_other_files_of_theirs_are_refused_by_name(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_text(json.dumps(content))
    with pytest.raises(FileFormatError, match=said):
        sb.read_observed(path)
