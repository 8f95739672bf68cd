"""Rates are learnt for speakers, languages and images by one experiment, on others than the source model's."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.config import FeatureConfig, ModelConfig, SourceConfig, TrainerConfig
from asr_transfer.errors import DataError
from asr_transfer.experiments.rates.config import ImageRates, RatesConfig, SpeechRates
from asr_transfer.experiments.rates.experiment import rate_plot, rate_tables, rows_of, run_rates
from asr_transfer.experiments.rates.images import image_rates
from asr_transfer.experiments.rates.speech import parts
from asr_transfer.transfer.learned_rates import LearnedRates
from tests.tones import make_languages

SOURCE = SourceConfig(
    ModelConfig("tdnn", layers=2, dim=16, channels=16, features=FeatureConfig(mels=20)),
    TrainerConfig(steps=4, batch_budget=1500, validate_every=0, device="cpu", precision="fp32"),
    speeds=(1.0,),
)
SHORT = {"items": 2, "steps": 2, "updates": 2, "together": 1, "batch_budget": 300, "batches": 2}


def test_speakers_and_images_have_a_rate_for_every_block(
    tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path
) -> None:
    config = RatesConfig(
        speakers=SpeechRates(corpora=("tones",), source=SOURCE, learn=2, test=1, **SHORT),
        images=ImageRates(source_steps=2, learn=3, test=3, channels=(4, 4), **SHORT),
        seeds=(0,),
    )
    found = run_rates(config, {"speakers": [tone_corpus["train"]]}, tmp_path, 1)
    (speakers,), (images,) = found["speakers"], found["images"]
    assert list(speakers.factors) == ["frontend", "encoder.layers.0", "encoder.layers.1", "encoder.norm", "heads"]
    assert list(images.factors) == ["encoder.layers.0", "encoder.layers.1", "heads"]
    assert all(factor != 1 for one in (speakers, images) for factor in one.factors.values())
    assert len({round(one, 9) for one in (images.before, images.constant, images.learned)}) == 3
    rates, worth = rate_tables(found)
    assert [row[1] for row in rates.rows[-3:]] == ["`encoder.layers.0`", "`encoder.layers.1`", "`heads`"]
    assert worth.rows[0][:2] == ("speakers", "1")
    assert "images: heads" in rate_plot(rows_of(found)).svg()
    again = run_rates(config, {"speakers": [tone_corpus["train"]]}, tmp_path, 1)
    assert again == found, "what is finished is read, not made again"


def test_languages_have_new_heads_of_one_rate(feature_cache: Path, tmp_path: Path) -> None:
    made = make_languages(tmp_path / "languages", 8)
    text = made["train"].read_text()
    third = text.replace('"language": "nl"', '"language": "de"').replace('"id": "nl-', '"id": "de-')
    also = tmp_path / "languages" / "third.jsonl"
    also.write_text("".join(line + "\n" for line in third.splitlines() if '"de"' in line))
    config = RatesConfig(languages=SpeechRates(corpora=("tones",), source=SOURCE, learn=1, test=1, **SHORT), seeds=(0,))
    found = run_rates(config, {"languages": [made["train"], also]}, tmp_path / "run", 1)
    (learned,) = found["languages"]
    assert list(learned.factors)[-1] == "heads" and learned.factors["heads"] != 1
    assert learned.before != learned.constant


def test_nobody_is_in_two_parts_and_too_few_are_refused() -> None:
    config = SpeechRates(corpora=("x",), learn=2, test=1)
    source, learn, test = parts(list("aabbccdd"), config, 1, "speakers")
    assert sorted(source + learn + test) == list("abcd") and (len(learn), len(test)) == (2, 1)
    with pytest.raises(DataError, match="have 3 speakers, too few to leave 2 to learn on and 1 to try on"):
        parts(list("abc"), config, 1, "speakers")


def test_classes_of_images_are_other_ones_than_the_source_models() -> None:
    model, learn, test = image_rates(ImageRates(source_steps=1, learn=3, test=3, channels=(4,)), 0)
    assert (model.heads["seen"].out_features, model.heads["new"].out_features) == (4, 3)
    assert len(set(learn.together or ())) == 6 == len(set(test.together or ()))


def test_a_table_of_several_seeds_says_how_far_they_are_apart() -> None:
    seeds = [LearnedRates({"frontend": factor}, 1.0, 0.5, learned) for factor, learned in ((0.5, 0.4), (2.0, 0.6))]
    rates, worth = rate_tables({"speakers": seeds})
    assert rates.rows == (("speakers", "`frontend`", "1.00", "0.50 to 2.00"),)
    assert worth.rows == (("speakers", "2", "1.000", "0.500", "0.500", "1 of 2"),)
