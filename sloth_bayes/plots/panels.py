"""Panels of a figure: made anew or the caller's; what is drawn on them, and the legend below."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from ..errors import DataError, unknown
from ..support.frames import listed
from .style import STYLE

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


def chosen(benchmarks: str | list[str] | None, known: list[str], ncols: int | None) -> list[str]:
    """The benchmarks of a forecast to draw, in rows of `ncols`; all of them by default.

    Raises
    ------
    UnknownNameError
        If a benchmark is not in the forecast.
    DataError
        If there is none, or `ncols` is not positive.
    """
    names = known if benchmarks is None else listed(benchmarks)
    for name in names:
        if name not in known:
            raise unknown("benchmark of this forecast", name, known)
    if not names:
        raise DataError("there is no benchmark to plot: the list is empty")
    if ncols is not None and ncols < 1:
        raise DataError(f"ncols must be at least 1, not {ncols}")
    return names


def panels(
    figure: Figure | None,
    ax: Axes | np.ndarray | None,
    n: int,
    shape: tuple[int, int] | None = None,
    **shared: Any,
) -> np.ndarray:
    """`n` axes, flat: of the new figure, in one row or `shape`; else those that were given.

    Raises
    ------
    DataError
        If another number of axes is given.
    """
    if figure is None:
        given = np.asarray(ax, dtype=object).ravel()
        if given.size != n:
            raise DataError(f"this figure needs {n} axes, not {given.size}")
        return given
    axes: np.ndarray = figure.subplots(*(shape or (1, n)), squeeze=False, **shared).ravel()
    for spare in axes[n:]:
        figure.delaxes(spare)
    return axes[:n]


@contextmanager
def drawing(
    ax: Axes | np.ndarray | None,
    size: tuple[float, float],
    n: int = 1,
    ncols: int | None = None,
    **shared: Any,
) -> Iterator[tuple[Figure | None, np.ndarray]]:
    """A new figure and its :func:`panels`, in rows of `ncols`; or None and the axes given.

    The style holds inside. The figure is made outside of it: a notebook's first figure chooses
    the backend and sets parameters that leaving the style would take back.
    """
    figure = plt.figure(figsize=size, layout="constrained") if ax is None else None
    with plt.rc_context(STYLE):
        shape = (-(-n // ncols), ncols) if ncols else None
        axes = panels(figure, ax, n, shape, **shared)
        theirs = {id(text) for axis in axes for text in axis.findobj(Text)}
        yield figure, axes
        for artist in axes if figure is None else [figure]:
            as_written(artist, theirs if figure is None else ())


def as_written(artist: Artist, but: Collection[int] = ()) -> None:
    """Show every text in it as it is written: a name with dollars in it is no formula.

    Parameters
    ----------
    artist
        A figure or axes.
    but
        The ``id`` of texts that are left alone.
    """
    for text in artist.findobj(Text):
        if isinstance(text, Text) and "$" in text.get_text() and id(text) not in but:
            text.set_parse_math(False)


# -- marks --------------------------------------------------------------------------------


def band(
    axis: Axes, x: Any, rows: Any, colour: str, factor: float = 100.0, alpha: float = 0.2
) -> None:
    """The median of `rows` along `x`, with its interval."""
    axis.fill_between(
        x, factor * rows["lower"], factor * rows["upper"], color=colour, alpha=alpha, lw=0
    )
    axis.plot(x, factor * rows["median"], color=colour)


def diamonds(axis: Axes, x: Any, y: Any, colour: str, **style: Any) -> None:
    """Open diamonds above all else."""
    style = {"ms": 6, "mew": 1.5, **style}
    axis.plot(x, y, "D", color="white", mec=colour, zorder=5, **style)


def dots(axis: Axes, x: Any, y: Any, colours: Any, sure: Any, s: float, lw: float = 1.3) -> None:
    """Points of size `s`, filled where the sign is certain."""
    faces = list(np.where(sure, colours, "white"))
    axis.scatter(x, y, s=s, linewidths=lw, edgecolors=colours, color=faces, zorder=3)


# -- labels and ticks ---------------------------------------------------------------------


def outer_labels(axes: np.ndarray, columns: int | None, xlabel: str, ylabel: str) -> None:
    """Labels below the columns and left of the rows of panels; on all that were given (None)."""
    for k, axis in enumerate(axes):
        if columns is None or k % columns == 0:
            axis.set_ylabel(ylabel)
        if columns is None or k + columns >= len(axes):
            axis.set_xlabel(xlabel)


def plain_rows(*axes: Axes) -> None:
    """Names on the y axis need neither ticks nor lines."""
    for axis in axes:
        axis.grid(axis="y", visible=False)
        axis.tick_params(axis="y", length=0)


def ticks_between(low: float, high: float, mantissas: Sequence[int]) -> list[float]:
    """Numbers with these first digits, in every decade, from `low` to `high`."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [m * 10.0**e for e in decades for m in mantissas]
    return [t for t in ticks if low <= t <= high]


def size_ticks(low: float, high: float) -> list[float]:
    """Round sizes inside the axis, 1-3-10 if a few fit, else finer or coarser."""
    for mantissas, most in (((1, 2, 5), 4), ((1, 3), 6), ((1,), 99)):
        ticks = ticks_between(low, high, mantissas)
        if len(ticks) <= most:
            break
    return ticks


def plain_ticks(side: Axis, ticks: Sequence[float] | None = None) -> None:
    """Numbers as they are on a log axis, at round sizes in view or at given ticks."""
    ticks = size_ticks(*sorted(side.get_view_interval())) if ticks is None else ticks
    side.set_major_locator(FixedLocator(ticks))
    side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    side.set_minor_locator(NullLocator())
    side.set_minor_formatter(NullFormatter())


# -- legends ------------------------------------------------------------------------------


def key(label: str, colour: str, marker: str = "", **style: Any) -> Line2D:
    """A line in a legend, or a marker without one."""
    style = {"ls": "" if marker else "-", **style}
    return Line2D([], [], color=colour, marker=marker, label=label, **style)


def legend(
    figure: Figure | None,
    handles: Sequence[Any],
    columns: int | None = None,
    inside: Axes | None = None,
) -> None:
    """Below the panels of a new figure, in as many columns as fit; else `inside` an axes."""
    if figure is None:
        if inside is not None:
            inside.legend(handles=handles, loc="best", fontsize=7)
        return
    if columns is None:
        longest = max(len(str(h.get_label())) for h in handles)
        width = figure.get_size_inches()[0]
        columns = max(1, min(len(handles), int(width / (0.62 + 0.062 * longest))))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)
