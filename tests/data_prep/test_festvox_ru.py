"""A Russian voice: a made-up tree, and the real package where it was fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import DataError
from data_prep import festvox_ru
from data_prep.fetch import data_folder
from tests.prepared import left_out
from tests.recorded import MakeAudio, distinct


@pytest.fixture
def make_audio(make_audio: MakeAudio) -> MakeAudio:
    return distinct(make_audio)


SENTENCES = {
    "ru_0001": "Она завела, прядь волнистых вол+ос!",
    "ru_0002": "Да.",
    "ru_0003": "Нет, спасибо.",
    "ru_0004": "Один",
    "ru_0005": "Два",
    "ru_0006": "Три",
    "ru_0007": "Четыре",
    "ru_0008": "Пять",
    "ru_0009": "Комната 5",
    "ru_0010": "Без меток",
    "ru_0011": "Без звука",
}


@pytest.fixture
def voice(tmp_path: Path, make_audio: MakeAudio) -> Path:
    folder = tmp_path / "unpacked/usr/share/festival/voice"
    for part in ("etc", "lab"):
        (folder / part).mkdir(parents=True)
    lines = [f'( {name} "{text}" )\n' for name, text in SENTENCES.items()]
    (folder / "etc/txt.done.data").write_text("".join(lines), encoding="utf-8")
    for name in SENTENCES:
        if name != "ru_0011":
            make_audio(folder / f"wav/{name}.wav", seconds=2.0)
        if name != "ru_0010":
            (folder / f"lab/{name}.lab").write_text("#\n0.3 125 pau\n0.5 125 tt\n0.75 125 aa\n2.0 125 pau\n")
    return folder


def test_festvox(tmp_path: Path, voice: Path, capsys: pytest.CaptureFixture[str]) -> None:
    festvox_ru.prepare(tmp_path / "unpacked", tmp_path / "out")
    found = {s: read_manifest(tmp_path / "out" / f"{s}.jsonl") for s in ("train", "dev", "test")}
    utterances = {u.id: u for split in found.values() for u in split}
    assert set(utterances) == set(SENTENCES) - {"ru_0009", "ru_0010", "ru_0011"}
    first = utterances["ru_0001"]
    assert (first.text, first.speaker, first.language) == ("она завела прядь волнистых волос", "nsh", "ru")
    assert first.phones == (("pau", 0.0, 0.3), ("tt", 0.3, 0.5), ("aa", 0.5, 0.75), ("pau", 0.75, 2.0))
    assert first.pronunciation == "tt aa"
    printed = capsys.readouterr().out
    assert left_out(printed, "no phone labels belong to it") == {"ru_0010"}
    assert left_out(printed, "no recording belongs to it") == {"ru_0011"}
    assert left_out(printed, "the text holds digits or symbols, whose reading is not known") == {"ru_0009"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("#\n0.3 125 pau\nx 125 tt\n", r"ru_0001.lab line 3: is not `END 125 PHONE`"),
        ("#\n0.3 125\n", r"ru_0001.lab line 2: is not `END 125 PHONE`"),
        ("#\n0.3 125 pau\n0.2 125 tt\n", r"ru_0001.lab line 3: ends at 0.2 s, before it begins"),
    ],
)
def test_festvox_damaged_labels(tmp_path: Path, voice: Path, content: str, message: str) -> None:
    (voice / "lab/ru_0001.lab").write_text(content)
    with pytest.raises(DataError, match=message):
        festvox_ru.prepare(voice, tmp_path / "out")


def test_festvox_wrong_folder(tmp_path: Path, voice: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: holds no `etc/txt.done.data` beside `wav`; get the voice with"):
        festvox_ru.prepare(tmp_path / "empty", tmp_path / "out")
    (voice / "etc/txt.done.data").write_text('( ru_0001 "Да." )\nru_0002 Нет\n', encoding="utf-8")
    with pytest.raises(DataError, match=r'txt.done.data line 2: is not `\( ID "text" \)`'):
        festvox_ru.prepare(voice, tmp_path / "out")


def test_real_festvox(tmp_path: Path) -> None:
    root = data_folder() / "festvox-ru"
    if not root.is_dir():
        pytest.skip("the voice is absent: fetch it with `asr-transfer fetch festvox-ru`")
    festvox_ru.prepare(root, tmp_path)
    splits = [read_manifest(tmp_path / f"{split}.jsonl") for split in ("train", "dev", "test")]
    assert [len(split) for split in splits] == [443, 57, 120]
    # A label may end one frame of 25 ms beyond its recording.
    assert all(u.phones and abs(u.phones[-1][2] - u.duration) < 0.1 for split in splits for u in split)
