"""What a page rests on: the data, the fit, and what a forecast holds fixed."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..evaluate.evaluation import load_evaluation
from ..posterior.core import PosteriorDraws


def conditioned(post: PosteriorDraws) -> list[dict[str, Any]]:
    """What scores were conditioned on after the fit."""
    notes: list[dict[str, Any]] = post.attrs.get("conditioned", [])
    return notes


def own_models(post: PosteriorDraws) -> list[str]:
    """Models whose scores were conditioned on after the fit."""
    return [str(m) for note in conditioned(post) for m in note["models"]]


def fitted(post: PosteriorDraws) -> int:
    """How many models were fitted."""
    return len(post.models) - len(own_models(post))


def _counts(post: PosteriorDraws) -> str:
    """Models, families and scores that were fitted, and those observed since."""
    own = own_models(post)
    families = set(post.constant("family_of_model")[~np.isin(post.models, own)].tolist())
    later = sum(note["scores"] for note in conditioned(post))
    text = (
        f"{fitted(post)} models, {len(families)} families, {post.attrs['n_scores'] - later} scores"
    )
    if own:
        text += f"; then {later} score{'s' * (later != 1)} of {', '.join(own)}, without a refit"
    return text


def assumptions(post: PosteriorDraws, seed: int) -> dict[str, str]:
    """What forecasts of a posterior with a seed rest on, by what it is about."""
    about = post.attrs
    sizes, tokens = post.extent("params_b"), post.extent("tokens_t")
    items = {
        "data": f"{about['data']} (fingerprint {about['data_fingerprint']}): " + _counts(post),
        "range of the data": f"{sizes[0]:g} to {sizes[1]:g}B parameters, {tokens[0]:g} to "
        f"{tokens[1]:g}T tokens",
        "left out (size or tokens unknown)": ", ".join(map(str, about.get("left_out", [])))
        or "none",
        "held fixed": "size, tokens and family of each candidate; that it is trained as the "
        "models of the table were, and evaluated with the leaderboard's shots and metric",
        "random": "every parameter of the law; the effects of a family nobody has seen; the noise "
        "of one evaluation",
        "seeds": f"{about['seed']} (fit), {seed} (forecast)",
        "versions": ", ".join(f"{k} {v}" for k, v in dict(about["versions"]).items()),
    }
    if (tested := _tested(post)) is not None:
        items["tested"] = tested
    return items


def _tested(post: PosteriorDraws) -> str | None:
    """What forecasts of this specification were worth, where that has been evaluated."""
    found = load_evaluation("leaderboard", "strict")
    if type(post.spec).from_toml(found.about["spec"]) != post.spec:
        return None
    last = found.summary().iloc[-1]
    return (
        f"this specification, fitted without a family's larger models, missed them by "
        f"{last['mae']:.1f} points in the mean; its 90% intervals held "
        f"{100 * last['cover_90']:.0f}% of {int(last['cells']):,} scores"
    )
