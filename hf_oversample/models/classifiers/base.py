"""What the small text classifiers share: word vectors, padding, the head and the loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils.generic import can_return_tuple


class WordVectorClassifier(PreTrainedModel):
    """Word vectors, a pooled vector of the text, dropout and a linear head.

    A subclass sets ``self.embedding``, and ``self.dropout`` and ``self.classifier`` by `_add_head`,
    and says in `_text_vectors` how words become one vector, which padding must not change.
    """

    base_model_prefix = ""
    main_input_name = "input_ids"

    embedding: nn.Embedding
    dropout: nn.Dropout
    classifier: nn.Linear

    def _add_head(self, width: int) -> None:
        self.dropout = nn.Dropout(self.config.dropout)
        self.classifier = nn.Linear(width, self.config.num_labels)

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # the word vectors, by config.initializer_range
        if isinstance(module, nn.Linear | nn.Conv1d):
            init.xavier_uniform_(module.weight)
        elif isinstance(module, nn.GRU | nn.LSTM):
            for name, parameter in module.named_parameters():
                if "weight_ih" in name:
                    init.xavier_uniform_(parameter)
                elif "weight_hh" in name:
                    init.orthogonal_(parameter)
                else:
                    init.zeros_(parameter)

    def get_input_embeddings(self) -> nn.Embedding:
        """The word vectors."""
        return self.embedding

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replaces the word vectors."""
        self.embedding = value

    def load_word_vectors(self, matrix: Tensor, trainable: bool = True) -> None:
        """Starts the word vectors from given ones.

        Args:
            matrix: [vocab_size, embedding_size]. The row of the padding token is not read.
            trainable: whether training goes on changing them.

        Raises:
            ValueError: the shape differs, or a value is not finite.
        """
        wanted = self.embedding.weight
        if matrix.shape != wanted.shape:
            raise ValueError(
                f"the matrix has shape {tuple(matrix.shape)}, the word vectors of this model "
                f"{tuple(wanted.shape)}: set vocab_size and embedding_size of its config to match"
            )
        if not torch.isfinite(matrix).all():
            raise ValueError("the matrix holds NaN or infinite values")
        with torch.no_grad():
            wanted.copy_(matrix)
            if self.embedding.padding_idx is not None:
                wanted[self.embedding.padding_idx] = 0
        wanted.requires_grad_(trainable)

    def _text_vectors(self, vectors: Tensor, places: Tensor, mask: Tensor) -> Tensor:
        """Vectors of distinct words [words, embedding_size], which of them stands at each place of
        the texts [n, length], and the places that are words [n, length] (bool) → [n, width]."""
        raise NotImplementedError

    def features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """The vector of each text, before dropout and head.

        Args:
            input_ids: [n, length].
            attention_mask: [n, length], 0 for padding. Default: all but ``pad_token_id``.

        Returns:
            [n, width].
        """
        if attention_mask is None:
            padding = self.config.pad_token_id
            attention_mask = torch.ones_like(input_ids)
            if padding is not None:
                attention_mask = attention_mask.masked_fill(input_ids == padding, 0)
        words, places = input_ids.unique(return_inverse=True)
        return self._text_vectors(self.embedding(words), places, attention_mask.bool())

    def mixed_logits(
        self, input_ids: Tensor, attention_mask: Tensor, partners: Tensor, share: float
    ) -> Tensor:
        """Class scores of texts whose word vectors are mixed with those of another row, place by
        place (`TMix`).

        Args:
            input_ids: [n, length].
            attention_mask: [n, length], 0 for padding; a place is read if it is a word in either.
            partners: [n], the row that each is mixed with.
            share: of the row's own vectors, from 0 to 1.

        Returns:
            [n, num_labels].
        """
        size = self.config.vocab_size
        pairs, places = (input_ids * size + input_ids[partners]).unique(return_inverse=True)
        vectors = share * self.embedding(pairs // size) + (1 - share) * self.embedding(pairs % size)
        mask = attention_mask.bool()
        return self.classifier(
            self.dropout(self._text_vectors(vectors, places, mask | mask[partners]))
        )

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
    ) -> SequenceClassifierOutput:
        """Class scores of texts.

        Args:
            input_ids: [n, length].
            attention_mask: [n, length], 0 for padding, which changes nothing.
            token_type_ids: accepted because some tokenizers give them; not used.
            labels: [n], class ids, for the cross-entropy loss.
            output_hidden_states: whether ``hidden_states`` is ``(features,)``.

        Returns:
            ``loss`` (with labels), ``logits`` [n, num_labels], ``hidden_states``.
        """
        pooled = self.features(input_ids, attention_mask)
        logits = self.classifier(self.dropout(pooled))
        loss = None if labels is None else F.cross_entropy(logits.float(), labels)
        return SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=(pooled,) if output_hidden_states else None
        )
