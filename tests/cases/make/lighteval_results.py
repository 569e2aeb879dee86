"""Results that lighteval writes (``EvaluationTracker.save_results``), with made-up answers.

    python tests/cases/make/lighteval_results.py OUT

needs lighteval with its loggers. What each question scored is made up; how that becomes a
file (names of tasks, averages, standard errors, settings) is lighteval's code.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from lighteval.logging.evaluation_tracker import EvaluationTracker
from lighteval.models.dummy.dummy_model import DummyModelConfig

SUBJECTS = ("abstract_algebra", "anatomy")
TASKS = {  # task and shots, metrics, questions
    "arc:challenge|25": (["acc"], 1172),
    "hellaswag|10": (["em"], 10042),
    "winogrande|5": (["acc"], 1267),
    "truthfulqa:mc|0": (["truthfulqa_mc1", "truthfulqa_mc2"], 817),
    "gsm8k|5": (["extractive_match"], 1319),
    "ifeval|0": (["prompt_level_strict_acc", "inst_level_strict_acc", "prompt_level_loose_acc",
                  "inst_level_loose_acc"], 541),
    "mmlu_pro|0": (["extractive_match"], 12032),
    "gpqa:diamond|0": (["gpqa_pass@k:k=1"], 198),
    **{f"musr:{name}|0": (["acc"], n) for name, n in
       (("murder_mysteries", 250), ("object_placements", 256), ("team_allocation", 250))},
    **{f"mmlu:{name}|5": (["em"], 100) for name in SUBJECTS},
}  # fmt: skip


def main(out: Path) -> None:
    """Write results.json."""
    tracker, rng = EvaluationTracker(output_dir=str(out), save_details=False), random.Random(0)
    tracker.general_config_logger.log_args_info(1, None, "0")
    tracker.general_config_logger.log_model_info(DummyModelConfig(seed=0, model_name="acme/foo-1b"))
    tasks = {}
    for key, (metrics, questions) in TASKS.items():
        for _ in range(questions):
            scores = {name: float(rng.random() < 0.5) for name in metrics}
            tracker.metrics_logger.log(key, scores)
        config = SimpleNamespace(name=key.partition("|")[0], version=0)
        tasks[key] = SimpleNamespace(
            config=config, aggregation=lambda metrics=metrics: dict.fromkeys(metrics, np.mean)
        )
        tracker.versions_logger.log(key, 0)
    tracker.task_config_logger.log(tasks)
    for key, (_, questions) in TASKS.items():
        tracker.task_config_logger.log_num_docs(key, questions, questions)
    for config in tracker.task_config_logger.tasks_configs.items():
        tracker.task_config_logger.tasks_configs[config[0]] = vars(config[1])
    tracker.metrics_logger.aggregate(tasks, bootstrap_iters=0)
    tracker.general_config_logger.log_end_time()
    tracker.save()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
