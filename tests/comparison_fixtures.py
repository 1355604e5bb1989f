"""A comparison without its trainings: results made up, for pages and pictures."""

from __future__ import annotations

import numpy as np

from hf_oversample.comparison.findings import SHOWN
from hf_oversample.comparison.problem import repeated_folds
from hf_oversample.comparison.protocol import Comparison
from hf_oversample.comparison.records import Cell
from hf_oversample.comparison.remedies import moves_scores
from hf_oversample.comparison.scores import CALIBRATION_BINS, RECALLS
from hf_oversample.data.labeled_texts import Texts
from miso_fixtures import make_corpus

# Points above none: one remedy that helps, one that harms, ties, and a long name. What moves the
# threshold alone has a gain in F1 at the usual one, and ranks as none does.
GAINS = {
    "none": 0.0,
    "SMOTE": 0.25,
    "threshold moving": 0.19,
    "anchors once + logit adjustment": 0.004,
    "class weights": 0.001,
    "dice loss": -0.2,
}
CLASSIFIERS = {"linear": "frozen encoder + logistic regression", "textcnn": "TextCNN"}


def made_up() -> Comparison:
    """A comparison with results that no training has made, on folds of real rows."""
    texts, labels = make_corpus((80, 20))
    problem = repeated_folds(
        Texts(texts, labels), ["ham", "spam <b>&amp;"], folds=4, language="en", name="messages"
    )
    draws = np.random.default_rng(0)
    cells = []
    for kind in CLASSIFIERS:
        for remedy, gain in GAINS.items():
            for split in problem.splits:
                metrics = dict.fromkeys(SHOWN, 0.5) | {"roc_auc": 0.9 + 0.01 * draws.normal()}
                metrics["f1"] = 0.5 + gain + 0.01 * draws.normal()
                noise = draws.normal()
                ranks = 0.0 if moves_scores(remedy) else gain + (remedy != "none") * 0.01 * noise
                metrics["average_precision"] = 0.4 + ranks
                metrics["f1_tuned"] = 0.65 + ranks
                curves = {
                    "precision": np.linspace(1, 0.2, len(RECALLS)).tolist(),
                    "calibration": [[30, 3.0 * i + 1, 3 * i] for i in range(CALIBRATION_BINS)],
                }
                cells.append(
                    Cell(kind, remedy, split.key, metrics, 2.0, curves=curves, threshold=0.2)
                )
    skipped = [("linear", "focal loss", "it is solved, not trained in steps")]
    header = {"name": "messages", "settings": {"long": "word " * 100}}
    return Comparison(problem, header, cells, skipped, CLASSIFIERS)
