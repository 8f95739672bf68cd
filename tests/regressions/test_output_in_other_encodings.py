"""Terminals that are not UTF-8, and names that are not: nothing ends in an encoding's error, no report is lost."""

from __future__ import annotations

import io
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_transfer.cli import main
from asr_transfer.data.manifest import Utterance, checksum, read_manifest, write_manifest
from asr_transfer.evaluation.listing import embedded
from asr_transfer.evaluation.scoring import Hypothesis, write_scores
from tests.tones import make_speaker

NAME = os.fsdecode(b"caf\xe9")
"""A name that is not UTF-8."""


class Terminal:
    """The standard output and error of a terminal with another encoding."""

    def __init__(self, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._out, self._err = (io.TextIOWrapper(io.BytesIO(), encoding, write_through=True) for _ in range(2))
        monkeypatch.setattr(sys, "stdout", self._out)
        monkeypatch.setattr(sys, "stderr", self._err)

    def read(self) -> tuple[str, str]:
        """Return what was printed."""
        return tuple(  # type: ignore[return-value]
            stream.buffer.getvalue().decode(stream.encoding)  # type: ignore[attr-defined]
            for stream in (self._out, self._err)
        )


def _texts(folder: Path, **texts: str) -> list[Path]:
    made = []
    for name, text in texts.items():
        made.append(folder / f"{name}.txt")
        made[-1].write_text(text, encoding="utf-8")
    return made


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1251", "utf-8"])
def test_a_comparison_is_printed_and_written(encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = "u1 привет мир\nu2 a b\n"
    ref, hyp, same = _texts(tmp_path, ref=whole, hyp="u1 привет\nu2 b\n", same=whole)
    terminal = Terminal(encoding, monkeypatch)
    assert main(["compare", f"{ref},{hyp}", f"{ref},{same}", "--out", str(tmp_path / "out")]) == 0
    out, err = terminal.read()
    assert "report.html: written" in out and "Lowest" in out
    assert "привет" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    if encoding == "ascii":
        assert "-" in out and "\\u2212" not in out, "signs of our own have similar ones in every encoding"
        assert err == ""


@pytest.mark.parametrize(("encoding", "escaped"), [("ascii", True), ("latin-1", True), ("utf-8", False)])
def test_letters_that_the_terminal_lacks_are_escaped_and_said_to_be(
    encoding: str, escaped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lexicon,) = _texts(tmp_path, lexicon="мир\tm i r\n")
    terminal = Terminal(encoding, monkeypatch)
    assert main(["lexicon", "show", str(lexicon), "мир"]) == 0
    out, err = terminal.read()
    assert ("\\u043c\\u0438\\u0440" if escaped else "мир") in out and "m i r" in out
    assert (f"is in {encoding}, which lacks some letters" in err) == escaped


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_recordings_whose_names_are_not_utf8_are_left_out_by_name(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(1).uniform(-0.2, 0.2, 16_000)
    for name in ("good", "привет", NAME):
        file = tmp_path / "in" / f"{name}.wav"
        file.parent.mkdir(exist_ok=True)
        with open(os.fsencode(file), "wb") as out:
            soundfile.write(out, noise, 16_000, format="WAV")
        file.with_suffix(".txt").write_text("hello", encoding="utf-8")
    terminal = Terminal(encoding, monkeypatch)
    assert main(["prepare", "folder", "--root", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    out, _ = terminal.read()
    assert "2 utterances" in out and "its name is not UTF-8; rename it" in out and "caf\\xe9.wav" in out
    assert [u.id for u in read_manifest(tmp_path / "out" / "all.jsonl")] == ["good", "привет"]


def test_every_file_takes_names_that_are_not_utf8(tmp_path: Path) -> None:
    utterance = Utterance(NAME, str(tmp_path / f"{NAME}.wav"), 1.0, "a b", NAME, "en")
    write_manifest(tmp_path / "m.jsonl", [utterance])
    assert json.loads((tmp_path / "m.jsonl").read_text(encoding="utf-8"))["audio_filepath"] == f"{NAME}.wav"
    (again,) = read_manifest(tmp_path / "m.jsonl")
    assert again == utterance, "JSON gives the very name back"
    assert checksum([again])
    write_scores(tmp_path, [Hypothesis(NAME, NAME, "en", "a b", "a")])
    assert json.loads((tmp_path / "hypotheses.jsonl").read_text(encoding="utf-8"))["id"] == NAME
    assert "a b" in (tmp_path / "scores.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_folders_whose_names_are_not_utf8(
    encoding: str, tone_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / NAME
    made = make_speaker(tmp_path / "made", "kim", 1.0, 2, seed=3)
    (tmp_path / "made").rename(folder)
    utterances = [replace(u, audio=u.audio.replace(str(tmp_path / "made"), str(folder))) for u in made]
    write_manifest(folder / "m.jsonl", utterances)
    terminal = Terminal(encoding, monkeypatch)
    out = folder / "run"
    assert main(["evaluate", "--model", str(tone_run), "--data", str(folder / "m.jsonl"), "--out", str(out)]) == 0
    assert main(["transcribe", "--model", str(tone_run), utterances[0].audio]) == 0
    assert main(["transcribe", "--model", str(tone_run), str(folder / "gone.wav")]) == 1
    assert main(["compare", str(out), "--out", str(folder / "report")]) == 0
    assert main(["show", str(out)]) == 0
    printed, told = terminal.read()
    assert "caf\\xe9" in printed and "caf\\xe9/gone.wav: there is no such" in told.replace("\\udce9", "\\xe9")
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert record["data"]["test"]["path"] == str(folder / "m.jsonl")
    assert (folder / "report" / "report.html").is_file()


def test_a_run_whose_own_name_is_not_utf8_can_be_reported(tone_run: Path, tmp_path: Path) -> None:
    for name in (NAME, "other"):
        (tmp_path / name).mkdir()
        for file in ("run.json", "hypotheses.jsonl"):
            (tmp_path / name / file).write_bytes((tone_run / file).read_bytes())
    assert main(["compare", str(tmp_path / NAME), str(tmp_path / "other"), "--out", str(tmp_path / "report")]) == 0
    assert "caf\\udce9" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8").replace("\\\\", "\\")
    assert (tmp_path / "report" / "report.html").read_text(encoding="utf-8").count("caf") > 0


def test_half_characters_do_not_reach_a_page() -> None:
    assert json.loads(embedded({"said": "x \ud800\udcff y"})) == {"said": "x \ufffd\ufffd y"}
