"""Common Voice's clips are found whatever they were converted to and however the table names them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from asr_transfer.data.manifest import read_manifest
from data_prep import commonvoice

MakeAudio = Callable[..., Path]


@pytest.mark.parametrize(("named", "there"), [
    (".mp3", ".wav"), (".mp3", ".flac"), (".mp3", ".mp3"), (".wav", ".wav"), (".flac", ".flac"), ("", ".wav"),
    ("", ".mp3"), (".mp3", ".ogg"), (".wav", ".mp3"),
])  # fmt: skip
def test_found_by_stem(tmp_path: Path, make_audio: MakeAudio, named: str, there: str) -> None:
    root = tmp_path / "tr"
    for number, split in enumerate(("train", "dev", "test")):
        make_audio(root / "clips" / f"cv.v1_{number}{there}", seconds=1.0, level=0.1 + 0.02 * number)
        row = f"c{number}\tcv.v1_{number}{named}\tmerhaba dunya {split}"
        (root / f"{split}.tsv").write_text(f"client_id\tpath\tsentence\n{row}\n")
    commonvoice.prepare(root, tmp_path / "out")
    found = [read_manifest(tmp_path / "out" / f"{split}.jsonl")[0] for split in ("train", "dev", "test")]
    assert [(u.id, Path(u.audio).name) for u in found] == [(f"cv.v1_{n}", f"cv.v1_{n}{there}") for n in range(3)]


def test_the_clip_that_is_named_goes_before_others(tmp_path: Path, make_audio: MakeAudio) -> None:
    root = tmp_path / "tr"
    for number, split in enumerate(("train", "dev", "test")):
        for suffix in (".wav", ".mp3"):
            make_audio(root / "clips" / f"{number}{suffix}", seconds=1.0, level=0.1 + 0.02 * number)
        (root / f"{split}.tsv").write_text(f"client_id\tpath\tsentence\nc\t{number}.mp3\tmerhaba {split}\n")
    commonvoice.prepare(root, tmp_path / "out")
    assert Path(read_manifest(tmp_path / "out" / "train.jsonl")[0].audio).name == "0.mp3"
