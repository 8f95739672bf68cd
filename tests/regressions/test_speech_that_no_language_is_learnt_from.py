"""`learn` says in one sentence what is wrong with its recordings, its language or its model, and writes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_transfer.data.manifest import Utterance, read_manifest
from tests.adapting import run
from tests.learning import QUICK, Languages, in_folder, learn, manifest, speech

Refused = Callable[..., str]


@pytest.fixture
def refused(languages: Languages, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Return a function that runs `learn`, which must refuse and write nothing, and returns its sentence."""

    def call(data: Path, *options: object, model: Path | None = None, lines: int = 1) -> str:
        capsys.readouterr()
        words = ("--model", model or languages.base, "--data", data, "--out", tmp_path / "out", *QUICK, *options)
        assert run("learn", *words) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == lines and not (tmp_path / "out").exists()
        return error

    return call


@pytest.fixture
def new(languages: Languages) -> list[Utterance]:
    """Return the recordings of a language that the model does not know."""
    return read_manifest(languages.new)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--language", "zz"), "`language` is 'zz', which is no ISO 639 code"),
        (("--language", "Macedonian language"), "which is no ISO 639 code"),
        (("--language", "swahili"), "which is a name; give its code, 'sw'"),
        (("--language", "el"), "holds recordings in mk, none in 'el'"),
        (("--pieces", 10), "`pieces` is for --units subwords"),
        (("--minutes", 90), "90 minutes are asked for, but the training speech lasts 2.4; ask for less"),
        (("--minutes", 1), "0.6 minutes of speech in 50 recordings are left to learn a language from"),
        (("--way", "head", "--source", "TRAIN"), "`head` reads no speech of other languages; leave --source out"),
        (("--way", "joint", "--use_summary", "false"), "`joint` mixes speech of the model's other languages in"),
        (("--source", "FURTHER"), "is in 'el', which is none of the model's other languages (de, fr)"),
        (("--test", "FURTHER"), "holds recordings in el, but 'mk' is learnt"),
        (("--dev", "FURTHER"), "holds recordings in el, but 'mk' is learnt"),
        (("--test", "NEW"), "stands in --test and in --data; a model must not be judged on what it learnt from"),
        (("--dev", "NEW"), "stands in --dev and in --data"),
    ],
)
def test_options_that_do_not_go_with_the_recordings(
    refused: Refused, languages: Languages, options: tuple[object, ...], message: str
) -> None:
    places = {"TRAIN": languages.train, "FURTHER": languages.further, "NEW": languages.new}
    assert message in refused(languages.new, *(places.get(str(option), option) for option in options))


def test_a_code_that_is_taken_by_a_language_in_another_script(
    refused: Refused, new: list[Utterance], tmp_path: Path
) -> None:
    data = manifest(tmp_path / "taken.jsonl", [replace(u, language="de") for u in new])
    error = refused(data)
    assert "has a head 'de' already, which lacks 87 % of the symbols of these texts ('а', " in error
    assert "correct --language" in error


def test_subwords_that_are_there_take_no_further_letter(
    refused: Refused, languages: Languages, new: list[Utterance], tmp_path: Path
) -> None:
    options = ("--way", "all", "--units", "subwords", "--pieces", 12)
    model = learn(languages.base, languages.new, tmp_path / "subwords", *options).out
    letter = manifest(tmp_path / "letter.jsonl", [replace(u, text=u.text.replace("а", "ѓ", 1)) for u in new])
    assert "of subwords, which takes no further letter, and these texts have 'ѓ'" in refused(letter, model=model)
    assert "which grows; leave --units out" in refused(languages.new, "--units", "characters", model=model)
    assert "whose pieces stay; leave --pieces out" in refused(
        languages.new, "--units", "subwords", "--pieces", 9, model=model
    )


@pytest.mark.voices
def test_a_language_that_nothing_pronounces(refused: Refused, new: list[Utterance], tmp_path: Path) -> None:
    error = refused(manifest(tmp_path / "x.jsonl", [replace(u, language="aii") for u in new]), "--units", "phones")
    assert "espeak-ng has no language 'aii'; " in error and "or learn --units characters" in error


def test_characters_of_which_most_have_one_example(refused: Refused, new: list[Utterance], tmp_path: Path) -> None:
    texts = [chr(0x4E00 + 2 * n) + chr(0x4E01 + 2 * n) + chr(0x4E00 + n % 20) for n in range(len(new))]
    hanzi = [replace(u, text=text, language="cmn") for u, text in zip(new, texts, strict=True)]
    error = refused(manifest(tmp_path / "hanzi.jsonl", hanzi))
    assert "364 of the 384 characters of these texts stand in a single recording each" in error
    assert "learn --units phones" in error


def test_recordings_of_one_text(refused: Refused, new: list[Utterance], tmp_path: Path) -> None:
    error = refused(manifest(tmp_path / "one.jsonl", [replace(u, text="аб") for u in new]))
    assert "all 192 recordings have the text 'аб'; a language is learnt from many different ones" in error


def test_a_manifest_of_several_languages(refused: Refused, languages: Languages) -> None:
    assert "holds recordings in de, fr; say with --language which is to be learnt" in refused(languages.train)


def test_folders_without_language_recordings_or_transcripts(
    refused: Refused, new: list[Utterance], tmp_path: Path
) -> None:
    assert "neither a manifest nor a folder" in refused(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    assert "a folder does not say its language; give its code with --language" in refused(tmp_path / "empty")
    assert "holds no recording" in refused(tmp_path / "empty", "--language", "mk")
    folder = in_folder(tmp_path / "bare", new[:3])
    for text in folder.glob("*.txt"):
        text.unlink()
    assert "no recording has a transcript, which a language is learnt from" in refused(folder, "--language", "mk")
    bare = manifest(tmp_path / "bare.jsonl", [replace(u, text="") for u in new])
    assert "no recording has a transcript, which a language is learnt from; write some" in refused(bare)


def test_a_recording_under_two_names_in_what_is_learnt_and_what_is_scored(
    refused: Refused, languages: Languages, new: list[Utterance], tmp_path: Path
) -> None:
    again = manifest(tmp_path / "again.jsonl", [replace(u, id=f"again-{u.id}") for u in new[:12]])
    error = refused(languages.new, "--test", again)
    assert "utterance 'mk-3-anna-0' of --data is the same recording as 'again-mk-3-anna-0' of --test" in error
    copied = in_folder(tmp_path / "copied", new[5:8])
    assert "'mk-3-anna-5' of --test" in refused(languages.new, "--test", copied, "--language", "mk")


def test_files_that_are_named_alike_are_told_apart(languages: Languages, tmp_path: Path) -> None:
    """Whoever records a second time names the files alike; the recordings are others."""
    named = [in_folder(tmp_path / name, speech(tmp_path / f"{name}-wav", "mk", count, 1, seed=seed))
             for name, count, seed in (("one", 110, 81), ("two", 12, 82))]  # fmt: skip
    for folder, seed in zip(named, (81, 82), strict=True):
        for file in list(folder.iterdir()):
            file.rename(folder / file.name.replace(f"-{seed}-", "-"))
    options = ("--language", "mk", "--test", named[1], "--way", "head", "--steps", 4)
    ran = learn(languages.base, named[0], tmp_path / "out", *options)
    assert ran.record["data"]["test"]["utterances"] == 12 and ran.record["data"]["given"]["utterances"] == 110


def test_silence_copies_and_clipping(languages: Languages, new: list[Utterance], tmp_path: Path) -> None:
    silent, loud, copy = (replace(new[n], id=f"{name}", audio=str(tmp_path / f"{name}.wav"))
                          for n, name in ((0, "silent"), (1, "loud"), (2, "copy")))  # fmt: skip
    soundfile.write(silent.audio, np.zeros(int(silent.duration * 16000)), 16000)
    samples, rate = soundfile.read(new[1].audio)
    soundfile.write(loud.audio, np.clip(samples * 30, -1, 1), rate)
    shutil.copy(new[2].audio, copy.audio)
    data = manifest(tmp_path / "doubtful.jsonl", [*new, silent, loud, copy])
    ran = learn(languages.base, data, tmp_path / "out", "--way", "head", "--steps", 4)
    lines = {line.split("'")[1]: line for line in ran.printed.splitlines() if line.startswith("utterance '")}
    assert "is silent" in lines["silent"] and lines["silent"].endswith("It is left out.")
    assert "the same recording as utterance 'mk-3-anna-2'" in lines["copy"] and "It is left out" in lines["copy"]
    assert "is clipped" in lines["loud"] and "left out" not in lines["loud"] and len(lines) == 3
    assert ran.record["learning"]["left_out"] == ["silent: silence", "copy: duplicate"]
    assert ran.record["data"]["given"]["utterances"] == 193
    log = (ran.out / "log.txt").read_text(encoding="utf-8")
    assert all(line in log for line in lines.values())


def test_silence_alone(refused: Refused, languages: Languages, new: list[Utterance], tmp_path: Path) -> None:
    silent = [replace(u, id=f"s{n}", audio=str(tmp_path / f"s{n}.wav")) for n, u in enumerate(new[:12])]
    for utterance in silent:
        soundfile.write(utterance.audio, np.zeros(int(utterance.duration * 16000)), 16000)
    error = refused(languages.new, "--test", manifest(tmp_path / "silent.jsonl", silent))
    assert "none of the 12 recordings of --test can be used" in error


def test_models_that_are_none_or_cannot_learn(refused: Refused, languages: Languages, tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    profile.mkdir()
    (profile / "profile.yaml").write_text("{}\n", encoding="utf-8")
    assert "is a speaker's profile, not a model" in refused(languages.new, model=profile)
    assert "is not a model folder" in refused(languages.new, model=languages.train.parent)
    beside = learn(languages.base, languages.new, tmp_path / "beside", "--way", "progressive", "--steps", 2).out
    error = refused(languages.further, model=beside)
    assert "a ProgressiveModel, to which no head can be added; put a network beside it with --way progressive" in error


def test_a_model_without_kept_speech_learns_and_says_what_it_cannot_measure(
    languages: Languages, tmp_path: Path
) -> None:
    model = shutil.copytree(languages.base / "model", tmp_path / "plain")
    for name in ("source", "judged"):
        shutil.rmtree(model / name)
    ran = learn(model, languages.new, tmp_path / "out", "--steps", 4)
    assert "for no other speech is kept" in ran.printed and "other languages: not measured" in ran.printed
    assert {rung["way"] for rung in ran.record["learning"]["ladder"]} == {"head", "all"}
    assert ran.record["learning"]["others"] == []


def test_where_nothing_was_learnt_no_model_is_written(
    languages: Languages, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--model", languages.base, "--data", languages.new, "--out", tmp_path / "out", *QUICK)
    assert run("learn", *words, "--way", "scratch", "--steps", 1, "--learning_rate", 1e-6) == 1
    assert "nothing was learnt and no model is written" in capsys.readouterr().err
    assert not (tmp_path / "out" / "model").exists()


def test_a_run_that_is_there_is_not_lost(
    languages: Languages, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = learn(languages.base, languages.new, tmp_path / "out", "--way", "head", "--steps", 4)
    before = {file: file.read_bytes() for file in ran.out.rglob("*") if file.is_file()}
    common = ("learn", "--model", languages.base, "--out", ran.out, *QUICK)
    for data, options, message in (
        (languages.new, (), "already holds a run"),
        (languages.further, ("--resume",), "cannot be resumed"),
        (languages.train, ("--overwrite",), "say with --language which is to be learnt"),
    ):
        assert run(*common, "--data", data, *options) == 1
        assert message in capsys.readouterr().err
        assert {file: file.read_bytes() for file in ran.out.rglob("*") if file.is_file()} == before
