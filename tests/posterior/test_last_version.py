"""Files that version 0.1.0 saved: they load, and say what they said then.

``tests/fixtures/*.nc.gz`` were written by 0.1.0 and compressed: a posterior of `tiny_table`
(`tiny_spec` by variational inference, slimmed to 60 draws), and one of ratings (two chains of 20
draws, far from converged). The numbers below are what 0.1.0 said of them.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

import sloth_bayes as sb

FIXTURES = Path(__file__).parents[1] / "fixtures"
KNOWN = [0.5855691, 0.7180538, 0.2494373, 0.7745648, 0.5535375, 0.2184193, 0.249029, 0.8681594]
NEW = [0.5299481, 0.3968738, 0.2812019, 0.8188846]
CURVE = [2.4760118, 3.0332909, 3.7104262, 2.5779803, 2.7669806, 3.1686773]


def unpacked(name: str, folder: Path) -> Path:
    path = folder / name
    path.write_bytes(gzip.decompress((FIXTURES / f"{name}.gz").read_bytes()))
    return path


def medians(fc: sb.Forecast) -> np.ndarray:
    """Of the draws, as the frame had them in 0.1.0: it integrates their noise out since."""
    return (
        fc.draws["score"].median(("chain", "draw")).transpose("model", "benchmark").values.ravel()
    )


@pytest.mark.filterwarnings("ignore::sloth_bayes.ExtrapolationWarning")
def test_a_posterior_of_the_last_version(tmp_path):
    path = unpacked("posterior-0.1.0.nc", tmp_path)
    for post in (sb.load(path), sb.load(sb.load(path).save(tmp_path / "again.nc"))):
        assert (post.method, post.n_draws) == ("svi", 60)
        assert post.attrs["versions"]["sloth-bayes"] == "0.1.0"
        known = sb.candidates(["alder", "birch-chat"], [3.0, 20.0], [1.0, 2.0])
        np.testing.assert_allclose(medians(post.forecast(known)), KNOWN, atol=1e-6)
        new = post.forecast(sb.candidates(params_b=7.0), new_family=True)
        np.testing.assert_allclose(medians(new), NEW, atol=1e-6)
        found = post.diagnostics()
        assert (found.ok, len(found.table)) == (True, 343)
        assert found.messages[0].startswith("The ELBO has converged (last tenth: -1.3")
        log_likelihood = post.data_tree["log_likelihood"]["score"].values
        assert log_likelihood.mean() == pytest.approx(1.2627966, abs=1e-5)
        assert post.slim(20).n_draws == 20


def test_ratings_of_the_last_version(tmp_path):
    path = unpacked("ratings-0.1.0.nc", tmp_path)
    first = sb.load_ratings_posterior(path)
    for post in (first, sb.load_ratings_posterior(first.save(tmp_path / "again.nc"))):
        assert post.n_draws == 40
        np.testing.assert_allclose(post.curve(points=3)["median"], CURVE, atol=1e-6)
        assert post.sizes()["median"].item() == pytest.approx(2.1445312)
        found = post.diagnostics()
        assert (found.ok, len(found.table)) == (False, 68)
        assert "R-hat at most 1.332" in found.messages[0]
