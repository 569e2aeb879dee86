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
    try:
        with atomic_path(target) as temporary:
            yield temporary
    except OSError as error:
        raise FileFormatError(f"cannot write {target}: {error.strerror or error}") from None


def read_table(path: str | os.PathLike[str], **options: Any) -> pd.DataFrame:
    """A CSV file that a user names, as :func:`pandas.read_csv` reads it.

    Raises
    ------
    FileFormatError
        If there is no such file, or it is no table.
    """
    import pandas as pd

    _require_commas(path)
    try:
        return pd.read_csv(path, encoding="utf-8-sig", skipinitialspace=True, **options)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
        raise FileFormatError(f"cannot read {path} as a CSV table: {reason}") from None


def read_cells(path: Path) -> pd.DataFrame:
    """A CSV file as text, nothing interpreted; the header keeps repeated names.

    Raises
    ------
    DataError
        If it is empty.
    FileFormatError
        If it cannot be read, or is no CSV file.
    """
    import pandas as pd

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
