"""Hot words as sherpa-onnx reads them are refused by name, with what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.decoding.hot_words import HotWords
from asr_transfer.errors import DataError


@pytest.mark.parametrize(
    ("line", "told", "instead"),
    [
        ("turn off :2.0", "':2.0' is its score", "`turn off`"),
        ("lamp :1", "':1' is its score", "`lamp`"),
        ("lamp #0.4", "'#0.4' is its threshold", "`lamp`"),
        ("▁HE LL O ▁WORLD :1.5 #0.4 @HELLO_WORLD", "'@HELLO_WORLD' is its name of the phrase", "`HELLO WORLD`"),
        ("▁HE LL O", "`▁` begins its words", "`HELLO`"),
        ("lamp\t:2.0", "':2.0' is its score", "`lamp`"),
    ],
)
def test_its_marks_are_named(tmp_path: Path, line: str, told: str, instead: str) -> None:
    file = tmp_path / "hot.txt"
    file.write_text(f"# names\nkettle\t2\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        HotWords.read(file)
    message = str(caught.value)
    assert message.startswith(f"{file} line 3: is written as sherpa-onnx reads hot words (")
    assert told in message and f"write {instead} here" in message


def test_words_with_such_marks_inside_stay(tmp_path: Path) -> None:
    file = tmp_path / "hot.txt"
    file.write_text("half:past\nc# sharp\n", encoding="utf-8")
    assert [word.text for word in HotWords.read(file).words] == ["half:past", "c# sharp"]
