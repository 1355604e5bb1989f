"""The comparison as one HTML file, pictures and all."""

from __future__ import annotations

import base64
from pathlib import Path

from jinja2 import Environment

from hf_oversample.comparison.figures import comparison_figure, figure_png
from hf_oversample.comparison.protocol import Comparison
from hf_oversample.comparison.verdict import SHOWN, TITLES, Finding, findings, verdict

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ name }}: does it help?</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 1200px;
  margin: 2rem auto; padding: 0 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; margin: 0.5rem 0 1.5rem; }
th, td { padding: 0.25rem 0.6rem; border-bottom: 1px solid #ddd; text-align: right;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
td.better { color: #00694c; font-weight: 600; }
td.worse { color: #a84300; font-weight: 600; }
img { max-width: 100%; height: auto; }
footer { color: #555; font-size: 14px; }
</style>
</head>
<body>
<h1>{{ name }}: does it help?</h1>
<p>{{ runs }} {{ "folds" if folds else "seeds" }}; the minority is “{{ minority }}”; sorted and
tested by {{ metric }}.</p>
<h2>Verdict</h2>
<ul>{% for line in verdict %}<li>{{ line }}</li>{% endfor %}</ul>
<h2>Differences, precision and recall, calibration</h2>
<img alt="differences to no remedy, precision–recall curves and calibration"
  src="data:image/png;base64,{{ picture }}">
<h2>Figures</h2>
<p>Percent, mean ± standard deviation. The difference is to no remedy on the same rows, with its
95 % interval and the p-value after correction.</p>
{% for title, rows in tables %}
<h3>{{ title }}</h3>
<div class="scroll"><table>
<thead><tr><th>remedy</th>{% for column in columns %}<th>{{ column }}</th>{% endfor %}
<th>less none</th><th>p</th><th>seconds</th></tr></thead>
<tbody>{% for row in rows %}<tr><td>{{ row.name }}</td>
{% for value in row.shares %}<td>{{ value }}</td>{% endfor %}
<td class="{{ row.verdict }}">{{ row.difference }}</td><td>{{ row.p }}</td>
<td>{{ row.seconds }}</td></tr>{% endfor %}</tbody>
</table></div>
{% endfor %}
<footer>Settings: {{ header }}</footer>
</body>
</html>
"""


def write_page(comparison: Comparison, path: str | Path, metric: str = "f1") -> Path:
    """Write the verdict, the pictures and the tables as one HTML file that needs no other.

    Raises:
        ValueError: no cell has the metric.
        ImportError: matplotlib is missing.
    """
    found = [f for f in findings(comparison, metric) if f.runs]
    names = [metric, *(n for n in SHOWN if n != metric)]
    names = [n for n in names if any(n in f.means for f in found)]
    page = Environment(autoescape=True).from_string(_PAGE)
    picture = base64.b64encode(figure_png(comparison_figure(comparison, metric))).decode()
    problem = comparison.problem
    text = page.render(
        name=problem.name,
        runs=len(problem.splits),
        folds=problem.overlap > 0,
        minority=problem.class_names[problem.minority],
        metric=TITLES.get(metric, metric),
        verdict=verdict(comparison, metric),
        picture=picture,
        columns=[TITLES.get(n, n) for n in names],
        tables=[
            (title, [_row(f, names) for f in found if f.classifier == kind])
            for kind, title in comparison.classifiers.items()
        ],
        header=comparison.header,
    )
    path = Path(path)
    path.write_text(text, encoding="utf-8")
    return path


def _row(finding: Finding, names: list[str]) -> dict[str, object]:
    test = finding.test
    return {
        "name": finding.remedy,
        "shares": [_share(finding, name) for name in names],
        "verdict": finding.verdict,
        "difference": f"{100 * test.mean:+.1f} ± {100 * test.half_width:.1f}" if test else "–",
        "p": f"{finding.p_adjusted:.2g}" if test else "–",
        "seconds": f"{finding.seconds:.1f}",
    }


def _share(finding: Finding, name: str) -> str:
    if name not in finding.means:
        return "–"
    return f"{100 * finding.means[name]:.1f} ± {100 * finding.sds[name]:.1f}"
