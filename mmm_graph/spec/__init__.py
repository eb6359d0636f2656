"""What the user writes, as frozen values; no torch."""

from mmm_graph.spec.dump import dump_spec, dump_tree, to_yaml
from mmm_graph.spec.files import Tree, load_tree
from mmm_graph.spec.graph import (
    DataSpec,
    EvalSpec,
    GraphSpec,
    LoopSpec,
    ModelSpec,
    NodeSpec,
    ParallelSpec,
    StageSpec,
    SubgraphSpec,
    TrainSpec,
)
from mmm_graph.spec.load import load_spec, with_values
from mmm_graph.spec.params import ParamSpec, substitute

__all__ = [
    "DataSpec",
    "EvalSpec",
    "GraphSpec",
    "LoopSpec",
    "ModelSpec",
    "NodeSpec",
    "ParallelSpec",
    "ParamSpec",
    "StageSpec",
    "SubgraphSpec",
    "TrainSpec",
    "Tree",
    "dump_spec",
    "dump_tree",
    "load_spec",
    "load_tree",
    "substitute",
    "to_yaml",
    "with_values",
]
