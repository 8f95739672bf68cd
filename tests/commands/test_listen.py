"""Transcribing and scoring with a lexicon, sentences, hot words and an unknown language, as the command line does."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.commands.evaluate import EvaluateCommand
from asr_transfer.commands.transcribe import TranscribeCommand
from asr_transfer.data.manifest import read_manifest, write_manifest
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError
from asr_transfer.runs.record import read_record
from tests.commands.conftest import Lines
from tests.small import small_model
from tests.tones import TINY, WORDS, make_speaker, speak


@pytest.fixture
def lexicon(tmp_path: Path) -> Path:
    file = tmp_path / "words.txt"
    file.write_text("".join(f"{word}\t{' '.join(word)}\n" for word in WORDS), encoding="utf-8")
    return file


@pytest.fixture
def word(tmp_path: Path) -> Path:
    file = tmp_path / "word.wav"
    soundfile.write(file, speak("face", 1.0, 5), SAMPLE_RATE)
    return file


def test_a_recording_is_taken_for_a_word_of_the_lexicon(
    tone_run: Path, lexicon: Path, word: Path, lines: Lines
) -> None:
    status, told, _ = lines("transcribe", "--model", tone_run, "--lexicon", lexicon, "--explain", "cab", word)
    assert status == 0
    assert told[0] == f"{word}\tface"
    assert any("cab" in line for line in told[1:]) and any("face" in line for line in told[1:])


def test_an_unknown_word_to_explain_names_the_lexicon(tone_run: Path, lexicon: Path, word: Path, lines: Lines) -> None:
    status, _, error = lines("transcribe", "--model", tone_run, "--lexicon", lexicon, "--explain", "fact", word)
    assert status == 1 and "does not hold the word 'fact'" in error and "Traceback" not in error


def test_sentences_hold_only_words_of_the_lexicon(
    tone_run: Path, tone_corpus: dict[str, Path], lexicon: Path, tmp_path: Path, lines: Lines
) -> None:
    scored = ["evaluate", "--model", tone_run, "--data", tone_corpus["dev"], "--lexicon", lexicon, "--sentences"]
    assert lines(*scored, "--out", tmp_path / "scores")[0] == 0
    found = [json.loads(line) for line in (tmp_path / "scores" / "hypotheses.jsonl").read_text("utf-8").splitlines()]
    assert len(found) == len(read_manifest(tone_corpus["dev"]))
    assert {word for line in found for word in line["hypothesis"].split()} <= set(WORDS)
    assert any(" " in line["hypothesis"] for line in found)


def test_a_hot_word_pulls_what_is_heard_towards_it(tone_run: Path, word: Path, tmp_path: Path, lines: Lines) -> None:
    hot = tmp_path / "hot.txt"
    hot.write_text("dace\n", encoding="utf-8")
    pulled = lines("transcribe", "--model", tone_run, "--hotwords", hot, "--search.hot_weight", "50", word)[1]
    assert "dace" in pulled[0].split("\t")[1].split()
    plain = lines("transcribe", "--model", tone_run, "--hotwords", hot, "--search.hot_weight", "0", word)[1]
    assert "dace" not in plain[0].split("\t")[1].split()


def test_the_language_is_found_out(
    tone_run: Path, tone_corpus: dict[str, Path], word: Path, tmp_path: Path, lines: Lines
) -> None:
    status, _, error = lines("transcribe", "--model", tone_run, "--language", "auto", word)
    assert status == 1 and "knows the language 'en' only" in error
    one = Recogniser.load(tone_run)
    model = small_model(heads={"en": len(one.tokens), "nl": len(one.tokens)}).eval()
    Recogniser(model, one.tokens, "en", {}, others={"nl": one.tokens}).save(tmp_path / "two", "A card.", {})
    status, told, error = lines("transcribe", "--model", tmp_path / "two", "--language", "auto", word)
    assert status == 0 and told[0].split("\t")[1] in ("en", "nl") and "raw scores" in error
    # Offsets that the model keeps decide.
    for sure in ("en", "nl"):
        offsets = {name: 100.0 * (name == sure) for name in ("en", "nl")}
        two = Recogniser(model, one.tokens, "en", {}, others={"nl": one.tokens}, offsets=offsets)
        two.save(tmp_path / "two", "A card.", {})
        _, told, said = lines("transcribe", "--model", tmp_path / "two", "--language", "auto", word)
        assert told[0].split("\t")[1] == sure and "calibrated scores" in said
    scored = ["evaluate", "--model", tmp_path / "two", "--data", tone_corpus["dev"], "--language", "auto"]
    status, told, _ = lines(*scored, "--out", tmp_path / "scores")
    number = len(read_manifest(tone_corpus["dev"]))
    assert status == 0 and "calibrated scores" in told[0]
    assert told[1] == (
        f"identified rightly: 0.0 % (one language): en 0.0 % of {number}; most often mistaken: en for nl ({number})"
    )
    assert read_record(tmp_path / "scores")["identification"] == {
        "calibrated": True,
        "utterances": number,
        "share": 0.0,
        "languages": {"en": {"utterances": number, "share": 0.0}},
        "confusions": [{"language": "en", "taken_for": "nl", "utterances": number}],
    }
    folder = tmp_path / "recordings"
    folder.mkdir()
    shutil.copy(word, folder / "word.wav")
    (folder / "word.txt").write_text("face", encoding="utf-8")
    status, told, _ = lines(*scored[:3], "--data", folder, *scored[5:], "--out", tmp_path / "folder")
    assert status == 0 and "no utterance names its language" in told[1]
    config = tmp_path / "two" / "config.yaml"
    config.write_text(config.read_text("utf-8").replace("nl: 100.0", "de: 100.0"), encoding="utf-8")
    status, _, error = lines("transcribe", "--model", tmp_path / "two", "--language", "auto", word)
    assert status == 1 and "`language_offsets` must have a number for each of en, nl" in error
    config.write_text(config.read_text("utf-8").replace("de: 100.0", "nl: 1.0"), encoding="utf-8")
    status, _, error = lines("transcribe", "--model", tmp_path / "two", word)
    assert status == 1 and "say which with --language" in error


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sentences": True}, "`sentences` are made of a lexicon's words"),
        ({"lexicon": Path("a"), "lm": Path("b")}, "so that `lm` adds nothing; give --sentences"),
        ({"lexicon": Path("a"), "hotwords": Path("b")}, "hot words add nothing"),
    ],
)
def test_options_that_do_not_go_together_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EvaluateCommand(model=Path("m"), data=Path("d"), out=Path("o"), **given)  # type: ignore[arg-type]


def test_who_is_adapted_to_while_listening_is_heard_in_a_named_language() -> None:
    with pytest.raises(ConfigError, match=r"`online_profile` adapts the head that listens.* name it\.$"):
        TranscribeCommand(model=Path("m"), language="auto", online_profile="warp")


def test_only_a_word_of_a_lexicon_can_be_explained() -> None:
    with pytest.raises(ConfigError, match="`explain` tells about a word of a lexicon"):
        TranscribeCommand(model=Path("m"), explain="face")


def test_speakers_are_adapted_to_while_they_are_listened_to(tone_run: Path, tmp_path: Path, lines: Lines) -> None:
    made = make_speaker(tmp_path, "child", 1.16, 6, 7)
    write_manifest(tmp_path / "child.jsonl", made)
    model = ("--model", tone_run)
    code, texts, said = lines("transcribe", *model, "--online_profile", "warp", tmp_path / "child.jsonl")
    assert code == 0 and "child: warp 0." in said and len(texts) == 6
    assert texts != lines("transcribe", *model, tmp_path / "child.jsonl")[1]
    scored = lines("evaluate", *model, "--data", tmp_path / "child.jsonl", "--out", tmp_path / "out",
                   "--online_profile", "warp")  # fmt: skip
    assert scored[0] == 0 and any(line.startswith("child: warp 0.") for line in scored[1])
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert record["online_profile"]["factors"]["child"] < 1


def test_a_noisy_line_is_made_up_for_while_listening(tone_run: Path, tmp_path: Path, lines: Lines) -> None:
    made = make_speaker(tmp_path, "caller", 1.0, 3, 7)
    for utterance in made:
        samples, rate = soundfile.read(utterance.audio)
        noise = np.random.default_rng(0).standard_normal(len(samples))
        soundfile.write(utterance.audio, samples + 0.1 * noise, rate)
    write_manifest(tmp_path / "caller.jsonl", made)
    given = ("--model", tone_run, tmp_path / "caller.jsonl")
    code, texts, said = lines("transcribe", "--online_profile", "adabn", *given)
    assert code == 0 and len(texts) == 3 and "caller: normalised by " in said and " of 3 recordings" in said
    assert texts != lines("transcribe", *given)[1]


def test_a_damaged_lexicon_or_list_gives_one_sentence(tone_run: Path, word: Path, tmp_path: Path, lines: Lines) -> None:
    for name, text, option in (("lexicon.txt", "face\tf a x\n", "--lexicon"), ("hot.txt", "\n\n", "--hotwords")):
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        status, told, error = lines("transcribe", "--model", tone_run, option, file, word)
        assert status == 1 and not told and str(file) in error and "Traceback" not in error


def test_training_on_several_languages_keeps_offsets(
    tone_corpus: dict[str, Path], tmp_path: Path, feature_cache: Path, lines: Lines
) -> None:
    found = {}
    for split in ("train", "dev"):
        spoken = [
            replace(u, language=("en", "nl")[n % 2]) for n, u in enumerate(read_manifest(tone_corpus[split])[:16])
        ]
        found[split] = spoken
        write_manifest(tmp_path / f"{split}.jsonl", spoken)
    write_manifest(tmp_path / "english.jsonl", [u for u in found["dev"] if u.language == "en"])
    train = [
        "train",
        "--train",
        tmp_path / "train.jsonl",
        *TINY,
        "--trainer.steps",
        "2",
        "--trainer.validate_every",
        "0",
    ]
    assert lines(*train, "--dev", tmp_path / "dev.jsonl", "--out", tmp_path / "both")[0] == 0
    assert Recogniser.load(tmp_path / "both", "en").offsets.keys() == {"en", "nl"}
    status, *_ = lines(*train, "--dev", tmp_path / "english.jsonl", "--out", tmp_path / "one")
    assert status == 0 and not Recogniser.load(tmp_path / "one", "en").offsets
