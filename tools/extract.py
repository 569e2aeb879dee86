"""Cut the big public dumps down to the rows that ``data/open_models/mapping.csv`` names.

``python -m tools.extract FOLDER`` writes the extracts below ``data/raw``. FOLDER holds the dumps
as published: ``open_llm_leaderboard_2025/huggingface_v1.csv.gz`` and ``huggingface_v2.csv.gz``,
``model_facts/epoch_language_models.csv`` and ``epoch_params_tokens_2026-05.csv``. Rows and columns
are as in the dumps, cell by cell; every run of a repository that is named is kept.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from sloth_bayes.support.files import atomic_path

_DATA = Path(__file__).resolve().parents[1] / "data"
_LEADERBOARD = "open_llm_leaderboard_2025"
_FACTS = ("epoch_language_models.csv", "epoch_params_tokens_2026-05.csv")
# dump, extract, column that names a row, column of the mapping that holds such names
_DUMPS = [
    *(
        (
            f"{_LEADERBOARD}/huggingface_{v}.csv.gz",
            f"{_LEADERBOARD}/{v}.csv",
            key,
            f"leaderboard_{v}",
        )
        for v, key in (("v1", "fullname"), ("v2", "model_name"))
    ),
    *((f"model_facts/{name}", f"model_facts/{name}", "Model", "tokens_fact") for name in _FACTS),
]


def extract(dumps: Path, data: Path = _DATA) -> list[Path]:
    """Write the four extracts; the files written."""
    mapping = pd.read_csv(data / "open_models" / "mapping.csv", dtype="str", keep_default_na=False)
    written = []
    for dump, name, key, column in _DUMPS:
        wanted = {part for cell in mapping[column] for part in cell.split(" + ")} - {""}
        rows = pd.read_csv(dumps / dump, dtype="str", keep_default_na=False)
        missing = sorted(wanted - set(rows[key].str.strip())) if column != "tokens_fact" else []
        if missing:
            raise SystemExit(f"{dump} has no row {', '.join(missing)}: correct mapping.csv.")
        path = data / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            rows[rows[key].str.strip().isin(wanted)].to_csv(
                temporary, index=False, lineterminator="\n"
            )
        written.append(path)
    return written


if __name__ == "__main__":
    for path in extract(Path(sys.argv[1])):
        print(f"wrote {path}")
