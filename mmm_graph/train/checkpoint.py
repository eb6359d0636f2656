"""Everything a stage needs to go on, in one safetensors file: tensors, and the rest as JSON in its header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from mmm_graph.checkpoint.save import save_tensors
from mmm_graph.errors import RunError, problem

FORMAT = "mmm_graph checkpoint 1"


@dataclass(frozen=True)
class Checkpoint:
    """The state of a stage after `step` steps.

    Attributes:
        stage, step, seed: where it stands; the data position follows from the step.
        identity: what must not have changed since (models, optimiser, losses, batch), as text by topic.
        counters: seconds, sums of the current log interval, numbers of the optimiser.
        tensors: `model/..`, `ema/..`, `optim/..`, each followed by model and weight name.
    """

    stage: str
    step: int
    seed: int
    identity: Mapping[str, str] = field(default_factory=dict)
    counters: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def part(self, head: str) -> dict[str, Tensor]:
        """Tensors whose name starts with `head/`, without it."""
        return {n[len(head) + 1 :]: t for n, t in self.tensors.items() if n.startswith(head + "/")}


def checkpoint_path(out: Path, stage: str) -> Path:
    """Where the checkpoint of a stage lives while the stage is not finished."""
    return out / "checkpoints" / f"{stage}.safetensors"


def head_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """All of it but the tensors, as JSON has it."""
    return {
        "stage": checkpoint.stage,
        "step": checkpoint.step,
        "seed": checkpoint.seed,
        "identity": dict(checkpoint.identity),
        "counters": dict(checkpoint.counters),
    }


def with_head(head: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Checkpoint:
    """The reverse of `head_of`."""
    return Checkpoint(head["stage"], head["step"], head["seed"], head["identity"], head["counters"], tensors)


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write it, replacing the one before in one move."""
    metadata = {"format": FORMAT, "state": json.dumps(head_of(checkpoint))}
    save_tensors(checkpoint.tensors, path, metadata=metadata)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read one back.

    Raises:
        RunError: E830, the file cannot be read or is no checkpoint.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError) as error:
        raise RunError(problem("E830", f"cannot read the checkpoint {path}: {error}")) from error
    if metadata.get("format") != FORMAT:
        raise RunError(
            problem("E830", f"{path} is no training checkpoint (format {metadata.get('format')!r})")
        )
    return with_head(json.loads(metadata["state"]), tensors)


def check_identity(path: Path, found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Refuse to resume something else.

    Raises:
        RunError: E831, naming every topic that differs.
    """
    changed = [k for k in sorted({*found, *expected}) if found.get(k) != expected.get(k)]
    if changed:
        details = "; ".join(f"{k}: was {found.get(k)}, is {expected.get(k)}" for k in changed)
        hint = "train with the file and options it was started with, or without resuming"
        raise RunError(problem("E831", f"{path} belongs to a training that differs in {details}", hint=hint))
