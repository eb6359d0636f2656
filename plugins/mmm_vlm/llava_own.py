"""Checkpoints in LLaVA's own layout -> graphs. They say which tower they see with; its sizes are the tower's to say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mmm_graph.registry import Foreign, read_image_processor
from mmm_vlm import common
from mmm_vlm.common import Tree
from mmm_vlm.llava import TEMPLATES, conversation, look_at, one_square, tiled
from mmm_vlm.places import Places, find_places, link_to

L14: Tree = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "patch_size": 14,
}
L14 |= {"num_hidden_layers": 24, "num_attention_heads": 16}
TOWERS: Mapping[str, Tree] = {
    "openai/clip-vit-large-patch14": {**L14, "image_size": 224},
    "openai/clip-vit-large-patch14-336": {**L14, "image_size": 336},
}
"""Towers that are known by name: what their vision_config says."""
FAMILIES = {"LlavaLlamaForCausalLM": "llama", "LlavaMistralForCausalLM": "mistral"}
OWN = (
    *("mm_", "image_", "tune_mm_", "freeze_mm_", "unfreeze_mm_", "tokenizer_", "use_mm_", "vision_tower"),
    "max_sequence_length",
)
"""How fields begin that are not the language model's."""
PROJECTOR = re.compile(r"mlp(\d+)x_gelu")
UNKNOWN = "<unk>"
ENDLESS = 1 << 31


def import_llava_own(foreign: Foreign) -> Tree:
    """LLaVA 1.0, 1.5 and NeXT as their authors saved them.

    Raises:
        ValueError: a field that is not known, or a value that is not supported; a tower that is not known.
        InputError: E775, tensors of no layout of LLaVA.
    Source: haotian-liu/LLaVA, llava/model/llava_arch.py, llava/mm_utils.py.
    """
    said, family, places = foreign.config, FAMILIES[foreign.class_name], find_places(foreign)
    tower, link = _tower(foreign, places)
    text = {name: value for name, value in said.items() if not name.startswith(OWN)}
    models: Tree = {
        "vision": common.part(foreign, "CLIPVisionModel", link, tower),
        "bridge": _bridge(foreign, places),
    }
    llm = common.decoder(foreign, link_to(foreign, places.llm), {**text, "model_type": family})
    layer, select = said.get("mm_vision_select_layer", -2), said.get("mm_vision_select_feature", "patch")
    if select not in ("patch", "cls_patch"):
        raise ValueError(
            f"mm_vision_select_feature: {select!r} is not supported; expected patch or cls_patch"
        )
    settings = {"layer": layer, "norm": False, "select": "patch" if select == "patch" else "full"}
    pixels = common.short(_pixels(said, tower), foreign)
    if pixels["op"] == "image.tiles":
        lines = {"kind": "adaptor.anyres", "weights": link_to(foreign, places.newline)}
        models["lines"], seen = lines, tiled(pixels, look_at("tiles", settings))
    else:
        seen = one_square(pixels, look_at("pixels", settings))
    foreign.notes.append(f"the folder has no chat template for images: {TEMPLATES[family]} is taken")
    config = {"template": TEMPLATES[family]}
    return conversation(foreign, {**models, "llm": llm}, seen, config, _placeholder(foreign))


def _tower(foreign: Foreign, places: Places) -> tuple[Tree, str]:
    """What the tower's vision_config says, and where its weights are: in the file, or where the config says."""
    name = str(foreign.config.get("mm_vision_tower") or foreign.config.get("vision_tower") or "")
    found: Tree = {}
    if (foreign.folder / name / "config.json").is_file():
        config = foreign.beside(f"{name}/config.json")
        found, link = config.get("vision_config") or config, f"{foreign.link}/{name}"
    elif name in TOWERS:
        found, link = TOWERS[name], f"hf:{name}"
    if found.get("model_type") != "clip_vision_model":  # images are made ready for CLIP
        raise ValueError(
            f"mm_vision_tower {name!r} is not known; known are {', '.join(TOWERS)}, or put the tower's folder, with "
            "its config.json and weights, into this one and name it there"
        )
    inside = any(tensor.startswith(f"{places.vision}.") for tensor in foreign.tensors())
    return found, link_to(foreign, places.vision) if inside else link


def _bridge(foreign: Foreign, places: Places) -> Tree:
    kind, link = foreign.config.get("mm_projector_type", "linear"), link_to(foreign, places.projector)
    if kind == "linear":
        return {"kind": "adaptor.linear", "weights": link}
    found = PROJECTOR.fullmatch(str(kind))
    if found is None:
        raise ValueError(
            f"mm_projector_type: {kind!r} is not supported; expected linear or mlp2x_gelu, mlp3x_gelu, ..."
        )
    return {"kind": "adaptor.mlp", "weights": link, "config": {"depth": int(found[1])}}


def _pixels(said: Mapping[str, Any], tower: Mapping[str, Any]) -> Tree:
    """The node that prepares images: CLIP's processor, after padding, or tiles."""
    side, form = tower.get("image_size", 224), said.get("image_aspect_ratio", "square")
    plain = {"size": {"shortest_edge": side}, "crop_size": side}
    if form == "anyres":
        merge = said.get("mm_patch_merge_type", "flat")
        if merge != "spatial_unpad":
            raise ValueError(f"mm_patch_merge_type: {merge!r} is not supported; expected 'spatial_unpad'")
        pinpoints = said.get("image_grid_pinpoints")
        if not pinpoints:
            raise ValueError("image_grid_pinpoints is missing, which image_aspect_ratio: 'anyres' needs")
        grids = [[height, width] for width, height in pinpoints]
        return read_image_processor(
            {**plain, "image_processor_type": "LlavaNextImageProcessor", "image_grid_pinpoints": grids}
        )
    if form not in ("pad", "square", None):
        raise ValueError(f"image_aspect_ratio: {form!r} is not supported; expected square, pad or anyres")
    return read_image_processor(
        {**plain, "image_processor_type": "LlavaImageProcessor", "do_pad": form == "pad"}
    )


def _placeholder(foreign: Foreign) -> str:
    """A token that texts do not have: theirs is not in the vocabulary."""
    known = common.added_tokens(foreign)
    return "<image>" if known.get("<image>", ENDLESS) < foreign.config.get("vocab_size", 0) else UNKNOWN
