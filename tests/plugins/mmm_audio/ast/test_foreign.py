"""Configs and files of audio spectrogram transformers: read, written, and what is refused."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmm_audio.ast.config import AstConfig
from mmm_audio.ast.foreign import BARE, CLASSIFIER, LAYOUTS, read, read_classifier
from mmm_audio.ast.model import AudioSpectrogramTransformer
from mmm_graph.checkpoint.save import save_foreign
from mmm_graph.errors import RunError

SIZES = {"frames": 43, "bins": 32, "patch": 8, "time_stride": 7, "width": 24, "depth": 2, "num_heads": 4}
SIZES |= {"hidden": 40}
OURS = {BARE: {"activation": "gelu_tanh"}, CLASSIFIER: {"labels": 5, "qkv_bias": False}}


@pytest.mark.parity
@pytest.mark.parametrize("name", list(OURS))
def test_transformers_reads_what_the_first_layout_writes(tmp_path, name):
    import transformers

    config = AstConfig(**SIZES, **OURS[name])
    ours = AudioSpectrogramTransformer(config).eval()
    save_foreign(ours, tmp_path / LAYOUTS[0].file, LAYOUTS[0], config)
    written = LAYOUTS[0].write_config(config)
    (tmp_path / "config.json").write_text(json.dumps(written))
    assert written["architectures"] == [name]
    theirs, said = getattr(transformers, name).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(said.values()), said
    mel = torch.randn(2, 43, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        got = ours(mel)["pooled"] if name == BARE else ours.classify(mel)
        want = theirs(mel).pooler_output if name == BARE else theirs(mel).logits
    assert (got - want).abs().max() < 1e-5
    reader = read if name == BARE else read_classifier
    assert AstConfig(**reader(written)) == AstConfig(**reader(theirs.config.to_dict())) == config


@pytest.mark.parametrize("labels", [None, 5])
@pytest.mark.parametrize("layout", LAYOUTS[:3], ids=lambda layout: layout.name)
def test_layouts_are_written_and_read(tmp_path, load_ast, layout, labels):
    config = AstConfig(**SIZES, labels=labels)
    ours = AudioSpectrogramTransformer(config)
    save_foreign(ours, tmp_path / "a.safetensors", layout, config)
    again = load_ast(tmp_path / "a.safetensors", config, torch.float32).state_dict()
    assert all(torch.equal(again[key], value) for key, value in ours.state_dict().items())


@pytest.mark.parity
def test_missing_fields_are_their_defaults():
    import transformers

    theirs = transformers.ASTConfig().to_dict()
    assert read({}) == read(theirs) and read_classifier({}) == read_classifier(theirs)
    assert AstConfig(**read({})) == AstConfig()


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        ({"hidden_act": "mish"}, "hidden_act: 'mish' is not supported; expected one of gelu"),
        ({"patch_size": [16, 8]}, r"patch_size: \(16, 8\) is not supported; expected one number"),
        ({"head_dim": 32}, "head_dim: 32 is not supported"),
        ({"model_type": "vit"}, "expected 'audio-spectrogram-transformer'"),
        ({"num_labels": 0}, "num_labels: 0 is not supported; expected 1 or more"),
    ],
)
def test_what_we_do_not_compute_is_refused(theirs, message):
    with pytest.raises(ValueError, match=message):
        read_classifier(theirs)


@pytest.mark.parametrize(
    ("ours", "message"),
    [
        ({"width": 10, "num_heads": 3}, "width 10 does not divide into 3 heads"),
        ({"bins": 12}, "a spectrogram of 1024 frames x 12 bins has no patch of 16 x 16"),
    ],
)
def test_configs_that_mean_nothing(ours, message):
    with pytest.raises(ValueError, match=message):
        AstConfig(**ours)


@pytest.mark.parametrize("damage", ["missing", "unused"])
def test_a_file_that_does_not_fit_is_an_error_that_names_it(tmp_path, load_ast, damage):
    config = AstConfig(**SIZES)
    save_foreign(AudioSpectrogramTransformer(config), tmp_path / "a.safetensors", LAYOUTS[0], config)
    state = load_file(tmp_path / "a.safetensors")
    value = state["encoder.layer.1.attention.attention.query.bias"]
    state |= {"encoder.layer.1.more": value.clone()}
    if damage == "missing":
        del state["encoder.layer.1.attention.attention.query.bias"], state["encoder.layer.1.more"]
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(RunError, match="E610") as caught:
        load_ast(tmp_path / "a.safetensors", config)
    assert {"missing": "block1.attn.q.bias", "unused": "encoder.layer.1.more"}[damage] in str(caught.value)
