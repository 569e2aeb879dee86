"""The joint table of open leaderboards: sane, sourced, complete, and rebuilt to the byte."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sloth_bayes.errors import DataError
from sloth_bayes.support.files import read_cells
from sloth_bayes.support.shipped import shipped
from sloth_bayes.table import open_models
from sloth_bayes.table.benchmarks import settings
from sloth_bayes.table.leaderboard import (
    Leaderboard,
    load_corrections,
    load_dataset,
    load_subscores,
)

FOLDER = shipped("data") / "open_models"
RAW = shipped("data") / "raw"
V1 = ("MMLU", "ARC", "HellaSwag", "Winogrande", "TruthfulQA", "GSM8K")
V2 = ("IFEval", "BBH", "MATH Lvl 5", "GPQA", "MUSR", "MMLU-PRO")


@pytest.fixture(scope="module")
def data() -> Leaderboard:
    return load_dataset("open_models")


@pytest.fixture(scope="module")
def models() -> pd.DataFrame:
    return pd.read_csv(FOLDER / "models.csv").set_index("model")


@pytest.fixture(scope="module")
def mapping() -> pd.DataFrame:
    return read_cells(FOLDER / "mapping.csv").set_index("model")


@pytest.fixture(scope="module")
def sources() -> pd.DataFrame:
    return read_cells(FOLDER / "sources.csv")


def test_counts(data, models):
    assert (len(data), len(data.families), len(data.lineages)) == (461, 243, 98)
    assert len(data.benchmarks) == 36
    assert data.n_scores == 4688
    assert models["kind"].value_counts().to_dict() == {
        "base": 223,
        "instruct": 205,
        "reasoning": 33,
    }


# --- models -------------------------------------------------------------------------------


def test_models_are_unique_and_sizes_and_tokens_sane(data, models):
    assert models.index.is_unique
    frame = data.frame.set_index("model")
    assert frame["params_b"].dropna().between(0.05, 200).all()
    assert frame["tokens_t"].dropna().between(0.01, 40).all()
    unknown = set(frame.index[frame["params_b"].isna()])
    assert all(name.startswith(("gpt-4", "gpt-5", "o3", "tanuki-8x8b")) for name in unknown)
    assert len(unknown) == 8
    # no size is written where the name says another
    for name, size in frame["params_b"].items():
        said = re.search(r"(?:-|(?<!-\d)_)(\d+(?:\.\d+)?)b(?:[-_]|$)", name)
        if said and pd.isna(models.at[name, "total_params_b"]):
            assert abs(size / float(said[1]) - 1) < 0.16, name


def test_kind_and_instruct_agree_and_are_one_a_family(models):
    assert (models["instruct"] == (models["kind"] != "base")).all()
    assert (models.groupby("family")["kind"].nunique() == 1).all()


def test_a_family_is_within_one_lineage(models):
    assert (models.groupby("family")["lineage"].nunique() == 1).all()


def test_the_former_table_is_within_the_joint_one(data):
    old = load_dataset("open_llm_leaderboard").frame.set_index("model")
    new = data.frame.set_index("model").loc[old.index]
    for column in ("family", "lineage", "instruct", "params_b", "tokens_t"):
        pd.testing.assert_series_equal(new[column], old[column])
    for benchmark in V1:
        there = old[benchmark].notna()
        assert (new.loc[there, benchmark] == old.loc[there, benchmark]).all()
    assert (
        data.releases[list(load_dataset("open_llm_leaderboard").families)]
        == load_dataset("open_llm_leaderboard").releases
    ).all()


def test_mixtures_enter_with_active_parameters(data, models):
    size = data.frame.set_index("model")["params_b"]
    corrected = Leaderboard.from_csv(FOLDER / "models.csv", ["MMLU"]).frame.set_index("model")
    moe = models[models["total_params_b"].notna()]
    assert len(moe) > 25
    active = size[moe.index].dropna()
    assert (moe.loc[active.index, "total_params_b"] > active).all()
    assert (moe["active_params_b"].dropna() == corrected["params_b"][moe.index].dropna()).all()
    assert size["llm-jp-4-32b-a3b-thinking"] == 3
    assert size["qwen3-30b-a3b-base"] == 3


@pytest.mark.parametrize(
    ("model", "size"), [("qwen3-0.6b", 0.6), ("qwen3-1.7b", 1.7), ("qwen3-4b", 4)]
)
def test_small_qwen3_have_their_own_sizes(data, models, model, size):
    assert data.frame.set_index("model").at[model, "params_b"] == size
    assert models.at[model, "params_b"] < size


def test_sizes_fit_those_of_swallow(data, mapping, models):
    size = data.frame.set_index("model")["params_b"]
    for name, file in (("swallow_base", "base_2026-05.csv"), ("swallow_post", "post_2026-05.csv")):
        rows = pd.read_csv(RAW / "swallow_leaderboard" / file).set_index("model")
        named = mapping.loc[mapping[name] != "", name]
        for model, theirs in named.items():
            ours = models.at[model, "total_params_b"]
            ours = size[model] if np.isnan(ours) else ours
            published = rows.at[theirs, "params_b"]
            if published == 0:  # unknown
                assert np.isnan(ours), model
            else:
                assert abs(ours / published - 1) < 0.31, model


def test_families_of_several_tables_are_one(data):
    frame = data.frame.set_index("model")
    qwen = frame[frame["family"] == "qwen2.5"]
    assert len(qwen) == 7
    assert qwen[["MMLU-PRO", "MMLU (Swallow)"]].notna().all(axis=None)
    assert set(data.frame.loc[data.frame["lineage"] == "qwen3", "family"]) >= {"qwen3", "qwen3-moe"}


def test_months_of_release(models):
    months = pd.PeriodIndex(models["released"], freq="M")
    assert months.min() == pd.Period("2019-02", "M")
    assert months.max() == pd.Period("2026-04", "M")


# --- tokens -------------------------------------------------------------------------------


def test_tokens_are_verified_only_where_the_fact_agrees(models):
    checks = models["tokens_check"].value_counts(dropna=False).to_dict()
    assert checks == {"verified": 274, "unverified": 86, np.nan: 101}
    assert (models["tokens_check"].isna() == models["tokens_t"].isna()).all()
    assert models.loc[models["tokens_t"].notna(), "tokens_source"].str.len().min() > 5
    sure = models[models["tokens_check"] == "verified"]
    assert (sure["tokens_fact_t"] / sure["tokens_t"]).between(0.95, 1.0527).all()
    doubtful = models[(models["tokens_check"] == "unverified") & models["tokens_fact_t"].notna()]
    off = doubtful["tokens_fact_t"] / doubtful["tokens_t"]
    assert not off.between(0.955, 1.05).any()
    assert {"phi-2", "starcoder2-15b"} <= set(doubtful.index)


def test_pythia_has_its_tokens(data):
    frame = data.frame
    assert (frame.loc[frame["lineage"] == "pythia", "tokens_t"] == 0.3).all()


# --- benchmarks ---------------------------------------------------------------------------


def test_every_benchmark_is_described_and_above_its_chance(data):
    frame = data.frame
    for b in data.benchmarks:
        scores = frame[b.name].dropna()
        assert len(scores) >= 30, b.name
        assert scores.between(0, 1).all(), b.name
        assert b.chance < scores.max(), b.name
        assert b.n_questions is not None, b.name
    said = settings("open_models")
    assert set(said) == set(data.benchmark_names)
    assert said["GSM8K (Swallow)"] == "4-shot exact_match, CoT"
    assert all(said.values())


def test_what_asks_the_same_questions_and_whose_options_are_letters(data):
    about = {b.name: b for b in data.benchmarks}
    sets = {name: b.questions for name, b in about.items() if b.questions}
    assert sets == {
        "MMLU (Swallow)": "MMLU",
        "GSM8K (Swallow)": "GSM8K",
        "BBH (Swallow)": "BBH",
        "MMLU-Pro (Swallow)": "MMLU-PRO",
        "MATH-500 (Swallow)": "MATH (Swallow)",
    }
    letters = {name for name, b in about.items() if b.chance_sd}
    assert letters == {"MMLU", "MMLU (Swallow)", "MMLU-PRO", "GPQA"}
    assert all(about[name].chance_sd < about[name].chance / 5 for name in letters)


def test_scores_are_steps_of_what_is_said(models):
    for name, count in {
        "OpenBookQA (Swallow)": 500,
        "MATH (Swallow)": 500,
        "HumanEval (Swallow)": 1640,
        "IFBench (Swallow)": 344,
        "GPQA Diamond (Swallow)": 792,
        "MATH-500 (Swallow)": 500,
    }.items():
        scores = models[name].dropna()
        steps = (np.round(scores * count) / count).round(3)
        np.testing.assert_allclose(steps, scores, atol=1e-9, err_msg=name)


@pytest.mark.parametrize(
    ("name", "count"),
    [("MMLU-PRO", 12032), ("GPQA", 1192), ("MATH Lvl 5", 1324), ("IFEval", 2 * 541 * 834)],
)
def test_v2_runs_answered_all_questions(data, name, count):
    steps = data.frame[name].dropna() * count
    np.testing.assert_allclose(steps, np.round(steps), rtol=0, atol=1e-3)


def test_every_model_has_a_score(data):
    assert data.frame[list(data.benchmark_names)].notna().any(axis=1).all()


def test_every_column_of_a_source_enters_or_says_why_not(data):
    columns = read_cells(FOLDER / "columns.csv")
    assert set(columns["benchmark"]) - {""} == set(data.benchmark_names)
    assert (columns.loc[columns["benchmark"] == "", "reason"].str.len() > 10).all()
    for name, file in {
        "swallow_base": "base_2026-05.csv",
        "swallow_post": "post_2026-05.csv",
        "swallow_v1": "v1.0_2025-06.csv",
    }.items():
        table = read_cells(RAW / "swallow_leaderboard" / file)
        describes = {"model", "name", "date", "params_b", "active_b", "family", "base", "reasoning"}
        assert set(table.columns) - describes == set(
            columns.loc[columns["table"] == name, "column"]
        )


def test_editions_are_joined_where_they_are_the_same_evaluation():
    folder = RAW / "swallow_leaderboard"
    new, old = (
        pd.read_csv(folder / file).set_index("model")
        for file in ("base_2026-05.csv", "v1.0_2025-06.csv")
    )
    shared = new.index.intersection(old.index)
    assert len(shared) == 40
    columns = read_cells(FOLDER / "columns.csv")
    joined = columns[(columns["table"] == "swallow_v1") & (columns["benchmark"] != "")]["column"]
    for column in joined:
        assert (new.loc[shared, column] == old.loc[shared, column]).all(), column
    assert "BBH" not in set(joined)
    assert ((new.loc[shared, "BBH"] - old.loc[shared, "BBH"]).abs() > 0.02).sum() == 23


# --- sources ------------------------------------------------------------------------------


def test_each_source_row_is_used_or_left_out_with_a_reason(sources):
    assert not sources.duplicated(["table", "row"]).any()
    left = sources[sources["used"] == "no"]
    assert (left["reason"].str.len() > 10).all()
    assert (sources.loc[sources["used"] == "yes", "model"] != "").all()
    counts = sources.groupby("table").size().to_dict()
    raw = {
        "leaderboard_v1": RAW / "open_llm_leaderboard_2025/v1.csv",
        "leaderboard_v2": RAW / "open_llm_leaderboard_2025/v2.csv",
        "swallow_base": RAW / "swallow_leaderboard/base_2026-05.csv",
        "swallow_post": RAW / "swallow_leaderboard/post_2026-05.csv",
        "swallow_v1": RAW / "swallow_leaderboard/v1.0_2025-06.csv",
    }
    assert counts == {name: len(read_cells(path)) for name, path in raw.items()}
    # one run of a model and table, and every model of the table has a source
    used = sources[sources["used"] == "yes"]
    assert not used.duplicated(["table", "model"]).any()


def test_every_row_of_the_list_of_models_is_in_the_table(models, mapping):
    more = read_cells(RAW / "open_llm_leaderboard_2025/more_models.csv").set_index("model")
    assert set(more.index) <= set(models.index)
    assert (mapping.loc[more.index, "leaderboard_v2"] == more["fullname"]).all()
    for benchmark in V2:  # MATH: the final version
        theirs = pd.to_numeric(more[benchmark])
        np.testing.assert_allclose(models.loc[more.index, benchmark], theirs, atol=1e-9)
    odd = mapping.loc[more.index, "family"] != more["family"]
    assert (mapping.loc[odd.index[odd], "note"] != "").all()
    assert (mapping.loc[more.index, "lineage"] == more["lineage"]).all()


def test_math_is_of_one_version_and_v2_is_not_rounded(models):
    runs = pd.read_csv(RAW / "open_llm_leaderboard_2025/v2.csv").set_index("id")
    used = read_cells(FOLDER / "sources.csv").query("table == 'leaderboard_v2' and used == 'yes'")
    math = runs.loc[used["row"], "evaluations_math_value"].to_numpy()
    np.testing.assert_allclose(models.loc[used["model"], "MATH Lvl 5"], math, atol=1e-12)
    assert models.at["qwen2.5-72b-instruct", "MATH Lvl 5"] > 0.59


def test_the_rule_for_several_runs(sources):
    runs = sources[sources["table"] == "leaderboard_v2"].set_index("row")["used"]
    name = "meta-llama/Meta-Llama-3-8B-Instruct_"
    mine = runs[runs.index.str.startswith(name)]
    assert {row.split("_")[1]: use for row, use in mine.items()} == {
        "bfloat16": "yes",
        "float16": "no",
    }
    assert not runs[runs.index.str.contains("4bit|8bit")].eq("yes").any()


# --- corrections --------------------------------------------------------------------------


def test_corrections_are_sourced_and_applied(data):
    corrections = load_corrections("open_models")
    assert list(corrections) == ["model", "column", "from", "to", "source", "note"]
    assert not corrections.duplicated(["model", "column"]).any()
    assert (corrections[["source", "note"]].map(len) > 10).all(axis=None)
    frame = data.frame.set_index("model")
    for row in corrections[corrections["to"] == ""].itertuples():
        assert np.isnan(frame.at[row.model, row.column])
    published = load_dataset("open_models", corrected=False)
    assert published.n_scores - data.n_scores == (corrections["to"] == "").sum()


@pytest.mark.parametrize(
    ("model", "column"),
    [
        ("sarashina2-70b", "GSM8K (Swallow)"),
        ("llama-4-scout-17b-16e", "BBH (Swallow)"),
        ("aya-expanse-8b", "HumanEval (Swallow)"),
        ("calm3-22b-chat", "HumanEval (Swallow)"),
        ("phi-4", "IFEval"),
        ("dbrx-base", "MMLU-PRO"),
        ("internlm2-7b", "BBH"),
        ("glm-4-9b-chat", "MATH Lvl 5"),
        ("llama-3.1-70b", "IFEval"),
    ],
)
def test_known_failures_are_not_used(data, model, column):
    assert np.isnan(data.frame.set_index("model").at[model, column])
    assert not np.isnan(
        load_dataset("open_models", corrected=False).frame.set_index("model").at[model, column]
    )


def test_no_base_model_keeps_ifeval_from_a_chat_template(data, models):
    base = models[(models["kind"] == "base") & models["chat_template"].eq(True)].index
    assert data.frame.set_index("model").loc[base, "IFEval"].isna().all()


def test_every_remark_has_a_decision():
    more = read_cells(RAW / "open_llm_leaderboard_2025/more_models.csv")
    said = {
        (row.model, remark)
        for row in more.itertuples()
        for remark in row.remarks.split("; ")
        if remark
    }
    decided = read_cells(FOLDER / "remarks.csv")
    assert said == set(zip(decided["model"], decided["remark"]))
    assert set(decided["decision"]) == {"kept", "unused"}
    corrections = load_corrections("open_models")
    cells = set(zip(corrections["model"], corrections["column"]))
    for row in decided.itertuples():
        assert ((row.model, row.column) in cells) == (row.decision == "unused")


# --- links, rebuilding --------------------------------------------------------------------


def test_links_are_counted(data):
    shared = data.shared_models()
    assert (shared == shared.T).all(axis=None)
    assert dict(zip(shared.index, np.diag(shared))) == {
        "v1": 208,
        "v2": 293,
        "Swallow base": 133,
        "Swallow post": 41,
        "Swallow MT-Bench": 41,
    }
    assert shared.at["v1", "v2"] == 147
    assert shared.at["v2", "Swallow base"] == 55
    assert shared.at["v2", "Swallow post"] == 2
    frame = data.frame
    has = frame[[*V1]].notna().any(axis=1) & frame["MMLU (Swallow)"].notna()
    assert shared.at["v1", "Swallow base"] == has.sum()


def test_links_leave_benchmarks_of_no_leaderboard_aside():
    table = pd.DataFrame(
        {"model": ["a", "b"], "family": "f", "params_b": 1, "tokens_t": 1, "MMLU": 0.5, "x": 0.1}
    )
    shared = Leaderboard.from_frame(table, ["MMLU", "x"]).shared_models()
    assert shared.to_dict() == {"v1": {"v1": 2}}


def test_what_was_added_is_small():
    folders = [
        FOLDER,
        *(
            RAW / name
            for name in ("open_llm_leaderboard_2025", "swallow_leaderboard", "model_facts")
        ),
    ]
    files = [path for folder in folders for path in folder.iterdir()]
    assert sum(path.stat().st_size for path in files) < 2_000_000
    for folder in folders[1:]:
        assert list(folder.glob("LICENSE*")), folder


def test_there_are_no_subscores():
    with pytest.raises(DataError, match="'open_models' has no sub-scores"):
        load_subscores("open_models")


@pytest.fixture
def workshop(tmp_path: Path):
    """A copy of the hand-made files to spoil, and how to build from it."""
    folder = tmp_path / "sources"
    shutil.copytree(FOLDER, folder)
    old = read_cells(shipped("data") / "open_llm_leaderboard" / "models.csv")

    def build(file: str, change) -> None:
        path = folder / file
        change(read_cells(path)).to_csv(path, index=False)
        open_models.build(tmp_path, folder, RAW, old.set_index("model", drop=False))

    return build


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("mapping.csv", lambda t: pd.concat([t, t.tail(1)]), "in mapping.csv twice"),
        ("mapping.csv", lambda t: t.assign(kind=t["kind"].replace("base", "bass")), "it is one of"),
        ("mapping.csv", lambda t: t[t["model"] != "qwen3-4b"], "'Qwen/Qwen3-4B' .* left_out.csv"),
        ("mapping.csv", lambda t: t.replace("Qwen/Qwen3-4B", "Qwen/Qwen3-5B"), "no row of that"),
        ("mapping.csv", lambda t: t.replace("Qwen3-4B", "Qwen3-5B"), "tokens_fact of model 'qwen3"),
        ("mapping.csv", lambda t: t.replace("openai/gpt-oss-20b", "openai/gpt-oss-120b"), "two mo"),
        (
            "columns.csv",
            lambda t: t.assign(
                benchmark=t["benchmark"].mask(
                    (t["table"] == "swallow_v1") & (t["column"] == "BBH"), "BBH (Swallow)"
                )
            ),
            "two sources give BBH",
        ),
    ],
)
def test_the_build_says_what_does_not_fit(workshop, file, change, said):
    with pytest.raises(DataError, match=said):
        workshop(file, change)
