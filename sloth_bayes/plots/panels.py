"""Panels of a figure: made anew or the caller's, with plain ticks, and a legend below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from ..errors import DataError, unknown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


def chosen(benchmarks: list[str] | None, known: list[str], ncols: int | None) -> list[str]:
    """The benchmarks of a forecast to draw, in rows of `ncols`; all of them by default.

    Raises
    ------
    UnknownNameError
        If a benchmark is not in the forecast.
    DataError
        If there is none, or `ncols` is not positive.
    """
    names = known if benchmarks is None else list(benchmarks)
    for name in names:
        if name not in known:
            raise unknown("benchmark of this forecast", name, known)
    if not names:
        raise DataError("there is no benchmark to plot: the list is empty")
    if ncols is not None and ncols < 1:
        raise DataError(f"ncols must be at least 1, not {ncols}")
    return names


def new_figure(ax: Axes | np.ndarray | None, size: tuple[float, float]) -> Figure | None:
    """A new figure if no axes are given.

    Made outside the style: a notebook's first figure chooses the backend and sets parameters
    that leaving the style would take back.
    """
    return plt.figure(figsize=size, layout="constrained") if ax is None else None


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
    if figure is not None:
        grid: np.ndarray = figure.subplots(*(shape or (1, n)), squeeze=False, **shared)
        for spare in grid.flat[n:]:
            figure.delaxes(spare)
        return grid.ravel()[:n]
    axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if axes.size != n:
        raise DataError(f"this figure needs {n} axes, not {axes.size}")
    return axes


def outer_labels(axes: np.ndarray, columns: int | None, xlabel: str, ylabel: str) -> None:
    """Labels below the columns and left of the rows of panels; on all that were given (None)."""
    for k, axis in enumerate(axes):
        if columns is None or k % columns == 0:
            axis.set_ylabel(ylabel)
        if columns is None or k + columns >= len(axes):
            axis.set_xlabel(xlabel)


def legend(figure: Figure, handles: list[Any]) -> None:
    """Below the panels, in as many columns as fit."""
    width = figure.get_size_inches()[0]
    longest = max(len(str(h.get_label())) for h in handles)
    columns = max(1, min(len(handles), int(width / (0.62 + 0.062 * longest))))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def size_ticks(low: float, high: float) -> list[float]:
    """Round sizes inside the axis, 1-3-10 if a few fit, else finer or coarser."""
    for mantissas, most in (((1, 2, 5), 4), ((1, 3), 6), ((1,), 99)):
        ticks = [
            m * 10.0**e
            for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            for m in mantissas
            if low <= m * 10.0**e <= high
        ]
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
