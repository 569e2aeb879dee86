"""Skills that people can read: rotated, standardised, aligned over draws, with names.

A posterior knows the skills of a model only up to an invertible matrix: loadings times one and
skills times the inverse of its transpose give the same scores (Maia Polo et al., 2024, appendix
A). Here, in every draw, skills get mean zero and variance one over the models of the table; then
the loadings are rotated, obliquely by default, so that each benchmark needs few skills; and then
the skills are put in the order and given the signs of one reference. What all draws agree on is
a property of the data, and the intervals say what is not.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.optimize import linear_sum_assignment

from . import forecast, law
from . import rotation as rotate
from .errors import DataError, SpecError, unknown
from .posterior import Posterior

# The benchmarks by which the paper reads its skills (section 4.3), where names come from.
READING: dict[str, tuple[str, ...]] = {
    "reasoning": ("GSM8K", "MATH Lvl 5", "GPQA", "MMLU", "MMLU-PRO", "BBH", "MUSR"),
    "knowledge": ("ARC", "HellaSwag", "Winogrande"),
    "instruction following": ("IFEval", "TruthfulQA"),
}
_AMBIGUOUS = 0.1  # congruence by which a draw's best assignment beats its second best
_SUMMARY = ["mean", "median", "sd", "lower", "upper", "p_positive"]


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

    def __init__(
        self,
        draws: xr.Dataset,
        posterior: Posterior,
        *,
        rotation: str,
        quality: pd.DataFrame,
        ambiguous: float,
        optima: pd.DataFrame,
        prob: float,
        messages: tuple[str, ...],
        reference: rotate.Reference,
        kept: np.ndarray,
        models: list[str],
    ) -> None:
        self.draws = draws
        self.rotation = rotation
        self.quality = quality
        self.ambiguous = ambiguous
        self.optima = optima
        self.prob = prob
        self.messages = messages
        self._posterior = posterior
        self._reference = reference
        self._kept = kept  # which of the posterior's draws, chains one after another
        self._models = models  # those that skills are standardised over

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
        return self.table().to_html()

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
            for name in names:
                if name not in self.names:
                    raise unknown("skill", name, self.names)
            names = [names.get(name, name) for name in self.names]
        new = _checked_names(names, len(self.names))
        draws = self.draws.assign_coords(skill=new, with_skill=new)
        quality = self.quality.set_axis(pd.Index(new, name="skill"))
        other = Skills.__new__(Skills)
        other.__dict__.update(self.__dict__, draws=draws, quality=quality)
        return other

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
        place = {name: k for k, name in enumerate(self.names)}
        first, second = found["skill"].map(place), found["with_skill"].map(place)
        return found[first < second].reset_index(drop=True)

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
        prob = forecast.check_prob(self.prob if prob is None else prob)
        loading, phi = self._merged("loading"), self._merged("correlation")
        common = np.einsum("sjk,skl,sjl->sj", loading, phi, loading, optimize=True)
        residual = self._posterior._known_effects().residual
        own = np.zeros_like(common)
        if residual is not None:
            rows = np.searchsorted(self._posterior.models, self._models)
            own = residual[self._kept][:, rows].var(1, dtype=np.float64)
        share = common / (common + own)
        low, high = _ends(share, prob)
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
        constant = self._posterior._tree["constant_data"].to_dataset()
        about = pd.DataFrame(
            {
                "model": constant["model"].values.astype(str),
                "family": constant["family_of_model"].values.astype(str),
                "lineage": constant["lineage_of_model"].values.astype(str),
                "instruct": constant["instruct"].values.astype(bool),
                "params_b": constant["params_b"].values,
                "tokens_t": constant["tokens_t"].values,
            }
        )
        return about.merge(self._frame("model_skill", prob, "model", "skill"), on="model")

    def families(
        self,
        instruct: bool | None = None,
        families: Iterable[str] | None = None,
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
        prob = forecast.check_prob(self.prob if prob is None else prob)
        about = self._family_table()
        chosen = list(about.index) if families is None else list(families)
        for name in chosen:
            if name not in about.index:
                raise unknown("family", name, list(about.index))
        if instruct is not None:
            chosen = [f for f in chosen if about.loc[f, "instruct"] == instruct]
        if not chosen:
            raise DataError("no family is left to rank: instruct and families exclude them all")
        index = [list(about.index).index(f) for f in chosen]
        values = self._merged("family_skill")[:, index]
        rank = (-values).argsort(1).argsort(1) + 1
        low, high = _ends(rank, prob)
        parts = []
        for k, name in enumerate(self.names):
            part = about.loc[chosen].reset_index()
            part.insert(0, "skill", name)
            for column, numbers in _summarise(values[:, :, k], prob).items():
                part[column] = numbers
            part["rank"] = np.median(rank[:, :, k], axis=0)
            part["rank_lower"], part["rank_upper"] = low[:, k], high[:, k]
            part["p_best"] = (rank[:, :, k] == 1).mean(0)
            parts.append(part.sort_values("mean", ascending=False, kind="stable"))
        return pd.concat(parts, ignore_index=True).assign(prob=prob)

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
        k = self._skill(skill)
        known = self._posterior.families
        chosen = known if families is None else list(families)
        for name in chosen:
            if name not in known:
                raise unknown("family", name, known)
        values = self._merged("family_skill")[:, [known.index(f) for f in chosen], k]
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
        found = self._frame("slope", prob, "input", "skill")
        if "instruct" in self.draws:
            tuned = self._frame("instruct", prob, "skill")
            tuned.insert(0, "input", "instruct")
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
        prob = forecast.check_prob(self.prob if prob is None else prob)
        typical = np.exp(self._centre())
        given = [
            typical[i] if value is None else value for i, value in enumerate((params_b, tokens_t))
        ]
        sizes, tokens = _pair(*given)
        kind, slope = self._posterior.spec.inputs, self._merged("slope")
        here = self._inputs(sizes, tokens)
        steps = {"size": self._inputs(2 * sizes, tokens) - here}
        if kind != "size":
            steps["tokens"] = self._inputs(sizes, 2 * tokens) - here
        parts = []
        for i in range(sizes.size):
            for of, step in steps.items():
                part = pd.DataFrame(_summarise(np.einsum("p,spk->sk", step[i], slope), prob))
                part.insert(0, "skill", self.names)
                part.insert(0, "of", of)
                part.insert(0, "tokens_t", tokens[i])
                part.insert(0, "params_b", sizes[i])
                parts.append(part)
        return pd.concat(parts, ignore_index=True).assign(prob=prob)

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
        prob = forecast.check_prob(self.prob if prob is None else prob)
        values, known = self._merged("family_skill"), self._posterior.families
        parts = []
        for family, base in self._pairs().items():
            gain = values[:, known.index(family)] - values[:, known.index(base)]
            part = pd.DataFrame(_summarise(gain, prob))
            for place, (column, value) in enumerate(
                {"family": family, "base": base, "skill": self.names}.items()
            ):
                part.insert(place, column, value)
            parts.append(part.assign(prob=prob))
        columns = ["family", "base", "skill", *_SUMMARY, "prob"]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)

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
        rows = forecast._complete(self._posterior, candidates, new_family)
        sampled = _sampled(self._posterior, forecast._effects(self._posterior, rows, seed))
        values = self._turned(sampled[self._kept])
        return self._labelled(values, "model", model=rows["model"].to_numpy(str))

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
        sizes, tokens = (np.asarray(a, float) for a in (params_b, tokens_t))
        _positive(sizes, tokens)
        x = self._inputs(sizes[:, None], tokens[None, :])
        values = np.einsum("abp,spk->sabk", x, self._merged("slope"), optimize=True)
        return self._labelled(values, "params_b", "tokens_t", params_b=sizes, tokens_t=tokens)

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
        from . import skillplots

        if kind not in skillplots.FIGURES:
            raise unknown("figure", kind, skillplots.FIGURES)
        axes: np.ndarray[Any, Any] = getattr(skillplots, kind)(self, **options)
        return axes

    # -- behind the tables ---------------------------------------------------------------

    def _merged(self, name: str) -> np.ndarray:
        values = self.draws[name].values
        out: np.ndarray = values.reshape(-1, *values.shape[2:])
        return out

    def _labelled(self, values: np.ndarray, *dims: str, **coords: Any) -> xr.DataArray:
        sizes = self.draws.sizes
        full = values.reshape(sizes["chain"], sizes["draw"], *values.shape[1:])
        shared = {k: self.draws[k].values for k in ("chain", "draw", "skill")}
        return xr.DataArray(full, dims=("chain", "draw", *dims, "skill"), coords=shared | coords)

    def _frame(self, name: str, prob: float | None, *dims: str) -> pd.DataFrame:
        """A variable, summarised: one row an entry, a column a dimension."""
        prob = forecast.check_prob(self.prob if prob is None else prob)
        values = self._merged(name)
        labels = [[str(v) for v in self.draws[dim].values] for dim in dims]
        out = pd.DataFrame(list(itertools.product(*labels)), columns=list(dims))
        for column, numbers in _summarise(values.reshape(len(values), -1), prob).items():
            out[column] = numbers
        return out.assign(prob=prob)

    def _skill(self, name: str) -> int:
        if name not in self.names:
            raise unknown("skill", name, self.names)
        return self.names.index(name)

    def _turned(self, sampled: np.ndarray) -> np.ndarray:
        """Skills as they were sampled, ``(S, M, d)``, in the rotated and standardised units."""
        out: np.ndarray = (sampled - self._merged("centre")[:, None]) @ self._merged("transform")
        return out

    def _centre(self) -> np.ndarray:
        return self._posterior._tree["constant_data"].to_dataset()["centre"].values

    def _inputs(self, sizes: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        sizes, tokens = np.broadcast_arrays(sizes, tokens)
        kind = self._posterior.spec.inputs
        out: np.ndarray = law.raw_inputs(kind, np.log(sizes), np.log(tokens), self._centre(), np)
        return out

    def _family_table(self) -> pd.DataFrame:
        constant = self._posterior._tree["constant_data"].to_dataset()
        frame = pd.DataFrame(
            {
                "family": constant["family_of_model"].values.astype(str),
                "lineage": constant["lineage_of_model"].values.astype(str),
                "instruct": constant["instruct"].values.astype(bool),
            }
        )
        grouped = frame.groupby("family")
        out = pd.DataFrame(
            {
                "lineage": grouped["lineage"].first(),
                "instruct": grouped["instruct"].mean() > 0.5,
                "n_models": grouped.size(),
            }
        )
        return out.loc[self._posterior.families]

    def _pairs(self) -> dict[str, str]:
        """Tuned families and the base family of each: see :meth:`tuning`."""
        about = self._family_table()
        pairs = {}
        for family, row in about[about["instruct"]].iterrows():
            bases = about[(about["lineage"] == row["lineage"]) & ~about["instruct"]]
            if bases.empty:
                continue
            alike = [b for b in bases.index if str(family).startswith(str(b))]
            if alike:
                pairs[str(family)] = str(max(alike, key=len))
            else:
                named = row["lineage"] in bases.index
                pairs[str(family)] = str(row["lineage"] if named else bases["n_models"].idxmax())
        return pairs


def skills(
    post: Posterior,
    rotation: str = "geomin",
    n: int | None = None,
    *,
    target: pd.DataFrame | np.ndarray | None = None,
    names: Sequence[str] | Mapping[str, str] | None = None,
    models: Iterable[str] | None = None,
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
        (the coordinates of the sampler). See :func:`sloth_bayes.rotation.rotate`. A single
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
        paper's (:data:`READING`) are given out one to one so that the skills' shares of their
        benchmarks' squared loadings are largest, and one is kept if that share is half or more;
        any other skill is called after the two benchmarks with the largest loadings on it.
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
    prob = forecast.check_prob(prob)
    d = post._draws["loading"].shape[-1]
    benchmarks = post.benchmarks
    _check_count(n, d, len(benchmarks))
    pattern, columns = _target(target, benchmarks, d)
    rotate.check(rotation, (len(benchmarks), d), pattern, **options)
    chosen = _chosen_models(post, models, d)
    kept = _thinned(post, draws)
    method, messages = _method(post, rotation, d)
    if like is not None:
        _check_like(like, post, d)

    sampled = _sampled(post, post._known_effects())[kept]
    loading = post._draws["loading"][kept].astype(np.float64)
    over = sampled[:, np.searchsorted(post.models, chosen)]
    centre = over.mean(1)
    over = over - centre[:, None]
    covariance = np.swapaxes(over, -1, -2) @ over / len(chosen)
    turned, reference, how = _rotated(
        post, loading, covariance, method, like, seed, pattern, options
    )
    transform, pattern_loading, phi, converged = turned

    tables = _tables(post, kept, sampled, loading, centre, transform)
    tables |= {"loading": pattern_loading, "correlation": phi, "transform": transform}
    if like is not None:
        labels = like.names
    elif post.spec.loadings == "identity":
        labels = list(benchmarks)
    else:
        labels = columns or suggest_names(pattern_loading.mean(0), benchmarks)
    data = _dataset(post, kept, tables | {"centre": centre}, labels)
    quality = _quality(data, how)
    ambiguous = float((how.margin < _AMBIGUOUS).mean()) if d > 1 else 0.0
    messages += _warnings(quality, ambiguous, converged)
    out = Skills(
        data, post, rotation=method, quality=quality, ambiguous=ambiguous,
        optima=pd.DataFrame(reference.optima, columns=["value", "starts"]).astype({"starts": int}),
        prob=prob, messages=tuple(messages), reference=reference, kept=kept, models=chosen,
    )  # fmt: skip
    return out if names is None else out.rename(names)


def suggest_names(loading: np.ndarray, benchmarks: Sequence[str]) -> list[str]:
    """Names for skills by their loadings ``(J, d)``; the rule is that of :func:`skills`.

    Examples
    --------
    >>> import numpy as np
    >>> from sloth_bayes.skills import suggest_names
    >>> suggest_names(np.array([[2, 0.1], [0, 1], [0, 2]]), ["GSM8K", "Mine", "Yours"])
    ['reasoning', 'Yours + Mine']
    """
    loading = np.asarray(loading, float)
    d = loading.shape[1]
    squared = np.maximum(loading, 0.0) ** 2
    share = squared / np.maximum((loading**2).sum(1, keepdims=True), 1e-300)
    concepts = {
        name: [benchmarks.index(b) for b in members if b in benchmarks]
        for name, members in READING.items()
    }
    concepts = {name: members for name, members in concepts.items() if members}
    given: dict[int, str] = {}
    if concepts:
        strength = np.stack([share[members].mean(0) for members in concepts.values()])
        for c, k in zip(*linear_sum_assignment(strength, maximize=True)):
            if strength[c, k] >= 0.5:
                given[int(k)] = list(concepts)[c]
    out: list[str] = []
    for k in range(d):
        top = np.argsort(-loading[:, k], kind="stable")[: min(2, len(benchmarks))]
        plain = " + ".join(benchmarks[j] for j in top)
        name = given.get(k, plain)
        out.append(name if name not in out else f"{name} ({k + 1})")
    return out


# -- steps --------------------------------------------------------------------------------


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
    if isinstance(target, pd.DataFrame):
        for name in target.index:
            if name not in benchmarks:
                raise unknown("benchmark of the target", str(name), benchmarks)
        if target.index.has_duplicates:
            raise DataError("the target names a benchmark twice")
        array: Any = target.reindex(benchmarks).to_numpy()
    else:
        array = target
    try:
        pattern = np.asarray(array, float)
    except (TypeError, ValueError):
        raise DataError("the target must hold numbers, NaN where a loading is free") from None
    if not isinstance(target, pd.DataFrame):
        return pattern, None
    names = [str(c) for c in target.columns]
    return pattern, _checked_names(names, d) if len(names) == d else None


def _checked_names(names: Sequence[str], d: int) -> list[str]:
    if isinstance(names, str):
        raise DataError(f"names must be a list of {d} names, not the text {names!r}")
    out = [str(name) for name in names]
    if len(out) != d:
        raise DataError(f"there are {d} skills, but {len(out)} names: {', '.join(out)}")
    if len(set(out)) < d:
        raise DataError(f"two skills cannot have one name: {', '.join(out)}")
    return out


def _chosen_models(post: Posterior, models: Iterable[str] | None, d: int) -> list[str]:
    known = post.models
    chosen = known if models is None else list(dict.fromkeys(str(m) for m in models))
    for name in chosen:
        if name not in known:
            raise unknown("model", name, known)
    if len(chosen) <= d:
        raise DataError(f"{d} skills need more than {d} models to standardise over")
    return chosen


def _thinned(post: Posterior, draws: int | None) -> np.ndarray:
    """Positions of the draws to keep, chains one after another."""
    sizes = post._tree["posterior"].sizes
    chains, each = int(sizes["chain"]), int(sizes["draw"])
    if draws is None:
        return np.arange(chains * each)
    if not 1 <= draws <= chains * each:
        raise DataError(f"cannot keep {draws} of {chains * each} draws")
    inside = np.linspace(0, each - 1, -(-draws // chains)).round().astype(int)
    out: np.ndarray = (np.arange(chains)[:, None] * each + inside).ravel()
    return out


def _method(post: Posterior, rotation: str, d: int) -> tuple[str, list[str]]:
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


def _check_like(like: Skills, post: Posterior, d: int) -> None:
    if like.benchmarks != post.benchmarks:
        raise DataError("like= has other benchmarks: skills are comparable on the same ones only")
    if len(like.names) != d:
        raise DataError(f"like= has {len(like.names)} skills, this posterior {d}")


def _sampled(post: Posterior, who: Any) -> np.ndarray:
    """Skills ``(S, M, d)`` in the coordinates of the sampler, in double precision."""
    v = post._draws

    def wide(a: np.ndarray | None) -> np.ndarray | None:
        return None if a is None else a.astype(np.float64)

    out: np.ndarray = law.skills(
        who.family.astype(np.float64),
        v["slope"].astype(np.float64),
        who.inputs.astype(np.float64),
        slope_deviation=wide(who.slope_deviation),
        instruct=wide(v.get("instruct")),
        is_instruct=who.instruct.astype(np.float64),
        model_effect=wide(who.model_effect),
    )
    return out


def _rotated(
    post: Posterior,
    loading: np.ndarray,
    covariance: np.ndarray,
    method: str,
    like: Skills | None,
    seed: int,
    pattern: np.ndarray | None,
    options: dict[str, float],
) -> tuple[tuple[np.ndarray, ...], rotate.Reference, rotate.Alignment]:
    """Transform, loadings and correlations of every draw, and how they were matched."""
    if method == "none":
        scale = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
        if not (scale > 0).all():
            raise _flat(post)
        standard = loading * scale[:, None]
        average = standard.mean(0)
        # The sampler's coordinates are the same in all draws: one sign for all of them.
        to = average if like is None else like._reference.loading
        sign = np.where((average * to).sum(0) < 0, -1.0, 1.0)
        if like is None:
            sign = np.where(average.sum(0) < 0, -1.0, 1.0)
            to = average * sign
        standard = standard * sign
        transform = np.eye(loading.shape[2]) * (sign / scale)[:, None]
        how = rotate.align(standard, to)
        fixed = np.arange(loading.shape[2])
        cosine = (standard * to).sum(1) / np.maximum(
            np.sqrt((standard**2).sum(1) * (to**2).sum(0)), 1e-300
        )
        how = how._replace(
            order=np.broadcast_to(fixed, how.order.shape), congruence=cosine,
            sign=np.ones_like(how.sign), margin=np.full(len(loading), np.inf),
        )  # fmt: skip
        phi = sign[:, None] * covariance * sign / (scale[:, :, None] * scale[:, None])
        reference = rotate.Reference(to, to, np.eye(loading.shape[2]), np.empty((0, 2)))
        return (transform, standard, phi, np.ones(len(loading), bool)), reference, how
    values, vectors = np.linalg.eigh(covariance)
    if not (values[:, 0] > 1e-9 * values[:, -1]).all():
        raise _flat(post)
    root = np.sqrt(values)[:, None]
    back = np.swapaxes(vectors, -1, -2)
    whitened = loading @ (vectors * root @ back)
    arguments: dict[str, Any] = {"pattern": pattern, **options}
    if like is None:
        reference = rotate.reference(whitened, method, seed, **arguments)
    else:
        reference = like._reference
    found, how = rotate.follow(whitened, method, reference, **arguments)
    transform = (vectors / root @ back) @ found.transform
    return (transform, found.loading, found.correlation, found.converged), reference, how


def _flat(post: Posterior) -> SpecError:
    return SpecError(
        f"the skills of this law (inputs={post.spec.inputs!r}, intercept={post.spec.intercept!r}) "
        "vary over the models in fewer directions than there are skills: fit it with a smaller "
        "n_skills"
    )


def _tables(
    post: Posterior,
    kept: np.ndarray,
    sampled: np.ndarray,
    loading: np.ndarray,
    centre: np.ndarray,
    transform: np.ndarray,
) -> dict[str, np.ndarray]:
    """Everything else that a change of the skills' coordinates changes."""
    v = post._draws
    constant = post._tree["constant_data"].to_dataset()
    instruct = pd.Series(
        constant["instruct"].values, index=constant["family_of_model"].values.astype(str)
    )
    tuned = instruct.groupby(level=0).mean().gt(0.5).loc[post.families].to_numpy(float)
    family = v["family_effect"][kept].astype(np.float64)
    out = {"slope": v["slope"][kept].astype(np.float64) @ transform}
    if "instruct" in v:
        effect = v["instruct"][kept].astype(np.float64)
        family = family + tuned[:, None] * effect[:, None]
        out["instruct"] = (effect[:, None] @ transform)[:, 0]
    out["family_skill"] = (family - centre[:, None]) @ transform
    out["model_skill"] = (sampled - centre[:, None]) @ transform
    out["bias"] = v["bias"][kept] + (loading @ centre[..., None])[..., 0]
    return out


_DIMS: dict[str, tuple[str, ...]] = {
    "loading": ("benchmark", "skill"),
    "correlation": ("skill", "with_skill"),
    "model_skill": ("model", "skill"),
    "family_skill": ("family", "skill"),
    "slope": ("input", "skill"),
    "instruct": ("skill",),
    "bias": ("benchmark",),
    "centre": ("sampled",),
    "transform": ("sampled", "skill"),
}


def _dataset(
    post: Posterior, kept: np.ndarray, tables: dict[str, np.ndarray], names: list[str]
) -> xr.Dataset:
    posterior = post._tree["posterior"].to_dataset()
    chains, each = posterior.sizes["chain"], posterior.sizes["draw"]
    coords: dict[str, Any] = {
        "chain": posterior["chain"].values,
        "draw": posterior["draw"].values[np.unique(kept % each)],
        "benchmark": post.benchmarks,
        "skill": names,
        "with_skill": names,
        "model": post.models,
        "family": post.families,
        "input": posterior["input"].values.astype(str),
        "sampled": posterior["skill"].values.astype(str),
    }
    variables = {
        name: (
            ("chain", "draw", *dims),
            tables[name].reshape(chains, -1, *tables[name].shape[1:]),
        )
        for name, dims in _DIMS.items()
        if name in tables
    }
    return xr.Dataset(variables, coords=coords)


def _quality(data: xr.Dataset, how: rotate.Alignment) -> pd.DataFrame:
    out = pd.DataFrame(
        {
            "congruence": np.median(how.congruence, axis=0),
            "congruence_5%": np.quantile(how.congruence, 0.05, axis=0),
            "similar": (how.congruence >= rotate.FAIR).mean(0),
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


# -- small things ---------------------------------------------------------------------------


def _ends(values: np.ndarray, prob: float) -> np.ndarray:
    ends: np.ndarray = np.quantile(values, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
    return ends


def _summarise(values: np.ndarray, prob: float) -> dict[str, np.ndarray]:
    """Columns of a summary over the first axis."""
    low, high = _ends(values, prob)
    return {
        "mean": values.mean(0),
        "median": np.median(values, axis=0),
        "sd": values.std(0),
        "lower": low,
        "upper": high,
        "p_positive": (values > 0).mean(0),
    }


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
