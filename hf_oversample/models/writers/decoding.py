"""The loop that draws texts token by token, and what it has cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from transformers import LogitsProcessorList

from hf_oversample.models.writers.guidance import GuidedLogits


@dataclass
class Usage:
    """Requests and tokens so far; `reused` answers came from a journal and cost nothing."""

    requests: int = 0
    prompt_tokens: int = 0
    written_tokens: int = 0
    reused: int = 0

    def to_dict(self) -> dict[str, int]:
        """As plain values."""
        return asdict(self)


@torch.no_grad()
def drawn_tokens(
    logits_of: GuidedLogits,
    processors: LogitsProcessorList,
    rooms: Sequence[int],
    ends: Sequence[int],
) -> list[list[int] | None]:
    """
    New tokens of n texts, without the end.

    Args:
        logits_of: gives the next logits.
        processors: restrict them, and add the noise; the best is taken.
        rooms: n, tokens of each text at most, its end included.
        ends: tokens that end a text.

    Returns: n rows; None for a text that has not ended.
    """
    scores = logits_of()
    device, number = scores.device, len(rooms)
    stops, room = torch.tensor(list(ends), device=device), torch.tensor(rooms, device=device)
    new = torch.empty(number, 0, dtype=torch.int64, device=device)
    has_ended = torch.zeros(number, dtype=torch.bool, device=device)
    for step in range(max(rooms)):
        if step:
            scores = logits_of(new[:, -1])
        drawn: Tensor = processors(new, scores).argmax(-1).masked_fill(has_ended, ends[0])
        new = torch.cat([new, drawn[:, None]], 1)
        has_ended |= torch.isin(drawn, stops)
        if bool((has_ended | (room <= step + 1)).all()):
            break
    rows: list[list[int] | None] = []
    for row, most in zip(new.tolist(), rooms, strict=True):
        place = next((i for i, token in enumerate(row[:most]) if token in ends), None)
        rows.append(None if place is None else row[:place])
    return rows
