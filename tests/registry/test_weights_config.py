"""The config that files of weights say is what `mmm import` writes of them; what cannot be read is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from mmm_graph.api.convert import import_graph
from mmm_graph.errors import InputError, RunError
from mmm_graph.registry import Registry, load_registry
from mmm_graph.registry.source import Source
from mmm_graph.registry.weights_config import read_weights_config
from tests.checkpoint.ggufs import write_gguf
from tests.foreign.folders import PLUGIN, write_json
from tests.plugins.mmm_dual import tiny as dual
from tests.plugins.mmm_pipelines import tiny as pipelines
from tests.plugins.mmm_vlm import tiny as vlm

HEAD = {
    **{"context_length": 64, "block_count": 2, "embedding_length": 64, "feed_forward_length": 96},
    **{"attention.head_count": 4, "attention.head_count_kv": 2, "attention.layer_norm_rms_epsilon": 1e-5},
    "vocab_size": 32,
}
"""Of a GGUF file, below its architecture."""


def save_gguf(path: Path) -> None:
    fields = {f"qwen2.{name}": value for name, value in HEAD.items()}
    write_gguf(path, {"token_embd.weight": torch.zeros(32, 64)}, fields, architecture="qwen2")


SAVED: dict[str, Callable[[Path], Any]] = {
    "llama": lambda folder: vlm.save_decoder(folder, "llama", chats=False),
    "m.gguf": save_gguf,
    "clip": lambda folder: dual.save_clip(folder, dual.CLIP["LAION, old eos"]),
    "siglip": lambda folder: dual.save_siglip(folder, dual.SIGLIP["other widths"]),
    "llava": lambda folder: vlm.save_llava(folder, vlm.LLAVA["qwen2, last layer"]),
    "blip2": lambda folder: vlm.save_blip2(folder, vlm.BLIP2["other widths"]),
    "idefics": lambda folder: vlm.save_idefics(folder, next(iter(vlm.IDEFICS.values()))),
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(extra_files=[PLUGIN])


def said(registry: Registry, kind: str, path: Path, prefix: str = "") -> Any:
    return read_weights_config(registry.models[kind], Source(path, prefix, f"file:{path.name}"), registry)


@pytest.mark.parity
@pytest.mark.parametrize("name", SAVED)
def test_what_import_writes(tmp_path: Path, registry: Registry, name: str) -> None:
    """Of a folder with one model, or with several."""
    SAVED[name](tmp_path / name)
    made = import_graph(str(tmp_path / name), tmp_path / "g.yaml", registry)
    seen = 0
    for model in made.tree["models"].values():
        kind = registry.models[model["kind"]]
        if kind.layouts and "weights" in model:
            found = said(registry, kind.kind, tmp_path / name, model["weights"].partition("#")[2])
            assert kind.config(**(found or {})) == kind.config(**model.get("config", {}))
            seen += bool(found)
    assert seen >= 1


@pytest.mark.parity
def test_models_of_diffusers(tmp_path: Path, registry: Registry) -> None:
    from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler, UNet2DConditionModel

    sizes = {"block_out_channels": (16, 32), "norm_num_groups": 8, "cross_attention_dim": 24}
    blocks = {"down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D")}
    blocks |= {"up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
    UNet2DConditionModel(**sizes, **blocks, attention_head_dim=2).save_pretrained(tmp_path / "unet")
    pipelines.vae(latent=6).save_pretrained(tmp_path / "vae")
    law = {"beta_schedule": "scaled_linear", "beta_end": 0.03, "prediction_type": "v_prediction"}
    DDIMScheduler(**law, clip_sample=False).save_pretrained(tmp_path / "ddim")
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(tmp_path / "flow")
    unet = registry.models["denoiser.unet"].config(**said(registry, "denoiser.unet", tmp_path / "unet"))
    vae = registry.models["vae.kl"].config(**said(registry, "vae.kl", tmp_path / "vae"))
    assert (unet.channels, unet.cond_dim) == ((16, 32), 24)
    assert (vae.channels, vae.latent_channels) == ((16, 32), 6)
    whole = said(registry, "vae.kl", tmp_path / "vae" / "diffusion_pytorch_model.safetensors")
    assert whole == said(registry, "vae.kl", tmp_path / "vae")
    law = said(registry, "scheduler.scaled_linear", tmp_path / "ddim" / "scheduler_config.json")
    assert law["prediction"] == "v" and law["beta_end"] == 0.03
    assert said(registry, "scheduler.flow", tmp_path / "flow") == {"shift": 3.0}
    with pytest.raises(InputError, match=r"E618.*scheduler.linear refuses: its noise law is scheduler.scal"):
        said(registry, "scheduler.linear", tmp_path / "ddim")


def test_a_gguf_file_goes_before_a_config_beside_it(tmp_path: Path, registry: Registry) -> None:
    """Folders of GGUF files hold a config.json that says hardly anything."""
    save_gguf(tmp_path / "m.gguf")
    write_json(tmp_path / "config.json", {"model_type": "llama"})
    assert said(registry, "llm.decoder", tmp_path)["width"] == 64
    assert said(registry, "llm.decoder", tmp_path) == said(registry, "llm.decoder", tmp_path / "m.gguf")


TOY = {"_class_name": "TheirToy", "hidden_size": 5}


def toy(folder: Path, config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return folder


def test_where_nothing_is_said(tmp_path: Path, registry: Registry) -> None:
    """Without the file, of a file that is no weights, and of a pipeline, whose models stand below."""
    folder = toy(tmp_path / "net", TOY)
    (folder / "x.pt").touch()
    assert said(registry, "encoder.toy", folder) == {"width": 5}
    assert said(registry, "encoder.toy", folder / "x.pt") is None
    (folder / "config.json").rename(folder / "model_index.json")
    assert said(registry, "encoder.toy", folder) is None


def test_half_of_a_model_whose_config_is_that_of_both(tmp_path: Path, registry: Registry) -> None:
    sizes = {"d_model": 24, "d_kv": 6, "d_ff": 40, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 4}
    folder = toy(tmp_path / "t5", {"architectures": ["T5ForConditionalGeneration"], **sizes})
    whole, half = (said(registry, kind, folder) for kind in ("llm.t5", "encoder.t5"))
    assert half["depth"] == 2 and half.items() <= whole.items() and whole["decoder_depth"] == 3


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("{", r"E616.*config.json cannot be read"),
        ("[1]", r"E616.*config.json holds no record"),
        ("[" * 100_000, r"E616.*config.json cannot be read"),
        ({"hidden_size": 3}, r"E617.*has no .*config.json that names a class"),
        (
            {"architectures": ["LlamaForCausalLM"]},
            r"E617.*net holds a LlamaForCausalLM.*encoder.toy reads only Th",
        ),
        ({"architectures": ["OtherToy"]}, r"E617.*net holds a OtherToy.*encoder.toy reads only TheirToy"),
        (
            {**TOY, "act": "gelu"},
            r"E618.*net holds a TheirToy, which encoder.toy refuses: act: 'gelu' is not",
        ),
        ({"_class_name": "TheirToy"}, r"E618.*which encoder.toy refuses: KeyError: 'hidden_size'"),
    ],
)
def test_what_is_refused(tmp_path: Path, registry: Registry, config: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        said(registry, "encoder.toy", toy(tmp_path / "net", config))


def test_models_that_cannot_be_told_apart(tmp_path: Path, registry: Registry) -> None:
    """The importer of the class needs more of the folder, or the class has several of that kind."""
    config = {"architectures": ["LlavaForConditionalGeneration"], "vision_config": {}, "text_config": {}}
    llava = toy(tmp_path / "llava", config)
    assert said(registry, "llm.decoder", llava) is None  # without weights
    save_file({"x": torch.zeros(1)}, llava / "model.safetensors")
    with pytest.raises(InputError, match=r"E618.*LlavaForConditionalGeneration, whose models cannot be told"):
        said(registry, "llm.decoder", llava)
    link, kind = "file:twins", registry.models["encoder.toy"]
    twins = {
        n: {"kind": kind.kind, "weights": f"{link}#{n}", "config": {"width": w}}
        for n, w in (("a", 2), ("b", 3))
    }
    folder = toy(tmp_path / "twins", {"architectures": ["TheirPipeline"]})
    save_file({"x": torch.zeros(1)}, folder / "model.safetensors")

    def of(prefix: str) -> Any:
        return read_weights_config(kind, Source(folder, prefix, link), registry, {folder: twins})

    assert (of("a"), of("b")) == ({"width": 2}, {"width": 3})
    with pytest.raises(InputError, match=r"E618.*has several encoder.toy: #a, #b, but none #c"):
        of("c")


def test_a_damaged_gguf_file(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF\0\0")
    with pytest.raises(RunError, match="E605"):
        said(registry, "llm.decoder", tmp_path / "m.gguf")
