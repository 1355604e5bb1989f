"""A new MISO generator for a data set: its encoder, tokenizer, decoder and the words that it may write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer, BertConfig, PreTrainedTokenizerBase, set_seed

from hf_oversample.encoding import EncodedText
from hf_oversample.models.miso.configuration_miso import MisoConfig
from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.text import Segmenter
from hf_oversample.tokenization import special_token_frame, train_tokenizer

# A small encoder for data without a pretrained one (Chinese, or no model at hand): "small" in the sense of Turc et
# al. (2019), BERT-mini's four layers of width 256.
SCRATCH_ENCODER = dict(
    hidden_size=256,
    num_hidden_layers=4,
    num_attention_heads=4,
    intermediate_size=1024,
    max_position_embeddings=512,
)


def load_tokenizer(
    texts: Sequence[str],
    *,
    encoder_name_or_path: str | Path | None,
    language: str,
    kind: str = "bpe",
    vocab_size: int = 8000,
    revision: str | None = None,
) -> PreTrainedTokenizerBase:
    """The pretrained encoder's tokenizer, or one trained on the texts where there is no pretrained encoder."""
    if encoder_name_or_path is not None:
        return AutoTokenizer.from_pretrained(str(encoder_name_or_path), revision=revision)
    return train_tokenizer(texts, kind=kind, language=language, vocab_size=vocab_size)


def output_vocabulary(
    encoded: Sequence[EncodedText], tokenizer: PreTrainedTokenizerBase, segmenter: Segmenter
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    The tokens that occur in the encoded texts, and which of them are whole words by themselves.

    Returns: token ids `[v]` int64 in order, and a boolean mask `[v]`.
    """
    seen: set[int] = set()
    whole: set[int] = set()
    for text in encoded:
        seen.update(text.input_ids.tolist())
        first = {}
        for token, word in zip(text.input_ids.tolist(), text.word_index.tolist(), strict=True):
            first.setdefault(word, []).append(token)
        for word, tokens in first.items():
            if word >= 0 and len(tokens) == 1 and segmenter.is_word(text.word(word)):
                whole.add(tokens[0])
    never = {tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.mask_token_id}
    tokens = sorted(seen - never)
    return torch.tensor(tokens), torch.tensor([token in whole for token in tokens])


def new_generator(
    encoded: Sequence[EncodedText],
    tokenizer: PreTrainedTokenizerBase,
    segmenter: Segmenter,
    *,
    class_names: Sequence[str],
    target_classes: Sequence[int],
    encoder_name_or_path: str | Path | None = None,
    revision: str | None = None,
    decoder_layers: int = 2,
    seed: int = 0,
    **settings: Any,
) -> MisoForAnchorGeneration:
    """
    A generator ready to be trained.

    Args:
        encoded: the training texts.
        tokenizer: theirs; it needs a mask token.
        segmenter: the language's words.
        class_names: names of the labels, in order.
        target_classes: the classes that anchors are for.
        encoder_name_or_path: a pretrained encoder for `AutoModel`; none starts a small one from scratch.
        revision: of the pretrained encoder on the Hub.
        decoder_layers: layers of the decoder, which always starts from scratch.
        seed: of the initial weights.
        **settings: further fields of `MisoConfig`.

    Raises:
        ValueError: if the tokenizer has no mask token: words could not be edited.
    """
    if tokenizer.mask_token_id is None:
        raise ValueError(
            f"The tokenizer of {encoder_name_or_path} has no mask token, which the edit realiser needs. "
            "Choose an encoder that was pre-trained by masking (BERT, MiniLM, RoBERTa …)."
        )
    if encoder_name_or_path is not None:
        encoder = AutoConfig.from_pretrained(str(encoder_name_or_path), revision=revision)
    else:
        encoder = BertConfig(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **SCRATCH_ENCODER)
    decoder = BertConfig(
        vocab_size=encoder.vocab_size,
        hidden_size=encoder.hidden_size,
        num_hidden_layers=decoder_layers,
        num_attention_heads=encoder.num_attention_heads,
        intermediate_size=2 * encoder.hidden_size,
        max_position_embeddings=512,
        pad_token_id=tokenizer.pad_token_id,
    )
    tokens, is_word = output_vocabulary(encoded, tokenizer, segmenter)
    config = MisoConfig(
        encoder=encoder.to_dict(),
        decoder=decoder.to_dict(),
        id2label=dict(enumerate(class_names)),
        label2id={name: i for i, name in enumerate(class_names)},
        target_classes=list(target_classes),
        output_vocab_size=len(tokens),
        pad_token_id=tokenizer.pad_token_id,
        **settings,
    )
    set_seed(seed)
    model = MisoForAnchorGeneration(config)
    if encoder_name_or_path is not None:
        pretrained = AutoModel.from_pretrained(str(encoder_name_or_path), revision=revision, dtype=torch.float32)
        model.miso.encoder.load_state_dict(pretrained.state_dict())
    model.set_output_tokens(tokens, is_word)
    prefix, suffix = special_token_frame(tokenizer)
    settings_of_generation = model.generation_config
    settings_of_generation.decoder_start_token_id = prefix[0] if prefix else tokenizer.pad_token_id
    settings_of_generation.bos_token_id = settings_of_generation.decoder_start_token_id
    settings_of_generation.eos_token_id = suffix[0] if suffix else tokenizer.eos_token_id
    settings_of_generation.pad_token_id = tokenizer.pad_token_id
    settings_of_generation.max_new_tokens = 48
    return model
