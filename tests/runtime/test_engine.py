"""The engine on toy graphs: against a hand-written loop, pulling, supplying, caching, several requests."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor

from mmm_graph.errors import Cancelled, InputError, RunError
from mmm_graph.nn.noise import Noise
from mmm_graph.plan.place import make_plan
from mmm_graph.runtime.engine import Engine, Request
from tests.runtime import toys
from tests.runtime.toys import DIFFUSION, toy_engine, toy_graph, toy_registry

REGISTRY = toy_registry()


def by_hand(
    engine: Engine, prompt: list[str], seeds: tuple[int, ...], steps: int, *, batched: bool
) -> Tensor:
    """The diffusion graph as anybody would write it."""
    text, unet, vae = (engine.models[n].object for n in ("text", "unet", "vae"))
    elements = tuple(range(len(prompt)))
    state = toys.start(Noise(seeds, "noise", elements).normal((5, 3)), toys.StepsConfig(steps=steps))
    cond, uncond = text(prompt), text([""] * len(prompt))

    def predict(x: Tensor, t: Tensor, embeds: Tensor) -> Tensor:
        values = {"x": x, "t": t, "cond.embeds": embeds}
        for part in unet.parts.values():
            values.update(part(values))
        return values["pred"]

    both = torch.cat([cond, uncond])
    for i in range(steps):
        x, t = state["x"], state["t"]
        branches: Any = [predict(x, t, cond), predict(x, t, uncond)]
        if batched:
            branches = predict(torch.cat([x, x]), torch.cat([t, t]), both).chunk(2)
        pred = branches[1] + 2.0 * (branches[0] - branches[1])
        rule = engine.models["rule"].object
        state = toys.step(state["state"], pred, i, rule, Noise(seeds, "denoise/step", elements, (i,)))
    return vae.decode(state["x"])


@pytest.mark.parametrize("branches", ["batched", "turn"])
@pytest.mark.parametrize("steps", [1, 5])
def test_equals_hand_written_loop(branches: str, steps: int) -> None:
    graph = toy_graph(steps=steps)
    engine = toy_engine(graph)
    plan = make_plan(graph, REGISTRY, branches=branches)
    found = engine.run(graph, [Request("a", {"prompt": ["hi", "you"]}, (3,))], plan=plan)["a"].values["image"]
    with torch.no_grad():
        expected = by_hand(engine, ["hi", "you"], (3,), steps, batched=branches == "batched")
    assert torch.equal(found, expected)


def test_an_element_with_its_own_seed_is_a_run_of_its_own() -> None:
    graph = toy_graph(steps=2)
    engine = toy_engine(graph)
    both = engine.run(graph, [Request("a", {"prompt": ["hi", "hi"]}, (3, 4))])["a"].values["image"]
    alone = engine.run(graph, [Request("a", {"prompt": ["hi"]}, (4,))])["a"].values["image"]
    assert torch.allclose(both[1:], alone, atol=1e-6)
    assert not torch.allclose(both[:1], alone, atol=1e-3)


def test_requests_with_graphs_of_their_own() -> None:
    graphs = {k: toy_graph(steps=n) for k, n in (("a", 3), ("b", 1), ("c", 4))}
    engine = toy_engine(graphs["a"], cache_bytes=0)
    requests = [Request(k, {"prompt": [k]}, (i,), None, g) for i, (k, g) in enumerate(graphs.items())]
    together = engine.run(graphs["a"], requests)
    for request in requests:
        alone = engine.run(graphs["a"], [request])[request.id]
        assert torch.equal(together[request.id].values["image"], alone.values["image"])


def test_only_what_is_wanted_runs() -> None:
    graph = toy_graph()
    seen: list[str] = []
    engine = toy_engine(graph, on_event=lambda e: seen.append(e.node) if e.kind == "node_start" else None)
    result = engine.run(graph, [Request("a", {"prompt": ["hi"]})], outputs=["cond.embeds", "noise"])["a"]
    assert set(result.values) == {"cond.embeds", "noise"}
    assert sorted(seen) == ["cond", "noise"]


def test_supplied_values_are_not_computed() -> None:
    graph = toy_graph(steps=2)
    engine = toy_engine(graph, cache_bytes=0)
    whole = engine.run(
        graph, [Request("a", {"prompt": ["hi"]})], outputs=["image", "denoise.latents", "noise"]
    )["a"]
    seen: list[str] = []
    again = engine.run(
        graph,
        [Request("a", {"prompt": ["hi"]}, (99,))],
        supply={"denoise.latents": whole.values["denoise.latents"]},
        on_event=lambda e: seen.append(e.node) if e.kind == "node_start" else None,
    )["a"]
    assert torch.equal(again.values["image"], whole.values["image"])
    assert seen == ["image"]


def test_a_supplied_output_is_handed_back() -> None:
    graph = toy_graph()
    z = torch.zeros(1, 5, 3)
    result = toy_engine(graph).run(
        graph, [Request("a", {"prompt": ["hi"]})], outputs=["noise"], supply={"noise.x": z}
    )
    assert torch.equal(result["a"].values["noise"], z)


@pytest.mark.parametrize(
    ("name", "code"), [("imag", "E308"), ("denoise/pred", "E309"), ("denoise/step.x", "E309")]
)
def test_unknown_values(name: str, code: str) -> None:
    graph = toy_graph()
    with pytest.raises(InputError) as caught:
        toy_engine(graph).run(graph, [Request("a", {"prompt": ["hi"]})], outputs=[name])
    assert caught.value.problems[0].code == code


@pytest.mark.parametrize(("inputs", "code"), [({}, "E302"), ({"prompt": ["a"], "promt": 1}, "E301")])
def test_wrong_inputs(inputs: dict[str, Any], code: str) -> None:
    graph = toy_graph()
    with pytest.raises(InputError) as caught:
        toy_engine(graph).run(graph, [Request("a", inputs)])
    assert caught.value.problems[0].code == code


def test_two_requests_of_one_id() -> None:
    graph = toy_graph()
    with pytest.raises(InputError, match="same id"):
        toy_engine(graph).run(graph, [Request("a", {"prompt": ["x"]})] * 2)


def test_changing_the_seed_does_not_run_the_text_encoder_again() -> None:
    graph = toy_graph()
    engine = toy_engine(graph)
    engine.run(graph, [Request("a", {"prompt": ["hi"]}, (1,))])
    before = toys.TextEncoder.calls
    engine.run(graph, [Request("a", {"prompt": ["hi"]}, (2,))])
    assert toys.TextEncoder.calls == before
    engine.run(graph, [Request("a", {"prompt": ["ho"]}, (2,))])
    assert toys.TextEncoder.calls == before + 1


def test_the_cache_gives_what_it_was_given() -> None:
    graph = toy_graph(steps=3)
    engine, fresh = toy_engine(graph), toy_engine(graph, cache_bytes=0)
    for seed in (1, 2, 1):
        request = Request("a", {"prompt": ["hi"]}, (seed,))
        assert torch.equal(
            engine.run(graph, [request])["a"].values["image"],
            fresh.run(graph, [request])["a"].values["image"],
        )


def test_cancel_before_a_node() -> None:
    graph = toy_graph(steps=50)
    stop = threading.Event()
    engine = toy_engine(
        graph, on_event=lambda e: stop.set() if e.kind == "loop_step" and e.step == 3 else None
    )
    seen: list[int] = []
    with pytest.raises(Cancelled):
        engine.run(
            graph,
            [Request("a", {"prompt": ["hi"]})],
            cancel=stop.is_set,
            on_event=lambda e: (
                (seen.append(e.step), stop.set() if e.step == 3 else None) if e.kind == "loop_step" else None
            ),
        )
    assert seen == [1, 2, 3]


BROKEN = """
mmm: 1
inputs: {x: "Latents[b,l,3]", bad: {type: Bool, default: false}}
nodes:
  twice: {op: toy.double, in: {x: $in.x}}
  boom: {op: toy.boom, in: {x: twice}, when: $in.bad}
  after: {op: toy.boom, in: {x: boom}}
outputs: {twice: twice, after: after}
"""


def test_an_error_names_the_node_and_what_it_was_given() -> None:
    graph = toy_graph(BROKEN)
    with pytest.raises(RunError) as caught:
        toy_engine(graph).run(graph, [Request("a", {"x": torch.ones(2, 4, 3), "bad": True})])
    problem = caught.value.problems[0]
    assert problem.code == "E701" and problem.place is not None and problem.place.line == 6
    assert "boom (toy.boom) failed: ZeroDivisionError: the toy broke" in problem.message
    assert "x=float32[2, 4, 3]" in problem.hint
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_failures_are_kept_apart() -> None:
    graph = toy_graph(BROKEN)
    requests = [Request(k, {"x": torch.ones(1, 2, 3), "bad": bad}) for k, bad in (("a", True), ("b", False))]
    requests.append(Request("c", {"y": 1}))
    found = toy_engine(graph).run(graph, requests, isolate=True)
    assert isinstance(found["a"].error, RunError) and "after" in found["a"].absent
    assert found["b"].error is None and torch.equal(found["b"].values["twice"], torch.full((1, 2, 3), 2.0))
    assert found["b"].absent["after"] == "the condition of boom is false; skipped: after"
    assert isinstance(found["c"].error, InputError)


def test_a_node_that_gives_another_shape_than_it_declares() -> None:
    text = DIFFUSION.replace("kind: vae.toy", "kind: vae.toy")
    graph = toy_graph(text, steps=1)
    engine = toy_engine(graph)
    engine.models["vae"].object.lin = torch.nn.Linear(3, 7)
    with pytest.raises(
        RunError, match=r"E703.*image.image is declared Embeds\[.*2\].*7\]: an axis of 2 has size 7"
    ):
        engine.run(graph, [Request("a", {"prompt": ["hi"]})])
    engine = toy_engine(graph, check_shapes=False)
    engine.models["vae"].object.lin = torch.nn.Linear(3, 7)
    assert engine.run(graph, [Request("a", {"prompt": ["hi"]})])["a"].values["image"].shape == (1, 5, 7)


def test_what_a_caller_does_to_an_output_does_not_reach_the_cache() -> None:
    graph = toy_graph()
    engine = toy_engine(graph)
    request = Request("a", {"prompt": ["hi"]})
    first = engine.run(graph, [request])["a"].values["image"]
    kept = first.clone()
    first.zero_()
    assert torch.equal(engine.run(graph, [request])["a"].values["image"], kept)


def test_an_optional_input_of_a_subgraph_that_nobody_links() -> None:
    graph = toy_graph("""
mmm: 1
inputs: {x: "Latents[b,l,3]"}
graphs:
  up:
    in: {x: "Latents[b,l,3]", extra: "Latents[b,l,3]?"}
    nodes: {up: {op: toy.double, in: {x: $in.x, extra: $in.extra}}}
    out: {y: up}
nodes: {n: {graph: up, in: {x: $in.x}}}
outputs: {y: n.y}
""")
    found = toy_engine(graph).run(graph, [Request("a", {"x": torch.ones(1, 2, 3)})])["a"]
    assert torch.equal(found.values["y"], torch.full((1, 2, 3), 2.0))
