"""Texts in, a re-embedded encoder and a classifier out: `Reembedder`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_oversample.data.labeled_texts import Texts
from hf_oversample.models.classifiers.pooled_encoder import PooledEncoderForSequenceClassification
from hf_oversample.models.encoders import (
    encoder_part,
    load_encoder,
    load_tokenizer,
    longest_text,
)
from hf_oversample.text.encoding import token_ids
from hf_oversample.text.words import normalized
from hf_oversample.training.accelerator import process_state
from hf_oversample.training.contrastive import RareClass, rare_classes
from hf_oversample.training.reembedding import (
    ReembeddingTrainer,
    TrainingRows,
    new_pooled_encoder,
)
from hf_oversample.training.reembedding_arguments import ReembeddingArguments
from hf_oversample.training.reembedding_heads import (
    LinearHead,
    head_scores,
    rare_precision,
    solve_head,
    text_vectors,
)

COEFFICIENTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the fine-tuned weights, in their mean with the pretrained ones: what validation chooses of."""


@dataclass
class Reembedded:
    """
    What re-embedding made.

    Args:
        model: encoder and head.
        tokenizer: its.
        max_length: longest text in tokens.
        targets: the rare classes.
        frozen_head: logistic regression on the encoder as it was, the classifier to beat.
        frozen_vectors: `[n, d]` of the training texts by the encoder as it was.
        classes: each rare class's neighbourhood before training.
        before, after: all weights at the start and at the end of training.
        new_head: solves the head of the model as it is, where training does not make it.
        seed: of the folds that choose a head.
        record: what was chosen and measured, as values that JSON holds.
    """

    model: PooledEncoderForSequenceClassification
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    targets: list[int]
    frozen_head: LinearHead
    frozen_vectors: np.ndarray
    classes: dict[int, RareClass]
    before: dict[str, torch.Tensor]
    after: dict[str, torch.Tensor]
    new_head: Callable[[], LinearHead] | None
    seed: int = 0
    record: dict[str, Any] = field(default_factory=dict)

    def interpolate(self, coefficient: float) -> float | None:
        """
        Set the model to (1 − α) · before + α · after, weight by weight (WiSE-FT, Wortsman et al.
        2022, equation 1); a head that training does not make is solved again.

        Args:
            coefficient: α; 0 is the encoder as it was, 1 the fine-tuned one.

        Returns: the penalty of a head that was solved.
        """
        self.model.load_state_dict(mean_of_weights(self.before, self.after, coefficient))
        if self.new_head is None:
            return None
        head = self.new_head()
        self.model.set_head(*head.tensors())
        return head.penalty

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Token ids of texts, cut at `max_length`."""
        return token_ids(self.tokenizer, texts, self.max_length)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """`[n, d]` float32 of length 1, the same for any texts beside them."""
        return text_vectors(self.model, self.encode(texts))

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Class scores `[n, classes]` float32."""
        return head_scores(self.model, self.embed(texts))


class Reembedder:
    """
    Fine-tunes an encoder for rare classes.

    By default by cross-entropy on all rows, twice or more: nothing is shown to rank rare texts
    better (benchmarks/reembedding.md). With `objective="contrastive"` each rare text of a batch is
    pulled to the batch's other rare texts that are not difficult, and away from rows of other
    classes, half of them its nearest, so that rare texts that lie among others move to their own;
    then logistic regression with balanced classes is the head. The rare class of a batch
    is drawn among `target_classes`, and every row of any other class is a negative: with several
    rare classes, each is held against all the rest in turn, and one head tells all classes.

    Args:
        encoder: a folder or a name on the Hub for `AutoModel`, or a model in memory, which is not
            changed.
        class_names: of the labels, in order.
        target_classes: codes of the rare classes; default: all that have fewer rows than the
            largest.
        arguments: how it is trained.
        tokenizer: of a model in memory.
        pooling: a text's vector: "mean" of its tokens' states, or "cls".
        revision: of the encoder on the Hub.
        output_dir: where checkpoints go; without it there are none.

    Raises:
        TypeError: a model in memory without its tokenizer.
        ValueError: an encoder whose files lack weights, or a model with encoder and decoder whose
            encoder no class of transformers loads alone (BART).
    """

    def __init__(
        self,
        encoder: str | Path | PreTrainedModel,
        *,
        class_names: Sequence[str],
        target_classes: Sequence[int] | None = None,
        arguments: ReembeddingArguments | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        pooling: Literal["mean", "cls"] = "mean",
        revision: str | None = None,
        output_dir: str | Path | None = None,
    ) -> None:
        self.class_names = list(class_names)
        self.targets = None if target_classes is None else sorted(set(target_classes))
        self.arguments = arguments or ReembeddingArguments(save_steps=0)
        self.output_dir = output_dir
        if isinstance(encoder, PreTrainedModel):
            if tokenizer is None:
                raise TypeError("encoder is a model in memory: give its tokenizer too")
            body = type(encoder)(encoder.config).to(torch.float32)
            body.load_state_dict(encoder.state_dict())
            name = type(encoder).__name__
        else:
            body = load_encoder(encoder, revision=revision)
            tokenizer = tokenizer or load_tokenizer(encoder, revision=revision)
            name = str(encoder)
        if encoder_part(body) is not body:
            raise ValueError(
                f"{name} has an encoder and a decoder, and transformers has no class that loads "
                "its encoder alone: what is written could not be read. Take an encoder (BERT, "
                "MiniLM, RoBERTa, ModernBERT), or T5, whose encoder has a class of its own."
            )
        self.tokenizer = tokenizer
        self.model = new_pooled_encoder(
            body, tokenizer, self.class_names, pooling=pooling, seed=self.arguments.seed
        )
        own = longest_text(body, tokenizer)
        longest = self.arguments.max_length
        self.max_length = longest if own is None else min(longest, own)
        self.trainer: ReembeddingTrainer | None = None

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """`[n, d]` float32 of length 1, by the encoder as it is."""
        self.model.to(process_state().device)
        return text_vectors(self.model, token_ids(self.tokenizer, texts, self.max_length))

    def fit(
        self,
        train: Texts,
        validation: Texts | None = None,
        anchors: Texts | None = None,
        *,
        embeddings: np.ndarray | None = None,
        resume_from_checkpoint: str | Path | None = None,
        stop_at: int | None = None,
    ) -> Reembedded:
        """
        Train, and find the head. A `Reembedder` is fitted once.

        Args:
            train: the training rows.
            validation: rows that choose between the pretrained and the fine-tuned weights, with
                `interpolate`; they are measured in any case.
            anchors: made texts of rare classes, positives of the contrastive loss; they are never
                queries, and the head does not see them.
            embeddings: `[n, d]` of the training texts by the encoder as it is, where
                :meth:`embed` was asked for them before.
            resume_from_checkpoint: of an interrupted fit with the same arguments and rows.
            stop_at: steps after which to write a checkpoint and raise `InterruptedError`.

        Raises:
            FloatingPointError: training diverged.
            InterruptedError: at `stop_at`.
            RuntimeError: it was fitted before.
            ValueError: labels without a name, a single class, a rare class of one row, anchors of
                another class, anchors for an objective that reads none, no validation rows to
                interpolate by, or validation texts among the training texts.
        """
        a, model = self.arguments, self.model
        if self.trainer is not None:
            raise RuntimeError("this Reembedder is fitted; make another one")
        targets = self._checked(train, validation, anchors)
        classes = len(self.class_names)
        model.to(process_state().device)
        encoded = token_ids(self.tokenizer, train.texts, self.max_length)
        frozen = text_vectors(model, encoded) if embeddings is None else embeddings
        neighborhoods = rare_classes(
            frozen, train.labels, targets, neighbors=a.neighbors, hard_neighbors=a.hard_neighbors
        )
        frozen_head = solve_head(
            frozen, train.labels, classes=classes, targets=targets, seed=a.seed
        )
        if a.head_first:
            # as cross-entropy weighs the rows, so that its training begins where this one ended
            first = solve_head(
                frozen, train.labels, classes=classes, targets=targets, balanced=False, seed=a.seed
            )
            model.set_head(*first.tensors())
        before = _weights(model)
        rows = TrainingRows(encoded, train.labels, neighborhoods)
        if anchors is not None:
            made = token_ids(self.tokenizer, anchors.texts, self.max_length)
            rows = TrainingRows(encoded, train.labels, neighborhoods, made, anchors.labels)
        self.trainer = ReembeddingTrainer(model, rows, a, self.output_dir)
        if not self.trainer.train(resume_from_checkpoint, stop_at):
            raise InterruptedError(f"stopped after {stop_at} steps, with a checkpoint")
        model.requires_grad_(True)

        def solved() -> LinearHead:
            if a.steps == 0:
                return frozen_head
            vectors = text_vectors(model, encoded)
            return solve_head(vectors, train.labels, classes=classes, targets=targets, seed=a.seed)

        result = Reembedded(
            model,
            self.tokenizer,
            self.max_length,
            targets,
            frozen_head,
            frozen,
            neighborhoods,
            before,
            _weights(model),
            None if a.trains_head and (a.steps != 0 or a.head_first) else solved,
            a.seed,
        )
        self._finish(result, validation)
        return result

    def _finish(self, result: Reembedded, validation: Texts | None) -> None:
        """The head, and where asked the mean of weights that validation rows choose."""
        assert self.trainer is not None
        held = None if validation is None else result.encode(validation.texts)

        def score() -> float | None:
            if held is None or validation is None:
                return None
            scores = head_scores(self.model, text_vectors(self.model, held))
            return rare_precision(validation.labels, scores, result.targets)

        chosen, scored = 1.0, dict[float, float]()
        if self.arguments.interpolate:
            for coefficient in COEFFICIENTS:
                result.interpolate(coefficient)
                scored[coefficient] = score() or 0.0
            # of equal ones that which changes the encoder least
            chosen = max(scored, key=lambda value: (scored[value], -value))
        penalty = result.interpolate(chosen)
        result.record = {
            "targets": [self.class_names[label] for label in result.targets],
            "difficult_share": {
                self.class_names[label]: float(one.is_difficult.mean())
                for label, one in result.classes.items()
            },
            "coefficient": chosen,
            "validation_of_coefficients": {str(key): value for key, value in scored.items()},
            "validation_average_precision": scored[chosen] if scored else score(),
            "head_penalty": penalty,
            "frozen_head_penalty": result.frozen_head.penalty,
            "steps": self.trainer.steps,
            "precision": self.trainer.precision,
            "history": self.trainer.history,
            "seconds": round(self.trainer.seconds, 2),
        }

    def _checked(self, train: Texts, validation: Texts | None, anchors: Texts | None) -> list[int]:
        """The rare classes, once the rows have been looked at."""
        a, names = self.arguments, self.class_names
        for which, part in (("train", train), ("validation", validation), ("anchors", anchors)):
            if part is not None and len(part):
                _check_labels(which, part.labels, names)
        counts = np.bincount(train.labels, minlength=len(names))
        told = dict(zip(names, counts.tolist(), strict=True))
        present = np.flatnonzero(counts)
        if len(present) < 2:
            raise ValueError(
                f"the training rows are of {len(present)} class(es): {told}; re-embedding moves "
                "rows of one class away from those of others, and needs two."
            )
        targets = self.targets
        if targets is None:
            targets = [int(c) for c in present if counts[c] < counts.max()]
            if not targets:
                raise ValueError(
                    f"the classes have {told} rows: none is rare. Name those to re-embed with "
                    "target_classes (--target_classes)."
                )
        made = np.bincount(
            anchors.labels if anchors is not None else np.empty(0, np.int64), minlength=len(names)
        )
        for label in targets:
            if not 0 <= label < len(names):
                raise ValueError(f"target class {label} is none of the {len(names)} classes.")
            if counts[label] < 1 or (a.is_contrastive and counts[label] + made[label] < 2):
                raise ValueError(
                    f"the class {names[label]!r} has {counts[label]} training row(s), and a rare "
                    "text is pulled to another one of its class: give at least 2 rows, or leave "
                    "the class out of target_classes."
                )
        if anchors is not None:
            strange = sorted({names[c] for c in set(anchors.labels.tolist()) - set(targets)})
            if strange:
                raise ValueError(
                    f"there are anchors of {strange}, and the rare classes are "
                    f"{[names[c] for c in targets]}: leave them out."
                )
            if not a.is_contrastive:
                raise ValueError(
                    "anchors are positives of the contrastive loss, and objective is "
                    "'classification', which reads none: choose 'contrastive' or 'joint'."
                )
        self._check_validation(train, validation, anchors, targets)
        return list(targets)

    def _check_validation(
        self, train: Texts, validation: Texts | None, anchors: Texts | None, targets: list[int]
    ) -> None:
        if validation is None:
            if self.arguments.interpolate:
                raise ValueError(
                    "interpolate chooses between weights by validation rows, and there are none: "
                    "give some (--validation_share), or leave interpolate out."
                )
            return
        if not np.isin(validation.labels, targets).any():
            raise ValueError(
                "the validation rows have none of the rare classes "
                f"{[self.class_names[c] for c in targets]}: nothing can be chosen by them."
            )
        held = {normalized(text) for text in validation.texts}
        for which, part in (("training", train), ("anchor", anchors)):
            texts = [] if part is None else part.texts
            shared = [row for row, text in enumerate(texts) if normalized(text) in held]
            if shared:
                raise ValueError(
                    f"{len(shared)} {which} texts are validation texts too, the first is row "
                    f"{shared[0]}, {texts[shared[0]][:60]!r}: what is chosen would be what was "
                    "learnt by heart. Take them out of one of the two."
                )


def mean_of_weights(
    before: dict[str, torch.Tensor], after: dict[str, torch.Tensor], coefficient: float
) -> dict[str, torch.Tensor]:
    """(1 − α) · before + α · after; what is no floating-point number is taken from `after`."""
    return {
        name: torch.lerp(before[name], value, coefficient) if value.is_floating_point() else value
        for name, value in after.items()
    }


def _weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """A copy of all weights, in main memory."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def _check_labels(which: str, labels: np.ndarray, names: list[str]) -> None:
    outside = np.flatnonzero((labels < 0) | (labels >= len(names)))
    if len(outside):
        row = int(outside[0])
        raise ValueError(
            f"row {row} of the {which} rows has label {int(labels[row])}, and class_names has "
            f"{len(names)} names, for labels 0 to {len(names) - 1}."
        )
