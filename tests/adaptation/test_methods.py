"""Every adaptation method by name: what it changes, that it can be stored, stopped, weakened and taken off again."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from asr_transfer.adaptation import adapt as adapting
from asr_transfer.adaptation.adapt import Adapted, adapt
from asr_transfer.adaptation.built_method import build
from asr_transfer.adaptation.film_summary import FILM
from asr_transfer.adaptation.methods import METHODS, default_learning_rate, needs_source
from asr_transfer.adaptation.own_statistics import ADABN
from asr_transfer.adaptation.profile import Profile, merged, save_profile
from asr_transfer.adaptation.settings import AdaptConfig, MethodSettings
from asr_transfer.config import FeatureConfig, ModelConfig, SpecAugmentConfig, TrainerConfig
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.settings import SutaConfig
from asr_transfer.errors import ConfigError, DataError, SelectionError
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.adapters import adapter_specs, add_adapter, base_state
from asr_transfer.plain import from_plain, to_plain
from asr_transfer.training.checkpoints import AtomicCheckpointer
from asr_transfer.training.trainer import Trainer
from tests.small import MELS, different, snapshot
from tests.spaces import STARTS, give_space
from tests.tones import Speech, two_speakers

COMBINATIONS = [
    "full+replay", "first-layers+kld", "lora+kld", "lhuc+replay", "full+l2sp+replay", "lora+lhuc", "lora+ewc",
    "pseudo-label+l2sp", "head+pseudo-label+replay", "first-layers+warp+replay",
    "mean-profile+front-end+replay", "eigen-profile+lhuc", "warp+nearest-profile",
]  # fmt: skip
ELSEWHERE = (FILM, ADABN)  # in test_film_summary.py and test_own_statistics.py
NAMES = [*(name for name in METHODS if name not in ELSEWHERE), *COMBINATIONS]
UNTRAINED = ["none", "suta", "warp", "warp-untranscribed", *STARTS, "warp+nearest-profile"]
TRAINED = [name for name in NAMES if name not in UNTRAINED]
every = pytest.mark.parametrize("name", NAMES)
# The layer between the front end and the encoder's first comes before all that `last-layers` should train.
exactly = pytest.mark.parametrize("name", NAMES)
trained = pytest.mark.parametrize("name", TRAINED)

CONFIG = AdaptConfig(
    steps=3,
    learning_rate=0.01,
    augment=SpecAugmentConfig(),
    settings=MethodSettings(rank=2, bottleneck=3, code=4, confidence=0.0),
    suta=SutaConfig(steps=3, learning_rate=0.05),
    precision="fp32",
    device="cpu",
)


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Speech:
    """Return recordings of two tone speakers."""
    return two_speakers(tmp_path_factory.mktemp("speech"), FeatureConfig(mels=MELS))


def make_source(dtype: torch.dtype = torch.float32) -> Recogniser:
    """Return a random model with statistics of its own, so sharp that it says something about every recording."""
    torch.manual_seed(4)
    tokens = Tokens(["a", "b", "c", "d", "e", "f", " "])
    features = FeatureConfig(mels=MELS)
    # Other channels than dimensions, so that there is a projection between the front end and the layers.
    config = ModelConfig("tdnn", 2, dim=8, channels=10, strides=(2, 1), dropout=0.2, features=features)
    model = AcousticModel(config, {"en": len(tokens), "other": 3})
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
            elif name.endswith(("running_mean", "bias")):
                tensor.normal_(0, 0.3)
            elif tensor.ndim > 1:
                tensor.mul_(3)
    # Float64 is for identities: features are float32, so they are converted at the door.
    model.register_forward_pre_hook(lambda module, arguments: (arguments[0].to(dtype), *arguments[1:]))
    others = {"other": Tokens(["x", "y"])}
    give_space(model.to(dtype).eval())
    return Recogniser(model, tokens, "en", {"trained_on": "nothing"}, others=others)


@pytest.fixture(scope="module")
def source() -> Recogniser:
    """Return the source; no test may change it."""
    return make_source()


def outputs(recogniser: Recogniser, speech: Speech) -> torch.Tensor:
    data = Spoken([*speech.own, *speech.more], speech.store)
    batch = data.collate(range(len(data)))
    with torch.no_grad():
        return recogniser.logits(batch.inputs, batch.lengths)[0]


def texts(recogniser: Recogniser, speech: Speech) -> list[str]:
    return recogniser.listen(Spoken(speech.own, speech.store))


def adapted_by(name: str, source: Recogniser, speech: Speech, folder: Path | None = None, **changes: Any) -> Adapted:
    config = replace(CONFIG, **changes)
    return adapt(
        source, Spoken(speech.own, speech.store), name, config, folder, source_speech=Spoken(speech.more, speech.store)
    )


@pytest.fixture(scope="module")
def done(source: Recogniser, speech: Speech) -> Callable[[str], Adapted]:
    """Return a function to a fresh copy of what a method made; each is trained once."""
    train = functools.cache(lambda name: adapted_by(name, source, speech))
    return lambda name: copy.deepcopy(train(name))


def _expected(name: str, model: AcousticModel) -> set[str]:
    """Return the tensors that a method or combination may change, written out by name."""
    parts = name.split("+")
    kinds = [part for part in parts if part in ("lhuc", "lin", "lora", "residual-adapter", "speaker-code")]
    prefixes: tuple[str, ...] = ("frontend.", "encoder.", "heads.en.")
    if name in UNTRAINED:
        return set()
    if kinds:
        prefixes = tuple(f"adapters.{kind}." for kind in kinds)
    elif "first-layers" in parts:
        prefixes = ("frontend.", "encoder.projection.", "encoder.layers.0.")
    elif "front-end" in parts:
        prefixes = ("frontend.",)
    elif "last-layers" in parts:
        prefixes = ("encoder.layers.1.", "encoder.norm.", "heads.en.")
    elif "head" in parts:
        prefixes = ("heads.en.",)
    return {tensor for tensor, _ in model.named_parameters() if tensor.startswith(prefixes)}


def _chosen(name: str) -> set[str]:
    """Return the tensors that a method chooses without training them."""
    parts = name.split("+")
    chosen = {"adapters.warp.factor" for part in parts if METHODS[part].role == "inputs"}
    starts = [part for part in parts if METHODS[part].role == "start" and "lhuc" not in parts]
    return chosen | (_profile() if starts else set())


@functools.cache
def _profile() -> frozenset[str]:
    space = make_source().model.speakers
    assert space is not None
    return frozenset(space.profile(torch.zeros(0)))


@exactly
def test_the_source_is_left_as_it_is(
    name: str, source: Recogniser, speech: Speech, done: Callable[[str], Adapted]
) -> None:
    before, heard = snapshot(source.model), outputs(source, speech)
    fresh = adapted_by(name, source, speech)
    assert not different(snapshot(source.model), before), "the source must be left as it is"
    assert all(parameter.requires_grad and parameter.grad is None for parameter in source.model.parameters())
    assert torch.equal(outputs(source, speech), heard)
    assert torch.equal(outputs(fresh.recogniser, speech), heard) == (name in UNTRAINED and not _chosen(name))
    again = snapshot(done(name).recogniser.model)
    assert not different(again, snapshot(fresh.recogniser.model)), "the same again gives the same bits"


@exactly
def test_exactly_what_the_method_trains_has_changed(
    name: str, source: Recogniser, done: Callable[[str], Adapted]
) -> None:
    model = done(name).recogniser.model
    changed = _changed(source, model)
    kinds = {part for part in name.split("+") if METHODS[part].role == "added"}
    kinds |= {"warp" for part in name.split("+") if METHODS[part].role == "inputs"}
    kinds |= {"lhuc" for part in name.split("+") if METHODS[part].role == "start"}
    assert {spec.kind for spec in adapter_specs(model)} == kinds
    assert changed - _chosen(name) == _expected(name, model) and _chosen(name) <= changed | {"adapters.warp.factor"}
    before, buffers = snapshot(source.model), dict(model.named_buffers())
    buffers.pop("adapters.warp.factor", None)
    assert len(buffers) == 12 and all(torch.equal(tensor, before[key]) for key, tensor in buffers.items())


@exactly
def test_the_result_says_what_has_changed(name: str, source: Recogniser, done: Callable[[str], Adapted]) -> None:
    """Of the heads that are not the speaker's it says only that nothing held them."""
    adapted = done(name)
    state = snapshot(adapted.recogniser.model)
    moved = _chosen(name) - {"adapters.warp.factor"}
    assert set(adapted.end) == set(adapted.start) == {k for k in state if k not in adapted.plan.frozen} | moved
    told = {key for key in adapted.end if not key.startswith("heads.other.")}
    assert told == _changed(source, adapted.recogniser.model)
    assert all(torch.equal(tensor, state[key]) for key, tensor in adapted.end.items())
    assert adapted.result.steps == (0 if name in UNTRAINED else 3)


@exactly
def test_what_comes_out_can_be_used_and_trained_further(name: str, source: Recogniser, speech: Speech) -> None:
    model = adapted_by(name, source, speech).recogniser.model
    assert not any(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


def _changed(source: Recogniser, model: AcousticModel) -> set[str]:
    """Return the names of the tensors that a method has changed; its adapters begin as they are made."""
    start = copy.deepcopy(source.model)
    for spec in adapter_specs(model):
        add_adapter(start, spec)
    return different(snapshot(model), snapshot(start)) - {"adapters.warp.factor"}


@every
def test_saved_and_loaded_gives_the_same_outputs(
    name: str, speech: Speech, done: Callable[[str], Adapted], tmp_path: Path
) -> None:
    recogniser = done(name).recogniser
    recogniser.save(tmp_path / "model", "A card.", {"method": name})
    again = Recogniser.load(tmp_path / "model", "en")
    assert torch.equal(outputs(again, speech), outputs(recogniser, speech))
    assert texts(again, speech) == texts(recogniser, speech)
    assert adapter_specs(again.model) == adapter_specs(recogniser.model)
    assert again.test_time == recogniser.test_time == (CONFIG.suta if name == "suta" else None)
    again.save(tmp_path / "second", "A card.", again.origin)
    assert Recogniser.load(tmp_path / "second", "en").test_time == recogniser.test_time


def test_test_time_adaptation_is_heard_though_nothing_is_trained(
    source: Recogniser, speech: Speech, done: Callable[[str], Adapted]
) -> None:
    own = texts(done("suta").recogniser, speech)
    assert own != texts(source, speech)
    assert own == texts(replace(source, test_time=CONFIG.suta), speech)
    assert texts(done("none").recogniser, speech) == texts(source, speech)


@exactly
def test_a_profile_puts_the_method_on_and_takes_it_off(
    name: str, source: Recogniser, speech: Speech, done: Callable[[str], Adapted], tmp_path: Path
) -> None:
    adapted = done(name).recogniser
    facts = {"method": name, "utterances": 5, "seconds": 3.0}
    profile = Profile.load(save_profile(tmp_path / "profile", source.model, adapted.model, facts))
    assert set(profile.tensors) == _expected(name, adapted.model) | _chosen(name)
    base = make_source()
    assert not different(snapshot(base.model), snapshot(source.model))
    profile.apply(base.model)
    assert torch.equal(outputs(base, speech), outputs(adapted, speech))
    profile.remove(base.model, source.model)
    assert not different(snapshot(base.model), snapshot(source.model))
    assert torch.equal(outputs(base, speech), outputs(source, speech))
    whole = replace(source, model=merged(source.model, profile))
    assert "lora" not in [spec.kind for spec in adapter_specs(whole.model)]
    torch.testing.assert_close(outputs(whole, speech), outputs(adapted, speech), rtol=1e-4, atol=1e-5)


@trained
def test_stopped_midway_and_resumed_ends_in_the_same_bits(
    name: str, source: Recogniser, speech: Speech, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)  # guards against power cuts, and is slow
    undisturbed = adapted_by(name, source, speech, steps=5)
    # An adaptation is so short that by itself it writes a checkpoint at its end only.
    monkeypatch.setattr(adapting, "TrainerConfig", functools.partial(TrainerConfig, checkpoint_every=2))
    save, begin = AtomicCheckpointer.save, Trainer.on_fit_start
    begun: list[int] = []

    def stopping(self: AtomicCheckpointer, step: int) -> None:
        save(self, step)
        raise KeyboardInterrupt

    def beginning(self: Trainer) -> None:
        begin(self)
        begun.append(self.optimizer_step)

    monkeypatch.setattr(Trainer, "on_fit_start", beginning)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(AtomicCheckpointer, "save", stopping)
        adapted_by(name, source, speech, tmp_path, steps=5)
    resumed = adapted_by(name, source, speech, tmp_path, steps=5)
    again = adapted_by(name, source, speech, tmp_path, steps=5)
    assert begun == [0, 2, 5]
    for outcome in (resumed, again):
        assert not different(snapshot(outcome.recogniser.model), snapshot(undisturbed.recogniser.model))
        assert not different(outcome.start, undisturbed.start)
        assert (outcome.result.history, outcome.result.cost) == (undisturbed.result.history, undisturbed.result.cost)


@every
def test_strength_moves_from_the_source_to_the_adapted_model(
    name: str, source: Recogniser, speech: Speech, done: Callable[[str], Adapted]
) -> None:
    adapted = done(name)
    full = outputs(adapted.recogniser, speech)
    end = snapshot(adapted.recogniser.model)
    assert adapted.at_strength(0.0) is adapted.recogniser
    # What was trained on top of a warp went on from it.
    begun = adapted_by("warp", source, speech).recogniser if "warp" in name.split("+") and name != "warp" else source
    assert torch.equal(outputs(adapted.recogniser, speech), outputs(begun, speech))
    start = snapshot(adapted.recogniser.model)
    assert not different(base_state(adapted.recogniser.model), snapshot(source.model))
    for strength in (0.7, 0.25, 0.5):  # whatever it was before
        middle = snapshot(adapted.at_strength(strength).model)
        for key, tensor in middle.items():
            wanted = start[key].double() + strength * (end[key].double() - start[key].double())
            torch.testing.assert_close(tensor.double(), wanted, rtol=1e-6, atol=1e-7)
    asked = adapted_by(name, source, speech, strength=0.5)
    assert not different(snapshot(asked.recogniser.model), middle)
    assert torch.equal(outputs(adapted.at_strength(1.0), speech), full)
    assert not different(snapshot(adapted.recogniser.model), end)


def test_settings_that_do_not_fit_the_model_are_refused(source: Recogniser, speech: Speech) -> None:
    for name, first in (("first-layers", 2), ("last-layers", 3), ("first-layers+kld", 7)):
        with pytest.raises(ConfigError, match=rf"`settings\.first` is {first} but the encoder has 2 layers"):
            adapted_by(name, source, speech, settings=MethodSettings(first=first))


@pytest.mark.parametrize("name", [name for name in NAMES if "replay" in name])
def test_replay_without_source_utterances_names_the_option(name: str, source: Recogniser, speech: Speech) -> None:
    assert needs_source(name)
    with pytest.raises(DataError, match=rf"`{name.replace('+', '.')}` mixes source utterances in.*--source"):
        adapt(source, Spoken(speech.own, speech.store), name, CONFIG)


def test_nothing_long_enough_is_an_error_that_names_the_utterances(source: Recogniser, speech: Speech) -> None:
    long = [replace(utterance, text="abcdef " * 40) for utterance in speech.own]
    for name in ("full", "lhuc+replay"):
        with pytest.raises(DataError, match="(?s)no utterance can be learnt from.*ida-0: CTC needs"):
            adapt(source, Spoken(long, speech.store), name, CONFIG, source_speech=Spoken(speech.more, speech.store))


def test_pseudo_labels_do_not_read_the_transcripts_and_others_do(source: Recogniser, speech: Speech) -> None:
    others = Speech(
        [replace(u, text="ace" if u.text != "ace" else "bad") for u in speech.own], speech.more, speech.store
    )
    for name, read in (("pseudo-label", False), ("pseudo-label+kld", False), ("full", True), ("lhuc", True)):
        first, second = (snapshot(adapted_by(name, source, given).recogniser.model) for given in (speech, others))
        assert bool(different(first, second)) == read


def _course(name: str, settings: MethodSettings, speech: Speech) -> list[dict[str, torch.Tensor]]:
    """Return the weights after each step of an adaptation in float64."""
    states: list[dict[str, torch.Tensor]] = []
    step = Trainer.fit_batch

    def recording(self: Trainer, batch: Any) -> torch.Tensor:
        loss = step(self, batch)
        states.append(snapshot(self.model))
        return loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "fit_batch", recording)
        adapted_by(name, make_source(torch.float64), speech, settings=settings, steps=4)
    assert len(states) == 4 and all(t.dtype == torch.float64 for t in states[0].values() if t.is_floating_point())
    return states


@pytest.mark.parametrize(
    ("name", "setting"),
    [("kld", "rho"), ("l2sp", "alpha"), ("ewc", "fisher"), ("replay", "replay"), ("full+l2sp", "alpha")],
)
def test_a_method_of_no_weight_is_plain_fine_tuning_at_every_step(name: str, setting: str, speech: Speech) -> None:
    plain = _course("full", CONFIG.settings, speech)
    without, with_it = (
        _course(name, from_plain(MethodSettings, {**to_plain(CONFIG.settings), setting: value}, "test"), speech)
        for value in (0.0, 0.7)
    )
    for number, state in enumerate(plain):
        torch.testing.assert_close(without[number], state, rtol=1e-12, atol=1e-14)
    # Where training starts, weights need no holding.
    assert different(with_it[1], plain[1])


def test_another_seed_is_another_training(source: Recogniser, speech: Speech) -> None:
    one, again, other = (snapshot(adapted_by("full", source, speech, seed=n).recogniser.model) for n in (1, 1, 2))
    assert not different(one, again) and different(one, other)


@pytest.mark.parametrize(("name", "setting"), [("kld", "rho"), ("replay", "replay")])
def test_what_holds_takes_its_weight_from_the_task(name: str, setting: str, source: Recogniser) -> None:
    made = build(name, source.model, MethodSettings(**{setting: 0.3}))  # type: ignore[arg-type]
    assert made.task_weight == pytest.approx(0.7)
    assert [made.source_weight, *(weight for weight, _ in made.objectives)] == ([0.3] if name == "replay" else [0, 0.3])


def test_without_a_rate_the_method_s_own_is_taken(source: Recogniser, speech: Speech) -> None:
    for name in ("head", "lora+kld"):
        states = [
            snapshot(adapted_by(name, source, speech, learning_rate=rate).recogniser.model)
            for rate in (None, default_learning_rate(name), 2 * default_learning_rate(name))
        ]
        assert not different(states[0], states[1]) and different(states[0], states[2])


@pytest.mark.parametrize(("name", "kept"), [("full", {}), ("none", {"main": 0.5})])
def test_offsets_of_languages_are_kept_where_no_weight_moves(name: str, kept: dict[str, float], speech: Speech) -> None:
    source = replace(make_source(), offsets={"main": 0.5})
    assert adapt(source, Spoken(speech.own, speech.store), name, CONFIG).recogniser.offsets == kept
    assert source.offsets == {"main": 0.5}


def test_rates_of_blocks_are_factors_on_the_learning_rate(source: Recogniser, speech: Speech) -> None:
    settings = replace(CONFIG.settings, rates={"frontend": 0.5, "heads": 2.0})
    plan = build("full", source.model, settings).plan
    factors = plan.apply(copy.deepcopy(source.model)).learning_rate_factors
    assert {factor for name, factor in factors.items() if name.startswith("frontend.")} == {0.5}
    assert {factor for name, factor in factors.items() if name.startswith("heads.")} == {2.0}
    assert not [name for name in factors if name.startswith("encoder.")]


def test_rates_of_a_block_that_is_not_there_are_refused(source: Recogniser) -> None:
    plan = build("full", source.model, MethodSettings(rates={"encoder.nowhere": 2.0})).plan
    with pytest.raises(SelectionError, match="encoder.nowhere"):
        plan.apply(copy.deepcopy(source.model))
