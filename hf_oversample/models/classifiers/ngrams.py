"""Class scores from the n-grams of a text's tokens: what a head reads beside its vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# An n-gram's code is a polynomial of its token ids, its bucket the top bits of a product with 2⁶⁴
# over the golden ratio. Both wrap around at 64 bits, the same on every device.
_BASE = 1_000_003
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)


def ngram_buckets(
    input_ids: Tensor, attention_mask: Tensor, length: int, buckets: int
) -> tuple[Tensor, Tensor, Tensor]:
    """
    The n-grams of texts, each as the number of a bucket that it shares with few others.

    Args:
        input_ids: `[n, tokens]`, of any integer type.
        attention_mask: `[n, tokens]`, 0 for padding, on either side.
        length: n-grams of 1 to so many tokens.
        buckets: how many there are, a power of two, 2 at least.

    Returns: `[m]` rows, `[m]` buckets and `[m]` counts, int64; by row, then by bucket.
    """
    bits = buckets.bit_length() - 1
    input_ids, is_there = input_ids.long(), attention_mask.bool()
    rows = torch.arange(len(input_ids), device=input_ids.device)[:, None]
    code, whole, keys = torch.zeros_like(input_ids), is_there, []
    for size in range(1, length + 1):
        # of the n-gram that ends at each token, from that of one less that ends at the token before
        own = input_ids[:, size - 1 :] + 1
        code = own if size == 1 else code[:, :-1] * _BASE + own
        whole = is_there if size == 1 else whole[:, :-1] & is_there[:, size - 1 :]
        bucket = ((code * _GOLDEN) >> (64 - bits)) & (buckets - 1)
        keys.append((rows * buckets + bucket)[whole])
    found, counts = torch.unique(torch.cat(keys), return_counts=True)
    return found // buckets, found % buckets, counts


class NgramScores(nn.Module):
    """
    A linear head on n-grams of tokens: `Σ_g w_g x_g`, where x is (1 + ln count) · idf, of length 1.

    Args:
        buckets: of n-grams, a power of two (feature hashing, Weinberger et al. 2009).
        length: n-grams of 1 to so many tokens.
        classes: how many class scores.
    """

    idf: Tensor

    def __init__(self, buckets: int, length: int, classes: int) -> None:
        super().__init__()
        self.buckets, self.length = buckets, length
        self.weight = nn.Parameter(torch.zeros(buckets, classes))
        self.register_buffer("idf", torch.ones(buckets))

    def features(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """
        What is read of texts: `[m]` rows, `[m]` buckets, `[m]` values, those of a row of length 1.

        Args:
            input_ids: `[n, tokens]`.
            attention_mask: `[n, tokens]`, 0 for padding.
        """
        rows, buckets, counts = ngram_buckets(input_ids, attention_mask, self.length, self.buckets)
        values = (1 + counts.float().log()) * self.idf[buckets].float()
        squares = values.new_zeros(len(input_ids)).index_add_(0, rows, values**2)
        return rows, buckets, values / squares[rows].sqrt()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Class scores `[n, classes]` float32; 0 of a text without a token."""
        rows, buckets, values = self.features(input_ids, attention_mask)
        scores = values.new_zeros(len(input_ids), self.weight.shape[1])
        return scores.index_add_(0, rows, values[:, None] * self.weight[buckets].float())
