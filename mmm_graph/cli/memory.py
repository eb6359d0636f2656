"""Predicted peaks against the memory that a device has: warnings before anything is loaded."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmm_graph.errors import Problem, problem
from mmm_graph.plan.devices import Device
from mmm_graph.plan.place import Plan


def too_large(
    peaks: Sequence[Mapping[str, Any] | None], device: str, plan: Plan, figures: Device | None = None
) -> Iterator[Problem]:
    """A warning for each device whose ranks need more than it has free.

    Args:
        peaks: of each rank, in bytes; None where nobody knows.
        device: "cpu" is shared by all ranks; "cuda" is one device for each, as is one that is not of this machine.
        figures: of one that is not.
    """
    known = {rank: peak["bytes"] for rank, peak in enumerate(peaks) if peak is not None}
    needs: Counter[str] = Counter()
    for rank, needed in known.items():
        each = (device == "cuda" or figures is not None) and plan.ranks > 1
        needs[f"{device}:{rank}" if each else device] += needed
    for name, needed in needs.items():
        free = free_bytes(name) if figures is None else figures.memory
        if free is not None and needed > free:
            resident = sorted(set(plan.models) - set(plan.offload))
            hint = "offload models (docs/running.md)" if resident else "take fewer parts ahead, or more ranks"
            message = f"{name} has {gib(free)} free, the run is predicted to need {gib(needed)} there"
            yield problem("E526", message, None, hint)


def free_bytes(device: str) -> int | None:
    """Memory that is free on a device; None where nobody says, or where there is no such device."""
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return _free_on_host()
    if kind != "cuda":
        return None
    import torch

    number = int(index or 0) if (index or "0").isdigit() else -1
    if not 0 <= number < torch.cuda.device_count():
        return None
    return int(torch.cuda.mem_get_info(number)[0])


def _free_on_host() -> int:
    """What can be had without swapping: on Linux pages of files that may be dropped count."""
    info = Path("/proc/meminfo")
    for line in info.read_text(encoding="utf-8").splitlines() if info.is_file() else ():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def gib(number: float) -> str:
    """Bytes in GiB."""
    return f"{number / 2**30:.1f} GiB"
