"""transformers' config.json of SpeechT5HifiGan <-> ours, and where its weights stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_audioldm.hifigan.config import HifiGanConfig
from mmm_graph.registry import GENERIC, Fields, Layout

CLASS = "SpeechT5HifiGan"
FIELDS = Fields(
    sizes={
        "bins": ("model_in_dim", 80),
        "rate": ("sampling_rate", 16000),
        "width": ("upsample_initial_channel", 512),
        "rates": ("upsample_rates", (4, 4, 4, 4)),
        "kernels": ("upsample_kernel_sizes", (8, 8, 8, 8)),
        "block_kernels": ("resblock_kernel_sizes", (3, 7, 11)),
        "dilations": ("resblock_dilation_sizes", ((1, 3, 5),) * 3),
        "slope": ("leaky_relu_slope", 0.1),
        "normalise": ("normalize_before", True),
    },
    meaningless=GENERIC | {"eos_token_id"},
)


def read(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a SpeechT5HifiGan.

    Raises:
        ValueError: a field that we do not know.
    """
    return FIELDS.read(theirs)[0]


def write(ours: HifiGanConfig) -> dict[str, Any]:
    """Their config.json."""
    return {"architectures": [CLASS], "model_type": "speecht5_hifigan", **FIELDS.write(ours)}


def rows(config: HifiGanConfig) -> dict[str, str]:
    """Names of the weights; theirs counts the residual blocks of all levels through."""
    found = {
        "head.conv": "conv_pre",
        "head.mean": "mean",
        "head.scale": "scale",
        "level{i}.up": "upsampler.{i}",
        "tail.conv": "conv_post",
    }
    count = len(config.block_kernels)
    for i in range(len(config.rates)):
        for j in range(count):
            theirs = f"resblocks.{i * count + j}"
            found[f"level{i}.blocks.{j}.first.{{k}}"] = f"{theirs}.convs1.{{k}}"
            found[f"level{i}.blocks.{j}.second.{{k}}"] = f"{theirs}.convs2.{{k}}"
    return found


LAYOUTS = (Layout("transformers", rows, (CLASS,), read, write, file="model.safetensors"),)
"""The norms of the weights are taken out of the files before they are saved."""
