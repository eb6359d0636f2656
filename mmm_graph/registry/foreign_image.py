"""transformers' preprocessor_config.json -> the node of a graph that prepares pictures as it says; torch-free."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmm_graph.errors import InputError, did_you_mean, problem

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)
PINPOINTS = ((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008))
RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers."""


@dataclass(frozen=True)
class Processor:
    """One class of theirs: what a field that its config leaves out is.

    Attributes:
        size, crop: as their config would say it; crop None: nothing is cut out.
        square: one number as size means height and width; false: the shorter side.
        mean, std: of normalisation.
        pads: `do_pad` pads to a square.
        tiles: it cuts pictures into tiles.
    """

    size: Any
    crop: int | None = None
    square: bool = False
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD
    pads: bool = False
    tiles: bool = False


PROCESSORS = {
    "CLIP": Processor({"shortest_edge": 224}, 224),
    "Siglip": Processor({"height": 224, "width": 224}, mean=HALF, std=HALF),
    "Blip": Processor({"height": 384, "width": 384}, square=True),
    "Llava": Processor({"shortest_edge": 224}, 224, pads=True),
    "LlavaNext": Processor({"shortest_edge": 224}, 224, tiles=True),
    "Idefics": Processor({"height": 224, "width": 224}, square=True),
}
"""By the name of the class, without its end."""
ENDS = ("FeatureExtractor", "ImageProcessorFast", "ImageProcessorPil", "ImageProcessor")

MEANINGLESS = frozenset(
    (
        *(
            "image_processor_type",
            "feature_extractor_type",
            "processor_class",
            "do_convert_rgb",
            "data_format",
        ),
        *("input_data_format", "device", "disable_grouping", "return_tensors", "_valid_processor_keys"),
        *("default_to_square", "image_num_channels", "image_seq_length", "aspect_ratio_setting"),
    )
)
"""Pictures always are RGB here; the rest is the caller's business."""
KNOWN = frozenset(
    (
        *("do_resize", "size", "resample", "do_center_crop", "crop_size", "do_rescale", "rescale_factor"),
        *(
            "do_normalize",
            "image_mean",
            "image_std",
            "do_pad",
            "pad_size",
            "image_size",
            "image_grid_pinpoints",
        ),
    )
)


def find_image_processor(folder: Path) -> dict[str, Any] | None:
    """The node that prepares pictures for the model in a folder; None where the folder says nothing of pictures.

    Raises:
        InputError: E612, what it says cannot be read, or is more than we do.
    """
    for name, key in (("preprocessor_config.json", ""), ("processor_config.json", "image_processor")):
        file = folder / name
        if not file.is_file():
            continue
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            said = found.get(key) if key else found
            if said is not None:
                return read_image_processor(said)
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(problem("E612", f"{file} cannot be read: {error}")) from error
    return None


def read_image_processor(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """`op` and `config` of a node (image.preprocess or image.tiles), from what is in their preprocessor_config.json.

    Raises:
        ValueError: a class or a field that we do not know, or with a value that we do not support.
    """
    processor = _processor(theirs)
    unknown = sorted(name for name in theirs.keys() - KNOWN - MEANINGLESS if theirs[name] is not None)
    if unknown:
        said = ", ".join(f"{name}: {theirs[name]!r}" for name in unknown)
        raise ValueError(f"{said} is not supported; known are {', '.join(sorted(KNOWN))}")
    resample = theirs.get("resample", 3)
    if resample not in RESAMPLE:
        raise ValueError(
            f"resample: {resample!r} is not supported; expected one of {', '.join(map(str, RESAMPLE))}"
        )
    if processor.tiles:
        common = {"resample": RESAMPLE[resample], **_norm(theirs, processor)}
        return {"op": "image.tiles", "config": {**_tiles(theirs, processor), **common}}
    config = {**_pad(theirs, processor), **_size(theirs, processor), "resample": RESAMPLE[resample]}
    return {
        "op": "image.preprocess",
        "config": {**config, **_crop(theirs, processor), **_norm(theirs, processor)},
    }


def _processor(theirs: Mapping[str, Any]) -> Processor:
    name = theirs.get("image_processor_type") or theirs.get("feature_extractor_type")
    for end in ENDS:
        if isinstance(name, str) and name.removesuffix(end) in PROCESSORS:
            return PROCESSORS[name.removesuffix(end)]
    known = [f"{short}ImageProcessor" for short in PROCESSORS]
    raise ValueError(f"the image processor {name!r} is not supported: {did_you_mean(str(name), known)}")


def _pad(theirs: Mapping[str, Any], processor: Processor) -> dict[str, Any]:
    if not theirs.get("do_pad", False):
        return {}
    if not processor.pads:
        raise ValueError("do_pad: true is not supported; expected false, but for LlavaImageProcessor")
    return {"pad_square": "mean"}


def _size(theirs: Mapping[str, Any], processor: Processor) -> dict[str, Any]:
    """`size`, or `shortest` and `longest`."""
    if not theirs.get("do_resize", True):
        return {}
    said = theirs.get("image_size") or theirs.get("size") or processor.size
    if isinstance(said, int):
        square = theirs.get("default_to_square", processor.square)
        said = {"height": said, "width": said} if square else {"shortest_edge": said}
    found = {name: value for name, value in said.items() if value is not None}
    if found.keys() == {"height", "width"}:
        return {"size": [found["height"], found["width"]]}
    if found.keys() == {"shortest_edge"}:
        return {"shortest": found["shortest_edge"]}
    if found.keys() == {"shortest_edge", "longest_edge"}:
        return {"shortest": found["shortest_edge"], "longest": found["longest_edge"]}
    if found.keys() == {"max_height", "max_width"} and found["max_height"] == found["max_width"]:
        return {"longest": found["max_height"]}
    raise ValueError(
        f"size: {said!r} is not supported; expected a number, height and width, shortest_edge (and longest_edge), "
        "or max_height and max_width that are equal"
    )


def _crop(theirs: Mapping[str, Any], processor: Processor) -> dict[str, Any]:
    if not theirs.get("do_center_crop", processor.crop is not None):
        return {}
    said = theirs.get("crop_size") or processor.crop
    if isinstance(said, Mapping):
        said = [said.get("height"), said.get("width")]
    if said is None or (isinstance(said, list) and None in said):
        raise ValueError(
            f"crop_size: {theirs.get('crop_size')!r} is not supported; expected height and width"
        )
    return {"crop": said}


def _norm(theirs: Mapping[str, Any], processor: Processor) -> dict[str, Any]:
    factor = theirs.get("rescale_factor", 1 / 255)
    if not theirs.get("do_rescale", True) or abs(factor * 255 - 1) > 1e-6:
        raise ValueError(f"do_rescale must be true and rescale_factor 1/255, found {factor!r}")
    if not theirs.get("do_normalize", True):
        return {"mean": None, "std": None}
    mean, std = theirs.get("image_mean") or processor.mean, theirs.get("image_std") or processor.std
    return {"mean": _colour("image_mean", mean), "std": _colour("image_std", std)}


def _colour(name: str, said: Any) -> list[float]:
    values = list(said) if isinstance(said, list | tuple) else [said] * 3
    if len(values) != 3:
        raise ValueError(f"{name}: {said!r} is not supported; expected three numbers")
    return values


def _tiles(theirs: Mapping[str, Any], processor: Processor) -> dict[str, Any]:
    """Tiles are as large as the view of the whole."""
    sizes = [*_size(theirs, processor).values(), *_crop(theirs, processor).values()]
    sides = {side for size in sizes for side in (size if isinstance(size, list) else [size])}
    if len(sides) != 1:
        raise ValueError(f"size and crop_size must be one square for tiles, found {sorted(sides)}")
    return {
        "size": sides.pop(),
        "pinpoints": [list(p) for p in theirs.get("image_grid_pinpoints") or PINPOINTS],
    }
