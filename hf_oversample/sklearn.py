"""The oversamplers as imbalanced-learn samplers, for scikit-learn's pipelines.

    from imblearn.pipeline import make_pipeline
    from hf_oversample.sklearn import SmoteSampler
    model = make_pipeline(SmoteSampler(k_neighbors=5), LogisticRegression())

Each is a `BaseOverSampler` over the very core of the method's oversampler: the same rows come out
as of its `fit` and `balance` on a data set with the same embeddings, labels and seed. `TextSampler`
takes texts, before they become numbers; the others take arrays.
"""

from __future__ import annotations

import inspect
import numbers
from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, ClassVar, Literal

try:
    from imblearn.over_sampling.base import BaseOverSampler
    from imblearn.utils import check_target_type
except ImportError as error:
    raise ImportError(
        "hf_oversample.sklearn needs imbalanced-learn, which is not installed: "
        "pip install hf_oversample[imblearn]"
    ) from error

import numpy as np
import numpy.typing as npt
from datasets import Dataset
from scipy import sparse
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import validate_data

from hf_oversample.numeric import noise
from hf_oversample.oversamplers.adasyn import AdasynOversampler
from hf_oversample.oversamplers.amo.oversampler import AmoOversampler
from hf_oversample.oversamplers.base import Oversampler
from hf_oversample.oversamplers.bayesian_gan import BayesianGanOversampler
from hf_oversample.oversamplers.borderline_smote import BorderlineSmoteOversampler
from hf_oversample.oversamplers.embedding import EmbeddingOversampler
from hf_oversample.oversamplers.miso.oversampler import MisoOversampler
from hf_oversample.oversamplers.plan import ORIGINS, REAL, RESAMPLED, SYNTHETIC
from hf_oversample.oversamplers.random import RandomOversampler
from hf_oversample.oversamplers.simpor.oversampler import SimporOversampler
from hf_oversample.oversamplers.smote import SmoteOversampler
from hf_oversample.text.edits import eda
from hf_oversample.text.protection import Protection
from hf_oversample.text.words import Language, Segmenter

__all__ = [
    "AdasynSampler",
    "AmoSampler",
    "BayesianGanSampler",
    "BorderlineSmoteSampler",
    "RandomSampler",
    "SimporSampler",
    "SmoteSampler",
    "TextSampler",
]

_SEED_LIMIT = 2**31 - 1


class OversamplerSampler(BaseOverSampler):
    """
    What the samplers share. A sampler's parameters are those of its oversampler, with the same
    defaults, but for `copy_columns`, which arrays have no use for, and `seed`, which is
    `random_state` here: an int (default 0), a `RandomState`, or None for other draws at every call.

    Rows are made in float32, or in float64 where `X` has more digits, and cast to the type of `X`;
    real rows are never touched. For integer features they are rounded, and kept within the type's
    range. A sparse `X` is made dense for the method (n · d numbers) and the result is sparse again.

    Attributes (after `fit_resample`, besides imbalanced-learn's own):
        oversampler_: the fitted oversampler, with what it reports.
        origin_: `[n + m]`, "real", "synthetic" or "resampled" for each row of the result.
        parent_: `[n + m]` int64, the row of `X` that each row was made from; −1 for real rows.
    """

    oversampler: ClassVar[type[Oversampler]]

    def __init_subclass__(cls, *, method: type[Oversampler] | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if method is None:
            return
        cls.oversampler = method
        # Each default is declared once, in the oversampler: scikit-learn reads this signature.
        values = {**method().get_params(), "random_state": 0}
        defaults = {k: v for k, v in values.items() if k not in ("seed", "copy_columns")}

        def __init__(self: Any, **params: Any) -> None:
            unknown = sorted(set(params) - set(defaults))
            if unknown:
                raise TypeError(f"{cls.__name__} has no parameters {unknown}; it has {defaults}")
            for name, value in (deepcopy(defaults) | params).items():  # some are dicts
                setattr(self, name, value)

        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
        parameters += [inspect.Parameter(n, keyword, default=v) for n, v in defaults.items()]
        __init__.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        cls.__init__ = __init__  # type: ignore[method-assign]
        # The oversampler checks its own values when it is made, and says more.
        known = BaseOverSampler._parameter_constraints
        cls._parameter_constraints = {n: known.get(n, "no_validation") for n in defaults}

    def _fit_resample(self, X: Any, y: npt.NDArray[Any]) -> tuple[Any, npt.NDArray[Any]]:
        labels = _plain(y)
        params = {
            # grids are often NumPy arrays, and the oversamplers take Python's numbers alone
            k: v.item() if isinstance(v, np.generic) else v
            for k, v in self.get_params(deep=False).items()
            if k != "random_state"
        }
        params["sampling_strategy"] = _final_counts(self.sampling_strategy_, labels)
        self.oversampler_ = self.oversampler(seed=_seed(self.random_state), **params)
        made, made_labels, origin, parent = self._children(self.oversampler_, X, labels)
        self.origin_, self.parent_ = _provenance(len(y), origin, parent)
        return _stacked(X, made), _joined_labels(y, labels, made_labels)

    def _children(
        self, oversampler: Any, X: Any, labels: npt.NDArray[Any]
    ) -> tuple[Any, npt.NDArray[Any], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows, labels, origins and parents of the children."""
        assert isinstance(oversampler, EmbeddingOversampler)
        dense = X.toarray() if sparse.issparse(X) else X
        lowest = _beyond_float64(dense) if oversampler._moves_rows() else None
        given = dense if lowest is None else dense - lowest
        values, made_labels, origin, parent = oversampler.fit_arrays(given, labels).new_rows()
        made = _cast(values, dense.dtype)
        if lowest is not None:
            made += lowest
        copies = np.flatnonzero(origin == RESAMPLED)
        made[copies] = dense[parent[copies]]  # exact, where a row is a copy
        return made, made_labels, origin, parent


class SmoteSampler(OversamplerSampler, method=SmoteOversampler):
    """
    SMOTE (Chawla et al. 2002); parameters: see
    :class:`~hf_oversample.oversamplers.smote.SmoteOversampler`, and `random_state`.

    Example:
        >>> import numpy as np
        >>> X = np.arange(20.0).reshape(10, 2)
        >>> y = np.array(["rare"] * 3 + ["common"] * 7)
        >>> X_new, y_new = SmoteSampler(k_neighbors=2).fit_resample(X, y)
        >>> X_new.shape, int((y_new == "rare").sum())
        ((14, 2), 7)
    """


class BorderlineSmoteSampler(OversamplerSampler, method=BorderlineSmoteOversampler):
    """
    Borderline-SMOTE (Han et al. 2005); parameters: see
    :class:`~hf_oversample.oversamplers.borderline_smote.BorderlineSmoteOversampler`, and
    `random_state`.
    """


class AdasynSampler(OversamplerSampler, method=AdasynOversampler):
    """
    ADASYN (He et al. 2008); parameters: see
    :class:`~hf_oversample.oversamplers.adasyn.AdasynOversampler`, and `random_state`.
    """


class AmoSampler(OversamplerSampler, method=AmoOversampler):
    """
    Adversarial minority over-sampling by major-to-minor translation; parameters: see
    :class:`~hf_oversample.oversamplers.amo.oversampler.AmoOversampler`, and `random_state`.
    """


class SimporSampler(OversamplerSampler, method=SimporOversampler):
    """
    Synthetic neighbours of maximum posterior ratio; parameters: see
    :class:`~hf_oversample.oversamplers.simpor.oversampler.SimporOversampler`, and `random_state`.
    """


class BayesianGanSampler(OversamplerSampler, method=BayesianGanOversampler):
    """
    A GAN whose codes follow a Bayesian network; parameters: see
    :class:`~hf_oversample.oversamplers.bayesian_gan.BayesianGanOversampler`, and `random_state`.
    """


class RandomSampler(OversamplerSampler, method=RandomOversampler):
    """
    Repeated rows, spread evenly over a class; any features, strings and NaN too. Parameters: see
    :class:`~hf_oversample.oversamplers.random.RandomOversampler`, and `random_state`.

    Attributes (besides those of all samplers):
        sample_indices_: `[n + m]` int64, the row of `X` that each row of the result is.
    """

    def _check_X_y(self, X: Any, y: Any, accept_sparse: Any = ("csr", "csc")) -> Any:
        y, binarize_y = check_target_type(y, indicate_one_vs_all=True)
        options = {"dtype": None, "ensure_all_finite": False, "accept_sparse": accept_sparse}
        X, y = validate_data(self, X=X, y=y, reset=True, **options)
        return X, y, binarize_y

    def _children(
        self, oversampler: Any, X: Any, labels: npt.NDArray[Any]
    ) -> tuple[Any, npt.NDArray[Any], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        plan = oversampler.fit(Dataset.from_dict({"label": labels})).fitted_plan()
        self.sample_indices_ = np.concatenate([np.arange(len(labels)), plan.parent])
        return X[plan.parent], labels[plan.parent], np.full(len(plan), RESAMPLED), plan.parent

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.allow_nan = True
        tags.sampler_tags.sample_indices = True
        return tags


class TextSampler(BaseOverSampler):
    """
    New texts of the rare classes, before the step that makes numbers of them:
    `make_pipeline(TextSampler(), TfidfVectorizer(), LogisticRegression())` of `imblearn.pipeline`.

    `X` is a list, array or Series of texts, and so is the result.

    Args:
        method: "edits" (default: easy data augmentation, one of swapping, deleting and inserting
            words, of Wei and Zou 2019), "anchors" (texts of a MISO generator, some of them real
            rows, see :class:`~hf_oversample.oversamplers.miso.oversampler.MisoOversampler`), or
            "random" (repeated texts).
        generator: of "anchors": folder or Hub name of a trained generator, or the model itself.
            Its classes are named as those of `y`.
        tokenizer: of a generator in memory.
        options: of "edits": `alpha`, the share of words that change (default 0.1), and `protect`,
            `protect_defaults` and `user_dictionary`, as of `MisoOversampler`; of "anchors": further
            parameters of `MisoOversampler`; none of "random".
        language: "en" or "zh", whose words are edited.
        sampling_strategy: as of every sampler of imbalanced-learn.
        random_state: an int (default 0), a `RandomState`, or None for other draws at every call.

    Attributes (after `fit_resample`, besides imbalanced-learn's own):
        origin_: `[n + m]`, "real", "synthetic" or "resampled" (a real text again) for each row.
        parent_: `[n + m]` int64, the row of `X` that each row was made from; −1 for real rows.

    Raises:
        ValueError: an unknown method or option; a generator that is missing or of no use; `X` that
            is not one text a row; a text that is empty or no string (the row is named).

    Example:
        >>> X, y = ["you won a prize", "see you at home", "lunch at noon?"], [1, 0, 0]
        >>> X_new, y_new = TextSampler(method="random").fit_resample(X, y)
        >>> X_new[3:], y_new[3:]
        (['you won a prize'], [1])
    """

    _methods: ClassVar[tuple[str, ...]] = ("edits", "anchors", "random")
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseOverSampler._parameter_constraints,
        **dict.fromkeys(
            ("method", "generator", "tokenizer", "options", "language", "random_state"),
            "no_validation",  # checked here, where more can be said
        ),
    }

    def __init__(
        self,
        method: Literal["edits", "anchors", "random"] = "edits",
        *,
        generator: Any = None,
        tokenizer: Any = None,
        options: Mapping[str, Any] | None = None,
        language: Language = "en",
        sampling_strategy: Any = "auto",
        random_state: Any = 0,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.method, self.generator, self.tokenizer = method, generator, tokenizer
        self.options, self.language, self.random_state = options, language, random_state

    def _check_X_y(self, X: Any, y: Any) -> Any:
        y, binarize_y = check_target_type(y, indicate_one_vs_all=True)
        texts = np.asarray(X, dtype=object)
        if texts.ndim != 1:
            raise ValueError(
                f"X must be one text a row, of shape (rows,), and has the shape {texts.shape}: "
                "give the column that holds the texts, such as X['text']"
            )
        check_consistent_length(texts, y)
        for row, text in enumerate(texts):
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"row {row} of X is {text!r}, not a text: drop such rows first")
        return texts, y, binarize_y

    def _fit_resample(
        self, X: npt.NDArray[Any], y: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        labels = _plain(y)
        oversampler = self._oversampler(_final_counts(self.sampling_strategy_, labels))
        data = Dataset.from_dict({"text": X.tolist(), "label": labels.tolist()})
        children = oversampler.fit(data, text_column="text").children(data)
        made = np.asarray(children["text"][:], dtype=object)
        parent = np.asarray(children["parent"][:], dtype=np.int64)
        origin = np.asarray(children["origin"][:], dtype=np.int64)
        if self.method == "edits":
            made = self._edited(made, parent, oversampler.seed)
            origin = np.where(made == X[parent], RESAMPLED, SYNTHETIC)
        self.origin_, self.parent_ = _provenance(len(y), origin, parent)
        made_labels = np.asarray(children["label"][:], dtype=labels.dtype)
        return np.concatenate([X, made]), _joined_labels(y, labels, made_labels)

    def _oversampler(self, final_counts: dict[Any, int]) -> Oversampler:
        if self.method not in self._methods:
            raise ValueError(f"method is {self.method!r}; it must be one of {self._methods}")
        of_edits = {"alpha", "protect", "protect_defaults", "user_dictionary"}
        allowed = {"edits": of_edits, "random": set()}.get(self.method)
        options = dict(self.options or {})
        if allowed is not None and (unknown := sorted(set(options) - allowed)):
            raise ValueError(
                f"options has {unknown}; method={self.method!r} takes {sorted(allowed)}"
            )
        params: dict[str, Any] = {
            "seed": _seed(self.random_state),
            "sampling_strategy": final_counts,
        }
        if self.method != "anchors":
            return RandomOversampler(**params)
        if self.generator is None:
            raise ValueError(
                "method='anchors' needs a generator: a folder or Hub name of a trained MISO "
                "generator, or the model and its tokenizer; without one, take method='edits'"
            )
        return MisoOversampler(self.generator, tokenizer=self.tokenizer, **options, **params)

    def _edited(
        self, texts: npt.NDArray[Any], parent: npt.NDArray[np.int64], seed: int
    ) -> npt.NDArray[Any]:
        """An edit of each copy, a function of the seed, the row and the copy's number alone."""
        options = dict(self.options or {})
        protection = Protection(options.pop("protect", None), options.pop("protect_defaults", True))
        segmenter = Segmenter(self.language, options.pop("user_dictionary", None))
        copies = Counter[int]()
        made = texts.copy()
        for place, row in enumerate(parent.tolist()):
            rng = noise.generator(seed, noise.stream("edit"), row, copies[row])
            made[place] = eda(texts[place], segmenter, rng, protection=protection, **options)
            copies[row] += 1
        return made

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = tags.input_tags.string = True
        tags.input_tags.two_d_array = tags.input_tags.sparse = False
        return tags


def _final_counts(added: Mapping[Any, int], labels: npt.NDArray[Any]) -> dict[Any, int]:
    """Rows that classes are to have, where `added` says how many are new, as imbalanced-learn."""
    new = {_plain(np.asarray([value])).item(): int(number) for value, number in added.items()}
    return {value: int((labels == value).sum()) + number for value, number in new.items()}


def _provenance(
    rows: int, origin: npt.NDArray[Any], parent: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """`origin_` and `parent_` of real rows followed by children."""
    origins = np.asarray(ORIGINS)[np.concatenate([np.full(rows, REAL), origin])]
    return origins, np.concatenate([np.full(rows, -1, dtype=np.int64), parent])


def _joined_labels(
    y: npt.NDArray[Any], labels: npt.NDArray[Any], made: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """`y` followed by the children's labels, as the classes' own values, whatever their type."""
    classes, first = np.unique(labels, return_index=True)
    return np.concatenate([y, y[first[np.searchsorted(classes, made)]]])


def _plain(y: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Labels as the integers or strings that a data set's column would hold."""
    # A float is an integer here: imbalanced-learn refuses continuous targets.
    return y.astype(np.int64) if y.dtype.kind in "iubf" else y.astype(str)


def _seed(random_state: Any) -> int:
    if isinstance(random_state, numbers.Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(_SEED_LIMIT))


def _cast(values: npt.NDArray[np.float32], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if dtype.kind not in "iu":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    # Through float64, which alone holds the limits of 32 bits.
    return np.clip(np.rint(values.astype(np.float64)), limits.min, limits.max).astype(dtype)


def _beyond_float64(rows: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """The least value of each column of integers that float64 cannot tell apart (times in
    nanoseconds, ids), and 0 for the others; None where there is no such column."""
    if rows.dtype.kind not in "iu" or rows.dtype.itemsize < 8:
        return None
    lowest, highest = rows.min(axis=0), rows.max(axis=0)
    low, high = lowest.astype(np.float64), highest.astype(np.float64)
    is_beyond = (np.maximum(-low, high) > 2**53) & (high - low < 2**53)
    return np.where(is_beyond, lowest, 0).astype(rows.dtype) if is_beyond.any() else None


def _stacked(X: Any, made: Any) -> Any:
    """Real rows, then the children, in the format of `X`."""
    if sparse.issparse(X):
        return sparse.vstack([X, made], format=X.format)
    result = np.empty((len(X) + len(made), X.shape[1]), dtype=X.dtype)
    result[: len(X)], result[len(X) :] = X, made
    return result
