"""Videos as callers give them, and inputs of kind Video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mmm_graph.api.inputs import make_request
from mmm_graph.api.videos import to_videos
from mmm_graph.errors import InputError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.registry import load_registry
from mmm_graph.spec import load_spec

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
WANT = torch.eye(3)[:, :, None, None].expand(3, 3, 4, 6)  # f 3 h w


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three frames, one colour each: as files, as a GIF and as a WebP; and a larger one."""
    frames = [Image.new("RGB", (6, 4), colour) for colour in COLOURS]
    for i, frame in enumerate(frames):
        frame.save(tmp_path / f"{i}.png")
    for name in ("a.gif", "a.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
    Image.new("RGB", (7, 4)).save(tmp_path / "large.png")
    (tmp_path / "a.mp4").write_bytes(b"\0")
    return tmp_path


def files(folder: Path, value: Any) -> Any:
    return [files(folder, v) for v in value] if isinstance(value, list) else folder / value


@pytest.mark.parametrize("value", ["a.gif", "a.webp", ["0.png", "1.png", "2.png"]])
def test_frames_of_one_video(folder: Path, value: Any) -> None:
    assert torch.equal(to_videos(files(folder, value)), WANT[None])


def test_lists_of_lists_arrays_and_pictures_are_videos_too(folder: Path) -> None:
    both = to_videos(files(folder, [["0.png", "1.png"], ["2.png", "1.png"]]))
    assert torch.equal(both, torch.stack([WANT[:2], WANT[[2, 1]]]))
    assert torch.equal(to_videos([Image.new("RGB", (6, 4), c) for c in COLOURS]), WANT[None])
    assert torch.equal(to_videos((WANT * 255).byte().numpy()), WANT[None])
    assert to_videos(np.zeros((2, 5, 3, 4, 6))).shape == (2, 5, 3, 4, 6)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a.mp4", "Invalid data found"),
        (["0.png", "a.mp4"], "is a film itself; a list of files is the frames of one video"),
        (["0.png", "a.gif"], "has 3 frames itself; a list of files is the frames of one video"),
        (["0.png", "large.png"], "have one size, found 3 x 4 x 6 and 3 x 4 x 7"),
        ([["0.png"], ["0.png", "1.png"]], "one length and size, found 1 x 3 x 4 x 6 and 2 x 3 x 4 x 6"),
        ("none.gif", "No such file"),
    ],
)
def test_files_that_are_no_video_say_why(folder: Path, value: Any, message: str) -> None:
    with pytest.raises((ValueError, OSError), match=message):
        to_videos(files(folder, value))


@pytest.mark.parametrize("value", [torch.zeros(4, 6), torch.zeros(2, 4, 4, 6), torch.zeros(1, 0, 3, 4, 6)])
def test_tensors_of_another_form_are_refused(value: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="it takes b x f x 3 x h x w, found"):
        to_videos(value)


def test_inputs_of_a_graph(folder: Path) -> None:
    text = (
        'mmm: 1\ninputs: {a: {type: "Video[b,f,3,h,w]", default: [0.png, 1.png]}, m: "Video*[m,g,3,i,j]?"}\n'
    )
    graph = compile_graph(load_spec(text + "outputs: {a: $in.a, m: $in.m}\n"), load_registry())
    given = {"m": [folder / "a.gif", WANT[:1]]}
    inputs = make_request(graph, given, base=folder).inputs  # the default is relative to the graph file
    assert torch.equal(inputs["a"], WANT[None, :2])
    assert [tuple(one.shape) for one in inputs["m"]] == [(3, 3, 4, 6), (1, 3, 4, 6)]
    with pytest.raises(InputError, match=r"E302.*a\.mp4") as caught:
        make_request(graph, {"a": str(folder / "a.mp4")})
    assert "Invalid data found" in str(caught.value)
    with pytest.raises(InputError, match="an item of a list of videos is one video"):
        make_request(graph, {"m": [torch.zeros(2, 1, 3, 4, 6)]}, base=folder)
