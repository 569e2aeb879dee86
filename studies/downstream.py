"""Tasks outside the leaderboard, forecast for models that did not train them.

``python -m studies.downstream --out DIR`` makes ``forecasts.csv`` (a row a held-out task and
model), ``summary.csv``, ``weights.csv`` and figures; what is there already is not computed again.

Who trains and who is held out, and where skills come from:

- HumanEval, EQ-Bench: Llama 3 70B (base, instruct, and its tuned twin SauerkrautLM) is held out
  of everything: the law is fitted again without the three, with the shipped posterior's recipe.
- AgentBench, AgentBoard: leave one model out. Skills come from the shipped posterior; those of
  the 20 models that it lacks are drawn given their leaderboard scores and each draw of the shared
  parameters, which stay as they are (``condition(..., reweight=False)``). Conditioning on the 20 at
  once had failed (k-hat 2.36), before any of these scores was looked at; ``families.csv`` has
  k-hat family by family. The skills of the model left out have seen its leaderboard scores, never
  its score on the task. Strong shrinkage; one intercept for all families, as in every task.
- BIG-bench: models up to 8.4e22 training FLOPs train, stronger ones are forecast. Skills come from
  the shipped posterior, which has seen the leaderboard scores of all of them.

The settings were written down before any held-out score was looked at. The first run had a
ceiling with a prior, 1 - half-normal(0.05), and lost most scores above 0.9 of the BIG-bench tasks.
``--rehearse`` repeats that question on the training rows alone, a quarter of the border of FLOPs
lower: the ceiling was dropped on its account, and everything was scored once more.

Then 544 intervals were 42 points wide in the mean and held 95%. What a task is expected to be
before its scores (:class:`~sloth_bayes.tasks.shrinkage.Shrinkage`) is chosen by three rehearsals,
none of which reads a held-out score: BIG-bench as above; each of eight benchmarks of the Swallow
leaderboard that 15 models of the shipped posterior have a score on, one model left out in its turn;
and each benchmark of the second leaderboard, from the skills of a fit to the first one alone, three
times from 20 models drawn at random to 20 others. The rule, written before any of it was run: of
spreads of scale 1 (as it was), 0.5 and 0.25, each with the first whitened skill like any other (as
it was) or expected to weigh the size of the weights more, those stand whose 90% intervals hold at
least 88% of each rehearsal; the one with the smallest CRPS wins (mean over the three of the ratio
to what was). Then the 544 pairs are scored once. Both shrinkages take it, the tests by leave one
out with the strong one, the others with the normal one, as the suites do.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

import sloth_bayes as sb
from sloth_bayes.evaluate import baselines, scores
from sloth_bayes.infer import recipes
from sloth_bayes.tasks.downstream import Downstream, load_agents, whitened
from sloth_bayes.tasks.downstream_model import DF, from_prior, predict
from sloth_bayes.tasks.shrinkage import SHRINKAGE

LLAMA = ("meta-llama-3-70b", "meta-llama-3-70b-instruct", "llama-3-sauerkrautlm-70b-instruct")
FLOPS = 8.4e22  # Ruan et al.'s border between weak and strong models
V1 = ["ARC", "HellaSwag", "MMLU", "TruthfulQA", "Winogrande", "GSM8K"]
COMPONENTS = 3
PROB = 0.9
QUESTIONS = 500  # of a simulated task
SPREADS, GENERAL = (1.0, 0.5, 0.25), (0.0, 1.0)  # what is expected of a task: what was, first

Rehearsed = tuple[pd.Series, list[str], dict[str, Any]]  # scores, models held out, how to learn it


# -- baselines ---------------------------------------------------------------------------


def logistic(x: np.ndarray, y: np.ndarray, seed: int = 0) -> Callable[[np.ndarray], np.ndarray]:
    """Draws ``(S,)`` at a new ``x`` of a logistic curve of ``x`` ``(N, P)``, by least squares.

    Its spread is that of the training residuals; a touch of ridge keeps separable data finite.
    """
    centre, scale = x.mean(0), np.where(x.std(0) > 0, x.std(0), 1.0)

    def curve(b: np.ndarray, x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-np.clip(b[0] + ((x - centre) / scale) @ b[1:], -30, 30)))

    def loss(b: np.ndarray) -> np.ndarray:
        return np.concatenate([curve(b, x) - y, 0.01 * b[1:]])

    mean = np.clip(y.mean(), 0.01, 0.99)
    first = np.array([np.log(mean / (1 - mean)), *np.zeros(x.shape[1])])
    b = least_squares(loss, first).x
    freedom = max(len(y) - len(b), 1)
    residual = (y - curve(b, x)) * np.sqrt(len(y) / freedom)

    def draws(new: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(seed).choice(residual, 2000)
        return np.clip(curve(b, new) + noise, 0, 1)

    return draws


def components(wide: pd.DataFrame) -> tuple[pd.DataFrame, Callable[[np.ndarray], np.ndarray]]:
    """Principal components of models' scores, holes filled by the components themselves."""
    y = wide.to_numpy(float)
    hole = ~np.isfinite(y)
    filled = np.where(hole, np.nanmean(y, axis=0), y)
    for _ in range(50):
        centre = filled.mean(0)
        u, s, axes = np.linalg.svd(filled - centre, full_matrices=False)
        low = centre + (u[:, :COMPONENTS] * s[:COMPONENTS]) @ axes[:COMPONENTS]
        filled = np.where(hole, low, y)
    axes = axes[:COMPONENTS]
    out = pd.DataFrame((filled - centre) @ axes.T, index=wide.index)
    return out, lambda scores: (scores - centre) @ axes.T


# -- one held-out score ------------------------------------------------------------------


def row(
    task: Downstream, draws: np.ndarray, model: str, truth: float, group: str,
    rivals: dict[str, np.ndarray],
) -> dict[str, object]:  # fmt: skip
    """A held-out score beside its forecast and those of the rivals."""
    y = np.array([truth])
    lower, upper = scores.central_interval(draws[:, None], PROB)
    out: dict[str, object] = {
        "group": group, "task": task.name, "model": model, "score": truth,
        "n_train": int(task.scores["role"].eq("train").sum()), "median": np.median(draws),
        "lower": lower[0], "upper": upper[0],
        "effective": np.median(task.effective), "ok": task.diagnostics().ok,
        "inside": bool(scores.covers(draws[:, None], y, PROB)[0]),
        "crps": scores.crps(draws[:, None], y)[0],
    }  # fmt: skip
    for name, other in rivals.items():
        out[f"crps_{name}"] = scores.crps(other[:, None], y)[0]
        out[f"error_{name}"] = abs(np.median(other) - truth)
    return out


def flops(table: pd.DataFrame) -> pd.Series:
    """Log of training FLOPs."""
    return np.log(6e21 * table["params_b"] * table["tokens_t"])


def rivals_of(
    train: pd.Series, model: str, log_flops: pd.Series, pcs: pd.DataFrame, held_pc: np.ndarray
) -> dict[str, np.ndarray]:
    """Draws of the two baselines for one model."""
    out = {}
    y, x = train, log_flops.reindex(train.index)
    known = x.notna()
    if np.isfinite(log_flops.get(model, np.nan)):
        by_flops = logistic(x[known].to_numpy()[:, None], y[known].to_numpy())
        out["flops"] = by_flops(np.array([log_flops[model]]))
    else:  # a model of unknown size: all that is left is the other models
        out["flops"] = np.random.default_rng(0).choice(y.to_numpy(), 2000)
    both = [m for m in train.index if m in pcs.index]
    by_pca = logistic(pcs.loc[both].to_numpy(), train[both].to_numpy())
    out["pca"] = by_pca(held_pc)
    return out


# -- the three suites --------------------------------------------------------------------


def refit(out: Path) -> sb.Posterior:
    """The shipped posterior's recipe without Llama 3 70B and its tuned variants."""
    path = out / "refit.nc"
    if not path.exists():
        recipe = recipes.load("leaderboard")
        data = recipe.data()
        data = data.select(models=[m for m in data.models if m not in LLAMA])
        post = sb.Sloth.from_toml(recipe.spec.to_toml()).fit(
            data, **(recipe.fit.arguments() | {"seed": 7}), progress=False
        )
        print(post.diagnostics())
        post.slim(400).save(path)
    return sb.load(path)


def conditioned(out: Path) -> sb.Posterior:
    """The shipped posterior with skills of the agent benchmarks' other models.

    All skills of one draw share that draw's law, so that they are in the same coordinates.
    """
    path = out / "agents.nc"
    if not path.exists():
        post = sb.load("leaderboard").slim(400)
        new = load_agents()
        new = new[~new["model"].isin(post.models)]
        post = post.condition(new, reweight=False)
        k_hat = pd.Series(post.attrs["conditioned"][-1]["k_hat_of_family"], name="k_hat")
        k_hat.rename_axis("family").to_csv(out / "families.csv")
        print(post.diagnostics().messages[0])
        post.save(path)
    return sb.load(path)


def llama(out: Path) -> tuple[list[dict], list[Downstream]]:
    """HumanEval and EQ-Bench."""
    post = refit(out)
    table = sb.load_dataset("open_llm_leaderboard").frame.set_index("model")
    rows, tasks = [], []
    data = sb.load_dataset("open_llm_leaderboard").select(benchmarks=V1)
    wide = table.loc[post.models, V1].dropna(how="all")
    pcs, project = components(wide)
    complete = wide.dropna().index
    for name in ("HumanEval", "EQ-Bench"):
        y = sb.load_downstream(name).set_index("model")
        truth = y.loc[[m for m in LLAMA if m in y.index], "score"]
        train = y.loc[[m for m in y.index if m in post.models], "score"]
        task = post.downstream(
            train, name=name, n_questions=y["n_questions"].iloc[0], chance=y["chance"].iloc[0]
        )
        tasks.append(task)
        candidates = table.loc[truth.index].reset_index()[
            ["model", "family", "lineage", "instruct", "params_b", "tokens_t"]
        ]
        found = task.forecast(candidates)
        fold = sb.Fold(
            setting="downstream", n_observed=1, name=name, test=tuple(truth.index), observed=(),
            hidden=LLAMA, benchmarks=tuple(V1), complete=tuple(complete),
        )  # fmt: skip
        ahead = project(baselines.pca_flops(data, fold, COMPONENTS))
        for i, model in enumerate(truth.index):
            others = rivals_of(train, model, flops(table), pcs, ahead[i])
            draws = found.draws["score"].sel(model=model).values
            rows.append(row(task, draws, model, truth[model], name, others))
    return rows, tasks


def agents(out: Path) -> tuple[list[dict], list[Downstream]]:
    """AgentBench and AgentBoard, each model left out in its turn."""
    post = conditioned(out)
    table = load_agents().set_index("model")
    pcs, _ = components(pd.concat([table[V1], _leaderboard(post, table.index)]))
    rows, tasks = [], []
    data = sb.load_downstream()
    data = data[data["group"].isin(["AgentBench", "AgentBoard"])]
    for name, part in data.groupby("task", sort=False):
        y = part.set_index("model")["score"]
        about = {"name": name, "n_questions": part["n_questions"].iloc[0], "shrinkage": "strong"}
        tasks.append(post.downstream(y, **about, draws=200))
        for model in y.index:
            task = post.downstream(y, **about, hold_out=model, draws=100)
            draws = task.forecast(model).draws["score"].values[:, 0]
            train = y.drop(model)
            others = rivals_of(train, model, flops(table), pcs, pcs.loc[model].to_numpy())
            rows.append(row(task, draws, model, y[model], part["group"].iloc[0], others))
        print(name, flush=True)
    return rows, tasks


def _leaderboard(post: sb.Posterior, without: pd.Index) -> pd.DataFrame:
    """Scores of the first leaderboard that ship, of models that are not in `without`."""
    table = sb.load_dataset("open_llm_leaderboard").frame.set_index("model")
    keep = [m for m in post.models if m in table.index and m not in without]
    return table.loc[keep, V1].dropna(how="all")


def big_bench(out: Path) -> tuple[list[dict], list[Downstream]]:
    """The emergent tasks, from weak models to strong ones."""
    post = sb.load("leaderboard")
    table = sb.load_dataset("open_llm_leaderboard").frame.set_index("model")
    pcs, _ = components(_leaderboard(post, pd.Index([])))
    log_flops = flops(table)
    rows, tasks = [], []
    data = sb.load_downstream()
    data = data[(data["group"] == "BIG-bench") & data["model"].isin(post.models)]
    for name, part in data.groupby("task", sort=False):
        y = part.set_index("model")["score"]
        strong = [m for m in y.index if log_flops[m] > np.log(FLOPS) + 1e-6]
        task = post.downstream(
            y, name=name, n_questions=part["n_questions"].iloc[0], chance=part["chance"].iloc[0],
            hold_out=strong,
        )  # fmt: skip
        tasks.append(task)
        found = task.forecast(strong).draws["score"]
        for model in strong:
            others = rivals_of(y.drop(strong), model, log_flops, pcs, pcs.loc[model].to_numpy())
            rows.append(row(task, found.sel(model=model).values, model, y[model], "BIG-bench",
                            others))  # fmt: skip
    return rows, tasks


def rehearse_big_bench(post: sb.Posterior) -> Iterator[Rehearsed]:
    """From the weaker training rows to the stronger ones."""
    log_flops = flops(sb.load_dataset("open_llm_leaderboard").frame.set_index("model"))
    weak = [m for m in post.models if log_flops[m] <= np.log(FLOPS) + 1e-6]
    data = sb.load_downstream()
    data = data[(data["group"] == "BIG-bench") & data["model"].isin(weak)]
    for name, part in data.groupby("task", sort=False):
        y = part.set_index("model")["score"]
        strong = [m for m in y.index if log_flops[m] > np.log(FLOPS / 4)]
        about = {"n_questions": part["n_questions"].iloc[0], "chance": part["chance"].iloc[0]}
        yield y.rename(name), strong, {**about, "draws": 200}


def rehearse_swallow(post: sb.Posterior) -> Iterator[Rehearsed]:
    """Benchmarks of another leaderboard, a model left out in its turn."""
    data = sb.load_dataset("open_models")
    table = data.frame.set_index("model")
    for of in data.benchmarks:
        y = table[of.name].dropna()
        y = y[y.index.isin(post.models)]
        if of.name in post.benchmarks or len(y) < 10:
            continue
        about = {"n_questions": of.n_questions, "chance": of.chance, "shrinkage": "strong"}
        for model in y.index:
            yield y, [model], {**about, "draws": 100}


def rehearse_second(post: sb.Posterior) -> Iterator[Rehearsed]:
    """The second leaderboard from the skills that the first one shows."""
    data = sb.load_dataset("open_llm_leaderboard")
    table, rng = data.frame.set_index("model"), np.random.default_rng(0)
    for of in data.benchmarks:
        y = table[of.name].dropna()
        y = y[y.index.isin(post.models)]
        if of.name in V1:
            continue
        for _ in range(3):
            some = y.sample(40, random_state=rng)
            about = {"n_questions": of.n_questions, "chance": of.chance}
            yield some, some.index[20:].tolist(), {**about, "draws": 100}


def first_alone(out: Path) -> sb.Posterior:
    """The shipped posterior's recipe on the first leaderboard alone."""
    path = out / "first.nc"
    if not path.exists():
        recipe = recipes.load("leaderboard")
        data = recipe.data().select(benchmarks=V1)
        post = sb.Sloth.from_toml(recipe.spec.to_toml()).fit(
            data, **recipe.fit.arguments(), progress=False
        )
        print(post.diagnostics())
        post.slim(400).save(path)
    return sb.load(path)


def rehearse(out: Path) -> pd.DataFrame:
    """CRPS, coverage and width of each candidate in each rehearsal; no held-out score is read."""
    first, whole = first_alone(out), sb.load("leaderboard")
    parts = {
        "bigbench": (whole, rehearse_big_bench),
        "swallow": (whole, rehearse_swallow),
        "second": (first, rehearse_second),
    }
    rows = []
    for (spread, general), (name, (post, tasks)) in itertools.product(
        itertools.product(SPREADS, GENERAL), parts.items()
    ):
        path = out / f"rehearsal-{name}-{spread:g}-{general:g}.csv"
        if not path.exists():
            here = {k: v._replace(spread=spread, general=general) for k, v in SHRINKAGE.items()}
            with patch.dict(SHRINKAGE, here):
                found = [
                    row(task, draws.sel(model=m).values, m, y[m], name, {})
                    for y, held, about in tasks(post)
                    for task in [post.downstream(y, hold_out=held, **about)]
                    for draws in [task.forecast(held).draws["score"]]
                    for m in held
                ]
            pd.DataFrame(found).to_csv(path, index=False)
        one = pd.read_csv(path)
        said = {"rehearsal": name, "spread": spread, "general": general, "pairs": len(one)}
        width = 100 * (one["upper"] - one["lower"]).mean()
        crps = 100 * one["crps"].mean()
        rows.append({**said, "coverage": one["inside"].mean(), "width": width, "crps": crps})
    return pd.DataFrame(rows)


def chosen(found: pd.DataFrame) -> pd.DataFrame:
    """The candidates by the rule, best first: ratios of CRPS, and whether they stand."""
    wide = found.pivot(index=["spread", "general"], columns="rehearsal")
    ratio = wide["crps"] / wide["crps"].loc[(SPREADS[0], GENERAL[0])]
    least = wide["coverage"].min(axis=1)
    out = ratio.assign(ratio=ratio.mean(axis=1), least_coverage=least, stands=least >= 0.88)
    return out.sort_values(["stands", "ratio"], ascending=[False, True])


def simulate(tasks: int) -> pd.DataFrame:
    """Tasks that the prior draws, learned from some models and forecast for all others.

    A task's truth rests on one draw of the posterior's skills, which forecasts do not know.
    """
    post, rows = sb.load("leaderboard"), []
    for seed, (n_train, shrinkage) in itertools.product(
        range(tasks), ((10, "strong"), (20, "strong"), (40, "normal"))
    ):
        rng = np.random.default_rng([seed, n_train])
        _, theta = whitened(post, rng.integers(post.n_draws, size=1))
        chance = float(rng.choice([0.0, 0.25]))
        curve = from_prior(rng, theta.shape[-1], chance, SHRINKAGE[shrinkage])
        noise = rng.standard_t(DF, (1, 1, theta.shape[1]))
        uniform = rng.uniform(size=(3, 1, 1, theta.shape[1]))
        truth, _ = predict(curve, theta, noise, uniform, QUESTIONS)
        y = pd.Series(truth[0, 0], post.models).sample(frac=1, random_state=rng)
        held = y.index[n_train:].tolist()
        about = {"n_questions": QUESTIONS, "chance": chance, "shrinkage": shrinkage, "draws": 100}
        task = post.downstream(y, hold_out=held, seed=seed, **about)
        score = task.forecast(held).draws["score"].transpose("sample", "model").values
        width, inside = {}, {}
        for prob in (0.5, 0.9):
            lower, upper = scores.central_interval(score, prob)
            width[prob] = 100 * (upper - lower).mean()
            inside[prob] = scores.covers(score, y[held].to_numpy(), prob).mean()
        rows.append({"seed": seed, "n_train": n_train, "in_50": inside[0.5], "in_90": inside[0.9],
                     "width_90": width[0.9]})  # fmt: skip
    return pd.DataFrame(rows)


SUITES = {"llama": llama, "bigbench": big_bench, "agents": agents}


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Means by group and over all pairs; CRPS, errors and widths in points."""

    def of(part: pd.DataFrame) -> pd.Series:
        return pd.Series(
            {
                "pairs": len(part),
                "coverage": part["inside"].mean(),
                "width": 100 * (part["upper"] - part["lower"]).mean(),
                "error": 100 * (part["median"] - part["score"]).abs().mean(),
                "error_pca": 100 * part["error_pca"].mean(),
                "error_flops": 100 * part["error_flops"].mean(),
                "crps": 100 * part["crps"].mean(),
                "crps_pca": 100 * part["crps_pca"].mean(),
                "crps_flops": 100 * part["crps_flops"].mean(),
            }
        )

    parts = {g: of(p) for g, p in frame.groupby("group", sort=False)}
    return pd.DataFrame({**parts, "all": of(frame)}).T.rename_axis("group").reset_index()


def hindsight(frame: pd.DataFrame) -> float:
    """Mean width, in points, of intervals around the same medians that use the answers.

    Their ends are where the middle 90% of the errors of the same group and quarter of the medians
    lie: what is left by scores that skills do not tell, for an interval that knows no task.
    """
    error = frame["score"] - frame["median"]
    quarter = frame.groupby("group")["median"].rank(pct=True).mul(4).clip(upper=3.99).floordiv(1)
    by = error.groupby([frame["group"], quarter])
    low, high = ((frame["median"] + by.transform("quantile", q)).clip(0, 1) for q in (0.05, 0.95))
    return float(100 * (high - low).mean())


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m studies.downstream", description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument(
        "--rehearse", action="store_true", help="choose what a task is expected to be"
    )
    parser.add_argument("--simulate", type=int, default=0, metavar="N", help="N tasks of the prior")
    parser.add_argument("--only", nargs="+", choices=list(SUITES), default=list(SUITES))
    given = parser.parse_args()
    if given.simulate:
        found = simulate(given.simulate).drop(columns="seed").groupby("n_train")
        print(found.agg(["mean", "sem"]).round(3).to_string())
        return
    if given.out is None:
        parser.error("give --out DIR, or --simulate N")
    given.out.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore", sb.ExtrapolationWarning)
    if given.rehearse:
        found = rehearse(given.out)
        print(found.round(3).to_string(index=False))
        print(chosen(found).round(3).to_string())
        return
    import matplotlib

    matplotlib.use("Agg")
    from sloth_bayes.plots import downstream as downplots

    for name in given.only:
        if (given.out / f"{name}.csv").exists():
            continue
        rows, tasks = SUITES[name](given.out)
        weights = pd.concat([t.weights().assign(ok=t.diagnostics().ok) for t in tasks])
        weights.to_csv(given.out / f"weights-{name}.csv", index=False, float_format="%.3f")
        frame = pd.DataFrame(rows)
        shown = tasks if name != "agents" else tasks[:8]
        axes = downplots.downstream(shown, held_out=frame)
        axes.flat[0].figure.savefig(given.out / f"{name}.png", dpi=130)
        frame.to_csv(given.out / f"{name}.csv", index=False, float_format="%.4f")
    done = [p for s in SUITES if (p := given.out / f"{s}.csv").exists()]
    frame = pd.concat([pd.read_csv(p) for p in done])
    frame.to_csv(given.out / "forecasts.csv", index=False)
    found = summary(frame)
    found.to_csv(given.out / "summary.csv", index=False, float_format="%.3f")
    print(found.round(2).to_string(index=False))
    print(f"in hindsight {hindsight(frame):.1f} points wide")


if __name__ == "__main__":
    main()
