"""MISO as an oversampler: anchors for difficult minority texts (Tian et al., EMNLP 2021)."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_oversample.data.columns import as_list
from hf_oversample.models.digest import weights_digest
from hf_oversample.models.in_memory import name_of
from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.models.miso.realizers import AnchorRequest
from hf_oversample.oversamplers.anchors.drafts import (
    TRIES_USED_UP,
    class_rows,
    drawn_until_kept,
    stand_in,
)
from hf_oversample.oversamplers.anchors.gate import TextGate, check_gate
from hf_oversample.oversamplers.anchors.judge import LinearJudge
from hf_oversample.oversamplers.anchors.plan import (
    ALL_SOURCES,
    COPY,
    OWN_ANCHOR,
    SOURCES,
    AnchorPlanner,
)
from hf_oversample.oversamplers.base import RESAMPLED, SYNTHETIC, Children, Oversampler
from hf_oversample.oversamplers.miso.drawing import AnchorDrafts
from hf_oversample.oversamplers.miso.focus import focus_weights
from hf_oversample.oversamplers.miso.models import MisoModels
from hf_oversample.oversamplers.plan import IntArray, Plan
from hf_oversample.oversamplers.strategy import SamplingStrategy
from hf_oversample.text.encoding import EncodedText
from hf_oversample.text.protection import Protection, replaceable_words
from hf_oversample.text.user_dictionary import user_dictionary_of
from hf_oversample.text.words import Language, checked_language


class MisoOversampler(Oversampler):
    """
    Writes new texts (*anchors*) of the rare classes with a trained MISO generator.

    Sources are outvoted texts first, then all texts of the class, and texts of other classes next
    to them. Half of the children are anchors by default and half are repeated real rows. Every
    anchor passes a quality gate, or is redrawn, or, when its tries are used up, is replaced by a
    real row marked `resampled`: asked counts are met exactly (Algorithm 1, lines 10–12; departures
    13–17 of PAPERS.md).

    Args:
        generator: folder or Hub name of a `MisoForAnchorGeneration` with its tokenizer, or such a
            model in memory, which is copied as it is then.
        tokenizer: of a generator in memory.
        embedder: folder or Hub name of the encoder whose embeddings say what is difficult and
            which class a text seems to be of (the gate's classifier), or a pair of a model and its
            tokenizer; None takes the generator's own encoder.
        sampling_strategy, seed, copy_columns: as for every oversampler.
        sources: which rows anchors start from, among "outvoted" (rows of the class that other
            classes outvote among their neighbours, votes weighted by class size: these tell rows
            apart at any ratio), "difficult" (the paper's: rows of the class with a neighbour of
            another), "minority" (all rows of the class) and "majority".
        anchor_share: share of a class's children that are anchors, the rest repeated real rows.
            As many distinct anchors as the sources can give are made, no more.
        max_anchors_per_source: distinct anchors that one row of the class may give; rows of other
            classes give one.
        majority_share: share of the anchors that starts from rows of other classes, where those
            are sources.
        realizer: "edit" (mask and refill words of the source) or "generate" (decode z, the
            paper's).
        edit_share, majority_edit_share: share of a source's words that an edit replaces, in texts
            of the class and in texts of other classes.
        focus: how strongly edits of other classes' texts prefer the words that pull to their own
            class; 0 draws all words alike.
        own_focus: how strongly edits of the class's own texts prefer the words that pull to the
            class that they are led away from, which make a difficult text difficult; 0 draws all
            words alike.
        guidance, temperature, top_k, rounds, use_latent, use_class, splice: of the realiser, see
            `EditRealizer`.
        gate: which judges must place an anchor with its class: "classifier", "critics" (pointwise
            mutual information with the class against the majority), "neighbors" (more than half of
            the 5 nearest training rows, without the source and exact copies of it), "influence"
            (learning it would lower the loss of training rows that a classifier is not fitted on,
            see `Influence`); () for none.
            Exact copies of a row, and texts whose words are a row's but for one, are rejected by
            every gate.
        gate_quantile: how clearly the classifier must see the class: its margin is above this
            quantile of the margins of the class's own training rows, each held out of the rows
            that its judge was fitted on, and above 0. 0 asks for a margin above 0 alone.
        gate_ceiling: how clearly it may: its margin is at most this quantile of the same margins;
            1 sets no limit. Texts above it are "too easy": a classifier that is sure of them
            already learns little from them.
        unknown_words: "reject" anchors with a word that no training text has, which would mark them
            as made, or "keep" them.
        max_cosine: largest cosine of an anchor's embedding with a training text's, its source among
            them: a near copy in meaning is "too near". 1 sets no limit.
        max_tries: how often an anchor is drawn before a real row takes its place.
        k: neighbours that say what is difficult (section 7.1).
        protect: a regular expression of what edits leave byte for byte, besides the defaults of
            `Protection`: placeholders in brackets, addresses, @names, #tags, numbers, code. The
            realiser "generate" writes texts anew, and keeps nothing of its source.
        protect_defaults: False protects what `protect` matches alone.
        language: "en" or "zh"; default: that of the generator's training texts.
        user_dictionary: words that jieba shall know besides its own: a file in its format, which is
            read now and saved with the oversampler, or entries; None: those of the generator.
        precision: of the realiser and the embedder; texts are the same for every batch in either.
        max_length: longest text in tokens.

    Attributes:
        rejections: Counter of the gate's reasons (`surface.REASONS`), "tries used up", and "kept",
            over all anchors made by this object in this process. A text without a word that an edit
            may replace counts as "nothing to edit", once, and is not tried again.

    Raises:
        TypeError: a generator or embedder that is neither a name nor a model with its tokenizer.
        ValueError: for an unknown source, gate or realiser, a share outside 0 … 1, a pattern that
            is none, a user dictionary with a line that jieba cannot use, and, when
            fitted, for classes that the generator was not trained for, and critics in the gate of a
            generator without them.
    """

    input_kind: ClassVar[Literal["any", "text", "embedding"]] = "text"
    code_version = 4
    _lazy_attributes = ("_loaded", "rejections")

    def __init__(
        self,
        generator: str | Path | MisoForAnchorGeneration,
        *,
        tokenizer: PreTrainedTokenizerBase | None = None,
        embedder: str | Path | tuple[PreTrainedModel, PreTrainedTokenizerBase] | None = None,
        sampling_strategy: SamplingStrategy = "auto",
        seed: int = 0,
        copy_columns: bool = False,
        sources: Sequence[str] = SOURCES,
        anchor_share: float = 0.5,
        max_anchors_per_source: int = 10,
        majority_share: float = 0.5,
        realizer: Literal["edit", "generate"] = "edit",
        edit_share: float = 0.35,
        majority_edit_share: float = 0.4,
        focus: float = 3.0,
        own_focus: float = 0.0,
        guidance: float = 1.0,
        temperature: float = 1.0,
        top_k: int = 50,
        rounds: int = 1,
        use_latent: bool = False,
        use_class: bool = True,
        splice: bool = True,
        gate: Sequence[str] = ("classifier",),
        gate_quantile: float = 0.1,
        gate_ceiling: float = 1.0,
        unknown_words: Literal["reject", "keep"] = "reject",
        max_cosine: float = 1.0,
        max_tries: int = 4,
        k: int = 5,
        protect: str | None = None,
        protect_defaults: bool = True,
        language: Language | None = None,
        user_dictionary: str | os.PathLike[str] | Iterable[Sequence[Any]] | None = None,
        precision: Literal["float32", "bfloat16"] = "float32",
        max_length: int = 64,
    ):
        super().__init__(sampling_strategy=sampling_strategy, seed=seed, copy_columns=copy_columns)
        unknown = [s for s in sources if s not in ALL_SOURCES]
        if unknown or not sources:
            raise ValueError(f"sources is {list(sources)}; it takes some of {list(ALL_SOURCES)}.")
        check_gate(gate, gate_quantile, gate_ceiling, unknown_words, max_cosine)
        if realizer not in ("edit", "generate"):
            raise ValueError(f"realizer is {realizer!r}; it must be 'edit' or 'generate'.")
        shares = {
            "anchor_share": anchor_share,
            "majority_share": majority_share,
            "edit_share": edit_share,
            "majority_edit_share": majority_edit_share,
        }
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise ValueError(f"{name} is {share}; it is a share, from 0 to 1.")
        if max_anchors_per_source < 1 or max_tries < 1:
            raise ValueError(
                f"max_anchors_per_source is {max_anchors_per_source} and max_tries {max_tries}: "
                "both must be at least 1."
            )
        self.generator = name_of(
            generator, "generator", tokenizer=tokenizer, kind=MisoForAnchorGeneration
        )
        self.tokenizer = None  # of a model in memory, and then kept beside it
        self.embedder = None if embedder is None else name_of(embedder, "embedder")
        self.sources, self.anchor_share = tuple(sources), anchor_share
        self.majority_share, self.max_anchors_per_source = majority_share, max_anchors_per_source
        self.realizer, self.edit_share = realizer, edit_share
        self.majority_edit_share, self.focus = majority_edit_share, focus
        self.own_focus = own_focus
        self.guidance, self.temperature = guidance, temperature
        self.top_k, self.rounds = top_k, rounds
        self.use_latent, self.use_class, self.splice = use_latent, use_class, splice
        self.gate, self.gate_quantile, self.gate_ceiling = tuple(gate), gate_quantile, gate_ceiling
        self.unknown_words, self.max_cosine = unknown_words, max_cosine
        self.max_tries, self.k = max_tries, k
        self.protect, self.protect_defaults = protect, protect_defaults
        self.protection = Protection(protect, protect_defaults)
        self.language = language if language is None else checked_language(language)
        self.user_dictionary = list(map(list, user_dictionary_of(user_dictionary))) or None
        self.precision, self.max_length = precision, max_length
        self._loaded: MisoModels | None = None
        self.rejections: Counter | None = None

    # ---- the generator

    @property
    def loaded(self) -> MisoModels:
        """The generator, its tokenizer and realiser, loaded now if they were not."""
        if self._loaded is None:
            self._loaded = MisoModels.load(
                self.generator,
                self.embedder,
                realizer=self.realizer,
                language=self.language,
                max_length=self.max_length,
                precision=self.precision,
                user_dictionary=user_dictionary_of(self.user_dictionary),
                edit_options={
                    "protection": self.protection,
                    "rounds": self.rounds,
                    "use_latent": self.use_latent,
                    "use_class": self.use_class,
                    "splice": self.splice,
                },
                seed=self.seed,
                guidance=self.guidance,
                temperature=self.temperature,
                top_k=self.top_k,
            )
        return self._loaded

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """`[n, d]` float32 in the space of neighbours and the gate."""
        return self.loaded.embed(texts)

    # ---- fitting

    def _text_column(self) -> str:
        return str(self.text_column_)  # never None: `input_kind` is "text"

    def _learn_from(
        self, dataset: Dataset, embeddings: np.ndarray | None, children: Mapping[int, int]
    ) -> Plan:
        grown = [code for code, total in children.items() if total]
        texts = as_list(dataset.with_format(None)[self._text_column()])
        labels = np.asarray(self.labels_, np.int64)
        self.generator_digest_ = weights_digest(self.loaded.model)
        embeddings = self.embed(texts)
        self.gate_ = TextGate.fit(
            self.loaded,
            texts,
            embeddings,
            labels,
            self.loaded.class_ids(self.label_names_, grown),
            class_names=[str(name) for name in self.label_names_],
            written=grown,
            judges=self.gate,
            quantile=self.gate_quantile,
            ceiling=self.gate_ceiling,
            unknown_words=self.unknown_words,
            max_cosine=self.max_cosine,
            seed=self.seed,
        )
        planner = AnchorPlanner(
            embeddings,
            labels,
            self.judge,
            k=self.k,
            sources=self.sources,
            anchor_share=self.anchor_share,
            max_anchors_per_source=self.max_anchors_per_source,
            majority_share=self.majority_share,
            seed=self.seed,
        )
        # class code → its rows and their texts, which may be repeated
        self.class_texts_: dict[int, tuple[list[int], list[str]]] = {}
        for code in grown:
            planner.add_class(code, children[code])
            self.class_texts_[code] = class_rows(labels, texts, code)
        self.difficult_share_ = {
            str(self.label_names_[code]): share for code, share in planner.difficult_share.items()
        }
        self.outvoted_share_ = {
            str(self.label_names_[code]): share for code, share in planner.outvoted_share.items()
        }
        return planner.plan()

    @property
    def judge(self) -> LinearJudge:
        """The gate's classifier, fitted on the data set's embeddings."""
        return self.gate_.classifier

    # ---- making

    def _make(self, batch: Mapping[str, list[Any]], positions: IntArray, plan: Plan) -> Children:
        column = self._text_column()
        texts, kinds = batch[column], plan.extra["kind"]
        results: list[str | None] = [
            texts[p] if kind == COPY else None for p, kind in zip(positions, kinds, strict=True)
        ]
        origin = np.where(kinds == COPY, RESAMPLED, SYNTHETIC)
        parent = plan.parent.copy()
        pending = np.flatnonzero(kinds != COPY)
        encoded: dict[int, EncodedText] = {}
        for place in {int(positions[i]) for i in pending}:
            encoded[place] = self.loaded.encoder(texts[place])
        fixed = {place for place, source in encoded.items() if not self._is_editable(source)}
        is_fixed = np.asarray([int(positions[i]) in fixed for i in pending], bool)
        pending, hopeless = pending[~is_fixed], pending[is_fixed]
        weights: dict[int, np.ndarray] = {}
        if self.realizer == "edit":
            strengths = {"majority": self.focus, "own": self.own_focus}
            weights = focus_weights(self.loaded, self.judge, plan, positions, encoded, **strengths)
        sources = [texts[positions[i]] for i in pending]

        def request(place: int, attempt: int) -> AnchorRequest:
            i = int(pending[place])
            return self._request(plan, i, attempt, encoded[int(positions[i])], weights.get(i))

        def judge(places: list[int], drafts: list[str]) -> list[str | None]:
            labels = plan.label[pending[places]]
            return self.gate_.reasons(self.loaded, drafts, [sources[p] for p in places], labels)

        families = plan.parent[pending].tolist()
        draw = AnchorDrafts(self.loaded.realizer, request, self.max_tries)
        kept, counts = drawn_until_kept(families, draw, judge, self.max_tries)
        for i, text in zip(pending.tolist(), kept, strict=True):
            results[i] = text
        if len(hopeless):
            counts["nothing to edit"] += len(hopeless)
            counts[TRIES_USED_UP] += len(hopeless)
        for i in [i for i, text in enumerate(results) if text is None]:
            rows, own_texts = self.class_texts_[int(plan.label[i])]
            pick = stand_in(len(rows), self.seed, (int(plan.parent[i]), int(plan.child[i])))
            results[i], origin[i], parent[i] = own_texts[pick], RESAMPLED, rows[pick]
        self.rejections = (self.rejections or Counter()) + counts
        return Children({column: results}, origin=origin, parent=parent)

    def _is_editable(self, source: EncodedText) -> bool:
        """Whether the realiser can make another text of it."""
        return self.realizer != "edit" or any(
            replaceable_words(source.text, source.spans, self.loaded.segmenter, self.protection)
        )

    def _request(
        self, plan: Plan, i: int, attempt: int, source: EncodedText, weights: np.ndarray | None
    ) -> AnchorRequest:
        is_own = plan.extra["kind"][i] == OWN_ANCHOR
        return AnchorRequest(
            source,
            label=int(self.gate_.class_ids[plan.label[i]]),
            avoid=int(self.gate_.class_ids[plan.extra["avoid"][i]]),
            key=(int(plan.parent[i]), int(plan.child[i]), attempt),
            weights=weights,
            share=self.edit_share if is_own else self.majority_edit_share,
        )

    def word_pulls(
        self,
        sources: Sequence[EncodedText],
        toward: Sequence[int] | np.ndarray,
        away: Sequence[int] | np.ndarray,
    ) -> list[np.ndarray]:
        """
        How much each word of a text pulls the judge to class `toward` from class `away`.

        Args:
            sources: n texts, encoded by the generator's tokenizer.
            toward, away: `[n]`, class codes.

        Returns: `[words]` per text.
        """
        return self.loaded.word_pulls(self.judge, sources, np.asarray(toward), np.asarray(away))

    # ---- saving

    def _state_arrays(self) -> dict[str, np.ndarray]:
        return self.gate_.arrays()

    def _load_state_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        self.gate_ = TextGate.from_arrays(arrays, self.gate, np.asarray(self.labels_, np.int64))

    def _state_config(self) -> dict[str, Any]:
        return {
            "class_texts": [
                [code, rows, texts] for code, (rows, texts) in self.class_texts_.items()
            ],
            "difficult_share": self.difficult_share_,
            "outvoted_share": self.outvoted_share_,
            "generator_digest": self.generator_digest_,
            "models": ["generator"] + (["embedder"] if self.embedder is not None else []),
        }

    def _load_state_config(self, config: dict[str, Any]) -> None:
        self.class_texts_ = {code: (rows, texts) for code, rows, texts in config["class_texts"]}
        self.difficult_share_ = config["difficult_share"]
        self.outvoted_share_ = config["outvoted_share"]
        self.generator_digest_ = config["generator_digest"]

    def _save_files(self, folder: Path) -> None:
        self.loaded.save(folder)

    def _load_files(self, folder: Path) -> None:
        self.generator = str(folder / "generator")
        if (folder / "embedder").is_dir():
            self.embedder = str(folder / "embedder")
