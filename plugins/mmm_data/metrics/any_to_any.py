"""Media of answers in the digit world -> whether each answer has what was wanted. Axes: b answers; r media."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmm_data.metrics.answers import words
from mmm_data.metrics.config import DigitAccuracyConfig, MotionConfig, ToneConfig, WorldAnswerConfig
from mmm_data.metrics.ops import digit_accuracy
from mmm_data.metrics.world import motion, moving_digit, tone_digit


def world_answer(
    wanted: Tensor,
    digit: Tensor,
    move: Tensor,
    config: WorldAnswerConfig,
    made: Any = None,
    rows: Tensor | None = None,
) -> dict[str, Tensor]:
    """Ask the judge of a medium.

    Args:
        wanted: [b] whether an answer is to have one. digit, move: [b] what it is to show.
        made: [r,1,h,w] pictures, [r,1,n] sounds or [r,f,3,h,w] videos; None: none.
        rows: [r] the answer that each belongs to.

    Returns:
        correct: [b] where one is wanted there is one, and all are right.
        exact: [b] there is one where one is wanted, and none elsewhere.
    """
    count, right = torch.zeros(len(wanted)), torch.zeros(len(wanted))
    if made is not None and rows is not None and len(rows):
        judged = _judge(made, digit[rows], move[rows], config).cpu().float()
        count.index_add_(0, rows.cpu(), torch.ones(len(rows)))
        right.index_add_(0, rows.cpu(), judged)
    want = wanted.cpu().bool()
    return {"correct": ~want | ((count > 0) & (right == count)), "exact": count == want}


def said_answer(text: Sequence[str], answer: Sequence[str]) -> dict[str, Tensor]:
    """As `world_answer` of a text [b]: where the right answer [b] is empty none is wanted."""
    pairs = [(words(one), words(other)) for one, other in zip(text, answer, strict=True)]
    return {
        "correct": torch.tensor([not wanted or said == wanted for said, wanted in pairs]),
        "exact": torch.tensor([bool(said) == bool(wanted) for said, wanted in pairs]),
    }


def every(of: Sequence[Tensor]) -> Tensor:
    """Whether all are true, row by row: [b]."""
    return torch.stack([one.cpu().bool() for one in of]).all(0)


def _judge(made: Tensor, digit: Tensor, move: Tensor, config: WorldAnswerConfig) -> Tensor:
    """Which are right: [r]."""
    if config.medium == "image":
        return digit_accuracy(made, digit, DigitAccuracyConfig(size=config.size))["correct"]
    if config.medium == "audio":
        return tone_digit(made, digit, ToneConfig())["correct"]
    shown = moving_digit(made, digit, DigitAccuracyConfig(size=config.size // 2))["correct"]
    return shown & motion(made, move, MotionConfig())["correct"].to(shown)
