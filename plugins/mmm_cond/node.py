"""Declarations of the ops around conditions."""

from __future__ import annotations

from mmm_cond import config as c
from mmm_graph.registry import OpType, op_type


def cond_ops() -> list[OpType]:
    """All ops of this plugin."""
    return [*embeds_ops(), *constant_ops()]


def embeds_ops() -> list[OpType]:
    """Ops on what encoders make of texts."""
    return [
        op_type(
            "embeds.concat",
            "mmm_cond.ops:concat",
            parts="Embeds*",
            returns={"embeds": "Embeds[b,$tokens,d]"},
            config=c.ConcatConfig,
            doc="Embeds of several encoders side by side, or one after the other.",
        ),
        op_type(
            "embeds.concat_pooled",
            "mmm_cond.ops:concat_pooled",
            parts="Embeds*",
            returns={"pooled": "Embeds[b,d]"},
            doc="Vectors of several encoders side by side.",
        ),
        op_type(
            "embeds.zero_empty",
            "mmm_cond.ops:zero_empty",
            text="Text[b]",
            embeds="Embeds[b,t,d]",
            pooled="Embeds[b,e]",
            returns={"embeds": "Embeds[b,t,d]", "pooled": "Embeds[b,e]"},
            doc="Zeros in place of what was encoded of an empty text, as SDXL was trained.",
        ),
        op_type(
            "embeds.all",
            "mmm_cond.ops:count_all",
            embeds="Embeds[b,t,d]",
            returns={"mask": "Mask[b,t]"},
            doc="The mask of embeds that all count. With it guidance runs them in one batch with embeds that have a "
            "mask.",
        ),
    ]


def constant_ops() -> list[OpType]:
    """What denoisers are told beside the text, and texts made plain."""
    return [
        op_type(
            "cond.number",
            "mmm_cond.ops:number",
            like="Any",
            returns={"value": "Scalar[b]"},
            config=c.NumberConfig,
            doc="One number for each element of `like`.",
        ),
        op_type(
            "cond.label",
            "mmm_cond.ops:label",
            like="Any",
            returns={"label": "Ids[b]"},
            config=c.LabelConfig,
            doc="One class for each element of `like`.",
        ),
        op_type(
            "diffusion.size_cond",
            "mmm_cond.ops:sizes",
            like="Any",
            returns={"sizes": "Embeds[b,6]", "resolution": "Embeds[b,2]", "aspect": "Embeds[b,1]"},
            config=c.SizeConfig,
            doc="Size, cut and aspect of the wanted picture, as denoisers are told them.",
            source="Podell et al. 2023 (arXiv:2307.01952), section 2.2",
        ),
        op_type(
            "text.normalise",
            "mmm_cond.ops:normalise",
            text="Text[b]",
            returns={"text": "Text[b]"},
            config=c.NormaliseConfig,
            doc="Texts in small letters, without white space at their ends, or without punctuation too.",
        ),
    ]
