"""The audio spectrogram transformer against that of transformers, read from the file that it saved."""

from __future__ import annotations

import pytest
import torch

from mmm_audio.ast.config import AstConfig
from mmm_audio.ast.foreign import BARE, CLASSIFIER, LAYOUTS, read, read_classifier
from mmm_audio.ast.model import AudioSpectrogramTransformer
from mmm_graph.checkpoint.fit import find_fit
from mmm_graph.checkpoint.load import saved_names
from mmm_graph.nn.encoder_path import HiddenConfig

pytestmark = pytest.mark.parity

SIZES = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40}
SIZES |= {"max_length": 43, "num_mel_bins": 32}
CASES = [
    {},
    {"patch_size": 8, "time_stride": 8, "frequency_stride": 4, "qkv_bias": False, "hidden_act": "relu"},
    {"layer_norm_eps": 1e-3, "num_attention_heads": 3, "hidden_act": "gelu_pytorch_tanh", "max_length": 16},
]


def spectrogram(config, dtype=torch.float64):
    drawn = torch.Generator().manual_seed(0)
    return torch.randn(2, config.frames, config.bins, generator=drawn, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("case", CASES)
def test_every_hidden_state_and_the_pooled_vector(saved, load_ast, case):
    reference, file = saved(BARE, **{**SIZES, **case})
    ours = load_ast(file, AstConfig(**read(reference.config.to_dict())))
    mel = spectrogram(ours.config)
    with torch.no_grad():
        want, got = reference(mel, output_hidden_states=True), ours(mel)
        close(got["embeds"], want.last_hidden_state)
        close(got["pooled"], want.pooler_output)
        states = want.hidden_states
        for layer, state in enumerate(states):
            close(ours.hidden(mel, HiddenConfig(layer=layer, norm=False)), state)
            call = HiddenConfig(layer=layer - len(states), norm=False, select="patch")
            close(ours.hidden(mel, call), state[:, 2:])


@pytest.mark.parametrize("case", CASES)
def test_logits_in_single_precision(saved, load_ast, case):
    reference, file = saved(CLASSIFIER, torch.float32, **{**SIZES, **case}, num_labels=7)
    ours = load_ast(file, AstConfig(**read_classifier(reference.config.to_dict())), torch.float32)
    mel = spectrogram(ours.config, torch.float32)
    with torch.no_grad():
        got, want = ours.classify(mel), reference(mel).logits
    assert got.shape == want.shape == (2, 7) and (got - want).abs().max() < 1e-5


def test_the_encoder_of_a_file_with_classifier(saved, load_ast):
    reference, file = saved(CLASSIFIER, **SIZES, num_labels=7)
    ours = load_ast(file, AstConfig(**read(reference.config.to_dict())))
    mel = spectrogram(ours.config)
    with torch.no_grad():
        close(ours(mel)["pooled"], reference.audio_spectrogram_transformer(mel).pooler_output)


PUBLISHED = {  # MIT/ast-finetuned-audioset-10-10-0.4593
    **{"attention_probs_dropout_prob": 0.0, "frequency_stride": 10, "hidden_act": "gelu"},
    **{"hidden_dropout_prob": 0.0, "hidden_size": 768, "initializer_range": 0.02, "intermediate_size": 3072},
    **{"layer_norm_eps": 1e-12, "max_length": 1024, "model_type": "audio-spectrogram-transformer"},
    **{"num_attention_heads": 12, "num_hidden_layers": 12, "num_mel_bins": 128, "patch_size": 16},
    **{"qkv_bias": True, "time_stride": 10, "torch_dtype": "float32", "transformers_version": "4.25.0.dev0"},
    "id2label": {str(i): f"sound {i}" for i in range(527)},
}


def test_full_size():
    import transformers

    config = AstConfig(**read_classifier(PUBLISHED))
    assert (config.rows, config.columns, config.tokens, config.labels) == (12, 101, 1214, 527)
    with torch.device("meta"):
        reference = transformers.ASTForAudioClassification(transformers.ASTConfig(num_labels=527))
        ours = AudioSpectrogramTransformer(config)
    state, names = ours.state_dict(), saved_names(ours)
    shapes = {n: tuple(state[own].shape) for n, own in names.items()}
    there = {n: tuple(v.shape) for n, v in reference.state_dict().items()}
    fit = find_fit(shapes, there, alike={n: [n] for n in shapes}, layouts=LAYOUTS, config=config)
    assert fit.problems == 0 and fit.where.keys() == shapes.keys()
    assert (
        sum(v.numel() for v in state.values()) == sum(v.numel() for v in reference.parameters()) == 86_594_063
    )


def close(got, want):
    assert got.shape == want.shape and (got - want).abs().max() <= 1e-10 * max(1.0, want.abs().max())
