"""A forecast as one HTML file, for readers without Python.

The file needs no network: its style and figures are inside. It prints, and it can be read on a
phone. Beside the forecasts it says whether the fit has converged and what was assumed.
"""

from __future__ import annotations

import base64
import html
import io
import warnings
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import pandas as pd

from ..plots import scores
from ..predict.forecast import Forecast, forecast
from ..support.files import new_file, user_path
from .assumptions import assumptions, conditioned, fitted, own_models
from .layout import refit

FIGURES_MOST = 6  # families drawn; the tables have all
_WORST = 5


def write(fc: Forecast, out: str | Path) -> Path:
    """Write the report of a forecast.

    Parameters
    ----------
    fc
        The forecast.
    out
        File to write; one that is there is replaced once the new one is complete.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    FileFormatError
        If it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import sloth_bayes as sb
    >>> fc = sb.load("leaderboard").forecast(sb.candidates("qwen2", 60, 7))
    >>> sb.report.write(fc, tempfile.mkdtemp() + "/qwen2.html").name
    'qwen2.html'
    """
    out = user_path(out)
    text = page(fc)
    with new_file(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return out


def page(fc: Forecast) -> str:
    """The report of a forecast, as HTML.

    Parameters
    ----------
    fc
        The forecast.

    Returns
    -------
    str
        One document; the same forecast and seed give the same text.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> fc = sb.load("leaderboard").forecast(sb.candidates("qwen2", 200, 7), benchmarks="MMLU")
    >>> "<title>Forecast of qwen2-200B-7T</title>" in sb.report.page(fc)
    True
    """
    fc.posterior.needs_sizes("a report of sizes and tokens")
    models = [str(m) for m in fc.candidates["model"]]
    title = f"Forecast of {models[0]}" + (f" and {len(models) - 1} more" if models[1:] else "")
    parts = [
        _lead(fc),
        _verdict(fc),
        *([_warnings(fc)] if fc.warnings else []),
        *_observed(fc),
        "<h2>Forecast scores</h2>",
        *_tables(fc),
        "<h2>Scores against size</h2>",
        *_figures(fc),
        "<h2>What was assumed</h2>",
        _assumptions(fc),
        "<h2>Diagnostics</h2>",
        _diagnostics(fc),
    ]
    template = resources.files(__package__).joinpath("report.html").read_text(encoding="utf-8")
    return Template(template).substitute(title=_text(title), body="\n".join(parts))


def _text(value: Any) -> str:
    return html.escape(str(value))


def _cells(*values: str) -> str:
    return "".join(f"<td>{value}</td>" for value in values)


def _table(head: Iterable[str], rows: Iterable[str], kind: str = "scroll") -> str:
    """A table of rows of cells, which scrolls where it is wider than the screen."""
    lines = ["".join(f"<th>{name}</th>" for name in head), *rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="{kind}"><table>{body}</table></div>'


def _breakable(name: str) -> str:
    """A quantity's name that a narrow screen may break between its parts."""
    return _text(name).replace("_", "_<wbr>").replace("[", "<wbr>[")


def _mass(fc: Forecast) -> str:
    return f"{100 * fc.prob:g}%"


def _lead(fc: Forecast) -> str:
    post = fc.posterior
    return (
        f'<p class="soft">Scores in percent, as one evaluation would report them: medians and '
        f"{_mass(fc)} intervals from {post.n_draws:,} posterior draws ({_text(post.method.upper())}"
        f", fitted on {fitted(post)} models of {_text(post.attrs['data'])}).</p>"
    )


def _observed(fc: Forecast) -> list[str]:
    """The scores that were conditioned on, a table a model."""
    observed = fc.posterior.tree["observed_data"].to_dataset().to_dataframe()
    out = ["<h2>Observed scores</h2>"] if (own := own_models(fc.posterior)) else []
    for model in own:
        part = observed[observed["obs_model"] == model]
        rows = [
            _cells(_text(benchmark), f"{100 * score:.1f}")
            for benchmark, score in zip(part["obs_benchmark"], part["score"])
        ]
        table = _table(["benchmark", "score"], rows, "scroll narrow")
        out.append(f"<h3>{_text(model)}</h3>{table}")
    return out


def _verdict(fc: Forecast) -> str:
    found = fc.posterior.diagnostics()
    shown = 1 + len(conditioned(fc.posterior))  # how each conditioning went, first
    text = " ".join(found.messages[:shown])
    return f'<p class="{"good" if found.ok else "bad"}">{_text(text)}</p>'


def _warnings(fc: Forecast) -> str:
    items = "".join(f"<li>{_text(note)}</li>" for note in fc.warnings)
    return f'<div class="bad"><strong>Keep in mind</strong><ul>{items}</ul></div>'


def _tables(fc: Forecast) -> list[str]:
    out = []
    frame, each = fc.frame, len(fc.benchmarks)
    for i, who in enumerate(fc.candidates.to_dict("records")):
        new = "" if who["family"] in fc.posterior.families else ", a family nobody has seen"
        kind = "tuned" if who["instruct"] else "base"
        out.append(
            f"<h3>{_text(who['model'])}</h3><p class='soft'>{_text(who['family'])}{new}; "
            f"{who['params_b']:g}B parameters, {who['tokens_t']:g}T tokens, {kind}</p>"
        )
        rows = frame.iloc[i * each : (i + 1) * each].to_dict("records")
        head = ["benchmark", "median", f"{_mass(fc)} interval", ""]
        out.append(_table(head, map(_row, rows)))
    return out


def _row(row: dict[Any, Any]) -> str:
    low, middle, high = (100 * row[c] for c in ("lower", "median", "upper"))
    bar = (
        f'<div class="track"><i style="left:{low:.1f}%;width:{high - low:.1f}%"></i>'
        f'<b style="left:{middle:.1f}%"></b></div>'
    )
    numbers = _cells(_text(row["benchmark"]), f"{middle:.1f}", f"{low:.1f} to {high:.1f}")
    return f'{numbers}<td class="bar">{bar}</td>'


def _figures(fc: Forecast) -> list[str]:
    """A figure a family: wide for a page, narrow for a phone."""
    groups = list(fc.candidates.groupby("family", sort=False))
    out = []
    for family, rows in groups[:FIGURES_MOST]:
        one = _part(fc, rows)
        wide, narrow = (_png(one, ncols) for ncols in (None, 2))
        what = f"Forecast scores of {family} against size, with intervals"
        out.append(
            f'<picture><source media="(max-width: 40rem)" srcset="{narrow}">'
            f'<img src="{wide}" alt="{_text(what)}"></picture>'
        )
    if (more := len(groups) - FIGURES_MOST) > 0:
        out.append(f'<p class="soft">{more} more families are in the tables only.</p>')
    return out


def _part(fc: Forecast, rows: pd.DataFrame) -> Forecast:
    """The forecast of some of the candidates; its warnings have been given."""
    options: dict[str, Any] = {"prob": fc.prob, "seed": fc.seed, "benchmarks": fc.benchmarks}
    with warnings.catch_warnings(action="ignore"):
        return forecast(fc.posterior, rows, new_family=True, **options)


def _png(fc: Forecast, ncols: int | None) -> str:
    import matplotlib.pyplot as plt

    from ..plots.panels import as_written

    columns = None if ncols is None else min(ncols, len(fc.benchmarks))
    axes = scores.forecast(fc, ncols=columns)
    figure = axes[0].figure
    if ncols is not None:  # a phone: what is drawn smaller is read at a larger size
        figure = refit(axes, False, 1.45, extra=0.8, ncols=columns)
    as_written(figure)
    with io.BytesIO() as file:
        figure.savefig(file, format="png", dpi=200 if ncols else 130, metadata={"Software": None})
        plt.close(figure)
        return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _assumptions(fc: Forecast) -> str:
    items = assumptions(fc.posterior, fc.seed)
    listed = "".join(f"<dt>{_text(k)}</dt><dd>{_text(v)}</dd>" for k, v in items.items())
    spec = _text(fc.posterior.spec.to_toml().strip())
    return f"<dl>{listed}</dl><h3>Specification</h3><pre>{spec}</pre>"


def _diagnostics(fc: Forecast) -> str:
    found = fc.posterior.diagnostics()
    messages = "".join(f"<p>{_text(m)}</p>" for m in found.messages)
    if found.table.empty:
        return messages
    worst = found.table.head(_WORST)
    rows = [
        _cells(_breakable(name), f"{r_hat:.3f}", f"{bulk:.0f}", f"{tail:.0f}", f"{mcse:.2g}")
        for name, r_hat, bulk, tail, mcse in worst.itertuples(index=False)
    ]
    return (
        f"{messages}<p class='soft'>The {len(worst)} worst of "
        f"{len(found.table):,} quantities:</p>" + _table(map(_text, found.table.columns), rows)
    )
