"""Samples while training: from the averaged weights, as `mmm run` saves them, and without a trace in the training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import mmm_graph as mmm
from mmm_graph.api.samples import SAMPLE_TOOLS
from mmm_graph.errors import MmmError
from mmm_graph.registry import load_registry
from mmm_graph.spec import load_spec
from mmm_graph.train.events import TrainEvent
from mmm_graph.train.options import TrainOptions
from mmm_graph.train.sample_outputs import grid
from mmm_graph.train.trainer import train

EVERY = "train.stages.diffusion.samples"
EMA = {"train.stages.diffusion.ema": "0.5"}


def run(root: Path, out: Path, sets: Mapping[str, str], **more: Any) -> None:
    spec = load_spec(root / "tests/graphs/tiny.yaml", sets={**EMA, **sets})
    train(spec, load_registry(), out, options=TrainOptions(log_every=1, **more.pop("options", {})), **more)


def test_samples_are_those_of_a_run_with_the_averaged_weights(tmp_path: Path, root: Path) -> None:
    events: list[TrainEvent] = []
    wish = {EVERY: "{every: 2, outputs: [image], inputs: {prompt: [zero, one, two]}, seed: 5}"}
    run(root, tmp_path / "plain", {})
    run(root, tmp_path / "out", wish, sample_tools=SAMPLE_TOOLS, on_event=events.append)
    assert [e.step for e in events if e.kind == "samples"] == [2, 3]
    folder = tmp_path / "out/samples/diffusion-000003"
    names = ["grid-image.png", "image-0.png", "image-1.png", "image-2.png"]
    assert sorted(p.name for p in folder.iterdir()) == names
    session = mmm.load(tmp_path / "out/graph.yaml")
    images = session.run(prompt=["zero", "one", "two"], seed=5)["image"]
    for number in range(3):
        with Image.open(folder / f"image-{number}.png") as picture:
            pixels = torch.from_numpy(np.array(picture)) / 255
        torch.testing.assert_close(pixels, images[number, 0], atol=0.003, rtol=0)
    a, b = (load_file(tmp_path / name / "dit.safetensors") for name in ("plain", "out"))
    assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ("{every: 2, outputs: [imag]}", "E811.*'imag' is saved(.|\n)*did you mean image"),
        ("{every: 2, inputs: {promt: x}}", "E301.*promt(.|\n)*did you mean prompt"),
    ],
    ids=["output", "input"],
)
def test_mistakes_are_told_before_anything_is_written(
    tmp_path: Path, root: Path, wish: str, message: str
) -> None:
    with pytest.raises(MmmError, match=message):
        run(root, tmp_path / "out", {EVERY: wish}, sample_tools=SAMPLE_TOOLS)
    assert not (tmp_path / "out").exists()


def test_pictures_in_tensorboard(tmp_path: Path, root: Path) -> None:
    pytest.importorskip("tensorboard")
    wish = {EVERY: "{every: 10}", "train.stages.diffusion.steps": "1"}
    run(root, tmp_path, wish, sample_tools=SAMPLE_TOOLS, options={"tensorboard": True})
    (file,) = (tmp_path / "tensorboard/diffusion").iterdir()
    assert b"samples/image" in file.read_bytes()


def test_a_grid_of_images_has_black_places_where_none_is_left() -> None:
    images = torch.arange(1, 6).reshape(5, 1, 1, 1).expand(5, 3, 2, 4) / 10
    sheet = grid(images)
    assert sheet.shape == (1, 3, 4, 12)
    assert torch.equal(sheet[0, 0, ::2, ::4], torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.0]]))
