"""Writes the part of `hf_oversample/__init__.py` that type checkers and editors read.

    python scripts/public_names.py

The public names are listed once, in `_MODULE_OF`. This part says the same in imports, which is all
that a type checker understands; a test compares the two.
"""

from __future__ import annotations

import ast
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "hf_oversample" / "__init__.py"
FIRST = "if TYPE_CHECKING:  # written by scripts/public_names.py\n"
LAST = "# end of what scripts/public_names.py writes\n"
WIDTH = 100


def with_imports(source: str) -> str:
    """The file's text with the part that is written anew from its `_MODULE_OF`.

    Raises:
        ValueError: the list or one of the two lines about the part is missing.
    """
    lists = [
        ast.literal_eval(statement.value)
        for statement in ast.parse(source).body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "_MODULE_OF"
    ]
    if len(lists) != 1 or source.count(FIRST) != 1 or source.count(LAST) != 1:
        raise ValueError(
            f"{FILE} needs one _MODULE_OF = {{…}}, and one line each {FIRST!r} and {LAST!r}"
        )
    lines = []
    for module, name in sorted((module, name) for name, module in lists[0].items()):
        line = f"    from {module} import {name} as {name}\n"
        if len(line) > WIDTH + 1:
            line = f"    from {module} import (\n        {name} as {name},\n    )\n"
        lines.append(line)
    before, _, rest = source.partition(FIRST)
    return f"{before}{FIRST}{''.join(lines)}{LAST}{rest.partition(LAST)[2]}"


def main() -> None:
    """Writes the file."""
    FILE.write_text(with_imports(FILE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
