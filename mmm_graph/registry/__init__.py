"""What exists: the plugin API (node types, hooks) and the loader. A plugin imports from here."""

from mmm_graph.registry.extension import Importer, PortKind, WeightSource
from mmm_graph.registry.fields import GENERIC, Fields
from mmm_graph.registry.foreign import Foreign
from mmm_graph.registry.foreign_image import find_image_processor, read_image_processor
from mmm_graph.registry.hooks import hookimpl, hookspec
from mmm_graph.registry.layout import Cut, Layout, below, turned
from mmm_graph.registry.load import load_registry
from mmm_graph.registry.node_type import (
    ROLES,
    CompositeType,
    DataType,
    Facts,
    GuidanceConfig,
    Method,
    ModelType,
    NodeType,
    OptimType,
    OpType,
    Ports,
    SamplerConfig,
    Saver,
    Used,
    composite_type,
    data_type,
    method,
    model_type,
    op_type,
    optim_type,
    resolve,
    sampler_type,
)
from mmm_graph.registry.notify import Notifier
from mmm_graph.registry.part import Part, Sharding, TextWork
from mmm_graph.registry.registry import Observer, PluginInfo, Registry, registry_of
from mmm_graph.spec.ports import cond

__all__ = [
    "GENERIC",
    "ROLES",
    "CompositeType",
    "Cut",
    "DataType",
    "Facts",
    "Fields",
    "Foreign",
    "GuidanceConfig",
    "Importer",
    "Layout",
    "Method",
    "ModelType",
    "NodeType",
    "Notifier",
    "Observer",
    "OpType",
    "OptimType",
    "Part",
    "PluginInfo",
    "PortKind",
    "Ports",
    "Registry",
    "SamplerConfig",
    "Saver",
    "Sharding",
    "TextWork",
    "Used",
    "WeightSource",
    "below",
    "composite_type",
    "cond",
    "data_type",
    "find_image_processor",
    "hookimpl",
    "hookspec",
    "load_registry",
    "method",
    "model_type",
    "op_type",
    "optim_type",
    "read_image_processor",
    "registry_of",
    "resolve",
    "sampler_type",
    "turned",
]
