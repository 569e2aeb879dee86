"""From the arrays of a fit to a labelled posterior."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from ..law import equations, terms
from ..law.spec import Spec
from ..model.arrays import Design
from .core import PosteriorDraws


def build(
    spec: Spec,
    design: Design,
    values: dict[str, np.ndarray],
    *,
    chains: int,
    sample_stats: xr.Dataset | None,
    attrs: dict[str, Any],
) -> PosteriorDraws:
    """Label the draws of a fit.

    Parameters
    ----------
    values
        The quantities of :func:`sloth_bayes.model.scores.draw_values`, chains one after another
        along the first axis.
    """
    a = design.arrays
    n_draws = len(values["bias"]) // chains
    coords: dict[str, Any] = {
        "chain": np.arange(chains),
        "draw": np.arange(n_draws),
        "benchmark": list(design.benchmarks),
        "skill": [f"skill {k + 1}" for k in range(values["loading"].shape[-1])],
        "input": list(equations.INPUTS[spec.inputs]),
        "family": list(design.families),
        "lineage": list(design.lineages),
        "model": list(design.models),
        "of_unknown_size": list(design.of_unknown[0]),
        "of_unknown_tokens": list(design.of_unknown[1]),
    }
    variables = {}
    for name, dims in terms.dims().items():
        source = values.get(name)
        if source is not None:
            array = np.asarray(source, np.float32).reshape(chains, n_draws, *source.shape[1:])
            variables[name] = (("chain", "draw", *dims), array)
    used = {d for dims, _ in variables.values() for d in dims}
    posterior = xr.Dataset(variables, coords={k: v for k, v in coords.items() if k in used})

    row, column = np.nonzero(np.asarray(a.observed) > 0)
    score = design.table[list(design.benchmarks)].to_numpy(float)[row, column]
    observed = xr.Dataset(
        {"score": ("observation", score)},
        coords={
            "observation": np.arange(row.size),
            "obs_model": ("observation", np.asarray(design.models)[row]),
            "obs_benchmark": ("observation", np.asarray(design.benchmarks)[column]),
        },
    )
    table = design.table
    families, lineages = np.asarray(design.families), np.asarray(design.lineages)
    read = [name for name in terms.columns_of(spec) if name != "instruct"]
    constant = xr.Dataset(
        {
            "params_b": ("model", table["params_b"].to_numpy(float)),
            "tokens_t": ("model", table["tokens_t"].to_numpy(float)),
            "instruct": ("model", table["instruct"].to_numpy(bool).astype(np.int8)),
            **{name: ("model", np.asarray(a.columns[name])) for name in read},
            "inputs": (("model", "input"), np.asarray(a.inputs)),
            "family_of_model": ("model", families[np.asarray(a.family_of_model)]),
            "lineage_of_model": ("model", lineages[np.asarray(a.lineage_of_model)]),
            "lineage_of_family": ("family", lineages[np.asarray(a.lineage_of_family)]),
            "leaderboard": ("benchmark", np.asarray(design.leaderboards, dtype=str)),
            "chance": ("benchmark", np.asarray(a.chance)),
            "inverse_n": ("benchmark", np.asarray(a.inverse_n)),
            "rounding": ("benchmark", np.asarray(a.rounding)),
            "shortfall": ("benchmark", np.asarray(a.shortfall)),
            "chance_sd": ("benchmark", np.asarray(a.chance_sd)),
            "questions": ("benchmark", np.asarray(a.questions)),
            "centre": ("centre_of", np.asarray(design.centre, float)),
        },
        coords={
            **{k: coords[k] for k in ("benchmark", "input", "family", "lineage", "model")},
            "centre_of": ["log_size", "log_tokens"],
        },
    )
    groups = {"posterior": posterior, "observed_data": observed, "constant_data": constant}
    if sample_stats is not None:
        groups["sample_stats"] = sample_stats
    tree = xr.DataTree.from_dict(groups)
    clean = {
        k: json.dumps(v) if isinstance(v, dict | list | tuple) else v for k, v in attrs.items()
    }
    tree.attrs = {**clean, "n_scores": int(row.size), "spec": spec.to_toml()}
    return PosteriorDraws(tree, spec)
