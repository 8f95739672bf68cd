"""Every ending that the reader knows is known wherever recordings are looked for; the others are decoded by PyAV."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_transfer import audio, decoder
from asr_transfer.errors import DataError
from asr_transfer.remarks import Remark
from data_prep.by_text import recording
from data_prep.folder import read_folder, scan_folder
from data_prep.unlabelled import read_unlabelled
from tests.tones import speak

MakeAudio = Callable[..., Path]
TONES = speak("abba cab", 1.0, 0)
FORMATS = {".aiff": "AIFF", ".AIF": "AIFF", ".aifc": "AIFF", ".au": "AU", ".snd": "AU", ".caf": "CAF", ".w64": "W64",
           ".rf64": "RF64", ".sph": "NIST", ".oga": "OGG", ".wave": "WAV"}  # fmt: skip


def decoded(path: Path, codec: str = "aac", channels: int = 1, container: str | None = None) -> Path:
    """Write tones as what only PyAV reads."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=16_000, layout="mono" if channels == 1 else "stereo")
        samples = np.repeat(TONES[None], channels, axis=0)
        planar = stream.codec_context.format.name.endswith("p") or channels == 1
        values = samples if planar else samples.T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(
            values.astype(np.float32), "fltp" if planar else "flt", "mono" if channels == 1 else "stereo"
        )
        frame.sample_rate = 16_000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            out.mux(packet)
    return path


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_libsndfile_reads_is_found(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"one{suffix}"
    soundfile.write(file, TONES, 16_000, format=FORMATS[suffix])
    file.with_suffix(".txt").write_text("abba cab")
    assert [(u.id, u.text) for u in read_folder(tmp_path)] == [("one", "abba cab")]
    assert [u.id for u in read_unlabelled(tmp_path)] == ["one"]
    assert recording(tmp_path, "one") == (file if suffix.islower() else None)
    (tmp_path / "one.txt").unlink()
    (tmp_path / "t.csv").write_text(f"one{suffix},abba cab\n")
    assert [u.id for u in read_folder(tmp_path)] == ["one"]


@pytest.mark.parametrize(("suffix", "codec", "channels"), [
    (".m4a", "aac", 1), (".m4a", "aac", 2), (".mp4", "aac", 2), (".aac", "aac", 1), (".webm", "libopus", 1),
    (".mka", "aac", 1), (".M4A", "alac", 2),
])  # fmt: skip
def test_what_pyav_reads_is_found_and_decoded(tmp_path: Path, suffix: str, codec: str, channels: int) -> None:
    av = pytest.importorskip("av")
    try:
        av.Codec(codec, "w")
    except ValueError:
        pytest.skip(f"this PyAV cannot write {codec}")
    file = decoded(tmp_path / f"one{suffix}", codec, channels)
    file.with_suffix(".txt").write_text("abba cab")
    (found,) = read_folder(tmp_path)
    assert found.id == "one" and found.duration == pytest.approx(len(TONES) / 16_000, abs=0.2)
    samples = audio.read(file)
    assert len(samples) == pytest.approx(len(TONES), abs=3_200)
    assert samples.std() == pytest.approx(TONES.std(), rel=0.15)
    assert len(audio.read(file, 0.1, 0.2)) == 3_200


def test_the_content_decides_where_the_ending_is_wrong(tmp_path: Path) -> None:
    file = decoded(tmp_path / "one.m4a").rename(tmp_path / "one.wav")
    assert len(audio.read(file)) == pytest.approx(len(TONES), abs=3_200)


def test_without_decoder_installing_it_is_the_mend(
    tmp_path: Path, make_audio: MakeAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded(tmp_path / "phone.m4a")
    make_audio(tmp_path / "other.wav")
    for name in ("phone", "other"):
        (tmp_path / f"{name}.txt").write_text("hello")
    monkeypatch.setattr(decoder, "available", lambda: False)
    reason = r".m4a needs a decoder; install it with `pip install asr-transfer[g722]`, or convert to WAV or FLAC"
    assert scan_folder(tmp_path)[1].dropped == [("phone.m4a", reason)]
    with pytest.raises(DataError, match="m4a needs a decoder; install it with `pip install"):
        audio.probe(tmp_path / "phone.m4a")


def test_flac_out_of_a_pipe_is_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    soundfile.write(tmp_path / "a.flac", TONES, 16_000)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(content)
    with pytest.warns(Remark, match="leaves open how long"):
        np.testing.assert_allclose(audio.read(tmp_path / "a.flac"), TONES, atol=1e-4)
    monkeypatch.setattr(decoder, "available", lambda: False)
    with pytest.raises(DataError, match="leaves open how long it is; install a decoder"):
        audio.probe(tmp_path / "a.flac")


def test_damaged_and_silent_containers_are_refused(tmp_path: Path) -> None:
    file = decoded(tmp_path / "one.m4a")
    content = file.read_bytes()
    (tmp_path / "half.m4a").write_bytes(content[: len(content) // 2])
    (tmp_path / "noise.wma").write_bytes(bytes(range(256)) * 20)
    for name in ("half.m4a", "noise.wma"):
        with pytest.raises(DataError, match=rf"{name}: is not audio that can be decoded \(Invalid data"):
            audio.probe(tmp_path / name)


def test_what_was_converted_goes_before_what_it_was_made_from(tmp_path: Path, make_audio: MakeAudio) -> None:
    decoded(tmp_path / "a.m4a")
    make_audio(tmp_path / "a.wav")
    (tmp_path / "a.txt").write_text("hello")
    assert [Path(u.audio).name for u in read_folder(tmp_path)] == ["a.wav"]
    (tmp_path / "a.txt").unlink()
    (tmp_path / "t.csv").write_text("file,text\na,hello\n")
    assert [Path(u.audio).name for u in read_folder(tmp_path)] == ["a.wav"]
