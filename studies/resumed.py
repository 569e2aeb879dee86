"""Studies that go on where they were cut off: a row a table, kept in a CSV file."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from sloth_bayes.support.kept import keep, kept, only_writer


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
    found: list[dict[str, Any]] = []
    with only_writer(out) if out is not None else contextlib.nullcontext():
        tables = list(tables)
        text = [name for name in by if tables and isinstance(getattr(tables[0], name), str)]
        done = None if out is None else kept(out, text)
        if done is not None:
            found = done.to_dict("records")
        seen = {tuple(str(row[name]) for name in by) for row in found}
        for table in tables:
            if tuple(str(getattr(table, name)) for name in by) in seen:
                continue
            found.append(evaluate(table))
            if out is not None:
                keep(out, pd.DataFrame(found))
            print(said(found[-1]), file=sys.stderr, flush=True)
        done = None if out is None else kept(out, text)
    return pd.DataFrame(found) if done is None else done
