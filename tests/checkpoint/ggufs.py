"""Writes tiny .gguf files, by the package itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
from torch import Tensor

PLAIN = ("F32", "F16", "BF16")


def write_gguf(
    path: Path,
    tensors: Mapping[str, Tensor],
    fields: Mapping[str, Any] | None = None,
    *,
    type_: str = "F32",
    architecture: str = "llama",
) -> Path:
    """Vectors stay float32, as the converter of llama.cpp keeps them."""
    writer = gguf.GGUFWriter(path, architecture)
    for name, value in (fields or {}).items():
        add = {
            bool: writer.add_bool,
            int: writer.add_uint32,
            float: writer.add_float32,
            str: writer.add_string,
        }
        add.get(type(value), writer.add_array)(name, value)
    for name, tensor in tensors.items():
        kind = gguf.GGMLQuantizationType[type_ if tensor.dim() > 1 else "F32"]
        writer.add_tensor(name, gguf.quantize(tensor.float().numpy(), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
