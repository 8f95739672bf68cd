"""The adventure game's data file: a small one written byte by byte, and the real one where it was fetched."""

from __future__ import annotations

import io
import struct
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_transfer import audio
from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import DataError
from data_prep import queen
from data_prep.fetch import data_folder
from data_prep.queen_format import DataFile

Lines = Sequence[tuple[int, str]]


def mp3(seconds: float, seed: int = 0) -> bytes:
    if "MP3" not in soundfile.available_formats():
        pytest.skip("this libsndfile cannot write MP3")
    buffer = io.BytesIO()
    noise = np.random.default_rng(seed).uniform(-0.1, 0.1, round(seconds * 11_025))
    soundfile.write(buffer, noise, 11_025, format="MP3")
    return buffer.getvalue()


def text(value: str, align: int, at: int) -> bytes:
    """Return a length byte and the text; its end is padded where the whole file's offset is no multiple of `align`."""
    raw = bytes([len(value)]) + value.encode("cp437")
    return raw + b"\0" * (-(at + len(raw)) % align if value else 0)


def lines_block(lines: Lines, at: int) -> bytes:
    block = b""
    for number, line in lines:
        block += struct.pack(">2xH", number)
        block += text(line, 4, at + len(block))
    return block


def dialogue(key: int, partner: Lines, joe: Lines, again: tuple[str, str] = ("", ""), levels: int = 1) -> bytes:
    """Return a `.DOG` resource; Joe's first line has number 0 where it is his greeting."""
    head_size = 32 + abs(levels) * 96
    joe_block = lines_block(joe, head_size)
    partner_at = head_size + len(joe_block)
    partner_block = lines_block(partner, partner_at)
    again_at = partner_at + len(partner_block)
    again_block = text(again[0], 2, again_at)
    again_block += text(again[1], 2, again_at + len(again_block))
    head = struct.pack(">5h", levels, 1, key, len(joe), len(partner)) + bytes(12)
    head += struct.pack(">3H", partner_at, 0, again_at)
    return b"AMOS header, 20 byte" + head.ljust(head_size, b"\0") + joe_block + partner_block + again_block


def data_file(path: Path, resources: dict[str, bytes], version: bytes = b"CEM10\0", compression: int = 1) -> Path:
    head = b"QTBL" + version + b"\0\0" + bytes([compression])
    offset = len(head) + 2 + 21 * len(resources)
    table = struct.pack(">H", len(resources))
    for name, content in sorted(resources.items()):
        table += struct.pack(">12sBII", name.encode(), 1, offset, len(content))
        offset += len(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + table + b"".join(content for _, content in sorted(resources.items())))
    return path


@pytest.fixture
def game(tmp_path: Path) -> Path:
    """Return a folder with a game of five dialogues."""
    long = mp3(4.0)
    resources = {
        "BOB1.DOG": dialogue(
            6,
            [(0x1F, "Howdy*02 I trade,*XY00(237,112)believe it or not.*14"), (0x2A, "Never said aloud.")],
            [(0, "Hello, Bob!*03"), (0x1F, 'What\'s a "rocket"?*FL')],
            again=("You again...", "Sorry!"),
        ),
        "BOB2.DOG": dialogue(7, [(1, "It's 24 hours."), (2, "<gulp>")], [(9, "Hello, Bob!")], levels=-2),
        "WITCH3.DOG": dialogue(8, [(1, "Stir it well.")], [(0x1F, "Yes."), (0x1F, "Unreachable."), (0x20, "No.")]),
        "APE.DOG": dialogue(9, [(1, "Unga unga!")], []),
        "MAN2.DOG": dialogue(10, [(1, "Ernie Wilkins, that's me.")], []),
        "QUEEN.JAS": b"other data",
    }
    sounds = ["06001FP1", "06001FP2", "06001FP3", "06SSSSJ1", "06001FJ1", "06XXXXP1", "06XXXXJ1"]
    sounds += ["070001P1", "070002P1", "070009J1", "080001P1", "08001FJ1", "090001P1", "100001P1", "C1A__011"]
    resources |= {f"{sound}.SB": mp3(1.0, seed) for seed, sound in enumerate(sounds)}
    resources |= {"080020J1.SB": long, "06XXXXJ1.SB": b"not MP3"}
    data_file(tmp_path / "game/usr/share/queen.1c", resources)
    return tmp_path / "game"


def test_clips_and_their_texts(game: Path) -> None:
    clips = {clip.sound: (clip.dialogue, clip.who, clip.text) for clip in DataFile(queen._find(game)).clips()}
    assert {sound: entry for sound, entry in clips.items() if sound.startswith("06")} == {
        "06001FP1": ("BOB1", "P", "Howdy"),
        "06001FP2": ("BOB1", "P", "I trade,"),
        "06001FP3": ("BOB1", "P", "believe it or not."),
        "06SSSSJ1": ("BOB1", "J", "Hello, Bob!"),
        "06001FJ1": ("BOB1", "J", 'What\'s a "rocket"?'),
        "06XXXXP1": ("BOB1", "P", "You again..."),
        "06XXXXJ1": ("BOB1", "J", "Sorry!"),
    }, "a line without a sound (2A) and a sound without a line (C1A__01) are no clips"
    assert clips["08001FJ1"][2] == "Yes.", "of two lines with one number the first is played"
    assert len(clips) == 15


def test_queen(tmp_path: Path, game: Path) -> None:
    queen.prepare(game, tmp_path / "out")
    splits = {split: read_manifest(tmp_path / "out" / f"{split}.jsonl") for split in ("train", "dev", "test")}
    assert {(u.id, u.speaker, u.text) for u in splits["train"]} == {
        ("06SSSSJ1", "joe", "hello bob"),
        ("06001FJ1", "joe", "what's a rocket"),
        ("070009J1", "joe", "hello bob"),
        ("08001FJ1", "joe", "yes"),
        ("100001P1", "ernie", "ernie wilkins that's me"),
    }
    assert [(u.id, u.speaker, u.text) for u in splits["dev"]] == [("080001P1", "witch-doctor", "stir it well")]
    assert [(u.speaker, u.text) for u in splits["test"]] == [
        ("trader-bob", "howdy"),
        ("trader-bob", "i trade"),
        ("trader-bob", "believe it or not"),
        ("trader-bob", "you again"),
    ]
    one = splits["test"][0]
    info = audio.probe(one.audio)
    assert Path(one.audio) == tmp_path / "out/audio/trader-bob/06001FP1.flac"
    assert (info.sample_rate, info.channels) == (16_000, 1)
    assert one.duration == pytest.approx(info.duration, abs=1e-3) and info.duration == pytest.approx(1.0, abs=0.15)


def test_queen_says_what_is_left_out_and_why(tmp_path: Path, game: Path, capsys: pytest.CaptureFixture[str]) -> None:
    queen.prepare(game, tmp_path / "out")
    printed = capsys.readouterr().out
    assert "fewer than 2 characters per second: the recording holds more than its text: 080020J1" in printed
    assert "an ape's noises and mock language: 090001P1" in printed
    assert "the text holds digits or symbols, whose reading is not known: 070001P1" in printed
    assert "the text describes a sound: 070002P1" in printed
    assert "06XXXXJ1.SB: is no audio but text" in printed


def test_texts_in_two_splits_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sounds = ("060001P1", "060002P1", "060001J1", "070001P1")
    resources = {
        "BOB1.DOG": dialogue(6, [(1, "Hello!"), (2, "Bye.")], [(1, "Hello.")]),
        "WITCH1.DOG": dialogue(7, [(1, "Bye!")], []),
        **{f"{name}.SB": mp3(1.0, seed) for seed, name in enumerate(sounds)},
    }
    queen.prepare(data_file(tmp_path / "queen.1c", resources), tmp_path / "out")
    printed = capsys.readouterr().out
    assert "test: 1 of its 2 utterances have a text that train has too" in printed
    assert "test: 1 of its 2 utterances have a text that dev has too" in printed
    assert "dev: 1 of" not in printed


def test_no_actor_is_in_two_splits_and_every_character_has_one() -> None:
    roles = [role for cast in queen.ACTORS.values() for role in cast]
    assert len(roles) == len(set(roles))
    assert set(roles) == {*queen.CHARACTERS.values(), queen.HERO} - {"tall-pygmy"}, "the tall pygmy has no sounds"
    assert set(queen.SPLIT_OF_ACTOR) <= set(queen.ACTORS)
    split_of_role = {role: queen.split_of(role) for role in roles}
    assert Counter(split_of_role.values()) == {"train": 20, "dev": 3, "test": 8}
    for cast in queen.ACTORS.values():
        assert len({split_of_role[role] for role in cast}) == 1


def test_other_files_are_refused(tmp_path: Path, game: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no queen\.1c; get the game with `asr-transfer fetch queen`"):
        queen.prepare(tmp_path / "empty", tmp_path / "out")
    file = tmp_path / "queen.1c"
    for content, message in (
        (b"RIFF" * 10, "is not the compressed data file"),
        (b"", "is not the compressed data file"),
        (b"QTBLCEM10\0\0\0\x01\x00\x05abc", "is cut off in its table"),
    ):
        file.write_bytes(content)
        with pytest.raises(DataError, match=message):
            queen.prepare(file, tmp_path / "out")
    for version, compression in ((b"CGM10\0", 1), (b"CEM10\0", 0)):
        with pytest.raises(DataError, match="the English CD version with compressed speech is needed"):
            queen.prepare(data_file(file, {}, version, compression), tmp_path / "out")
    whole = queen._find(game).read_bytes()
    file.write_bytes(whole[:-100])
    with pytest.raises(DataError, match="is cut off before its resource"):
        queen.prepare(file, tmp_path / "out")
    with pytest.raises(DataError, match=r"the dialogue BOB1\.DOG in it is damaged"):
        queen.prepare(data_file(file, {"BOB1.DOG": dialogue(6, [(1, "Hello!")], [])[:60]}), tmp_path / "out")
    strange = {"EVE1.DOG": dialogue(6, [(1, "Hello!")], []), "060001P1.SB": b"x"}
    with pytest.raises(DataError, match=r"holds the dialogue EVE1\.DOG, which is none of the original game's"):
        queen.prepare(data_file(file, strange), tmp_path / "out")


def test_real_queen() -> None:
    root = data_folder() / "queen"
    if not root.is_dir():
        pytest.skip("the game is absent: fetch it with `asr-transfer fetch queen`")
    data = DataFile(queen._find(root))
    clips = data.clips()
    assert len(clips) == 3_983
    seconds: Counter[str] = Counter()
    for clip in clips:
        seconds[queen.character_of(clip)] += len(data.read(f"{clip.sound}.SB"))
    assert len(seconds) == 31, "30 partners who have sounds, and Joe"
    assert seconds.most_common(1)[0][0] == "joe"
