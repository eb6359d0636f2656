"""Pictures prepared as transformers' image processors prepare them."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from PIL import Image

from mmm_graph.errors import RunError
from mmm_graph.registry.foreign_image import read_image_processor
from mmm_vision.prepare import picture
from mmm_vision.prepare.config import PreprocessConfig, TilesConfig
from mmm_vision.prepare.picture import by_longest, by_shortest, to_bytes
from mmm_vision.prepare.preprocess import preprocess
from mmm_vision.prepare.tiles import best_grid, tiles

HALF = (0.5, 0.5, 0.5)
SIZES = [(37, 91), (90, 37), (64, 64), (63, 65), (1, 1), (2, 700)]
CASES = {
    "CLIP": {},
    "CLIP, crop beyond the picture": {
        "size": {"shortest_edge": 30},
        "crop_size": {"height": 41, "width": 28},
    },
    "CLIP, nothing but the longest edge": {
        "size": {"max_height": 800, "max_width": 800},
        "do_center_crop": False,
    },
    "CLIP, both edges": {"size": {"shortest_edge": 64, "longest_edge": 90}, "resample": 2},
    "CLIP, only cropped": {"do_resize": False, "crop_size": 50, "do_normalize": False},
    "Siglip": {"size": {"height": 96, "width": 80}},
    "Siglip, Lanczos": {"size": {"height": 30, "width": 30}, "resample": 1, "image_mean": [0.1, 0.2, 0.3]},
    "Blip": {"size": 64},
    "Llava": {"do_pad": True, "size": {"shortest_edge": 56}, "crop_size": 56},
    "Llava, not padded": {"size": {"shortest_edge": 56}, "crop_size": 50},
    "Idefics": {"image_size": 56},
}


def processor(name, **settings):
    """Theirs that works with Pillow."""
    module = (
        "".join(f"_{c.lower()}" if c.isupper() else c for c in name).strip("_") if name != "CLIP" else "clip"
    )
    found = importlib.import_module(f"transformers.models.{module}.image_processing_pil_{module}")
    return getattr(found, f"{name}ImageProcessorPil")(**settings)


def drawn(height, width, channels=3):
    shape = (height, width, channels)
    return np.random.default_rng(height * width).integers(0, 256, shape, dtype=np.uint8)


def as_file(pixels):
    """As a picture's file arrives at a port."""
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)


@pytest.mark.parity
@pytest.mark.parametrize("case", list(CASES))
def test_as_their_processor_read_from_its_own_config(case):
    """The processor's config is read, and pictures of all sizes come out to the bit."""
    name = case.split(",")[0]
    theirs = processor(name, **CASES[case])
    node = read_image_processor({**theirs.to_dict(), **CASES[case]})
    assert node["op"] == "image.preprocess"
    config = PreprocessConfig(**node["config"])
    for size in SIZES:
        try:
            found = theirs(Image.fromarray(drawn(*size)), return_tensors="pt")
        except ValueError:  # a side would be nothing
            with pytest.raises(RunError, match="E744"):
                preprocess(as_file(drawn(*size))[None], config)
            continue
        want = found if isinstance(found, torch.Tensor) else found["pixel_values"]
        got = preprocess(as_file(drawn(*size))[None], config)
        assert torch.equal(got, want), size


@pytest.mark.parity
@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_grey_and_transparency_become_colours(mode):
    pixels = drawn(20, 30, len(mode))
    want = processor("CLIP")(Image.fromarray(pixels[..., 0] if mode == "L" else pixels), return_tensors="pt")
    got = preprocess(as_file(pixels)[None], PreprocessConfig(shortest=224, crop=224))
    assert torch.equal(got, want["pixel_values"])


def test_a_list_of_pictures_of_differing_sizes_is_one_batch():
    config = PreprocessConfig(shortest=12, crop=12)
    pictures = [as_file(drawn(*size)) for size in SIZES[:4]]
    batch = preprocess([pictures[0], torch.stack([pictures[1]] * 2), *pictures[2:]], config)
    each = [preprocess(one[None], config) for one in (pictures[0], pictures[1], *pictures[1:])]
    assert torch.equal(batch, torch.cat(each))


def test_levels_are_those_of_the_file():
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    assert np.array_equal(to_bytes(as_file(ramp)), ramp)
    assert to_bytes(torch.tensor([-1.0, 0.5, 2.0]).view(1, 1, 3))[0, :, 0].tolist() == [0, 128, 255]
    plain = preprocess(as_file(ramp)[None], PreprocessConfig(mean=None, std=None))
    assert torch.equal(plain[0], as_file(ramp))


def test_thin_pictures_are_scaled_as_theirs_or_refused_before_memory_runs_out(monkeypatch):
    thin = torch.zeros(1, 3, 12000, 9)
    monkeypatch.setattr(picture, "MOST_PIXELS", 1 << 20)
    with pytest.raises(RunError, match="12000 x 9 px would be scaled to 298666 x 224 px"):
        preprocess(thin, PreprocessConfig(shortest=224, crop=224))
    with pytest.raises(RunError, match="12000 x 9 px would be scaled to 224 x 0 px") as caught:
        preprocess(thin, PreprocessConfig(longest=224))
    assert caught.value.problems[0].code == "E744"
    assert preprocess(thin, PreprocessConfig(size=224)).shape == (1, 3, 224, 224)


@pytest.mark.slow
@pytest.mark.parity
def test_a_thin_picture_at_full_size():
    pixels = drawn(12000, 9)
    want = processor("CLIP")(Image.fromarray(pixels), return_tensors="pt")["pixel_values"]
    assert torch.equal(preprocess(as_file(pixels)[None], PreprocessConfig(shortest=224, crop=224)), want)


@pytest.mark.parametrize(
    ("image", "config", "code", "message"),
    [
        ([], {}, "E743", "no picture to prepare"),
        (torch.zeros(1, 2, 5, 5), {}, "E743", "a picture of 2 channels and 5 x 5 px"),
        (torch.zeros(1, 3, 0, 5), {}, "E743", "3 channels and 0 x 5 px"),
        (torch.full((1, 3, 2, 2), float("nan")), {}, "E743", "values that are not finite"),
        ([torch.zeros(3, 4, 5), torch.zeros(3, 6, 5)], {}, "E745", "differ in size: 4 x 5 and 6 x 5 px"),
    ],
)
def test_what_is_no_batch_of_pictures_is_refused(image, config, code, message):
    with pytest.raises(RunError, match=message) as caught:
        preprocess(image, PreprocessConfig(**config))
    assert caught.value.problems[0].code == code


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"size": 10, "shortest": 10}, "set one of them"),
        ({"shortest": 10, "longest": 9}, "longest 9 must be more than shortest 10"),
        ({"mean": None}, "mean and std go together"),
        ({"pad_square": "mean", "mean": None, "std": None}, "pad_square: mean needs `mean`"),
        ({"std": (1.0, 0.0, 1.0)}, "std must be above 0"),
    ],
)
def test_configs_that_mean_nothing(config, message):
    with pytest.raises(ValueError, match=message):
        PreprocessConfig(**config)
    with pytest.raises(ValueError, match="1000 x 336 is no grid of tiles of 336 x 336"):
        TilesConfig(pinpoints=((1000, 336),))


def test_a_side_that_is_right_already_stays():
    assert by_shortest(64, 90, 64, 90) == (64, 90) and by_shortest(90, 64, 64, None) == (90, 64)
    assert by_shortest(100, 400, 64, 90) == (22, 90) and by_longest(100, 200, 50) == (25, 50)


ODD = [
    (1, 1),
    (336, 336),
    (337, 335),
    (48, 1000),
    (1000, 48),
    (700, 700),
    (640, 480),
    (481, 641),
    (335, 1009),
]
ODD += [(12, 12000), (2000, 9), (1344, 672)]


@pytest.mark.parity
@pytest.mark.parametrize("pinpoints", [None, [[56, 112], [112, 56], [112, 112]]])
def test_tiles_of_twelve_odd_sizes(pinpoints):
    side = 336 if pinpoints is None else 56
    grid = {} if pinpoints is None else {"image_grid_pinpoints": pinpoints}
    settings = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}, **grid}
    theirs = processor("LlavaNext", **settings)
    node = read_image_processor({**theirs.to_dict(), **settings})
    assert node["op"] == "image.tiles"
    pixels = [drawn(*size) for size in ODD]
    got = tiles([as_file(one) for one in pixels], TilesConfig(**node["config"]))
    assert len(ODD) == 12 and got["sizes"].tolist() == [list(size) for size in ODD]
    for i, one in enumerate(pixels):
        want = torch.from_numpy(theirs(Image.fromarray(one))["pixel_values"][0])
        mine = got["tiles"][got["rows"] == i]
        assert len(mine) == 1 + got["grids"][i].prod() and torch.equal(mine, want), ODD[i]
    assert got["rows"].tolist() == sorted(got["rows"].tolist())


def test_the_grid_keeps_most_pixels_and_wastes_least():
    grids = ((336, 672), (672, 336), (672, 672))
    assert best_grid(100, 100, grids) == (336, 672)  # all keep all; the first of those that waste least
    assert best_grid(500, 1000, grids) == (336, 672)
    assert best_grid(600, 600, grids) == (672, 672)
    assert best_grid(12000, 9, grids) == (336, 672)  # nothing is left in any


def test_tiles_of_nothing_are_refused():
    with pytest.raises(RunError, match="no picture to cut into tiles"):
        tiles([], TilesConfig())
