"""Each change of the logits against transformers' own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers.generation import logits_process as theirs

from mmm_generate import config as c
from mmm_generate import processors as ours

pytestmark = pytest.mark.parity
LOGITS = torch.randn(4, 50, generator=torch.Generator().manual_seed(0)) * 3
IDS = torch.randint(0, 6, (4, 30), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("mine", "config", "peer"),
    [
        (ours.temperature, c.TemperatureConfig(temperature=0.7), theirs.TemperatureLogitsWarper(0.7)),
        (ours.top_k, c.TopKConfig(k=5), theirs.TopKLogitsWarper(5)),
        (ours.top_k, c.TopKConfig(k=500), theirs.TopKLogitsWarper(500)),
        (ours.top_p, c.TopPConfig(p=0.8), theirs.TopPLogitsWarper(0.8)),
        (ours.top_p, c.TopPConfig(p=1e-6), theirs.TopPLogitsWarper(1e-6)),
        (ours.min_p, c.MinPConfig(p=0.1), theirs.MinPLogitsWarper(0.1)),
        (
            ours.repetition_penalty,
            c.PenaltyConfig(penalty=1.3),
            theirs.RepetitionPenaltyLogitsProcessor(1.3),
        ),
        (ours.no_repeat_ngram, c.NgramConfig(size=1), theirs.NoRepeatNGramLogitsProcessor(1)),
        (ours.no_repeat_ngram, c.NgramConfig(size=2), theirs.NoRepeatNGramLogitsProcessor(2)),
        (ours.no_repeat_ngram, c.NgramConfig(size=3), theirs.NoRepeatNGramLogitsProcessor(3)),
        (ours.no_repeat_ngram, c.NgramConfig(size=31), theirs.NoRepeatNGramLogitsProcessor(31)),
        (
            ours.suppress,
            c.SuppressConfig(ids=(3, 4)),
            theirs.SuppressTokensLogitsProcessor([3, 4]),
        ),
    ],
)
def test_equals_the_peer(mine: Any, config: Any, peer: Any) -> None:
    assert torch.equal(mine(LOGITS, IDS, config=config), peer(IDS, LOGITS))


def test_no_end_before_so_many_tokens() -> None:
    config = c.MinTokensConfig(tokens=5, ids=(7, 9))
    peer = theirs.MinNewTokensLengthLogitsProcessor(26, 5, [7, 9], device="cpu")
    assert torch.equal(ours.min_tokens(LOGITS, IDS, 26, config), peer(IDS, LOGITS))
    assert torch.equal(ours.min_tokens(LOGITS, IDS, 25, config), LOGITS)
