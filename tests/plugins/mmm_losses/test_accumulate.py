"""Losses that compare samples, in the trainer: micro-batches train what one large batch does."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from mmm_dual.node import temperature
from mmm_graph.registry import Registry, registry_of
from mmm_graph.spec import load_spec
from mmm_graph.train.options import TrainOptions
from mmm_graph.train.trainer import train
from mmm_losses.contrastive.node import contrastive_nodes
from tests.train.toys import REGISTRY

FILE = """
mmm: 1
name: pairs
models:
  a: {{kind: encoder.body, init: default}}
  b: {{kind: encoder.body, init: default}}
  t: {{kind: projector.temperature, init: default, config: {{init: 0.1, bias: -3}}}}
train:
  stages:
    fit:
      data: {{op: data.line, config: {{batch: {batch}}}}}
      nodes:
        x: {{op: toy.jitter, in: {{x: $data.x}}}}
        f: {{call: a, in: {{x: x}}}}
        g: {{call: b, in: {{x: $data.x}}}}
        s: {{call: t}}
        ids: {{op: ids.of_text, in: {{text: $data.name}}}}
        pairs: {{op: {op}}}
      loss: {{pairs: pairs}}
      train: {{a: full, b: full, {train}}}
      optim: {{op: optim.adamw, config: {{lr: 0.02}}}}
      accumulate: {accumulate}
      steps: 3
"""
SCALED = {
    "info_nce": "loss.info_nce, config: {smoothing: 0.1}, in: {image: f, text: g, scale: s, ids: ids}",
    "siglip": "loss.siglip, in: {image: f, text: g, scale: s, bias: s.bias, ids: ids}",
}
PLAIN = {
    "cyclip": "loss.cyclip, in: {image: f, text: g}",
    "triplets": "loss.triplet_mined, in: {anchor: f, other: g}, config: {distance: cosine}",
}


def registry() -> Registry:
    kinds = (REGISTRY.models, REGISTRY.ops, REGISTRY.data, REGISTRY.optims)
    return registry_of(*(n for table in kinds for n in table.values()), *contrastive_nodes(), temperature())


@pytest.mark.parametrize("name", [*SCALED, *PLAIN])
def test_four_micro_batches_are_one_batch(tmp_path: Path, name: str):
    found = []
    for batch, accumulate in ((8, 1), (2, 4)):
        more = "t: full" if name == "siglip" else ""
        text = FILE.format(batch=batch, accumulate=accumulate, op={**SCALED, **PLAIN}[name], train=more)
        folder, losses = tmp_path / str(accumulate), list[float]()
        train(
            load_spec(text, base=tmp_path),
            registry(),
            folder,
            options=TrainOptions(seed=1, log_every=1),
            on_event=lambda e, losses=losses: losses.append(e.data["loss"]) if e.kind == "step" else None,
        )
        weights = {f.stem + k: v for f in folder.glob("*.safetensors") for k, v in load_file(f).items()}
        found.append((losses, weights))
    (whole, one), (parts, four) = found
    assert len(whole) == 3 and parts == pytest.approx(whole, rel=1e-6, abs=1e-7)
    assert one.keys() == four.keys()
    assert max(float((one[k] - four[k]).abs().max()) for k in one) < 1e-6
