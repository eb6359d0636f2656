"""`OUT/train.json`: which stages ran, with what, and what they made. The trainer's memory between runs."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from mmm_graph.errors import RunError, problem
from mmm_graph.train.files import write_json

_KNOWN = ("torch", "numpy", "safetensors", "mmm-graph")


@dataclass(frozen=True)
class StageRecord:
    """A finished stage.

    Attributes:
        steps, samples: optimiser steps done and samples seen.
        seconds: of training, evaluation and saving left out.
        loss: last logged means, by `loss` and `loss.TERM`.
        metrics: of the evaluations at its end, as `EVAL.METRIC`.
        start: where each model started from.
        models: the trained ones, each in OUT/MODEL.safetensors.
        seed, command, versions, machine: how it came about.
        bad_samples: those that could not be read, and why.
    """

    steps: int
    samples: int
    seconds: float
    loss: Mapping[str, float]
    metrics: Mapping[str, float]
    start: Mapping[str, str]
    models: tuple[str, ...]
    seed: int
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: str = ""
    bad_samples: Mapping[str, str] = field(default_factory=dict)


def read_records(out: Path) -> dict[str, StageRecord]:
    """Finished stages by name; none if nothing has been trained there.

    Raises:
        RunError: E832, train.json is not what this version writes.
    """
    path = out / "train.json"
    if not path.exists():
        return {}
    try:
        stages = json.loads(path.read_text(encoding="utf-8"))["stages"]
        return {k: StageRecord(**{**v, "models": tuple(v["models"])}) for k, v in stages.items()}
    except (ValueError, KeyError, TypeError) as error:
        hint = "train into another folder"
        raise RunError(problem("E832", f"{path} is not a record of training: {error}", hint=hint)) from error


def write_records(out: Path, records: Mapping[str, StageRecord]) -> None:
    """Write train.json."""
    stages: dict[str, Any] = {name: asdict(record) for name, record in records.items()}
    write_json(out / "train.json", {"stages": stages})


def versions() -> dict[str, str]:
    """Versions that the numbers may depend on."""
    found = {"python": platform.python_version()}
    for name in _KNOWN:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine(device: torch.device) -> str:
    """Processor and thread count: bit-identical results are promised for equal ones."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return f"{device.type} {name}, {torch.get_num_threads()} threads"
