"""The pages of the public API: all of it on one, from first lines of docstrings; and by group.

    python -m tools.api_page

Writes ``docs/api.md``, and into ``docs/reference/`` a page a group, which the site fills with the
docstrings in full. A test fails when a page is not what this command would write, or when a public
name has no group here.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import sloth_bayes as sb

DOCS = Path(__file__).parents[1] / "docs"
GROUPS = {
    "Data": [
        "load_dataset", "datasets", "Leaderboard", "Benchmark", "load_subscores",
        "load_corrections", "read_observed", "Observed", "known_tasks", "Surprises",
    ],
    "Specification and fit": ["Sloth", "Priors", "Posterior", "load", "Diagnostics"],
    "Forecast": ["candidates", "Forecast", "track", "Tracking", "load_curves"],
    "Decisions": [
        "RequiredSize", "Saturation", "Allocation", "Comparison", "NextEvaluation", "Completion",
    ],
    "Skills": ["Skills", "how_many_skills", "SkillCount"],
    "New tasks, and many samples": [
        "Downstream", "load_downstream", "PassAtK", "load_samples", "unbiased_pass_at_k",
    ],
    "Ratings by judges": [
        "SkillRatings", "RatingsPosterior", "RatingsSaturation", "load_ratings",
        "load_ratings_posterior", "load_claims", "load_distilled", "read_reviews", "Reviews",
    ],
    "Evaluation": [
        "cross_validate", "Evaluation", "load_evaluation", "Fold", "compare_laws", "stack", "Stack",
        "evaluation", "baselines", "protocols",
    ],
    "Figures": ["plots", "figures", "report", "explorer"],
    "Bug reports": ["show_versions"],
    "Errors and warnings": [
        "SlothBayesError", "DataError", "UnknownNameError", "SpecError", "FileFormatError",
        "WorkerError", "DataWarning", "ConvergenceWarning", "ExtrapolationWarning",
    ],
}  # fmt: skip
# Classes without members here are tuples or frozen records, whose help lists their attributes.
METHODS = (
    "Leaderboard", "Sloth", "Posterior", "Diagnostics", "Forecast", "Tracking", "Skills",
    "Downstream", "PassAtK", "SkillRatings", "RatingsPosterior", "Evaluation", "Fold",
    "Stack",
)  # fmt: skip
FUNCTIONS = {
    "protocols": ("named", "published", "leave_group_out", "time_split", "never_tested"),
    "baselines": ("names", "evaluate", "fit_law", "low_rank"),
    "evaluation": ("paired", "published_errors"),
    "plots": (
        "forecast", "calibration", "loadings", "loadings_forest", "level_curves", "base_and_tuned",
        "skills_and_compute", "skill_correlations", "priors", "predictive_check", "laws",
    ),
    "figures": ("names", "figure", "make", "contact_sheet"),
    "report": ("write", "page"),
    "explorer": ("write", "page"),
}  # fmt: skip

# Not public, but where public docstrings send those who want to know more.
BEHIND = (
    "infer.fit.fit", "ratings.fit.fit", "evaluate.fold.forecast_hidden", "skills.rotation.rotate",
    "plots.passk.pass_at_k", "plots.downstream.downstream", "plots.tracking.tracking",
)  # fmt: skip


def first_line(thing: object) -> str:
    """The first sentence of a docstring, without the markup of Sphinx."""
    text = (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ")
    for role in (":class:", ":func:", ":meth:", ":mod:", ":data:", ":attr:"):
        text = text.replace(role, "")
    return (
        text.replace("``", "`").replace("`~sloth_bayes.", "`sb.").replace("`sloth_bayes.", "`sb.")
    )


def methods(kind: type) -> list[tuple[str, str]]:
    """Methods and properties that are promised to users, in the order of the source.

    Inherited ones come last; those whose docstring says that they are for the layers above
    are left out.
    """
    found = []
    members: dict[str, object] = {}
    for base in kind.__mro__:
        if base.__module__.startswith("sloth_bayes"):
            members |= {k: v for k, v in vars(base).items() if k not in members}
    for name, member in members.items():
        if name.startswith("_") or "For the layers above" in " ".join(
            (inspect.getdoc(member) or "").split()
        ):
            continue
        if isinstance(member, classmethod | staticmethod):
            member = member.__func__
        if inspect.isfunction(member) or hasattr(member, "func") or isinstance(member, property):
            call = "()" if inspect.isfunction(member) else ""
            found.append((name + call, first_line(member)))
    return found


def members(name: str) -> list[tuple[str, str]]:
    """What stands below a public name: methods of a class, functions of a module."""
    of = getattr(sb, name)
    if name in METHODS:
        return methods(of)
    return [(f"{n}()", first_line(getattr(of, n))) for n in FUNCTIONS.get(name, ())]


def overview() -> str:
    """The whole API on one page."""
    lines = [
        "# The public API on one page",
        "",
        "Written by `python -m tools.api_page` from the docstrings; `help(sb.NAME)` has units, "
        "errors, sources and examples; a method that says see `sb.MODULE.FUNCTION` has them there. "
        "Everything is reached as `sb.NAME` after `import sloth_bayes as sb`.",
    ]
    for group, names in GROUPS.items():
        lines += ["", f"## {group}", "", "| name | what it is |", "|---|---|"]
        lines += [f"| `{n}` | {first_line(getattr(sb, n))} |" for n in names]
        for name in names:
            if rows := members(name):
                lines += ["", f"### {name}", "", "| member | what it is |", "|---|---|"]
                lines += [f"| `.{n}` | {text} |" for n, text in rows]
    return "\n".join(lines) + "\n"


def reference(group: str) -> str:
    """The page of a group: what to document, in Sphinx's language."""
    lines = [f"# {group}", "", "```{eval-rst}"]
    for name in GROUPS[group]:
        of, path = getattr(sb, name), f"sloth_bayes.{name}"
        below = [n.removesuffix("()") for n, _ in members(name)]
        if inspect.ismodule(of):
            lines += [f".. automodule:: {path}", ""]
            lines += [line for n in below for line in (f".. autofunction:: {path}.{n}", "")]
            continue
        kind = "class" if inspect.isclass(of) else "function"
        kind = "exception" if kind == "class" and issubclass(of, Exception) else kind
        lines += [f".. auto{kind}:: {path}"]
        lines += [f"   :members: {', '.join(below)}"] if below else []
        lines += [""]
    return "\n".join([*lines[:-1], "```", ""])


def behind() -> str:
    """The page of what is not public, but referred to."""
    lines = [f".. autofunction:: sloth_bayes.{name}" for name in BEHIND]
    text = "Public docstrings refer to these functions; they are not public themselves."
    return "\n".join(["# Behind them", "", text, "", "```{eval-rst}", *lines, "```", ""])


def pages() -> dict[Path, str]:
    """Every page, by its path."""
    slugs = {group: group.lower().replace(",", "").replace(" ", "-") for group in GROUPS}
    by_group = {DOCS / "reference" / f"{slugs[g]}.md": reference(g) for g in GROUPS}
    rest = {DOCS / "api.md": overview(), DOCS / "reference" / "behind.md": behind()}
    return rest | by_group


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
