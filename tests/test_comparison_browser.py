"""The comparison's page in a real browser: all there, nothing loaded, nothing cut off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import chromium
from comparison_fixtures import CLASSIFIERS, GAINS, made_up
from hf_oversample.comparison.decision import decide
from hf_oversample.comparison.page import write_page
from hf_oversample.comparison.wording import classifier_lines

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium.installed() is None, reason=chromium.MISSING),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Browser]:
    path = chromium.installed()
    assert path is not None
    with chromium.running(path, tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(made_up(), tmp_path_factory.mktemp("page") / "report.html")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_it_opens_whole_and_alone(
    browser: chromium.Browser, page_file: Path, width: int, dark: bool
) -> None:
    page = browser.open(page_file, width=width, dark=dark)
    assert page.complaints == []
    assert page.requests[0] == page_file.resolve().as_uri()
    assert {address.split(":")[0] for address in page.requests[1:]} == {"data"}

    assert page.evaluate("innerWidth") == width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = page.evaluate(
        "[...document.images].map(i => [i.naturalWidth, i.getBoundingClientRect().width, i.alt])"
    )
    assert len(sizes) == 3 * len(CLASSIFIERS)
    for natural, shown, alt in sizes:
        assert 0 < shown <= width
        assert natural >= 1.9 * shown, f"not sharp on a dense screen: {alt}"

    contrasts = page.evaluate(CONTRASTS)
    assert set(contrasts) == set(TEXTS)
    assert min(contrasts.values()) >= 4.5, contrasts  # WCAG 2.2, 1.4.3


def test_the_verdict_comes_first_and_the_table_is_sorted(
    browser: chromium.Browser, page_file: Path
) -> None:
    page = browser.open(page_file, width=1280)
    text = page.evaluate("document.body.innerText")
    told = decide(made_up())
    answers = {one.classifier: classifier_lines(told, one) for one in told.classifiers}
    heads = page.evaluate("[...document.querySelectorAll('h2')].map(h => h.innerText)")
    assert heads == ["Verdict", *CLASSIFIERS.values()]
    for lines in answers.values():
        assert "train with SMOTE and move the threshold to 0.2" in lines[0]
        for line in lines:
            assert line[1:] in text, line  # the first letter is a capital there
        assert text.index(lines[0][1:]) < text.index("better than none by")
    assert "spam <b>&amp;" in text
    assert "20 of them (20.0\N{NO-BREAK SPACE}%)" in text
    rows = page.evaluate(
        "[...document.querySelectorAll('table')].map(t => [...t.tBodies[0].rows].map("
        "r => [...r.cells].map(c => c.innerText)))"
    )
    assert len(rows) == len(CLASSIFIERS)
    for table in rows:
        assert {row[0] for row in table} == set(GAINS)
        values = [float(row[1].split(" ± ")[0]) for row in table]
        assert values == sorted(values, reverse=True)
        verdicts = {row[0]: row[4] for row in table}
        assert (verdicts["SMOTE"], verdicts["dice loss"]) == ("better", "worse")
        assert (verdicts["none"], verdicts["class weights"]) == ("baseline", "cannot tell")
        assert verdicts["threshold moving"] == "equal"


def test_what_answers_the_question_is_seen_without_scrolling(
    browser: chromium.Browser, page_file: Path
) -> None:
    page = browser.open(page_file, width=1280)
    edges = page.evaluate(
        "[...document.querySelectorAll('td:nth-child(5)')].map("
        "c => c.getBoundingClientRect().right)"
    )
    assert max(edges) < 1280
    # Decimal points stand below each other, whatever the spreads are.
    starts = page.evaluate(
        "[...document.querySelectorAll('table')].map(t => [...t.querySelectorAll("
        "'td:nth-child(2) .spread')].map(s => Math.round(s.getBoundingClientRect().left)))"
    )
    assert all(len(set(of_table)) == 1 for of_table in starts)
    assert page.evaluate("document.querySelector('.answer').getBoundingClientRect().bottom") < 900


def test_a_bad_page_would_be_noticed(browser: chromium.Browser, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!doctype html><img src='http://127.0.0.1:9/x.png'><div style='width: 900px'>x</div>"
        "<script>console.error('ill'); throw Error('broken')</script>",
        encoding="utf-8",
    )
    page = browser.open(bad, width=400)
    assert "http://127.0.0.1:9/x.png" in page.requests
    assert "ill" in page.complaints
    assert any("broken" in line for line in page.complaints)
    assert page.evaluate("document.documentElement.scrollWidth") > 400
    assert page.evaluate("document.images[0].naturalWidth") == 0


TEXTS = ["p.answer", "p.quiet", "li", "th", "tr.baseline td", "td.better", "td.worse", ".spread"]
# Contrast of a text with the nearest background behind it (WCAG 2.2, relative luminance).
CONTRASTS = f"""(() => {{
  const parts = color => color.match(/[\\d.]+/g).map(Number);
  const luminance = color => {{
    const [r, g, b] = parts(color).slice(0, 3).map(v => v / 255).map(
      v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }};
  const behind = element => {{
    for (let e = element; e; e = e.parentElement) {{
      const color = getComputedStyle(e).backgroundColor;
      if (parts(color).length == 3) return color;
    }}
    return "rgb(255, 255, 255)";
  }};
  return Object.fromEntries({TEXTS}.map(selector => {{
    const element = document.querySelector(selector);
    const both = [getComputedStyle(element).color, behind(element)].map(luminance);
    return [selector, (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05)];
  }}));
}})()"""
