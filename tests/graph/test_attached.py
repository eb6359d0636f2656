"""A model with others between its blocks is an ordinary model: parts, paths, inputs, state, sharing."""

from __future__ import annotations

import pytest

from mmm_graph.errors import InputError
from mmm_graph.graph.attached import attached_type, group_bounds, guest_of, guest_parts, num_blocks, type_of
from mmm_graph.graph.compile import compile_graph
from mmm_graph.plan.arrange import arrange
from mmm_graph.plan.holdings import holdings
from mmm_graph.registry import TextWork
from mmm_graph.spec import load_spec
from mmm_graph.spec.plan import PlanSpec
from tests.graph.attach_types import GUEST, HEAD, HOST, LOGITS, REGISTRY, HostConfig


def compiled(attach, body=LOGITS, **models):
    text = HEAD.replace("ATTACH", attach)
    for old, new in models.values():
        text = text.replace(old, new)
    return compile_graph(load_spec(text + body), REGISTRY)


def names(graph):
    kind = type_of(graph.models["llm"], REGISTRY)
    return [part.name for part in kind.parts(graph.models["llm"].config)]


@pytest.mark.parametrize(
    ("attach", "expected"),
    [
        ("every: 1", "embed g_0 block0 g_1 block1 g_2 block2 g_3 block3 head"),
        ("every: 2", "embed g_0 block0 block1 g_1 block2 block3 head"),
        ("every: 2, offset: 1", "embed block0 g_0 block1 block2 g_1 block3 head"),
        ("every: 2, side: after", "embed block0 g_0 block1 block2 g_1 block3 head"),
        ("every: 4, offset: 3, side: after", "embed block0 block1 block2 block3 g_0 head"),
    ],
)
def test_copies_stand_at_their_blocks_in_the_table_and_in_paths(attach, expected):
    graph = compiled(f"{{model: g, at: blocks, {attach}}}")
    llm = graph.models["llm"]
    kind = type_of(llm, REGISTRY)
    assert names(graph) == expected.split() == list(kind.methods["logits"].path(llm.config, None))
    assert graph.models["g"].copies == sum(name.startswith("g_") for name in expected.split())
    own = type_of(graph.models["g"], REGISTRY).parts(graph.models["g"].config)
    assert [part.name for part in own] == [str(i) for i in range(graph.models["g"].copies)]
    assert guest_parts(llm, REGISTRY) == {n for n in expected.split() if n.startswith("g_")}


def test_copies_of_several_parts():
    two = ("adaptor.toy,", "adaptor.toy, config: {tail: true},")
    graph = compiled("{model: g, at: blocks, every: 2, side: after}", two=two)
    expected = "embed block0 g_0_look g_0_tail block1 block2 g_1_look g_1_tail block3 head"
    assert " ".join(names(graph)) == expected
    assert group_bounds(graph.models["llm"], REGISTRY) == [0, 1, 4, 5, 8, 9, 10]
    guest, key, part = guest_of(graph.models["llm"], REGISTRY, "g_1_tail")
    assert (guest, key, part.name) == ("g", "1_tail", "tail")
    assert guest_of(graph.models["llm"], REGISTRY, "block1") is None


def test_widths_are_solved_from_the_host_and_the_links():
    graph = compiled("{model: g, at: blocks, every: 2}")
    assert graph.models["g"].config.width == 8 and graph.models["g"].config.media_dim == 6
    assert graph.models["llm"].guests[0].node == graph.models["g"]
    assert (graph.models["g"].host, graph.models["llm"].host) == ("llm", "")


def test_each_copy_has_keys_of_its_own_and_is_counted_for_the_tokens_of_its_block():
    graph = compiled("{model: g, at: blocks, every: 2}")
    llm = graph.models["llm"]
    table = {part.name: part for part in type_of(llm, REGISTRY).parts(llm.config)}
    part = table["g_1"]
    assert part.reads == ("h", "cache.g_1", "media", "index") and part.writes == ("h", "cache.g_1")
    assert (part.params, part.flops, part.work) == (5, 100.0, 8), "5 tokens in its table, 10 in the block's"
    assert part.sizes == {"h": 80, "cache.g_1": 3}
    assert part.text == TextWork(10, pairs=40.0, once_flops=20.0, once_params=2)


def test_methods_have_the_inputs_of_guests_where_they_run_them_and_find_no_state():
    graph = compiled("{model: g, at: blocks, every: 2}")
    llm = graph.models["llm"]
    methods = type_of(llm, REGISTRY).methods
    assert list(methods["logits"].inputs) == list(methods["prefill"].inputs) == ["x", "media", "index"]
    assert list(methods["step"].inputs) == ["x", "cache"] and list(methods["embed"].inputs) == ["x"]
    assert methods["embed"] is HOST.methods["embed"], "it runs through no block"
    pre = "  p: {call: llm.prefill, in: {x: $in.x, media: $in.media, index: $in.index}}\n"
    step = "  s: {call: llm.step, in: {x: $in.x, cache: p.cache}}\noutputs: {y: s}\n"
    node = compiled("{model: g, at: blocks, every: 2}", pre + step).node("s")
    assert [k for k in node.inputs if k.startswith("cache.")] == [
        f"cache.{n}" for n in ("g_0", "block0", "block1", "g_1", "block2", "block3")
    ]


def test_sharing_is_what_both_can():
    kind = attached_type(HOST, HostConfig(), compiled_guests())
    said = kind.sharding(HostConfig())
    assert said.heads == 2 and said.refused == {"ring": "no"}
    assert num_blocks(HOST, HostConfig()) == 4 and kind.builder == HOST.builder


def compiled_guests():
    from mmm_graph.graph.attached import Guest

    return [Guest(compiled("{model: g, at: blocks}").models["llm"].guests[0], GUEST)]


@pytest.mark.parametrize(
    ("side", "cut", "first"),
    [
        ("before", 1, "embed g_0 block0"),
        ("before", 2, "embed g_0 block0 block1"),
        ("after", 1, "embed block0 g_0"),
        ("after", 3, "embed block0 g_0 block1 block2 g_1"),
    ],
)
def test_placement_counts_blocks_of_the_host_and_guests_go_with_them(side, cut, first):
    graph = compiled(f"{{model: g, at: blocks, every: 2, side: {side}}}")
    stages = [{"ranks": [0], "place": [f"llm[:{cut}]"]}, {"ranks": [1], "place": [f"llm[{cut}:]"]}]
    plan = arrange(graph, REGISTRY, PlanSpec.model_validate({"ranks": 2, "stages": stages}))
    a, b = ((s.a, s.b) for s in plan.models["llm"])
    assert names(graph)[: a[1]] == first.split() and a[1] == b[0] and set(plan.models) == {"llm"}


def test_pipes_cut_between_blocks_and_what_stands_at_them():
    graph = compiled("{model: g, at: blocks}")
    bounds = group_bounds(graph.models["llm"], REGISTRY)
    for stages in (2, 3):
        plan = arrange(graph, REGISTRY, PlanSpec.model_validate({"ranks": stages, "pipe": {"llm": stages}}))
        assert {s.a for s in plan.models["llm"]} <= set(bounds)


@pytest.mark.parametrize(
    "plan", [{"ranks": 1, "stages": [{"ranks": [0], "place": ["g"]}]}, {"ranks": 2, "pipe": {"g": 2}}]
)
def test_guests_are_not_placed_by_themselves(plan):
    with pytest.raises(InputError, match=r"E511\] plan : g is attached to llm, and goes where its blocks go"):
        arrange(compiled("{model: g, at: blocks}"), REGISTRY, PlanSpec.model_validate(plan))


def test_weights_of_guests_are_held_where_they_are():
    from mmm_graph.plan.block import Blocks, Wishes
    from mmm_graph.plan.flow import Flow
    from mmm_graph.plan.place import make_plan
    from mmm_graph.plan.select import select
    from mmm_graph.plan.sizes import Sizes

    graph = compiled("{model: g, at: blocks}")
    flow, outputs = Flow(graph), {"y": graph.outputs["y"].ref}
    needs = select(flow, list(outputs.values()))
    assert needs.models == {"llm", "g"}
    plan = make_plan(graph, REGISTRY, {"llm": [([0], 0, 5), ([1], 5, 10)]})
    blocks = Blocks(graph, REGISTRY, plan, needs, Wishes(outputs))
    held = holdings(blocks, Sizes(blocks, {"b": 1, "t": 1, "m": 1}))
    assert [(h.rank, h.model, h.weight_bytes) for h in held] == [
        (0, "llm", 4 * (1 + 10 + 10 + 5 + 5)),
        (1, "llm", 4 * (10 + 10 + 2 + 5 + 5)),
    ]


def test_pictures_tell_what_is_attached():
    from mmm_graph.view.text import to_text

    shown = to_text(compiled("{model: g, at: blocks, every: 2}"))
    assert "2 models" in shown and "g    adaptor.toy  default, 2 x in llm" in shown
