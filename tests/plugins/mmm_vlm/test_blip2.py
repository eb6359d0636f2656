"""BLIP-2 with OPT: the imported graph beside transformers."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from mmm_graph.api.convert import import_graph
from mmm_graph.errors import InputError
from tests.plugins.mmm_vlm import tiny
from tests.plugins.mmm_vlm.peers import asked, check, imported, opened, registry, with_logits

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("name", tiny.BLIP2)
def test_answers_are_those_of_transformers(tmp_path, name):
    model, processor = tiny.save_blip2(tmp_path / "model", tiny.BLIP2[name])
    graph = opened(with_logits(imported(tmp_path / "model")), tmp_path)
    files = tiny.pictures(tmp_path)
    for count, texts in ((3, ["Question : what is this ?", "a", "the cat on"]), (1, [""])):
        images = [Image.open(file) for file in files[:count]]
        given = processor(text=texts, images=images, return_tensors="pt", padding=True)
        given["attention_mask"] = given["attention_mask"].long()
        check(asked(graph, image=files[:count], prompt=texts), model, given)


def test_t5_is_refused_by_name(tmp_path):
    tiny.save_blip2(tmp_path, tiny.BLIP2["small"])
    config = json.loads((tmp_path / "config.json").read_text())
    config["text_config"]["model_type"] = "t5"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"E612.*T5, an encoder-decoder, which is not supported yet"):
        import_graph(str(tmp_path), tmp_path / "g.yaml", registry())
