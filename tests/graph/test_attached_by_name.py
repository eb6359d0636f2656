"""`at: parts`: a guest that is there once, each of its parts at that of the host with the same name."""

from __future__ import annotations

import pytest

from mmm_graph.errors import InputError
from mmm_graph.graph.attached import group_bounds, guest_of, guest_parts, type_of
from mmm_graph.graph.compile import compile_graph
from mmm_graph.registry import Part, method, model_type, registry_of
from mmm_graph.spec import load_spec
from tests.graph.attach_types import HOST, GuestConfig, H

NAMES = ("embed", "block2")


def parts(config):
    sizes = {"h": 5 * (config.width or 0)}
    found = tuple(Part(name, ("h", "made"), ("h",), 5, 50.0, 4, sizes=sizes) for name in NAMES)
    return (*found, Part("tail", ("h",), ("h",), 1)) if config.tail else found


GUEST = model_type(
    "adaptor.named",
    GuestConfig,
    "x:y",
    parts=parts,
    methods={
        "forward": method(
            h=H,
            made="Ids[b,t]",
            returns={"h": H},
            path=lambda config, call: tuple(part.name for part in parts(config)),
        )
    },
    attaches="forward",
)
MAKES = model_type(
    "llm.makes",
    HOST.config,
    "x:y",
    parts=lambda config: (
        Part("embed", ("x",), ("h", "made"), 1, sizes={"h": 10 * config.width}),
        *HOST.parts(config)[1:],
    ),
    state={"h": H, "made": "Ids[b,t]"},
    methods=HOST.methods,
)
REGISTRY = registry_of(HOST, MAKES, GUEST)
TEXT = """
mmm: 1
inputs: {x: "Embeds[b,t,8]"}
models:
  g: {kind: adaptor.named, init: default, config: {tail: TAIL}}
  llm: {kind: KIND, init: default, attach: [{model: g, at: parts, MORE}]}
nodes:
  y: {call: llm, in: {x: $in.x}}
outputs: {y: y}
"""


def compiled(more="side: after", kind="llm.makes", tail="false"):
    text = TEXT.replace("MORE", more).replace("KIND", kind).replace("TAIL", tail)
    return compile_graph(load_spec(text), REGISTRY)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("every: 1", "embed g_embed block0 block1 block2 g_block2 block3 head"),
        ("side: after", "embed g_embed block0 block1 block2 g_block2 block3 head"),
    ],
)
def test_parts_stand_at_those_of_their_names(more, expected):
    graph = compiled(more)
    llm, guest = graph.models["llm"], graph.models["g"]
    kind = type_of(llm, REGISTRY)
    table = kind.parts(llm.config)
    assert (
        [part.name for part in table]
        == expected.split()
        == list(kind.methods["logits"].path(llm.config, None))
    )
    assert list(kind.methods["logits"].inputs) == ["x"]
    assert next(part.flops for part in table if part.name == "g_block2") == 100.0
    assert guest.copies == 0
    assert [part.name for part in type_of(guest, REGISTRY).parts(guest.config)] == list(NAMES)
    assert guest_parts(llm, REGISTRY) == {"g_embed", "g_block2"}
    assert guest_of(llm, REGISTRY, "g_block2")[:2] == ("g", "block2")
    assert group_bounds(llm, REGISTRY) == [0, 2, 3, 4, 6, 7, 8]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"more": "every: 2"}, r"E216.*nothing to count"),
        ({"more": "side: before"}, r"E217.*nothing in it makes 'h', which embed of g reads"),
        ({"tail": "true"}, r"E216.*no part 'tail'"),
        ({"kind": "llm.toy"}, r"E204.*'made'"),
    ],
    ids=["counted", "before it is made", "no such part", "not made"],
)
def test_what_does_not_fit(wrong, message):
    with pytest.raises(InputError, match=message):
        compiled(**wrong)
