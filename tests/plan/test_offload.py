"""What a plan offloads, and where in a Program weights leave."""

from __future__ import annotations

import pytest

from mmm_graph.errors import InputError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.plan.arrange import arrange
from mmm_graph.plan.describe import describe_plan, program
from mmm_graph.plan.offload import with_leaves
from mmm_graph.plan.ops import At, Repeat, Run
from mmm_graph.plan.place import make_plan
from mmm_graph.spec import load_spec
from mmm_graph.spec.offload import OffloadSpec
from mmm_graph.spec.plan import PlanSpec
from tests.plan.toys import SHARD_REGISTRY, shard_graph
from tests.runtime.toys import DIFFUSION, toy_registry

REGISTRY = toy_registry()
CALLS = ("cond", "uncond", "denoise/pc", "image")
MODEL, BLOCK = OffloadSpec(), OffloadSpec(by="block", ahead=0)


def graph(**sets):
    return compile_graph(
        load_spec(DIFFUSION, sets={f"models.{k}.offload": v for k, v in sets.items()}), REGISTRY
    )


def plan(written, its_graph=None, **more):
    spec = PlanSpec.model_validate({"ranks": 1, "offload": written, **more})
    return arrange(its_graph or graph(), REGISTRY, spec, name="p")


def story(its_plan):
    """Calls of models with weights in order, those that follow each other once, and `-model` where one leaves."""
    found = []
    for item in program(graph(), REGISTRY, its_plan):
        name = f"-{item.fn[1]}" if isinstance(item, Run) and item.fn[0] == "leave" else ""
        if isinstance(item, Run) and item.fn[0] in ("op", "slice") and item.at.node in CALLS:
            name = item.at.node
        found += [name] if name and name not in found[-1:] else []
    return found


def test_what_a_plan_says_wins():
    said = graph(unet="block", text="model")
    assert plan(None, said).offload == {"unet": OffloadSpec(by="block"), "text": MODEL}
    assert plan({"unet": False, "vae": True}, said).offload == {"text": MODEL, "vae": MODEL}
    assert plan(False, said).offload == {}
    assert (
        plan(True, said).offload
        == plan(["text", "unet", "vae"], said).offload
        == dict.fromkeys(("text", "unet", "vae"), MODEL)
    )
    assert make_plan(said, REGISTRY).offload == {"unet": OffloadSpec(by="block"), "text": MODEL}


def test_weights_leave_after_their_last_node_and_before_another_model():
    """The denoiser stays from its first turn to its last."""
    calls = ["cond", "uncond", "-text", "denoise/pc", "-unet", "image", "-vae"]
    assert story(plan(True)) == calls
    assert story(plan({"unet": {"by": "block"}})) == ["cond", "uncond", "denoise/pc", "-unet", "image"]
    assert story(plan(False)) == ["cond", "uncond", "denoise/pc", "image"]


def run(name: str) -> Run:
    return Run(("op", name), (), (), At("0", name))


def told(items):
    return [
        told(i.body) if isinstance(i, Repeat) else "-" + i.fn[1] if i.fn[0] == "leave" else i.fn[1]
        for i in items
    ]


def leaves(*items, by_block=()):
    offloaded = {name: BLOCK if name in by_block else MODEL for name in "abc"}
    return told(with_leaves(items, lambda item: [n for n in [item.fn[1]] if n in offloaded], offloaded))


def test_one_model_is_there_at_a_time():
    assert leaves(*map(run, "axabba")) == ["a", "x", "a", "-a", "b", "b", "-b", "a", "-a"]
    assert leaves(*map(run, "aba"), by_block="b") == ["a", "b", "-b", "a", "-a"]


def test_loops_until():
    """In a body nothing has its last turn; the turn before may have left another model there."""
    turn = lambda names: Repeat("loop", "0", (), tuple(map(run, names)))  # noqa: E731
    assert leaves(run("a"), turn("axa"), run("b")) == ["a", ["a", "x", "a"], "-a", "b", "-b"]
    found = leaves(run("c"), turn("ab"), run("a"))
    assert found == ["c", "-c", ["-b", "a", "-a", "b"], "-b", "a", "-a"]


def test_what_ranks_cannot_do():
    its = shard_graph()
    spec = {"ranks": 2, "axes": {"net": {"tensor": 2}}, "offload": {"net": {"by": "block", "from": "disk"}}}
    with pytest.raises(InputError, match=r"E525.*plan p: net is cut into columns"):
        arrange(its, SHARD_REGISTRY, PlanSpec.model_validate(spec), name="p")


def test_a_plan_told():
    its_plan = plan({"unet": {"by": "block", "ahead": 0}, "vae": True})
    rank = describe_plan(graph(), REGISTRY, its_plan).data["ranks"][0]
    held = {h["model"]: h for h in rank["holds"]}
    assert (
        held["unet"]["offload"] == "offloaded by block, from host, 0 ahead" and held["text"]["offload"] == ""
    )
    assert held["unet"]["at_once_bytes"] == 64 * 4 and held["unet"]["weight_bytes"] == (32 + 4 * 64 + 24) * 4
    assert any(line.strip() == "unet leaves" for line in rank["program"])
