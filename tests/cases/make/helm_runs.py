"""Runs that HELM writes of its own scenarios, with its model ``simple/model1``.

    python tests/cases/make/helm_runs.py OUT

needs crfm-helm. Run specifications, adapters, metrics and the writing are HELM's (``helm-run``);
only the questions are a few made up here, because data sets cannot be downloaded everywhere.
"""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path

from helm.benchmark.scenarios.scenario import (
    CORRECT_TAG,
    TEST_SPLIT,
    TRAIN_SPLIT,
    VALID_SPLIT,
    Input,
    Instance,
    Output,
    Reference,
)

SCENARIOS = {  # module and class, the run, and what is asked
    "mmlu": ("mmlu_scenario", "MMLUScenario", "mmlu:subject=anatomy", "choice"),
    "hellaswag": ("commonsense_scenario", "HellaSwagScenario",
                  "commonsense:dataset=hellaswag,method=multiple_choice_joint", "choice"),
    "truthful_qa": ("truthful_qa_scenario", "TruthfulQAScenario", "truthful_qa:task=mc_single", "choice"),
    "gsm": ("gsm_scenario", "GSM8KScenario", "gsm", "number"),
    "math": ("math_scenario", "MATHScenario",
             "math:subject=algebra,level=5,use_chain_of_thought=True", "number"),
}  # fmt: skip


def questions(kind: str):
    """A few of each split."""

    def get_instances(self, output_path):
        made = []
        for i in range(24):
            split = (TRAIN_SPLIT, VALID_SPLIT, TEST_SPLIT)[i % 3]
            right = Reference(
                Output(text="1" if kind == "choice" else "The answer is 1."), [CORRECT_TAG]
            )
            wrong = (
                [Reference(Output(text=str(n)), []) for n in (2, 3, 4)] if kind == "choice" else []
            )
            made.append(
                Instance(Input(text=f"What is {i} - {i} + 1?"), [right, *wrong], split=split)
            )
        return made

    return get_instances


def main(out: Path) -> None:
    """One run a scenario, of each its scores and what was run."""
    from helm.benchmark.run import main as helm_run

    for module, kind, entry, asks in SCENARIOS.values():
        scenario = getattr(importlib.import_module(f"helm.benchmark.scenarios.{module}"), kind)
        scenario.get_instances = questions(asks)
        sep = "," if ":" in entry else ":"
        sys.argv = ["helm-run", "--run-entries", f"{entry}{sep}model=simple/model1", "--suite", "made",
                    "-o", str(out / "all"), "-m", "1000", "--disable-cache"]  # fmt: skip
        helm_run()
    for run in (out / "all" / "runs" / "made").iterdir():
        if (run / "stats.json").is_file():
            kept = out / run.name.partition(":")[0]
            kept.mkdir()
            for file in ("stats.json", "run_spec.json"):
                shutil.copy(run / file, kept)
    shutil.rmtree(out / "all")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
