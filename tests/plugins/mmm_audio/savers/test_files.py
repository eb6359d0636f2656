"""Sound to WAV files, and back."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from mmm_audio.savers.files import save_wav
from mmm_graph.api.save import save_options
from mmm_graph.errors import InputError
from mmm_graph.nn.wav import read_wav
from mmm_graph.spec.ports import parse_port


def test_what_is_written_is_read_again(tmp_path):
    steps = torch.randint(-32768, 32768, (2, 2, 701), generator=torch.Generator().manual_seed(0))
    said = {"mmm": "a graph: ü"}
    files = save_wav(steps / 32768, tmp_path / "new" / "sound", {"format": "wav", "rate": 22050}, said)
    assert [f.name for f in files] == ["sound-0.wav", "sound-1.wav"]
    assert sorted(tmp_path.rglob("*.wav")) == sorted((tmp_path / "new").iterdir()) == files
    for file, wanted in zip(files, steps, strict=True):
        samples, rate = read_wav(file)
        assert rate == 22050 and (torch.from_numpy(samples.copy()) * 32768).equal(wanted.float())
        content = file.read_bytes()
        at = content.index(b"ICMT")
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        assert json.loads(content[at + 8 : at + 7 + size]) == said
        assert int.from_bytes(content[4:8], "little") == len(content) - 8 and len(content) % 2 == 0


def test_what_is_too_loud_is_cut_off(tmp_path):
    (file,) = save_wav(torch.tensor([[[1.0, -1.0, 3.0, -3.0, 0.0]]]), tmp_path / "loud", {"rate": 8000}, {})
    samples, _ = read_wav(file)
    assert file.name == "loud.wav" and (samples * 32768).tolist() == [[32767, -32768, 32767, -32768, 0]]
    assert b"LIST" not in file.read_bytes()


def test_the_type_says_the_rate():
    for type_, said, wanted in (
        ("Audio[b,1,n]{16000}", {}, {"rate": 16000}),
        ("Audio[b,1,n]{16000}", {"rate": 8000}, {"rate": 8000}),
        ("Audio[b,1,n]", {}, {}),
        ("Latents[b,c,h,w]{sd}", {}, {}),
    ):
        output = SimpleNamespace(type=parse_port(type_), save={"format": "wav", **said})
        assert save_options(output) == {"format": "wav", **wanted}


@pytest.mark.parametrize(
    "options", [{}, {"rate": 0}, {"rate": 8000, "bits": 24}], ids=["none", "zero", "more"]
)
def test_options_that_mean_nothing(tmp_path, options):
    with pytest.raises(InputError, match=r"E310\] save options(.|\n)*options are format, rate"):
        save_wav(torch.zeros(1, 1, 4), tmp_path / "a", options, {})
    assert not list(tmp_path.iterdir())
