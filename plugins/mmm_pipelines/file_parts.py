"""A single file as the folder of a pipeline: what is read by whom, what stays behind, and whose tokenizers are used."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmm_graph.registry import Foreign
from mmm_pipelines.common import Tree

END, FIRST = "<|endoftext|>", "!"
"""Tokens that CLIP's texts are padded with: OpenAI's by the end token, OpenCLIP's by id 0."""
PAIRS = "bpe_simple_vocab_16e6.txt.gz"
PACKAGES = ("open_clip", "clip")
"""Python packages that hold CLIP's vocabulary."""

UNREAD: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("the average of the weights (EMA)", "the weights themselves are taken"): ("model_ema.",),
    ("the noise schedule", "it is computed"): (
        *("alphas_cumprod", "betas", "sqrt_", "log_one_minus_alphas_cumprod", "posterior_", "lvlb_weights"),
        *("logvar", "denoiser.sigmas", "model_sampling."),
    ),
    ("what training kept", "it is not needed"): (
        *("global_step", "scale_factor", "cond_stage_model.logit_scale"),
        *(f"conditioner.embedders.{i}.logit_scale" for i in (0, 1)),
        *(f"text_encoders.{name}.logit_scale" for name in ("clip_l", "clip_g", "t5xxl")),
    ),
}
"""(What it is, why it may stay behind) -> how names begin."""


def import_as(
    foreign: Foreign,
    class_name: str,
    models: Mapping[str, tuple[str, Mapping[str, Any]]],
    scheduler: Mapping[str, Any],
    tokenizers: Mapping[str, str | None],
) -> Tree:
    """The graph of the file as a pipeline of that class, or of the class that the user says.

    Args:
        models: name of the component -> prefix of its tensors, and config.
        tokenizers: name of the component -> token that CLIP's texts are padded with; None: T5's.

    Raises:
        ValueError: there is no tokenizer.
    """
    for (what, why), beginnings in UNREAD.items():
        foreign.leave_unread(what, why, *beginnings)
    parts = {name: (f"{foreign.link}#{prefix}", config) for name, (prefix, config) in models.items()}
    parts["scheduler"] = (foreign.link, scheduler)
    for name, pad in tokenizers.items():
        if pad is None:
            parts[name] = (_t5_tokenizer(foreign, name), {"_class_name": "T5Tokenizer"})
        else:
            parts[name] = (_clip_tokenizer(foreign, name), {"_class_name": "CLIPTokenizer", "pad_token": pad})
    tree = foreign.pretend(foreign.options.get("as_class", class_name), {}, parts).translate()
    what = tree.get("description", "").partition(", from ")[0]
    return {**tree, "description": f"{what}, from {foreign.folder.name} ({foreign.class_name})."}


def _clip_tokenizer(foreign: Foreign, name: str) -> str:
    """Link to what the user says, or to the vocabulary of CLIP in an installed package."""
    said = foreign.options.get(name, foreign.options.get("tokenizer"))
    if said is not None:
        return said
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        folders = (spec.submodule_search_locations or ()) if spec is not None else ()
        if any((Path(folder) / PAIRS).is_file() for folder in folders):
            return f"pkg:{package}/{PAIRS}"
    raise ValueError(
        "the file holds no tokenizer; give --tokenizer FOLDER with CLIP's vocab.json and merges.txt, or a pipeline's "
        "folder, or install a package that has CLIP's vocabulary: pip install --no-deps open_clip_torch"
    )


def _t5_tokenizer(foreign: Foreign, name: str) -> str:
    if name not in foreign.options:
        raise ValueError(
            f"the file holds no tokenizer of T5; give --tokenizer FOLDER of a pipeline, with tokenizer and {name} in it"
        )
    return foreign.options[name]
