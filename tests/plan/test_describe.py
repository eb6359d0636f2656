"""What `mmm plan` prints: holdings add up, and equal turns are told once."""

from __future__ import annotations

from dataclasses import replace

from mmm_graph.graph.compile import compile_graph
from mmm_graph.plan.describe import describe_plan, holdings, lines, program
from mmm_graph.plan.ops import At, Run
from mmm_graph.plan.place import make_plan
from mmm_graph.registry import Part, registry_of
from mmm_graph.spec import load_spec
from tests.graph.registry import CODEC, DENOISE, DENOISER, GUIDE, OPS, TEXT

PARTS = (
    Part("a", ("x",), ("h",), 10, 4.0),
    Part("b", ("h",), ("h",), 30, 8.0),
    Part("c", ("h",), ("pred",), 60, 12.0),
)
NET = replace(
    DENOISER,
    parts=lambda config: PARTS,
    methods={"predict": replace(DENOISER.methods["predict"], path=lambda config, call: ["a", "b", "c"])},
)
REGISTRY = registry_of(TEXT, CODEC, NET, GUIDE, *OPS, DENOISE)
GRAPH = """
mmm: 1
inputs: {prompt: "Text[b]"}
models:
  text: {kind: encoder.text}
  vae:  {kind: vae.toy}
  net:  {kind: denoiser.toy, dtype: bf16}
  guide: {kind: guidance.two}
nodes:
  times: {op: clock, config: {steps: 5}}
  noise: {call: vae.noise, in: {like: $in.prompt}}
  cond:  {call: text, in: {text: $in.prompt}}
  draw:  {op: denoise, use: {denoiser: net, guidance: guide}, in: {x: noise, times: times, cond: cond}}
outputs: {x: draw}
"""


def graph():
    return compile_graph(load_spec(GRAPH), REGISTRY)


def test_slices_hold_their_share_of_the_bytes_and_the_work():
    plan = make_plan(graph(), REGISTRY, {"net": [((0,), 0, 2), ((1,), 2, 3)]})
    first, second = (h for h in holdings(graph(), REGISTRY, plan) if h.model == "net")
    assert (first.rank, first.parts, first.weight_bytes, first.flops_per_call) == (0, "a..b", 80, 12.0)
    assert (second.rank, second.parts, second.weight_bytes, second.flops_per_call) == (1, "c", 120, 12.0)


def test_equal_turns_are_told_once():
    found = list(lines(program(graph(), REGISTRY, make_plan(graph(), REGISTRY))))
    assert "turn 0..4  x 5" in found
    body = found[found.index("turn 0..4  x 5") + 1 :]
    assert body[0] == "  slice draw/loop/p0 0 3 -> pred" and found.count(body[0]) == 1
    assert found[-1] == "output x"


def test_turns_that_differ_stand_apart():
    def run(turn, node):
        return Run(("op", node), (), (), At("0", node, (turn,)))

    found = list(lines([run(0, "warm"), run(1, "go"), run(2, "go"), run(3, "cool")]))
    assert found == ["turn 0", "  op warm", "turn 1..2  x 2", "  op go", "turn 3", "  op cool"]


def test_the_plan_of_two_ranks_shows_both_ends_of_a_message():
    plan = make_plan(graph(), REGISTRY, {"net": [((0,), 0, 2), ((1,), 2, 3)]})
    ranks = describe_plan(graph(), REGISTRY, plan)["ranks"]
    sends = [line.strip() for line in ranks[0]["program"] if line.strip().startswith("send")]
    receives = [line.strip() for line in ranks[1]["program"] if line.strip().startswith("receive")]
    assert len(sends) == len(receives) > 0
    assert {s.split()[1] for s in sends} == {r.split()[1] for r in receives}
