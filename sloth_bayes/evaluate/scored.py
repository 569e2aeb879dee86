"""From draws to scored cells: one row a forecast score, and one a model's average."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ..law.equations import doublings_of_compute
from . import scores
from .protocols import Fold

MEAN = "mean of all"  # the `benchmark` of the rows about a model's average score


def score_cells(
    draws: np.ndarray,
    y: np.ndarray,
    rounding: np.ndarray,
    rng: np.random.Generator,
    log_score: np.ndarray | float = np.nan,
) -> pd.DataFrame:
    """Forecast summaries and scores of n cells, ``draws (S, n)``; one draw is a point."""
    point = len(draws) == 1
    out: dict[str, Any] = {"score": y, "median": np.median(draws, 0)}
    out["sd"] = np.nan if point else draws.std(0)
    lower, upper = np.full((2, y.size), np.nan) if point else scores.central_interval(draws, 0.9)
    out["lower"], out["upper"] = lower, upper
    out["error"] = np.abs(out["median"] - y)
    out["crps"] = scores.crps(draws, y)
    out["log_score"] = log_score
    out["interval_score"] = scores.interval_score(lower, upper, y, 0.9)
    for level in scores.LEVELS:
        low, high = scores.central_interval(draws, level)
        covered = scores.covers(draws, y, level, rounding).astype(float)
        out[f"covered_{level * 100:.0f}"] = np.nan if point else covered
        out[f"width_{level * 100:.0f}"] = np.nan if point else high - low
    out["pit"] = np.nan if point else scores.pit(draws, y, rounding, rng)
    return pd.DataFrame(out)


def score_fold(
    fold: Fold,
    table: pd.DataFrame,
    forecast: Callable[[int, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray | float]],
    rounding: np.ndarray,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Rows of one fold: the cells of each model that it tests, then the model's average.

    Parameters
    ----------
    table
        What came true, a row a model.
    forecast
        Of the fold's test models by number, their benchmarks that have a score (a mask) and
        these scores: draws ``(S, n)`` and log scores.
    rounding
        Step of the published scores of each benchmark of the fold.
    """
    benchmarks, parts = np.asarray(fold.benchmarks), []
    compute = pd.Series(doublings_of_compute(table["params_b"], table["tokens_t"]), table.index)
    shown = compute[~table.index.isin(fold.hidden)].dropna()
    for i, model in enumerate(fold.test):
        y = table.loc[model, list(fold.benchmarks)].to_numpy(float)
        there = np.isfinite(y)
        draws, log_score = forecast(i, there, y[there])
        cells = score_cells(draws, y[there], rounding[there], rng, log_score)
        average = draws.mean(1, keepdims=True), y[there].mean(keepdims=True)
        rows = pd.concat([cells, score_cells(*average, np.zeros(1), rng)], ignore_index=True)
        of_family = shown[table.loc[shown.index, "family"] == table.loc[model, "family"]]
        names = {
            "setting": fold.setting, "n_observed": fold.n_observed, "fold": fold.name,
            "model": model, "family": str(table.loc[model, "family"]),
            "benchmark": [*benchmarks[there], MEAN],
            "doublings": (of_family - compute[model]).abs().min(),
        }  # fmt: skip
        parts.append(pd.DataFrame(names).join(rows))
    return pd.concat(parts, ignore_index=True)
