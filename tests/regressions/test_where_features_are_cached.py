"""The folder of computed features where there is no home, or where it cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from asr_transfer.cache import VARIABLE, cache_folder, home_folder
from asr_transfer.cli import main
from asr_transfer.errors import ConfigError
from asr_transfer.runs.workers import run_all
from data_prep.fetch import data_folder


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without the variable, and with temporary folders that a test can look through."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def _homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)


def test_an_empty_variable_is_none(tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "home" / ".cache" / "asr-transfer"
    assert cache_folder().is_dir()


def test_the_folder_that_is_named_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "~/a/b")
    assert cache_folder() == tmp_path / "home" / "a" / "b" and cache_folder().is_dir()


@pytest.mark.parametrize("place", ["file", "file/below", "x" * 300, "/proc/cache"])
def test_a_named_folder_that_cannot_be_written_is_refused(
    place: str, tone_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    make_audio: object,
) -> None:  # fmt: skip
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv(VARIABLE, str(tmp_path / place))
    sound = make_audio(tmp_path / "a.wav")  # type: ignore[operator]
    assert main(["transcribe", "--model", str(tone_run), str(sound)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and VARIABLE in error and place[:50] in error


@pytest.mark.parametrize("reason", ["no home", "home below a file", "home under /proc"])
def test_without_a_home_that_can_be_written_the_cache_is_temporary(
    reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    removals: list[tuple[object, ...]] = []
    monkeypatch.setattr("atexit.register", lambda *call: removals.append(call))
    (tmp_path / "file").write_text("x")
    if reason == "no home":
        _homeless(monkeypatch)
    else:
        monkeypatch.setenv("HOME", str(tmp_path / "file" / "h") if "below" in reason else "/proc/nobody")
    folder = cache_folder()
    error = capsys.readouterr().err
    assert folder.parent == tmp_path / "tmp" and error.count("\n") == 1
    assert f"kept in {folder} until this command ends; set {VARIABLE}" in error
    assert cache_folder() == folder == Path(os.environ[VARIABLE]), "said once, and shared with the processes begun now"
    assert capsys.readouterr().err == ""
    ((function, *arguments),) = removals
    function(*arguments)  # type: ignore[operator]
    assert not folder.exists() and VARIABLE not in os.environ


def test_workers_share_a_temporary_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atexit.register", lambda *call: None)
    monkeypatch.setenv("HOME", str(tmp_path / "tmp" / "file"))
    (tmp_path / "tmp" / "file").write_text("x")
    chosen: list[str] = []

    def begin(function: object, arguments: Sequence[int], workers: int, line: object, reports: Path) -> list[int]:
        chosen.append(os.environ[VARIABLE])  # what processes that begin now inherit
        return []

    monkeypatch.setattr("asr_transfer.runs.workers._in_processes", begin)
    assert list(run_all(str, [0, 1], 2, "caches")) == [] and len(chosen) == 1
    assert [path.name for path in (tmp_path / "tmp").glob("asr-transfer-cache-*")] == [Path(os.environ[VARIABLE]).name]


def test_neither_home_nor_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _homeless(monkeypatch)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match=f"no home folder, and there is no temporary folder either; set {VARIABLE}"):
        cache_folder()
    with pytest.raises(ConfigError, match="no home folder"):
        home_folder()


def test_fetched_corpora_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASR_TRANSFER_DATA", "")
    assert data_folder() == tmp_path / "home" / ".local" / "share" / "asr-transfer"
    _homeless(monkeypatch)
    with pytest.raises(ConfigError, match="set ASR_TRANSFER_DATA to a folder"):
        data_folder()


def test_a_temporary_cache_is_gone_when_the_process_ends(tmp_path: Path) -> None:
    code = "from asr_transfer.cache import cache_folder; print(cache_folder())"
    home = {"HOME": "/proc/nobody", "TMPDIR": str(tmp_path / "tmp"), VARIABLE: ""}
    printed = _python(["-c", code], home)
    assert printed.startswith(str(tmp_path / "tmp")) and not any((tmp_path / "tmp").iterdir())


def _python(arguments: Sequence[str], environment: dict[str, str]) -> str:
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment}
    return subprocess.run([sys.executable, *arguments], env=found, capture_output=True, text=True, check=True).stdout
