"""The words of the small classifiers: their vocabulary, token ids and pretrained vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_oversample.text.checks import checked_texts
from hf_oversample.text.tokenization import CONTINUATION, train_tokenizer, word_tokens
from hf_oversample.text.words import Segmenter, remove_stop_words


def word_vocabulary(
    texts: Sequence[str],
    segmenter: Segmenter,
    min_frequency: int = 1,
    max_size: int = 30_000,
) -> PreTrainedTokenizerBase:
    """A tokenizer of whole words in lower case, for the small classifiers.

    Args:
        texts: training texts only.
        segmenter: decides the language.
        min_frequency: rarer words are ``[UNK]`` (Chinese: their characters).
        max_size: the most tokens, special ones included.
    """
    return train_tokenizer(
        texts,
        kind="word",
        language=segmenter.language,
        user_dictionary=segmenter.user_dictionary,
        vocab_size=max_size,
        min_frequency=min_frequency,
    )


def encode_words(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    segmenter: Segmenter,
    *,
    max_length: int = 256,
    drop_stop_words: bool = False,
) -> list[list[int]]:
    """Token ids of each text, without special tokens.

    Args:
        tokenizer: any; `word_vocabulary` gives one.
        texts: the texts.
        segmenter: finds their words.
        max_length: tokens after which a text is cut.
        drop_stop_words: leave stop words out, negations kept. The MISO paper drops them.

    Returns:
        One list a text; ``[UNK]`` alone where nothing is left.

    Raises:
        ValueError: a text is null; its row is named.
    """
    encoded = []
    for text in checked_texts(texts):
        spans = segmenter.spans(text)
        words = [text[start:end] for start, end in spans]
        before = [start > 0 and text[start - 1].isspace() for start, _ in spans]
        if drop_stop_words:
            kept = set(remove_stop_words(words, segmenter.language))
            before = [flag for word, flag in zip(words, before, strict=True) if word in kept]
            words = [word for word in words if word in kept]
        ids = [token for word in word_tokens(tokenizer, words, before) for token in word]
        encoded.append(ids[:max_length] or [int(tokenizer.unk_token_id)])
    return encoded


def word_vectors(
    vocabulary: PreTrainedTokenizerBase,
    encoder: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    scale: float | None = 0.15,
) -> Tensor:
    """Word vectors from a pretrained encoder, for ``load_word_vectors``.

    A word's vector is the mean of the encoder's input embeddings of its word pieces; only the
    table is read, the encoder is not run. Special tokens get the mean of all words, padding 0.

    Args:
        vocabulary: the classifier's tokenizer.
        encoder: any ``AutoModel``.
        tokenizer: the encoder's.
        scale: root mean square that the values are brought to, after their mean was taken away;
            0.15 is that of a new `TextCnnConfig`. ``None`` leaves them as they are.

    Returns:
        [len(vocabulary), width of the encoder's embeddings] float32.
    """
    tokens = vocabulary.convert_ids_to_tokens(list(range(len(vocabulary))))
    special = np.isin(np.arange(len(tokens)), vocabulary.all_special_ids)
    words = [
        token.removeprefix(CONTINUATION) if len(token) > len(CONTINUATION) else token
        for token in tokens
    ]
    pieces = word_tokens(tokenizer, words, [True] * len(words))
    # A token that the encoder's tokenizer drops (a control character) counts as unknown to it.
    pieces = [ids or [int(tokenizer.unk_token_id)] for ids in pieces]
    table = encoder.get_input_embeddings().weight.detach().float().cpu()
    offsets = torch.from_numpy(np.concatenate([[0], np.cumsum([len(ids) for ids in pieces[:-1]])]))
    flat = torch.tensor([token for ids in pieces for token in ids])
    matrix = F.embedding_bag(flat, table, offsets, mode="mean")
    is_word = torch.from_numpy(~special)
    mean = matrix[is_word].mean(dim=0)
    if scale is not None:
        matrix = matrix - mean
        matrix = matrix * (scale / matrix[is_word].square().mean().sqrt())
        mean = torch.zeros_like(mean)
    matrix[~is_word] = mean
    if vocabulary.pad_token_id is not None:
        matrix[vocabulary.pad_token_id] = 0
    return matrix
