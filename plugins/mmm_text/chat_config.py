"""What a call of a tokenizer may choose: how a conversation is written, what is left out of a decoded text."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmm_graph.config import Config


class ChatConfig(Config):
    """How conversations become text.

    Attributes:
        template: null: the checkpoint's own; the name of another of its own, or of a built-in one: plain, vicuna_v1,
            llama2, mistral_instruct, chatml, blip2_opt, flamingo, idefics, idefics_instruct; or the text of a Jinja
            template.
        generate: end with what stands before an answer, which is to be generated; false: conversations to learn from,
            which end with an answer.
        learn: labels are all that the assistant says, or what it says last.
        system: what a conversation begins with that has no system message; default: what the template says.
        start: begin with what the tokenizer puts before any text, such as <s>, where the template does not write it:
            so the processors of transformers, which have images too, use their templates; tokenizers do not.
    """

    template: str | None = Field(default=None, min_length=1)
    generate: bool = True
    learn: Literal["all", "last"] = "all"
    system: str | None = None
    start: bool = False


class PromptConfig(Config):
    """How texts become prompts.

    Attributes:
        template, system: see ChatConfig.
    """

    template: str | None = Field(default=None, min_length=1)
    system: str | None = None


class DecodeConfig(Config):
    """How ids become text.

    Attributes:
        skip_special: leave special tokens out.
    """

    skip_special: bool = True
