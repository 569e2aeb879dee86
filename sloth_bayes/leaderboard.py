"""Leaderboard tables: validated, immutable, and the ones that ship.

A table holds one row a model (name, family, lineage, whether it is tuned, size, training
tokens, date) and one column a benchmark with scores in [0, 1], NaN where none was
published. Everything that could go wrong in a table is caught here, once, so that the
layers above never check again.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import json
import math
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ._files import atomic_path
from ._shipped import shipped
from .errors import DataError, FileFormatError, UnknownNameError, near, unknown

_DEFAULT = "open_llm_leaderboard"
_META = ("model", "family", "lineage", "instruct", "params_b", "tokens_t", "date")
_REQUIRED = {
    "model": "the name of each model",
    "family": "the family of each model",
    "params_b": "sizes in billions of parameters",
    "tokens_t": "training tokens in trillions",
}
# Columns that other tables call differently and that spelling alone does not reveal
_ALIASES = {
    "model": ("name", "model_name"),
    "family": ("family2", "series"),
    "params_b": ("size", "params", "parameters", "#params (b)", "size_b", "n_params"),
    "tokens_t": ("tokens", "pretraining data size (t)", "training_tokens", "data"),
}
_MISSING = frozenset({"", "na", "n/a", "nan", "none", "null", "<na>"})
_LIMITS = {"params_b": (1e5, "billions of parameters"), "tokens_t": (1e4, "trillions of tokens")}


@dataclass(frozen=True)
class Benchmark:
    """One benchmark: a column of scores and what is known about them.

    Parameters
    ----------
    name
        The column that holds the scores.
    chance
        Expected score of guessing, in [0, 1).
    n_questions
        Number of distinct test questions, or None if unknown; the scale of sampling noise.
    leaderboard
        The leaderboard it belongs to, or None.
    rounding
        Step that published scores are rounded to, in [0, 0.5); 0 if they are not rounded.

    Raises
    ------
    DataError
        A value lies outside the range given above.

    Examples
    --------
    >>> Benchmark("MyEval", chance=0.25, n_questions=500)
    Benchmark(name='MyEval', chance=0.25, n_questions=500, leaderboard=None, rounding=0.0)
    """

    name: str
    chance: float = 0.0
    n_questions: int | None = None
    leaderboard: str | None = None
    rounding: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise DataError(f"a benchmark needs a name, not {self.name!r}.")
        if self.name in _META or self.name == "released":
            raise DataError(f"{self.name!r} cannot be a benchmark: the column describes models.")
        if not _is_number(self.chance) or not 0 <= self.chance < 1:
            raise DataError(
                f"chance of benchmark {self.name!r} is {self.chance!r}: "
                "it is the score of guessing, in [0, 1)."
            )
        questions = self.n_questions
        if questions is not None and (
            not _is_number(questions) or questions <= 0 or questions != int(questions)
        ):
            raise DataError(
                f"n_questions of benchmark {self.name!r} is {questions!r}: "
                "it is a positive whole number, or None if unknown."
            )
        if not _is_number(self.rounding) or not 0 <= self.rounding < 0.5:
            raise DataError(
                f"rounding of benchmark {self.name!r} is {self.rounding!r}: "
                "it is the step of the scores, in [0, 0.5)."
            )
        # plain types, so that equal benchmarks have one repr and one fingerprint
        object.__setattr__(self, "chance", float(self.chance))
        object.__setattr__(self, "rounding", float(self.rounding))
        if questions is not None:
            object.__setattr__(self, "n_questions", int(questions))


@dataclass(frozen=True, eq=False, repr=False)
class Leaderboard:
    """A validated, immutable table of models and their scores.

    Make one with :meth:`from_frame` or :meth:`from_csv`, or take one that ships with
    :func:`load_dataset`. Every property hands out a copy.

    Two tables are equal if their :attr:`fingerprint` is: same rows in any order, same
    benchmarks in the same order with the same metadata. Names and release months of
    tables do not count, because no fit depends on them.

    Examples
    --------
    >>> data = load_dataset()
    >>> data
    <Leaderboard 'open_llm_leaderboard': 188 models, 69 families, 12 benchmarks, 1638 scores>
    >>> data.select(families="qwen2", benchmarks=["MMLU", "BBH"]).models
    ('qwen2-0.5b', 'qwen2-1.5b', 'qwen2-7b', 'qwen2-72b')
    """

    _frame: pd.DataFrame
    _benchmarks: tuple[Benchmark, ...]
    _name: str
    _releases: Mapping[str, pd.Period]
    _fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_fingerprint", _fingerprint(self._frame, self._benchmarks))

    @classmethod
    def from_frame(
        cls,
        df: pd.DataFrame,
        benchmarks: Sequence[str | Benchmark] | None = None,
        name: str = "table",
    ) -> Leaderboard:
        """Validate a DataFrame with one row a model and one column a benchmark.

        Parameters
        ----------
        df
            Columns ``model``, ``family``, ``params_b`` (billions of parameters) and
            ``tokens_t`` (trillions of training tokens) are required; a size or token
            count may be NaN. ``lineage`` defaults to the family, ``instruct`` to False,
            ``date`` to NaT; ``released`` (year and month) gives the release month of a
            family. Scores lie in [0, 1]; NaN means not published. Other columns are
            ignored, and `df` is not changed.
        benchmarks
            Names of score columns, or :class:`Benchmark` objects. A name of the Open LLM
            Leaderboard brings its chance level and number of questions along. None takes
            every column that carries such a name.
        name
            What to call the table in messages and figures.

        Returns
        -------
        Leaderboard

        Raises
        ------
        DataError
            Something in the table cannot be right; the message names the row, the column
            and the remedy.
        UnknownNameError
            A listed benchmark is not a column of the table.

        Examples
        --------
        >>> df = pd.DataFrame({"model": ["a-1b", "a-7b"], "family": "a", "params_b": [1, 7],
        ...                    "tokens_t": 2.0, "MMLU": [0.3, 0.5], "MyEval": [0.2, None]})
        >>> Leaderboard.from_frame(df, benchmarks=["MMLU", Benchmark("MyEval", chance=0.1)])
        <Leaderboard 'table': 2 models, 1 family, 2 benchmarks, 3 scores>
        """
        return cls._validated(df, benchmarks, str(name))

    @classmethod
    def _validated(
        cls,
        df: pd.DataFrame,
        benchmarks: Sequence[str | Benchmark] | None,
        name: str,
        unscored: bool = False,
    ) -> Leaderboard:
        """What `from_frame` does; `unscored` lets benchmarks without any score pass."""
        if not isinstance(df, pd.DataFrame):
            raise DataError(f"a table is a pandas DataFrame, not {type(df).__name__}.")
        columns = [str(c) for c in df.columns]
        df = df.set_axis(columns, axis=1).reset_index(drop=True)
        _require_columns(columns)
        if not len(df):
            raise DataError("the table is empty: it needs at least one row, one model each.")
        listed = _listed(df, benchmarks)
        _reject_repeated(columns, {*_META, "released", *map(_name_of, listed)})

        model = _names(df, "model")
        _reject_duplicates(model)
        family = _names(df, "family", model)
        lineage = _lineages(df, family)
        _reject_split(family, lineage)
        frame = pd.DataFrame({"model": model, "family": family, "lineage": lineage}, dtype="str")
        frame["instruct"] = _flags(df, model)
        for column in ("params_b", "tokens_t"):
            frame[column] = _amounts(df, column, model)
        frame["date"] = _dates(df, model)
        scores = {n: _scores(df[n], n, model, unscored) for n in map(_name_of, listed)}
        metadata = tuple(
            b if isinstance(b, Benchmark) else _known_benchmark(b, scores[b]) for b in listed
        )
        frame = pd.concat([frame, pd.DataFrame(scores)], axis=1)
        return cls(frame, metadata, name, _released(df, model, family))

    @classmethod
    def from_csv(
        cls,
        path: str | os.PathLike[str],
        benchmarks: Sequence[str | Benchmark] | None = None,
        name: str | None = None,
    ) -> Leaderboard:
        r"""Read and validate a CSV file; see :meth:`from_frame` for what it must hold.

        Parameters
        ----------
        path
            A UTF-8 CSV file with a header line. Empty cells, ``NA``, ``NaN`` and the like
            are missing values.
        benchmarks
            As in :meth:`from_frame`.
        name
            What to call the table; by default the file's name without its ending.

        Raises
        ------
        FileFormatError
            The file cannot be read, or is not a CSV file.
        DataError, UnknownNameError
            As in :meth:`from_frame`; the message starts with the file's name.

        Examples
        --------
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "mine.csv"
        >>> _ = path.write_text("model,family,params_b,tokens_t,GSM8K\nm-1b,m,1,0.5,0.04\n")
        >>> Leaderboard.from_csv(path)
        <Leaderboard 'mine': 1 model, 1 family, 1 benchmark, 1 score>
        """
        path = Path(path)
        df = _read_csv(path)
        try:
            return cls.from_frame(df, benchmarks, path.stem if name is None else name)
        except (DataError, UnknownNameError) as error:
            raise type(error)(f"{path}: {error}") from None

    @property
    def frame(self) -> pd.DataFrame:
        """A copy of the table: the seven columns that describe a model, then the scores."""
        return self._frame.copy()

    @property
    def benchmarks(self) -> tuple[Benchmark, ...]:
        """The benchmarks, in column order."""
        return self._benchmarks

    @property
    def benchmark_names(self) -> tuple[str, ...]:
        """The benchmarks' names, in column order."""
        return tuple(b.name for b in self._benchmarks)

    @property
    def models(self) -> tuple[str, ...]:
        """The models' names, in row order."""
        return tuple(self._frame["model"])

    @property
    def families(self) -> tuple[str, ...]:
        """The families' names, sorted."""
        return tuple(sorted(set(self._frame["family"])))

    @property
    def lineages(self) -> tuple[str, ...]:
        """The lineages' names, sorted."""
        return tuple(sorted(set(self._frame["lineage"])))

    @property
    def name(self) -> str:
        """What the table is called."""
        return self._name

    @property
    def n_scores(self) -> int:
        """The number of scores that are not missing."""
        return int(self._frame[list(self.benchmark_names)].notna().to_numpy().sum())

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with any content, not with the order of rows."""
        return self._fingerprint

    @property
    def releases(self) -> pd.Series:
        """Release month of each family's weights: family to monthly Period, NaT if unknown."""
        months = [self._releases.get(f, pd.NaT) for f in self.families]
        return pd.Series(
            pd.PeriodIndex(months, freq="M"),
            index=pd.Index(self.families, name="family"),
            name="released",
        )

    def select(
        self,
        models: str | Iterable[str] | None = None,
        families: str | Iterable[str] | None = None,
        benchmarks: str | Iterable[str] | None = None,
    ) -> Leaderboard:
        """A smaller table with only the models, families and benchmarks named.

        Parameters
        ----------
        models, families
            Rows to keep; a row must meet both. Rows stay in the order of this table.
        benchmarks
            Columns to keep, in the order given. If None, a benchmark that has no score
            left in the rows kept is dropped.

        Raises
        ------
        UnknownNameError
            A name is not in the table.
        DataError
            Nothing is left, or a benchmark asked for has no score left.

        Examples
        --------
        >>> load_dataset().select(families=["pythia", "olmo"], benchmarks="MMLU")
        <Leaderboard 'open_llm_leaderboard': 10 models, 2 families, 1 benchmark, 10 scores>
        """
        keep = np.ones(len(self), dtype=bool)
        for kind, column, wanted, known in (
            ("model", "model", models, self.models),
            ("family", "family", families, self.families),
        ):
            if wanted is not None:
                names = _asked(kind, wanted, known)
                keep &= self._frame[column].isin(names).to_numpy()
        rows = self._frame.loc[keep].reset_index(drop=True)
        if rows.empty:
            raise DataError("the selection is empty: no model has one of those names and families.")
        if benchmarks is None:
            columns = [b for b in self.benchmark_names if rows[b].notna().any()]
            if not columns:
                raise DataError("the selection is empty: none of its models has a score.")
        else:
            columns = _asked("benchmark", benchmarks, self.benchmark_names)
            for column in columns:
                if rows[column].isna().all():
                    raise DataError(f"benchmark {column!r} has no score in the rows selected.")
        metadata = {b.name: b for b in self._benchmarks}
        return Leaderboard(
            rows[[*_META, *columns]],
            tuple(metadata[c] for c in columns),
            self._name,
            self._releases,
        )

    def with_rows(self, df: pd.DataFrame) -> Leaderboard:
        """A new table with the rows of `df` appended.

        Parameters
        ----------
        df
            Rows as :meth:`from_frame` takes them. It needs at least one of this table's
            benchmarks; the others count as missing.

        Raises
        ------
        DataError
            The rows are not valid by themselves or beside those already here.

        Examples
        --------
        >>> new = pd.DataFrame({"model": ["mine-7b"], "family": "mine", "params_b": 7.0,
        ...                     "tokens_t": 2.0, "MMLU": 0.5})
        >>> len(load_dataset().with_rows(new))
        189
        """
        present = [b for b in self._benchmarks if b.name in df.columns]
        if not present:
            raise DataError(
                "the rows to append have none of the table's benchmarks: "
                f"{', '.join(self.benchmark_names)}."
            )
        added = Leaderboard._validated(df, present, self._name, unscored=True)
        frame = pd.concat([self._frame, added._frame], ignore_index=True)
        frame = frame[[*_META, *self.benchmark_names]]
        _reject_duplicates(frame["model"])
        _reject_split(frame["family"], frame["lineage"])
        months = {**self._releases, **added._releases}
        return Leaderboard(frame, self._benchmarks, self._name, months)

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write the table to a CSV file, which appears whole or not at all.

        Scores are written so that :meth:`from_csv` reads the same numbers back. Metadata
        of benchmarks that do not ship has no place in a CSV file: pass ``benchmarks``
        again when reading.

        Parameters
        ----------
        path
            The file; one that exists is replaced.

        Returns
        -------
        pathlib.Path
            The file written.

        Raises
        ------
        FileFormatError
            The file cannot be written.
        """
        path = Path(path)
        frame = self.frame
        frame["date"] = frame["date"].dt.strftime("%Y-%m-%d")
        if self._releases:
            months = {family: str(month) for family, month in self._releases.items()}
            frame.insert(len(_META), "released", frame["family"].map(months))
        try:
            with atomic_path(path) as temporary:
                frame.to_csv(temporary, index=False, lineterminator="\n")
        except OSError as error:
            raise FileFormatError(f"cannot write {path}: {error.strerror or error}.") from error
        return path

    def __len__(self) -> int:
        return len(self._frame)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Leaderboard):
            return NotImplemented
        return self._fingerprint == other._fingerprint

    def __hash__(self) -> int:
        return hash(self._fingerprint)

    def __repr__(self) -> str:
        return f"<Leaderboard {self._name!r}: {self._counts()}>"

    def _repr_html_(self) -> str:
        # pandas shortens long tables here as a notebook would
        return (
            f"<p><b>{_html(self._name)}</b>: {self._counts()}</p>{self._frame.to_html(max_rows=10)}"
        )

    def _counts(self) -> str:
        return ", ".join(
            _count(n, one, many)
            for n, one, many in (
                (len(self), "model", "models"),
                (len(self.families), "family", "families"),
                (len(self._benchmarks), "benchmark", "benchmarks"),
                (self.n_scores, "score", "scores"),
            )
        )


def datasets() -> pd.DataFrame:
    """The data sets that ship with the package.

    Returns
    -------
    pandas.DataFrame
        One row a data set: name, title, models, benchmarks, scores, source, licence.

    Examples
    --------
    >>> datasets()[["name", "models", "benchmarks", "scores", "licence"]].values.tolist()
    [['open_llm_leaderboard', 188, 12, 1638, 'MIT']]
    """
    rows = []
    for name in _dataset_names():
        data = load_dataset(name)
        with open(_folder(name) / "about.toml", "rb") as file:
            about = tomllib.load(file)
        rows.append(
            {
                "name": name,
                "title": about["title"],
                "models": len(data),
                "benchmarks": len(data.benchmarks),
                "scores": data.n_scores,
                "source": about["source"],
                "licence": about["licence"],
            }
        )
    return pd.DataFrame(rows)


@functools.lru_cache(maxsize=8)
def load_dataset(name: str = _DEFAULT, corrected: bool = True) -> Leaderboard:
    """A leaderboard table that ships with the package.

    Parameters
    ----------
    name
        A name that :func:`datasets` lists.
    corrected
        Apply the corrections of :func:`load_corrections` (the default). False gives the
        published values, defects included, as comparisons with published errors need.

    Returns
    -------
    Leaderboard

    Raises
    ------
    UnknownNameError
        No such data set ships.

    Examples
    --------
    >>> sizes = load_dataset().frame.set_index("model")["params_b"]
    >>> published = load_dataset(corrected=False).frame.set_index("model")["params_b"]
    >>> sizes["stablelm-2-1_6b"], published["stablelm-2-1_6b"]
    (np.float64(1.6), np.float64(6.0))
    """
    folder = _folder(name)
    table = _read_csv(folder / "models.csv")
    if corrected:
        table = _apply(table, load_corrections(name))
    releases = _read_csv(folder / "releases.csv")
    months = dict(zip(releases["family"], releases["year"] + "-" + releases["month"].str.zfill(2)))
    table["released"] = table["family"].map(months)
    return Leaderboard.from_frame(table, _read_benchmarks(name), name)


def load_subscores(name: str = _DEFAULT) -> pd.DataFrame:
    """The sub-scores behind the headline scores of a data set that ships.

    Parameters
    ----------
    name
        A name that :func:`datasets` lists.

    Returns
    -------
    pandas.DataFrame
        One row a sub-score: model, benchmark, subtask, score in [0, 1].

    Examples
    --------
    >>> load_subscores().groupby("benchmark")["subtask"].nunique().to_dict()
    {'BBH': 24, 'GPQA': 3, 'MATH Lvl 5': 7, 'MMLU': 57, 'MUSR': 3}
    """
    table = _read_csv(_folder(name) / "subscores.csv")
    return table.assign(score=table["score"].astype(float))


def load_corrections(name: str = _DEFAULT) -> pd.DataFrame:
    """The corrections of published values, each with its source.

    Parameters
    ----------
    name
        A name that :func:`datasets` lists.

    Returns
    -------
    pandas.DataFrame
        One row a corrected cell: model, column, from, to, source, note, all as text. An
        empty ``from`` means that nothing was published.

    Examples
    --------
    >>> load_corrections().query("model == 'bloom-7b1'")[["column", "from", "to"]].values.tolist()
    [['params_b', '7', '7.1']]
    """
    return _read_csv(_folder(name) / "corrections.csv")


def _dataset_names() -> list[str]:
    return sorted(path.parent.name for path in shipped("data").glob("*/about.toml"))


def _folder(name: str) -> Path:
    names = _dataset_names()
    if name not in names:
        raise unknown(
            "data set", name, names, "To read a table of your own, use Leaderboard.from_csv."
        )
    return shipped("data") / name


def _apply(table: pd.DataFrame, corrections: pd.DataFrame) -> pd.DataFrame:
    """The table with every correction made; both hold text, as read."""
    table = table.set_index("model", drop=False)
    for row in corrections.to_dict("records"):
        model, column = row["model"], row["column"]
        if model not in table.index or column not in table.columns:
            raise DataError(f"a correction names {model!r}, {column!r}, which is not published.")
        if table.at[model, column] != row["from"]:
            raise DataError(
                f"a correction of {model!r}, {column!r} expects {row['from']!r} to be published, "
                f"not {table.at[model, column]!r}."
            )
        table.at[model, column] = row["to"]
    return table.reset_index(drop=True)


@functools.cache
def _read_benchmarks(name: str) -> tuple[Benchmark, ...]:
    table = _read_csv(_folder(name) / "benchmarks.csv")
    return tuple(
        Benchmark(
            name=row["name"],
            chance=float(row["chance"]),
            n_questions=int(row["n_questions"]),
            leaderboard=row["leaderboard"],
            rounding=float(row["rounding"]),
        )
        for row in table.to_dict("records")
    )


def _known_benchmarks() -> dict[str, Benchmark]:
    return {b.name: b for b in _read_benchmarks(_DEFAULT)}


def _known_benchmark(name: str, scores: np.ndarray) -> Benchmark:
    """The metadata of a benchmark given by name only."""
    known = _known_benchmarks().get(name)
    if known is None:
        return Benchmark(name)
    if known.rounding:
        steps = scores[~np.isnan(scores)] / known.rounding
        if not np.allclose(steps, np.round(steps), rtol=0, atol=1e-6):
            return Benchmark(name, known.chance, known.n_questions, known.leaderboard)
    return known


def _read_csv(path: Path) -> pd.DataFrame:
    """A CSV file as text, nothing interpreted; the header keeps repeated names."""
    try:
        cells = pd.read_csv(
            path, header=None, dtype="str", keep_default_na=False, encoding="utf-8-sig"
        )
    except pd.errors.EmptyDataError:
        raise DataError(f"{path} is empty: it needs a header line and one row a model.") from None
    except pd.errors.ParserError as error:
        raise FileFormatError(
            f"{path} is not a CSV file: {str(error).strip().splitlines()[-1].rstrip('.')}."
        ) from None
    except (UnicodeDecodeError, csv.Error):
        raise FileFormatError(f"{path} is not a UTF-8 text file.") from None
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}.") from error
    header = [str(c).strip() for c in cells.iloc[0].fillna("")]
    return cells.iloc[1:].fillna("").reset_index(drop=True).set_axis(header, axis=1)


def _require_columns(columns: list[str]) -> None:
    for column, what in _REQUIRED.items():
        if column in columns:
            continue
        lower = {c.lower(): c for c in columns}
        like = [lower[a] for a in _ALIASES[column] if a in lower] or near(
            column, [c for c in columns if c not in _META]
        )
        if like:
            remedy = f"rename {like[0]!r} to {column!r}, if it holds {what}."
        else:
            remedy = f"add it, with {what}; the table has: {', '.join(columns) or 'no columns'}."
        raise DataError(f"the required column {column!r} is missing: {remedy}")


def _name_of(benchmark: str | Benchmark) -> str:
    return benchmark if isinstance(benchmark, str) else benchmark.name


def _listed(
    df: pd.DataFrame, benchmarks: Sequence[str | Benchmark] | None
) -> list[str | Benchmark]:
    """The benchmarks to take, each a column of the table and none twice."""
    columns = list(df.columns)
    candidates = [c for c in dict.fromkeys(columns) if c not in {*_META, "released"}]
    if benchmarks is None:
        known = _known_benchmarks()
        found: list[str | Benchmark] = [c for c in candidates if c in known]
        if not found:
            numeric = [c for c in candidates if _holds_numbers(df[c])]
            hint = f"for example benchmarks={numeric[:6]!r}" if numeric else "and none has numbers"
            raise DataError(
                "no column of the table is a benchmark of the Open LLM Leaderboard: "
                f"say which columns hold scores, {hint}."
            )
        return found
    if isinstance(benchmarks, str | Benchmark):
        benchmarks = [benchmarks]
    listed = list(benchmarks)
    if not listed:
        raise DataError("the list of benchmarks is empty: name at least one score column.")
    seen: set[str] = set()
    for benchmark in listed:
        if not isinstance(benchmark, str | Benchmark):
            raise DataError(
                f"a benchmark is a name or a Benchmark, not {type(benchmark).__name__}."
            )
        name = Benchmark(benchmark).name if isinstance(benchmark, str) else benchmark.name
        if name in seen:
            raise DataError(f"benchmark {name!r} is listed twice.")
        seen.add(name)
        if name not in columns:
            raise unknown("benchmark", name, candidates, "It is not a column of the table.")
    return listed


def _holds_numbers(column: pd.Series | pd.DataFrame) -> bool:
    if isinstance(column, pd.DataFrame):
        column = column.iloc[:, 0]
    cells = [c for c in column if not _is_missing(c)]
    return bool(cells) and all(_parse(c) is not None for c in cells)


def _reject_repeated(columns: list[str], used: set[str]) -> None:
    repeated = [c for c in dict.fromkeys(columns) if c in used and columns.count(c) > 1]
    if repeated:
        raise DataError(f"the table has {columns.count(repeated[0])} columns {repeated[0]!r}.")


def _reject_duplicates(model: Iterable[str]) -> None:
    seen: dict[str, int] = {}
    for row, name in enumerate(model, start=1):
        if name in seen:
            raise DataError(
                f"model {name!r} is there twice, in rows {seen[name]} and {row}: "
                "keep one row a model."
            )
        seen[name] = row


def _reject_split(family: Iterable[str], lineage: Iterable[str]) -> None:
    first: dict[str, str] = {}
    for f, line in zip(family, lineage):
        if first.setdefault(f, line) != line:
            raise DataError(
                f"family {f!r} belongs to two lineages, {first[f]!r} and {line!r}: "
                "give each its own family name."
            )


def _names(df: pd.DataFrame, column: str, model: Sequence[str] | None = None) -> list[str]:
    names = []
    for row, value in enumerate(df[column]):
        text = "" if _is_null(value) else str(value).strip()
        if not text:
            where = f" of model {model[row]!r}" if model is not None else ""
            raise DataError(f"row {row + 1} has no {column} name{where}.")
        names.append(text)
    return names


def _lineages(df: pd.DataFrame, family: list[str]) -> list[str]:
    if "lineage" not in df:
        return list(family)
    given = ["" if _is_null(v) else str(v).strip() for v in df["lineage"]]
    return [line or f for line, f in zip(given, family)]


def _flags(df: pd.DataFrame, model: Sequence[str]) -> np.ndarray:
    if "instruct" not in df:
        return np.zeros(len(df), dtype=bool)
    meaning = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
    meaning |= {"1.0": True, "0.0": False}
    flags = []
    for value, name in zip(df["instruct"], model):
        flag = False if _is_missing(value) else meaning.get(str(value).strip().lower())
        if flag is None:
            raise DataError(f"instruct of model {name!r} is {value!r}: it is true or false.")
        flags.append(flag)
    return np.array(flags, dtype=bool)


def _amounts(df: pd.DataFrame, column: str, model: Sequence[str]) -> np.ndarray:
    limit, unit = _LIMITS[column]
    amounts = []
    for cell, name in zip(df[column], model):
        value = _number(cell, column, name)
        if math.isinf(value):
            raise DataError(f"{column} of model {name!r} is infinite: leave unknown cells empty.")
        if value <= 0:
            raise DataError(
                f"{column} of model {name!r} is {value:g}: it must be positive; "
                "leave unknown cells empty."
            )
        if value > limit:
            raise DataError(
                f"{column} of model {name!r} is {value:g}: the unit is {unit}; "
                f"divide by {'1e9' if column == 'params_b' else '1e12'}."
            )
        amounts.append(value)
    return np.array(amounts, dtype=float)


def _scores(column: pd.Series, benchmark: str, model: Sequence[str], unscored: bool) -> np.ndarray:
    scores = []
    for cell, name in zip(column, model):
        value = _number(cell, benchmark, name)
        if math.isinf(value):
            raise DataError(
                f"score of model {name!r} on {benchmark} is infinite: leave missing scores empty."
            )
        if value > 1:
            raise DataError(
                f"score {value} of model {name!r} on {benchmark} is above 1: "
                "scores are fractions in [0, 1]; divide by 100."
            )
        if value < 0:
            raise DataError(
                f"score {value} of model {name!r} on {benchmark} is negative: "
                "scores are fractions in [0, 1]."
            )
        scores.append(value + 0.0)  # -0.0 and 0.0 are one score
    array = np.array(scores, dtype=float)
    if not unscored and np.isnan(array).all():
        raise DataError(f"benchmark {benchmark!r} has no score at all: leave it out.")
    return array


def _dates(df: pd.DataFrame, model: Sequence[str]) -> pd.Series:
    cells = df["date"] if "date" in df else [None] * len(df)
    dates = []
    for cell, name in zip(cells, model):
        try:
            # a date without time of day or zone: what the table promises, and what CSV keeps
            date = pd.NaT if _is_missing(cell) else pd.Timestamp(cell).tz_localize(None)
        except (ValueError, TypeError):
            raise DataError(
                f"date of model {name!r} is {cell!r}: write it as year-month-day."
            ) from None
        dates.append(date.normalize() if isinstance(date, pd.Timestamp) else pd.NaT)
    return pd.Series(dates, dtype="datetime64[s]")


def _released(
    df: pd.DataFrame, model: Sequence[str], family: Sequence[str]
) -> dict[str, pd.Period]:
    """Release month of each family: the earliest that one of its rows gives."""
    months: dict[str, pd.Period] = {}
    for cell, name, f in zip(df.get("released", ()), model, family):
        if _is_missing(cell):
            continue
        try:
            month = pd.Period(cell, freq="M")
        except (ValueError, TypeError):
            raise DataError(
                f"released of model {name!r} is {cell!r}: write it as year-month."
            ) from None
        months[f] = min(month, months.get(f, month))
    return months


def _is_number(value: object) -> bool:
    return (
        isinstance(value, int | float | np.integer | np.floating)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


def _is_null(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or value != value


def _is_missing(value: Any) -> bool:
    return _is_null(value) or (isinstance(value, str) and value.strip().lower() in _MISSING)


def _parse(value: Any) -> float | None:
    """The number in a cell, or None if it holds something else."""
    if isinstance(value, bool | np.bool_):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _number(cell: Any, column: str, model: str) -> float:
    if _is_missing(cell):
        return math.nan
    value = _parse(cell)
    if value is None:
        raise DataError(
            f"{column} of model {model!r} is {cell!r}, not a number: leave missing cells empty."
        )
    return value


def _asked(kind: str, wanted: str | Iterable[str], known: Sequence[str]) -> list[str]:
    names = [wanted] if isinstance(wanted, str) else list(dict.fromkeys(wanted))
    for name in names:
        if name not in known:
            raise unknown(kind, name, known)
    if not names:
        raise DataError(f"the list of {kind} names is empty.")
    return names


def _fingerprint(frame: pd.DataFrame, benchmarks: Sequence[Benchmark]) -> str:
    columns = [*_META, *(b.name for b in benchmarks)]
    rows = frame[columns].sort_values("model", kind="stable").itertuples(index=False, name=None)
    canonical = {
        "benchmarks": [
            [b.name, b.chance, b.n_questions, b.leaderboard, b.rounding] for b in benchmarks
        ],
        "rows": [[_canonical(value) for value in row] for row in rows],
    }
    return hashlib.sha256(json.dumps(canonical).encode()).hexdigest()[:16]


def _canonical(value: Any) -> object:
    if _is_null(value):
        return None
    return value.strftime("%Y-%m-%d") if isinstance(value, pd.Timestamp) else value


def _count(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
