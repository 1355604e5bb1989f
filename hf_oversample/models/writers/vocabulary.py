"""Decoding with the words of given texts alone.

A word that no training text has tells a classifier that a row was made: to a vocabulary of the
training words it is "unknown", and unknown then means "rare". Tokens alone do not prevent it, as
tokens of known words join to unknown ones. So words are kept as runs of tokens, in a tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import LogitsProcessor

from hf_oversample.models.writers.encoding import PrefixedText, PrefixedTexts
from hf_oversample.text.words import Segmenter, has_han

ROOT = 0


@dataclass
class WordTree:
    """
    Runs of tokens that are words or punctuation of texts.

    Attributes:
        children: node → token → node.
        is_word: of a node, whether a run ends there.
        open: tokens that may begin a run anywhere: words behind a space, punctuation, Han.
        glued: node of a run → tokens that began a word right behind it, without a space, in some
            text.
        symbols: punctuation → tokens that begin with it without a space: twice in a row it is
            another word ("!!"), which is written where a text has it.
        last: node of a run → its last character.
    """

    children: list[dict[int, int]] = field(default_factory=lambda: [{}])
    is_word: list[bool] = field(default_factory=lambda: [False])
    open: set[int] = field(default_factory=set)
    glued: dict[int, set[int]] = field(default_factory=dict)
    symbols: dict[str, set[int]] = field(default_factory=dict)
    last: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, texts: Iterable[str], encode: PrefixedTexts, segmenter: Segmenter, prefix: str
    ) -> WordTree:
        """
        The tree of some texts.

        Args:
            texts: the texts.
            encode: the language model's tokens.
            segmenter: finds the words.
            prefix: what texts are encoded behind.
        """
        tree = cls()
        for text in texts:
            before = ROOT
            encoded = encode(prefix, text)
            for first, last in word_runs(encoded, text, segmenter):
                node = tree._add(encoded.ids[first:last])
                start = max(encoded.starts[first], 0)
                while start < len(text) - 1 and text[start].isspace():
                    start += 1
                is_behind_space = start == 0 or text[start - 1].isspace()
                token, character = encoded.ids[first], text[start]
                if is_behind_space or not character.isalnum() or has_han(character):
                    tree.open.add(token)
                if not is_behind_space:
                    tree.glued.setdefault(before, set()).add(token)
                    if not character.isalnum():
                        tree.symbols.setdefault(character, set()).add(token)
                tree.last[node] = text[encoded.ends[last - 1] - 1]
                before = node
        return tree

    def _add(self, run: Sequence[int]) -> int:
        node = ROOT
        for token in run:
            if token not in self.children[node]:
                self.children[node][token] = len(self.children)
                self.children.append({})
                self.is_word.append(False)
            node = self.children[node][token]
        self.is_word[node] = True
        return node

    def advance(self, state: frozenset[int], token: int) -> frozenset[int]:
        """The nodes that a text may be at after one more token; none after a foreign one."""
        after = {self.children[n][token] for n in state if token in self.children[n]}
        ended = [n for n in state if n == ROOT or self.is_word[n]]
        if token in self.children[ROOT] and any(self._may_begin(n, token) for n in ended):
            after.add(self.children[ROOT][token])
        return frozenset(after)

    def _may_begin(self, node: int, token: int) -> bool:
        return token in self.glued.get(node, ()) or (
            token in self.open and token not in self._barred(node)
        )

    def _barred(self, node: int) -> set[int]:
        return self.symbols.get(self.last.get(node, ""), set())

    def next_tokens(self, state: frozenset[int]) -> tuple[bool, set[int], set[int]]:
        """Whether a run may end here, so that any open token or the end may follow; the open tokens
        that may not even so; and the further tokens that may."""
        ended = [n for n in state if n == ROOT or self.is_word[n]]
        tokens = {token for n in state for token in self.children[n] if n != ROOT}
        for node in ended:
            tokens |= self.glued.get(node, set())
        barred = set.intersection(*map(self._barred, ended)) if ended else set()
        return bool(ended), barred - tokens, tokens


def word_runs(encoded: PrefixedText, text: str, segmenter: Segmenter) -> list[tuple[int, int]]:
    """
    A text's tokens cut where words end: `(first, last + 1)` of each run. A run is a word, or more
    of them where a token holds parts of two.
    """
    inside = {place for start, end in segmenter.spans(text) for place in range(start + 1, end)}
    runs, first = [], 0
    for i, end in enumerate(encoded.ends):
        # bytes of one character are tokens of one place
        is_whole = i + 1 == len(encoded.ends) or encoded.starts[i + 1] >= end
        # a space alone belongs to the word behind it
        is_space = end < 1 or text[end - 1].isspace()
        is_last = i + 1 == len(encoded.ends)
        if is_whole and end not in inside and (is_last or not is_space):
            runs.append((first, i + 1))
            first = i + 1
    return runs


class TrainingWords(LogitsProcessor):
    """
    Only tokens that go on with words of a tree, or end the text where a word ends.

    Args:
        tree: the words.
        starts: token ids of the starts of n texts, which were cut where a word ends.
        ends: tokens that end a text.
    """

    def __init__(self, tree: WordTree, starts: Sequence[Sequence[int]], ends: Sequence[int]):
        self.tree, self.ends = tree, list(ends)
        self.states = [self._after(frozenset({ROOT}), start) for start in starts]
        self.seen = 0
        self._open: Tensor | None = None

    def _after(self, state: frozenset[int], tokens: Sequence[int]) -> frozenset[int]:
        for token in tokens:
            state = self.tree.advance(state, token)
        return state

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """New tokens so far `[n, l]` and logits `[n, vocabulary]` → logits, −∞ where not
        allowed."""
        for column in input_ids[:, self.seen :].T.tolist():
            self.states = [
                self._after(state, [token])
                for state, token in zip(self.states, column, strict=True)
            ]
        self.seen = input_ids.shape[1]
        if self._open is None:
            self._open = torch.zeros(scores.shape[1], dtype=torch.bool)
            self._open[[*self.tree.open, *self.ends]] = True
        allowed = torch.zeros(scores.shape, dtype=torch.bool)
        for row, state in enumerate(self.states):
            ends, barred, tokens = self.tree.next_tokens(state)
            if ends:
                allowed[row] = self._open
                allowed[row, list(barred)] = False
            allowed[row, list(tokens)] = True
            if not state:  # it has ended: nothing but the end is left
                allowed[row, self.ends] = True
        return scores.masked_fill(~allowed.to(scores.device), -torch.inf)
