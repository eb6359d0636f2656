"""What training leaves behind: MODEL.safetensors for each trained model, and graph.yaml that uses them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmm_graph.checkpoint.load import saved_names
from mmm_graph.checkpoint.save import save_tensors
from mmm_graph.spec import GraphSpec, dump_spec, dump_tree, load_spec
from mmm_graph.train.files import write_text

DTYPES: Mapping[str, torch.dtype] = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def save_model(path: Path, module: nn.Module, *, dtype: str, about: Mapping[str, Any]) -> None:
    """Write a model's whole state, parts under their own names.

    Args:
        dtype: of floating-point weights in the file: f32, f16 or bf16.
        about: how it came about; one key of the header, so that equal models are equal files.
    """
    state = module.state_dict(keep_vars=True)
    cast = {id(tensor): _cast(tensor, DTYPES[dtype]) for tensor in state.values()}
    tensors = {name: cast[id(state[own])] for name, own in saved_names(module).items()}
    save_tensors(tensors, path, metadata={"mmm": json.dumps(about)})


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.detach().to(dtype) if tensor.is_floating_point() else tensor.detach()


def write_graph(spec: GraphSpec, out: Path, models: Iterable[str]) -> None:
    """Write OUT/graph.yaml: the file that was trained, with its params as they were and the new weights."""
    tree: dict[str, Any] = _relocate(dump_tree(spec), spec.base.resolve(), out.resolve())
    tree.pop("include", None)  # an included file is part of the spec already
    for name, param in tree.get("params", {}).items():
        if name in spec.values and param["type"] != "secret":
            param["default"] = spec.values[name]
    for name in models:
        model = tree["models"][name]
        model["weights"] = f"file:{name}.safetensors"
        if "attach" in model:  # what was merged is in the weights now
            model["attach"] = [item for item in model["attach"] if not item.get("merge")]
    text = dump_spec(load_spec(tree, base=out))
    write_text(out / "graph.yaml", "# Written by training; `mmm run` takes it as it is.\n" + text)


def _relocate(value: Any, base: Path, out: Path) -> Any:
    """`file:` texts relative to the new folder."""
    if isinstance(value, dict):
        return {k: _relocate(v, base, out) for k, v in value.items()}
    if isinstance(value, list):
        return [_relocate(v, base, out) for v in value]
    if isinstance(value, str) and value.startswith("file:"):
        return "file:" + Path(os.path.relpath(base / value.removeprefix("file:"), out)).as_posix()
    return value
