"""The documentation: `make docs` builds it into site/ with Sphinx, and a warning is an error.

The source folder is the repository itself, so that README.md, PAPERS.md and the benchmarks' pages
are pages where they lie, and a link between files works there and here. Nothing is fetched, neither
by the build nor by a reader's browser.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import hf_oversample
from hf_oversample.commands.main import parser_of
from hf_oversample.commands.subcommands import SUBCOMMANDS

PROJECT = Path(__file__).resolve().parent.parent

project = "hf_oversample"
author = "the hf_oversample authors"
copyright = author
version = release = hf_oversample.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# ---- what is a page
root_doc = "README"
include_patterns = ["*.md", "docs/**", "benchmarks/*.md", "skills/**"]
# Folders that are not looked into; what lies in them may be large.
exclude_patterns = [
    *(
        f"{path.name}/**"
        for path in PROJECT.iterdir()
        if path.name not in ("docs", "benchmarks", "skills")
    ),
    "benchmarks/*/**",
    "docs/templates",
    "docs/contents.md",
]
myst_heading_anchors = 3
myst_enable_extensions = ["attrs_inline"]
# ---- how it looks
smartquotes = False  # of --flag it would make a dash
html_theme = "furo"
html_title = f"hf_oversample {release}"
html_favicon = "pictures/favicon.svg"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_additional_pages = {"index": "index.html"}  # leads to README.html
templates_path = ["templates"]
# ---- how docstrings are read: names in single backticks are looked up, and are code if not found
default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_include_init_with_doc = False

# "Raises (in ``fit``):" is a section too, with that title.
TITLED = re.compile(r"^( *)((?:Args|Attributes|Raises|Returns|Yields) \(.+\)):$", re.MULTILINE)
# The pages beside README.md, for the side bar.
CONTENTS = (PROJECT / "docs" / "contents.md").read_text(encoding="utf-8")


def words(title: str) -> str:
    """A section's title as napoleon accepts one: words and spaces."""
    return re.sub(r"[^\w ]", "", title.replace("-", " "))


# Those of the sources, and "Attributes" as a list like "Parameters".
napoleon_custom_sections = [
    ("Attributes", "params_style"),
    *sorted(
        {
            (words(match[2]), "params_style")
            for path in (PROJECT / "hf_oversample").rglob("*.py")
            for match in TITLED.finditer(path.read_text(encoding="utf-8"))
        }
    ),
]


def plain_titles(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Give the sections of a docstring titles that napoleon accepts."""
    text = TITLED.sub(lambda match: f"{match[1]}{words(match[2])}:", "\n".join(lines))
    lines[:] = text.split("\n")


def report_missing(app: Sphinx, env: Any, node: pending_xref, contnode: nodes.Node) -> None:
    """Warn, and so fail, where a role names something of this package that does not exist.

    What exists and has no page is shown as code.
    """
    name = str(node.get("reftarget", ""))
    if not re.match(r"hf_oversample(\.\w+)+$", name):
        return
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        try:
            for part in parts[length:]:
                found = getattr(found, part)
        except AttributeError:
            break
        return
    logging.getLogger(__name__).warning(
        "a docstring names %s, which is nowhere", name, location=node
    )


class Arguments(SphinxDirective):
    """A table of an argument dataclass's own fields: name, default, meaning.

    Its argument is `module:Class`; its text may list fields to leave out.
    """

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """The table."""
        module, _, name = self.arguments[0].partition(":")
        skipped = " ".join(self.content).split()
        described = getattr(importlib.import_module(module), name)
        # Those of classes above it are in those classes' tables, unless it declares them anew.
        own = set(described.__annotations__)
        if not any(dataclasses.is_dataclass(above) for above in described.__mro__[1:]):
            own = {item.name for item in dataclasses.fields(described)}
        rows = [
            (f"--{item.name}", default(item), item.metadata["help"])
            for item in dataclasses.fields(described)
            if "help" in item.metadata and item.name in own and item.name not in skipped
        ]
        return [flag_table(("flag", "default", "what it is"), rows)]


class Flags(SphinxDirective):
    """The flags of a subcommand of `hf-oversample`, as its parser has them: the everyday ones, then
    the rest. Those of training a generator, and those of every command, are on the page itself."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """What the command is for, and two tables."""
        (name,) = self.arguments
        everyday, everything = (flags(name, everything=all_) for all_ in (False, True))
        rest = [row for row in everything if row not in everyday]
        summary = SUBCOMMANDS[name].summary
        found: list[nodes.Node] = [
            nodes.paragraph(text=f"{summary[0].upper()}{summary[1:].rstrip('?')}."),
            flag_table(("everyday", "what it is"), everyday),
        ]
        return [*found, flag_table(("further flags", "what it is"), rest)] if rest else found


def flags(name: str, *, everything: bool) -> list[tuple[str, str]]:
    """The flags that a subcommand's help shows, each with its text."""
    parser = parser_of(name, everything=everything)
    left_out = ("every command", "training of ")
    groups = [group for group in parser._action_groups if not str(group.title).startswith(left_out)]
    module, _, kind = SUBCOMMANDS[name].training_class.partition(":")
    training = getattr(importlib.import_module(module), kind)
    trained = {f"--{item.name}" for item in dataclasses.fields(training)} - {"--seed"}
    return [
        (", ".join(action.option_strings) or str(action.metavar), str(action.help) % vars(action))
        for group in groups
        for action in group._group_actions
        if action.help != argparse.SUPPRESS and not trained & set(action.option_strings)
    ]


def flag_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> nodes.table:
    """A table whose columns are code, but for the last."""
    table = nodes.table(classes=["flags"])
    group = nodes.tgroup(cols=len(titles))
    table += group
    group += [nodes.colspec(colwidth=7 if title == titles[-1] else 3) for title in titles]
    parts = nodes.thead(), nodes.tbody()
    group += list(parts)
    for part, lines in zip(parts, ([titles], rows), strict=True):
        for cells in lines:
            row = nodes.row()
            for text in cells:
                is_code = lines is rows and text and text is not cells[-1]
                inside = nodes.literal(text=text) if is_code else nodes.Text(text)
                row += nodes.entry("", nodes.paragraph("", "", inside))
            part += row
    return table


def default(item: dataclasses.Field[Any]) -> str:
    """A field's default as it is written on a command line."""
    if item.default is dataclasses.MISSING or item.default is None:
        return ""
    return ",".join(item.default) if isinstance(item.default, tuple) else str(item.default)


def add_contents(app: Sphinx, docname: str, source: list[str]) -> None:
    """Hang the other pages on the first one, whose file has to read well by itself."""
    if docname == root_doc:
        source[0] += f"\n{CONTENTS}"


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_directive("arguments", Arguments)
    app.add_directive("flags", Flags)
    app.connect("source-read", add_contents)
    app.connect("missing-reference", report_missing)
    app.connect("autodoc-process-docstring", plain_titles, priority=100)  # before napoleon
