"""A run that was moved, is called by another path or reads inputs elsewhere is the same run; other inputs are not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from asr_transfer.cli import main
from asr_transfer.data.manifest import Utterance, read_manifest, write_manifest
from asr_transfer.errors import ConfigError
from asr_transfer.runs.record import RunRecord, read_record


def _run(folder: Path, config: dict[str, Any], **options: bool) -> RunRecord:
    return RunRecord(folder, {"out": folder, **config}, **options)


def _utterances(texts: str) -> list[Utterance]:
    return [Utterance(text, f"/data/{text}.wav", 1.0, text, "ann", "en") for text in texts.split()]


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with inputs, in which the commands are called."""
    folder = tmp_path / "here"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "model.safetensors").write_bytes(b"weights")
    (folder / "model" / "config.yaml").write_text("layers: 1\norigin: {a: 1}\n", encoding="utf-8")
    (folder / "lexicon.txt").write_text("a\tb\n", encoding="utf-8")
    (folder / "speech").mkdir()
    write_manifest(folder / "speech" / "train.jsonl", _utterances("a b"))
    monkeypatch.chdir(folder)
    return folder


def _config(root: Path = Path()) -> dict[str, Any]:
    """Return settings of every kind: a manifest, a model, a file, several of them, and a corpus named by its folder."""
    return {
        "train": root / "speech" / "train.jsonl",
        "model": root / "model",
        "search": {"lexicon": root / "lexicon.txt"},
        "also": (root / "lexicon.txt", root / "speech" / "train.jsonl"),
        "sources": [f"{root}/speech", "known"],
        "steps": 3,
    }


def _begin(folder: Path, root: Path = Path()) -> None:
    _run(folder, _config(root)).data("train", root / "speech" / "train.jsonl", _utterances("a b"))


def test_paths_are_compared_by_what_they_lead_to(given: Path, tmp_path: Path) -> None:
    _begin(Path("out"))
    _run(given / "out", _config(given), resume=True)
    _run(Path("out"), _config(Path("../here")), resume=True)
    shutil.move(given / "out", tmp_path / "moved")
    shutil.copytree(given, tmp_path / "mounted")
    elsewhere = tmp_path / "mounted"
    (elsewhere / "model" / "config.yaml").write_text("origin: {b: 2}\nlayers: 1\n", encoding="utf-8")
    record = _run(tmp_path / "moved", _config(elsewhere), resume=True)
    record.data("train", elsewhere / "speech" / "train.jsonl", _utterances("a b"))
    record.finish()
    assert _run(tmp_path / "moved", _config(), resume=True).finished_before


@pytest.mark.parametrize(
    ("file", "name"),
    [("lexicon.txt", "also.0"), ("model/model.safetensors", "model"), ("model/config.yaml", "model")],
)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_other_content_is_refused_wherever_it_is(
    given: Path, tmp_path: Path, file: str, name: str, elsewhere: bool
) -> None:
    _begin(Path("out"))
    root = Path()
    if elsewhere:
        root = tmp_path / "there"
        shutil.copytree(given, root)
    (root / file).write_text("layers: 2", encoding="utf-8")
    with pytest.raises(ConfigError, match=f"for the content of `{name}` has changed: the run began with .*{file[:5]}"):
        _run(Path("out"), _config(root), resume=True)


def test_other_data_are_refused_at_once_and_not_only_at_the_end(given: Path) -> None:
    _begin(Path("out"))
    assert read_record(Path("out"))["data"]["train"]["checksum"], "noted when they are known"
    for _ in range(2):
        record = _run(Path("out"), _config(), resume=True)
        with pytest.raises(ConfigError) as caught:
            record.data("train", "speech/train.jsonl", _utterances("a c"))
        told = str(caught.value)
        assert "`train` has changed: the run began with speech/train.jsonl (2 utterances, checksum" in told
        assert "give what it began with, or another --out (--overwrite would delete all that the run has done)" in told


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("steps", 4, "`steps` was 3 and is now 4"),
        ("model", None, "`model` was 'model' and is now None"),
        ("model", Path("nowhere"), "`model` was 'model' and is now 'nowhere'"),
        ("model", Path("speech"), "`model` was 'model' and is now 'speech'"),
        ("also", (Path("lexicon.txt"),), "`also` was"),
        ("sources", ["speech", "other"], "`sources` was"),
        ("sources", ["elsewhere/speech", "known"], "`sources` was"),
    ],
)
def test_other_settings_are_refused(given: Path, name: str, value: object, told: str) -> None:
    _begin(Path("out"))
    with pytest.raises(ConfigError) as caught:
        _run(Path("out"), {**_config(), name: value}, resume=True)
    assert told in str(caught.value) and "; give the same settings, or another --out" in str(caught.value)


def test_runs_that_noted_no_checksums_are_held_to_their_paths(given: Path) -> None:
    _begin(Path("out"))
    record = read_record(Path("out"))
    del record["files"]
    (given / "out" / "run.json").write_text(json.dumps({**record, "data": {}}), encoding="utf-8")
    shutil.copytree(given / "model", given / "other")
    with pytest.raises(ConfigError, match="`model` was 'model' and is now 'other'"):
        _run(Path("out"), {**_config(), "model": Path("other")}, resume=True)
    _run(Path("out"), _config(given), resume=True)


def test_a_training_is_resumed_where_it_was_moved_to(
    tone_corpus: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    corpus = tone_corpus["train"].parent
    monkeypatch.chdir(corpus.parent)

    def stop(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("asr_transfer.adaptation.adaptable_source.train_source", stop)

    def train(manifest: Path, out: Path, *more: str) -> int:
        return main(["train", "--train", str(manifest), "--dev", str(tone_corpus["dev"]), "--out", str(out), *more])

    relative = Path(corpus.name) / "train.jsonl"
    assert train(relative, tmp_path / "run") == 130
    assert train(relative.resolve(), tmp_path / "run", "--resume") == 130
    shutil.move(tmp_path / "run", tmp_path / "moved")
    write_manifest(tmp_path / "copy.jsonl", read_manifest(relative))
    assert train(tmp_path / "copy.jsonl", tmp_path / "moved", "--resume") == 130
    write_manifest(tmp_path / "copy.jsonl", read_manifest(relative)[1:])
    capsys.readouterr()
    assert train(tmp_path / "copy.jsonl", tmp_path / "moved", "--resume") == 1
    told = capsys.readouterr().err
    assert "the content of `train` has changed" in told and told.count("\n") == 1
