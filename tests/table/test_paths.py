"""Paths that are no file, and files that are something else: a sentence each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sloth_bayes as sb
from sloth_bayes.errors import FileFormatError
from tests.cli.test_cli import fails, run
from tests.table.test_other_harnesses import CASES

POINTER = (CASES / "25-samples-and-pointers" / "pointer.json").read_text()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_the_home_folder_is_known(home):
    post = sb.load("leaderboard")
    post.save("~/x.nc")
    assert (home / "x.nc").is_file()
    assert sb.load("~/x.nc").models == post.models
    sb.Sloth(n_skills=2).to_toml("~/x.toml")
    assert sb.Sloth.from_toml("~/x.toml").n_skills == 2
    sb.load_dataset("open_llm_leaderboard").to_csv("~/t.csv")
    assert len(sb.Leaderboard.from_csv("~/t.csv")) == len(sb.load_dataset("open_llm_leaderboard"))
    results = {"results": {"arc_challenge": {"acc_norm": 0.4}}, "config": {"num_fewshot": 25}}
    (home / "r.json").write_text(json.dumps(results))
    assert sb.read_observed("~/r.json", model="m").used["score"].tolist() == [0.4]


@pytest.mark.parametrize("read", [sb.read_observed, sb.Leaderboard.from_csv])
def test_an_empty_path(read):
    with pytest.raises(FileFormatError, match="a path is empty: name a file"):
        read("")


def test_a_folder_where_a_file_is_meant(tmp_path):
    for name in ("x.json", "x.csv", "x.nc", "x.parquet"):
        (tmp_path / name).mkdir()
    with pytest.raises(FileFormatError, match=r"x\.json has no result file"):
        sb.read_observed(tmp_path / "x.json")
    for name in ("x.csv", "x.parquet"):
        with pytest.raises(FileFormatError, match="it is a folder; name a file in it"):
            sb.Leaderboard.from_csv(tmp_path / name)
    with pytest.raises(FileFormatError, match="is a folder, not a posterior file"):
        sb.load(tmp_path / "x.nc")
    with pytest.raises(FileFormatError, match="it is a folder; name a file in it"):
        sb.load_dataset("open_llm_leaderboard").to_csv(tmp_path / "x.csv")
    # among files it is passed over
    (tmp_path / "r.json").write_text(json.dumps({"results": {"winogrande": {"acc": 0.5}}}))
    found = sb.read_observed(tmp_path, model="m", assume_leaderboard_shots=True)
    assert found.used["score"].tolist() == [0.5]


def test_a_missing_folder(tmp_path):
    for write in (
        lambda path: sb.Sloth().to_toml(path),
        lambda path: sb.load("leaderboard").save(path),
        lambda path: sb.load_dataset("open_llm_leaderboard").to_csv(path),
    ):
        with pytest.raises(FileFormatError, match=r"there is no folder .*no-such; make it first"):
            write(tmp_path / "no-such" / "x.nc")


def test_a_pointer_of_git_lfs(tmp_path):
    said = "is a git-lfs pointer, not the file itself: fetch it with git lfs pull"
    for name, read in (
        ("x.json", sb.read_observed),
        ("x.csv", sb.read_observed),
        ("x.csv", sb.Leaderboard.from_csv),
        ("x.parquet", sb.Leaderboard.from_csv),
        ("x.nc", sb.load),
    ):
        (tmp_path / name).write_text(POINTER)
        with pytest.raises(FileFormatError, match=said):
            read(tmp_path / name)


def test_case_25(tmp_path):
    folder = CASES / "25-samples-and-pointers"
    samples = fails("data", "read", folder / "samples_gsm8k.jsonl")
    assert "has samples, one a line, and no scores: name the results_*.json beside it" in samples
    assert "git lfs pull" in fails("data", "read", folder / "pointer.json")
    merged = run("data", "read", folder / "merged.json")
    assert merged.exit_code == 2
    assert "arc_challenge) is skipped: it holds several runs (2022-07-07" in merged.stderr
    one_line = tmp_path / "samples_x.jsonl"
    one_line.write_text('{"doc_id": 0, "exact_match": 1.0}\n')
    assert "name the results_*.json beside it" in fails("data", "read", one_line)
    listed = tmp_path / "listed.json"
    listed.write_text('[{"doc_id": 0, "doc": {}, "acc": 1.0}]')
    assert "name the results_*.json beside it" in fails("data", "read", listed)


def test_case_23():
    path = CASES / "23-group-said-skipped-though-used" / "results.json"
    found = sb.read_observed(path)
    assert found.used[["benchmark", "score"]].round(6).values.tolist() == [["MATH Lvl 5", 0.1]]
    assert found.messages == ()
    assert found.skipped.empty


def test_the_verdict_is_what_a_notebook_shows():
    found = sb.load("leaderboard").diagnostics()
    assert repr(found) == str(found)
    assert repr(found).startswith("Converged.")


@pytest.mark.slow
def test_a_platform_that_jax_lacks_is_one_line(tmp_path):
    path = tmp_path / "r.json"
    path.write_text(
        json.dumps({"results": {"arc_challenge": {"acc_norm": 0.4}}, "config": {"num_fewshot": 25}})
    )
    words = ("forecast", "--observed", path, "--observed-name", "m", "--params", 8, "--tokens", 2,
             "--target-params", 70, "--target-tokens", 2)  # fmt: skip
    words = [str(w) for w in words if w not in ("--observed-name", "m")]
    env = {**os.environ, "JAX_PLATFORMS": "cuda"}
    results = json.loads(path.read_text())
    results["config"]["model_args"] = "pretrained=lab/m"
    path.write_text(json.dumps(results))
    shown = subprocess.run(
        [sys.executable, "-m", "sloth_bayes", *words], env=env, capture_output=True, text=True,
        check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    *_, last = shown.stderr.strip().splitlines()
    assert shown.returncode == 2
    assert last.startswith("sloth-bayes: error: JAX cannot compute on cuda")
    assert "Traceback" not in shown.stderr
