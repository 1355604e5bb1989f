"""TextCNN (Kim 2014, "Convolutional Neural Networks for Sentence Classification")."""

# No postponed annotations here: `strict` checks a field only where its type is no string.

from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers.configuration_utils import PreTrainedConfig

from .base import WordVectorClassifier


@strict
class TextCnnConfig(PreTrainedConfig):
    r"""
    Configuration of [`TextCnnForSequenceClassification`].

    Args:
        vocab_size (`int`, defaults to 8000): number of tokens.
        embedding_size (`int`, defaults to 128): width of a word vector (Kim: 300).
        filter_widths (`list[int]`, defaults to `[3, 4, 5]`): words per filter (Kim, section 3.1).
        num_filters (`int`, defaults to 100): filters of each width (Kim, section 3.1).
        dropout (`float`, defaults to 0.5): on the pooled vector (Kim, section 3.1).
        initializer_range (`float`, defaults to 0.15):
            Standard deviation of new word vectors; Kim's uniform [-0.25, 0.25] has 0.14.

    Raises:
        `ValueError`: if a size is not positive, or dropout is not in [0, 1).
    """

    model_type = "textcnn"

    vocab_size: int = 8000
    embedding_size: int = 128
    filter_widths: list[int] | tuple[int, ...] = (3, 4, 5)
    num_filters: int = 100
    dropout: float | int = 0.5
    initializer_range: float = 0.15
    pad_token_id: int | None = 0

    def validate_sizes(self) -> None:
        sizes = [self.vocab_size, self.embedding_size, self.num_filters, *self.filter_widths]
        if not self.filter_widths or min(sizes) < 1 or not 0 <= self.dropout < 1:
            raise ValueError(
                f"vocab_size={self.vocab_size}, embedding_size={self.embedding_size}, "
                f"filter_widths={self.filter_widths} and num_filters={self.num_filters} must be "
                f"positive, dropout={self.dropout} in [0, 1)"
            )


class WindowResponses(nn.Module):
    """What every filter answers to the words from each place on (Kim, section 2, equation 2 before
    f): w · x_{i:i+h-1} + b.

    w · x_{i:i+h-1} is a sum over the h places of products of one word each. They are made once for
    each distinct word of a batch and looked up at every place, in half to two thirds of a
    convolution's time on a processor (benchmarks/textcnn.py): texts repeat their words.
    """

    def __init__(self, config: TextCnnConfig) -> None:
        super().__init__()
        self.filters = nn.ModuleList(
            nn.Conv1d(config.embedding_size, config.num_filters, width)
            for width in config.filter_widths
        )

    def forward(self, input_ids: Tensor, mask: Tensor, embedding: nn.Embedding) -> Tensor:
        """Token ids and mask (bool) `[n, length]` → `[n, length, filters of all widths]`."""
        words, places = input_ids.unique(return_inverse=True)
        # A filter sees zeros at padding, and after the last word.
        nothing = len(words)
        places = places.masked_fill(~mask, nothing)
        responses, filters = [], cast("Iterable[nn.Conv1d]", self.filters)
        for convolution in filters:
            # [filters, embedding_size, width] → [width · filters, embedding_size]
            weight = convolution.weight.permute(2, 0, 1).flatten(0, 1)
            products = F.pad(F.linear(embedding(words), weight), (0, 0, 0, 1))
            of_offsets = products.split(convolution.out_channels, dim=1)
            reach = F.pad(places, (0, len(of_offsets) - 1), value=nothing)
            total = cast("Tensor", convolution.bias)
            for offset, product in enumerate(of_offsets):
                total = total + F.embedding(reach[:, offset : offset + mask.shape[1]], product)
            responses.append(total)
        return torch.cat(responses, dim=2)


class TextCnnForSequenceClassification(WordVectorClassifier):
    """Filters over neighbouring words, their largest responses, a linear head (Kim, section 2).

    A filter that reaches past the last word sees zeros there: a text may be shorter than a filter,
    and padding changes nothing. With ``load_word_vectors`` it is Kim's "non-static" variant, with
    ``trainable=False`` the "static" one. Kim's bound on the norm of the head is left out: AdamW's
    weight decay stands for it.
    """

    config_class = TextCnnConfig

    def __init__(self, config: TextCnnConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(
            config.vocab_size, config.embedding_size, padding_idx=config.pad_token_id
        )
        self.windows = WindowResponses(config)
        self._add_head(config.num_filters * len(config.filter_widths))
        self.post_init()

    @property
    def mixing_layer(self) -> nn.Module:
        """The responses, which are linear in the word vectors: to mix them is to mix those."""
        return self.windows

    def _text_vectors(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        # Section 2, equation 2: c_i = f(w · x_{i:i+h-1} + b), for every i that is a word.
        responses = F.relu(self.windows(input_ids, mask, self.embedding))
        # ReLU gives no less than 0, so 0 at the padding never wins over a word.
        return (responses * mask.unsqueeze(2)).amax(dim=1)
