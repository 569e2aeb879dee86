"""Simulation-based calibration: is the truth an ordinary draw from the posterior?

    python -m studies.calibration --method nuts --replications 200 --out calibration
    python -m studies.calibration --method svi --replications 300 --out calibration
    python -m studies.calibration --method svi --moves 40 --draws 64 --replications 300 --out DIR
    python -m studies.calibration --method lanes --walk compute --replications 200 --out DIR
    python -m studies.calibration --method lanes --walk far --replications 128 --out DIR

Parameters are drawn from the prior, a table from the parameters, and the specification is
fitted to the table. If the computation is right, the rank of a true value among L independent
draws from its posterior is uniform on 0, ..., L, whatever the table (Talts et al., 2018).
The specification is the default one with two skills; the table that of
:mod:`studies.simulation` without its largest family: 29 models in 8 families of 5 lineages, 6
benchmarks, a tenth of the scores missing.

**What is ranked** is identified (:func:`sloth_bayes.posterior.diagnostics.identified`) and fixed
beforehand: every quantity of a benchmark, every scalar, every product of two loadings, every
slope and the effect of tuning through the loadings, and the log likelihood of the table, which
alone sees a posterior that ignores data (Modrak et al., 2023). Of the larger tables, that is
effects of families and lineages through the loadings, residuals, expected scores of observed
cells and of the larger models held out (forecasts), each row is ranked at one benchmark, in
turn: one cell a row, as cells of a row rise and fall together.

**The verdict** on a quantity is whether the distribution function of its ranks stays inside
simultaneous 95% bands (Saeilynoja et al., 2022; ArviZ's functions, evaluated where a discrete
uniform is exact). One in twenty leaves them by chance, so `beyond` also says whether it leaves
the bands in which *all* quantities together would stay with probability 95% (Bonferroni).

In DIR: ``METHOD/`` a file a replication, so that a study goes on where it was cut off;
``ranks-METHOD.csv`` (replication, quantity, rank, n: ranks run from 0 to n);
``fits-METHOD.csv`` convergence of each fit; ``summary-METHOD.csv`` a row a quantity;
``ranks-METHOD.png`` the plot. ``lanes`` is NUTS by eight chains that step together, its convergence
that of what is ranked. A fit that has not converged is counted and kept. Take another DIR after a
change of the package. ``--method prior`` is a check on the study itself: its "posterior" is the
prior, so all but the log likelihood must pass.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats import ecdf_utils
from arviz_stats.base import array_stats

import sloth_bayes as sb
from sloth_bayes import plots
from sloth_bayes.model.arrays import design_of
from sloth_bayes.posterior.diagnostics import identified
from sloth_bayes.support.files import atomic_path
from studies import simulation
from studies.fits import by_lanes

LAYOUT = tuple(family for family in simulation.LAYOUT if family[0] != "box")
SPEC = simulation.SPEC
FIT: dict[str, dict[str, Any]] = {
    "nuts": {"chains": 2, "warmup": 500, "draws": 1000},
    "svi": {"chains": 1, "draws": 1000},
    "lanes": simulation.LANES,
    "prior": {"draws": 1000},
}
DRAWS = 63  # L: ranks run from 0 to L
PROB = 0.95
_FIT_SEED = 1_000_000  # a fit must not share the random numbers of the truth

# A panel of the plot each.
GROUPS: dict[str, tuple[str, ...]] = {
    "floor": ("lower",),
    "ceiling": ("upper",),
    "shape of the link": ("link_shape",),
    "bias": ("bias",),
    "noise": ("noise_scale",),
    "scale of residuals": ("residual_scale",),
    "scalars, log likelihood": (
        "lineage_share", "residual_share", "sampling_fraction", "walk_scale", "log_likelihood",
    ),
    "loading x loading": ("loading",),
    "slope x loading": ("slope",),
    "tuning x loading": ("instruct",),
    "tuned slope x loading": ("slope_tuned",),
    "month x loading": ("progress",),
    "family x loading": ("family_effect",),
    "lineage x loading": ("lineage_effect",),
    "residual of a family": ("residual",),
    "residual of a lineage": ("residual_lineage",),
    "walk x loading": ("walk",),
    "expected, observed": ("expected",),
    "expected, held out": ("forecast",),
}  # fmt: skip
_IN_TURN = (
    "family_effect", "lineage_effect", "residual", "residual_lineage", "walk", "expected",
)  # fmt: skip


# -- one replication -----------------------------------------------------------------------


@contextmanager
def one_program() -> Iterator[None]:
    """All tables as if their scores touched 0 and 1: the same density, compiled once."""
    from sloth_bayes.model import loadings as model

    exact = model.sizes

    def sizes(*args: Any) -> model.Sizes:
        n = exact(*args)
        return n._replace(touched=(n.touched[0], True, True))

    with mock.patch.object(model, "sizes", sizes):
        yield


def fit(table: sb.Leaderboard, method: str, seed: int, options: dict[str, Any]) -> sb.Posterior:
    """Fit a table; `prior` learns nothing from it."""
    options = dict(options)
    spec = simulation.law_with(options.pop("walk", simulation.APART))
    if method == "prior":
        return spec.prior(table, seed=seed, **options)
    if method == "lanes":
        laid_out = design_of(spec, table)
        return by_lanes(spec, laid_out, laid_out.arrays, seed, **options)[0]
    return spec.fit(table, method=method, seed=seed, progress=False, **options)


def beside_truth(post: sb.Posterior, truth: xr.Dataset) -> sb.Posterior:
    """The posterior with the truth as one more, last draw of every chain.

    What is ranked is then computed for truth and draws alike.
    """
    tree = post.data_tree
    draws = tree["posterior"].to_dataset()
    last = truth.isel(chain=0, draw=0, drop=True).expand_dims(
        chain=draws["chain"], draw=[draws.sizes["draw"]]
    )
    groups = {
        "posterior": xr.concat([draws, last[list(draws.data_vars)]], dim="draw", join="exact"),
        "observed_data": tree["observed_data"].to_dataset(),
        "constant_data": tree["constant_data"].to_dataset(),
    }
    both = xr.DataTree.from_dict(groups)
    both.attrs = tree.attrs
    return sb.Posterior(both, post.spec)


def in_turn(labels: list[str]) -> list[int]:
    """One cell of each row of labels ``name[row, benchmark]``: the first of the first row,
    the second of the second, and so on round.
    """
    rows: dict[str, list[int]] = {}
    for at, label in enumerate(labels):
        rows.setdefault(label.rsplit(", ", 1)[0], []).append(at)
    return [cells[i % len(cells)] for i, cells in enumerate(rows.values())]


def quantities(
    post: sb.Posterior, held_out: pd.DataFrame, seed: int = 0
) -> tuple[list[str], np.ndarray]:
    """Names of what is ranked, and its values (chains, draws, quantities).

    What forecasts draw anew, of the truth as of the draws, must not be the same in every
    replication: hence the seed.
    """
    names, values = [], []

    def add(labels: list[str], array: np.ndarray) -> None:
        names.extend(labels)
        values.append(array)

    data = post.tree["posterior"].to_dataset()
    every = identified(data, post.expected_scores(), post.spec.loadings == "free", told={})
    for name, array in every.data_vars.items():
        labels = [str(v) for v in array[f"in_{name}"].values]
        pick = in_turn(labels) if name in _IN_TURN else list(range(len(labels)))
        add([labels[i] for i in pick], array.values[..., pick])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sb.ExtrapolationWarning)
        expected = post.forecast(held_out, seed=seed).draws["expected"]
    expected = expected.transpose("chain", "draw", "model", "benchmark")
    models, benchmarks = expected["model"].values, expected["benchmark"].values
    labels = [f"forecast[{m}, {b}]" for m in models for b in benchmarks]
    flat = expected.values.reshape(*expected.shape[:2], -1)
    pick = in_turn(labels)
    add([labels[i] for i in pick], flat[..., pick])
    log_likelihood = post.data_tree["log_likelihood"]["score"].sum("observation")
    add(["log_likelihood"], log_likelihood.values[..., None])
    together = np.concatenate(values, axis=-1)
    known = (together == together[:1, :1]).all((0, 1))  # the walk of a family's smallest model
    return [n for n, k in zip(names, known) if not k], together[..., ~known]


def rank(truth: np.ndarray, draws: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Ranks (Q,) of true values (Q,) among draws (L, Q); ties are broken at random."""
    less, equal = (draws < truth).sum(0), (draws == truth).sum(0)
    return less + rng.integers(0, equal + 1)


def thin(draws: np.ndarray, number: int) -> np.ndarray:
    """Draws (number, Q), evenly spaced in (chains, draws, Q) with chains end to end."""
    flat = draws.reshape(-1, draws.shape[-1])
    if len(flat) < number:
        raise sb.SpecError(f"{len(flat)} draws in all are fewer than the {number} to be ranked")
    return flat[((np.arange(number) + 0.5) * len(flat) / number).astype(int)]


def replicate(k: int, method: str, number: int, options: dict[str, Any]) -> dict[str, Any]:
    """Simulate, fit and rank: the k-th replication, whatever came before it."""
    simulated = 1, k, LAYOUT, options.get("walk", simulation.APART)
    table = next(simulation.from_prior(*simulated))
    truth = simulation.prior_of(*simulated).data_tree["posterior"].to_dataset()
    out: dict[str, Any] = {"replication": k}
    start = time.perf_counter()
    try:
        with one_program():
            post = fit(table.data, method, _FIT_SEED + k, options)
    except sb.DataError as error:
        return out | {"failed": str(error)}
    out["seconds"] = time.perf_counter() - start
    out |= convergence(post)
    both = beside_truth(post, truth)
    names, values = quantities(both, table.held_out, k)
    if method == "lanes":
        out |= mixing(values[:, :-1])
    rng = np.random.default_rng([_FIT_SEED, k])
    ranks = rank(values[0, -1], thin(values[:, :-1], number), rng)
    return out | {"ranks": dict(zip(names, ranks.tolist()))}


def mixing(values: np.ndarray) -> dict[str, float]:
    """What chains (C, S, Q) say of the quantities that are ranked."""
    values = np.moveaxis(values, -1, 0)
    r_hat, ess = (
        np.array([float(of(v, chain_axis=0, draw_axis=1)) for v in values])
        for of in (array_stats.rhat, array_stats.ess)
    )
    return {
        "r_hat": float(np.nanmax(r_hat)), "r_hat_99": float(np.nanquantile(r_hat, 0.99)),
        "ess_bulk": float(np.nanmin(ess)),
    }  # fmt: skip


def convergence(post: sb.Posterior) -> dict[str, float]:
    """What the package says of a fit."""
    found = post.diagnostics()
    stats = post.data_tree.get("sample_stats", {})
    out = {"ok": float(found.ok)}
    if "diverging" in stats:
        table = found.table
        out |= {
            "r_hat": float(table["r_hat"].max()),
            "r_hat_99": float(table["r_hat"].quantile(0.99)),
            "ess_bulk": float(table["ess_bulk"].min()),
            "ess_bulk_01": float(table["ess_bulk"].quantile(0.01)),
            "ess_tail": float(table["ess_tail"].min()),
            "divergences": float(stats["diverging"].sum()),
            "saturated": float(stats["reached_max_tree_depth"].mean()),
            "steps": float(stats["n_steps"].mean()),
        }
    if "log_weight" in stats:
        weight = stats["log_weight"].values.ravel().astype(float)
        out["k_hat"] = float(array_stats.psislw(-weight)[1])
    return out


# -- many of them --------------------------------------------------------------------------


def study(
    method: str, replications: int, out: Path, number: int = DRAWS, **options: Any
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Run the replications that `out` does not hold yet: ranks and fits of all of them.

    Raises
    ------
    SpecError
        If `out` holds replications made with other options, or an option makes no sense.
    DataError
        If no fit succeeded.
    """
    if replications < 1:
        raise sb.SpecError(f"replications must be at least 1, not {replications}")
    if method == "prior" and set(options) - {"draws", "walk"}:
        raise sb.SpecError("method prior takes draws and no other option of a fit")
    settings = {"draws_ranked": number, **FIT[method], **options}
    folder = out / method
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for k in range(replications):
        path = folder / f"{k:04d}.json"
        if path.exists():
            one = json.loads(path.read_text(encoding="utf-8"))
            if one["settings"] != settings:
                raise sb.SpecError(
                    f"{path} was made with {one['settings']}, not {settings}: take another --out"
                )
        else:
            one = replicate(k, method, number, {**FIT[method], **options})
            one["settings"] = settings
            with atomic_path(path) as temporary:
                temporary.write_text(json.dumps(one), encoding="utf-8")
            shown = {n: round(v, 3) for n, v in one.items() if isinstance(v, float)}
            print(f"{method} {k}: {shown}", file=sys.stderr)
        found.append(one)
    ranks = pd.DataFrame(
        [
            {"replication": one["replication"], "quantity": name, "rank": value, "n": number}
            for one in found
            for name, value in one.get("ranks", {}).items()
        ]
    )
    if ranks.empty:
        raise sb.DataError(f"no fit succeeded; the first: {found[0]['failed']}")
    fits = pd.DataFrame(
        [{k: v for k, v in one.items() if k not in ("ranks", "settings")} for one in found]
    )
    return ranks, fits


@functools.lru_cache
def bands(n: int, number: int, prob: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where n ranks on 0, ..., number are looked at (number,), and bands of their share below.

    A rank is below k with probability ``k / (number + 1)``: at these points alone the bands
    for continuous values hold exactly.
    """
    points = np.arange(1, number + 1) / (number + 1)
    simulations = int(np.clip(200 / (1 - prob), 4000, 50_000))
    rng = np.random.default_rng(0)
    pointwise = ecdf_utils.simulate_confidence_bands(n, 1, points, prob, simulations, rng)
    lower, upper = ecdf_utils.get_pointwise_confidence_band(pointwise, n, points)
    return points, lower, upper


def share_below(ranks: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Share of the ranks (n,) below each point of :func:`bands`."""
    return ecdf_utils.compute_ecdf((ranks + 0.5) / (len(points) + 1), points)


def summarise(ranks: pd.DataFrame) -> pd.DataFrame:
    """A row a quantity, the worst first.

    ``inside``: in the 95% bands; ``beyond``: outside those for all quantities together.
    ``excess``: how far outside the 95% bands, in share of replications (negative: inside).
    ``centre``: mean of rank / n, 0.5 if right; ``spread``: standard deviation of the ranks
    relative to a uniform, 1 if right. ``reading``: what the posterior is, if not right.
    """
    by_quantity = ranks.groupby("quantity", sort=False)
    number, n = int(ranks["n"].iloc[0]), int(by_quantity.size().iloc[0])
    points, lower, upper = bands(n, number, PROB)
    _, least, most = bands(n, number, 1 - (1 - PROB) / by_quantity.ngroups)
    rows = []
    for name, part in by_quantity:
        rank_of = part["rank"].to_numpy()
        share = share_below(rank_of, points)
        u = (rank_of + 0.5) / (number + 1) - 0.5
        variance = (1 - 1 / (number + 1) ** 2) / 12
        lean = u.mean() * math.sqrt(n / variance)
        narrow = (u.var() - variance) * math.sqrt(180 * n)
        if abs(lean) >= abs(narrow):
            reading = "too low" if lean > 0 else "too high"
        else:
            reading = "too narrow" if narrow > 0 else "too wide"
        excess = float(np.maximum(lower - share, share - upper).max())
        inside = excess <= 1e-9
        rows.append(
            {
                "group": group_of(str(name)),
                "quantity": name,
                "replications": len(part),
                "inside": inside,
                "beyond": bool((np.maximum(least - share, share - most) > 1e-9).any()),
                "excess": excess,
                "centre": rank_of.mean() / number,
                "spread": math.sqrt(u.var() / variance),
                "reading": "" if inside else reading,
            }
        )
    return pd.DataFrame(rows).sort_values("excess", ascending=False, ignore_index=True)


def group_of(quantity: str) -> str:
    """The panel that a quantity belongs to."""
    name = quantity.split("[")[0]
    return next((group for group, names in GROUPS.items() if name in names), "other")


def plot(ranks: pd.DataFrame, summary: pd.DataFrame, title: str, path: Path) -> None:
    """A panel a group: share of ranks below less its expectation, with the 95% bands.

    Those that leave the bands are coloured and named, with a star if they also leave those
    for all quantities together.
    """
    number, n = int(ranks["n"].iloc[0]), int(summary["replications"].iloc[0])
    points, lower, upper = bands(n, number, PROB)
    lines = {
        str(name): share_below(part["rank"].to_numpy(), points) - points
        for name, part in ranks.groupby("quantity")
    }
    groups = [g for g in [*GROUPS, "other"] if (summary["group"] == g).any()]
    columns = min(4, len(groups))
    rows = -(-len(groups) // columns)
    with plt.rc_context(plots.STYLE):
        figure, axes = plt.subplots(
            rows, columns, figsize=(3.5 * columns, 2.7 * rows + 0.8), sharex=True,
            squeeze=False, layout="constrained",
        )  # fmt: skip
        for ax, group in zip(axes.flat, groups):
            part = summary[summary["group"] == group]
            ax.fill_between(points, lower - points, upper - points, color="#d9d9d9", lw=0)
            for name in part.loc[part["inside"], "quantity"]:
                ax.plot(points, lines[name], color="#777777", lw=0.6)
            outside = part[~part["inside"]]
            named = outside.head(len(plots.COLOURS) - 1)
            for row in outside.iloc[len(named) :].itertuples():
                ax.plot(points, lines[row.quantity], color=plots.COLOURS[-1], lw=0.8, ls="--")
            for colour, row in zip(plots.COLOURS, named.itertuples()):
                short = row.quantity.split("[", 1)[-1].rstrip("]") + "*" * row.beyond
                label = f"{short}: {row.reading}"
                ax.plot(points, lines[row.quantity], color=colour, lw=1.3, label=label)
            if len(outside) > len(named):
                label = f"{len(outside) - len(named)} more"
                ax.plot([], [], color=plots.COLOURS[-1], lw=0.8, ls="--", label=label)
            ax.set_title(f"{group}: {len(part) - len(outside)} of {len(part)} inside")
            # as far as the lines go either way, and below that room for the names
            far = max(abs(ax.dataLim.y0), abs(ax.dataLim.y1)) * 1.08
            entries = min(len(outside), len(named) + 1)
            ax.set_ylim(-far * (1 + 0.2 * entries), far)
            if entries:
                ax.legend(loc="lower left", fontsize=6.5, handlelength=1.2, borderaxespad=0.1,
                          labelspacing=0.25)  # fmt: skip
        for ax in axes.flat[len(groups) :]:
            ax.set_axis_off()
        figure.supxlabel("rank of the truth among draws from its posterior, scaled to [0, 1]")
        figure.supylabel("share of replications below, less its expectation")
        figure.suptitle(title, fontsize=10)
        figure.savefig(path, dpi=120)
        plt.close(figure)


def report(method: str, summary: pd.DataFrame, fits: pd.DataFrame, **options: Any) -> str:
    """The findings in words."""
    how = "NUTS by lanes" if method == "lanes" else method.upper()
    how += f", {options['moves']} moves" if options.get("moves") else ""
    how += f", walk: {options['walk']}" if "walk" in options else ""
    share = summary["inside"].mean()
    lines = [
        f"{how}, {summary['replications'].iloc[0]} replications: ranks of "
        f"{summary['inside'].sum()} of {len(summary)} quantities ({share:.1%}) stay inside "
        f"simultaneous {PROB:.0%} bands; {summary['beyond'].sum()} leave those for all together."
    ]
    if "failed" in fits:
        lines.append(f"{fits['failed'].notna().sum()} fits failed and have no ranks.")
    if "r_hat" in fits:
        over, far = (fits["r_hat_99"] > 1.01).sum(), (fits["r_hat"] > 1.05).sum()
        few = (fits["ess_bulk"] < 100).sum()
        told = "divergences" in fits
        diverged = f", {(fits['divergences'] > 0).sum()} divergences" if told else ""
        lines.append(
            f"Of {len(fits)} fits, {over} had R-hat above 1.01 for more than 1% of the quantities, "
            f"{far} above 1.05 for any, {few} a bulk ESS below 100 for any{diverged}."
        )
    if "k_hat" in fits:
        lines.append(
            f"Of {len(fits)} guides, {(fits['k_hat'] > 0.7).sum()} had a PSIS k-hat above 0.7 "
            f"(median {fits['k_hat'].median():.2f}); of {(fits['ok'] < 1).sum()} the ELBO was "
            "still rising."
        )
    seconds = fits["seconds"]
    lines.append(f"A fit took {seconds.median():.1f} s (median; {seconds.sum():.0f} s all).")
    for row in summary[~summary["inside"]].itertuples():
        lines.append(
            f"  outside{', beyond chance' if row.beyond else ''}: {row.quantity}, posterior "
            f"{row.reading} (centre {row.centre:.3f}, spread {row.spread:.2f})"
        )
    return "\n".join(lines)


def run(
    method: str, replications: int, out: Path, number: int = DRAWS, **options: Any
) -> tuple[pd.DataFrame, str]:
    """A study with all its files: the summary and the findings in words."""
    ranks, fits = study(method, replications, out, number, **options)
    summary = summarise(ranks)
    words = report(method, summary, fits, **options)
    ranks.to_csv(out / f"ranks-{method}.csv", index=False)
    fits.to_csv(out / f"fits-{method}.csv", index=False, float_format="%.4g")
    summary.to_csv(out / f"summary-{method}.csv", index=False, float_format="%.4g")
    plot(ranks, summary, words.split("\n")[0], out / f"ranks-{method}.png")
    return summary, words


def main(arguments: list[str] | None = None) -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.calibration",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--method", choices=list(FIT), default="nuts")
    parser.add_argument("--replications", type=int, default=200, help="tables to fit (200)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--ranked", type=int, default=DRAWS, help=f"draws ranked ({DRAWS})")
    parser.add_argument("--walk", choices=simulation.WALKS, help="of the law, of each fit")
    for name in ("chains", "warmup", "draws", "steps", "starts", "rank", "moves"):
        parser.add_argument(f"--{name}", type=int, help="of each fit")
    given = vars(parser.parse_args(arguments))
    settled = [given.pop(name) for name in ("method", "replications", "out", "ranked")]
    options = {name: value for name, value in given.items() if value is not None}
    try:
        _, words = run(*settled, **options)
    except (sb.SpecError, sb.DataError) as error:
        parser.error(str(error))
    print(words)


if __name__ == "__main__":
    main()
