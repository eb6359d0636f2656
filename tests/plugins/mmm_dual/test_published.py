"""Published checkpoints at full size: all weights have transformers' names and shapes, and graphs/models holds them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mmm_graph.api.convert import import_graph
from mmm_graph.registry import load_registry, resolve
from mmm_graph.spec import load_spec

pytestmark = pytest.mark.parity

WIDE = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
ENDS = {"bos_token_id": 1, "eos_token_id": 1}  # in the vocabulary, else transformers warns
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 3}
PUBLISHED = {
    "openai/clip-vit-base-patch32": {
        "config": {
            **{"architectures": ["CLIPModel"], "projection_dim": 512, "logit_scale_init_value": 2.6592},
            "text_config": {"hidden_size": 512, "intermediate_size": 2048, "eos_token_id": 2},
            "vision_config": {"hidden_size": 768, "patch_size": 32},
        },
        "pixels": {
            "feature_extractor_type": "CLIPFeatureExtractor",
            "crop_size": 224,
            "size": 224,
            "resample": 3,
        },
        "count": 151_277_313,
        "graph": "clip.yaml",
    },
    "openai/clip-vit-large-patch14-336": {
        "config": {
            **{"architectures": ["CLIPModel"], "projection_dim": 768},
            "text_config": {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12},
            "vision_config": {
                **{"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24},
                **{"num_attention_heads": 16, "image_size": 336, "patch_size": 14},
            },
        },
        "pixels": {
            "feature_extractor_type": "CLIPFeatureExtractor",
            "crop_size": 336,
            "size": 336,
            "resample": 3,
        },
        "count": 427_944_193,
    },
    "google/siglip-base-patch16-224": {
        "config": {
            "architectures": ["SiglipModel"],
            **{"text_config": {"vocab_size": 32000, **ENDS}, "vision_config": {}},
        },
        "pixels": {
            "image_processor_type": "SiglipImageProcessor",
            **HALF,
            "size": {"height": 224, "width": 224},
        },
        "count": 203_155_970,
        "graph": "siglip_zero_shot.yaml",
    },
    "google/siglip-so400m-patch14-384": {
        "config": {
            "architectures": ["SiglipModel"],
            "text_config": {"vocab_size": 32000, **WIDE, **ENDS},
            "vision_config": {**WIDE, "image_size": 384, "patch_size": 14},
        },
        "pixels": {
            "image_processor_type": "SiglipImageProcessor",
            **HALF,
            "size": {"height": 384, "width": 384},
        },
        "count": 877_960_498,
    },
}


def imported(folder: Path, name: str):
    """The graph of a folder without weights: only configs are read."""
    said = PUBLISHED[name]
    (folder / "config.json").write_text(json.dumps(said["config"]))
    (folder / "preprocessor_config.json").write_text(json.dumps(said["pixels"]))
    return import_graph(str(folder), folder / "g.yaml", load_registry()).tree


@pytest.mark.parametrize("name", PUBLISHED)
def test_weights(tmp_path, name):
    import transformers

    registry = load_registry()
    ours = {}
    for model in imported(tmp_path, name)["models"].values():
        kind = registry.models[model["kind"]]
        if not kind.weights:
            continue
        config = kind.config(**model.get("config", {}))
        with torch.device("meta"):
            module = resolve(kind.builder)(config)
        shapes = {n.removeprefix("parts."): tuple(v.shape) for n, v in module.state_dict().items()}
        layout = next(la for la in kind.layouts if "half" in la.name or "CLIPModel or" in la.name)
        if kind.kind == "encoder.text" and "siglip" in name:
            layout = next(la for la in kind.layouts if la.name == "half of SiglipModel")
        there = {} if layout.shapes is None else layout.shapes(config)
        rows = layout.theirs(shapes, config)
        assert rows.keys() == shapes.keys()
        for own, row in rows.items():
            ours[row.names[0]] = there.get(row.names[0], row.whole(shapes[own]))
    said = {key: value for key, value in PUBLISHED[name]["config"].items() if key != "architectures"}
    theirs = getattr(transformers, PUBLISHED[name]["config"]["architectures"][0])
    with torch.device("meta"):
        reference = theirs(theirs.config_class(**said))
    assert ours == {n: tuple(v.shape) for n, v in reference.state_dict().items()}
    assert sum(v.numel() for v in reference.parameters()) == PUBLISHED[name]["count"]


@pytest.mark.parametrize("name", [name for name in PUBLISHED if "graph" in PUBLISHED[name]])
def test_graphs_in_the_repository_say_the_same(tmp_path, root, name):
    tree, registry = imported(tmp_path, name), load_registry()
    spec = load_spec(root / "graphs" / "models" / PUBLISHED[name]["graph"])
    for model, want in tree["models"].items():
        got, config = spec.models[model], registry.models[want["kind"]].config
        assert got.kind == want["kind"] and got.weights == f"hf:{name}"
        assert config(**got.config) == config(**want.get("config", {}))
    own, other = spec.graphs["see"].nodes["pixels"], tree["graphs"]["see"]["nodes"]["pixels"]
    config = registry.ops[own.op].config
    assert own.op == other["op"] and config(**own.config) == config(**other["config"])
