"""check_node: one node type, built small and called with random values, held to what it declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from mmm_graph.config import Config
from mmm_graph.nn.noise import Noise
from mmm_graph.registry.checks import check_node_type
from mmm_graph.registry.node_type import (
    CompositeType,
    DataType,
    Method,
    ModelType,
    NodeType,
    OptimType,
    OpType,
    resolve,
)
from mmm_graph.spec.ports import KINDS
from mmm_graph.testing.call import Invocation, as_outputs, exercise, invoke, prepare
from mmm_graph.testing.other import check_composite, check_data, check_optim
from mmm_graph.testing.parts import check_parts, check_sharding, run_path
from mmm_graph.testing.pieces import check_rowwise
from mmm_graph.testing.ranks import check_ranks
from mmm_graph.testing.same import same, untouched_rng
from mmm_graph.testing.sampler import check_sampler
from mmm_graph.testing.setup import Setup, all_ports, check_config, in_one_line, make_config
from mmm_graph.testing.values import flat


def check_node(
    node: NodeType,
    *,
    config: Mapping[str, Any] | None = None,
    methods: Mapping[str, Mapping[str, Any]] | None = None,
    dims: Mapping[str, int] | None = None,
    values: Mapping[str, Any] | None = None,
    uses: Mapping[str, Any] | None = None,
    path: str | Path | None = None,
    seed: int = 0,
) -> None:
    """Hold a node type to what it declares: the one-line test of a plugin.

    Checked: what the loader checks; the config survives JSON; the builder resolves; with random inputs of the
    declared shapes, every output has its declared kind and shape, with and without the optional inputs;
    inputs stay as they were; the same seed gives the same numbers, and no global generator is drawn from; the
    table of parts agrees with the modules, and what is said about sharding with both: two ranks (threads) make what
    one device makes, on every axis that is not refused, and two pieces of what is `rowwise` make the whole; weights
    survive safetensors. A loss has a gradient; a sampler reaches the clean latent that its denoiser keeps predicting.

    Args:
        node: any node type.
        config: its config, for a small instance. Fields that links would solve may be left out.
        methods: config of a node for each method that needs one: {"times": {"steps": 4}}.
        dims: sizes of symbols, such as {"h": 32}; `v` also bounds random ids.
        values: inputs by port name, where random ones of the declared shape would not do; always fed.
        uses: for an op, role -> a built model or a ModelType; for a composite, role -> Used.
        path: what `weights:` would name, for a type that reads a file when built.
        seed: of the random inputs and of the weights.

    Raises:
        AssertionError: what was found and what was expected.
    """
    check_node_type(node, KINDS | {p.kind for p in flat(all_ports(node))})
    setup = Setup(
        make_config(node, config or {}),
        methods or {},
        dims or {},
        values or {},
        uses or {},
        Path(path) if path is not None else None,
        seed,
    )
    check_config(node.kind, setup.config)
    if isinstance(node, OpType):
        _check_op(node, setup)
    elif isinstance(node, CompositeType):
        check_composite(node, setup.config, setup.uses)
    elif isinstance(node, DataType):
        check_data(node, setup.config)
    elif isinstance(node, OptimType):
        check_optim(node, setup.config)
    else:
        _check_model(node, setup)


def build(node: ModelType, setup: Setup, seed: int) -> Any:
    """An instance with weights drawn from that seed, in evaluation mode.

    Raises:
        AssertionError: the builder is not there, fails, or draws from random or numpy.
    """
    try:
        builder = resolve(node.builder)
    except (ImportError, AttributeError) as error:
        raise AssertionError(
            f"{node.kind}: the builder {node.builder!r} does not resolve: {error}"
        ) from error
    extra = {} if setup.path is None else {"path": setup.path}
    with torch.random.fork_rng(devices=[]), untouched_rng(f"building {node.kind}", torch_too=False):
        torch.manual_seed(seed)
        built = _construct(node, builder, setup.config, extra)
    return built.eval() if isinstance(built, nn.Module) else built


def _construct(node: ModelType, builder: Any, config: Config, extra: Mapping[str, Any]) -> Any:
    try:
        return builder(config, **extra)
    except Exception as error:
        raise AssertionError(f"{node.kind} cannot be built: {type(error).__name__}: {error}") from error


def _check_model(node: ModelType, setup: Setup) -> None:
    built = build(node, setup, setup.seed)
    check_sharding(node, setup.config)
    if node.kind.startswith("sampler."):
        check_sampler(node.kind, built, setup.config)
    if isinstance(built, nn.Module):
        check_parts(node, setup.config, built)
        if not same(dict(built.state_dict()), dict(build(node, setup, setup.seed).state_dict())):
            raise AssertionError(f"{node.kind}: two instances built with one seed have different weights")
    elif node.parts is not None or node.weights:
        raise AssertionError(f"{node.kind} declares weights, but {type(built).__name__} is no nn.Module")
    calls = {name: _method_call(node, name, built, setup) for name in node.methods}
    for name, call in calls.items():
        exercise(f"{node.kind}.{name}", node.methods[name].inputs, call, setup)
        if isinstance(built, nn.Module):
            check_ranks(node, name, call, built, setup)
        if node.methods[name].rowwise:
            _check_rowwise_method(node, name, call, setup)
    if isinstance(built, nn.Module) and built.state_dict():
        _check_state_dict(node, built, setup)


def _method_call(node: ModelType, name: str, built: Any, setup: Setup) -> Invocation:
    method = node.methods[name]
    try:
        config = method.config(**setup.methods.get(name, {}))
    except ValidationError as error:
        raise AssertionError(
            f"{node.kind}.{name}: pass methods={{{name!r}: {{...}}}}: {in_one_line(error)}"
        ) from error
    check_config(f"{node.kind}.{name}", config)
    if method.path is not None:
        run = run_path(node, name, built, setup.config, config)
    else:
        run = _python_method(node, name, method, built, config)
    return Invocation(method.returns, (config, setup.config), method.noise, run)


def _check_rowwise_method(node: ModelType, name: str, call: Invocation, setup: Setup) -> None:
    """Unless its facts take the promise back for this config."""
    method = node.methods[name]
    facts = method.facts(setup.config, call.configs[0], {}) if method.facts is not None else {}
    if facts.get("rowwise", True):
        check_rowwise(f"{node.kind}.{name}", method.inputs, call, setup)


def _python_method(
    node: ModelType, name: str, method: Method, built: Any, config: Config
) -> Callable[..., dict[str, Any]]:
    attribute = method.attribute or ("__call__" if name == "forward" else name)
    function = getattr(built, attribute, None)
    if not callable(function):
        raise AssertionError(f"{node.kind}: {type(built).__name__} has no method {attribute!r}")
    extra = {"config": config} if type(config).model_fields else {}
    return lambda **inputs: as_outputs(f"{node.kind}.{name}", method.returns, function(**inputs, **extra))


def _check_op(node: OpType, setup: Setup) -> None:
    try:
        function = resolve(node.function)
    except (ImportError, AttributeError) as error:
        raise AssertionError(
            f"{node.kind}: the function {node.function!r} does not resolve: {error}"
        ) from error
    missing = [
        role for role, wanted in node.uses.items() if role not in setup.uses and not wanted.endswith("?")
    ]
    if missing:
        raise AssertionError(
            f"{node.kind} uses {missing[0]!r}; pass uses={{{missing[0]!r}: a model or its type}}"
        )
    extra = {role: _used(setup.uses[role], setup) for role in node.uses if role in setup.uses}
    if type(setup.config).model_fields:
        extra["config"] = setup.config

    def run(**inputs: Any) -> dict[str, Any]:
        return as_outputs(node.kind, node.returns, function(**inputs, **extra))

    call = Invocation(node.returns, (setup.config,), node.noise, run)
    exercise(node.kind, node.inputs, call, setup)
    if node.rowwise and _stays_rowwise(node, setup):
        check_rowwise(node.kind, node.inputs, call, setup)
    if node.kind.startswith("loss."):
        _check_gradient(node, call, setup)


def _stays_rowwise(node: OpType, setup: Setup) -> bool:
    """Whether its facts leave the promise; what they say about models that came built is not known."""
    if node.facts is None:
        return True
    types = {role: used for role, used in setup.uses.items() if isinstance(used, ModelType)}
    if not node.uses.keys() <= types.keys():
        return False
    configs = {role: make_config(used, {}) for role, used in types.items()}
    return bool(node.facts(setup.config, configs, {}).get("rowwise", True))


def _used(used: Any, setup: Setup) -> Any:
    if not isinstance(used, ModelType):
        return used
    return build(used, replace(setup, config=make_config(used, {}), path=None), setup.seed)


def _check_gradient(node: OpType, call: Invocation, setup: Setup) -> None:
    _, inputs = prepare(node.inputs, call, setup)
    given = [v for value in inputs.values() for v in (value if isinstance(value, list) else [value])]
    leaves = [v.requires_grad_() for v in given if isinstance(v, Tensor) and v.is_floating_point()]
    extra = {"noise": Noise((setup.seed,), "check", (0, 1), ())} if node.noise else {}
    loss = next(iter(call.run(**inputs, **extra).values()))
    if loss.shape != ():
        raise AssertionError(f"{node.kind}: the loss has the shape {list(loss.shape)}; expected one number")
    if not loss.requires_grad:
        raise AssertionError(f"{node.kind}: no gradient flows from the loss to any of its inputs")
    loss.sum().backward()
    if not any(leaf.grad is not None and bool((leaf.grad != 0).any()) for leaf in leaves):
        raise AssertionError(f"{node.kind}: the gradient of the loss is zero for every input")


def _check_state_dict(node: ModelType, built: nn.Module, setup: Setup) -> None:
    """Weights written and read by safetensors make another instance compute the same."""
    saved = safetensors.torch.save(
        {k: v.detach().clone().contiguous() for k, v in built.state_dict().items()}
    )
    other = build(node, setup, setup.seed + 1)
    other.load_state_dict(safetensors.torch.load(saved), assign=True, strict=True)
    for name, method in node.methods.items():
        where = f"{node.kind}.{name}"
        call, again = (_method_call(node, name, m, setup) for m in (built, other))
        sizes, inputs = prepare(method.inputs, call, setup)
        if not same(invoke(where, call, inputs, sizes, setup), invoke(where, again, inputs, sizes, setup)):
            raise AssertionError(
                f"{where}: an instance that loads the saved weights computes something else; "
                "is a tensor missing from its state dict?"
            )
