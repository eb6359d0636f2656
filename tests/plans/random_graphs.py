"""Small random graphs of toys, each with requests and a random placement of every slice and op."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from hypothesis import strategies as st

from mmm_graph.graph.graph import Call, Graph, Loop
from mmm_graph.plan.axes import Axes
from mmm_graph.plan.flow import Flow
from mmm_graph.plan.homes import state_groups
from mmm_graph.plan.place import Branches, Plan, make_plan
from mmm_graph.runtime.engine import Request
from mmm_graph.spec import to_yaml
from tests.runtime.toys import denoiser_parts, toy_graph, toy_registry

REGISTRY = toy_registry()
PLACED = ("unet", "text", "vae")
ROWS = 5
MODELS = {
    "text": {"kind": "encoder.toy", "init": "default"},
    "unet": {"kind": "denoiser.toy", "init": "default"},
    "vae": {"kind": "vae.toy", "init": "default"},
    "rule": {"kind": "sampler.toy"},
    "guide": {"kind": "guidance.toy", "config": {"scale": 2.0}},
}
INPUTS = {
    "x": f"Latents[b,{ROWS},3]",
    "t": "Scalar[b]",
    "extra": f"Latents[b,{ROWS},3]?",
    "prompt": "Text[b]",
    "flag": {"type": "Bool", "default": True},
    "above": {"type": "Scalar", "default": 0.0},
    "than": {"type": "Scalar", "default": 0.5},
}
Draw = Any
BATCH = "b"


@dataclass
class Values:
    """Links that a node may read.

    Attributes:
        latents: with the batch that they are rows of.
        flags: Bools.
        shown: what else may be an output.
        made: how many of `latents` come from outside.
    """

    latents: list[tuple[str, str]]
    flags: list[str]
    shown: list[str] = field(default_factory=list)
    outer: int = 0

    def inner(self, carry: tuple[str, str]) -> Values:
        """Those that the body of a loop sees."""
        return Values([*self.latents, carry], list(self.flags), [], len(self.latents))


@dataclass(repr=False)
class Case:
    """A graph, what is asked of it, and who does what."""

    spec: Mapping[str, Any]
    graph: Graph
    requests: Sequence[Request]
    branches: Branches
    plan: Plan

    def __repr__(self) -> str:
        """What a failure is understood by."""
        models = {m: [(s.ranks, s.a, s.b) for s in chain] for m, chain in self.plan.models.items()}
        homes = {path: [m.rank for m in team] for path, team in self.plan.nodes.items()}
        asked = [{k: v for k, v in r.inputs.items() if k not in ("x", "t", "prompt")} for r in self.requests]
        spec = {k: self.spec[k] for k in ("nodes", "outputs")}
        return to_yaml({**spec, "slices": str(models), "homes": str(homes), "requests": str(asked)})


class Drawn:
    """Draws the nodes of one graph; every node has a number of its own."""

    def __init__(self, draw: Draw) -> None:
        self.draw, self.count = draw, 0

    def graph(self) -> dict[str, Any]:
        seen = Values([("$in.x", BATCH)], ["$in.flag"])
        nodes = {
            "cond": {"call": "text", "in": {"text": "$in.prompt"}},
            "uncond": {"call": "text", "in": {"text": "$in.prompt"}, **self.when(seen)},
            **self.nodes(seen, self.draw(st.integers(2, 6)), depth=0),
        }
        links = ["cond", *(link for link, _ in seen.latents[1:]), *seen.shown]
        wanted = self.draw(st.lists(st.sampled_from(links), min_size=1, max_size=4, unique=True))
        outputs = {f"o{i}": link for i, link in enumerate(wanted)}
        return {
            "mmm": 1,
            "name": "random",
            "inputs": INPUTS,
            "models": MODELS,
            "nodes": nodes,
            "outputs": outputs,
        }

    def nodes(self, seen: Values, num: int, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        kinds = [self.double, self.predict, self.halve, self.less, self.decode, self.noise, self.keep]
        if depth < 2:
            kinds += [self.counted, self.until]
        if depth == 0:
            kinds.append(self.diffusion)
        for _ in range(num):
            kind = self.draw(st.sampled_from(kinds))
            made |= kind(seen, depth) if kind in (self.counted, self.until) else kind(seen)
        return made

    def name(self) -> str:
        self.count += 1
        return f"n{self.count}"

    def when(self, seen: Values) -> dict[str, str]:
        """Sometimes a condition."""
        return {"when": self.draw(st.sampled_from(seen.flags))} if self.draw(st.integers(0, 4)) == 0 else {}

    def one(self, seen: Values, batch: str | None = None) -> tuple[str, str]:
        """A value, late ones more often."""
        able = [v for v in seen.latents if batch in (None, v[1])]
        return self.draw(st.sampled_from([*able, *able[-2:]]))

    def double(self, seen: Values) -> dict[str, Any]:
        name, (x, batch) = self.name(), self.one(seen)
        extra = ["$in.extra"] if batch == BATCH else []
        extra = self.draw(st.sampled_from([None, *extra, self.one(seen, batch)[0]]))
        node = {"op": "toy.double", "in": {"x": x, **({} if extra is None else {"extra": extra})}}
        node |= self.when(seen)
        seen.latents.append((name, batch))
        return {name: node}

    def predict(self, seen: Values) -> dict[str, Any]:
        """One call, or two branches that may become one call."""
        x, _ = self.one(seen, BATCH)
        found, when = {}, self.when(seen)
        for cond in self.draw(st.sampled_from([["cond"], ["uncond"], ["cond", "uncond"]])):
            name = self.name()
            given = {"x": x, "t": "$in.t", "cond": {"embeds": cond}}
            found[name] = {"call": "unet.predict", "in": given, **when}
            seen.latents.append((name, BATCH))
        return found

    def halve(self, seen: Values) -> dict[str, Any]:
        name, (x, batch) = self.name(), self.one(seen)
        node = {"op": "toy.halve", "in": {"x": x}, **self.when(seen)}
        seen.latents.append((f"{name}.x", batch))
        seen.flags.append(f"{name}.small")
        seen.shown.append(f"{name}.first")
        return {name: node}

    def less(self, seen: Values) -> dict[str, Any]:
        name = self.name()
        node = {"op": "toy.less", "in": {"x": self.one(seen)[0], "than": "$in.than"}, **self.when(seen)}
        seen.flags.append(name)
        return {name: node}

    def decode(self, seen: Values) -> dict[str, Any]:
        name = self.name()
        node = {"call": "vae.decode", "in": {"latents": self.one(seen)[0]}, **self.when(seen)}
        seen.shown.append(name)
        return {name: node}

    def noise(self, seen: Values) -> dict[str, Any]:
        name = self.name()
        node = {"op": "toy.noise", "in": {"like": "$in.prompt"}, "config": {"size": ROWS}, **self.when(seen)}
        seen.latents.append((name, BATCH))
        return {name: node}

    def keep(self, seen: Values) -> dict[str, Any]:
        """Routing: rows of a batch of its own, perhaps none."""
        name = self.name()
        node = {"op": "toy.keep", "in": {"x": self.one(seen)[0], "above": "$in.above"}, **self.when(seen)}
        seen.latents.append((f"{name}.x", name))
        return {name: node}

    def counted(self, seen: Values, depth: int) -> dict[str, Any]:
        return self.loop(seen, depth, until=False)

    def until(self, seen: Values, depth: int) -> dict[str, Any]:
        return self.loop(seen, depth, until=True)

    def loop(self, seen: Values, depth: int, *, until: bool) -> dict[str, Any]:
        name, (first, batch) = self.name(), self.one(seen)
        inner = seen.inner(("$carry.y", batch))
        nodes = self.nodes(inner, self.draw(st.integers(1, 3)), depth + 1)
        own = inner.latents[inner.outer + 1 :]
        if not any(b == batch for _, b in own):
            last = self.name()
            nodes[last] = {"op": "toy.double", "in": {"x": "$carry.y"}}
            own.append((last, batch))
        following = self.draw(st.sampled_from([v for v, b in own if b == batch]))
        out = self.draw(st.lists(st.sampled_from(own), max_size=2, unique=True))
        body = {
            "max": self.draw(st.integers(1, 4)),
            "carry": {"y": first},
            "nodes": nodes,
            "next": {"y": following},
        }
        body["out"] = {f"out{i}": link for i, (link, _) in enumerate(out)}
        if self.draw(st.booleans()):
            body["collect"] = {"all": {"from": following, "axis": 1}}
            seen.shown.append(f"{name}.all")
        if until:
            flag = self.name()
            nodes[flag] = {"op": "toy.less", "in": {"x": following, "than": "$in.than"}}
            body["until"] = self.draw(st.sampled_from([flag, *inner.flags[len(seen.flags) :]]))
        seen.latents += [(f"{name}.y", batch), *((f"{name}.out{i}", b) for i, (_, b) in enumerate(out))]
        return {name: {"loop": body, **self.when(seen)}}

    def diffusion(self, seen: Values) -> dict[str, Any]:
        """A sampler's state, two branches of a guided prediction, noise in every turn."""
        x, _ = self.one(seen, BATCH)
        start, loop, steps = self.name(), self.name(), self.draw(st.integers(1, 3))
        given = {"x": "$carry.x", "t": "$carry.t"}
        body = {
            "each": {"i": f"{start}.turns"},
            "carry": {"state": f"{start}.state", "x": f"{start}.x", "t": f"{start}.t"},
            "nodes": {
                "pc": {"call": "unet.predict", "in": {**given, "cond": {"embeds": "cond"}}},
                "pu": {"call": "unet.predict", "in": {**given, "cond": {"embeds": "uncond"}}},
                "pred": {"call": "guide.combine", "in": {"branches": ["pc", "pu"], "i": "$each.i"}},
                "step": {"op": "toy.step", "use": {"rule": "rule"},
                         "in": {"state": "$carry.state", "pred": "pred", "i": "$each.i"}},
            },
            "next": {"state": "step.state", "x": "step.x", "t": "step.t"},
            "out": {"latents": "step.latents"},
            "collect": {"path": {"from": "step.x0", "axis": 0}},
        }  # fmt: skip
        seen.latents.append((f"{loop}.latents", BATCH))
        seen.shown.append(f"{loop}.path")
        return {
            start: {"op": "toy.start", "in": {"x": x}, "config": {"steps": steps}},
            loop: {"loop": body, **self.when(seen)},
        }


@st.composite
def cases(draw: Draw, *, shares: bool = False) -> Case:
    """A random graph under a random placement; `shares`: some models are on several ranks that share batches."""
    spec = Drawn(draw).graph()
    graph = toy_graph(spec, REGISTRY)
    ranks = draw(st.integers(2 if shares else 1, 4))
    branches: Branches = draw(st.sampled_from(["batched", "turn"]))
    placement: dict[str, Any] = {}
    axes: dict[str, Axes] = {}
    for model in PLACED:
        degree = draw(st.integers(1, min(3, ranks))) if shares else 1
        axes[model] = Axes((("data", degree),) if degree > 1 else ())
        placement[model] = slices(draw, graph, model, (ranks, degree))
    plan = make_plan(
        graph, REGISTRY, placement, axes=axes, branches=branches,
        nodes=places(draw, graph, partial(draw, st.integers(0, ranks - 1))),
        microbatches=draw(st.integers(1, 3)) if shares else 1,
        in_flight=draw(st.sampled_from([None, 1])),
    )  # fmt: skip
    num = draw(st.integers(1, 3))
    return Case(spec, graph, [request(draw, str(i)) for i in range(num)], branches, plan)


def slices(draw: Draw, graph: Graph, model: str, sizes: tuple[int, int]) -> list[tuple[list[int], int, int]]:
    """A model cut anywhere, each slice on any `degree` of the ranks."""
    ranks, degree = sizes
    num = len(denoiser_parts(graph.models[model].config)) if model == "unet" else 1
    cuts = sorted(draw(st.sets(st.integers(1, num - 1), max_size=3))) if num > 1 else []
    bounds = pairwise([0, *cuts, num])
    return [(sorted(draw(st.permutations(range(ranks)))[:degree]), a, b) for a, b in bounds]


def places(draw: Draw, graph: Graph, rank: Any) -> dict[str, int]:
    """Ranks of most nodes that no weights are tied to; those that share a state are together."""
    groups = state_groups(Flow(graph))
    found: dict[str, int] = {}
    for node in graph.walk():
        if isinstance(node, Loop) or (isinstance(node, Call) and node.model in PLACED):
            continue
        group = groups.get(node.path, (node.path,))
        if node.path == group[0] and draw(st.integers(0, 5)):
            found |= dict.fromkeys(group, rank())
    return found


def request(draw: Draw, name: str) -> Request:
    """Inputs of one of three batches; some are absent, some make routes empty."""
    batch, seed = draw(st.integers(1, 3)), draw(st.integers(0, 99))
    generator = torch.Generator().manual_seed(seed)
    given: dict[str, Any] = {
        "x": torch.randn(batch, ROWS, 3, generator=generator),
        "t": torch.rand(batch, generator=generator),
        "prompt": [f"text {i}" for i in range(batch)],
        "flag": draw(st.booleans()),
        "above": draw(st.sampled_from([-9.0, 0.0, 9.0])),
        "than": draw(st.sampled_from([0.0, 0.5, 9.0])),
    }
    if draw(st.booleans()):
        given["extra"] = torch.randn(batch, ROWS, 3, generator=generator)
    return Request(name, given, (seed,))
