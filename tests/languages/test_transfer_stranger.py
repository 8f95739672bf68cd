"""A further language on a stranger's model: what the contract allows is learnt, what it does not is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.languages.transfer import learn_language
from asr_transfer.models.progressive import ProgressiveModel
from tests.models.stranger import Stranger, StrangerConfig
from tests.small import different, settings, snapshot
from tests.tones import make_speaker

Made = tuple[dict[str, list[Utterance]], FeatureStore]


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Return utterances of two languages and their features."""
    folder = tmp_path_factory.mktemp("stranger")
    made = {
        name: [replace(u, language=name) for u in make_speaker(folder, name, shift, 6, seed)]
        for seed, (name, shift) in enumerate((("en", 1.0), ("fr", 1.5)))
    }
    inputs = Stranger(StrangerConfig(), {}).inputs
    return made, build_store(made["en"] + made["fr"], inputs, (1.0,), folder / "cache")


def _source() -> Recogniser:
    torch.manual_seed(4)
    tokens = Tokens(["a", "b", "c", "d", "e", "f", " "])
    return Recogniser(Stranger(StrangerConfig(), {"en": len(tokens)}).eval(), tokens, "en", {})


def _config(mode: Any, steps: int = 3, **more: Any) -> LanguageConfig:
    trainer = settings(steps=steps, batch_budget=400, optimizer="adamw", learning_rate=0.01)
    return LanguageConfig(mode, trainer=trainer, augment=None, speeds=(1.0,), **more)


def _learnt(spoken: Made, config: LanguageConfig) -> Any:
    made, store = spoken
    return learn_language(_source(), Spoken(made["fr"], store), Spoken([], store), config)


def _moved(before: Any, after: Any) -> set[str]:
    """Return what has changed, of blocks the layer; keys' biases, which attention does not feel, are left out."""
    names = (n for n in before if not n.endswith("k_proj.bias") and not torch.equal(before[n], after[n]))
    return {".".join(n.split(".")[: 3 if n.startswith("encoder") else 1]) for n in names}


@pytest.mark.parametrize("mode", ["head", "all", "gradual", "joint"])
def test_a_language_is_learnt_on_shared_layers(mode: str, spoken: Made, tmp_path: Path) -> None:
    made, store = spoken
    source = _source()
    before = snapshot(source.model)
    beside = made["en"] if mode == "joint" else []
    config = _config(mode, steps=8 if mode == "gradual" else 3)
    learnt = learn_language(
        source, Spoken(made["fr"], store), Spoken([], store), config, source_speech=Spoken(beside, store)
    )
    layers = {"feature_extractor", "feature_projection", *(f"encoder.layers.{n}" for n in range(3))}
    wanted = {"head": set(), "joint": layers | {"heads"}}.get(mode, layers)
    assert _moved(before, snapshot(learnt.recogniser.model)) == wanted
    learnt.recogniser.save(tmp_path / "model", "", {})
    again = Recogniser.load(tmp_path / "model", "fr")
    assert isinstance(again.model, Stranger) and again.model.head_names() == ["en", "fr"]


def test_a_new_column_listens_to_a_stranger(spoken: Made, tmp_path: Path) -> None:
    source = _source()
    before = snapshot(source.model)
    learnt = learn_language(
        source, Spoken(spoken[0]["fr"], spoken[1]), Spoken([], spoken[1]), _config("progressive", rank=3)
    ).recogniser
    assert isinstance(learnt.model, ProgressiveModel)
    assert not different(snapshot(learnt.model.base), before) and not different(snapshot(source.model), before)
    assert all(bool(lateral.up.any()) for lateral in learnt.model.laterals)  # type: ignore[union-attr,operator]
    learnt.save(tmp_path / "model", "", {})
    again = Recogniser.load(tmp_path / "model", "fr")
    assert again.model.head_names() == ["fr", "en"]
    assert not different(snapshot(again.model), snapshot(learnt.model))
    data = Spoken(spoken[0]["fr"], spoken[1])
    batch = data.collate(range(4))
    with torch.no_grad():
        logits = [own.logits(batch.inputs, batch.lengths)[0] for own in (learnt, again, learnt.for_head("en"), source)]
    assert torch.equal(logits[0], logits[1])
    torch.testing.assert_close(logits[2], logits[3])


def test_gradual_opens_a_strangers_layers_from_the_top(spoken: Made) -> None:
    learnt = learn_language(
        _source(), Spoken(spoken[0]["fr"], spoken[1]), Spoken([], spoken[1]), _config("gradual", steps=8)
    )
    trained = [{row[0] for row in plan.rows() if row[4] == "trained"} for plan in learnt.plans]
    top = [{f"encoder.layers.{n}" for n in range(first, 3)} for first in (3, 2, 1, 0)]
    assert trained[:4] == [{"heads.fr"} | layers for layers in top]
    assert trained[4] - trained[3] == {"feature_extractor.conv", "feature_projection"}


def test_a_known_head_goes_on_and_grows(spoken: Made) -> None:
    made, store = spoken
    more = [replace(u, text=u.text.replace("a", "ä")) for u in made["en"]]
    learnt = learn_language(
        _source(), Spoken(more, store), Spoken([], store), _config("head", keep_head=True)
    ).recogniser
    assert learnt.tokens.symbols[-1] == "ä" and isinstance(learnt.model, Stranger)
    assert learnt.model.head("en").out_features == len(learnt.tokens)


def test_speakers_are_told_apart_above_a_strangers_last_block(spoken: Made) -> None:
    two = [replace(u, speaker=f"s{n % 2}") for n, u in enumerate(spoken[0]["fr"])]
    config = _config("all", speaker_adversarial=0.1)
    learnt = learn_language(_source(), Spoken(two, spoken[1]), Spoken([], spoken[1]), config)
    plain = learn_language(_source(), Spoken(two, spoken[1]), Spoken([], spoken[1]), _config("all", speaker_alpha=0.5))
    assert different(snapshot(learnt.recogniser.model), snapshot(plain.recogniser.model))
    assert learnt.result.steps == 3


@pytest.mark.parametrize("mode", ["scratch", "progressive-random"])
def test_what_needs_a_network_of_this_house_is_refused(mode: str, spoken: Spoken) -> None:
    with pytest.raises(
        ConfigError, match=r"the source is a Stranger, whose network .* head, all, gradual, joint or progressive"
    ):
        _learnt(spoken, _config(mode))


def test_features_of_another_normalisation_are_refused(spoken: Made) -> None:
    with pytest.raises(ConfigError, match=r"`language.normalisation` .* not of a Stranger; leave it out"):
        learn_language(
            _source(), Spoken(spoken[0]["fr"], spoken[1]), Spoken([], spoken[1]), _config("all", normalisation="fixed")
        )
