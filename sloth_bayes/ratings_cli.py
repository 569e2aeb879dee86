"""The command ``sloth-bayes ratings``: what ratings by judges say of skills."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ._files import read_table
from .errors import DataError, unknown

if TYPE_CHECKING:
    import pandas as pd

    from .ratings import RatingsPosterior

_ASKED = ("saturation", "gaps", "judges", "claims", "sizes", "degradation")
_FIGURES = ("saturation", "gaps", "judges")


def ratings(
    what: Annotated[str, typer.Argument(metavar="|".join(_ASKED), help="What to ask.")],
    gain: Annotated[
        float, typer.Option(help="Rating points a doubling below which a skill is saturated.")
    ] = 0.1,
    at: Annotated[
        list[str] | None, typer.Option(metavar="B[,B...]", help="Sizes to ask about (billions).")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Kind of model (by default Chat).")] = None,
    of: Annotated[
        list[str] | None,
        typer.Option(help="The group behind: models or a kind (by default the distilled ones)."),
    ] = None,
    to: Annotated[list[str] | None, typer.Option(help="The group ahead, likewise.")] = None,
    posterior: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A saved fit; by default the one that ships."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Fit this CSV instead: model, skill, rating, params_b; judge, kind, family, "
            "lineage; with a column difficulty, single ratings.",
        ),
    ] = None,
    prob: Annotated[float, typer.Option(help="Mass of the interval, between 0 and 1.")] = 0.9,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also draw a figure (.png, .pdf, .svg).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV.")] = False,
    seed: Annotated[int, typer.Option(help="Of a fit: same seed, same numbers.")] = 0,
) -> None:
    """How rated skills grow with size, who judges how, and how far groups of models are apart.

    Example: [bold]sloth-bayes ratings saturation --at 7,13,30,70[/bold]
    """
    from .cli import _check_figure, _draw, _numbers

    if as_json and as_csv:
        raise DataError("--json and --csv exclude each other: ask for one of them.")
    if what not in _ASKED:
        raise unknown("question", what, _ASKED)
    if plot is not None:
        if what not in _FIGURES:
            raise DataError(f"there is no figure of {what}: --plot goes with {', '.join(_FIGURES)}")
        _check_figure(plot)
    if data is not None and posterior is not None:
        raise DataError("--data and --posterior exclude each other: give one of them.")
    from .ratings import load_ratings_posterior

    sizes = _numbers("--at", at, "billions of parameters")
    post = _fitted(data, seed) if data is not None else load_ratings_posterior(posterior)
    verdict = post.diagnostics()
    notes: tuple[str, ...] = ()
    figure = None
    if what == "saturation":
        options = {"at": sizes} if sizes else {}
        found = post.saturation(gain, kind=kind, prob=prob, **options)  # type: ignore[arg-type]
        frame, notes, figure = found.frame, found.messages, found
    elif what == "gaps":
        frame = post.gaps(*_groups(post, of, to), prob=prob)
    else:
        frame = {
            "judges": lambda: post.judged(prob),
            "claims": lambda: post.claims(gain),
            "sizes": lambda: post.sizes(prob),
            "degradation": lambda: post.degradation(prob=prob),
        }[what]()
    if as_json:
        records = json.loads(frame.to_json(orient="records"))
        meta = {"question": what, "converged": verdict.ok}
        typer.echo(json.dumps({"ratings": records, "meta": meta, "warnings": [*notes]}, indent=2))
    elif as_csv:
        typer.echo(frame.to_csv(index=False), nl=False)
    else:
        _print(frame.drop(columns="reason", errors="ignore"), what)
    for message in [*notes, *(() if verdict.ok else verdict.messages)]:
        typer.echo(f"sloth-bayes: note: {message}", err=True)
    if plot is not None:
        from . import ratingsplots

        _draw(figure or _Figure(getattr(ratingsplots, what), frame), plot)  # type: ignore[arg-type]
    if not verdict.ok:
        raise typer.Exit(1)


class _Figure:
    """A table that can be drawn."""

    def __init__(self, draw, frame: pd.DataFrame) -> None:  # type: ignore[no-untyped-def]
        self._draw, self._frame = draw, frame

    def plot(self):  # type: ignore[no-untyped-def]
        return self._draw(self._frame)


def _groups(
    post: RatingsPosterior, of: list[str] | None, to: list[str] | None
) -> tuple[str | list[str], str | list[str]]:
    """The groups asked for; by default distilled chat models, and proprietary ones."""
    from .ratings import load_distilled

    def group(names: list[str]) -> str | list[str]:
        return names[0] if len(names) == 1 else names

    if of is None:
        table = load_distilled()
        of = [m for m in table.loc[table["distilled"] == "yes", "model"] if m in post.models]
        if not of:
            raise DataError(
                "none of the models is on the list of distilled ones: say --of and --to"
            )
    return group(of), group(to or ["Proprietary"])


def _fitted(path: Path, seed: int) -> RatingsPosterior:
    from .ratings import SkillRatings

    table = read_table(path)
    for column in ("model", "params_b"):
        if column not in table:
            raise DataError(f"{path} lacks the column {column!r}")
    known = [c for c in ("model", "params_b", "family", "lineage", "kind") if c in table]
    about = table[known].drop_duplicates()
    single = "difficulty" in table
    made = SkillRatings.from_ratings if single else SkillRatings.from_means
    return made(table, about, name=path.stem).fit(seed=seed)


def _print(frame: pd.DataFrame, what: str) -> None:
    """A table for people."""
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False, emoji=False)
    table = Table(title=f"ratings: {what}", title_justify="left", box=None, pad_edge=False)
    numeric = {c: pd.api.types.is_numeric_dtype(frame[c]) for c in frame}
    for name, number in numeric.items():
        table.add_column(str(name), justify="right" if number else "left")

    def cell(value: object) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, float):
            return "-" if value != value else f"{value:.3g}"
        return str(value)

    for row in frame.itertuples(index=False):
        table.add_row(*map(cell, row))
    console.print(table)
