"""Config of the digit world; torch-free."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mmm_data.digits.config import DigitSplit, Split
from mmm_data.world.phrases import Medium

MEDIA: tuple[Medium, ...] = ("text", "image", "audio", "video")
RATE = 8000
"""Of sounds [Hz], as on the telephone."""


def task(text: str) -> tuple[Medium, tuple[Medium, ...]]:
    """`image->text+audio`: what is given, and what is wanted.

    Raises:
        ValueError: it is not of that form.
    """
    given, arrow, wanted = text.partition("->")
    found = [medium for medium in MEDIA if medium in wanted.split("+")]
    if not (arrow and found) or given not in MEDIA or wanted != "+".join(found):
        names = ", ".join(MEDIA)
        raise ValueError(
            f"{text!r} is no task: write GIVEN->WANTED, or GIVEN->WANTED+WANTED, of {names} in this order"
        )
    return next(m for m in MEDIA if m == given), tuple(found)


def _is_task(text: str) -> str:
    task(text)
    return text


Task = Annotated[str, AfterValidator(_is_task)]
SINGLE = tuple(f"{given}->{wanted}" for given in MEDIA for wanted in MEDIA)
MIXED = (
    *(f"{given}->text+{wanted}" for given in MEDIA[1:] for wanted in MEDIA[1:]),
    "text->image+audio",
    "text->image+video",
    "text->audio+video",
)


class WorldConfig(DigitSplit):
    """Requests in the digit world. Everything about item i is keyed by (seed, i).

    Attributes:
        size: height and width of pictures and frames [px], even.
        split: of the scans: no scan is in both.
        phrasing: train or test; no phrasing is in both, and each word of the test phrasings is in the train ones.
        batch: requests a batch.
        length: how many there are.
        tasks: what is given and wanted, each as often; one that stands twice is twice as often.
        medium: what requests show: the medium itself, or a text that says what it shows.
        every: each item has a picture, a sound and a video of its digit, and captions of them, whether its answer has
            them or not; then `move` is that of this video. false: only what the answer has.
        before: share of requests that come after another one and its answer, and of these that come after two. Half of
            those that would name their digit say "it" then, which is the digit of the one before.
        seed: of digits, phrasings, jitter, tones and noise.
        shift: largest displacement of a scan along each axis [pixels of the scan].
        rotate: largest rotation [degrees].
        zoom: largest relative change of size.
        frames: of a video.
        samples: of a sound, at 8000 Hz.
        noise: least and greatest level of the noise below the tones [dB].
    """

    split: Split = "train"
    phrasing: Split = "train"
    batch: int = Field(64, ge=1)
    length: int = Field(20_000, ge=1, le=1_000_000)
    tasks: tuple[Task, ...] = Field((*SINGLE, *MIXED), min_length=1)
    medium: Literal["itself", "text"] = "itself"
    every: bool = False
    before: float = Field(0.0, ge=0.0, lt=1.0)
    seed: int = 0
    shift: float = Field(0.4, ge=0.0, le=4.0)
    rotate: float = Field(8.0, ge=0.0, le=45.0)
    zoom: float = Field(0.08, ge=0.0, le=0.5)
    frames: int = Field(8, ge=2, le=64)
    samples: int = Field(2048, ge=512, le=80_000)
    noise: tuple[float, float] = (10.0, 30.0)
