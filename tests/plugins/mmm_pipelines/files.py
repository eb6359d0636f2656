"""Small random pipelines with the proportions of Stable Diffusion 1, 2 and XL, and their original single files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import mmm_graph as mmm
from mmm_flux.foreign import LAYOUTS as FLUX
from mmm_graph.api.convert import import_graph
from mmm_graph.checkpoint.save import save_foreign
from mmm_graph.registry import Layout, load_registry
from mmm_mmdit.foreign import LAYOUTS as MMDIT
from mmm_t5.foreign import LAYOUTS as T5
from mmm_text.foreign import LAYOUTS as TEXT
from mmm_text.model import TextEncoder
from mmm_unet.foreign import LAYOUTS as UNET
from mmm_vae.foreign import LAYOUTS as VAE
from tests.plugins.mmm_pipelines import tiny

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
OLD = {**BETAS, "clip_sample": False, "set_alpha_to_one": False}
HEADS = {"attention_head_dim": (1, 2), "use_linear_projection": True}
LEVELS = {
    "sample_size": 8, "block_out_channels": (64, 128), "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "cross_attention_dim": 64,
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A pipeline and how its file is made.

    Attributes:
        make: (folder for tokenizers) -> the pipeline of diffusers.
        models: component -> (model of our graph, layout, prefix in the file).
        said: options of `mmm import`.
        is_cut: the file has one more text block, and a projection, which the pipeline does not use.
    """

    make: Any
    models: Mapping[str, tuple[str, Layout, str]]
    said: Mapping[str, Any]
    is_cut: bool = False


def vae(**more: Any) -> Any:
    import diffusers

    torch.manual_seed(1)
    return diffusers.AutoencoderKL(
        block_out_channels=(32, 64), layers_per_block=2, sample_size=16,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, **more,
    )  # fmt: skip


def stable_diffusion(folder: Path, scheduler: Any, net: Mapping[str, Any], **text: Any) -> Any:
    import diffusers

    torch.manual_seed(0)
    tokenizer = tiny.clip_tokenizer(folder, pad=text.pop("pad"))
    encoder = tiny.clip_text(len(tokenizer), 64, num_attention_heads=1, **text)
    unet = diffusers.UNet2DConditionModel(**LEVELS, **net)
    decoder = vae()
    tiny.scramble(encoder, unet, decoder)
    return diffusers.StableDiffusionPipeline(
        vae=decoder, text_encoder=encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler, safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def sd1(folder: Path) -> Any:
    from diffusers import PNDMScheduler

    net = {"attention_head_dim": 8, "layers_per_block": 2}
    return stable_diffusion(folder, PNDMScheduler(**BETAS, skip_prk_steps=True), net, pad="<|endoftext|>")


def sd1_inpainting(folder: Path) -> Any:
    import diffusers

    net = {"attention_head_dim": 8, "layers_per_block": 1, "in_channels": 9}
    scheduler = diffusers.PNDMScheduler(**BETAS, skip_prk_steps=True)
    parts = stable_diffusion(folder, scheduler, net, pad="<|endoftext|>").components
    return diffusers.StableDiffusionInpaintPipeline(**parts, requires_safety_checker=False)


def sd2(folder: Path, blocks: int = 3) -> Any:
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(**OLD, prediction_type="v_prediction")
    text = {"hidden_act": "gelu", "num_hidden_layers": blocks}
    return stable_diffusion(folder, scheduler, {**HEADS, "layers_per_block": 1}, pad="!", **text)


def sdxl(folder: Path) -> Any:
    import diffusers

    torch.manual_seed(0)
    first, second = tiny.clip_tokenizer(folder / "a"), tiny.clip_tokenizer(folder / "b", pad="!")
    texts = (
        tiny.clip_text(len(first), 64, num_attention_heads=1),
        tiny.clip_text(len(second), 128, projection=20, hidden_act="gelu"),
    )
    levels = {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "cross_attention_dim": 192,
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "transformer_layers_per_block": (1, 2),
        "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 68,
    }  # fmt: skip
    net = diffusers.UNet2DConditionModel(**{**LEVELS, **HEADS, **levels, "layers_per_block": 2})
    decoder = vae(scaling_factor=0.13025)
    tiny.scramble(*texts, net, decoder)
    return diffusers.StableDiffusionXLPipeline(
        vae=decoder, text_encoder=texts[0], text_encoder_2=texts[1], tokenizer=first, tokenizer_2=second, unet=net,
        scheduler=diffusers.EulerDiscreteScheduler(**BETAS, timestep_spacing="leading"), add_watermarker=False,
    )  # fmt: skip


def sd3(folder: Path) -> Any:
    import diffusers

    torch.manual_seed(0)
    first, second = tiny.clip_tokenizer(folder / "a"), tiny.clip_tokenizer(folder / "b", pad="!")
    texts = (
        tiny.clip_text(len(first), 64, projection=64, num_attention_heads=1),
        tiny.clip_text(len(second), 128, projection=20, hidden_act="gelu"),
        tiny.t5_text(192),
    )
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=128, in_channels=16, out_channels=16, num_layers=3, num_attention_heads=1, attention_head_dim=64,
        joint_attention_dim=192, caption_projection_dim=64, pooled_projection_dim=84, pos_embed_max_size=70,
        qk_norm="rms_norm", dual_attention_layers=(0,),
    )  # fmt: skip
    decoder = vae(
        latent_channels=16, scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False,
        use_post_quant_conv=False,
    )  # fmt: skip
    tiny.scramble(*texts, transformer, decoder)
    with torch.no_grad():
        texts[0].text_projection.weight.copy_(torch.eye(64))
    return diffusers.StableDiffusion3Pipeline(
        transformer=transformer, vae=decoder, scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        text_encoder=texts[0], text_encoder_2=texts[1], text_encoder_3=texts[2], tokenizer=first, tokenizer_2=second,
        tokenizer_3=tiny.t5_tokenizer(),
    )  # fmt: skip


def flux(folder: Path, guidance: bool) -> Any:
    import diffusers

    torch.manual_seed(0)
    tokenizer = tiny.clip_tokenizer(folder)
    texts = tiny.clip_text(len(tokenizer), 64, num_attention_heads=1), tiny.t5_text(24)
    transformer = diffusers.FluxTransformer2DModel(
        in_channels=64, num_layers=1, num_single_layers=2, num_attention_heads=1, attention_head_dim=128,
        joint_attention_dim=24, pooled_projection_dim=64, axes_dims_rope=(16, 56, 56), guidance_embeds=guidance,
    )  # fmt: skip
    decoder = vae(
        latent_channels=16, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False,
        use_post_quant_conv=False,
    )  # fmt: skip
    tiny.scramble(*texts, transformer, decoder)
    law = {"shift": 3.0, "use_dynamic_shifting": True} if guidance else {"shift": 1.0}
    return diffusers.FluxPipeline(
        transformer=transformer, vae=decoder, scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**law),
        text_encoder=texts[0], text_encoder_2=texts[1], tokenizer=tokenizer, tokenizer_2=tiny.t5_tokenizer(),
    )  # fmt: skip


def named(layouts: Iterable[Layout], name: str) -> Layout:
    return next(layout for layout in layouts if layout.name == name)


REST = {
    "unet": ("unet", named(UNET, "original"), "model.diffusion_model"),
    "vae": ("vae", named(VAE, "original"), "first_stage_model"),
}
CLIP, OPEN_CLIP = named(TEXT, "transformers"), named(TEXT, "OpenCLIP")
PROJECTED = named(TEXT, "transformers, with projection")
SD1 = {"text_encoder": ("text", CLIP, "cond_stage_model.transformer"), **REST}
SD2 = {"text_encoder": ("text", OPEN_CLIP, "cond_stage_model.model"), **REST}
SDXL = {
    "text_encoder": ("text1", CLIP, "conditioner.embedders.0.transformer"),
    "text_encoder_2": ("text2", OPEN_CLIP, "conditioner.embedders.1.model"),
    **REST,
}
CLIP_L, CLIP_G, T5XXL = (f"text_encoders.{name}.transformer" for name in ("clip_l", "clip_g", "t5xxl"))
SD3 = {
    "text_encoder": ("text1", PROJECTED, CLIP_L),
    "text_encoder_2": ("text2", PROJECTED, CLIP_G),
    "text_encoder_3": ("text3", T5[0], T5XXL),
    "transformer": ("mmdit", named(MMDIT, "original"), "model.diffusion_model"),
    "vae": REST["vae"],
}
FLUX1 = {
    "text_encoder": ("text1", CLIP, CLIP_L),
    "text_encoder_2": ("text2", T5[0], T5XXL),
    "transformer": ("flux", named(FLUX, "original"), "model.diffusion_model"),
    "vae": ("vae", named(VAE, "original"), "vae"),
}
CASES = {
    "sd1": Case(sd1, SD1, {}),
    "sd1 inpainting": Case(sd1_inpainting, SD1, {}),
    "sd2": Case(sd2, SD2, {"prediction": "v"}, is_cut=True),
    "sd2 of a converter": Case(partial(sd2, blocks=23), SD2, {"prediction": "v"}),
    "sdxl": Case(sdxl, SDXL, {}),
    "sd3": Case(sd3, SD3, {}),
    "flux dev": Case(partial(flux, guidance=True), FLUX1, {}),
    "flux schnell": Case(partial(flux, guidance=False), FLUX1, {}),
}
IDENTITY = f"{CLIP_L}.text_projection.weight"
"""Files of SD3 leave it out: the projection of its first text is the identity."""
UNREAD = {
    "model_ema.decay": torch.zeros(()),
    "model_ema.diffusion_modelout0bias": torch.zeros(3),
    "betas": torch.zeros(3),
    "alphas_cumprod": torch.zeros(3),
    "sqrt_alphas_cumprod": torch.zeros(3),
}
"""What the published files hold beside the models."""


@dataclass(frozen=True)
class Made:
    """A pipeline, the folder it saved, the graph of the folder, and its single file."""

    case: Case
    pipeline: Any
    folder: Path
    tree: dict[str, Any]
    file: Path


def make(name: str, folder: Path) -> Made:
    """Build the pipeline, save it, import the folder, and write the original file with our layouts."""
    case = CASES[name]
    pipeline = case.make(folder / "vocabulary")
    saved = tiny.save(pipeline, folder / "saved")
    tree = import_graph(str(saved), folder / "folder.yaml", load_registry()).tree
    session = mmm.load(tree, base=folder)
    tensors: dict[str, Tensor] = dict(UNREAD)
    for model, layout, prefix in case.models.values():
        module = session.module(model)
        config = session.graph.models[model].config
        if case.is_cut and model == "text":
            module = one_more_block(module)
        save_foreign(module, folder / "part.safetensors", layout, config)
        tensors |= {f"{prefix}.{n}": t for n, t in load_file(folder / "part.safetensors").items()}
        if layout is OPEN_CLIP:
            tensors[f"{prefix}.logit_scale"] = torch.zeros(())
    if name == "sd3":
        tensors["model.diffusion_model.pos_embed"] = torch.zeros(1, 70 * 70, 64)
        del tensors[IDENTITY]
    save_file(tensors, folder / f"{name}.safetensors")
    return Made(case, pipeline, saved, tree, folder / f"{name}.safetensors")


def one_more_block(module: TextEncoder) -> TextEncoder:
    """The OpenCLIP model whose state before the last block the encoder gives, with its projection."""
    sizes = module.config.model_dump()
    config = type(module.config)(**{**sizes, "depth": module.config.depth + 1, "projection": True})
    torch.manual_seed(7)
    found = TextEncoder(config)
    found.load_state_dict(module.state_dict(), strict=False)
    return found.eval()
