"""Which law forecasts best what came later, judged by NUTS on rehearsals.

    python -m studies.rehearsals --out FOLDER [--laws today walk] [--months 2024-03]
    python -m studies.rehearsals --out FOLDER --months lineages --laws today "walk of compute"

A rehearsal is the joint table (``open_models``) before a month, with the benchmarks that at least
ten models have before it: families released later are hidden but for their smallest model, and the
larger ones are forecast. No published fold is read.

The rule, written before any of it was run. A law stands if its fits have converged (R-hat of
expected scores at most 1.05 in every rehearsal). Of those that stand, laws whose 90% intervals
cover between 82 and 96% of the cells in each bin of distance (< 1, 1-2, 2-3, 3+ doublings of
compute, bins of at least 50 cells, all rehearsals together) go before those that do not. Among
them the highest log score a cell wins, every rehearsal counting once; a law within one standard
error of the best (paired, over families) and with fewer parameters goes before it. Every law's
figures are printed and kept, those that lose too.

What had been seen before the rule: four laws on newer models of leaderboard v2, outside the
repository (a random walk with a fan of slopes was the best), and forecasts of Llama 3.1, Qwen2.5
and Gemma 2 by ``models/open`` (``python -m studies.open_models --only lineages``), whose intervals
were far too narrow. Seen after the rule and before any of its runs: the same forecasts with the
walk, by chains that had not converged, of which 88% instead of 60% were inside. The laws with
sourced ceilings were added after that, and before any run; so was that with two skills as well,
after it had been seen that two mix better than three on the whole table. Of today's law and of
that one, fits that had not converged were seen. The walk of compute was added after that, when it
had been seen to mix better and to hold 83% of the scores of those forecasts, before any rehearsal;
its fan after a first look at its rehearsals, by chains that had not converged.
Slopes of tuned models were added after forecasts of Llama 3.1, Qwen2.5 and Gemma 2 by the walk of
compute had been looked at: IFEval of large base models was forecast too high, and of large tuned
ones too low; with progress when each had been scored alone, they on three months.
Chains have become longer twice, since none had converged: 2 x 400 draws after 400, 2 x 1,200 after
600, now 4 x 1,000 after 800 from starts of 3,000 steps. So long, the walk of compute reached R-hats
of 1.04, 1.06, 1.10 and 1.53. What disagreed were benchmarks that a few models shown had scores on
and that were not scored, for want of ten models before the month: since then they are not in the
table either. Then three of its four fits reached 1.01, and in one a chain had stayed elsewhere
(1.45): now eight chains of 500 draws after 400 step together, and a fit that has not converged is
made again by itself, twice as long.

Progress by date was added after today's law and the walk of compute had been scored on all four
months (in docs/evidence.md), because of what was seen there: families newer than the table are
better than it expects, by 2.8 points beyond three doublings. Of progress itself nothing had been
seen. A forecast is told the month of the family that it hides, which a user knows; what is judged,
and how, is as before. Slopes of tuned models beside progress and the walk were added when each of
the three had been scored on all four months, and progress with the walk; of any two with slopes of
tuned models, and of the fan with progress, nothing had been seen.

**The second rule**, for the law of ``models/open``, written before any of its fits was run. By the
first, the noise of the best law decides how far a plainer one may be behind it, and the plainest
stays where several others are better than it. What ``models/open`` is asked for is intervals that
hold wherever they are, and so: a law stands if its fits have converged (R-hat at most 1.05 in every
rehearsal), and if neither its log score nor its CRPS is worse than that of today's law by more than
two standard errors (paired, over families, every rehearsal counting once). Of those that stand, the
one goes first whose 90% intervals hold best where they hold worst: the least of the shares inside
in the four bins of distance, all rehearsals together. Of laws whose least shares are within a
point, the one with the higher log score. Fits are by chains that step by themselves, in
coordinates with blocks, which take a tenth of the time. The default of ``Sloth`` is no matter of
this rule.
Seen before it, by lanes: everything in docs/evidence.md, which is most of the laws without ceilings
by questions (one ceiling for all benchmarks that ask the same questions), on these months; of that
ceiling, of the walk with progress and slopes of tuned models, and of the fan with progress no
score, and of three of them whether short chains converge. The fan with the walk, ceilings by
questions and progress was added when the first six of the list had been scored, the fifth of which
is the best of them and forecasts far models 3 points too low; the fan together with slopes of tuned
models when each had been scored beside the rest of it. What the rule then chose, by its letter, was
that last law, which an older requirement refuses: its intervals narrow with the distance more often
than tests/studies/test_widths.py lets them. The next in order, with slopes of tuned models and no
fan, does not converge on the whole table (R-hat 1.28). So the walk with ceilings by questions and
progress was added, after all others had been scored, to be taken if it stood here, converged there
and kept its widths. Its ceiling of HellaSwag did not, and with fewer common ceilings chains sit in
several places: docs/evidence.md has all fits. So ``models/open`` stayed as it was.

**The third rule**, written before any of its rehearsals was run: the second, of laws that can ship.
A law stands if it does by the second rule; the order is that of the second rule. In that order each
is fitted to the whole table as ``models/open`` is made, with seed 0, until one has converged by the
package's bar (R-hat at most 1.02, 1.01 for 99% of the quantities, 400 effective draws, no
divergence) within ten minutes on two cores and tests/studies/test_widths.py passes. That one is
``models/open``. It is also the law that is evaluated on the published folds and on what came after
March 2024, as it is. Candidates are those with tuning by benchmark: on the whole table chains had
ended in two places, and what set these apart was what tuning does to the skills. Fifteen benchmarks
there are of tuned models only, which say nothing of it, and three skills had to be both what tuned
models differ in and what tuning adds. HellaSwag has left the sets of questions: choosing an ending
by likelihood and answering in text are different measures of it, and its ceilings are not the same.
Seen before this rule: all of the above; of tuning by benchmark, that the walk with ceilings by
questions and progress, a third as long as the fit that ships, has its chains in one place there (no
score of it). On what came after March 2024 in the leaderboard's own table, by NUTS: today's law
(error 4.6 points), the walk (4.3), progress with slopes of tuned models (4.4) and all three (4.0);
the published folds of the three together were being run, and not seen.

Amended before the third of its fits of the whole table had ended: one whose chains are all in one
place (R-hat at most 1.05), and that keeps its widths, but has too few effective draws, is made
again with as many draws as ten minutes allow. Seen then: rehearsals of the first three laws with
tuning by benchmark; of the whole table, that the law with the fan and slopes of tuned models
narrows with size as it did before (its fan is negative, and a law with the fan alone is not
fitted), and that the one with slopes of tuned models has chains in two places (1.215).

**The fourth rule**, written when the third had refused every law that it came to, before any fit
had been judged by it. The third asked of widths what no law of lines through a cloud can keep: how
scores of a benchmark follow skills is known best in the middle of its own models, so that a family
from below, which nears them as it grows, may be known better there. (The nearest law failed in 77
predictors of 18,432, all on benchmarks without base models, most of small base families; this was
seen, and is why the rule is written. How many of them are steps towards the middle was not.) So
tests/studies/test_widths.py tells steps apart by whether they start below the median of the
benchmark's own models, and asks of those that do not what it asked of all: no predictor from a
quarter of the way on, and no expected score below half of it, narrows but one in ten thousand, with
less than 1% (it was 4%, of all) narrower by their noisier ends. Of the rest it asks what it asked:
no predictor narrows by 15%. All else is as in the third rule, with the amendment: in the order of
the second rule, those already fitted as they are, the first that has its chains in one place and
keeps these widths is made again with as many draws as ten minutes allow, and is ``models/open`` if
it converges. Then, of ``models/open`` as it is and the new one, the latter ships if forecasts of
Llama 3.1, Qwen2.5 and Gemma 2 (``python -m studies.open_models --only lineages``) are not worse by
it in CRPS, nor in the share inside (of the walk with ceilings by questions, progress and tuning by
benchmark they were seen: 3.68 points and 86%, against 3.7 and 83%).

**The fifth rule**, written before the rehearsals of the law that it adds. The law that the fourth
comes to, the walk with ceilings by questions, progress and tuning by benchmark, keeps its widths
(as it was: none of 11,513 predictors narrows), and with 3,300 draws it has not converged (R-hat
1.015, 347 and 266 effective draws; twice as many iterations a draw gave 161): its chains cross
between two floors of MMLU, chance and 20%, the latter with a twentieth of the draws. A model that
knows nothing scores on letters as often as those that it prefers are right, which is within a
point or two of chance; so ``lower="sourced"`` takes the spread of a floor from the table, 1% where
options are letters (MMLU, MMLU of Swallow, MMLU-PRO, GPQA), and 3% elsewhere, as before. Seen of
it: that its chains are in one place on the whole table (1.010; 787 and 1,113), no score. It takes
the place of that law if it stands by the second rule and, by its rehearsals, is not worse than it
in log score or CRPS by two standard errors; all that the fourth rule asks is then asked of it.
What came of it: docs/evidence.md. Widths were measured with one walk ahead a draw when the rules
were written, and one pair of 11,450 missed the test by that; since then it is four.

Of the first six laws with tuning by benchmark the first three were rehearsed, then the third rule
had refused what it came to, and the others were not run. ``models/far`` is the second rule's next
after laws with a fan, without sets of questions or sourced ceilings, which the leaderboards' own
table has not: its parts, and the same with two and with four skills, were added when it had been
scored on the published folds and on what came after March 2024, and before any of them was
rehearsed here; they choose nothing.

Beside the rule, and without a say in it: ``lineages``, the table of the Open LLM Leaderboard with
its lineages left out in ten random groups, larger models of their families forecast from the
smallest, over all families and over those that no published fold tests. The law without a walk and
that with one had been seen on the published folds of that table, other splits of the same scores.
``--without`` leaves lineages out of what is told, and fits nothing anew.

Each law's folds are kept in the folder, and a study goes on where it was cut off.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import sloth_bayes as sb
from sloth_bayes.evaluate import protocols
from sloth_bayes.evaluate.evaluation import KEY
from sloth_bayes.infer import recipes

MONTHS = ("2023-09", "2024-03", "2024-09", "2025-03")
PARTS: dict[str, dict[str, Any]] = {
    "today": {},
    "walk": {"walk": "pooled"},
    "walk of compute": {"walk": "compute"},
    "sourced ceilings": {"upper": "sourced"},
    "ceilings by questions": {"upper": "questions"},
    "sourced floors": {"lower": "sourced"},
    "slopes by lineage": {"slopes": "pooled"},
    "slopes of tuned models": {"slopes": "tuned"},
    "fan": {"slopes": "fan"},
    "fan and slopes of tuned models": {"slopes": "fan-tuned"},
    "progress": {"progress": "date"},
    "tuning by benchmark": {"tuning": "benchmarks"},
    "model effects": {"model_effect": "pooled"},
    "two skills": {"n_skills": 2},
    "four skills": {"n_skills": 4},
}
WALK = "walk of compute, ceilings by questions"
FAR = "walk of compute, progress, slopes of tuned models"  # models/far, of a table without kinds
LAWS = (  # each the parts that it has beside today's law
    "today",
    f"{WALK}, progress, tuning by benchmark",
    f"{WALK}, progress, slopes of tuned models, tuning by benchmark",
    f"{WALK}, fan and slopes of tuned models, progress, tuning by benchmark",
    f"{WALK}, fan, progress, tuning by benchmark",
    "progress, slopes of tuned models, tuning by benchmark",
    f"{WALK}, tuning by benchmark",
    f"{WALK}, progress, slopes of tuned models",
    f"{WALK}, progress, slopes of tuned models, tuning by benchmark, four skills",
    "walk of compute, sourced ceilings",
    FAR,
    f"{FAR}, two skills",
    f"{FAR}, four skills",
    f"{WALK}, progress, tuning by benchmark, sourced floors",  # models/open, by the fifth rule
)
LINEAGES = "lineages"
GROUPS = 10
LEAST_MODELS = 10  # before the month, for a benchmark to be scored
APART = {"chains": 4, "lanes": 0, "starts": 4, "thin": 2}
FIT = APART | {"warmup": 400, "draws": 400, "steps": 2000}
FIT_LINEAGES = {"chains": 8, "warmup": 200, "draws": 250, "steps": 1000}


def rehearsal(data: sb.Leaderboard, month: str) -> tuple[sb.Leaderboard, sb.Fold]:
    """The table and what is hidden of it, before a month."""
    start, released = pd.Period(month, freq="M"), data.releases
    before = data.frame[data.frame["family"].map(released) < start]
    scored = [b for b in data.benchmark_names if before[b].notna().sum() >= LEAST_MODELS]
    table = data.select(benchmarks=scored)
    (fold,) = protocols.time_split(table, month, n_observed=1)
    return table, fold


def in_groups(data: sb.Leaderboard) -> tuple[sb.Fold, ...]:
    """The lineages of a table left out in ten random groups."""
    lineages = np.random.default_rng(22).permutation(sorted(set(data.frame["lineage"])))
    group = {str(name): f"group {k % GROUPS}" for k, name in enumerate(lineages)}
    lineage_of = dict(zip(data.frame["family"], data.frame["lineage"]))
    of_family = {family: group[lineage] for family, lineage in lineage_of.items()}
    return protocols.leave_group_out(data, of_family, setting=LINEAGES)


def joint() -> sb.Leaderboard:
    """The joint table, of the families whose months are known."""
    data = sb.load_dataset("open_models")
    months = data.frame["family"].map(data.releases)
    return dated(
        sb.Leaderboard.from_frame(data.frame.assign(released=months), data.benchmarks, data.name)
    )


def dated(data: sb.Leaderboard) -> sb.Leaderboard:
    """The rows of a table whose families have a release month."""
    known = data.releases.dropna().index
    return data.select(families=[f for f in data.families if f in known])


def law(name: str) -> sb.Sloth:
    """A law by its parts, as ``LAWS`` names them."""
    spec = sb.Sloth.from_toml(recipes.load("open").spec.to_toml())
    # what models/open was when this began
    spec = spec.replace(walk="none", upper="estimated", slopes="shared", progress="none")
    spec = spec.replace(tuning="skills", lower="estimated")
    for part in name.split(", "):
        if part not in PARTS:
            raise SystemExit(f"{part!r} is no part of a law here; they are {', '.join(PARTS)}")
        spec = spec.replace(**PARTS[part])
    return spec


def distances(frame: pd.DataFrame) -> pd.DataFrame:
    """Coverage, error and width by distance, of all rehearsals together."""
    return sb.Evaluation(frame, frame.iloc[:0], {}).by("doublings")


def compared(found: dict[str, sb.Evaluation]) -> pd.DataFrame:
    """The figures of all laws, with coverage by distance."""
    if len(found) == 1:
        return next(iter(found.values())).summary().iloc[-1:]
    by = pd.DataFrame({name: distances(one.frame)["cover_90"] for name, one in found.items()}).T
    return sb.compare_laws(found).join(by.add_prefix("cover "))


def beside_the_first(found: dict[str, sb.Evaluation]) -> pd.DataFrame:
    """A row a rehearsal and law, and all rehearsals together, each counting once.

    After a figure are its difference to that of the first law, and the standard error of that over
    families. Coverage is over scores, whatever their rehearsal.
    """
    by = [*KEY, "model", "benchmark"]
    frames = {name: e.frame.sort_values(by, ignore_index=True) for name, e in found.items()}
    first, rows = next(iter(frames.values())), []
    size = first.groupby(KEY)["model"].transform("size")
    split = first["fold"].where(first["setting"] != LINEAGES, LINEAGES)
    parts = {**first.groupby(split).groups, "all": first.index}
    for (part, at), (name, frame) in itertools.product(parts.items(), frames.items()):
        own, weight = frame.loc[at], (1 / size[at] / (1 / size[at]).sum()).to_numpy()
        cluster = np.unique(own["family"].to_numpy(str), return_inverse=True)[1]
        row: dict[str, Any] = {"part": part, "law": name, "n": len(at), "r_hat": own["r_hat"].max()}
        row["covered_90"] = 100 * own["covered_90"].mean()
        for column, unit in {"log_score": 1, "crps": 100, "error": 100}.items():
            values = unit * own[column].to_numpy(float)
            less = values - unit * first.loc[at, column].to_numpy(float)
            each = np.bincount(cluster, weight * (less - weight @ less))
            n = len(each)
            row |= {column: weight @ values, f"+{column}": weight @ less}
            row[f"se {column}"] = np.sqrt((each**2).sum() * n / (n - 1)) if n > 1 else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    """Fit every law to every rehearsal, and print a row each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the folds")
    parser.add_argument("--laws", nargs="*", default=list(LAWS), help="each its parts")
    parser.add_argument("--months", nargs="*", choices=[*MONTHS, LINEAGES], default=list(MONTHS))
    parser.add_argument("--without", nargs="*", default=[], help="lineages that are not told of")
    options = parser.parse_args()
    splits: dict[str, tuple[sb.Leaderboard, tuple[sb.Fold, ...], dict[str, int]]] = {}
    data = joint()
    for month in options.months:
        if month == LINEAGES:
            board = sb.load_dataset("open_llm_leaderboard")
            splits[month] = board, in_groups(board), FIT_LINEAGES
        else:
            table, fold = rehearsal(data, month)
            splits[month] = table, (fold,), FIT
    found: dict[str, sb.Evaluation] = {}
    for name in options.laws:
        folder = options.out / name.replace(", ", "-").replace(" ", "-")
        parts = [
            sb.cross_validate(
                law(name), table, folds, method="nuts", label=name,
                out=folder / month, **fit,
            )
            for month, (table, folds, fit) in splits.items()
        ]  # fmt: skip
        lineage_of = dict(zip(data.frame["family"], data.frame["lineage"]))
        cells, means = (
            pd.concat([part[~part["family"].map(lineage_of).isin(options.without)] for part in of])
            for of in ([p.frame for p in parts], [p.means for p in parts])
        )
        found[name] = sb.Evaluation(cells, means, parts[0].about)
        table = compared(found)
        r_hat = cells.groupby("fold")["r_hat"].max().round(3).to_dict()
        print(f"\n{name}: {sum(p.about['seconds'] for p in parts):.0f} s; R-hat {r_hat}")
        print(table.round(3).to_string(), flush=True)
        print(distances(found[name].frame).round(2).to_string(), flush=True)
        table.to_csv(options.out / "laws.csv", float_format="%.4f")
    if LINEAGES in splits:
        untested = set(protocols.never_tested(splits[LINEAGES][0]))
        apart = {
            name: sb.Evaluation(*(f[f["family"].isin(untested)] for f in (e.frame, e.means)), {})
            for name, e in found.items()
        }
        print("\nfamilies that no published fold tests:")
        print(compared(apart).round(3).to_string())
    if len(found) > 1:
        print(f"\nbeside {options.laws[0]}:")
        print(beside_the_first(found).round(3).to_string(index=False))
        stacked = sb.stack(found)
        gain = f"{stacked.gain:+.3f} nats a score (standard error {stacked.se:.3f})"
        print(f"\nstacked by distance, against {stacked.best}: {gain}; weights at doublings:")
        print(stacked.weights([0, 1, 2, 4, 8]).round(2).to_string())


if __name__ == "__main__":
    main()
