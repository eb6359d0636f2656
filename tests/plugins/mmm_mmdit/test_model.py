import pytest
import torch
from pydantic import ValidationError

from mmm_graph.errors import InputError, RunError
from mmm_mmdit.config import MMDiTConfig
from mmm_mmdit.model import MMDiT

SMALL = {
    "in_channels": 3,
    "out_channels": 3,
    "sample_size": 8,
    "depth": 2,
    "num_heads": 2,
    "head_dim": 16,
    "freq_dim": 16,
    "cond_dim": 10,
    "pooled_dim": 6,
    "pos_embed_max_size": 8,
}


def state(height=8, width=8, **more):
    text = {"cond.embeds": torch.randn(2, 5, 10), "cond.pooled": torch.randn(2, 6)}
    return {"x": torch.randn(2, 3, height, width), "t": torch.tensor([0.1, 0.5]), **text, **more}


def double(values):
    return {k: v if v is None else v.double() for k, v in values.items()}


def test_blocks_are_the_identity_and_the_prediction_zero_at_first():
    model = MMDiT(MMDiTConfig(**SMALL))
    given = {"h": torch.randn(2, 16, 32), "c": torch.randn(2, 32), "text": torch.randn(2, 5, 32)}
    first, last = (model.parts[f"block{i}"](given) for i in (0, 1))
    assert torch.equal(first["h"], given["h"]) and torch.equal(first["text"], given["text"])
    assert last.keys() == {"h"}
    assert not model(state())["pred"].any()


def test_text_and_image_change_each_other(scramble):
    model = scramble(MMDiT(MMDiTConfig(**SMALL)))
    given = double(state())
    base = model(given)["pred"]
    assert not torch.allclose(model({**given, "cond.embeds": given["cond.embeds"] + 1})["pred"], base)
    written = model.parts["embed"](given)
    moved = {**written, "h": written["h"].flip(2)}  # a layer norm does not see a constant
    text = model.parts["block0"](written)["text"]
    assert not torch.allclose(model.parts["block0"](moved)["text"], text)


def test_a_piece_without_the_text_works_on_image_tokens_only(scramble):
    model = scramble(MMDiT(MMDiTConfig(**SMALL)))
    given = double(state(**{"cond.embeds": None}))
    written = model.parts["embed"](given)
    assert written["text"] is None
    first = model.parts["block0"](written)
    assert first["text"] is None and first["h"].shape == written["h"].shape
    assert model.parts["block1"]({**written, **first})["h"].shape == written["h"].shape
    with pytest.raises(RunError, match=r"the MMDiT needs cond\.embeds"):
        model(given)


def test_the_second_attention_sees_no_text(scramble):
    model = scramble(MMDiT(MMDiTConfig(**SMALL, qk_norm="rms_norm", dual_blocks=(0,))))
    assert [hasattr(model.parts[f"block{i}"].image, "attn2") for i in (0, 1)] == [True, False]
    written = model.parts["embed"](double(state()))
    image = model.parts["block0"].image
    _, (*_, alone) = image.enter(written["h"], written["c"])
    moved = written["h"].clone()
    moved[:, -1] = moved[:, -1].flip(1)
    _, (*_, other) = image.enter(moved, written["c"])
    assert alone.shape == written["h"].shape and not torch.allclose(other[:, 0], alone[:, 0])


def test_other_sizes_than_the_trained_one_run():
    model = MMDiT(MMDiTConfig(**{**SMALL, "out_channels": 6}))
    assert model(state(4, 12))["pred"].shape == (2, 6, 4, 12)


def test_gradients_reach_every_weight_but_those_of_queries_nobody_reads(scramble):
    model = scramble(MMDiT(MMDiTConfig(**SMALL, qk_norm="rms_norm")))
    model(double(state()))["pred"].square().sum().backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    last = "parts.block1.attn"
    assert set(idle) <= {f"{last}.add_q.weight", f"{last}.add_q.bias", f"{last}.norm_add_q.weight"}


def test_times_of_a_flow_are_scaled():
    assert MMDiTConfig(**SMALL).times == 1000
    assert MMDiTConfig(**SMALL, time_scale=1).times == 1
    assert MMDiTConfig(**SMALL, prediction="v").times == 1


def test_wrong_inputs_are_errors():
    model = MMDiT(MMDiTConfig(**SMALL))
    with pytest.raises(RunError, match="x of 7 x 8 does not divide into patches of 2 x 2"):
        model(state(7, 8))
    with pytest.raises(RunError, match="9 x 4 patches, but there are 8 x 8 positions"):
        model(state(18, 8))
    with pytest.raises(RunError, match=r"needs cond\.pooled"):
        model(state(**{"cond.pooled": None}))
    with pytest.raises(InputError, match="pooled_dim is not known"):
        MMDiT(MMDiTConfig(**{**SMALL, "pooled_dim": None}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head_dim": 15}, "width 30 = 2 heads x 15 must be a multiple of 4"),
        ({"sample_size": 9}, "not a multiple of patch_size"),
        ({"dual_blocks": (2,)}, r"dual_blocks \[2\] lie in 0 \.\. 1"),
        ({"sample_size": 18}, "makes 9 patches a side, more than pos_embed_max_size 8"),
    ],
)
def test_configs_that_cannot_be_built_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        MMDiTConfig(**{**SMALL, **change})
