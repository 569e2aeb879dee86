"""The settings that a result file of the lm-evaluation-harness states of one task."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .identity import Identity, arguments_of
from .readings import last_part, number

_TUNED = re.compile(r"(?<![a-z])(instruct|chat|it|sft|dpo|rlhf|rl|aligned|assistant)(?![a-z])")


def stated_settings(
    content: Mapping[str, Any],
    names: Sequence[str],
    metric: str,
    shots: int,
    who: Identity,
) -> dict[str, str]:
    """Settings by the names that the rules of comparability use; what is not said is left out.

    Parameters
    ----------
    content
        A result file.
    names
        The task as the file has it; of a group also its parts, which have the settings.
    metric, shots
        Of the score.
    who
        The model.
    """
    found = {"metric": metric, "weights": who.weights, "adapter": who.adapter}
    versions = [str(v) for n in names if (v := section(content, "versions").get(n)) is not None]
    numbers = [v for text in versions if (v := number(text)) is not None]
    if numbers:
        found["version"] = f"{max(numbers):g}"
    found["harness"] = str(content.get("lm_eval_version") or "")
    found["questions left out"] = _left_out(content, names)
    found |= _prompt(content, shots, who) | _generation(content, names)
    return {name: value for name, value in found.items() if value}


def section(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A mapping inside a file, empty where there is none."""
    value = content.get(key)
    return value if isinstance(value, dict) else {}


def _left_out(content: Mapping[str, Any], names: Sequence[str]) -> str:
    """Which part of its questions a score covers, or nothing if all or if nothing is said."""
    counted = False
    for name in names:
        counts = section(section(content, "n-samples"), name)
        all_of, of = number(counts.get("original")), number(counts.get("effective"))
        if all_of is None or of is None:
            continue
        counted = True
        if of < all_of:
            part = "" if name == names[0] else f" in {name}"
            return f"{of:g} of its {all_of:g} questions{part}"
    config = section(content, "config")
    limit = number(config.get("limit"))
    if limit and not counted:
        return f"a part of its questions (limit {limit:g})"
    chosen = config.get("samples")
    return "a part of its questions (--samples)" if chosen and not counted else ""


def _prompt(content: Mapping[str, Any], shots: int, who: Identity) -> dict[str, str]:
    """Chat template, system prompt and shots as turns of a chat."""
    config = section(content, "config")

    def given(*keys: str) -> bool | None:
        said = [place[k] for place in (content, config) for k in keys if k in place]
        return any(bool(v) and str(v).casefold() != "false" for v in said) if said else None

    template = given("chat_template", "apply_chat_template", "chat_template_sha")
    turns = given("fewshot_as_multiturn")
    found = {}
    if given("system_instruction", "system_instruction_sha", "system_prompt"):
        found["system prompt"] = "yes"
    if template:
        found["chat template"] = "yes"
        if turns is not None and shots:
            found["shots as turns"] = "yes" if turns else "no"
    elif template is False and _TUNED.search(last_part(who.name).casefold()):
        found["chat template"] = "no, though tuned"
    return found


def _generation(content: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """How answers were generated: where they stop, how long they may be, whether sampled."""
    config = section(content, "config")
    over = arguments_of(config.get("gen_kwargs"))
    own: dict[str, Any] = {}
    for name in names:
        own = own or section(section(section(content, "configs"), name), "generation_kwargs")
    kwargs = own | over
    found = {}
    stops = kwargs.get("until")
    if stops:
        stops = [stops] if isinstance(stops, str) else stops
        if isinstance(stops, list):
            found["stop strings"] = ", ".join(repr(str(s)) for s in stops)
    for key in ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens"):
        length = number(kwargs.get(key))
        if length is not None:
            found["length of answers"] = f"{length:.0f}"
    warm = number(kwargs.get("temperature"))
    said = str(over.get("do_sample", "")).casefold()
    if (warm or 0) > 0 and said != "false":
        found["sampling"] = f"temperature {warm:g}"
    elif str(kwargs.get("do_sample", "")).casefold() == "true" and warm is None:
        found["sampling"] = "do_sample"
    loaded = arguments_of(config.get("model_args"))
    if str(loaded.get("enable_thinking", "")).casefold() == "true":
        found["thinking"] = "yes"
    return found
