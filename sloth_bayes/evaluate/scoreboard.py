"""The scoreboard: every method's errors on the published protocol, and ours beside them.

``sloth-bayes evaluate --all`` runs it and keeps each part in a folder of its own, so that an
interrupted run goes on where it was and every figure can be traced to its forecasts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd

from ..law.spec import Spec
from ..support.files import new_file
from ..table.leaderboard import load_dataset
from . import baselines
from .evaluation import Evaluation, cross_validate, fold_errors, paired, published_errors
from .protocols import Hide

BEST_PUBLISHED = "Sloth d=4, family intercept, trained link"
MONTHS = ("2023-09", "2024-03")  # time splits: about half and a quarter of the families come later
PARTS = ("strict", "loose", "lineages", *(f"since-{m}" for m in MONTHS))
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
    only: Sequence[str] | None = None,
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
    out = Path(out)
    as_published, corrected = load_dataset(corrected=False), load_dataset()
    parts: dict[str, Evaluation] = {}
    for name in PARTS:
        say(f"{name}: {_DESCRIBED[name.split('-')[0]]}")
        data, hide = as_published, cast("Hide", "strict")
        protocol = "published"
        if name == "loose":
            hide = "family"
        elif name != "strict":
            data = corrected
            protocol = "lineage" if name == "lineages" else name.removeprefix("since-")
        parts[name] = cross_validate(
            spec, data, protocol, hide=hide, method=method, seed=seed, out=out / name,
            progress=progress, label="sloth_bayes" if name == "strict" else f"sloth_bayes, {name}",
            **options,
        )  # fmt: skip
    rows = []
    kept = _kept(out / "baselines.csv")
    for i, name in enumerate(baselines.names() if only is None else only):
        if name not in kept:
            say(f"baseline {i + 1}: {name}")
            found = baselines.evaluate(name, as_published, seed=seed)
            kept[name] = _fold_errors(found, name, "computed here")
            _write(pd.concat(kept.values(), ignore_index=True), out / "baselines.csv")
        rows.append(kept[name])
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
    kept, data = _kept(path), load_dataset(corrected=False)
    for name in methods:
        if name in kept:
            continue
        say(f"by benchmark: {name}")
        frame = baselines.evaluate(name, data, seed=seed).frame
        key = ["setting", "n_observed", "fold", "benchmark"]
        mae = (100 * frame.groupby(key, sort=False)["error"].mean()).rename("mae")
        kept[name] = mae.reset_index().assign(method=name)
        _write(pd.concat(kept.values(), ignore_index=True), path)
    return pd.concat([kept[name] for name in methods], ignore_index=True)


def _kept(path: Path) -> dict[str, pd.DataFrame]:
    """Baselines that an earlier run has finished."""
    if not path.exists():
        return {}
    return {str(k): v for k, v in pd.read_csv(path).groupby("method", sort=False)}


def _write(frame: pd.DataFrame, path: Path) -> None:
    with new_file(path) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")


_DESCRIBED = {
    "strict": "the published protocol, relatives hidden",
    "loose": "the published protocol, tuned twins visible",
    "lineages": "every lineage in turn, smallest model of each family visible",
    "since": "families released since then, smallest model visible",
}


def assemble(parts: dict[str, Evaluation], refits: pd.DataFrame | None) -> Scoreboard:
    """The tables of a scoreboard from its parts and the baselines' errors by fold."""
    ours = [
        _fold_errors(parts[name], label, "sloth_bayes")
        for name, label in (("strict", "sloth_bayes"), ("loose", "sloth_bayes, twins visible"))
        if name in parts
    ]
    authors = published_errors().assign(source="published")
    folds = pd.concat([*ours, authors, *([] if refits is None else [refits])], ignore_index=True)
    mean = folds.groupby(["source", "method", "setting", "n_observed"], sort=False)["mae"].mean()
    wide = mean.unstack(["setting", "n_observed"])
    wide = wide[sorted(wide.columns, key=lambda c: (len(c[0]), c[0], c[1]))]
    wide.columns = [f"{setting}/{n}" for setting, n in wide.columns]
    wide.insert(len(wide.columns), "mean", wide.mean(axis=1))
    wide = wide.sort_values("mean").reset_index()
    for name, label in (("strict", "sloth_bayes"), ("loose", "sloth_bayes, twins visible")):
        if name not in parts:
            continue
        last = parts[name].summary().iloc[-1]
        here = wide["method"] == label
        for column in ("crps", "interval_score", "cover_90", "cover_50", "width_90"):
            wide.loc[here, column] = last[column]
    point = wide["method"].str.startswith("sloth_bayes")
    wide.loc[~point, "crps"] = wide.loc[~point, "mean"]
    key = ["setting", "n_observed", "fold"]
    mine = ours[0].set_index(key)["mae"]
    best = authors[authors["method"] == BEST_PUBLISHED].set_index(key)["mae"]
    return Scoreboard(wide, folds, paired((mine - best).dropna()), parts)


def _fold_errors(found: Evaluation, method: str, source: str) -> pd.DataFrame:
    out = fold_errors(found.frame)
    if "loss" in found.frame:
        key = ["setting", "n_observed", "fold"]
        out["loss"] = found.frame.groupby(key, sort=False)["loss"].first().to_numpy()
    return out.assign(method=method, source=source)
