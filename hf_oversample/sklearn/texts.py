"""New texts, before they become numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from datasets import Dataset
from imblearn.over_sampling.base import BaseOverSampler
from imblearn.utils import check_target_type
from sklearn.utils import check_consistent_length

from hf_oversample.numeric import noise
from hf_oversample.oversamplers.base import Oversampler
from hf_oversample.oversamplers.plan import RESAMPLED, SYNTHETIC
from hf_oversample.oversamplers.random import RandomOversampler
from hf_oversample.sklearn.labels import (
    drawn_seed,
    final_counts,
    joined_labels,
    plain_labels,
    provenance,
)
from hf_oversample.text.edits import eda
from hf_oversample.text.protection import Protection
from hf_oversample.text.words import Language, Segmenter


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
        labels = plain_labels(y)
        oversampler = self._oversampler(final_counts(self.sampling_strategy_, labels))
        data = Dataset.from_dict({"text": X.tolist(), "label": labels.tolist()})
        children = oversampler.fit(data, text_column="text").children(data)
        made = np.asarray(children["text"][:], dtype=object)
        parent = np.asarray(children["parent"][:], dtype=np.int64)
        origin = np.asarray(children["origin"][:], dtype=np.int64)
        if self.method == "edits":
            made = self._edited(made, parent, oversampler.seed)
            origin = np.where(made == X[parent], RESAMPLED, SYNTHETIC)
        self.origin_, self.parent_ = provenance(len(y), origin, parent)
        made_labels = np.asarray(children["label"][:], dtype=labels.dtype)
        return np.concatenate([X, made]), joined_labels(y, labels, made_labels)

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
            "seed": drawn_seed(self.random_state),
            "sampling_strategy": final_counts,
        }
        if self.method != "anchors":
            return RandomOversampler(**params)
        if self.generator is None:
            raise ValueError(
                "method='anchors' needs a generator: a folder or Hub name of a trained MISO "
                "generator, or the model and its tokenizer; without one, take method='edits'"
            )
        from hf_oversample.oversamplers.miso.oversampler import MisoOversampler

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
