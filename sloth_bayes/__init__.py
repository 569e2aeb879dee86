"""Bayesian scaling laws of latent skills for language models.

What would a model score that nobody has trained, and how sure are we? See
:class:`Sloth` (the specification), :class:`Leaderboard` (a table), :class:`Posterior`
(a fit) and :class:`Forecast`.

>>> import sloth_bayes as sb
>>> post = sb.load("leaderboard")
>>> fc = post.forecast(sb.candidates(family="meta-llama-3", params_b=300, tokens_t=15))
>>> list(fc.frame.columns[-6:])
['mean', 'median', 'sd', 'lower', 'upper', 'prob']
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public names and where they live; imported at first use, so that reading a forecast from
# a posterior that ships imports neither JAX nor Matplotlib.
_PUBLIC = {
    "Benchmark": "leaderboard",
    "Leaderboard": "leaderboard",
    "load_dataset": "leaderboard",
    "load_subscores": "leaderboard",
    "load_corrections": "leaderboard",
    "datasets": "leaderboard",
    "Observed": "observed",
    "known_tasks": "harness",
    "read_observed": "observed",
    "Sloth": "spec",
    "Priors": "spec",
    "Posterior": "posterior",
    "load": "posterior",
    "Diagnostics": "diagnostics",
    "Forecast": "forecast",
    "candidates": "forecast",
    "track": "tracking",
    "Tracking": "tracking",
    "load_curves": "tracking",
    "SkillRatings": "ratings",
    "RatingsPosterior": "ratings",
    "RatingsSaturation": "ratings",
    "load_ratings": "ratings",
    "load_ratings_posterior": "ratings",
    "load_claims": "ratings",
    "load_distilled": "ratings",
    "Reviews": "reviews",
    "read_reviews": "reviews",
    "Downstream": "downstream",
    "load_downstream": "downstream",
    "Skills": "skills",
    "PassAtK": "passk",
    "load_samples": "passk",
    "unbiased_pass_at_k": "passk",
    "RequiredSize": "planning",
    "Saturation": "planning",
    "Allocation": "allocation",
    "Comparison": "choices",
    "NextEvaluation": "choices",
    "how_many_skills": "howmany",
    "SkillCount": "howmany",
    "cross_validate": "evaluation",
    "Evaluation": "evaluation",
    "load_evaluation": "evaluation",
    "Fold": "protocols",
    "SlothBayesError": "errors",
    "DataError": "errors",
    "UnknownNameError": "errors",
    "SpecError": "errors",
    "FileFormatError": "errors",
    "WorkerError": "errors",
    "ConvergenceWarning": "errors",
    "ExtrapolationWarning": "errors",
}
_MODULES = ("baselines", "evaluation", "figures", "plots", "protocols", "report")

__all__ = sorted([*_PUBLIC, *_MODULES, "__version__"])

if TYPE_CHECKING:
    from . import baselines, evaluation, figures, plots, protocols, report
    from .allocation import Allocation
    from .choices import Comparison, NextEvaluation
    from .diagnostics import Diagnostics
    from .downstream import Downstream, load_downstream
    from .errors import (
        ConvergenceWarning,
        DataError,
        ExtrapolationWarning,
        FileFormatError,
        SlothBayesError,
        SpecError,
        UnknownNameError,
        WorkerError,
    )
    from .evaluation import Evaluation, cross_validate, load_evaluation
    from .forecast import Forecast, candidates
    from .harness import known_tasks
    from .howmany import SkillCount, how_many_skills
    from .leaderboard import (
        Benchmark,
        Leaderboard,
        datasets,
        load_corrections,
        load_dataset,
        load_subscores,
    )
    from .observed import Observed, read_observed
    from .passk import PassAtK, load_samples, unbiased_pass_at_k
    from .planning import RequiredSize, Saturation
    from .posterior import Posterior, load
    from .protocols import Fold
    from .ratings import (
        RatingsPosterior,
        RatingsSaturation,
        SkillRatings,
        load_claims,
        load_distilled,
        load_ratings,
        load_ratings_posterior,
    )
    from .reviews import Reviews, read_reviews
    from .skills import Skills
    from .spec import Priors, Sloth
    from .tracking import Tracking, load_curves, track


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(f".{_PUBLIC[name]}", __name__), name)
    if not name.startswith("_") and find_spec(f"{__name__}.{name}"):
        return import_module(f".{name}", __name__)  # what docstrings refer to
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
