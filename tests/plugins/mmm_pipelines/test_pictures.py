"""Image to image and inpainting, imported, against diffusers' own pipelines on the same noise."""

from __future__ import annotations

import functools
import importlib
import itertools

import pytest
import torch
from PIL import Image

import mmm_graph as mmm
from mmm_graph.api.convert import import_graph
from mmm_graph.errors import InputError
from mmm_graph.registry import load_registry
from tests.plugins.mmm_pipelines import test_sdxl, test_stable_diffusion, tiny

pytestmark = pytest.mark.parity

LAW = test_stable_diffusion.BETAS
SCHEDULERS = {
    "ddim": ("DDIMScheduler", {**LAW, "steps_offset": 1, "clip_sample": False, "set_alpha_to_one": False}),
    "euler": ("EulerDiscreteScheduler", LAW),
    "heun": ("HeunDiscreteScheduler", LAW),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", LAW),
}
SIZES = [(1, 16, 16), (2, 24, 16)]


def stable_diffusion(folder, scheduler, name, channels=4):
    """A small pipeline of class `name` from the parts of a text-to-image one."""
    import diffusers

    unet = {**test_stable_diffusion.SD1, "in_channels": channels}
    pipe = test_stable_diffusion.pipeline(folder, unet, *SCHEDULERS[scheduler], {})
    return getattr(diffusers, name)(**pipe.components, requires_safety_checker=False)


def drawn(batch, height, width, channels, seed=3):
    return torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(seed))


def normal(batch, height, width):
    return torch.randn(batch, 4, height // 2, width // 2, generator=torch.Generator().manual_seed(4))


@pytest.fixture
def compare(tmp_path, monkeypatch):
    """Latents of the graph beside those of diffusers, for every strength and size; and what else the graph gives.

    Latents of pictures are means in both, so that nothing but `noise` is drawn.
    """

    def run(pipe, strengths, *, masked=False, negative=("the hat", "")):
        folder = tiny.save(pipe, tmp_path / "checkpoint")
        tree = import_graph(str(folder), tmp_path / "graph.yaml", load_registry()).tree
        for node in tree["nodes"].values():
            if node.get("call") == "vae.encode":
                node["config"]["sample"] = False
        session = mmm.load(tree, base=tmp_path)
        module = importlib.import_module(type(pipe).__module__)
        mean = functools.partial(module.retrieve_latents, sample_mode="argmax")
        monkeypatch.setattr(module, "retrieve_latents", mean)
        for (batch, height, width), strength in itertools.product(SIZES, strengths):
            noise = normal(batch, height, width)
            monkeypatch.setattr(module, "randn_tensor", lambda *_, noise=noise, **__: noise)
            given = {"image": drawn(batch, height, width, 3), "strength": strength, "guidance_scale": 4.0}
            given |= {"prompt": tiny.TEXTS[:batch], "negative_prompt": list(negative[:batch])}
            size = {"height": height, "width": width}
            if masked:
                given["mask_image"] = drawn(batch, height, width, 1, seed=5)
            wanted = ["denoise.latents", "latents.latents"]
            found = session.run(**given, **size, steps=5, supply={"noise": noise}, outputs=wanted)
            theirs = {**given, **(size if masked else {})}
            with torch.no_grad():
                expected = pipe(**theirs, num_inference_steps=5, output_type="latent").images
            latents = found["denoise.latents"]
            assert latents.shape == expected.shape
            assert (latents - expected).abs().max() <= 1e-4 * max(1.0, float(expected.abs().max()))
            yield latents, found["latents.latents"], given

    return run


@pytest.mark.parametrize("scheduler", ["ddim", "euler", "dpmpp_2m"])
def test_image_to_image(scheduler, compare, tmp_path):
    pipe = stable_diffusion(tmp_path, scheduler, "StableDiffusionImg2ImgPipeline")
    assert len(list(compare(pipe, [0.4, 0.75, 1.0]))) == 6


@pytest.mark.parametrize("scheduler", ["ddim", "euler", "dpmpp_2m", "heun"])
def test_inpainting_puts_back_what_is_kept(scheduler, compare, tmp_path):
    pipe = stable_diffusion(tmp_path, scheduler, "StableDiffusionInpaintPipeline")
    for latents, original, given in compare(pipe, [0.6, 1.0], masked=True):
        kept = (given["mask_image"] < 0.5)[..., ::2, ::2].expand_as(latents)
        assert 0.3 < kept.float().mean() < 0.7
        assert torch.equal(latents[kept], original[kept])
        assert not torch.isclose(latents[~kept], original[~kept]).any()


@pytest.mark.parametrize("scheduler", ["ddim", "euler"])
def test_inpainting_with_nine_channels(scheduler, compare, tmp_path):
    pipe = stable_diffusion(tmp_path, scheduler, "StableDiffusionInpaintPipeline", channels=9)
    assert len(list(compare(pipe, [0.6, 1.0], masked=True))) == 4


def test_files_become_pixels_as_theirs_do(tmp_path):
    pipe = stable_diffusion(tmp_path, "ddim", "StableDiffusionInpaintPipeline")
    folder = tiny.save(pipe, tmp_path / "checkpoint")
    tree = import_graph(str(folder), tmp_path / "graph.yaml", load_registry()).tree
    image, mask = (
        Image.fromarray((drawn(1, 100, 150, c)[0] * 255).byte().permute(1, 2, 0).numpy().squeeze())
        for c in (3, 1)
    )
    given = {"image": image, "mask_image": mask, "height": 48, "width": 64, "prompt": ""}
    found = mmm.load(tree, base=tmp_path).run(**given, outputs=["sized", "mask"])
    theirs = pipe.image_processor.preprocess(image, height=48, width=64) / 2 + 0.5
    away = (
        found["sized"] - theirs
    ).abs() * 255  # Pillow's sums are in fixed point: hardly a pixel is one level apart
    assert away.max() < 1.01 and (away > 0.01).float().mean() < 0.001
    painted = pipe.mask_processor.preprocess(mask, height=48, width=64)
    assert torch.equal(found["mask"], torch.nn.functional.interpolate(painted, size=(24, 32)))


def xl(folder, **more):
    import diffusers

    pipe = test_sdxl.pipeline(folder, *test_sdxl.CASES["as released"])
    return diffusers.StableDiffusionXLImg2ImgPipeline(**pipe.components, add_watermarker=False, **more)


def test_sdxl_from_a_picture(compare, tmp_path):
    assert len(list(compare(xl(tmp_path), [0.6], negative=("the hat", "a caat")))) == 2


PLANS = {
    "patch2": {"ranks": 2, "axes": {"unet": {"patch": 2}, "vae": {"patch": 2}}},
    "cfg2_patch2": {"ranks": 4, "axes": {"unet": {"cfg": 2, "patch": 2}}},
    "apart": {
        "ranks": 3,
        "stages": [{"ranks": [i], "place": [m]} for i, m in enumerate(("text", "unet", "vae"))],
    },
}


@pytest.mark.dist
@pytest.mark.parametrize("channels", [4, 9])
def test_ranks_paint_what_one_paints(channels, tmp_path):
    pipe = stable_diffusion(tmp_path, "dpmpp_2m", "StableDiffusionInpaintPipeline", channels)
    folder = tiny.save(pipe, tmp_path / "checkpoint")
    tree = import_graph(str(folder), tmp_path / "graph.yaml", load_registry(), dtype="f64").tree
    tree["parallel"] = {"plans": PLANS}
    given = {"prompt": tiny.TEXTS, "negative_prompt": ["the hat", ""], "height": 24, "width": 16, "steps": 4}
    given |= {"image": drawn(2, 24, 16, 3), "mask_image": drawn(2, 24, 16, 1, seed=5), "strength": 0.8}

    def painted(plan):
        return mmm.load(tree, base=tmp_path, plan=plan).run(**given, outputs=["denoise.latents"])[
            "denoise.latents"
        ]

    one = painted(None)
    for plan in PLANS:
        assert (painted(plan) - one).abs().max() <= 1e-10 * one.abs().max(), plan


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda at: stable_diffusion(at, "ddim", "StableDiffusionInpaintPipeline", 5), "in_channels 5"),
        (lambda at: xl(at, requires_aesthetics_score=True), "requires_aesthetics_score True"),
    ],
)
def test_what_is_refused(make, words, tmp_path):
    folder = tiny.save(make(tmp_path), tmp_path / "checkpoint")
    with pytest.raises(InputError, match=words):
        import_graph(str(folder), tmp_path / "graph.yaml", load_registry())
