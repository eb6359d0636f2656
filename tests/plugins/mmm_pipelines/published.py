"""model_index.json and the configs of published pipelines, as far as an importer reads them; no weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Part = tuple[str, str, Mapping[str, Any]]

CLIP_L = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
          "hidden_act": "quick_gelu", "vocab_size": 49408, "max_position_embeddings": 77, "projection_dim": 768,
          "layer_norm_eps": 1e-5, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}  # fmt: skip
CLIP_G = {**CLIP_L, "hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 20, "intermediate_size": 5120,
          "hidden_act": "gelu", "projection_dim": 1280}  # fmt: skip
T5_XXL = {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64, "vocab_size": 32128,
          "feed_forward_proj": "gated-gelu", "relative_attention_num_buckets": 32,
          "relative_attention_max_distance": 128, "layer_norm_epsilon": 1e-6}  # fmt: skip
VAE = {"in_channels": 3, "out_channels": 3, "latent_channels": 4, "block_out_channels": [128, 256, 512, 512],
       "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
       "layers_per_block": 2, "norm_num_groups": 32, "sample_size": 512, "act_fn": "silu"}  # fmt: skip
VAE_XL = {**VAE, "sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True}
VAE_16 = {**VAE, "latent_channels": 16, "sample_size": 1024, "use_quant_conv": False, "use_post_quant_conv": False,
          "force_upcast": True}  # fmt: skip
UNET = {"in_channels": 4, "out_channels": 4, "sample_size": 64, "block_out_channels": [320, 640, 1280, 1280],
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3, "attention_head_dim": 8,
        "cross_attention_dim": 768, "layers_per_block": 2, "norm_num_groups": 32}  # fmt: skip
UNET_XL = {**UNET, "sample_size": 128, "block_out_channels": [320, 640, 1280],
           "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
           "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
           "attention_head_dim": [5, 10, 20], "cross_attention_dim": 2048, "transformer_layers_per_block": [1, 2, 10],
           "use_linear_projection": True, "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
           "projection_class_embeddings_input_dim": 2816}  # fmt: skip
SD_LAW = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
}
PNDM = {**SD_LAW, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1}
EULER = {**SD_LAW, "steps_offset": 1, "timestep_spacing": "leading", "prediction_type": "epsilon"}
DDPM_LAW = {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear", "num_train_timesteps": 1000}


def texts(*parts: tuple[str, Mapping[str, Any]]) -> dict[str, Part]:
    """Tokenizers and text encoders, numbered as diffusers does."""
    found: dict[str, Part] = {}
    for i, (kind, config) in enumerate(parts):
        end = f"_{i + 1}" if i else ""
        found[f"tokenizer{end}"] = (
            "transformers",
            "T5TokenizerFast" if "T5" in kind else "CLIPTokenizer",
            {},
        )
        found[f"text_encoder{end}"] = ("transformers", kind, config)
    return found


def image(net: str, kind: str, config: Mapping[str, Any], vae: Mapping[str, Any]) -> dict[str, Part]:
    """The denoiser and the autoencoder."""
    return {net: ("diffusers", kind, config), "vae": ("diffusers", "AutoencoderKL", vae)}


def scheduler(kind: str, config: Mapping[str, Any]) -> dict[str, Part]:
    """The scheduler."""
    return {"scheduler": ("diffusers", kind, config)}


U, CLIP, PROJECTED, T5 = (
    "UNet2DConditionModel",
    "CLIPTextModel",
    "CLIPTextModelWithProjection",
    "T5EncoderModel",
)
FLOW = "FlowMatchEulerDiscreteScheduler"
SD3 = {"attention_head_dim": 64, "caption_projection_dim": 1536, "in_channels": 16, "joint_attention_dim": 4096,
       "num_attention_heads": 24, "num_layers": 24, "out_channels": 16, "patch_size": 2,
       "pooled_projection_dim": 2048, "pos_embed_max_size": 192, "sample_size": 128}  # fmt: skip
FLUX = {"attention_head_dim": 128, "guidance_embeds": True, "in_channels": 64, "joint_attention_dim": 4096,
        "num_attention_heads": 24, "num_layers": 19, "num_single_layers": 38, "patch_size": 1,
        "pooled_projection_dim": 768}  # fmt: skip
SHIFT = {"base_image_seq_len": 256, "base_shift": 0.5, "max_image_seq_len": 4096, "max_shift": 1.15,
         "num_train_timesteps": 1000, "shift": 3.0, "use_dynamic_shifting": True}  # fmt: skip
PIXART = {"activation_fn": "gelu-approximate", "attention_bias": True, "attention_head_dim": 72,
          "caption_channels": 4096, "cross_attention_dim": 1152, "in_channels": 4, "interpolation_scale": 2,
          "norm_elementwise_affine": False, "norm_eps": 1e-6, "norm_type": "ada_norm_single",
          "num_attention_heads": 16, "num_embeds_ada_norm": 1000, "num_layers": 28, "out_channels": 8,
          "patch_size": 2, "sample_size": 128, "use_additional_conditions": False}  # fmt: skip
DIT = {"activation_fn": "gelu-approximate", "attention_bias": True, "attention_head_dim": 72, "in_channels": 4,
       "norm_elementwise_affine": False, "norm_type": "ada_norm_zero", "num_attention_heads": 16,
       "num_embeds_ada_norm": 1000, "num_layers": 28, "out_channels": 8, "patch_size": 2,
       "sample_size": 32}  # fmt: skip

SD15 = {**texts((CLIP, CLIP_L)), **image("unet", U, UNET, VAE), **scheduler("PNDMScheduler", PNDM)}
SDXL = {**texts((CLIP, CLIP_L), (PROJECTED, CLIP_G)), **image("unet", U, UNET_XL, VAE_XL),
        **scheduler("EulerDiscreteScheduler", EULER)}  # fmt: skip
SD15_REPO = "stable-diffusion-v1-5/stable-diffusion-v1-5"
SDXL_REPO = "stabilityai/stable-diffusion-xl-base-1.0"

PIPELINES: Mapping[str, tuple[str, str, dict[str, Part], Mapping[str, Any]]] = {
    "sd15": (SD15_REPO, "StableDiffusionPipeline", SD15, {}),
    "sd15_img2img": (SD15_REPO, "StableDiffusionImg2ImgPipeline", SD15, {}),
    "sd15_inpaint_masked": (SD15_REPO, "StableDiffusionInpaintPipeline", SD15, {}),
    "sd15_inpaint": ("stable-diffusion-v1-5/stable-diffusion-inpainting", "StableDiffusionInpaintPipeline",
                     {**texts((CLIP, CLIP_L)), **image("unet", U, {**UNET, "in_channels": 9}, VAE),
                      **scheduler("PNDMScheduler", PNDM)}, {}),
    "sdxl": (SDXL_REPO, "StableDiffusionXLPipeline", SDXL, {"force_zeros_for_empty_prompt": True}),
    "sdxl_img2img": (SDXL_REPO, "StableDiffusionXLImg2ImgPipeline", SDXL, {"force_zeros_for_empty_prompt": True}),
    "sd3": ("stabilityai/stable-diffusion-3-medium-diffusers", "StableDiffusion3Pipeline",
            {**texts((PROJECTED, CLIP_L), (PROJECTED, CLIP_G), (T5, T5_XXL)),
             **image("transformer", "SD3Transformer2DModel", SD3,
                     {**VAE_16, "scaling_factor": 1.5305, "shift_factor": 0.0609}),
             **scheduler(FLOW, {"num_train_timesteps": 1000, "shift": 3.0})}, {}),
    "flux": ("black-forest-labs/FLUX.1-dev", "FluxPipeline",
             {**texts((CLIP, CLIP_L), (T5, T5_XXL)),
              **image("transformer", "FluxTransformer2DModel", FLUX,
                      {**VAE_16, "scaling_factor": 0.3611, "shift_factor": 0.1159}),
              **scheduler(FLOW, SHIFT)}, {}),
    "pixart_sigma": ("PixArt-alpha/PixArt-Sigma-XL-2-1024-MS", "PixArtSigmaPipeline",
                     {**texts((T5, T5_XXL)), **image("transformer", "PixArtTransformer2DModel", PIXART, VAE_XL),
                      **scheduler("DPMSolverMultistepScheduler", DDPM_LAW)}, {}),
    "dit_xl2": ("facebook/DiT-XL-2-256", "DiTPipeline",
                {**image("transformer", "DiTTransformer2DModel", DIT, VAE),
                 **scheduler("DDIMScheduler", {**DDPM_LAW, "clip_sample": False})}, {}),
}  # fmt: skip
"""By the name of our graph: repository, class, parts, and what else model_index.json says."""


def write(name: str, folder: Path) -> Path:
    """The folder of a published pipeline, without weights."""
    _, kind, parts, more = PIPELINES[name]
    index = {
        "_class_name": kind,
        **more,
        **{part: [library, cls] for part, (library, cls, _) in parts.items()},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model_index.json").write_text(json.dumps(index))
    for part, (library, cls, config) in parts.items():
        (folder / part).mkdir()
        said = {"architectures": [cls]} if library == "transformers" else {"_class_name": cls}
        file = "scheduler_config.json" if part == "scheduler" else "config.json"
        if not part.startswith("tokenizer"):
            (folder / part / file).write_text(json.dumps({**said, **config}))
    return folder
