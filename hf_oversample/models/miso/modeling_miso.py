"""MISO's generator: from latents to texts (Tian et al., EMNLP 2021, section 4)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GenerationMixin
from transformers import initialization as init
from transformers.modeling_outputs import ModelOutput, Seq2SeqLMOutput

from .configuration_miso import MisoConfig
from .decoder_miso import MisoLatentDecoder
from .encoder_miso import MisoModel, MisoModelOutput, MisoPreTrainedModel
from .losses_miso import MutualInformationCritic, SurfaceDiscriminator

# What transformers calls the keys and values of the tokens so far: another name from 5.24 on.
CACHE = "cache" if "cache" in Seq2SeqLMOutput.__dataclass_fields__ else "past_key_values"


class MisoForAnchorGeneration(MisoLatentDecoder, GenerationMixin):
    """
    MISO's generator: writes anchors from latents (`generate`) and refills masked words (`fill`).

    * *generate* is the paper's realiser: a decoder that attends over the latent's slots,
      autoregressive, told its class by an embedding (D₊ and D₋; one module or two,
      `config.share_decoder`).
    * *fill* is the *edit* realiser: the shared encoder as a masked language model, conditioned on
      the class and on z.

    Tokens that can be written are those of `output_tokens` (the training texts' vocabulary).

    An editor (`config.parts`) fills alone: it has neither decoders nor critics nor discriminators.
    """

    def __init__(self, config: MisoConfig):
        super().__init__(config)
        if config.parts == "miso":
            self._add_opponents(config)
        self.post_init()

    def _add_opponents(self, config: MisoConfig) -> None:
        hidden = config.hidden_size
        width = config.num_latent_heads * config.latent_size
        if config.critic_mode == "instance":  # "bs·h triples": one pair of latents per head
            width = config.latent_size
        critic = (width, config.critic_hidden_size, config.critic_score_limit)
        self.minority_critic = MutualInformationCritic(*critic)  # T_ω+, of I(Q; Q̄)
        self.majority_critic = MutualInformationCritic(*critic)  # T_ω−, of I(K; Q̄)
        self.minority_discriminator = SurfaceDiscriminator(
            hidden, config.discriminator_hidden_size
        )  # D_φ+
        self.majority_discriminator = SurfaceDiscriminator(
            hidden, config.discriminator_hidden_size
        )  # D_φ−

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if not isinstance(module, MisoForAnchorGeneration) or module.config.parts == "editor":
            return
        # transformers asks for single layers and for whole models: what lies between, such as the
        # critics, is the model's own business
        opponents = (
            module.minority_critic,
            module.majority_critic,
            module.minority_discriminator,
            module.majority_discriminator,
        )
        for opponent in opponents:
            for layer in opponent.layers:
                if isinstance(layer, nn.Linear):
                    init.xavier_uniform_(layer.weight)
                    init.zeros_(layer.bias)

    # ---- what GenerationMixin and PreTrainedModel ask for

    def get_encoder(self, modality: str | None = None) -> MisoModel:
        """What makes latents of texts."""
        return self.miso

    def get_decoder(self) -> nn.Module:
        """D₊, or the decoder of all classes; an editor has its encoder alone."""
        return self.decoders[0] if len(self.decoders) else self.miso.encoder

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        class_ids: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: ModelOutput | None = None,
        past_key_values: Any = None,
        cache: Any = None,
        use_cache: bool | None = None,
        fuse: bool = False,
        **kwargs: Any,
    ) -> Seq2SeqLMOutput:
        """
        Read texts, or take their latents, and decode.

        Args:
            input_ids, attention_mask: `[n, l]`, the texts to read.
            labels: `[n, m]`, token ids to write, −100 ignored; the loss is their cross-entropy over
                the output tokens.
            class_ids: `[n]`, the classes to write as; the first target class by default.
            decoder_input_ids, decoder_attention_mask: `[n, m]`, the tokens so far; by default the
                labels, moved one place.
            encoder_outputs: in place of texts; its `last_hidden_state` is latents `[n, h, d]`.
            past_key_values, cache: the decoder's keys and values so far, by either name.
            use_cache: whether they are returned.
            fuse: decode z instead of q.

        Returns: `loss` with labels, `logits` `[n, m, vocabulary]`, the cache, and the
        latents as `encoder_last_hidden_state`.

        Raises:
            ValueError: with neither texts nor latents, neither labels nor decoder input, or as
                `MisoModel.fuse_with_bank`.
        """
        if encoder_outputs is None:
            if input_ids is None:
                raise ValueError(
                    "MisoForAnchorGeneration needs input_ids, or latents as encoder_outputs, to "
                    "know what to decode from."
                )
            if class_ids is None:
                class_ids = self._first_target(input_ids.shape[0])
            encoder_outputs = self.miso(input_ids, attention_mask, class_ids=class_ids, fuse=fuse)
        latents: Tensor = encoder_outputs[0]
        if class_ids is None:
            class_ids = self._first_target(latents.shape[0])
        if decoder_input_ids is None:
            if labels is None:
                raise ValueError(
                    "MisoForAnchorGeneration needs labels or decoder_input_ids to know what to "
                    "decode."
                )
            start = torch.full_like(labels[:, :1], self._start_token())
            moved = torch.cat([start, labels[:, :-1]], 1)
            decoder_input_ids = moved.masked_fill(moved == -100, self.config.pad_token_id)
        outputs = self.decode_states(
            decoder_input_ids,
            latents,
            class_ids,
            attention_mask=decoder_attention_mask,
            use_cache=use_cache,
            **{CACHE: past_key_values if cache is None else cache},
        )
        restricted = self.output_logits(self.decoder_head(outputs.last_hidden_state))
        loss = None
        if labels is not None:
            targets = torch.where(
                labels == -100, labels, self.output_positions[labels.clamp(min=0)]
            )
            loss = F.cross_entropy(
                restricted.flatten(0, 1).float(), targets.flatten(), ignore_index=-100
            )
        return Seq2SeqLMOutput(
            loss=loss,
            logits=self._over_vocabulary(restricted),
            **{CACHE: outputs.get(CACHE)},
            encoder_last_hidden_state=latents,
        )

    def _first_target(self, rows: int) -> Tensor:
        return torch.full((rows,), self.config.target_classes[0], device=self.device)

    def _start_token(self) -> int:
        start = self.generation_config.decoder_start_token_id
        if start is None:
            raise ValueError(
                "generation_config.decoder_start_token_id is not set: texts need a first token."
            )
        return start

    def _over_vocabulary(self, restricted: Tensor) -> Tensor:
        if restricted.shape[-1] == self.config.vocab_size:
            return restricted
        full = restricted.new_full(
            (*restricted.shape[:-1], self.config.vocab_size), torch.finfo(restricted.dtype).min
        )
        return full.index_copy(-1, self.output_tokens, restricted)

    def generate(self, inputs: Tensor | None = None, *args: Any, **kwargs: Any) -> Any:
        """
        As `GenerationMixin.generate`: texts are written from z where there is a reference bank to
        fuse with, unless `fuse` or `encoder_outputs` say what to write from.

        Raises:
            ValueError: an editor, which has no decoders.
        """
        if self.config.parts == "editor":
            raise ValueError(
                "this generator is an editor (config.parts): it edits texts and writes none from "
                "nothing. Give it to MisoOversampler or `hf-oversample generate`, or train one "
                "with --parts miso."
            )
        if "encoder_outputs" not in kwargs and "fuse" not in kwargs and self.config.use_sfm:
            kwargs["fuse"] = bool(self.miso.bank_is_filled.any())
        if kwargs.get("fuse") and kwargs.get("class_ids") is None:
            texts = kwargs.get("input_ids") if inputs is None else inputs
            outputs = kwargs.get("encoder_outputs")
            given = texts if outputs is None else outputs[0]
            if given is not None:
                kwargs["class_ids"] = self._first_target(given.shape[0])
        return super().generate(inputs, *args, **kwargs)

    def prepare_inputs_for_generation(self, input_ids: Tensor, **kwargs: Any) -> dict[str, Any]:
        """The next step's inputs, with the classes to write as."""
        inputs = super().prepare_inputs_for_generation(input_ids, **kwargs)
        inputs["class_ids"] = kwargs.get("class_ids")
        return inputs

    # ---- the critics' word on a latent

    def evidence(self, latents: Tensor, class_ids: Tensor) -> Tensor:
        """
        Pointwise mutual information of latents with their class against its majority neighbours.

        T_ω+(q, z) − T_ω−(k, z), each the mean over the reference bank's pairs: positive where the
        critics place z with the class.

        Args:
            latents: `[n, h, d]`.
            class_ids: `[n]`, target classes.

        Returns: `[n]`, in nats.
        """
        result = latents.new_empty(latents.shape[0])
        for label in class_ids.unique().tolist():
            rows = class_ids == label
            scores = []
            for critic, bank in (
                (self.minority_critic, self.miso.bank_queries[label]),
                (self.majority_critic, self.miso.bank_keys[label]),
            ):
                a = bank.unsqueeze(0).expand(int(rows.sum()), *bank.shape)
                b = latents[rows].unsqueeze(1).expand_as(a)
                if self.config.critic_mode != "instance":
                    a, b = a.flatten(2), b.flatten(2)
                scores.append(critic(a.to(b.dtype), b).flatten(1).mean(1))
            result[rows] = scores[0] - scores[1]
        return result


__all__ = [
    "MisoForAnchorGeneration",
    "MisoModel",
    "MisoModelOutput",
    "MisoPreTrainedModel",
]
