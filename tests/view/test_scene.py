"""What a picture shows: boxes by path, loops with what they carry, values traced through loops."""

from __future__ import annotations

from dataclasses import replace

from mmm_graph.graph.graph import Graph, Input
from mmm_graph.spec.ports import parse_port
from mmm_graph.view.scene import Box, Scene, keys, make_scene, turns
from tests.view.sample_graphs import op, ref, sixty_nodes, text_to_image


def boxes(box: Box) -> dict[str, Box]:
    found = {box.key: box}
    for child in box.children:
        if isinstance(child, Box):
            found |= boxes(child)
    return found


def readers(scene: Scene, value: str) -> set[str]:
    return {item for edge in scene.edges if edge.key == value for item, _ in edge.targets}


def test_path_prefixes_become_boxes():
    found = boxes(make_scene(text_to_image()).page)
    assert set(found) == {"", "cond/", "uncond/", "denoise/", "denoise/loop"}
    assert list(keys(found["cond/"])) == ["cond/ids", "cond/enc"]


def test_a_loop_shows_its_turns_and_what_it_carries():
    loop = boxes(make_scene(text_to_image()).page)["denoise/loop"]
    assert (loop.kind, loop.title) == ("loop", "loop  × 20")
    shapes = [child.shape for child in loop.children if not isinstance(child, Box)]
    assert shapes.count("carry") == shapes.count("next") == 3
    assert shapes.count("each") == 1


def test_an_until_loop_says_what_ends_it():
    loop = sixty_nodes().node("answer/generate")
    assert turns(loop) == "until stop.done, at most 256"


def test_values_are_traced_into_and_out_of_loops():
    scene = make_scene(text_to_image())
    assert readers(scene, "denoise/loop/step.latents") == {"image"}
    assert readers(scene, "denoise/start.x") == {"denoise/loop/$carry.x"}
    assert readers(scene, "denoise/loop/step.x") == {"denoise/loop/$next.x"}
    assert readers(scene, "times.times") == {"denoise/start", "denoise/loop/step"}


def test_collected_values_come_from_inside_the_loop():
    scene = make_scene(sixty_nodes())
    assert {"answer/words", "route"} <= readers(scene, "answer/generate/pick.id")


def test_a_box_around_one_box_is_drawn_once():
    text = parse_port("Text[b]")
    nodes = (
        op("a/b/x", "k.x", {"y": "Text[b]"}, i="$in.t"),
        op("a/b/z", "k.z", {"y": "Text[b]"}, i="a/b/x.y"),
    )
    graph = Graph("g", "main", "$in", {}, {"t": Input(text)}, {}, nodes, {})
    assert [box.title for box in boxes(make_scene(graph).page).values()] == ["g", "a/b"]


def test_a_box_that_a_value_leaves_and_enters_again_is_opened():
    nodes = (
        op("a/first", "k.x", {"y": "Text[b]"}),
        op("between", "k.x", {"y": "Text[b]"}, i="a/first.y"),
        op("a/last", "k.x", {"y": "Text[b]"}, i="between.y"),
    )
    page = make_scene(Graph("g", "main", "$in", {}, {}, {}, nodes, {})).page
    assert list(boxes(page)) == [""]
    assert [child.title for child in page.children] == ["a/first", "a/last", "between"]


def test_labels_have_no_tag_and_no_scope_and_are_short():
    out = {"a": "Latents[b,4,8,8]{digits}", "b": "Latents[b,4,height/8,width/8]"}
    nodes = (op("n", "k.x", out), op("m", "k.x", {"c": "Text[b]"}, a="n.a", b="n.b"))
    scene = make_scene(Graph("g", "main", "$in", {}, {}, {}, nodes, {}))
    assert [edge.label for edge in scene.edges] == ["Latents[b,4,8,8]", "Latents"]


def test_params_and_missing_inputs_are_no_lines():
    node = replace(op("n", "k.x", {"y": "Text[b]"}, a="$none.a"), when=ref("$params.on"))
    scene = make_scene(Graph("g", "main", "$in", {"on": True}, {}, {}, (node,), {}))
    assert scene.edges == ()
    assert "when $params.on" in scene.page.children[0].tip
