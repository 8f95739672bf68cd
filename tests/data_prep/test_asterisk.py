"""Prompts of a telephone exchange: a made-up tree, and the real packages where they were fetched."""

from __future__ import annotations

import gzip
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import ConfigError, DataError
from data_prep import asterisk
from data_prep.by_text import split_of
from data_prep.fetch import data_folder
from tests.prepared import left_out

av = pytest.importorskip("av", reason="the extra `g722` is not installed")


TEXTS = """; Prompts
activated: Activated.

digits/1: one
digits/2: two
digits/3: three
digits/4: four
digits/5: five
digits/6: seven
auth: Password  incorrect!
thanks: Thank you; good-bye.
and: a
beep: [this is a tone]
letters/at: at [@]
letters/a: a
spy: You use IAX now
spelled: M I S D N
menu: Press 1 now
foreign: Это
empty-file: Hello
missing-file: Never recorded
"""


def make_g722(path: Path, seconds: float = 1.0, hertz: float | None = None) -> np.ndarray:
    """Write a tone, by default of a pitch of the file's own, as raw G.722 and return its samples."""
    hertz = 300.0 + zlib.crc32(path.name.encode()) % 2000 if hertz is None else hertz
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = (8000 * np.sin(2 * np.pi * hertz * np.arange(round(16_000 * seconds)) / 16_000)).astype(np.int16)
    with av.open(str(path), "w", format="g722") as container:
        stream = container.add_stream("g722", rate=16_000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.rate = 16_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return samples


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    root = tmp_path / "unpacked"
    folder = root / "usr/share/asterisk/sounds/en_US_f_Allison"
    for line in TEXTS.splitlines():
        name = line.partition(":")[0]
        if line and not line.startswith(";") and name != "missing-file":
            make_g722(folder / f"{name}.g722", seconds=1.5)
    make_g722(folder / "unnamed.g722")
    make_g722(folder.parent / "es_MX_f_Allison/activated.g722")
    (folder / "empty-file.g722").write_bytes(b"")
    notes = root / "usr/share/doc/core-sounds-en.txt.gz"
    notes.parent.mkdir(parents=True)
    notes.write_bytes(gzip.compress(("\ufeff\ufeff" + TEXTS).encode()))
    return root


def test_decoding_gives_back_the_tone(tmp_path: Path) -> None:
    original = make_g722(tmp_path / "tone.g722", seconds=1.0, hertz=1000.0)
    decoded = asterisk.decode(tmp_path / "tone.g722")
    assert decoded.dtype == np.int16 and len(decoded) == 2 * (tmp_path / "tone.g722").stat().st_size
    spectrum = np.abs(np.fft.rfft(decoded[:16_000].astype(float)))
    assert int(spectrum.argmax()) == 1000, "one bin is one hertz at 16 kHz"
    # The codec delays by some samples; at the right shift it is close to the original.
    middle = original[4000:8000].astype(float)
    best = max(np.corrcoef(middle, decoded[4000 + lag : 8000 + lag].astype(float))[0, 1] for lag in range(40))
    assert best > 0.99


def test_asterisk(tmp_path: Path, prompts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Another variety, whose sounds and texts lie beside these.
    make_g722(prompts / "usr/share/asterisk/sounds/en_GB_f_Other/activated.g722")
    (prompts / "usr/share/doc/core-sounds-en_GB.txt").write_text("activated: Activated\n", encoding="utf-8")
    asterisk.prepare(prompts, tmp_path / "out", language="en")
    found = {s: read_manifest(tmp_path / "out" / f"{s}.jsonl") for s in ("train", "dev", "test")}
    texts = {u.id: u.text for utterances in found.values() for u in utterances}
    assert texts == {
        "asterisk-en/activated": "activated",
        **{
            f"asterisk-en/digits/{n}": word
            for n, word in enumerate(("one", "two", "three", "four", "five", "seven"), start=1)
        },
        "asterisk-en/auth": "password incorrect",
        "asterisk-en/thanks": "thank you good bye",
        "asterisk-en/and": "a",
    }
    assert all(split_of(u.text) == split for split, utterances in found.items() for u in utterances)
    first = next(u for utterances in found.values() for u in utterances if u.id == "asterisk-en/digits/1")
    assert Path(first.audio) == tmp_path / "out/audio/digits/1.flac" and (first.speaker, first.language) == (
        "asterisk-allison", "en",
    )  # fmt: skip
    samples, rate = soundfile.read(first.audio)
    assert rate == 16_000 and len(samples) == pytest.approx(24_000, abs=400)
    printed = capsys.readouterr().out
    for reason, name in {
        "the text describes a sound": "beep",
        "the text holds brackets or strokes, whose reading is not known": "letters/at",
        "the text is a letter, whose name is said": "letters/a",
        "the text holds an abbreviation, whose reading is not known": "spelled, spy",
        "the text holds digits or symbols, whose reading is not known": "menu",
        "the text holds letters of another script": "foreign",
        "no text belongs to it": "unnamed",
    }.items():
        assert left_out(printed, reason) >= set(name.split(", ")), reason
    assert "empty-file.g722: the audio has zero length" in printed


def test_asterisk_says_what_is_missing(tmp_path: Path, prompts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"no speech in 'fr'; get the sounds with .* asterisk-fr`, or take .* en\."):
        asterisk.prepare(prompts, tmp_path / "out", language="fr")
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "core-sounds-en.txt").write_text("activated: Activated.\nno colon\n")
    with pytest.raises(DataError, match=r"core-sounds-en.txt line 2: is not `NAME: text`"):
        asterisk.prepare(bare, tmp_path / "out")
    (bare / "core-sounds-en.txt").write_text("activated: Activated.\n")
    with pytest.raises(DataError, match=r"bare: holds no .g722 file of 'en'"):
        asterisk.prepare(bare, tmp_path / "out")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ConfigError, match=r"`av` is not installed; install it with: pip install .*\[g722\]"):
        asterisk.prepare(prompts, tmp_path / "out")


@pytest.mark.parametrize(("language", "sizes"), [("it", (322, 56, 87)), ("ru", (337, 47, 101))])
def test_real_asterisk(tmp_path: Path, language: str, sizes: tuple[int, int, int]) -> None:
    root = data_folder() / f"asterisk-{language}"
    if not root.is_dir():
        pytest.skip(f"the prompts are absent: fetch them with `asr-transfer fetch asterisk-{language}`")
    asterisk.prepare(root, tmp_path, language=language)
    splits = [read_manifest(tmp_path / f"{split}.jsonl") for split in ("train", "dev", "test")]
    assert tuple(len(split) for split in splits) == sizes
    texts = [{u.text for u in split} for split in splits]
    assert not (texts[0] & texts[1] or texts[0] & texts[2] or texts[1] & texts[2])
