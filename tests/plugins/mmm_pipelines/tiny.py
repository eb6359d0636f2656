"""Small random pipelines that diffusers itself builds and saves, with every size a little odd."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

TEXTS = ["a cat in the hat", "the caat"]
MERGES = ["t h", "th e</w>", "c a", "ca t</w>", "h a", "ha t</w>", "i n</w>"]


def clip_tokenizer(folder: Path, pad: str = "<|endoftext|>") -> Any:
    """A byte-level vocabulary with a few merges, as transformers' CLIPTokenizer."""
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    letters = [chr(c) for c in (*range(33, 127), *range(161, 173), *range(174, 256))]
    letters += [chr(256 + n) for n in range(256 - len(letters))]
    merged = ["".join(pair.split()) for pair in MERGES]
    words = [*letters, *(c + "</w>" for c in letters), *merged, "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *MERGES, ""]))
    return CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), pad_token=pad, model_max_length=77
    )


def clip_text(vocab: int, width: int = 16, projection: int | None = None, **more: Any) -> nn.Module:
    """A CLIP text encoder; with a projection where one is asked for."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    ends = {"bos_token_id": vocab - 2, "eos_token_id": vocab - 1, "pad_token_id": vocab - 1}
    sizes = {"hidden_size": width, "intermediate_size": 3 * width, "num_hidden_layers": 3}
    sizes |= {"num_attention_heads": 2, "projection_dim": projection or width}
    config = CLIPTextConfig(vocab_size=vocab, **{**sizes, **ends, **more})
    return CLIPTextModelWithProjection(config) if projection else CLIPTextModel(config)


def t5_tokenizer() -> Any:
    """A unigram vocabulary of letters, as transformers' T5 tokenizer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = [chr(c) for c in range(33, 127)]
    words = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        ("▁", -2.0),
        *((c, -3.0) for c in letters),
        ("▁the", -2.5),
    ]
    tokenizer = Tokenizer(models.Unigram(words, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=512,
    )


def t5_text(width: int = 24) -> nn.Module:
    """A T5 encoder with gated feed-forwards."""
    from transformers import T5Config, T5EncoderModel

    sizes = {"d_model": width, "d_kv": 6, "d_ff": 40, "num_layers": 2, "num_heads": 4}
    return T5EncoderModel(T5Config(vocab_size=99, feed_forward_proj="gated-gelu", **sizes))


def vae(channels: tuple[int, ...] = (16, 32), latent: int = 4, **more: Any) -> nn.Module:
    """An autoencoder."""
    from diffusers import AutoencoderKL

    levels = {"down_block_types": ("DownEncoderBlock2D",) * len(channels)}
    levels |= {"up_block_types": ("UpDecoderBlock2D",) * len(channels)}
    return AutoencoderKL(
        block_out_channels=channels,
        latent_channels=latent,
        norm_num_groups=8,
        sample_size=16,
        **levels,
        **more,
    )


def scramble(*modules: nn.Module) -> None:
    """No weight stays zero, as some initialisations leave it."""
    generator = torch.Generator().manual_seed(1)
    for module in modules:
        module.eval()
        with torch.no_grad():
            for weight in module.parameters():
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.05)


def save(pipeline: Any, folder: Path) -> Path:
    """The folder that the pipeline's own `save_pretrained` writes."""
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(folder)
    return folder


Make = Callable[[Path, Mapping[str, Any]], Any]
