"""Configs of the ops on videos; torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mmm_graph.config import Config


class FramesConfig(Config):
    """Which frames of a video are looked at.

    Attributes:
        num_frames: so many, evenly spaced: frame floor(i f / num_frames) of f; None: all.
    """

    num_frames: int | None = Field(8, ge=1)


class ClipsConfig(Config):
    """Which clips of a video are looked at.

    Attributes:
        num_clips: so many, their starts evenly spaced: the first at the start of the video, the last at its end.
        num_frames: of each clip, from its first to its last one, evenly spaced.
        span: frames of the video that a clip goes over; None, or more than there are: so many that the clips follow one
            another. ImageBind's clips are two seconds long.
    """

    num_clips: int = Field(5, ge=1)
    num_frames: int = Field(2, ge=1)
    span: int | None = Field(None, ge=1)


class StackConfig(Config):
    """How frames become clips again.

    Attributes:
        num_frames: of each clip.
    """

    num_frames: int = Field(2, ge=1)


class PoolFramesConfig(Config):
    """How the tokens of the frames of a video become those of the video.

    Attributes:
        mode: the mean over its frames, place by place; or the tokens of one frame after the other.
        num_frames: of every video, which `concat` needs to know; for `mean` they may differ in number.
    """

    mode: Literal["mean", "concat"] = "mean"
    num_frames: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _check(self) -> PoolFramesConfig:
        if self.mode == "concat" and self.num_frames is None:
            raise ValueError("mode: concat needs num_frames, so that the number of tokens is known")
        return self

    @property
    def times(self) -> int | None:
        """Tokens of a video for each token of a frame."""
        return 1 if self.mode == "mean" else self.num_frames
