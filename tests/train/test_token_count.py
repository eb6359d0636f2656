"""Which values hold the tokens of a stage, and counting them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.graph import Ref
from mmm_graph.spec.ports import parse_port
from mmm_graph.train.frozen import frozen_values
from mmm_graph.train.ranks import ALONE
from mmm_graph.train.token_count import TokenCount, token_values
from tests.train.test_frozen import CLEAN
from tests.train.toys import REGISTRY, toy_spec


def test_masks_before_ids_and_only_what_is_still_made(tmp_path: Path) -> None:
    graph = compile_graph(toy_spec(tmp_path, text=CLEAN), REGISTRY, "train.fit")
    assert token_values(graph) == ()
    ids = {"features": parse_port("Ids[b,t]")}
    both = {**ids, "mask": parse_port("Mask[b,t]"), "pairs": parse_port("Mask[b,t,t]")}
    for outputs, name in ((ids, "f.features"), (both, "f.mask")):
        node = replace(graph.node("f"), outputs=outputs)
        made = replace(graph, nodes=tuple(node if n.path == "f" else n for n in graph.nodes))
        assert token_values(made) == (name,)
        assert token_values(made, [Ref("f", "features")]) == ()
    columns = {**graph.inputs, "x": replace(graph.inputs["x"], type=parse_port("Ids[b,t]"))}
    assert token_values(replace(graph, inputs=columns)) == ("$data.x",)
    assert frozen_values(graph, REGISTRY, ["head"])


def test_counts_over_batches() -> None:
    count = TokenCount(["a.mask", "b.ids"])
    count.add({"a.mask": torch.tensor([[True, True, False]]), "b.ids": torch.zeros(2, 5, dtype=torch.int64)})
    count.add({"a.mask": torch.tensor([[True]])})
    assert count.take(ALONE) == 2 + 10 + 1
    assert count.take(ALONE) == 0
