"""Is a run on track? Final scores of a training run, from its checkpoints and its siblings.

One joint law of all runs and benchmarks: each run is a family of one size whose checkpoints
are its models. Skills follow size and tokens; a checkpoint before the end of its
learning-rate schedule is not a finished run of as many tokens, so its skills carry an
offset that vanishes at the end (:func:`sloth_bayes.law.equations.raw_inputs`,
``"checkpoint"``); and each run has a residual on each benchmark, common to its checkpoints
and drifting with the log of tokens, so that residuals along a curve are correlated. How
skills go on from a checkpoint is learned from the siblings; where the curve stands, from the
run itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from ..api import Posterior, Sloth
from ..errors import DataError, SpecError, check_known
from ..law import equations
from ..law.likelihood import draw_scores
from ..law.spec import Priors, Spec
from ..law.terms import TERMS, Effects
from ..predict.answer import central
from ..predict.candidates import candidates
from ..predict.forecast import Forecast
from ..support.checks import check_prob
from ..support.frames import as_pandas
from ..support.html import shown
from ..support.shipped import shipped
from ..table.leaderboard import Benchmark, Leaderboard

if TYPE_CHECKING:
    from ..model.arrays import Design
    from ..posterior.verdict import Diagnostics

_META = ("run", "params_b", "tokens_t", "final_tokens_t", "step")
_BEGUN = 1 + 1e-3  # tokens are published rounded: how much of the schedule may be exceeded

CURVES = Sloth(
    n_skills=1,
    inputs="checkpoint",
    intercept="family",
    instruct="none",
    slopes="pooled",
    residual="curve",
    upper="one",
    link="logistic",
    noise="constant",
    priors=Priors(
        family=0.3,
        doubling=0.5,
        interaction=0.1,
        loading=1.0,
        slope_deviation=0.05,
        residual=0.2,
        noise=0.01,
        noise_spread=1.0,
    ),
)
"""The law of training curves.

Chosen by its score on the finals of Pythia 1.4B and 2.8B, forecast from the smaller sizes
(``python -m studies.tracking --choose``), though after a look at all curves. Families are runs,
which differ less than families of a leaderboard do, and a curve climbs through many doublings of
tokens: hence the priors."""


def load_curves() -> pd.DataFrame:
    """Training curves that ship: eight Pythia models at 26 checkpoints, nine benchmarks.

    Returns
    -------
    pandas.DataFrame
        One row a checkpoint: run, params_b (billions), step, tokens_t (trillions seen so
        far), final_tokens_t (at the end of the learning-rate schedule), then zero-shot
        scores in [0, 1]. From EleutherAI's Pythia repository (Apache-2.0).

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> sb.load_curves().groupby("run")["tokens_t"].max().nunique()
    1
    """
    return pd.read_csv(shipped("data") / "training_curves" / "pythia_zero_shot.csv")


def curve_benchmarks() -> dict[str, Benchmark]:
    """The benchmarks of :func:`load_curves`, by name."""
    table = pd.read_csv(shipped("data") / "training_curves" / "benchmarks.csv")
    rows = table[["name", "floor", "n_questions"]].itertuples(index=False, name=None)
    return {name: Benchmark(name, floor, questions) for name, floor, questions in rows}


@dataclasses.dataclass(frozen=True)
class Tracking:
    """Forecast of how some runs will end.

    Made by :func:`track`.

    Attributes
    ----------
    runs : tuple of str
        The runs that were tracked.
    used : pandas.DataFrame
        The checkpoints that entered the fit, of the runs and of their siblings.
    held_out : pandas.DataFrame
        Later checkpoints of the runs, which did not.
    left_out : int
        Checkpoints left out because they lie before `since`.
    posterior : Posterior
        The joint law of all runs; its families are the runs.
    forecast : Forecast
        Of the finished runs.
    """

    runs: tuple[str, ...]
    used: pd.DataFrame
    held_out: pd.DataFrame
    left_out: int
    posterior: Posterior
    forecast: Forecast
    _seed: int

    def __repr__(self) -> str:
        siblings = self.used["run"].nunique() - len(self.runs)
        return (
            f"<sloth_bayes.Tracking of {', '.join(self.runs)}: {siblings} sibling(s), "
            f"{len(self.forecast.benchmarks)} benchmark(s), {self.forecast.prob:.0%} intervals>"
        )

    def _repr_html_(self) -> str:
        table = self.frame.drop(columns=["params_b", "mean", "sd", "prob"])
        of, notes = self.posterior.standing, self.forecast.warnings
        return shown(repr(self), table, standing=of, notes=notes)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Final scores: one row a run and benchmark, with a central interval.

        Columns run, params_b, tokens_t (seen so far), final_tokens_t, benchmark, last (the
        score of the last checkpoint used), mean, median, sd, lower, upper, prob, truth
        (the held-out score at the end of the schedule, NaN where there is none).
        """
        out = self.forecast.frame.rename(columns={"model": "run", "tokens_t": "final_tokens_t"})
        last = self.used.groupby("run", sort=False).last()
        ends = self.held_out[self.held_out["left"] <= 0].groupby("run", sort=False).last()
        out["tokens_t"] = out["run"].map(last["tokens_t"])
        cells = list(zip(out["run"], out["benchmark"]))
        out["last"] = [last.at[run, name] for run, name in cells]
        out["truth"] = [ends.at[r, name] if r in ends.index else np.nan for r, name in cells]
        return out[
            ["run", "params_b", "tokens_t", "final_tokens_t", "benchmark", "last", "mean",
             "median", "sd", "lower", "upper", "prob", "truth"]
        ]  # fmt: skip

    @property
    def draws(self) -> xr.Dataset:
        """Draws of the final ``score`` and ``expected`` score: chain, draw, model, benchmark."""
        return self.forecast.draws

    def diagnostics(self) -> Diagnostics:
        """Has the fit converged? See :class:`sloth_bayes.posterior.verdict.Diagnostics`."""
        return self.posterior.diagnostics()

    def curve(self, run: str, points: int = 40, prob: float | None = None) -> pd.DataFrame:
        """The run's curve, from its first checkpoint used to the end of the schedule.

        Returns
        -------
        pandas.DataFrame
            run, tokens_t, benchmark, median, lower, upper: central intervals of the score
            that an evaluation at so many tokens would report, noise included.

        Raises
        ------
        UnknownNameError
            If the run was not tracked.
        """
        check_known("tracked run", [run], self.runs)
        prob = check_prob(self.forecast.prob if prob is None else prob)
        post, rows = self.posterior, self.used[self.used["run"] == run]
        final = float(rows["final_tokens_t"].iloc[0])
        tokens = np.geomspace(float(rows["tokens_t"].min()), final, points)
        who = _at(post, run, tokens, final, self._seed)
        mu, sd = post.cells(who)
        score = draw_scores(mu, sd, post.spec.observation, np.random.default_rng([self._seed, 2]))
        interval = central(score.astype(float), prob)
        names = post.benchmarks
        labels = {"run": run, "tokens_t": tokens.repeat(len(names)), "benchmark": names * points}
        return pd.DataFrame(labels | {column: v.ravel() for column, v in interval.items()})

    def plot(self, benchmarks: list[str] | None = None, **options: Any) -> np.ndarray:
        """Curves with the forecast's band; see :func:`sloth_bayes.plots.tracking.tracking`."""
        from ..plots.tracking import tracking

        return tracking(self, benchmarks, **options)


def track(
    curves: pd.DataFrame,
    run: str | Sequence[str],
    until: float | None = None,
    *,
    benchmarks: Sequence[str | Benchmark] | None = None,
    since: float = 0.01,
    prob: float = 0.9,
    seed: int = 0,
    spec: Sloth = CURVES,
    method: str = "nuts",
    **options: Any,
) -> Tracking:
    """Forecast the final scores of training runs from their checkpoints and their siblings.

    Held fixed: sizes, tokens, and the tokens at which each schedule ends. Random: every
    parameter of the joint law, the run's own efficiency, residuals and drift, and the noise
    of the final evaluation. Every other run of the table is a sibling and enters with all
    its checkpoints; at least one must be finished.

    Parameters
    ----------
    curves
        One row a checkpoint: ``run``, ``params_b`` (billions), ``tokens_t`` (trillions seen
        so far), ``final_tokens_t`` (trillions at the end of the learning-rate schedule),
        and one column a benchmark, in [0, 1], NaN where not evaluated.
    run
        The run or runs to forecast.
    until
        Use their checkpoints up to this fraction of their schedule only, in (0, 1]; later
        ones are held out and shown as truth. By default all before its end are used.
    benchmarks
        Score columns; by default all that hold numbers. Names of the curves that ship, or
        of the Open LLM Leaderboard, bring their floor and number of questions along.
    since
        Leave out checkpoints before this fraction of the schedule, of all runs: during the
        warm-up of the learning rate, where scores are chance.
    prob
        Mass of the central interval.
    seed
        Same seed, same numbers.
    spec
        The law; by default :data:`CURVES`.
    method, **options
        As in :meth:`sloth_bayes.Sloth.fit`; NUTS by default with 4 chains of 500 draws
        after 500.

    Returns
    -------
    Tracking

    Raises
    ------
    DataError
        A column is missing, a checkpoint lies beyond its schedule, a run has one checkpoint
        only, no sibling is finished, or a score is not in [0, 1].
    UnknownNameError
        A run or benchmark is not in the table.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> curves = sb.load_curves()
    >>> few = curves[curves["run"].isin(["pythia-410m", "pythia-1b", "pythia-1.4b"])]
    >>> found = sb.track(few, "pythia-1.4b", until=0.1, benchmarks=["lambada", "piqa"],
    ...                  method="svi", steps=50, starts=1, draws=25)
    >>> found.frame[["run", "benchmark"]].values.tolist()
    [['pythia-1.4b', 'lambada'], ['pythia-1.4b', 'piqa']]
    """
    prob = check_prob(prob)
    runs = (run,) if isinstance(run, str) else tuple(dict.fromkeys(run))
    rows = _checked(curves, runs, until, since)
    listed = _benchmarks(rows, benchmarks)
    names = [b.name for b in listed]
    limit = 1.0 if until is None else until
    late = rows["run"].isin(runs) & (
        (rows["seen"] > limit * _BEGUN) | ((until is None) & (rows["left"] <= 0))
    )
    early = rows["seen"] < since
    used = rows[~late & ~early].reset_index(drop=True)
    for name in runs:
        _enough(rows[(rows["run"] == name) & ~late], used[used["run"] == name], name, until, since)
    siblings = used[~used["run"].isin(runs)]
    if not (siblings["left"] <= 0).any():
        raise DataError(
            "track learns how curves end from finished siblings, and the table has none: add "
            "a run with a checkpoint at its final_tokens_t"
        )
    if spec.terms:
        raise SpecError("a law of training curves takes no further terms: leave terms out")
    laid_out, board = _lay_out(used, listed, spec)
    default = {"chains": 4, "draws": 500, "warmup": 500} if method == "nuts" else {}
    post = spec.fit(board, method, laid_out=laid_out, seed=seed, **{**default, **options})
    of = rows.groupby("run").first().loc[list(runs)]
    sizes, ends = of["params_b"].tolist(), of["final_tokens_t"].tolist()
    final = candidates(list(runs), sizes, ends, lineage=list(runs), model=list(runs))
    forecast = post.forecast(final, prob=prob, seed=seed)
    columns = ["run", "params_b", "tokens_t", "final_tokens_t", "seen", "left", *names]
    held_out = rows.loc[late, columns].reset_index(drop=True)
    return Tracking(runs, used[columns], held_out, int(early.sum()), post, forecast, seed)


def _checked(
    curves: pd.DataFrame, runs: tuple[str, ...], until: float | None, since: float
) -> pd.DataFrame:
    """The table by run and tokens, with the fraction of the schedule ``seen`` and ``left``."""
    curves = as_pandas(curves, "a table of curves")
    needed = {
        "run": "the name of each run",
        "params_b": "its size in billions of parameters",
        "tokens_t": "trillions of tokens seen so far",
        "final_tokens_t": "trillions of tokens at the end of the learning-rate schedule",
    }
    for column, what in needed.items():
        if column not in curves:
            raise DataError(f"curves lack the column {column!r}: add it, with {what}")
    if until is not None and not 0 < until <= 1:
        raise DataError(f"until is a fraction of the schedule, in (0, 1], not {until}")
    if not 0 <= since < 1:
        raise DataError(f"since is a fraction of the schedule, in [0, 1), not {since}")
    if not runs:
        raise DataError("no run is asked for: name at least one")
    rows = curves.copy()
    rows["run"] = rows["run"].astype(str)
    for column in ("params_b", "tokens_t", "final_tokens_t"):
        values = pd.to_numeric(rows[column], errors="coerce").to_numpy(float)
        bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
        if bad.size:
            raise DataError(
                f"{column} of a checkpoint of run {rows['run'].iloc[bad[0]]!r} is "
                f"{rows[column].iloc[bad[0]]}: it must be a positive number"
            )
        rows[column] = values
    check_known("run", runs, sorted(rows["run"].unique()))
    for column in ("params_b", "final_tokens_t"):
        counts = rows.groupby("run")[column].nunique()
        if (counts > 1).any():
            raise DataError(
                f"run {counts.idxmax()!r} has several values of {column}: a run has one"
            )
    seen = rows["tokens_t"] / rows["final_tokens_t"]
    if (seen > _BEGUN).any():
        row = rows.loc[seen.idxmax()]
        raise DataError(
            f"run {row['run']!r} has a checkpoint at {row['tokens_t']:g}T tokens, beyond the end "
            f"of its schedule at {row['final_tokens_t']:g}T: correct final_tokens_t"
        )
    rows["seen"] = seen
    rows["left"] = np.where(seen > 1 - 1e-3, 0.0, 1 - seen)
    return rows.sort_values(["run", "tokens_t"], kind="stable").reset_index(drop=True)


def _benchmarks(
    rows: pd.DataFrame, wanted: Sequence[str | Benchmark] | None
) -> tuple[Benchmark, ...]:
    """The benchmarks asked for, with what is known of those given by name."""
    columns = [c for c in rows if c not in (*_META, "seen", "left")]
    if wanted is None:
        wanted = [c for c in columns if pd.api.types.is_numeric_dtype(rows[c])]
        if not wanted:
            raise DataError("the table has no column of scores: name one in benchmarks")
    elif isinstance(wanted, str | Benchmark):
        wanted = [wanted]
    names = [one if isinstance(one, str) else one.name for one in wanted]
    check_known("benchmark", names, columns, "It is not a column of the table.")
    known = curve_benchmarks()
    return _board(rows, [known.get(b, b) if isinstance(b, str) else b for b in wanted]).benchmarks


def _board(rows: pd.DataFrame, benchmarks: Sequence[str | Benchmark]) -> Leaderboard:
    """Checkpoints as models of families that are runs; scores are validated there."""
    names = rows["run"] + "@" + rows["tokens_t"].map("{:g}T".format)
    frame = rows.assign(model=names, family=rows["run"], lineage=rows["run"])
    return Leaderboard.from_frame(frame, benchmarks=benchmarks, name="training curves")


def _enough(
    there: pd.DataFrame, used: pd.DataFrame, name: str, until: float | None, since: float
) -> None:
    """At least two checkpoints, one of them past the warm-up."""
    upto = "before the end" if until is None else f"up to {until:g} of its schedule"
    if len(there) < 2:
        count = "one checkpoint" if len(there) else "no checkpoint"
        raise DataError(
            f"run {name!r} has {count} {upto}: tracking needs at least two; evaluate an earlier "
            "or later one"
        )
    if used.empty:
        raise DataError(
            f"run {name!r} has no checkpoint between {since:g} of its schedule (since) and "
            f"{'its end' if until is None else format(until, 'g')}: lower since, or wait"
        )


def _lay_out(
    used: pd.DataFrame, benchmarks: Sequence[Benchmark], spec: Sloth
) -> tuple[Design, Leaderboard]:
    """Arrays of the checkpoints, each with the part of its schedule that is left."""
    from ..model.arrays import design

    board = _board(used, benchmarks)
    laid_out = design(board, spec.inputs)
    table = laid_out.table
    seen = table["tokens_t"] / table["family"].map(used.groupby("run")["final_tokens_t"].first())
    left = np.where(seen > 1 - 1e-3, 0.0, 1 - seen)
    inputs = _inputs(spec, table["params_b"], table["tokens_t"], laid_out.centre, left)
    return dataclasses.replace(laid_out, arrays=laid_out.arrays._replace(inputs=inputs)), board


def _inputs(spec: Spec, sizes: Any, tokens: Any, centre: Any, left: np.ndarray) -> np.ndarray:
    """What the law takes of checkpoints, each with the part of its schedule that is left."""
    size, seen = (np.log(np.asarray(x, float)) for x in (sizes, tokens))
    out = equations.raw_inputs(spec.inputs, size, seen, np.asarray(centre), np, left=left)
    return np.asarray(out, np.float32)


def _at(post: Posterior, run: str, tokens: np.ndarray, final: float, seed: int) -> Effects:
    """The run at several numbers of tokens: what it is drawn with, and its inputs there."""
    who, n = post.known_effects(), tokens.size
    about = post.model_table()
    at = np.full(n, int((about["family"] == run).to_numpy().argmax()))
    left = np.clip(1 - tokens / final, 0.0, None)
    sizes = about["params_b"].to_numpy()[at]
    inputs = _inputs(post.spec, sizes, tokens, post.constant("centre"), left)
    of = dict(who.at(at).of)
    if "model_effect" in of:
        noise = np.random.default_rng([seed, 3]).standard_normal(of["model_effect"].shape)
        scale = TERMS["model_effect"].scale(post.merged, post.spec)
        of["model_effect"] = (scale[:, None] * noise).astype(np.float32)
    return Effects(inputs, {"instruct": np.zeros(n, np.float32)}, of)
