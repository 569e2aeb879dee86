"""What notebooks show of an answer: how its fit stands, a line, a table, what to keep in mind."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_COLOURS = {"converged": "#00694f", "first look": "#9a5200", "not converged": "#b00020"}
_OTHERWISE = "#5a5a5a"
_FEW, _WIDE = 3, 12  # rows of a table, with more columns, that are shown as columns
_NOTES = 5


def shown(
    what: str,
    table: pd.DataFrame | None = None,
    *,
    standing: str | None = None,
    notes: Sequence[str] = (),
    form: str = "{:.3g}",
    index: bool = False,
    rows: int = 24,
) -> str:
    """HTML of an answer, everything in it escaped.

    Parameters
    ----------
    what
        A line: what it is and what it is of; the angle brackets of a `repr` are taken off.
    table
        A single row, and a few wide ones, are shown from top to bottom.
    standing
        How the fit behind it stands (:attr:`sloth_bayes.Posterior.standing`), which comes first.
    notes
        What to keep in mind; five at most are shown.
    form
        How numbers are written.
    index
        Whether the table's index says something.
    rows
        Of a longer table, the first and last are shown.

    Examples
    --------
    >>> shown("<Leaderboard '<mine>'>").count("&lt;mine&gt;")
    1
    """
    parts = []
    if standing is not None:
        colour = _COLOURS.get(standing, _OTHERWISE)
        style = f"background:{colour};color:white;padding:1px 7px;border-radius:8px"
        words = standing.upper() if standing == "not converged" else standing
        parts.append(f'<b style="{style}">{escape(words)}</b>')
    what = what.removeprefix("<").removeprefix("sloth_bayes.").removesuffix(">")
    parts.append(escape(what))
    out = [f"<p>{' '.join(parts)}</p>"]
    if table is not None and len(table.columns):
        upright = not index and (
            len(table) == 1 or (len(table) <= _FEW and len(table.columns) > _WIDE)
        )
        out.append(
            (table.T if upright else table).to_html(
                index=index or upright, header=not upright, float_format=form.format, na_rep="",
                max_rows=None if upright else rows, border=0,
            )
        )  # fmt: skip
    said = [escape(note) for note in notes[:_NOTES]]
    if len(notes) > _NOTES:
        said.append(f"and {len(notes) - _NOTES} more")
    if said:
        out.append(f"<ul>{''.join(f'<li>{note}</li>' for note in said)}</ul>")
    return f"<div>{''.join(out)}</div>"
