"""Values of a wrong type, at every parameter of the public functions: an error that is ours."""

from __future__ import annotations

import inspect
import warnings

import pandas as pd
import pytest

import sloth_bayes as sb
from sloth_bayes.errors import SlothBayesError

POST = sb.load("leaderboard")
TABLE = sb.load_dataset("open_llm_leaderboard").select(benchmarks=["MMLU", "HellaSwag"])
NEW = sb.candidates("qwen2", 7.0, 7.0)
WRONG = [None, 3, -1, 2.5, True, "?", b"?", [3], {"a": 1}, (), object(), pd.DataFrame({"a": [1]})]
SKIPPED = {"progress", "ax", "options"}
CALLS = {
    "candidates": (sb.candidates, {}),
    "load": (sb.load, {"name": "leaderboard"}),
    "load_dataset": (sb.load_dataset, {}),
    "read_observed": (sb.read_observed, {"paths": "nothing.json"}),
    "from_csv": (sb.Leaderboard.from_csv, {"path": "nothing.csv"}),
    "from_frame": (sb.Leaderboard.from_frame, {"df": TABLE.frame}),
    "select": (TABLE.select, {}),
    "to_csv": (TABLE.to_csv, {"path": "no/such/folder/a.csv"}),
    "save": (POST.save, {"path": "no/such/folder/a.nc"}),
    "slim": (POST.slim, {"draws": 10}),
    "Sloth": (sb.Sloth, {}),
    "from_toml": (sb.Sloth.from_toml, {"source": "n_skills = 2"}),
    "to_toml": (sb.Sloth().to_toml, {}),
    "forecast": (POST.forecast, {"candidates": NEW}),
    "condition": (POST.condition, {"new_scores": NEW.iloc[:0]}),
    "skills": (POST.skills, {"draws": 20}),
    "required_size": (POST.required_size, {"of": "MMLU", "target": 0.7, "tokens": 7.0}),
    "saturation": (POST.saturation, {"of": "MMLU", "tokens": 7.0}),
    "Benchmark": (sb.Benchmark, {"name": "mine"}),
}


def cases():
    for name, (call, given) in CALLS.items():
        for parameter in inspect.signature(call).parameters.values():
            if parameter.name not in SKIPPED and parameter.kind != parameter.VAR_KEYWORD:
                yield pytest.param(call, given, parameter.name, id=f"{name}-{parameter.name}")


@pytest.mark.long
@pytest.mark.parametrize(("call", "given", "parameter"), list(cases()))
def test_a_wrong_type_is_an_error_of_ours(call, given, parameter, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raw = {}
    for value in WRONG:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                call(**given | {parameter: value})
            except SlothBayesError:
                pass
            except Exception as error:
                raw[repr(value)[:20]] = f"{type(error).__name__}: {error}"[:160]
    assert raw == {}
