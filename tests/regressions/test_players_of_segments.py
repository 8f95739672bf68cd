"""A report plays of a recording that holds several utterances the part that is meant."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_transfer.cli import main
from tests.tones import speak

TEXTS = ["abba", "cab", "bad cab"]


@pytest.fixture
def segments(tmp_path: Path) -> Path:
    parts = [speak(text, 1.0, number) for number, text in enumerate(TEXTS)]
    soundfile.write(tmp_path / "long.wav", np.concatenate(parts), 16_000)
    lines, at = [], 0
    for number, (text, part) in enumerate(zip(TEXTS, parts, strict=True)):
        entry = {"id": f"u{number}", "audio_filepath": "long.wav", "duration": len(part) / 16_000, "text": text,
                 "speaker": "s", "language": "en", "offset": at / 16_000}  # fmt: skip
        if not number:  # which NeMo reads as 0
            del entry["offset"]
        lines.append(json.dumps(entry) + "\n")
        at += len(part)
    (tmp_path / "segments.jsonl").write_text("".join(lines))
    return tmp_path / "segments.jsonl"


def seconds(manifest: Path) -> list[tuple[float, float]]:
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    return sorted((row.get("offset", 0.0), row.get("offset", 0.0) + row["duration"]) for row in rows)


def test_players_of_a_run(tmp_path: Path, tone_run: Path, segments: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "report"
    assert main(["evaluate", "--model", str(tone_run), "--data", str(segments), "--out", str(run)]) == 0
    assert main(["compare", str(run), "--out", str(out)]) == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    found = {tuple(map(float, part)) for part in re.findall(r"long\.wav#t=([\d.]+),([\d.]+)", page)}
    assert sorted(found) == [pytest.approx(part, abs=1e-3) for part in seconds(segments)]
    assert main(["compare", str(run), "--out", str(tmp_path / "whole"), "--audio", "embed"]) == 0
    page = (tmp_path / "whole" / "report.html").read_text(encoding="utf-8")
    sounds = {match for match in re.findall(r"data:audio/\w+;base64,([\w+/=]+)", page)}
    lengths = sorted(soundfile.info(io.BytesIO(base64.b64decode(sound))).duration for sound in sounds)
    assert lengths == pytest.approx(sorted(end - begin for begin, end in seconds(segments)), abs=0.2)


def test_players_of_a_manifest_of_nemo(tmp_path: Path, segments: Path) -> None:
    rows = [json.loads(line) for line in segments.read_text().splitlines()]
    told = "".join(json.dumps({**row, "pred_text": row["text"][:-1]}) + "\n" for row in rows)
    (tmp_path / "pred.jsonl").write_text(told.replace('"language": "en", ', "").replace(', "language": "en"', ""))
    assert main(["compare", str(tmp_path / "pred.jsonl"), "--out", str(tmp_path / "report")]) == 0
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    found = {tuple(map(float, part)) for part in re.findall(r"long\.wav#t=([\d.]+),([\d.]+)", page)}
    assert sorted(found) == [pytest.approx(part, abs=1e-3) for part in seconds(segments)]
