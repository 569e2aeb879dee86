"""Has the fit converged, and if not, what to do about it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import xarray as xr

from ..support.threads import workers
from ..support.words import counted
from .base import Drawn
from .mixing import mixing
from .pareto import smoothed
from .verdict import (
    ANOTHER_MODE,
    E_BFMI_LEAST,
    ESS_LEAST,
    K_HAT_MOST,
    R_HAT_ALL,
    R_HAT_MOST,
    STEPS_LEAST,
    TO_GAIN_MOST,
    Diagnostics,
)


def diagnose(post: Drawn, quantities: Callable[[], xr.Dataset]) -> Diagnostics:
    """Diagnostics of draws; of the full fit, if they were slimmed or saved with a verdict.

    Raises nothing: a fit that did not converge is described, with the remedy.

    Parameters
    ----------
    quantities
        Makes what convergence is judged by, where it has to be judged: one variable a kind of
        quantity, dims chain, draw and its labels.
    """
    standing = {"svi": "first look", "prior": "prior"}.get(post.method, "")
    if "convergence" in post.tree.children:
        kept = Diagnostics.from_dataset(post.tree["convergence"].to_dataset())
        return dataclasses.replace(kept, standing=standing)
    if post.method == "prior":
        empty = pd.DataFrame(columns=["quantity", "r_hat", "ess_bulk", "ess_tail", "mcse"])
        said = "Independent draws from the prior: nothing to converge."
        return Diagnostics(empty, True, (said,), standing)
    table = table_of(quantities())
    ok, messages = _verdict_svi(post) if post.method == "svi" else _verdict_nuts(post, table)
    starts = post.attrs.get("starts_elbo", ())  # draws made elsewhere have none
    if starts and max(starts) - min(starts) > ANOTHER_MODE:
        messages.append(f"Modes: {starts_in_words(post)}; the best was taken.")
    found = Diagnostics(table, ok, tuple(messages), standing)
    # Kept with the posterior: it is slow to compute, and must survive slimming.
    post.tree["convergence"] = xr.DataTree(found.to_dataset())
    return found


def starts_in_words(post: Drawn) -> str:
    """What the variational starts of a fit found, for people.

    The ELBO bounds the log evidence of the mode that a start ended in: a start far below
    the best one found another mode, of less evidence by about the exponential of that.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> "ELBO" in starts_in_words(sb.load("leaderboard"))
    True
    """
    below = max(post.attrs["starts_elbo"]) - np.sort(post.attrs["starts_elbo"])[::-1]
    others = int((below > ANOTHER_MODE).sum())
    if len(below) == 1:
        return "1 variational start: other modes were not looked for (ELBO of one start)"
    listed = ", ".join(f"{v:.1f}" for v in below[1:])
    verdict = (
        "all in one mode"
        if not others
        else f"{others} in another mode, with less evidence by a factor of about exp("
        f"{below[len(below) - others]:.0f}) or more"
    )
    return f"{len(below)} variational starts, {verdict} (ELBO below the best: {listed})"


def identified(
    data: xr.Dataset, expected: xr.DataArray, free: bool, told: Mapping[str, np.ndarray]
) -> xr.Dataset:
    """The identified quantities of a posterior, each with dims chain, draw, quantity.

    Parameters
    ----------
    data
        Its draws.
    expected
        Expected scores of the observed cells.
    free
        Whether loadings are, rather than identities.
    told
        Of some variables, which entries count: no score tells of the others.
    """
    models, benchmarks = expected["obs_model"].values, expected["obs_benchmark"].values
    cells = [f"{m}, {b}" for m, b in zip(models, benchmarks)]
    rows: dict[str, xr.DataArray] = {}

    def take(name: str, array: xr.DataArray) -> None:
        # at once: of a joint table each is hundreds of megabytes before the rest is left out
        row = _in_a_row(name, array, told.get(name))
        if row.size:
            rows[name] = row

    take("expected", expected.assign_coords(observation=cells))
    loading = data["loading"]
    if free:
        names = loading["benchmark"].values
        i, j = np.triu_indices(len(names))
        gram = xr.dot(loading, loading.rename(benchmark="with"), dim="skill").values[..., i, j]
        pair = [f"{a}, {b}" for a, b in zip(names[i], names[j])]
        take("loading", xr.DataArray(gram, {"pair": pair}, ("chain", "draw", "pair")))
    for name, array in data.drop_vars("loading").items():
        if "skill" in array.dims:  # on benchmarks it does not depend on their rotation
            take(str(name), xr.dot(array, loading, dim="skill"))
        elif array.dims[2:] not in ((), ("benchmark",)) or float(array.std()) > 0:  # not fixed
            take(str(name), array)
    return xr.Dataset(rows)


def _in_a_row(name: str, array: xr.DataArray, told: np.ndarray | None) -> xr.DataArray:
    """The same draws with one dimension of labels, ``name[a, b]`` each, after chain and draw."""
    dims = array.dims[2:]
    keys = itertools.product(*(array[d].values for d in dims))
    labels = [f"{name}[{', '.join(map(str, key))}]" for key in keys] if dims else [name]
    values = array.values.reshape(*array.shape[:2], -1)
    rows = xr.DataArray(values, {f"in_{name}": labels}, ("chain", "draw", f"in_{name}"))
    return rows if told is None else rows[..., told.ravel()]


def table_of(quantities: xr.Dataset) -> pd.DataFrame:
    """Convergence of each quantity, worst first, as :attr:`Diagnostics.table` has it.

    For the layers above. Each variable has dims chain, draw, and one of labels.
    """
    # Split in pieces and run side by side: NumPy and SciPy release the interpreter.
    pieces = [
        array.isel({array.dims[-1]: slice(first, first + 100)})
        for array in quantities.data_vars.values()
        for first in range(0, array.shape[-1], 100)
    ]

    def one(piece: xr.DataArray) -> pd.DataFrame:
        found = mixing(np.ascontiguousarray(np.moveaxis(piece.values, 2, 0), float))
        return pd.DataFrame({"quantity": piece[piece.dims[-1]].values, **found})

    with ThreadPoolExecutor(workers()) as pool:
        table = pd.concat(pool.map(one, pieces), ignore_index=True)
    least = table[["ess_bulk", "ess_tail"]].min(axis=1)
    worst = np.fmax(table["r_hat"] - 1, 0.01 * ESS_LEAST / least)
    worst = worst.fillna(np.inf)  # a quantity without a finite draw is the worst there is
    return table.iloc[np.argsort(-worst.to_numpy(), kind="stable")].reset_index(drop=True)


def _verdict_nuts(post: Drawn, table: pd.DataFrame) -> tuple[bool, list[str]]:
    stats = post.tree["sample_stats"].to_dataset()
    chains, draws = stats.sizes["chain"], stats.sizes["draw"]
    diverging = int(stats["diverging"].sum())
    saturated = float(stats["reached_max_tree_depth"].mean())
    energy = stats["energy"].values.astype(float)
    bfmi = (np.diff(energy, axis=1) ** 2).mean(1) / energy.var(1)
    r_hat = table["r_hat"]
    bulk, tail = table["ess_bulk"].min(), table["ess_tail"].min()
    problems: list[str] = []
    broken = table[~np.isfinite(table[["r_hat", "ess_bulk", "ess_tail"]]).all(axis=1)]
    if chains > 1 and len(broken):
        problems.append(
            f"{len(broken)} quantities have no finite R-hat or ESS (the first: "
            f"{broken.iloc[0]['quantity']}): some draws are not finite. Do: another seed, or "
            "tighter priors."
        )
    if chains < 2:
        problems.append("One chain cannot show convergence: fit at least two, better four.")
    elif not (r_hat.quantile(0.99) <= R_HAT_MOST and r_hat.max() <= R_HAT_ALL):
        share = (r_hat > R_HAT_MOST).mean()
        worst = table.loc[r_hat.fillna(np.inf).idxmax(), "quantity"]
        advice = (
            "run longer (double warmup and draws)"
            if r_hat.max() < 1.1
            else "the chains are in different places: more starts (starts=8), or fewer skills"
        )
        problems.append(
            f"The chains disagree: R-hat up to {r_hat.max():.3f}, above {R_HAT_MOST} for "
            f"{share:.1%} of {len(table)} quantities (worst: {worst}). Do: {advice}."
        )
    low = table[table[["ess_bulk", "ess_tail"]].min(axis=1) < ESS_LEAST]
    if len(low):
        need = ESS_LEAST / max(min(bulk, tail), 1)
        problems.append(
            f"Too few effective draws for {len(low)} of {len(table)} quantities: smallest bulk "
            f"ESS {bulk:.0f}, tail ESS {tail:.0f}, wanted {ESS_LEAST}. Do: about {need:.1f} times "
            f"as many draws (draws={int(np.ceil(draws * need / 100) * 100)}); medians are usable "
            "sooner than interval ends."
        )
    if diverging:
        problems.append(
            f"{diverging} divergent transitions of {chains * draws}: some region was not explored. "
            "Do: target_accept=0.95, or tighter priors."
        )
    if saturated > 0.01:
        problems.append(
            f"{saturated:.1%} of the iterations hit the maximal tree depth: slow, not wrong. "
            "Do: a longer warmup, or max_tree_depth + 1."
        )
    if bfmi.min() < E_BFMI_LEAST:
        problems.append(
            f"E-BFMI is {bfmi.min():.2f} in a chain, below {E_BFMI_LEAST}: heavy tails explored "
            "slowly. Do: a longer warmup, or tighter priors on the scales."
        )
    summary = (
        f"NUTS, {chains} chains x {draws} draws: R-hat at most {r_hat.max():.3f}, bulk ESS at "
        f"least {bulk:.0f}, tail ESS at least {tail:.0f} over {len(table)} identified quantities; "
        f"{diverging} divergences, E-BFMI at least {bfmi.min():.2f}."
    )
    verdict = "Converged." if not problems else "NOT converged."
    return not problems, [f"{verdict} {summary}", *problems]


def _verdict_svi(post: Drawn) -> tuple[bool, list[str]]:
    stats = post.tree["sample_stats"].to_dataset()
    elbo = stats["elbo"].values.astype(float)
    tenth = max(1, len(elbo) // 10)
    last, before = elbo[-tenth:], elbo[-2 * tenth : -tenth]
    change = last.mean() - before.mean()
    error = np.sqrt(last.var() / tenth + before.var() / tenth)
    steps = int(post.attrs.get("steps", len(elbo)))
    more = f"Do: steps={2 * max(steps, STEPS_LEAST)}."
    to_gain = float(stats["to_gain"]) if "to_gain" in stats else 0.0  # of files that had none
    _, k = smoothed(stats["log_weight"].values)
    wrong = ""
    if not np.isfinite(change):
        wrong = "The ELBO is not finite. Do: another seed, or tighter priors."
    elif change > max(1.0, 3 * error):
        wrong = (
            f"The ELBO was still rising by {change:.1f} over the last tenth of the steps. {more}"
        )
    elif change < -max(1.0, 3 * error):
        wrong = f"The ELBO fell by {-change:.1f} over the last tenth of the steps. {more}"
    elif steps < STEPS_LEAST:
        wrong = f"{counted(steps, 'step')} are too few for its ELBO to say anything. {more}"
    elif not np.isfinite(to_gain):
        wrong = "A single draw does not tell how near the optimum the guide is. Do: more draws."
    elif to_gain > TO_GAIN_MOST:
        wrong = (
            f"The optimisation was stopped: where it is, a step would gain {to_gain:.1f} nats of "
            f"ELBO, and several times that are within reach. {more}"
        )
    if wrong:
        messages = [f"NOT converged. {wrong}"]
    else:
        messages = [
            f"A first look. The ELBO has converged (last tenth: {change:+.1f}, noise {error:.1f}; "
            f"a step would gain {to_gain:.1f})."
        ]
    if np.isnan(k):
        messages.append("PSIS k-hat of the guide cannot be told from so few draws. Do: more draws.")
    elif not k <= K_HAT_MOST:
        messages.append(
            f"PSIS k-hat of the guide is {k:.2f}, above {K_HAT_MOST}: the guide is not the "
            "posterior. Take it as a first look: its intervals tend to be too narrow, and a "
            "median can be outside those of NUTS. Do: method='nuts' for numbers that matter, or "
            "moves=20 with few draws."
        )
    else:
        messages.append(f"PSIS k-hat of the guide is {k:.2f}: the guide is close to the posterior.")
    if "acceptance_rate" in stats:
        messages.append(
            f"Its draws were carried on by {post.attrs['moves']} Hamiltonian trajectories "
            f"(acceptance {float(stats['acceptance_rate']):.2f}): closer than the guide, by how "
            "much these draws cannot tell."
        )
    return not wrong, messages
