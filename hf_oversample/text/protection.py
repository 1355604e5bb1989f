"""What an edit of a text must leave as it is: placeholders, addresses, names, tags, numbers, code.

One place for every editor (MISO's edits, easy data augmentation, embedding neighbours): a word that
touches a protected span is neither replaced, moved nor deleted, and nothing is written into one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hf_oversample.text.words import Segmenter, is_negation

Span = tuple[int, int]

_HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# Chinese runs on without a space: an address ends where the script changes, but for /路径.
_ADDRESS_CHARACTER = rf"(?:[^\s<>\"{_HAN}\u3000-\u303f\uff00-\uffef]|(?<=[/=_%\-])[{_HAN}]+)"
_NAME = rf"(?:(?![{_HAN}])\w)"  # a letter, digit or _ of an alphabet
_COMMON_ENDINGS = "com|net|org|edu|gov|info|biz|mobi|io|co|tv|uk|us|de|fr|eu|cn|jp|in|ru"

_STARTS = rf"(?<![^\W{_HAN}])(?<![.+\-])"  # no character of an address stands before

_DEFAULT = re.compile(
    "|".join(
        [
            rf"(?:[a-z][a-z0-9+.\-]{{1,20}}://|{_STARTS}(?:www\.|mailto:|tel:)){_ADDRESS_CHARACTER}+",
            rf"{_STARTS}(?:{_NAME}|[.+\-])+@{_NAME}[\w\-]*(?:\.{_NAME}[\w\-]*)+",  # mail
            rf"{_STARTS}(?:{_NAME}|[.+\-])+@[\w\-]+\.(?:{_COMMON_ENDINGS})\b",  # at 例.cn
            # C:\\Users\\me, ~/notes, ./a/b, /usr/bin, a/b/c.py: not and/or
            rf"(?<!\w)[a-z]:\\[^\s{_HAN}]+",
            r"(?<![\w/])(?:~|\.{1,2})/[\w.\-/]*\w",
            r"(?<![\w/])/[\w.\-]+(?:/[\w.\-]*\w)+",
            r"(?<![\w/.\-])[\w.\-]+(?:/[\w.\-]+)*/[\w\-]+\.[a-z]\w{0,4}\b",
            r"(?<!\S)--[a-z][\w\-]*(?:=\S+)?",  # --flag=value
            # FIRST_NAME, foo_bar(x), print()
            rf"(?<!\w)[^\W_{_HAN}]+(?:_[^\W_{_HAN}]+)+(?:\(\w*\))?",
            rf"(?<!\w){_NAME}+\(\)",
            # bit.ly/abc, example.com
            rf"{_STARTS}(?:(?:{_NAME}|-)+\.)+"
            rf"(?:[a-z]{{2,}}(?=[/?:]\S)(?:[/?:]{_ADDRESS_CHARACTER}+)|(?:{_COMMON_ENDINGS})\b)",
            r"[@＠][\w.\-]+",  # @name
            rf"[#＃](?=[{_HAN}])[^#＃\n]{{1,60}}[#＃]",  # #话题#
            r"[#＃]\w[\w\-]*",  # #tag
            r"&(?:\w+|#\w+);",  # &lt;
            # %NAME%, %s %-5.2f %(name)s %1$s, $name, __NAME__
            r"%\w+%",
            r"%(?:\(\w+\)|\d+\$)?[#0+\-]*(?:\d+|\*)?(?:\.(?:\d+|\*))?(?:hh|ll|[hlLqjzt])?"
            r"[diouxXeEfFgGcrsabp@]",
            r"\$[^\W\d]\w*",
            r"(?<!\w)__\w+?__(?!\w)",
            # a number, £1.50, 2nd, A380
            rf"[£$€¥₹+\-]?(?<![^\W{_HAN}]){_NAME}*\d(?:{_NAME}|[.,:/'’\-](?=\d))*[%£€¥₹°]?",
        ]
    ),
    re.IGNORECASE,
)
_BRACKETS = {
    **{"[": "]", "<": ">", "{": "}", "［": "］", "＜": "＞", "｛": "｝", "【": "】"},
}
_BRACKET = re.compile("|".join(map(re.escape, [*_BRACKETS, *_BRACKETS.values()])))
_TICKS = re.compile(r"`+|~{3,}")


@dataclass(frozen=True)
class Protection:
    """
    Finds the spans of a text that stay byte for byte.

    By default: all inside brackets `[]`, `<>`, `{}` and `【】`, the brackets included; printf-like
    and shell-like placeholders; web and mail addresses; @names and #tags; numbers and words with a
    digit; HTML entities; paths of files, --flags, names with underscores and calls; code in
    backticks and in fences. An opening bracket that is never closed
    protects nothing, a fence that is never closed the rest of the text.

    Args:
        pattern: a regular expression of Python's `re` of further spans; matches of no character
            count for nothing.
        defaults: whether the spans above are protected too.

    Raises:
        ValueError: the pattern is no regular expression.
    """

    pattern: str | None = None
    defaults: bool = True

    def __post_init__(self) -> None:
        if self.pattern is None:
            return
        try:
            re.compile(self.pattern)
        except (re.error, TypeError) as error:
            raise ValueError(
                f"protect is {self.pattern!r}, which is no regular expression: {error}. A "
                "character that has a meaning in one, such as [ or (, is written with a backslash "
                "before it: \\["
            ) from error

    def spans(self, text: str) -> list[Span]:
        """Start and end of each protected span, in order; they neither overlap nor touch."""
        found: list[Span] = []
        if self.pattern is not None:
            found += (match.span() for match in re.finditer(self.pattern, text))
        if self.defaults:
            found += (match.span() for match in _DEFAULT.finditer(text))
            found += _bracketed(text)
            found += _code(text)
        return _merged(found)

    def covers(self, text: str, spans: Sequence[Span]) -> list[bool]:
        """Of each of these spans, which are in order, whether it touches a protected character."""
        protected = self.spans(text)
        result, place = [], 0
        for start, end in spans:
            while place < len(protected) and protected[place][1] <= start:
                place += 1
            result.append(place < len(protected) and protected[place][0] < end)
        return result


DEFAULT_PROTECTION = Protection()


def free_words(
    text: str, spans: Sequence[Span], segmenter: Segmenter, protection: Protection
) -> list[bool]:
    """
    Which words an edit may change: those with letters that touch nothing protected.

    Args:
        text: any text.
        spans: of its words, as the segmenter gives them.
        segmenter: of its language.
        protection: what stays.
    """
    return [
        not covered and segmenter.is_word(text[start:end])
        for (start, end), covered in zip(spans, protection.covers(text, spans), strict=True)
    ]


def replaceable_words(
    text: str, spans: Sequence[Span], segmenter: Segmenter, protection: Protection
) -> list[bool]:
    """As `free_words`, without negations: another word in their place turns the sentence round."""
    return [
        free and not is_negation(text[start:end], segmenter.language)
        for (start, end), free in zip(
            spans, free_words(text, spans, segmenter, protection), strict=True
        )
    ]


def _bracketed(text: str) -> list[Span]:
    """Matched pairs of each kind of bracket, nested ones too."""
    closers = {closer: opener for opener, closer in _BRACKETS.items()}
    open_at: dict[str, list[int]] = {opener: [] for opener in _BRACKETS}
    found = []
    for match in _BRACKET.finditer(text):
        bracket = match.group()
        if bracket in _BRACKETS:
            open_at[bracket].append(match.start())
        elif open_at[closers[bracket]]:
            found.append((open_at[closers[bracket]].pop(), match.end()))
    return found


def _code(text: str) -> list[Span]:
    """Runs of backticks to the next run as long (CommonMark, sections 4.5 and 6.1)."""
    found, opened = [], None
    runs = list(_TICKS.finditer(text))
    # from the end: where the next run of the same characters is
    after: dict[str, int] = {}
    following = [-1] * len(runs)
    for number in range(len(runs) - 1, -1, -1):
        following[number] = after.get(runs[number].group(), -1)
        after[runs[number].group()] = number
    number = 0
    while number < len(runs):
        opened, closed = runs[number], following[number]
        starts_line = not text[text.rfind("\n", 0, opened.start()) + 1 : opened.start()].strip()
        is_fence = len(opened.group()) >= 3 and starts_line
        if closed >= 0 and (is_fence or opened.group()[0] == "`"):
            found.append((opened.start(), runs[closed].end()))
            number = closed + 1
        elif is_fence:
            found.append((opened.start(), len(text)))
            break
        else:
            number += 1
    return found


def _merged(spans: Iterable[Span]) -> list[Span]:
    result: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result
