"""Studies that go on where they were cut off: a row a table, appended to a CSV file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd


def rows(
    tables: Iterable[Any],
    evaluate: Callable[[Any], dict[str, Any]],
    out: Path | None,
    said: Callable[[dict[str, Any]], str],
    by: tuple[str, ...] = ("seed",),
) -> pd.DataFrame:
    """Rows of the tables that `out` does not hold yet, after those that it holds.

    Parameters
    ----------
    tables
        With attributes named as in `by`, which tell them apart, and the columns that hold them.
    evaluate
        The row of a table.
    out
        The file; None keeps nothing.
    said
        What to write to standard error of a row.
    """
    done = pd.read_csv(out) if out is not None and out.exists() else pd.DataFrame()
    seen = {tuple(row) for row in done[list(by)].to_numpy(object)} if len(done) else set()
    found = []
    for table in tables:
        if tuple(getattr(table, name) for name in by) in seen:
            continue
        row = evaluate(table)
        found.append(row)
        if out is not None:
            pd.DataFrame([row]).to_csv(out, mode="a", header=not out.exists(), index=False)
        print(said(row), file=sys.stderr)
    return pd.concat([done, pd.DataFrame(found)], ignore_index=True)
