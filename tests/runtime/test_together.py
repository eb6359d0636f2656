"""An op that sees the rows of all ranks, on a rank with and without rows of its own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mmm_graph.errors import RunError
from mmm_graph.plan.ops import At
from mmm_graph.registry import op_type
from mmm_graph.runtime.together import together
from mmm_graph.runtime.values import Absent

AT = At("r", "pairs")
KIND = op_type(
    "loss.pairs", "a.b:c", x="Embeds[b,d]", ids="Ids[b]?", scale="Scalar[]", returns={"loss": "Scalar[]"}, gather="data"
)  # fmt: skip
OTHERS = torch.ones(3, 2)


def run(args: dict[str, Any], others: Tensor | None = OTHERS) -> tuple[Any, list[slice]]:
    """What the op makes, and which rows it was told are ours; the other rank comes first."""
    own: list[slice] = []

    asked: list[Tensor | None] = []

    def gather(x: Tensor | None) -> tuple[Tensor | None, slice]:
        asked.append(x)
        if len(asked) == 2:  # ids, which no rank has
            return None, slice(0, 0)
        pieces = [p for p in (others, x) if p is not None]
        first = 0 if others is None else len(others)
        return (torch.cat(pieces) if pieces else None), slice(first, first + (0 if x is None else len(x)))

    def op(values: dict[str, Any], at: At) -> dict[str, Any]:
        return {"loss": values["x"].sum() * values["scale"], "ids": values["ids"]}

    found = together(op, KIND, ports=["loss"], whens=("when#0",), gather=gather, tell=own.append)
    return found(args, AT), own


def test_rows_of_all_come_to_the_op() -> None:
    found, own = run({"when#0": True, "x": torch.ones(2, 2), "ids": Absent("none"), "scale": 2.0})
    assert found == {"loss": 20.0, "ids": None} and own == [slice(3, 5)]


@pytest.mark.parametrize(
    "missing", [{"when#0": False}, {"when#0": Absent("gone")}, {"x": Absent("no image")}]
)
def test_a_rank_without_rows_sees_those_of_the_others(missing: dict[str, Any]) -> None:
    args = {"when#0": True, "x": torch.ones(2, 2), "ids": None, "scale": 2.0, **missing}
    found, own = run(args)
    assert found["loss"] == 12.0 and own == [slice(3, 3)]


def test_where_no_rank_has_rows_nothing_is_made() -> None:
    found, _ = run({"when#0": False, "x": torch.ones(2, 2), "ids": None, "scale": 2.0}, others=None)
    assert isinstance(found["loss"], Absent) and "condition of pairs is false" in str(found["loss"])


def test_what_is_no_batch_must_be_there() -> None:
    with pytest.raises(RunError, match=r"E861.*pairs has rows of other ranks, but this one lacks scale"):
        run({"when#0": True, "x": Absent("no image"), "ids": None, "scale": Absent("no image")})
