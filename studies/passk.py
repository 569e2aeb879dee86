"""Whole pass@k curves of held-out models, as a command.

    python -m studies.passk --out DIR [--only 12b 6.9b+12b]
    python -m studies.passk --out DIR --simulate 60
    python -m studies.passk --out DIR --grid
    python -m studies.passk --out DIR --rehearse
    python -m studies.passk --out DIR --ahead

*12b* and *6.9b+12b* of seven finished Pythia models are held out (128 MATH problems,
10,000 samples each). Skills come from a posterior refitted by SVI without the scores
of the held-out models and of Dolly, tuned from them. *-70m* repeats both without the smallest
model. *rehearsal* holds out 2.8B and uses nothing larger.

*--grid* fits the checkpoints of nine sizes from 2 billion tokens on, and
holds out 12B after 0.2 and 0.3 trillion tokens; *--rehearse* the same of 1.4B, 2.8B and 6.9B from
no larger ones, which is where the design was chosen. The skills of a checkpoint are what the law
forecasts at its size and tokens so far; the leaderboard knows finished runs only.

*--ahead* chooses how far a model falls from its skills, a shift of all its problems: of *one
scale*; of a standard deviation that *grows* with the distance in skill to the nearest model with
counts; or with a mean that goes with that distance, too (*grows and bends*): all learned from
models left out, one size and two sizes ahead of the rest. Written when the bands of 6.9B and 12B
had been seen to fail two sizes ahead. **The rule**, committed before it was run: Pythia models of
at most 2.8B are held out of smaller ones, one and two sizes ahead (:data:`AHEAD`, the counts of
10,000 samples, and checkpoints of one number of tokens); the kind with the lowest mean interval
score of the log of pass@k at k = 1, 10 and 100, each rehearsal counting the same, is taken, and
then scored on the models above, once. The law has not seen models of 2.8B or more there.

Rivals, from the same counts and the means of the same skills: *per problem* is the paper's recipe,
a logistic regression a problem (ridge penalty 1); *mean rate* scales the mean success rate by a
logistic regression and lets all problems be alike; *shifted* moves all problems of the largest
sampled model to that mean rate; *each k* is a straight line of the logit of pass@k in skill.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, logit

import sloth_bayes as sb
from sloth_bayes.predict.candidates import completed
from sloth_bayes.predict.new_effects import effects_of
from sloth_bayes.skills.rotated_draws import skill_draws
from sloth_bayes.tasks import passk

SCORED = (1, 10, 100, 1000, 10000)
BAND = passk.K
TIDY = {  # what ships of the curves, in studies/results/passk/passk_curves.csv
    "study": "held_out", "model": "model", "k": "k", "empirical": "observed", "median": "median",
    "lower": "lower", "upper": "upper", "per problem": "paper", "mean rate": "mean_rate",
}  # fmt: skip
LARGE = {
    "pythia-2.8b": ("pythia-2.8b", "dolly-v2-3b"),
    "pythia-6.9b": ("pythia-6.9b", "dolly-v2-7b"),
    "pythia-12b": ("pythia-12b", "dolly-v2-12b"),
}
STUDIES = {
    "rehearsal": (("pythia-2.8b",), ("pythia-6.9b", "pythia-12b"), 0.0),
    "12b": (("pythia-12b",), (), 0.0),
    "6.9b+12b": (("pythia-6.9b", "pythia-12b"), (), 0.0),
    "12b -70m": (("pythia-12b",), (), 0.1),
    "6.9b+12b -70m": (("pythia-6.9b", "pythia-12b"), (), 0.1),
}


AHEAD = {  # rehearsals: tokens of the checkpoints (0: finished models), what is held, and seen
    "1b+2.8b": (0.0, (1.0, 2.8), 0.45), "2.8b": (0.0, (2.8,), 1.0),
    **{f"{held} at {tokens:g}T": (tokens, sizes, seen) for tokens in (0.02, 0.06, 0.2, 0.3)
       for held, sizes, seen in (("1b+1.4b", (1.0, 1.4), 0.45), ("1.4b+2.8b", (1.4, 2.8), 1.0),
                                 ("2.8b", (2.8,), 1.4))},
}  # fmt: skip


def without(held: tuple[str, ...], seed: int = 0) -> sb.Posterior:
    """The recommended specification fitted by SVI without these models and their tuned twins."""
    data = sb.load_dataset("open_llm_leaderboard")
    gone = [m for name in held for m in LARGE[name]]
    frame = data.frame[~data.frame["model"].isin(gone)]
    assert len(data.frame) - len(frame) == len(gone)
    table = sb.Leaderboard.from_frame(frame, benchmarks=list(data.benchmarks))
    spec = sb.load("leaderboard").spec
    return spec.fit(table, method="svi", starts=1, seed=seed, progress=False)


def mean_skills(post: sb.Posterior, models: pd.DataFrame) -> np.ndarray:
    """Posterior means of skills, standardised over the models, ``(M, d)``."""
    rows = completed(post, models, False)
    theta = skill_draws(post, effects_of(post, rows, 0)).mean(0)
    return (theta - theta.mean(0)) / theta.std(0)


def ridge_logistic(x: np.ndarray, n: np.ndarray, c: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Success at `new` by logistic regressions, one a column of `c`; penalty 1/2 |w|^2."""
    a = np.column_stack([np.ones(len(x)), x])
    ahead = np.column_stack([np.ones(len(new)), new])
    penalty = np.eye(a.shape[1])
    penalty[0, 0] = 1e-6
    w = np.zeros((c.shape[1], a.shape[1]))
    w[:, 0] = logit((c.sum(0) + 0.5) / (n.sum(0) + 1))

    def loss(w: np.ndarray) -> np.ndarray:
        eta = w @ a.T
        return (n.T * np.logaddexp(0, eta) - c.T * eta).sum(1) + 0.5 * ((w @ penalty) * w).sum(1)

    for _ in range(200):  # damped Newton, all problems at once
        p = expit(w @ a.T)
        gradient = (n.T * p - c.T) @ a + w @ penalty
        hessian = np.einsum("im,mj,mk->ijk", n.T * p * (1 - p), a, a) + penalty
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        size = np.ones(len(w))
        for _ in range(30):
            worse = loss(w - size[:, None] * step) > loss(w) + 1e-9
            size = np.where(worse, size / 2, size)
        w = w - size[:, None] * step
        if np.abs(gradient).max() < 1e-6:
            break
    return expit(ahead @ w.T)


def curve(p: np.ndarray) -> np.ndarray:
    """Pass@k at :data:`BAND` of success rates ``(I,)``."""
    return passk.coverage(p[None], np.array(BAND, float))[0]


def rivals(post: sb.Posterior, counts: pd.DataFrame, ahead: pd.DataFrame) -> pd.DataFrame:
    """The rivals' curves: model, k, and one column a rival."""
    n, c = (counts.pivot(index="model", columns="problem", values=v).fillna(0)
            for v in ("n_samples", "n_correct"))  # fmt: skip
    models = counts.groupby("model")[["family", "params_b", "tokens_t"]].first().loc[n.index]
    both = pd.concat([models.reset_index(), ahead], ignore_index=True)
    x = mean_skills(post, both)
    seen, new = x[: len(models)], x[len(models) :]
    n, c = n.to_numpy(float), c.to_numpy(float)
    each = ridge_logistic(seen, n, c, new)
    mean = ridge_logistic(seen, n.sum(1, keepdims=True), c.sum(1, keepdims=True), new)[:, 0]
    largest = int(models["params_b"].to_numpy().argmax())
    base = logit((c[largest] + 0.5) / (n[largest] + 1))
    empirical = passk.empirical(counts, BAND).pivot(index="model", columns="k", values="empirical")
    y = logit(np.clip(empirical.loc[models.index].to_numpy(), 1e-6, 1 - 1e-6))
    # one axis: the first principal component of the skills
    axis = np.linalg.svd(seen - seen.mean(0), full_matrices=False)[2][0]
    out = []
    for j, name in enumerate(ahead["model"]):
        shift = brentq(lambda s, j=j: expit(base + s).mean() - mean[j], -20, 20)
        line = []
        for column in y.T:
            some = np.isfinite(column)
            fit = (
                np.polyfit((seen @ axis)[some], column[some], 1) if some.sum() > 1 else [0, np.nan]
            )
            line.append(expit(np.polyval(fit, new[j] @ axis)))
        out.append(pd.DataFrame({
            "model": name, "k": BAND, "per problem": curve(each[j]),
            "mean rate": 1 - (1 - mean[j]) ** np.array(BAND, float),
            "shifted": curve(expit(base + shift)), "each k": line,
        }))  # fmt: skip
    return pd.concat(out, ignore_index=True)


def score(
    name: str, post: sb.Posterior, counts: pd.DataFrame, held: pd.DataFrame, out: Path,
    samples: int, options: dict,
) -> pd.DataFrame:  # fmt: skip
    """Fit, forecast, write the curve, and return errors and coverage, one row a model."""
    begin = time.perf_counter()
    ahead = held.groupby("model", as_index=False)[["family", "params_b", "tokens_t"]].first()
    found = post.pass_at_k(counts, ahead, **options)
    verdict = found.diagnostics()
    truth = passk.empirical(held, BAND)
    band = found.curve(BAND, samples=samples).drop(columns="empirical")
    pure = found.curve(BAND)[["model", "k", "median"]].rename(columns={"median": "expected"})
    table = band[band["forecast"]].merge(truth, on=["model", "k"]).merge(pure, on=["model", "k"])
    table["inside"] = (table["lower"] <= table["empirical"]) & (
        table["empirical"] <= table["upper"]
    )
    table = table.merge(rivals(post, counts, ahead), "left", on=["model", "k"])
    table.insert(0, "study", name)
    print(f"\n## {name}: {time.perf_counter() - begin:.0f} s\n{verdict}", flush=True)
    show = table[table["k"].isin(SCORED)]
    columns = ["model", "k", "empirical", "median", "lower", "upper", "per problem", "mean rate",
               "shifted", "each k"]  # fmt: skip
    print((show[columns].set_index(["model", "k"]) * 100).round(2).to_string())
    print("coverage of the band", table.groupby("model")["inside"].mean().to_dict(), flush=True)
    found.plot(truth=held)[0].figure.savefig(out / f"{name.replace(' ', '_')}.png", dpi=130)
    if "pythia-1b" in found.models:
        for big in found.candidates:
            for k in (1, 10):
                print(found.samples_to_match("pythia-1b", big, k).frame.to_string(index=False))
    return table


def simulated(seed: int, problems: int = 40, samples: int = 1000) -> tuple[pd.DataFrame, ...]:
    """Counts of five models, and the true curves of two larger ones, from an item-response law.

    Skills are one draw of the shipped posterior's, with a weight that lets ability grow with
    size; models deviate from them by a Student-t(2), problems differ in easiness (logistic)
    and discrimination, and pairs of both in a beta law of their success.
    """
    rng = np.random.default_rng(seed)
    post = sb.load("leaderboard")
    sizes = [0.16, 0.41, 1.0, 1.4, 2.8, 6.9, 12.0]
    rows = sb.candidates("pythia", sizes, 0.3, model=[f"made-{s:g}b" for s in sizes])
    complete = completed(post, rows, False)
    theta = skill_draws(post, effects_of(post, complete, 0))[rng.integers(post.n_draws)]
    theta = theta - theta[:5].mean(0)
    weight = abs(rng.normal(0, 3)) * rng.normal(size=theta.shape[1])
    ability = theta @ weight + abs(rng.normal(0, 0.5)) * rng.standard_t(2, len(sizes))
    ability = ability - ability[:5].mean()
    spread, level = 1.3 * np.exp(0.5 * rng.normal()), rng.normal(-5, 1.5)
    z = rng.logistic(size=problems)
    own = abs(rng.normal(0, 0.5)) * rng.normal(size=problems)
    discrimination = 1 + rng.normal(0, 0.3) * z * np.sqrt(3) / np.pi + own
    eta = np.clip(level + spread * z + discrimination * ability[:, None], -25, 25)
    kappa = 1.5 * np.exp(0.7 * rng.normal())
    p = rng.beta(kappa * (1 + np.exp(eta)), kappa * (1 + np.exp(-eta)))
    grid = [(i, j) for i in range(len(sizes)) for j in range(problems)]
    counts = rows.iloc[[i for i, _ in grid]].reset_index(drop=True)
    counts["problem"] = [j for _, j in grid]
    counts["n_samples"] = samples
    counts["n_correct"] = rng.binomial(samples, p).ravel()
    truth = pd.DataFrame(
        passk.coverage(p[5:], np.array(SCORED, float)), index=rows["model"][5:], columns=SCORED
    )
    return counts[counts["params_b"] < 5], rows.iloc[5:], truth


def covered(seed: int, **options: int) -> pd.DataFrame:
    """Whether 90% bands hold the true curves of one simulated table."""
    counts, ahead, truth = simulated(seed)
    found = sb.load("leaderboard").pass_at_k(counts, ahead, k=SCORED, seed=seed, **options)
    rows = found.frame[found.frame["forecast"]].copy()
    rows["truth"] = [truth.at[r.model, r.k] for r in rows.itertuples()]
    rows["inside"] = (rows["lower"] <= rows["truth"]) & (rows["truth"] <= rows["upper"])
    return rows.assign(table=seed)


def grid(out: Path, options: dict, size: float, post: sb.Posterior) -> None:
    """The last checkpoints of one size, from all its earlier ones and those of smaller sizes."""
    counts = sb.load_samples("checkpoints")
    counts = counts[(counts["tokens_t"] > 1e-3) & (counts["params_b"] <= size)]
    is_held = (counts["params_b"] == size) & (counts["tokens_t"] >= 0.2)
    held, seen = counts[is_held], counts[~is_held]
    print(f"{size:g}B: {seen['model'].nunique()} checkpoints, {len(seen)} counts of "
          f"{seen['n_samples'].min()} to {seen['n_samples'].max()} samples")  # fmt: skip
    begin = time.perf_counter()
    ahead = held.groupby("model", as_index=False)[["family", "params_b", "tokens_t"]].first()
    found = post.pass_at_k(seen, ahead, **options)
    print(f"{time.perf_counter() - begin:.0f} s\n{found.diagnostics()}")
    k = tuple(x for x in SCORED if x <= held["n_samples"].min())
    table = found.curve(k).query("forecast").drop(columns="empirical")
    table = table.merge(passk.empirical(held, k), on=["model", "k"])
    table = table.merge(rivals(post, seen, ahead), "left", on=["model", "k"])
    table["inside"] = table["empirical"].between(table["lower"], table["upper"])
    table.to_csv(out / f"grid-{size:g}b.csv", index=False, float_format="%.6f")
    show = table.set_index(["model", "k"])
    columns = ["empirical", "median", "lower", "upper", "per problem", "mean rate"]
    print((show[columns] * 100).round(2).to_string())
    errors = {m: 100 * (show[m] - show["empirical"]).abs() for m in
              ("median", "per problem", "mean rate", "shifted")}  # fmt: skip
    errors = pd.DataFrame(errors).assign(covered=show["inside"])
    print(errors.groupby("k").mean().round(2).to_string(), "mean", sep="\n")
    print(errors.mean().round(2).to_string(), flush=True)


def ahead(out: Path, options: dict, post: sb.Posterior) -> None:
    """Which kind of shift holds models held out of smaller ones; see the rule above."""
    rows = []
    for name, (tokens, held, largest) in AHEAD.items():
        counts = sb.load_samples(*["checkpoints"] if tokens else [])
        counts = counts[np.isclose(counts["tokens_t"], tokens or 0.3, rtol=1e-3)]
        seen, hidden = counts[counts["params_b"] <= largest], counts[counts["params_b"].isin(held)]
        some = hidden.groupby("model", as_index=False)[["family", "params_b", "tokens_t"]].first()
        for kind in passk.KINDS:
            passk.KIND = kind
            found = post.pass_at_k(seen, some, **options)
            table = found.curve((1, 10, 100), samples=int(hidden["n_samples"].min()))
            table = table.query("forecast").drop(columns="empirical")
            table = table.merge(passk.empirical(hidden, (1, 10, 100)), on=["model", "k"])
            rows.append(table.assign(rehearsal=name, kind=kind, scale=found.scale))
    found = pd.concat(rows).query("empirical > 0")
    low, high, truth = (np.log(found[x] + 1e-6) for x in ("lower", "upper", "empirical"))
    missed = np.maximum(low - truth, 0) + np.maximum(truth - high, 0)
    found = found.assign(
        score=high - low + missed * 2 / 0.1, factor=np.exp(high - low), inside=missed == 0,
        error=100 * (found["median"] - found["empirical"]).abs(),
    )  # fmt: skip
    found.to_csv(out / "ahead.csv", index=False, float_format="%.6f")
    columns = ["score", "inside", "error", "factor", "scale"]
    each = found.groupby(["rehearsal", "kind"], sort=False)[columns].mean()
    print(each.unstack("kind").round(2).to_string())
    print(each.groupby("kind", sort=False).mean().round(3).to_string())
    print("taken:", each["score"].groupby("kind").mean().idxmin(), flush=True)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m studies.passk", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=list(STUDIES))
    parser.add_argument("--draws", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--simulate", type=int, metavar="TABLES", help="simulated truth instead")
    parser.add_argument("--grid", action="store_true", help="the checkpoints instead")
    parser.add_argument("--rehearse", action="store_true", help="smaller checkpoints instead")
    parser.add_argument("--ahead", action="store_true", help="choose how far models fall")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    import matplotlib

    matplotlib.use("Agg")
    if given.simulate:
        rows = pd.concat([covered(s, draws=given.draws) for s in range(given.simulate)])
        rows.to_csv(given.out / "simulated.csv", index=False, float_format="%.6f")
        each = rows.groupby("table")["inside"].mean()
        print(rows.groupby(["model", "k"])["inside"].mean().unstack().round(3).to_string())
        print(f"{given.simulate} tables: 90% bands hold {each.mean():.1%} (standard error over "
              f"tables {each.std() / len(each) ** 0.5:.1%})")  # fmt: skip
        return
    options = {"seed": given.seed, "draws": given.draws}
    if given.grid:
        grid(given.out, options, 12.0, without(("pythia-12b",), given.seed))
        return
    if given.ahead:
        ahead(given.out, options, without(tuple(LARGE), given.seed))
        return
    if given.rehearse:
        post = without(tuple(LARGE), given.seed)
        for size in (1.4, 2.8, 6.9):
            grid(given.out, options, size, post)
        return
    tables, posts = [], {}
    for name in given.only or list(STUDIES):
        held, unused, least = STUDIES[name]
        gone = tuple(sorted({*held, *unused}))
        if gone not in posts:
            posts[gone] = without(gone, given.seed)
            print(f"posterior without {gone}: {posts[gone].diagnostics()}", flush=True)
        counts = sb.load_samples()
        counts = counts[~counts["model"].isin(unused) & (counts["params_b"] >= least)]
        is_held = counts["model"].isin(held)
        tables.append(
            score(name, posts[gone], counts[~is_held], counts[is_held], given.out, 10000, options)
        )
        both = pd.concat(tables)
        both.to_csv(given.out / "curves.csv", index=False, float_format="%.6f")
        tidy = both.rename(columns=TIDY)[list(TIDY.values())]
        tidy.to_csv(given.out / "passk_curves.csv", index=False, float_format="%.6f")
        rows = both[both["k"].isin(SCORED)]
        errors = {m: 100 * (rows[m] - rows["empirical"]).abs() for m in
                  ("median", "per problem", "mean rate", "shifted", "each k")}  # fmt: skip
        errors = pd.DataFrame(errors).groupby([rows["study"], rows["model"]]).mean()
        errors["covered"] = both.groupby(["study", "model"])["inside"].mean()
        once = both[both["k"] == 1].set_index(["study", "model"])
        errors["factor"] = once["upper"] / once["lower"]
        each = rows.set_index(["study", "model", "k"])
        gain = {m: 100 * (each[m] - each["empirical"]).abs() for m in ("median", "per problem")}
        print(pd.DataFrame(gain).unstack("k").round(2).to_string())
        print("\nmean absolute error in points over k = 1 ... 10,000, and coverage of the band")
        print(errors.round(2).to_string(), flush=True)
        errors.to_csv(given.out / "errors.csv", float_format="%.4f")


if __name__ == "__main__":
    main()
