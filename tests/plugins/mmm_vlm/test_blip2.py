"""BLIP-2 with OPT: the imported graph beside transformers."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from mmm_graph.api.convert import import_graph
from mmm_graph.errors import InputError, RunError
from tests.plugins.mmm_vlm import tiny
from tests.plugins.mmm_vlm.peers import asked, check, imported, opened, registry, with_logits

pytestmark = pytest.mark.parity


ALIKE = ((37, 64),) * 3


@pytest.mark.parametrize("name", tiny.BLIP2)
def test_answers_are_those_of_transformers(tmp_path, name):
    model, processor = tiny.save_blip2(tmp_path / "model", tiny.BLIP2[name])
    graph = opened(with_logits(imported(tmp_path / "model")), tmp_path)
    files = tiny.pictures(tmp_path, (*ALIKE, (1, 1), (9, 12000)))
    texts = ["Question : what is this ?", "a", "the cat on"]
    for pictures, prompts in ((files[:3], texts), (files[3:4], [""]), (files[4:], ["cat"])):
        images = [Image.open(file) for file in pictures]
        given = processor(text=prompts, images=images, return_tensors="pt", padding=True)
        given["attention_mask"] = given["attention_mask"].long()
        check(asked(graph, image=pictures, prompt=prompts), model, given)


def test_mt5_is_refused_by_name(tmp_path):
    tiny.save_blip2(tmp_path, tiny.BLIP2["small"])
    config = json.loads((tmp_path / "config.json").read_text())
    config["use_decoder_only_language_model"] = False
    config["text_config"]["model_type"] = "mt5"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"E612.*'mt5'; supported are opt and t5"):
        import_graph(str(tmp_path), tmp_path / "g.yaml", registry())


def test_each_image_has_its_text(tmp_path):
    tiny.save_blip2(tmp_path / "model", tiny.BLIP2["small"])
    graph, files = opened(imported(tmp_path / "model"), tmp_path), tiny.pictures(tmp_path, ALIKE)
    assert len(asked(graph, image=files, max_new_tokens=2)["text"]) == 3  # one prompt is for all
    with pytest.raises(InputError, match=r"E307.*has 2 rows, image has 3|E307.*has 3 rows, prompt has 2"):
        asked(graph, image=files, prompt=["a", "the"])
    with pytest.raises(RunError, match=r"E747.*a prompt of 9. tokens and an answer of 32"):
        asked(graph, image=files[:1], prompt=["cat " * 90])
