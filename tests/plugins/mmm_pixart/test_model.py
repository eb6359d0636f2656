import pytest
import torch
from pydantic import ValidationError

from mmm_graph.errors import InputError, RunError
from mmm_pixart.config import PixArtConfig
from mmm_pixart.model import PixArt

SMALL = {
    "in_channels": 3,
    "sample_size": 8,
    "width": 24,
    "depth": 2,
    "num_heads": 2,
    "cond_dim": 10,
    "freq_dim": 16,
}


def state(height=8, width=8, **more):
    given = {"x": torch.randn(2, 3, height, width), "t": torch.tensor([1, 500])}
    return given | {"cond.embeds": torch.randn(2, 5, 10), **more}


def double(values):
    return {k: v.double() if v is not None and v.is_floating_point() else v for k, v in values.items()}


def sizes():
    return {
        "cond.resolution": torch.tensor([[64.0, 32.0], [32.0, 32.0]]),
        "cond.aspect": torch.tensor([[2.0], [1.0]]),
    }


def test_the_text_adds_nothing_and_the_prediction_is_zero_at_first():
    model = PixArt(PixArtConfig(**SMALL))
    given = state()
    written = model.parts["embed"](given)
    other = model.parts["embed"](given | {"cond.embeds": torch.randn(2, 5, 10)})
    block = model.parts["block0"]
    assert torch.equal(block(written)["h"], block(written | {"text": other["text"]})["h"])
    assert not model(given)["pred"].any()


def test_a_block_is_the_identity_where_its_gates_are_shut():
    model = PixArt(PixArtConfig(**SMALL))
    block = model.parts["block1"]
    h, c = torch.randn(2, 16, 24), torch.randn(2, 144)
    c.view(2, 6, 24)[:, [2, 5]] = 0
    with torch.no_grad():
        block.table[[2, 5]] = 0
        assert torch.equal(block({"h": h, "c": c, "text": torch.randn(2, 5, 24)})["h"], h)


def test_other_sizes_than_the_trained_one_run():
    out = PixArt(PixArtConfig(**SMALL))(state(4, 12))
    assert out["pred"].shape == out["variance"].shape == (2, 3, 4, 12)
    assert PixArt(PixArtConfig(**SMALL, learned_sigma=False))(state()).keys() == {"pred"}


def test_text_time_and_size_change_the_prediction(scramble):
    model = scramble(PixArt(PixArtConfig(**SMALL, size_condition=True)))
    given = double(state(**sizes()))
    base = model(given)["pred"]
    for key in given:
        moved = given | {key: given[key] + 1}
        assert not torch.allclose(model(moved)["pred"], base), key


def test_padding_of_the_text_is_not_read(scramble):
    model = scramble(PixArt(PixArtConfig(**SMALL)))
    mask = torch.tensor([[True] * 3 + [False] * 2] * 2)
    given = double(state(**{"cond.mask": mask}))
    cut = given | {"cond.mask": None, "cond.embeds": given["cond.embeds"][:, :3]}
    assert torch.allclose(model(given)["pred"], model(cut)["pred"], atol=1e-10)


def test_gradients_reach_every_weight(scramble):
    model = scramble(PixArt(PixArtConfig(**SMALL, size_condition=True)))
    out = model(double(state(**sizes())))
    (out["pred"].square().sum() + out["variance"].square().sum()).backward()
    # Softmax does not see what keys have in common.
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert all(name.endswith(".k.bias") for name in idle)


def test_times_of_a_flow_are_scaled():
    assert PixArtConfig(**SMALL).times == 1
    assert PixArtConfig(**SMALL, prediction="flow").times == 1000
    assert PixArtConfig(**SMALL, prediction="flow", time_scale=1).times == 1


def test_wrong_inputs_are_errors():
    model = PixArt(PixArtConfig(**SMALL))
    with pytest.raises(RunError, match="x of 7 x 8 does not divide into patches of 2 x 2"):
        model(state(7, 8))
    with pytest.raises(RunError, match=r"PixArt needs cond\.embeds"):
        model(state(**{"cond.embeds": None}))
    for key, value in sizes().items():
        with pytest.raises(RunError, match=rf"{key} was given, but PixArt with size_condition: false"):
            model(state(**{key: value}))
    with pytest.raises(RunError, match=r"PixArt with size_condition: true needs cond\.resolution"):
        PixArt(PixArtConfig(**SMALL, size_condition=True))(state())
    with pytest.raises(InputError, match="cond_dim is not known"):
        PixArt(PixArtConfig(**{**SMALL, "cond_dim": None}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_heads": 5}, "width 24 does not divide into 5 heads"),
        ({"width": 30, "num_heads": 2}, "multiple of 4"),
        ({"width": 32, "size_condition": True}, "multiple of 3"),
        ({"sample_size": 9}, "not a multiple of patch_size"),
        ({"interpolation_scale": 0}, "interpolation_scale"),
    ],
)
def test_configs_that_cannot_be_built_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        PixArtConfig(**{**SMALL, **change})
