"""Videos through an encoder of images, and back: against plain torch and against transformers' choice of frames."""

from __future__ import annotations

import pytest
import torch

import mmm_graph as mmm
from mmm_graph.errors import InputError, RunError
from mmm_vision.video.clips import clips, places, stack
from mmm_vision.video.config import ClipsConfig, FramesConfig, PoolFramesConfig, StackConfig
from mmm_vision.video.frames import frames, mean_frames, pool_frames, sampled


def clip(count, height=4, width=5, seed=0):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parity
def test_the_frames_are_those_that_transformers_takes():
    from transformers.video_utils import VideoMetadata, default_sample_indices_fn

    for total in (1, 2, 7, 8, 9, 30, 299):
        for count in (n for n in (1, 2, 3, 8, 16) if n <= total):
            want = default_sample_indices_fn(VideoMetadata(total_num_frames=total), num_frames=count)
            assert sampled(total, count).tolist() == list(want)
    assert sampled(5, None).tolist() == [0, 1, 2, 3, 4]


def test_frames_of_a_batch_and_of_a_list():
    batch = torch.stack([clip(4), clip(4, seed=1)])
    found = frames(batch, FramesConfig(num_frames=2))
    assert torch.equal(found["frames"], batch[:, [0, 2]].flatten(0, 1))
    assert found["rows"].tolist() == [0, 0, 1, 1]
    several = frames([clip(3), clip(1, seed=1)[None], clip(2)], FramesConfig(num_frames=None))
    assert several["rows"].tolist() == [0, 0, 0, 1, 2, 2]
    assert torch.equal(several["frames"][3], clip(1, seed=1)[0])


@pytest.mark.parametrize(
    ("videos", "message"),
    [
        ([], "there is no video"),
        ([clip(3)], "a video of 3 frames, of which 4 are asked for"),
        ([clip(4), clip(4, 6)], "videos of one batch differ in size: 4 x 5 px and 6 x 5 px"),
    ],
)
def test_videos_that_cannot_be_cut(videos, message):
    with pytest.raises(RunError, match=message) as caught:
        frames(videos, FramesConfig(num_frames=4))
    assert caught.value.problems[0].code == "E773"


def test_clips_go_from_the_start_of_a_video_to_its_end():
    batch = torch.stack([clip(10), clip(10, seed=1)])
    found = clips(batch, ClipsConfig(num_clips=3, num_frames=2, span=4))
    at = [0, 3, 3, 6, 6, 9]
    assert torch.equal(found["frames"], batch[:, at].flatten(0, 1)) and found["rows"].tolist() == [
        0,
        0,
        0,
        1,
        1,
        1,
    ]
    pairs = stack(found["frames"], StackConfig())
    assert torch.equal(pairs[1], batch[0, [3, 6]]) and pairs.shape == (6, 2, 3, 4, 5)
    assert places(10, ClipsConfig(num_clips=5)).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert places(1, ClipsConfig(num_clips=2, span=9)).tolist() == [0, 0, 0, 0]
    with pytest.raises(RunError, match=r"E773.*5 images are no whole number of clips of 2 frames"):
        stack(clip(5), StackConfig())


def test_tokens_of_frames_become_those_of_videos():
    embeds, rows = (
        torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0)),
        torch.tensor([0, 0, 0, 1, 1]),
    )
    mean = pool_frames(embeds, rows, PoolFramesConfig())
    assert torch.allclose(mean, torch.stack([embeds[:3].mean(0), embeds[3:].mean(0)]), atol=1e-6)
    half = pool_frames(embeds.bfloat16(), rows, PoolFramesConfig())
    assert half.dtype is torch.bfloat16 and (half.float() - mean).abs().max() < 0.02
    assert torch.allclose(mean_frames(embeds[:, 0], rows), mean[:, 0], atol=1e-6)
    both = pool_frames(embeds[:4], torch.tensor([0, 0, 1, 1]), PoolFramesConfig(mode="concat", num_frames=2))
    assert torch.equal(both, torch.stack([embeds[:2].flatten(0, 1), embeds[2:4].flatten(0, 1)]))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([0, 0], "embeds of 3 frames, but rows of 2"),
        ([0, 1, 0], "their rows do not ascend"),
        ([0, 0, 2], "video 1 of 3 has no frame"),
        ([0, 0, 1], "video 1 has 1 frames, but num_frames is 2"),
    ],
)
def test_rows_that_do_not_belong_to_the_frames(rows, message):
    with pytest.raises(RunError, match=message) as caught:
        pool_frames(torch.zeros(3, 2, 4), torch.tensor(rows), PoolFramesConfig(mode="concat", num_frames=2))
    assert caught.value.problems[0].code == "E774"


def test_concat_needs_to_know_the_number_of_frames():
    with pytest.raises(ValueError, match="mode: concat needs num_frames"):
        PoolFramesConfig(mode="concat")


ENCODER = {"size": 6, "patch": 3, "width": 8, "depth": 2, "num_heads": 2, "hidden": 12, "activation": "gelu"}
FRAGMENT = {
    "mmm": 1,
    "name": "clips",
    "inputs": {"clips": "Video*[m,f,3,h,w]"},
    "models": {"vit": {"kind": "encoder.vit", "init": "default", "dtype": "f64", "config": ENCODER}},
    "nodes": {
        "cut": {"op": "video.frames", "in": {"video": "$in.clips"}, "config": {"num_frames": 2}},
        "image": {"op": "image.preprocess", "in": {"image": "cut.frames"}, "config": {"size": 6}},
        "tokens": {
            "call": "vit.hidden",
            "in": {"image": "image"},
            "config": {"layer": -2, "select": "patch"},
        },
        "vector": {"call": "vit.pooled", "in": {"image": "image"}},
        "mean": {"op": "embeds.pool_frames", "in": {"embeds": "tokens", "rows": "cut.rows"}},
        "all": {
            "op": "embeds.pool_frames",
            "in": {"embeds": "tokens", "rows": "cut.rows"},
            "config": {"mode": "concat", "num_frames": 2},
        },
        "pooled": {"op": "embeds.mean_frames", "in": {"embeds": "vector", "rows": "cut.rows"}},
    },
    "outputs": {"mean": "mean", "all": "all", "pooled": "pooled"},
}


def test_a_clip_through_a_vision_tower():
    """Against torch alone: each frame by itself through the module."""
    session = mmm.load(FRAGMENT)
    assert str(session.graph.node("all").outputs["embeds"]) == "Embeds[all:m,8,8]"
    clips = [(clip(n, 6, 6, n) * 255).round() / 255 for n in (5, 2)]
    out = session.run(clips=clips)
    vit = session.module("vit")
    with torch.no_grad():
        for i, (one, chosen) in enumerate(zip(clips, ([0, 2], [0, 1]), strict=True)):
            tokens, vectors = zip(*(alone(vit, one[j]) for j in chosen), strict=True)
            assert (out["mean"][i] - torch.stack(tokens).mean(0)).abs().max() < 1e-6
            assert (out["all"][i] - torch.cat(tokens)).abs().max() < 1e-6
            assert (out["pooled"][i] - torch.stack(vectors).mean(0)).abs().max() < 1e-6


def alone(vit, frame):
    """Tokens of the layer before the last, normed, and the vector of one frame of the encoder's size."""
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    image = (frame - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    parts = vit.parts
    h = parts["embed"]({"image": image[None].double()})["h"]
    first = parts["block0"]({"h": h})["h"]
    last = parts["block1"]({"h": first})["h"]
    norm = parts["norm"].norm
    return norm(first)[0, 1:], norm(last)[0, 0]


def test_the_number_of_frames_is_checked_against_the_clip():
    with pytest.raises((RunError, InputError), match="a video of 1 frames, of which 2 are asked for"):
        mmm.load(FRAGMENT).run(clips=[clip(1)])
