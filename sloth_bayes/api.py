"""What a user holds: a specification that can be fitted, a posterior that answers.

Each question is a function of a layer below, whose first argument is the posterior.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xarray as xr

from .errors import unknown
from .law.spec import Spec
from .plan.budget import optimal_allocation
from .plan.compare import compare, next_evaluation
from .plan.size import required_size, saturation
from .posterior import untold
from .posterior.base import read
from .posterior.core import PosteriorDraws
from .predict.before_data import before_data
from .predict.completion import complete
from .predict.condition import condition
from .predict.forecast import forecast
from .predict.surprises import surprises
from .skills.find import skills
from .support.files import user_path
from .support.shipped import POSTERIOR, shipped
from .table.leaderboard import Leaderboard
from .tasks.downstream import downstream
from .tasks.passk import pass_at_k


class Posterior(PosteriorDraws):
    """The draws, and the questions that they answer."""

    __doc__ = PosteriorDraws.__doc__

    forecast = forecast
    condition = condition
    complete = complete
    surprises = surprises
    skills = skills
    required_size = required_size
    saturation = saturation
    optimal_allocation = optimal_allocation
    compare = compare
    next_evaluation = next_evaluation
    downstream = downstream
    pass_at_k = pass_at_k


class Sloth(Spec):
    """The specification, and what can be done with it."""

    __doc__ = Spec.__doc__

    def fit(self, data: Leaderboard, method: str = "nuts", **options: Any) -> Posterior:
        """Fit the specification to a table; see :func:`sloth_bayes.infer.fit.fit`.

        Parameters
        ----------
        data
            The :class:`~sloth_bayes.Leaderboard`.
        method
            ``"nuts"`` or ``"svi"``.
        **options
            ``chains``, ``draws``, ``warmup``, ``thin``, ``steps``, ``seed``, ``progress``, ...

        Returns
        -------
        Posterior
        """
        from .infer.fit import fit

        return Posterior(fit(self, data, method=method, **options).tree, self)

    def model(self, data: Leaderboard) -> tuple[Callable[..., None], tuple[Any, ...]]:
        """The NumPyro model of a table, for NumPyro's own tools.

        Returns
        -------
        model, arguments
            ``model(arrays, score)``: `arrays` the table, `score` ``(N,)`` its observed cells,
            row by row, at the site ``"score"``; without `score` they are drawn.

        Examples
        --------
        >>> import jax, sloth_bayes as sb
        >>> from numpyro.infer import Predictive
        >>> data = sb.load_dataset("open_llm_leaderboard").select(benchmarks=["MMLU", "HellaSwag"])
        >>> model, (arrays, score) = sb.Sloth(n_skills=1).model(data)
        >>> drawn = Predictive(model, num_samples=3)(jax.random.PRNGKey(0), arrays)
        >>> drawn["score"].shape == (3, len(score))
        True
        """
        from .infer.fit import model_of

        return model_of(self, data)

    def prior(self, data: Leaderboard, draws: int = 1000, seed: int = 0) -> Posterior:
        """Draw the parameters from their prior, for the families and models of a table.

        The result is a :class:`~sloth_bayes.Posterior` that has learned nothing: its
        ``posterior_predictive`` is the prior predictive distribution of the table.
        """
        from .infer.fit import sample_prior

        return Posterior(sample_prior(self, data, draws=draws, seed=seed).tree, self)

    def prior_predictive(self, data: Leaderboard, draws: int = 1000, seed: int = 0) -> xr.DataTree:
        """What the priors expect of a table before its scores are seen.

        Drawn by one compiled program, block by block; :func:`sloth_bayes.plots.priors` shows it.

        Parameters
        ----------
        data
            The table: its models and benchmarks count, and which have a score, not the scores.
        draws
            Tables to draw.
        seed
            Same seed, same numbers.

        Returns
        -------
        xarray.DataTree
            In ArviZ's schema. ``prior``: every parameter, and ``gain`` (doubled, benchmark), what
            a doubling of the size, or of the tokens, of all models with a score on a benchmark
            adds to their mean expected score, all else being equal. ``prior_predictive``:
            ``score`` (observation), rounded as the table's are. ``observed_data`` and
            ``constant_data`` as those of a :class:`~sloth_bayes.Posterior`. Scores are in [0, 1].

        Raises
        ------
        DataError
            If no row of the table can be used.
        SpecError
            If `draws` is not a positive whole number.

        Examples
        --------
        >>> import sloth_bayes as sb
        >>> data = sb.load_dataset("open_llm_leaderboard").select(benchmarks=["MMLU", "HellaSwag"])
        >>> tree = sb.Sloth(n_skills=1).prior_predictive(data, draws=50)
        >>> tree["prior"]["gain"].dims
        ('chain', 'draw', 'doubled', 'benchmark')
        >>> tree["prior_predictive"]["score"].dims
        ('chain', 'draw', 'observation')
        """
        return before_data(self.prior(data, draws=draws, seed=seed))


def load(name: str | Path = POSTERIOR) -> Posterior:
    """Load a posterior that ships, or one that was saved.

    Parameters
    ----------
    name
        A path (it has a separator or ends in ``.nc``), or the name of a posterior that
        ships: ``"open"``, of every open leaderboard at once (the default), or
        ``"leaderboard"``, of the table of the published law.

    Raises
    ------
    FileFormatError
        If the file is missing, truncated, foreign, or of a newer version.
    UnknownNameError
        If no posterior of that name ships.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> post = sb.load("leaderboard")
    >>> len(post.benchmarks)
    12
    """
    asked = str(name)
    if isinstance(name, Path) or asked.endswith(".nc") or "/" in asked or os.sep in asked:
        path = user_path(name)
    else:
        root = shipped("models")
        fitted = sorted(p.parent.name for p in root.glob("*/posterior.nc"))
        if asked not in fitted:
            raise unknown("posterior", asked, fitted, "A path ends in .nc or has a separator.")
        path = root / asked / "posterior.nc"
    tree = read(Posterior, path, "spec")
    spec = Sloth.from_toml(str(tree.attrs["spec"]))
    if "untold" in tree.attrs:
        tree["posterior"] = xr.DataTree(untold.filled_in(tree, spec, int(tree.attrs["untold"])))
    return Posterior(tree, spec)
