"""The loop that fine-tunes an encoder: on all rows, or on difficult texts and their neighbours."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_oversample.models.classifiers.pooled_encoder import (
    PooledEncoderConfig,
    PooledEncoderForSequenceClassification,
)
from hf_oversample.numeric import noise
from hf_oversample.numeric.memory import told_if_memory_is_short
from hf_oversample.text.encoding import length_groups, pad
from hf_oversample.training.accelerator import new_accelerator, shows_progress
from hf_oversample.training.argument_fields import check_whole_step
from hf_oversample.training.checkpoints import load_checkpoint, run_settings, save_checkpoint
from hf_oversample.training.contrastive import (
    RareClass,
    contrastive_loss,
    draw_batch,
)
from hf_oversample.training.divergence import check_finite
from hf_oversample.training.optimization import decay_groups, rate_factor
from hf_oversample.training.reembedding_arguments import ReembeddingArguments

TokenIds = Sequence[np.ndarray]
Groups = list[tuple[Tensor, Tensor]]


class _Losses(nn.Module):
    """The network and its losses, in one module: what processes keep in step wraps its forward."""

    def __init__(
        self, model: PooledEncoderForSequenceClassification, arguments: ReembeddingArguments
    ) -> None:
        super().__init__()
        self.model, self.arguments = model, arguments

    def forward(
        self,
        rows: Groups | None,
        row_labels: Tensor | None,
        pairs: Groups | None,
        order: Tensor | None,
        positives: Tensor | None,
    ) -> dict[str, Tensor]:
        losses = {}
        is_half = self.arguments.resolved_precision(self.model.device) == "bf16"
        half = torch.autocast(self.model.device.type, torch.bfloat16, enabled=is_half)
        if rows is not None:
            assert row_labels is not None
            with half:
                logits = torch.cat([self.model(ids, mask).logits for ids, mask in rows])
            losses["cross_entropy"] = F.cross_entropy(logits.float(), row_labels)
        if pairs is not None:
            with half:
                vectors = torch.cat([self.model.embed(ids, mask) for ids, mask in pairs])[order]
            assert positives is not None
            losses["contrastive"] = contrastive_loss(vectors, positives, self.arguments.temperature)
        weight = self.arguments.contrastive_weight if len(losses) > 1 else 1.0
        parts = [
            weight * value if name == "contrastive" else value for name, value in losses.items()
        ]
        return {"loss": torch.stack(parts).sum(), **losses}


@dataclass
class TrainingRows:
    """
    What is trained on.

    Args:
        encoded: n training texts as token ids.
        labels: `[n]` class ids.
        classes: each rare class and its neighbourhood; may be empty for classification.
        anchors: made texts as token ids.
        anchor_labels: `[m]`, the rare class of each.
    """

    encoded: TokenIds
    labels: np.ndarray
    classes: dict[int, RareClass]
    anchors: TokenIds = ()
    anchor_labels: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def arrays(self) -> list[np.ndarray]:
        """All of it, for a digest."""
        return [*self.encoded, self.labels, *self.anchors, self.anchor_labels]


class ReembeddingTrainer:
    """
    Trains a pooled encoder by the contrastive objective, cross-entropy, or both, on Accelerate.

    Args:
        model: changed in place.
        rows: the training rows.
        arguments: how.
        output_dir: where checkpoints and trackers write.

    Attributes:
        steps: of training.
        history: loss → value at each `logging_steps`, with the step.
        precision: of the products of training, "no" or "bf16"; weights and losses are in float32.
        seconds: of training, resumed parts included.

    Every step's rows and dropout are a function of (seed, step, process): a resumed run ends with
    the same weights as an uninterrupted one.

    Raises:
        ValueError: checkpoints or a tracker are asked for without an `output_dir`; or no rare
            class, for an objective whose batches are drawn around one.
    """

    def __init__(
        self,
        model: PooledEncoderForSequenceClassification,
        rows: TrainingRows,
        arguments: ReembeddingArguments,
        output_dir: str | Path | None = None,
    ) -> None:
        a = arguments
        if not rows.classes and (a.is_contrastive or a.balanced):
            raise ValueError(
                f"batches of {a.told_objective} are drawn around rare texts, and classes names no "
                "rare class: give rare_classes of the rows, or take objective 'classification' "
                "without balanced."
            )
        self.model, self.rows = model, rows
        self.output_dir = Path(output_dir) if output_dir else None
        self.accelerator = new_accelerator(
            self.output_dir,
            gradient_accumulation_steps=a.gradient_accumulation_steps,
            save_steps=a.save_steps,
            report_to=a.report_to,
        )
        self.arguments = a.of_rows(len(rows.labels), self.accelerator.num_processes)
        self.steps = self.arguments.steps or 0
        self.history: list[dict[str, float]] = []
        self.seconds = 0.0
        self.by_class = {
            label: np.flatnonzero(rows.anchor_labels == label) for label in rows.classes
        }
        model.get_input_embeddings().requires_grad_(a.train_word_embeddings)
        model.classifier.requires_grad_(a.trains_head)
        optimizer = torch.optim.AdamW(
            decay_groups(model, a.weight_decay, lr=a.learning_rate), a.learning_rate, fused=True
        )
        self.precision = a.resolved_precision(self.accelerator.device)
        self.losses, self.optimizer = self.accelerator.prepare(_Losses(model, a), optimizer)

    def train(
        self, resume_from_checkpoint: str | Path | None = None, stop_at: int | None = None
    ) -> bool:
        """
        Train to the end, or to `stop_at`.

        Args:
            resume_from_checkpoint: a folder that an earlier run with the same arguments, model and
                rows wrote.
            stop_at: steps after which to write a checkpoint and stop.

        Returns: whether training is complete.

        Raises:
            FloatingPointError: the loss is no longer finite.
            ValueError: a checkpoint of another run, or a stop inside an optimiser step.
        """
        a = self.arguments
        check_whole_step(stop_at, a.gradient_accumulation_steps)
        done = 0
        if resume_from_checkpoint is not None:
            done = self._resume(Path(resume_from_checkpoint))
        if a.report_to:
            self.accelerator.init_trackers("reembedding", a.to_dict())
        updates = -(-self.steps // a.gradient_accumulation_steps)
        factor = rate_factor("cosine", a.warmup_share, updates)
        start, before = time.perf_counter(), self.seconds
        self.model.train()
        bar = tqdm(
            range(done, self.steps),
            desc="re-embedding",
            disable=not shows_progress(self.accelerator),
        )
        for step in bar:
            for group in self.optimizer.param_groups:
                group["lr"] = a.learning_rate * factor(step // a.gradient_accumulation_steps)
            with told_if_memory_is_short(self._batch_sizes()):
                values = self._step(step)
            self.seconds = before + time.perf_counter() - start
            if (step + 1) % a.logging_steps == 0 or step + 1 == self.steps:
                self._log(step + 1, values)
            stops = step + 1 == stop_at
            if stops or (a.save_steps and (step + 1) % a.save_steps == 0):
                self._check(step + 1, values)  # what diverged is not gone on from
                self._save(step + 1)
            if stops and step + 1 < self.steps:
                return False
        self.model.eval()
        return True

    def _batch_sizes(self) -> str:
        a = self.arguments
        drawn = a.is_contrastive or a.balanced
        names = ["rare_rows", "majority_rows"] * drawn
        names += ["batch_size"] * (a.trains_head and not a.balanced)
        return ", ".join(f"{name} ({getattr(a, name)})" for name in [*names, "max_length"])

    def _step(self, step: int) -> dict[str, Tensor]:
        a = self.arguments
        seed = noise.hash_counters(a.seed, noise.stream("reembedding"), step, self.process)
        torch.manual_seed(int(seed) % 2**63)  # dropout of this step, whatever came before
        with self.accelerator.accumulate(self.losses):
            values = self.losses(*self._batch(step))
            self.accelerator.backward(values["loss"])
            if self.accelerator.sync_gradients:
                trained = [p for p in self.model.parameters() if p.requires_grad]
                self.accelerator.clip_grad_norm_(trained, a.max_grad_norm)
            self.optimizer.step()
            self.optimizer.zero_grad()
        return values

    @property
    def process(self) -> int:
        """This process's number."""
        return self.accelerator.process_index

    def _batch(self, step: int) -> tuple[Any, ...]:
        a, rows, device = self.arguments, self.rows, self.accelerator.device
        texts: Groups | None = None
        labels = pairs = order = positives = None
        if a.trains_head:
            chosen = self._balanced(step) if a.balanced else self._shuffled(step)
            groups = length_groups(chosen, rows.encoded)
            texts = [self._padded([rows.encoded[row] for row in group]) for group in groups]
            labels = torch.from_numpy(rows.labels[np.concatenate(groups)]).to(device)
        if a.is_contrastive:
            drawn = draw_batch(rows.classes, self.by_class, a, step, self.process)
            real = [rows.encoded[row] for row in drawn.rows]
            made = [rows.anchors[row] for row in drawn.anchors]
            queries = drawn.queries
            batch = [*real[:queries], *made, *real[queries:]]
            groups = length_groups(np.arange(len(batch)), batch)
            pairs = [self._padded([batch[row] for row in group]) for group in groups]
            order = torch.from_numpy(np.argsort(np.concatenate(groups))).to(device)
            positives = torch.from_numpy(drawn.positives).to(device)
        return texts, labels, pairs, order, positives

    def _shuffled(self, step: int) -> np.ndarray:
        """Rows of a batch of cross-entropy: all rows in shuffled order, over and over."""
        a, number = self.arguments, len(self.rows.labels)
        size = min(a.batch_size, number)
        first = (step * self.accelerator.num_processes + self.process) * size
        places = np.arange(first, first + size)
        found = np.empty(size, np.int64)
        for epoch in np.unique(places // number):
            rng = noise.generator(a.seed, noise.stream("reembedding rows"), int(epoch))
            own = places // number == epoch
            found[own] = rng.permutation(number)[places[own] % number]
        return found

    def _balanced(self, step: int) -> np.ndarray:
        """Rows of a batch of cross-entropy: of one rare class, and some of all the others."""
        a = replace(self.arguments, hard_share=self.arguments.balanced_hard_share)
        return draw_batch(self.rows.classes, {}, a, step, self.process).rows

    def _padded(self, texts: TokenIds) -> tuple[Tensor, Tensor]:
        return pad(texts, self.model.config.pad_token_id or 0, self.accelerator.device)

    def _log(self, step: int, values: dict[str, Tensor]) -> None:
        told = self._check(step, values)
        self.history.append({"step": step, **told})
        if self.arguments.report_to:
            self.accelerator.log(told, step=step)

    def _check(self, step: int, values: dict[str, Tensor]) -> dict[str, float]:
        # of all processes: they end together where one diverged
        told = {
            name: float(self.accelerator.reduce(value.detach().clone(), "mean"))
            for name, value in values.items()
        }
        remedy = f"Lower learning_rate ({self.arguments.learning_rate})."
        check_finite(told, f"step {step}", remedy)
        return told

    def _settings(self) -> dict[str, Any]:
        config = self.model.config
        return run_settings(self.arguments.to_dict(), config, self.rows.arrays())

    def _save(self, step: int) -> None:
        save_checkpoint(
            self.output_dir,
            self.accelerator,
            step=step,
            arguments=self._settings(),
            record={"history": self.history, "seconds": self.seconds},
            keep=self.arguments.save_total_limit,
        )

    def _resume(self, folder: Path) -> int:
        done, record = load_checkpoint(folder, self.accelerator, self._settings())
        self.history, self.seconds = record["history"], record["seconds"]
        return done


def new_pooled_encoder(
    encoder: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    class_names: Sequence[str],
    *,
    pooling: str = "mean",
    seed: int = 0,
) -> PooledEncoderForSequenceClassification:
    """
    A pooled encoder with an encoder's weights and a head drawn by the seed.

    Args:
        encoder: what reads texts (`encoder_part`); its weights are shared, not copied.
        tokenizer: its; its padding token, or another one where it has none: padding is masked.
        class_names: of the labels, in order.
        pooling: "mean" or "cls".
        seed: of the head.
    """
    settings = encoder.config.to_dict()
    settings["_name_or_path"] = ""  # a folder of this machine says nothing to others
    config = PooledEncoderConfig(
        encoder=settings,
        pooling=pooling,
        id2label=dict(enumerate(class_names)),
        label2id={name: code for code, name in enumerate(class_names)},
    )
    known = (tokenizer.pad_token_id, config.pad_token_id, tokenizer.eos_token_id, 0)
    config.pad_token_id = next(one for one in known if one is not None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = PooledEncoderForSequenceClassification(config)
    model.encoder = encoder
    return model.eval()
