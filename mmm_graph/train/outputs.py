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
from mmm_graph.nn.chosen_rows import ChosenRows, chosen_rows
from mmm_graph.nn.stand_in import names_beside
from mmm_graph.runtime import Built
from mmm_graph.runtime.attach import merged_header
from mmm_graph.spec import GraphSpec, dump_spec, dump_tree, load_spec
from mmm_graph.train.cut import whole
from mmm_graph.train.files import write_text
from mmm_graph.train.learns import Learns
from mmm_graph.train.lora_file import lora_path, save_lora
from mmm_graph.train.start import Start

DTYPES: Mapping[str, torch.dtype] = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def save_trained(
    out: Path,
    built: Built,
    learns: Learns,
    *,
    start: Start,
    dtype: str,
    about: Mapping[str, Any],
    writes: bool = True,
) -> None:
    """Write what a stage has made of a model: MODEL.safetensors, MODEL.lora.safetensors, or both.

    Weights that stay as they were in their own file are not written again. What an earlier training left under these
    names, and is not of this model any more, is removed.

    Args:
        start: where its weights came from.
        dtype, about, writes: as of `save_model`.
    """
    name, module = built.node.name, built.object
    weights, lora = out / f"{name}.safetensors", lora_path(out, name)
    if learns.is_whole or learns.tables or start.source == "init":
        header = merged_header(built.node, built.loras)
        save_model(weights, module, dtype=dtype, about=about, header=header, writes=writes)
    elif start.source == "weights" and writes:
        weights.unlink(missing_ok=True)
    if learns.lora is not None:
        save_lora(lora, learns.lora, built, dtype=DTYPES[dtype], writes=writes)
    elif writes:
        lora.unlink(missing_ok=True)


def save_model(
    path: Path,
    module: nn.Module,
    *,
    dtype: str,
    about: Mapping[str, Any],
    header: Mapping[str, str] | None = None,
    writes: bool = True,
) -> None:
    """Write a model's whole state, parts under their own names. Of a sharded model all ranks call it.

    Args:
        dtype: of floating-point weights in the file: f32, f16 or bf16; what is kept in fewer bits stays so.
        about: how it came about; one key of the header, so that equal models are equal files.
        header: more of the header.
        writes: False = only help the rank that writes.
    """
    state = module.state_dict(keep_vars=True)
    rows, beside = chosen_rows(module), names_beside(module)
    cast = {id(t): _cast(t, DTYPES[dtype], rows.get(id(t))) for t in state.values()}
    names = {n: own for n, own in saved_names(module).items() if not beside or not own.startswith(beside)}
    tensors = {name: cast[id(state[own])] for name, own in names.items()}
    if writes:
        save_tensors(tensors, path, metadata={"mmm": json.dumps(about), **(header or {})})


def _cast(tensor: Tensor, dtype: torch.dtype, rows: ChosenRows | None) -> Tensor:
    found = whole(tensor.detach())
    found = found if rows is None else rows.put_into(found, whole(rows.embed.detach()))
    narrows = found.is_floating_point() and found.element_size() >= dtype.itemsize
    return found.to(dtype) if narrows else found


def write_graph(
    spec: GraphSpec, out: Path, models: Iterable[str], configs: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """Write OUT/graph.yaml: the file that was trained, with its params as they were and the new weights.

    Args:
        configs: what the old weights said of a model's config, by name; the new ones do not.
    """
    tree: dict[str, Any] = _relocate(dump_tree(spec), spec.base.resolve(), out.resolve())
    tree.pop("include", None)  # an included file is part of the spec already
    for name, param in tree.get("params", {}).items():
        if name in spec.values and param["type"] != "secret":
            param["default"] = spec.values[name]
    for name in models:
        model = tree["models"][name]
        has_lora = lora_path(out, name).is_file()
        if not has_lora or (out / f"{name}.safetensors").is_file():
            model["weights"] = f"file:{name}.safetensors"
            if configs and name in configs:
                model["config"] = {**configs[name], **model.get("config", {})}
            if "attach" in model:  # what was merged is in the weights now
                model["attach"] = [item for item in model["attach"] if not item.get("merge")]
        if has_lora:
            model["attach"] = [*model.get("attach", ()), {"lora": f"file:{lora_path(out, name).name}"}]
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
