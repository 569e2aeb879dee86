"""The verb ``report``: a forecast as one file for other readers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import DataError, FileFormatError
from .options import PosteriorName, Prob, Seed, check_folder, with_groups
from .output import leave, no_window, say, unconverged
from .request import Benchmarks, Candidates, Files, asked, make, said_elsewhere

_EXAMPLE = (
    "sloth-bayes report --family meta-llama-3 --params 405 --tokens 15 --out report.html, or "
    "--candidates CSV"
)


@with_groups
def report(
    *,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The report to write, .html.")
    ] = None,
    who: Candidates,
    benchmarks: Benchmarks = None,
    prob: Prob = 0.9,
    files: Files,
    posterior: PosteriorName = "leaderboard",
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
    found, rows = asked("a report", _EXAMPLE, who, files)
    no_window()
    from ..api import load
    from ..publish.report import write

    post = load(posterior)
    with said_elsewhere():  # the report says them
        fc = make(post, found, rows, who, benchmarks=benchmarks, prob=prob, seed=seed)
        path = write(fc, out)
    for note in (*fc.warnings, *unconverged(fc.posterior, post.known_verdict, posterior)):
        say("warning", note)
    typer.echo(f"wrote {path}", err=True)
    leave(fc.posterior.known_verdict)
