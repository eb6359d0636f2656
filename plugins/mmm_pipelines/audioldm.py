"""AudioLDMPipeline -> a graph: CLAP texts, U-Net, autoencoder of spectrograms, vocoder."""

from __future__ import annotations

from math import prod

from mmm_graph.registry import Foreign
from mmm_pipelines import common
from mmm_pipelines.common import Tree

STEPS, GUIDANCE_SCALE = 10, 2.5
RATES = (4, 4, 4, 4)
"""Of a SpeechT5HifiGan whose config does not say them."""


def import_audioldm(foreign: Foreign) -> Tree:
    """Text to sound with AudioLDM; the param `frames` is the length of the spectrogram that is made.

    Raises:
        ValueError: the vocoder takes other mel bins than latents can have.
    Source: diffusers, pipelines/deprecated/audioldm; Liu et al. 2023 (arXiv:2301.12503).
    """
    foreign.expect("tokenizer", "text_encoder", "unet", "vae", "scheduler", "vocoder")
    unet, vae, vocoder = (foreign.part(name) for name in ("unet", "vae", "vocoder"))
    run, found = common.run_models(foreign)
    factor, bins = common.vae_factor(vae), vocoder.config.get("model_in_dim", 80)
    multiple = factor * 2 ** (len(unet.config.get("block_out_channels", (0,) * 4)) - 1)
    if bins % multiple:
        raise ValueError(
            f"model_in_dim {bins} of the vocoder is not supported; expected a multiple of {multiple}"
        )
    frames, _ = common.side_of(unet.config.get("sample_size") or 128)
    rate, hop = vocoder.config.get("sampling_rate", 16000), prod(vocoder.config.get("upsample_rates", RATES))
    nodes = common.run_nodes("unet", found)
    nodes["noise"]["config"] = {"height": "$params.frames", "width": bins}
    nodes["mel"] = {"op": "mel.from_image", "in": {"image": "image"}}
    nodes["audio"] = {"call": "vocoder", "in": {"mel": "mel"}}
    about = {"min": multiple, "multiple_of": multiple, "help": f"length, {hop / rate:g} s each"}
    return {
        "description": f"Text to sound, from a {foreign.class_name}.",
        "params": {
            **common.run_params(STEPS, GUIDANCE_SCALE),
            "frames": {"type": "int", "default": factor * frames, **about},
        },
        "inputs": common.prompts(),
        "models": {
            "tok": {
                "kind": "tokenizer.hf",
                "weights": foreign.part("tokenizer").link,
                "config": {"pad": "longest"},
            },
            "text": foreign.part("text_encoder").model(),
            "unet": common.denoiser(unet, found),
            "vae": vae.model(),
            "vocoder": vocoder.model(),
            **run,
        },
        "graphs": common.embed(
            {
                "ids": {"call": "tok", "in": {"text": "$in.text"}},
                "enc": {"call": "text.pooled", "in": {"ids": "ids", "mask": "ids.mask"}},
                "unit": {"op": "embeds.normalize", "in": {"embeds": "enc"}},
            },
            {"pooled": "unit"},
        ),
        "nodes": {**common.both_prompts(), **nodes},
        "outputs": {"audio": {"from": "audio", "type": f"Audio[b,1,n]{{{rate}}}", "save": {"format": "wav"}}},
    }
