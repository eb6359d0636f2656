"""transformers' config.json of a whole T5 <-> ours, and where its weights stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmm_graph.registry import Layout
from mmm_t5.config import T5LMConfig
from mmm_t5.foreign import FILE, read_config, write_config
from mmm_t5.lm_keys import HEAD, TOKENS, UNREAD, rows

CLASS = "T5ForConditionalGeneration"


def read_lm(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config.

    From version 5 on transformers writes `tie_word_embeddings: true` whatever the model has, and beside it
    `scale_decoder_outputs`; only the first T5 scales, and only there the logits come from the token embedding.

    Raises:
        ValueError: a field that we do not know, or with a value that we do not support.
    """
    tied = theirs.get("tie_word_embeddings") is not False
    scaled = bool(theirs.get("scale_decoder_outputs", tied))
    starts = (theirs.get(name) for name in ("decoder_start_token_id", "pad_token_id"))
    return {
        **read_config(theirs),
        "decoder_depth": theirs.get("num_decoder_layers"),
        "tied": tied and scaled,
        "scaled": scaled,
        "start_id": next((start for start in starts if start is not None), 0),
    }


def write_lm(ours: T5LMConfig) -> dict[str, Any]:
    """Their config.json of a T5ForConditionalGeneration."""
    return {
        **write_config(ours),
        "architectures": [CLASS],
        "is_encoder_decoder": True,
        "use_cache": True,
        "num_decoder_layers": len(ours.decoder_blocks),
        "decoder_start_token_id": ours.start_id,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "tie_word_embeddings": ours.tied,
        "scale_decoder_outputs": ours.scaled,
    }


def _layout(token: str, head: str) -> Layout:
    """A file with these names of the token embedding and of the matrix of the logits."""
    own = token == TOKENS[0] and head == HEAD
    said = "" if own else f", embedding {token}" + (", which makes the logits" if head == token else "")
    about: dict[str, Any] = (
        {"classes": (CLASS,), "read_config": read_lm, "write_config": write_lm} if own else {}
    )
    return Layout(
        f"transformers{said}", _rows(token, head), ignored=(*TOKENS, HEAD, UNREAD), file=FILE, **about
    )


def _rows(token: str, head: str) -> Callable[[T5LMConfig], Mapping[str, str]]:
    return lambda config: rows(config, token, head)


LAYOUTS = (
    *(_layout(token, HEAD) for token in TOKENS),
    *(_layout(token, token) for token in TOKENS),
)
"""The last three: files without a matrix of the logits, which is the token embedding, though nothing is scaled."""
