import pytest
import torch

from mmm_graph.nn.joint import JointAttention
from mmm_graph.parallel.exchange import Single, install

X, TEXT = torch.randn(2, 6, 20, dtype=torch.float64), torch.randn(2, 4, 7, dtype=torch.float64)


def layer(**options):
    torch.manual_seed(0)
    return JointAttention(20, 5, 7, **options).double()


def test_text_and_image_see_each_other_and_have_their_own_shapes():
    joint = layer()
    image, text = joint(X, TEXT)
    assert (image.shape, text.shape) == (X.shape, TEXT.shape)
    other_image, _ = joint(X, TEXT + 1)
    _, other_text = joint(X + 1, TEXT)
    assert not torch.allclose(image, other_image)
    assert not torch.allclose(text, other_text)


def test_image_tokens_are_a_set():
    joint = layer(qk_norm=True)
    order = torch.randperm(6)
    image, text = joint(X, TEXT)
    mixed, same = joint(X[:, order], TEXT)
    torch.testing.assert_close(mixed, image[:, order])
    torch.testing.assert_close(same, text)


def test_without_text_it_is_attention_of_the_image():
    image, text = layer()(X, None)
    assert text is None
    assert image.shape == X.shape


def test_the_text_s_result_may_be_dropped():
    whole, last = layer(), layer(context_only_kv=True)
    last.load_state_dict({k: v for k, v in whole.state_dict().items() if "add_out" not in k})
    image, text = last(X, TEXT)
    assert text is None
    assert torch.equal(image, whole(X, TEXT)[0])


def test_the_exchange_is_told_how_many_tokens_are_text():
    told = []

    class Spy(Single):
        def attention(self, layer, q, k, v, mask=None, causal=False, num_text=0):
            told.append((layer, q.shape[2], num_text))
            return super().attention(layer, q, k, v)

    joint = layer()
    install(torch.nn.ModuleDict({"block": joint}), Spy())
    joint(X, TEXT)
    joint(X, None)
    assert told == [("block", 10, 4), ("block", 6, 0)]


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="width 20 does not divide into 3 heads"):
        JointAttention(20, 3)


@pytest.mark.parity
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("norm", [False, True])
def test_it_is_the_joint_attention_of_diffusers(norm, last):
    from diffusers.models.attention_processor import Attention, JointAttnProcessor2_0

    theirs = Attention(
        query_dim=20, added_kv_proj_dim=20, dim_head=4, heads=5, out_dim=20, context_pre_only=last, bias=True,
        processor=JointAttnProcessor2_0(), qk_norm="rms_norm" if norm else None, eps=1e-6,
    )  # fmt: skip
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    names = {"to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "out", "add_q_proj": "add_q", "add_k_proj": "add_k",
             "add_v_proj": "add_v", "to_add_out": "add_out", "norm_q": "norm_q", "norm_k": "norm_k",
             "norm_added_q": "norm_add_q", "norm_added_k": "norm_add_k"}  # fmt: skip
    ours = JointAttention(20, 5, qk_norm=norm, context_only_kv=last)
    split = [key.rpartition(".") for key in theirs.state_dict()]
    ours.load_state_dict(
        {f"{names[layer]}.{kind}": theirs.state_dict()[f"{layer}.{kind}"] for layer, _, kind in split}
    )
    x, text = X.float(), torch.randn(2, 4, 20)
    got = ours(x, text)
    wanted = theirs(x, encoder_hidden_states=text)
    torch.testing.assert_close(got[0], wanted[0], rtol=1e-5, atol=1e-5)
    if last:
        assert got[1] is None
    else:
        torch.testing.assert_close(got[1], wanted[1], rtol=1e-5, atol=1e-5)
