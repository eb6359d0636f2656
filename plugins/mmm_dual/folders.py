"""Folders of CLIPModel and SiglipModel -> graphs that say which of the user's labels fits a picture."""

from __future__ import annotations

from mmm_dual.zero_shot import Tree, temperature, tokenizer, zero_shot
from mmm_graph.registry import GENERIC, Fields, Foreign

CLIP = Fields(
    sizes={},
    others={
        **dict.fromkeys(("text_config", "vision_config", "text_config_dict", "vision_config_dict")),
        "projection_dim": 512,
    },
    meaningless=GENERIC | {"logit_scale_init_value"},
)
SIGLIP = Fields(sizes={}, others={"text_config": None, "vision_config": None}, meaningless=GENERIC)
CLIP_TEMPLATE, SIGLIP_TEMPLATE = "a photo of a {}.", "This is a photo of {}."
POSITIONS = "max_position_embeddings"


def import_clip(foreign: Foreign) -> Tree:
    """CLIP as transformers saves it.

    Raises:
        ValueError: a field that is not known.
    Source: transformers, models/clip/modeling_clip.py; Radford et al. 2021 (arXiv:2103.00020), section 3.1.
    """
    said = CLIP.read(foreign.config)[1]
    # What old configs call text_config_dict is what counts: it came from the original checkpoint.
    text, vision = (said[f"{n}_config_dict"] or said[f"{n}_config"] or {} for n in ("text", "vision"))
    wide = {"projection_dim": said["projection_dim"]}
    halves = {
        "text": (foreign.link, {**text, **wide, "architectures": ["CLIPTextModelWithProjection"]}),
        "vision": (foreign.link, {**vision, **wide, "architectures": ["CLIPVisionModelWithProjection"]}),
    }
    both = foreign.pretend(foreign.class_name, {}, halves)
    models = {
        "tok": tokenizer(foreign.link, text.get(POSITIONS, 77), pad="longest"),
        "vision": both.part("vision").model(),
        "words": both.part("text").model(),
        "scale": temperature(foreign.link),
    }
    return zero_shot(foreign, models, None, CLIP_TEMPLATE)


def import_siglip(foreign: Foreign) -> Tree:
    """SigLIP as transformers saves it: every text is padded, nothing is masked, each label is judged by itself.

    Raises:
        ValueError: a field that is not known.
    Source: transformers, models/siglip/modeling_siglip.py; Zhai et al. 2023 (arXiv:2303.15343), section 3.
    """
    said = SIGLIP.read(foreign.config)[1]
    text, vision = said["text_config"] or {}, said["vision_config"] or {}
    halves = {
        "text": (foreign.link, {**text, "architectures": ["SiglipTextModel"]}),
        "vision": (foreign.link, {**vision, "architectures": ["SiglipVisionModel"]}),
    }
    both = foreign.pretend(foreign.class_name, {}, halves)
    models = {
        "tok": tokenizer(foreign.link, text.get(POSITIONS, 64), pad="max_length"),
        "vision": both.part("vision").model(),
        "words": both.part("text").model(),
        "scale": temperature(foreign.link, biased=True),
    }
    # Their slow tokenizer drops punctuation before it looks at its file.
    slow = foreign.beside("tokenizer_config.json").get("tokenizer_class") == "SiglipTokenizer"
    plain = {"punctuation": False} if slow else None
    return zero_shot(foreign, models, None, SIGLIP_TEMPLATE, plain)
