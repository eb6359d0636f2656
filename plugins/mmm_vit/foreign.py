"""transformers' configs of vision towers <-> ours, and where their weights stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from mmm_graph.registry import GENERIC, Fields, Layout
from mmm_vit import keys
from mmm_vit.config import ViTConfig

CLIP, PROJECTED = "CLIPVisionModel", "CLIPVisionModelWithProjection"
SIGLIP, BLIP2, IDEFICS = "SiglipVisionModel", "Blip2VisionModel", "IdeficsVisionTransformer"
FILE = "model.safetensors"

ACTIVATIONS = {
    "quick_gelu": "quick_gelu",
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
}
"""Their hidden_act -> our activation."""


def sizes(width: int, depth: int, num_heads: int, hidden: int, patch: int, eps: float) -> dict[str, Any]:
    """Our field -> (theirs, what a missing one is)."""
    return {
        "width": ("hidden_size", width),
        "depth": ("num_hidden_layers", depth),
        "num_heads": ("num_attention_heads", num_heads),
        "hidden": ("intermediate_size", hidden),
        "size": ("image_size", 224),
        "patch": ("patch_size", patch),
        "eps": ("layer_norm_eps", eps),
    }


CHANNELS = {"in_channels": ("num_channels", 3)}
OF_CLIP = {**sizes(768, 12, 12, 3072, 32, 1e-5), **CHANNELS}
OF_SIGLIP = {**sizes(768, 12, 12, 3072, 16, 1e-6), **CHANNELS}
OF_BLIP2 = {**sizes(1408, 39, 16, 6144, 14, 1e-6), "qkv_bias": ("qkv_bias", True)}
OF_IDEFICS = {**sizes(768, 32, 16, 5120, 14, 1e-5), **CHANNELS, "width": ("embed_dim", 768)}

MEANINGLESS = GENERIC | {"eos_token_id", "vocab_size", "projection_dim", "vision_model_name"}
"""Of texts, of layers that are not part of the class, and where IDEFICS says which CLIP it once was."""

FIELDS = {
    CLIP: Fields(OF_CLIP, {"hidden_act": "quick_gelu"}, {"model_type": "clip_vision_model"}, MEANINGLESS),
    SIGLIP: Fields(
        OF_SIGLIP,
        {"hidden_act": "gelu_pytorch_tanh", "vision_use_head": True},
        {"model_type": "siglip_vision_model"},
        MEANINGLESS,
    ),
    BLIP2: Fields(
        OF_BLIP2,
        {"hidden_act": "gelu"},
        {"model_type": "blip_2_vision_model", "num_channels": 3},
        MEANINGLESS,
    ),
    IDEFICS: Fields(OF_IDEFICS, {"hidden_act": "gelu"}, meaningless=MEANINGLESS),
}
"""The fields of the config of each class."""

OPEN_CLIP_FORM = {
    "class_token": True,
    "patch_bias": False,
    "pre_norm": True,
    "qkv_bias": True,
    "pool": "class",
}
FORMS: Mapping[str, Mapping[str, Any]] = {
    CLIP: {**OPEN_CLIP_FORM, "grid_offset": 0.0},
    SIGLIP: {
        "class_token": False,
        "patch_bias": True,
        "pre_norm": False,
        "qkv_bias": True,
        "grid_offset": 0.0,
    },
    BLIP2: {
        **{"class_token": True, "patch_bias": True, "pre_norm": False, "pool": "class_normed_twice"},
        **{"in_channels": 3, "grid_offset": 0.0},
    },
    IDEFICS: {**OPEN_CLIP_FORM, "grid_offset": 0.1},
}
"""What is the same in all models of a class."""


def read(name: str, theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a class of theirs.

    Raises:
        ValueError: a field that we do not know, or with a value that we do not support.
    """
    found, others = FIELDS[name].read(theirs)
    act = others["hidden_act"]
    if act not in ACTIVATIONS:
        raise ValueError(f"hidden_act: {act!r} is not supported; expected one of {', '.join(ACTIVATIONS)}")
    pool = (
        {} if "vision_use_head" not in others else {"pool": "probe" if others["vision_use_head"] else "none"}
    )
    return {**FORMS[name], **found, "activation": ACTIVATIONS[act], **pool}


def read_projected(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a CLIPVisionModelWithProjection.

    Raises:
        ValueError: as of `read`.
    """
    return {**read(CLIP, theirs), "out_dim": theirs.get("projection_dim", 512)}


def write(ours: ViTConfig) -> dict[str, Any]:
    """Their config.json.

    Raises:
        ValueError: no class of theirs is like that.
    """
    name = class_of(ours)
    acts = {activation: act for act, activation in reversed(ACTIVATIONS.items())}
    said = {**FIELDS[name].write(ours), "hidden_act": acts[ours.activation]}
    if name == SIGLIP:
        said["vision_use_head"] = ours.pool == "probe"
    if ours.out_dim is not None:
        said["projection_dim"] = ours.out_dim
    return {"architectures": [PROJECTED if ours.out_dim is not None else name], **said}


def class_of(ours: ViTConfig) -> str:
    """The class that computes what we do.

    Raises:
        ValueError: there is none.
    """
    for name in (CLIP, SIGLIP, BLIP2):
        if all(getattr(ours, field) == value for field, value in FORMS[name].items()):
            if ours.out_dim is not None and name != CLIP:
                raise ValueError(f"out_dim: {ours.out_dim} cannot be written: {name} does not project")
            return name
    said = ", ".join(f"{field}: {getattr(ours, field)}" for field in FORMS[IDEFICS])
    raise ValueError(f"{said} cannot be written: {CLIP}, {SIGLIP} and {BLIP2} are all different")


def family(ours: ViTConfig) -> str:
    """The class whose names the weights have."""
    if not ours.class_token:
        return SIGLIP
    return CLIP if ours.pre_norm else BLIP2


BARE = {CLIP: keys.CLIP, SIGLIP: keys.SIGLIP, BLIP2: keys.BLIP2}
HUB = {CLIP: keys.CLIP_HUB, SIGLIP: keys.SIGLIP_HUB, BLIP2: keys.BLIP2}


def bare_rows(ours: ViTConfig) -> keys.Rows:
    """As transformers 5 saves a tower alone, and any version one that is part of another model, below its prefix."""
    return BARE[family(ours)]


def hub_rows(ours: ViTConfig) -> keys.Rows:
    """As older versions save a tower alone, and all of them dual encoders."""
    return HUB[family(ours)]


def shapes(start: str, ours: ViTConfig) -> dict[str, tuple[int, ...]]:
    """Tensors that have other axes there, by name; the projection of patches is a convolution there."""
    name = family(ours)
    found = {"embeddings.patch_embedding.weight": _kernel(ours), "head.probe": (1, 1, ours.width)}
    if name == BLIP2:
        start = ""
        found["embeddings.class_embedding"] = (1, 1, ours.width)
        found["embeddings.position_embedding"] = (1, ours.positions, ours.width)
    return {f"{start}{key}": shape for key, shape in found.items()}


def open_clip_shapes(ours: ViTConfig) -> dict[str, tuple[int, ...]]:
    """As `shapes`."""
    return {"conv1.weight": _kernel(ours)}


def timm_shapes(ours: ViTConfig) -> dict[str, tuple[int, ...]]:
    """As `shapes`."""
    tokens = {"pos_embed": (1, ours.positions, ours.width), "attn_pool.latent": (1, 1, ours.width)}
    return {"patch_embed.proj.weight": _kernel(ours), **tokens}


def _kernel(ours: ViTConfig) -> tuple[int, ...]:
    return (ours.width, ours.in_channels, ours.patch, ours.patch)


def _layout(
    name: str, rows: Callable[[ViTConfig], keys.Rows], ignored: tuple[str, ...], *of: str, start: str = ""
) -> Layout:
    """One layout of transformers; `of`: the class that it belongs to, if any."""
    reader = None if not of else read_projected if of[0] == PROJECTED else partial(read, of[0])
    writer = write if of and of[0] != IDEFICS else None
    return Layout(name, rows, of, reader, writer, ignored, shapes=partial(shapes, start), file=FILE)


START = f"{keys.PREFIX}."
POSITIONS, HUB_POSITIONS = (keys.POSITIONS,), (START + keys.POSITIONS,)
LAYOUTS = (
    _layout("transformers", hub_rows, HUB_POSITIONS, CLIP, start=START),
    _layout("transformers, with projection", hub_rows, HUB_POSITIONS, PROJECTED, start=START),
    _layout("SigLIP", hub_rows, HUB_POSITIONS, SIGLIP, start=START),
    _layout("BLIP-2", bare_rows, POSITIONS, BLIP2),
    _layout("IDEFICS", bare_rows, POSITIONS, IDEFICS),
    _layout("transformers 5", bare_rows, POSITIONS),
    _layout("half of a dual encoder", hub_rows, (*HUB_POSITIONS, *keys.OTHER_HALF), start=START),
    Layout("OpenCLIP", keys.OPEN_CLIP, shapes=open_clip_shapes),
    Layout("OpenCLIP, of timm", keys.TIMM, shapes=timm_shapes),
)
"""The first is what is written, whichever class it is."""
