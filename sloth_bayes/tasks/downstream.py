"""Tasks outside the leaderboard, from latent skills (paper, section 4.4 and appendix J).

A few models' scores on a new task are explained by their skills: a monotone curve of one
weighted sum of skills, with a robust spread about it; the equations are in
:mod:`sloth_bayes.tasks.downstream_model`. From there any model with skills has a forecast,
trained or not.

The skills are *cut*: a task's parameters are drawn given each draw of the posterior's
skills, whose uncertainty so reaches weights and forecasts, while the task never moves a
skill. One task of a dozen scores, with a law that may be wrong for it, should not rewrite
what thousands of leaderboard scores say about a model; and tasks then do not depend on the
order in which they are looked at. The price: skills are noisy regressors, so that weights
are drawn towards zero a little where skills are uncertain, and spread takes up the rest.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import DataError, UnknownNameError, check_known, near
from ..posterior.core import PosteriorDraws
from ..posterior.verdict import Diagnostics
from ..predict.answer import Answer
from ..predict.candidates import completed, extrapolation
from ..predict.condition import condition
from ..predict.new_effects import effects_of, key_of, rng_of
from ..skills.find import skills
from ..skills.rotated_draws import kept_draws, skill_draws, square_roots
from ..skills.rotation import transposed
from ..support.checks import check_prob
from ..support.frames import as_pandas, is_frame
from ..support.html import shown
from ..support.intervals import summarise
from ..support.shipped import shipped
from ..support.types import checked
from .shrinkage import SHRINKAGE

if TYPE_CHECKING:
    from .downstream_model import Curve


KEEP = 4  # draws of the task's parameters for each draw of the skills
_LEAST = 5  # models with a score
_ENOUGH = 0.05  # share of the importance sampler's points that should count


@dataclasses.dataclass(eq=False)
class Downstream:
    """A task as a function of latent skills.

    Made by :meth:`sloth_bayes.Posterior.downstream`.

    Attributes
    ----------
    name : str
        The task.
    scores : pandas.DataFrame
        One row a model with a score: model, score, role (``"train"`` or ``"held out"``).
    posterior : PosteriorDraws
        Where the skills come from; with models of its own if some were conditioned on.
    draws : xarray.Dataset
        Over the dimension ``sample`` (coordinate ``posterior_draw``): ``bias``, ``spread``
        (both in logits), ``lower``, ``shape`` and ``weight`` (whitened skills).
    shrinkage : str
        How strongly weights were drawn to zero.
    n_questions, chance : float
        Questions behind a score, and the score of guessing.
    messages : tuple of str
        What to keep in mind.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> eq = sb.load_downstream("EQ-Bench").set_index("model")["score"]
    >>> task = sb.load("leaderboard").downstream(
    ...     eq, name="EQ-Bench", n_questions=171, hold_out="meta-llama-3-70b-instruct", draws=50)
    >>> task
    <sloth_bayes.Downstream: EQ-Bench, 14 models train, 1 held out; 208 draws>
    >>> task.weights()["skill"].tolist()[:2]
    ['reasoning', 'knowledge']
    """

    name: str
    scores: pd.DataFrame
    posterior: PosteriorDraws
    _: KW_ONLY
    shrinkage: str
    n_questions: float
    chance: float
    messages: tuple[str, ...]
    effective: np.ndarray  # share of the importance sampler's points that count, by draw
    curve: Curve
    whitening: tuple[np.ndarray, np.ndarray]  # of each draw's skills: centre and matrix
    kept: np.ndarray  # which of the posterior's draws
    seed: int

    def __repr__(self) -> str:
        count = self.scores["role"].value_counts()
        return (
            f"<sloth_bayes.Downstream: {self.name}, {count.get('train', 0)} models train, "
            f"{count.get('held out', 0)} held out; {self.draws.sizes['sample']} draws>"
        )

    def _repr_html_(self) -> str:
        table = self.frame.drop(columns=["mean", "sd", "prob"], errors="ignore")
        return shown(repr(self), table, standing=self.posterior.standing, notes=self.messages)

    @cached_property
    def draws(self) -> xr.Dataset:
        """Draws of the task's parameters; see the attributes."""
        merged = {k: v.reshape(-1, *v.shape[2:]) for k, v in self.curve._asdict().items()}
        dims = {"weight": ("sample", "whitened")}
        return _by_sample({k: (dims.get(k, ("sample",)), v) for k, v in merged.items()}, self.kept)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Scores beside forecasts, a row a model: those that train (in sample) and held out.

        Columns model, role, score, mean, median, sd, lower, upper, prob; scores in [0, 1].
        """
        if self.scores.empty:
            return self.scores
        found = self.forecast(self.scores["model"].tolist()).frame
        columns = ["model", "mean", "median", "sd", "lower", "upper", "prob"]
        out = self.scores[["model", "role", "score"]].merge(found[columns], on="model")
        order = out["role"].eq("train").astype(int)
        return out.loc[order.sort_values(kind="stable").index].reset_index(drop=True)

    def forecast(
        self,
        models: str | Iterable[str] | pd.DataFrame,
        prob: float = 0.9,
        seed: int = 0,
        *,
        new_family: bool = False,
    ) -> TaskForecast:
        """Forecast the task's score of models, trained or not.

        Parameters
        ----------
        models
            Names of models of the posterior (their scores on the leaderboard are known to it),
            or candidates nobody has trained (:func:`sloth_bayes.candidates`).
        prob
            Mass of the central interval.
        seed
            Seed of what is not in the draws: spread, sampling error, and the effects of a new
            family. A model's numbers do not depend on the other models.
        new_family
            For candidates, as in :meth:`Posterior.forecast`.

        Returns
        -------
        TaskForecast
            ``.frame``: model, family, params_b, tokens_t, benchmark (the task), mean, median,
            sd, lower, upper, prob. ``.draws``: ``score`` and ``typical`` (the curve, without
            spread or sampling error) over sample and model.

        Raises
        ------
        UnknownNameError
            If a model or a family is not in the posterior.
        """
        from . import downstream_model as task

        prob = check_prob(prob)
        post = self.posterior
        notes = list(self.messages)
        if is_frame(models):
            rows = completed(post, as_pandas(models), new_family)
            notes += extrapolation(post, rows)
            theta = skill_draws(post, effects_of(post, rows, seed))
        else:
            names = [models] if isinstance(models, str) else [str(m) for m in models]
            if not names:
                raise DataError("there is no model to forecast: the list is empty")
            _check_models(post, names)
            rows = post.model_table().loc[names].reset_index()
            at = np.searchsorted(post.models, names)
            theta = skill_draws(post, post.known_effects())[:, at]
        centre, root = self.whitening
        theta = (theta[self.kept] - centre[:, None]) @ root
        shape = (len(self.kept), KEEP)
        noise, uniform = np.empty((*shape, len(rows))), np.empty((3, *shape, len(rows)))
        for i, name in enumerate(rows["model"]):
            rng = rng_of(key_of(seed, "task", self.name, name))
            normal, chi2 = rng.standard_normal(shape), rng.chisquare(task.DF, shape)
            noise[..., i] = normal / np.sqrt(chi2 / task.DF)
            uniform[..., i] = rng.random((3, *shape))
        score, typical = (
            a.reshape(-1, len(rows))
            for a in task.predict(self.curve, theta, noise, uniform, self.n_questions)
        )
        columns = summarise(score, prob)
        del columns["p_positive"]
        frame = rows[["model", "family", "params_b", "tokens_t"]].reset_index(drop=True)
        frame = frame.assign(benchmark=self.name, **columns, prob=prob)
        dims = ("sample", "model")
        draws = _by_sample(
            {"score": (dims, score), "typical": (dims, typical)}, self.kept,
            model=rows["model"].to_numpy(str),
        )  # fmt: skip
        answer = TaskForecast(post, frame, draws, prob, notes)
        answer.task = self
        return answer

    # -- which skills ------------------------------------------------------------------------

    def weights(self, rotation: str = "geomin", prob: float = 0.9, **options: Any) -> pd.DataFrame:
        """How much each skill counts: logits per standard deviation of the skill.

        Parameters
        ----------
        rotation
            Skills to read the weights in; forecasts do not depend on it.
        prob
            Mass of the central intervals.
        **options
            As for :meth:`sloth_bayes.Posterior.skills`.

        Returns
        -------
        pandas.DataFrame
            task, skill, mean, median, sd, lower, upper, p_positive, p_largest (probability
            that no other skill has a larger positive weight), prob.
        """
        prob = check_prob(prob)
        named, values = self._named(rotation, **options)
        largest = (values.argmax(1)[:, None] == np.arange(len(named))).mean(0)
        columns = {"task": self.name, "skill": named} | summarise(values, prob)
        return pd.DataFrame(columns).assign(p_largest=largest, prob=prob)

    def _named(self, rotation: str, **options: Any) -> tuple[list[str], np.ndarray]:
        """Names of the rotated skills, and draws of their weights, ``(sample, skill)``."""
        read = skills(self.posterior, rotation, draws=len(self.kept), **options)
        _, root = self.whitening
        # both see the same predictor: (theta - c) T w = (theta - c) A v, so w = T^-1 A v
        turn = np.linalg.solve(read.merged("transform"), root)
        values = np.einsum("sab,skb->ska", turn, self.curve.weight)
        return read.names, values.reshape(-1, values.shape[-1])

    # -- verdict and figure ------------------------------------------------------------------

    def diagnostics(self) -> Diagnostics:
        """Did the sampler of the task's parameters do its work?

        Returns
        -------
        Diagnostics
            ``table``: share of the importance sampler's points that count, quantiles over the
            draws of the skills. ``ok``: the median share is above 0.05, and the posterior of the
            skills has converged as far as is known.
        """
        share = np.quantile(self.effective, [0.05, 0.5, 0.95])
        table = pd.DataFrame({"quantity": ["5%", "50%", "95%"], "effective_share": share})
        fine = bool(share[1] > _ENOUGH)
        messages = [
            f"{self.name}: {share[1]:.0%} of the importance sampler's points count "
            f"(median over draws of the skills; 5% of the draws below {share[0]:.0%})."
        ]
        if not fine:
            messages.append(
                "That is too few for narrow intervals. Do: give more scores, or shrinkage='strong'."
            )
        known = self.posterior.known_verdict
        if known is False:
            messages.append("The posterior of the skills has not converged: see its diagnostics().")
        ok, messages = fine and known is not False, [*messages, *self.messages]
        return Diagnostics(table, ok, tuple(messages), self.posterior.standing)

    def plot(self, **options: Any) -> np.ndarray[Any, Any]:
        """Scores against forecasts, and weights: :func:`sloth_bayes.plots.downstream.downstream`.

        Returns
        -------
        numpy.ndarray of matplotlib.axes.Axes
        """
        from ..plots import downstream as downplots

        return downplots.downstream([self], **options)


class TaskForecast(Answer):
    """Forecast scores of a task; made by :meth:`Downstream.forecast`."""

    task: Downstream


@checked
def downstream(
    post: PosteriorDraws,
    scores: pd.Series | Mapping[str, float] | pd.DataFrame,
    *,
    name: str | None = None,
    n_questions: float = 500,
    chance: float = 0.0,
    shrinkage: str = "normal",
    hold_out: str | Iterable[str] = (),
    table: pd.DataFrame | None = None,
    draws: int = 400,
    seed: int = 0,
) -> Downstream:
    """Learn a new task from the skills of models with a score on it.

    The task's score is a monotone, possibly asymmetric curve of one weighted sum of skills,
    from a floor to 1, with heavy-tailed spread; 2% of the scores may be anything
    (``sloth_bayes.tasks.downstream_model``). It is *cut* from the posterior: see
    ``sloth_bayes.tasks.downstream`` for why. A task has no effects of families: two models of
    equal skills have equal forecasts.

    Parameters
    ----------
    post
        The posterior.
    scores
        Scores in [0, 1] by model: a mapping, a Series, or a frame with a column ``model`` and one
        of scores. A missing score is left out.
    name
        The task; by default the name of the Series or column, else ``"task"``.
    n_questions
        Questions behind a score: they set its sampling error.
    chance
        The score of guessing.
    shrinkage
        ``"normal"``: the size of the weights has a half-normal prior of scale 2 logits per
        standard deviation; ``"strong"``: 0.5, for a dozen scores or fewer. Either way a task is
        expected to ask most for what the posterior's benchmarks have in common.
    hold_out
        Models of `scores` that do not train.
    table
        Rows of the leaderboard (as :meth:`Posterior.condition` takes them) of models that
        the posterior lacks. They too are cut (``reweight=False`` there): their skills are drawn
        given their scores and each draw of the law, which does not learn from them.
    draws
        Draws of the skills to use, thinned evenly; four draws of the task for each.
    seed
        Same seed, same numbers.

    Returns
    -------
    Downstream

    Raises
    ------
    UnknownNameError
        If a model is not in the posterior, a model held out has no score, or the shrinkage
        is unknown.
    DataError
        If a score is outside [0, 1] or no number, or fewer than five models train.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> post = sb.load("leaderboard")
    >>> task = post.downstream({"pythia-1b": 0.1, "pythia-12b": 0.3, "llama-7b": 0.35,
    ...                         "llama-65b": 0.6, "yi-34b": 0.7}, name="mine", draws=50)
    >>> found = task.forecast(["qwen-72b", "opt-350m"]).frame["median"]
    >>> bool(found[0] > found[1])
    True
    """
    from . import downstream_model as task

    given, name = _scores(scores, name)
    _check_numbers(n_questions, chance)
    check_known("shrinkage", [shrinkage], SHRINKAGE)
    out = [hold_out] if isinstance(hold_out, str) else [str(m) for m in hold_out]
    check_known("model to hold out", out, given.index)
    messages = post.cautions
    if table is not None:
        new = table[~table["model"].astype(str).isin(post.models)]
        post = condition(post, new, seed=seed, reweight=False)
        if len(new):
            messages.append(post.diagnostics().messages[0])
    _check_models(post, list(given.index), table is None)
    train = given[~given.index.isin(out)]
    if len(train) < _LEAST:
        raise DataError(
            f"{name}: {len(train)} model(s) with a score are too few to learn a task from: give "
            f"at least {_LEAST}"
        )
    kept = kept_draws(post, min(draws, post.n_draws))
    whitening, theta = whitened(post, kept)
    rows = np.searchsorted(post.models, list(train.index))
    packed = task.scores(train.to_numpy(float), n_questions, chance, SHRINKAGE[shrinkage])
    curve, effective = task.fit(theta[:, rows], packed, KEEP, seed)
    role = np.where(given.index.isin(out), "held out", "train")
    return Downstream(
        name,
        pd.DataFrame({"model": given.index, "score": given.to_numpy(float), "role": role}),
        post,
        shrinkage=shrinkage, n_questions=n_questions, chance=chance, messages=tuple(messages),
        effective=effective, curve=curve, whitening=whitening, kept=kept, seed=seed,
    )  # fmt: skip


# -- data that ship ------------------------------------------------------------------------


@checked
def load_downstream(task: str | None = None) -> pd.DataFrame:
    """Scores on tasks outside the leaderboard that ship.

    HumanEval, EQ-Bench, AgentBench and AgentBoard, and eight columns of seven "emergent"
    tasks of BIG-bench. Sources and licences are in ``data/README.md``.

    Parameters
    ----------
    task
        The task to keep; all by default.

    Returns
    -------
    pandas.DataFrame
        One row a score: task, group, model (as the leaderboard's table names it where it
        has the model), score in [0, 1], n_questions, chance, published (the name in the
        source).

    Raises
    ------
    UnknownNameError
        If there is no such task.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> sb.load_downstream("EQ-Bench")["model"].iloc[0]
    'meta-llama-3-70b-instruct'
    >>> sb.load_downstream()["task"].nunique()
    38
    """
    folder = shipped("data") / "downstream"
    tasks = pd.read_csv(folder / "tasks.csv")
    if task is not None:
        check_known("downstream task", [task], tasks["task"])
    parts = []
    for file, about in tasks.groupby("file", sort=False):
        wide = pd.read_csv(folder.parent / str(file))
        if "benchmark" in wide:  # a long table
            wide = wide.pivot(index="model", columns="benchmark", values="score").reset_index()
        wide = wide.rename(columns={"Model": "model"})
        for row in about.itertuples():
            part = wide[["model", row.column]].set_axis(["published", "score"], axis=1)
            parts.append(part.dropna().assign(task=row.task))
    out = pd.concat(parts, ignore_index=True).merge(tasks, "left", "task")
    out["score"] /= out["full_score"]
    out["model"] = [_table_name(n) for n in out["published"]]
    out = out[["task", "group", "model", "score", "n_questions", "chance", "published"]]
    return out if task is None else out[out["task"] == task].reset_index(drop=True)


def load_agents() -> pd.DataFrame:
    """Leaderboard scores of the agent benchmarks' models, as :meth:`Posterior.condition` takes.

    Returns
    -------
    pandas.DataFrame
        model, family, lineage, instruct, params_b, tokens_t (NaN: unknown), and the six
        benchmarks of the first leaderboard.

    Examples
    --------
    >>> from sloth_bayes.tasks.downstream import load_agents
    >>> len(load_agents())
    27
    """
    folder = shipped("data") / "downstream"
    about = pd.read_csv(folder / "agent_models.csv").drop(columns="note")
    published = pd.read_csv(folder / "agent_benchmarks.csv").rename(
        columns={"Model": "model", "ARC-C": "ARC"}
    )
    names = ["MMLU", "ARC", "HellaSwag", "Winogrande", "TruthfulQA", "GSM8K"]
    return about.merge(published[["model", *names]], on="model", validate="one_to_one")


def _table_name(published: str) -> str:
    """A model's name as the leaderboard's table has it: no organisation, no suffix."""
    short = published.split("/")[-1].lower()
    return short.removesuffix("-hf").removesuffix("-deduped")


# -- steps ---------------------------------------------------------------------------------


def _scores(
    given: pd.Series | Mapping[str, float] | pd.DataFrame, name: str | None
) -> tuple[pd.Series, str]:
    """Scores by model, checked; and the name of the task."""
    if not isinstance(given, pd.Series) and is_frame(given):
        given = as_pandas(given)
        if "model" not in given:
            raise DataError("the scores lack the column 'model'")
        columns = [c for c in given.columns if c != "model"]
        if name in columns:
            columns = [name]
        numbers = [c for c in columns if pd.api.types.is_numeric_dtype(given[c])] or columns
        if len(numbers) != 1:
            raise DataError(
                f"one column of scores is needed beside 'model', not {', '.join(map(str, numbers))}"
                ": name it with name=, or keep one of them"
            )
        series = given.set_index("model")[numbers[0]]
    elif isinstance(given, pd.Series | Mapping):
        series = pd.Series(given)
    else:
        raise DataError(
            "scores are a mapping from models to numbers, a Series, or a frame with a column "
            f"'model', not {type(given).__name__}"
        )
    name = name or (str(series.name) if series.name not in (None, "score") else "task")
    series.index = series.index.astype(str)
    for model in series.index[series.index.duplicated()]:
        raise DataError(f"{name}: model {model!r} has two scores: keep one")
    numeric = pd.to_numeric(series, errors="coerce")
    for model in series.index[numeric.isna() & series.notna()]:
        raise DataError(f"{name}: the score of {model!r} is {series[model]!r}, not a number")
    numeric = numeric.dropna().astype(float)
    for model, value in numeric[~numeric.between(0, 1)].items():
        raise DataError(
            f"{name}: the score of {model!r} is {value:g}, outside [0, 1]: divide by the largest "
            "score there is (percentages by 100)"
        )
    return numeric, name


def _check_numbers(n_questions: Any, chance: Any) -> None:
    if not (isinstance(n_questions, int | float | np.number) and n_questions >= 1):
        raise DataError(f"n_questions must be a number of at least 1, not {n_questions!r}")
    if not (isinstance(chance, int | float | np.number) and 0 <= chance < 1):
        raise DataError(f"chance must be a score from 0 to below 1, not {chance!r}")
    if not math.isfinite(n_questions):
        raise DataError("n_questions must be finite")


def _check_models(post: PosteriorDraws, names: list[str], remedy: bool = True) -> None:
    """All models are in the posterior, or an error lists those that are not."""
    known = post.models
    absent = [m for m in names if m not in known]
    if not absent:
        return
    hints = []
    for model in absent[:6]:
        close = " or ".join(repr(c) for c in near(model, known, 2))
        hints.append(repr(model) + (f" (near: {close})" if close else ""))
    more = f" and {len(absent) - 6} more" if len(absent) > 6 else ""
    say = (
        "Give their leaderboard scores as table=, or condition the posterior on them first."
        if remedy
        else "The table given lacks them too."
    )
    raise UnknownNameError(
        f"{len(absent)} model(s) not in the posterior: {', '.join(hints)}{more}. {say}"
    )


def whitened(
    post: PosteriorDraws, kept: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Centre and matrix that whiten each draw's skills; and the whitened skills ``(S, M, d)``.

    Of the draws `kept`. For studies, which draw tasks.

    The directions are those of the benchmarks' principal loadings, which do not depend on the
    coordinates that the skills were sampled in.
    """
    theta = skill_draws(post, post.known_effects())[kept]
    centre = theta.mean(1)
    theta = theta - centre[:, None]
    root, inverse_root = square_roots(post, transposed(theta) @ theta / theta.shape[1])
    standard = post.merged["loading"][kept] @ root
    _, _, axes = np.linalg.svd(standard, full_matrices=False)
    turn = transposed(axes)
    sign = np.sign((standard @ turn).sum(1))
    root = inverse_root @ (turn * sign[:, None])
    return (centre, root), theta @ root


def _by_sample(variables: dict[str, Any], kept: np.ndarray, **coords: Any) -> xr.Dataset:
    return xr.Dataset(variables, coords | {"posterior_draw": ("sample", np.repeat(kept, KEEP))})
