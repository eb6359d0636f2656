"""Tokens as they come into a language model."""

from __future__ import annotations

from torch import Tensor

from mmm_graph.errors import RunError, problem


def check_ids(ids: Tensor, vocab_size: int, reader: str) -> None:
    """Refuse tokens [b,t] that the model does not have.

    One token more is of the model's own making and is not looked at: that would wait for a device.

    Raises:
        RunError: E749.
    """
    if ids.shape[1] == 1 or ids.is_meta:
        return
    found = [int(each) for each in (ids.min(), ids.max())] if ids.numel() else []
    wrong = [each for each in found if not 0 <= each < vocab_size]
    if wrong:
        what = f"the token {wrong[0]}, but {reader} has {vocab_size} tokens, 0 to {vocab_size - 1}"
        raise RunError(problem("E749", what, hint="the tokenizer and the model are not of one checkpoint"))
