"""Which model was evaluated: its name, an adapter on it, and weights that were quantised.

An adapter and quantised weights make another model than their base. Names and options of
the tools differ; here are the spellings they use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from .readings import last_part

# In the order of preference. vLLM, SGLang, llama.cpp and Hugging Face call them differently
_ADAPTER = ("peft", "delta", "lora_local_path", "lora_path", "lora_paths", "lora_adapter",
            "lora_model", "lora", "adapter", "adapter_path", "adapter_name_or_path", "peft_path",
            "delta_weights", "lora_name")  # fmt: skip
_BASE = ("pretrained", "model", "model_path", "path", "engine", "filename")
_METHOD = ("quantization", "quantize", "quant", "quant_method", "quantization_method")
_NOT = ("", "none", "null", "false", "0", "no")
# What a name says of its weights, between other characters than letters and digits
_IN_NAME = re.compile(
    r"(?<![a-z0-9])(gptq|awq|gguf|ggml|exl2|aqlm|hqq|nf4|fp8|quip|bnb|int[48]|w[48]a\d+"
    r"|[2-8][-_ ]?bits?|i?q[2-8](?:_[a-z0-9]+)*)(?![a-z0-9])"
)
_BITS = re.compile(r"(?<=\d)[-_ ]?bits?\b")
_FULL = re.compile(r"torch\.|^(auto|(b?float|fp|bf)\d*|half|full)$")


class Identity(NamedTuple):
    """One model: its full name, the adapter that is on it, and how its weights are quantised."""

    name: str
    adapter: str = ""
    weights: str = ""

    @property
    def made(self) -> tuple[str, str]:
        """What makes it another model than its base."""
        return self.adapter, self.weights


def arguments_of(given: object) -> dict[str, Any]:
    """The options a model was loaded with: a mapping, or text as ``a=1,b=2``."""
    if isinstance(given, str):
        pairs = (part.split("=", 1) for part in given.split(",") if "=" in part)
        found: dict[str, Any] = {key.strip(): value.strip() for key, value in pairs}
        # a mapping inside the text was cut at its commas
        if "quantization_config" in found:
            found["quantization_config"] = given.split("quantization_config=", 1)[1]
        return found
    return {str(k): v for k, v in given.items()} if isinstance(given, Mapping) else {}


def identify(arguments: Mapping[str, Any], named: str = "", revision: str = "") -> Identity:
    """The model that options load, or that is called `named` where they load none.

    Examples
    --------
    >>> identify({"pretrained": "lab/m-7b", "lora_local_path": "/runs/mine"})
    Identity(name='lab/m-7b+/runs/mine', adapter='/runs/mine', weights='')
    >>> identify({"pretrained": "lab/m-7b", "load_in_4bit": "True"}).name
    'lab/m-7b-4bit'
    >>> identify({"pretrained": "lab/m-7B-GPTQ", "autogptq": True}).name
    'lab/m-7B-GPTQ'
    """
    name = next((str(arguments[k]) for k in _BASE if not _off(arguments.get(k))), "") or named
    name = name.strip().rstrip("/\\")
    file = arguments.get("gguf_file")
    if name and not _off(file):
        name += "/" + re.sub(r"\.gguf$", "", last_part(str(file)), flags=re.IGNORECASE)
    said = in_name(name)
    weights = _quantised(arguments) or ("gguf" if not _off(file) else "") or said
    if name and weights and not said:
        name += f"-{weights}"
    adapter = next((str(arguments[k]) for k in _ADAPTER if not _off(arguments.get(k))), "")
    adapter = adapter.strip().rstrip("/\\")
    if adapter:
        name = f"{name}+{adapter}" if name else adapter
    revision = str(arguments.get("revision") or revision or "main")
    if name and revision not in ("main", "None"):
        name += f"@{revision}"
    return Identity(name, adapter, weights)


def in_name(name: str) -> str:
    """How weights are quantised, as far as a model's name tells.

    Examples
    --------
    >>> in_name("lab/Foo-7B-AWQ"), in_name("foo-7b-bnb-4bit"), in_name("foo-7b-instruct")
    ('awq', '4bit', '')
    """
    found = _IN_NAME.findall(name.casefold())
    return _BITS.sub("bit", found[-1]) if found else ""


def precision(text: str) -> str:
    """How weights of a stated precision are quantised; nothing for floating point.

    Examples
    --------
    >>> precision("torch.bfloat16"), precision("4bit"), precision("GPTQ"), precision("float16")
    ('', '4bit', 'gptq', '')
    """
    plain = text.strip().casefold()
    if plain in _NOT or plain == "?" or (_FULL.search(plain) and "8_" not in plain):
        return "fp8" if plain in ("fp8", "float8") else ""
    if "8_e" in plain:
        return "fp8"
    return _BITS.sub("bit", plain)


def _off(value: object) -> bool:
    return value is None or value is False or str(value).strip().casefold() in _NOT


def _quantised(arguments: Mapping[str, Any]) -> str:
    """How the options have weights quantised, or nothing."""
    config = str(arguments.get("quantization_config") or "").casefold()
    for bits in (4, 8):
        on = rf"load_in_{bits}bit['\"]?\s*[:=]\s*(true|1)"
        if not _off(arguments.get(f"load_in_{bits}bit")) or re.search(on, config):
            return f"{bits}bit"
    for key, name in (("autogptq", "gptq"), ("gptqmodel", "gptq"), ("autoawq", "awq")):
        if not _off(arguments.get(key)):
            return name
    methods = [str(arguments[k]) for k in _METHOD if not _off(arguments.get(k))]
    methods += re.findall(r"quant_method['\"]?\s*[:=]\s*['\"]?(\w+)", config)
    for key in ("load_format", "dtype"):
        value = str(arguments.get(key) or "").casefold()
        if re.search(r"bitsandbytes|gguf|int[48]|8_e|fp8|float8|[48]bit", value):
            methods.append(value)
    if methods:
        plain = precision(methods[0].strip("'\""))
        return next((n for n in ("gptq", "awq", "gguf") if n in plain), plain)
    return "quantised" if re.search(r"\w", config) and config not in _NOT else ""
