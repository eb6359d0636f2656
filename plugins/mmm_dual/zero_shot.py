"""The graph of zero-shot classification, which all importers of two towers write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_graph.registry import Foreign, find_image_processor

Tree = dict[str, Any]
TOP = 5
BIASED = {"init": 0.1, "max": None, "bias": -10.0}
"""Where SigLIP's training starts."""


def zero_shot(
    foreign: Foreign, models: Tree, pixels: Mapping[str, Any] | None, template: str, plain: Tree | None = None
) -> Tree:
    """Labels and pictures -> the best label in a sentence, a table and all probabilities.

    Args:
        models: tok, vision, words and scale; with a bias each label is judged by itself.
        pixels: `op` and `config` of the node that makes pictures ready; None: the folder of the model says it.
        template: default of the templates, whose vectors are averaged.
        plain: how texts are made plain before they become tokens; None: they are not.
    """
    biased = models["scale"].get("config", {}).get("bias") is not None
    sim = {"query": "seen", "keys": "classes", "scale": "t.scale", **({"bias": "t.bias"} if biased else {})}
    best = {"templates": "$params.templates", "top": "$params.top"}
    best |= {"probability": "sigmoid"} if biased else {}
    fill = {"templates": "$params.templates"}
    return {
        "description": f"Says which of your labels fits a picture (imported from: {foreign.class_name}).",
        "params": {
            "templates": {"type": "list", "default": [template], "help": "sentences; a label goes into {}"},
            "top": {"type": "int", "default": TOP, "min": 1, "help": "lines of the table"},
        },
        "inputs": {"image": "Image[b,3,h,w]", "labels": "Text[v]"},
        "models": models,
        "graphs": {"see": _see(foreign, pixels or _said(foreign)), "read": _read(plain)},
        "nodes": {
            "seen": {"graph": "see", "in": {"image": "$in.image"}},
            "prompts": {"op": "text.templates", "config": fill, "in": {"text": "$in.labels"}},
            "texts": {"graph": "read", "in": {"text": "prompts"}},
            "classes": {"op": "embeds.mean_groups", "in": {"embeds": "texts", "groups": "prompts.groups"}},
            "t": {"call": "scale"},
            "sim": {"op": "embeds.cosine_logits", "in": sim},
            "best": {"op": "text.fill_best", "config": best, "in": {"logits": "sim", "labels": "$in.labels"}},
        },
        "outputs": {
            "answer": {"from": "best", "type": "Text[b]"},
            "table": {"from": "best.table", "type": "Text[b]"},
            "probabilities": {"from": "best.probabilities", "type": "Scalar[b,v]"},
            "logits": {"from": "sim", "type": "Logits[b,v]"},
        },
    }


def temperature(link: str, biased: bool = False) -> Tree:
    """The learned scale, with SigLIP's bias or without; one number in half precision would be off by a percent."""
    scale: Tree = {"kind": "projector.temperature", "weights": link, "dtype": "f32"}
    return {**scale, "config": dict(BIASED)} if biased else scale


def tokenizer(link: str, length: int, pad: str) -> Tree:
    """Texts of at most so many tokens, padded to that length or to the longest of them."""
    return {"kind": "tokenizer.hf", "weights": link, "config": {"max_length": length, "pad": pad}}


def _said(foreign: Foreign) -> Mapping[str, Any]:
    found = find_image_processor(foreign.folder)
    if found is None:
        raise ValueError(
            "no preprocessor_config.json or processor_config.json says how pictures are made ready"
        )
    return found


def _see(foreign: Foreign, pixels: Mapping[str, Any]) -> Tree:
    config = foreign.registry.ops[pixels["op"]].config.model_validate(pixels["config"])
    whole = config.model_dump(mode="json", exclude_defaults=True)
    said = {name: _short(value) for name, value in whole.items()}
    nodes = {
        "pixels": {"op": pixels["op"], "config": said, "in": {"image": "$in.image"}},
        "enc": {"call": "vision.pooled", "in": {"image": "pixels"}},
    }
    return {"in": {"image": "Image[b,3,h,w]"}, "nodes": nodes, "out": {"embeds": "enc"}}


def _short(value: Any) -> Any:
    """Height and width that are equal as one number."""
    return value[0] if isinstance(value, list) and len(value) == 2 and value[0] == value[1] else value


def _read(plain: Tree | None) -> Tree:
    # No mask: what pads a text stands behind the token that is taken (CLIP), or was there in training (SigLIP).
    first = {"plain": {"op": "text.normalise", "config": plain, "in": {"text": "$in.text"}}} if plain else {}
    nodes = {
        **first,
        "ids": {"call": "tok", "in": {"text": "plain" if plain else "$in.text"}},
        "enc": {"call": "words.pooled", "in": {"ids": "ids"}},
    }
    return {"in": {"text": "Text[b]"}, "nodes": nodes, "out": {"embeds": "enc"}}
