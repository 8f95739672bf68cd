"""Names of pretrained models: a folder, one that was fetched from a package, one on a hub that cannot be reached."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from asr_transfer.cli import main
from asr_transfer.decoding.folder import model_folder
from asr_transfer.errors import ModelError
from asr_transfer.models.pretrained.hub import FILES, local_folder


@pytest.fixture(autouse=True)
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where a fetched Whisper tiny would be, with an empty working folder and a hub that nobody may ask."""

    def ask(*_: object, **__: object) -> str:
        raise AssertionError("the hub is asked")

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=ask))
    monkeypatch.setenv("ASR_TRANSFER_DATA", str(tmp_path / "data"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "data/models/whisper-tiny"


def fill(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "of-nobody"}')
    return folder


def test_a_bare_name_is_the_model_that_was_fetched(fetched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(fetched)
    assert local_folder("whisper-tiny") == local_folder(Path("whisper-tiny")) == fetched
    assert model_folder("whisper-tiny") == fetched
    assert main(["transcribe", "--model", "whisper-tiny", "a.wav"]) == 1
    assert f"{fetched}/config.json: `model_type` is 'of-nobody'" in capsys.readouterr().err


def test_a_folder_of_that_name_goes_before_it(fetched: Path) -> None:
    fill(fetched)
    own = fill(Path("whisper-tiny"))
    assert local_folder("whisper-tiny") == own


def test_what_can_be_fetched_and_was_not(fetched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetched.mkdir(parents=True)
    assert main(["transcribe", "--model", "whisper-tiny", "a.wav"]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "whisper-tiny: there is no such folder; get the model of that name with `asr-transfer fetch whi" in message


def test_other_bare_names_are_folders() -> None:
    assert local_folder("my_model") == Path("my_model")
    with pytest.raises(ModelError, match="my_model: there is no such model folder"):
        model_folder("my_model")


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("openai/whisper-tiny", "and give its path, or try `asr-transfer fetch whisper-tiny`."),
        ("openai/whisper-small", "and give its path."),
    ],
)
def test_without_a_network_the_folder_is_asked_for(name: str, mend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: object, **__: object) -> str:
        raise OSError("no network\nmore")

    monkeypatch.setattr(sys.modules["huggingface_hub"], "snapshot_download", ask)
    with pytest.raises(ModelError) as caught:
        local_folder(name)
    told = str(caught.value)
    assert told.startswith(f"{name}: there is no such folder") and "(no network)" in told and told.endswith(mend)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModelError, match=r"pip install 'asr-transfer\[pretrained\]', or give the folder"):
        local_folder("openai/whisper-small")


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("https://huggingface.co/openai/whisper-small", "give the model's name alone, `openai/whisper-small`."),
        ("https://huggingface.co/openai/whisper-small/tree/main", "name alone, `openai/whisper-small`."),
        ("http://example.org/model.tar", "copy what is there and give its folder."),
    ],
)
@pytest.mark.parametrize("kind", [str, Path])
def test_an_address_is_no_name(kind: type, name: str, mend: str) -> None:
    with pytest.raises(ModelError, match="is an address, and a model is a folder or the name of one") as caught:
        local_folder(kind(name))
    assert str(caught.value).endswith(mend)


def test_licences_are_fetched_and_weights_once() -> None:
    """A model of the hub said of no licence, and its weights came in several precisions."""
    utils = pytest.importorskip("huggingface_hub.utils")
    wanted = [
        *("config.json", "vocab.json", "merges.txt", "README.md", "LICENSE", "LICENSE.md", "COPYING"),
        *("model.safetensors", "model-00001-of-00002.safetensors", "model.safetensors.index.json"),
        "adapter.eng.safetensors",
    ]
    others = [
        *("model.fp32-00001-of-00002.safetensors", "model.fp16.safetensors", "pytorch_model.bin", "flax_model.msgpack"),
        *("tf_model.h5", "modeling.py", "onnx/model.onnx", "figure.png", "consolidated.safetensors"),
    ]
    assert list(utils.filter_repo_objects([*wanted, *others], allow_patterns=FILES)) == wanted
