"""What every reader gives: images that are picked and resized, and labels that fit them."""

from __future__ import annotations

import pytest
import torch

from asr_transfer.data.images import Images, resize
from asr_transfer.data.images.images import require_labels
from asr_transfer.errors import DataError

IMAGES = Images(
    torch.arange(5 * 4 * 6).reshape(5, 1, 4, 6).to(torch.uint8), torch.tensor([2, 0, 1, 0, 2]), ("a", "b", "c")
)


def test_images_are_picked_by_number_mask_or_slice() -> None:
    assert IMAGES.labels is not None
    for items in ([1, 3], IMAGES.labels == 0, slice(1, 4, 2)):
        picked = IMAGES.pick(items)
        assert torch.equal(picked.pixels, IMAGES.pixels[[1, 3]]) and picked.classes == IMAGES.classes
        assert picked.labels is not None and picked.labels.tolist() == [0, 0]
    assert Images(IMAGES.pixels, None, ()).pick([0]).labels is None


def test_another_size_keeps_brightness() -> None:
    flat = torch.full((2, 3, 7, 5), 93, dtype=torch.uint8)
    assert torch.equal(resize(flat, 11, 4), torch.full((2, 3, 11, 4), 93, dtype=torch.uint8))
    squares = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    squares[..., :4] = 200
    small = resize(squares, 2, 2)
    assert small.dtype == torch.uint8 and small[0, 0, 0, 0] > 150 and small[0, 0, 0, 1] < 50
    assert IMAGES.resized(9).pixels.shape == (5, 1, 9, 9) and IMAGES.resized(2, 3).pixels.shape == (5, 1, 2, 3)
    assert torch.equal(IMAGES.resized(4, 6).pixels, IMAGES.pixels)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 1], r"my\.labels: holds 2 labels for 3 images; give the labels that belong"),
        ([0, 3, 1], r"my\.labels: the label of image 2 is 3, but the 3 classes have the numbers 0 to 2"),
        ([0, 1, -1], r"the label of image 3 is -1"),
    ],
)
def test_labels_that_do_not_fit(labels: list[int], said: str) -> None:
    require_labels(torch.tensor([0, 1, 2]), 3, 3, "my.labels")
    with pytest.raises(DataError, match=said):
        require_labels(torch.tensor(labels), 3, 3, "my.labels")
