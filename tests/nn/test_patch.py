import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.nn.patch import from_patches, mel_patches, patch_grid, to_patches


def test_a_token_is_a_square_of_the_image():
    x = torch.randn(2, 3, 4, 6)
    tokens = to_patches(x, 2)
    assert patch_grid(x, 2) == (2, 3) and tokens.shape == (2, 6, 12)
    assert torch.equal(tokens[:, 4], x[:, :, 2:4, 2:4].flatten(1))


def test_tokens_come_back_where_they_were():
    x = torch.randn(2, 3, 4, 6)
    channels_last = to_patches(x, 2).unflatten(2, (3, 4)).transpose(2, 3).flatten(2)
    assert torch.equal(from_patches(channels_last, x, 2), x)


def test_an_image_that_does_not_divide_is_an_error():
    with pytest.raises(RunError, match="x of 7 x 8 does not divide into patches of 2 x 2"):
        patch_grid(torch.zeros(1, 1, 7, 8), 2)


def test_patches_of_spectrograms_overlap_and_go_from_the_lowest_bins_up() -> None:
    mel = torch.arange(20.0).reshape(1, 5, 4)  # frame f, bin m: 4 f + m
    found = mel_patches(mel, (5, 4), 2, (2, 3), "it")
    assert found.shape == (1, 4, 4)
    assert found[0].tolist() == [[0, 4, 1, 5], [12, 16, 13, 17], [2, 6, 3, 7], [14, 18, 15, 19]]
    with pytest.raises(RunError, match=r"E772.*5 frames x 4 bins, but it has positions for 4 x 5"):
        mel_patches(mel, (4, 5), 2, (2, 3), "it")
