"""Greedy CTC decoding merges repetitions and removes blanks, as `itertools.groupby` does, and never reads padding."""

from __future__ import annotations

import itertools

import pytest
import torch

from asr_transfer.decoding.greedy import greedy


@pytest.mark.parametrize("blank", [0, 3])
@pytest.mark.parametrize("seed", range(5))
def test_greedy_equals_groupby(seed: int, blank: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(16, 25, 4, generator=generator)
    lengths = torch.randint(0, 26, (16,), generator=generator)
    expected = [
        [token for token, _ in itertools.groupby(row[:length].argmax(-1).tolist()) if token != blank]
        for row, length in zip(logits, lengths.tolist(), strict=True)
    ]
    assert greedy(logits, lengths, blank) == expected


def test_a_blank_between_equal_tokens_keeps_both_and_all_blank_is_empty() -> None:
    logits = torch.eye(3)[torch.tensor([[1, 1, 0, 1, 2], [0, 0, 0, 0, 0]])]
    assert greedy(logits, torch.tensor([5, 5])) == [[1, 1, 2], []]


def test_no_frames_give_no_tokens() -> None:
    assert greedy(torch.zeros(2, 0, 3), torch.tensor([0, 0])) == [[], []]
