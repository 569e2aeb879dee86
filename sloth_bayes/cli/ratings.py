"""The command ``sloth-bayes ratings``: what ratings by judges say of skills."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DataError, check_known
from ..support.files import read_table
from .options import Billions, Names, Prob, command, sizes, split, table_with
from .output import Output, console, plain_table

if TYPE_CHECKING:
    import pandas as pd

    from ..ratings.posterior import RatingsPosterior

_ASKED = ("saturation", "gaps", "judges", "claims", "sizes", "degradation")
_FIGURES = ("saturation", "gaps", "judges")


@command
def ratings(
    *,
    what: Annotated[str, typer.Argument(), "|".join(_ASKED), "What to ask."],
    gain: Annotated[float, "Rating points a doubling below which a skill is saturated."] = 0.1,
    at: Annotated[Billions, "Sizes to ask about (billions)."] = None,
    kind: Annotated[str | None, "Kind of model (by default Chat)."] = None,
    of: Annotated[
        Names, "The group behind: models or a kind (by default the distilled ones)."
    ] = None,
    to: Annotated[Names, "The group ahead, likewise."] = None,
    posterior: Annotated[Path | None, "FILE", "A saved fit; by default the one that ships."] = None,
    data: Annotated[
        Path | None,
        "FILE",
        "Fit this CSV instead: model, skill, rating, params_b; judge, kind, family, lineage; with "
        "a column difficulty, single ratings.",
    ] = None,
    prob: Prob = 0.9,
    output: Annotated[Output, {"as_csv": "CSV."}],
    seed: Annotated[int, "Of a fit: same seed, same numbers."] = 0,
) -> None:
    """How rated skills grow with size, who judges how, and how far groups of models are apart.

    Example: [bold]sloth-bayes ratings saturation --at 7,13,30,70[/bold]
    """
    check_known("question", [what], _ASKED)
    if output.plot is not None and what not in _FIGURES:
        raise DataError(f"there is no figure of {what}: --plot goes with {', '.join(_FIGURES)}")
    if data is not None and posterior is not None:
        raise DataError("--data and --posterior exclude each other: give one of them.")
    from ..ratings.posterior import load_ratings_posterior

    asked = sizes("--at", at)
    post = _fitted(data, seed) if data is not None else load_ratings_posterior(posterior)
    verdict = post.diagnostics()
    options: dict[str, Any] = {"at": asked} if asked else {}
    found: Any = {
        "saturation": lambda: post.saturation(gain, kind=kind, prob=prob, **options),
        "gaps": lambda: post.gaps(*_groups(post, split(of), split(to)), prob=prob),
        "judges": lambda: post.judged(prob),
        "claims": lambda: post.claims(gain),
        "sizes": lambda: post.sizes(prob),
        "degradation": lambda: post.degradation(prob=prob),
    }[what]()
    frame, notes = (found.frame, found.messages) if what == "saturation" else (found, ())

    def figure() -> Any:
        from ..plots import ratings as ratingsplots

        return getattr(ratingsplots, what)(found)

    answer = {
        "ratings": frame,
        "meta": {"question": what, "converged": verdict.ok},
        "warnings": notes,
    }
    said = notes if verdict.ok else (*notes, *verdict.messages)
    people = frame.drop(columns="reason", errors="ignore")
    output.end(
        frame, answer, lambda: _print(people, what), figure, verdict.ok, said=said, fit=True,
        indent=2,
    )  # fmt: skip


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
    from ..ratings.table import SkillRatings, reject_wide

    try:
        reject_wide(read_table(path))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    table = table_with(path, "model", "params_b")
    known = [c for c in ("model", "params_b", "family", "lineage", "kind") if c in table]
    about = table[known].drop_duplicates()
    single = "difficulty" in table
    made = SkillRatings.from_ratings if single else SkillRatings.from_means
    return made(table, about, name=path.stem).fit(seed=seed)


def _print(frame: pd.DataFrame, what: str) -> None:
    """A table for people."""
    import pandas as pd

    def cell(value: object) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, float):
            return "-" if value != value else f"{value:.3g}"
        return str(value)

    rows = [[cell(value) for value in row] for row in frame.itertuples(index=False)]
    numeric = pd.api.types.is_numeric_dtype
    sides = "".join("r" if numeric(frame[name]) else "l" for name in frame)
    table = plain_table([*map(str, frame)], rows, sides, title=f"ratings: {what}")
    console(piped=120).print(table)
