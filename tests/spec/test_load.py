"""Whole files: the shipped examples load, wrong ones say what is wrong and where, all at once."""

from __future__ import annotations

import copy
import random
from pathlib import Path

import pytest

from mmm_graph.errors import InputError
from mmm_graph.spec import dump_tree, load_spec, load_tree, with_values

GRAPHS = Path(__file__).parent / "graphs"
SHIPPED = sorted([*GRAPHS.glob("*.yaml"), *(Path(__file__).parents[2] / "graphs").rglob("*.yaml")])


def message(text, **options):
    with pytest.raises(InputError) as found:
        load_spec(text, **options)
    assert found.value.status == 2
    return str(found.value)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_shipped_graphs_load(path):
    spec = load_spec(path)
    assert (spec.file, spec.base) == (str(path), path.parent)
    for name in spec.models:
        assert spec.place("models", name).line > 0
    assert load_spec(dump_tree(spec)) == spec


def test_text_mappings_and_files_mean_the_same(tmp_path):
    text = "mmm: 1\nmodels: {a: {kind: x.y}}\n"
    (tmp_path / "g.yaml").write_text(text)
    (tmp_path / "g.json").write_text('{"mmm": 1, "models": {"a": {"kind": "x.y"}}}')
    sources = [text, "{mmm: 1, models: {a: {kind: x.y}}}", {"mmm": 1, "models": {"a": {"kind": "x.y"}}}]
    specs = [load_spec(x) for x in (*sources, tmp_path / "g.yaml", str(tmp_path / "g.json"))]
    assert all(spec == specs[0] for spec in specs)
    assert len({hash(spec) for spec in specs}) == 1
    assert [spec.file for spec in specs] == [
        "<text>",
        "<text>",
        "<memory>",
        *map(str, (tmp_path / "g.yaml", tmp_path / "g.json")),
    ]


BAD = {
    "nothing": ("\n", "<text> error[E108] is empty\n    hint: a graph file starts with `mmm: 1`"),
    "a list": ("- a\n", "<text>:1:1 error[E112] expects a mapping, got a list"),
    "no version": (
        "name: a\n",
        "<text>:1:1 error[E111] the key `mmm:` is missing\n    hint: a graph file starts with `mmm: 1`",
    ),
    "another version": (
        "mmm: 2\n",
        "<text>:1:6 error[E112] mmm: expects 1, the version of the format, got 2\n"
        "    hint: the file may be for a newer version of this program",
    ),
    "a Boolean version": ("mmm: true\n", "<text>:1:6 error[E112] mmm: expects 1, the version of the format, got true"),
    "unknown key": ("mmm: 1\nnods: {}\n",
        "<text>:2:1 error[E110] unknown key 'nods'\n    hint: did you mean nodes or models?"),
    "unknown key inside": (
        "mmm: 1\nmodels:\n  a: {kind: a.b, wieghts: x}\n",
        "<text>:3:18 error[E110] unknown key 'wieghts' in models.a\n    hint: did you mean weights?",
    ),
    "unknown key of a short form": (
        "mmm: 1\noutputs: {a: {from: x, typ: Text}}\n",
        "<text>:2:24 error[E110] unknown key 'typ' in outputs.a\n    hint: did you mean type?",
    ),
    "wrong type": ("mmm: 1\nmodels:\n  a: {kind: 3}\n", "<text>:3:13 error[E112] models.a.kind: expects text, got 3"),
    "a dtype": (
        "mmm: 1\nmodels: {a: {kind: x.y, dtype: fp16}}\n",
        "<text>:2:32 error[E112] models.a.dtype: expects f64, f32, f16, bf16 or $params.x, got 'fp16'",
    ),
    "not a mapping": ("mmm: 1\nmodels: [a]\n", "<text>:2:9 error[E112] models: expects a mapping, got a list"),
    "alternatives": (
        "mmm: 1\nparallel: {plans: {p: {ranks: 1, loops: {x: {warmup: most}}}}}\n",
        "<text>:2:54 error[E112] parallel.plans.p.loops.x.warmup: expects an integer or 'all', got 'most'",
    ),
    "out of range": (
        "mmm: 1\nparallel: {plans: {p: {ranks: 0}}}\n",
        "<text>:2:31 error[E112] parallel.plans.p.ranks: expects at least 1, got 0",
    ),
    "a name": (
        "mmm: 1\nnodes:\n  In: {op: a.b}\n",
        "<text>:3:3 error[E113] nodes.In: 'In' is not a name\n"
        "    hint: a name is letters, digits and _, and starts with a small letter or _",
    ),
    "a reserved name": (
        "mmm: 1\nmodels:\n  each: {kind: a.b}\n",
        "<text>:3:3 error[E113] models.each: the name 'each' is reserved\n"
        "    hint: reserved: carry, data, each, in, params",
    ),
    "two forms": (
        "mmm: 1\nnodes:\n  a: {op: a.b, call: c}\n",
        "<text>:3:11 error[E114] nodes.a.op: a node has one of `call:`, `op:`, `graph:`, `loop:`; "
        "found `call:` and `op:`",
    ),
    "no form": (
        "mmm: 1\nnodes:\n  a: {in: {x: y}}\n",
        "<text>:3:6 error[E114] nodes.a: a node has one of `call:`, `op:`, `graph:`, `loop:`; found none of them",
    ),
    "config of a subgraph": (
        "mmm: 1\nnodes:\n  a: {graph: g, config: {x: 1}}\n",
        "<text>:3:25 error[E114] nodes.a.config: a node with `graph:` has no `config:`\n"
        "    hint: a subgraph has no config of its own; its nodes read `$params.x`",
    ),
    "a literal as input": (
        "mmm: 1\nnodes:\n  a: {op: a.b, in: {x: 3}}\n",
        "<text>:3:24 error[E116] nodes.a.in.x: expects a link, a list or a mapping of links; "
        "literals go under `config:`",
    ),
    "a param as input": (
        "mmm: 1\nparams: {z: {type: int}}\nnodes:\n  a: {op: a.b, in: {x: [u, $params.z]}}\n",
        "<text>:4:28 error[E116] nodes.a.in.x.1: '$params.z' is a param, not a link\n"
        "    hint: params go under `config:`",
    ),
    "a loop in a loop": (
        "mmm: 1\nnodes:\n  a:\n    loop:\n      max: 2\n      nodes:\n        b: {loop: {nodes: {}}}\n",
        "<text>:7:19 error[E115] nodes.a.loop.nodes.b.loop: a loop needs `each:` or `max:`\n"
        "    hint: write `each: {i: node.port}` or `max: 100`",
    ),
    "a carry": (
        "mmm: 1\nnodes:\n  c: {loop: {max: 3, carry: {x: y}, nodes: {}}}\n",
        "<text>:3:33 error[E115] nodes.c.loop.carry.x: the carry 'x' has no next value\n"
        "    hint: say under `next:` which value of the body the next turn gets",
    ),
    "a port type": (
        "mmm: 1\ninputs: {a: 'Image[b'}\n",
        "<text>:2:13 error[E117] inputs.a: cannot read the port type 'Image[b'; "
        "expected Kind[dims]{tag}? as in Image[b,3,h,w]",
    ),
    "a type of a subgraph": (
        "mmm: 1\ngraphs: {g: {in: {x: text}, nodes: {}, out: {}}}\n",
        "<text>:2:22 error[E117] graphs.g.in.x: cannot read the port type 'text'; "
        "expected Kind[dims]{tag}? as in Image[b,3,h,w]",
    ),
    "a default": (
        "mmm: 1\nparams:\n  h: {type: int, default: 9, multiple_of: 8}\n",
        "<text>:3:27 error[E302] params.h.default: the default expects a multiple of 8, got 9",
    ),
    "a secret": (
        "mmm: 1\nparams:\n  key: {type: secret, default: x}\n",
        "<text>:3:32 error[E303] params.key.default: a secret has no default\n    hint: give its value when running",
    ),
    "an unknown param": (
        "mmm: 1\nparams: {steps: {type: int}}\nnodes: {a: {op: a.b, config: {n: [{m: $params.stps}]}}}\n",
        "<text>:3:39 error[E301] there is no param 'stps'\n    hint: did you mean steps?",
    ),
    "an input as param": (
        "mmm: 1\ninputs: {prompt: 'Text[b]'}\nmodels: {a: {kind: $params.prompt}}\n",
        "<text>:3:20 error[E301] 'prompt' is an input, not a param\n    hint: link to it by `in: {port: $in.prompt}`",
    ),
    "one namespace": (
        "mmm: 1\nparams: {steps: {type: int}}\ninputs: {steps: 'Text[b]'}\n",
        "<text>:3:10 error[E304] 'steps' is an input and a param; they share one namespace",
    ),
    "attach": (
        "mmm: 1\nmodels: {a: {kind: x.y, attach: [{at: blocks}]}}\n",
        "<text>:2:34 error[E118] models.a.attach.0: attach takes exactly one of `model:` and `lora:`",
    ),
    "attach a LoRA with keys of models": (
        "mmm: 1\nmodels: {a: {kind: x.y, attach: [{lora: 'file:x', every: 2}]}}\n",
        "<text>:2:58 error[E118] models.a.attach.0.every: attach with `lora:` has no `every:`\n    hint: leave it out",
    ),
    "how to train": (
        "mmm: 1\ntrain: {stages: {s: {train: {m: half}}}}\n",
        "<text>:2:33 error[E801] train.stages.s.train.m: expects one of full, {lora: ...}, "
        "{rows: [...]}, {parts: [...]}, "
        "got 'half'",
    ),
    "how long to train": (
        "mmm: 1\ntrain: {stages: {s: {steps: 1, epochs: 2}}}\n",
        "<text>:2:40 error[E802] train.stages.s.epochs: a stage has `steps:` or `epochs:`, not both",
    ),
    "extends": (
        "mmm: 1\ntrain: {stages: {a: {extends: bb}, b: {}}}\n",
        "<text>:2:31 error[E804] train.stages.a.extends: there is no stage 'bb'\n    hint: did you mean b?",
    ),
    "a key of a source": (
        "mmm: 1\neval: {q: {data: {op: a.b, confg: {}}, nodes: {}, metrics: {}}}\n",
        "<text>:2:28 error[E110] unknown key 'confg' in eval.q.data\n    hint: did you mean config?",
    ),
    "a rank": (
        "mmm: 1\nparallel: {plans: {p: {ranks: 2, stages: [{ranks: [0, 2], place: [a]}]}}}\n",
        "<text>:2:55 error[E503] parallel.plans.p.stages.0.ranks.1: there is no rank 2; the plan has ranks 0 to 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_wrong_files(case):
    text, expected = BAD[case]
    assert message(text) == expected


def test_all_problems_at_once_in_order():
    text = (
        "mmm: 1\nnam: x\nmodels:\n  a: {kind: 3}\n  a: {kind: b.c}\n  b: {kind: $params.k, dtype: .inf}\n"
        "nodes:\n  X: {call: a}\n  y: {}\noutputs: {o: [y]}\n"
    )
    assert [line.split("]")[0] for line in message(text).splitlines() if "hint" not in line] == [
        "<text>:2:1 error[E110", "<text>:4:13 error[E112", "<text>:5:3 error[E103", "<text>:6:13 error[E301",
        "<text>:6:31 error[E107", "<text>:8:3 error[E113", "<text>:9:6 error[E114", "<text>:10:14 error[E112",
    ]  # fmt: skip


def test_many_problems_are_bounded():
    text = "mmm: 1\nmodels:\n" + "".join(f"  a{i}: {{knd: x}}\n" for i in range(3000))
    assert len(message(text)) < 30_000


@pytest.mark.parametrize("source", ["no.yaml", Path("no.yaml"), "", ".", "a\0b", "x" * 9000])
def test_files_that_are_not_there(source):
    assert "error[E101]" in message(source)


JUNK = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    float("inf"),
    "",
    "x",
    "$params.zz",
    "$in.q",
    [],
    {},
    [[1]],
    {"a": {"b": 1}},
    "a" * 5000,
]


def paths(value, path=()):
    yield path
    if isinstance(value, (dict, list)):
        for step, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(item, (*path, step))


def get(value, path):
    for step in path:
        value = value[step]
    return value


def mutate(tree, rng):
    tree = copy.deepcopy(tree)
    path = rng.choice([p for p in paths(tree) if p])
    owner, last = get(tree, path[:-1]), path[-1]
    action = rng.randrange(4)
    if action == 0:
        del owner[last]
    elif action == 1:
        owner[last] = copy.deepcopy(rng.choice(JUNK))
    elif action == 2 and isinstance(owner, dict):
        owner[rng.choice(["q", "in", "from", "a.b", "", "s" * 300])] = owner.pop(last)
    else:
        owner[last] = copy.deepcopy(get(tree, rng.choice(list(paths(tree)))))
    return tree


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_mutated_trees_load_or_are_refused(path):
    rng, tree = random.Random(7), load_tree(path).value
    for _ in range(40):
        try:
            spec = load_spec(mutate(tree, rng), base=path.parent)
        except InputError as error:
            assert error.problems
        else:
            assert load_spec(dump_tree(spec), base=path.parent) == spec


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_mutated_texts_load_or_are_refused_with_a_place(path):
    rng, text = random.Random(8), path.read_text()
    for _ in range(40):
        start = rng.randrange(len(text))
        stop = start + rng.randrange(30)
        made = (
            text[:start]
            + rng.choice(["", "[" * 200, "{", "'", "\t", ": ", "&a ", "*a", "\n", text[start:stop] * 3])
            + text[stop:]
        )
        try:
            load_spec(made, base=path.parent)
        except InputError as error:
            assert all(p.place is not None for p in error.problems)


def test_values_may_be_given_later_without_reading_again(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text('mmm: 1\nparams: {n: {type: int, default: 1, max: 9}}\ninputs: {t: "Text[b]"}\n')
    spec = load_spec(path, sets={"t": "x"})
    path.unlink()
    later = with_values(spec, {"n": 5})
    assert (later.values, later.given, later.origins) == ({"n": 5}, {"t": "x"}, {"n": "python", "t": "--set"})
    assert (later, spec.values) == (spec, {"n": 1})
    with pytest.raises(InputError) as found:
        with_values(spec, {"n": 10, "m": 1})
    assert [p.code for p in found.value.problems] == ["E302", "E305"]
