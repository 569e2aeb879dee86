"""The picture of the generative model, from the model as NumPyro sees it.

    python -m tools.graph [--dot COMMAND]

Writes ``docs/graph.svg``. Needs the package ``graphviz`` and a command that reads a graph and
writes SVG: ``dot -Tsvg`` by default, or the same compiled to WebAssembly, ``npx
@hpcc-js/wasm-graphviz-cli -T svg``.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
from pathlib import Path

import numpyro

import sloth_bayes as sb

PICTURE = Path(__file__).parents[1] / "docs" / "graph.svg"


def source(spec: sb.Sloth | None = None) -> str:
    """The graph of a specification on the table that ships, in Graphviz's language."""
    model, arguments = (spec or sb.Sloth()).model(sb.load_dataset("open_llm_leaderboard"))
    graph = numpyro.render_model(model, model_args=arguments, render_distributions=False)
    graph.attr(rankdir="TB", nodesep="0.15", ranksep="0.5")
    graph.attr("node", fontname="Helvetica", fontsize="11")
    return str(graph.source)


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(prog="python -m tools.graph", description=__doc__)
    parser.add_argument("--dot", default="dot -Tsvg", help="reads a graph, writes SVG")
    command = shlex.split(parser.parse_args().dot)
    drawn = subprocess.run(command, input=source(), text=True, capture_output=True, check=True)
    PICTURE.write_text(drawn.stdout, encoding="utf-8")
    print(f"wrote {PICTURE.relative_to(Path.cwd())}")


if __name__ == "__main__":
    main()
