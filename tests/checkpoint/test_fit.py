"""Files of other libraries: which layout they have, what is read of them, and that what is written is read again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mmm_graph.checkpoint.fit import find_fit
from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.checkpoint.save import save_foreign, save_module
from mmm_graph.errors import RunError
from mmm_graph.registry.layout import Cut, Layout, turned
from tests.checkpoint.nets import on_meta, same


class Attend(nn.Module):
    """q and k of ours, fused in their file; a patch embedding that is a convolution there; one embedder for all; a
    projection that is the other way round there."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"q": nn.Linear(4, 4), "k": nn.Linear(4, 4), "patch": nn.Linear(8, 4)})
        self.parts["time"] = nn.Linear(2, 2)
        self.parts["project"] = nn.Linear(4, 3, bias=False)


FUSED = Layout(
    "fused",
    {
        "q": Cut("attn.qk", 0, 2),
        "k": Cut("attn.qk", 1, 2),
        "patch": "proj",
        "time": "blocks.{*}.time",
        "project.weight": turned("projection"),
    },
    ignored=("ids",),
    copies=lambda config: 2,
    shapes=lambda config: {"proj.weight": (4, 2, 2, 2)},
)


def theirs(net: Attend) -> dict[str, Tensor]:
    state = {n.removeprefix("parts."): v for n, v in net.state_dict().items()}
    tensors = {
        f"attn.qk.{end}": torch.cat([state[f"q.{end}"], state[f"k.{end}"]]) for end in ("weight", "bias")
    }
    tensors |= {"proj.weight": state["patch.weight"].reshape(4, 2, 2, 2), "proj.bias": state["patch.bias"]}
    tensors["projection"] = state["project.weight"].T.contiguous()
    tensors |= {
        f"blocks.{i}.time.{e}": state[f"time.{e}"].clone() for i in (0, 1) for e in ("weight", "bias")
    }
    return tensors


def read(path: Path, **more: object) -> nn.Module:
    net = on_meta(Attend)
    load_module(net, open_checkpoint(path), layouts=(FUSED,), **more)  # type: ignore[arg-type]
    return net


def test_a_foreign_file_is_read_and_written_again(tmp_path: Path) -> None:
    net = Attend()
    save_file(theirs(net) | {"ids": torch.arange(3)}, tmp_path / "a.safetensors")
    assert same(net, read(tmp_path / "a.safetensors"))
    save_foreign(net, tmp_path / "b.safetensors", FUSED, None)
    written, wanted = load_file(tmp_path / "b.safetensors"), theirs(net)
    assert written.keys() == wanted.keys() and all(torch.equal(v, wanted[n]) for n, v in written.items())


@pytest.mark.parametrize(
    ("there", "fits"), [((1, 1, 6), True), ((6,), True), ((6, 1), True), ((2, 3), False), ((1, 2, 3), False)]
)
def test_axes_of_length_1_may_stand_before_and_behind(there: tuple[int, ...], fits: bool) -> None:
    layout = Layout("theirs", {"token": "cls"})
    fit = find_fit(
        {"token": (6,)}, {"cls": there}, alike={"token": ["token"]}, layouts=(layout,), config=None
    )
    assert (fit.problems == 0) is fits


def test_a_row_is_no_column() -> None:
    layout = Layout("theirs", {"a": "b"})
    fit = find_fit({"a": (1, 6)}, {"b": (6, 1)}, alike={"a": ["a"]}, layouts=(layout,), config=None)
    assert fit.problems == 1


def test_our_own_layout_is_read_as_before(tmp_path: Path) -> None:
    net = Attend()
    save_module(net, tmp_path / "own.safetensors")
    assert same(net, read(tmp_path / "own.safetensors"))


def test_below_a_prefix_and_only_what_is_kept(tmp_path: Path) -> None:
    net = Attend()
    save_file({f"model.{n}": v for n, v in theirs(net).items()}, tmp_path / "a.safetensors")
    got = read(tmp_path / "a.safetensors", prefix="model", keep=lambda name: ".q." in name)
    assert torch.equal(got.parts["q"].weight, net.parts["q"].weight)  # type: ignore[index, union-attr]
    assert got.parts["k"].weight.is_meta  # type: ignore[index, union-attr]


def test_the_nearest_layout_tells_what_does_not_fit(tmp_path: Path) -> None:
    tensors = theirs(Attend())
    del tensors["attn.qk.bias"]
    tensors |= {"proj.weight": torch.zeros(4, 9), "extra": torch.zeros(1), "projection": torch.zeros(3, 4)}
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(RunError) as caught:
        read(tmp_path / "a.safetensors")
    text = str(caught.value)
    assert "read as the layout fused: 2 missing (k.bias, q.bias)" in text and "1 not used (extra)" in text
    assert "proj.weight (patch.weight): [4, 9] in the file, [4, 8] in the model" in text
    assert "projection (project.weight): [3, 4] in the file, [4, 3] in the model" in text


def test_copies_that_differ_are_told(tmp_path: Path) -> None:
    tensors = theirs(Attend())
    tensors["blocks.1.time.bias"] += 1
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(RunError, match=r"E611.*blocks\.1\.time\.bias .* copy of blocks\.0\.time\.bias"):
        read(tmp_path / "a.safetensors")


def test_a_weight_that_the_layout_does_not_know_is_not_dropped(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"E613.*has no name for patch\.bias"):
        save_foreign(
            Attend(),
            tmp_path / "b.safetensors",
            Layout("x", {"q": "q", "k": "k", "time": "t", "project": "o"}),
            None,
        )
    with pytest.raises(RunError, match=r"E613.*only pieces of qk\.bias"):
        rows = {"q": Cut("qk", 0, 2), "k": "k", "time": "t", "patch": "p", "project": "o"}
        save_foreign(Attend(), tmp_path / "b.safetensors", Layout("x", rows), None)
    assert not list(tmp_path.iterdir())
