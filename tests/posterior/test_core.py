"""The posterior: ArviZ's schema, its file, and which layer may import which."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import sloth_bayes as sb
from sloth_bayes.posterior.netcdf import read_tree
from tests.conftest import NAMES, QUICK, unjudged

PACKAGE = Path(sb.__file__).parent


@pytest.fixture(scope="module")
def candidates() -> pd.DataFrame:
    known = sb.candidates(family=["birch", "cedar-chat"], params_b=[8, 20], tokens_t=[2, 6])
    new = sb.candidates(family="dogwood", params_b=5, tokens_t=3)
    return pd.concat([known, new], ignore_index=True)


def forecasts(post: sb.Posterior, frame: pd.DataFrame) -> xr.Dataset:
    return post.forecast(frame, seed=7, new_family=True).draws


# -- the schema --------------------------------------------------------------------------


def test_groups_dims_and_coords(tiny_posterior, tiny_table):
    tree = tiny_posterior.data_tree
    assert isinstance(tree, xr.DataTree)
    groups = {
        *("posterior", "sample_stats", "observed_data", "constant_data"),
        *("log_likelihood", "posterior_predictive"),
    }
    assert groups <= set(tree.children)
    posterior = tree["posterior"].to_dataset()
    assert (posterior.sizes["chain"], posterior.sizes["draw"]) == (2, 200)
    for values in posterior.data_vars.values():
        assert values.dims[:2] == ("chain", "draw")
        assert np.isfinite(values).all()
        assert not any(dim.endswith(("_dim_0", "_dim_1")) for dim in values.dims)
    assert list(posterior["benchmark"].values) == NAMES
    assert list(posterior["family"].values) == list(tiny_table.families)
    assert list(posterior["lineage"].values) == list(tiny_table.lineages)
    assert posterior["loading"].dims == ("chain", "draw", "benchmark", "skill")
    assert posterior["slope"].dims == ("chain", "draw", "input", "skill")
    assert posterior["family_effect"].dims == ("chain", "draw", "family", "skill")
    for group in ("log_likelihood", "posterior_predictive"):
        score = tree[group]["score"]
        assert score.dims == ("chain", "draw", "observation")
        assert score.sizes["observation"] == tiny_table.n_scores
        assert np.isfinite(score).all()
    score = tree["posterior_predictive"]["score"]
    assert ((score >= 0) & (score <= 1)).all()


def test_index_maps_point_into_the_coords(tiny_posterior, tiny_table):
    constant = tiny_posterior.data_tree["constant_data"].to_dataset()
    frame = tiny_table.frame.set_index("model").loc[list(constant["model"].values)]
    assert list(constant["family_of_model"].values) == list(frame["family"])
    assert list(constant["lineage_of_model"].values) == list(frame["lineage"])
    assert list(constant["instruct"].values) == list(frame["instruct"].astype(int))
    lineage_of = dict(zip(frame["family"], frame["lineage"]))
    families = constant["family"].values
    assert list(constant["lineage_of_family"].values) == [lineage_of[f] for f in families]
    for name in ("family_of_model", "lineage_of_model", "lineage_of_family"):
        assert name not in constant.dims


def test_observations_are_labelled(tiny_posterior, tiny_table):
    wide = tiny_table.frame.set_index("model")
    for group in ("observed_data", "log_likelihood", "posterior_predictive"):
        data = tiny_posterior.data_tree[group].to_dataset()
        assert set(data["obs_benchmark"].values) == set(NAMES)
        assert set(data["obs_model"].values) == set(wide.index)
        pairs = set(zip(data["obs_model"].values, data["obs_benchmark"].values))
        assert ("alder-4b", "Reading") not in pairs
        assert len(pairs) == tiny_table.n_scores


def test_log_likelihood_is_that_of_the_expected_scores(tiny_posterior):
    """Worked anew for one unrounded cell from what the tree holds."""
    from sloth_bayes.law import likelihood

    tree = tiny_posterior.data_tree
    score = tree["observed_data"]["score"]
    at = int(np.flatnonzero((score["obs_benchmark"] == "Facts").values)[4])
    mu = tiny_posterior.expected_scores().values[..., at]
    posterior = tree["posterior"].to_dataset().sel(benchmark="Facts")
    fraction = (mu - posterior["lower"]) / (posterior["upper"] - posterior["lower"])
    sd = likelihood.noise_sd(
        tiny_posterior.spec.noise,
        mu,
        fraction.values,
        posterior["noise_scale"].values,
        posterior["sampling_fraction"].values,
        1 / 5000,
        np,
    )
    want = likelihood.log_likelihood(
        score.values[at], mu, sd, tiny_posterior.spec.observation, 0.0, np
    )
    np.testing.assert_allclose(tree["log_likelihood"]["score"].values[..., at], want, atol=1e-3)


def test_arviz_reads_it(tiny_posterior):
    from arviz_stats import loo, summary

    result = loo(tiny_posterior.data_tree)
    assert result.n_data_points == tiny_posterior.attrs["n_scores"]
    assert np.isfinite(result.elpd)
    table = summary(tiny_posterior.data_tree, var_names=["bias", "lower", "upper"])
    assert len(table) == 3 * len(NAMES)
    assert not table.isna().any(axis=None)


def test_derived_groups_are_the_same_each_time(tiny_posterior, tmp_path):
    again = sb.load(tiny_posterior.save(tmp_path / "again.nc"))
    for group in ("log_likelihood", "posterior_predictive"):
        mine = tiny_posterior.data_tree[group].to_dataset()
        assert again.data_tree[group].to_dataset().equals(mine)


def test_a_negative_seed_works_throughout_or_not_at_all(tiny_spec, tiny_table):
    try:
        post = tiny_spec.fit(tiny_table, seed=-1, **QUICK)
    except sb.SlothBayesError:
        return
    assert "posterior_predictive" in post.data_tree.children


# -- files -------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["tiny_posterior", "tiny_svi"])
def test_round_trip_of_every_number(which, request, tmp_path, candidates):
    post = request.getfixturevalue(which)
    path = post.save(tmp_path / "mine.nc")
    again = sb.load(path)
    assert again.spec == post.spec
    assert again.attrs == post.attrs
    assert forecasts(again, candidates).identical(forecasts(post, candidates))
    mine, yours = (p.data_tree["posterior"].to_dataset() for p in (post, again))
    assert mine.equals(yours)
    assert repr(again) == repr(post)
    assert str(again.diagnostics()) == str(post.diagnostics())


@pytest.mark.parametrize("which", ["tiny_posterior", "tiny_svi", "shipped"])
def test_files_are_read_as_xarray_reads_them(which, request, tmp_path):
    post = sb.load("open") if which == "shipped" else request.getfixturevalue(which)
    path = post.save(tmp_path / "mine.nc")
    with xr.open_datatree(path, engine="h5netcdf") as theirs:
        theirs.load()
    mine = read_tree(path)
    assert mine.identical(theirs)
    for name, group in theirs.children.items():
        for key, variable in group.to_dataset().variables.items():
            assert mine[name][key].dtype == variable.dtype, (name, key)


def test_a_string_and_a_path_are_both_paths(tiny_svi, tmp_path, monkeypatch):
    tiny_svi.save(tmp_path / "mine.nc")
    monkeypatch.chdir(tmp_path)
    assert sb.load("mine.nc").attrs == sb.load(Path("mine.nc")).attrs == tiny_svi.attrs


@pytest.fixture(scope="module")
def slim(tiny_posterior) -> sb.Posterior:
    return tiny_posterior.slim(draws=101)


def test_slim_is_smaller_and_keeps_enough(slim, tiny_posterior, tmp_path, candidates):
    assert 101 <= slim.n_draws < tiny_posterior.n_draws
    small = slim.save(tmp_path / "small.nc").stat().st_size
    large = tiny_posterior.save(tmp_path / "large.nc").stat().st_size
    assert small < 0.6 * large
    again = sb.load(tmp_path / "small.nc")
    assert forecasts(again, candidates).identical(forecasts(slim, candidates))
    assert int(again.attrs["slimmed_from"]) == tiny_posterior.n_draws
    assert np.isfinite(again.data_tree["log_likelihood"]["score"]).all()


def test_slim_draws_are_the_full_fits_draws(slim, tiny_posterior):
    full = tiny_posterior.data_tree["posterior"].to_dataset()
    kept = slim.data_tree["posterior"].to_dataset()
    full = full.sel(draw=kept["draw"])
    spread = full.std(("chain", "draw"))
    for name, values in kept.drop_vars("residual_lineage").data_vars.items():  # drawn again
        if {"family", "lineage", "model"} & set(values.dims):
            assert float((abs(values - full[name]) / spread[name]).max()) <= 1.001 / 32
        else:  # 9 significant bits: half of 2^-8
            np.testing.assert_allclose(values, full[name], rtol=2.0**-9, atol=1e-30)


def test_the_full_fits_diagnostics_travel(slim, tiny_posterior, tmp_path):
    full = tiny_posterior.diagnostics()
    for post in (slim, sb.load(slim.save(tmp_path / "slim.nc")), slim.slim(50)):
        travelled = post.diagnostics()
        assert travelled.ok == full.ok
        assert travelled.messages == full.messages
        pd.testing.assert_frame_equal(
            travelled.table.astype({c: "f4" for c in full.table.columns[1:]}),
            full.table.astype({c: "f4" for c in full.table.columns[1:]}),
            check_dtype=False,
        )


@pytest.mark.parametrize("draws", [0, -1, 401])
def test_slim_cannot_keep_what_is_not_there(draws, tiny_posterior):
    with pytest.raises(sb.DataError, match=f"{draws} of 400"):
        tiny_posterior.slim(draws)


def _one_sentence(error: pytest.ExceptionInfo[BaseException], path: Path) -> None:
    message = str(error.value)
    assert path.name in message
    assert "\n" not in message
    assert "Traceback" not in message
    assert message.count(". ") == 0


@pytest.mark.parametrize("keep", [0, 10, 0.3, 0.9, 0.99])
def test_a_truncated_file(keep, tiny_svi, tmp_path):
    path = tiny_svi.save(tmp_path / "cut.nc")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if keep < 1 else keep])
    with pytest.raises(sb.FileFormatError) as error:
        sb.load(path)
    _one_sentence(error, path)


def test_foreign_files(tmp_path):
    text, other = tmp_path / "text.nc", tmp_path / "other.nc"
    text.write_text("a,b\n1,2\n")
    xr.Dataset({"x": ("y", [1.0, 2.0])}).to_netcdf(other, engine="h5netcdf")
    for path in (text, other, tmp_path / "absent.nc", tmp_path):
        with pytest.raises(sb.FileFormatError) as error:
            sb.load(path)
        _one_sentence(error, path)


def test_another_version_says_what_to_do(tiny_svi, tmp_path):
    path = tiny_svi.save(tmp_path / "mine.nc")
    for version, remedy in ((99, "upgrade sloth-bayes"), (0, "fit it again")):
        with h5py.File(path, "a") as file:
            file.attrs["format_version"] = version
        with pytest.raises(sb.FileFormatError, match=remedy) as error:
            sb.load(path)
        _one_sentence(error, path)


@pytest.mark.parametrize(
    ("damage", "value"), [("format_version", None), ("format_version", "new"), ("spec", None)]
)
def test_a_damaged_header(damage, value, tiny_svi, tmp_path):
    path = tiny_svi.save(tmp_path / "mine.nc")
    with h5py.File(path, "a") as file:
        del file.attrs[damage]
        if value is not None:
            file.attrs[damage] = value
    with pytest.raises(sb.FileFormatError) as error:
        sb.load(path)
    _one_sentence(error, path)


def test_a_file_without_a_group(tiny_svi, tmp_path):
    path = tiny_svi.save(tmp_path / "mine.nc")
    with h5py.File(path, "a") as file:
        del file["observed_data"]
    with pytest.raises(sb.FileFormatError, match="observed_data") as error:
        sb.load(path)
    _one_sentence(error, path)


def test_a_name_that_does_not_ship():
    with pytest.raises(sb.UnknownNameError, match="'leaderbord'"):
        sb.load("leaderbord")


def test_a_failed_save_leaves_the_old_file(tiny_svi, tmp_path, monkeypatch):
    path = tiny_svi.save(tmp_path / "mine.nc")
    before = path.read_bytes()

    whole = Path.write_bytes

    def half(self, data):
        whole(self, data[: len(data) // 2])
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(sb.FileFormatError, match="no space left"):
        tiny_svi.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_saving_into_a_folder_that_does_not_exist(tiny_svi, tmp_path):
    with pytest.raises(sb.FileFormatError, match="cannot write"):
        tiny_svi.save(tmp_path / "no" / "mine.nc")


# -- imports -----------------------------------------------------------------------------


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_imports_little_and_changes_nothing():
    out = _run(
        "import sys, os, warnings, logging\n"
        "import numpy as np, pandas as pd\n"
        "def state():\n"
        "    return (dict(os.environ), list(warnings.filters), np.geterr(), sys.path[:],\n"
        "            logging.getLogger().level, pd.get_option('display.max_rows'))\n"
        "before = state()\n"
        "import sloth_bayes\n"
        "assert state() == before\n"
        "print([m for m in ('jax', 'numpyro', 'matplotlib', 'arviz', 'arviz_stats', 'optax')\n"
        "       if m in sys.modules])\n"
    )
    assert out.strip() == "[]"


def test_reading_and_forecasting_need_no_jax(tiny_posterior, tmp_path):
    path = unjudged(tiny_posterior).save(tmp_path / "mine.nc")
    out = _run(
        "import sys\n"
        "import sloth_bayes as sb\n"
        f"post = sb.load({str(path)!r})\n"
        "fc = post.forecast(sb.candidates(family='cedar', params_b=20, tokens_t=6))\n"
        "assert len(fc.frame) == 4\n"
        "post.data_tree\n"
        "print([m for m in ('jax', 'numpyro', 'matplotlib', 'optax') if m in sys.modules])\n"
        "assert len(post.surprises(draws=30).frame)\n"
        # ArviZ imports Matplotlib; from 1.0 on it names JAX too, and SciPy loads what is named
        "assert not [m for m in sys.modules if m.startswith(\n"
        "    ('sloth_bayes.model', 'sloth_bayes.infer'))]\n"
        "import arviz_base\n"
        "assert 'jax' not in sys.modules or not arviz_base.__version__.startswith('0.')\n"
    )
    assert out.strip() == "[]"


def test_a_table_may_have_any_name(tiny_svi):
    tree = tiny_svi.tree.copy()
    tree.attrs = {**tiny_svi.tree.attrs, "data": "[draft] scores"}
    assert sb.Posterior(tree, tiny_svi.spec).attrs["data"] == "[draft] scores"


def test_slim_keeps_the_samplers_statistics_of_every_draw(slim, tiny_posterior):
    from arviz_stats import bfmi

    stats_ = slim.data_tree["sample_stats"]
    assert stats_.sizes["draw"] == tiny_posterior.data_tree["posterior"].sizes["draw"]
    assert stats_.sizes["draw"] > slim.data_tree["posterior"].sizes["draw"]
    both = [bfmi(post.data_tree) for post in (slim, tiny_posterior)]
    assert np.allclose(both[0]["energy"], both[1]["energy"])
    # draws keep their numbers, so that a divergence is found where it happened
    draws = slim.data_tree["posterior"]["draw"].values
    assert set(draws) <= set(stats_["draw"].values)
