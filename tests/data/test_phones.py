"""Phones: IPA cut up rightly, notations turned into it, distances that make sense, lexica mapped with a report."""

from __future__ import annotations

import importlib.util
import itertools
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from asr_transfer.data import phones
from asr_transfer.data.lexicon import Entry, Lexicon
from asr_transfer.data.notations import ARPABET, CMUDICT, FINALS, INITIALS, scheme_of, segment, to_ipa
from asr_transfer.data.phones import (
    Replaced,
    Respeller,
    distance,
    feature_table,
    features,
    map_lexicon,
    nearest,
    signatures,
    vector,
)
from asr_transfer.errors import AsrTransferError, ConfigError, DataError


def _cut(phones: str) -> list[str]:
    return phones.split()


needs_panphon = pytest.mark.skipif(importlib.util.find_spec("panphon") is None, reason="panphon is not installed")

SPANISH = _cut("a e i o u p b t d k ɡ m n ɲ f θ s x t͡ʃ l ʎ ɾ r j w")
ENGLISH = _cut("ɑ æ ʌ ɔ ɛ ɚ ɪ i ʊ u ə p b t d k ɡ m n ŋ f v θ ð s z ʃ ʒ h t͡ʃ d͡ʒ l ɹ j w")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("zˈiəɹoʊ", "z i ə ɹ o ʊ"),
        ("t͜sʲa t͡ʃʰiːˑ", "t͡sʲ a t͡ʃʰ iːˑ"),
        ("ʧʦ g:", "t͡ʃ t͡s ɡː"),
        ("kʷã.n̩|ç", "kʷ ã n̩ ç"),
        ("ma˨˩˦ ⁿda", "m a˨˩˦ ⁿ" + "d a"),
        ("", ""),
    ],
)
def test_ipa_is_cut_into_phones(text: str, expected: str) -> None:
    cut = segment(text)
    assert cut == (expected.split() if "ⁿ" not in text else ["m", "a˨˩˦ⁿ", "d", "a"])
    assert segment("".join(cut)) == cut
    assert all(unicodedata.is_normalized("NFC", phone) for phone in cut)
    assert segment(unicodedata.normalize("NFD", text)) == cut


def test_stress_stays_where_asked() -> None:
    assert segment("ˌʌndɚˈstænd", stress=True) == ["ˌʌ", "n", "d", "ɚ", "ˈs", "t", "æ", "n", "d"]


@pytest.mark.parametrize("text", ["a1", "中", "я", "t͡", "͡ts", "t͡͡s", "ʲ", "A", "a!"])
def test_what_is_no_ipa_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="is no IPA"):
        segment(text)


def test_arpabet_and_pinyin_become_ipa() -> None:
    assert to_ipa(_cut("HH AH0 L OW1"), "arpabet") == ["h", "ə", "l", "o", "ʊ"]
    assert to_ipa(_cut("ch ay l d"), "arpabet") == ["t͡ʃ", "a", "ɪ", "l", "d"]
    assert to_ipa(_cut("zh ong1 g uo2"), "pinyin") == ["ʈ͡ʂ", "ʊ", "ŋ", "k", "w", "o"]
    assert to_ipa(_cut("n v3 er2 s i4 sh i4 q i4"), "pinyin") == _cut("n y ɚ s ɹ̩ ʂ ɻ̩ t͡ɕʰ i")
    assert to_ipa(_cut("l iao3 x ve2"), "pinyin", tones=True) == ["l", "j", "a˨˩˦", "u", "ɕ", "ɥ", "ɛ˧˥"]
    assert to_ipa(["m", "a5", "m2"], "pinyin", tones=True) == ["m", "a", "m̩˧˥"]
    with pytest.raises(DataError, match="'ow' is no phone of pinyin"):
        to_ipa(["ow"], "pinyin")
    with pytest.raises(ConfigError, match="no notation 'apa'. Did you mean 'ipa'"):
        to_ipa(["a"], "apa")  # type: ignore[arg-type]


def test_notations_are_told_apart() -> None:
    assert scheme_of(_cut("z ih r ow")) == "arpabet"
    assert scheme_of(["Z", "IH1", "R", "OW0"]) == "arpabet"
    assert scheme_of(_cut("zh ong1 g uo2")) == "pinyin"
    assert scheme_of(_cut("z ɪ ɹ o ʊ")) == scheme_of(["a", "b"]) == scheme_of(["t͡ʃ"]) == "ipa"
    assert len(CMUDICT) == 39 and len(INITIALS) == 21


@needs_panphon
def test_every_phone_of_the_tables_has_features() -> None:
    for symbol, ipa in itertools.chain(ARPABET.items(), INITIALS.items(), FINALS.items()):
        for phone in ipa:
            assert segment(phone) == [phone], symbol
            assert set(features(phone).tolist()) <= {-1, 0, 1}


@needs_panphon
@pytest.mark.parametrize(
    ("phone", "expected"),
    [  # what panphon 0.22.2's own lookup returns
        ("t͡ʃ", "--+-+--+----++------0-00"),
        ("ʈ͡ʂʰ", "--+-+--+-+--+--00---0-00"),
        ("ɻ̩", "++-+----+---+-------0-00"),
        ("ç", "--++---------0-+----0-00"),
        ("iː", "++-+----+--0-0-+----++00"),
        ("œ̃", "++-+--+-+--0-0----+---00"),
        ("pʲ", "--+--------+-0++----0-00"),
        ("kː", "--+----------0-+-+--0+00"),
        ("r", "-+++0---+--++--00---0-00"),
    ],
)
def test_features_are_panphons_where_they_are_not_corrected(phone: str, expected: str) -> None:
    assert "".join("0+-"[value] for value in features(phone)[:24]) == expected
    assert feature_table().names[22:] == ("hitone", "hireg", "rhotic", "trill")
    assert features(phone)[24:].tolist() == {"r": [1, 1], "ɻ̩": [1, -1], "iː": [0, 0], "œ̃": [0, 0]}.get(phone, [-1, -1])


@needs_panphon
def test_contrasts_that_panphon_lacks_have_signatures_of_their_own() -> None:
    for a, b in (("r", "ɾ"), ("r", "r̝"), ("e", "ɐ"), ("ə", "ɜ"), ("k", "kʲ"), ("ɡ", "ɡʲ")):
        assert distance(a, b) > 0, (a, b)
    for inventory in (SPANISH, ENGLISH, _cut("r r̝ r̝̊ r̩ ɟ c ɲ")):
        assert len(np.unique(signatures(inventory), axis=0)) == len(inventory)


@needs_panphon
def test_distance_is_a_metric() -> None:
    some = [*SPANISH, "ɚ", "a͡ɪ", "h", "ɹ"]
    table = np.array([[distance(a, b) for b in some] for a in some])
    # Two features differ, of weights 0.125 and 0.125, each by 2.
    assert distance("θ", "s") == 0.5
    assert (table == table.T).all() and (np.diag(table) == 0).all()
    assert (table[~np.eye(len(some), dtype=bool)] > 0).all()
    assert (table[:, :, None] <= table[:, None, :] + table.T[None, :, :] + 1e-12).all()


@needs_panphon
@pytest.mark.parametrize(
    ("phone", "inventory", "expected"),
    [
        ("ɹ", SPANISH, "ɾ r"),
        ("h", SPANISH, "x"),
        ("z", SPANISH, "s"),
        ("v", SPANISH, "f b"),
        ("ð", SPANISH, "θ d"),
        ("ʊ", SPANISH, "u"),
        ("ɪ", SPANISH, "i"),
        ("æ", SPANISH, "a"),
        ("pʰ", SPANISH, "p"),
        ("r", ENGLISH, "ɹ"),
        ("x", ENGLISH, "h k"),
        ("ɕ", ENGLISH, "ʃ"),
        ("ʂ", ENGLISH, "ʃ"),
        ("ʎ", ENGLISH, "l j"),
        ("tʲ", ENGLISH, "t"),
        ("p͡f", ENGLISH, "p f"),
        ("ɨ", ENGLISH, "i"),
    ],
)
def test_the_nearest_phone_is_one_that_a_speaker_would_take(phone: str, inventory: list[str], expected: str) -> None:
    found, apart = nearest(phone, inventory)
    assert found in expected.split() and apart == distance(phone, found) > 0
    assert nearest(found, inventory) == (found, 0.0)


@needs_panphon
def test_several_phones_may_be_one_symbol_of_the_model() -> None:
    respeller = Respeller(_cut("aa ae ay ow t d r k"))
    assert respeller.scheme == "arpabet"
    assert respeller.respell(_cut("k a ɪ t o ʊ")) == (["k", "ay", "t", "ow"], [])
    symbols, replaced = respeller.respell(["ɾ", "ɑ"])
    assert symbols == ["r", "aa"] and replaced == [("ɾ", "r", distance("ɾ", "ɹ"))]
    assert Respeller(["aɪ", "t"]).respell(["t", "a", "ɪ"])[0] == ["t", "aɪ"]
    assert vector("ay", "arpabet").tolist() == ((features("a") + features("ɪ").astype(float)) / 2).tolist()


@needs_panphon
def test_every_cmudict_symbol_comes_back_from_ipa() -> None:
    respeller = Respeller(CMUDICT)
    for symbol in CMUDICT:
        assert respeller.respell(to_ipa([symbol], "arpabet")) == ([symbol], [])


@needs_panphon
def test_a_lexicon_is_mapped_with_a_report() -> None:
    lexicon = Lexicon(
        [Entry("rata", tuple("rata")), Entry("dog", ("d", "ɔ", "ɡ")), Entry("thin", ("θ", "ɪ", "n"), guessed=True)]
    )
    mapped, report = map_lexicon(lexicon, SPANISH)
    assert [entry.phones for entry in mapped] == [tuple("rata"), ("d", "o", "ɡ"), ("θ", "i", "n")]
    assert report == [Replaced("ɔ", "o", distance("ɔ", "o"), 1), Replaced("ɪ", "i", distance("ɪ", "i"), 1)]
    assert [entry.guessed for entry in mapped] == [False, False, True]
    mapped.check(SPANISH)
    again, nothing = map_lexicon(mapped, SPANISH)
    assert list(again) == list(mapped) and nothing == []


@needs_panphon
def test_mapping_between_notations_and_merging() -> None:
    lexicon = Lexicon([Entry("ride", tuple(_cut("r ay d"))), Entry("bid", tuple(_cut("b ih d")), -1.0),
                       Entry("bid", tuple(_cut("b iy d")), -0.5)])  # fmt: skip
    mapped, report = map_lexicon(lexicon, SPANISH)
    assert [(entry.word, "".join(entry.phones), entry.weight) for entry in mapped] == [
        ("ride", "ɾaid", 0.0),
        ("bid", "bid", -0.5),
    ]
    assert [(one.phone, one.by, one.entries) for one in report] == [("ɪ", "i", 2), ("ɹ", "ɾ", 1)]


@needs_panphon
def test_what_cannot_be_mapped_is_named(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("a\ta\nzorro\tθ 9 ro\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        map_lexicon(Lexicon.read(file), SPANISH)
    assert str(caught.value).startswith(f"{file} line 2: the word 'zorro' cannot be mapped: '9' is no IPA")
    for wrong in (lambda: nearest("a", []), lambda: features("ai"), lambda: features("ⱱ"), lambda: nearest("9", ["a"])):
        with pytest.raises(AsrTransferError) as caught:
            wrong()
        assert "\n" not in str(caught.value)


def test_without_panphon_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    feature_table.cache_clear()
    monkeypatch.setattr(phones.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"`panphon` is not installed; install it with: pip install asr-transfer\[phones\]"
    ):
        distance("a", "b")
    assert segment("ab") == ["a", "b"]
