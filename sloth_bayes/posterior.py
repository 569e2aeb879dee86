"""The posterior: labelled draws, what can be recomputed from them, and its file.

The draws live in an :class:`xarray.DataTree` in ArviZ's schema. Only what was sampled is
stored; ``log_likelihood`` and ``posterior_predictive`` are recomputed exactly (same seed)
when they are asked for. Reading draws needs neither JAX nor NumPyro.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from . import law
from ._drawn import Drawn, read
from ._shipped import shipped
from .errors import unknown
from .spec import Sloth

if TYPE_CHECKING:
    import pandas as pd

    from .allocation import Allocation, Cost
    from .choices import Candidate, Comparison, NextEvaluation
    from .curves import Goal
    from .diagnostics import Diagnostics
    from .downstream import Downstream
    from .forecast import Forecast
    from .observed import Observed
    from .passk import PassAtK
    from .planning import RequiredSize, Saturation
    from .skills import Skills

_TEXT = ("data", "spec")  # attributes that are text, whatever it looks like
_CELLS = 4_000_000  # draws x models x benchmarks evaluated at once: 16 MB an array

# Dimensions of every posterior variable, after chain and draw.
DIMS: dict[str, tuple[str, ...]] = {
    "loading": ("benchmark", "skill"),
    "bias": ("benchmark",),
    "slope": ("input", "skill"),
    "slope_scale": (),
    "slope_lineage": ("lineage", "input", "skill"),
    "slope_family": ("family", "input", "skill"),
    "instruct": ("skill",),
    "lineage_share": (),
    "lineage_effect": ("lineage", "skill"),
    "family_effect": ("family", "skill"),
    "residual_scale": ("benchmark",),
    "residual_share": (),
    "residual_lineage": ("lineage", "benchmark"),
    "residual": ("family", "benchmark"),
    "drift_share": (),
    "drift": ("family", "benchmark"),
    "model_scale": (),
    "model_effect": ("model", "skill"),
    "lower": ("benchmark",),
    "upper": ("benchmark",),
    "link_shape": ("benchmark",),
    "noise_scale": ("benchmark",),
    "sampling_fraction": (),
    "params_b": ("of_unknown_size",),  # of models that were observed without them
    "tokens_t": ("of_unknown_tokens",),
}


@dataclasses.dataclass(frozen=True)
class Effects:
    """What is drawn for each of M models, S draws: the arguments of the law."""

    inputs: np.ndarray  # (M, P), or (S, M, P) where some are unknown
    instruct: np.ndarray  # (M,)
    family: np.ndarray  # (S, M, d)
    residual: np.ndarray | None  # (S, M, J)
    slope_deviation: np.ndarray | None  # (S, M, P, d)
    model_effect: np.ndarray | None  # (S, M, d)


class Posterior(Drawn):
    """Draws of every parameter given a table, and what follows from them.

    Made by :meth:`sloth_bayes.Sloth.fit` or :func:`sloth_bayes.load`, not by hand.

    Attributes
    ----------
    spec : Sloth
        The specification that was fitted.
    """

    FORMAT, FORMAT_VERSION = "sloth_bayes posterior", 1
    NEEDED = ("posterior", "observed_data", "constant_data")

    def __init__(self, tree: xr.DataTree, spec: Sloth) -> None:
        super().__init__(tree)
        self.spec = spec

    # -- what is in it -----------------------------------------------------------------

    @property
    def attrs(self) -> dict[str, Any]:
        """What was fitted, how and with which versions: plain values."""
        attrs = self._tree.attrs
        return {str(k): v if k in _TEXT else _plain(v) for k, v in attrs.items()}

    @property
    def method(self) -> str:
        """``"nuts"``, ``"svi"`` or ``"prior"``."""
        return str(self._tree.attrs["method"])

    def _coord(self, name: str) -> list[str]:
        return [str(v) for v in self._tree["constant_data"].to_dataset()[name].values]

    @property
    def benchmarks(self) -> list[str]:
        """Names of the benchmarks, in the order of the table."""
        return self._coord("benchmark")

    @property
    def families(self) -> list[str]:
        """Families with at least one model in the fit, sorted."""
        return self._coord("family")

    @property
    def lineages(self) -> list[str]:
        """Lineages with at least one model in the fit, sorted."""
        return self._coord("lineage")

    @property
    def models(self) -> list[str]:
        """Models in the fit, sorted."""
        return self._coord("model")

    def _family_table(self) -> pd.DataFrame:
        """Of each family: lineage, instruct (whether most models are tuned), n_models."""
        import pandas as pd

        constant = self._tree["constant_data"].to_dataset()
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
        return out.loc[self.families]

    def __repr__(self) -> str:
        sizes = self._tree["posterior"].sizes
        left_out = len(self.attrs.get("left_out", []))
        without = f"; {left_out} models left out, without size or tokens" if left_out else ""
        return (
            f"<sloth_bayes.Posterior by {self.method.upper()}: {sizes['chain']} chain(s) x "
            f"{sizes['draw']} draws; {len(self.models)} models, {len(self.families)} families, "
            f"{len(self.benchmarks)} benchmarks, {self.attrs['n_scores']} scores{without}>"
        )

    @cached_property
    def data_tree(self) -> xr.DataTree:
        """Everything, as ArviZ expects it.

        Groups ``posterior``, ``sample_stats``, ``observed_data``, ``constant_data``,
        ``log_likelihood`` and ``posterior_predictive``; the last two, and
        ``observed_data``, hold ``score`` over the dimension ``observation`` (observed
        cells only) with coordinates ``obs_model`` and ``obs_benchmark``.

        Examples
        --------
        >>> import sloth_bayes as sb
        >>> sorted(sb.load("leaderboard").data_tree.children)[:2]
        ['constant_data', 'convergence']
        """
        tree = self._tree.copy()
        mu, sd = self._observed_cells()
        data = self._tree["observed_data"].to_dataset()
        score = data["score"].values
        rounding = self._per_observation("rounding")
        log_likelihood = np.empty_like(mu)
        block = max(1, _CELLS // self.n_draws)  # its working memory is many times its result
        for first in range(0, score.size, block):
            at = slice(first, first + block)
            log_likelihood[:, at] = law.log_likelihood(
                score[at], mu[:, at], sd[:, at], self.spec.df, rounding[at], np
            )
        rng = np.random.default_rng([int(self.attrs["seed"]), 1])
        predictive = draw_scores(mu, sd, self.spec.df, rng)
        step = np.where(rounding > 0, rounding, 1.0)
        predictive = np.where(rounding > 0, np.round(predictive / step) * step, predictive)
        for group, values in (
            ("log_likelihood", log_likelihood),
            ("posterior_predictive", predictive),
        ):
            tree[group] = xr.DataTree(self._observation_dataset("score", values))
        return tree

    def expected_scores(self) -> xr.DataArray:
        """Expected score of every observed cell: chain, draw, observation."""
        mu, _ = self._observed_cells()
        return self._observation_dataset("expected", mu)["expected"]

    def _observation_dataset(self, name: str, values: np.ndarray) -> xr.Dataset:
        sizes = self._tree["posterior"].sizes
        shape = (sizes["chain"], sizes["draw"], values.shape[-1])
        data = self._tree["observed_data"].to_dataset()
        coords = {
            "chain": self._tree["posterior"]["chain"].values,
            "draw": self._tree["posterior"]["draw"].values,
            **{k: data.coords[k] for k in ("observation", "obs_model", "obs_benchmark")},
        }
        array = values.reshape(shape).astype(np.float32)
        return xr.Dataset({name: (("chain", "draw", "observation"), array)}, coords=coords)

    def _per_observation(self, name: str) -> np.ndarray:
        constant = self._tree["constant_data"].to_dataset()
        which = self._tree["observed_data"]["obs_benchmark"].values
        return constant[name].sel(benchmark=which).values

    # -- the law at the draws ------------------------------------------------------------

    @cached_property
    def _benchmark_draws(self) -> dict[str, np.ndarray]:
        """Those of :attr:`_draws` that are one number or vector a benchmark, draws together."""
        of_benchmark = [k for k in self._draws if DIMS[k][:1] == ("benchmark",)]
        return {k: draws_together(self._draws[k]) for k in of_benchmark}

    def _cells(self, who: Effects, rows: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Expected score and noise scale ``(S, M, J)`` of the models in `rows`."""
        mu, fraction = self._expected(who, rows)
        return mu, self._noise_sd(mu, fraction)

    def _expected(self, who: Effects, rows: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Expected score, and its fraction of the range, ``(S, M, J)``.

        In memory the draws of a cell lie together: inner loops are long, and quantiles
        need no copy.
        """
        v, of, spec = self._draws, self._benchmark_draws, self.spec

        def part(a: np.ndarray | None) -> np.ndarray | None:
            return None if a is None else a[:, rows]

        theta = law.skills(
            who.family[:, rows],
            v["slope"],
            who.inputs[..., rows, :],
            slope_deviation=part(who.slope_deviation),
            instruct=v.get("instruct"),
            is_instruct=who.instruct[rows],
            model_effect=part(who.model_effect),
        )
        eta = law.predictor(draws_together(theta), of["loading"], part(who.residual), np)
        eta += of["bias"][:, None]
        fraction = law.link(spec.link, eta, of["link_shape"][:, None], np)
        return law.expected(fraction, of["lower"][:, None], of["upper"][:, None]), fraction

    def _noise_sd(self, mu: np.ndarray, fraction: np.ndarray) -> np.ndarray:
        """Noise scale ``(S, M, J)`` at what :meth:`_expected` returns."""
        scale: np.ndarray = law.noise_sd(
            self.spec.noise,
            mu,
            fraction,
            self._benchmark_draws["noise_scale"][:, None],
            self._draws["sampling_fraction"][:, None, None],
            self._tree["constant_data"]["inverse_n"].values,
            np,
        )
        return scale

    def _blocks(self, n_models: int) -> Iterator[slice]:
        """Slices of models small enough to evaluate at once."""
        size = max(1, _CELLS // (self.n_draws * len(self.benchmarks)))
        for first in range(0, n_models, size):
            yield slice(first, min(first + size, n_models))

    def _known_effects(self) -> Effects:
        """The effects of the models in the fit."""
        v = self._draws
        constant = self._tree["constant_data"].to_dataset()
        family = np.searchsorted(self.families, constant["family_of_model"].values.astype(str))
        lineage = np.searchsorted(self.lineages, constant["lineage_of_model"].values.astype(str))
        inputs = self._inputs()
        deviation = None
        if "slope_lineage" in v:
            deviation = v["slope_lineage"][:, lineage]
        elif "slope_family" in v:
            deviation = v["slope_family"][:, family]
        return Effects(
            inputs=inputs,
            instruct=constant["instruct"].values.astype(np.float32),
            family=v["family_effect"][:, family],
            residual=self._residual(family, inputs),
            slope_deviation=deviation,
            model_effect=v.get("model_effect"),
        )

    def _inputs(self) -> np.ndarray:
        """Inputs ``(M, P)`` of the models in the fit; ``(S, M, P)`` if some are unknown."""
        v, constant = self._draws, self._tree["constant_data"].to_dataset()
        if "params_b" not in v and "tokens_t" not in v:
            return constant["inputs"].values
        logs = []
        for name in ("params_b", "tokens_t"):
            values = np.broadcast_to(constant[name].values, (self.n_draws, len(self.models))).copy()
            if name in v:
                of = self._tree["posterior"].to_dataset()[DIMS[name][0]].values.astype(str)
                values[:, np.searchsorted(self.models, of)] = v[name]
            # NaN where the law does not read it
            logs.append(np.nan_to_num(np.log(values), nan=0.0))
        centre = constant["centre"].values
        inputs: np.ndarray = law.raw_inputs(self.spec.inputs, logs[0], logs[1], centre, np)
        return inputs.astype(np.float32)

    def _residual(self, family: np.ndarray, inputs: np.ndarray) -> np.ndarray | None:
        """Residuals ``(S, M, J)`` of models of these families (indices), at these inputs."""
        v = self._draws
        if "residual" not in v:
            return None
        residual = v["residual"][:, family]
        if "drift" in v:
            residual = residual + v["drift"][:, family] * inputs[..., law.TOKENS, None]
        return residual

    def _observed_cells(self) -> tuple[np.ndarray, np.ndarray]:
        """Expected score and noise scale of the observed cells, each ``(S, observation)``."""
        who = self._known_effects()
        data = self._tree["observed_data"].to_dataset()
        row = np.searchsorted(self.models, data["obs_model"].values.astype(str))
        column = np.array([self.benchmarks.index(b) for b in data["obs_benchmark"].values])
        mu = np.empty((self.n_draws, row.size), np.float32)
        sd = np.empty_like(mu)
        for rows in self._blocks(len(self.models)):
            here = np.flatnonzero((row >= rows.start) & (row < rows.stop))
            m, s = self._cells(who, rows)
            mu[:, here] = m[:, row[here] - rows.start, column[here]]
            sd[:, here] = s[:, row[here] - rows.start, column[here]]
        return mu, sd

    # -- what users ask --------------------------------------------------------------------

    def forecast(
        self,
        candidates: pd.DataFrame,
        prob: float = 0.9,
        seed: int = 0,
        *,
        new_family: bool = False,
        benchmarks: str | list[str] | None = None,
    ) -> Forecast:
        """Forecast the scores of models nobody has trained.

        See :func:`sloth_bayes.forecast.forecast` for what is held fixed, what is random,
        and every argument.
        """
        from .forecast import forecast

        return forecast(
            self, candidates, prob=prob, seed=seed, new_family=new_family, benchmarks=benchmarks
        )

    def condition(
        self, new_scores: pd.DataFrame | Observed, *, seed: int = 0, reweight: bool = True
    ) -> Posterior:
        """Observe new models without a refit; see :func:`sloth_bayes.conditioning.condition`."""
        from .conditioning import condition

        return condition(self, new_scores, seed=seed, reweight=reweight)

    def skills(
        self,
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
        """Skills that people can read; see :func:`sloth_bayes.skills.skills`.

        Examples
        --------
        >>> import sloth_bayes as sb
        >>> sb.load("leaderboard").skills(draws=200).table().shape
        (12, 3)
        """
        from .skills import skills

        return skills(
            self, rotation, n, target=target, names=names, models=models, draws=draws, like=like,
            prob=prob, seed=seed, **options,
        )  # fmt: skip

    def required_size(
        self,
        of: Goal,
        target: float,
        *,
        tokens: float | None = None,
        tokens_per_param: float | None = None,
        probability: float = 0.9,
        family: str | None = None,
        lineage: str | None = None,
        instruct: bool | None = None,
        new_family: bool = False,
        noisy: bool = False,
        sizes: tuple[float, float] | None = None,
        prob: float = 0.9,
        seed: int = 0,
        skills: Skills | None = None,
    ) -> RequiredSize:
        """The size that reaches a target; see :func:`sloth_bayes.planning.required_size`.

        Examples
        --------
        >>> import sloth_bayes as sb
        >>> found = sb.load("leaderboard").required_size("MMLU", 0.7, tokens=15)
        >>> bool(found.frame["required_b"][0] > found.frame["median"][0])
        True
        """
        from .planning import required_size

        return required_size(
            self, of, target, tokens=tokens, tokens_per_param=tokens_per_param,
            probability=probability, family=family, lineage=lineage, instruct=instruct,
            new_family=new_family, noisy=noisy, sizes=sizes, prob=prob, seed=seed, skills=skills,
        )  # fmt: skip

    def saturation(
        self,
        of: Goal,
        gain: float = 0.01,
        *,
        per: str = "doubling of size",
        tokens: float | None = None,
        params: float | None = None,
        tokens_per_param: float | None = None,
        at: float | Sequence[float] | None = None,
        family: str | None = None,
        lineage: str | None = None,
        instruct: bool | None = None,
        new_family: bool = False,
        within: tuple[float, float] | None = None,
        prob: float = 0.9,
        seed: int = 0,
        skills: Skills | None = None,
    ) -> Saturation:
        """Where a doubling stops to pay; see :func:`sloth_bayes.planning.saturation`."""
        from .planning import saturation

        return saturation(
            self, of, gain, per=per, tokens=tokens, params=params,
            tokens_per_param=tokens_per_param, at=at, family=family, lineage=lineage,
            instruct=instruct, new_family=new_family, within=within, prob=prob, seed=seed,
            skills=skills,
        )  # fmt: skip

    def optimal_allocation(
        self,
        flops: float | Sequence[float],
        objective: Goal | list[Goal] = "average",
        *,
        cost: Cost | None = None,
        params_range: tuple[float, float] | None = None,
        tokens_range: tuple[float, float] | None = None,
        beyond: bool = False,
        family: str | None = None,
        lineage: str | None = None,
        instruct: bool | None = None,
        new_family: bool = False,
        prob: float = 0.9,
        seed: int = 0,
        skills: Skills | None = None,
    ) -> Allocation:
        """Size and tokens of a budget; see :func:`sloth_bayes.allocation.optimal_allocation`."""
        from .allocation import optimal_allocation

        return optimal_allocation(
            self, flops, objective, cost=cost, params_range=params_range,
            tokens_range=tokens_range, beyond=beyond, family=family, lineage=lineage,
            instruct=instruct, new_family=new_family, prob=prob, seed=seed, skills=skills,
        )  # fmt: skip

    def compare(
        self,
        a: Candidate,
        b: Candidate,
        *,
        benchmarks: str | Sequence[str] | None = None,
        of: str = "expected",
        new_family: bool = False,
        prob: float = 0.9,
        seed: int = 0,
    ) -> Comparison:
        """Does `a` beat `b`? See :func:`sloth_bayes.choices.compare`."""
        from .choices import compare

        return compare(
            self, a, b, benchmarks=benchmarks, of=of, new_family=new_family, prob=prob, seed=seed
        )

    def next_evaluation(
        self,
        target: Candidate,
        options: Candidate,
        *,
        of: str = "average",
        benchmarks: str | Sequence[str] | None = None,
        together: bool = True,
        cost: Cost | None = None,
        new_family: bool = False,
        prob: float = 0.9,
        seed: int = 0,
    ) -> NextEvaluation:
        """What to measure next; see :func:`sloth_bayes.choices.next_evaluation`."""
        from .choices import next_evaluation

        return next_evaluation(
            self, target, options, of=of, benchmarks=benchmarks, together=together, cost=cost,
            new_family=new_family, prob=prob, seed=seed,
        )  # fmt: skip

    def downstream(
        self,
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
        """A new task from the skills; see :func:`sloth_bayes.downstream.downstream`."""
        from .downstream import downstream

        return downstream(
            self, scores, name=name, n_questions=n_questions, chance=chance, shrinkage=shrinkage,
            hold_out=hold_out, table=table, draws=draws, seed=seed,
        )  # fmt: skip

    def pass_at_k(
        self,
        counts: pd.DataFrame,
        candidates: pd.DataFrame | None = None,
        *,
        k: Sequence[int] | None = None,
        prob: float = 0.9,
        new_family: bool = False,
        seed: int = 0,
        **options: Any,
    ) -> PassAtK:
        """Coverage by repeated sampling; see :func:`sloth_bayes.passk.pass_at_k`."""
        from .passk import pass_at_k

        return pass_at_k(
            self, counts, candidates, k=k, prob=prob, new_family=new_family, seed=seed, **options
        )

    def diagnostics(self) -> Diagnostics:
        """Has the fit converged? See :class:`sloth_bayes.diagnostics.Diagnostics`."""
        from .diagnostics import diagnose

        return diagnose(self)

    @property
    def known_verdict(self) -> bool | None:
        """The verdict of the diagnostics if they travel along, else None."""
        if "convergence" not in self._tree.children:
            return None
        return bool(self._tree["convergence"].attrs["ok"])

    def slim(self, draws: int = 1000) -> Posterior:
        """A smaller posterior for shipping: fewer draws, fewer digits, the same verdict.

        Draws are thinned evenly within chains to at least `draws` in all and rounded to
        9 significant bits (0.2%: below 0.04 posterior standard deviations for nearly
        all). The diagnostics of the full fit travel along and are reported as such.

        Parameters
        ----------
        draws
            Draws to keep, over all chains.

        Raises
        ------
        DataError
            If there are fewer than `draws`.
        """
        return Posterior(self._slimmed(draws), self.spec)


def load(name: str | Path = "leaderboard") -> Posterior:
    """Load a posterior that ships, or one that was saved.

    Parameters
    ----------
    name
        A path (it has a separator or ends in ``.nc``), or the name of a posterior that
        ships: ``"leaderboard"``.

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
        path = Path(name)
    else:
        root = shipped("models")
        fitted = sorted(p.parent.name for p in root.glob("*/posterior.nc"))
        if asked not in fitted:
            raise unknown("posterior", asked, fitted, "A path ends in .nc or has a separator.")
        path = root / asked / "posterior.nc"
    tree = read(Posterior, path, "spec")
    return Posterior(tree, Sloth.from_toml(str(tree.attrs["spec"])))


def draw_scores(mu: np.ndarray, sd: np.ndarray, df: float, rng: np.random.Generator) -> np.ndarray:
    """Scores around expected ones: Student-t noise, clipped to [0, 1]."""
    noise = rng.standard_normal(mu.shape, dtype=np.float32)
    if np.isfinite(df):
        noise /= np.sqrt(rng.standard_gamma(df / 2, mu.shape, dtype=np.float32) * (2 / df))
    return np.clip(mu + sd * noise, 0.0, 1.0)


def draws_together(array: np.ndarray) -> np.ndarray:
    """The same array, ``(S, ...)``, stored with its first axis innermost."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 0, -1)), -1, 0)


def _plain(value: Any) -> Any:
    """A file's attribute as a plain Python value: numbers, text, or the JSON it holds."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, str) and value[:1] in "[{":
        return json.loads(value)
    return value
