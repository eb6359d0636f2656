"""Config of the loss of denoisers, without torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmm_graph.config import Config


class DiffusionLossConfig(Config):
    """Squared error of a denoiser.

    Attributes:
        weighting: none = the simple loss; min_snr = levels with much signal count less; for flows also sigma_sqrt
            (1 / sigma^2) and cosmap. All but none need the port snr.
        gamma: signal-to-noise ratio beyond which min_snr gives no more weight.
        prediction: what the denoiser predicts; must be the scheduler's.
    """

    weighting: Literal["none", "min_snr", "sigma_sqrt", "cosmap"] = "none"
    gamma: float = Field(5.0, gt=0)
    prediction: Literal["epsilon", "v", "sample", "flow"] | None = None
