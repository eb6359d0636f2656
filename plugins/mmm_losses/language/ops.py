"""The loss of language models. Axes: b samples, t tokens, v vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_losses.language.chunked import Settings, chunked_cross_entropy
from mmm_losses.language.config import NOT_SUPERVISED, NextTokenConfig
from mmm_losses.numbers import mean_of


def next_token(
    logits: Tensor,
    labels: Tensor,
    config: NextTokenConfig,
    weights: Tensor | None = None,
    segments: Tensor | None = None,
    documents: Tensor | None = None,
) -> dict[str, Tensor]:
    """Cross entropy of each supervised token, from the logits of the token before it.

    Args:
        logits: [b,t,v]; those of place i speak of the token at i + 1.
        labels: [b,t] ids; -100 is not supervised. The first token of a sample never is.
        weights: [b,t] of the tokens, at least 0.
        segments: [b,t] number of the segment that a token is of, for `segment_weights`.
        documents: [b,t] which text a token is of, where several are packed into one sample: no token is predicted
            from another text.

    Returns:
        loss: by `reduction`. supervised: share of the places 1 to t-1 that are supervised. accuracy: share of the
        supervised tokens that were likeliest. count: what the sum was divided by: the weights of all supervised
        tokens, or the samples.

    Raises:
        RunError: E776, samples without a supervised token. E777, labels and logits of other lengths, or labels that are
            no words.
    """
    if logits.shape[:2] != labels.shape:
        message = f"labels [{_said(labels)}] do not fit logits [{_said(logits)}]"
        hint = "link the labels that went through the same embeds.splice as the embeds"
        raise RunError(problem("E777", message, hint=hint))
    wanted = supervised_places(labels, documents)
    column = torch.arange(labels.shape[1] - 1, device=wanted.device).expand_as(wanted)
    return _cross_entropy(logits, column, wanted, labels, config, weights, segments)


def next_token_at(
    logits: Tensor,
    labels: Tensor,
    config: NextTokenConfig,
    weights: Tensor | None = None,
    segments: Tensor | None = None,
    documents: Tensor | None = None,
) -> dict[str, Tensor]:
    """`next_token` from the logits [b,m,v] of the places that `learnt_places` names, in their order."""
    wanted = supervised_places(labels, documents)
    most = _most(wanted)
    if logits.shape[0] != len(labels) or logits.shape[1] < most:
        message = f"logits [{_said(logits)}] are not those of {most} tokens in each of {len(labels)} samples"
        hint = (
            "link the `places` of tokens.learnt, made of the same labels, to `logits_at`; loss.language does"
        )
        raise RunError(problem("E777", message, hint=hint))
    return _cross_entropy(logits, _order(wanted), wanted, labels, config, weights, segments)


def learnt_places(labels: Tensor, documents: Tensor | None = None) -> Tensor:
    """Where the logits are that a loss reads: places [b,m] of the tokens before supervised ones, in order.

    m is the most that a sample has, at least 1; what a sample has less of is filled up with its place 0.
    """
    wanted = supervised_places(labels, documents)
    rows, places = wanted.nonzero(as_tuple=True)
    found = labels.new_zeros(len(labels), max(_most(wanted), 1))
    found[rows, _order(wanted)[rows, places]] = places
    return found


def _most(wanted: Tensor) -> int:
    """The most places that a sample has."""
    return int(wanted.sum(1).max()) if wanted.numel() else 0


def _order(wanted: Tensor) -> Tensor:
    """[b,t-1], where a place that is wanted stands among those of its sample, from 0."""
    return wanted.cumsum(1) - 1


def _cross_entropy(
    logits: Tensor,
    column: Tensor,
    wanted: Tensor,
    labels: Tensor,
    config: NextTokenConfig,
    weights: Tensor | None,
    segments: Tensor | None,
) -> dict[str, Tensor]:
    """Of logits [b,m,v]; wanted [b,t-1] are the places that count, and column says which of the m speak of one."""
    labels, wanted, column = (x.to(logits.device) for x in (labels, wanted, column))
    _check_rows(wanted, config)
    rows, places = wanted.nonzero(as_tuple=True)
    words = labels[:, 1:][rows, places]
    _check_words(words, rows, logits.shape[-1])
    dtype = torch.promote_types(logits.dtype, torch.float32)
    every = _weights(wanted, config, weights, segments).to(dtype)
    count, each = _count(wanted, every, config), every[rows, places]
    if config.reduction == "sample":
        each = each / (every * wanted).sum(1)[rows]
    settings = Settings(config.smoothing, config.z_loss, config.chunk)
    tokens = rows * logits.shape[1] + column[rows, places]
    # A weight of 0 in a sample of such weights is no share of anything.
    loss, right = chunked_cross_entropy(
        logits.flatten(0, 1), tokens, words, (each / count).nan_to_num(0.0), settings
    )
    return {
        "loss": loss,
        "supervised": mean_of(wanted.float()),
        "accuracy": mean_of(right.float()),
        "count": count,
    }


def count_supervised(
    labels: Tensor,
    config: NextTokenConfig,
    weights: Tensor | None = None,
    segments: Tensor | None = None,
    documents: Tensor | None = None,
) -> Tensor:
    """Over how much `next_token` of these inputs is a mean: weights of the supervised tokens, or samples."""
    wanted = supervised_places(labels, documents)
    each = _weights(wanted, config, weights, segments)
    return _count(wanted, each, config)


def supervised_places(labels: Tensor, documents: Tensor | None) -> Tensor:
    """[b,t-1], true where the next token is supervised."""
    wanted = labels[:, 1:] != NOT_SUPERVISED
    if documents is None:
        return wanted
    return wanted & (documents[:, 1:] == documents[:, :-1]).to(wanted.device)


def _count(wanted: Tensor, weights: Tensor, config: NextTokenConfig) -> Tensor:
    total = (weights * wanted).sum()
    return total if config.reduction == "token" else total.new_tensor(len(wanted))


def _weights(
    wanted: Tensor, config: NextTokenConfig, weights: Tensor | None, segments: Tensor | None
) -> Tensor:
    """[b,t-1], of the tokens that are predicted."""
    found = torch.ones_like(wanted, dtype=torch.float32) if weights is None else weights[:, 1:]
    if segments is None or not config.segment_weights:
        return found.to(wanted.device)
    table = torch.tensor([*config.segment_weights, 1.0], device=wanted.device)
    number = segments[:, 1:].to(wanted.device)
    number = number.where((number >= 0) & (number < len(table)), len(table) - 1)
    return found.to(wanted.device) * table[number]


def _check_rows(wanted: Tensor, config: NextTokenConfig) -> None:
    """Samples from which nothing is learned are a mistake of the data more often than not."""
    masked = ~wanted.any(1)
    if config.masked == "skip" or not bool(masked.any()):
        return
    rows = masked.nonzero()[:, 0].tolist()
    named = ", ".join(map(str, rows[:8])) + (" ..." if len(rows) > 8 else "")
    message = f"all labels are masked in {len(rows)} of {len(wanted)} samples of the batch: {named}"
    hint = "an answer was cut off (raise max_length), or no segment is supervised; or set config masked: skip"
    raise RunError(problem("E776", message, hint=hint))


def _check_words(words: Tensor, rows: Tensor, vocabulary: int) -> None:
    strange = (words < 0) | (words >= vocabulary)
    if bool(strange.any()):
        first = int(strange.nonzero()[0, 0])
        message = f"sample {int(rows[first])} of the batch has the label {int(words[first])}"
        hint = f"logits are for words 0 to {vocabulary - 1}; {NOT_SUPERVISED} is not supervised"
        raise RunError(problem("E777", message, hint=hint))


def _said(x: Tensor) -> str:
    return ", ".join(map(str, x.shape))
