"""Training of the Bayesian-network GAN (section 3): two players on Accelerate."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor
from tqdm.auto import tqdm

from hf_oversample.models.bayesian_gan.configuration_bayesian_gan import BayesianGanConfig
from hf_oversample.models.bayesian_gan.layers_bayesian_gan import DiscriminatorOutput
from hf_oversample.models.bayesian_gan.losses_bayesian_gan import (
    class_loss,
    least_squares_discriminator_loss,
    least_squares_generator_loss,
)
from hf_oversample.models.bayesian_gan.modeling_bayesian_gan import BayesianGanModel
from hf_oversample.models.bayesian_gan.network import BayesianNetwork
from hf_oversample.numeric import noise
from hf_oversample.numeric.memory import told_if_memory_is_short
from hf_oversample.training.accelerator import new_accelerator, shows_progress
from hf_oversample.training.argument_fields import check_whole_step
from hf_oversample.training.bayesian_gan_arguments import BayesianGanTrainingArguments
from hf_oversample.training.bayesian_gan_average import MovingAverage
from hf_oversample.training.bayesian_gan_batches import (
    GanBatches,
    check_labels,
    checked_codes,
    checked_rows,
)
from hf_oversample.training.checkpoints import load_checkpoint, run_settings, save_checkpoint
from hf_oversample.training.divergence import check_finite
from hf_oversample.training.gathering import gathered

UNIT_TOLERANCE = 0.01


@dataclass
class BayesianGanTrainingRecord:
    """
    What a training run leaves besides its weights.

    Args:
        losses: term → last value.
        history: what was reported, each entry with its step.
        steps, seconds: how many and how long.
        stopped_at: the step that the run was asked to stop after.
    """

    losses: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    stopped_at: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: where this run stopped is not the next one's."""
        return {name: value for name, value in asdict(self).items() if name != "stopped_at"}


def new_bayesian_gan(
    rows: npt.ArrayLike,
    class_names: Sequence[str],
    network: BayesianNetwork | None = None,
    *,
    seed: int = 0,
    **settings: Any,
) -> BayesianGanModel:
    """
    A new model for rows: its width and units are theirs.

    Args:
        rows: `[n, d]`, finite.
        class_names: by class code.
        network: default: one code for each of five variables.
        seed: of the weights.
        **settings: further fields of `BayesianGanConfig`; `unit_rows` is found from the rows by
            default.

    Raises:
        ValueError: rows that are no finite matrix or all the same, or a setting that cannot work.
    """
    matrix = checked_rows(rows)
    if "unit_rows" not in settings and settings.get("kind", "vector") == "vector":
        lengths = np.linalg.norm(matrix, axis=1)
        settings["unit_rows"] = bool((np.abs(lengths - 1) <= UNIT_TOLERANCE).all())
    try:
        config = BayesianGanConfig(
            network=None if network is None else network.to_dict(),
            input_size=matrix.shape[1],
            id2label={code: str(name) for code, name in enumerate(class_names)},
            label2id={str(name): code for code, name in enumerate(class_names)},
            **settings,
        )
    except StrictDataclassError as error:
        raise ValueError(f"The model cannot be made so: {error.__cause__ or error}") from error
    with torch.random.fork_rng(devices=[]):  # the CPU's alone, where weights are drawn
        torch.default_generator.manual_seed(
            int(noise.hash_counters(seed, noise.stream("bayesian gan start")) >> 1)
        )
        model = BayesianGanModel(config)
    model.set_data_scale(torch.from_numpy(matrix))
    return model


class BayesianGanTrainer:
    """
    Trains a Bayesian-network GAN on Accelerate.

    In each step the discriminator learns to tell real rows from made ones, and its extractor to
    read class and codes; then the generator learns to deceive it and to follow the network. Both
    minimise the regulariser, as Eq. 6 asks of θ_G and θ_F.

    Args:
        model: from `new_bayesian_gan`.
        rows: `[n, d]`, finite, in the data's units.
        labels: `[n]`, class ids; every class that is to be made needs a row.
        arguments: steps, rates and weights.
        output_dir: where checkpoints and trackers write; needed for either.
        targets: class ids that are to be made, which `target_share` is for; all by default.
        together: whether the processes of a distributed run train one model, each on its share of
            the batch: p processes with batches of b descend the losses of one with p · b. False:
            each trains for itself as if it were the only one, with the same batches, and comes to
            the same weights; some may train and others not.

    Every step's rows and noise are a function of (seed, step): a resumed run ends with the same
    weights as an uninterrupted one.

    Raises:
        ValueError: rows or labels that do not fit the model, fewer than two classes, values that
            are not finite, or checkpoints or a tracker without an `output_dir`.
    """

    def __init__(
        self,
        model: BayesianGanModel,
        rows: npt.ArrayLike,
        labels: npt.ArrayLike,
        arguments: BayesianGanTrainingArguments,
        *,
        output_dir: str | Path | None = None,
        targets: Sequence[int] | None = None,
        together: bool = True,
    ) -> None:
        a = arguments
        matrix, codes = checked_rows(rows), checked_codes(labels)
        check_labels(matrix, codes, model.config, targets)
        if a.max_translation and model.config.kind != "image":
            raise ValueError(
                f"max_translation is {a.max_translation}, but rows of kind 'vector' cannot be "
                "shifted: set it to 0, or use kind='image'."
            )
        self.arguments, self.output_dir = a, Path(output_dir) if output_dir else None
        self.accelerator = new_accelerator(
            self.output_dir,
            gradient_accumulation_steps=a.gradient_accumulation_steps,
            save_steps=a.save_steps,
            report_to=a.report_to,
        )
        self.device = self.accelerator.device
        self.model = model.to(self.device)
        self.average = MovingAverage(model.generator, a.ema_decay)
        with torch.no_grad():
            data = model.to_model_units(torch.from_numpy(matrix).to(self.device))
        self.together = together
        process = self.accelerator.process_index if together else 0
        self.targets = None if targets is None else sorted({int(c) for c in targets})
        processes = self.accelerator.num_processes if together else 1
        self.batches = GanBatches(data, codes, model.config, a, process, processes, self.targets)
        betas = (a.adam_beta1, a.adam_beta2)
        players = {"generator": model.generator, "discriminator": model.discriminator}
        rates = {"generator": a.learning_rate, "discriminator": a.discriminator_learning_rate}
        self.players: dict[str, Any] = {}
        self.optimizers: dict[str, Any] = {}
        for name, module in players.items():
            optimizer = torch.optim.Adam(module.parameters(), rates[name], betas=betas)
            # As for evaluation: not wrapped, so that no gradients are exchanged.
            self.players[name] = (
                self.accelerator.prepare(module)
                if together
                else self.accelerator.prepare_model(module, evaluation_mode=True)
            )
            self.optimizers[name] = self.accelerator.prepare(optimizer)
        self.accelerator.register_for_checkpointing(self.average)
        self.record = BayesianGanTrainingRecord()

    # ---- the run

    def train(
        self, resume_from_checkpoint: str | Path | None = None, stop_at: int | None = None
    ) -> BayesianGanTrainingRecord:
        """
        Train; returns the record and leaves the trained weights in `model`, the generator's
        averaged.

        Args:
            resume_from_checkpoint: a folder `checkpoint-N` that this trainer wrote with the same
                arguments.
            stop_at: write a checkpoint after this many steps and stop, as an interruption would, a
                multiple of `gradient_accumulation_steps`; the generator then is the one that is
                trained, not the average.

        Raises:
            ValueError: if the checkpoint was made with other arguments, model or data, another
                number of processes, or `stop_at` is inside an optimiser step.
            FloatingPointError: if a loss is no longer finite; the message names the term and
                nothing is saved.
        """
        a, start, done = self.arguments, time.perf_counter(), 0
        check_whole_step(stop_at, a.gradient_accumulation_steps)
        if a.report_to:
            self.accelerator.init_trackers("bayesian_gan", config=a.to_dict())
        if resume_from_checkpoint:
            done, values = load_checkpoint(
                Path(resume_from_checkpoint), self.accelerator, self._settings()
            )
            self.record = BayesianGanTrainingRecord(**values)
        before = self.record.seconds
        bar = tqdm(
            range(done, a.steps),
            initial=done,
            total=a.steps,
            desc="Bayesian GAN",
            disable=not shows_progress(self.accelerator),
            mininterval=2.0,
        )
        self.model.train()
        for step in bar:
            with told_if_memory_is_short(f"batch_size ({a.batch_size})"):
                losses = self._step(step)
            check_finite(losses, f"step {step}", self._remedy())
            self.record.losses, self.record.steps = losses, step + 1
            self.record.seconds = before + time.perf_counter() - start
            if (step + 1) % a.logging_steps == 0 or step + 1 == a.steps:
                bar.set_postfix({name: f"{value:.3g}" for name, value in losses.items()})
                self.record.history.append({"step": step + 1, **losses})
                if a.report_to:
                    self.accelerator.log(losses, step=step + 1)
            if (a.save_steps and (step + 1) % a.save_steps == 0) or step + 1 == stop_at:
                self._save_checkpoint(step + 1)
            if step + 1 == stop_at:
                bar.close()
                self.record.stopped_at = stop_at
                return self.record
        for player in self.players.values():
            self.accelerator.unwrap_model(player, keep_fp32_wrapper=False)
        self.average.copy_to(self.model.generator)
        self.model.eval()
        self._check_outputs(a.steps)
        if a.report_to:
            self.accelerator.end_training()
        return self.record

    def _step(self, step: int) -> dict[str, float]:
        """One step of each player; the terms that matter, as numbers."""
        a, terms = self.arguments, dict[str, Tensor]()
        self._set_rates(step / a.steps)
        # One context for both players: two would count the micro-steps twice.
        with self.accelerator.accumulate(*self.players.values()):
            # Every update over all micro-steps, in the last one: what is drawn depends on step and
            # update alone. Updates in each micro-step would add all gradients of the earlier ones
            # to the first.
            if self.accelerator.sync_gradients:
                for update in range(a.discriminator_updates):
                    for micro_step in range(step + 1 - a.gradient_accumulation_steps, step + 1):
                        terms |= self._discriminator_terms(micro_step, update)
                        self.accelerator.backward(self._weighted(terms, "discriminator", step))
                    self._update("discriminator")
            self._unwrapped("discriminator").requires_grad_(False)
            terms |= self._generator_terms(step)
            self.accelerator.backward(self._weighted(terms, "generator", step))
            self._update("generator")
            self._unwrapped("discriminator").requires_grad_(True)
        if self.accelerator.sync_gradients:
            self.average.update(self.model.generator)
        return {name: float(value.detach()) for name, value in terms.items()}

    def _set_rates(self, progress: float) -> None:
        """Constant rates, then falling linearly to 0."""
        a = self.arguments
        left = (1 - progress) / max(1 - a.decay_start, 1e-9)
        rates = {"generator": a.learning_rate, "discriminator": a.discriminator_learning_rate}
        for player, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = rates[player] * min(1.0, left)

    def _discriminator_terms(self, step: int, update: int) -> dict[str, Tensor]:
        real, labels = self.batches.real(step, update)
        z, c = self.batches.noise(step, update)
        with torch.no_grad():
            made = self.model.as_data(self._unwrapped("generator")(z, c, labels))
        both = self.batches.moved(torch.cat([real, made]), step, 2 * update)
        seen = self.players["discriminator"](both, torch.cat([labels, labels]))
        size = len(labels)
        of_real, of_made = seen.rows(slice(None, size)), seen.rows(slice(size, None))
        assert of_real.scores is not None
        assert of_made.scores is not None
        terms = {
            "discriminator": least_squares_discriminator_loss(of_real.scores, of_made.scores),
            "class of real rows": class_loss(of_real.logits, labels),
            "noise (discriminator)": (of_made.noise - z).square().mean(),
        }
        added = self._regularizer(c, labels, of_made)
        return terms | {f"{name} (discriminator)": value for name, value in added.items()}

    def _generator_terms(self, step: int) -> dict[str, Tensor]:
        _, labels = self.batches.real(step, self.arguments.discriminator_updates)
        z, c = self.batches.noise(step, self.arguments.discriminator_updates)
        made = self.model.as_data(self.players["generator"](z, c, labels))
        moved = self.batches.moved(made, step, 2 * self.arguments.discriminator_updates)
        seen = self._unwrapped("discriminator")(moved, labels)
        assert seen.scores is not None
        terms = {
            "generator": least_squares_generator_loss(seen.scores),
            "class of made rows": class_loss(seen.logits, labels),
            "noise": (seen.noise - z).square().mean(),
        }
        return terms | self._regularizer(c, labels, seen)

    def _regularizer(
        self, c: Tensor, labels: Tensor, seen: DiscriminatorOutput
    ) -> dict[str, Tensor]:
        """The terms of the network's structure, fitted to the rows of all processes."""
        if not self.together:
            return self.model.regularizer(c, labels, seen)
        every = seen._replace(codes=gathered(seen.codes), logits=gathered(seen.logits))
        return self.model.regularizer(gathered(c), gathered(labels), every)

    def _weighted(self, terms: dict[str, Tensor], player: str, step: int) -> Tensor:
        """A player's loss: its terms by their weights."""
        a, total = self.arguments, terms[player]
        suffix = " (discriminator)" if player == "discriminator" else ""
        total = total + a.noise_weight * terms[f"noise{suffix}"]
        rows = "real" if player == "discriminator" else "made"
        total = total + a.class_weight * terms[f"class of {rows} rows"]
        grown = min(1.0, (step + 1) / max(a.structure_warmup * a.steps, 1e-9))
        # InfoGAN's bound grows by itself, as the variance of its codes falls from 1.
        structure_weight = grown * a.structure_weight
        weights = {"structure": structure_weight, "leakage": structure_weight}
        for name, weight in {**weights, "information": a.information_weight}.items():
            if f"{name}{suffix}" in terms:
                total = total + weight * terms[f"{name}{suffix}"]
        return total

    def _update(self, player: str) -> None:
        """An optimiser step, if this is the last micro-step of one."""
        if self.accelerator.sync_gradients:
            self.accelerator.clip_grad_norm_(
                self.players[player].parameters(), self.arguments.max_grad_norm
            )
        self.optimizers[player].step()
        self.optimizers[player].zero_grad()

    def _unwrapped(self, player: str) -> Any:
        return getattr(self.model, player)

    def _remedy(self) -> str:
        a = self.arguments
        return (
            f"Lower learning_rate ({a.learning_rate}), discriminator_learning_rate "
            f"({a.discriminator_learning_rate}) or structure_weight ({a.structure_weight}); the "
            "bounded structure_loss cannot diverge by itself, the literal one can."
        )

    @torch.no_grad()
    def _check_outputs(self, step: int) -> None:
        """Refuse to keep weights that make no numbers: an update may ruin them after its losses
        were still finite."""
        was_training = self.model.training
        self.model.eval()  # reading changes nothing
        z, c = self.batches.noise(step, 0)
        _, labels = self.batches.real(step, 0)
        made = self.model.as_data(self._unwrapped("generator")(z, c, labels))
        seen = self._unwrapped("discriminator")(made, labels)
        self.model.train(was_training)
        values = {"made rows": made, "codes": seen.codes, "scores": seen.scores}
        check_finite(
            {name: float(value.abs().sum()) for name, value in values.items()},
            f"step {step}",
            self._remedy(),
        )

    def _save_checkpoint(self, step: int) -> None:
        self._check_outputs(step)
        save_checkpoint(
            self.output_dir,
            self.accelerator,
            step=step,
            arguments=self._settings(),
            keep=self.arguments.save_total_limit,
            record=self.record.to_dict(),
        )

    def _settings(self) -> dict[str, Any]:
        data = (self.batches.rows.cpu().numpy(), self.batches.labels.cpu().numpy())
        arguments = {**self.arguments.to_dict(), "targets": self.targets}
        return run_settings(arguments, self.model.config, data)


__all__ = [
    "BayesianGanTrainer",
    "BayesianGanTrainingArguments",
    "BayesianGanTrainingRecord",
    "new_bayesian_gan",
]
