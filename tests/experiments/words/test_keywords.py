"""Keywords across speakers run from one experiment, on words of tones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.config import ModelConfig, SourceConfig, TrainerConfig
from asr_transfer.data.manifest import Utterance, write_manifest
from asr_transfer.errors import ConfigError, DataError
from asr_transfer.experiments.words.keywords import WAYS, KeywordsConfig, keyword_table, run_keywords, source_speech
from tests.tones import WORDS, speak

CONFIG = KeywordsConfig(
    corpus="words",
    source_corpora=("texts",),
    without=("face",),
    source=SourceConfig(
        model=ModelConfig(layers=1, dim=8, channels=8),
        trainer=TrainerConfig(steps=2, batch_budget=500, validate_every=0, device="cpu"),
        speeds=(1.0,),
    ),
    words=3,
    shots=(1, 2),
    learn_from=(1, 2),
    recordings=2,
    background=5,
    episodes=2,
    seeds=(0, 1),
)


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Return folders of manifests: single words by three speakers, and texts by two."""
    found = {}
    for name, speakers, texts in (
        ("words", ("anna", "ben", "carl"), [(word, take) for word in WORDS[:5] for take in range(2)]),
        ("texts", ("dora", "emil"), [(f"{first} {WORDS[1]}", 0) for first in WORDS]),
    ):
        made = []
        for number, speaker in enumerate(speakers):
            for place, (text, take) in enumerate(texts):
                file = tmp_path / name / f"{speaker}-{place}.wav"
                file.parent.mkdir(exist_ok=True)
                samples = speak(text, 1 + 0.02 * number, 100 * number + place + take)
                soundfile.write(file, samples, SAMPLE_RATE)
                made.append(Utterance(file.stem, str(file), len(samples) / SAMPLE_RATE, text, speaker, "en"))
        found[name] = tmp_path / name
        write_manifest(found[name] / "all.jsonl", made)
    return found


def test_all_ways_on_log_mels_and_on_a_source_that_never_heard_the_words(
    folders: dict[str, Path], tmp_path: Path, feature_cache: Path
) -> None:
    rows = run_keywords(CONFIG, folders, tmp_path / "run", 1)
    assert [row.model for row in rows] == ["log-mel"] * 16 + ["source"] * 16
    assert {row.way for row in rows} == set(WAYS)
    assert all(0 <= row.right.value <= 1 and 0 <= row.equal <= 1 for row in rows)
    aligned = [row for row in rows if (row.model, row.way) == ("log-mel", "warped")]
    # Tones that are hardly shifted are told apart by their order, and nothing else is taken for them.
    assert all(row.right.value > 0.9 for row in aligned)
    lone = [row for row in rows if row.way == "mean" and row.shots * row.speakers == 1]
    assert all(row.missed is None for row in lone)
    assert len(keyword_table(rows, CONFIG).rows) == len(rows)
    heard = {
        line for line in (tmp_path / "run" / "source" / "run.json").read_text().splitlines() if "utterances" in line
    }
    assert any("14" in line for line in heard)  # of two times eight texts, all but the two with `face`


def test_the_source_hears_no_word_that_has_one_of_the_parts() -> None:
    texts = ("sixty words", "a phrase", "seven", "another", "a long text", "one too many")
    spoken = [Utterance(str(n), "", 1.0 + 9 * ("long" in text), text, "me", "en") for n, text in enumerate(texts)]
    config = replace(CONFIG, without=("six", "seven"), per_speaker=2)
    assert [u.text for u in source_speech(spoken, config)] == ["a phrase", "another"]
    with pytest.raises(DataError, match="nothing of `source_corpora` is left"):
        source_speech(spoken[:1], config)


def test_too_few_words_or_speakers_are_refused(folders: dict[str, Path], tmp_path: Path, feature_cache: Path) -> None:
    with pytest.raises(ConfigError, match="`words` is 1"):
        replace(CONFIG, words=1)
    with pytest.raises(ConfigError, match="`shots` has 2, but only 1 `recordings`"):
        replace(CONFIG, recordings=1)
