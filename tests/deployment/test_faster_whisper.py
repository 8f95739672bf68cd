"""What is written for faster-whisper gives the model's own texts there, in CTranslate2 and in faster-whisper."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr_transfer.deployment import ExportOptions, find_target
from asr_transfer.deployment.eight_bits import GREATEST
from asr_transfer.deployment.faster_whisper import BESIDE, _fitting
from asr_transfer.deployment.folder import export
from asr_transfer.errors import ConfigError
from tests.deployment import sources

pytest.importorskip("ctranslate2")
TARGET = find_target("faster-whisper")


def test_it_recognises_as_the_model_and_keeps_what_faster_whisper_reads(tmp_path: Path) -> None:
    source = sources.whisper(tmp_path / "published")
    done = export(source, "faster-whisper", tmp_path / "out", ExportOptions())
    assert (done.check["sounds"], done.check["equal texts"]) == (3, 3)
    assert all((tmp_path / "out" / name).is_file() for name in (*BESIDE, "model.bin", "vocabulary.json"))
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["lang_ids"] and config["suppress_ids"] == list(source.recogniser.tokens.never)  # type: ignore[attr-defined]


def test_faster_whisper_loads_it(tmp_path: Path) -> None:
    faster_whisper = pytest.importorskip("faster_whisper")
    source = sources.whisper(tmp_path / "published")
    export(source, "faster-whisper", tmp_path / "out", ExportOptions())
    model = faster_whisper.WhisperModel(str(tmp_path / "out"), device="cpu", compute_type="float32", cpu_threads=1)
    assert model.feature_extractor.nb_max_frames == 200 and model.hf_tokenizer.get_vocab_size() == 265


def test_eight_bits_are_smaller(tmp_path: Path) -> None:
    source = sources.whisper(tmp_path / "published")
    for name, options in (("whole", ExportOptions()), ("small", ExportOptions(int8=True))):
        export(source, "faster-whisper", tmp_path / name, options)
    whole, small = ((tmp_path / name / "model.bin").stat().st_size for name in ("whole", "small"))
    assert small < 0.7 * whole


def test_weights_of_eight_bits_are_as_small_as_their_products_need(tmp_path: Path) -> None:
    specs = pytest.importorskip("ctranslate2.specs.common_spec")
    written: list[Any] = []

    class Layer(specs.LinearSpec):  # type: ignore[misc]
        def save(self, folder: str) -> None:
            written.append(self)

    class Converter:
        def _load(self) -> Any:
            layer = Layer()
            layer.weight = np.array([[2.0, 1.9, 1.0, 0.5], [0.1, -0.1, 0.0, 0.05]], dtype=np.float32)
            return layer

    for number, quantisation in enumerate(("int8", "float32")):
        _fitting(Converter)().convert(str(tmp_path / str(number)), quantization=quantisation)
    small, whole = (layer.weight.numpy() for layer in written)
    assert 126 <= small[0, :2].astype(int).sum() <= GREATEST and list(small[1]) == [127, -127, 0, 64]
    np.testing.assert_allclose(small / written[0].weight_scale.numpy()[:, None], whole, atol=0.02)


def test_ctc_models_and_two_precisions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="takes models of Whisper.*and this is a TransformersCtc; give --to transf"):
        export(sources.ctc(tmp_path / "ctc"), "faster-whisper", tmp_path / "out", ExportOptions())
    both = ExportOptions(int8=True, fp16=True)
    assert TARGET.refusal(sources.whisper(tmp_path / "whisper"), both) == "weights have eight bits or sixteen"
