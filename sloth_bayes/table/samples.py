"""Counts of correct samples of a model on problems, and the unbiased pass@k of counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy

from ..errors import DataError, check_known
from ..support.frames import as_pandas
from ..support.shipped import shipped
from ..support.types import checked

SAMPLES = {
    "monkeys": "monkeys_math_pythia_counts.csv",
    "checkpoints": "pythia_checkpoints_math_counts.csv",
}
K = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
_NEEDED = {
    "model": "the name of the model",
    "problem": "the name or number of the problem",
    "n_samples": "how many samples were drawn",
    "n_correct": "how many of them were correct",
}


def unbiased_pass_at_k(n_samples: Any, n_correct: Any, k: Any) -> np.ndarray:
    """Unbiased estimate of pass@k of a problem from counts (Chen et al., 2021).

    ``1 - C(n - c, k) / C(n, k)``: the probability that k of the n samples, drawn without
    replacement, include a correct one. The ratio of binomial coefficients is computed as one
    exponential of terms of its own size (Stirling's series, whose large parts cancel on
    paper), so that nothing overflows and small values keep their digits.

    Parameters
    ----------
    n_samples, n_correct, k
        Whole numbers, of any shapes that broadcast.

    Returns
    -------
    numpy.ndarray
        In [0, 1], of the broadcast shape.

    Raises
    ------
    DataError
        If a count is negative or not whole, `n_correct` exceeds `n_samples`, or `k` is below
        1 or above `n_samples`: the counts then say nothing unbiased about pass@k.

    Examples
    --------
    >>> unbiased_pass_at_k(10000, [1, 10], 100).round(6).tolist()
    [0.01, 0.095659]
    """
    n, c = _whole("n_samples", n_samples), _whole("n_correct", n_correct)
    tries = _whole("k", k)
    if (n < 0).any() or (c < 0).any():
        raise DataError("n_samples and n_correct are counts: they cannot be negative")
    if (tries < 1).any():
        raise DataError(f"k is a number of samples, at least 1, not {tries.min():g}")
    n, c, tries = np.broadcast_arrays(n, c, tries)
    if (c > n).any():
        i = np.argmax(c > n)
        raise DataError(
            f"{c.flat[i]:g} correct of {n.flat[i]:g} samples: n_correct exceeds n_samples"
        )
    if (tries > n).any():
        i = np.argmax(tries > n)
        raise DataError(
            f"pass@{tries.flat[i]:g} cannot be estimated from {n.flat[i]:g} samples: k must "
            "be at most n_samples; a model of the counts (Posterior.pass_at_k) goes further"
        )
    return estimate(n, c, tries)


def estimate(n: np.ndarray, c: np.ndarray, k: np.ndarray) -> np.ndarray:
    """:func:`unbiased_pass_at_k` of checked floats."""
    rest = np.maximum(n - c - k, 0.0)
    safe = np.maximum(rest, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        # log of (n-c)! (n-k)! / n! / rest!, with x! = x^(x + 1/2) exp(-x + tail)
        log = (
            (safe + 0.5) * np.log1p(c * k / (n * safe))
            + k * np.log1p(-c / n)
            + c * np.log1p(-k / n)
            + (_tail(n - c) - _tail(n))
            + (_tail(n - k) - _tail(safe))
        )
        last = (
            scipy.special.gammaln(n - c + 1)
            + scipy.special.gammaln(n - k + 1)
            - scipy.special.gammaln(n + 1)
        )  # where rest is 0
    log = np.where(rest > 0, log, last)
    return np.where(c + k > n, 1.0, np.where(c == 0, 0.0, -np.expm1(log)))


def _tail(x: np.ndarray) -> np.ndarray:
    """What Stirling's formula leaves of ``log x!``, ``1 / (12 x)`` for large `x`."""
    y = np.maximum(x, 1.0)
    exact = scipy.special.gammaln(y + 1) - (y + 0.5) * np.log(y) + y - 0.5 * np.log(2 * np.pi)
    v = 1 / (y * y)
    series = (1 / 12 - v * (1 / 360 - v * (1 / 1260 - v / 1680))) / y
    return np.where(y < 16, exact, series)


def _whole(name: str, given: Any) -> np.ndarray:
    try:
        out = np.asarray(given, float)
    except (TypeError, ValueError):
        raise DataError(f"{name} must be whole numbers, not {given!r}") from None
    if not (np.isfinite(out) & (out == np.floor(out))).all():
        raise DataError(f"{name} must be whole numbers")
    return out


# -- data ----------------------------------------------------------------------------------


@checked
def load_samples(name: str = "monkeys") -> pd.DataFrame:
    """Counts of correct samples that ship.

    Parameters
    ----------
    name
        ``"monkeys"``: 7 finished Pythia models, 128 MATH problems, 10,000 samples a problem
        (Brown et al., 2024, arXiv 2407.21787). ``"checkpoints"``: 9 Pythia sizes at 8
        checkpoints on 128 other MATH problems under another evaluation, 128 and more samples
        a problem (Schaeffer et al., 2025, arXiv 2502.17578); the two cannot be pooled.

    Returns
    -------
    pandas.DataFrame
        One row a model and problem: model, family, params_b (billions), tokens_t (trillions;
        of a checkpoint, those seen so far), problem, n_samples, n_correct; the checkpoints
        also have level (difficulty, 1 to 5).

    Raises
    ------
    UnknownNameError
        If no counts of that name ship.

    Examples
    --------
    >>> load_samples().groupby("model")["n_samples"].max().unique().tolist()
    [10000]
    """
    check_known("counts", [name], SAMPLES)
    table = pd.read_csv(shipped("data") / "test_time" / SAMPLES[name])
    table = table.rename(columns={"problem_idx": "problem"})
    if name == "monkeys":
        size = table["model"].str.extract(r"-([\d.]+)([mb])$")
        table["params_b"] = size[0].astype(float) * size[1].map({"m": 1e-3, "b": 1.0})
        table["tokens_t"] = 0.3
    table["family"] = "pythia"
    first = ["model", "family", "params_b", "tokens_t", "problem"]
    last = ["n_samples", "n_correct"]
    return table[[*first, *[c for c in table if c == "level"], *last]]


def empirical(counts: pd.DataFrame, k: Sequence[int] | np.ndarray = K) -> pd.DataFrame:
    """Unbiased pass@k of each model, the mean over its problems.

    Returns
    -------
    pandas.DataFrame
        model, k, empirical; NaN where a problem has fewer than k samples.

    Examples
    --------
    >>> empirical(load_samples(), [1, 100]).query("model == 'pythia-1b'")["k"].tolist()
    [1, 100]
    """
    rows, tries = checked_counts(counts), checked_tries(k)
    n, c = (rows[x].to_numpy(float)[:, None] for x in ("n_samples", "n_correct"))
    some = n >= tries
    values = np.where(some, estimate(np.maximum(n, tries), np.where(some, c, 0), tries), np.nan)
    table = pd.DataFrame(values, columns=pd.Index(tries.astype(int), name="k"))
    means = table.groupby(rows["model"].to_numpy()).agg(lambda x: x.mean(skipna=False))
    means.index.name = "model"
    return means.stack(future_stack=True).rename("empirical").reset_index()


def checked_counts(counts: pd.DataFrame) -> pd.DataFrame:
    """Counts that make sense, sorted, so that the order of the rows changes nothing."""
    counts = as_pandas(counts, "a table of counts")
    for column, what in _NEEDED.items():
        if column not in counts:
            raise DataError(f"counts lack the column {column!r}: add it, with {what}")
    if counts.empty:
        raise DataError("there are no counts: the table is empty")
    rows = counts.assign(model=counts["model"].astype(str), problem=counts["problem"].astype(str))
    for column in ("n_samples", "n_correct"):
        rows[column] = pd.to_numeric(rows[column], errors="coerce")
    for row in rows.itertuples():
        n, c = row.n_samples, row.n_correct
        where = f"{row.model} on problem {row.problem}"
        if not (np.isfinite([n, c]).all() and n == int(n) and c == int(c)):
            raise DataError(f"{where}: n_samples and n_correct must be whole numbers")
        if n < 1 or c < 0:
            raise DataError(f"{where}: {n:g} samples, {c:g} correct: counts cannot be negative, "
                            "and a pair without samples is left out")  # fmt: skip
        if c > n:
            raise DataError(f"{where}: {c:g} correct of {n:g} samples: n_correct exceeds n_samples")
    twice = rows.duplicated(["model", "problem"])
    if twice.any():
        row = rows[twice].iloc[0]
        raise DataError(
            f"{row['model']} has problem {row['problem']} twice: add up its counts first"
        )
    return rows.sort_values(["model", "problem"], kind="stable").reset_index(drop=True)


def checked_tries(k: Any) -> np.ndarray:
    """Numbers of samples k, each once, in order; all at least 1."""
    tries = np.unique(_whole("k", np.atleast_1d(np.asarray(k))))
    if tries.size == 0 or tries[0] < 1:
        raise DataError(f"k is a number of samples, at least 1, not {k!r}")
    return tries
