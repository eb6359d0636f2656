"""The decoder in a graph: called, spread over ranks, exported."""

import pytest
import torch
import transformers

import mmm_graph as mmm
from mmm_graph.errors import InputError
from tests.plugins.mmm_llm.tiny import CASES, VOCAB, layout_of, reference

pytestmark = pytest.mark.parity

IDS = torch.randint(1, VOCAB, (2, 7), generator=torch.Generator().manual_seed(0))
LEFT = torch.arange(7) >= torch.tensor([[0], [3]])
PLANS = {
    "tensor": {"ranks": 2, "axes": {"llm": {"tensor": 2}}},
    "stages": {
        "ranks": 2,
        "stages": [{"ranks": [0], "place": ["llm[:1]"]}, {"ranks": [1], "place": ["llm[1:]"]}],
    },
    "many": {"ranks": 4, "axes": {"llm": {"tensor": 4}}},
    "ring": {"ranks": 2, "axes": {"llm": {"ring": 2}}},
}


def session(folder, case, **more):
    kind, settings = CASES[case]
    theirs = reference(kind, settings)
    theirs.save_pretrained(folder)
    config = layout_of(kind).read_config(theirs.config.to_dict())
    tree = {
        "mmm": 1,
        "inputs": {"ids": "Ids[b,t]", "mask": "Mask[b,t]?"},
        "models": {"llm": {"kind": "llm.decoder", "weights": f"file:{folder}", "config": config}},
        "nodes": {
            "words": {"call": "llm.embed", "in": {"ids": "$in.ids"}},
            "next": {"call": "llm", "in": {"embeds": "words", "mask": "$in.mask"}},
        },
        "outputs": {"logits": "next.logits", "hidden": "next.hidden"},
        "parallel": {"plans": PLANS},
    }
    return mmm.load(tree, base=folder, **more), theirs


@pytest.mark.parametrize("case", ["llama-grouped", "opt-after", "gpt2"])
@torch.no_grad()
def test_logits_of_a_graph(tmp_path, case):
    graph, theirs = session(tmp_path, case)
    found = graph.run(ids=IDS)
    want = theirs(IDS).logits
    assert (found["logits"] - want).abs().max() < 1e-5 * max(1, float(want.abs().max()))
    assert found["hidden"].shape == (2, 7, 24)


@pytest.mark.dist
@pytest.mark.parametrize("plan", ["tensor", "stages"])
@pytest.mark.parametrize("case", ["llama-grouped", "qwen2-window", "opt-after"])
def test_ranks_give_what_one_device_gives(tmp_path, case, plan):
    one, _ = session(tmp_path, case)
    want, (many, _) = one.run(ids=IDS, mask=LEFT)["logits"], session(tmp_path, case, plan=plan)
    found = many.run(ids=IDS, mask=LEFT)["logits"]
    if plan == "stages":
        assert torch.equal(found, want)
    assert (found - want)[LEFT].abs().max() < 1e-5 * float(want.abs().max())


@pytest.mark.parametrize(("plan", "message"), [("many", "the nearest legal degree is 2"), ("ring", "ring")])
def test_plans_that_cannot_be_are_refused(tmp_path, plan, message):
    graph, _ = session(tmp_path, "llama-grouped", plan=plan)
    with pytest.raises(InputError, match=message):
        graph.run(ids=IDS)


@pytest.mark.parametrize("case", ["llama-grouped", "mistral-window", "qwen3", "opt-after", "gpt2"])
def test_export_finds_the_class_that_can_say_the_config(tmp_path, case):
    graph, theirs = session(tmp_path / "in", case)
    assert graph.export(tmp_path / "out") == ("llm",)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "llm")
    want, found = theirs.state_dict(), again.state_dict()
    assert want.keys() == found.keys() and all(torch.equal(want[key], found[key]) for key in want)
    with torch.no_grad():
        assert torch.equal(again.eval()(IDS).logits, theirs(IDS).logits)
