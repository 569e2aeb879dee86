"""Training runs forecast from their checkpoints and finished siblings, as a command.

    python -m studies.tracking --out DIR [--until 0.05 0.1 0.25 0.5]
    python -m studies.tracking --learn [pythia|olmo]

Targets: Pythia 6.9B and 12B with the six smaller sizes in full, and OLMo 2 7B with the OLMo
ladder in full; their own checkpoints up to a fraction of the schedule.

Rivals: *last* carries the last score forward; *log tokens* is a straight line in the log of tokens
by least squares, *logistic* the same for logits, *power law* ``c - a t^-b``, each through the
run's curve alone; *sibling's gain* adds to the last score what the largest sibling (of those, the
longest) gained since the same fraction; *two-step* is the ladder's recipe where bits per byte
are known: of siblings' finals ``A / N^a + B / D^b + E``, then accuracy as a logistic curve of bits
per byte through all siblings' checkpoints.

The rule, written before any target was run with it: the parameters that all curves share are
those that make the finals of the rehearsals most likely (mean log density of a Student-t, each of
the two sets of curves counted as 100 scores, under a wide prior: ``--learn`` prints them). Bits
per byte enter where they are known, because that was the better of the two at a tenth of the
longest rehearsals (ladder 1B and 3B at ten times Chinchilla: 1.9 points against 2.1). The
rehearsals forecast Pythia models of at most 2.8B from smaller ones, and runs of the ladder from
smaller sizes (ten times Chinchilla tokens from shorter runs only). ``--learn pythia`` and
``--learn olmo`` use one set and score the other, which is the honest rehearsal.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import least_squares, minimize

import sloth_bayes as sb
from sloth_bayes.runs import process as gp

TARGETS = {"pythia": ("pythia-6.9b", "pythia-12b"), "olmo": ("OLMo-2-7B",)}
LARGEST = {"pythia": 3.0, "olmo": 4.0}  # billions: what rehearsals may see
UNTIL = (0.05, 0.1, 0.25, 0.5)
LAWS = {"score": gp.SCORE, "loss": gp.LOSS, "score given loss": gp.SCORE_GIVEN_LOSS}
RIVALS = ("last", "log tokens", "logistic", "power law", "sibling's gain", "two-step")
SINCE = 0.005  # of the schedule: what the rivals fit


def known(curves: pd.DataFrame, targets: tuple[str, ...]) -> pd.DataFrame:
    """The targets and the runs smaller than all of them."""
    size = curves.groupby("run")["params_b"].first()
    keep = [*size.index[size < size[list(targets)].min()], *targets]
    return curves[curves["run"].isin(keep)]


# -- rivals --------------------------------------------------------------------------------


def curve(rows: pd.DataFrame, run: str, upto: float, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Fractions seen and values of one column, up to a fraction of the schedule."""
    rows = rows[rows["run"] == run].sort_values("tokens_t")
    seen = (rows["tokens_t"] / rows["final_tokens_t"]).to_numpy()
    keep = (seen >= SINCE) & (seen <= upto * 1.001)
    return seen[keep], rows[name].to_numpy(float)[keep]


def power_law(x: np.ndarray, y: np.ndarray) -> float:
    """``c - a t^-b`` by least squares, at the end."""

    def misfit(p: np.ndarray) -> np.ndarray:
        return p[0] - np.exp(p[1]) * x ** -np.exp(p[2]) - y

    starts = [[y[-1] + 0.1, np.log(0.1), np.log(b)] for b in (0.1, 0.5, 1.0)]
    best = min((least_squares(misfit, s) for s in starts), key=lambda r: r.cost).x
    return float(best[0] - np.exp(best[1]))


def siblings_gain(curves: pd.DataFrame, run: str, until: float, name: str) -> float:
    """What the largest sibling, of those the longest, gained since the same fraction."""
    others = curves[~curves["run"].isin([r for of in TARGETS.values() for r in of] + [run])]
    order = others.groupby("run")[["params_b", "final_tokens_t"]].first()
    sibling = order.sort_values(["params_b", "final_tokens_t"]).index[-1]
    return curve(curves, sibling, 1.0, name)[1][-1] - curve(curves, sibling, until, name)[1][-1]


_TWO_STEPS: dict[tuple, float] = {}  # the same at every fraction


def two_step(curves: pd.DataFrame, run: str, name: str) -> float:
    """The ladder's recipe: size and tokens to bits per byte to accuracy, from siblings only."""
    key = (run, name, *sorted(curves["run"].unique()))
    if key not in _TWO_STEPS:
        _TWO_STEPS[key] = _two_step(curves, run, name)
    return _TWO_STEPS[key]


def _two_step(curves: pd.DataFrame, run: str, name: str) -> float:
    about = curves.groupby("run")[["params_b", "final_tokens_t"]].first()
    others = curves[~curves["run"].isin([r for of in TARGETS.values() for r in of] + [run])]
    last = others.sort_values("tokens_t").groupby("run").last()
    loss = last[f"{name}_bpb"].to_numpy()
    n, d = np.log(last["params_b"].to_numpy()), np.log(1e3 * last["final_tokens_t"].to_numpy())

    def law(p: np.ndarray, n: np.ndarray, d: np.ndarray) -> np.ndarray:
        return np.exp(p[0] - np.exp(p[1]) * n) + np.exp(p[2] - np.exp(p[3]) * d) + np.exp(p[4])

    starts = [[np.log(0.3), np.log(a), np.log(0.5), np.log(a), np.log(loss.min() * e)]
              for a, e in ((0.3, 0.3), (0.6, 0.8))]  # fmt: skip
    fits = [least_squares(lambda p: law(p, n, d) - loss, s, loss="huber", f_scale=0.02)
            for s in starts]  # fmt: skip
    own = about.loc[run]
    ahead = law(
        min(fits, key=lambda r: r.cost).x,
        np.log(own["params_b"]), np.log(1e3 * own["final_tokens_t"]),
    )  # fmt: skip
    x, y = others[f"{name}_bpb"].to_numpy(), others[name].to_numpy()
    keep = (others["tokens_t"] / others["final_tokens_t"] >= 0.1).to_numpy()
    x, y = x[keep][::3], y[keep][::3]  # neighbouring checkpoints say the same

    def accuracy(p: np.ndarray, x: np.ndarray) -> np.ndarray:
        return p[0] + p[1] / (1 + np.exp(np.clip(np.exp(p[2]) * (x - p[3]), -50, 50)))

    starts = [[y.min(), s * np.ptp(y), np.log(5.0), np.quantile(x, q)]
              for s, q in ((1.0, 0.5), (2.0, 0.1))]  # fmt: skip
    fits = [least_squares(lambda p: accuracy(p, x) - y, s) for s in starts]
    return float(accuracy(min(fits, key=lambda r: r.cost).x, ahead))


def rivals(curves: pd.DataFrame, run: str, until: float, name: str) -> dict[str, float]:
    """The rivals' forecasts of a run's final score."""
    x, y = curve(curves, run, until, name)
    line = np.polyfit(np.log(x), np.column_stack([y, gp.to_logit(y)]), 1)[1]
    found = {
        "last": y[-1],
        "log tokens": line[0],
        "logistic": gp.from_logit(line[1]),
        "power law": power_law(x, y),
        "sibling's gain": y[-1] + siblings_gain(curves, run, until, name),
    }
    if f"{name}_bpb" in curves:
        found["two-step"] = two_step(curves, run, name)
    return {k: float(np.clip(v, 0, 1)) for k, v in found.items()}


# -- rehearsals and learning ---------------------------------------------------------------


def rehearsals(name: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Runs no larger than :data:`LARGEST` and the curves each is forecast from."""
    curves = sb.load_curves(name)
    curves = curves[curves["params_b"] < LARGEST[name]]
    about = curves.groupby("run")[["params_b", "final_tokens_t"]].first()
    sizes = np.sort(about["params_b"].unique())
    for i, size in enumerate(sizes):
        for run in about.index[about["params_b"] == size]:
            if name == "pythia":
                froms = [sizes[i - gap] for gap in (1, 2) if i - gap > 0]
                for largest in froms:
                    yield run, curves[(curves["params_b"] <= largest) | (curves["run"] == run)]
            elif i > 1 and run.endswith(("-2xC", "-10xC")):
                smaller = curves["params_b"] < size
                if run.endswith("-10xC"):
                    smaller &= ~curves["run"].str.endswith("-10xC")
                yield run, curves[smaller | (curves["run"] == run)]


def finals(name: str, until: tuple[float, ...]) -> Iterator[tuple[pd.DataFrame, sb.Tracking]]:
    """Rehearsals tracked up to fractions of the schedule, with the curves each had."""
    for run, rows in rehearsals(name):
        for fraction in until:
            yield rows, sb.track(rows, run, fraction)


def arrays(name: str, what: str, until: tuple[float, ...], laws: dict) -> dict[str, np.ndarray]:
    """Rehearsals as arrays of one shape, a run and benchmark a row; no weight, no point.

    *what* is learned: of *score*s alone, of bits per byte (*loss*), or of scores given these.
    """
    rows = []
    for curves, found in finals(name, until):
        process, run, end = found.process, found.runs[0], np.ones(1)
        last = curves[curves["run"] == run].sort_values("tokens_t").iloc[-1]
        for j, benchmark in list(enumerate(found.benchmarks))[:: 2 if name == "olmo" else 1]:
            points, at, slack = process.loss(run, end, j, laws["loss"])
            if what != "score given loss":
                points, at, slack = *process.relative_to(run, end), 0 * slack
            kind = process.losses if what == "loss" else process.scores
            truth = (
                np.log(last[f"{benchmark}_bpb"]) if what == "loss" else gp.to_logit(last[benchmark])
            )
            rows.append([np.array(points), np.array(at), *(x[..., j] for x in kind), slack, truth])
    most = max(row[0].shape[1] for row in rows)
    for row in rows:
        fill = [(0, most - row[0].shape[1])]
        row[0] = np.pad(row[0], [(0, 0), *fill], mode="edge")
        row[2], row[3] = (np.pad(x, fill) for x in row[2:4])
    keys = ("points", "at", "y", "weight", "noise", "slack", "truth")
    return {k: np.stack(v) for k, v in zip(keys, zip(*rows))}


def learn(names: list[str], what: str, laws: dict, worth: float = 100.0) -> gp.Shared:
    """The shared parameters that make the rehearsals' finals most likely; see the rule above."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    until = {"pythia": UNTIL, "olmo": (0.1, 0.25)}  # the ladder's curves are many
    sets = [arrays(name, what, until[name], laws) for name in names]

    def log_density(shared: gp.Shared, case: dict) -> jax.Array:
        points, at = gp.Points(*case["points"]), gp.Points(*case["at"])
        rest = (case[k] for k in ("y", "weight", "noise"))
        mean, sd = gp.forecast(shared, points, *rest, at, case["slack"], jnp)
        scale = jnp.hypot(sd, case["noise"])[0]
        return jax.scipy.stats.t.logpdf(case["truth"], gp.DF, mean[0], scale)

    @jax.jit
    @jax.value_and_grad
    def loss(v: jax.Array) -> jax.Array:
        prior = (((v - jnp.array(gp.PRIOR)) / jnp.array(gp.PRIOR_SD)) ** 2).sum() / 2
        # a row at a time: all at once would need gigabytes
        each = [jax.lax.map(jax.checkpoint(lambda c: log_density(gp.Shared(*v), c)), s).mean()
                for s in sets]  # fmt: skip
        return prior - worth * sum(each)

    begin = time.perf_counter()
    found = minimize(
        lambda v: [np.asarray(x, float) for x in loss(v)], np.array(gp.PRIOR),
        jac=True, method="L-BFGS-B", options={"maxiter": 30, "ftol": 1e-5},
    )  # fmt: skip
    print(f"{what}: {found.message} {found.nit} iterations, {time.perf_counter() - begin:.0f} s")
    return gp.Shared(*found.x.round(2).tolist())


def frame_of(found: sb.Tracking, laws: dict, rows: pd.DataFrame, until: float) -> pd.DataFrame:
    """A forecast's rows with other shared parameters, and the rivals'."""
    frames = []
    for run, frame in found.frame.groupby("run", sort=False):
        of = found.ends[run] if laws is LAWS else found.process.final(
            run, np.ones(1), tuple(laws.values())
        )  # fmt: skip
        mean, sd = (x[0] for x in of)
        reach = stats.t.ppf(0.95, gp.DF) * sd
        ends = {"median": mean, "lower": mean - reach, "upper": mean + reach}
        each = [rivals(rows, run, until, b) for b in frame["benchmark"]]
        frame = frame.assign(**{k: gp.from_logit(v) for k, v in ends.items()}, until=until)
        z = (gp.to_logit(frame["truth"]) - mean) / sd
        rest = pd.DataFrame(each, index=frame.index).drop(columns="last")
        frames.append(pd.concat([frame.assign(z=z), rest], axis=1))
    return pd.concat(frames)


def summary(frame: pd.DataFrame) -> dict[str, float]:
    """Mean absolute errors in points, coverage with its bootstrap by run, and width."""
    truth = frame["truth"]
    methods = ["median", *[r for r in RIVALS if r in frame and frame[r].notna().all()]]
    out = {("ours" if m == "median" else m): 100 * (frame[m] - truth).abs().mean() for m in methods}
    inside = (frame["lower"] <= truth) & (truth <= frame["upper"])
    each = inside.groupby(frame["run"]).agg(["sum", "size"]).to_numpy(float)
    again = each[np.random.default_rng(0).integers(len(each), size=(10_000, len(each)))].sum(1)
    out["ratio"] = out["ours"] / min(v for k, v in out.items() if k != "ours")
    out["coverage"], (out["from"], out["to"]) = (
        inside.mean(),
        np.quantile(again[:, 0] / again[:, 1], [0.05, 0.95]),
    )
    out["width"] = 100 * (frame["upper"] - frame["lower"]).mean()
    return out


def table(frame: pd.DataFrame, by: list[str]) -> str:
    """Summaries as text."""
    rows = {key: summary(rows) for key, rows in frame.groupby(by)}
    return pd.DataFrame(rows).T.rename_axis(by).round(2).to_string()


def rehearse(names: list[str]) -> None:
    """Learn from one set or both, and score the other, or both."""
    laws = dict(LAWS)
    for what in ("loss", "score given loss", "score"):
        of = names if what == "score" else ["olmo"]  # the only set with bits per byte
        if set(of) <= set(names):
            laws[what] = learn(of, what, laws)
            print([what, *laws[what]], flush=True)
    for name in ("pythia", "olmo"):
        if names == [name]:
            continue
        frames = [frame_of(found, laws, rows, until)
                  for until in (0.1, 0.25) for rows, found in finals(name, (until,))]  # fmt: skip
        frame = pd.concat(frames)
        print(f"{name}, learned from {' and '.join(names)}")
        print(table(frame, ["until"]), table(frame, ["until", "run"]), sep="\n", flush=True)


# -- the targets ---------------------------------------------------------------------------


def study(out: Path, names: list[str], fractions: list[float]) -> None:
    """Write ``forecasts.csv`` and ``summary.csv``, and a figure a set and fraction."""
    out.mkdir(parents=True, exist_ok=True)
    frames = []
    for name in names:
        curves = known(sb.load_curves(name), TARGETS[name])
        for until in fractions:
            found = sb.track(curves, TARGETS[name], until)
            frames.append(frame_of(found, LAWS, curves, until).assign(curves=name))
            frame = pd.concat(frames)
            frame.to_csv(out / "forecasts.csv", index=False, float_format="%.5f")
            print(table(frames[-1], ["curves", "until"]), flush=True)
            found.plot().flat[0].figure.savefig(out / f"{name}-{until:g}.png", dpi=130)
    calm = frame[~frame["benchmark"].isin(["wsc", "boolq"])]
    print(table(frame, ["curves", "until"]))
    print("without wsc and boolq", table(calm, ["curves", "until"]), sep="\n")
    print("all runs", table(frame, ["until"]), sep="\n")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m studies.tracking", description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--until", type=float, nargs="+", default=list(UNTIL))
    parser.add_argument("--only", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--learn", nargs="*", choices=list(TARGETS))
    given = parser.parse_args()
    if given.learn is not None:
        rehearse(given.learn or list(TARGETS))
    elif given.out is None:
        parser.error("give --out DIR, or --learn")
    else:
        import matplotlib

        matplotlib.use("Agg")
        study(given.out, given.only, given.until)


if __name__ == "__main__":
    main()
