"""An option that takes one of a few names refused others in the parser's own words, with its types."""

from __future__ import annotations

import pytest

from asr_transfer.cli import main

TRAIN = ["train", "--train", "x.jsonl", "--out", "y"]
ADAPT = ["adapt", "--model", "m", "--data", "d", "--out", "o"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*TRAIN, "--speaker_profiles", "zz"],
         "`speaker_profiles` is 'zz', which it cannot be; it takes lhuc, lin, lora."),
        ([*ADAPT, "--settings.labels", "zz"], "`settings.labels` is 'zz', which it cannot be; it takes plain, suta."),
        (["transcribe", "--model", "m", "--online_profile", "wrap", "a.wav"],
         "`online_profile` is 'wrap', which it cannot be; it takes warp, film, adabn."),
    ],
)  # fmt: skip
def test_the_names_that_it_takes_are_told(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) != 0
    printed = capsys.readouterr().err.strip()
    assert printed.endswith(said) and "typing" not in printed and "\n" not in printed
