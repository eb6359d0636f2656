import pytest
import torch
from pydantic import ValidationError

from mmm_t5.config import T5Config
from mmm_t5.model import T5Encoder

SMALL = {"vocab_size": 50, "width": 16, "depth": 2, "num_heads": 2, "head_dim": 6, "hidden": 24}


def encoder(**more):
    torch.manual_seed(0)
    return T5Encoder(T5Config(**{**SMALL, **more})).eval()


@pytest.mark.parametrize("more", [{}, {"gated": False, "activation": "relu"}])
def test_padding_on_either_side_does_not_change_the_words(more):
    model = encoder(**more)
    words, pad = torch.tensor([[1, 2, 7]]), torch.zeros(1, 2, dtype=torch.int64)
    short = model({"ids": words})["embeds"]
    for ids, mask in (([words, pad], [1, 1, 1, 0, 0]), ([pad, words], [0, 0, 1, 1, 1])):
        keep = torch.tensor([mask]).bool()
        long = model({"ids": torch.cat(ids, 1), "mask": keep})["embeds"]
        assert torch.allclose(short[0], long[keep], atol=1e-5)


def test_the_order_of_words_counts():
    model = encoder()
    a, b = (model({"ids": torch.tensor([ids])})["embeds"] for ids in ([1, 2, 3], [3, 2, 1]))
    assert not torch.allclose(a.flip(1), b, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_embeds_have_the_dtype_of_the_weights(dtype):
    out = encoder().to(dtype)({"ids": torch.tensor([[1, 2, 3]])})["embeds"]
    assert out.dtype is dtype and out.isfinite().all()


def test_all_weights_get_gradients():
    model = encoder().train()
    model({"ids": torch.arange(12)[None]})["embeds"].sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_distance": 8}, "max_distance 8 leaves nothing"),
        ({"num_buckets": 3}, "num_buckets"),
        ({"activation": "silu"}, "activation"),
        ({"layers": 4}, "layers"),
    ],
)
def test_configs_that_cannot_be_built_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        T5Config(**{**SMALL, **change})
