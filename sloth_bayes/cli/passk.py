"""The verb ``passk``: how many problems will a model solve in k tries?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import DataError, SpecError, check_known
from ..support.files import read_table
from .options import Lineage, Names, NewFamily, Params, Prob, Tuned, command, sizes, split
from .output import PosteriorOutput, cells, console, plain_table

if TYPE_CHECKING:
    import pandas as pd

    from ..tasks.passk import PassAtK, SamplesToMatch


@command
def passk(
    *,
    file: Annotated[
        Path | None,
        typer.Argument(),
        "[FILE]",
        "CSV of counts: model, problem, n_samples, n_correct; family, params_b, tokens_t of models "
        "that the posterior does not know. By default the Pythia counts that ship.",
    ] = None,
    family: Annotated[str | None, "Family of a model to forecast."] = None,
    params: Params = None,
    tokens: Annotated[float | None, "T", "Its training tokens in trillions."] = None,
    lineage: Lineage = None,
    instruct: Tuned = None,
    new_family: NewFamily = False,
    leave_out: Annotated[Names, "Models whose counts are not used."] = None,
    k: Annotated[str, "K[,K...]", "Numbers of samples."] = "1,10,100,1000,10000",
    match: Annotated[
        tuple[str, str] | None, "MODEL OTHER", "Samples that make MODEL match OTHER at one."
    ] = None,
    new_problems: Annotated[bool, "Of other problems from the same population."] = False,
    prob: Prob = 0.9,
    draws: Annotated[int, "Draws of the skills to use, at most."] = 250,
    output: Annotated[PosteriorOutput, {"as_csv": "One CSV row a model and k."}],
) -> None:
    """Forecast pass@k of a model that nobody has sampled from (in seconds).

    Example: [bold]sloth-bayes passk --family pythia --params 30 --tokens 0.3 --plot p.png[/bold]
    """
    seed = output.seed
    if draws < 1:
        raise SpecError(f"--draws must be at least 1, not {draws}")
    tries = [_whole(part) for part in k.split(",") if part.strip()]
    asked = (family, params, tokens)
    if any(a is None for a in asked) and any((*asked, lineage, instruct is not None)):
        raise DataError("a model to forecast needs --family, --params and --tokens.")
    from ..predict.candidates import candidates
    from ..table.samples import checked_counts, load_samples

    counts = checked_counts(load_samples() if file is None else read_table(file))
    left_out = split(leave_out)
    check_known("model with counts", left_out, counts["model"].unique().tolist())
    counts = counts[~counts["model"].isin(left_out)]
    ahead = None
    if family is not None and params and tokens is not None:
        ahead = candidates(
            family, sizes("--params", params), tokens, lineage=lineage, instruct=instruct
        )
    here = [*counts["model"].unique(), *([] if ahead is None else ahead["model"])]
    check_known("model of --match", match or (), here)
    found = output.load().pass_at_k(
        counts, ahead, k=tries, prob=prob, seed=seed, draws=draws, new_family=new_family
    )
    verdict = found.diagnostics()
    frame = found.curve(problems="new" if new_problems else "same")
    matched = None if match is None else found.samples_to_match(*match)
    answer = {
        "pass_at_k": frame,
        "meta": {"models": found.models, "converged": verdict.ok, "seed": seed},
        **({} if matched is None else {"match": matched.frame}),
        "warnings": verdict.messages,
    }
    output.end(
        frame, answer, lambda: _print(found, frame, matched), found.plot, verdict.ok, fit=True,
        indent=2,
    )  # fmt: skip


def _whole(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise DataError(f"--k: {text.strip()!r} is not a whole number of samples") from None
    if value < 1:
        raise DataError(f"--k: {value} is below 1: k is a number of samples")
    return value


def _print(found: PassAtK, frame: pd.DataFrame, matched: SamplesToMatch | None) -> None:
    """A row a model, in percent of the problems."""
    out = console(piped=120)
    title = f"pass@k in percent of {found.fit.sizes['problem']} problems, {found.prob:.0%} interval"
    head = ["model", *[f"k = {tries:,}" for tries in frame["k"].unique()]]
    frame = frame.sort_values("k")
    best = frame.groupby("model", as_index=False).last().sort_values(["forecast", "median"])
    rows = []
    for model in best["model"]:  # as a reader expects them: from the weakest, forecasts last
        part = frame[frame["model"] == model]
        name = f"{model} (forecast)" if part["forecast"].any() else str(model)
        _, shares = cells(part, ("", "{median:.1p} ({lower:.1p}-{upper:.1p})"))
        rows.append([name, *[share for (share,) in shares]])
    out.print(plain_table(head, rows, title=title))
    if matched is not None:
        row = matched.frame.iloc[0]
        out.print(
            f"{row['model']} matches {row['other']} at {row['k']} with {row['median']:.3g} samples "
            f"({row['lower']:.3g} to {row['upper']:.3g})"
        )
