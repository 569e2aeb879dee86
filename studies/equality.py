"""Is the model still the same? Its density, its gradient and its forecasts against a reference.

    python -m studies.equality --reference FILE [--write] [--only NAME ...]

The potential and its gradient of every recipe that ships, and of variants that take each choice
of the specification in turn, at 100 random points in double precision, with the instructions and
fusions of the compiled program (those of ``leaderboard`` in single precision, on the whole table);
and forecasts of the posterior that ships. ``--write`` keeps all of it in FILE, a ``.npz``. Without
it they are compared with FILE: potentials may differ by one constant a specification, and the
exit status is 1 if anything differs by more than `CLOSE`, relatively, or the program of the whole
table has over 5% more fusions. Cases that FILE does not have are named.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["JAX_ENABLE_X64"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import numpy as np

import sloth_bayes as sb
from sloth_bayes.infer import recipes
from sloth_bayes.infer.compiled import forget, functions_of
from sloth_bayes.model.arrays import design_of
from sloth_bayes.model.loadings import sizes

CLOSE = 1e-6
POINTS, SPREAD = 100, 0.5
FEW = 40  # models of the table that variants are tried on
WHOLE = "leaderboard"  # the recipe that is tried on the whole table
VARIANTS: dict[str, dict[str, Any]] = {
    "one skill": {"n_skills": 1},
    "loadings identity": {"loadings": "identity"},
    "inputs size": {"inputs": "size"},
    "inputs flops": {"inputs": "flops"},
    "inputs loglinear": {"inputs": "loglinear"},
    "inputs checkpoint": {"inputs": "checkpoint"},
    "intercept family": {"intercept": "family"},
    "intercept shared": {"intercept": "shared"},
    "instruct none": {"instruct": "none"},
    "slopes pooled": {"slopes": "pooled"},
    "slopes family": {"slopes": "family"},
    "residual none": {"residual": "none"},
    "residual curve": {"residual": "curve"},
    "model effect": {"model_effect": "pooled"},
    "lower chance": {"lower": "chance"},
    "upper one": {"upper": "one"},
    "link logistic": {"link": "logistic"},
    "noise constant": {"noise": "constant"},
    "df inf": {"df": np.inf},
    "df 3": {"df": 3},
    "df 8": {"df": 8},
    "unknown inputs": {"unknown_inputs": "latent"},
    "unknown size": {"unknown_inputs": "latent", "inputs": "size"},
    "all effects": {"slopes": "pooled", "model_effect": "pooled", "residual": "curve"},
    "priors": {"priors": {"family": 2.0, "lineage_share": 0.3, "ceiling": 0.1, "loading": 1.0}},
}


def cases() -> Iterator[tuple[str, sb.Sloth, sb.Leaderboard]]:
    """Names, specifications and tables."""
    whole = sb.load_dataset("open_llm_leaderboard")
    frame = whole.frame
    # Of every kind: rows of known and of unknown size or tokens.
    models = list(frame["model"].iloc[np.linspace(0, len(frame) - 1, FEW).round().astype(int)])
    few = whole.select(models=models)
    default = sb.Sloth()
    yield "default", default, few
    for name in recipes.recipe_names():
        yield f"recipe {name}", recipes.load(name).spec, whole if name == WHOLE else few
    for name, choices in VARIANTS.items():
        yield name, default.replace(**choices), few
    # Scores that touch 0 and 1, and some that are rounded.
    edge = few.frame
    for row, name in enumerate(few.benchmark_names[:4]):
        edge.loc[edge.index[row], name] = float(row % 2)
    rounded = [
        sb.Benchmark(b.name, b.chance, b.n_questions, 0.01 * (k % 2))
        for k, b in enumerate(few.benchmarks)
    ]
    table = sb.Leaderboard.from_frame(edge, benchmarks=rounded, name="edge")
    for df in (2, 4, 5, np.inf):
        yield f"edges, df {df}", default.replace(df=df), table


def density(spec: sb.Sloth, data: sb.Leaderboard) -> dict[str, np.ndarray]:
    """The potential and its gradient at random points, in double precision."""
    arrays = design_of(spec, data).arrays
    p = functions_of(spec, sizes(spec, arrays))
    wide = jax.tree.map(
        lambda a: np.asarray(a, np.float64) if np.asarray(a).dtype.kind == "f" else a, arrays
    )
    rng = np.random.default_rng(p.size)
    if spec.loadings == "free":  # another anchor than the identity
        wide = wide._replace(anchor=np.linalg.qr(rng.normal(size=wide.anchor.shape))[0])
    x = SPREAD * rng.standard_normal((POINTS, p.size))
    quick = {"xla_backend_optimization_level": 0}
    compiled = p.jitted["potential"].lower(x, 0, wide).compile(compiler_options=quick)
    value, slope = compiled(x, 0, wide)
    return {"value": np.asarray(value), "gradient": np.asarray(slope), "kernels": kernels(compiled)}


def kernels(compiled: Any) -> np.ndarray:
    """Fusions of a compiled program, and all of its instructions."""
    text = compiled.as_text()
    return np.array([len(re.findall(r"\bfusion\(", text)), len(re.findall(r"^ .* = ", text, re.M))])


def single_precision(spec: sb.Sloth, data: sb.Leaderboard) -> np.ndarray:
    """The same of the potential as a fit compiles it."""
    arrays = design_of(spec, data).arrays
    with jax.enable_x64(False):
        forget()  # what was traced in double precision
        p = functions_of(spec, sizes(spec, arrays))
        return kernels(
            p.jitted["potential"].lower(np.zeros((4, p.size), np.float32), 0, arrays).compile()
        )


def forecasts() -> dict[str, np.ndarray]:
    """Scores that the posterior that ships forecasts."""
    post = sb.load("leaderboard")
    known = post.families[:: len(post.families) // 5]
    tables = {
        "known": post.forecast(sb.candidates(known, 10.0, 3.0)).frame,
        "new": post.forecast(sb.candidates(params_b=[1.0, 30.0]), new_family=True).frame,
    }
    return {k: t[["lower", "median", "upper"]].to_numpy(float) for k, t in tables.items()}


def apart(here: np.ndarray, there: np.ndarray) -> float:
    """The largest difference, relative to the larger of 1 and the size of what is compared."""
    return float((np.abs(here - there) / np.maximum(1.0, np.abs(there))).max())


def compare(found: dict[str, np.ndarray], kept: dict[str, np.ndarray]) -> bool:
    """Print a row of the table; whether it is fine."""
    if "value" not in found:
        gap = {name: apart(values, kept[name]) for name, values in found.items()}
        print("".join(f"  {name} {value:.1e}" for name, value in gap.items()))
        return max(gap.values()) <= CLOSE
    if found["gradient"].shape != kept["gradient"].shape:
        print("another number of parameters")
        return False
    shift = float(np.median(found["value"] - kept["value"]))
    value = apart(found["value"] - shift, kept["value"])
    slope = apart(found["gradient"], kept["gradient"])
    counts = " ".join(f"{a}/{b}" for a, b in zip(found["kernels"], kept["kernels"]))
    size = found["gradient"].shape[1]
    print(f"{size:6d} {shift:10.1e} {value:10.1e} {slope:10.1e}   {counts}")
    return max(value, slope) <= CLOSE


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison: the exit status."""
    parser = argparse.ArgumentParser(prog="python -m studies.equality", description=__doc__)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only", nargs="*", help="names of cases")
    options = parser.parse_args(arguments)
    kept = {} if options.write else dict(np.load(options.reference))
    print(f"{'':22s}  size      shift      value   gradient   fusions, instructions")
    out: dict[str, np.ndarray] = {}
    fine = True

    def take(name: str, found: dict[str, np.ndarray]) -> bool:
        out.update({f"{name}: {k}": v for k, v in found.items()})
        if not options.write and f"{name}: value" not in kept and "value" in found:
            print(f"{name:22s}  not in the reference")
            return True
        same = {k: v if options.write else kept[f"{name}: {k}"] for k, v in found.items()}
        print(f"{name:22s}", end="")
        return compare(found, same)

    if not options.only:
        fine &= take("forecasts", forecasts())
    for name, spec, data in cases():
        if not options.only or name in options.only:
            found = density(spec, data)
            if name == f"recipe {WHOLE}":
                found["kernels"] = single_precision(spec, data)
                before = kept.get(f"{name}: kernels", found["kernels"])
                fine &= bool(found["kernels"][0] <= 1.05 * before[0])
            fine &= take(name, found)
            sys.stdout.flush()
    if options.write:
        np.savez_compressed(options.reference, **out)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
