"""Residuals that no score tells of: left out of small files, drawn again on loading."""

from __future__ import annotations

import numpy as np
import pytest

import sloth_bayes as sb
from sloth_bayes.posterior import untold

from ..conftest import layout, leaderboard


@pytest.fixture(scope="module")
def post() -> sb.Posterior:
    """The prior of a table where birch-chat has no score on Maths, and cedar none on Code."""
    rows = layout()
    scores = np.full((len(rows), 4), 0.5)
    scores[rows["family"] == "birch-chat", 1] = np.nan
    scores[rows["lineage"] == "cedar", 3] = np.nan
    return sb.Sloth(n_skills=1, link="logistic").prior(leaderboard(scores), draws=4000, seed=3)


@pytest.mark.slow
def test_a_file_has_zeros_there_and_all_else(post):
    data, out = post.tree["posterior"].to_dataset(), untold.left_out(post.tree, post.spec)
    assert float(abs(out["residual_lineage"]).max()) == 0
    unknown = {"birch-chat": ["Maths"], "cedar": ["Code"], "cedar-chat": ["Code"]}
    for family in post.families:
        for benchmark in post.benchmarks:
            at = {"family": family, "benchmark": benchmark}
            kept = out["residual"].sel(at).values
            if benchmark in unknown.get(family, []):
                assert not kept.any()
            else:
                np.testing.assert_array_equal(kept, data["residual"].sel(at).values)
    same = [name for name in data if name not in ("residual", "residual_lineage")]
    assert out[same].identical(data[same])


@pytest.mark.long
def test_what_is_drawn_again_follows_from_the_rest_as_before(post):
    """Means and products of standardised residuals, within four standard errors."""
    tree = post.tree.copy()
    tree["posterior"] = type(tree)(untold.left_out(post.tree, post.spec))
    again = untold.filled_in(tree, post.spec, seed=5)
    before = post.tree["posterior"].to_dataset()

    def standard(data, name, **at):
        scale = data["residual_scale"].sel(benchmark=at["benchmark"])
        return (data[name].sel(at) / scale).values.ravel()

    pairs = [
        ({"family": "birch-chat"}, {"family": "birch"}, "Maths"),
        ({"family": "cedar-chat"}, {"family": "cedar"}, "Code"),
        ({"family": "birch-chat"}, {"lineage": "birch"}, "Maths"),
        ({"family": "birch"}, {"lineage": "birch"}, "Reading"),
    ]
    for one, other, benchmark in pairs:
        products = []
        for data in (before, again):
            a = standard(data, "residual", **one, benchmark=benchmark)
            name = "residual" if "family" in other else "residual_lineage"
            b = standard(data, name, **other, benchmark=benchmark)
            assert abs(a.mean()) < 4 * a.std() / np.sqrt(a.size)
            products.append(a * b)
        difference = products[0].mean() - products[1].mean()
        error = np.sqrt(sum(p.var() / p.size for p in products))
        assert abs(difference) < 4 * error
        assert products[1].mean() > 0.2  # relatives are alike: half the variance is shared
    assert not np.array_equal(
        standard(before, "residual", family="birch-chat", benchmark="Maths"),
        standard(again, "residual", family="birch-chat", benchmark="Maths"),
    )


def test_a_small_posterior_is_the_same_when_it_is_loaded(post, tmp_path):
    small = post.slim(300)
    again = sb.load(small.save(tmp_path / "small.nc"))
    for name, values in small.merged.items():
        np.testing.assert_array_equal(values, again.merged[name])
    asked = sb.candidates("cedar-chat", 5.0, 6.0)
    assert small.forecast(asked).frame.equals(again.forecast(asked).frame)
