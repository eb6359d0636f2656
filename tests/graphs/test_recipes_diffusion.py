"""Recipes of published diffusion models: sizes of the full ones, and tiny ones that train two steps."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

import mmm_graph as mmm
from mmm_graph.api.samples import SAMPLE_TOOLS
from mmm_graph.graph.compile import compile_graph
from mmm_graph.registry import load_registry
from mmm_graph.runtime import Built, build_models
from mmm_graph.spec import load_spec
from mmm_graph.train import start
from mmm_graph.train.dry_run import StageCost, dry_run
from mmm_graph.train.trainer import train

ROOT = Path(__file__).resolve().parents[2]
RECIPES, TOKENIZER = ROOT / "graphs" / "recipes", ROOT / "graphs" / "digits" / "weights" / "tokenizer.json"
Sets = Mapping[str, str]
SHORT = "{max_length: 8, pad: max_length}"

WEIGHTS = {
    "sd15_lora": ("text", "unet", "vae"),
    "sd15_full": ("text", "unet", "vae"),
    "dit_xl2": ("vae",),
    "sd3_flow": ("text1", "text2", "text3", "mmdit", "vae"),
}
"""Models whose weights are files."""
SIZES = {
    "sd15_lora": ("unet", 797_184, 859_520_964),  # the published LoRA has 3.2 MB in float32
    "sd15_full": ("unet", 859_520_964, 0),
    "dit_xl2": ("dit", 675_129_632 - 256 * 1152, 0),  # the published number has the fixed positions in it
    "sd3_flow": ("mmdit", (24 * 8 - 1) * 4 * (1536 + 1536), 2_028_328_000),  # the last block makes no text
}
"""The model that learns: its trained and its frozen weights."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with captions, and in folders of classes."""
    folder = tmp_path_factory.mktemp("data")
    for i, name in enumerate(["zero", "one", "two"]):
        image = Image.new("RGB", (24 + i, 18), (60 * i, 10, 200))
        image.paste((255, 200, 0), (0, 0, 6, 9))
        for file in (folder / "pictures" / f"{i}.png", folder / "classes" / name / "a.png"):
            file.parent.mkdir(parents=True, exist_ok=True)
            image.save(file)
        (folder / "pictures" / f"{i}.txt").write_text(f"the digit {name}", encoding="utf-8")
    return folder


def folder_of(recipe: str, data: Path) -> Path:
    return data / ("classes" if recipe == "dit_xl2" else "pictures")


def words_of(recipe: str) -> dict[str, str]:
    """A tokenizer that is here."""
    names = {"sd3_flow": ("tok1", "tok2", "tok3"), "dit_xl2": ()}.get(recipe, ("tok",))
    return {f"models.{name}.weights": f"file:{TOKENIZER}" for name in names}


@pytest.mark.parametrize("recipe", SIZES)
def test_at_full_size_so_many_weights_learn_as_are_published(recipe: str, data: Path, tmp_path: Path) -> None:
    empty = tmp_path / "there.safetensors"
    empty.touch()  # files are found, and not read
    there = {f"models.{name}.weights": f"file:{empty}" for name in WEIGHTS[recipe]}
    sets = {"pictures": str(folder_of(recipe, data)), **words_of(recipe), **there}
    spec = load_spec(RECIPES / f"{recipe}.yaml", sets=sets)
    (cost,) = dry_run(spec, load_registry(), tmp_path / "out", sample_tools=SAMPLE_TOOLS)
    name, trained, frozen = SIZES[recipe]
    assert {m.name: (m.trained, m.frozen) for m in cost.models if m.trained} == {name: (trained, frozen)}
    assert not [m.unknown for m in cost.models if m.unknown]
    check_steps(recipe, cost)


def check_steps(recipe: str, cost: StageCost) -> None:
    """Steps, batch and micro-batches of the published command."""
    published = {"dit_xl2": (400_000, 256, 1), "sd3_flow": (500, 1, 4)}.get(recipe, (15_000, 1, 4))
    assert (cost.steps, cost.batch, cost.accumulate) == published


@dataclass
class Watched:
    """The models of a training as they were before, and as they are."""

    built: dict[str, Built] = field(default_factory=dict)
    before: dict[str, dict[str, Tensor]] = field(default_factory=dict)

    def changed(self) -> set[str]:
        """Models of which any weight is another one."""
        return {name for name, before in self.before.items() if len(stayed(self, name)) < len(before)}


def weights(built: Built) -> dict[str, Tensor]:
    """Copies of a model's own weights; those of a LoRA are none of them."""
    if not isinstance(built.object, torch.nn.Module):
        return {}
    return {k: v.detach().clone() for k, v in built.object.state_dict().items() if ".beside." not in k}


def stayed(watched: Watched, name: str) -> list[str]:
    """Weights of a model that are what they were."""
    now = weights(watched.built[name])
    return [k for k, v in watched.before[name].items() if torch.equal(v, now[k])]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """What a training builds."""
    found, build = Watched(), start.build_models

    def watch(*args: Any, **kwargs: Any) -> dict[str, Built]:
        built = build(*args, **kwargs)
        found.built |= built
        found.before |= {name: weights(each) for name, each in built.items()}
        return built

    monkeypatch.setattr(start, "build_models", watch)
    return found


def learn(recipe: str, data: Path, out: Path, sets: Sets) -> list[dict[str, str]]:
    """Two steps; the rows of the log."""
    (stage,) = load_spec(RECIPES / f"{recipe}.yaml").train.stages  # type: ignore[union-attr]
    small = {
        f"train.stages.{stage}.steps": "2",
        "size": "16",
        "height": "16",
        "width": "16",
        "steps": "2",
        "dtype": "f32",
    }
    chosen = {"pictures": str(folder_of(recipe, data)), **words_of(recipe), **small, **sets}
    train(load_spec(RECIPES / f"{recipe}.yaml", sets=chosen), load_registry(), out, sample_tools=SAMPLE_TOOLS)
    with (out / "metrics.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


UNET = {
    "sample_size": 8,
    "block_out_channels": (8, 16),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "cross_attention_dim": 16,
    "norm_num_groups": 4,
}


@pytest.fixture(scope="module")
def diffusion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion of some thousand weights, as diffusers and transformers save it."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    folder = tmp_path_factory.mktemp("sd15")
    torch.manual_seed(0)
    UNet2DConditionModel(**UNET).save_pretrained(folder / "unet")
    levels = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    vae = AutoencoderKL(
        block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, latent_channels=4, **levels
    )
    vae.save_pretrained(folder / "vae")
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    text = CLIPTextModel(CLIPTextConfig(vocab_size=32, max_position_embeddings=8, **sizes, **ends))
    text.save_pretrained(folder / "text_encoder")
    return folder


def sd15(folder: Path) -> dict[str, str]:
    """The recipe's models, tiny."""
    places = {"unet": "unet", "vae": "vae", "text": "text_encoder"}
    files = {f"models.{name}.weights": f"file:{folder / place}" for name, place in places.items()}
    return {**files, "models.tok.config": SHORT, "batch": "2"}


@pytest.mark.parity
def test_the_lora_of_sd15_is_the_one_that_peft_would_train(
    data: Path, diffusion: Path, tmp_path: Path, watched: Watched
) -> None:
    """The same layers, alpha and names; diffusers loads it, and predicts with it what we predict."""
    from diffusers import UNet2DConditionModel
    from peft import LoraConfig, get_peft_model_state_dict

    rows = learn("sd15_lora", data, tmp_path, {**sd15(diffusion), "train.stages.lora.samples.every": "2"})
    assert watched.changed() == set() and float(rows[-1]["loss.diffusion"]) > 0
    assert {p.name for p in tmp_path.glob("*.safetensors")} == {"unet.lora.safetensors"}
    assert list((tmp_path / "cache").rglob("*.safetensors")) and list(
        tmp_path.glob("samples/lora-000002/*.png")
    )
    reference = UNet2DConditionModel.from_pretrained(diffusion / "unet")
    published = LoraConfig(r=4, lora_alpha=4, target_modules=["to_k", "to_q", "to_v", "to_out.0"])
    reference.add_adapter(published)
    theirs = {f"unet.{k}": v.shape for k, v in get_peft_model_state_dict(reference).items()}
    ours = load_file(tmp_path / "unet.lora.safetensors")
    assert {k: v.shape for k, v in ours.items()} == theirs
    assert all(v.abs().max() > 0 for v in ours.values())
    with safe_open(tmp_path / "unet.lora.safetensors", "pt") as file:
        assert json.loads(file.metadata()["lora_adapter_metadata"])["unet.lora_alpha"] == 4
    check_prediction(diffusion, tmp_path)


def check_prediction(diffusion: Path, out: Path) -> None:
    """diffusers' U-Net with the file, and ours of graph.yaml."""
    from diffusers import UNet2DConditionModel

    reference = UNet2DConditionModel.from_pretrained(diffusion / "unet")
    x, t, embeds = torch.randn(2, 4, 8, 8), torch.tensor([3, 977]), torch.randn(2, 8, 16)
    with torch.no_grad():
        plain = reference(x, t, embeds).sample
        reference.load_lora_adapter(str(out), weight_name="unet.lora.safetensors", prefix="unet")
        want = reference(x, t, embeds).sample
        graph = compile_graph(load_spec(out / "graph.yaml"), load_registry())
        built = build_models(graph.models, load_registry(), base=out, needed=frozenset({"unet"}))
        got = built["unet"].object({"x": x, "t": t, "cond.embeds": embeds})["pred"]
    assert (want - plain).abs().max() > 1e-6
    assert (got - want).abs().max() <= 1e-2 * (want - plain).abs().max()


@pytest.mark.parity
def test_all_of_the_unet_of_sd15_learns_and_nothing_else(
    data: Path, diffusion: Path, tmp_path: Path, watched: Watched
) -> None:
    learn("sd15_full", data, tmp_path, {**sd15(diffusion), "weighting": "min_snr"})
    assert watched.changed() == {"unet"}
    assert stayed(watched, "unet") == []
    assert {p.name for p in tmp_path.glob("*.safetensors")} == {"unet.safetensors"}
    mmm.load(tmp_path / "graph.yaml").run(prompt="the digit one")


DIT = "{sample_size: 8, width: 16, depth: 2, num_heads: 2, freq_dim: 16, num_classes: 4, learned_sigma: true}"
VAE = "{channels: [8, 16], layers_per_block: 1, groups: 4, sample_size: 16"


def test_dit_learns_its_variance_too(data: Path, tmp_path: Path, watched: Watched) -> None:
    """In two steps all of it would not: the last layer and the gates, which hide the others, begin at 0."""
    sets = {"models.vae.config": f"{VAE}}}", "models.vae.weights": "null", "models.vae.init": "default"}
    small = {"models.dit.config": DIT, "any_class": "3", "batch": "4"}
    short = {"train.stages.dit.steps": "4", "train.stages.dit.workers": "0"}
    rows = learn("dit_xl2", data, tmp_path, {**sets, **small, **short})
    assert all(float(rows[-1][f"loss.{term}"]) > 0 for term in ("mse", "bound"))
    assert watched.changed() == {"dit"}
    assert stayed(watched, "dit") == []
    image = mmm.load(tmp_path / "graph.yaml").run(label=[0, 2])["image"]
    assert image.shape == (2, 3, 16, 16)


def test_sd3_learns_a_flow_by_a_lora_of_its_attention(data: Path, tmp_path: Path, watched: Watched) -> None:
    text = "{vocab_size: 32, max_length: 8, width: 16, depth: 2, num_heads: 2, hidden: 16, pool: argmax"
    configs = {
        **{
            f"models.{name}.config": f"{text}, projection: true, pooled_dim: 16}}"
            for name in ("text1", "text2")
        },
        "models.text3.config": "{vocab_size: 32, width: 32, depth: 1, num_heads: 2, head_dim: 8, hidden: 16}",
        "models.mmdit.config": "{sample_size: 8, depth: 2, num_heads: 2, head_dim: 8, cond_dim: 32, pooled_dim: 32, "
        "pos_embed_max_size: 8, freq_dim: 16, in_channels: 4, out_channels: 4}",
        "models.vae.config": f"{VAE}, scaling_factor: 1.5305, shift_factor: 0.0609}}",
        "graphs.embed.nodes.all.config.tokens": "16",
        **{f"models.tok{i}.config": SHORT for i in (1, 2, 3)},
    }
    fresh = {
        f"models.{n}.{k}": v
        for n in WEIGHTS["sd3_flow"]
        for k, v in (("weights", "null"), ("init", "default"))
    }
    rows = learn("sd3_flow", data, tmp_path, {**configs, **fresh})
    assert watched.changed() == set() and float(rows[-1]["loss.diffusion"]) > 0
    names = {
        k.removeprefix("transformer.transformer_blocks.")
        for k in load_file(tmp_path / "mmdit.lora.safetensors")
    }
    layers = [
        f"0.attn.{n}"
        for n in ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
    ]
    last = [layer.replace("0.attn", "1.attn") for layer in layers[:-1]]
    assert names == {f"{layer}.lora_{side}.weight" for layer in (*layers, *last) for side in "AB"}
