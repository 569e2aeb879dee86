"""The verb ``diagnose``: has a posterior converged?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..support.shipped import POSTERIOR
from .options import AsJson, PosteriorName, command
from .output import Output, cells, console, plain_table

if TYPE_CHECKING:
    from ..posterior.verdict import Diagnostics


@command
def diagnose(
    posterior: PosteriorName = POSTERIOR,
    top: Annotated[int, typer.Option(min=0), "How many of the worst quantities."] = 10,
    as_json: AsJson = False,
) -> None:
    """Say whether a posterior has converged, and show its worst quantities.

    Example: [bold]sloth-bayes diagnose --posterior mine.nc --top 20[/bold]
    """
    from ..api import load

    found = load(posterior).diagnostics()
    worst = found.table.head(top)
    answer = {"ok": found.ok, "messages": list(found.messages), "worst": worst}
    Output(as_json=as_json).end(worst, answer, lambda: _print(found, top), converged=found.ok)


def _print(found: Diagnostics, top: int) -> None:
    out = console()
    for message in found.messages:
        out.print(message)
    worst = found.table.head(top)
    if worst.empty:
        return
    columns = cells(
        worst,
        ("quantity", "{quantity}"),
        ("R-hat", "{r_hat:.3f}"),
        ("bulk ESS", "{ess_bulk:.0f}"),
        ("tail ESS", "{ess_tail:.0f}"),
        ("MCSE", "{mcse:.2g}"),
    )
    table = plain_table(*columns, fixed=range(1, 5))
    table.columns[0].overflow = "fold"
    out.print(f"\nThe worst of {len(found.table)} quantities:", style="bold")
    out.print(table)
