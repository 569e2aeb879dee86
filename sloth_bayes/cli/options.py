"""What the verbs share of their input: options, groups of options, and how values are read."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from ..errors import DataError, FileFormatError

# -- options -----------------------------------------------------------------------------

Families = Annotated[
    list[str] | None, typer.Option(help="Family of the model; repeat for several.")
]
_LINEAGE = typer.Option(help="Base family, if the family is new but its base is not.")
Lineage = Annotated[str | None, _LINEAGE]
Lineages = Annotated[list[str] | None, _LINEAGE]
Instruct = Annotated[
    bool | None,
    typer.Option("--instruct/--base", help="Tuned or base (by default as the family is)."),
]
NewFamily = Annotated[
    bool, typer.Option("--new-family", help="Accept a family that nobody has seen.")
]
Params = Annotated[
    list[str] | None,
    typer.Option(
        metavar="B[,B...]",
        help="Size in billions of parameters (of a mixture of experts, the active ones).",
    ),
]
Tokens = Annotated[
    list[str] | None, typer.Option(metavar="T[,T...]", help="Training tokens in trillions.")
]
Prob = Annotated[float, typer.Option(help="Mass of the interval, between 0 and 1.")]
Probs = Annotated[float, typer.Option(help="Mass of the intervals, between 0 and 1.")]
PosteriorName = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE", help="A posterior that ships, or a file (ends in .nc or has a /)."
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same numbers.")]
Steps = Annotated[int | None, typer.Option(help="Steps of a variational fit.")]
Moves = Annotated[
    int | None,
    typer.Option(help="With svi: Hamiltonian trajectories that carry each draw on (20, say)."),
]
Progress = Annotated[
    bool | None,
    typer.Option("--progress/--no-progress", help="Progress bar (by default in a terminal)."),
]
Plot = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Also draw a figure (.png, .pdf, .svg).")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="The table as CSV.")]


# -- groups of options -------------------------------------------------------------------


def with_groups(verb: Callable[..., None]) -> Callable[..., None]:
    """A verb as Typer takes it, where each parameter that is a dataclass is a group of options.

    The fields of the dataclass, in their place, become options of the verb; the verb gets
    the dataclass made of them. Options that several verbs share are so declared once, and
    checked once, when the dataclass is made.
    """
    flat: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    for parameter in inspect.signature(verb, eval_str=True).parameters.values():
        kind = parameter.annotation
        if dataclasses.is_dataclass(kind):
            groups[parameter.name] = kind
            hints = get_type_hints(kind, include_extras=True)
            for f in dataclasses.fields(kind):
                default = parameter.empty if f.default is dataclasses.MISSING else f.default
                flat.append(
                    inspect.Parameter(
                        f.name, parameter.KEYWORD_ONLY, default=default, annotation=hints[f.name]
                    )
                )
        else:
            flat.append(parameter.replace(kind=parameter.KEYWORD_ONLY))

    @functools.wraps(verb)
    def unfolded(**given: Any) -> None:
        made = {
            name: group(**{f.name: given.pop(f.name) for f in dataclasses.fields(group)})
            for name, group in groups.items()
        }
        verb(**given, **made)

    unfolded.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    unfolded.__annotations__ = {p.name: p.annotation for p in flat}
    return unfolded


# -- values ------------------------------------------------------------------------------


def split(values: list[str] | None) -> list[str]:
    """Repeated options and comma lists, as one list."""
    return [part.strip() for value in values or [] for part in value.split(",") if part.strip()]


def one(option: str, values: list[str] | None) -> str | None:
    """The one name that a list may have where it is of all models read."""
    parts = split(values)
    if len(parts) > 1:
        raise DataError(f"{option} takes one name with --observed: it is of all models read.")
    return parts[0] if parts else None


def number(what: str, text: str) -> float:
    """A number, or an error that names `what`."""
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{what} takes plain numbers, such as 7 or 0.5, not {text!r}") from None


def numbers(option: str, values: list[str] | None, unit: str) -> list[float]:
    """Repeated options and comma lists of numbers, as one list."""
    return [number(f"{option} (in {unit})", value) for value in split(values)]


def sizes(option: str, values: list[str] | None) -> list[float]:
    """Sizes in billions of parameters."""
    return numbers(option, values, "billions of parameters")


def amounts(option: str, values: list[str] | None) -> list[float]:
    """Training tokens in trillions."""
    return numbers(option, values, "trillions of tokens")


def by_model(option: str, values: list[str] | None) -> float | dict[str, float] | None:
    """One number for all models, or numbers by model."""
    parts = split(values)
    if not parts:
        return None
    named = [part.rpartition("=") for part in parts]
    if all(equals for _, equals, _ in named):
        return {name.strip(): number(f"{option} of {name}", value) for name, _, value in named}
    if len(parts) > 1:
        raise DataError(f"{option} takes one number, or MODEL=NUMBER for each of several models.")
    return number(option, parts[0])


def ends(option: str, text: str | None) -> tuple[float, float] | None:
    """The two ends of a range LOW:HIGH."""
    if text is None:
        return None
    low, colon, high = text.partition(":")
    if not colon:
        raise DataError(f"{option} takes two numbers, such as 0.1:100, not {text!r}")
    return number(option, low), number(option, high)


def check_folder(path: Path) -> None:
    """Before any work: can the file be written at all?"""
    if not path.parent.is_dir():
        raise FileFormatError(f"cannot write {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise FileFormatError(f"cannot write {path}: it is a folder")
