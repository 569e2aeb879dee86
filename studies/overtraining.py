"""Size x tokens: runs larger than any seen, forecast by laws that differ in their inputs.

    python -m studies.overtraining --out DIR [--parts forecast designs loss parallel
        allocation hidden]

The data set ``overtraining`` has 104 finished runs of three corpora (Gadre et al., arXiv
2403.08540): 95 of at most 411M parameters on a grid of sizes and tokens, and nine of 1.4B and 6.9B.
Its tasks were chosen by a rule that does not read the nine (:mod:`sloth_bayes.table.overtraining`).

*forecast*: the nine from the 95, by the recommended law as it is (size, tokens and their product;
``sb.Sloth()``, the corpus being the family) and by two settings of it, ``inputs="flops"`` and
``inputs="size"``, the last by a variational fit; and by rivals, for each corpus and task alone:
*log FLOPs*, a straight line in the score by least squares; *logistic in FLOPs* and *logistic in
size, tokens*, least squares in the score, from the task's chance level to 1; *most compute*, the
score of the run of the 95 with the most compute. A point's CRPS is its error. **The bar**: the
error of the law is at most 90% of that of the FLOPs law. Differences are paired by score; their
standard error is over the nine runs.

*designs*: what is tried if that falls short. The variants of :data:`DESIGNS` forecast the runs of
411M from those of at most 154M (by variational fits); the one of least CRPS there, whatever it does
there beside the FLOPs law, is then fitted to the 95 and scored on the nine, once.

*loss*: a second design, written when the forecasts of the nine runs by all of the above, and the
best sizes, had been seen: ``inputs="loss"``, compute as far as it was well spent (priors: the
exponents of Hoffmann et al. and 20 tokens a parameter). **The rule**, committed before it was
scored on any of these runs: fitted by NUTS to the runs of at most 154M, if it forecasts those of
411M with a lower mean CRPS than ``inputs="flops"`` fitted likewise, and both fits have converged by
the bar of an evaluation's folds (R-hat of the expected scores that are asked for at most 1.05, 200
effective draws), it is fitted to the 95 and scored on the nine, once; otherwise it is not scored on
them. (R-hat of every quantity had been asked for, of at most 1.02; the first fit, whose forecasts
had not been looked at, has 1.07 for the scale of residuals, of which three corpora say little.)

*parallel*: a third, written when the second had failed on the runs of 411M (5.1 points against 3.3
of FLOPs): the same with one exponent for size and tokens, so that it is compute less what its
imbalance loses, as Gadre et al. have it of these runs. The same rule by variational fits; in a
process of its own, since it replaces a term of the law.

*allocation*: does :meth:`~sloth_bayes.Posterior.optimal_allocation` find the best size, within the
grid of the 95 and by the law (size, tokens and product; and the loss) fitted to them? Runs of one
corpus with compute within a factor of :data:`SAME` of each other share a budget (their geometric
mean). Of each budget with two or three sizes, the best is that with the highest mean score over
tasks: is it inside the 90% interval of the continuous optimum; is it in the smallest set of the
sizes run that holds 90% of the posterior's draws of which of them is best; and what is lost by the
size that the law takes, by that nearest to 20 tokens a parameter, and by the largest and the
smallest?

*hidden*: the same of budgets that the law has not seen: of the ten budgets, each is left out in
turn, in all corpora, and the loss law is fitted to the other runs (variational fits). Written when
the loss law had been seen to find the best of the sizes of the budgets that it was fitted to in 24
of 30 cases, losing 0.14 points where 20 tokens a parameter lose 0.58. **The bar**: what it loses is
at most 90% of what 20 tokens a parameter lose.

All but *loss*, *parallel* and *hidden* was written before any law or rival was fitted to these
runs, but for the lengths of fits: changed when the forecasts of the first two laws were known, and
no rehearsal was, and again with *loss*. Four of six variants were dropped then, for time, and
*imbalance* was added when the allocation was known. Fits are saved in the folder and not made
again.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np
import pandas as pd
from scipy.optimize import least_squares
from scipy.special import expit, logit

import sloth_bayes as sb
from sloth_bayes import law
from sloth_bayes.evaluate.fold import LEAST_ESS, MOST_R_HAT
from sloth_bayes.infer import lanes, variational
from sloth_bayes.infer.compiled import SCORES, functions_of
from sloth_bayes.law.terms.loss import TokensExponent
from sloth_bayes.model.arrays import design_of
from sloth_bayes.model.loadings import sizes
from sloth_bayes.posterior.diagnostics import table_of as table_of_quantities
from sloth_bayes.posterior.label import build
from sloth_bayes.table.overtraining import NAME, SMALL
from studies.fits import fitted, forecasts, summary, table_of

LAWS = {"translog": {}, "flops": {"inputs": "flops"}, "size": {"inputs": "size"}}
LOSS = {"loss": {"inputs": "loss"}}
DESIGNS = {
    "translog": {},
    "no product": {"inputs": "loglinear"},
    "imbalance": {"inputs": "loglinear", "terms": ["imbalance"]},
}
LANES, WARMUP, DRAWS, ACCEPT, DEEPEST = 8, 800, 1000, 0.95, 10
QUICK = {"method": "svi", "chains": 4, "draws": 500, "starts": 2}
REHEARSED = 0.2  # billions: the designs learn from sizes up to 154M
SAME = 1.25
CHINCHILLA = 20.0  # tokens a parameter


class Imbalance(law.Term):
    """The square of how many doublings a run is away from 20 tokens a parameter.

    In ``b1 X + b2 Y + b3 X Y`` one coefficient stands for how fast a budget spent out of balance
    loses, and for how fast gains grow with compute: ``4 X Y = (X + Y)^2 - (X - Y)^2``. This has
    the second square alone.
    """

    name = "imbalance"
    dims: ClassVar[dict[str, tuple[str, ...]]] = {"imbalance": ("skill",)}
    adds_to = "skill"
    times = "squared_imbalance"
    site = "imbalance_raw"

    def scale(self, values: object, spec: object) -> float:
        """Prior standard deviation, in units of skill."""
        return 0.03

    def prior(self, at: Any) -> dict[str, Any]:
        """One coefficient a skill."""
        return {self.name: at.rows(self.site, scale=0.03)}

    def column(self, frame: pd.DataFrame) -> np.ndarray:
        """Squared doublings."""
        off = np.log2(1e3 * frame["tokens_t"] / frame["params_b"] / CHINCHILLA)
        return off.to_numpy(float) ** 2


law.TERMS["imbalance"] = Imbalance()


def parts(data: sb.Leaderboard, upto: float, least: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs of at most `upto` billions; and larger ones, of at most `least`."""
    frame = data.frame
    size = frame["params_b"]
    return frame[size <= upto], frame[(size > upto) & (size <= least)]


# -- fits --------------------------------------------------------------------------------------


def stepped(spec: sb.Sloth, table: sb.Leaderboard, name: str, keep: Path) -> sb.Posterior:
    """A fit by NUTS, eight chains of one program, kept; with what it says of itself in ``attrs``.

    A table this small is fitted faster so than a chain at a time (``sloth_bayes.infer.lanes``).
    """
    path = keep / f"{name}.nc"
    if not path.exists():
        begun = time.perf_counter()
        laid_out = design_of(spec, table)
        arrays = jax.device_put(laid_out.arrays)
        f = functions_of(spec, sizes(spec, laid_out.arrays), DEEPEST, ACCEPT, SCORES)
        first, second = np.random.default_rng(1).spawn(2)
        arrays, guide, _ = variational.starts(f, arrays, first, 4, 1000, None)
        arrays, x, diverged = lanes.sample(
            f, guide, arrays, second, LANES, WARMUP, DRAWS, ACCEPT, DEEPEST
        )
        values = f.over("values", x.reshape(-1, f.size), jax.random.PRNGKey(1), arrays)
        tree = build(spec, laid_out, values, chains=LANES, sample_stats=None, attrs={}).tree
        tree.attrs |= {"diverged": diverged, "seconds": time.perf_counter() - begun}
        worst = table_of_quantities(sb.Posterior(tree, spec).identified())
        tree.attrs |= {
            "r_hat": worst["r_hat"].max(),
            "ess": worst[["ess_bulk", "ess_tail"]].min().min(),
        }
        sb.Posterior(tree, spec).save(path)
    post = sb.load(path)
    told = {key: float(post.attrs[key]) for key in ("seconds", "r_hat", "ess", "diverged")}
    print(name, {key: round(value, 4) for key, value in told.items()}, flush=True)
    return post


def mixed(post: sb.Posterior, test: pd.DataFrame) -> bool:
    """Whether the expected scores that are asked for have converged, as the rule has it."""
    expected = post.forecast(test.drop(columns=["instruct"])).draws["expected"]
    rows = expected.stack(quantity=("model", "benchmark"), create_index=False)
    told = table_of_quantities(
        rows.assign_coords(quantity=range(rows.sizes["quantity"])).to_dataset(name="expected")
    )
    r_hat, ess = told["r_hat"].max(), told["ess_bulk"].min()
    print(f"of the forecasts: R-hat at most {r_hat:.3f}, effective draws {ess:.0f}", flush=True)
    return bool(r_hat <= MOST_R_HAT and ess >= LEAST_ESS)


# -- forecasts ---------------------------------------------------------------------------------


def rivals(data: sb.Leaderboard, train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """The rivals' errors, in the columns of the laws' (points)."""
    rows = []
    chance = {b.name: b.chance for b in data.benchmarks}

    def inputs(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        both = np.log(frame[["params_b", "tokens_t"]].to_numpy())
        one = np.ones(len(frame))
        return np.c_[one, both.sum(1)], np.c_[one, both]

    for family, seen in train.groupby("family"):
        hidden = test[test["family"] == family]
        (flops, both), (flops_new, both_new) = inputs(seen), inputs(hidden)
        last = seen.index[flops[:, 1].argmax() == np.arange(len(seen))]
        for name in data.benchmark_names:
            y, truth = seen[name].to_numpy(), hidden[name].to_numpy()
            line, *_ = np.linalg.lstsq(flops, y, rcond=None)
            found = {
                "log FLOPs": np.clip(flops_new @ line, 0, 1),
                "logistic in FLOPs": logistic(flops, y, flops_new, chance[name]),
                "logistic in size, tokens": logistic(both, y, both_new, chance[name]),
                "most compute": np.full(len(truth), seen.at[last[0], name]),
            }
            for rival, values in found.items():
                error = 100 * abs(values - truth)
                rows.append(
                    pd.DataFrame(
                        {
                            "law": rival, "model": hidden["model"], "family": family,
                            "benchmark": name, "score": 100 * truth, "median": 100 * values,
                            "error": error, "crps": error,
                        }
                    )
                )  # fmt: skip
    return pd.concat(rows)


def logistic(x: np.ndarray, y: np.ndarray, new: np.ndarray, floor: float) -> np.ndarray:
    """Forecasts of ``floor + (1 - floor) logistic(x b)``, by least squares."""
    fraction = np.clip((y - floor) / (1 - floor), 0.005, 0.995)
    start, *_ = np.linalg.lstsq(x, logit(fraction), rcond=None)
    best = least_squares(lambda b: floor + (1 - floor) * expit(x @ b) - y, start)
    return floor + (1 - floor) * expit(new @ best.x)


def paired(found: pd.DataFrame, ours: str, theirs: str) -> dict[str, object]:
    """Ours less theirs, in points of error and of CRPS, with standard errors over runs."""
    out: dict[str, object] = {"ours": ours, "beside": theirs}
    for column in ("error", "crps"):
        wide = found.pivot_table(index=["model", "benchmark"], columns="law", values=column)
        by_run = (wide[ours] - wide[theirs]).groupby("model").mean()
        out[f"{column}, ratio"] = wide[ours].mean() / wide[theirs].mean()
        out[f"{column}, difference"] = by_run.mean()
        out[f"{column}, se"] = by_run.std() / math.sqrt(len(by_run))
    return out


def compared(
    data: sb.Leaderboard, train: pd.DataFrame, test: pd.DataFrame, laws: dict, keep: Path, what: str
) -> pd.DataFrame:
    """Forecasts of some laws and of the rivals."""
    table, found = table_of(train, data), []
    for name, changes in laws.items():
        called = f"{what}-{name.replace(' ', '-')}"
        spec = sb.Sloth().replace(**changes)
        quick = what == "rehearsal" or name == "size"
        post = (
            fitted(spec, table, called, keep, **QUICK)
            if quick
            else stepped(spec, table, called, keep)
        )
        if not quick:
            mixed(post, test)
        found.append(forecasts(post, test, name))
    found.append(rivals(data, train, test))
    return pd.concat(found, ignore_index=True)


def shown(found: pd.DataFrame, ours: str, out: Path, what: str) -> None:
    """Print and keep what was found."""
    table = summary(found, ["law"])
    pairs = pd.DataFrame([paired(found, ours, other) for other in table.index if other != ours])
    print(f"\n{what}\n{table.to_string()}\n{pairs.round(3).to_string(index=False)}", flush=True)
    found.to_csv(out / f"{what}.csv", index=False, float_format="%.4f")
    table.to_csv(out / f"{what}-summary.csv")
    pairs.to_csv(out / f"{what}-paired.csv", index=False, float_format="%.4f")


def forecast(data: sb.Leaderboard, out: Path) -> None:
    """The nine runs, by the laws and the rivals."""
    train, test = parts(data, SMALL, math.inf)
    found = compared(data, train, test, LAWS, out, "forecast")
    shown(found, "translog", out, "forecast")
    print(summary(found, ["law", "model"])["error"].unstack("law").round(2).to_string())


def designs(data: sb.Leaderboard, out: Path) -> None:
    """A second design, chosen on runs of 411M, and its forecasts of the nine."""
    train, test = parts(data, REHEARSED, SMALL)
    laws = DESIGNS | {name: LAWS[name] for name in ("flops",)}
    found = compared(data, train, test, laws, out, "rehearsal")
    shown(found, "translog", out, "rehearsal")
    best = str(found[found["law"].isin(list(DESIGNS))].groupby("law")["crps"].mean().idxmin())
    train, test = parts(data, SMALL, math.inf)
    found = compared(data, train, test, {best: DESIGNS[best], **LAWS}, out, "forecast")
    shown(found, best, out, "second")


def loss(data: sb.Leaderboard, out: Path) -> None:
    """The second design: rehearsed by NUTS on runs of 411M, and by the rule scored on the nine."""
    train, test = parts(data, REHEARSED, SMALL)
    laws = LOSS | {name: LAWS[name] for name in ("flops", "translog")}
    found = compared(data, train, test, laws, out, "rehearsed")
    shown(found, "loss", out, "rehearsed")
    score = found.groupby("law")["crps"].mean()
    sure = all(mixed(sb.load(out / f"rehearsed-{name}.nc"), test) for name in laws)
    taken = sure and score["loss"] < score["flops"]
    print(f"the rule: {'scored' if taken else 'not scored'} on the nine", flush=True)
    if taken:
        train, test = parts(data, SMALL, math.inf)
        found = compared(data, train, test, LOSS | LAWS, out, "forecast")
        shown(found, "loss", out, "loss")
        print(summary(found, ["law", "model"])["error"].unstack("law").round(2).to_string())


class OneExponent(TokensExponent):
    """Tokens have the exponent of size."""

    def prior(self, at: Any) -> dict[str, Any]:
        """None of its own."""
        return {self.name: at.values["size_exponent"]}


def parallel(data: sb.Leaderboard, out: Path) -> None:
    """The third design: the loss of one exponent."""
    law.TERMS["tokens_exponent"] = OneExponent()
    train, test = parts(data, REHEARSED, SMALL)
    laws = {"parallel": LOSS["loss"], "flops": LAWS["flops"]}
    found = compared(data, train, test, laws, out, "rehearsal")
    shown(found, "parallel", out, "rehearsal-parallel")
    score = found.groupby("law")["crps"].mean()
    taken = score["parallel"] < score["flops"]
    print(f"the rule: {'scored' if taken else 'not scored'} on the nine", flush=True)
    if taken:
        train, test = parts(data, SMALL, math.inf)
        found = compared(data, train, test, {"parallel": LOSS["loss"]} | LAWS, out, "forecast")
        shown(found, "parallel", out, "parallel")
        print(summary(found, ["law", "model"])["error"].unstack("law").round(2).to_string())


# -- the best size of a budget -----------------------------------------------------------------


def budgets(train: pd.DataFrame) -> list[pd.DataFrame]:
    """Runs of one corpus that cost about the same, two sizes or more."""
    found: list[pd.DataFrame] = []
    for _, rows in train.groupby("family"):
        rows = rows.assign(flops=6e21 * rows["params_b"] * rows["tokens_t"]).sort_values("flops")
        first, of = 0.0, []
        for value in rows["flops"]:
            first = first if value <= SAME * first else value
            of.append(first)
        found += [part for _, part in rows.groupby(of) if len(part) > 1]
    return found


def allocation(data: sb.Leaderboard, out: Path) -> None:
    """Best sizes of budgets, as run and as the law has them."""
    train, _ = parts(data, SMALL, math.inf)
    for law_of in ("translog", "loss"):
        spec = sb.Sloth().replace(**(LAWS | LOSS)[law_of])
        post = stepped(spec, table_of(train, data), f"forecast-{law_of}", out)
        told(pd.DataFrame([best_size(post, runs, data) for runs in budgets(train)]), law_of, out)


def hidden(data: sb.Leaderboard, out: Path) -> None:
    """Best sizes of budgets that were left out of the fit."""
    train, _ = parts(data, SMALL, math.inf)
    found = budgets(train)
    groups = pd.Series(found).groupby([round(math.log2(runs["flops"].min())) for runs in found])
    rows = []
    for number, (_, of) in enumerate(groups):
        seen = train.drop(index=[i for runs in of for i in runs.index])
        spec = sb.Sloth().replace(**LOSS["loss"])
        post = fitted(spec, table_of(seen, data), f"hidden-{number}", out, **QUICK)
        rows += [best_size(post, runs, data) for runs in of]
    told(pd.DataFrame(rows), "loss, hidden", out)


def best_size(post: sb.Posterior, runs: pd.DataFrame, data: sb.Leaderboard) -> dict[str, object]:
    """Of one budget: the best of the sizes run, and what the law and the rules say."""
    budget, family = float(np.exp(np.log(runs["flops"]).mean())), runs["family"].iloc[0]
    draws = post.forecast(runs.drop(columns=["instruct", "flops"])).draws["expected"]
    expected = draws.mean("benchmark").stack(s=("chain", "draw")).transpose("s", ...).values
    here = post.optimal_allocation(budget, "average", family=family).frame.iloc[0]
    size, tokens = runs["params_b"].to_numpy(), runs["tokens_t"].to_numpy()
    y = runs[list(data.benchmark_names)].mean(axis=1).to_numpy()
    best, found = y.argmax(), expected.argmax(1)
    share = np.bincount(found, minlength=len(runs)) / len(found)
    order = np.argsort(-share)
    kept = order[: np.searchsorted(share[order].cumsum(), 0.9 - 1e-9) + 1]
    taken = {
        "law": expected.mean(0).argmax(),
        "chinchilla": abs(np.log(tokens * 1e3 / size / CHINCHILLA)).argmin(),
        "largest": size.argmax(),
        "smallest": size.argmin(),
    }
    return {
        "family": family, "flops": budget, "sizes": len(runs), "best": size[best],
        "lower": here["size_lower"], "median": here["size_median"],
        "upper": here["size_upper"], "p_interior": here["p_interior"],
        "inside": here["size_lower"] <= size[best] <= here["size_upper"],
        "ahead": 100 * (y.max() - np.sort(y)[-2]),
        "in_set": best in kept, "set": len(kept), "p_best": share[best],
        **{f"right, {k}": i == best for k, i in taken.items()},
        **{f"lost, {k}": 100 * (y.max() - y[i]) for k, i in taken.items()},
    }  # fmt: skip


def told(found: pd.DataFrame, what: str, out: Path) -> None:
    """Print and keep what was found of best sizes."""
    found.to_csv(
        out / f"allocation-{what.replace(', ', '-')}.csv", index=False, float_format="%.5g"
    )
    numbers = found.drop(columns="family").astype(float)
    print(f"\nallocation, {what}: {len(found)} budgets\n{found.iloc[:, :13].round(3).to_string()}")
    print(numbers.mean().round(3).to_string())
    print(numbers.groupby("sizes")[["inside", "in_set", "set", "p_best"]].mean().round(3))
    gained = (
        (found["lost, chinchilla"] - found["lost, law"]).groupby(found["flops"].round(-15)).mean()
    )
    print(f"less lost than by 20 tokens a parameter: {gained.mean():.2f} points (se over budgets "
          f"{gained.std() / len(gained) ** 0.5:.2f})", flush=True)  # fmt: skip


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    every = {"forecast": forecast, "designs": designs, "loss": loss, "parallel": parallel}
    every |= {"allocation": allocation, "hidden": hidden}
    parser.add_argument("--parts", nargs="*", choices=list(every), default=list(every))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    options.out.mkdir(parents=True, exist_ok=True)
    data = sb.load_dataset(NAME)
    for part in options.parts:
        every[part](data, options.out)


if __name__ == "__main__":
    main()
