"""The losses of language models."""

from __future__ import annotations

from mmm_graph.registry import CompositeType, OpType, composite_type, op_type
from mmm_losses.language.config import NextTokenConfig
from mmm_losses.language.expand import expand

NUMBERS = {"loss": "Scalar[]", "supervised": "Scalar[]", "accuracy": "Scalar[]", "count": "Scalar[]"}
ABOUT = {"weights": "Scalar[b,t]?", "segments": "Ids[b,t]?", "documents": "Ids[b,t]?"}
LLAVA = "Liu et al. 2023 (arXiv:2304.08485), eq. 3"


def language_nodes() -> list[OpType | CompositeType]:
    """loss.next_token, loss.next_token_at, tokens.learnt, loss.language."""
    return [next_token(), next_token_at(), learnt(), language()]


def next_token() -> OpType:
    """loss.next_token."""
    doc = "Cross entropy of each supervised token (label not -100), from the logits of the token before it."
    return _loss("next_token", "Logits[b,t,v]", doc)


def next_token_at() -> OpType:
    """loss.next_token_at."""
    doc = "loss.next_token from the logits of the places that tokens.learnt names, and of no others."
    return _loss("next_token_at", "Logits[b,m,v]", doc)


def _loss(name: str, logits: str, doc: str) -> OpType:
    return op_type(
        f"loss.{name}",
        f"mmm_losses.language.ops:{name}",
        logits=logits,
        labels="Ids[b,t]",
        **ABOUT,
        returns=NUMBERS,
        config=NextTokenConfig,
        count="mmm_losses.language.ops:count_supervised",
        doc=doc,
        source=LLAVA,
    )


def learnt() -> OpType:
    """tokens.learnt."""
    return op_type(
        "tokens.learnt",
        "mmm_losses.language.ops:learnt_places",
        labels="Ids[b,t]",
        documents=ABOUT["documents"],
        returns={"places": "Ids[b,m]"},
        doc="Where the logits are that a loss reads: places of the tokens before supervised ones, in order.",
    )


def language() -> CompositeType:
    """loss.language."""
    return composite_type(
        "loss.language",
        expand,
        config=NextTokenConfig,
        uses={"llm": "llm"},
        embeds="Embeds[b,t,d]?",
        ids="Ids[b,t]?",
        mask="Mask[b,t]?",
        positions="Ids[b,t]?",
        media="Any?",
        media_index="Ids[b,t]?",
        labels="Ids[b,t]",
        **ABOUT,
        doc="loss.next_token of a text, `embeds` or `ids`, by the language model itself: its head makes logits only "
        "where a label is. Returns loss, supervised, accuracy, count.",
        source=LLAVA,
    )
