"""Checkpoint -> module: strict, from the meta device."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.checkpoint.save import save_module, save_tensors
from mmm_graph.errors import RunError
from tests.checkpoint.nets import Net, Tied, on_meta, same


def test_round_trip_from_the_meta_device(tmp_path: Path) -> None:
    net, path = Net(), tmp_path / "sub" / "net.safetensors"
    save_module(net, path, metadata={"by": "me"})
    found = open_checkpoint(path)
    assert set(found.files) == {"a.weight", "a.bias", "b.weight", "b.bias", "mean"} and found.metadata == {
        "by": "me"
    }
    new = on_meta(Net)
    load_module(new, found)
    assert same(net, new) and all(p.requires_grad for p in new.parameters())
    assert [p.name for p in path.parent.iterdir()] == ["net.safetensors"]


def test_tied_weights_are_written_once_and_stay_tied(tmp_path: Path) -> None:
    net = Tied()
    save_module(net, tmp_path / "t.safetensors")
    found = open_checkpoint(tmp_path / "t.safetensors")
    assert list(found.files) == ["embed.weight"]
    new = on_meta(Tied)
    load_module(new, found)
    assert same(net, new) and new.head.weight is new.embed.weight


def test_everything_that_does_not_fit_is_in_one_error(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file(
        {
            "a.weight": torch.zeros(4, 3),
            "a.bias": torch.zeros(7),
            "b.weight": torch.zeros(2, 4),
            "c": torch.zeros(1),
        },
        path,
    )
    with pytest.raises(RunError) as caught:
        load_module(on_meta(Net), open_checkpoint(path), what="weights of unet")
    text = str(caught.value)
    assert "E610" in text and "weights of unet" in text
    assert "2 missing (b.bias, mean)" in text and "1 not used (c)" in text
    assert "a.bias: [7] in the file, [4] in the model" in text


@pytest.mark.parametrize("dtype", [None, torch.float64, torch.bfloat16])
def test_dtype(tmp_path: Path, dtype: torch.dtype | None) -> None:
    net = Net()
    save_tensors(
        {k.removeprefix("parts."): v.half() for k, v in net.state_dict().items()}, tmp_path / "n.safetensors"
    )
    new = on_meta(Net)
    load_module(new, open_checkpoint(tmp_path / "n.safetensors"), dtype=dtype)
    assert {p.dtype for p in new.parameters()} == {dtype or torch.float32}


def test_a_prefix_is_a_part_of_a_file(tmp_path: Path) -> None:
    net, path = nn.Linear(2, 2), tmp_path / "all.safetensors"
    save_file(
        {f"vision.{k}": v for k, v in net.state_dict().items()} | {"other.weight": torch.zeros(1)}, path
    )
    new = nn.Linear(2, 2)
    load_module(new, open_checkpoint(path), prefix="vision")
    assert same(net, new)
