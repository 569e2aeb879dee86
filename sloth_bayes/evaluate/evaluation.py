"""Out-of-family evaluation: forecasts of hidden models, scored.

An evaluation keeps one row a forecast cell, so that every figure of a scoreboard is an average
of rows that anyone can look at. :func:`sloth_bayes.cross_validate` makes one, by hiding what a
protocol says (:mod:`sloth_bayes.protocols`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import DataError, FileFormatError, check_known, unknown
from ..support.files import atomic_path, user_path
from ..support.html import shown
from ..support.kept import keep, kept, only_writer
from ..support.shipped import shipped
from . import scores
from .scored import MEAN

CELLS, ABOUT = "cells.csv", "about.json"
_SETTING = ["setting", "n_observed"]
KEY = [*_SETTING, "fold"]
NAMES = ["setting", "fold", "model", "family", "benchmark"]  # columns of text
_SCORES = ["error", "crps", "log_score", "interval_score"]
_NEEDED = ["benchmark", "score", "error"]
LEAST_RELATIVE = 0.01  # score below which an error relative to it says little


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
    >>> data = sb.load_dataset("open_llm_leaderboard").select(benchmarks=["MMLU", "HellaSwag"])
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
            f"{f.groupby(KEY).ngroups} folds, {f['model'].nunique()} models, {len(f)} forecasts>"
        )

    def _repr_html_(self) -> str:
        bad, standing = self.not_converged(), None
        if "converged" in self.frame:
            first_look = self.about.get("method") == "svi"
            standing = "not converged" if bad else "first look" if first_look else "converged"
        folds = f"{len(bad)} of {self.frame.groupby(KEY).ngroups} folds have not converged"
        notes = [f"{folds}: see not_converged()"] if bad else []
        few = ["mae", "crps", "cover_50", "cover_90", "width_90", "folds", "cells"]
        table = self.summary().reset_index()
        table = table[[c for c in ("setting", "n_observed", *few) if c in table]]
        return shown(repr(self), table, standing=standing, notes=notes)

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
        settings = f.groupby(_SETTING, sort=False)
        shares = [c for c in f if c.startswith(("covered_", "width_"))]
        out = f.groupby(KEY, sort=False)[_SCORES].mean().groupby(_SETTING, sort=False).mean()
        out = out.join(settings[shares].mean())
        out["folds"], out["cells"] = settings["fold"].nunique(), settings.size()
        every = out.mean()
        every[shares] = f[shares].mean()
        every[["folds", "cells"]] = out[["folds", "cells"]].sum()
        out.loc[("all", 0), :] = every
        points = ["error", "crps", "interval_score", *(c for c in shares if "width" in c)]
        out[points] *= 100
        names = {"error": "mae"} | {c: c.replace("covered", "cover") for c in shares}
        return out.astype({"folds": int, "cells": int}).rename(columns=names)

    def not_converged(self) -> list[str]:
        """Folds whose fit had not converged (``setting/n_observed/fold``).

        With SVI: over the last tenth of the steps the ELBO still rose by more than 0.005 nats
        a score (and its noise). With NUTS: after two refits, each twice as long as the fit
        before, R-hat of an expected score that the fold asks for was above 1.05, or its
        effective sample size below 200 (a forecast's ends, not a posterior to publish).
        """
        if "converged" not in self.frame:
            return []
        return folds_of(self.frame[self.frame["converged"] == 0])

    def by(self, what: str) -> pd.DataFrame:
        """Mean error, CRPS, width (points) and 90% coverage by a column of `frame`.

        By ``"doublings"`` in bins of one, in their order: of compute, between a model and the
        nearest of its family that the fold shows.

        Raises
        ------
        UnknownNameError
            If it is not a column that names something.
        DataError
            If the evaluation does not say how far its models are (one of an earlier version).
        """
        names = ["benchmark", "family", "model", "fold", "doublings", *_SETTING]
        check_known("column", [what], names)
        frame = self.frame.assign(bias=self.frame["median"] - self.frame["score"])
        if what == "doublings":
            if what not in frame:
                raise DataError(
                    "this evaluation does not say how far its models are from those that were "
                    "shown: run it again (sb.cross_validate, or sloth-bayes evaluate)"
                )
            frame[what] = bins(frame[what])
        grouped = frame.groupby(what, observed=True)
        out = 100 * grouped[["error", "crps", "width_90", "bias"]].mean()
        out["cover_90"], out["cells"] = grouped["covered_90"].mean(), grouped.size()
        out = out.rename(columns={"error": "mae"})
        return out if what == "doublings" else out.sort_values("mae", ascending=False)

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
        check_known("coverage", [of], ["cells", "means"])
        frame = self.frame if of == "cells" else self.means
        groups: dict[Any, pd.DataFrame] = dict(list(frame.groupby(_SETTING, sort=False)))
        rows = []
        for (setting, n), g in (groups | {("all", 0): frame}).items():
            for level in scores.LEVELS:
                hit = g[f"covered_{level * 100:.0f}"].to_numpy(float)
                _, low, high = scores.bootstrap_interval(hit, clusters(g), replicates=replicates)
                width = 100 * g[f"width_{level * 100:.0f}"].mean()
                holds = low <= level <= high
                rows.append((setting, n, level, hit.mean(), low, high, holds, width, len(g)))
        names = [*_SETTING, "level", "coverage", "lower", "upper", "holds", "width", "n"]
        return pd.DataFrame(rows, columns=names)

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
        check_known("score", [score], _SCORES)
        columns = [*KEY, "model", "benchmark"]
        mine, yours = (e.frame.set_index(columns)[score] for e in (self, other))
        if not mine.index.sort_values().equals(yours.index.sort_values()):
            raise DataError("the two evaluations do not score the same cells: run the same folds")
        unit = 1.0 if score == "log_score" else 100.0
        difference = (unit * (mine - yours)).groupby(level=KEY).mean()
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
            If the folder cannot be written, or another run is writing it.
        """
        folder = user_path(folder)
        with only_writer(folder / CELLS):
            write(self, folder)
        return folder


def write(found: Evaluation, folder: Path) -> None:
    """Write an evaluation into a folder that is held (:func:`sloth_bayes.support.kept`)."""
    try:
        about = json.dumps(found.about, indent=1, default=_plain)
        with atomic_path(folder / ABOUT) as path:  # first, as no cells are of nothing
            path.write_text(about + "\n", encoding="utf-8")
    except OSError as error:
        raise FileFormatError(f"cannot write {folder}: {error.strerror or error}") from None
    rows = pd.concat([found.frame, found.means], ignore_index=True)
    keep(folder / CELLS, rows, of=_digest(json.loads(about)))


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise DataError(f"an evaluation's about holds what JSON does not: {value!r}")


def _digest(about: dict[str, Any]) -> str:
    """Of what an evaluation is of: not of how long it took."""
    named = {name: value for name, value in about.items() if name != "seconds"}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


def folds_of(rows: pd.DataFrame) -> list[str]:
    """The folds that rows are of: ``setting/n_observed/fold`` each."""
    return sorted({"/".join(map(str, key)) for key in rows[KEY].itertuples(index=False)})


def bins(doublings: pd.Series) -> pd.Series:
    """Distances in bins of a doubling, and ``"no model shown"`` where there is none."""
    labels = ["< 1", "1-2", "2-3", "3+"]
    found = pd.cut(doublings, [-np.inf, 1, 2, 3, np.inf], right=False, labels=labels)
    return found.cat.add_categories("no model shown").fillna("no model shown")


def clusters(rows: pd.DataFrame) -> np.ndarray:
    """What shares its luck: a fold, by its first family, so that settings share it too.

    Or a family, where there is but one fold, or folds overlap (as time splits do).
    """
    first = rows["fold"].str.split("+").str[0]
    if "family" in rows:
        apart = first.groupby(rows["family"]).nunique().max() == 1
        if not apart or first.nunique() == 1:
            return rows["family"].to_numpy(str)
    return first.to_numpy(str)


def paired(difference: pd.Series, replicates: int = 4000, seed: int = 0) -> pd.DataFrame:
    """Family bootstrap of the mean of per-fold differences, within and over settings.

    `difference` is indexed by setting, n_observed and fold. Settings share families: a
    fold's first family names its cluster, and a cluster is drawn in all settings at once.
    """
    table = difference.rename("d").reset_index()
    each, place = np.unique(clusters(table), return_inverse=True)
    draw = np.random.default_rng(seed).integers(0, len(each), (replicates, len(each)))
    weight = np.stack([np.bincount(d, minlength=len(each)) for d in draw])  # (R, clusters)
    means, replicated = {}, {}
    for key, part in table.groupby(_SETTING, sort=False):
        w, d = weight[:, place[part.index]], part["d"].to_numpy(float)
        with np.errstate(invalid="ignore"):
            means[key], replicated[key] = d.mean(), (w @ d) / w.sum(1)
    means["all", 0] = np.mean(list(means.values()))
    replicated["all", 0] = np.mean(list(replicated.values()), axis=0)
    rows = [
        (means[key], np.nanstd(r, ddof=1), *np.nanquantile(r, [0.025, 0.975]))
        for key, r in replicated.items()
    ]
    index = pd.MultiIndex.from_tuples(list(replicated), names=_SETTING)
    return pd.DataFrame(rows, index, columns=["difference", "se", "lower", "upper"])


def load_evaluation(name: str | Path = "leaderboard", part: str = "strict") -> Evaluation:
    """Read an evaluation that ships, or what :meth:`Evaluation.save` wrote.

    Parameters
    ----------
    name
        A model that ships (``"leaderboard"``), or a folder (a ``Path``, or a string with a
        separator).
    part
        Of a model that ships: ``"strict"`` (the published protocol), ``"nuts"`` and
        ``"nuts-far"`` (the same by NUTS, and by the law of ``models/far``; others are by SVI),
        ``"loose"`` (tuned twins visible), ``"lineages"``, ``"since-2023-09"``,
        ``"since-2024-03"`` or ``"nuts-far-since-2024-03"``.

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
        folder = user_path(name)
    else:
        root = shipped("models")
        known = sorted(p.parent.relative_to(root) for p in root.glob(f"*/evaluation/*/{ABOUT}"))
        if Path(name) / "evaluation" / part not in known:
            listed = [f"{p.parts[0]} {p.parts[2]}" for p in known]
            raise unknown("evaluation", f"{name} {part}", listed, "A folder has a separator.")
        folder = root / name / "evaluation" / part
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if not isinstance(about, dict) or not isinstance(about.get("options", {}), dict):
            raise ValueError(f"{ABOUT} is no JSON object, or its options are none")
        _ = float(about.get("seconds", 0.0))  # which may be no number
        rows = kept(folder / CELLS, NAMES, of=_digest(about))
        if rows is None:
            raise FileNotFoundError
        if missing := [name for name in (*KEY, "model", *_NEEDED) if name not in rows]:
            raise ValueError(f"{CELLS} has no column {missing[0]}")
        for name in rows.columns.difference(NAMES):
            if not pd.api.types.is_numeric_dtype(rows[name]):
                raise ValueError(f"{CELLS} has text in its column {name}")
        return of_rows(rows, about)
    except FileNotFoundError:
        if (folder / CELLS).exists():
            raise FileFormatError(
                f"{folder} has {CELLS} and no {ABOUT}, which says what it is of: copy that too, "
                f"or delete {CELLS} and evaluate again"
            ) from None
        raise FileFormatError(f"{folder} holds no evaluation: {CELLS} and {ABOUT}") from None
    except FileFormatError:
        raise
    except OSError as error:
        raise FileFormatError(f"cannot read {folder}: {error.strerror or error}") from None
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise FileFormatError(
            f"{folder} holds a damaged evaluation ({error}): delete it and evaluate again"
        ) from None


def of_rows(rows: pd.DataFrame, about: dict[str, Any]) -> Evaluation:
    """The evaluation of cells and means, as :mod:`sloth_bayes.evaluate.scored` makes them."""
    mean = rows["benchmark"] == MEAN
    return Evaluation(rows[~mean].reset_index(drop=True), rows[mean].reset_index(drop=True), about)


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
    return table.groupby(KEY, sort=False)[["mae", "mape"]].mean().reset_index()


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
