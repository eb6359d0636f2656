"""Configs of the ops that prepare pictures; torch-free."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mmm_graph.config import Config

Side = Annotated[int, Field(ge=1, le=16384)]
Size = tuple[Side, Side]
"""Height and width [px]."""
Byte = Annotated[int, Field(ge=0, le=255)]
Colour = tuple[float, float, float]
"""Of the channels of a picture."""
Resample = Literal["nearest", "bilinear", "bicubic", "lanczos"]


CLIP_MEAN: Colour = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Colour = (0.26862954, 0.26130258, 0.27577711)


class PreprocessConfig(Config):
    """What is done to a picture, in this order; with the defaults it is only normalised.

    Attributes:
        pad_square: the shorter side is padded to the longer one, in this colour [0 to 255] or in the mean.
        size: height and width that it is scaled to, whatever its form [px]; one number is a square.
        shortest: the shorter side is scaled to this [px], the longer one with it.
        longest: most that the longer side may have then; without `shortest`, what the longer side is scaled to [px].
        resample: interpolation, antialiased where it shrinks.
        crop: height and width that are cut out of the middle [px], black where nothing is; one number is a square.
        mean, std: of each channel, taken off and divided by; both None: the pixels stay in [0,1].
    """

    pad_square: tuple[Byte, Byte, Byte] | Literal["mean"] | None = None
    size: Size | Side | None = None
    shortest: Side | None = None
    longest: Side | None = None
    resample: Resample = "bicubic"
    crop: Size | Side | None = None
    mean: Colour | None = CLIP_MEAN
    std: Colour | None = CLIP_STD

    @model_validator(mode="after")
    def _check(self) -> PreprocessConfig:
        if self.size is not None and (self.shortest or self.longest):
            raise ValueError(
                "size scales to height and width, shortest and longest keep the form; set one of them"
            )
        if self.shortest and self.longest and self.longest <= self.shortest:
            raise ValueError(f"longest {self.longest} must be more than shortest {self.shortest}")
        if self.pad_square == "mean" and self.mean is None:
            raise ValueError("pad_square: mean needs `mean`")
        check_norm(self.mean, self.std)
        return self

    @property
    def scaled_to(self) -> Size | None:
        """`size` as height and width."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def cropped_to(self) -> Size | None:
        """`crop` as height and width."""
        return (self.crop, self.crop) if isinstance(self.crop, int) else self.crop

    @property
    def height(self) -> int | None:
        """Of all pictures that come out [px]; None: theirs say."""
        return self._end[0]

    @property
    def width(self) -> int | None:
        """Of all pictures that come out [px]; None: theirs say."""
        return self._end[1]

    @property
    def _end(self) -> tuple[int, int] | tuple[None, None]:
        return self.cropped_to or self.scaled_to or (None, None)


class TilesConfig(Config):
    """How a picture of any form is cut into tiles.

    Attributes:
        size: height = width of a tile [px].
        pinpoints: height and width of the grids of tiles that there are [px], multiples of `size`. The one is taken in
            which most of the picture's pixels are left, of several the one in which least is empty.
        resample: interpolation, antialiased where it shrinks.
        mean, std: of each channel, taken off and divided by; both None: the pixels stay in [0,1].
    """

    size: int = Field(336, ge=1, le=16384)
    pinpoints: tuple[Size, ...] = Field(
        ((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008)), min_length=1
    )
    resample: Resample = "bicubic"
    mean: Colour | None = CLIP_MEAN
    std: Colour | None = CLIP_STD

    @model_validator(mode="after")
    def _check(self) -> TilesConfig:
        for height, width in self.pinpoints:
            if height % self.size or width % self.size:
                raise ValueError(f"{height} x {width} is no grid of tiles of {self.size} x {self.size}")
        check_norm(self.mean, self.std)
        return self


class IsolateConfig(Config):
    """How the one thing in a picture comes to stand on a canvas. The defaults are those of the digit world.

    Attributes:
        size: height = width of the canvas [px].
        side: height = width of the square in its middle that the thing is drawn in [px].
        grain: pixels that its longer side is made of, before it is enlarged to the square.
        margin: empty ones around these.
    """

    size: int = Field(32, ge=1, le=4096)
    side: int = Field(16, ge=1, le=4096)
    grain: int = Field(8, ge=1, le=4096)
    margin: int = Field(1, ge=0, le=64)

    @model_validator(mode="after")
    def _check(self) -> IsolateConfig:
        if self.side > self.size:
            raise ValueError(f"a square of {self.side} px does not fit on a canvas of {self.size} px")
        return self


def check_norm(mean: Colour | None, std: Colour | None) -> None:
    """Refuse one without the other, and to divide by nothing.

    Raises:
        ValueError: so it is.
    """
    if (mean is None) != (std is None):
        raise ValueError("mean and std go together: set both or neither")
    if std is not None and min(std) <= 0:
        raise ValueError(f"std must be above 0 in every channel, found {', '.join(map(str, std))}")
