"""New texts of the rare classes by a pretrained language model with an adapter a class."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_oversample.data.columns import as_list
from hf_oversample.models.in_memory import name_of
from hf_oversample.models.writers.adapters import ClassAdapters, is_saved_writer
from hf_oversample.models.writers.latents import LatentReader
from hf_oversample.oversamplers.anchors.drafts import TRIES_USED_UP, class_rows
from hf_oversample.oversamplers.anchors.gate import TextGate
from hf_oversample.oversamplers.anchors.plan import COPY, SOURCES, AnchorPlanner
from hf_oversample.oversamplers.base import Children, Oversampler
from hf_oversample.oversamplers.language_model.drafting import written_texts
from hf_oversample.oversamplers.language_model.judging import JudgingModels
from hf_oversample.oversamplers.language_model.options import check_options
from hf_oversample.oversamplers.language_model.requests import RequestMaker
from hf_oversample.oversamplers.language_model.writing import (
    LONGEST,
    base_or_trained,
    journaled,
    new_writer,
)
from hf_oversample.oversamplers.plan import IntArray, Plan
from hf_oversample.oversamplers.saved_files import loaded_children, loaded_texts
from hf_oversample.oversamplers.strategy import SamplingStrategy
from hf_oversample.text.words import Language, Segmenter, checked_language, guess_language
from hf_oversample.training.writer import train_writer
from hf_oversample.training.writer_arguments import WriterTrainingArguments
from hf_oversample.transforms.embed import TextEmbedder

logger = logging.getLogger(__name__)

WRITER_FOLDER, LATENTS_FOLDER = "writer", "latents"


class LanguageModelOversampler(Oversampler):
    """
    Writes new texts of the rare classes with a pretrained language model.

    A LoRA adapter a class is trained when fitted, on one base model. A text keeps the first words
    of a difficult text of its class, or of a text of another class next to it, and goes on as its
    class: by the class's adapter, guided away from the other class's (l₊ + g (l₊ − l₋)), with the
    words of the training texts alone. It passes the quality gate, or is drawn again, or, when its
    tries are used up, a real row marked `resampled` takes its place: asked counts are met exactly.

    All texts are written when fitted, in batches that the plan alone fixes, so that they do not
    depend on how they are asked for. What was fitted needs no language model any more.

    Args:
        writer: a language model, causal or with encoder and decoder (T5, BART): a folder, a Hub
            name, a path that ends with `.gguf`, or a model in memory, which is copied as it is
            then; or a folder of a trained writer (`ClassAdapters.save`; a saved oversampler has one
            in its `writer`), which is trained no further.
        tokenizer: of a model in memory.
        gguf_file: of a folder or a repository, the GGUF file in it.
        latents: folder or Hub name of a trained MISO generator with all of its parts, or a pair of
            it and its tokenizer. Adapters then read z of the source, fused for the class to write,
            before the text (`LatentPrefix`); what guidance leads away from reads none.
        embedder: folder or Hub name of the encoder whose embeddings say what is difficult and
            which class a text seems to be of (the gate's classifier), or a pair of a model and its
            tokenizer; None takes the language model's own mean states.
        sampling_strategy, seed, copy_columns: as for every oversampler.
        sources, anchor_share, max_anchors_per_source, majority_share, k: which rows texts start
            from, how many are written, and how many a row gives: see `MisoOversampler`.
        least_kept, most_kept: share of its source's words that a text keeps, drawn between these;
            at least one word, but with latents.
        guidance: g; 0 writes by the class's adapter alone.
        temperature, top_k, top_p: of the drawing, see `KeyedGumbel`; temperature 0 takes the most
            likely token.
        training_words_only: whether a text may have words of the training texts alone. Others tell
            a classifier that a row was made.
        gate: which judges must let a text pass: "classifier", "neighbors", "influence", or () for
            none; see `MisoOversampler`. Copies and texts that repeat themselves never pass.
        gate_quantile, gate_ceiling: how clearly the classifier must see the class, and how clearly
            it may; see `MisoOversampler`.
        max_cosine: largest cosine of a text's embedding with a training text's; 1 sets no limit.
        max_tries: how often a text is drawn before a real row takes its place.
        training: fields of `WriterTrainingArguments` by name, but `seed`.
        language: "en" or "zh"; by default what the texts are.
        max_length: longest text in tokens, with its class's name before it; by default that of a
            trained writer, else 64.
        prompting: ask an instruction model instead, by its chat template, and train nothing: it is
            told the class and shown the difficult text, its nearest text of the other class and a
            few texts of the class. `least_kept`, `most_kept` and `guidance` have no part in it;
            `max_length` is that of an answer.
        base_url: address of a server with OpenAI's interface (such as "http://localhost:8000/v1"),
            which is prompted; `writer` is the model's name there. It needs an `embedder`.
        api_key_variable: environment variable with the server's key, which is written nowhere.
        examples: texts of the class that a prompt shows.
        journal: a file that takes each draft as soon as it is there: a fit that was stopped goes on
            from it, if it is of the same rows and values.

    Attributes (after `fit`):
        rejections: Counter of the gate's reasons (`surface.REASONS`), "tries used up", and "kept".
        training_: class → what its adapter's training was like: updates, held-out losses in nats a
            token, tokens.
        usage_: requests, tokens of prompts and of texts, and `seconds` of writing, in the process
            that was fitted.
        training_seconds_: class → seconds of it, in the process that trained it.
        difficult_share_, outvoted_share_: class → share of its rows.

    Raises:
        TypeError: a writer or embedder that is neither a name nor a model with its tokenizer.
        ValueError: values that cannot work; when fitted, a model that does not write from left to
            right, without an end of text, with a tokenizer of another vocabulary, or with fewer
            places than `max_length`; a trained writer without an adapter of a class.
        ImportError: when fitted, without the extra `writers`.
        FloatingPointError: when fitted, training diverged.
        ServerError: when fitted, a server that does not answer as it should (`server.py`); what it
            answered before is in the journal.
    """

    input_kind: ClassVar[Literal["any", "text", "embedding"]] = "text"
    realizer: ClassVar[Literal["write"]] = "write"  # as `TextCounts` tells it
    _lazy_attributes = ("_adapters", "training_seconds_", "usage_")

    def __init__(
        self,
        writer: str | Path | PreTrainedModel,
        *,
        tokenizer: PreTrainedTokenizerBase | None = None,
        gguf_file: str | None = None,
        latents: str | Path | tuple[PreTrainedModel, PreTrainedTokenizerBase] | None = None,
        embedder: str | Path | tuple[PreTrainedModel, PreTrainedTokenizerBase] | None = None,
        sampling_strategy: SamplingStrategy = "auto",
        seed: int = 0,
        copy_columns: bool = False,
        sources: Sequence[str] = SOURCES,
        anchor_share: float = 0.5,
        max_anchors_per_source: int = 10,
        majority_share: float = 0.5,
        least_kept: float = 0.3,
        most_kept: float = 0.5,
        guidance: float = 1.0,
        temperature: float = 1.0,
        top_k: int = 50,
        top_p: float = 0.95,
        training_words_only: bool = True,
        gate: Sequence[str] = ("classifier",),
        gate_quantile: float = 0.1,
        gate_ceiling: float = 1.0,
        max_cosine: float = 1.0,
        max_tries: int = 4,
        k: int = 5,
        training: Mapping[str, Any] | None = None,
        language: Language | None = None,
        max_length: int | None = None,
        prompting: bool = False,
        base_url: str | None = None,
        api_key_variable: str = "OPENAI_API_KEY",
        examples: int = 4,
        journal: str | Path | None = None,
    ):
        super().__init__(sampling_strategy=sampling_strategy, seed=seed, copy_columns=copy_columns)
        self.writer = name_of(writer, "writer", tokenizer=tokenizer)
        self.tokenizer = None  # of a model in memory, and then kept beside it
        self.gguf_file = gguf_file
        self.latents = None if latents is None else name_of(latents, "latents")
        self.embedder = None if embedder is None else name_of(embedder, "embedder")
        self.sources, self.anchor_share = tuple(sources), anchor_share
        self.max_anchors_per_source, self.majority_share = max_anchors_per_source, majority_share
        self.least_kept, self.most_kept = least_kept, most_kept
        self.guidance, self.temperature = guidance, temperature
        self.top_k, self.top_p = top_k, top_p
        self.training_words_only = training_words_only
        self.gate, self.gate_quantile, self.gate_ceiling = tuple(gate), gate_quantile, gate_ceiling
        self.max_cosine, self.max_tries, self.k = max_cosine, max_tries, k
        self.training = dict(training or {})
        self.language = language if language is None else checked_language(language)
        self.max_length = max_length
        self.prompting, self.base_url = prompting, base_url
        self.api_key_variable, self.examples = api_key_variable, examples
        self.journal = None if journal is None else str(journal)
        check_options(self.get_params())
        self._training_arguments()
        self._adapters: ClassAdapters | None = None
        self.training_seconds_: dict[str, float] | None = None
        self.usage_: dict[str, float] | None = None
        self.rejections: Counter[str] | None = None

    def _training_arguments(self) -> WriterTrainingArguments:
        known = {item.name for item in fields(WriterTrainingArguments)} - {"seed"}
        if unknown := sorted(set(self.training) - known):
            raise ValueError(
                f"training has {unknown}; it takes {sorted(known)} (the seed is the oversampler's)"
            )
        return WriterTrainingArguments(**self.training, seed=self.seed)

    # ---- fitting: the whole of the work

    def _learn_from(
        self, dataset: Dataset, embeddings: np.ndarray | None, children: Mapping[int, int]
    ) -> Plan:
        texts = as_list(dataset.with_format(None)[str(self.text_column_)])
        labels = np.asarray(self.labels_, np.int64)
        grown = [code for code, total in children.items() if total]
        segmenter = Segmenter(self.language or guess_language(texts))
        latents = self._latent_reader()
        if latents is not None:
            latents.check_classes([str(name) for name in self.label_names_], grown)
        self.latents_digest_ = None if latents is None else latents.kind.digest
        adapters = base_or_trained(self, latents)
        length = adapters.max_length if adapters is not None else LONGEST
        models = JudgingModels(segmenter, self._embedder(), adapters, length)
        places = models.embed(texts)
        gate = TextGate.fit(
            models,
            texts,
            places,
            labels,
            np.arange(len(self.label_names_)),
            class_names=[str(name) for name in self.label_names_],
            written=grown,
            judges=self.gate,
            quantile=self.gate_quantile,
            ceiling=self.gate_ceiling,
            unknown_words="reject" if self.training_words_only else "keep",
            max_cosine=self.max_cosine,
            seed=self.seed,
        )
        planner = AnchorPlanner(
            places,
            labels,
            gate.classifier,
            k=self.k,
            sources=self.sources,
            anchor_share=self.anchor_share,
            max_anchors_per_source=self.max_anchors_per_source,
            majority_share=self.majority_share,
            seed=self.seed,
        )
        for code in grown:
            planner.add_class(code, children[code])
        plan = planner.plan()
        self.difficult_share_ = self._by_name(planner.difficult_share)
        self.outvoted_share_ = self._by_name(planner.outvoted_share)
        self.adapter_codes_ = list(range(len(self.label_names_)))
        self.training_: dict[str, dict[str, Any]] = {}
        self.training_seconds_ = {}
        if adapters is not None and not self.prompting:
            self._train(adapters, texts, labels, plan, latents)
        writer = journaled(self, new_writer(self, adapters, texts, segmenter, latents))
        request = RequestMaker(
            texts,
            labels,
            places,
            segmenter,
            self.adapter_codes_,
            self.seed,
            self.least_kept,
            self.most_kept,
            0 if latents is not None else 1,
            self.examples if self.is_prompted else None,
        )
        start = time.perf_counter()
        written = written_texts(
            plan, texts, labels, gate, models, writer, request, max_tries=self.max_tries,
            seed=self.seed,
        )  # fmt: skip
        self.texts_, self.origins_, self.parents_ = written.texts, written.origins, written.parents
        seconds = round(time.perf_counter() - start, 2)
        self.usage_ = {**writer.usage.to_dict(), "seconds": seconds}
        self.rejections = written.counts
        asked = written.counts["kept"] + written.counts[TRIES_USED_UP]
        logger.info("wrote %d of %d texts: %s", written.counts["kept"], asked, dict(written.counts))
        extra = {**plan.extra, "entry": np.arange(len(plan))}
        return Plan(plan.parent, plan.child, plan.label, extra)

    def _by_name(self, shares: Mapping[int, float]) -> dict[str, float]:
        return {str(self.label_names_[code]): share for code, share in shares.items()}

    def _embedder(self) -> TextEmbedder | None:
        if self.embedder is None:
            return None
        return TextEmbedder(self.embedder, max_length=self.max_length)

    @property
    def is_prompted(self) -> bool:
        """Whether nothing is trained."""
        return self.prompting or self.base_url is not None

    def _latent_reader(self) -> LatentReader | None:
        return None if self.latents is None else LatentReader.load(self.latents)

    def _train(
        self,
        adapters: ClassAdapters,
        texts: Sequence[str],
        labels: np.ndarray,
        plan: Plan,
        latents: LatentReader | None,
    ) -> None:
        """Adapters of the classes that are written, and of those that these are led away from."""
        asked = plan.extra["kind"] != COPY
        needed = np.union1d(plan.label[asked], plan.extra["avoid"][asked]).tolist()
        names = [str(name) for name in self.label_names_]
        if needed and not adapters.trained:
            # where the largest class is not among these, it is still what others start from
            codes = {*needed, int(np.argmax(np.bincount(labels)))}
            train_writer(
                adapters,
                {code: class_rows(labels, texts, code)[1] for code in codes},
                self._training_arguments(),
                latents,
            )
        self.adapter_codes_ = [-1] * len(names)
        for code in needed:
            self.adapter_codes_[code] = adapters.code_of(names[code])
        # the seconds are no part of what is hashed
        self.training_seconds_ = {name: told["seconds"] for name, told in adapters.record.items()}
        self.training_ = {
            name: {key: value for key, value in told.items() if key != "seconds"}
            for name, told in adapters.record.items()
        }
        self._adapters = adapters

    # ---- making: what was written is handed out

    def _make(self, batch: Mapping[str, list[Any]], positions: IntArray, plan: Plan) -> Children:
        entries = plan.extra["entry"]
        return Children(
            {str(self.text_column_): [self.texts_[i] for i in entries.tolist()]},
            origin=self.origins_[entries],
            parent=self.parents_[entries],
        )

    # ---- saving

    @property
    def adapters(self) -> ClassAdapters:
        """
        The base model with the adapters, loaded now if they were not.

        Raises:
            RuntimeError: they were trained in another process, and not saved.
        """
        if self._adapters is None:
            if not is_saved_writer(self.writer):
                raise RuntimeError(
                    "the adapters were trained in another process and are not in this one: save "
                    "the oversampler where it was fitted"
                )
            self._adapters = ClassAdapters.load(self.writer)
        return self._adapters

    def _state_arrays(self) -> dict[str, np.ndarray]:
        return {"origins": self.origins_, "parents": self.parents_}

    def _load_state_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        self.origins_, self.parents_ = loaded_children(arrays, self.fitted_plan(), self.labels_)

    def _state_config(self) -> dict[str, Any]:
        return {
            "texts": self.texts_,
            "rejections": dict(self.rejections or {}),
            "adapter_codes": self.adapter_codes_,
            "training": self.training_,
            "latents_digest": self.latents_digest_,
            "difficult_share": self.difficult_share_,
            "outvoted_share": self.outvoted_share_,
        }

    def _load_state_config(self, config: dict[str, Any]) -> None:
        self.texts_ = loaded_texts(config, self.fitted_plan())
        self.rejections = Counter(config["rejections"])
        self.adapter_codes_, self.training_ = config["adapter_codes"], config["training"]
        self.latents_digest_ = config["latents_digest"]
        self.difficult_share_ = config["difficult_share"]
        self.outvoted_share_ = config["outvoted_share"]

    def _save_files(self, folder: Path) -> None:
        if not self.is_prompted:
            self.adapters.save(folder / WRITER_FOLDER)
        if (latents := self._latent_reader()) is not None:
            latents.save(folder / LATENTS_FOLDER)
        if (embedder := self._embedder()) is not None:
            embedder.save_pretrained(folder / "embedder")

    def _load_files(self, folder: Path) -> None:
        if not self.is_prompted:
            if not is_saved_writer(str(folder / WRITER_FOLDER)):
                raise FileNotFoundError(
                    f"{folder / WRITER_FOLDER} holds no adapters, which were saved there: the "
                    "folder is not whole; copy or download it again"
                )
            self.writer, self.gguf_file = str(folder / WRITER_FOLDER), None
        if (folder / LATENTS_FOLDER).is_dir():
            self.latents = str(folder / LATENTS_FOLDER)
        if (folder / "embedder").is_dir():
            self.embedder = str(folder / "embedder")
