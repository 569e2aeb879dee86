"""The specification: one frozen object that sets every choice of the model."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ..errors import FileFormatError, SpecError, near
from ..support.checks import whole
from ..support.files import check_plain, new_file, user_path
from . import equations, likelihood
from .likelihood import Observation
from .terms import TERMS, checked


@dataclass(frozen=True)
class Priors:
    """Prior scales, in units a person can judge.

    A *unit of skill* is the standard deviation of family efficiency: the distance between
    an ordinary family and a good one (one in six is better). A *logit* is a unit of the
    predictor under the logistic link: around the middle of a benchmark's range, 25% of it.

    The defaults were set by prior predictive checks: on the table that ships, the scores
    of the average, best and worst model of every benchmark lie between the 2% and 66%
    quantiles of what the priors expect (``notebooks/01_forecast.ipynb`` shows it). Twice
    the loadings and slopes would have every benchmark solved by the best model.

    Attributes
    ----------
    family
        Standard deviation of family effects on each skill. 1 defines the unit of skill;
        a large value amounts to no pooling.
    lineage_share
        Prior mean of the share of family variance that all families of a lineage have in
        common, of skills and (a share of its own) of residuals; its Beta prior has
        concentration 4.
    instruct
        Standard deviation of what instruction tuning adds to a skill, and of what reasoning
        adds to that, in units of skill.
    tuning
        Half-normal scale of the standard deviation, over benchmarks, of what tuning (and of what
        reasoning) adds on one beyond what it adds to skills, in logits. 0.5, so that a benchmark
        gains up to an eighth of its range; set before any fit.
    mixture_weight
        Prior mean of the weight of the total parameters in the size of a mixture of experts;
        its Beta prior has concentration 4.
    doubling
        Standard deviation of the change of a skill when size (or tokens, or FLOPs)
        doubles, in units of skill, at the table's typical size and tokens.
    year
        Standard deviation of the change of a skill in a year, in units of skill: of models by
        their dates, or of the mean of families by their months.
    trend
        Half-normal scale of the standard deviation, over benchmarks, of what a year adds on one
        beyond what it adds to skills, in logits. 0.5, so that a benchmark may gain or lose up to
        an eighth of its range a year against the others; set before any fit.
    interaction
        Standard deviation of the change that a doubling of tokens makes to the effect of
        a doubling of size.
    slope_deviation
        Half-normal scale of the standard deviation, over lineages, of the effect of a
        doubling; with slopes of tuned models, the standard deviation of what a doubling does
        to them beyond what it does to base ones.
    fan
        Standard deviation of the share by which a doubling makes the effect of a family larger,
        with slopes that fan out. Not among what those checks were made of.
    model_effect
        Half-normal scale of the model-level effect on each skill, in units of skill.
    walk
        Half-normal scale of how far the skills of a family stray from the law in a doubling
        of compute, in units of skill. Not among what those checks were made of: the default
        law has no walk.
    walk_compute
        The same of a walk of compute, in doublings: by how many a family strays in one. 1, so that
        a model may be worth half the compute it had, or twice; set before any fit.
    loading
        Standard deviation of a loading, in logits per unit of skill. With identity
        loadings a unit of skill is a logit, and this is not used.
    residual
        Half-normal scale of the standard deviation of family x benchmark residuals, in
        logits; that of a single benchmark varies around it with log standard deviation
        0.5.
    drift
        Half-normal scale of how far such a residual drifts along a training curve, a
        doubling of tokens, relative to the residual's standard deviation.
    level
        Standard deviation of the average observed predictor of a benchmark, in logits.
    lower
        Standard deviation of a benchmark's floor around its chance level, in score (cut
        off at 0, so that the floor of a benchmark without guessing lies a little above).
    ceiling
        Prior mean of the share of the range above the floor that no model ever reaches
        (label noise, ambiguous questions).
    link_shape
        Standard deviation of the log shape of a Richards link.
    noise
        Prior median of the noise of a benchmark, in score, over and above sampling noise;
        log-normal with standard deviation 0.7.
    noise_spread
        Standard deviation of the log noise between benchmarks.
    sampling_fraction
        Prior median of the fraction of binomial variance p(1-p)/N that shows up between
        models answering the same questions; log-normal with standard deviation 0.5.
    """

    family: float = 1.0
    lineage_share: float = 0.5
    instruct: float = 1.0
    tuning: float = 0.5
    mixture_weight: float = 0.5
    doubling: float = 0.3
    year: float = 1.0
    trend: float = 0.5
    interaction: float = 0.03
    slope_deviation: float = 0.1
    fan: float = 0.1
    model_effect: float = 0.2
    walk: float = 0.2
    walk_compute: float = 1.0
    loading: float = 0.6
    residual: float = 0.3
    drift: float = 0.2
    level: float = 2.0
    lower: float = 0.03
    ceiling: float = 0.05
    link_shape: float = 0.5
    noise: float = 0.02
    noise_spread: float = 0.5
    sampling_fraction: float = 0.5

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
                raise SpecError(f"prior {f.name} must be a positive number, not {value!r}")
            object.__setattr__(self, f.name, float(value))
        for name in ("lineage_share", "mixture_weight", "ceiling"):
            if getattr(self, name) >= 1:
                raise SpecError(f"prior {name} is a share: it must lie between 0 and 1")


_CHOICES: dict[str, Collection[str]] = {
    "inputs": tuple(equations.INPUTS),
    "intercept": ("lineage", "family", "shared"),
    "instruct": ("shared", "kinds", "none"),
    "tuning": ("benchmarks", "skills"),
    "mixtures": ("active", "effective"),
    "slopes": ("pooled", "shared", "fan", "tuned", "fan-tuned", "family"),
    "loadings": ("free", "identity"),
    "residual": ("family", "curve", "none"),
    "model_effect": ("pooled", "none"),
    "walk": ("pooled", "compute", "none"),
    "progress": ("date", "none"),
    "trend": ("benchmarks", "none"),
    "lower": ("estimated", "sourced", "chance"),
    "upper": ("estimated", "sourced", "questions", "one"),
    "link": equations.LINKS,
    "noise": likelihood.NOISE,
    "likelihood": likelihood.LIKELIHOODS,
    "unknown_inputs": ("drop", "latent"),
}


@dataclass(frozen=True, eq=False)
class Spec:
    """Specification of the scaling law: what is shared, what is pooled, what is fixed.

    The published laws are settings of this one object; ``models/*/spec.toml`` holds them.
    The default is the model the package recommends.

    Attributes
    ----------
    n_skills
        Number of latent skills ``d`` (ignored with identity loadings: one per benchmark).
    inputs
        ``"translog"`` (size, tokens and their product; paper section 3.1),
        ``"loglinear"`` (no product), ``"size"``, ``"flops"`` (size times tokens),
        ``"loss"`` (compute as far as it was well spent: doublings of a budget whose best split
        reaches the loss that Hoffmann et al., 2022, predict of size and tokens; exponents and
        the best tokens a parameter are parameters) or
        ``"checkpoint"`` (translog, and an offset of checkpoints that vanishes at the end
        of the learning-rate schedule; for :func:`sloth_bayes.track`). Where neither size nor
        tokens are known: ``"date"`` (years), or ``"none"``.
    intercept
        ``"lineage"``: a family's effect is its lineage's plus its own, both pooled;
        ``"family"``: families are exchangeable; ``"shared"``: no family effect.
    instruct
        ``"shared"``: instruction tuning shifts every skill by a common amount; ``"kinds"``:
        so it does, and models that reason at length before they answer have another shift on
        top; ``"none"``.
    tuning
        ``"skills"``: kinds of models differ in their skills only; ``"benchmarks"``: being tuned,
        and reasoning, add something to each benchmark by itself, too. Of benchmarks without base
        models only the prior tells what, so that a base model's forecast there is wide.
    mixtures
        Which size a mixture of experts counts as: that of its ``"active"`` parameters, or an
        ``"effective"`` one, active^(1 - w) total^w with w a parameter, whose prior is around
        1/2 (their geometric mean). Compute counts active parameters.
    slopes
        ``"shared"`` (Sloth; the default: deviations described the table better and
        forecast larger models worse), ``"fan"`` (efficient families gain more from a doubling,
        or less: two numbers for all), ``"tuned"`` (tuned models gain more, or less, than base
        ones), ``"fan-tuned"`` (both), ``"pooled"`` (lineages deviate, partially pooled) or
        ``"family"`` (every family its own, independent deviation from the shared slope,
        with wide priors the law of Ruan et al., 2024).
    loadings
        ``"free"``, or ``"identity"`` for one skill per benchmark.
    residual
        ``"family"``: a pooled family x benchmark residual; ``"curve"``: one that drifts
        with the log of tokens, the families being training runs; ``"none"``.
    model_effect
        ``"pooled"``: a small effect of every single model on its skills; ``"none"`` (the
        default, for the same reason).
    walk
        ``"pooled"``: the skills of a family leave the law as a random walk in doublings of
        compute, known near its observed models and the less so the farther from them;
        ``"compute"``: one walk a family for all skills, along what a doubling does to them, as
        if its models had more compute or less than they had; ``"none"``.
    progress
        ``"date"``: the mean of family effects moves with the month in which families are released,
        linearly, each skill at its own rate. A candidate is of its family's month, one of a new
        family of the latest month in the table, unless it has a ``released`` (year-month) or a
        ``date`` of its own. ``"none"``.
    trend
        ``"benchmarks"``: a year adds something to each benchmark by itself, around what it adds to
        skills, linearly in the date of a model (``inputs="date"``); ``"none"``.
    lower, upper
        Asymptotes: ``lower`` fixed at ``"chance"``, ``"estimated"`` with one prior for all
        benchmarks, or ``"sourced"``: with the spread that the table gives a benchmark, where it
        does; ``upper`` fixed at ``"one"``, ``"estimated"`` with one prior for all benchmarks,
        ``"sourced"``: with that which the table expects of a benchmark, where it says so
        (:class:`~sloth_bayes.Benchmark`), or ``"questions"``: likewise, and one for all
        benchmarks that ask the same questions.
    link
        ``"logistic"``, or ``"richards"``: monotone with a trained asymmetry per benchmark.
    noise
        ``"proportional"`` (smaller near floor and ceiling) or ``"constant"``.
    likelihood
        Law of a score around its expected one: ``"student_t"``.
    df
        Its degrees of freedom (2, 3, 4, 5, 6, 8, 10), or infinity for a normal law.
    unknown_inputs
        Models whose size or tokens the table does not say: ``"drop"`` leaves them out;
        ``"latent"`` uses their scores, with what is unknown a parameter: the log of the
        size is normal with the mean and standard deviation of the known ones, the log of
        the tokens normal around their regression on the log size. The posterior returns
        them as ``params_b`` and ``tokens_t``.
    terms
        Names of further terms, from ``sloth_bayes.law.TERMS``.
    priors
        Prior scales, a :class:`Priors`.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> spec = sb.Sloth(n_skills=2, link="logistic")
    >>> spec.replace(df=float("inf")).df
    inf
    """

    n_skills: int = 3
    inputs: str = "translog"
    intercept: str = "lineage"
    instruct: str = "shared"
    tuning: str = "skills"
    mixtures: str = "active"
    slopes: str = "shared"
    loadings: str = "free"
    residual: str = "family"
    model_effect: str = "none"
    walk: str = "none"
    progress: str = "none"
    trend: str = "none"
    lower: str = "estimated"
    upper: str = "estimated"
    link: str = "richards"
    noise: str = "proportional"
    likelihood: str = "student_t"
    df: float = 4.0
    unknown_inputs: str = "drop"
    terms: tuple[str, ...] = ()
    priors: Priors = field(default_factory=Priors)

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            if not isinstance(value, str) or value not in allowed:  # a list has no hash
                raise SpecError(
                    f"{name}={value!r} is not a choice; {name} takes {', '.join(allowed)}"
                )
        if self.residual == "curve" and "log_tokens" not in equations.INPUTS[self.inputs]:
            raise SpecError(
                f"residual='curve' drifts with the tokens, which inputs={self.inputs!r} does not "
                "have: take inputs='checkpoint', 'translog' or 'loglinear'"
            )
        if not equations.INPUTS[self.inputs]:
            self._refuse_sizes()
        if self.tuning == "benchmarks" and self.instruct == "none":
            raise SpecError(
                "tuning='benchmarks' is of tuned models, which instruct='none' does not tell from "
                "base ones: take instruct='shared' or 'kinds'"
            )
        if self.progress == "date" and self.inputs == "date":
            raise SpecError(
                "progress='date' moves families by their months, and inputs='date' models by their "
                "dates: take one of the two"
            )
        if self.trend != "none" and self.inputs != "date":
            raise SpecError(
                f"trend={self.trend!r} is of the dates of models, which inputs={self.inputs!r} "
                "does not read: take inputs='date'"
            )
        if self.mixtures == "effective" and self.inputs in ("flops", "checkpoint"):
            raise SpecError(
                f"mixtures='effective' gives models another size, which inputs={self.inputs!r} "
                "does not read: take inputs='translog', 'loglinear' or 'size'"
            )
        object.__setattr__(self, "terms", checked(self.terms, equations.INPUTS[self.inputs]))
        object.__setattr__(self, "n_skills", whole("n_skills", self.n_skills))
        try:
            object.__setattr__(self, "df", float(self.df))
        except (TypeError, ValueError):
            raise SpecError(f"df must be a number, not {self.df!r}") from None
        _ = self.observation  # which may refuse the degrees of freedom
        if isinstance(self.priors, dict):
            object.__setattr__(self, "priors", _from_table(Priors, self.priors, "[priors]"))
        if not isinstance(self.priors, Priors):
            raise SpecError(
                f"priors must be a sloth_bayes.Priors, not {type(self.priors).__name__}"
            )

    def _refuse_sizes(self) -> None:
        """An error for a choice that a law without size and tokens cannot have."""
        for name, plain in (
            ("slopes", "shared"),
            ("mixtures", "active"),
            ("unknown_inputs", "drop"),
            ("walk", "none"),
        ):
            value = getattr(self, name)
            if value != plain:
                raise SpecError(
                    f"{name}={value!r} needs sizes or tokens, which inputs={self.inputs!r} does "
                    f"not have: take {name}={plain!r}"
                )

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A process without an entry of the law's registries must not go on without it.
        self.__dict__.update(state)
        self.__post_init__()

    def __eq__(self, other: object) -> bool:
        # What is specified counts, not who can fit it: api.Sloth is a Spec.
        return isinstance(other, Spec) and self._choices() == other._choices()

    def __hash__(self) -> int:
        return hash(self._choices())

    def _choices(self) -> tuple[Any, ...]:
        return tuple(getattr(self, f.name) for f in dataclasses.fields(Spec))

    # -- changing and storing ------------------------------------------------------------

    def replace(self, **changes: Any) -> Self:
        """A copy with some choices changed; ``priors`` may be a dict of the changed ones.

        Examples
        --------
        >>> import sloth_bayes as sb
        >>> sb.Sloth().replace(priors={"doubling": 1.0}).priors.doubling
        1.0
        """
        check_keys(type(self), changes, "Sloth")
        if isinstance(changes.get("priors"), dict):
            check_keys(Priors, changes["priors"], "Priors")
            changes["priors"] = dataclasses.replace(self.priors, **changes["priors"])
        return dataclasses.replace(self, **changes)

    def to_toml(self, path: str | Path | None = None) -> str:
        """The specification as TOML text, written to `path` when one is given.

        Examples
        --------
        >>> import sloth_bayes as sb
        >>> sb.Sloth.from_toml(sb.Sloth(n_skills=2).to_toml()) == sb.Sloth(n_skills=2)
        True
        """

        def value(v: object) -> str:
            if isinstance(v, str):
                return f'"{v}"'
            if isinstance(v, tuple):
                return f"[{', '.join(map(value, v))}]"
            return "inf" if isinstance(v, float) and math.isinf(v) else repr(v)

        def lines(of: Spec | Priors) -> list[str]:
            named = {f.name: getattr(of, f.name) for f in dataclasses.fields(of)}
            return [f"{name} = {value(v)}" for name, v in named.items() if name != "priors"]

        text = "\n".join([*lines(self), "", "[priors]", *lines(self.priors), ""])
        if path is not None:
            with new_file(path) as tmp:
                tmp.write_text(text, encoding="utf-8")
        return text

    @classmethod
    def from_toml(cls, source: str | Path) -> Self:
        """Read a specification from a TOML file, or from TOML text.

        A file may also hold a ``[fit]`` table (what to fit it on, and how), which is the
        concern of ``sloth-bayes fit`` and is ignored here. Choices that the
        file does not mention keep their defaults.

        Raises
        ------
        FileFormatError
            If the file cannot be read or is not TOML.
        SpecError
            If it names an unknown choice.
        """
        table = read_toml(source)
        table.pop("fit", None)
        priors = table.pop("priors", {})
        if not isinstance(priors, dict):
            raise SpecError(f"priors must be a table, [priors], not {priors!r}")
        spec = _from_table(cls, table, "the specification")
        return spec.replace(priors=dict(priors)) if priors else spec

    @property
    def observation(self) -> Observation:
        """The law of a standardised score. For the layers above."""
        return likelihood.LIKELIHOODS[self.likelihood](self.df)

    @property
    def entries(self) -> tuple[Any, ...]:
        """What the registries hold of it, by which compiled programs are kept.

        For the layers above.
        """
        return (
            equations.LINKS[self.link],
            likelihood.NOISE[self.noise],
            self.observation,
            *(TERMS[name] for name in self.terms),
        )

    @property
    def input_scales(self) -> tuple[float, ...]:
        """Prior standard deviation of each input's effect, in units of skill a doubling."""
        scales = {"log_size*log_tokens": self.priors.interaction}
        return tuple(
            scales.get(name, self.priors.doubling) for name in equations.INPUTS[self.inputs]
        )


def read_toml(source: str | Path) -> dict[str, Any]:
    """Parse a TOML file, or TOML text (a string with a line break or an equals sign)."""
    if not isinstance(source, str | Path):
        raise FileFormatError(f"TOML is text or a path, not {type(source).__name__}")
    text, where = str(source), "the TOML text"
    if isinstance(source, Path) or ("\n" not in text and "=" not in text):
        where = text
        path = user_path(source)
        check_plain(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FileFormatError(f"cannot read {source}: {error}") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FileFormatError(f"{where} is not valid TOML: {error}") from None
    except RecursionError:
        raise FileFormatError(f"{where} is no specification: it nests too far") from None


def check_keys(kind: type, table: dict[str, Any], where: str) -> None:
    """Raise `SpecError` if a table has a key that is no field of a dataclass."""
    known = [f.name for f in dataclasses.fields(kind)]
    for key in table:
        if key not in known:
            close = near(key, known)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
            raise SpecError(f"{where} has no setting {key!r}: {hint}")


def _from_table(kind: type, table: dict[str, Any], where: str) -> Any:
    check_keys(kind, table, where)
    return kind(**table)
