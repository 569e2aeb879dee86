"""What the verbs share of their input: options, groups of options, and how values are read.

An option is declared as ``Annotated[type, "help"]``, or, to name its value as well, as
``Annotated[type, "METAVAR", "help"]``; :func:`command` makes Typer's options of them. A ``bool``
is a flag, without its ``--no-``.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

import typer

from ..errors import DataError
from ..support.files import check_writable, read_table
from ..support.spelling import other_unit, plain_number, what_to_write

if TYPE_CHECKING:
    import pandas as pd

    from ..table.leaderboard import Leaderboard

# -- options -----------------------------------------------------------------------------

Strings = list[str] | None
Names = Annotated[Strings, "NAME[,NAME...]"]
Billions = Annotated[Strings, "B[,B...]"]
Trillions = Annotated[Strings, "T[,T...]"]
Span = Annotated[str | None, "LOW:HIGH"]

Families = Annotated[Strings, "Family of the model; repeat for several."]
Lineage = Annotated[str | None, "Base family, if the family is new but its base is not."]
Instruct = Annotated[bool | None, typer.Option("--instruct/--base")]
Tuned = Annotated[Instruct, "Tuned or base (by default as the family is)."]
Kinds = Annotated[
    Strings,
    "base|instruct|reasoning",
    "Kind of the model, instead of the two before (by default as the family is).",
]
Kind = Annotated[
    str | None, "base|instruct|reasoning", "Its kind, instead (by default as the family is)."
]
Total = Annotated[
    Billions, "All parameters of a mixture of experts (by default dense, or as the family is)."
]
NewFamily = Annotated[bool, "Accept a family that nobody has seen."]
Released = Annotated[
    Strings, "Month of release of a new family, YYYY-MM (by default the latest of the fit)."
]
Params = Annotated[
    Billions, "Size in billions of parameters (of a mixture of experts, the active ones)."
]
Tokens = Annotated[Trillions, "Training tokens in trillions."]
TokensHeld = Annotated[float | None, "T", "Training tokens in trillions."]
Prob = Annotated[float, "Mass of the interval, between 0 and 1."]
Probs = Annotated[float, "Mass of the intervals, between 0 and 1."]
PosteriorName = Annotated[
    str, "NAME|FILE", "A posterior that ships, or a file (ends in .nc or has a /)."
]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same numbers.")]
Steps = Annotated[int | None, "Steps of a variational fit."]
Moves = Annotated[
    int | None, "With svi: Hamiltonian trajectories that carry each draw on (20, say)."
]
Progress = Annotated[
    bool | None,
    typer.Option("--progress/--no-progress"),
    "Progress bar (by default in a terminal).",
]
Plot = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Also draw a figure (.png, .pdf, .svg).")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="The table as CSV.")]


# -- groups of options -------------------------------------------------------------------


def command(verb: Callable[..., None]) -> Callable[..., None]:
    """A verb as Typer takes it, where each parameter that is a dataclass is a group of options.

    The fields of the dataclass, in their place, become options of the verb; the verb gets
    the dataclass made of them. Options that several verbs share are so declared once, and
    checked once, when the dataclass is made. What a verb has to say of such an option
    itself goes beside the dataclass: ``Annotated[Output, {"as_csv": "One row a model."}]``.
    """
    flat: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    for parameter in inspect.signature(verb, eval_str=True).parameters.values():
        group, *texts = _parts(parameter.annotation)
        if not dataclasses.is_dataclass(group):
            flat.append(_declared(parameter, parameter.annotation))
            continue
        groups[parameter.name] = group
        hints = get_type_hints(group, include_extras=True)
        for name, text in (texts[0] if texts else {}).items():
            hints[name] = Annotated[hints[name], text]
        fields = inspect.signature(groups[parameter.name]).parameters.values()
        flat += [_declared(field, hints[field.name]) for field in fields]

    @functools.wraps(verb)
    def unfolded(**options: Any) -> None:
        for name, value in options.items():
            if isinstance(value, list) and value and not split([str(v) for v in value]):
                option = name.replace("_", "-")
                raise DataError(f"--{option} is empty: name something, or leave it out.")
        made = {
            name: group(**{f.name: options.pop(f.name) for f in dataclasses.fields(group)})
            for name, group in groups.items()
        }
        verb(**options, **made)

    unfolded.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    unfolded.__annotations__ = {p.name: p.annotation for p in flat}
    return unfolded


def given(group: Any) -> dict[str, Any]:
    """The options of a group that were given."""
    return {name: value for name, value in vars(group).items() if value is not None}


def changed(group: Any) -> list[str]:
    """The names of the options of a group that differ from their defaults."""
    return [name for name, value in vars(group).items() if value != getattr(type(group), name)]


def _parts(annotation: Any) -> tuple[Any, ...]:
    """A type, and what it is annotated with."""
    return get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)


def _declared(parameter: inspect.Parameter, annotation: Any) -> inspect.Parameter:
    """An option as Typer takes it, of a type and texts."""
    kind, *notes = _parts(annotation)
    if notes:
        texts = [note for note in notes if isinstance(note, str)]
        option = copy.copy(next((n for n in notes if n not in texts), typer.Option()))
        for name, text in zip(("help", "metavar"), reversed(texts)):
            setattr(option, name, text)
        if kind is bool and option.default is ...:
            option.param_decls = (f"--{parameter.name.replace('_', '-')}",)
        annotation = Annotated[kind, option]
    return parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=annotation)


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


def number(what: str, text: str, column: str = "") -> float:
    """A number, or an error that names `what`; of a size or a token count, in its unit."""
    try:
        value = plain_number(text)
        if math.isnan(value):
            raise ValueError
    except ValueError:
        advice = what_to_write(text, column) if column else ""
        said = f"{text!r}: {advice}" if advice else repr(text)
        raise DataError(f"{what} takes plain numbers, such as 7 or 0.5, not {said}") from None
    if column and (wrong := other_unit(value, column)):
        raise DataError(f"{what} is {wrong}")
    return value


def numbers(option: str, values: list[str] | None, unit: str, column: str = "") -> list[float]:
    """Repeated options and comma lists of numbers, as one list."""
    return [number(f"{option} (in {unit})", value, column) for value in split(values)]


def sizes(option: str, values: list[str] | None) -> list[float]:
    """Sizes in billions of parameters."""
    return numbers(option, values, "billions of parameters", "params_b")


def amounts(option: str, values: list[str] | None) -> list[float]:
    """Training tokens in trillions."""
    return numbers(option, values, "trillions of tokens", "tokens_t")


def named(names: list[str], what: str, column: str = "") -> dict[str, float] | None:
    """NAME=NUMBER for each name, or None where one has no number; `what` is in errors."""
    parts = [name.rpartition("=") for name in names]
    if not all(equals for _, equals, _ in parts):
        return None
    return {name.strip(): number(what.format(name), value, column) for name, _, value in parts}


def by_model(option: str, values: list[str] | None, column: str) -> float | dict[str, float] | None:
    """One size or token count for all models, or one by model."""
    parts = split(values)
    if not parts:
        return None
    found = named(parts, f"{option} of {{}}", column)
    if found is None and len(parts) > 1:
        raise DataError(f"{option} takes one number, or MODEL=NUMBER for each of several models.")
    return number(option, parts[0], column) if found is None else found


def ends(option: str, text: str | None) -> tuple[float, float] | None:
    """The two ends of a range LOW:HIGH."""
    if text is None:
        return None
    low, colon, high = text.partition(":")
    if not colon:
        raise DataError(f"{option} takes two numbers, such as 0.1:100, not {text!r}")
    return number(option, low), number(option, high)


# -- files -------------------------------------------------------------------------------


def table_with(path: Path, *columns: str) -> pd.DataFrame:
    """A table read from a file, which must have these columns."""
    frame = read_table(path)
    for column in columns:
        if column not in frame:
            raise DataError(f"{path} lacks the column {column!r}")
    return frame


def table_of(name: str, benchmarks: list[str], file: bool = False, **options: Any) -> Leaderboard:
    """A table of your own in a file, or a data set that ships, with these benchmarks, if any."""
    from ..table.leaderboard import Leaderboard, load_dataset

    if file:
        return Leaderboard.from_csv(name, benchmarks=benchmarks or None)
    table = load_dataset(name, **options)
    return table.select(benchmarks=benchmarks) if benchmarks else table


def check_folder(path: Path) -> None:
    """Before any work: can the file be written at all?"""
    check_writable(path)
