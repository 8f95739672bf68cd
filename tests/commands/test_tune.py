"""`asr-transfer tune`: the weights that make the fewest errors on development speech, in a file for other commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from asr_transfer.cli import main
from asr_transfer.commands.tune import TuneCommand, write_tuned
from asr_transfer.data.manifest import read_manifest, write_manifest
from asr_transfer.decoding.settings import SearchConfig
from asr_transfer.decoding.tuning import Trial, Tuned
from asr_transfer.errors import ConfigError
from tests.tones import WORDS, make_speaker


@pytest.fixture
def files(tone_corpus: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """Return a language model and a lexicon of the toy corpus's words, and a list of hot words."""
    lexicon, lm, hot = tmp_path / "words.txt", tmp_path / "lm.arpa", tmp_path / "hot.txt"
    lexicon.write_text("".join(f"{word}\t{' '.join(word)}\n" for word in WORDS), encoding="utf-8")
    assert main(["lm", "make", "--texts", str(tone_corpus["train"]), "--order", "2", "--out", str(lm)]) == 0
    hot.write_text("face\n", encoding="utf-8")
    return {"lexicon": lexicon, "lm": lm, "hot": hot}


def test_what_is_tuned_is_what_evaluate_then_does(
    tone_run: Path,
    tone_corpus: dict[str, Path],
    files: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "tuned.yaml"
    given = ["--lexicon", str(files["lexicon"]), "--lm", str(files["lm"]), "--hotwords", str(files["hot"])]
    data = ["--data", str(tone_corpus["dev"])]
    call = ["tune", "--model", str(tone_run), *data, *given, "--search.beam", "20", "--out", str(out)]
    assert main(call) == 0
    told = capsys.readouterr().out
    values = yaml.safe_load(out.read_text("utf-8"))
    assert values["sentences"] is True and values["search"]["beam"] == 20
    assert {"lm_weight", "word_score", "hot_weight"} <= set(values["search"])
    monkeypatch.chdir(tmp_path)  # the paths in the file hold from anywhere
    assert main(["evaluate", "--config", str(out), *data, "--out", "scores"]) == 0
    scores = json.loads((tmp_path / "scores" / "run.json").read_text("utf-8"))["scores"]["test"]
    assert f"make {scores['words']['errors']:,} errors in {scores['words']['reference']:,} words" in " ".join(
        told.split()
    )
    first = read_manifest(tone_corpus["dev"])[0].audio
    assert main(["transcribe", "--config", str(out), first]) == 0
    assert main(call) == 1 and "exists already" in capsys.readouterr().err


def test_hot_words_are_tuned_without_a_lexicon(
    tone_run: Path, tone_corpus: dict[str, Path], files: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "tuned.yaml"
    given = ["--data", str(tone_corpus["dev"]), "--hotwords", str(files["hot"]), "--search.beam", "20"]
    assert main(["tune", "--model", str(tone_run), *given, "--out", str(out)]) == 0
    values = yaml.safe_load(out.read_text("utf-8"))
    assert set(values) == {"model", "hotwords", "search"} and set(values["search"]) == {"beam", "hot_weight"}
    assert main(["evaluate", "--config", str(out), *given[:2], "--out", str(tmp_path / "scores")]) == 0


def test_a_model_of_letters_is_tuned_and_used_without_a_lexicon(
    tone_run: Path, tone_corpus: dict[str, Path], tmp_path: Path
) -> None:
    out, lm, few = tmp_path / "tuned.yaml", tmp_path / "letters.arpa", tmp_path / "few.jsonl"
    write_manifest(few, read_manifest(tone_corpus["dev"])[:5])
    assert main(["lm", "make", "--texts", str(tone_corpus["train"]), "--letters", "true", "--out", str(lm)]) == 0
    data = ["--data", str(few)]
    given = ["--model", str(tone_run), *data, "--lm", str(lm), "--search.beam", "5", "--unit", "characters"]
    assert main(["tune", *given, "--out", str(out)]) == 0
    values = yaml.safe_load(out.read_text("utf-8"))
    assert set(values) == {"model", "lm", "search"}
    assert {"lm_weight", "word_score"} <= set(values["search"]) and "hot_weight" not in values["search"]
    assert main(["evaluate", "--config", str(out), *data, "--out", str(tmp_path / "scores")]) == 0


def test_a_fetched_model_is_named_by_its_whole_path(
    tone_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASR_TRANSFER_DATA", str(tmp_path))
    model = Path(shutil.copytree(tone_run / "model", tmp_path / "models" / "whisper-tiny"))
    (model / "config.json").touch()
    command = TuneCommand(
        model=Path("whisper-tiny"), data=tmp_path, hotwords=tmp_path / "hot.txt", out=tmp_path / "tuned.yaml"
    )
    write_tuned(command, "", Tuned(SearchConfig(), (Trial({}, 0, 1),)))
    assert yaml.safe_load(command.out.read_text("utf-8"))["model"] == str(model)


def test_the_head_of_the_manifest_is_tuned_for_and_named_in_the_file(languages_run: Path, tmp_path: Path) -> None:
    (tmp_path / "hot.txt").write_text("zuwy\n", encoding="utf-8")
    write_manifest(tmp_path / "piet.jsonl", make_speaker(tmp_path, "piet", 1.0, 4, 9, "nl"))
    out, given = tmp_path / "tuned.yaml", ["--data", str(tmp_path / "piet.jsonl")]
    hot = ["--hotwords", str(tmp_path / "hot.txt"), "--search.beam", "5"]
    assert main(["tune", "--model", str(languages_run), *given, *hot, "--out", str(out)]) == 0
    assert yaml.safe_load(out.read_text("utf-8"))["language"] == "nl"
    assert main(["evaluate", "--config", str(out), *given, "--out", str(tmp_path / "scores")]) == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "nothing to tune"),
        ({"hotwords": Path("h"), "language": "auto"}, "for one language"),
        ({"hotwords": Path("h"), "unit": "characters"}, "by word errors"),
    ],
)
def test_options_that_do_not_go_together_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TuneCommand(model=Path("m"), data=Path("d"), out=Path("o"), **given)
