"""A summary that OpenCompass writes (``DefaultSummarizer``) of its own configurations.

    python tests/cases/make/opencompass_summary.py SOURCE OUT

SOURCE is an unpacked wheel of opencompass; needs mmengine and tabulate. Configurations, their
hashes and the writing are OpenCompass's; what each task scored is made up.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import random
import sys
import types
from pathlib import Path

from mmengine.config import ConfigDict

CONFIGS = [
    ("mmlu", "mmlu_ppl_ac766d"), ("ARC_c", "ARC_c_ppl_a450bd"),
    ("hellaswag", "hellaswag_10shot_ppl_59c85e"), ("winogrande", "winogrande_5shot_ll_252f01"),
    ("gsm8k", "gsm8k_gen_1d7fe4"), ("IFEval", "IFEval_gen_3321a3"), ("gpqa", "gpqa_ppl_6bf57a"),
]  # fmt: skip
METRICS = {
    "IFEval": [f"{p}-level-{s}-accuracy" for s in ("strict", "loose") for p in ("Prompt", "Inst")]
}


class Anything(types.ModuleType):
    """A module whose names are their own paths, as OpenCompass's configurations hold them."""

    def __getattr__(self, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return f"{self.__name__}.{name}"


def stand_in(source: Path) -> types.ModuleType:
    """The summarizer, with what it imports of the package besides the hash of a prompt."""
    parts = ("openicl", "datasets", "utils", "openicl.icl_prompt_template", "openicl.icl_retriever",
             "openicl.icl_inferencer", "openicl.icl_evaluator", "utils.text_postprocessors",
             "utils.model_postprocessors", "datasets.gpqa", "datasets.IFEval")  # fmt: skip
    for name in ("opencompass", *(f"opencompass.{part}" for part in parts)):
        sys.modules[name] = Anything(name)
        sys.modules[name].__path__ = []
    prompt = load("opencompass.utils.prompt", source / "opencompass/utils/prompt.py")
    utils = sys.modules["opencompass.utils"]
    utils.get_prompt_hash = prompt.get_prompt_hash
    utils.LarkReporter = None
    utils.get_logger = lambda: logging.getLogger("opencompass")
    utils.model_abbr_from_cfg = utils.dataset_abbr_from_cfg = lambda config: config["abbr"]
    utils.get_infer_output_path = lambda model, dataset, root: str(
        Path(root) / model["abbr"] / f"{dataset['abbr']}.json"
    )
    return load("summarizer", source / "opencompass/summarizers/default.py")


def load(name: str, path: Path) -> types.ModuleType:
    """A module from its file."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def main(source: Path, out: Path) -> None:
    """Write summary/summary_made.csv (and .txt, .md) under `out`."""
    summarizer, rng, datasets = stand_in(source), random.Random(1), []
    for folder, name in CONFIGS:
        found = load(f"config_{name}", source / f"opencompass/configs/datasets/{folder}/{name}.py")
        lists = [v for k, v in vars(found).items() if k.endswith("_datasets")]
        datasets += [ConfigDict(d) for each in lists for d in each]
    models = [{"abbr": "foo-1b"}, {"abbr": "foo-7b"}]
    for model in models:
        folder = out / "results" / model["abbr"]
        folder.mkdir(parents=True, exist_ok=True)
        for dataset in datasets:
            metrics = METRICS.get(dataset["abbr"], ["accuracy"])
            scores = {name: 100 * rng.random() for name in metrics}
            (folder / f"{dataset['abbr']}.json").write_text(json.dumps(scores | {"details": []}))
    subjects = [d["abbr"] for d in datasets if d["abbr"].startswith("lukaemon_mmlu_")]
    summarizer.DefaultSummarizer(
        ConfigDict(models=models, datasets=datasets, work_dir=str(out)),
        summary_groups=[{"name": "mmlu", "subsets": subjects}],
    ).summarize(time_str="made")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
