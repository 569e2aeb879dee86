"""A posterior as one HTML file to play with: choose models, drag size and tokens, see scores.

The file needs no network and knows no law: it has the quantiles of every family's scores as
``surfaces.py``, and shows them with how the fit stands.
"""

from __future__ import annotations

import base64
import json
import math
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import DataError, check_known
from ..posterior.core import PosteriorDraws
from ..predict.candidates import candidates, completed, unfounded
from ..support.checks import check_prob
from ..support.files import check_writable, new_file
from ..support.version import __version__
from ..table.columns import KINDS
from .assumptions import assumptions, conditioned, fitted
from .surfaces import ACROSS, Surfaces, surfaces

NEW = "new family"
_FIRST, _SEVERAL = 6, 3  # benchmarks that the page begins with, models of its first family
_UNTOLD = ("left out (size or tokens unknown)",)  # of the assumptions, too long a list here


def write(
    post: PosteriorDraws,
    out: str | Path,
    *,
    families: str | list[str] | None = None,
    benchmarks: str | list[str] | None = None,
    prob: float = 0.9,
    seed: int = 0,
    name: str = "",
    progress: bool | None = None,
) -> Path:
    """Write the page of a posterior.

    Parameters
    ----------
    post
        The posterior.
    out
        File to write; one that is there is replaced once the new one is complete.
    families, benchmarks
        Those to offer; by default all. A family that nobody has seen is always among them, unless
        the law reads more of a model than its size, tokens and kind.
    prob
        Mass of the intervals.
    seed
        Seed of the family that nobody has seen.
    name
        What to call the posterior.
    progress
        Show a progress bar on standard error; by default only where a person can see it.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    UnknownNameError
        If a family or a benchmark is not in the posterior.
    DataError
        If `prob` is not between 0 and 1, or nothing is left to offer.
    FileFormatError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import sloth_bayes as sb
    >>> out = tempfile.mkdtemp() + "/explorer.html"
    >>> sb.explorer.write(sb.load("leaderboard"), out, families="qwen2", benchmarks="MMLU").name
    'explorer.html'
    """
    out = check_writable(out)
    text = page(
        post, families=families, benchmarks=benchmarks, prob=prob, seed=seed, name=name,
        progress=progress,
    )  # fmt: skip
    with new_file(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return out


def page(
    post: PosteriorDraws,
    *,
    families: str | list[str] | None = None,
    benchmarks: str | list[str] | None = None,
    prob: float = 0.9,
    seed: int = 0,
    name: str = "",
    progress: bool | None = None,
) -> str:
    """The page of a posterior, as HTML.

    Parameters are those of :func:`write`.

    Returns
    -------
    str
        One document; the same posterior and seed give the same text.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> text = sb.explorer.page(sb.load("leaderboard"), families="qwen2", benchmarks="MMLU")
    >>> "<title>What would it score?</title>" in text
    True
    """
    post.needs_sizes("the page with its sizes")
    prob = check_prob(prob)
    families = _chosen("family", families, post.families)
    benchmarks = _chosen("benchmark", benchmarks, post.benchmarks)
    kinds = {"none": ("any",), "shared": KINDS[:2]}.get(post.spec.instruct, KINDS)
    models = _models(post, families, kinds)
    made = surfaces(post, models, benchmarks, prob, seed, progress)
    data = _data(post, models, kinds, benchmarks, made)
    data |= {"prob": prob, "about": list(_about(post, prob, seed, name, made).items())}
    template = resources.files(__package__).joinpath("explorer.html").read_text(encoding="utf-8")
    script = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    packed = base64.b64encode(made.packed()).decode()
    return template.replace("@SURFACES@", packed).replace("@DATA@", script)


def _chosen(what: str, names: str | list[str] | None, known: list[str]) -> list[str]:
    """Names that were asked for, each once and in the posterior's order, by default all."""
    if names is None:
        return known
    names = [names] if isinstance(names, str) else list(names)
    check_known(what, names, known)
    if not names:
        raise DataError(f"no {what} is asked for: leave it out for all of them")
    return [name for name in known if name in names]


def _models(post: PosteriorDraws, families: list[str], kinds: tuple[str, ...]) -> pd.DataFrame:
    """A candidate a family and kind; the family that nobody has seen comes first.

    That is offered in every kind, a known family as it is.
    """

    def rows(of: list[tuple[str, str]], total: float | None = None) -> pd.DataFrame:
        names, kind = (list(column) for column in zip(*of))
        given = kind if len(kinds) > 1 else None
        model = [f"{f} {k}" for f, k in of]
        found = candidates(names, 1.0, kind=given, total_params_b=total, model=model)
        return completed(post, found, new_family=True)

    own = post.family_table()["kind"]
    at = {name: kinds.index(own[name]) if len(kinds) > 1 else 0 for name in families}
    known = rows([(name, kind) for name in families for kind in [kinds[at[name]]]])
    try:
        new = rows([(NEW, kind) for kind in kinds], 1.0)  # dense
    except DataError:  # a term of one's own reads a column that nobody can fill in
        return known
    return pd.concat([new, known], ignore_index=True)


def _data(
    post: PosteriorDraws,
    models: pd.DataFrame,
    kinds: tuple[str, ...],
    benchmarks: list[str],
    made: Surfaces,
) -> dict[str, Any]:
    """What the page knows beside the surfaces."""
    families = models.drop_duplicates("family")  # each as it is
    names = families["family"].tolist()
    of_kind = models["kind"] if len(kinds) > 1 else pd.Series(kinds[0], models.index)
    boards = post.leaderboard_of
    start, observed = _start(post, names, benchmarks)
    verdict = post.diagnostics()
    shown = 1 + len(conditioned(post))  # how each conditioning went, first
    seen = [None if math.isnan(end) else end for end in post.extent("params_b")]
    trained = [None if math.isnan(end) else end for end in post.extent("tokens_t")]
    return {
        "verdict": {
            "ok": verdict.ok and not post.cautions,
            "text": " ".join([*verdict.messages[:shown], *post.cautions]),
        },
        "standing": post.standing,
        "kinds": kinds,
        "benchmarks": [{"name": b, "board": boards[b]} for b in benchmarks],
        "families": [
            {
                "name": row.family,
                "lineage": row.lineage,
                "seen": row.family in post.families,
                "kinds": {  # and the number of each among the surfaces' models
                    kinds.index(of_kind[i]): i for i in models.index[models["family"] == row.family]
                },
            }
            for row in families.itertuples()
        ],
        "models": observed,
        "seen": {"params": seen, "tokens": trained},
        "sizes_only": post.spec.inputs == "size",
        "notes": [
            {
                **({"kind": kinds.index(c.kind)} if c.kind else {"lineage": c.lineage}),
                "benchmarks": [benchmarks.index(b) for b in c.benchmarks],
                "text": "@".join(c.words),
            }
            for c in unfounded(post, models, benchmarks)
        ],
        "start": start,
        "span": {"params": made.span["params_b"], "tokens": made.span["tokens_t"]},
        "across": ACROSS,
        "surfaces": [
            {"ends": m.ends.tolist(), "counts": m.counts, "steps": m.steps.tolist()}
            for m in made.models
        ],
    }


def _start(
    post: PosteriorDraws, families: list[str], benchmarks: list[str]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the page begins with, and the observed models.

    It begins at twice the dearest model, by compute, of a family of several.
    """
    cells = post.tree["observed_data"].to_dataset()
    scores = pd.DataFrame(
        {
            "model": cells["obs_model"].values.astype(str),
            "benchmark": cells["obs_benchmark"].values.astype(str),
            "score": cells["score"].values,
        }
    )
    scores = scores[scores["benchmark"].isin(benchmarks)]
    scores["benchmark"] = scores["benchmark"].map(benchmarks.index)
    of = {model: part for model, part in scores.groupby("model")}
    observed = [
        {
            "name": row.Index,
            "family": families.index(row.family),
            "params": None if math.isnan(row.params_b) else row.params_b,
            "tokens": None if math.isnan(row.tokens_t) else row.tokens_t,
            "scores": {
                int(j): round(float(s), 4)
                for j, s in zip(of[row.Index]["benchmark"], of[row.Index]["score"])
            },
        }
        for row in post.model_table().itertuples()
        if row.family in families and row.Index in of
    ]
    placed = [m for m in observed if m["params"] and m["tokens"]]
    each = Counter(m["family"] for m in placed)
    least = min(_SEVERAL, max(each.values(), default=0))
    largest = max(
        (m for m in placed if each[m["family"]] >= least),
        key=lambda m: m["params"] * m["tokens"],
        default={"family": 0, "params": 7.0, "tokens": 2.0},
    )
    first = largest["family"]
    known = {j for m in placed if m["family"] == first for j in m["scores"]}
    return {
        "family": first,
        "params": float(f"{2 * largest['params']:.3g}"),
        "tokens": largest["tokens"],
        "axis": "params",
        "tests": sorted(known or range(len(benchmarks)))[:_FIRST],
    }, observed


def _about(
    post: PosteriorDraws, prob: float, seed: int, name: str, made: Surfaces
) -> dict[str, str]:
    """What the page says of itself."""
    rest = assumptions(post, seed)
    return {
        "intervals": f"medians and central {100 * prob:g}% intervals of the score that one "
        "evaluation would report, as sloth-bayes forecast prints them: the noise of evaluations is "
        "integrated out",
        "numbers": f"interpolated; of {made.checked:,} at random sizes and tokens none is off by "
        f"more than {100 * made.error:.2f} points",
        "posterior": f"{name + ': ' if name else ''}{post.method.upper()}, {post.n_draws:,} draws, "
        f"fitted on {fitted(post)} models of {post.attrs['data']}",
        **{k: v for k, v in rest.items() if k not in _UNTOLD},
        "kinds": "a known family is of the kind that most of its models are; the new one of any",
        "mixtures of experts": "sizes are of active parameters; of a family with mixtures, total "
        "over active ones is the family's mean; the new family is dense",
        "made by": f"sloth-bayes {__version__}",
    }
