"""Log mel spectrograms against transformers' feature extractor, which computes them in NumPy without torchaudio."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import mmm_graph as mmm
from mmm_audio.mel.config import MelConfig
from mmm_audio.mel.node import MEL
from mmm_audio.mel.spectrogram import mel
from mmm_graph.errors import InputError, RunError
from mmm_graph.testing import check_node

RATE = 16000


def sound(kind, samples):
    """float32 [n]."""
    at, random = np.arange(samples) / RATE, np.random.default_rng(samples)
    waves = {
        "noise": random.uniform(-1, 1, samples),
        "tone beside zero": 0.6 * np.sin(2 * np.pi * 440 * at) + 0.3,
        "all but silent": 1e-4 * random.standard_normal(samples),
        "silent": np.zeros(samples),
    }
    return waves[kind].astype(np.float32)


CASES = {
    "AudioSet, padded": (3 * RATE + 37, {}),
    "cut": (RATE, {"max_length": 50}),
    "one frame of few bins": (400, {"num_mel_bins": 23, "max_length": 3}),
    "as long as it is, not normalised": (5000, {"num_mel_bins": 64, "max_length": 29, "do_normalize": False}),
    "normalised otherwise": (5000, {"max_length": 40, "mean": -6.8, "std": 5.5}),
}


@pytest.mark.parity
@pytest.mark.parametrize("name", list(CASES))
def test_spectrograms_are_those_of_the_feature_extractor(name):
    from transformers import ASTFeatureExtractor

    samples, settings = CASES[name]
    theirs = ASTFeatureExtractor(**settings)
    norm = {"mean": theirs.mean, "std": theirs.std} if theirs.do_normalize else {"mean": None, "std": None}
    config = MelConfig(bins=theirs.num_mel_bins, frames=theirs.max_length, **norm)
    waves = [sound(kind, samples) for kind in ("noise", "tone beside zero", "all but silent", "silent")]
    want = theirs(waves, sampling_rate=RATE, return_tensors="pt").input_values
    got = mel(torch.from_numpy(np.stack(waves))[:, None], config)
    assert got.shape == want.shape and got.dtype == torch.float32
    assert (got - want).abs().max() < 2e-6


def test_a_list_of_sounds_is_each_by_itself():
    waves = [torch.from_numpy(sound("noise", n))[None] for n in (700, 2000, 900)]
    config = MelConfig(frames=8, bins=12)
    alone = torch.cat([mel(wave[None], config) for wave in waves])
    assert torch.equal(mel([waves[0], waves[1][None], waves[2]], config), alone)


def test_other_rates_have_frames_of_the_same_time():
    config = MelConfig(rate=8000, frames=None)
    assert (config.frame_samples, config.hop_samples, config.highest_hz) == (200, 80, 4000)
    assert mel(torch.zeros(1, 1, 1000), config).shape == (1, 11, 128)


def test_the_op_keeps_what_it_declares():
    check_node(MEL, config={"frames": 6, "bins": 8}, dims={"n": 900})


@pytest.mark.parametrize(
    ("audio", "code", "message"),
    [
        ([], "E770", "there is no sound"),
        (torch.zeros(1, 2, 900), "E770", "a sound of 2 channels"),
        (torch.zeros(1, 1, 399), "E770", "a sound of 399 samples is shorter than one frame of 400"),
        (torch.full((1, 1, 900), float("nan")), "E770", "values that are not finite"),
        ([torch.zeros(1, 900), torch.zeros(1, 400)], "E771", "of one batch have 1 and 4 frames"),
    ],
)
def test_sounds_that_cannot_be_looked_at(audio, code, message):
    with pytest.raises(RunError, match=message) as caught:
        mel(audio, MelConfig(frames=None))
    assert caught.value.problems[0].code == code


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"rate": 100, "frame_ms": 12}, "a frame has 1 samples and a hop 1: too few"),
        ({"low_hz": 9000}, "from 9000 to 8000 Hz do not lie below half of the rate, 8000 Hz"),
        ({"high_hz": 9000}, "from 20 to 9000 Hz"),
        ({"mean": None}, "mean and std go together"),
        ({"std": -1}, "std must be above 0, found -1"),
    ],
)
def test_configs_that_mean_nothing(config, message):
    with pytest.raises(ValueError, match=message):
        MelConfig(**config)


def described(type_):
    return {
        "mmm": 1,
        "name": "mel",
        "inputs": {"sound": type_},
        "nodes": {"mel": {"op": "audio.mel", "in": {"audio": "$in.sound"}, "config": {"frames": 9}}},
        "outputs": {"mel": "mel"},
    }


def test_the_rate_is_checked_when_the_graph_is_compiled():
    graph = mmm.load(described("Audio[b,1,n]{16000}")).graph
    assert str(graph.node("mel").outputs["mel"]) == "Mel[:b,9,128]"
    with pytest.raises(
        InputError, match=r"expects Audio\[b,1,n\]\{16000\}, got Audio\[b,1,n\]\{44100\}"
    ) as caught:
        mmm.load(described("Audio[b,1,n]{44100}"))
    assert caught.value.problems[0].code == "E205"
    with pytest.raises(InputError, match=r"\$rate is not known here"):
        mmm.load(described("Audio[b,1,n]{$rate}"))
