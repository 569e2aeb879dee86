"""Models to forecast: a table of them, checked against what a posterior knows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..errors import DataError, near, spelled_alike, unknown
from ..law.equations import INPUTS, doublings_of_compute
from ..law.terms import Term, read, reading
from ..law.terms.year import REFERENCE
from ..posterior.core import PosteriorDraws
from ..support.checks import check_text
from ..support.frames import as_pandas, is_frame
from ..support.spelling import other_unit, plain_number, what_to_write
from ..support.types import checked
from ..support.words import counted, listed
from ..table.columns import AMOUNTS, KINDS
from ..table.columns import released as months_in

_COLUMNS = [
    *("model", "family", "lineage", "instruct", "kind"),
    *("params_b", "total_params_b", "tokens_t"),
]
_SAID = [*_COLUMNS, "released"]
# What spelling alone does not reveal
_MEANT = dict.fromkeys(("release", "release_date", "release_month"), "released")
_LINKED = 5  # models that two leaderboards share, or more
_UNITS = {"params_b": "billions of parameters", "tokens_t": "trillions of tokens"}


@checked
def candidates(
    family: str | list[str] = "new family",
    params_b: float | list[float] = 7.0,
    tokens_t: float | list[float] = 2.0,
    *,
    lineage: str | list[str] | None = None,
    instruct: bool | list[bool] | None = None,
    kind: str | list[str] | None = None,
    total_params_b: float | list[float] | None = None,
    released: str | list[str] | None = None,
    model: str | list[str] | None = None,
    grid: bool = False,
) -> pd.DataFrame:
    """A table of models to forecast.

    Parameters
    ----------
    family, params_b, tokens_t
        Family, size in billions of parameters, training tokens in trillions: single
        values or lists, which pair up like NumPy broadcasting (lists of one length). The
        size of a mixture of experts is that of its active parameters.
    lineage, instruct
        Base family and whether instruction-tuned; by default what the posterior knows
        about the family.
    kind
        ``"base"``, ``"instruct"`` or ``"reasoning"`` (a tuned model that reasons at length
        before it answers), instead of `instruct`.
    total_params_b
        All parameters of a mixture of experts, in billions; by default the model is dense, or
        like the mixtures of its family.
    released
        Month of release of a family, ``"YYYY-MM"``, which a law with ``progress`` reads; by
        default the family's, and of a new one the latest of the fit.
    model
        Names; by default ``family-sizeB-tokensT``.
    grid
        Cross the lists instead of pairing them.

    Returns
    -------
    pandas.DataFrame
        Columns model, family, params_b, tokens_t, and those of the others that are given.

    Raises
    ------
    DataError
        If lists to be paired differ in length, a size or token count is not positive and
        finite, or names are given where lists are crossed.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> sb.candidates(family="qwen2", params_b=[72, 200], tokens_t=[7, 15])["model"].tolist()
    ['qwen2-72B-7T', 'qwen2-200B-15T']
    >>> len(sb.candidates(family="qwen2", params_b=[72, 200], tokens_t=[7, 15], grid=True))
    4
    """
    columns: dict[str, Any] = {"family": family, "params_b": params_b, "tokens_t": tokens_t}
    optional = {
        "lineage": lineage, "instruct": instruct, "kind": kind, "total_params_b": total_params_b,
        "released": released, "model": None if grid else model,
    }  # fmt: skip
    columns |= {name: value for name, value in optional.items() if value is not None}
    arrays = {k: np.atleast_1d(np.asarray(v)) for k, v in columns.items()}
    for name, values in arrays.items():
        if values.ndim > 1 or values.size == 0:
            raise DataError(f"candidates: {name} must be one value or a flat list of some")
    if grid:
        if model is not None and not isinstance(model, str) and len(model) > 1:
            raise DataError("candidates: grid=True crosses lists and names the models itself")
        crossed = pd.MultiIndex.from_product(list(arrays.values()), names=list(arrays))
        frame = crossed.to_frame(index=False)
        if model is not None:
            frame["model"] = model
    else:
        lengths = {k: v.size for k, v in arrays.items() if v.size > 1}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{k} has {n}" for k, n in lengths.items())
            raise DataError(f"candidates: lists must pair up, but {listed}; use grid=True to cross")
        size = max([1, *lengths.values()])
        frame = pd.DataFrame({k: np.resize(v, size) for k, v in arrays.items()})
    frame = _with_numbers(frame)
    if "model" not in frame:
        names = default_names(frame)
        if "instruct" in frame and frame["instruct"].nunique() > 1:
            names = [f"{n}-tuned" if i else n for n, i in zip(names, frame["instruct"])]
        if "kind" in frame and frame["kind"].nunique() > 1:
            names = [n if k == "base" else f"{n}-{k}" for n, k in zip(names, frame["kind"])]
        if "total_params_b" in frame and frame["total_params_b"].nunique() > 1:
            names = [f"{n}-of-{t:g}B" for n, t in zip(names, frame["total_params_b"])]
        if "released" in frame and frame["released"].nunique() > 1:
            names = [f"{n}-{month}" for n, month in zip(names, frame["released"])]
        frame["model"] = names
    return frame.filter(items=_SAID)


def default_names(frame: pd.DataFrame) -> list[str]:
    """Names of models by family, size and tokens. For the layers above."""
    return [f"{f}-{p:g}B-{t:g}T" for f, p, t in zip(frame.family, frame.params_b, frame.tokens_t)]


def completed(post: PosteriorDraws, frame: pd.DataFrame, new_family: bool) -> pd.DataFrame:
    """Check the candidates and fill in lineage, instruct and what terms read.

    What is not said is taken from the family: its lineage, whether most of its models are
    tuned, and the mean of what terms read.
    """
    if not is_frame(frame):
        raise DataError("candidates must be a DataFrame: see sloth_bayes.candidates")
    frame = as_pandas(frame)
    if frame.empty:
        raise DataError("there is no candidate to forecast: the table is empty")
    sized = bool(INPUTS[post.spec.inputs])
    for column in ("model", "family", *(AMOUNTS if sized else ())):
        if column not in frame:
            raise DataError(
                f"the candidates lack the column {column!r}: see sloth_bayes.candidates"
            )
    _check_near_columns(frame)
    rows = frame.reset_index(drop=True)
    rows = (_with_numbers(rows) if sized else rows).reindex(columns=_COLUMNS)
    if not sized:  # nobody reads them
        rows[["params_b", "total_params_b", "tokens_t"]] = np.nan
    for column in ("model", "family"):
        for at in np.flatnonzero(rows[column].isna()):
            raise DataError(f"candidate {at + 1} has no {column}: fill in the column {column!r}")
        rows[column] = rows[column].astype(str)
        for name in rows[column]:
            check_text(name, column)
    families = post.family_table()
    lineage_of, kind_of = (families[c].to_dict() for c in ("lineage", "kind"))
    lineages, kinds = [], []
    for i, family in enumerate(rows["family"]):
        asked = rows["lineage"].iloc[i]
        asked = None if pd.isna(asked) else str(asked)
        if asked is not None:
            check_text(asked, "lineage")
        known = lineage_of.get(family)
        if known is not None and asked not in (None, known):
            raise DataError(f"family {family!r} is of lineage {known!r}, not {asked!r}")
        if known is None and not new_family and asked not in post.lineages:
            raise unknown(
                "family",
                family,
                post.families,
                "A family nobody has seen is forecast with new_family=True "
                "(--new-family), or by naming a known lineage.",
            )
        if known is None and not new_family and (like := spelled_alike(family, lineage_of)):
            raise DataError(
                f"family {family!r} is spelled like {like!r}, which is known: write it so, or say "
                "with new_family=True (--new-family) that it is another one"
            )
        if known is None and asked and (like := spelled_alike(asked, post.lineages)):
            raise DataError(f"lineage {asked!r} is spelled like {like!r}, which is known: write so")
        lineages.append(known or asked or family)
        kinds.append(_kind(rows.iloc[i], kind_of.get(family, "base")))
    rows["lineage"], rows["kind"] = lineages, kinds
    rows["instruct"] = rows["kind"] != "base"
    for name in rows["model"][rows["model"].duplicated()]:
        raise DataError(
            f"candidate {name!r} is there twice: give each candidate a name of its own in the "
            "column 'model'"
        )
    _check_months(post, frame, rows)
    for term in reading(post.spec):
        if term.reads != "instruct":
            given = frame.reset_index(drop=True).assign(**rows[_COLUMNS])
            rows[term.reads] = column_of(post, term, given, rows)
    counts = rows.groupby("family")["lineage"].nunique()
    for family in counts.index[counts > 1]:
        both = sorted(set(rows.loc[rows["family"] == family, "lineage"]))
        raise DataError(
            f"family {family!r} is given two lineages, {both[0]!r} and {both[1]!r}: a family "
            "belongs to one lineage"
        )
    return rows


def _check_months(post: PosteriorDraws, frame: pd.DataFrame, rows: pd.DataFrame) -> None:
    """What is no month is refused, and, where the law asks for it, another than the family's."""
    months_in(frame, rows["model"], rows["family"])
    of_families = [term for term in reading(post.spec) if term.of_families]
    if "released" not in frame or not of_families:
        return
    years = pd.Series(post.constant(of_families[0].reads))
    known = years.groupby(post.constant("family_of_model")).mean()
    said = pd.Series(pd.PeriodIndex(frame["released"], freq="M"), rows.index)
    month_of: dict[str, pd.Period] = {f: _month(year) for f, year in known.items()}
    for family, month in zip(rows["family"][said.notna()], said.dropna()):
        there = month_of.setdefault(family, month)
        if month != there:
            raise DataError(
                f"family {family!r} is of {there}, and {month} is said of it: leave 'released' "
                "out, or forecast what is released then as another family, of the same lineage"
            )


def _month(years: float) -> pd.Period:
    """The month in which a number of years from the reference ends."""
    return (REFERENCE + pd.Timedelta(days=365.25 * years)).to_period("M")


def moved(
    post: PosteriorDraws, rows: pd.DataFrame, params_b: np.ndarray, tokens_t: np.ndarray
) -> pd.DataFrame:
    """Completed candidates at other sizes and tokens, mixtures in proportion. For the layers above.

    They keep their names.
    """
    total = rows["total_params_b"] / rows["params_b"] * params_b
    rows = rows.assign(params_b=params_b, total_params_b=total, tokens_t=tokens_t)
    for term in reading(post.spec):
        said = term.reads in rows and read(term, rows, "the candidates") is None
        if term.reads != "instruct" and not said:  # a date does not move with size and tokens
            rows[term.reads] = column_of(post, term, rows, rows)
    return rows


def _kind(row: pd.Series, default: str) -> str:
    """The kind of a candidate, by what its row says or else its family."""
    kind, tuned = row["kind"], row["instruct"]
    if not pd.isna(tuned) and tuned not in (True, False):
        raise DataError(
            f"instruct of candidate {row['model']!r} is {tuned!r}: it must be True, False or "
            "missing"
        )
    if pd.isna(kind):
        if pd.isna(tuned) or bool(tuned) == (default != "base"):
            return default
        return "instruct" if tuned else "base"
    if kind not in KINDS:
        raise DataError(
            f"kind of candidate {row['model']!r} is {kind!r}: it is {', '.join(KINDS[:-1])} or "
            f"{KINDS[-1]}"
        )
    if not pd.isna(tuned) and bool(tuned) != (kind != "base"):
        raise DataError(
            f"candidate {row['model']!r} is of kind {kind!r}, and its instruct is {bool(tuned)}: "
            "say one of the two"
        )
    return str(kind)


def column_of(
    post: PosteriorDraws, term: Term, frame: pd.DataFrame, rows: pd.DataFrame
) -> np.ndarray:
    """What a term reads of models, by default what it read of them, or the mean of their family.

    For the layers above.
    """
    known = pd.Series(post.constant(term.reads), post.models)
    default = rows["model"].map(known).to_numpy(float)
    if term.inherited:
        mean = known.groupby(post.constant("family_of_model")).mean()
        default = rows["family"].map(mean).to_numpy(float)
    given = read(term, frame, "the candidates")
    given = np.full(len(rows), np.nan) if given is None else given
    found = np.where(np.isfinite(given), given, default)
    new = term.of_new_family(post.constant(term.reads))
    if new is not None:
        found = np.where(np.isfinite(found), found, new)
    for model in rows["model"][~np.isfinite(found)]:
        if not term.inherited:
            raise DataError(
                f"model {model!r} has no {term.reads!r}, which the term {term.name!r} of this law "
                "needs: say when it is released, in the column 'date' (year-month-day)"
            )
        raise DataError(
            f"model {model!r} is of a new family and has no {term.reads!r}, which the term "
            f"{term.name!r} of this law needs: add the column that it is read from"
        )
    return found


def doublings(post: PosteriorDraws, rows: pd.DataFrame) -> np.ndarray:
    """Doublings of compute between each model and the nearest of its family in the fit, ``(M,)``.

    NaN of a family without a model of known size and tokens. Of a law of sizes alone,
    doublings of size.
    """

    def compute(params_b: np.ndarray, tokens_t: np.ndarray) -> np.ndarray:
        return doublings_of_compute(params_b, 1.0 if post.spec.inputs == "size" else tokens_t)

    known = compute(post.constant("params_b"), post.constant("tokens_t"))
    family = post.constant("family_of_model").astype(str)
    there = np.isfinite(known)
    found = np.full(len(rows), np.nan)
    for i, here in enumerate(compute(rows["params_b"].to_numpy(), rows["tokens_t"].to_numpy())):
        of = known[there & (family == rows["family"].iloc[i])]
        if of.size:
            found[i] = np.abs(of - here).min()
    return found


def extrapolation(post: PosteriorDraws, rows: pd.DataFrame) -> list[str]:
    """One sentence for each input that leaves the range of the fit."""
    notes = []
    if "years" in post.constant_data:
        years = post.constant("years")
        first, last = float(years.min()), float(years.max())
        for model, year in zip(rows["model"], rows["years"]):
            if first - 1e-3 <= year <= last + 1e-3:
                continue
            when = f"{year - last:.2g} years after the last"
            if year < first:
                when = f"{first - year:.2g} years before the first"
            notes.append(
                f"{model}: released {when} model in the data: the interval relies on the law"
            )
    if not INPUTS[post.spec.inputs]:
        return notes
    for column, what, unit in (("params_b", "size", "B"), ("tokens_t", "tokens", "T")):
        if column == "tokens_t" and post.spec.inputs == "size":
            continue
        low, high = post.extent(column)
        for model, value in zip(rows["model"], rows[column]):
            if value > high * 1.0001:
                times, end = f"{value / high:.3g} times the largest", high
            elif value < low * 0.9999:
                times, end = f"{low / value:.3g} times below the smallest", low
            else:
                continue
            notes.append(
                f"{model}: {what} {value:g}{unit} is {times} in the data ({end:g}{unit}): the "
                "interval relies on the law"
            )
    return notes


class Caution(NamedTuple):
    """What a forecast on some benchmarks lacks, of models of a kind or of a lineage."""

    kind: str | None
    lineage: str | None
    benchmarks: list[str]
    words: tuple[str, str]  # before and after the benchmarks

    def __str__(self) -> str:
        return listed(self.benchmarks).join(self.words)


def unfounded(post: PosteriorDraws, rows: pd.DataFrame, benchmarks: list[str]) -> list[Caution]:
    """One caution for each kind that some benchmarks never saw, and for each weak link.

    A benchmark of another leaderboard than those that the candidate's lineage is on is linked
    to it by the models that both leaderboards have.
    """
    cells = post.tree["observed_data"].to_dataset()
    about = post.model_table()
    of = pd.DataFrame(
        {"model": cells["obs_model"].values.astype(str), "benchmark": cells["obs_benchmark"].values}
    )
    of = of.join(about[["kind", "lineage"]], on="model")
    notes = []
    if post.spec.instruct != "none":
        seen = of.groupby("kind")["benchmark"].unique()
        after = ": the forecast there rests on what other kinds of models score"
        for kind in dict.fromkeys(rows["kind"]):
            if never := [b for b in benchmarks if b not in seen.get(kind, ())]:
                before = f"no {kind} model has a score on "
                notes.append(Caution(kind, None, never, (before, after)))
    board_of = post.leaderboard_of
    of["board"] = of["benchmark"].map(board_of)
    has = of[of["board"] != ""].groupby("board")["model"].agg(set)
    on = of[of["board"] != ""].groupby("lineage")["board"].agg(set)
    for lineage in dict.fromkeys(rows["lineage"]):
        weak: dict[int, list[str]] = {}
        for b in benchmarks if lineage in on else ():
            there = has.get(board_of[b], set())
            shared = max(len(there & has[board]) for board in on[lineage])
            if board_of[b] and shared < _LINKED:
                weak.setdefault(shared, []).append(b)
        for shared, names in weak.items():
            before = f"{lineage} is weakly linked to "
            with_those = f"share {counted(shared, 'model')} with those"
            after = f": the leaderboards that it is on {with_those}"
            notes.append(Caution(None, lineage, names, (before, after)))
    return notes


def never_seen(post: PosteriorDraws, rows: pd.DataFrame) -> list[str]:
    """One sentence for each family that is not in the fit."""
    lineage_of = dict(zip(rows["family"], rows["lineage"]))
    return [
        f"family {family!r} was never seen{_resembles(family, post.families)}: drawn from "
        + (
            f"its lineage {of!r}"
            if of in post.lineages
            else "the population of lineages"
            + (f", as its lineage {of!r} is new{_hint(of, post.lineages)}" if of != family else "")
        )
        + _as_of(post, rows[rows["family"] == family])
        for family, of in lineage_of.items()
        if family not in post.families
    ]


def of_another_kind(post: PosteriorDraws, rows: pd.DataFrame) -> list[str]:
    """One sentence for each family asked for as a kind that others of its lineage are."""
    families, notes = post.family_table(), []
    for family, kind in dict.fromkeys(zip(rows["family"], rows["kind"])):
        if family not in families.index or families["kind"][family] == kind:
            continue
        same = families["lineage"] == families["lineage"][family]
        if like := list(families.index[same & (families["kind"] == kind)]):
            are = "are" if len(like) > 1 else "is"
            notes.append(
                f"most models of {family} are {families['kind'][family]}: {listed(like)}, of its "
                f"lineage, {are} {kind}, and to name one is to use its own scores"
            )
    return notes if post.spec.instruct != "none" else []


def _as_of(post: PosteriorDraws, rows: pd.DataFrame) -> str:
    """Of which month a new family is, where the law asks."""
    if "years" not in post.constant_data or not INPUTS[post.spec.inputs]:
        return ""
    year = float(rows["years"].iloc[0])
    latest = year == float(post.constant("years").max())
    return f", as of {_month(year)}" + ", the latest month of the fit" * latest


def unread(post: PosteriorDraws, frame: pd.DataFrame) -> list[str]:
    """A sentence if months are said and the law has no use for them."""
    given = as_pandas(frame)
    if "released" not in given or given["released"].isna().all():
        return []
    if "years" in post.constant_data or post.spec.terms:  # a term of one's own may read it
        return []
    return ["months of release ('released') change nothing: this law does not read them"]


def _resembles(family: str, known: list[str]) -> str:
    like = spelled_alike(family, known)
    return f" (it is spelled like {like!r}, which was)" if like else ""


def _hint(lineage: str, known: list[str]) -> str:
    close = near(lineage, known, 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _check_near_columns(frame: pd.DataFrame) -> None:
    """No column is nearly one that is left out, and would go unread."""
    missing = [c for c in _SAID if c not in frame]
    for column in map(str, frame.columns):
        like = [_MEANT[column]] if column in _MEANT else near(column, missing, 1, cutoff=0.85)
        if column not in _SAID and like:
            raise DataError(
                f"the candidates have a column {column!r}, which nobody reads: rename it to "
                f"{like[0]!r} if it is meant, or leave it out"
            )


def _with_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy with sizes and tokens as numbers, or an error naming the candidate."""
    frame = frame.copy()
    if "total_params_b" in frame:
        frame["total_params_b"] = _totals(frame)
    for column, unit in _UNITS.items():
        values = np.array([_number(cell) for cell in frame[column]], float)
        for i, (value, given) in enumerate(zip(values, frame[column])):
            if np.isfinite(value) and value > 0 and not other_unit(value, column):
                continue
            name = frame["model"].iloc[i] if "model" in frame else f"row {i + 1}"
            says = f"{given}: it must be positive and finite, in {unit}"
            if pd.isna(given):
                says = f"missing: a forecast needs {unit}"
            elif np.isnan(value) and (advice := what_to_write(given, column)):
                says = f"{given}: {advice}, in {unit}"
            elif np.isfinite(value) and value > 0:
                says = other_unit(value, column)
            raise DataError(f"{column} of candidate {str(name)!r} is {says}")
        frame[column] = values
    return frame


def _totals(frame: pd.DataFrame) -> np.ndarray:
    """Total parameters, NaN where they are not said, each at least the active ones."""
    found = np.full(len(frame), np.nan)
    for i, (total, active) in enumerate(zip(frame["total_params_b"], frame["params_b"])):
        if pd.isna(total):
            continue
        name = str(frame["model"].iloc[i] if "model" in frame else f"row {i + 1}")
        value = _number(total)
        if not np.isfinite(value) or value < _number(active):
            raise DataError(
                f"total_params_b of candidate {name!r} is {total}: all its parameters, in "
                f"billions, at least the {active} that are active (params_b)"
            )
        if wrong := other_unit(value, "total_params_b"):
            raise DataError(f"total_params_b of candidate {name!r} is {wrong}")
        found[i] = value
    return found


def _number(cell: Any) -> float:
    """NaN for what is none."""
    try:
        return plain_number(cell)
    except (TypeError, ValueError):
        return np.nan
