"""The T5 encoder against transformers."""

import pytest
import torch

from mmm_t5.config import T5Config
from mmm_t5.foreign import LAYOUTS, read_config
from mmm_t5.model import T5Encoder

pytestmark = pytest.mark.parity

SIZES = {"vocab_size": 50, "d_model": 24, "d_kv": 8, "d_ff": 40, "num_layers": 3, "num_heads": 3}
CASES = [
    {"feed_forward_proj": "gated-gelu"},
    {"feed_forward_proj": "relu", "d_kv": 5, "num_heads": 6, "layer_norm_epsilon": 1e-3},
    {
        **{"feed_forward_proj": "gated-relu", "num_layers": 1},
        **{"relative_attention_num_buckets": 8, "relative_attention_max_distance": 10},
    },
    {"feed_forward_proj": "gelu_new", "relative_attention_num_buckets": 4, "d_model": 10},
    {"feed_forward_proj": "gated-gelu", "dense_act_fn": "gelu", "num_layers": 1},
]
LENGTH = 19


def make(case):
    import transformers

    torch.manual_seed(0)
    reference = transformers.T5EncoderModel(transformers.T5Config(**{**SIZES, **case})).eval()
    config = T5Config(**read_config(reference.config.to_dict()))
    return T5Encoder(config), reference, config


def copy_all(ours, reference, config):
    """All weights by the first layout; what it does not read, it ignores by name."""
    theirs = reference.state_dict()
    names = {key: key.removeprefix("parts.") for key in ours.state_dict()}
    where = LAYOUTS[0].theirs(names.values(), config)
    ours.load_state_dict({key: theirs[where[name].names[0]] for key, name in names.items()})
    unread = set(theirs) - {place.names[0] for place in where.values()}
    assert unread == {"encoder.embed_tokens.weight"} and all(map(LAYOUTS[0].ignores, unread))


def exact_norms(reference):
    """Theirs takes the mean of squares in float32 whatever the weights are; the same formula in their own dtype."""
    for module in reference.modules():
        if type(module).__name__ == "T5LayerNorm":
            module.forward = lambda x, norm=module: (
                norm.weight * x * (x.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon).rsqrt()
            )


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_embeds(scramble, case, attention):
    ours, reference, config = make(case)
    reference.set_attn_implementation(attention)
    copy_all(ours.double(), scramble(reference), config)
    exact_norms(reference)
    generator = torch.Generator().manual_seed(0)
    for batch in (1, 3):
        ids = torch.randint(0, 50, (batch, LENGTH), generator=generator)
        mask = torch.arange(LENGTH).expand(batch, -1) < torch.tensor([[LENGTH], [7], [1]])[:batch]
        left = mask.flip(1)
        with torch.no_grad():
            for each in (None, mask, left):
                theirs = None if each is None else each.long()
                want = reference(ids, attention_mask=theirs).last_hidden_state
                close(ours({"ids": ids, "mask": each})["embeds"], want, 1e-10)


@pytest.mark.parametrize("case", CASES[:2])
def test_in_float32_nothing_of_theirs_is_replaced(case):
    ours, reference, config = make(case)
    copy_all(ours, reference, config)
    ids = torch.randint(0, 50, (2, 300), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        close(ours({"ids": ids})["embeds"], reference(ids).last_hidden_state, 1e-5)


@pytest.mark.parametrize("case", CASES[:2])
def test_float16_keeps_the_last_product_in_float32_as_theirs_does(tmp_path, case):
    import transformers

    _, whole, config = make(case)
    with torch.no_grad():
        for name, weight in whole.named_parameters():
            if name.endswith("wo.weight"):
                weight.mul_(1e5).clamp_(-6e4, 6e4)  # sums beyond float16, as trained T5 makes them
    whole.half().save_pretrained(tmp_path)
    reference = transformers.T5EncoderModel.from_pretrained(tmp_path, dtype=torch.float16).eval()
    assert reference.encoder.block[0].layer[1].DenseReluDense.wo.weight.dtype is torch.float32
    ours = T5Encoder(config).half()
    copy_all(ours, reference, config)
    ids = torch.randint(0, 50, (2, LENGTH), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        state = {"ids": ids}
        for name in ("embed", "bias", "block0"):
            state.update(ours.parts[name](state))
        got, want = ours({"ids": ids})["embeds"], reference(ids).last_hidden_state
    assert state["h"].dtype is torch.float32
    assert state["h"].abs().max() > torch.finfo(torch.float16).max
    assert got.dtype is want.dtype is torch.float16 and got.isfinite().all()
    close(got.float(), want.float(), 5e-3)


FULL = {
    "t5_v1_1_xxl": {
        **{"vocab_size": 32128, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24},
        **{"num_heads": 64, "feed_forward_proj": "gated-gelu"},
    },
    "t5_v1_1_large": {
        **{"vocab_size": 32128, "d_model": 1024, "d_kv": 64, "d_ff": 2816, "num_layers": 24},
        **{"num_heads": 16, "feed_forward_proj": "gated-gelu"},
    },
    "t5_3b": {
        **{"vocab_size": 32128, "d_model": 1024, "d_kv": 128, "d_ff": 16384, "num_layers": 24},
        **{"num_heads": 32, "feed_forward_proj": "relu"},
    },
}


@pytest.mark.parametrize("name", list(FULL))
def test_full_sizes_have_as_many_weights(name):
    with torch.device("meta"):
        ours, reference, config = make(FULL[name])
    assert sorted(tuple(p.shape) for p in ours.parameters()) == sorted(
        tuple(p.shape) for p in reference.parameters()
    )
    if name == "t5_v1_1_xxl":
        assert config == T5Config()
        assert sum(p.numel() for p in ours.parameters()) == 4_762_310_656


def close(got, want, tolerance):
    assert (got - want).abs().max() <= tolerance * want.abs().max()
