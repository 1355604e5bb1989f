"""Latents to words: MISO's decoders and filler over the shared encoder (section 4)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModel
from transformers import initialization as init

from .configuration_miso import MisoConfig
from .encoder_miso import MisoModel, MisoPreTrainedModel, check_embedding_width
from .layers_miso import TokenHead


class MisoLatentDecoder(MisoPreTrainedModel):
    """
    Logits of words from latents: of a new text (`decode_logits`), and of a text's masked words
    (`fill`).

    The base of `MisoForAnchorGeneration`, which adds the critics, the discriminators and what
    transformers' generation asks for. It leaves `post_init` to that class: weights are initialised
    once, when all of them are there.

    Tokens that can be written are those of `output_tokens` (the training texts' vocabulary). An
    editor (`config.parts`) has the filler alone, and none that reads latents.

    Raises:
        ValueError: for an encoder or decoder whose word embeddings are not as wide as its states.
    """

    _tied_weights_keys: dict[str, str] = {}

    def __init__(self, config: MisoConfig):
        super().__init__(config)
        self.miso = MisoModel(config)
        is_miso = config.parts == "miso"
        decoders = (1 if config.share_decoder else 2) if is_miso else 0
        self.decoders = nn.ModuleList(
            AutoModel.from_config(config.decoder) for _ in range(decoders)
        )
        for decoder in self.decoders:
            check_embedding_width(decoder, "decoder", config.hidden_size)
        self._share_word_embeddings()
        hidden, labels = config.hidden_size, config.num_labels
        if is_miso:
            self.latent_to_decoder = nn.Linear(config.latent_size, hidden)
            self.slot_embedding = nn.Embedding(config.num_latent_heads, hidden)
            self.decoder_class_embedding = nn.Embedding(labels, hidden)
            self.decoder_head = TokenHead(hidden)
        # one more than the classes: "none", for text without a class
        self.fill_class_embedding = nn.Embedding(labels + 1, hidden)
        if is_miso:
            self.latent_to_hidden = nn.Linear(
                config.num_latent_heads * config.latent_size, hidden, bias=False
            )
        self.fill_head = TokenHead(hidden)
        size = config.output_vocab_size or config.vocab_size
        self.output_bias = nn.Parameter(torch.zeros(size))
        self.output_tokens = nn.Buffer(torch.arange(size))
        # place of each token among output_tokens; −100 (ignored by the losses) where it cannot be
        # written
        self.output_positions = nn.Buffer(torch.arange(config.vocab_size))
        # output tokens that are whole words by themselves: what an edit may put in a word's place
        self.is_word_token = nn.Buffer(torch.zeros(size, dtype=torch.bool))

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if not isinstance(module, MisoLatentDecoder):
            return
        init.zeros_(module.output_bias)
        if module.config.parts == "miso":  # the filler starts as the encoder's own language model
            init.zeros_(module.latent_to_hidden.weight)
        # without restriction every token can be written
        size = module.output_tokens.numel()
        init.copy_(module.output_tokens, torch.arange(size))
        init.copy_(module.output_positions, torch.arange(module.output_positions.numel()))
        init.zeros_(module.is_word_token)

    def _share_word_embeddings(self) -> None:
        source = self.miso.encoder.get_input_embeddings()
        names = {id(p): n for n, p in self.named_parameters(remove_duplicate=False)}
        tied = {}
        decoders: list[Any] = list(self.decoders)
        for decoder in decoders:
            tied[names[id(decoder.get_input_embeddings().weight)]] = names[id(source.weight)]
            decoder.set_input_embeddings(source)
        self._tied_weights_keys = tied
        self.config.tie_word_embeddings = True

    # ---- word embeddings and output tokens

    def get_input_embeddings(self) -> nn.Embedding:
        """The word embeddings, of the encoder and the decoders."""
        return self.miso.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the word embeddings of the encoder and the decoders."""
        self.miso.set_input_embeddings(value)
        decoders: list[Any] = list(self.decoders)
        for decoder in decoders:
            decoder.set_input_embeddings(value)

    def get_output_embeddings(self) -> None:
        """None: logits are made from the input embeddings, restricted to `output_tokens`."""

    def set_output_tokens(self, tokens: Tensor, is_word: Tensor) -> None:
        """
        Restrict what can be written.

        Args:
            tokens: `[output_vocab_size]`, token ids.
            is_word: boolean `[output_vocab_size]`, which of them are whole words.

        Raises:
            ValueError: if the number of tokens is not the configured one.
        """
        if tokens.numel() != self.output_tokens.numel() or is_word.shape != tokens.shape:
            raise ValueError(
                f"{tokens.numel()} output tokens were given, but the configuration has room for "
                f"{self.output_tokens.numel()}: set MisoConfig.output_vocab_size to their number."
            )
        self.output_tokens.copy_(tokens)
        self.output_positions.fill_(-100)
        self.output_positions[tokens] = torch.arange(
            tokens.numel(), device=self.output_positions.device
        )
        self.is_word_token.copy_(is_word)

    # ---- decoding: a new text

    def output_logits(self, states: Tensor) -> Tensor:
        """Head states `[…, hidden]` → logits `[…, output tokens]`, by the word embeddings."""
        weight = self.get_input_embeddings().weight
        if self.output_tokens.numel() != weight.shape[0]:
            weight = weight[self.output_tokens]
        return F.linear(states, weight, self.output_bias)

    def _decoder_of(self, class_ids: Tensor) -> nn.Module:
        if self.config.share_decoder:
            return self.decoders[0]
        is_target = torch.isin(
            class_ids, torch.tensor(self.config.target_classes, device=class_ids.device)
        )
        if is_target.all():
            return self.decoders[0]
        if not is_target.any():
            return self.decoders[1]
        raise ValueError(
            "With share_decoder=False one call decodes either target classes or the others, not a "
            f"mixture: class_ids has both ({class_ids.unique().tolist()}; targets are "
            f"{self.config.target_classes})."
        )

    def decode_states(
        self,
        decoder_input_ids: Tensor,
        latents: Tensor,
        class_ids: Tensor,
        attention_mask: Tensor | None = None,
        **options: Any,
    ) -> Any:
        """
        What the decoder makes of the tokens so far.

        Args:
            decoder_input_ids: `[n, l]`.
            latents: `[n, h, d]`, q or z.
            class_ids: `[n]`, the classes to write as.
            attention_mask: `[n, l]` of the tokens; all by default.
            **options: of the decoder, such as `use_cache`.

        Returns: the decoder's output; its `last_hidden_state` is `[n, l, hidden]`.

        Raises:
            ValueError: with two decoders, for target classes and others in one call.
        """
        slots = self.latent_to_decoder(
            F.dropout(latents, self.config.latent_dropout, self.training)
        )
        slots = slots + self.slot_embedding.weight
        embeddings = self.get_input_embeddings()(decoder_input_ids)
        embeddings = embeddings + self.decoder_class_embedding(class_ids).unsqueeze(1)
        return self._decoder_of(class_ids)(
            inputs_embeds=embeddings,
            attention_mask=attention_mask,
            encoder_hidden_states=slots,
            **options,
        )

    def decode_logits(
        self, decoder_input_ids: Tensor, latents: Tensor, class_ids: Tensor, **options: Any
    ) -> Tensor:
        """Logits `[n, l, output tokens]`; the arguments are those of `decode_states`."""
        states = self.decode_states(
            decoder_input_ids, latents, class_ids, use_cache=False, **options
        ).last_hidden_state
        return self.output_logits(self.decoder_head(states))

    # ---- filling: masked words of a text

    def fill_states(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        class_ids: Tensor,
        latents: Tensor | None = None,
    ) -> Tensor:
        """
        States of a text with masked words, read as a class's text.

        Args:
            input_ids: `[n, l]`, mask tokens where words are to be filled in.
            attention_mask: `[n, l]`.
            class_ids: `[n]`; `config.num_labels` stands for "no class".
            latents: `[n, h, d]`, z of the text to write; none (or a row of zeros) fills from class
                and context alone.

        Returns: `[n, l, hidden]`.
        """
        embeddings = self.get_input_embeddings()(input_ids)
        condition = self.fill_class_embedding(class_ids)
        if latents is not None:
            condition = condition + self.latent_to_hidden(latents.flatten(1))
        embeddings = embeddings + condition.unsqueeze(1)
        return self.miso.encoder(
            inputs_embeds=embeddings, attention_mask=attention_mask
        ).last_hidden_state

    def fill(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        class_ids: Tensor,
        positions: Tensor,
        latents: Tensor | None = None,
    ) -> Tensor:
        """
        Logits of masked places.

        Args:
            positions: boolean `[n, l]`, with m places.
            input_ids, attention_mask, class_ids, latents: those of `fill_states`.

        Returns: `[m, output tokens]`.
        """
        states = self.fill_states(input_ids, attention_mask, class_ids, latents)
        return self.output_logits(self.fill_head(states[positions]))


__all__ = ["MisoLatentDecoder"]
