"""The card of a posterior that ships: what was fitted, how well it went, what it does not know."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import ExtrapolationWarning
from ..law.equations import INPUTS
from ..law.terms.year import REFERENCE
from ..posterior.core import PosteriorDraws
from ..posterior.diagnostics import starts_in_words
from ..posterior.verdict import Diagnostics
from ..predict.forecast import forecast
from ..support.files import new_file, user_path


def write_card(
    post: PosteriorDraws,
    diagnostics: Diagnostics,
    seconds: float,
    path: str | Path,
    kept: int | None = None,
    svi: PosteriorDraws | None = None,
) -> Path:
    """Write what is known about a fit: data, convergence, calibration, limits.

    Every number is computed from the posterior given; nothing is remembered from another
    fit.

    Parameters
    ----------
    post
        The full fit (a slimmed one lacks the draws that PSIS-LOO deserves, and the card
        says so).
    diagnostics
        ``post.diagnostics()``.
    seconds
        Time the fit took.
    path
        The Markdown file; its folder names the posterior.
    kept
        Draws of the slimmed posterior beside the card, if there is one.
    svi
        A variational fit of the same specification to the same table, to be compared with
        this one.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    FileFormatError
        If the file cannot be written.
    """
    path = user_path(path)
    sections = [
        f"# The posterior `{path.resolve().parent.name}`\n\n"
        "Written by `sloth-bayes fit`; every number below is computed from the fit it describes.",
        "## What was fitted\n\n" + _fitted(post, seconds, kept),
        "## Convergence\n\n" + _convergence(diagnostics),
        "## In-sample check\n\n" + _in_sample(post),
        "## Leave-one-out (PSIS-LOO)\n\n" + _loo(post),
        "## When not to trust it\n\n" + _limits(post, diagnostics),
    ]
    if svi is not None:
        sections.insert(-1, "## Variational inference beside it\n\n" + _beside(post, svi))
    with new_file(path) as temporary:
        temporary.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    return path


def _table(head: list[str], cells: str, rows: Iterable[Iterable[Any]], right: bool = True) -> str:
    """A table in Markdown; `cells` formats a row, ``"{} | {:.1f}"``."""
    lines = [" | ".join(head), " | ".join(["---", *["--:" if right else "---"] * (len(head) - 1)])]
    return "\n".join(f"| {line} |" for line in [*lines, *(cells.format(*row) for row in rows)])


def _each(benchmarks: list[str], which: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Which rows are of each benchmark, and all."""
    return [*((b, which == b) for b in benchmarks), ("all", np.ones(len(which), bool))]


def _fitted(post: PosteriorDraws, seconds: float, kept: int | None) -> str:
    about = post.attrs
    gone, versions = about["left_out"], about["versions"]
    sizes = post.data_tree["posterior"].sizes
    method = f"{post.method.upper()}, {sizes['chain']} chain(s) x {sizes['draw']} draws"
    if about.get("thin", 1) > 1:
        method += f" of {int(about['thin'])} iterations"
    if "warmup" in about:
        method += f" after {int(about['warmup'])} of warm-up"
    rows = {
        "data": f"{about['data']}, fingerprint `{about['data_fingerprint']}`",
        "rows": f"{len(post.models)} models, {len(post.families)} families, {len(post.lineages)} "
        f"lineages, {len(post.benchmarks)} benchmarks, {int(about['n_scores'])} scores",
        "left out": f"{len(gone)} without size or tokens: {', '.join(gone)}" if gone else "none",
        "method": f"{method}, seed {int(about['seed'])}",
    }
    if kept is not None:
        rows["kept here"] = f"{kept} draws, thinned evenly; all else is of the full fit"
    rows |= {
        "starts": starts_in_words(post),
        "time": f"{seconds:.0f} s on {about['backend']}",
        "versions": ", ".join(f"{k} {v}" for k, v in versions.items()),
    }
    return _table(["what", "value"], "{} | {}", rows.items(), right=False)


def _convergence(found: Diagnostics) -> str:
    text = "\n".join(f"- {message}" for message in found.messages)
    if found.table.empty:
        return text
    rows = [
        (name, "" if math.isnan(r_hat) else f"{r_hat:.3f}", *rest)
        for name, r_hat, *rest in found.table.head(10).itertuples(index=False)
    ]
    head = ["quantity", "R-hat", "bulk ESS", "tail ESS", "MCSE"]
    table = _table(head, "{} | {} | {:.0f} | {:.0f} | {:.2g}", rows)
    return f"{text}\n\nThe ten worst of {len(found.table)}:\n\n{table}"


def _in_sample(post: PosteriorDraws) -> str:
    drawn = post.data_tree["posterior_predictive"].to_dataset()["score"]
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    low, lower, middle, upper, high = drawn.quantile(levels, ("chain", "draw"), skipna=False).values
    data = post.data_tree["observed_data"].to_dataset()
    score, which = data["score"].values, data["obs_benchmark"].values.astype(str)
    cells = pd.DataFrame(
        {
            "half": (score >= lower) & (score <= upper), "most": (score >= low) & (score <= high),
            "width": 100 * (high - low), "error": 100 * np.abs(middle - score),
        }
    )  # fmt: skip
    rows = [(name, here.sum(), *cells[here].mean()) for name, here in _each(post.benchmarks, which)]
    head = ["benchmark", "scores", "in 50%", "in 90%", "mean 90% width", "MAE of median"]
    table = _table(head, "{} | {} | {:.0%} | {:.0%} | {:.1f} | {:.1f}", rows)
    return (
        "Share of the observed scores inside their posterior predictive intervals (width and "
        "error in percentage points). These scores were in the fit: this shows whether the law "
        "can describe them, not how well it forecasts.\n\n" + table
    )


def _loo(post: PosteriorDraws) -> str:
    if "slimmed_from" in post.attrs:
        return "Not computed: this posterior was slimmed; fit again for the draws it needs."
    from arviz_stats import loo

    # that some k-hat are large is what the table says
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        found = loo(post.data_tree, pointwise=True)
    k = np.asarray(found.pareto_k).ravel()
    good = float(found.good_k)
    rows = [
        ("elpd (standard error)", f"{found.elpd:.1f} ({found.se:.1f})"),
        ("effective number of parameters", f"{found.p:.1f}"),
        (f"k-hat at most {good:.2f} (reliable)", (k <= good).sum()),
        (f"k-hat between {good:.2f} and 1", ((k > good) & (k <= 1)).sum()),
        ("k-hat above 1", (k > 1).sum()),
    ]
    text = _table(["what", "value"], "{} | {}", rows)
    bad = np.argsort(-k)[: min(5, int((k > good).sum()))]
    if bad.size:
        data = post.data_tree["observed_data"].to_dataset()
        names = [
            f"{data['obs_model'].values[i]} on {data['obs_benchmark'].values[i]} ({k[i]:.2f})"
            for i in bad
        ]
        text += f"\n\nThe scores that sway the fit most: {', '.join(names)}."
    return text


def apart(post: PosteriorDraws, svi: PosteriorDraws) -> pd.DataFrame:
    """How far two fits' forecasts are apart, for a model twice as large as each family's largest.

    A row a benchmark and one for all: n (models), mean and largest distance of medians of the
    expected scores (points), median ratio of the widths of 90% intervals, and the share of
    medians of `svi` outside the 90% intervals of `post`.
    """
    constant = post.data_tree["constant_data"].to_dataset()
    frame = constant[["params_b", "tokens_t", "family_of_model"]].to_dataframe().reset_index()
    frame = frame.rename(columns={"family_of_model": "family"}).sort_values("params_b")
    frame = frame[frame["tokens_t"].notna()].groupby("family").tail(1)
    frame["params_b"] *= 2
    frame["model"] = "twice " + frame["model"].astype(str)
    columns = ["model", "family", "params_b", "tokens_t"]
    with warnings.catch_warnings(action="ignore", category=ExtrapolationWarning):
        forecasts = [forecast(fit, frame[columns]) for fit in (post, svi)]
    exact, guide = (f.summary(of="expected", prob=0.9) for f in forecasts)
    shift = 100 * (guide["median"] - exact["median"]).abs()
    width = (guide["upper"] - guide["lower"]) / (exact["upper"] - exact["lower"])
    outside = (guide["median"] < exact["lower"]) | (guide["median"] > exact["upper"])
    rows = []
    for name, here in _each(post.benchmarks, exact["benchmark"].to_numpy()):
        s, w, o = shift[here], width[here], outside[here]
        rows.append((name, len(frame), s.mean(), s.max(), w.median(), o.mean()))
    return pd.DataFrame(rows, columns=["benchmark", "n", "mean", "most", "width", "outside"])


def _beside(post: PosteriorDraws, svi: PosteriorDraws) -> str:
    """Forecasts of both fits."""
    found = apart(post, svi)
    head = ["benchmark", "medians apart", "at most", "width, SVI / NUTS", "medians outside 90%"]
    cells = "{} | {:.1f} | {:.1f} | {:.2f} | {:.0%}"
    table = _table(head, cells, found.drop(columns="n").itertuples(index=False))
    messages = " ".join(svi.diagnostics().messages[:2])
    return (
        f"The same specification by SVI (seed {int(svi.attrs['seed'])}). {messages}\n\n"
        f"Expected scores of {found['n'].iloc[0]} models nobody has trained, twice as large as the "
        "largest of each family: how far medians are apart (points, mean and largest), the median "
        "ratio of the widths of 90% intervals, and the share of SVI's medians outside NUTS's 90% "
        "intervals.\n\n" + table
    )


def _range(post: PosteriorDraws) -> str:
    """Where the law extrapolates."""
    after = ""
    if "years" in post.constant_data:
        years = float(post.constant("years").max())
        last = (REFERENCE + pd.Timedelta(days=365.25 * years)).round("D")
        after = f"after {last:%d %B %Y}"
    if not INPUTS[post.spec.inputs]:
        return after[:1].upper() + after[1:] or "For models unlike those of the fit"
    (size_low, size_high), (token_low, token_high) = map(post.extent, ("params_b", "tokens_t"))
    return (
        f"Outside {size_low:g} to {size_high:g}B parameters or {token_low:g} to {token_high:g}T "
        "tokens" + (f", or {after}," if after else "")
    )


def _limits(post: PosteriorDraws, found: Diagnostics) -> str:
    models = pd.Series(post.constant("family_of_model")).value_counts()
    data = post.data_tree["observed_data"].to_dataset()
    scores = pd.Series(data["obs_benchmark"].values.astype(str)).value_counts()
    scores = scores.reindex(post.benchmarks, fill_value=0)
    limits = [
        f"{_range(post)} the law extrapolates; a forecast warns and says how far, but its interval "
        "cannot know where the law itself ends.",
        f"{(models == 1).sum()} of {len(models)} families have one model here: nothing of their "
        "own says how they scale.",
        f"Benchmarks have {scores.min()} to {scores.max()} scores; the fewest: {scores.idxmin()}.",
        "Scores are those of one leaderboard's prompts and shots. Another harness, another "
        "prompt or contaminated training data is another quantity.",
        "A tuned model is forecast as its family is tuned here; a new recipe is a new family.",
    ]
    if not found.ok:
        limits.insert(0, "**The fit has not converged** (above): do not rely on interval ends.")
    elif post.method == "svi":
        limits.insert(0, "Variational inference: intervals tend to be too narrow.")
    return "\n".join(f"- {line}" for line in limits)
