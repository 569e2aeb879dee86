"""The over-training testbed: complete, rebuilt to the byte, its tasks chosen by small runs."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from sloth_bayes.errors import DataError
from sloth_bayes.support.files import read_cells
from sloth_bayes.support.shipped import shipped
from sloth_bayes.table import overtraining
from sloth_bayes.table.leaderboard import load_dataset

FOLDER = shipped("data") / "overtraining"
RAW = shipped("data") / "raw"


def raw_with(tmp_path, change):
    """A folder of raw files in which the table of runs is changed."""
    folder = tmp_path / "overtraining_testbed"
    folder.mkdir()
    runs = read_cells(RAW / "overtraining_testbed" / "runs.csv")
    change(runs).to_csv(folder / "runs.csv", index=False)
    return tmp_path


def test_the_grid_is_whole():
    data = load_dataset("overtraining")
    assert (len(data), data.n_scores) == (104, 1248)
    assert data.families == ("c4", "redpajama", "refinedweb")
    frame = data.frame
    sizes = frame["params_b"].round(3)
    assert sizes.value_counts().to_dict() == {
        0.011: 24, 0.079: 24, 0.154: 24, 0.412: 23, 1.44: 6, 6.889: 3,
    }  # fmt: skip
    ratio = pd.read_csv(FOLDER / "models.csv")["tokens_per_param"]
    there = pd.read_csv(FOLDER / "models.csv").eval("1000 * tokens_t / params_b")
    assert np.allclose(ratio, there)


def test_scores_are_the_published_ones():
    runs = pd.read_csv(RAW / "overtraining_testbed" / "runs.csv").set_index("run")
    frame = load_dataset("overtraining").frame.set_index("model")
    for name in load_dataset("overtraining").benchmark_names:
        assert np.abs(frame[name] - runs[name]).max() < 1e-7


def test_rebuilt_to_the_byte(tmp_path):
    for path in overtraining.build(tmp_path, FOLDER, RAW):
        assert path.read_bytes() == (FOLDER / path.name).read_bytes(), path.name


def test_tasks_are_chosen_without_the_large_runs(tmp_path):
    def spoilt(runs):
        large = runs["params"].astype(float) > 1e9
        return runs.mask(pd.concat([large] * runs.shape[1], axis=1).set_axis(runs.columns, axis=1)
                         & ~runs.columns.isin(["run", "dataset", "params", "tokens", "multiplier"]),
                         "1.0")  # fmt: skip

    raw = raw_with(tmp_path, spoilt)
    overtraining.build(tmp_path, FOLDER, raw)
    assert (tmp_path / "above_chance.csv").read_bytes() == (
        FOLDER / "above_chance.csv"
    ).read_bytes()
    assert (tmp_path / "models.csv").read_bytes() != (FOLDER / "models.csv").read_bytes()


def test_a_task_at_chance_does_not_enter(tmp_path):
    shutil.copy(FOLDER / "tasks.csv", tmp_path)
    tasks = read_cells(tmp_path / "tasks.csv")
    tasks.loc[tasks["name"] == "piqa", "chance"] = "0.9"
    tasks.to_csv(tmp_path / "tasks.csv", index=False)
    overtraining.build(tmp_path, tmp_path, RAW)
    assert "piqa" not in pd.read_csv(tmp_path / "benchmarks.csv")["name"].tolist()


def test_what_is_wrong_is_named(tmp_path):
    raw = raw_with(tmp_path, lambda runs: runs.drop(columns="piqa"))
    with pytest.raises(DataError, match="no column 'piqa'"):
        overtraining.build(tmp_path, FOLDER, raw)
    shutil.rmtree(raw / "overtraining_testbed")
    raw = raw_with(tmp_path, lambda runs: runs.replace({"dataset": {"rpj": "pile"}}))
    with pytest.raises(DataError, match="corpus 'pile'"):
        overtraining.build(tmp_path, FOLDER, raw)
