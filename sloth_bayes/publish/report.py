"""A forecast as one HTML file, for readers without Python.

The file needs no network: its style and figures are inside. It prints, and it can be read on a
phone. Beside the forecasts it says whether the fit has converged and what was assumed.
"""

from __future__ import annotations

import base64
import html
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..api import Sloth
from ..evaluate.evaluation import load_evaluation
from ..plots import scores
from ..predict.forecast import forecast
from ..support.files import new_file
from .sources import refit

if TYPE_CHECKING:
    from ..predict.forecast import Forecast

FIGURES_MOST = 6  # families drawn; the tables have all
_WORST = 5
_CSS = """
:root { color-scheme: light; --ink: #222; --soft: #595959; --line: #dcdcdc; --blue: #0072B2; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
  color: var(--ink); background: #fff; margin: 0 auto; max-width: 60rem; padding: 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .5rem 0; }
h2 { font-size: 1.2rem; border-bottom: 1px solid var(--line); margin: 2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; overflow-wrap: anywhere; }
p.soft, .soft { color: var(--soft); }
.scroll { overflow-x: auto; } .narrow { max-width: 20rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .5rem; text-align: right; border-bottom: 1px solid #eee;
  vertical-align: middle; }
th { font-weight: 600; color: var(--soft); }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; }
td.bar { width: 40%; min-width: 7rem; }
.track { position: relative; height: .8rem; background: #f0f0f0; border-radius: .2rem; }
.track i { position: absolute; top: 0; bottom: 0; background: #9cc7e3; border-radius: .2rem; }
.track b { position: absolute; top: -.1rem; bottom: -.1rem; width: 3px; margin-left: -1.5px;
  background: var(--blue); }
.good, .bad { border-left: .3rem solid #009E73; background: #eef8f4; padding: .6rem .8rem;
  overflow-wrap: anywhere; }
.bad { border-color: #D55E00; background: #fdf2ea; }
img { max-width: 100%; height: auto; display: block; margin: .6rem auto; }
pre { background: #f6f6f6; padding: .6rem; overflow-x: auto; font-size: .85rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  body { padding: .7rem; } h1 { font-size: 1.3rem; }
  dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; }
  td.bar { width: 22%; min-width: 4rem; }
  th:first-child, td:first-child { overflow-wrap: normal; }
  th, td { padding: .25rem .3rem; font-size: .9rem; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  h2, h3, p.soft { break-after: avoid; } table, img, .good, .bad { break-inside: avoid; }
  .track, .track i, .track b, .good, .bad { -webkit-print-color-adjust: exact;
    print-color-adjust: exact; }
  pre { white-space: pre-wrap; } .scroll { overflow: visible; }
}
"""


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
    out = Path(out)
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
    models = [str(m) for m in fc.candidates["model"]]
    title = f"Forecast of {models[0]}" + (f" and {len(models) - 1} more" if models[1:] else "")
    parts = [
        f"<h1>{_text(title)}</h1>",
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
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _text(value: Any) -> str:
    return html.escape(str(value))


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
        f", fitted on {_fitted(fc)} models of {_text(post.attrs['data'])}).</p>"
    )


def _own(fc: Forecast) -> list[str]:
    """Models whose scores were conditioned on after the fit."""
    return [str(m) for note in fc.posterior.attrs.get("conditioned", []) for m in note["models"]]


def _fitted(fc: Forecast) -> int:
    return len(fc.posterior.models) - len(_own(fc))


def _counts(fc: Forecast) -> str:
    """Models, families and scores that were fitted, and those observed since."""
    post, own = fc.posterior, _own(fc)
    constant = post.constant_data
    families = set(constant["family_of_model"].values[~np.isin(post.models, own)].tolist())
    later = sum(note["scores"] for note in post.attrs.get("conditioned", []))
    text = (
        f"{_fitted(fc)} models, {len(families)} families, {post.attrs['n_scores'] - later} scores"
    )
    return text + (
        f"; then {later} score{'s' * (later != 1)} of {', '.join(own)}, without a refit"
        if own
        else ""
    )


def _observed(fc: Forecast) -> list[str]:
    """The scores that were conditioned on, a table a model."""
    data = fc.posterior.tree["observed_data"].to_dataset()
    who, what = (data[f"obs_{x}"].values.astype(str) for x in ("model", "benchmark"))
    out = ["<h2>Observed scores</h2>"] if (own := _own(fc)) else []
    for model in own:
        rows = "".join(
            f"<tr><td>{_text(what[i])}</td><td>{100 * data['score'].values[i]:.1f}</td></tr>"
            for i in (who == model).nonzero()[0]
        )
        out.append(
            f'<h3>{_text(model)}</h3><div class="scroll narrow"><table><tr><th>benchmark</th>'
            f"<th>score</th></tr>{rows}</table></div>"
        )
    return out


def _verdict(fc: Forecast) -> str:
    found = fc.posterior.diagnostics()
    shown = 1 + len(fc.posterior.attrs.get("conditioned", []))  # how each conditioning went, first
    text = " ".join(found.messages[:shown])
    return f'<p class="{"good" if found.ok else "bad"}">{_text(text)}</p>'


def _warnings(fc: Forecast) -> str:
    items = "".join(f"<li>{_text(note)}</li>" for note in fc.warnings)
    return f'<div class="bad"><strong>Keep in mind</strong><ul>{items}</ul></div>'


def _tables(fc: Forecast) -> list[str]:
    out = []
    for who, rows in zip(fc.candidates.to_dict("records"), _by_model(fc)):
        post = fc.posterior
        new = "" if who["family"] in post.families else ", a family nobody has seen"
        kind = "tuned" if who["instruct"] else "base"
        out.append(
            f"<h3>{_text(who['model'])}</h3><p class='soft'>{_text(who['family'])}{new}; "
            f"{who['params_b']:g}B parameters, {who['tokens_t']:g}T tokens, {kind}</p>"
        )
        head = f"<tr><th>benchmark</th><th>median</th><th>{_mass(fc)} interval</th><th></th></tr>"
        body = "".join(_row(r) for r in rows.to_dict("records"))
        out.append(f'<div class="scroll"><table>{head}{body}</table></div>')
    return out


def _by_model(fc: Forecast) -> list[pd.DataFrame]:
    frame, each = fc.frame, len(fc.benchmarks)
    return [frame.iloc[i : i + each] for i in range(0, len(frame), each)]


def _row(row: dict[Any, Any]) -> str:
    low, middle, high = (100 * row[c] for c in ("lower", "median", "upper"))
    bar = (
        f'<div class="track"><i style="left:{low:.1f}%;width:{high - low:.1f}%"></i>'
        f'<b style="left:{middle:.1f}%"></b></div>'
    )
    return (
        f"<tr><td>{_text(row['benchmark'])}</td><td>{middle:.1f}</td>"
        f'<td>{low:.1f} to {high:.1f}</td><td class="bar">{bar}</td></tr>'
    )


def _figures(fc: Forecast) -> list[str]:
    """A figure a family: wide for a page, narrow for a phone."""
    families = list(dict.fromkeys(fc.candidates["family"]))
    out = []
    for family in families[:FIGURES_MOST]:
        rows = fc.candidates[fc.candidates["family"] == family]
        one = _part(fc, rows)
        wide, narrow = (_png(one, ncols) for ncols in (None, 2))
        what = f"Forecast scores of {family} against size, with intervals"
        out.append(
            f'<picture><source media="(max-width: 40rem)" srcset="{narrow}">'
            f'<img src="{wide}" alt="{_text(what)}"></picture>'
        )
    if len(families) > FIGURES_MOST:
        out.append(
            f'<p class="soft">{len(families) - FIGURES_MOST} more families are in the tables '
            "only.</p>"
        )
    return out


def _part(fc: Forecast, rows: pd.DataFrame) -> Forecast:
    """The forecast of some of the candidates; its warnings have been given."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return forecast(
            fc.posterior,
            rows,
            prob=fc.prob,
            seed=fc.seed,
            new_family=True,
            benchmarks=fc.benchmarks,
        )


def _png(fc: Forecast, ncols: int | None) -> str:
    import matplotlib.pyplot as plt

    columns = None if ncols is None else min(ncols, len(fc.benchmarks))
    axes = scores.forecast(fc, ncols=columns)
    figure = axes[0].figure
    if ncols is not None:  # a phone: what is drawn smaller is read at a larger size
        figure = refit(axes, False, columns or 1, 1.45, extra=0.8)
    with io.BytesIO() as file:
        figure.savefig(file, format="png", dpi=200 if ncols else 130, metadata={"Software": None})
        plt.close(figure)
        return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _assumptions(fc: Forecast) -> str:
    post = fc.posterior
    about = post.attrs
    left_out = list(about.get("left_out", []))
    sizes, tokens = post.extent("params_b"), post.extent("tokens_t")
    items = {
        "data": f"{about['data']} (fingerprint {about['data_fingerprint']}): " + _counts(fc),
        "range of the data": f"{sizes[0]:g} to {sizes[1]:g}B parameters, {tokens[0]:g} to "
        f"{tokens[1]:g}T tokens",
        "left out (size or tokens unknown)": ", ".join(map(str, left_out)) or "none",
        "held fixed": "size, tokens and family of each candidate; that it is trained as the "
        "models of the table were, and evaluated with the leaderboard's shots and metric",
        "random": "every parameter of the law; the effects of a family nobody has seen; the noise "
        "of one evaluation",
        "seeds": f"{about['seed']} (fit), {fc.seed} (forecast)",
        "versions": ", ".join(f"{k} {v}" for k, v in dict(about["versions"]).items()),
    }
    if (tested := _tested(fc)) is not None:
        items["tested"] = tested
    listed = "".join(f"<dt>{_text(k)}</dt><dd>{_text(v)}</dd>" for k, v in items.items())
    return f"<dl>{listed}</dl><h3>Specification</h3><pre>{_text(post.spec.to_toml().strip())}</pre>"


def _tested(fc: Forecast) -> str | None:
    """What forecasts of this specification were worth, where that has been evaluated."""
    found = load_evaluation("leaderboard", "strict")
    if Sloth.from_toml(found.about["spec"]) != fc.posterior.spec:
        return None
    last = found.summary().iloc[-1]
    return (
        f"this specification, fitted without a family's larger models, missed them by "
        f"{last['mae']:.1f} points in the mean; its 90% intervals held "
        f"{100 * last['cover_90']:.0f}% of {int(last['cells']):,} scores"
    )


def _diagnostics(fc: Forecast) -> str:
    found = fc.posterior.diagnostics()
    messages = "".join(f"<p>{_text(m)}</p>" for m in found.messages)
    if found.table.empty:
        return messages
    head = "".join(f"<th>{_text(c)}</th>" for c in found.table.columns)
    body = "".join(
        "<tr>"
        + f"<td>{_breakable(r[0])}</td><td>{r[1]:.3f}</td><td>{r[2]:.0f}</td><td>{r[3]:.0f}</td>"
        + f"<td>{r[4]:.2g}</td></tr>"
        for r in found.table.head(_WORST).itertuples(index=False)
    )
    return (
        f"{messages}<p class='soft'>The {min(_WORST, len(found.table))} worst of "
        f"{len(found.table):,} quantities:</p>"
        f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'
    )
