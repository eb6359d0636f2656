"""Folders of OpenCLIP (open_clip_config.json, open_clip_model.safetensors) -> zero-shot graphs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_dual.folders import CLIP_TEMPLATE, SIGLIP_TEMPLATE
from mmm_dual.open_clip_config import MODEL, read_text, read_vision
from mmm_dual.zero_shot import Tree, temperature, tokenizer, zero_shot
from mmm_graph.registry import Fields, Foreign, read_image_processor
from mmm_graph.registry.foreign_image import CLIP_MEAN, CLIP_STD

WEIGHTS, PICKLE = "open_clip_model.safetensors", "open_clip_pytorch_model.bin"
TOKENIZERS = ("tokenizer.json", "vocab.json")
PIXELS = Fields(
    sizes={},
    others={
        "size": None,
        "mean": CLIP_MEAN,
        "std": CLIP_STD,
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    },
    fixed={"mode": "RGB"},
    meaningless=("fill_color",),
)
CLEANED: Mapping[str | None, Tree | None] = {
    None: None,
    "whitespace": None,
    "lower": {},
    "canonicalize": {"underscores": False, "punctuation": False},
}
"""Their clean-up -> settings of text.normalise."""
RESAMPLE = {"bilinear": 2, "bicubic": 3}
"""Numbers of Pillow, as the configs of transformers have them."""


def import_open_clip(foreign: Foreign) -> Tree:
    """CLIP and SigLIP as OpenCLIP saves them; a picture is made ready as its own inference transform does it.

    Raises:
        ValueError: a tower that we do not have, or a folder without weights that can be read.
    Source: mlfoundations/open_clip, src/open_clip/model.py, factory.py and transform.py.
    """
    _check_files(foreign)
    said = MODEL.read(foreign.config.get("model_cfg") or {})[1]
    width, quick = said["embed_dim"], said["quick_gelu"]
    text = read_text(said["text_cfg"] or {}, width, quick)
    vision = read_vision(said["vision_cfg"] or {}, width, quick)
    link = f"{foreign.link}/{WEIGHTS}"
    biased = said["init_logit_bias"] is not None
    is_timm = not vision.get("class_token", True)
    models = {
        "tok": tokenizer(foreign.link, text["max_length"], pad="longest" if text["causal"] else "max_length"),
        "vision": _model(foreign, "encoder.vit", f"{link}#visual{'.trunk' if is_timm else ''}", vision),
        "words": _model(foreign, "encoder.text", f"{link}#text" if said["custom_text"] else link, text),
        "scale": temperature(link, biased),
    }
    template = SIGLIP_TEMPLATE if biased else CLIP_TEMPLATE
    pixels, plain = _pixels(foreign, vision["size"]), _plain(said["text_cfg"] or {})
    return zero_shot(foreign, models, pixels, template, plain)


def _check_files(foreign: Foreign) -> None:
    if not (foreign.folder / WEIGHTS).is_file():
        pickled = f"; {PICKLE} is a pickle" if (foreign.folder / PICKLE).is_file() else ""
        raise ValueError(f"there is no {WEIGHTS}{pickled}")
    if not any((foreign.folder / name).is_file() for name in TOKENIZERS):
        raise ValueError(
            f"there is no tokenizer, neither {' nor '.join(TOKENIZERS)}; copy one from a checkpoint with the same texts"
        )


def _plain(text: Mapping[str, Any]) -> Tree | None:
    """How texts are cleaned. What it does with the entities of web pages and broken encodings is left to the user."""
    said = (text.get("tokenizer_kwargs") or {}).get("clean")
    if said not in CLEANED:
        raise ValueError(
            f"tokenizer_kwargs: clean: {said!r} is not supported; expected one of {list(CLEANED)}"
        )
    return CLEANED[said]


def _model(foreign: Foreign, kind: str, link: str, config: dict[str, Any]) -> Tree:
    """A model whose defaults are left out."""
    made = foreign.registry.models[kind].config.model_validate(config)
    sizes = made.model_dump(mode="json", exclude_defaults=True)
    return {"kind": kind, "weights": link} | ({"config": sizes} if sizes else {})


def _pixels(foreign: Foreign, size: int) -> Tree:
    """The node that makes pictures ready, in the words of transformers' processor that does the same."""
    said = PIXELS.read(foreign.config.get("preprocess_cfg") or {})[1]
    side = said["size"] or size
    if not isinstance(side, int) or said["interpolation"] not in RESAMPLE:
        raise ValueError(
            f"preprocess_cfg: size {side}, interpolation {said['interpolation']!r} are not supported"
        )
    same: Tree = {"image_mean": list(said["mean"]), "image_std": list(said["std"])}
    same["resample"] = RESAMPLE[said["interpolation"]]
    square = {"height": side, "width": side}
    if said["resize_mode"] == "squash":
        return read_image_processor({**same, "image_processor_type": "SiglipImageProcessor", "size": square})
    if said["resize_mode"] == "shortest":
        cut = {"size": {"shortest_edge": side}, "crop_size": square}
        return read_image_processor({**same, "image_processor_type": "CLIPImageProcessor", **cut})
    raise ValueError(f"resize_mode: {said['resize_mode']!r} is not supported; expected shortest or squash")
