"""A model that hears NeMo's features goes out to onnx-asr, which writes the texts that the model itself writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asr_transfer.data.tokens import Tokens
from asr_transfer.deployment import ExportOptions, Source, find_target
from asr_transfer.deployment.ctc_files import ctc_logits
from asr_transfer.deployment.folder import export
from asr_transfer.deployment.sounds import sounds
from asr_transfer.errors import ConfigError
from tests.deployment import sources

pytest.importorskip("onnx")
PLAIN = ExportOptions()


def _source(folder: Path) -> Source:
    """Return a model whose tokens are all as likely on average, so that texts are long and differ."""
    source = sources.ctc(folder, "parakeet")
    with torch.no_grad():
        head = source.recogniser.model.head("main")
        logits = torch.cat([ctc_logits(source, sound)[0] for sound in sounds()])
        head.bias.sub_(logits.mean(0))  # type: ignore[operator, union-attr]
    return source


def test_its_folder_has_what_onnx_asr_reads(tmp_path: Path) -> None:
    source = _source(tmp_path / "model")
    done = export(source, "onnx-asr", tmp_path / "out", PLAIN)
    assert done.check["float32"]["same_likeliest_token"] == 1.0
    lines = (tmp_path / "out" / "vocab.txt").read_text().splitlines()
    assert lines[:3] == ["<blk> 0", "▁ 1", "A 2"] and len(lines) == len(source.recogniser.tokens)
    about = json.loads((tmp_path / "out" / "config.json").read_text())
    assert about == {"model_type": "nemo-conformer-ctc", "features_size": 80, "subsampling_factor": 8}


def test_onnx_asr_writes_the_same_texts(tmp_path: Path) -> None:
    onnx_asr = pytest.importorskip("onnx_asr")
    source = _source(tmp_path / "model")
    export(source, "onnx-asr", tmp_path / "out", PLAIN)
    theirs = onnx_asr.load_model("nemo-conformer-ctc", tmp_path / "out")
    texts = [ctc_logits(source, sound)[1] for sound in sounds()]
    assert len(set(texts)) > 1
    assert [theirs.recognize(sound.numpy(), sample_rate=16_000) for sound in sounds()] == texts


def test_other_features_and_phones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hear NeMo's features, and this one waveform; give --to"):
        export(sources.ctc(tmp_path / "wave"), "onnx-asr", tmp_path / "out", PLAIN)
    source = _source(tmp_path / "model")
    phones = replace(source, recogniser=replace(source.recogniser, tokens=Tokens(["AH0", "B"], "phones")))
    assert "whole words or phones" in str(find_target("onnx-asr").refusal(phones, PLAIN))
