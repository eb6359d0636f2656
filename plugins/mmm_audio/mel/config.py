"""Config of audio.mel; torch-free. The defaults are those of the audio spectrogram transformer on AudioSet."""

from __future__ import annotations

from pydantic import Field, model_validator

from mmm_graph.config import Config


class MelConfig(Config):
    """How sound becomes a log mel spectrogram.

    Attributes:
        rate: of the sound [Hz]; sound of another rate is refused when the graph is compiled.
        frame_ms, hop_ms: length of a frame, and from the start of one to that of the next [ms].
        bins: filters, evenly spaced on the mel scale.
        low_hz, high_hz: between which the filters lie; `high_hz` None: half of `rate`.
        preemphasis: this much of the sample before is taken off each sample.
        frames: that come out: what is longer is cut off, what is shorter is followed by zeros before the mean is
            taken off; None: as many as the sound has.
        mean, std: of the log energies over the data set: x becomes (x - mean) / (2 std); both None: x.
    """

    rate: int = Field(16000, ge=100, le=1_000_000)
    frame_ms: float = Field(25.0, gt=0, le=10_000)
    hop_ms: float = Field(10.0, gt=0, le=10_000)
    bins: int = Field(128, ge=1, le=4096)
    low_hz: float = Field(20.0, ge=0)
    high_hz: float | None = Field(None, gt=0)
    preemphasis: float = Field(0.97, ge=0, le=1)
    frames: int | None = Field(1024, ge=1)
    mean: float | None = -4.2677393
    std: float | None = 4.5689974

    @model_validator(mode="after")
    def _check(self) -> MelConfig:
        if self.frame_samples < 2 or self.hop_samples < 1:
            raise ValueError(
                f"at {self.rate} Hz a frame has {self.frame_samples} samples and a hop {self.hop_samples}: too few"
            )
        if not self.low_hz < self.highest_hz <= self.rate / 2:
            raise ValueError(
                f"filters from {self.low_hz:g} to {self.highest_hz:g} Hz do not lie below half of the rate, "
                f"{self.rate / 2:g} Hz"
            )
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together: set both or neither")
        if self.std is not None and self.std <= 0:
            raise ValueError(f"std must be above 0, found {self.std:g}")
        return self

    @property
    def frame_samples(self) -> int:
        """Samples of a frame."""
        return int(self.rate * self.frame_ms / 1000)

    @property
    def hop_samples(self) -> int:
        """Samples from the start of a frame to that of the next."""
        return int(self.rate * self.hop_ms / 1000)

    @property
    def highest_hz(self) -> float:
        """Where the last filter ends."""
        return self.rate / 2 if self.high_hz is None else self.high_hz
