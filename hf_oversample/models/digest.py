"""A model's weights as a short string."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def weights_digest(model: nn.Module) -> str:
    """Digest of all weights and buffers (names, shapes, precisions, values): 32 hex digits.

    What a map function holds of a model that is left out of its pickle: `datasets` keys its cache
    by the pickle, and would return rows of the old weights where new ones lie in the same folder.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
