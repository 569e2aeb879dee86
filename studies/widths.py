"""Are intervals wider when farther? As a command.

    python -m studies.widths [POSTERIOR ...]

Of each posterior (names that ship, or files; ``open`` if none is given), each family whose sizes
are known, and each benchmark: 90% intervals of the predictor and of the expected score of a model
of 1, 2, 4, 10 and 100 times the size of the family's largest, all else alike, from the same draws
at every size. A row tells of one step from a size to the next: pairs of family and benchmark, by
how far on the way from floor to ceiling the median is (of the predictor before the step, of the
expected score after it); in how many of them the interval is narrower by more than 1%, and in how
many the standard deviation of the draws is, which tells the same with half of the draws' noise;
the least and the median ratio of these. Below, the benchmarks whose best score in the table no
family's interval of the score reaches at 100 times.

What to expect of a posterior that is right: near a floor a score tells that the predictor is low,
not how low, so that of a larger model, nearer to where the benchmark discriminates, more is known;
a line is known best in the middle of what it was fitted to, so that a family from below it, which
nears as it grows the models that have a score on the benchmark, may be known better there; and
expected scores take the predictor's width times the link's slope, which falls from the middle on.
Elsewhere narrower intervals would be wrong. So pairs are told apart by whether the median before
the step is below that of half of the benchmark's own models ("towards") or not ("away").
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import pandas as pd

import sloth_bayes as sb
from sloth_bayes.predict.candidates import completed
from sloth_bayes.predict.new_effects import effects_of

TIMES = (1, 2, 4, 10, 100)
TOP = 0.8  # of the way, beyond which an expected score's may be narrower
LEAST = 0.99  # of the width before, below which an interval is narrower
WAYS = {"under 25%": 0.25, "25-50%": 0.5, "50-80%": TOP, "over 80%": np.inf}
ENDS = (0.05, 0.95)
REPEATS = 4  # of the steps ahead: by themselves they would be most of the noise of a ratio


def larger(post: sb.Posterior) -> pd.DataFrame:
    """The largest model of each family, so many times as large: a row each, the nearest first."""
    models = post.model_table().dropna(subset=["params_b", "tokens_t"])
    models = models.sort_values(["params_b", "tokens_t"]).groupby("family").tail(1)
    columns = ["family", "lineage", "kind", "params_b", "tokens_t"]
    models = models.sort_values("family").reset_index()[columns]
    rows = [
        models.assign(model=models["family"] + f" x {k}", params_b=k * models["params_b"])
        for k in TIMES
    ]
    return completed(post, pd.concat(rows, ignore_index=True), new_family=False)


def ratios(post: sb.Posterior, candidates: pd.DataFrame) -> pd.DataFrame:
    """Ratio of widths of each step, a row each pair, step and kind of interval.

    Where walks go beyond what is known is drawn `REPEATS` times a draw of the posterior.
    """
    each = [effects_of(post, candidates, seed=k, alike=True) for k in range(REPEATS)]
    shape = len(TIMES), len(candidates) // len(TIMES), len(post.benchmarks)
    mu, fraction = (np.concatenate(of) for of in zip(*map(post.expected, each)))
    predictor = np.concatenate([post.predictor(who) for who in each])
    way, found = np.median(fraction, axis=0).reshape(shape), []
    kinds = {"predictor": (predictor, way[:-1]), "expected score": (mu, way[1:])}
    away = way[:-1] >= middle(post)
    for of, (values, there) in kinds.items():
        width = np.subtract(*np.quantile(values, ENDS[::-1], axis=0)).reshape(shape)
        spread = values.std(0).reshape(shape)
        step, family, benchmark = np.indices(there.shape)
        found.append(
            pd.DataFrame(
                {
                    "of": of, "times": np.take(TIMES[1:], step.ravel()),
                    "family": candidates["family"].to_numpy()[family.ravel()],
                    "benchmark": np.take(post.benchmarks, benchmark.ravel()),
                    "way": there.ravel(), "away": away.ravel(),
                    "width": (width[1:] / width[:-1]).ravel(),
                    "spread": (spread[1:] / spread[:-1]).ravel(),
                }
            )
        )  # fmt: skip
    return pd.concat(found, ignore_index=True)


def middle(post: sb.Posterior) -> np.ndarray:
    """Of each benchmark, how far on the way half of the models are that have a score there."""
    way = pd.DataFrame(np.median(post.expected(post.known_effects())[1], axis=0), post.models)
    data = post.tree["observed_data"].to_dataset()
    models, benchmarks = (data[f"obs_{of}"].values.astype(str) for of in ("model", "benchmark"))
    way.columns = post.benchmarks
    scored = pd.Series(1, [models, benchmarks]).unstack().reindex_like(way)
    return np.asarray(way.where(scored.notna()).median())


def table(found: pd.DataFrame) -> pd.DataFrame:
    """A row each kind of interval, direction, part of the way to the ceiling, and step."""
    to = found["away"].map({True: "away", False: "towards"}).rename("from the middle")
    way = pd.cut(found["way"], [-np.inf, *WAYS.values()], labels=list(WAYS), right=False)
    narrower = (found[["width", "spread"]] < LEAST).add_prefix("narrower by ")
    by = found.assign(way=way).join(narrower).groupby(["of", to, "way", "times"], observed=True)
    return by.agg(
        pairs=("width", "size"), by_width=("narrower by width", "sum"),
        by_spread=("narrower by spread", "sum"), least=("spread", "min"),
        median=("spread", "median"),
    ).reset_index()  # fmt: skip


def beyond_the_best(post: sb.Posterior, candidates: pd.DataFrame) -> pd.DataFrame:
    """Of each benchmark: best score in the table, highest upper end, share of families above."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sb.ExtrapolationWarning)
        frame = post.forecast(candidates[-(len(candidates) // len(TIMES)) :]).frame
    data = post.tree["observed_data"].to_dataset()
    best = pd.Series(data["score"].values).groupby(data["obs_benchmark"].values.astype(str)).max()
    upper = frame.groupby("benchmark")["upper"]
    share = (frame["upper"] > frame["benchmark"].map(best)).groupby(frame["benchmark"]).mean()
    return pd.DataFrame({"best": best, "upper": upper.max(), "families above": share})


def main() -> None:
    """Print both tables of each posterior."""
    parser = argparse.ArgumentParser(prog="python -m studies.widths", description=__doc__)
    parser.add_argument("posteriors", nargs="*", default=["open"])
    for name in parser.parse_args().posteriors:
        post = sb.load(name)
        candidates = larger(post)
        print(f"{name}: {post}")
        found = ratios(post, candidates)
        print(table(found).round(3).to_string(index=False))
        for of, part in found.groupby("of", sort=False):
            part = part[(part["way"] < TOP) | (of == "predictor")]
            narrow = (part["width"] < LEAST).groupby(part["times"]).mean()
            print(
                f"{of}, narrower: " + ", ".join(f"{v:.1%} at {k} times" for k, v in narrow.items())
            )
        best = beyond_the_best(post, candidates)
        short = best[best["upper"] <= best["best"]]
        print(f"at {TIMES[-1]} times above the best score: {len(best) - len(short)} benchmarks "
              f"of {len(best)}, {best['families above'].mean():.0%} of all pairs")  # fmt: skip
        if len(short):
            print(short.round(3).to_string())


if __name__ == "__main__":
    main()
