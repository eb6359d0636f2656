"""Speed and memory of a training, for the log."""

from __future__ import annotations

import sys

import torch


def speed_row(samples: int, tokens: int, seconds: float, device: torch.device) -> dict[str, float]:
    """`samples_per_s`, `tokens_per_s` where there are tokens, and `memory_gb`: the most so far, 10^9 bytes.

    Memory is that of tensors on an accelerator, else of the whole process.
    """
    row = {"samples_per_s": round(samples / seconds, 1)}
    if tokens:
        row["tokens_per_s"] = round(tokens / seconds, 1)
    peak = peak_bytes(device)
    return row if peak is None else {**row, "memory_gb": round(peak / 1e9, 3)}


def peak_bytes(device: torch.device) -> int | None:
    """The most memory so far: of tensors on an accelerator, else of the whole process; None where nobody says."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # not on this system
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
