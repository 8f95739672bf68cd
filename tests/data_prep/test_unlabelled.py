"""A folder of recordings without transcripts: the same ids as with them, and what is left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from asr_transfer import decoder
from asr_transfer.errors import DataError
from data_prep.folder import read_folder
from data_prep.unlabelled import read_unlabelled

MakeAudio = Callable[..., Path]


def test_ids_are_those_that_transcripts_would_give(tmp_path: Path, make_audio: MakeAudio) -> None:
    for name in ("one.wav", "one.flac", "sub/two.wav", ".hidden.wav"):
        make_audio(tmp_path / name)
    found = read_unlabelled(tmp_path, speaker="ann", language="fr")
    assert [(u.id, u.text, u.speaker, u.language) for u in found] == [
        ("one.flac", "", "ann", "fr"), ("one.wav", "", "ann", "fr"), ("sub/two", "", "ann", "fr"),
    ]  # fmt: skip
    rows = "".join(f"{name}\ta b\n" for name in ("one.flac", "one.wav", "sub/two.wav"))
    (tmp_path / "t.tsv").write_text("file\ttext\n" + rows, encoding="utf-8")
    assert [(u.id, u.audio, u.duration) for u in read_folder(tmp_path)] == [(u.id, u.audio, u.duration) for u in found]


def test_of_a_partly_transcribed_folder_all_recordings_are_read_and_no_text(
    tmp_path: Path, make_audio: MakeAudio
) -> None:
    for name in ("a.wav", "b.wav", "c.wav", "a.flac"):
        make_audio(tmp_path / name)
    (tmp_path / "t.csv").write_text("file,text,speaker\nb.wav,hello,bob\na.wav,,eve\n")
    found = read_unlabelled(tmp_path, speaker="ann")
    assert {(u.id, u.text, u.speaker) for u in found} == {
        ("b", "", "bob"), ("a", "", "eve"), ("a.flac", "", "ann"), ("c", "", "ann"),
    }  # fmt: skip
    assert len(found) == 4 and [u.id for u in read_folder(tmp_path)] == ["b"]


def test_what_cannot_be_used_is_named(
    tmp_path: Path, make_audio: MakeAudio, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder, "available", lambda: False)
    make_audio(tmp_path / "good.wav")
    assert [u.id for u in read_unlabelled(tmp_path)] == ["good"] and capsys.readouterr().out == ""
    make_audio(tmp_path / "still.wav", level=1e-4)
    (tmp_path / "broken.wav").write_bytes(b"RIFF....nonsense")
    (tmp_path / "phone.m4a").write_bytes(b"any")
    assert [u.id for u in read_unlabelled(tmp_path)] == ["good"]
    printed = capsys.readouterr().out
    assert "1 kept, 3 left out" in printed and "holds no speech" in printed and "broken.wav" in printed
    assert ".m4a needs a decoder; install it" in printed and "phone.m4a" in printed
    (tmp_path / "good.wav").unlink()
    with pytest.raises(DataError, match="holds no recording that can be used") as error:
        read_unlabelled(tmp_path)
    assert "holds no speech" in str(error.value)
    with pytest.raises(DataError, match="there is no such folder"):
        read_unlabelled(tmp_path / "nowhere")
