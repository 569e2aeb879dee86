"""The verb ``diagnose``: has a posterior converged?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from .options import AsJson, PosteriorName
from .output import console, leave, plain, plain_table, records

if TYPE_CHECKING:
    from ..posterior.verdict import Diagnostics


def diagnose(
    posterior: PosteriorName = "leaderboard",
    top: Annotated[int, typer.Option(min=0, help="How many of the worst quantities.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Say whether a posterior has converged, and show its worst quantities.

    Example: [bold]sloth-bayes diagnose --posterior mine.nc --top 20[/bold]
    """
    from ..api import load

    found = load(posterior).diagnostics()
    if as_json:
        worst = records(found.table.head(top))
        summary = {"ok": found.ok, "messages": list(found.messages), "worst": worst}
        typer.echo(json.dumps(summary))
    else:
        _print(found, top)
    leave(found.ok)


def _print(found: Diagnostics, top: int) -> None:
    out = console()
    for message in found.messages:
        out.print(message)
    worst = found.table.head(top)
    if worst.empty:
        return
    table = plain_table()
    table.add_column("quantity", overflow="fold")
    for name in ("R-hat", "bulk ESS", "tail ESS", "MCSE"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in worst.to_dict("records"):
        table.add_row(
            row["quantity"],
            plain(row["r_hat"], ".3f"),
            plain(row["ess_bulk"], ".0f"),
            plain(row["ess_tail"], ".0f"),
            plain(row["mcse"], ".2g"),
        )
    out.print(f"\nThe worst of {len(found.table)} quantities:", style="bold")
    out.print(table)
