"""loss.next_token: against torch's cross entropy, value and gradient; what is supervised and what is refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from mmm_graph.errors import RunError
from mmm_losses.language.chunked import Settings, chunked_cross_entropy
from mmm_losses.language.config import NextTokenConfig
from mmm_losses.language.ops import count_supervised, learnt_places, next_token, next_token_at


def sample(b=3, t=7, v=11, dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(b, t, v, generator=g, dtype=torch.float64)
    labels = torch.randint(v, (b, t), generator=g)
    labels[0, :4], labels[1, 5:], labels[-1, 0] = -100, -100, -100
    return logits.to(dtype).requires_grad_(), labels


def by_torch(logits, labels, **more):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), **more)


@pytest.mark.parametrize("chunk", [1, 4, 100])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_torchs_cross_entropy(chunk, smoothing, dtype):
    logits, labels = sample(dtype=dtype)
    found = next_token(logits, labels, NextTokenConfig(smoothing=smoothing, chunk=chunk))
    want = by_torch(logits, labels, label_smoothing=smoothing)
    torch.testing.assert_close(found["loss"], want, rtol=1e-6, atol=1e-6)
    grads = [torch.autograd.grad(v, logits)[0] for v in (found["loss"], want)]
    torch.testing.assert_close(*grads, rtol=1e-6, atol=1e-6)
    assert float(found["count"]) == 3 + 4 + 6
    assert float(found["supervised"]) == pytest.approx(13 / 18)
    kept = labels[:, 1:] != -100
    right = (logits[:, :-1].argmax(-1) == labels[:, 1:])[kept]
    assert float(found["accuracy"]) == pytest.approx(float(right.double().mean()))


def test_it_is_transformers_loss_of_a_causal_model():
    from transformers.loss.loss_utils import ForCausalLMLoss

    logits, labels = sample(dtype=torch.float32)
    want = ForCausalLMLoss(logits, labels, vocab_size=11)
    torch.testing.assert_close(next_token(logits, labels, NextTokenConfig())["loss"], want)


def test_derivatives():
    logits, labels = sample(2, 4, 5)
    weights = torch.rand(2, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    config = NextTokenConfig(smoothing=0.1, z_loss=0.3, chunk=2, masked="skip", reduction="sample")
    assert torch.autograd.gradcheck(lambda x: 5 * next_token(x, labels, config, weights)["loss"], (logits,))


def test_the_z_loss_is_the_square_of_the_normaliser():
    logits, labels = sample()
    plain = next_token(logits, labels, NextTokenConfig())["loss"]
    with_z = next_token(logits, labels, NextTokenConfig(z_loss=0.5))["loss"]
    kept = labels[:, 1:] != -100
    want = 0.5 * logits[:, :-1].logsumexp(-1)[kept].square().mean()
    torch.testing.assert_close(with_z - plain, want)


def test_half_precision_keeps_its_dtype_and_never_becomes_float32_whole():
    logits, labels = sample(2, 65, 512, torch.bfloat16)
    widest = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            for x in out if isinstance(out, tuple) else (out,):
                if isinstance(x, torch.Tensor) and x.dtype == torch.float32:
                    widest.append(x.numel())
            return out

    with Watch():
        found = next_token(logits, labels, NextTokenConfig(chunk=16))["loss"]
        (grad,) = torch.autograd.grad(found, logits)
    assert max(widest) == 16 * 512
    want = by_torch(logits.float(), labels)
    torch.testing.assert_close(found, want)
    assert grad.dtype == torch.bfloat16
    torch.testing.assert_close(grad, torch.autograd.grad(want, logits)[0], rtol=1e-2, atol=1e-5)


def test_each_sample_counts_the_same_by_sample():
    logits, labels = sample()
    each = [by_torch(logits[k : k + 1], labels[k : k + 1]) for k in range(3)]
    found = next_token(logits, labels, NextTokenConfig(reduction="sample"))
    torch.testing.assert_close(found["loss"], torch.stack(each).mean())
    assert float(found["count"]) == 3


@pytest.mark.parametrize("reduction", ["token", "sample"])
def test_weighted_by_their_counts_micro_batches_are_the_batch(reduction):
    """What the trainer does; the mean of the means of tokens would be another number."""
    logits, labels = sample()
    weights = torch.rand(3, 7, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    config = NextTokenConfig(reduction=reduction)
    whole = next_token(logits, labels, config, weights)
    parts = [(logits[a:b], labels[a:b], weights[a:b]) for a, b in ((0, 1), (1, 3))]
    counts = [count_supervised(y, config, w) for _, y, w in parts]
    torch.testing.assert_close(sum(counts), whole["count"])
    losses = [next_token(x, y, config, w)["loss"] for x, y, w in parts]
    torch.testing.assert_close(
        sum(n * v for n, v in zip(counts, losses, strict=True)) / sum(counts), whole["loss"]
    )
    assert not torch.isclose(sum(losses) / 2, whole["loss"])


def test_segments_have_weights():
    logits, labels = sample()
    segments = torch.tensor([0, 0, 1, 1, 2, 2, 7]).expand(3, 7)
    config = NextTokenConfig(segment_weights=(0.5, 2.0))
    weights = torch.tensor([0.5, 0.5, 2, 2, 1, 1, 1]).expand(3, 7)
    want = next_token(logits, labels, NextTokenConfig(), weights)["loss"]
    torch.testing.assert_close(next_token(logits, labels, config, None, segments)["loss"], want)
    each = by_torch(logits, labels, reduction="none").view(3, 6)
    kept = (labels[:, 1:] != -100) * weights[:, 1:]
    torch.testing.assert_close(want, (each * kept).sum() / kept.sum())
    twice = next_token(logits, labels, config, weights, segments)["loss"]
    torch.testing.assert_close(twice, (each * kept * weights[:, 1:]).sum() / (kept * weights[:, 1:]).sum())


def test_no_token_of_a_packed_text_is_predicted_from_another():
    logits, labels = sample()
    documents = torch.tensor([0, 0, 0, 0, 0, 1, 1]).expand(3, 7)
    apart = labels.clone()
    apart[:, 5] = -100
    found = next_token(logits, labels, NextTokenConfig(), documents=documents)
    want = next_token(logits, apart, NextTokenConfig())
    assert found["loss"] == want["loss"] and found["count"] == want["count"] == count_supervised(
        labels, NextTokenConfig(), documents=documents
    )


def test_samples_without_a_supervised_token_are_named():
    logits, labels = sample(4)
    labels[1], labels[3, 1:] = -100, -100
    with pytest.raises(RunError, match=r"E776.*masked in 2 of 4 samples of the batch: 1, 3"):
        next_token(logits, labels, NextTokenConfig())
    kept = next_token(logits, labels, NextTokenConfig(masked="skip"))["loss"]
    torch.testing.assert_close(kept, by_torch(logits, labels))
    silent = next_token(logits, torch.full_like(labels, -100), NextTokenConfig(masked="skip"))
    silent["loss"].backward()
    assert float(silent["loss"].detach()) == 0 and float(silent["count"]) == 0
    assert bool((logits.grad == 0).all())


@pytest.mark.parametrize("reduction", ["token", "sample"])
def test_weights_of_zero_are_no_division(reduction):
    logits, labels = sample()
    weights = torch.ones(3, 7)
    weights[1] = 0
    config = NextTokenConfig(reduction=reduction)
    found = next_token(logits, labels, config, weights)["loss"]
    rest = next_token(logits[[0, 2]], labels[[0, 2]], config)["loss"]
    torch.testing.assert_close(found, rest if reduction == "token" else rest * 2 / 3)
    assert float(next_token(logits, labels, config, 0 * weights)["loss"].detach()) == 0


def test_labels_that_do_not_fit_are_refused():
    logits, labels = sample()
    with pytest.raises(RunError, match=r"E777.*labels \[3, 6\] do not fit logits \[3, 7, 11\]"):
        next_token(logits, labels[:, 1:], NextTokenConfig())
    labels[2, 4] = 11
    with pytest.raises(RunError, match=r"E777.*sample 2 of the batch has the label 11\n.*words 0 to 10"):
        next_token(logits, labels, NextTokenConfig())


def test_no_token_is_chosen():
    logits = torch.zeros(4, 3, requires_grad=True)
    none = torch.zeros(0, dtype=torch.int64)
    loss, right = chunked_cross_entropy(logits, none, none, torch.zeros(0), Settings(0.0, 0.0, 8))
    loss.backward()
    assert float(loss.detach()) == 0 and len(right) == 0 and bool((logits.grad == 0).all())


@pytest.mark.parametrize("reduction", ["token", "sample"])
@pytest.mark.parametrize("packed", [False, True])
def test_logits_where_a_label_is_are_enough(reduction, packed):
    logits, labels = sample(4)
    labels[2, 1:] = -100
    weights = torch.rand(4, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    segments = torch.tensor([0, 0, 0, 1, 1, 1, 1]).expand(4, 7)
    documents = torch.tensor([0, 0, 0, 0, 0, 1, 1]).expand(4, 7) if packed else None
    config = NextTokenConfig(reduction=reduction, masked="skip", segment_weights=(0.5,), z_loss=0.1)
    want = next_token(logits, labels, config, weights, segments, documents)
    places = learnt_places(labels, documents)
    assert places.shape == (4, 5 if packed else 6)
    some = logits.gather(1, places[..., None].expand(-1, -1, 11))
    found = next_token_at(some, labels, config, weights, segments, documents)
    assert all(torch.equal(found[key], want[key]) for key in want)
    grads = [torch.autograd.grad(x["loss"], logits)[0] for x in (found, want)]
    torch.testing.assert_close(*grads, rtol=0, atol=1e-15)


def test_places_are_those_before_the_labels():
    labels = torch.tensor([[7, -100, 5, 6], [-100, -100, -100, 3], [-100] * 4])
    assert learnt_places(labels).tolist() == [[1, 2], [2, 0], [0, 0]]
    assert learnt_places(torch.full((2, 3), -100)).tolist() == [[0], [0]]
    assert learnt_places(torch.full((2, 1), 4)).tolist() == [[0], [0]]


def test_too_few_logits_are_refused():
    logits, labels = sample()
    with pytest.raises(RunError, match=r"E777.*not those of 6 tokens in each of 3 samples\n.*tokens.learnt"):
        next_token_at(logits[:, :5], labels, NextTokenConfig())
