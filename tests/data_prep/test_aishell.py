"""Mandarin sentences: the official splits are kept, on a made-up tree and the real one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import DataError
from data_prep import aishell
from tests.recorded import MakeAudio, distinct


@pytest.fixture
def make_audio(make_audio: MakeAudio) -> MakeAudio:
    return distinct(make_audio)


@pytest.fixture
def corpus_tree(tmp_path: Path, make_audio: MakeAudio) -> Path:
    root = tmp_path / "data_aishell"
    for name in ("train/S0002/A1", "train/S0002/A2", "train/S0002/A3", "dev/S0724/B1", "test/S0764/C1"):
        make_audio(root / f"wav/{name}.wav", seconds=1.5)
    (root / "transcript").mkdir()
    (root / aishell.TRANSCRIPT).write_text(
        "A1 而 对 楼市\nA2 用 ａｐｐ 看\nB1 中国 银行\nC1 中国 银行\nZ9 多余\n", encoding="utf-8"
    )
    return root


def test_aishell_keeps_its_official_splits(
    tmp_path: Path, corpus_tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    aishell.prepare(tmp_path, tmp_path / "out")
    found = {s: read_manifest(tmp_path / "out" / f"{s}.jsonl") for s in ("train", "dev", "test")}
    assert {s: [(u.id, u.text, u.speaker, u.pronunciation) for u in utterances] for s, utterances in found.items()} == {
        "train": [("A1", "而对楼市", "S0002", "er2 d uei4 l ou2 sh i4")],
        "dev": [("B1", "中国银行", "S0724", "zh ong1 g uo2 in2 h ang2")],
        "test": [("C1", "中国银行", "S0764", "zh ong1 g uo2 in2 h ang2")],
    }
    printed = capsys.readouterr().out
    assert "the text holds letters of another script: A2" in printed and "it has no transcript: A3" in printed


def test_aishell_says_what_is_missing(tmp_path: Path, corpus_tree: Path) -> None:
    (corpus_tree / "wav/dev/S0724/B1.wav").unlink()
    with pytest.raises(DataError, match=r"dev: holds no recording SPEAKER/ID.wav; unpack the archives that lie in"):
        aishell.prepare(corpus_tree, tmp_path / "out")
    (corpus_tree / aishell.TRANSCRIPT).write_text("A1 而\nA2\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"v0\.8\.txt line 2: holds no transcript behind the id"):
        aishell.prepare(corpus_tree, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: holds neither .* nor recordings with a .txt beside each"):
        aishell.prepare(tmp_path / "empty", tmp_path / "out")


def test_real_sentences(corpus: Callable[[str], Path], tmp_path: Path) -> None:
    aishell.prepare(corpus("aishell-sample"), tmp_path)
    splits = [read_manifest(tmp_path / f"{split}.jsonl") for split in ("train", "dev", "test")]
    assert [len(split) for split in splits] == [204, 42, 107]
    texts = [{u.text for u in split} for split in splits]
    assert not (texts[0] & texts[1] or texts[0] & texts[2] or texts[1] & texts[2])
    assert {u.speaker for split in splits for u in split} == {"S0150"}
