"""The puzzle game's dialogues: a small made-up tree, and the real packages where they were fetched."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import DataError
from data_prep import fillets
from data_prep.fetch import data_folder
from tests.recorded import MakeAudio, distinct


@pytest.fixture
def make_audio(make_audio: MakeAudio) -> MakeAudio:
    return distinct(make_audio)


TEXTS = {
    "airplane/dialogs_cs.lua": """
        dialogId("let-m-divna", "font_small", "What kind of ship is that?")
        dialogStr("Co je to za \\"divnou\\" loď?")

        dialogId("let-v-oko", "font_big", "An eye.")
        dialogStr("Vidíš to oko?\\nTo oko...")
        -- dialogId("let-v-stary", "font_big", "Old.")
        -- dialogStr("Starý.")
        dialogId("let-v-tu154", "font_big", "A Tu 154.")
        dialogStr("To je Tu 154.")
        dialogId("motor", "", "")
        dialogId("let-x-socha", "font_statue", "Well...")
        dialogStr("Ale no tak.")
        dialogId("let-v-ticho", "font_big", "Silence.")
        dialogStr("...")
        dialogId("let-v-pozor", "font_big", "Wait.")
        dialogStr("Čekej, подожди.")
    """,
    "airplane/dialogs_nl.lua": """
        dialogId("let-m-divna", "font_small", "What kind of ship is that?")
        dialogStr("Wat is dit?")
    """,
    "share/bore_dialogs_cs.lua": """
        dialogId("ob-v-jit0", "font_big", "There must be a way!")
        dialogStr("Musí to nějak jít.")
    """,
    "fdto/dialogs_cs.lua": """
        dialogId("ted-m", "font_small", "Now!")
        dialogStr("Teď hned!")
    """,
}


@pytest.fixture
def game(tmp_path: Path, make_audio: MakeAudio) -> Path:
    root = tmp_path / "unpacked" / "usr/share/games/fillets-ng"
    for name, content in TEXTS.items():
        file = root / "script" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    keys = ("m-divna", "v-oko", "v-stary", "v-tu154", "x-socha", "v-ticho", "v-pozor")
    for key in keys:
        make_audio(root / f"sound/airplane/cs/let-{key}.ogg", seconds=1.5, rate=22_050)
    make_audio(root / "sound/share/borejokes/cs/ob-v-jit0.ogg", seconds=1.5, rate=22_050)
    make_audio(root / "sound/fdto/cs/ted-m.ogg", seconds=1.0, rate=44_100, channels=2)
    make_audio(root / "sound/airplane/nl/let-m-divna.ogg", seconds=1.5, rate=22_050)
    make_audio(root / "sound/share/noises/splash.ogg")
    return tmp_path / "unpacked"


@pytest.fixture
def dev_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Choose the share of `dev` so that the level of shared jokes is in it and the airplane is not."""
    jokes, plane = (zlib.crc32(level.encode()) for level in ("share/borejokes", "airplane"))
    monkeypatch.setattr(fillets, "DEV_SHARE", next(n for n in range(2, 10**6) if jokes % n == 0 and plane % n != 0))


@pytest.mark.usefixtures("dev_is_shared")
def test_fillets(tmp_path: Path, game: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fillets.prepare(game, tmp_path / "out")
    splits = {split: read_manifest(tmp_path / "out" / f"{split}.jsonl") for split in ("train", "dev", "test", "others")}
    found = {split: [(u.id, u.speaker, u.text, u.language) for u in splits[split]] for split in splits}
    assert found == {
        "train": [("fillets-cs/airplane/let-v-oko", "big", "vidíš to oko to oko", "cs")],
        "dev": [("fillets-cs/share/borejokes/ob-v-jit0", "big", "musí to nějak jít", "cs")],
        "test": [("fillets-cs/airplane/let-m-divna", "small", "co je to za divnou loď", "cs")],
        "others": [
            ("fillets-cs/airplane/let-x-socha", "statue", "ale no tak", "cs"),
            ("fillets-cs/fdto/ted-m", "small-later", "teď hned", "cs"),
        ],
    }
    assert splits["train"][0].duration == pytest.approx(1.5, abs=0.01)
    printed = capsys.readouterr().out
    assert "the text holds digits or symbols, whose reading is not known: fillets-cs/airplane/let-v-tu154" in printed
    assert "no text belongs to it: fillets-cs/airplane/let-v-stary" in printed, "what is commented out is no text"
    assert "the transcript is empty: fillets-cs/airplane/let-v-ticho" in printed
    assert "the text holds letters of another script: fillets-cs/airplane/let-v-pozor" in printed


def test_the_other_language_has_its_own_texts_and_sounds(tmp_path: Path, game: Path) -> None:
    with pytest.raises(DataError, match="split 'train' holds no utterances"):
        fillets.prepare(game, tmp_path / "out", language="nl")
    texts = fillets._read_texts(fillets._find(game) / "script", "nl")
    assert texts == {("airplane", "let-m-divna"): ("small", "wat is dit")}


def test_fillets_wrong_folder(tmp_path: Path, game: Path) -> None:
    with pytest.raises(DataError, match=r"none: there is no such folder; give the folder that holds the game's"):
        fillets.prepare(tmp_path / "none", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: holds no game with `script` and `sound`"):
        fillets.prepare(tmp_path / "empty", tmp_path / "out")
    for file in game.rglob("cs/*.ogg"):
        file.unlink()
    with pytest.raises(DataError, match=r"no speech in 'cs'; get the game with .*fetch fillets-cs`, or take .* nl\."):
        fillets.prepare(game, tmp_path / "out")
    for file in game.rglob("*_nl.lua"):
        file.unlink()
    with pytest.raises(DataError, match=r"holds no speech \(`sound/\*/cs…`\); get the game with .*fetch fillets-cs"):
        fillets.prepare(game, tmp_path / "out")
    for file in game.rglob("*_cs.lua"):
        file.unlink()
    with pytest.raises(DataError, match=r"holds no texts \(`script/\*/dialogs_cs…`\)"):
        fillets.prepare(game, tmp_path / "out")


@pytest.mark.parametrize(("language", "sizes"), [("cs", (557, 91, 702)), ("nl", (682, 90, 825))])
def test_real_fillets(tmp_path: Path, language: str, sizes: tuple[int, int, int]) -> None:
    root = data_folder() / f"fillets-{language}"
    if not root.is_dir():
        pytest.skip(f"the game is absent: fetch it with `asr-transfer fetch fillets-{language}`")
    fillets.prepare(root, tmp_path, language=language)
    splits = [read_manifest(tmp_path / f"{split}.jsonl") for split in ("train", "dev", "test")]
    assert tuple(len(split) for split in splits) == sizes
    assert [{u.speaker for u in split} for split in splits] == [{"big"}, {"big"}, {"small"}]
    assert 75 < sum(u.duration for split in splits for u in split) / 60 < 100
