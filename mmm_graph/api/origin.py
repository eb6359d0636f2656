"""Where an output came from, as text that a saved file carries: enough to make it again, nothing secret."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from PIL import ExifTags, Image
from torch import Tensor

import mmm_graph
from mmm_graph.errors import InputError, Place, problem
from mmm_graph.nn.film import read_comment
from mmm_graph.nn.wav import read_wav_comment
from mmm_graph.spec.chat import MEDIA

KEY = "mmm"
LOST = "lost"
"""Marks a value that a file cannot carry."""


@dataclass(frozen=True)
class Origin:
    """The recipe of a run.

    Attributes:
        graph: the graph file's text, as dumped from its spec.
        file: the graph file as the user named it; its folder is where `file:` weights are.
        values: params and inputs that were set; of files of media, in conversations too, the name and a hash; of
            tensors only a hash.
        weights: model -> hash of its weights.
        plugins: digest of the plugin set.
        plan: name and text of the plan that it ran by; None = on one device.
    """

    graph: str
    file: str
    values: Mapping[str, Any]
    seed: int | Sequence[int]
    outputs: Sequence[str] | None
    weights: Mapping[str, str]
    plugins: str
    plan: Mapping[str, Any] | None
    version: str
    torch: str

    def text(self) -> str:
        """Canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


def make_origin(
    graph: str, file: str, run: Mapping[str, Any], weights: Mapping[str, str], plugins: str
) -> Origin:
    """The origin of a run; `run` has values, files (names of inputs that may be files), seed, outputs, plan."""
    values = {k: _plain(v, k in run["files"]) for k, v in run["values"].items()}
    seed = run["seed"] if isinstance(run["seed"], int) else list(run["seed"])
    outputs = None if run["outputs"] is None else list(run["outputs"])
    versions = (mmm_graph.__version__, torch.__version__)
    return Origin(graph, file, values, seed, outputs, dict(weights), plugins, run["plan"], *versions)


def read_origin(path: Path) -> Origin:
    """The origin that a saved picture, video or sound carries.

    Raises:
        InputError: E109, not an image, video or sound, or one that this program did not save.
    """
    place = Place(str(path))
    try:
        text = _metadata(path).get(KEY)
    except FileNotFoundError as error:
        raise InputError(problem("E101", "there is no such file", place)) from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # as Pillow puts it
        what = "a sound" if path.suffix.lower() == ".wav" else "an image"
        raise InputError(problem("E109", f"cannot be read as {what}: {error}", place)) from error
    if text is None:
        hint = "only what `mmm run` and `mmm chat` saved can be run again"
        raise InputError(problem("E109", "carries no graph", place, hint))
    try:
        return _parsed(json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        hint = "it was changed, or saved by another version"
        raise InputError(problem("E109", f"the graph in it cannot be read: {error}", place, hint)) from error


def hash_of(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _metadata(path: Path) -> Mapping[str, Any]:
    """Text chunks of a PNG; the comment of a JPEG, GIF, MP4 or WAV; the description of a WebP."""
    if path.suffix.lower() == ".mp4":
        return _mapping(read_comment(path))
    if path.suffix.lower() == ".wav":
        return _mapping(read_wav_comment(path))
    with Image.open(path) as image:
        image.load()
        if image.format in ("JPEG", "GIF"):
            return _mapping(image.info.get("comment", b""))
        if image.format == "WEBP":
            return _mapping(image.getexif().get(ExifTags.Base.ImageDescription, ""))
        return dict(getattr(image, "text", {}))


def _mapping(text: str | bytes) -> Mapping[str, Any]:
    found = json.loads(text or "{}")
    return found if isinstance(found, dict) else {}


def _parsed(tree: Any) -> Origin:
    expected = {f.name for f in fields(Origin)}
    if not isinstance(tree, dict) or set(tree) != expected:
        raise ValueError("expects the keys " + ", ".join(sorted(expected)))
    texts = all(isinstance(tree[k], str) for k in ("graph", "file", "plugins", "version", "torch"))
    if not texts or not all(isinstance(tree[k], dict) for k in ("values", "weights")):
        raise ValueError("a value is of the wrong type")
    if not isinstance(tree["outputs"], list | None):
        raise ValueError("outputs is no list")
    if not isinstance(tree["plan"], dict | None):
        raise ValueError("plan is no mapping")
    return Origin(**tree)


def _plain(value: Any, is_file: bool) -> Any:
    if is_file and isinstance(value, str | Path):
        return {"file": str(value), "sha256": hash_of(Path(value))}
    if isinstance(value, Tensor):
        digest = hashlib.sha256(
            value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
        ).hexdigest()
        return {LOST: f"{value.dtype} {list(value.shape)}", "sha256": digest}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        files = {value.get("type"), "path"} if value.get("type") in MEDIA else set()  # of a segment of a chat
        return {str(k): _plain(v, is_file or k in files) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, is_file) for v in value]
    return value if isinstance(value, str | int | float | bool | None) else {LOST: type(value).__name__}
