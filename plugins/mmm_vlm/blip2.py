"""BLIP-2 with OPT -> a graph that goes on with a text about an image."""

from __future__ import annotations

from mmm_graph.registry import GENERIC, Fields, Foreign
from mmm_vlm import common
from mmm_vlm.common import Tree
from mmm_vlm.places import link_to

FIELDS = Fields(
    sizes={},
    others={
        **dict.fromkeys(("vision_config", "qformer_config", "text_config", "image_token_index")),
        "num_query_tokens": 32,
        "use_decoder_only_language_model": True,
    },
    meaningless=GENERIC | {"image_text_hidden_size", "image_token_id"},
)


def import_blip2(foreign: Foreign) -> Tree:
    """Each image with the text that it begins with; an empty one is a caption.

    Raises:
        ValueError: a field that is not known, or a value that is not supported, such as mT5 as language model.
    Source: transformers, models/blip_2/modeling_blip_2.py; Li et al. 2023 (arXiv:2301.12597), section 3.3.
    """
    said = FIELDS.read(foreign.config)[1]
    text, vision = said["text_config"] or {}, said["vision_config"] or {}
    link = link_to(foreign, "language_model")
    if said["use_decoder_only_language_model"]:
        llm = common.decoder(foreign, link, {"model_type": "opt", **text})
    elif text.get("model_type") == "t5":
        llm = common.part(foreign, "T5ForConditionalGeneration", link, text)
    else:
        raise ValueError(f"the language model is {text.get('model_type')!r}; supported are opt and t5")
    seen: Tree = {
        "pixels": {**common.pictures(foreign, "image.preprocess"), "in": {"image": "$in.image"}},
        "features": {"call": "vision", "in": {"image": "pixels"}},
        "soft": {"call": "bridge", "in": {"features": "features"}},
    }
    before = {"text": "words", "insert": "soft", "mask": "ids.mask"}
    return {
        "description": f"Goes on with a text about an image (imported from: {foreign.class_name}).",
        "params": common.params(foreign),
        "inputs": {"image": "Image[b,3,h,w]", "prompt": {"type": "Text[b]", "default": ""}},
        "models": {
            "tok": common.tokenizer(foreign),
            "vision": common.part(foreign, "Blip2VisionModel", link_to(foreign, "vision_model"), vision),
            "bridge": common.part(foreign, "Blip2QFormerModel", foreign.link, foreign.config, common.WIDTHS),
            "llm": llm,
        },
        "nodes": {
            **seen,
            "ids": {"call": "tok", "in": {"text": "$in.prompt"}},
            "words": {"call": "llm.embed", "in": {"ids": "ids"}},
            "ctx": {
                "op": "embeds.prepend",
                "config": {"pad": "left", "context": common.context(llm, foreign)},
                "in": before,
            },
            "answer": common.answer(common.SPLICED, common.end_ids(foreign)),
        },
        "outputs": common.OUTPUTS,
    }
