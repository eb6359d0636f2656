"""Calling what was built, with random inputs of the declared shapes, and judging what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmm_graph.config import Config
from mmm_graph.nn.noise import Noise
from mmm_graph.registry.node_type import Ports
from mmm_graph.testing.same import copied, same, untouched_rng
from mmm_graph.testing.setup import Setup
from mmm_graph.testing.values import Sizes, check_value, draw_inputs


@dataclass(frozen=True)
class Invocation:
    """One thing that can be called: with all inputs by name, it returns its outputs by name."""

    returns: Ports
    configs: tuple[Config, ...]
    noise: bool
    run: Callable[..., dict[str, Any]]


def exercise(where: str, ports: Ports, call: Invocation, setup: Setup) -> None:
    """Call it with all inputs, with the required (and given) ones, and twice alike."""
    required = {n: p for n, p in ports.items() if not p.optional or n in setup.values}
    for chosen in (ports, required) if required.keys() != ports.keys() else (ports,):
        sizes, inputs = prepare(chosen, call, setup)
        inputs = dict.fromkeys(ports) | inputs
        before = copied(inputs)
        outputs = invoke(where, call, inputs, sizes, setup)
        if not same(before, inputs):
            raise AssertionError(f"{where} changed its inputs in place; other nodes may read them too")
        for name, port in call.returns.items():
            wrong = check_value(name, port, outputs.get(name), sizes)
            if wrong:
                raise AssertionError(f"{where}: output {wrong}")
        with untouched_rng(where):  # not the first call, which may import modules that draw while imported
            again = invoke(where, call, inputs, sizes, setup)
        if not same(outputs, again):
            raise AssertionError(f"{where}: two calls with the same inputs and seed gave different outputs")


def prepare(ports: Ports, call: Invocation, setup: Setup) -> tuple[Sizes, dict[str, Any]]:
    """Sizes of all symbols, and inputs of those sizes."""
    sizes = Sizes(call.configs)
    sizes.choose(ports, setup.dims, setup.values)
    return sizes, draw_inputs(ports, sizes, setup.values, setup.seed)


def invoke(
    where: str, call: Invocation, inputs: dict[str, Any], sizes: Sizes, setup: Setup
) -> dict[str, Any]:
    rows = tuple(range(sizes.known.get("b", 2)))
    extra = {"noise": Noise((setup.seed,), "check", rows, ())} if call.noise else {}
    try:
        with torch.no_grad():
            return call.run(**inputs, **extra)
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(
            f"{where} failed on {_shapes(inputs)}: {type(error).__name__}: {error}"
        ) from error


def _shapes(inputs: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{n}{list(v.shape)}" if isinstance(v, Tensor) else f"{n}={type(v).__name__}"
        for n, v in inputs.items()
    )


def as_outputs(where: str, returns: Ports, value: Any) -> dict[str, Any]:
    """What a function returned, by port: the value of the only port, or a dict.

    Raises:
        AssertionError: the names are not the declared ones.
    """
    if len(returns) == 1 and not (isinstance(value, dict) and value.keys() == returns.keys()):
        return {next(iter(returns)): value}
    missing = [n for n, p in returns.items() if isinstance(value, dict) and n not in value and not p.optional]
    if not isinstance(value, dict) or missing or value.keys() - returns.keys():
        got = ", ".join(value) if isinstance(value, dict) else type(value).__name__
        raise AssertionError(f"{where} returned {got}; declared are the ports {', '.join(returns)}")
    return value
