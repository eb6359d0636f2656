"""What a caller gives -> inputs of a request."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmm_graph.api.inputs import make_request
from mmm_graph.errors import InputError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.graph import Graph
from mmm_graph.registry import load_registry
from mmm_graph.spec import load_spec

TEXT = """
mmm: 1
inputs:
  image: "Image[b,3,h,w]"
  text:  {type: "Text[b]", default: ["a", "b"]}
  k:     {type: "Scalar[b]", default: 1.5}
  n:     {type: "Scalar", default: 1}
  flag:  {type: "Bool", default: true}
  e:     {type: "Embeds[b,t,4]?"}
  ids:   {type: "Ids[r,5]?"}
nodes: {a: {op: image.resize, in: {image: $in.image}, config: {height: 4, width: 4}}}
outputs: {image: a, text: $in.text, k: $in.k, n: $in.n, flag: $in.flag, e: $in.e, ids: $in.ids}
"""


@pytest.fixture(scope="module")
def graph() -> Graph:
    return compile_graph(load_spec(TEXT), load_registry())


IMAGE = torch.zeros(1, 3, 4, 4)


def test_one_row_is_repeated_to_the_size_of_the_batch(graph: Graph) -> None:
    request = make_request(graph, {"image": IMAGE, "text": ["x", "y", "z"]})
    assert request.inputs["image"].shape == (3, 3, 4, 4)
    assert request.inputs["k"].tolist() == [1.5] * 3
    assert (request.seeds, request.elements) == ((0, 0, 0), (0, 1, 2))


def test_what_is_given_decides_the_size_and_both_sides_are_named(graph: Graph) -> None:
    assert make_request(graph, {"image": IMAGE}).inputs["image"].shape[0] == 2
    assert make_request(graph, {"image": IMAGE, "text": "x", "k": [1, 2, 3]}).inputs["text"] == ["x"] * 3
    with pytest.raises(InputError, match="text has 2 rows, image has 3"):
        make_request(graph, {"image": IMAGE.expand(3, 3, 4, 4)})


def test_the_batch_is_that_of_b(graph: Graph) -> None:
    request = make_request(graph, {"ids": torch.zeros(7, 5, dtype=torch.int64), "image": IMAGE})
    assert len(request.seeds) == 2


def test_seeds(graph: Graph) -> None:
    request = make_request(graph, {"image": IMAGE}, [5, 6])
    assert (request.seeds, request.elements) == ((5, 6), (0, 0))
    assert make_request(graph, {"image": IMAGE}, 2**64 - 1).seeds == (2**64 - 1,) * 2
    with pytest.raises(InputError, match="3 seeds for a batch of 2"):
        make_request(graph, {"image": IMAGE}, [1, 2, 3])
    for bad in ("x", -1, 2**64, 1.5, True, None, [1, "2"], "12"):
        with pytest.raises(InputError, match="seed expects integers"):
            make_request(graph, {"image": IMAGE}, bad)  # type: ignore[arg-type]


def test_arrays_lists_and_numbers_become_tensors(graph: Graph) -> None:
    request = make_request(
        graph, {"image": np.zeros((3, 4, 4), np.uint8), "e": np.zeros((1, 2, 4)), "flag": False}
    )
    assert request.inputs["e"].dtype == torch.float32
    assert request.inputs["e"].shape == (2, 2, 4)
    assert request.inputs["flag"] is False
    assert request.inputs["n"] == 1
    assert request.inputs["ids"] is None
    kept = torch.zeros(1, 2, 4, dtype=torch.float64)
    assert make_request(graph, {"image": IMAGE, "e": kept}).inputs["e"].dtype == torch.float64


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("txt", "x", r"no input 'txt'\n.*did you mean text"),
        ("image", None, "'image'.* has no value"),
        ("image", 3, r"expects Image\[b,3,h,w\], got a tensor of shape \[\]"),
        ("image", torch.zeros(1, 1, 4, 4), r"got a tensor of shape \[1, 1, 4, 4\]"),
        ("image", torch.full((3, 4, 4), 2.0), r"images are in \[0, 1\]"),
        ("image", "no.png", "there is no such file: no.png"),
        ("text", [], "one text or a list of texts"),
        ("text", 3, "'text' expects Text"),
        ("text", ["a", 3], "one text or a list of texts"),
        ("k", "abc", "it takes numbers"),
        ("k", [[1.0]], r"shape \[1, 1\]"),
        ("e", [[1, 2], [1]], "lists of one length"),
        ("e", torch.zeros(1, 2, 3), r"expects Embeds\[b,t,4\]\?, got a tensor of shape \[1, 2, 3\]"),
        ("flag", 7, "true or false"),
    ],
)
def test_what_is_wrong_is_named(graph: Graph, name: str, value: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as found:
        make_request(graph, {"image": IMAGE, name: value})
    assert found.value.status == 2


def test_files_are_read_with_the_channels_of_the_port(graph: Graph, tmp_path: Path) -> None:
    Image.new("L", (4, 4), 255).save(tmp_path / "a.png")
    assert make_request(graph, {"image": str(tmp_path / "a.png")}).inputs["image"].shape == (2, 3, 4, 4)


def test_paths_in_the_file_are_relative_to_it(tmp_path: Path) -> None:
    Image.new("L", (4, 4), 255).save(tmp_path / "a.png")
    spec = load_spec('mmm: 1\ninputs: {i: {type: "Image[b,1,h,w]", default: a.png}}\noutputs: {o: $in.i}\n')
    graph = compile_graph(spec, load_registry())
    assert make_request(graph, {}, base=tmp_path).inputs["i"].eq(1).all()
    with pytest.raises(InputError, match="no such file"):
        make_request(graph, {})


def test_a_list_of_images_may_differ_in_size_and_each_is_one(tmp_path: Path) -> None:
    text = 'mmm: 1\ninputs: {images: "Image*[m,3,h,w]"}\noutputs: {images: $in.images}\n'
    several = compile_graph(load_spec(text), load_registry())
    Image.new("L", (5, 4)).save(tmp_path / "grey.png")
    given = [torch.zeros(3, 2, 2), str(tmp_path / "grey.png"), torch.zeros(1, 3, 9, 1)]
    found = make_request(several, {"images": given}).inputs["images"]
    assert [tuple(image.shape) for image in found] == [(3, 2, 2), (3, 4, 5), (3, 9, 1)]
    with pytest.raises(InputError, match="an item of a list of images is one image"):
        make_request(several, {"images": [torch.zeros(2, 3, 4, 4)]})
