"""Texts to latents: MISO's shared encoder, latent pooling and fusion (section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_TEXT_ENCODING_MAPPING,
    AutoModel,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers import initialization as init
from transformers.modeling_outputs import ModelOutput

from .configuration_miso import MisoConfig
from .layers_miso import LatentPooling, SemanticFusion


@dataclass
class MisoModelOutput(ModelOutput):
    """
    Latents of texts.

    Args:
        last_hidden_state: what the decoders read: the latents, or the fused latents where `fuse`
            was asked, `[batch, heads, latent_size]`.
        latents: q, the texts' own latents, same shape.
    """

    last_hidden_state: Tensor | None = None
    latents: Tensor | None = None


def encoder_class(config: PreTrainedConfig) -> Any:
    """
    What makes or loads the encoder of a configuration: the class of the encoder alone where
    transformers has one (T5 and its kin), else `AutoModel`.

    A T5 checkpoint may hold the encoder alone, and then says `is_encoder_decoder: false`, of which
    `AutoModel` makes a T5 with a random decoder that cannot be called without it.
    """
    own = MODEL_FOR_TEXT_ENCODING_MAPPING.get(type(config), None)
    return own if own is not None and own.__name__.endswith("EncoderModel") else AutoModel


def encoder_part(model: PreTrainedModel) -> PreTrainedModel:
    """What reads texts: the encoder of a model with encoder and decoder, or the model itself."""
    if isinstance(getattr(model, "encoder", None), nn.Module) and isinstance(
        getattr(model, "decoder", None), nn.Module
    ):
        return model.get_encoder()
    return model


def new_encoder(config: PreTrainedConfig) -> PreTrainedModel:
    """The encoder of a configuration, with weights that are still to be set."""
    kind = encoder_class(config)
    return encoder_part(AutoModel.from_config(config) if kind is AutoModel else kind(config))


def check_embedding_width(body: PreTrainedModel, part: str, hidden_size: int) -> None:
    """
    Check that a body's word embeddings are as wide as its states: they are shared, moved by
    embeddings of classes and latents, and written words are scored by them.

    Args:
        body: the encoder, or a decoder.
        part: what the message calls it.
        hidden_size: width of its states.

    Raises:
        ValueError: for another width, as ALBERT's and small ELECTRA's.
    """
    width = body.get_input_embeddings().weight.shape[1]
    if width != hidden_size:
        raise ValueError(
            f"MisoConfig: the {part} ({body.config.model_type}) has word embeddings of width "
            f"{width} and states of width {hidden_size}. MISO adds embeddings of classes and "
            "latents to its words and scores words by their embeddings, so both must have one "
            "width, as in BERT, MiniLM, RoBERTa, DistilBERT and base ELECTRA; in ALBERT, "
            "MobileBERT and small ELECTRA they differ."
        )


class MisoPreTrainedModel(PreTrainedModel):
    """What both models share: the configuration, and how weights start."""

    config_class = MisoConfig
    base_model_prefix = "miso"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = False
    _no_split_modules: list[str] = []

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, LatentPooling):
            init.normal_(module.queries, std=1.0)
        elif isinstance(module, MisoModel) and module.config.parts == "miso":
            for fusion in (module.fusion, module.surrogate_fusion):  # z starts as q
                init.zeros_(fusion.narrow.weight)
                init.zeros_(fusion.narrow.bias)
            init.zeros_(module.bank_queries)
            init.zeros_(module.bank_keys)
            init.zeros_(module.bank_is_filled)


class MisoModel(MisoPreTrainedModel):
    """
    The shared encoder E, latent pooling and the semantic fusion module: texts to latents.

    `last_hidden_state` is the text's latent q `[batch, heads, latent_size]`; with `fuse=True` it is
    z, q moved by SFM against the reference bank of its class (`class_ids`), which makes a text's z
    independent of its batch. That of an editor (`config.parts`) is the encoder alone.

    Raises:
        ValueError: for an encoder whose word embeddings are not as wide as its states.
    """

    def __init__(self, config: MisoConfig):
        super().__init__(config)
        self.encoder = new_encoder(config.encoder)
        check_embedding_width(self.encoder, "encoder", config.hidden_size)
        if config.parts == "miso":
            self._add_latents(config)
        self.post_init()

    def _add_latents(self, config: MisoConfig) -> None:
        self.pooling = LatentPooling(
            config.hidden_size, config.num_latent_heads, config.latent_size
        )
        self.fusion = SemanticFusion(config.latent_size)
        # Q̃ = FFN(concat(K, Q)), SFM's stand-in while the encoder–decoders and critics are
        # pre-trained (section 5)
        self.surrogate_fusion = SemanticFusion(config.latent_size, inputs=2)
        shape = (config.num_labels, config.bank_size, config.num_latent_heads, config.latent_size)
        self.bank_queries = nn.Buffer(torch.zeros(shape))
        self.bank_keys = nn.Buffer(torch.zeros(shape))
        self.bank_is_filled = nn.Buffer(torch.zeros(config.num_labels, dtype=torch.bool))

    def get_input_embeddings(self) -> nn.Embedding:
        """The encoder's word embeddings."""
        return self.encoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the encoder's word embeddings."""
        self.encoder.set_input_embeddings(value)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        class_ids: Tensor | None = None,
        fuse: bool = False,
        partners: Tensor | None = None,
        **kwargs: Any,
    ) -> MisoModelOutput:
        """
        Latents of texts.

        Args:
            input_ids: `[batch, length]`, token ids.
            attention_mask: `[batch, length]`, 1 for tokens and 0 for padding; all ones by default.
            class_ids: `[batch]`, the class that each anchor is for; needed with `fuse`.
            fuse: return z instead of q as `last_hidden_state`.
            partners: k, latents of the majority text that each text is paired with, `[batch, heads,
                latent_size]`; by default those of the class's bank that it attends to stand for it.

        Raises:
            ValueError: as `fuse_with_bank`; for an editor, which has no latents.
        """
        if self.config.parts == "editor":
            raise ValueError(
                f"{self.name_or_path or 'The model'} is an editor (parts='editor'): it makes no "
                "latents. Train a generator with parts='miso', or read its `encoder`."
            )
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        latents = self.pooling(states, attention_mask)
        fused = self.fuse_with_bank(latents, class_ids, partners) if fuse else latents
        return MisoModelOutput(last_hidden_state=fused, latents=latents)

    def fuse_with_bank(
        self, latents: Tensor, class_ids: Tensor | None, partners: Tensor | None = None
    ) -> Tensor:
        """
        z of latents `[n, h, d]` against the reference pairs of the classes `[n]`, and against
        `partners` `[n, h, d]`, the majority texts that they are paired with, if they are.

        Raises:
            ValueError: if no class is given, or a class has no reference pairs (it was not trained
                as a target).
        """
        if class_ids is None:
            raise ValueError("Fused latents need class_ids: the class that each anchor is for.")
        result = torch.empty_like(latents)
        for label in class_ids.unique().tolist():
            if not self.bank_is_filled[label]:
                names = self.config.id2label
                targets = [names[target] for target in self.config.target_classes]
                raise ValueError(
                    f"The generator has no reference pairs for class {names[label]!r}: it was "
                    f"trained for the classes {targets}. Train it with this class among its "
                    "targets, or pass fuse=False."
                )
            rows = class_ids == label
            own, temperature = latents[rows], self.config.bank_temperature
            queries, keys = self.bank_queries[label], self.bank_keys[label]
            attended = self.fusion.attend(own, queries, keys, temperature)
            if partners is None:
                other = self.fusion.neighbors(own, keys, temperature)
            else:
                other = partners[rows]
            result[rows] = self.fusion.fuse(own, attended, other)
        return result

    def set_bank(self, label: int, queries: Tensor, keys: Tensor) -> None:
        """Keep pairs `[m, h, d]` of class `label`, repeated in order up to `bank_size`."""
        size = self.config.bank_size
        index = torch.arange(size, device=queries.device) % queries.shape[0]
        with torch.no_grad():
            self.bank_queries[label] = queries[index].to(self.bank_queries)
            self.bank_keys[label] = keys[index].to(self.bank_keys)
            self.bank_is_filled[label] = True


__all__ = ["MisoModel", "MisoModelOutput", "MisoPreTrainedModel"]
