"""Trainings of graph files as the shipped weights were made: what train.py and compare.py share."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import safe_open

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
Stages = Mapping[str, Any]
"""What train.json says of each stage."""


class Training(NamedTuple):
    """Stages of a graph, all by default, and what is set in it; `after` is a training whose outputs it goes on from."""

    graph: str
    stages: str = ""
    sets: Mapping[str, str] = {}
    after: str = ""


def trained(table: Mapping[str, Training], out: Path, name: str) -> Stages:
    """The record of a training in the folder out/name. What is not done is done; what was stopped goes on.

    Raises:
        SystemExit: a training failed, and has said why.
    """
    training, folder = table[name], ROOT / out / name
    if training.after and not folder.exists():
        trained(table, out, training.after)
        shutil.copytree(ROOT / out / training.after, folder)
    record = folder / "train.json"
    done: Stages = json.loads(record.read_text())["stages"] if record.exists() else {}
    if not training.stages or set(training.stages.split(",")) - set(done):
        words = ["--stages", training.stages] if training.stages else []
        words += [word for key, value in training.sets.items() for word in ("--set", f"{key}={value}")]
        launch(training.graph, out / name, *words, "--resume")
        done = json.loads(record.read_text())["stages"]
    return done


def launch(graph: str, out: Path, *words: str) -> None:
    """Train a graph as the shipped weights were: seed 0, weights in float16."""
    file = (HERE / f"{graph}.yaml").relative_to(ROOT)  # no machine path in the record
    command = ["train", str(file), *words, "-o", str(out), "--seed", "0", "--dtype", "f16"]
    status = subprocess.run([sys.executable, "-m", "mmm_graph", *command], check=False, cwd=ROOT).returncode
    if status:
        raise SystemExit(status)


def numbers(folder: Path, model: str) -> int:
    """How many numbers a model has."""
    with safe_open(folder / f"{model}.safetensors", "pt") as file:
        sizes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118 - no mapping
    return sum(math.prod(size) for size in sizes)
