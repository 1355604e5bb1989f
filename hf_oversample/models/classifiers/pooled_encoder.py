"""An encoder, one vector a text, and a linear head on it and on n-grams: what is re-embedded."""

# No postponed annotations here: `strict` checks a field only where its type is no string.

from typing import Any, Literal

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, PreTrainedModel
from transformers import initialization as init
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils.generic import can_return_tuple

from hf_oversample.models.classifiers.ngrams import NgramScores
from hf_oversample.models.miso.encoder_miso import new_encoder


@strict
class PooledEncoderConfig(PreTrainedConfig):
    r"""
    Configuration of [`PooledEncoderForSequenceClassification`].

    Args:
        encoder (`PreTrainedConfig` or `dict`, *optional*):
            The encoder, any architecture of `AutoModel`; of a model with encoder and decoder, its
            encoder is read. Default: a BERT of transformers' default sizes.
        pooling (`"mean"` or `"cls"`, defaults to `"mean"`):
            A text's vector: the mean of its tokens' states, or the first token's state.
        ngram_buckets (`int`, defaults to 0):
            Buckets of n-grams of tokens that the head reads beside the vector, a power of two; 0:
            it reads the vector alone.
        ngram_length (`int`, defaults to 3):
            The longest n-gram, in tokens.

    Raises:
        `ValueError`: if there is no such pooling, or numbers of n-grams that cannot be.
    """

    model_type = "pooled_encoder"
    sub_configs = {"encoder": AutoConfig}

    encoder: dict | PreTrainedConfig | None = None
    pooling: Literal["mean", "cls"] = "mean"
    pad_token_id: int | None = None
    ngram_buckets: int = 0
    ngram_length: int = 3

    def __post_init__(self, **kwargs: Any) -> None:
        buckets = self.ngram_buckets
        if buckets < 0 or buckets == 1 or buckets & (buckets - 1):
            raise ValueError(
                f"{type(self).__name__}.ngram_buckets is {buckets}; it must be 0 or a power of two "
                "from 2 on."
            )
        if self.ngram_length < 1:
            raise ValueError(
                f"{type(self).__name__}.ngram_length is {self.ngram_length}; at least 1."
            )
        for name in kwargs:
            own = getattr(type(self), name, None)
            if isinstance(own, property) and own.fset is None:
                raise ValueError(
                    f"{type(self).__name__} computes {name} from its other fields, and it cannot "
                    "be given: leave it out of config.json."
                )
        found = self.encoder
        if not isinstance(found, PreTrainedConfig):
            settings = dict(found or {"model_type": "bert"})
            self.encoder = AutoConfig.for_model(settings.pop("model_type"), **settings)
        super().__post_init__(**kwargs)
        if self.pad_token_id is None:
            self.pad_token_id = getattr(self.encoder, "pad_token_id", None)

    @property
    def hidden_size(self) -> int:
        """Width of a text's vector."""
        text: PreTrainedConfig = self.get_encoder_config().get_text_config()
        return int(text.hidden_size)

    def get_encoder_config(self) -> PreTrainedConfig:
        """The encoder's."""
        assert isinstance(self.encoder, PreTrainedConfig)
        return self.encoder


class PooledEncoderForSequenceClassification(PreTrainedModel):
    """
    Class scores from the direction of a text's vector: `classifier(√d · v / |v|)`, where v is the
    mean of the encoder's last states over the text's tokens, as sentence encoders have it.

    No dropout stands before the head: logistic regression on the vectors, solved beside it, is the
    head that gives the same scores. The factor √d makes the mean square of what the head reads 1,
    so that learning rates of encoders suit it too. With `config.ngram_buckets` the scores of the
    text's n-grams are added (:class:`NgramScores`): which words a text has, an encoder that was not
    trained for the classes only half tells.
    """

    config_class = PooledEncoderConfig
    base_model_prefix = "encoder"
    main_input_name = "input_ids"
    _no_split_modules: list[str] = []

    def __init__(self, config: PooledEncoderConfig) -> None:
        super().__init__(config)
        self.encoder = new_encoder(config.get_encoder_config())
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.ngrams = (
            NgramScores(config.ngram_buckets, config.ngram_length, config.num_labels)
            if config.ngram_buckets
            else None
        )
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self.classifier:
            init.normal_(module.weight, std=0.02)
            init.zeros_(module.bias)
        if isinstance(module, NgramScores):
            init.zeros_(module.weight)
            init.ones_(module.idf)

    def get_input_embeddings(self) -> nn.Module:
        """The encoder's word embeddings."""
        return self.encoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replaces the encoder's word embeddings."""
        self.encoder.set_input_embeddings(value)

    def embed(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """
        Vectors of texts, of length 1.

        Args:
            input_ids: `[n, length]`.
            attention_mask: `[n, length]`, 0 for padding; by default there is none.

        Returns: `[n, hidden_size]` float32.
        """
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        if self.config.pooling == "cls":
            return F.normalize(states[:, 0].float(), dim=-1)
        weight = attention_mask.unsqueeze(-1).to(states.dtype)
        # of the direction alone, the sum says what the mean does
        return F.normalize((states * weight).sum(1).float(), dim=-1)

    def scores(self, vectors: Tensor) -> Tensor:
        """Vectors of length 1 `[n, hidden_size]` → class scores `[n, num_labels]`, without those of
        n-grams."""
        scaled = vectors * self.config.hidden_size**0.5
        return self.classifier(scaled.to(self.classifier.weight.dtype))

    def set_head(self, weight: Tensor, bias: Tensor) -> None:
        """
        Take over a linear head on vectors of length 1.

        Args:
            weight: `[num_labels, hidden_size]`.
            bias: `[num_labels]`.
        """
        with torch.no_grad():
            self.classifier.weight.copy_(weight / self.config.hidden_size**0.5)
            self.classifier.bias.copy_(bias)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
    ) -> SequenceClassifierOutput:
        """
        Class scores of texts.

        Args:
            input_ids: `[n, length]`.
            attention_mask: `[n, length]`, 0 for padding.
            token_type_ids: accepted because some tokenizers give them; not used.
            labels: `[n]`, class ids, for the cross-entropy loss.
            output_hidden_states: whether ``hidden_states`` is ``(vectors,)``, of length 1.

        Returns:
            ``loss`` (with labels), ``logits`` `[n, num_labels]`, ``hidden_states``.
        """
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        vectors = self.embed(input_ids, attention_mask)
        logits = self.scores(vectors)
        if self.ngrams is not None:
            logits = logits + self.ngrams(input_ids, attention_mask)
        loss = None if labels is None else F.cross_entropy(logits.float(), labels)
        return SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=(vectors,) if output_hidden_states else None
        )


__all__ = ["PooledEncoderConfig", "PooledEncoderForSequenceClassification"]
