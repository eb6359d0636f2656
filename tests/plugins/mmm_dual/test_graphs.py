"""The graphs of graphs/models on a small checkpoint: their nodes, with the models of an imported folder."""

from __future__ import annotations

import pytest
import torch
import yaml
from torch.nn import functional as F

import mmm_graph as mmm
from mmm_graph.api.convert import import_graph
from mmm_graph.registry import load_registry
from tests.plugins.mmm_dual import tiny

pytestmark = pytest.mark.parity


def small(root, tmp_path, name):
    """(transformers' model and processor, the graph)."""
    both = tiny.save_clip(tmp_path / "model", tiny.CLIP["OpenAI"])
    made = import_graph(str(tmp_path / "model"), tmp_path / "g.yaml", load_registry()).tree
    text = (root / "graphs" / "models" / name).read_text(encoding="utf-8").replace("clip.see", "see")
    tree = yaml.safe_load(text.replace("clip.read", "read").replace("call: clip.", "call: "))
    tree.pop("include", None)
    return *both, mmm.load({**tree, "models": made["models"], "graphs": made["graphs"]}, base=tmp_path)


def vectors(model, processor, files, words):
    from PIL import Image

    given = processor(
        text=words, images=[Image.open(file) for file in files], return_tensors="pt", padding=True
    )
    with torch.no_grad():
        seen = model.get_image_features(given.pixel_values).pooler_output
        texts = model.get_text_features(given.input_ids).pooler_output
    return F.normalize(seen, dim=-1), F.normalize(texts, dim=-1)


def test_towers(root, tmp_path):
    model, processor, graph = small(root, tmp_path, "clip.yaml")
    file, words = tiny.pictures(tmp_path)[0], ["a cat", "the hat"]
    got = graph.run(image=file, text=words)
    seen, texts = vectors(model, processor, [file], words)
    with torch.no_grad():
        want = model.logit_scale.exp() * seen @ texts.T
    assert (got["logits"] - want).abs().max() < 1e-5
    assert (F.normalize(got["image_embeds"], dim=-1) - seen).abs().max() < 1e-5
    assert (F.normalize(got["text_embeds"], dim=-1) - texts).abs().max() < 1e-5


def test_retrieval_of_pictures_of_several_sizes(root, tmp_path):
    model, processor, graph = small(root, tmp_path, "clip_retrieval.yaml")
    files, words = tiny.pictures(tmp_path), ["a cat", "the hat", "zebra in the hat", "a zebra"]
    got = graph.run(image=files, text=words, top=2)
    seen, texts = vectors(model, processor, files, words)
    for name, cosines in (("caption", seen @ texts.T), ("picture", texts @ seen.T)):
        want = cosines.topk(2)
        assert torch.equal(got[f"{name}s"], want.indices)
        assert (got[f"{name}_scores"] - want.values).abs().max() < 1e-5


def test_zero_shot_of_a_batch(root, tmp_path):
    from PIL import Image

    model, processor, graph = small(root, tmp_path, "clip_zero_shot.yaml")
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for i, file in enumerate(files):
        Image.new("RGB", (40, 30), (90 * i, 255 - 90 * i, 7)).save(file)
    got = graph.run(image=files, labels=tiny.LABELS)
    words = [text.replace("{}", label) for label in tiny.LABELS for text in graph.spec.values["templates"]]
    seen, texts = vectors(model, processor, files, words)
    classes = F.normalize(texts.unflatten(0, (len(tiny.LABELS), -1)).mean(1), dim=-1)
    with torch.no_grad():
        want = (model.logit_scale.exp() * seen @ classes.T).softmax(-1)
    assert (got["probabilities"] - want).abs().max() < 1e-5
    assert got["answer"] == [f"A photo of a {tiny.LABELS[i]}." for i in want.argmax(-1)]
    assert [len(table.splitlines()) for table in got["table"]] == [3, 3, 3]
