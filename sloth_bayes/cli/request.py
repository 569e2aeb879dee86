"""The forecast that ``forecast`` and ``report`` are asked for: of which models, given what."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DataError
from ..support.files import read_table
from .options import (
    Families,
    Instruct,
    Lineages,
    NewFamily,
    Params,
    Tokens,
    amounts,
    by_model,
    number,
    one,
    sizes,
    split,
)
from .output import say

if TYPE_CHECKING:
    import pandas as pd

    from ..api import Posterior
    from ..predict.forecast import Forecast
    from ..table.observed import Observed

Benchmarks = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME[,NAME...]", help="Benchmarks to show (by default all)."),
]


@dataclass
class Candidates:
    """The models to forecast, by options; or the models observed, where there are such."""

    family: Families = None
    params: Params = None
    tokens: Tokens = None
    grid: Annotated[
        bool, typer.Option("--grid", help="Cross families, sizes and tokens; else they pair up.")
    ] = False
    lineage: Lineages = None
    instruct: Instruct = None
    new_family: NewFamily = False

    def rows(self, what: str, example: str) -> pd.DataFrame:
        """Candidates, as the options have them; `what` needs them, as in `example`."""
        return listed(what, example, **{k: v for k, v in vars(self).items() if k != "new_family"})

    def given(self) -> list[str]:
        """The options that a table of candidates replaces."""
        found = [f"--{name}" for name in ("family", "params", "tokens", "lineage", "grid")
                 if getattr(self, name)]  # fmt: skip
        return found + ["--instruct/--base"] * (self.instruct is not None)


@dataclass
class Files:
    """Files that say what to forecast: a table of candidates, or evaluations of your models."""

    candidates: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="A table instead of the flags: family, params_b, tokens_t; optional: model, "
            "lineage, instruct.",
        ),
    ] = None
    observed: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE|FOLDER",
            help="Evaluations of your own smaller models, read as data read does; --params and "
            "--tokens are then theirs. Repeatable.",
        ),
    ] = None
    target_params: Annotated[
        list[str] | None,
        typer.Option(metavar="B[,B...]", help="With --observed: sizes to forecast, in billions."),
    ] = None
    target_tokens: Annotated[
        list[str] | None,
        typer.Option(metavar="T[,T...]", help="With --observed: their tokens, in trillions."),
    ] = None
    model: Annotated[
        list[str] | None,
        typer.Option(help="With --observed: the name of the model, or the rows of an export."),
    ] = None
    allow_mismatch: Annotated[
        bool,
        typer.Option("--allow-mismatch", help="With --observed: other shots or metrics as well."),
    ] = False
    assume_leaderboard_shots: Annotated[
        bool,
        typer.Option(
            "--assume-leaderboard-shots",
            help="With --observed: the leaderboard's where a file gives none.",
        ),
    ] = False

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value and not self.observed and name not in ("candidates", "observed"):
                raise DataError(
                    f"--{name.replace('_', '-')} goes with --observed FILE, the evaluation of "
                    "your own model."
                )


def asked(
    what: str, example: str, who: Candidates, files: Files
) -> tuple[Observed | None, pd.DataFrame]:
    """What was observed, if anything was, and the candidates to forecast.

    Parameters
    ----------
    what, example
        Such as "a forecast", and a command that makes one, for those who name no model.
    who, files
        The options.
    """
    if files.observed:
        if files.candidates is not None or who.new_family:
            other = "--new-family" if files.candidates is None else "--candidates"
            raise DataError(f"{other} does not go with --observed, whose family is then known.")
        return _targets(files.observed, who, files)
    if files.candidates is None:
        return None, who.rows(what, example)
    if clash := who.given():
        raise DataError(f"--candidates replaces {clash[0]}: put it into the table.")
    return None, _read_candidates(files.candidates)


def make(
    post: Posterior, observed: Observed | None, rows: pd.DataFrame, who: Candidates, *,
    benchmarks: list[str] | None, prob: float, seed: int,
) -> Forecast:  # fmt: skip
    """The forecast of `rows`, given what was observed."""
    if observed is not None:
        post = post.condition(observed, seed=seed)
    only = list(dict.fromkeys(split(benchmarks))) or None
    return post.forecast(rows, prob=prob, seed=seed, new_family=who.new_family, benchmarks=only)


@contextlib.contextmanager
def said_elsewhere() -> Iterator[None]:
    """Leave warnings to what the verb writes."""
    from ..errors import ConvergenceWarning, ExtrapolationWarning

    with warnings.catch_warnings():
        for kind in (ExtrapolationWarning, ConvergenceWarning):
            warnings.simplefilter("ignore", kind)
        yield


def listed(
    what: str,
    example: str,
    family: list[str] | None,
    params: list[str] | None,
    tokens: list[str] | None,
    lineage: list[str] | None,
    instruct: bool | None = None,
    grid: bool | None = None,
) -> pd.DataFrame:
    """Candidates from lists that pair up; `grid` is None where a verb cannot cross them."""
    from ..predict.candidates import candidates

    flags = {"--family": family, "--params": params, "--tokens": tokens}
    missing = [name for name, value in flags.items() if not value]
    if missing:
        raise DataError(
            f"{what} needs {' and '.join(missing)} (billions of parameters, trillions of tokens): "
            f"{example}"
        )
    columns: dict[str, list[Any]] = {
        "--family": split(family), "--params": sizes("--params", params),
        "--tokens": amounts("--tokens", tokens), "--lineage": split(lineage),
    }  # fmt: skip
    lengths = {name: len(values) for name, values in columns.items() if len(values) > 1}
    if len(set(lengths.values())) > 1 and not grid:
        counted = " and ".join(f"{name} has {n} values" for name, n in lengths.items())
        cross = "" if grid is None else "; add --grid to cross them"
        raise DataError(f"{counted}: lists must pair up{cross}.")
    families, params_b, tokens_t, lineages = columns.values()
    return candidates(
        families, params_b, tokens_t, lineage=lineages or None, instruct=instruct, grid=bool(grid)
    )


def read_observed(paths: list[Path], **options: Any) -> Observed:
    """Read evaluation files, with everything left out of them told on standard error."""
    from ..table.observed import collect, nothing_left

    found = collect(paths, **options)
    for message in found.messages:
        say("warning", message)
    if found.used.empty:
        raise DataError(nothing_left(found, command_line=True))
    return found


def _targets(paths: list[Path], who: Candidates, files: Files) -> tuple[Observed, pd.DataFrame]:
    """What was observed of your own models, and the models of their families to forecast."""
    import pandas as pd

    from ..predict.candidates import candidates

    named = {"--target-params": files.target_params, "--target-tokens": files.target_tokens}
    options = {
        "model": split(files.model), "family": one("--family", who.family),
        "lineage": one("--lineage", who.lineage), "instruct": who.instruct,
        "params_b": by_model("--params", who.params), "tokens_t": by_model("--tokens", who.tokens),
        "allow_mismatch": files.allow_mismatch,
        "assume_leaderboard_shots": files.assume_leaderboard_shots,
    }  # fmt: skip
    for name, value in named.items():
        if not value:
            raise DataError(f"--observed needs {name}: which model of the family to forecast?")
    found = read_observed(paths, **options)
    for row in found.frame.itertuples():
        for value, what, option in (
            (row.params_b, "size", "--params"), (row.tokens_t, "number of tokens", "--tokens"),
        ):  # fmt: skip
            if math.isnan(value):
                text = f"the {what} of {row.model} is unknown and drawn, given its scores; "
                say("warning", text + f"{option} says it, for a narrower forecast")
    columns = ["family", "lineage", "instruct"]
    each = [
        candidates(
            str(row.family),
            sizes("--target-params", files.target_params),
            amounts("--target-tokens", files.target_tokens),
            lineage=str(row.lineage), instruct=bool(row.instruct), grid=who.grid,
        )
        for row in found.frame[columns].drop_duplicates("family").itertuples()
    ]  # fmt: skip
    return found, pd.concat(each, ignore_index=True)


def _read_candidates(path: Path) -> pd.DataFrame:
    """A table of candidates, with names filled in and flags made plain."""
    import pandas as pd

    frame = read_table(path, dtype="str")
    for column in ("family", "params_b", "tokens_t"):
        if column not in frame:
            raise DataError(
                f"{path} lacks the column {column!r}: candidates have family, params_b (billions) "
                "and tokens_t (trillions)."
            )
        for i, value in enumerate(frame[column]):
            if pd.isna(value):
                raise DataError(f"{path}: {column} of row {i + 1} is empty.")
    for column in ("params_b", "tokens_t"):
        frame[column] = [
            number(f"{path}: {column} of row {i + 1}", v) for i, v in enumerate(frame[column])
        ]
    if "instruct" in frame:
        known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        flags: list[bool | None] = []
        for i, value in enumerate(frame["instruct"]):
            flag = None if pd.isna(value) else known.get(value.strip().lower(), value)
            if isinstance(flag, str):
                raise DataError(f"{path}: instruct of row {i + 1} is {flag!r}: true or false.")
            flags.append(flag)
        frame["instruct"] = pd.Series(flags, dtype=object)
    if "model" not in frame:
        frame["model"] = None
    named = [f"{r.family}-{r.params_b:g}B-{r.tokens_t:g}T" for r in frame.itertuples()]
    frame["model"] = frame["model"].where(frame["model"].notna(), pd.Series(named, dtype=object))
    return frame
