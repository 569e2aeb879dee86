"""What ships: counts, corrections, release months, and that it can be rebuilt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sloth_bayes.errors import DataError, FileFormatError, UnknownNameError
from sloth_bayes.support.files import atomic_path
from sloth_bayes.support.shipped import checkout, shipped
from sloth_bayes.table import rebuild
from sloth_bayes.table.headline import headline
from sloth_bayes.table.leaderboard import datasets, load_corrections, load_dataset, load_subscores

V1 = ("MMLU", "ARC", "HellaSwag", "Winogrande", "TruthfulQA", "GSM8K")
V2 = ("IFEval", "BBH", "MATH Lvl 5", "GPQA", "MUSR", "MMLU-PRO")
FOLDER = shipped("data") / "open_llm_leaderboard"


def test_counts():
    data = load_dataset("open_llm_leaderboard", corrected=False)
    assert (len(data), len(data.families), len(data.lineages)) == (188, 68, 35)
    assert data.benchmark_names == (*V1, *V2)
    counts = data.frame[[*V1, *V2]].notna().sum()
    assert (counts[[*V1]] == 160).all()
    assert (counts[[*V2]] == 113).all()
    assert data.frame["tokens_t"].isna().sum() == 13
    assert data.frame["date"].isna().sum() == 76


def test_published_values_are_those_of_the_raw_table():
    raw = pd.read_csv(shipped("data") / "raw/open_llm_leaderboard/sloth_data_v2.csv")
    raw = raw.set_index("Model")
    data = (
        load_dataset("open_llm_leaderboard", corrected=False)
        .frame.set_index("model")
        .loc[raw.index]
    )
    names = {"params_b": "#Params (B)", "tokens_t": "Pretraining Data Size (T)"}
    for ours, theirs in names.items() | {(b, b) for b in (*V1, *V2)}:
        np.testing.assert_allclose(data[ours], raw[theirs], rtol=0, atol=1e-12)
    for ours, theirs in {"family": "Family2", "lineage": "Family", "instruct": "Instruct"}.items():
        assert list(data[ours]) == list(raw[theirs])


def test_benchmark_metadata():
    by_name = {b.name: b for b in load_dataset("open_llm_leaderboard").benchmarks}
    assert [by_name[n].leaderboard for n in (*V1, *V2)] == ["v1"] * 6 + ["v2"] * 6
    assert by_name["TruthfulQA"].chance == 0.31
    assert by_name["GPQA"].n_questions == 546
    assert {by_name[n].rounding for n in V1} == {0.0}
    assert {by_name[n].rounding for n in V2} == {0.01}


def test_v2_headlines_are_rounded_in_both_tables():
    for corrected in (True, False):
        scores = load_dataset(corrected=corrected).frame[[*V2]].to_numpy()
        steps = scores[~np.isnan(scores)] * 100
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-9)


def test_corrections_apply_once_and_start_from_what_was_published():
    corrections = load_corrections("open_llm_leaderboard")
    assert not corrections.duplicated(["model", "column"]).any()
    assert (corrections["source"].str.len() > 10).all()
    assert (corrections["from"] != corrections["to"]).all()
    before = load_dataset("open_llm_leaderboard", corrected=False).frame.set_index("model")
    after = load_dataset("open_llm_leaderboard").frame.set_index("model")
    same = (before == after) | (before.isna() & after.isna())
    changed = {(m, c) for m, c in np.argwhere(~same.to_numpy())}
    cells = {
        (before.index.get_loc(r.model), before.columns.get_loc(r.column))
        for r in corrections.itertuples()
    }
    assert changed == cells
    for row in corrections.to_dict("records"):
        for frame, text in ((before, row["from"]), (after, row["to"])):
            value = frame.at[row["model"], row["column"]]
            if isinstance(value, str):
                assert value == text
            else:
                assert (np.isnan(value) and not text) or value == float(text)


@pytest.mark.parametrize(
    ("model", "column", "value"),
    [
        ("stablelm-2-1_6b-chat", "params_b", 1.6),
        ("pythia-12b", "tokens_t", 0.3),
        ("dolly-v2-12b", "tokens_t", 0.3),
        ("mixtral-8x22b-v0.1", "params_b", 39),
        ("recurrentgemma-9b-it", "MATH Lvl 5", 0.06),
        ("meta-llama-3-8b-instruct", "GPQA", 0.26),
    ],
)
def test_known_defects(model, column, value):
    assert load_dataset("open_llm_leaderboard").frame.set_index("model").at[model, column] == value


def test_mixtures_of_experts_enter_with_active_parameters():
    moe = pd.read_csv(FOLDER / "moe.csv").set_index("model")
    size = load_dataset("open_llm_leaderboard").frame.set_index("model")["params_b"]
    assert (size[moe.index] == moe["active_params_b"]).all()
    assert (moe["total_params_b"] > moe["active_params_b"]).all()


def test_a_correction_that_no_longer_fits_is_an_error():
    from sloth_bayes.table.leaderboard import _apply

    table = pd.DataFrame({"model": ["m"], "params_b": ["2"]})
    row = {"model": "m", "column": "params_b", "from": "1", "to": "3"}
    with pytest.raises(DataError, match="expects '1'"):
        _apply(table, pd.DataFrame([row]))
    with pytest.raises(DataError, match="not published"):
        _apply(table, pd.DataFrame([{**row, "model": "other"}]))


@pytest.mark.parametrize("corrected", [True, False])
def test_every_family_has_a_release_month(corrected):
    releases = load_dataset(corrected=corrected).releases
    assert releases.notna().all()
    assert releases.min() == pd.Period("2019-02", "M")
    assert releases.max() <= pd.Period("2024-08", "M")


def test_releases_are_sourced_and_not_after_an_upload():
    table = pd.read_csv(FOLDER / "releases.csv", keep_default_na=False)
    assert not table["family"].duplicated().any()
    assert set(table["family"]) == set(load_dataset("open_llm_leaderboard").families)
    assert table["month"].between(1, 12).all()
    assert (table["source"].str.len() > 10).all()
    data = load_dataset("open_llm_leaderboard")
    first = data.frame.groupby("family")["date"].min().dropna()
    # the leaderboard's dates of a few repositories precede their announcement by days
    late = [f for f, d in first.items() if data.releases[f] > d.to_period("M") + 1]
    assert not late


def test_subscores():
    table = load_subscores("open_llm_leaderboard")
    assert list(table.columns) == ["model", "benchmark", "subtask", "score"]
    assert table["score"].between(0, 1).all()
    assert not table.duplicated(["model", "benchmark", "subtask"]).any()
    models = table.groupby("benchmark")["model"].nunique().to_dict()
    assert models == {"MMLU": 149, "BBH": 111, "GPQA": 111, "MATH Lvl 5": 111, "MUSR": 111}
    assert set(table["model"]) <= set(load_dataset("open_llm_leaderboard").models)


def test_headline_rule_reproduces_all_but_the_listed_headlines():
    published = load_dataset("open_llm_leaderboard", corrected=False).frame.set_index("model")
    checked = pd.read_csv(FOLDER / "headline_check.csv")
    listed = set(zip(checked["model"], checked["benchmark"]))
    counts = checked["benchmark"].value_counts().to_dict()
    assert counts == {"MMLU": 19, "GPQA": 4, "MATH Lvl 5": 4, "BBH": 3, "MUSR": 2}
    for (model, benchmark), part in load_subscores("open_llm_leaderboard").groupby(
        ["model", "benchmark"]
    ):
        implied = headline(benchmark, dict(zip(part["subtask"], part["score"])))
        tolerance = 5.1e-5 if benchmark == "MMLU" else 0.005001
        close = abs(implied - published.at[model, benchmark]) <= tolerance
        assert close != ((model, benchmark) in listed)


def test_corrected_headlines_are_what_the_subscores_give():
    checked = pd.read_csv(FOLDER / "headline_check.csv").query("decision == 'corrected'")
    assert len(checked) == 9
    now = load_dataset("open_llm_leaderboard").frame.set_index("model")
    for row in checked.itertuples():
        assert now.at[row.model, row.benchmark] == round(row.from_subscores, 2)


def test_other_scores():
    table = pd.read_csv(FOLDER / "other_scores.csv")
    counts = table["benchmark"].value_counts().to_dict()
    assert counts == {"HumanEval": 86, "XWinograd": 77, "Arena-Elo": 4, "MTBench": 4}


def test_datasets_and_unknown_names():
    listing = datasets()
    counts = listing.set_index("name").loc["open_llm_leaderboard", ["models", "scores"]]
    assert counts.tolist() == [188, 1638]
    for load in (load_dataset, load_subscores, load_corrections):
        with pytest.raises(UnknownNameError, match="'open_llm_leaderboard'"):
            load("open_llm")


# --- rebuilding ---------------------------------------------------------------------------


@pytest.mark.long
def test_rebuild_is_byte_identical(tmp_path):
    written = rebuild.build(tmp_path)
    assert len(written) == 11
    for path in written:
        shipped_one = shipped("data") / path.relative_to(tmp_path)
        assert path.read_bytes() == shipped_one.read_bytes(), path.name


def test_rebuild_from_an_installed_package_needs_a_folder(monkeypatch):
    monkeypatch.setattr(rebuild, "checkout", lambda: None)
    with pytest.raises(FileFormatError, match="read-only"):
        rebuild.build()


def test_rebuild_names_what_is_wrong_with_the_raw_table(tmp_path):
    with pytest.raises(FileFormatError, match="cannot read the raw table"):
        rebuild.build(tmp_path / "out", raw=tmp_path)
    raw = tmp_path / "open_llm_leaderboard"
    raw.mkdir()
    (raw / "sloth_data_v2.csv").write_text("Model,Family\na,b\n")
    with pytest.raises(DataError, match="no column 'Family2'"):
        rebuild.build(tmp_path / "out", raw=tmp_path)
    source = (shipped("data") / "raw/open_llm_leaderboard/sloth_data_v2.csv").read_text()
    (raw / "sloth_data_v2.csv").write_text(source.replace("0.5042662116040956", "much"))
    with pytest.raises(DataError, match="ARC of model 'bloom' in the raw table is 'much'"):
        rebuild.build(tmp_path / "out", raw=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileFormatError, match="cannot write"):
        rebuild.build(tmp_path / "file")


def test_shipped_prefers_the_wheel_then_the_checkout(tmp_path):
    package = tmp_path / "sloth_bayes"
    package.mkdir()
    (tmp_path / "data").mkdir()
    with pytest.raises(FileFormatError, match="reinstall"):
        shipped("data", package)  # a folder called data beside any package is not ours
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\n')
    assert checkout(package) is None
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "sloth-bayes"\n')
    assert shipped("data", package) == tmp_path / "data"
    (package / "_shipped" / "data").mkdir(parents=True)
    assert shipped("data", package) == package / "_shipped" / "data"


def test_atomic_path_leaves_the_old_file_when_writing_fails(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail(path: Path) -> None:
        path.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError), atomic_path(target) as path:
        fail(path)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
