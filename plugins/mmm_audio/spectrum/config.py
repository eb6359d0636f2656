"""Config of audio.to_spectrum and audio.from_spectrum; torch-free."""

from __future__ import annotations

from pydantic import Field, model_validator

from mmm_graph.config import Config


class SpectrumConfig(Config):
    """How sound becomes a spectrogram of a band; both ops are told the same.

    Attributes:
        rate: of the sound [Hz].
        window: samples of a frame; its bins are rate / window apart.
        hop: samples from one frame to the next; it divides the length of the sound, and is at most half a window.
        low, bins: the first bin of the band, and how many it has.
        floor_db: what is so far below a tone of amplitude 1 and what is fainter becomes -1; such a tone becomes 1.
    """

    rate: int = Field(8000, ge=100, le=1_000_000)
    window: int = Field(256, ge=16, le=65_536, multiple_of=2)
    hop: int = Field(128, ge=1)
    low: int = Field(0, ge=0)
    bins: int = Field(128, ge=1)
    floor_db: float = Field(60.0, gt=0, le=200)

    @model_validator(mode="after")
    def _check(self) -> SpectrumConfig:
        if self.hop > self.window // 2:
            raise ValueError(
                f"hop {self.hop} is above half of the window, {self.window // 2}: sound would be lost"
            )
        if self.low + self.bins > self.window // 2 + 1:
            most = self.window // 2 + 1
            raise ValueError(f"{self.bins} bins from {self.low} on: a window of {self.window} has {most}")
        return self


class SoundConfig(SpectrumConfig):
    """Attributes: rounds: of Griffin and Lim's search for phases."""

    rounds: int = Field(32, ge=1, le=1000)
