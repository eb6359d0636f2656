"""diffusers' configs and files of DiT in both directions, and files of the paper's code."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmm_dit.config import DiTConfig
from mmm_dit.foreign import LAYOUTS, read_diffusers, read_legacy, write_diffusers
from mmm_dit.model import DiT
from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.checkpoint.save import save_foreign
from mmm_graph.errors import RunError
from tests.plugins.mmm_dit.original import Original

TINY = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "num_layers": 3,
    "sample_size": 8,
    "out_channels": 8,
    "num_embeds_ada_norm": 10,
}
XL_2 = {  # the fields of the legacy class at the sizes of DiT-XL/2; written by hand, not a published file
    "_class_name": "Transformer2DModel",
    "_diffusers_version": "0.12.0.dev0",
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "attention_head_dim": 72,
    "cross_attention_dim": None,
    "dropout": 0.0,
    "in_channels": 4,
    "norm_elementwise_affine": False,
    "norm_num_groups": 32,
    "norm_type": "ada_norm_zero",
    "num_attention_heads": 16,
    "num_embeds_ada_norm": 1000,
    "num_layers": 28,
    "num_vector_embeds": None,
    "only_cross_attention": False,
    "out_channels": 8,
    "patch_size": 2,
    "sample_size": 32,
    "upcast_attention": False,
    "use_linear_projection": False,
}
DIFFUSERS, ORIGINAL = LAYOUTS[0], LAYOUTS[-1]
PAPER = DiTConfig(sample_size=8, width=32, depth=3, num_heads=2, num_classes=11, learned_sigma=True)


def reference(**config):
    from diffusers import DiTTransformer2DModel

    return DiTTransformer2DModel(**config)


def read(path, config):
    model = DiT(config).double()
    load_module(model, open_checkpoint(path), layouts=LAYOUTS, config=config)
    return model


def inputs(batch):
    draw = torch.Generator().manual_seed(2)
    x = torch.randn(batch, 4, 8, 8, generator=draw, dtype=torch.float64)
    return {"x": x, "t": torch.linspace(1, 900, batch), "cond.label": torch.arange(batch) * 5}


def predict(model, state):
    with torch.no_grad():
        return torch.cat(list(model(state).values()), dim=1)


@pytest.mark.parity
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"out_channels": None, "norm_eps": 1e-6},
        {"in_channels": 3, "out_channels": 3, "patch_size": 4, "dropout": 0.1},
    ],
)
def test_configs_go_both_ways(more):
    theirs = reference(**{**TINY, **more})
    config = DiTConfig(**read_diffusers(theirs.config))
    written = write_diffusers(config)
    again = reference(**{k: v for k, v in written.items() if k != "_class_name"})
    shapes = {k: v.shape for k, v in theirs.state_dict().items()}
    assert {k: v.shape for k, v in again.state_dict().items()} == shapes
    assert again.config.norm_eps == theirs.config.norm_eps
    assert DiTConfig(**read_diffusers(written)) == config


@pytest.mark.parity
def test_diffusers_reads_what_we_write(tmp_path, scramble):
    from diffusers import DiTTransformer2DModel

    config = DiTConfig(**read_diffusers(TINY))
    ours = scramble(DiT(config))
    save_foreign(ours, tmp_path / DIFFUSERS.file, DIFFUSERS, config)
    (tmp_path / "config.json").write_text(json.dumps(write_diffusers(config)))
    theirs, notes = DiTTransformer2DModel.from_pretrained(
        tmp_path, torch_dtype=torch.float64, output_loading_info=True
    )
    assert not notes["missing_keys"] and not notes["unexpected_keys"]
    state = inputs(2)
    with torch.no_grad():
        want = theirs(state["x"], state["t"], class_labels=state["cond.label"]).sample
    assert torch.allclose(predict(ours, state), want, rtol=0, atol=1e-10)


@pytest.mark.parity
def test_embedders_that_differ_between_blocks_are_refused(tmp_path):
    reference(**TINY).save_pretrained(tmp_path)
    with pytest.raises(RunError, match="should be a copy of"):
        read(tmp_path, DiTConfig(**read_diffusers(TINY)))


@pytest.fixture
def original(scramble, tmp_path):
    """The paper's model, and its file in a safe format: positions are in it too."""
    model = scramble(Original(size=8, patch=2, channels=4, width=32, depth=3, heads=2, classes=10)).place()
    path = tmp_path / "original.safetensors"
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)
    return model, path


@pytest.mark.parametrize("batch", [1, 3])
def test_files_of_the_papers_code_compute_the_same(original, batch):
    model, path = original
    state = inputs(batch)
    with torch.no_grad():
        want = model(state["x"], state["t"], state["cond.label"])
    got = predict(read(path, PAPER), state)
    assert (got - want).abs().max() <= 1e-10 * want.abs().max()


def test_the_same_weights_in_both_layouts_are_the_same_model(original, tmp_path):
    first = read(original[1], PAPER)
    save_foreign(first, tmp_path / "diffusers.safetensors", DIFFUSERS, PAPER)
    save_foreign(first, tmp_path / "again.safetensors", ORIGINAL, PAPER)
    want = predict(first, inputs(2))
    for name in ("diffusers", "again"):
        assert torch.equal(predict(read(tmp_path / f"{name}.safetensors", PAPER), inputs(2)), want)
    again, theirs = load_file(tmp_path / "again.safetensors"), load_file(original[1])
    assert again.keys() == theirs.keys() - {"pos_embed"}
    assert all(torch.equal(value, theirs[name]) for name, value in again.items())


def test_the_legacy_class_at_full_size():
    config = DiTConfig(**read_legacy(XL_2))
    assert config == DiTConfig(num_classes=1001, learned_sigma=True, freq_shift=1.0, mlp_eps=1e-5)


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        ({"norm_type": "ada_norm_single"}, "norm_type: 'ada_norm_single' is not supported; expected 'ada_n"),
        ({"attention_bias": False}, "attention_bias: False is not supported; expected True"),
        ({"activation_fn": "geglu"}, "activation_fn: 'geglu' is not supported"),
        ({"norm_elementwise_affine": True}, "norm_elementwise_affine: True is not supported"),
        ({"num_embeds_ada_norm": None}, "num_embeds_ada_norm: None is not supported"),
        ({"cross_attention_dim": 20}, "cross_attention_dim: 20 is not supported; expected None"),
        ({"double_self_attention": True}, "double_self_attention: True is not supported"),
        ({"interpolation_scale": 2}, "interpolation_scale: 2 is not supported"),
        ({"out_channels": 5}, "out_channels: 5 is not supported; expected 4 or 8"),
        ({"rope": True}, "rope: True is not supported; known are"),
    ],
)
def test_what_we_do_not_compute_is_refused(theirs, message):
    with pytest.raises(ValueError, match=message):
        read_diffusers({**TINY, **theirs})


def test_the_legacy_class_must_say_its_norm():
    with pytest.raises(ValueError, match="norm_type: None is not supported"):
        read_legacy(TINY)


@pytest.mark.parametrize(
    ("ours", "message"),
    [
        ({"freq_shift": 0.0}, "freq_shift: 0.0 cannot be written"),
        ({"eps": 1e-5}, "eps: 1e-05 cannot be written"),
        ({"cross": True}, "cross: True cannot be written"),
        ({"num_classes": None}, "num_classes: none cannot be written"),
        ({"time_scale": 7.0}, "time_scale: 7.0 cannot be written"),
    ],
)
def test_what_they_cannot_say_is_not_written(ours, message):
    with pytest.raises(ValueError, match=message):
        write_diffusers(DiTConfig(**{"num_classes": 11, "freq_shift": 1.0, **ours}))
