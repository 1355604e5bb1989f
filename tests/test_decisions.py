"""Probabilities and thresholds after training: chosen on validation rows, kept in the config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import brier_score_loss, f1_score, log_loss, precision_recall_curve
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    EvalPrediction,
    pipeline,
)

import miso_fixtures
from hf_oversample.metrics.classification import expected_calibration_error
from hf_oversample.metrics.decisions import Decision, choose_decision, decide
from hf_oversample.metrics.evaluation import MinorityMetrics
from hf_oversample.metrics.thresholds import CONFIG_KEY, moved
from hf_oversample.transforms.pipeline import MinorityTextClassificationPipeline
from trainer_fixtures import new_model, rows_of, trained


def judged(rows: int, seed: int, sharpness: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax at a temperature of ``sharpness`` is right, and labels, 10 % rare."""
    draws = np.random.default_rng(seed)
    margin = draws.normal(-3.0, 2.0, rows)
    labels = (draws.random(rows) < 1 / (1 + np.exp(-margin))).astype(int)
    return np.stack([-margin, margin], axis=1) / 2 * sharpness, labels


class TestChoosing:
    @pytest.mark.parametrize("kind", ["temperature", "isotonic"])
    def test_calibration(self, kind: Any) -> None:
        decision = choose_decision(*judged(4000, 0), calibration=kind)
        logits, labels = judged(20000, 1)
        before = expected_calibration_error(labels, softmax(logits, axis=1)[:, 1])
        after = expected_calibration_error(labels, decision.probabilities(logits)[:, 1])
        assert before > 0.05
        assert after < (0.01 if kind == "temperature" else 0.02)
        np.testing.assert_allclose(decision.probabilities(logits).sum(axis=1), 1)
        if kind == "temperature":
            assert decision.temperature == pytest.approx(4, rel=0.2)

    def test_the_threshold_is_the_one_with_the_best_f1(self) -> None:
        logits, labels = judged(4000, 0, 1.0)
        decision = choose_decision(logits, labels)
        stated = decision.probabilities(logits)
        precision, recall, _ = precision_recall_curve(labels, stated[:, 1])
        best = (2 * precision * recall / np.maximum(precision + recall, 1e-9)).max()
        assert f1_score(labels, decision.classes(stated)) == pytest.approx(best)
        assert f1_score(labels, stated.argmax(axis=1)) < best
        plain = choose_decision(logits, labels, threshold=False)
        assert plain.offsets == (0.0, 0.0)
        np.testing.assert_allclose(plain.probabilities(logits), stated)

    def test_offsets_of_several_classes_do_not_lower_macro_f1(self) -> None:
        draws = np.random.default_rng(0)
        labels = draws.choice(3, 600, p=[0.8, 0.15, 0.05])
        logits = draws.normal(size=(600, 3)) + 2 * np.eye(3)[labels] + [2, 1, 0]
        decision = choose_decision(logits, labels)
        stated = decision.probabilities(logits)
        tuned = f1_score(labels, decision.classes(stated), average="macro")
        assert tuned > f1_score(labels, stated.argmax(axis=1), average="macro") + 0.02

    def test_resampling_is_undone(self) -> None:
        """A model of balanced rows states p · n'_k / n_k; the shift takes that back."""
        logits, labels = judged(4000, 0, 1.0)
        counts = [900, 100]
        resampled = logits + np.log([500 / 900, 500 / 100])
        decision = choose_decision(
            resampled, labels, calibration=None, trained_on=[500, 500], prior=counts
        )
        np.testing.assert_allclose(decision.probabilities(resampled), softmax(logits, axis=1))
        adjusted = choose_decision(
            logits, labels, calibration=None, trained_on=counts, prior=[1, 1]
        )
        expected = moved(softmax(logits, axis=1), -np.log([0.9, 0.1]))
        np.testing.assert_allclose(adjusted.probabilities(logits), expected)

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"labels": [0, 1, 2]}, "class id from 0 to 1"),
            ({"labels": [0, 1]}, "class id from 0 to 1"),
            ({"labels": [0, 0, 0]}, "class 1 has no validation row"),
            ({"labels": [0, None, 1]}, "row 1 of labels is null"),
            ({"logits": [[0, 1], [np.nan, 0], [1, 0]]}, "logits of row 1"),
            ({"logits": [0, 1, 2]}, r"shape \(3,\)"),
            ({"calibration": "platt"}, "'platt'"),
            ({"prior": [9, 1]}, "give both"),
            ({"prior": [9, 0], "trained_on": [1, 1]}, "positive numbers"),
        ],
    )
    def test_bad_input(self, change: dict[str, Any], told: str) -> None:
        given: dict[str, Any] = {"logits": [[0, 1], [1, 0], [2, 0]], "labels": [0, 1, 0]} | change
        with pytest.raises(ValueError, match=told):
            choose_decision(given.pop("logits"), given.pop("labels"), **given)


class TestStored:
    @pytest.mark.parametrize("kind", ["temperature", "isotonic"])
    def test_it_goes_where_the_model_goes(self, kind: Any, tmp_path: Path) -> None:
        logits, labels = judged(400, 0)
        decision = choose_decision(logits, labels, calibration=kind)
        model = new_model(2)
        decision.store(model.config)
        model.save_pretrained(tmp_path)
        assert CONFIG_KEY in json.loads((tmp_path / "config.json").read_text())
        config = AutoConfig.from_pretrained(tmp_path)
        assert Decision.of(config) == decision
        ids, stated = decide(logits, config)
        np.testing.assert_array_equal(ids, decision.classes(decision.probabilities(logits)))
        np.testing.assert_array_equal(stated, decision.probabilities(logits))

    def test_errors(self) -> None:
        decision = choose_decision(*judged(400, 0))
        with pytest.raises(ValueError, match="3 labels, the decision 2"):
            decision.store(new_model(3).config)
        with pytest.raises(ValueError, match="logits of 3 classes"):
            decision.probabilities([[0, 1, 2]])
        config = new_model(2).config
        with pytest.raises(ValueError, match="choose_decision"):
            Decision.of(config)
        setattr(config, CONFIG_KEY, {"temperature": 1.0})
        with pytest.raises(ValueError, match="cannot be read: KeyError"):
            Decision.of(config)
        for wrong in ({"temperature": 0.0}, {"shift": (0.0,)}, {"offsets": (0.0, np.inf)}):
            values: dict[str, Any] = {
                "temperature": 1.0,
                "shift": (0.0, 0.0),
                "offsets": (0.0, 0.0),
            }
            with pytest.raises(ValueError, match="positive temperature"):
                Decision(**values | wrong)


class TestPipeline:
    @pytest.fixture
    def folder(self) -> Path:
        return miso_fixtures.encoder_folder()

    def test_it_reads_the_decision(self, folder: Path, tmp_path: Path) -> None:
        names = {0: "ham", 1: "spam"}
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
        model.config.id2label = names
        Decision(2.0, (0.0, 0.0), (0.0, 20.0)).store(model.config)
        model.save_pretrained(tmp_path)
        tokenizer = str(folder)
        made = pipeline(
            "text-classification",
            str(tmp_path),
            tokenizer=tokenizer,
            pipeline_class=MinorityTextClassificationPipeline,
        )
        plain = pipeline("text-classification", str(tmp_path), tokenizer=tokenizer, top_k=None)
        scores = {one["label"]: one["score"] for one in plain(["win a prize"])[0]}
        logits = np.log([[scores["ham"], scores["spam"]]])
        expected = softmax(logits / 2, axis=1)[0]
        assert made("win a prize") == [{"label": "spam", "score": pytest.approx(expected[1], 1e-4)}]
        both = made(["win a prize"], top_k=None)[0]
        assert [one["label"] for one in both] == ["spam", "ham"]
        assert both[1]["score"] == pytest.approx(expected[0], 1e-4)
        with pytest.raises(ValueError, match="applies the decision"):
            made("win a prize", function_to_apply="sigmoid")

    def test_without_a_decision(self, folder: Path) -> None:
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
        with pytest.raises(ValueError, match="has no 'minority_decision'"):
            pipeline(
                "text-classification",
                model,
                tokenizer=str(folder),
                pipeline_class=MinorityTextClassificationPipeline,
            )


class TestMetrics:
    def test_of_two_classes(self) -> None:
        logits, labels = judged(2000, 0)
        stated = softmax(logits, axis=1)[:, 1]
        difficult = np.arange(2000) % 3 == 0
        found = MinorityMetrics(difficult=difficult)(EvalPrediction(logits, labels))
        assert found["brier"] == pytest.approx(brier_score_loss(labels, stated))
        assert found["log_loss"] == pytest.approx(log_loss(labels, stated))
        assert found["ece"] == pytest.approx(expected_calibration_error(labels, stated))
        assert found["f1"] == pytest.approx(f1_score(labels, stated > 0.5))
        kept = difficult | (labels == 0)
        assert found["f1_difficult"] == pytest.approx(f1_score(labels[kept], stated[kept] > 0.5))
        assert {"average_precision", "f1_tuned", "f1_other"} <= set(found)

    def test_no_row_chooses_its_own_threshold(self) -> None:
        """Scores that say nothing: a threshold of one's own rows would find a good one by luck."""
        draws = np.random.default_rng(0)
        labels = (np.arange(4000) % 400 == 0).astype(int)
        margin = draws.normal(size=4000)
        logits = np.stack([-margin, margin], axis=1)
        tuned = MinorityMetrics()(EvalPrediction(logits, labels))["f1_tuned"]
        precision, recall, _ = precision_recall_curve(labels, margin)
        best = (2 * precision * recall / np.maximum(precision + recall, 1e-9)).max()
        assert tuned < best

    def test_a_decision_is_used(self) -> None:
        logits, labels = judged(2000, 0, 1.0)
        decision = choose_decision(logits, labels)
        plain = MinorityMetrics()(EvalPrediction(logits, labels))
        chosen = MinorityMetrics(decision=decision)(EvalPrediction(logits, labels))
        assert chosen["f1"] > plain["f1"]
        assert chosen["average_precision"] == pytest.approx(plain["average_precision"])

    def test_of_several_classes_in_the_trainer(self, tmp_path: Path) -> None:
        rows = rows_of([0, 0, 0, 0, 0, 1, 1, 1, 2, 2])
        given = {"eval_dataset": rows, "compute_metrics": MinorityMetrics(2)}
        found = trained(rows, tmp_path, given=given).evaluate()
        assert {"eval_average_precision", "eval_macro_f1", "eval_brier", "eval_ece"} <= set(found)
        assert 0 < found["eval_brier"] < 2

    def test_errors(self) -> None:
        logits, labels = judged(50, 0)
        with pytest.raises(ValueError, match="both classes"):
            MinorityMetrics()(EvalPrediction(logits, np.zeros(50, int)))
        with pytest.raises(ValueError, match="mark the evaluation rows"):
            MinorityMetrics(difficult=[True])(EvalPrediction(logits, labels))
        logits[3] = np.nan
        with pytest.raises(ValueError, match="logits of row 3"):
            MinorityMetrics()(EvalPrediction(logits, labels))
