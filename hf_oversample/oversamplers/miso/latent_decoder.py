"""Rows that were made in a MISO generator's latent space, back to text (methods: MISO, section 1).

    latents = TextEmbedder(generator, pooling="latent").embed_dataset(dataset)
    balanced = SmoteOversampler().balance(latents)
    texts = LatentDecoder(generator).decode(balanced)

A text is a function of (seed, parent, child number, try) and the row's latents alone; what depends
on the other rows, that no two texts are the same, is settled in one place for all of them. So the
texts are the same for every batch size, number of processes and order of the rows.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset, Features, Value
from datasets.fingerprint import Hasher
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_oversample.data.columns import as_list, check_texts, read_labels, require_columns
from hf_oversample.data.embeddings import embedding_matrix
from hf_oversample.models.digest import weights_digest
from hf_oversample.models.in_memory import name_of
from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.numeric import noise
from hf_oversample.numeric.workers import processes_that_can_use_gpus
from hf_oversample.oversamplers.anchors.gate import TextGate, check_gate
from hf_oversample.oversamplers.anchors.shortfall import TextCounts
from hf_oversample.oversamplers.miso.made_rows import DecodingRequests, with_texts
from hf_oversample.oversamplers.miso.models import MisoModels
from hf_oversample.oversamplers.plan import REAL, IntArray
from hf_oversample.text.encoding import SMALLEST_BATCH
from hf_oversample.text.words import Language, checked_language, normalized

logger = logging.getLogger(__name__)


class LatentDecoder:
    """
    Writes the text of synthetic rows whose embeddings are latents of a MISO generator.

    Latents are moved by the generator's fusion for the row's class, as those of texts are, and
    decoded with contrastive guidance (the *generate* realiser). Every text passes the quality gate
    of `MisoOversampler`, or is redrawn, or, when its tries are used up, the row becomes a copy of
    a real row of its class, marked `resampled`: counts by class stay what they were.

    Args:
        generator: folder or Hub name of a `MisoForAnchorGeneration` with its tokenizer, or such a
            model in memory, which is copied as it is then.
        tokenizer: of a generator in memory.
        embedder: folder or Hub name of the encoder in whose space the gate judges, or a pair of a
            model and its tokenizer; None takes the generator's own.
        seed: of every draw.
        guidance, temperature, top_k, max_new_tokens: of `GenerateRealizer`.
        fuse: whether latents are moved by the fusion first, where the generator has one.
        gate: which judges must place a text with its class: "classifier" (logistic regression on
            the real rows), "critics", "neighbors"; () for none. Texts that are empty, repeat
            themselves, or copy a real row or each other are rejected in any case.
        gate_quantile, gate_ceiling: how clearly the classifier must see the class, and how clearly
            it may: its margin is between these quantiles of the margins of the class's own real
            rows out of fold, and above 0; see `MisoOversampler`.
        unknown_words: "reject" texts with a word that no real row has, which would mark them as
            made, or "keep" them.
        max_cosine: largest cosine of a text's embedding with a real row's; 1 sets no limit.
        max_tries: how often a text is drawn before a real row takes its place.
        language: "en" or "zh"; default: that of the generator's training texts.
        precision: "float32" or "bfloat16", of the decoder and the embedder.
        max_length: longest text in tokens that the gate reads.

    Attributes:
        rejections: Counter of the last call: the gate's reasons (`surface.REASONS`; "sibling" is
            a text that another row has got), "tries used up", and "kept".

    Raises:
        TypeError: a generator or embedder that is neither a name nor a model with its tokenizer.
        ValueError: for an unknown gate, a quantile outside 0 … 1, or less than one try.
    """

    def __init__(
        self,
        generator: str | Path | MisoForAnchorGeneration,
        *,
        tokenizer: PreTrainedTokenizerBase | None = None,
        embedder: str | Path | tuple[PreTrainedModel, PreTrainedTokenizerBase] | None = None,
        seed: int = 0,
        guidance: float = 1.0,
        temperature: float = 1.0,
        top_k: int = 50,
        max_new_tokens: int = 48,
        fuse: bool = True,
        gate: Sequence[str] = ("classifier",),
        gate_quantile: float = 0.1,
        gate_ceiling: float = 1.0,
        unknown_words: Literal["reject", "keep"] = "reject",
        max_cosine: float = 1.0,
        max_tries: int = 4,
        language: Language | None = None,
        precision: Literal["float32", "bfloat16"] = "float32",
        max_length: int = 64,
    ):
        check_gate(gate, gate_quantile, gate_ceiling, unknown_words, max_cosine)
        if max_tries < 1:
            raise ValueError(f"max_tries is {max_tries}; it must be at least 1.")
        self.generator = name_of(
            generator, "generator", tokenizer=tokenizer, kind=MisoForAnchorGeneration
        )
        self.tokenizer = None  # of a model in memory, and then kept beside it
        self.embedder = None if embedder is None else name_of(embedder, "embedder")
        self.seed, self.guidance, self.temperature = seed, guidance, temperature
        self.top_k, self.max_new_tokens, self.fuse = top_k, max_new_tokens, fuse
        self.gate, self.gate_quantile, self.gate_ceiling = tuple(gate), gate_quantile, gate_ceiling
        self.unknown_words, self.max_cosine = unknown_words, max_cosine
        self.max_tries = max_tries
        self.language = language if language is None else checked_language(language)
        self.precision: Literal["float32", "bfloat16"] = precision
        self.max_length = max_length
        self._params = {k: v for k, v in vars(self).items() if k != "_params"}
        self.rejections: Counter[str] = Counter()
        self._loaded: MisoModels | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_loaded": None}

    def __repr__(self) -> str:
        return f"LatentDecoder({self.generator!r}, seed={self.seed})"

    @property
    def loaded(self) -> MisoModels:
        """The generator, its tokenizer and realiser, loaded now if they were not."""
        if self._loaded is None:
            self._loaded = MisoModels.load(
                self.generator,
                self.embedder,
                realizer="generate",
                language=self.language,
                max_length=self.max_length,
                precision=self.precision,
                user_dictionary=(),
                edit_options={},
                seed=self.seed,
                guidance=self.guidance,
                temperature=self.temperature,
                top_k=self.top_k,
                max_new_tokens=self.max_new_tokens,
            )
        return self._loaded

    def counts(self) -> TextCounts:
        """What became of the texts of the last call of `decode`."""
        kept, left = self.rejections["kept"], self.rejections["tries used up"]
        return TextCounts.of(
            "decode", asked=kept + left, planned=kept + left, made=kept, rejections=self.rejections
        )

    # ---- the whole data set

    def decode(
        self,
        dataset: Dataset,
        num_proc: int | None = None,
        batch_size: int = 256,
        *,
        text_column: str = "text",
        label_column: str = "label",
        embedding_column: str = "embedding",
    ) -> Dataset:
        """
        The data set with a text in every row; real rows are not rewritten.

        Args:
            dataset: what `balance` or `map` of an oversampler gave: its `origin` and `parent`
                columns say which rows were made. Texts of synthetic rows are replaced; a resampled
                row without a text gets its parent's.
            num_proc, batch_size: processes, and rows a call; the texts are the same for every
                number, but for the last bits that threads change (a process of `num_proc` has one).
            text_column, label_column, embedding_column: of the data set.

        Raises:
            ValueError: a missing column; a real row without a text; a `parent` that is no real
                row; rows in another order than the oversampler gave them; embeddings of another
                width than the generator's latents; a class that the generator does not know or was
                not trained to write.
        """
        require_columns(dataset, text_column, label_column, embedding_column, "origin", "parent")
        origin = np.asarray(dataset.with_format("numpy")["origin"][:], np.int64)
        parent = np.asarray(dataset.with_format("numpy")["parent"][:], np.int64)
        labels = read_labels(dataset, label_column)
        real = np.flatnonzero(origin == REAL)
        real_rows = dataset.with_format(None).select(real)
        check_texts(real_rows, text_column)
        texts = list(real_rows[text_column][:])
        requests = DecodingRequests.of(origin, parent, labels)
        self._fit(texts, labels.codes[real].astype(np.int64), labels.names, requests)
        latents = self._latents(dataset, embedding_column, requests.rows)
        written, repeats = self._write(requests, latents, texts, num_proc, batch_size)
        models = [weights_digest(self.loaded.model)]
        if self.loaded.embedder is not None:
            models.append(self.loaded.embedder.digest)
        return with_texts(
            dataset,
            origin,
            requests,
            written,
            repeats,
            text_column=text_column,
            label_column=label_column,
            embedding_column=embedding_column,
            fingerprint=Hasher.hash([dataset._fingerprint, self._params, models]),
        )

    def _fit(
        self, texts: list[str], codes: IntArray, names: list[str], requests: DecodingRequests
    ) -> None:
        """Learn from the real rows what the gate needs to know."""
        models, written = self.loaded, np.unique(requests.label).tolist()
        self.gate_ = TextGate.fit(
            models,
            texts,
            models.embed(texts),
            codes,
            models.class_ids(names, written),
            class_names=names,
            written=written,
            judges=self.gate,
            quantile=self.gate_quantile,
            ceiling=self.gate_ceiling,
            unknown_words=self.unknown_words,
            max_cosine=self.max_cosine,
            seed=self.seed,
        )

    def _latents(self, dataset: Dataset, column: str, rows: IntArray) -> np.ndarray:
        config = self.loaded.model.config
        shape = (config.num_latent_heads, config.latent_size)
        if not len(rows):
            return np.empty((0, *shape), np.float32)
        latents = embedding_matrix(dataset.select(rows), column, numbers=rows)
        if latents.shape[1] != shape[0] * shape[1]:
            raise ValueError(
                f"column {column!r} has {latents.shape[1]} values a row, but the latents of "
                f"{self.generator} have {shape[0]} × {shape[1]}: embed the data set with "
                "TextEmbedder(generator, pooling='latent') before it is balanced."
            )
        return latents.reshape(-1, *shape)

    def _write(
        self,
        requests: DecodingRequests,
        latents: np.ndarray,
        texts: list[str],
        num_proc: int | None,
        batch_size: int,
    ) -> tuple[list[str | None], IntArray]:
        """The requests' texts, and for those whose tries are used up the real row instead."""
        total = len(requests.rows)
        written: list[str | None] = [None] * total
        taken: set[str] = set()
        pending = np.arange(total)
        counts: Counter[str] = Counter()
        width = latents[0].size if total else 0
        for attempt in range(self.max_tries):
            if not len(pending):
                break
            columns = {
                name: getattr(requests, name)[pending]
                for name in ("parent", "child", "label", "avoid")
            }
            flat = pa.array(latents[pending].reshape(-1))
            columns["latents"] = pa.FixedSizeListArray.from_arrays(flat, width)
            columns["source"] = [texts[row] for row in requests.parent[pending].tolist()]
            tries = Dataset(pa.table(columns), fingerprint=Hasher.hash(["tries", attempt]))
            with processes_that_can_use_gpus(num_proc):
                answers = tries.with_format("numpy").map(
                    _Attempt(self, attempt),
                    batched=True,
                    batch_size=batch_size,
                    num_proc=num_proc,
                    remove_columns=tries.column_names,
                    features=Features({"text": Value("string"), "reason": Value("string")}),
                    new_fingerprint=Hasher.hash(["answers", attempt]),  # in memory: not cached
                    desc=f"Decoding, try {attempt + 1}",
                )
            answers = answers.with_format(None)
            rejected = []
            for i, text, reason in zip(
                pending.tolist(), answers["text"][:], answers["reason"][:], strict=True
            ):
                if reason is None and normalized(text) in taken:
                    reason = "sibling"
                if reason is None:
                    written[i] = text
                    taken.add(normalized(text))
                else:
                    rejected.append(i)
                counts["kept" if reason is None else reason] += 1
            pending = np.asarray(rejected, np.int64)
        counts["tries used up"] += len(pending)
        chosen = np.full(total, -1, np.int64)
        for i in pending.tolist():
            own = np.flatnonzero(self.gate_.labels == requests.label[i])
            key = (int(requests.parent[i]), int(requests.child[i]))
            chosen[i] = own[int(noise.integers(len(own), self.seed, noise.stream("decode"), *key))]
        self.rejections = counts
        logger.info("decoded %d of %d rows: %s", total - len(pending), total, dict(counts))
        return written, chosen

    # ---- some rows

    @torch.no_grad()
    def attempt(
        self, latents: np.ndarray, batch: Mapping[str, Any], attempt: int
    ) -> tuple[list[str], list[str | None]]:
        """
        One try at some rows.

        Args:
            latents: `[n, h, d]`.
            batch: `parent`, `child`, `label`, `avoid` and `source`, `[n]` each.
            attempt: number of the try.

        Returns: texts, and for each the reason why it is rejected, or None.
        """
        models, labels = self.loaded, np.asarray(batch["label"])
        device = models.model.device
        classes = torch.as_tensor(self.gate_.class_ids[labels], device=device)
        avoid = torch.as_tensor(self.gate_.class_ids[np.asarray(batch["avoid"])], device=device)
        slots = torch.as_tensor(latents, device=device)
        if self.fuse and models.model.config.use_sfm:
            slots = self._fused(slots, classes)
        keys = np.stack(
            [batch["parent"], batch["child"], np.full(len(labels), attempt)], axis=1
        ).astype(np.int64)
        assert hasattr(models.realizer, "from_latents")  # it was loaded as "generate"
        texts = models.realizer.from_latents(slots, classes, avoid, keys)
        return texts, self.gate_.reasons(models, texts, as_list(batch["source"]), labels)

    def _fused(self, latents: Tensor, classes: Tensor) -> Tensor:
        """z of latents; each class is filled up to the smallest batch with stable last bits."""
        result = torch.empty_like(latents)
        for label in classes.unique():
            rows = torch.nonzero(classes == label)[:, 0]
            filler = rows[:1].expand(max(0, SMALLEST_BATCH - len(rows)))
            index = torch.cat([rows, filler])
            fused = self.loaded.model.miso.fuse_with_bank(latents[index], classes[index])
            result[rows] = fused[: len(rows)]
        return result


class _Attempt:
    """A map function: one try at the rows of a batch."""

    def __init__(self, decoder: LatentDecoder, attempt: int):
        self.decoder, self.attempt = decoder, attempt

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        config = self.decoder.loaded.model.config
        latents = np.asarray(batch["latents"], np.float32)
        latents = latents.reshape(-1, config.num_latent_heads, config.latent_size)
        texts, reasons = self.decoder.attempt(latents, batch, self.attempt)
        return {"text": texts, "reason": reasons}
