"""Recipes: a specification together with what to fit it on, and how.

A recipe is a folder ``models/NAME`` with a ``spec.toml``: the choices of a
:class:`~sloth_bayes.Sloth` and, optionally, a table ``[fit]``. The published laws and the
posteriors that ship are recipes; a folder of your own works as well.
"""

from __future__ import annotations

import dataclasses
import math
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ._files import new_file
from ._shipped import shipped
from .diagnostics import starts_in_words
from .errors import ExtrapolationWarning, FileFormatError, SpecError, near, unknown
from .leaderboard import Leaderboard, load_dataset
from .posterior import Posterior
from .spec import Sloth, read_toml

if TYPE_CHECKING:
    from .diagnostics import Diagnostics

SPEC, POSTERIOR, CARD = "spec.toml", "posterior.nc", "card.md"


@dataclass(frozen=True)
class FitOptions:
    """The table ``[fit]`` of a recipe: what to fit on, and how.

    Attributes
    ----------
    dataset
        A data set that ships.
    corrected
        Use its corrected values; False takes them as published.
    benchmarks
        Benchmarks to keep; empty for all.
    method, chains, draws, warmup, steps, starts, rank, moves, target_accept, max_tree_depth, seed
        As :func:`sloth_bayes.inference.fit` takes them, with its defaults (stated again: that
        module imports JAX, which reading a recipe does not need).
    slim_draws
        Draws, over all chains, of the posterior that is kept in the folder.
    """

    dataset: str = "open_llm_leaderboard"
    corrected: bool = True
    benchmarks: tuple[str, ...] = ()
    method: str = "nuts"
    chains: int = 4
    draws: int = 1500
    warmup: int = 1000
    steps: int = 1000
    starts: int = 4
    rank: int = 512
    moves: int = 0
    target_accept: float = 0.8
    max_tree_depth: int = 10
    seed: int = 0
    slim_draws: int = 1000

    def __post_init__(self) -> None:
        if isinstance(self.benchmarks, list):
            object.__setattr__(self, "benchmarks", tuple(self.benchmarks))
        for f in dataclasses.fields(self):
            value, kind = getattr(self, f.name), type(f.default)
            accepted = (int, float) if kind is float else kind
            # True is an int, and would pass for one draw
            if not isinstance(value, accepted) or (kind is not bool and isinstance(value, bool)):
                wanted = {str: "text", bool: "true or false", tuple: "a list of names"}
                raise SpecError(
                    f"[fit] {f.name} must be {wanted.get(kind, 'a number')}, not {value!r}"
                )
        if self.method not in ("nuts", "svi"):
            raise SpecError(f"method={self.method!r} is not a choice; method takes nuts, svi")
        if self.slim_draws < 1:
            raise SpecError(f"[fit] slim_draws must be at least 1, not {self.slim_draws}")

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of :meth:`sloth_bayes.Sloth.fit`."""
        about_data = ("dataset", "corrected", "benchmarks", "slim_draws")
        return {k: v for k, v in dataclasses.asdict(self).items() if k not in about_data}


@dataclass(frozen=True)
class Recipe:
    """A named model: its specification, its folder and how to fit it.

    Attributes
    ----------
    name : str
        Name of the folder.
    spec : Sloth
        The specification.
    folder : pathlib.Path
        Where ``spec.toml`` lies.
    fit : FitOptions
        What to fit it on, and how.

    Examples
    --------
    >>> from sloth_bayes import recipes
    >>> recipes.load("owen").spec.inputs
    'flops'
    """

    name: str
    spec: Sloth
    folder: Path
    fit: FitOptions

    def data(self) -> Leaderboard:
        """The table it is fitted on.

        Raises
        ------
        UnknownNameError
            If no such data set ships, or it lacks a benchmark that the recipe lists.
        """
        data = load_dataset(self.fit.dataset, corrected=self.fit.corrected)
        return data.select(benchmarks=self.fit.benchmarks) if self.fit.benchmarks else data

    def run(self, progress: bool | None = None, **changes: Any) -> Posterior:
        """Fit the recipe.

        Parameters
        ----------
        progress
            Show a progress bar on standard error; by default only in a terminal.
        **changes
            Fields of :class:`FitOptions` to use instead of the recipe's.

        Returns
        -------
        Posterior
            The full fit; ``slim`` makes the form that ships.

        Raises
        ------
        SpecError
            If an option is unknown or out of range.

        Examples
        --------
        >>> from sloth_bayes import recipes
        >>> owen = recipes.load("owen")
        >>> owen.run(method="svi", steps=20, starts=1, draws=25, benchmarks=["MMLU"]).n_draws
        100
        """
        _check_keys(changes)
        fit = dataclasses.replace(self.fit, **changes)
        data = dataclasses.replace(self, fit=fit).data()
        return self.spec.fit(data, **fit.arguments(), progress=progress)


def recipe_names() -> list[str]:
    """Names of the recipes that ship.

    Examples
    --------
    >>> from sloth_bayes import recipes
    >>> "leaderboard" in recipes.recipe_names()
    True
    """
    return sorted(path.parent.name for path in shipped("models").glob(f"*/{SPEC}"))


def load(name_or_path: str | Path) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    name_or_path
        The folder of a recipe (anything with a separator, or a ``Path``), or the name of
        one that ships.

    Raises
    ------
    UnknownNameError
        If no recipe of that name ships.
    FileFormatError
        If the folder has no readable ``spec.toml``.
    SpecError
        If ``spec.toml`` names an unknown choice.

    Examples
    --------
    >>> from sloth_bayes import recipes
    >>> recipe = recipes.load("leaderboard")
    >>> recipe.name, recipe.fit.method
    ('leaderboard', 'nuts')
    """
    if is_path(name_or_path):
        folder = Path(name_or_path)
    else:
        names = recipe_names()
        if name_or_path not in names:
            remedy = "A path to a folder of your own has a separator: ./NAME."
            raise unknown("recipe", name_or_path, names, remedy)
        folder = shipped("models") / name_or_path
    source = folder / SPEC
    if not source.is_file():
        name = folder.resolve().name
        here = f"; the one that ships is called by its name: {name}" if name in _shipping() else ""
        raise FileFormatError(f"{folder} is no recipe: it has no file {SPEC}{here}")
    table = read_toml(source).get("fit", {})
    try:
        if not isinstance(table, dict):
            raise SpecError("fit must be a table, [fit]")
        _check_keys(table)
        return Recipe(folder.resolve().name, Sloth.from_toml(source), folder, FitOptions(**table))
    except SpecError as error:
        raise SpecError(f"{source}: {error}") from None


def is_path(name_or_path: str | Path) -> bool:
    """Whether a recipe is given as a folder rather than by the name of one that ships."""
    text = str(name_or_path)
    return isinstance(name_or_path, Path) or "/" in text or os.sep in text


def _shipping() -> list[str]:
    try:
        return recipe_names()
    except FileFormatError:
        return []


def _check_keys(table: dict[str, Any]) -> None:
    known = [f.name for f in dataclasses.fields(FitOptions)]
    for key in table:
        if key not in known:
            close = near(key, known)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
            raise SpecError(f"[fit] has no setting {key!r}: {hint}")


# -- the card ----------------------------------------------------------------------------


def write_card(
    post: Posterior,
    diagnostics: Diagnostics,
    seconds: float,
    path: str | Path,
    kept: int | None = None,
    svi: Posterior | None = None,
) -> Path:
    """Write what is known about a fit: data, convergence, calibration, limits.

    Every number is computed from the posterior given; nothing is remembered from another
    fit.

    Parameters
    ----------
    post
        The full fit (a slimmed one lacks the draws that PSIS-LOO deserves, and the card
        says so).
    diagnostics
        ``post.diagnostics()``.
    seconds
        Time the fit took.
    path
        The Markdown file; its folder names the posterior.
    kept
        Draws of the slimmed posterior beside the card, if there is one.
    svi
        A variational fit of the same specification to the same table, to be compared with
        this one.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    FileFormatError
        If the file cannot be written.
    """
    path = Path(path)
    sections = [
        f"# The posterior `{path.resolve().parent.name}`\n\n"
        "Written by `sloth-bayes fit`; every number below is computed from the fit it describes.",
        "## What was fitted\n\n" + _fitted(post, seconds, kept),
        "## Convergence\n\n" + _convergence(diagnostics),
        "## In-sample check\n\n" + _in_sample(post),
        "## Leave-one-out (PSIS-LOO)\n\n" + _loo(post),
        "## When not to trust it\n\n" + _limits(post, diagnostics),
    ]
    if svi is not None:
        sections.insert(-1, "## Variational inference beside it\n\n" + _beside(post, svi))
    with new_file(path) as temporary:
        temporary.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    return path


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _fitted(post: Posterior, seconds: float, kept: int | None) -> str:
    about = post.attrs
    left_out, versions = about["left_out"], about["versions"]
    sizes = post.data_tree["posterior"].sizes
    method = f"{post.method.upper()}, {sizes['chain']} chain(s) x {sizes['draw']} draws"
    if "warmup" in about:
        method += f" after {int(about['warmup'])} of warm-up"
    rows = [
        ["data", f"{about['data']}, fingerprint `{about['data_fingerprint']}`"],
        [
            "rows",
            f"{len(post.models)} models, {len(post.families)} families, {len(post.lineages)} "
            f"lineages, {len(post.benchmarks)} benchmarks, {int(about['n_scores'])} scores",
        ],
        [
            "left out",
            f"{len(left_out)} without size or tokens: {', '.join(left_out)}"
            if left_out
            else "none",
        ],
        ["method", f"{method}, seed {int(about['seed'])}"],
        ["starts", starts_in_words(post)],
        ["time", f"{seconds:.0f} s on {about['backend']}"],
        ["versions", ", ".join(f"{k} {v}" for k, v in versions.items())],
    ]
    if kept is not None:
        rows.insert(4, ["kept here", f"{kept} draws, thinned evenly; all else is of the full fit"])
    return _table(["what", "value"], rows).replace("--:", "---")


def _convergence(found: Diagnostics) -> str:
    text = "\n".join(f"- {message}" for message in found.messages)
    if found.table.empty:
        return text
    rows = [
        [
            str(row["quantity"]),
            "" if math.isnan(row["r_hat"]) else f"{row['r_hat']:.3f}",
            f"{row['ess_bulk']:.0f}",
            f"{row['ess_tail']:.0f}",
            f"{row['mcse']:.2g}",
        ]
        for row in found.table.head(10).to_dict("records")
    ]
    head = ["quantity", "R-hat", "bulk ESS", "tail ESS", "MCSE"]
    return f"{text}\n\nThe ten worst of {len(found.table)}:\n\n{_table(head, rows)}"


def _in_sample(post: Posterior) -> str:
    tree = post.data_tree
    predictive = tree["posterior_predictive"].to_dataset()["score"]
    drawn = predictive.transpose("chain", "draw", "observation").values
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    q = np.quantile(drawn.reshape(-1, drawn.shape[-1]), levels, axis=0)
    data = tree["observed_data"].to_dataset()
    score, which = data["score"].values, data["obs_benchmark"].values.astype(str)

    def row(label: str, here: np.ndarray) -> list[str]:
        y, (low, lower, middle, upper, high) = score[here], q[:, here]
        return [
            label,
            str(int(here.sum())),
            f"{np.mean((y >= lower) & (y <= upper)):.0%}",
            f"{np.mean((y >= low) & (y <= high)):.0%}",
            f"{100 * np.mean(high - low):.1f}",
            f"{100 * np.mean(np.abs(middle - y)):.1f}",
        ]

    rows = [row(b, which == b) for b in post.benchmarks]
    rows.append(row("all", np.ones(score.size, bool)))
    head = ["benchmark", "scores", "in 50%", "in 90%", "mean 90% width", "MAE of median"]
    return (
        "Share of the observed scores inside their posterior predictive intervals (width and "
        "error in percentage points). These scores were in the fit: this shows whether the law "
        "can describe them, not how well it forecasts.\n\n" + _table(head, rows)
    )


def _loo(post: Posterior) -> str:
    if "slimmed_from" in post.attrs:
        return "Not computed: this posterior was slimmed; fit again for the draws it needs."
    from arviz_stats import loo

    with warnings.catch_warnings():
        # that some k-hat are large is what the table says
        warnings.simplefilter("ignore", UserWarning)
        found = loo(post.data_tree, pointwise=True)
    k = np.asarray(found.pareto_k).ravel()
    good = float(found.good_k)
    rows = [
        ["elpd (standard error)", f"{found.elpd:.1f} ({found.se:.1f})"],
        ["effective number of parameters", f"{found.p:.1f}"],
        [f"k-hat at most {good:.2f} (reliable)", str(int((k <= good).sum()))],
        [f"k-hat between {good:.2f} and 1", str(int(((k > good) & (k <= 1)).sum()))],
        ["k-hat above 1", str(int((k > 1).sum()))],
    ]
    text = _table(["what", "value"], rows)
    bad = np.argsort(-k)[: min(5, int((k > good).sum()))]
    if bad.size:
        data = post.data_tree["observed_data"].to_dataset()
        names = [
            f"{data['obs_model'].values[i]} on {data['obs_benchmark'].values[i]} ({k[i]:.2f})"
            for i in bad
        ]
        text += f"\n\nThe scores that sway the fit most: {', '.join(names)}."
    return text


def apart(post: Posterior, svi: Posterior) -> pd.DataFrame:
    """How far two fits' forecasts are apart, for a model twice as large as each family's largest.

    A row a benchmark and one for all: n (models), mean and largest distance of medians of the
    expected scores (points), median ratio of the widths of 90% intervals, and the share of
    medians of `svi` outside the 90% intervals of `post`.
    """
    constant = post.data_tree["constant_data"].to_dataset()
    frame = constant[["params_b", "tokens_t", "family_of_model"]].to_dataframe().reset_index()
    frame = frame.rename(columns={"family_of_model": "family"}).sort_values("params_b")
    frame = frame[frame["tokens_t"].notna()].groupby("family").tail(1)
    frame["params_b"] *= 2
    frame["model"] = "twice " + frame["model"].astype(str)
    columns = ["model", "family", "params_b", "tokens_t"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExtrapolationWarning)
        forecasts = [fit.forecast(frame[columns]) for fit in (post, svi)]
    exact, guide = (f.summary(of="expected", prob=0.9) for f in forecasts)
    shift = 100 * (guide["median"] - exact["median"]).abs()
    width = (guide["upper"] - guide["lower"]) / (exact["upper"] - exact["lower"])
    outside = (guide["median"] < exact["lower"]) | (guide["median"] > exact["upper"])
    which = exact["benchmark"].to_numpy()
    every = [(b, which == b) for b in post.benchmarks] + [("all", np.ones(len(which), bool))]
    return pd.DataFrame(
        [
            {
                "benchmark": name, "n": len(frame), "mean": shift[here].mean(),
                "most": shift[here].max(), "width": width[here].median(),
                "outside": outside[here].mean(),
            }
            for name, here in every
        ]
    )  # fmt: skip


def _beside(post: Posterior, svi: Posterior) -> str:
    """Forecasts of both fits."""
    found = apart(post, svi)
    rows = [
        [r.benchmark, f"{r.mean:.1f}", f"{r.most:.1f}", f"{r.width:.2f}", f"{r.outside:.0%}"]
        for r in found.itertuples()
    ]
    head = ["benchmark", "medians apart", "at most", "width, SVI / NUTS", "medians outside 90%"]
    messages = " ".join(svi.diagnostics().messages[:2])
    return (
        f"The same specification by SVI (seed {int(svi.attrs['seed'])}). {messages}\n\n"
        f"Expected scores of {found['n'].iloc[0]} models nobody has trained, twice as large as the "
        "largest of each family: how far medians are apart (points, mean and largest), the median "
        "ratio of the widths of 90% intervals, and the share of SVI's medians outside NUTS's 90% "
        "intervals.\n\n" + _table(head, rows)
    )


def _limits(post: Posterior, found: Diagnostics) -> str:
    constant = post.data_tree["constant_data"].to_dataset()
    families = constant["family_of_model"].values.astype(str)
    _, count = np.unique(families, return_counts=True)
    data = post.data_tree["observed_data"].to_dataset()
    which = data["obs_benchmark"].values.astype(str)
    scores = {b: int((which == b).sum()) for b in post.benchmarks}
    fewest = min(scores, key=lambda b: scores[b])

    def span(name: str, unit: str) -> str:
        values = constant[name].values
        return f"{np.nanmin(values):g} to {np.nanmax(values):g}{unit}"

    limits = [
        f"Outside {span('params_b', 'B')} parameters or {span('tokens_t', 'T')} tokens the law "
        "extrapolates; a forecast warns and says how far, but its interval cannot know where "
        "the law itself ends.",
        f"{int((count == 1).sum())} of {count.size} families have one model here: nothing "
        "of their own says how they scale.",
        f"Benchmarks have {min(scores.values())} to {max(scores.values())} scores; the fewest: "
        f"{fewest}.",
        "Scores are those of one leaderboard's prompts and shots. Another harness, another "
        "prompt or contaminated training data is another quantity.",
        "A tuned model is forecast as its family is tuned here; a new recipe is a new family.",
    ]
    if not found.ok:
        limits.insert(0, "**The fit has not converged** (above): do not rely on interval ends.")
    elif post.method == "svi":
        limits.insert(0, "Variational inference: intervals tend to be too narrow.")
    return "\n".join(f"- {line}" for line in limits)
