"""A user's own folder to a manifest: texts beside recordings, tables of every make, and what is left out and why."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import soundfile

from asr_transfer import decoder
from asr_transfer.cli import main
from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import DataError
from asr_transfer.remarks import held_back, remark
from data_prep import folder, recordings

MakeAudio = Callable[..., Path]

NEEDS_DECODER = ".m4a needs a decoder; install it with `pip install asr-transfer[g722]`, or convert to WAV or FLAC"


def texts(folder_: Path, **options: object) -> dict[str, str]:
    return {one.id: one.text for one in folder.read_folder(folder_, **options)}  # type: ignore[arg-type]


def dropped(folder_: Path, **options: object) -> dict[str, str]:
    return dict(folder.scan_folder(folder_, **options)[1].dropped)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".wav", ".WAV", ".flac", ".ogg", ".opus", ".mp3"])
def test_folder_with_a_text_beside_each_recording(tmp_path: Path, make_audio: MakeAudio, suffix: str) -> None:
    make_audio(tmp_path / f"one{suffix}")
    (tmp_path / "one.txt").write_bytes("\ufeffHello,\r\n  World!\r\n".encode())
    make_audio(tmp_path / "sub" / f"two.1{suffix}")
    (tmp_path / "sub" / "two.1.txt").write_text("Café", encoding="utf-8")
    found = folder.read_folder(tmp_path, speaker="ann", language="fr")
    assert [(one.id, one.text, one.speaker, one.language) for one in found] == [
        ("one", "hello, world!", "ann", "fr"),
        ("sub/two.1", "café", "ann", "fr"),
    ]
    assert found[0].duration == pytest.approx(0.5, abs=0.1)
    assert texts(tmp_path, case="kept") == {"one": "Hello, World!", "sub/two.1": "Café"}


def test_folder_prepare_writes_what_read_folder_returns(tmp_path: Path, make_audio: MakeAudio) -> None:
    make_audio(tmp_path / "in" / "a.wav")
    (tmp_path / "in" / "a.txt").write_text("A b")
    folder.prepare(tmp_path / "in", tmp_path / "out", speaker="ann", lowercase=False)
    assert read_manifest(tmp_path / "out" / "all.jsonl") == folder.read_folder(
        tmp_path / "in", speaker="ann", case="kept"
    )


def test_recordings_without_transcript_get_a_manifest_of_their_own(
    tmp_path: Path, make_audio: MakeAudio, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    for name in ("a.wav", "a.flac", "b.wav", "sub/c.wav", "empty.wav"):
        make_audio(root / name)
    make_audio(root / "still.wav", level=1e-4)
    (root / "t.tsv").write_text("file\ttext\tspeaker\na.wav\thello\tbob\nempty.wav\t\teve\n")
    folder.prepare(root, out, speaker="ann", language="fr")
    assert [u.id for u in read_manifest(out / "all.jsonl")] == ["a"]
    found = read_manifest(out / "unlabelled.jsonl", labelled=False)
    assert {(u.id, u.text, u.speaker, u.language) for u in found} == {
        ("a.flac", "", "ann", "fr"), ("b", "", "ann", "fr"), ("sub/c", "", "ann", "fr"), ("empty", "", "eve", "fr"),
    }  # fmt: skip
    assert all(u.duration == pytest.approx(0.5, abs=0.05) and Path(u.audio).is_file() for u in found)
    printed = capsys.readouterr().out
    assert "all: 1 utterance, 1 speaker, 0.0 minutes, 0 left out" in printed and "no transcript belongs" not in printed
    assert "unlabelled: 4 utterances, 2 speakers, 0.0 minutes, 1 left out" in printed
    assert "left out, holds no speech" in printed and "still.wav" in printed
    assert f"{out / 'unlabelled.jsonl'}: recordings without transcript" in printed
    # Once everything is transcribed, nothing of it stays.
    for name in ("a.flac", "still.wav", "b.wav"):
        (root / name).unlink()
    (root / "t.tsv").write_text("file\ttext\na.wav\thello\nempty.wav\tone\nc.wav\ttwo\n")
    folder.prepare(root, out)
    assert [u.id for u in read_manifest(out / "all.jsonl")] == ["a", "empty", "sub/c"]
    assert [path.name for path in out.iterdir()] == ["all.jsonl"] and "unlabelled" not in capsys.readouterr().out


def test_an_id_of_the_table_is_not_given_to_a_recording_without_transcript(
    tmp_path: Path, make_audio: MakeAudio
) -> None:
    for name in ("a.wav", "b.wav"):
        make_audio(tmp_path / "in" / name)
    (tmp_path / "in" / "t.csv").write_text("id,file,text\nb,a.wav,hello\n")
    folder.prepare(tmp_path / "in", tmp_path / "out")
    assert [u.id for u in read_manifest(tmp_path / "out" / "unlabelled.jsonl", labelled=False)] == ["b.wav"]


def test_folder_reports_what_has_no_counterpart(
    tmp_path: Path, make_audio: MakeAudio, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder, "available", lambda: False)
    for name in ("good.wav", "lonely.wav", "good.mp3", "blank.wav", "._good.wav"):
        make_audio(tmp_path / name)
    (tmp_path / "phone.m4a").write_bytes(b"any")
    for name in ("good", "orphan", "phone", "._orphan"):
        (tmp_path / f"{name}.txt").write_text("hello")
    (tmp_path / "blank.txt").write_text("\n")
    reasons = dropped(tmp_path)
    assert reasons.pop("blank.wav").startswith("its transcript is empty")
    assert reasons == {
        "lonely.wav": "no transcript belongs to it",
        "orphan.txt": "no recording belongs to it",
        "phone.m4a": NEEDS_DECODER,
        "good.wav": "good.mp3 has the same name and transcript",
    }
    assert capsys.readouterr().out == ""
    assert list(texts(tmp_path)) == ["good"]
    printed = capsys.readouterr().out
    assert "1 kept, 5 left out" in printed and "no transcript belongs to it: lonely.wav" in printed


def test_folder_leaves_out_broken_and_silent_recordings(tmp_path: Path, make_audio: MakeAudio) -> None:
    make_audio(tmp_path / "good.wav")
    make_audio(tmp_path / "faint.wav", level=0.02)
    make_audio(tmp_path / "hiss.wav", level=0.001)
    make_audio(tmp_path / "slow.wav", rate=4_000)
    make_audio(tmp_path / "brief.wav", seconds=0.01)
    soundfile.write(tmp_path / "zeros.wav", np.zeros(8_000), 16_000)
    soundfile.write(tmp_path / "offset.wav", np.full(8_000, 0.25), 16_000)
    (tmp_path / "letter.wav").write_text("no audio at all")
    for file in list(tmp_path.glob("*.wav")):
        file.with_suffix(".txt").write_text("hello")
    reasons = dropped(tmp_path)
    assert list(texts(tmp_path)) == ["faint", "good"]
    assert reasons["hiss.wav"] == "holds no speech: peak level -60 dBFS"
    assert reasons["zeros.wav"] == reasons["offset.wav"] == "holds no speech: peak level -inf dBFS"
    assert "4000 Hz is too low" in reasons["slow.wav"]
    assert "shorter than one analysis window" in reasons["brief.wav"]
    assert "is no audio but text" in reasons["letter.wav"]


TABLES = {
    "tab.tsv": 'path\tsentence\tup_votes\na.wav\t"Well," he said\t2\nsub/b.wav\t"a ""quoted"" cell"\t0\n',
    "comma.csv": 'File,Text\na.wav,"""Well,"" he said"\nsub/b.wav,"a ""quoted""\ncell"\n',
    "semicolon.csv": '\ufeffaudio_filepath;text\r\na.wav;"""Well,"" he said"\r\n\r\nsub\\b.wav;a "quoted" cell\r\n',
    "bar.csv": 'file_name|text\na|"""Well,"" he said"\nb|a "quoted" cell\n',
    "bare.tsv": 'a.wav\t"Well," he said\nb.wav\ta "quoted" cell\n',
    "bare.csv": 'a.wav,"""Well,"" he said"\n./sub/b.wav,a "quoted" cell\n',
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("outside", [False, True])
def test_folder_with_a_table(tmp_path: Path, make_audio: MakeAudio, name: str, outside: bool) -> None:
    root = tmp_path / "speech"
    make_audio(root / "a.wav")
    make_audio(root / "sub" / "b.wav")
    table = (tmp_path if outside else root) / name
    table.write_bytes(TABLES[name].encode())
    assert texts(root, transcripts=table if outside else None) == {"a": '"well," he said', "sub/b": 'a "quoted" cell'}


def test_table_may_give_speaker_language_and_id(tmp_path: Path, make_audio: MakeAudio) -> None:
    for name in ("a.wav", "b.wav", "a.flac"):
        make_audio(tmp_path / name)
    (tmp_path / "t.csv").write_text(
        "id,Client_ID,locale,path,text\nx1,bob,de,a.wav,eins\n,,,b.wav,zwei\n,,,a.flac,drei\n"
    )
    found = folder.read_folder(tmp_path, speaker="ann", language="fr")
    assert [(one.id, one.speaker, one.language, one.text) for one in found] == [
        ("x1", "bob", "de", "eins"),
        ("b", "ann", "fr", "zwei"),
        ("a.flac", "ann", "fr", "drei"),
    ]


def test_table_reports_what_has_no_counterpart(
    tmp_path: Path, make_audio: MakeAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder, "available", lambda: False)
    for name in ("a.wav", "s1/c.wav", "s2/c.wav", "other.wav"):
        make_audio(tmp_path / name)
    (tmp_path / "d.m4a").write_bytes(b"any")
    rows = [
        "file,text",
        "a.wav,one",
        "gone.wav,two",
        "c.wav,three",
        "s3/c.wav,four",
        "d.m4a,five",
        "x" * 5_000 + ",six",
    ]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    reasons = dropped(tmp_path)
    assert reasons.pop("x" * 5_000 + " (line 7)") == "there is no such recording"
    assert reasons == {
        "d.m4a": NEEDS_DECODER,
        "gone.wav (line 3)": "there is no such recording",
        "c.wav (line 4)": "2 recordings are called so; give the path below the folder",
        "s3/c.wav (line 5)": "there is no such recording",
        "other.wav": "no transcript belongs to it",
        "s1/c.wav": "no transcript belongs to it",
        "s2/c.wav": "no transcript belongs to it",
    }


def test_table_prefers_the_exact_path_and_finds_recordings_beside_itself(tmp_path: Path, make_audio: MakeAudio) -> None:
    for name in ("root/a.wav", "root/sub/a.wav", "else/b.wav"):
        make_audio(tmp_path / name)
    (tmp_path / "else" / "t.csv").write_text("file,text\na.wav,one\nb.wav,two\n")
    found = folder.read_folder(tmp_path / "root", transcripts=tmp_path / "else" / "t.csv")
    assert [one.id for one in found] == ["a", "../else/b"]
    assert [one.audio for one in found] == [str(tmp_path / "root" / "a.wav"), str(tmp_path / "else" / "b.wav")]


def test_accents_match_in_whichever_form_they_are_written(tmp_path: Path, make_audio: MakeAudio) -> None:
    make_audio(tmp_path / f"{unicodedata.normalize('NFD', 'café')}.wav")
    (tmp_path / "t.csv").write_text(f"file,text\ncafé.wav,{unicodedata.normalize('NFD', 'Été')}\n", encoding="utf-8")
    assert texts(tmp_path) == {"café": "été"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"t\.csv: is empty; write the columns"),
        ("fil,text\na.wav,one\n", r"t\.csv line 1: names no columns for recording and text; begin the table"),
        ("file,path,text\n", r"line 1: the columns 'file' and 'path' both give the file"),
        ("file,text\na.wav,one, two\n", r"line 2: has 3 columns where the first line has 2; put text"),
        ('file,text\na.wav,"one\ntwo"\nb.wav\n', r"line 4: has 1 columns where the first line has 2"),
        ("file,text\n,one\n", r"line 2: names no recording"),
        ('file,text\n\na.wav,"one\nb.wav,two\n', r"line 3: is not proper CSV \(.*\); check its quotation marks"),
        ("file,text\na.wav,one\na.wav,two\n", r"line 3: the recording 'a\.wav' is already on line 2"),
        ("file,text\na.wav,one\na,two\n", r"line 3: the recording 'a' is already on line 2"),
        ("id,file,text\nx,a.wav,one\nx,b.wav,two\n", r"line 3: the id 'x' is already on line 2"),
        ("id,file,text\nb,a.wav,one\n,b.wav,two\n", r"line 3: the id 'b' is also that of .*t\.csv line 2"),
        ("file,text\na.wav,caf\udce9\n", r"line 2: is not UTF-8 text \(byte 19 is 0xe9\); save it as UTF-8"),
        ("file,text\na.wav,one\0\n", r"line 2: is not UTF-8 text"),
    ],
)
def test_broken_table(tmp_path: Path, make_audio: MakeAudio, content: str, message: str) -> None:
    for name in ("a.wav", "b.wav"):
        make_audio(tmp_path / name)
    (tmp_path / "t.csv").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=message):
        folder.read_folder(tmp_path)


def test_old_line_ends_are_lines(tmp_path: Path, make_audio: MakeAudio) -> None:
    make_audio(tmp_path / "a.wav")
    (tmp_path / "t.csv").write_bytes(b"file,text\ra.wav,one\r")
    assert texts(tmp_path) == {"a": "one"}


def test_which_transcripts_are_meant_must_be_clear(tmp_path: Path, make_audio: MakeAudio) -> None:
    make_audio(tmp_path / "a.wav")
    (tmp_path / "a.txt").write_text("from the text")
    (tmp_path / "t1.csv").write_text("file,text\na.wav,from the table\n")
    with pytest.raises(DataError, match=r"holds t1\.csv and also \.txt files beside recordings; name the table"):
        folder.read_folder(tmp_path)
    (tmp_path / "t2.tsv").write_text("")
    with pytest.raises(DataError, match=r"holds several tables \(t1\.csv, t2\.tsv\); name the one"):
        folder.read_folder(tmp_path)
    assert texts(tmp_path, transcripts=tmp_path / "t1.csv") == {"a": "from the table"}
    with pytest.raises(DataError, match=r"t9\.csv: there is no such table of transcripts; correct `--transcripts`"):
        folder.read_folder(tmp_path, transcripts=tmp_path / "t9.csv")


def test_folder_with_nothing_usable(tmp_path: Path, make_audio: MakeAudio) -> None:
    with pytest.raises(DataError, match=r"there is no such folder; give the folder that holds the recordings"):
        folder.read_folder(tmp_path / "none")
    with pytest.raises(DataError, match=r"holds no recording \(\.wav, .*\); put WAV or FLAC files there"):
        folder.read_folder(tmp_path)
    make_audio(tmp_path / "a.wav")
    with pytest.raises(DataError, match=r"no recording can be used; put .*\n  left out, no transcript .*: a\.wav"):
        folder.read_folder(tmp_path)
    with pytest.raises(DataError, match=r"a\.wav: is a file, not a folder"):
        folder.read_folder(tmp_path / "a.wav")


def test_real_mandarin_folder(corpus: Callable[[str], Path]) -> None:
    """AISHELL's sample is laid out as an ordinary user's folder is: a text beside each recording."""
    utterances, report = folder.scan_folder(corpus("aishell-sample") / "S0150", speaker="S0150", language="zh")
    assert (len(utterances), report.dropped) == (380, [])
    assert all(one.text and one.speaker == "S0150" and one.language == "zh" for one in utterances)


def test_any_number_of_workers_writes_and_says_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some recordings are broken, some silent, some remarkable; whoever is done first must not show."""
    monkeypatch.setattr(recordings, "_AT_ONCE", 2)
    monkeypatch.setattr(recordings, "_SMALL", 0)
    root, noise = tmp_path / "in", np.random.default_rng(0)
    root.mkdir()
    for number in range(24):
        samples = 0.1 * noise.standard_normal(8000 + 4000 * (number % 5)) * (number % 7 > 0)
        both = np.stack([samples, -samples], axis=1) if number % 4 == 1 else samples  # cancel each other
        soundfile.write(root / f"{number:02d}.wav", both, 16000)
        if number % 3:
            (root / f"{number:02d}.txt").write_text(f"text {number}")
    for number in (4, 9):
        (root / f"{number:02d}.wav").write_bytes(b"RIFF")
    found = []
    for workers in (1, 2, 5):
        out = tmp_path / "out"
        assert main(["prepare", "folder", "--root", str(root), "--out", str(out), "--workers", str(workers)]) == 0
        found.append(({file.name: file.read_bytes() for file in sorted(out.iterdir())}, capsys.readouterr().out))
    assert found[0] == found[1] == found[2]
    assert set(found[0][0]) == {"all.jsonl", "unlabelled.jsonl"} and "the channels cancel each other" in found[0][1]


def test_remarks_come_in_the_order_of_the_recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first recording takes longest."""
    files = [tmp_path / f"{number}.wav" for number in range(4)]

    def slow(file: Path) -> tuple[None, float]:
        time.sleep(0.05 * (file == files[0]))
        for reason in ("first", "second"):
            remark(reason, str(file))
        return None, float(file.stem)

    monkeypatch.setattr(recordings, "listen", slow)
    monkeypatch.setattr(recordings, "_AT_ONCE", 1)
    with held_back() as made:
        assert recordings.listen_to_all(files, workers=4) == [(None, float(number)) for number in range(4)]
    assert [(one.files[0], one.reason) for one in made] == [(str(f), r) for f in files for r in ("first", "second")]


def test_short_recordings_are_listened_to_by_one_thread(
    tmp_path: Path, make_audio: MakeAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    short, long = (make_audio(tmp_path / f"{seconds}.wav", seconds) for seconds in (0.5, 2.0))

    def refused(workers: int) -> NoReturn:
        raise RuntimeError(f"{workers} threads")

    monkeypatch.setattr(recordings, "ThreadPoolExecutor", refused)
    assert recordings.listen_to_all([short] * 20, workers=2) == [(None, 0.5)] * 20
    with pytest.raises(RuntimeError, match="2 threads"):
        recordings.listen_to_all([long] * 20, workers=2)
