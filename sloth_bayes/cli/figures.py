"""The verb ``figures``: the figures and tables of the paper, from a posterior."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import DataError
from .options import Names, PosteriorName, Seed, command, split
from .output import leave, no_window, say, warnings_of


@command
def figures(
    out: Annotated[Path | None, "DIR", "Folder for the figures."] = None,
    only: Annotated[Names, "Figures to make (by default all)."] = None,
    force: Annotated[bool, "Make figures again that are there."] = False,
    contact_sheet: Annotated[bool, "Also all of them on one PNG."] = False,
    posterior: PosteriorName = "leaderboard",
    seed: Seed = 0,
) -> None:
    """Every figure and table of the paper, with its uncertainty, as PDF, PNG, CSV and caption.

    Errors, coverage and calibration are of the evaluation that ships, the law and its skills
    of the posterior.

    Example: [bold]sloth-bayes figures --out figures --only errors,loadings[/bold]
    """
    no_window()
    from ..api import load
    from ..publish import figures as module

    names = split(only)
    for name in names:
        module.check(name)
    if out is None:
        raise DataError("figures need a folder: sloth-bayes figures --out figures")
    post = load(posterior)
    found = module.make(out, post, only=names or None, seed=seed, force=force)
    for row in found[found["status"] == "left out"].itertuples():
        say("warning", f"{row.name} is left out: {row.note}")
    other = found[(found["status"] != "left out") & (found["note"] != "")]
    if len(other):
        say("warning", f"{', '.join(other['name'])} show the evaluation that ships, "
            f"{other['note'].iloc[0]}")  # fmt: skip
    width = max(len(name) for name in found["name"])
    for row in found.itertuples():
        typer.echo(f"{row.name:{width}}  {row.status:8}  {row.paper}")
    if contact_sheet:
        typer.echo(f"wrote {module.contact_sheet(out)}", err=True)
    say("warning", *warnings_of(post, posterior))
    leave(post.known_verdict)
