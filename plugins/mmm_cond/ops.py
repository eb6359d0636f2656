"""Embeds joined and emptied, constants of a batch, texts made plain. Axes: b batch, t tokens, d width."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmm_cond.config import ConcatConfig, LabelConfig, NormaliseConfig, NumberConfig, SizeConfig

NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def concat(parts: Sequence[Tensor], config: ConcatConfig) -> Tensor:
    """Embeds b t d of several encoders as one.

    Raises:
        ValueError: their other axes differ.
    """
    if any(part.ndim != 3 for part in parts):
        raise ValueError("only embeds of tokens, b t d, are joined; vectors are by embeds.concat_pooled")
    if config.axis == "d":
        return torch.cat(list(parts), dim=-1)
    width = max(part.shape[-1] for part in parts)
    if not config.pad and any(part.shape[-1] != width for part in parts):
        widths = ", ".join(str(part.shape[-1]) for part in parts)
        raise ValueError(f"parts of widths {widths} are joined along t with `pad: true` only")
    return torch.cat([F.pad(part, (0, width - part.shape[-1])) for part in parts], dim=1)


def concat_pooled(parts: Sequence[Tensor]) -> Tensor:
    """Vectors b d of several encoders as one."""
    return torch.cat(list(parts), dim=-1)


def zero_empty(text: Sequence[str], embeds: Tensor, pooled: Tensor) -> dict[str, Tensor]:
    """Zeros in place of what was encoded of an empty text.

    Source: Podell et al. 2023 (arXiv:2307.01952) as released: `force_zeros_for_empty_prompt`.
    """
    kept = torch.tensor([bool(each) for each in text], device=embeds.device)
    return {"embeds": embeds * kept[:, None, None], "pooled": pooled * kept[:, None]}


def count_all(embeds: Tensor) -> Tensor:
    """Embeds b t d -> a mask b t of ones."""
    return torch.ones(embeds.shape[:2], dtype=torch.bool, device=embeds.device)


def number(like: Any, config: NumberConfig) -> Tensor:
    """The number for each element of `like`: b."""
    return torch.full((len(like),), config.value, device=_device(like))


def label(like: Any, config: LabelConfig) -> Tensor:
    """The class for each element of `like`: b."""
    return torch.full((len(like),), config.value, dtype=torch.int64, device=_device(like))


def sizes(like: Any, config: SizeConfig) -> dict[str, Tensor]:
    """What denoisers are told about the picture, the same for each element of `like`.

    Returns:
        sizes: [b,6] original height and width, top and left of the cut, wanted height and width (Podell et al.
            2023, arXiv:2307.01952, section 2.2); resolution: [b,2] height and width, aspect: [b,1] height / width (Chen
            et al. 2023, arXiv:2310.00426).
    """
    c = config
    six = [
        c.original_height or c.height,
        c.original_width or c.width,
        c.crop_top,
        c.crop_left,
        c.height,
        c.width,
    ]

    def rows(numbers: Sequence[float]) -> Tensor:
        return torch.tensor([numbers], dtype=torch.float32, device=_device(like)).repeat(len(like), 1)

    return {
        "sizes": rows(six),
        "resolution": rows([c.height, c.width]),
        "aspect": rows([c.height / c.width]),
    }


def normalise(text: Sequence[str], config: NormaliseConfig) -> list[str]:
    """Texts made plain, by default in small letters and without white space at their ends.

    Source, without punctuation: google-research/big_vision, evaluators/proj/image_text/prompt_engineering.py.
    """
    return [_plain(each, config) for each in text]


def _plain(text: str, config: NormaliseConfig) -> str:
    text = text if config.underscores else text.replace("_", " ")
    text = text if config.punctuation else re.sub(r"\s+", " ", text.translate(NO_PUNCTUATION))
    text = text.lower() if config.lower else text
    return text.strip() if config.strip else text


def _device(like: Any) -> torch.device:
    return like.device if isinstance(like, Tensor) else torch.device("cpu")
