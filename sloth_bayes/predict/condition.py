"""Conditioning a posterior on new models, without a refit.

Held fixed: nothing. Each draw of the parameters that all families share is kept and
weighted by how well it predicts the new scores, with the new family's own parameters
integrated out; these are then sampled given its scores and that draw
(:mod:`sloth_bayes.predict.family_given_scores`). Weights are Pareto-smoothed (Vehtari et al., 2024,
arXiv 1507.02646), and their k-hat says whether the draws reach far enough.
"""

from __future__ import annotations

import dataclasses
import json
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import ConvergenceWarning, DataError, DataWarning, SpecError, spelled_alike, unknown
from ..law.equations import INPUTS
from ..law.terms import Nested, of, reading
from ..posterior import pareto
from ..posterior.core import PosteriorDraws
from ..posterior.verdict import K_HAT_MOST
from ..support.devices import check_devices
from ..support.frames import as_pandas, is_frame
from ..support.types import checked
from ..table.benchmarks import Benchmark
from ..table.columns import FURTHER, META
from ..table.leaderboard import Leaderboard
from .candidates import column_of

if TYPE_CHECKING:
    from ..table.observed import Observed

P = TypeVar("P", bound=PosteriorDraws)
_META = (*META, *FURTHER, "released")
_ENOUGH = 0.1  # share of the importance sampler's points that should count


@checked
def condition(
    post: P,
    new_scores: pd.DataFrame | Observed,
    *,
    seed: int = 0,
    reweight: bool = True,
) -> P:
    """Observe the scores of new models, of new families or of known ones.

    A family's own parameters (its effect on the skills, its residual on each benchmark
    and, where the specification or the data have them, slopes, effects of single models
    and unknown inputs) are sampled given all scores of the family, old and new, its
    relatives and one draw of everything else. Draws are then resampled in proportion to
    the marginal likelihood of the new scores: families of one lineage one after another,
    each given those before it.

    Parameters
    ----------
    post
        The posterior.
    new_scores
        A frame with one row a model, as a table has them: model, family, params_b
        (billions), tokens_t (trillions), scores in [0, 1] under the names of the
        posterior's benchmarks, NaN or no column where there is none; lineage and instruct
        are optional, as in a forecast. Or what :func:`sloth_bayes.read_observed` read.
        A size or token count that is NaN is *latent*: its prior is log-normal with the
        mean and standard deviation of the logs of the posterior's models, and its
        posterior is among the draws (``params_b``, ``tokens_t``).
    seed
        Same seed, same numbers.
    reweight
        Whether the new scores have a say in the shared parameters. If not, they are *cut*: each
        draw stays what and where it is, and the new families' own parameters are drawn given it
        and their scores. For many new models at once, which no reweighting can follow, or where
        they should not move what the table says.

    Returns
    -------
    Posterior
        As many draws as before, some of them repeated as far as shared parameters go. The
        new models, families and lineages are part of it: forecasts, skills and files work
        as on any other. ``attrs["conditioned"]`` lists what was observed, with ``k_hat``
        (of all and of each family) and the effective number of draws, and
        :meth:`~sloth_bayes.Posterior.diagnostics` repeats them. Without any score in
        `new_scores` nothing changes.

    Raises
    ------
    DataError
        If a model is in the posterior already, a score is outside [0, 1], a family
        changes its lineage, or a number makes no sense.
    UnknownNameError
        If a column of numbers is no benchmark of the posterior.
    SpecError
        If the law is one of training curves (``inputs="checkpoint"``, ``residual="curve"``), or
        has another term than the residual that is of families and adds to benchmarks.

    Warns
    -----
    ConvergenceWarning
        If k-hat exceeds 0.7: the new scores move the shared parameters further than the
        draws reach, and a refit is needed; or if the fit itself has not converged.

    Examples
    --------
    >>> import pandas as pd
    >>> import sloth_bayes as sb
    >>> mine = pd.DataFrame({"model": ["mine-1b"], "family": "mine", "params_b": 1.4,
    ...                      "tokens_t": 0.3, "ARC": 0.33, "HellaSwag": 0.55})
    >>> post = sb.load("leaderboard").condition(mine)
    >>> "mine" in post.families, post.attrs["conditioned"][0]["scores"]
    (True, 2)
    """
    if post.spec.inputs == "checkpoint" or post.spec.residual == "curve":
        raise SpecError(
            "a law of training curves cannot be conditioned on new models: fit the curves with "
            "theirs among them, sb.track(curves, run)"
        )
    own = [t for t in of(post.spec) if t.adds_to == "benchmark" and t.free(post.spec)]
    for term in own:  # one is integrated out, on a grid
        if len(own) > 1 or term.times or not isinstance(term, Nested):
            raise SpecError(
                f"the term {own[-1].name!r} gives families or models parameters of their own on "
                "benchmarks, which conditioning cannot draw: refit with the new rows, "
                "post.spec.fit(table.with_rows(new_scores))"
            )
    rows = _rows(post, new_scores)
    rows = rows[rows.filter(items=post.benchmarks).notna().any(axis=1)]
    if rows.empty:
        return _marked(post, post.tree.copy(), rows, {"k_hat": None, "ess": post.n_draws}, seed)
    from .state import State  # needs JAX, which reading and forecasting do not

    check_devices()
    state = State.of(post, rows, seed)
    each = {family: state.observe(family) for family in state.affected}
    log_weights = np.sum(list(each.values()), axis=0)
    smoothed, k_hat = _smoothed(log_weights)
    weights = np.exp(smoothed - smoothed.max())
    weights /= weights.sum()
    rng = np.random.default_rng([seed, 7])
    if reweight:
        state.take(_resampled(weights, rng))
    for family in state.affected:
        # repeated draws get parameters of their own, relatives hear of each other
        if reweight or state.has_new_relatives(family):
            state.redraw(family)
    state.complete(rng)
    found = {
        "k_hat": round(k_hat, 3),
        "k_hat_of_family": {f: round(_smoothed(w)[1], 3) for f, w in each.items()},
        "ess": round(float(1 / (weights**2).sum()), 1),
        "sampler": round(float(state.effective), 3),
        **({} if reweight else {"cut": True}),
    }
    return _marked(post, state.tree(), rows, found, seed)


# -- what is to be observed ----------------------------------------------------------------


def _rows(post: PosteriorDraws, given: pd.DataFrame | Observed) -> pd.DataFrame:
    """The new models, checked and sorted by name; lineage and instruct from the posterior."""
    if isinstance(getattr(given, "frame", None), pd.DataFrame):
        known = [c for c in given.frame if c in _META or c in post.benchmarks]
        frame = given.frame[known]
        if len(frame) and not set(known) & set(post.benchmarks):
            raise DataError(
                "the posterior has none of the benchmarks that were read; it has "
                f"{', '.join(post.benchmarks)}"
            )
    elif is_frame(given):
        frame = as_pandas(given)
    else:
        raise DataError(
            "new scores are a DataFrame with one row a model, or what "
            f"sloth_bayes.read_observed returns, not {type(given).__name__}"
        )
    for column in frame:
        numeric = pd.api.types.is_numeric_dtype(frame[column])
        if column not in _META and column not in post.benchmarks and numeric:
            raise unknown(
                "benchmark", column, post.benchmarks,
                "Drop the column if it is none: only benchmarks of the posterior can be observed.",
            )  # fmt: skip
    frame = frame.copy()
    families = post.family_table()
    lineage_of = families["lineage"].to_dict()
    if "family" in frame:
        family = frame["family"].astype(str).str.strip()
        for column in ("lineage", "kind" if "kind" in frame else "instruct"):
            asked = frame[column] if column in frame else pd.Series(None, frame.index, dtype=object)
            default = family.map(families[column])
            frame[column] = asked.astype(object).where(asked.notna(), default)
    for column in ("params_b", "tokens_t"):
        if column not in frame and not INPUTS[post.spec.inputs]:
            frame[column] = np.nan
        elif column not in frame:
            raise DataError(
                f"the new scores lack the column {column!r}: give it, NaN where it is unknown"
            )
    known_of = zip(post.benchmarks, post.constant("chance"), post.constant("rounding"))
    benchmarks = [
        Benchmark(name, chance=float(chance), rounding=float(rounding))
        for name, chance, rounding in known_of
        if name in frame
    ]
    if not len(frame) or not benchmarks:
        return frame.iloc[:0]
    table = Leaderboard.validated(frame, benchmarks, "new scores", unscored=True)
    rows = table.described.sort_values("model", kind="stable").reset_index(drop=True)
    released = rows.assign(released=rows["family"].map(table.releases))
    for term in reading(post.spec):
        if term.reads != "instruct":
            rows[term.reads] = column_of(post, term, released, rows)
    for column, known in (("family", post.families), ("lineage", post.lineages)):
        for name in rows[column].unique():
            if like := spelled_alike(name, known):
                warnings.warn(
                    f"{column} {name!r} is taken as new; the posterior knows {like!r}: write it "
                    "so, if that is meant",
                    DataWarning,
                    stacklevel=5,
                )
    for row in rows.itertuples():
        if row.model in post.models:
            raise DataError(
                f"model {row.model!r} is in the posterior already, with its scores: only new "
                "models can be observed (a second evaluation of it is not independent)"
            )
        if lineage_of.get(row.family, row.lineage) != row.lineage:
            raise DataError(
                f"family {row.family!r} is of lineage {lineage_of[row.family]!r}, not "
                f"{row.lineage!r}"
            )
    return rows


def _smoothed(log_weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Pareto-smoothed log weights, and k-hat."""
    if np.ptp(log_weights) < 1e-6:
        return np.zeros_like(log_weights), -np.inf
    return pareto.smoothed(log_weights)


def _resampled(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Systematic resampling: sorted indices; equal weights give each draw once."""
    n = len(weights)
    at = (np.arange(n) + rng.uniform()) / n
    return np.minimum(np.searchsorted(np.cumsum(weights), at), n - 1)


def _marked(post: P, tree: xr.DataTree, rows: pd.DataFrame, found: dict[str, Any], seed: int) -> P:
    """The result, which says what it was conditioned on and how well that went."""
    note = {
        "models": [str(m) for m in rows.get("model", [])],
        "families": sorted({str(f) for f in rows.get("family", [])}),
        "scores": int(rows.filter(items=post.benchmarks).notna().to_numpy().sum()),
        "draws": post.n_draws,
        "seed": seed,
        **found,
    }
    of_fit = post.diagnostics()
    messages, ok = _verdict(note)
    for said in [*(() if ok else messages[:1]), *(() if of_fit.ok else post.cautions)]:
        warnings.warn(said, ConvergenceWarning, stacklevel=4)
    verdict = dataclasses.replace(
        of_fit, ok=of_fit.ok and ok, messages=(*messages, *of_fit.messages)
    )
    groups = {k: tree[k].to_dataset() for k in ("posterior", "observed_data", "constant_data")}
    tree = xr.DataTree.from_dict({**groups, "convergence": verdict.to_dataset()})
    tree.attrs = {
        # a file has every draw: they are no longer those that the seed gives
        **{name: value for name, value in post.tree.attrs.items() if name != "untold"},
        "n_scores": int(tree["observed_data"].sizes["observation"]),
        "conditioned": json.dumps([*post.attrs.get("conditioned", []), note]),
    }
    return type(post)(tree, post.spec)


def _verdict(note: dict[str, Any]) -> tuple[tuple[str, ...], bool]:
    """What to think of a reweighting, for people."""
    models = note["models"]
    if not models:
        return ("Conditioned on nothing: there was no new score.",), True
    who = ", ".join(models[:3]) + (f" and {len(models) - 3} more" if len(models) > 3 else "")
    what = f"{note['scores']} score{'' if note['scores'] == 1 else 's'} of {who}"
    how = f"PSIS k-hat {note['k_hat']:.2f}, {note['ess']:.0f} of {note['draws']} draws effective"
    if note.get("cut"):
        how = f"shared parameters keep their draws (reweighting them would have had {how})"
    elif not note["k_hat"] <= K_HAT_MOST:  # NaN is no verdict
        return (
            f"Conditioning on {what} has FAILED: {how}. k-hat is above {K_HAT_MOST}: the new "
            "scores move the shared parameters further than the draws reach. Do: refit with the "
            "new rows, post.spec.fit(table.with_rows(new_scores)), or sloth-bayes fit; rows of "
            "unknown size or tokens need a specification with unknown_inputs='latent'.",
        ), False
    messages = [f"Conditioned on {what}: {how}."]
    if note["sampler"] < _ENOUGH:
        messages.append(
            f"The family's own parameters are hard to sample: {note['sampler']:.0%} of the points "
            "count. Intervals may be rough; a refit is exact."
        )
    return tuple(messages), True
