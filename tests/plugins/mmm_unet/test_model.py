import pytest
import torch
from pydantic import ValidationError

from mmm_graph.errors import InputError, RunError
from mmm_unet.config import UNetConfig
from mmm_unet.model import UNet

SMALL = {
    "channels": (16, 32),
    "attention": ("none", "cross"),
    "num_heads": 4,
    "groups": 8,
    "layers_per_block": 1,
}


def conditional(**more):
    return UNet(UNetConfig(**SMALL, cond_dim=12, **more))


def state(size=8, **more):
    return {"x": torch.randn(2, 4, size, size), "t": torch.tensor([1, 500]), **more}


def test_starts_at_zero_and_learns_from_the_first_step():
    model = conditional()
    given = state(**{"cond.embeds": torch.randn(2, 5, 12)})
    pred = model(given)["pred"]
    assert pred.shape == (2, 4, 8, 8)
    assert not pred.any()
    (pred - given["x"]).square().mean().backward()
    assert model.parts["head"].conv.weight.grad.abs().sum() > 0


def test_elements_of_a_batch_are_independent(scramble):
    model = scramble(conditional())
    given = {
        k: v.double() if v.is_floating_point() else v
        for k, v in state(**{"cond.embeds": torch.randn(2, 5, 12)}).items()
    }
    alone = model({k: v[:1] for k, v in given.items()})["pred"]
    assert torch.allclose(model(given)["pred"][:1], alone, rtol=1e-10, atol=1e-10)


def test_times_of_flow_are_in_the_unit_interval():
    assert UNetConfig(**SMALL, prediction="flow").times == 1000
    assert UNetConfig(**SMALL, prediction="v").times == 1
    assert UNetConfig(**SMALL, prediction="flow", time_scale=1).times == 1


def test_gradients_reach_every_weight(scramble):
    model = scramble(conditional(num_classes=3))
    given = state(**{"cond.embeds": torch.randn(2, 5, 12), "cond.label": torch.tensor([0, 2])})
    model({k: v.double() if v.is_floating_point() else v for k, v in given.items()})[
        "pred"
    ].square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_missing_and_unread_conditions_are_errors():
    with pytest.raises(RunError, match=r"cross-attention needs cond\.embeds"):
        conditional()(state())
    with pytest.raises(RunError, match=r"num_classes needs cond\.label"):
        conditional(num_classes=3)(state(**{"cond.embeds": torch.randn(2, 5, 12)}))
    with pytest.raises(RunError, match=r"cond\.label was given, but a U-Net without num_classes"):
        conditional()(state(**{"cond.embeds": torch.randn(2, 5, 12), "cond.label": torch.tensor([0, 1])}))


def test_an_unsolved_condition_width_is_an_error_of_the_input():
    with pytest.raises(InputError, match="cond_dim"):
        UNet(UNetConfig(**SMALL))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attention": ("none",)}, "attention has 1 entries for 2 channels"),
        ({"groups": 5}, "16 channels do not divide into 5 groups"),
        ({"num_heads": 5}, "32 channels do not divide into 5 heads"),
        (
            {"attention": ("none", "none"), "mid_attention": "self", "cond_dim": 4},
            "no level has attention `cross`",
        ),
        ({"prediction": "noise"}, "prediction"),
        ({"colour": 1}, "colour"),
    ],
)
def test_configs_that_cannot_be_built_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        UNetConfig(**{**SMALL, **change})
