"""A MISO generator for a data set: tokenizer, encoder, decoder, vocabulary, and its training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers import (
    BertConfig,
    PreTrainedTokenizerBase,
    set_seed,
)

from hf_oversample.data.labeled_texts import Texts
from hf_oversample.models import encoders
from hf_oversample.models.encoders import check_max_length, encoder_part, load_config, load_encoder
from hf_oversample.models.loading import write_sums
from hf_oversample.models.miso.configuration_miso import MisoConfig
from hf_oversample.models.miso.modeling_miso import MisoForAnchorGeneration
from hf_oversample.text.encoding import EncodedText, TextEncoder, canonical_length
from hf_oversample.text.protection import DEFAULT_PROTECTION, Protection, free_words
from hf_oversample.text.tokenization import special_token_frame, train_tokenizer
from hf_oversample.text.user_dictionary import UserDictionary
from hf_oversample.text.words import Language, Segmenter
from hf_oversample.training.arguments import MisoTrainingArguments
from hf_oversample.training.miso import MisoTrainer

# A small encoder for data without a pretrained one (Chinese, or no model at hand): BERT-mini's four
# layers of width 256 (Turc et al., 2019).
SCRATCH_ENCODER = {
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
    "max_position_embeddings": 512,
}


def load_tokenizer(
    texts: Sequence[str],
    *,
    encoder_name_or_path: str | Path | None,
    language: Language,
    kind: Literal["bpe", "word"] = "bpe",
    vocab_size: int = 8000,
    revision: str | None = None,
    user_dictionary: UserDictionary = (),
) -> PreTrainedTokenizerBase:
    """
    The pretrained encoder's tokenizer, or one trained on the texts where there is none.

    Args:
        texts: the training texts.
        encoder_name_or_path: a pretrained encoder, or None.
        language: "en" or "zh".
        kind: "bpe" or "word", of a new tokenizer.
        vocab_size: tokens of a new tokenizer at most.
        revision: of the pretrained encoder on the Hub.
        user_dictionary: words that jieba shall know, for a new tokenizer.
    """
    if encoder_name_or_path is not None:
        return encoders.load_tokenizer(encoder_name_or_path, revision=revision)
    return train_tokenizer(
        texts, kind=kind, language=language, vocab_size=vocab_size, user_dictionary=user_dictionary
    )


def output_vocabulary(
    encoded: Sequence[EncodedText],
    tokenizer: PreTrainedTokenizerBase,
    segmenter: Segmenter,
    protection: Protection = DEFAULT_PROTECTION,
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    The tokens that occur in the encoded texts, and which of them are whole words by themselves that
    an edit may write: those that occur outside of protected spans. A word of placeholders alone
    (NAME of "[NAME]") is never written anywhere.

    Returns: token ids `[v]` int64 in order, and a boolean mask `[v]`.
    """
    seen: set[int] = set()
    whole: set[int] = set()
    for text in encoded:
        seen.update(text.input_ids.tolist())
        is_free = free_words(text.text, text.spans, segmenter, protection)
        first: dict[int, list[int]] = {}
        for token, word in zip(text.input_ids.tolist(), text.word_index.tolist(), strict=True):
            first.setdefault(word, []).append(token)
        for word, tokens in first.items():
            if word >= 0 and len(tokens) == 1 and is_free[word]:
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
    max_length: int = 64,
    decoder_layers: int = 2,
    seed: int = 0,
    protection: Protection = DEFAULT_PROTECTION,
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
        encoder_name_or_path: a pretrained encoder for `AutoModel`; none starts a small one from
            scratch.
        revision: of the pretrained encoder on the Hub.
        max_length: tokens of the longest text that it is to read or write.
        decoder_layers: layers of the decoder, which always starts from scratch.
        seed: of the initial weights.
        protection: what edits leave as it is, and words of which they do not write.
        **settings: further fields of `MisoConfig`.

    Raises:
        ValueError: if the tokenizer has no mask token: words could not be edited; if the encoder
            has no places for `max_length` tokens, or its checkpoint lacks weights.
    """
    if tokenizer.mask_token_id is None:
        raise ValueError(
            f"The tokenizer of {encoder_name_or_path} has no mask token, which the edit realiser "
            "needs. Choose an encoder that was pre-trained by masking (BERT, MiniLM, RoBERTa …)."
        )
    # what starts from scratch has places for any length; texts are padded to multiples of a step
    places = max(SCRATCH_ENCODER["max_position_embeddings"], canonical_length(max_length))
    if encoder_name_or_path is not None:
        encoder = load_config(encoder_name_or_path, revision=revision)
    else:
        encoder = BertConfig(
            vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **SCRATCH_ENCODER
        )
        encoder.max_position_embeddings = places
    decoder = BertConfig(
        vocab_size=encoder.vocab_size,
        hidden_size=encoder.hidden_size,
        num_hidden_layers=decoder_layers,
        num_attention_heads=encoder.num_attention_heads,
        intermediate_size=2 * encoder.hidden_size,
        max_position_embeddings=places,
        pad_token_id=tokenizer.pad_token_id,
    )
    tokens, is_word = output_vocabulary(encoded, tokenizer, segmenter, protection)
    config = MisoConfig(
        encoder=encoder.to_dict(),
        decoder=decoder.to_dict(),
        id2label=dict(enumerate(class_names)),
        label2id={name: i for i, name in enumerate(class_names)},
        target_classes=list(target_classes),
        language=segmenter.language,
        user_dictionary=[list(entry) for entry in segmenter.user_dictionary] or None,
        output_vocab_size=len(tokens),
        pad_token_id=tokenizer.pad_token_id,
        **settings,
    )
    set_seed(seed)
    model = MisoForAnchorGeneration(config)
    if encoder_name_or_path is not None:
        pretrained = encoder_part(load_encoder(encoder_name_or_path, revision=revision))
        check_max_length(max_length, encoder_name_or_path, pretrained, tokenizer)
        model.miso.encoder.load_state_dict(pretrained.state_dict())
    model.set_output_tokens(tokens, is_word)
    # tokens start as likely as they are: what else would take a hundred steps to learn
    used = np.bincount(
        np.concatenate([text.input_ids for text in encoded]), minlength=encoder.vocab_size
    )
    with torch.no_grad():
        frequency = torch.from_numpy(used[tokens.numpy()] / used.sum())
        model.output_bias.copy_(torch.log(frequency))
    prefix, suffix = special_token_frame(tokenizer)
    generation = model.generation_config
    generation.decoder_start_token_id = prefix[0] if prefix else tokenizer.pad_token_id
    generation.bos_token_id = generation.decoder_start_token_id
    generation.eos_token_id = suffix[0] if suffix else tokenizer.eos_token_id
    generation.pad_token_id = tokenizer.pad_token_id
    generation.max_new_tokens = 48
    return model


@dataclass
class TrainedGenerator:
    """
    A generator as training leaves it, with what reads and writes its texts.

    Args:
        model: the generator.
        tokenizer, segmenter: its tokens and words.
        trainer: its trainer, with the record of the training.
    """

    model: MisoForAnchorGeneration
    tokenizer: PreTrainedTokenizerBase
    segmenter: Segmenter
    trainer: MisoTrainer

    def save(self, folder: str | Path) -> None:
        """Weights with their sums, configuration and tokenizer, for `from_pretrained`."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        write_sums(Path(folder))


def train_generator(
    train: Texts,
    *,
    class_names: Sequence[str],
    target_classes: Sequence[int],
    language: Language,
    training: MisoTrainingArguments,
    encoder_name: str | None = None,
    encoder_revision: str | None = None,
    tokenizer_kind: Literal["bpe", "word"] = "bpe",
    validation: Texts | None = None,
    output_dir: str | Path | None = None,
    resume_from_checkpoint: str | Path | None = None,
    parts: Literal["editor", "miso"] = "editor",
    edits: bool = True,
    protection: Protection = DEFAULT_PROTECTION,
    user_dictionary: UserDictionary = (),
    **settings: Any,
) -> TrainedGenerator:
    """
    Tokenizer, new generator, training: from labelled texts to a generator of their rare classes.

    By default an *editor*: a class-conditional masked language model, all that `MisoOversampler`
    reads as it is by default. `parts="miso"` trains the paper's latents, fusion, critics,
    discriminators and decoders too, which `realizer="generate"`, `use_latent=True`, the gate's
    critics and `LatentDecoder` read.

    Args:
        train: training texts.
        class_names, target_classes: the labels' names, and those that anchors are for.
        language: "en" or "zh".
        training: steps and rates.
        encoder_name: a pretrained encoder; None starts a small one from scratch, with a tokenizer
            trained on the texts (`tokenizer_kind`: "bpe" or "word"; Chinese is cut by jieba).
        encoder_revision: its revision on the Hub.
        validation: texts that the losses are evaluated on.
        output_dir: where checkpoints go.
        resume_from_checkpoint: a checkpoint to go on from.
        parts: what is trained.
        edits: whether the generator is to replace words of texts, for which some words must be one
            token each.
        protection: what edits leave as it is, and words of which they do not write.
        user_dictionary: words that jieba shall know besides its own; saved with the generator.
        **settings: further fields of `MisoConfig`.

    Raises:
        ValueError: if the encoder's tokenizer has no mask token, or no whole word where one is
            needed, a setting cannot work, or the checkpoint is of another run.
    """
    segmenter = Segmenter(language, user_dictionary)
    tokenizer = load_tokenizer(
        train.texts,
        encoder_name_or_path=encoder_name,
        language=language,
        kind=tokenizer_kind,
        revision=encoder_revision,
        user_dictionary=segmenter.user_dictionary,
    )
    encoder = TextEncoder(tokenizer, segmenter, training.max_length)
    encoded = encoder.many(train.texts)
    model = new_generator(
        encoded,
        tokenizer,
        segmenter,
        class_names=class_names,
        target_classes=target_classes,
        encoder_name_or_path=encoder_name,
        revision=encoder_revision,
        max_length=training.max_length,
        seed=training.seed,
        parts=parts,
        protection=protection,
        **settings,
    )
    if edits and not bool(model.is_word_token.any()):
        source = encoder_name or f"a new {tokenizer_kind} tokenizer"
        raise ValueError(
            f"No word of the {len(train)} training texts, but for what is protected, is one token "
            f"of {source}, so there is none that an edit could write: protect less, "
            "write whole texts with the realiser 'generate' (--realizer generate), choose another "
            "--encoder_name, or leave it out and set --tokenizer_kind word."
        )
    trainer = MisoTrainer(
        model,
        encoded,
        train.labels,
        training,
        padding=tokenizer.pad_token_id,
        mask_token=tokenizer.mask_token_id,
        encoder_is_pretrained=encoder_name is not None,
        validation=encoder.many(validation.texts) if validation is not None else (),
        validation_labels=validation.labels if validation is not None else None,
        output_dir=output_dir,
    )
    trainer.train(resume_from_checkpoint=resume_from_checkpoint)
    return TrainedGenerator(model, tokenizer, segmenter, trainer)
