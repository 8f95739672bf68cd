"""Small letters and capitals are those of the language, when corpora are prepared and when texts are compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import ConfigError
from asr_transfer.evaluation.breakdown import hot_word_recall
from asr_transfer.evaluation.compare import compare_systems, load
from asr_transfer.evaluation.normalisation import normalise
from asr_transfer.evaluation.scoring import Hypothesis, align, score
from asr_transfer.orthography import case_of, lower, upper
from data_prep import fleurs, folder
from data_prep.transcripts import spoken
from tests.recorded import MakeAudio


@pytest.mark.parametrize(
    "language",
    ["tr", "tur", "TR", "tr-TR", "tr_tr", "tr_TR.UTF-8", "Turkish", "az", "aze", "crh", "tt-Latn", "kk_Latn", "gag"],
)
def test_an_i_without_a_dot_stays_without(language: str) -> None:
    assert lower("IŞIK", language) == "ışık" and upper("ışık iyi", language) == "IŞIK İYİ"
    for dotted in ("İstanbul", "I\u0307stanbul"):
        assert lower(dotted, language) == "istanbul"
    assert spoken("IRMAK, İyi", language) == "ırmak iyi"


@pytest.mark.parametrize("language", ["", "en", "de", "uz", "tt", "kk", "trv"])
def test_elsewhere_it_has_one(language: str) -> None:
    assert lower("IDEA", language) == "idea" and upper("idea", language) == "IDEA"
    assert lower("İstanbul", language) == "istanbul", "no dot may be left over"
    assert normalise("i\u0307stanbul", "lower", language) == "istanbul"


def test_others() -> None:
    assert lower("ΛΌΓΟΣ ΣΟΦΌΣ", "el") == "λόγος σοφός"
    assert lower("I\u0307\u0301", "lt") == "i\u0307\u0301" and lower("İ", "lt") == "i"
    assert lower("STRASSE ẞ", "de") == "strasse ß" and upper("maße", "de") == "MASSE"
    assert [case_of(s) for s in ("abc '", "ABC", "aBc", "你好", "")] == ["lower", "upper", "kept", "kept", "kept"]


def test_texts_are_compared_in_their_language() -> None:
    assert score(["IŞIK İYİ"], ["ışık iyi"], "lower", ["tr"]).characters.errors == 0
    assert score(["IŞIK", "ISIK"], ["ışık", "isik"], "basic", ["tr", "en"]).characters.errors == 0
    rows = [Hypothesis("a", "x", "tr", "KIZ geldi", "kız geldi"), Hypothesis("b", "y", "de", "KINO", "kino")]
    aligned = align(rows, profile="basic")
    assert aligned.counts().errors == 0
    assert hot_word_recall(aligned, ["Kız", "KINO"]).found == 2


def test_a_file_without_languages_takes_them_from_the_run(tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text(
        json.dumps({"id": "a", "speaker": "x", "language": "tr", "reference": "IŞIK", "hypothesis": "ışık"}), "utf-8"
    )
    (tmp_path / "other.jsonl").write_text(
        json.dumps({"id": "a", "audio_filepath": "a.wav", "text": "ışık", "pred_text": "IŞIK"}), "utf-8"
    )
    systems, _ = load([str(tmp_path / "own.jsonl"), str(tmp_path / "other.jsonl")], "lower")
    assert [entry.counts.errors for entry in compare_systems(systems).entries] == [0, 0]


def test_an_undetermined_language_is_none(tmp_path: Path) -> None:
    row = {"id": "a", "speaker": "x", "language": "und", "reference": "IŞIK", "hypothesis": "ışık"}
    (tmp_path / "own.jsonl").write_text(json.dumps(row), "utf-8")
    compared = compare_systems(load([str(tmp_path / "own.jsonl")], "lower")[0])
    assert any("give it with --language" in note for note in compared.notes)
    compared = compare_systems(load([str(tmp_path / "own.jsonl")], "lower", language="tr")[0])
    assert compared.base.counts.errors == 0 and not any("--language" in note for note in compared.notes)


def test_files_that_name_no_language_are_given_one(tmp_path: Path) -> None:
    (tmp_path / "ref.txt").write_text("u1 IŞIK yandı\nu2 İyi\n", "utf-8")
    (tmp_path / "hyp.txt").write_text("u1 ışık yandı\nu2 iyi\n", "utf-8")
    pair = f"{tmp_path / 'ref.txt'},{tmp_path / 'hyp.txt'}"
    right = compare_systems(load([pair], "basic", language="tr")[0])
    assert right.base.counts.errors == 0 and not any("--language" in note for note in right.notes)
    unknown = compare_systems(load([pair], "basic")[0])
    assert unknown.base.counts.errors == 1 and any("give it with --language" in note for note in unknown.notes)
    assert not any("--language" in note for note in compare_systems(load([pair])[0]).notes)
    (tmp_path / "own.jsonl").write_text(
        json.dumps({"id": "a", "speaker": "x", "language": "tr", "reference": "IŞIK", "hypothesis": "ışık"}), "utf-8"
    )
    with pytest.raises(ConfigError, match="all of these name theirs"):
        load([str(tmp_path / "own.jsonl")], "basic", language="tr")


def test_fleurs_is_lower_cased_anew(tmp_path: Path, make_audio: MakeAudio) -> None:
    root = tmp_path / "tr_tr"
    for number, split in enumerate(("train", "dev", "test")):
        row = [str(number), f"{number}.wav", "IŞIK, İyi.", "işik i̇yi", "", "1", "MALE"]
        make_audio(root / "audio" / split / f"{number}.wav", seconds=1.0 + number / 10)
        (root / f"{split}.tsv").write_text("\t".join(row) + "\n", "utf-8")
    fleurs.prepare(root, tmp_path / "out")
    assert [u.text for u in read_manifest(tmp_path / "out" / "train.jsonl")] == ["ışık iyi"]


def test_a_folder_is_lower_cased_in_each_rows_language(tmp_path: Path, make_audio: MakeAudio) -> None:
    for name in "abc":
        make_audio(tmp_path / f"{name}.wav")
    (tmp_path / "t.tsv").write_text(
        "file\ttext\tlanguage\na.wav\tIŞIK, KIZ!\ttr\nb.wav\tIT IS\ten\nc.wav\tİI\t\n", "utf-8"
    )
    assert [u.text for u in folder.read_folder(tmp_path, language="az")] == ["ışık, kız!", "it is", "iı"]
