"""Every node type that this distribution ships is registered, loads without torch, and passes check_node."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mmm_data.files.node import file_nodes
from mmm_generate.beams import Beams
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
ONE_TEXT = torch.zeros(2, 6, dtype=torch.int64)
PICTURE = {"type": "image", "image": torch.rand(3, 4, 6)}
CHAT = [
    [{"role": "user", "content": [PICTURE, {"type": "text", "text": "a red car"}]}],
    [
        {"role": "user", "content": "a car"},
        {"role": "assistant", "content": "red"},
        {"role": "user", "content": "a"},
    ],
]
LLM = {
    **{"vocab_size": 11, "max_length": 64, "width": 16, "depth": 2, "num_heads": 4, "num_kv_heads": 2},
    "hidden": 24,
}
QFORMER = {"in_dim": 8, "width": 16, "depth": 2, "num_heads": 2, "hidden": 24, "num_queries": 3}
BEAMS = {"num_beams": 2, "stop_ids": [1]}
BEAM_STATE = Beams(
    torch.zeros(2, 2),
    torch.ones(2, 2, 3, dtype=torch.int64),
    torch.zeros(2, 2),
    torch.ones(2, 2, 3, dtype=torch.int64),
    torch.tensor([[3, 2], [1, 3]]),
    torch.ones(2, 2, dtype=torch.bool),
    torch.ones(2, dtype=torch.bool),
)
IMAGEBIND = {"width": 16, "depth": 2, "num_heads": 2, "hidden": 24, "out_dim": 6}
SAMPLER = {"sampler": REGISTRY.models.get("sampler.ddim")}


class Letters:
    """What `llm.stop_text` asks of a tokenizer."""

    def decode(self, ids: torch.Tensor) -> list[str]:
        return [str(row) for row in ids.tolist()]


def used(registry: Registry, role: str, kind: str, **config: Any) -> Used:
    known = registry.models[kind]
    return Used(role, kind, known.config(**config), known.methods)


SETUPS: dict[str, dict[str, Any]] = {
    "adaptor.gated_xattn": {
        "config": {"width": 8, "media_dim": 6},
        "values": {"media_index": torch.full((2, 6), -1)},
    },
    "llm.prefix_cache": {"config": {"mib": 4}},
    "metric.recall_at_k": {"dims": {"v": 2}},
    "text.constant": {"config": {"texts": ["a", "b"]}},
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
    "encoder.ast": {
        "config": {
            **{"frames": 36, "bins": 26, "width": 16, "depth": 2, "num_heads": 2, "hidden": 24, "labels": 5},
        },
    },
    "adaptor.grouping": {
        "config": {
            "in_dim": 8,
            "out_dim": 12,
            "groups": [3],
            "depths": [1],
            "width": 16,
            "num_heads": 2,
            "hidden": 24,
        }
    },
    "encoder.imagebind": {"config": {**IMAGEBIND, "size": 8, "patch": 4}},
    "encoder.imagebind_sound": {"config": {**IMAGEBIND, "frames": 13, "bins": 9, "patch": 4, "stride": 3}},
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
    "image.isolate": {"config": {"size": 8, "side": 4, "grain": 3}},
    "chat.request": {
        "values": {"prompt": ["a", "b"], "chat": [[{"role": "assistant", "content": []}]] * 2},
    },
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
    "denoiser.unet_frames": {
        "config": {**UNET, "cond_dim": 8, "num_heads": 2, "frames": 3},
        "values": {"cond": {"embeds": torch.ones(2, 6, 8)}},
        "dims": {"f": 3},
    },
    "denoiser.unet3d": {
        "config": {
            **{
                "channels": [8, 16],
                "attention": ["cross", "none"],
                "layers_per_block": 1,
                "head_dim": 4,
                "groups": 4,
            },
            **{"sample_size": 8, "num_frames": 3, "cond_dim": 8},
        },
        "values": {"cond": {"embeds": torch.ones(2, 6, 8)}},
        "dims": {"f": 3},
    },
    "adaptor.motion": {
        "config": {"channels": [8], "groups": 4, "num_heads": 2, "layers_per_block": 1, "frames": 3},
        "values": {"frames": torch.arange(3).expand(2, 3)},
        "dims": {"b": 2, "f": 3, "c": 8},
    },
    "audio.to_spectrum": {"dims": {"n": 1024}},
    "metric.digit_world": {
        "config": {"medium": "audio"},
        "dims": {"r": 2},
        "values": {"digit": LABELS, "move": LABELS, "made": torch.zeros(2, 1, 1024), "rows": torch.arange(2)},
    },
    "metric.tone_digit": {"dims": {"n": 1024}},
    "data.digit_world": {"config": {"length": 64}},
    "projector.signal": {
        "config": {"in_dim": 6, "out_dim": 8, "num_queries": 3, "width": 8, "num_heads": 2, "hidden": 16}
    },
    "signals.find": {
        "uses": {"tokenizer": SimpleNamespace(signals={"image": (3, 4)})},
        "values": {"ids": torch.tensor([[1, 3, 4, 2], [3, 4, 3, 4]])},
    },
    "signals.states": {
        "values": {"rows": torch.tensor([0, 1]), "places": torch.tensor([[0, 1], [2, 3]])},
        "dims": {"s": 4},
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
    "encoder.clap_text": {
        "config": {
            **{"vocab_size": 8, "positions": 12, "width": 16, "depth": 2, "num_heads": 2, "hidden": 16},
            "pooled_dim": 6,
        }
    },
    "vocoder.hifigan": {
        "config": {
            **{
                "bins": 6,
                "frames": 5,
                "width": 16,
                "rates": [5, 2],
                "kernels": [16, 4],
                "block_kernels": [3],
            },
            "dilations": [[1, 3]],
        },
        "dims": {"f": 5},
    },
    "guidance.none": {"values": {"branches": [torch.ones(2, 4, 8, 8)]}},
    "ids.drop": {"config": {"value": 0}},
    "classifier.patch": {"config": {"width": 4, "depth": 1}},
    "loss.align": {"values": {"mask": torch.tensor([True, False])}},
    "loss.cross_entropy": {"values": {"logits": torch.rand(2, 5), "labels": LABELS}},
    "loss.itg": {"uses": {"qformer": used(REGISTRY, "qformer", "adaptor.qformer", text=True, head=True)}},
    "loss.itm": {"values": {"labels": torch.tensor([1, 0])}},
    "loss.language": {"uses": {"llm": used(REGISTRY, "llm", "llm.decoder")}},
    "loss.next_token": {"values": {"documents": ONE_TEXT}},
    "loss.next_token_at": {"values": {"documents": ONE_TEXT, "logits": torch.rand(2, 5, 8)}},
    "loss.perceptual": {"values": {"pred": [torch.rand(2, 3, 4, 4)], "target": [torch.rand(2, 3, 4, 4)]}},
    "loss.siglip": {"values": {"bias": torch.tensor(-1.0)}},
    "loss.triplet": {"config": {"margin": 9}},
    "loss.triplet_mined": {"config": {"margin": 9}, "values": {"labels": torch.tensor([0, 0, 1, 1])}},
    "loss.variance": {"uses": {"scheduler": REGISTRY.models["scheduler.linear"]}},
    "pairs.hard_negatives": {"values": {"pair_ids": torch.tensor([3, 4])}},
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
    "adaptor.anyres": {
        "config": {"width": 6},
        "dims": {"r": 3, "l": 4, "d": 6},
        "values": {
            "rows": torch.tensor([0, 0, 0]),
            "grids": torch.tensor([[1, 2]]),
            "sizes": torch.tensor([[20, 40]]),
        },
    },
    "adaptor.perceiver": {
        "config": {"in_dim": 8, "depth": 2, "num_heads": 2, "head_dim": 4, "num_latents": 3}
    },
    "adaptor.qformer": {"config": {**QFORMER, "text": True, "vocab_size": 9, "head": True}},
    "audio.mel": {"dims": {"n": 2000}},
    "beams.advance": {"config": BEAMS, "values": {"state": BEAM_STATE, "left": 3}, "dims": {"b": 4, "v": 7}},
    "beams.begin": {"config": BEAMS, "dims": {"b": 4}},
    "beams.best": {"values": {"state": BEAM_STATE}},
    "beams.spread": {"config": BEAMS},
    "embeds.mean_frames": {"values": {"rows": torch.tensor([0, 1])}},
    "embeds.pool_frames": {"values": {"rows": torch.tensor([0, 1])}},
    "embeds.splice": {
        "values": {"index": torch.tensor([[-1, 0, -1], [-1, 1, -1]]), "insert": torch.ones(2, 2, 16)},
        "dims": {"m": 2, "t": 3},
    },
    "llm.decoder": {
        "config": LLM,
        "values": {
            **{"room": 3, "mask": torch.arange(6) > torch.tensor([[1], [-1]]), "at": 6},
            "order": torch.tensor([1, 0]),
            "cache": {"rows": (), **{f"block{i}": torch.zeros(2, 2, 2, 9, 4) for i in range(2)}},
        },
    },
    "llm.generate": {"uses": {"llm": used(REGISTRY, "llm", "llm.decoder", **LLM)}},
    "llm.room": {"config": {"tokens": 4}},
    "llm.t5": {
        "config": {"vocab_size": 8, "width": 16, "depth": 1, "num_heads": 2, "head_dim": 6, "hidden": 16},
        "values": {
            **{"room": 3, "at": 1, "order": torch.tensor([1, 0])},
            "cache": {"rows": (), "block1": torch.zeros(2, 2, 2, 4, 6), "across1": torch.rand(2, 2, 2, 5, 6)},
        },
    },
    "llm.stop": {"values": {"left": 3, "ids": torch.tensor([[1], [2]])}},
    "llm.stop_text": {
        "config": {"stop": ["car"]},
        "uses": {"tokenizer": Letters()},
        "values": {"ids": torch.tensor([[1, 2], [2, 1]]), "left": 3, "prompt": 0},
    },
    "logits.min_tokens": {"config": {"tokens": 3, "ids": [1]}, "values": {"prompt": 0}},
    "logits.min_p": {"config": {"p": 0.1}},
    "logits.no_repeat_ngram": {"config": {"size": 2}},
    "logits.repetition_penalty": {"config": {"penalty": 1.2}},
    "logits.suppress": {"config": {"ids": [1]}},
    "logits.temperature": {"config": {"temperature": 0.7}},
    "logits.top_k": {"config": {"k": 2}},
    "logits.top_p": {"config": {"p": 0.9}},
    "video.frames": {"config": {"num_frames": 2}},
    "vae.pixels": {"methods": {"noise": {"height": 16, "width": 24}}},
}


OF_FILES = {node.kind for node in file_nodes()}
"""These need files: tests/plugins/mmm_data/files/test_node.py."""


@pytest.mark.parametrize("kind", [kind for kind in REGISTRY.kinds() if kind not in OF_FILES])
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
