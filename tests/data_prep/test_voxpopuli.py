"""VoxPopuli, which a user brings along: a made-up tree of its documented layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.errors import DataError
from data_prep import voxpopuli
from tests.prepared import SPLITS, rows_of, write
from tests.recorded import MakeAudio, distinct


@pytest.fixture
def make_audio(make_audio: MakeAudio) -> MakeAudio:
    return distinct(make_audio)


def test_voxpopuli(tmp_path: Path, make_audio: MakeAudio, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "transcribed_data/cs"
    head = "id\traw_text\tnormalized_text\tspeaker_id\tsplit\tgender"
    for split, speaker in zip(SPLITS, ("28266", "", "None"), strict=True):
        name = f"20120912-0900-PLENARY-9-cs_{split}"
        make_audio(root / f"2012/{name}.ogg", seconds=2.0)
        row = f"{name}\tVážený pane předsedo!\tvážený pane {split}\t{speaker}\t{split}\tmale"
        write(root / f"asr_{split}.tsv", head, row, f"2013-lost\tAno.\tano\t1\t{split}\tmale")
    voxpopuli.prepare(root, tmp_path / "out")
    found = rows_of(tmp_path / "out")
    name = "voxpopuli-cs/20120912-0900-PLENARY-9-cs_train"
    assert found["train"] == [(name, "voxpopuli-28266", "vážený pane train", "cs")]
    assert [found[split][0][1] for split in ("dev", "test")] == ["voxpopuli-cs-unknown"] * 2
    assert "no recording belongs to it: voxpopuli-cs/2013-lost" in capsys.readouterr().out
    write(root / "asr_dev.tsv", head.replace("normalized_text", "text"))
    with pytest.raises(DataError, match=r"asr_dev.tsv line 1: the column 'normalized_text' is missing; restore VoxPop"):
        voxpopuli.prepare(root, tmp_path / "out")
