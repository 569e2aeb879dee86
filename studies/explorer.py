"""Does the page to play with show the forecast's numbers, and how fast is it there?

    python -m studies.explorer --out DIR [--posterior leaderboard open]

Writes the page of each posterior into DIR, opens it in chromium (Debian's package, and
``pip install playwright``), and prints a row a posterior:

``mib``, ``made_s``
    The file's size, and seconds to make it.
``first_picture_ms``
    From the start of the navigation until the page has drawn itself: the median of five loads.
``off``
    The largest difference, in points, of median and both ends at 500 random points (family, kind,
    benchmark, size and tokens as the page offers them), from what ``forecast`` answers. The bar
    is 0.3.
``seed_max``, ``seed_rms``
    How far that answer is from its mean over as many other seeds as ``--seeds`` says: what draws
    of families nobody has seen and of walks cost.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import sloth_bayes as sb
from sloth_bayes.publish.explorer import NEW

POINTS, LOADS = 500, 5
QUIET = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def chromium() -> str | None:
    """The path of a chromium that Playwright can drive, if both are there."""
    found = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    return next(filter(None, found), None) if find_spec("playwright") else None


@contextmanager
def browser(path: str | None) -> Iterator[Any]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=QUIET)
        try:
            yield started
        finally:
            started.close()


@contextmanager
def opened(started: Any, file: Path, address: str = "", **options: Any) -> Iterator[Any]:
    """A page that has drawn itself; words on its console and requests to a network are errors.

    `options` are of Playwright's contexts: viewport, color_scheme, has_touch.
    """
    context = started.new_context(**options)
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda asked: said.append(asked.url) if "//" in asked.url[:8] else None)
    try:
        page.goto(f"{file.as_uri()}{address}")
        page.wait_for_selector("body[data-ready]", timeout=20_000)
        yield page
    finally:
        context.close()
    said = [text for text in said if not text.startswith(file.as_uri())]
    assert not said, said


def known(file: Path) -> dict[str, Any]:
    """What a page knows beside the surfaces."""
    text = file.read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])
    return found


def at_random(data: dict[str, Any], n: int, seed: int) -> pd.DataFrame:
    """Points: family, kind and benchmark by number, size and tokens, as a page offers them."""
    rng = np.random.default_rng(seed)
    models = [(i, int(k)) for i, of in enumerate(data["families"]) for k in of["kinds"]]
    family, kind = zip(*(models[i] for i in rng.integers(len(models), size=n)))
    benchmark = rng.integers(len(data["benchmarks"]), size=n)
    columns = {"family": family, "kind": kind, "benchmark": benchmark}
    ends = {name: np.exp2(rng.uniform(*data["span"][name], n)) for name in ("params", "tokens")}
    return pd.DataFrame({**columns, **ends})


def shown(page: Any, points: pd.DataFrame) -> np.ndarray:
    """Lower end, median and upper end that a page shows at points, ``(P, 3)``, in percent."""
    found = page.evaluate(
        "points => points.map(p => quantiles(partsAt(p, p.params, p.tokens), p, p.benchmark))",
        points.to_dict("records"),
    )
    return np.array(found)


def forecast(
    post: sb.Posterior, data: dict[str, Any], points: pd.DataFrame, seed: int = 0
) -> sb.Forecast:
    """The forecast of points, a candidate each, named by number."""
    rows = sb.candidates(
        [data["families"][i]["name"] for i in points["family"]],
        points["params"].tolist(),
        points["tokens"].tolist(),
        kind=[data["kinds"][i] for i in points["kind"]],
        model=[str(i) for i in range(len(points))],
    )
    new = rows["family"] == NEW  # which is dense
    rows["total_params_b"] = rows["params_b"].where(new)
    with warnings.catch_warnings(action="ignore"):
        return post.forecast(rows, prob=data["prob"], seed=seed, new_family=True)


def printed(fc: sb.Forecast, points: pd.DataFrame) -> np.ndarray:
    """Ends and median ``(P, 3)`` of a forecast of points, in percent."""
    frame = fc.frame[["lower", "median", "upper"]].to_numpy().reshape(len(points), -1, 3)
    return 100 * frame[np.arange(len(points)), points["benchmark"].to_numpy()]


def row(name: str, out: Path, started: Any, seeds: int) -> dict[str, Any]:
    """What there is to say of the page of a posterior."""
    post, file = sb.load(name), out / f"{name}.html"
    before = time.perf_counter()
    sb.explorer.write(post, file, name=name)
    made = time.perf_counter() - before
    data, first = known(file), []
    points = at_random(data, POINTS, seed=1)
    for _ in range(LOADS):
        with opened(started, file) as page:
            mark = "performance.getEntriesByName('first picture')[0].startTime"
            first.append(page.evaluate(mark))
            here = shown(page, points)
    there, *others = (
        printed(forecast(post, data, points, seed), points) for seed in range(seeds + 1)
    )
    apart = np.abs(there - np.mean(others, axis=0))
    return {
        "posterior": name,
        "mib": file.stat().st_size / 2**20,
        "made_s": made,
        "first_picture_ms": float(np.median(first)),
        "off": float(np.abs(here - there).max()),
        "seed_max": float(apart.max()),
        "seed_rms": float(np.sqrt((apart**2).mean())),
    }


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--posterior", nargs="+", default=["leaderboard", "open"])
    parser.add_argument("--seeds", type=int, default=16)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with browser(chromium()) as started:
        rows = [row(name, options.out, started, options.seeds) for name in options.posterior]
    print(pd.DataFrame(rows).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
