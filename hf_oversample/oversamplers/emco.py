"""EMCO: new texts of the rare classes by Markov chains of words, partly learnt from the others."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from datasets import Dataset

from hf_oversample.data.columns import as_list
from hf_oversample.oversamplers.base import RESAMPLED, SYNTHETIC, Children, Oversampler
from hf_oversample.oversamplers.option_checks import check_numbers, check_values
from hf_oversample.oversamplers.plan import IntArray, Plan
from hf_oversample.oversamplers.saved_files import loaded_children, loaded_texts
from hf_oversample.oversamplers.strategy import SamplingStrategy, spread
from hf_oversample.text.markov import MarkovChain
from hf_oversample.text.user_dictionary import user_dictionary_of
from hf_oversample.text.words import Language, Segmenter, checked_language, guess_language


class EmcoOversampler(Oversampler):
    """
    Writes texts of a class by a Markov chain of its words (Avela and Ilmonen, JMLR 2026).

    Each word is drawn given the one before it: as in the class's texts, and, counted `gamma` times,
    as in the texts of all other classes after the words that the class has. So a text may have
    words that the class never had, and its vocabulary grows; after such a word any word of the
    class may come, by its frequency. Nothing is trained, and no model is needed. The texts are no
    sentences: they are for classifiers that count words. One that reads can tell them from real
    texts.

    A text has as many words as its `parent`, of its class. Its words are the whole class's. One
    that comes out word for word as a real text of the class is that row, marked `resampled`.

    Args:
        sampling_strategy, seed, copy_columns: as for every oversampler.
        gamma: γ, what a step from word to word counts in the other classes' texts; 0: the class's
            own texts alone (the authors' MCO).
        language: "en" or "zh"; by default what the texts are.
        user_dictionary: words that jieba shall know besides its own: a file in its format, which is
            read now, or entries.

    Attributes (after `fit`):
        new_words_share_: class → share of the made texts that have a word that the class never had.

    Raises:
        TypeError: a gamma that is no number.
        ValueError: a gamma below 0; an unknown language; when fitted, a class to grow whose texts
            are of one word each.
    """

    input_kind: ClassVar[Literal["any", "text", "embedding"]] = "text"

    def __init__(
        self,
        *,
        sampling_strategy: SamplingStrategy = "auto",
        seed: int = 0,
        copy_columns: bool = False,
        gamma: float = 1.0,
        language: Language | None = None,
        user_dictionary: str | os.PathLike[str] | Iterable[Sequence[Any]] | None = None,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy, seed=seed, copy_columns=copy_columns)
        check_numbers(float, gamma=gamma)
        check_values(gamma=(gamma, gamma >= 0, "at least 0"))
        self.gamma = gamma
        self.language = language if language is None else checked_language(language)
        self.user_dictionary = list(map(list, user_dictionary_of(user_dictionary))) or None

    def _learn_from(
        self, dataset: Dataset, embeddings: np.ndarray | None, children: Mapping[int, int]
    ) -> Plan:
        texts = as_list(dataset.with_format(None)[str(self.text_column_)])
        segmenter = Segmenter(self.language or guess_language(texts), self.user_dictionary)
        words = [segmenter.words(text) for text in texts]
        lengths = np.asarray([len(one) for one in words])
        rows = {
            code: np.flatnonzero(self.labels_ == code) for code, total in children.items() if total
        }
        for code, own in rows.items():
            self._check_words(code, lengths[own])
        plan = Plan.join(
            [
                Plan.from_counts(own, spread(children[code], own, self.seed), code)
                for code, own in rows.items()
            ]
        )
        self.texts_ = [""] * len(plan)
        self.origins_, self.parents_ = np.full(len(plan), SYNTHETIC), plan.parent.copy()
        self.new_words_share_: dict[str, float] = {}
        for code, own in rows.items():
            others = np.flatnonzero(self.labels_ != code)
            chain = MarkovChain.fit(
                [words[row] for row in own], [words[row] for row in others], self.gamma
            )
            entries = np.flatnonzero(plan.label == code)
            parents, numbers = plan.parent[entries], plan.child[entries]
            made = chain.sample(lengths[parents], self.seed, parents, numbers)
            known = {tuple(words[row]): row for row in own[::-1].tolist()}  # the first of equals
            of_class = set(chain.words[: chain.own])
            for entry, text in zip(entries.tolist(), made, strict=True):
                row = known.get(tuple(text))
                self.texts_[entry] = segmenter.join(text) if row is None else texts[row]
                if row is not None:
                    self.origins_[entry], self.parents_[entry] = RESAMPLED, row
            self.new_words_share_[str(self.label_names_[code])] = float(
                np.mean([not of_class.issuperset(text) for text in made])
            )
        return Plan(plan.parent, plan.child, plan.label, {"entry": np.arange(len(plan))})

    def _check_words(self, code: int, lengths: IntArray) -> None:
        if lengths.max() == 1:
            name = self.label_names_[code]
            raise ValueError(
                f"each text of class {name!r} in column {self.text_column_!r} is one word "
                f"({len(lengths)} texts): a chain of them would repeat them; do so with "
                "RandomOversampler, or let other classes grow with sampling_strategy"
            )

    def _make(self, batch: Mapping[str, list[Any]], positions: IntArray, plan: Plan) -> Children:
        entries = plan.extra["entry"]
        return Children(
            {str(self.text_column_): [self.texts_[i] for i in entries.tolist()]},
            origin=self.origins_[entries],
            parent=self.parents_[entries],
        )

    def _state_arrays(self) -> dict[str, np.ndarray]:
        return {"origins": self.origins_, "parents": self.parents_}

    def _load_state_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        self.origins_, self.parents_ = loaded_children(arrays, self.fitted_plan(), self.labels_)

    def _state_config(self) -> dict[str, Any]:
        return {"texts": self.texts_, "new_words_share": self.new_words_share_}

    def _load_state_config(self, config: dict[str, Any]) -> None:
        self.texts_ = loaded_texts(config, self.fitted_plan())
        self.new_words_share_ = config["new_words_share"]
