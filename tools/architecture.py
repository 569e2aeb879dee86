"""The picture of the layers, from the contract and the imports as they are.

    python -m tools.architecture

Writes ``docs/architecture.png``: the rooms of the package from top to bottom, what each holds, and
which rooms each imports from. Every line goes down; ``lint-imports`` holds it so.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import grimp
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "architecture.png"
EVERYWHERE = ("support", "errors")
HOLDS = {
    "cli": "the command line, a module a verb",
    "publish": "files that leave: figures, report, card",
    "runs": "training runs: track",
    "api": "what a user holds: Sloth, Posterior, load",
    "plan": "required size, saturation, budget, compare, next",
    "tasks": "new tasks, and many samples",
    "skills": "rotation, names, tables of skills",
    "predict": "candidates, forecast, condition",
    "ratings": "skills as judges rate them",
    "evaluate": "protocols, folds, baselines, scoreboard",
    "plots": "draw what they are given",
    "infer": "variational starts, NUTS, recipes",
    "posterior": "labelled draws, the law at them, verdict, file",
    "model": "the generative model in NumPyro, a table as arrays",
    "law": "equations, likelihood, specification",
    "table": "leaderboards, harness files, exports, observed scores",
    "support": "files, threads, checks, intervals",
    "errors": "exceptions and their wording",
}


def layers() -> list[str]:
    """The rooms from top to bottom, as the contract in pyproject.toml has them."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    [contract] = [c for c in contracts if c["type"] == "layers"]
    return [name for name in contract["layers"] if name != "__main__"]


def uses(rooms: list[str]) -> dict[tuple[str, str], int]:
    """How many imports go from one room to another."""
    graph = grimp.build_graph("sloth_bayes", cache_dir=None)
    found: dict[tuple[str, str], int] = {}
    for upper in rooms:
        for module in {f"sloth_bayes.{upper}"} | graph.find_descendants(f"sloth_bayes.{upper}"):
            for target in graph.find_modules_directly_imported_by(module):
                parts = target.split(".")
                if len(parts) > 1 and parts[1] in rooms and parts[1] != upper:
                    found[upper, parts[1]] = found.get((upper, parts[1]), 0) + 1
    return found


def draw() -> plt.Figure:
    """Rooms as boxes, one below the other; imports as arcs beside them."""
    rooms = layers()
    figure, axis = plt.subplots(figsize=(9.5, 10.5))
    place = {room: len(rooms) - i for i, room in enumerate(rooms)}
    for room, y in place.items():
        box = FancyBboxPatch(
            (0, y - 0.34), 5.4, 0.68, boxstyle="round,pad=0.02,rounding_size=0.08",
            facecolor="#eef4f9", edgecolor="#4a6f8f",
        )  # fmt: skip
        axis.add_patch(box)
        axis.text(0.12, y, f"{room}", va="center", weight="bold", size=10)
        axis.text(1.18, y, HOLDS[room], va="center", size=8.6)
    for (upper, lower), n in sorted(uses(rooms).items(), key=lambda item: item[1]):
        apart = place[upper] - place[lower]
        if lower in EVERYWHERE and apart > 0:
            continue
        if apart < 0:
            raise SystemExit(f"{upper} imports {lower}, which lies above it")
        arrow = FancyArrowPatch(
            (5.44, place[upper] - 0.1), (5.44, place[lower] + 0.1), arrowstyle="-|>",
            connectionstyle=f"arc3,rad={-0.55 if apart < 6 else -0.42}", mutation_scale=8,
            linewidth=0.5 + 0.12 * min(n, 20), color="#4a6f8f", alpha=0.2 + 0.03 * min(n, 20),
        )  # fmt: skip
        axis.add_patch(arrow)
    axis.set(xlim=(-0.1, 9.4), ylim=(0.4, len(rooms) + 0.6))
    axis.axis("off")
    axis.set_title(
        "sloth_bayes from top to bottom: a room imports only from those below it\n"
        "(wider arcs: more imports; every room may use support and errors: not drawn)",
        loc="left", size=11,
    )  # fmt: skip
    return figure


if __name__ == "__main__":
    draw().savefig(PICTURE, dpi=110, bbox_inches="tight")
    print(PICTURE.relative_to(ROOT))
