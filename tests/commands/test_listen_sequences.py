"""A whole Whisper transcribes, is scored and adapted by the commands, in the language that is asked for or heard."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from asr_transfer.audio import SAMPLE_RATE, probe
from asr_transfer.data.features import build_store
from asr_transfer.data.manifest import Utterance, write_manifest
from asr_transfer.data.pieces import Pieces
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.runs.record import read_record
from tests.adapting import recordings
from tests.commands.conftest import Lines
from tests.models.pretrained.whole_whisper import write_whisper
from tests.tones import make_speaker, speak


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "whisper"
    write_whisper(folder, 3)
    return folder


@pytest.fixture
def word(tmp_path: Path) -> Path:
    file = tmp_path / "word.wav"
    soundfile.write(file, speak("face", 1.0, 5), SAMPLE_RATE)
    return file


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    write_manifest(tmp_path / "ann.jsonl", make_speaker(tmp_path, "ann", 1.1, 4, 1))
    return tmp_path / "ann.jsonl"


def test_a_recording_is_transcribed_in_the_language_that_is_asked_for_or_heard(
    model: Path, word: Path, lines: Lines
) -> None:
    status, told, _ = lines("transcribe", "--model", model, "--language", "auto", word)
    file, heard, text = told[0].split("\t")
    assert status == 0 and file == str(word) and heard in ("en", "zh", "cs")
    assert lines("transcribe", "--model", model, "--language", heard, word)[1] == [f"{word}\t{text}"]
    assert lines("transcribe", "--model", model, word)[1] == [f"{word}\t{text}"]
    asked = Recogniser.load(model)
    asked.language = "cs"
    assert lines("transcribe", "--model", model, "--language", "cs", word)[1] == [
        f"{word}\t{asked.transcribe([word])[0]}"
    ]


def test_a_language_that_it_does_not_know_and_a_lexicon_are_refused(
    model: Path, word: Path, tmp_path: Path, lines: Lines
) -> None:
    status, _, error = lines("transcribe", "--model", model, "--language", "de", word)
    assert status == 1 and "--language: the model knows no language 'de'" in error and "Traceback" not in error
    (tmp_path / "words.txt").write_text("face\tf a c e\n")
    status, _, error = lines("transcribe", "--model", model, "--lexicon", tmp_path / "words.txt", word)
    assert status == 1 and "`lexicon` is for a search in the outputs of a model with CTC" in error
    status, _, error = lines("transcribe", "--model", model, "--lm", tmp_path / "lm.arpa", word)
    assert status == 1 and "`lm` is for a search in the outputs of a model with CTC" in error


def test_a_long_recording_is_cut_into_windows(model: Path, tmp_path: Path, lines: Lines) -> None:
    soundfile.write(tmp_path / "long.wav", speak("face bead abba cab deed face bead " * 2, 1.0, 5), SAMPLE_RATE)
    status, told, _ = lines("transcribe", "--model", model, "--language", "cs", tmp_path / "long.wav")
    assert status == 0 and len(told) == 1
    recogniser = Recogniser.load(model)
    utterance = Utterance("long", str(tmp_path / "long.wav"), probe(tmp_path / "long.wav").duration, "", "", "cs")
    spoken = Spoken([utterance], build_store([utterance], recogniser.model.inputs, cache=tmp_path / "store"))
    pieces = Pieces(spoken, 2.0)
    assert sum(pieces.seconds(n) for n in range(len(pieces))) == pytest.approx(utterance.duration, abs=0.02)
    assert all(1.0 <= pieces.seconds(n) <= 2.0 for n in range(len(pieces)))
    assert len(recogniser.write(spoken)[0]) == len(pieces) > 1


def test_scores_are_without_punctuation_and_capped_beside(
    model: Path, manifest: Path, tmp_path: Path, lines: Lines
) -> None:
    status, told, _ = lines("evaluate", "--model", model, "--data", manifest, "--out", tmp_path / "scores")
    record = read_record(tmp_path / "scores")
    assert status == 0 and any("capped at each clip's reference" in line for line in told)
    assert record["scores"]["test"]["profile"] == "basic"
    assert 0 < record["capped"]["cer"] <= 1 and record["capped"]["clips"] == 4
    status, told, _ = lines("compare", tmp_path / "scores", "--out", tmp_path / "report")
    assert status == 0


def test_hot_words_pull_the_decoder_and_are_scored_apart(
    model: Path, manifest: Path, tmp_path: Path, lines: Lines
) -> None:
    listed = json.loads(manifest.read_text().splitlines()[0])["text"].split()[0]
    (tmp_path / "hot.txt").write_text(f"{listed}\nzebra\n")
    options = ("--model", model, "--data", manifest, "--language", "en", "--hotwords", tmp_path / "hot.txt")
    status, told, error = lines("evaluate", *options, "--search.hot_weight", "40", "--out", tmp_path / "pulled")
    assert status == 0, error
    record = read_record(tmp_path / "pulled")
    hypotheses = [json.loads(line) for line in (tmp_path / "pulled" / "hypotheses.jsonl").read_text().splitlines()]
    assert all(listed in one["hypothesis"].lower() or "zebra" in one["hypothesis"].lower() for one in hypotheses)
    found, words = record["hot_words"], record["scores"]["test"]["words"]
    assert found["listed"]["reference"] == sum(one["reference"].split().count(listed) for one in hypotheses) > 0
    assert found["listed"]["errors"] + found["others"]["errors"] == words["errors"]
    assert any("B-WER" in line and "U-WER" in line for line in told)
    status, _, error = lines("evaluate", *options, "--writing.prompt", "true", "--out", tmp_path / "prompted")
    assert status == 1 and "takes no prompt" in error and "Traceback" not in error
    status, _, error = lines("transcribe", "--model", model, "--writing.prompt", "true", tmp_path / "hot.txt")
    assert status == 1 and "give them with --hotwords" in error


def test_a_model_is_adapted_and_the_folder_written_is_one_of_ours(
    model: Path, manifest: Path, tmp_path: Path, lines: Lines
) -> None:
    write_manifest(tmp_path / "test.jsonl", make_speaker(tmp_path / "more", "bob", 1.0, 3, 2))
    options = ("--method", "lora", "--settings.blocks", "decoder.layers[:2]", "--steps", "2", "--precision", "fp32")
    status, told, error = lines(
        "adapt", "--model", model, "--data", manifest, "--test", tmp_path / "test.jsonl", "--out", tmp_path / "voice",
        "--check", "false", *options,
    )  # fmt: skip
    assert status == 0, error
    scores = read_record(tmp_path / "voice")["scores"]["test"]
    assert scores["before"]["profile"] == scores["after"]["profile"] == "basic" and set(scores["capped"]) == {
        "before",
        "after",
    }
    again = Recogniser.load(tmp_path / "voice")
    profiled = Recogniser.load(model)
    assert again.model.state_dict().keys() > profiled.model.state_dict().keys()
    hypotheses = [json.loads(line) for line in (tmp_path / "voice" / "hypotheses.jsonl").read_text().splitlines()]
    assert len(hypotheses) == 3
    adapted, told, _ = lines(
        "transcribe", "--model", tmp_path / "voice", "--language", "en", tmp_path / "more" / "bob" / "bob-0.wav"
    )
    assert adapted == 0 and told[0].split("\t")[1] == hypotheses[0]["hypothesis"]
    by_profile = lines(
        "transcribe",
        "--model",
        model,
        "--profile",
        tmp_path / "voice",
        "--language",
        "en",
        tmp_path / "more" / "bob" / "bob-0.wav",
    )
    assert by_profile[1] == told


def test_methods_that_need_ctc_say_so(model: Path, manifest: Path, tmp_path: Path, lines: Lines) -> None:
    for method in ("suta", "ewc", "pseudo-label", "head"):
        status, _, error = lines(
            "adapt", "--model", model, "--data", manifest, "--out", tmp_path / "voice", "--method", method
        )
        assert status == 1 and "Traceback" not in error and f"`{method}`" in error, error
        assert not (tmp_path / "voice").exists()


def test_a_folder_that_names_no_language_is_adapted_in_the_one_that_is_heard(
    model: Path, tmp_path: Path, lines: Lines
) -> None:
    """The language of its transcripts was the empty one, of which the model knew nothing."""
    own = recordings(tmp_path / "own", "ann", 1.1, 4, 1)
    options = ("--method", "lhuc", "--steps", "1", "--check", "false", "--keep_suspicious", "--precision", "fp32")
    status, told, error = lines("adapt", "--model", model, "--data", own, "--out", tmp_path / "voice", *options)
    assert status == 0, error
    (line,) = (line for line in told if "taken to be in" in line)
    recogniser = Recogniser.load(model)
    utterances = [Utterance(f.stem, str(f), probe(f).duration, "", "", "") for f in sorted(own.glob("*.wav"))]
    heard = recogniser.listen_for_languages(Spoken(utterances, build_store(utterances, recogniser.model.inputs)))[0]
    most = max(set(heard), key=heard.count)
    assert f"'{most}', as {heard.count(most)} of 4 recordings" in line and "--language names another" in line


def test_weights_of_a_search_are_chosen_for_models_with_ctc_alone(
    model: Path, manifest: Path, tmp_path: Path, lines: Lines
) -> None:
    (tmp_path / "hot.txt").write_text("face\n")
    options = ("--data", manifest, "--hotwords", tmp_path / "hot.txt", "--out", tmp_path / "tuned.yaml")
    for more in ((), ("--language", "en")):
        status, _, error = lines("tune", "--model", model, *options, *more)
        assert status == 1 and "writes its texts token after token" in error and "--search.hot_weight" in error


def test_a_recording_longer_than_the_window_whose_words_are_in_doubt_is_left_out(
    model: Path, tmp_path: Path, lines: Lines
) -> None:
    long = replace(make_speaker(tmp_path, "ann", 1.1, 1, 1)[0], id="long", audio=str(tmp_path / "long.wav"))
    soundfile.write(long.audio, speak("face bead abba cab deed face bead", 1.0, 5), SAMPLE_RATE)
    long = replace(long, duration=probe(long.audio).duration)
    write_manifest(tmp_path / "ann.jsonl", [*make_speaker(tmp_path, "ann", 1.1, 3, 1), long])
    options = ("--method", "lhuc", "--steps", "1", "--check", "false", "--keep_suspicious", "--precision", "fp32")
    given = ("--model", model, "--data", tmp_path / "ann.jsonl", "--language", "en", "--out", tmp_path / "voice")
    status, told, error = lines("adapt", *given, *options)
    assert status == 0 and "cut it" not in error
    assert any(line.startswith("long: lasts") and "0.0 of" in line and "are used, in 0 pieces" in line for line in told)
    (left,) = read_record(tmp_path / "voice")["adaptation"]["left_out"]
    assert left.startswith("long@0.00-") and left.endswith("it is in doubt which words of the text belong to it")


@pytest.fixture
def english(model: Path, tmp_path: Path) -> Path:
    """Return the folder of a model of English alone: its tokenizer knows no mark of the task."""
    folder = Path(shutil.copytree(model, tmp_path / "english"))
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    (folder / "tokenizer.json").write_text(text.replace("<|transcribe|>", "<|other|>"), encoding="utf-8")
    return folder


@pytest.mark.parametrize("language", ["de", "zh", "xx"])
def test_another_language_is_refused_by_a_model_of_english_alone(
    english: Path, word: Path, language: str, lines: Lines
) -> None:
    """It was ignored, and the texts were English all the same."""
    status, told, error = lines("transcribe", "--model", english, "--language", language, word)
    assert status == 1 and told == [] and error.count("\n") == 1
    assert f"--language: the model writes English alone, not '{language}'; leave --language out" in error


def test_a_model_of_english_alone_hears_english(english: Path, word: Path, lines: Lines) -> None:
    """With `auto` the column of the language was empty."""
    _, (plain,), _ = lines("transcribe", "--model", english, word)
    for language in ("en", "eng", "en-US"):
        assert lines("transcribe", "--model", english, "--language", language, word)[1] == [plain]
    _, (found,), error = lines("transcribe", "--model", english, "--language", "auto", word)
    assert found.split("\t") == [str(word), "en", plain.split("\t")[1]] and "writes English alone" in error
