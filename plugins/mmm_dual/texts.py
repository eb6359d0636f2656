"""Labels -> prompts, and what was recognised -> words. Axes: b pictures, v labels, r prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmm_dual.config import PLACE, ConstantConfig, FillConfig, TemplatesConfig
from mmm_graph.errors import RunError, problem

ENDS = (".", "!", "?")


def constant(config: ConstantConfig) -> list[str]:
    """The texts [v] of the config."""
    return list(config.texts)


def fill_templates(text: Sequence[str], config: TemplatesConfig) -> dict[str, Any]:
    """Every label in every template: texts [r], label by label, and the number of the label [r] of each.

    Raises:
        RunError: E746, a label without a word.
    """
    blank = [i for i, label in enumerate(text) if not label.strip()]
    if blank:
        message = f"label {blank[0]} of {len(text)} is empty"
        raise RunError(problem("E746", message, hint="give every label a word"))
    filled = [template.replace(PLACE, label.strip()) for label in text for template in config.templates]
    owners = torch.arange(len(text)).repeat_interleave(len(config.templates))
    return {"text": filled, "groups": owners}


def fill_best(logits: Tensor, labels: Sequence[str], config: FillConfig) -> dict[str, Any]:
    """What each picture shows, from logits [b,v].

    Returns:
        text: [b] the best label in the first template, as a sentence. table: [b] the `top` best labels, a line each,
        with probabilities. best: [b] number of the label. probabilities: [b,v], of all labels.

    Raises:
        RunError: E746, logits that are not finite.
    """
    numbers = logits.float()
    if not bool(numbers.isfinite().all()):
        row = int((~numbers.isfinite()).any(-1).int().argmax())
        hint = "weights or pictures hold what is not finite, or half precision is too narrow: dtype: f32"
        raise RunError(
            problem("E746", f"logits of picture {row} of {len(numbers)} are not finite", hint=hint)
        )
    chances = numbers.softmax(-1) if config.probability == "softmax" else numbers.sigmoid()
    order = numbers.argsort(dim=-1, descending=True, stable=True)
    rows = zip(order[:, : config.top].tolist(), chances.tolist(), strict=True)
    best = order[:, 0]
    return {
        "text": [sentence(config.templates[0], labels[i]) for i in best.tolist()],
        "table": [table([(labels[i], each[i]) for i in top]) for top, each in rows],
        "best": best,
        "probabilities": chances,
    }


def sentence(template: str, label: str) -> str:
    """`a photo of a {}` and `dog` -> `A photo of a dog.`"""
    text = template.replace(PLACE, label.strip()).strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith(ENDS) else ".")


def table(rows: Sequence[tuple[str, float]]) -> str:
    """Lines of a label and its probability, the best first."""
    width, digits = max(len(label) for label, _ in rows), len(str(len(rows)))
    lines = [f"{i:{digits}}. {label:{width}}  {chance:7.2%}" for i, (label, chance) in enumerate(rows, 1)]
    return "\n".join(lines)
