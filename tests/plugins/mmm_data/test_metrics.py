"""Metrics against cases whose answer is known."""

from __future__ import annotations

import pytest
import torch

from mmm_data.digits.config import DigitsConfig
from mmm_data.digits.dataset import enlarge, load_split
from mmm_data.metrics.config import DigitAccuracyConfig, NearestConfig
from mmm_data.metrics.ops import digit_accuracy, nearest_neighbour, psnr

pytest.importorskip("sklearn")


def test_classifier_is_right_on_at_least_98_percent_of_the_test_split() -> None:
    test = load_split(DigitsConfig(), "test")
    out = digit_accuracy(enlarge(test.pixels, DigitsConfig()), test.labels, DigitAccuracyConfig())
    assert out["mean"] >= 0.98
    assert out["mean"] == pytest.approx(float(out["test_accuracy"]))
    assert out["correct"].dtype == torch.bool and out["correct"].shape == test.labels.shape


def test_classifier_judges_by_the_label() -> None:
    train = load_split(DigitsConfig(), "train")
    images, labels = enlarge(train.pixels[:50], DigitsConfig()), train.labels[:50]
    assert digit_accuracy(images, labels, DigitAccuracyConfig())["mean"] == 1.0
    assert digit_accuracy(images, (labels + 1) % 10, DigitAccuracyConfig())["mean"] == 0.0


def test_a_moved_copy_is_found_and_named() -> None:
    train = load_split(DigitsConfig(), "train")
    images = enlarge(train.pixels[7:9], DigitsConfig())
    out = nearest_neighbour(images.roll((1, -2), (2, 3)), NearestConfig())
    assert out["copy"].all()
    assert out["nearest"].tolist() == train.ids[7:9].tolist()
    assert not nearest_neighbour(images.roll((1, -2), (2, 3)), NearestConfig(shift=0))["copy"].all()


def test_real_test_images_are_no_copies() -> None:
    test = load_split(DigitsConfig(), "test")
    out = nearest_neighbour(enlarge(test.pixels, DigitsConfig()), NearestConfig())
    assert out["copy"].float().mean() < 0.02
    assert out["mean"] == pytest.approx(float(out["real_mean"]))


def test_psnr_of_a_known_error() -> None:
    image = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    out = psnr(image, image + torch.tensor([0.1, 0.01]).view(2, 1, 1, 1))
    assert out["value"].tolist() == pytest.approx([20.0, 40.0], abs=1e-3)
    assert out["mean"] == pytest.approx(30.0, abs=1e-3)
