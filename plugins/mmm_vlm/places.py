"""Where vision tower, projector and language model stand in a file of LLaVA: one of four layouts, by its names."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from mmm_graph.errors import InputError, problem
from mmm_graph.registry import Foreign


@dataclass(frozen=True)
class Places:
    """One layout.

    Attributes:
        name: for errors.
        vision, projector: prefixes.
        llm: prefix of the language model; "" where its tensors stand at several places.
        newline: what LLaVA-NeXT's end of a line stands below.
        marks: every file of this layout has names that begin so.
    """

    name: str
    vision: str
    projector: str
    llm: str
    newline: str
    marks: tuple[str, ...]


LAYOUTS = (
    Places(
        "transformers, as it is saved",
        "vision_tower",
        "multi_modal_projector",
        "language_model",
        "",
        ("multi_modal_projector.", "language_model.model."),
    ),
    Places(
        "transformers, a state dict",
        "model.vision_tower",
        "model.multi_modal_projector",
        "",
        "model",
        ("model.multi_modal_projector.", "model.language_model."),
    ),
    Places(
        "LLaVA's own",
        "model.vision_tower.vision_tower",
        "model.mm_projector",
        "",
        "model",
        ("model.mm_projector.", "model.layers."),
    ),
)
"""What transformers saves has `vision_model.` below the tower up to 5.5, not since; layouts of the tower know both."""


def find_places(foreign: Foreign) -> Places:
    """The layout of the folder's file.

    Raises:
        InputError: E775, it has none of them, or no vision tower where transformers has one.
    """
    names = foreign.tensors()
    for places in LAYOUTS:
        if all(any(name.startswith(mark) for name in names) for mark in places.marks):
            return places
    starts = sorted({".".join(name.split(".")[:2]) for name in names})
    more = ", ..." if len(starts) > 8 else ""
    known = "; ".join(f"{p.name}: {' and '.join(f'{m}*' for m in p.marks)}" for p in LAYOUTS)
    message = (
        f"{foreign.folder} ({foreign.class_name}) holds tensors of no layout of LLaVA: "
        f"{', '.join(starts[:8])}{more}; known are {known}"
    )
    hint = "load it with the library that wrote it, and save it again: model.save_pretrained(folder)"
    raise InputError(problem("E775", message, hint=hint))


def link_to(foreign: Foreign, prefix: str) -> str:
    """What stands below a prefix of the folder's file, as a graph file says it."""
    return f"{foreign.link}#{prefix}" if prefix else foreign.link


def is_linear(names: Collection[str], projector: str) -> bool:
    """Whether a projector is one linear layer, as LLaVA 1.0 has it."""
    return f"{projector}.weight" in names
