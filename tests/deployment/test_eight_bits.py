"""Weights of eight bits are as small as their products need, and no smaller."""

from __future__ import annotations

import numpy as np
import pytest

from asr_transfer.deployment.eight_bits import GREATEST, fitted


def cut_off(heard: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Multiply as processors do that add the products of two neighbours in sixteen bits."""
    pairs = [heard[:, n : n + 2].astype(int) @ weights[n : n + 2].astype(int) for n in range(0, len(weights), 2)]
    return np.sum(np.clip(pairs, -(2**15), 2**15 - 1), axis=0)


@pytest.mark.parametrize("length", [6, 7, 64])
def test_products_are_the_same_on_every_processor(length: int) -> None:
    draw = np.random.default_rng(length)
    weights, heard = draw.integers(-127, 128, (length, 40)), draw.integers(200, 256, (30, length))
    small, factors = fitted(weights.astype(np.int8), 0)
    assert (cut_off(heard, weights) != heard @ weights).any(), "it matters"
    np.testing.assert_array_equal(cut_off(heard, small), heard @ small.astype(int))
    assert np.abs(small / factors - weights).max() <= 1.01 and factors.min() >= 0.49


def test_what_fits_stays_as_it_is() -> None:
    weights = np.array([[127, 1, -64, -64, 100, -100, 127]], dtype=np.int8)
    small, factors = fitted(weights, 1)
    np.testing.assert_array_equal(small, weights)
    assert factors.tolist() == [1.0] and GREATEST == 128


def test_each_output_gives_up_what_its_own_weights_need() -> None:
    weights = np.array([[[127, 20], [127, 30]], [[-90, 0], [-90, 127]]], dtype=np.int8)
    small, factors = fitted(weights, -2)
    assert factors[0, 0] == pytest.approx(127 / 254) and factors[1, 0] == pytest.approx(127 / 180)
    assert factors[:, 1].tolist() == [1.0, 1.0] and small.shape == weights.shape
    assert np.abs(small.astype(int).sum(axis=1)).max() <= GREATEST
