"""Every figure and table of the paper, with its uncertainty, as files.

``sloth-bayes figures --out DIR`` calls :func:`make`. Each figure is one function of
``sloth_bayes.publish.sources.Sources``, listed in :data:`FIGURES`; :func:`figure` makes one.
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
from typing import Any, Literal, NamedTuple

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..api import Posterior, load
from ..errors import DataError, FileFormatError, unknown
from ..plots.panels import as_written
from ..plots.style import COLUMN, PAPER, PAPER_DPI
from ..support.checks import whole
from ..support.files import atomic_path, new_file, user_path
from ..support.threads import progress_bar
from ..support.version import __version__
from . import figures_accuracy as accuracy
from . import figures_law as law
from . import figures_studies as studies
from .sources import ANOTHER, Drawing, Sources

INDEX, SHEET = "index.json", "contact-sheet.png"
# Nothing of the day or the program in a file: the same numbers are the same bytes
_METADATA: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None},
    "png": {"Software": None},
}
_NOT_STYLE = ("backend", "backend_fallback", "interactive", "toolbar", "webagg.open_in_browser")
_SUFFIXES = (".pdf", ".png", ".csv", ".txt", "-wide.pdf", "-wide.png")


class Entry(NamedTuple):
    """A figure: the function that makes it, what it is in the paper, and what it is made from."""

    function: Callable[[Sources], Drawing]
    paper: str
    of: Literal["evaluation", "posterior", "studies"]

    def made(self, src: Sources) -> Drawing:
        """The figure, whose caption says what it is from."""
        drawing = self.function(src)
        if self.of == "studies":  # whose captions name their commands
            return drawing
        about = src.evaluated if self.of == "evaluation" else src.described
        return dataclasses.replace(drawing, caption=f"{drawing.caption} {about}")


FIGURES: dict[str, Entry] = {
    "errors": Entry(accuracy.errors, "figures 1, 11", "evaluation"),
    "relative_errors": Entry(accuracy.relative_errors, "figure 10", "evaluation"),
    "errors_by_setting": Entry(accuracy.errors_by_setting, "figures 1, 12, 17", "evaluation"),
    "family_errors_one": Entry(accuracy.family_errors_one, "figures 13 to 15", "evaluation"),
    "family_errors_two": Entry(accuracy.family_errors_two, "figures 16 to 18", "evaluation"),
    "benchmark_errors": Entry(
        accuracy.benchmark_errors, "figures 13 to 18, by benchmark", "evaluation"
    ),
    "coverage": Entry(accuracy.coverage, "ours", "evaluation"),
    "calibration": Entry(accuracy.calibration, "ours", "evaluation"),
    "loadings": Entry(law.loadings, "figure 2", "posterior"),
    "loadings_intervals": Entry(law.loadings_intervals, "figure 2, with intervals", "posterior"),
    "skill_correlations": Entry(law.skill_correlations, "section 4.3", "posterior"),
    "shared_intercept": Entry(accuracy.shared_intercept, "figure 3", "evaluation"),
    "level_curves": Entry(law.level_curves, "figure 4", "posterior"),
    "base_and_tuned": Entry(law.base_and_tuned, "figure 5", "posterior"),
    "downstream": Entry(studies.downstream, "figure 6, appendix J", "studies"),
    "downstream_weights": Entry(studies.downstream_weights, "figure 6, appendix J", "studies"),
    "pass_at_k": Entry(studies.pass_at_k, "figure 7", "studies"),
    "inputs": Entry(law.inputs, "figures 8, 9", "posterior"),
    "skills_and_compute": Entry(law.skills_and_compute, "ours", "posterior"),
    "links": Entry(law.links, "appendix, link functions", "posterior"),
    "allocation": Entry(law.allocation, "tables 1, 2", "posterior"),
    "saturation": Entry(law.saturation, "ours", "posterior"),
    "saturation_scores": Entry(law.saturation_scores, "ours", "posterior"),
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


def figure(name: str, posterior: Posterior | str | Path = "leaderboard", seed: int = 0) -> Drawing:
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
    Drawing
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
            key, status, note = _key(name, src), "kept", _note(name, src)
            files = [name + suffix for suffix in _SUFFIXES]
            there = all((folder / file).is_file() for file in files)
            if force or not there or index.get(name, {}).get("key") != key:
                try:
                    drawing = FIGURES[name].made(src)
                except DataError as error:
                    if asked:
                        raise DataError(f"figure {name!r}: {error}") from None
                    status, note = "left out", str(error)
                    index.pop(name, None)  # of another posterior
                else:
                    status = "made"
                    _write(folder, name, drawing)
                    index[name] = {
                        "paper": FIGURES[name].paper, "caption": drawing.caption,
                        "posterior": src.described, "seed": seed, "key": key, "files": files,
                    }  # fmt: skip
                _write_index(folder, index)
            rows.append((name, FIGURES[name].paper, status, note))
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
    folder = user_path(folder)
    listed = [n for n in FIGURES if (folder / f"{n}.png").is_file()]
    if not listed:
        raise FileFormatError(f"{folder} holds no figure: make some first")
    images = {name: _read_image(folder / f"{name}.png") for name in listed}
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


def _read_image(path: Path) -> np.ndarray:
    try:
        return plt.imread(path)
    except Exception as error:  # Pillow's are of many kinds
        raise FileFormatError(
            f"{path} cannot be read as a PNG ({str(error).rstrip('.')}): delete it, and make the "
            "figure again."
        ) from None


# -- parts ------------------------------------------------------------------------------------


def check(name: str) -> None:
    """An error with near matches if there is no such figure."""
    if name not in FIGURES:
        raise unknown("figure", name, FIGURES)


def _note(name: str, src: Sources) -> str:
    return ANOTHER if FIGURES[name].of == "evaluation" and not src.posterior_is_evaluated else ""


def _sources(posterior: Posterior | str | Path, seed: int) -> Sources:
    seed = whole("seed", seed, 0)
    return Sources(posterior if isinstance(posterior, Posterior) else load(posterior), seed)


def _folder(out: str | Path) -> Path:
    """The folder, which can be written to."""
    folder = user_path(out)
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
    about = {"version": __version__, "figures": {n: index[n] for n in FIGURES if n in index}}
    _text(folder / INDEX, json.dumps(about, indent=1) + "\n")


def _key(name: str, src: Sources) -> str:
    """What a figure depends on; another key is another figure."""
    parts = [name, src.digest, str(src.seed), __version__, matplotlib.__version__]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _write(folder: Path, name: str, drawing: Drawing) -> None:
    for wide in (False, True):
        with _plain_style():
            figure = drawing.draw(wide)
            as_written(figure)
            try:
                for kind in ("pdf", "png"):
                    with new_file(folder / f"{name}{'-wide' * wide}.{kind}") as temporary:
                        figure.savefig(temporary, dpi=PAPER_DPI, metadata=_METADATA[kind])
            finally:
                plt.close(figure)
    table = drawing.frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    _text(folder / f"{name}.csv", table)
    _text(folder / f"{name}.txt", drawing.caption + "\n")


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
