"""`compile:` of a model: its forward passes by torch.compile, traced when they are first run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_graph.runtime.build import Built

Forward = Callable[..., Any]


def traced(function: Forward, built: Built) -> Forward:
    """The function as `compile:` of its model says; itself where that says nothing.

    Layers see tensors only, so that one graph holds all that runs on a rank in one go; other sizes are traced again.

    Raises:
        RunError: E728, the model is offloaded: its weights come and go while it computes.
    """
    mode = built.node.compile
    if mode is None:
        return function
    if built.room is not None:
        what = f"{built.node.name} has `compile: {mode}` and is offloaded"
        raise RunError(
            problem(
                "E728", what, built.node.place, "leave out one: what is traced needs its weights in place"
            )
        )
    run = torch.compile(function, mode=mode)
    return _copied(run) if mode != "default" and built.device.type == "cuda" else run


def _copied(run: Forward) -> Forward:
    """CUDA graphs write every result to the same memory, and samplers look back at earlier ones."""

    def fresh(*args: Any) -> Any:
        return _each(run(*args))

    return fresh


def _each(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _each(item) for key, item in value.items()}
    return type(value)(map(_each, value)) if isinstance(value, tuple | list) else value
