"""Draws of everything while new models are observed, one family after another.

The part of conditioning that needs JAX: :mod:`sloth_bayes.predict.condition` imports it when
there is something to observe.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..law import equations
from ..model.arrays import LEAST_SPREAD
from ..posterior.core import DIMS, PosteriorDraws
from . import family_given_scores

_INPUTS = ("params_b", "tokens_t")
_OF_MODEL = {
    "params_b": float,
    "tokens_t": float,
    "instruct": np.int8,
    "family_of_model": str,
    "lineage_of_model": str,
}


@dataclasses.dataclass
class State:
    """Draws of everything, with room for the new models, families and lineages.

    Coordinates are sorted, as the posterior keeps them. ``present`` are families whose
    parameters have been drawn, ``known`` says on which benchmarks they have a score: of the
    others nothing is known but their lineage, and they are drawn last.
    """

    spec: Any
    data: xr.Dataset  # posterior draws, chains merged: dims sample, ...
    constant: xr.Dataset
    observed: pd.DataFrame  # (model, benchmark), NaN where there is no score
    new: list[str]  # models
    affected: list[str]  # families with new scores
    lineage_of: dict[str, str]  # of families, sorted
    present: list[str]  # families
    known: pd.DataFrame  # (family, benchmark), whether there is a score
    sizes: tuple[int, int]  # chains and draws
    seed: int
    calls: int = 0
    effective: float = 1.0

    @classmethod
    def of(cls, post: PosteriorDraws, rows: pd.DataFrame, seed: int) -> State:
        """A posterior's draws, with room for the models in `rows`, whose scores are seen."""
        draws = post.tree["posterior"].to_dataset()
        sizes = (draws.sizes["chain"], draws.sizes["draw"])
        draws = draws.stack(sample=("chain", "draw"), create_index=False).transpose("sample", ...)
        draws = draws.drop_vars(["chain", "draw"], errors="ignore")
        before = {"family": post.families, "lineage": post.lineages, "model": post.models}
        coords = {dim: sorted({*names, *rows[dim]}) for dim, names in before.items()}
        data = draws.reindex({k: v for k, v in coords.items() if k in draws.dims})
        for column in _INPUTS[:1] if post.spec.inputs == "size" else _INPUTS:
            dim = DIMS[column][0]
            if column not in data:
                none = np.empty((data.sizes["sample"], 0), np.float32)
                data[column] = xr.DataArray(none, dims=("sample", dim), coords={dim: []})
            latent = {*data[dim].values.astype(str), *rows.loc[rows[column].isna(), "model"]}
            data = data.reindex({dim: sorted(latent)}) if latent else data.drop_dims(dim)

        old = post.constant_data
        constant = old.reindex(coords, fill_value=np.nan)
        for name, dtype in _OF_MODEL.items():
            values = dict(zip(post.models, old[name].values))
            values |= dict(zip(rows["model"], rows[name.removesuffix("_of_model")]))
            constant[name] = ("model", np.array([values[m] for m in coords["model"]], dtype))
        lineage_of = dict(zip(post.families, old["lineage_of_family"].values.astype(str)))
        lineage_of |= dict(zip(rows["family"], rows["lineage"]))
        lineage_of = {f: str(lineage_of[f]) for f in coords["family"]}
        constant["lineage_of_family"] = ("family", np.array(list(lineage_of.values())))

        cells = post.tree["observed_data"].to_dataset()["score"].to_dataframe()
        observed = cells.pivot(index="obs_model", columns="obs_benchmark", values="score")
        family_of = dict(zip(post.models, old["family_of_model"].values.astype(str)))
        known = observed.notna().groupby(family_of).any()
        observed = observed.reindex(index=coords["model"], columns=post.benchmarks).astype(float)
        observed.update(rows.set_index("model").filter(items=post.benchmarks))
        known = known.reindex(index=coords["family"], columns=post.benchmarks, fill_value=False)
        return cls(
            spec=post.spec,
            data=data.copy(deep=True),
            constant=constant,
            observed=observed,
            new=list(rows["model"]),
            affected=sorted(set(rows["family"])),
            lineage_of=lineage_of,
            present=post.families,
            known=known,
            sizes=sizes,
            seed=seed,
        )

    # -- steps -----------------------------------------------------------------------------

    def observe(self, family: str) -> np.ndarray:
        """Draw the parameters of a family; log weights ``(S,)`` of its new scores."""
        slopes = self.spec.slopes == "family"
        if self.spec.slopes == "pooled":  # not drawn yet: the lineage is new
            of_lineage = self.data["slope_lineage"].sel(lineage=self.lineage_of[family])
            slopes = bool(of_lineage.isnull().any())
        before = 0.0
        if family in self.present:
            before = self._draw(family, slopes, new=False).log_likelihood
        own = self._draw(family, slopes)
        self._keep(family, own, slopes)
        return np.asarray(own.log_likelihood, float) - before

    def has_new_relatives(self, family: str) -> bool:
        """Have other families of its lineage new scores too?"""
        return len({*self.affected} & {*self._relatives(self.lineage_of[family])}) > 1

    def redraw(self, family: str) -> None:
        """Draw the parameters of a family anew, given everything else."""
        lone = len(self._relatives(self.lineage_of[family])) == 1
        slopes = self.spec.slopes == "family" or (self.spec.slopes == "pooled" and lone)
        self._keep(family, self._draw(family, slopes), slopes)

    def take(self, index: np.ndarray) -> None:
        """Keep the draws named, repeated ones as often as they are."""
        self.data = self.data.isel(sample=index)

    def complete(self, rng: np.random.Generator) -> None:
        """Draw what only the lineages of the affected families tell of.

        Their own effects, and the residuals of their families on benchmarks without a
        score.
        """
        v = self.data

        def drawn(what: str, families: list[str]) -> np.ndarray:
            mean, variance = self._of_lineage(what, families)
            return mean + np.sqrt(variance) * rng.standard_normal(mean.shape)

        for lineage in sorted({self.lineage_of[f] for f in self.affected}):
            at, families = {"lineage": lineage}, self._relatives(lineage)
            if "lineage_effect" in v:
                effect = drawn("family_effect", families) * self.spec.priors.family
                v["lineage_effect"].loc[at] = effect
            if "residual" in v:
                tau = v["residual_scale"].values
                common = drawn("residual", families)
                if "residual_lineage" in v:
                    v["residual_lineage"].loc[at] = tau * common
                own = np.sqrt(1 - self._share("residual"))
                for family in families:
                    residual = v["residual"].loc[{"family": family}]
                    new = tau * (common + own * rng.standard_normal(common.shape))
                    residual[:] = np.where(self.known.loc[family], residual, new)

    # -- one family ------------------------------------------------------------------------

    def _relatives(self, lineage: str) -> list[str]:
        """The families of a lineage."""
        return [family for family, of in self.lineage_of.items() if of == lineage]

    def _models(self, family: str) -> list[str]:
        """The models of a family."""
        constant = self.constant
        return constant["model"].values[constant["family_of_model"].values == family].tolist()

    def _latent(self, column: str) -> dict[str, np.ndarray]:
        """Draws of the size (or tokens) of the models where it is unknown, views."""
        if column not in self.data:
            return {}
        names = self.data[DIMS[column][0]].values.astype(str).tolist()
        return dict(zip(names, self.data[column].values.T))

    def _share(self, of: str) -> np.ndarray:
        """Share ``(S, 1)`` of the variance that is the lineage's."""
        name = {"family_effect": "lineage_share", "residual": "residual_share"}[of]
        if name in self.data:
            return self.data[name].values[:, None].astype(float)
        return np.zeros((self.data.sizes["sample"], 1))

    def _of_lineage(
        self, what: str, families: list[str], without: str = ""
    ) -> tuple[np.ndarray, np.ndarray]:
        """Standardised lineage part given its families: mean and variance ``(S, columns)``."""
        values = self.data[what].sel(family=families).values.astype(float)
        if what == "residual":
            values = values / self.data["residual_scale"].values[:, None]
            known = self.known.loc[families].to_numpy()
        else:
            values = values / self.spec.priors.family
            known = np.isin(families, self.present)[:, None].repeat(values.shape[-1], 1)
        known = known & (np.array(families) != without)[:, None]
        share, count = self._share(what), known.sum(0)
        whole = 1 - share + share * count
        total = np.where(known, np.nan_to_num(values), 0.0).sum(1)
        return share * total / whole, share * (1 - share) / whole

    def _draw(self, family: str, slopes: bool, new: bool = True) -> family_given_scores.Own:
        """Draw a family's parameters given its scores, with or without the new ones."""
        v, spec = self.data, self.spec
        n, d = v.sizes["sample"], v.sizes["skill"]
        lineage, names = self.lineage_of[family], self._models(family)
        models = self.constant.sel(model=names)

        def prior(what: str, scale: Any) -> tuple[np.ndarray, np.ndarray]:
            mean, variance = self._of_lineage(what, self._relatives(lineage), family)
            return scale * mean, scale * np.sqrt(variance + 1 - self._share(what))

        mean, scale = np.zeros((n, d)), np.ones((n, 1))
        if spec.intercept != "shared":
            mean, scale = prior("family_effect", spec.priors.family)
        residual_mean, residual_scale = np.zeros((2, n, v.sizes["benchmark"]))
        if "residual" in v:
            tau = v["residual_scale"].values.astype(float)
            residual_mean, residual_scale = prior("residual", tau)
        slope, slope_scale = v["slope"].values, np.tile(spec.input_scales, (n, 1))
        if spec.slopes == "pooled" and slopes:
            relative = np.array(spec.input_scales) / spec.priors.doubling
            slope_scale = v["slope_scale"].values[:, None] * relative
        elif spec.slopes == "pooled":
            slope = slope + v["slope_lineage"].sel(lineage=lineage).values
        logs, unknown = {}, {}
        for column in _INPUTS:
            logs[column] = np.tile(np.log(models[column].values), (n, 1))
            latent = self._latent(column)
            here = [(i, name) for i, name in enumerate(names) if name in latent]
            for i, name in here:  # those of earlier conditioning keep their draws
                logs[column][:, i] = np.log(latent[name])
            unknown[column] = tuple(i for i, name in here if name in self.new)
            logs[column] = np.nan_to_num(logs[column])
        table = self.observed.loc[names].to_numpy()
        seen = np.isfinite(table)
        if not new:
            seen &= ~np.isin(names, self.new)[:, None]
        as_they_are = (
            "loading", "bias", "lower", "upper", "link_shape", "noise_scale", "sampling_fraction",
        )  # fmt: skip
        draws = family_given_scores.Draws(
            **{name: v[name].values for name in as_they_are},
            slope=slope,
            instruct=v["instruct"].values if "instruct" in v else np.zeros((n, d)),
            mean=mean,
            scale=scale[:, 0],
            residual_mean=residual_mean,
            residual_scale=residual_scale,
            slope_scale=slope_scale,
            model_scale=v["model_scale"].values if "model_scale" in v else np.ones(n),
            log_size=logs["params_b"],
            log_tokens=logs["tokens_t"],
        )
        scores = family_given_scores.Scores(
            score=np.where(seen, table, 0.5),
            observed=seen.astype(float),
            instruct=models["instruct"].values.astype(float),
            **{name: self.constant[name].values for name in ("inverse_n", "rounding", "centre")},
            size_prior=self._prior_of_inputs("params_b"),
            tokens_prior=self._prior_of_inputs("tokens_t"),
        )
        kind = family_given_scores.Kind(
            inputs=spec.inputs,
            link=spec.link,
            noise=spec.noise,
            df=spec.df,
            family=spec.intercept != "shared",
            residual="residual" in v,
            slopes=slopes,
            effects="model_effect" in v,
            sizes=unknown["params_b"],
            tokens=unknown["tokens_t"],
        )
        self.calls += 1
        own = family_given_scores.condition(kind, draws, scores, seed=1000 * self.seed + self.calls)
        self.effective = min(self.effective, float(np.median(own.effective)))
        return own

    def _prior_of_inputs(self, column: str) -> np.ndarray:
        """Mean and standard deviation of the logs over the models of the fit."""
        logs = np.log(self.constant[column].drop_sel(model=self.new).values)
        return np.array([np.nanmean(logs), max(float(np.nanstd(logs)), LEAST_SPREAD)])

    def _keep(self, family: str, own: family_given_scores.Own, slopes: bool) -> None:
        """Write what was drawn for a family where the posterior keeps it."""
        v, names = self.data, self._models(family)
        here = {"family": family}
        v["family_effect"].loc[here] = own.family
        if "residual" in v:
            v["residual"].loc[here] = own.residual
        if slopes and "slope_family" in v:
            v["slope_family"].loc[here] = own.slope
        elif slopes:
            v["slope_lineage"].loc[{"lineage": self.lineage_of[family]}] = own.slope
        if "model_effect" in v:
            v["model_effect"].loc[{"model": names}] = own.model_effect
        for column, logs in zip(_INPUTS, (own.log_size, own.log_tokens)):
            latent = self._latent(column)
            for i, name in enumerate(names):
                if name in latent:
                    latent[name][:] = np.exp(logs[:, i])
        self.present.append(family)
        self.known.loc[family] = self.observed.loc[names].notna().any()

    # -- the result ------------------------------------------------------------------------

    def tree(self) -> xr.DataTree:
        """The posterior's groups, with the new models in them."""
        chains, draws = self.sizes
        data: dict[str, Any] = {}
        for name, var in self.data.data_vars.items():
            values = var.values.astype(np.float32).reshape(chains, draws, *var.shape[1:])
            data[str(name)] = (("chain", "draw", *var.dims[1:]), values)
        coords = {"chain": np.arange(chains), "draw": np.arange(draws)}
        coords |= {str(name): var.values for name, var in self.data.coords.items()}
        # NaN where the law does not read them
        size, tokens = (np.log(np.nan_to_num(self._typical(c), nan=1.0)) for c in _INPUTS)
        centre = self.constant["centre"].values
        inputs = equations.raw_inputs(self.spec.inputs, size, tokens, centre, np)
        constant = self.constant.assign(inputs=(("model", "input"), inputs.astype(np.float32)))
        table = self.observed.to_numpy()
        row, which = np.nonzero(np.isfinite(table))
        observed = xr.Dataset(
            {"score": ("observation", table[row, which])},
            coords={
                "observation": np.arange(row.size),
                "obs_model": ("observation", self.observed.index.to_numpy(str)[row]),
                "obs_benchmark": ("observation", self.observed.columns.to_numpy(str)[which]),
            },
        )
        return xr.DataTree.from_dict(
            {
                "posterior": xr.Dataset(data, coords=coords),
                "observed_data": observed,
                "constant_data": constant,
            }
        )

    def _typical(self, column: str) -> np.ndarray:
        """Sizes or tokens of the models; for those that stay unknown, the median of the draws."""
        values = self.constant[column].copy()
        for name, draws in self._latent(column).items():
            values.loc[{"model": name}] = np.median(draws)
        return values.values
