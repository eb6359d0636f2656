import pytest
import torch
from pydantic import ValidationError

from mmm_flux.config import FluxConfig
from mmm_flux.model import Flux, in_range
from mmm_graph.errors import InputError, RunError

SMALL = {
    "in_channels": 3,
    "out_channels": 3,
    "sample_size": 8,
    "double_depth": 1,
    "single_depth": 1,
    "num_heads": 2,
    "head_dim": 16,
    "rope_dims": (4, 6, 6),
    "freq_dim": 16,
    "cond_dim": 10,
    "pooled_dim": 6,
}


def state(height=8, width=8, **more):
    cond = {
        "embeds": torch.randn(2, 5, 10),
        "pooled": torch.randn(2, 6),
        "guidance": torch.tensor([3.5, 1.0]),
    }
    given = {"x": torch.randn(2, 3, height, width), "t": torch.tensor([0.1, 0.5])}
    return {**given, **{f"cond.{name}": value for name, value in cond.items()}, **more}


def double(values):
    return {k: v if v is None else v.double() for k, v in values.items()}


def test_blocks_are_the_identity_and_the_prediction_zero_at_first():
    model = Flux(FluxConfig(**SMALL))
    given = state(h=torch.randn(2, 16, 32), c=torch.randn(2, 32), text=torch.randn(2, 5, 32))
    for name in ("double0", "single0"):
        found = model.parts[name](given)
        assert torch.equal(found["h"], given["h"]) and torch.equal(found["text"], given["text"])
    assert not model(state())["pred"].any()


def test_text_and_image_change_each_other(scramble):
    model = scramble(Flux(FluxConfig(**SMALL)))
    given = double(state())
    base = model(given)["pred"]
    for name in ("cond.embeds", "cond.pooled", "cond.guidance", "t"):
        assert not torch.allclose(model({**given, name: given[name] + 0.5})["pred"], base), name
    written = {**given, **model.parts["embed"](given)}
    moved = {**written, "h": written["h"].flip(2)}  # a layer norm does not see a constant
    for name in ("double0", "single0"):
        assert not torch.allclose(model.parts[name](moved)["text"], model.parts[name](written)["text"]), name


def test_the_place_of_a_token_counts(scramble):
    model = scramble(Flux(FluxConfig(**SMALL)))
    given = double(state())
    rows = given["x"].unflatten(2, (4, 2)).flip(2).flatten(2, 3)  # rows of patches in the opposite order
    found = model({**given, "x": rows})["pred"].unflatten(2, (4, 2)).flip(2).flatten(2, 3)
    assert not torch.allclose(found, model(given)["pred"])


def test_a_piece_without_the_text_works_on_image_tokens_only(scramble):
    model = scramble(Flux(FluxConfig(**SMALL)))
    given = double(state(**{"cond.embeds": None}))
    written = {**given, **model.parts["embed"](given)}
    assert written["text"] is None
    for name in ("double0", "single0"):
        found = model.parts[name](written)
        assert found["text"] is None and found["h"].shape == written["h"].shape
    with pytest.raises(RunError, match=r"FLUX needs cond\.embeds"):
        model(given)


def test_sizes_and_channels_are_free():
    model = Flux(FluxConfig(**{**SMALL, "out_channels": 6, "patch_size": 4}))
    assert model(state(4, 12))["pred"].shape == (2, 6, 4, 12)


def test_gradients_reach_every_weight_that_the_image_depends_on(scramble):
    model = scramble(Flux(FluxConfig(**SMALL)))
    model(double(state()))["pred"].square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_times_of_a_flow_are_scaled():
    assert FluxConfig(**SMALL).times == 1000
    assert FluxConfig(**SMALL, time_scale=1).times == 1
    assert FluxConfig(**SMALL, prediction="v").times == 1


def test_float16_stays_finite_and_other_types_as_they_are():
    half = torch.tensor([float("inf"), -float("inf"), 3.0], dtype=torch.float16)
    assert in_range(half).tolist() == [65504, -65504, 3]
    assert torch.isinf(in_range(half.float())).tolist() == [True, True, False]


def test_wrong_inputs_are_errors():
    model = Flux(FluxConfig(**SMALL))
    with pytest.raises(RunError, match="x of 7 x 8 does not divide into patches of 2 x 2"):
        model(state(7, 8))
    with pytest.raises(RunError, match=r"needs cond\.pooled"):
        model(state(**{"cond.pooled": None}))
    with pytest.raises(RunError, match=r"`guidance: true` needs cond\.guidance"):
        model(state(**{"cond.guidance": None}))
    with pytest.raises(RunError, match=r"cond\.guidance was given, but FLUX with `guidance: false`"):
        Flux(FluxConfig(**SMALL, guidance=False))(state())
    with pytest.raises(InputError, match="pooled_dim is not known"):
        Flux(FluxConfig(**{**SMALL, "pooled_dim": None}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rope_dims": (4, 6, 8)}, r"rope_dims \[4, 6, 8\] must be even and sum up to head_dim 16"),
        ({"rope_dims": (5, 5, 6)}, "must be even"),
        ({"sample_size": 9}, "not a multiple of patch_size"),
        ({"double_depth": 0, "single_depth": 0}, "there would be no blocks"),
        ({"mlp_ratio": 2.5}, "mlp_ratio"),
    ],
)
def test_configs_that_cannot_be_built_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        FluxConfig(**{**SMALL, **change})
