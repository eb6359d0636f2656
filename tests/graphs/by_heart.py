"""graphs/world/any_to_any.yaml with a decoder that has learnt eight answers by heart: it says signals of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import mmm_graph as mmm
from mmm_graph.api.session import Session
from mmm_graph.checkpoint.save import save_module
from mmm_graph.registry import Registry
from mmm_graph.spec import load_spec
from mmm_graph.train.trainer import train

WORLD = Path(__file__).resolve().parents[2] / "graphs" / "world"
MEDIA = ("image", "audio", "video")
SAID: dict[str, tuple[str, ...]] = {
    "draw a seven": ("image",),
    "what comes after 3?": ("4",),
    "dial a one": ("audio",),
    "draw a two and draw a three": ("image", "image"),
    "film the digit 4 moving left": ("video",),
    "draw it and dial it": ("image", "audio"),
    "what digit is this?": ("7",),
    "which digit follows 5?": ("6",),
}
"""Prompts, and the texts and signals that answer them: an image in three of the eight, two in one of these."""
LLM = "{vocab_size: 94, max_length: 320, width: 64, depth: 1, num_heads: 2, hidden: 128, tied: true}"
RANDOM = ("to_image", "to_audio", "to_video", "tone.unet", "film.unet", "film.vae")
TEXTS = ("draw.text", "tone.text", "film.text")
NEW = ("llm", "ear", "see", "watch", "listen", "tone.text", "film.text", *RANDOM)
STEPS = {"draw.steps": 2, "tone.steps": 2, "film.steps": 2}


def learn(folder: Path, registry: Registry) -> Path:
    """Teach the decoder, and leave no weights of what makes media at zero; returns a folder with graph.yaml."""
    chats = folder / "chats.jsonl"
    folder.mkdir(exist_ok=True)
    chats.write_text("".join(f"{json.dumps(row(*pair))}\n" for pair in SAID.items()), encoding="utf-8")
    sets = {"train.stages": json.dumps({"heart": stage(chats, len(SAID))})}
    sets |= {"models.llm.config": LLM, **{f"models.{name}.weights": "null" for name in NEW}}
    spec = load_spec(WORLD / "any_to_any.yaml", sets=sets)
    train(spec, registry, folder / "taught", stages=("heart",))
    session = mmm.load(folder / "taught" / "graph.yaml", registry=registry)
    drawn = torch.Generator().manual_seed(0)
    for name in RANDOM:
        module = session.module(name)
        for weight in module.parameters():
            weight.data.add_(torch.randn(weight.shape, generator=drawn) * 0.05)
        save_module(module, folder / "taught" / f"{name}.safetensors")
    return folder / "taught"


def load(folder: Path, plan: str | None = None, **options: Any) -> Session:
    """With two steps of denoising, in float64; the ranks of a plan are threads, unless a world is given."""
    sets = {f"models.{name}.dtype": "f64" for name in ("llm", *TEXTS, "draw.unet", "draw.vae", *RANDOM)}
    return mmm.load(folder / "graph.yaml", weights=folder, plan=plan, params=STEPS, sets=sets, **options)


def owners(prompts: Sequence[str], medium: str) -> tuple[int, ...]:
    """Which of the prompts' answers each signal of a kind belongs to."""
    return tuple(i for i, prompt in enumerate(prompts) for said in SAID[prompt] if said == medium)


def stage(chats: Path, batch: int) -> dict[str, Any]:
    """The training that learns a file of conversations by heart."""
    return {
        "data": {"op": "data.conversations", "config": {"path": f"file:{chats}", "batch": batch}},
        "nodes": {
            "chat": {"call": "tok.chat", "in": {"chat": "$data.chat"}, "config": {"generate": False}},
            "next": {
                "op": "loss.language",
                "use": {"llm": "llm"},
                "in": {"ids": "chat", "mask": "chat.mask", "labels": "chat.labels"},
            },
        },
        "loss": {"next": "next"},
        "train": {"llm": "full"},
        "optim": {
            "op": "optim.adamw",
            "config": {"lr": 1e-2},
            "schedule": "cosine",
            "warmup": 0.05,
            "clip": 1.0,
        },
        "steps": 100,
    }


def row(prompt: str, said: Sequence[str]) -> dict[str, Any]:
    """A conversation with an answer of texts and signals."""
    answer = [
        {"type": "signal", "signal": word} if word in MEDIA else {"type": "text", "text": word}
        for word in said
    ]
    return {"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]}
