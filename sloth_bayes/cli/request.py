"""The forecast that ``forecast`` and ``report`` are asked for: of which models, given what."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..errors import DataError
from ..support.files import read_table
from .options import (
    Billions,
    Families,
    Kinds,
    Names,
    NewFamily,
    Params,
    Prob,
    Released,
    Strings,
    Tokens,
    Total,
    Trillions,
    Tuned,
    amounts,
    by_model,
    number,
    one,
    sizes,
    split,
)
from .output import say, warnings_of

if TYPE_CHECKING:
    import pandas as pd

    from ..predict.forecast import Forecast
    from ..table.observed import Observed


@dataclass
class Candidates:
    """The models to forecast, by options; or the models observed, where there are such."""

    family: Families = None
    params: Params = None
    total: Total = None
    tokens: Tokens = None
    grid: Annotated[bool, "Cross families, sizes and tokens; else they pair up."] = False
    lineage: Annotated[Strings, "Base family, if the family is new but its base is not."] = None
    instruct: Tuned = None
    kind: Kinds = None
    released: Released = None
    new_family: NewFamily = False

    def rows(self, what: str, example: str, crossed: bool = True) -> pd.DataFrame:
        """Candidates, as the options have them.

        Parameters
        ----------
        what, example
            Such as "a forecast", and a command that makes one, for those who name no model.
        crossed
            Whether the verb can cross lists.
        """
        from ..predict.candidates import candidates

        flags = {"--family": self.family, "--params": self.params, "--tokens": self.tokens}
        if missing := [name for name, value in flags.items() if not value]:
            raise DataError(
                f"{what} needs {' and '.join(missing)} (billions of parameters, trillions of "
                f"tokens): {example}"
            )
        columns: dict[str, list[Any]] = {
            "--family": split(self.family), "--params": sizes("--params", self.params),
            "--tokens": amounts("--tokens", self.tokens), "--lineage": split(self.lineage),
            "--kind": split(self.kind), "--total": sizes("--total", self.total),
            "--released": split(self.released),
        }  # fmt: skip
        lengths = {name: len(values) for name, values in columns.items() if len(values) > 1}
        if len(set(lengths.values())) > 1 and not self.grid:
            counted = " and ".join(f"{name} has {n} values" for name, n in lengths.items())
            cross = "; add --grid to cross them" if crossed else ""
            raise DataError(f"{counted}: lists must pair up{cross}.")
        families, params_b, tokens_t, lineages, kinds, totals, months = columns.values()
        return candidates(
            families, params_b, tokens_t, lineage=lineages or None, instruct=self.instruct,
            kind=kinds or None, total_params_b=totals or None, released=months or None,
            grid=self.grid,
        )  # fmt: skip

    def given(self) -> list[str]:
        """The options that a table of candidates replaces."""
        options = ("family", "params", "total", "tokens", "lineage", "kind", "released", "grid")
        found = [f"--{name}" for name in options if getattr(self, name)]
        return found + ["--instruct/--base"] * (self.instruct is not None)


@dataclass
class Request(Candidates):
    """The forecast to make: of which models, and what of it."""

    benchmarks: Annotated[Names, "Benchmarks to show (by default all)."] = None
    prob: Prob = 0.9


@dataclass
class Files:
    """Files that say what to forecast: a table of candidates, or evaluations of your models."""

    candidates: Annotated[
        Path | None,
        "CSV",
        "A table instead of the flags: family, params_b, tokens_t; optional: model, lineage, "
        "instruct, kind, total_params_b, released.",
    ] = None
    observed: Annotated[
        list[Path] | None,
        "FILE|FOLDER",
        "Evaluations of your own smaller models, read as data read does; --params and --tokens "
        "are then theirs. Repeatable.",
    ] = None
    target_params: Annotated[Billions, "With --observed: sizes to forecast, in billions."] = None
    target_tokens: Annotated[Trillions, "With --observed: their tokens, in trillions."] = None
    model: Annotated[
        Strings, "With --observed: the name of the model, or the rows of an export."
    ] = None
    allow_mismatch: Annotated[
        bool, "With --observed: other shots, metrics or settings as well."
    ] = False
    assume_leaderboard_shots: Annotated[
        bool, "With --observed: the leaderboard's where a file gives none."
    ] = False

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value and not self.observed and name not in ("candidates", "observed"):
                raise DataError(
                    f"--{name.replace('_', '-')} goes with --observed FILE, the evaluation of "
                    "your own model."
                )


def made(
    what: str, example: str, request: Request, files: Files, posterior: str, seed: int
) -> tuple[Forecast, list[str]]:
    """The forecast that was asked for, given what was observed, and what to warn of.

    Parameters
    ----------
    what, example
        Such as "a forecast", and a command that makes one, for those who name no model.
    request, files, posterior, seed
        The options.
    """
    from ..api import load

    observed, rows = _asked(what, example, request, files)
    post = load(posterior)
    fitted = post.known_verdict
    with said_elsewhere():
        if observed is not None:
            post = post.condition(observed, seed=seed)
        fc = post.forecast(
            rows, prob=request.prob, seed=seed, new_family=request.new_family,
            benchmarks=list(dict.fromkeys(split(request.benchmarks))) or None,
        )  # fmt: skip
    return fc, warnings_of(fc.posterior, posterior, fc.warnings, fitted)


@contextlib.contextmanager
def said_elsewhere() -> Iterator[None]:
    """Leave warnings to what the verb writes."""
    from ..errors import ConvergenceWarning, ExtrapolationWarning

    with warnings.catch_warnings():
        for kind in (ExtrapolationWarning, ConvergenceWarning):
            warnings.simplefilter("ignore", kind)
        yield


def _asked(
    what: str, example: str, who: Candidates, files: Files
) -> tuple[Observed | None, pd.DataFrame]:
    """What was observed, if anything was, and the candidates to forecast."""
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


def reading(
    *, model: list[str] | None, params: list[str] | None, tokens: list[str] | None, **options: Any
) -> dict[str, Any]:
    """How to read evaluation files, as the options have it."""
    params_b = by_model("--params", params, "params_b")
    tokens_t = by_model("--tokens", tokens, "tokens_t")
    return {"model": split(model), "params_b": params_b, "tokens_t": tokens_t, **options}


def read_observed(paths: list[Path], **options: Any) -> Observed:
    """Read evaluation files, with everything left out of them told on standard error."""
    from ..table.observed import collect, nothing_left

    found = collect(paths, **options)
    say("warning", *found.messages)
    if found.used.empty:
        raise DataError(nothing_left(found, command_line=True))
    return found


def _targets(paths: list[Path], who: Candidates, files: Files) -> tuple[Observed, pd.DataFrame]:
    """What was observed of your own models, and the models of their families to forecast."""
    import pandas as pd

    from ..predict.candidates import candidates

    named = {"--target-params": files.target_params, "--target-tokens": files.target_tokens}
    options = reading(
        model=files.model, params=who.params, tokens=who.tokens,
        family=one("--family", who.family), lineage=one("--lineage", who.lineage),
        instruct=who.instruct, allow_mismatch=files.allow_mismatch,
        assume_leaderboard_shots=files.assume_leaderboard_shots,
    )  # fmt: skip
    for name, value in named.items():
        if not value:
            raise DataError(f"--observed needs {name}: which model of the family to forecast?")
    found = read_observed(paths, **options)
    if month := one("--released", who.released):
        found.frame["released"] = month
    for row in found.frame.itertuples():
        size, tokens = (row.params_b, "size"), (row.tokens_t, "number of tokens")
        for option, (value, what) in {"--params": size, "--tokens": tokens}.items():
            if math.isnan(value):
                text = f"the {what} of {row.model} is unknown and drawn, given its scores; "
                say("warning", text + f"{option} says it, for a narrower forecast")
    params_b = sizes("--target-params", files.target_params)
    tokens_t = amounts("--target-tokens", files.target_tokens)
    each = [
        candidates(
            row.family, params_b, tokens_t,
            lineage=row.lineage, instruct=row.instruct, grid=who.grid,
        )
        for row in found.frame.drop_duplicates("family").itertuples()
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
            number(f"{path}: {column} of row {i + 1}", v, column)
            for i, v in enumerate(frame[column])
        ]
    if "instruct" in frame:
        known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        flags = frame["instruct"].str.strip().str.lower().map(known).astype(object)
        for i in frame.index[frame["instruct"].notna() & flags.isna()]:
            flag = frame["instruct"][i]
            raise DataError(f"{path}: instruct of row {i + 1} is {flag!r}: true or false.")
        frame["instruct"] = flags.where(flags.notna(), None)
    if "total_params_b" in frame:
        given = frame["total_params_b"]
        frame["total_params_b"] = [
            math.nan
            if pd.isna(v)
            else number(f"{path}: total_params_b of row {i + 1}", v, "total_params_b")
            for i, v in enumerate(given)
        ]
    names = [f"{r.family}-{r.params_b:g}B-{r.tokens_t:g}T" for r in frame.itertuples()]
    given = frame.get("model", pd.Series(None, frame.index, dtype=object))
    frame["model"] = given.where(given.notna(), pd.Series(names, dtype=object))
    return frame
