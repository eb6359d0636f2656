"""The nouns of a Program."""

from __future__ import annotations

from mmm_graph.plan.ops import ALL, At, Free, Recv, Run, Send, Value


def test_values_are_keys() -> None:
    assert Value("r", "n.x") == Value("r", "n.x", (), ALL, None) and hash(Value("r", "n.x")) == hash(
        Value("r", "n.x")
    )
    assert Value("r", "n.x", (1,)) != Value("r", "n.x", (2,))


def test_instructions_are_told_apart() -> None:
    value = Value("r", "n.x")
    items = [Run(("op", "n"), (), (), At("r", "n")), Send(value, 1), Recv(value, 1), Free((value,))]
    assert all(a != b for i, a in enumerate(items) for b in items[i + 1 :])
