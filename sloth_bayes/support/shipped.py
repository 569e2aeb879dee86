"""Where the data, posteriors and results of studies that come with the package lie."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from ..errors import FileFormatError, unknown

PUBLISHED = "open_llm_leaderboard"  # the table of the published law, and what is known of its tasks
DEFAULT = PUBLISHED  # the data set that is meant where none is named
POSTERIOR = "open"  # the posterior that is meant where none is named
PACKAGE = Path(__file__).resolve().parents[1]
_IN_CHECKOUT = {"studies": "studies/results"}  # where its folder is not called as its kind


def checkout(package: Path = PACKAGE) -> Path | None:
    """The source checkout that `package` is imported from, or None if it is installed."""
    root = package.parent
    try:
        with open(root / "pyproject.toml", "rb") as file:
            project = tomllib.load(file).get("project", {})
    except (OSError, tomllib.TOMLDecodeError):
        return None
    return root if project.get("name") == "sloth-bayes" else None


def shipped(kind: Literal["data", "models", "studies"], package: Path = PACKAGE) -> Path:
    """The folder of everything of one kind that ships: the wheel's first, then the checkout's.

    Parameters
    ----------
    kind
        ``"data"``, ``"models"``, or ``"studies"`` (their results).
    package
        The folder of the imported package; only tests give another one.

    Raises
    ------
    FileFormatError
        Neither folder exists: the installation is damaged.

    Examples
    --------
    >>> (shipped("data") / "open_llm_leaderboard" / "models.csv").exists()
    True
    """
    inside = package / "_shipped" / kind
    if inside.is_dir():
        return inside
    root, folder = checkout(package), _IN_CHECKOUT.get(kind, kind)
    if root is not None and (root / folder).is_dir():
        return root / folder
    raise FileFormatError(
        f"the folder {folder!r} that ships with sloth-bayes is missing: reinstall the package, "
        "or import it from a complete checkout."
    )


def dataset_names() -> list[str]:
    """Names of the data sets that ship."""
    return sorted(path.parent.name for path in shipped("data").glob("*/about.toml"))


def dataset_folder(name: str) -> Path:
    """The folder of a data set that ships.

    Raises
    ------
    UnknownNameError
        No such data set ships.
    """
    names = dataset_names()
    if name not in names:
        raise unknown(
            "data set", name, names, "To read a table of your own, use Leaderboard.from_csv."
        )
    return shipped("data") / name
