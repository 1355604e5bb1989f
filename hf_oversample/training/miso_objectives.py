"""What each player of MISO's training descends, each as one forward of a module of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from accelerate.utils import convert_to_fp32
from torch import Tensor, nn

from hf_oversample.models.miso.layers_miso import normalize_latents
from hf_oversample.models.miso.losses_miso import (
    CriticObjective,
    adversarial_loss,
    discriminator_loss,
    donsker_varadhan,
    jensen_shannon,
    straight_through_embeddings,
)
from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.training.arguments import MisoTrainingArguments
from hf_oversample.training.gathering import averaged, gathered

SIDES = ("minority", "majority")
Pairs = Mapping[str, tuple[Tensor, ...]]


# the number of tokens that a head reads is rounded up to a multiple of this
TOKENS_STEP = 64


class GeneratorObjective(nn.Module):
    """
    The generator's losses as one forward, so that data-parallel training sees every use of its
    weights.

    The critics and discriminators are submodules whose weights this objective never trains: the
    trainer prepares them as modules of their own and switches their gradients off around the
    generator's step.

    Args:
        model: the generator.
        arguments: `latent_noise`, `adversarial_rows` and `mixed_precision` are read.
    """

    def __init__(self, model: MisoForAnchorGeneration, arguments: MisoTrainingArguments):
        super().__init__()
        self.model, self.arguments = model, arguments

    def forward(self, part: str, *inputs: Any, **named: Any) -> Any:
        """
        Calls the method `part`, "pretrain" or "adversarial", its products in the training's
        precision; what it returns is float32.
        """
        is_half = self.arguments.resolved_precision(self.model.device) == "bf16"
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=is_half):
            result = getattr(self, part)(*inputs, **named)
        return convert_to_fp32(result)

    def latents(self, ids: Tensor, mask: Tensor) -> Tensor:
        """q of token ids and mask `[n, l]`: `[n, h, d]`."""
        return self.model.miso(ids, mask).latents

    def grouped_latents(self, groups: Sequence[Mapping[str, Tensor]]) -> Tensor:
        """q of a batch that comes in groups of like length, in the batch's order: `[n, h, d]`."""
        parts = torch.cat([self.latents(group["ids"], group["mask"]) for group in groups])
        order = torch.cat([group["rows"] for group in groups])
        return torch.empty_like(parts).index_copy(0, order, parts)

    def reconstruction(self, ids: Tensor, mask: Tensor, latents: Tensor, classes: Tensor) -> Tensor:
        """
        Teacher-forced cross-entropy of texts from their latents; padding is not decoded to words.

        Args:
            ids, mask: `[n, l]`, the texts.
            latents: `[n, h, d]`.
            classes: `[n]`, the classes to write as.

        Returns: the mean over tokens (over the texts of a decoder, where there are two), a scalar
        in nats; with several processes one whose mean over them is that of all their tokens.
        """
        sums, sizes = [], []
        groups = self.decoder_groups(classes)
        for group in groups:
            found = torch.zeros((), device=ids.device), 0
            if len(group):
                found = self._summed_reconstruction(
                    ids[group], mask[group], latents[group], classes[group]
                )
            sums.append(found[0])
            sizes.append((found[1], len(group) / max(len(classes), 1)))
        total = torch.zeros((), device=ids.device)
        for one, (tokens, share) in zip(
            sums, averaged(torch.tensor(sizes, device=ids.device)), strict=True
        ):
            total = total + one / tokens.masked_fill(tokens == 0, 1) * share
        return total

    def _summed_reconstruction(
        self, ids: Tensor, mask: Tensor, latents: Tensor, classes: Tensor
    ) -> tuple[Tensor, int]:
        """`reconstruction` of one decoder's texts, summed over their tokens, and these tokens."""
        targets = self.model.output_positions[ids[:, 1:]].masked_fill(mask[:, 1:] == 0, -100)
        states = self.model.decode_states(
            ids[:, :-1], latents, classes, attention_mask=mask[:, :-1], use_cache=False
        ).last_hidden_state
        wanted = targets != -100
        total = self._token_loss(states[wanted], targets[wanted], self.model.decoder_head)
        return total, int(wanted.sum())

    def _token_loss(self, states: Tensor, targets: Tensor, head: nn.Module) -> Tensor:
        """
        Summed cross-entropy of token states `[m, hidden]`, their number rounded up.

        Kernels are compiled for each new shape of a product on some processors: a few shapes that
        come again take half the time of one shape a step.
        """
        missing = -len(states) % TOKENS_STEP
        states = nn.functional.pad(states, (0, 0, 0, missing))
        targets = nn.functional.pad(targets, (0, missing), value=-100)
        logits = self.model.output_logits(head(states))
        return nn.functional.cross_entropy(
            logits.float(), targets, ignore_index=-100, reduction="sum"
        )

    def decoder_logits(self, ids: Tensor, mask: Tensor, latents: Tensor, classes: Tensor) -> Tensor:
        """Logits of next tokens, from what `reconstruction` takes: `[n, l, output tokens]`."""
        groups = [group for group in self.decoder_groups(classes) if len(group)]
        parts = torch.cat(
            [
                self.model.decode_logits(
                    ids[group], latents[group], classes[group], attention_mask=mask[group]
                )
                for group in groups
            ]
        )
        return torch.empty_like(parts).index_copy(0, torch.cat(groups), parts)

    def filling(
        self, groups: Sequence[Mapping[str, Tensor]], classes: Tensor, latents: Tensor | None
    ) -> Tensor:
        """
        Cross-entropy of masked words, of a batch that comes in groups of like length.

        Args:
            groups: `rows`, `masked_ids`, `mask` and `targets` of each; targets are output places,
                −100 where nothing was masked.
            classes: `[n]` in the batch's order; `num_labels` stands for "no class".
            latents: `[n, h, d]` in the batch's order, or none.

        Returns: the mean over masked tokens, a scalar in nats; with several processes one whose
        mean over them is that of all their masked tokens.
        """
        total, count = torch.zeros((), device=classes.device), 0
        for group in groups:
            rows, positions = group["rows"], group["targets"] != -100
            known = None if latents is None else latents[rows]
            states = self.model.fill_states(
                group["masked_ids"], group["mask"], classes[rows], known
            )
            wanted = group["targets"][positions]
            total = total + self._token_loss(states[positions], wanted, self.model.fill_head)
            count += wanted.numel()
        tokens = averaged(torch.tensor(float(count), device=classes.device))
        return total / tokens.masked_fill(tokens == 0, 1)

    def noisy(self, latents: Tensor) -> Tensor:
        """z as the filler is given it: noise keeps it from spelling the masked words out."""
        return normalize_latents(latents + self.arguments.latent_noise * torch.randn_like(latents))

    def decoder_groups(self, classes: Tensor) -> list[Tensor]:
        """
        Rows that one decoder handles at a time, for classes `[n]`: all of them, or, with two
        decoders, those of target classes and the others apart, of which either may be none.
        """
        if self.model.config.share_decoder:
            return [torch.arange(len(classes), device=classes.device)]
        targets = torch.tensor(self.model.config.target_classes, device=classes.device)
        is_target = torch.isin(classes, targets)
        return [is_target.nonzero()[:, 0], (~is_target).nonzero()[:, 0]]

    def pretrain(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """
        Phase 1 (Algorithm 1, lines 1–2): the decoders rebuild texts from q, and minority texts
        from Q̃ (q in a generator without SFM); the filler refills masked words. An editor has the
        filler alone.

        Args:
            batch: as `MisoBatches.pretrain` draws it.

        Returns: `reconstruction` (not of an editor), `filling`, and their sum `loss`.
        """
        if self.model.config.parts == "editor":
            filling = self.filling(batch["groups"], batch["fill_classes"], None)
            return {"loss": filling, "filling": filling}
        latents = self.grouped_latents(batch["latent_groups"])
        decoded, rows = len(batch["decoder_ids"]), batch["paired_rows"]
        latents, keys = latents[:decoded], latents[decoded:]
        if len(rows):
            surrogate = surrogate_latents(self.model, latents[rows], keys)
            latents = latents.index_copy(0, rows, surrogate.to(latents.dtype))
        classes = batch["classes"][: len(latents)]
        reconstruction = self.reconstruction(
            batch["decoder_ids"], batch["decoder_mask"], latents, classes
        )
        # the first rows' fills know their latent, the others only class and context
        condition = latents.new_zeros(len(batch["classes"]), *latents.shape[1:])
        condition = torch.cat([self.noisy(latents), condition[len(latents) :]])
        filling = self.filling(batch["groups"], batch["fill_classes"], condition)
        return {
            "loss": reconstruction + filling,
            "reconstruction": reconstruction,
            "filling": filling,
        }

    def adversarial(
        self, batch: Mapping[str, Any], temperature: float, gumbel_temperature: float
    ) -> dict[str, Tensor]:
        """
        Phase 3 (Algorithm 1, lines 5–9), what ψ and σ need.

        Args:
            batch: as `MisoBatches.adversarial` draws it: n pairs, minority texts first.
            temperature: τ_e of SFM.
            gumbel_temperature: of the discriminators' soft tokens.

        Returns: latents `q`, `k`, `z` `[n, h, d]` (z is q without SFM); `reconstruction` and
        `filling`, scalars; for each side `…_generated` and `…_real`, token embeddings
        `[m, l, hidden]`, and `…_real_mask` `[m, l]`.
        """
        model, n = self.model, len(batch["classes"]) // 2
        latents = self.grouped_latents(batch["groups"])
        q, k = latents[:n], latents[n:]
        z = q
        if model.config.use_sfm:  # the batch that a text attends over is that of all processes
            z = model.miso.fusion(q, k, temperature, gathered(q), gathered(k))
        decoded = torch.cat([z, k])
        result = {"q": q, "k": k, "z": z}
        embeddings = model.get_input_embeddings().weight[model.output_tokens]
        reconstruction = torch.zeros((), device=latents.device)
        few = min(self.arguments.adversarial_rows, n)
        for side, start in zip(SIDES, (0, n), strict=True):
            ids, mask = batch[f"{side}_ids"], batch[f"{side}_mask"]
            rows = slice(start, start + n)
            loss = self.reconstruction(ids, mask, decoded[rows], batch["classes"][rows])
            reconstruction = reconstruction + loss / 2
            ids, mask, rows = ids[:few], mask[:few], slice(start, start + few)
            logits = self.decoder_logits(
                ids[:, :-1], mask[:, :-1], decoded[rows], batch["classes"][rows]
            )
            flat = logits.flatten(0, 1)
            gumbel = -torch.log(-torch.log(torch.rand_like(flat.float()).clamp(1e-9, 1 - 1e-7)))
            soft = straight_through_embeddings(
                flat, embeddings, gumbel_temperature, gumbel.to(flat.dtype)
            )
            result[f"{side}_generated"] = soft.view(*logits.shape[:2], -1)
            result[f"{side}_real"] = model.get_input_embeddings()(ids[:, 1:]).detach()
            result[f"{side}_real_mask"] = mask[:, 1:]
        know = self.noisy(decoded) * batch["know_latent"][:, None, None]
        filling = self.filling(batch["groups"], batch["fill_classes"], know)
        return result | {"reconstruction": reconstruction, "filling": filling}


class Critics(nn.Module):
    """
    Both critics' own objectives (what ω ascends, negated) as one forward.

    Args:
        model: its critics T_ω+ and T_ω− are trained, by the bound of its configuration.
    """

    def __init__(self, model: MisoForAnchorGeneration):
        super().__init__()
        self.minority, self.majority = model.minority_critic, model.majority_critic
        self.minority_objective = CriticObjective(model.config.critic_bound)
        self.majority_objective = CriticObjective(model.config.critic_bound)

    def forward(self, pairs: Pairs) -> Tensor:
        """The loss of pairs as `critic_pairs` makes them: a scalar."""
        minority, majority = (self._of_side(side, pairs[side]) for side in SIDES)
        return minority + majority

    def _of_side(self, side: str, pairs: tuple[Tensor, ...]) -> Tensor:
        a, b, c, d = pairs
        critic = getattr(self, side)
        return getattr(self, f"{side}_objective")(critic(a, b), critic(c, d))


class Discriminators(nn.Module):
    """
    D_φ+ and D_φ− on real and generated texts (what φ ascends, negated) as one forward.

    Args:
        model: its discriminators are trained.
    """

    def __init__(self, model: MisoForAnchorGeneration):
        super().__init__()
        self.minority, self.majority = model.minority_discriminator, model.majority_discriminator

    def forward(self, parts: Mapping[str, Tensor]) -> Tensor:
        """The loss of what `GeneratorObjective.adversarial` gives: a scalar."""
        minority, majority = (self._of_side(side, parts) for side in SIDES)
        return minority + majority

    def _of_side(self, side: str, parts: Mapping[str, Tensor]) -> Tensor:
        discriminator, mask = getattr(self, side), parts[f"{side}_real_mask"]
        real = discriminator(parts[f"{side}_real"], mask)
        generated = discriminator(parts[f"{side}_generated"].detach(), mask)
        return discriminator_loss(real, generated)


def surrogate_latents(model: MisoForAnchorGeneration, q: Tensor, k: Tensor) -> Tensor:
    """
    What stands for SFM's output before phase 3, for latents q and k of pairs `[n, h, d]`.

    Returns: `[n, h, d]`, Q̃ = FFN(concat(K, Q)) (section 5); q in a generator without SFM (the CAG
    ablation of section 7.2), whose anchors are written from q.
    """
    return model.miso.surrogate_fusion.fuse(q, k) if model.config.use_sfm else q


def generated_as_real(model: MisoForAnchorGeneration, parts: Mapping[str, Tensor]) -> Tensor:
    """The adversarial term of ψ and σ: both sides' generated texts taken for real, a scalar."""
    minority, majority = (
        adversarial_loss(
            getattr(model, f"{side}_discriminator")(
                parts[f"{side}_generated"].float(), parts[f"{side}_real_mask"]
            )
        )
        for side in SIDES
    )
    return minority + majority


def information(model: MisoForAnchorGeneration, pairs: Pairs) -> dict[str, float]:
    """
    What the critics say of z: the Donsker–Varadhan expression of each, in nats.

    With `critic_mode="instance"` these estimate the paper's I(Q; Q̄) and I(K; Q̄). With "class",
    the default, they are no mutual information (PAPERS.md, departure 11): z is in the joint pairs
    (a text of the class, z) but not in the product pairs (a text of the class, one of either
    class), so the value is the mean log-ratio by which the critic takes z for a text of the class
    rather than of the mixture. It may be below 0.

    Returns: `I(Q)` and `I(K)`, of the minority's and the majority's critic.
    """
    values = {}
    for side, symbol in zip(SIDES, ("I(Q)", "I(K)"), strict=True):
        joint, product = _scores_of_z(model, side, pairs)
        values[symbol] = float(donsker_varadhan(joint, product))
    return values


def information_loss(model: MisoForAnchorGeneration, pairs: Pairs) -> Tensor:
    """
    What σ and ψ descend: the majority critic's bound of z less the minority critic's, a scalar.

    It is the paper's I(K; Q̄) − I(Q; Q̄) (section 4.2, "MI Loss") with `critic_mode="instance"`;
    with "class" its two terms are what `information` says.
    """
    bound = donsker_varadhan if model.config.critic_bound == "dv" else jensen_shannon
    minority, majority = (bound(*_scores_of_z(model, side, pairs)) for side in SIDES)
    return majority - minority


def _scores_of_z(model: MisoForAnchorGeneration, side: str, pairs: Pairs) -> tuple[Tensor, Tensor]:
    a, b, c, d = pairs[f"{side}_of_z"]
    critic = getattr(model, f"{side}_critic")
    return critic(a, b), critic(c, d)
