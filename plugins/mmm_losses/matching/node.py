"""BLIP-2's first stage: hard negatives, matching, captions."""

from __future__ import annotations

from mmm_graph.registry import CompositeType, OpType, composite_type, op_type
from mmm_losses.matching import config as c
from mmm_losses.matching.caption import expand

BLIP2 = "Li et al. 2023 (arXiv:2301.12597), section 3.1"
IDS, MASK = "Ids[b,t]", "Mask[b,t]?"


def matching_nodes() -> list[OpType | CompositeType]:
    """pairs.hard_negatives, embeds.first, loss.itm, ids.caption, loss.itg."""
    return [hard_negatives(), first(), *objectives()]


def hard_negatives() -> OpType:
    """pairs.hard_negatives."""
    return op_type(
        "pairs.hard_negatives",
        "mmm_losses.matching.ops:hard_negatives",
        image="Embeds[b,n,d]",
        text="Embeds[b,d]",
        features="Embeds[b,l,c]",
        ids=IDS,
        mask=MASK,
        scale="Scalar[]?",
        pair_ids="Ids[b]?",
        returns={
            "features": "Embeds[3*b,l,c]",
            "ids": "Ids[3*b,t]",
            "mask": "Mask[3*b,t]",
            "labels": "Ids[3*b]",
        },
        config=c.NegativesConfig,
        noise=True,
        gather="data",
        doc="Pairs that belong together, each with a wrong image and with a wrong text that are like the right ones.",
        source=f"{BLIP2}; Li et al. 2021 (arXiv:2107.07651), section 3.2",
    )


def first() -> OpType:
    """embeds.first."""
    return op_type(
        "embeds.first",
        "mmm_losses.matching.ops:first",
        embeds="Embeds[b,t,d]",
        returns={"embeds": "Embeds[b,d]"},
        doc="The embed of the first token, which stands for the whole text where a BERT reads it.",
    )


def objectives() -> list[OpType | CompositeType]:
    """Matching and captions; contrast is loss.itc."""
    return [
        op_type(
            "loss.itm",
            "mmm_losses.matching.ops:matching",
            scores="Embeds[b,l,2]",
            labels="Ids[b]",
            returns={"loss": "Scalar[]", "accuracy": "Scalar[]"},
            doc="Whether an image and a text belong together, by the mean of what all queries say.",
            source=BLIP2,
        ),
        op_type(
            "ids.caption",
            "mmm_losses.matching.ops:caption",
            ids=IDS,
            mask=MASK,
            returns={"ids": IDS, "labels": IDS},
            config=c.CaptionConfig,
            doc="What a text decoder reads, with another first token, and the labels: all but padding.",
            source=BLIP2,
        ),
        composite_type(
            "loss.itg",
            expand,
            config=c.ItgConfig,
            uses={"qformer": "adaptor"},
            features="Embeds",
            ids=IDS,
            mask=MASK,
            doc="The caption, told from the queries of a Q-Former with `text: true` and `head: true`.",
            source=BLIP2,
        ),
    ]
