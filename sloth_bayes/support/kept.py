"""Tables of results that a run keeps as they come, and that a later run goes on from.

What was kept is either whole or refused: beside a table lies a seal (``.NAME.seal``) with the
rows and the digest of what was written last, and of what was written before it, so that a run
killed between the two files has lost nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FileFormatError
from .files import atomic_path, user_path

if TYPE_CHECKING:
    import pandas as pd


@contextlib.contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Hold a table that is about to be kept; its folder is made.

    The system lets go of it when the process ends, however it ends.

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

    path = user_path(path)
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


def keep(path: Path, table: pd.DataFrame, head: str = "") -> None:
    """Write a table as CSV, whole or not at all, with its seal.

    Parameters
    ----------
    path
        The file; its folder must exist.
    table
        Numbers are written with six digits.
    head
        A first line of the file, which says what the table is of.

    Raises
    ------
    FileFormatError
        It cannot be written. What was kept before is still there.
    """
    text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    written = (f"{head}\n{text}" if head else text).encode()
    seals = [_seal(written, len(table)), *_seals(path)[:1]]
    try:
        for file, content in ((_beside(path), json.dumps(seals).encode()), (path, written)):
            with atomic_path(file) as temporary:
                temporary.write_bytes(content)
    except OSError as error:
        raise FileFormatError(f"cannot write {path}: {error.strerror or error}.") from None


def kept(path: Path, text: Collection[str] = (), head: str = "") -> pd.DataFrame | None:
    """What :func:`keep` wrote, or None if there is no such file.

    A run that keeps its results answers with what it kept, so that one that goes on where
    another was cut off gives the same answer.

    Parameters
    ----------
    path
        The file. Without a seal, as earlier versions wrote it, its text is believed.
    text
        Columns that hold names, whatever they look like (``NA``, ``1e3``).
    head
        The first line that the file must have.

    Raises
    ------
    FileFormatError
        It is not what was written (cut short, or edited), is no table, or has another head.
    """
    import pandas as pd

    try:
        written = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}.") from None
    seals = _seals(path)
    try:
        if head:
            first, _, written_table = written.partition(b"\n")
            if first != head.encode():
                raise FileFormatError(
                    f"{path.parent} holds the result of another run: give another folder, or "
                    "delete it."
                )
        else:
            written_table = written
        table = pd.read_csv(
            io.BytesIO(written_table), encoding="utf-8", keep_default_na=False, na_values=[""],
            dtype=dict.fromkeys(text, "str"),
        )  # fmt: skip
    except ValueError as error:  # of pandas, and no UTF-8
        if not seals:
            reason = str(error).strip().rstrip(".")
            raise FileFormatError(f"{path} is damaged ({reason}): {_REMEDY}") from None
        table = None
    if seals and _seal(written, 0)["sha256"] not in [seal["sha256"] for seal in seals]:
        rows = "no table" if table is None else f"{len(table):,} rows"
        raise FileFormatError(
            f"{path} is damaged, or was edited: it has {rows}, and {seals[0]['rows']:,} were "
            f"written; {_REMEDY}"
        )
    return table


_REMEDY = "copy it again if it is a copy, or delete it and run again."


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.seal")


def _seal(written: bytes, rows: int) -> dict[str, Any]:
    return {"rows": rows, "sha256": hashlib.sha256(written).hexdigest()}


def _seals(path: Path) -> list[dict[str, Any]]:
    """Of what was written last, and before it."""
    try:
        found = json.loads(_beside(path).read_text(encoding="utf-8"))
        return [{"rows": int(seal["rows"]), "sha256": str(seal["sha256"])} for seal in found]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError):
        raise FileFormatError(
            f"{_beside(path)} is damaged: delete it and {path.name}, and run again."
        ) from None
