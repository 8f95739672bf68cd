"""The head that a command works with: named, of the profile, of the recordings, or refused in one sentence."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from asr_transfer.adaptation.profile import save_profile
from asr_transfer.commands.language import find_head, in_language
from asr_transfer.data.manifest import Utterance, read_manifest, write_manifest
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import AsrTransferError, ConfigError, DataError, ModelError
from asr_transfer.models.configuration import LAST_LANGUAGE
from asr_transfer.models.folder import update_origin
from tests.adapting import recordings
from tests.models.pretrained.ctc_folders import write, write_vocabulary
from tests.tones import make_speaker


@pytest.fixture(scope="module")
def speech(languages_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of manifests and recordings, and of profiles of the two heads and of an unknown one."""
    folder = tmp_path_factory.mktemp("speech")
    en = make_speaker(folder, "mia", 1.0, 3, 8)
    nl = make_speaker(folder, "piet", 1.0, 3, 9, "nl")
    for name, utterances in (
        ("en", en),
        ("nl", nl),
        ("both", [*en, *nl]),
        ("de", [replace(u, language="de") for u in en]),
        ("unknown", [replace(u, language="und") for u in nl]),
    ):
        write_manifest(folder / f"{name}.jsonl", utterances)
    recordings(folder, "kim", 1.01, 4, 7)
    model = Recogniser.load(languages_run, "en").model
    for head in ("en", "nl", None):
        save_profile(folder / f"profile-{head}", model, model, {"method": "full", "utterances": 1, "seconds": 1.0,
                     **({"head": head} if head else {})})  # fmt: skip
    return folder


@pytest.mark.parametrize(
    ("language", "profile", "data", "found"),
    [
        ("nl", None, None, "nl"),
        ("nl", None, "en.jsonl", "nl"),  # what is named goes before what a manifest says
        (None, None, "nl.jsonl", "nl"),
        ("auto", None, "nl.jsonl", "nl"),
        (None, "profile-nl", None, "nl"),
        ("nl", "profile-nl", "kim", "nl"),
        ("auto", "profile-nl", "kim", "nl"),
        ("nl", "profile-None", None, "nl"),
        ("auto", None, "kim", "en"),
        ("auto", None, "unknown.jsonl", "nl"),
    ],
)
def test_the_head_is_found(
    languages_run: Path, speech: Path, language: str | None, profile: str | None, data: str | None, found: str
) -> None:
    lines: list[str] = []
    where = {"profile": speech / profile if profile else None, "data": speech / data if data else None}
    assert find_head(languages_run, language, lines.append, **where) == found
    identified = data in ("kim", "unknown.jsonl") and profile is None
    assert bool(lines) is identified and all("100 %" in line and f"in '{found}'" in line for line in lines)


@pytest.mark.parametrize(
    ("language", "profile", "data", "error", "message"),
    [
        ("nll", None, None, ModelError, "the model has no head 'nll'. Did you mean 'nl'?"),
        ("zh", None, None, ModelError, "the model has no head 'zh'. Known: en, nl."),
        ("in English", None, None, ConfigError, "which is no code such as en, cmn or pt-BR"),
        ("en", "profile-nl", None, ModelError, "is a profile of the head 'nl', not of 'en'; leave --language out"),
        (None, None, None, ModelError, "the model has the heads en, nl; say which with --language."),
        (None, "profile-None", "kim", ModelError, "does not say which it is of; say which with --language"),
        (None, None, "kim", ModelError, "kim does not say its language; say which with --language, or `--language a"),
        (None, None, "unknown.jsonl", ModelError, "does not say its language"),
        (None, None, "both.jsonl", DataError, "are in en, nl; name the one that is meant with --language"),
        ("auto", None, "both.jsonl", DataError, "are in en, nl; name the one that is meant"),
        (None, None, "de.jsonl", DataError, "are in 'de', of which the model"),
    ],
)
def test_what_tells_no_head_is_refused(
    languages_run: Path,
    speech: Path,
    language: str | None,
    profile: str | None,
    data: str | None,
    error: type[AsrTransferError],
    message: str,
) -> None:
    where = {"profile": speech / profile if profile else None, "data": speech / data if data else None}
    with pytest.raises(error) as found:
        find_head(languages_run, language, print, **where)
    assert message in str(found.value) and "\n" not in str(found.value)


def test_recordings_of_several_languages_are_not_taken_for_one(languages_run: Path, speech: Path) -> None:
    lines = [(speech / f"{name}.jsonl").read_text(encoding="utf-8") for name in ("en", "nl")]
    mixed = speech / "mixed.jsonl"
    mixed.write_text("".join(lines).replace('"nl"', '"und"').replace('"en"', '"und"'), encoding="utf-8")
    with pytest.raises(DataError, match=r"its 6 recordings are taken for several languages .*en 3.*more than half"):
        find_head(languages_run, "auto", print, data=mixed)


def test_one_speaker_of_a_manifest_tells_the_language(languages_run: Path, speech: Path) -> None:
    assert find_head(languages_run, None, print, data=speech / "both.jsonl", speaker="piet") == "nl"
    with pytest.raises(DataError, match="no utterance of speaker 'nobody'"):
        find_head(languages_run, None, print, data=speech / "both.jsonl", speaker="nobody")


def test_a_model_of_one_language_needs_no_name(tone_run: Path, speech: Path) -> None:
    assert find_head(tone_run, None, print, data=speech / "both.jsonl") == "en"
    with pytest.raises(ConfigError, match="knows the language 'en' only; leave --language out"):
        find_head(tone_run, "auto", print)


def test_utterances_of_other_heads_are_left_out() -> None:
    lines: list[str] = []
    speech = [Utterance(str(n), "", 1.0, "a", "me", name) for n, name in enumerate(("en", "nl", "nl", "und"))]
    kept = in_language(speech, "en", ("en", "nl"), Path("data.jsonl"), lines.append)
    assert [u.language for u in kept] == ["en", "und"]
    assert lines == ["data.jsonl: 2 utterances in nl are left out, for the head is 'en'"]
    with pytest.raises(DataError, match="its utterances are in nl, but the head is 'en'"):
        in_language(speech[1:3], "en", ("en", "nl"), Path("data.jsonl"), lines.append)


@pytest.fixture
def taught(languages_run: Path, tmp_path: Path) -> Path:
    """Return the model as one that was adapted in its second language."""
    shutil.copytree(languages_run / "model", tmp_path / "taught")
    update_origin(tmp_path / "taught", {LAST_LANGUAGE: "nl"})
    return tmp_path / "taught"


@pytest.mark.parametrize(
    ("language", "profile", "data", "found"),
    [
        (None, None, None, "nl"),
        (None, None, "kim", "nl"),
        (None, None, "unknown.jsonl", "nl"),
        (None, None, "en.jsonl", "en"),
        (None, "profile-en", None, "en"),
        ("en", None, "kim", "en"),
        ("auto", None, "kim", "en"),
    ],
)
def test_the_language_that_a_model_was_taught_last_is_taken(
    taught: Path, speech: Path, language: str | None, profile: str | None, data: str | None, found: str
) -> None:
    lines: list[str] = []
    where = {"profile": speech / profile if profile else None, "data": speech / data if data else None}
    assert find_head(taught, language, lines.append, **where) == found
    told = [line for line in lines if "taken in 'nl', which it was taught or adapted in last; --language na" in line]
    assert len(told) == (found == "nl")


def test_a_language_that_the_model_does_not_know_is_not_taken(taught: Path, speech: Path) -> None:
    update_origin(taught, {LAST_LANGUAGE: "de"})
    with pytest.raises(ModelError, match="say which with --language"):
        find_head(taught, None, print)


def test_another_code_of_a_language_is_its_head(languages_run: Path, speech: Path) -> None:
    lines: list[str] = []
    assert find_head(languages_run, "nld", lines.append) == "nl"
    assert lines == [f"{languages_run}: its head 'nl' is the one of the language 'nld'"]
    dutch = [replace(u, language="dut") for u in read_manifest(speech / "nl.jsonl")]
    write_manifest(speech / "dut.jsonl", dutch)
    assert find_head(languages_run, None, lines.append, data=speech / "dut.jsonl") == "nl"
    with pytest.raises(DataError, match="its utterances are in nl, but the head is 'en'"):
        in_language(dutch, "en", ("en", "nl"), Path("dut.jsonl"), lines.append)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small published model with one head that does not say its language."""
    folder = tmp_path_factory.mktemp("published") / "w2v"
    write(folder, "wav2vec2")
    return folder


@pytest.mark.parametrize("language", ["en", "deu", "pt-BR"])
def test_an_only_head_that_does_not_say_its_language_is_taken_for_any(published: Path, language: str) -> None:
    """The README's own form of `adapt`, with --language, was refused for most published models."""
    lines: list[str] = []
    assert find_head(published, language, lines.append) == "main"
    assert lines == [f"{published}: its head 'main', which does not say its language, is taken for '{language}'"]
    assert find_head(published, "main", lines.append) == find_head(published, None, lines.append) == "main"
    assert len(lines) == 1


def test_a_model_of_one_language_that_is_asked_for_another_says_the_mend(tone_run: Path) -> None:
    with pytest.raises(ModelError, match="the model has no head 'de', only 'en'; leave --language out to take that"):
        find_head(tone_run, "de", print)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_the_language_that_a_published_folder_names_is_taken(published: Path, file: str, tmp_path: Path) -> None:
    """The folder was called no model, for it holds no config.yaml."""
    folder = Path(shutil.copytree(published, tmp_path / "mms"))
    write_vocabulary(folder, {name: {"<pad>": 1, "|": 4} for name in ("eng", "deu")})
    for name in ("eng", "deu"):
        (folder / f"adapter.{name}.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="has the heads eng, deu; say which with --language"):
        find_head(folder, None, print)
    about = json.loads((folder / file).read_text(encoding="utf-8"))
    (folder / file).write_text(json.dumps({**about, "target_lang": "deu"}), encoding="utf-8")
    lines: list[str] = []
    assert find_head(folder, None, lines.append) == "deu" and find_head(folder, "en", lines.append) == "eng"
    assert lines[0] == f"{folder}: taken in 'deu', which its folder says (`target_lang`); --language names another"
