"""Settings of the ops that put media into texts; torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmm_graph.config import Config

Side = Literal["left", "right"]


class SpliceConfig(Config):
    """How media take their places.

    Attributes:
        pad: the side on which the shorter conversations of a batch are filled up: right for training, left for
            generating, where the last place must be a token.
        expanded: a medium has as many places in the ids as it has embeds, as the processors of transformers write them;
            the length stays what it is. False: it has one place, which grows.
        context: most tokens of a conversation with its media; None: no limit.
    """

    pad: Side = "right"
    expanded: bool = False
    context: int | None = Field(default=None, ge=1)


class PrependConfig(Config):
    """How a soft prompt is put before a text.

    Attributes:
        pad: the side on which shorter texts are filled up.
        context: most tokens of a text with its prompt; None: no limit.
    """

    pad: Side = "right"
    context: int | None = Field(default=None, ge=1)
