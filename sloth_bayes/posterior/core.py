"""The posterior: labelled draws, what can be recomputed from them, and its file.

The draws live in an :class:`xarray.DataTree` in ArviZ's schema. Only what was sampled is
stored; ``log_likelihood`` and ``posterior_predictive`` are recomputed exactly (same seed)
when they are asked for. Reading draws needs neither JAX nor NumPyro.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
import xarray as xr

from ..errors import SpecError
from ..law import equations, likelihood, terms
from ..law.likelihood import draw_scores
from ..law.spec import Spec
from ..law.terms import Effects
from ..support.types import checked
from ..table.columns import KINDS
from . import untold
from .base import Drawn, in_chains
from .diagnostics import diagnose, identified
from .verdict import Diagnostics

if TYPE_CHECKING:
    import pandas as pd

_CELLS = 4_000_000  # draws x models x benchmarks evaluated at once: 16 MB an array


class PosteriorDraws(Drawn):
    """Draws of every parameter given a table, and what follows from them.

    Made by :meth:`sloth_bayes.Sloth.fit` or :func:`sloth_bayes.load`, not by hand.

    Attributes
    ----------
    spec : Spec
        The specification that was fitted.
    """

    FORMAT, FORMAT_VERSION = "sloth_bayes posterior", 1
    NEEDED = ("posterior", "observed_data", "constant_data")

    def __init__(self, tree: xr.DataTree, spec: Spec) -> None:
        super().__init__(tree)
        self.spec = spec

    # -- what is in it -----------------------------------------------------------------

    def _names(self, dim: str) -> list[str]:
        return [str(v) for v in self.constant(dim)]

    @property
    def benchmarks(self) -> list[str]:
        """Names of the benchmarks, in the order of the table."""
        return self._names("benchmark")

    @property
    def families(self) -> list[str]:
        """Families with at least one model in the fit, sorted."""
        return self._names("family")

    @property
    def lineages(self) -> list[str]:
        """Lineages with at least one model in the fit, sorted."""
        return self._names("lineage")

    @property
    def models(self) -> list[str]:
        """Models in the fit, sorted."""
        return self._names("model")

    def model_table(self) -> pd.DataFrame:
        """Of each model: family, lineage, instruct, kind, params_b, tokens_t.

        For the layers above. Kinds are base and instruct where the law knows no other.
        """
        import pandas as pd

        tuned = self.constant("instruct").astype(bool)
        reasons = self.constant_data.get("reasons", xr.zeros_like(self.constant_data["instruct"]))
        columns = {
            "family": self.constant("family_of_model").astype(str),
            "lineage": self.constant("lineage_of_model").astype(str),
            "instruct": tuned,
            "kind": np.where(reasons, "reasoning", np.where(tuned, "instruct", "base")),
            "params_b": self.constant("params_b").astype(float),
            "tokens_t": self.constant("tokens_t").astype(float),
        }
        return pd.DataFrame(columns, index=pd.Index(self.models, name="model"))

    def family_table(self) -> pd.DataFrame:
        """Of each family: lineage, instruct, n_models and kind, of most of its models.

        For the layers above.
        """
        import pandas as pd

        models = self.model_table()
        families = pd.Index(self.families, name="family")
        count = np.zeros((len(families), len(KINDS)), int)
        kinds = pd.Index(KINDS).get_indexer(models["kind"])
        np.add.at(count, (families.get_indexer(models["family"]), kinds), 1)
        most = count.argmax(1)  # of a tie, the first: the plainer
        lineages = models.drop_duplicates("family").set_index("family")["lineage"]
        columns = {
            "lineage": lineages.loc[families],
            "instruct": most > 0,
            "n_models": count.sum(1),
            "kind": np.array(KINDS)[most],
        }
        return pd.DataFrame(columns, index=families)

    @property
    def leaderboard_of(self) -> dict[str, str]:
        """The leaderboard of each benchmark, or none. For the layers above."""
        none = xr.zeros_like(self.constant_data["chance"], dtype=str)  # of version 0.1
        boards = self.constant_data.get("leaderboard", none)
        return dict(zip(self.benchmarks, boards.values.astype(str)))

    def __repr__(self) -> str:
        sizes = self.tree["posterior"].sizes
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
        ``log_prior``, ``log_likelihood`` and ``posterior_predictive``; the last two, and
        ``observed_data``, hold ``score`` over the dimension ``observation`` (observed
        cells only) with coordinates ``obs_model`` and ``obs_benchmark``. ``log_prior`` has a
        variable a quantity, so that ArviZ can scale some of them (``prior_var_names`` of
        ``psense_summary``). ``sample_stats`` is there if the fit's were kept: of a thinned
        posterior they are those of all draws.

        Examples
        --------
        >>> import sloth_bayes as sb
        >>> sorted(sb.load("leaderboard").data_tree.children)[:2]
        ['constant_data', 'convergence']
        """
        from .log_prior import log_prior

        tree = self.tree.copy()
        mu, sd = self._observed_cells()
        data = self.tree["observed_data"].to_dataset()
        score, of = data["score"].values, data["obs_benchmark"].values
        rounding = self.constant_data["rounding"].sel(benchmark=of).values
        log_likelihood = np.empty_like(mu)
        block = max(1, _CELLS // self.n_draws)  # its working memory is many times its result
        for first in range(0, score.size, block):
            at = slice(first, first + block)
            log_likelihood[:, at] = likelihood.log_likelihood(
                score[at], mu[:, at], sd[:, at], self.spec.observation, rounding[at], np
            )
        if "sample_stats" in tree.children:
            # files of 0.1 did not number the draws here, which ArviZ asks for
            stats = tree["sample_stats"].to_dataset()
            bare = {"chain", "draw"} & set(map(str, stats.dims)) - set(map(str, stats.coords))
            numbered = {dim: np.arange(stats.sizes[dim]) for dim in bare}
            tree["sample_stats"] = xr.DataTree(stats.assign_coords(numbered))
        tree["log_prior"] = xr.DataTree(log_prior(self))
        tree["log_likelihood"] = xr.DataTree(self._of_observations("score", log_likelihood))
        tree["posterior_predictive"] = xr.DataTree(self._replicated(mu, sd))
        return tree

    def replicated(self) -> xr.Dataset:
        """Replicates of every observed score: chain, draw, observation. For the layers above."""
        return self._replicated(*self._observed_cells())

    def _replicated(self, mu: np.ndarray, sd: np.ndarray) -> xr.Dataset:
        rng = np.random.default_rng([int(self.attrs["seed"]), 1])
        score = draw_scores(mu, sd, self.spec.observation, rng)
        of = self.tree["observed_data"].to_dataset()["obs_benchmark"].values
        rounding = self.constant_data["rounding"].sel(benchmark=of).values
        step = np.where(rounding > 0, rounding, 1.0)
        rounded = np.where(rounding > 0, np.round(score / step) * step, score)
        return self._of_observations("score", rounded)

    def expected_scores(self) -> xr.DataArray:
        """Expected score of every observed cell: chain, draw, observation."""
        mu, _ = self._observed_cells()
        return self._of_observations("expected", mu)["expected"]

    def _of_observations(self, name: str, values: np.ndarray) -> xr.Dataset:
        data = self.tree["observed_data"].to_dataset()
        variable = {name: (("observation",), values.astype(np.float32, copy=False))}
        coords = {str(k): v for k, v in data.coords.items()}
        return in_chains(self.tree["posterior"].to_dataset(), variable, **coords)

    def needs_sizes(self, what: str) -> None:
        """An error if `what` cannot be had of a law without size and tokens.

        For the layers above.
        """
        if not equations.INPUTS[self.spec.inputs]:
            raise SpecError(
                f"{what} needs a law of size or tokens; that of this posterior has "
                f"inputs={self.spec.inputs!r}"
            )

    def extent(self, column: str) -> tuple[float, float]:
        """Smallest and largest ``params_b`` or ``tokens_t`` of the fit. For the layers above."""
        self.needs_sizes("a range of sizes or tokens")
        seen = self.constant(column)
        return float(np.nanmin(seen)), float(np.nanmax(seen))

    # -- the law at the draws ------------------------------------------------------------

    @cached_property
    def _of_benchmark(self) -> dict[str, np.ndarray]:
        """Those of :attr:`merged` that are one number or vector a benchmark, draws together."""
        dims = terms.dims()
        of_benchmark = [k for k in self.merged if dims[k][:1] == ("benchmark",)]
        return {k: draws_together(self.merged[k]) for k in of_benchmark}

    def cells(self, who: Effects, rows: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Expected score and noise scale ``(S, M, J)`` of `rows`. For the layers above."""
        mu, fraction = self.expected(who, rows)
        return mu, self.noise_sd(mu, fraction)

    def expected(self, who: Effects, rows: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Expected score, and its fraction of the range, ``(S, M, J)``. For the layers above.

        In memory the draws of a cell lie together: inner loops are long, and quantiles
        need no copy.
        """
        of = self._of_benchmark
        eta = self.predictor(who, rows)
        fraction = equations.link(self.spec.link, eta, of["link_shape"][:, None], np)
        return equations.expected(fraction, of["lower"][:, None], of["upper"][:, None]), fraction

    def predictor(self, who: Effects, rows: slice = slice(None)) -> np.ndarray:
        """The predictor ``(S, M, J)`` of `rows`, in logits. For the layers above."""
        of, who = self._of_benchmark, who.at(rows)
        theta = draws_together(terms.skills(self.merged, who))
        residual = terms.residuals(self.merged, who)
        eta: np.ndarray = equations.predictor(theta, of["loading"], residual, np)
        eta += of["bias"][:, None]
        return eta

    def noise_sd(self, mu: np.ndarray, fraction: np.ndarray) -> np.ndarray:
        """Noise scale ``(S, M, J)`` at what :meth:`expected` returns. For the layers above."""
        own = self._of_benchmark["noise_scale"][:, None]
        sampling = self.merged["sampling_fraction"][:, None, None]
        scale: np.ndarray = likelihood.noise_sd(
            self.spec.noise, mu, fraction, own, sampling, self.constant("inverse_n"), np
        )
        return scale

    def blocks(self, n_models: int) -> Iterator[slice]:
        """Slices of models small enough to evaluate at once. For the layers above."""
        size = max(1, _CELLS // (self.n_draws * len(self.benchmarks)))
        for first in range(0, n_models, size):
            yield slice(first, min(first + size, n_models))

    def known_effects(self, doubled: tuple[float, float] = (0.0, 0.0)) -> Effects:
        """The effects of the models in the fit. For the layers above.

        Were their sizes and tokens doubled so many times, and all else as it is.
        """
        return self._effects(self._inputs(doubled), slice(None))

    def _effects(self, inputs: np.ndarray, rows: slice) -> Effects:
        """Those of some of them, by the inputs of all."""
        constant = self.constant_data
        names = {"family": self.families, "lineage": self.lineages}
        places = {
            of: np.searchsorted(known, constant[f"{of}_of_model"].values[rows].astype(str))
            for of, known in names.items()
        }
        kept = terms.columns_of(self.spec)
        columns = {name: constant[name].values[rows].astype(np.float32) for name in kept}
        return terms.effects_of_table(
            self.merged, inputs[..., rows, :], columns, places | {"model": rows}
        )

    def _inputs(self, doubled: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        """Inputs ``(M, P)`` of the models in the fit; ``(S, M, P)`` where parameters count."""
        v, constant = self.merged, self.constant_data
        latent = {"params_b", "tokens_t", "mixture_weight", "balance"} & set(v)
        if not latent and doubled == (0.0, 0.0):
            return constant["inputs"].values
        shape = (self.n_draws, len(self.models))[0 if latent else 1 :]
        logs = []
        for name, more in zip(("params_b", "tokens_t"), doubled):
            values = np.broadcast_to(constant[name].values, shape).copy()
            if name in v:
                of = self.tree["posterior"].to_dataset()[terms.dims()[name][0]].values.astype(str)
                values[:, np.searchsorted(self.models, of)] = v[name]
            # NaN where the law does not read it
            logs.append(np.nan_to_num(np.log(values), nan=0.0) + more * np.log(2))
        centre = constant["centre"].values
        columns = {name: constant[name].values for name in terms.columns_of(self.spec)}
        size = terms.effective(logs[0], v, columns)
        loss = terms.of_loss(v)
        inputs: np.ndarray = equations.raw_inputs(
            self.spec.inputs, size, logs[1], centre, np, values=loss
        )
        return inputs.astype(np.float32)

    def _observed_cells(self) -> tuple[np.ndarray, np.ndarray]:
        """Expected score and noise scale of the observed cells, each ``(S, observation)``."""
        inputs = self._inputs()
        data = self.tree["observed_data"].to_dataset()
        row = np.searchsorted(self.models, data["obs_model"].values.astype(str))
        column = np.array([self.benchmarks.index(b) for b in data["obs_benchmark"].values])
        mu = np.empty((self.n_draws, row.size), np.float32)
        sd = np.empty_like(mu)
        for rows in self.blocks(len(self.models)):
            here = np.flatnonzero((row >= rows.start) & (row < rows.stop))
            # of these alone: residuals of all models are as many numbers as the posterior
            m, s = self.cells(self._effects(inputs, rows))
            mu[:, here] = m[:, row[here] - rows.start, column[here]]
            sd[:, here] = s[:, row[here] - rows.start, column[here]]
        return mu, sd

    def identified(self) -> xr.Dataset:
        """Quantities that do not depend on the rotation or sign of the skills.

        For the layers above: what convergence is judged by. Without what no score tells of,
        which is drawn given the rest.
        """
        data, told = self.tree["posterior"].to_dataset(), untold.told(self.tree, self.spec)
        return identified(data, self.expected_scores(), self.spec.loadings == "free", told)

    def diagnostics(self) -> Diagnostics:
        """Has the fit converged? See :class:`sloth_bayes.Diagnostics`."""
        return diagnose(self, self.identified)

    @checked
    def slim(self, draws: int = 1000) -> Self:
        """A smaller posterior for shipping: fewer draws, fewer digits, the same verdict.

        Draws are thinned evenly within chains to at least `draws` in all. Effects of families
        and models are rounded to at most a 32nd of their posterior standard deviation, all
        else to 9 significant bits. Residuals that no score tells of are left out; they are
        drawn again, given the rest, when the file is loaded. The diagnostics of the full fit
        travel along and are reported as such.

        Parameters
        ----------
        draws
            Draws to keep, over all chains.

        Raises
        ------
        DataError
            If there are fewer than `draws`.
        """
        tree = self._slimmed(draws)
        seed = int(self.attrs.get("seed", 0))
        tree["posterior"] = xr.DataTree(untold.left_out(tree, self.spec))
        tree["posterior"] = xr.DataTree(untold.filled_in(tree, self.spec, seed))
        tree.attrs["untold"] = seed
        return type(self)(tree, self.spec)

    def _written(self) -> xr.Dataset:
        if "untold" in self.tree.attrs:
            return untold.left_out(self.tree, self.spec)
        return super()._written()


def draws_together(array: np.ndarray) -> np.ndarray:
    """The same array, ``(S, ...)``, stored with its first axis innermost."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 0, -1)), -1, 0)
