"""Checkpoints of sharded training: a folder of safetensors files, one or more of each rank, for any number of ranks.

Source: torch.distributed.checkpoint with its storage of safetensors files.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_graph.train.checkpoint import FORMAT, Checkpoint, head_of, with_head
from mmm_graph.train.cut import is_cut
from mmm_graph.train.files import write_text
from mmm_graph.train.ranks import Ranks

STATE = "state.json"
"""Written last: a folder without it is not complete."""
AGAIN = ".again"
"""End of the name of a folder that was written beside another one of the same step."""


def sharded_path(path: Path) -> Path | None:
    """The newest complete folder that stands for the checkpoint file `path`; None = there is none."""
    found = [folder for folder in _folders(path) if (folder / STATE).is_file()]
    return max(found, key=_age, default=None)


def _age(folder: Path) -> tuple[int, int]:
    step = folder.name.removesuffix(AGAIN).rpartition("-")[2]
    return int(step), (folder / STATE).stat().st_mtime_ns


def _folders(path: Path) -> list[Path]:
    name = re.compile(rf"{re.escape(path.stem)}-\d{{8,}}(\{AGAIN})?")
    return [folder for folder in path.parent.glob(f"{path.stem}-*") if name.fullmatch(folder.name)]


def save_sharded(path: Path, checkpoint: Checkpoint, ranks: Ranks) -> Path:
    """Write STAGE-STEP/ beside the file `path`, every rank its shards; then the folders before it go."""
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    folder = path.with_name(f"{path.stem}-{checkpoint.step:08d}")
    if (folder / STATE).is_file():  # of the same step: it goes when the new one is there
        folder = folder.with_name(f"{folder.name}{AGAIN}")
    ranks.wait()
    if ranks.is_first:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    ranks.wait()
    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    save(dict(checkpoint.tensors), storage_writer=writer, no_dist=ranks.size == 1)
    ranks.wait()
    if ranks.is_first:
        files = sorted(file.name for file in folder.glob("*.safetensors"))
        write_text(folder / STATE, json.dumps({"format": FORMAT, "files": files, **head_of(checkpoint)}))
        drop_folders(path, but=folder)
        path.unlink(missing_ok=True)  # of a training that was not sharded before
    ranks.wait()
    return folder


def drop_folders(path: Path, but: Path | None = None) -> None:
    """Remove the folders that stand for the checkpoint file `path`, which are older than it, or than `but`."""
    for old in _folders(path):
        if old != but:
            (old / STATE).unlink(missing_ok=True)  # first: what is half removed is not complete
            shutil.rmtree(old)


def load_sharded(folder: Path) -> Checkpoint:
    """Read one back: whole tensors, each when it is asked for.

    Raises:
        RunError: E830, it cannot be read.
    """
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        lost = [name for name in state["files"] if not (folder / name).is_file()]
        if lost:
            raise FileNotFoundError(f"{', '.join(lost)} is missing")
        return with_head(state, Pieces(folder))
    except (OSError, KeyError, SafetensorError, ValueError) as error:
        raise RunError(problem("E830", f"cannot read the checkpoint {folder}: {error}")) from error


class Pieces(Mapping[str, Tensor]):
    """The tensors of a folder by name; one is put together from its pieces when it is looked up.

    Not by `load` of torch.distributed.checkpoint, which reads what all files hold for each call.

    Raises:
        RunError: E830, a piece is missing.
    """

    def __init__(self, folder: Path) -> None:
        from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader

        self._folder = folder
        metadata = HuggingFaceStorageReader(str(folder)).read_metadata()
        self._known: dict[str, Any] = dict(metadata.state_dict_metadata)
        self._places: dict[str, list[tuple[Sequence[int], str]]] = {}
        for index, piece in metadata.storage_data.items():
            self._places.setdefault(index.fqn, []).append((index.offset, piece.relative_path))
        self._files: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Tensor:
        known, found = self._known[name], 0
        whole = torch.empty(known.size, dtype=known.properties.dtype)
        for offset, path in self._places[name]:
            piece = self._file(path).get_tensor(name)
            whole[tuple(slice(first, first + n) for first, n in zip(offset, piece.shape, strict=True))] = (
                piece
            )
            found += piece.numel()
        if found != whole.numel():
            raise RunError(problem("E830", f"{self._folder} lacks a piece of {name}: a file is missing"))
        return whole

    def close(self) -> None:
        """Let go of the files, whose space on the disk is freed then if they are removed; a look-up opens them anew."""
        self._files = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def _file(self, path: str) -> Any:
        if path not in self._files:
            self._files[path] = safe_open(path, "pt")
        return self._files[path]


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
        if weight is None or weight.shape != tensor.shape or not is_cut(weight):
            return tensor
        from mmm_graph.train.shards import cut_like

        return cut_like(tensor, weight)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)
