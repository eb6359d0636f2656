"""Language models alone -> graphs that answer: conversations where there is a chat template, else texts that go on."""

from __future__ import annotations

from mmm_graph.registry import Foreign
from mmm_vlm import common
from mmm_vlm.common import Tree

GGUF_TEMPLATE, GGUF_END = "tokenizer.chat_template", "tokenizer.ggml.eos_token_id"


def import_decoder(foreign: Foreign) -> Tree:
    """A decoder as transformers saves it, with its tokenizer.

    Raises:
        ValueError: a field of the config that is not known, or a value that is not supported.
    Source: transformers, AutoModelForCausalLM.
    """
    return answers(foreign, chats=common.has_template(foreign), ends=common.end_ids(foreign))


def import_gguf(foreign: Foreign) -> Tree:
    """A decoder in one GGUF file, which holds its tokenizer and its chat template.

    Raises:
        ValueError: as of `import_decoder`.
    Source: ggml-org/ggml, docs/gguf.md.
    """
    end = foreign.config.get(GGUF_END)
    return answers(
        foreign, chats=bool(foreign.config.get(GGUF_TEMPLATE)), ends=[] if end is None else [int(end)]
    )


def answers(foreign: Foreign, *, chats: bool, ends: list[int]) -> Tree:
    """The graph.

    Args:
        chats: the input is conversations; else texts.
        ends: tokens that end an answer.
    """
    first = (
        {"call": "tok.chat", "in": {"chat": "$in.chat"}}
        if chats
        else {"call": "tok", "in": {"text": "$in.prompt"}}
    )
    does = "Answers in conversations" if chats else "Goes on with a text"
    return {
        "description": f"{does} (imported from: {foreign.class_name}).",
        "params": common.params(foreign),
        "inputs": {"chat": "Chat[b]"} if chats else {"prompt": "Text[b]"},
        "models": {"tok": common.tokenizer(foreign), "llm": common.simple(foreign)},
        "nodes": {
            "prompt": first,
            "answer": common.answer({"ids": "prompt", "mask": "prompt.mask"}, ends),
        },
        "outputs": common.OUTPUTS,
    }
