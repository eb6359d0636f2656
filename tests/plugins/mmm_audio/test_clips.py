"""audio.clips: short pieces of sounds, their starts evenly spaced."""

import pytest
import torch

from mmm_audio.clips.config import ClipsConfig
from mmm_audio.clips.ops import clips
from mmm_graph.errors import RunError


def test_clips_go_from_the_start_of_a_sound_to_its_end():
    config = ClipsConfig(rate=100, seconds=0.04)
    long, short = torch.arange(11.0)[None], torch.arange(3.0)[None]
    found = clips([long, short], config)
    assert [one.tolist()[0][0] for one in found["clips"]] == [
        *([0, 1, 2, 3], [3, 4, 5, 6], [7, 8, 9, 10]),
        *([0, 1, 2],) * 3,
    ]
    assert found["rows"].tolist() == [0, 0, 0, 1, 1, 1]
    batch = torch.arange(12.0).view(2, 1, 6)
    one = clips(batch, ClipsConfig(rate=100, seconds=0.04, num_clips=1))
    assert torch.equal(torch.cat(one["clips"]), batch[..., :4]) and one["rows"].tolist() == [0, 1]
    with pytest.raises(RunError, match=r"E770.*no sound"):
        clips([torch.zeros(1, 0)], config)
