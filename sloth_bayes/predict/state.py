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
from ..law.terms import TERMS, Nested, Term, columns_of, dims
from ..model.arrays import LEAST_SPREAD
from ..posterior.core import PosteriorDraws
from . import family_given_scores

_INPUTS = ("params_b", "tokens_t")
_OF_MODEL = {
    "params_b": float,
    "tokens_t": float,
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
    fitted: list[str]  # families of the posterior
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
        of_law = {"size": _INPUTS[:1], "date": (), "none": ()}
        for column in of_law.get(post.spec.inputs, _INPUTS):
            dim = dims()[column][0]
            if column not in data:
                none = np.empty((data.sizes["sample"], 0), np.float32)
                data[column] = xr.DataArray(none, dims=("sample", dim), coords={dim: []})
            latent = {*data[dim].values.astype(str), *rows.loc[rows[column].isna(), "model"]}
            data = data.reindex({dim: sorted(latent)}) if latent else data.drop_dims(dim)

        old = post.constant_data
        constant = old.reindex(coords, fill_value=np.nan)
        read = columns_of(post.spec)
        kinds: dict[str, Any] = _OF_MODEL | {name: old[name].dtype for name in read}
        for name, dtype in kinds.items():
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
            fitted=post.families,
            known=known,
            sizes=sizes,
            seed=seed,
        )

    # -- steps -----------------------------------------------------------------------------

    def observe(self, family: str) -> np.ndarray:
        """Draw the parameters of a family; log weights ``(S,)`` of its new scores."""
        # coefficients of its lineage: not drawn yet where the lineage is new
        lineage = [t for t in self._free("lineage") if self._missing(t, family)]
        before = 0.0
        if self._held(family):
            own = self._draw(family, [])
            self._keep(family, own)
            return np.asarray(own.log_likelihood, float)
        if family in self.present:
            before = self._draw(family, lineage, new=False).log_likelihood
        own = self._draw(family, lineage)
        self._keep(family, own)
        return np.asarray(own.log_likelihood, float) - before

    def has_new_relatives(self, family: str) -> bool:
        """Have other families of its lineage new scores too?"""
        return len({*self.affected} & {*self._relatives(self.lineage_of[family])}) > 1

    def redraw(self, family: str) -> None:
        """Draw the parameters of a family anew, given everything else."""
        lone = len(self._relatives(self.lineage_of[family])) == 1
        self._keep(family, self._draw(family, self._free("lineage") if lone else []))

    def take(self, index: np.ndarray) -> None:
        """Keep the draws named, repeated ones as often as they are."""
        self.data = self.data.isel(sample=index)

    def complete(self, rng: np.random.Generator) -> None:
        """Draw what only the lineages of the affected families tell of.

        Their own effects, and the residuals of their families on benchmarks without a
        score.
        """
        v = self.data

        nested = [t for t in self._free("family") if isinstance(t, Nested)]
        for lineage in sorted({self.lineage_of[f] for f in self.affected}):
            at, families = {"lineage": lineage}, self._relatives(lineage)
            for term in nested:
                if term.adds_to == "skill" and term.lineage not in v:
                    continue
                scale = term.scale(self._values, self.spec)
                mean, variance = self._of_lineage(term, families)
                common = mean + np.sqrt(variance) * rng.standard_normal(mean.shape)
                if term.lineage in v:
                    v[term.lineage].loc[at] = scale * common
                if term.adds_to == "skill":
                    continue
                own = np.sqrt(1 - self._share(term))
                for family in families:
                    kept = v[term.name].loc[{"family": family}]
                    new = scale * (common + own * rng.standard_normal(common.shape))
                    kept[:] = np.where(self.known.loc[family], kept, new)

    # -- one family ------------------------------------------------------------------------

    def _held(self, family: str) -> bool:
        """Whether a known family's own parameters are kept as drawn, and weighted with the rest.

        So they are where each of its models has an effect of its own: what is sampled is that
        of the new models, a few numbers, rather than of all models that the family has.
        """
        own = self._free("model")
        alone = all(type(t).reach is Term.reach for t in own)  # or each follows from others
        return family in self.fitted and bool(own) and alone

    def _relatives(self, lineage: str) -> list[str]:
        """The families of a lineage."""
        return [family for family, of in self.lineage_of.items() if of == lineage]

    def _models(self, family: str) -> list[str]:
        """The models of a family."""
        constant = self.constant
        return constant["model"].values[constant["family_of_model"].values == family].tolist()

    def _drawn(self, family: str) -> list[str]:
        """Those of them whose own parameters are drawn."""
        names = self._models(family)
        return [name for name in names if name in self.new] if self._held(family) else names

    def _latent(self, column: str) -> dict[str, np.ndarray]:
        """Draws of the size (or tokens) of the models where it is unknown, views."""
        if column not in self.data:
            return {}
        names = self.data[dims()[column][0]].values.astype(str).tolist()
        return dict(zip(names, self.data[column].values.T))

    @property
    def _values(self) -> dict[str, np.ndarray]:
        """Draws ``(S, ...)`` of every quantity, views."""
        return {str(name): var.values for name, var in self.data.data_vars.items()}

    def _free(self, of: str) -> list[Term]:
        """The terms that give each lineage, family or model a coefficient of its own."""
        return [t for t in TERMS.values() if t.of == of and t.free(self.spec)]

    def _missing(self, term: Term, family: str) -> bool:
        """Whether the coefficient of a family's lineage is not drawn yet."""
        of_lineage = self.data[term.name].sel(lineage=self.lineage_of[family])
        return bool(of_lineage.isnull().any())

    def _share(self, term: Nested) -> np.ndarray:
        """Share ``(S, 1)`` of the variance that is the lineage's."""
        return term.share_of(self._values, self.data.sizes["sample"]).astype(float)

    def _of_lineage(
        self, term: Nested, families: list[str], without: str = ""
    ) -> tuple[np.ndarray, np.ndarray]:
        """Standardised lineage part given its families: mean and variance ``(S, columns)``."""
        scale = np.asarray(term.scale(self._values, self.spec))
        values = self.data[term.name].sel(family=families).values.astype(float)
        values = values / (scale[:, None] if scale.ndim else scale)
        if term.adds_to == "benchmark":
            known = self.known.loc[families].to_numpy()
        else:
            known = np.isin(families, self.present)[:, None].repeat(values.shape[-1], 1)
        known = known & (np.array(families) != without)[:, None]
        return term.lineage_given(values, known, self._share(term))

    def _prior(self, term: Term, family: str, n_models: int) -> tuple[Any, Any]:
        """Mean and scale of a term's coefficient given the relatives; both broadcast."""
        v, n = self._values, self.data.sizes["sample"]
        scale = np.asarray(term.scale(v, self.spec), float)
        if isinstance(term, Nested):
            relatives = self._relatives(self.lineage_of[family])
            mean, variance = self._of_lineage(term, relatives, family)
            return scale * mean, scale * np.sqrt(variance + 1 - self._share(term))
        width = len(self._shape(term, n_models))
        first, *rest = np.atleast_1d(scale).shape
        scale = scale.reshape(first, *(1,) * (width - len(rest)), *rest)
        return np.zeros((n, *(1,) * width)), np.broadcast_to(scale, (n, *scale.shape[1:]))

    def _shape(self, term: Term, n_models: int) -> tuple[int, ...]:
        """Shape of what is drawn of a term for a family."""
        of_each = term.drawn(self.data[term.name].shape[2:], self.spec)
        return (n_models, *of_each) if term.of == "model" else of_each

    def _draw(
        self, family: str, of_lineage: list[Term], new: bool = True
    ) -> family_given_scores.Own:
        """Draw a family's parameters given its scores, with or without the new ones.

        `of_lineage`: terms whose coefficient of the lineage is drawn with them.
        """
        v, spec = self.data, self.spec
        n = v.sizes["sample"]
        lineage, names = self.lineage_of[family], self._drawn(family)
        models = self.constant.sel(model=names)
        held = self._free("family") if self._held(family) else []
        own = [*of_lineage, *self._free("model")]
        own = own if held else [*self._free("family"), *own]
        shared = {name: v[name].values for name, t in TERMS.items() if not t.of and name in v}
        shared |= {
            t.name: v[t.name].sel(lineage=lineage).values
            for t in self._free("lineage")
            if t not in of_lineage
        }
        shared |= {t.name: v[t.name].sel(family=family).values for t in held}
        skills = [t for t in TERMS.values() if t in own and t.adds_to == "skill"]
        columns = {c: models[c].values.astype(float) for c in columns_of(spec)}
        alike = np.repeat(family, len(names))
        reach = {t.name: r for t in skills if (r := t.reach(columns, alike)) is not None}
        priors = {t.name: self._prior(t, family, len(names)) for t in skills}
        residual_mean, residual_scale = np.zeros((2, n, v.sizes["benchmark"]))
        residual = next((t for t in own if t.adds_to == "benchmark"), None)
        if residual is not None:
            residual_mean, residual_scale = self._prior(residual, family, len(names))
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
            shared=shared,
            mean={name: prior[0] for name, prior in priors.items()},
            scale={name: prior[1] for name, prior in priors.items()},
            residual_mean=residual_mean,
            residual_scale=residual_scale,
            log_size=logs["params_b"],
            log_tokens=logs["tokens_t"],
        )
        scores = family_given_scores.Scores(
            score=np.where(seen, table, 0.5),
            observed=seen.astype(float),
            columns=columns,
            reach=reach,
            **{name: self.constant[name].values for name in ("inverse_n", "rounding", "centre")},
            size_prior=self._prior_of_inputs("params_b"),
            tokens_prior=self._prior_of_inputs("tokens_t"),
        )
        kind = family_given_scores.Kind(
            inputs=spec.inputs,
            link=spec.link,
            noise=spec.noise,
            observation=spec.observation,
            entries=spec.entries,
            blocks=tuple(
                family_given_scores.Block(
                    t.name,
                    self._shape(t, reach[t.name].shape[1] if t.name in reach else len(names)),
                    t.common(spec),
                )
                for t in skills
            ),
            residual=residual is not None,
            sizes=unknown["params_b"],
            tokens=unknown["tokens_t"],
        )
        self.calls += 1
        own_draws = family_given_scores.condition(
            kind, draws, scores, seed=1000 * self.seed + self.calls
        )
        self.effective = min(self.effective, float(np.median(own_draws.effective)))
        return own_draws

    def _prior_of_inputs(self, column: str) -> np.ndarray:
        """Mean and standard deviation of the logs over the models of the fit."""
        logs = np.log(self.constant[column].drop_sel(model=self.new).values)
        if not np.isfinite(logs).any():  # a law that reads none
            return np.array([0.0, 1.0])
        return np.array([np.nanmean(logs), max(float(np.nanstd(logs)), LEAST_SPREAD)])

    def _keep(self, family: str, own: family_given_scores.Own) -> None:
        """Write what was drawn for a family where the posterior keeps it."""
        v, names, held = self.data, self._drawn(family), self._held(family)
        owner = {"family": family, "lineage": self.lineage_of[family], "model": names}
        for name, values in own.of.items():
            of = TERMS[name].of
            v[name].loc[{of: owner[of]}] = values
        for term in TERMS.values():
            if term.of == "family" and term.name in v and term.name not in own.of and not held:
                # the one term of benchmarks that there may be; or families are alike
                kept = own.residual if term.adds_to == "benchmark" else 0.0
                v[term.name].loc[{"family": family}] = kept
        for column, logs in zip(_INPUTS, (own.log_size, own.log_tokens)):
            latent = self._latent(column)
            for i, name in enumerate(names):
                if name in latent:
                    latent[name][:] = np.exp(logs[:, i])
        self.present.append(family)
        self.known.loc[family] = self.observed.loc[self._models(family)].notna().any()

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
