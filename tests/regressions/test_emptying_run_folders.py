"""What --overwrite deletes: all that lies in the run folder, and nothing that lies elsewhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.cli import script
from asr_transfer.errors import ConfigError
from asr_transfer.runs.record import RunRecord


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@dataclass(frozen=True)
class Settings:
    """Settings of a recipe.

    Args:
        out: run folder.
        overwrite: replace the run that is there.
    """

    out: Path
    overwrite: bool = False


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Return the folder of a run that left much behind."""
    folder = tmp_path / "run"
    RunRecord(folder, {}).finish()
    for name in ("points/a", "corpora/b", ".hidden"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text("old", encoding="utf-8")
    (folder / "left_out.txt").write_text("old", encoding="utf-8")
    return folder


def test_links_are_deleted_and_what_they_lead_to_stays(old: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    (precious / "inner").mkdir(parents=True)
    (precious / "inner" / "speech.wav").write_text("x", encoding="utf-8")
    (old / "models").symlink_to(precious)
    (old / "points" / "a" / "link").symlink_to(precious / "inner")
    (old / "file").symlink_to(precious / "inner" / "speech.wav")
    RunRecord(old, {}, overwrite=True).finish()
    assert _names(old) == {"run.json"}
    assert (precious / "inner" / "speech.wav").read_text(encoding="utf-8") == "x"


def test_a_folder_that_is_a_link_stays_one(old: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(old)
    RunRecord(tmp_path / "link", {}, overwrite=True).finish()
    assert (tmp_path / "link").is_symlink() and _names(old) == {"run.json"}


@pytest.mark.parametrize("kind", [Path, str, lambda path: [str(path)], lambda path: {"deep": path}])
def test_what_the_new_run_reads_is_not_deleted_before_it_reads_it(old: Path, kind: Callable[[Path], object]) -> None:
    with pytest.raises(ConfigError, match=r"`given.*`: .* lies in .*, which --overwrite empties"):
        RunRecord(old, {"given": kind(old / "corpora"), "out": old}, overwrite=True)
    assert (old / "corpora" / "b" / "file").is_file() and (old / "left_out.txt").is_file()


@pytest.mark.parametrize("written", [("--config", "{}"), ("--config={}",)])
def test_nor_is_a_file_of_options_that_lies_in_it(
    old: Path, written: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    options = old / "options.yaml"
    options.write_text(f"out: {old}\noverwrite: true\n", encoding="utf-8")
    given = [word.format(options) for word in written]
    seen: list[Any] = []

    def run(settings: Settings) -> None:
        seen.append(settings)
        RunRecord(settings.out, {"out": settings.out}, overwrite=settings.overwrite)

    assert script(Settings, run, given) == 1 and seen
    assert f"`config`: {options} lies in {old}, which --overwrite empties" in capsys.readouterr().err
    assert options.is_file() and (old / "left_out.txt").is_file()
    assert script(Settings, run, ["--out", str(old), "--overwrite"]) == 0, "an earlier command's files are forgotten"


def test_a_disk_mounted_below_is_not_emptied(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path).name == "b")
    with pytest.raises(ConfigError, match="b: is a disk mounted"):
        RunRecord(old, {}, overwrite=True)
    assert (old / "points" / "a" / "file").is_file()


def test_a_folder_without_a_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious", encoding="utf-8")
    for options in ({"overwrite": True}, {"resume": True}, {}):
        with pytest.raises(ConfigError, match="is not empty and holds no run"):
            RunRecord(tmp_path, {}, **options)
    assert _names(tmp_path) == {"thesis.tex"}


@pytest.mark.parametrize("after", [0, 1, 3])
def test_what_cannot_be_removed_stays_whole(old: Path, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before, rename, calls = _names(old), os.rename, iter(range(100))

    def failing(source: Path, target: Path) -> None:
        if next(calls) == after:
            raise PermissionError(13, "Permission denied", str(source))
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(ConfigError, match=r"cannot be removed \(Permission denied\); nothing was"):
        RunRecord(old, {}, overwrite=True)
    assert _names(old) == before and (old / "points" / "a" / "file").is_file()


@pytest.mark.parametrize("moved", [1, 3, 5])
def test_a_process_killed_meanwhile_leaves_the_old_run_or_none(
    old: Path, moved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, rename, calls = _names(old), os.rename, iter(range(100))

    class Killed(BaseException):
        pass

    def dying(source: Path, target: Path) -> None:
        if next(calls) == moved:
            raise Killed
        rename(source, target)

    monkeypatch.setattr(os, "rename", dying)
    with pytest.raises(Killed):
        RunRecord(old, {}, overwrite=True)
    monkeypatch.undo()
    assert RunRecord(old, {}, resume=True).finished_before
    assert _names(old) - {"run.lock"} == before
    monkeypatch.setattr(shutil, "rmtree", lambda *arguments, **options: None)
    RunRecord(old, {}, overwrite=True)
    monkeypatch.undo()
    (old / "run.json").unlink()
    assert not RunRecord(old, {}, resume=True).finished_before
    assert _names(old) - {"run.lock"} == {"run.json"}, "what was deleted does not come back"
