"""A process killed at any moment of replacing a folder leaves the old one or the new one under its name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from asr_transfer.adaptation.profile import Profile, ProfileFacts, save_profile
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.models import replacing
from asr_transfer.models.replacing import replace_folder
from tests.small import small_model

OPERATIONS = ("os.replace", "os.rename", "shutil.rmtree", "asr_transfer.models.replacing._exchange")


def _killed(work: Callable[[], object], operation: str, number: int, before: bool, exchanging: bool = True) -> bool:
    """Do `work` in a process that is killed before or after the given call of an operation; return whether it was."""
    child = os.fork()
    if not child:
        patch, calls = pytest.MonkeyPatch(), 0
        if not exchanging:
            patch.setattr(replacing, "_exchange", lambda first, second: False)
        module, name = operation.rsplit(".", 1)
        target = {"os": os, "shutil": replacing.shutil}.get(module, replacing)
        real = getattr(target, name)

        def call(*arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == number and before:
                os._exit(9)
            result = real(*arguments, **options)
            if calls == number:
                os._exit(9)
            return result

        patch.setattr(target, name, call)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def _recogniser(seed: int) -> Recogniser:
    return Recogniser(small_model(seed).eval(), Tokens(list("abcd"), "characters"), "main", {"seed": seed})


@pytest.mark.parametrize("exchanging", [True, False])
def test_a_model_is_there_whenever_its_writer_is_killed(exchanging: bool, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    kills = 0
    for operation in OPERATIONS:
        for number in (1, 2):
            for before in (True, False):
                _recogniser(1).save(folder, "card", {"seed": 1})
                new = _recogniser(2)
                if _killed(
                    lambda new=new: new.save(folder, "card", {"seed": 2}), operation, number, before, exchanging
                ):
                    kills += 1
                    assert Recogniser.load(folder).origin["seed"] in (1, 2), (operation, number, before)
    assert kills >= 8
    _recogniser(3).save(folder, "card", {"seed": 3})
    assert Recogniser.load(folder).origin["seed"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["model"], "leftovers of killed writers are removed"


def test_a_profile_is_there_too(tmp_path: Path) -> None:
    base, facts = small_model(1), ProfileFacts("full", 3, 4.5)
    folder = save_profile(tmp_path / "profile", base, small_model(2), facts)
    again = small_model(3)
    assert _killed(lambda: save_profile(folder, base, again, facts), "os.replace", 2, True, exchanging=False)
    assert Profile.load(folder).facts == facts


def test_folders_are_exchanged_in_one_step_where_the_system_can(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
        (folder / folder.name).touch()
    if not replacing._exchange(first, second):
        pytest.skip("this file system exchanges no folders")
    assert (first / "b").exists() and (second / "a").exists()


def test_what_another_living_process_writes_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "model"
    living = tmp_path / f".model.partial-{os.getppid()}"
    gone = tmp_path / ".model.partial-999999999"
    other = tmp_path / ".model2.partial-999999999"
    elsewhere = tmp_path / ".model.partial-00000000-999999999"
    for folder in (living, gone, other, elsewhere):
        folder.mkdir()
    replace_folder(target, lambda partial: (partial / "a").write_text("1") and None)
    assert set(tmp_path.iterdir()) == {target, living, other, elsewhere}


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    replace_folder(tmp_path / "link", lambda partial: (partial / "a").write_text("1") and None)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "a").read_text() == "1"
