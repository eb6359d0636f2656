"""Colours: one for each role of models, one for each family of port kinds. Light fills, dark strokes: they print."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

ROLE_COLOURS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "tokenizer": ("#f1ecfa", "#8e6bc9"),
        "encoder": ("#e6e4fb", "#5b54c7"),
        "adaptor": ("#fde8f1", "#c9467f"),
        "llm": ("#e0f0ff", "#1f6fc4"),
        "projector": ("#fbe6fb", "#ab46b4"),
        "vae": ("#ddf3ec", "#178a68"),
        "denoiser": ("#ffe9d9", "#d4661a"),
        "scheduler": ("#f3f1da", "#8d8420"),
        "sampler": ("#f8ecd0", "#a97a10"),
        "guidance": ("#fbe3df", "#c8473a"),
        "vocoder": ("#dcf1f6", "#1d87a3"),
        "control": ("#e7f2d9", "#5f8f22"),
        "classifier": ("#e5ecf2", "#4a6a88"),
        "": ("#ffffff", "#8a94a3"),
    }
)
"""Role -> (fill, stroke); the empty role is an op."""

KIND_FAMILIES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "text": ("Text Chat Ids", "#7d5fb2"),
        "embeds": ("Embeds Cond Logits Mask", "#4c57c4"),
        "latents": ("Latents", "#cf6a1e"),
        "pixels, sound": ("Image Video Audio Mel", "#178a68"),
        "other": ("Scalar Bool Times State Any", "#77818f"),
    }
)
"""Family -> (port kinds, colour of lines)."""


def role_colour(role: str) -> tuple[str, str]:
    """(fill, stroke) of a role; a role that is not known is drawn like an op."""
    return ROLE_COLOURS.get(role, ROLE_COLOURS[""])


def kind_family(kind: str) -> str:
    """Family of a port kind; "other" for kinds that plugins add."""
    return next((name for name, (kinds, _) in KIND_FAMILIES.items() if kind in kinds.split()), "other")


def kind_colour(kind: str) -> str:
    """Colour of a line that carries this kind."""
    return KIND_FAMILIES[kind_family(kind)][1]
