"""Does it help? Remedies for a rare class, classifiers, an honest protocol, and a verdict."""

from hf_oversample.comparison.findings import table
from hf_oversample.comparison.miso import MisoSource
from hf_oversample.comparison.page import write_page
from hf_oversample.comparison.problem import given_splits, repeated_folds
from hf_oversample.comparison.protocol import compare
from hf_oversample.comparison.registry import CLASSIFIERS
from hf_oversample.comparison.remedies import REMEDIES
from hf_oversample.comparison.verdict import verdict

__all__ = [
    "CLASSIFIERS",
    "REMEDIES",
    "MisoSource",
    "compare",
    "given_splits",
    "repeated_folds",
    "table",
    "verdict",
    "write_page",
]
