"""JSON files that evaluation tools write, with a sentence for each that is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import FileFormatError
from ..support.files import POINTER_WORDS, is_pointer


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises
    ------
    FileFormatError
        If it cannot be read, breaks off, or is something else: a pointer to a file that
        git-lfs has not fetched, or samples, one a line.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.json"
    >>> _ = path.write_text('{"results": {}}')
    >>> read_json(path)
    {'results': {}}
    """
    if path.is_dir():
        raise FileFormatError(f"{path} is a folder, not a file.")
    if is_pointer(path):
        raise FileFormatError(f"{path} {POINTER_WORDS}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise FileFormatError(f"{path} is not a UTF-8 text file.") from None
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}.") from error
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if _is_lines(text):
            raise FileFormatError(
                f"{path} has samples, one a line, and no scores: name the results_*.json beside it."
            ) from None
        where = (
            f"it breaks off or goes wrong in line {error.lineno}" if error.doc else "it is empty"
        )
        raise FileFormatError(
            f"{path} is no complete JSON file ({where}): copy it again, or repeat the evaluation."
        ) from None
    except (RecursionError, ValueError):
        raise FileFormatError(f"{path} is no result file: it nests or counts too far.") from None


def _is_lines(text: str) -> bool:
    """Whether each of the first lines is a JSON object of its own, and there are several."""
    lines = [line for line in text[:1_000_000].splitlines() if line.strip()][:3]
    try:
        return len(lines) > 1 and all(isinstance(json.loads(line), dict) for line in lines[:2])
    except (ValueError, RecursionError):
        return False
