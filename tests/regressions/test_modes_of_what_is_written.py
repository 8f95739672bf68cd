"""Files and folders have the modes that the umask gives, whichever library writes them; unreadable ones are named."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch

from asr_transfer.cli import main
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ModelError
from asr_transfer.models.replacing import replace_folder
from tests.tones import TINY


@pytest.fixture(params=[0o022, 0o027, 0o002])
def umask(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Set a umask, and a library that lets nobody but their writer read its files, as newer ones do."""
    save = safetensors.torch.save_file

    def private(tensors: Any, file: Any, *more: Any) -> None:
        save(tensors, file, *more)
        os.chmod(file, 0o600)

    monkeypatch.setattr(safetensors.torch, "save_file", private)
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_everything_that_commands_write(
    umask: int, tone_run: Path, tone_corpus: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASR_TRANSFER_CACHE", str(tmp_path / "all" / "cache"))
    out, test = tmp_path / "all", str(tone_corpus["test"])
    out.mkdir()
    speaker = ["--data", test, "--speaker", "ida", "--utterances", "3"]
    assert main(["train", "--train", test, "--out", f"{out}/run", *TINY, "--trainer.steps", "2"]) == 0
    assert main(["adapt", "--model", f"{out}/run", *speaker, "--out", f"{out}/ida", "--method", "full",
                 "--check", "false", "--steps", "1"]) == 0  # fmt: skip
    merging = ["--model", f"{out}/run", "--profile", f"{out}/ida", "--out", f"{out}/merged"]
    assert main(["profile", "merge", *merging]) == 0 and main(["profile", "merge", *merging, "--overwrite"]) == 0
    assert main(["evaluate", "--model", f"{out}/merged", "--data", test, "--out", f"{out}/scored"]) == 0
    assert main(["compare", f"{out}/scored", "--out", f"{out}/report"]) == 0
    assert main(["lm", "make", "--texts", test, "--out", f"{out}/lm.arpa"]) == 0
    found = {path: stat.S_IMODE(path.stat().st_mode) for path in out.rglob("*")}
    assert len(found) > 40 and {"model.safetensors", "profile.safetensors"} <= {path.name for path in found}
    wrong = {
        str(path.relative_to(out)): oct(mode)
        for path, mode in found.items()
        if mode != (0o777 if path.is_dir() else 0o666) & ~umask
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("name", "named"), [("model.safetensors", "model.safetensors"), ("config.yaml", "config.yaml"), ("", "")]
)
def test_what_may_not_be_read_is_not_called_damaged(
    name: str, named: str, tone_run: Path, as_nobody: Callable[[Callable[[], str]], str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(tone_run, folder)
    for path in (tmp_path, *tmp_path.parents[:3]):
        if path.owner() == Path.home().owner():
            path.chmod(0o755)
    (folder / "model" / name).chmod(0)

    def load() -> str:
        try:
            Recogniser.load(folder)
        except ModelError as error:
            return str(error)
        return "loaded"

    told = as_nobody(load)
    assert named in told and "may not be read (permission denied)" in told and "\n" not in told


@pytest.fixture
def as_nobody() -> Callable[[Callable[[], str]], str]:
    """Return what runs a function as a user who is not root, and returns what it does."""

    def run(work: Callable[[], str]) -> str:
        read, write = os.pipe()
        child = os.fork()
        if not child:
            try:
                if os.getuid() == 0:
                    os.setgroups([])
                    os.setgid(12345)
                    os.setuid(12345)
                told = work()
            except BaseException as error:
                told = f"{type(error).__name__}: {error}"
            os.write(write, told.encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(write)
        with os.fdopen(read, encoding="utf-8") as pipe:
            return pipe.read()

    return run


def test_what_lies_in_a_folder_of_a_group_stays_the_groups(tmp_path: Path) -> None:
    (tmp_path / "group").mkdir()
    (tmp_path / "group").chmod(0o2775)
    replace_folder(tmp_path / "group" / "model", lambda folder: (folder / "source").mkdir())
    for made in (tmp_path / "group" / "model", tmp_path / "group" / "model" / "source"):
        assert made.stat().st_mode & stat.S_ISGID
