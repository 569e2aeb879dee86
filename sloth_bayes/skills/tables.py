"""Skills of a posterior, rotated and named: an object of draws, and the tables that it makes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import DataError, unknown
from ..law import equations
from ..posterior.core import PosteriorDraws
from ..predict.candidates import completed
from ..predict.new_effects import effects_of
from ..support.checks import check_prob
from ..support.intervals import SUMMARY, lower_and_upper, summarise
from . import rotation as rotate
from .names import checked_names
from .rotated_draws import sampled


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
        posterior: PosteriorDraws,
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
        self.posterior = posterior
        self.reference = reference
        self.kept = kept  # which of the posterior's draws, chains one after another
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
        new = checked_names(names, len(self.names))
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
        prob = check_prob(self.prob if prob is None else prob)
        loading, phi = self.merged("loading"), self.merged("correlation")
        common = np.einsum("sjk,skl,sjl->sj", loading, phi, loading, optimize=True)
        residual = self.posterior.known_effects().residual
        own = np.zeros_like(common)
        if residual is not None:
            rows = np.searchsorted(self.posterior.models, self._models)
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
        constant = self.posterior.constant_data
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
        prob = check_prob(self.prob if prob is None else prob)
        about = self.posterior.family_table()
        chosen = list(about.index) if families is None else list(families)
        for name in chosen:
            if name not in about.index:
                raise unknown("family", name, list(about.index))
        if instruct is not None:
            chosen = [f for f in chosen if about.loc[f, "instruct"] == instruct]
        if not chosen:
            raise DataError("no family is left to rank: instruct and families exclude them all")
        index = [list(about.index).index(f) for f in chosen]
        values = self.merged("family_skill")[:, index]
        rank = (-values).argsort(1).argsort(1) + 1
        low, high = lower_and_upper(rank, prob)
        parts = []
        for k, name in enumerate(self.names):
            part = about.loc[chosen].reset_index()
            part.insert(0, "skill", name)
            for column, numbers in summarise(values[:, :, k], prob).items():
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
        known = self.posterior.families
        chosen = known if families is None else list(families)
        for name in chosen:
            if name not in known:
                raise unknown("family", name, known)
        values = self.merged("family_skill")[:, [known.index(f) for f in chosen], k]
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
        prob = check_prob(self.prob if prob is None else prob)
        typical = np.exp(self._centre())
        given = [
            typical[i] if value is None else value for i, value in enumerate((params_b, tokens_t))
        ]
        sizes, tokens = _pair(*given)
        kind, slope = self.posterior.spec.inputs, self.merged("slope")
        here = self._inputs(sizes, tokens)
        steps = {"size": self._inputs(2 * sizes, tokens) - here}
        if kind != "size":
            steps["tokens"] = self._inputs(sizes, 2 * tokens) - here
        parts = []
        for i in range(sizes.size):
            for of, step in steps.items():
                part = pd.DataFrame(summarise(np.einsum("p,spk->sk", step[i], slope), prob))
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
        prob = check_prob(self.prob if prob is None else prob)
        values, known = self.merged("family_skill"), self.posterior.families
        parts = []
        for family, base in self.pairs().items():
            gain = values[:, known.index(family)] - values[:, known.index(base)]
            part = pd.DataFrame(summarise(gain, prob))
            for place, (column, value) in enumerate(
                {"family": family, "base": base, "skill": self.names}.items()
            ):
                part.insert(place, column, value)
            parts.append(part.assign(prob=prob))
        columns = ["family", "base", "skill", *SUMMARY, "prob"]
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
        rows = completed(self.posterior, candidates, new_family)
        every = sampled(self.posterior, effects_of(self.posterior, rows, seed))
        values = self._turned(every[self.kept])
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
        values = np.einsum("abp,spk->sabk", x, self.merged("slope"), optimize=True)
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
        from ..plots import skills as plots

        if kind not in plots.FIGURES:
            raise unknown("figure", kind, plots.FIGURES)
        axes: np.ndarray[Any, Any] = getattr(plots, kind)(self, **options)
        return axes

    # -- behind the tables ---------------------------------------------------------------

    def merged(self, name: str) -> np.ndarray:
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
        prob = check_prob(self.prob if prob is None else prob)
        values = self.merged(name)
        labels = [[str(v) for v in self.draws[dim].values] for dim in dims]
        out = pd.DataFrame(list(itertools.product(*labels)), columns=list(dims))
        for column, numbers in summarise(values.reshape(len(values), -1), prob).items():
            out[column] = numbers
        return out.assign(prob=prob)

    def _skill(self, name: str) -> int:
        if name not in self.names:
            raise unknown("skill", name, self.names)
        return self.names.index(name)

    def _turned(self, sampled: np.ndarray) -> np.ndarray:
        """Skills as they were sampled, ``(S, M, d)``, in the rotated and standardised units."""
        out: np.ndarray = (sampled - self.merged("centre")[:, None]) @ self.merged("transform")
        return out

    def _centre(self) -> np.ndarray:
        return self.posterior.constant("centre")

    def _inputs(self, sizes: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        sizes, tokens = np.broadcast_arrays(sizes, tokens)
        kind = self.posterior.spec.inputs
        out: np.ndarray = equations.raw_inputs(
            kind, np.log(sizes), np.log(tokens), self._centre(), np
        )
        return out

    def pairs(self) -> dict[str, str]:
        """Tuned families and the base family of each: see :meth:`tuning`."""
        about = self.posterior.family_table()
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
