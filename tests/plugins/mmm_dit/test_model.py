import pytest
import torch
from pydantic import ValidationError

from mmm_dit.config import DiTConfig
from mmm_dit.model import DiT
from mmm_graph.errors import InputError, RunError

SMALL = {"in_channels": 3, "sample_size": 8, "width": 32, "depth": 2, "num_heads": 2}


def state(height=8, width=8, **more):
    return {"x": torch.randn(2, 3, height, width), "t": torch.tensor([1, 500]), **more}


def text():
    return DiT(DiTConfig(**SMALL, cross=True, cond_dim=10))


def test_blocks_are_the_identity_and_the_prediction_zero_at_first():
    model = text()
    h, c, embeds = torch.randn(2, 16, 32), torch.randn(2, 32), torch.randn(2, 5, 10)
    assert torch.equal(model.parts["block0"]({"h": h, "c": c, "cond.embeds": embeds})["h"], h)
    assert not model(state(**{"cond.embeds": embeds}))["pred"].any()


def test_patches_come_back_where_they_were():
    model = DiT(DiTConfig(**SMALL, patch_size=4))
    x = torch.randn(2, 3, 8, 12)
    embed, head = model.parts["embed"], model.parts["head"]
    with torch.no_grad():
        # One-hot projections: the first 48 widths hold the 48 values of a patch, c p q in, p q c out.
        wide = DiT(DiTConfig(**{**SMALL, "width": 48}, patch_size=4))
        embed, head = wide.parts["embed"], wide.parts["head"]
        embed.patch.weight.copy_(torch.eye(48))
        order = torch.arange(48).view(3, 4, 4).permute(1, 2, 0).flatten()
        head.out.weight.copy_(torch.eye(48)[order])
        head.norm = torch.nn.Identity()
        grid = embed.positions((2, 3), x)
        written = embed({"x": x, "t": torch.zeros(2)})
        back = head({"x": x, "c": written["c"], "h": written["h"] - grid})["pred"]
    assert torch.allclose(back, x, atol=1e-5)


def test_other_sizes_than_the_trained_one_run():
    model = DiT(DiTConfig(**SMALL, learned_sigma=True))
    out = model(state(4, 12))
    assert out["pred"].shape == out["variance"].shape == (2, 3, 4, 12)


def test_gradients_reach_every_weight(scramble):
    model = scramble(
        DiT(DiTConfig(**SMALL, cross=True, cond_dim=10, pooled=True, pooled_dim=6, num_classes=4))
    )
    given = {
        "cond.embeds": torch.randn(2, 5, 10),
        "cond.pooled": torch.randn(2, 6),
        "cond.label": torch.tensor([0, 3]),
    }
    given = {k: v.double() if v.is_floating_point() else v for k, v in state(**given).items()}
    model(given)["pred"].square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_padding_of_the_condition_is_not_read(scramble):
    model = scramble(text())
    embeds, mask = torch.randn(2, 5, 10).double(), torch.tensor([[True] * 3 + [False] * 2] * 2)
    given = {"x": torch.randn(2, 3, 8, 8).double(), "t": torch.tensor([1, 2]), "cond.mask": mask}
    cut = {**given, "cond.mask": None, "cond.embeds": embeds[:, :3]}
    assert torch.allclose(model({**given, "cond.embeds": embeds})["pred"], model(cut)["pred"], atol=1e-10)


def test_wrong_inputs_are_errors():
    with pytest.raises(RunError, match="x of 7 x 8 does not divide into patches of 2 x 2"):
        text()(state(7, 8, **{"cond.embeds": torch.randn(2, 5, 10)}))
    with pytest.raises(RunError, match=r"cross: true needs cond\.embeds"):
        text()(state())
    with pytest.raises(RunError, match=r"cond\.label was given"):
        text()(state(**{"cond.embeds": torch.randn(2, 5, 10), "cond.label": torch.tensor([0, 1])}))
    with pytest.raises(InputError, match="pooled_dim is not known"):
        DiT(DiTConfig(**SMALL, pooled=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_heads": 5}, "width 32 does not divide into 5 heads"),
        ({"width": 30, "num_heads": 2}, "multiple of 4"),
        ({"sample_size": 9}, "not a multiple of patch_size"),
        ({"cond_dim": 10}, "`cross` is false"),
        ({"pooled_dim": 10}, "`pooled` is false"),
    ],
)
def test_configs_that_cannot_be_built_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        DiTConfig(**{**SMALL, **change})
