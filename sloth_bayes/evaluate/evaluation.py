"""Out-of-family evaluation: forecasts of hidden models, scored.

:func:`cross_validate` hides what a protocol says (:mod:`sloth_bayes.protocols`), forecasts
it and keeps one row a forecast cell, so that every figure of a scoreboard is an average of
rows that anyone can look at.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, wait
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..errors import DataError, FileFormatError, WorkerError, unknown
from ..law.spec import Spec
from ..model.arrays import Design, design_of, showing
from ..support import interrupt
from ..support.checks import whole
from ..support.files import atomic_path
from ..support.shipped import shipped
from ..table.leaderboard import Leaderboard
from . import scores
from .protocols import Fold, Hide, named

CELLS, ABOUT = "cells.csv", "about.json"
_KEY = ["setting", "n_observed", "fold"]
_SCORES = ["error", "crps", "log_score", "interval_score"]
LEAST_RELATIVE = 0.01  # score below which an error relative to it says little
MEAN = "mean of all"  # the `benchmark` of the rows about a model's average score


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Forecasts of hidden scores, with what came true.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row a forecast cell: setting, n_observed, fold, model, family, benchmark;
        ``score`` (what came true), ``median``, ``sd``, ``lower`` and ``upper`` (90%
        interval, before rounding); ``error`` (absolute error of the median), ``crps``,
        ``log_score`` (nats), ``interval_score`` (of the 90% interval), ``covered_50`` to
        ``covered_95``, ``width_50`` to ``width_95``, ``pit``. All in units of score. A
        point forecast has no spread: its CRPS is its error, and what needs an interval is
        missing.
    means : pandas.DataFrame
        The same for each model's average over its benchmarks of a setting.
    about : dict
        Specification, method, options, data: what the numbers depend on.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> data = sb.load_dataset().select(benchmarks=["MMLU", "HellaSwag"])
    >>> folds = sb.protocols.leave_group_out(data, {"qwen": "qwen"}, n_observed=2)
    >>> found = sb.cross_validate(sb.Sloth(n_skills=1), data, folds, steps=50, progress=False)
    >>> found.frame["model"].tolist()
    ['qwen-72b', 'qwen-72b']
    """

    frame: pd.DataFrame
    means: pd.DataFrame
    about: dict[str, Any]

    def __repr__(self) -> str:
        f = self.frame
        return (
            f"<sloth_bayes.Evaluation of {self.about.get('label', 'a specification')}: "
            f"{f.groupby(_KEY).ngroups} folds, {f['model'].nunique()} models, {len(f)} forecasts>"
        )

    def summary(self) -> pd.DataFrame:
        """One row a setting, and their mean: errors and widths in points, log score in nats.

        MAE, CRPS, interval score and log score are averaged as the protocol does: within
        a fold over its models and benchmarks, then over folds, then over settings.
        Coverage and width are shares of, and means over, forecast cells.

        Returns
        -------
        pandas.DataFrame
            Index (setting, n_observed), last row ("all", 0); columns mae, crps,
            interval_score, log_score, cover_50 to cover_95, width_50 to width_95, folds,
            cells.
        """
        f = self.frame
        folds = f.groupby(_KEY, sort=False)[_SCORES].mean()
        out = folds.groupby(["setting", "n_observed"], sort=False).mean()
        shares = [c for c in f if c.startswith(("covered_", "width_"))]
        out = out.join(f.groupby(["setting", "n_observed"], sort=False)[shares].mean())
        counts = f.groupby(["setting", "n_observed"], sort=False)
        out["folds"], out["cells"] = counts["fold"].nunique(), counts.size()
        every = out.mean()
        every[shares] = f[shares].mean()
        every[["folds", "cells"]] = out[["folds", "cells"]].sum()
        out.loc[("all", 0), :] = every
        points = ["error", "crps", "interval_score", *(c for c in shares if "width" in c)]
        out[points] *= 100
        out = out.astype({"folds": int, "cells": int})
        return out.rename(
            columns={"error": "mae"} | {c: c.replace("covered", "cover") for c in shares}
        )

    def not_converged(self) -> list[str]:
        """Folds whose fit had not converged (``setting/n_observed/fold``).

        With SVI: over the last tenth of the steps the ELBO still rose by more than 0.005 nats
        a score (and its noise). With NUTS: R-hat of an expected score above 1.05 (a
        forecast's ends, not a posterior to publish).
        """
        if "converged" not in self.frame:
            return []
        bad = self.frame[self.frame["converged"] == 0]
        return sorted({"/".join(map(str, key)) for key in bad[_KEY].itertuples(index=False)})

    def by(self, what: str) -> pd.DataFrame:
        """Mean error, CRPS, width (points) and 90% coverage by a column of `frame`.

        Raises
        ------
        UnknownNameError
            If it is not a column that names something.
        """
        names = ["benchmark", "family", "model", "fold", "setting", "n_observed"]
        if what not in names:
            raise unknown("column", what, names)
        grouped = self.frame.groupby(what)
        out = grouped[["error", "crps", "width_90"]].mean() * 100
        out["bias"] = (
            100 * (self.frame["median"] - self.frame["score"]).groupby(self.frame[what]).mean()
        )
        out["cover_90"], out["cells"] = grouped["covered_90"].mean(), grouped.size()
        return out.rename(columns={"error": "mae"}).sort_values("mae", ascending=False)

    def coverage(self, of: str = "cells", replicates: int = 4000) -> pd.DataFrame:
        """Coverage of central intervals with its family-bootstrap interval.

        Parameters
        ----------
        of
            ``"cells"`` or ``"means"`` (each model's average score).
        replicates
            Bootstrap replicates; groups of families are resampled, the same in all settings
            (single families, where there is but one fold).

        Returns
        -------
        pandas.DataFrame
            setting, n_observed, level, coverage, lower, upper (95% bootstrap interval),
            holds (whether it contains the level), width (points), n.

        Raises
        ------
        UnknownNameError
            If `of` is something else.

        Examples
        --------
        >>> import sloth_bayes as sb
        >>> found = sb.load_evaluation("leaderboard", "strict").coverage()
        >>> found[(found["setting"] == "all") & (found["level"] == 0.9)]["n"].item()
        1578
        """
        if of not in ("cells", "means"):
            raise unknown("coverage", of, ["cells", "means"])
        frame = self.frame if of == "cells" else self.means
        rows = []
        groups: list[tuple[tuple[Any, Any], pd.DataFrame]] = [
            ((s, n), g) for (s, n), g in frame.groupby(["setting", "n_observed"], sort=False)
        ]
        for (setting, n), g in [*groups, (("all", 0), frame)]:
            for level in scores.LEVELS:
                hit = g[f"covered_{level * 100:.0f}"].to_numpy(float)
                _, low, high = scores.bootstrap_interval(hit, _clusters(g), replicates=replicates)
                rows.append(
                    {
                        "setting": setting,
                        "n_observed": n,
                        "level": level,
                        "coverage": hit.mean(),
                        "lower": low,
                        "upper": high,
                        "holds": low <= level <= high,
                        "width": 100 * g[f"width_{level * 100:.0f}"].mean(),
                        "n": len(g),
                    }
                )
        return pd.DataFrame(rows)

    def compare(
        self, other: Evaluation, score: str = "error", replicates: int = 4000
    ) -> pd.DataFrame:
        """Paired difference to another evaluation of the same folds: this minus the other.

        Parameters
        ----------
        other
            An evaluation of the same folds.
        score
            ``"error"``, ``"crps"`` or ``"interval_score"`` (points, lower is better), or
            ``"log_score"`` (nats, higher is better).
        replicates
            Bootstrap replicates: families are resampled, the same in all settings.

        Returns
        -------
        pandas.DataFrame
            One row a setting and ("all", 0): difference, standard error, lower, upper.

        Raises
        ------
        DataError
            If the two do not score the same cells.
        UnknownNameError
            If there is no such score.
        """
        if score not in _SCORES:
            raise unknown("score", score, _SCORES)
        columns = [*_KEY, "model", "benchmark"]
        mine, yours = (e.frame.set_index(columns)[score] for e in (self, other))
        if len(mine) != len(yours) or not mine.index.sort_values().equals(
            yours.index.sort_values()
        ):
            raise DataError("the two evaluations do not score the same cells: run the same folds")
        unit = 1.0 if score == "log_score" else 100.0
        difference = (unit * (mine - yours)).groupby(level=_KEY).mean()
        return paired(difference, replicates)

    def calibration(self) -> pd.DataFrame:
        """Calibration curve: share of PIT values below each level, with its band.

        The 95% simultaneous band is that of independent forecasts; the scores of a family
        share its luck, so calibrated forecasts leave it more often than 5% of the time.

        Returns
        -------
        pandas.DataFrame
            level, observed (share at or below), lower, upper.

        Raises
        ------
        DataError
            If these are point forecasts.
        """
        u = self.frame["pit"].dropna().to_numpy(float)
        if not u.size:
            raise DataError("point forecasts have no calibration: this evaluation has no draws")
        half = scores.calibration_band(u.size)
        level = (np.arange(half.size) + 0.5) / half.size
        observed = (u[:, None] <= level).mean(0)
        return pd.DataFrame(
            {"level": level, "observed": observed, "lower": level - half, "upper": level + half}
        )

    def save(self, folder: str | Path) -> Path:
        """Write ``cells.csv`` and ``about.json`` into a folder, each atomically.

        Raises
        ------
        FileFormatError
            If the folder cannot be written.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            both = pd.concat([self.frame, self.means], ignore_index=True)
            with atomic_path(folder / CELLS) as path:
                both.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
            with atomic_path(folder / ABOUT) as path:
                path.write_text(json.dumps(self.about, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise FileFormatError(f"cannot write {folder}: {error.strerror or error}") from None
        return folder


def _clusters(rows: pd.DataFrame) -> np.ndarray:
    """What shares its luck: a fold, by its first family, so that settings share it too."""
    if "family" in rows and rows["fold"].nunique() == 1:
        return rows["family"].to_numpy(str)
    return rows["fold"].str.split("+").str[0].to_numpy(str)


def paired(difference: pd.Series, replicates: int = 4000, seed: int = 0) -> pd.DataFrame:
    """Family bootstrap of the mean of per-fold differences, within and over settings.

    `difference` is indexed by setting, n_observed and fold. Settings share families: a
    fold's first family names its cluster, and a cluster is drawn in all settings at once.
    """
    table = difference.rename("d").reset_index()
    clusters, index = np.unique(_clusters(table), return_inverse=True)
    settings = list(dict.fromkeys(zip(table["setting"], table["n_observed"])))
    rng = np.random.default_rng(seed)
    draw = rng.integers(0, len(clusters), (replicates, len(clusters)))
    weight = np.stack([np.bincount(d, minlength=len(clusters)) for d in draw])  # (R, clusters)
    rows, replicated = {}, []
    for key in settings:
        here = ((table["setting"] == key[0]) & (table["n_observed"] == key[1])).to_numpy()
        w = weight[:, index[here]]
        d = table.loc[here, "d"].to_numpy(float)
        with np.errstate(invalid="ignore"):
            replicated.append((w @ d) / w.sum(1))
        rows[key] = (d.mean(), replicated[-1])
    rows[("all", 0)] = (
        np.mean([m for m, _ in rows.values()]),
        np.mean(replicated, axis=0),
    )
    out = pd.DataFrame(
        [
            {
                "setting": key[0],
                "n_observed": key[1],
                "difference": mean,
                "se": np.nanstd(r, ddof=1),
                "lower": np.nanquantile(r, 0.025),
                "upper": np.nanquantile(r, 0.975),
            }
            for key, (mean, r) in rows.items()
        ]
    )
    return out.set_index(["setting", "n_observed"])


def load_evaluation(name: str | Path = "leaderboard", part: str = "strict") -> Evaluation:
    """Read an evaluation that ships, or what :meth:`Evaluation.save` wrote.

    Parameters
    ----------
    name
        A model that ships (``"leaderboard"``), or a folder (a ``Path``, or a string with a
        separator).
    part
        Of a model that ships: ``"strict"`` (the published protocol), ``"loose"`` (tuned
        twins visible), ``"lineages"``, ``"since-2023-09"`` or ``"since-2024-03"``.

    Raises
    ------
    FileFormatError
        If the folder holds no evaluation, or a damaged one.
    UnknownNameError
        If no such evaluation ships.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> sb.load_evaluation("leaderboard").frame["fold"].nunique() > 20
    True
    """
    if isinstance(name, Path) or "/" in name or os.sep in name:
        folder = Path(name)
    else:
        root = shipped("models")
        known = sorted(p.parent.relative_to(root) for p in root.glob(f"*/evaluation/*/{ABOUT}"))
        if Path(name) / "evaluation" / part not in known:
            listed = [f"{p.parts[0]} {p.parts[2]}" for p in known]
            raise unknown("evaluation", f"{name} {part}", listed, "A folder has a separator.")
        folder = root / name / "evaluation" / part
    try:
        both = pd.read_csv(folder / CELLS)
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        return _split(both, about)
    except FileNotFoundError:
        raise FileFormatError(f"{folder} holds no evaluation: {CELLS} and {ABOUT}") from None
    except (ValueError, KeyError) as error:
        raise FileFormatError(
            f"{folder} holds a damaged evaluation ({error}): delete it and evaluate again"
        ) from None


def _split(both: pd.DataFrame, about: dict[str, Any]) -> Evaluation:
    mean = both["benchmark"] == MEAN
    return Evaluation(both[~mean].reset_index(drop=True), both[mean].reset_index(drop=True), about)


def fold_errors(frame: pd.DataFrame) -> pd.DataFrame:
    """Errors of each fold, absolute and relative, of forecasts cell by cell.

    Parameters
    ----------
    frame
        Columns setting, n_observed, fold, score, error (fractions): :attr:`Evaluation.frame`.

    Returns
    -------
    pandas.DataFrame
        setting, n_observed, fold, mae (points), mape (percent of the score, over scores of at
        least `LEAST_RELATIVE`; NaN where a fold has none).
    """
    relative = 100 * (frame["error"] / frame["score"]).where(frame["score"] >= LEAST_RELATIVE)
    table = frame.assign(mae=100 * frame["error"], mape=relative)
    return table.groupby(_KEY, sort=False)[["mae", "mape"]].mean().reset_index()


def published_errors() -> pd.DataFrame:
    """Mean absolute errors of 28 published methods, fold by fold, as their authors computed.

    Returns
    -------
    pandas.DataFrame
        setting, n_observed, fold, method, mae (points); source in ``data/README.md``.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> sb.evaluation.published_errors()["method"].nunique()
    28
    """
    return pd.read_csv(shipped("data") / "published_errors.csv")


# -- running the folds -------------------------------------------------------------------


class Task(NamedTuple):
    """One fit of one mask, for a worker in this process or another."""

    spec: Spec
    sizes: Any
    arrays: Any
    rows: tuple[int, ...]  # models to forecast
    method: str
    options: tuple[tuple[str, Any], ...]
    seed: int


def forecast_task(task: Task) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Fit one mask and forecast its hidden models: ``mu``, ``sd`` ``(S, rows, J)``, notes."""
    from .fold import forecast_hidden

    return forecast_hidden(
        task.spec, task.sizes, task.arrays, list(task.rows), task.method, task.seed,
        **dict(task.options),
    )  # fmt: skip


@interrupt.held()
def cross_validate(
    spec: Spec,
    data: Leaderboard,
    protocol: str | Iterable[Fold] = "published",
    *,
    hide: Hide = "strict",
    method: str = "svi",
    seed: int = 0,
    out: str | Path | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
    label: str | None = None,
    **options: Any,
) -> Evaluation:
    """Forecast the models that each fold of a protocol hides, and score the forecasts.

    Hidden scores are left out of the likelihood by a mask, so all folds share the compiled
    program; folds that hide the same scores share the fit. What a fold must not know
    reaches it nowhere: the coordinates of the skills, the one thing that folds have in
    common, come from the scores that no fold hides.

    Parameters
    ----------
    spec
        The specification.
    data
        The table. The published protocol is compared with published errors on the
        published values, ``load_dataset(corrected=False)``.
    protocol
        ``"published"``, ``"lineage"``, ``"family"`` or a month (see
        :func:`sloth_bayes.protocols.named`), or folds of your own.
    hide
        Of a protocol by name: ``"strict"`` or ``"family"``.
    method
        ``"svi"`` or ``"nuts"``.
    seed
        Seed of all folds; each draws its own numbers from it.
    out
        A folder to keep results in: written after every fit, and read at the start, so
        that an interrupted evaluation goes on where it was.
    executor
        Any :class:`concurrent.futures.Executor`; threads on this machine by default. The
        numbers do not depend on it, on machines of one kind; the last bit does where
        linear algebra has another number of threads (one in a worker of dask). A dask
        cluster is one: ``distributed.Client(...).get_executor()``; a fit whose worker is
        lost is done again by another. So is
        ``ProcessPoolExecutor(mp_context=get_context("spawn"))``. Every worker process
        compiles for itself, unless the environment variable ``JAX_COMPILATION_CACHE_DIR``
        names a folder that they share.
    progress
        Show a progress bar on standard error; by default only where a person can see it.
    label
        A name for tables; by default the method's, and that of its moves.
    **options
        ``steps``, ``starts``, ``draws``, ``moves`` (SVI); ``warmup``, ``draws``, ``chains`` (NUTS):
        see :func:`sloth_bayes.foldfit.forecast_hidden`.

    Returns
    -------
    Evaluation

    Raises
    ------
    DataError
        If there is no fold, or a fold tests a model that the table cannot forecast.
    SpecError
        If the method or an option is unknown.
    FileFormatError
        If `out` holds another evaluation.
    WorkerError
        If the executor forks, is shut down, or lost its workers for good.
    UnknownNameError
        If there is no protocol of that name.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> data = sb.load_dataset().select(benchmarks=["MMLU", "ARC", "HellaSwag"])
    >>> folds = sb.protocols.leave_group_out(data, {"llama-2": "llama-2"})
    >>> found = sb.cross_validate(sb.Sloth(n_skills=1), data, folds, steps=100, progress=False)
    >>> len(found.frame)  # two models, three benchmarks
    6
    """
    from ..model import scores as model
    from ..support.threads import progress_bar
    from . import fold as foldfit

    _check_executor(executor)
    seed = whole("seed", seed, 0)
    folds = _folds(protocol, data, hide)
    options = foldfit.hidden_options(method, options)
    laid_out = design_of(spec, data)
    moved = f" with {options['moves']} moves" if options.get("moves") else ""
    about = {
        "label": label or f"sloth_bayes, {method.upper()}{moved}",
        "spec": spec.to_toml(),
        "method": method,
        "folds": _digest(folds),
        "seed": seed,
        "options": options,
        "data": data.name,
        "data_fingerprint": data.fingerprint,
    }
    done = _resume(out, about)
    row_of = {m: i for i, m in enumerate(laid_out.models)}
    groups: dict[frozenset[str], list[Fold]] = {}
    for fold in folds:
        for name in fold.test:
            if name not in row_of:
                raise DataError(
                    f"fold {fold.key} tests {name!r}, which has no known size and tokens"
                )
        groups.setdefault(frozenset(fold.hidden), []).append(fold)

    n = model.sizes(spec, laid_out.arrays)
    todo = [g for g in groups.items() if not all(f.key in done for f in g[1])]
    parts = list(done.values())
    spent = float(_seconds(out)) if done else 0.0
    begun = time.perf_counter()
    if todo:
        everyone = frozenset().union(*groups)
        coordinates = foldfit.common_coordinates(
            spec, n, _masked(laid_out, everyone), method, seed, options
        )
        tasks = []
        for hidden, members in todo:
            arrays = _masked(laid_out, hidden)
            rows = sorted({row_of[m] for f in members for m in f.test})
            tasks.append(
                Task(
                    spec, n, arrays._replace(**coordinates), tuple(rows), method,
                    tuple(sorted(options.items())), _fold_seed(seed, hidden),
                )
            )  # fmt: skip
        with progress_bar(len(tasks), "folds", progress) as advance:
            for i, result in _run(tasks, executor, out):
                members = todo[i][1]
                for fold in members:
                    parts.append(_scored(fold, tasks[i], result, laid_out, seed))
                advance(1)
                about["seconds"] = round(spent + time.perf_counter() - begun, 1)
                if out is not None:
                    _ordered(parts, folds, about).save(out)
    about.setdefault("seconds", spent)
    return _ordered(parts, folds, about)


def _folds(protocol: str | Iterable[Fold], data: Leaderboard, hide: Hide) -> tuple[Fold, ...]:
    if isinstance(protocol, str):
        return named(data, protocol, hide)
    folds = tuple(protocol)
    if not folds:
        raise DataError("the protocol has no fold")
    keys = [f.key for f in folds]
    if len(set(keys)) < len(keys):
        raise DataError("two folds of the protocol have the same setting, count and name")
    return folds


def _masked(laid_out: Design, hidden: Iterable[str]) -> Any:
    """The arrays with every score of some models hidden."""
    observed = np.array(laid_out.arrays.observed)
    observed[np.isin(laid_out.models, list(hidden))] = 0
    # what is hidden must not be there to be read, either
    score = np.where(observed > 0, laid_out.arrays.score, 0.5).astype(np.float32)
    return showing(laid_out.arrays, observed)._replace(score=score)


def _digest(folds: Sequence[Fold]) -> str:
    """What the folds are: anything else they hid or tested is another evaluation."""
    return hashlib.sha256(repr(sorted(folds, key=lambda f: f.key)).encode()).hexdigest()[:16]


def _fold_seed(seed: int, hidden: frozenset[str]) -> int:
    """A seed that depends on what is hidden, not on the other folds or their order."""
    text = "\n".join([str(seed), *sorted(hidden)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little") >> 1


def _check_executor(executor: Executor | None) -> None:
    """Refuse processes that would hang: JAX has threads, which a fork leaves behind."""
    context = getattr(executor, "_mp_context", None)  # of a ProcessPoolExecutor
    if context is not None and context.get_start_method() == "fork":
        raise WorkerError(
            "this executor forks processes, and a forked JAX hangs: give it "
            'mp_context=multiprocessing.get_context("spawn")'
        )


def _run(
    tasks: Sequence[Task], executor: Executor | None, out: str | Path | None
) -> Iterable[tuple[int, Any]]:
    """Results of the tasks as they come, with the task's number."""
    if executor is None:
        from ..support.threads import side_by_side

        yield from side_by_side([functools.partial(forecast_task, t) for t in tasks])
        return
    futures: dict[Any, int] = {}
    received = 0
    try:
        for i, task in enumerate(tasks):
            futures[executor.submit(forecast_task, task)] = i
        left = set(futures)
        while left:
            done, left = wait(left, timeout=0.2, return_when=FIRST_COMPLETED)
            interrupt.check()
            for future in done:
                result = future.result()
                received += 1
                yield futures[future], result
    except Exception as error:
        if not _is_loss(error):
            raise
        kept = (
            f"they are kept in {out}: run the same again, with an executor that works, and "
            "it goes on there"
            if out is not None
            else "they are lost: give a folder as out (--out) and the next run goes on where "
            "it was cut off"
        )
        raise WorkerError(
            f"{type(executor).__name__} lost its workers ({type(error).__name__}: killed, out of "
            f"memory or shut down) with {received} of {len(tasks)} fits done; {kept}"
        ) from error
    finally:
        for future in futures:
            future.cancel()


def _is_loss(error: BaseException) -> bool:
    """Whether an executor's error is about its workers rather than the work."""
    return (
        isinstance(error, BrokenExecutor | CancelledError)
        or type(error).__name__ == "KilledWorker"  # dask's, after several workers
        or (isinstance(error, RuntimeError) and "after shutdown" in str(error))
    )


def _scored(fold: Fold, task: Task, result: Any, laid_out: Design, seed: int) -> pd.DataFrame:
    """Rows of one fold: its cells, and each model's average."""
    from ..law.likelihood import draw_scores

    mu, sd, notes = result
    rng = np.random.default_rng([seed, *fold.key.encode()])
    columns = [laid_out.benchmarks.index(b) for b in fold.benchmarks]
    rounding = np.asarray(laid_out.arrays.rounding, float)[columns].round(9)
    df = task.spec.df
    parts = []
    for name in fold.test:
        row = laid_out.models.index(name)
        at = task.rows.index(row)
        y = laid_out.table.loc[row, list(fold.benchmarks)].to_numpy(float)
        there = np.isfinite(y)
        m, s = mu[:, at, columns][:, there], sd[:, at, columns][:, there]
        y, step = y[there], rounding[there]
        draws = draw_scores(m, s, df, rng).astype(float)
        names = np.asarray(fold.benchmarks)[there]
        rows = _rows(fold, name, str(laid_out.table.loc[row, "family"]), names, draws, y, step, rng)
        rows.loc[: names.size - 1, "log_score"] = scores.log_score(y, m, s, df, step)
        parts.append(rows.assign(**notes))
    return pd.concat(parts, ignore_index=True)


def _rows(
    fold: Fold, model: str, family: str, benchmarks: np.ndarray, draws: np.ndarray,
    y: np.ndarray, rounding: np.ndarray, rng: np.random.Generator,
) -> pd.DataFrame:  # fmt: skip
    """Rows of one model: its cells, then its average over the benchmarks."""
    cells = score_cells(draws, y, rounding, rng)
    average = score_cells(draws.mean(1, keepdims=True), y.mean(keepdims=True), np.zeros(1), rng)
    out = pd.concat([cells, average], ignore_index=True)
    names = {
        "setting": fold.setting, "n_observed": fold.n_observed, "fold": fold.name,
        "model": model, "family": family, "benchmark": [*benchmarks, MEAN],
    }  # fmt: skip
    for i, (column, value) in enumerate(names.items()):
        out.insert(i, column, value)
    return out


def by_setting(folds: Sequence[Fold]) -> list[list[Fold]]:
    """Folds grouped by setting and number of observed models, in order."""
    groups: dict[tuple[str, int], list[Fold]] = {}
    for fold in folds:
        groups.setdefault((fold.setting, fold.n_observed), []).append(fold)
    return list(groups.values())


def point_evaluation(
    data: Leaderboard,
    folds: Sequence[Fold],
    forecasts: dict[str, tuple[np.ndarray, float]],
    about: dict[str, Any],
) -> Evaluation:
    """Score point forecasts: by fold key, ``(test models, benchmarks)`` and a training loss."""
    frame = data.frame.set_index("model")
    parts = []
    rng = np.random.default_rng(0)
    for fold in folds:
        values, loss = forecasts[fold.key]
        y = frame.loc[list(fold.test), list(fold.benchmarks)].to_numpy(float)
        for i, name in enumerate(fold.test):
            there = np.isfinite(y[i])
            rows = _rows(
                fold, name, str(frame.loc[name, "family"]), np.asarray(fold.benchmarks)[there],
                values[i][there][None], y[i][there], np.zeros(int(there.sum())), rng,
            )  # fmt: skip
            parts.append(rows.assign(loss=loss))
    return _split(pd.concat(parts, ignore_index=True), about)


def score_cells(
    draws: np.ndarray, y: np.ndarray, rounding: np.ndarray, rng: np.random.Generator
) -> pd.DataFrame:
    """Forecast summaries and scores of n cells, ``draws (S, n)``; one draw is a point."""
    out: dict[str, Any] = {"score": y, "median": np.median(draws, 0)}
    point = len(draws) == 1
    lower, upper = scores.central_interval(draws, 0.9)
    out["sd"] = np.full(y.size, np.nan) if point else draws.std(0)
    out["lower"], out["upper"] = (np.full(y.size, np.nan),) * 2 if point else (lower, upper)
    out["error"] = np.abs(out["median"] - y)
    out["crps"] = scores.crps(draws, y)
    out["log_score"] = np.nan
    out["interval_score"] = scores.interval_score(out["lower"], out["upper"], y, 0.9)
    for level in scores.LEVELS:
        low, high = scores.central_interval(draws, level)
        covered = scores.covers(draws, y, level, rounding).astype(float)
        out[f"covered_{level * 100:.0f}"] = np.nan if point else covered
        out[f"width_{level * 100:.0f}"] = np.nan if point else high - low
    out["pit"] = np.nan if point else scores.pit(draws, y, rounding, rng)
    return pd.DataFrame(out)


def _ordered(parts: list[pd.DataFrame], folds: Sequence[Fold], about: dict[str, Any]) -> Evaluation:
    """All rows in the order of the protocol."""
    place = {f.key: i for i, f in enumerate(folds)}
    parts = sorted(parts, key=lambda p: place[_key_of(p)])
    return _split(pd.concat(parts, ignore_index=True), dict(about))


def _key_of(part: pd.DataFrame) -> str:
    first = part.iloc[0]
    return f"{first['setting']}/{first['n_observed']}/{first['fold']}"


def _seconds(out: str | Path | None) -> float:
    """Seconds that an earlier, interrupted run has spent."""
    if out is None:
        return 0.0
    return float(json.loads((Path(out) / ABOUT).read_text(encoding="utf-8")).get("seconds", 0.0))


def _resume(out: str | Path | None, about: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """Folds that `out` holds already, by key; an error if they are of something else."""
    if out is None or not (Path(out) / CELLS).exists():
        return {}
    from . import fold as foldfit

    found = load_evaluation(Path(out))
    plain = json.loads(json.dumps(about))
    # What an evaluation of an earlier version does not name had its default.
    found.about["options"] = foldfit.defaults(plain["method"]) | found.about.get("options", {})
    for key in ("spec", "method", "folds", "seed", "options", "data_fingerprint"):
        if found.about.get(key) != plain[key]:
            raise FileFormatError(
                f"{out} holds an evaluation with another {key}: give another folder, or delete it"
            )
    both = pd.concat([found.frame, found.means], ignore_index=True)
    return {_key_of(part): part for _, part in both.groupby(_KEY, sort=False)}
