import torch

from mmm_graph.nn.causal_mask import causal_bias, count_positions, key_bias

LIKE = torch.zeros(1)
LEFT = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])


def seen(bias):
    assert ((bias == 0) | (bias == -torch.inf)).all()
    return (bias == 0).int().tolist()


def test_positions_do_not_count_padding():
    assert count_positions(LEFT, 4, LIKE.device).tolist() == [[0, 0, 0, 1], [0, 1, 2, 3]]
    assert count_positions(LEFT.flip(1).bool(), 4, LIKE.device).tolist() == [[0, 1, 1, 1], [0, 1, 2, 3]]
    assert count_positions(None, 3, LIKE.device).tolist() == [[0, 1, 2]]


def test_without_padding_nothing_is_made():
    assert causal_bias(None, 4, LIKE) is None and causal_bias(None, 4, LIKE, window=4) is None


def test_a_token_sees_what_is_before_it_and_itself():
    bias = causal_bias(LEFT, 4, LIKE)
    assert bias.shape == (2, 1, 4, 4)
    assert seen(bias[1, 0]) == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert seen(bias[0, 0]) == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]


def test_a_window_ends_the_view():
    assert seen(causal_bias(None, 4, LIKE, 2)[0, 0]) == [
        [1, 0, 0, 0],
        [1, 1, 0, 0],
        [0, 1, 1, 0],
        [0, 0, 1, 1],
    ]
    assert seen(causal_bias(LEFT, 4, LIKE, 2)[0, 0]) == [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 1, 1],
    ]


def test_places_to_come_are_seen():
    bias = key_bias(LEFT, 6, LIKE.half())
    assert bias.shape == (2, 1, 1, 6) and bias.dtype is torch.float16
    assert seen(bias[:, 0, 0]) == [[0, 0, 1, 1, 1, 1], [1] * 6]


def test_queries_may_begin_later():
    assert causal_bias(None, 4, LIKE, start=3) is None
    assert seen(causal_bias(None, 4, LIKE, start=2)[0, 0]) == [[1, 1, 1, 0], [1, 1, 1, 1]]
    for mask, window in ((LEFT, None), (LEFT, 2), (None, 2)):
        whole = causal_bias(mask, 4, LIKE, window)
        assert torch.equal(whole[:, :, 1:], causal_bias(mask, 4, LIKE, window, start=1))


def test_numbers_in_a_mask_keep_texts_of_a_row_apart():
    packed = torch.tensor([[1, 1, 2, 0]])
    assert seen(causal_bias(packed, 4, LIKE)) == [[[[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]]]
    plain = torch.tensor([[1, 1, 1, 0]])
    assert torch.equal(causal_bias(plain, 4, LIKE), causal_bias(plain.bool(), 4, LIKE))
