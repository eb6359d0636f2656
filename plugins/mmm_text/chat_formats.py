"""Chat templates that checkpoints without one were trained with, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

VICUNA_SYSTEM = (
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions."
)


@dataclass(frozen=True)
class Format:
    """A template.

    Attributes:
        text: in Jinja. Beside what the templates of transformers read there is `start`, what the tokenizer puts before
            any text, and `media_tokens`, the placeholders by type of segment.
        segments: content is a list of segments; false: a text, with placeholders where media are.
        system: what a conversation without a system message begins with.
    """

    text: str
    segments: bool = False
    system: str | None = None


def _turns(*, start: str = "", system: str = "", user: str, assistant: str, prompt: str = "") -> str:
    """A template that writes each message by the role it has; `system` "" = such a message is refused."""
    refused = "{{ raise_exception('this template has no system message') }}"
    return (
        f"{start}{{% for m in messages %}}"
        f"{{% if m.role == 'system' %}}{system or refused}"
        f"{{% elif m.role == 'user' %}}{user}"
        f"{{% else %}}{assistant}{{% endif %}}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{prompt}{{% endif %}}"
    )


def _said(text: str) -> str:
    """What the assistant says."""
    return f"{{% generation %}}{text}{{% endgeneration %}}"


START, NEWLINE = "{{ start }}", "{{ '\\n' }}"
MEDIA = "{% for s in m.content if s.type != 'text' %}{{ media_tokens[s.type] }}{% endfor %}"
TEXTS = "{% for s in m.content if s.type == 'text' %}{{ s.text }}{% endfor %}"
MIXED = "{% for s in m.content %}{{ s.text if s.type == 'text' else media_tokens[s.type] }}{% endfor %}"
FAKE = "<fake_token_around_image>"
AROUND = (
    "{% for s in m.content %}{% if s.type == 'text' %}{{ s.text }}{% else %}"
    f"{{{{ '' if ns.near else '{FAKE}' }}}}{{{{ media_tokens[s.type] }}}}{FAKE}"
    "{% endif %}{% set ns.near = s.type != 'text' %}{% endfor %}"
)
"""Texts and images one after the other; those that are neighbours have one token between them."""
APART = "{{ bos_token }}{% set ns = namespace(near=false) %}"
INSTRUCTION = "{% set ns = namespace(system='') %}"
QUESTION = "[INST] {{ (ns.system ~ m.content) | trim }} [/INST]{% set ns.system = '' %}"

FORMATS: Mapping[str, Format] = {
    # LLaVA, stage 1: the question is left out
    "plain": Format(
        _turns(start=START, user=MEDIA, assistant=_said(TEXTS + NEWLINE)),
        segments=True,
    ),
    # Vicuna 1.1, LLaVA 1.5
    "vicuna_v1": Format(
        _turns(
            start=START,
            system="{{ m.content }} ",
            user="USER: {{ m.content }} ",
            assistant="ASSISTANT:" + _said(" {{ m.content }}{{ eos_token }}"),
            prompt="ASSISTANT:",
        ),
        system=VICUNA_SYSTEM,
    ),
    "llama2": Format(
        _turns(
            start=INSTRUCTION,
            system="{% set ns.system = '<<SYS>>\\n' ~ m.content ~ '\\n<</SYS>>\\n\\n' %}",
            user="{{ bos_token }}" + QUESTION,
            assistant=_said(" {{ m.content | trim }} {{ eos_token }}"),
        )
    ),
    "mistral_instruct": Format(
        _turns(
            start="{{ bos_token }}" + INSTRUCTION,
            system="{% set ns.system = m.content ~ '\\n\\n' %}",
            user="{{ '' if loop.first or loop.previtem.role != 'assistant' else ' ' }}" + QUESTION,
            assistant=_said(" {{ m.content | trim }}{{ eos_token }}"),
        )
    ),
    "chatml": Format(
        _turns(
            system="<|im_start|>system\n{{ m.content }}<|im_end|>" + NEWLINE,
            user="<|im_start|>user\n{{ m.content }}<|im_end|>" + NEWLINE,
            assistant="<|im_start|>assistant\n" + _said("{{ m.content }}<|im_end|>") + NEWLINE,
            prompt="<|im_start|>assistant" + NEWLINE,
        )
    ),
    # BLIP-2 with OPT: visual tokens before all text, a line ends an answer
    "blip2_opt": Format(
        _turns(
            start=f"{{% for m in messages %}}{MEDIA}{{% endfor %}}{START}",
            user=f"Question: {TEXTS} ",
            assistant="Answer:" + _said(f" {TEXTS}{NEWLINE}"),
            prompt="Answer:",
        ),
        segments=True,
    ),
    # Flamingo, IDEFICS: an image, and what is said of it
    "flamingo": Format(
        _turns(start=START, user=MIXED, assistant=_said(MIXED + "<|endofchunk|>")),
        segments=True,
    ),
    # IDEFICS: nothing but texts and images
    "idefics": Format(
        _turns(start=APART, system=AROUND, user=AROUND, assistant=_said(AROUND)),
        segments=True,
    ),
    "idefics_instruct": Format(
        _turns(
            start=APART,
            user="User: " + AROUND + "<end_of_utterance>" + NEWLINE,
            assistant="Assistant:" + _said(f" {AROUND}<end_of_utterance>") + NEWLINE,
            prompt="Assistant:",
        ),
        segments=True,
    ),
}
