"""Text for a terminal: everything is there, at any width."""

from __future__ import annotations

import pytest

from mmm_graph.view.text import to_text
from tests.view.sample_graphs import sixty_nodes, text_to_image


@pytest.mark.parametrize("width", [40, 60, 100, 200])
def test_no_line_is_longer_than_the_terminal(width: int):
    for graph in (text_to_image(), sixty_nodes()):
        assert max(map(len, to_text(graph, width).splitlines())) <= width


def test_nodes_stand_in_a_tree_with_ports_and_shapes():
    lines = to_text(text_to_image(), 100).splitlines()
    at = lines.index("  ├─ cond")
    assert lines[at + 1 : at + 5] == [
        "  │  ├─ ids: tok.encode(text=$in.prompt)",
        "  │  │    -> ids: Ids[b,8], mask: Mask[b,8]",
        "  │  └─ enc: text.forward(ids=ids.ids, mask=ids.mask)",
        "  │       -> embeds: Embeds[b,8,64]",
    ]


def test_a_loop_says_turns_and_carry():
    text = to_text(text_to_image(), 100)
    assert "↻ loop  × 20" in text
    assert "carry state = start.state, x = start.x, t = start.t" in text


def test_every_node_is_listed():
    graph = sixty_nodes()
    text = to_text(graph, 120)
    assert all(f"─ {n.path.rpartition('/')[2]}: " in text for n in graph.walk() if not hasattr(n, "body"))
