"""(seed, index) -> which scans stand where on a canvas. Axes: i canvases, k the four places, row by row."""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import shake_256

import numpy as np
import torch
from torch import Tensor

from mmm_data.canvas.config import CELLS, MAX_TURNS, CanvasConfig

ORDER, SCANS, SPOT, JITTER, CAPTION = slice(1, 5), slice(5, 9), slice(9, 11), slice(11, 27), slice(27, 31)
"""Which of an item's numbers decide what; the first one decides how many digits there are."""
ASK = 6
"""Numbers of a question: its kind, and what it asks."""
NUMBERS = CAPTION.stop + ASK * MAX_TURNS


@dataclass(frozen=True)
class Layout:
    """What stands where.

    Attributes:
        scan: int64 [i,k], number of the scan at each place, -1 where there is none.
        corner: int64 [i,k,2], y and x of the upper left pixel that a scan with its margin takes [px].
        jitter: [i,k,4], shifts x and y [pixels of the scan], rotation [rad], zoom.
        free: bool [i], of canvases whose one digit may stand anywhere.
        caption: [i,4] in [0,1), how the caption is phrased.
        asked: [i,turns,6] in [0,1), of each question its kind, and what it asks.
    """

    scan: Tensor
    corner: Tensor
    jitter: Tensor
    free: Tensor
    caption: Tensor
    asked: Tensor


def lay_out(config: CanvasConfig, num_scans: int) -> Layout:
    """The layouts of all items."""
    units = hash_units(config.seed, config.length, NUMBERS, "canvas")
    index = torch.arange(config.length)
    counts = torch.tensor(config.counts)[(units[:, 0] * len(config.counts)).long()]
    rank = units[:, ORDER].argsort(1).argsort(1)
    scan = (units[:, SCANS] * num_scans).long()
    scan = torch.where(rank == 0, index[:, None] % num_scans, scan).masked_fill(rank >= counts[:, None], -1)
    half = config.size // 2
    places = torch.tensor([[0, 0], [0, half], [half, 0], [half, half]])
    free = (counts == 1) & config.anywhere
    spot = (units[:, None, SPOT] * (half + 1)).long()
    corner = torch.where(free[:, None, None], spot, places.expand(config.length, CELLS, 2))
    reach = torch.tensor([config.shift, config.shift, math.radians(config.rotate), config.zoom])
    jitter = (2 * units[:, JITTER].reshape(-1, CELLS, 4) - 1) * reach
    asked = units[:, CAPTION.stop :].reshape(-1, MAX_TURNS, ASK)
    return Layout(scan, corner, jitter.float(), free, units[:, CAPTION], asked)


def hash_units(seed: int, length: int, count: int, name: str) -> Tensor:
    """float64 [i,count] in [0, 1): row i depends on (seed, i, name) alone, and is the same on every machine."""
    rows = [shake_256(f"{seed}/{i}/{name}".encode()).digest(8 * count) for i in range(length)]
    numbers = np.frombuffer(b"".join(rows), dtype=">u8").reshape(length, count)
    return torch.from_numpy((numbers >> 11).astype(np.float64) / 2**53)
