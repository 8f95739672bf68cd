"""A folder that another command wrote, given as a model, is called by what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.adaptation import keywords, profile
from asr_transfer.cli import main
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ModelError


@pytest.mark.parametrize(
    ("facts", "weights", "words"),
    [
        (profile.FACTS, profile.TENSORS, "is a speaker's profile, not a model; give the model that it was made with."),
        (keywords.FACTS, keywords.TENSORS, "is a set of keywords, not a model; give the model that listens for them."),
    ],
)
def test_profiles_and_keywords_are_told_from_damaged_models(
    facts: str, weights: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / facts).write_text("format: 1\n", encoding="utf-8")
    (tmp_path / weights).write_bytes(b"")
    with pytest.raises(ModelError, match=words):
        Recogniser.load(tmp_path)
    assert main(["transcribe", "--model", str(tmp_path), str(tmp_path / "a.wav")]) == 1
    assert words in capsys.readouterr().err
