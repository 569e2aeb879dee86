"""Skills of a posterior, rotated and named: an object of draws, and the tables that it makes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import DataError, check_known
from ..law import equations, terms
from ..law.equations import LOSS
from ..posterior.base import in_chains, merge_chains
from ..posterior.core import PosteriorDraws
from ..predict.candidates import completed
from ..predict.new_effects import effects_of
from ..support.checks import check_prob
from ..support.frames import listed
from ..support.html import shown
from ..support.intervals import lower_and_upper, summarise
from . import rotation as rotate
from .names import checked_names
from .rotated_draws import skill_draws


@dataclasses.dataclass(eq=False)
class Skills:
    """Rotated and standardised skills of a posterior, draw by draw.

    Made by :meth:`sloth_bayes.Posterior.skills`. A unit of skill is a standard deviation over
    the models of the table, whose mean skill is 0. Loadings are logits of a benchmark's
    predictor per unit of skill.

    Attributes
    ----------
    draws : xarray.Dataset
        In double precision, dims chain, draw and: ``loading`` (benchmark, skill),
        ``correlation`` (skill, with_skill), ``model_skill`` (model, skill), ``family_skill``
        (family, skill: a model of the family at the table's typical size and tokens, tuned if
        the family is), ``slope`` (input, skill: a doubling's effect), ``instruct`` (skill),
        ``bias`` (benchmark, of an average model), and, of skills as they were sampled,
        ``centre`` (sampled) and ``transform`` (sampled, skill): rotated skills are
        ``(sampled - centre) @ transform``.
    rotation : str
        The rotation that was made; ``"none"`` for one skill or identity loadings.
    quality : pandas.DataFrame
        How well draws match the reference, a row a skill: median and 5% quantile of Tucker's
        congruence of its loadings, share of draws with a congruence of at least 0.85 (fair
        similarity), and the largest R-hat of its loadings (with two chains or more).
    ambiguous : float
        Share of draws whose assignment to the reference's skills is no more than 0.1 (in mean
        congruence) better than the second best.
    optima : pandas.DataFrame
        Local minima of the criterion on the average solution: value, starts that ended there.
    prob : float
        Mass of the central intervals in tables.
    messages : tuple of str
        What to keep in mind.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> skills = sb.load("leaderboard").skills(draws=200)
    >>> skills.names[:2]
    ['reasoning', 'knowledge']
    >>> skills.loadings().columns.tolist()[:4]
    ['benchmark', 'skill', 'mean', 'median']
    """

    draws: xr.Dataset
    posterior: PosteriorDraws
    _: KW_ONLY
    rotation: str
    quality: pd.DataFrame
    ambiguous: float
    optima: pd.DataFrame
    prob: float
    messages: tuple[str, ...]
    reference: rotate.Reference
    kept: np.ndarray  # which of the posterior's draws, chains one after another
    over: list[str]  # the models that skills are standardised over

    # -- what is in it -----------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """Names of the skills, in order."""
        return [str(v) for v in self.draws["skill"].values]

    @property
    def benchmarks(self) -> list[str]:
        """Benchmarks, in the order of the table."""
        return [str(v) for v in self.draws["benchmark"].values]

    def __repr__(self) -> str:
        sizes = self.draws.sizes
        return (
            f"<sloth_bayes.Skills by {self.rotation}: {', '.join(self.names)}; "
            f"{sizes['chain'] * sizes['draw']} draws, {sizes['benchmark']} benchmarks, "
            f"{sizes['model']} models>"
        )

    def _repr_html_(self) -> str:
        of, notes = self.posterior.standing, self.messages
        return shown(repr(self), self.table(), standing=of, notes=notes, index=True)

    def rename(self, names: Sequence[str] | Mapping[str, str]) -> Skills:
        """The same skills under other names.

        Parameters
        ----------
        names
            One name a skill, in order; or a mapping from present names to new ones.

        Raises
        ------
        UnknownNameError
            If the mapping names a skill that is not there.
        DataError
            If there are too few or too many names, or two alike.

        Examples
        --------
        >>> import sloth_bayes as sb
        >>> sb.load("leaderboard").skills(draws=100).rename({"reasoning": "maths"}).names[0]
        'maths'
        """
        if isinstance(names, Mapping):
            check_known("skill", names, self.names)
            names = [names.get(name, name) for name in self.names]
        new = checked_names(names, len(self.names))
        draws = self.draws.assign_coords(skill=new, with_skill=new)
        quality = self.quality.set_axis(pd.Index(new, name="skill"))
        return dataclasses.replace(self, draws=draws, quality=quality)

    # -- tables --------------------------------------------------------------------------

    def loadings(self, prob: float | None = None) -> pd.DataFrame:
        """What each benchmark needs: logits per standard deviation of each skill.

        Parameters
        ----------
        prob
            Mass of the central interval; that of the object by default.

        Returns
        -------
        pandas.DataFrame
            benchmark, skill, mean, median, sd, lower, upper, p_positive (probability that the
            loading is above 0), prob.
        """
        return self._frame("loading", prob, "benchmark", "skill")

    def table(self, prob: float | None = None) -> pd.DataFrame:
        """Loadings for reading: benchmark x skill, ``mean [lower, upper]``.

        A star stands where the sign is certain: the probability of one sign is above 0.95.
        """
        found = self.loadings(prob)
        sure = (found["p_positive"] > 0.95) | (found["p_positive"] < 0.05)
        text = [
            f"{m:.2f} [{a:.2f}, {b:.2f}]{'*' if s else ' '}"
            for m, a, b, s in zip(found["mean"], found["lower"], found["upper"], sure)
        ]
        wide = found.assign(text=text).pivot(index="benchmark", columns="skill", values="text")
        return wide.loc[self.benchmarks, self.names]

    def correlations(self, prob: float | None = None) -> pd.DataFrame:
        """Correlations of the skills over the models of the table, a row a pair.

        Returns
        -------
        pandas.DataFrame
            skill, with_skill, mean, median, sd, lower, upper, p_positive, prob.
        """
        found = self._frame("correlation", prob, "skill", "with_skill")
        above = np.triu(np.ones((len(self.names), len(self.names)), bool), 1)
        return found[above.ravel()].reset_index(drop=True)

    def communality(self, prob: float | None = None) -> pd.DataFrame:
        """How much of a benchmark its skills explain, and how much is its own.

        Of the predictor's variance over the models of the table: ``communality`` is the share
        of the skills, against that of the families' residuals at this benchmark (the two are
        independent a priori; their covariance in the table belongs to neither and is left out).

        Returns
        -------
        pandas.DataFrame
            benchmark; communality, with lower and upper; own (its complement); skills_sd and
            own_sd, both in logits; prob.
        """
        prob = check_prob(self.prob if prob is None else prob)
        loading, phi = self.merged("loading"), self.merged("correlation")
        common = np.einsum("sjk,skl,sjl->sj", loading, phi, loading, optimize=True)
        post = self.posterior
        residual = terms.residuals(post.merged, post.known_effects())
        own = np.zeros_like(common)
        if residual is not None:
            rows = np.searchsorted(self.posterior.models, self.over)
            own = residual[self.kept][:, rows].var(1, dtype=np.float64)
        share = common / (common + own)
        low, high = lower_and_upper(share, prob)
        return pd.DataFrame(
            {
                "benchmark": self.benchmarks,
                "communality": share.mean(0),
                "lower": low,
                "upper": high,
                "own": 1 - share.mean(0),
                "skills_sd": np.sqrt(common).mean(0),
                "own_sd": np.sqrt(own).mean(0),
                "prob": prob,
            }
        )

    def models(self, prob: float | None = None) -> pd.DataFrame:
        """Skills of every model of the fit, in standard deviations from the mean model.

        Returns
        -------
        pandas.DataFrame
            model, family, lineage, instruct, params_b, tokens_t, skill, mean, median, sd,
            lower, upper, p_positive, prob.
        """
        about = self.posterior.model_table().reset_index()
        return about.merge(self._frame("model_skill", prob, "model", "skill"), on="model")

    def families(
        self,
        instruct: bool | None = None,
        families: str | Iterable[str] | None = None,
        prob: float | None = None,
    ) -> pd.DataFrame:
        """Efficiency of families: their skill at the table's typical size and tokens, ranked.

        Parameters
        ----------
        instruct
            True: only tuned families, False: only base families; all by default.
        families
            The families to rank; by default every one of the fit.
        prob
            Mass of the central intervals.

        Returns
        -------
        pandas.DataFrame
            Best first within each skill: skill, family, lineage, instruct, n_models, mean,
            median, sd, lower, upper, p_positive; rank (posterior median among the families
            shown, 1 is best), rank_lower, rank_upper, p_best; prob.

        Raises
        ------
        UnknownNameError
            If a family is not of the fit.
        DataError
            If no family is left.
        """
        prob = check_prob(self.prob if prob is None else prob)
        about = self.posterior.family_table()
        chosen = list(about.index) if families is None else listed(families)
        check_known("family", chosen, about.index)
        if instruct is not None:
            chosen = [f for f in chosen if about.loc[f, "instruct"] == instruct]
        if not chosen:
            raise DataError("no family is left to rank: instruct and families exclude them all")
        index = about.index.get_indexer(chosen)
        values = np.swapaxes(self.merged("family_skill")[:, index], 1, 2)
        rank = (-values).argsort(-1).argsort(-1) + 1
        low, high = lower_and_upper(rank, prob)
        labels = _crossed(skill=self.names, family=chosen).join(about, on="family")
        found = self._summary(
            labels, values, prob, rank=np.median(rank, axis=0), rank_lower=low, rank_upper=high,
            p_best=(rank == 1).mean(0),
        )  # fmt: skip
        skill = np.repeat(np.arange(len(self.names)), len(chosen))
        return found.iloc[np.lexsort((-found["mean"], skill))].reset_index(drop=True)

    def superiority(self, skill: str, families: Iterable[str] | None = None) -> pd.DataFrame:
        """Probability that the row's family is more efficient at a skill than the column's.

        Parameters
        ----------
        skill
            Name of the skill.
        families
            Families to compare; all by default.

        Returns
        -------
        pandas.DataFrame
            Square; the diagonal is missing.

        Raises
        ------
        UnknownNameError
            If the skill or a family is not there.

        Examples
        --------
        >>> import sloth_bayes as sb
        >>> skills = sb.load("leaderboard").skills(draws=400)
        >>> p = skills.superiority("reasoning", ["qwen2", "opt"])
        >>> bool(p.loc["qwen2", "opt"] > 0.9)
        True
        """
        check_known("skill", [skill], self.names)
        known = self.posterior.families
        chosen = known if families is None else list(families)
        check_known("family", chosen, known)
        at = [known.index(f) for f in chosen]
        values = self.merged("family_skill")[:, at, self.names.index(skill)]
        above = np.stack([(values[:, [i]] > values).mean(0) for i in range(len(chosen))])
        np.fill_diagonal(above, np.nan)
        return pd.DataFrame(above, index=chosen, columns=chosen)

    def coefficients(self, prob: float | None = None) -> pd.DataFrame:
        """Coefficients of the law in units of skill: the effect of a doubling.

        Those of size and tokens hold at the table's typical size and tokens (the geometric
        means); that of the product is the change that a doubling of one makes to the effect of
        a doubling of the other. A row ``instruct`` is what instruction tuning adds.

        Returns
        -------
        pandas.DataFrame
            input, skill, mean, median, sd, lower, upper, p_positive, prob.
        """
        self.posterior.needs_sizes("the effect of a doubling")
        found = self._frame("slope", prob, "input", "skill")
        if "instruct" in self.draws:
            tuned = self._frame("instruct", prob, "skill").assign(input="instruct")
            found = pd.concat([found, tuned], ignore_index=True)
        return found

    def elasticities(
        self,
        params_b: float | Sequence[float] | None = None,
        tokens_t: float | Sequence[float] | None = None,
        prob: float | None = None,
    ) -> pd.DataFrame:
        """What a doubling of size, or of tokens, adds to each skill at given points.

        Parameters
        ----------
        params_b, tokens_t
            Size in billions of parameters and tokens in trillions: numbers or lists, which pair
            up like NumPy broadcasting; by default the table's typical ones.
        prob
            Mass of the central interval.

        Returns
        -------
        pandas.DataFrame
            params_b, tokens_t, of (``"size"`` or ``"tokens"``), skill, mean, median, sd, lower,
            upper, p_positive, prob; in standard deviations of skill per doubling. A law without
            tokens has no rows for them.

        Raises
        ------
        DataError
            If a size or number of tokens is not positive, or lists do not pair up.

        Examples
        --------
        >>> import sloth_bayes as sb
        >>> skills = sb.load("leaderboard").skills(draws=200)
        >>> e = skills.elasticities(params_b=[1, 70], tokens_t=2)
        >>> e["of"].tolist()[::3]
        ['size', 'tokens', 'size', 'tokens']
        """
        self.posterior.needs_sizes("the effect of a doubling")
        typical = np.exp(self.posterior.constant("centre"))
        given = zip((params_b, tokens_t), typical)
        sizes, tokens = _pair(*(usual if value is None else value for value, usual in given))
        kind, slope = self.posterior.spec.inputs, self.merged("slope")
        here = self._inputs(sizes, tokens)
        steps = {"size": self._inputs(2 * sizes, tokens) - here}
        if kind != "size":
            steps["tokens"] = self._inputs(sizes, 2 * tokens) - here
        values = np.stack([step @ slope for step in steps.values()], axis=2)
        labels = _crossed(point=range(sizes.size), of=list(steps), skill=self.names)
        point = labels.pop("point")
        labels.insert(0, "params_b", sizes[point])
        labels.insert(1, "tokens_t", tokens[point])
        return self._summary(labels, values, prob)

    def tuning(self, prob: float | None = None) -> pd.DataFrame:
        """What tuning did to the skills of each tuned family, against its base family.

        The base family is the one of the lineage whose name the tuned one's begins with, else
        the one of the lineage's own name, else the one with the most models. Both are taken at
        one size and number of tokens.

        Returns
        -------
        pandas.DataFrame
            family, base, skill, mean, median, sd, lower, upper, p_positive, prob; empty if no
            lineage has both.
        """
        pairs, known = self.pairs(), self.posterior.families
        tuned, base = ([known.index(f) for f in names] for names in (pairs, pairs.values()))
        values = self.merged("family_skill")
        labels = _crossed(family=list(pairs), skill=self.names)
        labels.insert(1, "base", labels["family"].map(pairs))
        return self._summary(labels, values[:, tuned] - values[:, base], prob)

    def of(
        self, candidates: pd.DataFrame, seed: int = 0, *, new_family: bool = False
    ) -> xr.DataArray:
        """Skills of any models, as the posterior would forecast them.

        Parameters
        ----------
        candidates
            As :meth:`sloth_bayes.Posterior.forecast` takes them.
        seed, new_family
            As there.

        Returns
        -------
        xarray.DataArray
            chain, draw, model, skill.

        Raises
        ------
        UnknownNameError, DataError
            As there.

        Examples
        --------
        >>> import sloth_bayes as sb
        >>> skills = sb.load("leaderboard").skills(draws=200)
        >>> skills.of(sb.candidates("meta-llama-3", 405, 15)).dims
        ('chain', 'draw', 'model', 'skill')
        """
        rows = completed(self.posterior, candidates, new_family)
        every = skill_draws(self.posterior, effects_of(self.posterior, rows, seed))[self.kept]
        values = (every - self.merged("centre")[:, None]) @ self.merged("transform")
        return self._labelled(values, model=rows["model"].to_numpy(str))

    def surface(
        self, params_b: Sequence[float] | np.ndarray, tokens_t: Sequence[float] | np.ndarray
    ) -> xr.DataArray:
        """Skills over size x tokens, without the family: 0 at the typical size and tokens.

        Parameters
        ----------
        params_b, tokens_t
            Sizes (billions) and tokens (trillions); every pair is evaluated.

        Returns
        -------
        xarray.DataArray
            chain, draw, params_b, tokens_t, skill.
        """
        self.posterior.needs_sizes("a surface over size and tokens")
        sizes, tokens = (np.asarray(a, float) for a in (params_b, tokens_t))
        _positive(sizes, tokens)
        x = self._inputs(*map(np.ravel, np.meshgrid(sizes, tokens, indexing="ij")))
        values = (x @ self.merged("slope")).reshape(-1, sizes.size, tokens.size, len(self.names))
        return self._labelled(values, params_b=sizes, tokens_t=tokens)

    # -- plots ---------------------------------------------------------------------------

    def plot(self, kind: str = "loadings", **options: Any) -> np.ndarray[Any, Any]:
        """Draw one of the figures of :mod:`sloth_bayes.plots` on skills.

        Parameters
        ----------
        kind
            ``"loadings"``, ``"loadings_forest"``, ``"level_curves"``, ``"base_and_tuned"``,
            ``"skills_and_compute"`` or ``"skill_correlations"``.
        **options
            Those of the function.

        Returns
        -------
        numpy.ndarray of matplotlib.axes.Axes

        Raises
        ------
        UnknownNameError
            If there is no such figure.
        """
        from ..plots import skills as plots

        check_known("figure", [kind], plots.FIGURES)
        return np.asarray(getattr(plots, kind)(self, **options))

    # -- behind the tables ---------------------------------------------------------------

    def merged(self, name: str) -> np.ndarray:
        """A variable's draws, chains one after another, ``(S, ...)``. For the layers above."""
        return merge_chains(self.draws[name])

    def _labelled(self, values: np.ndarray, **coords: np.ndarray) -> xr.DataArray:
        """Skills of draws, ``(S, ..., skill)``, over the dimensions of `coords`."""
        variables = {"skills": ((*coords, "skill"), values)}
        found = in_chains(self.draws, variables, **coords, skill=self.names)
        return found["skills"].rename(None)

    def _frame(self, name: str, prob: float | None, *dims: str) -> pd.DataFrame:
        """A variable, summarised: one row an entry, a column a dimension."""
        labels = _crossed(**{dim: self.draws[dim].values.astype(str) for dim in dims})
        return self._summary(labels, self.merged(name), prob)

    def _summary(
        self, labels: pd.DataFrame, values: np.ndarray, prob: float | None, **more: np.ndarray
    ) -> pd.DataFrame:
        """What draws ``(S, ...)`` say of each labelled entry, and what else there is of each."""
        prob = check_prob(self.prob if prob is None else prob)
        columns = {k: v.ravel() for k, v in (summarise(values, prob) | more).items()}
        return labels.assign(**columns, prob=prob)

    def _inputs(self, sizes: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        post, (size, token) = self.posterior, np.broadcast_arrays(np.log(sizes), np.log(tokens))
        kept = post.tree["posterior"].to_dataset().sel(draw=self.draws["draw"])
        loss = terms.of_loss({name: merge_chains(kept[name]) for name in LOSS if name in kept})
        centre = post.constant("centre")
        found = equations.raw_inputs(post.spec.inputs, size, token, centre, np, values=loss)
        return np.asarray(found)

    def pairs(self) -> dict[str, str]:
        """Tuned families and the base family of each. For the layers above."""
        about = self.posterior.family_table()
        pairs = {}
        for family, lineage in about.loc[about["instruct"], "lineage"].items():
            bases = about[(about["lineage"] == lineage) & ~about["instruct"]]
            alike = [str(b) for b in bases.index if str(family).startswith(str(b))]
            if alike:
                pairs[str(family)] = max(alike, key=len)
            elif len(bases):
                named = lineage in bases.index
                pairs[str(family)] = str(lineage if named else bases["n_models"].idxmax())
        return pairs


def _crossed(**labels: Iterable[Any]) -> pd.DataFrame:
    """Every combination, the last label running fastest."""
    index = pd.MultiIndex.from_product(list(labels.values()), names=list(labels))
    return index.to_frame(index=False)


def _positive(*arrays: np.ndarray) -> None:
    for values in arrays:
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise DataError(
                "sizes (billions of parameters) and tokens (trillions) must be positive numbers"
            )


def _pair(sizes: Any, tokens: Any) -> tuple[np.ndarray, np.ndarray]:
    try:
        a, b = np.broadcast_arrays(np.atleast_1d(sizes), np.atleast_1d(tokens))
        a, b = a.astype(float), b.astype(float)
    except (TypeError, ValueError):
        raise DataError(
            "params_b and tokens_t must be numbers, or lists of one length that pair up"
        ) from None
    _positive(a, b)
    return a, b
