"""Marks within words stay or go by what the script does with them, and never cut a word in two."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.data.g2p import pronounce
from asr_transfer.evaluation.normalisation import normalise
from asr_transfer.evaluation.scoring import score
from data_prep import folder
from data_prep.transcripts import spoken, text_defect
from tests.recorded import MakeAudio

APOSTROPHES = ["'", "’", "‘", "ʼ", "ʻ", "`", "´", "＇", "‛", "′", "ʽ"]


@pytest.mark.parametrize("mark", APOSTROPHES)
def test_an_apostrophe_is_one_whatever_its_code_point(mark: str) -> None:
    for word, language in (("O‘zbek", "uz"), ("l‘eau", "fr"), ("d‘aigua", "ca"), ("м‘ята", "uk"), ("c‘hoar", "br")):
        text = spoken(word.replace("‘", mark), language)
        assert text == word.lower().replace("‘", "'")
        assert text_defect(text, script="") is None
    assert normalise(f"don{mark}t", "basic") == "don't"


@pytest.mark.parametrize("mark", APOSTROPHES)
def test_at_the_edge_it_stays_where_it_is_a_letter(mark: str) -> None:
    assert spoken(f"tog{mark} bo{mark}", "uz") == "tog' bo'"
    assert spoken(f"{mark}okina Hawai{mark}i", "haw") == "'okina hawai'i"
    assert spoken(f"Dis {mark}n man", "af") == "dis 'n man"
    assert spoken(f"{mark}don't{mark}", "en").strip("ʼ") == "don't"


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("El col·legi", "ca", "el col·legi"),
        ("El col‧legi", "ca", "el col·legi"),
        ("El coŀlegi, INTEL·LIGÈNCIA", "ca", "el col·legi intel·ligència"),
        ("col.legi", "ca", "col·legi"),
        ("in·hèrn", "oc", "in·hèrn"),
        ("马克·吐温", "zh", "马克 吐温"),
        ("Ի՞նչ ես ասում՛, այո՜", "hy", "ինչ ես ասում այո"),
        ("բարեւ՝ ընկեր։", "hy", "բարեւ ընկեր"),
        ("צה״ל", "he", "צה״ל"),
        ('צה"ל אמר: "שלום"', "he", "צה״ל אמר שלום"),
        ("צה''ל", "he", "צה״ל"),
        ("ג׳ירפה ג'ירפה ג’ירפה", "he", "ג׳ירפה ג׳ירפה ג׳ירפה"),
        ("סנדוויץ' 'שלום'", "he", "סנדוויץ׳ שלום"),
        ("EU:n jäsen", "fi", "eu:n jäsen"),
        ("S:t Eriks, ja: nej", "sv-SE", "s:t eriks ja nej"),
        ("note: this:that", "en", "note this that"),
        ("مـــرحبا", "ar", "مرحبا"),
        ("হ’ল মা'র", "bn", "হ'ল মা'র"),
        ("rock ’n’ roll, the dogs’ well-known `bone`", "en", "rock n roll the dogs well known bone"),
        ("Dis ŉ ‘nuwe’ man", "af", "dis 'n nuwe man"),
        ("¿Qué? ´sí´", "es", "qué sí"),
    ],
)
def test_each_script_keeps_its_words(text: str, language: str, expected: str) -> None:
    found = spoken(text, language)
    assert found == expected and spoken(found, language) == found
    assert text_defect(found, script="") is None


@pytest.mark.voices
@pytest.mark.parametrize(
    ("word", "language"),
    [("col·legi", "ca"), ("tog'", "uz"), ("eu:n", "fi"), ("ג׳ירפה", "he"), ("می\u200cخواهم", "fa")],
)
def test_words_as_they_are_prepared_can_be_pronounced(word: str, language: str) -> None:
    assert pronounce([word], language, source="espeak")[0].phones


def test_references_and_hypotheses_with_other_marks_agree() -> None:
    assert score(["O‘zbek tog‘i"], ["oʻzbek tog`i"], "basic", ["uz"]).words.errors == 0
    assert score(["EU:n"], ["eu:n"], "basic", ["fi"]).words.reference == 1
    assert score(["l’eau"], ["l'eau"], "basic").words.errors == 0


def test_a_folder_gets_one_apostrophe_and_keeps_its_punctuation(tmp_path: Path, make_audio: MakeAudio) -> None:
    make_audio(tmp_path / "a.wav")
    (tmp_path / "a.txt").write_text("O`zbek: «bog‘», O’zbek; ‘ha’", "utf-8")
    (found,) = folder.read_folder(tmp_path, language="uz")
    assert found.text == "o'zbek: «bog'», o'zbek; ‘ha’"
