"""LoRA files attached to imported pipelines, against diffusers' own loader and PEFT's layers."""

from __future__ import annotations

import re
from copy import deepcopy
from functools import partial

import pytest
import torch
from safetensors.torch import save_file

import mmm_graph as mmm
from mmm_graph.api.convert import import_graph
from mmm_graph.errors import InputError, RunError
from mmm_graph.registry import load_registry
from mmm_unet.config import UNetConfig
from mmm_unet.foreign import LAYOUTS
from mmm_unet.model import UNet
from tests.plugins.mmm_pipelines import loras, test_flux, test_sdxl, test_stable_diffusion, tiny

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:Already found a .peft_config.:UserWarning"),  # of a second adapter
]

MAKE = {
    "sd": lambda folder: test_stable_diffusion.pipeline(folder, *test_stable_diffusion.CASES["sd1 ddim"]),
    "sdxl": lambda folder: test_sdxl.pipeline(folder, *test_sdxl.CASES["as released"]),
    "flux": lambda folder: test_flux.pipeline(folder, *test_flux.CASES["dev"]),
}
FLUX = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "to_add_out", "ff.net.0.proj", "ff_context.net.2",
        "proj_mlp", "proj_out", "norm.linear", "context_embedder")  # fmt: skip
NETS = {"flux": {"net": FLUX}}
SCALES = (0.7, -0.4)
KINDS = ("denoiser.unet", "denoiser.flux", "encoder.text")


class Case:
    """A pipeline of diffusers with two LoRA files, and the graph that is imported from it."""

    def __init__(self, name, folder):
        self.name, self.folder, self.make = name, folder, partial(MAKE[name], folder)
        pipeline = self.make()
        checkpoint = tiny.save(pipeline, folder / "checkpoint")
        self.tree = import_graph(str(checkpoint), folder / "graph.yaml", load_registry()).tree
        first, second = NETS.get(name, {}), {"net": ("to_q", "to_v", "proj_out"), "text": ("q_proj", "fc2")}
        self.files = [
            loras.make(pipeline, folder / "a.safetensors", seed=1, rank=3, alpha=6.0, **first),
            loras.make(pipeline, folder / "b.safetensors", seed=2, rank=2, alpha=1.0, **second),
        ]
        self.given = {"prompt": tiny.TEXTS, "guidance_scale": 4.0, "height": 16, "width": 24}
        if name == "sd":
            self.given["negative_prompt"] = ["the hat", ""]
        self.noise = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(3))
        self.packed = test_flux.packed if name == "flux" else lambda latents: latents

    def theirs(self, *files):
        """Latents of diffusers after five steps."""
        pipeline = self.make()
        pipeline.set_progress_bar_config(disable=True)
        names = [f"lora{i}" for i in range(len(files))]
        for adapter, file in zip(names, files, strict=True):
            pipeline.load_lora_weights(str(file), adapter_name=adapter)
        pipeline.set_adapters(names, list(SCALES[: len(files)]))
        with torch.no_grad():
            call = {**self.given, "num_inference_steps": 5, "output_type": "latent"}
            return pipeline(**call, latents=self.packed(self.noise)).images

    def attached(self, *files, **more):
        """The graph with these LoRAs at every model that they may be for."""
        tree = deepcopy(self.tree)
        items = [{"lora": f"file:{f.name}", "scale": s, **more} for f, s in zip(files, SCALES, strict=False)]
        for model in tree["models"].values():
            if model["kind"] in KINDS:
                model["attach"] = items
        return tree

    def ours(self, tree, noise=None, **more):
        session = mmm.load(tree, base=self.folder, **more)
        supply = {"noise": self.noise if noise is None else noise}
        found = session.run(**self.given, steps=5, supply=supply, outputs=["denoise.latents"])
        return self.packed(found["denoise.latents"])


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    known = {}

    def get(name):
        if name not in known:
            known[name] = Case(name, tmp_path_factory.mktemp(name))
        return known[name]

    return get


def close(found, expected):
    return float((found - expected).abs().max()) <= 1e-4 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize(("name", "count"), [("sd", 1), ("sd", 2), ("sdxl", 2), ("flux", 2)])
def test_five_steps_live_and_merged(name, count, case):
    one = case(name)
    files = one.files[:count]
    expected = one.theirs(*files)
    assert not close(one.ours(one.tree), expected)
    assert close(one.ours(one.attached(*files)), expected)
    assert close(one.ours(one.attached(*files, merge=True)), expected)


@pytest.mark.parametrize("style", ["diffusers", "original"])
def test_files_of_kohya(style, case):
    """Text encoders, alphas, convolutions, and for SDXL the names of the U-Net as it was published."""
    one = case("sdxl")
    config = UNetConfig(**one.tree["models"]["unet"]["config"])
    names = [n.removeprefix("parts.") for n, _ in UNet(config).named_parameters()]
    ours, theirs = LAYOUTS[0].theirs(names, config), LAYOUTS[1].theirs(names, config)
    module = {w: p.names[0].removesuffix(".weight") for w, p in theirs.items()}
    table = (
        {p.names[0].removesuffix(".weight"): module[w] for w, p in ours.items()}
        if style == "original"
        else {}
    )
    file = loras.kohya(one.files[0], one.folder / f"{style}.safetensors", 6.0, table)
    assert any(
        "lora_unet_input_blocks_3_1_transformer_blocks_0_attn1_to_q" in n for n in loras.read(file)[0]
    ) == bool(table)
    assert close(one.ours(one.attached(file)), one.theirs(file))


def test_older_names_of_diffusers(case):
    """Attention processors, and `lora_linear_layer` of text encoders: the same bits as the newest names."""
    from diffusers.utils import convert_unet_state_dict_to_peft

    one = case("sd")
    file = loras.make(
        one.make(), one.folder / "c.safetensors", seed=4, rank=2, alpha=2.0,
        net=("to_q", "to_k", "to_v", "to_out.0"), text=("q_proj", "out_proj", "fc1"),
    )  # fmt: skip
    tensors = loras.read(file)[0]
    processors = {
        re.sub(r"\.(to_[qkv]|to_out)(\.0)?\.lora_A", r".processor.\1_lora.down", n): t
        for n, t in tensors.items()
    }
    processors = {
        re.sub(r"\.(to_[qkv]|to_out)(\.0)?\.lora_B", r".processor.\1_lora.up", n): t
        for n, t in processors.items()
    }
    net = {n: t for n, t in processors.items() if n.startswith("unet.")}
    assert convert_unet_state_dict_to_peft(net).keys() == {n for n in tensors if n.startswith("unet.")}
    old = {
        n.replace("lora_A", "lora_linear_layer.down").replace("lora_B", "lora_linear_layer.up"): t
        for n, t in processors.items()
    }
    save_file(old, one.folder / "old.safetensors")
    save_file({f"base_model.model.{n}": t for n, t in tensors.items()}, one.folder / "peft.safetensors")
    wanted = one.ours(one.attached(file))
    for name in ("old", "peft"):
        assert torch.equal(one.ours(one.attached(one.folder / f"{name}.safetensors")), wanted), name


def test_scale_zero_is_no_lora(case):
    for name in ("sd", "flux"):
        one = case(name)
        plain = one.ours(one.tree)
        tree = one.attached(*one.files)
        for model in tree["models"].values():
            for item in model.get("attach", ()):
                item["scale"] = 0.0
        assert torch.equal(one.ours(tree), plain)


def test_the_scale_is_a_param_that_reloads_nothing(case):
    one = case("sd")
    tree = one.attached(one.files[0])
    tree["params"]["style"] = {"type": "float", "default": 0.7}
    for model in tree["models"].values():
        for item in model.get("attach", ()):
            item["scale"] = "$params.style"
    session = mmm.load(tree, base=one.folder)
    run = partial(session.run, **one.given, steps=2, supply={"noise": one.noise}, outputs=["denoise.latents"])
    first = run()["denoise.latents"]
    net = session.module("unet")
    second = run(style=-0.2)["denoise.latents"]
    requests = [{**one.given, "steps": 2, "style": style, "id": str(style)} for style in (0.7, 0.0)]
    assert not close(first, second) and torch.equal(run()["denoise.latents"], first)
    assert session.module("unet") is net
    fresh = mmm.load(tree, base=one.folder, params={"style": -0.2})
    again = fresh.run(**one.given, steps=2, supply={"noise": one.noise}, outputs=["denoise.latents"])
    assert torch.equal(again["denoise.latents"], second)
    found = session.map(requests, outputs=["denoise.latents"])
    assert not torch.equal(*(r.values["denoise.latents"] for r in found.values()))


PLANS = {
    "sd": {
        "patch2": {"ranks": 2, "axes": {"unet": {"patch": 2}}},
        "cfg2": {"ranks": 2, "axes": {"unet": {"cfg": 2}}},
        "pipe2": {"ranks": 2, "pipe": {"unet": 2}},
    },
    "flux": {
        "tensor2": {"ranks": 2, "axes": {"flux": {"tensor": 2}, "text1": {"tensor": 2}}},
        "ulysses2": {"ranks": 2, "axes": {"flux": {"ulysses": 2}}},
        "pipe2": {"ranks": 2, "pipe": {"flux": 2}},
    },
}


@pytest.mark.dist
@pytest.mark.parametrize("name", PLANS)
def test_plans_are_exact(name, case):
    one = case(name)
    tree = one.attached(*one.files)
    tree["models"] |= {
        k: m | {"dtype": "f64"} for k, m in tree["models"].items() if m["kind"] in (*KINDS, "vae.kl")
    }
    tree["parallel"] = {"plans": PLANS[name]}
    noise = one.noise.double()
    alone = one.ours(tree, noise)
    assert alone.dtype == torch.float64
    for plan in PLANS[name]:
        assert (one.ours(tree, noise, plan=plan) - alone).abs().max() <= 1e-10 * alone.abs().max(), plan


@pytest.mark.dist
def test_displaced_patches_see_the_same_old_rows(case):
    """Convolutions beside the model's own keep halos of their own: what is stale for one is stale for the other."""
    one = case("sd")
    found = []
    for more in ({}, {"merge": True}):
        tree = one.attached(*one.files, **more)
        tree["models"]["unet"]["dtype"] = "f64"
        axes = {"unet": {"patch": {"size": 2, "mode": "displaced"}}}
        tree["parallel"] = {"plans": {"displaced2": {"ranks": 2, "axes": axes}}}
        found.append(one.ours(tree, one.noise.double(), plan="displaced2"))
        exact = one.ours(tree, one.noise.double())
    assert (
        (found[0] - found[1]).abs().max() <= 1e-6 * exact.abs().max() < 1e-3 * (found[0] - exact).abs().max()
    )


@pytest.mark.parametrize("where", ["host", "disk"])
def test_beside_weights_that_come_and_go(where, case):
    one = case("sd")
    tree = one.attached(*one.files)
    wanted = one.ours(tree)
    tree["models"]["unet"]["offload"] = {"by": "block", "from": where}
    assert torch.equal(one.ours(tree), wanted)


def test_saved_and_exported(case, tmp_path):
    """What is merged is in the weights, once; what is live stays beside them, and no other library can hold it."""
    import diffusers

    one = case("sd")
    session = mmm.load(one.attached(*one.files, merge=True), base=one.folder)
    session.export(tmp_path / "out")
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path / "out", safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    with torch.no_grad():
        call = {**one.given, "num_inference_steps": 5, "output_type": "latent", "latents": one.noise}
        assert close(pipeline(**call).images, one.theirs(*one.files))
    mixed = one.attached(*one.files)
    for model in mixed["models"].values():
        if "attach" in model:
            model["attach"] = [{**model["attach"][0], "merge": True}, model["attach"][1]]
    session = mmm.load(mixed, base=one.folder)
    wanted = one.ours(mixed)
    saved = mmm.load(session.save(tmp_path / "saved"))
    supply = {"noise": one.noise}
    found = saved.run(**one.given, steps=5, supply=supply, outputs=["denoise.latents"])["denoise.latents"]
    assert torch.equal(found, wanted)
    assert [a.merge for a in saved.spec.models["unet"].attach] == [False]
    with pytest.raises(RunError, match=r"E632.*merged into .*unet.safetensors already"):
        mmm.load(mixed, base=one.folder, weights=tmp_path / "saved").module("unet")
    with pytest.raises(InputError, match=r"E612.*unet: the LoRA file:b.safetensors runs beside the weights"):
        session.export(tmp_path / "not")
