import torch

from mmm_graph.parallel.gather import pack, start_gather, unpack
from mmm_graph.parallel.group import ALONE


def test_parts_are_put_together_along_the_tokens():
    k, v = torch.randn(2, 2, 3, 7, 4)  # b n l k
    parts = [pack(k[:, :, a:b], v[:, :, a:b]) for a, b in ((0, 2), (2, 3), (3, 7))]
    assert [part.shape for part in parts] == [(2, 2, length, 3, 4) for length in (2, 1, 4)]
    assert all(map(torch.equal, unpack(parts), (k, v)))


def test_one_part_is_not_copied():
    kv = pack(*torch.randn(2, 2, 3, 7, 4))
    assert unpack(start_gather(ALONE, kv, [7]).wait())[1].data_ptr() == kv[1].data_ptr()
