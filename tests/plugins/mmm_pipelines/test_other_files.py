"""Single files that are damaged, incomplete, ambiguous or of another family: an error that says what to do."""

from __future__ import annotations

import gzip
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

import mmm_graph as mmm
from mmm_graph.api.convert import SingleFile, import_graph
from mmm_graph.errors import MmmError
from mmm_graph.registry import load_registry
from mmm_pipelines import file_parts, other_files
from tests.plugins.mmm_pipelines import files


@pytest.fixture
def sd1(single):
    return single("sd1")


@pytest.fixture
def change(sd1, tmp_path):
    """Import the file of sd1 after something was done to its tensors, and give the error."""

    def run(edit, **said):
        tensors = load_file(sd1.file)
        edit(tensors)
        save_file(tensors, tmp_path / "a.safetensors")
        return refused(tmp_path / "a.safetensors", **{"tokenizer": str(sd1.folder), **said})

    return run


def refused(path, **said):
    with pytest.raises(MmmError) as caught:
        import_graph(
            str(path), path.parent / "g.yaml", load_registry(), single=SingleFile(**said) if said else None
        )
    assert str(path) in str(caught.value)
    return str(caught.value)


def rename(old, new):
    return lambda tensors: tensors.update({new: tensors.pop(old)})


UNET = "model.diffusion_model"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (rename(f"{UNET}.out.0.bias", f"{UNET}.out.0.bais"), "E610.*missing .head.norm.bias.; 1 not used .out.0.bais"),
        (rename(f"{UNET}.out.2.weight", f"{UNET}.out.2.wait"), rf"E612.*{UNET}\.out\.2\.weight is not there"),
        (rename("betas", "beta"), "E612.*no model of the graph would read: beta.*--ignore"),
        (lambda t: t.pop("first_stage_model.quant_conv.bias"), r"E610.*missing .enc_out\.quant\.bias"),
        (lambda t: t.update({"first_stage_model.extra": torch.zeros(1)}), "E610.*1 not used .extra"),
    ],
)  # fmt: skip
def test_tensors_that_are_not_as_they_should_be(change, edit, said):
    assert re.search(said, change(edit), re.DOTALL)


@pytest.mark.parametrize(
    ("channels", "said"), [(5, "a depth map"), (7, "a small picture"), (8, "InstructPix2Pix")]
)
def test_denoisers_that_read_more(change, channels, said):
    wide = {f"{UNET}.input_blocks.0.0.weight": torch.zeros(64, channels, 3, 3)}
    text = change(lambda tensors: tensors.update(wide))
    assert "E612" in text and said in text and f"#{UNET}" in text


@pytest.mark.parametrize(
    ("prefixes", "said"),
    [
        (["cond_stage_model."], "no pipeline, but: U-Net in the original layout, without text encoders"),
        (["first_stage_model."], "without an autoencoder"),
        ([UNET], "autoencoder below first_stage_model, without a denoiser"),
    ],
)
def test_parts_that_are_not_there(change, prefixes, said):
    def edit(tensors):
        for name in [n for n in tensors if n.startswith(tuple(prefixes))]:
            del tensors[name]

    text = change(edit)
    assert "E612" in text and said in text and "import the pipeline that it belongs to" in text


@pytest.mark.parametrize("name", other_files.OTHERS)
def test_files_that_are_no_pipeline(tmp_path, name):
    marks, advice = other_files.OTHERS[name]
    save_file({mark.replace("*", "0.weight"): torch.zeros(1) for mark in marks}, tmp_path / "a.safetensors")
    text = refused(tmp_path / "a.safetensors")
    assert "E612" in text and name in text and advice in text


def test_a_stable_diffusion_2_file_must_be_told(single):
    made = single("sd2")
    text = refused(made.file, tokenizer=str(made.folder))
    assert "E612" in text and "give --prediction v (2.0 and 2.1, for 768 pixels)" in text


def test_a_tokenizer_of_t5_must_be_given(single):
    made = single("sd3")
    text = refused(made.file, tokenizer=str(made.folder / "tokenizer"))
    assert "E612" in text and "no tokenizer of T5" in text and "tokenizer_3 in it" in text


@pytest.mark.parametrize("case", ["sd3", "flux dev"])
def test_flows_predict_nothing_else(single, case):
    made = single(case)
    text = refused(made.file, tokenizer=str(made.folder), prediction="v")
    assert "E612" in text and "always predicts a flow" in text


def test_sd3_without_its_t5(single, tmp_path):
    made = single("sd3")
    tensors = {name: value for name, value in load_file(made.file).items() if "t5xxl" not in name}
    save_file(tensors, tmp_path / "a.safetensors")
    text = refused(tmp_path / "a.safetensors", tokenizer=str(made.folder))
    assert "E612" in text and "transformer of SD3, without some of its text encoders" in text


def test_marks_of_fine_tuned_sdxl(single, tmp_path):
    made, file = single("sdxl"), tmp_path / "a.safetensors"
    tensors = load_file(made.file) | {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}
    save_file(tensors, file)
    said = {"tokenizer": str(made.folder)}
    tree = import_graph(str(file), tmp_path / "g.yaml", load_registry(), single=SingleFile(**said)).tree
    assert tree["models"]["unet"]["config"]["prediction"] == "v"
    law = tree["models"]["scheduler"]["config"]
    assert law["prediction"] == "v" and law["zero_terminal_snr"]
    assert "holds the mark v_pred" in refused(file, **said, prediction="epsilon")
    save_file({**tensors, "edm_mean": torch.zeros(1)}, file)
    assert "Playground 2.5" in refused(file, **said)


def test_without_a_tokenizer(sd1, monkeypatch):
    monkeypatch.setattr(file_parts, "PACKAGES", ("no_such_package",))
    text = refused(sd1.file)
    assert "E612" in text and "--tokenizer FOLDER" in text and "pip install --no-deps open_clip_torch" in text


def test_the_vocabulary_of_a_package(sd1, tmp_path, monkeypatch):
    """The package is not imported: with --no-deps it could not be."""
    package = tmp_path / "clip_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('torchvision')")
    with gzip.open(package / file_parts.PAIRS, "wt") as stream:
        stream.write("\n".join(["#version: 0.2", *files.tiny.MERGES]))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(file_parts, "PACKAGES", ("no_such_package", package.name))
    target = sd1.file.parent / "g.yaml"
    tree = import_graph(str(sd1.file), target, load_registry()).tree
    assert tree["models"]["tok"]["weights"] == f"pkg:{package.name}/{file_parts.PAIRS}"
    given = {"prompt": ["a cat"], "steps": 1, "height": 16, "width": 16}
    ours, wanted = (mmm.load(graph, base=target.parent).run(**given)["image"] for graph in (tree, sd1.tree))
    assert torch.equal(ours, wanted)
