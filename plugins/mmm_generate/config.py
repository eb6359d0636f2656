"""Settings of generation: how long, which tokens, when to stop. None of them needs torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from mmm_graph.config import Config


class ProcessorSpec(Config):
    """A processor of another plugin: an op `logits [b,v], ids [b,t] -> logits`, and its settings.

    Attributes:
        op: its kind, such as `logits.no_repeat`.
        config: of that op.
    """

    op: str
    config: dict[str, Any] = Field(default_factory=dict)


class GenerateConfig(Config):
    """How text goes on.

    Attributes:
        max_new_tokens: most tokens of an answer.
        min_new_tokens: no answer stops before.
        temperature: 0 takes the likeliest token; otherwise tokens are drawn from softmax(logits / temperature).
        top_k: draw among so many likeliest only.
        top_p: draw among the likeliest tokens that together have this probability; 1 = among all. Nothing at
            temperature 0.
        min_p: draw among tokens at least this many times as likely as the likeliest.
        repetition_penalty: divides positive (multiplies negative) logits of tokens that are there already.
        no_repeat_ngram: no sequence of so many tokens comes twice; 0 = may.
        processors: further changes of the logits, by ops of any plugin, before the temperature.
        num_beams: beams of a beam search; 1 = none.
        length_penalty: scores of finished beams are divided by length ** this.
        early_stopping: a beam search ends as soon as there are num_beams answers; false = when no better one is likely;
            never = when no better one is possible.
        stop: texts that end an answer as soon as it contains one; needs `use: {tokenizer: ...}`.
        stop_ids: tokens that end an answer, beside the tokenizer's end of text.
        pad_id: what follows the end of an answer in a batch.
        hidden: also give the hidden state of each new token.
        prefix_cache: MiB for keys and values of prompts, so that one that begins like an earlier one is computed from
            where they differ; 0 = none. Prompts in batches and those with padding are computed whole.
    """

    max_new_tokens: int = Field(64, ge=1, le=1_000_000)
    min_new_tokens: int = Field(0, ge=0)
    temperature: float = Field(0.0, ge=0)
    top_k: int | None = Field(None, ge=1)
    top_p: float | None = Field(None, gt=0, le=1)
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float = Field(1.0, gt=0)
    no_repeat_ngram: int = Field(0, ge=0)
    processors: tuple[ProcessorSpec, ...] = ()
    num_beams: int = Field(1, ge=1, le=256)
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False
    stop: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] = ()
    pad_id: int | None = Field(None, ge=0)
    hidden: bool = False
    prefix_cache: int = Field(0, ge=0, le=1 << 24)

    @model_validator(mode="after")
    def _check(self) -> GenerateConfig:
        if self.min_new_tokens > self.max_new_tokens:
            raise ValueError(
                f"min_new_tokens {self.min_new_tokens} is more than max_new_tokens {self.max_new_tokens}"
            )
        if any(not text for text in self.stop):
            raise ValueError("an empty stop text would stop every answer before it begins")
        if self.temperature == 0:
            wanted = [n for n in ("top_k", "min_p") if getattr(self, n) is not None]
            if wanted:
                raise ValueError(
                    f"{wanted[0]} has no effect at temperature 0, which takes the likeliest token"
                )
        if self.num_beams > 1 and (self.temperature or self.hidden):
            what = "hidden" if self.hidden else "a temperature"
            raise ValueError(f"a beam search with {what} is not supported: set num_beams: 1")
        if self.num_beams > 1 and self.prefix_cache:
            raise ValueError(
                "a beam search has several rows, so that prefix_cache would do nothing: leave it out"
            )
        if self.num_beams > 1 and self.stop:
            raise ValueError("a beam search ends at tokens only: use stop_ids in place of stop")
        return self


class RoomConfig(Config):
    """Attributes: tokens: that may follow a prompt."""

    tokens: int = Field(ge=1)


class PrefixConfig(Config):
    """Attributes: mib: that keys and values of prompts may take."""

    mib: int = Field(ge=1)


class PickConfig(Config):
    """Attributes: sample: draw a token from the probabilities; else the likeliest."""

    sample: bool = False


class StopConfig(Config):
    """When an answer ends.

    Attributes:
        ids: tokens that end it, beside the tokenizer's own.
        pad_id: what stands after its end; default: the tokenizer's padding, else 0.
    """

    ids: tuple[int, ...] = ()
    pad_id: int | None = None


class PadConfig(Config):
    """Attributes: pad_id: what stands after the end of an answer; default: the tokenizer's padding, else 0."""

    pad_id: int | None = None


class BeamsConfig(Config):
    """A beam search; see GenerateConfig.

    Attributes:
        num_beams: beams of each prompt.
        length_penalty: scores of answers are divided by length ** this.
        early_stopping: true, false or never.
        stop_ids: tokens that end an answer, beside the tokenizer's own.
    """

    num_beams: int = Field(ge=2)
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False
    stop_ids: tuple[int, ...] = ()


class StopTextConfig(Config):
    """Attributes: stop: texts that end an answer."""

    stop: tuple[str, ...]


class TemperatureConfig(Config):
    """Attributes: temperature: logits are divided by it."""

    temperature: float = Field(gt=0)


class TopKConfig(Config):
    """Attributes: k: tokens that stay."""

    k: int = Field(ge=1)


class TopPConfig(Config):
    """Attributes: p: probability that the tokens that stay have together."""

    p: float = Field(gt=0, le=1)


class MinPConfig(Config):
    """Attributes: p: least probability, as a share of the likeliest token's."""

    p: float = Field(ge=0, le=1)


class PenaltyConfig(Config):
    """Attributes: penalty: above 1 makes repetition rarer."""

    penalty: float = Field(gt=0)


class NgramConfig(Config):
    """Attributes: size: of the sequences that may not come twice."""

    size: int = Field(ge=1)


class SuppressConfig(Config):
    """Attributes: ids: tokens that are never picked."""

    ids: tuple[int, ...]


class MinTokensConfig(Config):
    """Attributes: tokens: new ones before an answer may end; ids: that end it, beside the tokenizer's own."""

    tokens: int = Field(ge=1)
    ids: tuple[int, ...] = ()
