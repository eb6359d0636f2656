"""A device of this machine -> its figures, measured by the products that models do: a second or so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from mmm_graph.parallel.product import product
from mmm_graph.plan.devices import Device

DTYPES = {"f64": torch.float64, "f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
WIDTH = 1024
CPU_ROWS, GPU_ROWS = 512, 8192
"""Of the products by which FLOP/s are measured: enough to fill the device."""
CPU_NUMBERS, GPU_NUMBERS = 1 << 25, 1 << 28
"""Of the weight by which the bandwidth is measured: many times what a cache holds."""
LEAST_S, TIMES = 0.2, 3
"""How long, and how often at least, each product is repeated; the fastest counts."""


def calibrate(name: str, dtypes: Iterable[str] = ("f32",), *, tf32: bool = False) -> Device:
    """What a device reaches now, beside whatever else runs on it.

    Args:
        name: "cpu", "cuda", "cuda:1" ...; it must be there.
        dtypes: whose products are measured.
        tf32: torch was told to use it; the figure of f32 is called tf32 then.
    """
    device = torch.device(name)
    rows = GPU_ROWS if device.type == "cuda" else CPU_ROWS
    flops: dict[str, float] = {}
    with torch.inference_mode():
        for dtype in dtypes:
            x, weight = (torch.ones(n, WIDTH, dtype=DTYPES[dtype], device=device) for n in (rows, WIDTH))
            rate = 2.0 * rows * WIDTH * WIDTH / _fastest(x, weight)
            flops["tf32" if tf32 and dtype == "f32" else dtype] = rate
        numbers = GPU_NUMBERS if device.type == "cuda" else CPU_NUMBERS
        weight = torch.ones(numbers // WIDTH, WIDTH, device=device)
        bandwidth = 4.0 * numbers / _fastest(torch.ones(1, WIDTH, device=device), weight)
    threads = torch.get_num_threads()
    where = f"{threads} thread{'s' if threads > 1 else ''}" if device.type == "cpu" else _gpu(device)
    return Device(flops=flops, bandwidth=bandwidth, source=f"measured here, {where}")


def _fastest(x: Tensor, weight: Tensor) -> float:
    """Seconds of their product."""
    wait: Callable[[], None] = torch.cuda.synchronize if x.device.type == "cuda" else lambda: None
    product(x, weight, None)  # the first one may compile a kernel
    found: list[float] = []
    while len(found) < TIMES or sum(found) < LEAST_S:
        wait()
        start = time.perf_counter()
        product(x, weight, None)
        wait()
        found.append(time.perf_counter() - start)
    return min(found)


def _gpu(device: torch.device) -> str:
    return torch.cuda.get_device_name(device)
