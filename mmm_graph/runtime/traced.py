"""`compile:` of a model: its forward passes by torch.compile, traced when they are first run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_graph.runtime.build import Built

Forward = Callable[..., Any]
Parts = Sequence[tuple[str, Callable[..., Any]]]
"""Parts of a path, by name."""


def in_goes(parts: Parts, through: Callable[[Parts], Forward], built: Built) -> Forward:
    """A path of a model that has `compile:`, in as few graphs as can be.

    Parts that decide by numbers (`asks`) are run as they are: where a graph breaks within a path, each part would be
    one by itself, and of those that share their code only the first few would be traced. What is traced is kept with
    the model, whatever else is asked of its graph.

    Args:
        through: parts that follow each other -> what runs them on (state, apart).
    """
    groups = groupby(parts, key=lambda named: not getattr(named[1], "asks", False))
    goes = [
        _kept(own, through, built) if can else through(own) for can, own in ((c, [*g]) for c, g in groups)
    ]

    def forward(state: Any, apart: bool) -> Any:
        for go in goes:
            state = go(state, apart)
        return state

    return forward


def _kept(parts: Parts, through: Callable[[Parts], Forward], built: Built) -> Forward:
    names = tuple(name for name, _ in parts)
    if names not in built.traced:
        built.traced[names] = traced(through(parts), built)
    return built.traced[names]


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
    run = torch.compile(_by_itself(function), mode=mode)
    return _copied(run) if mode != "default" and built.device.type == "cuda" else run


def _by_itself(function: Forward) -> Forward:
    """With code of its own: torch bounds how often the same code is traced, and paths of all models have the same."""
    if not isinstance(function, FunctionType):
        return function
    parts = (function.__globals__, function.__name__, function.__defaults__, function.__closure__)
    return FunctionType(function.__code__.replace(), *parts)


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
