"""Model nodes -> modules as their constructors make them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from mmm_graph.errors import MmmError, RunError, problem
from mmm_graph.graph.attached import copy_key
from mmm_graph.graph.graph import ModelNode
from mmm_graph.nn.copies import Copies
from mmm_graph.registry.node_type import ModelType, resolve


def constructed(node: ModelNode, kind: ModelType) -> nn.Module:
    """What the constructor makes; the parts of so many of it where it stands between the blocks of another."""
    make = resolve(kind.builder)
    if node.copies:
        return Copies(lambda: make(node.config), node.copies, copy_key)
    module: nn.Module = make(node.config)
    return module


def skeleton(node: ModelNode, kind: ModelType) -> nn.Module:
    """A model on the meta device: names and shapes of its layers, and no numbers.

    Raises:
        RunError: E620, its builder failed.
    """
    with naming(node), on_meta():
        return constructed(node, kind)


@contextmanager
def on_meta() -> Iterator[None]:
    """Inside, modules are made without numbers. Nothing draws any: on the meta device too that would be work, and the
    first time it would import PyTorch's compiler, for two seconds."""
    with torch.device("meta"), SkipDraws():
        yield


class SkipInit(TorchFunctionMode):
    """Inside, parameters are allocated but not initialised, which leaves their memory untouched."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        filled = args[0] if args else given.get("tensor")  # as the functions of torch.nn.init call it
        is_fill = (
            getattr(func, "__name__", "") in FILLS or getattr(func, "__module__", "") == nn.init.__name__
        )
        if is_fill and isinstance(filled, nn.Parameter):
            return filled
        return func(*args, **given)


class SkipDraws(SkipInit):
    """Inside, what would be drawn at random is only allocated: for the meta device, where there are no numbers."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in (torch.randn, torch.rand):
            return torch.empty(
                *args, **{key: value for key, value in (kwargs or {}).items() if key != "generator"}
            )
        return super().__torch_function__(func, types, args, kwargs)


FILLS = frozenset(["normal_", "uniform_", "fill_", "zero_", "erfinv_", "mul_", "add_", "clamp_", "copy_"])


@contextmanager
def naming(node: ModelNode) -> Iterator[None]:
    """Whatever the constructor of a model raises, as an error that names the model.

    Raises:
        RunError: E620.
    """
    try:
        yield
    except MmmError:
        raise
    except Exception as error:  # whatever a plugin's constructor raises
        what = f"{node.name} ({node.kind}) cannot be built: {type(error).__name__}: {error}"
        raise RunError(problem("E620", what, node.place)) from error
