"""Declarations of the row ops."""

from __future__ import annotations

from mmm_graph.registry import op_type

ROWS_WHERE = op_type(
    "rows.where",
    "mmm_route.rows:where",
    mask="Bool[b]",
    returns={"rows": "Ids[r]"},
    doc="Indices of the batch elements where the mask is true; they own the rows that come out of a routed branch.",
)

ROWS_TAKE = op_type(
    "rows.take",
    "mmm_route.rows:take",
    x="Any",
    rows="Ids[r]",
    returns={"x": "Any"},
    doc="The rows of a batched value (tensor or list) at the given indices, in their order.",
)
