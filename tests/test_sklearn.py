"""The samplers keep imbalanced-learn's contract, and give what the oversamplers give."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, Features, List, Value
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.over_sampling.base import BaseOverSampler
from imblearn.pipeline import make_pipeline as make_sampling_pipeline
from imblearn.utils.estimator_checks import check_param_validation, parametrize_with_checks
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import hf_oversample.sklearn as module
from hf_oversample.sklearn import RandomSampler, SmoteSampler

# What a fast instance of a method needs beyond its defaults.
QUICK: dict[str, dict[str, Any]] = {
    "AmoSampler": {"epochs": 2, "hidden_size": 8},
    "BayesianGanSampler": {
        "training": {"steps": 3, "batch_size": 8},
        "model_options": {"hidden_size": 8, "noise_size": 2},
    },
    "SimporSampler": {"steps": 3, "query_rounds": 2, "hidden_size": 0},
    "BorderlineSmoteSampler": {"fallback": "smote"},
    "AdasynSampler": {"fallback": "smote"},
}
NO_FALLBACK = {name: {"fallback": "raise"} for name in ("BorderlineSmoteSampler", "AdasynSampler")}
# Those of arrays; that of texts has tests of its own.
SAMPLERS = {name: getattr(module, name) for name in module.__all__ if name != "TextSampler"}


def make(name: str, **params: Any) -> Any:
    return SAMPLERS[name](**{**QUICK.get(name, {}), **params})


def rows(counts: tuple[int, ...], width: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return rng.normal(size=(len(y), width)) + 0.5 * y[:, None], y


every_sampler = pytest.mark.parametrize("name", list(SAMPLERS))


# With the default fallback, which raises: imbalanced-learn's data have rows in danger.
@parametrize_with_checks([make(name, **NO_FALLBACK.get(name, {})) for name in SAMPLERS])
def test_all_checks_of_imbalanced_learn(estimator: Any, check: Any) -> None:
    check(estimator)


@every_sampler
def test_it_is_a_sampler_whose_parameters_are_the_oversamplers(name: str) -> None:
    sampler = SAMPLERS[name]()
    assert isinstance(sampler, BaseOverSampler)
    check_param_validation(name, make(name))
    core = sampler.oversampler().get_params()
    expected = {k: v for k, v in core.items() if k not in ("seed", "copy_columns")}
    assert sampler.get_params() == expected | {"random_state": 0}
    changed = clone(sampler).set_params(random_state=3)
    assert changed.get_params()["random_state"] == 3
    with pytest.raises(TypeError, match="no parameters"):
        SAMPLERS[name](nonsense=1)


@every_sampler
def test_the_same_rows_as_the_oversampler_makes_of_a_data_set(name: str) -> None:
    X, y = rows((40, 12, 25))
    X = X.astype(np.float32)
    sampler = make(name, random_state=5)
    X_new, y_new = sampler.fit_resample(X, y)
    features = Features({"label": Value("int64"), "embedding": List(Value("float32"), length=4)})
    data = Dataset.from_dict({"label": y, "embedding": X}, features=features)
    params = {**QUICK.get(name, {}), "seed": 5}
    columns = {} if name == "RandomSampler" else {"embedding_column": "embedding"}
    balanced = sampler.oversampler(**params).balance(data, **columns)
    assert np.array_equal(X_new, np.asarray(balanced["embedding"][:], np.float32))
    assert y_new.tolist() == balanced["label"][:]
    assert sampler.parent_.tolist() == balanced["parent"][:]
    names = balanced.features["origin"].names
    assert sampler.origin_.tolist() == [names[code] for code in balanced["origin"]]
    copies = sampler.origin_ == "resampled"
    assert np.array_equal(X_new[copies], X[sampler.parent_[copies]])


@every_sampler
@settings(max_examples=8, deadline=None)
@given(
    counts=st.tuples(st.integers(20, 40), st.integers(8, 20), st.integers(8, 20)),
    strategy=st.sampled_from(["auto", "minority", "not minority", "all", "dict", "callable"]),
    dtype=st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.uint8]),
    labels=st.sampled_from(["int", "str", "object", "float"]),
    sparsely=st.booleans(),
)
def test_counts_types_and_real_rows(
    name: str, counts: tuple[int, ...], strategy: str, dtype: Any, labels: str, sparsely: bool
) -> None:
    X, y = rows(counts)
    X = (X * 20 + 100 if np.dtype(dtype).kind in "iu" else X).astype(dtype)
    sparsely &= dtype != np.float16  # which SciPy has no sparse matrices of
    values = np.asarray({"int": [7, 8, 9], "float": [0.0, 1.0, 2.0]}.get(labels, list("abc")))
    y = (values.astype(object) if labels == "object" else values)[y]
    final: Any = strategy
    if strategy in ("dict", "callable"):
        asked = {values[1].item(): 45, values[2].item(): 41}
        final = asked if strategy == "dict" else lambda y: asked
    sampler = make(name, sampling_strategy=final)
    given_X = sparse.csr_matrix(X) if sparsely else X
    X_new, y_new = sampler.fit_resample(given_X, y)
    assert sparse.issparse(X_new) == sparsely
    dense = X_new.toarray() if sparsely else X_new
    assert (dense.dtype, y_new.dtype) == (X.dtype, y.dtype)
    assert np.array_equal(dense[: len(X)], X), "real rows come first and unchanged"
    assert y_new[: len(y)].tolist() == y.tolist()
    added = Counter(y_new[len(y) :].tolist())
    assert added == Counter({k: n for k, n in sampler.sampling_strategy_.items() if n})
    assert (sampler.origin_ == "real").sum() == len(X)
    assert (sampler.parent_[: len(X)] == -1).all()
    assert ((sampler.parent_[len(X) :] >= 0) & (sampler.parent_[len(X) :] < len(X))).all()


def test_a_random_state_of_every_kind() -> None:
    X, y = rows((30, 10))

    def made(state: Any) -> np.ndarray:
        return SmoteSampler(random_state=state).fit_resample(X, y)[0][len(X) :]

    assert np.array_equal(made(3), made(3))
    assert not np.array_equal(made(3), made(4))
    first, second = (made(np.random.RandomState(3)) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(made(None), made(None))


def test_repeated_rows_may_hold_anything() -> None:
    X = np.asarray([["a", None], ["b", 1.5], ["c", 2.5], ["d", 3.5]], dtype=object)
    sampler = RandomSampler()
    X_new, _ = sampler.fit_resample(X, [0, 0, 0, 1])
    assert X_new.shape == (6, 2)
    assert X_new[4:].tolist() == [["d", 3.5]] * 2
    assert np.array_equal(X_new, X[sampler.sample_indices_])


@every_sampler
def test_pipeline_and_grid_search(name: str) -> None:
    X, y = make_classification(n_samples=120, weights=[0.8, 0.2], class_sep=0.5, random_state=0)
    pipeline = make_sampling_pipeline(StandardScaler(), make(name), LogisticRegression())
    assert pipeline.fit(X, y).predict(X).shape == y.shape
    # the sampler's place in scikit-learn's own pipeline is inside an estimator of imbalanced-learn
    whole = Pipeline([("scale", StandardScaler()), ("balanced", pipeline)])
    step = type(pipeline[1]).__name__.lower()
    grid = {f"balanced__{step}__sampling_strategy": [0.5, 1.0]}
    search = GridSearchCV(whole, grid, cv=2, error_score="raise").fit(X, y)
    assert search.best_params_[f"balanced__{step}__sampling_strategy"] in (0.5, 1.0)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_grids_of_numpy_numbers() -> None:
    X, y = rows((10, 6))
    expected = SmoteSampler(k_neighbors=3).fit_resample(X, y)
    (k,) = np.arange(3, 4)
    made = SmoteSampler(k_neighbors=k).fit_resample(X, y)
    for one, wanted in zip(made, expected, strict=True):
        np.testing.assert_array_equal(one, wanted)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the overflow that is refused
def test_what_it_refuses() -> None:
    X, y = rows((10, 4))
    with pytest.raises(ValueError, match="NaN"):
        SmoteSampler().fit_resample(np.where(X > 2, np.nan, X) * np.nan, y)
    with pytest.raises(ValueError, match="k_neighbors"):
        SmoteSampler(k_neighbors=0).fit_resample(X, y)
    with pytest.raises(ValueError, match="finite"):
        SmoteSampler().fit_resample(X * 1e300, y)  # beyond float32


def test_without_imbalanced_learn_it_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['imblearn'] = None\n"
        "try:\n    import hf_oversample.sklearn\n"
        "except ImportError as error:\n    print(error)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install hf_oversample[imblearn]" in answer.stdout, answer.stderr


def test_smote_imports_nothing_that_it_does_not_use() -> None:
    """A process that makes rows of arrays; imbalanced-learn itself takes most of its start."""
    code = (
        "import sys\n"
        "from hf_oversample.sklearn import SmoteSampler\n"
        "imported = {name.split('.')[0] for name in sys.modules}\n"
        "import numpy as np\n"
        "X = np.arange(40.0).reshape(20, 2)\n"
        "SmoteSampler(k_neighbors=2).fit_resample(X, np.arange(20) > 14)\n"
        "used = {name.split('.')[0] for name in sys.modules}\n"
        "ours = sorted(name for name in sys.modules if name.startswith('hf_oversample.'))\n"
        "print(sorted(imported), sorted(used), ours, sep='\\n')"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    imported, used, ours = (set(ast.literal_eval(line)) for line in answer.stdout.splitlines())
    assert not {"torch", "transformers", "accelerate", "jieba", "nltk"} & imported
    files = {"datasets", "huggingface_hub", "fsspec", "multiprocess"}  # of arrays there are none
    assert not {"transformers", "accelerate", "tokenizers", "jieba", "nltk", *files} & used
    assert not [name for name in ours if ".amo" in name or ".models.classifiers" in name]


def test_every_embedding_method_has_a_sampler() -> None:
    from hf_oversample.oversamplers import OVERSAMPLERS

    of_texts = {"Miso", "LanguageModel", "Emco"}
    methods = {name.removesuffix("Oversampler") for name in OVERSAMPLERS} - of_texts
    assert methods == {name.removesuffix("Sampler") for name in SAMPLERS}
