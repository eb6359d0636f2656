"""Random pipelines of diffusers in the sizes that `denoisers.py` measures; text is short of what the hub has."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

TEXT = {"prompt": "a lighthouse on a rock at dusk", "negative_prompt": "fog"}


@dataclass(frozen=True)
class Case:
    """A pipeline and what both sides are told.

    Attributes:
        build: folder for its tokenizers -> the pipeline.
        ours, theirs: inputs and params, and arguments of `__call__`, beside sizes, steps and noise.
        channels: of the latents, 64 x 64 of them for 512 x 512 pixels.
        shared: whether both take a prompt.
        net: the pipeline's attribute that is the denoiser.
    """

    build: Callable[[Path], Any]
    channels: int = 4
    ours: Mapping[str, Any] = field(default_factory=lambda: {**TEXT, "guidance_scale": 5.0})
    theirs: Mapping[str, Any] = field(default_factory=lambda: {**TEXT, "guidance_scale": 5.0})
    sized: bool = True
    net: str = "transformer"


def unet(folder: Path) -> Any:
    """Stable Diffusion 1.5 with half the channels, and half of its autoencoder; CLIP-L as it is."""
    import diffusers

    net = diffusers.UNet2DConditionModel(
        sample_size=64, block_out_channels=(160, 320, 640, 640), attention_head_dim=8, cross_attention_dim=768,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    )  # fmt: skip
    return diffusers.StableDiffusionPipeline(
        vae=vae(4), unet=net, scheduler=diffusers.DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
            set_alpha_to_one=False, steps_offset=1,
        ),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        **clip(folder),
    )  # fmt: skip


def dit(folder: Path) -> Any:
    """DiT-B/2 on 64 x 64 latents, with a learned variance."""
    import diffusers

    net = diffusers.DiTTransformer2DModel(
        num_attention_heads=12,
        attention_head_dim=64,
        in_channels=4,
        out_channels=8,
        num_layers=12,
        sample_size=64,
    )
    return diffusers.DiTPipeline(net, vae(4), diffusers.DDIMScheduler(clip_sample=False))


def mmdit(folder: Path) -> Any:
    """SD3 medium with 6 of its 24 layers; CLIP-L and T5-small's sizes for its texts."""
    import diffusers
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    tokens = clip(folder)["tokenizer"]
    small = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 8, "num_attention_heads": 8}
    plain = {"vocab_size": len(tokens), "eos_token_id": len(tokens) - 1, "hidden_act": "gelu"}
    first = CLIPTextModelWithProjection(
        CLIPTextConfig(**plain, hidden_size=768, intermediate_size=3072, projection_dim=768)
    )
    second = CLIPTextModelWithProjection(CLIPTextConfig(**plain, **small, projection_dim=512))
    net = diffusers.SD3Transformer2DModel(
        sample_size=64, num_layers=6, num_attention_heads=24, attention_head_dim=64, joint_attention_dim=4096,
        caption_projection_dim=1536, pooled_projection_dim=1280, in_channels=16, out_channels=16, pos_embed_max_size=96,
    )  # fmt: skip
    return diffusers.StableDiffusion3Pipeline(
        transformer=net, vae=vae(16), scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        text_encoder=first, text_encoder_2=second, text_encoder_3=t5(4096),
        tokenizer=tokens, tokenizer_2=tokens, tokenizer_3=t5_tokenizer(),
    )  # fmt: skip


def flux(folder: Path) -> Any:
    """FLUX.1 dev at half its width, with 2 double and 4 single blocks."""
    import diffusers

    tokens, text = clip(folder).values()
    net = diffusers.FluxTransformer2DModel(
        num_layers=2, num_single_layers=4, num_attention_heads=12, attention_head_dim=128, joint_attention_dim=4096,
        pooled_projection_dim=768, guidance_embeds=True, in_channels=64,
    )  # fmt: skip
    return diffusers.FluxPipeline(
        transformer=net, vae=vae(16), scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=1.0),
        text_encoder=text, text_encoder_2=t5(4096), tokenizer=tokens, tokenizer_2=t5_tokenizer(),
    )  # fmt: skip


GUIDED = {"prompt": TEXT["prompt"], "guidance_scale": 3.5}
CLASSES = {"guidance_scale": 4.0}
CASES: Mapping[str, Case] = {
    "unet": Case(unet, net="unet"),
    "dit": Case(dit, ours={"label": [7], **CLASSES}, theirs={"class_labels": [7], **CLASSES}, sized=False),
    "mmdit": Case(mmdit, channels=16),
    "flux": Case(flux, channels=16, ours=GUIDED, theirs=GUIDED),
}


def vae(latent: int) -> nn.Module:
    """The autoencoder of Stable Diffusion with half the channels."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(64, 128, 256, 256), layers_per_block=2, latent_channels=latent, sample_size=512,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        shift_factor=0.0 if latent == 16 else None,
    )  # fmt: skip


def clip(folder: Path) -> dict[str, Any]:
    """CLIP-L with a vocabulary of bytes."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    letters = [chr(c) for c in (*range(33, 127), *range(161, 173), *range(174, 256))]
    letters += [chr(256 + n) for n in range(256 - len(letters))]
    words = [*letters, *(c + "</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokens = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)
    sizes = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
    }
    config = CLIPTextConfig(vocab_size=len(words), eos_token_id=len(words) - 1, **sizes)
    return {"tokenizer": tokens, "text_encoder": CLIPTextModel(config)}


def t5(width: int) -> nn.Module:
    """Two layers of T5, as wide as the denoiser reads."""
    from transformers import T5Config, T5EncoderModel

    sizes = {"d_model": width, "d_kv": 64, "d_ff": 1024, "num_layers": 2, "num_heads": 8}
    return T5EncoderModel(T5Config(vocab_size=99, feed_forward_proj="gated-gelu", **sizes))


def t5_tokenizer() -> Any:
    """One token a letter."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = [(chr(c), -3.0) for c in range(33, 127)]
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *letters]
    tokenizer = Tokenizer(models.Unigram(words, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=512,
    )


def draw_weights(pipeline: Any) -> None:
    """Nothing stays zero as initialisations leave it, so that what both sides make can be compared."""
    generator = torch.Generator().manual_seed(1)
    for part in pipeline.components.values():
        if isinstance(part, nn.Module):
            part.eval()
            with torch.no_grad():
                for weight in part.parameters():
                    weight.add_(torch.randn(weight.shape, generator=generator) * 0.01)
                blocks = [b for b in getattr(part, "transformer_blocks", ()) if getattr(b.norm1, "emb", None)]
                for block in blocks[1:]:  # DiT keeps one embedding of times and classes in every block
                    block.norm1.emb.load_state_dict(blocks[0].norm1.emb.state_dict())
