"""The ops audio.to_spectrum and audio.from_spectrum."""

from __future__ import annotations

from mmm_audio.spectrum.config import SoundConfig, SpectrumConfig
from mmm_graph.registry import OpType, op_type


def spectrum_nodes() -> list[OpType]:
    """audio.to_spectrum, audio.from_spectrum."""
    return [
        op_type(
            "audio.to_spectrum",
            "mmm_audio.spectrum.ops:to_spectrum",
            config=SpectrumConfig,
            audio="Audio[b,1,n]{$rate}",
            returns={"latents": "Latents[b,1,n/$hop,$bins]"},
            doc="Sounds to how loud each frequency of a band is in each frame, in decibels between -1 and 1: what a "
            "denoiser of pictures can learn.",
            source="short-time Fourier transform with a Hann window",
        ),
        op_type(
            "audio.from_spectrum",
            "mmm_audio.spectrum.ops:from_spectrum",
            config=SoundConfig,
            latents="Latents[b,1,h,$bins]",
            returns={"audio": "Audio[b,1,h*$hop]{$rate}"},
            doc="The way back: sounds whose spectrogram is that, with phases that fit it.",
            source="Griffin and Lim 1984; Perraudin, Balazs and Soendergaard 2013",
        ),
    ]
