"""Logs that inspect-ai writes of inspect_evals' own tasks, with its mock model.

    python tests/cases/make/inspect_logs.py OUT

needs inspect-ai and inspect-evals. The tasks, their arguments, scorers and the model
(``mockllm/model``) are theirs; only the questions are a few made up here, because data sets
cannot be downloaded everywhere, and the
check of IFEval's instructions (a package that is not on the registry) is one of commas.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import random
import sys
import types
from pathlib import Path
from typing import NamedTuple

import tiktoken
from inspect_ai import eval as run
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ModelOutput, get_model

N = {"ifeval": 541}  # as many as there are; of the others a few


RECORDS = {
    "mmlu": lambda i: {"question": f"What is {i} + 1?", "choices": [str(i + j) for j in range(4)],
                       "answer": 1, "subject": "anatomy"},
    "mmlu_pro": lambda i: {"question": f"What is {i} + 1?", "options": [str(i + j) for j in range(10)],
                           "answer": "B", "answer_index": 1, "category": "math", "question_id": i,
                           "cot_content": "A: Let's think step by step. The answer is (B)."},
    "gpqa": lambda i: {"Question": f"What is {i} + 1?", "Correct Answer": str(i + 1),
                       "Incorrect Answer 1": "1000", "Incorrect Answer 2": "1001",
                       "Incorrect Answer 3": "1002", "Record ID": f"rec{i}",
                       "High-level domain": "Physics", "Subdomain": "Optics"},
    "gsm8k": lambda i: {"question": f"What is {i} - {i} + 1?", "answer": f"{i} - {i} + 1 = 1\n#### 1"},
    "math": lambda i: {"problem": f"What is {i} - {i} + 1?", "solution": "It is $\\boxed{1}$.",
                       "level": "Level 5", "type": "Algebra"},
    "ifeval": lambda i: {"key": i, "prompt": f"Write {i} without a comma.",
                         "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
    "arc": lambda i: {"id": f"q{i}", "question": f"What is {i} + 1?", "answerKey": "B",
                      "choices": {"label": list("ABCD"), "text": [str(i + j) for j in range(4)]}},
    "hellaswag": lambda i: {"ctx": f"{i} and one more is", "label": "1", "source_id": f"s{i}", "ind": i,
                            "endings": [str(i + j) for j in range(4)], "activity_label": "Adding"},
}  # fmt: skip
TASKS = [
    ("mmlu", "mmlu_5_shot", {}),
    ("mmlu_pro", "mmlu_pro", {"fewshot": 5}),
    ("gpqa", "gpqa_diamond", {"cot": False}),
    ("gsm8k", "gsm8k", {"fewshot": 5}),
    ("math", "math", {"fewshot": 4, "levels": 5}),
    ("ifeval", "ifeval", {}),
    ("arc", "arc_challenge", {}),
    ("hellaswag", "hellaswag", {}),
]


def answers(task: str):
    """What the mock model says: right about two times of three."""
    rng = random.Random(task)
    while True:
        right = rng.random() < 2 / 3
        if task == "ifeval":
            text = "Without one." if right else "With one, here."
        elif task in ("gsm8k", "math"):
            text = "ANSWER: 1" if right else "ANSWER: -1"
        else:
            text = f"ANSWER: {'B' if right else 'A'}"
        yield ModelOutput.from_content("mockllm/model", text)


class Checked(NamedTuple):
    """What the package instruction_following_eval says of an answer."""

    follow_all_instructions: bool
    follow_instruction_list: list[bool]


def no_comma(example, answer: str, strict: bool) -> Checked:
    """Its check of one instruction."""
    return Checked("," not in answer, ["," not in answer])


def stand_in() -> None:
    """Put the check of commas where the package would be."""
    package = types.ModuleType("instruction_following_eval")
    package.__spec__ = importlib.machinery.ModuleSpec("instruction_following_eval", None)
    evaluation = types.ModuleType("instruction_following_eval.evaluation")
    evaluation.InputExample = lambda **given: given
    evaluation.ensure_nltk_resource = lambda: None
    evaluation.test_instruction_following = no_comma
    # tokens are counted by a table that is downloaded: words do for a mock model
    tiktoken.get_encoding = lambda _: types.SimpleNamespace(
        encode=lambda text, **_: text.split(), encode_ordinary=str.split
    )
    sys.modules |= {package.__name__: package, evaluation.__name__: evaluation}


def main(out: Path) -> None:
    """Write a log of each task as .eval, and one as .json."""
    stand_in()
    for package, name, arguments in TASKS:
        module = importlib.import_module(f"inspect_evals.{package}.{package}")

        def made_up(
            *_, sample_fields=None, _name=package, record=RECORDS[package], limit=None, **__
        ):
            made = [sample_fields(record(i)) for i in range(limit or N.get(_name, 20))]
            samples = [s for m in made for s in (m if isinstance(m, list) else [m])]
            assert all(isinstance(s, Sample) for s in samples)
            return MemoryDataset(samples, name=_name)

        for loader in ("hf_dataset", "csv_dataset", "load_csv_dataset"):
            if hasattr(module, loader):
                setattr(module, loader, made_up)
        module.download = lambda *_: None
        task = getattr(module, name)(**arguments)
        model = get_model("mockllm/model", custom_outputs=answers(package))
        for kind in ("eval", "json") if name in ("gsm8k",) else ("eval",):
            run(task, model=model, log_dir=str(out / name), log_format=kind, display="none",
                log_samples=False)  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
