"""T5 as a language model against transformers: logits, answers of llm.generate, padding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import mmm_graph
from mmm_graph.registry import load_registry
from mmm_graph.registry.foreign import open_foreign
from tests.plugins.mmm_t5.tiny import CASES, VOCAB, greedy, logits, pair, reference

pytestmark = pytest.mark.parity

LENGTH, COUNT = 12, 16
IDS = torch.randint(2, VOCAB, (3, LENGTH), generator=torch.Generator().manual_seed(0))
LEFT = torch.arange(LENGTH) >= torch.tensor([[0], [5], [11]])
MASKS = {"left": LEFT, "right": LEFT.flip(1)}


def close(got, want, tolerance=1e-5):
    assert (got - want).abs().max() <= tolerance * max(1, float(want.abs().max()))


@pytest.mark.parametrize("case", list(CASES))
@torch.no_grad()
def test_logits_and_hidden_states(tmp_path, case):
    ours, theirs = pair(tmp_path, case)
    targets = torch.randint(2, VOCAB, (3, 40), generator=torch.Generator().manual_seed(1))
    targets[1, 9:] = -100
    for mask in (None, *MASKS.values()):
        want = theirs(IDS, attention_mask=None if mask is None else mask.long(), labels=targets)
        close(logits(ours, IDS, targets, mask=mask)[targets >= 0], want.logits[targets >= 0])
    state = {"embeds": ours.parts["embed"]({"ids": IDS})["embeds"], "mask": mask, "targets": targets}
    before = theirs.prepare_decoder_input_ids_from_labels(targets)
    want = theirs(IDS, attention_mask=mask.long(), decoder_input_ids=before, output_hidden_states=True)
    close(ours(state)["hidden"][targets >= 0], want.decoder_hidden_states[-1][targets >= 0])


@pytest.mark.parametrize("case", list(CASES))
@torch.no_grad()
def test_greedy_tokens_in_a_batch_and_one_by_one(tmp_path, case):
    ours, theirs = pair(tmp_path, case)
    for mask in MASKS.values():
        given = {"attention_mask": mask.long(), "max_new_tokens": COUNT, "do_sample": False}
        want = theirs.generate(IDS, eos_token_id=None, **given)[:, 1:]
        got, scores = greedy(ours, IDS, COUNT, mask=mask)
        assert torch.equal(got, want) and len(got.unique()) > 4
        close(scores, logits(ours, IDS, got, mask=mask))
        for row, keep in enumerate(mask):
            alone, apart = greedy(ours, IDS[row : row + 1, keep], COUNT)
            assert torch.equal(alone[0], want[row])
            close(scores[row], apart[0])


TEXT = """
mmm: 1
inputs: {ids: "Ids[b,t]", mask: "Mask[b,t]?"}
models: {llm: LLM}
nodes:
  words: {call: llm.embed, in: {ids: $in.ids}}
  say: {op: llm.generate, use: {llm: llm}, config: CONFIG, in: {embeds: words, mask: $in.mask}}
outputs: {ids: say.ids, mask: say.mask}
parallel:
  plans:
    apart: {ranks: 2, stages: [{ranks: [0], place: ["llm[:2]"]}, {ranks: [1], place: ["llm[2:]"]}]}
    tensor: {ranks: 2, axes: {llm: {tensor: 2}}}
"""


def load(folder: Path, config: dict[str, Any], **more: Any) -> Any:
    config = {"max_new_tokens": COUNT, "stop_ids": [1], "pad_id": 0, **config}
    llm = open_foreign(folder, f"file:{folder.name}", load_registry()).model()
    assert llm["kind"] == "llm.t5"
    text = TEXT.replace("CONFIG", json.dumps(config)).replace("LLM", json.dumps(llm))
    return mmm_graph.load(text, base=folder.parent, **more)


def answers(found: Any) -> list[list[int]]:
    return [row[keep].tolist() for row, keep in zip(found["ids"], found["mask"], strict=True)]


def ended(rows: list[list[int]]) -> list[list[int]]:
    return [row[: row.index(1) + 1] if 1 in row else row for row in rows]


@pytest.mark.parametrize("case", list(CASES))
@pytest.mark.parametrize("beams", [1, 3])
def test_llm_generate_answers_as_theirs(tmp_path, case, beams):
    theirs = reference(case)
    theirs.save_pretrained(tmp_path / "t5")
    session = load(tmp_path / "t5", {"num_beams": beams})
    for mask in MASKS.values():
        given = {"attention_mask": mask.long(), "max_new_tokens": COUNT, "do_sample": False}
        want = theirs.generate(IDS, num_beams=beams, **given)[:, 1:]
        assert answers(session.run(ids=IDS, mask=mask)) == ended(want.tolist())
