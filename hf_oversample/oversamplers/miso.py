"""MISO as an oversampler: anchors for difficult minority texts (Tian et al., EMNLP 2021)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from hf_oversample import noise
from hf_oversample.columns import as_list
from hf_oversample.encoding import EncodedText, TextEncoder, pad, token_budget_batches
from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.neighbors import difficult_samples, nearest_neighbors
from hf_oversample.oversamplers.base import RESAMPLED, SYNTHETIC, Children, Oversampler
from hf_oversample.plan import IntArray, Plan
from hf_oversample.quality import CopyIndex, LinearJudge, surface_reason
from hf_oversample.realizers import SMALLEST_BATCH, AnchorRequest, EditRealizer, GenerateRealizer
from hf_oversample.sampling import SamplingStrategy, spread
from hf_oversample.text import Segmenter, normalized
from hf_oversample.transforms.embed import TextEmbedder, embed_token_ids

logger = logging.getLogger(__name__)

# kinds of children in a plan
OWN_ANCHOR, MAJORITY_ANCHOR, COPY = range(3)
SOURCES = ("difficult", "minority", "majority")
GATES = ("classifier", "critics", "neighbors")
NEIGHBORS_OF_VOTE = 5
# padded tokens of a batch
TOKEN_BUDGET = 8192


@dataclass
class _Loaded:
    """What is rebuilt at need: the generator and what works with it."""

    model: MisoForAnchorGeneration
    tokenizer: PreTrainedTokenizerBase
    segmenter: Segmenter
    encoder: TextEncoder
    realizer: EditRealizer | GenerateRealizer
    embedder: TextEmbedder | None
    class_ids: dict[int, int] = field(default_factory=dict)


class MisoOversampler(Oversampler):
    """
    Writes new texts (*anchors*) of the rare classes with a trained MISO generator.

    Sources are difficult texts first, then all texts of the class, then texts of other classes next to them; half of
    the children are anchors by default and half are repeated real rows. Every anchor passes a quality gate, or is
    redrawn, or, when its tries are used up, is replaced by a real row marked `resampled`: asked counts are met exactly.

    Args:
        generator: folder or Hub name of a `MisoForAnchorGeneration` with its tokenizer.
        embedder: folder or Hub name of the encoder whose embeddings say what is difficult and which class a text
            seems to be of (the gate's classifier); None takes the generator's own encoder.
        sampling_strategy, seed, copy_columns: as for every oversampler.
        sources: among "difficult", "minority", "majority"; which rows anchors start from.
        anchor_share: share of a class's children that are anchors, the rest repeated real rows. As many distinct
            anchors as the sources can give are made, no more.
        max_anchors_per_source: distinct anchors that one row of the class may give; rows of other classes give one.
        majority_share: share of the anchors that starts from rows of other classes, where those are sources.
        realizer: "edit" (mask and refill words of the source) or "generate" (decode z, the paper's).
        edit_share, majority_edit_share: share of a source's words that an edit replaces, in texts of the class and
            in texts of other classes.
        focus: how strongly edits of other classes' texts prefer the words that pull to their own class.
        guidance, temperature, top_k, rounds, use_latent, use_class, splice: of the realiser.
        gate: which judges must place an anchor with its class: "classifier", "critics" (pointwise mutual information
            with the class against the majority), "neighbors" (majority of the 5 nearest training rows); () for none.
        max_tries: how often an anchor is drawn before a real row takes its place.
        k: neighbours that say what is difficult (section 7.1).
        language: "en" or "zh".
        precision: of the realiser and the embedder; texts are the same for every batch in either.
        max_length: longest text in tokens.

    Attributes:
        rejections: Counter of the reasons of `hf_oversample.quality`, "tries used up", and "kept", over all anchors
            made by this object in this process.

    Raises:
        ValueError: for an unknown source, gate or realiser, a share outside 0 … 1, and, when fitted, for classes that
            the generator was not trained for.
    """

    input_kind: ClassVar[Literal["any", "text", "embedding"]] = "text"
    code_version = 1
    _lazy_attributes = ("_loaded", "rejections")

    def __init__(
        self,
        generator: str,
        *,
        embedder: str | None = None,
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
        guidance: float = 1.0,
        temperature: float = 1.0,
        top_k: int = 50,
        rounds: int = 2,
        use_latent: bool = False,
        use_class: bool = True,
        splice: bool = True,
        gate: Sequence[str] = ("classifier",),
        max_tries: int = 4,
        k: int = 5,
        language: Literal["en", "zh"] = "en",
        precision: Literal["float32", "bfloat16"] = "float32",
        max_length: int = 64,
    ):
        super().__init__(sampling_strategy=sampling_strategy, seed=seed, copy_columns=copy_columns)
        unknown = [s for s in sources if s not in SOURCES]
        if unknown or not sources:
            raise ValueError(f"sources is {list(sources)}; it takes some of {list(SOURCES)}.")
        if unknown := [g for g in gate if g not in GATES]:
            raise ValueError(f"gate has {unknown}; it takes some of {list(GATES)}.")
        if realizer not in ("edit", "generate"):
            raise ValueError(f"realizer is {realizer!r}; it must be 'edit' or 'generate'.")
        for name, share in (("anchor_share", anchor_share), ("majority_share", majority_share),
                            ("edit_share", edit_share), ("majority_edit_share", majority_edit_share)):  # fmt: skip
            if not 0 <= share <= 1:
                raise ValueError(f"{name} is {share}; it is a share, from 0 to 1.")
        if max_anchors_per_source < 1 or max_tries < 1:
            raise ValueError(
                f"max_anchors_per_source is {max_anchors_per_source} and max_tries {max_tries}: both at least 1."
            )
        self.generator, self.embedder = str(generator), None if embedder is None else str(embedder)
        self.sources, self.anchor_share, self.majority_share = (
            tuple(sources),
            anchor_share,
            majority_share,
        )
        self.max_anchors_per_source, self.realizer = max_anchors_per_source, realizer
        self.edit_share, self.majority_edit_share, self.focus = (
            edit_share,
            majority_edit_share,
            focus,
        )
        self.guidance, self.temperature, self.top_k, self.rounds = (
            guidance,
            temperature,
            top_k,
            rounds,
        )
        self.use_latent, self.use_class, self.splice = use_latent, use_class, splice
        self.gate, self.max_tries, self.k = tuple(gate), max_tries, k
        self.language, self.precision, self.max_length = language, precision, max_length
        self._loaded: _Loaded | None = None
        self.rejections: Counter | None = None

    # ---- the generator

    @property
    def loaded(self) -> _Loaded:
        """The generator, its tokenizer and realiser, loaded now if they were not."""
        if self._loaded is None:
            model = MisoForAnchorGeneration.from_pretrained(self.generator).eval()
            if torch.cuda.is_available():
                model = model.to("cuda")
            tokenizer = AutoTokenizer.from_pretrained(self.generator)
            segmenter = Segmenter(self.language)
            options = dict(
                seed=self.seed,
                guidance=self.guidance,
                temperature=self.temperature,
                top_k=self.top_k,
                precision=self.precision,
            )
            realizer: EditRealizer | GenerateRealizer
            if self.realizer == "edit":
                realizer = EditRealizer(
                    model, tokenizer, segmenter, rounds=self.rounds, use_latent=self.use_latent,
                    use_class=self.use_class, splice=self.splice, **options,
                )  # fmt: skip
            else:
                realizer = GenerateRealizer(model, tokenizer, segmenter, **options)
            embedder = None
            if self.embedder is not None:
                embedder = TextEmbedder(
                    self.embedder, max_length=self.max_length, dtype=self.precision
                )
            encoder = TextEncoder(tokenizer, segmenter, self.max_length)
            self._loaded = _Loaded(model, tokenizer, segmenter, encoder, realizer, embedder)
        return self._loaded

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """`[n, d]` float32 in the space of neighbours and the gate."""
        if self.loaded.embedder is not None:
            return self.loaded.embedder.embed(texts)
        rows = [self.loaded.encoder(text).input_ids for text in texts]
        return embed_token_ids(
            self.loaded.model.miso.encoder, rows, padding=self.loaded.tokenizer.pad_token_id
        )

    def _class_ids(self) -> dict[int, int]:
        """Class code of the data set → label of the generator, by name."""
        known = {str(name): label for name, label in self.loaded.model.config.label2id.items()}
        names = dict(enumerate(self.label_names_))
        missing = [name for name in names.values() if str(name) not in known]
        if missing:
            raise ValueError(
                f"The generator {self.generator} does not know the class(es) {missing}; it was trained with "
                f"{sorted(known)}. Train one on this data set, or rename the labels."
            )
        return {code: known[str(name)] for code, name in names.items()}

    # ---- fitting

    def _fit(self, dataset: Dataset) -> None:
        texts = as_list(dataset[self.text_column_])
        self.class_ids_ = self._class_ids()
        embeddings = self.embed(texts)
        labels = np.asarray(self.labels_, np.int64)
        self.copies_ = CopyIndex.build(texts, self.loaded.segmenter)
        judge = LinearJudge.fit(embeddings, labels, len(self.label_names_))
        self.judge_weights_, self.judge_bias_ = judge.weights, judge.bias
        # one label of each row and texts of the rows that may be repeated
        self.class_texts_: dict[int, tuple[list[int], list[str]]] = {}
        self._fit_embeddings = embeddings
        self._fit_texts = texts
        self.train_embeddings_ = embeddings if "neighbors" in self.gate else None

    @property
    def judge(self) -> LinearJudge:
        return LinearJudge(self.judge_weights_, self.judge_bias_)

    def _plan(self, children: Mapping[int, int]) -> Plan:
        labels = np.asarray(self.labels_, np.int64)
        embeddings = self._fit_embeddings
        grown = [code for code, total in children.items() if total]
        targets = set(self.loaded.model.config.target_classes)
        untrained = [self.label_names_[c] for c in grown if self.class_ids_[c] not in targets]
        if untrained:
            raise ValueError(
                f"The generator {self.generator} was not trained to write the class(es) {untrained}: train it with "
                "them among its target classes, or ask for other classes with sampling_strategy."
            )
        entries: list[tuple[int, int, int, int]] = []  # parent, label, kind, class to avoid
        self.difficult_share_: dict[str, float] = {}
        used: set[int] = set()
        for code in grown:
            k = min(self.k, len(labels) - 1)
            samples = difficult_samples(embeddings, labels, k=k, minority=[code])
            self.difficult_share_[str(self.label_names_[code])] = samples.share()
            entries += self._plan_class(code, children[code], embeddings, labels, samples, used)
            rows = np.flatnonzero(labels == code)
            self.class_texts_[code] = (rows.tolist(), [self._fit_texts[row] for row in rows])
        del self._fit_embeddings, self._fit_texts
        parent, label, kind, avoid = (np.asarray(c, np.int64) for c in zip(*entries, strict=True)) if entries else (
            np.empty(0, np.int64) for _ in range(4)
        )  # fmt: skip
        order = np.argsort(parent, kind="stable")
        parent, label, kind, avoid = parent[order], label[order], kind[order], avoid[order]
        child = np.arange(len(parent)) - np.searchsorted(parent, parent)
        return Plan.build(parent, child, label, {"kind": kind, "avoid": avoid})

    def _plan_class(
        self, code, total, embeddings, labels, samples, used
    ) -> list[tuple[int, int, int, int]]:
        """Children of one class: anchors of its own rows, anchors of other classes' rows, repeated rows."""
        anchors = round(self.anchor_share * total)
        rows = samples.rows
        # the class that most of a row's confusers are of, else the largest other class
        largest = int(
            np.argmax(np.where(np.arange(labels.max() + 1) == code, -1, np.bincount(labels)))
        )
        avoid = [
            int(np.bincount(labels[row[row >= 0]]).argmax()) if (row >= 0).any() else largest
            for row in samples.confusers
        ]
        own = np.argsort(
            -samples.other_class_share, kind="stable"
        )  # difficult first, most difficult first
        if "minority" not in self.sources:
            own = own[samples.is_difficult[own]] if "difficult" in self.sources else own[:0]
        capacity = len(own) * self.max_anchors_per_source
        others: np.ndarray = np.empty(0, np.int64)
        if "majority" in self.sources:
            wanted = anchors - min(capacity, round(anchors * (1 - self.majority_share)))
            others = self._majority_sources(code, wanted, embeddings, labels, used)
            used.update(others.tolist())
        entries = [(int(row), code, MAJORITY_ANCHOR, int(labels[row])) for row in others]
        for number in range(
            min(capacity, anchors - len(entries))
        ):  # a first anchor for each, then a second …
            place = own[number % len(own)]
            entries.append((int(rows[place]), code, OWN_ANCHOR, avoid[place]))
        repeats = spread(total - len(entries), rows, self.seed)
        for row, count in zip(rows.tolist(), repeats.tolist(), strict=True):
            entries += [(row, code, COPY, largest)] * count
        return entries

    def _majority_sources(self, code, wanted, embeddings, labels, used) -> np.ndarray:
        """
        Rows of other classes nearest to the class by the judge's margin, at most `wanted`.

        Those that the judge places with the class are left out: they are noisy labels more often than not.
        """
        others = np.flatnonzero(labels != code)
        others = others[[row not in used for row in others.tolist()]]
        margin = self.judge.margin(embeddings[others], np.full(len(others), code))
        below = np.flatnonzero(margin < 0)
        order = below[np.argsort(-margin[below], kind="stable")]
        return np.sort(others[order[:wanted]])

    # ---- making

    def _make(self, batch: Mapping[str, list[Any]], positions: IntArray, plan: Plan) -> Children:
        texts = batch[self.text_column_]
        kinds, avoid = plan.extra["kind"], plan.extra["avoid"]
        results: list[str | None] = [texts[p] if kind == COPY else None
                                     for p, kind in zip(positions, kinds, strict=True)]  # fmt: skip
        origin = np.where(kinds == COPY, RESAMPLED, SYNTHETIC)
        parent = plan.parent.copy()
        pending = np.flatnonzero(kinds != COPY)
        encoded: dict[int, EncodedText] = {}
        for place in {int(positions[i]) for i in pending}:
            encoded[place] = self.loaded.encoder(texts[place])
        weights = self._focus_weights(batch, positions, plan, encoded)
        counts: Counter = Counter()
        siblings: dict[int, set[str]] = {}
        for attempt in range(self.max_tries):
            if not len(pending):
                break
            requests = [
                AnchorRequest(
                    encoded[int(positions[i])],
                    self.class_ids_[int(plan.label[i])],
                    self.class_ids_[int(avoid[i])],
                    (int(plan.parent[i]), int(plan.child[i]), attempt),
                    weights.get(int(i)),
                    self.edit_share if kinds[i] == OWN_ANCHOR else self.majority_edit_share,
                )
                for i in pending
            ]
            written = self.loaded.realizer(requests)
            reasons = self._reasons(
                written, [texts[positions[i]] for i in pending], plan.label[pending]
            )
            rejected = []
            for i, text, reason in zip(pending.tolist(), written, reasons, strict=True):
                brothers = siblings.setdefault(int(plan.parent[i]), set())
                if reason is None and normalized(text) in brothers:
                    reason = "sibling"
                if reason is None:
                    results[i] = text
                    brothers.add(normalized(text))
                else:
                    rejected.append(i)
                counts["kept" if reason is None else reason] += 1
            pending = np.asarray(rejected, np.int64)
        for i in pending.tolist():
            rows, own_texts = self.class_texts_[int(plan.label[i])]
            pick = int(
                noise.integers(
                    len(rows),
                    self.seed,
                    noise.stream("resampled"),
                    int(plan.parent[i]),
                    int(plan.child[i]),
                )
            )
            results[i], origin[i], parent[i] = own_texts[pick], RESAMPLED, rows[pick]
        counts["tries used up"] += len(pending)
        self.rejections = (self.rejections or Counter()) + counts
        return Children({self.text_column_: results}, origin=origin, parent=parent)

    def _focus_weights(self, batch, positions, plan, encoded) -> dict[int, np.ndarray]:
        """For anchors of other classes' texts: how much each word pulls to the text's own class, standardised."""
        rows = np.flatnonzero(plan.extra["kind"] == MAJORITY_ANCHOR)
        if not len(rows) or not self.focus or self.realizer != "edit":
            return {}
        pulls = self.word_pulls(
            [encoded[int(positions[i])] for i in rows], plan.extra["avoid"][rows], plan.label[rows]
        )
        result = {}
        for i, pull in zip(rows.tolist(), pulls, strict=True):
            deviation = pull.std()
            if len(pull) > 1 and deviation > 0:
                result[i] = self.focus * (pull - pull.mean()) / deviation
        return result

    @torch.no_grad()
    def word_pulls(
        self, sources: Sequence[EncodedText], toward: np.ndarray, away: np.ndarray
    ) -> list[np.ndarray]:
        """
        How much each word of a text pulls the judge to class `toward` from class `away`: `[words]` per text.

        The judge is linear in the mean of the token states, so its margin is a sum over tokens, exactly.
        """
        loaded = self.loaded
        if loaded.embedder is not None:
            model, tokenizer = loaded.embedder.loaded
            texts = TextEncoder(tokenizer, loaded.segmenter, self.max_length).many(s.text for s in sources)
        else:
            model, tokenizer, texts = loaded.model.miso.encoder, loaded.tokenizer, list(sources)
        direction = self.judge_weights_[toward] - self.judge_weights_[away]
        pulls = [np.zeros(len(source.spans)) for source in sources]
        for rows, length in token_budget_batches([len(text) for text in texts], TOKEN_BUDGET):
            ids, mask = pad([texts[i].input_ids for i in rows], tokenizer.pad_token_id, model.device, length)
            states = model(input_ids=ids, attention_mask=mask).last_hidden_state.float().cpu().numpy()
            for i, state in zip(rows.tolist(), states, strict=True):
                words = texts[i].word_index
                scores = (state[: len(words)] * direction[i]).sum(1)
                inside = (words >= 0) & (words < len(pulls[i]))
                np.add.at(pulls[i], words[inside], scores[inside])
        return pulls

    def _reasons(
        self, texts: list[str], sources: list[str], labels: np.ndarray
    ) -> list[str | None]:
        """For each text, why it is rejected, or None."""
        segmenter = self.loaded.segmenter
        reasons = [
            surface_reason(text, source, self.copies_, segmenter)
            for text, source in zip(texts, sources, strict=True)
        ]
        left = [i for i, reason in enumerate(reasons) if reason is None]
        if left and self.gate:
            wrong = ~self.places_with_class([texts[i] for i in left], labels[left])
            for i, is_wrong in zip(left, wrong.tolist(), strict=True):
                if is_wrong:
                    reasons[i] = "wrong class"
        return reasons

    def places_with_class(self, texts: Sequence[str], labels: np.ndarray) -> np.ndarray:
        """Whether every judge of the gate places each text with its class: boolean `[n]`."""
        result = np.ones(len(texts), bool)
        if {"classifier", "neighbors"} & set(self.gate):
            embeddings = self.embed(texts)
        if "classifier" in self.gate:
            result &= self.judge.margin(embeddings, labels) > 0
        if "neighbors" in self.gate:
            k = min(NEIGHBORS_OF_VOTE, len(self.train_embeddings_))
            _, found = nearest_neighbors(embeddings, self.train_embeddings_, k)
            votes = np.asarray(self.labels_)[np.asarray(found)]
            # every class the same weight: the share of its rows, not their number, is the expectation
            share = np.bincount(np.asarray(self.labels_), minlength=len(self.label_names_)) / len(
                self.labels_
            )
            weighted = np.stack(
                [(votes == c).mean(1) / max(share[c], 1e-9) for c in range(len(share))], 1
            )
            result &= weighted.argmax(1) == labels
        if "critics" in self.gate:
            evidence = self.evidence(texts, labels)
            result &= evidence > 0
        return result

    @torch.no_grad()
    def evidence(self, texts: Sequence[str], labels: np.ndarray) -> np.ndarray:
        """The critics' pointwise mutual information of texts with classes `[n]` against the majority: `[n]` nats."""
        model, padding = self.loaded.model, self.loaded.tokenizer.pad_token_id
        rows = [self.loaded.encoder(text).input_ids for text in texts]
        classes = np.asarray([self.class_ids_[int(code)] for code in labels], np.int64)
        result = np.empty(len(rows), np.float32)
        for batch, length in token_budget_batches([len(row) for row in rows], TOKEN_BUDGET):
            order = [*batch, *[batch[0]] * max(0, SMALLEST_BATCH - len(batch))]
            ids, mask = pad([rows[i] for i in order], padding, model.device, length)
            values = model.evidence(model.miso(ids, mask).latents, torch.as_tensor(classes[order], device=model.device))
            result[batch] = values[: len(batch)].float().cpu().numpy()
        return result

    # ---- saving

    def _state_arrays(self) -> dict[str, np.ndarray]:
        arrays = {
            "judge.weights": self.judge_weights_,
            "judge.bias": self.judge_bias_,
            "copies.exact": self.copies_.exact,
            "copies.sets": self.copies_.sets,
            "copies.full": self.copies_.full,
        }
        if self.train_embeddings_ is not None:
            arrays["train_embeddings"] = self.train_embeddings_
        return arrays

    def _load_state_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        self.judge_weights_, self.judge_bias_ = arrays["judge.weights"], arrays["judge.bias"]
        self.copies_ = CopyIndex(
            arrays["copies.exact"], arrays["copies.sets"], arrays["copies.full"]
        )
        self.train_embeddings_ = arrays.get("train_embeddings")

    def _state_config(self) -> dict[str, Any]:
        return {
            "class_ids": [[code, label] for code, label in self.class_ids_.items()],
            "class_texts": [
                [code, rows, texts] for code, (rows, texts) in self.class_texts_.items()
            ],
            "difficult_share": self.difficult_share_,
            "models": ["generator"] + (["embedder"] if self.embedder is not None else []),
        }

    def _load_state_config(self, config: dict[str, Any]) -> None:
        self.class_ids_ = {code: label for code, label in config["class_ids"]}
        self.class_texts_ = {code: (rows, texts) for code, rows, texts in config["class_texts"]}
        self.difficult_share_ = config["difficult_share"]

    def _save_files(self, folder: Path) -> None:
        self.loaded.model.save_pretrained(folder / "generator")
        self.loaded.tokenizer.save_pretrained(folder / "generator")
        if self.loaded.embedder is not None:
            model, tokenizer = self.loaded.embedder.loaded
            model.save_pretrained(folder / "embedder")
            tokenizer.save_pretrained(folder / "embedder")

    def _load_files(self, folder: Path) -> None:
        self.generator = str(folder / "generator")
        if (folder / "embedder").is_dir():
            self.embedder = str(folder / "embedder")
