"""Does it help? Remedies for a rare class, classifiers, an honest protocol, and a verdict.

Importing this package loads no torch: its names are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_MODULE_OF = {
    "CLASSIFIERS": "registry",
    "REMEDIES": "remedies",
    "GivenRows": "given_rows",
    "MisoSource": "miso",
    "as_given_rows": "given_rows_data",
    "compare": "protocol",
    "decide": "decision",
    "given_splits": "problem",
    "judge_rows": "row_judgement",
    "repeated_folds": "problem",
    "table": "findings",
    "verdict": "wording",
    "verdict_text": "wording",
    "write_page": "page",
}

__all__ = [*_MODULE_OF]

if TYPE_CHECKING:  # the same names, for type checkers and editors; a test compares the two
    from hf_oversample.comparison.decision import decide as decide
    from hf_oversample.comparison.findings import table as table
    from hf_oversample.comparison.given_rows import GivenRows as GivenRows
    from hf_oversample.comparison.given_rows_data import as_given_rows as as_given_rows
    from hf_oversample.comparison.miso import MisoSource as MisoSource
    from hf_oversample.comparison.page import write_page as write_page
    from hf_oversample.comparison.problem import given_splits as given_splits
    from hf_oversample.comparison.problem import repeated_folds as repeated_folds
    from hf_oversample.comparison.protocol import compare as compare
    from hf_oversample.comparison.registry import CLASSIFIERS as CLASSIFIERS
    from hf_oversample.comparison.remedies import REMEDIES as REMEDIES
    from hf_oversample.comparison.row_judgement import judge_rows as judge_rows
    from hf_oversample.comparison.wording import verdict as verdict
    from hf_oversample.comparison.wording import verdict_text as verdict_text


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
