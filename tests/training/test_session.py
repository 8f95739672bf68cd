"""Training one recogniser of several languages: heads, units and figures of each, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from asr_transfer.config import FeatureConfig, ModelConfig, SourceConfig, SpecAugmentConfig, TrainerConfig
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.manifest import Utterance, by_language
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError, ModelError
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.training.hypotheses import hypotheses
from asr_transfer.training.session import speech_task, train_recogniser
from asr_transfer.training.trainer import Trainer
from tests.small import different, snapshot
from tests.tones import make_speaker

FEATURES = FeatureConfig(mels=20)


def config(**changes: Any) -> SourceConfig:
    """Return settings of a tiny model on whole recordings."""
    training = {"steps": 12, "batch_budget": 1500, "validate_every": 6, "device": "cpu", "learning_rate": 0.01}
    training.update({name: changes.pop(name) for name in list(changes) if name in TrainerConfig.__dataclass_fields__})
    model = ModelConfig("tdnn", layers=2, dim=24, channels=24, features=FEATURES)
    return SourceConfig(model, TrainerConfig(**training), SpecAugmentConfig(1, 4, 1, 4), (1.0,), **changes)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Utterance], list[Utterance], FeatureStore]:
    """Return train and dev utterances of English and, an octave up and with tones, Mandarin; and their features."""
    folder = tmp_path_factory.mktemp("languages")
    made = {
        name: make_speaker(folder, name, shift, 16, seed)
        for seed, (name, shift) in enumerate((("anna", 1.0), ("ben", 1.05), ("chen", 2.3), ("ding", 2.4)))
    }
    for name in ("chen", "ding"):
        made[name] = [
            replace(
                u, language="cmn", pronunciation=" ".join(f"{letter}{n % 4 + 1}" for n, letter in enumerate(phones))
            )
            for u in made[name]
            for phones in [u.text.replace(" ", "")]
        ]
    everything = [u for part in made.values() for u in part]
    store = build_store(everything, FEATURES, (1.0,), tmp_path_factory.mktemp("features"))
    return made["anna"] + made["chen"], made["ben"] + made["ding"], store


@pytest.fixture(scope="module")
def trained(spoken: Any) -> Any:
    """Return a recogniser of English characters and toneless Mandarin phones, its training and its report."""
    train, dev, store = spoken
    return train_recogniser(Spoken(train, store), Spoken(dev, store), config(units_of={"cmn": "toneless-phones"}))


def test_each_language_gets_its_head_its_units_and_its_figures(trained: Any) -> None:
    recogniser, result, report = trained
    assert recogniser.head == "cmn" and set(recogniser.others) == {"en"} == set(recogniser.model.heads) - {"cmn"}
    assert recogniser.tokens.symbols[1:] == list("abcdef") and recogniser.tokens.units == "toneless-phones"
    assert recogniser.others["en"].symbols[1:] == list(" abcdef")
    assert report.kept == 32 and not report.dropped
    assert result.best is not None
    assert result.best["wer"] == pytest.approx((result.best["en.wer"] + result.best["cmn.wer"]) / 2)


def test_each_language_is_heard_through_its_own_head(trained: Any, spoken: Any, tmp_path: Path) -> None:
    recogniser, (_, dev, store) = trained[0], spoken
    recogniser.save(tmp_path / "model", "", {})
    again = Recogniser.load(tmp_path / "model", "en")
    found = hypotheses(again, Spoken(dev, store), by_head=True)
    assert [h.id for h in found] == [u.id for u in dev]
    english = hypotheses(again, Spoken(dev[:16], store))
    assert found[:16] == english
    assert found[16:] == hypotheses(recogniser, Spoken(dev[16:], store))
    assert found[20].reference == dev[20].spelled("toneless-phones")


def test_one_language_is_trained_as_by_a_plain_trainer(spoken: Any) -> None:
    train, dev, store = by_language(spoken[0])["en"], by_language(spoken[1])["en"], spoken[2]
    settings = config()
    recogniser, result, _ = train_recogniser(Spoken(train, store), Spoken(dev, store), settings)
    tokens = Tokens.from_texts(u.text for u in train)
    torch.manual_seed(0)
    model = AcousticModel(settings.model, {"en": len(tokens)})
    data = Spoken(train, store, tokens, (1.0,), settings.augment)
    checks = [speech_task("dev", Spoken(dev, store, tokens), "en")]
    task = speech_task("train", data, "en")
    plain = Trainer(model, [task], config=settings.trainer, validation=checks, monitor="wer").train()
    assert not different(snapshot(model), snapshot(recogniser.model))
    assert plain.history == result.history
    assert not recogniser.others


def test_a_language_without_development_speech_is_named(spoken: Any) -> None:
    lines: list[str] = []
    train, dev, store = spoken
    _, result, _ = train_recogniser(
        Spoken(train, store), Spoken(by_language(dev)["en"], store), config(steps=2), log=lines.append
    )
    assert "no development utterances in cmn" in lines[0]
    assert result.best is not None and "wer" in result.best


def test_what_cannot_be_trained_is_refused_by_name(spoken: Any) -> None:
    train, dev, store = spoken
    for changes, message in (
        ({"units_of": {"cmm": "phones"}}, "names the language 'cmm'.*Did you mean 'cmn'"),
        ({"units_of": {"en": "phone"}}, "`units_of.en` is 'phone'. Did you mean 'phones'"),
        ({"units_of": {"en": "phones"}}, f"utterance '{train[0].id}': has no `pronunciation`"),
    ):
        with pytest.raises((ConfigError, DataError), match=message):
            train_recogniser(Spoken(train, store), Spoken(dev, store), config(**changes))
    with pytest.raises(ConfigError, match="a lexicon of one language"):
        words = config(isolated_words=False)
        words = replace(words, model=replace(words.model, units="words"), isolated_words=True)
        train_recogniser(Spoken(train, store), Spoken(dev, store), words)
    with pytest.raises(DataError, match="hold the language 'eng'"):
        train_recogniser(Spoken(train, store), Spoken([replace(dev[0], language="eng")], store), config())
    with pytest.raises(DataError, match=f"'{dev[20].id}'.*'z' cannot be spelled"):
        train_recogniser(Spoken(train, store), Spoken([*dev[:20], replace(dev[20], text="zab")], store), config())
    with pytest.raises(DataError, match="no utterances to train on"):
        train_recogniser(Spoken([], store), Spoken([], store), config())
    with pytest.raises(ModelError, match="cannot be called 'to'"):
        train_recogniser(Spoken([replace(u, language="to") for u in train], store), Spoken([], store), config())
    with pytest.raises(DataError, match="no utterance of the language cmn is long enough"):
        long = [replace(u, text="ab" * 300) if u.language == "cmn" else u for u in train]
        train_recogniser(Spoken(long, store), Spoken([], store), config())
    with pytest.raises(ConfigError, match="`alpha` must be from 0 to 1, got 2.0"):
        config(alpha=2.0)
