"""`asr-transfer adapt` with what a model keeps of its source, and on recordings of which some have no transcript."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from asr_transfer.data.manifest import read_manifest, write_manifest
from tests.adapting import adapt, equal, recordings, run, weights
from tests.tones import make_speaker


@pytest.fixture(scope="module")
def kim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return eight recordings of a speaker some way off the training speakers, with a table."""
    return recordings(tmp_path_factory.mktemp("speaker"), "kim", 1.17, 8, 7)


def test_a_model_that_keeps_some_of_its_source_replays_it(
    tone_run: Path, tone_corpus: dict[str, Path], kim: Path, tmp_path: Path
) -> None:
    quick = ("--choice.with_source", "[full+replay]", "--choice.rates", "[10.0]", "--choice.folds", 2, "--steps", 8,
             "--device", "cpu", "--keep_suspicious")  # fmt: skip
    ran = adapt(
        tone_run, kim, tmp_path / "out", *quick, "--source_utterances", 30, "--choice.refit_speeds", "[0.9, 1.0]"
    )
    place = tone_run / "model" / "source"
    assert f"{place}: 30 training utterances serve as source; --use_summary false" in ran.printed
    data = ran.record["data"]["source"]
    assert data["utterances"] == 30 and data["path"] == str(place)
    (rung,) = ran.record["adaptation"]["ladder"]
    assert rung["method"] == "full+replay" and isinstance(rung["forgetting"], float)
    kept = {file.name: file.read_bytes() for file in place.iterdir()}
    assert {file.name: file.read_bytes() for file in (ran.out / "model" / "source").iterdir()} == kept
    assert "training utterances" in (ran.out / "model" / "README.md").read_text(encoding="utf-8")
    later = adapt(ran.out, kim, tmp_path / "later", "--method", "replay", "--check", "false", "--steps", 2,
                  "--keep_suspicious", "--device", "cpu")  # fmt: skip
    assert later.record["data"]["source"]["utterances"] == 144 and not equal(weights(later.out), weights(ran.out))
    # What is given goes before what is kept, and a method that reads no source is not told of it.
    given = adapt(tone_run, kim, tmp_path / "given", *quick, "--source", tone_corpus["test"])
    assert given.record["data"]["source"]["path"] == str(tone_corpus["test"]) and "serve as source" not in given.printed
    named = adapt(tone_run, kim, tmp_path / "named", "--method", "none", "--keep_suspicious")
    assert "source" not in named.record["data"] and "serve as source" not in named.printed


def test_replay_from_a_summary_is_replay_of_the_same_recordings(
    tone_run: Path, tone_corpus: dict[str, Path], kim: Path, tmp_path: Path
) -> None:
    known = {u.id: u for u in read_manifest(tone_corpus["train"])}
    lines = (tone_run / "model" / "source" / "utterances.jsonl").read_text(encoding="utf-8").splitlines()
    write_manifest(tmp_path / "same.jsonl", [known[json.loads(line)["id"]] for line in lines])
    common = (
        "--method",
        "first-layers+replay",
        "--steps",
        6,
        "--check",
        "false",
        "--keep_suspicious",
        "--device",
        "cpu",
    )
    summary = adapt(tone_run, kim, tmp_path / "summary", *common)
    audio = adapt(tone_run, kim, tmp_path / "audio", *common, "--source", tmp_path / "same.jsonl",
                  "--use_summary", "false")  # fmt: skip
    assert equal(weights(summary.out), weights(audio.out)) and not equal(weights(audio.out), weights(tone_run))
    assert not (audio.out / "model" / "source").exists()


def test_a_damaged_summary_is_one_sentence_and_can_be_left_out(
    tone_run: Path, kim: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Path(shutil.copytree(tone_run / "model", tmp_path / "model"))
    features = model / "source" / "features.f16"
    features.write_bytes(features.read_bytes()[:-2])
    assert run("adapt", "--model", model, "--data", kim, "--out", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "the source summary is damaged" in error and str(features.parent) in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
    ran = adapt(model, kim, tmp_path / "out", "--method", "none", "--keep_suspicious", "--use_summary", "false")
    assert not (ran.out / "model" / "source").exists()
    assert run("transcribe", "--model", model, next(kim.glob("*.wav"))) == 0, "who only listens does not need it"


def test_manifests_of_unlabelled_speech_are_read_where_no_transcript_is_needed(
    tone_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_speaker(tmp_path, "mia", 1.06, 5, 5)
    write_manifest(tmp_path / "texts.jsonl", made)
    lines = [json.loads(line) for line in (tmp_path / "texts.jsonl").read_text(encoding="utf-8").splitlines()]
    del lines[1]["text"]
    lines[2]["text"] = ""
    bare = tmp_path / "bare.jsonl"
    bare.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    options = ("--method", "pseudo-label", "--settings.confidence", 0.2, "--steps", 3, "--device", "cpu")
    one, other = (adapt(tone_run, tmp_path / f"{n}.jsonl", tmp_path / n, *options) for n in ("bare", "texts"))
    assert equal(weights(one.out), weights(other.out)) and one.record["data"]["adapt"]["utterances"] == 5
    adapt(tone_run, bare, tmp_path / "suta", "--method", "suta")
    assert run("transcribe", "--model", tone_run, bare, made[3].audio) == 0
    heard = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [name for name, _ in heard] == [*(u.id for u in made), made[3].audio] and heard[3][1] == heard[5][1]
    for command in (
        ("adapt", "--data", tmp_path / "texts.jsonl", "--method", "pseudo-label", "--test", bare),
        ("evaluate", "--data", bare),
    ):
        assert run(*command, "--model", tone_run, "--out", tmp_path / "no") == 1
        error = capsys.readouterr().err
        assert f"{bare} line 2: the key 'text' is missing" in error and error.count("\n") == 1
    assert not (tmp_path / "no").exists()


def test_a_partly_transcribed_folder_is_whole_where_no_transcript_is_needed(tone_run: Path, tmp_path: Path) -> None:
    folder = recordings(tmp_path, "mia", 1.06, 6, 5)
    table = folder / "transcripts.tsv"
    table.write_text("".join(table.read_text(encoding="utf-8").splitlines(True)[:4]), encoding="utf-8")
    options = ("--settings.confidence", 0.2, "--steps", 2, "--device", "cpu")
    ran = adapt(tone_run, folder, tmp_path / "out", "--method", "pseudo-label", *options)
    assert ran.record["data"]["adapt"]["utterances"] == 6
    labelled = adapt(tone_run, folder, tmp_path / "labelled", "--method", "none", "--keep_suspicious")
    assert labelled.record["data"]["adapt"]["utterances"] == 3
