"""Convolution and BatchNorm with neighbouring channels are those of PyTorch, in results, gradients and names."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from asr_transfer.models.over_time import TimeConvolution, TimeNorm


@pytest.mark.parametrize(
    ("stride", "dilation", "groups"), [(1, 1, 1), (2, 1, 1), (1, 3, 1), (1, 1, 6)], ids=lambda number: str(number)
)
@pytest.mark.parametrize("training", [True, False])
def test_results_and_gradients_are_those_of_pytorch(stride: int, dilation: int, groups: int, training: bool) -> None:
    torch.manual_seed(0)
    options = {"stride": stride, "padding": 2 * dilation, "dilation": dilation, "groups": groups}
    plain = nn.Sequential(nn.Conv1d(6, 6, 5, **options), nn.BatchNorm1d(6)).double().train(training)
    ours = nn.Sequential(TimeConvolution(6, 6, 5, **options), TimeNorm(6)).double().train(training)
    ours.load_state_dict(plain.state_dict())
    inputs = torch.randn(3, 17, 6, dtype=torch.float64)
    results = []
    for layers in (plain, ours):
        own = inputs.clone().requires_grad_()
        result = layers(own.transpose(1, 2))
        result.square().sum().backward()
        assert own.grad is not None
        results.append([result, own.grad, *(p.grad for p in layers.parameters()), *layers.buffers()])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_channels_stay_beside_each_other() -> None:
    """That is what makes it fast: nothing is copied on the way in or out."""
    layers = nn.Sequential(TimeConvolution(6, 8, 5, padding=2), TimeNorm(8))
    result = layers(torch.randn(3, 17, 6).transpose(1, 2))
    assert result.shape == (3, 8, 17) and result.transpose(1, 2).is_contiguous()


def test_a_single_frame_is_no_special_case() -> None:
    layers = nn.Sequential(TimeConvolution(4, 4, 5, padding=2, bias=False), TimeNorm(4)).eval()
    plain = nn.Conv1d(4, 4, 5, padding=2, bias=False)
    plain.load_state_dict(copy.deepcopy(layers[0].state_dict()))
    inputs = torch.randn(2, 4, 1)
    torch.testing.assert_close(layers[0](inputs), plain(inputs))
    assert layers(inputs).shape == (2, 4, 1)
