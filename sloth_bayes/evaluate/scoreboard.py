"""The scoreboard: every method's errors on the published protocol, and ours beside them.

``sloth-bayes evaluate --all`` runs it and keeps each part in a folder of its own, so that an
interrupted run goes on where it was and every figure can be traced to its forecasts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ..errors import FileFormatError, SpecError
from ..law.spec import Spec
from ..support.files import new_file, user_path
from ..support.frames import listed
from ..support.kept import keep, kept, only_writer
from ..support.shipped import PUBLISHED
from ..table.leaderboard import load_dataset
from . import baselines
from .evaluation import KEY, NAMES, Evaluation, fold_errors, paired, published_errors
from .protocols import Hide

BEST_PUBLISHED = "Sloth d=4, family intercept, trained link"
MONTHS = ("2023-09", "2024-03")  # time splits: about half and a quarter of the families come later


class Part(NamedTuple):
    """One of our evaluations: what it is in words, and what is hidden."""

    words: str
    protocol: str
    hide: Hide = "strict"


PARTS = {
    "strict": Part("the published protocol, relatives hidden", "published"),
    "loose": Part("the published protocol, tuned twins visible", "published", "family"),
    "lineages": Part("every lineage in turn, smallest model of each family visible", "lineage"),
}
PARTS |= {
    f"since-{month}": Part("families released since then, smallest model visible", month)
    for month in MONTHS
}
# Whether a shared intercept is enough, benchmark by benchmark (Maia Polo et al., 2024, figure 3)
BY_BENCHMARK = (
    "FLOPs, shared intercept, logistic (Owen)",
    "Sloth d=3, family intercept, trained link",
    "Sloth d=4, shared intercept, trained link",
)


@dataclasses.dataclass(frozen=True)
class Scoreboard:
    """What ``evaluate --all`` found.

    Attributes
    ----------
    table : pandas.DataFrame
        One row a method: mean absolute error (points) in each setting and their mean,
        CRPS, 90% interval score, 90% and 50% coverage and mean 90% width where there are intervals;
        ``source`` says whether the numbers are the authors' or computed here.
    folds : pandas.DataFrame
        setting, n_observed, fold, method, source, mae, and mape where forecasts are
        known cell by cell: what the table averages.
    differences : pandas.DataFrame
        Ours minus the best single published configuration, by setting, with its standard
        error by family bootstrap.
    parts : dict of str to Evaluation
        Our evaluations: ``strict`` (the headline), ``loose`` (tuned twins visible),
        ``lineages`` (corrected table, every lineage in turn) and the time splits.
    """

    table: pd.DataFrame
    folds: pd.DataFrame
    differences: pd.DataFrame
    parts: dict[str, Evaluation]


def run(
    spec: Spec,
    out: str | Path,
    *,
    method: str = "svi",
    seed: int = 0,
    progress: bool | None = None,
    say: Callable[[str], None] = lambda text: None,
    only: str | Sequence[str] | None = None,
    **options: Any,
) -> Scoreboard:
    """Evaluate a specification and every baseline; write ``scoreboard.csv`` and the parts.

    Parameters
    ----------
    spec
        The specification of the headline.
    out
        Folder for the results; what it holds already is not computed again.
    method, seed, progress, **options
        As for :func:`sloth_bayes.cross_validate`.
    say
        Told what begins.
    only
        Names of baselines to run; all of :func:`sloth_bayes.baselines.names` by default.

    Returns
    -------
    Scoreboard
    """
    from .cross_validate import cross_validate

    out = user_path(out)
    as_published, corrected = (load_dataset(PUBLISHED, corrected=c) for c in (False, True))
    parts: dict[str, Evaluation] = {}
    options |= {"method": method, "seed": seed, "progress": progress}
    for name, (words, protocol, hide) in PARTS.items():
        say(f"{name}: {words}")
        data = as_published if protocol == "published" else corrected
        label = "sloth_bayes" if name == "strict" else f"sloth_bayes, {name}"
        parts[name] = cross_validate(
            spec, data, protocol, hide=hide, out=out / name, label=label, **options
        )

    def errors(i: int, name: str) -> pd.DataFrame:
        say(f"baseline {i + 1}: {name}")
        found = baselines.evaluate(name, as_published, seed=seed)
        return _fold_errors(found, name, "computed here")

    rows = _each(out / "baselines.csv", baselines.names() if only is None else listed(only), errors)
    if only is None:
        by_benchmark(out / "baselines_by_benchmark.csv", seed=seed, say=say)
    board = assemble(parts, pd.concat(rows, ignore_index=True) if rows else None)
    _write(board.table, out / "scoreboard.csv")
    _write(board.differences.reset_index(), out / "differences.csv")
    return board


def by_benchmark(
    path: Path,
    methods: Sequence[str] = BY_BENCHMARK,
    *,
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> pd.DataFrame:
    """Errors of some baselines by fold and benchmark on the published protocol; kept in a file.

    Parameters
    ----------
    path
        CSV to write, and to read what an earlier run has finished.
    methods
        Names of baselines.
    seed, say
        As in :func:`run`.

    Returns
    -------
    pandas.DataFrame
        setting, n_observed, fold, benchmark, mae (points), method.
    """
    data = load_dataset(PUBLISHED, corrected=False)

    def errors(i: int, name: str) -> pd.DataFrame:
        say(f"by benchmark: {name}")
        frame = baselines.evaluate(name, data, seed=seed).frame
        mean = 100 * frame.groupby([*KEY, "benchmark"], sort=False)["error"].mean()
        return mean.rename("mae").reset_index().assign(method=name)

    return pd.concat(_each(path, methods, errors), ignore_index=True)


def _each(
    path: Path, methods: Sequence[str], errors: Callable[[int, str], pd.DataFrame]
) -> list[pd.DataFrame]:
    """Errors of each method; a file keeps them as they come, and an earlier run's are read."""
    if not methods:
        raise SpecError("name at least one baseline")
    with only_writer(path):
        found = kept(path, (*NAMES, "method"))
        done: dict[str, pd.DataFrame] = {}
        if found is not None:
            if "method" not in found:
                raise FileFormatError(f"{path} has no column method: delete it, and run again.")
            done = {str(name): part for name, part in found.groupby("method", sort=False)}
        for i, name in enumerate(methods):
            if name not in done:
                done[name] = errors(i, name)
                keep(path, pd.concat(done.values(), ignore_index=True))
        found = kept(path, (*NAMES, "method"))
    return [] if found is None else [found[found["method"] == name] for name in methods]


def _write(frame: pd.DataFrame, path: Path) -> None:
    with new_file(path) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")


_OURS = {"strict": "sloth_bayes", "loose": "sloth_bayes, twins visible"}  # rows of the table


def assemble(parts: dict[str, Evaluation], refits: pd.DataFrame | None) -> Scoreboard:
    """The tables of a scoreboard from its parts and the baselines' errors by fold."""
    ours = {name: label for name, label in _OURS.items() if name in parts}
    tables = [_fold_errors(parts[name], label, "sloth_bayes") for name, label in ours.items()]
    authors = published_errors().assign(source="published")
    folds = pd.concat([*tables, authors, refits], ignore_index=True)  # None is left out
    mean = folds.groupby(["source", "method", *KEY[:2]], sort=False)["mae"].mean()
    wide = mean.unstack(KEY[:2])
    wide = wide[sorted(wide.columns, key=lambda c: (len(c[0]), c[0], c[1]))]
    wide.columns = [f"{setting}/{n}" for setting, n in wide.columns]
    wide.insert(len(wide.columns), "mean", wide.mean(axis=1))
    wide = wide.sort_values("mean").reset_index()
    columns = ["crps", "interval_score", "cover_90", "cover_50", "width_90"]
    for name, label in ours.items():
        last = parts[name].summary().iloc[-1]
        wide.loc[wide["method"] == label, columns] = last[columns].to_numpy()
    point = ~wide["method"].str.startswith("sloth_bayes")
    wide.loc[point, "crps"] = wide.loc[point, "mean"]
    mine = tables[0].set_index(KEY)["mae"]
    best = authors[authors["method"] == BEST_PUBLISHED].set_index(KEY)["mae"]
    return Scoreboard(wide, folds, paired((mine - best).dropna()), parts)


def _fold_errors(found: Evaluation, method: str, source: str) -> pd.DataFrame:
    out = fold_errors(found.frame)
    if "loss" in found.frame:
        out["loss"] = found.frame.groupby(KEY, sort=False)["loss"].first().to_numpy()
    return out.assign(method=method, source=source)
