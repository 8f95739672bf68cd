"""Devices are found by name, and what is no device, or not here, is told in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asr_transfer.cli import main
from asr_transfer.devices import find_device
from asr_transfer.errors import ConfigError
from asr_transfer.training import distributed


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, found in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert find_device("auto") == found


@pytest.mark.parametrize("asked", ["cpu", "cuda", "cuda:0", "cuda:1"])
def test_what_is_there_is_taken_as_it_is_asked_for(asked: str, two_gpus: None) -> None:
    assert find_device(asked) == asked


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("cuda:2", "^the device 'cuda:2' is asked for but the GPUs here are cuda:0 to cuda:1; take one of them or"),
        ("gpu", "^the device 'gpu' is unknown; take auto, cpu, cuda, or cuda:N"),
        ("cuda:", "is unknown"),
        ("CUDA", "is unknown"),
        ("cuda:-1", "is unknown"),
        ("", "^the device '' is unknown"),
    ],
)
def test_what_is_no_device_is_told(asked: str, told: str, two_gpus: None) -> None:
    with pytest.raises(ConfigError, match=told):
        find_device(asked)


def test_more_processes_than_gpus_are_told_before_they_join(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ConfigError, match=r"^process 3 that torchrun started has no GPU of its own, for here are 2; "):
        distributed.join("auto")
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(("asked", "told"), [("cuda:7", "no GPU can be used here"), ("mps", "'mps' is unknown")])
def test_commands_tell_it_in_one_line(
    asked: str, told: str, tone_run: Path, tone_corpus: dict[str, Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    heard, model = tone_corpus["test"], ["--model", str(tone_run), "--device", asked]
    for number, command in enumerate(
        (
            ["transcribe", *model, str(heard)],
            ["evaluate", *model, "--data", str(heard), "--out", str(tmp_path / "scores")],
            ["adapt", *model, "--data", str(heard), "--speaker", "ida", "--out", str(tmp_path / "voice")],
            ["train", "--train", str(heard), "--trainer.device", asked, "--out", str(tmp_path / "model")],
        )
    ):
        assert main(command) == 1, number
        printed = capsys.readouterr().err.strip().splitlines()
        assert told in printed[-1] and "Traceback" not in "".join(printed)
