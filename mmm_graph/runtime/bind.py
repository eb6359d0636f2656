"""Fn of a Run -> a Python callable, bound once per graph: everything a node needs but its inputs is looked up here."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmm_graph.errors import RunError, problem
from mmm_graph.graph.attached import guest_of
from mmm_graph.graph.graph import Call, Node, Op
from mmm_graph.nn.kept import Kept
from mmm_graph.nn.noise import Element, Noise
from mmm_graph.plan.flow import Flow, keyed, optional_keys
from mmm_graph.plan.ops import At, Fn
from mmm_graph.registry.node_type import Method, OpType, Ports, resolve
from mmm_graph.registry.registry import Registry
from mmm_graph.runtime.arguments import Values, arguments, index_depths, plain, spread
from mmm_graph.runtime.bound import Bound, Finish, Function
from mmm_graph.runtime.build import Built
from mmm_graph.runtime.copies import shared_keys
from mmm_graph.runtime.guests import Run, part_of_guest
from mmm_graph.runtime.offload import WHOLE
from mmm_graph.runtime.plumbing import PLUMBING
from mmm_graph.runtime.shapes import FLOATS, check_outputs
from mmm_graph.runtime.together import Gather, together
from mmm_graph.runtime.traced import Forward, Parts, in_goes, traced


@dataclass
class Context:
    """What bound callables share.

    Attributes:
        grad: paths of nodes that run with autograd; None = the caller has switched it off for all.
        gather: in training on several ranks: for ops that compare the samples of a batch.
        seeds: (seeds, elements) of each request of the run that is going on.
    """

    registry: Registry
    models: Mapping[str, Built]
    device: torch.device
    grad: frozenset[str] | None = None
    check_shapes: bool = True
    gather: Gather | None = None
    seeds: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)


class Binder(dict[Fn, Bound]):
    """Callables of one graph by fn; a missing one is bound when it is first looked up. It outlives a run."""

    def __init__(self, flow: Flow, context: Context) -> None:
        super().__init__()
        self.flow, self.context = flow, context
        self._used: dict[str, Built] = {}

    def is_current(self, models: Mapping[str, Built]) -> bool:
        """Whether the models it has bound are still these, or are made from these."""
        return all(models.get(name) in (built, built.base) for name, built in self._used.items())

    def __missing__(self, fn: Fn) -> Bound:
        bound = self._node(fn) if fn[0] in ("op", "slice") else PLUMBING[str(fn[0])](fn)
        self[fn] = bound
        return bound

    def _node(self, fn: Fn) -> Bound:
        path = str(fn[1])
        node = self.flow.sites[path].node
        whens = tuple(f"when#{i}" for i in range(len(self.flow.conditions(path))))
        if isinstance(node, Op):
            kind = self.context.registry.get(node.kind)
            assert isinstance(kind, OpType)
            make: Callable[[], Function] = partial(self._op, node, kind)
            ports, label = kind.inputs, node.kind
            shared = raw = bool(kind.gather) and self.context.gather is not None
        else:
            assert isinstance(node, Call)
            built = self._built(node.model, node)
            method = built.type.methods[node.method]
            ports, label = method.inputs, f"{built.type.kind} {node.model}.{node.method}"
            shared, raw = built.exchange is not None, False
            if fn[0] == "slice":
                make = partial(self._slice, node, built, method, (int(str(fn[2])), int(str(fn[3]))))
            else:
                make = partial(self._method, node, built, method)
        bound = Bound(
            _none,
            whens=whens,
            optional=optional_keys(node, ports),
            ports=frozenset(k for k, t in node.outputs.items() if t.kind != "State"),
            label=label,
            place=node.place,
            raw=raw,
            shared=shared,
        )

        def first(args: Values, at: At) -> Mapping[str, Any]:
            """Nothing is imported or loaded before a node really runs."""
            bound.function = self._graded(path, self._exchanged(node, self._present(node, make())))
            return bound.function(args, at)

        bound.function = first
        return bound

    def _built(self, name: str, node: Node) -> Built:
        if name not in self.context.models:
            message = f"{node.path} needs the model {name!r}, which was not built"
            raise RunError(problem("E704", message, node.place, "name it in `needed` of build_models"))
        self._used[name] = self.context.models[name]
        return self._used[name]

    def _graded(self, path: str, function: Function) -> Function:
        if self.context.grad is None or path in self.context.grad:
            return function

        def frozen(args: Values, at: At) -> Mapping[str, Any]:
            with torch.no_grad():
                return function(args, at)

        return frozen

    def _part(self, node: Call, built: Built, name: str) -> Run:
        """A part of the model that is called, or of one that stands between its blocks."""
        guest = guest_of(built.node, self.context.registry, name)
        if guest is not None:
            return part_of_guest(self._built(guest[0], node), *guest[1:], name, built)
        part: Run = built.object.parts[name]
        return part

    def _exchanged(self, node: Node, function: Function) -> Function:
        """Tell the exchange of the node's model where in the work it is, before layers ask it anything."""
        built = self.context.models[node.model] if isinstance(node, Call) else None
        if built is None or built.exchange is None:
            return function

        def run(args: Values, at: At) -> Mapping[str, Any]:
            assert built.exchange is not None
            built.exchange.bind(at)
            return function(args, at)

        return run

    def _present(self, node: Node, function: Function) -> Function:
        """Bring offloaded models that are not made of parts; the parts of the others bring their own weights."""
        names = (
            (node.model,)
            if isinstance(node, Call)
            else (*node.uses.values(),)
            if isinstance(node, Op)
            else ()
        )
        rooms = [self.context.models[name].room for name in names]
        whole = [room for room in rooms if room is not None and WHOLE in room.units]
        if not whole:
            return function

        def run(args: Values, at: At) -> Mapping[str, Any]:
            for room in whole:
                room.enter(WHOLE)
            return function(args, at)

        return run

    def _op(self, node: Op, kind: OpType) -> Function:
        const: Values = {}
        if kind.config.model_fields:
            const["config"] = node.config
        for role, name in node.uses.items():
            const[role] = self._built(name, node).object
        call, gather = resolve(kind.function), self.context.gather
        function = self._python(node, call, (kind.inputs, kind.returns), const, kind.noise)
        if not kind.gather or gather is None:
            return function
        whens = tuple(f"when#{i}" for i in range(len(self.flow.conditions(node.path))))
        asks = "own" in inspect.signature(call).parameters

        def tell(own: slice) -> None:
            if asks:
                const["own"] = own

        return together(function, kind, ports=node.outputs, whens=whens, gather=gather, tell=tell)

    def _method(self, node: Call, built: Built, method: Method) -> Function:
        name = method.attribute or ("__call__" if node.method == "forward" else node.method)
        const: Values = {"config": node.config} if method.config.model_fields else {}
        call = traced(getattr(built.object, name), built)
        function = self._python(node, call, (method.inputs, method.returns), const, method.noise)
        return _cast_first(function, _cast_keys(node, method.inputs), built.object)

    def _python(
        self, node: Node, call: Callable[..., Any], ports: tuple[Ports, Ports], const: Values, noise: bool
    ) -> Function:
        """A Python function with keywords; a keyword is a port, `config`, a role, or `noise`."""
        scope = self.flow.sites[node.path].scope
        direct, getters = plain(node, ports[0], scope), arguments(node, ports[0], scope)
        values, seeds, path = spread(ports[1]), self.context.seeds, node.path
        owners = [f"rows#{i}" for i in range(len(self.flow.owners(path)))]
        finish = self._finisher(node)

        def run(args: Values, at: At) -> Mapping[str, Any]:
            given = {name: args[name] for name in direct}
            for name, get in getters:
                given[name] = get(args, at)
            if noise:
                every, numbers = seeds[at.request]
                keys = owned(every, numbers, [args[key] for key in owners])
                own_seeds, elements = shared_keys(*keys, at.share)
                given["noise"] = Noise(own_seeds, path, elements, at.step, _window(at))
            return finish(values(call(**given, **const)), at)

        return run

    def _slice(self, node: Call, built: Built, method: Method, span: tuple[int, int]) -> Function:
        assert method.path is not None
        a, b = span
        names = list(method.path(built.node.config, node.config))
        kind = built.type
        joint = kind.sharding(built.node.config).joint if kind.sharding is not None else ()
        parts = [(name, self._part(node, built, name)) for name in names[a:b]]
        assert built.type.parts is not None
        declared = {part.name: frozenset(part.writes) for part in built.type.parts(built.node.config)}
        is_traced = built.node.compile is not None and not _ports_of(node) & {*method.alone}
        checked = set[str]()
        depths = index_depths(node, self.flow.sites[node.path].scope)
        keys = dict.fromkeys(_state_keys(method.inputs))
        finish = self._finisher(node) if b == len(names) else _same

        def run(args: Values, at: At) -> Mapping[str, Any]:
            state = {**keys, **args}
            for key, depth in depths.items():
                state[key] = at.step[depth]
            return finish(forward(state, at.patch > 0 or at.member > 0), at)

        def through(own: Parts) -> Forward:
            def go(state: Values, apart: bool) -> Values:
                for name, part in own:
                    written = part(state)
                    if name not in checked:
                        _check_part(name, written, declared[name])
                        if not is_traced:  # there it costs nothing, and a set that changes is traced again
                            checked.add(name)
                    state.update(written)
                    for key in joint if apart else ():
                        state.pop(key, None)
                return state

            return go

        forward = in_goes(parts, through, built) if is_traced else through(parts)

        return _cast_first(run, _cast_keys(node, method.inputs), built.object)

    def _finisher(self, node: Node) -> Finish:
        """Check what a node made outside loops and in first turns, and bring it to the engine's device."""
        check, device = self.context.check_shapes, self.context.device
        on_cpu, ports = device.type == "cpu", tuple(node.outputs)

        def finish(found: Mapping[str, Any], at: At) -> Mapping[str, Any]:
            if check and not any(at.step) and not at.spans:
                wrong = check_outputs(node, found)
                if wrong is not None:
                    raise RunError(wrong)
            return found if on_cpu else _moved(found, ports, device)

        return finish


def _check_part(name: str, written: Any, declared: frozenset[str]) -> None:
    """A part must write what it declares: what it does not would be lost where the next part is on another rank."""
    if not isinstance(written, Mapping) or written.keys() != declared:
        found = ", ".join(written) if isinstance(written, Mapping) else type(written).__name__
        raise TypeError(
            f"part {name} declares that it writes {', '.join(sorted(declared))}; it returned {found}"
        )


def owned(
    seeds: tuple[int, ...], elements: tuple[int, ...], owners: list[Tensor]
) -> tuple[tuple[int, ...], tuple[Element, ...]]:
    """Seeds and elements of routed rows; `owners`: rows of the batch before, the last routing first.

    Several rows of one row are told apart by which one of them each is, and by nothing else of the batch; the first has
    the key that it would have alone.
    """
    keys: list[tuple[int, ...]] = [(element,) for element in elements]
    for rows in reversed(owners):
        chosen, met = rows.tolist(), Counter[int]()
        seeds = tuple(seeds[r] for r in chosen) if len(seeds) > 1 else seeds
        routed: list[tuple[int, ...]] = []
        for row in chosen:
            routed.append((*keys[row], met[row]))
            met[row] += 1
        keys = routed
    return seeds, tuple(_short(key) for key in keys)


def _short(key: tuple[int, ...]) -> Element:
    """Without the zeros at its end; one number by itself."""
    last = max((i for i, n in enumerate(key) if n), default=0)
    return key[: last + 1] if last else key[0]


def _window(at: At) -> tuple[int, int, int] | None:
    """Which rows of the whole are here, for what is drawn."""
    return (*at.spans[at.member], at.total) if at.spans else None


def _none(args: Values, at: At) -> Mapping[str, Any]:
    raise AssertionError("bound before it is called")


def _same(found: Mapping[str, Any], at: At) -> Mapping[str, Any]:
    return found


def _moved(found: Mapping[str, Any], ports: tuple[str, ...], device: torch.device) -> Values:
    """The same values, what was made on the CPU brought to the device."""
    values = dict(found)
    for port in ports:
        if port in values:
            values[port] = _there(values[port], device)
    return values


def _there(value: Any, device: torch.device) -> Any:
    """A tensor, or those of a list, on the device."""
    if isinstance(value, list):
        return [_there(item, device) for item in value]
    is_here = isinstance(value, Tensor) and value.device.type == "cpu"
    return value.to(device, non_blocking=True) if is_here else value


def _state_keys(ports: Ports) -> list[str]:
    """Keys under which a method's inputs are in the state."""
    return [
        k for p, t in ports.items() for k in ([f"{p}.{f}" for f in t.fields] if t.fields is not None else [p])
    ]


def _ports_of(node: Node) -> set[str]:
    """Inputs that are linked."""
    return {key.partition("#")[0].partition(".")[0] for key, _ in keyed(node.inputs)}


def _cast_keys(node: Node, ports: Ports) -> tuple[str, ...]:
    """Keys of inputs that a model gets in its own dtype: features, never times, sizes or masks."""
    found = []
    for key, _ in keyed(node.inputs):
        port, _, field_name = key.partition("#")[0].partition(".")
        type_ = ports.get(port)
        kind = (type_.fields or {}).get(field_name, type_) if type_ is not None else None
        if kind is not None and kind.kind in FLOATS:
            found.append(key)
    return tuple(found)


def _cast_first(function: Function, keys: tuple[str, ...], model: Any) -> Function:
    """Bring the floating inputs of a network to its dtype."""
    weights = model.parameters() if isinstance(model, nn.Module) else ()
    dtype = next((p.dtype for p in weights if p.is_floating_point()), None)
    if dtype is None or not keys:
        return function
    kept = Kept()  # a condition stays the same object in every step, so that layers know it again

    def to_dtype(value: Tensor) -> Tensor:
        return value.to(dtype)

    def run(args: Values, at: At) -> Mapping[str, Any]:
        for key in keys:
            value = args.get(key)
            if isinstance(value, Tensor) and value.dtype is not dtype and value.is_floating_point():
                args[key] = kept.of(value, to_dtype) if "." in key else value.to(dtype)
        return function(args, at)

    return run
