"""The comparison as one HTML file, pictures and all."""

from __future__ import annotations

import base64
import json
from importlib import resources
from pathlib import Path

from jinja2 import Environment

from hf_oversample.comparison.decision import decide, rests_on
from hf_oversample.comparison.figures import classifier_panels, figure_png
from hf_oversample.comparison.findings import (
    SHOWN,
    TITLES,
    Finding,
    findings,
    made_texts_rows,
    mean_and_sd,
    points,
    signed_points,
)
from hf_oversample.comparison.given_rows import NEAR_COSINE
from hf_oversample.comparison.given_rows_report import given_rows_table
from hf_oversample.comparison.made_texts import SAMPLE
from hf_oversample.comparison.protocol import Comparison
from hf_oversample.comparison.wording import classifier_lines, overall_lines
from hf_oversample.metrics.screening import LEVEL

_PIXELS_AN_INCH = 96
_SHARPNESS = 2  # pixels of a picture for each of the page's, for dense screens

# The policy makes a browser refuse whatever is not in the file itself.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{{ name }}: does it help?</title>
<style>
{{ style | safe }}</style>
</head>
<body>
<main>
<h1>{{ name }}: does it help?</h1>
<p class="quiet">{{ facts }}</p>
<section id="verdict">
<h2>Verdict</h2>
{% for line in overall %}<p class="answer">{{ line }}</p>
{% endfor %}{% for title, lines, python in verdict %}<h3>{{ title }}</h3>
<p class="answer">{{ lines[0] }}</p>
{% if python %}<details{% if loop.first %} open{% endif %}><summary>In Python</summary>
<pre class="python">{{ python }}</pre></details>
{% endif %}{% if lines[1:] %}<ul>{% for line in lines[1:] %}<li>{{ line }}</li>{% endfor %}</ul>
{% endif %}{% endfor %}<ul class="quiet">
{% for line in notes %}<li>{{ line }}</li>
{% endfor %}</ul>
</section>
{% for part in parts %}<section>
<h2>{{ part.title }}</h2>
<div class="panels">
{% for panel in part.panels %}<img alt="{{ panel.alt }}" width="{{ panel.width }}"
  height="{{ panel.height }}" src="data:image/png;base64,{{ panel.png }}">
{% endfor %}</div>
<p class="quiet">Percent, mean ± standard deviation over the {{ runs }}, best first by {{ metric }}.
“better than none by” is the mean difference on the same rows, in points, ± half of its 95 %
interval; p is after correction. Tuned F1 is F1 at the threshold
that validation rows chose, for every remedy alike; the other F1s are at the usual one. A minority
row is outvoted where another class has as many votes among its nearest test rows as its own or
more, each class's votes over its size: by the embeddings for F1, by what the classifier reads for
the share. ECE is the expected calibration error of its probabilities.{% if aside %} {{ aside }}
{% endif %}</p>
<div class="scroll" role="region" aria-label="Table: {{ part.title }}" tabindex="0"><table>
<thead><tr><th scope="col">remedy</th><th scope="col">{{ part.columns[0] }}</th>
<th scope="col">better than none by</th><th scope="col">p</th><th scope="col">in {{ metric }}</th>
<th scope="col">seconds</th>
{% for column in part.columns[1:] %}<th scope="col">{{ column }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in part.rows %}<tr class="{{ row.verdict }}"><td>{{ row.name }}</td>
{{ number(row.shares[0]) }}{{ number(row.difference) }}<td>{{ row.p }}</td>
<td class="{{ row.verdict }}">{{ row.verdict }}</td><td>{{ row.seconds }}</td>
{% for share in row.shares[1:] %}{{ number(share) }}{% endfor %}</tr>
{% endfor %}</tbody>
</table></div>
</section>
{% endfor %}{% if texts %}<section>
<h2>Texts that were made</h2>
<p class="quiet">Percent, of a sample of {{ sample }} in each of the {{ runs }}, or in as
many as stand behind a name. Near copies share
four of five words with a training text. Distinct-n: different runs of n words; self-BLEU: how much
one text resembles the others. Unknown words: texts with a word that no training text has. “Told
from real ones”: area under the ROC curve of a classifier of words, characters, lengths,
punctuation and case that tells them from the real training texts of their class: 50 is chance,
above {{ level }} is warned of. “Of their class”: placed with the class that they were made for by
logistic regression on the embeddings of the real training texts, beside the same of the real
validation texts, which chose its penalty. It has seen the texts that they were made of, and the
gate of anchors is another such judge of the same rows: their share is high by construction, and
only a low one tells something.</p>
<div class="scroll" role="region" aria-label="Table: texts that were made" tabindex="0"><table>
<thead><tr>{% for head in text_heads %}<th scope="col">{{ head }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in texts %}<tr>{% for value in row %}<td>{{ value }}</td>{% endfor %}</tr>
{% endfor %}</tbody>
</table></div>
</section>
{% endif %}{% if given %}<section>
<h2>Rows that were given</h2>
<p class="quiet">Of each {{ run }}, rows are left out whose parents are not among its training rows
and rows that equal a held-out row or nearly do (they share four of five words, or four of five runs
of three words of the shorter one, or, with an encoder, have a cosine above {{ cosine }}, and no
training row is as near): sums over the {{ runs }}. Copies are of any real row that they may be made
of. “Of their class”: placed there by logistic regression on real rows that saw neither the row's
parent nor, where none is told, the row that it is most like,
beside the same of real rows, each held out.</p>
<div class="scroll" role="region" aria-label="Table: rows that were given" tabindex="0"><table>
<thead><tr>{% for head in given_heads %}<th scope="col">{{ head }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in given %}<tr>{% for value in row %}<td>{{ value }}</td>{% endfor %}</tr>
{% endfor %}</tbody>
</table></div>
</section>
{% endif %}</main>
<footer><details><summary>Settings of this comparison</summary><pre>{{ header }}</pre></details>
</footer>
</body>
</html>
"""
# A value and what it varies by, so that values stand below each other however wide the rest is.
_NUMBER = """{% macro number(text) %}{% set value, sign, spread = text.partition(" ± ") %}<td>
{{- value }}{% if sign %} <span class="spread">± {{ spread }}</span>{% endif -%}
</td>{% endmacro %}"""


def write_page(comparison: Comparison, path: str | Path, metric: str = "average_precision") -> Path:
    """Write the verdict, the pictures and the tables as one HTML file that needs no other.

    Raises:
        ValueError: no cell has the metric, or no classifier has results.
        ImportError: matplotlib is missing.
    """
    found = [f for f in findings(comparison, metric) if f.runs]
    if not found:
        raise ValueError("no classifier has results to show")
    titles, told = comparison.classifiers, decide(comparison, metric)
    heads, texts = made_texts_rows(comparison)
    given_heads, given = given_rows_table(comparison)
    text = (
        Environment(autoescape=True)
        .from_string(_NUMBER + _PAGE)
        .render(
            style=page_style(),
            name=comparison.problem.name,
            facts=_facts(comparison),
            runs=_runs(comparison),
            metric=TITLES.get(metric, metric),
            overall=overall_lines(told),
            verdict=[
                (one.title, classifier_lines(told, one), one.recommendation.python)
                # the one to take first
                for one in sorted(told.classifiers, key=lambda a: a.classifier != told.classifier)
            ],
            aside=rests_on(comparison, metric),
            notes=told.notes,
            parts=[
                _part(comparison, kind, metric, [f for f in found if f.classifier == kind])
                for kind in titles
                if any(f.classifier == kind for f in found)
            ],
            texts=texts,
            text_heads=heads,
            given=given,
            given_heads=given_heads,
            run=_runs(comparison).removesuffix("s"),
            cosine=NEAR_COSINE,
            sample=SAMPLE,
            level=f"{100 * LEVEL:.0f}",
            header=json.dumps(comparison.header, indent=2, ensure_ascii=False),
        )
    )
    path = Path(path)
    path.write_text(text, encoding="utf-8")
    return path


def page_style() -> str:
    """The style sheet of this package's pages: colours for light and dark, text, tables."""
    file = resources.files("hf_oversample.comparison").joinpath("templates", "page.css")
    return file.read_text("utf-8")


def _runs(comparison: Comparison) -> str:
    return "folds" if comparison.problem.overlap > 0 else "seeds"


def _facts(comparison: Comparison) -> str:
    """How much data of which class, and how many runs."""
    problem = comparison.problem
    name = problem.class_names[problem.minority]
    runs = f"{len({cell.fold for cell in comparison.cells})} {_runs(comparison)}"
    if not problem.splits:
        return f"The minority is “{name}”; {runs}."
    first = problem.splits[0]
    parts = (first.train, first.validation, first.test)
    rows = sum(len(part) for part in parts)
    rare = sum(int((part.labels == problem.minority).sum()) for part in parts)
    share = f"{100 * rare / rows:.1f}\N{NO-BREAK SPACE}%"
    return f"{rows:,} texts, {rare:,} of them ({share}) of the minority “{name}”; {runs}."


def _part(comparison: Comparison, kind: str, metric: str, own: list[Finding]) -> dict[str, object]:
    """A classifier's pictures and table, with the columns that it has values of."""
    others = [n for n in SHOWN if n != metric and any(n in f.means for f in own)]
    names = [metric, *others]
    return {
        "title": comparison.classifiers[kind],
        "panels": _pictures(comparison, kind, metric),
        "columns": [TITLES.get(n, n) for n in names],
        "rows": [_row(f, names) for f in own],
    }


def _pictures(comparison: Comparison, kind: str, metric: str) -> list[dict[str, object]]:
    shown = []
    for panel in classifier_panels(comparison, kind, metric):
        width, height = panel.figure.get_size_inches() * _PIXELS_AN_INCH
        png = figure_png(panel.figure, dpi=_SHARPNESS * _PIXELS_AN_INCH)
        shown.append(
            {
                "alt": panel.alt,
                "png": base64.b64encode(png).decode(),
                "width": round(width),
                "height": round(height),
            }
        )
    return shown


def _row(finding: Finding, names: list[str]) -> dict[str, object]:
    test, p = finding.test, finding.p_adjusted
    shown = points(test) if test else "–"
    shown_p = "–" if test is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
    if test is not None and finding.verdict == "untested":
        shown, shown_p = f"{signed_points(test.mean)} in every run", "no test"
    return {
        "name": finding.remedy,
        "shares": [mean_and_sd(finding, name) for name in names],
        "verdict": finding.verdict,
        "difference": shown,
        "p": shown_p,
        "seconds": f"{finding.seconds:.1f}",
    }
