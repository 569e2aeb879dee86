"""Files: written so that a reader never meets half of one, and tables read from them."""

from __future__ import annotations

import contextlib
import csv
import os
import secrets
import shutil
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
        It is no path, is empty, has no home folder of its name, or the system refuses it: a
        name that is too long, a loop of links, a folder that may not be entered.

    Examples
    --------
    >>> user_path("~/mine.nc") == Path.home() / "mine.nc"
    True
    """
    if not isinstance(path, str | os.PathLike):
        raise FileFormatError(f"a path is text or a pathlib.Path, not {type(path).__name__}.")
    if not os.fspath(path):
        raise FileFormatError("a path is empty: name a file.")
    try:
        found = Path(path).expanduser()
    except RuntimeError:
        raise FileFormatError(
            f"cannot find {path}: there is no home folder of that name; write the path in full."
        ) from None
    try:
        found.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass  # whoever reads or writes it says so
    except (OSError, ValueError) as error:  # ValueError: a null character, or no UTF-8
        shown = ascii(str(path)) if len(str(path)) <= 100 else ascii(str(path)[:100] + "...")
        reason = getattr(error, "strerror", None) or "it is no name of a file"
        raise FileFormatError(f"cannot use the path {shown}: {reason}.") from None
    return found


@contextlib.contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `target` that becomes `target` when the block succeeds.

    Parameters
    ----------
    target
        The file to write. Its folder must exist; a file already there is replaced, and
        keeps its permissions. A symbolic link is followed.

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
    target = Path(os.path.realpath(target))
    # the name of a temporary folder may be no longer than a name may be
    folder = target.parent / f".{target.stem[:40]}-{secrets.token_hex(4)}"
    _unfinished.add(folder)  # before it is there, and until it is gone
    try:
        folder.mkdir()
        temporary = folder / target.name
        yield temporary
        if target.is_file():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _unfinished.discard(folder)


_unfinished: set[Path] = set()  # folders that hold the temporary files of this process


def remove_unfinished() -> None:
    """Remove what :func:`atomic_path` has begun: the process ends without its blocks ending."""
    for folder in tuple(_unfinished):
        for _ in range(3):  # a thread may be writing into it
            shutil.rmtree(folder, ignore_errors=True)


def check_writable(target: str | os.PathLike[str]) -> Path:
    """The path of a file that a user names, which can be written as far as is known before.

    Raises
    ------
    FileFormatError
        There is no such folder, nothing may be written into it, or the file is a folder.
    """
    target = user_path(target)
    if not target.parent.is_dir():
        raise FileFormatError(
            f"cannot write {target}: there is no folder {target.parent}; make it first."
        )
    if target.is_dir():
        raise FileFormatError(f"cannot write {target}: it is a folder; name a file in it.")
    try:
        # permissions alone do not tell: the file system may be read-only
        with tempfile.TemporaryFile(dir=Path(os.path.realpath(target)).parent):
            return target
    except OSError as error:
        raise FileFormatError(f"cannot write {target}: {error.strerror or error}.") from None


@contextlib.contextmanager
def new_file(target: str | os.PathLike[str]) -> Iterator[Path]:
    """As :func:`atomic_path`, for a file that a user names.

    Raises
    ------
    FileFormatError
        If the file cannot be written.
    """
    target = check_writable(target)
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
    _check_header(path, once=True)
    try:
        return pd.read_csv(path, encoding="utf-8-sig", skipinitialspace=True, **options)
    except Exception as error:  # and what libraries of compressed files raise
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
    _check_header(path)
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
    except Exception as error:  # what libraries of compressed files raise
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise FileFormatError(f"cannot read {path}: {reason}; copy it again.") from None
    header = [str(c).strip() for c in cells.iloc[0].fillna("")]
    return cells.iloc[1:].fillna("").reset_index(drop=True).set_axis(header, axis=1)


def _check_header(path: str | os.PathLike[str], once: bool = False) -> None:
    """An error for a header that is separated by something else than commas, or repeats a name."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            header = file.readline()
    except (OSError, UnicodeDecodeError):
        return  # what reads the file says so
    names = [name.strip() for name in next(csv.reader([header]), [])]
    for name in names if once else ():
        if name and names.count(name) > 1:
            raise DataError(f"{path} has {names.count(name)} columns {name!r}: keep one of them.")
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
    check_plain(path)
    try:
        with path.open("rb") as file:
            return file.read(len(_POINTER)) == _POINTER.encode()
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}.") from None


def check_plain(path: Path) -> None:
    """An error for a pipe or a device: a reader would wait for what may never come.

    Raises
    ------
    FileFormatError
        It is there, and neither a file nor a folder.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise FileFormatError(
            f"cannot read {path}: it is a pipe or a device; save it as a file first."
        )


def _readable(path: str | os.PathLike[str]) -> Path:
    """The path of a file that is one."""
    path = user_path(path)
    if path.is_dir():
        raise FileFormatError(f"cannot read {path}: it is a folder; name a file in it.")
    if path.exists() and is_pointer(path):
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
