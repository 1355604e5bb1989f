"""The precision that a machine computes in natively, and that a process trains in."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def leave_other_precision(precision: str) -> None:
    """
    Let the next `Accelerator` of this process have a mixed precision of its own.

    accelerate keeps one for all accelerators of a process: a second training would fail, or take
    the first one's silently. Trainings that are over are not harmed; the process group stays.

    Args:
        precision: of the next one, "no" or "bf16".
    """
    from accelerate.state import AcceleratorState

    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != precision:
        AcceleratorState._reset_state()
