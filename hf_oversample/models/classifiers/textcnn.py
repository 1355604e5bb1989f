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


class TextCnnForSequenceClassification(WordVectorClassifier):
    """Filters over neighbouring words, their largest responses, a linear head (Kim, section 2).

    A filter that reaches past the last word sees zeros there: a text may be shorter than a filter,
    and padding changes nothing. With ``load_word_vectors`` it is Kim's "non-static" variant, with
    ``trainable=False`` the "static" one. Kim's bound on the norm of the head is left out: AdamW's
    weight decay stands for it.

    A response to h words, w · x_{i:i+h-1} + b, is a sum of h products of one word each. They are
    made once for each distinct word of a batch and looked up at every place, and only the largest
    responses have gradients: training takes a third to two thirds of the time of convolutions on a
    processor (benchmarks/textcnn.py), the less the longer the texts.
    """

    config_class = TextCnnConfig

    def __init__(self, config: TextCnnConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(
            config.vocab_size, config.embedding_size, padding_idx=config.pad_token_id
        )
        self.filters = nn.ModuleList(
            nn.Conv1d(config.embedding_size, config.num_filters, width)
            for width in config.filter_widths
        )
        self._add_head(config.num_filters * len(config.filter_widths))
        self.post_init()

    def _text_vectors(self, vectors: Tensor, places: Tensor, mask: Tensor) -> Tensor:
        # Filters see zeros at padding and after the last word: a row of zeros stands for both.
        vectors, nothing = F.pad(vectors, (0, 0, 0, 1)), len(vectors)
        places = places.masked_fill(~mask, nothing)
        filters = cast("Iterable[nn.Conv1d]", self.filters)
        largest = [_largest_responses(vectors, places, mask, one, nothing) for one in filters]
        # Section 2, equation 2: c_i = f(w · x_{i:i+h-1} + b); f = ReLU commutes with the maximum.
        return F.relu(torch.cat(largest, dim=1)) * mask.any(dim=1, keepdim=True)


def _largest_responses(
    vectors: Tensor, places: Tensor, mask: Tensor, convolution: nn.Conv1d, nothing: int
) -> Tensor:
    """max_i w · x_{i:i+h-1} + b over the words i of each text, `[n, filters]`."""
    count, width = convolution.out_channels, convolution.kernel_size[0]
    # [filters, embedding_size, h] → [distinct words, h · filters]: offset by offset
    products = F.linear(vectors, convolution.weight.permute(2, 0, 1).flatten(0, 1))
    reach = F.pad(places, (0, width - 1), value=nothing)
    with torch.no_grad():
        # Looking rows up is faster in tables that lie in one piece.
        tables = [table.contiguous() for table in products.split(count, dim=1)]
        responses = F.embedding(places, tables[0])
        for offset, table in enumerate(tables[1:], start=1):
            responses += F.embedding(reach[:, offset : offset + places.shape[1]], table)
        responses.masked_fill_(~mask.unsqueeze(2), float("-inf"))
        first_words = responses.argmax(dim=1)
    columns = torch.arange(count, device=places.device)
    largest = cast("Tensor", convolution.bias)
    for offset in range(width):
        words = reach.gather(1, first_words + offset)
        largest = largest + products[words, columns + offset * count]
    return largest
