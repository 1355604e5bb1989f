"""Training of MISO (Algorithm 1): encoder–decoders, then critics, then all against each other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from hf_oversample.models.encoders import check_lengths, places
from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.numeric import noise
from hf_oversample.numeric.memory import told_if_memory_is_short
from hf_oversample.text.encoding import EncodedText
from hf_oversample.training import miso_schedule as schedule
from hf_oversample.training.accelerator import new_accelerator, shows_progress
from hf_oversample.training.argument_fields import check_whole_step
from hf_oversample.training.arguments import MisoTrainingArguments
from hf_oversample.training.batches import MisoBatches, MisoPairs
from hf_oversample.training.checkpoints import load_checkpoint, run_settings, save_checkpoint
from hf_oversample.training.divergence import check_finite
from hf_oversample.training.gathering import gathered, own_share
from hf_oversample.training.miso_critics import CriticSteps
from hf_oversample.training.miso_evaluation import validation_losses
from hf_oversample.training.miso_objectives import (
    generated_as_real,
    information,
    information_loss,
    surrogate_latents,
)
from hf_oversample.training.miso_record import MisoTrainingRecord
from hf_oversample.training.miso_reports import critic_report, fusion_report, spread_report
from hf_oversample.training.players import Players
from hf_oversample.training.states import latents_of_rows, mean_states

# of a checkpoint that was written after the pairs were found
PAIRS_FILE = "pairs.safetensors"


class MisoTrainer:
    """
    Trains a MISO generator by Algorithm 1 on Accelerate; of an editor (`MisoConfig.parts`) phase 1
    alone, its encoder and filler.

    Args:
        model: a generator from `hf_oversample.training.generator.new_generator`.
        encoded: the training texts, encoded by the generator's tokenizer.
        labels: `[n]`, theirs.
        arguments: steps, rates and weights.
        padding, mask_token: ids of the tokenizer's padding and mask tokens.
        embeddings: `[n, d]` of the training texts, the space in which neighbours are looked for
            (section 7.1); none takes the mean of the encoder's states, after phase 1 where
            `encoder_is_pretrained` is false.
        encoder_is_pretrained: whether the encoder's states mean something before phase 1.
        validation, validation_labels: encoded texts that the losses are evaluated on.
        output_dir: where checkpoints and trackers write; needed for either.

    Every step's rows and masks are a function of (seed, step), dealt to the processes, dropout and
    noise one of (seed, step, process): a resumed run ends with the same weights as an uninterrupted
    one, but under `max_train_seconds`, which makes the schedules follow the clock; and but for
    dropout and noise, p processes with batches of b descend the losses of one with p · b.

    Raises:
        ValueError: if checkpoints or a tracker are asked for without an `output_dir`, the
            validation texts come without labels, or a text has more tokens than the encoder has
            places for.
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
        if len(validation) and validation_labels is None:
            raise ValueError(
                f"There are {len(validation)} validation texts and no validation_labels: give both."
            )
        for texts in (encoded, validation):
            check_lengths(texts, model.miso)
        self.arguments, self.output_dir = arguments, Path(output_dir) if output_dir else None
        self.accelerator = new_accelerator(
            self.output_dir,
            gradient_accumulation_steps=arguments.gradient_accumulation_steps,
            save_steps=arguments.save_steps,
            report_to=arguments.report_to,
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
            processes=self.accelerator.num_processes,
            device=self.accelerator.device,
            places=places(model.miso),
        )
        self.validation: list[dict[str, Any]] = []
        if len(validation):
            self.validation = self.batches.validation(validation, np.asarray(validation_labels))
        self.embeddings, self.encoder_is_pretrained = embeddings, encoder_is_pretrained
        self.pairs: MisoPairs | None = None
        self.record = MisoTrainingRecord()
        # latents of phase 2, whose encoder is frozen
        self.cached_latents: dict[int, Tensor] | None = None
        # a pretrained vocabulary is mostly words that the data do not have: its dense gradient
        # costs a third of a step
        words = arguments.train_word_embeddings
        self.players = Players(
            self.model,
            arguments,
            self.accelerator,
            train_word_embeddings=words == "yes" or (words == "auto" and not encoder_is_pretrained),
        )
        self.critics = CriticSteps(self.players, arguments, model.config.critic_mode)

    # ---- the run

    def train(
        self, resume_from_checkpoint: str | Path | None = None, stop_at: int | None = None
    ) -> MisoTrainingRecord:
        """
        Run all phases; returns the record and leaves the trained weights in `model`.

        Args:
            resume_from_checkpoint: a folder `checkpoint-N` that this trainer wrote with the same
                arguments.
            stop_at: write a checkpoint after this many steps of all phases and stop, as an
                interruption would; a multiple of `gradient_accumulation_steps`.

        Raises:
            ValueError: if the checkpoint was made with other arguments, model or data, another
                number of processes, or `stop_at` is inside an optimiser step.
            FloatingPointError: if a loss is no longer finite; the message names the term and
                nothing is saved.
        """
        a = self.arguments
        check_whole_step(stop_at, a.gradient_accumulation_steps)
        if a.report_to:
            self.accelerator.init_trackers("miso", config=a.to_dict())
        done = 0
        if resume_from_checkpoint:
            done = self._load_checkpoint(Path(resume_from_checkpoint))
        is_miso = self.model.config.parts == "miso"
        if is_miso and self.encoder_is_pretrained:
            self.find_pairs()
        steps = schedule.phase_steps(a, self.model.config)
        first = 0
        for phase in schedule.PHASES:
            if is_miso and phase != "pretrain":
                self.find_pairs()
            finished = self._run_phase(phase, first, steps[phase], done, stop_at)
            self.cached_latents = None
            first += steps[phase]
            if not finished:
                return self.record
        if is_miso:
            self._fill_bank()
        if a.report_to:
            self.accelerator.end_training()
        return self.record

    def _run_phase(
        self, phase: str, first: int, steps: int, done: int, stop_at: int | None
    ) -> bool:
        a = self.arguments
        limit = schedule.phase_seconds(a, self.model.config, phase)
        if phase == "critics" and steps and done < first + steps:
            self._cache_latents()  # not a step: it has no part of the phase's time
        start = time.perf_counter() - (self.record.seconds.get(phase, 0.0) if done > first else 0.0)
        bar = tqdm(
            range(max(first, min(done, first + steps)), first + steps),
            initial=max(0, min(done - first, steps)),
            total=steps,
            desc=phase,
            disable=not steps or not shows_progress(self.accelerator),
            mininterval=2.0,
        )
        step_function = {
            "pretrain": self._pretrain_step,
            "critics": self._critic_step,
            "adversarial": self._adversarial_step,
        }[phase]
        evaluates = bool(self.validation) and phase != "critics"
        for step in bar:
            seconds = time.perf_counter() - start
            progress = (step - first) / max(steps, 1)
            if limit:
                progress = min(1.0, max(progress, self._slowest(seconds) / limit))
                # inside an optimiser step the next phase would inherit its gradients
                if progress >= 1 and step % a.gradient_accumulation_steps == 0:
                    self.record.cut_short[phase] = steps
                    break
            # dropout and noise of this step, whatever came before
            torch.manual_seed(
                int(noise.hash_counters(a.seed, noise.stream("step"), step, self.process)) % 2**63
            )
            self.players.set_rates(phase, progress)
            self.model.train()
            with told_if_memory_is_short(f"batch_size ({a.batch_size}) or max_length"):
                losses = step_function(step, progress)
            check_finite(losses, f"step {step} of phase {phase!r}", self._remedy())
            self.record.note(phase, losses)
            self.record.seconds[phase] = time.perf_counter() - start
            self.record.steps[phase] = step + 1 - first
            if (step + 1) % a.logging_steps == 0 or step + 1 == first + steps:
                bar.set_postfix(
                    {k: f"{v:.3g}" for k, v in self.record.losses[phase].items() if "/" not in k}
                )
                self._report(phase, step + 1, self.record.losses[phase])
            if evaluates and (step + 1) % a.evaluation_steps == 0:
                self._report(f"{phase} validation", step + 1, self.evaluate())
            if (a.save_steps and (step + 1) % a.save_steps == 0) or step + 1 == stop_at:
                self._save_checkpoint(step + 1)
            if step + 1 == stop_at:
                self.record.stopped_at = stop_at
                bar.close()
                return False
        bar.close()
        # a run that is resumed in a later phase has this phase's values in its record
        if evaluates and steps and done <= first + steps:
            values = self.evaluate()
            self.record.note(phase, {f"validation/{k}": v for k, v in values.items()})
        return True

    @property
    def process(self) -> int:
        """This process's number among those that train together."""
        return self.accelerator.process_index

    def _slowest(self, seconds: float) -> float:
        """The most seconds that a process has taken: clocks differ, and all processes must have the
        same rates, and stop at the same step."""
        value = torch.tensor([seconds], dtype=torch.float64, device=self.accelerator.device)
        return float(self.accelerator.gather(value).max())

    def _remedy(self) -> str:
        a = self.arguments
        return (
            f"Lower learning_rate ({a.learning_rate}) or critic_learning_rate "
            f"({a.critic_learning_rate}), or train without mixed precision."
        )

    def _report(self, phase: str, step: int, values: dict[str, float]) -> None:
        self.record.history.append({"phase": phase, "step": step, **values})
        if self.arguments.report_to:
            self.accelerator.log(
                {f"{phase}/{name}": value for name, value in values.items()}, step=step
            )

    def _save_checkpoint(self, step: int) -> None:
        save_checkpoint(
            self.output_dir,
            self.accelerator,
            step=step,
            arguments=self._settings(),
            keep=self.arguments.save_total_limit,
            record=self.record.to_dict(),
            files={} if self.pairs is None else {PAIRS_FILE: self.pairs.save},
        )

    def _load_checkpoint(self, folder: Path) -> int:
        """Weights, optimisers, record and pairs of a checkpoint; returns the steps done."""
        done, record = load_checkpoint(folder, self.accelerator, self._settings())
        self.record = MisoTrainingRecord(**record)
        if (folder / PAIRS_FILE).is_file():
            self.pairs = MisoPairs.load(folder / PAIRS_FILE)
        return done

    def _settings(self) -> dict[str, Any]:
        texts = (text.input_ids for text in self.batches.encoded)
        data = (*texts, self.batches.labels)
        return run_settings(self.arguments.to_dict(), self.model.config, data)

    # ---- phase 1

    def _pretrain_step(self, step: int, progress: float) -> dict[str, float]:
        batch = self.batches.pretrain(step, self.pairs)
        with self.players.accumulate():
            losses = self.players.objective("pretrain", batch)
            self.players.update("generator", losses["loss"])
        return {name: float(value.detach()) for name, value in losses.items() if name != "loss"}

    # ---- phase 2

    def _cache_latents(self) -> None:
        """q of every text that phase 2 draws; its encoder is frozen."""
        rows = self.find_pairs().all_rows()
        self.cached_latents = dict(zip(rows.tolist(), self._latents(rows), strict=True))

    def _critic_step(self, step: int, progress: float) -> dict[str, float]:
        """
        Critics alone, on Q, K and, where they learn from it, Q̃; the encoder is frozen, so its
        latents are computed once.
        """
        a, pairs = self.arguments, self.find_pairs()
        if self.cached_latents is None:
            raise RuntimeError("The latents of phase 2 are read before they were computed.")
        processes = self.accelerator.num_processes
        drawn = pairs.draw(a, step, a.batch_size * processes)[1:]
        own, other = (own_share(rows, self.process, processes) for rows in drawn)
        q = torch.stack([self.cached_latents[row] for row in own.tolist()])
        k = torch.stack([self.cached_latents[row] for row in other.tolist()])
        q, k = gathered(q), gathered(k)
        z = None
        if self.critics.learn_from_z:
            with torch.no_grad():
                z = surrogate_latents(self.model, q, k)
        with self.players.accumulate():
            loss = self.players.critics(self.critics.pairs(q, k, z, step, 0))
            self.players.update("critics", loss)
        losses = {"critics": loss.item()}
        if z is not None:
            with torch.no_grad():
                losses |= information(self.model, self.critics.pairs(q, k, z, step, 1))
        return losses

    # ---- phase 3

    def _adversarial_step(self, step: int, progress: float) -> dict[str, float]:
        a, config, players = self.arguments, self.model.config, self.players
        pairs = self.find_pairs()
        batch, label = self.batches.adversarial(step, pairs)
        temperature = schedule.temperature(a, progress, *pairs.counts[label])
        alpha = schedule.alpha(a, temperature)
        gumbel = schedule.gumbel_temperature(a, progress)
        with players.accumulate():
            parts = players.objective("adversarial", batch, temperature, gumbel)
            # of all processes: more negatives, and what one process with all pairs would see
            q, k, z = (gathered(parts[name]) for name in ("q", "k", "z"))
            # Algorithm 1, line 6
            discriminators = players.discriminators(
                {n: v for n, v in parts.items() if "real" in n or "generated" in n}
            )
            players.update("discriminators", discriminators)
            losses = {"discriminators": discriminators.item()}
            # line 8, before the generator's own step: its bounds are as tight as they get (in
            # the last micro-step of a step: the earlier ones meet the critics of the step before)
            if config.use_mi:
                self.critics.add(q, k, z, step)
                if self.accelerator.sync_gradients:
                    losses["critics"] = self.critics.update()
            # line 7: (1 − α) · MI + α · (reconstruction + adversarial)
            players.train_opponents(False)
            adversarial = generated_as_real(self.model, parts)
            language = parts["reconstruction"] + parts["filling"]
            total = alpha * (language + a.adversarial_weight * adversarial)
            if config.use_mi:
                latents = self.critics.pairs(q, k, z, step, a.critic_updates)
                total = total + (1 - alpha) * information_loss(self.model, latents)
                with torch.no_grad():
                    losses |= information(self.model, latents)
                losses |= critic_report(self.model, q, k, z)
            if config.use_sfm:
                proximity = (z - q.detach()).square().mean()
                total = total + a.proximity * proximity
                losses["proximity"] = proximity.item()
                losses |= fusion_report(self.model, q, k, z, temperature)
            players.update("generator", total)
            players.train_opponents(True)
        losses |= {
            "reconstruction": parts["reconstruction"].item(),
            "filling": parts["filling"].item(),
            "adversarial": adversarial.item(),
            "tau": temperature,
            "alpha": alpha,
        }
        return losses | spread_report(q.detach(), z.detach())

    # ---- pairs, bank, evaluation

    def find_pairs(self) -> MisoPairs:
        """The pairs of training texts (section 7.1), found now if they were not."""
        if self.pairs is None:
            embeddings = self.embeddings
            if embeddings is None:
                rows = np.arange(len(self.batches.encoded))
                embeddings = mean_states(self.model, self.batches, rows)
            self.pairs = MisoPairs.find(
                embeddings, self.batches.labels, self.model.config.target_classes, self.arguments
            )
        return self.pairs

    def _fill_bank(self) -> None:
        """Reference pairs of each target class, the most difficult first, to stand for a batch."""
        pairs = self.find_pairs()
        for label in self.model.config.target_classes:
            own, other = pairs.reference(label, self.model.config.bank_size)
            self.model.miso.set_bank(label, self._latents(own), self._latents(other))

    def _latents(self, rows: np.ndarray) -> Tensor:
        is_half = self.arguments.resolved_precision(self.model.device) == "bf16"
        return latents_of_rows(self.model, self.batches, rows, bfloat16=is_half)

    def evaluate(self) -> dict[str, float]:
        """
        Losses on the validation texts, with masks fixed by the seed.

        Returns: `reconstruction` (not of an editor) and `filling` in nats, the mean over texts.

        Raises:
            ValueError: if the trainer has no validation texts.
        """
        objective = self.accelerator.unwrap_model(self.players.objective)
        return validation_losses(objective, self.validation)
