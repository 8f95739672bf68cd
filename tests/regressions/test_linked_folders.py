"""Linked folders are looked into wherever recordings and texts are looked for, each folder once, and loops end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from data_prep import torgo
from data_prep.common import walk
from data_prep.folder import read_folder, scan_folder
from data_prep.unlabelled import read_unlabelled

MakeAudio = Callable[..., Path]


def pair(make_audio: MakeAudio, file: Path) -> None:
    make_audio(file)
    file.with_suffix(".txt").write_text("hello")


def test_a_linked_speaker_is_read(tmp_path: Path, make_audio: MakeAudio) -> None:
    pair(make_audio, tmp_path / "elsewhere" / "deep" / "b.wav")
    pair(make_audio, tmp_path / "root" / "spk1" / "a.wav")
    (tmp_path / "elsewhere" / "deep" / "lost.txt").write_text("hello")
    (tmp_path / "root" / "spk2").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    found = ["spk1/a", "spk2/deep/b"]
    assert [u.id for u in read_folder(tmp_path / "root")] == found
    assert [u.id for u in read_unlabelled(tmp_path / "root")] == found
    assert scan_folder(tmp_path / "root")[1].dropped == [("spk2/deep/lost.txt", "no recording belongs to it")]


def test_the_folder_itself_may_be_a_link(tmp_path: Path, make_audio: MakeAudio) -> None:
    pair(make_audio, tmp_path / "real" / "a.wav")
    (tmp_path / "link").symlink_to("real")
    assert [u.id for u in read_folder(tmp_path / "link")] == ["a"]


def test_loops_end_and_nothing_is_read_twice(tmp_path: Path, make_audio: MakeAudio) -> None:
    root = tmp_path / "root"
    pair(make_audio, root / "z" / "a.wav")
    pair(make_audio, tmp_path / "outside" / "b.wav")
    (root / "up").symlink_to(root)
    (root / "z" / "self").symlink_to(".")
    (root / "alias").symlink_to("z")
    (root / "o1").symlink_to(tmp_path / "outside")
    (root / "o2").symlink_to(tmp_path / "outside")
    (tmp_path / "outside" / "back").symlink_to(root)
    (root / "broken").symlink_to(tmp_path / "nowhere")
    assert [u.id for u in read_folder(root)] == ["o1/b", "z/a"]


def test_walking_is_that_of_before_without_links(tmp_path: Path) -> None:
    for name in ("b/c/x", "b/y", "a", ".hidden/z"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert walk(tmp_path) == sorted(tmp_path.rglob("*"))


def test_corpora_too(tmp_path: Path, make_audio: MakeAudio) -> None:
    session = tmp_path / "disk" / "F01" / "Session1"
    make_audio(session / "wav_arrayMic" / "0001.flac", seconds=1.0)
    (session / "prompts").mkdir()
    (session / "prompts" / "0001.txt").write_text("hello there")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "F").symlink_to(tmp_path / "disk")
    torgo.prepare(tmp_path / "root", tmp_path / "out")
    assert (tmp_path / "out" / "dysarthric.jsonl").read_text().count("F01-Session1-0001") == 1


def test_a_recording_that_is_there_twice_through_links_is_taken_once(tmp_path: Path, make_audio: MakeAudio) -> None:
    pair(make_audio, tmp_path / "root" / "z.wav")
    pair(make_audio, tmp_path / "elsewhere" / "b.wav")
    for name, target in (
        ("a", tmp_path / "root" / "z"),
        ("m", tmp_path / "elsewhere" / "b"),
        ("n", tmp_path / "elsewhere" / "b"),
    ):
        (tmp_path / "root" / f"{name}.wav").symlink_to(target.with_suffix(".wav"))
        (tmp_path / "root" / f"{name}.txt").write_text("hello")
    found, report = scan_folder(tmp_path / "root")
    assert [u.id for u in found] == ["m", "z"]
    assert report.dropped == [
        ("a.wav", "is a link to the same recording as z.wav"),
        ("n.wav", "is a link to the same recording as m.wav"),
    ]
