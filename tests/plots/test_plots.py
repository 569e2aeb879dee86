"""Figures: what is drawn, where, and that nothing else changes."""

from __future__ import annotations

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

import sloth_bayes as sb
from sloth_bayes.plots import panels, scores


def known(post, family, params_b, tokens_t=2.0, **options):
    frame = sb.candidates(family=family, params_b=params_b, tokens_t=tokens_t, **options)
    return post.forecast(frame)


def curve(axis):
    """Sizes and medians, in percent, of the first curve."""
    return next(line.get_data() for line in axis.lines if len(line.get_xdata()) > 10)


def diamonds(axis):
    return [line.get_data() for line in axis.lines if line.get_marker() == "D"]


def labels(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.filterwarnings("ignore::sloth_bayes.ExtrapolationWarning")
def test_one_candidate_gets_a_curve_over_sizes(tiny_posterior):
    family = tiny_posterior.families[0]
    fc = known(tiny_posterior, family, 20.0)
    axes = fc.plot()
    assert axes.shape == (len(tiny_posterior.benchmarks),)
    constant = tiny_posterior.data_tree["constant_data"]
    smallest = float(constant["params_b"][constant["family_of_model"] == family].min())
    frame = fc.frame.set_index("benchmark")
    for axis, name in zip(axes, tiny_posterior.benchmarks):
        assert axis.get_title(loc="left") == name
        assert axis.get_xscale() == "log"
        sizes, medians = curve(axis)
        assert (sizes[0], sizes[-1]) == pytest.approx((smallest, 20.0))
        ((x, y),) = diamonds(axis)
        assert x[0] == pytest.approx(20.0)
        assert y[0] == pytest.approx(100 * frame.loc[name, "median"], abs=1e-4)
        spread = 100 * frame.loc[name, "sd"]
        assert medians[-1] == pytest.approx(y[0], abs=0.5 * spread + 0.1)
    assert labels(axes[0].figure)[0] == f"{family}, 2T tokens"


def test_observed_scores_are_the_published_ones(tiny_posterior):
    family, name = tiny_posterior.families[0], tiny_posterior.benchmarks[0]
    (axis,) = known(tiny_posterior, family, 5.0).plot(benchmarks=[name])
    (dots,) = [line for line in axis.lines if line.get_marker() == "o"]
    tree = tiny_posterior.data_tree
    data = tree["observed_data"].to_dataset()
    here = data["obs_benchmark"].values == name
    family_of = tree["constant_data"]["family_of_model"].sel(model=data["obs_model"].values).values
    wanted = 100 * data["score"].values[here & (family_of == family)]
    assert sorted(dots.get_ydata()) == pytest.approx(sorted(wanted))
    (axis,) = known(tiny_posterior, family, 5.0).plot(benchmarks=[name], observed=False)
    assert not [line for line in axis.lines if line.get_marker() == "o"]


def test_several_families_have_a_colour_each(tiny_posterior):
    families = tiny_posterior.families[:2]
    axes = known(tiny_posterior, families, [5.0, 6.0]).plot(
        benchmarks=tiny_posterior.benchmarks[:2]
    )
    colours = {line.get_markeredgecolor() for line in axes[0].lines if line.get_marker() == "D"}
    assert len(colours) == 2
    assert [label.split(",")[0] for label in labels(axes[0].figure)[:2]] == families


def test_candidates_that_differ_in_tokens(tiny_posterior):
    family, name = tiny_posterior.families[0], tiny_posterior.benchmarks[0]
    joined = known(tiny_posterior, family, [2.0, 4.0], [1.0, 2.0]).plot(benchmarks=[name])
    assert labels(joined[0].figure)[0] == family
    crossed = known(tiny_posterior, family, [2.0, 4.0], [1.0, 2.0], grid=True)
    axes = crossed.plot(benchmarks=[name])
    assert labels(axes[0].figure)[:2] == [f"{family}, 1T tokens", f"{family}, 2T tokens"]
    assert len(diamonds(axes[0])) == 2


def test_a_new_family_is_shown_among_all_models(tiny_posterior):
    frame = sb.candidates(family="nobody", params_b=5.0, tokens_t=2.0)
    fc = tiny_posterior.forecast(frame, new_family=True)
    (axis,) = fc.plot(benchmarks=[tiny_posterior.benchmarks[0]])
    assert "all observed models" in labels(axis.figure)
    assert "observed (own tokens)" not in labels(axis.figure)


def test_given_axes_are_used(tiny_posterior):
    figure, grid = plt.subplots(1, 2)
    fc = known(tiny_posterior, tiny_posterior.families[0], 5.0)
    axes = fc.plot(benchmarks=tiny_posterior.benchmarks[:2], ax=grid)
    assert list(axes) == list(grid)
    assert not figure.legends
    with pytest.raises(sb.DataError, match="needs 1 axes, not 2"):
        fc.plot(benchmarks=tiny_posterior.benchmarks[:1], ax=grid)


def test_bad_arguments(tiny_posterior):
    fc = known(tiny_posterior, tiny_posterior.families[0], 5.0)
    name = tiny_posterior.benchmarks[0]
    with pytest.raises(sb.UnknownNameError, match=f"did you mean '{name}'"):
        fc.plot(benchmarks=[name + "x"])
    with pytest.raises(sb.DataError, match="empty"):
        fc.plot(benchmarks=[])
    with pytest.raises(sb.DataError, match="ncols"):
        fc.plot(ncols=0)


@pytest.mark.parametrize("ncols", [None, 1, 3])
def test_layout(tiny_posterior, ncols):
    axes = known(tiny_posterior, tiny_posterior.families[0], 5.0).plot(ncols=ncols)
    assert len(axes[0].figure.axes) == len(tiny_posterior.benchmarks)
    columns = axes[0].get_subplotspec().get_gridspec().ncols
    for k, axis in enumerate(axes):
        assert bool(axis.get_ylabel()) == (k % columns == 0)
        assert bool(axis.get_xlabel()) == (k + columns >= len(axes))


def test_global_settings_stay(tiny_posterior):
    before = dict(matplotlib.rcParams)
    known(tiny_posterior, tiny_posterior.families[0], 5.0).plot()
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_legend_stays_inside(tiny_posterior, count):
    families = tiny_posterior.families[:count]
    axes = known(tiny_posterior, families, 5.0).plot(benchmarks=tiny_posterior.benchmarks[:2])
    figure = axes[0].figure
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
    assert box.y1 <= min(axis.get_tightbbox().y0 for axis in axes) + 1


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.5, 450, [1, 3, 10, 30, 100, 300]),
        (3, 40, [5, 10, 20]),
        (0.05, 500, [0.1, 1, 10, 100]),
    ],
)
def test_size_ticks_are_round(low, high, ticks):
    assert panels.size_ticks(low, high) == pytest.approx(ticks)


def test_bands_nest(tiny_posterior):
    fc = known(tiny_posterior, tiny_posterior.families[0], 5.0)
    (one,) = scores.curves(fc)
    assert (np.diff(one.levels, axis=0) >= 0).all()
