"""Graph files against a toy registry: what they compile to, and the exact errors of what does not."""

from __future__ import annotations

import pytest

from mmm_graph.errors import InputError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.graph import Loop, Ref, links
from mmm_graph.graph.sections import compile_all
from mmm_graph.graph.unify import shown
from mmm_graph.spec import load_spec
from tests.graph.registry import REGISTRY

HEAD = """\
mmm: 1
name: toy
params: {steps: {type: int, default: 3}, size: {type: int, default: 64}, on: {type: bool, default: true}}
inputs: {prompt: "Text[b]", negative: {type: "Text[b]", default: ""}}
models:
  text: {kind: encoder.text}
  link: {kind: adaptor.linear}
  vae:  {kind: vae.toy}
  net:  {kind: denoiser.toy}
  guide: {kind: guidance.two}
graphs:
  read:
    in: {text: "Text[b]"}
    nodes:
      enc: {call: text, in: {text: $in.text}}
    out: {embeds: enc.embeds, pooled: enc.pooled}
"""
BODY = """\
nodes:
  image: {call: vae.decode, in: {latents: draw}}
  draw:  {op: denoise, use: {denoiser: net, guidance: guide}, in: {x: noise, times: times, cond: cond}}
  times: {op: clock, config: {steps: $params.steps}}
  noise: {call: vae.noise, config: {height: $params.size, width: 32}, in: {like: $in.prompt}}
  cond:  {graph: read, in: {text: $in.prompt}}
outputs: {image: {from: image, type: "Image[b,3,h,w]", save: {format: png}}}
"""


def compiled(nodes, outputs="{}", head=HEAD, **overrides):
    text = f"{head}nodes:\n{nodes}\noutputs: {outputs}\n"
    return compile_graph(load_spec(text, **overrides), REGISTRY)


def problems(nodes, outputs="{x: n}"):
    with pytest.raises(InputError) as caught:
        compiled(nodes, outputs)
    return [f"{p.place.line}:{p.place.col} {p.code} {p.message}" for p in caught.value.problems]


def test_the_whole_is_ordered_inlined_and_typed():
    graph = compile_graph(load_spec(HEAD + BODY), REGISTRY)
    paths = [n.path for n in graph.nodes]
    assert set(paths) == {"cond/enc", "times", "noise", "draw/loop", "image"}
    assert paths.index("cond/enc") < paths.index("draw/loop") < paths.index("image")
    loop = graph.node("draw/loop")
    assert isinstance(loop, Loop) and loop.count == 3 and [n.path for n in loop.body][-1] == "draw/loop/merge"
    assert shown(graph.outputs["image"].type) == "Image[b,3,64,32]"
    assert graph.aliases["cond.embeds"] == Ref("cond/enc", "embeds")
    assert graph.node("draw/loop/p0").inputs == {
        "x": Ref("$carry", "x"),
        "cond.embeds": Ref("cond/enc", "embeds"),
    }
    assert graph.node("draw/loop/merge").facts == {"x.prediction": "epsilon"}
    assert set(links(loop)) == {Ref("noise", "latents"), Ref("cond/enc", "embeds")}
    assert [w.message for w in graph.warnings] == ["nothing reads input 'negative'"]


def test_params_set_the_number_of_turns_and_sizes():
    graph = compile_graph(load_spec(HEAD + BODY, params={"steps": 7, "size": 128}), REGISTRY)
    assert graph.node("draw/loop").count == 7
    assert shown(graph.outputs["image"].type) == "Image[b,3,128,32]"


def test_facts_of_a_node_itself_have_no_port():
    head = HEAD.replace("  guide:", "  rule: {kind: sampler.toy}\n  guide:")
    nodes = (
        "  z: {call: vae.noise, in: {like: $in.prompt}}\n  n: {op: solve, use: {sampler: rule}, in: {x: z}}"
    )
    assert compiled(nodes, "{x: n}", head).node("n").facts == {"rowwise": False, "x.solved": True}


def test_the_links_solve_what_a_config_leaves_out():
    graph = compiled(
        "  n: {call: link, in: {features: e}}\n  e: {call: text, in: {text: $in.prompt}}", "{x: n}"
    )
    assert graph.models["link"].config.in_dim == 48


def test_a_size_that_nothing_determines_is_an_error():
    head = HEAD.replace('inputs: {prompt: "Text[b]"', 'inputs: {f: "Embeds[b,l,d]", prompt: "Text[b]"')
    with pytest.raises(InputError, match=r"E208.*link: in_dim is neither in its config nor determined"):
        compiled("  n: {call: link, in: {features: $in.f}}", "{x: n}", head)


def test_optional_ports_and_records():
    one = "  n: {op: pair, in: {a: e}}\n  e: {call: text, in: {text: $in.prompt}}"
    assert set(compiled(one, "{x: n}").node("n").inputs) == {"a"}
    bundle = "  e: {call: text, in: {text: $in.prompt}}\n  b: {op: bundle, in: {x: e}}\n"
    call = "  z: {call: vae.noise, in: {like: e}}\n  n: {call: net, in: {x: z, cond: %s}}"
    for cond in ("b", "b.cond", "e", "{embeds: e}", "{embeds: e.embeds}"):
        node = compiled(bundle + call % cond, "{x: n}").node("n")
        assert set(node.inputs) == {"x", "cond.embeds"}, cond


def test_an_optional_subgraph_input_that_is_not_linked_is_absent():
    head = HEAD.replace('in: {text: "Text[b]"}', 'in: {text: "Text[b]", more: "Embeds[b,t,d]?"}')
    head = head.replace(
        "    out:", "      two: {op: pair, in: {a: enc, b: $in.more}}\n    out: {two: two,"
    ).replace("two, {", "two, ")
    graph = compiled("  n: {graph: read, in: {text: $in.prompt}}", "{x: n.two}", head)
    assert graph.node("n/two").inputs["b"] == Ref("$none", "more")


def test_subgraphs_bind_models_and_hide_their_names():
    head = HEAD.replace('in: {text: "Text[b]"}', 'in: {text: "Text[b]"}\n    models: [words]').replace(
        "call: text, in", "call: words, in"
    )
    graph = compiled("  n: {graph: read, use: {words: text}, in: {text: $in.prompt}}", "{x: n}", head)
    assert graph.node("n/enc").model == "text"


def test_loops_carry_collect_and_repeat_until():
    nodes = """\
  e: {call: text, in: {text: $in.prompt}}
  n:
    loop:
      max: 5
      until: f.all
      carry: {x: e.embeds}
      nodes:
        g: {op: pair, in: {a: $carry.x}}
        f: {op: flags, in: {x: g}}
      next: {x: g}
      collect: {all: {from: g.x, axis: 1}}
      stream: [all]
"""
    loop = compiled(nodes, "{x: n, all: n.all}").node("n")
    assert (loop.count, loop.limit, loop.until) == (None, 5, Ref("n/f", "all"))
    assert loop.collect == {"all": (Ref("n/g", "x"), 1)}
    assert list(loop.outputs) == ["all", "x"]
    fixed = compiled(nodes.replace("      until: f.all\n", ""), "{all: n.all}")
    assert fixed.node("n").count == 5
    assert shown(fixed.outputs["all"].type) == "Embeds[b,5*t,48]"


def test_when_by_one_flag_and_by_element():
    base = "  e: {call: text, in: {text: $in.prompt}}\n  f: {op: flags, in: {x: e}}\n"
    whole = compiled(base + "  n: {op: pair, when: f.all, in: {a: e}}", "{x: n}")
    assert whole.node("n").when == Ref("f", "all")
    each = compiled(base + "  n: {op: pair, when: f.each, in: {a: e}}", "{x: n}")
    assert each.node("n").inputs["a"].source == "n/take.e.embeds"
    assert each.outputs["x"].owners == Ref("n/when", "rows")
    assert shown(each.outputs["x"].type) == "Embeds[r,t,48]"
    mixed = base + "  r: {op: pair, when: f.each, in: {a: e}}\n  n: {op: pair, in: {a: e, b: r}}"
    assert "n.b: expects Embeds[b,t,48]?, got Embeds[r,t,48] from r.x" in problems(mixed)[0]
    other = base.replace("op: flags", "op: answer") + "  n: {op: pair, when: f.each, in: {a: e}}"
    assert "n.when: none of its inputs is known to have the batch of Bool[k]" in problems(other)[0]


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ("  n: {op: pairr, in: {}}", "18:11 E201 there is no op 'pairr'"),
        ("  n: {call: txt}", "18:13 E209 n: there is no model 'txt'"),
        ("  n: {call: vae.encode}", "18:13 E209 n: vae.toy has no method 'encode'"),
        ("  n: {graph: raed}", "18:14 E209 n: there is no subgraph 'raed'"),
        ("  n: {op: flags, in: {x: nobody}}",
         "18:26 E202 the link 'nobody' names no node that can be read here"),
        ("  n: {op: flags, in: {x: $in.nobody}}", "18:26 E202 '$in.nobody': there is no 'nobody' in $in"),
        ("  n: {op: flags, in: {x: $carry.x}}", "18:26 E202 '$carry.x' cannot be read here"),
        ("  n: {op: answer, in: {x: $in.prompt, y: $in.prompt}}", "18:39 E203 n.y: there is no such input"),
        ("  n: {op: answer, in: {}}", "18:23 E204 n: input 'x' (Any) is not linked"),
        ("  n: {call: text, in: {text: t}}\n  t: {op: clock}",
         "18:30 E205 n.text: expects Text[b], got Times[s] from t.times"),
        ("  n: {call: text, in: {text: [$in.prompt]}}",
         "18:30 E205 n.text: expects one Text[b], found a list of links"),
        ("  n: {op: clock, config: {step: 3}}", "18:33 E210 n.config.step: there is no such setting"),
        ("  n: {op: clock, config: {steps: three}}",
         "18:34 E210 n.config.steps: input should be a valid integer"),
        ("  n: {call: text, config: {layer: 9}, in: {text: $in.prompt}}",
         "18:6 E212 n: layer 9 is outside -4..3"),
        ("  n: {op: solve, in: {x: z}}\n  z: {call: vae.noise, in: {like: $in.prompt}}",
         "E209 n: needs a sampler for 'sampler'"),
        ("  n: {op: solve, use: {sampler: net}, in: {x: z}}\n  z: {call: vae.noise, in: {like: $in.prompt}}",
         "E209 n: 'sampler' needs a sampler, 'net' is a denoiser.toy"),
        ("  n: {call: vae.noise, config: {height: 30}, in: {like: $in.prompt}}",
         "E207 n.latents: Latents[b,4,15/4,4] has a dim of 15/4"),
        ("  n: {op: flags, in: {x: m.all}}\n  m: {op: flags, in: {x: n.all}}",
         "E206 the nodes form a cycle: n -> m -> n"),
    ],
)  # fmt: skip
def test_errors(nodes, expected):
    found = problems(nodes)
    assert len(found) == 1, found
    assert expected in found[0], found


def test_roots_are_told_and_what_follows_from_them_is_not():
    nodes = """\
  n: {op: pair, in: {a: b1}}
  b1: {op: pair, in: {a: bad}}
  bad: {op: nothing}
  worse: {call: text, in: {text: $in.promt}}
"""
    found = problems(nodes)
    assert [f.split(" ", 1)[1] for f in found] == [
        "E201 there is no op 'nothing'",
        "E202 '$in.promt': there is no 'promt' in $in",
    ]


def test_a_loop_must_keep_the_type_of_what_it_carries():
    nodes = """\
  e: {call: text, in: {text: $in.prompt}}
  n: {loop: {max: 2, carry: {x: e}, nodes: {g: {op: grow, in: {x: $carry.x}}}, next: {x: g}}}
"""
    assert "n.next.x: expects Embeds[b,t,48], got Embeds[b,2*t,48] from n/g.x" in problems(nodes)[0]


def test_branches_that_predict_different_things_are_refused():
    head = HEAD.replace("  guide:", "  net2: {kind: denoiser.toy, config: {prediction: v}}\n  guide:")
    nodes = """\
  e: {call: text, in: {text: $in.prompt}}
  z: {call: vae.noise, in: {like: e}}
  a: {call: net, in: {x: z, cond: e}}
  b: {call: net2, in: {x: z, cond: e}}
  n: {op: mix, in: {parts: [a, b]}}
"""
    with pytest.raises(InputError, match=r"E212.*the branches predict different things"):
        compiled(nodes, "{x: n}", head)


def test_a_subgraph_that_contains_itself_is_refused():
    head = HEAD.replace("enc: {call: text, in: {text: $in.text}}", "enc: {graph: read, in: {text: $in.text}}")
    with pytest.raises(InputError) as caught:
        compiled("  n: {graph: read, in: {text: $in.prompt}}", "{x: n}", head)
    assert str(caught.value).startswith("<text>:15:20 error[E206] enc: subgraphs form a cycle: read -> read")
    assert len(caught.value.problems) == 1


def test_subgraphs_that_multiply_are_refused_in_time_and_memory():
    levels = [f"  g{i}:\n    in: {{t: \"Text[b]\"}}\n    nodes:\n" + "".join(
        f"      {n}: {{graph: g{i + 1}, in: {{t: $in.t}}}}\n" for n in "abcdefgh"
    ) + "    out: {x: a}\n" for i in range(12)]  # fmt: skip
    last = (
        '  g12:\n    in: {t: "Text[b]"}\n    nodes: {e: {call: text, in: {text: $in.t}}}\n    out: {x: e}\n'
    )
    head = HEAD + "".join(levels) + last
    with pytest.raises(InputError, match=r"E206.*the section expands to more than 20000 nodes"):
        compiled("  n: {graph: g0, in: {t: $in.prompt}}", "{x: n}", head)


def test_training_and_evaluation_sections():
    tail = """\
train:
  stages:
    one:
      data: {op: data.toy}
      nodes:
        e: {call: text, in: {text: $data.text}}
        l: {op: loss, in: {x: e}}
      loss: {mse: {from: l, weight: 2.0}}
      train: {text: full}
      optim: {op: optim.adamw}
      steps: 1
eval:
  q:
    data: {op: data.toy, config: {batch: 3}}
    nodes: {l: {op: loss, in: {x: $data.image}}}
    metrics: {m: l}
"""
    graphs = compile_all(load_spec(HEAD + BODY + tail), REGISTRY)
    assert list(graphs) == ["main", "train.one", "eval.q"]
    stage = graphs["train.one"]
    assert stage.source == "$data" and set(stage.inputs) == {"text", "image"}
    assert stage.outputs["mse"].ref == Ref("l", "loss")
    broken = tail.replace("$data.text", "$data.caption").replace("$data.image", "$data.img")
    with pytest.raises(InputError) as caught:
        compile_all(load_spec(HEAD + BODY + broken), REGISTRY)
    assert [p.code for p in caught.value.problems] == ["E202", "E202"]


def test_symbols_of_outputs_are_their_own_unless_an_input_has_them():
    nodes = """\
  a: {call: vae.noise, config: {height: 64, width: 64}, in: {like: $in.prompt}}
  b: {call: vae.noise, config: {height: 32, width: 32}, in: {like: $in.prompt}}
"""
    graph = compiled(
        nodes, '{a: {from: a, type: "Latents[n,c,h,w]"}, b: {from: b, type: "Latents[n,c,h,w]"}}'
    )
    assert shown(graph.outputs["a"].type) == "Latents[b,4,8,8]"
    assert shown(graph.outputs["b"].type) == "Latents[b,4,4,4]"
    two = "  n: {op: answer, in: {x: $in.prompt}}\n  e: {call: text, in: {text: $in.prompt}}"
    assert (
        shown(compiled(two, '{n: n, e: {from: e, type: "Embeds[b,t,48]"}}').outputs["e"].type)
        == "Embeds[b,t,48]"
    )


def test_a_property_without_a_value_is_a_length_of_the_node_alone():
    head = HEAD.replace("  guide:", "  one: {kind: tokenizer.toy}\n  guide:")
    nodes = "  a: {call: one, in: {text: $in.prompt}}\n  b: {call: one, in: {text: $in.prompt}}"
    open_ended = compiled(nodes, "{a: a, b: b}", head)
    assert [shown(o.type) for o in open_ended.outputs.values()] == ["Ids[b,length]", "Ids[b,length]"]
    assert open_ended.outputs["a"].type != open_ended.outputs["b"].type
    fixed = compiled(nodes, "{a: a}", head.replace("tokenizer.toy", "tokenizer.toy, config: {max_length: 8}"))
    assert shown(fixed.outputs["a"].type) == "Ids[b,8]"


def test_config_names_mean_nothing_in_the_types_of_a_file():
    head = HEAD.replace('in: {text: "Text[b]"}', 'in: {text: "Embeds[b,t,$width]"}')
    with pytest.raises(
        InputError, match=r"13:16 error\[E205\] Embeds\[b,t,\$width\]: \$width is not known here"
    ):
        compiled("  n: {graph: read, in: {text: $in.prompt}}", "{x: n}", head)


ATTACHED = [
    ('{lora: "file:a", scale: $params.steps}', ""),
    ('{lora: "file:a", scale: $params.on}', "9:62 E210 net: the scale of file:a expects a number, got True"),
    ("{lora: $params.steps}", "9:45 E210 net: lora expects a text, got 3"),
]


@pytest.mark.parametrize(("item", "message"), ATTACHED)
def test_loras_of_models(item, message):
    head = HEAD.replace("net:  {kind: denoiser.toy}", f"net: {{kind: denoiser.toy, attach: [{item}]}}")
    spec = load_spec(head + BODY)
    if not message:
        lora = compile_graph(spec, REGISTRY).models["net"].attach[0]
        assert (lora.source, lora.scale, lora.merge) == ("file:a", 3.0, False)
        return
    with pytest.raises(InputError) as caught:
        compile_graph(spec, REGISTRY)
    assert [f"{p.place.line}:{p.place.col} {p.code} {p.message}" for p in caught.value.problems] == [message]
