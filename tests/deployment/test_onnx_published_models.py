"""Every family of Transformers' CTC models becomes an ONNX graph that hears what the model hears."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asr_transfer.deployment import ExportOptions, export
from asr_transfer.errors import ConfigError
from tests.deployment import sources

pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("name", ["hubert-batch-norm", "wavlm-layer-norm", "data2vec", "omniasr", "parakeet", "lasr"])
def test_a_published_model_becomes_a_graph(name: str, tmp_path: Path) -> None:
    """At five lengths and in a batch, as the export itself checks; weights are large, so that positions matter."""
    source = sources.ctc(tmp_path / "model", name)
    model = source.recogniser.model
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    check = export(source, "onnx", tmp_path / "out", ExportOptions()).check["float32"]
    assert len(check["greatest_difference"]) == 5 and check["greatest_difference_in_batch"] is not None
    assert check["same_likeliest_token"] > 0.99


@pytest.mark.parametrize("name", ["parakeet", "lasr"])
def test_features_that_no_graph_computes_are_refused_with_a_target_that_carries_them(name: str, tmp_path: Path) -> None:
    source = sources.ctc(tmp_path / "model", name)
    features = f"features of the kind {source.recogniser.model.inputs.kind}"
    with pytest.raises(ConfigError, match=rf"because {features} are not computed .*; give --to onnx\."):
        export(source, "sherpa-onnx", tmp_path / "out", ExportOptions())
