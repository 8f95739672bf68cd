"""The contract for models, held by a stranger: another class, other names, another config, all methods."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from asr_transfer.adaptation.adapt import Adapted, adapt
from asr_transfer.adaptation.choice import adapt_by_choice
from asr_transfer.adaptation.frozen_layers import Shared, frozen_depth
from asr_transfer.adaptation.methods import METHODS, build, default_learning_rate
from asr_transfer.adaptation.profile import Profile, save_profile
from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig, MethodSettings
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.settings import SutaConfig
from asr_transfer.decoding.test_time import _adapted_parameters
from asr_transfer.errors import ConfigError, ModelError
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.adapters import AdapterSpec, add_adapter
from asr_transfer.models.attributes import Inventory, PhoneModel
from asr_transfer.models.contract import Model, SpeechModel
from asr_transfer.models.folder import load_model, save_model
from asr_transfer.models.image import ImageModel
from asr_transfer.models.kinds import build as build_model
from asr_transfer.models.kinds import describe
from asr_transfer.models.progressive import ProgressiveModel
from asr_transfer.models.shared_private import SharedPrivateModel
from tests.models.stranger import Stranger, StrangerConfig
from tests.small import MELS, different, small_model, snapshot
from tests.tones import make_speaker

UNTRAINED = ("none", "suta")
CONFIG = AdaptConfig(
    steps=3,
    learning_rate=0.01,
    settings=MethodSettings(rank=2, bottleneck=3, code=4, confidence=0.0),
    suta=SutaConfig(steps=2, learning_rate=0.05),
    precision="fp32",
    device="cpu",
)
TRAINS = {
    "first-layers": ("feature_extractor.", "feature_projection.", "encoder.layers.0."),
    "last-layers": ("encoder.layers.1.", "encoder.layers.2.", "heads.en."),
    "front-end": ("feature_extractor.",),
    "head": ("heads.en.",),
}
"""What a method trains, written out by name; other methods train everything or what they add."""

ADDED = ("lhuc", "lin", "lora", "residual-adapter", "speaker-code")


@dataclass
class Speech:
    """A new speaker's utterances, some of the source domain, and the features of both."""

    own: list[Utterance]
    more: list[Utterance]
    store: FeatureStore


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Speech:
    """Return recordings of two tone speakers."""
    folder = tmp_path_factory.mktemp("stranger")
    own, more = make_speaker(folder, "ida", 1.13, 5, 1), make_speaker(folder, "anna", 0.96, 4, 2)
    return Speech(own, more, build_store([*own, *more], Stranger(StrangerConfig(), {}).inputs, cache=folder / "cache"))


def _source() -> Recogniser:
    torch.manual_seed(4)
    tokens = Tokens(["a", "b", "c", "d", "e", "f", " "])
    model = Stranger(StrangerConfig(), {"en": len(tokens)})
    with torch.no_grad():
        model.get_parameter("heads.en.weight").mul_(4)
        model.get_parameter("heads.en.bias")[0] = -2  # hears something
    return Recogniser(model.eval(), tokens, "en", {})


@pytest.fixture(scope="module")
def source() -> Recogniser:
    """Return the stranger; no test may change it."""
    return _source()


@pytest.fixture(scope="module")
def done(source: Recogniser, speech: Speech) -> Callable[[str], Adapted]:
    """Return a function to what a method made of the stranger; each is trained once and not to be changed."""
    return functools.cache(
        lambda name: adapt(
            source, Spoken(speech.own, speech.store), name, CONFIG, source_speech=Spoken(speech.more, speech.store)
        )
    )


def _texts(recogniser: Recogniser, speech: Speech) -> list[str]:
    return recogniser.listen(Spoken(speech.own, speech.store))


def _trained(name: str, model: nn.Module) -> set[str]:
    everything = ("feature_extractor.", "feature_projection.", "encoder.", "heads.en.")
    prefixes = (f"adapters.{name}.",) if name in ADDED else TRAINS.get(name, everything)
    return set() if name in UNTRAINED else {n for n, _ in model.named_parameters() if n.startswith(prefixes)}


def test_there_are_as_many_methods_as_the_contract_was_tried_on() -> None:
    assert len(METHODS) == 17


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_exactly_what_it_says(
    name: str, source: Recogniser, done: Callable[[str], Adapted]
) -> None:
    before = snapshot(source.model)
    model = done(name).recogniser.model
    after = snapshot(model)
    moved = {n for n in after if n in before and not torch.equal(after[n], before[n])}
    moved |= {n for n in after if n not in before}
    # Attention does not feel a bias of the keys: its gradient is round-off at best.
    wanted = {n for n in _trained(name, model) if not n.endswith("k_proj.bias")}
    assert {n for n in moved if not n.endswith("k_proj.bias")} == wanted
    assert not different(snapshot(source.model), before)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_makes_a_profile_that_comes_back(
    name: str, source: Recogniser, speech: Speech, done: Callable[[str], Adapted], tmp_path: Path
) -> None:
    adapted = done(name).recogniser
    profile = Profile.load(_saved_profile(tmp_path / "profile", source, adapted, name))
    base = _source().model
    with profile.applied(base) as again:
        assert not different(snapshot(again), snapshot(adapted.model))
    assert not different(snapshot(base), snapshot(source.model))


def _saved_profile(folder: Path, source: Recogniser, adapted: Recogniser, name: str) -> Path:
    facts: dict[str, Any] = {"method": name, "utterances": 5, "seconds": 3.0, "created": "2020-01-01T00:00:00+00:00"}
    return save_profile(folder, source.model, adapted.model, facts)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_makes_a_folder_that_says_the_same(
    name: str, speech: Speech, done: Callable[[str], Adapted], tmp_path: Path
) -> None:
    adapted = done(name).recogniser
    adapted.save(tmp_path / "model", "", {})
    again = Recogniser.load(tmp_path / "model")
    assert type(again.model) is Stranger
    assert not different(snapshot(again.model), snapshot(adapted.model))
    assert _texts(again, speech) == _texts(adapted, speech)


@pytest.mark.parametrize("name", ["head", "last-layers", "residual-adapter", "head+kld", "head+ewc"])
def test_frozen_blocks_run_once_and_change_nothing(name: str, source: Recogniser, speech: Speech) -> None:
    model = _source().model
    build(name, source.model, CONFIG.settings).plan.apply(model)
    assert frozen_depth(model) == {"head": 5, "last-layers": 3, "residual-adapter": 2}[name.split("+")[0]]
    ours, plain = (
        adapt(
            source,
            Spoken(speech.own, speech.store),
            name,
            CONFIG,
            source_speech=Spoken(speech.more, speech.store),
            shared=shared,
        )
        for shared in (Shared(source, speech.store), Shared(source, speech.store, once=False))
    )
    assert ours.depth and not plain.depth
    assert different(dict(ours.start), dict(ours.end))
    for key, tensor in plain.recogniser.model.state_dict().items():
        if not key.endswith("k_proj.bias"):
            torch.testing.assert_close(ours.recogniser.model.state_dict()[key], tensor, rtol=2e-4, atol=2e-5)


def test_auto_tries_all_that_train_without_source_speech(source: Recogniser, speech: Speech) -> None:
    tried = tuple(name for name in METHODS if default_learning_rate(name) and name != "replay")
    choice = ChoiceConfig(folds=2, without_source=tried, rates=(1.0,))
    adapted, chosen = adapt_by_choice(
        source, Spoken(speech.own, speech.store), replace(CONFIG, learning_rate=None), choice
    )
    assert {rung.method for rung in chosen.ladder} == set(tried)
    assert isinstance(adapted.recogniser.model, Stranger)


def test_test_time_adaptation_trains_the_front_end_too(source: Recogniser) -> None:
    chosen = {id(parameter) for parameter in _adapted_parameters(source.model)}
    names = {name for name, parameter in source.model.named_parameters() if id(parameter) in chosen}
    norms = {
        f"encoder.layers.{n}.{norm}.{tensor}"
        for n in range(3)
        for norm in ("layer_norm", "final_layer_norm")
        for tensor in ("weight", "bias")
    }
    assert names == {"feature_extractor.conv.weight", "feature_extractor.conv.bias", *norms}


def test_test_time_adaptation_refuses_to_train_norms_alone(source: Recogniser, speech: Speech) -> None:
    model = _source().model
    model.front_end = lambda: []  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match=r"`suta` trains the front end .* Stranger has no front end with weights"):
        _texts(replace(source, model=model, test_time=CONFIG.suta), speech)


@pytest.mark.parametrize("name", ["front-end", "first-layers", "last-layers", "head"])
def test_what_belongs_to_no_block_is_not_trained_unnoticed(name: str) -> None:
    model = _source().model
    model.register_parameter("masked_spec_embed", nn.Parameter(torch.ones(MELS)))
    assert isinstance(model, Model) and model.outside() == ["masked_spec_embed"]
    build(name, model, MethodSettings()).plan.apply(model)
    trained = {tensor for tensor, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == _trained(name, model)


def test_no_model_of_this_house_has_parameters_outside_its_blocks() -> None:
    assert {type(model).__name__: model.outside() for model in _house()} == {
        type(model).__name__: [] for model in _house()
    }


def test_frames_are_those_that_the_model_makes() -> None:
    model = Stranger(StrangerConfig(), {"en": 3}).eval()
    for frames in range(3, 40):
        hidden, lengths = model(torch.zeros(1, frames, MELS), torch.tensor([frames]))
        assert hidden.shape[1] == int(lengths) == model.frames(frames)


def _house() -> list[Model]:
    acoustic = small_model()
    inventory = Inventory(("a", "b"))
    return [
        acoustic,
        SharedPrivateModel(acoustic.config, {"main": 3}),
        PhoneModel(acoustic.config, inventory, {"main": None}),
        ProgressiveModel(acoustic, acoustic.config, {"new": 3}),
        ImageModel((4, 6), {"digits": 5}),
        Stranger(StrangerConfig(), {"en": 3}),
    ]


@pytest.mark.parametrize("model", _house(), ids=lambda model: type(model).__name__)
def test_blocks_are_as_wide_as_they_say(model: Model) -> None:
    found: dict[str, int] = {}
    blocks = model.blocks()
    assert blocks[0].role == "front-end" and model.layers()

    def keep(block: Any) -> Callable[..., None]:
        def hook(module: nn.Module, arguments: Any, output: Any) -> None:
            hidden = output[0] if isinstance(output, tuple) else output
            found.setdefault(block.path, hidden.shape[block.axis])

        return hook

    for block in {block.path: block for block in [*blocks, *model.units()]}.values():
        model.get_submodule(block.path).register_forward_hook(keep(block))
    if isinstance(model, SpeechModel):
        model.eval()(torch.randn(2, 24, MELS), torch.tensor([24, 20]))
    else:
        model.eval()(torch.randn(2, 1, 8, 8), None)
    assert found == {block.path: block.dim for block in [*blocks, *model.units()]}
    assert next(iter(found)).startswith(blocks[0].path), "the front end runs first"


@pytest.mark.parametrize("model", _house(), ids=lambda model: type(model).__name__)
def test_a_description_makes_the_same_architecture(model: Model, tmp_path: Path) -> None:
    if isinstance(model, SpeechModel):
        again: Model = build_model(describe(model), "config.yaml")
    else:
        with pytest.raises(ModelError, match="`kind` is 'image', which listens to no speech"):
            build_model(describe(model), "config.yaml")
        plain = describe(model)
        again = type(model).from_plain(plain, plain["heads"], "config.yaml")
    assert type(again) is type(model)
    assert {n: t.shape for n, t in snapshot(again).items()} == {n: t.shape for n, t in snapshot(model).items()}


@pytest.mark.parametrize("kind", ["lhuc", "residual-adapter", "speaker-code", "lora"])
def test_images_take_adapters_too(kind: Any) -> None:
    torch.manual_seed(0)
    model, images = ImageModel((4, 6), {"digits": 5}).eval(), torch.randn(3, 1, 8, 8)
    before = model(images)[0]
    add_adapter(model, AdapterSpec(kind, 0 if kind == "lhuc" else 2))
    torch.testing.assert_close(model(images)[0], before, rtol=0, atol=0)
    model(images)[0].square().sum().backward()
    moved = [
        p for n, p in model.named_parameters() if n.startswith("adapters.") and p.grad is not None and p.grad.any()
    ]
    assert moved
    with torch.no_grad():
        for parameter in moved:
            parameter -= 0.5 * parameter.grad / parameter.grad.abs().max()  # type: ignore[union-attr]
    assert not torch.allclose(model(images)[0], before)


def test_an_input_network_on_images_is_refused() -> None:
    with pytest.raises(ConfigError, match="`lin` transforms the features of speech, but ImageModel"):
        add_adapter(ImageModel((4, 6), {"digits": 5}), AdapterSpec("lin"))


def test_a_class_that_nobody_registered_is_not_saved(tmp_path: Path) -> None:
    class Unknown(AcousticModel):
        pass

    model = Unknown(small_model().config, {"main": 3})
    with pytest.raises(ModelError, match=r"Unknown is no registered kind of model.*@contract\.register"):
        save_model(tmp_path / "model", model, "", {})
    assert not (tmp_path / "model").exists()


def test_a_folder_of_an_unknown_kind_is_refused(source: Recogniser, tmp_path: Path) -> None:
    save_model(tmp_path / "model", source.model, "", {})
    file = tmp_path / "model" / "config.yaml"
    file.write_text(file.read_text().replace("kind: stranger", "kind: strangr"))
    with pytest.raises(ModelError, match=r"config.yaml: `kind` is 'strangr'.*stranger"):
        load_model(tmp_path / "model")
