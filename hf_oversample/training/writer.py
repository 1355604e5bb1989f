"""Training of a writer: one LoRA adapter a class, stopped by the loss of held-out texts."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn
from transformers import get_constant_schedule_with_warmup

from hf_oversample.models.miso.layers_miso import normalize_latents
from hf_oversample.models.writers.adapters import ClassAdapters
from hf_oversample.models.writers.checkpoint import padding_of
from hf_oversample.models.writers.latents import LatentReader, embedded_with_prefixes
from hf_oversample.numeric import noise
from hf_oversample.numeric.memory import told_if_memory_is_short
from hf_oversample.text.encoding import pad
from hf_oversample.training.accelerator import new_accelerator
from hf_oversample.training.divergence import check_finite
from hf_oversample.training.optimization import decay_groups
from hf_oversample.training.writer_arguments import WriterTrainingArguments

logger = logging.getLogger(__name__)

LEAST_FOR_HOLDING_OUT = 5
"""Texts that a class needs for some to be held out; of fewer, all are learnt, for one pass."""


class Row(NamedTuple):
    """
    A text to learn.

    Args:
        ids: token ids of its prefix, of the text, and of its end.
        before: how many the prefix has, which are not learnt.
        latent: `[h, d]`, q of the text; None where none is read.
    """

    ids: np.ndarray
    before: int
    latent: Tensor | None = None


@dataclass(frozen=True)
class ClassRows:
    """What one adapter learns from, and is stopped by."""

    train: list[Row]
    held_out: list[Row]


def train_writer(
    adapters: ClassAdapters,
    texts: Mapping[int, Sequence[str]],
    training: WriterTrainingArguments | None = None,
    latents: LatentReader | None = None,
) -> None:
    """
    Train an adapter for each class that has texts, on a base model that stays as it is.

    A row is "{class}: {text}" and its end (a model with an encoder reads "{class}:" by it, and its
    decoder writes the text); the loss is that of the text's tokens and of the end
    alone. The largest class comes first, and the others start from its adapter
    (`from_largest`). A class's adapter is kept as it was where the loss of its held-out texts was
    lowest. With latents an adapter learns, beside itself, to read its text's own q, with noise, and
    to do without in a share of the texts. Every process of a launcher trains the same, alone: an
    adapter is too small to share.

    Args:
        adapters: the base model, as `ClassAdapters.new` gives it; it gets the adapters, and its
            `record` what each training was like.
        texts: class code → its texts.
        training: rates and lengths.
        latents: gives q of the texts.

    Raises:
        ValueError: a class without texts; a prefix that leaves no room for a text; adapters that
            are trained already; no places for a latent and a text.
        FloatingPointError: training diverged.
    """
    a, class_names = training or WriterTrainingArguments(), adapters.class_names
    if adapters.trained:
        raise ValueError("these adapters are trained already: start from ClassAdapters.new")
    if empty := [code for code, own in texts.items() if not len(own)]:
        raise ValueError(f"class {class_names[empty[0]]!r} has no texts to learn from")
    if latents is not None:
        adapters.read_latents(latents.kind)
    accelerator = new_accelerator(
        None,
        gradient_accumulation_steps=a.gradient_accumulation_steps,
        save_steps=0,
        report_to="",
    )
    adapters.to(accelerator.device)
    adapters.model.requires_grad_(False)
    devices = [accelerator.device] if accelerator.device.type == "cuda" else []
    order = sorted(texts, key=lambda code: (-len(texts[code]), code))
    with torch.random.fork_rng(devices=devices):
        for number, code in enumerate(order):
            torch.manual_seed(a.seed + number)
            like = order[0] if a.from_largest and number else None
            adapters.add(code, rank=a.rank, alpha=a.alpha, like=like)
            rows = class_rows(adapters, code, texts[code], a, latents)
            trainer = _AdapterTrainer(adapters, code, rows, a, accelerator)
            adapters.record[str(class_names[code])] = trainer.train()
    adapters.model.eval()


def class_rows(
    adapters: ClassAdapters,
    code: int,
    texts: Sequence[str],
    a: WriterTrainingArguments,
    latents: LatentReader | None = None,
) -> ClassRows:
    """
    A class's texts as rows, some of them held out.

    Raises:
        ValueError: the prefix leaves no room for a text.
    """
    encode = adapters.texts
    prefix = encode.prefix_of(adapters.class_names[code])
    distinct = list(dict.fromkeys(texts))
    order = noise.generator(a.seed, noise.stream("held out"), code).permutation(len(distinct))
    held = min(a.held_out_texts, max(1, round(a.held_out_share * len(distinct))))
    if len(distinct) < LEAST_FOR_HOLDING_OUT or not a.held_out_share:
        held = 0
    # no more are encoded than can be seen
    most = held + a.max_updates * a.batch_size * a.gradient_accumulation_steps
    chosen = [distinct[i] for i in order[:most].tolist()]
    read: Sequence[Tensor | None] = [None] * len(chosen)
    if latents is not None:
        read = list(latents.own(chosen))
    rows = [
        Row(*encode.row(prefix, text, adapters.max_length), latent)
        for text, latent in zip(chosen, read, strict=True)
    ]
    if rows and (short := [row.before for row in rows if len(row.ids) <= row.before]):
        raise ValueError(
            f"max_length is {adapters.max_length}, but the name of the class "
            f"{adapters.class_names[code]!r} alone has {short[0]} tokens before a text: give a "
            "larger max_length."
        )
    return ClassRows(rows[held:], rows[:held])


class _AdapterTrainer:
    """One class's training; see `train_writer`."""

    def __init__(
        self,
        adapters: ClassAdapters,
        code: int,
        rows: ClassRows,
        arguments: WriterTrainingArguments,
        accelerator: Accelerator,
    ):
        self.adapters, self.code, self.rows = adapters, code, rows
        self.a, self.accelerator = arguments, accelerator
        self.padding = padding_of(adapters.tokenizer)
        self.model = adapters.model
        self.prefix = adapters.prefixes.get(code)
        self.source: list[int] | None = None  # what an encoder reads
        if adapters.has_encoder:
            self.source = adapters.texts.source_of(adapters.class_names[code])
        self.learnt = nn.ModuleList([self.model])
        if self.prefix is not None:
            self.learnt.append(self.prefix)
        self.parameters = [p for p in self.learnt.parameters() if p.requires_grad]
        self.tokens = 0

    def train(self) -> dict[str, Any]:
        """Train; returns updates, tokens, seconds and held-out losses in nats a token."""
        a, start = self.a, time.perf_counter()
        optimizer = torch.optim.AdamW(
            decay_groups(self.learnt, a.weight_decay, self.parameters), a.learning_rate, fused=True
        )
        schedule = get_constant_schedule_with_warmup(optimizer, a.warmup_updates)
        # not the schedule, which accelerate would move on once for every process
        optimizer = self.accelerator.prepare(optimizer)
        losses = [self.held_out_loss()] if self.rows.held_out else []
        best, kept_at, updates, loss = self._state(), 0, 0, float("nan")
        self.model.train()
        for batch in self._batches():
            lower = f"batch_size ({a.batch_size}) or max_length"
            with told_if_memory_is_short(lower), self.accelerator.accumulate(self.model):
                value = self._loss(batch)
                self.accelerator.backward(value)
                if self.accelerator.sync_gradients:
                    self.accelerator.clip_grad_norm_(self.parameters, a.max_grad_norm)
                optimizer.step()
                optimizer.zero_grad()
            if not self.accelerator.sync_gradients:
                continue
            schedule.step()
            updates, loss = updates + 1, float(value.detach())
            self._check("loss", loss, updates)
            if not self.rows.held_out or updates % a.evaluation_updates:
                continue
            losses.append(self.held_out_loss())
            self._check("held-out loss", losses[-1], updates)
            self.model.train()
            if losses[-1] < min(losses[:-1]):
                best, kept_at = self._state(), updates
            elif updates - kept_at >= a.patience * a.evaluation_updates:
                break
        if self.rows.held_out:
            if updates % a.evaluation_updates:
                losses.append(self.held_out_loss())
                if losses[-1] < min(losses[:-1]):
                    best, kept_at = self._state(), updates
            for parameter, value in zip(self.parameters, best, strict=True):
                parameter.data.copy_(value)
        else:
            kept_at = updates
        self.model.eval()
        record = {
            "texts": len(self.rows.train),
            "held_out_texts": len(self.rows.held_out),
            "updates": updates,
            "kept_at_update": kept_at,
            "held_out_losses": [round(value, 4) for value in losses],
            "last_loss": loss,
            "tokens": self.tokens,
            "seconds": round(time.perf_counter() - start, 2),
        }
        logger.info("adapter of class %r: %s", self.adapters.class_names[self.code], record)
        return record

    def _state(self) -> list[Tensor]:
        return [parameter.detach().clone() for parameter in self.parameters]

    def _check(self, name: str, value: float, updates: int) -> None:
        place = f"update {updates} of class {self.adapters.class_names[self.code]!r}"
        check_finite({name: value}, place, "Lower learning_rate.")

    def _batches(self) -> Iterator[list[Row]]:
        """Micro-steps: shuffled passes over the rows, whole updates."""
        a, rows = self.a, self.rows.train
        per_update = a.batch_size * a.gradient_accumulation_steps
        passes = a.max_passes if self.rows.held_out else 1
        updates = min(a.max_updates, max(1, -(-passes * len(rows) // per_update)))
        generator = noise.generator(a.seed, noise.stream("writer batches"), self.code)
        waiting: list[int] = []
        for _ in range(updates * a.gradient_accumulation_steps):
            while len(waiting) < min(a.batch_size, len(rows)):
                waiting += generator.permutation(len(rows)).tolist()
            yield [rows[i] for i in waiting[: a.batch_size]]
            waiting = waiting[a.batch_size :]

    def _loss(self, rows: Sequence[Row], reduction: str = "mean") -> Tensor:
        device = self.accelerator.device
        # the slots' places come first, in the rows that read their latents
        slots = [0 if row.latent is None or self._is_dropped() else len(row.latent) for row in rows]
        padded = [
            np.concatenate([np.full(n, self.padding), row.ids])
            for n, row in zip(slots, rows, strict=True)
        ]
        ids, mask = pad(padded, self.padding, device)
        before = torch.tensor([n + row.before for n, row in zip(slots, rows, strict=True)])
        places = torch.arange(ids.shape[1], device=device)
        is_learnt = (mask > 0) & (places >= before.to(device)[:, None])
        if self.source is None:
            logits = self.model(**self._inputs(ids, rows, slots), attention_mask=mask).logits
        else:
            read = torch.tensor(self.source, device=device).expand(len(rows), -1)
            logits = self.model(
                input_ids=read,
                attention_mask=torch.ones_like(read),
                decoder_input_ids=ids,
                decoder_attention_mask=mask,
            ).logits
        self.tokens += int(mask.sum()) if self.model.training else 0
        return F.cross_entropy(
            logits[:, :-1][is_learnt[:, 1:]].float(), ids[:, 1:][is_learnt[:, 1:]],
            reduction=reduction,
        )  # fmt: skip

    def _is_dropped(self) -> bool:
        return self.model.training and float(torch.rand(())) < self.a.latent_dropout

    def _inputs(self, ids: Tensor, rows: Sequence[Row], slots: Sequence[int]) -> dict[str, Tensor]:
        """Token ids, or their embeddings with the latents of the rows that have slots."""
        read = [i for i, n in enumerate(slots) if n]
        if self.prefix is None or not read:
            return {"input_ids": ids}
        latents = torch.stack([one for i in read if (one := rows[i].latent) is not None])
        latents = latents.to(ids.device)
        if self.model.training:
            noise_of = self.a.latent_noise * torch.randn_like(latents)
            latents = normalize_latents(latents + noise_of)
        index = torch.tensor(read, device=ids.device)
        embedding = self.adapters.base_model.get_input_embeddings()
        vectors, starts = self.prefix(latents), torch.zeros_like(index)
        return {"inputs_embeds": embedded_with_prefixes(embedding, ids, vectors, index, starts)}

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """Mean loss of the held-out rows, in nats a token of text or end."""
        self.model.eval()
        total, number = 0.0, 0
        for start in range(0, len(self.rows.held_out), self.a.batch_size):
            rows = self.rows.held_out[start : start + self.a.batch_size]
            total += float(self._loss(rows, "sum"))
            number += sum(len(row.ids) - row.before for row in rows)
        return total / number
