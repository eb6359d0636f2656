"""What may stand beside `format:` under `save:` of an output of sound; torch-free."""

from __future__ import annotations

from pydantic import Field

from mmm_graph.config import Config


class SoundOptions(Config):
    """How sound becomes a file.

    Attributes:
        rate: of the samples [Hz]; default: what the type of the output says, as `{16000}`.
    """

    rate: int = Field(ge=1, le=1_000_000)
