"""Files of options that are none: each is refused in one sentence, of commands and recipes alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from asr_transfer.cli import main, script


@dataclass(frozen=True)
class Settings:
    """A recipe of one option.

    Attributes:
        steps: Number of steps.
    """

    steps: int = 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"steps: 5\n# caf\xe9\n", "line 2: is not UTF-8 text (byte 14 is 0xe9); save it as UTF-8"),
        ("steps: 5\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
        (bytes(range(128, 256)) * 4, "line 1: is not UTF-8 text"),
        (b"steps: 5\nmore: [1\n", "line 3: is not YAML (expected ',' or ']'"),
        (b"a: 1\nb: x\0y\n", "line 2: is not YAML (special characters are not allowed)"),
        (b"a:\n\t- 1\n", "line 2: is not YAML"),
        (b"", "holds no options; write them as `name: value`"),
        (b"- 1\n- 2\n", "holds no options"),
        (b"just text\n", "holds no options"),
        (b"[" * 500, "is not YAML"),
        (b"steps: 1\nother: 2\nsteps: 3\n", "line 3: `steps` stands on line 1 already; remove one of them"),
        (None, "is a folder; give a YAML file of options"),
    ],
)
def test_each_is_refused_in_one_sentence(
    data: bytes | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "options.yaml"
    file.mkdir() if data is None else file.write_bytes(data)
    for run in (
        lambda: main(["train", "--config", str(file), "--train", "a.jsonl", "--out", str(tmp_path / "out")]),
        lambda: script(Settings, lambda settings: None, [f"--config={file}"]),
    ):
        status = run()
        error = capsys.readouterr().err
        assert status == 1 and f"--config {file}" in error and message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_missing_one_is_named_and_a_good_one_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    got: list[Settings] = []
    assert script(Settings, got.append, ["--config", str(tmp_path / "gone.yaml")]) == 1
    assert "gone.yaml: there is no such file; give a YAML file of options" in capsys.readouterr().err
    for number, data in enumerate((b"steps: 7\n", b"\xef\xbb\xbfsteps: 7\r\n")):
        (tmp_path / f"{number}.yaml").write_bytes(data)
        assert script(Settings, got.append, ["--config", str(tmp_path / f"{number}.yaml")]) == 0
    assert got == [Settings(7), Settings(7)]


def test_no_arguments_at_all_are_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "subcommand" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("trainer: 5", "an option has a value of another type"),
        ("trainer: {steps: null}", "`trainer.steps` must be a whole number of at least 1, got None"),
    ],
)
def test_values_that_no_option_takes(text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text(text)
    out = ["--train", "a.jsonl", "--out", str(tmp_path / "out")]
    assert main(["train", "--config", str(tmp_path / "c.yaml"), *out]) == 1
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
