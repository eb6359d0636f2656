"""Small random graphs of three denoisers, in float64, and the plans they are run by."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

import mmm_graph as mmm
from mmm_graph.api.session import Session

ROOT = Path(__file__).parents[2]
DENOISERS: Mapping[str, dict[str, Any]] = {
    "dit": {
        "kind": "denoiser.dit",
        "config": {"in_channels": 4, "sample_size": 16, "width": 32, "depth": 5, "num_heads": 4, "cross": True,
                   "pooled": True, "freq_dim": 32, "prediction": "v"},
    },
    "mmdit": {
        "kind": "denoiser.mmdit",
        "config": {"in_channels": 4, "out_channels": 4, "sample_size": 16, "depth": 4, "num_heads": 4, "head_dim": 8,
                   "cond_dim": None, "pooled_dim": None, "pos_embed_max_size": 24, "qk_norm": "rms_norm",
                   "freq_dim": 32, "prediction": "v", "time_scale": 1.0},
    },
    "unet": {
        "kind": "denoiser.unet",
        "config": {"in_channels": 4, "out_channels": 4, "sample_size": 16, "channels": [16, 32],
                   "layers_per_block": 1, "attention": ["self", "cross"], "num_heads": 4, "groups": 8,
                   "prediction": "v"},
    },
}  # fmt: skip
FIELDS = {"dit": ("embeds", "mask", "pooled"), "mmdit": ("embeds", "pooled"), "unet": ("embeds", "mask")}
STEPS = 4


def graph(denoiser: str, plans: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A text-to-image graph whose size, sampler and length of text differ by request, and which may be told not to."""
    config = {"vocab_size": 32, "max_length": 8, "width": 32, "depth": 1, "num_heads": 4, "hidden": 64,
              "activation": "gelu", "causal": False, "pool": "mean"}  # fmt: skip
    vae = {"image_channels": 1, "latent_channels": 4, "sample_size": 32, "channels": [8, 16], "layers_per_block": 1,
           "groups": 4}  # fmt: skip
    cond = {name: ("ids.mask" if name == "mask" else f"enc.{name}") for name in FIELDS[denoiser]}
    found: dict[str, Any] = {
        "mmm": 1,
        "name": f"{denoiser}-under-plans",
        "params": {
            "height": {"type": "int", "default": 32},
            "steps": {"type": "int", "default": STEPS},
            "sampler": {"type": "kind", "role": "sampler", "default": "sampler.euler"},
            "scale": {"type": "float", "default": 2.0},
        },
        "inputs": {
            "prompt": {"type": "Text[b]", "default": ["one", "the digit two"]},
            "negative": {"type": "Text[b]", "default": ""},
            "draw": {"type": "Bool", "default": True},
        },
        "models": {
            "tok": {"kind": "tokenizer.hf", "weights": f"file:{ROOT}/graphs/digits/weights/tokenizer.json",
                    "config": {"max_length": 8, "pad": "longest"}},
            "text": {"kind": "encoder.text", "init": "default", "dtype": "f64", "config": config},
            "net": {**DENOISERS[denoiser], "init": "default", "dtype": "f64"},
            "vae": {"kind": "vae.kl", "init": "default", "dtype": "f64", "config": vae},
            "law": {"kind": "scheduler.cosine", "config": {"prediction": "v"}},
            "sampler": {"kind": "$params.sampler"},
            "guide": {"kind": "guidance.cfg", "config": {"scale": "$params.scale"}},
        },
        "graphs": {
            "embed": {
                "in": {"text": "Text[b]"},
                "nodes": {
                    "ids": {"call": "tok", "in": {"text": "$in.text"}},
                    "enc": {"call": "text", "in": {"ids": "ids", "mask": "ids.mask"}},
                },
                "out": cond,
            }
        },
        "nodes": {
            "cond": {"graph": "embed", "in": {"text": "$in.prompt"}},
            "uncond": {"graph": "embed", "in": {"text": "$in.negative"}},
            "times": {"call": "law.times", "config": {"steps": "$params.steps"}},
            "noise": {"call": "vae.noise", "in": {"like": "$in.prompt"}, "when": "$in.draw",
                      "config": {"height": "$params.height", "width": 32}},
            "denoise": {"op": "diffusion.denoise",
                        "use": {"denoiser": "net", "sampler": "sampler", "guidance": "guide"},
                        "in": {"x": "noise", "times": "times", "cond": "cond", "uncond": "uncond"}},
            "image": {"call": "vae.decode", "in": {"latents": "denoise"}},
        },
        "outputs": {"latents": "denoise", "image": "image"},
    }  # fmt: skip
    if plans:
        found["parallel"] = {"plans": dict(plans)}
    return found


def write_weights(denoiser: str, folder: Path) -> None:
    """Random weights, with nothing left at zero."""
    session = mmm.load(graph(denoiser))
    drawn = torch.Generator().manual_seed(0)
    for name in ("text", "net", "vae"):
        for weight in session.module(name).parameters():
            weight.data.add_(torch.randn(weight.shape, generator=drawn, dtype=weight.dtype) * 0.1)
    session.save(folder)


def load(denoiser: str, weights: Path, plan: Mapping[str, Any] | None = None, **options: Any) -> Session:
    """A session under a plan, its ranks as threads unless a world is given."""
    plans = None if plan is None else {"p": dict(plan)}
    return mmm.load(graph(denoiser, plans), weights=weights, plan="p" if plans else None, **options)


def pipe(stages: int | list[list[int]], axes: Mapping[str, int] | None = None, **loop: Any) -> dict[str, Any]:
    """A plan that pipelines the denoiser; `stages` may say the ranks of each."""
    found: dict[str, Any] = {"axes": {"net": dict(axes)}} if axes else {}
    if loop:
        found["loops"] = {"denoise": loop}
    each = 1
    for degree in (axes or {}).values():
        each *= degree
    if isinstance(stages, int):
        return {"ranks": stages * each, "pipe": {"net": stages}, **found}
    bounds = ["", *(str(i + 1) for i in range(len(stages) - 1)), ""]
    places = [f"net[{a}:{b}]" for a, b in pairwise(bounds)]
    ranks = {r for group in stages for r in group}
    listed = [{"ranks": group, "place": [place]} for group, place in zip(stages, places, strict=True)]
    return {"ranks": len(ranks), "stages": listed, **found}


def shared(axes: Mapping[str, Any], **loop: Any) -> dict[str, Any]:
    """A plan that shares every call of the denoiser."""
    ranks = 1
    for degree in axes.values():
        ranks *= degree["size"] if isinstance(degree, dict) else degree
    found: dict[str, Any] = {"ranks": ranks, "axes": {"net": dict(axes)}}
    return {**found, "loops": {"denoise": loop}} if loop else found
