"""Where an output came from, as text that a saved file carries: enough to make it again, nothing secret."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

import mmm_graph
from mmm_graph.errors import InputError, problem

KEY = "mmm"


@dataclass(frozen=True)
class Origin:
    """The recipe of a run.

    Attributes:
        graph: the graph file's text, as dumped from its spec.
        file: the graph file as the user named it; its folder is where `file:` weights are.
        values: params and inputs that were set; of tensors only a hash.
        weights: model -> hash of its weights.
        plugins: digest of the plugin set.
    """

    graph: str
    file: str
    values: Mapping[str, Any]
    seed: int | Sequence[int]
    outputs: Sequence[str] | None
    weights: Mapping[str, str]
    plugins: str
    version: str
    torch: str

    def text(self) -> str:
        """Canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


def make_origin(
    graph: str, file: str, run: Mapping[str, Any], weights: Mapping[str, str], plugins: str
) -> Origin:
    """The origin of a run; `run` has values, seed, outputs."""
    values = {k: _plain(v) for k, v in run["values"].items()}
    versions = (mmm_graph.__version__, torch.__version__)
    return Origin(graph, file, values, run["seed"], run["outputs"], dict(weights), plugins, *versions)


def read_origin(path: Path) -> Origin:
    """The origin that a saved PNG carries.

    Raises:
        InputError: not an image, or one that this program did not save.
    """
    try:
        with Image.open(path) as image:
            text = dict(getattr(image, "text", {})).get(KEY)
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(problem("E104", f"{path} cannot be read as an image: {error}")) from error
    if text is None:
        message = f"{path} carries no graph"
        raise InputError(problem("E104", message, hint="only files saved by `mmm run` can be run again"))
    try:
        return Origin(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise InputError(problem("E104", f"{path}: its graph cannot be read: {error}")) from error


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        digest = hashlib.sha256(value.detach().cpu().contiguous().numpy().tobytes()).hexdigest()
        return {"tensor": list(value.shape), "sha256": digest}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
