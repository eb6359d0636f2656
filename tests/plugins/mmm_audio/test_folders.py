"""Folders of audio spectrogram transformers: the imported graph beside transformers, from files of sound."""

from __future__ import annotations

import json
import wave

import numpy as np
import pytest
import torch

import mmm_graph as mmm
from mmm_audio.folders import read_extractor, read_labels
from mmm_graph.api.convert import import_graph
from mmm_graph.errors import InputError
from mmm_graph.registry import load_registry

RATE = 16000
SIZES = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40}
SIZES |= {"max_length": 40, "num_mel_bins": 32}
LABELS = ["Speech", "Dog, bark", "Rain: heavy"]
CASES = {"default": {}, "own norm": {"mean": -6.0, "std": 3.0}, "none": {"do_normalize": False}}


def sounds(folder, seconds=(0.5, 0.2)):
    """Files, and what is in them."""
    found = []
    for i, length in enumerate(seconds):
        steps = np.random.default_rng(i).integers(-20000, 20000, int(length * RATE)).astype("<i2")
        with wave.open(str(folder / f"{i}.wav"), "wb") as out:
            out.setparams((1, 2, RATE, 0, "NONE", ""))
            out.writeframes(steps.tobytes())
        found.append((folder / f"{i}.wav", (steps / 32768).astype(np.float32)))
    return found


def saved(folder, name, extractor=None, **more):
    import transformers

    named = {"id2label": dict(enumerate(LABELS)), "label2id": {n: i for i, n in enumerate(LABELS)}}
    torch.manual_seed(0)
    config = transformers.ASTConfig(**SIZES, **named, **more, initializer_range=0.5)
    model = getattr(transformers, name)(config).eval()
    model.save_pretrained(folder)
    settings = {"num_mel_bins": 32, "max_length": 40, **(extractor or {})}
    processor = transformers.ASTFeatureExtractor(**settings)
    processor.save_pretrained(folder)
    return model, processor


def made(folder, tmp_path):
    path = tmp_path / "graph.yaml"
    path.write_text(import_graph(str(folder), path, load_registry()).text)
    return mmm.load(path)


@pytest.mark.parity
@pytest.mark.parametrize("case", list(CASES))
def test_what_is_to_be_heard(tmp_path, case):
    several = {"problem_type": "multi_label_classification"} if case == "default" else {}
    model, processor = saved(tmp_path / "model", "ASTForAudioClassification", CASES[case], **several)
    session = made(tmp_path / "model", tmp_path)
    for file, samples in sounds(tmp_path):
        got = session.run(sound=file)
        with torch.no_grad():
            want = model(**processor(samples, sampling_rate=RATE, return_tensors="pt")).logits
        assert (got["logits"] - want).abs().max() < 1e-5
        chances = want.sigmoid() if several else want.softmax(-1)
        assert (got["probabilities"] - chances).abs().max() < 1e-5
        assert got["answer"] == [f"The sound of {LABELS[int(want.argmax())]}."]


@pytest.mark.parity
def test_features(tmp_path):
    model, processor = saved(tmp_path / "model", "ASTModel")
    session = made(tmp_path / "model", tmp_path)
    ((file, samples),) = sounds(tmp_path, (0.3,))
    got = session.run(sound=file)
    with torch.no_grad():
        want = model(**processor(samples, sampling_rate=RATE, return_tensors="pt"))
    assert (got["embeds"] - want.last_hidden_state).abs().max() < 1e-5
    assert (got["pooled"] - want.pooler_output).abs().max() < 1e-5


def test_a_folder_that_does_not_say_how_sound_is_made_ready(tmp_path):
    theirs = {"architectures": ["ASTModel"], **SIZES}
    (tmp_path / "config.json").write_text(json.dumps(theirs))
    with pytest.raises(InputError, match=r"no preprocessor_config\.json says how sound is made ready"):
        import_graph(str(tmp_path), tmp_path / "graph.yaml", load_registry())


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        ({"feature_extractor_type": "Wav2Vec2FeatureExtractor"}, "expected 'ASTFeatureExtractor'"),
        ({"dither": 1.0}, "dither: 1.0 is not supported"),
        ({"num_mel_bins": 0}, "bins"),
    ],
)
def test_what_we_do_not_compute_is_refused(theirs, message):
    with pytest.raises(ValueError, match=message):
        read_extractor(theirs)


def test_labels_stand_in_the_order_of_their_numbers():
    assert read_labels({"id2label": {"10": "k", **{str(i): str(i) for i in range(10)}}})[-1] == "k"
    assert read_labels({}) == ["LABEL_0", "LABEL_1"]
    with pytest.raises(ValueError, match="has to name the labels 0, 1, 2"):
        read_labels({"id2label": {"1": "one"}})
