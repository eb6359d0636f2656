"""What a plugin author runs: `check_node(type)` holds one node type to everything that it declares."""

from mmm_graph.testing.node import check_node

__all__ = ["check_node"]
