"""Cross-validation: the folds of a protocol fitted, by whatever executor, and scored."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from concurrent import futures
from concurrent.futures import Executor
from multiprocessing import get_start_method
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..errors import DataError, FileFormatError, SpecError, WorkerError
from ..law.likelihood import draw_scores
from ..law.spec import Spec
from ..model.arrays import Arrays, Design, design_of, showing
from ..model.loadings import Sizes, sizes
from ..support import interrupt
from ..support.checks import whole
from ..support.files import user_path
from ..support.kept import only_writer
from ..support.threads import progress_bar, side_by_side
from ..table.leaderboard import Leaderboard
from . import scores
from .evaluation import CELLS, KEY, Evaluation, load_evaluation, of_rows, write
from .fold import common_coordinates, defaults, forecast_hidden, hidden_options
from .protocols import Fold, Hide, named
from .scored import score_fold


class Task(NamedTuple):
    """One fit of one mask, for a worker in this process or another."""

    spec: Spec
    sizes: Sizes
    arrays: Arrays
    rows: list[int]  # models to forecast
    method: str
    seed: int
    options: dict[str, Any]


def forecast_task(task: Task) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Fit one mask and forecast its hidden models: ``mu``, ``sd`` ``(S, rows, J)``, notes."""
    spec, n, arrays, rows, method, seed, options = task
    return forecast_hidden(spec, n, arrays, rows, method, seed, **options)


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
        published values, ``load_dataset("open_llm_leaderboard", corrected=False)``.
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
        linear algebra has another number of threads (one in a worker of dask), and with it
        which draws NUTS makes of the same posterior. A dask cluster is one:
        ``distributed.Client(...).get_executor()``; a fit whose worker is lost is done again
        by another. So is ``ProcessPoolExecutor(mp_context=get_context("spawn"))``. Workers
        on one machine share what they compile in the user's cache folder, on several if the
        environment variable ``JAX_COMPILATION_CACHE_DIR`` names a folder that they share.
    progress
        Show a progress bar on standard error; by default only where a person can see it.
    label
        A name for tables; by default the method's, and that of its moves.
    **options
        ``steps``, ``starts``, ``draws``, ``moves`` (SVI); ``warmup``, ``draws``, ``chains`` (NUTS):
        see :func:`sloth_bayes.evaluate.fold.forecast_hidden`.

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
        If `out` holds another evaluation or a damaged one, or another run is writing it.
    WorkerError
        If the executor forks, is shut down, or lost its workers for good.
    UnknownNameError
        If there is no protocol of that name.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> data = sb.load_dataset("open_llm_leaderboard")
    >>> data = data.select(benchmarks=["MMLU", "ARC", "HellaSwag"])
    >>> folds = sb.protocols.leave_group_out(data, {"llama-2": "llama-2"})
    >>> found = sb.cross_validate(sb.Sloth(n_skills=1), data, folds, steps=100, progress=False)
    >>> len(found.frame)  # two models, three benchmarks
    6
    """
    seed = whole("seed", seed, 0)
    folds = _folds(protocol, data, hide)
    options = hidden_options(method, options)
    laid_out = design_of(spec, data)
    moved = f" with {options['moves']} moves" if options.get("moves") else ""
    about = {
        "label": label or f"sloth_bayes, {method.upper()}{moved}",
        "spec": spec.to_toml(),
        "method": method,
        "folds": _digest(repr(sorted(folds, key=lambda f: f.key))).hex()[:16],
        "seed": seed,
        "options": options,
        "data": data.name,
        "data_fingerprint": data.fingerprint,
    }
    rest = spec, laid_out, folds, about, executor, progress
    if out is None:
        return _go_on(None, *rest)
    with only_writer(user_path(out) / CELLS):
        return _go_on(user_path(out), *rest)


def _go_on(
    out: Path | None,
    spec: Spec,
    laid_out: Design,
    folds: Sequence[Fold],
    about: dict[str, Any],
    executor: Executor | None,
    progress: bool | None,
) -> Evaluation:
    """Do what `out` does not hold yet, and answer with all of it."""
    method, seed, options = about["method"], about["seed"], about["options"]
    done, spent = _resume(out, about, len(folds))
    row_of = {m: i for i, m in enumerate(laid_out.models)}
    groups: dict[frozenset[str], list[Fold]] = {}  # one fit each
    for fold in folds:
        for name in fold.test:
            if name not in row_of:
                raise DataError(
                    f"fold {fold.key} tests {name!r}, which has no known size and tokens"
                )
        groups.setdefault(frozenset(fold.hidden), []).append(fold)
    todo = [g for g in groups.items() if not all(f.key in done for f in g[1])]

    def found() -> Evaluation:
        """All rows there are, in the order of the protocol."""
        rows = [done[f.key] for f in folds if f.key in done]
        return of_rows(pd.concat(rows, ignore_index=True), dict(about))

    begun = time.perf_counter()
    if todo:
        n = sizes(spec, laid_out.arrays)
        shown = masked(laid_out, frozenset().union(*groups))
        coordinates = common_coordinates(spec, n, shown, seed, options)
        tasks = [
            Task(
                spec, n, masked(laid_out, hidden)._replace(**coordinates),
                sorted({row_of[m] for f in members for m in f.test}),
                method, _fold_seed(seed, hidden), options,
            )
            for hidden, members in todo
        ]  # fmt: skip
        with progress_bar(len(tasks), "folds", progress) as advance:
            for i, result in _run(tasks, executor, out):
                for fold in todo[i][1]:
                    done[fold.key] = _scored(fold, tasks[i], result, laid_out, seed)
                advance(1)
                about["seconds"] = round(spent + time.perf_counter() - begun, 1)
                if out is not None:
                    write(found(), out)
    about.setdefault("seconds", spent)
    if out is None:
        return found()
    return dataclasses.replace(load_evaluation(out), about=about)


def _in_full(spec: str) -> str:
    """A specification's text with the choices that it does not name."""
    with contextlib.suppress(SpecError, FileFormatError):  # which is another one
        return Spec.from_toml(spec).to_toml()
    return spec


def _folds(protocol: str | Iterable[Fold], data: Leaderboard, hide: Hide) -> tuple[Fold, ...]:
    if isinstance(protocol, str):
        return named(data, protocol, hide)
    folds = tuple(protocol)
    if not folds:
        raise DataError("the protocol has no fold")
    if len({f.key for f in folds}) < len(folds):
        raise DataError("two folds of the protocol have the same setting, count and name")
    return folds


def masked(laid_out: Design, hidden: Iterable[str]) -> Arrays:
    """The arrays with every score of some models hidden."""
    observed = np.array(laid_out.arrays.observed)
    observed[np.isin(laid_out.models, list(hidden))] = 0
    # what is hidden must not be there to be read, either
    arrays = laid_out.arrays
    shown = observed[arrays.model_of, arrays.benchmark_of] > 0
    score = np.where(shown, arrays.score, 0.5).astype(np.float32)
    return showing(laid_out.arrays, observed)._replace(score=score)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _fold_seed(seed: int, hidden: frozenset[str]) -> int:
    """A seed that depends on what is hidden, not on the other folds or their order."""
    return int.from_bytes(_digest("\n".join([str(seed), *sorted(hidden)]))[:4], "little") >> 1


def _run(
    tasks: Sequence[Task], executor: Executor | None, out: Path | None
) -> Iterable[tuple[int, Any]]:
    """Results of the tasks as they come, with the task's number."""
    if executor is None:
        yield from side_by_side([functools.partial(forecast_task, t) for t in tasks])
        return
    begun: dict[Any, int] = {}
    received = 0
    try:
        _refuse_forks(executor)
        for i, task in enumerate(tasks):
            begun[executor.submit(forecast_task, task)] = i
        left = set(begun)
        while left:
            done, left = futures.wait(left, timeout=0.2, return_when=futures.FIRST_COMPLETED)
            interrupt.check()
            for future in done:
                result = future.result()
                received += 1
                yield begun[future], result
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
        for future in begun:
            future.cancel()


def _refuse_forks(executor: Executor) -> None:
    """Refuse processes that would hang: JAX has threads, which a fork leaves behind."""
    processes = isinstance(executor, futures.ProcessPoolExecutor)
    if processes and executor.submit(start_method).result() == "fork":
        raise WorkerError(
            "this executor forks processes, and a forked JAX hangs: give it "
            'mp_context=multiprocessing.get_context("spawn")'
        )


def start_method() -> str:
    """How the process that this runs in was started, if another one started it."""
    return get_start_method()  # which would travel to a worker with what it says here


def _is_loss(error: BaseException) -> bool:
    """Whether an executor's error is about its workers rather than the work."""
    return (
        isinstance(error, futures.BrokenExecutor | futures.CancelledError)
        or type(error).__name__ == "KilledWorker"  # dask's, after several workers
        or (isinstance(error, RuntimeError) and "after shutdown" in str(error))
    )


def _scored(
    fold: Fold, task: Task, result: tuple[Any, Any, dict[str, float]], laid_out: Design, seed: int
) -> pd.DataFrame:
    """Rows of one fold of a task."""
    mu, sd, notes = result
    rng, law = np.random.default_rng([seed, *fold.key.encode()]), task.spec.observation
    columns = [laid_out.benchmarks.index(b) for b in fold.benchmarks]
    rounding = np.asarray(laid_out.arrays.rounding, float)[columns].round(9)
    place = [task.rows.index(laid_out.models.index(m)) for m in fold.test]

    def forecast(i: int, there: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        m, s = (v[:, place[i], columns][:, there] for v in (mu, sd))
        draws = draw_scores(m, s, law, rng).astype(float)
        return draws, scores.log_score(y, m, s, law, rounding[there])

    table = laid_out.table.set_index("model")
    return score_fold(fold, table, forecast, rounding, rng).assign(**notes)


def _resume(
    out: Path | None, about: dict[str, Any], folds: int
) -> tuple[dict[str, pd.DataFrame], float]:
    """Folds that `out` holds already, by key, and the seconds that they took.

    An error if they are of something else.
    """
    if out is None or not (out / CELLS).exists():
        return {}, 0.0
    found, plain = load_evaluation(out), json.loads(json.dumps(about))
    # What an evaluation of an earlier version does not name had its default.
    found.about["options"] = defaults(plain["method"]) | found.about.get("options", {})
    found.about["spec"] = _in_full(str(found.about.get("spec")))
    for name in ("spec", "method", "folds", "seed", "options", "data_fingerprint"):
        if found.about.get(name) != plain[name]:
            raise FileFormatError(
                f"{out} holds an evaluation with another {name}: give another folder, or delete it"
            )
    rows = pd.concat([found.frame, found.means], ignore_index=True)
    if "doublings" not in found.frame and not folds <= len(rows.groupby(KEY)):
        raise FileFormatError(
            f"{out} holds a part of an evaluation by an earlier version, which does not say how "
            "far models are from those that were shown: give another folder, or delete it"
        )
    parts = {"/".join(map(str, key)): part for key, part in rows.groupby(KEY, sort=False)}
    return parts, float(found.about.get("seconds", 0.0))
