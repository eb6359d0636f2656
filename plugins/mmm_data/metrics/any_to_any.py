"""Answers of the digit world -> whether they show what was wanted, and nothing else. Axes: b answers; i, q, p media."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmm_data.metrics.answers import exact_match
from mmm_data.metrics.config import DigitAccuracyConfig, MotionConfig, ToneConfig, WorldAnswerConfig
from mmm_data.metrics.ops import digit_accuracy
from mmm_data.metrics.world import motion, moving_digit, tone_digit


def world_answer(
    text: Sequence[str],
    answer: Sequence[str],
    digit: Tensor,
    move: Tensor,
    wanted_image: Tensor,
    wanted_audio: Tensor,
    wanted_video: Tensor,
    config: WorldAnswerConfig,
    image: Tensor | None = None,
    image_rows: Tensor | None = None,
    audio: Tensor | None = None,
    audio_rows: Tensor | None = None,
    video: Tensor | None = None,
    video_rows: Tensor | None = None,
) -> dict[str, Tensor]:
    """Ask the judges of each medium.

    Args:
        text, answer: [b] what was said and what is right; empty: nothing.
        digit, move: [b] what media are to show.
        wanted_image, wanted_audio, wanted_video: [b] whether an answer is to have one.
        image: [i,1,h,w], audio: [q,1,n], video: [p,f,3,h,w] that were made; None: none.
        image_rows, audio_rows, video_rows: the answer that each belongs to.

    Returns:
        correct: [b] the text is right where one is wanted, and each medium that is wanted is there and right.
        exact: [b] there is one of each medium that is wanted, and none of another; a text is a medium.
    """
    wanted = {
        "text": torch.tensor([bool(one.strip()) for one in answer]),
        **{"image": wanted_image.cpu(), "audio": wanted_audio.cpu(), "video": wanted_video.cpu()},
    }
    count = {"text": torch.tensor([float(bool(one.strip())) for one in text])}
    right = {"text": count["text"] * exact_match(text, answer)["correct"]}
    media = {"image": (image, image_rows), "audio": (audio, audio_rows), "video": (video, video_rows)}
    for name, (made, rows) in media.items():
        count[name], right[name] = torch.zeros(len(text)), torch.zeros(len(text))
        if made is not None and rows is not None and len(rows):
            judged = _judge(name, made, digit[rows], move[rows], config).cpu().float()
            count[name].index_add_(0, rows.cpu(), torch.ones(len(rows)))
            right[name].index_add_(0, rows.cpu(), judged)
    shown = [~want | ((count[name] > 0) & (right[name] == count[name])) for name, want in wanted.items()]
    exact = [count[name] == want for name, want in wanted.items()]
    return {"correct": torch.stack(shown).all(0), "exact": torch.stack(exact).all(0)}


def _judge(name: str, made: Tensor, digit: Tensor, move: Tensor, config: WorldAnswerConfig) -> Tensor:
    """Which of the media of one kind are right."""
    if name == "image":
        return digit_accuracy(made, digit, DigitAccuracyConfig(size=config.size))["correct"]
    if name == "audio":
        return tone_digit(made, digit, ToneConfig())["correct"]
    shown = moving_digit(made, digit, DigitAccuracyConfig(size=config.size // 2))["correct"]
    return shown & motion(made, move, MotionConfig())["correct"].to(shown)
