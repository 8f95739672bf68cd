"""Recordings whose header was never finished are read to their end, and it is said; what is cut off is refused."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_transfer import audio
from asr_transfer.cli import main
from asr_transfer.errors import DataError
from asr_transfer.remarks import Remark
from tests.tones import speak

TONES = speak("abba cab", 1.0, 0)


def encoded(container: str = "WAV", subtype: str = "PCM_16", endian: str = "FILE") -> bytes:
    out = io.BytesIO()
    soundfile.write(out, TONES, 16_000, format=container, subtype=subtype, endian=endian)
    return out.getvalue()


def declaring(content: bytes, size: int, order: str = "<") -> bytes:
    """Return a WAV file whose sizes are those of a recorder that did not come back to its header."""
    at = content.index(b"data") + 4
    return content[:4] + bytes(4) + content[8:at] + struct.pack(f"{order}I", size) + content[at + 4 :]


def rf64(size: int) -> bytes:
    content = encoded("RF64")
    at = content.index(b"ds64") + 16
    return content[:at] + struct.pack("<Q", size) + content[at + 8 :]


def aiff(size: int) -> bytes:
    content = encoded("AIFF")
    at = content.index(b"SSND") + 4
    return content[:4] + bytes(4) + content[8:at] + struct.pack(">I", size) + content[at + 4 :]


def au(size: int) -> bytes:
    content = encoded("AU")
    return content[:8] + struct.pack(">I", size) + content[12:]


def caf(size: int) -> bytes:
    content = encoded("CAF")
    at = content.index(b"data") + 4
    return content[:at] + struct.pack(">q", size) + content[at + 8 :]


PLAIN = encoded()
FILLED = PLAIN[:12] + b"FLLR" + struct.pack("<I", 4000) + bytes(4000) + PLAIN[12:]
UNFINISHED = {
    "zero": declaring(PLAIN, 0),
    "zero behind a filler": declaring(FILLED, 0),
    "a quarter": declaring(PLAIN, len(PLAIN) // 4),
    "nine tenths": declaring(PLAIN, len(PLAIN) * 9 // 10 // 2 * 2),
    "placeholder": declaring(PLAIN, 0xFFFFFFFF),
    "placeholder of sox": declaring(PLAIN, 0x7FFFF000),
    "floats": declaring(encoded(subtype="FLOAT"), 0),
    "24 bits": declaring(encoded(subtype="PCM_24"), 0),
    "mu-law": declaring(encoded(subtype="ULAW"), 0),
    "extensible": declaring(encoded("WAVEX"), 0),
    "big endian": declaring(encoded(endian="BIG"), 0, ">"),
    "rf64 zero": rf64(0),
    "rf64 half": rf64(len(TONES)),
    "rf64 placeholder": rf64(2**64 - 1),
    "rf64 without its own chunk": b"RF64" + declaring(PLAIN, 0xFFFFFFFF)[4:],
    "aiff zero": aiff(0),
    "aiff of no samples": aiff(8),
    "aiff half": aiff(len(TONES)),
    "aiff placeholder": aiff(0xFFFFFFFF),
    "au zero": au(0),
    "au half": au(len(TONES)),
    "au placeholder": au(0xFFFFFFFF),
    "caf open": caf(-1),
    "caf zero": caf(0),
    "caf half": caf(len(TONES)),
}


@pytest.mark.parametrize("kind", UNFINISHED)
def test_read_to_the_end_with_a_remark(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.wav").write_bytes(UNFINISHED[kind])
    with pytest.warns(Remark, match=r"a\.wav: the header .*read to the end of the file"):
        assert audio.probe(tmp_path / "a.wav").duration == pytest.approx(len(TONES) / 16_000)
    with pytest.warns(Remark):
        np.testing.assert_allclose(audio.read(tmp_path / "a.wav"), TONES, atol=0.02)
    with pytest.warns(Remark):
        np.testing.assert_allclose(audio.read(tmp_path / "a.wav", 0.3, 0.1), TONES[4_800:6_400], atol=0.02)


TAILS = {
    "chunk": b"LIST" + struct.pack("<I", 5000) + bytes(range(1, 251)) * 20,
    "tag": b"TAG" + bytes(range(1, 126)) * 40,
    "padding": bytes(5000),
    "a few bytes": bytes(range(1, 100)),
}


@pytest.mark.parametrize("kind", TAILS)
def test_what_stands_behind_the_data_is_no_sound(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.wav").write_bytes(PLAIN + TAILS[kind])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(audio.read(tmp_path / "a.wav")) == len(TONES)


@pytest.mark.parametrize("content", [PLAIN, encoded("WAVEX"), encoded(endian="BIG"), encoded("RF64"), encoded("NIST"),
                                     encoded("AIFF"), encoded("AU"), encoded("CAF"), encoded("W64")])  # fmt: skip
def test_what_is_cut_off_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="its header promises .* copy it again"):
        audio.probe(tmp_path / "a.wav")


def test_without_any_sound_it_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(declaring(PLAIN, 0)[:44])
    with pytest.raises(DataError, match="zero length"):
        audio.probe(tmp_path / "a.wav")


def test_commands_say_it_once(tmp_path: Path, tone_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    speech = tmp_path / "speech"
    speech.mkdir()
    for name, kind in (("a", "zero"), ("b", "a quarter"), ("c", "floats")):
        (speech / f"{name}.wav").write_bytes(UNFINISHED[kind])
        (speech / f"{name}.txt").write_text("abba cab")
    assert main(["prepare", "folder", "--root", str(speech), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "all: 3 utterances" in printed
    assert printed.count("the header is unfinished") == 1 and "a.wav" in printed and "c.wav" in printed
    assert main(["transcribe", "--model", str(tone_run), str(speech / "a.wav")]) == 0
    assert capsys.readouterr().err.count("the header is unfinished") == 1
    command = ["evaluate", "--model", str(tone_run), "--data", str(tmp_path / "out" / "all.jsonl"), "--overwrite"]
    for attempt in ("computed", "from the cache"):
        assert main([*command, "--out", str(tmp_path / "run")]) == 0
        assert capsys.readouterr().err.count("the header is unfinished") == 1, attempt
