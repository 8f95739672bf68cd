"""Made-up languages: splits without common sentences, words that only the tests hold, and settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.data.manifest import read_manifest
from asr_transfer.errors import ConfigError, DataError
from data_prep.made_up_languages import SPLITS, WORDS, MadeUpLanguages, prepare_made_up_languages

SMALL = MadeUpLanguages(("en", "nl"), voices=2, sentences=6, held_out=12, new=12)


@pytest.mark.voices
def test_splits_share_no_sentence_and_tests_hold_new_words(tmp_path: Path) -> None:
    folders = prepare_made_up_languages(SMALL, tmp_path, 2)
    spoken = {split: read_manifest(folders["nl"] / f"{split}.jsonl") for split in SPLITS}
    texts = {split: {u.text for u in own} for split, own in spoken.items()}
    assert [len(own) for own in spoken.values()] == [12, 12, 12, 12]
    assert not texts["train"] & (texts["dev"] | texts["test"] | texts["new"]) and not texts["dev"] & texts["test"]
    known = {word for split in ("train", "dev") for text in texts[split] for word in text.split()}
    assert {text for text in texts["test"] if " " not in text} - known
    assert {u.speaker for u in spoken["new"]} == {"nl-new"} and "nl-new" not in {u.speaker for u in spoken["train"]}
    before = (folders["nl"] / "train.jsonl").stat().st_mtime_ns
    assert prepare_made_up_languages(SMALL, tmp_path) == folders
    assert (folders["nl"] / "train.jsonl").stat().st_mtime_ns == before
    with pytest.raises(DataError, match="holds languages of other settings"):
        prepare_made_up_languages(MadeUpLanguages(("en", "nl")), tmp_path)


def test_each_language_has_its_own_distinct_words() -> None:
    for language, words in WORDS.items():
        assert len(set(words.split())) == len(words.split()) >= 60, language


def test_a_language_without_words_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="`made_up.languages` names 'svv'. Did you mean 'sv'"):
        MadeUpLanguages(("svv",))


def test_a_quick_corpus_keeps_the_language_that_is_learnt() -> None:
    assert MadeUpLanguages().shortened("nl").languages == ("en", "de", "nl")
