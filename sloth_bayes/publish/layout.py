"""How figures of a paper are laid out: at the width of a column or a page, a legend below."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..plots.panels import outer_labels, panels
from ..plots.style import COLUMN, PAGE, STYLE

Draw = Callable[[bool], Figure]
Legend = Callable[[], Sequence[Artist]]


def painted(
    page: float, column: float | None = None, legend: Legend | None = None
) -> Callable[[Callable[[Figure, bool], None]], Draw]:
    """Make ``draw(wide)`` of a function that paints on an empty figure, ``paint(figure, wide)``.

    Parameters
    ----------
    page, column
        Height in inches at the width of a page and of a column; the same by default.
    legend
        What the legend below the panels shows, made when it is drawn.
    """

    def decorate(paint: Callable[[Figure, bool], None]) -> Draw:
        def draw(wide: bool) -> Figure:
            size = (PAGE, page) if wide else (COLUMN, page if column is None else column)
            # Outside the style: see sloth_bayes.plots.panels.new_figure
            figure = plt.figure(figsize=size, layout="constrained")
            with plt.rc_context(STYLE):
                paint(figure, wide)
                if legend:
                    legend_below(figure, legend())
            return figure

        return draw

    return decorate


def paneled(
    n: int,
    page: float,
    column: float,
    extra: float,
    labels: tuple[str, str],
    most: tuple[int, int] = (4, 2),
    legend: Legend | None = None,
    **shared: Any,
) -> Callable[[Callable[[np.ndarray, bool], None]], Draw]:
    """As :func:`painted`, of a function that paints on `n` panels, ``paint(axes, wide)``.

    Parameters
    ----------
    n
        Panels.
    page, column
        Height of a row in inches.
    extra
        Inches for the legend and what else there is.
    labels
        Below the columns of panels, and left of their rows.
    most
        Panels in a row of a page, and of a column.
    legend
        What the legend shows, made when it is drawn.
    **shared
        Of :meth:`matplotlib.figure.Figure.subplots`.
    """
    on_page, on_column = (min(n, k) for k in most)

    def decorate(paint: Callable[[np.ndarray, bool], None]) -> Draw:
        @painted(page * -(-n // on_page) + extra, column * -(-n // on_column) + extra, legend)
        def draw(figure: Figure, wide: bool) -> None:
            ncols = on_page if wide else on_column
            axes = panels(figure, None, n, (-(-n // ncols), ncols), **shared)
            outer_labels(axes, ncols, *labels)
            paint(axes, wide)

        return draw

    return decorate


def refit(
    axes: np.ndarray,
    wide: bool,
    page: float,
    column: float | None = None,
    extra: float = 0.4,
    ncols: int | None = None,
) -> Figure:
    """Lay a figure of :mod:`sloth_bayes.plots` out anew, for the width of a paper.

    Parameters
    ----------
    axes
        Its panels, as the function returned them.
    wide
        Of a page's width, or of a column's.
    page, column
        Height of a row in inches; the same by default.
    extra
        Inches for the legend and what else there is.
    ncols
        Panels in a row; by default all on a page, one in a column.
    """
    figure = axes.flat[0].figure
    ncols = ncols or (axes.size if wide else 1)
    nrows = -(-axes.size // ncols)
    grid = figure.add_gridspec(nrows, ncols)
    ylabel = axes.flat[0].get_ylabel()
    for i, axis in enumerate(axes.flat):
        if axes.size > 1:
            axis.set_subplotspec(grid[i // ncols, i % ncols])
        if i % ncols == 0 and i:  # it was inside a row: axes that share y hide it there
            axis.tick_params(labelleft=True)
            axis.set_ylabel(axis.get_ylabel() or ylabel)
        elif i % ncols and axis.get_ylabel() == ylabel:
            axis.set_ylabel("")
    height = page if wide or column is None else column
    figure.set_size_inches(PAGE if wide else COLUMN, nrows * height + extra)
    for old in list(figure.legends):
        handles, names = old.legend_handles, [text.get_text() for text in old.get_texts()]
        old.remove()
        legend_below(figure, [h for h in handles if h is not None], names)
    return figure


def key(label: str, colour: str, **look: Any) -> Line2D:
    """A line or marker of a legend."""
    return Line2D([], [], label=label, color=colour, **look)


def legend_below(figure: Figure, handles: Sequence[Any], names: list[str] | None = None) -> None:
    """A legend below the panels, in as many columns as fit."""
    names = [str(h.get_label()) for h in handles] if names is None else names
    lengths = np.array([len(name) for name in names])

    def fits(n: int) -> bool:  # Matplotlib fills columns, longer ones first
        columns = np.array_split(lengths, n)
        return sum(0.5 + 0.058 * c.max() for c in columns) <= figure.get_size_inches()[0]

    ncols = next((n for n in range(len(names), 1, -1) if fits(n)), 1)
    figure.legend(
        handles, names, loc="outside lower center", ncols=ncols, fontsize=7.5, frameon=False,
        columnspacing=1.0, handlelength=1.5, handletextpad=0.5,
    )  # fmt: skip


def name_rows(axes: Iterable[Axes], names: Sequence[str], size: float) -> None:
    """Rows of names, the first on top, in panels that share them: no ticks, no grid along them."""
    first, *others = axes
    first.set_yticks(range(len(names)), names, fontsize=size)
    first.set_ylim(len(names) - 0.4, -0.6)
    for axis in (first, *others):
        flat(axis)


def flat(axis: Axes, side: Literal["x", "y"] = "y") -> None:
    """No ticks and no grid along a side."""
    axis.tick_params(axis=side, length=0)
    axis.grid(axis=side, visible=False)
