"""A folder, a shard index or a .safetensors file -> which files hold what, by their heads alone; no tensor is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BufferedIOBase, RawIOBase
from pathlib import Path
from typing import Any

from mmm_graph.errors import RunError, problem
from mmm_graph.registry.gguf_header import SUFFIX, read_header

PICKLES = (".bin", ".pt", ".pth", ".ckpt")
USUAL = ("diffusion_pytorch_model", "model")
"""Names that diffusers and transformers give to a model's file; others beside it, such as model.fp16, are variants."""
INDEX = ".index.json"
LENGTH_BYTES, LONGEST = 8, 100_000_000
"""A .safetensors file starts with the length of its header, a little-endian number; then comes the header, JSON, which
has at most so many bytes."""


def find_file(folder: Path) -> Path:
    """The shard index, the .safetensors or the .gguf file of a folder; a pickle only where there is nothing else.

    Raises:
        RunError: E605, there is none; E606, there are several, none of which has the usual name.
    """
    for pattern in (f"*.safetensors{INDEX}", "*.safetensors", f"*{SUFFIX}"):
        found = sorted(folder.glob(pattern))
        usual = [f for f in found if f.name.partition(".safetensors")[0] in USUAL]
        if len(found) == 1 or len(usual) == 1:
            return (usual or found)[0]
        if found:
            names = ", ".join(f.name for f in found)
            message = f"{folder} holds several checkpoints: {names}"
            raise RunError(problem("E606", message, hint="name the file instead of the folder"))
    pickles = sorted(f for f in folder.iterdir() if f.suffix in PICKLES)
    if pickles:
        return pickles[0]
    raise RunError(
        problem("E605", f"{folder} holds no .safetensors or .gguf file", hint="name the folder that does")
    )


def read_index(path: Path) -> dict[str, Path]:
    """Which shard holds a tensor, by its name.

    Raises:
        RunError: E605, it is no index, or names a shard that is not there or stands elsewhere.
    """
    try:
        table: dict[str, object] = json.loads(path.read_text())["weight_map"]
        files = {str(name): path.parent / str(file) for name, file in table.items()}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise RunError(problem("E605", f"{path} is not a shard index: {error}")) from error
    outside = sorted(file for file in map(str, table.values()) if Path(file).name != file)
    if outside:
        message = f"{path} names a shard that is not beside it: {outside[0]!r}"
        raise RunError(
            problem("E605", message, hint="shards stand in the folder of their index; fetch it again")
        )
    lost = sorted({file.name for file in files.values() if not file.is_file()})
    if lost:
        message = f"{path} names {', '.join(lost[:5])}, which is not there"
        raise RunError(problem("E605", message, hint="fetch the missing shard"))
    return files


def read_safetensors_header(file: BufferedIOBase | RawIOBase) -> tuple[Mapping[str, Any], int]:
    """(what is where, the place of the first number) of an open file, from where it stands.

    Raises:
        ValueError: it does not begin as such files do.
    """
    length = int.from_bytes(file.read(LENGTH_BYTES) or b"", "little")
    if length > LONGEST:
        raise ValueError(f"a header of {length} bytes")
    return json.loads(file.read(length) or b""), LENGTH_BYTES + length


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of a file, a shard index or a folder, by name; `open_checkpoint` looks closer.

    Raises:
        RunError: E605, E606, as of the others here, or a file that is damaged; E633.
    """
    path = find_file(path) if path.is_dir() else path
    if path.suffix == SUFFIX:
        return {name: entry.shape for name, entry in read_header(path).tensors.items()}
    files = sorted(set(read_index(path).values())) if path.name.endswith(INDEX) else [path]
    return {name: shape for file in files for name, shape in _shapes(file).items()}


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    try:
        with path.open("rb") as file:
            header, _ = read_safetensors_header(file)
        return {name: tuple(said["shape"]) for name, said in header.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        hint = "the file is damaged, still being written, or something else; fetch it again"
        raise RunError(
            problem("E605", f"{path} cannot be read as safetensors: {error}", hint=hint)
        ) from error
