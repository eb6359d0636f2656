"""Datasets of the `datasets` library that are on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmm_data.files.config import PictureConfig, TableConfig
from mmm_data.files.listing import find_pattern
from mmm_data.files.picture import fit
from mmm_graph.errors import RunError, problem
from mmm_graph.nn.media import image_tensor
from mmm_graph.spec.ports import PortType, parse_port

LOADERS = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "json", ".arrow": "arrow"}


class Table:
    """See TableConfig. Items: the columns of the config."""

    def __init__(self, config: TableConfig) -> None:
        self.config = config
        self.types = {name: parse_port(column.type) for name, column in config.columns.items()}
        self.rows = _open(config)
        known = set(self.rows.column_names)
        wrong = [c.key or name for name, c in config.columns.items() if (c.key or name) not in known]
        if wrong:
            raise ValueError(f"there is no column {wrong[0]!r}; there are {', '.join(sorted(known))}")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, object]:
        row = self.rows[index]
        return {
            name: convert(row[c.key or name], self.types[name]) for name, c in self.config.columns.items()
        }


def _open(config: TableConfig) -> Any:
    """The rows.

    Raises:
        RunError: E711, the library is not installed. ValueError, OSError: nothing is there.
    """
    try:
        import datasets
    except ImportError as error:
        raise RunError(
            problem(
                "E711", f"data.huggingface needs the library datasets: {error}", hint="pip install datasets"
            )
        ) from error
    path = Path(config.path)
    if path.is_dir():
        found = datasets.load_from_disk(str(path))
        if isinstance(found, datasets.DatasetDict):
            if config.split not in found:
                raise ValueError(f"there is no split {config.split!r}; there are {', '.join(found)}")
            return found[config.split]
        return found
    files = [str(file) for file in find_pattern(config.path)]
    if not files or path.suffix not in LOADERS:
        raise FileNotFoundError(f"no folder and no {' '.join(LOADERS)} file fits {config.path}")
    return datasets.load_dataset(LOADERS[path.suffix], data_files=files, split="train")


def convert(value: Any, type_: PortType) -> Any:
    """A value of a table in the form of its column."""
    if value is None or type_.kind == "Text":
        return value
    if type_.kind == "Image":
        return _image(value, type_)
    if type_.kind == "Audio":
        return torch.as_tensor(np.asarray(value["array"], dtype=np.float32)).reshape(1, -1)
    return torch.as_tensor(np.asarray(value))


def _image(value: Any, type_: PortType) -> Tensor:
    if not isinstance(value, Image.Image):
        raise ValueError(f"a {type(value).__name__} is no picture")
    sizes = [dim.size for dim in (type_.dims or ())[1:]]
    channels = sizes[0] if sizes else None
    if len(sizes) == 3 and sizes[1] and sizes[2]:
        value = fit(value, PictureConfig(size=(sizes[1], sizes[2])))
    return image_tensor(value, channels)
