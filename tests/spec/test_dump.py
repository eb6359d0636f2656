"""A dump loads as an equal spec, and any plain value survives as YAML."""

from __future__ import annotations

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmm_graph.spec import dump_spec, dump_tree, load_spec, to_yaml
from mmm_graph.spec.files import parse_text

TEXT = """\
mmm: 1
name: "on"
params: {n: {type: int, default: 3}, token: {type: secret}}
inputs: {prompt: "Text[b]"}
models: {m: {kind: a.b, config: {path: "file:x", lr: "1e-3", s: "12:30", e: "", f: 1e-5, l: [], d: {}}}}
nodes: {n: {op: a.b, in: {x: [$in.prompt]}, when: $params.n}}
outputs: {o: n}
train: {stages: {s: {loss: {l: n}, train: {m: full}, ema: 0.9}}}
"""


def test_the_dump_is_equal_and_short():
    spec = load_spec(TEXT, sets={"models.m.dtype": "bf16"}, params={"token": "hunter2", "n": 4})
    text = dump_spec(spec)
    assert load_spec(text) == spec
    assert load_spec(json.loads(json.dumps(dump_tree(spec)))) == spec
    assert "dtype: bf16" in text
    assert "hunter2" not in text
    assert not any(word in text for word in ("quantize", "weight", "accumulate", "!!", "&"))
    assert text.startswith("mmm: 1\n")


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(["1e-3", "on", "0x1f", "0o7", "~", "null", "True", "=", "<<", "- a", "a: b", "#", "$params.x",
        ".inf"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab1 :~tru", max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(plain)
@example("\x85")
@example("a\u2028b\u2029")
def test_plain_values_survive(value):
    assert parse_text(to_yaml({"value": value})).value == {"value": value}
