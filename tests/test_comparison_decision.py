"""What a comparison says to do, on planted results of every shape that misleads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_oversample.comparison import answer
from hf_oversample.comparison.advice import remedy_lines, shown_threshold, threshold_lines
from hf_oversample.comparison.answer import ClassifierAnswer
from hf_oversample.comparison.decision import decide
from hf_oversample.comparison.findings import table
from hf_oversample.comparison.page import write_page
from hf_oversample.comparison.problem import Problem
from hf_oversample.comparison.protocol import Comparison
from hf_oversample.comparison.records import Cell
from hf_oversample.comparison.remedies import REMEDIES, VECTOR_METHODS, is_free
from hf_oversample.comparison.wording import markdown, verdict, verdict_line
from hf_oversample.metrics.classification import best_threshold
from miso_fixtures import CLASS_NAMES

# remedy → F1 at one half, average precision, tuned F1, each in percent: mean, and its wobble
Plan = Mapping[str, Sequence[float]]
WOBBLES = np.array([[-1, 0.5, 1, -0.6, 0.1], [0.4, -1, 0.7, 0.9, -1], [1, -0.3, -0.9, 0.6, -0.4]])


def planted(
    rows: Plan,
    *,
    kinds: Mapping[str, float] | None = None,
    folds: int = 5,
    threshold: float | None = 0.21,
    **problem: Any,
) -> Comparison:
    """Cells with these results: (F1, average precision, tuned F1), or with a fourth number, the
    points by which folds differ, each remedy's in an order of its own; `kinds` gives points to add
    to all of a classifier's."""
    kinds = kinds or {"linear": 0.0}
    cells = [
        Cell(
            kind,
            remedy,
            f"fold{i}",
            metrics={
                name: float(
                    np.clip((mean + more + spread * WOBBLES[m, (i + place) % 5]) / 100, 0, 1)
                )
                for m, (name, mean) in enumerate(
                    zip(("f1", "average_precision", "f1_tuned"), (f1, ap, tuned), strict=True)
                )
            }
            | {"roc_auc": 0.8 + 0.01 * WOBBLES[0, i % 5], "balanced_accuracy": (50 + f1 / 2) / 100},
            seconds=2.0 if remedy == "none" else 6.0,
            threshold=threshold,
        )
        for kind, more in kinds.items()
        for place, (remedy, (f1, ap, tuned, *rest)) in enumerate(rows.items())
        for spread in (rest[0] if rest else 0.5,)
        for i in range(folds)
    ]
    facts: dict[str, Any] = {"class_names": list(CLASS_NAMES[:2]), "minority": 1, "overlap": 0.29}
    facts |= problem
    return Comparison(
        Problem("tweets", language="en", splits=[], **facts),
        {"steps": 400, "encoder": None},
        cells,
        classifiers={kind: kind.capitalize() for kind in kinds},
    )


def first(comparison: Comparison, metric: str = "average_precision") -> ClassifierAnswer:
    return decide(comparison, metric).classifiers[0]


def outcomes(one: ClassifierAnswer) -> dict[str, str]:
    return {remedy.remedy: remedy.outcome for remedy in one.remedies}


# 1,157 tweets, 14 % rare: what a user saw, of which "anchors" was named the only one that helps
TWEETS: Plan = {
    "none": (0, 34.4, 39.4, 1.0),
    "threshold moving": (39.4, 34.4, 39.4, 30.0),
    "logit adjustment": (38.0, 34.4, 39.2, 6.0),
    "class weights": (31.0, 33.8, 38.7, 6.0),
    "duplicates": (24.0, 32.9, 37.0, 6.0),
    "EDA edits": (22.0, 32.0, 36.4, 6.0),
    "anchors": (29.7, 30.1, 28.8, 1.7),
}


@pytest.mark.parametrize("metric", ["average_precision", "f1", "balanced_accuracy", "f1_tuned"])
def test_the_worst_remedy_is_not_the_one_that_helps(metric: str, tmp_path: Path) -> None:
    comparison = planted(TWEETS)
    one = first(comparison, metric)
    assert one.recommendation.action == answer.MOVE_THRESHOLD
    assert (one.recommendation.remedy, one.recommendation.threshold) == ("none", 0.21)
    assert outcomes(one)["anchors"] == answer.WORSE
    told = decide(comparison, metric)
    headline = verdict(comparison, metric)[0]
    assert headline.startswith("Linear: move the threshold to 0.21 (F1 ")
    assert headline.endswith("; nothing else is shown to add to it.")
    line = verdict_line(told)
    assert line.startswith("VERDICT: {")
    assert "\n" not in line
    values = json.loads(line.removeprefix("VERDICT: "))
    assert values["recommendation"]["action"] == "move the threshold"
    assert values["recommendation"]["threshold"] == 0.21
    assert values["headline"] == headline.removeprefix("Linear: ")
    assert values["ranking"] == "average_precision"
    assert values["tuned"] == "f1_tuned"
    page = write_page(comparison, tmp_path / "page.html", metric).read_text(encoding="utf-8")
    begin, end = page.index('class="answer"'), page.index("<h2>Linear")
    assert "move the threshold to 0.21" in page[begin:end]
    assert ("whatever this table is sorted by" in page) == (metric in ("f1", "balanced_accuracy"))


def test_the_table_is_sorted_by_what_was_asked() -> None:
    comparison = planted(TWEETS)
    first_cells = [row.split("|")[1].strip() for row in table(comparison, "f1").splitlines()[4:]]
    assert first_cells[:3] == ["threshold moving", "logit adjustment", "class weights"]


def test_what_wins_by_moving_the_threshold_is_no_remedy() -> None:
    one = first(
        planted(
            {
                "none": (10, 50, 60, 0.2),
                "SMOTE": (60, 50.1, 59.9, 0.2),
                "duplicates": (55, 49, 59.5, 4),
            }
        )
    )
    assert one.recommendation.action == answer.MOVE_THRESHOLD
    assert outcomes(one) == {"SMOTE": answer.EQUAL, "duplicates": answer.CANNOT_TELL}
    text = " ".join(verdict(planted({"none": (10, 50, 60, 0.2), "SMOTE": (60, 50.1, 59.9, 0.2)})))
    assert "equal to none within ± 1 point: SMOTE (average precision +0.1 ± " in text


EVEN = (50, 50, 60, 0.2)


def test_equal_is_told_from_cannot_tell() -> None:
    comparison = planted({"none": EVEN, "SMOTE": EVEN, "ADASYN": (50, 50, 60, 9)})
    assert outcomes(first(comparison)) == {"SMOTE": answer.EQUAL, "ADASYN": answer.CANNOT_TELL}
    text = " ".join(verdict(comparison))
    assert "cannot tell from none: ADASYN (average precision " in text
    assert "intervals that wide may hide a real gain or harm" in text


def test_better_in_one_measure_and_lower_in_the_other_is_not_recommended() -> None:
    """Worse in ranking, better in tuned F1 (and in balanced accuracy); and the other way round."""
    one = first(planted({"none": (10, 50, 60), "SMOTE": (60, 44, 66), "AMO": (60, 56, 54)}))
    assert set(outcomes(one).values()) == {answer.ONE_SIDED}
    assert one.recommendation.action == answer.MOVE_THRESHOLD


def test_what_helps_is_recommended_with_its_own_threshold_and_cost() -> None:
    comparison = planted(
        {
            "none": (10, 50, 60),
            "class weights": (50, 50.2, 60.1),
            "SMOTE": (50, 53, 62),
            "anchors": (55, 58, 69),
        }
    )
    cells = [
        replace(c, threshold=0.04 + 0.01 * int(c.fold[-1])) if c.remedy == "anchors" else c
        for c in comparison.cells
    ]
    one = first(replace(comparison, cells=cells))
    assert one.recommendation.action == answer.USE_REMEDY
    assert one.recommendation.remedy == "anchors"
    assert one.recommendation.threshold == pytest.approx(0.06)
    assert one.recommendation.thresholds == pytest.approx((0.04, 0.08))
    assert one.recommendation.gain == pytest.approx({"average_precision": 8, "f1_tuned": 9}, abs=1)
    anchors = next(r for r in one.remedies if r.remedy == "anchors")
    assert (anchors.seconds, anchors.cost, anchors.is_free) == (6.0, 3.0, False)
    text = " ".join(verdict(replace(comparison, cells=cells)))
    assert "train with anchors and move the threshold to 0.06: +8" in text
    assert "significantly more than all that is free" in text
    assert "anchors (average precision +8.0 ± " in text
    assert "6.0 s, 3.0 times none" in text
    assert outcomes(one)["SMOTE"] == answer.HELPS


def test_what_ties_with_something_free_is_not_recommended() -> None:
    rows = {"none": (10, 50, 60), "class weights": (50, 55, 66), "anchors": (55, 55.3, 66.4, 1.5)}
    one = first(planted(rows))
    assert outcomes(one) == {"class weights": answer.HELPS, "anchors": answer.NOT_ABOVE_FREE}
    assert (one.recommendation.remedy, one.best_free) == ("class weights", "class weights")
    text = " ".join(verdict(planted(rows)))
    assert "it costs no more than the plain training" in text
    assert "not shown to beat what is free, class weights for one" in text


@pytest.mark.parametrize("measure", [1, 2])
@pytest.mark.parametrize("free", [name for name in REMEDIES if is_free(name) and name != "none"])
def test_a_mean_below_that_of_something_free_is_never_recommended(free: str, measure: int) -> None:
    """Far better than none in both measures, and in one a little below what is free, of which
    nothing is shown since it varies."""
    above = [50.0, 60.0, 70.0, 25.0]
    above[measure] += 1.0
    above[3 - measure] -= 8.0
    one = first(planted({"none": (10, 50, 60), free: above, "anchors": (50, 60, 70)}))
    assert outcomes(one)["anchors"] == answer.NOT_ABOVE_FREE
    assert one.recommendation.remedy == "none"


@pytest.mark.parametrize("measure", [1, 2])
def test_a_gain_over_what_is_free_does_not_outweigh_a_lower_mean(measure: int) -> None:
    """Shown to be far better than class weights in one measure, and below them in the other."""
    weights = [50.0, 60.0, 70.0]
    weights[measure] += 1.0
    weights[3 - measure] -= 8.0
    one = first(planted({"none": (10, 50, 60), "class weights": weights, "anchors": (50, 60, 70)}))
    assert outcomes(one) == {"class weights": answer.HELPS, "anchors": answer.NOT_ABOVE_FREE}
    assert one.recommendation.remedy == "class weights"


@settings(max_examples=60, deadline=None)
@given(
    rows=st.fixed_dictionaries(
        {
            name: st.tuples(*[st.floats(5, 90)] * 3, st.floats(0.01, 8))
            for name in ("none", "threshold moving", "logit adjustment", "class weights", "SMOTE")
        }
        | {"anchors": st.tuples(*[st.floats(5, 90)] * 3, st.floats(0.01, 8))}
    ),
    folds=st.integers(1, 5),
)
def test_whatever_the_results_no_recommendation_is_below_what_is_free(
    rows: dict[str, tuple[float, ...]], folds: int
) -> None:
    told = decide(planted(rows, folds=folds))
    json.dumps(told.to_dict(), allow_nan=False)
    assert markdown(told).count("\n### ") + markdown(told).startswith("### ") == 1
    (one,) = told.classifiers
    chosen = one.recommendation
    if chosen.action != answer.USE_REMEDY:
        assert chosen.remedy == "none"
        return
    assert folds > 1
    means = {
        r.remedy: {name: c.difference for name, c in r.contrasts.items()} for r in one.remedies
    }
    own = means[chosen.remedy]
    assert min(own.values()) >= 0
    for name, other in means.items():
        if is_free(name) and not is_free(chosen.remedy):
            assert all(own[m] >= other[m] - 1e-9 for m in own), name


def test_where_nothing_helps_the_rows_stay_as_they_are() -> None:
    comparison = planted({"none": (60, 50, 60.2, 0.2), "SMOTE": (60, 50, 60), "AMO": (50, 40, 50)})
    one = first(comparison)
    assert one.recommendation.action == answer.KEEP
    assert one.recommendation.threshold is None
    assert one.moving is not None
    assert one.moving.outcome == "equal"
    assert (
        "train on the rows as they are, without a remedy; nothing is shown to help"
        in (verdict(comparison)[0])
    )
    harmed = first(planted({"none": (60, 50, 55), "SMOTE": (60, 50, 55)}))
    assert harmed.recommendation.action == answer.KEEP


def test_all_remedies_failed() -> None:
    comparison = planted({"none": (10, 50, 60), "SMOTE": (1, 1, 1), "AMO": (1, 1, 1)})
    cells = [
        c if c.remedy == "none" else Cell(c.classifier, c.remedy, c.fold, refused="too few rows")
        for c in comparison.cells
    ]
    comparison = replace(comparison, cells=cells)
    assert outcomes(first(comparison)) == {"SMOTE": answer.FAILED, "AMO": answer.FAILED}
    lines = verdict(comparison)
    assert "move the threshold to 0.21" in lines[0]
    assert "no remedy gave a result" in lines[0]
    assert "Linear: no result of SMOTE: too few rows (5 of 5)." in lines
    json.dumps(decide(comparison).to_dict(), allow_nan=False)


def test_none_failed_too_is_no_answer() -> None:
    comparison = planted(
        {"none": (10, 50, 60), "SMOTE": (50, 60, 70)}, kinds={"linear": 0, "mlp": 0}
    )
    cells = [
        Cell(c.classifier, c.remedy, c.fold, refused="diverged")
        if (c.classifier, c.remedy) == ("mlp", "none")
        else c
        for c in comparison.cells
    ]
    told = decide(replace(comparison, cells=cells))
    assert [one.recommendation.action for one in told.classifiers] == [
        answer.USE_REMEDY,
        answer.NO_ANSWER,
    ]
    assert told.classifier == "linear"
    everything = [Cell(c.classifier, c.remedy, c.fold, refused="diverged") for c in cells]
    told = decide(replace(comparison, cells=everything))
    assert (told.classifier, told.recommendation) == (None, None)
    assert json.loads(verdict_line(told)[9:])["headline"] is None


def test_one_seed_shows_nothing_but_the_threshold_is_free() -> None:
    comparison = planted({"none": (0, 34, 39), "anchors": (80, 80, 80)}, folds=1, overlap=0.0)
    one = first(comparison)
    assert one.recommendation.action == answer.MOVE_THRESHOLD
    assert outcomes(one) == {"anchors": answer.NOT_COMPARED}
    lines = verdict(comparison)
    assert "one run cannot show whether anything adds to it" in lines[0]
    assert any("ask for more folds or seeds" in line for line in lines)
    assert "anchors" not in lines[0]


def test_the_same_difference_in_every_run_recommends_nothing() -> None:
    one = first(planted({"none": (50, 50, 60, 0), "class weights": (60, 60, 70, 0)}, overlap=0.0))
    assert outcomes(one) == {"class weights": answer.SAME_IN_EVERY_RUN}
    assert one.recommendation.remedy == "none"


def test_an_average_of_two_models_has_to_beat_that_of_two_plain_ones() -> None:
    rows = {"none": (50, 50, 60), "plain + anchors": (60, 55, 65), "plain + plain": (60, 55, 65)}
    one = first(planted(rows))
    assert outcomes(one) == {"plain + anchors": answer.ONLY_AVERAGING}
    assert one.recommendation.remedy == "none"
    alone = {name: row for name, row in rows.items() if name != "plain + plain"}
    assert first(planted(alone)).recommendation.remedy == "plain + anchors"


def test_thresholds_that_lie_apart_are_said_and_those_not_known_are_not_made_up() -> None:
    comparison = planted({"none": (0, 34, 39)})
    cells = [replace(c, threshold=0.02 * 2 ** int(c.fold[-1])) for c in comparison.cells]
    one = first(replace(comparison, cells=cells))
    assert one.recommendation.threshold == pytest.approx(0.08)
    assert any("thresholds from 0.02 to 0.32" in line for line in one.warnings)
    assert "no remedy was asked for" in verdict(replace(comparison, cells=cells))[0]
    unknown = first(planted({"none": (0, 34, 39)}, threshold=None))
    assert unknown.recommendation.action == answer.MOVE_THRESHOLD
    assert unknown.recommendation.threshold is None
    assert verdict(planted({"none": (0, 34, 39)}, threshold=None))[0].startswith(
        "Linear: move the threshold (F1 "
    )


def test_several_classifiers_are_told_apart_and_the_best_comes_first(tmp_path: Path) -> None:
    comparison = planted(TWEETS, kinds={"textcnn": 0.0, "linear": 30.0})
    told = decide(comparison)
    assert told.classifier == "linear"
    assert told.recommendation == told.classifiers[1].recommendation
    lines = verdict(comparison)
    assert lines[0].startswith("Linear ranks best (average precision 64.4; next is Textcnn, 34.4)")
    assert "move the threshold to 0.21" in lines[0]
    page = write_page(comparison, tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.index("<h3>Linear") < page.index("<h3>Textcnn")


def test_a_measure_that_is_missing_is_said() -> None:
    comparison = planted({"none": (10, 50, 60), "SMOTE": (50, 60, 70)})
    cells = [
        replace(c, metrics={n: v for n, v in c.metrics.items() if n != "f1_tuned"})
        for c in comparison.cells
    ]
    one = first(replace(comparison, cells=cells))
    assert one.recommendation.remedy == "SMOTE"
    assert "there is no tuned F1: the answer rests on the other measure alone." in one.warnings


THREE = ["ham", "spam", "news"]


def test_of_several_classes_the_minority_decides_or_all_of_them_where_asked() -> None:
    comparison = planted(
        {"none": (10, 50, 60), "SMOTE": (50, 58, 68)}, class_names=THREE, minority=2
    )
    gains = {"none": 0.0, "SMOTE": -0.06}
    cells = [
        replace(
            c,
            metrics=c.metrics
            | {
                name: 0.7 + gains[c.remedy] + 0.004 * WOBBLES[0, int(c.fold[-1])]
                for name in ("macro_average_precision", "macro_f1_tuned")
            }
            | {"macro_f1": 0.5, "macro_roc_auc": 0.8 + 0.01 * WOBBLES[1, int(c.fold[-1])]},
        )
        for c in comparison.cells
    ]
    comparison = replace(comparison, cells=cells)
    assert first(comparison).recommendation.remedy == "SMOTE"
    assert first(comparison, "f1").recommendation.remedy == "SMOTE"
    of_all = first(comparison, "macro_f1")
    assert of_all.recommendation.action == answer.MOVE_THRESHOLD
    assert of_all.recommendation.threshold is None  # an offset a class: no one threshold
    assert "tuned_offsets" in (of_all.recommendation.python or "")
    assert decide(comparison, "macro_f1").tuned == "macro_f1_tuned"
    # of a telling of two classes nothing is a macro average
    assert decide(planted(TWEETS), "macro_f1").tuned == "f1_tuned"


# ---- the lines of Python ------------------------------------------------------------------------


def given_names() -> dict[str, Any]:
    """What the lines take as given, of three classes."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [60, 20, 10])
    logits = rng.normal(size=(90, 3)) + 2 * np.eye(3)[labels] + np.log([0.7, 0.2, 0.1])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return {
        "validation_labels": labels[::2],
        "validation_probabilities": probabilities[::2],
        "probabilities": probabilities[1::2],
        "labels": labels[1::2],
        "counts": [600, 200, 100],
    }


def test_the_lines_that_move_a_threshold_run() -> None:
    names = given_names()
    lines = threshold_lines(THREE, 2, 0.2134, of_all_classes=False)
    assert len(lines.splitlines()) == 3
    assert "about 0.21 here" in lines
    exec(lines, names)
    expected = best_threshold(
        names["validation_labels"] == 2, names["validation_probabilities"][:, 2]
    )
    assert names["threshold"] == expected
    assert names["is_minority"].tolist() == (names["probabilities"][:, 2] >= expected).tolist()


def test_the_lines_that_move_every_class_run() -> None:
    names = given_names()
    lines = threshold_lines(THREE, 2, None, of_all_classes=True)
    assert len(lines.splitlines()) == 3
    exec(lines, names)
    assert names["predicted"].shape == (45,)
    assert (names["predicted"] == names["labels"]).mean() > 0.6


@lru_cache
def encoder_with_places(places: int) -> Path:
    """The fixtures' encoder, with weights of its own for so many tokens."""
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    from miso_fixtures import encoder_folder, new_folder

    config = AutoConfig.from_pretrained(encoder_folder(), max_position_embeddings=places)
    folder = new_folder()
    AutoModel.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(encoder_folder()).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("remedy", [name for name in REMEDIES if name != "none"])
def test_the_lines_of_every_remedy_run(remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the rows, and what is costly to make, small."""
    import torch
    from datasets import Dataset

    import hf_oversample
    from miso_fixtures import contract_generator_folder, make_corpus
    from writer_fixtures import contract_writer_folder

    texts, labels = make_corpus((40, 12), 0)
    names = given_names()
    named = {"text": list(texts), "label": [CLASS_NAMES[label] for label in labels]}
    names["train"] = Dataset.from_dict(named).class_encode_column("label")
    names["encoder"] = str(encoder_with_places(128))
    names["generator"] = str(contract_generator_folder())
    names["writer"] = str(contract_writer_folder())
    lines = remedy_lines(remedy, "linear", "an-encoder")
    of_two_lines = ("duplicates", "EMCO", "anchors", "language model")
    assert len(lines.splitlines()) == 3 or remedy in of_two_lines or "loss = " in lines
    if "fold" in lines:
        names["fold"] = object()
        fit = lambda fold, classifier, seed: type("S", (), {"validation": 1, "test": 2})  # noqa: E731
        monkeypatch.setitem(REMEDIES, remedy, replace(REMEDIES[remedy], fit=fit))
    if remedy in ("Bayesian GAN", "SIMPOR"):  # their training is tested where it is
        kind = getattr(hf_oversample, VECTOR_METHODS[remedy])
        balance = lambda self, dataset: hf_oversample.RandomOversampler().balance(dataset)  # noqa: E731
        monkeypatch.setattr(kind, "balance", balance)
    exec(lines, names)
    if "balanced" in names:
        counts = np.bincount(names["balanced"]["label"])
        assert counts.tolist() == [40, 40]
    elif "loss" in names:
        assert torch.isfinite(names["loss"](torch.randn(4, 3), torch.tensor([0, 1, 2, 0])))
    elif "fold" in lines:
        assert (names["validation_probabilities"], names["probabilities"]) == (1, 2)
    else:
        assert names["predicted"].shape == (45,)


@pytest.mark.parametrize(
    ("threshold", "shown"),
    [(0.2134, "0.21"), (0.5, "0.5"), (0.00123, "0.0012"), (0.9987, "0.9987"), (0.88, "0.88")],
)
def test_a_threshold_has_two_digits_that_count(threshold: float, shown: str) -> None:
    assert shown_threshold(threshold) == shown
