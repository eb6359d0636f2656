"""The decoder against transformers."""

import pytest
import torch

from tests.plugins.mmm_llm.tiny import CASES, VOCAB, embed, greedy, logits, pair

pytestmark = pytest.mark.parity

LENGTH = 12
LEFT = torch.arange(LENGTH) >= torch.tensor([[0], [5], [11]])
IDS = torch.randint(1, VOCAB, (3, LENGTH), generator=torch.Generator().manual_seed(0))


def close(got, want, tolerance=1e-5):
    assert (got - want).abs().max() <= tolerance * max(1, float(want.abs().max()))


@pytest.mark.parametrize("case", list(CASES))
@torch.no_grad()
def test_logits_with_padding_on_either_side(tmp_path, case):
    ours, _, theirs = pair(tmp_path, *CASES[case])
    close(logits(ours, IDS), theirs(IDS).logits)
    for mask in (LEFT, LEFT.flip(1)):
        positions = (mask.long().cumsum(-1) - 1).clamp(min=0)
        want = theirs(IDS, attention_mask=mask.long(), position_ids=positions).logits
        close(logits(ours, IDS, mask=mask)[mask], want[mask])
        close(logits(ours, IDS, mask=mask, positions=positions)[mask], want[mask])


@pytest.mark.parametrize("case", list(CASES))
@torch.no_grad()
def test_greedy_tokens_in_a_batch_and_one_by_one(tmp_path, case):
    ours, config, theirs = pair(tmp_path, *CASES[case])
    count = 32 if "-" not in case else 8
    want = theirs.generate(
        IDS, attention_mask=LEFT.long(), max_new_tokens=count, do_sample=False, use_cache=True
    )[:, LENGTH:]
    got, scores = greedy(ours, config, IDS, count, mask=LEFT)
    assert torch.equal(got, want)
    for row, keep in enumerate(LEFT):
        alone, apart = greedy(ours, config, IDS[row : row + 1, keep], count)
        assert torch.equal(alone[0], want[row])
        close(scores[row], apart[0])
    whole = torch.cat([IDS, got], 1)
    mask = torch.cat([LEFT, torch.ones_like(got).bool()], 1)
    close(scores, logits(ours, whole, mask=mask)[:, LENGTH - 1 : -1])


@pytest.mark.parametrize("case", ["llama-grouped", "opt-after"])
@torch.no_grad()
def test_hidden_states_are_those_after_the_last_norm(tmp_path, case):
    ours, _, theirs = pair(tmp_path, *CASES[case])
    found = ours({"embeds": embed(ours, IDS)})["hidden"]
    want = theirs(IDS, output_hidden_states=True).hidden_states[-1]
    close(ours.parts["head"].project(found), want)
