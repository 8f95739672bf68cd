"""Models are found in folders, and under names of the hub where that can be reached."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ModelError
from asr_transfer.models.pretrained.hub import is_hub_name, local_folder
from tests.models.pretrained.published import whisper_folder

NAME = "openai/whisper-nano"


def test_a_folder_is_itself_and_a_name_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    assert local_folder("runs") == Path("runs")
    assert local_folder("runs/absent") == Path("runs/absent"), "a slip of the pen is not asked of the hub"
    assert is_hub_name(NAME) and not is_hub_name("whisper-nano") and not is_hub_name(tmp_path / "absent")


def test_a_name_is_fetched_once_without_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    folder = whisper_folder(tmp_path / "snapshot")
    asked: list[tuple[str, list[str]]] = []

    def fetched(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", fetched)
    assert Recogniser.load(NAME, criterion="ctc").model.head_names() == []
    ((name, patterns),) = asked
    assert name == NAME and not any(pattern.endswith((".py", ".bin", "*")) for pattern in patterns)


def test_without_a_network_one_sentence_names_the_folder_form(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")

    def unreachable(*arguments: Any, **named: Any) -> str:
        raise OSError("no route to host\nand much more")

    monkeypatch.setattr(hub, "snapshot_download", unreachable)
    with pytest.raises(ModelError) as caught:
        Recogniser.load(NAME)
    assert "could be fetched (no route to host); copy the model's folder onto this machine" in str(caught.value)


def test_without_the_library_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModelError, match=r"pip install 'asr-transfer\[pretrained\]', or give the folder of a copy"):
        local_folder(NAME)
