"""An imported graph and transformers' model, asked the same."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image

import mmm_graph as mmm
from mmm_graph.api.convert import import_graph
from mmm_graph.registry import Registry, load_registry
from tests.plugins.mmm_vlm.tiny import END

COUNT = 32
FIRST = {"call": "llm.logits", "in": {"embeds": "ctx", "mask": "ctx.mask", "positions": "ctx.positions"}}
"""The logits that the first token of an answer is taken from, where media stand in the text."""


@cache
def registry() -> Registry:
    """Of all plugins."""
    return load_registry()


def imported(folder: Path) -> dict[str, Any]:
    """The graph of a folder as its file says it, which also gives what is compared."""
    made = import_graph(str(folder), folder.parent / "graph.yaml", registry())
    tree = made.tree
    tree["outputs"] = {**tree["outputs"], "ids": "answer.ids", "mask": "answer.mask"}
    return tree


def with_logits(tree: dict[str, Any], first: dict[str, Any] = FIRST) -> dict[str, Any]:
    """The graph, with the logits of the prompt."""
    tree["nodes"]["first"] = first
    tree["outputs"]["logits"] = "first.logits"
    return tree


def opened(tree: dict[str, Any], base: Path, plan: str | None = None) -> mmm.Session:
    """The graph, to be asked more than once."""
    return mmm.load(tree, base=base, plan=plan, registry=registry())


def asked(graph: mmm.Session, **given: Any) -> dict[str, Any]:
    """What the graph says, greedily."""
    return dict(graph.run(**{"max_new_tokens": COUNT, "temperature": 0.0, **given}))


def rows(found: dict[str, Any]) -> list[list[int]]:
    """Answers without what follows their end."""
    return [row[keep].tolist() for row, keep in zip(found["ids"], found["mask"], strict=True)]


@torch.no_grad()
def theirs(model: Any, given: Any) -> tuple[list[list[int]], torch.Tensor]:
    """Answers of transformers, and the logits that the first token is taken from."""
    said = {"return_dict_in_generate": True, "output_logits": True, "do_sample": False}
    found = model.generate(**given, max_new_tokens=COUNT, **said)
    answers = found.sequences[:, given["input_ids"].shape[1] :].tolist()
    return [row[: row.index(END) + 1] if END in row else row for row in answers], found.logits[0]


def check(found: dict[str, Any], model: Any, given: Any) -> None:
    """The same answers, and first logits within 1e-4."""
    answers, logits = theirs(model, given)
    assert rows(found) == answers
    assert (found["logits"][:, -1] - logits).abs().max() < 1e-4
    assert max(map(len, answers)) == COUNT


def user(*segments: str | Path) -> list[dict[str, Any]]:
    """A conversation: texts, and files of images."""
    content = [
        {"type": "image", "image": str(s)} if isinstance(s, Path) else {"type": "text", "text": s}
        for s in segments
    ]
    return [{"role": "user", "content": content}]


def files_of(chats: list[Any]) -> list[Path]:
    """Images of conversations, in order."""
    segments = [s for chat in chats for message in chat for s in message["content"]]
    return [Path(s["image"]) for s in segments if s["type"] == "image"]


def given_to(processor: Any, chats: list[Any]) -> Any:
    """What the processor makes of conversations."""
    texts = processor.apply_chat_template(chats, add_generation_prompt=True)
    images = [Image.open(file) for file in files_of(chats)] or None
    return processor(text=texts, images=images, return_tensors="pt", padding=True)
