"""Bayesian scaling laws of latent skills for language models.

What would a model score that nobody has trained, and how sure are we? See
:class:`Sloth` (the specification), :class:`Leaderboard` (a table), :class:`Posterior`
(a fit) and :class:`Forecast`.

>>> import sloth_bayes as sb
>>> post = sb.load("leaderboard")
>>> fc = post.forecast(sb.candidates(family="meta-llama-3", params_b=300, tokens_t=15))
>>> list(fc.frame.columns[5:])
['mean', 'median', 'sd', 'lower', 'upper', 'prob', 'doublings']
"""

from __future__ import annotations

import ast
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .support.version import __version__ as __version__

# Public names and where they live; imported at first use, so that reading a forecast from
# a posterior that ships imports neither JAX nor Matplotlib.
_STUB = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
_HOME = {
    alias.name: node.module or ""
    for node in _STUB.body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}

# Modules that docs and notebooks named in the flat layout, and where they went (old=new): their
# paths work until 0.3 (docs/deprecations.md).
_MOVED = {
    old: f"{room}.{new or old}"
    for room, modules in {
        "evaluate": "howmany=how_many_skills scoreboard scores",
        "infer": "inference=fit programs=compiled recipes variational",
        "law": "spec",
        "model": "design=arrays",
        "plan": "allocation=budget choices=compare curves planning=size",
        "plots": "downplots=downstream passkplots=passk planplots=plan ratingsplots=ratings "
        "skillplots=skills trackplots=tracking",
        "posterior": "diagnostics",
        "predict": "conditioning=condition forecast marginal=family_given_scores",
        "ratings": "ratingsmodel=model ratingssaturation=saturation reviews",
        "runs": "tracking",
        "skills": "rotation skillnames=names",
        "table": "databuild=rebuild harness leaderboard observed",
        "tasks": "downstream passk",
    }.items()
    for old, _, new in (module.partition("=") for module in modules.split())
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if _HOME.get(name):
        home = import_module(f".{_HOME[name]}", __name__)
        return vars(home).get(name) or import_module(f".{_HOME[name]}.{name}", __name__)
    if name in _MOVED:
        warnings.warn(
            f"sloth_bayes.{name} is now sloth_bayes.{_MOVED[name]}; the old path goes in 0.3",
            DeprecationWarning,
            stacklevel=2,
        )
        return import_module(f".{_MOVED[name]}", __name__)
    if not name.startswith("_") and find_spec(f"{__name__}.{name}"):
        return import_module(f".{name}", __name__)  # a room of the package
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
