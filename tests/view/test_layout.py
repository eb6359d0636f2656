"""Geometry that makes a drawing readable, on the sample graphs and on random ones."""

from __future__ import annotations

import random
from itertools import combinations, pairwise

import pytest

from mmm_graph.graph.graph import Graph, Input, Node, Output
from mmm_graph.spec.ports import parse_port
from mmm_graph.view.layout import lay_out
from mmm_graph.view.picture import Block
from mmm_graph.view.scene import make_scene
from tests.view.sample_graphs import op, ref, sixty_nodes, text_to_image


def random_graph(seed: int, count: int = 25) -> Graph:
    """Ops in nested groups, each reading one to three earlier values."""
    rng = random.Random(seed)
    values, nodes = ["$in.a", "$in.b"], list[Node]()
    for i in range(count):
        group = rng.choice(["", "", "left/", "left/inner/", "right/", "far/away/"])
        inputs = {f"in{n}": rng.choice(values[-8:]) for n in range(rng.randint(1, 3))}
        out = {f"out{n}": "Latents[b,4,h,w]" for n in range(rng.randint(1, 2))}
        nodes.append(op(f"{group}n{i}", "some.thing", out, **inputs))
        values += [f"{nodes[-1].path}.{port}" for port in out]
    text = parse_port("Text[b]")
    outputs = {f"o{n}": Output(ref(values[-n - 1]), text) for n in range(2)}
    return Graph("random", "main", "$in", {}, {"a": Input(text), "b": Input(text)}, {}, tuple(nodes), outputs)


GRAPHS = [text_to_image(), sixty_nodes(), *(random_graph(seed) for seed in range(12))]
IDS = ["text_to_image", "sixty_nodes", *(f"random{seed}" for seed in range(12))]


@pytest.fixture(params=GRAPHS, ids=IDS, scope="module")
def block(request: pytest.FixtureRequest) -> Block:
    return lay_out(make_scene(request.param))


def test_every_node_and_every_end_of_the_graph_is_drawn():
    for graph in GRAPHS:
        drawn = [tile.item.key for tile in lay_out(make_scene(graph)).tiles]
        assert len(drawn) == len(set(drawn))
        loops = {frame.box.key for frame in lay_out(make_scene(graph)).frames if frame.box.kind == "loop"}
        assert {n.path for n in graph.walk()} <= set(drawn) | loops
        assert {f"$in.{n}" for n in graph.inputs} | {f"$out.{n}" for n in graph.outputs} <= set(drawn)


def test_tiles_do_not_overlap(block: Block):
    for a, b in combinations([_rect(t) for t in block.tiles], 2):
        assert not _meet(a, b, 4.0)


def test_frames_are_nested_or_apart(block: Block):
    frames = [_rect(f) for f in block.frames]
    for a, b in combinations(frames, 2):
        assert not _meet(a, b, 0.0) or _holds(a, b) or _holds(b, a)
    for tile in block.tiles:
        assert all(_holds(f, _rect(tile)) or not _meet(f, _rect(tile), 0.0) for f in frames)


def test_lines_do_not_run_through_tiles(block: Block):
    rects = [_rect(t) for t in block.tiles]
    for _, (x0, y0, x1, y1) in _pieces(block):
        inside = (min(x0, x1), min(y0, y1) + 1, max(x0, x1), max(y0, y1) - 1)
        assert not any(_meet(inside, rect, -2.0) for rect in rects)


def test_labels_cover_no_tile_and_no_other_label(block: Block):
    labels = [(x.x - x.width / 2, x.y - 5, x.x + x.width / 2, x.y + 5) for x in block.labels]
    assert not any(_meet(a, b, 0.0) for a, b in combinations(labels, 2))
    assert not any(_meet(label, _rect(t), 0.0) for label in labels for t in block.tiles)


def test_lines_of_different_values_do_not_lie_on_each_other(block: Block):
    pieces = list(_pieces(block))
    for (v, a), (w, b) in combinations(pieces, 2):
        if v == w:
            continue
        for axis in (0, 1):
            if a[axis] == a[axis + 2] and b[axis] == b[axis + 2] and abs(a[axis] - b[axis]) < 1.5:
                other = 1 - axis
                low = max(min(a[other], a[other + 2]), min(b[other], b[other + 2]))
                high = min(max(a[other], a[other + 2]), max(b[other], b[other + 2]))
                assert high - low < 3, (v, w)


def test_layout_is_the_same_every_time():
    assert lay_out(make_scene(sixty_nodes())) == lay_out(make_scene(sixty_nodes()))


Rect = tuple[float, float, float, float]


def _rect(thing) -> Rect:
    return thing.x, thing.y, thing.x + thing.width, thing.y + thing.height


def _meet(a: Rect, b: Rect, apart: float) -> bool:
    return (
        a[0] < b[2] + apart - 0.01
        and b[0] < a[2] + apart - 0.01
        and a[1] < b[3] + apart - 0.01
        and b[1] < a[3] + apart - 0.01
    )


def _holds(a: Rect, b: Rect) -> bool:
    return a[0] <= b[0] and a[1] <= b[1] and a[2] >= b[2] and a[3] >= b[3]


def _pieces(block: Block):
    for i, wire in enumerate(block.wires):
        name = wire.edge.key if wire.edge else f"bus{i}"
        for line in wire.lines:
            for (x0, y0), (x1, y1) in pairwise(line):
                yield name, (wire.x + x0, wire.y + y0, wire.x + x1, wire.y + y1)
