"""Checkpoints in LLaVA's own layout answer as those that transformers wrote; towers and projectors they may name."""

from __future__ import annotations

import pytest
from safetensors.torch import save_file

from mmm_graph.api.convert import import_graph
from mmm_graph.errors import InputError
from tests.plugins.mmm_vlm import tiny
from tests.plugins.mmm_vlm.peers import COUNT, asked, imported, opened, registry, rows, user

pytestmark = pytest.mark.parity
VICUNA = {"template": "vicuna_v1"}
CASES = {
    "1.5": (tiny.save_llava, "llama", "LlavaLlamaForCausalLM", {}),
    "NeXT": (
        tiny.save_next,
        "mistral",
        "LlavaMistralForCausalLM",
        {
            "image_aspect_ratio": "anyres",
            "mm_patch_merge_type": "spatial_unpad",
            "image_grid_pinpoints": [[width, height] for height, width in tiny.GRIDS],
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("tower", ["in the file", "beside it"])
def test_answers_are_those_of_the_other_layout(tmp_path, name, tower):
    saved, family, architecture, more = CASES[name]
    folder, case = tmp_path / "model", {"text": {"model_type": family}}
    saved(folder, case)
    want = imported(folder)
    want["nodes"]["chat"]["config"] = VICUNA
    chats = [user(*tiny.pictures(tmp_path)[:2], "hat ?"), user("cat")]
    answers = rows(asked(opened(want, tmp_path), chat=chats))
    weights = tiny.make_own(folder, architecture, **more)
    if tower == "beside it":
        _move_tower(folder, weights)
    graph = imported(folder)
    assert graph["models"]["vision"]["weights"].endswith("clip" if tower == "beside it" else "vision_tower")
    graph["nodes"]["chat"]["config"] = VICUNA
    assert rows(asked(opened(graph, tmp_path), chat=chats)) == answers


def test_one_linear_layer_padding_and_a_vocabulary_without_a_place_for_images(tmp_path):
    """LLaVA 1.0: no `<image>` among its tokens; pictures may be padded to squares."""
    folder = tmp_path / "model"
    tiny.save_llava(folder, tiny.LLAVA["llama"])
    more = {"mm_projector_type": "linear", "image_aspect_ratio": "pad"}
    weights = tiny.make_own(folder, "LlavaLlamaForCausalLM", **more)
    tiny.tokenizer().save_pretrained(folder)
    names = {
        "model.mm_projector.0.weight": "model.mm_projector.weight",
        "model.mm_projector.0.bias": "model.mm_projector.bias",
    }
    kept = {names.get(k, k): w for k, w in weights.items() if not k.startswith("model.mm_projector.2")}
    save_file(kept, folder / "model.safetensors")
    graph = imported(folder)
    assert graph["models"]["bridge"]["kind"] == "adaptor.linear"
    assert graph["models"]["tok"]["config"]["media_tokens"] == {"image": "<unk>"}
    assert graph["nodes"]["pixels"]["config"]["pad_square"] == "mean"
    graph["nodes"]["chat"]["config"] = {"template": "flamingo"}
    graph["outputs"] |= {"features": "features", "soft": "soft"}
    found = asked(opened(graph, tmp_path), chat=[user(tiny.pictures(tmp_path)[0], "a cat")])
    want = found["features"] @ kept["model.mm_projector.weight"].T + kept["model.mm_projector.bias"]
    assert (found["soft"] - want).abs().max() < 1e-5 and found["ids"].shape == (1, COUNT)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"mm_vision_tower": "someone/else"},
            "mm_vision_tower 'someone/else' is not known; known are openai/clip",
        ),
        ({"mm_projector_type": "identity"}, "mm_projector_type: 'identity' is not supported"),
        ({"mm_vision_select_feature": "cls"}, "mm_vision_select_feature: 'cls' is not supported"),
        ({"image_aspect_ratio": "anyres_max_9"}, "image_aspect_ratio: 'anyres_max_9' is not supported"),
        ({"rope_speed": 3}, "rope_speed: 3 is not supported"),
    ],
)
def test_what_is_refused(tmp_path, more, said):
    tiny.save_llava(tmp_path, tiny.LLAVA["llama"])
    tiny.make_own(tmp_path, "LlavaLlamaForCausalLM", **more)
    with pytest.raises(InputError) as caught:
        import_graph(str(tmp_path), tmp_path / "g.yaml", registry())
    assert said in str(caught.value) and "E612" in str(caught.value)


def _move_tower(folder, weights):
    start = "model.vision_tower.vision_tower."
    tower = {k.removeprefix(start): w for k, w in weights.items() if k.startswith(start)}
    save_file(tower, folder / "clip" / "model.safetensors")
    save_file({k: w for k, w in weights.items() if not k.startswith(start)}, folder / "model.safetensors")
