"""The loop that draws texts token by token, and what it has cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessorList

from hf_oversample.models.writers.guidance import GuidedDecoderLogits, GuidedLogits
from hf_oversample.text.encoding import pad


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
    logits_of: GuidedLogits | GuidedDecoderLogits,
    processors: LogitsProcessorList,
    rooms: Sequence[int],
    ends: Sequence[int],
    forced: Sequence[Sequence[int]] | None = None,
) -> list[list[int] | None]:
    """
    New tokens of n texts, without the end.

    Args:
        logits_of: gives the next logits.
        processors: restrict them, and add the noise; the best is taken.
        rooms: n, tokens of each text at most, its end included.
        ends: tokens that end a text.
        forced: n rows, the tokens that each text begins with; `rooms` has room for them.

    Returns: n rows of what follows these; None for a text that has not ended.
    """
    scores = logits_of()
    device, number = scores.device, len(rooms)
    stops, room = torch.tensor(list(ends), device=device), torch.tensor(rooms, device=device)
    new = torch.empty(number, 0, dtype=torch.int64, device=device)
    begun = [list(row) for row in forced or [[]] * number]
    given, is_given = pad([np.asarray(row, np.int64) for row in begun], ends[0], device)
    has_ended = torch.zeros(number, dtype=torch.bool, device=device)
    for step in range(max(rooms)):
        if step:
            scores = logits_of(new[:, -1])
        drawn: Tensor = processors(new, scores).argmax(-1).masked_fill(has_ended, ends[0])
        is_new = torch.ones_like(has_ended)
        if step < given.shape[1]:
            is_new = is_given[:, step] == 0
            drawn = torch.where(is_new, drawn, given[:, step])
        new = torch.cat([new, drawn[:, None]], 1)
        has_ended |= torch.isin(drawn, stops) & is_new
        if bool((has_ended | (room <= step + 1)).all()):
            break
    rows: list[list[int] | None] = []
    for row, most, start in zip(new.tolist(), rooms, begun, strict=True):
        own = row[len(start) : most]
        place = next((i for i, token in enumerate(own) if token in ends), None)
        rows.append(None if place is None else own[:place])
    return rows
