"""The precision that a machine computes in natively, and that a process trains in."""

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
