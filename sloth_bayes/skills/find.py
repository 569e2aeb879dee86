"""Skills that people can read: rotated, standardised, aligned over draws, with names.

A posterior knows the skills of a model only up to an invertible matrix: loadings times one and
skills times the inverse of its transpose give the same scores (Maia Polo et al., 2024, appendix
A). Here, in every draw, skills get mean zero and variance one over the models of the table; then
the loadings are rotated, obliquely by default, so that each benchmark needs few skills; and then
the skills are put in the order and given the signs of one reference. What all draws agree on is
a property of the data, and the intervals say what is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import DataError, SpecError, check_known
from ..posterior.core import PosteriorDraws
from ..support.checks import check_prob
from ..support.frames import listed
from ..support.types import checked
from . import rotation as rotate
from .names import checked_names, suggest_names
from .rotated_draws import (
    by_name,
    in_units,
    kept_draws,
    rotated,
    skill_draws,
    unrotated,
)
from .tables import Skills

_AMBIGUOUS = 0.1  # congruence by which a draw's best assignment beats its second best


@checked
def skills(
    post: PosteriorDraws,
    rotation: str = "geomin",
    n: int | None = None,
    *,
    target: pd.DataFrame | np.ndarray | None = None,
    names: str | Sequence[str] | Mapping[str, str] | None = None,
    models: str | Iterable[str] | None = None,
    draws: int | None = None,
    like: Skills | None = None,
    prob: float = 0.9,
    seed: int = 0,
    **options: float,
) -> Skills:
    """Rotate, standardise, align and name the skills of a posterior (paper, appendix A.1).

    Every draw is treated alike: skills are standardised over the models (mean 0, variance 1),
    loadings rotated from where the reference stands, skills matched to the reference's in
    order and sign by an optimal assignment. The reference is the best of 64 random starts on
    the average solution. No forecast depends on any of it.

    Parameters
    ----------
    post
        The posterior.
    rotation
        ``"geomin"`` (as the paper; `epsilon`), ``"quartimin"``, ``"oblimin"`` (`gamma`),
        ``"promax"`` (`power`), ``"varimax"`` (uncorrelated skills), ``"target"`` or ``"none"``
        (the coordinates of the sampler). See :func:`sloth_bayes.skills.rotation.rotate`. A single
        skill is not rotated, and with identity loadings skills are benchmarks and neither are
        they: a message says so.
    n
        How many skills you expect: an error if the posterior has another number. A posterior
        with another number is another fit, ``sb.Sloth(n_skills=n)``; for how many there are see
        :func:`sloth_bayes.how_many_skills`.
    target
        For ``rotation="target"``: benchmark x skill, NaN where a loading is free. An array in
        the order of the benchmarks, or a DataFrame whose index names them (those it leaves out
        are free) and whose columns name the skills.
    names
        Names of the skills, one each, or a mapping from suggested names. By default: the
        paper's (``sloth_bayes.skills.names.READING``) are given out one to one so that the
        skills' shares of their benchmarks' squared loadings are largest, and one is kept if that
        share is half or more; any other skill is called after the two benchmarks with the largest
        loadings on it.
    models
        Models to standardise over; all of the fit by default.
    draws
        Draws to use, thinned evenly; all by default.
    like
        Skills of another posterior: take their reference, and so their order, signs and names.
        Both must have the same benchmarks and number of skills.
    prob
        Mass of the central intervals in tables.
    seed
        Seed of the random starts.
    **options
        ``epsilon``, ``gamma`` or ``power``.

    Returns
    -------
    Skills

    Raises
    ------
    UnknownNameError
        For an unknown rotation, option, model or benchmark.
    DataError
        For a target of the wrong shape, too few models to standardise over, or more draws than
        there are.
    SpecError
        If the posterior has another number of skills than `n`, or skills that vary in fewer
        directions than there are skills.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> post = sb.load("leaderboard")
    >>> bool(post.skills("varimax", draws=100).correlations()["mean"].abs().max() < 1e-9)
    True
    """
    prob = check_prob(prob)
    d = post.merged["loading"].shape[-1]
    benchmarks = post.benchmarks
    _check_count(n, d, len(benchmarks))
    pattern, columns = _target(target, benchmarks, d)
    rotate.check(rotation, (len(benchmarks), d), pattern, **options)
    chosen = _chosen_models(post, models, d)
    kept = kept_draws(post, draws)
    method, messages = _method(post, rotation, d)
    if like is not None and not hasattr(like, "reference"):
        raise DataError(f"like must be Skills, not {type(like).__name__}")
    if like is not None and like.benchmarks != benchmarks:
        raise DataError("like= has other benchmarks: skills are comparable on the same ones only")
    if like is not None and len(like.names) != d:
        raise DataError(f"like= has {len(like.names)} skills, this posterior {d}")

    theta = skill_draws(post, post.known_effects())[kept]
    loading = post.merged["loading"][kept].astype(np.float64)
    over = theta[:, np.searchsorted(post.models, chosen)]
    centre = over.mean(1)
    over = over - centre[:, None]
    covariance = rotate.transposed(over) @ over / len(chosen)
    given = None if like is None else like.reference
    if method == "none":
        found = unrotated(post, loading, covariance, given)
    else:
        found = rotated(post, loading, covariance, given, method, seed, pattern=pattern, **options)

    if like is not None:
        labels = like.names
    elif post.spec.loadings == "identity":
        labels = list(benchmarks)
    else:
        labels = columns or suggest_names(found.loading.mean(0), benchmarks)
    tables = in_units(post, kept, theta, loading, centre, found.transform)
    data = by_name(post, kept, found._asdict() | tables | {"centre": centre}, labels)
    quality = _quality(data, found.congruence)
    ambiguous = float((found.margin < _AMBIGUOUS).mean()) if d > 1 else 0.0
    optima = pd.DataFrame(found.reference.optima, columns=["value", "starts"])
    out = Skills(
        data, post, rotation=method, quality=quality, ambiguous=ambiguous,
        optima=optima.astype({"starts": int}), prob=prob,
        messages=(*post.cautions, *messages, *_warnings(quality, ambiguous, found.converged)),
        reference=found.reference, kept=kept, over=chosen,
    )  # fmt: skip
    return out if names is None else out.rename(names)


# -- what was asked -----------------------------------------------------------------------


def _check_count(n: int | None, d: int, benchmarks: int) -> None:
    if n is None:
        return
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise SpecError(f"n must be a number of skills, such as 3, not {n!r}")
    if n > benchmarks:
        raise SpecError(f"{n} skills are more than the {benchmarks} benchmarks can tell apart")
    if n != d:
        raise SpecError(
            f"this posterior has {d} skill{'s' * (d > 1)}, not {n}: fit sb.Sloth(n_skills={n}) for "
            "that many"
        )


def _target(
    target: pd.DataFrame | np.ndarray | None, benchmarks: list[str], d: int
) -> tuple[np.ndarray | None, list[str] | None]:
    """The pattern in the order of the benchmarks, and the names of its columns."""
    if target is None:
        return None, None
    names: list[str] = []
    if isinstance(target, pd.DataFrame):
        check_known("benchmark of the target", target.index.astype(str), benchmarks)
        if target.index.has_duplicates:
            raise DataError("the target names a benchmark twice")
        names = [str(c) for c in target.columns]
        target = target.reindex(benchmarks)
    try:
        pattern = np.asarray(target, float)
    except (TypeError, ValueError):
        raise DataError("the target must hold numbers, NaN where a loading is free") from None
    return pattern, checked_names(names, d) if len(names) == d else None


def _chosen_models(post: PosteriorDraws, models: str | Iterable[str] | None, d: int) -> list[str]:
    chosen = post.models if models is None else list(dict.fromkeys(listed(models)))
    check_known("model", chosen, post.models)
    if len(chosen) <= d:
        raise DataError(f"{d} skills need more than {d} models to standardise over")
    return chosen


def _method(post: PosteriorDraws, rotation: str, d: int) -> tuple[str, list[str]]:
    """The rotation that will be made, and why it is not the one asked for."""
    if rotation == "none":
        return rotation, []
    if post.spec.loadings == "identity":
        return "none", [
            "Identity loadings: every skill is one benchmark's, and there is nothing to rotate."
        ]
    if d == 1:
        return "none", ["There is one skill, and nothing to rotate: it is standardised only."]
    return rotation, []


# -- how well it went ---------------------------------------------------------------------


def _quality(data: xr.Dataset, congruence: np.ndarray) -> pd.DataFrame:
    out = pd.DataFrame(
        {
            "congruence": np.median(congruence, axis=0),
            "congruence_5%": np.quantile(congruence, 0.05, axis=0),
            "similar": (congruence >= rotate.FAIR).mean(0),
        },
        index=pd.Index(data["skill"].values.astype(str), name="skill"),
    )
    if data.sizes["chain"] > 1 and data.sizes["draw"] >= 4:
        from arviz_stats import rhat

        out["r_hat"] = rhat(data[["loading"]])["loading"].max("benchmark").values
    return out


def _warnings(quality: pd.DataFrame, ambiguous: float, converged: np.ndarray) -> list[str]:
    out = []
    if not converged.all():
        out.append(f"The rotation did not converge in {(~converged).mean():.1%} of the draws.")
    if ambiguous > 0.01:
        out.append(
            f"In {ambiguous:.0%} of the draws the assignment of skills is ambiguous: fewer skills, "
            "or another rotation, may be easier to read."
        )
    for name, row in quality[quality["similar"] < 0.9].iterrows():
        out.append(
            f"{name}: its loadings are similar to the reference's in only {row['similar']:.0%} of "
            "the draws, so read its intervals, not its mean."
        )
    return out
