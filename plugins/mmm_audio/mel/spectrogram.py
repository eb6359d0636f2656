"""Sound -> log mel spectrograms as Kaldi makes them. Axes: b batch, n samples, f frames, m mel bins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmm_audio.mel.config import MelConfig
from mmm_graph.errors import RunError, problem

FLOOR = 2.0**-23
"""Of the energy in a filter: the step of float32 at 1, as Kaldi has it."""


def mel(audio: Tensor | Sequence[Tensor], config: MelConfig) -> Tensor:
    """Log mel spectrograms of one batch of sounds.

    Args:
        audio: [b,1,n] in [-1,1], or a list of such (or of [1,n]) of differing lengths.

    Returns:
        float32 [b,f,m], b being all sounds, on the device of the first. It is computed in float64.

    Raises:
        RunError: E770, no sound, or one of several channels, shorter than a frame, or with values that are not finite;
            E771, spectrograms that differ in length.
    """
    found = [fitted(log_mel(waves, config), config) for waves in sounds(audio, config)]
    if not found:
        raise RunError(problem("E770", "there is no sound to look at", hint="give at least one"))
    lengths = sorted({one.shape[1] for one in found})
    if len(lengths) > 1:
        said = " and ".join(map(str, lengths[:4]))
        raise RunError(
            problem("E771", f"spectrograms of one batch have {said} frames", hint="audio.mel: set frames")
        )
    return torch.cat([one.to(found[0].device) for one in found])


def sounds(audio: Tensor | Sequence[Tensor], config: MelConfig) -> Iterator[Tensor]:
    """Batches [b,n] of sounds of one length.

    Raises:
        RunError: E770.
    """
    for batch in [audio] if isinstance(audio, Tensor) else audio:
        channels, samples = batch.shape[-2:]
        if channels != 1:
            message = f"a sound of {channels} channels; a mel spectrogram is made of one"
            hint = "mix them, or write the input as Audio[b,1,n], so that files are mixed when they are read"
            raise RunError(problem("E770", message, hint=hint))
        if samples < config.frame_samples:
            message = f"a sound of {samples} samples is shorter than one frame of {config.frame_samples}"
            hint = f"{config.frame_ms:g} ms at {config.rate} Hz are needed"
            raise RunError(problem("E770", message, hint=hint))
        if not bool(batch.isfinite().all()):
            raise RunError(problem("E770", f"a sound of {samples} samples has values that are not finite"))
        yield batch.reshape(-1, samples)


def log_mel(waves: Tensor, config: MelConfig) -> Tensor:
    """b n -> float64 [b,f,m]: each frame without its mean, pre-emphasised, windowed; the log of the filters' energies.

    Source: Povey et al. 2011, the Kaldi toolkit, feature-fbank and feature-window, without dither.
    """
    if config.frames is not None:
        waves = waves[:, : (config.frames - 1) * config.hop_samples + config.frame_samples]
    frames = waves.double().unfold(-1, config.frame_samples, config.hop_samples)  # b f n
    frames = frames - frames.mean(-1, keepdim=True)
    before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
    window = torch.hann_window(config.frame_samples, periodic=False, dtype=torch.float64, device=waves.device)
    size = 1 << (config.frame_samples - 1).bit_length()
    power = torch.fft.rfft((frames - config.preemphasis * before) * window, n=size).abs().square()
    energy: Tensor = power @ filters(config, size).to(waves.device)
    return energy.clamp(min=FLOOR).log()


def filters(config: MelConfig, size: int) -> Tensor:
    """Triangles on the mel scale over the frequencies of a Fourier transform of `size` samples: [size/2+1,m], float64.

    Source: O'Shaughnessy 1987, Speech Communication, for the scale; Kaldi, mel-computations, for the triangles.
    """
    ends = torch.tensor([config.low_hz, config.highest_hz], dtype=torch.float64)
    low, high = mels(ends).tolist()
    corners = torch.linspace(low, high, config.bins + 2, dtype=torch.float64)
    at = mels(torch.arange(size // 2 + 1, dtype=torch.float64) * (config.rate / size))
    step = corners.diff()
    rising = (at[:, None] - corners[:-2]) / step[:-1]
    falling = (corners[2:] - at[:, None]) / step[1:]
    return torch.minimum(rising, falling).clamp(min=0)


def mels(hertz: Tensor) -> Tensor:
    """Frequencies [Hz] on the mel scale."""
    return 1127.0 * (1.0 + hertz / 700.0).log()


def fitted(logs: Tensor, config: MelConfig) -> Tensor:
    """[b,f,m] -> float32 of the length and in the range of the config."""
    if config.frames is not None:
        logs = F.pad(logs, (0, 0, 0, config.frames - logs.shape[1]))
    logs = logs.float()
    if config.mean is None or config.std is None:
        return logs
    return (logs - config.mean) / (config.std * 2)
