"""Samples laid end to end, and a decoder that keeps them apart."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.nn.parts import run_parts
from mmm_graph.registry import registry_of
from mmm_graph.spec import load_spec
from mmm_graph.train.pack import Packed
from mmm_graph.train.trainer import train
from mmm_llm.config import DecoderConfig
from mmm_llm.model import Decoder
from mmm_llm.node import DECODER
from mmm_llm.parts import logits_path
from mmm_losses.language.node import language_nodes
from tests.train.streams import REGISTRY, Rows, RowsConfig

CONFIG = DecoderConfig(
    vocab_size=40, max_length=32, width=16, depth=2, num_heads=4, num_kv_heads=2, hidden=24
)


def packed(length: int = 8, **config: int) -> Packed:
    return Packed(Rows(RowsConfig(**config)), ["ids", "labels"], length)


def test_every_sample_is_in_one_row_and_rows_are_nearly_full() -> None:
    rows = packed(count=60)
    assert sorted(i for row in rows.rows for i in row) == list(range(60))
    sizes = [len(rows[i]["ids"]) for i in range(len(rows))]
    assert max(sizes) <= 8
    assert sum(sizes) / (8 * len(rows)) > 0.9
    assert packed(count=60).rows == rows.rows


def test_positions_start_anew_and_no_label_crosses() -> None:
    row = packed(count=10)[0]
    starts = (row["positions"] == 0).nonzero()[:, 0].tolist()
    assert len(starts) == int(row["documents"].max()) > 1
    assert (row["labels"][starts] == -100).all()
    rest = [i for i in range(len(row["ids"])) if i not in starts]
    assert torch.equal(row["labels"][rest], row["ids"][rest])
    assert row["documents"][0] == 1
    assert (row["documents"].diff() >= 0).all()


def test_a_sample_longer_than_a_row_is_refused() -> None:
    with pytest.raises(RunError, match=r"E827\] sample 4 has 5 tokens; a packed row has at most 4"):
        packed(4)


def test_a_decoder_sees_each_sample_as_if_it_were_alone() -> None:
    torch.manual_seed(0)
    model = Decoder(CONFIG).eval()
    texts = [torch.randint(1, CONFIG.vocab_size, (n,)) for n in (3, 5, 2)]
    numbers = torch.cat([torch.full_like(t, i) for i, t in enumerate(texts, 1)])[None]
    places = torch.cat([torch.arange(len(t)) for t in texts])[None]
    together = _logits(model, torch.cat(texts)[None], numbers, places)
    alone = torch.cat([_logits(model, t[None], None, None) for t in texts], 1)
    assert torch.allclose(together, alone, atol=1e-5)
    crossing = _logits(model, torch.cat(texts)[None], None, places)
    assert not torch.allclose(crossing, alone, atol=1e-3)


def _logits(
    model: Decoder, ids: torch.Tensor, mask: torch.Tensor | None, positions: torch.Tensor | None
) -> torch.Tensor:
    given = {"ids": ids, "mask": mask, "positions": positions}
    with torch.no_grad():
        found = run_parts(model.parts, ["embed", *logits_path(CONFIG, None)], given)["logits"]
    assert found is not None
    return found


TEXT = """\
mmm: 1
models: {lm: {kind: llm.decoder, init: default, config: {vocab_size: 40, max_length: 32, width: 16, depth: 2,
  num_heads: 4, num_kv_heads: 2, hidden: 24}}}
train:
  stages:
    fit:
      data: {op: data.rows, config: {count: 7, batch: BATCH}PACK}
      nodes:
        words: {call: lm.embed, in: {ids: $data.ids}}
        lm:    {call: lm.logits, in: {embeds: words, mask: $data.mask, positions: POSITIONS}}
        ce:    {op: loss.next_token, in: {logits: lm, labels: $data.labels}, config: {masked: skip}}
      loss:  {lm: ce}
      train: {lm: full}
      optim: {op: optim.adamw, config: {lr: 0.01}}
      steps: 1
"""


def loss_of(folder: Path, batch: int, pack: str, positions: str) -> float:
    text = TEXT.replace("BATCH", str(batch)).replace("PACK", pack).replace("POSITIONS", positions)
    text = text if positions else text.replace(", positions: }", "}")
    registry = registry_of(
        *(REGISTRY.get(k) for k in ("data.rows", "optim.adamw")), DECODER, *language_nodes()
    )
    record = train(load_spec(text, base=folder), registry, folder / (pack or "plain"))["fit"]
    return record.loss["loss"]


def test_a_packed_batch_has_the_loss_of_its_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.train.streams.VOCABULARY", 7)
    rows = len(Packed(Rows(RowsConfig(count=7)), ["ids"], 8))
    assert rows < 5
    together = loss_of(tmp_path, rows, ", pack: 8", "$data.positions")
    assert together == pytest.approx(loss_of(tmp_path, 7, "", ""), abs=1e-5)
