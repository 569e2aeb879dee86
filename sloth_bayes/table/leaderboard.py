"""Leaderboard tables: validated, immutable, and the ones that ship.

A table holds one row a model (name, family, lineage, whether it is tuned, size, training
tokens, date) and one column a benchmark with scores in [0, 1], NaN where none was
published. Everything that could go wrong in a table is caught here, once, so that the
layers above never check again.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import DataError, UnknownNameError, check_known
from ..support.files import new_file, read_cells, user_path
from ..support.frames import as_pandas
from ..support.html import shown
from ..support.shipped import DEFAULT, PUBLISHED, dataset_folder, dataset_names
from ..support.types import checked
from ..support.words import counted
from . import columns as _columns
from .benchmarks import (
    Benchmark,
    described,
    listed_benchmarks,
    name_of,
    near_named,
    read_benchmarks,
    warn_of_near,
)
from .columns import FURTHER, META


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
    >>> data = load_dataset("open_llm_leaderboard")
    >>> data
    <Leaderboard 'open_llm_leaderboard': 188 models, 69 families, 12 benchmarks, 1638 scores>
    >>> data.select(families="qwen2", benchmarks=["MMLU", "BBH"]).models
    ('qwen2-0.5b', 'qwen2-1.5b', 'qwen2-7b', 'qwen2-72b')
    """

    _frame: pd.DataFrame
    _benchmarks: tuple[Benchmark, ...]
    _name: str
    _releases: Mapping[str, pd.Period]

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
            A DataFrame of pandas, polars or another library that narwhals reads; names in
            the index count as columns. Columns ``model``, ``family``, ``params_b`` (billions
            of parameters) and ``tokens_t`` (trillions of training tokens) are required; a
            size or token count may be NaN, and a table of models without any may lack both
            columns (it takes a law of ``inputs="date"`` or ``"none"``). ``lineage`` defaults to
            the family, ``instruct`` to False, ``date`` to NaT; ``kind`` (base, instruct or
            reasoning) says more than ``instruct``;
            ``total_params_b`` are those of a mixture of experts, whose
            ``params_b`` are the active ones; ``released`` (year and month) gives the release
            month of a family. Scores lie in [0, 1]; NaN means not published. Other columns are
            ignored, and `df` is not changed.
        benchmarks
            Names of score columns, or :class:`Benchmark` objects. A name of the Open LLM
            Leaderboard brings its chance level and number of questions along. None takes
            every column that carries such a name, and warns of columns that nearly do.
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
        return cls.validated(df, benchmarks, str(name))

    @classmethod
    def validated(
        cls,
        df: pd.DataFrame,
        benchmarks: Sequence[str | Benchmark] | None,
        name: str,
        unscored: bool = False,
    ) -> Leaderboard:
        """What `from_frame` does; `unscored` lets benchmarks without any score pass.

        For the layers above.
        """
        df = as_pandas(df)
        columns = [str(c) for c in df.columns]
        df = df.set_axis(columns, axis=1).reset_index(drop=True)
        _columns.require(columns)
        if not len(df):
            raise DataError("the table is empty: it needs at least one row, one model each.")
        listed = listed_benchmarks(df, benchmarks)
        _columns.reject_repeated(columns, {*META, "released", *map(name_of, listed)})

        model = _columns.names(df, "model")
        _columns.reject_duplicates(model)
        family = _columns.names(df, "family", model)
        lineage = _columns.lineages(df, family)
        _columns.reject_split(family, lineage)
        frame = pd.DataFrame({"model": model, "family": family, "lineage": lineage}, dtype="str")
        tuned = _columns.flags(df, model)
        kinds = _columns.kinds(df, model, tuned)
        frame["instruct"] = kinds != "base"
        for column in ("params_b", "tokens_t"):
            frame[column] = _columns.amounts(df, column, model)
        frame["date"] = _columns.dates(df, model)
        if "reasoning" in kinds:
            frame["kind"] = pd.array(kinds, dtype="str")
        total = _columns.totals(df, frame["params_b"].to_numpy(), model)
        if np.isfinite(total).any():
            frame["total_params_b"] = total
        scores = {n: _columns.scores(df[n], n, model, unscored) for n in map(name_of, listed)}
        metadata = tuple(b if isinstance(b, Benchmark) else described(b, scores[b]) for b in listed)
        frame = pd.concat([frame, pd.DataFrame(scores)], axis=1)
        return cls(frame, metadata, name, _columns.released(df, model, family))

    @classmethod
    def from_csv(
        cls,
        path: str | os.PathLike[str],
        benchmarks: Sequence[str | Benchmark] | None = None,
        name: str | None = None,
    ) -> Leaderboard:
        r"""Read and validate a CSV, parquet or Excel file; see :meth:`from_frame` for its columns.

        Parameters
        ----------
        path
            A UTF-8 CSV file with a header line, or a parquet or Excel file, by its ending
            (``.parquet``, ``.xlsx``; they need PyArrow or openpyxl). Empty cells, ``NA``,
            ``NaN`` and the like are missing values.
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
        path = user_path(path)
        df = read_cells(path)
        try:
            return cls.from_frame(df, benchmarks, path.stem if name is None else name)
        except (DataError, UnknownNameError) as error:
            raise type(error)(f"{path}: {error}") from None

    @property
    def frame(self) -> pd.DataFrame:
        """A copy of the table: the columns that describe a model, then the scores.

        Seven; and ``kind`` where some models reason, ``total_params_b`` (NaN of dense models)
        where some are mixtures of experts.
        """
        return self._frame.copy()

    @property
    def described(self) -> pd.DataFrame:
        """The same with all nine of those columns, every kind and total filled in.

        For the layers above.
        """
        frame = self.frame
        tuned = frame["instruct"].map({True: "instruct", False: "base"})
        kind = frame.get("kind", tuned)
        total = frame.get("total_params_b", frame["params_b"]).fillna(frame["params_b"])
        scores = frame[list(self.benchmark_names)]
        return pd.concat([frame[[*META]].assign(kind=kind, total_params_b=total), scores], axis=1)

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

    @functools.cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with any content, not with the order of rows."""
        rows = self._frame.sort_values("model", kind="stable").itertuples(index=False, name=None)
        canonical = {
            "benchmarks": [_described(b) for b in self._benchmarks],
            "rows": [[_canonical(value) for value in row] for row in rows],
        }
        return hashlib.sha256(json.dumps(canonical).encode()).hexdigest()[:16]

    @property
    def releases(self) -> pd.Series:
        """Release month of each family's weights: family to monthly Period, NaT if unknown."""
        months = [self._releases.get(f, pd.NaT) for f in self.families]
        return pd.Series(
            pd.PeriodIndex(months, freq="M"),
            index=pd.Index(self.families, name="family"),
            name="released",
        )

    def shared_models(self) -> pd.DataFrame:
        """How many models each pair of leaderboards shares: the links between them.

        A model belongs to a leaderboard if it has a score on one of its benchmarks. What one
        leaderboard tells about another rests on the models that both have.

        Returns
        -------
        pandas.DataFrame
            Leaderboards in rows and columns, in the order of their benchmarks; the diagonal
            counts the models of each. Benchmarks of no leaderboard are left aside.

        Examples
        --------
        >>> load_dataset("open_llm_leaderboard").shared_models().loc["v1", "v2"]
        np.int64(85)
        """
        boards = list(dict.fromkeys(b.leaderboard for b in self._benchmarks if b.leaderboard))
        has = pd.DataFrame(
            {
                board: self._frame[[b.name for b in self._benchmarks if b.leaderboard == board]]
                .notna()
                .any(axis=1)
                .astype(int)
                for board in boards
            }
        )
        return has.T @ has

    @checked
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
        >>> data = load_dataset("open_llm_leaderboard")
        >>> data.select(families=["pythia", "olmo"], benchmarks="MMLU")
        <Leaderboard 'open_llm_leaderboard': 10 models, 2 families, 1 benchmark, 10 scores>
        """
        keep = np.ones(len(self), dtype=bool)
        for kind, wanted, known in (
            ("model", models, self.models),
            ("family", families, self.families),
        ):
            if wanted is not None:
                keep &= self._frame[kind].isin(_asked(kind, wanted, known)).to_numpy()
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
        kept = tuple(metadata[c] for c in columns)
        return replace(self, _frame=rows[[*self._describing, *columns]], _benchmarks=kept)

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
        >>> len(load_dataset("open_llm_leaderboard").with_rows(new))
        189
        """
        present = [b for b in self._benchmarks if b.name in df.columns]
        if not present:
            raise DataError(
                "the rows to append have none of the table's benchmarks: "
                f"{', '.join(self.benchmark_names)}."
            )
        near = near_named(map(str, df.columns), (b.name for b in present))
        warn_of_near({c: like for c, like in near.items() if like in self.benchmark_names})
        added = Leaderboard.validated(df, present, self._name, unscored=True)
        further = [c for c in FURTHER if c in self._frame or c in added.frame]
        parts = [t.described[[*META, *further, *t.benchmark_names]] for t in (self, added)]
        frame = pd.concat(parts, ignore_index=True)
        frame = frame[[*META, *further, *self.benchmark_names]]
        if "total_params_b" in frame:
            dense = frame["total_params_b"] == frame["params_b"]
            frame["total_params_b"] = frame["total_params_b"].mask(dense)
        _columns.reject_duplicates(frame["model"])
        _columns.reject_split(frame["family"], frame["lineage"])
        return replace(self, _frame=frame, _releases={**self._releases, **added.releases.dropna()})

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
        path = user_path(path)
        frame = self.frame
        frame["date"] = frame["date"].dt.strftime("%Y-%m-%d")
        if self._releases:
            months = {family: str(month) for family, month in self._releases.items()}
            frame.insert(len(self._describing), "released", frame["family"].map(months))
        with new_file(path) as temporary:
            frame.to_csv(temporary, index=False, lineterminator="\n")
        return path

    @property
    def _describing(self) -> list[str]:
        """The columns that are no scores."""
        return [c for c in (*META, *FURTHER) if c in self._frame]

    def __len__(self) -> int:
        return len(self._frame)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Leaderboard):
            return NotImplemented
        return self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"<Leaderboard {self._name!r}: {self._counts()}>"

    def _repr_html_(self) -> str:
        return shown(repr(self), self._frame, form="{:g}", rows=10)

    def _counts(self) -> str:
        families = counted(len(self.families), "family", "families")
        benchmarks = counted(len(self._benchmarks), "benchmark")
        scores = counted(self.n_scores, "score")
        return f"{counted(len(self), 'model')}, {families}, {benchmarks}, {scores}"


def datasets() -> pd.DataFrame:
    """The data sets that ship with the package.

    Returns
    -------
    pandas.DataFrame
        One row a data set: name, title, models, benchmarks, scores, source, licence.

    Examples
    --------
    >>> datasets()[["name", "models", "benchmarks", "scores", "licence"]].values.tolist()[0]
    ['frontier_scorecards', 84, 128, 2518, 'CDLA-Permissive-2.0']
    """
    rows = []
    for name in dataset_names():
        data = load_dataset(name)
        about = tomllib.loads((dataset_folder(name) / "about.toml").read_text(encoding="utf-8"))
        counts = {"models": len(data), "benchmarks": len(data.benchmarks), "scores": data.n_scores}
        rows.append({"name": name} | counts | about)
    columns = ["name", "title", "models", "benchmarks", "scores", "source", "licence"]
    return pd.DataFrame(rows, columns=columns)


@checked
@functools.lru_cache(maxsize=8)
def load_dataset(name: str = DEFAULT, corrected: bool = True) -> Leaderboard:
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
    >>> for corrected in (True, False):
    ...     frame = load_dataset("open_llm_leaderboard", corrected).frame
    ...     print(frame.set_index("model").loc["stablelm-2-1_6b", "params_b"])
    1.6
    6.0
    """
    folder = dataset_folder(name)
    table = read_cells(folder / "models.csv")
    if corrected:
        table = _apply(table, load_corrections(name))
    if "released" not in table:
        rows = read_cells(folder / "releases.csv")
        months = dict(zip(rows["family"], rows["year"] + "-" + rows["month"].str.zfill(2)))
        table["released"] = table["family"].map(months)
    return Leaderboard.from_frame(table, read_benchmarks(name), name)


@checked
def load_subscores(name: str = PUBLISHED) -> pd.DataFrame:
    """The sub-scores behind the headline scores of a data set that ships.

    Parameters
    ----------
    name
        A name that :func:`datasets` lists.

    Returns
    -------
    pandas.DataFrame
        One row a sub-score: model, benchmark, subtask, score in [0, 1].

    Raises
    ------
    DataError
        The data set has none.

    Examples
    --------
    >>> load_subscores().groupby("benchmark")["subtask"].nunique().to_dict()
    {'BBH': 24, 'GPQA': 3, 'MATH Lvl 5': 7, 'MMLU': 57, 'MUSR': 3}
    """
    path = dataset_folder(name) / "subscores.csv"
    if not path.exists():
        raise DataError(f"data set {name!r} has no sub-scores; {PUBLISHED!r} has.")
    table = read_cells(path)
    return table.assign(score=table["score"].astype(float))


@checked
def load_corrections(name: str = DEFAULT) -> pd.DataFrame:
    """The corrections of published values, each with its source.

    Parameters
    ----------
    name
        A name that :func:`datasets` lists.

    Returns
    -------
    pandas.DataFrame
        One row a corrected cell: model, column, from, to, source, note, all as text. An
        empty ``from`` means that nothing was published, an empty ``to`` that the value is
        not used.

    Examples
    --------
    >>> rows = load_corrections("open_llm_leaderboard").query("model == 'bloom-7b1'")
    >>> rows[["column", "from", "to"]].values.tolist()
    [['params_b', '7', '7.1']]
    """
    return read_cells(dataset_folder(name) / "corrections.csv")


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


def _asked(kind: str, wanted: str | Iterable[str], known: Sequence[str]) -> list[str]:
    names = [wanted] if isinstance(wanted, str) else list(dict.fromkeys(wanted))
    check_known(kind, names, known)
    if not names:
        raise DataError(f"the list of {kind} names is empty.")
    return names


def _described(benchmark: Benchmark) -> tuple[Any, ...]:
    """Its metadata; without what earlier versions did not know, so that fingerprints stay."""
    told = list(astuple(benchmark))
    while told[-1] is None:  # later fields; the rounding is always known
        told.pop()
    return tuple(told)


def _canonical(value: Any) -> object:
    if _columns.is_null(value):
        return None
    return value.strftime("%Y-%m-%d") if isinstance(value, pd.Timestamp) else value
