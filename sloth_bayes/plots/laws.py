"""Figure of laws compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import DataError
from ..support.words import counted
from .panels import drawing, key, legend, plain_rows
from .style import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def laws(table: pd.DataFrame, ax: Axes | np.ndarray | None = None) -> np.ndarray:
    """Log scores of laws less the best one's, with standard errors.

    A thick line is one standard error of the difference to each side, a thin one two: a law whose
    thin line reaches 0 may be as good as the best. Laws that have not converged are hollow.

    Parameters
    ----------
    table
        What :func:`sloth_bayes.compare_laws` returns, of evaluations or of posteriors.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        One. Evaluations are in nats a hidden score; posteriors in nats (elpd) of all scores.

    Raises
    ------
    DataError
        If the table is another one.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> parts = ("strict", "loose")
    >>> table = sb.compare_laws({part: sb.load_evaluation("leaderboard", part) for part in parts})
    >>> (axis,) = sb.plots.laws(table)
    >>> [label.get_text() for label in axis.get_yticklabels()]
    ['loose', 'strict']
    """
    if isinstance(table, pd.DataFrame) and {"difference", "se", "not_converged"} <= set(table):
        difference, error = table["difference"], table["se"]
        bad = table["not_converged"].to_numpy(int)
        said = [f", {counted(n, 'fold')} not converged" if n else "" for n in bad]
        unit = "nats a hidden score"
    elif isinstance(table, pd.DataFrame) and {"elpd_diff", "dse"} <= set(table):
        difference, error = -table["elpd_diff"].abs(), table["dse"]  # ArviZ 1 turned its sign
        bad = (table["warning"] if "warning" in table else table["diag_elpd"] != "").to_numpy(bool)
        said = [", k-hat too high" if doubtful else "" for doubtful in bad]
        unit = "nats, leave-one-out"
    else:
        raise DataError("give what compare_laws returns: a table of laws with their differences")
    x, se = difference.to_numpy(float), error.fillna(0.0).to_numpy(float)
    y, colour = np.arange(len(table))[::-1], COLOURS[0]
    with drawing(ax, (6.4, 1.3 + 0.36 * len(table))) as (figure, axes):
        (axis,) = axes
        axis.hlines(y, x - 2 * se, x + 2 * se, color=colour, lw=1.0)
        axis.hlines(y, x - se, x + se, color=colour, lw=3.2)
        sure = np.asarray(bad) == 0
        axis.plot(x[sure], y[sure], "o", color=colour, ms=6, zorder=3)
        axis.plot(x[~sure], y[~sure], "o", color="white", mec=COLOURS[1], mew=1.6, ms=6, zorder=3)
        axis.axvline(0, color="#777777", lw=0.8, zorder=1)
        axis.set_yticks(y, [f"{name}{words}" for name, words in zip(table.index, said)])
        axis.margins(x=0.05)
        axis.set(ylim=(-0.6, len(table) - 0.4), xlabel=f"log score less the best law's ({unit})")
        plain_rows(axis)
        handles: list[Any] = [key("difference, with 1 and 2 standard errors", colour, "o")]
        if not sure.all():
            words = "not converged" if "not_converged" in table else "not to be relied upon"
            handles.append(key(words, COLOURS[1], "o", mfc="white", mew=1.6))
        legend(figure, handles, inside=axis)
    return axes
