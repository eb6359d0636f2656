"""Includes: names get a prefix, references follow, and nothing outside the folder is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmm_graph.errors import InputError
from mmm_graph.spec import dump_spec, load_spec

GRAPHS = Path(__file__).parent / "graphs"

INNER = """\
mmm: 1
params: {n: {type: int, default: 3}, kind: {type: kind, default: llm.tiny}}
inputs: {text: "Text[b]"}
include: {deep: deep.yaml}
models:
  llm:
    kind: $params.kind
    weights: "file:w/llm"
    attach: [{model: extra}, {lora: "file:lora.safetensors", scale: $params.n}]
  extra:
    kind: adaptor.x
    weights: "hf:org/repo@1/sub"
    config: {steps: [$params.n], path: "file:a/"}
    use: {base: llm}
graphs:
  ask:
    in: {x: "Ids[b,t]"}
    models: [tok]
    nodes:
      t:    {call: tok.encode, in: {x: $in.x}}
      own:  {call: llm.embed, in: {x: t}, config: {n: $params.n}, when: $params.n}
      used: {op: llm.generate, use: {llm: llm, tok: tok}, in: {x: own}}
      sub:  {graph: other, use: {tok: tok}, in: {x: used}}
      far:  {graph: deep.g, in: {x: own}}
      loop: {loop: {max: $params.n, nodes: {s: {call: llm, in: {x: own}}}}}
    out: {y: sub}
  other: {models: [tok], nodes: {a: {call: tok}}, out: {y: a}}
nodes: {ask: {graph: ask, in: {x: $in.text}, use: {tok: llm}}}
outputs: {y: ask}
"""
DEEP = """\
mmm: 1
models: {m: {kind: a.b, weights: "file:m.safetensors"}}
graphs: {g: {nodes: {c: {call: m.run}}, out: {y: c}}}
"""
OUTER = 'mmm: 1\ninclude: {sd: "parts/inner.yaml"}\nnodes: {a: {call: sd.llm.embed}, b: {graph: sd.ask}}\n'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "inner.yaml").write_text(INNER)
    (tmp_path / "parts" / "deep.yaml").write_text(DEEP)
    (tmp_path / "outer.yaml").write_text(OUTER)
    return tmp_path


def test_names_and_references_get_the_prefix(folder):
    spec = load_spec(folder / "outer.yaml")
    assert spec.values == {"sd.n": 3, "sd.kind": "llm.tiny"}
    assert list(spec.inputs) == []
    assert list(spec.nodes) == ["a", "b"]
    assert spec.include == {}
    llm, extra = spec.models["sd.llm"], spec.models["sd.extra"]
    assert (llm.kind, llm.weights) == ("$params.sd.kind", "file:parts/w/llm")
    assert [(a.model, a.lora, a.scale) for a in llm.attach] == [
        ("sd.extra", None, 1.0), (None, "file:parts/lora.safetensors", "$params.sd.n"),
    ]  # fmt: skip
    assert (extra.weights, extra.use) == ("hf:org/repo@1/sub", {"base": "sd.llm"})
    assert extra.config == {"steps": ["$params.sd.n"], "path": "file:parts/a/"}
    nodes = spec.graphs["sd.ask"].nodes
    assert [nodes["t"].call, nodes["own"].call, nodes["sub"].graph, nodes["far"].graph] == [
        "tok.encode", "sd.llm.embed", "sd.other", "sd.deep.g",
    ]  # fmt: skip
    assert nodes["own"].config == {"n": "$params.sd.n"}
    assert nodes["own"].when == "$params.sd.n"
    assert (nodes["used"].use, nodes["sub"].use) == ({"llm": "sd.llm", "tok": "tok"}, {"tok": "tok"})
    assert (nodes["loop"].loop.max, nodes["loop"].loop.nodes["s"].call) == ("$params.sd.n", "sd.llm")
    assert nodes["sub"].in_ == {"x": "used"}
    assert spec.models["sd.deep.m"].weights == "file:parts/m.safetensors"
    assert spec.graphs["sd.deep.g"].nodes["c"].call == "sd.deep.m.run"


def test_places_are_those_of_the_included_file(folder):
    spec = load_spec(folder / "outer.yaml")
    place = spec.place("graphs", "sd.ask", "nodes", "own", "call")
    assert (place.file, place.line, place.col) == (str(folder / "parts" / "inner.yaml"), 21, 20)
    assert spec.place("models", "sd.deep.m").file == str(folder / "parts" / "deep.yaml")
    assert spec.place("nodes", "a").file == str(folder / "outer.yaml")


def test_a_dump_needs_no_included_file(folder, tmp_path_factory):
    spec = load_spec(folder / "outer.yaml")
    assert load_spec(dump_spec(spec), base=tmp_path_factory.mktemp("empty")) == spec


def test_params_and_keys_of_included_files_can_be_set(folder):
    spec = load_spec(
        folder / "outer.yaml",
        sets={"sd.n": "5", "models.sd.llm.dtype": "bf16"},
        params={"sd.kind": "llm.big"},
    )
    assert spec.values == {"sd.n": 5, "sd.kind": "llm.big"}
    assert spec.models["sd.llm"].dtype == "bf16"


def test_the_same_file_twice(folder):
    text = "mmm: 1\ninclude: {a: parts/deep.yaml, b: parts/deep.yaml}\n"
    assert list(load_spec(text, base=folder).models) == ["a.m", "b.m"]


def test_nextgpt():
    spec = load_spec(GRAPHS / "nextgpt.yaml")
    assert {"sd.vae", "zs.unet", "al.vae"} < spec.models.keys()
    assert {"sd.draw", "sd.embed", "zs.draw", "al.draw", "hear"} == spec.graphs.keys()


def message(folder, text=None):
    with pytest.raises(InputError) as found:
        load_spec(folder / "outer.yaml" if text is None else text, base=folder)
    return str(found.value).replace(str(folder), "DIR")


def test_errors_stand_in_the_included_file(folder):
    (folder / "parts" / "inner.yaml").write_text("mmm: 1\nmodels:\n  a: {knd: x}\n")
    (folder / "outer.yaml").write_text("mmm: 1\ninclude: {sd: parts/inner.yaml}\nnodes: {a: {}}\n")
    assert message(folder).splitlines() == [
        "DIR/parts/inner.yaml:3:6 error[E111] models.a: the key `kind:` is missing",
        "DIR/parts/inner.yaml:3:7 error[E110] unknown key 'knd' in models.a",
        "    hint: did you mean kind?",
        "DIR/outer.yaml:3:12 error[E114] nodes.a: a node has one of `call:`, `op:`, `graph:`, `loop:`; "
        "found none of them",
    ]
    (folder / "parts" / "inner.yaml").write_text("mmm: 1\nmodels: {m: {kind: a.b, dtype: $params.none}}\n")
    assert "DIR/parts/inner.yaml:2:32 error[E301] there is no param 'sd.none'" in message(folder)
    (folder / "parts" / "inner.yaml").write_text("mmm: [1\n")
    assert "DIR/parts/inner.yaml:2:1 error[E102] is not YAML" in message(folder)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("/etc/passwd", "expects a path from the folder of this file, got '/etc/passwd'"),
        ("http://host/x.yaml", "expects a path from the folder of this file, got 'http://host/x.yaml'"),
        ("no.yaml", "there is no file DIR/no.yaml"),
        ("parts", "there is no file DIR/parts"),
        ("x" * 5000, "'" + "x" * 57 + "...' cannot be read"),
    ],
)
def test_files_that_may_not_be_included(folder, file, reason):
    assert message(folder, f"mmm: 1\ninclude: {{a: '{file}'}}\n").startswith(
        f"<text>:2:14 error[E120] include.a: {reason}"
    )


def test_a_file_of_another_folder_brings_its_own_files_with_it(folder):
    """As `weights:` may, an include may go up."""
    (folder / "worlds").mkdir()
    inner = 'mmm: 1\nmodels: {m: {kind: a.b, weights: "file:w/m.safetensors"}}\n'
    (folder / "parts" / "one.yaml").write_text(inner)
    outer = folder / "worlds" / "outer.yaml"
    outer.write_text("mmm: 1\ninclude: {p: ../parts/one.yaml}\n")
    assert load_spec(outer).models["p.m"].weights == "file:../parts/w/m.safetensors"
    (folder / "parts" / "one.yaml").write_text("mmm: 1\ninclude: {o: ../worlds/outer.yaml}\n")
    with pytest.raises(InputError, match=r"include\.o: '\.\./worlds/outer\.yaml' includes itself"):
        load_spec(outer)


def test_cycles(folder):
    (folder / "a.yaml").write_text("mmm: 1\ninclude: {b: b.yaml}\n")
    (folder / "b.yaml").write_text("mmm: 1\ninclude: {a: a.yaml}\n")
    with pytest.raises(InputError) as found:
        load_spec(folder / "a.yaml")
    text = str(found.value).replace(str(folder), "DIR")
    assert (
        text == "DIR/b.yaml:2:14 error[E120] include.a: 'a.yaml' includes itself: a.yaml -> b.yaml -> a.yaml"
    )


def test_many_includes_are_bounded(folder):
    for i in range(12):
        (folder / f"f{i}.yaml").write_text(f"mmm: 1\ninclude: {{a: f{i + 1}.yaml, b: f{i + 1}.yaml}}\n")
    (folder / "f12.yaml").write_text(DEEP)
    assert "more than 64 files are included" in message(folder, "mmm: 1\ninclude: {a: f0.yaml}\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("include: [a]\n", "<text>:2:10 error[E112] include: expects a mapping, got a list"),
        ("include: {a: 3}\n", "<text>:2:14 error[E112] include.a: expects text, got 3"),
        ("include: {A: parts/deep.yaml}\n", "<text>:2:11 error[E113] include.A: 'A' is not a name"),
        ("include: {a: parts/deep.yaml}\nmodels: {a.m: {kind: x.y}}\n",
         "<text>:3:10 error[E121] models.a.m: an included file has that name too"),
        ("include: {a: parts/deep.yaml}\nmodels: [x]\n",
         "<text>:3:9 error[E112] models: expects a mapping, got a list"),
    ],
)  # fmt: skip
def test_wrong_includes(folder, text, expected):
    assert message(folder, "mmm: 1\n" + text).startswith(expected)
