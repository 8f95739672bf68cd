"""A whole Whisper is adapted, and judged by what it writes in one setting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from asr_transfer.adaptation.adapt import adapt
from asr_transfer.adaptation.answers import answers
from asr_transfer.adaptation.before_after import before_and_after
from asr_transfer.adaptation.choice import adapt_by_choice, candidates, trial_settings
from asr_transfer.adaptation.frozen_layers import Shared
from asr_transfer.adaptation.methods import default_learning_rate
from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig, MethodSettings
from asr_transfer.data.features import build_store
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.settings import WritingConfig
from asr_transfer.decoding.writing import Writer
from asr_transfer.errors import ConfigError
from asr_transfer.runs.record import RunRecord
from asr_transfer.training import views
from tests.models.pretrained.whole_whisper import write_whisper
from tests.tones import make_speaker

CONFIG = AdaptConfig(steps=2, precision="fp32", device="cpu", learning_rate=1e-2)
DECODER = MethodSettings(first=2)
"""Leaves the encoder's two layers alone."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("whisper")
    write_whisper(made / "published", 1)
    return made


@pytest.fixture(scope="module")
def source(folder: Path) -> Recogniser:
    return Recogniser.load(folder / "published")


@pytest.fixture(scope="module")
def spoken(folder: Path, source: Recogniser) -> Spoken:
    utterances = make_speaker(folder, "ann", 1.1, 6, 1)
    return Spoken(utterances, build_store(utterances, source.model.inputs, cache=folder / "store"))


@pytest.mark.parametrize("method", ["first-layers+kld", "lora+l2sp", "full+replay"])
def test_methods_combine(source: Recogniser, spoken: Spoken, method: str) -> None:
    adapted = adapt(source, spoken, method, CONFIG, source_speech=spoken.subset([4, 5]))
    moved = [name for name, tensor in adapted.end.items() if not torch.equal(tensor, adapted.start[name])]
    assert moved and (method != "lora+l2sp" or all(name.startswith("adapters.lora.") for name in moved))
    if method == "first-layers+kld":
        assert all(name.startswith(("encoder.front.", "encoder.layers.0.")) for name in moved)


@pytest.mark.parametrize("method", ["last-layers", "last-layers+kld", "lora"])
def test_a_frozen_encoder_is_run_once_for_each_recording(
    source: Recogniser, spoken: Spoken, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "IN_HALF", False)
    config = replace(CONFIG, steps=3, settings=replace(DECODER, blocks="decoder.layers[:2]"))
    front, heard = source.model.get_submodule("encoder.front"), []
    handle = front.register_forward_hook(lambda module, arguments, output: heard.append(len(arguments[0])))
    try:
        once = adapt(source, spoken, method, config, shared=Shared(source, spoken.store))
    finally:
        handle.remove()
    anew = adapt(source, spoken, method, config, shared=Shared(source, spoken.store, once=False))
    assert (once.depth, anew.depth) == (4 if method == "lora" else 3, 0)
    assert heard == [1] * len(spoken)
    assert all(torch.allclose(tensor, anew.end[name], atol=1e-3) for name, tensor in once.end.items())


def test_training_lowers_the_loss_of_the_texts(source: Recogniser, spoken: Spoken) -> None:
    adapted = adapt(source, spoken, "last-layers", replace(CONFIG, steps=30, settings=DECODER))
    few = adapt(source, spoken, "last-layers", replace(CONFIG, steps=1, settings=DECODER))
    assert adapted.result.history[-1]["train_loss"] < 0.8 * few.result.history[-1]["train_loss"]


def test_before_and_after_are_written_in_one_setting(
    source: Recogniser, spoken: Spoken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[tuple[WritingConfig, str]] = []
    write = Writer.write

    def noted(self: Writer, inputs, lengths, seconds, languages):  # type: ignore[no-untyped-def]
        used.extend((self.config, language) for language in languages)
        return write(self, inputs, lengths, seconds, languages)

    monkeypatch.setattr(Writer, "write", noted)
    asked = replace(source, language="cs", writing=WritingConfig(beam=2, tokens_per_second=4))
    adapted = adapt(asked, spoken, "last-layers", replace(CONFIG, settings=DECODER))
    lines: list[str] = []
    scores = before_and_after(
        "others", asked, adapted.recogniser, spoken, RunRecord(tmp_path / "run", {}), lines.append
    )
    assert len(used) == 2 * len(spoken) and set(used) == {(asked.writing, "cs")}
    assert scores["before"]["profile"] == scores["after"]["profile"] == "basic"
    assert set(scores["capped"]) == {"before", "after"} and any("capped at each clip's reference" in x for x in lines)


def test_answers_are_capped_errors_and_no_loss(source: Recogniser, spoken: Spoken) -> None:
    found = answers(source, spoken.spelled(source.tokens), range(len(spoken)))
    assert np.all(found.errors <= found.units) and found.errors.max() > 0
    assert np.allclose(found.losses - found.errors, 0.02 * found.units)


def test_auto_tries_methods_of_its_own_and_may_leave_the_model(source: Recogniser, spoken: Spoken) -> None:
    choice = ChoiceConfig(folds=2, strengths=(1.0,), token_by_token=("lhuc",))
    assert [one.method for one in candidates(choice, False, source.model)] == ["lhuc"]
    assert [one.method for one in candidates(choice, True, source.model)] == ["lhuc+replay"]
    # A rate of nothing changes nothing, which is no gain.
    adapted, chosen = adapt_by_choice(source, spoken, replace(CONFIG, steps=1), replace(choice, rates=(1e-9,)))
    assert (chosen.method, adapted.end) == ("none", {})


def test_auto_trains_the_encoder_or_adds_to_the_decoder_unless_it_is_told_otherwise(
    source: Recogniser, spoken: Spoken
) -> None:
    settings = trial_settings(MethodSettings(), source.model)
    assert (settings.first, settings.blocks) == (2, "decoder.layers.0 | decoder.layers.1")
    assert trial_settings(MethodSettings(first=3), source.model) == MethodSettings(first=3)
    encoder, decoder = (
        adapt(source, spoken, method, replace(CONFIG, settings=settings)) for method in ChoiceConfig().token_by_token
    )
    assert encoder.depth == 0 and all(name.startswith("encoder.") for name in encoder.end)
    assert {name.split(".")[2] for name in encoder.end if name.startswith("encoder.layers")} == {"0", "1"}
    assert decoder.depth == source.model.hearing() and all("decoder.layers" in name for name in decoder.end)


def test_pretrained_weights_take_smaller_steps(source: Recogniser) -> None:
    assert default_learning_rate("full", source.model) == pytest.approx(0.3 * default_learning_rate("full"))
    assert default_learning_rate("lora", source.model) == default_learning_rate("lora")


def test_a_recording_beyond_the_window_is_left_out_of_training(
    source: Recogniser, spoken: Spoken, recwarn: pytest.WarningsRecorder
) -> None:
    long = replace(spoken.utterances[0], id="long", duration=2.5)
    longer = Spoken([long, *spoken.utterances[1:]], spoken.store)
    longer._views = spoken._views  # type: ignore[misc]
    adapted = adapt(source, longer, "last-layers", replace(CONFIG, settings=DECODER))
    assert [name for name, _ in adapted.report.dropped] == ["long"]
    assert "the model hears 2 s at once" in adapted.report.dropped[0][1]


@pytest.mark.parametrize("with_source", [False, True])
def test_an_empty_list_is_told_and_not_taken_for_that_of_other_models(source: Recogniser, with_source: bool) -> None:
    with pytest.raises(ConfigError, match=r"^there is no method to choose from; name some in `choice`"):
        candidates(ChoiceConfig(token_by_token=()), with_source, source.model)
    for choice in (ChoiceConfig(with_source=()), ChoiceConfig(without_source=())):
        with pytest.raises(ConfigError, match="no method to choose from"):
            candidates(choice, bool(choice.without_source))
