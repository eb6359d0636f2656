"""BLIP-2's first stage: hard negatives, matching, captions, and all of it in one graph."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import mmm_graph
from mmm_graph.errors import InputError, RunError
from mmm_graph.nn.noise import Noise
from mmm_losses.matching import config as c
from mmm_losses.matching import ops

COUNT = 6


def pairs(count=COUNT):
    g = torch.Generator().manual_seed(0)
    return {
        "image": torch.randn(count, 3, 4, generator=g),
        "text": torch.randn(count, 4, generator=g),
        "features": torch.arange(count).view(-1, 1, 1).expand(count, 2, 5).float(),
        "ids": torch.arange(count)[:, None].repeat(1, 3),
    }


def noise(step, elements=range(COUNT)):
    return Noise((step,), "negatives", tuple(elements))


def test_the_batch_of_pairs():
    """Each text once with its image, once with another image; each image once more, with another text."""
    mask = torch.arange(3) < torch.tensor([[1], [2], [3], [1], [2], [3]])
    found = ops.hard_negatives(**pairs(), mask=mask, config=c.NegativesConfig(), noise=noise(0))
    image, text = found["features"][:, 0, 0].long(), found["ids"][:, 0]
    right = torch.arange(COUNT)
    assert torch.equal(image[:6], right) and torch.equal(text[:6], right)
    assert torch.equal(text[6:12], right) and torch.equal(image[12:], right)
    assert not bool((image == text)[6:].any())
    assert found["labels"].tolist() == [1] * 6 + [0] * 12
    assert torch.equal(found["mask"], mask[text])
    assert not any(v.requires_grad for v in found.values())


class Level:
    """Noise that is the same number for all rows."""

    def __init__(self, value: float) -> None:
        self.value = value

    def uniform(self, *, dtype, name):
        return torch.full((COUNT,), self.value, dtype=dtype)


def test_negatives_are_drawn_by_their_likeness():
    """multinomial(softmax(scale sim)) without the pair itself and without equal ids, as LAVIS draws them."""
    given, steps = pairs(), 200
    ids = torch.tensor([0, 1, 2, 0, 4, 5])
    config = c.NegativesConfig(temperature=0.5)
    counts = torch.zeros(2, COUNT, COUNT)
    for step in range(steps):
        drawn = Level((step + 0.5) / steps)  # evenly from all of [0, 1)
        found = ops.hard_negatives(**given, pair_ids=ids, config=config, noise=drawn)
        image, text = found["features"][:, 0, 0].long(), found["ids"][:, 0]
        counts[0, torch.arange(COUNT), image[6:12]] += 1
        counts[1, torch.arange(COUNT), text[12:]] += 1
    sims = F.normalize(given["image"], dim=-1) @ F.normalize(given["text"], dim=-1).T
    sims = sims.amax(1) / 0.5  # [images, texts]
    same = ids[:, None] == ids
    for side, logits in zip(counts, (sims.T, sims), strict=True):
        want = logits.masked_fill(same, -torch.inf).softmax(1)
        assert not bool(side[same].any())
        assert float((side / steps - want).abs().max()) < 1.01 / steps


def test_what_is_drawn_depends_on_the_element_alone():
    given = pairs()
    config = c.NegativesConfig()
    whole = ops.hard_negatives(**given, config=config, noise=noise(1))
    for own, drawn in ((slice(2, 4), noise(1, (2, 3))), (slice(2, 4), noise(1))):
        part = ops.hard_negatives(**given, config=config, noise=drawn, own=own)
        rows = [2, 3, 8, 9, 14, 15]
        assert all(torch.equal(part[k], whole[k][rows]) for k in ("features", "ids", "labels", "mask"))


def test_a_batch_without_negatives_is_refused():
    with pytest.raises(RunError, match=r"E780.*batch of 1 pairs there is no negative for 0"):
        ops.hard_negatives(**pairs(1), config=c.NegativesConfig(), noise=noise(0, [0]))
    with pytest.raises(RunError, match=r"E780"):
        ids = torch.zeros(COUNT, dtype=torch.int64)
        ops.hard_negatives(**pairs(), pair_ids=ids, config=c.NegativesConfig(), noise=noise(0))


def test_matching_is_the_cross_entropy_of_the_mean_over_queries():
    scores = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels = torch.tensor([1, 0, 0, 1])
    found = ops.matching(scores, labels)
    torch.testing.assert_close(found["loss"], F.cross_entropy(scores.mean(1), labels))
    right = (scores.mean(1)[:, 1] > scores.mean(1)[:, 0]).long() == labels
    assert float(found["accuracy"]) == float(right.double().mean())


def test_a_caption_begins_with_its_own_token():
    ids = torch.tensor([[5, 6, 7], [5, 8, 0]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]]).bool()
    found = ops.caption(ids, c.CaptionConfig(first=9), mask)
    assert found["ids"].tolist() == [[9, 6, 7], [9, 8, 0]]
    assert found["labels"].tolist() == [[9, 6, 7], [9, 8, -100]]
    plain = ops.caption(ids, c.CaptionConfig())
    assert plain["ids"].tolist() == plain["labels"].tolist() == ids.tolist()


GRAPH = """
mmm: 1
name: blip2-stage1
inputs: {features: "Embeds[b,l,8]", ids: "Ids[b,t]", mask: "Mask[b,t]"}
models:
  qformer:
    kind: adaptor.qformer
    init: default
    config: {text: true, head: true, width: 16, depth: 2, num_heads: 2, hidden: 24, num_queries: 3,
             projection: false, vocab_size: 12, max_length: 8}
  see: {kind: adaptor.linear, config: {out_dim: 6}, init: default}
  read: {kind: adaptor.linear, config: {out_dim: 6}, init: default}
  judge: {kind: adaptor.linear, init: default}
  t: {kind: projector.temperature, init: default}
nodes:
  queries: {call: qformer.queries, in: {features: $in.features}}
  image: {call: see, in: {features: queries}}
  words: {call: qformer.text, in: {ids: $in.ids, mask: $in.mask}}
  told: {call: read, in: {features: words}}
  text: {op: embeds.first, in: {embeds: told}}
  scale: {call: t}
  itc: {op: loss.itc, in: {image: image, text: text, scale: scale}, config: {smoothing: 0.1}}
  hard:
    op: pairs.hard_negatives
    in: {image: image, text: text, scale: scale, features: $in.features, ids: $in.ids, mask: $in.mask}
  both: {call: qformer.match, in: {features: hard, ids: hard.ids, mask: hard.mask}}
  scores: {call: judge, in: {features: both.queries}}
  itm: {op: loss.itm, in: {scores: scores, labels: hard.labels}}
  itg: {op: loss.itg, use: {qformer: qformer}, config: {first: 11, masked: error},
        in: {features: $in.features, ids: $in.ids, mask: $in.mask}}
outputs: {itc: itc, itm: itm.loss, itg: itg.loss, supervised: itg.supervised, labels: hard.labels}
"""


def test_the_three_objectives_in_one_graph(tmp_path):
    (tmp_path / "stage1.yaml").write_text(GRAPH)
    graph = mmm_graph.load(tmp_path / "stage1.yaml")
    features = torch.randn(4, 5, 8, generator=torch.Generator().manual_seed(2))
    ids = torch.randint(11, (4, 6), generator=torch.Generator().manual_seed(3))
    mask = torch.arange(6) < torch.tensor([[6], [3], [6], [2]])
    out = graph.run(features=features, ids=ids, mask=mask, seed=1)
    assert out["labels"].tolist() == [1] * 4 + [0] * 8
    assert float(out["supervised"]) == pytest.approx((5 + 2 + 5 + 1) / 20)
    assert all(0.1 < float(out[name]) < 20 for name in ("itc", "itm", "itg"))
    cut = mask.clone()
    cut[3, 1] = False
    with pytest.raises(RunError, match=r"E776.*1 of 4 samples of the batch: 3"):
        graph.run(features=features, ids=ids, mask=cut, seed=1)


def test_a_qformer_that_reads_no_text_is_refused(tmp_path):
    (tmp_path / "stage1.yaml").write_text(GRAPH.replace("text: true, head: true, ", ""))
    with pytest.raises(InputError, match="reads no text"):
        mmm_graph.load(tmp_path / "stage1.yaml")


@pytest.mark.parity
def test_likeness_and_scores_are_those_of_transformers_retrieval_model():
    import transformers

    from mmm_losses.contrastive.config import InfoNCEConfig
    from mmm_losses.contrastive.ops import image_text_contrast

    config = transformers.Blip2Config(
        vision_config={"hidden_size": 12, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                       "image_size": 8, "patch_size": 4},
        qformer_config={"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "vocab_size": 30,
                        "num_attention_heads": 2, "encoder_hidden_size": 12, "use_qformer_text_input": True},
        num_query_tokens=5, image_text_hidden_size=7, image_token_index=None,
    )  # fmt: skip
    torch.manual_seed(0)
    theirs = transformers.Blip2ForImageTextRetrieval(config).eval()
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.add_(torch.randn(weight.shape) * 0.2)
        given = {
            "pixel_values": torch.randn(4, 3, 8, 8),
            "input_ids": torch.randint(30, (4, 6)),
            "attention_mask": torch.ones(4, 6, dtype=torch.int64),
        }
        out = theirs(**given)
        sims = out.logits_per_image  # 4 x 4
        want = (
            F.cross_entropy(sims / 0.07, torch.arange(4)) + F.cross_entropy(sims.T / 0.07, torch.arange(4))
        ) / 2
        found = image_text_contrast(3 * out.image_embeds, out.text_embeds, InfoNCEConfig())
        torch.testing.assert_close(found, want)
        matched = theirs(**given, use_image_text_matching_head=True).logits_per_image
        seen = []
        theirs.itm_head.register_forward_hook(lambda module, x, y: seen.append(y))
        theirs(**given, use_image_text_matching_head=True)
        labels = torch.tensor([1, 0, 1, 0])
        torch.testing.assert_close(ops.matching(seen[0], labels)["loss"], F.cross_entropy(matched, labels))
