"""Losses over pairs of images and texts. Axes: b pairs, d width, l vectors of one image.

They see one batch: what ranks and micro-batches hold is put together before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mmm_graph.errors import RunError, problem
from mmm_losses.contrastive.config import CyCLIPConfig, InfoNCEConfig, SigLIPConfig
from mmm_losses.contrastive.targets import belonging, cross_entropy, own_rows
from mmm_losses.numbers import in_full_precision, unit, widened


@in_full_precision
def info_nce(
    image: Tensor,
    text: Tensor,
    config: InfoNCEConfig,
    scale: Tensor | None = None,
    ids: Tensor | None = None,
    text_ids: Tensor | None = None,
    own: slice | None = None,
) -> Tensor:
    """Which text belongs to an image, which image to a text: the mean of both cross entropies.

    Args:
        image, text: [b,d], pair by pair.
        scale: [] that cosines are multiplied with; None: 1 / temperature.
        ids: [b] of the images; equal ids are no negatives of each other.
        text_ids: [b] of the texts; None: those of the images.
        own: rows of this rank; read where `local` is set.

    Source: Radford et al. 2021 (arXiv:2103.00020), figure 3; equal ids: Li et al. 2023 (arXiv:2301.12597) as
    released.
    """
    x, y = _vectors(image, config.normalize), _vectors(text, config.normalize)
    rows, factor = own_rows(config.local, own), _factor(scale, config)
    together = belonging(ids, text_ids, len(x), x.device)
    return _both_ways(factor * x[rows] @ y.mT, factor * y[rows] @ x.mT, together, rows, config)


@in_full_precision
def image_text_contrast(
    image: Tensor,
    text: Tensor,
    config: InfoNCEConfig,
    scale: Tensor | None = None,
    ids: Tensor | None = None,
    text_ids: Tensor | None = None,
    own: slice | None = None,
) -> Tensor:
    """InfoNCE where an image has several vectors [b,l,d]; the one nearest to the text counts.

    Other arguments are those of `info_nce`.

    Source: Li et al. 2023 (arXiv:2301.12597), section 3.1 (image-text contrastive learning).
    """
    x, y = _vectors(image, config.normalize), _vectors(text, config.normalize)
    rows, factor = own_rows(config.local, own), _factor(scale, config)
    together = belonging(ids, text_ids, len(x), x.device)
    seen = nearest(x[rows], y)
    read = seen.mT if len(seen) == len(x) else nearest(x, y[rows]).mT
    return _both_ways(factor * seen, factor * read, together, rows, config)


def nearest(image: Tensor, text: Tensor) -> Tensor:
    """max over l of <image, text>: [b,l,d], [v,d] -> [b,v]."""
    return torch.einsum("bld,vd->bvl", image, text).amax(-1)


@in_full_precision
def siglip(
    image: Tensor,
    text: Tensor,
    scale: Tensor,
    config: SigLIPConfig,
    bias: Tensor | None = None,
    ids: Tensor | None = None,
    text_ids: Tensor | None = None,
    own: slice | None = None,
) -> Tensor:
    """-1/b sum over all pairs of log sigmoid(z (scale cos + bias)), z = 1 where they belong together, else -1.

    Args:
        image, text: [b,d], pair by pair.
        scale, bias: [].
        ids, text_ids, own: as of `info_nce`.

    Raises:
        RunError: E779, there is no bias: nearly all pairs are negative, and without it training starts by undoing that.
    Source: Zhai et al. 2023 (arXiv:2303.15343), algorithm 1.
    """
    if bias is None:
        hint = "projector.temperature: config: {init: 0.1, max: null, bias: -10}, and link bias: name.bias"
        raise RunError(problem("E779", "loss.siglip got no bias", hint=hint))
    x, y = _vectors(image, config.normalize), _vectors(text, config.normalize)
    rows = own_rows(config.local, own)
    pairs = belonging(ids, text_ids, len(x), x.device)[rows]
    logits = widened(scale) * x[rows] @ y.mT + widened(bias)
    paired = torch.eye(len(x), dtype=torch.bool, device=x.device)[rows]
    sign = torch.where(pairs, 1.0, -1.0).to(logits.dtype)
    terms = -F.logsigmoid(sign * logits)
    if config.repeats == "mask":
        terms = terms.masked_fill(pairs & ~paired, 0.0)
    return terms.sum() / max(1, len(terms))


@in_full_precision
def cyclip(image: Tensor, text: Tensor, config: CyCLIPConfig) -> dict[str, Tensor]:
    """How far similarities are from being the same both ways, and inside both modalities.

    Args:
        image, text: [b,d], pair by pair.

    Returns:
        loss: weighted sum of the others. cross: 1/b sum_jk (<x_j, y_k> - <x_k, y_j>)^2. within: 1/b sum_jk
        (<x_j, x_k> - <y_j, y_k>)^2.
    Source: Goel et al. 2022 (arXiv:2205.14459), both cyclic consistencies.
    """
    x, y = _vectors(image, config.normalize), _vectors(text, config.normalize)
    sides = x @ y.mT
    count = max(1, len(x))
    cross = (sides - sides.mT).square().sum() / count
    within = (x @ x.mT - y @ y.mT).square().sum() / count
    return {"loss": config.cross * cross + config.within * within, "cross": cross, "within": within}


def ids_of_text(text: Sequence[str]) -> Tensor:
    """A number [b] for each text: equal for equal texts, on every rank and in every run."""
    digests = (hashlib.blake2b(words.encode(), digest_size=8).digest() for words in text)
    return torch.tensor([int.from_bytes(d, "big") >> 1 for d in digests], dtype=torch.int64)


def _vectors(x: Tensor, normalize: bool) -> Tensor:
    return unit(widened(x)) if normalize else widened(x)


def _factor(scale: Tensor | None, config: InfoNCEConfig) -> Tensor | float:
    return 1 / config.temperature if scale is None else widened(scale)


def _both_ways(seen: Tensor, read: Tensor, together: Tensor, rows: slice, config: InfoNCEConfig) -> Tensor:
    """Mean of images to texts and texts to images."""
    first = cross_entropy(seen, together, rows, config.repeats, config.smoothing)
    second = cross_entropy(read, together.mT, rows, config.repeats, config.smoothing)
    return (first + second) / 2
