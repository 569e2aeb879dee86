"""Execute notebooks and store what they show, small.

    python -m tools.notebooks [notebooks/01_forecast.ipynb ...]

Runs each from the first cell to the last (all of them without arguments), prints its seconds
and writes it back: figures in 256 colours, no messages of the machine it ran on. A notebook
whose cell fails is left as it was, and the command ends with the error.
"""

from __future__ import annotations

import base64
import io
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).parents[1]


def smaller(png: str) -> str:
    """A PNG in base64, its colours reduced to a palette of 256 where that saves space."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    out = io.BytesIO()
    image.quantize(256, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    found = base64.b64encode(out.getvalue()).decode()
    return found if len(found) < len(png) else png


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Drop warnings and times from the outputs, and make figures small."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = smaller(data["image/png"])


def run(path: Path) -> float:
    """Execute one notebook in place; its seconds."""
    notebook = nbformat.read(path, as_version=4)
    start = time.perf_counter()
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": path.parent}}).execute()
    seconds = time.perf_counter() - start
    tidy(notebook)
    nbformat.write(notebook, path)
    return seconds


def main() -> None:
    """Run the notebooks that the command line names."""
    paths = [Path(p) for p in sys.argv[1:]] or sorted((ROOT / "notebooks").glob("*.ipynb"))
    for path in paths:
        seconds = run(path)
        print(f"{path.name}: {seconds:.0f} s, {path.stat().st_size / 1024:.0f} KB", flush=True)


if __name__ == "__main__":
    main()
