"""transformers' config of the audio spectrogram transformer <-> ours, and where its weights stand."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from mmm_audio.ast import keys
from mmm_audio.ast.config import AstConfig
from mmm_graph.nn.activation_names import ACTIVATIONS
from mmm_graph.registry import GENERIC, Fields, Layout

BARE, CLASSIFIER = "ASTModel", "ASTForAudioClassification"
FILE = "model.safetensors"

FIELDS = Fields(
    {
        "frames": ("max_length", 1024),
        "bins": ("num_mel_bins", 128),
        "patch": ("patch_size", 16),
        "time_stride": ("time_stride", 10),
        "frequency_stride": ("frequency_stride", 10),
        "width": ("hidden_size", 768),
        "depth": ("num_hidden_layers", 12),
        "num_heads": ("num_attention_heads", 12),
        "hidden": ("intermediate_size", 3072),
        "qkv_bias": ("qkv_bias", True),
        "eps": ("layer_norm_eps", 1e-12),
    },
    {"hidden_act": "gelu", "id2label": None, "num_labels": None},
    {"model_type": "audio-spectrogram-transformer"},
    GENERIC | {"hidden_dropout_prob", "attention_probs_dropout_prob"},
)


def read(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of an ASTModel.

    Raises:
        ValueError: a field that we do not know, or with a value that we do not support.
    """
    found, others = FIELDS.read(theirs)
    act, patch = others["hidden_act"], found["patch"]
    if act not in ACTIVATIONS:
        raise ValueError(f"hidden_act: {act!r} is not supported; expected one of {', '.join(ACTIVATIONS)}")
    if not isinstance(patch, int):
        raise ValueError(f"patch_size: {patch!r} is not supported; expected one number, the side of a square")
    return {**found, "activation": ACTIVATIONS[act]}


def read_classifier(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of an ASTForAudioClassification; without names or a number of labels it has two, as there.

    Raises:
        ValueError: as of `read`, or there are no labels.
    """
    named, counted = theirs.get("id2label"), theirs.get("num_labels")
    labels = len(named) if isinstance(named, Mapping) else 2 if counted is None else counted
    if not isinstance(labels, int) or labels < 1:
        raise ValueError(f"num_labels: {labels!r} is not supported; expected 1 or more")
    return {**read(theirs), "labels": labels}


def write(ours: AstConfig) -> dict[str, Any]:
    """Their config.json; labels have numbers for names."""
    acts = {activation: act for act, activation in reversed(ACTIVATIONS.items())}
    said = {**FIELDS.write(ours), "hidden_act": acts[ours.activation]}
    if ours.labels is None:
        return {"architectures": [BARE], **said}
    names = {str(i): f"LABEL_{i}" for i in range(ours.labels)}
    return {
        "architectures": [CLASSIFIER],
        **said,
        "id2label": names,
        "label2id": {name: int(i) for i, name in names.items()},
    }


def rows(ours: AstConfig) -> keys.Rows:
    """As they save the class that computes what we do."""
    return keys.HUB if ours.labels is None else keys.with_head(keys.HUB)


def module_rows(ours: AstConfig) -> keys.Rows:
    """As `rows`, named as the modules are."""
    return keys.MODULES if ours.labels is None else keys.with_head(keys.MODULES)


def shapes(start: str, ours: AstConfig) -> dict[str, tuple[int, ...]]:
    """Tensors that have other axes there, by name; the projection of patches is a convolution there."""
    token, names = (1, 1, ours.width), f"{start}embeddings."
    return {
        f"{names}cls_token": token,
        f"{names}distillation_token": token,
        f"{names}position_embeddings": (1, ours.tokens, ours.width),
        f"{names}patch_embeddings.projection.weight": (ours.width, 1, ours.patch, ours.patch),
    }


def own_shapes(ours: AstConfig) -> dict[str, tuple[int, ...]]:
    """Of the class that computes what we do."""
    return shapes("" if ours.labels is None else f"{keys.PREFIX}.", ours)


LAYOUTS = (
    Layout("transformers", rows, (BARE,), read, write, shapes=own_shapes, file=FILE),
    Layout(
        "transformers, with classifier",
        rows,
        (CLASSIFIER,),
        read_classifier,
        write,
        shapes=own_shapes,
        file=FILE,
    ),
    Layout("transformers' modules", module_rows, shapes=own_shapes, file=FILE),
    Layout(
        "transformers, the classifier left out",
        keys.with_head(keys.HUB),
        ignored=("classifier.*",),
        shapes=partial(shapes, f"{keys.PREFIX}."),
        file=FILE,
    ),
)
"""The first is what is written, whichever class it is."""
