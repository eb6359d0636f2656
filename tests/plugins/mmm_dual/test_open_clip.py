"""Folders of OpenCLIP: towers built of torch's own layers as OpenCLIP builds them, beside the imported graph."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional as F

import mmm_graph as mmm
from mmm_graph.api.convert import import_graph
from mmm_graph.errors import InputError
from mmm_graph.registry import load_registry
from tests.plugins.mmm_dual import tiny
from tests.plugins.mmm_pipelines.tiny import clip_tokenizer, scramble
from tests.plugins.mmm_text import test_open_clip as texts
from tests.plugins.mmm_vit import test_open_clip as pictures

MODEL = {
    "embed_dim": pictures.OUT,
    "vision_cfg": {
        **{"image_size": pictures.SIZE, "layers": pictures.DEPTH, "width": pictures.WIDTH},
        **{"patch_size": pictures.PATCH, "head_width": pictures.WIDTH // pictures.HEADS},
    },
    "text_cfg": {"context_length": 20, "vocab_size": 521, "width": 24, "heads": 4, "layers": 3},
}
TEMPLATE = "a {} in the hat"


def save(folder, prefix="", **changes):
    """(vision tower, text tower, tokenizer), saved; the temperature is 5, and 0 is added."""
    tokenizer = clip_tokenizer(folder / "words")
    torch.manual_seed(0)
    vision, text = pictures.OpenClip(), texts.OpenClip(521, 20, 24, 3, 4, pictures.OUT)
    scramble(vision, text)
    tokenizer.save_pretrained(folder)
    model = {**MODEL, **changes}
    tensors = {f"visual.{n}": v for n, v in vision.state_dict().items()}
    tensors |= {f"{prefix}{n}": v for n, v in text.state_dict().items() if n != "logit_scale"}
    tensors["logit_scale"] = torch.tensor(5.0).log()
    if model.get("init_logit_bias") is not None:
        tensors["logit_bias"] = torch.tensor(-2.0)
    save_file({n: v.contiguous() for n, v in tensors.items()}, folder / "open_clip_model.safetensors")
    said = {"model_cfg": model, "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}}
    (folder / "open_clip_config.json").write_text(json.dumps(said))
    return vision, text, tokenizer


@pytest.mark.parity
@pytest.mark.parametrize("biased", [False, True])
def test_logits(tmp_path, biased):
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    changes = {"prefix": "text.", "custom_text": True, "init_logit_bias": -10} if biased else {}
    vision, text, tokenizer = save(tmp_path, **changes)
    path = tmp_path / "g.yaml"
    path.write_text(import_graph(str(tmp_path), path, load_registry()).text)
    graph = mmm.load(path)
    words = [TEMPLATE.format(label) for label in tiny.LABELS]
    ids = tokenizer(words, padding="max_length", max_length=20, return_tensors="pt").input_ids
    pixels = CLIPImageProcessorPil(
        size={"shortest_edge": 20}, crop_size=20, image_mean=[0.5] * 3, image_std=[0.2] * 3
    )
    for file in tiny.pictures(tmp_path):
        got = graph.run(image=file, labels=tiny.LABELS, templates=[TEMPLATE])
        with torch.no_grad():
            seen = vision(pixels(Image.open(file), return_tensors="pt").pixel_values)
            seen = seen[-1] if isinstance(seen, tuple) else seen
            want = 5 * F.normalize(seen, dim=-1) @ F.normalize(text(ids)[1], dim=-1).T - 2 * biased
        assert (got["logits"] - want).abs().max() < 1e-5
        chances = want.sigmoid() if biased else want.softmax(-1)
        assert (got["probabilities"] - chances).abs().max() < 1e-5
    assert want.std() > 0.01


def test_what_is_exported_is_one_file_again(tmp_path):
    from safetensors.torch import load_file

    save(tmp_path / "model")
    tree = import_graph(str(tmp_path / "model"), tmp_path / "g.yaml", load_registry()).tree
    mmm.load(tree, base=tmp_path).export(tmp_path / "out")
    old, new = (load_file(tmp_path / n / "open_clip_model.safetensors") for n in ("model", "out"))
    assert old.keys() == new.keys() and all(torch.equal(value, new[n]) for n, value in old.items())
    assert (tmp_path / "out" / "open_clip_config.json").is_file()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"vision_cfg": {"layers": [3, 4, 6, 3]}}, "is a ResNet"),
        ({"vision_cfg": {"timm_model_name": "convnext_base"}}, "timm_model_name: 'convnext_base'"),
        ({"text_cfg": {"hf_model_name": "roberta-base"}}, "hf_model_name: 'roberta-base'"),
        ({"text_cfg": {"tokenizer_kwargs": {"clean": "x"}}}, "clean: 'x' is not supported"),
        ({"multimodal_cfg": {"width": 5}}, "multimodal_cfg"),
    ],
)
def test_what_is_refused(tmp_path, changes, said):
    save(tmp_path, **changes)
    refuse(tmp_path, said)


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (
            "open_clip_model.safetensors",
            "no open_clip_model.safetensors; open_clip_pytorch_model.bin is a pickle",
        ),
        ("tokenizer.json", "there is no tokenizer"),
    ],
)
def test_folders_that_lack_something(tmp_path, lost, said):
    save(tmp_path)
    (tmp_path / lost).unlink()
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(b"")
    refuse(tmp_path, said)


def refuse(folder, said):
    with pytest.raises(InputError) as caught:
        import_graph(str(folder), folder / "g.yaml", load_registry())
    assert said in str(caught.value) and "E612" in str(caught.value)
