"""The vocoder against transformers' SpeechT5HifiGan, and its full sizes."""

from __future__ import annotations

import json

import pytest
import torch

from mmm_audioldm.hifigan.config import HifiGanConfig
from mmm_audioldm.hifigan.foreign import CLASS, LAYOUTS, read, write
from mmm_audioldm.hifigan.model import HifiGan
from mmm_audioldm.hifigan.parts import hifigan_parts
from mmm_graph.checkpoint.save import save_foreign
from mmm_graph.errors import RunError

SIZES = {"model_in_dim": 6, "upsample_initial_channel": 16, "resblock_kernel_sizes": [3, 7]}
SIZES |= {"resblock_dilation_sizes": [[1, 3], [1, 3]]}
CASES = {
    "normalised": {"upsample_rates": [4, 2], "upsample_kernel_sizes": [8, 4], "sampling_rate": 22050},
    "odd": {
        "upsample_rates": [5, 4],  # makes a sample too many, as AudioLDM's does
        "upsample_kernel_sizes": [16, 7],
        "normalize_before": False,
        "leaky_relu_slope": 0.2,
    },
}
AUDIOLDM = {
    "model_in_dim": 64, "sampling_rate": 16000, "upsample_initial_channel": 1024, "normalize_before": False,
    "upsample_rates": [5, 4, 2, 2, 2], "upsample_kernel_sizes": [16, 16, 8, 4, 4],
}  # fmt: skip
"""What AudioLDM's folders say, by diffusers' conversion of the published checkpoints."""


def mels(bins, frames=9):
    return torch.randn(2, frames, bins, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parity
@pytest.mark.parametrize("case", CASES)
def test_a_saved_model_is_the_same(case, saved, load, tmp_path):
    import transformers

    made = transformers.SpeechT5HifiGan(transformers.SpeechT5HifiGanConfig(**SIZES, **CASES[case]))
    made.mean.normal_(generator=torch.Generator().manual_seed(4))
    made.scale.fill_(1.7)
    theirs, file = saved(made)
    said = json.loads((tmp_path / "config.json").read_text())
    config = HifiGanConfig(**read(said))
    ours = load(HifiGan(config), file, LAYOUTS, config)
    with torch.no_grad():
        want, got = theirs(mels(6)), ours(mels(6))
    assert got.shape == (2, 1, 9 * config.hop)
    assert want.shape[1] - got.shape[2] == (0 if case == "normalised" else 5)
    assert (got[:, 0] - want[:, : got.shape[2]]).abs().max() <= 1e-12

    save_foreign(ours, tmp_path / "ours" / LAYOUTS[0].file, LAYOUTS[0], config)
    (tmp_path / "ours" / "config.json").write_text(json.dumps(write(config)))
    assert HifiGanConfig(**read(write(config))) == config
    again, info = transformers.SpeechT5HifiGan.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info.values()), info
    assert write(config)["architectures"] == [CLASS]
    assert all(torch.equal(v.double(), theirs.state_dict()[n]) for n, v in again.state_dict().items())


@pytest.mark.parity
@pytest.mark.parametrize("said", [{}, AUDIOLDM], ids=["SpeechT5", "AudioLDM"])
def test_full_size(said):
    import transformers

    config = HifiGanConfig(**read(said))
    with torch.device("meta"):
        theirs = transformers.SpeechT5HifiGan(transformers.SpeechT5HifiGanConfig(**said))
        ours = HifiGan(config)
    assert config == HifiGanConfig(**read(theirs.config.to_dict()))
    rows = LAYOUTS[0].theirs({n.removeprefix("parts.") for n in ours.state_dict()}, config)
    shapes = {rows[n.removeprefix("parts.")].names[0]: v.shape for n, v in ours.state_dict().items()}
    assert shapes == {n: v.shape for n, v in theirs.state_dict().items()}
    weights = sum(p.numel() for p in theirs.parameters())
    assert (
        sum(p.params for p in hifigan_parts(config)) == sum(p.numel() for p in ours.parameters()) == weights
    )
    if said:
        assert config == HifiGanConfig() and config.hop == 160


def test_what_is_refused():
    for ours, message in (
        ({"kernels": (4, 16, 8, 4, 4)}, "a kernel of 4 is shorter than its rate 5"),
        ({"rates": (2,)}, "kernels has 5 entries for 1 rates"),
        ({"block_kernels": (3, 4, 5)}, "block_kernels must be odd"),
        ({"dilations": ((1,),)}, "dilations has 1 entries for 3 block_kernels"),
        ({"width": 48}, "width 48 cannot be halved 5 times"),
    ):
        with pytest.raises(ValueError, match=message):
            HifiGanConfig(**ours)
    with pytest.raises(ValueError, match="something: 1 is not supported"):
        read({"something": 1})
    config = HifiGanConfig(width=32, bins=6)
    with pytest.raises(RunError, match=r"E772.*a spectrogram of 5 mel bins; the vocoder takes 6"):
        HifiGan(config)(torch.zeros(1, 3, 5))
