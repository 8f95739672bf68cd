"""Speech of the path: what is adapted to and scored, and languages whose corpora are absent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from asr_transfer.errors import ConfigError, DataError
from asr_transfer.experiments.own_language.corpora import find_speech
from tests.own_paths import LANGUAGE, make_speech, path_config


def test_no_sentence_is_adapted_to_and_scored(tmp_path: Path) -> None:
    target = make_speech(tmp_path).targets[0]
    scored = [{u.id for u in own} for own in target.tests().values()]
    draws = [{u.id for u in target.own(seed)} for seed in range(6)]
    trained = {u.id for u in target.taught(0.2, 0)}
    assert scored[1] and all(len(own) == 4 and not own & scored[1] for own in draws)
    assert len({tuple(sorted(own)) for own in draws}) > 1, "each seed draws others"
    assert not trained & (scored[0] | scored[1]) and target.tests() == target.tests()


def test_a_speaker_of_few_recordings_is_refused(tmp_path: Path) -> None:
    target = replace(make_speech(tmp_path).targets[0], sentences=25)
    with pytest.raises(DataError, match=r"fr/new: has 30 recordings, too few to adapt to 25 of them"):
        target.own(0)


def test_languages_whose_corpora_are_absent_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASR_TRANSFER_DATA", str(tmp_path / "none"))
    make_speech(tmp_path)
    folder = tmp_path / "corpora" / "asterisk-en"
    (tmp_path / "en").rename(tmp_path / "asterisk-en")
    folder.parent.mkdir()
    (tmp_path / "asterisk-en").rename(folder)
    (tmp_path / "fr").rename(tmp_path / "corpora" / "asterisk-fr")
    places = {part: (f"asterisk-fr/{split}",) for part, split in (("train", "train"), ("dev", "dev"), ("new", "test"))}
    here = replace(LANGUAGE, heard=(), **places)
    absent = replace(here, language="nl", train=("fillets-nl/train",))
    said: list[str] = []
    found = find_speech(path_config(languages=(here, absent)), tmp_path / "corpora", said.append)
    assert [target.name for target in found.targets] == ["fr"]
    assert "nl: is left out, for fillets-nl/train is absent" in said
    assert list(found.sources) == ["asterisk-en/train", "asterisk-en/dev"], "the learnt language is no source"


def test_targets_choose_languages(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no language has all of its corpora among `targets`"):
        find_speech(path_config(), tmp_path, print, targets=("fillets-nl",))
