"""Recipes as scripts that `uv run` and `hf jobs uv run` take: their PEP 723 headers."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import hf_oversample

PROJECT = Path(__file__).resolve().parent.parent
RECIPES = sorted((PROJECT / "recipes").glob("*.py"))
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# The regular expression of PEP 723's reference implementation.
BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


def header(recipe: Path) -> dict[str, Any]:
    """What the PEP's reference implementation reads of a script."""
    text = recipe.read_text(encoding="utf-8")
    found = [match for match in BLOCK.finditer(text) if match["type"] == "script"]
    assert len(found) == 1, f"{recipe.name} has {len(found)} script blocks"
    lines = found[0]["content"].splitlines(keepends=True)
    return tomllib.loads("".join(line[2:] if line.startswith("# ") else line[1:] for line in lines))


def test_there_are_recipes() -> None:
    assert len(RECIPES) >= 6


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_dependencies_agree_with_the_project(recipe: Path) -> None:
    read = header(recipe)
    assert read["requires-python"] == PYPROJECT["requires-python"]
    (one,) = map(Requirement, read["dependencies"])
    assert one.name == PYPROJECT["name"]
    assert one.extras <= set(PYPROJECT["optional-dependencies"])
    assert hf_oversample.__version__ in one.specifier
    # a clone runs its own code
    source = read["tool"]["uv"]["sources"][one.name]
    assert (recipe.parent / source["path"]).resolve() == PROJECT


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_hf_jobs_reads_its_table(recipe: Path) -> None:
    jobs = header(recipe)["tool"]["hf-jobs"]
    # in a job the file is alone: the path of the sources leads nowhere
    assert jobs["env"]["UV_NO_SOURCES"] == "1"
    assert jobs["secrets"] == ["HF_TOKEN"]  # a name; the value is of who runs it
    reader = pytest.importorskip(
        "huggingface_hub.cli._uv_script_header", reason="this huggingface_hub reads no such table"
    )
    read = reader.parse_uv_script_header(recipe.read_text(encoding="utf-8"))
    assert read is not None
    assert (read.flavor, read.timeout) == (jobs["flavor"], jobs["timeout"])


def test_a_bad_header_would_be_noticed(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("# /// script\n# dependencies = ['x']\n\nprint(1)\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="0 script blocks"):
        header(bad)
