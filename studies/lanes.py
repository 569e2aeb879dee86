"""Folds by short chains side by side against long chains of their own, as a command.

    python -m studies.lanes --folds lb_v1/2/opt,lb_v2/1/qwen2+qwen2-instruct+dolphin-2.9.2-qwen2

For each fold of the published protocol, forecasts of its scores as ``sloth-bayes evaluate --method
nuts`` makes them, twice with other seeds, and by `sloth_bayes.infer.nuts`: two chains of 1,000
draws after 300. How far apart medians and ends of 90% intervals are, in points: the second fit and
the long chains against the first fit. Seconds are of the process, all its threads together.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import jax
import numpy as np
import pandas as pd

import sloth_bayes as sb
from sloth_bayes.evaluate import fold as folds
from sloth_bayes.evaluate.cross_validate import masked
from sloth_bayes.infer import nuts
from sloth_bayes.infer.compiled import functions_of
from sloth_bayes.infer.variational import start
from sloth_bayes.law.likelihood import draw_scores
from sloth_bayes.model.arrays import design_of
from sloth_bayes.model.loadings import sizes

CHAINS, WARMUP, DRAWS = 2, 300, 1000
NOISE = 20  # draws of the noise of each draw, so that it adds little to the comparison


def main() -> None:
    """Compare the folds of the command line."""
    parser = argparse.ArgumentParser(prog="python -m studies.lanes", description=__doc__)
    parser.add_argument("--folds", required=True)
    wanted = parser.parse_args().folds.split(",")
    data, spec = sb.load_dataset("open_llm_leaderboard", corrected=False), sb.Sloth()
    laid_out = design_of(spec, data)
    n, options = sizes(spec, laid_out.arrays), folds.defaults("nuts")
    every = sb.protocols.published(data)
    shown = masked(laid_out, {m for fold in every for m in fold.hidden})
    coordinates = folds.common_coordinates(spec, n, shown, 0, options)
    f = functions_of(spec, n)

    def ends(mu: np.ndarray, sd: np.ndarray, columns: list[int]) -> np.ndarray:
        mu, sd = (np.repeat(v[:, :, columns], NOISE, 0) for v in (mu, sd))
        scores = draw_scores(mu, sd, spec.observation, np.random.default_rng(0))
        return 100 * np.quantile(scores, [0.5, 0.05, 0.95], axis=0)

    rows = []
    for fold in (fold for fold in every if fold.key in wanted):
        arrays = masked(laid_out, fold.hidden)._replace(**coordinates)
        models = [laid_out.models.index(m) for m in fold.test]
        columns = [laid_out.benchmarks.index(b) for b in fold.benchmarks]

        def lanes(seed: int, arrays: Any = arrays, models: Any = models) -> tuple[Any, ...]:
            return folds.forecast_hidden(spec, n, arrays, models, "nuts", seed)

        def alone(arrays: Any = arrays, models: Any = models) -> tuple[Any, Any]:
            rng = np.random.default_rng(2)
            [(guide, _)] = start(f, arrays, [rng], options["steps"])
            arrays, found = nuts.sample(f, guide, arrays, rng, CHAINS, WARMUP, DRAWS, False)
            x, key = found[0].reshape(-1, f.size), jax.random.PRNGKey(0)
            mu, sd = f.over("cells", x, key, arrays)
            return mu[:, models], sd[:, models]

        begun, first = time.process_time(), lanes(0)
        row: dict[str, Any] = {"fold": fold.key, "scores": len(models) * len(columns)}
        row |= {"seconds": time.process_time() - begun, **first[2]}
        to, second = ends(*first[:2], columns), lanes(1)
        begun = time.process_time()
        long = alone()
        row["seconds_alone"] = time.process_time() - begun
        for name, other in (("again", second[:2]), ("alone", long)):
            apart = np.abs(ends(*other, columns) - to)
            row |= {f"{name}_median": apart[0].mean(), f"{name}_median_most": apart[0].max()}
            row |= {f"{name}_ends": apart[1:].mean(), f"{name}_ends_most": apart[1:].max()}
        rows.append(row)
        print(pd.DataFrame(rows).round(3).T.to_string(), flush=True)


if __name__ == "__main__":
    main()
