"""The command ``sloth-bayes ratings``: what ratings by judges say of skills."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DataError, unknown
from ..support.files import read_table
from .options import Prob, sizes, split, with_groups
from .output import Output, console, plain_table, rounded

if TYPE_CHECKING:
    import pandas as pd

    from ..ratings.posterior import RatingsPosterior

_ASKED = ("saturation", "gaps", "judges", "claims", "sizes", "degradation")
_FIGURES = ("saturation", "gaps", "judges")


@dataclass
class _Output(Output):
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV.")] = False


@with_groups
def ratings(
    *,
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
        typer.Option(
            metavar="NAME[,NAME...]",
            help="The group behind: models or a kind (by default the distilled ones).",
        ),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[,NAME...]", help="The group ahead, likewise."),
    ] = None,
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
    prob: Prob = 0.9,
    output: _Output,
    seed: Annotated[int, typer.Option(help="Of a fit: same seed, same numbers.")] = 0,
) -> None:
    """How rated skills grow with size, who judges how, and how far groups of models are apart.

    Example: [bold]sloth-bayes ratings saturation --at 7,13,30,70[/bold]
    """
    if what not in _ASKED:
        raise unknown("question", what, _ASKED)
    if output.plot is not None and what not in _FIGURES:
        raise DataError(f"there is no figure of {what}: --plot goes with {', '.join(_FIGURES)}")
    if data is not None and posterior is not None:
        raise DataError("--data and --posterior exclude each other: give one of them.")
    from ..ratings.posterior import load_ratings_posterior

    asked = sizes("--at", at)
    post = _fitted(data, seed) if data is not None else load_ratings_posterior(posterior)
    verdict = post.diagnostics()
    notes: tuple[str, ...] = ()
    if what == "saturation":
        options = {"at": asked} if asked else {}
        found = post.saturation(gain, kind=kind, prob=prob, **options)  # type: ignore[arg-type]
        frame, notes = found.frame, found.messages
    elif what == "gaps":
        frame = post.gaps(*_groups(post, split(of), split(to)), prob=prob)
    else:
        frame = {
            "judges": lambda: post.judged(prob),
            "claims": lambda: post.claims(gain),
            "sizes": lambda: post.sizes(prob),
            "degradation": lambda: post.degradation(prob=prob),
        }[what]()

    def figure() -> Any:
        from ..plots import ratings as ratingsplots

        return getattr(ratingsplots, what)(found if what == "saturation" else frame)

    meta = {"question": what, "converged": verdict.ok}
    output.show(
        lambda: frame,
        lambda: {"ratings": rounded(frame), "meta": meta, "warnings": [*notes]},
        lambda: _print(frame.drop(columns="reason", errors="ignore"), what),
        indent=2,
    )
    output.end([*notes, *(() if verdict.ok else verdict.messages)], figure, verdict.ok)


def _groups(
    post: RatingsPosterior, of: list[str], to: list[str]
) -> tuple[str | list[str], str | list[str]]:
    """The groups asked for; by default distilled chat models, and proprietary ones."""
    from ..ratings.claims import load_distilled

    def group(names: list[str]) -> str | list[str]:
        return names[0] if len(names) == 1 else names

    if not of:
        table = load_distilled()
        of = [m for m in table.loc[table["distilled"] == "yes", "model"] if m in post.models]
        if not of:
            raise DataError(
                "none of the models is on the list of distilled ones: say --of and --to"
            )
    return group(of), group(to or ["Proprietary"])


def _fitted(path: Path, seed: int) -> RatingsPosterior:
    from ..ratings.table import SkillRatings

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

    table = plain_table(title=f"ratings: {what}")
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
    console(piped=120).print(table)
