"""loss.language in a stage: the curve of logits and loss.next_token, in whole steps, in pieces, and beside LoRA."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mmm_graph.errors import InputError
from mmm_graph.registry import load_registry
from mmm_graph.train.events import TrainEvent
from mmm_graph.train.options import TrainOptions
from mmm_graph.train.trainer import train
from tests.train.texts import GRAPH, REGISTRY, text_spec

ALL = load_registry(allow=["mmm-graph"])
KNOWN = replace(ALL, data=REGISTRY.data, models={**ALL.models, **REGISTRY.models})
LOGITS = """\
        e:  {call: llm.embed, in: {ids: $data.ids}}
        l:  {call: llm.logits, in: {embeds: e}}
        ce: {op: loss.next_token, in: {logits: l.logits, labels: $data.labels}}
"""
PLAIN = GRAPH.replace("loss.next,", "loss.next_token,")
SHORT = PLAIN.replace(
    LOGITS, "        ce: {op: loss.language, use: {llm: llm}, in: {ids: $data.ids, labels: $data.labels}}\n"
)


def rows(base: Path, text: str, trained: str, **sets: str) -> list[tuple[float, float, float]]:
    """Loss, norm of the gradient, share of what is supervised, of each step."""
    events: list[TrainEvent] = []
    spec = text_spec(base, trained, text, **sets)
    train(spec, KNOWN, base, options=TrainOptions(log_every=1), on_event=events.append)
    share = "supervised.ce" if text is PLAIN else "supervised.ce/next"
    return [(e.data["loss"], e.data["grad_norm"], e.data[share]) for e in events if e.kind == "step"]


@pytest.mark.parametrize("accumulate", ["1", "2"])
@pytest.mark.parametrize("trained", ["full", "{lora: {rank: 2}}", "{parts: [head]}"])
def test_it_is_the_loss_of_all_logits(tmp_path: Path, trained: str, accumulate: str) -> None:
    """Micro-batches have other numbers of labels: they are counted, not averaged."""
    assert SHORT != PLAIN
    found, want = (
        rows(tmp_path / name, text, trained, accumulate=accumulate)
        for name, text in (("short", SHORT), ("plain", PLAIN))
    )
    assert len(want) == 6 and want[-1][0] < want[0][0]
    for a, b in zip(found, want, strict=True):
        assert a == pytest.approx(b, rel=1e-5)


def test_what_it_needs(tmp_path: Path) -> None:
    silent = SHORT.replace("ids: $data.ids, labels", "labels")
    with pytest.raises(
        InputError, match=r"E212.*ce: loss.language: link a text: `embeds`, or `ids` of tokens"
    ):
        rows(tmp_path, silent, "full")
    t5 = SHORT.replace("kind: llm.decoder", "kind: llm.t5").replace(
        "{vocab_size: 12, max_length: 16, width: 16, depth: 2, num_heads: 2, num_kv_heads: 1, hidden: 24}",
        "{}",
    )
    with pytest.raises(InputError, match=r"E212.*llm.t5. has no method logits_at; use its logits"):
        rows(tmp_path, t5, "full")
