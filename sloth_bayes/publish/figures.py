"""Every figure and table of the paper, with its uncertainty, as files.

``sloth-bayes figures --out DIR`` calls :func:`make`. Each figure is one function of
:class:`~sloth_bayes.figparts.Sources`, listed in :data:`FIGURES`; one alone is :func:`figure`.
Nothing is fitted: the numbers come from a posterior and from the evaluation and the studies that
ship, so that the same posterior and seed give the same bytes (same versions and machine kind).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..api import Posterior, load
from ..errors import DataError, FileFormatError, unknown
from ..plots.style import COLUMN, PAPER, PAPER_DPI
from ..support.checks import whole
from ..support.files import atomic_path, new_file
from ..support.threads import progress_bar
from . import figures_accuracy as figaccuracy
from . import figures_law as figlaw
from . import figures_studies as figstudies
from .sources import ANOTHER, Drawn, Sources

INDEX, SHEET = "index.json", "contact-sheet.png"
# Nothing of the day or the program in a file: the same numbers are the same bytes
_METADATA: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None},
    "png": {"Software": None},
}
_NOT_STYLE = ("backend", "backend_fallback", "interactive", "toolbar", "webagg.open_in_browser")
_SUFFIXES = (".pdf", ".png", ".csv", ".txt", "-wide.pdf", "-wide.png")


class Entry(NamedTuple):
    """A figure: the function that makes it, and what it is in the paper."""

    function: Callable[[Sources], Drawn]
    paper: str
    evaluation: bool = False  # from the evaluation that ships, not from the posterior

    def made(self, src: Sources) -> Drawn:
        """The figure, whose caption says what it is from."""
        drawn = self.function(src)
        if not self.evaluation:
            return drawn
        return dataclasses.replace(drawn, caption=f"{drawn.caption} {src.evaluated}")


FIGURES: dict[str, Entry] = {
    "errors": Entry(figaccuracy.errors, "figures 1, 11", True),
    "relative_errors": Entry(figaccuracy.relative_errors, "figure 10", True),
    "errors_by_setting": Entry(figaccuracy.errors_by_setting, "figures 1, 12, 17", True),
    "family_errors_one": Entry(figaccuracy.family_errors_one, "figures 13 to 15", True),
    "family_errors_two": Entry(figaccuracy.family_errors_two, "figures 16 to 18", True),
    "benchmark_errors": Entry(figaccuracy.benchmark_errors, "figures 13 to 18, by benchmark", True),
    "coverage": Entry(figaccuracy.coverage, "ours", True),
    "calibration": Entry(figaccuracy.calibration, "ours", True),
    "loadings": Entry(figlaw.loadings, "figure 2"),
    "loadings_intervals": Entry(figlaw.loadings_intervals, "figure 2, with intervals"),
    "skill_correlations": Entry(figlaw.skill_correlations, "section 4.3"),
    "shared_intercept": Entry(figaccuracy.shared_intercept, "figure 3", True),
    "level_curves": Entry(figlaw.level_curves, "figure 4"),
    "base_and_tuned": Entry(figlaw.base_and_tuned, "figure 5"),
    "downstream": Entry(figstudies.downstream, "figure 6, appendix J"),
    "downstream_weights": Entry(figstudies.downstream_weights, "figure 6, appendix J"),
    "pass_at_k": Entry(figstudies.pass_at_k, "figure 7"),
    "inputs": Entry(figlaw.inputs, "figures 8, 9"),
    "skills_and_compute": Entry(figlaw.skills_and_compute, "ours"),
    "links": Entry(figlaw.links, "appendix, link functions"),
    "allocation": Entry(figlaw.allocation, "tables 1, 2"),
    "saturation": Entry(figlaw.saturation, "ours"),
    "saturation_scores": Entry(figlaw.saturation_scores, "ours"),
}


def names() -> list[str]:
    """Names of all figures, in the order of the paper's themes.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> "loadings" in sb.figures.names()
    True
    """
    return list(FIGURES)


def figure(name: str, posterior: Posterior | str | Path = "leaderboard", seed: int = 0) -> Drawn:
    """One figure: its numbers, its caption, and a function that draws it.

    Parameters
    ----------
    name
        One of :func:`names`.
    posterior
        A posterior, or what :func:`sloth_bayes.load` takes.
    seed
        Seed of what is not in the posterior's draws.

    Returns
    -------
    Drawn
        ``frame``, ``caption``, and ``draw(wide)``, which returns a Matplotlib figure.

    Raises
    ------
    UnknownNameError
        If there is no such figure.
    DataError
        If the posterior does not have what the figure shows.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> found = sb.figures.figure("loadings")
    >>> found.frame.columns.tolist()[:3]
    ['benchmark', 'skill', 'mean']
    """
    check(name)
    return FIGURES[name].made(_sources(posterior, seed))


def make(
    out: str | Path,
    posterior: Posterior | str | Path = "leaderboard",
    *,
    only: str | Iterable[str] | None = None,
    seed: int = 0,
    force: bool = False,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Write figures into a folder, with the numbers behind them.

    A figure NAME is NAME.pdf and NAME.png (a column wide), NAME-wide.pdf and NAME-wide.png (a
    page wide), NAME.csv (its numbers, tidy) and NAME.txt (its caption). ``index.json`` lists
    them. A figure that the folder holds already, of the same posterior, seed and versions, is
    not made again.

    Parameters
    ----------
    out
        The folder; it is made if it does not exist.
    posterior
        A posterior, or what :func:`sloth_bayes.load` takes. Errors, coverage and calibration
        are those of the evaluation that ships, whatever the posterior; captions say so, and
        the note of the row, where its specification is another.
    only
        Names of figures; all by default.
    seed
        Seed of what is not in the posterior's draws.
    force
        Make figures again that are there.
    progress
        Show a progress bar on standard error; by default only where a person can see it.

    Returns
    -------
    pandas.DataFrame
        A row a figure: name, paper (what it is there), status (``"made"``, ``"kept"``, or
        ``"left out"``), note (why it was left out, or that it is not of this specification).

    Raises
    ------
    UnknownNameError
        If `only` names a figure that does not exist.
    DataError
        If the posterior does not have what a figure of `only` shows; without `only` such a
        figure is left out, and the table says why.
    FileFormatError
        If the folder or a file cannot be written, or the posterior cannot be read.
    SpecError
        If the seed is not a whole number of at least 0.

    Examples
    --------
    >>> import tempfile
    >>> import sloth_bayes as sb
    >>> sb.figures.make(tempfile.mkdtemp(), only="skill_correlations")["status"].tolist()
    ['made']
    """
    asked = [only] if isinstance(only, str) else list(only or [])
    for name in asked:
        check(name)
    chosen = list(dict.fromkeys(asked)) or names()
    src = _sources(posterior, seed)
    folder = _folder(out)
    index = _read_index(folder)
    rows = []
    with progress_bar(len(chosen), "figures", progress) as advance:
        for name in chosen:
            key = _key(name, src)
            if not force and index.get(name, {}).get("key") == key and _complete(folder, name):
                rows.append((name, FIGURES[name].paper, "kept", _note(name, src)))
                advance(1)
                continue
            try:
                drawn = FIGURES[name].made(src)
            except DataError as error:
                if asked:
                    raise DataError(f"figure {name!r}: {error}") from None
                rows.append((name, FIGURES[name].paper, "left out", str(error)))
                if index.pop(name, None):  # of another posterior
                    _write_index(folder, index)
                advance(1)
                continue
            _write(folder, name, drawn)
            index[name] = {
                "paper": FIGURES[name].paper, "caption": drawn.caption,
                "posterior": src.described, "seed": seed, "key": key,
                "files": [name + suffix for suffix in _SUFFIXES],
            }  # fmt: skip
            _write_index(folder, index)
            rows.append((name, FIGURES[name].paper, "made", _note(name, src)))
            advance(1)
    return pd.DataFrame(rows, columns=["name", "paper", "status", "note"])


def contact_sheet(folder: str | Path, ncols: int = 4, dpi: int = 110) -> Path:
    """All figures of a folder on one PNG, at the width of a column, with their names.

    Parameters
    ----------
    folder
        What :func:`make` wrote.
    ncols
        Figures in a row.
    dpi
        Dots an inch.

    Returns
    -------
    pathlib.Path
        ``contact-sheet.png`` in the folder.

    Raises
    ------
    FileFormatError
        If the folder holds no figure, or cannot be written.
    """
    folder = Path(folder)
    listed = [n for n in FIGURES if (folder / f"{n}.png").is_file()]
    if not listed:
        raise FileFormatError(f"{folder} holds no figure: make some first")
    images = {name: plt.imread(folder / f"{name}.png") for name in listed}
    gap, label = 0.15, 0.25  # inches
    heights = {n: COLUMN * a.shape[0] / a.shape[1] for n, a in images.items()}
    columns: list[list[str]] = [[] for _ in range(min(ncols, len(listed)))]
    filled = [0.0] * len(columns)
    for name in sorted(listed, key=lambda n: -heights[n]):  # tall ones first, to even them out
        k = int(np.argmin(filled))
        columns[k].append(name)
        filled[k] += heights[name] + gap + label
    width, height = len(columns) * (COLUMN + gap) + gap, max(filled) + gap
    with _plain_style():
        sheet = plt.figure(figsize=(width, height), facecolor="#e9e9e9")
        for k, column in enumerate(columns):
            left, top = gap + k * (COLUMN + gap), height - gap
            for name in sorted(column, key=list(FIGURES).index):
                sheet.text(
                    left / width, (top - 0.8 * label) / height, f"{name}: {FIGURES[name].paper}",
                    fontsize=8, fontweight="bold",
                )  # fmt: skip
                top -= label + heights[name]
                box = (left / width, top / height, COLUMN / width, heights[name] / height)
                axis = sheet.add_axes(box)
                axis.imshow(images[name], interpolation="antialiased", aspect="auto")
                axis.set_axis_off()
                top -= gap
        path = folder / SHEET
        try:
            with new_file(path) as temporary:
                sheet.savefig(temporary, dpi=dpi, metadata=_METADATA["png"])
        finally:
            plt.close(sheet)
    return path


# -- parts ------------------------------------------------------------------------------------


def check(name: str) -> None:
    """An error with near matches if there is no such figure."""
    if name not in FIGURES:
        raise unknown("figure", name, FIGURES)


def _note(name: str, src: Sources) -> str:
    return ANOTHER if FIGURES[name].evaluation and not src.posterior_is_evaluated else ""


def _sources(posterior: Posterior | str | Path, seed: int) -> Sources:
    seed = whole("seed", seed, 0)
    return Sources(posterior if isinstance(posterior, Posterior) else load(posterior), seed)


def _folder(out: str | Path) -> Path:
    """The folder, which can be written to."""
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / INDEX) as temporary:
            previous = folder / INDEX
            temporary.write_bytes(previous.read_bytes() if previous.is_file() else b"{}\n")
    except OSError as error:
        raise FileFormatError(f"cannot write to {folder}: {error.strerror or error}") from None
    return folder


def _read_index(folder: Path) -> dict[str, Any]:
    """What an earlier run finished; nothing, if its index is damaged."""
    try:
        found = json.loads((folder / INDEX).read_text(encoding="utf-8")).get("figures", {})
        return {n: dict(found[n]) for n in found if n in FIGURES}
    except (ValueError, AttributeError, TypeError):
        return {}


def _write_index(folder: Path, index: dict[str, Any]) -> None:
    from ..support.version import __version__

    about = {"version": __version__, "figures": {n: index[n] for n in FIGURES if n in index}}
    _text(folder / INDEX, json.dumps(about, indent=1) + "\n")


def _key(name: str, src: Sources) -> str:
    """What a figure depends on; another key is another figure."""
    from ..support.version import __version__

    parts = [name, src.digest, str(src.seed), __version__, matplotlib.__version__]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _complete(folder: Path, name: str) -> bool:
    return all((folder / f"{name}{suffix}").is_file() for suffix in _SUFFIXES)


def _write(folder: Path, name: str, drawn: Drawn) -> None:
    for wide in (False, True):
        with _plain_style():
            drawing = drawn.draw(wide)
            try:
                for kind in ("pdf", "png"):
                    path = folder / f"{name}{'-wide' * wide}.{kind}"
                    with new_file(path) as temporary:
                        drawing.savefig(temporary, dpi=PAPER_DPI, metadata=_METADATA[kind])
            finally:
                plt.close(drawing)
    table = drawn.frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    _text(folder / f"{name}.csv", table)
    _text(folder / f"{name}.txt", drawn.caption + "\n")


def _text(path: Path, text: str) -> None:
    with new_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _plain_style() -> Iterator[None]:
    """Matplotlib's own defaults, whatever the user has set; and text that stays text."""
    matplotlib.get_backend()  # chosen before, lest leaving the style takes its settings back
    plain = {k: v for k, v in matplotlib.rcParamsDefault.items() if k not in _NOT_STYLE}
    with matplotlib.rc_context({**plain, **PAPER}):
        yield
