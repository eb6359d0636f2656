"""Inputs are cut by their ports, outputs joined and compared, and `rowwise` is tried."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from mmm_graph.registry import cond
from mmm_graph.spec.ports import parse_port
from mmm_graph.testing import check_node
from mmm_graph.testing.pieces import compare, cut, doubled, in_two, joined, rows_of
from tests.testing.toys import image_op

IMAGE = parse_port("Image[b,3,h,w]")
NONE_OF_THEM = {"embeds": parse_port("Embeds[b,l,d]")}


def test_ops_that_work_row_by_row_pass() -> None:
    check_node(image_op("brighter"))
    check_node(image_op("noisier", noise=True))
    check_node(image_op("centred", facts=lambda config, uses, have: {"rowwise": False}))


def test_an_op_that_sees_the_whole_image_is_found_out() -> None:
    with pytest.raises(
        AssertionError, match=r"image.toy, rowwise, on two pieces: output image differs .* by \d"
    ):
        check_node(image_op("centred"))
    with pytest.raises(AssertionError, match="differs"):
        check_node(image_op("centred"), dims={"h": 3})
    with pytest.raises(AssertionError, match="1 rows are not twice 1"):
        check_node(image_op("brighter"), dims={"h": 1})


def test_what_has_rows_is_cut_and_the_rest_is_not() -> None:
    x = torch.arange(2 * 3 * 6 * 2.0).reshape(2, 3, 6, 2)
    assert torch.equal(cut(IMAGE, x, (4, 6), 6), x[:, :, 4:6])
    assert torch.equal(cut(IMAGE, x, (2, 3), 3), x[:, :, 4:6])  # counted in rows of another resolution
    assert torch.equal(cut(parse_port("Latents*[b,3,h,w]"), [x], (0, 1), 6)[0], x[:, :, :1])
    assert cut(parse_port("Embeds[b,l,d]"), x, (0, 1), 6) is x
    assert cut(IMAGE, None, (0, 1), 6) is None
    record: Any = cut(
        cond(mask="Image[b,1,h,w]", embeds="Embeds[b,t,d]"), {"mask": x, "embeds": x}, (0, 1), 6
    )
    assert (record["mask"].shape[2], record["embeds"].shape[2]) == (1, 6)
    state = cut(parse_port("State"), {"x": x, "levels": torch.ones(4)}, (0, 1), 6)
    assert (state["x"].shape[2], len(state["levels"])) == (1, 4)


def test_pieces_are_uneven_where_they_can_be() -> None:
    assert in_two("toy", 4, 2) == ((0, 2), (2, 4))
    assert in_two("toy", 6, 2) == ((0, 4), (4, 6))
    assert in_two("toy", 16, 2) == ((0, 10), (10, 16))
    assert rows_of("toy", {**NONE_OF_THEM, "x": IMAGE}, {"x": torch.ones(1, 3, 5, 2)}) == 5
    with pytest.raises(AssertionError, match="no input is an image"):
        rows_of("toy", NONE_OF_THEM, {"embeds": torch.ones(1, 2, 3)})


def test_errors_are_relative_and_name_the_output() -> None:
    ports = {"image": IMAGE, "level": parse_port("Scalar[b]")}
    x = torch.full((1, 3, 4, 2), 1e3, dtype=torch.float64)
    each = {"image": [x[:, :, :1], x[:, :, 1:] + 1e-7], "level": [torch.ones(1), torch.ones(1)]}
    compare("toy", joined(ports, each), {"image": x, "level": torch.ones(1)}, "mend it")
    for level in (torch.zeros(1), torch.full((1,), math.nan), torch.ones(2), 1, None):
        wrong = {**each, "level": [torch.ones(1), level]}
        with pytest.raises(AssertionError, match=r"toy: output level differs .*: mend it"):
            compare("toy", joined(ports, wrong), {"image": x, "level": torch.ones(1)}, "mend it")


def test_doubled_reaches_into_records_and_leaves_whole_numbers() -> None:
    found: Any = doubled({"a": [torch.ones(1)], "b": torch.ones(1, dtype=torch.int64), "c": "text"})
    assert found["a"][0].dtype == torch.float64
    assert found["b"].dtype == torch.int64
    assert found["c"] == "text"
