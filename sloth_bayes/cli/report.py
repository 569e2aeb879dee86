"""The verb ``report``: a forecast as one file for other readers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import DataError, FileFormatError
from ..support.shipped import POSTERIOR
from .options import PosteriorName, Seed, check_folder, command
from .output import leave, no_window, say
from .request import Files, Request, made, said_elsewhere

_EXAMPLE = (
    "sloth-bayes report --family meta-llama-3 --params 405 --tokens 15 --out report.html, or "
    "--candidates CSV"
)


@command
def report(
    *,
    out: Annotated[Path | None, "FILE", "The report to write, .html."] = None,
    request: Request,
    files: Files,
    posterior: PosteriorName = POSTERIOR,
    seed: Seed = 0,
) -> None:
    """A forecast as one HTML file: tables, plots, diagnostics, and what was assumed.

    Example: [bold]sloth-bayes report --family qwen2 --params 200 --tokens 7 --out a.html[/bold]
    """
    if out is None:
        raise DataError("a report needs a file: sloth-bayes report ... --out report.html")
    if out.suffix.lower() not in (".html", ".htm"):
        raise FileFormatError(f"--out {out}: a report ends in .html.")
    check_folder(out)
    fc, notes = made("a report", _EXAMPLE, request, files, posterior, seed)
    no_window()
    from ..publish.report import write

    with said_elsewhere():  # the report says them
        path = write(fc, out)
    say("warning", *notes)
    typer.echo(f"wrote {path}", err=True)
    leave(fc.posterior.known_verdict)
