"""The project's pages, the blocks of code in them, and the folder that these run in."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
# ```bash, ```python ... with nothing else behind the name, so that no block is left out by a word
BLOCK = re.compile(r"^( *)```(\S*)([^\n]*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of code of a page; ``rest`` is what its first line says after the language."""

    language: str
    rest: str
    text: str
    line: int


def pages() -> list[Path]:
    """Every page of the project that people read."""
    found = [*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")]
    found += [*(PROJECT / "skills").rglob("*.md"), *(PROJECT / "benchmarks").glob("*.md")]
    return sorted(found)


def name(page: Path) -> str:
    return page.relative_to(PROJECT).as_posix()


def blocks(page: Path, *languages: str) -> list[Block]:
    """The blocks of a page in these languages; in all if none is named."""
    text = page.read_text(encoding="utf-8")
    found = [
        Block(
            match[2],
            match[3].strip(),
            textwrap.dedent(match[4]),
            text.count("\n", 0, match.start()) + 2,
        )
        for match in BLOCK.finditer(text)
    ]
    return [block for block in found if not languages or block.language in languages]


def commands(page: Path) -> Iterator[tuple[int, str]]:
    """Every command of a page's bash blocks, its line number first; continued lines are joined."""
    for block in blocks(page, "bash"):
        joined = re.sub(r"\\\n\s*", "", block.text)
        for command in joined.splitlines():
            if command.strip() and not command.lstrip().startswith("#"):
                yield block.line, command.strip()
