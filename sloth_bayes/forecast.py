"""Forecasts: the scores of models nobody has trained, as distributions.

Held fixed: the candidate's size, tokens and family. Random: every parameter of the
posterior; the family's own effects, from the population, if the family is new; the
model-level effect of the candidate; and, for the score, the observation noise.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from . import law
from ._threads import workers
from .errors import ConvergenceWarning, DataError, ExtrapolationWarning, unknown
from .posterior import Effects, Posterior, draw_scores, draws_together

_FRAME = ["model", "family", "params_b", "tokens_t", "benchmark"]


def candidates(
    family: str | list[str] = "new family",
    params_b: float | list[float] = 7.0,
    tokens_t: float | list[float] = 2.0,
    *,
    lineage: str | list[str] | None = None,
    instruct: bool | list[bool] | None = None,
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
    model
        Names; by default ``family-sizeB-tokensT``.
    grid
        Cross the lists instead of pairing them.

    Returns
    -------
    pandas.DataFrame
        Columns model, family, params_b, tokens_t, and lineage and instruct if given.

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
    for name, value in (("lineage", lineage), ("instruct", instruct)):
        if value is not None:
            columns[name] = value
    if model is not None and not grid:
        columns["model"] = model
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
        names = [
            f"{f}-{p:g}B-{t:g}T" for f, p, t in zip(frame.family, frame.params_b, frame.tokens_t)
        ]
        if "instruct" in frame and frame["instruct"].nunique() > 1:
            names = [f"{n}-tuned" if i else n for n, i in zip(names, frame["instruct"])]
        frame["model"] = names
    order = ["model", "family", "lineage", "instruct", "params_b", "tokens_t"]
    return frame[[c for c in order if c in frame]]


class Forecast:
    """Forecast scores of some candidates.

    Nothing is drawn before it is asked for. Summaries go over blocks of candidates, in
    threads, and keep no draws, so that thousands of candidates fit in little memory; the
    same numbers come out of :attr:`draws`.

    Attributes
    ----------
    candidates : pandas.DataFrame
        The models, one a row, with lineage and instruct filled in.
    benchmarks : list of str
        The benchmarks that were asked for.
    prob : float
        Mass of the central interval in :attr:`frame`.
    warnings : list of str
        What to keep in mind: extrapolation, families never seen.
    """

    def __init__(
        self,
        posterior: Posterior,
        candidates: pd.DataFrame,
        benchmarks: list[str],
        prob: float,
        seed: int,
        warnings: list[str],
    ) -> None:
        self.candidates = candidates
        self.benchmarks = benchmarks
        self.prob = prob
        self.warnings = warnings
        self._posterior = posterior
        self._seed = seed
        self._known = _Known.of(posterior)
        self._blocks = list(posterior._blocks(len(candidates)))

    def __repr__(self) -> str:
        return (
            f"<sloth_bayes.Forecast: {len(self.candidates)} model(s) x {len(self.benchmarks)} "
            f"benchmark(s), {self._posterior.n_draws} draws, {self.prob:.0%} intervals>"
        )

    def _repr_html_(self) -> str:
        return self.frame.to_html(index=False, float_format="{:.3f}".format, max_rows=24)

    @cached_property
    def draws(self) -> xr.Dataset:
        """All draws: dims chain, draw, model, benchmark.

        ``score`` (posterior predictive, in [0, 1]) and ``expected`` (the expected score
        without observation noise), in single precision: 8 bytes a draw, model and
        benchmark together.
        """
        group = self._posterior._tree["posterior"]
        sizes, cells = group.sizes, (len(self.candidates), len(self.benchmarks))
        arrays = [np.empty((*cells, self._posterior.n_draws), np.float32) for _ in range(2)]

        def fill(block: slice) -> None:
            for array, values in zip(arrays, self._evaluate(block, True), strict=True):
                array[block] = values

        for _ in _in_threads(fill, self._blocks):
            pass
        dims = ("chain", "draw", "model", "benchmark")
        score, expected = (
            np.moveaxis(a.reshape(*cells, sizes["chain"], sizes["draw"]), (2, 3), (0, 1))
            for a in arrays
        )
        return xr.Dataset(
            {"score": (dims, score), "expected": (dims, expected)},
            coords={
                "chain": group["chain"].values,
                "draw": group["draw"].values,
                "model": self.candidates["model"].to_numpy(str),
                "benchmark": self.benchmarks,
            },
        )

    def _evaluate(self, block: slice, noisy: bool) -> list[np.ndarray]:
        """Scores (if `noisy`) and expected scores of some candidates: (model, benchmark, draw)."""
        post, rows = self._posterior, self.candidates.iloc[block]
        names = post.benchmarks
        keep = [names.index(b) for b in self.benchmarks]
        mu, fraction = post._expected(_effects(post, rows, self._seed, self._known))
        expected = mu.transpose(1, 2, 0)
        if keep != list(range(len(names))):
            expected = expected[:, keep]
        if not noisy:
            return [expected]
        sd = post._noise_sd(mu, fraction)
        score = np.empty(expected.shape, np.float32)
        for i, row in enumerate(rows.itertuples()):
            # All benchmarks are drawn whichever are kept, so that asking for one of them
            # gives the numbers that asking for all gives.
            rng = _rng(_key(self._seed, "noise", *_identity(row)))
            score[i] = draw_scores(mu[:, i], sd[:, i], post.spec.df, rng)[:, keep].T
        return [score, expected]

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The score, tidy: one row per model and benchmark, with its central interval."""
        return self.summary()

    def summary(self, of: str = "score", prob: float | None = None) -> pd.DataFrame:
        """Mean, median, standard deviation and central interval.

        Parameters
        ----------
        of
            ``"score"``: what an evaluation would report, before rounding; ``"expected"``:
            the expected score, without the noise of a single evaluation.
        prob
            Mass of the interval; that of the forecast by default.

        Returns
        -------
        pandas.DataFrame
            model, family, params_b, tokens_t, benchmark, mean, median, sd, lower, upper,
            prob; scores in [0, 1].

        Raises
        ------
        UnknownNameError
            If `of` is neither.
        DataError
            If `prob` is not between 0 and 1.
        """
        if of not in ("score", "expected"):
            raise unknown("summary", of, ["score", "expected"])
        prob = check_prob(self.prob if prob is None else prob)
        levels = [(1 - prob) / 2, 0.5, (1 + prob) / 2]

        def summarise(block: slice) -> np.ndarray:
            found = []
            for values in self._evaluate(block, of == "score")[0]:  # one model: fits a cache
                mean, sd = values.mean(-1, dtype=np.float64), values.std(-1, dtype=np.float64)
                lower, median, upper = quantiles(values, levels)
                found.append([mean, median, sd, lower, upper])
            return np.array(found).swapaxes(0, 1)

        statistics = np.concatenate(list(_in_threads(summarise, self._blocks)), axis=1)
        names = self.benchmarks
        repeated = self.candidates.loc[
            self.candidates.index.repeat(len(names)), ["model", "family", "params_b", "tokens_t"]
        ].reset_index(drop=True)
        repeated["benchmark"] = names * len(self.candidates)
        columns = ["mean", "median", "sd", "lower", "upper"]
        for name, array in zip(columns, statistics, strict=True):
            repeated[name] = array.ravel()
        repeated["prob"] = prob
        return repeated[[*_FRAME, *columns, "prob"]]

    def plot(self, benchmarks: list[str] | None = None, **options: Any) -> np.ndarray[Any, Any]:
        """Score against size with its interval; see :func:`sloth_bayes.plots.forecast`.

        Returns
        -------
        numpy.ndarray of matplotlib.axes.Axes
        """
        from . import plots

        axes: np.ndarray[Any, Any] = plots.forecast(self, benchmarks=benchmarks, **options)
        return axes


def forecast(
    post: Posterior,
    frame: pd.DataFrame,
    prob: float = 0.9,
    seed: int = 0,
    *,
    new_family: bool = False,
    benchmarks: str | list[str] | None = None,
) -> Forecast:
    """Forecast the scores of candidates.

    Parameters
    ----------
    post
        The posterior.
    frame
        One row a model: model, family, params_b (billions), tokens_t (trillions);
        lineage and instruct are optional (see :func:`candidates`). A row that repeats a
        model of the fit (same name, family, size and tokens) is forecast with that
        model's own effect; any other model draws its effect from the population.
    prob
        Mass of the central interval.
    seed
        Seed of everything that is not in the posterior's draws. A candidate's draws
        depend on the seed and on what the candidate is, not on the other rows.
    new_family
        Accept families the posterior has not seen, drawn from the population of lineages
        (candidates of one new family share its draw). A new family of a known lineage (or
        of its lineage's name) is drawn around that lineage; with its lineage given it is
        accepted without `new_family`.
    benchmarks
        Benchmark or benchmarks to keep; all by default.

    Returns
    -------
    Forecast

    Raises
    ------
    UnknownNameError
        For a family or benchmark that the posterior does not know.
    DataError
        For a missing column, an unknown size or number of tokens, or nonsense numbers.

    Warns
    -----
    ExtrapolationWarning
        If a candidate is larger, or smaller, or trained on more or fewer tokens than any
        model of the fit; the message says by how much.
    ConvergenceWarning
        If the diagnostics have been computed (a posterior that ships has them) and say
        that the fit has not converged.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> fc = sb.load("leaderboard").forecast(sb.candidates("qwen2", 60, 7), benchmarks="MMLU")
    >>> row = fc.frame.iloc[0]
    >>> bool(0.6 < row["lower"] < row["median"] < row["upper"] < 0.95)
    True
    """
    prob = check_prob(prob)
    rows = _complete(post, frame, new_family)
    names = post.benchmarks
    benchmarks = [benchmarks] if isinstance(benchmarks, str) else benchmarks
    if benchmarks is not None and len(benchmarks) == 0:
        raise DataError("no benchmark is asked for: leave benchmarks out for all of them")
    for name in benchmarks or []:
        if name not in names:
            raise unknown("benchmark", name, names)
    benchmarks = list(dict.fromkeys(benchmarks or names))

    notes = _extrapolation(post, rows)
    for note in notes:
        warnings.warn(note, ExtrapolationWarning, stacklevel=3)
    if post.known_verdict is False:
        warnings.warn(
            "the posterior has not converged: see its diagnostics()",
            ConvergenceWarning,
            stacklevel=3,
        )
    unseen = [f for f in rows["family"].unique() if f not in post.families]
    for family in unseen:
        lineage = str(rows.loc[rows["family"] == family, "lineage"].iloc[0])
        known = lineage in post.lineages
        notes.append(
            f"family {family!r} was never seen: drawn from "
            + (f"its lineage {lineage!r}" if known else "the population of lineages")
        )

    return Forecast(post, rows, benchmarks, prob, seed, notes)


def check_prob(prob: float) -> float:
    """An interval's mass, or an error that says what was meant."""
    if not isinstance(prob, int | float) or not 0 < prob < 1:
        raise DataError(f"prob must lie between 0 and 1 (0.9 for a 90% interval), not {prob!r}")
    return float(prob)


def quantiles(values: np.ndarray, levels: list[float]) -> list[np.ndarray]:
    """Quantiles along the last axis, as :func:`numpy.quantile`; reorders `values` in place.

    Only the order statistics that are needed are put in their places, the middle one
    first: neither a full sort nor a copy.

    Examples
    --------
    >>> import numpy as np
    >>> [float(q) for q in quantiles(np.array([4.0, 1.0, 3.0, 2.0]), [0.5, 1.0])]
    [2.5, 4.0]
    """
    last = values.shape[-1] - 1
    _partition(values, sorted({int(level * last) for level in levels}))
    out = []
    for level in levels:
        k = int(level * last)
        low = values[..., k].astype(np.float64)
        high = values[..., k + 1 :].min(-1) if k < last else low
        out.append(low + (high - low) * (level * last - k))
    return out


def _partition(values: np.ndarray, places: list[int]) -> None:
    """Put some order statistics of the last axis in their places, and the rest between them."""
    if places:
        middle = len(places) // 2
        k = places[middle]
        values.partition(k, axis=-1)
        _partition(values[..., :k], places[:middle])
        _partition(values[..., k + 1 :], [p - k - 1 for p in places[middle + 1 :]])


def _in_threads(task: Callable[[slice], Any], blocks: list[slice]) -> Iterator[Any]:
    """Results of a task for each block, in order; NumPy computes outside Python's lock."""
    threads = min(workers(), len(blocks))
    if threads == 1:
        yield from map(task, blocks)
        return
    pool = ThreadPoolExecutor(threads)
    try:
        yield from pool.map(task, blocks)
    finally:
        pool.shutdown(cancel_futures=True)


def _with_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy with sizes and tokens as numbers, or an error naming the candidate."""
    frame = frame.copy()
    for column, unit in (
        ("params_b", "billions of parameters"),
        ("tokens_t", "trillions of tokens"),
    ):
        values = pd.to_numeric(frame[column], errors="coerce").to_numpy(float)
        for i in np.flatnonzero(~(np.isfinite(values) & (values > 0))):
            name = frame["model"].iloc[i] if "model" in frame else f"row {i + 1}"
            given = frame[column].iloc[i]
            if pd.isna(given):
                raise DataError(
                    f"{column} of candidate {str(name)!r} is missing: a forecast needs {unit}"
                )
            raise DataError(
                f"{column} of candidate {str(name)!r} is {given}: it must be positive and finite, "
                f"in {unit}"
            )
        frame[column] = values
    return frame


def _complete(post: Posterior, frame: pd.DataFrame, new_family: bool) -> pd.DataFrame:
    """Check the candidates and fill in lineage and instruct from the posterior."""
    if not isinstance(frame, pd.DataFrame):
        raise DataError("candidates must be a DataFrame: see sloth_bayes.candidates")
    if frame.empty:
        raise DataError("there is no candidate to forecast: the table is empty")
    for column in ("model", "family", "params_b", "tokens_t"):
        if column not in frame:
            raise DataError(
                f"the candidates lack the column {column!r}: see sloth_bayes.candidates"
            )
    rows = _with_numbers(frame.reset_index(drop=True))
    known_families = post._family_table()
    lineage_of = known_families["lineage"].to_dict()
    instruct_of = known_families["instruct"].to_dict()
    for column in ("model", "family"):
        for i in np.flatnonzero(rows[column].isna())[:1]:
            raise DataError(f"candidate {i + 1} has no {column}: fill in the column {column!r}")
    rows["family"] = rows["family"].astype(str)
    rows["model"] = rows["model"].astype(str)
    given = rows["lineage"] if "lineage" in rows else pd.Series([None] * len(rows))
    lineages, flags = [], []
    for i, family in enumerate(rows["family"]):
        asked = given.iloc[i]
        asked = None if asked is None or pd.isna(asked) else str(asked)
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
        lineages.append(known or asked or family)
        flag = rows["instruct"].iloc[i] if "instruct" in rows else None
        if flag is None or pd.isna(flag):
            flags.append(instruct_of.get(family, False))
        elif flag in (True, False):
            flags.append(bool(flag))
        else:
            raise DataError(
                f"instruct of candidate {rows['model'].iloc[i]!r} is {flag!r}: it must be True, "
                "False or missing"
            )
    rows["lineage"], rows["instruct"] = lineages, flags
    for name in rows["model"][rows["model"].duplicated()]:
        raise DataError(
            f"candidate {name!r} is there twice: give each candidate a name of its own in the "
            "column 'model'"
        )
    counts = rows.groupby("family")["lineage"].nunique()
    for family in counts.index[counts > 1]:
        both = sorted(set(rows.loc[rows["family"] == family, "lineage"]))
        raise DataError(
            f"family {family!r} is given two lineages, {both[0]!r} and {both[1]!r}: a family "
            "belongs to one lineage"
        )
    return rows[["model", "family", "lineage", "instruct", "params_b", "tokens_t"]]


def _extrapolation(post: Posterior, rows: pd.DataFrame) -> list[str]:
    """One sentence for each input that leaves the range of the fit."""
    notes = []
    constant = post._tree["constant_data"].to_dataset()
    for column, what, unit in (("params_b", "size", "B"), ("tokens_t", "tokens", "T")):
        if column == "tokens_t" and post.spec.inputs == "size":
            continue
        seen = constant[column].values
        low, high = float(np.nanmin(seen)), float(np.nanmax(seen))
        for row in rows.itertuples():
            value = getattr(row, column)
            if value > high * 1.0001:
                notes.append(
                    f"{row.model}: {what} {value:g}{unit} is {value / high:.3g} times the "
                    f"largest in the data ({high:g}{unit}): the interval relies on the law"
                )
            elif value < low * 0.9999:
                notes.append(
                    f"{row.model}: {what} {value:g}{unit} is {low / value:.3g} times below the "
                    f"smallest in the data ({low:g}{unit}): the interval relies on the law"
                )
    return notes


def _identity(row: Any) -> tuple[str, ...]:
    """What a candidate is: draws that belong to it alone are keyed by this."""
    return (
        row.model, row.family, row.lineage, str(bool(row.instruct)),
        repr(float(row.params_b)), repr(float(row.tokens_t)),
    )  # fmt: skip


def _key(seed: int, *parts: str) -> int:
    digest = hashlib.blake2b("\x1f".join([str(int(seed)), *parts]).encode(), digest_size=16)
    return int.from_bytes(digest.digest(), "little")


def _rng(key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(key))


class _Known(NamedTuple):
    """Where the posterior keeps what it knows of a family, a lineage, a model."""

    family: dict[str, int]
    lineage: dict[str, int]
    model: dict[tuple[str, str, float, float], int]  # by name, family, size and tokens
    centre: np.ndarray

    @classmethod
    def of(cls, post: Posterior) -> _Known:
        constant = post._tree["constant_data"].to_dataset()
        models = zip(
            post.models,
            constant["family_of_model"].values.astype(str),
            constant["params_b"].values.astype(float).tolist(),
            constant["tokens_t"].values.astype(float).tolist(),
        )
        return cls(
            {name: i for i, name in enumerate(post.families)},
            {name: i for i, name in enumerate(post.lineages)},
            {key: i for i, key in enumerate(models)},
            constant["centre"].values,
        )


def _effects(
    post: Posterior, rows: pd.DataFrame, seed: int, known: _Known | None = None
) -> Effects:
    """Family, lineage and model effects of the candidates, drawn where not in the posterior."""
    known = known or _Known.of(post)
    v, spec, p = post._draws, post.spec, post.spec.priors
    draws, d, n_inputs = post.n_draws, v["loading"].shape[-1], v["slope"].shape[-2]
    n_bench = v["loading"].shape[-2]
    share = v["lineage_share"] if "lineage_share" in v else np.zeros(draws, np.float32)

    def normal(kind: str, name: str, *shape: int) -> np.ndarray:
        return _rng(_key(seed, kind, name)).standard_normal((draws, *shape), dtype=np.float32)

    def columns(share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.sqrt(share)[:, None], np.sqrt(1 - share)[:, None]

    def stack(each: list[np.ndarray]) -> np.ndarray:
        """``(S, M, ...)`` from M times ``(S, ...)``, with draws together in memory."""
        return draws_together(np.stack(each, axis=1))

    # One entry per distinct family: those of the posterior, or new draws.
    family_of: dict[str, np.ndarray] = {}
    residual_of: dict[str, np.ndarray] = {}
    slope_of: dict[str, np.ndarray] = {}
    pairs = dict(zip(rows["family"], rows["lineage"]))
    for family, lineage in pairs.items():
        f, k = known.family.get(family), known.lineage.get(lineage)
        if spec.intercept == "shared":
            family_of[family] = np.zeros((draws, d), np.float32)
        elif f is not None:
            family_of[family] = v["family_effect"][:, f]
        else:
            up, own = columns(share)
            whole = own * normal("family", family, d)
            if "lineage_effect" in v:
                whole = p.family * whole + (
                    v["lineage_effect"][:, k]
                    if k is not None
                    else p.family * up * normal("lineage", lineage, d)
                )
            else:
                whole = p.family * whole
            family_of[family] = whole
        if "residual" in v:
            if f is not None:
                residual_of[family] = v["residual"][:, f]
            else:
                tau = v["residual_scale"]
                part = v.get("residual_share", np.zeros(draws, np.float32))
                up, own = columns(part)
                whole = tau * own * normal("residual", family, n_bench)
                if "residual_lineage" in v:
                    whole = whole + (
                        v["residual_lineage"][:, k]
                        if k is not None
                        else tau * up * normal("residual lineage", lineage, n_bench)
                    )
                residual_of[family] = whole
        if "slope_lineage" in v:
            if k is not None:
                slope_of[family] = v["slope_lineage"][:, k]
            else:
                relative = np.array(spec.input_scales, np.float32) / np.float32(p.doubling)
                scale = v["slope_scale"][:, None, None] * relative[:, None]
                slope_of[family] = scale * normal("slope", lineage, n_inputs, d)
        elif "slope_family" in v:
            if f is not None:
                slope_of[family] = v["slope_family"][:, f]
            else:
                scale = np.array(spec.input_scales, np.float32)[:, None]
                slope_of[family] = scale * normal("slope", family, n_inputs, d)

    model_effect = None
    if "model_effect" in v:
        each = []
        for row in rows.itertuples():
            at = known.model.get((row.model, row.family, float(row.params_b), float(row.tokens_t)))
            if at is not None:
                each.append(v["model_effect"][:, at])
            else:
                noise = _rng(_key(seed, "model", *_identity(row))).standard_normal(
                    (draws, d), dtype=np.float32
                )
                each.append(v["model_scale"][:, None] * noise)
        model_effect = stack(each)

    order = rows["family"]

    def gather(table: dict[str, np.ndarray]) -> np.ndarray | None:
        return stack([table[f] for f in order]) if table else None

    inputs = law.raw_inputs(
        spec.inputs,
        np.log(rows["params_b"].to_numpy(float)),
        np.log(rows["tokens_t"].to_numpy(float)),
        known.centre,
        np,
    ).astype(np.float32)
    family, residual = gather(family_of), gather(residual_of)
    assert family is not None
    if residual is not None and "drift" in v:
        scale = v["drift_share"][:, None] * v["residual_scale"]
        drift = [
            v["drift"][:, known.family[f]] if f in known.family
            else scale * normal("drift", f, n_bench)
            for f in order
        ]  # fmt: skip
        residual = residual + stack(drift) * inputs[:, law.TOKENS, None]
    return Effects(
        inputs=inputs,
        instruct=rows["instruct"].to_numpy(bool).astype(np.float32),
        family=family,
        residual=residual,
        slope_deviation=gather(slope_of),
        model_effect=model_effect,
    )
