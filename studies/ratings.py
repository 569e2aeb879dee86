"""Skill ratings held out and simulated, as a command.

    python -m studies.ratings --out DIR [--parts answers heldout recovery] [--replicates 8]

*answers*: what the fit that ships says: saturation, claims of FLASK, gaps, judges, sizes.

*heldout*: BiGGen's open models left out, once in ten random groups of models and once a lineage
at a time, forecast from the others (variational fits: one takes seconds) and scored against
both judges' ratings. Rivals, by least squares in each skill and judge: *log size* (a straight
line) and *log size, kind* (with an intercept for chat models); their intervals are Student-t
prediction intervals. Settings were fixed before any of these was scored.

*recovery*: ratings drawn from the law's prior (means, and single ratings by level of difficulty),
fitted by NUTS: how often 90% intervals cover what was drawn.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

import sloth_bayes as sb
from sloth_bayes.law.likelihood import draw_scores
from sloth_bayes.ratings import fit as layer

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

    def inputs(rows: pd.DataFrame) -> np.ndarray:
        chat = (rows["kind"] != layer.BASE).to_numpy(float)
        columns = [np.ones(len(rows)), np.log2(rows["params_b"]), *([chat] if kinds else [])]
        x = np.stack(columns, axis=1)
        return x if np.ptp(chat) or not kinds or rows is test else x[:, :2]

    x, y = inputs(train), train["rating"].to_numpy()
    z = inputs(test)[:, : x.shape[1]]
    beta, *_ = np.linalg.lstsq(x, y, rcond=None)
    free = len(y) - x.shape[1]
    variance = ((y - x @ beta) ** 2).sum() / free
    spread = np.sqrt(variance * (1 + np.einsum("ij,jk,ik->i", z, np.linalg.pinv(x.T @ x), z)))
    half = stats.t.ppf(0.95, free) * spread
    middle = z @ beta
    return np.clip(middle, 1, 5), np.clip(middle - half, 1, 5), np.clip(middle + half, 1, 5)


def held_out(protocol: str) -> pd.DataFrame:
    """One row a hidden model, skill and judge: truth, and forecasts with 90% intervals."""
    from sloth_bayes.evaluate.fold import forecast_hidden
    from sloth_bayes.model.arrays import showing
    from sloth_bayes.model.loadings import sizes
    from sloth_bayes.ratings.model import TARGET

    ratings = sb.load_ratings()
    laid_out, _ = layer.lay_out(ratings)
    n, names = sizes(layer.LAW, laid_out.arrays), list(laid_out.models)
    truth = ratings.frame.merge(ratings.models, on="model")
    parts = []
    for k, hidden in enumerate(folds(ratings.models, protocol)):
        rows = [names.index(m) for m in hidden]
        observed = np.array(laid_out.arrays.observed)
        observed[rows] = 0
        mu, sd, notes = forecast_hidden(
            layer.LAW, n, showing(laid_out.arrays, observed), rows, "svi", seed=k, which=TARGET,
            steps=STEPS,
        )  # fmt: skip
        drawn = 1 + 4 * draw_scores(mu, sd, layer.LAW.observation, np.random.default_rng([k, 7]))
        shape = (len(rows), len(ratings.judges), len(ratings.skills))
        low, middle, high = (
            np.quantile(drawn, q, axis=0).reshape(shape) for q in (0.05, 0.5, 0.95)
        )
        index = pd.MultiIndex.from_product([hidden, ratings.judges, ratings.skills])
        ours = pd.DataFrame(
            {"ours": middle.ravel(), "ours_low": low.ravel(), "ours_high": high.ravel()},
            index=index.set_names(["model", "judge", "skill"]),
        ).reset_index()
        test = truth[truth["model"].isin(hidden)].copy()
        train = truth[~truth["model"].isin(hidden) & truth["params_b"].notna()]
        for (skill, judge), here in test.groupby(["skill", "judge"]):
            past = train[(train["skill"] == skill) & (train["judge"] == judge)]
            for name, kinds in (("log size", False), ("log size, kind", True)):
                found = rival(past, here, kinds)
                for column, values in zip((name, f"{name}_low", f"{name}_high"), found):
                    test.loc[here.index, column] = values
        parts.append(test.merge(ours).assign(fold=k, converged=notes["converged"]))
    return pd.concat(parts, ignore_index=True)


def score(frame: pd.DataFrame) -> pd.DataFrame:
    """Error (rating points), coverage and width of 90% intervals of each method."""
    rows = []
    for name in ("ours", "log size", "log size, kind"):
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
    parser.add_argument("--parts", nargs="+", default=["answers", "heldout", "recovery"])
    parser.add_argument("--replicates", type=int, default=8)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if "answers" in args.parts:
        for name, table in answers().items():
            table.to_csv(args.out / f"{name}.csv", index=False, float_format="%.4f")
            print(f"\n{name}\n{table.round(3).to_string(index=False)}", flush=True)
    if "heldout" in args.parts:
        for protocol in ("model", "lineage"):
            start = time.perf_counter()
            frame = held_out(protocol)
            table = score(frame)
            frame.to_csv(args.out / f"heldout_{protocol}.csv", index=False, float_format="%.4f")
            table.to_csv(args.out / f"scores_{protocol}.csv", index=False, float_format="%.4f")
            print(f"\nheld out by {protocol} ({time.perf_counter() - start:.0f} s; "
                  f"{frame['converged'].mean():.0%} of the fits settled)")  # fmt: skip
            print(table.round(3).to_string(index=False), flush=True)
    if "recovery" in args.parts:
        tables = [recovery(single, args.replicates) for single in (False, True)]
        table = pd.concat(tables)
        table.to_csv(args.out / "recovery.csv", index=False, float_format="%.4f")
        print(f"\nrecovery\n{table.round(3).to_string(index=False)}", flush=True)


if __name__ == "__main__":
    main()
