"""Sounds as callers give them, and inputs of kind Audio."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmm_graph.api.inputs import make_request
from mmm_graph.api.sounds import to_sounds
from mmm_graph.errors import InputError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.graph import Graph
from mmm_graph.registry import load_registry
from mmm_graph.spec import load_spec

TEXT = """
mmm: 1
inputs:
  one:   "Audio[b,1,n]{8000}?"
  open:  "Audio[b,1,n]?"
  many:  "Audio*[m,c,i]{8000}?"
  file:  {type: "Audio[r,1,x]{8000}", default: a.wav}
outputs: {one: $in.one, open: $in.open, many: $in.many, file: $in.file}
"""


@pytest.fixture(scope="module")
def graph() -> Graph:
    return compile_graph(load_spec(TEXT), load_registry())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """a.wav of one channel and b.wav of two; 16 bits, 8 kHz, 3 and 2 samples."""
    for name, channels, steps in (("a", 1, [0, 8192, -8192]), ("b", 2, [16384, 0, 0, 8192])):
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as out:
            out.setparams((channels, 2, 8000, 0, "NONE", ""))
            out.writeframes(np.array(steps, "<i2").tobytes())
    return tmp_path


def test_files_become_sounds_of_the_rate_and_channels_of_the_input(graph: Graph, folder: Path) -> None:
    given = {"one": str(folder / "b.wav"), "many": [folder / "a.wav", folder / "b.wav"]}
    inputs = make_request(graph, given, base=folder).inputs
    assert inputs["one"].tolist() == [[[0.25, 0.125]]]  # the mean of both channels
    assert [one.shape for one in inputs["many"]] == [(1, 3), (2, 2)]
    assert inputs["file"].tolist() == [[[0, 0.25, -0.25]]]  # relative to the graph file


def test_numbers_become_batches(folder: Path) -> None:
    assert to_sounds([0.5, 1.0]).tolist() == [[[0.5, 1.0]]]
    assert to_sounds(np.zeros((2, 5))).shape == (1, 2, 5)
    assert to_sounds(torch.zeros(3, 1, 5).double()).dtype == torch.float32
    assert to_sounds([folder / "a.wav"] * 2, 8000).shape == (2, 1, 3)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "open",
            "a.wav",
            r"a\.wav has 8000 Hz; write the type of the input with its rate: Audio\[b,1,n\]\{8000\}",
        ),
        ("one", "c.wav", "there is no such file"),
        ("one", ["a.wav", "b.wav"], r"one length, found channels x samples 1 x 2 and 1 x 3"),
        ("one", [1, 2], "samples from -1 to 1 as b x c x n, found torch.int64 2"),
        ("one", torch.full((4,), 1.5), "found up to 1.5"),
        ("one", torch.full((4,), float("nan")), "found up to nan"),
        ("one", torch.zeros(1, 2, 4), r"expects Audio\[b,1,n\]\{8000\}\?, got a tensor of shape \[1, 2, 4\]"),
        ("many", [torch.zeros(2, 1, 4)], "an item of a list of sounds is one sound"),
    ],
)
def test_what_is_no_sound_is_refused(graph: Graph, folder: Path, name: str, value: Any, message: str) -> None:
    below = folder / value if isinstance(value, str) else value
    if isinstance(value, list) and isinstance(value[0], str):
        below = [folder / item for item in value]
    with pytest.raises(InputError, match=message) as caught:
        make_request(graph, {name: below}, base=folder)
    assert caught.value.problems[0].code == "E302"


def test_another_rate_is_refused_and_both_are_named(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"8000 Hz, expected 16000 Hz; .*ffmpeg -i a.wav -ar 16000"):
        to_sounds(folder / "a.wav", 16000)
