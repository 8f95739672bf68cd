"""What may not be read is said to be so in one sentence: it is neither missing nor passed over in silence."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.commands.profile_folders import find_profiles
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.decoding.hot_words import HotWords
from asr_transfer.decoding.ngram import NgramModel
from asr_transfer.errors import DataError, ModelError
from asr_transfer.remarks import Remark
from data_prep import multilingual
from data_prep.common import walk
from data_prep.folder import read_folder


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return what may not be read, root neither, whom modes do not keep out."""
    (tmp_path / "root" / "locked").mkdir(parents=True)
    listed, opened = os.scandir, Path.read_bytes

    def scandir(path: Any = ".") -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listed(path)

    def read_bytes(path: Path) -> bytes:
        if path.name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    return tmp_path / "root" / "locked"


@pytest.mark.parametrize("read", [Lexicon.read, HotWords.read, NgramModel.read])
@pytest.mark.parametrize("folder", [False, True])
def test_files_of_words(locked: Path, tmp_path: Path, read: Callable[[Path], object], folder: bool) -> None:
    with pytest.raises(DataError) as error:
        read(tmp_path if folder else locked)
    assert ("is a folder; " if folder else "may not be read (permission denied); ask") in str(error.value)
    assert "Errno" not in str(error.value)


def test_a_folder_below_is_named(locked: Path, make_audio: Callable[..., Path]) -> None:
    make_audio(locked.parent / "a.wav").with_suffix(".txt").write_text("hello")
    with pytest.warns(Remark, match=r"locked: the folder may not be read, so what lies in it was left out"):
        assert [u.id for u in read_folder(locked.parent)] == ["a"]


def test_the_folder_itself_is_refused(locked: Path) -> None:
    with pytest.raises(DataError, match=r"locked: may not be read \(permission denied\)"):
        walk(locked)
    with pytest.raises(ModelError, match=r"locked: may not be read \(permission denied\)"):
        list(find_profiles(locked))
    with pytest.warns(Remark, match=r"locked: may not be read"):
        assert list(find_profiles(locked.parent)) == []


def test_remarks_of_corpora_stand_in_what_is_printed(locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multilingual, "prepare", lambda name, root, out: print(f"{name}: {len(walk(root))}"))
    _, printed = multilingual._prepare(("an4", locked.parent, locked))
    assert printed.startswith("an4: 1\n") and "locked: the folder may not be read" in printed
