"""Model nodes -> modules as their constructors make them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from mmm_graph.errors import MmmError, RunError, problem
from mmm_graph.graph.attached import copy_key
from mmm_graph.graph.graph import ModelNode
from mmm_graph.nn.copies import Copies
from mmm_graph.registry.node_type import ModelType, resolve


def constructed(node: ModelNode, kind: ModelType) -> nn.Module:
    """What the constructor makes; the parts of so many of it where it stands between the blocks of another."""
    make = resolve(kind.builder)
    if node.host:
        return Copies(lambda: make(node.config), node.copies, copy_key)
    module: nn.Module = make(node.config)
    return module


def skeleton(node: ModelNode, kind: ModelType) -> nn.Module:
    """A model on the meta device: names and shapes of its layers, and no numbers.

    Raises:
        RunError: E620, its builder failed.
    """
    with naming(node), torch.device("meta"):
        return constructed(node, kind)


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
