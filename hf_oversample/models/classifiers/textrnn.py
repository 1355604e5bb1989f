"""TextRNN: a bidirectional recurrent network with pooling over the words."""

from typing import Literal

# No postponed annotations here: `strict` checks a field only where its type is no string.
import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers.configuration_utils import PreTrainedConfig

from .base import WordVectorClassifier


@strict
class TextRnnConfig(PreTrainedConfig):
    r"""
    Configuration of [`TextRnnForSequenceClassification`]. The MISO paper names TextRNN without its
    settings: these are common ones.

    Args:
        vocab_size (`int`, defaults to 8000): number of tokens.
        embedding_size (`int`, defaults to 128): width of a word vector.
        hidden_size (`int`, defaults to 128): width of the state in each direction.
        num_layers (`int`, defaults to 1): layers of the network.
        cell (`"gru"` or `"lstm"`, defaults to `"gru"`): the recurrent unit.
        pooling (`"max"` or `"attention"`, defaults to `"max"`):
            How the states become one vector: the largest of each value, or a mean weighted by a
            learnt score (Yang et al. 2016, equations 5 to 7).
        dropout (`float`, defaults to 0.5): on the pooled vector, and between layers.
        initializer_range (`float`, defaults to 0.15): standard deviation of new word vectors.

    Raises:
        `ValueError`: if a size is not positive, or dropout is not in [0, 1).
    """

    model_type = "textrnn"

    vocab_size: int = 8000
    embedding_size: int = 128
    hidden_size: int = 128
    num_layers: int = 1
    cell: Literal["gru", "lstm"] = "gru"
    pooling: Literal["max", "attention"] = "max"
    dropout: float | int = 0.5
    initializer_range: float = 0.15
    pad_token_id: int | None = 0

    def validate_sizes(self) -> None:
        sizes = [self.vocab_size, self.embedding_size, self.hidden_size, self.num_layers]
        if min(sizes) < 1 or not 0 <= self.dropout < 1:
            raise ValueError(
                f"vocab_size={self.vocab_size}, embedding_size={self.embedding_size}, "
                f"hidden_size={self.hidden_size} and num_layers={self.num_layers} must be "
                f"positive, dropout={self.dropout} in [0, 1)"
            )


class TextRnnForSequenceClassification(WordVectorClassifier):
    """States of a bidirectional GRU or LSTM, pooled over the words, and a linear head.

    Padding may be on either side: words are packed before the network sees them.
    """

    config_class = TextRnnConfig

    def __init__(self, config: TextRnnConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(
            config.vocab_size, config.embedding_size, padding_idx=config.pad_token_id
        )
        self.network = {"gru": nn.GRU, "lstm": nn.LSTM}[config.cell](
            config.embedding_size,
            config.hidden_size,
            num_layers=config.num_layers,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
            bidirectional=True,
            batch_first=True,
        )
        width = 2 * config.hidden_size
        if config.pooling == "attention":
            self.attention = nn.Linear(width, width)
            self.context = nn.Linear(width, 1, bias=False)
        self._add_head(width)
        self.post_init()

    def _text_vectors(self, vectors: Tensor, places: Tensor, mask: Tensor) -> Tensor:
        vectors = F.embedding(places, vectors) * mask.unsqueeze(-1)
        # Words first, padding last, each in their order: packing knows lengths only.
        order = torch.argsort(mask.logical_not().to(torch.int8), dim=1, stable=True)
        vectors = vectors.gather(1, order.unsqueeze(-1).expand_as(vectors))
        # A text without words is read as one zero vector, since packing needs a word.
        lengths = mask.sum(dim=1).clamp(min=1)
        packed = pack_padded_sequence(
            vectors, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = pad_packed_sequence(self.network(packed)[0], batch_first=True)
        is_word = torch.arange(states.shape[1], device=states.device) < lengths.unsqueeze(1)
        if self.config.pooling == "max":
            lowest = torch.finfo(states.dtype).min
            return states.masked_fill(~is_word.unsqueeze(-1), lowest).amax(dim=1)
        scores = self.context(torch.tanh(self.attention(states))).squeeze(-1)
        weights = scores.masked_fill(~is_word, float("-inf")).softmax(dim=1)
        return torch.einsum("nl,nlw->nw", weights, states)
