"""What is wrong with a setting within settings that may be left out is told in one sentence, with its whole name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adapting import run

SAID = {
    ("--speaker_adaptive.kind", "flim"): "`speaker_adaptive.kind` is 'flim', which it cannot be; it takes lhuc, "
    "speaker-code, film.",
    ("--meta.way", "foo"): "`meta.way` is 'foo', which it cannot be; it takes fomaml, reptile.",
    ("--speaker_adaptive.code", "0"): "`speaker_adaptive.code` must be at least 1, got 0.",
    ("--speaker_adaptive.share", "2"): "`speaker_adaptive.share` must be from 0 to 1, got 2.0.",
    ("--subwords.pieces", "0"): "`subwords.pieces` must be at least 1, got 0.",
    ("--meta.steps", "x"): "`meta.steps` must be a whole number, got 'x'.",
    ("--meta.inner_rate", "x"): "`meta.inner_rate` must be a number, got 'x'.",
    ("--meta.learn_rates", "x"): "`meta.learn_rates` must be true or false, got 'x'.",
    ("--speaker_adaptive.shar", "0.5"): "`speaker_adaptive.shar` is not known.",
    ("--speaker_adaptive", "film"): "`speaker_adaptive` is made of several settings and takes no value of its own; "
    "give one of them, such as --speaker_adaptive.…",
    ("--trainer.steps", "x"): "`trainer.steps` must be a whole number, got 'x'.",
    ("--alpha", "x"): "`alpha` must be a number, got 'x'.",
    ("--units_of", "x"): "`units_of` must be a mapping, such as {en: characters}, got 'x'.",
}  # fmt: skip


def test_of_a_file_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text, sentence in (
        ("meta: [1]", "`meta` is made of several settings and takes no value of its own"),
        ("meta: {steps: 0}", "`meta.steps` must be at least 1, got 0."),
        ("speaker_adaptive: {kind: flim}", "`speaker_adaptive.kind` is 'flim', which it cannot be"),
    ):
        (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
        assert run("train", "--config", tmp_path / "c.yaml", "--train", "x", "--out", tmp_path / "y") in (1, 2)
        said = capsys.readouterr().err
        assert said.startswith(f"asr-transfer: {sentence}") and said.count("\n") == 1


@pytest.mark.parametrize("given", SAID, ids=" ".join)
def test_it_is_told_in_one_sentence(given: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "--train", "x", "--out", "y", *given) in (1, 2)
    said = capsys.readouterr().err
    assert said.startswith(f"asr-transfer: {SAID[given]}") and said.count("\n") == 1
