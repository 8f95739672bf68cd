"""A run that cannot begin makes no folder, and with `--overwrite` leaves the run that stands there as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asr_transfer.cli import main

SMALL = ["--model.layers", "1", "--model.dim", "8", "--model.channels", "8", "--trainer.steps", "1",
         "--trainer.validate_every", "0", "--trainer.precision", "fp32", "--speeds", "[1.0]"]  # fmt: skip


def changed(manifest: Path, target: Path, **changes: object) -> Path:
    """Write a manifest whose first utterance is another, with recordings where they were."""
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row["audio_filepath"] = str(manifest.parent / row["audio_filepath"])
    rows[0] |= {"id": "odd", **changes}
    target.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return target


@pytest.fixture
def standing(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    (run / "run.json").write_text('{"format": 1, "status": "finished"}')
    (run / "model" / "weights").write_text("hours of work")
    return run


@pytest.mark.parametrize(("part", "changes", "options", "message"), [
    ("train", {"audio_filepath": "DAMAGED"}, [], "damaged.wav: is no audio"),
    ("dev", {"audio_filepath": "DAMAGED"}, [], "damaged.wav: is no audio"),
    ("test", {"audio_filepath": "DAMAGED"}, [], "damaged.wav: is no audio"),
    ("train", {"audio_filepath": "/missing.wav"}, [], "there is no such audio file"),
    ("train", {"duration": 900.0}, [], "is asked for but the file lasts"),
    ("dev", {"text": "?"}, [], "'?'"),
    ("train", {}, ["--model.units", "phones"], "has no `pronunciation`"),
    ("train", {}, ["--model.encoder", "conformer", "--model.dim", "6"], "`model.dim` must be a multiple"),
])  # fmt: skip
def test_nothing_is_made_or_replaced(
    tmp_path: Path,
    tone_corpus: dict[str, Path],
    standing: Path,
    capsys: pytest.CaptureFixture[str],
    part: str,
    changes: dict[str, object],
    options: list[str],
    message: str,
) -> None:
    (tmp_path / "damaged.wav").write_bytes(b"RIFF, says a server")
    changes = {k: str(tmp_path / "damaged.wav") if v == "DAMAGED" else v for k, v in changes.items()}
    odd = changed(tone_corpus[part], tmp_path / "odd.jsonl", **changes)
    given = {"train": tone_corpus["train"], part: odd}
    command = ["train", *SMALL, *options, *(word for name, path in given.items() for word in (f"--{name}", str(path)))]
    for place, more in ((tmp_path / "new", []), (standing, ["--overwrite"])):
        assert main([*command, "--out", str(place), *more]) == 1
        told = capsys.readouterr().err
        assert message in told and told.count("\n") == 1, told
    assert not (tmp_path / "new").exists()
    assert (standing / "model" / "weights").read_text() == "hours of work"
    assert sorted(path.name for path in standing.iterdir()) == ["model", "run.json"]
