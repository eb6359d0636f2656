"""Sounds and videos of the digit world -> which digit they dial or show, and which way it goes, by rules."""

from __future__ import annotations

import torch
from torch import Tensor

from mmm_data.metrics.config import DigitAccuracyConfig, MotionConfig, ToneConfig
from mmm_data.metrics.ops import features, fit_classifier
from mmm_data.world.motion import seen_moves, tracked
from mmm_data.world.tones import heard_digits


def tone_digit(audio: Tensor, label: Tensor, config: ToneConfig) -> dict[str, Tensor]:
    """Ask the Goertzel filters. Returns mean [], correct [b], predicted [b]."""
    return _judged(heard_digits(audio, config.share), label)


def motion(video: Tensor, label: Tensor, config: MotionConfig) -> dict[str, Tensor]:
    """Follow the centre of what is bright. Returns mean [], correct [b], predicted [b]."""
    return _judged(seen_moves(video, config.least), label)


def moving_digit(video: Tensor, label: Tensor, config: DigitAccuracyConfig) -> dict[str, Tensor]:
    """Ask a classifier of centred digits about what moves. Returns mean [], correct [b], predicted [b]."""
    classifier, _ = fit_classifier(config, centred)
    found = features(tracked(video, config.size), config.cells)
    return _judged(torch.from_numpy(classifier.predict(found)) if len(found) else label, label)


def centred(images: Tensor) -> Tensor:
    """[n,1,s,s] with the centre of what is bright in the middle."""
    return tracked(images[:, None], images.shape[-1])


def _judged(predicted: Tensor, label: Tensor) -> dict[str, Tensor]:
    predicted = predicted.to(label)
    correct = predicted == label
    mean = correct.float().mean() if correct.numel() else torch.zeros(())
    return {"mean": mean, "correct": correct, "predicted": predicted}
