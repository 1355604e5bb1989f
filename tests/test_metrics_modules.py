"""The `evaluate` modules: loaded by path without a network, right on values worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import pytest
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

import hf_oversample

METRICS = Path(hf_oversample.__file__).parent / "metrics"
Load = Callable[[str], Any]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    return lambda name: evaluate.load(str(METRICS / name / f"{name}.py"), cache_dir=str(tmp_path))


def test_every_module_is_named_as_its_folder() -> None:
    folders = {path.parent.name for path in METRICS.glob("*/*.py")}
    assert folders == {
        "copy_rate", "difficult_samples", "distinct_n", "hard_to_differentiate", "label_agreement",
        "self_bleu", "two_sample",
    }  # fmt: skip
    assert all((METRICS / name / f"{name}.py").exists() for name in folders)


def test_copy_rate(load: Load) -> None:
    reference = ["Win a prize now", "see you at home tonight"]
    made = ["win a  prize NOW", "see you at home tonight ok", "nothing alike"]
    # Exact: the first. Near: also the second, 5 of 6 tokens shared.
    found = load("copy_rate").compute(data=made, reference=reference, threshold=0.8)
    assert found["exact_copies"] == pytest.approx(1 / 3)
    assert found["near_copies"] == pytest.approx(2 / 3)
    strict = load("copy_rate").compute(data=made, reference=reference, threshold=0.9)
    assert strict["near_copies"] == pytest.approx(1 / 3)


def test_distinct_n(load: Load) -> None:
    # 6 words, 3 of them different; 4 pairs: a-b, b-c, a-b, b-c.
    found = load("distinct_n").compute(data=["a b c", "a b c"], orders=[1, 2, 5])
    assert found["distinct"] == 0.5
    assert found["distinct_1"] == 0.5
    assert found["distinct_2"] == 0.5
    assert math.isnan(found["distinct_5"])


def test_self_bleu_is_nltks(load: Load) -> None:
    texts = ["the cat sat on the mat", "the cat lay on the mat", "dogs bark at night today"]
    tokens = [text.split() for text in texts]
    smoothing = SmoothingFunction().method1
    expected = [
        sentence_bleu(tokens[:i] + tokens[i + 1 :], own, smoothing_function=smoothing)
        for i, own in enumerate(tokens)
    ]
    found = load("self_bleu").compute(data=texts)
    assert found["self_bleu"] == pytest.approx(sum(expected) / 3)
    same = load("self_bleu").compute(data=["the cat sat on the mat"] * 3)
    assert same["self_bleu"] == pytest.approx(1.0)


def test_hard_to_differentiate(load: Load) -> None:
    # On one axis: 0 to 4 of class 0, and 1 at 0 and 1 at 9 of class 1; ten bins: one is shared.
    rows = [[float(x), 0.0] for x in (0, 1, 2, 3, 4, 0, 9)]
    labels = [0] * 5 + [1] * 2
    module = load("hard_to_differentiate")
    found = module.compute(predictions=rows, references=labels, bins=10)
    assert found["hard_to_differentiate"] == pytest.approx(0.5)


def test_difficult_samples(load: Load) -> None:
    # Minority rows at 0.0, 0.1, 0.2 are by themselves; the one at 10.0 is among the others.
    places = [0.0, 0.1, 0.2, 10.0, 10.1, 10.2, 10.3, 10.4]
    labels = [1, 1, 1, 1, 0, 0, 0, 0]
    predicted = [1, 1, 0, 0, 0, 0, 0, 1]
    found = load("difficult_samples").compute(
        predictions=predicted, references=labels, embeddings=[[x, 0.0] for x in places], k=2
    )
    assert found["difficult_share"] == 0.25
    assert found["f1_difficult"] == 0.0  # missed, one false alarm
    assert found["f1_other"] == pytest.approx(2 * 2 / (3 + 3))  # two found of three, the same alarm
    with pytest.raises(ValueError, match="no row is of the class 7"):
        load("difficult_samples").compute(
            predictions=predicted, references=labels, embeddings=[[x] for x in places], minority=7
        )


def test_label_agreement(load: Load) -> None:
    found = load("label_agreement").compute(predictions=[1, 0, 1, 2], references=[1, 1, 1, 2])
    assert found["label_agreement"] == 0.75
    assert found["label_agreement/1"] == pytest.approx(2 / 3)
    assert found["label_agreement/2"] == 1.0


def test_two_sample(load: Load) -> None:
    rng = np.random.default_rng(0)
    words = ["rain", "sun", "wind", "cloud", "storm", "frost", "heat", "mist"]
    real = [" ".join(rng.choice(words, 6)) + " today" for _ in range(60)]
    made = [text.replace(" ", "  ") for text in real[:40]]
    found = load("two_sample").compute(data=made, reference=real)
    assert found["auc"] == pytest.approx(1.0)
    assert (found["made"], found["real"], found["unknown_made"]) == (40, 60, 0.0)
    assert any(mark.startswith("repeated spaces (") for mark in found["giveaways"])
    few = load("two_sample").compute(data=["hail today"], reference=real, known=["hail"])
    assert (few["auc"], few["unknown_made"]) == (None, 0.0)
