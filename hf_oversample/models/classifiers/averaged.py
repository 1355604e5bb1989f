"""The mean of several classifiers' class scores: what `hf-oversample reembed` writes."""

# No postponed annotations here: `strict` checks a field only where its type is no string.

from typing import Any, Literal

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, PreTrainedModel
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils.generic import can_return_tuple

from hf_oversample.models.classifiers.pooled_encoder import (
    PooledEncoderConfig,
    PooledEncoderForSequenceClassification,
)


@strict
class AveragedConfig(PreTrainedConfig):
    r"""
    Configuration of [`AveragedForSequenceClassification`].

    Args:
        encoder (`PreTrainedConfig` or `dict`, *optional*), pooling (`"mean"` or `"cls"`):
            Of each member, see [`PooledEncoderConfig`].
        members (`list[str]`, *optional*):
            Names of the members, in order; one by default.
        ngram_buckets (`list[int]`, *optional*), ngram_length (`int`, defaults to 3):
            Of each member, see [`PooledEncoderConfig`]; by default none reads n-grams.
        centers, spreads (`list[list[float]]`, *optional*):
            `[members, classes]`: mean and standard deviation of each member's class scores on rows
            that were held out. Default: 0 and 1.
        scale (`float`, defaults to 1.0), bias (`list[float]`, *optional*):
            What makes the mean of standardised scores log-odds: a factor, and `[classes]` to add.

    Raises:
        `ValueError`: numbers that do not fit members and classes, or a spread that is not positive.
    """

    model_type = "averaged_classifiers"
    sub_configs = {"encoder": AutoConfig}

    encoder: dict | PreTrainedConfig | None = None
    pooling: Literal["mean", "cls"] = "mean"
    pad_token_id: int | None = None
    members: list[str] | None = None
    ngram_buckets: list[int] | None = None
    ngram_length: int = 3
    centers: list[list[float]] | None = None
    spreads: list[list[float]] | None = None
    scale: float | int = 1.0
    bias: list[float] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        member = PooledEncoderConfig(encoder=self.encoder, pooling=self.pooling)
        self.encoder = member.get_encoder_config()
        super().__post_init__(**kwargs)
        if self.pad_token_id is None:
            self.pad_token_id = member.pad_token_id
        self.members = self.members or ["encoder"]
        number, classes = len(self.members), self.num_labels
        self.ngram_buckets = self.ngram_buckets or [0] * number
        if len(self.ngram_buckets) != number:
            raise ValueError(
                f"AveragedConfig.ngram_buckets has {len(self.ngram_buckets)} numbers for {number} "
                "members."
            )
        self.centers = self.centers or [[0.0] * classes for _ in range(number)]
        self.spreads = self.spreads or [[1.0] * classes for _ in range(number)]
        self.bias = self.bias or [0.0] * classes
        for name in ("centers", "spreads"):
            rows = getattr(self, name)
            if len(rows) != number or any(len(row) != classes for row in rows):
                raise ValueError(
                    f"AveragedConfig.{name} must have a row of {classes} numbers, one a "
                    f"class, for each of the {number} members."
                )
        if len(self.bias) != classes or min(map(min, self.spreads)) <= 0:
            raise ValueError(
                f"AveragedConfig: bias has {len(self.bias)} numbers for {classes} classes, "
                "or a spread is not positive."
            )

    def member_config(self, number: int) -> PooledEncoderConfig:
        """The configuration of a member."""
        assert self.ngram_buckets is not None
        return PooledEncoderConfig(
            ngram_buckets=self.ngram_buckets[number],
            ngram_length=self.ngram_length,
            encoder=self.encoder,
            pooling=self.pooling,
            pad_token_id=self.pad_token_id,
            id2label=self.id2label,
            label2id=self.label2id,
        )


class AveragedForSequenceClassification(PreTrainedModel):
    """
    The mean of its members' standardised class scores.

    A member's scores of a text are centred over the classes, then brought to mean 0 and standard
    deviation 1 by what they were on held-out rows: a fine-tuned encoder is surer of itself than a
    frozen one, and a mean of raw scores would be its own. A text costs what it costs all members.
    """

    config_class = AveragedConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    _no_split_modules: list[str] = []

    def __init__(self, config: AveragedConfig) -> None:
        super().__init__(config)
        self.members = nn.ModuleList(
            PooledEncoderForSequenceClassification(config.member_config(number))
            for number in range(len(config.members or []))
        )
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The first member's word embeddings."""
        first = self.members[0]
        assert isinstance(first, PooledEncoderForSequenceClassification)
        return first.get_input_embeddings()

    def standardised(self, number: int, scores: Tensor) -> Tensor:
        """A member's class scores `[n, classes]` → `[n, classes]`, on the scale of all members."""
        assert self.config.centers is not None
        assert self.config.spreads is not None
        center = scores.new_tensor(self.config.centers[number])
        spread = scores.new_tensor(self.config.spreads[number])
        return (scores - scores.mean(-1, keepdim=True) - center) / spread

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """
        Class scores of texts.

        Args:
            input_ids: `[n, length]`.
            attention_mask: `[n, length]`, 0 for padding.
            token_type_ids: accepted because some tokenizers give them; not used.
            labels: `[n]`, class ids, for the cross-entropy loss.

        Returns:
            ``loss`` (with labels), ``logits`` `[n, num_labels]`.
        """
        parts = [
            self.standardised(number, member(input_ids, attention_mask).logits.float())
            for number, member in enumerate(self.members)
        ]
        mean = torch.stack(parts).mean(0)
        logits = self.config.scale * mean + mean.new_tensor(self.config.bias)
        loss = None if labels is None else F.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)


__all__ = ["AveragedConfig", "AveragedForSequenceClassification"]
