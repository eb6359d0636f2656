"""Digits that move across a video, and which way one moves. Axes: b videos, f frames, k the four directions."""

from __future__ import annotations

import torch
from torch import Tensor

from mmm_data.world.phrases import MOVES

STEPS = torch.tensor([[0, -1], [0, 1], [-1, 0], [1, 0]])
"""y and x of a step in each of the four directions."""
assert len(STEPS) == len(MOVES)
WAY = 0.75
"""Share of the free way that a digit goes."""


def corners(move: int, frames: int, free: int, along: float, across: float) -> Tensor:
    """Where the upper left pixel of a digit is in each frame, y and x: int64 [f,2].

    Args:
        free: how far a digit can go [px].
        along, across: numbers in [0, 1): where on its way it starts, and how far from the side it goes.
    """
    way = WAY * free
    line = torch.linspace(0, way, frames) + along * (free - way)
    step = STEPS[move]
    if step.sum() < 0:
        line = free - line
    side = torch.full((frames,), across * free)
    return torch.stack([line, side] if step[0] else [side, line], 1).round().long()


def centres(video: Tensor) -> Tensor:
    """Centre of what is bright in each frame of [b,f,c,h,w], y and x [px]: float64 [b,f,2]."""
    x = video.detach().double().cpu().mean(2)
    x = (x - 0.2).clamp(min=0) + 1e-9  # what is nearly black does not count
    height, width = x.shape[-2:]
    mass = x.sum((-2, -1))
    rows = (x.sum(-1) * torch.arange(height)).sum(-1) / mass
    columns = (x.sum(-2) * torch.arange(width)).sum(-1) / mass
    return torch.stack([rows, columns], -1)


def seen_moves(video: Tensor, least: float) -> Tensor:
    """Which way the centre goes in each video [b,f,c,h,w], as a place in MOVES, or -1: [b].

    Args:
        least: of the way along the main axis from the first to the last frame, by the best straight line [px].
    """
    where = centres(video)
    time = torch.arange(where.shape[1], dtype=torch.float64)
    time = time - time.mean()
    way = (where * time[:, None]).sum(1) / time.square().sum() * (where.shape[1] - 1)  # b, 2
    scores = way @ STEPS.double().mT  # b k
    best = scores.max(1)
    return torch.where(best.values >= least, best.indices, -1)


def tracked(video: Tensor, side: int) -> Tensor:
    """The digit of a video by itself: the mean over frames of a square around its centre, [b,1,side,side]."""
    where = centres(video)
    x = video.detach().double().cpu().mean(2)
    height, width = x.shape[-2:]
    steps = (torch.arange(side, dtype=torch.float64) - (side - 1) / 2) * 2
    y = (2 * where[..., 0:1] - (height - 1) + steps) / (height - 1)  # b f side
    z = (2 * where[..., 1:2] - (width - 1) + steps) / (width - 1)
    grid = torch.stack(torch.broadcast_tensors(z[..., None, :], y[..., :, None]), -1)
    cut = torch.nn.functional.grid_sample(x.flatten(0, 1)[:, None], grid.flatten(0, 1), align_corners=True)
    return cut.view(*x.shape[:2], 1, side, side).mean(1).float()
