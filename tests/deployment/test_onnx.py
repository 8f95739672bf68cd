"""ONNX graphs hear what their models hear: in ONNX Runtime, at other lengths than they were traced at, in batches."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asr_transfer.data.tokens import Tokens
from asr_transfer.deployment import ExportOptions, export
from asr_transfer.deployment.quantised import quantise
from asr_transfer.deployment.tracing import write_graph
from asr_transfer.errors import ModelError
from asr_transfer.models.adapters import AdapterSpec, add_adapter
from asr_transfer.models.contract import SpeechModel
from tests.deployment.models import acoustic, made, source

onnxruntime = pytest.importorskip("onnxruntime")


def run(folder: Path, features: list[torch.Tensor]) -> list[np.ndarray]:
    """Return what a written graph hears in a batch."""
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    fed = torch.nn.utils.rnn.pad_sequence(features, batch_first=True).numpy()
    lengths = np.array([len(one) for one in features])
    found, counts = session.run(None, {"features": fed, "lengths": lengths})
    return [one[:count] for one, count in zip(found, counts, strict=True)]


@torch.no_grad()
def heard(model: SpeechModel, samples: torch.Tensor) -> np.ndarray:
    """Return what a model hears in one recording."""
    fed = model.inputs.compute(samples)
    return model.head("en")(model(fed[None], torch.tensor([len(fed)]))[0]).log_softmax(-1)[0].numpy()


@pytest.mark.parametrize(
    "kind", ["bilstm", "tdnn", "conformer", "whisper", "whisper, silence", "wav2vec2", "wav2vec2, layer norms"]
)
def test_a_graph_hears_what_its_model_hears(kind: str, tmp_path: Path) -> None:
    model = made(kind)
    done = export(source(model, tmp_path), "onnx", tmp_path / "out", ExportOptions())
    waves = [0.1 * torch.randn(count, generator=torch.Generator().manual_seed(count)) for count in (23_456, 7_890)]
    found = run(tmp_path / "out", [model.inputs.analyse(wave) for wave in waves])
    for one, wave in zip(found, waves, strict=True):
        np.testing.assert_allclose(one, heard(model, wave), atol=2e-4)
    check = done.check["float32"]
    assert len(check["greatest_difference"]) == 5 and max(check["greatest_difference"]) < 1e-3
    assert check["greatest_difference_in_batch"] < 1e-3


@pytest.mark.parametrize("normalisation", ["utterance", "speech-mean", "fixed", "none"])
def test_a_graph_normalises_as_its_model_does(normalisation: str, tmp_path: Path) -> None:
    model = acoustic("tdnn", normalisation=normalisation)
    wave = 0.05 * torch.randn(12_000, generator=torch.Generator().manual_seed(0))
    wave[:5000] *= 0.01
    export(source(model, tmp_path), "onnx", tmp_path / "out", ExportOptions())
    np.testing.assert_allclose(run(tmp_path / "out", [model.inputs.analyse(wave)])[0], heard(model, wave), atol=2e-4)


@pytest.mark.parametrize("encoder", ["bilstm", "tdnn", "conformer"])
def test_whole_numbers_are_small_and_close(encoder: str, tmp_path: Path) -> None:
    model = acoustic(encoder)  # type: ignore[arg-type]
    export(source(model, tmp_path), "onnx", tmp_path / "float", ExportOptions())
    done = export(source(model, tmp_path), "onnx", tmp_path / "int8", ExportOptions(int8=True))
    assert done.check["int8"]["mean_difference_of_probabilities"] < 0.1
    names = {path.name for path in (tmp_path / "int8").iterdir()}
    assert names == {"model.onnx", "features.onnx", "tokens.txt", "README.md", "export.json"}
    operators = {node.op_type for node in pytest.importorskip("onnx").load(tmp_path / "int8" / "model.onnx").graph.node}
    assert operators & {"DynamicQuantizeLSTM", "MatMulInteger"}
    assert ("Conv" in operators) == (encoder == "conformer")  # that of single channels stays as it is


def test_one_loud_frame_does_not_silence_the_others_in_whole_numbers(tmp_path: Path) -> None:
    """A frame a thousand times as loud, as Transformers have them inside, has a scale of its own."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(64, 8).eval()
    frames = torch.randn(1, 50, 64)
    frames[0, 7] *= 1000.0
    axes = {"frames": {1: "T"}}, {"products": {1: "T"}}
    write_graph(layer, (frames,), tmp_path / "float.onnx", *axes, {})
    quantise(tmp_path / "float.onnx", tmp_path / "int8.onnx")
    found = onnxruntime.InferenceSession(str(tmp_path / "int8.onnx")).run(None, {"frames": frames.numpy()})[0]
    difference = np.abs(found - layer(frames).detach().numpy())[0]
    assert np.delete(difference, 7, axis=0).max() < 0.05 and difference[7].max() < 50
    silence = onnxruntime.InferenceSession(str(tmp_path / "int8.onnx")).run(None, {"frames": 0 * frames.numpy()})[0]
    np.testing.assert_allclose(silence, layer(0 * frames).detach().numpy(), atol=1e-6)


@pytest.mark.parametrize("encoder", ["bilstm", "tdnn"])
def test_no_product_of_whole_numbers_is_cut_off_on_any_processor(encoder: str, tmp_path: Path) -> None:
    """Some add the products of two neighbours in sixteen bits."""
    model, onnx = acoustic(encoder), pytest.importorskip("onnx")  # type: ignore[arg-type]
    export(source(model, tmp_path), "onnx", tmp_path / "int8", ExportOptions(int8=True))
    stored = onnx.load(tmp_path / "int8" / "model.onnx").graph.initializer
    whole = [onnx.numpy_helper.to_array(one) for one in stored if one.name.endswith("_quantized")]
    assert len(whole) >= 3 and all(one.dtype == np.int8 for one in whole)
    for one in whole:
        even, odd = one[..., 0::2, :].astype(int), one[..., 1::2, :].astype(int)
        sums = even[..., : odd.shape[-2], :] + odd
        assert 255 * sums.max() < 2**15 and 255 * sums.min() >= -(2**15) and np.abs(one.astype(int)).max() > 64


@pytest.mark.parametrize("kind", ["log-mel", "kaldi-fbank"])
def test_the_code_on_the_card_goes_from_samples_to_tokens(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = acoustic("tdnn", kind=kind)
    export(source(model, tmp_path), "onnx", tmp_path / "out", ExportOptions())
    (code,) = re.findall(r"```python\n(.*?)```", (tmp_path / "out" / "README.md").read_text("utf-8"), re.DOTALL)
    wave = 0.1 * torch.randn(12_345, generator=torch.Generator().manual_seed(0))
    known: dict[str, Any] = {"samples": wave.numpy()}
    monkeypatch.chdir(tmp_path / "out")
    exec(compile(code, "README.md", "exec"), known)
    assert (known["log_probs"][0].argmax(1) == heard(model, wave).argmax(1)).all()


def test_adapters_that_cannot_be_folded_go_with_the_graph(tmp_path: Path) -> None:
    model = acoustic("bilstm")
    before = heard(model, torch.ones(9000).cumsum(0).sin())
    add_adapter(model, AdapterSpec("residual-adapter", 4))
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.adapters.parameters():
            parameter.add_(torch.randn_like(parameter))
    after = heard(model, torch.ones(9000).cumsum(0).sin())
    assert np.abs(after - before).max() > 0.1
    done = export(source(model, tmp_path), "onnx", tmp_path / "out", ExportOptions())
    found = run(tmp_path / "out", [model.inputs.analyse(torch.ones(9000).cumsum(0).sin())])[0]
    np.testing.assert_allclose(found, after, atol=1e-3)
    assert "adapters that cannot be folded into weights went with it: residual-adapter" in done.lines[-1]


def test_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    model = acoustic("bilstm")
    before = heard(model, torch.randn(9000, generator=torch.Generator().manual_seed(0)))
    export(source(model, tmp_path), "onnx", tmp_path / "out", ExportOptions(int8=True))
    assert not any("forward" in vars(part) for part in model.modules())
    after = heard(model, torch.randn(9000, generator=torch.Generator().manual_seed(0)))
    np.testing.assert_array_equal(before, after)


def test_a_graph_that_hears_otherwise_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asr_transfer.deployment.normalised.STD_FLOOR", 0.5)
    model = acoustic("tdnn", normalisation="utterance")
    with pytest.raises(ModelError, match="hears otherwise than the model .* so nothing was written"):
        export(source(model, tmp_path), "onnx", tmp_path / "out", ExportOptions())
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_no_graph_can_hold_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.onnx.export", _fail)
    with pytest.raises(ModelError, match=r"my_model: no graph could be made of it .*\(RuntimeError: broken on purpose"):
        export(source(acoustic(), tmp_path), "onnx", tmp_path / "out", ExportOptions())
    assert list(tmp_path.iterdir()) == []


def test_tokens_and_metadata_tell_a_stranger_what_to_do(tmp_path: Path) -> None:
    tokens = Tokens([" ", "a", "b", "c", "d"])
    export(source(acoustic("tdnn", kind="kaldi-fbank"), tmp_path, tokens), "onnx", tmp_path / "out", ExportOptions())
    lines = (tmp_path / "out" / "tokens.txt").read_text(encoding="utf-8").splitlines()
    assert lines == ["<blk> 0", "▁ 1", "a 2", "b 3", "c 4", "d 5"]
    facts = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx")).get_modelmeta().custom_metadata_map
    assert '"kind": "kaldi-fbank"' in facts["features"] and facts["sample_rate"] == "16000" and facts["blank"] == "0"
    assert facts["frame_shift_seconds"] == "0.04" and facts["language"] == "en"


def _fail(*arguments: object, **more: object) -> None:
    raise RuntimeError("broken on purpose\nmore")
