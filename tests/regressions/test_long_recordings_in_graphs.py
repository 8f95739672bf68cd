"""Graphs scale long recordings as exactly as short ones: ONNX Runtime added all of their samples to one float32 sum."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asr_transfer.data.inputs import Inputs, LogMel, Waveform
from asr_transfer.deployment.normalised import Normalised
from asr_transfer.deployment.tracing import run, session, write_graph

pytest.importorskip("onnxruntime")


@pytest.mark.parametrize(("inputs", "frames", "mean"), [(Waveform(), 464_000, 0.1), (LogMel(), 60_000, -12.0)])
def test_a_long_recording_is_normalised_as_in_float64(inputs: Inputs, frames: int, mean: float, tmp_path: Path) -> None:
    fed = torch.randn(1, frames, inputs.dim, generator=torch.Generator().manual_seed(0)) + mean
    module, file, axes = Normalised(inputs).eval(), tmp_path / "graph.onnx", {0: "N", 1: "T"}
    names = ({"x": axes, "lengths": {0: "N"}}, {"normal": axes, "normal_lengths": {0: "N"}})
    write_graph(module, (fed[:, :8000], torch.tensor([8000])), file, *names, {})
    lengths = torch.tensor([frames])
    found, _ = run(session(file), fed, lengths)
    exact, _ = module(fed.double(), lengths)
    assert float((found - exact).abs().max()) < 1e-5
