"""The documentation is true: its code runs, its commands parse, its links lead somewhere."""

from __future__ import annotations

import csv
import dataclasses
import doctest
import importlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate.commands.launch import _validate_launch_command, launch_command_parser

import chromium
import documentation
import hf_oversample
from benchmarks.papers.arguments import ReproduceArguments
from documentation import PROJECT, blocks, pages
from hf_oversample.commands.command import run_command
from hf_oversample.commands.main import main
from hf_oversample.commands.subcommands import SUBCOMMANDS

PYTHON_PAGES = [page for page in pages() if blocks(page, "python")]
DOCUMENTED = sorted(
    path.relative_to(PROJECT)
    for path in (PROJECT / "hf_oversample").rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
LANGUAGES = {"python", "bash", "text", "json", "{toctree}", "{arguments}", "{flags}"}
ENCODERS = ("sentence-transformers/all-MiniLM-L6-v2", "intfloat/multilingual-e5-small")


def write_csv(path: Path, texts: list[str], labels: list[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(zip(texts, labels, strict=True))


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's folder: the files that pages speak of, and encoders under the names of the Hub."""
    import miso_fixtures
    import writer_fixtures

    texts, labels = miso_fixtures.make_corpus((40, 10))
    write_csv(tmp_path / "messages.csv", texts, [("ham", "spam")[code] for code in labels])
    words = ("price", "refund", "complaint")
    asked = [
        (f"a {word} for number {n}", word)
        for word, m in zip(words, (40, 8, 4), strict=True)
        for n in range(m)
    ]
    write_csv(tmp_path / "intents.csv", *map(list, zip(*asked, strict=True)))
    titles = [f"婆婆说第{n}个故事" for n in range(6)] + [f"股市第{n}天上涨" for n in range(20)]
    write_csv(tmp_path / "titles.csv", titles, ["story"] * 6 + ["news"] * 20)
    shutil.copytree(miso_fixtures.contract_generator_folder(), tmp_path / "spam-generator")
    shutil.copytree(writer_fixtures.pretrained_folder(), tmp_path / "my-language-model")
    for name in ENCODERS:
        shutil.copytree(miso_fixtures.encoder_folder(), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


BENCHMARKS = [path.read_text(encoding="utf-8") for path in (PROJECT / "benchmarks").glob("*.py")]
SLOW = ("docs/how_to/embeddings.md", "docs/tutorial.md")


def run_as_reader(block: str) -> None:
    """Run a block of bash in the current folder, where the recipes are those of this repository."""
    if not Path("recipes").exists():
        Path("recipes").symlink_to(PROJECT / "recipes")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(PROJECT)}
    shown = f'hf-oversample() {{ "{sys.executable}" -m hf_oversample.commands.main "$@"; }}\n'
    command = ["bash", "-euo", "pipefail", "-c", shown + block]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] * (documentation.name(page) in SLOW))
        for page in PYTHON_PAGES
    ],
    ids=documentation.name,
)
def test_a_pages_code_runs(page: Path, reader: Path) -> None:
    """Block after block, as a reader would paste them; of the tutorial the commands too."""
    names: dict[str, object] = {}
    is_tutorial = page.name == "tutorial.md"
    for block in blocks(page, "python", *(["bash"] if is_tutorial else [])):
        if block.language == "bash":
            run_as_reader(block.text)
            continue
        source = "\n" * (block.line - 1) + block.text  # so that an error names the page's line
        exec(compile(source, str(page), "exec"), names)


def test_every_block_of_code_is_of_a_language_that_is_tested_or_is_none() -> None:
    """`python no-run` and its like would hide a block from the tests."""
    wrong = [
        f"{documentation.name(page)}:{block.line}: {block.language} {block.rest}"
        for page in pages()
        for block in blocks(page)
        if block.language not in LANGUAGES or (block.rest and not block.language.startswith("{"))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", DOCUMENTED, ids=str)
def test_the_examples_of_docstrings_run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted
    assert not result.failed


def parse_recipe(script: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe's command line goes through its parser and its checks; nothing is run."""
    spec = importlib.util.spec_from_file_location(Path(script).stem, PROJECT / script)
    assert spec is not None
    assert spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    ran: list[object] = []

    def parse_alone(argv: list[str], arguments: type, run: object, **options: Any) -> int:
        return run_command(argv, arguments, lambda given, _: ran.append(given) or "", **options)

    monkeypatch.setattr(recipe, "run_command", parse_alone)
    assert recipe.main(words) == 0
    assert len(ran) == 1


@pytest.mark.parametrize(("gpus", "more"), [(0, []), (4, ["--multi_gpu"])])
def test_the_launch_that_warns_of_no_defaults_is_quiet(
    gpus: int, more: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On CPUs as it is written, on several GPUs with the flag that its page adds."""
    page = PROJECT / "docs" / "how_to" / "many_processes.md"
    (words,) = (
        shlex.split(command)[2:]
        for _, command in documentation.commands(page)
        if command.startswith("accelerate launch --num_processes")
    )
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpus > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    assert all(f"`{flag}`" in page.read_text(encoding="utf-8") for flag in more)
    _validate_launch_command(launch_command_parser().parse_args([*more, *words]))
    assert caplog.messages == []


ASKED: list[object] = []


def note(arguments: object, resume: str | None = None) -> None:
    """What a command runs in these tests."""
    ASKED.append(arguments)


def parse_command(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of hf-oversample goes through its parser and its checks; nothing is run."""
    for name, command in SUBCOMMANDS.items():
        silent = dataclasses.replace(command, run="test_docs:note", plan="test_docs:note")
        monkeypatch.setitem(SUBCOMMANDS, name, silent)
    monkeypatch.setenv("LOCAL_RANK", "0")  # as in a process that is launched: it launches no more
    ASKED.clear()
    assert main(words) == 0
    assert len(ASKED) == 1


@pytest.mark.parametrize(
    "page", [page for page in pages() if blocks(page, "bash")], ids=documentation.name
)
def test_a_pages_commands_are_commands(
    page: Path, reader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a page tells people to type is parsed by what they would type it to."""
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    of_readers = ["mine.csv", "my.csv", "new.csv", "train.csv", "train.parquet", "test.csv"]
    for name in (*of_readers, "validation.csv"):  # a reader has or makes them
        shutil.copy("messages.csv", name)
    for line, command in documentation.commands(page):
        where = f"{documentation.name(page)}:{line}: {command}"
        words = shlex.split(command, comments=True)
        while re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            words = words[1:]
        if words[:2] == ["accelerate", "launch"]:
            launched = launch_command_parser().parse_args(words[2:])
            words = ["python", launched.training_script, *launched.training_script_args]
        if words[0] == "hf-oversample":
            parse_command(words[1:], monkeypatch)
        elif words[0] == "make":
            targets = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
            assert all(re.search(rf"^{t}\b.*:", makefile, re.MULTILINE) for t in targets), where
        elif words[:2] == ["pip", "install"]:
            asked = re.findall(r"\[(.*?)\]", words[-1])
            extras = {extra for part in asked for extra in part.split(",")}
            assert extras <= set(project["optional-dependencies"]), where
        elif words[0] == "python" and words[1].startswith("recipes/"):
            if words[1] == "recipes/reproduce.py":
                known = {f"--{item.name}" for item in dataclasses.fields(ReproduceArguments)}
                assert {word for word in words if word.startswith("--")} <= known, where
            else:
                parse_recipe(words[1], words[2:], monkeypatch)
        elif words[0] == "python":
            assert (PROJECT / words[1]).is_file(), where
            flags = {f'"{word}"' for word in words if word.startswith("--")}
            sources = [(PROJECT / words[1]).read_text(encoding="utf-8"), *BENCHMARKS]
            assert all(any(flag in source for source in sources) for flag in flags), where
        else:
            assert words[0] in ("for", "done"), where


@pytest.mark.parametrize("page", pages(), ids=documentation.name)
def test_a_pages_links_lead_somewhere(page: Path) -> None:
    text = re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    for target in re.findall(r"\]\((?![a-z]+:)([^)#\s]+)", text):
        assert (page.parent / target).exists(), target


API_PAGES = "\n".join(
    page.read_text(encoding="utf-8") for page in sorted((PROJECT / "docs" / "api").glob("*.rst"))
)


@pytest.mark.parametrize(
    "module", ["hf_oversample", "hf_oversample.comparison", "hf_oversample.sklearn"]
)
def test_the_reference_has_every_public_name(module: str) -> None:
    described = set(re.findall(r"^\.\. (?:auto\w+|py:\w+):: ([\w.]+)", API_PAGES, re.MULTILINE))
    public = set(importlib.import_module(module).__all__) - {"__version__"}
    assert {f"{module}.{name}" for name in public} <= described


def cells(row: str) -> list[str]:
    return [cell.strip(" *") for cell in row.strip().strip("|").split("|")]


def test_the_figures_of_the_first_page_are_those_that_were_measured() -> None:
    """Each is the mean of a row and column of benchmarks/compare.md; "best" is the best there."""
    measured = (PROJECT / "benchmarks" / "compare.md").read_text(encoding="utf-8")
    simple = re.search(r"best of (\d+) other remedies", measured)
    assert simple
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    shown = [cells(row) for row in readme.splitlines() if row.startswith("|")][2:]
    tasks = ["yelp-1%", "yelp-5%", "sms-1%", "imdb-1%", "toutiao", "r8-half"]
    assert len(shown) == len(tasks) <= 10
    for (title, *figures), task in zip(shown, tasks, strict=True):
        section = measured.split(f"\n## {task} ")[1].split("\n## ")[0]
        measure = "macro-F1" if task == "r8-half" else "F1, tuned threshold"
        table = section.split(f"\n### {measure}\n")[1].split("\n### ")[0]
        head, _, *rows = [cells(row) for row in table.splitlines() if row.startswith("|")]
        means = {
            row[0]: {k: v.split(" ")[0] for k, v in zip(head[1:], row[1:], strict=True)}
            for row in rows
        }
        plain = next(k for k in head if k.endswith("logistic regression"))
        ours = {"AMO", "SIMPOR", "Bayesian GAN", "MISO backbone"}
        others = [
            float(mean["TextCNN"])
            for remedy, mean in means.items()
            if remedy not in ours
            and not re.search("anchors|plain|none", remedy)
            and mean["TextCNN"] != "–"
        ]
        assert figures == [
            means["none"]["TextCNN"],
            str(max(others)),
            means["anchors"]["TextCNN"],
            means["none"][plain],
        ], title


class Loads(HTMLParser):
    """What a page makes a browser fetch; links that a reader may follow are none of it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = {key: value or "" for key, value in attributes}
        self.found += [named[key] for key in ("src", "srcset", "data", "poster") if key in named]
        if tag == "link":
            self.found.append(named.get("href", ""))


def from_elsewhere(addresses: Iterable[str]) -> list[str]:
    return [address for address in addresses if re.match(r"\s*(https?:)?//", address)]


def test_what_a_page_fetches_from_elsewhere_is_seen() -> None:
    page = '<link rel="icon" href="//a.b/c"><img src="d.png"><script src="https://e"></script>'
    page += '<a href="https://followed.by/readers">x</a>'
    assert from_elsewhere(Loads(page).found) == ["//a.b/c", "https://e"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation, built as `make docs` builds it."""
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    (line,) = re.findall(r"^\t\$\(BIN\)/sphinx-build (.* )site$", makefile, re.MULTILINE)
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", *shlex.split(line), str(folder)]
    answer = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return folder


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning_and_describes_all(site: Path) -> None:
    assert (site / "index.html").is_file()
    reference = "".join(page.read_text("utf-8") for page in (site / "docs" / "api").glob("*.html"))
    for name in hf_oversample.__all__[1:]:
        assert f'id="hf_oversample.{name}"' in reference, name


@pytest.mark.slow
def test_the_documentation_fetches_nothing_from_elsewhere(site: Path) -> None:
    built = list(site.rglob("*.html"))
    assert len(built) > 20
    for page in built:
        assert not from_elsewhere(Loads(page.read_text(encoding="utf-8")).found), page
    styles = "\n".join(style.read_text(encoding="utf-8") for style in site.rglob("*.css"))
    addresses = re.findall(r"(?:url\(|@import\s+)[\"']?([^)\"';]+)", styles)
    assert addresses
    assert not from_elsewhere(addresses)


@pytest.mark.slow
@pytest.mark.skipif(chromium.installed() is None, reason=chromium.MISSING)
def test_a_browser_shows_the_documentation_from_its_folder_alone(
    site: Path, tmp_path: Path
) -> None:
    with chromium.running(str(chromium.installed()), tmp_path / "browser") as browser:
        for name in ("README.html", "docs/api/oversamplers.html"):
            page = browser.open(site / name, width=1200)
            assert page.evaluate("document.querySelector('h1').innerText")
            assert all(address.startswith(("file:", "data:")) for address in page.requests)
            assert not page.complaints


def test_the_skill_begins_as_agents_expect_one_to() -> None:
    """YAML between two lines of dashes: its name, that of its folder, and when it is of use."""
    for page in (PROJECT / "skills").glob("*/SKILL.md"):
        empty, head, body = page.read_text(encoding="utf-8").split("---\n", 2)
        fields = yaml.safe_load(head)
        assert not empty
        assert body.strip().startswith("# ")
        assert set(fields) == {"name", "description"}
        assert fields["name"] == page.parent.name
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", fields["name"])
        assert len(fields["name"]) <= 64
        assert "Use when" in fields["description"]
        assert len(fields["description"]) <= 1024
