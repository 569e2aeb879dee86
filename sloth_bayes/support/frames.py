"""Tables that users hand over: of pandas, or of any library that narwhals knows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def as_pandas(table: Any, what: str = "a table") -> pd.DataFrame:
    """A table as a pandas one, with names in its index as columns.

    Parameters
    ----------
    table
        A DataFrame of pandas, polars, PyArrow or another library that narwhals reads.
    what
        What it is, for the error.

    Raises
    ------
    DataError
        It is none of these.

    Examples
    --------
    >>> import pandas as pd
    >>> as_pandas(pd.DataFrame({"MMLU": [0.5]}, index=pd.Index(["a"], name="model")))
      model  MMLU
    0     a   0.5
    """
    import pandas as pd

    if not isinstance(table, pd.DataFrame):
        table = _converted(table, what)
    named = [name for name in table.index.names if name is not None and name not in table.columns]
    return table.reset_index(named) if named else table


def is_frame(table: Any) -> bool:
    """Whether something is a table that :func:`as_pandas` takes."""
    import pandas as pd

    return isinstance(table, pd.DataFrame) or _narwhals(table) is not None


def _narwhals(table: Any) -> Any:
    """The table as narwhals sees it, or None."""
    if table is None or isinstance(table, str | bytes | int | float | dict | list | tuple):
        return None
    import narwhals as nw

    try:
        seen = nw.from_native(table)
    except TypeError:
        return None
    return seen if isinstance(seen, nw.DataFrame | nw.LazyFrame) else None


def _converted(table: Any, what: str) -> pd.DataFrame:
    import pandas as pd

    seen = _narwhals(table)
    if seen is None:
        raise DataError(f"{what} is a DataFrame (of pandas or polars), not {type(table).__name__}.")
    import narwhals as nw

    seen = seen.collect() if isinstance(seen, nw.LazyFrame) else seen
    # column by column: polars' own way to pandas needs PyArrow
    return pd.DataFrame(seen.to_dict(as_series=False))


def listed(names: str | Iterable[str]) -> list[str]:
    """Names as a list; one string is one name.

    Examples
    --------
    >>> listed("MMLU"), listed(("MMLU", "GSM8K"))
    (['MMLU'], ['MMLU', 'GSM8K'])
    """
    if isinstance(names, str):
        return [names]
    if not isinstance(names, Iterable):
        raise DataError(f"names are text, or a list of it, not {type(names).__name__}")
    return list(names)
