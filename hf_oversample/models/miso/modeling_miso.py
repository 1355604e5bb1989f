"""MISO: shared encoder, latent pooling, semantic fusion, class decoders (Tian et al., EMNLP 2021, section 4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModel, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import ModelOutput, Seq2SeqLMOutput

from .configuration_miso import MisoConfig
from .losses_miso import MutualInformationCritic, SurfaceDiscriminator


@dataclass
class MisoModelOutput(ModelOutput):
    """
    Args:
        last_hidden_state: what the decoders read: the latents, or the fused latents where `fuse` was asked,
            `[batch, heads, latent_size]`.
        latents: q, the texts' own latents, same shape.
    """

    last_hidden_state: torch.FloatTensor | None = None
    latents: torch.FloatTensor | None = None


def normalize_latents(latents: Tensor) -> Tensor:
    """Each slot to mean 0 and variance 1: latents stay on one scale before and after fusion."""
    return F.layer_norm(latents, latents.shape[-1:])


class LatentPooling(nn.Module):
    """h attention-pooling heads over token states: a text of any length becomes `[heads, latent_size]`."""

    def __init__(self, hidden_size: int, heads: int, latent_size: int):
        super().__init__()
        self.heads, self.latent_size = heads, latent_size
        self.queries = nn.Parameter(torch.empty(heads, latent_size))
        self.key = nn.Linear(hidden_size, heads * latent_size)
        self.value = nn.Linear(hidden_size, heads * latent_size)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """States `[n, l, hidden]`, mask `[n, l]` → `[n, heads, latent_size]`; padding has no weight."""
        shape = (*states.shape[:2], self.heads, self.latent_size)
        keys, values = self.key(states).view(shape), self.value(states).view(shape)
        scores = torch.einsum("nlhd,hd->nhl", keys, self.queries) / self.latent_size**0.5
        scores = scores.masked_fill(~mask.bool().unsqueeze(1), torch.finfo(scores.dtype).min)
        return normalize_latents(torch.einsum("nhl,nlhd->nhd", torch.softmax(scores, -1), values))


class SemanticFusion(nn.Module):
    """
    SFM (section 4.2): Q̄ = [softmax(QKᵀ/√τ) Q] softmax(QᵀK/√τ) per head, then a feed-forward layer.

    Row i of Q and K is pair i: a difficult text and one of its majority neighbours. QKᵀ compares each difficult text
    with the batch's majority texts, τ says with how many; QᵀK gates features.

    Departure: z = normalise(q + FFN[q; q̄]) with the FFN's last layer zero at first. Without a residual the attention
    averages every text into one.
    """

    def __init__(self, latent_size: int):
        super().__init__()
        self.widen = nn.Linear(2 * latent_size, 4 * latent_size)
        self.narrow = nn.Linear(4 * latent_size, latent_size)

    @staticmethod
    def attend(queries: Tensor, bank_queries: Tensor, bank_keys: Tensor, temperature: Tensor | float) -> Tensor:
        """
        Q̄ of `queries` `[n, h, d]` against pairs `[m, h, d]`: in training the batch itself (m = n).

        Returns: `[n, h, d]`.
        """
        scale = temperature**0.5
        weights = torch.softmax(torch.einsum("nhd,mhd->hnm", queries, bank_keys) / scale, dim=-1)
        attended = torch.einsum("hnm,mhd->hnd", weights, bank_queries)
        gate = torch.softmax(torch.einsum("mhd,mhe->hde", bank_queries, bank_keys) / scale, dim=-1)
        return torch.einsum("hnd,hde->nhe", attended, gate)

    def fuse(self, queries: Tensor, other: Tensor) -> Tensor:
        """normalise(q + FFN[q; other]), `[n, h, d]` twice → `[n, h, d]`."""
        hidden = F.gelu(self.widen(torch.cat([queries, other], dim=-1)))
        return normalize_latents(queries + self.narrow(hidden))

    def forward(self, queries: Tensor, keys: Tensor, temperature: Tensor | float) -> Tensor:
        """z of a batch of pairs, `[n, h, d]` twice → `[n, h, d]`."""
        return self.fuse(queries, self.attend(queries, queries, keys, temperature))


class TokenHead(nn.Module):
    """Dense, GELU, LayerNorm: states to be multiplied with the word embeddings (BERT's masked-LM head)."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size)

    def forward(self, states: Tensor) -> Tensor:
        return self.norm(F.gelu(self.dense(states)))


class MisoPreTrainedModel(PreTrainedModel):
    config_class = MisoConfig
    base_model_prefix = "miso"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = False
    _no_split_modules: list[str] = []

    def _init_weights(self, module: nn.Module):
        # transformers never asks for modules that hold other modules alone: those are the model's own business
        super()._init_weights(module)
        if isinstance(module, LatentPooling):
            init.normal_(module.queries, std=1.0)
        elif isinstance(module, MisoModel):
            for fusion in (module.fusion, module.surrogate_fusion):  # z starts as q
                init.zeros_(fusion.narrow.weight)
                init.zeros_(fusion.narrow.bias)
            init.zeros_(module.bank_queries)
            init.zeros_(module.bank_keys)
            init.zeros_(module.bank_is_filled)
        elif isinstance(module, MisoForAnchorGeneration):
            for opponent in (module.minority_critic, module.majority_critic, module.minority_discriminator,
                             module.majority_discriminator):  # fmt: skip
                for layer in opponent.layers:
                    if isinstance(layer, nn.Linear):
                        init.xavier_uniform_(layer.weight)
                        init.zeros_(layer.bias)
            init.zeros_(module.output_bias)
            init.zeros_(module.latent_to_hidden.weight)  # the filler starts as the encoder's own language model
            # without restriction every token can be written
            size = module.output_tokens.numel()
            init.copy_(module.output_tokens, torch.arange(size))
            init.copy_(module.output_positions, torch.arange(module.output_positions.numel()))
            init.zeros_(module.is_word_token)


class MisoModel(MisoPreTrainedModel):
    """
    The shared encoder E, latent pooling and the semantic fusion module: texts to latents.

    `last_hidden_state` is the text's latent q `[batch, heads, latent_size]`; with `fuse=True` it is z, q moved by SFM
    against the reference bank of its class (`class_ids`), which makes a text's z independent of its batch.
    """

    def __init__(self, config: MisoConfig):
        super().__init__(config)
        self.encoder = AutoModel.from_config(config.encoder)
        self.pooling = LatentPooling(config.hidden_size, config.num_latent_heads, config.latent_size)
        self.fusion = SemanticFusion(config.latent_size)
        # Q̃ = FFN(concat(K, Q)), SFM's stand-in while the encoder–decoders and critics are pre-trained (section 5)
        self.surrogate_fusion = SemanticFusion(config.latent_size)
        shape = (config.num_labels, config.bank_size, config.num_latent_heads, config.latent_size)
        self.bank_queries = nn.Buffer(torch.zeros(shape))
        self.bank_keys = nn.Buffer(torch.zeros(shape))
        self.bank_is_filled = nn.Buffer(torch.zeros(config.num_labels, dtype=torch.bool))
        self.post_init()

    def get_input_embeddings(self):
        return self.encoder.get_input_embeddings()

    def set_input_embeddings(self, value):
        self.encoder.set_input_embeddings(value)

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        class_ids: torch.LongTensor | None = None,
        fuse: bool = False,
        **kwargs,
    ) -> MisoModelOutput:
        r"""
        input_ids (`torch.LongTensor` of shape `(batch, length)`): token ids.
        attention_mask (`torch.Tensor` of shape `(batch, length)`, *optional*): 1 for tokens, 0 for padding.
        class_ids (`torch.LongTensor` of shape `(batch,)`, *optional*): the class that the anchors are for, with `fuse`.
        fuse (`bool`, defaults to `False`): return z instead of q as `last_hidden_state`.
        """
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        latents = self.pooling(states, attention_mask)
        fused = self.fuse_with_bank(latents, class_ids) if fuse else latents
        return MisoModelOutput(last_hidden_state=fused, latents=latents)

    def fuse_with_bank(self, latents: Tensor, class_ids: Tensor | None) -> Tensor:
        """
        z of latents `[n, h, d]` against the reference pairs of the classes `[n]`.

        Raises:
            ValueError: if no class is given, or a class has no reference pairs (it was not trained as a target).
        """
        if class_ids is None:
            raise ValueError("Fused latents need class_ids: the class that each anchor is for.")
        result = torch.empty_like(latents)
        for label in class_ids.unique().tolist():
            if not self.bank_is_filled[label]:
                raise ValueError(
                    f"The generator has no reference pairs for class {label}: it was trained for the classes "
                    f"{self.config.target_classes}. Train it with this class among its targets, or pass fuse=False."
                )
            rows = class_ids == label
            attended = self.fusion.attend(
                latents[rows], self.bank_queries[label], self.bank_keys[label], self.config.bank_temperature
            )
            result[rows] = self.fusion.fuse(latents[rows], attended)
        return result

    def set_bank(self, label: int, queries: Tensor, keys: Tensor) -> None:
        """Keep pairs `[m, h, d]` of class `label`, repeated in order up to `bank_size`."""
        size = self.config.bank_size
        index = torch.arange(size, device=queries.device) % queries.shape[0]
        with torch.no_grad():
            self.bank_queries[label] = queries[index].to(self.bank_queries)
            self.bank_keys[label] = keys[index].to(self.bank_keys)
            self.bank_is_filled[label] = True


class MisoForAnchorGeneration(MisoPreTrainedModel, GenerationMixin):
    """
    MISO's generator: writes anchors from latents (`generate`) and refills masked words (`fill`).

    * *generate* is the paper's realiser: a decoder that attends over the latent's slots, autoregressive, told its
      class by an embedding (D₊ and D₋; one module or two, `config.share_decoder`).
    * *fill* is the *edit* realiser: the shared encoder as a masked language model, conditioned on the class and on z.

    Tokens that can be written are those of `output_tokens` (the training texts' vocabulary).
    """

    _tied_weights_keys: dict[str, str] = {}

    def __init__(self, config: MisoConfig):
        super().__init__(config)
        self.miso = MisoModel(config)
        decoders = 1 if config.share_decoder else 2
        self.decoders = nn.ModuleList(AutoModel.from_config(config.decoder) for _ in range(decoders))
        self._share_word_embeddings()
        hidden, labels = config.hidden_size, config.num_labels
        self.latent_to_decoder = nn.Linear(config.latent_size, hidden)
        self.slot_embedding = nn.Embedding(config.num_latent_heads, hidden)
        self.decoder_class_embedding = nn.Embedding(labels, hidden)
        self.decoder_head = TokenHead(hidden)
        # one more than the classes: "none", for text without a class
        self.fill_class_embedding = nn.Embedding(labels + 1, hidden)
        self.latent_to_hidden = nn.Linear(config.num_latent_heads * config.latent_size, hidden, bias=False)
        self.fill_head = TokenHead(hidden)
        size = config.output_vocab_size or config.vocab_size
        self.output_bias = nn.Parameter(torch.zeros(size))
        self.output_tokens = nn.Buffer(torch.arange(size))
        # place of each token among output_tokens; −100 (ignored by the losses) where it cannot be written
        self.output_positions = nn.Buffer(torch.arange(config.vocab_size))
        # output tokens that are whole words by themselves: what an edit may put in a word's place
        self.is_word_token = nn.Buffer(torch.zeros(size, dtype=torch.bool))

        width = config.num_latent_heads * config.latent_size
        if config.critic_mode == "instance":  # "bs·h triples": one pair of latents per head
            width = config.latent_size
        critic = (width, config.critic_hidden_size, config.critic_score_limit)
        self.minority_critic = MutualInformationCritic(*critic)  # T_ω+, of I(Q; Q̄)
        self.majority_critic = MutualInformationCritic(*critic)  # T_ω−, of I(K; Q̄)
        self.minority_discriminator = SurfaceDiscriminator(hidden, config.discriminator_hidden_size)  # D_φ+
        self.majority_discriminator = SurfaceDiscriminator(hidden, config.discriminator_hidden_size)  # D_φ−
        self.post_init()

    def _share_word_embeddings(self) -> None:
        source = self.miso.encoder.get_input_embeddings()
        names = {id(p): n for n, p in self.named_parameters(remove_duplicate=False)}
        tied = {}
        for decoder in self.decoders:
            tied[names[id(decoder.get_input_embeddings().weight)]] = names[id(source.weight)]
            decoder.set_input_embeddings(source)
        self._tied_weights_keys = tied
        self.config.tie_word_embeddings = True

    # ---- what GenerationMixin and PreTrainedModel ask for

    def get_encoder(self, modality: str | None = None):
        return self.miso

    def get_decoder(self):
        return self.decoders[0]

    def get_input_embeddings(self):
        return self.miso.get_input_embeddings()

    def set_input_embeddings(self, value):
        self.miso.set_input_embeddings(value)
        for decoder in self.decoders:
            decoder.set_input_embeddings(value)

    def get_output_embeddings(self):
        return None  # logits are made from the input embeddings, restricted to output_tokens

    def set_output_tokens(self, tokens: Tensor, is_word: Tensor) -> None:
        """
        Restrict what can be written to `tokens` `[output_vocab_size]`; `is_word` marks whole words among them.

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
        self.output_positions[tokens] = torch.arange(tokens.numel(), device=self.output_positions.device)
        self.is_word_token.copy_(is_word)

    # ---- decoding

    def output_logits(self, states: Tensor) -> Tensor:
        """Head states `[…, hidden]` → logits `[…, output tokens]` by the (restricted) word embeddings."""
        weight = self.get_input_embeddings().weight
        if self.output_tokens.numel() != weight.shape[0]:
            weight = weight[self.output_tokens]
        return F.linear(states, weight, self.output_bias)

    def _decoder_of(self, class_ids: Tensor) -> nn.Module:
        if self.config.share_decoder:
            return self.decoders[0]
        is_target = torch.isin(class_ids, torch.tensor(self.config.target_classes, device=class_ids.device))
        if is_target.all():
            return self.decoders[0]
        if not is_target.any():
            return self.decoders[1]
        raise ValueError(
            "With share_decoder=False one call decodes either target classes or the others, not a mixture: "
            f"class_ids has both ({class_ids.unique().tolist()}; targets are {self.config.target_classes})."
        )

    def decode_states(
        self, decoder_input_ids: Tensor, latents: Tensor, class_ids: Tensor, attention_mask: Tensor | None = None, **kw
    ):
        """Decoder states `[n, l, hidden]` (an output of the decoder) from latents `[n, h, d]` and classes `[n]`."""
        slots = self.latent_to_decoder(F.dropout(latents, self.config.latent_dropout, self.training))
        slots = slots + self.slot_embedding.weight
        embeddings = self.get_input_embeddings()(decoder_input_ids)
        embeddings = embeddings + self.decoder_class_embedding(class_ids).unsqueeze(1)
        return self._decoder_of(class_ids)(
            inputs_embeds=embeddings, attention_mask=attention_mask, encoder_hidden_states=slots, **kw
        )

    def decode_logits(self, decoder_input_ids: Tensor, latents: Tensor, class_ids: Tensor, **kw) -> Tensor:
        """Logits over the output tokens `[n, l, output tokens]`."""
        states = self.decode_states(decoder_input_ids, latents, class_ids, use_cache=False, **kw).last_hidden_state
        return self.output_logits(self.decoder_head(states))

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        class_ids: torch.LongTensor | None = None,
        decoder_input_ids: torch.LongTensor | None = None,
        decoder_attention_mask: torch.Tensor | None = None,
        encoder_outputs: ModelOutput | None = None,
        past_key_values=None,
        use_cache: bool | None = None,
        fuse: bool = False,
        **kwargs,
    ) -> Seq2SeqLMOutput:
        r"""
        Reads texts (or `encoder_outputs.last_hidden_state`, latents of shape `(batch, heads, latent_size)`) and
        decodes; with `labels` (token ids, −100 ignored) the loss is the cross-entropy over the output tokens.

        class_ids (`torch.LongTensor` of shape `(batch,)`, *optional*): the class to write as; the first target class
            where it is not given.
        fuse (`bool`, defaults to `False`): decode z instead of q.
        """
        batch = (encoder_outputs[0] if encoder_outputs is not None else input_ids).shape[0]
        if class_ids is None:
            class_ids = torch.full((batch,), self.config.target_classes[0], device=self.device)
        if encoder_outputs is None:
            encoder_outputs = self.miso(input_ids, attention_mask, class_ids=class_ids, fuse=fuse)
        latents = encoder_outputs[0]
        if decoder_input_ids is None:
            if labels is None:
                raise ValueError("MisoForAnchorGeneration needs labels or decoder_input_ids to know what to decode.")
            start = torch.full_like(labels[:, :1], self._start_token())
            decoder_input_ids = torch.cat([start, labels[:, :-1]], 1).masked_fill_(
                torch.cat([torch.zeros_like(start, dtype=torch.bool), labels[:, :-1] == -100], 1),
                self.config.pad_token_id,
            )
        outputs = self.decode_states(
            decoder_input_ids,
            latents,
            class_ids,
            attention_mask=decoder_attention_mask,
            past_key_values=past_key_values,
            use_cache=use_cache,
        )
        restricted = self.output_logits(self.decoder_head(outputs.last_hidden_state))
        loss = None
        if labels is not None:
            targets = torch.where(labels == -100, labels, self.output_positions[labels.clamp(min=0)])
            loss = F.cross_entropy(restricted.flatten(0, 1).float(), targets.flatten(), ignore_index=-100)
        return Seq2SeqLMOutput(
            loss=loss,
            logits=self._over_vocabulary(restricted),
            past_key_values=outputs.past_key_values,
            encoder_last_hidden_state=latents,
        )

    def _start_token(self) -> int:
        start = self.generation_config.decoder_start_token_id
        if start is None:
            raise ValueError("generation_config.decoder_start_token_id is not set: texts need a first token.")
        return start

    def _over_vocabulary(self, restricted: Tensor) -> Tensor:
        if restricted.shape[-1] == self.config.vocab_size:
            return restricted
        full = restricted.new_full((*restricted.shape[:-1], self.config.vocab_size), torch.finfo(restricted.dtype).min)
        return full.index_copy(-1, self.output_tokens, restricted)

    def _prepare_encoder_decoder_kwargs_for_generation(self, inputs_tensor, model_kwargs, *args, **kwargs):
        # anchors are written from z where there is one
        if "encoder_outputs" not in model_kwargs and "fuse" not in model_kwargs and self.config.use_sfm:
            model_kwargs["fuse"] = bool(self.miso.bank_is_filled.any())
        if model_kwargs.get("fuse") and model_kwargs.get("class_ids") is None:
            rows = inputs_tensor.shape[0]
            model_kwargs["class_ids"] = torch.full(
                (rows,), self.config.target_classes[0], device=inputs_tensor.device, dtype=torch.long
            )
        return super()._prepare_encoder_decoder_kwargs_for_generation(inputs_tensor, model_kwargs, *args, **kwargs)

    def prepare_inputs_for_generation(self, input_ids, **kwargs):
        inputs = super().prepare_inputs_for_generation(input_ids, **kwargs)
        inputs["class_ids"] = kwargs.get("class_ids")
        return inputs

    # ---- the edit realiser

    def fill_states(
        self, input_ids: Tensor, attention_mask: Tensor, class_ids: Tensor, latents: Tensor | None = None
    ) -> Tensor:
        """
        States of a text with masked words, read as a class's text.

        Args:
            input_ids: `[n, l]`, mask tokens where words are to be filled in.
            attention_mask: `[n, l]`.
            class_ids: `[n]`; `config.num_labels` stands for "no class".
            latents: `[n, h, d]`, z of the text to write; none (or a row of zeros) fills from class and context alone.

        Returns: `[n, l, hidden]`.
        """
        embeddings = self.get_input_embeddings()(input_ids)
        condition = self.fill_class_embedding(class_ids)
        if latents is not None:
            condition = condition + self.latent_to_hidden(latents.flatten(1))
        embeddings = embeddings + condition.unsqueeze(1)
        return self.miso.encoder(inputs_embeds=embeddings, attention_mask=attention_mask).last_hidden_state

    def fill(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        class_ids: Tensor,
        positions: Tensor,
        latents: Tensor | None = None,
    ) -> Tensor:
        """
        Logits of masked places: `positions` is a boolean mask `[n, l]` with m places → `[m, output tokens]`.

        The other arguments are those of `fill_states`.
        """
        states = self.fill_states(input_ids, attention_mask, class_ids, latents)
        return self.output_logits(self.fill_head(states[positions]))

    def evidence(self, latents: Tensor, class_ids: Tensor) -> Tensor:
        """
        Pointwise mutual information of latents `[n, h, d]` with their class against its majority neighbours, in nats.

        T_ω+(q, z) − T_ω−(k, z), each the mean over the reference bank's pairs: positive where the critics place z with
        the class `class_ids` `[n]`.
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
                if self.config.critic_mode == "class":
                    a, b = a.flatten(2), b.flatten(2)
                scores.append(critic(a.to(b.dtype), b).flatten(1).mean(1))
            result[rows] = scores[0] - scores[1]
        return result


__all__ = [
    "LatentPooling",
    "MisoForAnchorGeneration",
    "MisoModel",
    "MisoModelOutput",
    "MisoPreTrainedModel",
    "SemanticFusion",
    "normalize_latents",
]
