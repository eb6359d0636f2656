"""An imported graph on two ranks says what it says on one device, to the bit."""

from __future__ import annotations

import pytest
import torch

from tests.plugins.mmm_vlm import tiny
from tests.plugins.mmm_vlm.peers import asked, imported, opened, user

PLANS = {
    "apart": [["vision", "bridge"], ["llm"]],
    "cut": [["vision", "bridge", "llm[:2]"], ["llm[2:]"]],
}
CASES = [
    (tiny.save_llava, tiny.LLAVA["llama"], "apart"),
    (tiny.save_llava, tiny.LLAVA["qwen2, last layer"], "cut"),
    (tiny.save_next, tiny.NEXT["mistral"], "cut"),
    (tiny.save_idefics, tiny.IDEFICS["perceiver"], "cut"),
]


@pytest.mark.dist
@pytest.mark.parametrize(("saved", "case", "plan"), CASES)
def test_two_stages(tmp_path, saved, case, plan):
    saved(tmp_path / "model", case)
    graph = imported(tmp_path / "model")
    stages = [{"ranks": [rank], "place": place} for rank, place in enumerate(PLANS[plan])]
    graph["parallel"] = {"plans": {plan: {"ranks": 2, "stages": stages}}}
    graph["outputs"]["logprobs"] = "answer.logprobs"
    one, two, three = tiny.pictures(tmp_path)
    chats = [user("what is on", one, two, "a cat ?"), user(three, "hat")]
    want, found = (asked(opened(graph, tmp_path, name), chat=chats) for name in (None, plan))
    assert torch.equal(found["ids"], want["ids"]) and torch.equal(found["logprobs"], want["logprobs"])
    assert found["text"] == want["text"]
