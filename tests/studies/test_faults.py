"""A short form of ``python -m studies.faults``: of each kind of fault a few."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import sloth_bayes as sb
from studies import faults


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> faults.Bench:
    return faults.Bench(tmp_path_factory.mktemp("faults"), lineages=("qwen", "yi"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("spoilt")


def wrong(rows) -> list[faults.Row]:
    return [row for row in rows if not row["right"]]


@pytest.mark.long
def test_ctrl_c_ends_a_verb_at_any_moment(bench):
    assert not wrong(faults.interrupts(bench, 5, only=("data show",)))


@pytest.mark.slow
def test_a_full_disk_keeps_the_earlier_answer(bench):
    assert not wrong(faults.disk(bench, 1, only=("forecast",)))


@pytest.mark.slow
def test_a_killed_evaluation_ends_as_an_undisturbed_one(bench):
    assert not wrong(faults.kills(bench, 1))


@pytest.mark.long
@pytest.mark.parametrize(
    "kind",
    ["posterior", "table", "table, gzip", "results", "export", "evaluation", "specification"],
)
def test_whatever_bytes_a_file_holds(kind, folder, monkeypatch):
    monkeypatch.setattr("sys.unraisablehook", None)  # put back what the study sets
    assert not wrong(faults.spoil(folder, kind, 10_000, 12))


def test_what_is_spoilt_differs():
    good = sb.Sloth().to_toml().encode()
    found = {faults._spoilt(good, random.Random(i)) for i in range(200)}
    assert len(found) > 180
