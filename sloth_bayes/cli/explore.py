"""The verb ``explore``: a posterior as one file to play with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import DataError, FileFormatError
from ..support.checks import check_prob
from ..support.shipped import POSTERIOR
from .options import Names, PosteriorName, Probs, Progress, Seed, check_folder, command, split
from .output import leave, say, warnings_of


@command
def explore(
    *,
    out: Annotated[Path | None, "FILE", "The page to write, .html."] = None,
    families: Annotated[Names, "Families to offer (by default all, and a new one)."] = None,
    benchmarks: Annotated[Names, "Benchmarks to offer (by default all)."] = None,
    prob: Probs = 0.9,
    posterior: PosteriorName = POSTERIOR,
    seed: Seed = 0,
    progress: Progress = None,
) -> None:
    """A page to play with, one HTML file: choose families, drag size and tokens, see scores.

    Example: [bold]sloth-bayes explore --out explorer.html[/bold]
    """
    if out is None:
        raise DataError("the page needs a file: sloth-bayes explore --out explorer.html")
    if out.suffix.lower() not in (".html", ".htm"):
        raise FileFormatError(f"--out {out}: the page ends in .html.")
    check_folder(out)
    check_prob(prob)
    from ..api import load
    from ..publish.explorer import write

    post = load(posterior)
    path = write(
        post, out, families=split(families) or None, benchmarks=split(benchmarks) or None,
        prob=prob, seed=seed, name=posterior, progress=progress,
    )  # fmt: skip
    say("warning", *warnings_of(post, posterior))
    typer.echo(f"wrote {path}", err=True)
    leave(post.known_verdict)
