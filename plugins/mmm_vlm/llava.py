"""LLaVA-1.5 and LLaVA-NeXT as transformers saves them -> graphs that answer questions about images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_graph.registry import GENERIC, Fields, Foreign
from mmm_vlm import common
from mmm_vlm.common import Tree
from mmm_vlm.places import Places, find_places, is_linear, link_to

VISION = {"clip_vision_model": "CLIPVisionModel", "siglip_vision_model": "SiglipVisionModel"}
SELECT = {"default": "patch", "full": "full"}
TEMPLATES = {"llama": "vicuna_v1", "mistral": "mistral_instruct", "qwen2": "chatml", "qwen3": "chatml"}
"""By language model, for folders that do not say how conversations are written."""
FIELDS = Fields(
    sizes={},
    others={
        "vision_config": None,
        "text_config": None,
        "image_token_index": None,
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
        "projector_hidden_act": "gelu",
        "multimodal_projector_bias": True,
        "image_grid_pinpoints": None,
        "use_image_newline_parameter": True,
    },
    meaningless=GENERIC | {"image_seq_length", "ignore_index", "image_token_id", "vocab_size"},
)


def import_llava(foreign: Foreign) -> Tree:
    """LLaVA-1.5: each image is one square.

    Raises:
        ValueError: a field that is not known, or a value that is not supported.
        InputError: E775, tensors of no layout of LLaVA.
    Source: transformers, models/llava/modeling_llava.py; Liu et al. 2023 (arXiv:2310.03744), section 3.
    """
    said, places = FIELDS.read(foreign.config)[1], find_places(foreign)
    pixels = common.pictures(foreign, "image.preprocess")
    seen = one_square(pixels, look(said, "pixels"))
    return conversation(foreign, models(foreign, said, places), seen, template(foreign, said))


def import_llava_next(foreign: Foreign) -> Tree:
    """LLaVA-NeXT: each image is seen whole, and as tiles of a grid that suits its form.

    Raises:
        ValueError: as of `import_llava`, or grids of the processor and of the model differ. InputError: E775.
    Source: transformers, models/llava_next/modeling_llava_next.py; Liu et al. 2024, LLaVA-NeXT.
    """
    said, places = FIELDS.read(foreign.config)[1], find_places(foreign)
    if said["vision_feature_select_strategy"] != "default" or not said["use_image_newline_parameter"]:
        raise ValueError(
            "tiles are put together as patches with a learned end of each line: vision_feature_select_strategy must "
            "be 'default' and use_image_newline_parameter true"
        )
    tiles = common.pictures(foreign, "image.tiles")
    _check_grids(
        said["image_grid_pinpoints"], foreign.registry.ops["image.tiles"].config(**tiles.get("config", {}))
    )
    found = models(foreign, said, places)
    llm = found.pop("llm")
    found["lines"] = {"kind": "adaptor.anyres", "weights": link_to(foreign, places.newline)}
    seen = tiled(tiles, look(said, "tiles"))
    return conversation(foreign, {**found, "llm": llm}, seen, template(foreign, said))


def models(foreign: Foreign, said: Mapping[str, Any], places: Places) -> Tree:
    """vision, bridge and llm."""
    vision = said["vision_config"] or {}
    family = vision.get("model_type", "clip_vision_model")
    if family not in VISION:
        known = ", ".join(VISION)
        raise ValueError(f"the vision tower is a {family!r}, which is not supported; supported: {known}")
    link = link_to(foreign, places.projector)
    if is_linear(foreign.tensors(), places.projector):
        bridge = {"kind": "adaptor.linear", "weights": link}
    else:
        many = isinstance(said["vision_feature_layer"], tuple)
        solved = () if many else common.WIDTHS
        bridge = common.part(foreign, "LlavaMultiModalProjector", link, foreign.config, solved)
    return {
        "vision": common.part(foreign, VISION[family], link_to(foreign, places.vision), vision),
        "bridge": bridge,
        "llm": common.decoder(foreign, link_to(foreign, places.llm), said["text_config"] or {}),
    }


def look(said: Mapping[str, Any], pixels: str) -> Tree:
    """Nodes for the features of images; those of several layers stand beside each other."""
    layers = said["vision_feature_layer"]
    many = layers if isinstance(layers, tuple) else (layers,)
    settings = {"norm": False, "select": SELECT[said["vision_feature_select_strategy"]]}
    if len(many) == 1:
        return look_at(pixels, {"layer": many[0], **settings})
    nodes: Tree = {}
    for layer in many:
        name = f"layer{layer}".replace("-", "_")
        nodes[name] = look_at(pixels, {"layer": layer, **settings})["features"]
    return {**nodes, "features": {"op": "embeds.concat", "in": {"parts": [*nodes]}}}


def look_at(pixels: str, settings: Mapping[str, Any]) -> Tree:
    """The node for the features of one layer."""
    return {"features": {"call": "vision.hidden", "config": dict(settings), "in": {"image": pixels}}}


def one_square(pixels: Tree, features: Tree) -> Tree:
    """Nodes from the images of a conversation to `soft`, their embeds."""
    return {
        "pixels": {**pixels, "in": {"image": "chat.images"}},
        **features,
        "soft": {"call": "bridge", "in": {"features": "features"}},
    }


def tiled(tiles: Tree, features: Tree) -> Tree:
    """The same by way of tiles."""
    views = {name: f"tiles.{name}" for name in ("rows", "grids", "sizes")}
    return {
        "tiles": {**tiles, "in": {"image": "chat.images"}},
        **features,
        "pieces": {"call": "bridge", "in": {"features": "features"}},
        "soft": {"call": "lines", "in": {"features": "pieces", **views}},
    }


def conversation(
    foreign: Foreign, models: Tree, seen: Tree, template: Tree, placeholder: str | None = None
) -> Tree:
    """The whole graph: conversations with images -> answers.

    Args:
        models: what sees, and the llm.
        seen: nodes from `chat.images` to `soft`.
        template: settings of `chat`.
        placeholder: token of the text that stands for an image; None: the config says it.
    """
    token = placeholder or common.image_token(foreign, foreign.config.get("image_token_index"))
    context = common.context(models["llm"], foreign)
    places = {"text": "words", "insert": "soft", "index": "chat.media_index", "mask": "chat.mask"}
    return {
        "description": f"Answers questions about images (imported from: {foreign.class_name}).",
        "params": common.params(foreign),
        "inputs": {"chat": "Chat[b]"},
        "models": {"tok": common.tokenizer(foreign, media_tokens={"image": token}), **models},
        "nodes": {
            "chat": {"call": "tok.chat", "config": template, "in": {"chat": "$in.chat"}},
            **seen,
            "words": {"call": "llm.embed", "in": {"ids": "chat"}},
            "ctx": {"op": "embeds.splice", "config": {"pad": "left", "context": context}, "in": places},
            "answer": common.answer(common.SPLICED, common.end_ids(foreign)),
        },
        "outputs": common.OUTPUTS,
    }


def template(foreign: Foreign, said: Mapping[str, Any]) -> Tree:
    """Settings of `chat`: the folder's own template, or one that such models were trained with."""
    if common.has_template(foreign):
        return {"start": True}
    family = (said["text_config"] or {}).get("model_type", "llama")
    found = TEMPLATES.get(family)
    if found is None:
        raise ValueError(
            f"the folder has no chat template, and none is known for a {family}; put a chat_template.jinja into it"
        )
    foreign.notes.append(f"the folder has no chat template: {found} is taken")
    return {"template": found}


def _check_grids(theirs: Any, tiles: Any) -> None:
    if theirs is not None and {*map(tuple, theirs)} != {*tiles.pinpoints}:
        raise ValueError(
            f"image_grid_pinpoints of config.json, {theirs}, are not those of the image processor, {tiles.pinpoints}"
        )
