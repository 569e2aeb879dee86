"""Draws of everything while new models are observed, one family after another."""

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


@dataclasses.dataclass
class State:
    """Draws of everything, with room for the new models, families and lineages.

    Coordinates are sorted, as the posterior keeps them. ``present`` marks families whose
    parameters have been drawn, ``known`` their benchmarks with a score: of the others
    nothing is known but their lineage, and they are drawn last.
    """

    spec: Any
    data: xr.Dataset  # posterior draws, chains merged: dims sample, ...
    constant: xr.Dataset
    observed: pd.DataFrame  # (model, benchmark), NaN where there is no score
    new: set[str]  # models
    affected: list[str]  # families with new scores
    present: np.ndarray  # (F,)
    known: np.ndarray  # (F, J)
    sizes: tuple[int, int]  # chains and draws
    seed: int
    calls: int = 0
    effective: float = 1.0

    @classmethod
    def of(cls, post: PosteriorDraws, rows: pd.DataFrame, seed: int) -> State:
        old = post.constant_data
        draws = post.tree["posterior"].to_dataset()
        sizes = (draws.sizes["chain"], draws.sizes["draw"])
        draws = draws.stack(sample=("chain", "draw"), create_index=False).transpose("sample", ...)
        draws = draws.drop_vars(["chain", "draw"], errors="ignore")
        coords = {
            "family": sorted({*post.families, *rows["family"]}),
            "lineage": sorted({*post.lineages, *rows["lineage"]}),
            "model": sorted({*post.models, *rows["model"]}),
        }
        data = draws.reindex({k: v for k, v in coords.items() if k in draws.dims})
        latent = {
            "params_b": rows.loc[rows["params_b"].isna(), "model"],
            "tokens_t": rows.loc[rows["tokens_t"].isna(), "model"],
        }
        needed = {"size": ["params_b"]}.get(post.spec.inputs, ["params_b", "tokens_t"])
        for column in needed:
            dim = DIMS[column][0]
            old_names = [str(m) for m in draws[dim].values] if dim in draws else []
            every = sorted({*old_names, *latent[column]})
            if not every:
                continue
            if column in data:
                data = data.reindex({dim: every})
            else:
                shape = (data.sizes["sample"], len(every))
                data[column] = (("sample", dim), np.full(shape, np.nan, np.float32))
                data = data.assign_coords({dim: every})
        constant = old.reindex(
            {k: v for k, v in coords.items() if k in old.dims}, fill_value=np.nan
        )
        at = rows.set_index("model")
        for name, column in (
            ("params_b", "params_b"), ("tokens_t", "tokens_t"), ("instruct", "instruct"),
            ("family_of_model", "family"), ("lineage_of_model", "lineage"),
        ):  # fmt: skip
            whole = pd.Series(old[name].values, index=post.models, dtype=object)
            values = pd.concat([whole, at[column].astype(object)]).loc[coords["model"]]
            dtype = {"params_b": float, "tokens_t": float, "instruct": np.int8}.get(name, str)
            constant[name] = ("model", values.to_numpy().astype(dtype))
        lineage_of = dict(zip(post.families, old["lineage_of_family"].values.astype(str)))
        lineage_of |= dict(zip(rows["family"], rows["lineage"]))
        constant["lineage_of_family"] = (
            "family", np.array([lineage_of[f] for f in coords["family"]]),
        )  # fmt: skip
        scores = post.tree["observed_data"].to_dataset()
        observed = pd.DataFrame(np.nan, index=coords["model"], columns=post.benchmarks)
        observed.index.name, observed.columns.name = "model", "benchmark"
        where = scores["obs_model"].values.astype(str), scores["obs_benchmark"].values.astype(str)
        row, column = observed.index.get_indexer(where[0]), observed.columns.get_indexer(where[1])
        values = observed.to_numpy(copy=True)
        values[row, column] = scores["score"].values
        observed[:] = values
        names = [b for b in post.benchmarks if b in rows]
        observed.loc[rows["model"], names] = rows[names].to_numpy(float)
        family = constant["family_of_model"].values.astype(str)
        known = (
            observed[~observed.index.isin(rows["model"])].notna().groupby(
                pd.Series(family, observed.index)
            ).any()
        ).reindex(coords["family"], fill_value=False)  # fmt: skip
        return cls(
            spec=post.spec,
            data=data.copy(deep=True),
            constant=constant,
            observed=observed,
            new=set(rows["model"]),
            affected=sorted(set(rows["family"])),
            present=np.isin(coords["family"], post.families),
            known=known.to_numpy(bool, copy=True),
            sizes=sizes,
            seed=seed,
        )  # fmt: skip

    # -- steps -----------------------------------------------------------------------------

    def observe(self, family: str) -> np.ndarray:
        """Draw the parameters of a family; log weights ``(S,)`` of its new scores."""
        f, slopes = self._place(family), self._draws_slope(family)
        before = np.zeros(self.data.sizes["sample"])
        if self.present[f]:
            before = self._call(family, slopes, new=False).log_likelihood
        own = self._call(family, slopes)
        self._keep(family, own, slopes)
        return np.asarray(own.log_likelihood, float) - before

    def has_new_relatives(self, family: str) -> bool:
        """Have other families of its lineage new scores too?"""
        of = dict(zip(self._names("family"), self.constant["lineage_of_family"].values.astype(str)))
        return [of[f] for f in self.affected].count(of[family]) > 1

    def redraw(self, family: str) -> None:
        """Draw the parameters of a family anew, given everything else."""
        lineage = str(self.constant["lineage_of_family"].values[self._place(family)])
        lone = list(self.constant["lineage_of_family"].values.astype(str)).count(lineage) == 1
        slopes = self.spec.slopes == "family" or (self.spec.slopes == "pooled" and lone)
        self._keep(family, self._call(family, slopes), slopes)

    def take(self, index: np.ndarray) -> None:
        """Keep the draws named, repeated ones as often as they are."""
        self.data = self.data.isel(sample=index)

    def complete(self, rng: np.random.Generator) -> None:
        """Draw what only the lineages of the affected families tell of.

        Their own effects, and the residuals of their families on benchmarks without a
        score.
        """
        lineages = self.constant["lineage_of_family"].values.astype(str)
        of = {str(v) for f, v in zip(self._names("family"), lineages) if f in self.affected}
        for lineage in sorted(of):
            k = self._names("lineage").index(lineage)
            mine = np.flatnonzero(lineages == lineage)
            if "lineage_effect" in self.data:
                mean, variance = self._lineage("family_effect", mine, None)
                noise = rng.standard_normal(mean.shape)
                whole = (mean + np.sqrt(variance) * noise) * self.spec.priors.family
                self.data["lineage_effect"].values[:, k] = whole
            if "residual" in self.data:
                tau = self.data["residual_scale"].values
                mean, variance = self._lineage("residual", mine, None)
                common = mean + np.sqrt(variance) * rng.standard_normal(mean.shape)
                if "residual_lineage" in self.data:
                    self.data["residual_lineage"].values[:, k] = tau * common
                share = self._share("residual")[:, None]
                for f in mine:
                    noise = rng.standard_normal(mean.shape)
                    drawn = tau * (common + np.sqrt(1 - share) * noise)
                    values = self.data["residual"].values[:, f]
                    self.data["residual"].values[:, f] = np.where(self.known[f], values, drawn)

    # -- one family ------------------------------------------------------------------------

    def _names(self, dim: str) -> list[str]:
        return [str(v) for v in self.constant[dim].values]

    def _place(self, family: str) -> int:
        return self._names("family").index(family)

    def _draws_slope(self, family: str) -> bool:
        """Is the slope of the family not in the draws yet, or its own?"""
        if self.spec.slopes == "family":
            return True
        if self.spec.slopes != "pooled":
            return False
        lineage = str(self.constant["lineage_of_family"].values[self._place(family)])
        values = self.data["slope_lineage"].sel(lineage=lineage).values
        return bool(np.isnan(values).any())

    def _share(self, of: str) -> np.ndarray:
        name = {"family_effect": "lineage_share", "residual": "residual_share"}[of]
        if name in self.data:
            return self.data[name].values.astype(float)
        return np.zeros(self.data.sizes["sample"])

    def _lineage(
        self, of: str, families: np.ndarray, without: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Standardised lineage part given its families: mean and variance ``(S, columns)``."""
        values = self.data[of].values[:, families].astype(float)
        if of == "residual":
            values = values / self.data["residual_scale"].values[:, None]
            known = self.known[families]
        else:
            values = values / self.spec.priors.family
            known = np.repeat(self.present[families, None], values.shape[-1], 1)
        if without is not None:
            known = known & (families != without)[:, None]
        share, count = self._share(of)[:, None], known.sum(0)
        whole = 1 - share + share * count
        total = np.where(known, np.nan_to_num(values), 0.0).sum(1)
        return share * total / whole, share * (1 - share) / whole

    def _call(self, family: str, slopes: bool, new: bool = True) -> family_given_scores.Own:
        """Draw a family's parameters given its scores, with or without the new ones."""
        v, spec, f = self.data, self.spec, self._place(family)
        n, (d, n_inputs) = v.sizes["sample"], (v.sizes["skill"], v.sizes["input"])
        n_bench = v.sizes["benchmark"]
        lineages = self.constant["lineage_of_family"].values.astype(str)
        mine = np.flatnonzero(lineages == lineages[f])
        models = np.flatnonzero(self.constant["family_of_model"].values.astype(str) == family)
        names = [self._names("model")[m] for m in models]

        def prior(of: str, scale: Any) -> tuple[np.ndarray, np.ndarray]:
            mean, variance = self._lineage(of, mine, f)
            share = self._share(of)[:, None]
            return scale * mean, scale * np.sqrt(variance + 1 - share)

        zeros = np.zeros((n, n_bench))
        mean, scale = np.zeros((n, d)), np.ones(n)
        if spec.intercept != "shared":
            mean, wide = prior("family_effect", spec.priors.family)
            scale = wide[:, 0]
        residual = (zeros, zeros + 1)
        if "residual" in v:
            residual = prior("residual", v["residual_scale"].values.astype(float))
        slope = v["slope"].values
        slope_scale = np.ones((n, n_inputs))
        if slopes and spec.slopes == "pooled":
            relative = np.array(spec.input_scales) / spec.priors.doubling
            slope_scale = v["slope_scale"].values[:, None] * relative
        elif slopes:
            slope_scale = np.tile(spec.input_scales, (n, 1))
        elif spec.slopes == "pooled":
            slope = slope + v["slope_lineage"].sel(lineage=lineages[f]).values
        logs: dict[str, np.ndarray] = {}
        unknown_rows: dict[str, list[int]] = {}
        for column in ("params_b", "tokens_t"):
            fixed = np.log(self.constant[column].values[models])
            logs[column] = np.tile(fixed, (n, 1))
            # those of earlier conditioning keep their draws
            here = [str(m) for m in v[DIMS[column][0]].values] if column in v else []
            unknown_rows[column] = []
            for i, name in enumerate(names):
                if name not in here:
                    continue
                if name in self.new:
                    unknown_rows[column].append(i)
                else:
                    logs[column][:, i] = np.log(v[column].values[:, here.index(name)])
            logs[column] = np.nan_to_num(logs[column])
        table = self.observed.loc[names].to_numpy()
        seen = np.isfinite(table)
        if not new:
            seen &= ~np.isin(names, list(self.new))[:, None]
        own_noise = {k: v[k].values for k in ("lower", "upper", "link_shape", "noise_scale")}
        draws = family_given_scores.Draws(
            loading=v["loading"].values,
            bias=v["bias"].values,
            slope=slope,
            instruct=v["instruct"].values if "instruct" in v else np.zeros((n, d)),
            **own_noise,
            sampling_fraction=v["sampling_fraction"].values,
            mean=mean,
            scale=scale,
            residual_mean=residual[0],
            residual_scale=residual[1],
            slope_scale=slope_scale,
            model_scale=v["model_scale"].values if "model_scale" in v else np.ones(n),
            log_size=logs["params_b"],
            log_tokens=logs["tokens_t"],
        )
        scores = family_given_scores.Scores(
            score=np.where(seen, table, 0.5),
            observed=seen.astype(float),
            instruct=self.constant["instruct"].values[models].astype(float),
            inverse_n=self.constant["inverse_n"].values,
            rounding=self.constant["rounding"].values,
            centre=self.constant["centre"].values,
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
            sizes=tuple(unknown_rows["params_b"]),
            tokens=tuple(unknown_rows["tokens_t"]),
        )
        self.calls += 1
        own = family_given_scores.condition(kind, draws, scores, seed=1000 * self.seed + self.calls)
        self.effective = min(self.effective, float(np.median(own.effective)))
        return own

    def _prior_of_inputs(self, column: str) -> np.ndarray:
        """Mean and standard deviation of the logs over the models of the fit."""
        old = ~np.isin(self._names("model"), list(self.new))
        logs = np.log(self.constant[column].values[old])
        return np.array([np.nanmean(logs), max(float(np.nanstd(logs)), LEAST_SPREAD)])

    def _keep(self, family: str, own: family_given_scores.Own, slopes: bool) -> None:
        """Write what was drawn for a family where the posterior keeps it."""
        v, f = self.data, self._place(family)
        models = np.flatnonzero(self.constant["family_of_model"].values.astype(str) == family)
        names = [self._names("model")[m] for m in models]
        v["family_effect"].values[:, f] = own.family
        if "residual" in v:
            v["residual"].values[:, f] = own.residual
        if slopes and "slope_family" in v:
            v["slope_family"].values[:, f] = own.slope
        elif slopes:
            lineage = str(self.constant["lineage_of_family"].values[f])
            k = self._names("lineage").index(lineage)
            v["slope_lineage"].values[:, k] = own.slope
        if "model_effect" in v:
            v["model_effect"].values[:, models] = own.model_effect
        for column, logs in (("params_b", own.log_size), ("tokens_t", own.log_tokens)):
            here = [str(m) for m in v[DIMS[column][0]].values] if column in v else []
            for i, name in enumerate(names):
                if name in here:
                    v[column].values[:, here.index(name)] = np.exp(logs[:, i])
        self.present[f] = True
        self.known[f] = self.observed.loc[names].notna().any().to_numpy()

    # -- the result ------------------------------------------------------------------------

    def tree(self) -> xr.DataTree:
        """The posterior's groups, with the new models in them."""
        chains, draws = self.sizes
        data = {}
        for name, var in self.data.data_vars.items():
            values = var.values.astype(np.float32).reshape(chains, draws, *var.shape[1:])
            data[name] = (("chain", "draw", *var.dims[1:]), values)
        coords = {str(k): self.data[k].values for k in self.data.coords if k != "sample"}
        posterior = xr.Dataset(
            data, coords={"chain": np.arange(chains), "draw": np.arange(draws), **coords}
        )
        constant = self.constant.copy()
        # What is unknown stays so: only the inputs, which draws of it replace, get its median.
        size, tokens = (constant[c].values.copy() for c in ("params_b", "tokens_t"))
        for column, values in (("params_b", size), ("tokens_t", tokens)):
            if column in self.data:
                for i, name in enumerate(self.data[DIMS[column][0]].values):
                    middle = np.median(self.data[column].values[:, i])
                    values[self._names("model").index(str(name))] = middle
        centre = constant["centre"].values
        inputs = equations.raw_inputs(
            self.spec.inputs, np.log(size), np.log(np.nan_to_num(tokens, nan=1.0)), centre, np
        )
        constant["inputs"] = (("model", "input"), inputs.astype(np.float32))
        table = self.observed.to_numpy()
        row, which = np.nonzero(np.isfinite(table))
        observed = xr.Dataset(
            {"score": ("observation", table[row, which])},
            coords={
                "observation": np.arange(row.size),
                "obs_model": ("observation", np.asarray(self._names("model"))[row]),
                "obs_benchmark": ("observation", np.asarray(self._names("benchmark"))[which]),
            },
        )
        return xr.DataTree.from_dict(
            {"posterior": posterior, "observed_data": observed, "constant_data": constant}
        )
