"""LLaVA-1.5 and LLaVA-NeXT: imported graphs beside transformers, with 0, 1 and 2 images; what is refused."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from mmm_graph.api.convert import import_graph
from mmm_graph.errors import InputError, RunError
from tests.plugins.mmm_vlm import tiny
from tests.plugins.mmm_vlm.peers import asked, check, given_to, imported, opened, registry, user, with_logits

pytestmark = pytest.mark.parity

CASES = [
    *((tiny.save_llava, case) for case in tiny.LLAVA.values()),
    *((tiny.save_next, case) for case in tiny.NEXT.values()),
]


@pytest.mark.parametrize(
    ("saved", "case"), CASES, ids=[*tiny.LLAVA, *(f"next, {name}" for name in tiny.NEXT)]
)
def test_answers_are_those_of_transformers(tmp_path, saved, case):
    model, processor = saved(tmp_path / "model", case)
    one, two, three = tiny.pictures(tmp_path)
    graph = opened(with_logits(imported(tmp_path / "model")), tmp_path)
    for chats in (
        [user("what is on", one, two, "a cat ?"), user(three, "hat")],
        [user("nothing on this"), user("Question : w3", one)],
        [user("is the cat w5 ?")],
    ):
        check(asked(graph, chat=chats), model, given_to(processor, chats))


@pytest.mark.parametrize(("saved", "case"), [CASES[0], CASES[3]], ids=["1.5", "next"])
def test_images_of_extreme_forms(tmp_path, saved, case):
    model, processor = saved(tmp_path / "model", case)
    graph = with_logits(imported(tmp_path / "model"))
    dot, wide, high = tiny.pictures(tmp_path, ((1, 1), (9, 12000), (12000, 9)))
    chats = [user(dot, "hat"), user(wide, "what", high)]
    check(asked(opened(graph, tmp_path), chat=chats), model, given_to(processor, chats))


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llava")
    tiny.save_llava(folder / "model", tiny.LLAVA["llama"])
    return folder


@pytest.mark.parametrize(
    ("segments", "said"),
    [
        (["what is on <image> ?", 0], "E755.*conversation 1 has 1 image, and its text 2 places for them"),
        (["what is on <image> ?"], "E755.*conversation 1 has 0 images, and its text 1 place for them"),
        (
            ["w1 " * 500, 0],
            "E761.*conversation 1 has 52. tokens, .* more than the context of 512; 16 of them",
        ),
        (["w1 " * 470, 0], "E747.*a prompt of 49. tokens and an answer of "),
    ],
)
def test_conversations_that_cannot_be_answered(llama, segments, said):
    file = tiny.pictures(llama)[0]
    chats = [user("hat"), user(*(file if segment == 0 else segment for segment in segments))]
    with pytest.raises(RunError, match=said):
        asked(opened(imported(llama / "model"), llama), chat=chats)


def test_features_of_several_layers_stand_beside_each_other(tmp_path):
    case = {"text": {"model_type": "llama"}, "both": {"vision_feature_layer": [-2, 1]}}
    model, processor = tiny.save_llava(tmp_path / "model", case)
    chats = [user("cat", tiny.pictures(tmp_path)[0], "?")]
    graph = with_logits(imported(tmp_path / "model"))
    check(asked(opened(graph, tmp_path), chat=chats), model, given_to(processor, chats))


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("config.json", {"spatial_pool": 2}, "spatial_pool: 2 is not supported"),
        ("config.json", {"text_config": {"model_type": "gemma"}}, "the language model is a 'gemma'"),
        ("config.json", {"vision_config": {"model_type": "pixtral"}}, "the vision tower is a 'pixtral'"),
        ("processor_config.json", {"image_processor": None}, "says how images are made ready"),
        (
            "processor_config.json",
            {"image_processor": {"image_processor_type": "LlavaNextImageProcessor"}},
            "is none of this model",
        ),
    ],
)
def test_what_is_refused(tmp_path, file, change, said):
    tiny.save_llava(tmp_path, tiny.LLAVA["llama"])
    whole = json.loads((tmp_path / file).read_text())
    for key, value in change.items():
        whole[key] = {**whole.get(key, {}), **value} if isinstance(value, dict) else value
    (tmp_path / file).write_text(json.dumps(whole))
    with pytest.raises(InputError) as caught:
        import_graph(str(tmp_path), tmp_path / "g.yaml", registry())
    assert said in str(caught.value) and "E612" in str(caught.value)


def test_tiles_of_other_grids_than_the_model_has_are_refused(tmp_path):
    tiny.save_next(tmp_path, tiny.NEXT["mistral"])
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "image_grid_pinpoints": [[28, 56]]}))
    with pytest.raises(
        InputError, match=r"E612.*image_grid_pinpoints of config.json.*are not those of the image"
    ):
        import_graph(str(tmp_path), tmp_path / "g.yaml", registry())


def test_another_adaptor_takes_the_place_of_the_projector(llama, root):
    """By the lines of docs/adaptors.md."""
    page = (root / "docs" / "adaptors.md").read_text(encoding="utf-8")
    lines = re.findall(r"^[-+]  (bridge: {kind: adaptor\.(?:linear|mlp|qformer|perceiver),.*)$", page, re.M)
    tokens = {}
    for line in dict.fromkeys(lines):
        graph = imported(llama / "model")
        graph["models"] |= yaml.safe_load(line)
        graph["models"]["bridge"].get("config", {}).pop("out_dim", None)
        graph["outputs"]["soft"] = "soft"
        chats = [user("what", *tiny.pictures(llama)[:2]), user("cat")]
        found = asked(opened(graph, llama), chat=chats, max_new_tokens=3)
        tokens[graph["models"]["bridge"]["kind"]] = found["soft"].shape[1]
        assert found["ids"].shape == (2, 3) and found["soft"].shape[::2] == (2, 32)
    assert tokens == {"adaptor.linear": 16, "adaptor.mlp": 16, "adaptor.qformer": 32, "adaptor.perceiver": 64}


def test_a_folder_without_a_chat_template_gets_that_of_its_family(tmp_path):
    tiny.save_llava(tmp_path, tiny.LLAVA["mistral, all tokens, no bias"])
    (tmp_path / "chat_template.jinja").unlink()
    made = import_graph(str(tmp_path), tmp_path / "g.yaml", registry())
    assert made.tree["nodes"]["chat"]["config"] == {"template": "mistral_instruct"}
    assert "# the folder has no chat template: mistral_instruct is taken." in made.text
