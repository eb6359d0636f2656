"""`config:` of data and optimisers -> the plugin's config class, with every mistake located."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from mmm_graph.config import Config
from mmm_graph.errors import InputError
from mmm_graph.graph.context import Context
from mmm_graph.graph.scope import Scope
from mmm_graph.registry import Registry
from mmm_graph.spec import GraphSpec

C = TypeVar("C", bound=Config)


def read_config(
    spec: GraphSpec, registry: Registry, cls: type[C], raw: Mapping[str, Any], where: tuple[str, ...]
) -> C:
    """Check a `config:` mapping that stands at `where` in the file.

    Raises:
        InputError: E210 and E301, all at once.
    """
    context = Context(spec, registry)
    config = context.config(cls, raw, Scope("", spec.place), *where)
    if config is None:
        raise InputError(context.problems)
    assert isinstance(config, cls)
    return config
