"""Every node type that this distribution ships is registered, loads without torch, and passes check_node."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from mmm_graph.registry import Registry, Used, load_registry
from mmm_graph.testing import check_node

REGISTRY = load_registry(allow=["mmm-graph"])
TOKENIZER = Path(__file__).parents[2] / "graphs" / "digits" / "weights" / "tokenizer.json"
DIT = {"in_channels": 4, "sample_size": 8, "width": 16, "depth": 2, "num_heads": 2, "freq_dim": 8}
UNET = {
    "sample_size": 8,
    "channels": [8, 16],
    "layers_per_block": 1,
    "attention": ["none", "cross"],
    "groups": 4,
}
TIMES = {"times": {"steps": 4}}
LABELS = torch.tensor([1, 3])
PICTURE = {"type": "image", "image": torch.rand(3, 4, 6)}
CHAT = [
    [{"role": "user", "content": [PICTURE, {"type": "text", "text": "a red car"}]}],
    [
        {"role": "user", "content": "a car"},
        {"role": "assistant", "content": "red"},
        {"role": "user", "content": "a"},
    ],
]
SAMPLER = {"sampler": REGISTRY.models.get("sampler.ddim")}


def used(registry: Registry, role: str, kind: str, **config: Any) -> Used:
    return Used(role, kind, registry.models[kind].config(**config))


SETUPS: dict[str, dict[str, Any]] = {
    "adaptor.gated_xattn": {
        "config": {"width": 8, "media_dim": 6},
        "values": {"media_index": torch.full((2, 6), -1)},
    },
    "cond.label": {"config": {"value": 3}, "values": {"like": ["a", "b"]}},
    "cond.number": {"config": {"value": 3.5}, "values": {"like": ["a", "b"]}},
    "diffusion.size_cond": {"config": {"height": 8, "width": 16}, "values": {"like": ["a", "b"]}},
    "denoiser.dit": {
        "config": {**DIT, "num_classes": 4},
        "values": {"cond": {"label": LABELS}},
    },
    "encoder.t5": {
        "config": {
            "vocab_size": 8,
            "width": 16,
            "depth": 1,
            "num_heads": 2,
            "head_dim": 6,
            "hidden": 16,
        }
    },
    "embeds.mean_groups": {"values": {"groups": torch.tensor([1, 0])}},
    "encoder.vit": {
        "config": {
            "size": 20,
            "patch": 6,
            "width": 16,
            "depth": 2,
            "num_heads": 2,
            "hidden": 32,
            "out_dim": 5,
        },
        "methods": {"hidden": {"layer": -2, "norm": False, "select": "patch"}},
    },
    "image.preprocess": {"config": {"size": 6}},
    "image.tiles": {"config": {"size": 4, "pinpoints": [[4, 8], [8, 4]]}},
    "denoiser.flux": {
        "config": {
            "sample_size": 8,
            "double_depth": 1,
            "single_depth": 1,
            "num_heads": 2,
            "head_dim": 8,
            "rope_dims": (2, 2, 4),
            "freq_dim": 8,
            "cond_dim": 16,
            "pooled_dim": 8,
            "guidance": False,
        },
        "values": {"cond": {"embeds": torch.ones(2, 6, 16), "pooled": torch.ones(2, 8)}},
    },
    "denoiser.pixart": {
        "config": {"sample_size": 8, "width": 24, "depth": 2, "num_heads": 2, "cond_dim": 16, "freq_dim": 8},
        "values": {"cond": {"embeds": torch.ones(2, 6, 16)}},
    },
    "denoiser.mmdit": {
        "config": {
            "sample_size": 8,
            "depth": 2,
            "num_heads": 2,
            "head_dim": 8,
            "freq_dim": 8,
            "cond_dim": 16,
            "pooled_dim": 8,
        },
    },
    "denoiser.unet": {
        "config": {**UNET, "cond_dim": 8, "num_heads": 2},
        "values": {"cond": {"embeds": torch.ones(2, 6, 8), "mask": torch.ones(2, 6, dtype=torch.bool)}},
    },
    "diffusion.denoise": {
        "uses": {
            "denoiser": used(REGISTRY, "denoiser", "denoiser.dit", **DIT),
            "sampler": used(REGISTRY, "sampler", "sampler.heun"),
            "guidance": used(REGISTRY, "guidance", "guidance.cfg"),
        }
    },
    "diffusion.keep": {
        "uses": SAMPLER,
        "values": {"state": {"x": torch.ones(2, 4, 8, 8)}, "i": 1},
        "dims": {"h": 8, "w": 8},
    },
    "embeds.concat": {
        "config": {"tokens": 3},
        "values": {"parts": [torch.ones(2, 3, 4), torch.ones(2, 3, 5)]},
    },
    "encoder.text": {
        "config": {"vocab_size": 8, "width": 16, "depth": 1, "num_heads": 2, "hidden": 16, "eos_id": 7}
    },
    "guidance.none": {"values": {"branches": [torch.ones(2, 4, 8, 8)]}},
    "ids.drop": {"config": {"value": 0}},
    "loss.cross_entropy": {"values": {"logits": torch.rand(2, 5), "labels": LABELS}},
    "rows.take": {"values": {"rows": torch.tensor([1, 0, 1])}},
    "sampler.init": {"uses": SAMPLER},
    "sampler.step": {
        "uses": SAMPLER,
        "values": {"state": {"x": torch.ones(2, 4, 8, 8)}, "i": 1},
        "dims": {"h": 8, "w": 8},
    },
    "scheduler.cosine": {"methods": TIMES},
    "scheduler.flow": {"methods": TIMES},
    "scheduler.linear": {"methods": TIMES},
    "scheduler.scaled_linear": {"methods": TIMES},
    "tokenizer.hf": {
        "path": TOKENIZER,
        "config": {"add_tokens": ["<img>"], "media_tokens": {"image": "<img>"}, "max_length": 99},
        "methods": {"chat": {"template": "chatml"}, "prompt": {"template": "chatml"}},
        "values": {"chat": CHAT},
    },
    "tokenizer.label": {
        "config": {"classes": [["cat"], ["dog", "hound"]]},
        "values": {"text": ["a cat", "the hound"]},
    },
    "vae.kl": {
        "config": {"channels": [8, 16], "groups": 4, "layers_per_block": 1, "sample_size": 16},
        "methods": {"noise": {"height": 16, "width": 24}},
    },
    "vae.pixels": {"methods": {"noise": {"height": 16, "width": 24}}},
}


@pytest.mark.parametrize("kind", REGISTRY.kinds())
def test_builtin_keeps_its_promises(kind: str) -> None:
    check_node(REGISTRY.get(kind), **SETUPS.get(kind, {}))


def test_every_builtin_plugin_loads() -> None:
    assert [str(p) for p in REGISTRY.problems] == []
    assert {p.distribution for p in REGISTRY.plugins} == {"mmm-graph"}


def test_builtins_load_without_torch_and_say_where_they_come_from() -> None:
    code = (
        "import sys, json; from mmm_graph.registry import load_registry; r = load_registry(allow=['mmm-graph'])\n"
        "heavy = [m for m in ('torch', 'numpy', 'sklearn', 'transformers', 'PIL') if m in sys.modules]\n"
        "print(json.dumps([heavy, [k for k in r.kinds() if not r.get(k).doc]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], []]
