"""Sounds as spectrograms and back: tones stay where they are, and as loud."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError

from mmm_audio.spectrum.config import SoundConfig, SpectrumConfig
from mmm_audio.spectrum.ops import from_spectrum, to_spectrum
from mmm_graph.errors import RunError
from mmm_graph.registry import load_registry
from mmm_graph.testing import check_node

BAND = {"low": 16, "bins": 40}
TURNS = 2 * math.pi * torch.arange(2048) / 8000


def tones(*heights: float, level: float = 0.5) -> torch.Tensor:
    """One sound, the sum of tones of these frequencies [Hz]."""
    return level * sum(((hz * TURNS).sin() for hz in heights), torch.zeros(2048))[None, None]


def strongest(sound: torch.Tensor, count: int) -> list[int]:
    """Frequencies of the greatest peaks [Hz], the spectrum of the whole sound being 3.9 Hz apart."""
    size = torch.fft.rfft(sound[0, 0] * torch.hann_window(2048)).abs()
    is_peak = (size[1:-1] > size[:-2]) & (size[1:-1] >= size[2:])
    places = torch.where(is_peak, size[1:-1], 0.0).topk(count).indices + 1
    return sorted(round(8000 / 2048 * i) for i in places.tolist())


def test_a_tone_is_where_and_as_loud_as_it_is() -> None:
    config = SpectrumConfig(**BAND)
    found = to_spectrum(tones(1000.0, level=1.0), config)[0, 0]
    assert found.shape == (16, 40) and found.max() <= 1
    assert (found[2:-1].argmax(1) == 1000 * 256 // 8000 - 16).all()
    torch.testing.assert_close(found[2:-1].max(1).values, torch.ones(13), atol=0.01, rtol=0)
    quiet = to_spectrum(tones(1000.0, level=0.1), config)[0, 0]  # 20 dB of 60 below, of two units
    torch.testing.assert_close(quiet[2:-1].max(1).values, torch.full((13,), 1 - 2 / 3), atol=0.01, rtol=0)
    assert (to_spectrum(torch.zeros(1, 1, 2048), config) == -1).all()


def test_what_comes_back_has_the_same_tones_and_spectrogram() -> None:
    """Without its phases; what is outside of the band is gone."""
    config = SoundConfig(**BAND)
    sound = tones(770.0, 1336.0, level=0.4) + tones(3000.0, level=0.1)
    seen = to_spectrum(sound, config)
    back = from_spectrum(seen, config)
    assert back.shape == sound.shape and back.abs().max() <= 1
    assert all(abs(a - b) <= 8 for a, b in zip(strongest(back, 2), (770, 1336), strict=True))
    high = torch.fft.rfft(back[0, 0]).abs()
    assert high[700:].max() < 0.02 * high.max()
    again = to_spectrum(back, config)
    loud = seen[..., 1:-1, :] > 0
    assert (again[..., 1:-1, :] - seen[..., 1:-1, :])[loud].abs().mean() < 0.05
    assert torch.equal(from_spectrum(seen.repeat(2, 1, 1, 1), config)[1:], back)
    assert (from_spectrum(torch.full((1, 1, 16, 40), -1.0), config) == 0).all()


@pytest.mark.parametrize("length", [2000, 128])
def test_sounds_of_other_lengths_are_refused(length: int) -> None:
    with pytest.raises(RunError, match="E787"):
        to_spectrum(torch.zeros(1, 1, length), SpectrumConfig())


@pytest.mark.parametrize("more", [{"hop": 129}, {"low": 100, "bins": 30}, {"window": 15}])
def test_what_is_no_band(more: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        SpectrumConfig(**more)


@pytest.mark.parametrize("kind", ["audio.to_spectrum", "audio.from_spectrum"])
def test_nodes_keep_their_promises(kind: str) -> None:
    check_node(load_registry(allow=["mmm-graph"]).get(kind), dims={"n": 1024})
