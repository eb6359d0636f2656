"""Another library's config.json, read strictly: a field is known, has the one value we compute with, or is refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

GENERIC = frozenset(
    (
        *("architectures", "model_type", "transformers_version", "torch_dtype", "dtype", "_name_or_path"),
        *(
            "attention_dropout",
            "dropout",
            "initializer_factor",
            "initializer_range",
            "gradient_checkpointing",
        ),
        *("bos_token_id", "pad_token_id", "sep_token_id", "decoder_start_token_id", "use_cache", "prefix"),
        *(
            "problem_type",
            "id2label",
            "label2id",
            "finetuning_task",
            "task_specific_params",
            "tokenizer_class",
        ),
        *("return_dict", "output_hidden_states", "output_attentions", "output_scores", "pruned_heads"),
        *("return_dict_in_generate", "chunk_size_feed_forward", "torchscript", "use_bfloat16"),
        *("tie_word_embeddings", "tie_encoder_decoder", "is_encoder_decoder", "is_decoder"),
        *("add_cross_attention", "cross_attention_hidden_size", "max_length", "min_length", "do_sample"),
        *("early_stopping", "num_beams", "num_beam_groups", "diversity_penalty", "temperature", "top_k"),
        *("top_p", "typical_p", "repetition_penalty", "length_penalty", "no_repeat_ngram_size"),
        *("encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences", "forced_bos_token_id"),
        *("forced_eos_token_id", "remove_invalid_values", "exponential_decay_length_penalty"),
        *("suppress_tokens", "begin_suppress_tokens", "tf_legacy_loss"),
    )
)
"""Fields that transformers writes into the config of any encoder: for training, for generating, for other kinds of
models, or the caller's business. The same hidden states whatever they say."""


@dataclass(frozen=True)
class Fields:
    """The fields of one class of theirs.

    Attributes:
        sizes: our field -> (theirs, what a missing one is).
        others: theirs that the caller reads himself -> what a missing one is.
        fixed: theirs -> the only value that we compute with, which is also what a missing one is.
        meaningless: theirs that do not change the result.
    """

    sizes: Mapping[str, tuple[str, Any]]
    others: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    meaningless: Collection[str] = ()

    def read(self, theirs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """(our sizes, the others).

        Raises:
            ValueError: a field that is not known, or has a value that is not supported.
        """
        known = {name for name, _ in self.sizes.values()} | self.others.keys() | self.fixed.keys()
        for name, value in theirs.items():
            if name in self.fixed and _plain(value) != _plain(self.fixed[name]):
                raise ValueError(f"{name}: {value!r} is not supported; expected {self.fixed[name]!r}")
            if name not in known and name not in self.meaningless and not name.startswith("_"):
                raise ValueError(f"{name}: {value!r} is not supported; known are {', '.join(sorted(known))}")
        sizes = {ours: _plain(theirs.get(name, default)) for ours, (name, default) in self.sizes.items()}
        return sizes, {name: _plain(theirs.get(name, default)) for name, default in self.others.items()}

    def write(self, ours: Any) -> dict[str, Any]:
        """Their fields that are sizes or fixed."""
        return {name: getattr(ours, key) for key, (name, _) in self.sizes.items()} | dict(self.fixed)


def _plain(value: Any) -> Any:
    """JSON has lists where Python has tuples."""
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value
