"""A prefix cache for a graph that is asked again and again with what was said before."""

from __future__ import annotations

from mmm_graph.registry import CompositeType, ModelType, Registry
from mmm_graph.spec.graph import GraphSpec, NodeSpec

SETTING = "prefix_cache"
"""Name of the setting of a composite, and of the input of a model's method that it ends in."""


def with_prefix_cache(spec: GraphSpec, registry: Registry, mib: int) -> GraphSpec:
    """The same graph, whose nodes keep prefixes of prompts where they can and the file does not say how much.

    Args:
        mib: for each node; 0 = as the file says.
    """
    if not mib:
        return spec
    nodes = {
        name: node.model_copy(update={"config": {**node.config, SETTING: mib}})
        if _can(node, spec, registry)
        else node
        for name, node in spec.nodes.items()
    }
    return spec.model_copy(update={"nodes": nodes})


def _can(node: NodeSpec, spec: GraphSpec, registry: Registry) -> bool:
    """Whether it has the setting, free, and only models that do; a beam search has several rows, which are not kept."""
    kind = registry.composites.get(node.op or "")
    if not isinstance(kind, CompositeType) or SETTING not in kind.config.model_fields:
        return False
    if SETTING in node.config or node.config.get("num_beams", 1) != 1:
        return False
    names = [node.use.get(role) for role in kind.uses if kind.uses[role] == "llm"]
    return all(name in spec.models and _keeps(spec, registry, name) for name in names if name is not None)


def _keeps(spec: GraphSpec, registry: Registry, name: str) -> bool:
    model = spec.models[name]
    kind = registry.models.get(model.kind)
    if not isinstance(kind, ModelType) or any(item.model is not None for item in model.attach):
        return False
    return any(SETTING in method.inputs for method in kind.methods.values())
