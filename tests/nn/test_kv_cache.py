import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.nn import kv_cache


def test_what_is_written_is_seen_without_a_copy():
    cache = kv_cache.make_cache(torch.zeros(2, 3, 8, dtype=torch.float16), heads=3, head_dim=4, room=6)
    assert cache.shape == (2, 2, 3, 6, 4) and cache.dtype is torch.float16
    k, v = torch.randn(2, 5, 3, 4).half(), torch.randn(2, 5, 3, 4).half()
    kv_cache.write(cache, k[:, :4], v[:, :4], 0)
    kv_cache.write(cache, k[:, 4:], v[:, 4:], 4)
    keys, values = kv_cache.view(cache, 1, 5)
    assert torch.equal(keys, k[:, 1:].transpose(1, 2)) and torch.equal(values, v[:, 1:].transpose(1, 2))
    assert keys.untyped_storage().data_ptr() == values.untyped_storage().data_ptr() == cache.data_ptr()
    assert (cache[..., 5:, :] == 0).all()


def test_rows_take_the_places_of_others():
    cache = torch.randn(2, 3, 1, 4, 2)
    before = cache.clone()
    kv_cache.reorder(cache, torch.tensor([2, 0, 0]), 3)
    assert torch.equal(cache[:, :, :, :3], before[:, [2, 0, 0], :, :3])
    assert torch.equal(cache[:, :, :, 3:], before[:, :, :, 3:])


def test_a_token_beyond_the_end_is_refused():
    cache = kv_cache.make_cache(torch.zeros(1, 1, 4), heads=1, head_dim=4, room=3)
    kv_cache.check_room(cache, 3)
    with pytest.raises(RunError, match=r"E750.*at the place 3 of a cache that has room for 3"):
        kv_cache.check_room(cache, 4)
