"""Columns of a section's data."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmm_graph.errors import InputError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.unify import shown
from mmm_graph.spec import load_spec
from tests.train.streams import GRAPH, REGISTRY, stream_spec

MIXED = "{a: {op: data.rows, weight: 3}, b: {op: data.plain}}"


def inputs(data: str, read: str = "$data.x") -> dict[str, str]:
    graph = compile_graph(stream_spec(Path(), data, read=read), REGISTRY, "train.fit")
    return {name: shown(item.type) for name, item in graph.inputs.items()}


def test_what_samples_may_lack_has_an_axis_and_owners() -> None:
    found = inputs("{op: data.rows}")
    assert (found["image"], found["image.rows"], found["x"]) == ("Image[r,1,2,2]?", "Ids[r]?", "Embeds[b,3]")


def test_what_some_sources_of_a_mixture_lack_samples_lack() -> None:
    found = inputs(MIXED)
    assert found["number"] == "Ids[b]"
    assert (found["ids"], found["labels"], found["ids.rows"]) == ("Ids[r_b,t]?", "Ids[r_b,t]?", "Ids[r_b]?")


def test_sources_are_side_by_side_when_their_names_are_read() -> None:
    found = inputs(MIXED, "$data.b.x")
    assert {"a.x", "a.image.rows", "b.number"} <= found.keys()
    assert "x" not in found


def test_each_and_packing_change_columns() -> None:
    assert inputs("{op: data.rows, each: bright}")["image"] == "Image[r,1,2,2]?"
    # x has no length, and so is not in a packed row
    text = "{op: data.rows, pack: 16}"
    with pytest.raises(InputError, match=r"E202.*'x' in \$data"):
        inputs(text)


def test_rows_that_some_samples_lack_are_not_those_of_all() -> None:
    nodes = (
        "grey: {op: toy.grey, in: {image: $data.image}}\n"
        "        size: {op: loss.mse, in: {pred: grey, target: TARGET}}"
    )
    text = GRAPH.replace("DATA", "{op: data.rows}").replace("size: {op: loss.size, in: {pred: p}}", nodes)
    both = load_spec(text.replace("TARGET", "grey"))
    compile_graph(both, REGISTRY, "train.fit")
    with pytest.raises(InputError, match=r"E205.*size.target.*Embeds\[r,2\], got Embeds\[b,2\]"):
        compile_graph(load_spec(text.replace("TARGET", "$data.two")), REGISTRY, "train.fit")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("{op: data.rows, each: heavy}", r"E825\] heavy: .*body has weights"),
        ("{op: data.rows, each: total}", r"E825\] total: output 'value' \(Scalar\) .*not one row for each"),
        ("{op: data.rows, each: brihgt}", r"E209\] `each:`: there is no subgraph 'brihgt'"),
        ("{op: data.plain, each: bright}", r"E204\].*'image'"),
        ("{op: data.plain, pack: 8}", r"E827\] `pack:` needs Ids"),
        (
            "{a: {op: data.rows}, b: {op: data.wide}}",
            r"E826\] column 'x' is Embeds\[b,4\] in b and Embeds\[b,3\]",
        ),
        ("{number: {op: data.line}, b: {op: data.rows}}", r"E826\] 'number' is a source .* and a column"),
        ("{op: data.rows, weight: 2}", r"E209\] `weight:`"),
    ],
    ids=["weights", "no rows", "no graph", "no column", "no length", "types", "name", "weight"],
)
def test_what_does_not_fit_is_refused(data: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        inputs(data)
