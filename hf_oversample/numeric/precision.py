"""The precision that a machine computes in natively."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch


def has_fast_bfloat16(device: str | torch.device | None = None) -> bool:
    """
    Whether matrix products in bfloat16 are faster than in float32: on a GPU of compute capability
    8, or a processor with AVX-512 BF16 or AMX. Elsewhere bfloat16 is emulated, and slower.

    Args:
        device: where the products are made; default: a GPU if there is one, else the processor.
    """
    import torch

    kind = "cuda" if torch.cuda.is_available() else "cpu"
    if device is not None:
        kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if kind != "cpu":
        return False
    known = torch.cpu.get_capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_tile"))


def chosen_precision(
    mixed_precision: Literal["auto", "no", "bf16"], device: str | torch.device | None = None
) -> Literal["no", "bf16"]:
    """What a training argument says, with "auto" decided for a device, as `has_fast_bfloat16`."""
    if mixed_precision != "auto":
        return mixed_precision
    return "bf16" if has_fast_bfloat16(device) else "no"
