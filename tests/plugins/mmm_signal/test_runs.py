"""signals.find and signals.states: whole runs by id, and the states at their places."""

from types import SimpleNamespace

import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.testing import check_node
from mmm_signal.runs.config import FindConfig
from mmm_signal.runs.facts import find_facts
from mmm_signal.runs.node import run_nodes
from mmm_signal.runs.ops import find, states

TOKENIZER = SimpleNamespace(signals={"image": (20, 21, 22), "audio": (30,)})
IDS = torch.tensor(
    [
        [1, 20, 21, 22, 2, 20, 21, 22, 30],  # two
        [1, 2, 3, 4, 5, 6, 7, 8, 9],  # none
        [20, 21, 1, 22, 21, 20, 20, 21, 22],  # soup, then one
        [-100, 30, 30, 20, 21, 22, 0, 0, 20],  # one, and a first token at the end
    ]
)


def test_whole_runs_are_found_and_the_rest_is_reported():
    found = find(IDS, FindConfig(), TOKENIZER)
    assert found["rows"].tolist() == [0, 0, 2, 3]
    assert found["places"].tolist() == [[1, 2, 3], [5, 6, 7], [6, 7, 8], [3, 4, 5]]
    soup = "signal tokens for image that make no whole signal, at"
    assert found["report"] == ["", "", f"{soup} 0, 1, 3, 4, 5", f"{soup} 8"]
    sounds = find(IDS, FindConfig(kind="audio"), TOKENIZER)
    assert (sounds["rows"].tolist(), sounds["places"].tolist()) == ([0, 3, 3], [[8], [1], [2]])


def test_no_run_is_a_batch_of_zero_rows():
    found = find(IDS[1:2], FindConfig(), TOKENIZER)
    assert found["rows"].shape == (0,) and found["places"].shape == (0, 3) and found["report"] == [""]
    short = find(IDS[:, 1:3], FindConfig(), TOKENIZER)
    assert short["places"].shape == (0, 3) and short["report"][0].endswith("at 0, 1")


def test_only_the_first_ones_count_and_padding_does_not():
    found = find(IDS, FindConfig(limit=1), TOKENIZER)
    assert found["rows"].tolist() == [0, 2, 3] and found["places"][0].tolist() == [1, 2, 3]
    assert found["report"][0] == "1 signals for image more than the limit of 1"
    ended = torch.arange(9) < torch.tensor([[6], [9], [9], [8]])
    found = find(IDS, FindConfig(), TOKENIZER, ended)
    assert found["rows"].tolist() == [0, 2, 3]
    assert found["report"][0].endswith("at 5") and found["report"][3] == ""


def test_places_are_those_after_media_were_put_in():
    moved = torch.arange(9).expand(4, -1) + 10
    found = find(IDS, FindConfig(), TOKENIZER, None, moved)
    assert found["places"].tolist() == [[11, 12, 13], [15, 16, 17], [16, 17, 18], [13, 14, 15]]
    with pytest.raises(RunError, match=r"E783.*answer 2: a token of a signal for image has no place"):
        find(IDS, FindConfig(), TOKENIZER, None, torch.where(torch.arange(9) == 8, -1, moved))


def test_states_are_gathered_with_what_went_in():
    hidden, embeds = torch.randn(2, 4, 9, 5, generator=torch.Generator().manual_seed(0))
    found = find(IDS, FindConfig(), TOKENIZER)
    rows, places = found["rows"], found["places"]
    want = torch.stack([(hidden + embeds)[r, p] for r, p in zip(rows, places, strict=True)])
    torch.testing.assert_close(states(hidden, rows, places, embeds), want, rtol=0, atol=0)
    assert torch.equal(states(hidden, rows, places)[3], hidden[3, 3:6])
    assert states(hidden, rows[:0], places[:0]).shape == (0, 3, 5)
    with pytest.raises(RunError, match=r"E783.*a signal stands at place 8, and there are 8 states"):
        states(hidden[:, :8], rows, places)
    with pytest.raises(RunError, match=r"E783.*hidden is \[4, 9, 5\] and embeds \[4, 8, 5\]"):
        states(hidden, rows, places, embeds[:, :8])


def test_a_tokenizer_without_signals_is_refused():
    with pytest.raises(RunError, match=r"E782.*the tokenizer has no signals for video"):
        find(IDS, FindConfig(kind="video"), TOKENIZER)
    with pytest.raises(RunError, match="E782"):
        find(IDS, FindConfig(), object())
    uses = {"tokenizer": TOKENIZER}
    assert find_facts(FindConfig(), uses, {}) == {} == find_facts(FindConfig(), {"tokenizer": object()}, {})
    with pytest.raises(ValueError, match=r"no signals for video \(it has: image, audio\)"):
        find_facts(FindConfig(kind="video"), uses, {})


def test_the_nodes_keep_their_promises():
    look, read = run_nodes()
    check_node(look, values={"ids": IDS}, uses={"tokenizer": TOKENIZER})
    rows, places = torch.tensor([0, 1]), torch.tensor([[0, 1], [2, 3]])
    check_node(read, values={"rows": rows, "places": places}, dims={"s": 4})
