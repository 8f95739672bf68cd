"""Files of words named by language: which one is meant, what is said of the rest, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.commands.listen import open_recogniser
from asr_transfer.commands.options import ListenOptions
from asr_transfer.commands.word_files import file_of, files_of
from asr_transfer.data.features import build_store
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.remarks import Remark
from tests.commands.conftest import Lines
from tests.tones import speak


@pytest.fixture
def word(tmp_path: Path) -> Path:
    file = tmp_path / "word.wav"
    soundfile.write(file, speak("bade", 1.0, 0), SAMPLE_RATE)
    return file


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """Return a folder with a lexicon of two of the model's languages, of which one alone has the word."""
    folder = tmp_path / "words"
    folder.mkdir()
    (folder / "lexicon.lc.txt").write_text("bade\nface\n", encoding="utf-8")
    (folder / "lexicon.lp.txt").write_text("deed\td ee d\nbead\tb e a d\n".replace("ee", "e e"), encoding="utf-8")
    return folder


def sure_of(head: str, model: Path, folder: Path) -> Path:
    """Return a folder of the model that takes all speech for one language."""
    recogniser = Recogniser.load(model, head)
    offsets = {name: 1000.0 * (name == head) for name in recogniser.model.head_names()}
    replace(recogniser, offsets=offsets).save(folder, "# A card\n", {})
    return folder


def test_each_recording_is_searched_for_the_words_of_its_language(tongues: Path, words: Path, word: Path) -> None:
    with pytest.warns(Remark, match="has no lexicon.LANGUAGE.txt for en, lw, ls, so recordings in these are spelled"):
        found = open_recogniser(ListenOptions(model=tongues, language="auto", lexicon=words))
    said = [Utterance(str(n), str(word), 0.4, "", "", "") for n in range(3)]
    spoken = Spoken(said, build_store(said, found.model.inputs))
    assert found.listen(spoken, ["lc", "lp", "en"])[:2] == ["bade", "bead"]
    assert found.listen(spoken, ["en"] * 3) == Recogniser.load(tongues, "en").transcribe([word] * 3)


@pytest.mark.parametrize(("head", "text"), [("lc", "bade"), ("lp", "bead")])
def test_the_language_that_is_found_has_its_own_lexicon(
    head: str, text: str, tongues: Path, words: Path, word: Path, tmp_path: Path, lines: Lines
) -> None:
    model = sure_of(head, tongues, tmp_path / "model")
    call = ["transcribe", "--model", model, "--language", "auto", "--lexicon", words, "--explain", text]
    status, told, error = lines(*call, word, word)
    assert status == 0 and told[0] == f"{word}\t{head}\t{text}" and text in told[1]
    assert error.count("has no lexicon.LANGUAGE.txt") == 1


def test_a_word_of_a_language_without_lexicon_cannot_be_explained(
    tongues: Path, words: Path, word: Path, tmp_path: Path, lines: Lines
) -> None:
    model = sure_of("en", tongues, tmp_path / "model")
    call = ["transcribe", "--model", model, "--language", "auto", "--lexicon", words, "--explain", "bade", word]
    status, _, error = lines(*call)
    assert status == 1 and "there is no lexicon of 'en'" in error and "Traceback" not in error


def test_sentences_and_hot_words_have_their_files_too(tongues: Path, words: Path, tmp_path: Path, word: Path) -> None:
    (words / "hotwords.en.txt").write_text("bade\n", encoding="utf-8")
    given = ListenOptions(model=tongues, language="auto", lexicon=words, sentences=True, hotwords=words)
    with pytest.warns(Remark, match="has no hotwords.LANGUAGE.txt for lc, lw, lp, ls, which have no hot words"):
        found = open_recogniser(given)
    assert [type(found.for_head(head).decode).__name__ for head in ("lc", "en", "ls")] == [
        "SentenceDecoder",
        "SpellingDecoder",
        "GreedyDecoder",
    ]
    assert found.for_head("lc").transcribe([word]) == found.for_head("en").transcribe([word]) == ["bade"]


def test_evaluation_under_auto_counts_words_and_spellings(
    tongues: Path, words: Path, word: Path, tmp_path: Path, lines: Lines
) -> None:
    word.with_suffix(".txt").write_text("bade", encoding="utf-8")
    model = sure_of("lc", tongues, tmp_path / "model")
    data = ["evaluate", "--model", model, "--data", word.parent, "--language", "auto", "--lexicon", words]
    status, told, _ = lines(*data, "--out", tmp_path / "scores")
    assert status == 0 and "WER 0.00 %" in told[-1] and not any("cannot write" in line for line in told)


@pytest.mark.parametrize("option", ["lexicon", "hotwords"])
def test_the_words_of_one_language_are_not_those_of_all(
    option: str, tongues: Path, words: Path, word: Path, lines: Lines
) -> None:
    call = ["transcribe", "--model", tongues, "--language", "auto", f"--{option}", words / "lexicon.lc.txt", word]
    status, _, error = lines(*call)
    assert status == 1 and f"give --{option} a folder of files named by language, such as {option}.en.txt" in error


def test_a_file_is_meant_whatever_the_language_and_a_folder_has_one_of_each(words: Path) -> None:
    file = words / "lexicon.lc.txt"
    assert file_of("lexicon", None, "lc") is None and file_of("lexicon", file, "xx") == file
    assert file_of("lexicon", words, "lc") == file
    with pytest.raises(DataError, match=r"holds no lexicon.ls.txt \(it has those of lc, lp\)"):
        file_of("lexicon", words, "ls")
    with pytest.raises(DataError, match=r"holds no lm.lc.arpa \(it has none of any language\)"):
        file_of("lm", words, "lc")


def test_files_of_unknown_languages_are_said_and_nothing_else_is_taken(words: Path) -> None:
    (words / "notes.txt").write_text("", encoding="utf-8")
    with pytest.warns(Remark, match=r"lexicon.lp.txt: not used, for the model has no language 'lp'. Did you mean 'lq'"):
        assert files_of("lexicon", words, ["lc", "lq"]) == {"lc": words / "lexicon.lc.txt"}
    with pytest.raises(DataError, match="holds no file of a language that the model knows \\(en, de\\)"):
        files_of("lexicon", words, ["en", "de"])
    with pytest.raises(DataError, match="there is no such folder; make it"):
        files_of("lexicon", words / "none", ["en"])
    with pytest.raises(ConfigError, match="belongs to one language"):
        files_of("lexicon", words / "lexicon.lc.txt", ["lc"])


def test_a_model_keeps_the_lexicon_of_each_language(tongues: Path, tmp_path: Path) -> None:
    lexica = {head: Lexicon.from_pairs([("ab", "a b"), (head, "b a")]) for head in ("en", "lc")}
    both = Recogniser.load(tongues, "en")
    both = replace(replace(both, lexicon=lexica["en"]).for_head("lc"), lexicon=lexica["lc"])
    both.save(tmp_path / "kept", "# A card\n", {})
    found = Recogniser.load(tmp_path / "kept", "lp")
    assert found.lexicon is None and {head: own.words for head, own in found.lexica.items()} == {
        head: own.words for head, own in lexica.items()
    }
    assert found.for_head("en").lexicon is not None and found.for_head("en").for_head("lp").lexicon is None
    assert found.written(by_head=True)["lc"] == ["ab", "lc", " "] and "ab" not in found.written()[""]
