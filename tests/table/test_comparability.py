"""Which settings agree, shift a score or make another quantity; which model it is; its size."""

from __future__ import annotations

import json

import pytest

import sloth_bayes as sb
from sloth_bayes.table.benchmarks import resembled
from sloth_bayes.table.comparability import judge, rules
from sloth_bayes.table.identity import arguments_of, identify, precision
from sloth_bayes.table.sizes import why_not_the_size
from tools import comparability as page

BENCHMARKS = sb.load_dataset("open_llm_leaderboard").benchmark_names


# -- the table ---------------------------------------------------------------------------


def test_the_rules_are_well_formed():
    table = rules()
    assert set(table["verdict"]) <= {"agrees", "shifts", "another"}
    assert set(table["direction"]) <= {"", "up", "down", "either"}
    known = {*BENCHMARKS, "v1", "v2", "all"}
    assert {n for names in table["benchmarks"] for n in names.split(" + ")} <= known
    told = table[table["verdict"] != "agrees"]
    assert (told["reason"] != "").all()
    assert (told["source"] != "").all()
    assert (told["direction"] != "").all()
    assert not table["reason"].str.contains(";").any()  # which joins notes


def test_the_versions_that_tasks_name_are_those_of_the_rules():
    tasks = sb.known_tasks()
    for row in tasks[tasks["version"] != ""].itertuples():
        said = judge(row.benchmark, row.task, {"version": row.version})
        assert said == ((), ()), "the leaderboard's own version"


def test_the_page_is_what_the_tool_writes():
    assert page.PAGE.read_text(encoding="utf-8") == page.page(), "run python -m tools.comparability"


# -- files -------------------------------------------------------------------------------


@pytest.fixture
def write(tmp_path):
    count = iter(range(10**6))

    def make(task, score, shots, name="lab/mine-1b", *, args="", kwargs=None, **content):
        body = {
            "results": {task: score},
            "n-shot": {task: shots},
            "config": {"model": "hf", "model_args": f"pretrained={name}" + args}
            | content.pop("config", {}),
            "configs": {task: {"generation_kwargs": kwargs}} if kwargs else {},
        }
        path = tmp_path / f"results_{next(count)}.json"
        path.write_text(json.dumps(body | content))
        return path

    return make


GSM8K = ("gsm8k", {"exact_match,strict-match": 0.5}, 5)
ARC = ("arc_challenge", {"acc_norm,none": 0.5}, 25)
IFEVAL = (
    "leaderboard_ifeval", {"prompt_level_strict_acc,none": 0.5, "inst_level_strict_acc,none": 0.6},
    0,
)  # fmt: skip
MATH = ("leaderboard_math_hard", {"exact_match,none": 0.5}, 4)
BBH = ("leaderboard_bbh", {"acc_norm,none": 0.5}, 3)


def verdict(path):
    found = sb.read_observed(path, allow_mismatch=True)
    return found.used["matches"].item(), found.used["note"].item()


@pytest.mark.parametrize(
    ("task", "content", "matches", "said"),
    [
        # stop strings of GSM8K
        (GSM8K, {"kwargs": {"until": [":", "Question:", "Question"]}}, True, None),
        (GSM8K, {"kwargs": {"until": ["Question:", "</s>"]}}, True, "its answers end at 'Question"),
        (GSM8K, {"versions": {"gsm8k": 2}}, True, "version 2 of gsm8k stops at"),
        (GSM8K, {}, True, "gsm8k of harness 0.4 stops at"),
        (("gsm8k", {"acc": 0.5}, 5), {"versions": {"gsm8k": 0}}, True, None),
        # chat template, system prompt, shots as turns
        (ARC, {}, True, None),
        (ARC, {"chat_template": None, "fewshot_as_multiturn": True}, True, None),
        (ARC, {"chat_template": "{{ m }}"}, True, "with a chat template, which leaderboard v1"),
        (ARC, {"config": {"apply_chat_template": True}}, True, "with a chat template"),
        (ARC, {"system_instruction": "Be brief."}, True, "with a system prompt"),
        (ARC, {"chat_template": "{{ m }}", "fewshot_as_multiturn": True}, True, "turns of a chat"),
        (BBH, {"chat_template": "{{ m }}", "fewshot_as_multiturn": True}, True, None),
        (BBH, {"chat_template": "{{ m }}", "fewshot_as_multiturn": False}, True, "one message"),
        (IFEVAL, {"chat_template": "{{ m }}", "fewshot_as_multiturn": False}, True, None),
        (IFEVAL, {"chat_template": None, "name": "lab/m-7b-instruct"}, True, "without the chat te"),
        (IFEVAL, {"chat_template": None}, True, None),
        # sampling, lengths, thinking
        (IFEVAL, {"config": {"gen_kwargs": "temperature=0.7,do_sample=True"}}, False, "sampled"),
        (IFEVAL, {"config": {"gen_kwargs": {"temperature": 0.6}}}, False, "sampled (temperature 0"),
        (IFEVAL, {"kwargs": {"do_sample": True}}, False, "sampled (do_sample)"),
        (IFEVAL, {"kwargs": {"do_sample": False, "temperature": 0.0}}, True, None),
        (IFEVAL, {"config": {"gen_kwargs": "temperature=0"}, "kwargs": {"max_gen_toks": 1280}},
         True, None),
        (ARC, {"config": {"gen_kwargs": "temperature=0.7"}}, True, None),
        (IFEVAL, {"config": {"gen_kwargs": "max_gen_toks=64"}}, True, "cut at 64 tokens"),
        (MATH, {"kwargs": {"max_gen_toks": 32768}}, True, "could have 32768 tokens"),
        (MATH, {"args": ",enable_thinking=True"}, False, "made to think"),
        # how MATH compares answers
        (MATH, {"versions": {MATH[0]: 2.0}, "lm_eval_version": "0.4.9"}, True, None),
        (MATH, {"versions": {"leaderboard_math_algebra_hard": 3.0}}, False, "checks answers sym"),
        (MATH, {"lm_eval_version": "0.4.11"}, False, "exact_match of harness 0.4.11 checks"),
        (MATH, {"lm_eval_version": "0.4.5"}, True, None),
        # versions that nobody has compared yet
        (ARC, {"versions": {"arc_challenge": 1.0}}, True, None),
        (ARC, {"versions": {"arc_challenge": 2.0}}, True, "version 2 of the task is newer"),
        (IFEVAL, {"versions": {"leaderboard_ifeval": 3.0}}, True, None),
        (BBH, {"versions": {"leaderboard_bbh": 2}}, True, "version 2 of the task is newer"),
        (BBH, {"versions": {"leaderboard_bbh": "N/A"}}, True, None),
        (("truthfulqa_mc2", {"acc,none": 0.4}, 0), {"versions": {"truthfulqa_mc2": 3.0}}, True,
         None),
        (("leaderboard_mmlu_pro", {"acc,none": 0.4}, 5),
         {"versions": {"leaderboard_mmlu_pro": 0.1}}, True, None),
        # parts of the questions
        (MATH, {"n-samples": {"leaderboard_math_geometry_hard": {"original": 9, "effective": 2}}},
         False, "2 of its 9 questions in leaderboard_math_geometry_hard"),
        (BBH, {"config": {"limit": 0.1}}, False, "a part of its questions (limit 0.1)"),
        # weights
        (ARC, {"args": ",load_in_8bit=True"}, True, "weights are quantised (8bit)"),
        (ARC, {"name": "lab/foo-7B-AWQ"}, True, "weights are quantised (awq)"),
        (ARC, {"args": ",dtype=bfloat16,load_in_4bit=False,quantization=None"}, True, None),
    ],
)  # fmt: skip
def test_settings(write, task, content, matches, said):
    got, note = verdict(write(*task, **content))
    assert got is matches
    assert (said in note) if said else note == ""


def test_notes_of_one_model_are_said_once(write):
    results = {t: s for t, s, _ in (ARC, ("hellaswag", {"acc_norm,none": 0.6}, 10))}
    path = write(*ARC, chat_template="x")
    body = json.loads(path.read_text()) | {"results": results}
    body["n-shot"]["hellaswag"] = 10
    path.write_text(json.dumps(body))
    told = sb.read_observed(path).messages
    assert len(told) == 1
    assert told[0].startswith("ARC, HellaSwag of mine-1b may not compare: evaluated with a chat")


@pytest.mark.parametrize("task", ["gsm8k_cot_zeroshot", "arc_challenge_chat", "mmlu_pro_math"])
def test_tasks_that_resemble_a_benchmark_are_named(write, task):
    path = write(task, {"acc,none": 0.5}, 0)
    body = json.loads(path.read_text())
    body["results"] |= {f"other_{i}": {"acc,none": 0.1} for i in range(9)} | {ARC[0]: ARC[1]}
    body["n-shot"][ARC[0]] = 25
    path.write_text(json.dumps(body))
    told = sb.read_observed(path).messages
    assert any(f"{task} is not read: it resembles {resembled(task)}" in m for m in told)


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("ARC-C", "ARC"), ("arc_challenge", "ARC"), ("ARC (25-shot)", "ARC"), ("ARCC", "ARC"),
        ("Hella Swag", "HellaSwag"), ("gsm-8k", "GSM8K"), ("MMLU Pro", "MMLU-PRO"),
        ("mmlu_pro", "MMLU-PRO"), ("MMLU 5-shot", "MMLU"), ("MATH", "MATH Lvl 5"),
        ("TruthfulQA MC2", "TruthfulQA"), ("winogrande_xl", "Winogrande"), ("IF-Eval", "IFEval"),
        ("GPQA Diamond", "GPQA"), ("BBH Raw", "BBH"), ("MuSR", "MUSR"),
        ("humaneval", None), ("architecture", None), ("Average", None), ("notes", None),
        ("Merged", None), ("license", None), ("MoE", None), ("mbpp", None), ("Precision", None),
    ],
)  # fmt: skip
def test_names_that_resemble_a_benchmark(name, like):
    assert resembled(name) == like


# -- which model -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "adapter", "weights"),
    [
        ("peft=me/ad", "me/ad", ""),
        ("delta=me/ad", "me/ad", ""),
        ("enable_lora=True,lora_local_path=/x/ad", "/x/ad", ""),
        ("adapter_path=/x/ad/", "/x/ad", ""),
        ("load_in_4bit=True", "", "4bit"),
        ("load_in_8bit=1", "", "8bit"),
        ("load_in_4bit=True,peft=me/ad", "me/ad", "4bit"),
        ("autogptq=True", "", "gptq"),
        ("autogptq=model.safetensors", "", "gptq"),
        ("gptqmodel=True", "", "gptq"),
        ("quantization=awq_marlin", "", "awq"),
        ("quantization=bitsandbytes,load_format=bitsandbytes", "", "bitsandbytes"),
        ("quantization=fp8", "", "fp8"),
        ("gguf_file=foo.Q4_K_M.gguf", "", "gguf"),
        ("quantization_config={'load_in_4bit': True, 'bnb_4bit_quant_type': 'nf4'}", "", "4bit"),
        ("dtype=float16,max_model_len=4096,peft=None", "", ""),
        ("dtype=torch.bfloat16,quantization=None,load_in_4bit=False", "", ""),
    ],
)
def test_adapters_and_quantised_weights_are_other_models(arguments, adapter, weights):
    base = identify(arguments_of("pretrained=lab/foo-7b"))
    found = identify(arguments_of("pretrained=lab/foo-7b," + arguments))
    assert found.made == (adapter, weights)
    assert (found.name == base.name) == (found.made == ("", ""))


def test_base_and_quantised_are_two_rows(write):
    base, other = write(*ARC), write("arc_challenge", {"acc_norm,none": 0.4}, 25,
                                     args=",load_in_4bit=True")  # fmt: skip
    found = sb.read_observed([base, other])
    assert found.frame[["model", "ARC"]].values.tolist() == [
        ["mine-1b", 0.5], ["mine-1b-4bit", 0.4],
    ]  # fmt: skip
    with pytest.raises(sb.DataError, match="an adapter or quantised weights make another model"):
        sb.read_observed([base, other], model="mine-1b")


def test_one_adapter_on_two_bases_is_two_models(write):
    paths = [write(*ARC, name=f"lab/{b}", args=",peft=me/ad") for b in ("one", "two")]
    assert sb.read_observed(paths).frame["model"].tolist() == ["lab/one+me/ad", "lab/two+me/ad"]


def test_models_that_have_a_task_in_common_are_not_joined(write):
    with pytest.raises(sb.DataError, match="both have arc_challenge; read them one by one"):
        sb.read_observed([write(*ARC), write(*ARC, name="lab/other")], model="m")


@pytest.mark.parametrize(
    ("text", "weights"),
    [("torch.float16", ""), ("bfloat16", ""), ("fp32", ""), ("", ""), ("?", ""), ("4bit", "4bit"),
     ("8-bit", "8bit"), ("GPTQ", "gptq"), ("fp8", "fp8"), ("torch.float8_e4m3fn", "fp8")],
)  # fmt: skip
def test_precision_of_exports(text, weights):
    assert precision(text) == weights


# -- sizes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "count", "options", "said"),
    [
        ("lab/foo-7b", 7.24, {}, ""),
        ("lab/gemma-2b", 2.51, {}, ""),
        ("lab/foo", 1.1, {}, ""),
        ("lab/foo-410m", 0.405, {}, ""),
        ("lab/Foo-7B-GPTQ", 1.129, {}, "likely 7B"),
        ("lab/foo-7b-bnb-4bit", 3.9, {}, "likely 7B"),
        ("lab/foo-7b-4bit", 7.2, {"weights": "4bit"}, ""),
        ("lab/foo", 3.9, {"weights": "4bit"}, "before it was quantised"),
        ("lab/foo-7b-fp8", 7.2, {"weights": "fp8"}, ""),
        ("lab/foo", 7.2, {"weights": "fp8"}, ""),
        ("lab/Mix-8x7B", 46.7, {}, "about 12.7B, if two experts"),
        ("lab/mix-8x22b-instruct", 141, {}, "about 39B"),
        ("lab/q3-30B-A3B", 30.5, {}, "likely 3B"),
        ("lab/q3-30B-A3B", 3.3, {}, ""),
        ("lab/deep-moe-16b", 16.4, {}, "the active ones are on its card"),
        ("lab/foo-30b", 30, {"mixture": True}, "a mixture's total"),
        ("lab/foo-7b", 1.1, {}, "at odds with the model's name; the size is likely 7B"),
    ],
)
def test_counts_and_sizes(name, count, options, said):
    found = why_not_the_size(name, count, **options)
    assert (said in found) if said else found == ""
