"""Published checkpoints: their configs are imported as the shipped graphs have them, and all weights fit, full size."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch
import transformers

from mmm_graph.api.convert import import_graph
from mmm_graph.checkpoint.load import Weights
from mmm_graph.checkpoint.reader import Checkpoint
from mmm_graph.graph.attached import copy_key
from mmm_graph.graph.compile import compile_graph
from mmm_graph.nn.copies import Copies
from mmm_graph.registry import resolve
from mmm_graph.spec import load_spec
from tests.plugins.mmm_vlm import tiny
from tests.plugins.mmm_vlm.peers import registry

pytestmark = pytest.mark.parity
CLIP = {
    **{"model_type": "clip_vision_model", "hidden_size": 1024, "image_size": 336, "intermediate_size": 4096},
    **{"num_attention_heads": 16, "num_hidden_layers": 24, "patch_size": 14, "projection_dim": 768},
    "vocab_size": 32000,
}
LLAVA = {
    **{"ignore_index": -100, "image_token_index": 32000, "pad_token_id": 32001, "vision_config": CLIP},
    **{
        "projector_hidden_act": "gelu",
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
    },
    **{"tie_word_embeddings": False, "torch_dtype": "float16", "vocab_size": 32064},
}
VICUNA = {
    **{"_name_or_path": "lmsys/vicuna-7b-v1.5", "architectures": ["LlamaForCausalLM"], "model_type": "llama"},
    **{"max_position_embeddings": 4096, "rms_norm_eps": 1e-05, "torch_dtype": "float16", "vocab_size": 32064},
}
MISTRAL = {
    **{"_name_or_path": "mistralai/Mistral-7B-Instruct-v0.2", "architectures": ["MistralForCausalLM"]},
    **{"model_type": "mistral", "intermediate_size": 14336, "max_position_embeddings": 32768},
    **{"num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "sliding_window": None},
    **{"torch_dtype": "bfloat16", "vocab_size": 32064},
}
GRIDS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
PIXELS = {"crop_size": {"height": 336, "width": 336}, "size": {"shortest_edge": 336}}
CASES = {
    "llava15": (
        "LlavaForConditionalGeneration",
        {**LLAVA, "model_type": "llava", "text_config": VICUNA},
        {"image_processor_type": "CLIPImageProcessor", **PIXELS},
        {"eos_token_id": 2},
        7_063_427_072,
    ),
    "llava_next": (
        "LlavaNextForConditionalGeneration",
        {
            **{**LLAVA, "model_type": "llava_next", "text_config": MISTRAL},
            **{"image_grid_pinpoints": GRIDS, "use_image_newline_parameter": True},
        },
        {"image_processor_type": "LlavaNextImageProcessor", **PIXELS, "image_grid_pinpoints": GRIDS},
        {"eos_token_id": 2},
        7_566_747_648,
    ),
    "blip2_opt": (
        "Blip2ForConditionalGeneration",
        {
            **{"model_type": "blip-2", "image_text_hidden_size": 256, "image_token_index": 50265},
            **{"num_query_tokens": 32, "initializer_factor": 1.0, "initializer_range": 0.02},
            "qformer_config": {"classifier_dropout": None, "model_type": "blip_2_qformer"},
            "text_config": {
                **{"_name_or_path": "facebook/opt-2.7b", "activation_dropout": 0.0, "eos_token_id": 50118},
                **{"ffn_dim": 10240, "hidden_size": 2560, "model_type": "opt", "num_attention_heads": 32},
                **{
                    "num_hidden_layers": 32,
                    "prefix": "</s>",
                    "vocab_size": 50304,
                    "word_embed_proj_dim": 2560,
                },
            },
            "use_decoder_only_language_model": True,
            "vision_config": {
                **{"dropout": 0.0, "initializer_factor": 1.0, "model_type": "blip_2_vision_model"},
                **{"num_channels": 3, "projection_dim": 512},
            },
        },
        {"image_processor_type": "BlipImageProcessor", "size": {"height": 224, "width": 224}},
        {"eos_token_id": 50118},
        3_744_761_856,
    ),
    "idefics": (
        "IdeficsForVisionText2Text",
        {
            **{
                "model_type": "idefics",
                "additional_vocab_size": 2,
                "alpha_type": "vector",
                "vocab_size": 32000,
            },
            **{"cross_layer_activation_function": "swiglu", "cross_layer_interval": 4, "dropout": 0.0},
            **{"hidden_size": 4096, "intermediate_size": 11008, "num_attention_heads": 32},
            **{"num_hidden_layers": 32, "qk_layer_norms": True, "rms_norm_eps": 1e-06, "use_resampler": True},
            **{"tie_word_embeddings": False, "word_embed_proj_dim": 4096, "freeze_lm_head": True},
            "perceiver_config": {
                **{"model_type": "idefics_perciever", "qk_layer_norms_perceiver": True, "resampler_depth": 6},
                **{"resampler_head_dim": 96, "resampler_n_heads": 16, "resampler_n_latents": 64},
                "use_resampler": True,
            },
            "vision_config": {
                **{"embed_dim": 1280, "hidden_act": "gelu", "image_size": 224, "intermediate_size": 5120},
                **{"model_type": "idefics_vision", "num_attention_heads": 16, "num_channels": 3},
                **{"num_hidden_layers": 32, "patch_size": 14, "layer_norm_eps": 1e-05},
                "vision_model_name": "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
            },
        },
        {"image_processor_type": "IdeficsImageProcessor", "image_size": 224},
        {"eos_token_id": 2},
        8_929_745_152,
    ),
}
"""Class, config.json, preprocessor_config.json, generation_config.json, weights in all."""


@pytest.mark.parametrize("name", CASES)
def test_the_shipped_graph_is_what_is_imported_and_all_weights_fit(tmp_path, root, monkeypatch, name):
    class_name, config, pixels, generation, count = CASES[name]
    theirs = getattr(transformers, class_name)
    with torch.device("meta"):
        model = theirs(theirs.config_class(**config))
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    kept = {key for key in shapes if key not in getattr(model, "all_tied_weights_keys", {})}
    file = Checkpoint(tmp_path, {}, {key: shape for key, shape in shapes.items() if key in kept})
    monkeypatch.setattr("mmm_graph.api.convert.open_checkpoint", lambda folder: file)
    write(tmp_path / "config.json", {**config, "architectures": [class_name]})
    write(tmp_path / "preprocessor_config.json", pixels)
    write(tmp_path / "generation_config.json", generation)
    tiny.tokenizer("<image>").save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").write_text("" if name == "idefics" else tiny.LLAVA_TEMPLATE)
    if name == "idefics":
        (tmp_path / "chat_template.jinja").unlink()
    imported = compile_graph(
        load_spec(import_graph(str(tmp_path), tmp_path / "g.yaml", registry()).tree), registry()
    )
    shipped = compile_graph(load_spec(root / "graphs" / "models" / f"{name}.yaml"), registry())
    assert {n: m.config for n, m in imported.models.items()} == {
        n: m.config for n, m in shipped.models.items()
    }
    assert nodes(imported) == nodes(shipped)
    assert fitted(imported, file) == sum(p.numel() for p in model.parameters()) == count


def nodes(graph):
    """What each node does, by its path."""
    return {node.path: (type(node), node.inputs, getattr(node, "config", None)) for node in graph.nodes}


def fitted(graph, file):
    """Weights of all models, each of which fits its part of the file."""
    total = 0
    for node in graph.models.values():
        kind = registry().models[node.kind]
        if kind.weights:
            prefix = node.weights.partition("#")[2]
            with torch.device("meta"):
                make = partial(resolve(kind.builder), node.config)
                module = Copies(make, node.copies, copy_key) if node.copies else make()
            Weights(module, file, prefix=prefix, layouts=kind.layouts, config=node.config)
            total += sum(p.numel() for p in module.parameters())
    return total


def write(file, said):
    file.write_text(json.dumps(said))
