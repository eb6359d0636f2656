"""The parts table of the vision transformer against the module; its paths; the node held to what it declares."""

from __future__ import annotations

import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.nn.encoder_path import HiddenConfig
from mmm_graph.testing import check_node
from mmm_vit.config import ViTConfig
from mmm_vit.model import ViT
from mmm_vit.node import VIT
from mmm_vit.parts import forward_path, hidden_path, pooled_path, vit_parts, vit_sharding

SMALL = {"size": 20, "patch": 6, "width": 16, "depth": 3, "num_heads": 2, "hidden": 32}
SIGLIP = {"class_token": False, "patch_bias": True, "pre_norm": False, "pool": "probe"}
FORMS = {
    "CLIP": {"out_dim": 5},
    "SigLIP": SIGLIP,
    "no head": {**SIGLIP, "pool": "none"},
    "BLIP-2": {"pool": "class_normed_twice", "pre_norm": False, "qkv_bias": False},
}


@pytest.mark.parametrize("form", list(FORMS))
def test_table_is_true_of_the_module(check_parts, form):
    config = ViTConfig(**SMALL, **FORMS[form])
    with torch.device("meta"):
        check_parts(vit_parts(config), ViT(config), {"image": torch.zeros(1, 3, 20, 20)})


def test_full_size_is_clip_b_32():
    assert sum(part.params for part in vit_parts(ViTConfig(out_dim=512))) == 87_849_216


@pytest.mark.parametrize("form", list(FORMS))
def test_it_keeps_its_promises(form):
    if FORMS[form].get("pool") == "none":
        with pytest.raises(ValueError, match="pool: none"):
            check_node(VIT, config={**SMALL, **FORMS[form]})
        return
    chosen = {"layer": -2, "norm": False, "select": "patch"}
    check_node(VIT, config={**SMALL, **FORMS[form]}, methods={"hidden": chosen})


def test_images_of_other_sizes_keep_the_promises():
    image = torch.randn(2, 3, 13, 31, generator=torch.Generator().manual_seed(0))
    check_node(VIT, config={**SMALL, "interpolate": True}, values={"image": image})


BLOCKS = ("embed", "block0", "block1", "block2")


@pytest.mark.parametrize(
    ("call", "path"),
    [
        ({}, (*BLOCKS, "norm", "tap")),
        ({"layer": -2, "norm": False, "select": "patch"}, (*BLOCKS[:-1], "patches")),
        ({"layer": 0, "norm": False}, ("embed", "tap")),
        ({"layer": 3, "norm": False}, (*BLOCKS, "tap")),
    ],
)
def test_the_layer_ends_the_path(call, path):
    assert hidden_path(ViTConfig(**SMALL), HiddenConfig(**call)) == path


def test_the_vector_comes_after_the_norm():
    assert pooled_path(ViTConfig(**SMALL)) == (*BLOCKS, "norm", "pool", "vector")
    twice = ViTConfig(**SMALL, pool="class_normed_twice")
    assert forward_path(twice) == (*BLOCKS, "norm", "tap", "norm", "pool")


@pytest.mark.parametrize("layer", [4, -5])
def test_a_layer_that_is_not_there_is_refused(layer):
    with pytest.raises(ValueError, match=f"layer {layer} is not one of the 4 hidden states"):
        hidden_path(ViTConfig(**SMALL), HiddenConfig(layer=layer))


def test_without_a_pool_there_is_no_vector():
    for path in (forward_path, pooled_path):
        with pytest.raises(ValueError, match="pool: none"):
            path(ViTConfig(**SMALL, **FORMS["no head"]))


@pytest.mark.parametrize(
    ("more", "size", "message"),
    [
        ({}, (20, 21), "an image of 20 x 21 px, but the vision transformer has positions for 20 x 20"),
        ({}, (1, 1), "an image of 1 x 1 px, but the vision transformer has positions for 20 x 20"),
        ({"interpolate": True}, (12, 5), "an image of 12 x 5 px holds no patch of 6 x 6"),
    ],
)
def test_an_image_of_another_size_is_an_error_that_names_both(more, size, message):
    with pytest.raises(RunError, match=message) as caught:
        ViT(ViTConfig(**SMALL, **more))(torch.zeros(1, 3, *size))
    assert caught.value.problems[0].code == "E742"


def test_half_precision_interpolates_in_single():
    config = ViTConfig(**SMALL, interpolate=True)
    ours, image = ViT(config), torch.randn(1, 3, 30, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        want, got = ours(image)["pooled"], ours.bfloat16()(image.bfloat16())["pooled"]
    assert got.dtype is torch.bfloat16 and (got.float() - want).abs().max() < 0.1


def test_heads_can_be_shared_and_rows_cannot():
    said = vit_sharding(ViTConfig(**SMALL))
    assert said.heads == 2 and not said.units
    assert all("tokens of the whole image" in said.refused[axis] for axis in ("patch", "ring", "ulysses"))
