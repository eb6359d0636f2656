"""`...` in the ports of a node type: as many axes as the links bring."""

from __future__ import annotations

import pytest

from mmm_graph.errors import InputError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.unify import shown
from mmm_graph.registry import load_registry, op_type
from mmm_graph.spec import load_spec
from mmm_graph.spec.ports import has_rest, parse_port

HEAD = """\
mmm: 1
name: rest
inputs: {picture: "Latents[b,4,8,9]", other: "Latents[b,2,8,9]", clip: "Latents[b,4,f,8,9]", more: "Latents[b,2,f,8,9]"}
models: {guide: {kind: guidance.cfg, config: {scale: 2}}}
nodes:
"""


def compiled(node):
    return compile_graph(load_spec(f"{HEAD}  made: {node}\noutputs: {{made: made}}\n"), load_registry())


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("{op: latents.concat, in: {x: $in.picture, beside: $in.other}}", "Latents[b,n,8,9]"),
        ("{op: latents.concat, in: {x: $in.clip, beside: $in.more}}", "Latents[b,n,f,8,9]"),
        ("{call: guide.combine, in: {branches: [$in.clip, $in.clip]}}", "Latents[b,4,f,8,9]"),
    ],
)
def test_all_ports_of_a_node_have_the_axes_of_its_links(node, expected):
    assert shown(compiled(node).node("made").outputs["x" if "op" in node else "pred"]) == expected


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ("{op: latents.concat, in: {x: $in.clip, beside: $in.other}}", "4 dims against 5"),
        ("{op: latents.concat, in: {x: $in.clip, beside: $in.nothing}}", "there is no 'nothing'"),
    ],
)
def test_links_that_differ_are_refused(node, message):
    with pytest.raises(InputError, match=message):
        compiled(node)


def test_it_belongs_to_ports_of_plugins_and_stands_once():
    with pytest.raises(InputError, match=r"E205(.|\n)*write every axis"):
        compile_graph(
            load_spec(HEAD.replace("[b,4,f,8,9]", "[b,...]").replace("nodes:", "nodes: {}")), load_registry()
        )
    op = op_type("latents.any", "a:b", x="Latents[b,...,w]", returns={"x": "Latents[b,...,w]"})
    assert has_rest(op.inputs["x"]) and str(op.inputs["x"]) == "Latents[b,...,w]"
    with pytest.raises(ValueError, match="more than once"):
        parse_port("Latents[...,...]")
    with pytest.raises(ValueError, match="cannot read the dim"):
        parse_port("Latents[2*...]")
