"""A graph on devices -> tokens and images a second at best: of each model's calls, and of the whole, simulated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mmm_graph.errors import InputError, problem
from mmm_graph.graph.graph import Call, Graph, Loop, ModelNode, standing_models
from mmm_graph.plan.cost import parts_of
from mmm_graph.plan.describe import default_batch
from mmm_graph.plan.place import Plan, make_plan
from mmm_graph.plan.predict import PROMPT, Named, Prediction, Reader
from mmm_graph.plan.roofline import Share, begins, goes_on
from mmm_graph.plan.rows import model_type
from mmm_graph.plan.simulate import simulate
from mmm_graph.plan.sizes import Sizes
from mmm_graph.plan.whole import whole_blocks
from mmm_graph.registry.node_type import ModelType
from mmm_graph.registry.registry import Registry


@dataclass(frozen=True)
class Asked:
    """What is predicted.

    Attributes:
        devices: one after the other; all ranks of a plan have one of the same kind.
        batch: elements; None: as the default inputs.
        prompt: tokens that language models read before they answer; None: 512, or as many as they can.
        requests: of the whole graph, together.
    """

    devices: Sequence[Named]
    batch: int | None = None
    prompt: int | None = None
    requests: int = 1


@dataclass(frozen=True)
class OfCall:
    """One method of a model on one device.

    Attributes:
        per_second: how many of `what`.
        bound: "compute" or "memory": where most of the time goes.
    """

    model: str
    kind: str
    parameters: int
    dtype: str
    device: str
    method: str
    what: str
    per_second: float
    seconds: float
    bound: str


@dataclass(frozen=True)
class OfGraph:
    """The whole graph on one kind of device.

    Attributes:
        seconds: until all requests are done.
        plan: its name; "" on one device.
        unknown: calls of which nobody says what they do: they are counted as nothing.
        uncounted: what else takes time and is not counted.
    """

    device: str
    ranks: int
    plan: str
    requests: int
    what: str
    per_second: float
    seconds: float
    unknown: tuple[str, ...] = ()
    uncounted: tuple[str, ...] = field(default=())


def predict_throughput(graph: Graph, registry: Registry, plan: Plan, asked: Asked) -> dict[str, Any]:
    """Plain data: batch, prompt and answer in tokens, the devices' figures, models by call, the graph by plan.

    Raises:
        InputError: E528, a device has no figure that is needed; E529, there is nothing to predict, or a prompt is
            longer than a model reads.
    """
    if graph.section.startswith("train"):
        raise InputError(problem("E529", f"{graph.section} trains: only what a graph runs is predicted",
                                 hint="leave out --section"))  # fmt: skip
    alone = make_plan(graph, registry)
    batch = asked.batch or default_batch(graph) or 1
    reader = Reader(_prompt(graph, registry, asked.prompt), _answer(graph, registry))
    found: dict[str, Any] = {"batch": batch, "prompt_tokens": reader.prompt, "answer_tokens": reader.answer}
    found["devices"] = {on.name: on.device.model_dump(mode="json") for on in asked.devices}
    plans = [alone, plan] if plan.ranks > 1 else [alone]
    calls = [row for on in asked.devices for row in _calls(graph, registry, alone, on, batch, reader.prompt)]
    if not calls:
        raise InputError(problem("E529", "no model that the graph calls says how much work it has",
                                 hint="`flops=` of a Part says it: docs/plugins.md"))  # fmt: skip
    order = {name: i for i, name in enumerate(graph.models)}
    found["models"] = [asdict(row) for row in sorted(calls, key=lambda row: order[row.model])]
    found["graph"] = [
        asdict(row)
        for on in asked.devices
        for each in plans
        for row in _whole(graph, registry, each, on, batch, reader, asked.requests)
    ]
    return found


def _prompt(graph: Graph, registry: Registry, asked: int | None) -> int:
    """Tokens of the prompts of all language models."""
    most = {name: _most(model, model_type(graph, registry, name)) for name, model in standing_models(graph)}
    least = min((n for n in most.values() if n), default=0)
    if asked is None:
        return min(PROMPT, least or PROMPT)
    if least and asked > least:
        name = next(name for name, n in most.items() if n == least)
        message = f"{name} reads texts of {least} tokens, the prompt is to have {asked}"
        raise InputError(problem("E529", message, graph.models[name].place, "give a shorter --prompt-tokens"))
    return asked


def _most(model: ModelNode, kind: ModelType) -> int:
    return max((p.text.most for p in parts_of(model, kind) if p.text is not None), default=0)


def _answer(graph: Graph, registry: Registry) -> int:
    """Most tokens of an answer."""
    loops = [n for n in graph.walk() if isinstance(n, Loop)]
    asking = [
        loop
        for loop in loops
        if any(isinstance(n, Call) and goes_on(model_type(graph, registry, n.model), n) for n in loop.body)
    ]
    return max((loop.limit or loop.count or 0 for loop in asking), default=0)


def _calls(
    graph: Graph, registry: Registry, plan: Plan, on: Named, batch: int, prompt: int
) -> Iterator[OfCall]:
    blocks = whole_blocks(graph, registry, plan)
    prediction = Prediction(blocks, Sizes(blocks, batch), on, Reader(prompt))
    seen: set[tuple[str, str]] = set()
    for call in graph.walk():
        if not isinstance(call, Call) or (call.model, call.method) in seen:
            continue
        seen.add((call.model, call.method))
        path = prediction.path(call)
        if not path or not sum(part.flops for part in path):
            continue
        model, kind = graph.models[call.model], model_type(graph, registry, call.model)
        share = Share(batch, scale=float(prediction.sizes.scale(call)))
        spent = prediction.spent(call, path, share, (0, len(path)))
        what, count = _counted(kind, call, batch, prompt)
        weights = sum(part.params - part.tied for part in parts_of(model, kind))
        dtype = " ".join(filter(None, (model.dtype or "f32", model.quantize)))
        yield OfCall(call.model, model.kind, weights, dtype, on.name, call.method, what,
                     count / spent.seconds, spent.seconds, spent.bound)  # fmt: skip


def _counted(kind: ModelType, call: Call, batch: int, prompt: int) -> tuple[str, int]:
    """(what is counted, how many a call makes)."""
    method = kind.methods[call.method]
    if goes_on(kind, call):
        return "decode tokens/s", batch
    if begins(kind, call):
        return "prefill tokens/s", batch * prompt
    if kind.kind.startswith("llm."):
        return "tokens/s", batch * prompt
    if any(port.kind == "Image" for ports in (method.inputs, method.returns) for port in ports.values()):
        return "images/s", batch
    return "calls/s", 1


def _whole(
    graph: Graph, registry: Registry, plan: Plan, on: Named, batch: int, reader: Reader, requests: int
) -> Iterator[OfGraph]:
    if plan.ranks > 1 and on.device.link is None:
        raise InputError(problem("E528", f"{on.name} has no link, over which {plan.ranks} of it would send",
                                 hint="describe it with `link:` in a --device-spec, or leave out --plan"))  # fmt: skip
    blocks = whole_blocks(graph, registry, plan)
    prediction = Prediction(blocks, Sizes(blocks, batch), on, reader)
    try:
        span = simulate(blocks, prediction.costs(), requests=requests).span_s
    except InputError as error:
        if any(p.code != "E515" for p in error.problems):
            raise
        return  # rows are cut of an image whose height nobody knows: `mmm plan` tells
    asks = any(plan.asks(model) for model in plan.models)
    uncounted = ("what layers exchange",) * asks + ("weights that come and go",) * bool(plan.offload)
    for what, each in _made(graph, reader).items():
        yield OfGraph(on.name, plan.ranks, plan.name, requests, what, each * batch * requests / span, span,
                      tuple(sorted(prediction.unknown)), uncounted)  # fmt: skip


def _made(graph: Graph, reader: Reader) -> Mapping[str, int]:
    """What is counted, and how many of it a batch element gets."""
    kinds = {output.type.kind for output in graph.outputs.values()}
    found = {"tokens/s": reader.answer} if reader.answer else {}
    found |= {"images/s": 1} if "Image" in kinds else {}
    return found or {"elements/s": 1}
