"""Checkpoints that are damaged, or of something else: a located error, and nothing half-loaded."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import mmm_graph as mmm
from mmm_graph.api.convert import import_graph
from mmm_graph.errors import MmmError
from mmm_graph.registry import load_registry
from tests.plugins.mmm_pipelines import test_stable_diffusion, tiny

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    pipeline = test_stable_diffusion.pipeline(folder, *test_stable_diffusion.CASES["sd1 ddim"])
    return tiny.save(pipeline, folder / "p")


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "p")


def truncate(unet):
    file = unet / WEIGHTS
    file.write_bytes(file.read_bytes()[:-100])


def rename_a_key(unet):
    tensors = load_file(unet / WEIGHTS)
    tensors["conv_in.wait"] = tensors.pop("conv_in.weight")
    save_file(tensors, unet / WEIGHTS)


def whole_numbers(unet):
    tensors = load_file(unet / WEIGHTS)
    tensors["conv_in.weight"] = tensors["conv_in.weight"].to(torch.int8)
    save_file(tensors, unet / WEIGHTS)


def shards(unet, *, name="two.safetensors"):
    tensors = load_file(unet / WEIGHTS)
    (unet / WEIGHTS).unlink()
    names = sorted(tensors)
    halves = {"one.safetensors": names[::2], name: names[1::2]}
    for file, inside in halves.items():
        save_file({n: tensors[n] for n in inside}, unet / file.rpartition("/")[2])
    table = {n: file for file, inside in halves.items() for n in inside}
    (unet / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": table}))


def lose_a_shard(unet):
    shards(unet)
    (unet / "two.safetensors").unlink()


def lead_outside(unet):
    shards(unet, name="../two.safetensors")


def pickle(unet):
    (unet / WEIGHTS).unlink()
    torch.save({}, unet / "diffusion_pytorch_model.bin")


@pytest.mark.parametrize(
    ("damage", "code", "said"),
    [
        (truncate, "E605", "cannot be read as safetensors"),
        (rename_a_key, "E610", "1 missing (embed.conv.weight); 1 not used (conv_in.wait)"),
        (whole_numbers, "E614", "embed.conv.weight"),
        (lose_a_shard, "E605", "two.safetensors, which is not there"),
        (lead_outside, "E605", "not beside it"),
        (pickle, "E604", "can run any code"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_damaged_weights(folder, tmp_path, damage, code, said):
    made = import_graph(str(folder), tmp_path / "g.yaml", load_registry())
    damage(folder / "unet")
    session = mmm.load(made.tree, base=tmp_path)
    with pytest.raises(MmmError) as caught:
        session.run(prompt=["the cat"], steps=1)
    assert code in str(caught.value) and said in str(caught.value)
    assert "unet" in str(caught.value)


def test_shards_that_are_whole(folder, tmp_path):
    made = import_graph(str(folder), tmp_path / "g.yaml", load_registry())
    whole = mmm.load(made.tree, base=tmp_path).run(prompt=["the cat"], steps=1)["image"]
    shards(folder / "unet")
    assert torch.equal(mmm.load(made.tree, base=tmp_path).run(prompt=["the cat"], steps=1)["image"], whole)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"block_out_channels": [16, 64]}, "of another shape"),
        ({"layers_per_block": 2}, "missing"),
    ],
)
def test_a_config_that_is_not_of_these_weights(folder, tmp_path, change, said):
    file = folder / "unet" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    made = import_graph(str(folder), tmp_path / "g.yaml", load_registry())
    with pytest.raises(MmmError) as caught:
        mmm.load(made.tree, base=tmp_path).run(prompt=["the cat"], steps=1)
    assert "E610" in str(caught.value) and said in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"_class_name": "UNetSpatioTemporalConditionModel"}, None),
        ({"class_embed_type": "timestep"}, "expected 'simple_projection' and true, or neither"),
        ({"brand_new": 3}, "brand_new"),
    ],
)
def test_a_config_of_another_family(folder, tmp_path, change, said):
    file = folder / "unet" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    index = folder / "model_index.json"
    if "_class_name" in change:
        table = json.loads(index.read_text())
        index.write_text(json.dumps({**table, "unet": ["diffusers", change["_class_name"]]}))
    with pytest.raises(MmmError) as caught:
        import_graph(str(folder), tmp_path / "g.yaml", load_registry())
    assert "E612" in str(caught.value) and (said or "no model kind can read") in str(caught.value)
