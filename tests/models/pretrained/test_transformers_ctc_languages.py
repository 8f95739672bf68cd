"""Languages are learnt on published CTC models: their layers follow slowly, and frozen ones run once."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_transfer.config import ModelConfig, SpecAugmentConfig, TopConfig
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError
from asr_transfer.languages.choice import plan_ways
from asr_transfer.languages.config import LanguageConfig
from asr_transfer.languages.heads import fresh
from asr_transfer.languages.phases import Learner, all_layers
from asr_transfer.models.contract import SpeechModel
from asr_transfer.models.kinds import make_network
from asr_transfer.training.activations import masks_on_states
from asr_transfer.transfer.plan import LearningRate
from tests.models.pretrained.ctc_folders import write


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Recogniser:
    """Return a small published model, not to be changed."""
    folder = tmp_path_factory.mktemp("published")
    write(folder / "model", "wav2vec2")
    return Recogniser.load(folder / "model")


def test_its_layers_follow_slowly_and_there_is_no_top_to_train(source: Recogniser) -> None:
    model = source.model
    assert model.published() == model.blocks() and model.on_published() == model.untrained() == []
    (phase,) = all_layers(Learner(model, "main"), LanguageConfig())
    rates = [action for action in phase.actions if isinstance(action, LearningRate)]
    assert [rate.factor for rate in rates] == [0.01] and "encoder.layers.2" in rates[0].selector
    assert "top" not in plan_ways(30.0, False, False, bool(model.on_published()), bool(model.untrained())).ways


def test_layers_that_would_stand_nowhere_are_refused(source: Recogniser, tmp_path: Path) -> None:
    write(tmp_path / "model", "wav2vec2")
    with pytest.raises(ConfigError, match="heads stand on the encoder itself; leave it out"):
        make_network(ModelConfig(pretrained=tmp_path / "model", top=TopConfig(layers=1)), {"main": 5})
    assert make_network(ModelConfig(pretrained=tmp_path / "model"), {"main": 5}).published() == source.model.published()


def test_masks_of_a_second_of_waveform_are_masks_of_a_second_of_states(source: Recogniser) -> None:
    model = source.model
    masks = masks_on_states(SpecAugmentConfig(time_masks=2, time_width=40, frequency_masks=2), model)
    assert masks is not None and isinstance(model, SpeechModel)
    assert masks.time_width == round(0.4 / model.frame_shift()) and masks.frequency_width == 0


def test_a_network_of_it_takes_heads_of_other_languages(source: Recogniser) -> None:
    model = fresh(source.model, {"fr": 5, "de": 7})
    known = {name: own for name, own in source.model.state_dict().items() if not name.startswith("heads.")}
    assert not model.load_state_dict(known, strict=False).unexpected_keys
    assert model.blocks() == source.model.blocks() and model.head("de").out_features == 7
