"""Images -> what a classifier, the training set, or the originals say about them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmm_data.digits.config import DigitSplit
from mmm_data.digits.dataset import enlarge, load_split
from mmm_data.metrics.config import DigitAccuracyConfig, NearestConfig
from mmm_graph.errors import RunError, problem


def digit_accuracy(image: Tensor, label: Tensor, config: DigitAccuracyConfig) -> dict[str, Tensor]:
    """Ask the classifier. Returns mean [], correct [b], predicted [b], test_accuracy []."""
    classifier, test_accuracy = fit_classifier(config)
    predicted = torch.from_numpy(classifier.predict(features(image, config.cells))).to(label)
    correct = predicted == label
    return {
        "mean": correct.float().mean(),
        "correct": correct,
        "predicted": predicted,
        "test_accuracy": torch.tensor(test_accuracy),
    }


def nearest_neighbour(image: Tensor, config: NearestConfig) -> dict[str, Tensor]:
    """Distances [b] (root mean square over pixels) to the nearest training image, its id, what is a copy."""
    scans, train = training_images(config)
    distance, index = nearest(image, train, config.shift)
    real = real_distances(config)
    copy = distance < config.copy_share * real.median()
    return {
        "mean": distance.mean(),
        "distance": distance,
        "nearest": scans[index],
        "copy": copy,
        "copies": copy.float().mean(),
        "real_mean": real.mean(),
        "real_median": real.median(),
    }


def psnr(image: Tensor, target: Tensor) -> dict[str, Tensor]:
    """-10 log10(mean squared error) for each image; two equal images give the figure of an error of 1e-10."""
    error = (image.float() - target.float()).square().flatten(1).mean(1)
    value = -10.0 * error.clamp(min=1e-10).log10()
    return {"mean": value.mean(), "value": value}


def features(image: Tensor, cells: int) -> Any:
    """Cell means as the rows that scikit-learn reads [b, cells^2]."""
    return F.adaptive_avg_pool2d(image.detach().float().cpu(), cells).flatten(1).numpy()


@lru_cache(maxsize=4)
def fit_classifier(
    config: DigitAccuracyConfig, prepare: Callable[[Tensor], Tensor] | None = None
) -> tuple[Any, float]:
    """The fitted classifier and its accuracy on the test split (a value of the arguments alone, so kept).

    Args:
        prepare: what is done to images [n,1,size,size] first; None: nothing.

    Raises:
        RunError: scikit-learn is not installed.
    """
    try:
        from sklearn.svm import SVC
    except ImportError as error:
        raise RunError(
            problem(
                "E711",
                f"metric.digit_accuracy needs scikit-learn: {error}",
                hint="pip install 'mmm_graph[train]'",
            )
        ) from error
    rows = {}
    for split in ("train", "test"):
        scans = load_split(config, split)
        images = enlarge(scans.pixels, config)
        rows[split] = (
            features(images if prepare is None else prepare(images), config.cells),
            scans.labels.numpy(),
        )
    classifier = SVC(C=config.c, gamma=config.gamma)
    classifier.fit(*rows["train"])
    score = classifier.score(*rows["test"])
    return classifier, float(score)


@lru_cache(maxsize=4)
def training_images(config: DigitSplit) -> tuple[Tensor, Tensor]:
    """Ids [n] and images [n,1,h,w] of the train split."""
    scans = load_split(config, "train")
    return scans.ids, enlarge(scans.pixels, config)


@lru_cache(maxsize=4)
def real_distances(config: NearestConfig) -> Tensor:
    """Distance of each test image to its nearest training image [n]: how near two real scans are."""
    test = enlarge(load_split(config, "test").pixels, config)
    return nearest(test, training_images(config)[1], config.shift)[0]


def nearest(image: Tensor, train: Tensor, shift: int) -> tuple[Tensor, Tensor]:
    """Distance to and index of the nearest of `train` [n,1,h,w], each [b], over moves by up to `shift` px."""
    height, width = train.shape[-2:]
    padded = F.pad(image.detach().float().cpu(), (shift,) * 4)
    best = torch.full((len(image),), torch.inf)
    index = torch.zeros(len(image), dtype=torch.long)
    for dy in range(2 * shift + 1):
        for dx in range(2 * shift + 1):
            moved = padded[..., dy : dy + height, dx : dx + width].flatten(1)
            distance, at = torch.cdist(moved, train.flatten(1)).min(1)
            better = distance < best
            best, index = torch.where(better, distance, best), torch.where(better, at, index)
    return best / (height * width) ** 0.5, index
