"""Motion modules. Axes: b videos, f frames, c h w; h between the parts of the U-Net has rows (b f)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmm_graph.errors import RunError, problem
from mmm_graph.nn.parts import State, need, run_parts
from mmm_graph.nn.temporal import TemporalTransformer, as_clip, as_frames
from mmm_motion.config import MotionConfig, Place

READER = "the motion module"
BASE = 10000.0


class Motion(nn.Module):
    """All motion modules of a U-Net, by the names of its parts.

    Source: Guo et al. 2023 (arXiv:2307.04725), section 4.2.
    """

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({place.name: MotionModule(config, place) for place in config.places})

    def forward(self, state: State) -> Tensor:
        """{h, frames} -> h, through all of them; a U-Net has its own layers between them."""
        return need(run_parts(self.parts, self.parts, state), "h", READER)


class MotionModule(nn.Module):
    """h + project(layers(project(norm(h)))) along the frames of each pixel: (b f) c h w -> the same, and a skip.

    Identity at initialisation.
    """

    def __init__(self, config: MotionConfig, place: Place) -> None:
        super().__init__()
        width, heads = place.channels, place.num_heads
        self.place, self.max_frames = place, config.max_frames
        self.along = TemporalTransformer(width, heads, width // heads, config.groups, layers=place.layers)

    def forward(self, state: State) -> dict[str, Tensor]:
        """{h [(b f),c,h,w], frames [b,f]} -> {h, and the skip of this place}.

        Raises:
            RunError: E785, more frames than there are positions for, or another number of channels.
        """
        h, numbers = need(state, "h", READER), need(state, "frames", READER)
        b, f = numbers.shape
        if f > self.max_frames:
            message = f"a video of {f} frames; the motion modules know positions of {self.max_frames}"
            raise RunError(problem("E785", message, hint=f"ask for at most {self.max_frames} frames"))
        if h.shape[1] != self.place.channels:
            name, wanted = self.place.name, self.place.channels
            message = f"{h.shape[1]} channels at {name}; the motion module there is for {wanted}"
            raise RunError(
                problem("E785", message, hint="the U-Net must be of the family that the modules are for")
            )
        h = as_frames(self.along(as_clip(h, b), positions(f, h.shape[1]).to(h)))
        return {"h": h, self.place.skip: h} if self.place.skip else {"h": h}


def positions(frames: int, dim: int) -> Tensor:
    """Sines and cosines in turn, of the number of each frame: f d.

    Source: Vaswani et al. 2017 (arXiv:1706.03762), section 3.5.
    """
    rates = BASE ** (-torch.arange(0, dim, 2) / dim)
    angles = torch.arange(frames)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
