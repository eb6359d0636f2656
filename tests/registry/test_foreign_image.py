"""What preprocessor_config.json says, as the node that does it."""

from __future__ import annotations

import json

import pytest

from mmm_graph.errors import InputError
from mmm_graph.registry.foreign_image import CLIP_MEAN, CLIP_STD, find_image_processor, read_image_processor

NORM = {"mean": list(CLIP_MEAN), "std": list(CLIP_STD)}
OLD_CLIP = {
    **{"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "crop_size": 224, "resample": 3},
    **{"do_resize": True, "do_center_crop": True, "do_normalize": True},
    **{"image_mean": list(CLIP_MEAN), "image_std": list(CLIP_STD)},
}


@pytest.mark.parametrize(
    ("theirs", "op", "config"),
    [
        (OLD_CLIP, "image.preprocess", {"shortest": 224, "resample": "bicubic", "crop": 224, **NORM}),
        (
            {
                "image_processor_type": "BlipImageProcessor",
                "size": {"height": 224, "width": 224},
                "do_pad": False,
            },
            "image.preprocess",
            {"size": [224, 224], "resample": "bicubic", **NORM},
        ),
        (
            {"image_processor_type": "LlavaImageProcessorFast", "do_pad": True, "pad_size": None},
            "image.preprocess",
            {"pad_square": "mean", "shortest": 224, "resample": "bicubic", "crop": 224, **NORM},
        ),
        (
            {
                **{
                    "image_processor_type": "LlavaNextImageProcessor",
                    "size": {"shortest_edge": 336},
                    "do_pad": True,
                },
                **{"crop_size": {"height": 336, "width": 336}, "image_grid_pinpoints": [[336, 672]]},
                **{"aspect_ratio_setting": "anyres"},
            },
            "image.tiles",
            {"size": 336, "pinpoints": [[336, 672]], "resample": "bicubic", **NORM},
        ),
        (
            {"image_processor_type": "SiglipImageProcessor", "resample": 2, "do_normalize": False},
            "image.preprocess",
            {"size": [224, 224], "resample": "bilinear", "mean": None, "std": None},
        ),
    ],
)
def test_the_node(theirs, op, config):
    assert read_image_processor(theirs) == {"op": op, "config": config}


CLIP = {"image_processor_type": "CLIPImageProcessor"}


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        ({}, "the image processor None is not supported"),
        ({"image_processor_type": "CLIPPImageProcessor"}, "did you mean CLIPImageProcessor"),
        ({**CLIP, "do_flip": True}, "do_flip: True is not supported"),
        ({**CLIP, "do_pad": True}, "do_pad: true is not supported"),
        ({**CLIP, "resample": 4}, "resample: 4 is not supported"),
        ({**CLIP, "size": {"longest_edge": 4}}, "size: .* is not supported"),
        ({**CLIP, "crop_size": {"height": 4}}, "crop_size: .* is not supported"),
        ({**CLIP, "rescale_factor": 1 / 127.5}, "rescale_factor 1/255"),
        ({**CLIP, "image_mean": [0.5]}, "image_mean: .* is not supported; expected three numbers"),
        (
            {"image_processor_type": "LlavaNextImageProcessor", "size": 336},
            r"must be one square for tiles, found \[224, 336\]",
        ),
    ],
)
def test_what_is_not_done_is_refused(theirs, message):
    with pytest.raises(ValueError, match=message):
        read_image_processor(theirs)


def test_the_file_is_found_under_either_name(tmp_path):
    assert find_image_processor(tmp_path) is None
    want = read_image_processor(OLD_CLIP)
    (tmp_path / "processor_config.json").write_text(
        json.dumps({"image_processor": OLD_CLIP, "image_seq_length": 576})
    )
    assert find_image_processor(tmp_path) == want
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**OLD_CLIP, "size": 30}))
    found = find_image_processor(tmp_path)
    assert found is not None and found["config"]["shortest"] == 30


@pytest.mark.parametrize("text", ["{", "[]", '{"image_processor_type": "Fancy"}'])
def test_a_broken_file_is_an_error_that_names_it(tmp_path, text):
    (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(InputError, match=r"preprocessor_config\.json") as caught:
        find_image_processor(tmp_path)
    assert caught.value.problems[0].code == "E612"
