"""Files: written so that a reader never meets half of one, and tables read from them."""

from __future__ import annotations

import contextlib
import csv
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError, FileFormatError

if TYPE_CHECKING:
    import pandas as pd


# Endings of the files that are read as tables
TABLES = (".csv", ".parquet", ".pq", ".xlsx", ".xls")


def user_path(path: str | os.PathLike[str]) -> Path:
    """A path that a user gives: ``~`` is the home folder, and an empty one is an error.

    Raises
    ------
    FileFormatError
        The path is empty, or there is no home folder of that name.

    Examples
    --------
    >>> user_path("~/mine.nc") == Path.home() / "mine.nc"
    True
    """
    if not os.fspath(path):
        raise FileFormatError("a path is empty: name a file.")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise FileFormatError(
            f"cannot find {path}: there is no home folder of that name; write the path in full."
        ) from None


@contextlib.contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `target` that becomes `target` when the block succeeds.

    Parameters
    ----------
    target
        The file to write. Its folder must exist; a file already there is replaced.

    Yields
    ------
    pathlib.Path
        A path beside it, so that the final rename stays on one file system. It is removed
        when the block raises, and `target` is then left as it was.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_path(folder / "a.txt") as path:
    ...     _ = path.write_text("done")
    >>> [p.name for p in folder.iterdir()], (folder / "a.txt").read_text()
    (['a.txt'], 'done')
    """
    target = Path(target)
    with tempfile.TemporaryDirectory(prefix=f".{target.stem}-", dir=target.parent) as folder:
        temporary = Path(folder) / target.name
        yield temporary
        temporary.replace(target)


@contextlib.contextmanager
def new_file(target: str | os.PathLike[str]) -> Iterator[Path]:
    """As :func:`atomic_path`, for a file that a user names.

    Raises
    ------
    FileFormatError
        If the file cannot be written.
    """
    target = user_path(target)
    if not target.parent.is_dir():
        raise FileFormatError(
            f"cannot write {target}: there is no folder {target.parent}; make it first."
        )
    if target.is_dir():
        raise FileFormatError(f"cannot write {target}: it is a folder; name a file in it.")
    try:
        with atomic_path(target) as temporary:
            yield temporary
    except OSError as error:
        raise FileFormatError(f"cannot write {target}: {error.strerror or error}") from None


def read_table(path: str | os.PathLike[str], **options: Any) -> pd.DataFrame:
    """A table that a user names: CSV as :func:`pandas.read_csv` reads it, parquet or Excel.

    Raises
    ------
    FileFormatError
        If there is no such file, or it is no table.
    """
    import pandas as pd

    path = _readable(path)
    if path.suffix.lower() in TABLES[1:]:
        table = _binary_table(path)
        if options.get("dtype") == "str":
            return table.map(lambda cell: None if pd.isna(cell) else str(cell))
        return table
    _require_commas(path)
    try:
        return pd.read_csv(path, encoding="utf-8-sig", skipinitialspace=True, **options)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
        raise FileFormatError(f"cannot read {path} as a CSV table: {reason}") from None


def read_cells(path: Path) -> pd.DataFrame:
    """A table as text, nothing interpreted: CSV (the header keeps repeated names), parquet, Excel.

    Raises
    ------
    DataError
        If it is empty.
    FileFormatError
        If it cannot be read, or is no table.
    """
    import pandas as pd

    path = _readable(path)
    if path.suffix.lower() in TABLES[1:]:
        table = _binary_table(path)
        return table.map(lambda cell: "" if pd.isna(cell) else str(cell)).astype("str")
    _require_commas(path)
    try:
        cells = pd.read_csv(
            path, header=None, dtype="str", keep_default_na=False, encoding="utf-8-sig"
        )
    except pd.errors.EmptyDataError:
        raise DataError(f"{path} is empty: it needs a header line and one row a model.") from None
    except pd.errors.ParserError as error:
        raise FileFormatError(
            f"{path} is not a CSV file: {str(error).strip().splitlines()[-1].rstrip('.')}."
        ) from None
    except (UnicodeDecodeError, csv.Error):
        raise FileFormatError(f"{path} is not a UTF-8 text file.") from None
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}.") from error
    header = [str(c).strip() for c in cells.iloc[0].fillna("")]
    return cells.iloc[1:].fillna("").reset_index(drop=True).set_axis(header, axis=1)


def _require_commas(path: str | os.PathLike[str]) -> None:
    """An error for a table whose header is separated by something else than commas."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            header = file.readline()
    except (OSError, UnicodeDecodeError):
        return  # what reads the file says so
    for mark, name in ((";", ";"), ("\t", "tabs")):
        if header.count(mark) > header.count(","):
            raise FileFormatError(
                f"{path} is separated by {name}: use commas between cells, and decimal points."
            )


_POINTER = "version https://git-lfs"
POINTER_WORDS = "is a git-lfs pointer, not the file itself: fetch it with git lfs pull."


def is_pointer(path: Path) -> bool:
    """Whether a file is what git-lfs leaves in the place of one that it has not fetched.

    Raises
    ------
    FileFormatError
        If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(len(_POINTER)) == _POINTER.encode()
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}.") from None


def _readable(path: str | os.PathLike[str]) -> Path:
    """The path of a file that is one."""
    path = user_path(path)
    if path.is_dir():
        raise FileFormatError(f"cannot read {path}: it is a folder; name a file in it.")
    if path.is_file() and is_pointer(path):
        raise FileFormatError(f"{path} {POINTER_WORDS}")
    return path


def _binary_table(path: Path) -> pd.DataFrame:
    """A parquet or Excel file; names in its index become columns."""
    import pandas as pd

    kind = "Excel" if path.suffix.lower().startswith(".xls") else "parquet"
    try:
        table = pd.read_excel(path) if kind == "Excel" else pd.read_parquet(path)
    except ImportError:
        package = "openpyxl" if kind == "Excel" else "pyarrow"
        raise FileFormatError(
            f"{path} needs the package {package}: pip install {package}, or save it as CSV."
        ) from None
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}.") from None
    except Exception as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise FileFormatError(
            f"{path} cannot be read as a {kind} file: {said[0].rstrip('.')}."
        ) from None
    if table.index.name is not None:
        table = table.reset_index()
    if table.empty:
        raise DataError(f"{path} is empty: it needs a header line and one row a model.")
    return table.set_axis([str(column).strip() for column in table.columns], axis=1)
