"""Original single files: read by diffusers' converters tensor by tensor, and imported as the folder is."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

import mmm_graph as mmm
from mmm_graph.api.convert import SingleFile, import_graph
from mmm_graph.errors import InputError
from mmm_graph.registry import load_registry
from tests.plugins.mmm_pipelines import files, tiny

pytestmark = pytest.mark.parity


@pytest.fixture(params=files.CASES)
def made(request, single):
    return single(request.param)


def imported(made, **more):
    single, target = SingleFile(tokenizer=str(made.folder), **made.case.said), made.file.parent / "graph.yaml"
    return import_graph(str(made.file), target, load_registry(), single=single, **more)


def converted(made):
    """What diffusers' converters make of the file, by component."""
    from diffusers.loaders import single_file_utils as theirs

    there, pipe = load_file(made.file), made.pipeline
    for name, (_, layout, prefix) in made.case.models.items():
        model = pipe.components[name]
        if name == "unet":
            yield name, theirs.convert_ldm_unet_checkpoint(dict(there), model.config)
        elif name == "vae":
            yield name, theirs.convert_ldm_vae_checkpoint(dict(there), model.config)
        elif layout is files.OPEN_CLIP:
            yield name, theirs.convert_open_clip_checkpoint(model, dict(there), prefix=f"{prefix}.")
        elif name == "transformer":
            yield name, theirs.convert_sd3_transformer_checkpoint_to_diffusers(dict(there))
        elif layout in files.T5:
            yield name, theirs.convert_sd3_t5_checkpoint_to_diffusers(dict(there))
        else:
            yield name, theirs.convert_ldm_clip_checkpoint(dict(there), remove_prefix=f"{prefix}.")


@pytest.mark.parametrize("case", [name for name in files.CASES if not name.startswith("flux")])
def test_diffusers_reads_the_same_tensors_of_the_file(case, single):
    """FLUX's converter takes the width for granted: see tests/plugins/mmm_flux/test_original.py."""
    made = single(case)
    for name, tensors in converted(made):
        wanted = made.pipeline.components[name].state_dict()
        bare = not any(key.startswith("text_model.") for key in wanted)
        got = {k.removeprefix("text_model.") if bare else k: v for k, v in tensors.items()}
        if case == "sd3":
            got |= {
                "pos_embed.pos_embed": wanted.get("pos_embed.pos_embed")
            }  # computed, and zeros in our file
            got |= {"encoder.embed_tokens.weight": tensors.get("shared.weight")}  # one tensor, two names
            got.setdefault("text_projection.weight", torch.eye(64))
        assert len(wanted) > 20 and all(torch.equal(got[key], value) for key, value in wanted.items())


def test_latents_are_those_of_the_folder(made):
    tree = imported(made).tree
    channels = made.pipeline.vae.config.latent_channels
    noise = torch.randn(2, channels, 8, 12, generator=torch.Generator().manual_seed(3))
    given = {"prompt": tiny.TEXTS, "negative_prompt": ["the hat", ""], "guidance_scale": 4.0, "steps": 5}
    given |= {"height": 16, "width": 24}
    if "image" in tree["inputs"]:
        given |= {"image": torch.rand(2, 3, 20, 20), "mask_image": torch.rand(2, 1, 30, 20).round()}

    given = {name: value for name, value in given.items() if name in {**tree["inputs"], **tree["params"]}}

    def run(graph):
        session = mmm.load(graph, base=made.file.parent)
        return session.run(**given, supply={"noise": noise}, outputs=["denoise.latents", "image"])

    ours, wanted = run(tree), run(made.tree)
    assert all(torch.equal(ours[name], wanted[name]) for name in wanted)
    assert wanted["denoise.latents"].std() > 0.1


def test_what_is_left_out_is_said(made):
    notes = imported(made).notes
    assert any(note.startswith("the average of the weights (EMA) (2 tensors") for note in notes)
    assert any(note.startswith("the noise schedule (3 tensors") for note in notes)


def test_weights_may_be_in_half_precision(made):
    models = imported(made, dtype="bf16").tree["models"]
    dtypes = {name: model.get("dtype") for name, model in models.items() if "#" in model.get("weights", "")}
    is_xl = "unet" in dtypes and "text2" in dtypes
    assert dtypes.pop("vae") == ("f32" if is_xl else "bf16") and set(dtypes.values()) == {"bf16"}


def test_a_file_as_another_pipeline(single):
    """As the folder, but for where the models are; and what cannot be made of it is an error."""
    made, name = single("sdxl"), "StableDiffusionXLImg2ImgPipeline"
    tree = imported(made, as_class=name).tree
    wanted = import_graph(str(made.folder), made.file.parent / "g.yaml", load_registry(), as_class=name).tree
    assert "image" in tree["inputs"] and "strength" in tree["params"]
    assert all(tree[key] == wanted[key] for key in ("inputs", "nodes", "graphs", "outputs"))
    for other, said in (
        ("FluxPipeline", "cannot be imported: unet"),
        ("NoPipeline", "which no plugin can import"),
    ):
        with pytest.raises(InputError, match=said):
            imported(made, as_class=other)
    with pytest.raises(InputError, match="is not a field of any scheduler"):
        imported(single("sd2"), as_class="DDIMScheduler")


def test_export_makes_folders_of_it(single, tmp_path):
    import diffusers
    import transformers

    made = single("sdxl")
    mmm.load(imported(made).tree, base=made.file.parent).export(tmp_path / "out")
    classes = {
        "unet": ("unet", diffusers.UNet2DConditionModel),
        "vae": ("vae", diffusers.AutoencoderKL),
        "text2": ("text_encoder_2", transformers.CLIPTextModelWithProjection),
    }
    for ours, (theirs, kind) in classes.items():
        found = kind.from_pretrained(tmp_path / "out" / ours).state_dict()
        wanted = made.pipeline.components[theirs].state_dict()
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], value) for name, value in wanted.items())


@pytest.mark.dist
def test_ranks_read_their_parts_of_the_file(single):
    made = single("sdxl")
    tree = imported(made).tree
    for model in tree["models"].values():
        if "#" in model.get("weights", ""):
            model["dtype"] = "f64"
    plan = {"ranks": 2, "pipe": {"unet": 2}, "axes": {"text2": {"tensor": 2}}}
    tree["parallel"] = {"plans": {"two": plan}}
    given = {"prompt": tiny.TEXTS, "height": 16, "width": 16, "steps": 2, "outputs": ["denoise.latents"]}
    one, two = (
        mmm.load(tree, base=made.file.parent, plan=name).run(**given)["denoise.latents"]
        for name in (None, "two")
    )
    assert one.dtype == torch.float64 and (two - one).abs().max() <= 1e-10 * one.abs().max()
