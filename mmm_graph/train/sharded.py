"""Checkpoints of sharded training: a folder of safetensors files, one or more of each rank, for any number of ranks.

Source: torch.distributed.checkpoint with its storage of safetensors files.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from mmm_graph.errors import RunError, problem
from mmm_graph.train.checkpoint import FORMAT, Checkpoint, head_of, with_head
from mmm_graph.train.files import write_text
from mmm_graph.train.ranks import Ranks
from mmm_graph.train.replicas import cut_like

STATE = "state.json"
"""Written last: a folder without it is not complete."""


def sharded_path(path: Path) -> Path | None:
    """The newest complete folder that stands for the checkpoint file `path`; None = there is none."""
    found = [folder for folder in path.parent.glob(f"{path.stem}-*") if (folder / STATE).is_file()]
    return max(found, key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)


def save_sharded(path: Path, checkpoint: Checkpoint, ranks: Ranks) -> Path:
    """Write STAGE-STEP/ beside the file `path`, every rank its shards; then the folders before it go."""
    folder = path.with_name(f"{path.stem}-{checkpoint.step:08d}")
    if ranks.is_first:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    ranks.wait()
    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    save(dict(checkpoint.tensors), storage_writer=writer, no_dist=ranks.size == 1)
    ranks.wait()
    if ranks.is_first:
        write_text(folder / STATE, json.dumps({"format": FORMAT, **head_of(checkpoint)}))
        drop_folders(path, but=folder)
        path.unlink(missing_ok=True)  # of a training that was not sharded before
    ranks.wait()
    return folder


def drop_folders(path: Path, but: Path | None = None) -> None:
    """Remove the folders that stand for the checkpoint file `path`, which are older than it, or than `but`."""
    for old in path.parent.glob(f"{path.stem}-*"):
        if old != but and old.is_dir():
            shutil.rmtree(old)


def load_sharded(folder: Path) -> Checkpoint:
    """Read one back: whole tensors, each when it is asked for.

    Raises:
        RunError: E830, it cannot be read.
    """
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        return with_head(state, _Lazy(folder))
    except (OSError, KeyError, ValueError) as error:
        raise RunError(problem("E830", f"cannot read the checkpoint {folder}: {error}")) from error


class _Lazy(Mapping[str, Tensor]):
    """The tensors of a folder by name; one is read when it is looked up."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        metadata = HuggingFaceStorageReader(str(folder)).read_metadata()
        self._known: dict[str, Any] = dict(metadata.state_dict_metadata)

    def __getitem__(self, name: str) -> Tensor:
        known = self._known[name]
        state = {name: torch.empty(known.size, dtype=known.properties.dtype)}
        load(state, storage_reader=HuggingFaceStorageReader(str(self._folder)), no_dist=True)
        return state[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class CutLike(Mapping[str, Tensor]):
    """Tensors of a checkpoint, cut as the weights are that they belong to.

    Args:
        tensors: whole, by `model/..`, `ema/..`, `optim/..`, `buffer/..`.
        weights: by `model/weight`, as they are now.
    """

    def __init__(self, tensors: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
        self._tensors, self._weights = tensors, weights

    def __getitem__(self, name: str) -> Tensor:
        tensor, own = self._tensors[name], name.partition("/")[2]
        weight = self._weights.get(own, self._weights.get(own.rpartition("/")[0]))
        return tensor if weight is None or weight.shape != tensor.shape else cut_like(tensor, weight)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)
