"""The sampler of texts in pipelines of scikit-learn and imbalanced-learn."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from imblearn.pipeline import make_pipeline
from imblearn.utils.estimator_checks import parametrize_with_checks
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from transformers import AutoTokenizer

from hf_oversample import MisoForAnchorGeneration, MisoOversampler
from hf_oversample.sklearn import TextSampler
from miso_fixtures import MAX_LENGTH, contract_generator_folder
from oversampler_checks import COUNTS, NAMES, make_dataset

# Of imbalanced-learn's checks, those that feed matrices of numbers have nothing to say here: such
# an X is refused, as `test_what_it_refuses` tests. What is left are the target's types and the
# names of features; the rest of the contract is tested with texts below.
NUMBERS = "its X is a matrix of numbers, which is refused"
WITH_NUMBERS = dict.fromkeys(
    [
        "check_samplers_fit",
        "check_samplers_one_label",
        "check_samplers_fit_resample",
        "check_samplers_sampling_strategy_fit_resample",
        "check_samplers_pandas",
        "check_samplers_pandas_sparse",
        "check_samplers_string",
        "check_samplers_list",
        "check_samplers_multiclass_ova",
        "check_samplers_preserve_dtype",
        "check_samplers_sample_indices",
        "check_samplers_2d_target",
    ],
    NUMBERS,
)


@parametrize_with_checks([TextSampler()], expected_failed_checks=lambda _: WITH_NUMBERS)
def test_the_checks_of_imbalanced_learn_that_apply(estimator: Any, check: Any) -> None:
    check(estimator)


def texts() -> tuple[list[str], np.ndarray]:
    data = make_dataset(COUNTS)
    return list(data["text"][:]), np.asarray([NAMES[label] for label in data["label"]])


def anchors(**params: Any) -> TextSampler:
    folder = str(contract_generator_folder())
    return TextSampler("anchors", generator=folder, options=ANCHORS, **params)


MAKERS = {
    "edits": lambda **params: TextSampler(**params),
    "random": lambda **params: TextSampler("random", **params),
    "anchors": anchors,
}
# the generator learnt other texts: its words are strange here
ANCHORS = {"max_length": MAX_LENGTH, "unknown_words": "keep"}
every_method = pytest.mark.parametrize("method", list(MAKERS))


@every_method
def test_counts_provenance_and_the_draws(method: str) -> None:
    X, y = texts()
    sampler = MAKERS[method](random_state=3)
    X_new, y_new = sampler.fit_resample(X, y)
    assert isinstance(X_new, list)
    assert X_new[: len(X)] == X
    assert y_new[: len(X)].tolist() == y.tolist()
    assert Counter(y_new.tolist()) == dict.fromkeys(NAMES, COUNTS[0])
    assert (sampler.parent_[: len(X)] == -1).all()
    for text, label, origin, parent in zip(
        X_new[len(X) :],
        y_new[len(X) :],
        sampler.origin_[len(X) :],
        sampler.parent_[len(X) :],
        strict=True,
    ):
        assert origin in (("synthetic", "resampled") if method != "random" else ("resampled",))
        assert (text == X[parent]) == (origin == "resampled")
        if method != "anchors":  # which may start from texts of other classes
            assert label == y[parent]
    if method != "random":
        assert (sampler.origin_ == "synthetic").sum() >= 3
    assert MAKERS[method](random_state=3).fit_resample(X, y)[0] == X_new
    if method != "random":
        assert MAKERS[method](random_state=4).fit_resample(X, y)[0] != X_new


def test_anchors_are_those_of_the_oversampler_also_of_a_model_in_memory() -> None:
    X, y = texts()
    folder = contract_generator_folder()
    X_new, _ = anchors(random_state=5).fit_resample(X, y)
    oversampler = MisoOversampler(str(folder), seed=5, **ANCHORS)
    balanced = oversampler.balance(Dataset.from_dict({"text": X, "label": y}))
    assert X_new == balanced["text"][:]
    model = MisoForAnchorGeneration.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    given = clone(anchors(random_state=5)).set_params(generator=model, tokenizer=tokenizer)
    assert given.fit_resample(X, y)[0] == X_new


def test_in_a_pipeline_and_a_grid_search() -> None:
    X, y = texts()
    pipeline = make_pipeline(TextSampler(), TfidfVectorizer(), LogisticRegression())
    assert pipeline.fit(X, y).score(X, y) > 0.9
    grid = {
        "textsampler__method": ["edits", "random"],
        "textsampler__sampling_strategy": ["not majority", "minority"],
    }
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def series(values: list[Any]) -> Any:
    """Of pandas, which comes with `datasets`."""
    return Dataset.from_dict({"column": values}).to_pandas()["column"]


@pytest.mark.parametrize("kind", [list, np.asarray, lambda X: np.asarray(X, object), series])
@pytest.mark.parametrize("labels", [np.asarray, list, series])
def test_containers_come_out_as_they_went_in(kind: Any, labels: Any) -> None:
    X, y = kind(["a b c", "d e f", "g h i"]), labels([0, 1, 1])
    X_new, y_new = TextSampler("random").fit_resample(X, y)
    assert type(X_new) is type(X)
    assert type(y_new) is type(y)
    assert list(X_new) == ["a b c", "d e f", "g h i", "a b c"]
    assert list(y_new) == [0, 1, 1, 0]


def test_chinese_and_options() -> None:
    X, y = ["我今天去看电影", "你好吗朋友", "明天下雨"], [1, 0, 0]
    X_new, _ = TextSampler(language="zh", options={"alpha": 0.5}).fit_resample(X, y)
    assert X_new[3] != X[0]
    assert " " not in X_new[3]


def test_what_it_refuses() -> None:
    X, y = ["a b", "c d", "e f"], [0, 1, 1]
    refused = [
        (TextSampler("anchor"), X, r"method is 'anchor'; .*'anchors'"),
        (TextSampler("anchors"), X, "needs a generator"),
        (TextSampler("random", options={"alpha": 0.1}), X, r"options has \['alpha'\]"),
        (TextSampler(options={"alpha": 2.0}), X, "alpha=2.0"),
        (TextSampler(), np.zeros((3, 2)), r"one text a row, .* \(3, 2\)"),
        (TextSampler(), Dataset.from_dict({"text": X}).to_pandas(), r"such as X\['text'\]"),
        (TextSampler(), ["a", " ", "c"], "row 1 of X is ' '"),
        (TextSampler(), ["a", "b", None], "row 2 of X is None"),
        (TextSampler(), [1, 2, 3], "row 0 of X is 1"),
        (TextSampler(), X[:2], "inconsistent numbers of samples"),
        (TextSampler(language="fr"), X, "fr"),  # type: ignore[arg-type]
    ]
    for sampler, given, message in refused:
        with pytest.raises(ValueError, match=message):
            sampler.fit_resample(given, y)


def test_edits_keep_what_is_protected() -> None:
    texts = [f"dear [NAME], the ACME {number} prize waits for you at {{link}}" for number in "abcd"]
    X, y = [*texts, *["see you at the station"] * 2], [0] * 4 + [1] * 2
    sampler = TextSampler(
        sampling_strategy={0: 40}, options={"alpha": 0.5, "protect": "ACME [a-d] prize"}
    )
    made = sampler.fit_resample(X, y)[0][len(X) :]
    assert len(set(made)) > 20
    for text in made:
        assert re.findall(r"\[.*?\]|{.*?}|ACME . prize", text) in (
            ["[NAME]", f"ACME {number} prize", "{link}"] for number in "abcd"
        )
    with pytest.raises(ValueError, match=r"protect is '\('"):
        TextSampler(options={"protect": "("}).fit_resample(X, y)
