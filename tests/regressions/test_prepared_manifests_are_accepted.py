"""What a manifest is written with, every command reads again; what none would read is refused before it is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from asr_transfer.cli import main
from asr_transfer.data.manifest import Utterance, read_manifest, write_manifest
from asr_transfer.errors import DataError
from data_prep import commonvoice, folder

MakeAudio = Callable[..., Path]


def utterance(name: str = "u", speaker: str = "s", language: str = "en", **more: str) -> Utterance:
    return Utterance(name, "/a.wav", 1.0, "hello", speaker, language, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("given", "read"), [
    (utterance(speaker=""), utterance(speaker="unknown")),
    (utterance(speaker=" "), utterance(speaker="unknown")),
    (utterance(language=""), utterance(language="und")),
    (utterance("a\tb"), utterance(r"a\tb")),
    (utterance("a\nb", "c\rd"), utterance(r"a\nb", r"c\rd")),
    (utterance(pronunciation=""), utterance()),
    (utterance("\u200b q'\"\\ #%"), utterance("\u200b q'\"\\ #%")),
])  # fmt: skip
def test_what_is_written_is_read(tmp_path: Path, given: Utterance, read: Utterance) -> None:
    write_manifest(tmp_path / "m.jsonl", [given])
    assert read_manifest(tmp_path / "m.jsonl") == [read]


@pytest.mark.parametrize("given", [utterance(""), utterance(" "), utterance(language="English (UK)"),
                                   utterance(language="en.us"), utterance(language="keys"),
                                   utterance(language="train")])  # fmt: skip
def test_what_no_command_reads_is_not_written(tmp_path: Path, given: Utterance) -> None:
    with pytest.raises(DataError, match="utterance '.*': "):
        write_manifest(tmp_path / "m.jsonl", [given])
    assert list(tmp_path.iterdir()) == []


def test_clips_of_nobody(tmp_path: Path, make_audio: MakeAudio) -> None:
    root = tmp_path / "en"
    for number, split in enumerate(("train", "dev", "test")):
        make_audio(root / "clips" / f"{number}.mp3", seconds=1.0, level=0.1 + 0.02 * number)
        (root / f"{split}.tsv").write_text(f"client_id\tpath\tsentence\n\t{number}.mp3\thello there {split}\n")
    commonvoice.prepare(root, tmp_path / "out")
    for split in ("train", "dev", "test"):
        assert read_manifest(tmp_path / "out" / f"{split}.jsonl")[0].speaker == "unknown"


def test_folders(tmp_path: Path, make_audio: MakeAudio, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (" .wav", "a\tb.wav", "c\nd.wav", "e.wav"):
        make_audio(tmp_path / "in" / "sub" / name)
        (tmp_path / "in" / "sub" / name).with_suffix(".txt").write_text("hello")
    make_audio(tmp_path / "in" / "bare.wav")
    command = ["prepare", "folder", "--root", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    for option in ("--speaker", "--language"):
        for empty in ("", " "):
            assert main([*command, option, empty]) == 1
            assert f"`{option}` is empty" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*command, "--language", "English"]) == 0
    assert main([*command, "--language", "en us"]) == 1
    assert "its language 'en us' is not a code" in capsys.readouterr().err
    folder.prepare(tmp_path / "in", tmp_path / "out", speaker="")
    found = read_manifest(tmp_path / "out" / "all.jsonl")
    assert {u.id for u in found} == {"sub/ ", r"sub/a\tb", r"sub/c\nd", "sub/e"} and {u.speaker for u in found} == {
        "unknown"
    }
    assert read_manifest(tmp_path / "out" / "unlabelled.jsonl", labelled=False)[0].speaker == "unknown"
