"""Folders of ASTModel and ASTForAudioClassification -> graphs that take sound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_audio.mel.config import MelConfig
from mmm_graph.registry import Fields, Foreign

Tree = dict[str, Any]
TOP = 5
FILE = "preprocessor_config.json"
EXTRACTOR = Fields(
    {
        "rate": ("sampling_rate", 16000),
        "bins": ("num_mel_bins", 128),
        "frames": ("max_length", 1024),
        "mean": ("mean", -4.2677393),
        "std": ("std", 4.5689974),
    },
    {"do_normalize": True},
    {"feature_extractor_type": "ASTFeatureExtractor", "feature_size": 1},
    ("padding_side", "padding_value", "processor_class", "return_attention_mask"),
)
"""Their spectrograms are padded with zeros whatever `padding_value` says."""


def import_encoder(foreign: Foreign) -> Tree:
    """ASTModel: sound to the tokens after the final norm and one vector.

    Raises:
        ValueError: a field that is not known, or no word of how sound is made ready.
    Source: transformers, models/audio_spectrogram_transformer.
    """
    mel = read_extractor(foreign.beside(FILE))
    outputs = {
        "embeds": {"from": "seen", "type": "Embeds[b,l,d]"},
        "pooled": {"from": "seen.pooled", "type": "Embeds[b,d]"},
    }
    return {
        "description": f"Features of sound (imported from: {foreign.class_name}).",
        "inputs": {"sound": _sound(mel)},
        "models": {"ast": foreign.model()},
        "nodes": {"mel": _mel(mel), "seen": {"call": "ast", "in": {"mel": "mel"}}},
        "outputs": outputs,
    }


def import_classifier(foreign: Foreign) -> Tree:
    """ASTForAudioClassification: sound to the labels that fit it best, a table and all probabilities.

    Raises:
        ValueError: as of `import_encoder`, or labels that are not numbered from 0.
    Source: as of `import_encoder`.
    """
    mel, labels = read_extractor(foreign.beside(FILE)), read_labels(foreign.config)
    several = foreign.config.get("problem_type") == "multi_label_classification"
    best = {
        "templates": ["The sound of {}."],
        "top": "$params.top",
        **({"probability": "sigmoid"} if several else {}),
    }
    return {
        "description": f"Says what is to be heard (imported from: {foreign.class_name}).",
        "params": {"top": {"type": "int", "default": TOP, "min": 1, "help": "lines of the table"}},
        "inputs": {"sound": _sound(mel), "labels": {"type": "Text[v]", "default": labels}},
        "models": {"ast": foreign.model()},
        "nodes": {
            "mel": _mel(mel),
            "scores": {"call": "ast.classify", "in": {"mel": "mel"}},
            "best": {
                "op": "text.fill_best",
                "config": best,
                "in": {"logits": "scores", "labels": "$in.labels"},
            },
        },
        "outputs": {
            "answer": {"from": "best", "type": "Text[b]"},
            "table": {"from": "best.table", "type": "Text[b]"},
            "probabilities": {"from": "best.probabilities", "type": "Scalar[b,v]"},
            "logits": {"from": "scores", "type": "Logits[b,v]"},
        },
    }


def read_extractor(theirs: Mapping[str, Any]) -> MelConfig:
    """What their preprocessor_config.json says of sound.

    Raises:
        ValueError: nothing, or a field that we do not know, or with a value that we do not support.
    """
    if not theirs:
        raise ValueError(f"no {FILE} says how sound is made ready")
    found, others = EXTRACTOR.read(theirs)
    if not others["do_normalize"]:
        found |= {"mean": None, "std": None}
    return MelConfig(**found)


def read_labels(theirs: Mapping[str, Any]) -> list[str]:
    """Names of the labels, in order; numbers where they have none.

    Raises:
        ValueError: they are not numbered from 0.
    """
    named = theirs.get("id2label")
    if named is None:
        return [f"LABEL_{i}" for i in range(theirs.get("num_labels", 2))]
    if not isinstance(named, Mapping) or {str(i) for i in named} != {str(i) for i in range(len(named))}:
        raise ValueError("id2label has to name the labels 0, 1, 2 and so on")
    return [str(name) for _, name in sorted(named.items(), key=lambda item: int(item[0]))]


def _sound(mel: MelConfig) -> str:
    return f"Audio[b,1,n]{{{mel.rate}}}"


def _mel(mel: MelConfig) -> Tree:
    said = mel.model_dump(mode="json", exclude_defaults=True)
    return {"op": "audio.mel", "in": {"audio": "$in.sound"}, **({"config": said} if said else {})}
