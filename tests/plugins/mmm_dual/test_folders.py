"""Folders of CLIPModel and SiglipModel: the imported graph beside transformers, from files of pictures."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import mmm_graph as mmm
from mmm_graph.api.convert import import_graph
from mmm_graph.errors import InputError
from mmm_graph.registry import load_registry
from tests.plugins.mmm_dual import tiny

pytestmark = pytest.mark.parity

CASES = [*(("clip", name) for name in tiny.CLIP), *(("siglip", name) for name in tiny.SIGLIP)]
TEMPLATES = ["a {}.", "the {} in a hat"]


def made(folder, tmp_path, dtype=None):
    """The graph, from the text of its file."""
    path = tmp_path / "graph.yaml"
    imported = import_graph(str(folder), path, load_registry(), dtype=dtype)
    path.write_text(imported.text)
    return mmm.load(path, sets={"models.scale.dtype": dtype} if dtype else {})


def saved(family, name, folder):
    save, cases = {"clip": (tiny.save_clip, tiny.CLIP), "siglip": (tiny.save_siglip, tiny.SIGLIP)}[family]
    return save(folder, cases[name])


def close(got, want, far=1e-4):
    assert (got - want).abs().max() < far


def given(family, processor, words, file):
    """What transformers takes."""
    pad = {"padding": True} if family == "clip" else {"padding": "max_length", "max_length": 64}
    found = processor(text=words, images=Image.open(file), return_tensors="pt", **pad)
    if family == "siglip":
        found.pop("attention_mask", None)  # published tokenizers make none
    return found


@pytest.mark.parametrize(("family", "name"), CASES)
def test_logits(tmp_path, family, name):
    """Both round in float32; in float64 nothing is left but the rounding."""
    model, processor = saved(family, name, tmp_path / "model")
    words = [f"a photo of a {label}" for label in tiny.LABELS]
    ours = {dtype: made(tmp_path / "model", tmp_path, dtype) for dtype in (None, "f64")}
    exact = deepcopy(model).double()
    for file in tiny.pictures(tmp_path):
        theirs = given(family, processor, words, file)
        got, fine = (
            graph.run(image=file, labels=tiny.LABELS, templates=["a photo of a {}"])
            for graph in ours.values()
        )
        with torch.no_grad():
            want = model(**theirs).logits_per_image
            close(got["logits"], want)
            theirs["pixel_values"] = theirs["pixel_values"].double()
            close(fine["logits"], exact(**theirs).logits_per_image, 1e-10)
        chances = want.softmax(-1) if family == "clip" else want.sigmoid()
        close(got["probabilities"], chances)
        assert got["answer"] == [f"A photo of a {tiny.LABELS[int(want.argmax())]}."]
    assert want.std() > 0.01


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_templates_are_averaged(tmp_path, family):
    name = next(iter(tiny.CLIP if family == "clip" else tiny.SIGLIP))
    model, processor = saved(family, name, tmp_path / "model")
    file = tiny.pictures(tmp_path)[0]
    graph = made(tmp_path / "model", tmp_path)
    got = graph.run(image=file, labels=tiny.LABELS, templates=TEMPLATES, top=2)
    words = [text.format(label) for label in tiny.LABELS for text in TEMPLATES]
    theirs = given(family, processor, words, file)
    with torch.no_grad():
        texts = F.normalize(model.get_text_features(theirs.input_ids).pooler_output, dim=-1)
        classes = F.normalize(texts.unflatten(0, (-1, len(TEMPLATES))).mean(1), dim=-1)
        seen = F.normalize(model.get_image_features(theirs.pixel_values).pooler_output, dim=-1)
        want = model.logit_scale.exp() * seen @ classes.T + getattr(model, "logit_bias", 0)
    close(got["logits"], want)
    assert len(got["table"][0].splitlines()) == 2


def test_configs_as_they_were_written_once(tmp_path):
    """text_config_dict is what counts, preprocessor_config.json says numbers, positions are in the file."""
    folder = tmp_path / "model"
    model, processor = saved("clip", "LAION, old eos", folder)
    config = json.loads((folder / "config.json").read_text())
    for half in ("text", "vision"):
        config[f"{half}_config_dict"] = config[f"{half}_config"]
        config[f"{half}_config"] = {"hidden_size": 5, "top_k": 50, "model_type": f"clip_{half}_model"}
    (folder / "config.json").write_text(json.dumps(config))
    pixels = json.loads((folder / "processor_config.json").read_text())["image_processor"]
    pixels |= {"size": 40, "crop_size": 32, "feature_extractor_type": "CLIPFeatureExtractor"}
    del pixels["image_processor_type"]
    (folder / "processor_config.json").unlink()
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    file = tiny.pictures(tmp_path)[0]
    got = made(folder, tmp_path).run(image=file, labels=tiny.LABELS, templates=["{}"])["logits"]
    with torch.no_grad():
        want = model(**given("clip", processor, tiny.LABELS, file)).logits_per_image
    close(got, want)


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("processor_config.json", None, "says how pictures are made ready"),
        (
            "processor_config.json",
            {"image_processor": {"image_processor_type": "X"}},
            "image processor 'X' is not supported",
        ),
        ("processor_config.json", {"image_processor": {"do_rescale": False}}, "do_rescale must be true"),
        ("config.json", {"fusion": 1}, "fusion: 1 is not supported"),
        ("config.json", {"text_config": {"rotary": 1}}, "rotary: 1 is not supported"),
        ("config.json", {"vision_config": {"hidden_act": "relu"}}, "hidden_act: 'relu' is not supported"),
    ],
)
def test_what_is_refused(tmp_path, file, change, said):
    saved("clip", "OpenAI", tmp_path)
    whole = json.loads((tmp_path / file).read_text())
    (tmp_path / file).unlink()
    if change is not None:
        for key, value in change.items():
            whole[key] = {**whole.get(key, {}), **value} if isinstance(value, dict) else value
        (tmp_path / file).write_text(json.dumps(whole))
    with pytest.raises(InputError) as caught:
        import_graph(str(tmp_path), tmp_path / "g.yaml", load_registry())
    assert said in str(caught.value) and "E612" in str(caught.value)


def test_the_slow_tokenizer_of_siglip_drops_punctuation(tmp_path):
    saved("siglip", "base", tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({**config, "tokenizer_class": "SiglipTokenizer"})
    )
    tree = import_graph(str(tmp_path), tmp_path / "g.yaml", load_registry()).tree
    nodes = tree["graphs"]["read"]["nodes"]
    assert nodes["plain"]["config"] == {"punctuation": False} and nodes["ids"]["in"] == {"text": "plain"}
    words = {"image": tiny.pictures(tmp_path)[0], "templates": ["{}"]}
    got = mmm.load(tree, base=tmp_path).run(labels=["The cat, in a hat!", "the cat  in a hat"], **words)
    close(got["logits"][0, 0], got["logits"][0, 1])
    del nodes["plain"]
    nodes["ids"]["in"] = {"text": "$in.text"}
    other = mmm.load(tree, base=tmp_path).run(labels=["The cat, in a hat!", "the cat  in a hat"], **words)
    assert (other["logits"][0, 0] - other["logits"][0, 1]).abs() > 1e-3


@pytest.mark.parametrize(("family", "name"), [CASES[1], CASES[3]])
def test_what_is_exported_is_the_same_model_for_transformers(tmp_path, family, name):
    model, processor = saved(family, name, tmp_path / "model")
    graph = made(tmp_path / "model", tmp_path)
    with torch.no_grad():
        graph.module("scale").log_scale.add_(1.0)  # as training would
        graph.module("vision").parts["norm"].norm.bias.add_(1.0)
    written = graph.export(tmp_path / "out")
    assert {"config.json", "model.safetensors", "processor_config.json", "tokenizer.json"} <= set(written)
    again, info = type(model).from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(info.values())
    old, new = model.state_dict(), again.state_dict()
    changed = {key for key, value in old.items() if not torch.equal(value, new[key])}
    assert old.keys() == new.keys() and changed == {"logit_scale", "vision_model.post_layernorm.bias"}
    torch.testing.assert_close(new["logit_scale"], old["logit_scale"] + 1)
    assert type(processor).from_pretrained(tmp_path / "out").tokenizer.get_vocab()
