"""Skill ratings held out and simulated, as a command.

    python -m studies.ratings --out DIR [--parts answers heldout mt_bench recovery]

*answers*: what the fit that ships says: saturation, claims of FLASK, gaps, judges, sizes.

*heldout*: the models of known size of BiGGen and of MT-Bench left out, once in ten random groups of
models and once a lineage at a time, forecast from the others (variational fits: one takes seconds)
and scored against the judges' ratings. Two designs: *ours*, the law as it is, and *straight*, whose
curves do not bend. Rivals, by least squares in each skill and judge: *log size* (a straight line)
and *log size, kind* (with an intercept a kind of model); their intervals are Student-t prediction
intervals. Settings were fixed before any of these was scored; *straight* and MT-Bench were added
when the first scores of BiGGen were known, and before any of theirs. The bar for lineages never
seen: 95% of the error of the better rival, on both tables.

*mt_bench*: the claims of ``data/skill_ratings/mt_bench_claims.csv``, by a fit (NUTS) to MT-Bench.
``flat`` and ``improves`` are read off P(saturated) at the size (a doubling gains less than 0.1
points, of 1 to 5). ``size gap``: a typical family gains more from 7B to 70B in the mean of the
categories of substance than in that of style. ``thinking gap``: the same of a thinking model beside
its plain twin, in the mean of such pairs; only pairs of one maker and base decide
(``mt_bench_twins.csv``), and what pairs differ by is a normal law with unknown spread (flat prior,
so Student's t). A claim is supported if its probability is at least 0.95, contradicted if at most
0.05, else unsure. This was written before the fit.

*recovery*: ratings drawn from the law's prior (means, and single ratings by level of difficulty),
fitted by NUTS: how often 90% intervals cover what was drawn.
"""

from __future__ import annotations

import argparse
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

import sloth_bayes as sb
from sloth_bayes.evaluate.scores import bootstrap_interval
from sloth_bayes.law.likelihood import draw_scores
from sloth_bayes.ratings import fit as layer
from sloth_bayes.ratings.table import load_categories
from sloth_bayes.support.shipped import shipped

PARTS = ("answers", "heldout", "mt_bench", "recovery")
STEPS = 2000
GROUPS = 10
FAST = {"chains": 2, "warmup": 300, "draws": 300, "steps": 600, "starts": 1, "max_tree_depth": 8}


# -- held out ----------------------------------------------------------------------------------


def folds(about: pd.DataFrame, protocol: str) -> list[list[str]]:
    """Models to hide together: those of known size, in random groups or by lineage."""
    known = about[about["params_b"].notna()]
    if protocol == "lineage":
        return [list(rows["model"]) for _, rows in known.groupby("lineage")]
    order = np.random.default_rng(0).permutation(known["model"].to_numpy())
    return [list(part) for part in np.array_split(order, GROUPS)]


def rival(train: pd.DataFrame, test: pd.DataFrame, kinds: bool) -> tuple[np.ndarray, ...]:
    """Forecast and 90% interval of one skill and judge, by least squares."""
    others = sorted(train["kind"].unique())[1:] if kinds else []

    def inputs(rows: pd.DataFrame) -> np.ndarray:
        dummies = [(rows["kind"] == kind).to_numpy(float) for kind in others]
        return np.stack([np.ones(len(rows)), np.log2(rows["params_b"]), *dummies], axis=1)

    x, y = inputs(train), train["rating"].to_numpy()
    z = inputs(test)
    beta, *_ = np.linalg.lstsq(x, y, rcond=None)
    free = len(y) - x.shape[1]
    variance = ((y - x @ beta) ** 2).sum() / free
    spread = np.sqrt(variance * (1 + np.einsum("ij,jk,ik->i", z, np.linalg.pinv(x.T @ x), z)))
    half = stats.t.ppf(0.95, free) * spread
    middle = z @ beta
    return np.clip(middle, 1, 5), np.clip(middle - half, 1, 5), np.clip(middle + half, 1, 5)


DESIGNS = ("ours", "straight")


def held_out(protocol: str, ratings: sb.SkillRatings) -> pd.DataFrame:
    """One row a hidden model, skill and judge: truth, and forecasts with 90% intervals."""
    truth = ratings.frame.merge(ratings.models, on="model")
    parts = []
    for k, hidden in enumerate(folds(ratings.models, protocol)):
        test = truth[truth["model"].isin(hidden)].copy()
        train = truth[~truth["model"].isin(hidden) & truth["params_b"].notna()]
        for (skill, judge), here in test.groupby(["skill", "judge"]):
            past = train[(train["skill"] == skill) & (train["judge"] == judge)]
            for name, kinds in (("log size", False), ("log size, kind", True)):
                found = rival(past, here, kinds)
                for column, values in zip((name, f"{name}_low", f"{name}_high"), found):
                    test.loc[here.index, column] = values
        for design in DESIGNS:
            test = test.merge(by_law(ratings, hidden, k, design))
        parts.append(test.assign(fold=k))
    return pd.concat(parts, ignore_index=True)


def by_law(ratings: sb.SkillRatings, hidden: list[str], k: int, design: str) -> pd.DataFrame:
    """The law's forecasts of hidden models, one row a model, skill and judge."""
    from sloth_bayes.evaluate.fold import forecast_hidden
    from sloth_bayes.model.arrays import showing
    from sloth_bayes.model.loadings import sizes
    from sloth_bayes.ratings.model import TARGET

    laid_out, _ = layer.lay_out(ratings)
    arrays = laid_out.arrays
    if design == "straight":
        arrays = arrays._replace(extra=arrays.extra._replace(knots=arrays.extra.knots[:0]))
    n, names = sizes(layer.LAW, arrays), list(laid_out.models)
    rows = [names.index(m) for m in hidden]
    observed = np.array(arrays.observed)
    observed[rows] = 0
    mu, sd, notes = forecast_hidden(
        layer.LAW, n, showing(arrays, observed), rows, "svi", seed=k, which=TARGET, steps=STEPS
    )
    drawn = 1 + 4 * draw_scores(mu, sd, layer.LAW.observation, np.random.default_rng([k, 7]))
    shape = (len(rows), len(ratings.judges), len(ratings.skills))
    low, middle, high = (np.quantile(drawn, q, axis=0).reshape(shape) for q in (0.05, 0.5, 0.95))
    index = pd.MultiIndex.from_product(
        [hidden, ratings.judges, ratings.skills], names=["model", "judge", "skill"]
    )
    columns = {design: middle, f"{design}_low": low, f"{design}_high": high}
    frame = pd.DataFrame({name: v.ravel() for name, v in columns.items()}, index=index)
    return frame.reset_index().assign(**{f"{design}_settled": notes["converged"]})


RIVALS = ("log size", "log size, kind")


def score(frame: pd.DataFrame) -> pd.DataFrame:
    """Error (rating points), coverage and width of 90% intervals of each method."""
    rows = []
    for name in (*DESIGNS, *RIVALS):
        low, high, truth = frame[f"{name}_low"], frame[f"{name}_high"], frame["rating"]
        outside = (low - truth).clip(lower=0) + (truth - high).clip(lower=0)
        rows.append(
            {
                "method": name, "mae": (frame[name] - truth).abs().mean(),
                "coverage": ((low <= truth) & (truth <= high)).mean(),
                "width": (high - low).mean(),
                "interval score": (high - low + 20 * outside).mean(),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def beside(frame: pd.DataFrame) -> pd.DataFrame:
    """Each design beside the better rival: ratio of errors, and the difference by lineage."""
    errors = {m: (frame[m] - frame["rating"]).abs() for m in (*DESIGNS, *RIVALS)}
    best = min(RIVALS, key=lambda m: errors[m].mean())
    rows = []
    for design in DESIGNS:
        off = errors[design] - errors[best]
        se, low, high = bootstrap_interval(off.to_numpy(), frame["lineage"].to_numpy())
        rows.append(
            {"design": design, "rival": best, "ratio": errors[design].mean() / errors[best].mean(),
             "difference": off.mean(), "se": se, "low": low, "high": high}
        )  # fmt: skip
    return pd.DataFrame(rows)


# -- MT-Bench ----------------------------------------------------------------------------------

SMALL, LARGE = 7.0, 70.0  # billions
SURE = 0.95


def verdict(p: float) -> str:
    """What a probability says of a claim."""
    return "supported" if p >= SURE else "contradicted" if p <= 1 - SURE else "unsure"


def mt_bench(out: Path) -> None:
    """The claims, by a fit to MT-Bench, and the figure of saturation."""
    import matplotlib

    matplotlib.use("Agg")
    path = out / "mt_bench.nc"
    if not path.exists():
        sb.load_ratings(name="mt_bench").fit(seed=0, progress=False).save(path)
    post = sb.load_ratings_posterior(path)
    print(post.diagnostics(), flush=True)
    found = post.saturation()
    found.plot().flat[0].figure.savefig(out / "mt_bench-saturation.png", dpi=130)
    p_flat = found.frame.set_index(["skill", "at"])["p_saturated"]

    folder = shipped("data") / "skill_ratings"
    style = (load_categories().set_index("category")["side"] == "style").loc[post.skills].to_numpy()

    def contrast(rating: np.ndarray) -> np.ndarray:
        return rating[..., ~style].mean(-1) - rating[..., style].mean(-1)

    ends = post.along(np.array([SMALL, LARGE]), "Chat")
    size_gap = contrast(ends[:, 1] - ends[:, 0])
    twins = pd.read_csv(folder / "mt_bench_twins.csv")
    rating = post.rating(post.merged["predictor"])
    at = {side: [post.models.index(m) for m in twins[side]] for side in twins}
    each = contrast(rating[:, at["thinking"]] - rating[:, at["plain"]])
    n, rng = each.shape[1], np.random.default_rng(0)
    spread = each.std(1, ddof=1) / np.sqrt(n) * rng.standard_t(n - 1, len(each))
    gaps = {"size gap": size_gap, "thinking gap": each.mean(1) + spread}
    rows = []
    for claim in pd.read_csv(folder / "mt_bench_claims.csv").to_dict("records"):
        row = {k: claim[k] for k in ("claim", "category", "at_b")}
        if claim["claim"] in gaps:
            draws = gaps[claim["claim"]]
            p = float((draws > 0).mean())
            row |= dict(zip(("low", "median", "high"), np.quantile(draws, [0.05, 0.5, 0.95])))
        else:
            flat = float(p_flat[claim["category"], claim["at_b"]])
            p = flat if claim["claim"] == "flat" else 1 - flat
        rows.append(row | {"p": p, "verdict": verdict(p)})
    pairs = twins.assign(
        **dict(zip(("low", "median", "high"), np.quantile(each, [0.05, 0.5, 0.95], axis=0)))
    )
    tables = {"claims": pd.DataFrame(rows), "saturation": found.frame, "twins": pairs}
    for name, table in tables.items():
        table.to_csv(out / f"mt_bench-{name}.csv", index=False, float_format="%.4f")
        print(f"\nMT-Bench, {name}\n{table.round(3).to_string(index=False)}", flush=True)


# -- simulated ---------------------------------------------------------------------------------


def layout(single: bool, seed: int = 0) -> sb.SkillRatings:
    """24 models of 12 families, two judges, four skills: a table to be filled."""
    rng = np.random.default_rng(seed)
    rows = []
    for f in range(12):
        for size in rng.choice([1, 3, 7, 13, 30, 70], 2, replace=False):
            rows.append(
                {
                    "model": f"m{f:02d}-{size}", "family": f"f{f:02d}", "lineage": f"l{f // 2}",
                    "kind": "Chat" if f % 2 else "Base",
                    "params_b": np.nan if len(rows) in (5, 11) else float(size),
                }
            )  # fmt: skip
    models = pd.DataFrame(rows)
    names = ("model", "skill", "judge", "difficulty", "rating")
    cells = [
        (m, s, g, q, r)
        for m in models["model"]
        for s in ("insight", "logic", "style", "truth")
        for g in ("human", "machine")
        for q in ((1, 3, 5) if single else (1,))
        for r in (range(1, 6) if single else (3.0,))
    ]
    frame = pd.DataFrame(cells, columns=names)
    if single:
        return sb.SkillRatings.from_ratings(frame, models, name="simulated")
    return sb.SkillRatings.from_means(frame, models, name="simulated")


def simulate(blank: sb.SkillRatings, seed: int, each: int = 30):  # type: ignore[no-untyped-def]
    """Ratings drawn from the prior in a table's layout, and the draw itself as a posterior."""
    import jax
    from numpyro import handlers

    from sloth_bayes.model.loadings import sizes
    from sloth_bayes.ratings import model as ratingsmodel

    laid_out, kinds = layer.lay_out(blank)
    arrays, spec = laid_out.arrays, layer.LAW
    n, key = sizes(spec, arrays), jax.random.PRNGKey(seed)
    seeded = handlers.seed(ratingsmodel.parameters, key)
    trace = handlers.trace(seeded).get_trace(spec, n, arrays)
    sites = {k: v["value"] for k, v in trace.items() if v["type"] == "sample"}
    drawn = ratingsmodel.values(spec, n, arrays, sites, jax.random.fold_in(key, 1))
    drawn = {k: np.asarray(v)[None] for k, v in drawn.items()}
    truth = layer.build(blank, laid_out, kinds, drawn, 1, None, {"name": "truth"})
    rng, frame = np.random.default_rng([seed, 3]), blank.frame.copy()
    if blank.single:
        who, what, level, judge = np.asarray(arrays.extra.cell).T
        eta = drawn["predictor"][0][who, what] + drawn["difficulty"][0][what, level]
        eta = drawn["stretch"][0][judge] * eta - drawn["severity"][0][judge, what]
        p = ratingsmodel.rating_probabilities(eta, drawn["threshold"][0], np)
        frame[list("12345")] = rng.multinomial(each, p.astype(float) / p.sum(1, keepdims=True))
    else:
        v = ratingsmodel.sampled(spec, n, arrays, sites)
        mu, own, shared = (np.asarray(a) for a in ratingsmodel.mean_cells(spec, v, arrays))
        tail = np.sqrt(rng.chisquare(spec.df, shared.shape) / spec.df)
        noise = shared * rng.standard_normal(shared.shape) + own * rng.standard_normal(own.shape)
        values = np.clip(mu + noise / tail, 0, 1)
        index = [
            frame[c].map({name: i for i, name in enumerate(names)}).to_numpy()
            for c, names in (
                ("judge", blank.judges), ("model", laid_out.models), ("skill", blank.skills)
            )
        ]  # fmt: skip
        frame["rating"] = 1 + 4 * values[tuple(index)]
    import dataclasses

    return dataclasses.replace(blank, frame=frame), truth


def recovered(found: sb.RatingsPosterior, truth: sb.RatingsPosterior) -> pd.DataFrame:
    """Of each quantity: how often 90% intervals cover the truth."""

    def quantities(post: sb.RatingsPosterior) -> dict[str, np.ndarray]:
        v = post.merged
        out = {
            "expected rating": post.rating(v["predictor"]),
            "gain of a doubling": post.along(np.array([14.0, 60.0]), "Chat")
            - post.along(np.array([7.0, 30.0]), "Chat"),
            "severity": v["severity"],
            "unknown size": v["params_b"],
        }
        if post.levels:
            easy, hard = (post.rating(v["predictor"], q).mean(1) for q in (1, 5))
            out["drop with difficulty"] = 1 - hard / easy
        else:
            out["judge's noise"] = v["judge_noise"]
        return {k: a.reshape(len(a), -1) for k, a in out.items()}

    ours, right = quantities(found), quantities(truth)
    rows = []
    for name, draws in ours.items():
        low, high = np.quantile(draws, [0.05, 0.95], axis=0)
        true = right[name][0]
        error = np.abs(np.median(draws, 0) - true).sum()
        covered = ((low <= true) & (true <= high)).sum()
        rows.append({"quantity": name, "covered": covered, "of": true.size, "error": error})
    return pd.DataFrame(rows)


def recovery(single: bool, replicates: int) -> pd.DataFrame:
    """Coverage over several simulated tables."""
    parts, blank = [], layout(single)
    for k in range(replicates):
        ratings, truth = simulate(blank, 100 + k)
        found = ratings.fit(seed=k, progress=False, **FAST)
        parts.append(recovered(found, truth))
    total = pd.concat(parts).groupby("quantity", sort=False).sum()
    return pd.DataFrame(
        {
            "ratings": "single" if single else "means", "coverage": total["covered"] / total["of"],
            "mean absolute error": total["error"] / total["of"], "quantities": total["of"],
        }
    ).reset_index()  # fmt: skip


# -- what the shipped fit says -----------------------------------------------------------------


def answers() -> dict[str, pd.DataFrame]:
    """The tables of the fit that ships."""
    post = sb.load_ratings_posterior()
    distilled = sb.load_distilled().query("distilled == 'yes'")["model"].tolist()
    found = {gain: post.saturation(gain).frame for gain in (0.05, 0.1, 0.15)}
    tables = pd.concat(found.values())
    return {
        "saturation": tables,
        "claims": post.claims(),
        "gaps": post.gaps(distilled, "Proprietary"),
        "judges": post.judged(),
        "sizes": post.sizes(),
    }


def main() -> None:
    """Make the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", default=[*PARTS], choices=PARTS)
    parser.add_argument("--replicates", type=int, default=8)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if "answers" in args.parts:
        for name, table in answers().items():
            table.to_csv(args.out / f"{name}.csv", index=False, float_format="%.4f")
            print(f"\n{name}\n{table.round(3).to_string(index=False)}", flush=True)
    if "heldout" in args.parts:
        for table, protocol in product(("biggen", "mt_bench"), ("model", "lineage")):
            what, start = f"{table}_{protocol}", time.perf_counter()
            frame = held_out(protocol, sb.load_ratings(name=table))
            found = {"heldout": frame, "scores": score(frame), "paired": beside(frame)}
            for name, rows in found.items():
                rows.to_csv(args.out / f"{name}_{what}.csv", index=False, float_format="%.4f")
            settled = [f"{frame[f'{d}_settled'].mean():.0%}" for d in DESIGNS]
            print(f"\n{table}, held out by {protocol} ({time.perf_counter() - start:.0f} s; "
                  f"rows of fits that settled: {', '.join(settled)})")  # fmt: skip
            for name in ("scores", "paired"):
                print(found[name].round(3).to_string(index=False), flush=True)
    if "mt_bench" in args.parts:
        mt_bench(args.out)
    if "recovery" in args.parts:
        tables = [recovery(single, args.replicates) for single in (False, True)]
        table = pd.concat(tables)
        table.to_csv(args.out / "recovery.csv", index=False, float_format="%.4f")
        print(f"\nrecovery\n{table.round(3).to_string(index=False)}", flush=True)


if __name__ == "__main__":
    main()
