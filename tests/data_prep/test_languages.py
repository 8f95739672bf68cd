"""Corpora of many languages become one manifest, with a table of what went in and under which terms."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from asr_transfer.cli import main
from asr_transfer.data.manifest import Utterance, read_manifest, write_manifest
from asr_transfer.errors import ConfigError, DataError
from data_prep.languages import about, prepare
from data_prep.multilingual import SOURCES
from tests.tones import make_speaker


@pytest.fixture
def corpora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Return the folders of manifests of three corpora in two languages; nothing else is here."""
    monkeypatch.setenv("ASR_TRANSFER_DATA", str(tmp_path / "fetched"))
    folders = {}
    for seed, (name, language) in enumerate((("one", "eo"), ("two", "eo"), ("three", "eu"))):
        for split, count in (("train", 4), ("dev", 2), ("test", 3)):
            own = make_speaker(tmp_path / "wav" / name / split, "anna", 1.0, count, 10 * seed + count)
            named = [replace(u, id=f"{name}-{split}-{u.id}", language=language) for u in own]
            (tmp_path / name).mkdir(exist_ok=True)
            write_manifest(tmp_path / name / f"{split}.jsonl", named)
        folders[name] = tmp_path / name
    return folders


def _ids(file: Path) -> list[str]:
    return [u.id for u in read_manifest(file)]


def test_all_corpora_become_one(corpora: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(tmp_path / "out", sources=tuple(map(str, corpora.values())))
    train, test = (read_manifest(tmp_path / "out" / f"{split}.jsonl") for split in ("train", "test"))
    assert len(train) == 3 * 6 and len(test) == 3 * 3, "development speech is trained on, test speech is not"
    assert {u.language for u in train} == {"eo", "eu"} and not {u.id for u in train} & {u.id for u in test}
    assert "3 corpora of 2 languages, 18 utterances" in capsys.readouterr().out
    table = (tmp_path / "out" / "about.md").read_text(encoding="utf-8")
    assert "| two | eo | 0 | 1 | not known: a corpus of your own |" in table and table.count("\n") == 5


@pytest.mark.parametrize(("left_out", "kept"), [("[eo]", {"eu"}), ("[eu]", {"eo"})])
def test_a_language_is_left_out_on_the_command_line(
    corpora: dict[str, Path], tmp_path: Path, left_out: str, kept: set[str]
) -> None:
    sources = f"[{','.join(map(str, corpora.values()))}]"
    words = ["prepare", "languages", "--sources", sources, "--leave_out", left_out, "--out", str(tmp_path / "out")]
    assert main(words) == 0
    for split in ("train", "test"):
        assert {u.language for u in read_manifest(tmp_path / "out" / f"{split}.jsonl")} == kept
    about_it = (tmp_path / "out" / "about.md").read_text(encoding="utf-8")
    assert (left_out.strip("[]") not in about_it) and next(iter(kept)) in about_it


@pytest.mark.parametrize(
    ("left_out", "status", "message"),
    [
        ("eo", 2, "`leave_out` takes a list, in brackets also where it has one entry; give [eo]."),
        ("eo,eu", 2, "give [eo,eu]."),
        ("[fr]", 1, "`leave_out` names 'fr', in which there is no source corpus. Known: eo, eu."),
        ("[eo,eu]", 1, "`leave_out` names the languages of all source corpora; keep one."),
    ],
)
def test_what_cannot_be_left_out(
    corpora: dict[str, Path], tmp_path: Path, left_out: str, status: int, message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    sources = f"[{','.join(map(str, corpora.values()))}]"
    words = ["prepare", "languages", "--sources", sources, "--leave_out", left_out, "--out", str(tmp_path / "out")]
    assert main(words) == status
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (tmp_path / "out" / "train.jsonl").exists()


def test_two_corpora_with_one_id(corpora: dict[str, Path], tmp_path: Path) -> None:
    shutil.copy(corpora["one"] / "test.jsonl", corpora["three"] / "dev.jsonl")
    with pytest.raises(DataError, match="the corpora 'one' and 'three' both claim the id 'one-test-anna-0'"):
        prepare(tmp_path / "out", sources=tuple(map(str, corpora.values())))
    assert not (tmp_path / "out" / "train.jsonl").exists()


def test_what_there_is_not() -> None:
    with pytest.raises(ConfigError, match="the source corpus 'queer' is neither known nor a folder"):
        prepare(Path("out"), sources=("queer",))


def test_every_source_corpus_declares_its_licence() -> None:
    lacking = [name for name, place in SOURCES.items() if not place.licence.strip()]
    assert SOURCES and not lacking
    utterance = Utterance("u", "u.wav", 90.0, "a", "anna", "en")
    (line,) = about({"queen": [utterance, replace(utterance, id="v")]}).splitlines()[2:]
    assert line == f"| queen | en | 3 | 1 | {SOURCES['queen'].licence} |"
