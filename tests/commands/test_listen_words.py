"""Words on top of everything: each kind of search with each kind of units, on languages that were learnt, with a
speaker's profile and without; every combination gives the word or says in one sentence why it cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import soundfile

from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.cli import main
from asr_transfer.commands.listen import open_recogniser
from asr_transfer.commands.options import ListenOptions
from asr_transfer.data.features import build_store
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.settings import SearchConfig
from asr_transfer.errors import AsrTransferError
from tests.tones import WORDS, speak
from tests.tongues import UNITS, make_profile

HEADS = ("en", *UNITS)
NEW = "bade"
"""A word that was never trained on."""
SENTENCE = "face bead cab"
SEARCHES: Mapping[str, tuple[str, ...]] = {
    "lexicon": ("lexicon",),
    "sentences": ("lexicon", "sentences"),
    "sentences-lm": ("lexicon", "sentences", "lm"),
    "sentences-hotwords": ("lexicon", "sentences", "hotwords"),
    "hotwords": ("hotwords",),
}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return recordings by what is said in them."""
    folder, made = tmp_path_factory.mktemp("said"), {}
    for seed, text in enumerate((NEW, "face", SENTENCE)):
        made[text] = folder / f"{seed}.wav"
        soundfile.write(made[text], speak(text, 1.0, seed), SAMPLE_RATE)
    return made


@pytest.fixture(scope="module")
def profile(tongues: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a speaker's profile."""
    return make_profile(tmp_path_factory.mktemp("speaker") / "profile", tongues)


@pytest.fixture(scope="module")
def words(tone_corpus: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of lexica, language models and hot words of all the languages."""
    folder = tmp_path_factory.mktemp("words")
    lm = folder / "lm.en.arpa"
    assert main(["lm", "make", "--texts", str(tone_corpus["train"]), "--order", "2", "--out", str(lm)]) == 0
    for head in HEADS:
        known = WORDS if head == "lw" else (*WORDS, NEW)
        phones = {word: "\t" + " ".join(word) if head == "lp" else "" for word in known}
        (folder / f"lexicon.{head}.txt").write_text("".join(f"{w}{p}\n" for w, p in phones.items()), encoding="utf-8")
        (folder / f"hotwords.{head}.txt").write_text("cab\n" if head == "lw" else f"cab\n{NEW}\n", encoding="utf-8")
        (folder / f"lm.{head}.arpa").write_text(lm.read_text("utf-8"), encoding="utf-8")
    return folder


def options(model: Path, head: str | None, search: str, words: Path, profile: Path | None = None) -> ListenOptions:
    """Return the options of a search by its name in `SEARCHES`, with the words of a folder."""
    given = SEARCHES[search]
    places = {name: words if name in given else None for name in ("lexicon", "lm", "hotwords")}
    return ListenOptions(model=model, language=head, profile=profile, sentences="sentences" in given, **places)


CASES = [case for case in product(HEADS, SEARCHES, (False, True)) if case[:2] != ("lp", "hotwords")]


@pytest.mark.parametrize(("head", "search", "adapted"), CASES)
def test_each_search_gives_the_words_of_each_language(
    head: str, search: str, adapted: bool, tongues: Path, words: Path, profile: Path, recordings: dict[str, Path]
) -> None:
    """New words where the units can spell them; of whole words only those that were trained."""
    recogniser = open_recogniser(options(tongues, head, search, words, profile if adapted else None))
    if head == "lw":
        assert recogniser.transcribe([recordings["face"]]) == ["face"]
        return
    expected = [NEW, "face"] if search == "lexicon" else [NEW, "face", SENTENCE]
    assert recogniser.transcribe([recordings[text] for text in expected]) == expected


@pytest.mark.parametrize("adapted", [False, True])
def test_hot_words_of_phones_need_pronunciations(adapted: bool, tongues: Path, words: Path, profile: Path) -> None:
    with pytest.raises(
        AsrTransferError, match=r"hotwords.lp.txt: the tokens of the model are phones, so hot words need"
    ):
        open_recogniser(options(tongues, "lp", "hotwords", words, profile if adapted else None))


@pytest.mark.parametrize(("search", "adapted"), product(SEARCHES, (False, True)))
def test_each_search_gives_the_words_of_the_language_that_is_found(
    search: str, adapted: bool, tongues: Path, words: Path, profile: Path, recordings: dict[str, Path]
) -> None:
    given = options(tongues, "auto", search, words, profile if adapted else None)
    if search == "hotwords":
        with pytest.raises(AsrTransferError, match="hotwords.lp.txt: the tokens of the model are phones"):
            open_recogniser(given)
        return
    found = open_recogniser(given)
    said = [Utterance(str(n), str(recordings["face"]), 0.4, "", "", "") for n in range(len(HEADS))]
    spoken = Spoken(said, build_store(said, found.model.inputs))
    assert found.listen(spoken, HEADS) == ["face"] * len(HEADS)


@pytest.mark.parametrize("head", ["lc", "lp", "ls"])
def test_a_hot_word_that_was_never_trained_pulls_what_is_heard(
    head: str, tongues: Path, recordings: dict[str, Path], tmp_path: Path
) -> None:
    """Of pieces of words it is found however it is cut; of phones by its pronunciation, among a lexicon's words."""
    hot, lexicon = tmp_path / "hot.txt", tmp_path / "lexicon.txt"
    hot.write_text("dade\n", encoding="utf-8")
    lexicon.write_text("bade\tb a d e\ndade\td a d e\n", encoding="utf-8")
    for weight in (0.0, 50.0):
        search = SearchConfig(hot_weight=weight)
        given = ListenOptions(model=tongues, language=head, hotwords=hot, search=search)
        if head == "lp":
            given = replace(given, lexicon=lexicon, sentences=True)
        found = open_recogniser(given).transcribe([recordings[NEW]])[0].split()
        assert ("dade" in found) == (weight > 0)


@pytest.mark.parametrize(
    ("head", "line", "message"),
    [
        ("lp", "bade", "is a list of words without phones, but the tokens of the model are phones"),
        ("lp", "bade\tb x d", "the word 'bade' has the phone 'x', which the model does not know"),
        ("lc", "bade\tb ey d", "is a lexicon of phones, but the model writes letters; give a list of its words"),
        ("lc", "baxe", "line 1: the word 'baxe': 'x' cannot be spelled by the model's characters"),
        ("ls", "baxe", "line 1: the word 'baxe': 'x' cannot be spelled by the model's subwords"),
        ("lw", "bade", "line 1: the word 'bade': 'bade' cannot be spelled by the model's words"),
        ("lw", "bade\tb a d e", "A model of whole words writes no others: leave them out"),
    ],
)
@pytest.mark.parametrize("sentences", [False, True])
def test_words_that_cannot_be_spelled_are_named(
    head: str, line: str, message: str, sentences: bool, tongues: Path, tmp_path: Path
) -> None:
    lexicon = tmp_path / "lexicon.txt"
    lexicon.write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(AsrTransferError) as caught:
        open_recogniser(ListenOptions(model=tongues, language=head, lexicon=lexicon, sentences=sentences)).transcribe(
            []
        )
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("head", ["ls", "lw"])
def test_pronunciations_do_not_hinder_models_that_spell_words(
    head: str, tongues: Path, recordings: dict[str, Path], tmp_path: Path
) -> None:
    lexicon = tmp_path / "lexicon.txt"
    lexicon.write_text("face\tf ey s\ndeed\td iy d\n", encoding="utf-8")
    found = open_recogniser(ListenOptions(model=tongues, language=head, lexicon=lexicon))
    assert found.transcribe([recordings["face"]]) == ["face"]
