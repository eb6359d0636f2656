"""BLIP-2's first stage. Axes: b pairs, l vectors or features of an image, t tokens, d and c widths."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mmm_graph.errors import RunError, problem
from mmm_graph.nn.noise import Noise
from mmm_losses.contrastive.ops import nearest
from mmm_losses.contrastive.targets import ALL, belonging
from mmm_losses.language.config import NOT_SUPERVISED
from mmm_losses.matching.config import CaptionConfig, NegativesConfig
from mmm_losses.numbers import in_full_precision, mean_of, unit, widened

MATCHED, NOT_MATCHED = 1, 0


@torch.no_grad()
@in_full_precision
def hard_negatives(  # noqa: PLR0913 - its ports, by keyword
    image: Tensor,
    text: Tensor,
    features: Tensor,
    ids: Tensor,
    config: NegativesConfig,
    noise: Noise,
    scale: Tensor | None = None,
    mask: Tensor | None = None,
    pair_ids: Tensor | None = None,
    own: slice | None = None,
) -> dict[str, Tensor]:
    """Pairs that belong together, then images with another text's image, then images with another text.

    What is more alike is picked more often: with chances softmax(scale * cos).

    Args:
        image: [b,l,d] vectors of the images; the one nearest to a text counts.
        text: [b,d].
        features: [b,l,c] what a reader of pairs looks at.
        ids, mask: [b,t] tokens, and which are no padding.
        scale: []; None: 1 / temperature.
        pair_ids: [b]; pairs with equal ids are no negatives of each other.
        own: rows that negatives are picked for, among all; None: all of them.

    Returns:
        features, ids, mask: of 3 b pairs. labels: [3 b], 1 = they belong together.

    Raises:
        RunError: E780, pairs for which there is no negative in the batch.
    Source: Li et al. 2021 (arXiv:2107.07651), section 3.2; Li et al. 2023 (arXiv:2301.12597), section 3.1 (image-text
    matching).
    """
    x, y = (unit(widened(v)) if config.normalize else widened(v) for v in (image, text))
    factor = 1 / config.temperature if scale is None else widened(scale)
    together = belonging(pair_ids, None, len(x), x.device)
    rows = ALL if own is None else own
    _check_negatives(together[rows])
    logits = factor * nearest(x, y)
    seen = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool()
    # A text looks for a wrong image, an image for a wrong text.
    wrong_image = _pick(logits.mT[rows], together[rows], _drawn(noise, "image", len(x), rows))
    wrong_text = _pick(logits[rows], together[rows], _drawn(noise, "text", len(x), rows))
    wrong_image, wrong_text = wrong_image.to(features.device), wrong_text.to(ids.device)
    count = len(wrong_image)
    labels = torch.tensor([MATCHED, NOT_MATCHED, NOT_MATCHED], device=ids.device).repeat_interleave(count)
    return {
        "features": torch.cat([features[rows], features[wrong_image], features[rows]]),
        "ids": torch.cat([ids[rows], ids[rows], ids[wrong_text]]),
        "mask": torch.cat([seen[rows], seen[rows], seen[wrong_text]]),
        "labels": labels,
    }


def first(embeds: Tensor) -> Tensor:
    """[b,t,d] -> [b,d], the first token; of what BERT reads, it stands for the whole text."""
    return embeds[:, 0]


def matching(scores: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Cross entropy of "they belong together", from the mean of what all queries say.

    Args:
        scores: [b,l,2], of no and yes.
        labels: [b], 1 = yes.

    Returns:
        loss; accuracy: share of pairs that are told right.
    Source: Li et al. 2023 (arXiv:2301.12597), section 3.1 (image-text matching).
    """
    said = widened(scores).mean(1)
    wanted = labels.to(said.device)
    loss = F.cross_entropy(said, wanted, reduction="sum") / max(1, len(wanted))
    return {"loss": loss, "accuracy": mean_of((said.argmax(-1) == wanted).float())}


def caption(ids: Tensor, config: CaptionConfig, mask: Tensor | None = None) -> dict[str, Tensor]:
    """What a text decoder reads, and the labels of it: all tokens but padding.

    Args:
        ids, mask: [b,t].
    """
    labels = ids.clone()
    if config.first is not None and labels.shape[1]:
        labels[:, 0] = config.first
    read = labels if mask is None else torch.where(mask.bool(), labels, ids)
    wanted = read if mask is None else read.masked_fill(~mask.bool(), NOT_SUPERVISED)
    return {"ids": read, "labels": wanted}


def _drawn(noise: Noise, name: str, count: int, rows: slice) -> Tensor:
    """A number in [0, 1) for each row, drawn for the whole batch or for this rank's."""
    drawn = noise.uniform(dtype=torch.float64, name=name)
    return drawn[rows] if len(drawn) == count else drawn


def _pick(logits: Tensor, together: Tensor, drawn: Tensor) -> Tensor:
    """A column for each row, none that belongs to it."""
    chances = logits.double().masked_fill(together, -torch.inf).softmax(1).cumsum(1)
    level = drawn.to(chances.device)[:, None] * chances[:, -1:]
    return torch.searchsorted(chances, level, right=True)[:, 0].clamp(max=chances.shape[1] - 1)


def _check_negatives(together: Tensor) -> None:
    alone = together.all(1)
    if bool(alone.any()):
        rows = ", ".join(map(str, alone.nonzero()[:8, 0].tolist()))
        message = f"in a batch of {together.shape[1]} pairs there is no negative for {rows}"
        raise RunError(problem("E780", message, hint="a larger batch, of pairs with different ids"))
