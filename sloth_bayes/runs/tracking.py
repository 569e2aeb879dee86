"""Is a run on track? Final scores of a training run, from its checkpoints and its siblings.

The siblings' curves are a prior for the shape of the run's own, the nearest one's most of all,
and the run's checkpoints say where it stands: a Gaussian process of curves
(:mod:`sloth_bayes.runs.process`), in closed form. Its few parameters were learned from finals of
Pythia models of at most 2.8B and of the OLMo ladder, forecast from smaller siblings.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from ..errors import DataError, check_known
from ..predict.new_effects import key_of, rng_of
from ..support.checks import check_prob
from ..support.frames import as_pandas
from ..support.html import shown
from ..support.shipped import shipped
from ..table.leaderboard import Benchmark, Leaderboard
from .process import (
    DF,
    LOSS,
    SCORE,
    SCORE_GIVEN_LOSS,
    Points,
    Shared,
    forecast,
    from_logit,
    noise_of,
    to_logit,
)  # fmt: skip

_META = (
    "run", "params_b", "tokens_t", "final_tokens_t", "step", "learning_rate",
    "final_learning_rate", "seen", "left", "cooled", "end_cooled",
)  # fmt: skip
_BEGUN = 1 + 1e-3  # tokens are published rounded: how much of the schedule may be exceeded
_BINS = 10  # of the root of the fraction seen: checkpoints in one of them enter as their mean
_CALM = 0.15  # of the schedule: from here on neighbouring checkpoints show the noise
_QUESTIONS = 1000  # of a benchmark that does not say
_LOSS_NOISE = 0.003  # of the log of bits per byte, before checkpoints say more
_LAWS = (SCORE, LOSS, SCORE_GIVEN_LOSS)
_COOLED = 0.9  # at the end, unless said: a cosine to a tenth of the peak

CURVES = {"pythia": "pythia_zero_shot.csv", "olmo": "olmo.csv.gz"}
"""Sets of curves that ship, and their files."""


def load_curves(name: str = "pythia") -> pd.DataFrame:
    """Training curves that ship.

    Parameters
    ----------
    name
        ``"pythia"``: eight Pythia models at 26 checkpoints, nine zero-shot benchmarks
        (EleutherAI, Apache-2.0). ``"olmo"``: the OLMo ladder, five sizes from 190M to 3B, each
        trained on half to ten times its Chinchilla tokens, 1xC twice, and OLMo 2 7B; 37 to
        202 checkpoints, 13 benchmarks of five shots, with bits per byte (``_bpb``) of their
        right answers (Allen Institute for AI, Apache-2.0).

    Returns
    -------
    pandas.DataFrame
        One row a checkpoint: run, params_b (billions), step, tokens_t (trillions seen so
        far), final_tokens_t (at the end of the run), then scores in [0, 1]; ``"olmo"`` also has
        learning_rate and final_learning_rate.

    Raises
    ------
    UnknownNameError
        If no curves of that name ship.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> sb.load_curves().groupby("run")["tokens_t"].max().nunique()
    1
    >>> sb.load_curves("olmo")["run"].nunique()
    31
    """
    check_known("set of curves", [name], CURVES)
    return pd.read_csv(shipped("data") / "training_curves" / CURVES[name])


def curve_benchmarks() -> dict[str, Benchmark]:
    """The benchmarks of :func:`load_curves`, by name."""
    table = pd.read_csv(shipped("data") / "training_curves" / "benchmarks.csv")
    rows = table[["name", "floor", "n_questions"]].itertuples(index=False, name=None)
    return {name: Benchmark(name, floor, questions) for name, floor, questions in rows}


@dataclasses.dataclass(frozen=True, eq=False)
class Tracking:
    """Forecast of how some runs will end.

    Made by :func:`track`.

    Attributes
    ----------
    runs : tuple of str
        The runs that were tracked.
    benchmarks : list of str
        Names of the benchmarks.
    used : pandas.DataFrame
        The checkpoints that entered, of the runs and of their siblings.
    held_out : pandas.DataFrame
        Later checkpoints of the runs, which did not.
    left_out : int
        Checkpoints left out because they lie before `since`.
    prob : float
        Mass of the central intervals.
    process : Process
        The curves as arrays, and their Gaussian process.
    """

    runs: tuple[str, ...]
    benchmarks: list[str]
    used: pd.DataFrame
    held_out: pd.DataFrame
    left_out: int
    prob: float
    process: Process
    _seed: int

    def __repr__(self) -> str:
        siblings = self.used["run"].nunique() - len(self.runs)
        return (
            f"<sloth_bayes.Tracking of {', '.join(self.runs)}: {siblings} sibling(s), "
            f"{len(self.benchmarks)} benchmark(s), {self.prob:.0%} intervals>"
        )

    def _repr_html_(self) -> str:
        table = self.frame.drop(columns=["params_b", "mean", "sd", "prob"])
        return shown(repr(self), table)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Final scores: one row a run and benchmark, with a central interval.

        Columns run, params_b, tokens_t (seen so far), final_tokens_t, benchmark, last (the
        score of the last checkpoint used), mean, median, sd, lower, upper, prob, truth
        (the held-out score at the end of the schedule, NaN where there is none).
        """
        draws = self.draws["score"].stack(s=("chain", "draw")).transpose("s", ...)
        rows = []
        for i, run in enumerate(self.runs):
            used = self.used[self.used["run"] == run]
            last = used[self.benchmarks].ffill().iloc[-1]
            held = self.held_out[self.held_out["run"] == run]
            end = held.loc[held["left"] <= 0, self.benchmarks]
            of = draws.values[:, i]
            rows.append(pd.DataFrame({
                "run": run, "params_b": used["params_b"].iloc[0],
                "tokens_t": used["tokens_t"].iloc[-1],
                "final_tokens_t": used["final_tokens_t"].iloc[0], "benchmark": self.benchmarks,
                "last": last.to_numpy(float), "mean": of.mean(0), "sd": of.std(0),
                **_interval(*self.ends[run], self.prob), "prob": self.prob,
                "truth": end.iloc[-1].to_numpy(float) if len(end) else np.nan,
            }))  # fmt: skip
        return pd.concat(rows, ignore_index=True)[
            ["run", "params_b", "tokens_t", "final_tokens_t", "benchmark", "last", "mean",
             "median", "sd", "lower", "upper", "prob", "truth"]
        ]  # fmt: skip

    @cached_property
    def ends(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Location and scale of each run's final scores in logits, a Student-t(4)'s."""
        return {run: self.process.final(run, np.ones(1)) for run in self.runs}

    @cached_property
    def draws(self) -> xr.Dataset:
        """Draws of the final ``score``: chain (one), draw (1,000), model, benchmark."""
        out = np.empty((1, 1000, len(self.runs), len(self.benchmarks)))
        for i, run in enumerate(self.runs):
            mean, sd = self.ends[run]
            z = rng_of(key_of(self._seed, "track", run)).standard_t(DF, out.shape[1::2])
            out[0, :, i] = from_logit(mean + sd * z)
        coords = {"model": list(self.runs), "benchmark": self.benchmarks}
        return xr.Dataset({"score": (("chain", "draw", *coords), out)}, coords)

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
        prob = check_prob(self.prob if prob is None else prob)
        rows = self.used[self.used["run"] == run]
        seen = np.geomspace(rows["seen"].min(), 1, points)
        tokens = seen.repeat(len(self.benchmarks)) * rows["final_tokens_t"].iloc[0]
        labels = {"run": run, "tokens_t": tokens, "benchmark": self.benchmarks * points}
        return pd.DataFrame(labels | _interval(*self.process.final(run, seen), prob))

    def plot(self, benchmarks: list[str] | None = None, **options: Any) -> np.ndarray:
        """Curves with the forecast's band; see :func:`sloth_bayes.plots.tracking.tracking`."""
        from ..plots.tracking import tracking

        return tracking(self, benchmarks, **options)


class Curves(NamedTuple):
    """Thinned curves of one kind: scores in logits, or logs of bits per byte."""

    y: np.ndarray  # (N, B) means, 0 where there is none
    weight: np.ndarray  # (N, B) checkpoints behind them
    noise: np.ndarray  # (B,) standard deviation of one checkpoint


@dataclasses.dataclass(frozen=True, eq=False)
class Process:
    """The curves of a table as arrays, and what they say of a run's later scores."""

    runs: pd.DataFrame  # params_b, final_tokens_t, end_cooled and a number for each run
    points: Points  # N thinned checkpoints; sizes and lengths in absolute doublings
    scores: Curves
    losses: Curves  # weight 0 where there are none

    @classmethod
    def of(cls, used: pd.DataFrame, benchmarks: Sequence[Benchmark]) -> Process:
        """From checkpoints with the columns of :func:`_checked`."""
        runs = used.groupby("run")[["params_b", "final_tokens_t", "end_cooled"]].first()
        runs["number"] = np.arange(len(runs))
        part = np.ceil(_BINS * np.sqrt(used["seen"]) - 1e-6)
        place = used.assign(seen=np.log2(used["seen"])).groupby(["run", part])
        at = place[["seen", "cooled"]].mean()
        about = runs.loc[at.index.get_level_values("run")].to_numpy().T
        seen, cooled = at.to_numpy().T
        size, length = np.log2(about[:2])
        points = Points(size, length, seen, cooled, about[3], np.zeros(len(at)))
        names = [b.name for b in benchmarks]
        score = used[names].astype(float)
        losses = used.reindex(columns=[f"{name}_bpb" for name in names]).astype(float)
        middle = score.mean().clip(0.02, 0.98).to_numpy()
        questions = np.array([b.n_questions or _QUESTIONS for b in benchmarks])
        flips = 1 / np.sqrt(questions * middle * (1 - middle))
        # half of it: checkpoints answer the same questions
        kinds = (to_logit(score), flips / 2), (np.log(losses), np.full(len(names), _LOSS_NOISE))
        return cls(runs, points, *(_thinned(used, part, *kind) for kind in kinds))

    def relative_to(self, run: str, seen: np.ndarray) -> tuple[Points, Points]:
        """The points, and the run's own at fractions of its schedule, relative to its end."""
        row = self.runs.loc[run]
        size, length = np.log2(row["params_b"]), np.log2(row["final_tokens_t"])
        points = self.points._replace(
            size=self.points.size - size, length=self.points.length - length
        )
        zero = np.zeros(len(seen))
        cooled = row["end_cooled"] * _cosine(seen)
        return points, Points(zero, zero, np.log2(seen), cooled, zero + row["number"], zero)

    def loss(
        self, run: str, seen: np.ndarray, j: int, shared: Shared = LOSS
    ) -> tuple[Points, Points, np.ndarray]:
        """The same two, with bits per byte on one benchmark, and how sure the latter are."""
        points, at = self.relative_to(run, seen)
        y, weight, noise = (x[..., j] for x in self.losses)
        if not weight.all():
            return points, at, np.zeros(len(seen))
        mean, sd = forecast(shared, points, y, weight, noise, at, 0 * at.loss)
        centre, unit = y.mean(), y.std()
        points = points._replace(loss=(y - centre) / unit)
        return points, at._replace(loss=(mean - centre) / unit), sd / unit

    def final(
        self,
        run: str,
        seen: np.ndarray,
        shared: tuple[Shared, ...] = (SCORE, LOSS, SCORE_GIVEN_LOSS),
    ) -> tuple[np.ndarray, np.ndarray]:
        """Location and scale ``(M, B)`` in logits of the scores reported at `seen`."""
        alone, of_loss, given_loss = shared
        each = []
        for j in range(len(self.scores.noise)):
            y, weight, noise = (x[..., j] for x in self.scores)
            points, at, slack = self.loss(run, seen, j, of_loss)
            law = given_loss if points.loss.any() else alone
            each.append(forecast(law, points, y, weight, noise, at, slack))
        mean, sd = (np.stack(x, axis=-1) for x in zip(*each))
        return mean, np.hypot(sd, self.scores.noise)


def _interval(mean: np.ndarray, sd: np.ndarray, prob: float) -> dict[str, np.ndarray]:
    """Median and ends of central intervals of scores, ``(M B,)``."""
    reach = stats.t.ppf((1 + prob) / 2, DF) * sd
    ends = {"median": mean, "lower": mean - reach, "upper": mean + reach}
    return {name: from_logit(values).ravel() for name, values in ends.items()}


def _thinned(used: pd.DataFrame, part: pd.Series, values: pd.DataFrame, guess: Any) -> Curves:
    """Means of checkpoints close in time, and the noise of one."""
    cells = values.groupby([used["run"], part])
    noise = []
    for name, least in zip(values, guess):
        calm = used[(used["seen"] >= _CALM) & values[name].notna()]
        curves = [
            (np.log(rows["tokens_t"].to_numpy()), values.loc[rows.index, name].to_numpy())
            for _, rows in calm.groupby("run")
        ]
        noise.append(noise_of([c for c in curves if c[0].size > 2], float(least)))
    y, weight = cells.mean().fillna(0.0), cells.count()
    return Curves(y.to_numpy(), weight.to_numpy(float), np.array(noise))


def track(
    curves: pd.DataFrame,
    run: str | Sequence[str],
    until: float | None = None,
    *,
    benchmarks: Sequence[str | Benchmark] | None = None,
    since: float = 0.01,
    prob: float = 0.9,
    seed: int = 0,
    **former: Any,
) -> Tracking:
    """Forecast the final scores of training runs from their checkpoints and their siblings.

    Every other run of the table is a sibling and enters with all its checkpoints; at least
    one must be finished. The closer a sibling's size and tokens, the more its curve counts.

    Of OLMo 2 7B it errs by 0.59 to 0.73 of what the best simple rule does, of Pythia 6.9B and 12B
    by 0.83 to 0.99: from a tenth of a run of such a recipe, "the last score and what the largest
    sibling gained" is as good (``python -m studies.tracking``).

    Parameters
    ----------
    curves
        One row a checkpoint: ``run``, ``params_b`` (billions), ``tokens_t`` (trillions seen
        so far), ``final_tokens_t`` (trillions at the end of the run), and one column a
        benchmark, in [0, 1], NaN where not evaluated. The learning rate is taken to fall
        along a cosine to a tenth of its peak at the end, unless columns say otherwise:
        ``learning_rate`` at each checkpoint and ``final_learning_rate`` of the run.
    run
        The run or runs to forecast.
    until
        Use their checkpoints up to this fraction of their schedule only, in (0, 1]; later
        ones are held out and shown as truth. By default all before its end are used.
    benchmarks
        Score columns; by default all that hold numbers, but for those whose names end in
        ``_bpb`` (bits per byte). Names of the curves that ship bring their number of
        questions along.
    since
        Leave out checkpoints before this fraction of the schedule, of all runs: during the
        warm-up of the learning rate, where scores are chance.
    prob
        Mass of the central interval.
    seed
        Same seed, same draws; nothing else depends on it.
    **former
        ``spec``, ``method`` and options of a fit were arguments until 0.1; they change
        nothing.

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
    >>> found = sb.track(sb.load_curves(), "pythia-12b", until=0.1, benchmarks=["lambada", "piqa"])
    >>> found.frame[["run", "benchmark"]].values.tolist()
    [['pythia-12b', 'lambada'], ['pythia-12b', 'piqa']]
    """
    _warn_of(former)
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
    process = Process.of(used, listed)
    columns = ["run", "params_b", "tokens_t", "final_tokens_t", "seen", "left", *names]
    held_out = rows.loc[late, columns].reset_index(drop=True)
    return Tracking(
        runs, names, used[columns], held_out, int(early.sum()), prob, process, int(seed)
    )


def _warn_of(former: dict[str, Any]) -> None:
    """Arguments of the law that tracked runs before."""
    fit = {"spec", "method", "chains", "draws", "warmup", "steps", "starts", "progress"}
    if unknown := set(former) - fit:
        raise TypeError(f"track() got an unexpected keyword argument {min(unknown)!r}")
    if former:
        warnings.warn(
            f"track no longer fits a law by sampling: {', '.join(sorted(former))} change nothing "
            "and go in 0.3; leave them out",
            DeprecationWarning,
            stacklevel=3,
        )


def _cosine(seen: Any) -> Any:
    """How much of its way down the learning rate has gone, along a cosine."""
    return (1 - np.cos(np.pi * np.clip(seen, 0, 1))) / 2


def _cool(rows: pd.DataFrame) -> pd.DataFrame:
    """Adds ``cooled``, 1 less the learning rate over its peak so far, and ``end_cooled``."""
    empty = pd.Series(np.nan, rows.index)
    rate, last = (
        pd.to_numeric(rows.get(c, empty), errors="coerce")
        for c in ("learning_rate", "final_learning_rate")
    )
    by_run = rate.groupby(rows["run"])
    end = (1 - last / by_run.transform("max")).fillna(_COOLED)
    cooled = (1 - rate / by_run.cummax()).fillna(_COOLED * _cosine(rows["seen"]))
    return rows.assign(cooled=cooled, end_cooled=end)


def _checked(
    curves: pd.DataFrame, runs: tuple[str, ...], until: float | None, since: float
) -> pd.DataFrame:
    """The table by run and tokens, with the fraction of the schedule ``seen`` and ``left``."""
    curves = as_pandas(curves, "a table of curves")
    needed = {
        "run": "the name of each run",
        "params_b": "its size in billions of parameters",
        "tokens_t": "trillions of tokens seen so far",
        "final_tokens_t": "trillions of tokens at the end of the run",
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
    return _cool(rows.sort_values(["run", "tokens_t"], kind="stable").reset_index(drop=True))


def _benchmarks(
    rows: pd.DataFrame, wanted: Sequence[str | Benchmark] | None
) -> tuple[Benchmark, ...]:
    """The benchmarks asked for, with what is known of those given by name."""
    columns = [c for c in rows if c not in _META]
    if wanted is None:
        numbers = [c for c in columns if pd.api.types.is_numeric_dtype(rows[c])]
        wanted = [c for c in numbers if not c.endswith("_bpb")]
        if not wanted:
            raise DataError("the table has no column of scores: name one in benchmarks")
    elif isinstance(wanted, str | Benchmark):
        wanted = [wanted]
    names = [one if isinstance(one, str) else one.name for one in wanted]
    check_known("benchmark", names, columns, "It is not a column of the table.")
    known = curve_benchmarks()
    listed = [known.get(b, b) if isinstance(b, str) else b for b in wanted]
    names = rows["run"] + "@" + rows["tokens_t"].map("{:g}T".format)
    frame = rows.assign(model=names, family=rows["run"], lineage=rows["run"])
    return Leaderboard.from_frame(frame, benchmarks=listed, name="training curves").benchmarks


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
