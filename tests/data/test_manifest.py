"""Manifests: what is written is read again, and every mistake in a line is named with file and line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from asr_transfer.data.manifest import (
    TAKEN,
    Report,
    Utterance,
    by_speaker,
    checksum,
    manifest_text,
    names_language,
    read_manifest,
    validate,
    write_manifest,
)
from asr_transfer.errors import DataError

MakeAudio = Callable[..., Path]

GOOD: dict[str, Any] = {
    "id": "u1",
    "audio_filepath": "wav/u1.wav",
    "duration": 0.5,
    "text": "hello there",
    "speaker": "ann",
    "language": "en",
}


def utterance(name: str = "u1", **changes: Any) -> Utterance:
    return dataclasses.replace(Utterance(name, f"/corpus/{name}.wav", 1.25, "hello", "ann", "en"), **changes)


def manifest(folder: Path, *entries: dict[str, Any] | str) -> Path:
    file = folder / "m.jsonl"
    lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_round_trip(tmp_path: Path) -> None:
    written = [
        utterance("a", text="Üben, 你好!", language="de"),
        utterance("b", start=1.5, phones=(("HH", 0.0, 0.1), ("AH", 0.1, 0.25))),
        utterance("c", audio=str(tmp_path / "wav" / "c.wav")),
    ]
    write_manifest(tmp_path / "new" / "m.jsonl", written[:2])
    assert read_manifest(tmp_path / "new" / "m.jsonl") == written[:2]
    write_manifest(tmp_path / "m.jsonl", written)
    assert read_manifest(tmp_path / "m.jsonl") == written
    assert not list(tmp_path.rglob("*.partial"))


def test_audio_below_the_manifest_is_written_relative_so_that_the_folder_can_move(tmp_path: Path) -> None:
    write_manifest(tmp_path / "old" / "m.jsonl", [utterance(audio=str(tmp_path / "old" / "wav" / "a.wav"))])
    (tmp_path / "old").rename(tmp_path / "new")
    assert read_manifest(tmp_path / "new" / "m.jsonl")[0].audio == str(tmp_path / "new" / "wav" / "a.wav")


def test_audio_is_absolute_even_when_the_manifest_path_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest(tmp_path, GOOD)
    monkeypatch.chdir(tmp_path)
    assert read_manifest("m.jsonl")[0].audio == str(tmp_path / "wav" / "u1.wav")


def test_what_is_written_is_where_the_audio_is_behind_all_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, out = tmp_path / "real", tmp_path / "out"
    (out / "own").mkdir(parents=True)
    real.mkdir()
    (real / "a.wav").touch()
    (out / "folder").symlink_to(real)
    (out / "link.wav").symlink_to(real / "a.wav")
    (out / "own" / "inside.wav").symlink_to(out / "own" / "b.wav")
    monkeypatch.chdir(out)
    given = ["folder/a.wav", "link.wav", "own/inside.wav", "own/../own/b.wav", "..", "gone.wav", str(real / "a.wav")]
    write_manifest("made.jsonl", [utterance(id=str(n), audio=audio) for n, audio in enumerate(given)])
    entries = [json.loads(line) for line in Path("made.jsonl").read_text(encoding="utf-8").splitlines()]
    for audio, entry in zip(given, entries, strict=True):
        assert (out.resolve() / entry["audio_filepath"]) == Path(audio).resolve()
    assert [entry["audio_filepath"] for entry in entries[2:4]] == ["own/b.wav", "own/b.wav"]


def test_blank_lines_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    second = json.dumps({**GOOD, "id": "u2"})
    (tmp_path / "m.jsonl").write_bytes(("\ufeff" + json.dumps(GOOD) + "\r\n\r\n" + second).encode())
    assert [entry.id for entry in read_manifest(tmp_path / "m.jsonl")] == ["u1", "u2"]


def test_unicode_line_separators_in_a_text_are_no_line_ends(tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.jsonl", [utterance("a", text="one\u2028two\u0085three"), utterance("b")])
    assert [entry.text for entry in read_manifest(tmp_path / "m.jsonl")] == ["one two three", "hello"]


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in GOOD.items() if name != key}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{not json", r"is not JSON \(.* at column 2\)"),
        ('["a", "b"]', "must be a JSON object with the keys id, audio_filepath"),
        ({**GOOD, "duratoin": 1}, r"unknown key 'duratoin'\. Did you mean 'duration'\?"),
        *[(without(key), f"the key '{key}' is missing") for key in GOOD],
        ({**GOOD, "text": " "}, "`text` must be non-empty text, got ' '"),
        ({**GOOD, "speaker": 7}, "`speaker` must be non-empty text, got 7"),
        ({**GOOD, "id": None}, "`id` must be non-empty text, got null"),
        ({**GOOD, "duration": "1.5"}, "`duration` must be a number of seconds, got '1.5'"),
        ({**GOOD, "duration": True}, "`duration` must be a number of seconds, got True"),
        ({**GOOD, "duration": -1}, "`duration` must be a number of seconds, got -1"),
        ({**GOOD, "duration": float("nan")}, "`duration` must be a number of seconds, got nan"),
        ({**GOOD, "duration": float("inf")}, "`duration` must be a number of seconds, got inf"),
        ({**GOOD, "duration": 10**400}, "`duration` must be a number of seconds, got 1000"),
        ({**GOOD, "duration": 0}, "`duration` must be above 0 seconds"),
        ({**GOOD, "offset": "start"}, "`offset` must be a number of seconds, got 'start'"),
        ({**GOOD, "phones": [["AH", 0.1]]}, "`phones` must be a list of"),
        ({**GOOD, "phones": [["AH", "x", 0.1]]}, "`phones` must be a list of"),
        ({**GOOD, "phones": [["AH", 0.2, 0.1]]}, "`phones` must be a list of"),
        ({**GOOD, "phones": [["AH", 0.2, float("nan")]]}, "`phones` must be a list of"),
        (GOOD, r"id 'u1' was already used on line 1; give every utterance its own id"),
    ],
)
def test_mistake_in_a_line(tmp_path: Path, line: dict[str, Any] | str, message: str) -> None:
    file = manifest(tmp_path, GOOD, "", line)
    with pytest.raises(DataError, match=rf"m\.jsonl line 3: {message}"):
        read_manifest(file)


def test_of_unlabelled_speech_the_text_may_be_missing_or_empty_and_nothing_else(tmp_path: Path) -> None:
    lines = [GOOD, {**GOOD, "id": "u2", "text": " "}, {**without("text"), "id": "u3"}]
    file = manifest(tmp_path, *lines)
    assert [u.text for u in read_manifest(file, labelled=False)] == [GOOD["text"], "", ""]
    write_manifest(tmp_path / "again.jsonl", read_manifest(file, labelled=False))
    assert read_manifest(tmp_path / "again.jsonl", labelled=False) == read_manifest(file, labelled=False)
    with pytest.raises(DataError, match=r"m\.jsonl line 2: `text` must be non-empty text, got ' '"):
        read_manifest(file)
    for line, message in (({**GOOD, "text": 7}, "`text` must be"), ({**without("text"), "id": ""}, "`id` must be")):
        with pytest.raises(DataError, match=rf"m\.jsonl line 1: {message}"):
            read_manifest(manifest(tmp_path, line), labelled=False)


def test_missing_empty_and_ill_encoded_manifests(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl: there is no such manifest; make one"):
        read_manifest(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match=r"m\.jsonl: holds no utterances"):
        read_manifest(manifest(tmp_path, "", ""))
    (tmp_path / "latin.jsonl").write_bytes('{"text": "é"}'.encode("latin-1"))
    with pytest.raises(DataError, match=r"latin\.jsonl line 1: is not UTF-8 text \(byte 10 is"):
        read_manifest(tmp_path / "latin.jsonl")


def test_failed_write_leaves_the_old_manifest(tmp_path: Path) -> None:
    file = tmp_path / "m.jsonl"
    write_manifest(file, [utterance()])
    before = file.read_bytes()
    with pytest.raises(AttributeError):
        write_manifest(file, [utterance("x"), None])  # type: ignore[list-item]
    assert file.read_bytes() == before


def test_validate_keeps_what_is_sound_and_names_the_rest(tmp_path: Path, make_audio: MakeAudio) -> None:
    audio = str(make_audio(tmp_path / "a.wav", seconds=1.0))
    short = str(make_audio(tmp_path / "short.wav", seconds=0.01))
    sound = [
        utterance("whole", audio=audio, duration=1.0),
        utterance("rounded", audio=audio, duration=1.04),
        utterance("part", audio=audio, start=0.5, duration=0.5),
        utterance("inside", audio=audio, start=0.2, duration=0.3),
    ]
    broken = [
        utterance("silent", audio=audio, duration=1.0, text="  "),
        utterance("missing", audio=str(tmp_path / "none.wav")),
        utterance("long", audio=audio, duration=1.1),
        utterance("brief", audio=audio, duration=0.9),
        utterance("beyond", audio=audio, start=0.8, duration=0.5),
        utterance("tiny", audio=short, duration=0.01),
    ]
    kept, report = validate([*broken, *sound])
    assert kept == sound and report.kept == 4
    reasons = dict(report.dropped)
    assert list(reasons) == ["silent", "missing", "long", "brief", "beyond", "tiny"]
    assert "transcript is empty" in reasons["silent"]
    assert "no such audio file" in reasons["missing"]
    assert "says it ends at 1.10 s but the file lasts 1.00 s" in reasons["long"]
    assert "says it ends at 0.90 s" in reasons["brief"]
    assert "says it ends at 1.30 s" in reasons["beyond"]
    assert "10 ms of audio is shorter than one analysis window" in reasons["tiny"]


def test_validate_refuses_a_repeated_id(tmp_path: Path, make_audio: MakeAudio) -> None:
    twin = utterance("u1", audio=str(make_audio(tmp_path / "a.wav", seconds=1.0)), duration=1.0)
    with pytest.raises(DataError, match="id 'u1' occurs twice"):
        validate([twin, twin])


def test_report_names_what_was_left_out() -> None:
    report = Report(kept=3)
    for number in range(12):
        report.drop(f"u{number}", "the transcript is empty")
    lines = str(report).splitlines()
    assert lines[0] == "3 utterances kept, 12 left out"
    assert lines[1] == "  u0: the transcript is empty" and lines[-1] == "  … and 2 more"


@pytest.mark.parametrize(
    "change",
    [{"id": "x"}, {"duration": 1.26}, {"text": "hallo"}, {"speaker": "bob"}, {"language": "de"}, {"start": 0.5}],
)
def test_checksum_notices_every_change(change: dict[str, Any]) -> None:
    assert checksum([utterance()]) != checksum([utterance(**change)])


def test_checksum_survives_a_round_trip_and_a_move(tmp_path: Path) -> None:
    written = [utterance("a", duration=1.23456), utterance("b", start=0.123456)]
    write_manifest(tmp_path / "m.jsonl", written)
    assert checksum(read_manifest(tmp_path / "m.jsonl")) == checksum(written)
    assert checksum([utterance("a", audio="/elsewhere/a.wav")]) == checksum([utterance("a")])
    assert checksum(written) != checksum(written[::-1])


def test_by_speaker() -> None:
    groups = by_speaker([utterance("1", speaker="bob"), utterance("2"), utterance("3", speaker="bob")])
    assert list(groups) == ["ann", "bob"]
    assert [entry.id for entry in groups["bob"]] == ["1", "3"]


def test_names_that_cannot_name_a_head_are_those_of_torch() -> None:
    names = {name for name in dir(nn.ModuleDict) if names_language(name)}
    assert {name for name in names if len(name) <= 3} == TAKEN
    for name in ("to", "cpu", "keys"):
        with pytest.raises(DataError, match=f"its language '{name}' is not a code"):
            manifest_text("m.jsonl", [utterance(language=name)])
