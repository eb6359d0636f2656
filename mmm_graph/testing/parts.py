"""The table of parts against the modules: names, numbers of weights, state keys really read and written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from mmm_graph.config import Config
from mmm_graph.registry.node_type import ModelType
from mmm_graph.registry.part import Part
from mmm_graph.spec.ports import PortType
from mmm_graph.testing.same import copied
from mmm_graph.testing.values import Sizes


class Watched(dict[str, Any]):
    """A state that remembers which keys were asked for."""

    def __init__(self, state: dict[str, Any]) -> None:
        super().__init__(state)
        self.asked: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """As dict.get, remembered."""
        self.asked.add(key)
        return super().get(key, default)


def check_parts(node: ModelType, config: Config, built: nn.Module) -> None:
    """Names in order, and the number of weights in each part.

    Raises:
        AssertionError: the first difference.
    """
    if node.parts is None:
        return
    table = node.parts(config)
    modules = getattr(built, "parts", None)
    if not isinstance(modules, nn.ModuleDict):
        raise AssertionError(
            f"{node.kind} declares parts, but {type(built).__name__} has no nn.ModuleDict `parts`"
        )
    if [p.name for p in table] != list(modules):
        raise AssertionError(
            f"{node.kind}: the table lists {[p.name for p in table]}, the model has {list(modules)}"
        )
    for part in table:
        count = sum(p.numel() for p in modules[part.name].parameters())
        if count != part.params:
            raise AssertionError(f"{node.kind}: part {part.name} says {part.params} weights and has {count}")
        unknown = sorted(set(part.sizes) - set(part.writes))
        if unknown:
            raise AssertionError(
                f"{node.kind}: part {part.name} gives a size for {unknown[0]!r}, which it does not write"
            )
    outside = [k for k in built.state_dict() if not k.startswith("parts.")]
    if outside:
        raise AssertionError(f"{node.kind}: {outside[0]!r} belongs to no part, so no rank would load it")


def check_sharding(node: ModelType, config: Config) -> None:
    """Units name methods and are whole rows, joint tokens are state keys that a part writes.

    Raises:
        AssertionError: the first that does not.
    """
    if node.sharding is None:
        return
    said = node.sharding(config)
    for name, unit in said.units.items():
        if name not in node.methods or unit < 1:
            raise AssertionError(
                f"{node.kind}: sharding cuts {name!r} at multiples of {unit}; "
                f"expected one of {', '.join(node.methods)} and 1 or more rows"
            )
    written = {key for part in (node.parts(config) if node.parts is not None else ()) for key in part.writes}
    for key in said.joint:
        if key not in written:
            raise AssertionError(
                f"{node.kind}: sharding names the joint tokens {key!r}, which no part writes"
            )


def run_path(
    node: ModelType, name: str, built: nn.Module, config: Config, node_config: Config
) -> Callable[..., dict[str, Any]]:
    """A function that runs a method through its parts and checks the keys that each one reads and writes."""
    assert node.parts is not None
    table = {p.name: p for p in node.parts(config)}
    method = node.methods[name]
    assert method.path is not None
    path = list(method.path(config, node_config))
    modules = built.parts
    assert isinstance(modules, nn.ModuleDict)
    unknown = [p for p in path if p not in table]
    if unknown:
        raise AssertionError(f"{node.kind}.{name}: the path names {unknown[0]!r}, which is no part")

    states = [name for name, port in method.inputs.items() if port.kind == "State"]

    def run(**inputs: Any) -> dict[str, Any]:
        state = flattened(
            {k: copied(v) if k in states else v for k, v in inputs.items()}
        )  # it is written in place
        for part in path:
            state.update(_run_part(node, table[part], modules[part], state, (node_config, config)))
        found = {k: _output(state, k, port) for k, port in method.returns.items()}
        missing = [
            k for k, p in method.returns.items() if found[k] is None and k not in state and not p.optional
        ]
        if missing:
            raise AssertionError(f"{node.kind}.{name}: no part of the path writes the output {missing[0]!r}")
        return found

    return run


def _output(state: dict[str, Any], name: str, port: PortType) -> Any:
    """A State is what the parts wrote below its name."""
    if port.kind == "State" and name not in state:
        return {k[len(name) + 1 :]: v for k, v in state.items() if k.startswith(f"{name}.")} or None
    return state.get(name)


def flattened(inputs: dict[str, Any]) -> dict[str, Any]:
    """Cond and State inputs as `cond.embeds`; absent ones left out."""
    state: dict[str, Any] = {}
    for name, value in inputs.items():
        if isinstance(value, dict):
            state.update({f"{name}.{k}": v for k, v in value.items() if v is not None})
        elif value is not None:
            state[name] = value
    return state


def _run_part(
    node: ModelType, part: Part, module: nn.Module, state: dict[str, Any], configs: tuple[Config, ...]
) -> dict[str, Tensor]:
    watched = Watched(state)
    written: dict[str, Tensor] = module(watched)
    where = f"{node.kind}: part {part.name}"
    undeclared = sorted(watched.asked - set(part.reads))
    if undeclared:
        raise AssertionError(
            f"{where} reads {undeclared[0]!r}; declared are {', '.join(part.reads) or 'none'}"
        )
    unread = sorted(set(part.reads) - watched.asked)
    if unread:
        raise AssertionError(f"{where} declares that it reads {unread[0]!r}, but it does not")
    if set(written) != set(part.writes):
        raise AssertionError(f"{where} wrote {sorted(written)}; declared are {sorted(part.writes)}")
    for key, value in written.items():
        sizes = Sizes(configs)  # symbols of a state key may stand for another size after each part
        wrong = sizes.match(node.state[key], tuple(value.shape)) if key in node.state else ""
        if wrong:
            raise AssertionError(f"{where}: state key {key!r} {wrong}")
    return written
