"""Tables of results that a run keeps as they come, and that a later run goes on from.

What was kept is either whole or refused: beside a table lies a seal (``.NAME.seal``) with the
rows and the digest of what was written last, and of what was there before it, so that a run
that is killed, or finds the disk full, between the two files has lost nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError, FileFormatError
from .files import atomic_path, user_path

if TYPE_CHECKING:
    import pandas as pd


@contextlib.contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Hold a table that is about to be kept; its folder is made.

    The system lets go of it when the process ends, however it ends (where the file system has
    locks).

    Raises
    ------
    FileFormatError
        Another run holds it, or nothing may be written there.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "cells.csv"
    >>> with only_writer(path):
    ...     pass  # a second run would be refused here
    """
    from filelock import FileLock, Timeout

    path = Path(os.path.realpath(user_path(path)))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        lock.acquire(timeout=0)
    except Timeout:
        raise FileFormatError(
            f"another run is writing {path}: wait until it has ended, or keep these results "
            "elsewhere."
        ) from None
    except OSError as error:
        raise FileFormatError(f"cannot write {path}: {error.strerror or error}.") from None
    try:
        yield
    finally:
        lock.release()


def keep(path: Path, table: pd.DataFrame, head: str = "", of: str = "") -> None:
    """Write a table as CSV, whole or not at all, with its seal.

    Parameters
    ----------
    path
        The file; its folder must exist.
    table
        Numbers are written with six digits.
    head
        A first line of the file, which says what the table is of.
    of
        What else says so, in a file of its own: the seal remembers it.

    Raises
    ------
    FileFormatError
        It cannot be written (what was kept before is still there), or what is there is damaged.
    DataError
        A name is empty, or has a carriage return or characters that are no text.
    """
    _check_names(table)
    text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    written = (f"{head}\n{text}" if head else text).encode()
    path = Path(os.path.realpath(path))
    try:
        seals = [_seal(written, len(table), of), *_standing(path, head)]
        for file, content in ((_beside(path), json.dumps(seals).encode()), (path, written)):
            with atomic_path(file) as temporary:
                temporary.write_bytes(content)
    except FileFormatError:
        raise
    except OSError as error:
        raise FileFormatError(f"cannot write {path}: {error.strerror or error}.") from None


def kept(
    path: Path, text: Collection[str] = (), head: str = "", of: str = ""
) -> pd.DataFrame | None:
    """What :func:`keep` wrote, or None if there is no such file.

    A run that keeps its results answers with what it kept, so that one that goes on where
    another was cut off gives the same answer.

    Parameters
    ----------
    path
        The file. Without a seal, as earlier versions wrote it, its text is believed.
    text
        Columns that hold names, whatever they look like (``NA``, ``1e3``).
    head, of
        As they were when it was written.

    Raises
    ------
    FileFormatError
        It is not what was written (cut short, or edited), is no table, or is of something else.
    """
    import pandas as pd

    path = Path(os.path.realpath(path))
    try:
        written = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}.") from None
    seal = next(iter(_fitting(path, written, head)), None)
    if head:
        first, _, written = written.partition(b"\n")
        if first != head.encode():
            raise FileFormatError(
                f"{path} is the result of another run: give another folder, or delete it."
            )
    if seal and seal["of"] not in ("", of):
        raise FileFormatError(
            f"{path} is of something else than what lies beside it says: copy all files of the "
            "folder again, or delete it and run again."
        )
    try:
        return pd.read_csv(
            io.BytesIO(written), encoding="utf-8", keep_default_na=False, na_values=[""],
            dtype=dict.fromkeys(text, "str"), lineterminator="\n",
        )  # fmt: skip
    except ValueError as error:  # of pandas, and no UTF-8
        reason = str(error).strip().rstrip(".")
        raise FileFormatError(f"{path} is damaged ({reason}): {_REMEDY}") from None


_REMEDY = "copy it again if it is a copy, or delete it and run again."


def _check_names(table: pd.DataFrame) -> None:
    """An error for text that would be read as something else."""
    for column in table.columns:
        for value in table[column].unique():
            if isinstance(value, str):
                try:
                    value.encode()
                except UnicodeEncodeError:
                    value = ""
                if not value or "\r" in value:
                    raise DataError(
                        f"a {column} is empty, or has characters that no table holds: {value!r}."
                    )


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.seal")


def _seal(written: bytes, rows: int, of: str = "") -> dict[str, Any]:
    return {"rows": rows, "sha256": hashlib.sha256(written).hexdigest(), "of": of}


def _fitting(path: Path, written: bytes, head: str = "") -> list[dict[str, Any]]:
    """The seal of what is there, or an error if it has some and none fits."""
    seals = _seals(path)
    digest = _seal(written, 0)["sha256"]
    found = [seal for seal in seals if seal["sha256"] == digest]
    if seals and not found:
        rows = max(written.count(b"\n") - 1 - bool(head), 0)
        raise FileFormatError(
            f"{path} is damaged, or was edited: it has {rows:,} rows, and {seals[0]['rows']:,} "
            f"were written; {_REMEDY}"
        )
    return found[:1]


def _standing(path: Path, head: str) -> list[dict[str, Any]]:
    """The seal of what is there and stays there if the next writing fails."""
    if not path.exists():
        return []
    written = path.read_bytes()
    return _fitting(path, written, head) or [_seal(written, written.count(b"\n") - 1 - bool(head))]


def _seals(path: Path) -> list[dict[str, Any]]:
    """Of what was written last, and of what was there before."""
    try:
        found = json.loads(_beside(path).read_text(encoding="utf-8"))
        if not isinstance(found, list) or len(found) not in (1, 2):
            raise ValueError
        return [
            {"rows": int(one["rows"]), "sha256": str(one["sha256"]), "of": str(one.get("of", ""))}
            for one in found
        ]
    except FileNotFoundError:
        return []
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OverflowError,
        RecursionError,
    ):
        raise FileFormatError(
            f"{_beside(path)} is damaged: delete it and {path.name}, and run again."
        ) from None
