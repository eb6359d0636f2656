import pytest
import torch
from pydantic import ValidationError

from mmm_graph.errors import RunError
from mmm_text.config import EncodeConfig, TextEncoderConfig
from mmm_text.model import TextEncoder, attention_mask

SMALL = {
    "vocab_size": 50,
    "max_length": 8,
    "width": 16,
    "depth": 2,
    "num_heads": 2,
    "hidden": 32,
    "eos_id": 49,
}


def encoder(**more):
    torch.manual_seed(0)
    return TextEncoder(TextEncoderConfig(**{**SMALL, **more})).eval()


@pytest.mark.parametrize("pool", ["mean", "eos"])
def test_padding_changes_neither_the_words_nor_the_pooled_vector(pool):
    model = encoder(causal=False, pool=pool)
    short, long = torch.tensor([[1, 2, 49]]), torch.tensor([[1, 2, 49, 0, 0]])
    mask = torch.tensor([[True] * 3 + [False] * 2])
    a, b = model({"ids": short}), model({"ids": long, "mask": mask})
    assert torch.allclose(a["embeds"], b["embeds"][:, :3], atol=1e-5)
    assert torch.allclose(a["pooled"], b["pooled"], atol=1e-5)


def test_causal_mask_leaves_padding_on_the_left_something_to_attend_to():
    mask = attention_mask(torch.tensor([[False, False, True]]), causal=True)
    assert mask.shape == (1, 1, 3, 3)
    assert mask[0, 0].tolist() == [[True, False, False], [False, True, False], [False, False, True]]
    out = encoder()({"ids": torch.tensor([[0, 0, 49]]), "mask": torch.tensor([[False, False, True]])})
    assert out["embeds"].isfinite().all()


def test_pools_take_the_end_of_the_text():
    ids = torch.tensor([[1, 49, 3, 49], [2, 4, 5, 49]])
    for pool in ("eos", "argmax"):
        out = encoder(pool=pool)({"ids": ids})
        assert torch.equal(out["pooled"], out["embeds"][[0, 1], [1, 3]])


@pytest.mark.parametrize("pool", ["eos", "argmax", "mean"])
@pytest.mark.parametrize("call", [{}, {"layer": -2, "norm": False}])
def test_windows_are_encoded_each_by_itself_and_pooled_is_the_first(pool, call):
    model = encoder(pool=pool, projection=True, pooled_dim=5)
    ids = torch.randint(0, 49, (2, 24))
    ids[:, [5, 15, 20]] = 49
    mask = torch.arange(24).expand(2, -1) % 8 < torch.tensor([[8], [6]])
    for each in (None, mask):
        got = model({"ids": ids, "mask": each}, EncodeConfig(window=8, **call))
        masks = [None] * 3 if each is None else each.split(8, 1)
        alone = [
            model({"ids": i, "mask": m}, EncodeConfig(**call))
            for i, m in zip(ids.split(8, 1), masks, strict=True)
        ]
        assert torch.allclose(got["embeds"], torch.cat([a["embeds"] for a in alone], 1), atol=1e-6)
        assert torch.allclose(got["pooled"], alone[0]["pooled"], atol=1e-6)


def test_windows_must_be_whole():
    with pytest.raises(RunError, match="12 tokens are not whole windows of 8"):
        encoder()({"ids": torch.zeros(1, 12, dtype=torch.int64)}, EncodeConfig(window=8))


def test_too_many_tokens_are_refused():
    with pytest.raises(RunError, match="9 tokens, but the text encoder has 8 positions"):
        encoder()({"ids": torch.zeros(1, 9, dtype=torch.int64)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_heads": 3}, "width 16 does not divide into 3 heads"),
        ({"eos_id": 50}, "eos_id 50 is not in a vocabulary of 50"),
        ({"pooled_dim": 4}, "needs `projection: true`"),
        ({"layers": 4}, "layers"),
    ],
)
def test_configs_that_cannot_be_built_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        TextEncoderConfig(**{**SMALL, **change})
