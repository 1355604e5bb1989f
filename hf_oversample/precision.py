"""Which precision a machine computes in natively."""

from __future__ import annotations


def has_fast_bfloat16() -> bool:
    """
    Whether matrix products in bfloat16 are faster than in float32 here: a GPU of compute capability
        8 or a processor
    with AVX-512 BF16 or AMX. Elsewhere bfloat16 is emulated, and slower.
    """
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_capability()[0] >= 8
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
