"""Training of MISO (Algorithm 1): encoder–decoders, then critics, then everything against each other."""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import ProjectConfiguration
from torch import Tensor, nn
from tqdm.auto import tqdm

from hf_oversample import noise
from hf_oversample.encoding import EncodedText, pad
from hf_oversample.models.miso.losses_miso import (
    CriticObjective,
    adversarial_loss,
    critic_pairs,
    discriminator_loss,
    donsker_varadhan,
    effective_rank,
    jensen_shannon,
    straight_through_embeddings,
)
from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration, normalize_latents
from hf_oversample.training.arguments import MisoTrainingArguments
from hf_oversample.training.batches import MisoBatches, MisoPairs

logger = logging.getLogger(__name__)

PHASES = ("pretrain", "critics", "adversarial")
# Shares of max_train_seconds: those that the default numbers of steps take on two cores
PHASE_SECONDS = {"pretrain": 0.75, "critics": 0.05, "adversarial": 0.20}


class GeneratorObjective(nn.Module):
    """
    The generator's losses as one forward, so that data-parallel training sees every use of its weights.

    The critics and discriminators are submodules whose weights this objective never trains: the trainer prepares
    them as modules of their own and switches their gradients off around the generator's step.
    """

    def __init__(self, model: MisoForAnchorGeneration, arguments: MisoTrainingArguments):
        super().__init__()
        self.model, self.arguments = model, arguments

    def forward(self, part: str, *inputs: Any, **named: Any) -> Any:
        return getattr(self, part)(*inputs, **named)

    def latents(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.model.miso(ids, mask).latents

    def grouped_latents(self, groups: list[dict[str, Tensor]]) -> Tensor:
        """q of a batch that comes in groups of like length, in the batch's order: `[n, h, d]`."""
        parts = torch.cat([self.latents(group["ids"], group["mask"]) for group in groups])
        order = torch.cat([group["rows"] for group in groups])
        return torch.empty_like(parts).index_copy(0, order, parts)

    def reconstruction(self, ids: Tensor, mask: Tensor, latents: Tensor, classes: Tensor) -> Tensor:
        """Teacher-forced cross-entropy of texts from their latents; padding is not decoded to words."""
        targets = self.model.output_positions[ids[:, 1:]].masked_fill(mask[:, 1:] == 0, -100)
        states = self.model.decode_states(
            ids[:, :-1], latents, classes, attention_mask=mask[:, :-1], use_cache=False
        ).last_hidden_state
        wanted = targets != -100
        logits = self.model.output_logits(self.model.decoder_head(states[wanted]))
        return nn.functional.cross_entropy(logits.float(), targets[wanted])

    def filling(self, groups: list[dict[str, Tensor]], classes: Tensor, latents: Tensor | None) -> Tensor:
        """
        Cross-entropy of masked words, of a batch that comes in groups of like length.

        `classes` `[n]` and `latents` `[n, h, d]` are in the batch's order; a group's `targets` hold output places,
        −100 where nothing was masked.
        """
        total, count = 0.0, 0
        for group in groups:
            rows, positions = group["rows"], group["targets"] != -100
            logits = self.model.fill(
                group["masked_ids"], group["mask"], classes[rows], positions,
                None if latents is None else latents[rows],
            )  # fmt: skip
            wanted = group["targets"][positions]
            total = total + nn.functional.cross_entropy(logits.float(), wanted, reduction="sum")
            count += wanted.numel()
        return total / max(count, 1)

    def noisy(self, latents: Tensor) -> Tensor:
        """z as the filler is given it: noise keeps it from spelling the masked words out."""
        return normalize_latents(latents + self.arguments.latent_noise * torch.randn_like(latents))

    def pretrain(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Phase 1: the decoders rebuild texts from q, and minority texts from Q̃; the filler refills masked words."""
        latents = self.latents(batch["decoder_ids"], batch["decoder_mask"])
        rows = batch["paired_rows"]
        if len(rows):
            keys = self.latents(batch["partner_ids"], batch["partner_mask"])
            surrogate = self.model.miso.surrogate_fusion.fuse(latents[rows], keys)
            latents = latents.index_copy(0, rows, surrogate.to(latents.dtype))
        classes = batch["classes"][: len(latents)]
        reconstruction = 0.0
        for group in self._decoder_groups(classes):
            loss = self.reconstruction(
                batch["decoder_ids"][group], batch["decoder_mask"][group], latents[group], classes[group]
            )
            reconstruction = reconstruction + loss * (len(classes[group]) / len(classes))
        # the first rows' fills know their latent, the others only class and context
        condition = latents.new_zeros(len(batch["classes"]), *latents.shape[1:])
        condition = torch.cat([self.noisy(latents), condition[len(latents) :]])
        filling = self.filling(batch["groups"], batch["fill_classes"], condition)
        return {"loss": reconstruction + filling, "reconstruction": reconstruction, "filling": filling}

    def _decoder_groups(self, classes: Tensor) -> list[Tensor]:
        """Rows that one decoder handles at a time: all of them, or target classes and others apart."""
        if self.model.config.share_decoder:
            return [torch.arange(len(classes), device=classes.device)]
        targets = torch.tensor(self.model.config.target_classes, device=classes.device)
        is_target = torch.isin(classes, targets)
        return [rows for rows in (is_target.nonzero()[:, 0], (~is_target).nonzero()[:, 0]) if len(rows)]

    def adversarial(self, batch: dict[str, Tensor], temperature: float, gumbel_temperature: float) -> dict[str, Tensor]:
        """Phase 3, what ψ and σ need: latents, z, reconstruction, filling, and the generated texts' embeddings."""
        model, n = self.model, len(batch["classes"]) // 2
        latents = self.grouped_latents(batch["groups"])
        q, k = latents[:n], latents[n:]
        if model.config.use_sfm:
            z = model.miso.fusion(q, k, temperature)
        else:
            z = model.miso.surrogate_fusion.fuse(q, k)
        decoded = torch.cat([z, k])
        result: dict[str, Any] = {"q": q, "k": k, "z": z}
        embeddings = model.get_input_embeddings().weight[model.output_tokens]
        reconstruction = 0.0
        few = min(self.arguments.adversarial_rows, n)
        for name, start in (("minority", 0), ("majority", n)):
            ids, mask = batch[f"{name}_ids"], batch[f"{name}_mask"]
            rows = slice(start, start + n)
            loss = self.reconstruction(ids, mask, decoded[rows], batch["classes"][rows])
            reconstruction = reconstruction + loss / 2
            ids, mask, rows = ids[:few], mask[:few], slice(start, start + few)
            logits = model.decode_logits(
                ids[:, :-1], decoded[rows], batch["classes"][rows], attention_mask=mask[:, :-1]
            )
            flat = logits.flatten(0, 1)
            gumbel = -torch.log(-torch.log(torch.rand_like(flat.float()).clamp(1e-9, 1 - 1e-7)))
            soft = straight_through_embeddings(flat, embeddings, gumbel_temperature, gumbel.to(flat.dtype))
            result[f"{name}_generated"] = soft.view(*logits.shape[:2], -1)
            result[f"{name}_real"] = model.get_input_embeddings()(ids[:, 1:]).detach()
            result[f"{name}_real_mask"] = mask[:, 1:]
        know = self.noisy(decoded) * batch["know_latent"][:, None, None]
        filling = self.filling(batch["groups"], batch["fill_classes"], know)
        return result | {"reconstruction": reconstruction, "filling": filling}


class Critics(nn.Module):
    """Both critics' own objectives (what ω ascends) as one forward."""

    def __init__(self, model: MisoForAnchorGeneration):
        super().__init__()
        self.minority, self.majority = model.minority_critic, model.majority_critic
        self.minority_objective = CriticObjective(model.config.critic_bound)
        self.majority_objective = CriticObjective(model.config.critic_bound)

    def forward(self, pairs: dict[str, tuple[Tensor, ...]]) -> Tensor:
        loss = 0.0
        for name in ("minority", "majority"):
            a, b, c, d = pairs[name]
            critic = getattr(self, name)
            loss = loss + getattr(self, f"{name}_objective")(critic(a, b), critic(c, d))
        return loss


class Discriminators(nn.Module):
    """D_φ+ and D_φ− on real and generated texts (what φ ascends, negated) as one forward."""

    def __init__(self, model: MisoForAnchorGeneration):
        super().__init__()
        self.minority, self.majority = model.minority_discriminator, model.majority_discriminator

    def forward(self, parts: dict[str, Tensor]) -> Tensor:
        loss = 0.0
        for name in ("minority", "majority"):
            discriminator, mask = getattr(self, name), parts[f"{name}_real_mask"]
            real = discriminator(parts[f"{name}_real"], mask)
            generated = discriminator(parts[f"{name}_generated"].detach(), mask)
            loss = loss + discriminator_loss(real, generated)
        return loss


@dataclass
class MisoTrainingRecord:
    """What a training run leaves: the last losses of each phase, a log of all reports, seconds and steps per phase."""

    losses: dict[str, dict[str, float]] = field(default_factory=dict)
    history: list[dict[str, float | str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    stopped_at: int | None = None


class MisoTrainer:
    """
    Trains a MISO generator by Algorithm 1 on Accelerate.

    Args:
        model: a generator from `hf_oversample.training.generator.new_generator`.
        encoded: the training texts, encoded by the generator's tokenizer.
        labels: `[n]`, theirs.
        arguments: steps, rates and weights.
        padding, mask_token: ids of the tokenizer's padding and mask tokens.
        embeddings: `[n, d]` of the training texts, the space in which neighbours are looked for (section 7.1); none
            takes the mean of the encoder's states, after phase 1 where `encoder_is_pretrained` is false.
        encoder_is_pretrained: whether the encoder's states mean something before phase 1.
        validation, validation_labels: encoded texts that the losses are evaluated on.
        output_dir: where checkpoints and trackers write; needed for either.

    Every step's rows, masks and noise are a function of (seed, step, process): a resumed run ends with the same
    weights as an uninterrupted one.
    """

    def __init__(
        self,
        model: MisoForAnchorGeneration,
        encoded: Sequence[EncodedText],
        labels: np.ndarray,
        arguments: MisoTrainingArguments,
        *,
        padding: int,
        mask_token: int,
        embeddings: np.ndarray | None = None,
        encoder_is_pretrained: bool = True,
        validation: Sequence[EncodedText] = (),
        validation_labels: np.ndarray | None = None,
        output_dir: str | Path | None = None,
    ):
        if (arguments.save_steps or arguments.report_to) and output_dir is None:
            raise ValueError("save_steps and report_to need an output_dir to write to.")
        self.arguments, self.output_dir = arguments, Path(output_dir) if output_dir else None
        self.accelerator = Accelerator(
            mixed_precision=arguments.resolved_precision(),
            gradient_accumulation_steps=arguments.gradient_accumulation_steps,
            log_with=arguments.report_to or None,
            project_config=ProjectConfiguration(
                project_dir=str(output_dir) if output_dir else None,
                logging_dir=str(Path(output_dir) / "logs") if output_dir else None,
            ),
            # each phase uses other parts of the generator
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        self.model = model.to(self.accelerator.device)
        self.batches = MisoBatches(
            encoded,
            labels,
            arguments,
            positions=model.output_positions.cpu(),
            config=model.config,
            padding=padding,
            mask_token=mask_token,
            process=self.accelerator.process_index,
            device=self.accelerator.device,
        )
        self.validation = None
        if len(validation):
            self.validation = self.batches.validation(validation, np.asarray(validation_labels))
        self.embeddings, self.encoder_is_pretrained = embeddings, encoder_is_pretrained
        self.pairs: MisoPairs | None = None
        self.record = MisoTrainingRecord()
        self._prepare()

    def _prepare(self) -> None:
        a, model = self.arguments, self.model
        encoder = list(model.miso.encoder.parameters())
        known = {id(p) for p in encoder}
        trained_apart = (model.minority_critic, model.majority_critic, model.minority_discriminator,
                         model.majority_discriminator)  # fmt: skip
        apart = {id(p) for module in trained_apart for p in module.parameters()}
        rest = [p for p in model.parameters() if id(p) not in known | apart]
        self.critics_module, self.discriminators_module = Critics(model), Discriminators(model)
        # a pretrained vocabulary is mostly words that the data do not have: its dense gradient costs a third of a step
        trains_words = a.train_word_embeddings == "yes" or (
            a.train_word_embeddings == "auto" and not self.encoder_is_pretrained
        )
        model.get_input_embeddings().weight.requires_grad_(trains_words)
        groups = [
            {"params": encoder, "lr": a.encoder_learning_rate},
            {"params": rest, "lr": a.learning_rate},
        ]
        optimizers = [
            torch.optim.AdamW(groups, weight_decay=a.weight_decay, fused=True),
            torch.optim.AdamW(self.critics_module.parameters(), a.critic_learning_rate, weight_decay=a.weight_decay),
            torch.optim.AdamW(
                self.discriminators_module.parameters(), a.discriminator_learning_rate, weight_decay=a.weight_decay
            ),
        ]
        self.base_rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
        # data-parallel wrapping takes the weights that ask for gradients at this moment: each wrapper only its own
        for module in trained_apart:
            module.requires_grad_(False)
        self.objective = self.accelerator.prepare(GeneratorObjective(model, a))
        for module in trained_apart:
            module.requires_grad_(True)
        self.critics = self.accelerator.prepare(self.critics_module)
        self.discriminators = self.accelerator.prepare(self.discriminators_module)
        self.optimizers = [self.accelerator.prepare(optimizer) for optimizer in optimizers]

    # ---- the run

    def train(self, resume_from_checkpoint: str | Path | None = None, stop_at: int | None = None) -> MisoTrainingRecord:
        """
        Run all phases; returns the record and leaves the trained weights in `model`.

        Args:
            resume_from_checkpoint: a folder `checkpoint-N` that this trainer wrote with the same arguments.
            stop_at: write a checkpoint after this many steps of all and stop, as an interruption would.

        Raises:
            ValueError: if the checkpoint was made with other arguments or another number of processes.
            FloatingPointError: if a loss is no longer finite; the message names the term and nothing is saved.
        """
        a = self.arguments
        if a.report_to:
            self.accelerator.init_trackers("miso", config=a.to_dict())
        done = self._resume(Path(resume_from_checkpoint)) if resume_from_checkpoint else 0
        if self.pairs is None and self.encoder_is_pretrained:
            self.pairs = self._find_pairs()
        steps = {"pretrain": a.pretrain_steps, "critics": a.critic_steps, "adversarial": a.adversarial_steps}
        if not self.model.config.use_mi:
            steps["critics"] = 0
        first = 0
        for phase in PHASES:
            if phase != "pretrain" and self.pairs is None:
                self.pairs = self._find_pairs()
            finished = self._run_phase(phase, first, steps[phase], done, stop_at)
            first += steps[phase]
            if not finished:
                return self.record
        self._fill_bank()
        if a.report_to:
            self.accelerator.end_training()
        return self.record

    def _run_phase(self, phase: str, first: int, steps: int, done: int, stop_at: int | None) -> bool:
        a = self.arguments
        limit = a.max_train_seconds * PHASE_SECONDS[phase]
        start = time.perf_counter() - (self.record.seconds.get(phase, 0.0) if done > first else 0.0)
        bar = tqdm(
            range(max(first, min(done, first + steps)), first + steps),
            initial=max(0, min(done - first, steps)),
            total=steps,
            desc=phase,
            disable=not self.accelerator.is_main_process,
            mininterval=2.0,
        )
        step_function = {"pretrain": self._pretrain_step, "critics": self._critic_step,
                         "adversarial": self._adversarial_step}[phase]  # fmt: skip
        for step in bar:
            seconds = time.perf_counter() - start
            progress = (step - first) / max(steps, 1)
            if limit:
                progress = max(progress, seconds / limit)
                if self._agree(progress >= 1):
                    break
            # dropout and noise of this step, whatever came before
            torch.manual_seed(int(noise.hash_counters(a.seed, noise.stream("step"), step, self.process)) % 2**63)
            self._set_rates(phase, progress)
            self.model.train()
            losses = step_function(step, progress)
            self.record.losses.setdefault(phase, {}).update(self._checked(losses, phase, step))
            self.record.seconds[phase] = time.perf_counter() - start
            self.record.steps[phase] = step + 1 - first
            if (step + 1) % a.logging_steps == 0 or step + 1 == first + steps:
                bar.set_postfix({k: f"{v:.3g}" for k, v in self.record.losses[phase].items() if "/" not in k})
                self._report(phase, step + 1, self.record.losses[phase])
            if self.validation is not None and phase != "critics" and (step + 1) % a.evaluation_steps == 0:
                self._report(f"{phase} validation", step + 1, self.evaluate())
            if a.save_steps and (step + 1) % a.save_steps == 0 or step + 1 == stop_at:
                self._save_checkpoint(step + 1)
            if step + 1 == stop_at:
                self.record.stopped_at = stop_at
                bar.close()
                return False
        bar.close()
        # a run that is resumed in a later phase has this phase's values in its record
        if self.validation is not None and phase != "critics" and steps and done <= first + steps:
            values = self.evaluate()
            self.record.losses.setdefault(phase, {}).update({f"validation/{k}": v for k, v in values.items()})
        return True

    @property
    def process(self) -> int:
        return self.accelerator.process_index

    def _agree(self, flag: bool) -> bool:
        """Whether any process says so: clocks differ, and all processes must stop at the same step."""
        value = torch.tensor(float(flag), device=self.accelerator.device)
        return bool(self.accelerator.reduce(value, "sum") > 0)

    def _set_rates(self, phase: str, progress: float) -> None:
        """Linear warm-up and decay, over phases 1 and 3 apart; the critics' rate is constant."""
        warm = self.arguments.warmup_share
        factor = min(1.0, (progress + 1e-3) / warm) if warm else 1.0
        if phase == "adversarial":
            factor *= 0.5 * (1 - 0.9 * progress)  # it fine-tunes what phase 1 learnt
        else:
            factor *= 1 - 0.9 * progress
        for number, (optimizer, rates) in enumerate(zip(self.optimizers, self.base_rates, strict=True)):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * (1.0 if number == 1 else factor)

    def _checked(self, losses: dict[str, float], phase: str, step: int) -> dict[str, float]:
        for name, value in losses.items():
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"The term {name!r} is {value} at step {step} of phase {phase!r}: training diverged and nothing "
                    f"was saved. Lower learning_rate ({self.arguments.learning_rate}) or critic_learning_rate "
                    f"({self.arguments.critic_learning_rate}), or train without mixed precision."
                )
        return losses

    def _report(self, phase: str, step: int, values: dict[str, float]) -> None:
        self.record.history.append({"phase": phase, "step": step, **values})
        if self.arguments.report_to:
            self.accelerator.log({f"{phase}/{name}": value for name, value in values.items()}, step=step)

    def _update(self, loss: Tensor, module: nn.Module, number: int) -> None:
        """One optimiser step of one of the three players."""
        optimizer = self.optimizers[number]
        self.accelerator.backward(loss)
        if self.accelerator.sync_gradients:
            self.accelerator.clip_grad_norm_(
                [p for p in module.parameters() if p.grad is not None], self.arguments.max_grad_norm
            )
        optimizer.step()
        optimizer.zero_grad()

    # ---- phase 1

    def _pretrain_step(self, step: int, progress: float) -> dict[str, float]:
        batch = self.batches.pretrain(step, self.pairs)
        with self._players():
            with self.accelerator.autocast():
                losses = self.objective("pretrain", batch)
            self._update(losses["loss"], self.objective, 0)
        return {name: float(value.detach()) for name, value in losses.items() if name != "loss"}

    def _players(self):
        return self.accelerator.accumulate(self.objective, self.critics, self.discriminators)

    # ---- phase 2

    @torch.no_grad()
    def _all_latents(self, rows: np.ndarray) -> Tensor:
        """q of training rows, in evaluation mode and in a fixed order: `[len(rows), h, d]`."""
        self.model.eval()
        parts = []
        for start in range(0, len(rows), 256):
            ids, mask = self.batches.padded(rows[start : start + 256])
            with self.accelerator.autocast():
                parts.append(self.model.miso(ids, mask).latents.float())
        return torch.cat(parts)

    def _critic_step(self, step: int, progress: float) -> dict[str, float]:
        """Critics alone, on Q, Q̃ and K; the encoder is frozen, so its latents are computed once."""
        if getattr(self, "_cached", None) is None:
            rows = self.pairs.all_rows()
            self._cached = dict(zip(rows.tolist(), self._all_latents(rows), strict=True))
        _, own, other = self.pairs.draw(self.arguments, step, self.process, self.arguments.batch_size)
        q = torch.stack([self._cached[row] for row in own.tolist()])
        k = torch.stack([self._cached[row] for row in other.tolist()])
        with torch.no_grad():
            z = self.model.miso.surrogate_fusion.fuse(q, k)
        with self._players():
            loss = self.critics(self._pairs_of(q, k, z, step, 0))
            self._update(loss, self.critics, 1)
        if step + 1 == self.arguments.pretrain_steps + self.arguments.critic_steps:
            self._cached = None
        with torch.no_grad():
            return {"critics": loss.item()} | self._information(self._pairs_of(q, k, z, step, 1))

    def _pairs_of(self, q: Tensor, k: Tensor, z: Tensor, step: int, draw: int) -> dict[str, tuple[Tensor, ...]]:
        key = int(noise.hash_counters(self.arguments.seed, noise.stream("derangement"), step, self.process, draw))
        generator = torch.Generator().manual_seed(key % 2**63)
        return critic_pairs(self.model.config.critic_mode, q, k, z, generator)

    def _information(self, pairs: dict[str, tuple[Tensor, ...]]) -> dict[str, float]:
        """I(Q; Q̄) and I(K; Q̄) as the paper defines them, Donsker–Varadhan values in nats."""
        values = {}
        for name, symbol in (("minority", "I(Q)"), ("majority", "I(K)")):
            a, b, c, d = pairs[f"{name}_of_z"]
            critic = getattr(self.model, f"{name}_critic")
            values[symbol] = float(donsker_varadhan(critic(a, b), critic(c, d)))
        return values

    # ---- phase 3

    def temperature(self, progress: float, label: int) -> float:
        """τ_e = n₋ / (n₊ + t_e): from the imbalance ratio down to 1 as anchors join the minority."""
        n_minority, n_majority = self.pairs.counts[label]
        share = min(1.0, progress / self.arguments.temperature_steps) if self.arguments.temperature_steps else 1.0
        joined = share * max(0, n_majority - n_minority)
        return max(1.0, n_majority / (n_minority + joined))

    def _adversarial_step(self, step: int, progress: float) -> dict[str, float]:
        a, config = self.arguments, self.model.config
        batch, label = self.batches.adversarial(step, self.pairs)
        temperature = self.temperature(progress, label)
        alpha = min(a.alpha_maximum, max(a.alpha_minimum, 1 / temperature))
        gumbel = a.gumbel_temperature + progress * (a.gumbel_temperature_final - a.gumbel_temperature)
        with self._players():
            with self.accelerator.autocast():
                parts = self.objective("adversarial", batch, temperature, gumbel)
            q, k, z = (parts[name].float() for name in ("q", "k", "z"))
            discriminators = self.discriminators({n: v for n, v in parts.items() if "real" in n or "generated" in n})
            self._update(discriminators, self.discriminators, 2)
            losses = {"discriminators": discriminators.item()}
            if config.use_mi:
                for update in range(a.critic_updates):
                    critics = self.critics(self._pairs_of(q.detach(), k.detach(), z.detach(), step, update))
                    self._update(critics, self.critics, 1)
                losses["critics"] = critics.item()
            self._set_opponents(False)
            adversarial = sum(
                adversarial_loss(
                    getattr(self.model, f"{name}_discriminator")(
                        parts[f"{name}_generated"].float(), parts[f"{name}_real_mask"]
                    )
                )
                for name in ("minority", "majority")
            )
            language = parts["reconstruction"] + parts["filling"]
            total = alpha * (language + a.adversarial_weight * adversarial)
            if config.use_mi:
                pairs = self._pairs_of(q, k, z, step, a.critic_updates)
                information = self._information_loss(pairs)
                total = total + (1 - alpha) * information
                with torch.no_grad():
                    losses |= self._information(pairs)
            if config.use_sfm:
                proximity = (z - q.detach()).square().mean()
                total = total + a.proximity * proximity
                losses["proximity"] = proximity.item()
            self._update(total, self.objective, 0)
            self._set_opponents(True)
        losses |= {"reconstruction": parts["reconstruction"].item(), "filling": parts["filling"].item()}
        losses |= {"adversarial": adversarial.item(), "tau": temperature, "alpha": alpha}
        # a collapse of SFM shows here: all z alike have no spread and rank 1 (findings on SFM in PAPERS.md)
        losses["z/spread"] = (z.std(0).mean() / q.std(0).mean()).item()
        losses["z/rank"] = float(effective_rank(z))
        return losses

    def _set_opponents(self, train: bool) -> None:
        for module in (self.critics_module, self.discriminators_module):
            module.requires_grad_(train)

    def _information_loss(self, pairs: dict[str, tuple[Tensor, ...]]) -> Tensor:
        """I(K; Q̄) − I(Q; Q̄), what σ and ψ descend (section 4.2, "MI Loss")."""
        bound = donsker_varadhan if self.model.config.critic_bound == "dv" else jensen_shannon
        values = {}
        for name in ("minority", "majority"):
            a, b, c, d = pairs[f"{name}_of_z"]
            critic = getattr(self.model, f"{name}_critic")
            values[name] = bound(critic(a, b), critic(c, d))
        return values["majority"] - values["minority"]

    # ---- pairs, bank, evaluation

    @torch.no_grad()
    def representations(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Mean of the encoder's states, `[n, hidden]` float32: the space of neighbours (section 7.1)."""
        rows = np.arange(len(self.batches.encoded)) if rows is None else rows
        self.model.eval()
        order = np.argsort([len(self.batches.encoded[row]) for row in rows], kind="stable")
        result = np.empty((len(rows), self.model.config.hidden_size), np.float32)
        for start in range(0, len(order), 256):
            part = order[start : start + 256]
            ids, mask = self.batches.padded(rows[part])
            states = self.model.miso.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            weight = mask.unsqueeze(-1).to(states.dtype)
            mean = (states * weight).sum(1) / weight.sum(1)
            result[part] = torch.nn.functional.normalize(mean.float(), dim=-1).cpu().numpy()
        return result

    def _find_pairs(self) -> MisoPairs:
        embeddings = self.representations() if self.embeddings is None else self.embeddings
        return MisoPairs.find(embeddings, self.batches.labels, self.model.config.target_classes, self.arguments)

    @torch.no_grad()
    def _fill_bank(self) -> None:
        """Reference pairs of each target class, the most difficult first: what stands for the batch later."""
        if self.pairs is None:
            self.pairs = self._find_pairs()
        for label in self.model.config.target_classes:
            own, other = self.pairs.reference(label, self.model.config.bank_size)
            self.model.miso.set_bank(label, self._all_latents(own), self._all_latents(other))

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Reconstruction and filling losses on the validation texts, with masks fixed by the seed."""
        self.model.eval()
        objective = self.accelerator.unwrap_model(self.objective)
        totals = {"reconstruction": 0.0, "filling": 0.0}
        rows = 0
        for batch in self.validation or ():
            (part,), classes = batch["groups"], batch["classes"]
            latents = objective.latents(part["ids"], part["mask"])
            for group in objective._decoder_groups(classes):
                loss = objective.reconstruction(
                    part["ids"][group], part["mask"][group], latents[group], classes[group]
                )
                totals["reconstruction"] += float(loss) * len(group)
            totals["filling"] += len(classes) * float(objective.filling([part], classes, None))
            rows += len(classes)
        return {name: value / rows for name, value in totals.items()}

    # ---- checkpoints

    def _save_checkpoint(self, step: int) -> None:
        """Everything needed to go on, in `checkpoint-N`: written beside its place and then renamed."""
        final = self.output_dir / f"checkpoint-{step}"
        temporary = self.output_dir / f".checkpoint-{step}.part"
        self.accelerator.wait_for_everyone()
        self.accelerator.save_state(str(temporary))
        if self.accelerator.is_main_process:
            if self.pairs is not None:
                self.pairs.save(temporary / "pairs.safetensors")
            state = {
                "step": step,
                "arguments": self.arguments.to_dict(),
                "processes": self.accelerator.num_processes,
                "record": {"losses": self.record.losses, "history": self.record.history,
                           "seconds": self.record.seconds, "steps": self.record.steps},
            }  # fmt: skip
            (temporary / "trainer.json").write_text(json.dumps(state))
            if final.exists():  # of a run that went further than the checkpoint that this one resumed from
                shutil.rmtree(final)
            temporary.rename(final)
        self.accelerator.wait_for_everyone()

    def _resume(self, folder: Path) -> int:
        if not (folder / "trainer.json").is_file():
            raise ValueError(f"{folder} is no checkpoint of this trainer: it has no trainer.json.")
        state = json.loads((folder / "trainer.json").read_text())
        ours = self.arguments.to_dict()
        free = {"save_steps", "report_to", "logging_steps", "evaluation_steps"}
        other = {k: (v, ours.get(k)) for k, v in state["arguments"].items() if k not in free and ours.get(k) != v}
        if other:
            text = ", ".join(f"{k} was {a} and is {b}" for k, (a, b) in other.items())
            raise ValueError(f"{folder} was made with other arguments: {text}. Resume with the same arguments.")
        if state["processes"] != self.accelerator.num_processes:
            raise ValueError(
                f"{folder} was made by {state['processes']} processes, and there are "
                f"{self.accelerator.num_processes} now: batches are drawn per process, so the run would differ."
            )
        # a checkpoint holds optimiser states in pickles: only what this machine wrote may be loaded
        self.accelerator.load_state(str(folder))
        if (folder / "pairs.safetensors").is_file():
            self.pairs = MisoPairs.load(folder / "pairs.safetensors")
        self.record = MisoTrainingRecord(**state["record"])
        return int(state["step"])
