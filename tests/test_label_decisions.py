"""Thresholds and measures of several labels: chosen on validation rows, read by one function."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.metrics import average_precision_score, f1_score
from transformers import AutoConfig, AutoModelForSequenceClassification, EvalPrediction, pipeline

import miso_fixtures
from hf_oversample.metrics.decisions import Decision, decide
from hf_oversample.metrics.label_decisions import LabelDecision, choose_label_decision
from hf_oversample.metrics.multi_label import MultiLabelMetrics, multi_label_report
from hf_oversample.metrics.thresholds import CONFIG_KEY
from hf_oversample.transforms.pipeline import MinorityTextClassificationPipeline
from trainer_fixtures import new_model, rows_of, trained

NAMES = ["toxic", "insult", "threat"]


def judged(rows: int, seed: int, sharpness: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are right at a temperature of ``sharpness``; labels ever rarer."""
    draws = np.random.default_rng(seed)
    right = draws.normal([0.0, -2.0, -4.0], 2.0, (rows, 3))
    return right * sharpness, (draws.random((rows, 3)) < expit(right)).astype(np.float32)


def test_each_label_has_the_threshold_with_its_best_f1() -> None:
    logits, labels = judged(800, 0)
    decision = choose_label_decision(logits, labels)
    assert decision.temperatures == pytest.approx((3, 3, 3), rel=0.3)
    stated = decision.probabilities(logits)
    taken = decision.labels(stated)
    for k in range(3):
        limits = np.sort(stated[:, k])[::8]  # a few suffice
        candidates = [f1_score(labels[:, k], stated[:, k] >= limit) for limit in limits]
        assert f1_score(labels[:, k], taken[:, k]) >= max(candidates) - 1e-9
    # the same rows are taken without calibration
    plain = choose_label_decision(logits, labels, calibration=None)
    assert plain.temperatures == (1, 1, 1)
    assert np.array_equal(plain.labels(plain.probabilities(logits)), taken)
    # other rows: better than one half for the rare label
    others, truth = judged(4000, 1, sharpness=3.0)
    found = multi_label_report(
        truth, decision.probabilities(others), thresholds=decision.thresholds
    )
    half = multi_label_report(truth, decision.probabilities(others))
    assert found["f1/2"] > half["f1/2"]
    assert found["macro_average_precision"] == half["macro_average_precision"]


def test_a_label_without_validation_rows() -> None:
    logits, labels = judged(50, 0)
    labels[:, 2] = 0
    with pytest.raises(ValueError, match="label 'threat' is on 0 of 50 validation rows"):
        choose_label_decision(logits, labels, names=NAMES)
    decision = choose_label_decision(logits, labels, missing=0.5)
    assert decision.thresholds[2] == 0.5


def test_it_is_kept_in_the_config_and_read_by_decide(tmp_path: Path) -> None:
    logits, labels = judged(300, 0)
    decision = choose_label_decision(logits, labels)
    config = new_model(3, "multi_label_classification").config
    decision.store(config)
    config.save_pretrained(tmp_path)
    json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert LabelDecision.of(loaded) == decision
    told, stated = decide(logits, loaded)
    assert told.dtype == np.int64
    assert np.array_equal(stated, decision.probabilities(logits))
    assert np.array_equal(told, decision.labels(stated))
    # of one class a row, as before
    Decision(1.0, (0.0,) * 3, (0.0,) * 3).store(config)
    assert decide(logits, config)[0].shape == (300,)
    with pytest.raises(ValueError, match="cannot be read: KeyError"):
        LabelDecision.of(config)
    setattr(config, CONFIG_KEY, {"thresholds": [0.5], "temperatures": [None]})
    with pytest.raises(ValueError, match="cannot be read"):
        decide(logits, config)


def test_the_pipeline_gives_the_labels_that_are_taken(tmp_path: Path) -> None:
    folder = miso_fixtures.encoder_folder()
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=3, problem_type="multi_label_classification"
    )
    model.config.id2label = dict(enumerate(NAMES))
    plain = pipeline(
        "text-classification", model, tokenizer=str(folder), function_to_apply="none", top_k=None
    )
    scores = {one["label"]: one["score"] for one in plain(["win a prize"])[0]}
    own = np.array([scores[name] for name in NAMES])
    # the first and the last reach their thresholds, the last by more
    limits = expit(own + np.array([-1.0, 1.0, -2.0]))
    LabelDecision(tuple(limits.tolist()), (1.0,) * 3).store(model.config)
    model.save_pretrained(tmp_path)
    made = pipeline(
        "text-classification",
        str(tmp_path),
        tokenizer=str(folder),
        pipeline_class=MinorityTextClassificationPipeline,
    )
    wanted = [
        {"label": NAMES[k], "score": pytest.approx(float(expit(own[k])), 1e-4)} for k in (2, 0)
    ]
    assert made(["win a prize"]) == [wanted]
    every = made(["win a prize"], top_k=None)[0]
    assert [one["label"] for one in every] == ["threat", "toxic", "insult"]
    assert len(made(["win a prize"], top_k=2)[0]) == 2
    LabelDecision((1 - 1e-9,) * 3, (1.0,) * 3).store(made.model.config)
    made.decision = LabelDecision.of(made.model.config)
    assert made(["win a prize"]) == [[]]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), rows=st.integers(4, 60))
def test_measures_are_scikit_learns(seed: int, rows: int) -> None:
    draws = np.random.default_rng(seed)
    truth, stated = draws.random((rows, 3)) < 0.3, draws.random((rows, 3))
    truth[0, 0] = True
    report = multi_label_report(truth.astype(int), stated, names=NAMES, thresholds=[0.2, 0.5, 0.7])
    taken = stated >= [0.2, 0.5, 0.7]
    present = np.flatnonzero(truth.any(axis=0))
    f1 = [f1_score(truth[:, k], taken[:, k], zero_division=0) for k in present]
    assert report["macro_f1"] == pytest.approx(np.mean(f1))
    assert report["micro_f1"] == pytest.approx(f1_score(truth, taken, average="micro"))
    assert report["exact_match"] == pytest.approx((truth == taken).all(axis=1).mean())
    own = [k for k in range(3) if 0 < truth[:, k].sum() < rows]
    precisions = [average_precision_score(truth[:, k], stated[:, k]) for k in own]
    if own:
        assert report["macro_average_precision"] == pytest.approx(np.mean(precisions))
    for k, value in zip(own, precisions, strict=True):
        assert report[f"average_precision/{NAMES[k]}"] == pytest.approx(value)


def test_the_trainers_metrics(tmp_path: Path) -> None:
    labels = [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]] * 4
    rows = rows_of(labels)
    trainer = trained(
        rows,
        tmp_path,
        model=new_model(3, "multi_label_classification"),
        given={"eval_dataset": rows, "compute_metrics": MultiLabelMetrics(NAMES)},
    )
    found = trainer.evaluate()
    assert {"eval_macro_average_precision", "eval_f1/threat", "eval_macro_f1_tuned"} <= set(found)
    output = trainer.predict(rows)
    decision = choose_label_decision(output.predictions, output.label_ids)
    told = MultiLabelMetrics(decision=decision)(output)
    taken, _ = decide(output.predictions, _with(trainer.model.config, decision))
    assert told["macro_f1"] == pytest.approx(f1_score(labels, taken, average="macro"))


def _with(config: Any, decision: LabelDecision) -> Any:
    decision.store(config)
    return config


def test_no_row_chooses_its_own_threshold() -> None:
    """Scores that say nothing: thresholds of one's own rows would find good ones by luck."""
    draws = np.random.default_rng(0)
    labels = np.zeros((2000, 2))
    labels[::200, 0] = labels[::2, 1] = 1
    found = MultiLabelMetrics()(EvalPrediction(draws.normal(size=(2000, 2)), labels))
    assert found["macro_f1_tuned"] < 0.4
    alone = np.zeros((40, 2))
    alone[0, 0] = alone[::2, 1] = 1  # a label of one row is told nowhere
    found = MultiLabelMetrics()(EvalPrediction(logit(np.full((40, 2), 0.4)), alone))
    assert found["macro_f1_tuned"] == pytest.approx((0 + 2 / 3) / 2)


@pytest.mark.parametrize(
    ("logits", "labels", "told"),
    [
        (np.zeros((4, 2)), np.zeros((4, 3)), r"labels have shape \(4, 3\)"),
        (np.zeros((4, 2)), np.full((4, 2), 0.5), "labels are 0.5 in row 0, position 0"),
        (np.full((4, 2), np.nan), np.ones((4, 2)), "the logits of row 0 are"),
        (np.zeros(4), np.ones(4), r"logits have shape \(4,\)"),
    ],
)
def test_what_cannot_be_chosen_by_is_named(
    logits: np.ndarray, labels: np.ndarray, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        choose_label_decision(logits, labels)


def test_bad_values_are_named() -> None:
    logits, labels = judged(50, 0)
    for thresholds, temperatures in (((0.0,), (1.0,)), ((0.5,), (0.0,)), ((0.5,), (1.0, 1.0))):
        with pytest.raises(ValueError, match="a threshold between 0 and 1"):
            LabelDecision(thresholds, temperatures)
    with pytest.raises(ValueError, match="1 names were given for 3 labels"):
        choose_label_decision(logits, labels, names=["a"])
    with pytest.raises(ValueError, match="chosen for 1"):
        LabelDecision((0.5,), (1.0,)).probabilities(logits)
    with pytest.raises(ValueError, match="the model has 2 labels, the decision 1"):
        LabelDecision((0.5,), (1.0,)).store(new_model(2).config)
    with pytest.raises(ValueError, match="none of the 50 rows has a label"):
        multi_label_report(np.zeros((50, 3)), expit(logits))
    with pytest.raises(ValueError, match="not finite"):
        multi_label_report(labels, np.full((50, 3), np.nan))
    with pytest.raises(ValueError, match="thresholds were given for 3 labels"):
        multi_label_report(labels, expit(logits), thresholds=[0.5, 0.5])
