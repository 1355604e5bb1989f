"""Tokenizers trained on the data at hand, and tokens word by word from any tokenizer.

English tokenizers are plain `tokenizers` files that any program loads. A Chinese one needs jieba to
find its words: it is the Python class `JiebaTokenizer`, which `AutoTokenizer.from_pretrained` finds
after `import hf_oversample` (without it: `JiebaTokenizer.from_pretrained`).
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal
from weakref import WeakKeyDictionary

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from hf_oversample.text.checks import checked_texts
from hf_oversample.text.user_dictionary import UserDictionary
from hf_oversample.text.words import ENGLISH_WORD_PATTERN, Language, Segmenter, has_han

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CONTINUATION = "##"

_SPECIAL_TOKEN_NAMES = dict(
    zip(
        ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"),
        SPECIAL_TOKENS,
        strict=True,
    )
)
_MODEL_INPUT_NAMES = ["input_ids", "attention_mask"]


def train_tokenizer(
    texts: Iterable[str],
    *,
    kind: Literal["bpe", "word"] = "bpe",
    language: Language = "en",
    vocab_size: int = 8000,
    min_frequency: int = 2,
    lowercase: bool = True,
    user_dictionary: UserDictionary = (),
) -> PreTrainedTokenizerBase:
    """A tokenizer learnt from texts; the same texts in the same order give the same one.

    ``[PAD]`` has id 0, then come ``[UNK] [CLS] [SEP] [MASK]``. A text is framed as
    ``[CLS] … [SEP]``. English texts are split at the word bounds of `Segmenter`, so that each word
    has tokens of its own, and then:

    - ``"bpe"``: byte-pair encoding within words (Sennrich et al. 2016), inner pieces marked "##";
    - ``"word"``: each word is one token, or ``[UNK]``.

    Chinese: words by jieba, rarer ones by character (`JiebaTokenizer`), for either kind.

    Args:
        texts: the training texts, read once.
        kind: how an English word becomes tokens.
        language: ``"en"`` or ``"zh"``.
        vocab_size: the most tokens, special ones included.
        min_frequency: how often a word or a pair must occur to be learnt.
        lowercase: whether case is dropped.
        user_dictionary: words that jieba shall know besides its own.

    Raises:
        ValueError: an unknown kind or language, too small a vocabulary, or no text with a word,
            or a text that is null (its row is named).
    """
    if kind not in ("bpe", "word"):
        raise ValueError(f'kind={kind!r} is not supported: choose "bpe" or "word"')
    if vocab_size <= len(SPECIAL_TOKENS):
        raise ValueError(
            f"vocab_size={vocab_size} leaves no room: {len(SPECIAL_TOKENS)} tokens are special"
        )
    segmenter, texts = Segmenter(language, user_dictionary), checked_texts(texts)
    if segmenter.language == "zh":
        vocabulary = _chinese_vocabulary(texts, segmenter, vocab_size, min_frequency, lowercase)
        return JiebaTokenizer(vocabulary, lowercase=lowercase, user_dictionary=user_dictionary)

    backend = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    steps: list[Any] = [normalizers.NFC()]
    if lowercase:
        steps.append(normalizers.Lowercase())
    backend.normalizer = normalizers.Sequence(steps)
    backend.pre_tokenizer = pre_tokenizers.Split(
        Regex(ENGLISH_WORD_PATTERN), behavior="removed", invert=True
    )
    if kind == "bpe":
        backend.model = _byte_pair_model(backend, texts, vocab_size, min_frequency)
    else:
        trainer = trainers.WordLevelTrainer(
            vocab_size=vocab_size,
            min_frequency=min_frequency,
            special_tokens=list(SPECIAL_TOKENS),
            show_progress=False,
        )
        backend.train_from_iterator(texts, trainer)
    backend.add_special_tokens(list(SPECIAL_TOKENS))
    if backend.get_vocab_size() == len(SPECIAL_TOKENS):
        raise ValueError(
            f"no word was learnt: the texts are empty, or no word occurs {min_frequency} times; "
            "lower min_frequency or give more texts"
        )
    backend.decoder = decoders.WordPiece(prefix=CONTINUATION, cleanup=True)
    backend.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[(token, SPECIAL_TOKENS.index(token)) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_input_names=list(_MODEL_INPUT_NAMES),
        clean_up_tokenization_spaces=False,
        **_SPECIAL_TOKEN_NAMES,
    )


class JiebaTokenizer(PreTrainedTokenizer):
    """Chinese words found by jieba; a word outside the vocabulary falls back to its characters.

    Latin words and numbers fall back to characters too, the inner ones marked "##", so that
    decoding can join them. A character outside the vocabulary is ``[UNK]``. Decoding puts no space
    between Chinese words. The vocabulary is saved as ``vocab.json``.

    Args:
        vocab: token → id, or the path of such a JSON file. It must hold the special tokens.
        lowercase: whether words are looked up in lower case.
        user_dictionary: words that jieba shall know besides its own; saved with the tokenizer.

    Raises:
        ValueError: a special token is missing from the vocabulary.
    """

    vocab_files_names = {"vocab_file": "vocab.json"}
    model_input_names = list(_MODEL_INPUT_NAMES)

    def __init__(
        self,
        vocab: dict[str, int] | str | os.PathLike[str] | None = None,
        vocab_file: str | os.PathLike[str] | None = None,
        lowercase: bool = True,
        user_dictionary: Iterable[Sequence[Any]] = (),
        **kwargs: Any,
    ) -> None:
        source = vocab if vocab is not None else vocab_file
        if source is None:
            raise ValueError("JiebaTokenizer needs a vocabulary: a dict, or the path of vocab.json")
        if not isinstance(source, dict):
            with open(source, encoding="utf-8") as file:
                source = json.load(file)
        missing = [token for token in SPECIAL_TOKENS if token not in source]
        if missing:
            raise ValueError(f"the vocabulary lacks the special tokens {missing}")
        self._ids: dict[str, int] = dict(source)
        self._tokens = {index: token for token, index in self._ids.items()}
        self._segmenter = Segmenter("zh", user_dictionary)
        self.lowercase = lowercase
        kwargs.setdefault("special_tokens_pattern", "cls_sep")
        words = [list(entry) for entry in self._segmenter.user_dictionary]
        super().__init__(
            lowercase=lowercase, user_dictionary=words, **{**_SPECIAL_TOKEN_NAMES, **kwargs}
        )

    @property
    def vocab_size(self) -> int:
        """Number of tokens, without those added later."""
        return len(self._ids)

    def get_vocab(self) -> dict[str, int]:
        """Token → id, with those added later."""
        return {**self._ids, **self._added_tokens_encoder}

    def tokenize_word(self, word: str) -> list[str]:
        """The tokens of one word as jieba gave it, which is not segmented again."""
        word = unicodedata.normalize("NFC", word)
        if self.lowercase:
            word = word.lower()
        return [word] if word in self._ids else _character_pieces(word)

    def _tokenize(self, text: str, **kwargs: Any) -> list[str]:
        return [token for word in self._segmenter.words(text) for token in self.tokenize_word(word)]

    def _convert_token_to_id(self, token: str) -> int:
        return self._ids.get(token, self._ids["[UNK]"])

    def _convert_id_to_token(self, index: int) -> str:
        return self._tokens.get(index, "[UNK]")

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """The text of these tokens, without spaces between Chinese words."""
        words: list[str] = []
        for token in tokens:
            if token.startswith(CONTINUATION) and len(token) > len(CONTINUATION) and words:
                words[-1] += token.removeprefix(CONTINUATION)
            else:
                words.append(token)
        return self._segmenter.join(words)

    def save_vocabulary(
        self, save_directory: str, filename_prefix: str | None = None
    ) -> tuple[str]:
        """Writes ``vocab.json`` and returns its path."""
        name = f"{filename_prefix}-vocab.json" if filename_prefix else "vocab.json"
        path = os.path.join(save_directory, name)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self._ids, file, ensure_ascii=False, indent=0)
        return (path,)


@lru_cache(maxsize=1)
def register_tokenizers() -> None:
    """Lets ``AutoTokenizer.from_pretrained`` find a saved `JiebaTokenizer`; may be called again."""
    from transformers import AutoTokenizer, PreTrainedConfig

    # AutoTokenizer enters a tokenizer under a model's configuration. Any model may use this one:
    # it is found by the class name in tokenizer_config.json, and the key is never looked up.
    key = type("JiebaTokenizerKey", (PreTrainedConfig,), {"model_type": "jieba-tokenizer"})
    AutoTokenizer.register(key, tokenizer_class=JiebaTokenizer, exist_ok=True)


def word_tokens(
    tokenizer: PreTrainedTokenizerBase, words: Sequence[str], space_before: Sequence[bool]
) -> list[list[int]]:
    """The token ids of each word on its own, without special tokens.

    Joined, they are the ids of the text itself for tokenizers that never merge across words:
    WordPiece, `train_tokenizer`'s, byte-level BPE. Where `Segmenter` cuts within what the tokenizer
    keeps whole they differ: BERT's keeps a symbol that is no punctuation (an emoji, "½", "²") with
    the letters that it touches. Words are remembered per tokenizer, as long as it lives.

    Args:
        tokenizer: any tokenizer.
        words: words as `Segmenter` gives them.
        space_before: for each word, whether a space stands before it in its text.

    Raises:
        ValueError: the two sequences differ in length.
    """
    if len(words) != len(space_before):
        raise ValueError(f"{len(words)} words but {len(space_before)} flags in space_before")
    size, known = _WORD_TOKENS.get(tokenizer, (0, {}))
    if size != len(tokenizer):  # tokens were added since
        known = {}
        _WORD_TOKENS[tokenizer] = (len(tokenizer), known)
    keys = [(word, bool(space)) for word, space in zip(words, space_before, strict=True)]
    new = list(dict.fromkeys(key for key in keys if key not in known))
    if new:
        known.update(zip(new, _encode_words(tokenizer, new), strict=True))
    return [list(known[key]) for key in keys]


def special_token_frame(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Ids that the tokenizer puts before and after a single text, as ``([CLS], [SEP])``.

    Raises:
        ValueError: its own encoding of a text cannot be found within the framed one.
    """
    probe = "a"
    bare = tokenizer(probe, add_special_tokens=False)["input_ids"]
    framed = tokenizer(probe)["input_ids"]
    for start in range(len(framed) - len(bare) + 1):
        if bare and framed[start : start + len(bare)] == bare:
            return framed[:start], framed[start + len(bare) :]
    raise ValueError(
        f"{type(tokenizer).__name__} encodes {probe!r} as {bare} bare and {framed} with special "
        "tokens: the first is not within the second, so there is no frame to take from it"
    )


_WORD_TOKENS: WeakKeyDictionary[
    PreTrainedTokenizerBase, tuple[int, dict[tuple[str, bool], list[int]]]
] = WeakKeyDictionary()


def _encode_words(
    tokenizer: PreTrainedTokenizerBase, keys: list[tuple[str, bool]]
) -> list[list[int]]:
    if isinstance(tokenizer, JiebaTokenizer):
        # jieba may cut a word again that it found in its sentence.
        return [tokenizer.convert_tokens_to_ids(tokenizer.tokenize_word(word)) for word, _ in keys]
    texts = [f" {word}" if space else word for word, space in keys]
    encoded: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    if _marks_every_start(tokenizer):
        # SentencePiece puts "▁" before a text's first word, space or not: ask its model directly.
        backend = tokenizer.backend_tokenizer
        for number, (word, space) in enumerate(keys):
            if not space:
                if backend.normalizer is not None:
                    word = backend.normalizer.normalize_str(word)
                encoded[number] = [piece.id for piece in backend.model.tokenize(word)]
    return encoded


def _marks_every_start(tokenizer: PreTrainedTokenizerBase) -> bool:
    return tokenizer.is_fast and any(token.startswith("▁") for token in tokenizer.tokenize("a")[:1])


# The trainer's time grows with the square of a word's length, and what is longer is no word.
_LONGEST_WORD = 1000


def _byte_pair_model(
    backend: Tokenizer, texts: list[str], vocab_size: int, min_frequency: int
) -> models.BPE:
    """Byte-pair encoding over the words that the backend's normaliser and pre-tokenizer give.

    The trainer numbers inner characters in the order of a hash table, which differs from run to
    run, and breaks ties between merges by these numbers. Entered beforehand, in sorted order, they
    are the same always.
    """
    inner: set[str] = set()
    read = []
    for text in texts:
        normal = backend.normalizer.normalize_str(text)
        words = backend.pre_tokenizer.pre_tokenize_str(normal)
        for word, _ in words:
            inner.update(word[1:])
        if any(len(word) > _LONGEST_WORD for word, _ in words):
            text = " ".join(word[:_LONGEST_WORD] for word, _ in words)
        read.append(text)
    marked = [CONTINUATION + character for character in sorted(inner)]
    scratch = Tokenizer(models.BPE(unk_token="[UNK]", continuing_subword_prefix=CONTINUATION))
    scratch.normalizer, scratch.pre_tokenizer = backend.normalizer, backend.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=[*SPECIAL_TOKENS, *marked],
        continuing_subword_prefix=CONTINUATION,
        show_progress=False,
    )
    scratch.train_from_iterator(read, trainer)
    learnt = json.loads(scratch.to_str())["model"]
    return models.BPE(
        vocab=learnt["vocab"],
        merges=[tuple(pair) for pair in learnt["merges"]],
        unk_token="[UNK]",
        continuing_subword_prefix=CONTINUATION,
        fuse_unk=True,
    )


def _character_pieces(word: str) -> list[str]:
    if has_han(word):
        return list(word)
    return [word[0], *(CONTINUATION + character for character in word[1:])]


def _chinese_vocabulary(
    texts: Iterable[str],
    segmenter: Segmenter,
    vocab_size: int,
    min_frequency: int,
    lowercase: bool,
) -> dict[str, int]:
    """Special tokens, then characters, to at most half of the rest, then words, by frequency."""
    words: Counter[str] = Counter()
    for text in texts:
        text = unicodedata.normalize("NFC", text)
        words.update(word.lower() if lowercase else word for word in segmenter.words(text) if word)
    pieces: Counter[str] = Counter()
    for word, count in words.items():
        for piece in _character_pieces(word):
            pieces[piece] += count
    vocabulary = dict.fromkeys(SPECIAL_TOKENS)
    room = (vocab_size - len(vocabulary) + 1) // 2
    for counted, limit in ((pieces, len(vocabulary) + room), (words, vocab_size)):
        for token, count in sorted(counted.items(), key=lambda item: (-item[1], item[0])):
            if len(vocabulary) >= limit or count < min_frequency:
                break
            vocabulary.setdefault(token)
    if len(vocabulary) == len(SPECIAL_TOKENS):
        raise ValueError(
            f"no word was learnt: the texts are empty, or no word occurs {min_frequency} times; "
            "lower min_frequency or give more texts"
        )
    return {token: index for index, token in enumerate(vocabulary)}
