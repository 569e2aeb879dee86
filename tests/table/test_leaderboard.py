"""The table: what it accepts, what it refuses and in which words, what it promises."""

from __future__ import annotations

import pickle
import subprocess
import sys
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sloth_bayes.errors import DataError, FileFormatError, UnknownNameError
from sloth_bayes.table.leaderboard import Benchmark, Leaderboard, load_dataset


def table(**changes) -> pd.DataFrame:
    columns = {
        "model": ["a-1b", "a-7b", "b-3b"],
        "family": ["a", "a", "b"],
        "params_b": [1.0, 7.0, 3.0],
        "tokens_t": [2.0, 2.0, None],
        "MMLU": [0.3, 0.5, 0.4],
        "MyEval": [0.1, None, 0.2],
    }
    columns |= changes
    return pd.DataFrame({k: v for k, v in columns.items() if v is not None})


# --- what it accepts -----------------------------------------------------------------


def test_defaults_and_columns():
    data = Leaderboard.from_frame(table(extra=["x", "y", "z"]), ["MMLU", "MyEval"])
    assert list(data.frame.columns) == [
        *("model", "family", "lineage", "instruct", "params_b", "tokens_t", "date"),
        *("MMLU", "MyEval"),
    ]
    assert list(data.frame["lineage"]) == ["a", "a", "b"]
    assert not data.frame["instruct"].any()
    assert data.frame["instruct"].dtype == bool
    assert data.frame["date"].isna().all()
    assert (len(data), data.n_scores, data.families, data.lineages) == (3, 5, *[("a", "b")] * 2)
    assert data.name == "table"
    assert np.isnan(data.frame["tokens_t"].iloc[2])


def test_none_takes_the_known_benchmarks_with_their_metadata():
    data = Leaderboard.from_frame(table())
    assert data.benchmarks == (Benchmark("MMLU", 0.25, 14042, "v1", 0.0),)


def test_unknown_name_is_a_plain_benchmark_and_objects_are_kept():
    mine = Benchmark("MMLU", chance=0.1)
    data = Leaderboard.from_frame(table(), [mine, "MyEval"])
    assert data.benchmarks == (mine, Benchmark("MyEval"))


def test_rounding_is_assumed_only_if_the_values_show_it():
    rounded = Leaderboard.from_frame(table(BBH=[0.31, 0.29, 0.57]), ["BBH"])
    exact = Leaderboard.from_frame(table(BBH=[0.31, 0.2931, 0.57]), ["BBH"])
    assert rounded.benchmarks[0].rounding == 0.01
    assert exact.benchmarks[0].rounding == 0.0
    assert exact.benchmarks[0].n_questions == 5761


@pytest.mark.parametrize(
    "values",
    [[True, False, True], [1, 0, 1], ["true", "False", "TRUE"], ["1", "0", "1"], [1.0, 0.0, 1.0]],
)
def test_instruct_parses(values):
    data = Leaderboard.from_frame(table(instruct=values))
    assert list(data.frame["instruct"]) == [True, False, True]


def test_a_model_without_scores_is_legal():
    data = Leaderboard.from_frame(table(MMLU=[0.3, None, 0.4]), ["MMLU"])
    assert len(data) == 3
    assert data.n_scores == 2


def test_numbers_may_be_text_and_missing_cells_have_many_spellings():
    data = Leaderboard.from_frame(table(MMLU=["0.3", " n/a ", ""], params_b=["1", "7.5", "NaN"]))
    assert data.n_scores == 1
    assert data.frame["params_b"].iloc[1] == 7.5


def test_released_is_per_family():
    data = Leaderboard.from_frame(table(released=["2024-04", "2024-03-18", None]))
    assert data.releases["a"] == pd.Period("2024-03", "M")
    assert data.releases["b"] is pd.NaT
    assert Leaderboard.from_frame(table()).releases.isna().all()


# --- what it refuses -----------------------------------------------------------------

REFUSED = {
    "empty": (table().iloc[:0], None, ["empty"]),
    "missing column": (table(params_b=None), None, ["params_b", "missing"]),
    "column called otherwise": (
        table().rename(columns={"params_b": "params"}),
        None,
        ["'params_b'", "rename 'params'"],
    ),
    "column called size": (
        table().rename(columns={"params_b": "size"}),
        None,
        ["'params_b'", "rename 'size'"],
    ),
    "tokens": (
        table().rename(columns={"tokens_t": "tokens"}),
        None,
        ["'tokens_t'", "rename 'tokens'", "trillions"],
    ),
    "duplicated model": (table(model=["x", "y", "x"]), None, ["'x'", "rows 1 and 3"]),
    "percentages": (
        table(MMLU=[0.3, 57.0, 0.4]),
        None,
        ["score 57.0 of model 'a-7b' on MMLU is above 1", "divide by 100"],
    ),
    "negative score": (table(MMLU=[0.3, -0.1, 0.4]), None, ["-0.1", "'a-7b'", "MMLU", "negative"]),
    "infinite score": (table(MMLU=[0.3, 0.1, np.inf]), None, ["'b-3b'", "MMLU", "infinite"]),
    "infinite size": (table(params_b=[np.inf, 1, 1]), None, ["params_b", "'a-1b'", "infinite"]),
    "infinite tokens": (table(tokens_t=[-np.inf, 1, 1]), None, ["tokens_t", "'a-1b'", "infinite"]),
    "zero size": (table(params_b=[1, 0, 1]), None, ["params_b", "'a-7b'", "positive"]),
    "negative tokens": (table(tokens_t=[1, -2, 1]), None, ["tokens_t", "'a-7b'", "positive"]),
    "raw parameters": (table(params_b=[1, 7e9, 1]), None, ["params_b", "'a-7b'", "billions"]),
    "raw tokens": (table(tokens_t=[1, 2e12, 1]), None, ["tokens_t", "'a-7b'", "trillions"]),
    "no score": (table(MMLU=[None, None, np.nan]), ["MMLU"], ["'MMLU'", "no score at all"]),
    "text score": (table(MMLU=[0.3, "57%", 0.4]), None, ["MMLU", "'a-7b'", "'57%'"]),
    "truth as score": (table(MMLU=[0.3, True, 0.4]), None, ["MMLU", "'a-7b'", "True"]),
    "text size": (table(params_b=["1", "7b", "3"]), None, ["params_b", "'a-7b'", "'7b'"]),
    "no model name": (table(model=["x", None, "z"]), None, ["row 2", "model"]),
    "blank family": (table(family=["a", "a", "  "]), None, ["row 3", "family", "'b-3b'"]),
    "two columns": (
        pd.concat([table(), table()[["MMLU"]]], axis=1),
        None,
        ["2 columns", "'MMLU'"],
    ),
    "benchmark twice": (table(), ["MMLU", Benchmark("MMLU")], ["'MMLU'", "twice"]),
    "two lineages": (table(lineage=["a", "c", "b"]), None, ["'a'", "'c'", "two lineages"]),
    "instruct": (table(instruct=["true", "maybe", "no"]), None, ["instruct", "'a-7b'", "'maybe'"]),
    "date": (table(date=["2024-01-01", "soon", ""]), None, ["date", "'a-7b'", "'soon'"]),
    "released": (table(released=["2024-01", "soon", ""]), None, ["released", "'a-7b'", "'soon'"]),
    "nothing known": (
        table().rename(columns={"MMLU": "Mine"}),
        None,
        ["benchmarks=['Mine', 'MyEval']"],
    ),
    "no benchmarks": (table(), [], ["empty"]),
    "model column as benchmark": (table(), ["params_b"], ["'params_b'", "describes models"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_with_the_place_and_the_remedy(case):
    df, benchmarks, words = REFUSED[case]
    with pytest.raises(DataError) as error:
        Leaderboard.from_frame(df, benchmarks)
    message = str(error.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


def test_absent_benchmark_names_the_near_ones():
    with pytest.raises(UnknownNameError, match=r"'MMLU-PRO'.*'MMLU'"):
        Leaderboard.from_frame(table(), ["MMLU-PRO"])


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"chance": 1.0}, "chance"),
        ({"chance": -0.1}, "chance"),
        ({"chance": np.nan}, "chance"),
        ({"n_questions": 0}, "n_questions"),
        ({"n_questions": 1.5}, "n_questions"),
        ({"rounding": 0.5}, "rounding"),
        ({"rounding": "0.01"}, "rounding"),
        ({"shortfall": 0.0}, "shortfall"),
        ({"shortfall": 1.0}, "shortfall"),
        ({"chance_sd": 0.0}, "chance_sd"),
        ({"chance_sd": 0.5}, "chance_sd"),
        ({"chance_sd": "0.01"}, "chance_sd"),
        ({"questions": " "}, "questions"),
        ({"questions": 3}, "questions"),
    ],
)
def test_benchmark_refuses(options, word):
    with pytest.raises(DataError, match=f"{word} of benchmark 'X'"):
        Benchmark("X", **options)


def test_benchmark_needs_a_name():
    with pytest.raises(DataError, match="name"):
        Benchmark(" ")


# --- CSV -------------------------------------------------------------------------------


def test_csv_errors_name_the_file(tmp_path):
    with pytest.raises(FileFormatError, match=r"absent\.csv"):
        Leaderboard.from_csv(tmp_path / "absent.csv")
    with pytest.raises(FileFormatError, match="cannot read"):
        Leaderboard.from_csv(tmp_path)
    cases = {
        "nothing.csv": (b"", DataError, "is empty"),
        "header.csv": (b"model,family,params_b,tokens_t,MMLU\n", DataError, "is empty"),
        "ragged.csv": (b"model,family\na,b,c,d\n", FileFormatError, "not a CSV file"),
        "binary.csv": (b"\xff\xfe\x00\x81model", FileFormatError, "UTF-8"),
        "twice.csv": (
            b"model,family,params_b,tokens_t,MMLU,MMLU\nm,f,1,1,0.5,0.6\n",
            DataError,
            "2 columns 'MMLU'",
        ),
    }
    for name, (content, kind, words) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(kind, match=words) as error:
            Leaderboard.from_csv(tmp_path / name)
        assert name in str(error.value)


def test_csv_takes_names_that_pandas_would_read_as_missing(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("model,family,params_b,tokens_t,MMLU\nnull,None,1,,0.5\n", encoding="utf-8-sig")
    data = Leaderboard.from_csv(path, name="mine")
    assert data.models == ("null",)
    assert data.families == ("None",)
    assert data.name == "mine"


def test_to_csv_is_atomic_and_says_what_failed(tmp_path):
    data = load_dataset("open_llm_leaderboard")
    with pytest.raises(FileFormatError, match="cannot write"):
        data.to_csv(tmp_path / "no" / "t.csv")
    path = data.to_csv(tmp_path / "t.csv")
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]
    back = Leaderboard.from_csv(path, data.benchmarks)
    assert back == data
    pd.testing.assert_frame_equal(back.frame, data.frame)
    pd.testing.assert_series_equal(back.releases, data.releases)


unit = st.floats(0, 1)
size, tokens = st.floats(1e-4, 1e4), st.floats(1e-4, 100)


@st.composite
def tables(draw) -> pd.DataFrame:
    names = draw(
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1),
            min_size=1,
            max_size=6,
            unique=True,
        )
    )
    n = len(names)
    column = lambda values: draw(st.lists(values, min_size=n, max_size=n))  # noqa: E731
    family = column(st.sampled_from(["f", "g", "NA"]))
    return pd.DataFrame(
        {
            "model": names,
            "family": family,
            "lineage": [f"line of {f}" for f in family],
            "instruct": column(st.booleans()),
            "params_b": column(size | st.none()),
            "tokens_t": column(tokens | st.none()),
            "date": column(st.dates(date(1000, 1, 1)) | st.none()),
            "MMLU": [draw(unit), *column(unit | st.none())[1:]],
            "other": [*column(unit | st.none())[1:], draw(unit)],
        }
    )


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(tables(), st.randoms(use_true_random=False))
def test_fingerprint_ignores_the_order_of_rows(df, random):
    order = list(range(len(df)))
    random.shuffle(order)
    shuffled = df.iloc[order]
    names = ["MMLU", "other"]
    one, two = (Leaderboard.from_frame(t, names) for t in (df, shuffled))
    assert one == two
    assert hash(one) == hash(two)


@settings(max_examples=60, deadline=None)
@given(df=tables())
def test_round_trip_through_csv(df, tmp_path_factory):
    data = Leaderboard.from_frame(df, ["MMLU", "other"])
    path = data.to_csv(tmp_path_factory.mktemp("csv") / "t.csv")
    back = Leaderboard.from_csv(path, data.benchmarks)
    assert back == data
    pd.testing.assert_frame_equal(back.frame, data.frame)


@settings(max_examples=30, deadline=None)
@given(df=tables())
def test_frame_of_a_table_gives_the_table_again(df):
    data = Leaderboard.from_frame(df, ["MMLU", "other"])
    assert Leaderboard.from_frame(data.frame, data.benchmarks) == data


# --- what it promises -------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"MMLU": [0.3, 0.5, 0.4000001]},
        {"MMLU": [0.3, 0.5, None]},
        {"params_b": [1.0, 7.0, 3.1]},
        {"tokens_t": [2.0, 2.0, 1.0]},
        {"family": ["a", "a", "c"]},
        {"instruct": [0, 0, 1]},
        {"lineage": ["z", "z", "z"]},
        {"date": ["2024-01-01", "", ""]},
    ],
)
def test_fingerprint_changes_with_the_content(changes):
    assert Leaderboard.from_frame(table(**changes)) != Leaderboard.from_frame(table())


@pytest.mark.parametrize(
    "options",
    [{"chance": 0.1}, {"n_questions": 10}, {"leaderboard": "v9"}, {"rounding": 0.1}],
)
def test_fingerprint_changes_with_the_metadata(options):
    plain = Leaderboard.from_frame(table(), ["MyEval"])
    other = Leaderboard.from_frame(table(), [Benchmark("MyEval", **options)])
    assert plain.fingerprint != other.fingerprint


def test_immutable():
    df = table()
    data = Leaderboard.from_frame(df)
    before = data.fingerprint
    df.loc[0, "MMLU"] = 0.9
    frame, releases = data.frame, data.releases
    frame.loc[0, "MMLU"] = 0.9
    releases["a"] = pd.Period("2020-01", "M")
    with pytest.raises(AttributeError):
        data._name = "x"
    with pytest.raises(AttributeError):
        data.name = "x"
    assert data.frame.loc[0, "MMLU"] == 0.3
    assert Leaderboard.from_frame(data.frame, data.benchmarks).fingerprint == before
    assert data.releases.isna().all()


def test_representation_and_pickle():
    data = Leaderboard.from_frame(table(), name="<mine>")
    assert repr(data) == ("<Leaderboard '<mine>': 3 models, 2 families, 1 benchmark, 3 scores>")
    assert "&lt;mine&gt;" in data._repr_html_()
    assert data != "table"
    assert pickle.loads(pickle.dumps(data)) == data


def test_select():
    data = load_dataset("open_llm_leaderboard")
    small = data.select(families=["pythia", "bloom"], benchmarks=["GSM8K", "MMLU"])
    assert small.benchmark_names == ("GSM8K", "MMLU")
    assert small.families == ("bloom", "pythia")
    assert data.select(models="gpt2").benchmark_names == data.benchmark_names[:6]
    assert data.select() == data
    assert small.releases["bloom"] == data.releases["bloom"]
    with pytest.raises(UnknownNameError, match="'meta-llama-3'"):
        data.select(families="llama-3")
    with pytest.raises(UnknownNameError, match="'GSM8K'"):
        data.select(benchmarks=["GSM8"])
    with pytest.raises(UnknownNameError, match="'pythia-12b'"):
        data.select(models=["pythia-12"])
    with pytest.raises(DataError, match="empty"):
        data.select(models="gpt2", families="bloom")
    with pytest.raises(DataError, match="'BBH' has no score"):
        data.select(models="gpt2", benchmarks="BBH")


def test_with_rows():
    data = load_dataset("open_llm_leaderboard")
    new = pd.DataFrame(
        {
            "model": ["mine-7b", "mine-70b"],
            "family": "mine",
            "params_b": [7.0, 70.0],
            "tokens_t": [2.0, None],
            "MMLU": [0.5, None],
            "released": "2025-02",
        }
    )
    more = data.with_rows(new)
    assert len(more) == len(data) + 2
    assert more.n_scores == data.n_scores + 1
    assert more.benchmarks == data.benchmarks
    assert more.releases["mine"] == pd.Period("2025-02", "M")
    assert "mine" not in data.families
    with pytest.raises(DataError, match="'gpt2' is there twice"):
        data.with_rows(new.assign(model=["gpt2", "x"]))
    with pytest.raises(DataError, match="two lineages"):
        data.with_rows(new.assign(family="gpt2"))
    with pytest.raises(DataError, match="none of the table's benchmarks"):
        data.with_rows(new.drop(columns="MMLU"))


def test_imports_nothing_heavy():
    code = (
        "import sys, sloth_bayes.table.leaderboard as m; m.load_dataset()\n"
        "print({'jax', 'numpyro', 'matplotlib', 'xarray', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
