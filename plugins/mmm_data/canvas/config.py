"""Configs of the canvas datasets; torch-free."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mmm_data.digits.config import DigitSplit, Split

CELLS = 4
"""Places of a canvas: two rows of two."""
MAX_TURNS = 8
Count = Annotated[int, Field(ge=1, le=CELLS)]
Kind = Literal["place", "count", "sum", "exists"]


class CanvasConfig(DigitSplit):
    """Canvases. Everything about item i is keyed by (seed, i), but for one scan, which is i mod n of the n scans.

    Attributes:
        size: height and width of a canvas [px], even; a digit with its margin takes half of each.
        split: train or test; no scan is in both.
        batch: canvases a batch.
        length: how many canvases there are.
        counts: how many digits a canvas may hold, each as often; one that stands twice is twice as often.
        anywhere: a digit that is alone may stand anywhere, and its caption does not say where; false: in one of the
            four places, as others do.
        seed: of what stands where, jitter and captions.
        shift: largest displacement along each axis [pixels of the scan].
        rotate: largest rotation [degrees].
        zoom: largest relative change of size.
    """

    split: Split = "train"
    batch: int = Field(64, ge=1)
    length: int = Field(20_000, ge=1, le=1_000_000)
    counts: tuple[Count, ...] = Field((1, 2, 3, 4), min_length=1)
    anywhere: bool = True
    seed: int = 0
    shift: float = Field(0.0, ge=0.0, le=4.0)
    rotate: float = Field(0.0, ge=0.0, le=45.0)
    zoom: float = Field(0.0, ge=0.0, le=0.5)

    @model_validator(mode="after")
    def _check(self) -> CanvasConfig:
        if self.size % 2:
            raise ValueError(f"size {self.size} is odd, and a canvas has two columns of one width")
        return self


class QuestionsConfig(CanvasConfig):
    """Canvases with a question each.

    Attributes:
        anywhere: here false, so that every digit has a place that can be asked for.
        kinds: what is asked: which digit is at a place, how many there are, their sum, whether a digit is there.
        phrasing: train or test; no phrasing is in both, and each word of the test phrasings is in the train ones.
        medium: what the conversations show: the image of the canvas, or a text that says what is on it.
        turns: questions in a conversation, one after the other about one canvas: more answers to learn from, for one
            look at it. `question`, `answer` and `prompt` are of the first.
    """

    anywhere: bool = False
    kinds: tuple[Kind, ...] = Field(("place", "count", "sum", "exists"), min_length=1)
    phrasing: Split = "train"
    medium: Literal["image", "text"] = "image"
    turns: int = Field(1, ge=1, le=MAX_TURNS)
