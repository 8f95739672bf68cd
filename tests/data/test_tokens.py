"""Tokens spell texts, refuse what they cannot spell, and come back from their file as they were."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from asr_transfer.data.tokens import BLANK, SPACE, Tokens, frames_needed
from asr_transfer.errors import DataError

TEXTS = ["so  it goes", "l'été", "你好 吗", "a#b"]


@pytest.mark.parametrize("units", ["characters", "words"])
def test_texts_come_back_with_single_spaces(units: str, tmp_path: Path) -> None:
    tokens = Tokens.from_texts(TEXTS, units)  # type: ignore[arg-type]
    tokens.save(tmp_path / "tokens.txt")
    again = Tokens.load(tmp_path / "tokens.txt")
    assert again == tokens
    for text in TEXTS:
        assert again.decode(tokens.encode(text)) == " ".join(text.split())
    assert 0 not in tokens.encode(TEXTS[0])
    assert tokens.symbols[0] == BLANK
    assert len(tokens) == len(tokens.symbols)
    assert tokens.symbols[1:] == sorted(tokens.symbols[1:])


def test_blanks_are_skipped_and_equality_needs_equal_units() -> None:
    tokens = Tokens(["a", " ", "b"])
    assert tokens.decode([0, 1, 0, 2, 2, 3, 0]) == "a b"
    assert tokens.decode([2, 2]) == ""
    assert Tokens(["a"], "characters") != Tokens(["a"], "words")


def test_what_cannot_be_spelled_is_named() -> None:
    with pytest.raises(DataError, match="utterance 'u1': '1', 'é' cannot be spelled by the model's characters"):
        Tokens(["a"]).encode("aé1", "utterance 'u1'")
    with pytest.raises(DataError, match="'yes' cannot be spelled by the model's words"):
        Tokens(["no"], "words").encode("no yes")


def test_symbols_are_distinct_and_not_reserved() -> None:
    with pytest.raises(DataError, match="twice"):
        Tokens(["a", "a"])
    for reserved in (BLANK, SPACE, "", "a\nb"):
        with pytest.raises(DataError, match="cannot be a token"):
            Tokens(["a", reserved], "words")
    with pytest.raises(DataError, match="no symbols"):
        Tokens.from_texts(["", "  "])


@pytest.mark.parametrize(
    "content", [b"", b"a\nb\n", b"# units: letters\n<blank>\na\n", b"# units: words\na\nb\n", b"\xff\xfe\n"]
)
def test_a_file_that_is_no_token_file_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "tokens.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"tokens\.txt: is not a token file"):
        Tokens.load(tmp_path / "tokens.txt")


def test_a_missing_or_doubled_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"tokens\.txt: the token file is missing"):
        Tokens.load(tmp_path / "tokens.txt")
    (tmp_path / "tokens.txt").write_text("# units: words\n<blank>\na\na\n")
    with pytest.raises(DataError, match=r"tokens\.txt.*twice"):
        Tokens.load(tmp_path / "tokens.txt")


@pytest.mark.parametrize("label", [[1], [1, 1], [1, 2], [1, 1, 1], [2, 1, 1, 2], [1, 2, 1, 2]])
def test_frames_needed_is_the_shortest_that_ctc_can_spell(label: list[int]) -> None:
    def spelled(frames: int) -> bool:
        paths = itertools.product(range(3), repeat=frames)
        return any([token for token, _ in itertools.groupby(path) if token] == label for path in paths)

    shortest = next(frames for frames in range(1, 8) if spelled(frames))
    assert frames_needed(label) == shortest
    for frames in (shortest - 1, shortest):
        if frames:
            log_probs = torch.zeros(frames, 1, 3).log_softmax(-1)
            loss = torch.nn.functional.ctc_loss(log_probs, torch.tensor([label]), [frames], [len(label)])
            assert bool(torch.isfinite(loss)) == (frames >= shortest)
