"""What is attached to a model is trained by its own name, and the model without it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import mmm_graph as mmm
from mmm_graph.config import Config
from mmm_graph.errors import InputError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.registry import Part, Registry, method, model_type, registry_of
from mmm_graph.train.options import TrainOptions
from mmm_graph.train.reach import needed_models, part_names, reached_parts
from mmm_graph.train.trainer import train
from tests.train.toys import GRAPH, REGISTRY, toy_spec


class ExtraConfig(Config):
    width: int | None = None


class Gate(nn.Module):
    """h + gate * linear(h); nothing at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear, self.gate = nn.Linear(width, width), nn.Parameter(torch.zeros(1))

    def forward(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"h": state["h"] + self.gate * self.linear(state["h"])}


class Extra(nn.Module):
    def __init__(self, config: ExtraConfig) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"gate": Gate(config.width or 0)})


H = "Embeds[b,$width]"
EXTRA = model_type(
    "adaptor.extra",
    ExtraConfig,
    "tests.train.test_guests:Extra",
    parts=lambda config: (Part("gate", ("h",), ("h",)),),
    methods={"forward": method(h=H, returns={"h": H}, path=lambda config, call: ("gate",))},
    attaches="forward",
)
TYPES: Registry = registry_of(*(kind for table in REGISTRY.tables for kind in table.values()), EXTRA)
ATTACHED = GRAPH.replace(
    "  body: {kind: encoder.body, init: default}",
    "  extra: {kind: adaptor.extra, init: default}\n"
    "  body: {kind: encoder.body, init: default, attach: [{model: extra, at: blocks}]}",
)
EACH = TrainOptions(log_every=1)


def fit(out: Path, trained: str, text: str = ATTACHED) -> dict[str, dict[str, Tensor]]:
    text = text.replace("train: {body: full, head: full}", f"train: {{{trained}}}")
    train(toy_spec(out, text=text), TYPES, out, options=EACH)
    return {p.stem: load_file(p) for p in sorted(out.glob("*.safetensors"))}


def test_a_guest_is_trained_and_saved_by_its_name(tmp_path: Path) -> None:
    found = fit(tmp_path, "extra: full")
    assert found.keys() == {"extra"}
    names = {f"{i}.{name}" for i in range(2) for name in ("gate", "linear.weight", "linear.bias")}
    assert found["extra"].keys() == names and all(found["extra"][f"{i}.gate"] != 0 for i in range(2))
    x = {"x": torch.ones(1, 3)}
    trained = mmm.load(tmp_path / "graph.yaml", registry=TYPES)
    fresh = mmm.load(ATTACHED, registry=TYPES)
    assert torch.equal(trained.module("extra").parts["1"].gate, found["extra"]["1.gate"])
    assert torch.equal(
        trained.module("body").parts["stem"].linear.weight, fresh.module("body").parts["stem"].linear.weight
    )
    assert not torch.equal(trained.run(**x)["pred"], fresh.run(**x)["pred"])


def test_a_host_is_trained_without_its_guests(tmp_path: Path) -> None:
    found = fit(tmp_path, "body: full, head: full")
    assert found.keys() == {"body", "head"} and not any("gate" in name for name in found["body"])
    (plain := tmp_path / "plain").mkdir()
    train(toy_spec(plain), TYPES, plain, options=EACH)
    for name, value in load_file(plain / "body.safetensors").items():
        assert torch.equal(value, found["body"][name]), "closed gates change nothing of its training"


def test_single_copies_are_trained(tmp_path: Path) -> None:
    found = fit(tmp_path, 'extra: {parts: ["1"]}')["extra"]
    assert found["0.gate"] == 0 and found["1.gate"] != 0


def test_guests_are_reached_where_the_host_runs_through_its_blocks(tmp_path: Path) -> None:
    graph = compile_graph(toy_spec(tmp_path, text=ATTACHED), TYPES, "train.fit")
    assert part_names(graph, TYPES, "extra") == ("0", "1")
    assert reached_parts(graph, TYPES)["extra"] == {"0", "1"}
    assert reached_parts(graph, TYPES)["body"] == {"stem", "block0", "block1", "last"}
    assert needed_models(graph) == {"body", "extra", "head"}


def test_a_guest_that_no_loss_reaches(tmp_path: Path) -> None:
    text = ATTACHED.replace("f:    {call: body,", "f:    {call: body.short,")
    with pytest.raises(InputError, match=r"E812.*no loss reaches extra"):
        fit(tmp_path, "extra: full", text)


def test_a_host_in_half_precision_trains_a_guest_in_full(tmp_path: Path) -> None:
    text = ATTACHED.replace("encoder.body, init: default,", "encoder.body, init: default, dtype: bf16,")
    text = text.replace("projector.head, init", "projector.head, dtype: bf16, init")
    found = fit(tmp_path, "extra: full", text)["extra"]
    assert found["0.gate"].dtype is torch.float32 and found["0.gate"] != 0
