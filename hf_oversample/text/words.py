"""Words and stop words in English and Chinese, offline.

Everything here works on the original string through character spans, so that an edit can be
spliced in and all else stays as it was, byte for byte.
"""

from __future__ import annotations

import logging
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import resources
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, get_args

from hf_oversample.text.checks import checked_texts
from hf_oversample.text.user_dictionary import UserDictionary, user_dictionary_of

if TYPE_CHECKING:
    from jieba import Tokenizer as JiebaCutter
    from nltk.tokenize import RegexpTokenizer
    from nltk.tokenize.treebank import TreebankWordDetokenizer

Language = Literal["en", "zh"]

_ADDRESS = r"(?:[hH][tT]{2}[pP][sS]?://|[wW]{3}\.)[^\s\x1c-\x1f<>\"]*[\w/]|(?<![\w.+\-])[\w.+\-]+@[\w\-]+(?:\.[\w\-]+)+"

# The first alternative that matches wins. The last two match every character that is not a space,
# so the spans always cover the text. The dialect is shared by Python's `re` and by Oniguruma, which
# the `tokenizers` library uses: a trained tokenizer splits into the same words (tokenization.py).
ENGLISH_WORD_PATTERN = "|".join(
    [
        _ADDRESS,
        r"(?<!\w)(?:[A-Za-z]\.){2,}",  # U.S. e.g.
        r"(?<!\w)['’\x92](?:[sSmMdDtT]|[rR][eE]|[vV][eE]|[lL][lL])(?!\w)",  # a clitic on its own
        r"[£$€¥₹]?\d+(?:[.,:/\-]\d+)*[%£€¥₹]?\w*(?:['’\x92\-£€]\w+)*",  # £1.50 10:30 50% 2nd 4-day
        r"\w+(?:['’\x92\-£€]\w+)*",  # don't well-made; \x92 is a mis-decoded apostrophe
        r"([^\w\s\x1c-\x1f])\1*",  # ! ... a run of one symbol
    ]
)

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
# as Unicode's names of their letters begin
_SEGMENTED = (
    *("LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "GEORGIAN", "ARABIC", "HEBREW", "HANGUL", "CJK"),
)
_ADDRESS_ONLY = re.compile(_ADDRESS)

_ENGLISH_NEGATIONS = """
    no not n't never none nobody nothing nowhere neither nor cannot without hardly barely scarcely
    nope nah non ain't aren't can't couldn't daren't didn't doesn't don't hadn't hasn't haven't
    isn't mightn't mustn't needn't oughtn't shan't shouldn't wasn't weren't won't wouldn't
    aint arent cant couldnt didnt doesnt dont hadnt hasnt havent isnt mightnt mustnt neednt shant
    shouldnt wasnt werent wont wouldnt
"""
_CHINESE_NEGATIONS = """
    不 没 没有 并没有 无 非 别 未 莫 勿 否 毋 不是 不会 不能 不要 不可 不可以 不得 不够 不如
    不怎么 不敢 不再 不对 不必 不用 不该 不应 不应该 不太 不曾 并不 并不是 并非 从不 从未 从来不
    决不 绝不 毫不 毫无 未必 未曾 尚未 无法 没法 不至于 别说 却不 不足
"""


class Segmenter:
    """Splits a text into words and punctuation.

    English: one regular expression through NLTK's ``RegexpTokenizer``, which needs no download.
    Words keep their inner apostrophes and hyphens; amounts, addresses and runs of one symbol are
    one token. Chinese: jieba with its hidden Markov model; punctuation is separate.

    Args:
        language: ``"en"`` or ``"zh"``.
        user_dictionary: words that jieba shall know besides its own: a file in its format, or
            entries. They are read now and kept, so that a pickle needs no file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the language is another, a line of the file is no entry, or there are words for
            a language that jieba does not cut.
    """

    def __init__(
        self,
        language: Language = "en",
        user_dictionary: str | os.PathLike[str] | Iterable[Sequence[Any]] | None = None,
    ) -> None:
        self.language: Language = checked_language(language)
        self.user_dictionary: UserDictionary = user_dictionary_of(user_dictionary)
        if self.user_dictionary and self.language != "zh":
            raise ValueError(
                f"user_dictionary has {len(self.user_dictionary)} words for jieba, but the "
                f"language is {self.language!r}, whose words jieba does not find: leave it out, or "
                "give language zh."
            )

    def __repr__(self) -> str:
        words = f", {len(self.user_dictionary)} words of a user" if self.user_dictionary else ""
        return f"Segmenter(language={self.language!r}{words})"

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Start and end of each token, in order; they do not overlap and cover all but spaces.

        Raises:
            TypeError: the text is no string.
        """
        if not isinstance(text, str):
            raise TypeError(f"a text is needed to find words in, got {text!r}")
        if self.language == "en":
            return list(_english_tokenizer().span_tokenize(text))
        cutter = _chinese_cutter(self.user_dictionary)
        return [(start, end) for token, start, end in cutter.tokenize(text) if token.strip()]

    def words(self, text: str) -> list[str]:
        """The tokens of the text, punctuation included, as they stand in it."""
        return [text[start:end] for start, end in self.spans(text)]

    def is_word(self, token: str) -> bool:
        """Whether a token has a letter and no digit, and is no web or mail address."""
        return (
            any(character.isalpha() for character in token)
            and not any(character.isdigit() for character in token)
            and _ADDRESS_ONLY.fullmatch(token) is None
        )

    def join(self, words: Sequence[str]) -> str:
        """A text of these tokens, spaced as the language is written.

        English: NLTK's Treebank detokeniser. Chinese: no spaces, but for one between two
        neighbours in Latin letters or digits.
        """
        if self.language == "en":
            return str(_english_detokenizer().detokenize(list(words)))
        pieces: list[str] = []
        for word in words:
            if pieces and pieces[-1] and word and _is_latin(pieces[-1][-1]) and _is_latin(word[0]):
                pieces.append(" ")
            pieces.append(word)
        return "".join(pieces)


@lru_cache(maxsize=2)
def stop_words(language: Language = "en") -> frozenset[str]:
    """Stop words, in lower case, from the package ``stopwords-zh``.

    English: its list of 179 words, NLTK's. Chinese: Baidu's list, which also holds
    punctuation and English words. They stand for the two lists that the MISO paper removes.
    """
    name = {"en": "stopwords.zh.en.txt", "zh": "stopwords.zh.baidu.txt"}[checked_language(language)]
    listed = resources.files("stopwords").joinpath("data", name).read_text(encoding="utf-8")
    return frozenset(word.casefold() for word in listed.split())


@lru_cache(maxsize=2)
def negations(language: Language = "en") -> frozenset[str]:
    """Words that turn a sentence round, in lower case. Stop-word lists delete most of them."""
    listed = {"en": _ENGLISH_NEGATIONS, "zh": _CHINESE_NEGATIONS}[checked_language(language)]
    return frozenset(listed.split())


def is_negation(word: str, language: Language = "en") -> bool:
    """Whether the word is one of ``negations``, whatever its case and apostrophe."""
    return _folded(word) in negations(language)


def remove_stop_words(
    words: Iterable[str], language: Language = "en", keep_negations: bool = True
) -> list[str]:
    """The words that are no stop words, in order.

    Args:
        words: tokens, of any case.
        language: whose stop words.
        keep_negations: keep "not", "no", "don't" … Deleting them turns "not good" into "good".
    """
    removed = stop_words(language)
    if keep_negations:
        removed = removed - negations(language)
    return [word for word in words if _folded(word) not in removed]


def guess_language(texts: Iterable[str], sample: int = 1000) -> Language:
    """``"zh"`` where at least a fifth of the letters in the first texts are Han, else ``"en"``.

    Args:
        texts: any texts; an empty collection counts as English.
        sample: how many texts to look at.
    """
    letters = han = 0
    for text in checked_texts(islice(texts, sample)):
        letters += sum(character.isalpha() for character in text)
        han += len(_HAN.findall(text))
    return "zh" if letters and han >= 0.2 * letters else "en"


def reads_as_english(texts: Iterable[str], sample: int = 1000) -> bool:
    """Whether at least an eighth of the words of the first texts are English stop words.

    Of English messages and reviews a third to a half are; of other languages that share some of
    their spellings, such as French or Dutch, a twentieth.

    Args:
        texts: any texts; an empty collection counts as English.
        sample: how many texts to look at.
    """
    listed = stop_words("en")
    words = [
        word.casefold()
        for text in checked_texts(islice(texts, sample))
        for word in re.findall(r"[^\W\d_]+", text)
    ]
    return 8 * sum(word in listed for word in words) >= len(words)


def unsegmented_script(texts: Iterable[str], sample: int = 1000) -> str | None:
    """The script of most letters in the first texts, such as "Devanagari" or "Thai", if it is one
    whose words :class:`Segmenter` does not find: without spaces, or with marks within words.

    Args:
        texts: any texts.
        sample: how many texts to look at.
    """
    letters = Counter(
        unicodedata.name(character, "").split(" ")[0]
        for text in checked_texts(islice(texts, sample))
        for character in text
        if character.isalpha()
    )
    if not letters:
        return None
    script, number = letters.most_common(1)[0]
    if 2 * number <= letters.total() or script in _SEGMENTED:
        return None
    return script.capitalize()


def normalized(text: str) -> str:
    """The text in folded case, with single spaces: what counts as the same text in this package."""
    return " ".join(text.casefold().split())


def has_han(text: str) -> bool:
    """Whether a Han character stands in the text."""
    return _HAN.search(text) is not None


def checked_language(language: str) -> Language:
    """The language, if it is one of those that there are words for.

    Raises:
        ValueError: it is not; those that are are listed.
    """
    if language not in get_args(Language):
        raise ValueError(
            f"language={language!r} is not supported: there are word lists and a segmenter for "
            f"{' and '.join(map(repr, get_args(Language)))} only"
        )
    return language  # type: ignore[return-value]


def _folded(word: str) -> str:
    return word.casefold().replace("’", "'").replace("\x92", "'")


def _is_latin(character: str) -> bool:
    return character.isalnum() and not has_han(character)


@lru_cache(maxsize=1)
def _english_tokenizer() -> RegexpTokenizer:
    from nltk.tokenize import RegexpTokenizer

    return RegexpTokenizer(ENGLISH_WORD_PATTERN, flags=re.UNICODE)


@lru_cache(maxsize=1)
def _english_detokenizer() -> TreebankWordDetokenizer:
    from nltk.tokenize.treebank import TreebankWordDetokenizer

    return TreebankWordDetokenizer()


@lru_cache(maxsize=4)
def _chinese_cutter(user_dictionary: UserDictionary) -> JiebaCutter:
    # A cutter of our own: words that a program adds to jieba's shared one would change what a
    # saved tokenizer gives.
    import jieba

    jieba.setLogLevel(logging.WARNING)
    cutter = jieba.Tokenizer()
    for word, frequency, tag in user_dictionary:
        cutter.add_word(word, frequency, tag)
    return cutter
