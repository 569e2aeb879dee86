"""What priors expect of a table: by the law, reproducible, in ArviZ's schema."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import sloth_bayes as sb
from sloth_bayes.predict.before_data import before_data


def test_the_tree_is_that_of_the_prior_by_seed(tiny_spec, tiny_table, tiny_prior):
    tree = tiny_spec.prior_predictive(tiny_table, draws=60, seed=5)
    assert {"prior", "prior_predictive", "observed_data"} <= set(tree.children)
    again, other = (tiny_spec.prior_predictive(tiny_table, draws=60, seed=s) for s in (5, 6))
    xr.testing.assert_identical(tree["prior_predictive"], again["prior_predictive"])
    assert not tree["prior"].to_dataset().equals(other["prior"].to_dataset())
    prior = tiny_spec.prior(tiny_table, draws=60, seed=5).data_tree
    xr.testing.assert_identical(
        tree["prior_predictive"]["score"], prior["posterior_predictive"]["score"]
    )
    with pytest.raises(sb.SpecError, match="draws"):
        tiny_spec.prior_predictive(tiny_table, draws=0)


@pytest.mark.filterwarnings("ignore::sloth_bayes.ExtrapolationWarning")
def test_a_gain_is_that_of_models_of_twice_the_size(tiny_prior, tiny_table):
    groups = {name: child.to_dataset() for name, child in tiny_prior.tree.children.items()}
    thin = groups["posterior"].isel(draw=slice(0, 100))
    # a model of another size is another model: without effects of single ones
    groups["posterior"] = thin.assign(
        {name: 0 * thin[name] for name in ("model_effect", "model_scale")}
    )
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = tiny_prior.tree.attrs
    prior = sb.Posterior(tree, tiny_prior.spec)
    gain = before_data(prior)["prior"]["gain"]
    rows = tiny_table.frame
    scored = rows[list(tiny_table.benchmark_names)].notna().to_numpy()

    def expected(**factors: float) -> np.ndarray:
        asked = sb.candidates(
            rows["family"], rows["params_b"] * factors.get("params_b", 1),
            rows["tokens_t"] * factors.get("tokens_t", 1),
        )  # fmt: skip
        return prior.forecast(asked).draws["expected"].values[0]

    for name, column in (("size", "params_b"), ("tokens", "tokens_t")):
        change = np.where(scored, expected(**{column: 2.0}) - expected(), np.nan)
        found = gain.sel(doubled=name).values[0]
        np.testing.assert_allclose(found, np.nanmean(change, axis=1), atol=1e-5)
