"""Plugin file: a kind with a foreign layout, and importers of a pipeline, of its scheduler and of single files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mmm_graph.config import Config
from mmm_graph.registry import Foreign, Importer, Layout, ModelType, hookimpl, method, model_type


class ToyConfig(Config):
    """Sizes."""

    width: int = 3
    scale: float = 1.0


class Toy(nn.Module):
    """b d -> b d."""

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.linear, self.scale = nn.Linear(config.width, config.width), config.scale

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(x) * self.scale
        return y


def read(theirs: Mapping[str, Any]) -> dict[str, Any]:
    if theirs.get("act", "none") != "none":
        raise ValueError(f"act: {theirs['act']!r} is not supported; expected 'none'")
    return {"width": theirs["hidden_size"]}


def write(ours: ToyConfig) -> dict[str, Any]:
    return {"_class_name": "TheirToy", "hidden_size": ours.width, "act": "none"}


LAYOUT = Layout("theirs", {"linear": "dense"}, ("TheirToy",), read, write)


def pipeline(foreign: Foreign) -> dict[str, Any]:
    foreign.expect("net", "scheduler", "watermark")
    foreign.leave_out("watermark", "no node draws one")
    found = foreign.part("scheduler").translate()
    return {
        "inputs": {"x": "Embeds[b,d]"},
        "models": {"net": foreign.part("net").model()},
        "nodes": {"y": {"call": "net", "in": {"x": "$in.x"}}},
        "outputs": {"y": "y"},
        "params": {"steps": {"type": "int", "default": found["steps"]}},
    }


def scheduler(foreign: Foreign) -> dict[str, Any]:
    if foreign.config["steps"] < 1:
        raise ValueError("steps: 0 is not supported; expected 1 or more")
    return {"steps": foreign.config["steps"]}


def single_file(foreign: Foreign) -> dict[str, Any]:
    foreign.leave_unread("the average", "it is not used", "average.")
    width = foreign.shapes["net.dense.weight"][1] + int(foreign.options.get("prediction") == "v")
    parts = {
        "net": (f"{foreign.link}#net", {"_class_name": "TheirToy", "hidden_size": width}),
        "scheduler": (foreign.link, {"_class_name": "TheirScheduler", "steps": 2}),
    }
    return pipeline(foreign.pretend("TheirPipeline", {}, parts))


@hookimpl
def mmm_register_nodes() -> list[ModelType]:
    ports = {"x": "Embeds[b,d]", "returns": {"y": "Embeds[b,d]"}}
    return [
        model_type(
            "encoder.toy",
            ToyConfig,
            f"{__name__}:Toy",
            methods={"forward": method(**ports)},
            layouts=[LAYOUT],
        )
    ]


@hookimpl
def mmm_register_importers() -> list[Importer]:
    names = {"TheirPipeline": "pipeline", "TheirScheduler": "scheduler"}
    found = [Importer(name, f"{__name__}:{function}") for name, function in names.items()]
    files = {
        "any of their files": ("scheduler", ("net.*",)),
        "their file": ("single_file", ("net.*", "net.dense.*")),
    }
    return found + [Importer(n, f"{__name__}:{f}", marks=marks) for n, (f, marks) in files.items()]
