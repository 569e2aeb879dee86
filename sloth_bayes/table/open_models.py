"""Rebuild ``data/open_models``: one table of every open leaderboard that ships.

``mapping.csv``, by hand, says for each model what it is and what each source calls it.
``columns.csv``, by hand, says which column of a source is which benchmark, or why it is none.
Everything else follows from the raw files. Scores are copied as published; those that must not
be used are emptied by ``corrections.csv`` when the data set is loaded.
"""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from ..errors import DataError
from ..support.files import new_file, read_cells

NAME = "open_models"
_DESCRIBES = [
    *("model", "family", "lineage", "kind", "instruct", "variant"),
    *("params_b", "active_params_b", "total_params_b"),
    *("tokens_t", "tokens_check", "tokens_fact_t", "tokens_source"),
    *("released", "chat_template", "reasoning"),
]
_KINDS = ("base", "instruct", "reasoning")
_SWALLOW = {
    "swallow_base": "base_2026-05.csv",
    "swallow_v1": "v1.0_2025-06.csv",
    "swallow_post": "post_2026-05.csv",
}
_FACTS = ("epoch_params_tokens_2026-05.csv", "epoch_language_models.csv")
_TOKENS = (
    *("D_actual", "Training dataset size (datapoints)"),
    "(DEPRECATED) Training dataset size (datapoints)",
)
_AGREES = 0.05


def build(out: Path, sources: Path, raw: Path, shipped: pd.DataFrame) -> list[Path]:
    """Write ``models.csv`` and ``sources.csv`` of the joint table.

    Parameters
    ----------
    out
        The folder to write to; it exists.
    sources
        The folder with ``mapping.csv``, ``columns.csv``, ``left_out.csv`` and ``benchmarks.csv``.
    raw
        The folder of the raw files.
    shipped
        Published scores of the former table (text, by model): its v1 columns are taken.

    Returns
    -------
    list of pathlib.Path
        The files written.

    Raises
    ------
    DataError
        A row of a source is neither mapped nor left out, or a name in the mapping is in no source.
    """
    mapping = read_cells(sources / "mapping.csv").set_index("model", drop=False)
    if mapping.index.has_duplicates:
        twice = mapping.index[mapping.index.duplicated()][0]
        raise DataError(f"model {twice!r} is in mapping.csv twice: keep one row a model.")
    wrong = mapping.loc[~mapping["kind"].isin(_KINDS), "kind"]
    if len(wrong):
        raise DataError(
            f"kind of model {wrong.index[0]!r} in mapping.csv is {wrong.iloc[0]!r}: "
            f"it is one of {', '.join(_KINDS)}."
        )
    benchmarks = list(read_cells(sources / "benchmarks.csv")["name"])
    runs = [*_leaderboard_runs(mapping, raw), *_swallow_runs(mapping, sources, raw)]
    used = pd.concat(runs, ignore_index=True)
    models = _described(mapping, raw)
    models = models.reindex(columns=[*_DESCRIBES, *benchmarks], fill_value="").astype("str")
    old = [b for b in benchmarks if b in shipped and (shipped[b] != "").any()]
    v1 = [column for column in old if column not in _renamed(sources, "leaderboard_v2").values()]
    models.update(shipped[v1][shipped[v1] != ""])
    for table, rows in used[used["used"] == "yes"].groupby("table", sort=False):
        _fill(models, str(table), rows, _renamed(sources, str(table)))
    models = models.reset_index(drop=True)
    models = models.sort_values(["lineage", "family", "params_b", "model"], key=_sorts_by)
    tables = {
        "models.csv": models,
        "sources.csv": used[["table", "row", "model", "used", "reason"]],
    }
    for name, table in tables.items():
        with new_file(out / name) as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")
    return [out / name for name in tables]


def _sorts_by(column: pd.Series) -> pd.Series:
    return pd.to_numeric(column).fillna(math.inf) if column.name == "params_b" else column


def _renamed(sources: Path, table: str) -> dict[str, str]:
    """Column of a source to benchmark, for the columns that are one."""
    rows = read_cells(sources / "columns.csv")
    rows = rows[(rows["table"] == table) & (rows["benchmark"] != "")]
    return dict(zip(rows["column"], rows["benchmark"]))


def _leaderboard_runs(mapping: pd.DataFrame, raw: Path) -> list[pd.DataFrame]:
    """Every run in the extracts of the dumps, with the one to use of each model marked.

    Of several runs of a repository, leaderboard v2: with the chat template as its kind asks
    (tuned models with, base models without), then bfloat16, then the latest submission.
    Leaderboard v1: not quantised, then the latest date.
    """
    folder = raw / "open_llm_leaderboard_2025"
    v1, v2 = read_cells(folder / "v1.csv"), read_cells(folder / "v2.csv")
    names = _names(mapping, "leaderboard_v2", v2["model_name"])
    v2 = v2.assign(table="leaderboard_v2", row=v2["id"], model=v2["model_name"].map(names))
    tuned = (v2["model"].map(mapping["kind"]) != "base").map({True: "True", False: "False"})
    v2["rank"] = list(
        zip(
            v2["model_has_chat_template"] == tuned,
            v2["model_precision"] == "bfloat16",
            v2["metadata_submission_date"],
        )
    )
    names = _names(mapping, "leaderboard_v1", v1["fullname"])
    row = v1["fullname"] + " " + v1["precision"] + " " + v1["model_sha"]
    v1 = v1.assign(table="leaderboard_v1", row=row, model=v1["fullname"].map(names))
    v1["rank"] = list(zip(~v1["precision"].isin(["4bit", "8bit"]), v1["date"]))
    for runs in (v1, v2):
        best = runs.groupby("model")["rank"].transform("max") == runs["rank"]
        best &= ~runs[best].duplicated("model").reindex(runs.index, fill_value=False)
        runs["used"] = best.map({True: "yes", False: "no"})
        runs["reason"] = best.map({True: "", False: "another run of the same repository"})
    percent = [c for c in v1.columns if c in _COLUMNS_V1]
    v1[percent] = v1[percent].map(lambda text: text and _short(float(text) / 100))
    return [v1, v2]


_COLUMNS_V1 = ("arc", "hellaswag", "mmlu", "truthfulqa", "winogrande", "gsm8k")


def _swallow_runs(mapping: pd.DataFrame, sources: Path, raw: Path) -> list[pd.DataFrame]:
    """The rows of the Swallow tables; a negative number there is a missing one."""
    left_out = read_cells(sources / "left_out.csv").set_index(["table", "row"])["reason"]
    tables = []
    for name, file in _SWALLOW.items():
        rows = read_cells(raw / "swallow_leaderboard" / file).rename(columns={"model": "row"})
        names = _names(mapping, name, rows["row"])
        rows = rows.assign(table=name, model=rows["row"].map(names))
        keys = pd.MultiIndex.from_frame(rows[["table", "row"]])
        rows["reason"] = left_out.reindex(keys).fillna("").to_numpy()
        homeless = rows[rows["model"].isna() & (rows["reason"] == "")]
        if len(homeless):
            raise DataError(
                f"row {homeless['row'].iloc[0]!r} of {file} is neither in mapping.csv nor in "
                "left_out.csv: say there what it is."
            )
        rows["used"] = rows["model"].notna().map({True: "yes", False: "no"})
        scores = [c for c in _renamed(sources, name) if c in rows]
        rows[scores] = rows[scores].mask(rows[scores].apply(pd.to_numeric) < 0, "")
        tables.append(rows.fillna({"model": ""}))
    return tables


def _names(mapping: pd.DataFrame, column: str, found: pd.Series) -> dict[str, str]:
    """What a source calls a model, to our name of it."""
    named = mapping.loc[mapping[column] != "", column]
    lost = named[~named.isin(found)]
    if len(lost):
        raise DataError(
            f"{column} of model {lost.index[0]!r} in mapping.csv is {lost.iloc[0]!r}, "
            "which is no row of that source."
        )
    if named.duplicated().any():
        twice = named[named.duplicated()].iloc[0]
        raise DataError(f"{twice!r} stands for two models in column {column} of mapping.csv.")
    return {theirs: ours for ours, theirs in named.items()}


def _described(mapping: pd.DataFrame, raw: Path) -> pd.DataFrame:
    """What is known of each model, with its tokens checked against Epoch AI's tables."""
    models = mapping.copy()
    models["instruct"] = (models["kind"] != "base").map({True: "true", False: "false"})
    mixture = models["total_params_b"] != ""
    models["active_params_b"] = models["params_b"].where(mixture, "")
    facts = _facts(raw)
    for model, row in models.iterrows():
        stated, named = row["tokens_t"], row["tokens_fact"]
        check, fact = "unverified" if stated else "", ""
        if named:
            known = [facts.get(part, []) for part in named.split(" + ")]
            if not all(known):
                raise DataError(
                    f"tokens_fact of model {model!r} in mapping.csv is {named!r}: "
                    "no such entry with tokens in the tables of Epoch AI."
                )
            # an entry may count words or unique tokens in one table and tokens in the other
            sums = [sum(values[0] for values in known)]
            if len(known) == 1:
                sums = known[0]
            best = min(sums, key=lambda value: abs(value - float(stated or value)))
            fact = _short(best)
            if stated and abs(best - float(stated)) <= _AGREES * max(best, float(stated)):
                check = "verified"
        models.loc[model, ["tokens_check", "tokens_fact_t"]] = [check, fact]
    return models


def _facts(raw: Path) -> dict[str, list[float]]:
    """Training tokens, in trillions, of each entry of Epoch AI's tables, the surer first."""
    facts: dict[str, list[float]] = {}
    for file in _FACTS:
        for row in read_cells(raw / "model_facts" / file).to_dict("records"):
            for column in _TOKENS:
                if row.get(column):
                    facts.setdefault(row["Model"].strip(), []).append(float(row[column]) / 1e12)
    return facts


def _short(value: float) -> str:
    return f"{value:.6g}"


def _fill(
    models: pd.DataFrame, table: str, rows: pd.DataFrame, benchmark_of: dict[str, str]
) -> None:
    """Put the scores of one source into the table; a score that is there must be the same."""
    rows = rows.set_index("model")
    if table == "leaderboard_v2":
        models.loc[rows.index, "chat_template"] = rows["model_has_chat_template"].str.lower()
    if table == "swallow_post":
        models.loc[rows.index, "reasoning"] = rows["reasoning"].replace("", "off")
    for column, benchmark in benchmark_of.items():
        there = models.loc[rows.index, benchmark]
        differs = (there != "") & (rows[column] != "") & (there != rows[column])
        if differs.any():
            model = differs.index[differs][0]
            raise DataError(
                f"two sources give {benchmark} of model {model!r}: {there[model]} and "
                f"{rows.at[model, column]} in {table}. Leave one out in columns.csv."
            )
        models.loc[rows.index, benchmark] = rows[column].where(rows[column] != "", there)
