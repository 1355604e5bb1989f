"""The answer of a comparison in plain words: the values of a verdict in one template."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources

from jinja2 import Environment, StrictUndefined, Template

from hf_oversample.comparison import answer
from hf_oversample.comparison.advice import shown_threshold
from hf_oversample.comparison.answer import ClassifierAnswer, Contrast, RemedyAnswer, Verdict
from hf_oversample.comparison.decision import decide
from hf_oversample.comparison.findings import TITLES, signed_points
from hf_oversample.comparison.protocol import Comparison


def verdict(comparison: Comparison, metric: str = "average_precision") -> list[str]:
    """The answer in plain words: a list of sentences, what to do with which classifier, then the
    classifiers' answers, then the notes."""
    told = decide(comparison, metric)
    lines = [
        f"{one.title}: {line}" for one in told.classifiers for line in classifier_lines(told, one)
    ]
    return [*overall_lines(told), *lines, *told.notes]


def verdict_text(comparison: Comparison, metric: str = "average_precision") -> str:
    """The answer in plain words, as Markdown: with the lines of Python that do what is said."""
    return markdown(decide(comparison, metric))


def markdown(told: Verdict) -> str:
    """A verdict as Markdown: a section a classifier, then the notes."""
    return _template().render(
        told=told,
        overall=overall_lines(told),
        answers=[(one, classifier_lines(told, one)) for one in told.classifiers],
        part="markdown",
    )


def verdict_line(told: Verdict) -> str:
    """A verdict for programs, in one line: `VERDICT: ` and a JSON object, of which
    `recommendation` and `headline` say what to do with the classifier that ranks best."""
    best = next((one for one in told.classifiers if one.classifier == told.classifier), None)
    headline = None if best is None else classifier_lines(told, best)[0]
    values = json.dumps({"headline": headline, **told.to_dict()}, allow_nan=False)
    return f"VERDICT: {values}"


def overall_lines(told: Verdict) -> list[str]:
    """Which classifier to take; nothing where there is one alone."""
    return _lines(_template().render(told=told, part="overall"))


def classifier_lines(told: Verdict, one: ClassifierAnswer) -> list[str]:
    """The answer for one classifier: what to do in short, then what it rests on, a line each."""
    return _lines(_template().render(told=told, one=one, part="classifier"))


def _lines(text: str) -> list[str]:
    return [" ".join(line.split(" ")) for line in text.splitlines() if line.strip()]


@cache
def _template() -> Template:
    text = resources.files("hf_oversample.comparison").joinpath("templates", "verdict.md")
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {
        "title": lambda measure: TITLES.get(measure, measure),
        "percent": lambda share: f"{100 * share:.1f}",
        "points": signed_points,
        "gain": lambda points: signed_points(points / 100),
        "threshold": shown_threshold,
        "contrasts": _contrasts,
    }
    environment.globals["words"] = answer
    return environment.from_string(text.read_text(encoding="utf-8"))


def _contrasts(remedies: Sequence[RemedyAnswer], costs: bool) -> str:
    """Remedies with what they differ by, and what they cost: "SMOTE (average precision +1.2 ± 0.8,
    tuned F1 −0.3 ± 0.6; 6.0 s, 3.0 times none)"."""
    shown = []
    for one in remedies:
        differences = ", ".join(
            f"{TITLES.get(name, name)} {_shown(contrast)}"
            for name, contrast in one.contrasts.items()
        )
        cost = f"; {one.seconds:.1f} s, {one.cost:.1f} times none" if costs and one.cost else ""
        shown.append(f"{one.remedy} ({differences}{cost})")
    return "; ".join(shown)


def _shown(contrast: Contrast) -> str:
    if contrast.outcome == "untested":
        return f"{signed_points(contrast.difference)} in every run"
    if contrast.half_width is None:
        return signed_points(contrast.difference)
    return f"{signed_points(contrast.difference)} ± {100 * contrast.half_width:.1f}"
