"""Config of audio.clips; torch-free. The defaults are ImageBind's."""

from __future__ import annotations

from pydantic import Field

from mmm_graph.config import Config


class ClipsConfig(Config):
    """Which clips of a sound are listened to.

    Attributes:
        rate: of the sound [Hz]; sound of another rate is refused when the graph is compiled.
        seconds: of each clip [s]; the clips of a sound that is shorter are all of it.
        num_clips: so many, their starts evenly spaced: the first at the start of the sound, the last at its end.
    """

    rate: int = Field(16000, ge=100, le=1_000_000)
    seconds: float = Field(2.0, gt=0, le=3600)
    num_clips: int = Field(3, ge=1)

    @property
    def samples(self) -> int:
        """Of each clip."""
        return max(1, int(self.rate * self.seconds))
