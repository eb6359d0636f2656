"""Config of the loss of language models, without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mmm_graph.config import Config

NOT_SUPERVISED = -100
"""Label of a token that is not supervised."""


class NextTokenConfig(Config):
    """Cross entropy of the next token.

    Attributes:
        reduction: token: mean over the supervised tokens of the batch; sample: mean over samples of the mean over
            the supervised tokens of each, so that every sample counts the same, and so does every micro-batch.
        smoothing: share of the target spread over the vocabulary.
        z_loss: weight of log(sum(exp(logits)))^2, which keeps logits from drifting; PaLM 1e-4.
        segment_weights: weight of the tokens of segment 0, 1, 2 ... (port segments); what is beyond counts 1.
        masked: what a sample without a supervised token is: an error, or skipped (it counts 0).
        chunk: tokens whose logits are in float32 at the same time; on a GPU more are faster, on a CPU less (32).
    """

    reduction: Literal["token", "sample"] = "token"
    smoothing: float = Field(0.0, ge=0, lt=1)
    z_loss: float = Field(0.0, ge=0)
    segment_weights: tuple[Annotated[float, Field(ge=0)], ...] = ()
    masked: Literal["error", "skip"] = "error"
    chunk: int = Field(256, ge=1)
