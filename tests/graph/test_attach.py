"""`attach: [{model: ...}]`: what is refused, at its place."""

from __future__ import annotations

import pytest

from mmm_graph.errors import InputError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.registry import method, model_type, registry_of
from mmm_graph.spec import load_spec
from tests.graph.attach_types import HEAD, LOGITS, REGISTRY, GuestConfig, guest_parts

G = "  g: {kind: adaptor.toy, init: default}\n"
SECOND = G + "  g2: {kind: adaptor.toy, init: default}\n"


def problems(attach, old="", new="", body=LOGITS):
    text = HEAD.replace("ATTACH", attach)
    assert old in text
    with pytest.raises(InputError) as caught:
        compile_graph(load_spec((text.replace(old, new) if old else text) + body), REGISTRY)
    return [f"{p.place.line}:{p.place.col} {p.code} {p.message}" for p in caught.value.problems]


REFUSED = [
    ("{model: g}", "", "", "6:48 E216 llm: `at:` of g is missing"),
    ("{model: g, at: layers}", "", "", "6:63 E216 llm: `at:` of g is 'layers'"),
    ("{model: f, at: blocks}", "", "", "6:56 E209 llm: there is no model 'f'"),
    (
        "{model: g, at: blocks, every: 5}",
        "",
        "",
        "6:48 E216 llm: every: 5 and offset: 0 of g are beyond its 4 blocks",
    ),
    (
        "{model: g, at: blocks, offset: 4}",
        "",
        "",
        "6:48 E216 llm: every: 1 and offset: 4 of g are beyond its 4 blocks",
    ),
    (
        "{model: g, at: blocks}",
        "adaptor.toy",
        "adaptor.other",
        "6:56 E217 llm: g (adaptor.other) cannot stand between the blocks of another model",
    ),
    (
        "{model: g, at: blocks}",
        "llm.toy",
        "llm.whole",
        "6:58 E217 llm: llm (llm.whole) has no blocks with a state 'h' between them for g",
    ),
    (
        "{model: g, at: blocks}",
        "adaptor.toy,",
        "adaptor.toy, config: {width: 9},",
        "6:56 E217 llm: g works on h: Embeds[b,t,9], but that of llm is Embeds[b,t,8]",
    ),
    (
        "{model: g, at: blocks}",
        "adaptor.toy,",
        "adaptor.part, config: {tail: true},",
        "6:48 E217 llm: adaptor.part.forward does not run through all parts of g in order",
    ),
    (
        "{model: llm, at: blocks}",
        "llm.toy",
        "adaptor.toy",
        "6:60 E218 llm: llm cannot be attached and have models attached to it",
    ),
    (
        "{model: g, at: blocks}, {model: g, at: blocks}",
        "",
        "",
        "6:80 E218 llm: g is attached to llm already",
    ),
    (
        "{model: g, at: blocks}, {model: g2, at: blocks}",
        G,
        SECOND,
        "7:80 E217 llm: g2 and g both have an input 'media', of sizes of their own",
    ),
    (
        "{model: g, at: blocks}",
        "adaptor.toy,",
        "adaptor.toy, offload: true,",
        "6:56 E525 llm: g is attached to llm, so that it cannot be offloaded",
    ),
]


@pytest.mark.parametrize(("attach", "old", "new", "message"), REFUSED)
def test_what_cannot_be_attached(attach, old, new, message):
    assert problems(attach, old, new) == [message]


@pytest.mark.parametrize("host_first", [True, False])
def test_guests_have_no_guests(host_first):
    g = G.replace("init: default", "init: default, attach: [{model: g2, at: blocks}]")
    g2 = G.replace("g:", "g2:")
    head = HEAD.replace("ATTACH", "{model: g, at: blocks}").replace(G, "")
    models = g2 + g if not host_first else g2
    text = head.replace("models:\n", f"models:\n{models}")
    text = text.replace("nodes:", f"{g}nodes:") if host_first else text
    with pytest.raises(InputError) as caught:
        compile_graph(load_spec(text + LOGITS), REGISTRY)
    codes = [(p.code, p.message) for p in caught.value.problems]
    who = "g" if host_first else "llm"
    assert ("E218", f"{who}: g cannot be attached and have models attached to it") in codes
    assert all(code in ("E217", "E218") for code, _ in codes)


def test_inputs_of_guests_are_asked_for():
    body = "  y: {call: llm, in: {x: $in.x}}\noutputs: {y: y}\n"
    assert problems("{model: g, at: blocks}", body=body) == [
        "8:22 E204 y: input 'index' (Ids[b,t]) is not linked"
    ]
    assert problems("", body=LOGITS)[0] == "8:33 E203 y.media: there is no such input"


def test_a_guest_cannot_be_called_by_itself():
    body = LOGITS.replace("outputs", "  z: {call: g, in: {h: $in.x, index: $in.index}}\noutputs")
    message = "9:13 E218 g stands between the blocks of llm, so that nothing else can use it"
    assert problems("{model: g, at: blocks}", body=body) == [message]


def test_a_method_that_would_pass_the_guests_by_is_refused():
    body = "  y: {call: llm.score, in: {x: $in.x}}\noutputs: {y: y}\n"
    (found,) = problems("{model: g, at: blocks}", body=body)
    assert "E212 y: this method of llm.toy is no path through parts, so that g would not be run" in found


@pytest.mark.parametrize(
    ("method_", "attaches", "message"),
    [
        (
            method(h="Ids[b]", returns={"h": "Ids[b]"}),
            "forward",
            "attaches 'forward', which is no method of it that is a path",
        ),
        (
            method(h="Ids[b]", returns={"y": "Ids[b]"}, path=lambda config, call: ()),
            "forward",
            "adaptor.bad.forward must return one port, which is an input of it too",
        ),
        (method(h="Ids[b]", returns={"h": "Ids[b]"}), "backward", "attaches 'backward', which is no method"),
    ],
)
def test_declarations_that_could_not_work(method_, attaches, message):
    from mmm_graph.registry.checks import check_node_type

    bad = model_type(
        "adaptor.bad", GuestConfig, "x:y", parts=guest_parts, methods={"forward": method_}, attaches=attaches
    )
    with pytest.raises(ValueError, match=message):
        check_node_type(bad)
    assert registry_of(bad).models["adaptor.bad"].attaches == attaches
